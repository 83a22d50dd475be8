//! What the user types: lines, commands, answers to questions.
//!
//! Invariant: nothing the peer sends comes this way, and a command that is not understood changes nothing and never goes out.

use super::phase::Phase;
use super::{Action, Session};
use crate::command::{self, Command, Entry};
use crate::notice::{Info, Input, Notice, Question, Trust};
use crate::protocol::frame::{Control, Reason, TransferId};

/// Entries that wait for the first peer, before input has to wait too.
pub(super) const PENDING: usize = 256;

impl Session {
    /// Input from the user or a script.
    pub fn input(&mut self, input: Input) {
        if self.is_over() {
            return;
        }
        match input {
            Input::Line(line) | Input::LineTo { line, .. } => match command::parse(&line, self.rules.home.as_deref()) {
                Ok(Entry::Nothing) => {}
                Ok(entry) if self.peer.is_none() => self.without_peer(entry),
                Ok(entry) => self.enter(entry),
                Err(error) => self.error(error.code, error.to_string()),
            },
            Input::Send(source) => {
                let entry = Entry::Command(Command::Send(source));
                if self.peer.is_none() { self.without_peer(entry) } else { self.enter(entry) }
            }
            Input::Answer { id, yes } => self.answer(id, yes),
            Input::Rejected { code, text } => {
                self.incomplete = true;
                self.notice(Notice::Error { code, text });
            }
            Input::Ended => {
                self.input_ended = true;
                // A script's input ends with what waits for the first peer.
                if !matches!(self.phase, Phase::NoPeer(Some(_))) {
                    self.input_ends();
                }
            }
            Input::Interrupt => self.signal(),
        }
        self.advance();
    }

    /// What needs a peer waits for the first one when a script typed it, and what follows it waits too; nothing waits for somebody
    /// whom a person cannot know.
    fn without_peer(&mut self, entry: Entry) {
        let quits = |entry: &Entry| matches!(entry, Entry::Command(Command::Quit));
        match (entry, &mut self.phase) {
            (
                entry @ Entry::Command(
                    Command::Help | Command::Clear | Command::Stay | Command::Again | Command::Toward(_),
                ),
                _,
            ) => self.enter(entry),
            (Entry::Command(Command::Quit), Phase::NoPeer(Some(pending)))
                if !pending.is_empty() && !pending.iter().any(quits) =>
            {
                pending.push(Entry::Command(Command::Quit));
            }
            (Entry::Command(Command::Quit), _) => self.quit(),
            (entry, Phase::NoPeer(Some(pending))) => pending.push(entry),
            (Entry::Say { .. }, _) => self.error("no-peer", "nobody is here; the line was not sent"),
            _ => self.error("no-peer", "nobody is here"),
        }
    }

    /// The first peer is there: what waited for it is carried out.
    pub(super) fn enter_pending(&mut self) {
        let phase = std::mem::replace(&mut self.phase, Phase::Talking);
        let Phase::NoPeer(Some(pending)) = phase else { return };
        pending.into_iter().for_each(|entry| self.enter(entry));
        if self.input_ended {
            self.input_ends();
        }
    }

    /// What waits for the first peer.
    pub(super) fn pending(&self) -> &[Entry] {
        if let Phase::NoPeer(Some(pending)) = &self.phase { pending } else { &[] }
    }

    fn enter(&mut self, entry: Entry) {
        match entry {
            Entry::Nothing => {}
            Entry::Say { text, action } => self.say(text, action),
            Entry::Command(command) => self.command(command),
        }
    }

    fn input_ends(&mut self) {
        self.decline_unanswerable();
        if !self.rules.stay {
            self.leave_after_input();
        }
    }

