//! An upload and a download, wired to each other through an send_queue and a window, over real folders.

mod crash;
mod hostile;
mod whole;
pub(super) mod wire;
