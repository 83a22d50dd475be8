//! What unfinished transfers left in the recorded folders, for a person to see, to keep or to remove.

use super::claim::Claim;
use super::fs::{is_private, open_folder};
use super::{Staging, destinations, standing};
use crate::error_text::io_error_text;
use crate::keys::PublicKey;
use crate::transfer::STAGING_PREFIX;
use crate::transfer::manifest::Manifest;
use crate::transfer::staging::{OnClash, Totals};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// Letters of an id as it is shown; any unique beginning is taken.
const ID: usize = 8;
/// After this long the folder of a transfer that was received as a whole, and never acknowledged, goes.
const DONE_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

#[derive(Debug, Error)]
pub(crate) enum PartialsError {
    #[error("{0}: no unfinished download has this id\nsee p2pchat partials")]
    NoSuchId(String),
    #[error("{0}: several unfinished downloads begin like this\nsee p2pchat partials")]
    Ambiguous(String),
    #[error("{0}: it is being received right now")]
    Running(String),
    #[error("{0}: no file of it arrived whole\nto throw away what came: p2pchat partials remove {0}")]
    NothingWhole(String),
    #[error("{}: {text}", path.display())]
    Failed { path: PathBuf, text: String },
}

/// How far one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Another program has it now.
    Running,
    Unfinished {
        bytes: u64,
        /// None for a stream.
        of: Option<u64>,
    },
    /// All was received, and is being moved to its place or was; the peer does not know.
    Received,
    /// It cannot be read.
    Unknown,
}

#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) id: String,
    pub(crate) dest: PathBuf,
    /// None when the folder cannot be read.
    pub(crate) peer: Option<PublicKey>,
    pub(crate) peer_name: String,
    /// The first name of its list.
    pub(crate) first: String,
    pub(crate) progress: Progress,
    pub(crate) touched: SystemTime,
    name: String,
}

/// All of them, the folders recorded last at the end. Folders in which nothing is any more are forgotten.
pub(crate) fn list(data_dir: &Path) -> Vec<Partial> {
    let dests = destinations::all(data_dir);
    let mut found = Vec::new();
    let mut used = Vec::new();
    for dest in &dests {
        let Ok(dir) = Dir::open_ambient_dir(dest, ambient_authority()) else {
            // It may be on a disk that is not there now.
            used.push(dest.clone());
            continue;
        };
        let before = found.len();
        let names =
            dir.entries().into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = names.filter(|name| name.starts_with(STAGING_PREFIX)).collect();
        names.sort_unstable();
        found.extend(names.into_iter().filter_map(|name| look(&dir, dest, name)));
        if found.len() > before {
            used.push(dest.clone());
        }
    }
    if used.len() < dests.len() {
        // One that stays too long in the file does no harm.
        let _ = destinations::keep(data_dir, &used);
    }
    found
}

/// How many were not touched for so long.
pub(crate) fn count_older(data_dir: &Path, age: Duration) -> usize {
    let old = |partial: &Partial| partial.touched.elapsed().is_ok_and(|elapsed| elapsed >= age);
    list(data_dir).iter().filter(|partial| partial.progress != Progress::Running && old(partial)).count()
}

fn look(dir: &Dir, dest: &Path, name: String) -> Option<Partial> {
    let folder = open_folder(dir, &name).ok().filter(|folder| is_private(folder, false))?;
    let touched = folder.symlink_metadata(super::claim::RESULTS).and_then(|there| there.modified());
    let touched = touched.or_else(|_| folder.dir_metadata()?.modified()).ok()?.into_std();
    let id = name.get(STAGING_PREFIX.len()..)?.chars().take(ID).collect();
    let mut partial = Partial {
        id,
        dest: dest.to_owned(),
        peer: None,
        peer_name: String::new(),
        first: String::new(),
        progress: Progress::Unknown,
        touched,
        name,
    };
    partial.progress = match Claim::existing(dir, &partial.name, false) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Running,
        Err(_) => Progress::Unknown,
        Ok(claim) => match claim.read_offer() {
            None => Progress::Unknown,
            Some((peer, peer_name, manifest)) => {
                partial.peer = Some(peer);
                partial.peer_name = peer_name;
                manifest.first_name().clone_into(&mut partial.first);
                progress(&claim, &manifest)
            }
        },
    };
    Some(partial)
}

