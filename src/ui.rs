//! The frontends (terminal, plain lines, JSON): each turns notices into output and is the only writer of stdout.
//!
//! This file owns the input side: [`InputSender`] and the backpressure that stops reading while too much is queued.
//!
//! 1. The event loop sends [`Posted`] to the frontend's channel and never waits for it.
//! 2. The frontend's thread writes, flushes, then reports the highest sequence number shown; only then is it acknowledged.
//! 3. The input thread sends [`Input`] to the event loop through [`InputSender`] and stops reading while [`InputBackpressure`] is on.

pub mod format;
pub mod frontend;
pub mod json;
pub mod line_reader;
pub mod log;
mod messages;
mod open_transfers;
pub mod plain;
mod qr;
mod style;
pub mod terminal;
mod wrap;

use crate::notice::{Direction, Info, Input, Notice, Posted, Question, Side, Stop, TransferInfo, TransferState, Trust};
use crate::text::{PeerText, SafeText};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// On while too much input waits to be sent.
#[derive(Debug, Default)]
pub struct InputBackpressure {
    on: Mutex<bool>,
    changed: Condvar,
}

impl InputBackpressure {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by the event loop only.
    pub fn set_paused(&self, on: bool) {
        *self.lock() = on;
        if !on {
            self.changed.notify_all();
        }
    }

    /// Whether input would have to wait.
    pub fn is_paused(&self) -> bool {
        *self.lock()
    }

    /// Waits until it is off.
    pub fn wait(&self) {
        drop(self.changed.wait_while(self.lock(), |on| *on));
    }
}

/// Sends input to the session; cheap to clone.
#[derive(Clone)]
pub struct InputSender {
    sink: Arc<dyn Fn(Input) -> bool + Send + Sync>,
    backpressure: Arc<InputBackpressure>,
}

impl InputSender {
    /// `sink` delivers to the event loop and returns false when that has ended.
    pub fn new(backpressure: Arc<InputBackpressure>, sink: impl Fn(Input) -> bool + Send + Sync + 'static) -> Self {
        Self { sink: Arc::new(sink), backpressure }
    }

    /// Waits while backpressure is on, then sends; false when the session has ended.
    pub fn send(&self, input: Input) -> bool {
        self.backpressure.wait();
        (self.sink)(input)
    }

    /// Sends without waiting (for what ends the program); false when the session has ended.
    pub fn send_now(&self, input: Input) -> bool {
        (self.sink)(input)
    }

    /// Whether [`InputSender::send`] would wait.
    pub fn is_full(&self) -> bool {
        self.backpressure.is_paused()
    }
}
