use super::*;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

/// What a scripted proxy does: bytes that it reads, and its answer.
type Script = &'static [(usize, &'static [u8])];

fn address(text: &str) -> Candidate {
    text.parse().unwrap()
}

/// A proxy that answers each request, of the length given, with these bytes, and then closes or stays. Gives what it was asked.
fn scripted(script: Script, stays: bool) -> (SocketAddr, thread::JoinHandle<Vec<u8>>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let asked = thread::spawn(move || {
        let (mut stream, _) = socket.accept().unwrap();
        let mut asked = Vec::new();
        for (length, answer) in script {
            let mut request = vec![0; *length];
            stream.read_exact(&mut request).unwrap();
            asked.extend(request);
            stream.write_all(answer).unwrap();
        }
        if stays {
            let _ = stream.read_to_end(&mut Vec::new());
        }
        asked
    });
    (addr, asked)
}

fn words(url: &str, target: &str, script: Script, stays: bool) -> Result<Vec<u8>, String> {
    let (addr, asked) = scripted(script, stays);
    let proxy = Proxy::parse(&url.replace("PROXY", &addr.to_string())).unwrap();
    let timeout = if stays { Duration::from_millis(300) } else { Duration::from_secs(60) };
    let connected = proxy.connect(&address(target), Instant::now() + timeout);
    match connected {
        Ok(_) => Ok(asked.join().unwrap()),
        Err(error) => Err(error.to_string().replace(&addr.to_string(), "PROXY")),
    }
}

/// Lengths: method selection, then a CONNECT to `peer.test:5000`.
const ASK: usize = 3;
const NAME: usize = 4 + 1 + 9 + 2;

#[test]
fn a_socks_failure_has_words() {
    const OK: &[u8] = &[5, 0];
    const HINT: &str =
        "the proxy closed the connection without a reason\nssh -D does so when it cannot reach peer.test:5000";
    let of = |script, stays| words("socks5h://PROXY", "peer.test:5000", script, stays).unwrap_err();
    assert_eq!(of(&[(ASK, OK), (NAME, &[5, 5])], false), "the proxy says: connection refused");
    assert_eq!(of(&[(ASK, OK), (NAME, &[5, 2])], false), "the proxy says: its rules do not allow this");
    assert_eq!(of(&[(ASK, OK), (NAME, &[5, 99])], false), "the proxy says: failure 99");
    assert!(of(&[(ASK, OK), (NAME, &[5, 0xf0])], false).contains("no such onion service"));
    assert_eq!(of(&[(ASK, OK), (NAME, b"")], false), HINT);
    assert_eq!(of(&[(ASK, OK), (NAME, &[5, 0, 0, 3, 200, 1])], false), HINT);
    assert_eq!(of(&[(ASK, b"HTTP/1.1 400 No\r\n\r\n")], false), "what answers at PROXY is no SOCKS5 proxy");
    assert!(of(&[(ASK, &[5, 0xff])], false).starts_with("the proxy wants a login"));
    assert!(of(&[(ASK, OK)], true).starts_with("the proxy did not answer in time"));
    let of = |script| words("socks5h://ana:a%3Ab@PROXY", "peer.test:5000", script, false).unwrap_err();
    assert_eq!(of(&[(4, &[5, 2]), (9, &[1, 1])]), "the proxy does not take this login");
}

#[test]
fn a_connect_failure_has_words() {
    let of = |script| words("http://PROXY", "peer.test:5000", script, false).unwrap_err();
    const HEAD: usize = "CONNECT peer.test:5000 HTTP/1.1\r\nHost: peer.test:5000\r\n\r\n".len();
    assert_eq!(of(&[(HEAD, b"HTTP/1.1 502 Bad\r\n\r\n")]), "the proxy says: it cannot reach the peer (HTTP 502)");
    assert!(of(&[(HEAD, b"HTTP/1.1 407 Login\r\nA: b\r\n\r\n")]).starts_with("the proxy wants a login"));
    assert_eq!(of(&[(HEAD, b"SSH-2.0-OpenSSH\r\n")]), "what answers at PROXY is no HTTP proxy");
    const ENDLESS: &[u8] = &[b'x'; HTTP_HEAD];
    assert_eq!(of(&[(HEAD, b"HTTP/1.1 200 "), (0, ENDLESS)]), "what answers at PROXY is no HTTP proxy");
}

