//! `--lan`: who waits is found on the own network, and tells it nothing. Each machine is a network namespace on one segment.

use crate::support::home::run;
use crate::support::net::Net;
use crate::support::peer::Stream;
use crate::support::{Home, Peer, is, quit, text};
use nix::sys::signal::Signal;
use p2pchat::identity::Identity;
use std::fs;
use std::process::Command;

/// Copies what passes an interface to a file, and says which records of multicast DNS are in it.
const CAPTURE: &str = r#"
import json, socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 0))
file = open(sys.argv[2], "wb", buffering=0)
print('{"event":"listening"}', flush=True)

def name(b, i):
    labels, after = [], None
    while b[i]:
        if b[i] >= 192:
            after = after or i + 2
            i = (b[i] & 63) << 8 | b[i + 1]
        else:
            labels.append(b[i + 1:i + 1 + b[i]].decode("latin-1"))
            i += 1 + b[i]
    return ".".join(labels), after or i + 1

while True:
    b = s.recv(65536)
    file.write(b)
    v6 = b[12:14] == b"\x86\xdd"
    protocol, start = (b[20], 54) if v6 else (b[23], 14 + (b[14] & 15) * 4)
    if b[12:14] not in (b"\x08\x00", b"\x86\xdd") or protocol != 17 or b[start + 2:start + 4] != b"\x14\xe9":
        continue
    b = b[start + 8:]
    questions, answers = struct.unpack(">HH", b[4:8])
    i = 12
    for _ in range(questions):
        i = name(b, i)[1] + 4
    for _ in range(answers):
        who, i = name(b, i)
        kind, _, ttl, length = struct.unpack(">HHIH", b[i:i + 10])
        print(json.dumps({"event": "record", "name": who, "type": kind, "ttl": ttl}), flush=True)
        i += 10 + length
"#;

/// Takes the port of multicast DNS for itself.
const TAKES_THE_PORT: &str = "import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n\
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)\ns.bind((\"::\", 5353))\n\
    print(\"{\\\"event\\\":\\\"listening\\\"}\", flush=True)\ns.recv(1)\n";

/// `listen --lan` on port 5000 of a machine; it is announced by the time this returns.
fn announced(net: &Net, machine: &str, home: &Home, options: &[&str]) -> Peer {
    let listen = ["listen", "5000", "--lan", "--json", "-n", machine];
    let peer = net.start(machine, home, &[&listen[..], options].concat());
    peer.event("announced");
    peer
}

fn start(net: &Net, machine: &str, home: &Home, arguments: &[&str]) -> Peer {
    net.start(machine, home, &[arguments, &["-n", machine]].concat())
}

