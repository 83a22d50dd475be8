//! Writes the pieces of one download in the order of its list.
//!
//! Invariant: what stands before [`Writer::position`] is written, published or given up, and in the journal.

use super::{Broken, DownloadReport};
use crate::frame::{Digest, FileStatus, Position};
use crate::transfer::landing::{Landing, LandingError, Partial};
use crate::transfer::list::{List, Step, Walk};
use crate::transfer::resume::{Journal, Past};
use crate::transfer::window::Piece;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A file over this is written down in the journal as soon as it is begun; a smaller one only if it outlasts its batch.
const LARGE: u64 = 1 << 20;
/// Bytes read at a time to hash what an earlier run left.
const HASH_READ: usize = 256 * 1024;

/// The file that pieces go to.
#[derive(Debug)]
enum Current {
    Writing {
        partial: Partial,
        hasher: Box<blake3::Hasher>,
        len: u64,
        written_down: bool,
    },
    /// It could not be made; its data is let go.
    Failed(String),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Writer {
    list: Arc<List>,
    landing: Landing,
    journal: Journal,
    /// Stands before the file that the next piece belongs to, or before the folders around it.
    walk: Walk,
    /// The folders of an earlier run that this one may meet again.
    folders: BTreeMap<usize, String>,
    current: Option<Current>,
    position: Position,
    first: Option<PathBuf>,
    files: u32,
    failed: u32,
    bytes: u64,
}

impl Writer {
    pub(super) fn new(list: Arc<List>, landing: Landing, journal: Journal) -> Self {
        let position = list.data_start();
        Self {
            list,
            landing,
            journal,
            walk: Walk::default(),
            folders: BTreeMap::new(),
            current: None,
            position,
            first: None,
            files: 0,
            failed: 0,
            bytes: 0,
        }
    }

    /// Up to here everything is with the file system.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn is_complete(&self) -> bool {
        self.walk.next_file() == self.list.file_count()
    }

    /// What ACCEPT says: where the data shall begin, and the digest of what is there of that file.
    pub(super) fn begins_at(&self) -> (Position, Digest) {
        match &self.current {
            Some(Current::Writing { hasher, len: 1.., .. }) => (self.position, *hasher.finalize().as_bytes()),
            _ => (self.position, [0; 32]),
        }
    }

    /// Writes data of one file, in order.
    pub(super) fn write(&mut self, chunks: &[Piece]) -> Result<(), Broken> {
        let mut slices: Vec<_> = chunks.iter().filter_map(data).map(|(_, data)| IoSlice::new(data)).collect();
        let Some((position, _)) = chunks.iter().find_map(data) else { return Ok(()) };
        let index = self.reach_file()?;
        self.position = position + slices.iter().map(|slice| len_of(slice)).sum::<u64>();
        let Some(file) = self.list.file(index) else { return Ok(()) };
        let current = match &mut self.current {
            Some(current) => current,
            empty => empty.insert(begin(&self.landing, &mut self.journal, &self.list, index)?),
        };
        let Current::Writing { partial, hasher, len, .. } = current else { return Ok(()) };
        if position == file.start && *len > 0 {
            // The sender's bytes are others than those an earlier run left.
            partial
                .file
                .set_len(0)
                .and_then(|()| partial.file.rewind())
                .map_err(LandingError::at(self.landing.path_of(file.name)))?;
            hasher.reset();
            *len = 0;
        }
        for slice in &slices {
            hasher.update(slice);
            *len += len_of(slice);
        }
        write_all(&partial.file, &mut slices).map_err(LandingError::at(self.landing.path_of(file.name)))?;
        Ok(())
    }

