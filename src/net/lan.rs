//! Found on the own network by multicast DNS: who waits announces itself ([`Announcer`]), who dials looks around ([`Browser`]). What goes
//! over the network is specified in PROTOCOL.md, "On the own network".
//!
//! Invariants: an announcement says who makes it only to those who know its key. What others announce is hostile: it leads to addresses in
//! the own networks and to nothing else, no text of it is shown, and no name in it decides whom one talks to.

mod announce;
mod browse;

pub use announce::{AnnounceEvent, Announcer};
pub use browse::{BROWSE_TIME, Browser, Neighbour, Search};

use super::reach;
use crate::error_text::io_error_text;
use crate::keys::{Pin, hex};
use if_addrs::Interface;
use mdns_sd::{IfKind, IfPredicate, ServiceDaemon};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use thiserror::Error;

/// Multicast DNS (RFC 6762).
pub const PORT: u16 = 5353;
/// The thread that the package starts; see [`is_daemon`].
const DAEMON: &str = "mDNS_daemon";
const SERVICE: &str = "_p2pchat._tcp.local.";
const VERSION: &str = "1";
/// Bytes of the random name of an announcement, which are twice as many digits.
const NONCE: usize = 8;
const TAG: usize = 8;
const TAG_CONTEXT: &str = "p2pchat/1 2026 lan tag";

/// Why nobody is found on the network, or finds this side there; the machine or the network is at fault.
#[derive(Debug, Error)]
pub enum LanError {
    #[error("port {PORT} belongs to another program")]
    PortTaken,
    #[error("this machine is in no network that others are in")]
    NoNetwork,
    #[error("{}", io_error_text(.0))]
    System(#[from] io::Error),
    #[error("multicast DNS does not work here: {0}")]
    Daemon(String),
}

impl From<mdns_sd::Error> for LanError {
    fn from(error: mdns_sd::Error) -> Self {
        Self::Daemon(error.to_string())
    }
}

/// Whom one who announces itself lets in. A hint: the listener decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admits {
    Anybody,
    /// Who knows its code.
    WithCode,
    /// Who has its invite.
    Invited,
    /// The peer that it lost, and nobody else.
    Returning,
}

impl Admits {
    const ALL: [(Self, &str); 4] =
        [(Self::Anybody, "0"), (Self::WithCode, "1"), (Self::Invited, "2"), (Self::Returning, "3")];

    fn digit(self) -> &'static str {
        Self::ALL.iter().find(|(admits, _)| *admits == self).map_or("", |(_, digit)| digit)
    }

    fn from_digit(digit: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, own)| *own == digit).map(|(admits, _)| *admits)
    }
}

/// Why nobody was found on the own network; without an error nobody announced itself, or not `whom`.
pub fn explain(whom: Option<&str>, error: Option<&LanError>) -> String {
    if let Some(error) = error {
        return format!("cannot look around on this network: {error}");
    }
    let whom = whom.map_or("nobody announces".to_owned(), |whom| format!("{whom} does not announce"));
    format!(
        "{whom} itself here\nthe other side needs listen --lan; a firewall here may keep the answers out (UDP 5353)"
    )
}

/// By which those who know the key recognise an announcement, and nobody else.
fn tag(pin: &Pin, nonce: &str) -> String {
    let key = blake3::derive_key(TAG_CONTEXT, &[pin, nonce.as_bytes()].concat());
    hex(key.split_at(TAG).0)
}

/// A new name for an announcement.
fn nonce() -> io::Result<String> {
    let mut bytes = [0; NONCE];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex(&bytes))
}

fn is_nonce(text: &str) -> bool {
    text.len() == NONCE * 2 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Starts multicast DNS on the interfaces that `used` lets through, which are looked at every `interval` seconds.
fn daemon(interval: u32, used: impl Fn(&Interface) -> bool + Send + Sync + 'static) -> Result<ServiceDaemon, LanError> {
    let daemon = ServiceDaemon::new()?;
    daemon.set_ip_check_interval(interval)?;
    daemon.disable_interface(IfKind::Predicate(IfPredicate::new(move |interface| !used(interface))))?;
    Ok(daemon)
}

/// Whether others may be behind this interface.
fn has_neighbours(interface: &Interface) -> bool {
    !interface.is_loopback() && !reach::is_virtual(&interface.name)
}

/// Whether the port of multicast DNS can be had beside the programs that have it. (The package says nothing when it cannot.)
pub fn check_port() -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())
}

/// Whether this is a thread that reads what the network sends. A bug that a neighbour finds there ends that thread, not the program.
pub fn is_daemon(thread: &std::thread::Thread) -> bool {
    thread.name() == Some(DAEMON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_that_of_the_specification() {
        assert_eq!(tag(&[7; 16], "0123456789abcdef"), "96be032f70153c5a");
        assert_ne!(tag(&[7; 16], "0123456789abcdee"), "96be032f70153c5a");
    }

    #[test]
    fn a_nonce_is_sixteen_digits_and_new() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert!(is_nonce(&one) && one != other, "{one}");
        for bad in ["", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg", "ééééééé1"]
        {
            assert!(!is_nonce(bad), "{bad}");
        }
    }

    #[test]
    fn whom_one_lets_in_has_a_digit() {
        for (admits, digit) in Admits::ALL {
            assert_eq!((admits.digit(), Admits::from_digit(digit)), (digit, Some(admits)));
        }
        assert_eq!(Admits::from_digit("4"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_packages_thread_is_known_by_its_name() {
        let daemon = daemon(0, |_| false).unwrap();
        let names = || {
            let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
            tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok()).collect::<Vec<_>>()
        };
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !names().iter().any(|name| name.trim_end() == DAEMON) {
            assert!(std::time::Instant::now() < until, "{:?}", names());
            std::thread::yield_now();
        }
        drop(daemon.shutdown());
    }
}
