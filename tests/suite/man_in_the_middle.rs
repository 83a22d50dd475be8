//! Somebody between the two: who speaks the protocol to both and passes everything on, and who only listens.

use crate::support::attacker::identity;
use crate::support::{Attacker, Home, Peer, nobody, text};
use p2pchat::channel::{HELLO, Opener, Role, Sealer};
use p2pchat::protocol::frame::{Control, Frame};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A man in the middle with a key of his own, which both sides see. He reads every line, and changes some.
struct Middle {
    addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    /// Handshakes that he carried out to the end, and those that he did not.
    opened: usize,
    failed: usize,
}

impl Middle {
    /// He takes who dials `at`, and dials `target` himself; with `guess` in code mode.
    fn stand(at: SocketAddr, target: SocketAddr, guess: Option<&'static str>) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let addr = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let his = Arc::clone(&seen);
        let key = identity();
        thread::spawn(move || {
            for dialler in listener.incoming().map_while(Result::ok) {
                let sides =
                    [Attacker::shake(dialler, Role::Responder, &key, guess), Attacker::dial(target, &key, guess)];
                let mut seen = his.lock().unwrap();
                seen.opened += sides.iter().filter(|side| side.is_ok()).count();
                seen.failed += sides.iter().filter(|side| side.is_err()).count();
                if let [Ok(dialler), Ok(listener)] = sides {
                    pass_on(dialler, listener, &his);
                }
            }
        });
        Self { addr, seen }
    }

    fn anywhere(target: SocketAddr, guess: Option<&'static str>) -> Self {
        Self::stand("127.0.0.1:0".parse().unwrap(), target, guess)
    }
}

