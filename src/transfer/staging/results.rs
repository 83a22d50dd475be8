//! The file `results` of a staging folder: what of a transfer is finished, a line for each entry in the order of its list.
//!
//! ```text
//! folder 0                   folder 0 was made under its local name
//! folder 1 photos (1)        folder 1 was made under another name
//! nofolder 2                 folder 2 could not be made
//! file 0 1b2f…               file 0 is in the tree, with this digest
//! file 1 77aa… a (1).txt     file 1 is in the tree under another name
//! failed 2 TEXT              file 2 could not be received
//! publishing rename          all is there; moving to the final names began, with this rule for clashes
//! top d 0 photos (2)         the top-level folder (d) or file (f) 0 is about to be moved to this name
//! done                       all is moved
//! ```
//!
//! Lines are appended in batches once a thing is there. A last line without its end does not count.

use super::OnClash;
use crate::keys::{hex, unhex};
use crate::protocol::frame::Digest;
use crate::transfer::Name;
use crate::transfer::manifest::ListEntry;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

/// The longest line: longer ones were not written by this program. A name has 255 bytes, a text may hold a path.
const LINE_BYTES: u64 = 8_192;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Folder { index: usize, name: Option<String> },
    NoFolder { index: usize },
    File { index: usize, digest: Digest, name: Option<String> },
    Failed { index: usize, text: String },
    Publishing(OnClash),
    Top { entry: ListEntry, name: String },
    Done,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (number, tail) = rest.split_once(' ').map_or((rest, None), |(number, tail)| (number, Some(tail)));
        let index = || number.parse().ok();
        Some(match word {
            "folder" => Self::Folder { index: index()?, name: optional_name(tail)? },
            "nofolder" if tail.is_none() => Self::NoFolder { index: index()? },
            "file" => {
                let (digest, name) = tail?.split_once(' ').map_or((tail?, None), |(digest, name)| (digest, Some(name)));
                Self::File { index: index()?, digest: unhex(digest)?, name: optional_name(name)? }
            }
            "failed" => Self::Failed { index: index()?, text: tail.unwrap_or_default().to_owned() },
            "publishing" => Self::Publishing(ON_CLASH.iter().find(|(_, word)| *word == rest)?.0),
            "top" => {
                let (index, name) = tail?.split_once(' ')?;
                let index = index.parse().ok()?;
                let entry = match number {
                    "d" => ListEntry::Folder(index),
                    "f" => ListEntry::File(index),
                    _ => return None,
                };
                Self::Top { entry, name: optional_name(Some(name))?? }
            }
            "done" if rest.is_empty() => Self::Done,
            _ => return None,
        })
    }

    fn write(&self, to: &mut String) {
        // A `String` takes everything.
        let _ = match self {
            Self::Folder { index, name } => write!(to, "folder {index}{}", after_blank(name)),
            Self::NoFolder { index } => write!(to, "nofolder {index}"),
            Self::File { index, digest, name } => write!(to, "file {index} {}{}", hex(digest), after_blank(name)),
            Self::Failed { index, text } => write!(to, "failed {index} {}", text.replace(char::is_control, " ")),
            Self::Publishing(on_clash) => {
                let word = ON_CLASH.iter().find(|(rule, _)| rule == on_clash).map_or("", |(_, word)| word);
                write!(to, "publishing {word}")
            }
            Self::Top { entry: ListEntry::Folder(index), name } => write!(to, "top d {index} {name}"),
            Self::Top { entry: ListEntry::File(index), name } => write!(to, "top f {index} {name}"),
            Self::Done => write!(to, "done"),
        };
        to.push('\n');
    }
}

const ON_CLASH: [(OnClash, &str); 3] =
    [(OnClash::Rename, "rename"), (OnClash::Overwrite, "overwrite"), (OnClash::Refuse, "refuse")];

fn after_blank(name: &Option<String>) -> String {
    name.as_ref().map(|name| format!(" {name}")).unwrap_or_default()
}

