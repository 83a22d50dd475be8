//! The listener moves to another address: the session goes on by what it told of its addresses, or by what the user types; and nobody
//! makes a dialler knock where he should not.

use crate::support::attacker::{identity, is_refusal};
use crate::support::files::content;
use crate::support::net::Net;
use crate::support::{Attacker, Home, Peer, Receiver, quit, text};
use p2pchat::channel::Role;
use p2pchat::identity::Identity;
use p2pchat::protocol::frame::{
    ADDRS, Addrs, Control, FEATURE_ADDRS, FEATURE_ZCHUNK, Frame, Greeting, Intent, Refusal,
};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Two looks of the listener at its address, and the time of a loaded machine.
const NOTICED: Duration = Duration::from_secs(10);

fn start(net: &Net, home: &Home, name: &str, arguments: &[&str]) -> Peer {
    let inbox = home.inbox();
    let common = ["--json", "-n", name, "--dir", inbox.to_str().unwrap()];
    net.start(name, home, &[arguments, &common].concat())
}

/// How the dialler finds a listener that moved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By its second address, which it had before.
    Told,
    /// It gets its second address after the first is gone.
    Typed,
}

/// `ana` listens on all her addresses, of which she has so many; `ben` dials the first.
fn roaming(net: &mut Net, way: Way) -> (Peer, Peer, [String; 2]) {
    let first = net.machine("ana");
    net.machine("ben");
    let second = if way == Way::Told { net.link("ana", "eth1") } else { String::new() };
    let ana = start(net, &Home::new(), "ana", &["listen", "5000", "--accept", "always"]);
    ana.event("listening");
    let ben = start(net, &Home::new(), "ben", &["connect", &format!("{first}:5000"), "--accept", "always"]);
    ana.event("connected");
    ben.event("connected");
    (ana, ben, [first, second])
}

/// Two files of so many MiB cross while the listener moves. The network passes on an eighth of one in a second.
fn moves_in_the_middle_of_a_file(name: &str, way: Way, size: usize) {
    let Some(mut net) = Net::new(name) else { return };
    let (mut ana, mut ben, [first, mut second]) = roaming(&mut net, way);
    let rate = size / 8;
    let rules = [
        "add table ip f",
        "add chain ip f forward { type filter hook forward priority 0; }",
        &format!("add rule ip f forward limit rate over {rate} mbytes/second burst 1 mbytes drop"),
    ];
    net.nft("router", &rules);
    let (down, up) = (content("down", size << 20), content("up", size << 20));
    ana.home().file("down", &down);
    ben.home().file("up", &up);
    ana.send("/send down");
    ben.send("/send up");
    let begun = |peer: &Peer| drop(peer.wait_for(|event| event["event"] == "progress" && event["bytes"] != 0));
    begun(&ben);
    begun(&ana);
    assert!(ana.all("done").is_empty() && ben.all("done").is_empty(), "it was too fast");
    let moved = Instant::now();
    net.ip("ana", &format!("addr del {first}/24 dev eth0"));
    let lost = ana.event("lost");
    let noticed = moved.elapsed();
    // By silence alone he would notice after 15 s.
    net.resets("router", "forward", &first);
    if way == Way::Typed {
        second = net.link("ana", "eth1");
        ben.event("lost");
        ben.send(&format!("/redial {second}:5000"));
    }
    // The router in it.
    net.ip("ana", &format!("route replace default via {}", second.replace(".0.2", ".0.1")));
    assert!(text(&lost, "reason").contains(&format!("has the address {first} no more")), "{lost}");
    ben.event("reconnected");
    net.sh("router", "nft delete table ip f");
    eprintln!("{name}: noticed by the listener after {noticed:?}, back after {:?}", moved.elapsed());
    assert!(noticed < NOTICED, "{noticed:?}");
    for peer in [&ana, &ben] {
        peer.event_nth(2, "done");
    }
    ben.send("/peer");
    let info = ben.wait_for(|event| event["peer"].is_object());
    assert_eq!(info["peer"]["address"], format!("{second}:5000"));
    quit(&mut ana, &mut ben);
    assert!(fs::read(ben.home().inbox().join("down")).unwrap() == down, "the file differs");
    assert!(fs::read(ana.home().inbox().join("up")).unwrap() == up, "the file differs");
    assert_eq!((ana.all("lost").len(), ben.all("lost").len()), (1, 1));
}

