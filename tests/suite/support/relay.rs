//! The network between two peers, on loopback: it passes everything on until it is told to misbehave.
//!
//! 1. A thread accepts; each connection is joined to one to the target, and gets the [`Plan`] for its number.
//! 2. A thread for each direction reads, bends what it read as its [`Way`] says, and passes it on.
//! 3. The test cuts, swallows, stalls, refuses or retargets while that goes on.
//!
//! Both threads of a connection share its sockets, and the last one closes them: so a reset is one on both sides.

mod pump;
mod units;

use pump::Pump;
use socket2::{Domain, SockRef, Socket, Type};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// Which direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// From who dials to who listens.
    Up,
    /// From who listens to who dials.
    Down,
}

/// How long a thread may be stuck before it looks whether its connection was cut.
const LOOK: Duration = Duration::from_millis(50);

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As a program that closes: the stream ends.
    Close,
    /// As a middlebox that forgot it.
    Reset,
}

/// Which byte of a record is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The low byte of the length, so that it announces less.
    Length,
    /// The first byte of what is sealed: the frame's kind.
    First,
    /// The middle.
    Middle,
    /// The last byte of the tag.
    Tag,
}

/// What is done to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    Flip(Place),
    Drop,
    Double,
    /// It goes after the one that follows it.
    Swap,
    /// The stream ends (a FIN, not a reset) after so many of its bytes.
    Short(usize),
}

/// A record, counted from 0 after the handshake, and what is done to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) record: usize,
    pub(crate) trick: Trick,
}

/// How fast a direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pace {
    #[default]
    Free,
    /// Every byte in a segment of its own.
    ByteByByte,
    /// Bytes a second.
    Rate(u64),
    /// Everything that was read at once is passed on so much later.
    Delay(Duration),
}

/// What happens to one direction of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Way {
    pub(crate) fault: Option<Fault>,
    /// After so many bytes the whole connection is cut.
    pub(crate) cut_after: Option<(u64, Cut)>,
    /// After so many bytes it takes no more, until the test releases it.
    pub(crate) stall_after: Option<u64>,
    pub(crate) pace: Pace,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plan {
    pub(crate) up: Way,
    pub(crate) down: Way,
}

impl Plan {
    /// This happens upwards.
    pub(crate) fn up(up: Way) -> Self {
        Self { up, ..Self::default() }
    }

    /// This happens downwards.
    pub(crate) fn down(down: Way) -> Self {
        Self { down, ..Self::default() }
    }
}

/// What the connections of now do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Flow {
    #[default]
    Pass,
    /// Taken and thrown away: the other side hears nothing.
    Swallow,
    /// Not taken: the sender's buffers fill.
    Stall,
}

/// One connection through the relay.
struct Wire {
    /// To who dials and to who listens, so that each [`Side`] reads from its own and writes to the other.
    ends: [TcpStream; 2],
    state: Mutex<WireState>,
    changed: Condvar,
}

#[derive(Default)]
struct WireState {
    cut: Option<Cut>,
    /// Of each [`Side`].
    flow: [Flow; 2],
}

#[derive(Default)]
struct State {
    target: Option<SocketAddr>,
    closed: bool,
    refusing: bool,
    /// The threads of a connection own it: what outlived them would keep its sockets open.
    wires: Vec<Weak<Wire>>,
    count: usize,
    refused: usize,
    struck: usize,
    tape: Vec<u8>,
}

struct Hub {
    state: Mutex<State>,
    changed: Condvar,
    plan: Box<dyn Fn(usize) -> Plan + Send + Sync>,
    /// SO_RCVBUF and SO_SNDBUF of the sockets, so that little is held between the peers.
    buffers: Option<usize>,
}

/// See the module. Everything through it is cut when it is dropped.
pub(crate) struct Relay {
    addr: SocketAddr,
    hub: Arc<Hub>,
}

impl Relay {
    /// Passes everything on.
    pub(crate) fn to(target: SocketAddr) -> Self {
        Self::planned(target, |_| Plan::default())
    }

    /// Asks `plan` what happens to each connection, numbered from 0.
    pub(crate) fn planned(target: SocketAddr, plan: impl Fn(usize) -> Plan + Send + Sync + 'static) -> Self {
        Self::start(target, plan, None)
    }

    /// A slow line: so many bytes a second each way, and small buffers.
    pub(crate) fn slow(target: SocketAddr, rate: u64) -> Self {
        /// Some tens of milliseconds at 10 Mbit/s.
        const BUFFER: usize = 16 * 1024;
        let way = Way { pace: Pace::Rate(rate), ..Way::default() };
        Self::start(target, move |_| Plan { up: way, down: way }, Some(BUFFER))
    }

