//! Gives a file its name without ever replacing another.
//!
//! `rename` replaces silently, so three ways are tried, the next only where a file system has not the one before.

use cap_std::fs::{Dir, OpenOptions};
use std::io;

/// Renames `partial` to `name` in `dir`.
///
/// # Errors
/// `AlreadyExists` when the name is taken, by whatever.
pub(super) fn without_replacing(dir: &Dir, partial: &str, name: &str) -> io::Result<()> {
    match rename_exclusive(dir, partial, name) {
        Err(error) if is_lacking(&error) => by_link(dir, partial, name),
        done => done,
    }
}

fn by_link(dir: &Dir, partial: &str, name: &str) -> io::Result<()> {
    match dir.hard_link(partial, dir, name) {
        Ok(()) => dir.remove_file(partial),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) => over_own_file(dir, partial, name),
    }
}

/// For file systems without links, such as FAT: the name is taken with an empty file, which only its maker replaces.
fn over_own_file(dir: &Dir, partial: &str, name: &str) -> io::Result<()> {
    dir.open_with(name, OpenOptions::new().write(true).create_new(true))?;
    dir.rename(partial, dir, name).inspect_err(|_| {
        let _ = dir.remove_file(name);
    })
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn rename_exclusive(dir: &Dir, partial: &str, name: &str) -> io::Result<()> {
    use nix::fcntl::{RenameFlags, renameat2};
    Ok(renameat2(dir, partial, dir, name, RenameFlags::RENAME_NOREPLACE)?)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn rename_exclusive(_: &Dir, _: &str, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the system or the file system has no exclusive rename.
fn is_lacking(error: &io::Error) -> bool {
    // EINVAL from a file system, ENOSYS from an old kernel, EPERM from some filters of system calls.
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;

    type Way = fn(&Dir, &str, &str) -> io::Result<()>;
    const WAYS: [Way; 3] = [without_replacing, by_link, over_own_file];

    #[test]
    fn every_way_publishes_a_free_name_and_never_replaces_a_taken_one() {
        for way in WAYS {
            let temp = tempfile::tempdir().unwrap();
            let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
            dir.write("partial", "new").unwrap();
            dir.write("taken", "old").unwrap();
            dir.create_dir("folder").unwrap();
            for name in ["taken", "folder"] {
                let error = way(&dir, "partial", name).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{name}");
            }
            assert_eq!(dir.read_to_string("taken").unwrap(), "old");
            way(&dir, "partial", "free").unwrap();
            assert_eq!(dir.read_to_string("free").unwrap(), "new");
            assert!(!dir.exists("partial"));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_counts_as_taken() {
        for way in WAYS {
            let temp = tempfile::tempdir().unwrap();
            let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
            dir.write("partial", "new").unwrap();
            dir.symlink("nowhere", "link").unwrap();
            let error = way(&dir, "partial", "link").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert!(!dir.exists("nowhere"));
        }
    }
}
