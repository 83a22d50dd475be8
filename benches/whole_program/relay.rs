//! A slow link: a relay on loopback that passes on so many bits a second and holds little itself.

use anyhow::Result;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Each way, in bits a second.
pub(crate) const RATE: u64 = 10_000_000;
/// Socket buffers of the relay, so that what waits does so at the sender, as before a real slow link. The kernel doubles it.
const BUFFER: usize = 16 * 1024;
/// Bytes passed on at a time: 2.4 ms at [`RATE`].
const PIECE: usize = 3_000;

/// Starts a relay to `target` for one connection, and says where it listens. It ends with that connection.
pub(crate) fn start(target: SocketAddr) -> Result<SocketAddr> {
    // Buffers must be small before the connection is there: its windows are agreed on then.
    let listener = small(Socket::new(Domain::IPV4, Type::STREAM, None)?)?;
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    listener.listen(1)?;
    let listener = TcpListener::from(listener);
    let addr = listener.local_addr()?;
    thread::spawn(move || {
        let (near, _) = listener.accept()?;
        let far = small(Socket::new(Domain::IPV4, Type::STREAM, None)?)?;
        far.connect(&target.into())?;
        let far = TcpStream::from(far);
        let (near_again, far_again) = (near.try_clone()?, far.try_clone()?);
        thread::spawn(move || pass_on(far_again, near_again));
        pass_on(near, far);
        anyhow::Ok(())
    });
    Ok(addr)
}

fn small(socket: Socket) -> Result<Socket> {
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// Passes on until the one side ends or the other takes no more.
fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = [0; PIECE];
    // When the last piece has left.
    let mut free = Instant::now();
    while let Ok(count) = from.read(&mut piece) {
        let Some(data) = piece.get(..count).filter(|data| !data.is_empty()) else { break };
        let nanos = u64::try_from(count).unwrap_or(0) * 8 * 1_000_000_000 / RATE;
        free = free.max(Instant::now()) + Duration::from_nanos(nanos);
        thread::sleep(free.saturating_duration_since(Instant::now()));
        if to.write_all(data).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
