//! Files on their way: lists, positions, and the workers that read and write them.
//!
//! EventLoop of everything between a path and a chunk (PROTOCOL.md section 8). One worker thread an upload, one a download;
//! each is told what to do through its handle, and reports to the owner thread. Nothing here decides whether a transfer
//! is wanted: the session does.
//!
//! ```text
//! paths ─► tree ─► list ─► send ─► send_queue, bulk lane ═══ wire ═══► window ─► receive ─► landing ─► files
//!                                         ◄── credit, restart ─────┘            └► resume (what a crash leaves)
//! ```

pub mod download;
mod file_name;
pub mod flow_control;
#[cfg(any())]
mod landing;
pub mod manifest;
#[cfg(any())]
pub mod resume;
#[cfg(any())]
pub mod scan;
pub mod upload;

#[cfg(any())]
#[cfg(test)]
mod tests;

pub use file_name::{FileNameError, Name};

use crate::protocol::frame::TransferId;
use std::sync::Arc;

/// How a worker tells the owner thread what happened; called on the worker's thread, and must not wait.
pub type Report<T> = Arc<dyn Fn(TransferId, T) + Send + Sync>;

/// How the names of partial files begin; what a peer names like this lands under another name, and is never sent.
pub(crate) const PARTIAL_PREFIX: &str = ".p2pchat-";
