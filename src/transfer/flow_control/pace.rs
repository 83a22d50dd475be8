//! How much should be on its way: what the link carries, and little more.
//!
//! Invariant: what a sender may have outstanding follows what arrives, so that buffers between the two (a tunnel's, a
//! router's, a kernel's without a bound of its own) never hold seconds of file data before a line of chat. The window
//! bounds memory; this bounds the queue.
//!
//! The formula is that of a link kept full: twice rate times round trip, since what half a round trip carries is never known yet,
//! and some time's worth for a receiver that is late now and then. A sender that is held back by it doubles what it may
//! send each round trip; one that is held back by the link stays where it is. While it doubles, what has come since the last span
//! counts at once, as the least that this span will bring: else it would double every other round trip.

use crate::transfer::rate::{Rates, per_second};
use std::time::{Duration, Instant};

/// Outstanding until something is measured: six round trips from the whole window, and 0.4 s at 10 Mbit/s, once.
pub(super) const START: u64 = 512 * 1024;
/// Never less than this on top of the formula: one chunk in each buffer on the way.
const FLOOR: u64 = 64 * 1024;
/// Time's worth that a receiver may be late: a scheduler's slices, a write that the disk delays.
const LATE: Duration = Duration::from_millis(20);
/// The shortest time over which a rate is measured.
const SPAN: Duration = Duration::from_millis(5);
/// In percent. A sender that is held back by the window brings twice as much; a link that is full, the same.
const GROWTH: u64 = 125;
/// After so many spans without growth the link is full: a single one may have been cut badly.
const FULL: u32 = 3;

/// See the module. Knows no clock: the time comes with each call.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the sender was first told that it may send.
    told: Instant,
    round_trip: Option<Duration>,
    span_begun: Instant,
    span_bytes: u64,
    /// Spans since the last that brought more than all before it, by [`GROWTH`] at least.
    without_growth: u32,
    rates: Rates,
}

impl Pace {
    /// The sender is told now.
    pub(super) fn new(now: Instant) -> Self {
        Self { told: now, round_trip: None, span_begun: now, span_bytes: 0, without_growth: 0, rates: Rates::default() }
    }

    /// So many more bytes are with the file system. The worker says so after each of its turns, also when nothing had come.
    pub(super) fn progressed(&mut self, bytes: u64, now: Instant) {
        if bytes == 0 {
            return;
        }
        let Some(round_trip) = self.round_trip else {
            // The first piece: what passed since the sender was told is a round trip and that piece's own time.
            self.round_trip = Some(now.saturating_duration_since(self.told).max(Duration::from_micros(100)));
            self.span_begun = now;
            return;
        };
        self.span_bytes = self.span_bytes.saturating_add(bytes);
        let span = now.saturating_duration_since(self.span_begun);
        if span < SPAN.max(round_trip) {
            return;
        }
        let rate = per_second(self.span_bytes, span);
        let grew = rate >= self.rates.best().saturating_mul(GROWTH) / 100;
        self.without_growth = if grew && self.is_growing() { 0 } else { self.without_growth.saturating_add(1) };
        self.rates.add(rate);
        self.span_begun = now;
        self.span_bytes = 0;
    }

    /// How much should be outstanding.
    pub(super) fn flight(&self) -> u64 {
        let Some(round_trip) = self.round_trip else { return START };
        let present = if self.is_growing() { per_second(self.span_bytes, SPAN.max(round_trip)) } else { 0 };
        let flight = |rate| worth(rate, round_trip.saturating_mul(2) + LATE).saturating_add(FLOOR);
        match self.rates.best() {
            0 => flight(present).max(START),
            best => flight(best.max(present)),
        }
    }

    fn is_growing(&self) -> bool {
        self.without_growth < FULL
    }
}

fn worth(rate: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    rate.saturating_mul(micros) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a link of `rate` bytes a second and a `round_trip`, with endless buffers, for `rounds` chunks of 48 KiB; gives
    /// what is outstanding in the end, and when the whole window first was.
    fn play(rate: u64, round_trip: Duration, window: u64, rounds: usize) -> (u64, Option<Duration>) {
        let chunk = 49_152;
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        let mut limit = START;
        let mut sent = 0;
        let mut durable = 0;
        // When the link is free again, and when each sent chunk is durable and its credit back.
        let mut free = begun + round_trip / 2;
        let mut arrivals = std::collections::VecDeque::new();
        let (mut now, mut whole) = (begun, None);
        for _ in 0..rounds {
            while sent + chunk <= limit {
                free = free.max(now + round_trip / 2) + Duration::from_micros(chunk * 1_000_000 / rate);
                arrivals.push_back(free);
                sent += chunk;
            }
            let arrived: Instant = arrivals.pop_front().unwrap();
            durable += chunk;
            pace.progressed(chunk, arrived);
            limit = limit.max(durable + pace.flight().min(window));
            // The sender hears of it half a round trip later.
            now = arrived + round_trip / 2;
            if limit - durable == window {
                whole.get_or_insert(now - begun);
            }
        }
        (limit - durable, whole)
    }

    const WINDOW: u64 = 24 << 20;

    #[test]
    fn a_slow_link_is_not_filled_with_seconds_of_data() {
        for (rate, round_trip) in [(1_250_000, 1), (1_250_000, 50), (125_000, 30), (12_500_000, 5)] {
            let (outstanding, _) = play(rate, Duration::from_millis(round_trip), WINDOW, 2_000);
            let product = worth(rate, Duration::from_millis(round_trip));
            assert!(outstanding <= 3 * product + 320 * 1024 + worth(rate, LATE), "{rate} {round_trip}: {outstanding}");
        }
    }

    #[test]
    fn a_long_fast_link_gets_the_whole_window() {
        let (outstanding, whole) = play(125_000_000, Duration::from_millis(200), WINDOW, 20_000);
        assert_eq!(outstanding, WINDOW);
        // From 512 KiB it doubles five times, and the first flight takes a round trip.
        assert!(whole.is_some_and(|whole| whole <= 7 * Duration::from_millis(200)), "{whole:?}");
        assert_eq!(play(2_000_000_000, Duration::from_micros(50), WINDOW, 200_000).0, WINDOW);
    }

    #[test]
    fn a_turn_of_the_worker_in_which_nothing_came_is_no_round_trip() {
        let (begun, round_trip) = (Instant::now(), Duration::from_millis(150));
        let mut pace = Pace::new(begun);
        pace.progressed(0, begun);
        for rounds in 1..=2 {
            pace.progressed(100_000, begun + rounds * round_trip);
        }
        assert_eq!(pace.flight(), worth(per_second(100_000, round_trip), 2 * round_trip + LATE) + FLOOR);
    }

    #[test]
    fn before_anything_is_measured_a_start_is_given() {
        assert_eq!(Pace::new(Instant::now()).flight(), START);
    }
}
