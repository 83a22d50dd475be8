#![expect(clippy::as_conversions, reason = "the numbers of these tests are small constants")]

use super::*;
use crate::protocol::frame::{CHUNK_DATA, Frame};
use crate::transfer::file_name::Name;
use crate::transfer::manifest::{Builder, Meta};
use crate::transfer::tests::wire::record;
use std::sync::mpsc::{Receiver, channel};

const DIGEST: Digest = [0; 32];

fn list(sizes: &[u64]) -> Arc<Manifest> {
    let mut builder = Builder::default();
    for (i, size) in sizes.iter().enumerate() {
        builder.file(Name::new(&format!("f{i}")).unwrap(), Meta::default(), *size).unwrap();
    }
    Arc::new(builder.finish().unwrap())
}

struct Peer {
    window: Arc<ReceiveWindow>,
    send_queue: Arc<SendQueue>,
}

impl Peer {
    fn new() -> Self {
        let (window, send_queue) = (Arc::new(ReceiveWindow::unpaced()), Arc::new(SendQueue::new()));
        window.connected(Arc::clone(&send_queue));
        Self { window, send_queue }
    }

    fn chunk(&self, id: TransferId, position: Position, len: usize) -> Result<Delivered, Fault> {
        let (header, record) = record(id, position, &vec![7; len]);
        self.window.deliver_chunk(header, record)
    }

    fn end(&self, id: TransferId, position: Position, status: FileStatus) -> Result<(), Fault> {
        self.window.deliver_end(id, position, status, DIGEST)
    }

    /// Offers a list and sends it.
    fn list(&self, id: TransferId, list: &Manifest) {
        let bytes = list.encode();
        assert_eq!(self.window.offered(id, &list.offer(&bytes)), Ok(Admission::Listing));
        let (header, record) = record(id, 0, &bytes);
        let delivered = self.window.deliver_chunk(header, record).unwrap();
        assert!(matches!(delivered, Delivered::ListComplete(at, whole) if at == id && whole == bytes));
    }

    fn open(&self, id: TransferId, list: &Arc<Manifest>, position: Position) -> Receiver<Piece> {
        let (pieces, worker) = channel();
        self.window.open(id, Opening { list: Arc::clone(list), position, pieces });
        worker
    }

    fn run(&self, id: TransferId, list: &Arc<Manifest>) -> Receiver<Piece> {
        self.list(id, list);
        self.open(id, list, list.data_start())
    }

    /// What was told, (transfer, durable, limit) of each.
    fn credits(&self) -> Vec<(TransferId, Position, Position)> {
        // A pong keeps `take` from waiting when there is no credit.
        self.send_queue.pong(0);
        let frames = self.send_queue.take(1).unwrap().frames;
        let credit = |frame| match frame {
            Frame::Credit { transfer, durable, limit } => Some((transfer, durable, limit)),
            _ => None,
        };
        frames.into_iter().filter_map(credit).collect()
    }
}

fn is<T: std::fmt::Debug>(result: Result<T, Fault>, fault: Fault) {
    assert_eq!(result.map(drop), Err(fault));
}

#[test]
fn a_least_grant_takes_any_one_piece() {
    assert_eq!(LEAST_GRANT, CHUNK_DATA as u64 + FILE_END_WEIGHT);
}

#[test]
fn data_that_was_not_offered_or_not_accepted_is_a_fault() {
    let peer = Peer::new();
    let list = list(&[10]);
    is(peer.chunk(1, 0, 10), Fault::Unknown(1));
    is(peer.chunk(0, 0, 10), Fault::Unknown(0));
    is(peer.end(1, 0, FileStatus::Whole), Fault::Unknown(1));
    peer.list(1, &list);
    is(peer.chunk(1, list.data_start(), 10), Fault::NotAccepted(1));
    is(peer.end(1, list.data_start(), FileStatus::Changed), Fault::NotAccepted(1));
    is(peer.chunk(2, 0, 10), Fault::Unknown(2));
}

#[test]
fn offers_are_numbered_upwards_and_one_that_comes_again_begins_its_list_anew() {
    let peer = Peer::new();
    let offer = list(&[1]).offer(&list(&[1]).encode());
    assert_eq!(peer.window.offered(0, &offer), Err(Fault::Number(0)));
    let long = Offer { list: 100_000, ..offer };
    assert_eq!(peer.window.offered(3, &long), Ok(Admission::Listing));
    drop(peer.chunk(3, 0, CHUNK_DATA).unwrap());
    assert_eq!(peer.window.offered(3, &long), Ok(Admission::Again));
    drop(peer.chunk(3, 0, CHUNK_DATA).unwrap());
    is(peer.chunk(3, 0, CHUNK_DATA), Fault::Order(3));
}

