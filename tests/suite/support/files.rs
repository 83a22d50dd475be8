//! Files to send, lists as they stand on the wire, and what a folder holds afterwards.

use super::Attacker;
use p2pchat::protocol::frame::{CHUNK_DATA, Control, Frame, Offer, TransferId};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Bytes that look random and are the same for the same seed.
pub(crate) fn content(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Everything below a folder: path with `/`, and the content of what is a file; links are not followed.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    fn walk(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Option<Vec<u8>>>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            }
            found.insert(name, kind.is_file().then(|| fs::read(entry.path()).unwrap()));
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, "", &mut found);
    found
}

/// A list of PROTOCOL.md section 8, well formed or not.
#[derive(Clone, Default)]
pub(crate) struct List {
    pub(crate) bytes: Vec<u8>,
    pub(crate) files: u32,
    pub(crate) folders: u32,
    pub(crate) sizes: u64,
}

impl List {
    pub(crate) fn file(self, name: &str, size: u64) -> Self {
        self.file_with(0o644, 0, name, size)
    }

    pub(crate) fn file_with(mut self, mode: u16, nanoseconds: u32, name: &str, size: u64) -> Self {
        self.head(1, mode, nanoseconds);
        self.bytes.extend(size.to_be_bytes());
        self.name(name);
        self.files += 1;
        self.sizes = self.sizes.wrapping_add(size);
        self
    }

    pub(crate) fn enter(mut self, name: &str) -> Self {
        self.head(2, 0o755, 0);
        self.name(name);
        self.folders += 1;
        self
    }

    pub(crate) fn leave(self) -> Self {
        self.raw(&[3])
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn head(&mut self, kind: u8, mode: u16, nanoseconds: u32) {
        self.bytes.push(kind);
        self.bytes.extend(mode.to_be_bytes());
        self.bytes.extend(1_700_000_000_i64.to_be_bytes());
        self.bytes.extend(nanoseconds.to_be_bytes());
    }

    fn name(&mut self, name: &str) {
        self.bytes.push(name.len().try_into().unwrap());
        self.bytes.extend_from_slice(name.as_bytes());
    }

    /// The offer that goes with it.
    pub(crate) fn offer(&self) -> Offer {
        Offer {
            files: self.files,
            folders: self.folders,
            bytes: self.sizes,
            list: self.bytes.len().try_into().unwrap(),
            digest: *blake3::hash(&self.bytes).as_bytes(),
        }
    }

    /// Where the data of its first file begins.
    pub(crate) fn end(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl Attacker {
    /// Offers a list and sends it.
    pub(crate) fn offer(&mut self, transfer: TransferId, list: &List) {
        self.offer_as(transfer, list.offer(), &list.bytes);
    }

    /// Says one thing in the offer and sends another.
    pub(crate) fn offer_as(&mut self, transfer: TransferId, offer: Offer, list: &[u8]) {
        // A peer that hung up meanwhile is what the test looks for next.
        let _ = self.control(Control::Offer { transfer, offer });
        self.data(transfer, 0, list);
    }

    /// Sends data in chunks.
    pub(crate) fn data(&mut self, transfer: TransferId, position: u64, data: &[u8]) {
        for (n, data) in data.chunks(CHUNK_DATA).enumerate() {
            let position = position + (n * CHUNK_DATA) as u64;
            let _ = self.send(&Frame::Chunk { transfer, position, data: data.to_vec() });
        }
    }

    /// Reads on to the answer to the offer: whether it was accepted. None when the peer hung up.
    pub(crate) fn answer(&mut self, transfer: TransferId) -> Option<bool> {
        let frame = self.read_to(|frame| match frame {
            Frame::Control { control: Control::Accept { transfer: id, .. }, .. } => *id == transfer,
            Frame::Control { control: Control::Decline { transfer: id, .. }, .. } => *id == transfer,
            _ => false,
        })?;
        Some(matches!(frame, Frame::Control { control: Control::Accept { .. }, .. }))
    }

    /// Whether the peer still answers.
    pub(crate) fn is_answered(&mut self) -> bool {
        const TOKEN: u64 = 4_711;
        self.send(&Frame::Ping(TOKEN)).is_ok() && self.read_to(|frame| *frame == Frame::Pong(TOKEN)).is_some()
    }
}
