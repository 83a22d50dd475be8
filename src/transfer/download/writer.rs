//! Writes the pieces of one download in the order of its list.
//!
//! Invariant: what stands before [`Writer::position`] is written, published or given up, and in the journal.

use super::{Broken, DownloadReport};
use crate::protocol::frame::{Digest, FileStatus, Position};
use crate::transfer::flow_control::Piece;
use crate::transfer::landing::{Landing, LandingError, Partial};
use crate::transfer::manifest::{Manifest, Step, Walk};
use crate::transfer::resume::{Journal, Open, Past};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IoSlice, Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// That a file over this is begun stands in the journal, so that a partial that is gone can be told from one that never was.
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
    },
    /// It could not be made; its data is let go.
    Failed(String),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Writer {
    list: Arc<Manifest>,
    landing: Landing,
    journal: Journal,
    /// Stands before the file that the next piece belongs to, or before the folders around it.
    walk: Walk,
    /// The folders of an earlier run that this one may meet again.
    folders: BTreeMap<usize, String>,
    /// The one of them that the earlier run may not have made.
    unproven: Option<usize>,
    current: Option<Current>,
    position: Position,
    first: Option<PathBuf>,
    files: u32,
    failed: u32,
    bytes: u64,
}

impl Writer {
    pub(super) fn new(list: Arc<Manifest>, landing: Landing, journal: Journal) -> Self {
        let position = list.data_start();
        Self {
            list,
            landing,
            journal,
            walk: Walk::default(),
            folders: BTreeMap::new(),
            unproven: None,
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
                    self.journal.whole(index);
                    match self.landing.publish(&partial, file.name, file.meta) {
                        Ok(path) => Ok(path),
                        Err(error) if error.ends_all().is_some() => {
                            self.current = Some(Current::Writing { partial, hasher, len: file.size });
                            return Err(error.into());
                        }
                        Err(error) => {
                            self.discard(partial);
                            Err(error.to_string())
                        }
                    }
                } else {
                    self.discard(partial);
                    Err("what arrived differs from what was sent".to_owned())
                }
            }
            (FileStatus::Whole, Some(Current::Failed(text))) => Err(text),
            (FileStatus::Whole, None) => return Err(unexpected()),
            (FileStatus::Changed | FileStatus::Unreadable, current) => {
                if let Some(Current::Writing { partial, .. }) = current {
                    self.discard(partial);
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

    /// What cannot be removed stays as a hidden file; the download itself has its answer already.
    fn discard(&self, partial: Partial) {
        let _ = self.landing.discard(partial);
    }

    /// Ends before all is there: what a later run can go on with stays.
    pub(super) fn leave(mut self) {
        let partial = match self.current.take() {
            Some(Current::Writing { partial, len, .. }) => Some((partial, len)),
            _ => None,
        };
        let has_data = partial.as_ref().is_some_and(|(_, len)| *len > 0);
        if self.journal.is_kept() && (has_data || self.journal.is_useful()) {
            return;
        }
        if let Some((partial, _)) = partial {
            self.discard(partial);
        }
        self.journal.finish();
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
            && (self.unproven != Some(index) || self.landing.is_fresh(&name))
            && self.landing.enter_again(&name, folder.meta).is_ok()
        {
            self.set_first(folder.parent.is_none(), &name);
            return Ok(());
        }
        let journal = &mut self.journal;
        match self.landing.enter(folder.name, folder.meta, |name| journal.folder(index, folder.parent, name)) {
            Ok(name) => {
                self.set_first(folder.parent.is_none(), &name);
                Ok(())
            }
            // The files in it fail, each for itself.
            Err(error) if error.ends_all().is_none() => {
                self.journal.no_folder(index);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The download is shown by the first name that it made at the top.
    fn set_first(&mut self, top: bool, name: &str) {
        if top {
            let path = self.landing.root_path().join(name);
            self.first.get_or_insert(path);
        }
    }

    /// Takes up what an earlier run left; the text says what of it does not hold, which is then begun anew.
    pub(super) fn take_up(&mut self, past: Past, cancelled: &AtomicBool) -> Result<(), String> {
        let Past { folders, next, failed, open, .. } = past;
        let (next, unnamed) = match open {
            Open::Name(index) => (index, true),
            _ => (next, false),
        };
        while self.walk.next_file() < next {
            self.walk.next(&self.list);
        }
        for &index in self.walk.open() {
            let entered = folders
                .get(&index)
                .zip(self.list.folder(index))
                .is_some_and(|(made, folder)| self.landing.enter_again(&made.name, folder.meta).is_ok());
            if !entered {
                self.begin_anew();
                return Err("the folder of an earlier download is gone; it starts anew".to_owned());
            }
        }
        if Walk::default().peek(&self.list) == Some(Step::Enter(0))
            && next > 0
            && let Some(made) = folders.get(&0)
        {
            self.set_first(true, &made.name);
        }
        self.folders = folders.into_iter().map(|(index, made)| (index, made.name)).collect();
        self.unproven = if let Open::Folder(index) = open { Some(index) } else { None };
        self.failed = u32::try_from(failed.len()).unwrap_or(u32::MAX);
        self.files = u32::try_from(next - failed.len()).unwrap_or(u32::MAX);
        let lost: u64 = failed.iter().filter_map(|index| self.list.file(*index)).map(|file| file.size).sum();
        self.position = self.list.file(next).map_or(self.list.end(), |file| file.start);
        self.bytes = self.list.progress(self.position).0 - lost;
        if unnamed {
            if self.take_up_partial(open, cancelled)? {
                return Ok(());
            }
            // It has its name; the run ended before it wrote another line.
            self.pass_published(next);
        }
        self.take_up_partial(open, cancelled).map(drop)
    }

    fn pass_published(&mut self, index: usize) {
        let Some((next, size)) = self.list.file(index).map(|file| (file.next(), file.size)) else { return };
        self.walk.next(&self.list);
        self.position = next;
        self.files += 1;
        self.bytes += size;
    }

    /// Takes up the partial of the next file; false when there is none. The text says why one that should be there is of no use.
    fn take_up_partial(&mut self, open: Open, cancelled: &AtomicBool) -> Result<bool, String> {
        if self.is_complete() {
            return Ok(false);
        }
        let index = self.reach_file().map_err(|broken| broken.text)?;
        let list = Arc::clone(&self.list);
        let Some(file) = list.file(index) else { return Ok(false) };
        let anew = |why: &str| format!("{}: {why}; it starts anew", list.path(index));
        let found = match self.landing.reopen(&self.journal.partial(index), file.name) {
            Ok(Some(partial)) if partial.is_linked() => {
                self.discard(partial);
                Ok(None)
            }
            found => found,
        };
        match (&found, open) {
            (Ok(None), Open::Partial) => return Err(anew("the partial is gone")),
            (Ok(None), _) => return Ok(false),
            (_, Open::Name(whole)) if whole == index => self.journal.again(index),
            _ => {}
        }
        let Ok(Some(partial)) = found else {
            self.journal.new_names();
            return Err(anew("the partial is gone"));
        };
        let spoiled = match hash(&partial.file, file.size, cancelled) {
            Ok(Some((hasher, len))) => {
                self.position = file.start + len;
                self.current = Some(Current::Writing { partial, hasher: Box::new(hasher), len });
                return Ok(true);
            }
            // The partial stays for a run that is not cancelled.
            Err(_) if cancelled.load(Ordering::Acquire) => return Ok(true),
            Ok(None) => anew("the partial is longer than the file"),
            Err(error) => anew(&crate::error_text::io_error_text(&error)),
        };
        self.discard(partial);
        self.journal.new_names();
        Err(spoiled)
    }

    fn begin_anew(&mut self) {
        self.journal.begin_anew();
        self.landing.leave_all();
        self.walk = Walk::default();
    }
}

/// Makes the partial of a file; one that cannot be made is let go, unless that ends all.
fn begin(landing: &Landing, journal: &mut Journal, list: &Manifest, index: usize) -> Result<Current, Broken> {
    let Some(file) = list.file(index) else { return Err(unexpected()) };
    if file.size > LARGE {
        journal.begun(index);
    }
    match landing.create(journal.partial(index), file.name, file.meta) {
        Ok(partial) => Ok(Current::Writing { partial, hasher: Box::default(), len: 0 }),
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
    Broken { reason: crate::protocol::frame::Reason::Io, text: "data that belongs to no file".to_owned() }
}