#[test]
fn a_stranger_is_found_a_known_peer_recognised_and_a_stranger_beside_it_stays_somebody() {
    let Some(mut net) = Net::new("a_known_peer_is_recognised") else { return };
    let [ana, eve, _] = ["ana", "eve", "ben"].map(|name| net.neighbour(name));
    let (home, ben) = (Home::new(), Home::new());
    let mut first = announced(&net, "ana", &home, &[]);
    // No terminal: the only one there is.
    let mut met = start(&net, "ben", &ben, &["connect", "--lan", "--json"]);
    let connected = met.event("connected");
    assert_eq!([text(&connected, "addr"), text(&connected, "trust")], [&format!("{ana}:5000"), "new"]);
    quit(&mut first, &mut met);
    // Addresses of a network belong to others tomorrow: none was remembered as dialled.
    let recorded = fs::read_to_string(ben.data().join("known_peers")).unwrap();
    let row = recorded.lines().find(|line| line.starts_with("ana ")).unwrap();
    assert_eq!(row.split(' ').count(), 6, "{row}");

    let mut second = announced(&net, "ana", &home, &["--keep"]);
    let stranger = announced(&net, "eve", &Home::new(), &["--code"]);
    let mut several = start(&net, "ben", &ben, &["connect", "--lan", "--json"]);
    assert_eq!(several.exit_code(), 2);
    let said = several.lines(Stream::Err);
    let rows =
        [format!("  1  ana       known  {ana}:5000"), format!("  2  somebody  new    {eve}:5000  asks for a code")];
    assert!(rows.iter().all(|row| said.contains(row)), "{said:?}");

    let mut named = start(&net, "ben", &ben, &["connect", "--lan", "--peer", "ana", "--json"]);
    assert_eq!(text(&named.event("connected"), "trust"), "known");
    named.send("/quit");
    named.ends_with(0);
    // Free again, it is announced again, by another name.
    let instances = [1, 2].map(|n| text(&second.event_nth(n, "announced"), "instance").to_owned());
    assert_ne!(instances[0], instances[1]);

    let mut person = net.terminal("ben", &ben, &[env!("CARGO_BIN_EXE_p2pchat"), "connect", "--lan"]);
    person.shows("on this network:");
    person.shows("which one?");
    person.keys("3\r");
    person.shows("a number from 1 to 2");
    person.keys("ana\r");
    person.shows("connected to ana");
    person.keys("/quit\r");
    second.event_nth(2, "bye");
    drop(stranger);
    second.signal(Signal::SIGTERM);
    second.ends_with(143);
}

#[test]
fn nobody_reads_a_name_on_the_network() {
    let Some(mut net) = Net::new("nobody_reads_a_name_on_the_network") else { return };
    let _ = ["ana", "ben"].map(|name| net.neighbour(name));
    let (home, ben, file) = (Home::new(), Home::new(), Home::new());
    let path = file.work().join("capture");
    let capture = net.python("router", CAPTURE, &["to-ana", path.to_str().unwrap()]);
    let with_host = |machine| {
        let inner =
            format!("echo zaphods-laptop >/proc/sys/kernel/hostname; exec ip netns exec {} \"$@\"", net.name(machine));
        format!("exec unshare --uts sh -c '{inner}' sh \"$@\"")
    };
    let code = ["--lan", "--json", "--code=4-otter-plum", "-n", "trillian"];
    let mut listening = home.start_by("ana", &with_host("ana"), &[&["listen", "5000"], &code[..]].concat());
    let instance = text(&listening.event("announced"), "instance").to_owned();
    let mut dialling = ben.start_by("ben", &with_host("ben"), &[&["connect"], &code[..]].concat());
    dialling.event("connected");
    quit(&mut listening, &mut dialling);
    // Its records, and the goodbye, which comes before the program ends.
    for (ttl, kind) in [(4_500, 16), (0, 16)] {
        let name = format!("{instance}._p2pchat._tcp.local");
        capture.wait_for(|event| {
            is(event, "record") && event["name"] == name && event["ttl"] == ttl && event["type"] == kind
        });
    }
    let seen = fs::read(path).unwrap();
    let has = |needle: &[u8]| seen.windows(needle.len()).any(|part| part.eq_ignore_ascii_case(needle));
    assert!(has(b"_p2pchat") && has(instance.as_bytes()) && has(b"p2pchat-"));
    let key = Identity::load_or_create(&home.data()).unwrap().public();
    let fingerprint = key.fingerprint();
    for secret in [b"trillian".as_slice(), b"zaphod", b"laptop", b"otter", fingerprint.as_bytes(), &key.pin(), &key.0] {
        assert!(!has(secret), "{}", String::from_utf8_lossy(secret));
    }
}

