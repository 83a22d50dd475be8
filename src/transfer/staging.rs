//! The staging folder: where a transfer is received until it is whole, and what of it a later run goes on with.
//!
//! `DEST/.p2pchat-KEY/` holds `offer` (whose, and the list as it came), `results` (a line for each finished entry, and the lock),
//! `tree/` (finished entries under local names) and `N.part` (what came of file N). Invariant: nothing outside DEST is touched, and no
//! link is followed below it; what is in `tree/` and in `results` is whole; nothing in DEST is replaced unless this user asked for
//! that and it is a regular file; each top-level entry appears in DEST whole, in one step.
//!
//! 1. [`Staging::open`] makes the folder or finds an earlier one, locks it, reads `results` and checks that its files are there.
//! 2. Files are put into the tree in the order of the list (`tree.rs`); [`Staging::flush`] writes their lines.
//! 3. [`Staging::publish`] moves the top-level entries into DEST (`publish.rs`).
//! 4. [`Staging::remove`] when the peer has acknowledged that, or this user cancelled.

mod claim;
pub(crate) mod destinations;
mod fs;
pub(crate) mod local_name;
mod part;
pub(crate) mod partials;
mod publish;
mod results;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use claim::{offer_file, staging_name};
pub(crate) use fs::Problem;
pub(crate) use local_name::local_name;
pub(super) use part::{Part, prefix_digest};
pub use publish::{Published, Totals};
pub(super) use tree::{len_of, write_with_holes};

use super::manifest::{ListEntry, Manifest, Step, Walk};
use crate::protocol::frame::Position;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use claim::Claim;
use clap::ValueEnum;
use fs::{create_folder, open_file, open_folder, remove_folder, system_time};
use part::part_name;
use results::{Line, Results};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const OFFER: &str = "offer";
const TREE: &str = "tree";
/// Some file systems keep times in steps of two seconds.
const TIME_STEP: Duration = Duration::from_secs(2);

/// What to do with a name that exists already in DEST. The command line has the words of these values, and shell completions show their
/// descriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OnClash {
    /// Publish as `name (1)`
    #[default]
    Rename,
    /// Replace the file; merge into a real folder
    Overwrite,
    /// Refuse the file
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Receiving,
    Publishing(OnClash),
    /// All was moved that could be, under this rule.
    Done(OnClash),
}

#[derive(Debug)]
pub(crate) struct Staging {
    dest: Dir,
    pub(super) dest_path: PathBuf,
    claim: Claim,
    pub(super) manifest: Arc<Manifest>,
    tree: Dir,
    /// Folders on the way down from `tree/`; none for one that could not be made.
    levels: Vec<Option<Dir>>,
    /// Stands before the file that comes next, or before the folders around it.
    walk: Walk,
    stage: Stage,
    /// Files that could not be received, and folders that could not be made.
    failed: BTreeSet<ListEntry>,
    /// Local names that are not [`local_name()`] of the offered ones.
    names: BTreeMap<ListEntry, String>,
    /// Top-level entries that were about to get another name in DEST.
    announced: BTreeMap<ListEntry, String>,
    fsync: bool,
}

impl Staging {
    /// Opens the folder `name` in `dest`, with what an earlier run left there of this very [`offer_file`]; a new one of a random name when
    /// that is not ours or another program has it, and for a stream. May wait for a lock.
    pub(crate) fn open(
        dest: &Path,
        name: &str,
        offer: &[u8],
        manifest: Arc<Manifest>,
        fsync: bool,
    ) -> Result<Self, Problem> {
        let dir = Dir::open_ambient_dir(dest, ambient_authority()).map_err(Problem::at(dest))?;
        // What an earlier run left is used, or else what is there is removed. That of a stream stays: nothing goes on with it, and it
        // cannot be sent again.
        let tries: &[bool] = if manifest.is_stream() { &[] } else { &[false, true] };
        for &anew in tries {
            let Some(claim) = Claim::take(&dir, name).map_err(Problem::at(dest))? else { break };
            let anew = (anew || !claim.is_of(offer)).then_some(offer);
            if let Ok(staging) = Self::begin(&dir, dest, claim, &manifest, fsync, anew)
                && staging.is_consistent()
            {
                return Ok(staging);
            }
        }
        let claim = Claim::take_random(&dir).map_err(Problem::at(dest))?;
        let path = dest.join(claim.name());
        Self::begin(&dir, dest, claim, &manifest, fsync, Some(offer)).map_err(Problem::at(path))
    }

    fn begin(
        dest: &Dir,
        dest_path: &Path,
        claim: Claim,
        manifest: &Arc<Manifest>,
        fsync: bool,
        anew: Option<&[u8]>,
    ) -> io::Result<Self> {
        if anew.is_some() {
            claim.clear()?;
        }
        match create_folder(claim.dir(), TREE, 0o700) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let tree = open_folder(claim.dir(), TREE)?;
        let mut staging = Self {
            dest: dest.try_clone()?,
            dest_path: dest_path.to_owned(),
            claim,
            manifest: Arc::clone(manifest),
            tree,
            levels: Vec::new(),
            walk: Walk::default(),
            stage: Stage::Receiving,
            failed: BTreeSet::new(),
            names: BTreeMap::new(),
            announced: BTreeMap::new(),
            fsync,
        };
        match anew {
            Some(offer) => {
                staging.claim.results.keep(0)?;
                staging.claim.write_offer(offer)?;
            }
            None => staging.resume()?,
        }
        Ok(staging)
    }