/// Both directions, each on a thread of its own.
fn pass_on(dialler: Attacker, listener: Attacker, seen: &Arc<Mutex<Seen>>) {
    let ends = (dialler.stream.try_clone().unwrap(), listener.stream.try_clone().unwrap());
    let up = (dialler.stream, dialler.channel.opener, ends.1, listener.channel.sealer);
    let down = (listener.stream, listener.channel.opener, ends.0, dialler.channel.sealer);
    for (mut from, mut opener, mut to, mut sealer) in [up, down] {
        let seen = Arc::clone(seen);
        thread::spawn(move || {
            while pass_one(&mut from, &mut opener, &mut to, &mut sealer, &seen).is_some() {}
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

fn pass_one(
    from: &mut TcpStream,
    opener: &mut Opener,
    to: &mut TcpStream,
    sealer: &mut Sealer,
    seen: &Mutex<Seen>,
) -> Option<()> {
    let mut length = [0; 2];
    from.read_exact(&mut length).ok()?;
    let mut body = vec![0; u16::from_be_bytes(length).into()];
    from.read_exact(&mut body).ok()?;
    opener.open(&mut body).ok()?;
    let mut frame = body[..body.len() - 16].to_vec();
    if let Ok(Frame::Control { seq, control: Control::Line { action, text } }) = Frame::decode(&frame) {
        let changed = text.replace("account 7", "account 8");
        seen.lock().unwrap().lines.push(text);
        frame.clear();
        Frame::Control { seq, control: Control::Line { action, text: changed } }.encode(&mut frame);
    }
    let mut record = [&[0; 2], frame.as_slice(), &[0; 16]].concat();
    sealer.seal(&mut record).ok()?;
    to.write_all(&record).ok()
}

/// `ben` meets `ana` at `addr`, marks her as verified if that is wanted, and both leave.
fn meet_before(ana: &Home, ben: &Home, addr: SocketAddr, verify: bool) {
    let mut listening = ana.json("ana", &["listen", &addr.to_string()], &[], None);
    let mut dialling = ben.connect("ben", listening.addr(), &[]);
    dialling.event("connected");
    if verify {
        dialling.send("/verify");
        dialling.event("trust");
    }
    dialling.send("/quit");
    dialling.ends_with(0);
    listening.ends_with(0);
}

#[test]
fn he_reads_and_changes_everything_and_the_two_numbers_tell() {
    let ana = Home::new().listen("ana", &[]);
    let middle = Middle::anywhere(ana.addr(), None);
    let ben = Home::new().connect("ben", middle.addr, &[]);
    let (here, there) = (ana.event("connected"), ben.event("connected"));
    assert_eq!(here["fingerprint"], there["fingerprint"], "both see his key");
    ben.send("pay into account 7");
    ana.message("pay into account 8");
    ana.send("done");
    ben.message("done");
    ben.event("delivered");
    assert_eq!(middle.seen.lock().unwrap().lines, ["pay into account 7", "done"]);
    assert_ne!(text(&here, "verify"), text(&there, "verify"), "the numbers are what gives him away");
}

#[test]
fn he_is_refused_where_a_key_is_demanded() {
    let (ana, ben) = (Home::new(), Home::new());
    let (_taken, addr) = nobody();
    meet_before(&ana, &ben, addr, false);
    let listening = ana.listen("ana", &[]);
    let middle = Middle::anywhere(listening.addr(), None);
    let mut dialling = ben.connect("ben", middle.addr, &["--peer", "ana"]);
    dialling.ends_with(4);
    let error = dialling.event("error");
    for words in ["is not ana", "pretends to be ana", "new key or device"] {
        assert!(text(&error, "text").contains(words), "{error}");
    }
    assert!(listening.all("connected").is_empty());
    // The side that listens may key_requirement a key as well.
    let demanding = ana.listen("ana", &["--peer", "ben"]);
    let middle = Middle::anywhere(demanding.addr(), None);
    let mut dialling = ben.connect("ben", middle.addr, &[]);
    assert_ne!(dialling.exit_code(), 0);
    assert!(demanding.all("connected").is_empty());
}

#[test]
fn he_is_refused_at_the_address_of_a_verified_peer() {
    let (ana, ben) = (Home::new(), Home::new());
    let (_taken, addr) = nobody();
    meet_before(&ana, &ben, addr, true);
    let listening = ana.listen("ana", &[]);
    let middle = Middle::stand(addr, listening.addr(), None);
    let mut dialling = ben.connect("ben", addr, &[]);
    dialling.ends_with(4);
    let error = dialling.event("error");
    for words in
        ["another key than that of ana, which you verified (last seen 2", "sits between you and ana", "forget ana"]
    {
        assert!(text(&error, "text").contains(words), "{error}");
    }
    assert!(dialling.all("connected").is_empty() && listening.all("connected").is_empty());
    assert!(middle.seen.lock().unwrap().lines.is_empty());
}

#[test]
fn he_has_one_guess_at_a_code_on_each_side_and_gets_no_further() {
    let ana = Home::new().listen("ana", &["--code=42-otter-plum"]);
    let middle = Middle::anywhere(ana.addr(), Some("42-otter-plow"));
    let mut ben = Home::new().connect("ben", middle.addr, &["--code=42-otter-plum", "--wait"]);
    ben.ends_with(4);
    ana.event("warning");
    let seen = middle.seen.lock().unwrap();
    assert_eq!((seen.opened, seen.failed), (0, 2));
    assert!(ana.all("connected").is_empty() && ben.all("connected").is_empty());
}

#[test]
fn a_connection_has_exactly_one_guess() {
    let mut ana = Home::new().listen("ana", &["--code=right"]);
    for connection in 1..=2 {
        let stream = TcpStream::connect(ana.addr()).unwrap();
        let mut again = stream.try_clone().unwrap();
        assert!(Attacker::shake(stream, Role::Initiator, &identity(), Some("wrong")).is_err());
        // A second guess on the same connection: nobody is there any more to take it.
        let _ = again.write_all(&[&[0, 33][..], &[0x41; 33], &[0, 48], &[0; 48]].concat());
        let answer = again.read_to_end(&mut Vec::new());
        assert!(answer.is_ok_and(|read| read == 0) || again.peek(&mut [0]).is_err());
        let warning = ana.event_nth(connection, "warning");
        assert!(text(&warning, "text").contains("wrong code"), "{warning}");
    }
    // Two of three tries are used, whatever was sent after the first guess of each connection.
    let mut ben = Home::new().connect("ben", ana.addr(), &["--code=right"]);
    ben.event("connected");
    ben.send("/quit");
    ben.ends_with(0);
    ana.ends_with(0);
}

/// What passes, byte for byte, with nobody changing it: dialler to listener, and back.
type Tape = Arc<Mutex<[Vec<u8>; 2]>>;

/// Listens to one connection.
fn tap(target: SocketAddr) -> (SocketAddr, Tape) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let tape = Tape::default();
    let hers = Arc::clone(&tape);
    thread::spawn(move || -> io::Result<()> {
        let (dialler, _) = listener.accept()?;
        let listener = TcpStream::connect(target)?;
        for (way, mut from, mut to) in
            [(0, dialler.try_clone()?, listener.try_clone()?), (1, listener.try_clone()?, dialler.try_clone()?)]
        {
            let tape = Arc::clone(&hers);
            thread::spawn(move || -> io::Result<()> {
                let mut bytes = [0; 4096];
                loop {
                    let read = from.read(&mut bytes)?;
                    if read == 0 {
                        return to.shutdown(Shutdown::Write);
                    }
                    tape.lock().unwrap()[way].extend_from_slice(&bytes[..read]);
                    to.write_all(&bytes[..read])?;
                }
            });
        }
        Ok(())
    });
    (addr, tape)
}

/// The handshake of a session with this code as a listener on the line has it: each direction, hellos cut off.
fn handshake(code: &str) -> [Vec<u8>; 2] {
    let code = format!("--code={code}");
    let mut ana = Home::new().listen("ana", &[&code]);
    let (addr, tape) = tap(ana.addr());
    let mut ben = Home::new().connect("ben", addr, &[&code]);
    ben.event("connected");
    leave(&mut ben);
    ana.ends_with(0);
    let tape = tape.lock().unwrap();
    // SPAKE2, message 1, message 3; SPAKE2, message 2. Each with its length.
    [tape[0][HELLO..HELLO + 35 + 50 + 66].to_vec(), tape[1][HELLO..HELLO + 35 + 98].to_vec()]
}

fn leave(ben: &mut Peer) {
    ben.send("/quit");
    ben.ends_with(0);
}

/// Why a listener on the line has nothing to test codes against. A SPAKE2 message is x*G + w*M with x drawn anew from the whole
/// group: for every password w' there is an x' that gives the same message, so the two messages alone fit every code equally well.
/// All that follows depends on the code only through K, which takes x or y besides w to compute (the Diffie-Hellman problem): the psk
/// is KDF(K), and message 1 shows its tag under a key from that psk. So a guess at w can only be checked by who took part with it,
/// once. A test cannot prove that; it shows that what goes over the line has neither the code, nor anything made of it alone.
#[test]
fn one_who_only_listens_sees_nothing_that_depends_on_the_code_alone() {
    let first = handshake("42-otter-plum");
    let again = handshake("42-otter-plum");
    let other = handshake("7-a-very-much-longer-code-than-the-others-that-somebody-chose-by-hand");
    for way in 0..2 {
        // Neither the length of the code shows, ...
        assert_eq!(first[way].len(), other[way].len());
        // ... nor is anything the same twice with one code beside lengths and the side's letter,
        let same = longest_common(&first[way], &again[way]);
        assert!(same <= 5, "{same} bytes came again");
        // ... so nothing can be compared with what another code gives.
        assert!(longest_common(&first[way], &other[way]) <= 5);
        assert_ne!(first[way][2..35], again[way][2..35], "a SPAKE2 message is fresh");
    }
    let secret = "42otterplum";
    let derived = blake3::derive_key("p2pchat/1 2026 spake2 key to noise psk", secret.as_bytes());
    let made = [
        secret.as_bytes().to_vec(),
        b"otter".to_vec(),
        blake3::hash(secret.as_bytes()).as_bytes().to_vec(),
        derived.to_vec(),
    ];
    for bytes in made {
        let head = &bytes[..bytes.len().min(5)];
        assert!(!first.iter().any(|way| way.windows(head.len()).any(|window| window == head)));
    }
}

/// Bytes of the longest run that stands in both.
fn longest_common(left: &[u8], right: &[u8]) -> usize {
    let run = |from: usize, to: usize| left[from..].iter().zip(&right[to..]).take_while(|(a, b)| a == b).count();
    let places = (0..left.len()).flat_map(|from| (0..right.len()).map(move |to| (from, to)));
    places.map(|(from, to)| run(from, to)).max().unwrap_or(0)
}