#[test]
fn a_goodbye_is_said_before_the_program_ends() {
    let Some(mut net) = Net::new("a_goodbye_is_said_before_the_program_ends") else { return };
    let _ = ["ana", "ben"].map(|name| net.neighbour(name));
    let capture = net.python("ben", CAPTURE, &["eth0", "/dev/null"]);
    let mut listening = announced(&net, "ana", &Home::new(), &[]);
    let instance = text(&listening.event("announced"), "instance").to_owned();
    listening.signal(Signal::SIGINT);
    listening.ends_with(130);
    let name = format!("{instance}._p2pchat._tcp.local");
    capture.wait_for(|event| is(event, "record") && event["name"] == name && event["ttl"] == 0);
    let mut late = start(&net, "ben", &Home::new(), &["connect", "--lan", "--json"]);
    assert_eq!(late.exit_code(), 3);
    let error = late.event("error");
    assert_eq!(text(&error, "code"), "lan");
    assert!(
        text(&error, "text").starts_with("nobody announces itself here\nthe other side needs listen --lan"),
        "{error}"
    );
}

#[test]
fn a_taken_5353_is_said_by_both_sides() {
    let Some(mut net) = Net::new("a_taken_5353_is_said") else { return };
    let ana = net.neighbour("ana");
    let taker = net.python("ana", TAKES_THE_PORT, &[]);
    const TAKEN: &str = "port 5353 belongs to another program";
    let mut listening = start(&net, "ana", &Home::new(), &["listen", "5000", "--lan", "--json"]);
    assert_eq!(text(&listening.event("warning"), "text"), format!("not announced on this network: {TAKEN}"));
    let mut looking = start(&net, "ana", &Home::new(), &["connect", "--lan", "--json"]);
    assert_eq!(looking.exit_code(), 3);
    assert_eq!(text(&looking.event("error"), "text"), format!("cannot look around on this network: {TAKEN}"));
    // It listens all the same.
    let mut dialling = start(&net, "ana", &Home::new(), &["connect", &format!("{ana}:5000"), "--json"]);
    dialling.event("connected");
    quit(&mut listening, &mut dialling);
    drop(taker);
}

/// Sends records that nobody asked for, each of another name, to be kept for a day: 200 a message, so often.
const FLOOD: &str = r#"
import socket, struct, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
print('{"event":"listening"}', flush=True)
for message in range(int(sys.argv[2])):
    b = struct.pack(">6H", 0, 0x8400, 0, 200, 0, 0)
    for record in range(200):
        name = b"%08x" % (message * 200 + record)
        b += bytes([8]) + name + b"\x05local\x00" + struct.pack(">HHIH", 1, 1, 86400, 4) + socket.inet_aton(sys.argv[1])
    s.sendto(b, ("224.0.0.251", 5353))
    time.sleep(0.01)
time.sleep(600)
"#;

#[test]
fn a_neighbour_that_floods_the_network_with_records_does_not_fill_the_memory() {
    let Some(mut net) = Net::new("a_neighbour_that_floods_the_network") else { return };
    let [ana, eve] = ["ana", "eve"].map(|name| net.neighbour(name));
    let listening = announced(&net, "ana", &Home::new(), &[]);
    let flood = net.python("eve", FLOOD, &[&eve, "200"]);
    // What was kept is forgotten with the announcement for which it came.
    let instances = [1, 2].map(|n| text(&listening.event_nth(n, "announced"), "instance").to_owned());
    assert_ne!(instances[0], instances[1]);
    drop(flood);
    let mut dialling = start(&net, "eve", &Home::new(), &["connect", "--lan", "--json"]);
    assert_eq!(text(&dialling.event("connected"), "addr"), format!("{ana}:5000"));
    dialling.send("/quit");
    dialling.ends_with(0);
}

