//! How a conversation ends, and what follows it: the next peer of `--keep`, the question of a person at a terminal, or the end of the
//! program.

use super::{EventLoop, Role};
use crate::app::conversation::Conversation;
use crate::error_text::io_error_text;
use crate::exit::Exit;
use crate::notice::Notice;
use crate::protocol::frame::Intent;
use crate::session::SessionEnd;
use crate::text::SafeText;

impl EventLoop {
    /// Ends the conversation with words.
    pub(super) fn fail(&mut self, code: &'static str, text: &str, exit: Exit) {
        self.post(Notice::Error { code, text: SafeText::with_hint(text) });
        if self.conversation.session.is_lost() {
            self.failing = Some(exit);
            self.conversation.session.give_up();
            return self.carry_out_actions();
        }
        self.carry_out_actions();
        self.conversation_ended(exit);
    }

    /// A session is over: the next one, or the end of the program.
    pub(super) fn over(&mut self, end: &SessionEnd) {
        let failing = self.failing.take();
        let exit = failing.unwrap_or_else(|| Exit::of_ending(end, self.signal));
        let session = &self.conversation.session;
        let (own_wish, incomplete) = (session.is_own_wish(), session.is_incomplete());
        let exit = if incomplete { exit.or_incomplete() } else { exit };
        match &self.role {
            Role::Listen { keep: true, .. } if !own_wish && failing.is_none() => {
                self.incomplete |= incomplete;
                self.next_conversation();
                match self.announce() {
                    Some(notice @ Notice::Listening { invite: Some(_), .. }) => self.post(notice),
                    _ => self.post(Notice::Status("waiting for the next peer".into())),
                }
            }
            _ => self.conversation_ended(exit),
        }
    }

    /// A conversation is over, and no other begins by itself: the program ends, unless a person at a terminal has to see that the
    /// peer is gone. That person leaves by `/quit`, or goes on by `/again`.
    fn conversation_ended(&mut self, exit: Exit) {
        let exit = if self.incomplete { exit.or_incomplete() } else { exit };
        // Leaving after that: the code is that of the conversation, unless a signal ended it.
        let exit = self.parted.take().filter(|_| self.signal.is_none() && exit != Exit::Interrupt).unwrap_or(exit);
        let session = &self.conversation.session;
        let was_met = session.has_peer() || self.conversation.number > 1;
        if !self.setup.config.rules.interactive || !was_met || session.is_done_with_input() {
            self.exit = Some(exit);
            return;
        }
        self.parted = Some(exit);
        self.next_conversation();
        self.post(Notice::PeerGone { listens: matches!(self.role, Role::Listen { .. }) });
    }

    /// Begins the conversation with the next peer.
    fn next_conversation(&mut self) {
        self.close_connection();
        match &mut self.role {
            Role::Dial(dialling) => dialling.stop(),
            Role::Listen { listening, .. } => listening.withdraw(),
        }
        self.conversation = Conversation::new(self.conversation.number + 1, self.conversation.session.successor());
        self.setup.backpressure.set_paused(false);
    }

    /// `/again`.
    pub(super) fn again(&mut self) {
        if self.parted.take().is_none() {
            self.post(Notice::Error { code: "not-now", text: "/again is for when your peer has left".into() });
        } else if let Some(listening) = self.announce() {
            self.post(listening);
        } else {
            self.dial(Intent::New);
        }
    }

    /// Makes a listener ready for the next peer.
    fn announce(&mut self) -> Option<Notice> {
        let Role::Listen { listening, .. } = &mut self.role else { return None };
        match listening.announce() {
            Ok(notice) => {
                self.announce_on_lan();
                Some(notice)
            }
            Err(error) => {
                self.exit = Some(Exit::Failure);
                let text = format!("the system gives no randomness: {}", io_error_text(&error));
                Some(Notice::Error { code: "system", text: text.into() })
            }
        }
    }
}