    /// Opens what another run left, to publish or to remove it.
    fn open_left(dest: &Path, claim: Claim, manifest: Manifest) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(dest, ambient_authority())?;
        Self::begin(&dir, dest, claim, &Arc::new(manifest), false, None)
    }

    /// Takes up what `results` says, as far as it holds; what is in the folder beside that is removed.
    fn resume(&mut self) -> io::Result<()> {
        // Moved files are not in the tree any more; so the stage is looked for first.
        for line in self.claim.results.lines()? {
            match line {
                Line::Publishing(on_clash) => self.stage = Stage::Publishing(on_clash),
                Line::Done => self.stage = Stage::Done(self.on_clash()),
                _ => {}
            }
        }
        let (mut lines, mut end) = (self.claim.results.lines()?, 0);
        while let Some(line) = lines.next()
            && self.replay(line)
        {
            end = lines.end;
        }
        self.claim.results.keep(end)?;
        match self.stage {
            Stage::Receiving if self.manifest.is_stream() => self.take_stream_back(),
            Stage::Receiving => self.remove_unknown(),
            _ => Ok(()),
        }
    }

    /// Whether the transfer can go on from here: what was moved to DEST was all of it, and is still there.
    fn is_consistent(&self) -> bool {
        match self.stage {
            Stage::Receiving => true,
            Stage::Publishing(_) => self.is_received(),
            Stage::Done(_) => self.is_received() && self.is_still_published(),
        }
    }

    /// Whether a line makes sense after those before it, and what it says is there.
    fn replay(&mut self, line: Line) -> bool {
        if matches!(line, Line::Folder { .. } | Line::NoFolder { .. } | Line::File { .. } | Line::Failed { .. }) {
            while matches!(self.walk.peek(&self.manifest), Some(Step::Leave)) {
                self.levels.pop();
                self.walk.next(&self.manifest);
            }
        }
        let receiving = self.stage == Stage::Receiving;
        let step = self.walk.peek(&self.manifest);
        match line {
            Line::Folder { index, name } if step == Some(Step::Enter(index)) => {
                let entry = ListEntry::Folder(index);
                self.names.extend(name.map(|name| (entry, name)));
                let dir = self.dir().and_then(|above| open_folder(above, &self.name(entry)).ok());
                if receiving && dir.is_none() {
                    self.names.remove(&entry);
                    return false;
                }
                self.levels.push(dir);
            }
            Line::NoFolder { index } if step == Some(Step::Enter(index)) => {
                self.failed.insert(ListEntry::Folder(index));
                self.levels.push(None);
            }
            Line::File { index, name, .. } if step == Some(Step::File(index)) => {
                let entry = ListEntry::File(index);
                self.names.extend(name.map(|name| (entry, name)));
                if receiving && !self.is_there(index) {
                    self.names.remove(&entry);
                    return false;
                }
            }
            Line::Failed { index, .. } if step == Some(Step::File(index)) => {
                self.failed.insert(ListEntry::File(index));
            }
            Line::Top { entry, name } if !receiving => {
                self.announced.insert(entry, name);
                return true;
            }
            Line::Publishing(_) | Line::Done => return !receiving,
            _ => return false,
        }
        self.walk.next(&self.manifest);
        true
    }

    /// Whether a file is in the tree with the size and the time that it got.
    fn is_there(&self, index: usize) -> bool {
        let Some(file) = self.manifest.file(index) else { return false };
        let there = self.dir().map(|dir| dir.symlink_metadata(self.name(ListEntry::File(index))));
        let Some(Ok(there)) = there else { return false };
        let time = there.modified().map(cap_std::time::SystemTime::into_std).ok();
        let near = system_time(file.meta).zip(time).is_some_and(|(set, found)| {
            let apart = found.duration_since(set).or_else(|_| set.duration_since(found));
            apart.is_ok_and(|apart| apart <= TIME_STEP)
        });
        there.is_file() && there.len() == file.size && near
    }

    /// Removes what a run made and wrote no line for. That can only be in folders that are open where the lines end.
    fn remove_unknown(&mut self) -> io::Result<()> {
        let part = part_name(self.walk.next_file());
        remove_all_but(self.claim.dir(), |name| [OFFER, TREE, claim::RESULTS, part.as_str()].contains(&name))?;
        let open: Vec<_> = std::iter::once(None).chain(self.walk.open().iter().copied().map(Some)).collect();
        let known: HashSet<_> =
            self.passed().filter_map(|entry| Some((self.manifest.named(entry)?.1, self.name(entry)))).collect();
        let dirs = std::iter::once(Some(&self.tree)).chain(self.levels.iter().map(Option::as_ref));
        for (above, dir) in open.iter().zip(dirs) {
            if let Some(dir) = dir {
                remove_all_but(dir, |name| known.contains(&(*above, name.to_owned())))?;
            }
        }
        Ok(())
    }

    /// The folder that is open.
    fn dir(&self) -> Option<&Dir> {
        self.levels.last().map_or(Some(&self.tree), Option::as_ref)
    }

    /// The entries that the walk has passed: folders, then files.
    fn passed(&self) -> impl Iterator<Item = ListEntry> {
        (0..self.walk.next_folder()).map(ListEntry::Folder).chain((0..self.walk.next_file()).map(ListEntry::File))
    }

    /// The local name of an entry, as far as it is known.
    fn name(&self, entry: ListEntry) -> String {
        let default = || {
            let named = self.manifest.named(entry);
            named.map(|(name, above)| local_name(name, above.is_none())).unwrap_or_default()
        };
        self.names.get(&entry).cloned().unwrap_or_else(default)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dest_path.join(self.claim.name())
    }

    /// Whether everything was received by an earlier run: nothing is awaited from the peer.
    pub(crate) fn is_received(&self) -> bool {
        self.walk.next_file() == self.manifest.file_count()
    }

    /// Whether an earlier run moved everything, and reported it.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done(_))
    }

    /// The rule under which an earlier run began to move things.
    pub(crate) fn publishing(&self) -> Option<OnClash> {
        if let Stage::Publishing(on_clash) = self.stage { Some(on_clash) } else { None }
    }

    fn on_clash(&self) -> OnClash {
        match self.stage {
            Stage::Publishing(on_clash) | Stage::Done(on_clash) => on_clash,
            Stage::Receiving => OnClash::Rename,
        }
    }

    /// The file that comes next.
    pub(crate) fn next_file(&self) -> usize {
        self.walk.next_file()
    }

    /// Where the data goes on, when there is no part: the start of the next file.
    pub(crate) fn position(&self) -> Position {
        self.manifest.file(self.walk.next_file()).map_or(self.manifest.end(), |file| file.start)
    }

    /// How many files are in the tree.
    fn whole_files(&self) -> usize {
        let failed = self.failed.iter().filter(|entry| matches!(entry, ListEntry::File(_))).count();
        self.walk.next_file() - failed
    }

    /// Whether a later run could use anything here.
    fn is_useful(&self) -> bool {
        let part = self.claim.dir().symlink_metadata(part_name(self.walk.next_file()));
        self.whole_files() > 0 || part.is_ok_and(|part| part.len() > 0)
    }

    /// Removes the folder and all in it.
    pub(crate) fn remove(self) -> Result<(), Problem> {
        let path = self.path();
        let Self { dest, claim, tree, levels, .. } = self;
        drop((tree, levels));
        claim.remove(&dest).map_err(Problem::at(path))
    }

    /// Ends this run's work on it; gives the path of what stays for a later run.
    pub(crate) fn leave(mut self) -> Option<PathBuf> {
        let _ = self.flush();
        let path = self.path();
        if self.is_useful() || self.stage != Stage::Receiving {
            return Some(path);
        }
        // An empty folder is of no use to anybody, and harms nobody.
        let _ = self.remove();
        None
    }
}

