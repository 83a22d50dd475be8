//! How a face takes notices: in batches, each settled only once it is written.
//!
//! 1. Wait for one notice, then take what else is there, up to `BATCH`.
//! 2. Show all of them; the face writes into buffers.
//! 3. Flush, so that a script sees the events at once.
//! 4. Report the highest number settled: only now may the peer be told that its lines are handed on.

use super::{Notice, Posted};
use crate::error_text::io_error_text;
use std::io;
use std::sync::mpsc::Receiver;
use thiserror::Error;

/// Notices between two flushes: enough that a flood costs few writes, few enough that none waits long for its acknowledgement.
const BATCH: usize = 256;

/// A face cannot go on. The fault lies with what reads our output.
#[derive(Debug, Error)]
pub enum FaceError {
    /// The reader closed standard output; nothing is wrong with the session.
    #[error("standard output was closed")]
    Closed,
    /// Standard output cannot be written.
    #[error("could not write to standard output: {}", io_error_text(.0))]
    Output(#[source] io::Error),
}

impl From<io::Error> for FaceError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Output(error) }
    }
}

/// How much a face for people says. Chat, errors and warnings are always shown.
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

/// What turns notices into text.
pub(super) trait Face {
    /// Writes the notice, as a rule into a buffer.
    fn show(&mut self, notice: &Notice) -> io::Result<()>;
    /// Brings out all that was shown.
    fn flush(&mut self) -> io::Result<()>;
}

/// Runs the face until the notices end, which is no error.
pub(super) fn pump(notices: &Receiver<Posted>, face: &mut impl Face, settled: impl Fn(u64)) -> Result<(), FaceError> {
    while let Ok(first) = notices.recv() {
        let mut settles = None;
        for posted in std::iter::once(first).chain(notices.try_iter()).take(BATCH) {
            face.show(&posted.notice)?;
            settles = posted.settles.or(settles);
        }
        face.flush()?;
        if let Some(settles) = settles {
            settled(settles);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::sync::mpsc;

    /// Notes what is asked of it, and fails at a chosen flush.
    struct Log<'a> {
        log: &'a RefCell<Vec<String>>,
        flushes: usize,
        broken: Option<io::ErrorKind>,
    }

    impl Face for Log<'_> {
        fn show(&mut self, notice: &Notice) -> io::Result<()> {
            self.log.borrow_mut().push(format!("{notice:?}"));
            Ok(())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.flushes += 1;
            self.log.borrow_mut().push("flush".to_owned());
            self.broken.map_or(Ok(()), |kind| Err(kind.into()))
        }
    }

    fn run(settles: &[Option<u64>], broken: Option<io::ErrorKind>) -> (Vec<String>, Result<(), FaceError>) {
        let (sender, receiver) = mpsc::channel();
        for &settles in settles {
            sender.send(Posted { notice: Notice::Status("s".to_owned()), settles }).unwrap();
        }
        drop(sender);
        let log = RefCell::default();
        let mut face = Log { log: &log, flushes: 0, broken };
        let result = pump(&receiver, &mut face, |seq| log.borrow_mut().push(format!("settled {seq}")));
        (log.into_inner(), result)
    }

    const SHOWN: &str = "Status(\"s\")";

    #[test]
    fn a_batch_is_settled_once_and_after_its_flush() {
        let (log, result) = run(&[Some(4), None, Some(6), None], None);
        assert_eq!(log, [SHOWN, SHOWN, SHOWN, SHOWN, "flush", "settled 6"]);
        assert!(result.is_ok());
    }

    #[test]
    fn what_settles_nothing_reports_nothing() {
        assert_eq!(run(&[None], None).0, [SHOWN, "flush"]);
    }

    #[test]
    fn a_flood_is_cut_into_batches_and_nothing_is_passed_over() {
        let settles: Vec<Option<u64>> = (1..=600).map(Some).collect();
        let (log, _) = run(&settles, None);
        assert_eq!(log.iter().filter(|line| *line == SHOWN).count(), 600);
        let settled: Vec<&str> = log.iter().filter(|line| line.starts_with("settled")).map(String::as_str).collect();
        assert_eq!(settled, ["settled 256", "settled 512", "settled 600"]);
    }

    #[test]
    fn what_could_not_be_written_is_not_settled() {
        let (log, result) = run(&[Some(1)], Some(io::ErrorKind::StorageFull));
        assert_eq!(log, [SHOWN, "flush"]);
        assert!(matches!(result, Err(FaceError::Output(_))));
        assert!(matches!(run(&[Some(1)], Some(io::ErrorKind::BrokenPipe)).1, Err(FaceError::Closed)));
    }
}
