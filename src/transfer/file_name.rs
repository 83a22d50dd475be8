//! The one gate for names of files and folders that come from a peer, or go to one.
//!
//! Invariant: a [`Name`] is a single component that no system takes for a path, and that no terminal takes for a command.

use thiserror::Error;

/// The longest name in bytes: what common file systems take, and what the wire's `str8` holds.
const NAME_BYTES: usize = 255;

/// Names that Windows takes for devices, with any extension; `COM` and `LPT` with a digit besides.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// Why a name is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FileNameError {
    /// Nothing in it.
    #[error("the name is empty")]
    Empty,
    /// Over 255 bytes.
    #[error("the name is longer than 255 bytes")]
    Long,
    /// `.` or `..`.
    #[error("the name means a folder, not a file in it")]
    Dots,
    /// `/` or `\`.
    #[error("the name holds a path separator")]
    Separator,
    /// C0, DEL, C1 or a line or paragraph separator.
    #[error("the name holds a control character")]
    Control,
    /// A bidirectional control or a zero-width format character.
    #[error("the name holds an invisible character")]
    Invisible,
    /// A dot or a space at the end, which Windows drops.
    #[error("the name ends in a dot or a space")]
    Ending,
    /// `CON`, `NUL.txt` and the like.
    #[error("the name is a device on Windows")]
    Device,
    /// One of `<>:"|?*`, on Windows only.
    #[error("the name holds a character that Windows does not allow")]
    Reserved,
    /// Bytes that are no UTF-8; only a sender meets them.
    #[error("the name is not valid UTF-8")]
    NotUtf8,
}

/// A checked name of one component, 1 to 255 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name<'a>(&'a str);

impl<'a> Name<'a> {
    /// Checks a name by the rules of PROTOCOL.md section 8.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn new(name: &'a str) -> Result<Self, FileNameError> {
        if name.is_empty() {
            return Err(FileNameError::Empty);
        }
        if name.len() > NAME_BYTES {
            return Err(FileNameError::Long);
        }
        if name == "." || name == ".." {
            return Err(FileNameError::Dots);
        }
        if let Some(fault) = name.chars().find_map(fault_of) {
            return Err(fault);
        }
        if name.ends_with(['.', ' ']) {
            return Err(FileNameError::Ending);
        }
        if is_device(name) {
            return Err(FileNameError::Device);
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

fn fault_of(c: char) -> Option<FileNameError> {
    match c {
        '/' | '\\' => Some(FileNameError::Separator),
        // Line and paragraph separator.
        '\u{2028}' | '\u{2029}' => Some(FileNameError::Control),
        _ if c.is_control() => Some(FileNameError::Control),
        // Bidirectional controls.
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some(FileNameError::Invisible)
        }
        // Format characters without width; U+200C and U+200D join letters and emoji and are allowed.
        '\u{00ad}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e007f}' => Some(FileNameError::Invisible),
        '<' | '>' | ':' | '"' | '|' | '?' | '*' if cfg!(windows) => Some(FileNameError::Reserved),
        _ => None,
    }
}

/// Whether Windows takes the name for a device: it looks only at what stands before the first dot, less spaces there.
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

#[cfg(any())]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused_for_the_rule_they_break() {
        let long = "x".repeat(256);
        let table = [
            ("", FileNameError::Empty),
            (long.as_str(), FileNameError::Long),
            (".", FileNameError::Dots),
            ("..", FileNameError::Dots),
            ("/etc", FileNameError::Separator),
            ("a/b", FileNameError::Separator),
            ("..\\x", FileNameError::Separator),
            ("a\0b", FileNameError::Control),
            ("a\nb", FileNameError::Control),
            ("\u{1b}[2J", FileNameError::Control),
            ("a\u{7f}", FileNameError::Control),
            ("a\u{85}", FileNameError::Control),
            ("a\u{9b}1m", FileNameError::Control),
            ("a\u{2028}b", FileNameError::Control),
            ("a\u{2029}b", FileNameError::Control),
            ("cod\u{202e}exe.txt", FileNameError::Invisible),
            ("a\u{200e}", FileNameError::Invisible),
            ("\u{2066}a", FileNameError::Invisible),
            ("\u{061c}a", FileNameError::Invisible),
            ("a\u{200b}b", FileNameError::Invisible),
            ("\u{feff}a", FileNameError::Invisible),
            ("a\u{00ad}b", FileNameError::Invisible),
            ("a\u{e0041}", FileNameError::Invisible),
            ("a.", FileNameError::Ending),
            ("...", FileNameError::Ending),
            ("a ", FileNameError::Ending),
            (" ", FileNameError::Ending),
            ("con", FileNameError::Device),
            ("NUL.txt", FileNameError::Device),
            ("Aux .tar.gz", FileNameError::Device),
            ("com1", FileNameError::Device),
            ("LPT9.log", FileNameError::Device),
            ("COM²", FileNameError::Device),
            ("conin$", FileNameError::Device),
        ];
        for (name, fault) in table {
            assert_eq!(Name::new(name), Err(fault), "{name:?}");
        }
    }

    #[test]
    fn ordinary_names_of_all_scripts_are_kept() {
        let longest = "x".repeat(255);
        let names = [
            "a",
            ".bashrc",
            "...x",
            "report (1).pdf",
            "Übergröße.txt",
            "日本語",
            "नमस्ते\u{200d}",
            "👩\u{200d}🚀.png",
            "console",
            "com",
            "com10",
            "LPT0",
            "nul2",
            " a",
            "a b",
            "~",
            "-rf",
            "$HOME",
            "auxiliary.c",
            &longest,
        ];
        for name in names {
            assert_eq!(Name::new(name).map(Name::as_str), Ok(name));
        }
    }

    #[test]
    fn a_colon_is_refused_on_windows_alone() {
        assert_eq!(Name::new("a:b").is_err(), cfg!(windows));
    }
}