#[test]
fn a_list_s_chunks_come_in_order_full_and_not_beyond_its_end() {
    let offer = Offer { files: 1, folders: 0, bytes: 1, list: 100_000, digest: DIGEST };
    let rest = 100_000 - CHUNK_DATA;
    for (position, len, fault) in [
        (1, CHUNK_DATA, Fault::Order(1)),
        (0, CHUNK_DATA - 1, Fault::Size(1)),
        (0, 1, Fault::Size(1)),
        (100_000, 1, Fault::Order(1)),
    ] {
        let peer = Peer::new();
        peer.window.offered(1, &offer).unwrap();
        is(peer.chunk(1, position, len), fault);
    }
    let peer = Peer::new();
    peer.window.offered(1, &offer).unwrap();
    assert!(matches!(peer.chunk(1, 0, CHUNK_DATA), Ok(Delivered::Taken)));
    is(peer.end(1, CHUNK_DATA as u64, FileStatus::Whole), Fault::Order(1));
    is(peer.chunk(1, 0, CHUNK_DATA), Fault::Order(1));
    is(peer.chunk(1, CHUNK_DATA as u64, rest + 1), Fault::Size(1));
    assert!(
        matches!(peer.chunk(1, CHUNK_DATA as u64, rest), Ok(Delivered::ListComplete(1, bytes)) if bytes.len() == 100_000)
    );
}

#[test]
fn chunks_and_ends_out_of_place_are_faults() {
    let list = list(&[100_000, 0, 5]);
    let at = |offset: u64| list.data_start() + offset;
    let rest = 100_000 - CHUNK_DATA;
    let full = CHUNK_DATA as u64;
    type Act = (u64, usize);
    const END: usize = 0;
    let table: [(&[Act], Act, Fault); 11] = [
        (&[], (1, CHUNK_DATA), Fault::Order(1)),
        (&[], (0, CHUNK_DATA - 1), Fault::Size(1)),
        (&[], (0, END), Fault::Order(1)),
        (&[(0, CHUNK_DATA)], (0, CHUNK_DATA), Fault::Order(1)),
        (&[(0, CHUNK_DATA)], (full, CHUNK_DATA), Fault::Size(1)),
        (&[(0, CHUNK_DATA), (full, rest)], (100_000, 5), Fault::Size(1)),
        (&[(0, CHUNK_DATA), (full, rest)], (101_024, END), Fault::Order(1)),
        (&[(0, CHUNK_DATA), (full, rest), (100_000, END)], (101_024, 5), Fault::Size(1)),
        (&[(0, CHUNK_DATA), (full, rest), (100_000, END)], (100_000, END), Fault::Order(1)),
        (&[(0, CHUNK_DATA), (full, rest), (100_000, END), (101_024, END), (102_048, 5)], (102_053, 5), Fault::Size(1)),
        (
            &[(0, CHUNK_DATA), (full, rest), (100_000, END), (101_024, END), (102_048, 5), (102_053, END)],
            (103_077, END),
            Fault::Order(1),
        ),
    ];
    for (before, (position, len), fault) in table {
        let peer = Peer::new();
        let _worker = peer.run(1, &list);
        for (position, len) in before {
            match *len {
                END => peer.end(1, at(*position), FileStatus::Whole).unwrap(),
                len => drop(peer.chunk(1, at(*position), len).unwrap()),
            }
        }
        match len {
            END => is(peer.end(1, at(position), FileStatus::Whole), fault),
            len => is(peer.chunk(1, at(position), len), fault),
        }
    }
}

#[test]
fn a_file_that_failed_may_end_anywhere_and_the_next_follows_at_its_own_start() {
    let peer = Peer::new();
    let list = list(&[100_000, 5]);
    let _worker = peer.run(1, &list);
    let start = list.data_start();
    drop(peer.chunk(1, start, CHUNK_DATA).unwrap());
    peer.end(1, start + CHUNK_DATA as u64, FileStatus::Changed).unwrap();
    is(peer.chunk(1, start + CHUNK_DATA as u64 + 1024, 5), Fault::Order(1));
    drop(peer.chunk(1, start + 101_024, 5).unwrap());
}

