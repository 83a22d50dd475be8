//! One connection after its opening: the reader and the writer.
//!
//! Invariant: the reader never waits for the writer. A connection ends once, with one [`DisconnectReason`].
//!
//! 1. Reader: socket → [`Opener`] → a frame, for the caller's `receive`.
//! 2. Writer: send_queue → frames sealed into one buffer, chunks sealed in place → one vectored write.
//! 3. Five seconds without a byte: the reader asks for a ping. Fifteen: the connection is lost. A write that does not move: the same.

mod keepalive;
mod read_ahead;
mod writer;

use crate::channel::{LENGTH, Opener, Sealer, TAG};
use crate::error_text::io_error_text;
use crate::net::buffer::{Pool, Record};
use crate::net::send_queue::SendQueue;
use crate::protocol::error::ProtocolError;
use keepalive::{IDLE, Keepalive, SILENCE};
use read_ahead::ReadAhead;
use socket2::SockRef;
use std::io;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use thiserror::Error;
use writer::Writer;

/// The longest single wait of a read. On Windows shutting a socket down does not end a read of another thread, which then finds it
/// shut down after this.
const READ_STEP: Duration = if cfg!(windows) { Duration::from_secs(1) } else { IDLE };

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum DisconnectReason {
    /// The stream ended between records, without BYE.
    #[error("the connection was closed without a goodbye")]
    Closed,
    /// The stream ended inside a record.
    #[error("the connection broke off")]
    Truncated,
    #[error("nothing was heard from the peer for {} seconds", .0.as_secs())]
    Silent(Duration),
    /// A record was not complete in time, though bytes came.
    #[error("what the peer sends got stuck for {} seconds", .0.as_secs())]
    Slow(Duration),
    #[error("nothing could be sent to the peer for {} seconds", .0.as_secs())]
    Stalled(Duration),
    #[error("the connection broke: {}", io_error_text(.0))]
    Network(io::Error),
    /// A record did not open: it was changed, doubled, dropped or put out of order on its way.
    #[error("what the peer sent was changed on its way")]
    Tampered,
    #[error("{0}")]
    ProtocolError(#[from] ProtocolError),
    /// The peer came back on another connection before this one was seen to end.
    #[error("the peer came back on another connection")]
    Replaced,
    #[error("this machine has the address {0} no more")]
    AddressGone(IpAddr),
}

#[derive(Debug)]
pub struct Connection {
    stream: Arc<TcpStream>,
    send_queue: Arc<SendQueue>,
    threads: Vec<JoinHandle<()>>,
}

impl Connection {
    /// Starts reader and writer on a stream whose opening is done. `receive` takes each frame that comes in, in a record of `records`, on the
    /// reader's thread; `ended` is called once all came that will, and by the writer when it fails before.
    ///
    /// # Errors
    /// When the socket takes no options or a thread cannot be made.
    pub fn start(
        stream: TcpStream,
        sealer: Sealer,
        opener: Opener,
        records: Arc<Pool<Record>>,
        receive: impl FnMut(Record, &SendQueue) -> Result<(), ProtocolError> + Send + 'static,
        ended: impl Fn(DisconnectReason) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_STEP))?;
        stream.set_write_timeout(Some(SILENCE))?;
        // One descriptor for all three, since there may be few.
        let stream = Arc::new(stream);
        let send_queue = Arc::new(SendQueue::default());
        let reading = Reader {
            stream: Arc::clone(&stream),
            source: ReadAhead::new(Arc::clone(&stream), Keepalive::new(Arc::clone(&send_queue))),
            opener,
            send_queue: Arc::clone(&send_queue),
            records,
            receive,
        };
        let writing = Writer::new(Arc::clone(&stream), sealer, Arc::clone(&send_queue));
        let reader_ended = ended.clone();
        let reader = thread::Builder::new().name("reader".into()).spawn(move || reader_ended(reading.run()))?;
        let writer = thread::Builder::new().name("writer".into()).spawn(move || writing.run(&ended))?;
        Ok(Self { stream, send_queue, threads: vec![reader, writer] })
    }

    /// Takes what is to be sent to the peer.
    pub fn send_queue(&self) -> &Arc<SendQueue> {
        &self.send_queue
    }

    /// Asks the peer for a sign of life: [`SendQueue::is_probe`] knows its answer. (What else comes may have been sent
    /// before its program was killed.)
    pub fn probe(&self) {
        self.send_queue.probe();
    }

    /// Ends it now, without waiting; its threads may still have something to tell.
    pub fn close(&self) {
        self.send_queue.close();
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Has its end, which follows, be a reset, for the next connection is to be one of the same two ports: one that waits for the peer to
    /// confirm its end keeps them for minutes, and firewalls go by its sequence numbers until it ends.
    pub fn free_ports(&self) {
        let _ = SockRef::from(&*self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Whether both threads have ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}

struct Reader<R> {
    stream: Arc<TcpStream>,
    source: ReadAhead,
    opener: Opener,
    send_queue: Arc<SendQueue>,
    records: Arc<Pool<Record>>,
    receive: R,
}

impl<R: FnMut(Record, &SendQueue) -> Result<(), ProtocolError>> Reader<R> {
    /// Reads until the connection ends; why it did.
    fn run(mut self) -> DisconnectReason {
        let loss = loop {
            if let Err(loss) = self.record() {
                break loss;
            }
        };
        self.send_queue.close();
        let _ = self.stream.shutdown(Shutdown::Both);
        loss
    }

    /// Reads one record, straight to where it is opened, and hands its frame on.
    fn record(&mut self) -> Result<(), DisconnectReason> {
        let mut length = [0; LENGTH];
        self.source.fill(&mut length, false)?;
        let length = usize::from(u16::from_be_bytes(length));
        if length <= TAG {
            return Err(DisconnectReason::Tampered);
        }
        let mut record = self.records.take(length);
        self.source.fill(record.bytes_mut(), true)?;
        self.opener.open(record.bytes_mut()).map_err(|_| DisconnectReason::Tampered)?;
        (self.receive)(record, &self.send_queue)?;
        Ok(())
    }
}
