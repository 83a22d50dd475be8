//! `p2pchat doctor`: what it finds on this machine, and on one without a network.

use crate::support::home::{Ran, run};
use crate::support::{DEADLINE, Home, Pty, text};
use serde_json::Value;
use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

/// The findings as events, and the exit code.
fn findings(command: &mut Command) -> (Vec<Value>, Option<i32>) {
    let ran = run(command);
    (ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), ran.code)
}

fn state<'f>(findings: &'f [Value], about: &str) -> &'f str {
    text(findings.iter().find(|finding| finding["about"] == about).unwrap(), "state")
}

#[test]
fn a_port_that_is_free_taken_or_ours_is_told_apart() {
    let home = Home::new();
    // Below the ports that the system hands out, or another test would get it once it is free.
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let taken = (first..32_000).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (found, code) = findings(&mut home.program(&["doctor", &port, "--json"]));
    assert_eq!((state(&found, "port"), code), ("bad", Some(3)));
    let said = text(found.iter().find(|finding| finding["about"] == "port").unwrap(), "text");
    assert!(said.contains(&std::process::id().to_string()), "{said}");
    drop(taken);
    // A process that another test begins has it as well, until it is the program that it is to be.
    let until = Instant::now() + DEADLINE;
    while state(&findings(&mut home.program(&["doctor", &port, "--json"])).0, "port") != "ok" {
        assert!(Instant::now() < until, "it is still taken");
    }
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
    let mut alone = home.command("unshare");
    let Ran { code, out: said, .. } = run(alone.args(["--net", env!("CARGO_BIN_EXE_p2pchat"), "doctor", "5000"]));
    for line in ["!! this machine has no address", "!! there is no default route", "-- IPv6: no", "-- the name server"]
    {
        assert!(said.contains(line), "{said}");
    }
    assert_eq!(code, Some(3));
    // In the order in which one looks for a fault.
    let order = ["address", "route", "IPv6", "port 5000", "port 5353", "name server"];
    let places: Vec<_> = order.map(|word| said.find(word)).to_vec();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{said}");
}

#[test]
fn a_listener_says_once_that_it_is_on_loopback_unless_callers_are_forwarded_to_it() {
    const REMARK: &str = "only this machine reaches a listener on loopback";
    for (options, times) in [(&[][..], 1), (&["--at", "203.0.113.7:5000"], 0)] {
        let mut listening = Pty::start(&Home::new(), &[&["listen", "127.0.0.1:0"], options].concat());
        if times == 1 {
            listening.shows(REMARK);
        }
        listening.shows("waiting for your peer");
        listening.keys("/quit\r");
        assert_eq!(listening.exit_code(), 0);
        listening.shows_times(times, REMARK);
    }
}

/// Runs `listen` where there is one private address, and what `setup` makes of it; `$1` is an empty folder.
fn listen_alone(home: &Home, setup: &str) -> Pty {
    let shell = format!("ip link set lo up && ip addr add 192.168.77.1/24 dev lo && {setup}\nshift; exec \"$@\"");
    let tools = home.work();
    let arguments = ["--net", "--mount", "sh", "-c", &shell, "sh", tools.to_str().unwrap()];
    Pty::run(home, "unshare", &[&arguments[..], &[env!("CARGO_BIN_EXE_p2pchat"), "listen", "0.0.0.0:5000"]].concat())
}

#[test]
fn a_listener_says_once_what_keeps_callers_out() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("SKIPPED a_listener_says_once_what_keeps_callers_out: needs root");
    }
    const NO_ADDRESS: &str = "no address is reached from everywhere";
    const UFW: &str = "sudo ufw allow 5000/tcp";
    const FIREWALLD: &str = "sudo firewall-cmd --zone=public --add-port=5000/tcp";
    // What firewall-cmd answers. When firewalld does not run, it says so and ends with 252.
    const OPEN: &str = r"echo; echo 'public (active)'; echo '  ports: 1025-65535/tcp'";
    const SHUT: &str = r"echo; echo 'public (active)'; echo '  ports: 22/tcp'";
    let firewalls = |ufw: &str, firewalld: &str| {
        format!(
            "mount -t tmpfs none /etc && mkdir /etc/ufw && echo ENABLED={ufw} >/etc/ufw/ufw.conf &&
            printf '%s\n' '#!/bin/sh' \"{firewalld}\" >$1/firewall-cmd && chmod +x $1/firewall-cmd && PATH=$1:$PATH"
        )
    };
    for (setup, said) in [
        (firewalls("yes", SHUT), &[NO_ADDRESS, UFW, FIREWALLD][..]),
        (firewalls("no", "exit 252"), &[NO_ADDRESS]),
        (firewalls("no", OPEN) + " && ip addr add 11.22.33.1/24 dev lo", &[]),
    ] {
        let mut listening = listen_alone(&Home::new(), &setup);
        for words in said {
            listening.shows(words);
        }
        listening.shows("waiting for your peer");
        listening.keys("/quit\r");
        assert_eq!(listening.exit_code(), 0);
        for words in [NO_ADDRESS, UFW, FIREWALLD] {
            let times = listening.wait(|shown| Some(shown.emulator.screen().contents().matches(words).count()));
            assert_eq!(times, usize::from(said.contains(&words)), "{words}");
        }
    }
}

#[test]
#[ignore = "takes the two minutes that it is about"]
fn who_listens_without_a_caller_is_told_where_to_look() {
    let mut listening = Pty::start(&Home::new(), &["listen", "127.0.0.1:0"]);
    let port = listening.addr().port();
    let called = Pty::start(&Home::new(), &["listen", "127.0.0.1:0"]);
    Home::new().connect("eve", called.addr(), &["--code=wrong"]).ends_with(4);
    called.shows("was turned away");
    std::thread::sleep(std::time::Duration::from_secs(100));
    listening.shows("nobody has called yet");
    listening.shows(&format!("p2pchat doctor {port} looks for reasons"));
    listening.keys("/quit\r");
    assert_eq!(listening.exit_code(), 0);
    called.shows_no("nobody has called yet");
}