fn progress(claim: &Claim, manifest: &Manifest) -> Progress {
    match standing(claim.dir(), &claim.results, manifest) {
        Err(_) => Progress::Unknown,
        Ok((_, true)) => Progress::Received,
        Ok((position, false)) => Progress::Unfinished {
            bytes: manifest.progress(position).0,
            of: Some(manifest.bytes()).filter(|_| !manifest.is_stream()),
        },
    }
}

fn find(data_dir: &Path, id: &str) -> Result<Partial, PartialsError> {
    let fits = |partial: &Partial| {
        let full = partial.name.get(STAGING_PREFIX.len()..).unwrap_or_default();
        !id.is_empty() && full.get(..id.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(id))
    };
    let mut fitting = list(data_dir).into_iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(partial), None) => Ok(partial),
        (None, _) => Err(PartialsError::NoSuchId(id.to_owned())),
        (Some(_), Some(_)) => Err(PartialsError::Ambiguous(id.to_owned())),
    }
}

impl Partial {
    fn failed(&self, text: impl ToString) -> PartialsError {
        PartialsError::Failed { path: self.dest.join(&self.name), text: text.to_string() }
    }

    fn claim(&self) -> Result<Claim, PartialsError> {
        let dir = Dir::open_ambient_dir(&self.dest, ambient_authority());
        dir.and_then(|dir| Claim::existing(&dir, &self.name, false)).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => PartialsError::Running(self.id.clone()),
            _ => self.failed(io_error_text(&error)),
        })
    }

    fn open(&self) -> Result<Staging, PartialsError> {
        let claim = self.claim()?;
        let (.., manifest) = claim.read_offer().ok_or_else(|| self.failed("it cannot be read"))?;
        Staging::open_left(&self.dest, claim, manifest).map_err(|error| self.failed(io_error_text(&error)))
    }
}

/// Removes one.
pub(crate) fn remove(data_dir: &Path, id: &str) -> Result<Partial, PartialsError> {
    let partial = find(data_dir, id)?;
    let claim = partial.claim()?;
    let removed = Dir::open_ambient_dir(&partial.dest, ambient_authority()).and_then(|dir| claim.remove(&dir));
    removed.map_err(|error| partial.failed(io_error_text(&error)))?;
    Ok(partial)
}

/// Publishes what is whole of one, and removes the rest. What came of a stream is as whole as a stream can be.
pub(crate) fn keep(data_dir: &Path, id: &str) -> Result<Totals, PartialsError> {
    let partial = find(data_dir, id)?;
    let mut staging = partial.open()?;
    staging.adopt_stream().map_err(|problem| partial.failed(problem))?;
    if staging.whole_files() == 0 && !staging.is_received() {
        return Err(PartialsError::NothingWhole(partial.id));
    }
    let mut unpublished = None;
    let totals = staging.publish(OnClash::Rename, &mut |published| {
        if let super::Published::Failed { text, .. } = published {
            unpublished.get_or_insert(text);
        }
    });
    let totals = totals.map_err(|problem| partial.failed(problem))?;
    if let Some(text) = unpublished {
        return Err(partial.failed(text));
    }
    staging.remove().map_err(|problem| partial.failed(problem))?;
    Ok(totals)
}

/// Finishes what a run of this program left half published, and removes what was received as a whole long ago. For a thread at the
/// start; what another program uses is left alone.
pub(crate) fn recover(data_dir: &Path) {
    for partial in list(data_dir).iter().filter(|partial| partial.progress == Progress::Received) {
        let Ok(mut staging) = partial.open() else { continue };
        let old = partial.touched.elapsed().is_ok_and(|elapsed| elapsed >= DONE_KEPT);
        if let Some(on_clash) = staging.publishing() {
            let _ = staging.publish(on_clash, &mut |_| {});
        } else if staging.is_done() && old {
            let _ = staging.remove();
        }
    }
}
