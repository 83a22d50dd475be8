//! Moving what was received into DEST: one pass over the list, which a later run can repeat from wherever it ended.
//!
//! A top-level entry that is not in the tree any more was moved before; one that is there was not, or could not be. Under another name
//! than its own it was announced in `results` just before each try; so the last announced name is the one it has.

use super::fs::{Problem, move_exclusive, open_folder, set_meta, system_time};
use super::local_name::make_under;
use super::results::{Line, Lines};
use super::{OnClash, Stage, Staging};
use crate::error_text::io_error_text;
use crate::protocol::frame::Digest;
use crate::transfer::manifest::{ListEntry, Step, Walk};
use cap_std::fs::{Dir, OpenOptions};
use std::io;
use std::path::PathBuf;

/// What became of a part of a list.
#[derive(Debug)]
pub enum Published {
    /// An entry of the list's top: all of it that arrived stands in DEST.
    Top(PathBuf),
    File {
        path: PathBuf,
        bytes: u64,
        digest: Digest,
        /// The offered path, when the local one differs below DEST.
        offered: Option<String>,
    },
    /// A file could not be received or moved; the rest goes on.
    Failed {
        /// Its offered path.
        offered: String,
        /// For our user.
        text: String,
    },
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Totals {
    /// Where the first entry of the list stands.
    pub path: PathBuf,
    /// Files published, those of an earlier run included.
    pub files: u32,
    pub failed: u32,
    pub bytes: u64,
}

/// A folder of the list, during the pass.
enum FolderOutcome {
    /// It was moved, with all in it.
    Moved,
    /// It is merged into one that was there.
    Merge { from: Dir, to: Dir },
    /// It could not be made or moved, and so nothing in it.
    Failed(String),
}

struct Pass {
    folders: Vec<FolderOutcome>,
    path: PathBuf,
    first: Option<PathBuf>,
    lines: Lines,
    totals: Totals,
}

impl Staging {
    /// Moves everything that is in the tree to its final name, and reports each file. An earlier run's rule for clashes goes first.
    pub(crate) fn publish(&mut self, on_clash: OnClash, report: &mut dyn FnMut(Published)) -> Result<Totals, Problem> {
        let path = self.path();
        if self.stage == Stage::Receiving {
            self.begin_publishing(on_clash)?;
        }
        // Windows moves no folder in which another is open.
        self.levels.clear();
        let mut pass = Pass {
            folders: Vec::new(),
            path: self.dest_path.clone(),
            first: None,
            lines: self.claim.results.lines().map_err(Problem::at(&path))?,
            totals: Totals { path: PathBuf::new(), files: 0, failed: 0, bytes: 0 },
        };
        let mut line = pass.next_file_line();
        let manifest = std::sync::Arc::clone(&self.manifest);
        let mut walk = Walk::default();
        while let Some(step) = walk.next(&manifest) {
            match step {
                Step::Enter(index) => self.enter(&mut pass, index, report)?,
                Step::Leave => self.leave_folder(&mut pass)?,
                Step::File(index) if line.is_some_and(|(there, _)| there == index) => {
                    let digest = line.map_or([0; 32], |(_, digest)| digest);
                    line = pass.next_file_line();
                    self.file(&mut pass, index, digest, report)?;
                }
                Step::File(_) => pass.totals.failed += 1,
            }
        }
        if self.fsync && cfg!(unix) {
            sync(&self.dest).map_err(Problem::at(&self.dest_path))?;
        }
        if !self.is_done() {
            self.claim.results.add(&Line::Done);
            self.claim.results.flush(self.fsync).map_err(Problem::at(path))?;
            self.stage = Stage::Done(self.on_clash());
        }
        let default = || self.dest_path.join(super::local_name(self.manifest.first_name(), true));
        Ok(Totals { path: pass.first.unwrap_or_else(default), ..pass.totals })
    }

    pub(super) fn begin_publishing(&mut self, on_clash: OnClash) -> Result<(), Problem> {
        let path = self.path();
        if self.is_received() {
            self.reach_file()?;
        }
        self.claim.results.add(&Line::Publishing(on_clash));
        self.claim.results.flush(self.fsync).map_err(Problem::at(path))?;
        self.stage = Stage::Publishing(on_clash);
        Ok(())
    }

    fn enter(&mut self, pass: &mut Pass, index: usize, report: &mut dyn FnMut(Published)) -> Result<(), Problem> {
        let entry = ListEntry::Folder(index);
        let mut name = self.name(entry);
        let made = index < self.walk.next_folder() && !self.failed.contains(&entry);
        let outcome = match pass.folders.last() {
            _ if !made => FolderOutcome::Failed("its folder is not there".to_owned()),
            Some(FolderOutcome::Moved) => FolderOutcome::Moved,
            Some(FolderOutcome::Failed(text)) => FolderOutcome::Failed(text.clone()),
            Some(FolderOutcome::Merge { from, to }) => self.merge_folder(pass, index, &name, from, to),
            None => {
                let (outcome, moved) = self.move_top_folder(pass, index, name)?;
                name = moved;
                outcome
            }
        };
        pass.path.push(&name);
        if pass.folders.is_empty() && matches!(outcome, FolderOutcome::Moved | FolderOutcome::Merge { .. }) {
            pass.first.get_or_insert_with(|| pass.path.clone());
            report(Published::Top(pass.path.clone()));
        }
        pass.folders.push(outcome);
        Ok(())
    }

