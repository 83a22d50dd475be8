//! PCP (RFC 6887) and NAT-PMP (RFC 6886), the older protocol on the same port: datagrams to a router and back.
//!
//! An answer counts when it comes from the asked address and fits the request; others are passed over until the wait is over.

use super::{MapError, Method};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Where both protocols are served.
pub(super) const PORT: u16 = 5351;
/// Bytes of the number that says whose a PCP mapping is.
pub const NONCE: usize = 12;
/// How long each of the requests waits for its answer.
pub(super) const WAITS: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_millis(1_000)];
/// The longest message of PCP.
const LONGEST: usize = 1_100;
const PCP: u8 = 2;
const NAT_PMP: u8 = 0;
/// Set in the operation of an answer.
const ANSWER: u8 = 0x80;
const ANNOUNCE: u8 = 0;
const MAP: u8 = 1;
/// NAT-PMP's operations.
const ADDRESS: u8 = 0;
const MAP_TCP: u8 = 2;
const TCP: u8 = 6;
/// PCP's result of a router that speaks the older protocol alone (unsupported version).
pub(super) const OLDER: u16 = 1;

/// What a router gave: where callers come in, and for how many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    pub external: SocketAddr,
    pub seconds: u32,
}

/// A socket to the router's server.
#[derive(Debug)]
pub(super) struct Server {
    socket: UdpSocket,
    client: IpAddr,
}

impl Server {
    /// `client` is the address that callers are to be sent to.
    pub(super) fn new(client: IpAddr, server: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((client, 0))?;
        socket.connect(server)?;
        Ok(Self { socket, client })
    }

