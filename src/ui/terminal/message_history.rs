//! The last messages, for `/copy` and `/save`.

use std::collections::VecDeque;

/// Messages that are kept.
const MESSAGES: usize = 1000;
/// Bytes of them that are kept in all.
const BYTES: usize = 8 << 20;

/// Messages by their number, which counts up over both sides.
#[derive(Debug, Default)]
pub(super) struct MessageHistory {
    messages: VecDeque<String>,
    bytes: usize,
    /// The number of the newest.
    newest: u64,
}

impl MessageHistory {
    /// Keeps a message and says its number.
    pub(super) fn add(&mut self, text: &str) -> u64 {
        self.newest += 1;
        self.bytes += text.len();
        self.messages.push_back(text.into());
        while self.messages.len() > MESSAGES || (self.bytes > BYTES && self.messages.len() > 1) {
            self.bytes -= self.messages.pop_front().map_or(0, |oldest| oldest.len());
        }
        self.newest
    }

    /// The message that `wanted` names: a number, a negative one counted from the newest, or nothing for the newest.
    pub(super) fn find(&self, wanted: &str) -> Option<(u64, &str)> {
        let number = match wanted.strip_prefix('-') {
            _ if wanted.is_empty() => self.newest,
            Some(back) => (self.newest + 1).checked_sub(back.parse().ok()?)?,
            None => wanted.strip_prefix('#').unwrap_or(wanted).parse().ok()?,
        };
        let back = usize::try_from(self.newest.checked_sub(number)?).ok()?;
        let at = self.messages.len().checked_sub(1)?.checked_sub(back)?;
        self.messages.get(at).map(|text| (number, text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_by_number_from_either_end() {
        let mut history = MessageHistory::default();
        assert_eq!(history.find(""), None);
        for text in ["one", "two", "three"] {
            history.add(text);
        }
        assert_eq!(history.find("1"), Some((1, "one")));
        assert_eq!(history.find("#2"), Some((2, "two")));
        assert_eq!(history.find("-1"), Some((3, "three")));
        assert_eq!(history.find(""), Some((3, "three")));
        for nothing in ["0", "4", "-0", "-4", "x", "-", "99999999999999999999"] {
            assert_eq!(history.find(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_keeps_its_numbers() {
        let mut history = MessageHistory::default();
        for number in 1..=3 * MESSAGES {
            history.add(&number.to_string());
        }
        assert_eq!(history.find("1"), None);
        assert_eq!(history.find("2500"), Some((2500, "2500")));
        let long = "x".repeat(BYTES);
        history.add(&long);
        history.add("y");
        assert!(history.bytes <= BYTES);
    }
}
