//! What becomes of the paths of one `/send`: a list, and where its files are on this side.
//!
//! Invariant: what is in the list was there and could be read, every receiver takes its names, and whatever is left out is
//! named with the reason. A path that the user gave is followed when it is a link, as `scp` does; below it no link is.

#[cfg(any())]
mod tests;

use super::PARTIAL_PREFIX;
use super::file_name::{FileNameError, Name};
use super::manifest::{Builder, Manifest, ManifestError, Meta};
use crate::error_text::io_error_text;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What is left out and named; beyond that it is only counted.
const SKIPPED: usize = 1_000;

/// Why a `/send` sends nothing; the command is at fault.
#[derive(Debug, Error)]
pub(super) enum ScanError {
    #[error("{}: no such file or folder", .0.display())]
    NoSuchFile(PathBuf),
    #[error("{}: {}", .0.display(), io_error_text(.1))]
    NotReadable(PathBuf, io::Error),
    #[error("{0}: nothing to send there: {1}")]
    Nothing(String, String),
    #[error("{}: two of the paths have this name\nsend them one after the other", .0.display())]
    SameName(PathBuf),
    #[error("too many files for one transfer\nsend parts of them, or an archive")]
    TooMany,
}

impl ScanError {
    /// The short stable word for scripts.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NoSuchFile(_) => "no-such-file",
            Self::NotReadable(..) => "not-readable",
            Self::Nothing(..) => "nothing-to-send",
            Self::SameName(_) => "same-name",
            Self::TooMany => "too-many-files",
        }
    }
}

/// Where the names at the top of a list are on this side.
#[derive(Debug, Default)]
pub(super) struct Roots(BTreeMap<String, PathBuf>);

impl Roots {
    /// The local path of a file of the list, and whether a link at its end is followed.
    pub(super) fn path(&self, list: &Manifest, index: usize) -> (PathBuf, bool) {
        let Some(file) = list.file(index) else { return (PathBuf::new(), false) };
        let components = list.components(file.folder, file.name);
        let Some((top, below)) = components.split_first() else { return (PathBuf::new(), false) };
        let mut path = self.0.get(*top).cloned().unwrap_or_default();
        path.extend(below);
        (path, below.is_empty())
    }
}

/// What was found.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) list: Manifest,
    pub(super) roots: Roots,
    /// Path and reason.
    pub(super) skipped: Vec<(String, String)>,
}

/// Looks for all that the paths name.
pub(super) fn scan(paths: &[PathBuf]) -> Result<Scan, ScanError> {
    let mut surveyor = Scanner::default();
    for path in paths {
        surveyor.top(path)?;
    }
    let Scanner { builder, roots, mut skipped, skipped_beyond } = surveyor;
    let list = builder.finish().map_err(|_| {
        let (path, reason) = skipped.first().cloned().unwrap_or_default();
        ScanError::Nothing(path, reason)
    })?;
    if skipped_beyond > 0 {
        skipped.push(("…".to_owned(), format!("{skipped_beyond} more")));
    }
    Ok(Scan { list, roots, skipped })
}

#[derive(Debug, Default)]
struct Scanner {
    builder: Builder,
    roots: Roots,
    skipped: Vec<(String, String)>,
    skipped_beyond: usize,
}

