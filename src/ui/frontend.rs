//! How a frontend takes notices: in batches, each reported as shown only once it is written.
//!
//! 1. Wait for one notice, then take what else is there, up to `BATCH`.
//! 2. Show all of them; the frontend writes into buffers.
//! 3. Flush, so that a script sees the events at once.
//! 4. Report the highest number shown: only now may the peer's lines be acknowledged.

use super::Posted;
use crate::error_text::io_error_text;
use std::io;
use std::sync::mpsc::Receiver;

/// Notices between two flushes: enough that a flood costs few writes, few enough that none waits long for its acknowledgement.
pub(super) const BATCH: usize = 256;

/// Why standard output cannot be written; None when its reader has closed it: who reads it has all it wants, and nothing is wrong.
pub fn output_error(error: &io::Error) -> Option<String> {
    let is_closed = error.kind() == io::ErrorKind::BrokenPipe;
    (!is_closed).then(|| format!("could not write to standard output: {}", io_error_text(error)))
}

/// How much a frontend for people says. Chat, errors and warnings are always shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// `-q`: beside those, only what must be known to go on: where it listens, who is there, what is asked or failed, and
    /// answers to commands.
    Quiet,
    /// All that happens to the session and its transfers.
    #[default]
    Normal,
    /// `-v`: also the steps on the way, and every file.
    Verbose,
}

/// What the program is for this time, which decides about some words and about standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    #[default]
    Chat,
    /// `p2pchat send`.
    Send,
    /// `p2pchat receive`: standard output gets the paths of what arrived.
    Receive,
    /// `p2pchat receive --stdout`: standard output gets the data, not from here.
    Pipe,
}

impl Purpose {
    /// What the peer types to meet this side.
    pub(super) fn command(self, whom: &str) -> String {
        match self {
            Self::Chat => format!("p2pchat connect {whom}"),
            Self::Send => format!("p2pchat receive {whom}"),
            Self::Receive | Self::Pipe => format!("p2pchat send FILE --to {whom}"),
        }
    }
}

/// What turns notices into text.
pub(super) trait Frontend {
    /// Writes the notice, as a rule into a buffer.
    fn show(&mut self, posted: &Posted) -> io::Result<()>;
    /// Brings out all that was shown.
    fn flush(&mut self) -> io::Result<()>;
}

/// Runs the frontend until the notices end, which is no error.
///
/// # Errors
/// When its output fails; what was not reported as shown by then was not written.
pub(super) fn run_frontend(
    notices: &Receiver<Posted>,
    frontend: &mut impl Frontend,
    shown_up_to: impl Fn(u64),
) -> io::Result<()> {
    while let Ok(first) = notices.recv() {
        let mut shown = None;
        for posted in std::iter::once(first).chain(notices.try_iter()).take(BATCH) {
            frontend.show(&posted)?;
            shown = posted.display_seq.or(shown);
        }
        frontend.flush()?;
        if let Some(shown) = shown {
            shown_up_to(shown);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Notice;
    use std::cell::RefCell;
    use std::sync::mpsc;

    /// Notes what is asked of it, and fails at a chosen flush.
    struct Log<'a> {
        log: &'a RefCell<Vec<String>>,
        flushes: usize,
        broken: Option<io::ErrorKind>,
    }

    impl Frontend for Log<'_> {
        fn show(&mut self, posted: &Posted) -> io::Result<()> {
            self.log.borrow_mut().push(format!("{:?}", posted.notice));
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.flushes += 1;
            self.log.borrow_mut().push("flush".to_owned());
            self.broken.map_or(Ok(()), |kind| Err(kind.into()))
        }
    }

    fn run(settles: &[Option<u64>], broken: Option<io::ErrorKind>) -> (Vec<String>, io::Result<()>) {
        let (sender, receiver) = mpsc::channel();
        for &display_seq in settles {
            sender.send(Posted { notice: Notice::Status("s".to_owned()), peer: None, display_seq }).unwrap();
        }
        drop(sender);
        let log = RefCell::default();
        let mut frontend = Log { log: &log, flushes: 0, broken };
        let result = run_frontend(&receiver, &mut frontend, |seq| log.borrow_mut().push(format!("shown_up_to {seq}")));
        (log.into_inner(), result)
    }

    const SHOWN: &str = "Status(\"s\")";

    #[test]
    fn a_batch_is_reported_shown_once_and_after_its_flush() {
        let (log, result) = run(&[Some(4), None, Some(6), None], None);
        assert_eq!(log, [SHOWN, SHOWN, SHOWN, SHOWN, "flush", "shown_up_to 6"]);
        assert!(result.is_ok());
    }

    #[test]
    fn what_needs_no_ack_reports_nothing() {
        assert_eq!(run(&[None], None).0, [SHOWN, "flush"]);
    }

    #[test]
    fn a_flood_is_cut_into_batches_and_nothing_is_passed_over() {
        let settles: Vec<Option<u64>> = (1..=600).map(Some).collect();
        let (log, _) = run(&settles, None);
        assert_eq!(log.iter().filter(|line| *line == SHOWN).count(), 600);
        let shown_up_to: Vec<&str> =
            log.iter().filter(|line| line.starts_with("shown_up_to")).map(String::as_str).collect();
        assert_eq!(shown_up_to, ["shown_up_to 256", "shown_up_to 512", "shown_up_to 600"]);
    }

    #[test]
    fn what_could_not_be_written_is_not_reported() {
        let (log, result) = run(&[Some(1)], Some(io::ErrorKind::StorageFull));
        assert_eq!(log, [SHOWN, "flush"]);
        let words = |result: io::Result<()>| output_error(&result.unwrap_err());
        assert!(words(result).is_some_and(|words| words.starts_with("could not write to standard output: ")));
        assert_eq!(words(run(&[Some(1)], Some(io::ErrorKind::BrokenPipe)).1), None);
    }
}
