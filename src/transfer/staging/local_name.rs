//! Under which name this side's disk holds what a peer named.
//!
//! A name of the wire is any single component (see `file_name`). What must not be shown as a file name, or what this system takes for
//! something else, is replaced here; what is taken or refused by the file system itself is found by trying.

use crate::protocol::frame::at_most;
use crate::transfer::STAGING_PREFIX;
use crate::transfer::file_name::{NAME_BYTES, numbered};
use std::io;

/// The longest name that is tried after a file system refused one: some of them encrypt names, and take 143 bytes.
const PORTABLE_BYTES: usize = 128;
/// How often a free number is looked for: each time somebody else took the one that was found.
const RACES: usize = 100;

/// Names that Windows takes for devices, with any extension; `COM` and `LPT` with a digit besides.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// The name for the disk. `top`: it will stand in a folder of the user's.
pub fn local_name(name: &str, top: bool) -> String {
    let mut local = name.replace(is_unfit, "_");
    if cfg!(windows) && local.ends_with(['.', ' ']) {
        local.pop();
        local.push('_');
    }
    let prefix = local.get(..STAGING_PREFIX.len());
    let reserved = top && prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(STAGING_PREFIX));
    if reserved || (cfg!(windows) && is_device(&local)) {
        local = format!("_{}", at_most(&local, NAME_BYTES - 1));
    }
    local
}

fn is_unfit(c: char) -> bool {
    // Line and paragraph separator; bidirectional embeddings, overrides and isolates.
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || (cfg!(windows) && matches!(c, '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*'))
}

/// Windows looks only at what stands before the first dot, less spaces there.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ');
    if DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device)) {
        return true;
    }
    let mut chars = stem.chars();
    let Some(last) = chars.next_back() else { return false };
    let port = chars.as_str();
    (port.eq_ignore_ascii_case("COM") || port.eq_ignore_ascii_case("LPT"))
        && matches!(last, '1'..='9' | '¹' | '²' | '³')
}

/// What is tried when a file system refuses a name.
fn portable(name: &str) -> String {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let portable: String = name.chars().map(|c| if fit(c) { c } else { '_' }).collect();
    numbered(&portable, 0, false, PORTABLE_BYTES)
}

/// Whether a file system says that it cannot hold such a name.
pub(super) fn refuses_name(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EILSEQ) {
        return true;
    }
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename)
}

/// Makes something under `name`; under a numbered name when that is taken, and once more as [`portable`] when it is refused. Gives what
/// was made, and the name. Only `make` decides what is taken (it says `AlreadyExists`); `exists` speeds up the search for a number.
pub(super) fn make_under<T>(
    name: &str,
    folder: bool,
    mut make: impl FnMut(&str) -> io::Result<T>,
    exists: impl Fn(&str) -> bool,
) -> io::Result<(T, String)> {
    let mut make = |name: String| make(&name).map(|made| (made, name));
    let mut name = name.to_owned();
    let mut made = make(name.clone());
    if made.as_ref().is_err_and(refuses_name) {
        name = portable(&name);
        made = make(name.clone());
    }
    for _ in 0..RACES {
        if !made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            return made;
        }
        let with = |number| numbered(&name, number, folder, NAME_BYTES);
        made = make(with(free_number(|number| exists(&with(number)))));
    }
    made
}

/// A number that is free: the first one where they are taken without a gap. In steps that double and then halve, so that thousands of
/// clashes cost a dozen looks each.
fn free_number(taken: impl Fn(u32) -> bool) -> u32 {
    let mut high = 1;
    while taken(high) && high < 1 << 30 {
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if taken(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeSet;

    #[test]
    fn what_must_not_be_shown_is_replaced_and_all_scripts_are_kept() {
        for (name, local) in [
            ("\u{1b}[2J", "_[2J"),
            ("a\nb\u{85}c", "a_b_c"),
            ("cod\u{202e}exe.txt", "cod_exe.txt"),
            ("\u{2066}a\u{2069}\u{2028}", "_a__"),
            // Marks that scripts need.
            ("a\u{200e}\u{200f}\u{61c}\u{200d}\u{200b}\u{ad}", "a\u{200e}\u{200f}\u{61c}\u{200d}\u{200b}\u{ad}"),
            ("日本語", "日本語"),
            ("...x", "...x"),
            ("-rf", "-rf"),
            (".p2pchat-ABC", "_.p2pchat-ABC"),
            (".P2PCHAT-abc", "_.P2PCHAT-abc"),
        ] {
            assert_eq!(local_name(name, true), local, "{name:?}");
        }
        assert_eq!(local_name(".p2pchat-ABC", false), ".p2pchat-ABC");
        let long = format!(".p2pchat-{}", "x".repeat(246));
        assert_eq!(local_name(&long, true).len(), 255);
    }

    #[cfg(unix)]
    #[test]
    fn what_only_windows_cannot_hold_is_kept_here() {
        for name in ["R.E.M.", "Jr. ", "CON", "nul.txt", "a:b", "a\\b", "a?"] {
            assert_eq!(local_name(name, true), name);
        }
    }

    #[test]
    fn numbers_stand_before_an_extension_of_files_alone() {
        assert_eq!(numbered("report.pdf", 1, false, 255), "report (1).pdf");
        assert_eq!(numbered("photos.d", 2, true, 255), "photos.d (2)");
        assert_eq!(numbered(".bashrc", 3, false, 255), ".bashrc (3)");
        assert_eq!(numbered(&"ü".repeat(127), 1, false, 255).len(), 254);
    }

    #[test]
    fn thousands_of_clashes_with_one_name_cost_a_few_looks_each() {
        let made = RefCell::new(BTreeSet::new());
        let looks = Cell::new(0);
        for number in 0..6_000_u32 {
            let make = |name: &str| {
                looks.set(looks.get() + 1);
                if made.borrow_mut().insert(name.to_owned()) {
                    Ok(())
                } else {
                    Err(io::ErrorKind::AlreadyExists.into())
                }
            };
            let exists = |name: &str| {
                looks.set(looks.get() + 1);
                made.borrow().contains(name)
            };
            let ((), name) = make_under("a_.txt", false, make, exists).unwrap();
            assert_eq!(name, if number == 0 { "a_.txt".to_owned() } else { format!("a_ ({number}).txt") });
        }
        assert!(looks.get() < 6_000 * 30, "{}", looks.get());
    }

    #[test]
    fn a_refused_name_is_tried_once_with_plain_characters() {
        let tried = RefCell::new(Vec::new());
        let make = |name: &str| {
            tried.borrow_mut().push(name.to_owned());
            if name.is_ascii() { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
        };
        assert_eq!(make_under("ä b.txt", false, make, |_| false).unwrap().1, "__b.txt");
        assert_eq!(*tried.borrow(), ["ä b.txt", "__b.txt"]);
        let long = format!("{}.txt", "ä".repeat(120));
        assert_eq!(portable(&long).len(), 124);
        assert_eq!(portable(&"x".repeat(255)).len(), 128);
    }
}