#[test]
fn nothing_goes_beyond_the_credit_and_the_credit_follows_the_disk() {
    let peer = Peer::new();
    let list = list(&[1 << 40]);
    let worker = peer.run(1, &list);
    let start = list.data_start();
    assert_eq!(peer.credits(), [(1, start, start + WINDOW)]);
    let mut position = start;
    while peer.chunk(1, position, CHUNK_DATA).map(drop) == Ok(()) {
        position += CHUNK_DATA as u64;
    }
    is(peer.chunk(1, position, CHUNK_DATA), Fault::Credit(1));
    assert!(position <= start + WINDOW && position + CHUNK_DATA as u64 > start + WINDOW);
    assert_eq!(worker.try_iter().count() as u64, (position - start) / CHUNK_DATA as u64);
    peer.window.durable(1, start + WINDOW / 8);
    assert_eq!(peer.credits(), [(1, start + WINDOW / 8, start + WINDOW + WINDOW / 8)]);
    drop(peer.chunk(1, position, CHUNK_DATA).unwrap());
}

#[test]
fn an_end_needs_its_whole_weight_of_credit() {
    let peer = Peer::new();
    let list = list(&[WINDOW - 1023, 1]);
    let _worker = peer.run(1, &list);
    let start = list.data_start();
    let mut position = start;
    while position < start + WINDOW - 1023 {
        let len = (start + WINDOW - 1023 - position).min(CHUNK_DATA as u64);
        drop(peer.chunk(1, position, usize::try_from(len).unwrap()).unwrap());
        position += len;
    }
    is(peer.end(1, position, FileStatus::Whole), Fault::Credit(1));
}

#[test]
fn the_window_is_shared_and_never_exceeded_but_for_one_piece_each() {
    let peer = Peer::new();
    let list = list(&[1 << 40]);
    let start = list.data_start();
    let mut told = BTreeMap::new();
    let mut workers = Vec::new();
    let mut durable = BTreeMap::new();
    for id in 1..=OPEN_TRANSFERS as u32 {
        workers.push(peer.run(id, &list));
        durable.insert(id, start);
        // The first goes on a little, so that shares move.
        drop(peer.chunk(id, start, CHUNK_DATA).unwrap());
        peer.window.durable(id, start + CHUNK_DATA as u64);
        durable.insert(id, start + CHUNK_DATA as u64);
        for (id, _, limit) in peer.credits() {
            let before = told.insert(id, limit);
            assert!(before.is_none_or(|before| before <= limit), "a limit never falls");
        }
        let granted: u64 = told.iter().map(|(id, limit)| limit - durable[id]).sum();
        assert!(granted <= WINDOW + u64::from(id) * LEAST_GRANT, "{granted} for {id}");
        assert!(told[&id] >= start + LEAST_GRANT, "none starves");
    }
    // The first gives back as its data reaches the disk, and the others get their share.
    let mut position = start + CHUNK_DATA as u64;
    while peer.chunk(1, position, CHUNK_DATA).map(drop) == Ok(()) {
        position += CHUNK_DATA as u64;
    }
    peer.window.durable(1, position);
    durable.insert(1, position);
    for (id, _, limit) in peer.credits() {
        told.insert(id, limit);
    }
    let share = WINDOW / OPEN_TRANSFERS as u64;
    for (id, limit) in &told {
        assert!(limit - durable[id] >= share - share / STEPS, "{id}: {}", limit - durable[id]);
    }
}

#[test]
fn more_transfers_or_lists_than_may_be_open_are_to_be_declined() {
    let peer = Peer::new();
    let small = Offer { files: 1, folders: 0, bytes: 1, list: 10, digest: DIGEST };
    for id in 1..=OPEN_MOST as u32 {
        assert_eq!(peer.window.offered(id, &small), Ok(Admission::Listing));
    }
    let next = OPEN_MOST as u32 + 1;
    assert_eq!(peer.window.offered(next, &small), Ok(Admission::TooMuch));
    // Its list, which is on its way already, is dropped.
    assert!(matches!(peer.chunk(next, 0, 10), Ok(Delivered::Taken)));
    peer.window.closed(1);
    assert_eq!(peer.window.offered(next + 1, &small), Ok(Admission::Listing));

    let peer = Peer::new();
    let large = Offer { list: LIST_BYTES, ..small };
    assert_eq!(peer.window.offered(1, &large), Ok(Admission::Listing));
    assert_eq!(peer.window.offered(2, &large), Ok(Admission::Listing));
    assert_eq!(peer.window.offered(3, &large), Ok(Admission::TooMuch));
    peer.window.closed(1);
    assert_eq!(peer.window.offered(4, &large), Ok(Admission::Listing));
}

