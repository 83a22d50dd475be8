//! Numbers side by side.

use crate::cost::Cost;
use std::time::Duration;

/// Over the columns of [`print`].
const HEADING: &str = "  way                   wall s  fastest  slowest     GB/s    CPU s   x wall    x CPU  peak MiB, sending, receiving";

/// Prints a table: each way's middle run by wall time, and how its wall and CPU time compare with the first way's.
pub(crate) fn print(title: &str, bytes: u64, runs: &[(&str, Vec<Cost>)]) {
    println!("{title}, {:.1} MB", bytes as f64 / 1e6);
    println!("{HEADING}");
    let Some(first) = runs.first().and_then(|(_, costs)| middle(costs)) else { return };
    for (name, costs) in runs {
        let Some(cost) = middle(costs) else { continue };
        let walls = || costs.iter().map(|cost| cost.wall.as_secs_f64());
        let (fastest, slowest) = (walls().fold(f64::INFINITY, f64::min), walls().fold(0.0, f64::max));
        let wall = cost.wall.as_secs_f64();
        let peak =
            costs.iter().filter_map(|cost| cost.peak).fold(None, |most: Option<(u64, u64)>, (sender, receiver)| {
                let (a, b) = most.unwrap_or_default();
                Some((a.max(sender), b.max(receiver)))
            });
        let peak = peak.map_or_else(String::new, |(sender, receiver)| {
            format!("{:.1}, {:.1}", sender as f64 / 1024.0, receiver as f64 / 1024.0)
        });
        println!(
            "  {name:<20} {wall:>8.3} {fastest:>8.3} {slowest:>8.3} {:>8.2} {:>8.2} {:>8.2} {:>8.2}  {peak}",
            bytes as f64 / 1e9 / wall,
            cost.cpu.as_secs_f64(),
            wall / first.wall.as_secs_f64(),
            cost.cpu.as_secs_f64() / first.cpu.as_secs_f64(),
        );
    }
    println!();
}

/// The run in the middle by wall time.
fn middle(costs: &[Cost]) -> Option<Cost> {
    let mut sorted = costs.to_vec();
    sorted.sort_by_key(|cost| cost.wall);
    sorted.get(sorted.len() / 2).copied()
}

/// The time that so many percent of `sorted` do not exceed.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place.min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}