    fn say(&mut self, text: String, action: bool) {
        // A person may go on talking while a transfer is waited for.
        if self.is_closing() || (self.is_leaving() && !self.rules.interactive) {
            return self.error("leaving", "this side is leaving; the line was not sent");
        }
        self.numbers.lines_out += 1;
        let id = self.numbers.lines_out;
        self.notice(Notice::Sent { id, text: text.clone(), action, waiting: !self.is_up() });
        self.outgoing.push(Control::Line { action, text }, Some(id));
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Help => self.notice(Notice::Info(Info::Help)),
            Command::Quit => self.quit(),
            Command::Stay => self.stay(),
            Command::Again => self.actions.push(Action::Again),
            Command::Redial(place) => self.actions.push(Action::Redial(place)),
            Command::Toward(place) => self.actions.push(Action::Toward(place)),
            Command::Send(source) => self.send_files(source),
            Command::Accept { transfer, dest } => {
                if let Some(transfer) = self.asked_about(transfer) {
                    self.accept_download(transfer, dest);
                }
            }
            Command::Decline { transfer } => {
                if let Some(transfer) = self.asked_about(transfer) {
                    self.decline_download(transfer, Reason::User, "");
                }
            }
            Command::Cancel { transfer } => self.cancel(transfer),
            Command::Transfers { transfer: None, .. } => self.actions.push(Action::ShowTransfers),
            Command::Transfers { transfer: Some(transfer), from } => self.show_names(transfer, from),
            Command::Verify if self.is_up() => self.actions.push(Action::MarkVerified),
            Command::Verify => self.error("not-connected", "the connection is lost; /verify needs it"),
            Command::Peer => self.actions.push(Action::ShowPeer),
            // Only the terminal has a screen, and does it itself.
            Command::Clear => {}
        }
    }

    /// The peer's key was marked as verified.
    pub fn marked(&mut self, trust: Trust) {
        if let Some(peer) = &mut self.peer {
            peer.trust = trust;
            let peer = peer.label.clone();
            self.notice(Notice::Trust { peer, trust });
        }
    }

    /// The offer that the user answers: the one named, or the only open one; none is an error that the user hears.
    fn asked_about(&mut self, named: Option<TransferId>) -> Option<TransferId> {
        let asking: Vec<TransferId> = self.asking().map(|(transfer, _)| transfer).collect();
        let text = match (named, asking.as_slice()) {
            (Some(named), asking) if asking.contains(&named) => return Some(named),
            (None, [only]) => return Some(*only),
            (Some(named), _) => format!("transfer {named} is not waiting for an answer\n/transfers lists what is open"),
            (None, []) => "no offer is waiting for an answer".to_owned(),
            (None, _) => "several offers are waiting\nname one: /accept ID, /decline ID".to_owned(),
        };
        self.error("no-such-transfer", text);
        None
    }

    /// The open question of this kind.
    pub(super) fn question(&self, is: impl Fn(&Question) -> bool) -> Option<u64> {
        self.questions.iter().find(|(_, question)| is(question)).map(|(id, _)| *id)
    }

    /// Asks the user. The question is open until it is answered or moot.
    pub(super) fn ask(&mut self, question: Question) {
        self.numbers.questions += 1;
        let id = self.numbers.questions;
        self.questions.push((id, question.clone()));
        self.notice(Notice::Question { id, question });
    }

    /// An answer to a question that is not open any more changes nothing.
    fn answer(&mut self, id: u64, yes: bool) {
        let Some((_, question)) = self.questions.iter().find(|(open, _)| *open == id).cloned() else { return };
        self.close_question(id);
        match (question, yes) {
            (Question::Accept { transfer, .. }, true) => self.accept_download(transfer, None),
            (Question::Accept { transfer, .. }, false) => self.decline_download(transfer, Reason::User, ""),
            (Question::Resend { .. }, true) => self.resend_lines(),
            (Question::Resend { .. }, false) => self.drop_resend(),
            (Question::Leave { .. }, true) => self.confirm_quit(false),
            (Question::Leave { .. }, false) => {}
        }
    }

    pub(super) fn close_question(&mut self, id: u64) {
        if let Some(place) = self.questions.iter().position(|(open, _)| *open == id) {
            self.questions.remove(place);
            self.notice(Notice::QuestionGone { id });
        }
    }

    pub(super) fn close_questions(&mut self, which: impl Fn(&Question) -> bool) {
        let gone: Vec<u64> = self.questions.iter().filter(|(_, question)| which(question)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| self.close_question(id));
    }
}
