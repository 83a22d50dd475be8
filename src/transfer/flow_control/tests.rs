//! The peer's frames and the worker's answers, against a real send queue.

use super::pace::START;
use super::*;
use crate::channel::TAG;
use crate::protocol::frame::CHUNK_DATA;
use crate::protocol::frame::Frame;
use crate::transfer::file_name::Name;
use crate::transfer::manifest::{Builder, Meta};

const FULL: u64 = 49_152;

fn manifest(sizes: &[u64]) -> Arc<Manifest> {
    let mut builder = Builder::default();
    for (i, size) in sizes.iter().enumerate() {
        builder.file(Name::new(&format!("f{i}")).unwrap(), Meta::default(), *size).unwrap();
    }
    Arc::new(builder.finish().unwrap())
}

struct Peer {
    flow: FlowControl,
    queue: Arc<SendQueue>,
    manifest: Arc<Manifest>,
}

impl Peer {
    /// A peer that is about to offer files of these sizes.
    fn new(sizes: &[u64]) -> Self {
        let (flow, queue) = (FlowControl::default(), Arc::new(SendQueue::default()));
        flow.connected(Arc::clone(&queue));
        Self { flow, queue, manifest: manifest(sizes) }
    }

    fn offer(&self) -> Offer {
        self.manifest.offer(&self.manifest.encode())
    }

    fn chunk(&self, transfer: TransferId, position: Position, data: &[u8]) -> Result<Option<Vec<u8>>, ProtocolError> {
        self.any_chunk(ChunkHeader { compressed: false, transfer, position }, data)
    }

    fn zchunk(&self, position: Position, frame: &[u8]) -> Result<(), ProtocolError> {
        self.any_chunk(ChunkHeader { compressed: true, transfer: 1, position }, frame).map(drop)
    }

    fn any_chunk(&self, header: ChunkHeader, data: &[u8]) -> Result<Option<Vec<u8>>, ProtocolError> {
        let frame = [&header.encode()[..], data].concat();
        let mut record = Record::with_len(frame.len() + TAG);
        record.bytes_mut()[..frame.len()].copy_from_slice(&frame);
        self.flow.chunk(header, record)
    }

    fn end(&self, transfer: TransferId, position: Position) -> Result<(), ProtocolError> {
        self.flow.file_end(transfer, position, FileStatus::Whole, [1; 32])
    }

    /// Up to the worker's being ready for data; gives where that begins.
    fn run(&self, transfer: TransferId, offset: u64) -> Position {
        assert_eq!(self.flow.offered(transfer, &self.offer()), Ok(true));
        let list = self.manifest.encode();
        assert_eq!(self.chunk(transfer, 0, &list).unwrap().unwrap(), list);
        let position = self.manifest.data_start() + offset;
        self.flow.open(transfer, RouteStart { manifest: Arc::clone(&self.manifest), position });
        position
    }

    fn lose(&mut self) {
        self.flow.disconnected();
        self.queue = Arc::new(SendQueue::default());
        self.flow.resumed(Arc::clone(&self.queue));
    }

    fn told(&self) -> Vec<Frame> {
        // PING makes sure that there is something to take.
        self.queue.ping();
        self.queue.take(1).unwrap().frames.split_off(1)
    }

    fn pieces(&self) -> Vec<Piece> {
        let mut batch = Vec::new();
        self.flow.kick();
        self.flow.take(&mut batch);
        batch
    }
}

#[test]
fn data_comes_from_begin_on_in_order_and_full() {
    let peer = Peer::new(&[FULL + 5, 0]);
    let at = peer.run(1, 0);
    let full = vec![0; CHUNK_DATA];
    assert_eq!(peer.chunk(1, at, &full), Err(ProtocolError::NotBegun(1)));
    assert_eq!(peer.flow.begin(1, at + 1), Err(ProtocolError::Position("BEGIN", 1)));
    peer.flow.begin(1, at).unwrap();
    assert_eq!(peer.flow.begin(1, at), Err(ProtocolError::WrongTime("BEGIN", 1)));
    assert_eq!(peer.chunk(1, at + 1, &full), Err(ProtocolError::Order(1)));
    assert_eq!(peer.chunk(1, at, &full[1..]), Err(ProtocolError::Size(1)));
    peer.chunk(1, at, &full).unwrap();
    assert_eq!(peer.end(1, at + FULL), Err(ProtocolError::Order(1)));
    assert_eq!(peer.chunk(1, at + FULL, &full[..6]), Err(ProtocolError::Size(1)));
    peer.chunk(1, at + FULL, &full[..5]).unwrap();
    peer.end(1, at + FULL + 5).unwrap();
    peer.end(1, at + FULL + 5 + END_WEIGHT).unwrap();
    assert_eq!(peer.end(1, peer.manifest.end()), Err(ProtocolError::Order(1)));
    assert_eq!(peer.pieces().len(), 5);
}

