//! What a crash leaves, and how it is taken up again: a journal of each download that runs.
//!
//! EventLoop of the journals. They stand in the state directory, under names made from the peer's fingerprint, the list's
//! digest and the folder, so that the same offer of the same peer into the same folder finds its own, and no name of the
//! peer's gets there. Only this user writes them, but they are read with distrust all the same: what does not fit makes
//! the download start anew, and a partial is used only if the sender finds its digest right.
//!
//! A journal is text ([`text`]). Its lines are appended as things events_in, so that a process that is killed loses nothing of
//! it. It is locked while its download runs, and removed at the end; what stays is shown and removed by [`stale`].

pub mod stale;
mod text;

use super::landing::{Seed, partial_name};
use super::manifest::Manifest;
use crate::error_text::io_error_text;
use crate::protocol::frame::Digest;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use text::{Head, Line, head};

pub(super) use text::{Open, Past};

/// How the names of journals begin.
const PREFIX: &str = "download-";
/// The longest journal that is read: over that of a list with 300,000 files, and bounded in memory.
const JOURNAL_BYTES: u64 = 32 << 20;
/// How often a download that waits for a cancelled one to let go looks whether it is cancelled itself.
const LOOK: Duration = Duration::from_millis(20);

/// The state directory, and what of it this process has open.
#[derive(Debug)]
pub struct Journals {
    dir: PathBuf,
    /// Open journals, and whether their download is cancelled.
    held: Mutex<BTreeMap<PathBuf, Arc<AtomicBool>>>,
    freed: Condvar,
}

/// Which download it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    /// The peer's fingerprint.
    pub(super) peer: &'a str,
    /// The digest of the list.
    pub(super) digest: &'a Digest,
    /// The folder that receives, absolute.
    pub(super) into: &'a Path,
}

/// A download whose steps are written down. After an error of its own it stops and removes what it wrote, for a journal
/// with a gap would have files received twice.
#[derive(Debug)]
pub(super) struct Journal {
    /// None when there is nothing to write to; both or none are there, and the file goes first.
    file: Option<File>,
    place: Option<Place>,
    path: PathBuf,
    head: String,
    seed: Seed,
    /// Something is written that a later run may go on with.
    useful: bool,
}

