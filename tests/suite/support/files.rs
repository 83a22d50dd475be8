//! Files to send, lists as they stand on the wire, and what a folder holds afterwards.

use p2pchat::protocol::frame::Offer;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

/// Bytes that look random and are the same for the same seed.
pub(crate) fn content(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// The same, but every other 100,000 bytes are text or zeros, which a compressor makes small.
pub(crate) fn mixed(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = content(seed, length);
    for (number, block) in bytes.chunks_mut(100_000).enumerate() {
        match number % 4 {
            1 => block.fill(0),
            3 => block.chunks_mut(20).enumerate().for_each(|(line, row)| {
                let text = format!("line {line:07} of {number:04}\n");
                row.copy_from_slice(&text.as_bytes()[..row.len()]);
            }),
            _ => {}
        }
    }
    bytes
}

/// Everything below a folder: path with `/`, and the content of what is a file; links are not followed. A file that the program
/// removes meanwhile is left out.
pub(crate) fn tree(folder: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    settled(folder);
    fn walk(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Option<Vec<u8>>>) {
        for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            }
            match kind.is_file().then(|| fs::read(entry.path())).transpose() {
                Ok(content) => drop(found.insert(name, content)),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{name}"),
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, "", &mut found);
    found
}

/// A peer that was killed never acknowledges; then the folder stays.
const GOES_SOON: Duration = Duration::from_secs(3);

/// Waits until no staging folder is there whose transfer is done: it goes when the sender knows of that.
pub(crate) fn settled(folder: &Path) {
    // One that is being removed may have lost its files already.
    let is_done = |staging: &Path| {
        fs::read_to_string(staging.join("results")).map_or(true, |results| results.ends_with("\ndone\n"))
    };
    let until = Instant::now() + GOES_SOON;
    while Instant::now() < until {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut done = entries.filter(|path| path.file_name().is_some_and(is_staging) && is_done(path));
        if done.next().is_none() {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn is_staging(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".p2pchat-")
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
