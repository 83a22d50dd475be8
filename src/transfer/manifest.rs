//! The list of a transfer: a forest of files and folders, and the run of positions that it lays out.
//!
//! Pure: no disk, no clock. Invariant: a [`Manifest`] keeps every rule of PROTOCOL.md section 8, because both the scan of
//! the sender and [`Manifest::decode`] build it through [`Builder`], which alone checks them; so each file has its place in
//! the run of positions, all of them below 2^63, and [`Manifest::encode`] gives back the very bytes that were decoded.
//!
//! Names stand in one string and rows are small, for a list may hold some 300,000 files.

mod builder;
mod codec;

#[cfg(test)]
mod tests;

pub use builder::Builder;
#[doc(hidden)]
pub use codec::read;

use super::file_name::Name;
use crate::protocol::frame::{END_WEIGHT, Position, Reason, STREAM_BYTES};
use thiserror::Error;

/// Folders that may be open at once, that is the depth of a tree.
pub const DEPTH: usize = 64;
/// Bytes that all paths of a list may take when written out, so that small lists of deep trees stay small on the disk, too.
const PATH_BYTES: usize = 16 << 20;
/// What of a tree is left out by name.
pub const OMITTED_NAMED: usize = 1_000;
/// Why something is left out, by the number on the wire.
const OMISSIONS: [&str; 7] = [
    "it cannot be read",
    "a symbolic link",
    "a pipe",
    "a socket",
    "a device",
    "no file or folder",
    "folders are nested more than 64 deep",
];

/// What is wrong with a list; the peer is at fault when it came from there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// It is not what OFFER named: length or digest.
    #[error("the list is not the one that was offered")]
    NotAsOffered,
    /// Counts or sizes differ from those of OFFER.
    #[error("the list holds other {0} than the offer says")]
    Counts(&'static str),
    /// It ends inside an entry, or a field has a value that is not allowed.
    #[error("the list cannot be read: {0}")]
    Malformed(&'static str),
    /// A name that no receiver may take.
    #[error("{0}: {1}")]
    Name(String, &'static str),
    /// A name twice in a folder.
    #[error("{0}: the name stands twice in its folder")]
    Twice(String),
    /// Over [`DEPTH`].
    #[error("folders are nested more than {DEPTH} deep")]
    Deep,
    /// Over `LIST_BYTES` or [`PATH_BYTES`], or positions over 2^63.
    #[error("the list or the files in it are too large")]
    Large,
}

impl ManifestError {
    /// With which reason a receiver declines such an offer.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Large | Self::Deep => Reason::TooMuch,
            _ => Reason::Names,
        }
    }
}

/// What the wire keeps of a file's or folder's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meta {
    /// Only bits of 0o777.
    pub mode: u16,
    /// Seconds since 1970; may be negative.
    pub seconds: i64,
    /// Nanoseconds to add, below 10^9.
    pub nanos: u32,
}

/// Where a name stands in the string of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    len: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FileRow {
    /// Where the data begins, counted from the end of the list.
    offset: Position,
    size: u64,
    meta: Meta,
    name: Span,
    folder: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FolderRow {
    meta: Meta,
    name: Span,
    parent: Option<u32>,
    /// Files that stand before its ENTER: with the parents, this is the whole order of the forest.
    files_before: u32,
}

/// A checked list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    names: String,
    files: Vec<FileRow>,
    folders: Vec<FolderRow>,
    /// Length of the encoded list, which is where the first file begins.
    encoded: u32,
    /// Where the last file ends, counted from the end of the list.
    span: Position,
    bytes: u64,
    /// Its only entry is a STREAM; the size of that file is then the largest possible.
    stream: bool,
    omitted: Vec<Omitted>,
}

/// What the sender found and does not send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omitted {
    /// Names joined by `/`; empty for some that are only counted.
    pub path: String,
    pub count: u32,
    /// Its number on the wire.
    pub reason: u8,
}

