//! TCP simultaneous open (RFC 9293, section 3.5): a connection between two machines whose firewalls let in nothing but answers.
//!
//! Each side dials the other from a port that the other knows, again and again. What one sends first passes its own firewall, which
//! then takes what comes from the other for an answer.
//!
//! Invariants, from what connection tracking of Linux does (observed), as most routers have it:
//! - The socket that dialled becomes the connection. An answer by another socket of the port, as that of a listener, begins at another
//!   sequence number: NAT lets it out untranslated.
//! - A connection that fails ends with a reset, also one whose opening failed: what waits for the peer to confirm its end keeps the ports
//!   for minutes, and firewalls go by its sequence numbers until it ends.
//! - From the first segment on there is a socket that dials, until the other side's firewall rejects it. A segment of the peer that passes
//!   the firewall and finds none is a connection for the firewall, for two minutes, in which it drops what any later one sends.

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// For one attempt: one that ends just as the peer's comes spoils both, so they are long; and the kernel's pauses between repetitions
/// grow, so they are not longer.
pub(super) const ATTEMPT: Duration = Duration::from_secs(20);
/// Before the next attempt when one led to somebody with whom the opening failed: no machine is dialled faster than that which answers.
pub(super) const ANSWERED_PAUSE: Duration = Duration::from_secs(1);
/// The shortest pause between two attempts; the longest is 255 ms more.
const PAUSE: Duration = Duration::from_millis(20);

/// A socket that dials from this address, which other sockets may have as well.
pub(super) fn bind(own: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(own), Type::STREAM, Some(Protocol::TCP))?;
    if own.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // On Windows the first would let another program take the port over, and the second does not exist.
    #[cfg(unix)]
    {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
    }
    socket.bind(&own.into())?;
    Ok(socket)
}

/// Any address of this machine, of the family of `peer`.
pub(super) fn any_address(peer: SocketAddr, port: u16) -> SocketAddr {
    let ip: IpAddr = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, port)
}

/// One attempt. What comes of it ends with a reset until it is [`opened`].
pub(super) fn connect(socket: Socket, peer: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    // A half-open one that is given up ends with a reset, for the firewalls, and so that the next may have its ports.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.connect_timeout(&peer.into(), timeout)?;
    let stream = TcpStream::from(socket);
    let own = stream.local_addr()?;
    if (own.ip(), own.port()) == (peer.ip(), peer.port()) {
        // A socket that dials its own address and port is connected to itself.
        return Err(io::Error::new(ErrorKind::InvalidInput, "this is the very port that is dialled from"));
    }
    Ok(stream)
}

/// The opening is done: what was said last has to arrive from now on.
pub(super) fn opened(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(None);
}

/// The pause before the next attempt, if that may succeed: nothing came back, or what firewalls and a peer say between its own attempts; or
/// an earlier connection between the two ports has not ended yet.
///
/// Firewalls that reject end the attempts of both sides within a round trip, and two equal rhythms never meet: it is random. After silence
/// the firewall still lets the peer's segments in: there is none.
pub(super) fn pause(error: &io::Error) -> Option<Duration> {
    match error.kind() {
        ErrorKind::TimedOut => Some(Duration::ZERO),
        ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::HostUnreachable
        | ErrorKind::PermissionDenied
        | ErrorKind::AddrNotAvailable
        | ErrorKind::AddrInUse => {
            Some(PAUSE + Duration::from_millis(u64::from(getrandom::u32().unwrap_or(1 << 31) >> 24)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_dials_itself_is_refused() {
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let own = socket.local_addr().unwrap().as_socket().unwrap();
        assert_eq!(connect(socket, own, ATTEMPT).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[cfg(unix)]
    #[test]
    fn two_that_dial_each_other_meet_without_a_listener() {
        use std::io::{Read, Write};
        use std::thread;
        use std::time::Instant;

        // Held, so that no other test gets the ports; a socket that does not listen takes no connection.
        let held = [(); 2].map(|()| bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let [one, other] = [0, 1].map(|n: usize| held[n].local_addr().unwrap().as_socket().unwrap());
        let until = Instant::now() + Duration::from_secs(60);
        let dial = move |own: SocketAddr, peer: SocketAddr| loop {
            match connect(bind(own).unwrap(), peer, ATTEMPT) {
                Err(error) if pause(&error).is_some() && Instant::now() < until => {}
                met => return met.unwrap(),
            }
        };
        let far = thread::spawn(move || dial(other, one));
        let mut near = dial(one, other);
        near.write_all(b"met").unwrap();
        let mut read = [0; 3];
        far.join().unwrap().read_exact(&mut read).unwrap();
        assert_eq!(&read, b"met");
    }
}
