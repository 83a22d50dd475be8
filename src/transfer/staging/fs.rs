//! File system calls of the staging folder: none follows a link, none replaces what it did not make.

use super::local_name::refuses_name;
use crate::error_text::io_error_text;
use crate::protocol::frame::Reason;
use crate::transfer::manifest::Meta;
use cap_std::fs::{Dir, DirBuilder, OpenOptions};
use std::fs::{File, FileTimes};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// What the file system refused, and where.
#[derive(Debug, Error)]
#[error("{}: {}", path.display(), io_error_text(source))]
pub(crate) struct Problem {
    path: PathBuf,
    source: io::Error,
}

impl Problem {
    pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { path, source }
    }

    /// The reason for CANCEL.
    pub(crate) fn reason(&self) -> Reason {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reason::Space,
            _ => Reason::Io,
        }
    }

    /// Whether it concerns one file alone: its size or its name. In a folder of our own anything else concerns all files.
    pub(crate) fn is_of_one_file(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::AlreadyExists)
            || refuses_name(&self.source)
    }

    /// What the peer may know of it: the class, no path.
    pub(crate) fn class(&self) -> &'static str {
        match self.reason() {
            Reason::Space => "the disk is full",
            _ => "the disk does not take it",
        }
    }
}

/// Opens a real folder, never a link to one.
pub(super) fn open_folder(above: &Dir, name: &str) -> io::Result<Dir> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NOFOLLOW | libc::O_DIRECTORY);
    }
    #[cfg(windows)]
    {
        use cap_std::fs::OpenOptionsExt;
        // The default way to share lets others rename it meanwhile, which `Dir::open_dir` does not.
        options.access_mode(windows::READ_AND_SET_TIMES).custom_flags(windows::FOLDER_OR_LINK);
    }
    let file = above.open_with(name, &options)?.into_std();
    if cfg!(windows) && !file.metadata()?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(Dir::from_std_file(file))
}

/// Constants of Windows' `CreateFile`.
#[cfg(windows)]
mod windows {
    /// GENERIC_READ and FILE_WRITE_ATTRIBUTES.
    pub(super) const READ_AND_SET_TIMES: u32 = 0x8000_0000 | 0x0100;
    /// FILE_FLAG_BACKUP_SEMANTICS opens folders, FILE_FLAG_OPEN_REPARSE_POINT a link itself.
    pub(super) const FOLDER_OR_LINK: u32 = 0x0200_0000 | 0x0020_0000;
}

/// Makes a folder. The owner may fill it, whatever mode it gets in the end.
pub(super) fn create_folder(above: &Dir, name: &str, mode: u16) -> io::Result<()> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has a mode to set"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use cap_std::fs::DirBuilderExt;
        builder.mode(u32::from(mode) | 0o700);
    }
    #[cfg(not(unix))]
    let _ = mode;
    above.create_dir_with(name, &builder)
}

/// Makes a new file to be written. The owner may write it, whatever mode it gets in the end.
pub(super) fn create_file(dir: &Dir, name: &str, mode: u16) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt;
        options.mode(u32::from(mode) | 0o600);
    }
    #[cfg(not(unix))]
    let _ = mode;
    Ok(dir.open_with(name, &options)?.into_std())
}

/// Opens a regular file of ours for reading and writing; makes it when `create` says so.
pub(super) fn open_file(dir: &Dir, name: &str, create: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt;
        // A pipe would let the open wait.
        options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    }
    let file = dir.open_with(name, &options)?.into_std();
    let metadata = file.metadata()?;
    #[cfg(unix)]
    let linked = std::os::unix::fs::MetadataExt::nlink(&metadata) > 1;
    #[cfg(not(unix))]
    let linked = false;
    if metadata.is_file() && !linked { Ok(file) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Whether a folder is ours and closed to others. `fresh`: we made it just now, and on a file system without modes it looks open.
pub(super) fn is_private(dir: &Dir, fresh: bool) -> bool {
    #[cfg(unix)]
    {
        use cap_std::fs::MetadataExt;
        let own = nix::unistd::geteuid().as_raw();
        dir.dir_metadata().is_ok_and(|there| there.uid() == own && (fresh || there.mode() & 0o077 == 0))
    }
    #[cfg(not(unix))]
    {
        let _ = (dir, fresh);
        true
    }
}

/// What tells a file or folder from all others, whatever its name.
#[cfg(unix)]
pub(super) type FileId = (u64, u64);
#[cfg(windows)]
pub(super) type FileId = same_file::Handle;

pub(super) fn file_id(file: &File) -> io::Result<FileId> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        file.metadata().map(|found| (found.dev(), found.ino()))
    }
    #[cfg(windows)]
    same_file::Handle::from_file(file.try_clone()?)
}

