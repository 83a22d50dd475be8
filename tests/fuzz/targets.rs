//! Fuzz targets: each takes any bytes, drives the program's own code with them, and panics when a promise is broken.
//!
//! What holds for all: no panic, no hang, no memory beyond the named limits. Each has an invariant of its own beside, such as that
//! what a decoder accepts encodes to the same bytes. Two drivers run them: `tests/suite/fuzz.rs` shortly with every `cargo test`,
//! `main.rs` under libFuzzer.

mod choices;
mod frontends;
mod handshake;
mod parsers;
mod session;
mod wire;

/// One target, as a driver sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Panics when a promise is broken.
    pub(crate) run: fn(&[u8]),
    /// Inputs that get far, to be changed by the driver.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// An input takes milliseconds, not microseconds.
    #[allow(dead_code, reason = "libFuzzer needs no hint")]
    pub(crate) slow: bool,
}

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds, slow: false }
}

pub(crate) const TARGETS: [Target; 18] = [
    target("frame", wire::frame, wire::frame_seeds),
    target("hello", wire::hello, wire::hello_seeds),
    target("zchunk", wire::zchunk, wire::zchunk_seeds),
    target("list", wire::list, wire::list_seeds),
    target("known-peers", parsers::known_peers, parsers::known_peers_seeds),
    target("command", parsers::command, parsers::command_seeds),
    target("text", parsers::text, parsers::text_seeds),
    target("file-name", parsers::file_name, parsers::file_name_seeds),
    target("address", parsers::address, parsers::address_seeds),
    target("invite", parsers::invite, parsers::invite_seeds),
    target("router", parsers::router, parsers::router_seeds),
    target("lines", parsers::lines, parsers::lines_seeds),
    target("code", parsers::code, parsers::code_seeds),
    Target { slow: true, ..target("arguments", parsers::arguments, parsers::arguments_seeds) },
    target("plain", frontends::plain, frontends::seeds),
    target("json", frontends::json, frontends::seeds),
    Target { slow: true, ..target("handshake", handshake::handshake, handshake::seeds) },
    target("session", session::session, session::seeds),
];