    fn leave_folder(&self, pass: &mut Pass) -> Result<(), Problem> {
        if let Some(FolderOutcome::Merge { to, .. }) = pass.folders.pop()
            && self.fsync
            && cfg!(unix)
        {
            sync(&to).map_err(Problem::at(&pass.path))?;
        }
        pass.path.pop();
        Ok(())
    }

    /// Moves a top-level folder; gives the name that it has then.
    fn move_top_folder(&mut self, pass: &Pass, index: usize, name: String) -> Result<(FolderOutcome, String), Problem> {
        let entry = ListEntry::Folder(index);
        if self.was_moved(&name) {
            let name = self.published_name(entry);
            // The run may have ended between the move and this.
            if !self.is_done()
                && let Ok(moved) = open_folder(&self.dest, &name)
            {
                self.finish_top(moved, index);
            }
            return Ok((FolderOutcome::Moved, name));
        }
        if self.on_clash() == OnClash::Overwrite && self.dest.symlink_metadata(&name).is_ok() {
            return Ok((self.merge_folder(pass, index, &name, &self.tree, &self.dest), name));
        }
        let folder = open_folder(&self.tree, &name).map_err(Problem::at(pass.path.join(&name)))?;
        self.finish_inner(&folder, index);
        Ok(match self.move_top(&name, entry)? {
            Ok(name) => {
                self.finish_top(folder, index);
                (FolderOutcome::Moved, name)
            }
            Err(text) => (FolderOutcome::Failed(text), name),
        })
    }

    /// Moves a folder to where it is merged, or goes into the one that is there.
    fn merge_folder(&self, pass: &Pass, index: usize, name: &str, from: &Dir, to: &Dir) -> FolderOutcome {
        let path = pass.path.join(name);
        let failed = |error: io::Error| FolderOutcome::Failed(format!("{}: {}", path.display(), io_error_text(&error)));
        let folder = match open_folder(from, name) {
            Ok(folder) => folder,
            // Moved by an earlier run.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return FolderOutcome::Moved,
            Err(error) => return failed(error),
        };
        match to.symlink_metadata(name) {
            Ok(there) if there.is_dir() => match open_folder(to, name) {
                Ok(into) => FolderOutcome::Merge { from: folder, to: into },
                Err(error) => failed(error),
            },
            Ok(_) => FolderOutcome::Failed(format!("{}: stands there already and is no folder", path.display())),
            Err(_) => {
                self.finish_inner(&folder, index);
                match move_exclusive(from, name, to, name, true) {
                    Ok(()) => {
                        self.finish_top(folder, index);
                        FolderOutcome::Moved
                    }
                    Err(error) => failed(error),
                }
            }
        }
    }

    fn file(
        &mut self,
        pass: &mut Pass,
        index: usize,
        digest: Digest,
        report: &mut dyn FnMut(Published),
    ) -> Result<(), Problem> {
        let manifest = std::sync::Arc::clone(&self.manifest);
        let Some(file) = manifest.file(index) else { return Ok(()) };
        let entry = ListEntry::File(index);
        let mut name = self.name(entry);
        let outcome = match pass.folders.last() {
            Some(FolderOutcome::Moved) => Ok(()),
            Some(FolderOutcome::Failed(text)) => Err(text.clone()),
            Some(FolderOutcome::Merge { from, to }) => replace_file(from, to, &name)
                .map_err(|error| format!("{}: {}", pass.path.join(&name).display(), io_error_text(&error))),
            None => self.move_top(&name, entry)?.map(|moved| name = moved),
        };
        let path = pass.path.join(&name);
        let offered = manifest.path(index);
        match outcome {
            Ok(()) => {
                pass.totals.files += 1;
                let bytes = self.size(file.size, &path);
                pass.totals.bytes += bytes;
                if pass.folders.is_empty() {
                    pass.first.get_or_insert_with(|| path.clone());
                    report(Published::Top(path.clone()));
                }
                let local = path.strip_prefix(&self.dest_path).unwrap_or(&path);
                let differs = local != std::path::Path::new(&offered);
                report(Published::File { bytes, digest, offered: differs.then_some(offered), path });
            }
            Err(text) => {
                pass.totals.failed += 1;
                report(Published::Failed { offered, text });
            }
        }
        Ok(())
    }

    /// The size of a stream is known when it is there.
    fn size(&self, listed: u64, path: &std::path::Path) -> u64 {
        if self.manifest.is_stream() { path.symlink_metadata().map_or(0, |there| there.len()) } else { listed }
    }

