//! What is said while the peer is awaited, and when it is here.

use super::{Messages, clean};
use crate::ui::frontend::{Purpose, Verbosity};
use crate::ui::{Notice, Trust};

impl Messages {
    /// A line to copy for each address.
    pub(super) fn listening(&self, addrs: &[String], code: Option<&str>, invite: Option<&str>) -> String {
        if let Some(invite) = invite {
            let text = format!(
                "waiting for your peer; send them this, by any messenger, to one person\n{}",
                self.purpose.command(invite)
            );
            if self.purpose != Purpose::Chat {
                return text;
            }
            let commands: Vec<_> = self.to_dial(addrs, false).iter().map(|line| format!("\n{line}")).collect();
            return format!("{text}\nor they type one of these, and you compare a number{}", commands.concat());
        }
        let bound = addrs.first().map(|addr| clean(addr)).unwrap_or_default();
        let what = match self.purpose {
            Purpose::Chat => "connects",
            Purpose::Send => "receives",
            Purpose::Receive | Purpose::Pipe => "sends",
        };
        let mut text = format!("listening at {bound}; your peer {what} with");
        for command in self.to_dial(addrs, code.is_some()) {
            text.push('\n');
            text.push_str(&command);
        }
        if let Some(code) = code {
            text.push_str(&format!("\nand this code: {}", clean(code)));
        }
        text
    }

    /// What a peer types to get here, one command for each address.
    fn to_dial(&self, addrs: &[String], with_code: bool) -> Vec<String> {
        let option = if with_code { " --code" } else { "" };
        // An address that only means "all of mine" helps nobody elsewhere, unless there is no other.
        let everywhere = |addr: &String| addr.starts_with("0.0.0.0:") || addr.starts_with("[::]:");
        let only_everywhere = addrs.iter().all(everywhere);
        let told = addrs.iter().filter(|addr| only_everywhere || !everywhere(addr));
        let command = |addr: &String| {
            let addr = clean(addr);
            // Some shells take brackets for a pattern.
            let quote = if addr.starts_with('[') { "\"" } else { "" };
            format!("{}{option}", self.purpose.command(&format!("{quote}{addr}{quote}")))
        };
        told.map(command).collect()
    }

    pub(super) fn connected(&self, notice: &Notice) -> String {
        let Notice::Connected { fingerprint, addr, verify, trust, uninvited, .. } = notice else {
            return String::new();
        };
        // Somebody on the way to the peer knows when to come, but not the invite.
        let known = match (trust, uninvited) {
            (Trust::New, false) => "new: never met before",
            (Trust::New, true) => "new, NOT by the invite",
            (Trust::Known, false) => "known, not verified",
            (Trust::Known, true) => "known, not verified, NOT by the invite",
            (Trust::Verified, _) => "verified",
        };
        let mut text = format!("connected to {} at {} ({known})", self.peer, clean(addr));
        if self.verbosity == Verbosity::Verbose || (*trust == Trust::New && self.verbosity > Verbosity::Quiet) {
            text.push_str(&format!("\nfingerprint {fingerprint}; your own name here is {}", self.own));
        }
        match verify {
            Some(number) if *trust != Trust::Verified => text.push_str(&format!(
                "\nverification number {number}\ncompare it with {} by voice; when it is the same: /verify",
                self.peer
            )),
            Some(number) if self.verbosity == Verbosity::Verbose => {
                text.push_str(&format!("\nverification number {number}"));
            }
            _ => {}
        }
        text
    }
}
