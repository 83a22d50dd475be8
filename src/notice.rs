//! What passes between a person or script and the session: notices out, input in.
//!
//! Text of [`PeerText`] came from the peer and cannot be printed as it is. Words for people are made by the frontends: what decides
//! something is an enum or a number here, never a sentence. Texts that stand here anyway are details (paths, errors of the system).

use crate::command::SendSource;
use crate::protocol::frame::{ByeReason, Reason, TransferId};
use crate::text::{PeerText, SafeText};
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// Which way a transfer goes, seen from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// This side receives.
    In,
    /// This side sends.
    Out,
}

impl Direction {
    /// The word that people and JSON see.
    pub fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Own,
    Peer,
}

/// What this side knows of a peer's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Never met before.
    New,
    /// Met before, never compared.
    Known,
    /// Compared by `/verify`, or met with a right code.
    Verified,
}

impl Trust {
    /// The word that people, JSON and the peers file use.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Known => "known",
            Self::Verified => "verified",
        }
    }
}

/// Something that happened, for a person or a script. Numbers of transfers and ids of lines are unique over the whole run; a transfer
/// has the same number on both sides.
#[derive(Debug, Clone)]
pub enum Notice {
    /// `listen` is ready.
    Listening {
        /// Addresses a peer may dial, the bound one first.
        addrs: Vec<String>,
        /// The code to tell the peer.
        code: Option<Zeroizing<String>>,
        /// The invite to send to the peer.
        invite: Option<Zeroizing<String>>,
        /// Show the invite as a QR code as well.
        qr: bool,
    },
    /// Others on the own network find this side by this name, which means nothing.
    Announced { instance: String },
    /// The router lets callers in.
    Mapped {
        /// Where, as seen from outside.
        addr: String,
        /// The protocol by which it was asked.
        by: &'static str,
        /// For so long, unless it is renewed, as it is; 0 is without end.
        seconds: u32,
    },
    /// A step that a person may want to see; no JSON event.
    Status(String),
    /// A session began.
    Connected {
        /// The peer's label.
        peer: PeerText,
        fingerprint: String,
        addr: String,
        /// The verification number, in open mode.
        verify: Option<String>,
        trust: Trust,
        /// It came without the invite that is out.
        uninvited: bool,
        /// What this side calls itself.
        own: String,
    },
    /// The peer wrote a line.
    Message {
        id: u64,
        /// The peer's label.
        from: PeerText,
        /// Possibly of several lines.
        text: PeerText,
        /// Typed with `/me`.
        action: bool,
    },
    /// An own line was taken for this peer; once for each line, also when it is sent again after a restart.
    Sent {
        id: u64,
        text: String,
        /// Typed with `/me`.
        action: bool,
        /// The connection is lost: it waits for its return.
        waiting: bool,
    },
    /// The peer has shown or written this very line.
    Delivered { id: u64 },
    /// The session ended without delivering these.
    Undelivered {
        /// Lines that [`Notice::Sent`] named.
        ids: Vec<u64>,
        /// All lines, those included that never met a peer.
        lines: usize,
    },
    /// Lines that the old session did not deliver were sent again after a restart of the peer's program.
    Resent {
        lines: usize,
        /// So many of them the peer may have seen before.
        maybe_seen: usize,
    },
    /// Files were offered, in either direction. [`Question::Accept`] follows when an answer is awaited.
    Offer {
        transfer: TransferId,
        direction: Direction,
        /// First name of the list, as the peer gave it when it comes in.
        name: PeerText,
        /// Names beside the first at the top of the list.
        more: u32,
        files: u32,
        folders: u32,
        /// None for a stream, whose length nobody knows.
        bytes: Option<u64>,
        /// Top-level names that exist already where it would go (incoming only).
        clashes: Option<u32>,
        /// Bytes free where it would go (incoming only).
        free: Option<u64>,
        /// It goes on what stood under this number before the peer's program was restarted; that number has no other end.
        was: Option<TransferId>,
    },
    /// A transfer begins.
    Accepted { transfer: TransferId },
    /// One side did not want a transfer, or no more, or could not go on with it.
    Stopped {
        transfer: TransferId,
        how: Stop,
        by: Side,
        reason: Reason,
        /// More about the reason; may be empty. The peer's words when it did so.
        detail: SafeText,
    },
    /// Something under a path that was to be sent is not in the offer.
    LeftOut {
        transfer: TransferId,
        /// None for the rest, which is only counted.
        path: Option<PeerText>,
        /// How many this speaks of: 1 with a path.
        count: usize,
        /// Empty for the rest.
        reason: SafeText,
    },
    /// How far a transfer is; at most four a second each.
    Progress {
        transfer: TransferId,
        /// Bytes that the receiver has handed to its file system.
        bytes: u64,
        /// None for a stream.
        total: Option<u64>,
        /// Files finished.
        files: u32,
    },
    /// An entry at the top of a transfer's list stands at this local path. No JSON event.
    Published(PeerText),
    /// One file is finished.
    File {
        transfer: TransferId,
        /// The local path.
        path: PeerText,
        bytes: u64,
        /// Its BLAKE3 digest in hexadecimal.
        blake3: String,
        /// The path in the offer, when its name here is another (`OFFERED, received as PATH`).
        offered: Option<PeerText>,
    },
    /// A transfer is finished, every file of it.
    Done {
        transfer: TransferId,
        /// The local path of the first name.
        path: PeerText,
        /// Names beside the first at the top of the list.
        more: u32,
        files: u32,
        bytes: u64,
        /// Bytes of the files as they went over the wire in this run: fewer where they were compressed or there already, more where a
        /// loss had some sent twice. None when the session ended before the worker said it.
        wire_bytes: Option<u64>,
        took: Duration,
    },
    /// A transfer, or one file of it (`path`), failed.
    Failed {
        transfer: TransferId,
        /// The file, when only that failed and the rest goes on; on the receiving side its offered path.
        path: Option<PeerText>,
        reason: SafeText,
        /// What came of it lies in this folder, and goes on when the same is offered again, unless it is a stream.
        part: Option<PeerText>,
        /// The session ended before it: when the same is offered again, it goes on.
        cut: bool,
    },
    /// An answer is awaited; [`Input::Answer`] with this id gives it. Several may be open; they are answered in any order.
    Question { id: u64, question: Question },
    /// Answered, or moot.
    QuestionGone { id: u64 },
    /// Trust in the peer changed.
    Trust {
        /// The peer's label.
        peer: PeerText,
        trust: Trust,
    },
    /// An answer to a command.
    Info(Info),
    /// The connection broke; the session is kept (unless [`Notice::Bye`], an error or the end of the program follows).
    Lost {
        reason: SafeText,
        /// Own lines that wait for its return.
        lines: usize,
        /// Transfers that do.
        transfers: usize,
    },
    /// The connection is back.
    Reconnected {
        /// The peer's program was restarted: a new session under the same key goes on. [`Notice::Connected`] came just before.
        restarted: bool,
    },
    /// This side leaves when all is done that was asked for; `/quit` again leaves at once, `/stay` takes it back.
    Leaving {
        /// Transfers that are waited for.
        transfers: usize,
        /// Lines that are waited for.
        lines: usize,
        /// It waits for a lost connection.
        lost: bool,
    },
    /// `/stay`: this side does not leave any more.
    Staying,
    /// The peer has left, or is lost for good. A person at a terminal now leaves, or goes on by `/again`.
    PeerGone {
        /// What that does: listen, or dial.
        listens: bool,
    },
    /// Something to know.
    Warning(SafeText),
    /// A command or action failed; the session goes on.
    Error {
        /// A short stable word.
        code: &'static str,
        /// For a person; a second line is a hint.
        text: SafeText,
    },
    /// The session ended politely.
    Bye {
        /// Who said it first.
        from: Side,
        reason: ByeReason,
    },
}

