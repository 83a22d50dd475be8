//! Where files land: one opened folder, and below it only what this download opened step by step.
//!
//! Invariant: nothing outside that folder is touched, no link is followed below it, and nothing that exists is replaced
//! unless the user asked for that and it is a regular file. A file gets its name only when it is whole: till then it
//! stands beside its place under a name that begins with [`super::PARTIAL_PREFIX`] and comes of the download's [`Seed`], so that
//! a later run knows where to look for it and nobody else does. So that no peer can name such a file, a name of the peer's
//! with that beginning lands behind an underscore.

mod names;
mod publish;

#[cfg(test)]
mod tests;

pub(super) use names::{Seed, is_partial_name, partial_name};

use super::download::OnClash;
use super::manifest::{Manifest, Meta};
use crate::error_text::io_error_text;
use crate::protocol::frame::Reason;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, OpenOptions};
use names::{landed, numbered};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// How many names are tried, `a (1)`, `a (2)` and so on, before a file fails.
const CLASHES: u32 = 10_000;

/// Why something could not be put where it belongs. Our side's: the disk, or what stands there already.
#[derive(Debug, Error)]
pub(super) enum LandingError {
    /// The file system said no.
    #[error("{}: {}", path.display(), io_error_text(source))]
    Io { path: PathBuf, source: io::Error },
    /// Taken, and the user wants no other name.
    #[error("{}: exists already", .0.display())]
    Exists(PathBuf),
    /// Something that is never replaced.
    #[error("{}: stands there already and is no regular file", .0.display())]
    NotRegular(PathBuf),
    /// A link or a file where a folder must be.
    #[error("{}: stands there already and is no folder", .0.display())]
    NotFolder(PathBuf),
    /// [`CLASHES`] names are taken.
    #[error("{}: too many files of this name", .0.display())]
    Crowded(PathBuf),
    /// A folder above could not be made.
    #[error("{}: its folder could not be made", .0.display())]
    NoFolder(PathBuf),
}

impl LandingError {
    /// Names the path for which the file system said no.
    pub(super) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// The reason to end the whole transfer; none when only one file fails.
    pub(super) fn ends_all(&self) -> Option<Reason> {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    Some(Reason::Space)
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// A file that is not whole yet.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) file: File,
    /// Its own name, in the folder that is open.
    pub(super) name: String,
}

impl Partial {
    /// Whether it got its final name as well: a run ended between the link and the unlink of [`publish`].
    pub(super) fn is_linked(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            self.file.metadata().is_ok_and(|metadata| metadata.nlink() > 1)
        }
        #[cfg(not(unix))]
        false
    }
}

/// One folder on the way down.
#[derive(Debug)]
struct Level {
    /// None when it could not be made or entered.
    dir: Option<Dir>,
    path: PathBuf,
    /// What to give it when it is left, if this download made it.
    meta: Option<Meta>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Landing {
    root: Dir,
    path: PathBuf,
    levels: Vec<Level>,
    on_clash: OnClash,
    fsync: bool,
}

impl Landing {
    /// Opens the folder that receives; it must exist.
    pub(super) fn open(path: &Path, on_clash: OnClash, fsync: bool) -> Result<Self, LandingError> {
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(LandingError::at(path))?;
        Ok(Self { root, path: path.to_owned(), levels: Vec::new(), on_clash, fsync })
    }

    /// How many of the names at the top of a list exist already.
    pub(super) fn clashes(&self, list: &Manifest) -> u32 {
        let taken = list.tops().filter(|(name, _)| self.root.symlink_metadata(landed(name).as_ref()).is_ok());
        u32::try_from(taken.count()).unwrap_or(u32::MAX)
    }

    /// What makes it pointless to begin under [`OnClash::Refuse`]: a folder at the top that exists, or all that is there.
    pub(super) fn refused(&self, list: &Manifest) -> Option<LandingError> {
        if self.on_clash != OnClash::Refuse {
            return None;
        }
        let taken = |name: &str| self.root.symlink_metadata(landed(name).as_ref()).is_ok();
        let folder = list.tops().find(|(name, folder)| *folder && taken(name));
        let first = folder.or_else(|| list.tops().next().filter(|_| list.tops().all(|(name, _)| taken(name))));
        first.map(|(name, _)| LandingError::Exists(self.path.join(landed(name).as_ref())))
    }

    /// The folder that receives, as it was named.
    pub(super) fn root_path(&self) -> &Path {
        &self.path
    }

    /// Goes back to the top; the folders keep what they have.
    pub(super) fn leave_all(&mut self) {
        self.levels.clear();
    }

    /// The path of `name` in the folder that is open.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.levels.last().map_or(&self.path, |level| &level.path).join(landed(name).as_ref())
    }