impl Omitted {
    pub fn reason(&self) -> &'static str {
        OMISSIONS.get(usize::from(self.reason)).copied().unwrap_or("it cannot be sent")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'a> {
    /// Its number in the list, from 0.
    pub index: usize,
    pub name: &'a str,
    /// The number of the folder it stands in; none at the top.
    pub folder: Option<usize>,
    pub size: u64,
    pub meta: Meta,
    /// Position of its first byte.
    pub start: Position,
}

impl File<'_> {
    /// Position of its end, where FILE_END stands.
    pub fn end(&self) -> Position {
        self.start.saturating_add(self.size)
    }

    /// Position at which the next file begins.
    pub fn next(&self) -> Position {
        self.end().saturating_add(END_WEIGHT)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folder<'a> {
    /// Its number in the list, from 0, parents before children.
    pub index: usize,
    pub name: &'a str,
    /// The number of the folder it stands in; none at the top.
    pub parent: Option<usize>,
    pub meta: Meta,
}

/// Which of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListEntry {
    Folder(usize),
    File(usize),
}

/// One step of the walk through a list, depth first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Enter(usize),
    Leave,
    File(usize),
}

/// A walk through a list that borrows nothing, so that a worker can keep it beside the list.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    next_file: usize,
    next_folder: usize,
    open: Vec<usize>,
}

impl Manifest {
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    pub fn folder_count(&self) -> usize {
        self.folders.len()
    }

    /// Sum of the sizes of the files in bytes; [`STREAM_BYTES`] for a stream.
    pub fn bytes(&self) -> u64 {
        if self.stream { STREAM_BYTES } else { self.bytes }
    }

    /// Whether it is one file of unknown length, which ends where FILE_END stands; its `size` is the largest possible then.
    pub fn is_stream(&self) -> bool {
        self.stream
    }

    /// Position of the first file, which is the length of the encoded list.
    pub fn data_start(&self) -> Position {
        u64::from(self.encoded)
    }

    /// Position after the last file.
    pub fn end(&self) -> Position {
        self.data_start() + self.span
    }