    /// Ends a file: it gets its name if it is whole.
    pub(super) fn end(&mut self, status: FileStatus, digest: &Digest) -> Result<DownloadReport, Broken> {
        let index = self.reach_file()?;
        let list = Arc::clone(&self.list);
        let Some(file) = list.file(index) else { return Err(unexpected()) };
        let current = match self.current.take() {
            None if status == FileStatus::Whole => Some(begin(&self.landing, &mut self.journal, &list, index)?),
            current => current,
        };
        let outcome = match (status, current) {
            (FileStatus::Whole, Some(Current::Writing { partial, hasher, .. })) => {
                if hasher.finalize() == blake3::Hash::from(*digest) {
                    match self.landing.publish(&partial, file.name, file.meta) {
                        Ok(path) => Ok(path),
                        Err(error) if error.ends_all().is_some() => {
                            self.current =
                                Some(Current::Writing { partial, hasher, len: file.size, written_down: false });
                            self.write_down_partial();
                            return Err(error.into());
                        }
                        Err(error) => {
                            self.landing.discard(partial);
                            Err(error.to_string())
                        }
                    }
                } else {
                    self.landing.discard(partial);
                    Err("what arrived differs from what was sent".to_owned())
                }
            }
            (FileStatus::Whole, Some(Current::Failed(text))) => Err(text),
            (FileStatus::Whole, None) => return Err(unexpected()),
            (FileStatus::Changed | FileStatus::Unreadable, current) => {
                if let Some(Current::Writing { partial, .. }) = current {
                    self.landing.discard(partial);
                }
                Err(match status {
                    FileStatus::Unreadable => "the peer could not read it".to_owned(),
                    _ => "it changed while the peer read it".to_owned(),
                })
            }
        };
        self.walk.next(&list);
        self.position = file.next();
        Ok(match outcome {
            Ok(path) => {
                self.journal.done(index);
                self.files += 1;
                self.bytes += file.size;
                if file.folder.is_none() {
                    self.first.get_or_insert_with(|| path.clone());
                }
                DownloadReport::File { path, bytes: file.size, digest: *digest }
            }
            Err(text) => {
                self.journal.failed(index);
                self.failed += 1;
                DownloadReport::FileFailed { path: self.landing.path_of(file.name), text }
            }
        })
    }

    /// Writes down where the data of the present file is, so that a later run finds it.
    pub(super) fn write_down_partial(&mut self) {
        if let Some(Current::Writing { partial, written_down: written_down @ false, .. }) = &mut self.current {
            self.journal.partial(self.walk.next_file(), &partial.name);
            *written_down = true;
        }
    }

    /// All data is there: what is left of the folders, and the end.
    pub(super) fn finish(mut self) -> Result<DownloadReport, Broken> {
        while let Some(step) = self.walk.peek(&self.list) {
            self.step(step)?;
        }
        self.landing.finish()?;
        self.journal.finish();
        let path = self.first.unwrap_or_else(|| self.landing.path_of(self.list.first_name()));
        Ok(DownloadReport::Finished { path, files: self.files, failed: self.failed, bytes: self.bytes })
    }

    /// Enters and leaves folders up to the next file, and gives its number.
    fn reach_file(&mut self) -> Result<usize, Broken> {
        loop {
            match self.walk.peek(&self.list) {
                Some(Step::File(index)) => return Ok(index),
                Some(step) => self.step(step)?,
                // The window lets no piece pass after the last file.
                None => return Err(unexpected()),
            }
        }
    }

    /// Takes a step that is no file.
    fn step(&mut self, step: Step) -> Result<(), Broken> {
        self.walk.next(&self.list);
        match step {
            Step::Leave(_) => self.landing.leave()?,
            Step::Enter(index) => self.enter(index)?,
            Step::File(_) => {}
        }
        Ok(())
    }

