//! Thousands of strangers at the listener while two talk and a file moves: nobody inside notices, and nothing grows.

use crate::support::attacker::hello;
use crate::support::files::content;
use crate::support::peer::memory;
use crate::support::{DEADLINE, Home, Relay, Rng, is, talk, text};
use p2pchat::channel::Mode;
use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Sockets that strangers hold open at a time, all together: more than the listener has room for.
const HELD: usize = 320;
/// Threads that strangers come from.
const CROWD: usize = 4;
/// Descriptors that the listener may hold beyond its usual ones: 64 callers, as many that were evicted and have not ended yet, one at
/// the accept.
const DESCRIPTORS: usize = 2 * 64 + 8;
/// Memory that all that may cost, in KiB: sockets and stacks of handshakes in use, not what strangers send.
const MEMORY: u64 = 24 << 10;
/// Descriptors that may be left when the strangers are gone.
const LEFT: usize = 4;

/// What a process uses: descriptors, and memory in KiB.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Usage {
    descriptors: usize,
    memory: u64,
}

fn usage(pid: u32) -> Usage {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    Usage { descriptors, memory: memory(pid, "VmRSS:").unwrap() }
}

/// What passes the listener in a whole honest opening, for replays.
fn recorded() -> Vec<u8> {
    let mut ana = Home::new().listen("ana", &[]);
    let relay = Relay::to(ana.addr());
    let mut ben = Home::new().connect("ben", relay.addr(), &[]);
    talk(&mut ana, &mut ben);
    relay.tape()
}

/// One stranger; gives its socket when it stays.
fn stranger(number: usize, addr: SocketAddr, replay: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(addr).ok()?;
    let mut rng = Rng::new(number as u64);
    match number % 6 {
        // Silent.
        0 => {}
        // Garbage, of which the first byte may be right.
        1 => {
            let garbage: Vec<u8> = (0..rng.within(1..400)).map(|_| rng.next() as u8).collect();
            let _ = stream.write_all(&garbage);
        }
        // Slow: a hello whose last bytes never come.
        2 => {
            let _ = stream.write_all(&hello(Mode::Open)[..rng.within(1..28) as usize]);
        }
        // A hello and then nothing.
        3 => {
            let _ = stream.write_all(&hello(Mode::Open));
        }
        // A replayed opening, whole or a part of it.
        4 => {
            let part = rng.within(28..replay.len() as u64) as usize;
            let _ = stream.write_all(&replay[..part]);
        }
        // A hello, an own message 1, and an answer that is read and not continued.
        _ => {
            let message = [&hello(Mode::Open)[..], &[0, 32], &[9; 32]].concat();
            let _ = stream.write_all(&message);
            let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
            let _ = stream.read(&mut [0; 256]);
        }
    }
    Some(stream)
}

/// Lets `count` strangers come within `span`, each staying until there are too many; gives how many there were.
fn siege(addr: SocketAddr, count: usize, span: Duration, replay: &[u8]) -> usize {
    let (next, begun) = (AtomicUsize::new(0), Instant::now());
    thread::scope(|scope| {
        let crowd: Vec<_> = (0..CROWD)
            .map(|_| {
                scope.spawn(|| {
                    let mut held = VecDeque::new();
                    let mut came = 0;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return came;
                        }
                        // One after another over the span, not all at once.
                        let due = begun + span.mul_f64(number as f64 / count as f64);
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        let socket = stranger(number, addr, replay);
                        came += usize::from(socket.is_some());
                        held.extend(socket);
                        if held.len() > HELD / CROWD {
                            held.pop_front();
                        }
                    }
                })
            })
            .collect();
        crowd.into_iter().map(|one| one.join().unwrap()).sum()
    })
}

/// What was measured during a siege.
struct Report {
    strangers: usize,
    before: Usage,
    most: Usage,
    after: Usage,
    /// From typing a line to its coming out at the other side, sorted.
    latencies: Vec<Duration>,
}

