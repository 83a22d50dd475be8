//! Files on their way: lists, positions, and the workers that read and write them.
//!
//! Owner of everything between a path and a chunk. One worker thread an upload, one a download; each is told what to do
//! through its handle, and reports to the owner thread. Nothing here decides whether a transfer is wanted: the session does.

pub mod list;
pub mod receive;
pub mod resume;
pub mod send;
pub mod tree;
pub mod window;
