//! What a typed line means: text for the peer, or a command to this program.
//!
//! Owns the commands, their arguments and their help. Only lines of this side's own input come here; text of the peer
//! never does. What begins like a command and is none is an error and never goes out: a mistyped `/send` must not be chat.

mod paths;
mod source;

pub use paths::{SendArgs, is_dropped};
pub(crate) use paths::{expand, last_word};
pub use source::{SendSource, StreamReader};

use crate::protocol::frame::LINE_TEXT;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What a line means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Goes to the peer.
    Say {
        /// 1 to 64,000 bytes, maybe of several lines.
        text: String,
        /// `/me`: something the user does.
        action: bool,
    },
    /// To be done here.
    Command(Command),
    /// A blank line: nothing goes out.
    Nothing,
}

/// A command that is complete and well formed. Whether it can be done now is the session's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `/help`
    Help,
    /// `/quit`, `/exit`
    Quit,
    /// `/stay`: takes `/quit` back.
    Stay,
    /// `/again`: once the peer has left, listens or dials again.
    Again,
    /// `/redial ADDR|INVITE`: the peer of a lost session is somewhere else now.
    Redial(String),
    /// `/toward ADDR:PORT`: the peer dials from there, and this side dials it as well.
    Toward(String),
    /// `/send PATH…`, or what another part of the program sends.
    Send(SendSource),
    /// `/accept [ID] [DEST]`
    Accept {
        /// Which offer; the only open one when not said.
        transfer: Option<u32>,
        /// The folder to receive into, `~` expanded.
        dest: Option<PathBuf>,
    },
    /// `/decline [ID]`
    Decline {
        /// Which offer; the only open one when not said.
        transfer: Option<u32>,
    },
    /// `/cancel [ID]`
    Cancel {
        /// Which transfer; the only one when not said.
        transfer: Option<u32>,
    },
    /// `/transfers [ID [FROM]]`: all of them, or names in one.
    Transfers {
        transfer: Option<u32>,
        /// The number of the first file to name, from 1.
        from: usize,
    },
    /// `/verify`
    Verify,
    /// `/peer`
    Peer,
    /// `/clear`
    Clear,
}

/// Why a line was neither sent nor done, or nothing comes of a `/send`. All are the user's to mend.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct CommandError {
    /// The stable word for scripts (`error.code`).
    pub code: &'static str,
    /// With the path where it is about one, and a hint on the second line.
    pub text: String,
}

impl CommandError {
    pub fn new(code: &'static str, text: impl Display) -> Self {
        Self { code, text: text.to_string() }
    }

    fn unknown(word: &str) -> Self {
        let hint = match closest(word) {
            Some(Usage(usage)) => format!("did you mean {usage}? to send it as text, begin with //"),
            None => "see /help; to send it as text, begin with //".to_owned(),
        };
        Self::new("unknown-command", format!("unknown command /{word}\n{hint}"))
    }

    /// More than fits into a line, as far as it was read.
    pub fn line_too_long(bytes: usize) -> Self {
        let text = format!(
            "a line of {bytes} bytes is too long, at most {LINE_TEXT} can be sent\nsend it as a file: /send PATH"
        );
        Self::new("line-too-long", text)
    }
}

/// Says what a line, without its end, or a pasted block of lines means. `home` is what `~` means in paths.
///
/// # Errors
///
/// Everything whose first character other than blanks is one slash and is no well-formed command, and text that is too long to send.
pub fn parse(line: &str, home: Option<&Path>) -> Result<Entry, CommandError> {
    if line.trim().is_empty() {
        return Ok(Entry::Nothing);
    }
    let Some(command) = line.trim_start().strip_prefix('/') else { return say(line, false) };
    if command.starts_with('/') {
        return say(command, false);
    }
    // A block of one line is a line: pasting a command often brings its line end along.
    let command = command.trim_end_matches(['\r', '\n']);
    if command.contains(['\r', '\n']) {
        let text = "a block of several lines that begins with / is neither sent nor run\nbegin it with // to send it, the first slash removed";
        return Err(CommandError::new("command-in-block", text));
    }
    let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let word = word.to_lowercase();
    let Some(usage) = USAGES.into_iter().find(|usage| usage.word() == word) else {
        return Err(CommandError::unknown(&word));
    };
    if word == "me" {
        let text = rest.trim();
        return if text.is_empty() { Err(usage.bad("what do you do?")) } else { say(text, true) };
    }
    within_limit(line)?;
    usage.command(rest.trim(), home).map(Entry::Command)
}

/// The names of all commands with their slash, sorted, for completion.
pub fn words() -> impl Iterator<Item = &'static str> {
    USAGES.into_iter().map(|Usage(usage)| usage.split(' ').next().unwrap_or(usage))
}