/// The same of what has that name now.
pub(super) fn file_id_at(dir: &Dir, name: &str) -> io::Result<FileId> {
    #[cfg(unix)]
    {
        use cap_std::fs::MetadataExt;
        dir.symlink_metadata(name).map(|found| (found.dev(), found.ino()))
    }
    #[cfg(windows)]
    {
        use cap_std::fs::OpenOptionsExt;
        let mut options = OpenOptions::new();
        options.access_mode(0).custom_flags(windows::FOLDER_OR_LINK);
        same_file::Handle::from_file(dir.open_with(name, &options)?.into_std())
    }
}

pub(super) fn system_time(meta: Meta) -> Option<SystemTime> {
    let seconds = Duration::from_secs(meta.seconds.unsigned_abs());
    let whole = match meta.seconds {
        0.. => SystemTime::UNIX_EPOCH.checked_add(seconds),
        _ => SystemTime::UNIX_EPOCH.checked_sub(seconds),
    };
    whole?.checked_add(Duration::from_nanos(meta.nanos.into()))
}

/// Gives what is whole its times, and takes back the bits of `lent` that its mode does not have. A file system that keeps neither is no
/// reason to fail.
pub(super) fn set_meta(file: &File, time: Option<SystemTime>, mode: u16, lent: u16) {
    if let Some(time) = time {
        let _ = file.set_times(FileTimes::new().set_accessed(time).set_modified(time));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if lent & !mode != 0
            && let Ok(metadata) = file.metadata()
        {
            let left = metadata.permissions().mode() & 0o777 & !u32::from(lent & !mode);
            let _ = file.set_permissions(std::fs::Permissions::from_mode(left));
        }
    }
    #[cfg(not(unix))]
    let _ = (mode, lent);
}

/// Moves `from` to `to` and never replaces anything.
///
/// `rename` replaces silently, so three ways are tried for files, the next only where a file system has not the one before: an exclusive
/// rename; a link and an unlink; an own empty file that is renamed over. A folder is renamed when nothing is there a moment before.
///
/// # Errors
/// `AlreadyExists` when the name is taken, by whatever.
pub(super) fn move_exclusive(from_dir: &Dir, from: &str, to_dir: &Dir, to: &str, folder: bool) -> io::Result<()> {
    match rename_exclusive(from_dir, from, to_dir, to) {
        Err(error) if is_lacking(&error) => {}
        done => return done,
    }
    if folder { rename_absent(from_dir, from, to_dir, to) } else { by_link(from_dir, from, to_dir, to) }
}

fn rename_absent(from_dir: &Dir, from: &str, to_dir: &Dir, to: &str) -> io::Result<()> {
    match to_dir.symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => from_dir.rename(from, to_dir, to),
        Err(error) => Err(error),
    }
}

fn by_link(from_dir: &Dir, from: &str, to_dir: &Dir, to: &str) -> io::Result<()> {
    match from_dir.hard_link(from, to_dir, to) {
        Ok(()) => from_dir.remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A run that ended between link and unlink.
            if let (Ok(one), Ok(other)) = (file_id_at(from_dir, from), file_id_at(to_dir, to))
                && one == other
            {
                return from_dir.remove_file(from);
            }
            Err(error)
        }
        // It was moved before.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => over_own_file(from_dir, from, to_dir, to),
    }
}

