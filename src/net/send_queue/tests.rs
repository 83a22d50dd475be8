//! Claims about the order in which things leave, and about what may.

use super::*;
use crate::channel::{LENGTH, TAG};
use crate::protocol::frame::CHUNK_DATA;
use crate::protocol::frame::{END_WEIGHT, FileStatus, NO_DIGEST};
use std::sync::mpsc;

fn line(text: &str) -> Control {
    Control::Line { action: false, text: text.into() }
}

/// A queue with much credit and this transfer open.
fn queue(transfer: TransferId) -> SendQueue {
    let queue = SendQueue::default();
    queue.open_transfer(transfer);
    queue.peer_credit(1 << 40).unwrap();
    queue
}

fn end(queue: &SendQueue, transfer: TransferId, position: Position) -> Bulk {
    let mut bulk = queue.pool().take(transfer);
    bulk.file_end(position, FileStatus::Whole, [1; 32], position + END_WEIGHT);
    bulk
}

fn begin(queue: &SendQueue, transfer: TransferId, position: Position) -> Bulk {
    let mut bulk = queue.pool().take(transfer);
    bulk.push_begin(position);
    bulk
}

fn push(queue: &SendQueue, bulk: Bulk) {
    queue.push_bulk(&mut vec![bulk]).unwrap();
}

fn frames(batch: Batch) -> Vec<Frame> {
    let mut frames = batch.frames;
    for mut bulk in batch.bulk {
        let decoded = bulk.records_mut().map(|record| Frame::decode(&record[LENGTH..record.len() - TAG]).unwrap());
        frames.extend(decoded);
    }
    frames
}

#[test]
fn a_line_overtakes_bulk_that_came_first() {
    let queue = queue(1);
    for position in 0..4 {
        push(&queue, end(&queue, 1, position));
    }
    queue.control(1, line("hello"));
    let batch = queue.take(2).unwrap();
    assert_eq!(batch.frames, [Frame::Control { seq: 1, control: line("hello") }]);
    assert_eq!(batch.bulk.len(), 2);
}

#[test]
fn a_slot_holds_only_the_latest_value() {
    let queue = SendQueue::default();
    for value in 1..=1000 {
        queue.ack(value);
        queue.pong(value);
        queue.credit(value);
        queue.received(1, value);
        queue.restart(3, value, NO_DIGEST);
    }
    let expected = [
        Frame::Pong(1000),
        Frame::Restart { transfer: 3, position: 1000, digest: NO_DIGEST },
        Frame::Credit { limit: 1000 },
        Frame::Received { transfer: 1, position: 1000 },
        Frame::Ack(1000),
    ];
    assert_eq!(frames(queue.take(1).unwrap()), expected);
}

#[test]
fn restart_and_the_first_credit_and_a_list_follow_the_control_frames_before_them() {
    let queue = SendQueue::default();
    for seq in 1..=4 {
        queue.control(seq, line(&"x".repeat(64_000)));
    }
    queue.restart(1, 5, NO_DIGEST);
    queue.credit(100);
    queue.send_list(2, Arc::from(&b"list"[..]), 0);
    let first = frames(queue.take(4).unwrap());
    assert!(first.len() == 3 && first.iter().all(|frame| matches!(frame, Frame::Control { .. })));
    let second = frames(queue.take(4).unwrap());
    let restart = Frame::Restart { transfer: 1, position: 5, digest: NO_DIGEST };
    let chunk = Frame::Chunk { transfer: 2, position: 0, data: b"list".to_vec() };
    assert_eq!(second[1..], [restart, Frame::Credit { limit: 100 }, chunk]);
}

#[test]
fn bulk_leaves_only_while_its_whole_weight_fits() {
    let queue = SendQueue::default();
    queue.open_transfer(1);
    for position in [10, 20, 30] {
        push(&queue, end(&queue, 1, position));
    }
    queue.ping();
    assert!(queue.take(9).unwrap().bulk.is_empty());
    queue.peer_credit(2 * END_WEIGHT + 1023).unwrap();
    assert_eq!(queue.take(9).unwrap().bulk.len(), 2);
    queue.ping();
    assert!(queue.take(9).unwrap().bulk.is_empty());
    queue.peer_credit(3 * END_WEIGHT).unwrap();
    assert_eq!(queue.take(9).unwrap().bulk.len(), 1);
    assert_eq!(queue.peer_credit(3 * END_WEIGHT - 1), Err(ProtocolError::CreditFell));
    assert_eq!(queue.peer_credit(3 * END_WEIGHT), Ok(()));
}

