//! The listener's side of an opening: who is let in, the answer to a greeting, and what is said of callers that are turned away.

use crate::channel::write_frame;
use crate::net::opening::{DeadlineStream, Established};
use crate::protocol::frame::{Frame, Intent, Refusal};
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// For the answer to a greeting: it fits into an empty socket buffer, so this is never used up by an honest caller.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Callers that are named in one [`REJECTIONS_SPAN`]; more are counted.
const REJECTIONS_NAMED: u32 = 5;
/// The span over which they are limited.
const REJECTIONS_SPAN: Duration = Duration::from_secs(60);

/// Limits what is said about callers that were turned away, since any number of them may come.
#[derive(Debug, Default)]
pub(super) struct RejectionLog {
    since: Option<Instant>,
    named: u32,
    silent: u32,
}

impl RejectionLog {
    /// Counts one more; gives its words, with those before that were only counted.
    pub(super) fn log(&mut self, words: &str) -> Option<String> {
        if self.since.is_none_or(|since| since.elapsed() > REJECTIONS_SPAN) {
            *self = Self { since: Some(Instant::now()), named: 0, silent: self.silent };
        }
        if self.named >= REJECTIONS_NAMED {
            self.silent += 1;
            return None;
        }
        self.named += 1;
        let silent = std::mem::take(&mut self.silent);
        let before = if silent > 0 { format!("{silent} more callers were turned away; ") } else { String::new() };
        Some(format!("{before}{words}"))
    }
}

/// How far the listener's conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occupancy {
    /// Nobody is here.
    Free,
    /// A peer was let in, and is being recorded; or the last one left, and nobody is let in.
    Taken,
    Connected,
    /// The connection is lost; the session waits for its peer.
    Lost,
}

/// Somebody proved its key and greets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub(super) intent: Intent,
    /// The key is that of the conversation's peer.
    pub(super) same_key: bool,
    /// The greeting names the conversation's session, and a state of it that can go on: a machine that was set back has another.
    pub(super) same_session: bool,
    /// It may begin with a peer of its kind: one that knows the code, when there is one.
    pub(super) eligible: bool,
}

/// What is done with a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// A new session, which takes over what an earlier one with this peer left.
    Begin,
    Resume,
    /// The peer's program was restarted, or is run twice: see whether the present connection is alive.
    Probe,
    Refuse(Refusal),
}

/// PROTOCOL.md section 6: resume, busy, restart of a program.
pub(super) fn admit(caller: Caller, occupancy: Occupancy) -> Admission {
    let Caller { intent, same_key, same_session, eligible } = caller;
    match (intent, occupancy) {
        (Intent::Resume, Occupancy::Connected | Occupancy::Lost) if same_key && same_session => Admission::Resume,
        (Intent::Resume, Occupancy::Connected | Occupancy::Lost) if same_key => {
            Admission::Refuse(Refusal::NoSuchSession)
        }
        (Intent::Resume, Occupancy::Free) => Admission::Refuse(Refusal::NoSuchSession),
        // Its key, which the lost session began with, is worth a code.
        (Intent::New, Occupancy::Lost) if same_key => Admission::Begin,
        (Intent::New, Occupancy::Connected) if same_key => Admission::Probe,
        (Intent::New, Occupancy::Free) if eligible => Admission::Begin,
        _ => Admission::Refuse(Refusal::Busy),
    }
}

/// Answers a greeting; false when the caller is gone.
pub(super) fn answer(caller: &mut Established, frame: &Frame) -> bool {
    let mut stream = DeadlineStream::new(&caller.stream, Instant::now() + ANSWER_TIME);
    write_frame(&mut stream, &mut caller.channel.sealer, frame).is_ok()
}

/// Ends the connection as one that is over, not as one that broke, whatever of the caller's was not read.
pub(super) fn hang_up(caller: &Established) {
    let _ = caller.stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_on_with_its_peer_and_others_are_told_why_not() {
        let caller = |intent, same_key, same_session| Caller { intent, same_key, same_session, eligible: true };
        let busy = Admission::Refuse(Refusal::Busy);
        let gone = Admission::Refuse(Refusal::NoSuchSession);
        for (intent, same_key, same_session, free, taken, connected, lost) in [
            (Intent::New, false, false, Admission::Begin, busy, busy, busy),
            (Intent::New, true, false, Admission::Begin, busy, Admission::Probe, Admission::Begin),
            (Intent::Resume, false, false, gone, busy, busy, busy),
            (Intent::Resume, true, false, gone, busy, gone, gone),
            (Intent::Resume, true, true, gone, busy, Admission::Resume, Admission::Resume),
        ] {
            let caller = caller(intent, same_key, same_session);
            let all = [Occupancy::Free, Occupancy::Taken, Occupancy::Connected, Occupancy::Lost];
            assert_eq!(all.map(|occupancy| admit(caller, occupancy)), [free, taken, connected, lost], "{caller:?}");
        }
        let without_code = Caller { eligible: false, ..caller(Intent::New, true, false) };
        assert_eq!(admit(without_code, Occupancy::Free), busy);
        assert_eq!(admit(without_code, Occupancy::Lost), Admission::Begin);
    }
}
