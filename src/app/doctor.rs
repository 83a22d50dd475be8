//! `p2pchat doctor`: why others may not reach this machine, found out by asking the machine itself, its router and its name server.
//!
//! A finding is a line: `ok` helps, `--` is to be known, `!!` keeps others from calling. Exit code 3 when there is one of those. Nothing
//! here is sent beyond these two, and nothing is changed in either.

mod firewall;
mod system;

use crate::cli::Doctor;
use crate::error_text::io_error_text;
use crate::exit::Exit;
use crate::net::lan;
use crate::net::port_map::{self, MapError, RouterOffer};
use crate::net::reach;
use crate::net::routes::{DefaultRoute, default_routes};
use crate::text::SafeText;
use if_addrs::Interface;
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use system::listener_of;

/// How long the name server may take; resolvers try for half a minute.
const LOOKUP: Duration = Duration::from_secs(5);
/// No name ends like this (RFC 6761), so whoever answers lies.
const NO_SUCH_NAME: &str = "x.invalid:80";

/// What a finding means for who wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Note,
    Bad,
}

impl State {
    fn mark(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "--",
            Self::Bad => "!!",
        }
    }

    /// For JSON.
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Bad => "bad",
        }
    }
}

/// One line, and what can be done about it on a second one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    state: State,
    /// Stable, for scripts.
    about: &'static str,
    text: String,
    hint: Option<String>,
}

