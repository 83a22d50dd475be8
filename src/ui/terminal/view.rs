//! The state behind the interactive screen, without the terminal.
//!
//! Invariant: everything that is shown comes from here, as text for above the block or as the block itself; nothing here
//! waits, reads a clock or writes to a terminal. Lines go to the session through [`InputSender`] and are shown when they
//! come back as [`Notice::Sent`], so what stands in the chat is what went out.
//!
//! A line answers the question, and goes to the peer, that were there when it was begun ([`Context`]); when another is there at
//! Enter, the line stays and says so.

mod actions;
mod rows;

use super::chat::{Chat, Now};
use super::completion::{self, CompletionContext};
use super::editor::{self, Editor};
use super::input_history::{HistorySearch, InputHistory};
use super::keys::{Key, TerminalEvent};
use super::screen::{Above, Size};
use crate::ui::style::{Paint, cut};
use crate::ui::{Input, InputSender, Notice, Question, SafeText, Trust};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Ctrl-C twice within this time leaves.
const TWICE: Duration = Duration::from_secs(2);
/// The bell rings at most this often.
const BELL_GAP: Duration = Duration::from_secs(10);
/// In a terminal that reports no focus the person counts as away after this time without a key.
const AWAY: Duration = Duration::from_secs(60);
/// What changes with time alone (rates, how long the connection is lost) is painted this often.
const TICK: Duration = Duration::from_secs(1);
/// Own lines that the peer has not acknowledged after this time are shown below the input, and counted in the status row.
const SLOW_DELIVERY: Duration = Duration::from_secs(1);
/// Columns that are kept of such a line.
const SENT_BEGIN: usize = 120;

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ShownPeer {
    label: String,
    fingerprint: String,
    trust: Trust,
    /// When the connection was lost, if it is.
    lost: Option<Instant>,
}

/// A line of this side's that went out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SentLine {
    id: u64,
    at: Instant,
    begin: String,
}

/// What a line may be meant for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Context {
    question: Option<u64>,
    /// The fingerprint of the peer.
    peer: Option<String>,
}

pub(super) struct View {
    home: Option<PathBuf>,
    input_sender: InputSender,
    chat: Chat,
    editor: Editor,
    history: InputHistory,
    search: Option<HistorySearch>,
    peer: Option<ShownPeer>,
    /// What the program does while there is none.
    waits: String,
    /// Own lines that the peer has not acknowledged, oldest first. They are delivered in this order.
    undelivered: VecDeque<SentLine>,
    /// Open questions, that of leaving first, then the oldest; the first alone is shown and answered.
    questions: VecDeque<(u64, Question)>,
    /// What was there when the line in the editor was begun; None while it is empty.
    begun: Option<Context>,
    /// A path that was to be sent rather than said; said when it is entered again without `/send`.
    refused_path: Option<String>,
    /// Rows that the next key removes.
    hints: Vec<String>,
    /// This side leaves when all is done.
    leaving: bool,
    /// The peer is gone, and the person decides what comes next ([`Notice::PeerGone`]).
    parted: bool,
    interrupted: Option<Instant>,
    /// None while the terminal has not reported any.
    focused: Option<bool>,
    last_key: Option<Instant>,
    unseen: usize,
    bell: bool,
    rang: Option<Instant>,
}

impl View {
    pub(super) fn new(chat: Chat, home: Option<PathBuf>, history: InputHistory, input_sender: InputSender) -> Self {
        Self {
            chat,
            home,
            history,
            input_sender,
            editor: Editor::default(),
            search: None,
            peer: None,
            waits: "connecting".into(),
            undelivered: VecDeque::new(),
            questions: VecDeque::new(),
            begun: None,
            refused_path: None,
            hints: Vec::new(),
            leaving: false,
            parted: false,
            interrupted: None,
            focused: None,
            last_key: None,
            unseen: 0,
            bell: true,
            rang: None,
        }
    }

    /// Rows of chat from now on are made for this size.
    pub(super) fn set_size(&mut self, size: Size) {
        self.chat.columns = usize::from(size.columns);
    }

    /// Takes a notice of the session.
    pub(super) fn notice(&mut self, notice: &Notice, now: Now) {
        // Whoever has just started the program is there.
        self.last_key.get_or_insert(now.at);
        let wants_attention = matches!(notice, Notice::Message { .. } | Notice::Question { .. });
        if wants_attention && self.is_away(now.at) {
            self.notify_user(now);
        }
        self.chat.notice(notice, now);
        match notice {
            Notice::Listening { .. } => self.no_peer("waiting for a peer"),
            Notice::Status(text) if self.peer.is_none() => self.no_peer(text),
            Notice::Connected { peer, trust, fingerprint, .. } => {
                let label = peer.name().to_string();
                self.peer = Some(ShownPeer { label, fingerprint: fingerprint.clone(), trust: *trust, lost: None });
                self.parted = false;
            }
            Notice::Sent { id, text, .. } => {
                let first = text.lines().next().unwrap_or_default();
                let begin = cut(first, SENT_BEGIN).into_owned();
                self.undelivered.push_back(SentLine { id: *id, at: now.at, begin });
            }
            Notice::Delivered { id } => self.undelivered.retain(|sent| sent.id != *id),
            Notice::Undelivered { .. } => self.undelivered.clear(),
            // It follows what was just typed, so it comes first.
            Notice::Question { id, question: question @ Question::Leave { .. } } => {
                self.questions.push_front((*id, question.clone()));
            }
            Notice::Question { id, question } => self.questions.push_back((*id, question.clone())),
            Notice::QuestionGone { id } => self.questions.retain(|(open, _)| open != id),
            Notice::Trust { .. } | Notice::Lost { .. } | Notice::Reconnected { .. } => {
                if let Some(peer) = &mut self.peer {
                    match notice {
                        Notice::Trust { trust, .. } => peer.trust = *trust,
                        Notice::Lost { .. } => peer.lost = Some(now.at),
                        _ => peer.lost = None,
                    }
                }
            }
            Notice::Leaving { .. } => self.leaving = true,
            Notice::Staying => self.leaving = false,
            Notice::Bye { .. } => self.no_peer("ended"),
            Notice::PeerGone { .. } => {
                self.no_peer("nobody is here: Enter leaves, /again");
                self.parted = true;
            }
            _ => {}
        }
    }

