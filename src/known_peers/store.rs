//! `known_peers` on disk: read whole, replaced whole, changed under a lock.

use super::PeersError;
use super::file::Book;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// The file's name.
pub(super) const FILE: &str = "known_peers";
/// Held while the file is changed. A file of its own, since the other is replaced.
const LOCK: &str = "known_peers.lock";
/// Written in full, then renamed. One name is enough: only who holds the lock writes it.
pub(super) const NEW: &str = "known_peers.new";
/// The largest file that is read, in bytes: some hundred thousand peers.
pub(super) const FILE_BYTES: u64 = 16 << 20;

/// Waits for the lock and holds it as long as the file that is returned is open. Creates the folder when it is missing.
pub(super) fn lock(dir: &Path) -> Result<File, PeersError> {
    create_dir(dir)?;
    let path = dir.join(LOCK);
    let lock = private().create(true).truncate(false).open(&path).map_err(failed("open", &path))?;
    lock.lock().map_err(failed("lock", &path))?;
    Ok(lock)
}

pub(super) fn read(path: &Path) -> Result<Book, PeersError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
        Err(source) => return Err(failed("read", path)(source)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if u64::try_from(bytes.len()).is_ok_and(|size| size > FILE_BYTES) {
        return Err(PeersError::TooLarge { path: path.to_path_buf() });
    }
    Ok(Book::from_bytes(&bytes))
}

/// Puts a new file in the place of the old: after a crash either the one or the other is there, whole.
pub(super) fn replace(dir: &Path, bytes: &[u8]) -> Result<(), PeersError> {
    let (path, new) = (dir.join(FILE), dir.join(NEW));
    // One that a crash left behind.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &new)(error)),
        _ => {}
    }
    let mut file = private().create_new(true).open(&new).map_err(failed("create", &new))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", &new))?;
    drop(file);
    fs::rename(&new, &path).map_err(failed("replace", &path))?;
    if cfg!(unix) {
        // The rename itself is only durable with its folder.
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))?;
    }
    Ok(())
}

/// Who one talks to is nobody else's business.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn create_dir(dir: &Path) -> Result<(), PeersError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(failed("create", dir))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PeersError {
    move |source| PeersError::Io { action, path: path.to_path_buf(), source }
}
