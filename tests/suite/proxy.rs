//! `connect` through a proxy, which is a small real one here.

use super::support::peer::Stream;
use super::support::{Home, is, quit};
use std::io::{self, Read, Write, copy};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// A SOCKS5 proxy that wants the login `ana` and `s3cret` and knows one name, `peer.test`.
fn socks5(peer: SocketAddr) -> SocketAddr {
    super::support::serve(move |mut stream: TcpStream| -> io::Result<()> {
        let mut request = [0; 4];
        stream.read_exact(&mut request)?;
        stream.write_all(&[5, 2])?;
        let mut login = [0; 12];
        stream.read_exact(&mut login)?;
        stream.write_all(&[1, u8::from(login != *b"\x01\x03ana\x06s3cret")])?;
        let mut request = [0; 4 + 1 + 9 + 2];
        stream.read_exact(&mut request)?;
        assert_eq!(&request[5..14], b"peer.test");
        let mut onwards = TcpStream::connect(peer)?;
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
        let (mut back, mut from_peer) = (stream.try_clone()?, onwards.try_clone()?);
        thread::spawn(move || copy(&mut from_peer, &mut back));
        copy(&mut stream, &mut onwards).map(drop)
    })
}

#[test]
fn two_talk_through_a_proxy_that_looks_the_name_up_and_its_login_is_never_shown() {
    let ana = Home::new().listen("ana", &[]);
    let proxy = socks5(ana.addr());
    let connect = ["connect", "peer.test:5000", "--json", "-vv"];
    let proxies = [("P2PCHAT_PROXY", &*format!("socks5h://ana:s3cret@{proxy}")), ("ALL_PROXY", "http://127.0.0.1:1")];
    let ben = Home::new().start_in("ben", &proxies, &connect);
    ben.event("connected");
    let (mut ana, mut ben) = (ana, ben);
    quit(&mut ana, &mut ben);
    let proxies = [("P2PCHAT_PROXY", &*format!("socks5h://ana:wrong!@{proxy}"))];
    let mut eve = Home::new().start_in("eve", &proxies, &connect);
    eve.ends_with(3);
    let says = eve.wait_for(|event| is(event, "error"))["text"].to_string();
    assert!(says.contains("cannot connect to peer.test:5000: the proxy does not take this login"), "{says}");
    for said in [ben.lines(Stream::Out), ben.lines(Stream::Err), eve.lines(Stream::Out), eve.lines(Stream::Err)] {
        assert!(said.iter().all(|line| !line.contains("s3cret") && !line.contains("wrong!")), "{said:?}");
    }
}

#[test]
fn whoever_set_a_proxy_or_names_an_onion_is_never_dialled_for_directly() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    // The name of this machine: no loopback by its text, and found without any network.
    let this_machine = format!("ip6-localhost:{port}");
    for (proxies, target, code, says) in [
        (&[("ALL_PROXY", "socks5h://127.0.0.1:1")][..], &*this_machine, 3, "the proxy 127.0.0.1:1 cannot be reached"),
        (&[("ALL_PROXY", "socks4://u:s3cret@h:1")], "peer.test", 2, "ALL_PROXY: it is no proxy that can be used"),
        (&[("ALL_PROXY", "socks5://h:1")], "abc.onion:5000", 2, "reached through Tor alone"),
        (&[], "abc.onion:5000", 2, "reached through Tor alone"),
    ] {
        let mut ben = Home::new().start_in("ben", proxies, &["connect", target, "--plain", "--timeout", "5"]);
        ben.ends_with(code);
        let said = ben.lines(Stream::Err).join("\n");
        assert!(said.contains(says) && !said.contains("s3cret"), "{said}");
    }
    socket.set_nonblocking(true).unwrap();
    assert!(socket.accept().is_err());
}
