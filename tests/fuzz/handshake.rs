//! A whole opening of two programs, with what one of them sends changed on its way: on either side, with a code or without.
//!
//! Both sides run the program's own code, the peer on a thread of its own. Invariants: a channel comes only from the very bytes that
//! the peer sent, has the peer's key, and both have the same number; a wrong code gives none; a connection uses up one try at most;
//! nothing is read beyond the opening.

use super::choices::Choices;
use p2pchat::channel::{Channel, Code, HandshakeError, Hello, Mode, Role, Terms, establish, read_frame, write_frame};
use p2pchat::identity::Identity;
use p2pchat::keys::PublicKey;
use p2pchat::protocol::frame::Frame;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;

/// More than all that a side reads in an opening.
const OPENING: u16 = 4_096;
/// Changes of one input.
const CHANGES: usize = 4;

pub(crate) fn handshake(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (victim, peer) =
        if choices.flag() { (Role::Responder, Role::Initiator) } else { (Role::Initiator, Role::Responder) };
    let mode = if choices.flag() { Mode::Code } else { Mode::Open };
    let wrong_code = mode == Mode::Code && choices.pick(4) == 3;
    let hellos = [Hello::new(mode).unwrap(), Hello::new(mode).unwrap()];
    let codes = ["42-otter-plum", if wrong_code { "42-otter-plow" } else { "42-otter-plum" }];
    let codes = codes.map(|code| (mode == Mode::Code).then(|| Code::new(code).unwrap()));
    let changes = (0..CHANGES).map_while(|_| Change::choose(&mut choices)).collect();
    let (mut here, mut there) = connection(changes);
    let tries = Cell::new(0);
    let reserve_try = || {
        tries.set(tries.get() + 1);
        true
    };
    let accept_key = |_: &PublicKey| Ok(None);
    let (ours, theirs, here) = thread::scope(|scope| {
        let [own, other] = &hellos;
        let code = codes[1].as_ref();
        let peer = scope.spawn(move || {
            let terms = Terms { role: peer, code, identity: keys().1, accept_key: &accept_key, reserve_try: &|| true };
            establish(&mut there, other, own, &terms).ok()
        });
        let terms = Terms {
            role: victim,
            code: codes[0].as_ref(),
            identity: keys().0,
            accept_key: &accept_key,
            reserve_try: &reserve_try,
        };
        let ours = establish(&mut here, own, other, &terms);
        let read = (here.taken, here.has_read_changes());
        drop(here);
        (ours, peer.join().unwrap(), read)
    });
    let (taken, has_read_changes) = here;
    assert!(taken < usize::from(OPENING), "an opening of {taken} bytes was read");
    assert!(tries.get() <= u32::from(victim == Role::Responder && mode == Mode::Code), "a connection has one guess");
    match ours {
        Ok(channel) => {
            assert!(!wrong_code && !has_read_changes, "it was not the peer that shook hands");
            assert_eq!(channel.peer, keys().1.public());
            if let Some(other) = theirs {
                assert_eq!(channel.verification, other.verification);
                talk(channel, other);
            }
        }
        Err(HandshakeError::Internal(what)) => panic!("{what}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Honest in every combination, a wrong code, and each kind of change at places all over the opening, most of them outside of the
/// ML-KEM key and ciphertext.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0, 1, 3], vec![1, 1, 3]];
    for head in [&[0, 0][..], &[0, 1, 0], &[1, 0], &[1, 1, 0]] {
        seeds.push(head.to_vec());
        for place in (0..240_u16).step_by(7).chain((240..2_600).step_by(200)) {
            for kind in 0..4 {
                seeds.push([head, &[1], &place.to_be_bytes(), &[kind, 0x40]].concat());
            }
        }
    }
    seeds
}

/// A frame passes each way on the channel that stands.
fn talk(mut here: Channel, mut there: Channel) {
    let mut sent = Vec::new();
    write_frame(&mut sent, &mut here.sealer, &Frame::Ping(5)).unwrap();
    assert_eq!(read_frame(&mut sent.as_slice(), &mut there.opener).unwrap(), Frame::Ping(5));
    let mut sent = Vec::new();
    write_frame(&mut sent, &mut there.sealer, &Frame::Pong(6)).unwrap();
    let last = sent.len() - 1;
    let mut changed = sent.clone();
    changed[last] ^= 1;
    assert!(read_frame(&mut changed.as_slice(), &mut here.opener).is_err(), "a changed record opened");
    assert!(read_frame(&mut sent.as_slice(), &mut here.opener).is_err(), "after a changed record nothing opens");
}

/// The victim's key and the peer's.
fn keys() -> (&'static Identity, &'static Identity) {
    static KEYS: OnceLock<[Identity; 2]> = OnceLock::new();
    let [victim, peer] = KEYS.get_or_init(|| [Identity::generate().unwrap(), Identity::generate().unwrap()]);
    (victim, peer)
}

/// What happens to the byte at a place of what the victim reads.
#[derive(Clone, Copy)]
struct Change {
    place: usize,
    kind: ChangeKind,
}

#[derive(Clone, Copy)]
enum ChangeKind {
    Flip(u8),
    Insert(u8),
    Remove,
    /// The stream ends.
    Cut,
}

impl Change {
    fn choose(choices: &mut Choices<'_>) -> Option<Self> {
        if !choices.flag() {
            return None;
        }
        let place = usize::from(choices.u16() % OPENING);
        let kind = match choices.pick(4) {
            0 => ChangeKind::Flip(choices.byte().max(1)),
            1 => ChangeKind::Insert(choices.byte()),
            2 => ChangeKind::Remove,
            _ => ChangeKind::Cut,
        };
        Some(Self { place, kind })
    }
}

/// A connection in memory. When both ends wait for the other, what was changed keeps them from going on: both time out.
#[derive(Default)]
struct Wire {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What each end has not read yet.
    ready: [VecDeque<u8>; 2],
    waiting: [bool; 2],
    /// An end is gone, or both waited.
    over: bool,
}

/// One end of it. The peer's end is told to be over when this one is dropped.
struct Stream {
    wire: Arc<Wire>,
    end: usize,
    /// Of what comes in.
    changes: Vec<Change>,
    received: usize,
    /// Came in, was changed, and is not read yet.
    pending: VecDeque<u8>,
    /// From this byte on what is read is not what the peer sent.
    changed_from: Option<usize>,
    cut: bool,
    /// Bytes that were read.
    taken: usize,
}

/// The victim's end, which changes what comes in, and its peer's.
fn connection(changes: Vec<Change>) -> (Stream, Stream) {
    let wire = Arc::<Wire>::default();
    let stream = |end, changes| Stream {
        wire: Arc::clone(&wire),
        end,
        changes,
        received: 0,
        pending: VecDeque::new(),
        changed_from: None,
        cut: false,
        taken: 0,
    };
    (stream(0, changes), stream(1, Vec::new()))
}

impl Stream {
    /// Whether a byte was read that the peer did not send in its place.
    fn has_read_changes(&self) -> bool {
        self.changed_from.is_some_and(|from| from < self.taken)
    }

    /// Does to one byte what is planned for its place.
    fn pass(&mut self, byte: u8) {
        let change = self.changes.iter().find(|change| change.place == self.received).map(|change| change.kind);
        self.received += 1;
        if change.is_some() {
            self.changed_from.get_or_insert(self.taken + self.pending.len());
        }
        match change {
            _ if self.cut => {}
            None => self.pending.push_back(byte),
            Some(ChangeKind::Flip(mask)) => self.pending.push_back(byte ^ mask),
            Some(ChangeKind::Insert(more)) => self.pending.extend([more, byte]),
            Some(ChangeKind::Remove) => {}
            Some(ChangeKind::Cut) => self.cut = true,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let (wire, end) = (Arc::clone(&self.wire), self.end);
        while self.pending.is_empty() && !self.cut {
            let mut state = wire.state.lock().unwrap();
            while state.ready[end].is_empty() {
                if state.over || (state.waiting[1 - end] && state.ready[1 - end].is_empty()) {
                    state.over = true;
                    wire.changed.notify_all();
                    return if self.changes.is_empty() { Ok(0) } else { Err(io::ErrorKind::TimedOut.into()) };
                }
                state.waiting[end] = true;
                state = wire.changed.wait(state).unwrap();
                state.waiting[end] = false;
            }
            let came = std::mem::take(&mut state.ready[end]);
            drop(state);
            came.into_iter().for_each(|byte| self.pass(byte));
        }
        let count = self.pending.len().min(room.len());
        room.iter_mut().zip(self.pending.drain(..count)).for_each(|(place, byte)| *place = byte);
        self.taken += count;
        Ok(count)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.wire.state.lock().unwrap();
        if state.over {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        state.ready[1 - self.end].extend(bytes);
        self.wire.changed.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.wire.state.lock().unwrap().over = true;
        self.wire.changed.notify_all();
    }
}
