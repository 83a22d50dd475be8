//! What is there of the file that comes next, beside the tree.

use super::fs::{Problem, move_exclusive, open_file};
use super::{Staging, remove_any};
use crate::protocol::frame::{Digest, NO_DIGEST};
use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes read at a time to hash a part.
const HASH_READ: usize = 256 * 1024;

/// What an earlier run left of the file that comes next, open and at its end.
pub(in crate::transfer) struct Part {
    pub(in crate::transfer) file: File,
    pub(in crate::transfer) hasher: blake3::Hasher,
    pub(in crate::transfer) len: u64,
}

pub(super) fn part_name(index: usize) -> String {
    format!("{index}.part")
}

impl Staging {
    /// Hashes what an earlier run left of the next file; it goes when it is of no use.
    pub(in crate::transfer) fn take_part(&self, cancelled: &AtomicBool) -> io::Result<Option<Part>> {
        let name = part_name(self.walk.next_file());
        let Some(file) = self.manifest.file(self.walk.next_file()) else { return Ok(None) };
        let part = open_file(self.claim.dir(), &name, false).and_then(|part| hash(part, file.size, cancelled));
        match part {
            Ok(Some(part)) if part.len > 0 => Ok(Some(part)),
            _ if cancelled.load(Ordering::Acquire) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => remove_any(self.claim.dir(), &name).map(|()| None),
        }
    }

    /// Takes what came of a stream that broke off for all of it. It cannot be sent again, so what cannot be read stays as well.
    pub(super) fn adopt_stream(&mut self) -> Result<(), Problem> {
        if !self.manifest.is_stream() {
            return Ok(());
        }
        let part = open_file(self.claim.dir(), &part_name(self.walk.next_file()), false);
        match part.and_then(|part| hash(part, u64::MAX, &AtomicBool::new(false))) {
            Ok(Some(Part { file, hasher, len })) if len > 0 => self.adopt(&file, &prefix_digest(&hasher, len)),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Problem::at(self.path())(error)),
        }
    }

    /// What a run moved to the tree of a stream, and wrote no line for, is the part again.
    pub(super) fn take_stream_back(&self) -> io::Result<()> {
        for entry in self.tree.entries()? {
            let name = entry?.file_name();
            move_exclusive(&self.tree, &name.to_string_lossy(), self.claim.dir(), &part_name(0), false)?;
        }
        Ok(())
    }
}

/// Hashes all of a file and leaves it at its end; none when it is longer than `most`.
fn hash(mut file: File, most: u64, cancelled: &AtomicBool) -> io::Result<Option<Part>> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; HASH_READ];
    let mut len = 0;
    loop {
        if cancelled.load(Ordering::Acquire) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let read = match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(Part { file, hasher, len })),
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(read);
        len += u64::try_from(read.len()).unwrap_or(u64::MAX);
        if len > most {
            return Ok(None);
        }
    }
}

/// The digest of what was hashed so far, as ACCEPT and RESTART say it.
pub(in crate::transfer) fn prefix_digest(hasher: &blake3::Hasher, len: u64) -> Digest {
    if len == 0 { NO_DIGEST } else { *hasher.finalize().as_bytes() }
}
