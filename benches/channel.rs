//! How fast records are sealed and opened, frames encoded and decoded, and what a handshake takes. Run with `cargo bench --bench channel`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot set itself up has nothing to measure"
)]

use divan::Bencher;
use divan::counter::BytesCount;
use p2pchat::channel::{Channel, Code, HELLO, Hello, LENGTH, Mode, Role, Terms, establish};
use p2pchat::identity::Identity;
use p2pchat::net::buffer::{Bulk, Pool, Record};
use p2pchat::protocol::frame::{CHUNK_DATA, ChunkHeader, Control, Frame};
use std::cell::RefCell;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::thread;

fn main() {
    divan::main();
}

const HEADER: ChunkHeader = ChunkHeader { compressed: false, transfer: 1, position: 0 };

/// A full chunk on its way out, sealed where it lies.
#[divan::bench]
fn seal(bencher: Bencher) {
    let (channel, _) = channels();
    let sealer = RefCell::new(channel.sealer);
    let mut chunk = full_chunk();
    bencher.counter(BytesCount::new(CHUNK_DATA)).bench_local(|| sealer.borrow_mut().seal(record(&mut chunk)));
}

/// A full chunk that came in, opened where it lies.
#[divan::bench(sample_size = 32)]
fn open(bencher: Bencher) {
    let (near, far) = channels();
    let (sealer, opener) = (RefCell::new(near.sealer), RefCell::new(far.opener));
    bencher
        .with_inputs(move || {
            let mut chunk = full_chunk();
            sealer.borrow_mut().seal(record(&mut chunk)).unwrap();
            let body = &chunk.sealed()[LENGTH..];
            let mut record = Record::with_len(body.len());
            record.bytes_mut().copy_from_slice(body);
            record
        })
        .counter(BytesCount::new(CHUNK_DATA))
        .bench_local_values(|mut record| {
            opener.borrow_mut().open(record.bytes_mut()).unwrap();
            record
        });
}

#[divan::bench]
fn encode_line(bencher: Bencher) {
    let frame = line();
    let mut bytes = Vec::with_capacity(128);
    bencher.bench_local(|| {
        bytes.clear();
        frame.encode(&mut bytes);
    });
}

#[divan::bench]
fn decode_line(bencher: Bencher) {
    let mut bytes = Vec::new();
    line().encode(&mut bytes);
    bencher.bench_local(|| Frame::decode(&bytes));
}

#[divan::bench]
fn encode_chunk_header(bencher: Bencher) {
    bencher.bench_local(|| divan::black_box(HEADER).encode());
}

#[divan::bench]
fn decode_chunk_header(bencher: Bencher) {
    let mut chunk = full_chunk();
    let record = record(&mut chunk);
    let frame = &record[LENGTH..record.len() - 16];
    bencher.bench_local(|| ChunkHeader::decode(divan::black_box(frame)).map(|(header, data)| (header, data.len())));
}

/// Both sides of a whole handshake, over pipes between two threads: with the verification number, and with a code.
#[divan::bench(args = [Mode::Open, Mode::Code])]
fn handshake(bencher: Bencher, mode: Mode) {
    let (i, r) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    bencher.bench_local(|| channels_of(&i, &r, mode));
}

fn line() -> Frame {
    let text = "a line of chat, about as long as people write them".to_owned();
    Frame::Control { seq: 1, control: Control::Line { action: false, text } }
}

fn full_chunk() -> Bulk {
    let mut chunk = Pool::<Bulk>::new(1).take(HEADER.transfer);
    chunk.room()[..CHUNK_DATA].fill(0x5a);
    chunk.chunk(HEADER.position, CHUNK_DATA);
    chunk
}

fn record(chunk: &mut Bulk) -> &mut [u8] {
    chunk.records_mut().next().unwrap()
}

fn channels() -> (Channel, Channel) {
    channels_of(&Identity::generate().unwrap(), &Identity::generate().unwrap(), Mode::Open)
}

fn channels_of(initiator: &Identity, responder: &Identity, mode: Mode) -> (Channel, Channel) {
    let (from_i, to_r) = io::pipe().unwrap();
    let (from_r, to_i) = io::pipe().unwrap();
    let (mut end_i, mut end_r) = (End(from_r, to_r), End(from_i, to_i));
    thread::scope(|scope| {
        let far = scope.spawn(|| connect(Role::Responder, responder, mode, &mut end_r));
        let near = connect(Role::Initiator, initiator, mode, &mut end_i);
        (near, far.join().unwrap())
    })
}

fn connect(role: Role, identity: &Identity, mode: Mode, end: &mut End) -> Channel {
    let own = Hello::new(mode).unwrap();
    let code = (mode == Mode::Code).then(|| Code::new("42-otter-plum").unwrap());
    end.write_all(&own.encode()).unwrap();
    let mut theirs = [0; HELLO];
    end.read_exact(&mut theirs).unwrap();
    let theirs = Hello::decode(&theirs, &own).unwrap();
    let terms = Terms { role, code: code.as_ref(), identity, accept_key: &|_| Ok(None), reserve_try: &|| true };
    establish(end, &own, &theirs, &terms).unwrap()
}

struct End(PipeReader, PipeWriter);

impl Read for End {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