#[test]
fn a_listener_that_moves_in_the_middle_of_a_file_is_found_again() {
    moves_in_the_middle_of_a_file("a_listener_that_moves_in_the_middle_of_a_file", Way::Told, 32);
}

#[test]
fn a_listener_that_moves_to_an_unknown_address_is_found_by_redial() {
    moves_in_the_middle_of_a_file("a_listener_that_moves_to_an_unknown_address", Way::Typed, 32);
}

#[test]
#[ignore = "a long run: a large file"]
fn a_listener_that_moves_in_the_middle_of_a_large_file_is_found_again() {
    moves_in_the_middle_of_a_file("a_listener_that_moves_in_the_middle_of_a_large_file", Way::Told, 1_024);
    moves_in_the_middle_of_a_file("a_listener_that_moves_to_an_unknown_address", Way::Typed, 1_024);
}

/// Where `ben` sent the first packet of a connection to, since the start.
fn dialled(net: &Net) -> BTreeSet<String> {
    let set = |name| {
        let said = net.sh("ben", &format!("nft list set inet f {name}"));
        let elements =
            said.split_once("elements = {").map_or("", |(_, rest)| rest.split('}').next().unwrap()).to_owned();
        elements.split(',').map(|element| element.split_whitespace().collect()).collect::<Vec<String>>()
    };
    [set("v4"), set("v6")].concat().into_iter().filter(|element| !element.is_empty()).collect()
}

/// A listener of another kind: takes the next connection, and greets.
fn respond(socket: &TcpListener, key: &Identity) -> Attacker {
    let (mut eve, greeting) = Attacker::accept(socket, key);
    eve.send(&Frame::Greeting(greeting)).unwrap();
    eve
}

fn addrs(list: &[&str]) -> Frame {
    Frame::Addrs(Addrs { port: 5000, list: list.iter().map(|addr| addr.parse().unwrap()).collect() })
}

#[test]
fn what_a_hostile_listener_tells_makes_nobody_knock_at_his_own_network() {
    /// Never, wherever the listener is.
    const NEVER: [&str; 19] = [
        "127.0.0.1:5001",
        "127.3.3.3:22",
        "[::1]:5001",
        "[::ffff:127.0.0.1]:5001",
        "0.0.0.0:5001",
        "0.0.0.1:5001",
        "[::]:5001",
        "[::ffff:0.0.0.0]:5001",
        "224.0.0.1:5001",
        "[ff02::1]:5001",
        "[::ffff:224.0.0.1]:5001",
        "255.255.255.255:5001",
        "240.0.0.1:5001",
        "[::127.0.0.1]:5001",
        "203.0.113.2:0",
        // His own, though it is private to nobody.
        "198.51.100.2:5001",
        "169.254.1.1:5001",
        "[fe80::1]:5001",
        "[::ffff:169.254.1.1]:5001",
    ];
    /// Not when the listener is somewhere in the world.
    const INNER: [&str; 8] = [
        "10.2.0.1:5001",
        "10.77.0.1:5001",
        "172.16.0.1:5001",
        "192.168.1.1:80",
        "100.64.0.1:5001",
        "[fd00::1]:5001",
        "[fec0::1]:5001",
        "[::ffff:10.2.0.1]:5001",
    ];
    let Some(mut net) = Net::new("what_a_hostile_listener_tells") else { return };
    net.machine("eve");
    net.machine("ben");
    for address in ["203.0.113.1", "203.0.113.2"] {
        net.ip("eve", &format!("addr add {address}/32 dev eth0"));
    }
    net.ip("router", "route add 203.0.113.0/24 via 10.1.0.2");
    net.ip("ben", "addr add 198.51.100.2/32 dev eth0");
    // Whatever he dials, of either family, has a way out.
    net.ip("ben", "-6 addr add fd00::2/64 dev eth0 nodad");
    net.ip("ben", "-6 route add default via fd00::1 dev eth0");
    let rules = [
        "add table inet f",
        "add set inet f v4 { type ipv4_addr . inet_service; flags dynamic; }",
        "add set inet f v6 { type ipv6_addr . inet_service; flags dynamic; }",
        "add chain inet f out { type filter hook output priority 0; }",
        "add rule inet f out tcp flags & (syn | ack) == syn add @v4 { ip daddr . tcp dport }",
        "add rule inet f out tcp flags & (syn | ack) == syn add @v6 { ip6 daddr . tcp dport }",
    ];
    net.nft("ben", &rules);
    let key = identity();
    let bind = |addr: &str| net.inside("eve", || TcpListener::bind(addr).unwrap());
    let (socket, control) = (bind("203.0.113.1:5000"), bind("203.0.113.2:5000"));
    let ben = start(&net, &Home::new(), "ben", &["connect", "203.0.113.1:5000", "--reconnect", "forever"]);
    let mut eve = respond(&socket, &key);
    ben.event("connected");
    let public = BTreeSet::from(["203.0.113.1.5000".to_owned(), "203.0.113.2.5000".to_owned()]);
    let hostile: Vec<&str> = NEVER.into_iter().chain(INNER).collect();
    for batch in hostile.chunks(ADDRS - 1) {
        eve.send(&addrs(&[batch, &["203.0.113.2:5000"]].concat())).unwrap();
        // What it sent before is with the event loop as well, by the time that the connection ends.
        assert!(eve.is_answered());
        drop(eve);
        // The typed address takes its time, so that those that were told come next: the last one is good.
        let mut told = control.accept().unwrap().0;
        told.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
        told.read_exact(&mut [0; 28]).unwrap();
        told.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(!matches!(told.read(&mut [0; 1]), Ok(1)), "more than a hello");
        drop(told);
        eve = respond(&socket, &key);
        assert_eq!(dialled(&net), public, "{batch:?}");
    }
    assert_eq!(ben.event_nth(4, "reconnected")["event"], "reconnected");
    assert!(ben.all("warning").is_empty() && ben.all("error").is_empty(), "nothing is said of what was told");
}

