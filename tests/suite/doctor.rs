//! `p2pchat doctor`: what it finds on this machine, and on one without a network.

use crate::support::{Home, text};
use serde_json::Value;
use std::net::TcpListener;
use std::process::Command;

/// The findings as events, and the exit code.
fn findings(command: &mut Command) -> (Vec<Value>, Option<i32>) {
    let output = command.output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), output.status.code())
}

fn state<'f>(findings: &'f [Value], about: &str) -> &'f str {
    text(findings.iter().find(|finding| finding["about"] == about).unwrap(), "state")
}

#[test]
fn a_port_that_is_free_taken_or_ours_is_told_apart() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (found, code) = findings(&mut home.program(&["doctor", &port, "--json"]));
    assert_eq!((state(&found, "port"), code), ("bad", Some(3)));
    let said = text(found.iter().find(|finding| finding["about"] == "port").unwrap(), "text");
    assert!(said.contains(&std::process::id().to_string()), "{said}");
    drop(taken);
    assert_eq!(state(&findings(&mut home.program(&["doctor", &port, "--json"])).0, "port"), "ok");
    let listening = home.listen("ana", &[]);
    let (found, _) = findings(&mut home.program(&["doctor", &listening.addr().port().to_string(), "--json"]));
    let said = text(found.iter().find(|finding| finding["about"] == "port").unwrap(), "text");
    assert!(said.ends_with("p2pchat listens there"), "{said}");
}

#[test]
fn a_machine_without_a_network_is_told_so() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("SKIPPED a_machine_without_a_network_is_told_so: needs root");
    }
    let home = Home::new();
    let doctor = home.program(&["doctor", "5000"]);
    let mut alone = Command::new("unshare");
    alone.arg("--net").arg(doctor.get_program()).args(doctor.get_args());
    let output = alone.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for line in ["!! this machine has no address", "!! there is no default route", "-- IPv6: no", "-- the name server"]
    {
        assert!(said.contains(line), "{said}");
    }
    assert_eq!(output.status.code(), Some(3));
    // In the order in which one looks for a fault.
    let order = ["address", "route", "IPv6", "port 5000", "port 5353", "name server"];
    let places: Vec<_> = order.map(|word| said.find(word)).to_vec();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{said}");
}
