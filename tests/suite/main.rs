//! The integration tests: one binary, a module for each topic. They start the real program and drive it as a user or an attacker would;
//! `support` has what they share. Long runs and tests that need root are `#[ignore]`d: CONTRIBUTING.md has their commands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions)]
#![allow(clippy::print_stderr, reason = "a failing test and a long run report here")]
#![allow(missing_docs, reason = "there is no public item")]

mod support;

// What is not for Windows has its reason beside it: Wine has no terminal emulation, and some things are of Unix alone.
#[cfg(target_os = "linux")] // network namespaces
mod between_machines;
mod chat;
mod codes;
#[cfg(unix)] // descriptors by number, ptys
mod command_line;
#[cfg(unix)] // bash, zsh, fish
mod completions;
#[cfg(target_os = "linux")] // all of 127.0.0.0/8 is its own, /proc
mod connection_flood;
mod crash_resume;
#[cfg(unix)] // ulimit, pipes, mounts
mod disk;
#[cfg(target_os = "linux")] // /proc
mod doctor;
#[cfg(unix)] // ptys
mod escape_sequences;
mod exit_codes;
mod fuzz;
mod handshake_rejects;
mod hostile_data;
mod hostile_offers;
mod invites;
mod known_peers;
#[cfg(unix)] // modes, ptys
mod log;
mod man_in_the_middle;
#[cfg(target_os = "linux")] // /proc
mod memory_limits;
#[cfg(target_os = "linux")] // ptys, /proc; .ci/smoke.py has sessions of them on Windows
mod one_shot;
mod partials;
mod proxy;
mod races;
mod reconnect;
#[cfg(unix)] // descriptors by number, ptys, modes
mod secrets;
mod take_over;
mod tampering;
#[cfg(unix)] // ptys
mod terminal;
mod transfer_faults;
mod transfers;
mod vectors;
