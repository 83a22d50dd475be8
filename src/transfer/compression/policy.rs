//! When chunks are compressed. Pure: the time comes with each call.
//!
//! The rule, for a connection: chunks are compressed, unless that was seen to be slower.
//!
//! - Bytes of files are counted over spans of [`SPAN`] or more, which do not end before the peer has given credit for half of what was
//!   pushed: so the rate is one at which it receives, and not one at which buffers on the way fill.
//! - While the writer rarely waits for the worker, the link or the peer is what limits, and fewer bytes are faster: compressing goes on.
//!   (At 100 Mbit/s the link takes 12.5 MB/s, and a compressor at 400 MB/s makes 80 to 170 of them.)
//! - Where the writer waits for half of a span, the compressor may be what limits: the next span goes without. Of the two ways the one that
//!   brought more bytes of files a second goes on, and the other is tried again after [`AGAIN`].
//! - At [`FAST`] and above nothing is compressed, and nothing tried: one thread compresses 250 to 500 MB/s, so there is little to gain.
//!
//! And for a file: a chunk that does not become smaller lets the next 1, 3, 7, then always 15 of the file go as they are ([`Attempts`]).
//! (What does not compress passes through the compressor at 1 to 4 GB/s: a sixteenth of that is nothing beside what `FAST` allows.)

use crate::net::send_queue::Demand;
use crate::transfer::rate::{Rates, per_second};
use std::time::{Duration, Instant};

/// The shortest span: what it costs when the wrong way is tried, and long enough for a scheduler's slices.
const SPAN: Duration = Duration::from_millis(10);
/// Until the slower way is tried again: a span of it costs a part in two hundred at most.
const AGAIN: Duration = Duration::from_secs(2);
/// Bytes of files a second, without compressing: 2 Gbit/s.
const FAST: u64 = 250_000_000;
/// Chunks of a file that are left as they are after one that did not become smaller, at most.
const SKIPPED: u32 = 15;

/// See the module; one for each connection.
#[derive(Debug)]
pub(crate) struct Policy {
    compressing: bool,
    /// Of the bytes of files, each way.
    compressed: Rates,
    plain: Rates,
    /// Before that the slower way is not tried again.
    settled_until: Option<Instant>,
    span: Option<Span>,
}

#[derive(Debug)]
struct Span {
    begun: Instant,
    limit: u64,
    bytes: u64,
    weight: u64,
    /// When the latest pieces were pushed, and how long the writer may have waited for pieces.
    pushed: Instant,
    waited: Duration,
}

impl Span {
    fn new(limit: u64, now: Instant) -> Self {
        Self { begun: now, limit, bytes: 0, weight: 0, pushed: now, waited: Duration::ZERO }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            compressing: true,
            compressed: Rates::default(),
            plain: Rates::default(),
            settled_until: None,
            span: None,
        }
    }
}

impl Policy {
    /// The worker is about to fill some pieces: whether it should compress.
    pub(crate) fn begin_turn(&mut self, limit: u64, now: Instant) -> bool {
        self.span.get_or_insert_with(|| Span::new(limit, now));
        self.compressing
    }

    /// It is about to push them: their weight, and the bytes of files that they hold.
    pub(crate) fn end_turn(&mut self, demand: Demand, bytes: u64, weight: u64, now: Instant) {
        let Some(span) = &mut self.span else { return };
        if demand.writer_waits {
            span.waited += now.saturating_duration_since(span.pushed);
        }
        span.pushed = now;
        span.bytes = span.bytes.saturating_add(bytes);
        let time = now.saturating_duration_since(span.begun);
        // These pieces are not on their way yet.
        let credited = demand.limit.saturating_sub(span.limit);
        let over = time >= SPAN && credited > span.weight / 2;
        span.weight = span.weight.saturating_add(weight);
        if over {
            let (rate, is_dry) = (per_second(span.bytes, time), span.waited >= time / 2);
            self.decide(rate, is_dry, now);
            self.span = Some(Span::new(demand.limit, now));
        }
    }

    /// There is nothing to send: this time says nothing.
    pub(crate) fn idle(&mut self) {
        self.span = None;
    }

    /// A span of the present way ended.
    fn decide(&mut self, rate: u64, is_dry: bool, now: Instant) {
        if self.compressing { &mut self.compressed } else { &mut self.plain }.add(rate);
        let (compressed, plain) = (self.compressed.best(), self.plain.best());
        let settled = self.settled_until.is_some_and(|until| now < until);
        let stays = match self.compressing {
            true => (!is_dry && rate < FAST) || (settled && compressed >= plain),
            false => plain >= FAST || (settled && plain >= compressed),
        };
        if !stays {
            self.compressing = !self.compressing;
            self.settled_until = Some(now + AGAIN);
        }
    }
}

