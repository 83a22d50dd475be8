//! What the session wants done; the owner does it (`run/actions.rs`).

use super::SessionEnd;
use crate::command::SendArgs;
use crate::notice::Posted;
use crate::protocol::frame::{Control, Digest, Offer, Position, TransferId};
use crate::transfer::download::OnClash;
use crate::transfer::flow_control::Opening;
use std::path::PathBuf;

/// What the session wants done, in order.
#[derive(Debug)]
pub enum Action {
    /// Send a control frame.
    Control(u64, Control),
    /// Acknowledge all up to this number.
    Ack(u64),
    /// Tell the user.
    Notice(Posted),
    /// Let input wait, or come.
    PauseInput(bool),
    /// Look at what the user wants to send, and report.
    Scan(TransferId, SendArgs),
    /// The offer is on its way: send its list.
    BeginUpload(TransferId),
    /// The peer accepted.
    UploadAccepted(TransferId, Position, Digest),
    /// The peer has all of it: report the rest, and end.
    UploadComplete(TransferId),
    /// Stop an upload, or forget one that is complete.
    DropUpload(TransferId),
    /// The list is there: look at it and at the disk, and report.
    StartDownload(TransferId, Offer, Vec<u8>),
    /// The user (or a rule) accepted: prepare, and report.
    AcceptDownload(TransferId, Option<PathBuf>, OnClash),
    /// The acceptance is on its way: let data come.
    OpenWindow(TransferId, Opening),
    /// Stop a download, and drop its data until the peer confirms.
    StopDownload(TransferId),
    /// Nothing more comes for this one.
    ForgetDownload(TransferId),
    /// Show what is known of the peer.
    ShowPeer,
    /// Show the transfers with their progress.
    ShowTransfers,
    /// Show the names in a transfer that goes out, under this local number.
    ShowNames(TransferId, u32),
    /// The user compared the numbers.
    MarkVerified,
    /// Clear the screen, where there is one.
    Clear,
    /// All is said: write it, close the sending direction, read to the end.
    Hangup,
    /// End this connection now; the peer is at fault or the session is over.
    Drop,
    /// The session is over.
    Over(SessionEnd),
}
