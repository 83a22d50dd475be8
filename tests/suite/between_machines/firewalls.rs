//! Two people, each behind a firewall that lets in nothing but answers, open the way for each other. All machines are namespaces.

use crate::support::net::Net;
use crate::support::{Home, Peer, Rng, quit, text};
use std::time::{Duration, Instant};
use std::{iter, thread};

/// The line between the two routers: each frame arrives 20 ms later. Checksums and segments are left to the ends.
const WIRE: &str = r#"
import queue, socket, threading, time
def end(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.setsockopt(263, 15, 1)  # PACKET_VNET_HDR
    s.setsockopt(263, 23, 1)  # PACKET_IGNORE_OUTGOING
    s.bind((name, 0))
    return s
def carry(source, sink):
    line = queue.Queue()
    def deliver():
        while True:
            due, frame = line.get()
            time.sleep(max(0, due - time.monotonic()))
            sink.send(frame)
    threading.Thread(target=deliver).start()
    while True:
        frame = source.recv(1 << 17)
        line.put((time.monotonic() + 0.02, frame))
one, other = end("to-1"), end("to-2")
threading.Thread(target=carry, args=(one, other)).start()
threading.Thread(target=carry, args=(other, one)).start()
print('{"event":"listening"}', flush=True)
"#;

/// What a firewall does with what it does not let in.
const REJECTS: [&str; 2] = ["drop", "meta l4proto tcp reject with tcp reset"];
/// The router keeps the port of each connection from inside, where it can.
const KEEPS_PORTS: &str = "masquerade";
/// Each connection gets a port that nobody can know before.
const CHANGES_PORTS: &str = "masquerade fully-random";

/// `alice` is `192.168.1.2` and `2001:db8:1::2`, `bob` is `192.168.2.2` and `2001:db8:2::2`. Their routers are
/// `11.0.0.1` and `11.0.0.2`.
struct Homes {
    net: Net,
    wire: Peer,
}

impl Homes {
    fn new(test: &str, reject: &str, nat: [&str; 2]) -> Option<Self> {
        let mut net = Net::new(test)?;
        for (n, name, nat) in [(1, "alice", nat[0]), (2, "bob", nat[1])] {
            let wall = format!("wall-{n}");
            net.namespace(name);
            net.namespace(&wall);
            net.cable((&wall, "lan"), (name, "eth0"));
            net.cable(("router", &format!("to-{n}")), (&wall, "wan"));
            for (who, setup) in [
                (
                    name,
                    format!(
                        "ip addr add 192.168.{n}.2/24 dev eth0; ip addr add 2001:db8:{n}::2/64 dev eth0 nodad
                    ip route add default via 192.168.{n}.1; ip route add default via 2001:db8:{n}::1"
                    ),
                ),
                (
                    &*wall,
                    format!(
                        "ip addr add 192.168.{n}.1/24 dev lan; ip addr add 2001:db8:{n}::1/64 dev lan nodad
                    ip addr add 11.0.0.{n}/24 dev wan; ip addr add 2001:db8:ff::{n}/64 dev wan nodad
                    ip route add 2001:db8:{other}::/64 via 2001:db8:ff::{other}
                    echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
                    nft -f - <<'END'
                    table inet wall {{
                        chain forward {{
                            type filter hook forward priority 0
                            ct state established,related accept
                            iifname wan {reject}
                            iifname wan drop
                        }}
                        chain input {{
                            type filter hook input priority 0
                            ct state established,related accept
                            meta l4proto icmpv6 accept
                            iifname wan {reject}
                            iifname wan drop
                        }}
                    }}
                    table ip nat {{
                        chain out {{
                            type nat hook postrouting priority 100
                            oifname wan {nat}
                        }}
                    }}
END",
                        other = 3 - n
                    ),
                ),
            ] {
                net.sh(who, &setup);
            }
        }
        let wire = wire(&net);
        Some(Self { net, wire })
    }

    fn start(&self, name: &str, arguments: &[&str]) -> Peer {
        self.net.start(name, &Home::new(), &[arguments, &["--json"]].concat())
    }

    /// Both, connected by IPv6; a line of `bob` has arrived.
    fn meet(&self) -> (Peer, Peer) {
        let (alice, invite) = self.listen(&[&LISTEN_V6[..], &["--accept", "always"]].concat());
        let bob = self.start("bob", &["connect", &invite, "--from", "6000", "--wait"]);
        bob.event("connected");
        bob.send("before");
        alice.message("before");
        (alice, bob)
    }

    /// `alice` listens, and gives the invite.
    fn listen(&self, options: &[&str]) -> (Peer, String) {
        let alice = self.start("alice", &[&["listen"], options].concat());
        let invite = text(&alice.event("listening"), "invite").to_owned();
        (alice, invite)
    }
}

fn wire(net: &Net) -> Peer {
    net.python("router", WIRE, &[])
}

const LISTEN_V6: [&str; 4] = ["5000", "--invite", "--toward", "[2001:db8:2::2]:6000"];
const LISTEN_V4: [&str; 6] = ["0.0.0.0:5000", "--invite", "--at", "11.0.0.1:5000", "--toward", "11.0.0.2:6000"];

/// Both begin, `bob` last, after `alice` has dialled alone for so long; how long he took.
fn open(test: &str, reject: &str, listen: &[&str], alone: Duration) -> Option<Duration> {
    let homes = Homes::new(test, reject, [KEEPS_PORTS; 2])?;
    let (mut alice, invite) = homes.listen(listen);
    thread::sleep(alone);
    let begun = Instant::now();
    let mut bob = homes.start("bob", &["connect", &invite, "--from", "6000", "--timeout", "25"]);
    let connected = bob.event("connected");
    let took = begun.elapsed();
    assert_eq!(text(&connected, "trust"), "verified");
    let from = listen.last().unwrap();
    assert_eq!(text(&alice.event("connected"), "addr"), *from);
    bob.send("through both");
    alice.message("through both");
    quit(&mut alice, &mut bob);
    Some(took)
}

#[test]
fn two_firewalls_open_for_each_other() {
    for reject in REJECTS {
        if let Some(took) = open("two_firewalls_open_for_each_other", reject, &LISTEN_V6, Duration::ZERO) {
            eprintln!("IPv6, {reject}: {took:?}");
        }
    }
}

#[test]
#[ignore = "many runs, whose times are of interest"]
fn two_firewalls_open_each_time() {
    let mut rng = Rng::fresh();
    for (family, listen) in [("IPv6", &LISTEN_V6[..]), ("IPv4", &LISTEN_V4)] {
        for reject in REJECTS {
            let mut seconds = String::new();
            for _ in 0..10 {
                let alone = Duration::from_millis(rng.within(1_000..2_000));
                let Some(took) = open("two_firewalls_open_each_time", reject, listen, alone) else { return };
                seconds += &format!(" {:.1}", took.as_secs_f64());
            }
            eprintln!("{family}, {reject}:{seconds} s");
        }
    }
}

/// The side that dials is told what the other has to type, and the other types it.
#[test]
fn what_the_dialler_is_told_to_have_typed_opens_the_way() {
    let Some(homes) = Homes::new("what_the_dialler_is_told", REJECTS[0], [KEEPS_PORTS; 2]) else { return };
    let mut alice = homes.net.terminal("alice", &Home::new(), &[env!("CARGO_BIN_EXE_p2pchat"), "listen", "5000"]);
    alice.shows("waiting for your peer");
    let mut bob =
        homes.start("bob", &["connect", "[2001:db8:1::2]:5000", "--from", "6000", "--wait", "--timeout", "5"]);
    let told = text(&bob.event("warning"), "text").to_owned();
    let typed = told.split("types ").nth(1).and_then(|rest| rest.split(" while").next()).expect(&told);
    assert_eq!(typed, "/toward [2001:db8:2::2]:6000");
    assert!(told.contains("p2pchat listen PORT --toward \"[2001:db8:2::2]:6000\""), "{told}");
    alice.keys(&format!("{typed}\r"));
    alice.shows("dialling [2001:db8:2::2]:6000 from port 5000");
    bob.event("connected");
    assert_eq!(bob.all("warning").len(), 1, "it is said once");
    alice.shows("connected to");
    alice.keys("hello there\r");
    bob.message("hello there");
    alice.keys("/toward [2001:db8:2::2]:6000\r");
    alice.shows("/toward is for while your peer is not here");
    alice.keys("/quit\r");
    bob.ends_with(0);
    assert_eq!(alice.exit_code(), 0);
}

/// Who has no firewall in the way calls as ever, also while somebody else is dialled.
#[test]
fn a_normal_caller_gets_in_while_another_is_dialled() {
    let Some(homes) = Homes::new("a_normal_caller_gets_in", REJECTS[0], [KEEPS_PORTS; 2]) else { return };
    let (mut alice, _) = homes.listen(&["5000", "--toward", "[2001:db8:2::2]:6000"]);
    alice.event("info");
    let mut neighbour = homes.start("alice", &["connect", "192.168.1.2:5000"]);
    neighbour.event("connected");
    neighbour.send("from inside");
    alice.message("from inside");
    quit(&mut alice, &mut neighbour);
}

/// The firewalls know the old connection still when the new one of the same ports comes.
#[test]
fn a_lost_session_comes_back_through_both_firewalls() {
    let comes_back = |reject| {
        let Some(mut homes) = Homes::new("a_lost_session_comes_back", reject, [KEEPS_PORTS; 2]) else { return };
        let (mut alice, mut bob) = homes.meet();
        homes.wire.kill();
        alice.event("lost");
        bob.event("lost");
        bob.send("meanwhile");
        homes.wire = wire(&homes.net);
        alice.message("meanwhile");
        bob.event("reconnected");
        quit(&mut alice, &mut bob);
        assert_eq!((alice.all("connected").len(), alice.texts().len()), (1, 2));
    };
    // Each loss is noticed by 15 s of silence.
    thread::scope(|scope| REJECTS.map(|reject| scope.spawn(move || comes_back(reject))).map(|run| run.join().unwrap()));
}

/// Both are connected again after a cut in the middle of a large file, of which data was on its way that nobody acknowledged.
fn come_back_in_a_file(homes: &mut Homes) -> (Peer, Peer) {
    let (alice, bob) = homes.meet();
    let mut rng = Rng::fresh();
    let noise: Vec<u8> = iter::repeat_with(|| rng.next().to_le_bytes()).take(1 << 23).flatten().collect();
    let file = bob.home().file("big", noise);
    bob.send(&format!("/send {}", file.display()));
    bob.event("progress");
    homes.wire.kill();
    alice.event("lost");
    bob.event("lost");
    let begun = Instant::now();
    homes.wire = wire(&homes.net);
    bob.event("reconnected");
    eprintln!("back after {:?}, in the middle of a file", begun.elapsed());
    bob.send("back");
    alice.message("back");
    (alice, bob)
}

/// The sender's firewall keeps the lost connection: the reset at its end counts only when it follows all that was sent. Where it rejects,
/// it lets the next one of the same ports begin, and then nothing of it in. That one has to end with a reset as well.
#[test]
fn a_session_lost_in_the_middle_of_a_file_comes_back_past_firewalls_that_reject() {
    let Some(mut homes) = Homes::new("a_session_lost_in_a_file", REJECTS[1], [KEEPS_PORTS; 2]) else { return };
    let (alice, bob) = come_back_in_a_file(&mut homes);
    bob.send("/cancel");
    bob.send("/quit");
    for mut peer in [bob, alice] {
        peer.ends_with(6);
    }
}

/// One side is cut off from its own firewall, which is told nothing then; and much is under way.
#[test]
#[ignore = "a long run"]
fn a_lost_session_comes_back_in_the_middle_of_a_file_and_after_one_side_was_cut_off() {
    let Some(mut homes) = Homes::new("a_lost_session_comes_back", REJECTS[0], [KEEPS_PORTS; 2]) else { return };
    let (mut alice, mut bob) = come_back_in_a_file(&mut homes);
    bob.event("done");
    let chain = "add chain inet cut out { type filter hook output priority 0; }";
    homes.net.sh("bob", &format!("nft 'add table inet cut; {chain}; add rule inet cut out oifname eth0 drop'"));
    alice.event_nth(2, "lost");
    bob.event_nth(2, "lost");
    homes.net.sh("bob", "nft delete table inet cut");
    let begun = Instant::now();
    bob.event_nth(2, "reconnected");
    eprintln!("back after {:?}, one side was cut off", begun.elapsed());
    quit(&mut alice, &mut bob);
}

#[test]
fn the_next_session_has_the_same_ports() {
    let Some(homes) = Homes::new("the_next_session", REJECTS[0], [KEEPS_PORTS; 2]) else { return };
    let (alice, _) = homes.listen(&["5000", "--keep", "--toward", "[2001:db8:2::2]:6000"]);
    for n in 1..=3 {
        let mut bob = homes.start("bob", &["connect", "[2001:db8:1::2]:5000", "--from", "6000", "--wait"]);
        bob.event("connected");
        bob.send(&format!("session {n}"));
        alice.message(&format!("session {n}"));
        bob.send("/quit");
        bob.ends_with(0);
    }
}

#[test]
fn a_router_that_changes_ports_is_not_passed_and_both_are_told_so() {
    let nat = [KEEPS_PORTS, CHANGES_PORTS];
    let Some(homes) = Homes::new("a_router_that_changes_ports", REJECTS[0], nat) else { return };
    let (alice, invite) = homes.listen(&LISTEN_V4);
    let mut bob = homes.start("bob", &["connect", &invite, "--from", "6000", "--timeout", "8"]);
    bob.ends_with(3);
    let told = text(&bob.event("error"), "text").to_owned();
    for words in ["11.0.0.1:5000: no answer", "/toward YOUR_PUBLIC_ADDRESS:6000", "a router that changes the ports"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let told = alice.event("warning");
    assert!(text(&told, "text").contains("a router that changes the ports"), "{told}");
    assert!(alice.all("connected").is_empty());
}