    fn no_peer(&mut self, what: &str) {
        self.peer = None;
        self.waits = what.into();
        self.undelivered.clear();
        self.questions.clear();
        self.leaving = false;
        self.parted = false;
    }

    /// Takes an event of the terminal.
    pub(super) fn event(&mut self, event: TerminalEvent, now: Now) {
        match event {
            TerminalEvent::Key(key) => {
                self.seen(now);
                self.key(key, now);
            }
            TerminalEvent::Text(text) => {
                self.seen(now);
                self.typed(&text);
            }
            TerminalEvent::Paste(text) => {
                self.seen(now);
                self.clear_hints();
                self.search = None;
                if !self.editor.paste(&text) {
                    self.hint("too long to paste: send it as a file, /send PATH");
                }
            }
            TerminalEvent::Focus(focused) => {
                self.focused = Some(focused);
                self.unseen = 0;
            }
            TerminalEvent::Ended if self.parted => self.quit(),
            TerminalEvent::Ended => drop(self.input_sender.send_now(Input::Ended)),
            // The screen loop's.
            TerminalEvent::Resized | TerminalEvent::Continued | TerminalEvent::Edit(_) | TerminalEvent::Edited(_) => {}
        }
        if self.editor.is_empty() {
            self.begun = None;
        } else if self.begun.is_none() {
            self.begun = Some(self.context());
        }
    }

    /// An editor is about to change the message: it is for whoever is here now.
    pub(super) fn begin_edit(&mut self) -> String {
        self.begun = self.begun.take().or_else(|| Some(self.context()));
        self.editor.text().to_owned()
    }

    /// An editor changed the message, or could not.
    pub(super) fn edited(&mut self, edited: Result<String, String>) {
        self.clear_hints();
        self.search = None;
        match edited {
            Ok(text) if text.len() > editor::LONGEST => {
                self.hint("too long for a message: send it as a file, /send PATH")
            }
            Ok(text) => {
                self.editor.set("");
                self.editor.paste(&text);
            }
            Err(words) => self.hint(words),
        }
        self.begun = self.begun.take().filter(|_| !self.editor.is_empty());
    }

    fn is_lost(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.lost.is_some())
    }

    /// What a line that is begun now is meant for.
    fn context(&self) -> Context {
        Context {
            question: self.questions.front().map(|(id, _)| *id),
            peer: self.peer.as_ref().map(|peer| peer.fingerprint.clone()),
        }
    }

    /// Takes what stands above the block next.
    pub(super) fn take_above(&mut self) -> Above {
        std::mem::take(&mut self.chat.above)
    }

    /// Bytes of chat that wait to be printed.
    pub(super) fn waiting(&self) -> usize {
        self.chat.above.chat.len()
    }

    /// When to paint again although no event comes; None while nothing changes with time.
    pub(super) fn wake_at(&self, shown: Instant) -> Option<Instant> {
        let moves = self.chat.messages.open.any_runs() || self.is_lost();
        let hint_ends = self.interrupted.map(|at| at + TWICE);
        let slow = self.undelivered.iter().map(|sent| sent.at + SLOW_DELIVERY).find(|at| *at > shown);
        [moves.then(|| shown + TICK), hint_ends, slow].into_iter().flatten().min()
    }

    /// Removes what has expired.
    pub(super) fn tick(&mut self, now: Now) {
        if self.interrupted.is_some_and(|at| now.at >= at + TWICE) {
            self.interrupted = None;
            self.hints.clear();
        }
    }

    fn hint(&mut self, text: impl Into<String>) {
        self.hints = vec![text.into()];
    }

    fn clear_hints(&mut self) {
        self.hints.clear();
        self.interrupted = None;
    }

    fn seen(&mut self, now: Now) {
        self.last_key = Some(now.at);
        self.unseen = 0;
    }

    fn is_away(&self, now: Instant) -> bool {
        match self.focused {
            Some(focused) => !focused,
            None => self.last_key.is_none_or(|key| now >= key + AWAY),
        }
    }

    /// Marks where unseen messages begin, and rings the bell at most every [`BELL_GAP`].
    fn notify_user(&mut self, now: Now) {
        if self.unseen == 0 {
            self.chat.say(now.wall, Paint::Dim, "unseen from here on");
        }
        self.unseen += 1;
        if self.bell && self.rang.is_none_or(|at| now.at >= at + BELL_GAP) {
            self.rang = Some(now.at);
            self.chat.above.unseen.push('\x07');
        }
    }

    fn completion_context(&self) -> CompletionContext {
        let open = &self.chat.messages.open;
        CompletionContext {
            offers: open.asking(),
            transfers: open.ids(),
            peer: self.peer.as_ref().map(|peer| peer.label.clone()),
            home: self.home.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
