//! Files and folders that their owner alone reads: modes 0600 and 0700 where there are modes. Elsewhere the profile's own protection
//! is all there is.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

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
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}
