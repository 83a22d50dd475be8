//! A peer's public key, and how people and files write it.

use curve25519_dalek::MontgomeryPoint;
use data_encoding::{BASE32_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use std::fmt;
use thiserror::Error;

/// A static X25519 public key, as on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

/// Bytes of a pin: forging a key for it takes 2^128 tries.
const PIN: usize = 16;

/// The first bytes of a fingerprint (PROTOCOL.md section 10).
pub type Pin = [u8; PIN];

/// A key check turns the key down: the words for the user.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("{0}")]
pub struct KeyRejected(pub String);

const FINGERPRINT_CONTEXT: &str = "p2pchat/1 2026 fingerprint";
const FINGERPRINT_BYTES: usize = 20;
const FINGERPRINT_GROUP: usize = 4;

impl PublicKey {
    /// What people compare and scripts store: 8 groups of 4 characters (PROTOCOL.md section 10).
    pub fn fingerprint(&self) -> String {
        let digits = BASE32_NOPAD.encode(&self.fingerprint_bytes());
        let mut text = String::new();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && place % FINGERPRINT_GROUP == 0 {
                text.push('-');
            }
            text.push(digit);
        }
        text
    }

    /// The bytes that [`PublicKey::fingerprint`] writes.
    fn fingerprint_bytes(&self) -> [u8; FINGERPRINT_BYTES] {
        let mut bytes = [0; FINGERPRINT_BYTES];
        bytes.iter_mut().zip(blake3::derive_key(FINGERPRINT_CONTEXT, &self.0)).for_each(|(to, from)| *to = from);
        bytes
    }

    /// What invites and announcements know the key by.
    pub fn pin(&self) -> Pin {
        let mut pin = [0; PIN];
        pin.iter_mut().zip(self.fingerprint_bytes()).for_each(|(to, from)| *to = from);
        pin
    }

    /// The key for the peers file: 64 hexadecimal digits, lower case.
    pub fn to_text(&self) -> String {
        hex(&self.0)
    }

    /// The inverse of [`PublicKey::to_text`]; takes upper case too, because a person may have edited the file.
    pub fn from_text(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    /// Whether every X25519 exchange with this key gives zero, whatever its encoding. Refused by each side (PROTOCOL.md
    /// section 3); snow takes such keys.
    pub(super) fn is_low_order(&self) -> bool {
        // Private keys are multiples of 8, which is a multiple of every low order. The bits of 8, the highest first:
        let eightfold = MontgomeryPoint(self.0).mul_bits_be([true, false, false, false].into_iter());
        eightfold.to_bytes() == [0; 32]
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

pub(crate) fn base32(bytes: &[u8]) -> String {
    BASE32_NOPAD.encode(bytes)
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// 32 bytes from exactly 64 hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_key_is_refused() {
        let good = PublicKey([0xab; 32]).to_text();
        assert_eq!(PublicKey::from_text(&good.to_uppercase()), Some(PublicKey([0xab; 32])));
        for bad in
            ["", "ab", &good[1..], &good[2..], &format!("{good}0"), &format!("{good}00"), &good.replace('a', "g")]
        {
            assert_eq!(PublicKey::from_text(bad), None, "{bad}");
        }
        // As long in bytes, but not of digits; a sign is none either.
        assert_eq!(PublicKey::from_text(&"é".repeat(32)), None);
        assert_eq!(PublicKey::from_text(&good.replacen('a', "+", 1)), None);
    }
}
