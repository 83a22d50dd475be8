//! Whether memory and speed depend on how large a file is, or on how many there are.

use crate::bench::empty_folder;
use crate::data;
use crate::program::{self, OWN, Sent};
use anyhow::{Context, Result};
use std::path::Path;

/// One file of so many MiB each.
const MIB: [u64; 3] = [1, 100, 4_096];
/// So many files of 1 to 16 KiB each.
const FILES: [u64; 2] = [10, 10_000];

/// Sends everything `repeat` times and prints the table.
pub(crate) fn run(place: &Path, repeat: u64) -> Result<()> {
    println!("from consent to end, the middle of {repeat} runs; peak memory is the most of them");
    println!("  {:<26} {:>9} {:>10} {:>10}   peak MiB, sending, receiving", "what", "ms", "MB/s", "files/s");
    for mib in MIB {
        let path = data::large(place, mib)?;
        let runs = (0..repeat).map(|_| send(place, &path)).collect::<Result<Vec<_>>>();
        // Not kept like the other tables' files: the largest is for this one alone.
        std::fs::remove_file(&path)?;
        show(&format!("1 file of {mib} MiB"), runs?)?;
    }
    for files in FILES {
        let (path, _) = data::small(place, files)?;
        let runs = (0..repeat).map(|_| send(place, &path)).collect::<Result<Vec<_>>>()?;
        show(&format!("{files} files of 1 to 16 KiB"), runs)?;
    }
    println!();
    Ok(())
}

fn show(what: &str, mut runs: Vec<Sent>) -> Result<()> {
    // Without starting, handshake and goodbye.
    let seconds = |run: &Sent| run.number("seconds").unwrap_or(f64::NAN);
    runs.sort_by(|a, b| seconds(a).total_cmp(&seconds(b)));
    let middle = runs.get(runs.len() / 2).context("no runs")?;
    let peaks = || runs.iter().filter_map(|run| run.cost.peak);
    let most = |of: fn((u64, u64)) -> u64| peaks().map(of).max().unwrap_or_default() as f64 / 1024.0;
    println!(
        "  {what:<26} {:>9.1} {:>10.0} {:>10.0}   {:.1}, {:.1}",
        seconds(middle) * 1e3,
        middle.number("bytes")? / 1e6 / seconds(middle),
        middle.number("files")? / seconds(middle),
        most(|peak| peak.0),
        most(|peak| peak.1),
    );
    Ok(())
}

fn send(place: &Path, path: &Path) -> Result<Sent> {
    let into = empty_folder(place, "received")?;
    let sent = program::send(Path::new(OWN), None, place, path, &into)?;
    data::check(path, &into)?;
    empty_folder(place, "received")?;
    Ok(sent)
}
