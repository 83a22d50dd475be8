//! A listening socket that does not hear what comes from an address which the same port dials.
//!
//! The peer's SYN may arrive between two attempts to dial it. An answer by the listener would not be taken by the firewalls
//! ([`crate::net::simultaneous_open`]), and for a minute, as long as the kernel repeats it, the port could not be dialled from. Left
//! unanswered it is repeated, and meets the next attempt. Linux alone has such filters; the BSDs do not mind both.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// Ignores these addresses, instead of those before; with none, hears all again.
#[cfg(target_os = "linux")]
pub(super) fn ignore(socket: &TcpListener, peers: &[SocketAddr]) -> io::Result<()> {
    socket2::SockRef::from(socket).attach_filter(&bpf::program(peers))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn ignore(_: &TcpListener, _: &[SocketAddr]) -> io::Result<()> {
    Ok(())
}

/// Programs of the classic BPF (linux/filter.h, linux/bpf_common.h).
#[cfg(target_os = "linux")]
mod bpf {
    use socket2::SockFilter;
    use std::net::{IpAddr, SocketAddr};

    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF: u16 = 0x28;
    const LOAD_WORD: u16 = 0x20;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// What is loaded from here on is of the IP header (`SKF_NET_OFF`); else of the TCP header.
    const IP_HEADER: u32 = 0xfff0_0000;

    /// Drops segments that come from `peers`.
    pub(super) fn program(peers: &[SocketAddr]) -> Vec<SockFilter> {
        let mut program: Vec<_> = peers.iter().flat_map(|peer| drop_from(*peer)).collect();
        program.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
        program
    }

    /// Drops a segment that comes from `peer`, and goes on with the next instruction for all others.
    fn drop_from(peer: SocketAddr) -> Vec<SockFilter> {
        let load = |code, offset| SockFilter::new(code, 0, 0, offset);
        let (version, source) = match peer.ip() {
            IpAddr::V4(ip) => (0x40, vec![(12, ip.to_bits())]),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h] = ip.segments().map(u32::from);
                (0x60, vec![(8, a << 16 | b), (12, c << 16 | d), (16, e << 16 | f), (20, g << 16 | h)])
            }
        };
        let mut checks = vec![
            (vec![load(LOAD_HALF, 0)], u32::from(peer.port())),
            (vec![load(LOAD_BYTE, IP_HEADER), SockFilter::new(AND, 0, 0, 0xf0)], version),
        ];
        checks.extend(source.into_iter().map(|(offset, word)| (vec![load(LOAD_WORD, IP_HEADER + offset)], word)));
        // From the end: a check that fails jumps behind the RETURN.
        let mut program = vec![SockFilter::new(RETURN, 0, 0, 0)];
        for (loads, value) in checks.into_iter().rev() {
            let behind = u8::try_from(program.len()).unwrap_or(u8::MAX);
            let check = loads.into_iter().chain([SockFilter::new(JUMP_IF_EQUAL, 0, behind, value)]);
            program = check.chain(program).collect();
        }
        program
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::net::simultaneous_open::{bind, connect};
    use std::net::TcpStream;
    use std::time::Duration;

    #[test]
    fn the_listener_does_not_hear_one_address_and_hears_all_others() {
        for loopback in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(loopback).unwrap();
            let addr = listener.local_addr().unwrap();
            let peer = || bind(loopback.parse().unwrap()).unwrap();
            let (ignored, heard) = (peer(), peer());
            let at = |socket: &socket2::Socket| socket.local_addr().unwrap().as_socket().unwrap();
            let elsewhere = "203.0.113.7:5000".parse().unwrap();
            ignore(&listener, &[elsewhere, at(&ignored)]).unwrap();
            assert!(connect(heard, addr, Duration::from_secs(60)).is_ok());
            assert!(TcpStream::connect(addr).is_ok());
            let unheard = connect(ignored, addr, Duration::from_millis(500));
            assert_eq!(unheard.unwrap_err().kind(), io::ErrorKind::TimedOut);
            let again = peer();
            ignore(&listener, &[at(&again)]).unwrap();
            ignore(&listener, &[]).unwrap();
            assert!(connect(again, addr, Duration::from_secs(60)).is_ok());
        }
    }
}
