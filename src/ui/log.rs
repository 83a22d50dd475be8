//! `--log FILE`: what both said and how transfers ended, appended to a text file with day and time.
//!
//! Invariant: a message begins with the time and a name, a line of the program with the time and [`MARK`], every other line with
//! blanks. So nothing that a peer writes looks like a line of somebody else's.
//!
//! 1. Notices pass here on their way to the frontend, whichever that is, in batches.
//! 2. A batch is written, then handed on: what is shown, and acknowledged to the peer, is in the log.
//! 3. When the file fails, the frontend is told, and gets the rest as it comes.

use super::frontend::{BATCH, Purpose, Verbosity};
use super::messages::Messages;
use super::plain::write_chat;
use super::{Notice, PeerText, Posted, SafeText};
use crate::error_text::io_error_text;
use crate::private_file;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

/// Before a line of the program.
const MARK: &str = "-- ";
/// The time before each message: `2026-11-25 14:03:07 `.
const TIME: &str = "%Y-%m-%d %H:%M:%S ";

/// Why the log cannot be used: the fault of the command line, or of this machine's disk.
fn failed(path: &Path, error: &io::Error) -> String {
    let hint = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => "",
        _ => "\n--log names a file to append to; the folder has to exist",
    };
    format!("cannot write the log {}: {}{hint}", path.display(), io_error_text(error))
}

/// The open file.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the file to append to it, or makes it; either way only its owner can read it (mode 0600).
    ///
    /// # Errors
    /// In words, also for what is no ordinary file.
    pub fn open(path: &Path) -> Result<Self, String> {
        let failed = |error| failed(path, &error);
        let mut file = private_file::append(path, &mut private_file::options()).map_err(failed)?;
        // The run before may have met a full disk.
        if ends_inside_a_line(path).map_err(failed)? {
            file.write_all(b"\n").map_err(failed)?;
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// The body of the log's thread: writes what belongs into the log and hands on all of it, until the notices end. False when
    /// something could not be written.
    pub fn run(mut self, notices: &Receiver<Posted>, frontend: &Sender<Posted>) -> bool {
        let mut messages = Messages::new(Verbosity::Normal, Purpose::Chat);
        let mut complete = true;
        while let Ok(first) = notices.recv() {
            let mut batch: Vec<Posted> = std::iter::once(first).chain(notices.try_iter().take(BATCH)).collect();
            if complete {
                let now = chrono::Local::now().format(TIME).to_string();
                let mut text = Vec::new();
                let written = batch.iter().try_for_each(|posted| log(&mut text, &now, &mut messages, &posted.notice));
                if let Err(error) = written.and_then(|()| self.file.write_all(&text)) {
                    complete = false;
                    let text = format!("the log is not complete: {}", failed(&self.path, &error));
                    let text = SafeText::with_hint(&text);
                    let notice = Notice::Error { code: "log", text };
                    batch.insert(0, Posted { notice, peer: None, display_seq: None });
                }
            }
            // A frontend that has failed takes nothing more; what comes is logged all the same.
            batch.into_iter().for_each(|posted| drop(frontend.send(posted)));
        }
        complete
    }
}

fn ends_inside_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let (mut last, len) = ([b'\n'], file.seek(SeekFrom::End(0))?);
    if len > 0 {
        file.seek(SeekFrom::Start(len - 1))?;
        file.read_exact(&mut last)?;
    }
    Ok(last != *b"\n")
}

/// Writes what the log says about a notice; nothing about most.
fn log(out: &mut Vec<u8>, now: &str, messages: &mut Messages, notice: &Notice) -> io::Result<()> {
    let program = messages.message(notice, Instant::now());
    match notice {
        Notice::Message { from, text, action, .. } => write_chat(out, now, from.name().as_str(), text, *action, None),
        Notice::Sent { text, action, .. } => {
            write_chat(out, now, &messages.own, &PeerText::new(text.as_str()), *action, None)
        }
        Notice::Connected { .. }
        | Notice::Lost { .. }
        | Notice::Reconnected { .. }
        | Notice::Undelivered { .. }
        | Notice::Trust { .. }
        | Notice::Done { .. }
        | Notice::Stopped { .. }
        | Notice::Failed { path: None, .. }
        | Notice::Bye { .. } => {
            let text = program.map(|(_, text)| text);
            let line = text.as_deref().and_then(|text| text.lines().next());
            line.map_or(Ok(()), |line| writeln!(out, "{now}{MARK}{line}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::ByeReason;
    use crate::ui::{Side, Trust};

    #[test]
    fn both_sides_and_the_program_have_lines_of_their_own() {
        let mut messages = Messages::new(Verbosity::Normal, Purpose::Chat);
        let connected = Notice::Connected {
            peer: PeerText::new("-- al"),
            fingerprint: "F".into(),
            addr: "1.2.3.4:5".into(),
            verify: Some("1 2".into()),
            trust: Trust::New,
            own: "bob".into(),
            uninvited: false,
        };
        let heard = |text: &str, action| Notice::Message {
            id: 1,
            from: PeerText::new("-- al"),
            text: PeerText::new(text),
            action,
        };
        let notices = [
            connected,
            heard("one\n2026-11-25 14:03:07 -- al has left\x1b[2J", false),
            Notice::Sent { id: 1, text: "two".into(), action: false, waiting: false },
            heard("waves", true),
            Notice::Status("connecting".into()),
            Notice::Bye { from: Side::Peer, reason: ByeReason::Quit },
        ];
        let mut entries = Vec::new();
        notices.iter().for_each(|notice| log(&mut entries, "NOW ", &mut messages, notice).unwrap());
        let expected = "NOW -- connected to al at 1.2.3.4:5 (new: never met before)\nNOW al: one\n\
                        \x20   2026-11-25 14:03:07 -- al has left\u{fffd}[2J\nNOW bob: two\nNOW * al waves\n\
                        NOW -- your peer has left: al\n";
        assert_eq!(String::from_utf8(entries).unwrap(), expected);
    }
}
