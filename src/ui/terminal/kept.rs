//! The last messages, for `/copy` and `/save`.

use std::collections::VecDeque;

/// Messages that are kept.
const MESSAGES: usize = 1000;
/// Bytes of them that are kept in all.
const BYTES: usize = 8 << 20;

/// Messages by their number, which counts up over both sides.
#[derive(Debug, Default)]
pub(super) struct Kept {
    messages: VecDeque<String>,
    bytes: usize,
    /// The number of the newest.
    newest: u64,
}

impl Kept {
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

/// The sequence by which a terminal puts `text` on the clipboard (OSC 52).
pub(super) fn to_clipboard(text: &str) -> String {
    // A clipboard ends up in shells: what is no text stays out of it.
    let plain: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    format!("\x1b]52;c;{}\x07", base64(plain.as_bytes()))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or(0);
            let letter = ALPHABET.get(index).copied().unwrap_or(b'=');
            text.push(if place > group.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn a_clipboard_gets_text_alone() {
        assert_eq!(to_clipboard("a\u{1b}\u{7}\nb"), to_clipboard("a\nb"));
    }

    #[test]
    fn messages_are_found_by_number_from_either_end() {
        let mut kept = Kept::default();
        assert_eq!(kept.find(""), None);
        for text in ["one", "two", "three"] {
            kept.add(text);
        }
        assert_eq!(kept.find("1"), Some((1, "one")));
        assert_eq!(kept.find("#2"), Some((2, "two")));
        assert_eq!(kept.find("-1"), Some((3, "three")));
        assert_eq!(kept.find(""), Some((3, "three")));
        for nothing in ["0", "4", "-0", "-4", "x", "-", "99999999999999999999"] {
            assert_eq!(kept.find(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_keeps_its_numbers() {
        let mut kept = Kept::default();
        for number in 1..=3 * MESSAGES {
            kept.add(&number.to_string());
        }
        assert_eq!(kept.find("1"), None);
        assert_eq!(kept.find("2500"), Some((2500, "2500")));
        let long = "x".repeat(BYTES);
        kept.add(&long);
        kept.add("y");
        assert!(kept.bytes <= BYTES);
    }
}