    /// Whether an earlier run moved a top-level entry.
    fn was_moved(&self, name: &str) -> bool {
        self.tree.symlink_metadata(name).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    /// The name in DEST of a top-level entry that was moved.
    fn published_name(&self, entry: ListEntry) -> String {
        self.announced.get(&entry).cloned().unwrap_or_else(|| self.name(entry))
    }

    /// Moves a top-level entry to a free name; the text says why this one alone cannot be moved.
    fn move_top(&mut self, name: &str, entry: ListEntry) -> Result<Result<String, String>, Problem> {
        if self.was_moved(name) {
            return Ok(Ok(self.published_name(entry)));
        }
        let (on_clash, path) = (self.on_clash(), self.path());
        let folder = matches!(entry, ListEntry::Folder(_));
        let Self { tree, dest, claim, .. } = self;
        let moved = match on_clash {
            OnClash::Refuse => move_exclusive(tree, name, dest, name, folder).map(|()| name.to_owned()),
            OnClash::Overwrite if !folder => replace_file(tree, dest, name).map(|()| name.to_owned()),
            // For a folder nothing was there a moment ago.
            OnClash::Rename | OnClash::Overwrite => {
                let mut lost = None;
                let make = |to: &str| {
                    if to != name {
                        claim.results.add(&Line::Top { entry, name: to.to_owned() });
                        claim.results.flush(false).inspect_err(|error| lost = Some(error.kind()))?;
                    }
                    move_exclusive(tree, name, dest, to, folder)
                };
                let moved = make_under(name, folder, make, |name| dest.symlink_metadata(name).is_ok());
                if let Some(kind) = lost {
                    return Err(Problem::at(path)(kind.into()));
                }
                moved.map(|((), moved)| moved)
            }
        };
        if let Ok(moved) = &moved
            && moved != name
        {
            self.announced.insert(entry, moved.clone());
        }
        Ok(moved.map_err(|error| {
            let text = match error.kind() {
                io::ErrorKind::AlreadyExists => "exists already".to_owned(),
                _ => io_error_text(&error),
            };
            format!("{}: {text}", self.dest_path.join(name).display())
        }))
    }

    /// Gives the folders below `index`, whose handle is `top`, their modes and times, the innermost first.
    fn finish_inner(&self, top: &Dir, index: usize) {
        let mut open: Vec<(usize, Option<Dir>)> = Vec::new();
        let close = |open: &mut Vec<(usize, Option<Dir>)>| {
            if let Some((index, Some(dir))) = open.pop() {
                self.finish_top(dir, index);
            }
        };
        for folder in (index + 1..self.walk.next_folder()).filter_map(|index| self.manifest.folder(index)) {
            if folder.parent.is_none_or(|parent| parent < index) {
                break;
            }
            while open.last().is_some_and(|(above, _)| Some(*above) != folder.parent) {
                close(&mut open);
            }
            let above = open.last().map_or(Some(top), |(_, dir)| dir.as_ref());
            let dir = above.and_then(|above| open_folder(above, &self.name(ListEntry::Folder(folder.index))).ok());
            open.push((folder.index, dir));
        }
        while !open.is_empty() {
            close(&mut open);
        }
    }

    fn finish_top(&self, dir: Dir, index: usize) {
        if let Some(folder) = self.manifest.folder(index) {
            let file = dir.into_std_file();
            set_meta(&file, system_time(folder.meta), folder.meta.mode, 0o700);
            if self.fsync && cfg!(unix) {
                // What cannot be synchronised is there all the same.
                let _ = file.sync_all();
            }
        }
    }

    /// Whether the top-level entries that were moved are still in DEST.
    pub(super) fn is_still_published(&self) -> bool {
        let is_top = |entry: &ListEntry| self.manifest.named(*entry).is_some_and(|(_, above)| above.is_none());
        let mut tops = self.passed().filter(|entry| is_top(entry) && !self.failed.contains(entry));
        tops.all(|entry| self.dest.symlink_metadata(self.published_name(entry)).is_ok())
    }
}

impl Pass {
    /// The next file that was received, with its digest.
    fn next_file_line(&mut self) -> Option<(usize, Digest)> {
        self.lines.find_map(|line| match line {
            Line::File { index, digest, .. } => Some((index, digest)),
            _ => None,
        })
    }
}

/// Moves a file over a regular one, or to where nothing is. What was moved before counts as moved.
fn replace_file(from: &Dir, to: &Dir, name: &str) -> io::Result<()> {
    match move_exclusive(from, name, to, name, false) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && to.symlink_metadata(name).is_ok() => return Ok(()),
        done => return done,
    }
    if to.symlink_metadata(name)?.is_file() {
        // Should something else stand there now, it is replaced itself: a rename follows no link.
        from.rename(name, to, name)
    } else {
        Err(io::Error::other("stands there already and is no regular file"))
    }
}

fn sync(dir: &Dir) -> io::Result<()> {
    dir.open_with(".", OpenOptions::new().read(true))?.sync_all()
}
