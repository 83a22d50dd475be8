//! The only maker of lists: every rule about their shape and size is checked here.

use super::{DEPTH, FileRow, FolderRow, Manifest, ManifestError, Meta, POSITIONS, list_limit, narrow, store, widen};
use crate::protocol::frame::{END_WEIGHT as FILE_END_WEIGHT, Position};
use crate::transfer::file_name::Name;

/// Encoded bytes of an ENTER, apart from its name: kind, mode, seconds, nanoseconds, length of the name.
pub(super) const ENTER_BYTES: usize = 1 + 2 + 8 + 4 + 1;
/// Encoded bytes of a FILE, apart from its name: those of an ENTER and the size.
pub(super) const FILE_BYTES: usize = ENTER_BYTES + 8;
/// Encoded bytes of a LEAVE.
pub(super) const LEAVE_BYTES: usize = 1;

/// Takes entries in order, depth first.
#[derive(Debug)]
pub struct Builder {
    list: Manifest,
    open: Vec<u32>,
    /// Encoded bytes so far, the LEAVEs of the open folders included.
    encoded: usize,
}

impl Default for Builder {
    fn default() -> Self {
        let list =
            Manifest { names: String::new(), files: Vec::new(), folders: Vec::new(), encoded: 0, span: 0, bytes: 0 };
        Self { list, open: Vec::new(), encoded: 0 }
    }
}

impl Builder {
    /// Adds a file to the folder that is open.
    ///
    /// # Errors
    /// [`ManifestError::Large`], and [`ManifestError::Malformed`] for a mode or time out of range; the list is as before then.
    pub fn file(&mut self, name: Name<'_>, meta: Meta, size: u64) -> Result<(), ManifestError> {
        check(meta)?;
        let encoded = self.grown(FILE_BYTES + name.as_str().len())?;
        let span = self.list.span.checked_add(size).and_then(|span| span.checked_add(FILE_END_WEIGHT));
        // The list itself may still grow up to its limit, and lies before all data.
        let room = POSITIONS - 1 - Position::from(crate::protocol::frame::LIST_BYTES);
        let span = span.filter(|span| *span <= room).ok_or(ManifestError::Large)?;
        let row = FileRow {
            offset: self.list.span,
            size,
            meta,
            name: store(&mut self.list.names, name)?,
            folder: self.open.last().copied(),
        };
        self.list.files.push(row);
        self.list.span = span;
        self.list.bytes += size;
        self.encoded = encoded;
        Ok(())
    }

    /// Opens a folder in the folder that is open.
    ///
    /// # Errors
    /// [`ManifestError::Deep`], [`ManifestError::Large`], and [`ManifestError::Malformed`] for a mode or time out of range; the list
    /// is as before then.
    pub fn enter(&mut self, name: Name<'_>, meta: Meta) -> Result<(), ManifestError> {
        check(meta)?;
        if self.open.len() >= DEPTH {
            return Err(ManifestError::Deep);
        }
        let encoded = self.grown(ENTER_BYTES + LEAVE_BYTES + name.as_str().len())?;
        let row = FolderRow {
            meta,
            name: store(&mut self.list.names, name)?,
            parent: self.open.last().copied(),
            files_before: narrow(self.list.files.len()),
        };
        self.open.push(narrow(self.list.folders.len()));
        self.list.folders.push(row);
        self.encoded = encoded;
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
    /// When it is empty, a folder is still open, or a name stands twice in a folder.
    pub fn finish(mut self) -> Result<Manifest, ManifestError> {
        if !self.open.is_empty() {
            return Err(ManifestError::Malformed("a folder is not closed"));
        }
        if self.list.files.is_empty() && self.list.folders.is_empty() {
            return Err(ManifestError::Malformed("it has no entry"));
        }
        self.list.encoded = u32::try_from(self.encoded).map_err(|_| ManifestError::Large)?;
        no_name_twice(&self.list)?;
        Ok(self.list)
    }

    fn grown(&self, by: usize) -> Result<usize, ManifestError> {
        Some(self.encoded + by).filter(|encoded| *encoded <= list_limit()).ok_or(ManifestError::Large)
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

/// Sorts instead of keeping a set for each folder: the memory is one row an entry, whatever the shape.
fn no_name_twice(list: &Manifest) -> Result<(), ManifestError> {
    let files = list.files.iter().map(|row| (row.folder, list.name(row.name)));
    let folders = list.folders.iter().map(|row| (row.parent, list.name(row.name)));
    let mut all: Vec<_> = files.chain(folders).collect();
    all.sort_unstable();
    match all.windows(2).find(|pair| pair.first() == pair.last()).and_then(<[_]>::first) {
        None => Ok(()),
        Some((folder, name)) => Err(ManifestError::Twice(list.components(folder.map(widen), name).join("/"))),
    }
}
