use super::*;
use crate::channel::Code;
use crate::identity::Identity;
use crate::net::address::ListenAddress;
use crate::net::listen::{AcceptedModes, ListenEvent, Listener, bind};
use crate::net::opening::fixtures::greeting;
use crate::protocol::frame::{Frame, Intent, Refusal};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::Receiver;

const LONG: Duration = Duration::from_secs(60);

fn listener(identity: &Arc<Identity>, code: Option<&Arc<Code>>) -> (Listener, SocketAddr, Receiver<ListenEvent>) {
    let (tell, events) = mpsc::channel();
    let sockets = bind(&ListenAddress { host: Some("127.0.0.1".into()), port: 0 }).unwrap();
    let (accept_key, modes) = (|_: &_| Ok(None), AcceptedModes { code: code.cloned(), open: code.is_none() });
    let tell = move |event| drop(tell.send(event));
    let listener = Listener::start(sockets, Arc::clone(identity), Arc::new(accept_key), modes, LONG, tell).unwrap();
    let addr = listener.addrs()[0];
    (listener, addr, events)
}

/// Answers each greeting, as the event loop does, and counts them.
fn answer(events: Receiver<ListenEvent>, greetings: Sender<()>) {
    thread::spawn(move || {
        let mut kept = Vec::new();
        for event in events {
            if let ListenEvent::PeerGreeted(mut peer) = event {
                let greeting = Frame::Greeting(peer.greeting.clone());
                crate::channel::write_frame(&mut &peer.stream, &mut peer.channel.sealer, &greeting).unwrap();
                kept.push(peer);
                greetings.send(()).unwrap();
            }
        }
    });
}

/// Somebody who takes connections, answers with `bytes`, and reads on.
fn decoy(bytes: &'static [u8]) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = socket.accept() {
            let _ = stream.read(&mut [0; 28]);
            let _ = stream.write_all(bytes);
            kept.push(stream);
        }
    });
    addr
}

fn dead() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn credentials(wanted: &Identity, code: Option<&Arc<Code>>) -> DialCredentials {
    let wanted = wanted.public();
    let accept_key = move |key: &PublicKey| {
        if *key == wanted { Ok(None) } else { Err(KeyRejected("another key".into())) }
    };
    let identity = Arc::new(Identity::generate().unwrap());
    DialCredentials { identity, code: code.cloned(), accept_key: Arc::new(accept_key) }
}

/// Dials these, and those that were told, for a listener of this key.
fn dial(
    candidates: &[SocketAddr],
    told: &[SocketAddr],
    wanted: &Identity,
    code: Option<&Arc<Code>>,
) -> Result<Established, Vec<Failure>> {
    let candidates: Vec<_> = candidates.iter().copied().map(Candidate::from).collect();
    let (deadline, credentials) = (Instant::now() + LONG, credentials(wanted, code));
    race(&candidates, told, None, deadline, &credentials, &greeting(Intent::New), None)
}

#[test]
fn the_right_listener_wins_past_decoys_and_sees_one_greeting() {
    let (right, wrong) = (Arc::new(Identity::generate().unwrap()), Arc::new(Identity::generate().unwrap()));
    let (_listener, addr, events) = listener(&right, None);
    let (_other, other, _other_events) = listener(&wrong, None);
    let (tell, greetings) = mpsc::channel();
    answer(events, tell);
    // The right one is there twice, as a host with two addresses is.
    let addrs = [decoy(b"HTTP/1.1 400 Bad Request\r\n\r\n"), decoy(b""), other, dead(), addr, addr];
    let established = dial(&addrs, &[], &right, None).unwrap();
    assert_eq!((established.addr, established.channel.peer), (addr, right.public()));
    greetings.recv().unwrap();
    drop((_listener, established));
    assert!(greetings.recv_timeout(STAGGER).is_err(), "a second greeting");
}

#[test]
fn who_knows_the_code_and_has_another_key_ends_the_race() {
    let code = Arc::new(Code::new("otter plum").unwrap());
    let (right, wrong) = (Arc::new(Identity::generate().unwrap()), Arc::new(Identity::generate().unwrap()));
    let (_other, other, _events) = listener(&wrong, Some(&code));
    let (_listener, addr, events) = listener(&right, Some(&code));
    let failures = dial(&[other, addr], &[], &right, Some(&code));
    let rejected = |failure: &Failure| matches!(failure, Failure::Open(at, ConnectError::Handshake(HandshakeError::KeyRejected(_))) if *at == other);
    assert!(failures.unwrap_err().iter().any(rejected));
    drop(events);
}

#[test]
fn what_the_peer_told_is_dialled_after_what_the_user_named_and_its_failures_are_its_own() {
    let right = Arc::new(Identity::generate().unwrap());
    let (_listener, addr, events) = listener(&right, None);
    let (tell, greetings) = mpsc::channel();
    answer(events, tell);
    let (dead, other) = (dead(), decoy(b"SSH-2.0-OpenSSH\r\n"));
    // The user's fails at once, and nothing else runs by then.
    assert_eq!(dial(&[dead], &[other, addr], &right, None).unwrap().addr, addr);
    greetings.recv().unwrap();
    let failures = dial(&[dead], &[other, dead, addr], &Identity::generate().unwrap(), None).unwrap_err();
    let [Failure::Connect(first, ..), told @ ..] = &failures[..] else { panic!("{failures:?}") };
    let is_other =
        |failure: &Failure| matches!(failure, Failure::Told { addr: at, refuses: false } if [other, addr].contains(at));
    assert!(*first == dead && told.len() == 2 && told.iter().all(is_other), "{failures:?}");
}

#[test]
fn a_told_address_whose_peer_refuses_says_so() {
    let right = Arc::new(Identity::generate().unwrap());
    let (_listener, addr, events) = listener(&right, None);
    thread::spawn(move || {
        for event in events {
            if let ListenEvent::PeerGreeted(mut peer) = event {
                let refusal = Frame::Refusal(Refusal::NoSuchSession);
                crate::channel::write_frame(&mut &peer.stream, &mut peer.channel.sealer, &refusal).unwrap();
            }
        }
    });
    let failures = dial(&[dead()], &[addr], &right, None).unwrap_err();
    assert!(matches!(&failures[..], [_, Failure::Told { addr: at, refuses: true }] if *at == addr), "{failures:?}");
}

#[test]
fn each_address_that_fails_is_named() {
    let (first, second) = (dead(), decoy(b"SSH-2.0-OpenSSH\r\n"));
    let failures = dial(&[first, second], &[], &Identity::generate().unwrap(), None).unwrap_err();
    assert!(matches!(&failures[..], [Failure::Connect(a, ..), Failure::Open(b, _)] if (*a, *b) == (first, second)));
}
