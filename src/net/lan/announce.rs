//! Who waits announces itself.
//!
//! 1. [`Announcer::announce`] starts the package's thread for one announcement, and a thread "lan" that registers it and reports how that
//!    goes. Neither is waited for.
//! 2. The thread "lan" ends when the announcement is to be made anew, which it reports, or with the package's thread.
//! 3. [`Announcer::withdraw`] says goodbye, so that those who look around forget it at once; a thread "goodbye" ends the package's thread
//!    when that was said twice. (Its end alone says it once.)
//!
//! Every announcement has a new random name: who meets it in two networks does not know it again.

use super::{Admits, LanError, SERVICE, VERSION, check_port, daemon, has_neighbours, nonce, tag};
use crate::keys::Pin;
use crate::net::reach;
use if_addrs::Interface;
use mdns_sd::{DaemonEvent, RecvTimeoutError, ServiceDaemon, ServiceInfo};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Seconds between two looks at the own addresses: few wakeups for who may wait for days.
const IDLE_CHECK: u32 = 30;
/// While the peer is lost, it may be this machine that has moved.
const LOST_CHECK: u32 = 5;
/// Without an announcement after so long there will be none.
const ANNOUNCE_TIME: Duration = Duration::from_secs(3);
/// The package keeps records that it never asked for, for as long as who sent them says, and two times for each: with more than so many
/// of both (a few MB) it begins anew. A network of 1,000 machines has fewer.
const KEPT: i64 = 30_000;
/// How often they are counted.
const COUNT: Duration = Duration::from_secs(30);
/// For the goodbye, which the package repeats after 120 ms.
const GOODBYE: Duration = Duration::from_millis(200);

/// What becomes of an announcement.
#[derive(Debug)]
pub enum AnnounceEvent {
    Announced,
    Failed(LanError),
    /// The own addresses are others now, or a neighbour fills the memory: it is time for a new one ([`Announcer::announce`]).
    Outdated,
}

type Tell = dyn Fn(&str, AnnounceEvent) + Send + Sync;

pub struct Announcer {
    /// Where the listener is bound.
    bound: Vec<SocketAddr>,
    pin: Pin,
    /// Gets the announcement's name and what becomes of it, on a thread.
    tell: Arc<Tell>,
    /// The name of the present announcement, and the package's thread.
    current: Option<(String, ServiceDaemon)>,
    goodbye: Option<JoinHandle<()>>,
}

impl Announcer {
    pub fn new(bound: &[SocketAddr], pin: Pin, tell: impl Fn(&str, AnnounceEvent) + Send + Sync + 'static) -> Self {
        Self { bound: bound.to_vec(), pin, tell: Arc::new(tell), current: None, goodbye: None }
    }

    /// Announces under a new name, instead of what was announced before.
    pub fn announce(&mut self, admits: Admits) -> Result<(), LanError> {
        self.withdraw();
        let nonce = nonce()?;
        let interval = if admits == Admits::Returning { LOST_CHECK } else { IDLE_CHECK };
        let bound = self.bound.clone();
        let daemon = daemon(interval, move |interface| serves(&bound, interface))?;
        let (bound, name, registered) = (self.bound.clone(), nonce.clone(), daemon.clone());
        let (tag, tell) = (tag(&self.pin, &nonce), Arc::clone(&self.tell));
        self.current = Some((nonce, daemon));
        thread::Builder::new().name("lan".into()).spawn(move || {
            let text = [("v", VERSION), ("m", admits.digit()), ("t", &tag)];
            if let Err(error) = register_and_watch(&bound, &name, &text, &registered, &*tell) {
                tell(&name, AnnounceEvent::Failed(error));
            }
        })?;
        Ok(())
    }

    /// Whether this is what is announced now; events of an earlier announcement may come late.
    pub fn is_current(&self, nonce: &str) -> bool {
        self.current.as_ref().is_some_and(|(current, _)| current == nonce)
    }

    /// Takes back what is announced, if anything is.
    pub fn withdraw(&mut self) {
        let Some((nonce, daemon)) = self.current.take() else { return };
        let _ = daemon.unregister(&full_name(&nonce));
        let end = daemon.clone();
        let goodbye = thread::Builder::new().name("goodbye".into()).spawn(move || {
            thread::sleep(GOODBYE);
            drop(end.shutdown());
        });
        self.goodbye = goodbye.map_err(|_| drop(daemon.shutdown())).ok();
    }

    /// Withdraws, and waits for the goodbye. For the end of the program.
    pub fn finish(mut self) {
        self.withdraw();
        if let Some(goodbye) = self.goodbye.take() {
            let _ = goodbye.join();
        }
    }
}

/// The thread "lan".
fn register_and_watch(
    bound: &[SocketAddr],
    nonce: &str,
    text: &[(&str, &str)],
    daemon: &ServiceDaemon,
    tell: &Tell,
) -> Result<(), LanError> {
    let addrs = own_addrs(bound)?;
    let events = daemon.monitor()?;
    let (port, host) = (bound.first().map_or(0, SocketAddr::port), format!("p2pchat-{nonce}.local."));
    let announced: Vec<IpAddr> = addrs.iter().copied().collect();
    let mut service = ServiceInfo::new(SERVICE, nonce, &host, &announced[..], port, text)?;
    // 64 random bits are no other's name, and a neighbour who says that they are would have it changed.
    service.set_requires_probe(false);
    daemon.register(service)?;
    let mut until = Instant::now() + ANNOUNCE_TIME;
    let mut told = false;
    loop {
        match events.recv_deadline(until) {
            Ok(DaemonEvent::Announce(..)) if !told => {
                told = true;
                tell(nonce, AnnounceEvent::Announced);
            }
            Ok(DaemonEvent::IpAdd(_) | DaemonEvent::IpDel(_)) if own_addrs(bound)? != addrs => {
                tell(nonce, AnnounceEvent::Outdated);
                return Ok(());
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) if told => {
                if kept(daemon)? > KEPT {
                    tell(nonce, AnnounceEvent::Outdated);
                    return Ok(());
                }
                until = Instant::now() + COUNT;
            }
            Err(RecvTimeoutError::Timeout) => {
                told = true;
                let error = if check_port().is_err() { LanError::PortTaken } else { LanError::NoNetwork };
                tell(nonce, AnnounceEvent::Failed(error));
            }
            // Withdrawn, which nobody hears, or by a bug of the package.
            Err(RecvTimeoutError::Disconnected) => return Err(LanError::Daemon("it has ended".into())),
        }
    }
}

/// Records that the package keeps, and times at which it looks at them. Waits while it is busy.
fn kept(daemon: &ServiceDaemon) -> Result<i64, LanError> {
    let metrics = daemon.get_metrics()?.recv().map_err(|_| LanError::Daemon("it has ended".into()))?;
    let kept = metrics.iter().filter(|(name, _)| name.starts_with("cached-") || *name == "timer");
    Ok(kept.map(|(_, count)| count).sum())
}

fn full_name(nonce: &str) -> String {
    format!("{nonce}.{SERVICE}")
}

/// The addresses to announce.
fn own_addrs(bound: &[SocketAddr]) -> Result<BTreeSet<IpAddr>, LanError> {
    let interfaces = if_addrs::get_if_addrs()?;
    Ok(interfaces.iter().filter(|interface| serves(bound, interface)).map(Interface::ip).collect())
}

/// Whether the listener is reached by this interface's address, and others may be there.
fn serves(bound: &[SocketAddr], interface: &Interface) -> bool {
    has_neighbours(interface) && reach::is_bound(bound, interface.ip())
}
