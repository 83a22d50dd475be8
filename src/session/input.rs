//! What the user types: lines to say, commands to follow.
//!
//! Invariant: nothing the peer sends comes this way, and a command that is not understood changes nothing and never goes out.

use super::{Action, Session};
use crate::command::{self, Command, Entry};
use crate::frame::{Control, Reason};
use crate::ui::{Info, Input, Notice, SafeText, Trust};
use std::path::PathBuf;

impl Session {
    /// Input from the user or a script.
    pub fn input(&mut self, input: Input) {
        match input {
            Input::Line(line) => match command::parse(&line) {
                Ok(Entry::Nothing) => {}
                Ok(Entry::Say { text, action }) => self.say(text, action),
                Ok(Entry::Command(command)) => self.command(command),
                Err(error) => self.error(error.code(), error.to_string()),
            },
            Input::Ended => {
                self.input_ended = true;
                self.decline_unanswerable();
                if !self.rules.stay {
                    self.input_is_over();
                }
            }
            Input::Interrupt => self.signal(),
        }
        self.go_on();
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
        self.outgoing.push(Control::Line { action, text });
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
            Command::Verify if self.with.is_none() => self.error("no-peer", "nobody is connected yet"),
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
        match self.transfers.names(transfer) {
            Some(names) => self.notice(Notice::Info(Info::Names { transfer, names })),
            None => self.error("no-such-transfer", SafeText::from(format!("there is no transfer {transfer} with a list"))),
        }
    }
}
