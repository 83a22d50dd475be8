//! The rate of a link, from what passed in the latest spans of time. Pure: the time comes with each call.

use std::time::Duration;

/// Spans that count.
const SPANS: usize = 4;

/// Bytes a second in the latest spans. The best of them counts: a slice of a busy processor, or a pause of a disk, is not the link's.
#[derive(Debug, Default)]
pub(super) struct Rates([u64; SPANS]);

impl Rates {
    pub(super) fn add(&mut self, rate: u64) {
        self.0.rotate_right(1);
        let [latest, ..] = &mut self.0;
        *latest = rate;
    }

    /// 0 before anything was measured.
    pub(super) fn best(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or(0)
    }
}

pub(super) fn per_second(bytes: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1_000_000) / micros
}
