//! Downloads that ended before their time and were not taken up again: to look at, and to throw away.
//!
//! Invariant: nothing is removed but what a journal and the name itself prove to be a partial of ours, and nothing at all
//! while a running download has the journal locked. No link is followed below the folder that received.

use super::text::{Head, Past, parse};
use super::{PREFIX, is_at, lock, read};
use crate::error_text::io_error_text;
use crate::transfer::download::OnClash;
use crate::transfer::landing::{Landing, LandingError, Partial, partial_name};
use crate::transfer::manifest::Meta;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// Characters of an id that are shown: enough that two rarely meet, and what meets can be told apart by more of them.
const ID_SHOWN: usize = 8;

/// A download that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Names it on the command line.
    pub id: String,
    /// The fingerprint of the peer it comes from.
    pub peer: String,
    /// The folder that received.
    pub into: PathBuf,
    /// The first name of what was sent, as the peer gave it.
    pub first: String,
    /// When something of it came last.
    pub touched: SystemTime,
    /// What is there of the file that was being received.
    pub rest: Rest,
}

/// What is there of an unfinished download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rest {
    /// It is being received right now, by this process or another.
    Running,
    /// A partial of so many bytes.
    Partial(u64),
    /// No partial: it stopped between two files, or somebody removed it.
    Nothing,
    /// The folder that received is gone.
    NoFolder,
    /// The journal makes no sense, or the folder cannot be looked into.
    Unknown(String),
}

/// Why an unfinished download could not be thrown away.
#[derive(Debug, Error)]
pub enum StaleError {
    /// The command names none that is there.
    #[error("no unfinished download is called {0}\nthose that are: p2pchat partials list")]
    NoSuchId(String),
    /// The command's id fits several.
    #[error("several unfinished downloads begin with {0}\nname more of its letters")]
    Ambiguous(String),
    /// A download has it open.
    #[error("{0} is being received right now and stays")]
    Running(String),
    /// The file system said no.
    #[error("could not {action} {}: {}", path.display(), io_error_text(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// All unfinished downloads in a state directory, the oldest first.
///
/// # Errors
/// When the directory is there and cannot be read.
pub fn list(state: &Path) -> Result<Vec<Unfinished>, StaleError> {
    let mut found: Vec<_> = journals(state)?.iter().filter_map(|path| look(path)).collect();
    found.sort_by(|a, b| a.touched.cmp(&b.touched).then_with(|| a.id.cmp(&b.id)));
    Ok(found)
}

/// How many there are of which nothing came for longer than `age`; none where that cannot be found out.
pub fn count_older(state: &Path, age: Duration) -> usize {
    let is_old = |touched: SystemTime| touched.elapsed().is_ok_and(|elapsed| elapsed > age);
    let journals = journals(state).unwrap_or_default();
    // What a journal says last is seldom younger than what came last, so only old ones are looked at closely.
    let old = journals.iter().filter(|path| modified(path).is_some_and(is_old));
    old.filter_map(|path| look(path)).filter(|found| found.rest != Rest::Running && is_old(found.touched)).count()
}

/// Throws one away: partial and journal. What was received whole stays. Gives the bytes that the partial had, and whether
/// the folder that received is gone.
///
/// # Errors
/// When `id` (an id of [`list`] or the first letters of one) names none, or several, or one that is running, or the file
/// system says no; the journal is still there then.
pub fn remove(state: &Path, id: &str) -> Result<Rest, StaleError> {
    let path = named(state, id)?;
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| StaleError::Io { action, path, source }
    };
    let running = || StaleError::Running(short(&path));
    let file = lock(&path, false).map_err(io("open", &path))?.ok_or_else(running)?;
    if !is_at(&file, &path) {
        return Err(StaleError::NoSuchId(id.to_owned()));
    }
    let text = read(&file).map_err(io("read", &path))?;
    let rest = match parse(&text).and_then(|(head, lines)| Some((head, Past::read(lines)?))) {
        None => Rest::Unknown("its journal cannot be read".to_owned()),
        Some((head, past)) => {
            let discard = |landing: &Landing, partial| landing.discard(partial);
            each_partial(&head, &past, discard).map_err(io("remove a partial in", head.into))?
        }
    };
    fs::remove_file(&path).map_err(io("remove", &path))?;
    Ok(rest)
}

