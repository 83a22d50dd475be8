//! What one transfer offers: its list, and where the data of its files comes from.

use super::stream::Stream;
use crate::command::{CommandError, SendSource};
use crate::protocol::frame::{Digest, END_WEIGHT, NO_DIGEST, Position};
use crate::transfer::file_name::Name;
use crate::transfer::manifest::{Builder, Manifest, ManifestError};
use crate::transfer::scan::{self, LeftOut, Roots, Scan};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The mode of a file that is made from a stream.
const STREAM_MODE: u16 = 0o644;

/// Where a stream is read from.
type StreamSource = Box<dyn Read + Send>;

/// What a scan found.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) list: Arc<Manifest>,
    pub(super) encoded: Arc<[u8]>,
    pub(super) roots: Roots,
    /// Where the data of the only entry comes from, when that is a stream.
    pub(super) stream: Option<Arc<Stream>>,
}

impl Files {
    /// Whether data may begin or go on at a position, with this digest of what the receiver has of the file there; or nothing is left.
    pub(super) fn may_go_on(&self, position: Position, digest: &Digest) -> bool {
        let no_digest = *digest == NO_DIGEST;
        if self.end() == Some(position) {
            return no_digest;
        }
        let Some(file) = self.list.file_at(position) else { return false };
        match &self.stream {
            Some(stream) => no_digest && stream.size().is_none_or(|size| position <= file.start + size),
            None => no_digest || position > file.start,
        }
    }

    /// The end of the transfer; none while that of a stream is not known.
    pub(super) fn end(&self) -> Option<Position> {
        match &self.stream {
            Some(stream) => Some(self.list.data_start() + stream.size()? + END_WEIGHT),
            None => Some(self.list.end()),
        }
    }

    /// Bytes of file data before a position, and files that end before it.
    pub(super) fn progress(&self, position: Position) -> (u64, u32) {
        match self.end() {
            Some(end) if position >= end && self.stream.is_some() => (end - END_WEIGHT - self.list.data_start(), 1),
            _ => self.list.progress(position),
        }
    }

    /// The receiver has everything before a position.
    pub(super) fn release(&self, position: Position) {
        if let Some(stream) = &self.stream {
            stream.release(position.saturating_sub(self.list.data_start()));
        }
    }
}

/// Looks for what is to be sent, and what is left out of it; a stream comes with its reader.
pub(super) fn look(
    source: &SendSource,
    data_dir: &Path,
    stop: &AtomicBool,
) -> Result<(Files, LeftOut, Option<StreamSource>), CommandError> {
    let (scan, reader) = match source {
        SendSource::Typed(args) => {
            let paths = args.resolve(|path| path.symlink_metadata().is_ok());
            (scan::scan(&paths?, data_dir, stop)?, None)
        }
        SendSource::Paths(paths) => (scan::scan(paths, data_dir, stop)?, None),
        SendSource::Stream { name, reader } => {
            let list = stream_list(name).map_err(|error| CommandError::new("bad-argument", error))?;
            let taken = || CommandError::new("nothing-to-send", format!("{name}: it was sent before"));
            let reader = reader.take().ok_or_else(taken)?;
            (Scan { list, roots: Roots::default(), left_out: LeftOut::default() }, Some(reader))
        }
    };
    let Scan { list, roots, left_out } = scan;
    let (encoded, stream) = (list.encode().into(), reader.is_some().then(Arc::default));
    Ok((Files { list: Arc::new(list), encoded, roots, stream }, left_out, reader))
}

fn stream_list(name: &str) -> Result<Manifest, ManifestError> {
    let mut builder = Builder::default();
    builder.stream(Name::new(name).map_err(|error| ManifestError::Name(name.to_owned(), error))?, STREAM_MODE)?;
    builder.finish()
}
