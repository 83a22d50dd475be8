//! Text from the peer, and how it becomes safe to print.
//!
//! Invariant: [`PeerText`] has no `Display`, and its `Debug` shows only a length, so raw peer text cannot be printed;
//! [`SafeText`] is the only way out and holds nothing that moves a cursor, changes a colour, reorders a line, or stands
//! in it unseen. What is taken away leaves a visible [`REPLACEMENT`]. (Letters written from right to left stay: they are
//! language. Only the characters that order others are not.)

use std::fmt;
use unicode_width::UnicodeWidthChar;

/// What stands for a harmful character: one that no font draws as anything else, and that no text means literally.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;
/// Marks on one base character that are shown. Written languages stay below five; more climb over the lines above.
const MARKS: usize = 8;
/// What a tab becomes: where its next stop would be depends on what else stands in the line.
const TAB: &str = "    ";
/// The mark of the program's lines in the terminal.
pub const PROGRAM_MARK: char = '¦';
/// The mark after this side's own name there.
pub const OWN_MARK: char = '▸';
/// What carries a mark that has no base, so that it does not sit on what the program printed before it.
const DOTTED_CIRCLE: char = '\u{25cc}';

/// Text that the peer chose (or a path that contains such text), as it came.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PeerText(String);

impl PeerText {
    /// Takes raw text in.
    pub fn new(raw: impl Into<String>) -> Self {
        Self(raw.into())
    }

    /// The text on one line, made safe for a terminal; a line break in it becomes a [`REPLACEMENT`].
    pub fn safe(&self) -> SafeText {
        SafeText::clean(&self.0)
    }

    /// The text as the label of a person: safe, and without what could make a row of chat look like one of the program's: bars,
    /// box-drawing and block characters, marks and punctuation at its beginning.
    pub fn name(&self) -> SafeText {
        let name: String = SafeText::clean(&self.0).0.chars().map(|c| if is_mark(c) { '_' } else { c }).collect();
        let name = name.trim_start_matches(|c: char| !c.is_alphanumeric() && c.is_ascii()).trim_end();
        SafeText(if name.is_empty() { "?".to_owned() } else { name.to_owned() })
    }

    /// The lines of the text (ended by LF, CRLF or CR), each made safe. At least one; a break at the end adds none.
    pub fn safe_lines(&self) -> Vec<SafeText> {
        let text = self.0.replace("\r\n", "\n");
        let text = text.strip_suffix(['\n', '\r']).unwrap_or(&text);
        text.split(['\n', '\r']).map(SafeText::clean).collect()
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

/// Text without controls, escapes, bidi or invisible format characters: one line, unless made by
/// [`SafeText::with_hint`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SafeText(String);

impl SafeText {
    /// Makes any text one safe line: harmful characters become visible replacements, line breaks among them.
    pub fn clean(text: &str) -> Self {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) { Self(text.to_owned()) } else { Self(clean(text)) }
    }

    /// Makes a text of the program's own safe whose lines after the first are a hint. `\n` is kept as it is, so show the lines
    /// apart, each marked as the program's.
    pub fn with_hint(text: &str) -> Self {
        let lines: Vec<String> = text.split('\n').map(|line| Self::clean(line).0).collect();
        Self(lines.join("\n"))
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

/// How a character may stand in a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Takes a place of its own.
    Base,
    /// Sits on the base before it.
    Mark,
    /// Chooses the look of the base right before it.
    Selector,
    /// Joins its neighbours or keeps them apart.
    Joiner,
    Tab,
    Harmful,
}

/// The base that marks would sit on, and what sits there.
#[derive(Default)]
struct Cluster {
    base: Option<char>,
    /// Marks and joiners since the base.
    marks: usize,
    /// The base is the last character.
    bare: bool,
    /// The last character is a joiner.
    joined: bool,
    /// There were too many marks; the rest of them is passed over.
    cut: bool,
}

impl Cluster {
    fn of(base: char) -> Self {
        Self { base: Some(base), bare: true, ..Self::default() }
    }

    fn push_mark(&mut self) {
        self.marks += 1;
        self.bare = false;
        self.joined = false;
    }

    /// Whether a joiner between this and `next` has an effect that a reader sees, and everything around it will stay.
    fn joins(&self, joiner: char, next: Option<char>) -> bool {
        let (Some(base), Some(next)) = (self.base, next) else { return false };
        if self.joined || self.marks >= MARKS {
            return false;
        }
        match class(next) {
            Class::Base => joiner == ZWJ && is_pictograph(base) && is_pictograph(next) || is_joining(base, next),
            // The mark after it must find room, or the joiner would end up before something else.
            Class::Mark => is_joining(base, next) && self.marks + 1 < MARKS,
            _ => false,
        }
    }
}

fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut cluster = Cluster::default();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let class = class(c);
        if cluster.cut && matches!(class, Class::Mark | Class::Selector | Class::Joiner) {
            continue;
        }
        let keep = match class {
            Class::Base => {
                cluster = Cluster::of(c);
                true
            }
            Class::Tab => {
                out.push_str(TAB);
                cluster = Cluster::of(' ');
                continue;
            }
            Class::Mark if cluster.marks < MARKS => {
                if cluster.base.is_none() {
                    out.push(DOTTED_CIRCLE);
                    cluster = Cluster::of(DOTTED_CIRCLE);
                }
                cluster.push_mark();
                true
            }
            Class::Selector if cluster.bare && cluster.base.is_some_and(|base| !base.is_whitespace()) => {
                cluster.bare = false;
                true
            }
            Class::Joiner if cluster.joins(c, chars.peek().copied()) => {
                cluster.push_mark();
                cluster.joined = true;
                true
            }
            _ => false,
        };
        if keep {
            // The program's own marks are its own: nothing that is cleaned can hold them.
            out.push(match c {
                PROGRAM_MARK => '|',
                OWN_MARK => '>',
                c => c,
            });
        } else {
            out.push(REPLACEMENT);
            cluster = Cluster { cut: class == Class::Mark, ..Cluster::of(REPLACEMENT) };
        }
    }
    out
}