#[test]
fn what_a_proxy_is_asked() {
    let socks: Script = &[(4, &[5, 2]), (9, &[1, 0]), (NAME, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])];
    assert_eq!(
        words("socks5h://ana:a%3Ab@PROXY/", "peer.test:5000", socks, false).unwrap(),
        b"\x05\x02\x00\x02\x01\x03ana\x03a:b\x05\x01\x00\x03\x09peer.test\x13\x88"
    );
    let by_address: Script = &[(ASK, &[5, 0]), (22, &[5, 0, 0, 3, 1, b'x', 0, 0])];
    assert_eq!(
        words("SOCKS5://PROXY", "[2001:db8::7]:5000", by_address, false).unwrap(),
        b"\x05\x01\x00\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x13\x88"
    );
    const ASKED: &str = "CONNECT [2001:db8::7]:5000 HTTP/1.1\r\nHost: [2001:db8::7]:5000\r\nProxy-Authorization: Basic YW5hOmE6Yg==\r\n\r\n";
    const HTTP: Script = &[(ASKED.len(), b"HTTP/1.0 200 Connected\r\nVia: x\r\n\r\n")];
    assert_eq!(words("http://ana:a%3Ab@PROXY", "[2001:db8::7]:5000", HTTP, false).unwrap(), ASKED.as_bytes());
}

#[test]
fn what_is_no_proxy_is_refused_without_showing_the_login() {
    for url in [
        "",
        "localhost:1080",
        "socks4://h:1",
        "https://h:1",
        "socks5://",
        "socks5://u:p@",
        "http://h:1/path",
        "socks5h://u:%zz@h:1",
        "socks5h://:p@h:1",
        "socks5h://h:99999",
    ] {
        let refused = ProxyPolicy::from_settings(Some(url), |_| None).unwrap_err();
        assert!(refused.to_string().starts_with("--proxy: it"), "{url}: {refused}");
    }
    let proxy = Proxy::parse("socks5h://ana:secret@[::1]").unwrap();
    assert_eq!(format!("{proxy} {proxy:?}"), "socks5h://[::1]:1080 socks5h://[::1]:1080");
    assert_eq!(Proxy::parse("http://h").unwrap().to_string(), "http://h:1080");
}

#[test]
fn which_proxy_counts_and_for_which_hosts() {
    let of = |option, variables: &'static [(&str, &str)]| {
        let variable = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        ProxyPolicy::from_settings(option, variable).unwrap()
    };
    let all: &[_] = &[("P2PCHAT_PROXY", "http://b:2"), ("ALL_PROXY", "http://c:3"), ("all_proxy", "http://d:4")];
    let shown = |policy: &ProxyPolicy| policy.proxy().map(ToString::to_string);
    assert_eq!(shown(&of(Some("http://a:1"), all)).unwrap(), "http://a:1");
    assert_eq!(shown(&of(None, all)).unwrap(), "http://b:2");
    assert_eq!(shown(&of(None, &all[1..])).unwrap(), "http://c:3");
    assert_eq!(shown(&of(None, &all[2..])).unwrap(), "http://d:4");
    assert_eq!(shown(&of(None, &[("P2PCHAT_PROXY", ""), ("ALL_PROXY", "http://c:3")])), None);
    assert_eq!(shown(&of(Some("none"), all)), None);

    let policy = of(Some("socks5h://t:9050"), &[("NO_PROXY", "corp.test, .lan,10.0.0.0/8,2001:db8::7")]);
    for (host, proxied) in [
        ("peer.test", true),
        ("corp.test", false),
        ("a.Corp.test", false),
        ("notcorp.test", true),
        ("x.lan", false),
        ("10.200.0.1", false),
        ("11.0.0.1", true),
        ("2001:db8::7", false),
        ("2001:db8::8", true),
        ("localhost", false),
        ("127.0.0.9", false),
        ("::1", false),
        ("::ffff:127.0.0.1", false),
        ("abc.onion", true),
    ] {
        let address = Candidate { host: host.into(), port: 1 };
        assert_eq!(policy.proxy_for(&address).unwrap().is_some(), proxied, "{host}");
    }
    for without in [of(None, &[]), of(Some("socks5://t:1"), &[]), of(Some("http://t:1"), &[])] {
        assert!(matches!(without.proxy_for(&address("abc.ONION.:1")), Err(ProxyError::Onion)));
    }
}
