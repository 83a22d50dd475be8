//! From an address to a running connection: dialling, listening, the opening, then reader and writer.

#[cfg(any())]
pub mod address;
pub mod buffer;
pub mod connection;
#[cfg(any())]
pub mod dial;
#[cfg(any())]
pub mod listen;
#[cfg(any())]
pub mod opening;
pub mod send_queue;