/// `count` strangers within `span`, while lines go both ways and a file of `megabytes` moves, over a line of `rate` bytes a
/// second if there is one.
fn besiege(count: usize, span: Duration, megabytes: usize, rate: Option<u64>) -> Report {
    let replay = recorded();
    let (home, theirs) = (Home::new(), Home::new());
    let ana = home.listen("ana", &["--keep", "--accept", "always"]);
    let (addr, pid) = (ana.addr(), ana.pid());
    let (tell, told): (_, Receiver<Instant>) = mpsc::channel();
    let watch = Box::new(move |event: &serde_json::Value| {
        if is(event, "message") {
            let _ = tell.send(Instant::now());
        }
        true
    });
    let relay = rate.map(|rate| Relay::slow(addr, rate));
    let dialled = relay.as_ref().map_or(addr, Relay::addr).to_string();
    let mut ben = theirs.json("ben", &["connect", &dialled], &[], Some(watch));
    ben.event("connected");
    let data = content("big", megabytes << 20);
    theirs.file("big.bin", &data);
    // One line first, so that everything that is made once is made.
    ana.send("begin");
    ben.message("begin");
    told.recv().unwrap();
    let before = usage(pid);
    ben.send("/send big.bin");
    ana.event("accepted");

    let over = AtomicBool::new(false);
    let (strangers, most, mut latencies) = thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            let mut most = before;
            while !over.load(Ordering::Acquire) {
                let now = usage(pid);
                most.descriptors = most.descriptors.max(now.descriptors);
                most.memory = most.memory.max(now.memory);
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let (ana, ben, still) = (&ana, &ben, &over);
        let talking = scope.spawn(move || {
            let mut latencies = Vec::new();
            while !still.load(Ordering::Acquire) {
                let begun = Instant::now();
                ana.send(&format!("line {}", latencies.len()));
                latencies.push(told.recv_timeout(DEADLINE).unwrap().duration_since(begun));
                ben.send(&format!("answer {}", latencies.len()));
                thread::sleep(Duration::from_millis(20));
            }
            latencies
        });
        let strangers = siege(addr, count, span, &replay);
        over.store(true, Ordering::Release);
        (strangers, measuring.join().unwrap(), talking.join().unwrap())
    });
    let lines = latencies.len();
    latencies.sort();
    ana.message(&format!("answer {lines}"));
    let heard: Vec<_> = ben.texts().into_iter().skip(1).collect();
    assert_eq!(heard, (0..lines).map(|n| format!("line {n}")).collect::<Vec<_>>());
    assert_eq!(ana.texts(), (1..=lines).map(|n| format!("answer {n}")).collect::<Vec<_>>());
    ana.event("done");
    assert!(fs::read(home.inbox().join("big.bin")).unwrap() == data, "the file arrived as another one");
    assert!(ana.all("lost").is_empty() && ben.all("lost").is_empty());
    assert!(ana.all("warning").len() <= 5 * (2 + span.as_secs() as usize / 60), "words about strangers are few");

    ben.send("/quit");
    ben.ends_with(0);
    ana.event("bye");
    let mut cleo = Home::new().connect("cleo", addr, &[]);
    cleo.send("my turn");
    assert_eq!(text(&ana.message("my turn"), "from"), "cleo");
    // Callers that left are let go of at the latest when their time is up.
    let until = Instant::now() + DEADLINE;
    while usage(pid).descriptors > before.descriptors + LEFT && Instant::now() < until {
        thread::sleep(Duration::from_millis(50));
    }
    let after = usage(pid);
    cleo.send("/quit");
    cleo.ends_with(0);
    Report { strangers, before, most, after, latencies }
}

impl Report {
    fn holds(&self) {
        let Self { before, most, after, .. } = self;
        assert!(most.descriptors <= before.descriptors + DESCRIPTORS, "{before:?} grew to {most:?}");
        assert!(after.descriptors <= before.descriptors + LEFT, "of {before:?} there is {after:?} left");
        // A transfer has its window beside: at most 24 MiB on the way to the disk.
        assert!(most.memory <= before.memory + MEMORY + (32 << 10), "{before:?} grew to {most:?}");
        assert!(after.memory <= before.memory + MEMORY + (32 << 10), "of {before:?} there is {after:?} left");
    }
}

#[test]
fn a_thousand_strangers_change_nothing_for_two_who_talk() {
    let report = besiege(1_000, Duration::from_secs(3), 24, Some(8 << 20));
    assert_eq!(report.strangers, 1_000, "everyone was let in to the listener");
    report.holds();
}

#[test]
fn a_listener_without_descriptors_says_so_and_takes_callers_again_when_it_has_some() {
    let home = Home::new();
    let ana = home.listen("ana", &[]);
    let limit = |descriptors: usize| {
        let (pid, soft) = (ana.pid().to_string(), format!("--nofile={descriptors}:"));
        assert!(Command::new("prlimit").args(["--pid", &pid, &soft]).status().unwrap().success());
    };
    limit(usage(ana.pid()).descriptors + 2);
    let strangers: Vec<_> = (0..4).map(|_| TcpStream::connect(ana.addr()).unwrap()).collect();
    ana.wait_for(|event| is(event, "warning") && text(event, "text").contains("callers cannot be taken"));
    drop(strangers);
    // A session needs descriptors of its own.
    limit(256);
    let ben = Home::new().connect("ben", ana.addr(), &[]);
    ben.send("here I am");
    ana.message("here I am");
}

/// `cargo test --release --test suite -- --ignored connection_flood:: --nocapture`
#[test]
#[ignore = "a long run: a minute, tells what it measured"]
fn ten_thousand_strangers_in_a_minute() {
    let report = besiege(10_000, Duration::from_secs(60), 1_024, None);
    let at = |part: usize| report.latencies[(report.latencies.len() - 1) * part / 100];
    eprintln!(
        "{} strangers: before {:?}, most {:?}, after {:?}",
        report.strangers, report.before, report.most, report.after
    );
    eprintln!("a line takes {:?} in the middle, {:?} at 99 %, {:?} at most", at(50), at(99), at(100));
    report.holds();
    assert!(at(99) < Duration::from_secs(1));
}
