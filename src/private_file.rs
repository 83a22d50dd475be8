//! Files and folders that their owner alone reads: modes 0600 and 0700 where there are modes. Elsewhere the profile's own protection
//! is all there is.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long another program that has the file open may keep it from being replaced.
const REPLACE_TIME: Duration = Duration::from_secs(2);
/// Pause between two tries.
const REPLACE_PAUSE: Duration = Duration::from_millis(10);

/// For a file that is made, to which the caller adds how it is opened.
pub(crate) fn options() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has a mode to set"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Opens an ordinary file of ours. What is checked is what was opened; a pipe in its place does not hold the program up.
///
/// # Errors
/// Also for what is no ordinary file.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let other = || io::Error::other("it is no ordinary file");
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NONBLOCK);
    let opened = options.open(path);
    // To write into a pipe that nobody reads.
    #[cfg(unix)]
    if opened.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ENXIO)) {
        return Err(other());
    }
    let file = opened?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(other()) }
}

/// Opens a file of ours to append to it, or makes it. One that was there is closed to others, too.
///
/// # Errors
/// Also for what is no ordinary file.
pub(crate) fn append(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = open(path, options.append(true).create(true))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(PermissionsExt::from_mode(0o600))?;
        }
    }
    Ok(file)
}

/// Puts a new file in the place of the old: after a crash either the one or the other is there, whole. Two programs that do so at once do
/// not mix their bytes, but only who holds a lock knows that nobody's change is lost.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new(""));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = dir.join(name);
    // One that a crash left behind may have any mode.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = options().write(true).create_new(true).open(&new)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    if let Err(error) = written.and_then(|()| rename(&new, path)) {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    sync_dir(dir)
}

/// Windows does not always replace a file that another program reads, a virus scanner say: it is tried for a while.
fn rename(new: &Path, path: &Path) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match fs::rename(new, path) {
            Err(error)
                if cfg!(windows)
                    && error.kind() == io::ErrorKind::PermissionDenied
                    && begun.elapsed() < REPLACE_TIME =>
            {
                thread::sleep(REPLACE_PAUSE);
            }
            renamed => return renamed,
        }
    }
}

/// Makes a folder, and those above it, where they are not there.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Makes a new or changed name in a folder outlast a power cut.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    // The folder of a bare name.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_whole_and_private_whatever_was_there_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let left = dir.path().join(format!("file.{}.new", std::process::id()));
        fs::write(&path, "old, and longer than the new one").unwrap();
        fs::write(&left, "what a crash left behind").unwrap();
        #[cfg(unix)]
        for file in [&path, &left] {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(file, PermissionsExt::from_mode(0o644)).unwrap();
        }
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!left.exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder");
        fs::create_dir(&path).unwrap();
        replace(&path, b"new").unwrap_err();
        let there: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(there, ["folder"]);
    }
}