#[test]
fn a_peer_that_never_confirms_is_stopped() {
    let peer = Peer::new();
    let offer = Offer { files: 1, folders: 0, bytes: 1, list: 10, digest: DIGEST };
    let fault = (1..).find_map(|id| {
        let result = peer.window.offered(id, &offer);
        peer.window.ending(id);
        result.err().map(|fault| (id as usize, fault))
    });
    assert_eq!(fault, Some((ROUTES + 1, Fault::TooMany)));
}

#[test]
fn a_worker_that_hangs_keeps_its_place_in_the_accounts() {
    let peer = Peer::new();
    let list = list(&[1 << 40]);
    let seat = peer.window.seat(1, 100);
    let _worker = peer.run(1, &list);
    peer.window.ending(1);
    peer.window.closed(1);
    let _other = peer.run(2, &list);
    let start = list.data_start();
    // The whole window is still with the first.
    let (id, durable, limit) = *peer.credits().last().unwrap();
    assert_eq!((id, durable, limit), (2, start, start + LEAST_GRANT));
    drop(seat);
    assert_eq!(peer.credits(), [(2, start, start + WINDOW)]);
}

#[test]
fn what_still_comes_for_a_transfer_that_ended_is_dropped() {
    let peer = Peer::new();
    let list = list(&[1 << 20]);
    let worker = peer.run(1, &list);
    peer.window.ending(1);
    assert!(matches!(peer.chunk(1, 12, 34), Ok(Delivered::Taken)));
    assert_eq!(peer.end(1, 12, FileStatus::Whole), Ok(()));
    peer.window.closed(1);
    assert!(matches!(peer.chunk(1, 12, 34), Ok(Delivered::Taken)));
    assert_eq!(worker.try_iter().count(), 0);
}

#[test]
fn a_restart_names_the_next_position_of_every_transfer_that_was_open() {
    let peer = Peer::new();
    let files = list(&[1 << 40]);
    let start = files.data_start();
    let _worker = peer.run(1, &files);
    drop(peer.chunk(1, start, CHUNK_DATA).unwrap());
    peer.list(2, &files);
    let long = Offer { files: 1, folders: 0, bytes: 1, list: 100_000, digest: DIGEST };
    peer.window.offered(3, &long).unwrap();
    drop(peer.chunk(3, 0, CHUNK_DATA).unwrap());
    peer.list(4, &files);
    peer.window.ending(4);
    peer.window.disconnected();
    // What becomes durable meanwhile is told to nobody, and no credit is lost by it.
    peer.window.durable(1, start + CHUNK_DATA as u64);
    // The new connection's reader may be faster than the owner.
    peer.window.offered(5, &long).unwrap();
    let send_queue = Arc::new(SendQueue::new());
    peer.window.resumed(Arc::clone(&send_queue));
    let full = CHUNK_DATA as u64;
    let expected = [
        Frame::Restart { transfer: 1, position: start + full, limit: start + full + WINDOW },
        Frame::Restart { transfer: 2, position: start, limit: start },
        Frame::Restart { transfer: 3, position: full, limit: 100_000 },
    ];
    assert_eq!(send_queue.take(1).unwrap().frames, expected);
}

#[test]
fn a_first_piece_at_the_file_s_start_moves_the_credit_there_too() {
    let list = list(&[1 << 40]);
    let start = list.data_start();
    let accepted = start + (1 << 30);
    let peer = Peer::new();
    peer.list(1, &list);
    let _worker = peer.open(1, &list, accepted);
    assert_eq!(peer.credits(), [(1, accepted, accepted + WINDOW)]);
    // Nothing more is told till then, whatever others do.
    peer.list(2, &list);
    peer.window.closed(2);
    assert_eq!(peer.credits(), []);
    let mut position = start;
    while peer.chunk(1, position, CHUNK_DATA).map(drop) == Ok(()) {
        position += CHUNK_DATA as u64;
    }
    assert!(position <= start + WINDOW, "the gigabyte between counts for nothing");
    peer.window.durable(1, start + WINDOW / 2);
    assert_eq!(peer.credits(), [(1, start + WINDOW / 2, start + WINDOW / 2 + WINDOW)]);
}

#[test]
fn only_the_first_piece_may_go_back() {
    let list = list(&[1 << 40]);
    let start = list.data_start();
    let accepted = start + (1 << 30);
    for first in [start, accepted] {
        let peer = Peer::new();
        peer.list(1, &list);
        let _worker = peer.open(1, &list, accepted);
        drop(peer.chunk(1, first, CHUNK_DATA).unwrap());
        is(peer.chunk(1, start, CHUNK_DATA), Fault::Order(1));
    }
}
