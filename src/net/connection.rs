//! One connection after its opening: the reader and the writer.
//!
//! Invariant: the reader never waits for the writer, nor for a disk or a screen beyond what credit and acknowledgement allow, so
//! two peers that send at once cannot block each other. A connection ends once, with one [`DisconnectReason`], and says so by one event.
//!
//! 1. Reader: socket → [`Opener`] → frame. Bulk goes to the flow control, a ping is answered by a slot, the rest becomes an event.
//! 2. Writer: send_queue → frames sealed into one buffer, chunks sealed in place → one vectored write.
//! 3. Five seconds without a byte: the reader asks for a ping. Fifteen: the connection is lost. A write that does not move: the same.

mod keepalive;
mod read_ahead;
mod writer;

use crate::channel::{LENGTH, Opener, Sealer, TAG};
use crate::error_text::io_error_text;
use crate::net::buffer::Record;
use crate::net::send_queue::SendQueue;
use crate::protocol::error::{FrameError, ProtocolError};
use crate::protocol::frame::{
    Addrs, ChunkHeader, Control, Digest, Frame, KIND_CHUNK, KIND_ZCHUNK, Position, TransferId,
};
use crate::transfer::flow_control::FlowControl;
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

/// What the reader tells the event loop.
#[derive(Debug)]
pub enum ConnectionEvent {
    Control(u64, Control),
    Ack(u64),
    Restart(TransferId, Position, Digest),
    Received(TransferId, Position),
    Addrs(Addrs),
    /// There is no room for the list of this offer, which came just before.
    TooMuch(TransferId),
    /// The list of an offer is complete.
    Listed(TransferId, Vec<u8>),
    /// The peer answered the latest [`Connection::probe`].
    Alive,
    /// The connection ended; the last event.
    Ended(DisconnectReason),
}

#[derive(Debug)]
pub struct Connection {
    stream: Arc<TcpStream>,
    send_queue: Arc<SendQueue>,
    threads: Vec<JoinHandle<()>>,
}

impl Connection {
    /// Starts reader and writer on a stream whose opening is done. Bulk that comes in goes to `flow`; `tell` is called on their threads.
    ///
    /// # Errors
    /// When the socket takes no options or a thread cannot be made.
    pub fn start(
        stream: TcpStream,
        sealer: Sealer,
        opener: Opener,
        flow: Arc<FlowControl>,
        tell: impl Fn(ConnectionEvent) + Clone + Send + 'static,
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
            flow,
        };
        let writing = Writer::new(Arc::clone(&stream), sealer, Arc::clone(&send_queue));
        let tell_reader = tell.clone();
        let reader = thread::Builder::new().name("reader".into()).spawn(move || reading.run(&tell_reader))?;
        let writer = thread::Builder::new().name("writer".into()).spawn(move || writing.run(&tell))?;
        Ok(Self { stream, send_queue, threads: vec![reader, writer] })
    }

    /// Where to put what the peer shall get.
    pub fn send_queue(&self) -> &Arc<SendQueue> {
        &self.send_queue
    }

    /// Asks the peer for a sign of life: its answer is reported as [`ConnectionEvent::Alive`]. (What else comes may have been sent
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

struct Reader {
    stream: Arc<TcpStream>,
    source: ReadAhead,
    opener: Opener,
    send_queue: Arc<SendQueue>,
    flow: Arc<FlowControl>,
}

impl Reader {
    fn run(mut self, tell: &dyn Fn(ConnectionEvent)) {
        let loss = loop {
            if let Err(loss) = self.record(tell) {
                break loss;
            }
        };
        self.send_queue.close();
        let _ = self.stream.shutdown(Shutdown::Both);
        tell(ConnectionEvent::Ended(loss));
    }

    /// Reads one record, straight to where it is opened, and hands its frame on.
    fn record(&mut self, tell: &dyn Fn(ConnectionEvent)) -> Result<(), DisconnectReason> {
        let mut length = [0; LENGTH];
        self.source.fill(&mut length, false)?;
        let length = usize::from(u16::from_be_bytes(length));
        if length <= TAG {
            return Err(DisconnectReason::Tampered);
        }
        let pool = Arc::clone(self.flow.records());
        let mut record = pool.take(length);
        self.source.fill(record.bytes_mut(), true)?;
        self.opener.open(record.bytes_mut()).map_err(|_| DisconnectReason::Tampered)?;
        received(record, &self.send_queue, &self.flow, tell)?;
        Ok(())
    }
}

/// Takes a record apart that was opened, and hands its frame on: bulk to the flow control, credit to the send queue, the rest as events.
///
/// # Errors
/// When the peer may not send it.
pub(crate) fn received(
    record: Record,
    send_queue: &SendQueue,
    flow: &FlowControl,
    tell: &dyn Fn(ConnectionEvent),
) -> Result<(), ProtocolError> {
    if matches!(record.frame().first(), Some(&(KIND_CHUNK | KIND_ZCHUNK))) {
        let (header, _) = ChunkHeader::decode(record.frame())?;
        if let Some(list) = flow.chunk(header, record)? {
            tell(ConnectionEvent::Listed(header.transfer, list));
        }
        return Ok(());
    }
    let frame = Frame::decode(record.frame())?;
    flow.records().give_record(record);
    match frame {
        Frame::Control { seq, control } => {
            // The flow control must know of an offer before its list comes, and the event loop may be slower than the peer.
            let too_much = match &control {
                Control::Offer { transfer, offer } => (!flow.offered(*transfer, offer)?).then_some(*transfer),
                _ => None,
            };
            tell(ConnectionEvent::Control(seq, control));
            if let Some(transfer) = too_much {
                tell(ConnectionEvent::TooMuch(transfer));
            }
        }
        Frame::Ack(received) => tell(ConnectionEvent::Ack(received)),
        Frame::Ping(token) => send_queue.pong(token),
        Frame::Pong(token) => {
            if send_queue.is_probe(token) {
                tell(ConnectionEvent::Alive);
            }
        }
        Frame::Credit { limit } => send_queue.peer_credit(limit)?,
        Frame::Restart { transfer, position, digest } => tell(ConnectionEvent::Restart(transfer, position, digest)),
        Frame::Received { transfer, position } => tell(ConnectionEvent::Received(transfer, position)),
        Frame::Addrs(addrs) => tell(ConnectionEvent::Addrs(addrs)),
        Frame::Begin { transfer, position } => flow.begin(transfer, position)?,
        Frame::FileEnd { transfer, position, status, digest } => flow.file_end(transfer, position, status, digest)?,
        // Taken above.
        Frame::Chunk { .. } | Frame::Zchunk { .. } => return Err(FrameError::UnknownKind(KIND_CHUNK).into()),
        Frame::Commit(_) | Frame::Nonce(_) | Frame::Reveal(_) => return Err(ProtocolError::Unexpected("verification")),
        Frame::KemKey(_) | Frame::KemCt(_) => return Err(ProtocolError::Unexpected("key exchange")),
        Frame::Greeting(_) | Frame::Refusal(_) => return Err(ProtocolError::Unexpected("greeting")),
    }
    Ok(())
}