/// Where of a list a folder stands: what an earlier run left there, without its lock. For a look before the user is asked.
pub(crate) fn look(dest: &Path, name: &str, manifest: &Manifest) -> Option<Position> {
    let dir = Dir::open_ambient_dir(dest, ambient_authority()).ok()?;
    let folder = open_folder(&dir, name).ok().filter(|folder| fs::is_private(folder, false))?;
    let results = Results::new(open_file(&folder, claim::RESULTS, false).ok()?);
    standing(&folder, &results, manifest).ok().map(|(position, _)| position)
}

/// Where of a list a folder stands, and whether all of it was received.
fn standing(folder: &Dir, results: &Results, manifest: &Manifest) -> io::Result<(Position, bool)> {
    let (mut next, mut received) = (0, false);
    for line in results.lines()? {
        match line {
            Line::File { index, .. } | Line::Failed { index, .. } => next = index + 1,
            Line::Publishing(_) => received = true,
            _ => {}
        }
    }
    let (start, size) = manifest.file(next).map_or((manifest.end(), 0), |file| (file.start, file.size));
    let part = folder.symlink_metadata(part_name(next)).map_or(0, |part| part.len());
    Ok((start + part.min(size), received))
}

/// Bytes free where `path` is, and all bytes of that file system.
pub(crate) fn space(path: &Path) -> Option<(u64, u64)> {
    Some((fs4::available_space(path).ok()?, fs4::total_space(path).ok()?))
}

/// Removes what is not known.
fn remove_all_but(dir: &Dir, is_known: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in dir.entries()? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !is_known(&name) {
            remove_any(dir, &name)?;
        }
    }
    Ok(())
}

/// Removes whatever stands there, without following a link.
fn remove_any(dir: &Dir, name: &str) -> io::Result<()> {
    if dir.symlink_metadata(name)?.is_dir() { remove_folder(dir, name) } else { dir.remove_file(name) }
}
