//! Addresses as people write them.
//!
//! Owns [`Address`]: a host as typed and a port. Names are looked up when they are needed, anew each time, since a peer's
//! address may change between two tries.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use thiserror::Error;

/// The port when none is given.
pub const DEFAULT_PORT: u16 = 5050;

/// A host and a port; no host means all interfaces (only for listening).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name, an IPv4 address, or an IPv6 address with or without scope, without brackets.
    pub host: Option<String>,
    /// The port; 0 to let the system choose (only for listening).
    pub port: u16,
}

/// Why a text is no address; the command is at fault.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing.
    #[error("the address is empty")]
    Empty,
    /// The part behind the colon.
    #[error("{0:?} is no port: a number from 0 to 65535")]
    Port(String),
    /// A bracket that is not closed, or something behind it that is no port.
    #[error("{0:?} is no address: write [IPV6]:PORT")]
    Bracket(String),
    /// An IPv6 address with a port but no brackets is ambiguous.
    #[error("{0:?} is ambiguous: write [IPV6]:PORT")]
    Ambiguous(String),
}

impl Address {
    /// `PORT`, `HOST:PORT`, `[V6]:PORT` or `HOST`, for `listen`: a bare number is a port.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn to_listen(text: &str) -> Result<Self, AddressError> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self { host: None, port: port(text)? });
        }
        let (host, port) = split(text)?;
        Ok(Self { host: (!host.is_empty() && host != "*").then_some(host), port })
    }

    /// `HOST`, `HOST:PORT` or `[V6]:PORT`, for `connect`.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn to_dial(text: &str) -> Result<Self, AddressError> {
        let (host, port) = split(text)?;
        if host.is_empty() {
            // As with other tools, no host is this machine.
            return Ok(Self { host: Some("localhost".into()), port });
        }
        Ok(Self { host: Some(host), port })
    }

    /// Looks the host up: all its addresses, IPv6 and IPv4 in turn, in the system's order of each.
    ///
    /// # Errors
    /// What the system says.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let Some(host) = &self.host else {
            return Ok(vec![
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, self.port)),
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port)),
            ]);
        };
        let mut found: Vec<SocketAddr> = Vec::new();
        for addr in (host.as_str(), self.port).to_socket_addrs()? {
            if !found.contains(&addr) {
                found.push(addr);
            }
        }
        let first_is_v6 = found.first().is_some_and(SocketAddr::is_ipv6);
        let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
            found.into_iter().partition(|addr| addr.is_ipv6() == first_is_v6);
        let mut turns = Vec::new();
        while let Some(addr) = one.pop_front() {
            turns.push(addr);
            turns.extend(other.pop_front());
        }
        turns.extend(other);
        Ok(turns)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            None => write!(f, "{}", self.port),
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self { host: Some(addr.ip().to_string()), port: addr.port() }
    }
}

/// For `connect`, by clap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialAddress(pub Address);

impl FromStr for DialAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Address::to_dial(text).map(Self)
    }
}

/// For `listen`, by clap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress(pub Address);

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Address::to_listen(text).map(Self)
    }
}

fn port(text: &str) -> Result<u16, AddressError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if digits { text.parse().ok() } else { None };
    parsed.ok_or_else(|| AddressError::Port(text.into()))
}

fn split(text: &str) -> Result<(String, u16), AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(|| AddressError::Bracket(text.into()))?;
        return match rest.strip_prefix(':') {
            Some(text) => Ok((host.into(), port(text)?)),
            None if rest.is_empty() => Ok((host.into(), DEFAULT_PORT)),
            None => Err(AddressError::Bracket(text.into())),
        };
    }
    match text.matches(':').count() {
        0 => Ok((text.into(), DEFAULT_PORT)),
        1 => {
            let (host, text) = text.split_once(':').unwrap_or((text, ""));
            Ok((host.into(), port(text)?))
        }
        _ if text.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()) => {
            Ok((text.into(), DEFAULT_PORT))
        }
        _ => Err(AddressError::Ambiguous(text.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(text: &str) -> Result<(String, u16), AddressError> {
        Address::to_dial(text).map(|address| (address.host.unwrap(), address.port))
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
        assert_eq!(Address::to_listen("5000"), Ok(Address { host: None, port: 5000 }));
        assert_eq!(Address::to_listen("0"), Ok(Address { host: None, port: 0 }));
        assert_eq!(Address::to_listen("*:5000"), Ok(Address { host: None, port: 5000 }));
        assert_eq!(Address::to_listen("::1"), Ok(Address { host: Some("::1".into()), port: DEFAULT_PORT }));
    }

    #[test]
    fn what_is_no_address_is_named() {
        assert_eq!(dial(""), Err(AddressError::Empty));
        for text in ["host:", "host:65536", "host:+1", "host:http", "[::1]:x"] {
            assert!(matches!(dial(text), Err(AddressError::Port(_))), "{text}");
        }
        for text in ["[::1", "[::1]5000"] {
            assert!(matches!(dial(text), Err(AddressError::Bracket(_))), "{text}");
        }
        assert_eq!(dial("a:b:c"), Err(AddressError::Ambiguous("a:b:c".into())));
        assert!(matches!(Address::to_listen("70000"), Err(AddressError::Port(_))));
    }

    #[test]
    fn an_address_is_shown_as_it_can_be_typed_again() {
        for text in ["host:5000", "[::1]:7", "[fe80::1%eth0]:5000"] {
            assert_eq!(Address::to_dial(text).unwrap().to_string(), text);
        }
    }
}
