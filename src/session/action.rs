//! What the session wants done; the event loop does it.

use super::SessionEnd;
use crate::command::SendSource;
use crate::notice::Posted;
use crate::protocol::frame::{Control, Digest, Offer, Position, TransferId};
use crate::transfer::download::AcceptedOffer;
use crate::transfer::flow_control::RouteStart;

/// What the session wants done, in order. Where a call of a worker can tell a [`crate::protocol::error::ProtocolError`], the event loop
/// gives it to [`super::Session::lost`].
#[derive(Debug)]
pub enum Action {
    Control(u64, Control),
    /// Acknowledge all up to this number.
    Ack(u64),
    /// All that a resumed connection begins with is queued: RESTARTs and CREDIT follow (`FlowControl::resumed`).
    ResumeFlow,
    Notice(Posted),
    /// Let input wait (true), or come.
    PauseInput(bool),
    /// Let the workers' reports of single files wait (true), or come: the frontend has many notices to show.
    PauseReports(bool),
    Scan(TransferId, SendSource),
    /// OFFER is queued: its list follows.
    BeginUpload(TransferId),
    UploadAccepted(TransferId, Position, Digest),
    UploadRestart(TransferId, Position, Digest),
    UploadReceived(TransferId, Position),
    /// The peer has all of it: report the rest, and end.
    UploadComplete(TransferId),
    /// Stop an upload, or forget one that is complete.
    DropUpload(TransferId),
    /// The same files are offered under another number; nothing of them is accepted.
    RenumberUpload {
        old: TransferId,
        new: TransferId,
    },
    /// The list is there: look at it and at the disk, and report.
    StartDownload(TransferId, Offer, Vec<u8>),
    /// The user or a rule accepted: prepare, and report.
    AcceptDownload(TransferId, AcceptedOffer),
    /// ACCEPT is queued next: let data come.
    OpenFlow(TransferId, RouteStart),
    /// Let no more data come (`FlowControl::end`).
    EndFlow {
        transfer: TransferId,
        confirmed: bool,
    },
    /// End a download that is not complete. `remove`: what came of it goes, too.
    CancelDownload {
        transfer: TransferId,
        remove: bool,
    },
    /// COMPLETE is acknowledged: the staging folder goes.
    DownloadAcknowledged(TransferId),
    ShowPeer,
    ShowTransfers,
    /// The user compared the numbers.
    MarkVerified,
    /// `/again`.
    Again,
    /// `/redial`, and where to.
    Redial(String),
    /// `/toward`, and where to.
    Toward(String),
    /// All is said: write it, close the sending direction, read to the end.
    Hangup,
    /// The session is over, and with it the connection; the last action.
    Over(SessionEnd),
}