    fn enter(&mut self, index: usize) -> Result<(), Broken> {
        let Some(folder) = self.list.folder(index) else { return Ok(()) };
        if let Some(name) = self.folders.remove(&index)
            && self.landing.enter_again(&name, folder.meta).is_ok()
        {
            return Ok(());
        }
        let top = folder.parent.is_none().then(|| self.landing.path_of(folder.name));
        match self.landing.enter(folder.name, folder.meta) {
            Ok(name) => {
                self.journal.folder(index, &name);
                if let Some(top) = top {
                    self.first.get_or_insert_with(|| top.with_file_name(name));
                }
                Ok(())
            }
            // The files in it fail, each for itself.
            Err(error) if error.ends_all().is_none() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes up what an earlier run left; the text says what of it does not hold, which is then begun anew.
    pub(super) fn take_up(&mut self, past: Past, cancelled: &AtomicBool) -> Result<(), String> {
        let Past { folders, next, failed, partial } = past;
        while self.walk.next_file() < next {
            self.walk.next(&self.list);
        }
        for &index in self.walk.open() {
            let entered = folders
                .get(&index)
                .zip(self.list.folder(index))
                .is_some_and(|(name, folder)| self.landing.enter_again(name, folder.meta).is_ok());
            if !entered {
                self.begin_anew();
                return Err("the folder of an earlier download is gone; it starts anew".to_owned());
            }
        }
        if Walk::default().peek(&self.list) == Some(Step::Enter(0)) {
            self.first = folders.get(&0).map(|name| self.landing.root_path().join(name));
        }
        self.folders = folders;
        self.failed = u32::try_from(failed.len()).unwrap_or(u32::MAX);
        self.files = u32::try_from(next - failed.len()).unwrap_or(u32::MAX);
        let lost: u64 = failed.iter().filter_map(|index| self.list.file(*index)).map(|file| file.size).sum();
        self.position = self.list.file(next).map_or(self.list.end(), |file| file.start);
        self.bytes = self.list.progress(self.position).0 - lost;
        match partial {
            Some(partial) => self.take_up_partial(&partial, cancelled),
            None => Ok(()),
        }
    }

    fn take_up_partial(&mut self, partial: &str, cancelled: &AtomicBool) -> Result<(), String> {
        let index = self.reach_file().map_err(|broken| broken.text)?;
        let list = Arc::clone(&self.list);
        let Some(file) = list.file(index) else { return Ok(()) };
        let anew = |why: &str| format!("{}: {why}; it starts anew", list.path(index));
        let partial = self.landing.reopen(partial, file.name).map_err(|_| anew("the partial is gone"))?;
        match hash(&partial.file, file.size, cancelled) {
            Ok(Some((hasher, len))) => {
                self.position = file.start + len;
                self.current = Some(Current::Writing { partial, hasher: Box::new(hasher), len, written_down: true });
                Ok(())
            }
            Ok(None) => {
                self.landing.discard(partial);
                Err(anew("the partial is longer than the file"))
            }
            Err(error) => Err(anew(&crate::transfer::why(&error))),
        }
    }

    fn begin_anew(&mut self) {
        self.journal.begin_anew();
        self.landing.leave_all();
        self.walk = Walk::default();
    }
}

/// Makes the partial of a file; one that cannot be made is let go, unless that ends all.
fn begin(landing: &Landing, journal: &mut Journal, list: &List, index: usize) -> Result<Current, Broken> {
    let Some(file) = list.file(index) else { return Err(unexpected()) };
    match landing.create(file.name, file.meta) {
        Ok(partial) => {
            let large = file.size > LARGE;
            if large {
                journal.partial(index, &partial.name);
            }
            Ok(Current::Writing { partial, hasher: Box::default(), len: 0, written_down: large })
        }
        Err(error) if error.ends_all().is_none() => Ok(Current::Failed(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Hashes all of a partial, and leaves the file at its end; none when it is longer than `most`.
fn hash(mut file: &File, most: u64, cancelled: &AtomicBool) -> io::Result<Option<(blake3::Hasher, u64)>> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; HASH_READ];
    let mut len = 0;
    loop {
        if cancelled.load(Ordering::Acquire) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok(Some((hasher, len))),
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(read);
        len += len_of(read);
        if len > most {
            return Ok(None);
        }
    }
}

fn write_all(mut file: &File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
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

fn data(piece: &Piece) -> Option<(Position, &[u8])> {
    match piece {
        Piece::Chunk { position, record } => Some((*position, record.chunk_data())),
        _ => None,
    }
}

fn len_of(data: &[u8]) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}

/// The window checks all that comes; should a piece pass it that belongs nowhere, the transfer ends rather than guess.
fn unexpected() -> Broken {
    Broken { reason: crate::frame::Reason::Io, text: "data that belongs to no file".to_owned() }
}