impl Scanner {
    /// Takes one path that the user gave.
    fn top(&mut self, path: &Path) -> Result<(), ScanError> {
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ScanError::NoSuchFile(path.to_owned()),
            _ => ScanError::NotReadable(path.to_owned(), error),
        })?;
        // What was asked for by name must be there for the taking; what is found below it may be left out.
        let readable = match () {
            () if metadata.is_dir() => fs::read_dir(path).map(drop),
            () if metadata.is_file() => open_source(path, true).map(drop),
            () => Ok(()),
        };
        readable.map_err(|error| ScanError::NotReadable(path.to_owned(), error))?;
        // `.`, `..` and what ends in them have no name of their own.
        let canonical;
        let name = match path.file_name() {
            Some(name) => name,
            None => {
                canonical = path.canonicalize().map_err(|error| ScanError::NotReadable(path.to_owned(), error))?;
                canonical.file_name().unwrap_or_default()
            }
        };
        let name = match name.to_str().ok_or(FileNameError::NotUtf8).and_then(Name::new) {
            Ok(name) => name,
            Err(fault) => return self.skip(path, fault.to_string()),
        };
        if self.roots.0.insert(name.as_str().to_owned(), path.to_owned()).is_some() {
            return Err(ScanError::SameName(path.to_owned()));
        }
        self.entry(path, name, &metadata, true)
    }

    fn entry(&mut self, path: &Path, name: Name<'_>, metadata: &Metadata, follow: bool) -> Result<(), ScanError> {
        if metadata.is_dir() {
            return self.folder(path, name, metadata);
        }
        if !metadata.is_file() {
            return self.skip(path, kind_of(metadata));
        }
        match open_source(path, follow) {
            Ok((_, metadata)) if metadata.is_file() => {
                self.builder.file(name, meta_of(&metadata), metadata.len()).map_err(|_| ScanError::TooMany)
            }
            Ok(_) => self.skip(path, "it changes while it is looked at"),
            Err(error) => self.skip(path, io_error_text(&error)),
        }
    }

    fn folder(&mut self, path: &Path, name: Name<'_>, metadata: &Metadata) -> Result<(), ScanError> {
        let entries = fs::read_dir(path).and_then(|entries| {
            let names = entries.map(|entry| Ok(entry?.file_name()));
            names.collect::<io::Result<Vec<_>>>()
        });
        let mut names = match entries {
            Ok(names) => names,
            Err(error) => return self.skip(path, io_error_text(&error)),
        };
        match self.builder.enter(name, meta_of(metadata)) {
            Ok(()) => {}
            Err(error @ ManifestError::Deep) => return self.skip(path, error.to_string()),
            Err(_) => return Err(ScanError::TooMany),
        }
        names.sort_unstable();
        for name in names {
            self.inside(&path.join(&name), &name)?;
        }
        // The folder was entered above.
        self.builder.leave().map_err(|_| ScanError::TooMany)
    }

    fn inside(&mut self, path: &Path, name: &OsStr) -> Result<(), ScanError> {
        let name = match name.to_str().ok_or(FileNameError::NotUtf8).and_then(Name::new) {
            Ok(name) => name,
            Err(fault) => return self.skip(path, fault.to_string()),
        };
        if name.as_str().starts_with(PARTIAL_PREFIX) {
            return self.skip(path, "a file that p2pchat has not received whole");
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) => self.entry(path, name, &metadata, false),
            Err(error) => self.skip(path, io_error_text(&error)),
        }
    }

    /// Leaves something out; never an error, so that it can stand at the end of a step.
    fn skip(&mut self, path: &Path, reason: impl Into<String>) -> Result<(), ScanError> {
        if self.skipped.len() < SKIPPED {
            self.skipped.push((path.display().to_string(), reason.into()));
        } else {
            self.skipped_beyond += 1;
        }
        Ok(())
    }
}

/// Opens a file to be read, and never waits for the other end of a pipe that took its place.
pub(super) fn open_source(path: &Path, follow: bool) -> io::Result<(File, Metadata)> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(if follow { libc::O_NONBLOCK } else { libc::O_NONBLOCK | libc::O_NOFOLLOW });
    }
    #[cfg(not(unix))]
    let _ = follow;
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// What the wire keeps of a status.
pub(super) fn meta_of(metadata: &Metadata) -> Meta {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Meta {
            mode: u16::try_from(metadata.mode() & 0o777).unwrap_or(0o600),
            seconds: metadata.mtime(),
            nanos: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
        }
    }
    #[cfg(not(unix))]
    {
        let since = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let since = since.unwrap_or_default();
        Meta {
            mode: if metadata.is_dir() { 0o755 } else { 0o644 },
            seconds: i64::try_from(since.as_secs()).unwrap_or(0),
            nanos: since.subsec_nanos(),
        }
    }
}

fn kind_of(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        return "a symbolic link";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_block_device() || kind.is_char_device() {
            return "a device";
        }
    }
    "no regular file"
}
