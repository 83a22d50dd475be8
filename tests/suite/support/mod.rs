//! Two real programs, the network between them, and an attacker that speaks the protocol.
//!
//! [`Peer`] runs the built binary; [`Relay`] stands between two of them and misbehaves on demand; [`Attacker`] speaks the protocol
//! by itself. Nothing here waits for a time to pass: everything waits for an event, with a deadline that only a defect reaches.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "fewer tests need less"))]

pub(crate) mod attacker;
pub(crate) mod files;
pub(crate) mod home;
pub(crate) mod hostile;
#[cfg(target_os = "linux")]
pub(crate) mod net;
pub(crate) mod peer;
#[cfg(unix)]
pub(crate) mod pty;
pub(crate) mod relay;
pub(crate) mod rng;

pub(crate) use attacker::Attacker;
pub(crate) use home::Home;
pub(crate) use hostile::Receiver;
pub(crate) use peer::Peer;
#[cfg(unix)]
pub(crate) use pty::Pty;
pub(crate) use relay::{Cut, Fault, Pace, Place, Plan, Relay, Side, Trick, Way};
pub(crate) use rng::Rng;

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;
use std::{io, iter};

/// So long a test waits for what should happen soon; only a defect, or a machine that stands still, uses it up.
/// Wine is slower by far: one process serves all programs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(if cfg!(windows) { 120 } else { 60 });

/// A listener that `ana` runs and a dialler that `ben` runs, connected; each with a home of its own.
pub(crate) fn meet(listen: &[&str], connect: &[&str]) -> (Peer, Peer) {
    meet_with(&Home::new(), &Home::new(), listen, connect)
}

/// `ben` dials `ana`; both are connected.
pub(crate) fn meet_with(ana: &Home, ben: &Home, listen: &[&str], connect: &[&str]) -> (Peer, Peer) {
    let listening = ana.listen("ana", listen);
    let dialling = ben.connect("ben", listening.addr(), connect);
    listening.event("connected");
    dialling.event("connected");
    (listening, dialling)
}

/// As [`meet_with`], over the network that `relay` makes to where `ana` listens.
pub(crate) fn meet_through(
    relay: impl FnOnce(SocketAddr) -> Relay,
    (ana, ben): (&Home, &Home),
    listen: &[&str],
    connect: &[&str],
) -> (Peer, Relay, Peer) {
    let listening = ana.listen("ana", listen);
    let relay = relay(listening.addr());
    let dialling = ben.connect("ben", relay.addr(), connect);
    listening.event("connected");
    dialling.event("connected");
    (listening, relay, dialling)
}

/// `ben` leaves, and with that both.
pub(crate) fn quit(ana: &mut Peer, ben: &mut Peer) {
    ben.send("/quit");
    ben.ends_with(0);
    ana.ends_with(0);
}

/// Serves each connection on a thread of its own, as something that is not p2pchat.
pub(crate) fn serve(behave: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let behave = behave.clone();
            thread::spawn(move || behave(stream));
        }
    });
    addr
}

/// An address that nobody listens at, and nobody else can take while the socket lives; a listener still can. On Windows it could not,
/// so there the port is one that no system gives away by itself, and that no other call gave.
pub(crate) fn nobody() -> (Option<Socket>, SocketAddr) {
    if cfg!(windows) {
        static NEXT: AtomicU16 = AtomicU16::new(20_000);
        let ports = iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed));
        let mut addrs = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        return (None, addrs.find(|addr| TcpListener::bind(addr).is_ok()).unwrap());
    }
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (Some(socket), addr)
}

/// Whether the event has this name.
pub(crate) fn is(event: &Value, name: &str) -> bool {
    event["event"] == name
}

/// A member that is text, or nothing.
pub(crate) fn text<'e>(event: &'e Value, member: &str) -> &'e str {
    event[member].as_str().unwrap_or_default()
}

/// One of `ben`'s lines reaches `ana`, then both leave.
pub(crate) fn talk(ana: &mut Peer, ben: &mut Peer) {
    ben.send("it is me");
    ana.message("it is me");
    quit(ana, ben);
}

/// The listener names a stranger in one warning, and takes the right peer afterwards.
pub(crate) fn lives_on(mut ana: Peer, says: &str) {
    let warning = ana.event("warning");
    let said = text(&warning, "text");
    assert!(said.contains("127.0.0.1") && said.contains(says), "{said}");
    let mut ben = Home::new().connect("ben", ana.addr(), &[]);
    talk(&mut ana, &mut ben);
    assert_eq!(ana.all("warning").len(), 1);
}

/// The dialler says in one line what is wrong, and in a second what to do.
pub(crate) fn turned_away(mut ben: Peer, code: i32, says: &str) {
    ben.ends_with(code);
    let errors = ben.all("error");
    assert_eq!(errors.len(), 1, "{errors:?}");
    let lines: Vec<_> = text(&errors[0], "text").lines().collect();
    assert!(lines[0].contains(says), "{lines:?}");
    assert_eq!(lines.len(), 2, "there is a hint: {lines:?}");
}
