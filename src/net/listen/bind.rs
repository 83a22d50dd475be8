//! Listening sockets, and why there are none.

use crate::error_text::io_error_text;
use crate::net::address::ListenAddress;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use thiserror::Error;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 128;
/// Addresses of one host that are listened on; a thread each.
const SOCKETS: usize = 16;

/// Why this side cannot listen.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("cannot find {0}: {cause}\nlisten takes PORT, HOST:PORT or [IPV6]:PORT, of this machine", cause = io_error_text(.1))]
    Resolve(ListenAddress, #[source] io::Error),
    #[error("cannot listen on {address}: {}{}", io_error_text(source), hint(source))]
    Bind { address: ListenAddress, source: io::Error },
    #[error("cannot wait for callers: {}", io_error_text(.0))]
    System(#[source] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "\nanother program has it; choose another port",
        ErrorKind::PermissionDenied => "\nports under 1024 are the system's; choose a higher one",
        ErrorKind::AddrNotAvailable => "\nthis machine does not have that address",
        _ => "",
    }
}

/// Sockets for all addresses of the host; for none, one for IPv6 and IPv4 together, or for IPv4 where there is no IPv6.
pub fn bind(address: &ListenAddress) -> Result<Vec<TcpListener>, BindError> {
    let addrs = address.resolve().map_err(|error| BindError::Resolve(address.clone(), error))?;
    let everywhere = address.host.is_none();
    let mut sockets: Vec<TcpListener> = Vec::new();
    let mut failure = io::Error::from(ErrorKind::AddrNotAvailable);
    for mut addr in addrs.into_iter().take(SOCKETS) {
        if everywhere && !sockets.is_empty() {
            break;
        }
        if addr.port() == 0
            && let Some(Ok(first)) = sockets.first().map(TcpListener::local_addr)
        {
            // A host with several addresses listens on one port, also when the system chose it.
            addr.set_port(first.port());
        }
        match bind_one(addr, everywhere) {
            Ok(socket) => sockets.push(socket),
            Err(error) => failure = error,
        }
    }
    if sockets.is_empty() { Err(BindError::Bind { address: address.clone(), source: failure }) } else { Ok(sockets) }
}

fn bind_one(addr: SocketAddr, both_families: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!both_families)?;
    }
    // On Windows this option would let another program take the port over.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
