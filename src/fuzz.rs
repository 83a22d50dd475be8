//! Targets for hostile input: each takes any bytes and panics when a promise about them is broken.
//!
//! EventLoop of what "whatever a stranger sends" means: no panic, no hang, no memory beyond the named limits, and for each target an
//! invariant of its own, such as that whatever a decoder accepts encodes to the same bytes. They are ordinary functions of the
//! library, hidden from its documentation, so that every driver can call them:
//!
//! - `cargo test --test fuzz` gives each a few hundred inputs, by proptest and from its seeds, in the test suite.
//! - `P2PCHAT_FUZZ=COUNT cargo test --release --test fuzz -- --nocapture` is the long run: COUNT inputs for each target, divided by
//!   its [`Target::cost`], made by chance and by changing seeds, on two threads; it tells counts and rates, and when something
//!   breaks the seed and the input. `P2PCHAT_FUZZ_ONLY=NAME` picks one target, `P2PCHAT_FUZZ_SEED=N` repeats a run.
//!   Debug assertions and overflow checks are worth having there, and the linker's optimisations are not:
//!   `CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true CARGO_PROFILE_RELEASE_LTO=off`.
//! - libFuzzer or AFL++ look for new paths: `fuzz_target!(|data: &[u8]| p2pchat::fuzz::parsers::frame(data))` in a crate of one's own
//!   is all they need; the seeds are their corpus.
//!
//! Handshakes draw fresh keys, so their inputs fix what is done to the messages, not the messages.

mod bytes;
pub mod faces;
pub mod handshake;
pub mod parsers;
pub mod session;

use bytes::Bytes;

/// One target, as a driver sees it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Takes any input; panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs that get far, to be changed by the driver.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How much dearer one input is than one of a parser; a long run gives it so many times fewer.
    pub cost: u64,
}

/// All of them.
pub const TARGETS: [Target; 15] = [
    Target { name: "frame", run: parsers::frame, seeds: parsers::frame_seeds, cost: 1 },
    Target { name: "hello", run: parsers::hello, seeds: parsers::hello_seeds, cost: 1 },
    Target { name: "list", run: parsers::list, seeds: parsers::list_seeds, cost: 1 },
    Target { name: "known-peers", run: parsers::known_peers, seeds: parsers::known_peers_seeds, cost: 1 },
    Target { name: "command", run: parsers::command, seeds: parsers::command_seeds, cost: 1 },
    Target { name: "safe-text", run: parsers::safe_text, seeds: parsers::safe_text_seeds, cost: 1 },
    Target { name: "name", run: parsers::name, seeds: parsers::name_seeds, cost: 1 },
    Target { name: "address", run: parsers::address, seeds: parsers::address_seeds, cost: 1 },
    Target { name: "lines", run: parsers::lines, seeds: parsers::lines_seeds, cost: 1 },
    Target { name: "code", run: parsers::code, seeds: parsers::code_seeds, cost: 1 },
    Target { name: "arguments", run: parsers::arguments, seeds: parsers::arguments_seeds, cost: 200 },
    Target { name: "plain-face", run: faces::plain, seeds: faces::seeds, cost: 10 },
    Target { name: "json-face", run: faces::json, seeds: faces::seeds, cost: 10 },
    Target { name: "handshake", run: handshake::handshake, seeds: handshake::seeds, cost: 100 },
    Target { name: "session", run: session::session, seeds: session::seeds, cost: 100 },
];
