//! Names of files and folders: what a list may hold, and under which name this side offers what its disk holds.

use crate::protocol::frame::at_most;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

/// The longest name in bytes: what common file systems take, and what the wire's `str8` holds.
pub(super) const NAME_BYTES: usize = 255;
/// The longest ending that counts as an extension and stays behind a number.
const EXTENSION_BYTES: usize = 32;

/// A name of one component that a list may hold. It is hostile text all the same, and what it is called on this side's disk is
/// another matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name<'a>(&'a str);

impl<'a> Name<'a> {
    /// Checks a name by the rules of PROTOCOL.md section 8.
    ///
    /// # Errors
    /// Says which rule it breaks.
    pub fn new(name: &'a str) -> Result<Self, &'static str> {
        match name {
            "" => Err("the name is empty"),
            "." | ".." => Err("the name means a folder, not an entry in it"),
            _ if name.len() > NAME_BYTES => Err("the name is longer than 255 bytes"),
            _ if name.contains(['/', '\0']) => Err("the name is not a single component"),
            _ => Ok(Self(name)),
        }
    }

    pub fn as_str(self) -> &'a str {
        self.0
    }
}

/// The names under which the entries of one folder are offered, in order of `names`: as they are when a list may hold them, else with
/// U+FFFD for each byte that is no UTF-8, shortened and numbered until they are unlike all others.
pub(super) fn offered_names(names: &[OsString]) -> Vec<Cow<'_, str>> {
    let offered: Vec<_> = names.iter().map(|name| valid(name)).collect();
    let mut taken = BTreeSet::new();
    if offered.iter().any(Option::is_none) {
        taken = offered.iter().flatten().map(|name| (*name).to_owned()).collect();
    }
    let mut replace = |name: &OsStr| -> Cow<'_, str> {
        let text = replaced(name);
        let free = (0_u32..)
            .map(|number| numbered(&text, number, false, NAME_BYTES))
            .find(|candidate| taken.insert(candidate.clone()));
        Cow::Owned(free.unwrap_or(text))
    };
    offered.into_iter().zip(names).map(|(valid, name)| valid.map_or_else(|| replace(name), Cow::Borrowed)).collect()
}

fn valid(name: &OsStr) -> Option<&str> {
    name.to_str().filter(|name| Name::new(name).is_ok())
}

/// The name with U+FFFD for each byte that is no UTF-8.
fn replaced(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// `report.pdf` with 1 is `report (1).pdf`, and with 0 itself; folders keep their dots. Its stem is shortened so that it has at most so
/// many bytes.
pub(super) fn numbered(name: &str, number: u32, folder: bool, most: usize) -> String {
    let dot = name.rfind('.').filter(|dot| !folder && *dot > 0 && name.len() - dot <= EXTENSION_BYTES);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let suffix = if number == 0 { extension.to_owned() } else { format!(" ({number}){extension}") };
    format!("{}{suffix}", at_most(stem, most.saturating_sub(suffix.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_single_component_is_refused() {
        let long = "x".repeat(256);
        for (name, error) in [
            ("", "the name is empty"),
            (long.as_str(), "the name is longer than 255 bytes"),
            (".", "the name means a folder, not an entry in it"),
            ("..", "the name means a folder, not an entry in it"),
            ("a/b", "the name is not a single component"),
            ("a\0b", "the name is not a single component"),
        ] {
            assert_eq!(Name::new(name), Err(error), "{name:?}");
        }
        let longest = "x".repeat(255);
        let names =
            ["a", "R.E.M.", "Jr.", "CON", "a\\b", "a:b", "\u{1b}[2J", "a\u{202e}b", "...", " ", ".p2pchat-x", &longest];
        for name in names {
            assert_eq!(Name::new(name).map(Name::as_str), Ok(name));
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_utf8_are_replaced_byte_by_byte_and_kept_apart() {
        use std::os::unix::ffi::OsStrExt;
        let os = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
        let names = [os(b"a\xff\xfe.txt"), os("a\u{fffd}\u{fffd}.txt".as_bytes()), os(b"a\xfd\xfc.txt"), os(b"ok")];
        let offered = offered_names(&names);
        let expected = ["a\u{fffd}\u{fffd} (1).txt", "a\u{fffd}\u{fffd}.txt", "a\u{fffd}\u{fffd} (2).txt", "ok"];
        assert_eq!(offered, expected);

        let long = [os(&[b'\xff'; 200]), os(&[b'\xfe'; 200])];
        let offered = offered_names(&long);
        assert_eq!(offered[0], "\u{fffd}".repeat(85));
        assert_eq!(offered[1], format!("{} (1)", "\u{fffd}".repeat(83)));
        // A cut in the middle of what looks like a character.
        assert_eq!(offered_names(&[os(b"\xe2\x82")]), ["\u{fffd}\u{fffd}"]);
    }
}