    pub fn file(&self, index: usize) -> Option<File<'_>> {
        let row = self.files.get(index)?;
        Some(File {
            index,
            name: self.name(row.name),
            folder: row.folder.map(widen),
            size: row.size,
            meta: row.meta,
            start: self.data_start() + row.offset,
        })
    }

    pub fn folder(&self, index: usize) -> Option<Folder<'_>> {
        let row = self.folders.get(index)?;
        Some(Folder { index, name: self.name(row.name), parent: row.parent.map(widen), meta: row.meta })
    }

    /// The name of an entry, and the number of the folder it stands in.
    pub fn named(&self, entry: ListEntry) -> Option<(&str, Option<usize>)> {
        match entry {
            ListEntry::Folder(index) => self.folder(index).map(|folder| (folder.name, folder.parent)),
            ListEntry::File(index) => self.file(index).map(|file| (file.name, file.folder)),
        }
    }

    pub fn omitted(&self) -> &[Omitted] {
        &self.omitted
    }

    /// All files, in order of position.
    pub fn files(&self) -> impl Iterator<Item = File<'_>> {
        (0..self.files.len()).filter_map(|index| self.file(index))
    }

    /// The names from the top of the list down to `name`, which stands in `folder`.
    pub fn components<'a>(&'a self, folder: Option<usize>, name: &'a str) -> Vec<&'a str> {
        let mut components = vec![name];
        let mut above = folder.and_then(|index| self.folder(index));
        while let Some(folder) = above {
            components.push(folder.name);
            above = folder.parent.and_then(|index| self.folder(index));
        }
        components.reverse();
        components
    }

    /// The path of a file inside the list, its names joined by `/`, for a person to read.
    pub fn path(&self, index: usize) -> String {
        self.file(index).map_or_else(String::new, |file| self.components(file.folder, file.name).join("/"))
    }

    /// The names at the top.
    pub fn tops(&self) -> impl Iterator<Item = &str> {
        let files = self.files.iter().filter(|row| row.folder.is_none()).map(|row| row.name);
        let folders = self.folders.iter().filter(|row| row.parent.is_none()).map(|row| row.name);
        files.chain(folders).map(|name| self.name(name))
    }

    /// How many names stand at the top beside the first.
    pub fn more(&self) -> u32 {
        narrow(self.tops().count().saturating_sub(1))
    }

    /// The name that the list begins with.
    pub fn first_name(&self) -> &str {
        let mut walk = Walk::default();
        match walk.next(self) {
            Some(Step::Enter(index)) => self.folder(index).map_or("", |folder| folder.name),
            Some(Step::File(index)) => self.file(index).map_or("", |file| file.name),
            _ => "",
        }
    }

    /// The file that has a byte at a position, or its FILE_END. None in the list, inside the weight of a FILE_END, and from the end on: no
    /// data begins there.
    pub fn file_at(&self, position: Position) -> Option<File<'_>> {
        let offset = position.checked_sub(self.data_start())?;
        let after = self.files.partition_point(|row| row.offset <= offset);
        self.file(after.checked_sub(1)?).filter(|file| position <= file.end())
    }

    /// Bytes of file data before a position, and files that end before it; for any number, also one that means nothing.
    pub fn progress(&self, position: Position) -> (u64, u32) {
        let offset = position.min(self.end()).saturating_sub(self.data_start());
        let begun = self.files.partition_point(|row| row.offset <= offset);
        let Some(row) = begun.checked_sub(1).and_then(|index| self.files.get(index)) else { return (0, 0) };
        let before = narrow(begun - 1);
        let bytes = row.offset - END_WEIGHT * u64::from(before) + (offset - row.offset).min(row.size);
        let ended = if offset == self.span { before + 1 } else { before };
        (bytes, ended)
    }

    fn name(&self, span: Span) -> &str {
        let start = widen(span.start);
        self.names.get(start..start + usize::from(span.len)).unwrap_or_default()
    }
}

impl Walk {
    /// The next step, not taken yet; none at the end, when every folder is left.
    pub fn peek(&self, list: &Manifest) -> Option<Step> {
        let folder = list.folders.get(self.next_folder).filter(|row| widen(row.files_before) <= self.next_file);
        let file = list.files.get(self.next_file);
        let (step, parent) = match (folder, file) {
            (Some(row), _) => (Some(Step::Enter(self.next_folder)), row.parent),
            (None, Some(row)) => (Some(Step::File(self.next_file)), row.folder),
            (None, None) => (None, None),
        };
        match self.open.last() {
            Some(&innermost) if step.is_none() || parent.map(widen) != Some(innermost) => Some(Step::Leave),
            _ => step,
        }
    }

    pub fn next(&mut self, list: &Manifest) -> Option<Step> {
        let step = self.peek(list)?;
        match step {
            Step::Enter(index) => {
                self.next_folder = index + 1;
                self.open.push(index);
            }
            Step::Leave => drop(self.open.pop()),
            Step::File(index) => self.next_file = index + 1,
        }
        Some(step)
    }

    /// The folders that are open, outermost first.
    pub fn open(&self) -> &[usize] {
        &self.open
    }

    pub fn next_file(&self) -> usize {
        self.next_file
    }

    pub fn next_folder(&self) -> usize {
        self.next_folder
    }
}

fn widen(index: u32) -> usize {
    // A list is shorter than 2^32 bytes, and no supported system has addresses under 32 bits.
    usize::try_from(index).unwrap_or(usize::MAX)
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A checked name in its place in the string of names. Neither is larger than its type, by the limits of names and of lists.
fn store(names: &mut String, name: Name<'_>) -> Span {
    let span = Span { start: narrow(names.len()), len: u8::try_from(name.as_str().len()).unwrap_or(u8::MAX) };
    names.push_str(name.as_str());
    span
}