    /// Sends the request once for each of `waits`, until an answer is taken. None: nobody serves there.
    fn ask<T>(&self, request: &[u8], waits: &[Duration], take: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let mut buffer = [0; LONGEST];
        for wait in waits {
            let until = Instant::now() + *wait;
            self.socket.send(request).ok()?;
            loop {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                self.socket.set_read_timeout(Some(left)).ok()?;
                match self.socket.recv(&mut buffer) {
                    Ok(length) => {
                        if let Some(answer) = buffer.get(..length).and_then(&take) {
                            return Some(answer);
                        }
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // The port is closed, say.
                    Err(_) => return None,
                }
            }
        }
        None
    }

    /// Asks for the TCP port, by PCP or else by NAT-PMP, which has no number to tell whose a mapping is; with 0 seconds the mapping is
    /// deleted. `at` is where callers came in before.
    pub(super) fn map(
        &self,
        by: Method,
        nonce: &[u8; NONCE],
        port: u16,
        at: Option<SocketAddr>,
        seconds: u32,
        waits: &[Duration],
    ) -> Option<Result<Assigned, u16>> {
        if by == Method::Pcp {
            let request = map_request(self.client, nonce, port, at, seconds);
            return self.ask(&request, waits, |answer| read_map(answer, nonce, port));
        }
        let (ip, wanted) = match seconds {
            0 => (Ipv4Addr::UNSPECIFIED, 0),
            _ => match self.nat_pmp_address(waits)? {
                Ok(ip) => (ip, at.map_or(port, |at| at.port())),
                Err(code) => return Some(Err(code)),
            },
        };
        let request = nat_pmp_request(port, wanted, seconds);
        let mapped = self.ask(&request, waits, |answer| read_nat_pmp_map(answer, port))?;
        Some(mapped.map(|(port, seconds)| Assigned { external: SocketAddr::new(ip.into(), port), seconds }))
    }

    /// The router's external address, by NAT-PMP.
    pub(super) fn nat_pmp_address(&self, waits: &[Duration]) -> Option<Result<Ipv4Addr, u16>> {
        self.ask(&[NAT_PMP, ADDRESS], waits, read_nat_pmp_address)
    }

    /// Whether PCP is served, without a mapping.
    pub(super) fn serves_pcp(&self) -> Option<Result<(), u16>> {
        let mut request = vec![PCP, ANNOUNCE, 0, 0, 0, 0, 0, 0];
        request.extend_from_slice(&octets(self.client));
        self.ask(&request, &WAITS, read_announce)
    }
}

fn map_request(client: IpAddr, nonce: &[u8; NONCE], port: u16, at: Option<SocketAddr>, seconds: u32) -> Vec<u8> {
    let any = if client.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let wanted = match at {
        _ if seconds == 0 => SocketAddr::new(any, 0),
        Some(at) => at,
        None => SocketAddr::new(any, port),
    };
    let mut request = vec![PCP, MAP, 0, 0];
    request.extend_from_slice(&seconds.to_be_bytes());
    request.extend_from_slice(&octets(client));
    request.extend_from_slice(nonce);
    request.extend_from_slice(&[TCP, 0, 0, 0]);
    request.extend_from_slice(&port.to_be_bytes());
    request.extend_from_slice(&wanted.port().to_be_bytes());
    request.extend_from_slice(&octets(wanted.ip()));
    request
}

fn nat_pmp_request(port: u16, external: u16, seconds: u32) -> Vec<u8> {
    let ports = [port.to_be_bytes(), external.to_be_bytes()].concat();
    [&[NAT_PMP, MAP_TCP, 0, 0], &*ports, &seconds.to_be_bytes()].concat()
}

/// Addresses of both families have 16 bytes.
fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

/// The operation's answer: a result, from byte 24 on what belongs to it, and a lifetime.
fn read_pcp(answer: &[u8], operation: u8) -> Option<Result<(u32, &[u8]), u16>> {
    match *answer {
        [NAT_PMP, of, ..] if of & ANSWER != 0 => Some(Err(OLDER)),
        [PCP, of, _, result, ..] if of == operation | ANSWER => match (result, u32_at(answer, 4)?) {
            (0, seconds) => Some(Ok((seconds, answer.get(24..)?))),
            (code, _) => Some(Err(code.into())),
        },
        _ => None,
    }
}

/// The answer to a request to map `port`; none when it is something else.
pub fn read_map(answer: &[u8], nonce: &[u8; NONCE], port: u16) -> Option<Result<Assigned, u16>> {
    let (seconds, body) = match read_pcp(answer, MAP)? {
        Ok(granted) => granted,
        Err(code) => return Some(Err(code)),
    };
    let fits = body.starts_with(nonce) && body.get(NONCE) == Some(&TCP) && u16_at(body, 16)? == port;
    let ip = Ipv6Addr::from(*body.get(20..)?.first_chunk::<16>()?).to_canonical();
    let external = SocketAddr::new(ip, u16_at(body, 18)?);
    fits.then_some(Ok(Assigned { external, seconds }))
}

/// The answer to an announcement; none when it is something else.
pub fn read_announce(answer: &[u8]) -> Option<Result<(), u16>> {
    Some(read_pcp(answer, ANNOUNCE)?.map(drop))
}

/// The result and what follows the time since the router's start.
fn read_nat_pmp(answer: &[u8], operation: u8) -> Option<Result<&[u8], u16>> {
    if answer.get(..2)? != [NAT_PMP, operation | ANSWER] {
        return None;
    }
    Some(match u16_at(answer, 2)? {
        0 => Ok(answer.get(8..)?),
        code => Err(code),
    })
}

/// The external address; none when the answer is something else.
pub fn read_nat_pmp_address(answer: &[u8]) -> Option<Result<Ipv4Addr, u16>> {
    Some(match read_nat_pmp(answer, ADDRESS)? {
        Ok(body) => Ok(Ipv4Addr::from(*body.first_chunk::<4>()?)),
        Err(code) => Err(code),
    })
}

/// The external port and the seconds; none when the answer is something else.
pub fn read_nat_pmp_map(answer: &[u8], port: u16) -> Option<Result<(u16, u32), u16>> {
    Some(match read_nat_pmp(answer, MAP_TCP)? {
        Ok(body) if u16_at(body, 0)? == port => Ok((u16_at(body, 2)?, u32_at(body, 4)?)),
        Ok(_) => return None,
        Err(code) => Err(code),
    })
}

/// What the results of both protocols mean for who listens.
pub(super) fn refusal(by: Method, code: u16) -> MapError {
    match (by, code) {
        (_, 2) => MapError::Forbidden,
        // No resources, which miniupnpd says behind another NAT; the request came through one (address mismatch). Or no network.
        (Method::Pcp, 8 | 12) | (Method::NatPmp, 3) => MapError::NoPublicAddress,
        _ => MapError::Refused(by, code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A router on loopback that answers each request, by number, with these datagrams.
    fn router(answer: impl Fn(usize, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Server {
        let socket = UdpSocket::bind((CLIENT, 0)).unwrap();
        let addr = socket.local_addr().unwrap();
        thread::spawn(move || {
            for number in 0.. {
                let mut request = [0; LONGEST];
                let Ok((length, from)) = socket.recv_from(&mut request) else { return };
                for datagram in answer(number, &request[..length]) {
                    let _ = socket.send_to(&datagram, from);
                }
            }
        });
        Server::new(CLIENT, addr).unwrap()
    }

    fn granted(request: &[u8], ip: &str, port: u16) -> Vec<u8> {
        let mut answer = request.to_vec();
        answer[1] |= ANSWER;
        answer[3] = 0;
        answer[8..24].fill(0);
        answer[42..44].copy_from_slice(&port.to_be_bytes());
        answer[44..60].copy_from_slice(&octets(ip.parse().unwrap()));
        answer
    }

    #[test]
    fn an_answer_counts_when_it_fits_whatever_comes_before_it_and_however_often_it_is_lost() {
        let server = router(|number, request| {
            let good = granted(request, "203.0.113.7", 41_000);
            let [mut nonce, mut port, mut operation] = [(); 3].map(|()| good.clone());
            nonce[24] ^= 1;
            port[41] ^= 1;
            operation[1] = MAP;
            let garbage = vec![nonce, port, operation, vec![], vec![PCP], good[..59].to_vec(), vec![0xff; LONGEST]];
            if number == 0 { garbage } else { [garbage, vec![good]].concat() }
        });
        let external = "203.0.113.7:41000".parse().unwrap();
        let mapped = server.map(Method::Pcp, &[7; NONCE], 5_000, None, 3_600, &WAITS);
        assert_eq!(mapped, Some(Ok(Assigned { external, seconds: 3_600 })));
    }

    #[test]
    fn what_speaks_the_older_protocol_and_what_says_no_is_told_apart() {
        let older = router(|_, _| vec![vec![NAT_PMP, MAP | ANSWER, 0, 1, 0, 0, 0, 9]]);
        assert_eq!(older.map(Method::Pcp, &[7; NONCE], 5_000, None, 3_600, &WAITS), Some(Err(OLDER)));
        let unwilling = router(|_, request| {
            let mut no = granted(request, "0.0.0.0", 0);
            no[3] = 2;
            vec![no]
        });
        assert_eq!(unwilling.map(Method::Pcp, &[7; NONCE], 5_000, None, 3_600, &WAITS), Some(Err(2)));
        let nat_pmp = router(|_, request| match request {
            [0, 0] => vec![vec![0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 7]],
            [0, 2, ..] => vec![vec![0, 130, 0, 0, 0, 0, 0, 1, 0x13, 0x88, 0xa0, 0x28, 0, 0, 14, 16]],
            _ => vec![],
        });
        let external = "203.0.113.7:41000".parse().unwrap();
        let mapped = nat_pmp.map(Method::NatPmp, &[7; NONCE], 5_000, None, 3_600, &WAITS);
        assert_eq!(mapped, Some(Ok(Assigned { external, seconds: 3_600 })));
    }

    #[test]
    fn a_closed_port_is_known_at_once_and_a_flood_of_garbage_holds_nobody_longer_than_silence() {
        let closed = UdpSocket::bind((CLIENT, 0)).unwrap().local_addr().unwrap();
        // Wine does not tell a socket that waits of a closed port.
        if cfg!(not(windows)) {
            let begun = Instant::now();
            let silent = Server::new(CLIENT, closed).unwrap().nat_pmp_address(&[Duration::from_secs(60)]);
            assert_eq!(silent, None);
            assert!(begun.elapsed() < Duration::from_secs(50));
        }
        let flood = UdpSocket::bind((CLIENT, 0)).unwrap();
        let server = Server::new(CLIENT, flood.local_addr().unwrap()).unwrap();
        let to = server.socket.local_addr().unwrap();
        let (over, begun) = (AtomicBool::new(false), Instant::now());
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) && begun.elapsed() < Duration::from_secs(20) {
                    let _ = flood.send_to(&[PCP; 600], to);
                    thread::yield_now();
                }
            });
            assert_eq!(server.serves_pcp(), None);
            over.store(true, Ordering::Relaxed);
        });
        assert!(begun.elapsed() < Duration::from_secs(15));
    }
}
