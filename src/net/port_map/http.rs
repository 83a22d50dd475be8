//! As much of HTTP/1.1 and XML as routers speak for UPnP: one request a connection, and plain search for tags.
//!
//! A router is not trusted: an answer has at most 64 KiB and 3 s.

use crate::net::opening::DeadlineStream;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Bytes of an answer; descriptions of routers have up to some 20 KiB.
const ANSWER: usize = 64 * 1024;
const CONNECT: Duration = Duration::from_secs(2);
const READ: Duration = Duration::from_secs(3);

/// Where a URL leads: to a server that was found otherwise, so only the port and the path count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub server: SocketAddr,
    pub path: String,
}

impl Url {
    /// Takes `http://HOST[:PORT][/PATH]` when HOST is the address of `server`, whose scope it keeps.
    pub fn absolute(text: &str, server: SocketAddr) -> Option<Self> {
        let rest = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).and_then(|_| text.get(7..))?;
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = port.strip_prefix(':').map_or(Some(80), |port| port.parse().ok())?;
        // A scope is the router's own.
        let ip: IpAddr = host.split('%').next()?.parse().ok()?;
        if ip != server.ip() || port == 0 {
            return None;
        }
        let mut server = server;
        server.set_port(port);
        Self { server, path: String::new() }.at(path)
    }

    /// Another path of the same server; one that could end the line of a request is none.
    fn at(self, path: &str) -> Option<Self> {
        let plain = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        plain.then(|| Self { path: path.to_owned(), ..self })
    }

    /// What a description that was found here calls `text`.
    pub fn join(&self, text: &str) -> Option<Self> {
        if text.contains("://") {
            return Self::absolute(text, self.server);
        }
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = if text.starts_with('/') { text.to_owned() } else { format!("{folder}/{text}") };
        self.clone().at(&path)
    }

    pub(super) fn get(&self, own: IpAddr) -> io::Result<(u16, String)> {
        self.ask(own, READ, "GET", "", "")
    }

    pub(super) fn post(&self, own: IpAddr, limit: Duration, headers: &str, body: &str) -> io::Result<(u16, String)> {
        self.ask(own, limit, "POST", headers, body)
    }

    /// The status and the body of the answer to a request from the address `own`.
    fn ask(&self, own: IpAddr, limit: Duration, method: &str, headers: &str, body: &str) -> io::Result<(u16, String)> {
        let socket = Socket::new(Domain::for_address(self.server), Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::new(own, 0).into())?;
        socket.connect_timeout(&self.server.into(), CONNECT.min(limit))?;
        let stream = TcpStream::from(socket);
        let mut stream = DeadlineStream::new(&stream, Instant::now() + limit);
        let (path, host, length) = (&self.path, self.server, body.len());
        let host = match host.ip() {
            IpAddr::V6(ip) => format!("[{ip}]:{}", host.port()),
            IpAddr::V4(_) => host.to_string(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let (mut answer, mut piece) = (Vec::new(), [0; 4_096]);
        loop {
            let length = match stream.read(&mut piece) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read?,
            };
            answer.extend_from_slice(piece.get(..length).unwrap_or_default());
            let ended = length == 0 || answer.len() > ANSWER;
            if let Some(parsed) = read_answer(&answer, ended) {
                return Ok(parsed);
            }
            if ended {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }
}

/// The status and the body, once they are whole: by their length, by the last chunk, or, without either, when the connection has `ended`.
pub fn read_answer(answer: &[u8], ended: bool) -> Option<(u16, String)> {
    let head_end = answer.windows(4).position(|end| end == b"\r\n\r\n")?;
    let (head, body) = answer.split_at_checked(head_end + 4)?;
    let head = str::from_utf8(head).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split_whitespace().nth(1)?.parse().ok()?;
    let header = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let body = if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        joined(body)?
    } else if let Some(length) = header("content-length").and_then(|length| length.parse().ok()) {
        body.get(..length)?.to_vec()
    } else if ended {
        body.to_vec()
    } else {
        return None;
    };
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

/// The chunks of a body, once the last is there.
fn joined(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = rest.windows(2).position(|end| end == b"\r\n")?;
        let line = str::from_utf8(rest.get(..line_end)?).ok()?;
        let digits = line.split(';').next()?.trim();
        let length = usize::from_str_radix(digits, 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        let chunk = rest.get(line_end + 2..)?;
        body.extend_from_slice(chunk.get(..length)?);
        rest = chunk.get(length..)?.strip_prefix(b"\r\n")?;
    }
}

/// What stands in the first element of this name, trimmed.
pub fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_leads_to_the_server_that_answered_or_nowhere() {
        let server: SocketAddr = "192.168.1.1:1900".parse().unwrap();
        let url = |text: &str| Url::absolute(text, server);
        let found = url("http://192.168.1.1:49000/igddesc.xml").unwrap();
        assert_eq!((found.server.port(), &*found.path), (49_000, "/igddesc.xml"));
        assert_eq!(url("HTTP://192.168.1.1").unwrap().server.port(), 80);
        for elsewhere in [
            "http://192.168.1.2:49000/",
            "https://192.168.1.1/",
            "http://192.168.1.1@192.168.1.2/",
            "http://router/",
            "http://192.168.1.1:0/",
            "http://192.168.1.1:99999/",
            "http://192.168.1.1/a\r\nHost: x",
            "http://[192.168.1.1/",
            "",
        ] {
            assert_eq!(url(elsewhere), None, "{elsewhere}");
        }
        let path = |text: &str| found.join(text).map(|url| url.path);
        assert_eq!(path("/ctl/IPConn").as_deref(), Some("/ctl/IPConn"));
        assert_eq!(path("ctl").as_deref(), Some("/ctl"));
        assert_eq!(path("http://192.168.1.1:5000/x").as_deref(), Some("/x"));
        assert_eq!(path("http://192.168.1.9:5000/x"), None);
        assert_eq!(path("/a b"), None);
        let scoped: SocketAddr = "[fe80::1%3]:1900".parse().unwrap();
        let found = Url::absolute("http://[fe80::1%25eth0]:5000/d", scoped).unwrap();
        assert_eq!(found.server, "[fe80::1%3]:5000".parse().unwrap());
    }

    #[test]
    fn an_answer_is_whole_by_its_length_its_last_chunk_or_its_end() {
        let whole = |text: &str, ended| read_answer(text.as_bytes(), ended);
        let ok = |body: &str| Some((200, body.to_owned()));
        assert_eq!(whole("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabc", false), ok("ab"));
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", true), None);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(whole(&format!("{chunked}2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), false), ok("abc"));
        assert_eq!(whole(&format!("{chunked}2\r\nab\r\n"), true), None);
        assert_eq!(whole(&format!("{chunked}ffffffffffffffff\r\nab\r\n"), true), None);
        assert_eq!(whole("HTTP/1.0 500 No\r\n\r\nabc", false), None);
        assert_eq!(whole("HTTP/1.0 500 No\r\n\r\nabc", true), Some((500, "abc".into())));
        assert_eq!(whole("SSH-2.0-x\r\n\r\n", true), None);
    }
}
