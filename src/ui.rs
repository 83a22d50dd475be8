//! The faces: a terminal, plain lines, JSON; each turns notices into output and owns stdout alone.
//!
//! EventLoop of the way from and to the session: who posts, who settles, and the gate that keeps input from running ahead.
//!
//! 1. The owner thread posts [`Posted`] to the face's channel and never waits for it.
//! 2. The face's thread writes, flushes, and reports the settled sequence number: only then is it acknowledged.
//! 3. The input thread hands [`Input`] to the owner through [`InputSender`], and stops reading while the [`InputBackpressure`] is shut.

pub mod json;
pub mod lines;
pub mod plain;
pub mod pump;
pub mod terminal;
pub mod words;

pub use crate::notice::{Direction, Info, Input, Notice, Posted, TransferInfo, Trust};
pub use crate::text::{PeerText, SafeText};

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Open while the session takes input; shut while too much of it waits to be sent.
#[derive(Debug, Default)]
pub struct InputBackpressure {
    shut: Mutex<bool>,
    opened: Condvar,
}

impl InputBackpressure {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuts or opens the gate; the owner thread's to call.
    pub fn set_shut(&self, shut: bool) {
        *self.lock() = shut;
        if !shut {
            self.opened.notify_all();
        }
    }

    /// Whether input would have to wait.
    pub fn is_shut(&self) -> bool {
        *self.lock()
    }

    /// Waits until the gate is open.
    pub fn wait(&self) {
        let mut shut = self.lock();
        while *shut {
            shut = self.opened.wait(shut).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The way of input into the session; cheap to clone.
#[derive(Clone)]
pub struct InputSender {
    sink: Arc<dyn Fn(Input) -> bool + Send + Sync>,
    gate: Arc<InputBackpressure>,
}

impl InputSender {
    /// `sink` delivers to the owner thread and says false when that is gone.
    pub fn new(gate: Arc<InputBackpressure>, sink: impl Fn(Input) -> bool + Send + Sync + 'static) -> Self {
        Self { sink: Arc::new(sink), gate }
    }

    /// Waits until the session takes input, then hands it over; false when the session is gone.
    pub fn send(&self, input: Input) -> bool {
        self.gate.wait();
        (self.sink)(input)
    }

    /// Hands it over now, whatever the gate says (for what ends the program); false when the session is gone.
    pub fn send_now(&self, input: Input) -> bool {
        (self.sink)(input)
    }

    /// Whether a line would have to wait, so that an editor keeps it and says so.
    pub fn is_full(&self) -> bool {
        self.gate.is_shut()
    }
}
