//! The fuzz target of the session, until the session can be driven from `tests/fuzz` through its public items.

mod bytes;
pub mod session;

use crate::protocol::frame::Frame;
use crate::transfer::Name;
use crate::transfer::manifest::{Builder, Manifest, Meta};
use bytes::Bytes;

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

/// A few forests.
fn list_seeds() -> Vec<Vec<u8>> {
    let meta = Meta { mode: 0o644, seconds: -1, nanos: 999_999_999 };
    let mut seeds = Vec::new();
    for depth in [0_usize, 1, 3, 64] {
        seeds.extend(forest(depth, meta).map(|list| list.encode()));
    }
    seeds
}

fn forest(depth: usize, meta: Meta) -> Option<Manifest> {
    let mut builder = Builder::default();
    for level in 0..depth {
        builder.enter(Name::new(&format!("folder{level}")).ok()?, meta).ok()?;
    }
    builder.file(Name::new("a").ok()?, meta, 5).ok()?;
    builder.file(Name::new("\u{65e5}\u{672c}.txt").ok()?, Meta::default(), 1 << 40).ok()?;
    for _ in 0..depth {
        builder.leave().ok()?;
    }
    builder.finish().ok()
}