/// Whether it is drawn like a bar, a box, a block or a pointer.
fn is_mark(c: char) -> bool {
    matches!(c,
        '|' | '\u{a6}' | '\u{1c0}' | '\u{1c1}' | '\u{2016}' | '\u{205e}' | '\u{2223}' | '\u{2225}' | '\u{239c}' | '\u{239f}'
        | '\u{23b8}'..='\u{23bd}' | '\u{23d0}' | '\u{2500}'..='\u{25ff}' | '\u{2758}'..='\u{275a}' | '\u{276f}' | '\u{27e9}'
        | '\u{2b9e}' | '\u{fe31}'..='\u{fe34}' | '\u{ff5c}' | '\u{ffe4}' | '\u{ffe8}' | '\u{1fb00}'..='\u{1fbff}')
}

const ZWNJ: char = '\u{200c}';
const ZWJ: char = '\u{200d}';

fn class(c: char) -> Class {
    match c {
        ' '..='~' => Class::Base,
        '\t' => Class::Tab,
        ZWNJ | ZWJ => Class::Joiner,
        // Mongolian, general, and ideographic variation selectors.
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => Class::Selector,
        _ if is_harmful(c) => Class::Harmful,
        _ if c.width() == Some(0) => Class::Mark,
        _ => Class::Base,
    }
}

/// Whether a terminal obeys it, hides it, or orders others by it. By the Unicode Character Database, version 16.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control() || is_format(c) || is_blank_letter(c) || is_nobodys(c)
}

/// General category Cf less the joiners, and the line and paragraph separators.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

/// Letters and marks that are never drawn (Default_Ignorable_Code_Point).
fn is_blank_letter(c: char) -> bool {
    matches!(c, '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}')
}

/// Private use, noncharacters, and whole planes where nothing is assigned: what a terminal draws for them is unknown.
fn is_nobodys(c: char) -> bool {
    matches!(c,
        '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{40000}'..='\u{dffff}' | '\u{e0080}'..='\u{e00ff}'
        | '\u{e01f0}'..='\u{10ffff}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// The characters that sequences such as families, flags and professions are joined from.
fn is_pictograph(c: char) -> bool {
    matches!(c,
        '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}'
        | '\u{1f000}'..='\u{1faff}')
}

/// Whether the two are of scripts in which joiners change how letters are drawn.
fn is_joining(left: char, right: char) -> bool {
    /// Of the cursive scripts and of those that descend from Brahmi.
    fn joins(c: char) -> bool {
        matches!(c,
            '\u{620}'..='\u{6ff}' | '\u{700}'..='\u{77f}' | '\u{7c0}'..='\u{7ff}' | '\u{840}'..='\u{85f}'
            | '\u{860}'..='\u{86f}' | '\u{870}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{1000}'..='\u{109f}'
            | '\u{1780}'..='\u{17ff}' | '\u{1820}'..='\u{18aa}' | '\u{11000}'..='\u{114ff}' | '\u{1e900}'..='\u{1e95f}')
    }
    joins(left) && joins(right)
}

#[cfg(test)]
mod tests;
