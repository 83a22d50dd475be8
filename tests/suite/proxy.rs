//! `connect` through a proxy, which is a small real one here.

use crate::support::attacker::identity;
use crate::support::peer::Stream;
use crate::support::{Attacker, Home, is, quit, serve};
use p2pchat::protocol::frame::{Addrs, Frame, Intent, Refusal};
use std::io::{self, Read, Write, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// A SOCKS5 proxy, which may want the login `ana` and `s3cret`. All that it is asked for is behind one socket, but for names while those
/// are shut; it says what it is asked for.
fn socks5(wants_login: bool, behind: SocketAddr, shut: &Arc<AtomicBool>) -> (SocketAddr, Receiver<String>) {
    let (tell, asked) = mpsc::channel();
    let shut = Arc::clone(shut);
    let proxy = serve(move |mut stream: TcpStream| -> io::Result<()> {
        let mut methods = [0; 2];
        stream.read_exact(&mut methods)?;
        stream.read_exact(&mut vec![0; methods[1].into()])?;
        stream.write_all(&[5, if wants_login { 2 } else { 0 }])?;
        if wants_login {
            let mut login = [0; 12];
            stream.read_exact(&mut login)?;
            stream.write_all(&[1, u8::from(login != *b"\x01\x03ana\x06s3cret")])?;
        }
        let (mut request, mut length) = ([0; 4], [4]);
        stream.read_exact(&mut request)?;
        let by_name = request[3] == 3;
        if by_name {
            stream.read_exact(&mut length)?;
        }
        let mut host = vec![0; length[0].into()];
        stream.read_exact(&mut host)?;
        stream.read_exact(&mut [0; 2])?;
        let numbers = || host.iter().map(u8::to_string).collect::<Vec<_>>().join(".");
        tell.send(if by_name { String::from_utf8(host.clone()).unwrap() } else { numbers() }).unwrap();
        if by_name && shut.load(Ordering::Acquire) {
            return stream.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
        }
        let mut onwards = TcpStream::connect(behind)?;
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
        let (mut back, mut from_peer) = (stream.try_clone()?, onwards.try_clone()?);
        thread::spawn(move || copy(&mut from_peer, &mut back).and_then(|_| back.shutdown(Shutdown::Write)));
        copy(&mut stream, &mut onwards)?;
        onwards.shutdown(Shutdown::Write)
    });
    (proxy, asked)
}

#[test]
fn two_talk_through_a_proxy_that_looks_the_name_up_and_its_login_is_never_shown() {
    let ana = Home::new().listen("ana", &[]);
    let (proxy, asked) = socks5(true, ana.addr(), &Arc::default());
    let connect = ["connect", "peer.test:5000", "--json", "-vv"];
    let proxies = [("P2PCHAT_PROXY", &*format!("socks5h://ana:s3cret@{proxy}")), ("ALL_PROXY", "http://127.0.0.1:1")];
    let ben = Home::new().start_in("ben", &proxies, &connect);
    ben.event("connected");
    let (mut ana, mut ben) = (ana, ben);
    quit(&mut ana, &mut ben);
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), ["peer.test"]);
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

#[test]
fn what_a_peer_tells_of_its_addresses_is_dialled_by_the_proxy_alone_and_for_that_session_alone() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let shut = Arc::new(AtomicBool::new(false));
    let (proxy, asked) = socks5(false, socket.local_addr().unwrap(), &shut);
    let proxies = [("NO_PROXY", "203.0.113.8"), ("P2PCHAT_PROXY", &*format!("socks5h://{proxy}"))];
    let connect = ["connect", "peer.test:5000", "--json", "--reconnect", "forever"];
    let ben = Home::new().start_in("ben", &proxies, &connect);
    let key = identity();
    let meet = || Attacker::accept(&socket, &key);
    let (mut eve, greeting) = meet();
    eve.send(&Frame::Greeting(greeting)).unwrap();
    ben.event("connected");
    assert_eq!(asked.recv().unwrap(), "peer.test");
    let told = ["127.0.0.1", "10.0.0.1", "192.168.0.1", "100.64.0.1", "169.254.0.1", "203.0.113.8", "203.0.113.7"];
    let list = told.map(|ip| SocketAddr::new(ip.parse().unwrap(), 5000)).to_vec();
    eve.send(&Frame::Addrs(Addrs { port: 5000, list })).unwrap();
    assert!(eve.is_answered());
    shut.store(true, Ordering::Release);
    drop(eve);
    let (mut eve, greeting) = meet();
    assert_eq!(greeting.intent, Intent::Resume);
    eve.send(&Frame::Greeting(greeting)).unwrap();
    ben.event("reconnected");
    shut.store(false, Ordering::Release);
    assert_eq!(asked.try_iter().filter(|host| host != "peer.test").collect::<Vec<_>>(), ["203.0.113.7"]);
    // The program there is another now, and forgot the session.
    drop(eve);
    let (mut eve, greeting) = meet();
    assert_eq!(greeting.intent, Intent::Resume);
    eve.send(&Frame::Refusal(Refusal::NoSuchSession)).unwrap();
    drop(eve);
    shut.store(true, Ordering::Release);
    for _ in 0..3 {
        assert_eq!(asked.recv().unwrap(), "peer.test", "what was told is dialled for a new session");
    }
    shut.store(false, Ordering::Release);
    let (_eve, greeting) = meet();
    assert_eq!(greeting.intent, Intent::New);
}
