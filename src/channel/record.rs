//! Records: one frame each, sealed in place (PROTOCOL.md section 4).
//!
//! Owns the two transport keys after the handshake. Invariant: a direction uses each nonce once, under a key that exists
//! in one [`Sealer`] here and one [`Opener`] there; neither can be cloned, and no nonce leaves this file. What fails to open
//! takes the key with it, so nothing later can be tried on it. The bytes are those of Noise's transport messages.

use super::StreamError;
use crate::protocol::error::FrameError;
use crate::protocol::frame::{Frame, KEM_KEY, NAME};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::fmt;
use std::io::{self, Read, Write};
use thiserror::Error;
use zeroize::Zeroizing;

/// Records under one key; see PROTOCOL.md section 4. Far below what AES-GCM allows for 64 KiB records.
const REKEY_INTERVAL: u64 = 1 << 20;
/// The counter that Noise keeps for making the next key; no record may have it.
const REKEY_COUNTER: u64 = u64::MAX;
/// Bytes of a record's length, in front of its body.
pub const LENGTH: usize = 2;
/// Bytes of a record's tag, at its end.
pub const TAG: usize = 16;
const KEY: usize = 32;
/// The least a record can hold: a kind byte and the tag.
const SHORTEST: usize = 1 + TAG;
/// The longest greeting: that with the longest name.
const GREETING: usize = 1 + 1 + 16 + 8 + 4 + 4 + 4 + 1 + NAME;
/// The longest frame before the session begins. A stranger gets no more memory than this.
const OPENING_FRAME: usize = 1 + KEM_KEY;

/// A frame is empty or one that no record holds, or the counter of this direction is used up; this program is at fault.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("a frame cannot be sealed")]
pub struct SealError;

/// A record is not the next one that the peer sealed on this connection, or an earlier one was not; the peer is at fault, or somebody in
/// the middle.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("tampering noticed: a record does not open")]
pub struct DecryptError;

