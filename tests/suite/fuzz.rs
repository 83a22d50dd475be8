//! A short run of every fuzz target: its seeds, then changed seeds, the same ones each time. `P2PCHAT_FUZZ=COUNT` gives each so many
//! inputs, others each time. (A run that looks for new paths: `tests/fuzz`.)

use crate::support::Rng;
use std::env;

#[path = "../fuzz/targets.rs"]
mod targets;

/// Inputs of a target by default.
const INPUTS: u64 = 2_000;
/// A slow target gets so many times fewer.
const SLOW: u64 = 30;

macro_rules! short {
    ($($test:ident => $name:literal),+ $(,)?) => {
        $(#[test]
        fn $test() {
            run($name);
        })+

        #[test]
        fn every_target_is_driven() {
            assert_eq!(targets::TARGETS.map(|target| target.name), [$($name),+]);
        }
    };
}

short! {
    frames => "frame",
    hellos => "hello",
    zchunks => "zchunk",
    lists => "list",
    known_peers => "known-peers",
    commands => "command",
    texts => "text",
    file_names => "file-name",
    addresses => "address",
    invites => "invite",
    routers => "router",
    input_lines => "lines",
    codes => "code",
    arguments => "arguments",
    the_plain_frontend => "plain",
    the_json_frontend => "json",
    handshakes => "handshake",
    sessions => "session",
}

fn run(name: &str) {
    let target = targets::TARGETS.into_iter().find(|target| target.name == name).unwrap();
    let wanted = env::var("P2PCHAT_FUZZ").ok().map(|count| count.parse::<u64>().unwrap());
    let mut rng = if wanted.is_some() { Rng::fresh() } else { Rng::new(20_261_125) };
    let seeds = (target.seeds)();
    let count = wanted.unwrap_or(INPUTS) / if target.slow { SLOW } else { 1 };
    for input in seeds.iter().cloned().chain((0..count).map(|_| changed(&seeds, &mut rng))) {
        let shown = Shown(&input);
        (target.run)(&input);
        std::mem::forget(shown);
    }
}

/// Shows an input that breaks a promise.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        eprintln!("the input was {:?}", self.0.escape_ascii().to_string());
    }
}

/// Numbers and characters that limits are made of.
const WORDS: [&[u8]; 12] = [
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81",
    b"\x1b[2J",
    b"\xc2\x9b",
    b"\"\\",
    b"9999-12-31T23:59:60-23:59",
    b"\r\n",
    b"..",
];

/// A seed with one to eight changes.
fn changed(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let seed = |rng: &mut Rng| &seeds[rng.within(0..seeds.len() as u64) as usize];
    let mut input = seed(rng).clone();
    for _ in 0..1 << rng.within(0..4) {
        let place = rng.within(0..input.len() as u64 + 1) as usize;
        match rng.within(0..8) {
            0 | 1 if place < input.len() => input[place] ^= 1 << rng.within(0..8),
            2 if place < input.len() => input[place] = rng.next() as u8,
            3 => input.insert(place, rng.next() as u8),
            4 if place < input.len() => drop(input.remove(place)),
            5 => input.truncate(place),
            6 => {
                let other = seed(rng);
                let from = rng.within(0..other.len() as u64 + 1) as usize;
                input.splice(place..place, other[from..].iter().copied().take(64));
            }
            _ => drop(input.splice(place..place, rng.pick(&WORDS).iter().copied())),
        }
    }
    input
}
