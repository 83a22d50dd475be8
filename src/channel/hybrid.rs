//! ML-KEM-768 beside X25519, and the keys that come from both (PROTOCOL.md section 4, "Hybrid keys").
//!
//! Invariant: a key that was derived here is secret as long as either of the two problems is hard; whoever holds the Noise keys of
//! a recorded connection still lacks the shared secret. All that is secret is zeroised when it is dropped.

use crate::protocol::frame::{KEM_CT, KEM_KEY};
use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use ml_kem::{Decapsulate, KeyExport, Seed};
use zeroize::{Zeroize, Zeroizing};

const MATERIAL_CONTEXT: &str = "p2pchat/1 2026 ml-kem-768";
const KEY_CONTEXT: &str = "p2pchat/1 2026 hybrid key";
/// Randomness of a key pair: `d` and `z` of FIPS 203.
pub(super) const SEED: usize = 64;
/// Randomness of an encapsulation: `m` of FIPS 203.
pub(super) const MESSAGE: usize = 32;

/// The initiator's key pair, for one connection.
pub(super) struct KemPair {
    decapsulation: DecapsulationKey,
    pub(super) public: Box<[u8; KEM_KEY]>,
}

/// What the exchange adds to the keys of both directions.
pub(super) struct HybridMaterial(Zeroizing<[u8; 32]>);

impl KemPair {
    pub(super) fn from_seed(seed: &Zeroizing<[u8; SEED]>) -> Self {
        let mut copy = Seed::from(**seed);
        let decapsulation = DecapsulationKey::from_seed(copy);
        copy.zeroize();
        let public = Box::new(decapsulation.encapsulation_key().to_bytes().0);
        Self { decapsulation, public }
    }

    /// The initiator's share. Any ciphertext gives some secret; with another than the responder's, no record opens any more.
    pub(super) fn finish(&self, hash: &[u8], ciphertext: &[u8; KEM_CT]) -> HybridMaterial {
        let mut shared = self.decapsulation.decapsulate(&(*ciphertext).into());
        let material = HybridMaterial::new(hash, &self.public, ciphertext, &shared);
        shared.zeroize();
        material
    }
}

/// The responder's share: the ciphertext to send, and what it adds to the keys. Nothing when `public` is no valid key (FIPS 203,
/// 7.2).
pub(super) fn encapsulate(
    hash: &[u8],
    public: &[u8; KEM_KEY],
    message: &Zeroizing<[u8; MESSAGE]>,
) -> Option<(Box<[u8; KEM_CT]>, HybridMaterial)> {
    let key = EncapsulationKey::new(&(*public).into()).ok()?;
    let mut message = (**message).into();
    let (ciphertext, mut shared) = key.encapsulate_deterministic(&message);
    message.zeroize();
    let ciphertext = Box::new(ciphertext.0);
    let material = HybridMaterial::new(hash, public, &ciphertext, &shared);
    shared.zeroize();
    Some((ciphertext, material))
}

impl HybridMaterial {
    fn new(hash: &[u8], public: &[u8; KEM_KEY], ciphertext: &[u8; KEM_CT], shared: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(MATERIAL_CONTEXT);
        hasher.update(hash).update(public).update(ciphertext).update(shared);
        let material = Self(Zeroizing::new(*hasher.finalize().as_bytes()));
        hasher.zeroize();
        material
    }

    /// The key of a direction after the exchange, from that of Noise.
    pub(super) fn key(&self, noise: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
        hasher.update(noise).update(&*self.0);
        let key = Zeroizing::new(*hasher.finalize().as_bytes());
        hasher.zeroize();
        key
    }
}
