//! Files on their way: lists, positions, and the workers that read and write them.
//!
//! Owner of everything between a path and a chunk (PROTOCOL.md section 8). One worker thread an upload, one a download;
//! each is told what to do through its handle, and reports to the owner thread. Nothing here decides whether a transfer
//! is wanted: the session does.
//!
//! ```text
//! paths ─► tree ─► list ─► send ─► outbox, bulk lane ═══ wire ═══► window ─► receive ─► landing ─► files
//!                                         ◄── credit, restart ─────┘            └► resume (what a crash leaves)
//! ```

mod landing;
pub mod list;
mod name;
pub mod receive;
pub mod resume;
pub mod send;
pub mod tree;
pub mod window;

#[cfg(test)]
mod tests;

pub use name::{Name, NameFault};

use crate::frame::TransferId;
use crate::why::why;
use std::sync::Arc;

/// How a worker tells the owner thread what happened; called on the worker's thread, and must not wait.
pub type Report<T> = Arc<dyn Fn(TransferId, T) + Send + Sync>;

/// How the names of partial files begin; what a peer names like this lands under another name, and is never sent.
pub(crate) const PARTIAL_PREFIX: &str = ".p2pchat-";
