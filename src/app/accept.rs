//! The listener's answers to who greets, and its words about who does not.

use super::event_loop::{EventLoop, Role};
use crate::channel::write_frame;
use crate::error_text::io_error_text;
use crate::exit::Exit;
use crate::net::listen::ListenEvent;
use crate::net::opening::{ConnectError, DeadlineStream, Established};
use crate::notice::Notice;
use crate::protocol::frame::{Frame, Intent, Refusal};
use crate::session::DisconnectReason;
use crate::text::SafeText;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};

/// For the answer to a greeting: it fits into an empty socket buffer, so this is never used up by an honest caller.
const ANSWER: Duration = Duration::from_secs(2);
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
    fn log(&mut self, words: &str) -> Option<String> {
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

/// What a peer may dial: the bound addresses first, then, where a bound one means all interfaces, those of each interface.
pub(super) fn addresses(bound: &[SocketAddr]) -> Vec<String> {
    let mut shown: Vec<String> = bound.iter().map(SocketAddr::to_string).collect();
    let Some(everywhere) = bound.iter().find(|addr| addr.ip().is_unspecified()) else { return shown };
    let mut interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    // What another machine can reach stands before what only this one can, IPv4 before IPv6: it is shorter to type.
    interfaces.sort_by_key(|interface| (interface.is_loopback(), interface.ip().is_ipv6()));
    for interface in interfaces {
        let usable = match interface.ip() {
            IpAddr::V4(ip) => !ip.is_link_local(),
            IpAddr::V6(ip) => everywhere.is_ipv6() && !ip.is_unicast_link_local(),
        };
        let addr = SocketAddr::new(interface.ip(), everywhere.port()).to_string();
        if usable && !shown.contains(&addr) {
            shown.push(addr);
        }
    }
    shown
}

impl EventLoop {
    pub(super) fn listen_event(&mut self, event: ListenEvent) {
        match event {
            ListenEvent::PeerGreeted(opened) => self.greeted(*opened),
            ListenEvent::Rejected(addr, error) => {
                let words = format!("a caller from {} was turned away: {error}", addr.ip());
                self.warn_of_callers(words);
            }
            ListenEvent::Failed { error, ended: false } => {
                let words =
                    format!("callers cannot be taken: {}\nthis is tried again all the time", io_error_text(&error));
                self.warn_of_callers(words);
            }
            ListenEvent::Failed { error, ended: true } => {
                let words = format!("callers cannot be taken any more: {}", io_error_text(&error));
                if self.connection.is_none() {
                    return self.fail("listen", &words, Exit::Failure);
                }
                if let Role::Listen { keep, .. } = &mut self.role {
                    // The next session could not begin.
                    *keep = false;
                }
                self.post(Notice::Warning(words.into()));
            }
            ListenEvent::CodeExhausted if !self.session.has_peer() => {
                let words = "the code was tried wrongly three times and is dead\nlisten again with a new code, and tell it to the peer";
                self.fail("code-dead", words, Exit::Refused);
            }
            ListenEvent::CodeExhausted => {}
        }
    }

    /// Somebody proved its key and greets. It is answered here and now, so the first one wins.
    fn greeted(&mut self, mut opened: Established) {
        let same_key = self.peer.as_ref().is_some_and(|peer| peer.key == opened.channel.peer);
        let intent = opened.greeting.intent;
        let refusal = match intent {
            Intent::Resume if same_key && opened.greeting.session == self.id => self.take_back(),
            Intent::Resume if same_key || !self.session.has_peer() => Some(Refusal::NoSuchSession),
            Intent::Resume => Some(Refusal::Busy),
            Intent::New => self.make_room(same_key, opened.by_code),
        };
        if self.exit.is_some() {
            return hang_up(&opened);
        }
        if let Some(refusal) = refusal {
            return self.refuse(opened, refusal);
        }
        if intent == Intent::New {
            self.id = opened.greeting.session;
        }
        if !answer(&mut opened, Frame::Greeting(self.greeting(intent))) {
            return hang_up(&opened);
        }
        match intent {
            Intent::New => {
                if let Role::Listen { listener, .. } = &self.role {
                    // The code has done its work; who resumes this session comes in open mode.
                    listener.open_too();
                }
                self.meet(opened);
            }
            Intent::Resume => self.resume(opened),
        }
    }

    /// The peer comes back to its session: makes it one that waits for that, or says why not.
    fn take_back(&mut self) -> Option<Refusal> {
        if !self.session.is_lost() {
            let number = self.number;
            self.lose(DisconnectReason::Replaced);
            if self.number != number || !self.session.is_lost() {
                // The loss of the old connection was the end of the session.
                return Some(Refusal::NoSuchSession);
            }
        }
        None
    }

    /// Somebody wants a new session: makes room for it, or says why not.
    fn make_room(&mut self, same_key: bool, by_code: bool) -> Option<Refusal> {
        if self.session.has_peer() {
            if !same_key || !self.session.is_lost() {
                return Some(Refusal::Busy);
            }
            // The peer's program was restarted: the lost session has no other end any more.
            self.replacing = true;
            self.session.lost_for_good(&DisconnectReason::Forgotten);
            self.perform();
            self.replacing = false;
            // The peer has proved its key, which the lost session began with; that is worth a code.
            return None;
        }
        // The listener is open to all while a session may be resumed. Who came in then has proved no code.
        let needs_code = matches!(&self.role, Role::Listen { code: Some(_), .. });
        (needs_code != by_code).then_some(Refusal::Busy)
    }

    fn refuse(&mut self, mut opened: Established, refusal: Refusal) {
        let refused = answer(&mut opened, Frame::Refusal(refusal));
        hang_up(&opened);
        let words = format!("a caller from {} was turned away: {}", opened.addr.ip(), ConnectError::Refused(refusal));
        if refused && let Some(words) = self.rejections.log(&words) {
            self.post(Notice::Status(words));
        }
    }

    fn warn_of_callers(&mut self, words: String) {
        if let Some(words) = self.rejections.log(&words) {
            self.post(Notice::Warning(SafeText::with_hint(&words)));
        }
    }
}

/// Ends the connection as one that is over, not as one that broke, whatever of the caller's was not read.
fn hang_up(opened: &Established) {
    let _ = opened.stream.shutdown(Shutdown::Both);
}

fn answer(opened: &mut Established, frame: Frame) -> bool {
    let mut timed = DeadlineStream::new(&opened.stream, Instant::now() + ANSWER);
    write_frame(&mut timed, &mut opened.channel.sealer, &frame).is_ok()
}
