//! The text file that has the folders in which transfers were received, one a line, so that what is unfinished is found again.

use crate::private_file;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "partial-folders";
/// Folders that are looked into; the oldest are forgotten.
const MOST: usize = 256;
/// The largest file that is read: so many folders with long paths.
const BYTES: u64 = 1 << 20;

/// All recorded folders, the latest last.
pub(crate) fn all(data_dir: &Path) -> Vec<PathBuf> {
    let mut bytes = Vec::new();
    let file = private_file::open(&data_dir.join(FILE), fs::File::options().read(true));
    let read = file.and_then(|file| file.take(BYTES).read_to_end(&mut bytes));
    if read.is_err() {
        return Vec::new();
    }
    let mut found: Vec<PathBuf> = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if let Some(path) = from_bytes(line)
            && path.is_absolute()
            && !found.contains(&path)
        {
            found.push(path);
        }
    }
    let spare = found.len().saturating_sub(MOST);
    found.split_off(spare)
}

/// The full path of a folder, in the form that people know: on Windows without `\\?\`, where that is not needed.
///
/// # Errors
/// When it is not there; on Windows, when it is on another machine, where `cap-std` does not find the way back from an open folder.
pub(crate) fn full_path(folder: &Path) -> io::Result<PathBuf> {
    let path = dunce::canonicalize(folder)?;
    if cfg!(windows) && path.as_os_str().as_encoded_bytes().starts_with(br"\\?\UNC\") {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "it is on another machine, and must be on this one"));
    }
    Ok(path)
}

/// Adds a folder, by its full path. A path that cannot stand in a line is not recorded, and what is in it is found only by who offers it
/// again.
pub(crate) fn record(data_dir: &Path, dest: &Path) -> io::Result<()> {
    let line = line(dest);
    if dest.as_os_str().as_encoded_bytes().contains(&b'\n') || all(data_dir).iter().any(|there| there == dest) {
        return Ok(());
    }
    // One write, so that lines of two programs do not mix.
    private_file::append(&data_dir.join(FILE), &mut private_file::options())?.write_all(&line)
}

/// Writes the file anew with these folders.
pub(super) fn keep(data_dir: &Path, dests: &[PathBuf]) -> io::Result<()> {
    let lines: Vec<u8> = dests.iter().flat_map(|dest| line(dest)).collect();
    private_file::replace(&data_dir.join(FILE), &lines)
}

fn line(dest: &Path) -> Vec<u8> {
    [dest.as_os_str().as_encoded_bytes(), b"\n"].concat()
}

#[cfg(unix)]
fn from_bytes(line: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(line)))
}

#[cfg(not(unix))]
fn from_bytes(line: &[u8]) -> Option<PathBuf> {
    Some(PathBuf::from(str::from_utf8(line).ok()?))
}
