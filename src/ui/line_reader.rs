//! Standard input, line by line, for the plain and the JSON frontend.
//!
//! Invariant: a line goes to the session exactly as it was given, or it is reported and does not go at all; and what is held
//! in memory is bounded by [`LINE`], whatever comes in.

use super::{Input, InputSender, SafeText};
use crate::command::CommandError;
use crate::error_text::io_error_text;
use std::io::{self, BufRead};

/// The longest line that is held, in bytes: far more than can be sent, so that the session can name the size of a line
/// that is only somewhat too long.
pub const LINE: usize = 1 << 20;
/// Bytes that are read at once.
const PIECE: u64 = 1 << 16;

/// Hands the lines of `input` to the session, waiting while backpressure is on, then [`Input::Ended`]. The end of a line
/// is LF or CRLF and may be missing from the last. Returns early when the session has ended.
///
/// A line that cannot be sent goes as [`Input::Rejected`], and the next one is read.
pub fn read_lines(mut input: impl BufRead, input_sender: &InputSender) {
    for number in 1_u64.. {
        let line = match next_line(&mut input, number) {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                let (before, why) = (number - 1, io_error_text(&error));
                let text = format!("could not read the input after line {before}: {why}\nit counts as ended");
                input_sender.send(rejected("input-failed", &text));
                break;
            }
        };
        if !input_sender.send(line) {
            return;
        }
    }
    // All lines before it were sent, so it does not wait for backpressure.
    input_sender.send_now(Input::Ended);
}

/// The next line without its end; none at the end of the input.
fn next_line(input: &mut impl BufRead, number: u64) -> io::Result<Option<Input>> {
    let (mut line, mut piece, mut size) = (Vec::new(), Vec::new(), 0_usize);
    let mut ended = false;
    while !ended {
        if io::Read::take(&mut *input, PIECE).read_until(b'\n', &mut piece)? == 0 {
            if size == 0 {
                return Ok(None);
            }
            break;
        }
        ended = piece.pop_if(|byte| *byte == b'\n').is_some();
        size = size.saturating_add(piece.len());
        if size <= LINE {
            line.extend_from_slice(&piece);
        }
        piece.clear();
    }
    if size > LINE {
        let error = CommandError::line_too_long(size);
        return Ok(Some(rejected(error.code, &error.to_string())));
    }
    line.pop_if(|byte| *byte == b'\r');
    Ok(Some(match String::from_utf8(line) {
        Ok(line) => Input::Line(line),
        Err(error) => {
            let byte = error.utf8_error().valid_up_to().saturating_add(1);
            let text = format!("line {number} of the input is not valid UTF-8 (byte {byte}) and was not sent");
            rejected("not-utf8", &text)
        }
    }))
}

fn rejected(code: &'static str, text: &str) -> Input {
    Input::Rejected { code, text: SafeText::with_hint(text) }
}

#[cfg(test)]
mod tests {
    use super::super::InputBackpressure;
    use super::*;
    use std::io::{BufReader, Cursor, Read};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    /// What came out: the lines, and the codes and texts of what was rejected.
    fn read(input: impl BufRead) -> (Vec<Input>, Vec<(&'static str, String)>) {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&taken);
        let input_sender = InputSender::new(Arc::new(InputBackpressure::default()), move |input| {
            sink.lock().unwrap().push(input);
            true
        });
        read_lines(input, &input_sender);
        let mut rejected = Vec::new();
        let mut lines = taken.lock().unwrap().clone();
        lines.retain(|input| match input {
            Input::Rejected { code, text } => {
                rejected.push((*code, text.to_string()));
                false
            }
            _ => true,
        });
        (lines, rejected)
    }

    fn lines(expected: &[&str]) -> Vec<Input> {
        expected.iter().map(|line| Input::Line((*line).to_owned())).chain([Input::Ended]).collect()
    }

    #[test]
    fn broken_utf8_is_reported_and_never_sent() {
        let (taken, reports) = read(Cursor::new(b"a\nb\xffc\nd\xc3\n\xc3\xa4\n"));
        assert_eq!(taken, lines(&["a", "ä"]));
        assert_eq!(reports.iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["not-utf8", "not-utf8"]);
        assert!(reports[0].1.contains("line 2") && reports[0].1.contains("byte 2"), "{}", reports[0].1);
    }

    #[test]
    fn a_line_at_the_bound_goes_and_one_above_is_reported_with_its_size() {
        let fits = "x".repeat(LINE);
        let (taken, reports) = read(Cursor::new(format!("{fits}\n{fits}y\nnext\n{fits}{fits}{fits}")));
        assert_eq!(taken, lines(&[&fits, "next"]));
        assert_eq!(reports.iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["line-too-long", "line-too-long"]);
        assert!(reports[0].1.contains(&(LINE + 1).to_string()), "{}", reports[0].1);
        assert!(reports[1].1.contains(&(LINE * 3).to_string()), "{}", reports[1].1);
    }

    #[test]
    fn a_failing_input_is_reported_and_ends() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("unplugged"))
            }
        }
        let (taken, reports) = read(BufReader::new(Cursor::new("a\nb").chain(Broken)));
        assert_eq!(taken, lines(&["a"]));
        assert_eq!(reports[0].0, "input-failed");
        assert!(reports[0].1.contains("unplugged"));
    }

    #[test]
    fn reading_stops_when_the_session_is_gone() {
        let calls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&calls);
        let input_sender = InputSender::new(Arc::new(InputBackpressure::default()), move |_| {
            seen.fetch_add(1, Ordering::Relaxed);
            false
        });
        let mut input = Cursor::new("a\nb\nc\n");
        read_lines(&mut input, &input_sender);
        assert_eq!((calls.load(Ordering::Relaxed), input.position()), (1, 2));
    }
}