#[test]
fn a_file_that_failed_may_end_anywhere_and_the_next_follows_at_its_own_start() {
    let peer = Peer::new(&[3 * FULL, 5]);
    let at = peer.run(1, 0);
    peer.flow.begin(1, at).unwrap();
    peer.chunk(1, at, &vec![0; CHUNK_DATA]).unwrap();
    peer.flow.file_end(1, at + FULL, FileStatus::Changed, NO_DIGEST).unwrap();
    peer.chunk(1, at + 3 * FULL + END_WEIGHT, &[0; 5]).unwrap();
}

#[test]
fn begin_stands_where_accept_said_or_at_the_start_of_that_file() {
    for (position, good) in [(0, true), (7, true), (6, false), (FULL, false)] {
        let peer = Peer::new(&[FULL]);
        let at = peer.run(1, 7) - 7;
        assert_eq!(peer.flow.begin(1, at + position).is_ok(), good, "{position}");
    }
}

#[test]
fn nothing_comes_for_what_was_not_offered_or_not_accepted() {
    let peer = Peer::new(&[5]);
    assert_eq!(peer.flow.begin(1, 0), Err(ProtocolError::UnknownTransfer(1)));
    assert_eq!(peer.flow.offered(3, &peer.offer()), Ok(true));
    assert_eq!(peer.flow.begin(2, 0), Err(ProtocolError::WrongSide(2)));
    assert_eq!(peer.chunk(3, 1, &[0]), Err(ProtocolError::Order(3)));
    assert_eq!(peer.chunk(3, 0, &[0]), Err(ProtocolError::Size(3)));
    let list = peer.manifest.encode();
    peer.chunk(3, 0, &list).unwrap().unwrap();
    assert_eq!(peer.flow.begin(3, peer.manifest.data_start()), Err(ProtocolError::NotAccepted(3)));
    assert_eq!(peer.end(3, peer.manifest.end()), Err(ProtocolError::NotAccepted(3)));
}

#[test]
fn a_compressed_chunk_stands_for_its_content_and_weighs_its_frame_but_1024_at_least() {
    // "A full chunk of zeros", once with as much behind it as makes it weigh 2,000: only the worker sees that.
    let zeros = b"\x28\xb5\x2f\xfd\x60\x00\xbf\x03\x00\x06\x00";
    let padded = [&zeros[..], &[0; 2_000 - 11]].concat();
    let peer = Peer::new(&[4 * START * FULL]);
    let at = peer.run(1, 0);
    peer.flow.begin(1, at).unwrap();
    assert_eq!(peer.zchunk(at, zeros), Err(ProtocolError::Unexpected("ZCHUNK")));
    peer.queue.allow_zchunks();
    assert_eq!(peer.zchunk(at, &zeros[1..]), Err(ProtocolError::Compressed(1, BAD_HEADER)));
    assert_eq!(peer.zchunk(at, b"\x28\xb5\x2f\xfd\x20\x07"), Err(ProtocolError::Size(1)));
    peer.zchunk(at, &padded).unwrap();
    // BEGIN, what was padded, and so many small ones.
    let fit = (START - END_WEIGHT - 2_000) / END_WEIGHT;
    (1..=fit).try_for_each(|n| peer.zchunk(at + n * FULL, zeros)).unwrap();
    assert_eq!(peer.zchunk(at + (fit + 1) * FULL, zeros), Err(ProtocolError::OverCredit));
    // The worker takes no more than it may hold once opened.
    let taken = peer.pieces().len();
    assert!((16..=18).contains(&taken), "{taken}");
}

