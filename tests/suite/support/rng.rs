//! Chance that can be repeated: a seed decides everything, and a test that fails prints it.

use std::ops::Range;
use std::thread;

/// The environment variable that replays a failure.
const SEED: &str = "P2PCHAT_SEED";

/// SplitMix64, which is short and good enough to choose faults.
pub(crate) struct Rng {
    seed: u64,
    state: u64,
}

impl Rng {
    /// The seed in `P2PCHAT_SEED`, else `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(seed);
        Self { seed, state: seed }
    }

    /// A fresh seed each time, for long runs that look for what nobody thought of.
    pub(crate) fn fresh() -> Self {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).unwrap();
        Self::new(u64::from_be_bytes(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.within(0..from.len() as u64)).unwrap()]
    }
}

impl Drop for Rng {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("to replay: {SEED}={}", self.seed);
        }
    }
}
