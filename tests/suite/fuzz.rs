//! Drives the targets of `p2pchat::fuzz` (its head says how): shortly by proptest, and for as long as is asked for.

use p2pchat::fuzz::{TARGETS, Target};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of an input made by chance; longer ones only repeat themselves.
const LONGEST: u64 = 400;
/// An input that takes so long hangs.
const HANG: Duration = Duration::from_secs(30);
/// Memory that no target may make the process use, in KiB: far more than the inputs, far less than an attack wants.
const MEMORY: u64 = 512 << 10;

/// One test a target, so that a failure has its name.
macro_rules! short {
    ($($test:ident => $name:literal),+ $(,)?) => {
        $(#[test]
        fn $test() {
            by_proptest($name);
        })+

        #[test]
        fn every_target_is_driven() {
            let driven = BTreeSet::from([$($name),+]);
            assert_eq!(driven, TARGETS.iter().map(|target| target.name).collect());
        }
    };
}

short! {
    frames_survive_any_bytes => "frame",
    hellos_survive_any_bytes => "hello",
    lists_survive_any_bytes => "list",
    known_peers_survive_any_bytes => "known-peers",
    commands_survive_any_text => "command",
    safe_text_is_safe_for_any_text => "safe-text",
    names_survive_any_text => "name",
    addresses_survive_any_text => "address",
    the_line_reader_survives_any_bytes => "lines",
    codes_survive_any_text => "code",
    arguments_survive_any_text => "arguments",
    the_plain_face_survives_any_peer => "plain-face",
    the_json_face_survives_any_peer => "json-face",
    handshakes_survive_any_peer => "handshake",
    sessions_survive_any_peer => "session",
}

fn by_proptest(name: &str) {
    let target = target(name);
    let seeds = (target.seeds)();
    seeds.iter().for_each(|seed| (target.run)(seed));
    let cases = if target.cost > 10 { 64 } else { 512 };
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let changed = (0..seeds.len(), any::<u64>()).prop_map(move |(place, chance)| {
        let mut rng = Rng(chance);
        rng.change(seeds[place].clone(), &seeds)
    });
    let inputs = prop_oneof![prop::collection::vec(any::<u8>(), 0..300), changed];
    proptest!(config, |(input in inputs)| (target.run)(&input));
}

fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).unwrap()
}

/// The long run; does nothing unless `P2PCHAT_FUZZ` says how many inputs.
#[test]
fn long_run() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let Some(count) = number("P2PCHAT_FUZZ") else { return };
    let seed = number("P2PCHAT_FUZZ_SEED").unwrap_or_else(fresh_seed);
    let only = std::env::var("P2PCHAT_FUZZ_ONLY").ok();
    eprintln!("P2PCHAT_FUZZ_SEED={seed}");
    for target in TARGETS.into_iter().filter(|target| only.as_ref().is_none_or(|only| only == target.name)) {
        run(target, (count / target.cost).max(1), seed);
    }
}

fn run(target: Target, count: u64, seed: u64) {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let running: [Running; 2] = Default::default();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers = running.each_ref().map(|running| scope.spawn(|| drive(target, seed, &next, count, running)));
        let watch = scope.spawn(|| watch_for_hangs(target, &running, &done));
        let joined = workers.map(|worker| worker.join().is_ok());
        done.store(true, Ordering::Release);
        watch.thread().unpark();
        assert!(joined.iter().all(|whole| *whole), "{} broke a promise: see above", target.name);
    });
    let seconds = begun.elapsed().as_secs_f64();
    let peak = peak_memory();
    eprintln!(
        "{:<12} {count:>12} inputs {seconds:>8.1} s {:>10.0} a second, peak {peak} KiB",
        target.name,
        count as f64 / seconds
    );
    assert!(peak < MEMORY, "{} made the process use {peak} KiB", target.name);
}

/// What a worker is at.
#[derive(Default)]
struct Running {
    index: AtomicU64,
    input: Mutex<Vec<u8>>,
}

/// Inputs that a worker takes at a time.
const BATCH: u64 = 256;

