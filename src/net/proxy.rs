//! Dialling through a proxy: SOCKS5 (RFC 1928, with a login by RFC 1929) or HTTP CONNECT.
//!
//! Invariant: while a proxy is set, a host that is neither loopback nor excepted by `NO_PROXY` is never dialled directly, and with
//! `socks5h` and `http` its name is looked up by the proxy alone. The login is shown nowhere.
//!
//! 1. [`ProxyPolicy::from_settings`] reads `--proxy`, else `P2PCHAT_PROXY`, else `ALL_PROXY` or `all_proxy`.
//! 2. [`ProxyPolicy::proxy_for`] says whether a host is dialled through it.
//! 3. [`Proxy::connect`] makes a connection to the proxy and has it connect onwards. What is read of its answer has a fixed limit and the
//!    deadline of the whole opening.

mod policy;
#[cfg(test)]
mod tests;

pub use policy::{ProxyPolicy, is_onion};

use super::address::Candidate;
use super::opening::DeadlineStream;
use crate::error_text::io_error_text;
use data_encoding::BASE64;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Instant;
use thiserror::Error;
use zeroize::Zeroizing;

/// When the URL has none; curl's default for every kind of proxy.
const DEFAULT_PORT: u16 = 1_080;
/// The longest head of an HTTP answer; those of real proxies have some hundred bytes.
const HTTP_HEAD: usize = 8 * 1_024;
/// The longest host name, user name or password: their length is one byte in SOCKS5.
const TEXT: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    /// Names are looked up here.
    Socks5,
    /// Names are looked up by the proxy.
    Socks5h,
    Http,
}

#[derive(Clone)]
struct Login {
    user: Zeroizing<String>,
    password: Zeroizing<String>,
}

/// One proxy. Shown without its login.
#[derive(Clone)]
pub struct Proxy {
    scheme: Scheme,
    address: Candidate,
    login: Option<Login>,
}

/// Why a text is no proxy's URL. Names no part of it, which may hold a password.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProxyUrlError {
    #[error("it is no proxy that can be used: socks5://, socks5h:// or http://, then HOST:PORT")]
    Scheme,
    #[error("it has no HOST:PORT")]
    Address,
    #[error("its login is no USER:PASSWORD of 1 to {TEXT} bytes each (% and two digits for special characters)")]
    Login,
}