    fn dir(&self) -> Option<&Dir> {
        self.levels.last().map_or(Some(&self.root), |level| level.dir.as_ref())
    }

    /// Makes a folder (or, to overwrite, enters the one that is there) and opens it; gives the name that it got. Each name
    /// is announced before it is tried. After an error the folder counts as entered, and nothing can be made in it.
    pub(super) fn enter(&mut self, name: &str, meta: Meta, announce: impl FnMut(&str)) -> Result<String, LandingError> {
        match self.make_folder(name, meta, announce) {
            Ok((dir, name, made)) => {
                let path = self.levels.last().map_or(&self.path, |level| &level.path).join(&name);
                self.levels.push(Level { dir: Some(dir), path, meta: made.then_some(meta) });
                Ok(name)
            }
            Err(error) => {
                self.levels.push(Level { dir: None, path: self.path_of(name), meta: None });
                Err(error)
            }
        }
    }

    /// Opens a folder that an earlier run made under this very name.
    pub(super) fn enter_again(&mut self, name: &str, meta: Meta) -> Result<(), LandingError> {
        let path = self.levels.last().map_or(&self.path, |level| &level.path).join(name);
        let above = self.dir().ok_or_else(|| LandingError::NoFolder(path.clone()))?;
        let dir = open_folder(above, name).map_err(LandingError::at(&path))?;
        // Under `Overwrite` it may be the user's own, which keeps its mode and time.
        let meta = (self.on_clash != OnClash::Overwrite).then_some(meta);
        self.levels.push(Level { dir: Some(dir), path, meta });
        Ok(())
    }

    /// Whether a folder of this name is one that a run may have made just before it ended: nothing is in it but a partial.
    pub(super) fn is_fresh(&self, name: &str) -> bool {
        let entries = self.dir().and_then(|above| open_folder(above, name).ok()).and_then(|dir| dir.entries().ok());
        let is_partial = |name: std::ffi::OsString| name.to_str().is_some_and(is_partial_name);
        entries.is_some_and(|mut all| all.all(|entry| entry.is_ok_and(|entry| is_partial(entry.file_name()))))
    }

