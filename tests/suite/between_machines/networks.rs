//! What a dialler finds: the right one among many addresses, and why it fails where none answers.

use crate::support::net::Net;
use crate::support::{Home, quit, text};
use std::time::{Duration, Instant};

/// A web server as far as a dialler sees one.
const WEB_SERVER: &str = "import socket\ns = socket.create_server((\"0.0.0.0\", 5000))\nprint(\"{\\\"event\\\":\\\"listening\\\"}\", flush=True)\n\
    while True:\n c = s.accept()[0]\n c.recv(28)\n c.sendall(b\"HTTP/1.1 400 Bad Request\\r\\n\\r\\n\")\n c.close()\n";

/// Past dead and wrong addresses the right one is found by turns of 250 ms, long before any of them times out.
const LONGEST_RACE: Duration = Duration::from_secs(20);
const PATIENCE: [&str; 2] = ["--timeout", "60"];

#[test]
fn the_right_listener_is_found_past_dead_and_wrong_addresses_behind_a_firewall() {
    let Some(mut net) = Net::new("the_right_listener_is_found") else { return };
    let [web, other, right, dialler] = ["web", "other", "right", "dialler"].map(|name| net.machine(name));
    // The dialler's firewall lets in answers alone, the right listener's that port too; what goes to 10.9.0.99 vanishes.
    net.firewall("dialler", &[]);
    net.firewall("right", &["tcp dport 5000"]);
    net.ip("router", "route add blackhole 10.9.0.0/16");
    let _server = net.python("web", WEB_SERVER, &[]);
    let listen = ["listen", "0.0.0.0:5000", "--json", "--invite"];
    let decoy = net.start("other", &Home::new(), &listen);
    decoy.event("listening");
    let dead = "10.9.0.99:5000";
    let at = [dead.to_owned(), format!("{web}:5000"), format!("{other}:5000")];
    let options: Vec<&str> = at.iter().flat_map(|at| ["--at", at.as_str()]).collect();
    let mut listening = net.start("right", &Home::new(), &[&listen[..], &options].concat());
    let invite = text(&listening.event("listening"), "invite").to_owned();
    let begun = Instant::now();
    let dial = [&["connect", &invite, "--json"][..], &PATIENCE].concat();
    let mut dialling = net.start("dialler", &Home::new(), &dial);
    let connected = dialling.event("connected");
    eprintln!("connected past three wrong addresses after {:?}", begun.elapsed());
    assert!(begun.elapsed() < LONGEST_RACE);
    assert_eq!([text(&connected, "addr"), text(&connected, "trust")], [&format!("{right}:5000"), "verified"]);
    assert!(text(&listening.event("connected"), "addr").starts_with(&dialler));
    // It was asked too, and before.
    decoy.event("warning");
    quit(&mut listening, &mut dialling);
    assert!(listening.all("warning").is_empty() && decoy.all("connected").is_empty());
}

#[test]
fn a_name_with_several_addresses_is_dialled_at_all_of_them() {
    let Some(mut net) = Net::new("a_name_with_several_addresses") else { return };
    let [web, right, _] = ["web", "right", "dialler"].map(|name| net.machine(name));
    net.ip("router", "route add blackhole 10.9.0.0/16");
    let _server = net.python("web", WEB_SERVER, &[]);
    let hosts = ["10.9.0.99", &web, &right].map(|ip| format!("{ip} ana.example\n")).concat();
    for (file, content) in [("hosts", &*hosts), ("host.conf", "multi on\n"), ("nsswitch.conf", "hosts: files\n")] {
        net.etc("dialler", file, content);
    }
    let listen = ["listen", "0.0.0.0:5000", "--json"];
    let mut listening = net.start("right", &Home::new(), &listen);
    listening.event("listening");
    let begun = Instant::now();
    let home = Home::new();
    let dial = [&["connect", "ana.example:5000", "--json"][..], &PATIENCE].concat();
    let mut dialling = net.start("dialler", &home, &dial);
    assert_eq!(text(&dialling.event("connected"), "addr"), format!("{right}:5000"));
    assert!(begun.elapsed() < LONGEST_RACE);
    quit(&mut listening, &mut dialling);
    // It is remembered by its name, whichever address it had.
    let other = net.start("right", &Home::new(), &listen);
    other.event("listening");
    let warned = net.start("dialler", &home, &dial).event("warning");
    assert!(text(&warned, "text").starts_with("ana.example:5000 ANSWERS WITH ANOTHER KEY"));
}

