//! The test vectors.

use rand_core_06::{CryptoRng, Error, RngCore};

/// A source that gives the same 64 bytes, once, for a SPAKE2 scalar.
pub(in crate::channel) struct Fixed(pub(in crate::channel) [u8; 64]);

impl CryptoRng for Fixed {}

impl RngCore for Fixed {
    fn next_u32(&mut self) -> u32 {
        unreachable!("the scalar is drawn as bytes")
    }
    fn next_u64(&mut self) -> u64 {
        unreachable!("the scalar is drawn as bytes")
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        dest.copy_from_slice(&self.0);
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}
