//! The frames of the wire: every kind, its bytes, its limits.
//!
//! EventLoop of the wire's shape (PROTOCOL.md section 5): this file has the vocabulary and every limit, `frame/wire.rs` the
//! bytes. Chunks of files never become a `Frame` on the fast path: their header is [`ChunkHeader`], their data stays
//! where it is.

pub use super::codec::{ChunkHeader, KIND_CHUNK, at_most};

use thiserror::Error;

/// Bytes of file data in a full chunk: fifteen pages, so that every write to a file begins at a page, and a
/// record with header and tag stays under 65,535.
pub const CHUNK_DATA: usize = 61_440;
/// Bytes of a chunk before its data: kind, transfer, position.
pub const CHUNK_HEADER: usize = 1 + 4 + 8;
/// The longest text of a line, in bytes of UTF-8.
pub const LINE_TEXT: usize = 64_000;
/// The longest name that a user gives itself, in bytes.
pub const NAME: usize = 64;
/// The longest explanation in a decline or cancel, in bytes.
pub const REASON_TEXT: usize = 512;
/// Bytes of an ML-KEM-768 encapsulation key.
pub const KEM_KEY: usize = 1_184;
/// Bytes of an ML-KEM-768 ciphertext.
pub const KEM_CT: usize = 1_088;
/// The largest frame, in bytes: a record's 65,535 less the 16 of the tag, less one that Noise implementations keep.
pub const FRAME: usize = 65_518;
/// Control frames that may be unacknowledged at a time, in frames (PROTOCOL.md section 7).
pub const UNACKNOWLEDGED_FRAMES: usize = 1_024;
/// Control frames that may be unacknowledged at a time, in bytes of kind and body; the frame that crosses it still goes.
pub const UNACKNOWLEDGED_BYTES: usize = 4 << 20;
/// The longest list of files in one transfer, in bytes: it is held in memory by both sides.
pub const LIST_BYTES: u32 = 8 << 20;
/// What the end of a file weighs in positions, so that credit bounds the number of files on their way as well.
pub const FILE_END_WEIGHT: u64 = 1_024;
/// Transfers of one direction that may be open at once.
pub const OPEN_TRANSFERS: usize = 64;
/// `reconnect_timeout` that never ends.
pub const RECONNECT_FOREVER: u32 = u32::MAX;

/// A number the offering side gave to a transfer.
pub type TransferId = u32;
/// A place in the run of bytes of one transfer (PROTOCOL.md section 8).
pub type Position = u64;
/// A BLAKE3 digest, or 32 zero bytes where there is none.
pub type Digest = [u8; 32];

/// What a peer sent that this protocol does not allow; the peer is at fault, and the connection ends.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// A record without a single byte of frame.
    #[error("the peer sent an empty frame")]
    Empty,
    /// A kind byte that is not in the table.
    #[error("the peer sent a frame of unknown kind 0x{0:02x}")]
    UnknownKind(u8),
    /// The body ends inside a field.
    #[error("the peer sent a {0} frame that is too short")]
    Short(&'static str),
    /// Bytes are left after the last field.
    #[error("the peer sent a {0} frame with trailing bytes")]
    Trailing(&'static str),
    /// A string or data over (or under) its limit.
    #[error("the peer sent a {0} frame with {1} bytes where {2} to {3} are allowed")]
    Length(&'static str, usize, usize, usize),
    /// A string that is not UTF-8.
    #[error("the peer sent a {0} frame with text that is not UTF-8")]
    NotUtf8(&'static str),
    /// A flag, intent, code, reason, status or number outside its range.
    #[error("the peer sent a {0} frame with the unknown value {1}")]
    Value(&'static str, u64),
}

/// Whether a greeting begins a session or takes one up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// A new session.
    New,
    /// The session named in the greeting.
    Resume,
}

/// Why a responder does not go on after a greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It talks with another peer, or with a living session of the same key.
    Busy,
    /// The session that was to be resumed is not there any more.
    NoSuchSession,
}

/// Why a transfer or an offer ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The offerer's answer to the receiver's end.
    Confirmed,
    /// A person said so.
    User,
    /// A rule said so, or nobody is there to ask.
    Rule,
    /// Too many transfers, or a list too large.
    TooMuch,
    /// Names that no receiver may take.
    Names,
    /// Not enough space.
    Space,
    /// An input or output error.
    Io,
    /// The source changed.
    Changed,
    /// The side that says this is leaving.
    Leaving,
}

/// How the sending of one file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStatus {
    /// All its bytes were sent; the digest says which.
    Whole,
    /// It changed while it was read.
    Changed,
    /// It could not be read.
    Unreadable,
}

