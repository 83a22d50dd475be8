//! What can be known of this machine's firewall without being root: whether ufw is on, and what firewalld says of its zones.

use super::{Finding, State};
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Readable by all; the rules are not.
const UFW: &str = "/etc/ufw/ufw.conf";
/// How long `firewall-cmd` may take, which starts Python.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of its answer: a zone has some hundred.
const ANSWER_BYTES: u64 = 1 << 18;

/// One finding for each firewall that is on; `interfaces` are those by which callers may come.
pub(super) fn findings(port: u16, interfaces: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    let ufw = std::fs::read_to_string(UFW).unwrap_or_default();
    if ufw.lines().any(|line| line.trim() == "ENABLED=yes") {
        let text = "a firewall is on (ufw); its rules are not known here";
        found.push(
            Finding::new(State::Note, "firewall", text).hint(format!("sudo ufw allow {port}/tcp lets callers in")),
        );
    }
    if let Some(answer) = firewall_cmd("--list-all-zones") {
        found.extend(of_zones(port, &used_zones(&answer, interfaces)));
    }
    found
}

/// What firewalld does with callers by some of the interfaces.
#[derive(Debug, PartialEq, Eq)]
struct Zone<'a> {
    name: &'a str,
    text: &'a str,
}

/// The zones that `interfaces` are in: the active ones, and the default one when an interface is in none of those.
fn used_zones<'a>(answer: &'a str, interfaces: &[String]) -> Vec<Zone<'a>> {
    let zones = answer.split("\n\n").filter_map(|section| section.trim_start_matches('\n').split_once('\n'));
    let mut used = Vec::new();
    let mut others = Vec::new();
    for (heading, text) in zones {
        let (name, marks) = heading.split_once(' ').unwrap_or((heading, ""));
        let zone = Zone { name, text };
        if marks.contains("active") { used.push(zone) } else { others.push(zone) }
    }
    let listed = |interface: &String| used.iter().any(|zone| zone.values("interfaces").any(|one| one == interface));
    if !interfaces.iter().all(listed)
        && let Some(default) = firewall_cmd("--get-default-zone")
        && let Some(place) = others.iter().position(|zone| zone.name == default.trim())
    {
        used.push(others.swap_remove(place));
    }
    used
}

impl<'a> Zone<'a> {
    /// The words behind a label.
    fn values(&self, label: &str) -> impl Iterator<Item = &'a str> {
        let line = self.text.lines().find_map(|line| line.trim().strip_prefix(label)?.strip_prefix(':'));
        line.unwrap_or_default().split_whitespace()
    }

    fn lets_in(&self, port: u16) -> bool {
        let has_port = |range: &str| {
            let range = range.strip_suffix("/tcp")?;
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            Some((first.parse().ok()?..=last.parse().ok()?).contains(&port))
        };
        let rule = format!("port=\"{port}\"");
        self.values("target").any(|target| target == "ACCEPT")
            || self.values("ports").any(|range| has_port(range) == Some(true))
            || self.text.lines().any(|line| line.contains(&rule) && line.trim_end().ends_with("accept"))
    }
}

fn of_zones(port: u16, zones: &[Zone]) -> Option<Finding> {
    let closed = zones.iter().filter(|zone| !zone.lets_in(port)).collect::<Vec<_>>();
    let Some(first) = closed.first() else {
        let text = "the firewall (firewalld) lets callers in";
        return (!zones.is_empty()).then(|| Finding::new(State::Good, "firewall", text));
    };
    // Some interfaces are open: callers may come by those.
    let state = if closed.len() == zones.len() { State::Bad } else { State::Note };
    let names: Vec<_> = closed.iter().map(|zone| zone.name).collect();
    let text = format!("the firewall (firewalld) keeps callers out of port {port}, in zone {}", names.join(", "));
    let hint = format!("sudo firewall-cmd --zone={} --add-port={port}/tcp lets them in", first.name);
    Some(Finding::new(state, "firewall", text).hint(hint))
}

/// What it answers; none when firewalld does not run or may not be asked. (Where there is polkit, it answers everybody.)
fn firewall_cmd(argument: &str) -> Option<String> {
    let mut asked = Command::new("firewall-cmd");
    asked.arg(argument).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut asked = asked.spawn().ok()?;
    let out = asked.stdout.take()?;
    let reading = thread::Builder::new().name("firewall".into()).spawn(move || {
        let mut answer = Vec::new();
        out.take(ANSWER_BYTES).read_to_end(&mut answer).ok()?;
        String::from_utf8(answer).ok()
    });
    let begun = Instant::now();
    let status = loop {
        match asked.try_wait().ok()? {
            Some(status) => break status,
            None if begun.elapsed() > ANSWER => {
                let _ = asked.kill();
                let _ = asked.wait();
                return None;
            }
            None => thread::sleep(ANSWER / 200),
        }
    };
    reading.ok()?.join().ok()?.filter(|_| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As firewalld 1.3.3 writes them.
    const ZONES: &str = "\
home (active)
  target: default
  icmp-block-inversion: no
  interfaces: eth1 eth2
  services: dhcpv6-client mdns samba-client ssh
  ports: 4900-5100/tcp 7/udp 6000/tcp
  rich rules: 
\trule family=\"ipv4\" source address=\"192.168.0.0/24\" port port=\"7000\" protocol=\"tcp\" accept
\trule port port=\"7001\" protocol=\"tcp\" reject

public
  target: default
  interfaces: 
  ports: 

trusted (active)
  target: ACCEPT
  interfaces: eth0
  ports: 
";

    #[test]
    fn a_zone_lets_in_by_its_target_a_range_of_ports_or_a_rule() {
        let interfaces = ["eth0", "eth1"].map(str::to_owned);
        let zones = used_zones(ZONES, &interfaces);
        assert_eq!(zones.iter().map(|zone| zone.name).collect::<Vec<_>>(), ["home", "trusted"]);
        for (port, open) in
            [(4899, false), (4900, true), (5100, true), (7, false), (6000, true), (7000, true), (7001, false)]
        {
            assert_eq!(zones[0].lets_in(port), open, "{port}");
            assert!(zones[1].lets_in(port));
            let state = of_zones(port, &zones).unwrap().state;
            assert_eq!(state, if open { State::Good } else { State::Note });
        }
        let closed = of_zones(80, &zones[..1]).unwrap();
        assert_eq!(closed.state, State::Bad);
        assert_eq!(closed.text, "the firewall (firewalld) keeps callers out of port 80, in zone home");
        assert_eq!(of_zones(80, &[]), None);
    }
}