/// Why the proxy gave no connection to the peer. Shown behind "cannot connect to ADDRESS".
#[derive(Debug, Error)]
pub enum ProxyError {
    #[error("a name in .onion is reached through Tor alone\n--proxy socks5h://127.0.0.1:9050, where Tor runs")]
    Onion,
    #[error("a proxy takes no such host name")]
    HostName,
    #[error("cannot find it: {cause}\nwith socks5h:// the proxy looks names up", cause = io_error_text(.0))]
    Resolve(#[source] io::Error),
    #[error("the proxy {0} cannot be reached: {cause}", cause = io_error_text(.1))]
    Unreachable(String, #[source] io::Error),
    #[error("the proxy did not answer in time\n--timeout SECONDS gives it longer")]
    Silent,
    #[error("the proxy closed the connection without a reason\nssh -D does so when it cannot reach {0}")]
    Closed(Candidate),
    #[error("the connection to the proxy broke: {cause}", cause = io_error_text(.0))]
    Io(#[from] io::Error),
    #[error("what answers at {0} is no {1} proxy")]
    NotAProxy(String, &'static str),
    #[error(
        "the proxy wants a login\nP2PCHAT_PROXY=socks5h://USER:PASSWORD@HOST:PORT (--proxy would show it in the list of processes)"
    )]
    LoginWanted,
    #[error("the proxy does not take this login")]
    LoginRefused,
    #[error("the proxy says: {0}")]
    Says(String),
}

impl Proxy {
    /// Reads `SCHEME://[USER:PASSWORD@]HOST[:PORT][/]`.
    pub fn parse(url: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(ProxyUrlError::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "socks5" | "socks" => Scheme::Socks5,
            "socks5h" => Scheme::Socks5h,
            "http" => Scheme::Http,
            _ => return Err(ProxyUrlError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, host) = match rest.rsplit_once('@') {
            Some((login, host)) => (Some(Login::parse(login)?), host),
            None => (None, rest),
        };
        let mut address = host.parse::<Candidate>().map_err(|_| ProxyUrlError::Address)?;
        if host.is_empty() || host.contains('/') {
            return Err(ProxyUrlError::Address);
        }
        let has_port = host.rsplit_once(':').is_some_and(|(before, _)| !before.contains(':') || before.ends_with(']'));
        if !has_port {
            address.port = DEFAULT_PORT;
        }
        Ok(Self { scheme, address, login })
    }

    /// Connects to `target` through the proxy. The address is the peer's where it is known here, else the proxy's.
    pub fn connect(&self, target: &Candidate, deadline: Instant) -> Result<(TcpStream, SocketAddr), ProxyError> {
        let host = target.host.as_str();
        if is_onion(host) && self.scheme != Scheme::Socks5h {
            return Err(ProxyError::Onion);
        }
        // The proxy looks names up.
        if self.scheme != Scheme::Socks5 && host.parse::<IpAddr>().is_err() {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if host.is_empty() || host.len() > TEXT || !host.bytes().all(plain) {
                return Err(ProxyError::HostName);
            }
            return self.connect_host(target, target, deadline);
        }
        let mut last = ProxyError::Resolve(ErrorKind::AddrNotAvailable.into());
        for addr in target.resolve().map_err(ProxyError::Resolve)? {
            // Without its scope, which is of this machine.
            let host = Candidate { host: addr.ip().to_string(), port: addr.port() };
            match self.connect_host(&host, target, deadline) {
                Ok((stream, _)) => return Ok((stream, addr)),
                // Another address of the peer may do.
                Err(error @ (ProxyError::Says(_) | ProxyError::Closed(_))) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Has the proxy connect to `host`: the target, or one of its addresses.
    fn connect_host(
        &self,
        host: &Candidate,
        target: &Candidate,
        deadline: Instant,
    ) -> Result<(TcpStream, SocketAddr), ProxyError> {
        let (stream, addr) = self.reach(deadline)?;
        let mut deadline_stream = DeadlineStream::new(&stream, deadline);
        let answered = match self.scheme {
            Scheme::Socks5 | Scheme::Socks5h => self.socks5(&mut deadline_stream, host),
            Scheme::Http => self.http(&mut deadline_stream, host),
        };
        match answered {
            Ok(()) => Ok((stream, addr)),
            Err(ProxyError::Io(error)) => Err(match error.kind() {
                ErrorKind::TimedOut | ErrorKind::WouldBlock => ProxyError::Silent,
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    ProxyError::Closed(target.clone())
                }
                _ => ProxyError::Io(error),
            }),
            Err(error) => Err(error),
        }
    }

    /// A connection to the proxy itself.
    fn reach(&self, deadline: Instant) -> Result<(TcpStream, SocketAddr), ProxyError> {
        let unreachable = |error| ProxyError::Unreachable(self.address.to_string(), error);
        let mut last = ErrorKind::AddrNotAvailable.into();
        let addrs = self.address.resolve().map_err(unreachable)?;
        let count = addrs.len();
        for (tried, addr) in addrs.into_iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(count - tried).unwrap_or(1);
            if share.is_zero() {
                return Err(unreachable(ErrorKind::TimedOut.into()));
            }
            match TcpStream::connect_timeout(&addr, share) {
                Ok(stream) => return Ok((stream, addr)),
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    fn socks5(&self, stream: &mut DeadlineStream<'_>, host: &Candidate) -> Result<(), ProxyError> {
        const VERSION: u8 = 5;
        const NO_LOGIN: u8 = 0;
        const LOGIN: u8 = 2;
        const CONNECT: u8 = 1;
        let not_socks = || ProxyError::NotAProxy(self.address.to_string(), "SOCKS5");
        let methods: &[u8] =
            if self.login.is_some() { &[VERSION, 2, NO_LOGIN, LOGIN] } else { &[VERSION, 1, NO_LOGIN] };
        stream.write_all(methods)?;
        match read(stream)? {
            [VERSION, NO_LOGIN] => {}
            [VERSION, LOGIN] => {
                let Some(login) = &self.login else { return Err(not_socks()) };
                let mut request = Zeroizing::new(vec![1]);
                push_text(&mut request, &login.user);
                push_text(&mut request, &login.password);
                stream.write_all(&request)?;
                if !matches!(read(stream)?, [_, 0]) {
                    return Err(ProxyError::LoginRefused);
                }
            }
            [VERSION, _] => return Err(ProxyError::LoginWanted),
            _ => return Err(not_socks()),
        }
        let mut request = vec![VERSION, CONNECT, 0];
        match host.ip() {
            Some(IpAddr::V4(ip)) => {
                request.push(1);
                request.extend_from_slice(&ip.octets());
            }
            Some(IpAddr::V6(ip)) => {
                request.push(4);
                request.extend_from_slice(&ip.octets());
            }
            None => {
                request.push(3);
                push_text(&mut request, &host.host);
            }
        }
        request.extend_from_slice(&host.port.to_be_bytes());
        stream.write_all(&request)?;
        match read(stream)? {
            [VERSION, 0] => {}
            [VERSION, code] => return Err(ProxyError::Says(socks_words(code))),
            _ => return Err(not_socks()),
        }
        // The address that the proxy connected from says nothing to us, but it has to be read.
        let length = match read(stream)? {
            [_, 1] => 4,
            [_, 4] => 16,
            [_, 3] => usize::from(u8::from_be_bytes(read(stream)?)),
            _ => return Err(not_socks()),
        };
        let mut rest = vec![0; length + 2];
        stream.read_exact(&mut rest)?;
        Ok(())
    }

    fn http(&self, stream: &mut DeadlineStream<'_>, host: &Candidate) -> Result<(), ProxyError> {
        let mut request = Zeroizing::new(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n"));
        if let Some(Login { user, password }) = &self.login {
            let login = Zeroizing::new(format!("{}:{}", user.as_str(), password.as_str()));
            let encoded = Zeroizing::new(BASE64.encode(login.as_bytes()));
            request.push_str(&format!("Proxy-Authorization: Basic {}\r\n", encoded.as_str()));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes())?;
        let not_http = || ProxyError::NotAProxy(self.address.to_string(), "HTTP");
        // Byte by byte, for what follows the head is the peer's.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let [byte] = read(stream)?;
            head.push(byte);
            let begun = head.get(..5).is_none_or(|begin| begin == b"HTTP/");
            if head.len() > HTTP_HEAD || !begun {
                return Err(not_http());
            }
        }
        let head = String::from_utf8_lossy(&head);
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse::<u16>().ok());
        match status {
            Some(200..300) => Ok(()),
            Some(407) if self.login.is_some() => Err(ProxyError::LoginRefused),
            Some(407) => Err(ProxyError::LoginWanted),
            Some(403) => Err(ProxyError::Says("its rules do not allow this (HTTP 403)".into())),
            Some(status @ 500..600) => Err(ProxyError::Says(format!("it cannot reach the peer (HTTP {status})"))),
            Some(status) => Err(ProxyError::Says(format!("it does not do this (HTTP {status})"))),
            None => Err(not_http()),
        }
    }
}

fn read<const N: usize>(stream: &mut DeadlineStream<'_>) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A length byte and the text, which is at most [`TEXT`] long.
fn push_text(request: &mut Vec<u8>, text: &str) {
    request.extend(u8::try_from(text.len()));
    request.extend_from_slice(text.as_bytes());
}

/// RFC 1928, and from 0xf0 on Tor's (proposal 304).
fn socks_words(code: u8) -> String {
    let words = match code {
        1 => "general failure",
        2 => "its rules do not allow this",
        3 => "the peer's network is unreachable",
        4 => "the peer's host is unreachable",
        5 => "connection refused",
        6 => "no answer from the peer",
        7 => "it does not make connections",
        8 => "it does not know this kind of address\nwith socks5h:// it looks the name up itself",
        0xf0 => "there is no such onion service, or it is not running",
        0xf1 => "the onion service's descriptor is invalid",
        0xf2 => "the onion service could not be introduced to",
        0xf3 => "no rendezvous with the onion service",
        0xf4 | 0xf5 => "the onion service wants a client authorization that Tor does not have",
        0xf6 => "this is no onion address: copy all 56 characters",
        0xf7 => "the introduction to the onion service timed out",
        other => return format!("failure {other}"),
    };
    words.to_owned()
}

impl Login {
    fn parse(text: &str) -> Result<Self, ProxyUrlError> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let part = |text: &str| percent_decoded(text).filter(|part| part.len() <= TEXT).ok_or(ProxyUrlError::Login);
        let login = Self { user: part(user)?, password: part(password)? };
        if login.user.is_empty() { Err(ProxyUrlError::Login) } else { Ok(login) }
    }
}

/// None when a `%` is not followed by two hexadecimal digits, or the outcome is no UTF-8.
fn percent_decoded(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let digits = str::from_utf8(rest.split_off(..2)?).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(first);
        }
    }
    str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned()))
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Socks5 => "socks5",
            Scheme::Socks5h => "socks5h",
            Scheme::Http => "http",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
