//! What becomes of the paths of one `/send`: a list, and where its files are on this side.
//!
//! A path that the user gave is followed when it is a link, as `scp` does; below it no link is. What is found below and cannot be
//! sent (a link, a socket, a folder that cannot be read) is left out, and the list says so, for the receiver's user. Only this side hears
//! that this program's own data, other private keys of its kind, and the staging folders of downloads are left out, too.

#[cfg(test)]
mod tests;

use super::STAGING_PREFIX;
use super::file_name::{Name, offered_names};
use super::manifest::{Builder, ListEntry, Manifest, ManifestError, Meta, OMITTED_NAMED, Omitted};
use crate::command::CommandError;
use crate::error_text::io_error_text;
use crate::identity::is_private_key;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Numbers of reasons on the wire (PROTOCOL.md section 8).
const UNREADABLE: u8 = 0;
const SYMBOLIC_LINK: u8 = 1;
#[cfg(unix)]
const PIPE: u8 = 2;
#[cfg(unix)]
const SOCKET: u8 = 3;
#[cfg(unix)]
const DEVICE: u8 = 4;
const OTHER: u8 = 5;
const DEEP: u8 = 6;
const PRIVATE_KEY: &str = "it is a private key of p2pchat, which is never sent";
const OWN_DATA: &str = "it is p2pchat's own data, which is never sent";

/// What is not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The first of them: local path and reason.
    pub named: Vec<(PathBuf, String)>,
    /// How many there are beside them.
    pub more: usize,
}

impl LeftOut {
    fn add(&mut self, path: &Path, reason: impl Into<String>) {
        if self.named.len() < OMITTED_NAMED {
            self.named.push((path.to_owned(), reason.into()));
        } else {
            self.more += 1;
        }
    }
}

/// Where the entries of a list are on this side.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// By the name at the top of the list.
    tops: BTreeMap<String, PathBuf>,
    /// Names on the disk, where they are others than in the list.
    names: BTreeMap<ListEntry, OsString>,
}

impl Roots {
    /// The local path of a file of the list; of a stream its name.
    pub(super) fn path(&self, list: &Manifest, index: usize) -> PathBuf {
        self.path_of(list, ListEntry::File(index))
    }

    fn path_of(&self, list: &Manifest, entry: ListEntry) -> PathBuf {
        match list.named(entry) {
            Some((name, Some(folder))) => {
                let mut path = self.path_of(list, ListEntry::Folder(folder));
                path.push(self.names.get(&entry).map_or(OsStr::new(name), OsString::as_os_str));
                path
            }
            Some((name, None)) => self.tops.get(name).cloned().unwrap_or_else(|| name.into()),
            None => PathBuf::new(),
        }
    }
}

/// What was found.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) list: Manifest,
    pub(super) roots: Roots,
    pub(super) left_out: LeftOut,
}

fn at(code: &'static str, path: &Path, text: &str) -> CommandError {
    CommandError::new(code, format!("{}: {text}", path.display()))
}

fn too_many<T>(_: T) -> CommandError {
    CommandError::new("too-many-files", "too many files for one transfer\nsend parts of them, or an archive")
}

/// Looks for all that the paths name. `data_dir` is this program's own. Ends early once `stop` is set.
pub(super) fn scan(paths: &[PathBuf], data_dir: &Path, stop: &AtomicBool) -> Result<Scan, CommandError> {
    let mut scanner = Scanner {
        builder: Builder::default(),
        roots: Roots::default(),
        left_out: LeftOut::default(),
        above: String::new(),
        omitted: Vec::new(),
        omitted_more: 0,
        // A folder that is not there holds nothing.
        data_dir: data_dir.canonicalize().ok(),
        data_dir_here: None,
        stop,
    };
    for path in paths {
        scanner.top(path)?;
    }
    let Scanner { mut builder, roots, left_out, omitted, omitted_more, .. } = scanner;
    if builder.is_empty() {
        let (path, reason) = left_out.named.into_iter().next().unwrap_or_default();
        return Err(at("nothing-to-send", &path, &format!("nothing to send there: {reason}")));
    }
    let rest = Omitted { path: String::new(), count: omitted_more, reason: OTHER };
    for omitted in omitted.into_iter().chain((omitted_more > 0).then_some(rest)) {
        builder.omit(omitted).map_err(too_many)?;
    }
    let list = builder.finish().map_err(too_many)?;
    Ok(Scan { list, roots, left_out })
}

struct Scanner<'a> {
    builder: Builder,
    roots: Roots,
    left_out: LeftOut,
    /// The path in the list of the folder that is open, with a `/`; empty at the top.
    above: String,
    /// What the peer is told of that is not sent.
    omitted: Vec<Omitted>,
    omitted_more: u32,
    data_dir: Option<PathBuf>,
    /// The same as a path below the one that is looked at.
    data_dir_here: Option<PathBuf>,
    stop: &'a AtomicBool,
}