/// Why [`read_frame`] failed.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A record of a length that no frame of the opening has.
    #[error("the peer sent a record of {0} bytes where a short frame is due")]
    Length(u16),
    #[error(transparent)]
    Open(#[from] DecryptError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

pub struct Sealer {
    cipher: Cipher,
}

pub struct Opener {
    /// Gone after the first error.
    cipher: Option<Cipher>,
}

impl Sealer {
    pub(super) fn new(key: &[u8; KEY]) -> Option<Self> {
        Some(Self { cipher: Cipher::new(key)? })
    }

    /// Seals under another key from the next record on; the counter goes on.
    pub(super) fn change_key(&mut self, key: &[u8; KEY]) -> Option<()> {
        self.cipher.key = key_of(key)?;
        Some(())
    }

    /// Seals a record in place. It comes as 2 bytes of room for the length, the frame, and 16 bytes of room for the tag, and
    /// leaves as it goes on the wire.
    ///
    /// # Errors
    /// When the frame is empty or over 65,519 bytes, or the counter is used up; then the record must not be sent.
    pub fn seal(&mut self, record: &mut [u8]) -> Result<(), SealError> {
        let (length, body) = record.split_first_chunk_mut::<LENGTH>().ok_or(SealError)?;
        if body.len() < SHORTEST {
            return Err(SealError);
        }
        *length = u16::try_from(body.len()).map_err(|_| SealError)?.to_be_bytes();
        let (frame, tag) = body.split_last_chunk_mut::<TAG>().ok_or(SealError)?;
        let nonce = self.cipher.nonce().ok_or(SealError)?;
        let sealed = self.cipher.key.seal_in_place_separate_tag(nonce, Aad::empty(), frame);
        tag.copy_from_slice(sealed.map_err(|_| SealError)?.as_ref());
        self.cipher.advance().ok_or(SealError)
    }
}

impl Opener {
    pub(super) fn new(key: &[u8; KEY]) -> Option<Self> {
        Some(Self { cipher: Some(Cipher::new(key)?) })
    }

    /// Opens under another key from the next record on; the counter goes on.
    pub(super) fn change_key(&mut self, key: &[u8; KEY]) -> Option<()> {
        self.cipher.as_mut()?.key = key_of(key)?;
        Some(())
    }

    /// Opens the body of a record (what follows its length) in place; then all but the last 16 bytes is the frame.
    ///
    /// # Errors
    /// When the record is not the next one that the peer sealed. Then the body is zeroed, and this opener refuses everything.
    pub fn open(&mut self, body: &mut [u8]) -> Result<(), DecryptError> {
        let Some(mut cipher) = self.cipher.take() else {
            body.fill(0);
            return Err(DecryptError);
        };
        let opened = cipher.open(body);
        match opened {
            Ok(()) => self.cipher = Some(cipher),
            Err(_) => body.fill(0),
        }
        opened
    }
}

/// Seals one frame and writes it, in one write.
///
/// # Errors
/// When the stream fails; then the connection is of no more use. (So it is when the frame cannot be sealed, which no short one is.)
pub fn write_frame<W: Write>(stream: &mut W, sealer: &mut Sealer, frame: &Frame) -> Result<(), StreamError> {
    let mut record = vec![0; LENGTH];
    frame.encode(&mut record);
    record.resize(record.len().saturating_add(TAG), 0);
    sealer.seal(&mut record).map_err(|error| StreamError::Io(io::Error::other(error)))?;
    stream.write_all(&record).and_then(|()| stream.flush()).map_err(StreamError::from)
}

/// Reads a greeting, or a smaller frame.
///
/// # Errors
/// When the record is longer than that (refused before it is read), does not open, holds no frame, or the stream fails; then the
/// connection is of no more use.
pub fn read_frame<R: Read>(stream: &mut R, opener: &mut Opener) -> Result<Frame, ReadError> {
    read_frame_of(stream, opener, GREETING)
}

/// Reads a frame of the opening that has at most `longest` bytes.
pub(super) fn read_frame_of<R: Read>(stream: &mut R, opener: &mut Opener, longest: usize) -> Result<Frame, ReadError> {
    let mut length = [0; LENGTH];
    stream.read_exact(&mut length).map_err(StreamError::from)?;
    let length = u16::from_be_bytes(length);
    let mut room = [0; OPENING_FRAME + TAG];
    let body = room.get_mut(..usize::from(length)).filter(|body| (SHORTEST..=longest + TAG).contains(&body.len()));
    let body = body.ok_or(ReadError::Length(length))?;
    stream.read_exact(body).map_err(StreamError::from)?;
    opener.open(body)?;
    let frame = body.split_last_chunk::<TAG>().map(|(frame, _)| frame).unwrap_or_default();
    Ok(Frame::decode(frame)?)
}

/// The key of one direction and the counter of its next record.
struct Cipher {
    key: LessSafeKey,
    counter: u64,
}

impl Cipher {
    fn new(key: &[u8; KEY]) -> Option<Self> {
        Some(Self { key: key_of(key)?, counter: 0 })
    }

    fn nonce(&self) -> Option<Nonce> {
        (self.counter != REKEY_COUNTER).then(|| nonce_of(self.counter))
    }

    /// Leaves the counter's record behind, and its key after the last record of an interval.
    fn advance(&mut self) -> Option<()> {
        self.counter = self.counter.checked_add(1)?;
        if self.counter.is_multiple_of(REKEY_INTERVAL) {
            let mut next = Zeroizing::new([0; KEY]);
            // The next key is ciphertext alone; Noise drops the tag.
            let _ =
                self.key.seal_in_place_separate_tag(nonce_of(REKEY_COUNTER), Aad::empty(), next.as_mut_slice()).ok()?;
            self.key = key_of(&next)?;
        }
        Some(())
    }

    fn open(&mut self, body: &mut [u8]) -> Result<(), DecryptError> {
        if body.len() < SHORTEST || body.len() > usize::from(u16::MAX) {
            return Err(DecryptError);
        }
        let nonce = self.nonce().ok_or(DecryptError)?;
        self.key.open_in_place(nonce, Aad::empty(), body).map_err(|_| DecryptError)?;
        self.advance().ok_or(DecryptError)
    }
}

fn key_of(key: &[u8; KEY]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}

/// Four zero bytes and the counter, as Noise has it for AES-GCM.
fn nonce_of(counter: u64) -> Nonce {
    let mut bytes = [0; ring::aead::NONCE_LEN];
    if let Some(tail) = bytes.last_chunk_mut() {
        *tail = counter.to_be_bytes();
    }
    Nonce::assume_unique_for_key(bytes)
}

/// Moves both halves of a direction on, as if so many records had passed under the first key.
#[cfg(test)]
pub(super) fn skip_to(counter: u64, sealer: Option<&mut Sealer>, opener: Option<&mut Opener>) {
    let ciphers = sealer.map(|half| &mut half.cipher).into_iter().chain(opener.and_then(|half| half.cipher.as_mut()));
    ciphers.for_each(|cipher| cipher.counter = counter);
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener(..)")
    }
}
