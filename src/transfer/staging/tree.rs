//! Putting files into `tree/`, in the order of the list.

use super::fs::{Problem, create_file, create_folder, move_exclusive, open_folder, set_meta, system_time};
use super::local_name::{local_name, make_under};
use super::results::Line;
use super::{Staging, part_name, remove_any};
use crate::protocol::frame::Digest;
use crate::transfer::manifest::{ListEntry, Meta, Step};
use cap_std::fs::Dir;
use std::fs::File;
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// A chunk of zeros of at least this size is not written: the file gets a hole.
const HOLE: [u8; 4_096] = [0; 4_096];
/// What the owner may do with a file until it is whole.
const LENT: u16 = 0o600;

impl Staging {
    /// Enters and leaves folders up to the next file or the end; gives the number of that file.
    pub(super) fn reach_file(&mut self) -> Result<usize, Problem> {
        while let Some(step) = self.walk.peek(&self.manifest)
            && !matches!(step, Step::File(_))
        {
            self.step(step)?;
        }
        Ok(self.walk.next_file())
    }

    fn step(&mut self, step: Step) -> Result<(), Problem> {
        if let Step::Enter(index) = step {
            match self.make_folder(index) {
                Ok(()) => {}
                // The files in it fail, each for itself.
                Err(problem) if problem.is_of_one_file() => {
                    self.failed.insert(ListEntry::Folder(index));
                    self.claim.results.add(&Line::NoFolder { index });
                    self.levels.push(None);
                }
                Err(problem) => return Err(problem),
            }
        } else {
            self.levels.pop();
        }
        self.walk.next(&self.manifest);
        Ok(())
    }

    fn make_folder(&mut self, index: usize) -> Result<(), Problem> {
        let Some(folder) = self.manifest.folder(index) else { return Ok(()) };
        let default = self.name(ListEntry::Folder(index));
        let path = self.shown(folder.parent, folder.name);
        let Some(above) = self.dir() else { return Err(Problem::at(path)(no_folder())) };
        let make = |name: &str| create_folder(above, name, folder.meta.mode);
        let made = make_under(&default, true, make, |name| above.symlink_metadata(name).is_ok());
        let ((), name) = made.map_err(Problem::at(&path))?;
        let dir = open_folder(above, &name).map_err(Problem::at(path))?;
        let name = self.rename(ListEntry::Folder(index), name);
        self.claim.results.add(&Line::Folder { index, name });
        self.levels.push(Some(dir));
        Ok(())
    }

    /// The path that an entry is to have, as far as it is known.
    fn shown(&self, folder: Option<usize>, name: &str) -> PathBuf {
        let mut path = self.dest_path.clone();
        let components = self.manifest.components(folder, name);
        path.extend(components.iter().enumerate().map(|(depth, name)| local_name(name, depth == 0)));
        path
    }

    /// What the file system said about the file that comes next, with the path that it is to have.
    pub(crate) fn at_next(&self, error: io::Error) -> Problem {
        let path = self.manifest.file(self.walk.next_file()).map(|file| self.shown(file.folder, file.name));
        Problem::at(path.unwrap_or_default())(error)
    }

    /// An entry was made under this name; gives it back if it is another than it would have by default.
    fn rename(&mut self, entry: ListEntry, name: String) -> Option<String> {
        let renamed = Some(name).filter(|name| *name != self.name(entry));
        self.names.extend(renamed.clone().map(|name| (entry, name)));
        renamed
    }

    /// Makes the next file under its local name, or a free one like it; gives what was made, and its name.
    fn make_next<T>(&self, make: impl Fn(&Dir, &str) -> io::Result<T>) -> Result<(T, String), Problem> {
        let dir = self.dir().ok_or_else(|| self.at_next(no_folder()))?;
        let name = self.name(ListEntry::File(self.walk.next_file()));
        let made = make_under(&name, false, |name| make(dir, name), |name| dir.symlink_metadata(name).is_ok());
        made.map_err(|error| self.at_next(error))
    }