/// `ben` in a session with a listener of another kind on this machine, which he cannot leave by what it tells: it is loopback.
fn met_by(features: u32) -> (Attacker, Peer) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let ben = Home::new().connect("ben", socket.local_addr().unwrap(), &["--reconnect", "0"]);
    let (mut eve, greeting) = Attacker::accept(&socket, &identity());
    assert_eq!(greeting.features & FEATURE_ADDRS, FEATURE_ADDRS);
    eve.send(&Frame::Greeting(Greeting { features, ..greeting })).unwrap();
    ben.event("connected");
    (eve, ben)
}

#[test]
fn addresses_that_come_in_a_flood_or_out_of_place_end_the_session_with_words() {
    let some = addrs(&["203.0.113.2:5000"]);
    let ends = |(mut eve, mut ben): (Attacker, Peer), says: &str| {
        eve.read_to_end();
        assert!(text(&ben.event("error"), "text").contains(says), "{}", ben.event("error"));
        ben.ends_with(1);
    };
    // As many as may come at once; then no answer but the end.
    let (mut eve, ben) = met_by(FEATURE_ADDRS);
    (0..8).for_each(|_| eve.send(&some).unwrap());
    assert!(eve.is_answered());
    ben.send("after eight");
    assert!(eve.read_to(|frame| matches!(frame, Frame::Control { .. })).is_some());
    (0..2).for_each(|_| drop(eve.send(&some)));
    ends((eve, ben), "addresses more often than it may");
    // Without the feature.
    let (mut eve, ben) = met_by(FEATURE_ZCHUNK);
    eve.send(&some).unwrap();
    ends((eve, ben), "ADDRS");
    // More than there may be.
    let (mut eve, ben) = met_by(FEATURE_ADDRS);
    eve.send_bytes(&[&[0x15, 0, 80, 9][..], &[4, 203, 0, 113, 2].repeat(9)].concat());
    ends((eve, ben), "ADDRS");
    // From the side that dials.
    let mut receiver = Receiver::new();
    let mut eve = receiver.eve_with(FEATURE_ADDRS);
    eve.send(&some).unwrap();
    let error = receiver.ends_as_a_fault(eve, "from the side that dials");
    assert!(text(&error, "text").contains("ADDRS"), "{error}");
    receiver.serves_the_next();
}

