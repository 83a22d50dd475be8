//! The only maker of lists: every rule about their shape and size is checked here.

use super::{
    DEPTH, FileRow, FolderRow, Manifest, ManifestError, Meta, OMITTED_NAMED, Omitted, PATH_BYTES, narrow, store, widen,
};
use crate::protocol::frame::{END_WEIGHT, LIST_BYTES, POSITIONS, Position};
use crate::transfer::file_name::Name;

/// Encoded bytes of an ENTER, apart from its name: kind, mode, seconds, nanoseconds, length of the name.
pub(super) const ENTER_BYTES: usize = 1 + 2 + 8 + 4 + 1;
/// Encoded bytes of a FILE, apart from its name: those of an ENTER and the size.
pub(super) const FILE_BYTES: usize = ENTER_BYTES + 8;
/// Encoded bytes of a STREAM, apart from its name: kind, mode, length of the name.
const STREAM_ENTRY_BYTES: usize = 1 + 2 + 1;
/// Encoded bytes of a LEFT_OUT, apart from its path: kind, reason, count, length of the path.
const OMITTED_BYTES: usize = 1 + 1 + 4 + 2;
/// Encoded bytes of a LEAVE.
const LEAVE_BYTES: usize = 1;
/// The most that the data and ends of all files may take: the list itself lies before them.
const SPAN: Position = POSITIONS - 1 - widen_u64(LIST_BYTES);
/// The most that a stream can take: its FILE_END stands below 2^63 - 1,024.
const STREAM_SIZE: u64 = SPAN - END_WEIGHT;

#[expect(clippy::as_conversions, reason = "widening in a constant")]
const fn widen_u64(value: u32) -> u64 {
    value as u64
}

/// Takes entries in order, depth first.
#[derive(Debug, Default)]
pub struct Builder {
    list: Manifest,
    /// The folders that are open, and the bytes of the path of each.
    open: Vec<(u32, usize)>,
    /// Encoded bytes so far, the LEAVEs of the open folders included.
    encoded: usize,
    /// Bytes of all paths so far, written out.
    paths: usize,
}

impl Builder {
    /// Adds a file to the folder that is open; gives its number.
    ///
    /// # Errors
    /// [`ManifestError::Large`], and [`ManifestError::Malformed`] for a mode or time out of range; the list is as before then.
    pub fn file(&mut self, name: Name<'_>, meta: Meta, size: u64) -> Result<usize, ManifestError> {
        check(meta)?;
        self.row(name, meta, size, FILE_BYTES)?;
        self.list.bytes += size;
        Ok(self.list.files.len() - 1)
    }

    /// Adds a stream, which must be the only entry.
    ///
    /// # Errors
    /// [`ManifestError::Malformed`] for a mode out of range.
    pub fn stream(&mut self, name: Name<'_>, mode: u16) -> Result<(), ManifestError> {
        let meta = Meta { mode, ..Meta::default() };
        check(meta)?;
        self.row(name, meta, STREAM_SIZE, STREAM_ENTRY_BYTES)?;
        self.list.stream = true;
        Ok(())
    }

    fn row(&mut self, name: Name<'_>, meta: Meta, size: u64, entry: usize) -> Result<(), ManifestError> {
        let span = self.list.span.checked_add(size).and_then(|span| span.checked_add(END_WEIGHT));
        let span = span.filter(|span| *span <= SPAN).ok_or(ManifestError::Large)?;
        self.grow(entry, name)?;
        let row = FileRow {
            offset: self.list.span,
            size,
            meta,
            name: store(&mut self.list.names, name),
            folder: self.open.last().map(|(index, _)| *index),
        };
        self.list.files.push(row);
        self.list.span = span;
        Ok(())
    }

    /// Opens a folder in the folder that is open; gives its number.
    ///
    /// # Errors
    /// [`ManifestError::Deep`], [`ManifestError::Large`], and [`ManifestError::Malformed`] for a mode or time out of range; the list
    /// is as before then.
    pub fn enter(&mut self, name: Name<'_>, meta: Meta) -> Result<usize, ManifestError> {
        check(meta)?;
        if self.open.len() >= DEPTH {
            return Err(ManifestError::Deep);
        }
        let path = self.grow(ENTER_BYTES + LEAVE_BYTES, name)?;
        let row = FolderRow {
            meta,
            name: store(&mut self.list.names, name),
            parent: self.open.last().map(|(index, _)| *index),
            files_before: narrow(self.list.files.len()),
        };
        self.open.push((narrow(self.list.folders.len()), path));
        self.list.folders.push(row);
        Ok(self.list.folders.len() - 1)
    }