#[test]
fn an_invite_whose_addresses_lead_nowhere_is_found_by_its_pin() {
    let Some(mut net) = Net::new("an_invite_is_found_by_its_pin") else { return };
    let [ana, ..] = ["ana", "ben"].map(|name| net.neighbour(name));
    let at: Vec<String> = (1..=8).map(|n| format!("10.200.0.20{n}:5000")).collect();
    let options: Vec<&str> = at.iter().flat_map(|at| ["--at", at.as_str()]).collect();
    let mut listening = announced(&net, "ana", &Home::new(), &[&["--invite"], &options[..]].concat());
    let invite = text(&listening.event("listening"), "invite").to_owned();
    let mut scripted = start(&net, "ben", &Home::new(), &["connect", "--lan", "--json"]);
    assert_eq!(scripted.exit_code(), 2);
    assert!(scripted.lines(Stream::Err).join("\n").contains("only who has its invite is let in there"));
    let mut dialling = start(&net, "ben", &Home::new(), &["connect", &invite, "--lan", "--json"]);
    let connected = dialling.event("connected");
    assert_eq!([text(&connected, "addr"), text(&connected, "trust")], [&format!("{ana}:5000"), "verified"]);
    quit(&mut listening, &mut dialling);
}

#[test]
fn a_lost_session_goes_on_with_its_peer_at_another_address() {
    let Some(mut net) = Net::new("a_lost_session_goes_on") else { return };
    let [ana, ..] = ["ana", "ben"].map(|name| net.neighbour(name));
    let mut listening = announced(&net, "ana", &Home::new(), &[]);
    let mut dialling = start(&net, "ben", &Home::new(), &["connect", &format!("{ana}:5000"), "--lan", "--json"]);
    dialling.event("connected");
    listening.event("connected");
    // Nor where it told to be (ADDRS): all it had is gone.
    net.ip("ana", &format!("addr del {ana}/24 dev eth0"));
    net.ip("ana", "addr del fd00:200::1/64 dev eth0");
    net.ip("ana", "addr add 10.200.0.77/24 dev eth0");
    listening.event("lost");
    // By silence alone he would notice after 15 s.
    net.resets("ben", "output", &ana);
    dialling.send("found");
    dialling.event("lost");
    dialling.event("reconnected");
    listening.message("found");
    // Nobody else is told where it waits while it is with its peer.
    assert_eq!(listening.all("announced").len(), 1);
    quit(&mut listening, &mut dialling);
}

#[test]
fn who_sends_is_found_by_who_receives_with_the_same_code() {
    let Some(mut net) = Net::new("who_sends_is_found") else { return };
    let _ = ["ana", "ben", "eve"].map(|name| net.neighbour(name));
    let (ana, ben) = (Home::new(), Home::new());
    ana.file("photo", "a photo");
    let with_code = ["--lan", "--code=4-otter-plum", "--json"];
    let mut sending = start(&net, "ana", &ana, &[&["send", "photo"], &with_code[..]].concat());
    sending.event("announced");
    // Without a code nobody unknown is talked to.
    let mut open = announced(&net, "eve", &Home::new(), &[]);
    let mut alone = start(&net, "ben", &ben, &["receive", "--lan", "--json"]);
    assert_eq!(alone.exit_code(), 2, "two are there");
    open.signal(Signal::SIGTERM);
    open.ends_with(143);
    let mut receiving = start(&net, "ben", &ben, &[&["receive"], &with_code[..]].concat());
    receiving.ends_with(0);
    sending.ends_with(0);
    assert_eq!(fs::read(ben.work().join("photo")).unwrap(), b"a photo");
    // Met by a code, it is verified: its name is enough, and finds it where it was never dialled.
    let mut again = start(&net, "ana", &ana, &["send", "photo", "--lan", "--peer", "ben", "--json"]);
    again.event("announced");
    start(&net, "ben", &ben, &["receive", "ana", "--lan", "--json"]).ends_with(0);
    again.ends_with(0);
}

