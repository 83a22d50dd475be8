//! What a crash leaves, and how it is taken up again: a journal of each download that runs.
//!
//! Owner of the journal's format. It stands in the state directory, under a name made from the peer's fingerprint and the
//! list's digest, so that the same offer of the same peer finds it, and no name of the peer's gets there. Only this user
//! writes it, but it is read with distrust all the same: what does not fit makes the download start anew, and a partial
//! is used only if the sender finds its digest right.
//!
//! It is text, a line each: a head that says whose download into which folder it is, then what happened, appended as it
//! happens. A process that is killed loses nothing of it; a last line that is cut does not count.

use super::landing::is_partial_name;
use super::list::List;
use super::name::Name;
use super::why;
use crate::frame::Digest;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

/// The first line of a journal.
const TITLE: &str = "p2pchat download 1";
/// The longest journal that is read: over that of a list with 300,000 files, and bounded in memory.
const JOURNAL_BYTES: u64 = 32 << 20;

/// A download whose steps are written down. After an error of its own it stops and removes what it wrote, for a journal
/// with a gap would have files received twice.
#[derive(Debug)]
pub(super) struct Journal {
    file: Option<File>,
    path: PathBuf,
    head: String,
}

/// What an earlier run of the same download did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Past {
    /// The folders that it entered, by their number in the list, with the names that they have on disk.
    pub(super) folders: BTreeMap<usize, String>,
    /// The number of the file to go on with.
    pub(super) next: usize,
    /// The files before that which failed.
    pub(super) failed: Vec<usize>,
    /// The partial of the next file.
    pub(super) partial: Option<String>,
}

impl Journal {
    /// Opens the journal of a download into `dest`, which is absolute; with what an earlier run wrote there if that holds,
    /// and else a text that says why not.
    pub(super) fn open(
        state: &Path,
        peer: &str,
        digest: &Digest,
        dest: &Path,
        list: &List,
    ) -> (Self, Result<Option<Past>, String>) {
        let mut journal = Self { file: None, path: state.join(file_name(peer, digest)), head: String::new() };
        let Some(head) = head(peer, digest, dest) else { return (journal, Ok(None)) };
        journal.head = head;
        let past = match read(state, &journal.path) {
            // Another download of the same list runs, in this process or another: this one does without.
            Ok(None) => return (journal, Ok(None)),
            Err(error) => {
                let text =
                    format!("{}: {}; after a crash this download starts anew", journal.path.display(), why(&error));
                return (journal, Err(text));
            }
            Ok(Some((file, text))) => {
                journal.file = Some(file);
                match text.strip_prefix(&journal.head) {
                    Some(steps) => past(steps, list).map(Some),
                    None if text.is_empty() => Ok(None),
                    None => Err("an earlier download of the same files went to another folder; it starts anew".into()),
                }
            }
        };
        if !matches!(past, Ok(Some(_))) {
            journal.begin_anew();
        }
        (journal, past)
    }

    /// Forgets what an earlier run wrote.
    pub(super) fn begin_anew(&mut self) {
        let emptied = self.file.as_ref().is_some_and(|file| file.set_len(0).is_ok());
        if emptied {
            let head = std::mem::take(&mut self.head);
            self.write(&head);
            self.head = head;
        } else {
            self.give_up();
        }
    }

    /// A folder has this name on disk.
    pub(super) fn folder(&mut self, index: usize, name: &str) {
        self.write(&format!("folder {index} {name}\n"));
    }

    /// The data of a file goes to a partial of this name.
    pub(super) fn partial(&mut self, index: usize, name: &str) {
        self.write(&format!("partial {index} {name}\n"));
    }

    /// A file stands under its name.
    pub(super) fn done(&mut self, index: usize) {
        self.write(&format!("done {index}\n"));
    }

    /// A file failed, and no partial of it is left.
    pub(super) fn failed(&mut self, index: usize) {
        self.write(&format!("failed {index}\n"));
    }