    fn make_folder(
        &self,
        name: &str,
        meta: Meta,
        mut announce: impl FnMut(&str),
    ) -> Result<(Dir, String, bool), LandingError> {
        let path = self.path_of(name);
        let above = self.dir().ok_or_else(|| LandingError::NoFolder(path.clone()))?;
        let open = |name: &str| open_folder(above, name).map_err(LandingError::at(&path));
        for number in 0..CLASHES {
            let name = numbered(&landed(name), number, true);
            announce(&name);
            match above.create_dir_with(&name, &folder_builder(meta)) {
                Ok(()) => return Ok((open(&name)?, name, true)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(LandingError::Io { path, source: error }),
            }
            match self.on_clash {
                OnClash::Rename => {}
                OnClash::Refuse => return Err(LandingError::Exists(path)),
                OnClash::Overwrite => {
                    let real = above.symlink_metadata(&name).is_ok_and(|there| there.is_dir());
                    return if real { Ok((open(&name)?, name, false)) } else { Err(LandingError::NotFolder(path)) };
                }
            }
        }
        Err(LandingError::Crowded(path))
    }

    /// Leaves the innermost folder: gives it its mode and time, now that nothing more is put into it.
    pub(super) fn leave(&mut self) -> Result<(), LandingError> {
        let Some(Level { dir: Some(dir), path, meta }) = self.levels.pop() else { return Ok(()) };
        if meta.is_none() && !self.fsync {
            return Ok(());
        }
        let file = dir.into_std_file();
        if let Some(meta) = meta {
            settle(&file, meta, 0o700);
        }
        if self.fsync { file.sync_all().map_err(LandingError::at(path)) } else { Ok(()) }
    }

    /// Ends the download: with `fsync`, the names at the top are on the disk after it.
    pub(super) fn finish(&mut self) -> Result<(), LandingError> {
        while !self.levels.is_empty() {
            self.leave()?;
        }
        if self.fsync && cfg!(unix) {
            self.root.open(".").and_then(|dir| dir.sync_all()).map_err(LandingError::at(&self.path))?;
        }
        Ok(())
    }

    /// Makes a new partial in the folder that is open, for the file that will be `name`.
    pub(super) fn create(&self, partial: String, name: &str, meta: Meta) -> Result<Partial, LandingError> {
        let path = self.path_of(name);
        let dir = self.dir().ok_or_else(|| LandingError::NoFolder(path.clone()))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        {
            use cap_std::fs::OpenOptionsExt;
            // The owner may go on writing after a crash, whatever the mode that it gets in the end.
            options.mode(u32::from(meta.mode) | 0o600);
        }
        let file = dir.open_with(&partial, &options).map_err(LandingError::at(&path))?;
        Ok(Partial { file: file.into_std(), name: partial })
    }

    /// Opens a partial that an earlier run left in the folder that is open, if it is there, for the file that will be `name`.
    pub(super) fn reopen(&self, partial: &str, name: &str) -> Result<Option<Partial>, LandingError> {
        let path = self.path_of(name);
        let dir = self.dir().ok_or_else(|| LandingError::NoFolder(path.clone()))?;
        match dir.symlink_metadata(partial) {
            Ok(there) if there.is_file() => {}
            Ok(_) => return Err(LandingError::NotRegular(path.with_file_name(partial))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LandingError::Io { path, source }),
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        no_follow(&mut options, false);
        let file = dir.open_with(partial, &options).map_err(LandingError::at(&path))?;
        Ok(Some(Partial { file: file.into_std(), name: partial.to_owned() }))
    }

    /// Removes a partial.
    pub(super) fn discard(&self, partial: Partial) -> io::Result<()> {
        drop(partial.file);
        self.dir().map_or(Ok(()), |dir| dir.remove_file(partial.name))
    }

    /// Gives a whole file its mode and time, and its name; says where it stands then.
    pub(super) fn publish(&self, partial: &Partial, name: &str, meta: Meta) -> Result<PathBuf, LandingError> {
        let path = self.path_of(name);
        let dir = self.dir().ok_or_else(|| LandingError::NoFolder(path.clone()))?;
        settle(&partial.file, meta, 0o600);
        if self.fsync {
            partial.file.sync_all().map_err(LandingError::at(&path))?;
        }
        for number in 0..CLASHES {
            let name = numbered(&landed(name), number, false);
            match publish::without_replacing(dir, &partial.name, &name) {
                Ok(()) => return Ok(path.with_file_name(name)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(LandingError::Io { path, source: error }),
            }
            match self.on_clash {
                OnClash::Rename => {}
                OnClash::Refuse => return Err(LandingError::Exists(path)),
                OnClash::Overwrite => {
                    if !dir.symlink_metadata(&name).is_ok_and(|there| there.is_file()) {
                        return Err(LandingError::NotRegular(path));
                    }
                    dir.rename(&partial.name, dir, &name).map_err(LandingError::at(&path))?;
                    return Ok(path);
                }
            }
        }
        Err(LandingError::Crowded(path))
    }
}

fn folder_builder(meta: Meta) -> DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has a mode to set"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use cap_std::fs::DirBuilderExt;
        // Files are yet to be put into it; `leave` takes back what was not asked for.
        builder.mode(u32::from(meta.mode) | 0o700);
    }
    #[cfg(not(unix))]
    let _ = meta;
    builder
}

/// Opens a real folder, never a link to one.
fn open_folder(above: &Dir, name: &str) -> io::Result<Dir> {
    #[cfg(unix)]
    {
        let mut options = OpenOptions::new();
        options.read(true);
        no_follow(&mut options, true);
        Ok(Dir::from_std_file(above.open_with(name, &options)?.into_std()))
    }
    #[cfg(not(unix))]
    {
        if !above.symlink_metadata(name)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        above.open_dir(name)
    }
}

#[cfg(unix)]
fn no_follow(options: &mut OpenOptions, folder: bool) {
    use cap_std::fs::OpenOptionsExt;
    options.custom_flags(if folder {
        libc::O_NOFOLLOW | libc::O_DIRECTORY
    } else {
        libc::O_NOFOLLOW | libc::O_NONBLOCK
    });
}

#[cfg(not(unix))]
fn no_follow(_: &mut OpenOptions, _: bool) {}

/// Gives what is whole its time, and takes back the bits of `lent` that its mode does not have. A file system that keeps
/// neither is no reason to fail.
fn settle(file: &File, meta: Meta, lent: u32) {
    let beyond = Duration::new(meta.seconds.unsigned_abs(), 0);
    let seconds = match meta.seconds {
        0.. => SystemTime::UNIX_EPOCH.checked_add(beyond),
        _ => SystemTime::UNIX_EPOCH.checked_sub(beyond),
    };
    if let Some(time) = seconds.and_then(|seconds| seconds.checked_add(Duration::new(0, meta.nanos))) {
        let _ = file.set_modified(time);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let extra = lent & !u32::from(meta.mode);
        if extra != 0
            && let Ok(metadata) = file.metadata()
        {
            let mode = metadata.permissions().mode() & 0o777 & !extra;
            let _ = file.set_permissions(std::fs::Permissions::from_mode(mode));
        }
    }
    #[cfg(not(unix))]
    let _ = lent;
}