/// None for a name that is no single component: the folder was tampered with.
fn optional_name(name: Option<&str>) -> Option<Option<String>> {
    let is_component = |name: &str| Name::new(name).is_ok() && !(cfg!(windows) && name.contains(['\\', ':']));
    name.is_none_or(is_component).then(|| name.map(str::to_owned))
}

/// The file, open and locked, and lines that are not written yet.
#[derive(Debug)]
pub(super) struct Results {
    file: File,
    pending: String,
}

impl Results {
    /// A locked file; lines are appended once [`Results::keep`] was called.
    pub(super) fn new(file: File) -> Self {
        Self { file, pending: String::new() }
    }

    /// All complete lines from the start, one at a time, also while others are appended.
    pub(super) fn lines(&self) -> io::Result<Lines> {
        let from_start = AtOffset { file: self.file.try_clone()?, offset: 0 };
        Ok(Lines { reader: BufReader::new(from_start), end: 0 })
    }

    /// Keeps the first `len` bytes, and appends after them.
    pub(super) fn keep(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.pending.clear();
        self.file.seek(SeekFrom::Start(len)).map(drop)
    }

    pub(super) fn add(&mut self, line: &Line) {
        line.write(&mut self.pending);
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self, sync: bool) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.file.seek(SeekFrom::End(0))?;
            self.file.write_all(self.pending.as_bytes())?;
            self.pending.clear();
        }
        if sync { self.file.sync_all() } else { Ok(()) }
    }
}

/// Reads at a place of its own, for a clone of a descriptor shares the one where lines are appended.
#[derive(Debug)]
struct AtOffset {
    file: File,
    offset: u64,
}

impl Read for AtOffset {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(&self.file, to, self.offset)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(&self.file, to, self.offset)?;
        self.offset += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(read)
    }
}

/// Ends before the first line that is cut off, cannot be read or makes no sense.
#[derive(Debug)]
pub(super) struct Lines {
    reader: BufReader<AtOffset>,
    /// Where the latest line ends.
    pub(super) end: u64,
}

impl Iterator for Lines {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let mut text = String::new();
        let read = Read::take(&mut self.reader, LINE_BYTES).read_line(&mut text).ok()?;
        let line = Line::parse(text.strip_suffix('\n')?)?;
        self.end += u64::try_from(read).unwrap_or(u64::MAX);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let temp = tempfile::tempfile().unwrap();
        let mut results = Results::new(temp);
        let lines = [
            Line::Folder { index: 0, name: None },
            Line::Folder { index: 1, name: Some("photos (1)".into()) },
            Line::NoFolder { index: 2 },
            Line::File { index: 0, digest: [7; 32], name: None },
            Line::File { index: 1, digest: [9; 32], name: Some(" a b ".into()) },
            Line::Failed { index: 2, text: "/x/y: no such file".into() },
            Line::Publishing(OnClash::Overwrite),
            Line::Top { entry: ListEntry::Folder(0), name: "t (2)".into() },
            Line::Done,
        ];
        for line in &lines {
            results.add(line);
        }
        results.flush(true).unwrap();
        assert!(results.lines().unwrap().eq(lines));
        // A torn line does not count.
        results.pending = "file 3 12".to_owned();
        results.flush(false).unwrap();
        assert_eq!(results.lines().unwrap().count(), 9);
    }

    #[test]
    fn lines_that_make_no_sense_are_refused() {
        let digest = hex(&[1; 32]);
        let nonsense = [
            "".to_owned(),
            "rubbish".to_owned(),
            "file 1".to_owned(),
            "file -1 00".to_owned(),
            format!("file x {digest}"),
            format!("file 1 {digest} ../x"),
            format!("file 1 {digest} "),
            "folder 0 ..".to_owned(),
            "folder 0 a/b".to_owned(),
            "top d 0 /etc".to_owned(),
            "top x 0 a".to_owned(),
            "publishing always".to_owned(),
            "done 1".to_owned(),
        ];
        for line in nonsense {
            assert_eq!(Line::parse(&line), None, "{line:?}");
        }
    }
}