/// A caller from `ben` with these features, in a session.
fn caller(net: &Net, at: &str, features: u32) -> Attacker {
    loop {
        let stream = net.inside("ben", || TcpStream::connect(at).unwrap());
        let mut eve = Attacker::shake(stream, Role::Initiator, &identity(), None).unwrap();
        eve.features = features;
        match eve.greet(Intent::New, [7; 16], "eve") {
            Some(Frame::Greeting(_)) => return eve,
            // The one before has not been seen to leave.
            answer => assert!(is_refusal(answer.as_ref(), Refusal::Busy), "{answer:?}"),
        }
    }
}

/// What `ana` told him by the time that she answers.
fn told(net: &Net, at: &str, features: u32) -> Option<Addrs> {
    let mut eve = caller(net, at, features);
    let mut told = None;
    // The acknowledgement of a line follows what she does when the session begins.
    eve.control(Control::Line { action: false, text: "hello".into() }).unwrap();
    while let Some(frame) = eve.read() {
        match frame {
            Frame::Addrs(addrs) => told = Some(addrs),
            Frame::Ack(1) => return told,
            _ => {}
        }
    }
    panic!("no acknowledgement")
}

#[test]
fn a_listener_tells_where_it_listens_to_whom_it_hides_nothing_from() {
    let Some(mut net) = Net::new("a_listener_tells_where_it_listens") else { return };
    let [ana, _] = ["ana", "ben"].map(|name| net.machine(name));
    let second = net.link("ana", "eth1");
    let listen = |options: &[&str], port: u16| {
        let port = port.to_string();
        let options = [&["listen", &port, "--keep", "--reconnect", "0"], options].concat();
        let peer = start(&net, &Home::new(), "ana", &options);
        peer.event("listening");
        peer
    };
    let both = FEATURE_ADDRS | FEATURE_ZCHUNK;
    let everywhere = [format!("{ana}:5000"), format!("{second}:5000")].map(|addr| addr.parse().unwrap());
    let _all = listen(&[], 5000);
    assert_eq!(told(&net, &format!("{ana}:5000"), both).unwrap(), Addrs { port: 5000, list: everywhere.to_vec() });
    assert_eq!(told(&net, &format!("{ana}:5000"), FEATURE_ZCHUNK), None);
    let forwarded = listen(&["--at", "203.0.113.9:41000", "--at", "ana.example:1"], 5001);
    let at: SocketAddr = "203.0.113.9:41000".parse().unwrap();
    assert_eq!(told(&net, &format!("{ana}:5001"), both).unwrap().list[0], at);
    assert_eq!(forwarded.all("warning").len(), 0);
    let onion = "a2345672345672345672345672345672345672345672345672345672.onion:1";
    let _hidden = listen(&["--at", onion], 5002);
    assert!(told(&net, &format!("{ana}:5002"), both).is_none_or(|told| told.list.is_empty()));
    let one = start(&net, &Home::new(), "ana", &["listen", &format!("{ana}:5003"), "--keep"]);
    one.event("listening");
    assert_eq!(told(&net, &format!("{ana}:5003"), both).unwrap().list, [format!("{ana}:5003").parse().unwrap()]);
    // Who came through a tunnel that ends on her machine.
    let forward = "import socket, threading\n\
        def copy(a, b):\n    while d := a.recv(65536): b.sendall(d)\n    b.shutdown(1)\n\
        s = socket.create_server(('0.0.0.0', 5004))\nprint('{\"event\":\"listening\"}', flush=True)\n\
        a = s.accept()[0]\nb = socket.create_connection(('127.0.0.1', 5000))\n\
        threading.Thread(target=copy, args=(b, a), daemon=True).start()\ncopy(a, b)\n";
    let _tunnel = net.python("ana", forward, &[]);
    assert_eq!(told(&net, &format!("{ana}:5004"), both), None);
    // She says so when that changes.
    let mut eve = caller(&net, &format!("{ana}:5000"), both);
    eve.read_to(|frame| matches!(frame, Frame::Addrs(_))).unwrap();
    let third: SocketAddr = format!("{}:5000", net.link("ana", "eth2")).parse().unwrap();
    let changed = eve.read_to(|frame| matches!(frame, Frame::Addrs(_)));
    assert!(matches!(&changed, Some(Frame::Addrs(told)) if told.list.contains(&third)), "{changed:?}");
}
