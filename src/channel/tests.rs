//! The channel as a peer, an attacker and an independent implementation meet it.

mod attacker;
mod records;
mod rogue;
mod stream;
pub(super) mod vectors;

use super::handshake::{FixedRandomness, establish_with};
use super::*;
use crate::protocol::frame::Frame;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use stream::{End, Fault, line};

/// One side of a test connection.
struct Person {
    identity: Identity,
    code: Option<Code>,
    /// The only key it accepts, if it is choosy.
    accepts: Option<PublicKey>,
    tries_left: AtomicUsize,
    /// What it says first; a fresh hello when it does not care.
    hello: Option<Hello>,
    fixed: FixedRandomness,
}

#[derive(Debug)]
enum Failure {
    Hello,
    Handshake(HandshakeError),
    /// The hello did not come whole.
    Stream,
}

impl Person {
    fn new(code: Option<&str>) -> Self {
        Self {
            identity: Identity::generate().unwrap(),
            code: code.map(|text| Code::new(text).unwrap()),
            accepts: None,
            tries_left: AtomicUsize::new(3),
            hello: None,
            fixed: FixedRandomness::default(),
        }
    }

    fn hello(&self) -> Hello {
        let mode = if self.code.is_some() { Mode::Code } else { Mode::Open };
        self.hello.clone().unwrap_or_else(|| Hello::new(mode).unwrap())
    }

    fn connect(&self, role: Role, own: &Hello, end: &mut End) -> Result<Channel, Failure> {
        end.write_all(&own.encode()).unwrap();
        let mut bytes = [0; HELLO];
        end.read_exact(&mut bytes).map_err(|_| Failure::Stream)?;
        let theirs = Hello::decode(&bytes, own).map_err(|_| Failure::Hello)?;
        let terms = Terms {
            role,
            code: self.code.as_ref(),
            identity: &self.identity,
            accept_key: &|key| match self.accepts.is_none_or(|accepted| accepted == *key) {
                true => Ok(Some("looked at".into())),
                false => Err(KeyRejected(key.fingerprint())),
            },
            reserve_try: &|| {
                self.tries_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
            },
        };
        establish_with(end, own, &theirs, &terms, &self.fixed).map_err(Failure::Handshake)
    }
}

/// Both sides of one connection: how it went, and what each sent.
struct Meeting {
    initiator: Result<Channel, Failure>,
    responder: Result<Channel, Failure>,
    sent: (Vec<u8>, Vec<u8>),
}

fn meet(initiator: &Person, responder: &Person) -> Meeting {
    meet_over(initiator, responder, line((None, None)))
}

fn meet_over(initiator: &Person, responder: &Person, (left, right): (End, End)) -> Meeting {
    let run = |person: &Person, role, mut end: End| {
        let outcome = person.connect(role, &person.hello(), &mut end);
        let sent = end.sent();
        // A side that failed closes without a word; one that has its channel is quiet, and stays open until both have ended.
        let end = outcome.is_ok().then_some(end).inspect(End::rest);
        (outcome, end, sent)
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| run(responder, Role::Responder, right));
        let (initiator, _end_i, sent_i) = run(initiator, Role::Initiator, left);
        let (responder, _end_r, sent_r) = other.join().unwrap();
        Meeting { initiator, responder, sent: (sent_i, sent_r) }
    })
}

#[test]
fn a_wrong_code_is_known_to_the_responder_and_looks_like_a_close_to_the_initiator() {
    let (i, r) = (Person::new(Some("1-a-b")), Person::new(Some("1-a-c")));
    let meeting = meet(&i, &r);
    assert!(matches!(meeting.responder, Err(Failure::Handshake(HandshakeError::WrongCode))));
    let Err(Failure::Handshake(error)) = meeting.initiator else { panic!("the initiator went on") };
    assert!(matches!(error, HandshakeError::CodeUnanswered));
    assert!(error.spent_our_code());
    assert_eq!(r.tries_left.load(Ordering::SeqCst), 2);
    assert_eq!(meeting.sent.1.len(), HELLO + 35, "nothing that depends on the code was sent");
}

#[test]
fn a_right_code_without_tries_is_refused_before_it_is_checked() {
    let (i, r) = (Person::new(Some("1-a-b")), Person::new(Some("1-a-b")));
    r.tries_left.store(0, Ordering::SeqCst);
    let meeting = meet(&i, &r);
    assert!(matches!(meeting.responder, Err(Failure::Handshake(HandshakeError::NoTriesLeft))));
    assert!(matches!(meeting.initiator, Err(Failure::Handshake(HandshakeError::CodeUnanswered))));
    assert_eq!(meeting.sent.1.len(), HELLO + 35);
}

#[test]
fn a_code_without_its_mode_is_our_own_fault() {
    let person = Person::new(Some("1-a-b"));
    let open = Hello::new(Mode::Open).unwrap();
    let (mut left, mut right) = line((None, None));
    right.write_all(&Hello::new(Mode::Open).unwrap().encode()).unwrap();
    let outcome = person.connect(Role::Initiator, &open, &mut left);
    assert!(matches!(outcome, Err(Failure::Handshake(HandshakeError::Internal(_)))));
    assert_eq!(left.sent().len(), HELLO, "it did not fall back to an open handshake");
}

#[test]
fn a_key_that_the_check_rejects_is_refused_before_anything_more_is_sent() {
    let stranger = Identity::generate().unwrap().public();
    let (mut i, r) = (Person::new(None), Person::new(None));
    i.accepts = Some(stranger);
    let meeting = meet(&i, &r);
    let Err(Failure::Handshake(HandshakeError::KeyRejected(rejected))) = meeting.initiator else { panic!() };
    assert_eq!(rejected, KeyRejected(r.identity.public().fingerprint()));
    assert!(matches!(meeting.responder, Err(Failure::Handshake(HandshakeError::Closed(HandshakeStep::Message3)))));
    assert_eq!(meeting.sent.0.len(), HELLO + 34, "message 3 would have told who the initiator is");

    let (i, mut r) = (Person::new(None), Person::new(None));
    r.accepts = Some(stranger);
    let meeting = meet(&i, &r);
    assert!(matches!(meeting.responder, Err(Failure::Handshake(HandshakeError::KeyRejected(_)))));
    assert!(matches!(meeting.initiator, Err(Failure::Handshake(HandshakeError::Closed(HandshakeStep::HybridKeys)))));
}

#[test]
fn a_deadline_an_end_and_a_failure_of_the_stream_are_told_apart() {
    use io::ErrorKind as Kind;
    for kind in [Kind::WouldBlock, Kind::TimedOut] {
        assert!(matches!(StreamError::from(io::Error::from(kind)), StreamError::Silent), "{kind}");
    }
    for kind in [Kind::UnexpectedEof, Kind::BrokenPipe, Kind::ConnectionReset, Kind::ConnectionAborted] {
        assert!(matches!(StreamError::from(io::Error::from(kind)), StreamError::Closed), "{kind}");
    }
    assert!(matches!(StreamError::from(io::Error::from(Kind::PermissionDenied)), StreamError::Io(_)));
}

#[test]
fn the_number_has_ten_digits_in_two_groups() {
    assert_eq!(Verification(0).to_string(), "00000 00000");
    assert_eq!(Verification(1_234_567_890).to_string(), "12345 67890");
    assert_eq!(Verification(Verification::NUMBERS - 1).to_string(), "99999 99999");
}
