//! The vocabulary of the wire: every frame, and every limit of PROTOCOL.md section 5. Their bytes are in `codec.rs`.
//!
//! Chunks of files never become a `Frame` on the fast path: their header is a [`ChunkHeader`], their data stays where it is.

use std::net::SocketAddr;

/// Bytes of file data in a full chunk: as many times 16 KiB as a record holds, which BLAKE3 hashes at once (16 blocks of 1 KiB; chunks
/// of 60 KiB were hashed at 5.6 GB/s, of 48 KiB at 8.5), and whole pages of a file.
pub const CHUNK_DATA: usize = 49_152;
/// Bytes of a chunk before its data: kind, transfer, position.
pub const CHUNK_HEADER: usize = 1 + 4 + 8;
/// The kind bytes of chunks, plain and compressed, which the reader looks for before it decodes anything else.
pub const KIND_CHUNK: u8 = 0x30;
pub const KIND_ZCHUNK: u8 = 0x33;
/// The bit of `features` in GREETING of who takes ADDRS.
pub const FEATURE_ADDRS: u32 = 1 << 0;
/// The bit of who opens ZCHUNK.
pub const FEATURE_ZCHUNK: u32 = 1 << 1;
/// Addresses in one ADDRS: as many as in an invite.
pub const ADDRS: usize = 8;
/// The longest text of a line, in bytes of UTF-8.
pub const LINE_TEXT: usize = 64_000;
/// The longest name that a user gives itself, in bytes.
pub const NAME: usize = 64;
/// The longest explanation in a decline or cancel, in bytes.
pub const REASON_TEXT: usize = 512;
/// The largest frame, in bytes: a line of the longest text.
pub const FRAME: usize = 1 + 8 + 1 + LINE_TEXT;
/// Control frames that may be unacknowledged at a time, in frames (PROTOCOL.md section 7).
pub const UNACKNOWLEDGED_FRAMES: usize = 1_024;
/// Control frames that may be unacknowledged at a time, in bytes of kind and body; the frame that crosses it still goes.
pub const UNACKNOWLEDGED_BYTES: usize = 4 << 20;
/// The longest list of files in one transfer, in bytes: it is held in memory by both sides.
pub const LIST_BYTES: u32 = 8 << 20;
/// What FILE_END and BEGIN weigh, and a ZCHUNK at least, so that credit bounds the number of files and chunks on their way as
/// well; and the positions that the end of a file takes.
pub const END_WEIGHT: u64 = 1_024;
/// All positions, and the limit of CREDIT, are below this, so that adding a chunk or a weight cannot overflow.
pub const POSITIONS: Position = 1 << 63;
/// `bytes` in the OFFER of a stream, whose length nobody knows.
pub const STREAM_BYTES: u64 = u64::MAX;
/// Transfers of one direction that may be open at once.
pub const OPEN_TRANSFERS: usize = 64;
/// `reconnect_timeout` that never ends.
pub const RECONNECT_FOREVER: u32 = u32::MAX;
/// Bytes of an ML-KEM-768 encapsulation key.
pub const KEM_KEY: usize = 1_184;
/// Bytes of an ML-KEM-768 ciphertext.
pub const KEM_CT: usize = 1_088;

/// The number of a transfer: odd when the initiator offered it, even when the responder did.
pub type TransferId = u32;
/// A place in the run of bytes of one transfer (PROTOCOL.md section 8).
pub type Position = u64;
/// A BLAKE3 digest, or [`NO_DIGEST`].
pub type Digest = [u8; 32];

/// Where else the responder listens, at most [`ADDRS`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addrs {
    /// Most of the addresses have it; it makes the frame shorter, and means nothing else.
    pub port: u16,
    /// Without scopes.
    pub list: Vec<SocketAddr>,
}

/// What stands where the wire asks for a digest of nothing.
pub const NO_DIGEST: Digest = [0; 32];

/// Whether a greeting begins a session or takes one up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
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
    User,
    /// A rule said so, or nobody is there to ask.
    Rule,
    /// Too many transfers, or a list too large.
    TooMuch,
    /// Names that no receiver may take.
    Names,
    Space,
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
    Unreadable,
}

/// Why a side says goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByeReason {
    Quit,
    InputEnded,
    /// A signal asked the program to end.
    Signal,
    /// An error of its own.
    Failure,
}

/// The first frame about the session itself; see PROTOCOL.md section 6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    pub intent: Intent,
    /// The session's id, chosen by the initiator of its first connection.
    pub session: [u8; 16],
    /// The highest sequence number that came in and is held.
    pub received: u64,
    /// Features that the sender knows, as a bit set.
    pub features: u32,
    /// Above every transfer number that the sender has used or met in its run.
    pub next_transfer: u32,
    /// Seconds for which the sender keeps a session without a connection; [`RECONNECT_FOREVER`] for ever.
    pub reconnect_timeout: u32,
    /// What the sender's user calls itself; hostile text.
    pub name: String,
}

/// What an offer promises; its list follows as chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub files: u32,
    pub folders: u32,
    /// Sum of the sizes of the files; [`STREAM_BYTES`] for a stream.
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
        action: bool,
        /// 1 to [`LINE_TEXT`] bytes.
        text: String,
    },
    /// The sender offers files.
    Offer {
        transfer: TransferId,
        offer: Offer,
    },
    /// The receiver takes an offer.
    Accept {
        transfer: TransferId,
        /// Where the data begins.
        position: Position,
        /// Digest of the bytes of that file before the position; zero at the start of a file.
        digest: Digest,
    },
    /// The receiver does not take an offer.
    Decline {
        transfer: TransferId,
        reason: Reason,
        text: String,
    },
    Cancel {
        transfer: TransferId,
        /// Why, or [`Reason::Confirmed`].
        reason: Reason,
        text: String,
    },
    /// The receiver has published all it could.
    Complete {
        transfer: TransferId,
        /// Files published.
        files: u32,
        /// Files that were not.
        failed: u32,
    },
    Bye {
        reason: ByeReason,
    },
}

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
    /// The weight of bulk that the peer may have sent on this connection.
    Credit { limit: u64 },
    /// Where a transfer goes on after a resume.
    Restart {
        transfer: TransferId,
        position: Position,
        /// Digest of the bytes of that file before the position, as in ACCEPT.
        digest: Digest,
    },
    /// Where else the responder listens.
    Addrs(Addrs),
    /// Everything of a transfer before the position is with the receiver's file system.
    Received { transfer: TransferId, position: Position },
    Control {
        /// Its sequence number, from 1.
        seq: u64,
        control: Control,
    },
    /// File or list data.
    Chunk {
        transfer: TransferId,
        position: Position,
        /// 1 to [`CHUNK_DATA`] bytes.
        data: Vec<u8>,
    },
    /// File data, compressed.
    Zchunk {
        transfer: TransferId,
        position: Position,
        /// A zstd frame of 1 to [`CHUNK_DATA`] bytes; see [`crate::transfer::compression`].
        frame: Vec<u8>,
    },
    FileEnd {
        transfer: TransferId,
        position: Position,
        status: FileStatus,
        /// The file's digest; zero unless whole.
        digest: Digest,
    },
    /// Where the data of a transfer begins on this connection.
    Begin { transfer: TransferId, position: Position },
}

/// The head of a chunk, plain or compressed, apart from its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkHeader {
    pub compressed: bool,
    pub transfer: TransferId,
    pub position: Position,
}

/// The longest beginning of `text` that has at most `limit` bytes and ends between characters.
pub fn at_most(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}