fn journals(state: &Path) -> Result<Vec<PathBuf>, StaleError> {
    let failed = |source| StaleError::Io { action: "read", path: state.to_owned(), source };
    let entries = match fs::read_dir(state) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if !id(&path).is_empty() && fs::symlink_metadata(&path).is_ok_and(|there| there.is_file()) {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// The whole id of a journal, empty when the file is none.
fn id(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PREFIX));
    name.filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit())).unwrap_or_default().to_owned()
}

fn short(path: &Path) -> String {
    let id = id(path);
    id.get(..ID_SHOWN).unwrap_or(&id).to_owned()
}

fn named(state: &Path, wanted: &str) -> Result<PathBuf, StaleError> {
    let fits = |path: &PathBuf| !wanted.is_empty() && id(path).starts_with(wanted);
    let mut fitting = journals(state)?.into_iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(path), None) => Ok(path),
        (None, _) => Err(StaleError::NoSuchId(wanted.to_owned())),
        (Some(_), Some(_)) => Err(StaleError::Ambiguous(wanted.to_owned())),
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Looks at one; none when it is gone meanwhile.
fn look(path: &Path) -> Option<Unfinished> {
    let mut touched = modified(path)?;
    // Let go at once, or a download that begins just now would find it taken. To look needs no lock.
    let locked = lock(path, false).map(|lock| lock.is_none());
    let text = fs::File::open(path).and_then(|file| read(&file)).unwrap_or_default();
    let parsed = parse(&text);
    let rest = match (locked, &parsed) {
        (Ok(true), _) => Rest::Running,
        (Err(error), _) => Rest::Unknown(io_error_text(&error)),
        (Ok(false), None) => Rest::Unknown("its journal cannot be read".to_owned()),
        (Ok(false), Some((head, lines))) => match Past::read(lines) {
            None => Rest::Unknown("its journal cannot be read".to_owned()),
            Some(past) => {
                let see = |_: &Landing, partial: Partial| {
                    let modified = partial.file.metadata().and_then(|metadata| metadata.modified());
                    touched = modified.map_or(touched, |modified| touched.max(modified));
                    Ok(())
                };
                each_partial(head, &past, see).unwrap_or_else(|error| Rest::Unknown(io_error_text(&error)))
            }
        },
    };
    let (peer, into, first) = parsed
        .map_or_else(Default::default, |(head, _)| (head.peer.to_owned(), head.into.to_owned(), head.first.to_owned()));
    Some(Unfinished { id: short(path), peer, into, first, touched, rest })
}

/// Does something with each partial that is there.
fn each_partial(
    head: &Head<'_>,
    past: &Past,
    mut with: impl FnMut(&Landing, Partial) -> io::Result<()>,
) -> io::Result<Rest> {
    let mut landing = match Landing::open(head.into, OnClash::Refuse, false) {
        Ok(landing) => landing,
        Err(LandingError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(Rest::NoFolder),
        Err(LandingError::Io { source, .. }) => return Err(source),
        Err(other) => return Err(io::Error::other(other.to_string())),
    };
    // The folder entered last is the likeliest.
    let folders = past.folders.keys().rev().map(|folder| past.chain(*folder)).chain([Vec::new()]);
    let mut rest = Rest::Nothing;
    for folder in folders {
        landing.leave_all();
        if !folder.iter().all(|name| landing.enter_again(name, Meta::default()).is_ok()) {
            continue;
        }
        for index in past.unfinished() {
            // What stands there and is no regular file is not ours.
            if let Ok(Some(partial)) = landing.reopen(&partial_name(&past.seed, index), "") {
                let bytes = partial.file.metadata()?.len();
                rest = Rest::Partial(if let Rest::Partial(sum) = rest { sum + bytes } else { bytes });
                with(&landing, partial)?;
            }
        }
    }
    Ok(rest)
}

#[cfg(test)]
mod tests;
