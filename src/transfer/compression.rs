//! Chunks as zstd frames: what may stand in ZCHUNK (PROTOCOL.md section 8), how one is made, and how one is opened.
//!
//! Invariant: whatever a frame says, opening it writes no more than the buffer that it is opened into, which is as large as the content
//! that its header names: [`CHUNK_DATA`] at most. Neither side holds more than one context, which takes 1 MiB at most, and that from the
//! first frame on.
//!
//! 1. The upload worker asks [`policy`] whether to compress now, and [`Compressor::compress`] for each chunk.
//! 2. The receiver's reader looks at the header alone ([`content_len`]), for the flow control must know where the next chunk stands.
//! 3. The download worker opens the frame ([`Decompressor::open`]) into the buffer from which it is hashed and written.
//!
//! The library is zstd's own, in C, without its older formats. What there is in Rust alone compresses worse, or slower by a multiple
//! (`ruzstd` has the fastest level only), or is the same C, translated and as unsafe.

pub(crate) mod policy;

use crate::protocol::frame::CHUNK_DATA;
use policy::Attempts;
use zstd_safe::{CCtx, CParameter, DCtx, find_frame_compressed_size};

/// One chunk in 2^16 bytes: no larger window is ever needed.
const WINDOW_LOG: u32 = 16;
/// The fastest of the usual levels. Measured on chunks of 61,440 bytes, one thread: 400 to 500 MB/s, source text becomes 5.0 times smaller
/// and shared libraries 2.4 times; level 6 takes 5 times as long for a tenth more.
const LEVEL: i32 = 1;
/// What is not smaller by this part travels as it is, which spares the receiver the work.
const LEAST_GAIN: usize = 16;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Descriptors: a single segment, neither checksum nor dictionary, and the size of the content in one byte or two.
const SIZE_IN_ONE: u8 = 0x20;
const SIZE_IN_TWO: u8 = 0x60;
/// What a size in two bytes counts from.
const TWO_FROM: usize = 256;

/// Why a frame is no good: the end of a sentence about a compressed chunk.
pub const BAD_HEADER: &str = "does not begin as one may";
const BAD_END: &str = "has not one frame and nothing more";
const BAD_CONTENT: &str = "does not open to what it says";

/// Bytes that a frame says it opens to; none when it begins with anything that PROTOCOL.md does not allow.
pub fn content_len(frame: &[u8]) -> Option<usize> {
    let (magic, rest) = frame.split_first_chunk()?;
    let len = match rest {
        [SIZE_IN_ONE, size, ..] => usize::from(*size),
        [SIZE_IN_TWO, low, high, ..] => TWO_FROM + usize::from(u16::from_le_bytes([*low, *high])),
        _ => return None,
    };
    (*magic == MAGIC && (1..=CHUNK_DATA).contains(&len)).then_some(len)
}

/// Makes frames.
pub struct Compressor {
    context: CCtx<'static>,
    frame: Vec<u8>,
}

impl Default for Compressor {
    fn default() -> Self {
        let mut context = CCtx::create();
        for parameter in [CParameter::CompressionLevel(LEVEL), CParameter::WindowLog(WINDOW_LOG)] {
            // Both values are in zstd's range; without them it would compress all the same.
            let _ = context.set_parameter(parameter);
        }
        Self { context, frame: vec![0; CHUNK_DATA] }
    }
}

impl Compressor {
    /// The frame of a chunk; none when it would not be smaller enough, or its file's chunks were not lately.
    pub(crate) fn try_compress(&mut self, data: &[u8], attempts: &mut Attempts) -> Option<&[u8]> {
        if !attempts.is_due() {
            return None;
        }
        let frame = self.compress(data);
        attempts.gave(frame.is_some());
        frame
    }

    /// The frame of a chunk; none when it would not be smaller enough.
    pub fn compress(&mut self, data: &[u8]) -> Option<&[u8]> {
        // What needs more room than that is an error for the library.
        let room = self.frame.get_mut(..data.len() - data.len() / LEAST_GAIN)?;
        let len = self.context.compress2(room, data).ok().filter(|len| *len < data.len())?;
        self.frame.get(..len)
    }
}

/// Opens frames.
pub struct Decompressor(DCtx<'static>);

impl Default for Decompressor {
    fn default() -> Self {
        Self(DCtx::create())
    }
}

impl Decompressor {
    /// Opens a frame into all of `out`, which is as long as [`content_len`] says.
    ///
    /// # Errors
    /// Says what is wrong with it, to follow "a compressed chunk"; `out` holds nothing then that may be used.
    pub fn open(&mut self, frame: &[u8], out: &mut [u8]) -> Result<(), &'static str> {
        if content_len(frame) != Some(out.len()) {
            return Err(BAD_HEADER);
        }
        // The call below would open a second frame too, and pass over a skippable one.
        if find_frame_compressed_size(frame) != Ok(frame.len()) {
            return Err(BAD_END);
        }
        match self.0.decompress(out, frame) {
            Ok(len) if len == out.len() => Ok(()),
            _ => Err(BAD_CONTENT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of either kind, at this window and level.
    const CONTEXT_BYTES: usize = 1 << 20;

    fn open(frame: &[u8]) -> Result<Vec<u8>, &'static str> {
        let mut out = vec![0; content_len(frame).ok_or(BAD_HEADER)?];
        Decompressor::default().open(frame, &mut out).map(|()| out)
    }

    #[test]
    fn a_chunk_of_every_size_opens_to_itself_under_the_header_of_the_specification() {
        let mut compressor = Compressor::default();
        for len in [64, 255, 256, 257, 1_000, 49_151, CHUNK_DATA] {
            let data: Vec<u8> = b"all the same ".iter().copied().cycle().take(len).collect();
            let frame = compressor.compress(&data).unwrap();
            assert_eq!(content_len(frame), Some(len));
            assert_eq!(frame[4], if len < TWO_FROM { SIZE_IN_ONE } else { SIZE_IN_TWO });
            assert_eq!(open(frame).as_ref(), Ok(&data));
        }
        assert!(compressor.context.sizeof() <= CONTEXT_BYTES, "{}", compressor.context.sizeof());
        assert!(Decompressor::default().0.sizeof() <= CONTEXT_BYTES);
    }

    #[test]
    fn what_does_not_become_smaller_is_left_as_it_is() {
        let mut noise = vec![0; CHUNK_DATA];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let mut compressor = Compressor::default();
        for data in [&noise[..], b"short", b""] {
            assert_eq!(compressor.compress(data), None);
        }
        assert!(compressor.compress(&[0; CHUNK_DATA]).is_some(), "an attempt that failed leaves nothing behind");
    }
}
