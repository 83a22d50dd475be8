//! The channel from the seat of a peer, of an attacker, and of an independent implementation.

pub(super) mod vectors;
