//! What the user types: lines to say, commands to follow.
//!
//! Invariant: nothing the peer sends comes this way, and a command that is not understood changes nothing and never goes out.

use super::{Action, Session};
use crate::command::{self, Command, Entry};
use crate::notice::{Info, Input, Notice, Trust};
use crate::protocol::frame::{Control, Reason};
use std::path::PathBuf;

/// What was typed before the peer came, in order.
#[derive(Debug)]
pub(super) enum PendingInput {
    Entry(Entry),
    Ended,
}

/// Entries that wait for the first peer, before input has to wait too.
pub(super) const EARLY: usize = 256;

impl Session {
    /// Input from the user or a script.
    pub fn input(&mut self, input: Input) {
        match input {
            Input::Line(line) => match command::parse(&line) {
                Ok(Entry::Nothing) => {}
                Ok(entry) if self.with.is_none() => self.early(entry),
                Ok(entry) => self.enter(entry),
                Err(error) => self.error(error.code(), error.to_string()),
            },
            Input::Ended if self.with.is_none() => self.early.push_back(PendingInput::Ended),
            Input::Ended => self.input_ends(),
            Input::Interrupt => self.signal(),
        }
        self.go_on();
    }

    /// Nobody is there yet: what needs a peer waits for one, and what follows it waits too.
    fn early(&mut self, entry: Entry) {
        let leaves = |early: &PendingInput| matches!(early, PendingInput::Entry(Entry::Command(Command::Quit)));
        match &entry {
            Entry::Command(Command::Help | Command::Clear) => self.enter(entry),
            Entry::Command(Command::Quit) if self.early.is_empty() || self.early.iter().any(leaves) => self.quit(),
            _ => self.early.push_back(PendingInput::Entry(entry)),
        }
    }

    /// The peer is there: what waited for it has its turn.
    pub(super) fn catch_up(&mut self) {
        for early in std::mem::take(&mut self.early) {
            match early {
                PendingInput::Entry(entry) => self.enter(entry),
                PendingInput::Ended => self.input_ends(),
            }
        }
    }

    /// Lines that never met a peer.
    pub(super) fn early_lines(&self) -> usize {
        self.early.iter().filter(|early| matches!(early, PendingInput::Entry(Entry::Say { .. }))).count()
    }

    fn enter(&mut self, entry: Entry) {
        match entry {
            Entry::Nothing => {}
            Entry::Say { text, action } => self.say(text, action),
            Entry::Command(command) => self.command(command),
        }
    }

    fn input_ends(&mut self) {
        self.input_ended = true;
        self.decline_unanswerable();
        if !self.rules.stay {
            self.input_is_over();
        }
    }

    /// The peer's key was marked as verified, or could not be.
    pub fn marked(&mut self, trust: Trust) {
        if let Some(with) = &mut self.with {
            with.trust = trust;
            let peer = with.label.clone();
            self.notice(Notice::Trust { peer, trust });
        }
    }

    fn say(&mut self, text: String, action: bool) {
        if self.is_leaving() {
            return self.error("leaving", "this side is leaving; the line was not sent");
        }
        self.tell(Control::Line { action, text });
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Help => self.notice(Notice::Info(Info::Help)),
            Command::Quit => self.quit(),
            Command::Send(args) => self.send_files(args),
            Command::Accept { transfer, dest } => self.accept(transfer, dest),
            Command::Decline { transfer } => self.decline(transfer),
            Command::Cancel { transfer } => self.cancel(transfer),
            Command::Transfers(None) => self.actions.push(Action::ShowTransfers),
            Command::Transfers(Some(transfer)) => self.show_names(transfer),
            Command::Verify => self.actions.push(Action::MarkVerified),
            Command::Peer => self.actions.push(Action::ShowPeer),
            Command::Clear => self.actions.push(Action::Clear),
        }
    }

    fn accept(&mut self, transfer: Option<u32>, dest: Option<PathBuf>) {
        match self.transfers.asking(transfer) {
            Ok(transfer) => self.accept_download(transfer, dest),
            Err(text) => self.error("no-such-transfer", text),
        }
    }

    fn decline(&mut self, transfer: Option<u32>) {
        match self.transfers.asking(transfer) {
            Ok(transfer) => self.decline_download(transfer, Reason::User, ""),
            Err(text) => self.error("no-such-transfer", text),
        }
    }

    fn show_names(&mut self, transfer: u32) {
        if let Some(names) = self.transfers.names(transfer) {
            self.notice(Notice::Info(Info::Names { transfer, names }));
        } else if let Some(id) = self.transfers.outgoing(transfer) {
            self.actions.push(Action::ShowNames(id, transfer));
        } else {
            self.error("no-such-transfer", format!("there is no transfer {transfer} with a list"));
        }
    }
}
