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

/// Opens a file of ours to append to it, or makes it. One that was there is closed to others, too.
///
/// # Errors
/// Also for what is no ordinary file.
pub(crate) fn append(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // A pipe in its place would hold the program up.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NONBLOCK);
    let file = options.append(true).create(true).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if found.permissions().mode() & 0o077 != 0 {
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
