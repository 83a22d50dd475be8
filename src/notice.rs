//! What passes between a person and the session: notices out, input in.
//!
//! EventLoop of [`Notice`] and [`Input`], the vocabulary that the session speaks to whatever face there is, and the faces to the
//! session. It knows neither the wire nor a screen. What came from the peer is [`PeerText`] and cannot be printed as it is.

use crate::text::{PeerText, SafeText};

/// Which way a transfer goes, seen from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// This side receives.
    In,
    /// This side sends.
    Out,
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

/// Something that happened, for a person or a script. Fields of [`PeerText`] came from the peer.
#[derive(Debug, Clone)]
pub enum Notice {
    /// `listen` is ready.
    Listening {
        /// Addresses a peer may dial, the bound one first.
        addrs: Vec<String>,
        /// The code to tell the peer.
        code: Option<String>,
    },
    /// A step on the way that a person may want to see; no JSON event.
    Status(String),
    /// A session began.
    Connected {
        /// The peer's label.
        peer: PeerText,
        /// The peer's fingerprint.
        fingerprint: String,
        /// Where it is.
        addr: String,
        /// The verification number, in open mode.
        verify: Option<String>,
        /// What is known of it.
        trust: Trust,
        /// What this side calls itself.
        own: String,
    },
    /// The peer wrote a line.
    Message {
        /// Unique among the messages that came in.
        id: u64,
        /// The peer's label.
        from: PeerText,
        /// The line, possibly of several lines.
        text: PeerText,
        /// Typed with `/me`.
        action: bool,
    },
    /// An own line went to the peer's queue.
    Sent {
        /// Unique among the lines that went out.
        id: u64,
        /// The line.
        text: String,
        /// Typed with `/me`.
        action: bool,
    },
    /// The peer has all own lines up to this one.
    Delivered {
        /// An id of [`Notice::Sent`].
        id: u64,
    },
    /// Files were offered, in either direction.
    Offer {
        /// The local number, unique in this program run over both directions.
        transfer: u32,
        /// Which way.
        direction: Direction,
        /// First name of the list, as the peer gave it when it comes in.
        name: PeerText,
        /// Number of names beside the first at the top of the list.
        more: u32,
        /// Files in it.
        files: u32,
        /// Folders in it.
        folders: u32,
        /// Bytes in it.
        bytes: u64,
        /// Top-level names that exist already where it would go (incoming only).
        clashes: Option<u32>,
        /// Bytes free where it would go (incoming only).
        free: Option<u64>,
        /// Whether an answer of the user is awaited.
        asks: bool,
    },
    /// A transfer begins.
    Accepted {
        /// The local number.
        transfer: u32,
    },
    /// An offer was declined, by the user, a rule or the peer.
    Declined {
        /// The local number.
        transfer: u32,
        /// Why.
        reason: SafeText,
        /// By the peer, not by this side.
        by_peer: bool,
    },
    /// A transfer was cancelled.
    Cancelled {
        /// The local number.
        transfer: u32,
        /// Why.
        reason: SafeText,
        /// By the peer, not by this side.
        by_peer: bool,
    },
    /// How far a transfer is; at most four a second each.
    Progress {
        /// The local number.
        transfer: u32,
        /// Bytes the receiver has on disk.
        bytes: u64,
        /// Bytes in all.
        total: u64,
        /// Files finished.
        files: u32,
    },
    /// One file is finished.
    File {
        /// The local number.
        transfer: u32,
        /// The local path.
        path: PeerText,
        /// Its size.
        bytes: u64,
        /// Its BLAKE3 digest in hexadecimal.
        blake3: String,
    },
    /// A transfer is finished.
    Done {
        /// The local number.
        transfer: u32,
        /// The local path of the first name.
        path: PeerText,
        /// Files in it.
        files: u32,
        /// Bytes in it.
        bytes: u64,
        /// How long it took.
        seconds: f64,
    },
    /// A transfer, or one file of it (`path`), failed.
    Failed {
        /// The local number.
        transfer: u32,
        /// The file, when only that failed and the rest goes on.
        path: Option<PeerText>,
        /// Why.
        reason: SafeText,
    },
    /// Trust in the peer changed.
    Trust {
        /// The peer's label.
        peer: PeerText,
        /// What it is now.
        trust: Trust,
    },
    /// An answer to a command.
    Info(Info),
    /// The connection broke; the session is kept.
    Lost {
        /// Why.
        reason: SafeText,
        /// Lines and transfers that wait for its return.
        waiting: usize,
    },
    /// The connection is back.
    Reconnected {
        /// Frames that were sent again.
        resent: usize,
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
        /// The peer ended it.
        from_peer: bool,
        /// Why.
        reason: SafeText,
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
    /// The names in one transfer (`/transfers ID`): path and size; folders end in `/` and have none.
    Names {
        /// The local number.
        transfer: u32,
        /// Path and size.
        names: Vec<(PeerText, Option<u64>)>,
    },
    /// A sentence of the program's own.
    Text(SafeText),
}

/// One row of `/transfers`.
#[derive(Debug, Clone)]
pub struct TransferInfo {
    /// The local number.
    pub transfer: u32,
    /// Which way.
    pub direction: Direction,
    /// First name of the list.
    pub name: PeerText,
    /// A word such as `asking`, `waiting`, `running`.
    pub state: &'static str,
    /// Bytes the receiver has on disk.
    pub bytes: u64,
    /// Bytes in all.
    pub total: u64,
    /// Files finished.
    pub files_done: u32,
    /// Files in all.
    pub files: u32,
}

/// A notice on its way to the face.
#[derive(Debug, Clone)]
pub struct Posted {
    /// What happened.
    pub notice: Notice,
    /// The peer's sequence number that may be acknowledged once this is written.
    pub settles: Option<u64>,
}

/// What a person or script gives to the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A line, without its end; a pasted block has inner newlines.
    Line(String),
    /// The input ended: `/quit` unless `--stay`.
    Ended,
    /// Leave at once with exit code 130 (Ctrl-C twice in the interactive terminal).
    Interrupt,
}