impl Journals {
    /// In this directory, which is made when it is needed.
    pub fn new(dir: PathBuf) -> Arc<Self> {
        Arc::new(Self { dir, held: Mutex::default(), freed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Arc<AtomicBool>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a journal for this process; none when another of its downloads goes on with it. One that was cancelled is
    /// waited for: it lets go as soon as the disk lets it, and what it wrote is what the new one begins with.
    fn take(self: &Arc<Self>, path: &Path, cancelled: &Arc<AtomicBool>) -> Option<Place> {
        let mut held = self.lock();
        while let Some(other) = held.get(path) {
            if !other.load(Ordering::Acquire) || cancelled.load(Ordering::Acquire) {
                return None;
            }
            held = self.freed.wait_timeout(held, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        held.insert(path.to_owned(), Arc::clone(cancelled));
        Some(Place { journals: Arc::clone(self), path: path.to_owned() })
    }
}

/// A journal's place among those that this process has open.
#[derive(Debug)]
struct Place {
    journals: Arc<Journals>,
    path: PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.journals.lock().remove(&self.path);
        self.journals.freed.notify_all();
    }
}

impl Journal {
    /// Opens the journal of a download, with what an earlier run wrote there if that holds, and else a text that says why not.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub(super) fn open(
        journals: &Arc<Journals>,
        key: Key<'_>,
        list: &Manifest,
        cancelled: &Arc<AtomicBool>,
    ) -> io::Result<(Self, Result<Option<Past>, String>)> {
        let mut seed = Seed::default();
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let path = journals.dir.join(file_name(key));
        let mut journal = Self { file: None, place: None, path, head: String::new(), seed, useful: false };
        let Some(head) = head(&Head { peer: key.peer, into: key.into, first: list.first_name() }, key.digest) else {
            return Ok((journal, Ok(None)));
        };
        journal.head = head;
        journal.place = journals.take(&journal.path, cancelled);
        if journal.place.is_none() {
            return Ok((journal, Ok(None)));
        }
        let past = journal.read(&journals.dir, list);
        match &past {
            Ok(Some(past)) => (journal.seed, journal.useful) = (past.seed, true),
            _ => journal.begin_anew(),
        }
        if journal.file.is_none() {
            journal.place = None;
        }
        Ok((journal, past))
    }

    fn read(&mut self, dir: &Path, list: &Manifest) -> Result<Option<Past>, String> {
        let (file, text) = match open(dir, &self.path) {
            // Another process receives the same: this one does without.
            Ok(None) => return Ok(None),
            Ok(Some(opened)) => opened,
            Err(error) => {
                let (path, why) = (self.path.display(), io_error_text(&error));
                return Err(format!("{path}: {why}; after a crash this download starts anew"));
            }
        };
        self.file = Some(file);
        if text.is_empty() {
            return Ok(None);
        }
        let past = text.strip_prefix(&self.head).and_then(Past::read).filter(|past| past.fits(list));
        past.map(Some).ok_or_else(|| "what an earlier download left cannot be read; it starts anew".to_owned())
    }

    /// Forgets what an earlier run wrote.
    pub(super) fn begin_anew(&mut self) {
        let Some(file) = &self.file else { return };
        if file.set_len(0).is_err() {
            return self.give_up();
        }
        self.useful = false;
        let head = std::mem::take(&mut self.head);
        self.write(&head);
        self.head = head;
        self.new_names();
    }

    /// From here on partials have other names: one of an earlier run is in the way.
    pub(super) fn new_names(&mut self) {
        if let Some((seed, _)) = blake3::hash(&self.seed).as_bytes().split_first_chunk() {
            self.seed = *seed;
        }
        self.write(&Line::Seed(self.seed).text());
    }

    /// The name of the partial of a file.
    pub(super) fn partial(&self, index: usize) -> String {
        partial_name(&self.seed, index)
    }

    /// A folder is about to be made under this name.
    pub(super) fn folder(&mut self, index: usize, parent: Option<usize>, name: &str) {
        self.useful = true;
        self.write(&Line::Folder { index, parent, name }.text());
    }

    /// It was not made.
    pub(super) fn no_folder(&mut self, index: usize) {
        self.write(&Line::NoFolder(index).text());
    }

    /// The partial of a large file is about to be made.
    pub(super) fn begun(&mut self, index: usize) {
        self.write(&Line::Begun(index).text());
    }

    /// A file is whole and about to get its name.
    pub(super) fn whole(&mut self, index: usize) {
        self.useful = true;
        self.write(&Line::Whole(index).text());
    }

    /// It did not get it.
    pub(super) fn again(&mut self, index: usize) {
        self.write(&Line::Again(index).text());
    }

    /// A file failed, and no partial of it is left.
    pub(super) fn failed(&mut self, index: usize) {
        self.useful = true;
        self.write(&Line::Failed(index).text());
    }

    /// Whether a later run will find what this one leaves.
    pub(super) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Whether a later run would find anything but a partial.
    pub(super) fn is_useful(&self) -> bool {
        self.useful
    }

    /// Nothing is left to take up.
    pub(super) fn finish(mut self) {
        self.give_up();
    }

    fn write(&mut self, line: &str) {
        let written = self.file.as_mut().map(|file| file.write_all(line.as_bytes()));
        if let Some(Err(_)) = written {
            self.give_up();
        }
    }

    fn give_up(&mut self) {
        if let Some(file) = self.file.take() {
            // What cannot be removed is found not to hold when it is read. The lock goes with the file, after the name.
            let _ = fs::remove_file(&self.path);
            drop(file);
            self.place = None;
        }
    }
}

fn file_name(key: Key<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key.digest).update(key.peer.as_bytes()).update(b"\n").update(key.into.as_os_str().as_encoded_bytes());
    format!("{PREFIX}{}", hasher.finalize().to_hex().get(..32).unwrap_or_default())
}

/// Opens and locks a journal, made when missing, and reads it; none when another process holds it.
fn open(dir: &Path, path: &Path) -> io::Result<Option<(File, String)>> {
    fs::create_dir_all(dir)?;
    loop {
        let Some(file) = lock(path, true)? else { return Ok(None) };
        // Whoever held the lock before may have removed the file since it was opened here.
        if is_at(&file, path) {
            let text = read(&file)?;
            return Ok(Some((file, text)));
        }
    }
}

/// Opens and locks a journal; none when another process holds it.
fn lock(path: &Path, create: bool) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(create);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // It names the files of a person.
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    let file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn read(mut file: &File) -> io::Result<String> {
    let mut bytes = Vec::new();
    Read::take(&mut file, JOURNAL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let here = |(open, named): (fs::Metadata, fs::Metadata)| (open.dev(), open.ino()) == (named.dev(), named.ino());
    file.metadata().ok().zip(fs::symlink_metadata(path).ok()).is_some_and(here)
}

/// Where an open file cannot be removed.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::file_name::Name;
    use crate::transfer::manifest::{Builder, Meta};

    fn list() -> Manifest {
        let mut builder = Builder::default();
        for name in ["a", "b"] {
            builder.file(Name::new(name).unwrap(), Meta::default(), 1).unwrap();
        }
        builder.finish().unwrap()
    }

    fn open_by(
        journals: &Arc<Journals>,
        peer: &str,
        digest: u8,
        into: &str,
    ) -> (Journal, Result<Option<Past>, String>) {
        let key = Key { peer, digest: &[digest; 32], into: Path::new(into) };
        Journal::open(journals, key, &list(), &Arc::default()).unwrap()
    }

    #[test]
    fn what_was_written_down_is_found_by_the_same_peer_list_and_folder_alone() {
        let state = tempfile::tempdir().unwrap();
        let journals = Journals::new(state.path().into());
        let open = |peer, digest, into| open_by(&journals, peer, digest, into);
        let (mut journal, past) = open("peer", 1, "/to");
        assert_eq!(past, Ok(None));
        journal.failed(0);
        journal.begun(1);
        let name = journal.partial(1);
        drop(journal);
        assert_eq!(open("other", 1, "/to").1, Ok(None));
        assert_eq!(open("peer", 2, "/to").1, Ok(None));
        assert_eq!(open("peer", 1, "/elsewhere").1, Ok(None));
        let (journal, past) = open("peer", 1, "/to");
        let past = past.unwrap().unwrap();
        assert_eq!((past.next, past.failed, past.open), (1, vec![0], Open::Partial));
        assert_eq!(journal.partial(1), name);
    }

    #[test]
    fn a_second_download_of_the_same_list_goes_without_a_journal() {
        let state = tempfile::tempdir().unwrap();
        let here = Journals::new(state.path().into());
        // Another process has journals of its own.
        for elsewhere in [Arc::clone(&here), Journals::new(state.path().into())] {
            let (mut first, _) = open_by(&here, "peer", 1, "/to");
            first.whole(0);
            let (mut second, past) = open_by(&elsewhere, "peer", 1, "/to");
            assert_eq!(past, Ok(None));
            assert!(first.is_kept() && !second.is_kept());
            second.whole(0);
            assert_ne!(first.partial(0), second.partial(0));
            second.finish();
            drop(first);
            let (third, past) = open_by(&elsewhere, "peer", 1, "/to");
            assert_eq!(past.unwrap().unwrap().next, 1);
            third.finish();
        }
    }

    #[test]
    fn the_same_download_again_waits_for_a_cancelled_one_to_let_go() {
        let state = tempfile::tempdir().unwrap();
        let journals = Journals::new(state.path().into());
        let key = Key { peer: "peer", digest: &[1; 32], into: Path::new("/to") };
        let cancelled = Arc::new(AtomicBool::new(true));
        let (mut first, _) = Journal::open(&journals, key, &list(), &cancelled).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| open_by(&journals, "peer", 1, "/to").1);
            // It may try only after this, which is as good.
            first.whole(0);
            drop(first);
            assert_eq!(second.join().unwrap().unwrap().unwrap().next, 1);
        });
    }

    #[test]
    fn a_download_that_is_cancelled_itself_waits_for_nobody() {
        let state = tempfile::tempdir().unwrap();
        let journals = Journals::new(state.path().into());
        let key = Key { peer: "peer", digest: &[1; 32], into: Path::new("/to") };
        let cancelled = Arc::new(AtomicBool::new(true));
        let (_first, _) = Journal::open(&journals, key, &list(), &cancelled).unwrap();
        assert!(!Journal::open(&journals, key, &list(), &cancelled).unwrap().0.is_kept());
    }

    #[test]
    fn other_names_for_partials_are_written_down() {
        let state = tempfile::tempdir().unwrap();
        let journals = Journals::new(state.path().into());
        let (mut journal, _) = open_by(&journals, "peer", 1, "/to");
        let before = journal.partial(0);
        journal.new_names();
        let after = journal.partial(0);
        assert_ne!(before, after);
        drop(journal);
        assert_eq!(open_by(&journals, "peer", 1, "/to").0.partial(0), after);
    }

    #[test]
    fn a_finished_download_leaves_nothing() {
        let state = tempfile::tempdir().unwrap();
        open_by(&Journals::new(state.path().into()), "peer", 1, "/to").0.finish();
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
    }
}
