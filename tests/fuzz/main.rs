//! One fuzz target under libFuzzer, which looks for inputs that reach new code. CONTRIBUTING.md has the command.
//!
//! `P2PCHAT_FUZZ_TARGET` names the target. Before the run its seeds are written into each directory among the arguments, which
//! libFuzzer takes as its corpus.
#![no_main]

#[path = "targets.rs"]
mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use targets::{TARGETS, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

fn prepare() {
    let name = std::env::var("P2PCHAT_FUZZ_TARGET").unwrap_or_default();
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    let target = TARGETS.into_iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("P2PCHAT_FUZZ_TARGET must be one of {}", names.join(", ")));
    for folder in std::env::args().skip(1).filter(|argument| std::path::Path::new(argument).is_dir()) {
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(format!("{folder}/seed-{number}"), seed).unwrap();
        }
    }
    TARGET.get_or_init(|| target);
}

fuzz_target!(init: prepare(), |data: &[u8]| {
    (TARGET.get().unwrap().run)(data);
});