    /// The download is finished: nothing is left to take up.
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
        if self.file.take().is_some() {
            // What cannot be removed is found not to hold when it is read.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_name(peer: &str, digest: &Digest) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(digest).update(peer.as_bytes());
    format!("download-{}", hasher.finalize().to_hex().get(..32).unwrap_or_default())
}

/// None when the folder's name cannot stand in a line.
fn head(peer: &str, digest: &Digest, dest: &Path) -> Option<String> {
    let dest = dest.to_str().filter(|dest| !dest.contains('\n'))?;
    let peer = Some(peer).filter(|peer| !peer.contains('\n'))?;
    let mut head = String::new();
    writeln!(head, "{TITLE}\npeer {peer}\nlist {}\ninto {dest}", blake3::Hash::from(*digest).to_hex()).ok()?;
    Some(head)
}

/// Opens and locks a journal and reads it; none when another download holds it.
fn read(state: &Path, path: &Path) -> io::Result<Option<(File, String)>> {
    fs::create_dir_all(state)?;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // It names the files of a person.
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
    }
    let file = options.open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut bytes = Vec::new();
    (&file).take(JOURNAL_BYTES).read_to_end(&mut bytes)?;
    Ok(Some((file, String::from_utf8_lossy(&bytes).into_owned())))
}

/// Reads the steps of an earlier run; the text says what does not hold.
fn past(steps: &str, list: &List) -> Result<Past, String> {
    let mut past = Past::default();
    for line in steps.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        past.step(line, list).ok_or("what an earlier download left cannot be read; it starts anew")?;
    }
    Ok(past)
}

impl Past {
    fn step(&mut self, line: &str, list: &List) -> Option<()> {
        let (word, rest) = line.split_once(' ')?;
        let (index, name) = rest.split_once(' ').unwrap_or((rest, ""));
        let index: usize = index.parse().ok()?;
        match word {
            "folder" => {
                let name = Name::new(name).ok()?.as_str();
                list.folder(index)?;
                self.folders.insert(index, name.to_owned());
            }
            "partial" if index == self.next && is_partial_name(name) => self.partial = Some(name.to_owned()),
            "done" | "failed" if index == self.next && index < list.file_count() && name.is_empty() => {
                if word == "failed" {
                    self.failed.push(index);
                }
                self.partial = None;
                self.next += 1;
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::list::{Builder, Meta};

    fn list() -> List {
        let mut builder = Builder::default();
        for name in ["a", "b"] {
            builder.file(Name::new(name).unwrap(), Meta::default(), 1).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn what_was_written_down_is_found_by_the_same_peer_list_and_folder_alone() {
        let state = tempfile::tempdir().unwrap();
        let open = |peer, digest, dest| Journal::open(state.path(), peer, &[digest; 32], Path::new(dest), &list());
        let (mut journal, past) = open("peer", 1, "/to");
        assert_eq!(past, Ok(None));
        journal.failed(0);
        journal.partial(1, ".p2pchat-0123456789abcdef");
        drop(journal);
        assert_eq!(open("other", 1, "/to").1, Ok(None));
        assert_eq!(open("peer", 2, "/to").1, Ok(None));
        let partial = Some(".p2pchat-0123456789abcdef".to_owned());
        let expected = Past { next: 1, failed: vec![0], partial, ..Past::default() };
        assert_eq!(open("peer", 1, "/to").1, Ok(Some(expected)));
        assert!(open("peer", 1, "/elsewhere").1.is_err());
        // The journal is that of the other folder now.
        assert!(open("peer", 1, "/to").1.is_err());
    }

    #[test]
    fn a_second_download_of_the_same_list_goes_without_a_journal() {
        let state = tempfile::tempdir().unwrap();
        let open = || Journal::open(state.path(), "peer", &[1; 32], Path::new("/to"), &list());
        let (mut first, _) = open();
        first.done(0);
        let (mut second, past) = open();
        assert_eq!(past, Ok(None));
        second.done(0);
        second.finish();
        drop(first);
        assert_eq!(open().1.unwrap().unwrap().next, 1);
    }

    #[test]
    fn a_finished_download_leaves_nothing() {
        let state = tempfile::tempdir().unwrap();
        Journal::open(state.path(), "peer", &[1; 32], Path::new("/to"), &list()).0.finish();
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
    }
}