/// How the latest chunks of a file took to being compressed.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    pause: u32,
    left: u32,
}

impl Attempts {
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.left == 0;
        self.left = self.left.saturating_sub(1);
        due
    }

    pub(super) fn gave(&mut self, smaller: bool) {
        self.pause = if smaller { 0 } else { (2 * self.pause + 1).min(SKIPPED) };
        self.left = self.pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: f64 = 8.0 * 49_152.0;

    fn whole(number: f64) -> u64 {
        #[expect(clippy::as_conversions, reason = "it is small and positive")]
        let whole = number as u64;
        whole
    }

    /// Plays a sender at a link of `link` bytes a second, with a compressor of `compressor` and a ratio; `buffers` are filled at once,
    /// before the link is felt. Gives the bytes of files that went in ten seconds, and how many of them uncompressed.
    fn play(link: f64, compressor: f64, ratio: f64, buffers: f64) -> (f64, f64) {
        let (begun, mut policy) = (Instant::now(), Policy::default());
        let (mut now, mut sent, mut plain, mut carried, mut waiting) = (0.0, 0.0, 0.0, 0.0, 0.0_f64);
        while now < 10.0 {
            // The peer's credit comes for each 64 KiB that the link carried.
            let limit = |carried: f64| 65_536 * whole(carried / 65_536.0);
            let compresses = policy.begin_turn(limit(carried), begun + Duration::from_secs_f64(now));
            let (speed, bytes) = if compresses { (compressor, TURN / ratio) } else { (3e9, TURN) };
            let pass = |time: f64, waiting: &mut f64, carried: &mut f64| {
                let passed = waiting.min(link * time);
                (*waiting, *carried) = (*waiting - passed, *carried + passed);
            };
            // These pieces are made, and pushed; then, when the lane is full, the worker waits until it is not.
            let made = TURN / speed;
            pass(made, &mut waiting, &mut carried);
            now += made;
            let demand = Demand { writer_waits: waiting <= buffers, limit: limit(carried) };
            policy.end_turn(demand, whole(TURN), whole(bytes), begun + Duration::from_secs_f64(now));
            (sent, plain, waiting) = (sent + TURN, plain + if compresses { 0.0 } else { TURN }, waiting + bytes);
            let full = ((waiting - buffers - 1e6 / ratio) / link).max(0.0);
            pass(full, &mut waiting, &mut carried);
            now += full;
        }
        (sent, plain)
    }

    #[test]
    fn a_slow_link_is_compressed_for_from_the_first_byte() {
        for (link, buffers) in [(1.25e6, 0.0), (1.25e6, 512e3), (12.5e6, 512e3), (12.5e6, 4e6)] {
            let (sent, plain) = play(link, 400e6, 5.0, buffers);
            assert_eq!(plain, 0.0, "{link} {buffers}");
            assert!(sent > 4.9 * link * 10.0);
        }
    }

    #[test]
    fn the_faster_way_goes_on() {
        // A gigabit, and what a small processor makes of it; five; a link that nothing holds back.
        for (link, compressor, best) in [
            (117e6, 400e6, 400e6),
            (117e6, 50e6, 117e6),
            (600e6, 400e6, 600e6),
            (30e9, 400e6, 3e9),
            (117e6, 117e6, 117e6),
        ] {
            let (sent, _) = play(link, compressor, 5.0, 512e3);
            assert!(sent > 0.97 * best * 10.0, "{link} {compressor}: {}", sent / 10.0);
        }
    }

    #[test]
    fn above_two_gigabit_a_single_span_is_compressed() {
        let (sent, plain) = play(30e9, 400e6, 5.0, 512e3);
        assert!(sent - plain < 0.012 * 400e6 + TURN, "{}", sent - plain);
    }

    #[test]
    fn what_does_not_compress_is_tried_now_and_then() {
        let mut attempts = Attempts::default();
        let mut tried = Vec::new();
        for chunk in 0..60 {
            if attempts.is_due() {
                tried.push(chunk);
                attempts.gave(chunk >= 43);
            }
        }
        assert_eq!(tried, [[0, 2, 6, 14, 30].as_slice(), &(46..60).collect::<Vec<_>>()].concat());
    }
}