fn over_own_file(from_dir: &Dir, from: &str, to_dir: &Dir, to: &str) -> io::Result<()> {
    to_dir.open_with(to, OpenOptions::new().write(true).create_new(true))?;
    from_dir.rename(from, to_dir, to).inspect_err(|_| {
        let _ = to_dir.remove_file(to);
    })
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_exclusive(from_dir: &Dir, from: &str, to_dir: &Dir, to: &str) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(from_dir, from, to_dir, to, rustix::fs::RenameFlags::NOREPLACE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_exclusive(_: &Dir, _: &str, _: &Dir, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the system or the file system has no exclusive rename.
fn is_lacking(error: &io::Error) -> bool {
    // EINVAL from a file system, ENOSYS from an old kernel, EPERM from some filters of system calls.
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

/// Removes a folder of ours and all in it. Folders that got a mode without our rights get them back first.
pub(super) fn remove_folder(above: &Dir, name: &str) -> io::Result<()> {
    above.remove_dir_all(name).or_else(|_| {
        open_up(&open_folder(above, name)?)?;
        above.remove_dir_all(name)
    })
}

fn open_up(dir: &Dir) -> io::Result<()> {
    for entry in dir.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir()
            && let Some(name) = name.to_str()
        {
            #[cfg(unix)]
            {
                use cap_std::fs::PermissionsExt;
                // `file_type` did not follow a link, and nobody else may write here.
                dir.set_permissions(name, cap_std::fs::Permissions::from_mode(0o700))?;
            }
            open_up(&open_folder(dir, name)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;

    type Way = fn(&Dir, &str, &Dir, &str) -> io::Result<()>;
    const WAYS: [Way; 4] = [rename_exclusive, by_link, over_own_file, |from_dir, from, to_dir, to| {
        move_exclusive(from_dir, from, to_dir, to, true)
    }];

    /// Whether this system has that way at all.
    fn is_there(way: Way, dir: &Dir) -> bool {
        way(dir, "nothing", dir, "anything").is_err_and(|error| error.kind() != io::ErrorKind::Unsupported)
    }

    #[test]
    fn every_way_takes_a_free_name_and_never_replaces_a_taken_one() {
        for way in WAYS {
            let temp = tempfile::tempdir().unwrap();
            let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
            if !is_there(way, &dir) {
                continue;
            }
            dir.write("part", "new").unwrap();
            dir.write("taken", "old").unwrap();
            dir.create_dir("folder").unwrap();
            #[cfg(unix)]
            dir.symlink("nowhere", "link").unwrap();
            for name in ["taken", "folder", if cfg!(unix) { "link" } else { "taken" }] {
                let error = way(&dir, "part", &dir, name).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}");
            }
            assert_eq!(dir.read_to_string("taken").unwrap(), "old");
            assert!(!dir.exists("nowhere"));
            way(&dir, "part", &dir, "free").unwrap();
            assert_eq!(dir.read_to_string("free").unwrap(), "new");
            assert!(!dir.exists("part"));
        }
    }

    #[test]
    fn a_folder_is_moved_where_nothing_is() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        dir.create_dir_all("a/in").unwrap();
        dir.create_dir("empty").unwrap();
        for way in [rename_absent, rename_exclusive].into_iter().filter(|way| is_there(*way, &dir)) {
            assert_eq!(way(&dir, "a", &dir, "empty").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        }
        rename_absent(&dir, "a", &dir, "b").unwrap();
        assert!(dir.exists("b/in"));
    }

    #[test]
    fn a_link_left_by_a_run_that_ended_between_link_and_unlink_counts_as_moved() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        dir.write("part", "new").unwrap();
        dir.hard_link("part", &dir, "name").unwrap();
        by_link(&dir, "part", &dir, "name").unwrap();
        assert!(!dir.exists("part"));
        assert_eq!(by_link(&dir, "part", &dir, "name").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(dir.read_to_string("name").unwrap(), "new");
    }
}
