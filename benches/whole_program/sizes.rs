//! Whether memory and speed depend on how large a file is, or on how many there are.

use crate::bench::empty_folder;
use crate::cost::peak_memory;
use crate::data;
use crate::program::Program;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;

/// One file of so many MiB each.
const MIB: [u64; 3] = [1, 100, 4_096];
/// So many files of 1 to 16 KiB each.
const FILES: [u64; 2] = [10, 10_000];

/// One transfer.
#[derive(Debug, Clone, Copy)]
struct Run {
    files: f64,
    bytes: f64,
    /// From the consent to the end, as the sender tells it: without starting, handshake and goodbye.
    seconds: f64,
    /// Of sender and receiver in KiB.
    peak: (u64, u64),
}

/// Sends everything `repeat` times and prints the table.
pub(crate) fn run(place: &Path, repeat: u64) -> Result<()> {
    println!("from consent to end, the middle of {repeat} runs; peak memory is the most of them");
    println!("  {:<26} {:>9} {:>10} {:>10}   peak MiB, sending, receiving", "what", "ms", "MB/s", "files/s");
    for mib in MIB {
        let path = data::large(place, mib)?;
        let runs = (0..repeat).map(|_| send(place, &path)).collect::<Result<Vec<_>>>();
        // Not kept like the other tables' files: the largest is for this one alone.
        std::fs::remove_file(&path)?;
        show(&format!("1 file of {mib} MiB"), runs?);
    }
    for files in FILES {
        let (path, _) = data::small(place, files)?;
        let runs = (0..repeat).map(|_| send(place, &path)).collect::<Result<Vec<_>>>()?;
        show(&format!("{files} files of 1 to 16 KiB"), runs);
    }
    println!();
    Ok(())
}

fn show(what: &str, mut runs: Vec<Run>) {
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let Some(middle) = runs.get(runs.len() / 2) else { return };
    let most = |of: fn(&Run) -> u64| runs.iter().map(of).max().unwrap_or_default() as f64 / 1024.0;
    println!(
        "  {what:<26} {:>9.1} {:>10.0} {:>10.0}   {:.1}, {:.1}",
        middle.seconds * 1e3,
        middle.bytes / 1e6 / middle.seconds,
        middle.files / middle.seconds,
        most(|run| run.peak.0),
        most(|run| run.peak.1),
    );
}

fn send(place: &Path, path: &Path) -> Result<Run> {
    let into = empty_folder(place, "received")?;
    let (receiver, addr) = Program::listen(place, &into)?;
    let mut sender = Program::start(place, "sender", &["connect", &addr])?;
    sender.say(&format!("/send {}", path.display()))?;
    let (_, done) = sender.wait_for("done")?;
    let peak = (peak_memory(sender.process())?, peak_memory(receiver.process())?);
    sender.say("/quit")?;
    for program in [sender, receiver] {
        let code = program.end()?;
        ensure!(code == Some(0), "p2pchat ended with {code:?}");
    }
    data::check(path, &into)?;
    empty_folder(place, "received")?;
    let number = |member: &str| done.get(member).and_then(Value::as_f64).with_context(|| format!("no {member}"));
    Ok(Run { files: number("files")?, bytes: number("bytes")?, seconds: number("seconds")?, peak })
}
