//! One direction of a connection through the relay: read, bent as planned, passed on at its pace.

use super::units::{Unit, Units};
use super::{Cut, Fault, Flow, Hub, Pace, Place, Side, Trick, Way, Wire};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Systems sleep in steps of up to this.
const SLEEP_STEP: Duration = Duration::from_millis(20);

/// One direction of a connection.
pub(super) struct Pump {
    hub: Arc<Hub>,
    wire: Arc<Wire>,
    side: Side,
    way: Way,
    passed: u64,
    /// When the line is free again.
    due: Instant,
}

impl Pump {
    pub(super) fn new(hub: Arc<Hub>, wire: Arc<Wire>, side: Side, way: Way) -> Self {
        Self { hub, wire, side, way, passed: 0, due: Instant::now() }
    }

    /// Until the connection ends or is cut.
    pub(super) fn run(mut self) {
        let mut units = Units::default();
        let mut held: Option<Vec<u8>> = None;
        // Reading little at a time keeps little between the peers.
        let mut buffer = vec![0; if matches!(self.way.pace, Pace::Rate(_)) { 1_460 } else { 64 * 1_024 }];
        loop {
            let read = match self.from().read(&mut buffer) {
                Err(error) if waits(&error) && self.wire.is_cut() != Some(Cut::Reset) => continue,
                Ok(0) | Err(_) => break,
                Ok(read) => &buffer[..read],
            };
            // Not taken for now, or for ever.
            if !self.passes(|flow| flow == Flow::Stall) {
                continue;
            }
            if self.side == Side::Up {
                self.hub.lock().tape.extend_from_slice(read);
            }
            let passed = match self.way.fault {
                None => self.pass(read),
                Some(fault) => {
                    let handshake = if self.side == Side::Up { 2 } else { 1 };
                    let whole = units.push(read, handshake);
                    whole.into_iter().try_for_each(|unit| self.bend(unit, fault, &mut held))
                }
            };
            if passed.is_none() {
                break;
            }
        }
        // While its bytes are swallowed, its end is too.
        if self.passes(|_| true) {
            let rest = units.rest();
            let _ = self.pass(&rest);
            let _ = self.to().shutdown(Shutdown::Write);
        }
    }

    fn from(&self) -> &TcpStream {
        &self.wire.ends[self.side as usize]
    }

    fn to(&self) -> &TcpStream {
        &self.wire.ends[1 - self.side as usize]
    }

    /// Whether what was read goes on; waits here while it is not to be taken yet, as `waits` says.
    fn passes(&self, waits: fn(Flow) -> bool) -> bool {
        let mut state = self.wire.state.lock().unwrap();
        loop {
            let flow = state.flow[self.side as usize];
            if state.cut.is_some() || flow == Flow::Pass || !waits(flow) {
                return state.cut.is_none() && flow == Flow::Pass;
            }
            state = self.wire.changed.wait(state).unwrap();
        }
    }

    /// Passes a unit on, or does to it what is to be done. None when this direction is over.
    fn bend(&mut self, unit: Unit, fault: Fault, held: &mut Option<Vec<u8>>) -> Option<()> {
        let Unit { mut bytes, record } = unit;
        if record != Some(fault.record) {
            self.pass(&bytes)?;
            return match held.take() {
                Some(held) => self.pass(&held),
                None => Some(()),
            };
        }
        self.hub.strike();
        match fault.trick {
            Trick::Flip(place) => {
                let (place, bit) = match place {
                    Place::Length => (1, lowest_bit(bytes[1])),
                    Place::First => (2, 1),
                    Place::Middle => (2 + (bytes.len() - 2) / 2, 0x10),
                    Place::Tag => (bytes.len() - 1, 0x80),
                };
                bytes[place] ^= bit;
                self.pass(&bytes)
            }
            Trick::Drop => Some(()),
            Trick::Double => self.pass(&bytes).and_then(|()| self.pass(&bytes)),
            Trick::Swap => {
                *held = Some(bytes);
                Some(())
            }
            Trick::Short(length) => {
                self.pass(&bytes[..length.min(bytes.len() - 1)])?;
                self.wire.cut(Cut::Close);
                Some(())
            }
        }
    }

    /// Passes bytes on at the pace of this way. None when the connection is cut.
    fn pass(&mut self, bytes: &[u8]) -> Option<()> {
        let room = self.way.cut_after.map_or(u64::MAX, |(after, _)| after.saturating_sub(self.passed));
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        self.pace(&bytes[..fits])?;
        self.passed += fits as u64;
        if let Some((after, how)) = self.way.cut_after
            && self.passed >= after
            && self.wire.cut(how)
        {
            self.hub.strike();
            return None;
        }
        if self.way.stall_after.take_if(|after| self.passed >= *after).is_some() {
            self.wire.state.lock().unwrap().flow[self.side as usize] = Flow::Stall;
            self.hub.strike();
        }
        Some(())
    }

    fn pace(&mut self, bytes: &[u8]) -> Option<()> {
        match self.way.pace {
            Pace::Free => self.write(bytes),
            Pace::ByteByByte => bytes.chunks(1).try_for_each(|byte| self.write(byte)),
            Pace::Delay(delay) => {
                thread::sleep(delay);
                self.write(bytes)
            }
            Pace::Rate(rate) => {
                // What a sleep was too long is made up for.
                let due = Instant::now().checked_sub(SLEEP_STEP).map_or(self.due, |before| self.due.max(before));
                self.due = due + Duration::from_secs_f64(bytes.len() as f64 / rate as f64);
                thread::sleep(self.due.saturating_duration_since(Instant::now()));
                self.write(bytes)
            }
        }
    }

    fn write(&self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            match self.to().write(bytes) {
                _ if self.wire.is_cut().is_some() => return None,
                Ok(0) => return None,
                Ok(written) => bytes = &bytes[written..],
                Err(error) if waits(&error) => {}
                Err(_) => return None,
            }
        }
        Some(())
    }
}

fn waits(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The lowest bit that is set: without it a number is smaller.
fn lowest_bit(byte: u8) -> u8 {
    if byte == 0 { 1 } else { byte & byte.wrapping_neg() }
}