/// How one side stopped a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It answered an offer so.
    Declined,
    Cancelled,
}

impl Stop {
    /// The word that people and JSON see.
    pub fn word(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a person is asked. `y` does what the name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Take what is offered. Also answered by `/accept` and `/decline`.
    Accept {
        transfer: TransferId,
        /// First name of the list.
        name: PeerText,
        /// Names beside the first at the top of the list.
        more: u32,
        /// It goes on in this folder, where an earlier run received a part; none: into the usual one.
        dest: Option<PathBuf>,
        /// The folder that was named cannot be used: asked once more.
        again: bool,
    },
    /// Send what the session before the restart did not deliver.
    Resend { lines: usize },
    /// Leave when the transfers are done, or, while the connection is lost, now. Asked by `/quit`; a second `/quit` leaves at once.
    Leave {
        /// Own transfers and accepted ones that are waited for.
        transfers: Vec<TransferId>,
        /// Offers that wait for an answer, and are declined by leaving, with their first names.
        offers: Vec<(TransferId, PeerText)>,
        /// While the connection is lost: own lines that wait for its return, and are lost by leaving.
        lost: Option<usize>,
    },
}

/// Answers to `/help`, `/peer`, `/transfers`, `/verify`.
#[derive(Debug, Clone)]
pub enum Info {
    /// The commands.
    Help,
    /// About the peer: label and value pairs.
    Peer(Vec<(&'static str, SafeText)>),
    /// The open transfers.
    Transfers(Vec<TransferInfo>),
    /// Names in one transfer (`/transfers ID [FROM]`), a page of them.
    Names {
        transfer: TransferId,
        /// The number of the first file here, from 1.
        from: usize,
        /// Files in all.
        total: usize,
        /// Path and size (none for a stream).
        names: Vec<(PeerText, Option<u64>)>,
    },
    /// A sentence of the program's own.
    Text(SafeText),
}

/// How far an open transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferState {
    /// Out: being scanned, or waiting for the scan of an earlier one. In: accepted, the disk is prepared.
    Preparing,
    /// Out: the peer has not answered.
    Offered,
    /// In: its list arrives or is looked at.
    Arriving,
    /// In: an answer of this side's user is awaited.
    Asking,
    /// Data moves, or may.
    Running,
}

impl TransferState {
    /// The word of JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Offered => "offered",
            Self::Arriving => "arriving",
            Self::Asking => "asking",
            Self::Running => "running",
        }
    }
}

