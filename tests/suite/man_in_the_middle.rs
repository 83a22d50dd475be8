//! Somebody between the two who speaks the protocol to both and passes everything on.

use crate::support::attacker::{identity, read_any};
use crate::support::{Attacker, DEADLINE, Home, text};
use p2pchat::channel::{Opener, Role, Sealer, write_frame};
use p2pchat::protocol::frame::{Control, Frame};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

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
    /// He takes who dials him, and dials `target` himself; with `guess` in code mode.
    fn before(target: SocketAddr, guess: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
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
    let mut frame = read_any(from, opener)?;
    if let Frame::Control { control: Control::Line { text, .. }, .. } = &mut frame {
        seen.lock().unwrap().lines.push(text.clone());
        *text = text.replace("account 7", "account 8");
    }
    write_frame(to, sealer, &frame).ok()
}

#[test]
fn he_reads_and_changes_everything_and_the_two_numbers_tell() {
    let ana = Home::new().listen("ana", &[]);
    let middle = Middle::before(ana.addr(), None);
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
fn he_has_one_guess_at_a_code_on_each_side_and_gets_no_further() {
    let ana = Home::new().listen("ana", &["--code=42-otter-plum"]);
    let middle = Middle::before(ana.addr(), Some("42-otter-plow"));
    let mut ben = Home::new().connect("ben", middle.addr, &["--code=42-otter-plum", "--wait"]);
    ben.ends_with(4);
    ana.event("warning");
    let begun = Instant::now();
    let counted = || {
        let seen = middle.seen.lock().unwrap();
        (seen.opened, seen.failed)
    };
    // He counts a little later than both notice.
    while counted() == (0, 0) && begun.elapsed() < DEADLINE {
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(counted(), (0, 2));
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