fn drive(target: Target, seed: u64, next: &AtomicU64, count: u64, running: &Running) {
    let seeds = (target.seeds)();
    let mut input = Vec::new();
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        if first >= count {
            return;
        }
        for index in first..(first + BATCH).min(count) {
            let mut rng = Rng(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            input.clear();
            match rng.within(4) {
                0 => rng.fill(&mut input),
                _ => input = rng.change(std::mem::take(&mut input), &seeds),
            }
            running.index.store(index, Ordering::Relaxed);
            running.input.lock().unwrap().clone_from(&input);
            let told = Told { target, index, input: &input };
            (target.run)(&input);
            std::mem::forget(told);
        }
    }
}

/// Tells the input of a run that panics.
struct Told<'a> {
    target: Target,
    index: u64,
    input: &'a [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        eprintln!("{}: input {} broke a promise: {}", self.target.name, self.index, hex(self.input));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Ends the process when a worker stays at one input.
fn watch_for_hangs(target: Target, running: &[Running], done: &AtomicBool) {
    let mut last: Vec<Option<u64>> = vec![None; running.len()];
    while !done.load(Ordering::Acquire) {
        thread::park_timeout(HANG);
        for (running, last) in running.iter().zip(&mut last) {
            let index = running.index.load(Ordering::Relaxed);
            if *last == Some(index) && !done.load(Ordering::Acquire) {
                // At the end of a run one worker may wait for the other; a hang keeps its input.
                eprintln!("{}: input {index} takes long: {}", target.name, hex(&running.input.lock().unwrap()));
            }
            *last = Some(index);
        }
    }
}

/// The most memory that the process has used, in KiB; 0 where nothing tells.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn fresh_seed() -> u64 {
    getrandom::u64().unwrap()
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn within(&mut self, limit: u64) -> usize {
        (self.next() % limit.max(1)) as usize
    }

    fn fill(&mut self, input: &mut Vec<u8>) {
        // Mostly short: most of what can go wrong goes wrong early.
        let longest = if self.within(8) == 0 { LONGEST } else { LONGEST / 10 };
        let length = self.within(longest);
        while input.len() < length {
            input.extend_from_slice(&self.next().to_le_bytes());
        }
        input.truncate(length);
    }

    /// A seed with one to eight changes.
    fn change(&mut self, mut input: Vec<u8>, seeds: &[Vec<u8>]) -> Vec<u8> {
        input.clear();
        input.extend_from_slice(&seeds[self.within(seeds.len() as u64)]);
        for _ in 0..1 << self.within(4) {
            let place = self.within(input.len() as u64 + 1);
            match self.within(9) {
                0 | 1 if place < input.len() => input[place] ^= 1 << self.within(8),
                2 if place < input.len() => input[place] = self.next() as u8,
                3 => input.insert(place, self.next() as u8),
                4 if place < input.len() => drop(input.remove(place)),
                5 => input.truncate(place),
                6 => {
                    let other = &seeds[self.within(seeds.len() as u64)];
                    let from = self.within(other.len() as u64 + 1);
                    let tail: Vec<u8> = other[from..].iter().copied().take(self.within(64)).collect();
                    input.splice(place..place, tail);
                }
                7 => {
                    // Numbers and characters that limits are made of.
                    const WORDS: [&[u8]; 14] = [
                        b"\xff\xff\xff\xff",
                        b"\x00\x00\x00\x00",
                        b"\x7f\xff\xff\xff\xff\xff\xff\xff",
                        b"\x80\x00",
                        b"\xef\xbb\xbf",
                        b"\xe2\x80\xae",
                        b"\xe2\x80\x8d",
                        b"\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81",
                        b"\x1b[2J",
                        b"\xc2\x9b",
                        b"\"\\",
                        b"9999-12-31T23:59:60-23:59",
                        b"\r\n",
                        b"..",
                    ];
                    let word = WORDS[self.within(WORDS.len() as u64)];
                    input.splice(place..place, word.iter().copied());
                }
                _ => {
                    let end = (place + self.within(16)).min(input.len());
                    let again: Vec<u8> = input[place..end].to_vec();
                    input.splice(place..place, again);
                }
            }
        }
        input
    }
}
