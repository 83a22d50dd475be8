//! What is sent: made once, and kept for the next time.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes made at a time.
const BLOCK: usize = 1 << 20;
/// Bytes that may be missing of what is gathered.
const SMALL_REST: u64 = 64 << 10;
/// Small files in one folder.
const A_FOLDER: u64 = 100;

/// A file of so many MiB that no compressor makes smaller.
pub(crate) fn large(place: &Path, mib: u64) -> Result<PathBuf> {
    fs::create_dir_all(place)?;
    let path = place.join(format!("large-{mib}.bin"));
    if fs::metadata(&path).is_ok_and(|found| found.len() == mib << 20) {
        // Once through, so that the first run does not read from the disk what the others find in memory.
        io::copy(&mut File::open(&path)?, &mut io::sink())?;
        return Ok(path);
    }
    let mut noise = Noise(1);
    let mut file = File::create(&path).with_context(|| path.display().to_string())?;
    let mut block = vec![0; BLOCK];
    for _ in 0..mib {
        noise.fill(&mut block);
        file.write_all(&block)?;
    }
    Ok(path)
}

/// A folder with so many files of 1 to 16 KiB, and their bytes together.
pub(crate) fn small(place: &Path, files: u64) -> Result<(PathBuf, u64)> {
    let root = place.join(format!("small-{files}"));
    let complete = place.join(format!("small-{files}.complete"));
    let fresh = !complete.exists();
    if fresh && root.exists() {
        fs::remove_dir_all(&root)?;
    }
    let mut noise = Noise(2);
    let mut bytes = 0;
    let mut block = vec![0; 16 << 10];
    for number in 0..files {
        let size = 1024 + noise.next() % (15 * 1024 + 1);
        bytes += size;
        if fresh {
            let folder = root.join(format!("folder-{}", number / A_FOLDER));
            fs::create_dir_all(&folder)?;
            noise.fill(&mut block);
            let content = block.get(..usize::try_from(size)?).unwrap_or(&block);
            let mut file = BufWriter::new(File::create(folder.join(format!("file-{number}.bin")))?);
            file.write_all(content)?;
            file.flush()?;
        } else {
            noise.skip(block.len());
        }
    }
    File::create(complete)?;
    Ok((root, bytes))
}

/// A source tree: what cargo unpacked to build this, as much of it.
pub(crate) fn sources(place: &Path, bytes: u64) -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"))).context("no CARGO_HOME")?;
    gather(place, "sources", &home.join("registry/src"), bytes, &|path| {
        path.extension().is_some_and(|extension| ["rs", "toml", "md"].iter().any(|text| extension == *text))
    })
}

/// Shared libraries of this system, as many of them.
pub(crate) fn libraries(place: &Path, bytes: u64) -> Result<PathBuf> {
    gather(place, "libraries", Path::new("/usr/lib"), bytes, &|path| path.to_string_lossy().contains(".so"))
}

/// One file of text.
pub(crate) fn text(place: &Path, bytes: u64) -> Result<PathBuf> {
    let path = place.join(format!("text-{bytes}"));
    if fs::metadata(&path).is_ok_and(|found| found.len() == bytes) {
        io::copy(&mut File::open(&path)?, &mut io::sink())?;
        return Ok(path);
    }
    let mut all = Vec::new();
    join(&sources(place, 64 << 20)?, &mut all)?;
    let mut file = BufWriter::new(File::create(&path)?);
    let mut left = usize::try_from(bytes)?;
    while left > 0 {
        let piece = all.get(..left).unwrap_or(&all);
        file.write_all(piece)?;
        left -= piece.len();
    }
    file.flush()?;
    Ok(path)
}

fn join(path: &Path, all: &mut Vec<u8>) -> Result<()> {
    if path.is_file() {
        all.extend(fs::read(path)?);
        return Ok(());
    }
    entries(path)?.iter().try_for_each(|entry| join(entry, all))
}

/// Copies files of a folder that are `wanted` until they are so many bytes, in a fixed order.
fn gather(place: &Path, name: &str, from: &Path, bytes: u64, wanted: &dyn Fn(&Path) -> bool) -> Result<PathBuf> {
    let into = place.join(format!("{name}-{bytes}"));
    if into.exists() {
        fs::remove_dir_all(&into)?;
    }
    fs::create_dir_all(&into)?;
    let mut left = bytes;
    copy_some(from, &into, &mut left, wanted)?;
    ensure!(left == 0, "{} has too little of it", from.display());
    Ok(into)
}

fn copy_some(from: &Path, into: &Path, left: &mut u64, wanted: &dyn Fn(&Path) -> bool) -> Result<()> {
    for path in entries(from)? {
        let found = fs::symlink_metadata(&path)?;
        let target = into.join(path.file_name().context("no name")?);
        if *left == 0 {
            break;
        } else if found.is_dir() {
            copy_some(&path, &target, left, wanted)?;
        } else if found.is_file() && found.len() > 0 && found.len() <= *left && wanted(&path) {
            fs::create_dir_all(into)?;
            fs::copy(&path, &target)?;
            // What is left at the end is less than most files.
            *left = if *left - found.len() < SMALL_REST { 0 } else { *left - found.len() };
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut entries = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

/// Whether as many bytes in as many files are in `into` as in `from`.
pub(crate) fn check(from: &Path, into: &Path) -> Result<()> {
    let (sent, received) = (measure(from)?, measure(into)?);
    ensure!(sent == received, "sent {sent:?} (files, bytes), received {received:?}");
    Ok(())
}

fn measure(path: &Path) -> Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() {
        return Ok((1, found.len()));
    }
    let mut sum = (0, 0);
    for entry in fs::read_dir(path)? {
        let (files, bytes) = measure(&entry?.path())?;
        sum = (sum.0 + files, sum.1 + bytes);
    }
    Ok(sum)
}

/// splitmix64: noise enough for a compressor, and the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn fill(&mut self, block: &mut [u8]) {
        for piece in block.chunks_mut(8) {
            let noise = self.next().to_le_bytes();
            piece.iter_mut().zip(noise).for_each(|(byte, noise)| *byte = noise);
        }
    }

    fn skip(&mut self, bytes: usize) {
        for _ in 0..bytes.div_ceil(8) {
            self.next();
        }
    }
}