    pub fn is_empty(&self) -> bool {
        self.list.files.is_empty() && self.list.folders.is_empty()
    }

    /// Says what is not sent, after all that is.
    ///
    /// # Errors
    /// [`ManifestError::Large`], [`ManifestError::Name`], and [`ManifestError::Malformed`] for a count that does not belong to the path.
    pub fn omit(&mut self, omitted: Omitted) -> Result<(), ManifestError> {
        for name in omitted.path.split('/').filter(|_| !omitted.path.is_empty()) {
            Name::new(name).map_err(|fault| ManifestError::Name(name.to_owned(), fault))?;
        }
        if !self.open.is_empty() || omitted.count == 0 || (!omitted.path.is_empty() && omitted.count != 1) {
            return Err(ManifestError::Malformed("what is left out is not told as it must be"));
        }
        if self.list.omitted.len() > OMITTED_NAMED {
            return Err(ManifestError::Large);
        }
        self.grow_by(OMITTED_BYTES + omitted.path.len(), omitted.path.len())?;
        self.list.omitted.push(omitted);
        Ok(())
    }

    /// Closes the innermost folder.
    ///
    /// # Errors
    /// When none is open.
    pub fn leave(&mut self) -> Result<(), ManifestError> {
        self.open.pop().map(drop).ok_or(ManifestError::Malformed("it leaves a folder that it did not enter"))
    }

    /// Ends the list.
    ///
    /// # Errors
    /// When it is empty, a folder is still open, a stream is not alone, or a name stands twice in a folder.
    pub fn finish(mut self) -> Result<Manifest, ManifestError> {
        if !self.open.is_empty() {
            return Err(ManifestError::Malformed("a folder is not closed"));
        }
        if self.is_empty() {
            return Err(ManifestError::Malformed("it has no entry"));
        }
        let entries = self.list.files.len() + self.list.folders.len() + self.list.omitted.len();
        if self.list.stream && entries > 1 {
            return Err(ManifestError::Malformed("a stream is not alone"));
        }
        self.list.encoded = u32::try_from(self.encoded).map_err(|_| ManifestError::Large)?;
        no_name_twice(&self.list)?;
        Ok(self.list)
    }

    /// Makes room for an entry; gives the bytes of its path.
    fn grow(&mut self, entry: usize, name: Name<'_>) -> Result<usize, ManifestError> {
        if !self.list.omitted.is_empty() {
            return Err(ManifestError::Malformed("an entry follows what is left out"));
        }
        let name = name.as_str().len();
        let path = self.open.last().map_or(name, |(_, folder)| folder + 1 + name);
        self.grow_by(entry + name, path)?;
        Ok(path)
    }

    fn grow_by(&mut self, encoded: usize, path: usize) -> Result<(), ManifestError> {
        let (encoded, paths) = (self.encoded + encoded, self.paths + path);
        if encoded > widen(LIST_BYTES) || paths > PATH_BYTES {
            return Err(ManifestError::Large);
        }
        (self.encoded, self.paths) = (encoded, paths);
        Ok(())
    }
}

fn check(meta: Meta) -> Result<(), ManifestError> {
    if meta.mode & !0o777 != 0 {
        return Err(ManifestError::Malformed("a mode has more than its nine bits"));
    }
    if meta.nanos >= 1_000_000_000 {
        return Err(ManifestError::Malformed("a time has more than 10^9 nanoseconds"));
    }
    Ok(())
}

/// Sorts instead of keeping a set for each folder: the memory is one row an entry, whatever the shape. The stable sort takes what is in
/// order already, as from a scan, in one pass.
fn no_name_twice(list: &Manifest) -> Result<(), ManifestError> {
    let files = list.files.iter().map(|row| (row.folder, list.name(row.name)));
    let folders = list.folders.iter().map(|row| (row.parent, list.name(row.name)));
    let mut all: Vec<_> = files.chain(folders).collect();
    all.sort();
    match all.windows(2).find(|pair| pair.first() == pair.last()).and_then(<[_]>::first) {
        None => Ok(()),
        Some((folder, name)) => Err(ManifestError::Twice(list.components(folder.map(widen), name).join("/"))),
    }
}
