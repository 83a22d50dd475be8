//! What compression gains on slow links, and costs where there is nothing to gain; beside another build, when one is named.

use crate::bench::empty_folder;
use crate::data;
use crate::program::{OWN, send};
use crate::relay::Link;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is sent over a link takes so many seconds uncompressed.
const SECONDS: u64 = 4;
const LINKS: [Link; 2] = [Link::new(10, Duration::ZERO), Link::new(100, Duration::ZERO)];
/// Over loopback.
const LARGE_MIB: u64 = 1_024;

/// Sends everything `repeat` times with each build in turn, and prints the table.
pub(crate) fn run(place: &Path, repeat: u64, links: bool, base: Option<PathBuf>) -> Result<()> {
    println!("from consent to end, the middle of {repeat} runs that took turns; the wire is a part of the bytes");
    println!("  {:<38} {:>10} {:>8} {:>10} {:>8}", "what", "s", "wire", "base s", "x base");
    for slow in LINKS.into_iter().filter(|_| links) {
        let bytes = slow.rate / 8 * SECONDS;
        for (what, path) in [
            ("a source tree", data::sources(place, bytes)?),
            ("libraries", data::libraries(place, bytes)?),
            ("random data", data::large(place, bytes >> 20)?),
        ] {
            let what = format!("{} Mbit/s, {what}", slow.rate / 1_000_000);
            row(&what, Some(slow), place, &path, repeat, base.as_deref())?;
        }
    }
    for (what, path) in [("random data", data::large(place, LARGE_MIB)?), ("text", data::text(place, LARGE_MIB << 20)?)]
    {
        row(&format!("loopback, {LARGE_MIB} MiB of {what}"), None, place, &path, repeat, base.as_deref())?;
        std::fs::remove_file(path)?;
    }
    println!();
    Ok(())
}

fn row(what: &str, link: Option<Link>, place: &Path, path: &Path, repeat: u64, base: Option<&Path>) -> Result<()> {
    let (mut own, mut others, mut wire) = (Vec::new(), Vec::new(), f64::NAN);
    for turn in 0..repeat {
        let mut both = [(Some(Path::new(OWN)), &mut own), (base, &mut others)];
        // Who is second finds memory and disk as the first left them.
        if turn % 2 == 1 {
            both.reverse();
        }
        for (binary, times) in both {
            let Some(binary) = binary else { continue };
            let into = empty_folder(place, "received")?;
            let sent = send(binary, link, place, path, &into)?;
            data::check(path, &into)?;
            times.push(sent.number("seconds")?);
            // A build without compression says nothing of the wire.
            wire = sent.number("wire_bytes").map_or(Ok(wire), |wire| anyhow::Ok(wire / sent.number("bytes")?))?;
        }
    }
    empty_folder(place, "received")?;
    let middle = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let (own, base) = (middle(&mut own), middle(&mut others));
    println!("  {what:<38} {own:>10.3} {wire:>8.3} {base:>10.3} {:>8.3}", own / base);
    Ok(())
}