    fn start(target: SocketAddr, plan: impl Fn(usize) -> Plan + Send + Sync + 'static, buffers: Option<usize>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // What is accepted has the buffers of what listens, from its first byte.
        shrink(&SockRef::from(&listener), buffers);
        let addr = listener.local_addr().unwrap();
        let state = State { target: Some(target), ..State::default() };
        let hub = Arc::new(Hub { state: Mutex::new(state), changed: Condvar::new(), plan: Box::new(plan), buffers });
        let accepting = Arc::clone(&hub);
        thread::spawn(move || {
            for dialler in listener.incoming().map_while(Result::ok) {
                if accepting.lock().closed {
                    return;
                }
                accepting.join(dialler);
            }
        });
        Self { addr, hub }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts every connection of now; gives their number.
    pub(crate) fn cut(&self, how: Cut) -> usize {
        let wires = std::mem::take(&mut self.hub.lock().wires);
        wires.iter().filter_map(Weak::upgrade).filter(|wire| wire.cut(how)).count()
    }

    /// From now on connections come to nothing at once, or no longer.
    pub(crate) fn refuse(&self, refusing: bool) {
        self.hub.lock().refusing = refusing;
    }

    /// New connections go elsewhere.
    pub(crate) fn retarget(&self, target: SocketAddr) {
        self.hub.lock().target = Some(target);
    }

    /// The connections of now lose what is sent on `sides`, silently. They never recover.
    pub(crate) fn swallow(&self, sides: &[Side]) {
        self.set(sides, Flow::Swallow);
    }

    /// The connections of now take nothing more on `sides`.
    pub(crate) fn stall(&self, sides: &[Side]) {
        self.set(sides, Flow::Stall);
    }

    /// What was stalled goes on.
    pub(crate) fn release(&self) {
        self.set(&[Side::Up, Side::Down], Flow::Pass);
    }

    fn set(&self, sides: &[Side], flow: Flow) {
        for wire in self.hub.lock().wires.iter().filter_map(Weak::upgrade) {
            let mut state = wire.state.lock().unwrap();
            for side in sides {
                state.flow[*side as usize] = flow;
            }
            wire.changed.notify_all();
        }
    }

    /// Waits for the `n`th connection that was refused.
    pub(crate) fn wait_for_refused(&self, n: usize) {
        self.wait(|state| state.refused >= n, "too few connections were tried");
    }

    /// Waits until planned faults, cuts and stalls have struck `n` times.
    pub(crate) fn wait_for_struck(&self, n: usize) {
        self.wait(|state| state.struck >= n, "the fault did not strike");
    }

    /// How often planned faults and cuts have struck.
    pub(crate) fn struck(&self) -> usize {
        self.hub.lock().struck
    }

    /// The same, for another thread.
    pub(crate) fn strikes(&self) -> impl Fn() -> usize + Send + 'static {
        let hub = Arc::clone(&self.hub);
        move || hub.lock().struck
    }

    /// What went up so far, all connections in one.
    pub(crate) fn tape(&self) -> Vec<u8> {
        self.hub.lock().tape.clone()
    }

    #[track_caller]
    fn wait(&self, over: impl Fn(&State) -> bool, why: &str) {
        let until = Instant::now() + super::DEADLINE;
        let mut state = self.hub.lock();
        while !over(&state) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "relay: {why}");
            state = self.hub.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.hub.lock().closed = true;
        self.cut(Cut::Reset);
        // The accepting thread looks up at the next caller.
        let _ = TcpStream::connect(self.addr);
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Joins a caller to the target.
    fn join(self: &Arc<Self>, dialler: TcpStream) {
        let mut state = self.lock();
        let target = if state.refusing { None } else { state.target };
        let Some(listener) = target.and_then(|target| dial(target, self.buffers)) else {
            state.refused += 1;
            self.changed.notify_all();
            let _ = SockRef::from(&dialler).set_linger(Some(Duration::ZERO));
            return;
        };
        let plan = (self.plan)(state.count);
        let wire = Wire { ends: [dialler, listener], state: Mutex::default(), changed: Condvar::new() };
        for stream in &wire.ends {
            let _ = stream.set_nodelay(true);
            // A thread that is stuck sees that the connection was cut.
            let _ = stream.set_write_timeout(Some(LOOK));
            // On Windows shutting a socket down does not end a read.
            if cfg!(windows) {
                let _ = stream.set_read_timeout(Some(LOOK));
            }
        }
        let wire = Arc::new(wire);
        state.wires.push(Arc::downgrade(&wire));
        state.count += 1;
        self.changed.notify_all();
        for (side, way) in [(Side::Up, plan.up), (Side::Down, plan.down)] {
            let pump = Pump::new(Arc::clone(self), Arc::clone(&wire), side, way);
            thread::spawn(move || pump.run());
        }
    }

    fn strike(&self) {
        self.lock().struck += 1;
        self.changed.notify_all();
    }
}

impl Wire {
    /// Whether it was not cut already.
    fn cut(&self, how: Cut) -> bool {
        let mut state = self.state.lock().unwrap();
        if state.cut.is_some() {
            return false;
        }
        state.cut = Some(how);
        for stream in &self.ends {
            let _ = match how {
                // The threads wake and let go of the sockets; what closes them last sends the reset.
                Cut::Reset => SockRef::from(stream)
                    .set_linger(Some(Duration::ZERO))
                    .and_then(|()| stream.shutdown(Shutdown::Read)),
                // What still comes in is read, or closing would send a reset.
                Cut::Close => stream.shutdown(Shutdown::Write),
            };
        }
        self.changed.notify_all();
        true
    }

    fn is_cut(&self) -> Option<Cut> {
        self.state.lock().unwrap().cut
    }
}

fn dial(target: SocketAddr, buffers: Option<usize>) -> Option<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None).ok()?;
    shrink(&SockRef::from(&socket), buffers);
    socket.connect(&target.into()).ok()?;
    Some(socket.into())
}

fn shrink(socket: &SockRef<'_>, buffers: Option<usize>) {
    if let Some(bytes) = buffers {
        socket.set_recv_buffer_size(bytes).unwrap();
        socket.set_send_buffer_size(bytes).unwrap();
    }
}