/// What a dialler reads, in this order: where it dials, the fact, the hint.
type Failure = (&'static str, &'static str, &'static str);

const FIREWALL: &str = "sudo ufw allow";
const NOBODY: &str = "nobody listens there, or a firewall refuses callers";
const MAYBE_REJECTED: &str = "a router or a firewall on the way may reject this";

/// Each port of the far machine rejects in its own way (see the test); the others are what they say.
const FAILURES: &[Failure] = &[
    ("203.0.113.7:5999", "connection refused", NOBODY),
    ("203.0.113.7:6000", "connection refused", NOBODY),
    ("203.0.113.7:6001", "network is unreachable", MAYBE_REJECTED),
    ("203.0.113.7:6002", "rejected by a firewall", FIREWALL),
    ("203.0.113.7:6003", "connection refused", NOBODY),
    ("203.0.113.7:6004", "protocol not available", MAYBE_REJECTED),
    ("203.0.113.7:6005", "network is unreachable", MAYBE_REJECTED),
    ("203.0.113.7:6006", "rejected by a firewall", FIREWALL),
    ("203.0.113.7:6007", "rejected by a firewall", FIREWALL),
    ("203.0.113.7:6009", "the other side is no p2pchat", "check the address and the port"),
    ("[2001:db8:9::7]:5999", "connection refused", NOBODY),
    ("[2001:db8:9::7]:6000", "connection refused", NOBODY),
    ("[2001:db8:9::7]:6001", "network is unreachable", MAYBE_REJECTED),
    ("[2001:db8:9::7]:6002", "rejected by a firewall", FIREWALL),
    ("[2001:db8:9::7]:6003", "connection refused", NOBODY),
    ("[2001:db8:9::7]:6006", "rejected by a firewall", FIREWALL),
    ("fe80::1", "it needs the interface", "this machine has eth0"),
    ("nobody.example:5000", "there is no such name", "check how it is written"),
    // No machine or no answer, which takes its time; so these are dialled together.
    ("203.0.113.7:6008", "no answer", "the machine is off, or a firewall drops"),
    ("203.0.113.99:5000", "a router on the way finds no machine there", "it is off or asleep"),
    ("[2001:db8:9::7]:6008", "no answer", "the machine is off, or a firewall drops"),
    ("[2001:db8:9::99]:5000", "a router on the way finds no machine there", "it is off or asleep"),
    ("10.2.0.99:5000", "no machine answers at 10.2.0.99 on this network", "it is off or asleep"),
    ("[2001:db8:8::99]:5000", "no machine answers at 2001:db8:8::99 on this network", "it is off or asleep"),
    ("10.2.0.1:6008", "no answer", "this Wi-Fi keeps its devices apart"),
    ("192.168.1.5:5000", "192.168.1.5 is a private address and this machine is not in its network", "ask for an"),
    ("100.64.1.1:5000", "connection timed out", "inside a provider's network or a VPN"),
];

#[test]
fn each_reject_has_its_hint() {
    let Some(mut net) = Net::new("each_reject_has_its_hint") else { return };
    for name in ["far", "dialler"] {
        net.machine(name);
    }
    for (name, addresses) in [
        ("router", &["2001:db8:9::1/64 dev to-1", "2001:db8:8::1/64 dev to-2", "203.0.113.1/24 dev to-1"][..]),
        ("far", &["2001:db8:9::7/64 dev eth0", "203.0.113.7/24 dev eth0"]),
        ("dialler", &["2001:db8:8::2/64 dev eth0"]),
    ] {
        let all = "/proc/sys/net/ipv6/conf/all";
        net.sh(name, &format!("echo 0 >{all}/accept_dad; echo 0 >/proc/sys/net/ipv4/icmp_ratelimit"));
        net.sh(name, &format!("echo 0 >/proc/sys/net/ipv6/icmp/ratelimit; echo 1 >{all}/forwarding"));
        for address in addresses {
            net.ip(name, &format!("addr add {address}{}", if address.contains(':') { " nodad" } else { "" }));
        }
    }
    net.ip("far", "route add default via 2001:db8:9::1");
    net.ip("dialler", "route add default via 2001:db8:8::1");
    // What is of nobody vanishes, as beyond most routers.
    for vanishes in ["192.168.1.0/24", "100.64.0.0/10"] {
        net.ip("router", &format!("route add blackhole {vanishes}"));
    }
    let reject = |port: u16, with: &str| format!("add rule inet f in tcp dport {port} {with}\n");
    let icmp = |port, kind| reject(port, &format!("meta nfproto ipv4 reject with icmp type {kind}"));
    let icmpv6 = |port, kind| reject(port, &format!("meta nfproto ipv6 reject with icmpv6 type {kind}"));
    let rules = [
        "add table inet f\nadd chain inet f in { type filter hook input priority 0; policy accept; }\n".to_owned(),
        reject(6000, "reject with tcp reset"),
        icmp(6001, "net-unreachable"),
        icmp(6002, "host-unreachable"),
        icmp(6003, "port-unreachable"),
        icmp(6004, "prot-unreachable"),
        icmp(6005, "net-prohibited"),
        icmp(6006, "host-prohibited"),
        icmp(6007, "admin-prohibited"),
        icmpv6(6001, "no-route"),
        icmpv6(6002, "addr-unreachable"),
        icmpv6(6003, "port-unreachable"),
        icmpv6(6006, "admin-prohibited"),
        reject(6008, "drop"),
    ];
    let script = Home::new();
    let rules = script.file("rules", rules.concat());
    for name in ["far", "router"] {
        net.sh(name, &format!("nft -f {}", rules.display()));
    }
    let _server = net.python("far", &WEB_SERVER.replace("5000", "6009"), &[]);
    net.etc("dialler", "nsswitch.conf", "hosts: files\n");
    failures(&net, FAILURES);
    // Without a way out, then without IPv6.
    net.ip("dialler", "route del default");
    net.ip("dialler", "-6 route del default");
    failures(
        &net,
        &[
            ("203.0.113.7:5000", "this machine has no way to 203.0.113.7", "is it connected to a network?"),
            ("[2001:db8:9::7]:5000", "this machine has no way to 2001:db8:9::7", "is it connected to a network?"),
        ],
    );
    net.ip("dialler", "addr del 2001:db8:8::2/64 dev eth0");
    net.etc("dialler", "nsswitch.conf", "hosts: dns\n");
    net.etc("dialler", "resolv.conf", "nameserver 127.0.0.1\n");
    failures(
        &net,
        &[
            ("[2001:db8:9::7]:5000", "this machine has no IPv6", "ask for an IPv4 address"),
            ("nobody.example:5000", "the name server does not answer", "is this machine online?"),
        ],
    );
}

/// Dials each from "dialler", several at once. What is said depends on how fast the answer comes, and on a busy machine a packet may be
/// lost, which is sent again a second later: who reads other words dials again.
fn failures(net: &Net, expected: &[Failure]) {
    const TRIES: u32 = 4;
    const AT_ONCE: usize = 9;
    let dial = |whom: &str| {
        // Longer than the kernel looks for a neighbour, which is 3 s.
        net.start("dialler", &Home::new(), &["connect", whom, "--plain", "--timeout", "8"])
    };
    for some in expected.chunks(AT_ONCE) {
        let mut left: Vec<_> = some.iter().collect();
        for tries_left in (0..TRIES).rev() {
            let dialling: Vec<_> = left.iter().map(|(whom, ..)| dial(whom)).collect();
            let mut others = Vec::new();
            for (mut dialling, failure) in dialling.into_iter().zip(left) {
                let (whom, fact, hint) = failure;
                dialling.ends_with(if *whom == "fe80::1" { 2 } else { 3 });
                let said = dialling.lines(crate::support::peer::Stream::Err);
                let at = said.iter().position(|line| line.contains(fact));
                let hinted = at.and_then(|at| said.get(at + 1)).is_some_and(|line| line.contains(hint));
                assert!(hinted || tries_left > 0, "{whom}: {said:?}");
                if !hinted {
                    others.push(failure);
                }
            }
            left = others;
        }
    }
}
