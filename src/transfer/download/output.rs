//! A download that goes to standard output: the only file or stream of its transfer, in order, and nothing of it twice.
//!
//! Invariant: what stands before [`Output::position`] was written and flushed, and cannot be taken back. Who reads slowly delays this
//! thread, so credit, and so the sender. Nothing stays for a later run.

use super::writer::{DIFFERS, data_of};
use super::{Broken, Published, Totals};
use crate::error_text::io_error_text;
use crate::protocol::frame::{Digest, END_WEIGHT, FileStatus, NO_DIGEST, Position, Reason};
use crate::transfer::flow_control::Piece;
use crate::transfer::manifest::Manifest;
use crate::transfer::staging::{len_of, prefix_digest};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// What such a file is called where paths stand.
const PLACE: &str = "standard output";

pub(super) struct Output {
    manifest: Arc<Manifest>,
    position: Position,
    hasher: blake3::Hasher,
    len: u64,
    /// What became of the file, once all of it came.
    pub(super) outcome: Option<(Published, Totals)>,
}

impl Output {
    pub(super) fn new(manifest: Arc<Manifest>) -> Self {
        let position = manifest.data_start();
        Self { manifest, position, hasher: blake3::Hasher::new(), len: 0, outcome: None }
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    pub(super) fn stands_at(&self) -> (Position, Digest) {
        let digest = if self.manifest.is_stream() { NO_DIGEST } else { prefix_digest(&self.hasher, self.len) };
        (self.position, digest)
    }

    /// Writes pieces, in order.
    pub(super) fn write(&mut self, pieces: &[Piece]) -> Result<(), Broken> {
        for piece in pieces {
            match piece {
                Piece::Begin { position, .. } if *position < self.position => {
                    let text = "the file changed at the sender, and what was written of it cannot be taken back";
                    return Err(Broken::new(Reason::Changed, text.into(), text.into()));
                }
                Piece::Begin { .. } | Piece::Resumed(_) => {}
                Piece::Chunk { .. } => {
                    let data = data_of(piece).unwrap_or_default();
                    io::stdout().write_all(data).map_err(broken)?;
                    self.hasher.update(data);
                    self.len += len_of(data);
                    self.position += len_of(data);
                }
                Piece::End { position, status, digest, .. } => {
                    let next = self.manifest.file(0).filter(|_| !self.manifest.is_stream()).map(|file| file.next());
                    self.position = next.unwrap_or(position + END_WEIGHT);
                    self.outcome = Some(self.end(*status, digest));
                }
            }
        }
        io::stdout().flush().map_err(broken)
    }

    fn end(&self, status: FileStatus, digest: &Digest) -> (Published, Totals) {
        let (path, offered) = (PathBuf::from(PLACE), self.manifest.path(0));
        let failed = match status {
            FileStatus::Whole if self.hasher.finalize() == blake3::Hash::from(*digest) => None,
            FileStatus::Whole => Some(DIFFERS),
            FileStatus::Changed => Some("it changed while the peer read it"),
            FileStatus::Unreadable => Some("the peer could not read it"),
        };
        let (files, failures, bytes) = if failed.is_none() { (1, 0, self.len) } else { (0, 1, 0) };
        let totals = Totals { path: path.clone(), files, failed: failures, bytes };
        let file = match failed {
            None => Published::File { path, bytes, digest: *digest, offered: None },
            Some(text) => Published::Failed { offered, text: text.to_owned() },
        };
        (file, totals)
    }
}

fn broken(error: io::Error) -> Broken {
    let text = match error.kind() {
        io::ErrorKind::BrokenPipe => format!("{PLACE} was closed"),
        _ => format!("{PLACE} cannot be written: {}", io_error_text(&error)),
    };
    let told = format!("the receiver's {text}");
    Broken::new(Reason::Io, text, told)
}