impl Scanner<'_> {
    /// Takes one path that the user gave.
    fn top(&mut self, path: &Path) -> Result<(), CommandError> {
        let not_readable = |error| at("not-readable", path, &io_error_text(&error));
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                at("no-such-file", path, "no such file or folder")
            }
            _ => not_readable(error),
        })?;
        // What was asked for by name must be there for the taking; what is found below it may be left out.
        let readable = match () {
            () if metadata.is_dir() => fs::read_dir(path).map(drop),
            () if metadata.is_file() => open_source(path, true).map(drop),
            () => Ok(()),
        };
        readable.map_err(not_readable)?;
        let canonical = path.canonicalize().map_err(not_readable)?;
        if let Some(data_dir) = &self.data_dir {
            if canonical.starts_with(data_dir) {
                self.left_out.add(path, OWN_DATA);
                return Ok(());
            }
            self.data_dir_here = data_dir.strip_prefix(&canonical).ok().map(|below| path.join(below));
        }
        // `.`, `..` and what ends in them have no name of their own.
        let Some(name) = path.file_name().or(canonical.file_name()) else {
            self.left_out.add(path, "it has no name");
            return Ok(());
        };
        let names = [name.to_owned()];
        let Some(offered) = offered_names(&names).pop() else { return Ok(()) };
        if self.roots.tops.insert(offered.to_string(), path.to_owned()).is_some() {
            let text = "two of the paths have this name\nsend them one after the other";
            return Err(at("same-name", path, text));
        }
        self.entry(path, &names[0], &offered, Ok(metadata))
    }

    fn entry(
        &mut self,
        path: &Path,
        name: &OsString,
        offered: &str,
        metadata: io::Result<Metadata>,
    ) -> Result<(), CommandError> {
        if self.stop.load(Ordering::Relaxed) {
            // Nobody hears of it.
            return Err(CommandError::new("cancelled", "cancelled"));
        }
        let (reason, error) = match metadata {
            Ok(metadata) if metadata.is_dir() => return self.folder(path, name, offered, &metadata),
            Ok(metadata) if metadata.is_file() => {
                let open = || open_source(path, self.above.is_empty()).map(|(file, _)| file);
                if is_private_key(metadata.len(), open) {
                    self.left_out.add(path, PRIVATE_KEY);
                    return Ok(());
                }
                return self.file(name, offered, meta_of(&metadata), metadata.len());
            }
            Ok(metadata) => (kind_of(&metadata), None),
            Err(error) => (UNREADABLE, Some(error)),
        };
        self.omit(path, offered, reason, error.as_ref());
        Ok(())
    }

    fn file(&mut self, name: &OsString, offered: &str, meta: Meta, size: u64) -> Result<(), CommandError> {
        let checked = Name::new(offered).map_err(too_many)?;
        let index = self.builder.file(checked, meta, size).map_err(too_many)?;
        if name != offered {
            self.roots.names.insert(ListEntry::File(index), name.clone());
        }
        Ok(())
    }

    fn folder(&mut self, path: &Path, name: &OsString, offered: &str, metadata: &Metadata) -> Result<(), CommandError> {
        if self.data_dir_here.as_deref() == Some(path) {
            self.left_out.add(path, OWN_DATA);
            return Ok(());
        }
        if name.as_encoded_bytes().starts_with(STAGING_PREFIX.as_bytes()) {
            self.left_out.add(path, "it holds what p2pchat has not received whole");
            return Ok(());
        }
        let entries = fs::read_dir(path).and_then(|entries| {
            entries
                .map(|entry| entry.map(|entry| (entry.file_name(), entry.metadata())))
                .collect::<io::Result<Vec<_>>>()
        });
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                self.omit(path, offered, UNREADABLE, Some(&error));
                return Ok(());
            }
        };
        let checked = Name::new(offered).map_err(too_many)?;
        let index = match self.builder.enter(checked, meta_of(metadata)) {
            Ok(index) => index,
            Err(ManifestError::Deep) => {
                self.omit(path, offered, DEEP, None);
                return Ok(());
            }
            Err(error) => return Err(too_many(error)),
        };
        if name != offered {
            self.roots.names.insert(ListEntry::Folder(index), name.clone());
        }
        let above = self.above.len();
        self.above.extend([offered, "/"]);
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let (names, metadata): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        for ((name, offered), metadata) in names.iter().zip(offered_names(&names)).zip(metadata) {
            self.entry(&path.join(name), name, &offered, metadata)?;
        }
        self.above.truncate(above);
        // The folder was entered above.
        self.builder.leave().map_err(too_many)
    }

    /// Leaves something out, and says so to both sides.
    fn omit(&mut self, path: &Path, offered: &str, reason: u8, error: Option<&io::Error>) {
        let omitted = Omitted { path: format!("{}{offered}", self.above), count: 1, reason };
        self.left_out.add(path, error.map_or_else(|| omitted.reason().to_owned(), io_error_text));
        if self.omitted.len() < OMITTED_NAMED {
            self.omitted.push(omitted);
        } else {
            self.omitted_more = self.omitted_more.saturating_add(1);
        }
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

fn kind_of(metadata: &Metadata) -> u8 {
    let kind = metadata.file_type();
    if kind.is_symlink() {
        return SYMBOLIC_LINK;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_socket() {
            return SOCKET;
        }
        if kind.is_fifo() {
            return PIPE;
        }
        if kind.is_block_device() || kind.is_char_device() {
            return DEVICE;
        }
    }
    OTHER
}