#[test]
fn nothing_is_announced_past_a_proxy_or_where_nobody_is() {
    let home = Home::new();
    for arguments in
        [&["connect", "--lan"][..], &["connect", "host:5000", "--lan"], &["receive", "--lan", "--code=4-otter-plum"]]
    {
        let ran = run(home.program(arguments).env("ALL_PROXY", "socks5h://127.0.0.1:9"));
        let says = "--lan looks around on the own network, past the proxy\n--proxy none";
        assert!(ran.code == Some(2) && ran.err.contains(says), "{ran:?}");
    }
    // Loopback is no network: nobody is there.
    let mut listening = home.listen("ana", &["--lan"]);
    let warning = listening.event("warning");
    assert_eq!(
        text(&warning, "text"),
        "not announced on this network: this machine is in no network that others are in"
    );
    listening.signal(Signal::SIGTERM);
    listening.ends_with(143);
}

/// Fetches avahi from Debian into the folder `$1`, without installing it.
const FETCH_AVAHI: &str = r#"
cd "$1"
apt-get download -q avahi-daemon libavahi-common3 libavahi-core7 libcap2 libdaemon0 libdbus-1-3 libexpat1
for package in *.deb; do dpkg -x "$package" .; done
echo avahi:x:998:998::/:/bin/false | cat /etc/passwd - >passwd
echo avahi:x:998: | cat /etc/group - >group
"#;

/// Runs it from there, in a mount namespace of its own; `$2` says whether it keeps its port for itself.
const RUN_AVAHI: &str = r#"
cd "$1"
printf '[server]\nhost-name=avahi-host\nenable-dbus=no\ndisallow-other-stacks=%s\n' "$2" >"conf-$2"
mount -t tmpfs none /run
for file in passwd group; do mount --bind $file /etc/$file; done
LD_LIBRARY_PATH=$(find "$1" -name '*.so.*' -printf '%h:')
export LD_LIBRARY_PATH
exec usr/sbin/avahi-daemon --no-drop-root --no-chroot -f "$1/conf-$2"
"#;

fn avahi(net: &Net, machine: &str, folder: &Home, alone: &str) -> Peer {
    let script = folder.file("run.sh", RUN_AVAHI);
    let inbox = folder.inbox();
    let line = format!(
        "exec ip netns exec {} unshare -m sh -e {} {} {alone}",
        net.name(machine),
        script.display(),
        inbox.display()
    );
    let avahi = folder.start_by("avahi", &line, &[]);
    avahi.line(Stream::Err, |line| line.contains("Server startup complete"));
    avahi
}

#[test]
#[ignore = "fetches avahi from Debian"]
fn it_is_found_beside_avahi_unless_that_keeps_the_port() {
    let Some(mut net) = Net::new("it_is_found_beside_avahi") else { return };
    let [ana, ..] = ["ana", "ben", "carl"].map(|name| net.neighbour(name));
    let folder = Home::new();
    let script = folder.file("fetch.sh", FETCH_AVAHI);
    let fetched = run(Command::new("sh").arg("-e").arg(script).arg(folder.inbox()));
    assert_eq!(fetched.code, Some(0), "{fetched:?}");
    let capture = net.python("ben", CAPTURE, &["eth0", "/dev/null"]);
    let beside = ["ana", "ben"].map(|machine| avahi(&net, machine, &folder, "no"));
    let mut listening = announced(&net, "ana", &Home::new(), &[]);
    let mut dialling = start(&net, "ben", &Home::new(), &["connect", "--lan", "--json"]);
    assert_eq!(text(&dialling.event("connected"), "addr"), format!("{ana}:5000"));
    quit(&mut listening, &mut dialling);
    // Nor is avahi kept from its work.
    capture.wait_for(|event| is(event, "record") && event["name"] == "avahi-host.local" && event["type"] == 1);
    drop(beside);
    let _alone = avahi(&net, "carl", &folder, "yes");
    let mut taken = start(&net, "carl", &Home::new(), &["listen", "5000", "--lan", "--json"]);
    let warning = taken.event("warning");
    assert_eq!(text(&warning, "text"), "not announced on this network: port 5353 belongs to another program");
    taken.signal(Signal::SIGTERM);
    taken.ends_with(143);
}
