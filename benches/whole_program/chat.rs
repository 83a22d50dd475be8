//! How long a line of chat takes from the input of one process to the output of the other, with and without a file on its way.

use crate::bench::empty_folder;
use crate::data;
use crate::program::{Event, OWN, Program, name};
use crate::relay::{self, Link};
use crate::table::percentile;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Between two lines: far fewer than would fill a link themselves.
const PACE: Duration = Duration::from_millis(20);
/// The file that fills the link is sent so many times at once, so that there is no gap when one of them ends.
const AT_ONCE: usize = 2;
const SLOW: Link = Link::new(10, Duration::ZERO);
/// The last line comes within this time.
const LAST: Duration = Duration::from_secs(60);

/// Times `lines` in each situation and prints the table.
pub(crate) fn run(place: &Path, file: &Path, lines: usize) -> Result<()> {
    println!("a line of chat from one process to the other, {lines} lines, one each {} ms", PACE.as_millis());
    let text = data::text(place, 64 << 20)?;
    println!("  {:<34} {:>10} {:>10} {:>10}", "link", "50 % ms", "99 % ms", "longest");
    for (what, file, slow) in [
        ("loopback, nothing else", None, false),
        ("loopback, a file fills it", Some(file), false),
        ("10 Mbit/s, nothing else", None, true),
        ("10 Mbit/s, a file fills it", Some(file), true),
        ("10 Mbit/s, text fills it", Some(&text), true),
    ] {
        let mut times = situation(place, file, slow, lines).context(what)?;
        times.sort();
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "  {what:<34} {:>10.2} {:>10.2} {:>10.2}",
            millis(percentile(&times, 50)),
            millis(percentile(&times, 99)),
            millis(percentile(&times, 100))
        );
    }
    empty_folder(place, "received")?;
    Ok(())
}

fn situation(place: &Path, file: Option<&Path>, slow: bool, lines: usize) -> Result<Vec<Duration>> {
    let into = empty_folder(place, "received")?;
    let (mut receiver, mut addr) = Program::listen(Path::new(OWN), place, &into)?;
    if slow {
        addr = relay::start(addr.parse()?, SLOW)?.to_string();
    }
    let mut sender = Program::start(Path::new(OWN), place, "sender", &["connect", &addr])?;
    let send = file.map(|file| format!("/send {}", file.display()));
    if let Some(send) = &send {
        for _ in 0..AT_ONCE {
            sender.say(send)?;
        }
        sender.wait_for("accepted")?;
    }
    let mut sent = Vec::new();
    let mut times = Vec::new();
    let begun = Instant::now();
    for number in 0..lines {
        let due = begun + PACE * u32::try_from(number)?;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        sent.push(Instant::now());
        sender.say(&format!("line {number}"))?;
        while let Some((_, event)) = sender.next(Duration::ZERO)? {
            if let ("done", Some(send)) = (name(&event), &send) {
                sender.say(send)?;
            }
        }
        while let Some(event) = receiver.next(Duration::ZERO)? {
            times.extend(time_of(&event, &sent));
        }
    }
    let until = Instant::now() + LAST;
    while times.len() < lines {
        let event = receiver.next(until.saturating_duration_since(Instant::now()))?;
        times.extend(time_of(&event.context("a line did not come")?, &sent));
    }
    // Twice is at once: what of the file is not there yet nobody needs.
    sender.say("/quit\n/quit")?;
    sender.end()?;
    receiver.say("/quit\n/quit").ok();
    receiver.end()?;
    ensure!(times.len() == lines, "lines came twice");
    Ok(times)
}

/// How long the line in this event took, if it is one.
fn time_of((at, event): &Event, sent: &[Instant]) -> Option<Duration> {
    let text = event.get("text").and_then(Value::as_str).filter(|_| name(event) == "message")?;
    let number: usize = text.strip_prefix("line ")?.parse().ok()?;
    Some(at.saturating_duration_since(*sent.get(number)?))
}