    /// Puts a whole file into the tree, its digest checked before.
    pub(in crate::transfer) fn put(&mut self, data: &[&[u8]], digest: &Digest) -> Result<(), Problem> {
        let index = self.reach_file()?;
        let meta = self.meta(index);
        let (made, name) = self.make_next(|dir, name| create_file(dir, name, meta.mode))?;
        let written = write_with_holes(&made, data).and_then(|()| {
            if data.last().is_some_and(|last| is_hole(last)) {
                made.set_len(data.iter().map(|data| len_of(data)).sum())?;
            }
            self.finish_file(&made, meta)
        });
        if let Err(error) = written {
            let _ = self.dir().map(|dir| dir.remove_file(&name));
            return Err(self.at_next(error));
        }
        self.finished(index, digest, name);
        Ok(())
    }

    /// Makes the part of the next file.
    pub(in crate::transfer) fn make_part(&mut self) -> Result<File, Problem> {
        let index = self.reach_file()?;
        if self.dir().is_none() {
            return Err(self.at_next(no_folder()));
        }
        let part = create_file(self.claim.dir(), &part_name(index), self.meta(index).mode);
        part.map_err(|error| self.at_next(error))
    }

    /// Moves the part of the next file into the tree; it has all its bytes, and the right digest.
    pub(in crate::transfer) fn adopt(&mut self, part: &File, digest: &Digest) -> Result<(), Problem> {
        let index = self.reach_file()?;
        self.finish_file(part, self.meta(index)).map_err(|error| self.at_next(error))?;
        let (from, staging) = (part_name(index), self.claim.dir());
        let ((), name) = self.make_next(|dir, name| move_exclusive(staging, &from, dir, name, false))?;
        self.finished(index, digest, name);
        Ok(())
    }

    fn meta(&self, index: usize) -> Meta {
        self.manifest.file(index).map(|file| file.meta).unwrap_or_default()
    }

    fn finish_file(&self, file: &File, meta: Meta) -> io::Result<()> {
        // A stream has no time but that of its arrival.
        let time = system_time(meta).filter(|_| !self.manifest.is_stream());
        set_meta(file, time, meta.mode, LENT);
        if self.fsync { file.sync_all() } else { Ok(()) }
    }

    fn finished(&mut self, index: usize, digest: &Digest, name: String) {
        let name = self.rename(ListEntry::File(index), name);
        self.claim.results.add(&Line::File { index, digest: *digest, name });
        self.walk.next(&self.manifest);
    }

    /// The next file cannot be received, for the reason in `text`; its part goes.
    pub(crate) fn fail(&mut self, text: &str) -> Result<(), Problem> {
        let index = self.reach_file()?;
        // There may be none, and one that cannot be removed goes with the folder.
        let _ = remove_any(self.claim.dir(), &part_name(index));
        self.claim.results.add(&Line::Failed { index, text: text.to_owned() });
        self.failed.insert(ListEntry::File(index));
        self.walk.next(&self.manifest);
        Ok(())
    }

    /// Writes the lines of what was finished.
    pub(crate) fn flush(&mut self) -> Result<(), Problem> {
        let path = self.path();
        self.claim.results.flush(false).map_err(Problem::at(path))
    }
}

fn no_folder() -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, "its folder could not be made")
}

/// Writes chunks with one call where none is all zeros; what is gets a hole, also at the end, where the length is not set.
pub(in crate::transfer) fn write_with_holes(mut file: &File, chunks: &[&[u8]]) -> io::Result<()> {
    for run in chunks.chunk_by(|a, b| is_hole(a) == is_hole(b)) {
        if run.first().is_some_and(|first| is_hole(first)) {
            let len: u64 = run.iter().map(|data| len_of(data)).sum();
            file.seek(SeekFrom::Current(i64::try_from(len).unwrap_or(i64::MAX)))?;
        } else {
            let mut slices: Vec<_> = run.iter().map(|data| IoSlice::new(data)).collect();
            write_all(file, &mut slices)?;
        }
    }
    Ok(())
}

fn is_hole(data: &[u8]) -> bool {
    data.len() >= HOLE.len() && data.chunks(HOLE.len()).all(|chunk| HOLE.starts_with(chunk))
}

pub(in crate::transfer) fn len_of(data: &[u8]) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}

fn write_all(mut file: &File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
