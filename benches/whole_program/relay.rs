//! A link: a relay on loopback that passes on so many bits a second, after a delay, and holds little besides what is on its way.

use anyhow::Result;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// A link, the same each way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// Bits a second.
    pub(crate) rate: u64,
    /// From end to end: half a round trip.
    pub(crate) delay: Duration,
}

/// What a piece takes of the link's time.
const PIECE_TIME: Duration = Duration::from_micros(2_400);
/// The largest piece.
const PIECE: usize = 64 * 1024;
/// A sleep ends a little late, and what came meanwhile waited: the link makes up for it, up to this.
const MADE_UP: Duration = Duration::from_millis(2);

impl Link {
    pub(crate) const fn new(megabits: u64, delay: Duration) -> Self {
        Self { rate: megabits * 1_000_000, delay }
    }

    /// The time that so many bytes take.
    pub(crate) fn time(self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Bytes that are passed on at a time.
    fn piece(self) -> usize {
        let bytes = u128::from(self.rate) * PIECE_TIME.as_micros() / 8_000_000;
        usize::try_from(bytes).unwrap_or(PIECE).clamp(1, PIECE)
    }

    /// Pieces that are on their way at once. Many are smaller than [`Link::piece`]; the rate, not this, says how much that is.
    fn pieces(self) -> usize {
        let bytes = u128::from(self.rate) * self.delay.as_micros() / 8_000_000;
        16 * (usize::try_from(bytes).unwrap_or(0) / self.piece() + 1)
    }
}

/// Starts a relay to `target` for one connection, and says where it listens. It ends with that connection.
pub(crate) fn start(target: SocketAddr, link: Link) -> Result<SocketAddr> {
    // Buffers must be small before the connection is there: its windows are agreed on then.
    let listener = small(Socket::new(Domain::IPV4, Type::STREAM, None)?, link)?;
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    listener.listen(1)?;
    let listener = TcpListener::from(listener);
    let addr = listener.local_addr()?;
    thread::spawn(move || {
        let (near, _) = listener.accept()?;
        let far = small(Socket::new(Domain::IPV4, Type::STREAM, None)?, link)?;
        far.connect(&target.into())?;
        let far = TcpStream::from(far);
        pass_on(far.try_clone()?, near.try_clone()?, link);
        pass_on(near, far, link);
        anyhow::Ok(())
    });
    Ok(addr)
}

/// Socket buffers of a few pieces, so that what waits does so at the sender, as before a real slow link. The kernel doubles them.
fn small(socket: Socket, link: Link) -> Result<Socket> {
    socket.set_recv_buffer_size(5 * link.piece())?;
    socket.set_send_buffer_size(5 * link.piece())?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// Passes on until the one side ends or the other takes no more.
fn pass_on(from: TcpStream, to: TcpStream, link: Link) {
    let (depart, arrive) = sync_channel(link.pieces());
    thread::spawn(move || read(from, &depart, link));
    thread::spawn(move || write(&arrive, to));
}

fn read(mut from: TcpStream, depart: &SyncSender<(Instant, Vec<u8>)>, link: Link) {
    let mut piece = vec![0; link.piece()];
    // When the last piece has left.
    let mut free = Instant::now();
    while let Ok(count) = from.read(&mut piece) {
        let Some(data) = piece.get(..count).filter(|data| !data.is_empty()) else { break };
        let late = Instant::now().checked_sub(MADE_UP).unwrap_or(free);
        free = free.max(late) + link.time(u64::try_from(count).unwrap_or(0));
        thread::sleep(free.saturating_duration_since(Instant::now()));
        if depart.send((free + link.delay, data.to_vec())).is_err() {
            break;
        }
    }
}

fn write(arrive: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (due, data) in arrive {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&data).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
