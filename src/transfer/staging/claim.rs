//! The folder itself: its name, its lock, and whether it may be trusted.

use super::fs::{create_folder, file_id, file_id_at, is_private, open_file, open_folder, remove_folder};
use super::results::Results;
use super::{OFFER, local_name, remove_all_but};
use crate::keys::{PublicKey, base32};
use crate::protocol::frame::{Digest, LIST_BYTES};
use crate::transfer::STAGING_PREFIX;
use crate::transfer::manifest::{self, Manifest};
use cap_std::fs::{Dir, OpenOptions};
use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

pub(super) const RESULTS: &str = "results";
const TITLE: &str = "p2pchat offer 1";
/// Bytes of `offer` beside the list: title, key, name.
const HEAD_BYTES: u32 = 1_024;
const CONTEXT: &str = "p2pchat/1 staging";
/// Bytes of a name's secret part: nobody guesses it.
const NAME_BYTES: usize = 10;
/// How long a lock is tried for: as long as a run of ours that was just cancelled may need to let it go.
const LOCK_TIME: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(20);

/// What `offer` holds: whose transfer it is, and the list as it came. [`Claim::read_offer`] takes it apart.
pub(crate) fn offer_file(peer: PublicKey, peer_name: &str, manifest: &Manifest) -> Vec<u8> {
    let head = format!("{TITLE}\n{}\n{}\n", peer.to_text(), local_name(peer_name, false));
    [head.into_bytes(), manifest.encode()].concat()
}

/// The name of the folder for a list from a peer: found again by who offers the same again, guessed by nobody.
pub(crate) fn staging_name(own_private: &[u8; 32], peer: PublicKey, list: &Digest) -> String {
    let mut material = Zeroizing::new([0; 96]);
    let parts = [own_private, &peer.0, list];
    for (to, from) in material.chunks_exact_mut(32).zip(parts) {
        to.copy_from_slice(from);
    }
    named(&blake3::derive_key(CONTEXT, material.as_slice()))
}

fn named(secret: &[u8]) -> String {
    format!("{STAGING_PREFIX}{}", base32(secret.get(..NAME_BYTES).unwrap_or_default()))
}

fn random_name() -> io::Result<String> {
    let mut random = [0; NAME_BYTES];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(named(&random))
}

/// A folder that this run alone uses.
#[derive(Debug)]
pub(super) struct Claim {
    dir: Dir,
    name: String,
    /// Its lock is that of the folder.
    pub(super) results: Results,
}

impl Claim {
    /// Makes or takes the folder of this name; none when it is not ours, open to others, no folder, or locked for too long.
    pub(super) fn take(dest: &Dir, name: &str) -> io::Result<Option<Self>> {
        let begun = Instant::now();
        loop {
            let fresh = match create_folder(dest, name, 0o700) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                Err(error) => return Err(error),
            };
            match Self::existing(dest, name, fresh) {
                Ok(claim) => return Ok(Some(claim)),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotFound)
                        && begun.elapsed() < LOCK_TIME => {}
                Err(_) => return Ok(None),
            }
            thread::sleep(RETRY);
        }
    }

    /// One try.
    ///
    /// # Errors
    /// `WouldBlock` when it is locked, `NotFound` when it went meanwhile, `PermissionDenied` when it is not closed to other users.
    pub(super) fn existing(dest: &Dir, name: &str, fresh: bool) -> io::Result<Self> {
        let dir = open_folder(dest, name)?;
        if !is_private(&dir, fresh) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is not closed to other users"));
        }
        let results = open_file(&dir, RESULTS, true)?;
        results.try_lock().map_err(io::Error::from)?;
        // Its last user may have removed it between the two calls above.
        let is_current = file_id_at(dest, name)? == file_id(&dir.try_clone()?.into_std_file())?
            && file_id_at(&dir, RESULTS)? == file_id(&results)?;
        if is_current {
            Ok(Self { dir, name: name.to_owned(), results: Results::new(results) })
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// A new folder, which no later run finds again by itself.
    pub(super) fn take_random(dest: &Dir) -> io::Result<Self> {
        Self::take(dest, &random_name()?)?.ok_or_else(|| io::ErrorKind::PermissionDenied.into())
    }

    pub(super) fn dir(&self) -> &Dir {
        &self.dir
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Writes the file `offer`.
    pub(super) fn write_offer(&self, offer: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        self.dir.open_with(OFFER, &options)?.write_all(offer)
    }

    /// Whether this is what `offer` holds.
    pub(super) fn is_of(&self, offer: &[u8]) -> bool {
        self.offer().is_ok_and(|there| there == offer)
    }

    fn offer(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open_file(&self.dir, OFFER, false)?.take(u64::from(LIST_BYTES + HEAD_BYTES)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The peer, its name, and the list.
    pub(super) fn read_offer(&self) -> Option<(PublicKey, String, Manifest)> {
        let bytes = self.offer().ok()?;
        let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
        let mut text = || str::from_utf8(lines.next()?).ok();
        if text()? != TITLE {
            return None;
        }
        let (peer, name) = (PublicKey::from_text(text()?)?, text()?.to_owned());
        Some((peer, name, manifest::read(lines.next()?).ok()?))
    }

    /// Removes everything but `results`, and `offer` first: what a run leaves that is killed meanwhile is made anew by the next one, in
    /// the same place.
    pub(super) fn clear(&self) -> io::Result<()> {
        match self.dir.remove_file(OFFER) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => remove_all_but(&self.dir, |name| name == RESULTS),
        }
    }

    /// Removes the folder and all in it, and then lets go of the lock.
    pub(super) fn remove(self, dest: &Dir) -> io::Result<()> {
        if cfg!(windows) {
            // What somebody reads is neither removed nor made anew there, so the folder gets a name first at which nobody looks. A kill
            // right after that leaves it.
            let Self { dir, name, results } = self;
            drop((dir, results));
            let hidden = random_name()?;
            dest.rename(&name, dest, &hidden)?;
            return remove_folder(dest, &hidden);
        }
        self.clear()?;
        self.dir.remove_file(RESULTS)?;
        match dest.remove_dir(&self.name) {
            // Without `results` it is free, and another run has taken it.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => removed,
        }
    }
}
