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
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};

/// The longest line: longer ones were not written by this program. A name has 255 bytes, a text may hold a path.
const LINE_BYTES: u64 = 8_192;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Folder { index: usize, name: Option<&'a str> },
    NoFolder { index: usize },
    File { index: usize, digest: Digest, name: Option<&'a str> },
    Failed { index: usize, text: &'a str },
    Publishing(OnClash),
    Top { folder: bool, index: usize, name: &'a str },
    Done,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
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
            "failed" => Self::Failed { index: index()?, text: tail.unwrap_or_default() },
            "publishing" => Self::Publishing(match rest {
                "rename" => OnClash::Rename,
                "overwrite" => OnClash::Overwrite,
                "refuse" => OnClash::Refuse,
                _ => return None,
            }),
            "top" => {
                let (index, name) = tail?.split_once(' ')?;
                let folder = match number {
                    "d" => true,
                    "f" => false,
                    _ => return None,
                };
                Self::Top { folder, index: index.parse().ok()?, name: Some(name).filter(|name| is_component(name))? }
            }
            "done" if rest.is_empty() => Self::Done,
            _ => return None,
        })
    }

    fn write(&self, to: &mut String) {
        // A `String` takes everything.
        let _ = match self {
            Self::Folder { index, name: None } => writeln!(to, "folder {index}"),
            Self::Folder { index, name: Some(name) } => writeln!(to, "folder {index} {name}"),
            Self::NoFolder { index } => writeln!(to, "nofolder {index}"),
            Self::File { index, digest, name: None } => writeln!(to, "file {index} {}", hex(digest)),
            Self::File { index, digest, name: Some(name) } => writeln!(to, "file {index} {} {name}", hex(digest)),
            Self::Failed { index, text } => writeln!(to, "failed {index} {}", text.replace(char::is_control, " ")),
            Self::Publishing(on_clash) => writeln!(
                to,
                "publishing {}",
                match on_clash {
                    OnClash::Rename => "rename",
                    OnClash::Overwrite => "overwrite",
                    OnClash::Refuse => "refuse",
                }
            ),
            Self::Top { folder, index, name } => {
                writeln!(to, "top {} {index} {name}", if *folder { 'd' } else { 'f' })
            }
            Self::Done => writeln!(to, "done"),
        };
    }
}

/// None for a name that is no single component: the folder was tampered with.
fn optional_name(name: Option<&str>) -> Option<Option<&str>> {
    name.is_none_or(is_component).then_some(name)
}

fn is_component(name: &str) -> bool {
    crate::transfer::Name::new(name).is_ok() && !(cfg!(windows) && name.contains(['\\', ':']))
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

    /// Reads all complete lines, from the start, until `take` says no: gives the offset of the line that was refused, or the end of
    /// the last.
    pub(super) fn read(&self, mut take: impl FnMut(Line<'_>) -> bool) -> io::Result<u64> {
        let mut lines = self.lines()?;
        while let Some(Ok(())) = lines.advance() {
            let Some(line) = lines.line() else { return Ok(lines.begin) };
            if !take(line) {
                return Ok(lines.begin);
            }
        }
        Ok(lines.begin)
    }

    /// A second look at the lines, one at a time.
    pub(super) fn lines(&self) -> io::Result<Lines> {
        let from_start = AtOffset { file: self.file.try_clone()?, offset: 0 };
        Ok(Lines { reader: BufReader::new(from_start), text: String::new(), begin: 0 })
    }

    /// Keeps the first `len` bytes, and appends after them.
    pub(super) fn keep(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.pending.clear();
        self.file.seek(SeekFrom::Start(len)).map(drop)
    }

    pub(super) fn add(&mut self, line: &Line<'_>) {
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

/// Reads line after line, also while others are appended.
#[derive(Debug)]
pub(super) struct Lines {
    reader: BufReader<AtOffset>,
    text: String,
    /// Where the current line begins.
    begin: u64,
}

impl Lines {
    /// Goes to the next complete line; none at the end.
    pub(super) fn advance(&mut self) -> Option<io::Result<()>> {
        self.begin += u64::try_from(self.text.len()).unwrap_or(u64::MAX);
        self.text.clear();
        let read = Read::take(&mut self.reader, LINE_BYTES).read_line(&mut self.text);
        match read {
            Ok(_) if self.text.ends_with('\n') => Some(Ok(())),
            Ok(_) => {
                self.text.clear();
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    pub(super) fn begin(&self) -> u64 {
        self.begin
    }

    pub(super) fn line(&self) -> Option<Line<'_>> {
        Line::parse(self.text.strip_suffix('\n')?)
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
            Line::Folder { index: 1, name: Some("photos (1)") },
            Line::NoFolder { index: 2 },
            Line::File { index: 0, digest: [7; 32], name: None },
            Line::File { index: 1, digest: [9; 32], name: Some(" a b ") },
            Line::Failed { index: 2, text: "/x/y: no such file" },
            Line::Publishing(OnClash::Overwrite),
            Line::Top { folder: true, index: 0, name: "t (2)" },
            Line::Done,
        ];
        for line in &lines {
            results.add(line);
        }
        results.flush(true).unwrap();
        let mut expected = lines.iter();
        let len = results.read(|line| expected.next() == Some(&line)).unwrap();
        assert!(expected.next().is_none());
        // A torn line does not count.
        results.pending = "file 3 12".to_owned();
        results.flush(false).unwrap();
        assert_eq!(results.read(|_| true).unwrap(), len);
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