/// Why a side says goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByeReason {
    /// The user typed `/quit`.
    Quit,
    /// The input ended.
    InputEnded,
    /// A signal asked the program to end.
    Signal,
    /// An error of its own.
    Failure,
}

/// The first frame about the session itself; see PROTOCOL.md section 6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// New or resumed.
    pub intent: Intent,
    /// The session's id, chosen by the initiator of its first connection.
    pub session: [u8; 16],
    /// The highest sequence number that came in and is held.
    pub received: u64,
    /// Seconds for which the sender keeps a session without a connection; [`RECONNECT_FOREVER`] for ever.
    pub reconnect_timeout: u32,
    /// What the sender's user calls itself; hostile text.
    pub name: String,
}

/// What an offer promises; its list follows as chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Files in the list.
    pub files: u32,
    /// Folders in the list.
    pub folders: u32,
    /// Sum of the sizes of the files.
    pub bytes: u64,
    /// Length of the list in bytes, 1 to [`LIST_BYTES`].
    pub list: u32,
    /// BLAKE3 digest of the list.
    pub digest: Digest,
}

/// A frame of the control lane, without its sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// A line of chat; `action` when it was typed with `/me`.
    Line {
        /// Typed with `/me`.
        action: bool,
        /// 1 to [`LINE_TEXT`] bytes.
        text: String,
    },
    /// The sender offers files.
    Offer {
        /// The offerer's number.
        transfer: TransferId,
        /// What it promises.
        offer: Offer,
    },
    /// The receiver takes an offer.
    Accept {
        /// The offerer's number.
        transfer: TransferId,
        /// Where the data shall begin.
        position: Position,
        /// Digest of the bytes of that file before the position; zero at the start of a file.
        digest: Digest,
    },
    /// The receiver does not take an offer.
    Decline {
        /// The offerer's number.
        transfer: TransferId,
        /// Why.
        reason: Reason,
        /// Detail for a person.
        text: String,
    },
    /// Either side ends a transfer.
    Cancel {
        /// The number of the transfer.
        transfer: TransferId,
        /// Why, or [`Reason::Confirmed`].
        reason: Reason,
        /// Detail for a person.
        text: String,
        /// Whose number it is: true when the side that sends this frame is the offerer.
        by_offerer: bool,
    },
    /// The receiver has published all it could.
    Complete {
        /// The offerer's number.
        transfer: TransferId,
        /// Files published.
        files: u32,
        /// Files that were not.
        failed: u32,
    },
    /// The sender leaves.
    Bye {
        /// Why.
        reason: ByeReason,
    },
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Commitment to the initiator's nonce.
    Commit([u8; 32]),
    /// The responder's nonce.
    Nonce([u8; 32]),
    /// The initiator's nonce.
    Reveal([u8; 32]),
    /// The initiator's ML-KEM-768 encapsulation key.
    KemKey(Box<[u8; KEM_KEY]>),
    /// The responder's ML-KEM-768 ciphertext.
    KemCt(Box<[u8; KEM_CT]>),
    /// The session's opening.
    Greeting(Greeting),
    /// The responder does not go on.
    Refusal(Refusal),
    /// Asks for a sign of life.
    Ping(u64),
    /// Gives it.
    Pong(u64),
    /// All up to this sequence number are handed on.
    Ack(u64),
    /// How far the offerer may send.
    Credit {
        /// The offerer's number.
        transfer: TransferId,
        /// Up to here everything is with the receiver's file system.
        durable: Position,
        /// Up to here the offerer may send.
        limit: Position,
    },
    /// Where a transfer goes on after a resume.
    Restart {
        /// The offerer's number.
        transfer: TransferId,
        /// The next position to send.
        position: Position,
        /// Up to here the offerer may send.
        limit: Position,
    },
    /// A frame of the control lane.
    Control {
        /// Its sequence number, from 1.
        seq: u64,
        /// What it says.
        control: Control,
    },
    /// File or list data.
    Chunk {
        /// The offerer's number.
        transfer: TransferId,
        /// Where the data stands.
        position: Position,
        /// 1 to [`CHUNK_DATA`] bytes.
        data: Vec<u8>,
    },
    /// The end of one file.
    FileEnd {
        /// The offerer's number.
        transfer: TransferId,
        /// Where the end stands.
        position: Position,
        /// How it went.
        status: FileStatus,
        /// The file's digest; zero unless whole.
        digest: Digest,
    },
}