/// One row of `/transfers`.
#[derive(Debug, Clone)]
pub struct TransferInfo {
    pub transfer: TransferId,
    pub direction: Direction,
    /// First name of the list; empty while it is not known.
    pub name: PeerText,
    pub state: TransferState,
    /// Bytes that the receiver has handed to its file system.
    pub bytes: u64,
    /// None for a stream.
    pub total: Option<u64>,
    /// Files finished.
    pub files_done: u32,
    pub files: u32,
}

/// A notice on its way to the frontend.
#[derive(Debug, Clone)]
pub struct Posted {
    pub notice: Notice,
    /// The label of the peer whose session it belongs to.
    pub peer: Option<PeerText>,
    /// Rises from notice to notice. The frontend says the highest that it has shown or written and flushed
    /// ([`crate::session::Session::shown`]): frames are acknowledged and input and transfers go on by that. None: outside of any session.
    pub display_seq: Option<u64>,
}

/// What a person or script gives to the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A line, without its end; a pasted block has inner newlines.
    Line(String),
    /// Files, folders or a stream to send, as `/send` does.
    Send(SendSource),
    /// The same, begun while this peer, known by its fingerprint, was on the screen: it is for nobody else.
    LineTo { peer: String, line: String },
    /// The answer to [`Notice::Question`].
    Answer { id: u64, yes: bool },
    /// A line that cannot be one (no UTF-8, far too long). It is reported, and counts as not sent.
    Rejected { code: &'static str, text: SafeText },
    /// The input ended: `/quit` unless `--stay`.
    Ended,
    /// Leave at once with exit code 130 (Ctrl-C twice in the interactive terminal).
    Interrupt,
}