impl Finding {
    fn new(state: State, about: &'static str, text: impl Into<String>) -> Self {
        Self { state, about, text: text.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// What to print, and the exit code.
pub fn doctor(arguments: &Doctor) -> (String, Exit) {
    let port = arguments.port;
    // The router may take its time, while all else is looked at.
    let router = thread::Builder::new().name("router".into()).spawn(port_map::offer).ok();
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let routes = default_routes();
    let mut findings = addresses(&interfaces);
    findings.extend(routes.as_deref().map(of_routes).unwrap_or_default());
    findings.push(ipv6(&interfaces, routes.as_deref()));
    findings.push(of_port(port));
    findings.extend(firewall::findings(port, &outer(&interfaces)));
    let last = [multicast(), names()];
    findings.extend(router.and_then(|router| router.join().ok()).and_then(|offer| of_router(offer, port)));
    findings.extend(last);
    let bad = findings.iter().any(|finding| finding.state == State::Bad);
    let lines = findings.iter().map(|finding| if arguments.json { finding.json() } else { finding.line() });
    (lines.collect(), if bad { Exit::Unreachable } else { Exit::Polite })
}

/// What a person who listens at `bound` is to know; nothing when nothing is in the way. `forwarded` says that callers come by another
/// address, which is forwarded to here.
pub(super) fn remarks(bound: &[SocketAddr], forwarded: bool) -> Vec<String> {
    let mut findings = Vec::new();
    if bound.iter().all(|addr| addr.ip().is_loopback()) {
        if !forwarded {
            let text = "only this machine reaches a listener on loopback";
            let hint = "--at says which address is forwarded to here";
            findings.push(Finding::new(State::Note, "address", text).hint(hint));
        }
    } else {
        let mut interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        interfaces.retain(|interface| reach::is_bound(bound, interface.ip()));
        if !forwarded {
            findings = addresses(&interfaces);
        }
        findings.extend(firewall::findings(bound.first().map_or(0, SocketAddr::port), &outer(&interfaces)));
    }
    findings.retain(|finding| finding.state != State::Good);
    let text =
        |Finding { text, hint, .. }: Finding| hint.into_iter().fold(text, |text, hint| format!("{text}\n{hint}"));
    findings.into_iter().map(text).collect()
}

impl Finding {
    fn line(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("   {}\n", SafeText::clean(hint))).unwrap_or_default();
        format!("{} {}\n{hint}", self.state.mark(), SafeText::clean(&self.text))
    }

    fn json(&self) -> String {
        let Self { state, about, text, hint } = self;
        let mut finding = json!({ "event": "finding", "about": about, "state": state.word(), "text": text });
        if let (Some(hint), Some(members)) = (hint, finding.as_object_mut()) {
            members.insert("hint".into(), hint.as_str().into());
        }
        format!("{finding}\n")
    }
}

/// The names of those by which others come.
fn outer(interfaces: &[Interface]) -> Vec<String> {
    let outer = interfaces.iter().filter(|one| !one.is_loopback() && !reach::is_virtual(&one.name));
    outer.map(|one| one.name.clone()).collect()
}

/// From where each own address can be called.
fn addresses(interfaces: &[Interface]) -> Vec<Finding> {
    let mut found = Vec::new();
    for interface in interfaces.iter().filter(|interface| !interface.is_loopback() && !interface.is_link_local()) {
        let (ip, name) = (interface.ip(), &interface.name);
        let from = worth(ip, name);
        found.push(Finding::new(State::Good, "address", format!("{ip} ({name}) is reached from {from}")));
    }
    if found.is_empty() {
        let text = "this machine has no address but its own inner ones";
        found.push(Finding::new(State::Bad, "address", text).hint("connect it to a network first"));
    } else if !interfaces.iter().any(|interface| reach::is_global(interface.ip())) {
        let text = "no address is reached from everywhere";
        let hint = "listen --map asks the router to let callers in; or use a VPN, or let your peer listen, and dial it";
        found.push(Finding::new(State::Note, "address", text).hint(hint));
    }
    found
}

fn worth(ip: IpAddr, interface: &str) -> &'static str {
    const TUNNELS: [&str; 6] = ["tun", "tap", "wg", "tailscale", "utun", "zt"];
    match ip {
        _ if reach::is_virtual(interface) => "this machine and its containers",
        _ if TUNNELS.iter().any(|kind| interface.starts_with(kind)) => "the VPN",
        _ if reach::is_shared(ip) => "your provider's network, or a VPN",
        _ if reach::is_private(ip) => "this network",
        IpAddr::V4(_) | IpAddr::V6(_) => "everywhere, where no firewall is in the way",
    }
}

fn of_routes(routes: &[DefaultRoute]) -> Vec<Finding> {
    if routes.is_empty() {
        let text = "there is no default route: nobody outside the own networks is reached";
        return vec![Finding::new(State::Bad, "route", text)];
    }
    let found = routes.iter().map(|DefaultRoute { gateway, interface }| {
        let by = gateway.map(|gateway| format!("by {gateway} ")).unwrap_or_default();
        Finding::new(State::Good, "route", format!("the way out goes {by}on {interface}"))
    });
    found.collect()
}

fn ipv6(interfaces: &[Interface], routes: Option<&[DefaultRoute]>) -> Finding {
    let address = interfaces.iter().any(|interface| interface.ip().is_ipv6() && reach::is_global(interface.ip()));
    let is_v6 = |route: &DefaultRoute| route.gateway.is_none_or(|gateway| gateway.is_ipv6());
    let route = routes.is_none_or(|routes| routes.iter().any(is_v6));
    match (address, route) {
        (true, true) => Finding::new(State::Good, "ipv6", "IPv6: yes"),
        (true, false) => Finding::new(State::Note, "ipv6", "IPv6: an address, but no way out"),
        (false, _) => Finding::new(State::Note, "ipv6", "IPv6: no public address"),
    }
}

fn of_port(port: u16) -> Finding {
    let free = bind(Ipv6Addr::UNSPECIFIED.into(), port).or_else(|error| match error.kind() {
        ErrorKind::AddrInUse => Err(error),
        _ => bind(Ipv4Addr::UNSPECIFIED.into(), port),
    });
    match free {
        Ok(_) => Finding::new(State::Good, "port", format!("TCP port {port} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => match listener_of(port) {
            Some(program) if program.contains("p2pchat") => {
                Finding::new(State::Good, "port", format!("TCP port {port}: p2pchat listens there"))
            }
            owner => {
                let owner = owner.unwrap_or_else(|| "another program".into());
                let hint = "choose another port: p2pchat listen PORT";
                Finding::new(State::Bad, "port", format!("TCP port {port} is taken by {owner}")).hint(hint)
            }
        },
        Err(error) => {
            let text = format!("TCP port {port} cannot be had: {}", io_error_text(&error));
            Finding::new(State::Bad, "port", text).hint("choose another port: p2pchat listen PORT")
        }
    }
}

fn bind(ip: IpAddr, port: u16) -> io::Result<Socket> {
    let addr = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// None without a router to ask: that has its own finding.
fn of_router(offer: Result<RouterOffer, MapError>, port: u16) -> Option<Finding> {
    match offer {
        Ok(RouterOffer { by, external }) => {
            let by: Vec<_> = by.iter().map(ToString::to_string).collect();
            let external = external.map(|ip| format!("; its address is {ip}")).unwrap_or_default();
            let text = format!("the router lets callers in when it is asked, by {}{external}", by.join(", "));
            Some(Finding::new(State::Good, "router", text).hint("listen --map asks it"))
        }
        Err(MapError::NoRouter) => None,
        Err(error) => {
            let text = error.explain(port);
            let (fact, hint) =
                text.split_once('\n').map_or((&*text, None), |(fact, hint)| (fact, Some(hint.to_owned())));
            Some(Finding { hint, ..Finding::new(State::Note, "router", fact) })
        }
    }
}

fn multicast() -> Finding {
    const MDNS: u16 = lan::PORT;
    match lan::check_port() {
        Ok(()) => {
            Finding::new(State::Good, "mdns", format!("UDP port {MDNS} can be used, to be found on this network"))
        }
        Err(error) => {
            let text = format!("UDP port {MDNS} cannot be used: {}", io_error_text(&error));
            Finding::new(State::Note, "mdns", text)
                .hint("nobody can be found on this network by itself; addresses work")
        }
    }
}

fn names() -> Finding {
    let (tell, told) = mpsc::channel();
    let lookup = move || drop(tell.send(NO_SUCH_NAME.to_socket_addrs().map(|mut addrs| addrs.next())));
    let asked = thread::Builder::new().name("lookup".into()).spawn(lookup);
    match asked.map(|_| told.recv_timeout(LOOKUP)) {
        Ok(Ok(Ok(Some(addr)))) => {
            let text = format!("the name server answers for names that do not exist (x.invalid is {})", addr.ip());
            Finding::new(State::Bad, "names", text)
                .hint("a portal wants you to sign in first, or names are not to be trusted here")
        }
        Ok(Ok(Err(error))) if !error.to_string().contains("Temporary failure") => {
            Finding::new(State::Good, "names", "names that do not exist are not found")
        }
        _ => Finding::new(State::Note, "names", "the name server does not answer").hint("addresses work without it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_worth() {
        for (ip, interface, from) in [
            ("192.168.1.5", "wlan0", "this network"),
            ("fd00::5", "eth0", "this network"),
            ("100.64.1.1", "eth0", "your provider's network, or a VPN"),
            ("100.64.1.1", "tailscale0", "the VPN"),
            ("172.17.0.1", "docker0", "this machine and its containers"),
            ("198.51.100.7", "eth0", "everywhere, where no firewall is in the way"),
            ("2001:db8::1", "eth0", "everywhere, where no firewall is in the way"),
        ] {
            assert_eq!(worth(ip.parse().unwrap(), interface), from, "{ip} {interface}");
        }
    }

    #[test]
    fn a_finding_is_a_line_with_its_hint_or_an_object() {
        let finding = Finding::new(State::Bad, "port", "taken").hint("another");
        assert_eq!(finding.line(), "!! taken\n   another\n");
        let object = r#"{"event":"finding","about":"port","state":"bad","text":"taken","hint":"another"}"#;
        assert_eq!(finding.json(), format!("{object}\n"));
    }
}
