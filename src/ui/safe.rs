//! The one boundary between the peer's text and the terminal.
//!
//! Invariant: [`PeerText`] has no `Display`, and its `Debug` shows only a length, so raw peer text cannot be printed;
//! [`SafeText`] is the only way out and holds nothing that moves a cursor, changes a colour or reorders a line.

use std::fmt;

/// Text that the peer chose (or a path that contains such text), as it came.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PeerText(String);

impl PeerText {
    /// Takes raw text in.
    pub fn new(raw: impl Into<String>) -> Self {
        Self(raw.into())
    }

    /// The text on one line, made safe for a terminal.
    pub fn safe(&self) -> SafeText {
        SafeText::clean(&self.0)
    }

    /// The text, lossless, for JSON (whose escapes make it harmless) and for comparing; never for a terminal.
    pub fn raw(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PeerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerText({} bytes)", self.0.len())
    }
}

/// One line of text without controls, escapes, bidi or invisible format characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SafeText(String);

impl SafeText {
    /// Makes any text safe: harmful characters become visible replacements.
    pub fn clean(text: &str) -> Self {
        Self(text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect())
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for SafeText {
    fn from(text: &str) -> Self {
        Self::clean(text)
    }
}

impl From<String> for SafeText {
    fn from(text: String) -> Self {
        Self::clean(&text)
    }
}
