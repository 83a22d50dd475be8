//! What is to be sent: paths, as typed or exact, or a reader.

use super::SendArgs;
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What one transfer is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendSource {
    /// What stood after `/send`.
    Typed(SendArgs),
    /// Files and folders, exactly as named.
    Paths(Vec<PathBuf>),
    /// What a reader gives until its end, offered as a file of this name. Its length is not known before.
    Stream { name: String, reader: StreamReader },
}

/// A reader that is taken once. Clones share it.
#[derive(Clone)]
pub struct StreamReader(Arc<Mutex<Option<Box<dyn Read + Send>>>>);

impl StreamReader {
    pub fn new(reader: impl Read + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(reader)))))
    }

    /// None when it was taken before.
    pub fn take(&self) -> Option<Box<dyn Read + Send>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamReader(..)")
    }
}

impl PartialEq for StreamReader {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for StreamReader {}
