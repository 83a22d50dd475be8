//! Files on their way: lists, positions, and the workers that read and write them.
//!
//! Everything between a path and a chunk (PROTOCOL.md section 8). One worker thread for all uploads of a conversation, one for
//! all downloads; each is told what to do through its handle, and reports to the event loop. Nothing here decides whether a
//! transfer is wanted: the session does.
//!
//! ```text
//! paths ─► scan ─► manifest ─► upload ─► send_queue, bulk lane ═══ wire ═══► flow_control ─► download ─► staging ─► files
//!                                             ◄── CREDIT, RECEIVED, RESTART ──────┘
//! ```

pub mod compression;
pub mod download;
mod file_name;
pub mod flow_control;
pub mod manifest;
mod rate;
pub mod scan;
pub(crate) mod staging;
pub mod upload;

pub use file_name::Name;
#[doc(hidden)]
pub use staging::local_name::local_name;

use crate::protocol::frame::TransferId;
use std::sync::Arc;

/// How a worker tells the event loop what happened; called on the worker's thread.
pub type Report<T> = Arc<dyn Fn(TransferId, T) + Send + Sync>;

/// Files in one report: the event loop is woken seldom, and is held up by none for long.
const REPORTED: usize = 256;

/// How the names of staging folders begin; scans skip such folders, and what a peer names like this gets another name at the top.
pub(crate) const STAGING_PREFIX: &str = ".p2pchat-";