#[test]
fn lists_need_no_credit_and_take_turns_with_each_other_and_with_bulk() {
    let queue = queue(1);
    push(&queue, begin(&queue, 1, 0));
    push(&queue, end(&queue, 1, 0));
    let list: Arc<[u8]> = vec![7; 2 * CHUNK_DATA + 1].into();
    queue.send_list(2, Arc::clone(&list), 0);
    queue.send_list(4, list, CHUNK_DATA);
    let order: Vec<_> = queue.take(9).unwrap().bulk.iter().map(|bulk| (bulk.transfer(), bulk.weight())).collect();
    assert_eq!(order, [(2, 0), (1, END_WEIGHT), (4, 0), (1, END_WEIGHT), (2, 0), (4, 0), (2, 0)]);
}

#[test]
fn received_is_refused_before_begin_below_an_earlier_one_and_beyond_what_was_sent() {
    let queue = queue(1);
    let wrong = Err(ProtocolError::Position("RECEIVED", 1));
    push(&queue, begin(&queue, 1, 100));
    // It is sent once the writer took it, not before.
    assert_eq!(queue.peer_received(1, 100), wrong);
    push(&queue, end(&queue, 1, 150));
    queue.take(9).unwrap();
    assert_eq!(queue.peer_received(1, 99), wrong);
    assert_eq!(queue.peer_received(1, 150 + END_WEIGHT + 1), wrong);
    assert_eq!(queue.peer_received(1, 150 + END_WEIGHT), Ok(()));
    assert_eq!(queue.peer_received(1, 100), wrong);
    assert_eq!(queue.peer_received(3, 100), Err(ProtocolError::Position("RECEIVED", 3)));
}

#[test]
fn no_bulk_of_a_transfer_follows_its_cancel_and_none_comes_later() {
    let queue = queue(1);
    queue.open_transfer(3);
    for transfer in [1, 3] {
        push(&queue, end(&queue, transfer, 0));
    }
    queue.send_list(1, Arc::from(&b"list"[..]), 0);
    queue
        .control(1, Control::Cancel { transfer: 1, reason: crate::protocol::frame::Reason::User, text: String::new() });
    push(&queue, end(&queue, 1, 0));
    let bulk = queue.take(9).unwrap().bulk;
    assert_eq!(bulk.iter().map(Bulk::transfer).collect::<Vec<_>>(), [3]);
}

#[test]
fn the_worker_is_woken_once_for_half_a_lane_and_when_the_connection_ends() {
    let queue = queue(1);
    let (wake, woken) = mpsc::channel();
    queue.on_room(Arc::new(move || wake.send(()).unwrap_or_default()));
    let mut full: Vec<_> = (0..).map(|position| end(&queue, 1, position)).take(LANE).collect();
    queue.push_bulk(&mut full).unwrap();
    assert_eq!(queue.room(), Ok(0));
    queue.take(ROOM - 1).unwrap();
    assert!(woken.try_recv().is_err());
    queue.take(1).unwrap();
    queue.take(1).unwrap();
    assert_eq!(woken.try_iter().count(), 1);
    queue.close();
    assert_eq!(woken.try_iter().count(), 1);
    assert_eq!(queue.room(), Err(Closed));
    assert_eq!(queue.push_bulk(&mut vec![end(&queue, 1, 0)]), Err(Closed));
    assert!(queue.take(1).is_none());
}

#[test]
fn a_finished_queue_gives_what_it_holds_and_ends() {
    let queue = SendQueue::default();
    queue.control(1, line("last"));
    queue.finish();
    assert_eq!(queue.take(1).unwrap().frames.len(), 1);
    assert!(queue.take(1).is_none());
}

#[test]
fn only_the_answer_to_the_latest_probe_is_one() {
    let queue = SendQueue::default();
    let token = || match frames(queue.take(1).unwrap())[..] {
        [Frame::Ping(token)] => token,
        ref other => panic!("{other:?}"),
    };
    queue.ping();
    assert!(!queue.is_probe(token()));
    queue.probe();
    let first = token();
    assert!(queue.is_probe(first));
    // A ping because of silence does not take the place of the probe.
    queue.ping();
    assert_eq!(token(), first);
    queue.probe();
    assert!(!queue.is_probe(first) && queue.is_probe(token()));
}