#[test]
fn more_than_the_credit_is_the_peers_fault_and_what_is_written_or_dropped_is_credited() {
    let chunks = (START - END_WEIGHT) / FULL;
    let mut peer = Peer::new(&[16 * START]);
    assert_eq!(peer.told(), [Frame::Credit { limit: START }]);
    let at = peer.run(1, 0);
    peer.flow.begin(1, at).unwrap();
    let full = vec![0; CHUNK_DATA];
    let send =
        |peer: &Peer, from: u64, to: u64| (from..to).try_for_each(|i| peer.chunk(1, at + i * FULL, &full).map(drop));
    send(&peer, 0, chunks).unwrap();
    assert_eq!(send(&peer, chunks, chunks + 1), Err(ProtocolError::OverCredit));

    peer = Peer::new(&[16 * START]);
    peer.run(1, 0);
    peer.flow.begin(1, at).unwrap();
    send(&peer, 0, chunks).unwrap();
    peer.flow.written(END_WEIGHT + chunks * FULL, &[(1, at + chunks * FULL)]);
    let credit = Frame::Credit { limit: START + END_WEIGHT + chunks * FULL };
    assert_eq!(peer.told(), [credit]);
    for i in chunks..8 * chunks {
        send(&peer, i, i + 1).unwrap();
        peer.flow.written(FULL, &[(1, at + (i + 1) * FULL)]);
    }
    assert!(peer.told().iter().any(|frame| matches!(frame, Frame::Received { transfer: 1, .. })));
    peer.flow.end(1, false);
    // Dropped without a limit to its sum: each is credited at once.
    send(&peer, 8 * chunks, 11 * chunks).unwrap();
}

#[test]
fn ends_of_files_are_bounded_by_credit() {
    let peer = Peer::new(&[0; 1_000]);
    let at = peer.run(1, 0);
    peer.flow.begin(1, at).unwrap();
    // BEGIN weighs as much.
    for number in 0..START / END_WEIGHT - 1 {
        peer.end(1, at + number * END_WEIGHT).unwrap();
    }
    assert_eq!(peer.end(1, at + START - END_WEIGHT), Err(ProtocolError::OverCredit));
}

#[test]
fn lists_are_bounded_in_count_and_bytes() {
    let peer = Peer::new(&[5]);
    let large = Offer { list: 8 << 20, ..peer.offer() };
    assert_eq!(peer.flow.offered(1, &large), Ok(true));
    assert_eq!(peer.flow.offered(3, &large), Ok(true));
    assert_eq!(peer.flow.offered(5, &large), Ok(false));
    peer.flow.end(1, true);
    assert_eq!(peer.flow.offered(7, &large), Ok(true));
    assert_eq!(peer.flow.offered(7, &large), Ok(true), "sent again after a resume");
    let peer = Peer::new(&[5]);
    let fits = |number: &u32| peer.flow.offered(2 * number + 1, &peer.offer()) == Ok(true);
    assert_eq!((0..).take_while(fits).count(), OPEN_MOST);
}

#[test]
fn a_resume_names_each_open_transfer_once_and_then_credit() {
    let mut peer = Peer::new(&[2 * FULL]);
    let list = peer.manifest.encode();
    let at = peer.run(1, 0);
    peer.flow.begin(1, at).unwrap();
    peer.chunk(1, at, &vec![0; CHUNK_DATA]).unwrap();
    peer.flow.offered(3, &peer.offer()).unwrap();
    peer.flow.offered(5, &peer.offer()).unwrap();
    peer.chunk(5, 0, &list).unwrap();
    peer.run(7, 0);
    peer.flow.end(7, true);
    peer.lose();
    let restart = |transfer, position, digest| Frame::Restart { transfer, position, digest };
    assert_eq!(peer.told(), [restart(3, 0, NO_DIGEST), restart(5, u64::try_from(list.len()).unwrap(), NO_DIGEST)]);
    let Some(Piece::Resumed(connection)) = peer.pieces().pop() else { panic!() };
    peer.flow.restarted(connection, &[(1, at + 7, [7; 32])]);
    assert_eq!(peer.told(), [restart(1, at + 7, [7; 32]), Frame::Credit { limit: START }]);
    assert_eq!(peer.chunk(1, at + 7, &[0; 5]), Err(ProtocolError::NotBegun(1)));
    peer.flow.begin(1, at).unwrap();
    peer.chunk(1, at, &vec![0; CHUNK_DATA]).unwrap();
}

#[test]
fn what_ended_is_dropped_until_the_offerer_confirms_and_after() {
    let peer = Peer::new(&[FULL]);
    let at = peer.run(1, 0);
    peer.flow.end(1, false);
    peer.flow.begin(1, at).unwrap();
    peer.chunk(1, at, &vec![0; CHUNK_DATA]).unwrap();
    peer.flow.end(1, true);
    peer.end(1, at + FULL).unwrap();
    peer.chunk(1, 0, b"of its list").unwrap();
    assert!(peer.pieces().is_empty());
}
