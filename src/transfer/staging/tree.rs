//! Putting files into `tree/`, in the order of the list.

use super::fs::{Problem, create_file, create_folder, move_exclusive, open_folder, set_meta};
use super::local_name::{local_name, make_under};
use super::results::Line;
use super::{Level, Staging, part_name, remove_any};
use crate::protocol::frame::Digest;
use crate::transfer::manifest::{self, Step};
use std::fs::File;
use std::io::{self, IoSlice, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// A chunk of zeros of at least this size is not written: the file gets a hole.
const HOLE: usize = 4_096;
/// What the owner may do with a file until it is whole.
const LENT: u16 = 0o600;

impl Staging {
    /// Enters and leaves folders up to the next file.
    fn reach_file(&mut self) -> Result<(), Problem> {
        while let Some(step) = self.walk.peek(&self.manifest)
            && !matches!(step, Step::File(_))
        {
            self.step(step)?;
        }
        Ok(())
    }

    /// Makes the folders that no file comes after.
    pub(super) fn reach_end(&mut self) -> Result<(), Problem> {
        self.reach_file()
    }

    fn step(&mut self, step: Step) -> Result<(), Problem> {
        if let Step::Enter(index) = step {
            match self.make_folder(index) {
                Ok(()) => {}
                // The files in it fail, each for itself.
                Err(problem) if problem.is_of_one_file() => {
                    self.failed_folders.insert(index);
                    self.results.add(&Line::NoFolder { index });
                    self.levels.push(Level { dir: None });
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
        let default = local_name(folder.name, folder.parent.is_none());
        let path = self.shown(folder.parent, folder.name);
        let Some(above) = self.dir() else { return Err(no_folder(path)) };
        let make = |name: &str| create_folder(above, name, folder.meta.mode);
        let made = make_under(&default, true, make, |name| above.symlink_metadata(name).is_ok());
        let ((), name) = made.map_err(Problem::at(&path))?;
        let dir = open_folder(above, &name).map_err(Problem::at(path))?;
        let renamed = Some(name).filter(|name| *name != default);
        self.results.add(&Line::Folder { index, name: renamed.as_deref() });
        renamed.map(|name| self.folder_names.insert(index, name));
        self.levels.push(Level { dir: Some(dir) });
        Ok(())
    }

    /// The path that an entry is to have, as far as it is known.
    pub(super) fn shown(&self, folder: Option<usize>, name: &str) -> PathBuf {
        let mut path = self.dest_path.clone();
        let components = self.manifest.components(folder, name);
        path.extend(components.iter().enumerate().map(|(depth, name)| local_name(name, depth == 0).into_owned()));
        path
    }

    /// The path that file `index` is to have.
    pub(crate) fn path_of(&self, index: usize) -> PathBuf {
        self.manifest.file(index).map_or_else(PathBuf::new, |file| self.shown(file.folder, file.name))
    }

    fn next(&mut self) -> Result<usize, Problem> {
        self.reach_file()?;
        Ok(self.walk.next_file())
    }

    /// Puts a whole file into the tree, its digest checked before.
    pub(in crate::transfer) fn put(&mut self, data: &[&[u8]], digest: &Digest) -> Result<(), Problem> {
        let index = self.next()?;
        let (path, Some(file)) = (self.path_of(index), self.manifest.file(index)) else { return Ok(()) };
        let default = local_name(file.name, file.folder.is_none());
        let Some(dir) = self.dir() else { return Err(no_folder(path)) };
        let make = |name: &str| create_file(dir, name, file.meta.mode);
        let made = make_under(&default, false, make, |name| dir.symlink_metadata(name).is_ok());
        let (made, name) = made.map_err(Problem::at(&path))?;
        let written = write_with_holes(&made, data).and_then(|()| {
            if data.last().is_some_and(|last| is_hole(last)) {
                made.set_len(data.iter().map(|data| len_of(data)).sum())?;
            }
            self.finish_file(&made, file.meta)
        });
        if let Err(error) = written {
            let _ = dir.remove_file(&name);
            return Err(Problem::at(path)(error));
        }
        let renamed = Some(name).filter(|name| *name != default);
        self.finished(index, digest, renamed);
        Ok(())
    }

    /// Makes the part of the next file.
    pub(in crate::transfer) fn make_part(&mut self) -> Result<File, Problem> {
        let index = self.next()?;
        let path = self.path_of(index);
        if self.dir().is_none() {
            return Err(no_folder(path));
        }
        let mode = self.manifest.file(index).map_or(LENT, |file| file.meta.mode);
        create_file(self.claim.dir(), &part_name(index), mode).map_err(Problem::at(path))
    }

    /// Moves the part of the next file into the tree; it has all its bytes, and the right digest.
    pub(in crate::transfer) fn adopt(&mut self, part: &File, digest: &Digest) -> Result<(), Problem> {
        let index = self.next()?;
        let (path, Some(file)) = (self.path_of(index), self.manifest.file(index)) else { return Ok(()) };
        let default = local_name(file.name, file.folder.is_none());
        let Some(dir) = self.dir() else { return Err(no_folder(path)) };
        self.finish_file(part, file.meta).map_err(Problem::at(&path))?;
        let (from, staging) = (part_name(index), self.claim.dir());
        let make = |name: &str| move_exclusive(staging, &from, dir, name, false);
        let moved = make_under(&default, false, make, |name| dir.symlink_metadata(name).is_ok());
        let ((), name) = moved.map_err(Problem::at(path))?;
        let renamed = Some(name).filter(|name| *name != default);
        self.finished(index, digest, renamed);
        Ok(())
    }

    fn finish_file(&self, file: &File, meta: manifest::Meta) -> io::Result<()> {
        set_meta(file, meta, LENT);
        if self.fsync { file.sync_all() } else { Ok(()) }
    }

    fn finished(&mut self, index: usize, digest: &Digest, renamed: Option<String>) {
        self.results.add(&Line::File { index, digest: *digest, name: renamed.as_deref() });
        renamed.map(|name| self.file_names.insert(index, name));
        self.walk.next(&self.manifest);
    }

    /// The next file cannot be received, for the reason in `text`; its part goes.
    pub(crate) fn fail(&mut self, text: &str) -> Result<(), Problem> {
        let index = self.next()?;
        // There may be none, and one that cannot be removed goes with the folder.
        let _ = remove_any(self.claim.dir(), &part_name(index));
        self.results.add(&Line::Failed { index, text });
        self.failed.insert(index);
        self.walk.next(&self.manifest);
        Ok(())
    }

    /// Writes the lines of what was finished.
    pub(crate) fn flush(&mut self) -> Result<(), Problem> {
        let path = self.path();
        self.results.flush(false).map_err(Problem::at(path))
    }
}

fn no_folder(path: PathBuf) -> Problem {
    Problem::at(path)(io::Error::new(io::ErrorKind::AlreadyExists, "its folder could not be made"))
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
    // Most data shows at its first bytes that it is none.
    data.len() >= HOLE && data.chunks(64).all(|chunk| chunk.iter().all(|byte| *byte == 0))
}

fn len_of(data: &[u8]) -> u64 {
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
