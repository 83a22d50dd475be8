//! `known_peers` on disk: read whole, replaced whole, changed under a lock.

use super::{Encounter, KnownPeer, KnownPeers, RecordedPeer, local_name};
use crate::error_text::io_error_text;
use crate::identity::DATA_HINT;
use crate::keys::PublicKey;
use crate::notice::Trust;
use crate::private_file;
use crate::text::SafeText;
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use thiserror::Error;

/// The file's name.
pub(super) const FILE: &str = "known_peers";
/// Held while the file is changed. A file of its own, since the other is replaced.
const LOCK: &str = "known_peers.lock";
/// The largest file that is read, in bytes: some hundred thousand peers.
pub(super) const FILE_BYTES: u64 = 16 << 20;
/// How long the lock is tried for: another process holds it for milliseconds, unless it or its disk is stuck.
const LOCK_TIME: Duration = Duration::from_secs(2);
/// Pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Why the file could not be used or changed, in words.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct PeersError(pub(super) String);

impl PeersError {
    pub(crate) fn no_such_peer(name: &str) -> Self {
        Self(format!("no peer is known as {}\nthose that are: p2pchat peers list", SafeText::clean(name)))
    }
}

/// The way to the file; holds nothing of it, since other processes change it.
#[derive(Debug, Clone)]
pub struct KnownPeersFile {
    dir: PathBuf,
}

impl KnownPeersFile {
    /// The file in `data_dir`. Neither has to exist.
    pub fn new(data_dir: &Path) -> Self {
        Self { dir: data_dir.to_path_buf() }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Reads it. A line that cannot be read is no error: see [`KnownPeers::problems`].
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub fn read(&self) -> Result<KnownPeers, PeersError> {
        let path = self.path();
        let file = match private_file::open(&path, File::options().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(KnownPeers::default()),
            Err(source) => return Err(failed("read", &path)(source)),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed("read", &path))?;
        if u64::try_from(bytes.len()).is_ok_and(|size| size > FILE_BYTES) {
            return Err(PeersError(format!("{} is larger than {FILE_BYTES} bytes", path.display())));
        }
        Ok(KnownPeers::from_bytes(&bytes))
    }

    /// Records an encounter.
    ///
    /// # Errors
    /// When the file cannot be changed.
    pub fn record(&self, encounter: &Encounter) -> Result<RecordedPeer, PeersError> {
        self.change(|peers| Ok(peers.record(encounter)))
    }

    /// Marks a peer as verified.
    ///
    /// # Errors
    /// When it is not in the file any more, or when the file cannot be changed.
    pub fn verify(&self, key: &PublicKey) -> Result<(), PeersError> {
        self.change(|peers| {
            let gone =
                "this peer is not in the file of known peers any more\nit was taken out while you were connected";
            peers.edit(|peer| peer.key == *key).ok_or(PeersError(gone.into()))?.trust = Trust::Verified;
            Ok(())
        })
    }

    /// Takes a peer out; at the next encounter it is new.
    ///
    /// # Errors
    /// When there is no such peer, or the file cannot be changed.
    pub fn forget(&self, name: &str) -> Result<KnownPeer, PeersError> {
        self.change(|peers| peers.remove(name).ok_or_else(|| PeersError::no_such_peer(name)))
    }

    /// Gives a peer another local name.
    ///
    /// # Errors
    /// When there is no such peer, the name is taken or none, or the file cannot be changed.
    pub fn rename(&self, old: &str, new: &str) -> Result<(), PeersError> {
        if local_name(new) != new {
            let why = "a name has no control characters and no spaces at its ends";
            return Err(PeersError(format!("{} cannot be the name of a peer\n{why}", SafeText::clean(new))));
        }
        self.change(|peers| peers.rename(old, new))
    }

    /// Reads, changes and writes under the lock. Nothing is written when `change` fails.
    fn change<T>(&self, change: impl FnOnce(&mut KnownPeers) -> Result<T, PeersError>) -> Result<T, PeersError> {
        // Held to the end of this function.
        let _lock = self.lock()?;
        let mut peers = self.read()?;
        let result = change(&mut peers)?;
        let path = self.path();
        private_file::replace(&path, &peers.to_bytes()).map_err(failed("replace", &path))?;
        Ok(result)
    }

    /// The lock is held as long as the file that is returned is open. Creates the folder when it is missing.
    fn lock(&self) -> Result<File, PeersError> {
        private_file::make_dir(&self.dir).map_err(failed("create", &self.dir))?;
        let path = self.dir.join(LOCK);
        let mut options = private_file::options();
        let lock = private_file::open(&path, options.write(true).create(true).truncate(false));
        let lock = lock.map_err(failed("open", &path))?;
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_TIME => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::WouldBlock) => {
                    let (path, seconds) = (path.display(), LOCK_TIME.as_secs());
                    return Err(PeersError(format!("another program has held {path} for {seconds} seconds")));
                }
                Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
            }
        }
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PeersError {
    move |error| PeersError(format!("could not {action} {}: {}\n{DATA_HINT}", path.display(), io_error_text(&error)))
}
