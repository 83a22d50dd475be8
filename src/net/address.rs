//! Addresses as people write them.
//!
//! [`Candidate`] is where a peer may be reached, [`ListenAddress`] where this side waits. Names are looked up when they are needed, anew
//! each time, since a peer's address may change between two tries.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use thiserror::Error;

/// The port when none is given.
pub const DEFAULT_PORT: u16 = 5050;

/// One place where a peer may be reached. A peer may have several ([`super::race`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// A name, an IPv4 address, or an IPv6 address with or without scope, without brackets.
    pub host: String,
    pub port: u16,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// As for [`Candidate`]; none is all interfaces.
    pub host: Option<String>,
    /// 0 to let the system choose.
    pub port: u16,
}

/// Why a text is no address; the command is at fault.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    #[error("the address is empty")]
    Empty,
    #[error("{0:?} is no port: a number from 0 to 65535")]
    Port(String),
    /// A number and no more, where somebody is to be dialled.
    #[error("a port alone is no address: write HOST:{0}")]
    PortAlone(u16),
    #[error("{0:?} is no address: write HOST:PORT or [IPV6]:PORT")]
    Malformed(String),
    /// An IPv6 address without brackets that may end in a port.
    #[error("write [{host}]:{port} for the port {port}, or [{host}:{port}] for an address without a port")]
    Ambiguous { host: String, port: String },
    /// A link-local address means nothing without the interface.
    #[error("it needs the interface by which it is reached: write [{0}%eth0]:PORT")]
    NoInterface(String),
}

impl Candidate {
    /// The address, when the host is not a name. (One with a scope counts as a name: only the system knows its interfaces.)
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Looks the host up: all its addresses, in the system's order.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        resolve(&self.host, self.port)
    }
}

impl FromStr for Candidate {
    type Err = AddressError;

    /// `HOST`, `HOST:PORT` or `[V6]:PORT`; as with other tools, no host is this machine.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_number(text) {
            return Err(AddressError::PortAlone(port(text)?));
        }
        let (host, port) = split(text)?;
        Ok(Self { host: if host.is_empty() { "localhost".into() } else { host }, port })
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl From<SocketAddr> for Candidate {
    fn from(addr: SocketAddr) -> Self {
        let host = match addr {
            // By its number, which a system takes as it does the name.
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => addr.ip().to_string(),
        };
        Self { host, port: addr.port() }
    }
}

impl ListenAddress {
    /// The addresses to bind.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        match &self.host {
            Some(host) => resolve(host, self.port),
            None => Ok([IpAddr::from(Ipv6Addr::UNSPECIFIED), Ipv4Addr::UNSPECIFIED.into()]
                .map(|ip| SocketAddr::new(ip, self.port))
                .to_vec()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    /// `PORT`, `HOST:PORT`, `[V6]:PORT` or `HOST`: a bare number is a port.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_number(text) {
            return Ok(Self { host: None, port: port(text)? });
        }
        let (host, port) = split(text)?;
        Ok(Self { host: (!host.is_empty() && host != "*").then_some(host), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            None => write!(f, "{}", self.port),
            Some(host) => Candidate { host: host.clone(), port: self.port }.fmt(f),
        }
    }
}

fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut found: Vec<SocketAddr> = Vec::new();
    for addr in (host, port).to_socket_addrs()? {
        if !found.contains(&addr) {
            found.push(addr);
        }
    }
    Ok(found)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn port(text: &str) -> Result<u16, AddressError> {
    let parsed = if is_number(text) { text.parse().ok() } else { None };
    parsed.ok_or_else(|| AddressError::Port(text.into()))
}

fn split(text: &str) -> Result<(String, u16), AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if text.contains(char::is_whitespace) {
        return Err(AddressError::Malformed(text.into()));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| AddressError::Malformed(text.into()))?;
        no_interface(host)?;
        return match rest.strip_prefix(':') {
            Some(text) => Ok((host.into(), port(text)?)),
            None if rest.is_empty() => Ok((host.into(), DEFAULT_PORT)),
            None => Err(AddressError::Malformed(text.into())),
        };
    }
    match text.matches(':').count() {
        0 => Ok((text.into(), DEFAULT_PORT)),
        1 => {
            let (host, text) = text.split_once(':').unwrap_or((text, ""));
            Ok((host.into(), port(text)?))
        }
        _ => {
            let (host, end) = text.rsplit_once(':').unwrap_or((text, ""));
            let may_be_port = end.len() >= 4 && port(end).is_ok();
            if may_be_port && is_ipv6(host) {
                return Err(AddressError::Ambiguous { host: host.into(), port: end.into() });
            }
            if !is_ipv6(text) {
                return Err(AddressError::Malformed(text.into()));
            }
            no_interface(text)?;
            Ok((text.into(), DEFAULT_PORT))
        }
    }
}

/// An IPv6 address, with or without its interface.
fn is_ipv6(text: &str) -> bool {
    text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

fn no_interface(host: &str) -> Result<(), AddressError> {
    if host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_unicast_link_local()) {
        return Err(AddressError::NoInterface(host.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(text: &str) -> Result<(String, u16), AddressError> {
        text.parse().map(|Candidate { host, port }| (host, port))
    }

    #[test]
    fn every_written_form_of_an_address_to_dial() {
        for (text, host, port) in [
            ("host:5000", "host", 5000),
            ("host", "host", DEFAULT_PORT),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("[::1]:7", "::1", 7),
            ("[::1]", "::1", DEFAULT_PORT),
            ("::1", "::1", DEFAULT_PORT),
            ("[fe80::1%eth0]:5000", "fe80::1%eth0", 5000),
            ("fe80::1%eth0", "fe80::1%eth0", DEFAULT_PORT),
            (":5000", "localhost", 5000),
        ] {
            assert_eq!(dial(text), Ok((host.into(), port)), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_a_port_to_listen_on_all_interfaces() {
        for (text, host, port) in
            [("5000", None, 5000), ("0", None, 0), ("*:5000", None, 5000), ("::1", Some("::1"), DEFAULT_PORT)]
        {
            assert_eq!(text.parse(), Ok(ListenAddress { host: host.map(str::to_owned), port }), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        assert_eq!(dial(""), Err(AddressError::Empty));
        for text in ["host:", "host:65536", "host:+1", "host:http", "[::1]:x"] {
            assert!(matches!(dial(text), Err(AddressError::Port(_))), "{text}");
        }
        for text in ["[::1", "[::1]5000", "a:b:c", "http://host:5000", "host 5000", "p2pchat connect"] {
            assert_eq!(dial(text), Err(AddressError::Malformed(text.into())));
        }
        assert!(matches!("70000".parse::<ListenAddress>(), Err(AddressError::Port(_))));
        assert_eq!(dial("5000"), Err(AddressError::PortAlone(5000)));
        assert!(matches!(dial("70000"), Err(AddressError::Port(_))));
    }

    #[test]
    fn an_address_is_shown_as_it_can_be_typed_again() {
        for text in ["host:5000", "[::1]:7", "[fe80::1%eth0]:5000"] {
            assert_eq!(text.parse::<Candidate>().unwrap().to_string(), text);
        }
    }
}