/// What `/help` shows: fits into 80 columns and 24 rows with the input line below it.
pub const HELP: &str = "\
what you type goes to your peer; a line that begins with / is a command

  /send PATH…           send files or folders       /send ~/my photos
                        several at once             /send \"a b.txt\" c.txt
  /accept [ID] [DEST]   take what is offered        /accept 2 ~/Downloads
  /decline [ID]         refuse what is offered
  /cancel [ID]          stop a transfer             /cancel 2
  /transfers [ID [FROM]]  what is on its way, or names in one transfer
  /peer                 who is at the other end
  /verify               mark your peer as verified, if the numbers are equal
  /me TEXT              say what you do             /me waves
  /clear, /help         clear the screen; show this
  /quit, /exit          finish what is on its way, then leave; twice: at once
  /stay                 take /quit back
  /again                when your peer has left: listen or dial again
  /redial ADDR|INVITE   your peer, lost, is somewhere else now
  /toward ADDR:PORT     your peer dials from there: dial there as well
  //text                sends /text
without ID the only one that can be meant is taken";

fn say(text: &str, action: bool) -> Result<Entry, CommandError> {
    within_limit(text)?;
    Ok(Entry::Say { text: text.to_owned(), action })
}

fn within_limit(text: &str) -> Result<(), CommandError> {
    if text.len() <= LINE_TEXT { Ok(()) } else { Err(CommandError::line_too_long(text.len())) }
}

/// How a command is written, its word first.
#[derive(Clone, Copy)]
struct Usage(&'static str);

const USAGES: [Usage; 16] = [
    Usage("/accept [ID] [DEST]"),
    Usage("/again"),
    Usage("/cancel [ID]"),
    Usage("/clear"),
    Usage("/decline [ID]"),
    Usage("/exit"),
    Usage("/help"),
    Usage("/me TEXT"),
    Usage("/peer"),
    Usage("/quit"),
    Usage("/redial ADDR|INVITE"),
    Usage("/send PATH…"),
    Usage("/stay"),
    Usage("/toward ADDR:PORT"),
    Usage("/transfers [ID [FROM]]"),
    Usage("/verify"),
];

impl Usage {
    fn word(self) -> &'static str {
        self.0.trim_start_matches('/').split(' ').next().unwrap_or_default()
    }

    fn bad(self, what: impl Display) -> CommandError {
        CommandError::new("bad-argument", format!("{what}\nusage: {}", self.0))
    }

    fn command(self, rest: &str, home: Option<&Path>) -> Result<Command, CommandError> {
        Ok(match self.word() {
            "send" if rest.is_empty() => return Err(self.bad("what is to be sent?")),
            "send" => Command::Send(SendSource::Typed(SendArgs::parse(rest, self, home))),
            "redial" if rest.is_empty() => return Err(self.bad("where is your peer now?")),
            "redial" => Command::Redial(rest.to_owned()),
            "toward" if rest.is_empty() => return Err(self.bad("where does your peer dial from?")),
            "toward" => Command::Toward(rest.to_owned()),
            "accept" => {
                let (first, dest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                let transfer = if looks_like_id(first) { Some(self.id(first)?) } else { None };
                let dest = if transfer.is_some() { dest.trim() } else { rest };
                let dest = if dest.is_empty() { None } else { Some(paths::one(dest, home)) };
                Command::Accept { transfer, dest }
            }
            "decline" => Command::Decline { transfer: self.optional_id(rest)? },
            "cancel" => Command::Cancel { transfer: self.optional_id(rest)? },
            "transfers" => {
                let (id, from) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                let from = self.optional_id(from.trim())?.unwrap_or(1);
                Command::Transfers {
                    transfer: self.optional_id(id)?,
                    from: usize::try_from(from).unwrap_or(usize::MAX),
                }
            }
            word if !rest.is_empty() => return Err(self.bad(format!("/{word} takes no argument"))),
            "help" => Command::Help,
            "quit" | "exit" => Command::Quit,
            "stay" => Command::Stay,
            "again" => Command::Again,
            "verify" => Command::Verify,
            "peer" => Command::Peer,
            "clear" => Command::Clear,
            word => return Err(CommandError::unknown(word)),
        })
    }

    fn optional_id(self, rest: &str) -> Result<Option<u32>, CommandError> {
        if rest.is_empty() { Ok(None) } else { self.id(rest).map(Some) }
    }

    fn id(self, text: &str) -> Result<u32, CommandError> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = if is_number { digits.parse().ok() } else { None };
        number.ok_or_else(|| self.bad(format!("{text} is no number of a transfer")))
    }
}

/// A DEST of digits alone must be written `./5`.
fn looks_like_id(word: &str) -> bool {
    let digits = word.strip_prefix('#').unwrap_or(word);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The command that was probably meant: one the word abbreviates, else one within two slips of a finger.
fn closest(word: &str) -> Option<Usage> {
    /// Longer words are no slips; this also bounds the work.
    const LONGEST: usize = 16;
    const SLIPS: usize = 2;
    if word.is_empty() || word.chars().count() > LONGEST {
        return None;
    }
    if let Some(usage) = USAGES.into_iter().find(|usage| usage.word().starts_with(word)) {
        return Some(usage);
    }
    let near = USAGES.map(|usage| (strsim::levenshtein(word, usage.word()), usage));
    let near = near.into_iter().min_by_key(|(slips, _)| *slips);
    // More slips than letters that are right is no likeness.
    near.filter(|(slips, usage)| *slips <= SLIPS && slips * 2 <= usage.word().len()).map(|(_, usage)| usage)
}

#[cfg(test)]
mod tests;
