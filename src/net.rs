//! From an address to a running connection: dialling, listening, the opening, then reader and writer.

pub mod address;
pub mod backoff;
pub mod buffer;
pub mod connection;
pub mod dial;
pub mod invite;
pub mod lan;
pub mod listen;
pub mod opening;
pub mod port_map;
pub mod proxy;
mod race;
pub mod reach;
pub mod roaming;
pub mod routes;
pub mod send_queue;
mod simultaneous_open;
mod stopwatch;
