//! Offers from the first word to the last.

use super::*;
use crate::command::CommandError;
use crate::notice::{Info, TransferState};
use crate::transfer::download::Broken;

/// A responder to whom transfer 1 is offered, its list looked at.
fn offered(rules: Rules, looked: DownloadReport) -> Side {
    let mut side = Side::responder(rules);
    side.session.control(1, Control::Offer { transfer: 1, offer: an_offer() }).unwrap();
    side.session.listed(1, Vec::new());
    side.perform();
    side.flow.insert(1, false);
    side.work.clear();
    side.session.download(1, looked);
    side.perform();
    side
}

fn looked_with(needed: u64, recorded_dest: Option<PathBuf>) -> DownloadReport {
    let manifest = manifest_of("file");
    let free = Some(1_000);
    DownloadReport::Looked(Looked { manifest, clashes: 0, free, needed, recorded_dest, elsewhere: None })
}

fn accepting(accept: AcceptRule) -> Rules {
    Rules { accept, ..rules(300) }
}

#[test]
fn a_number_is_one_transfer_to_both() {
    let mut pair = Pair::connected(rules(300));
    pair.sides[0].enter("/send file");
    pair.sides[1].enter("/send file");
    pair.quiesce();
    for side in &mut pair.sides {
        let rows = side.session.transfers(|_, _| (0, 0));
        let mut numbers: Vec<_> = rows.iter().map(|row| row.transfer).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2]);
        side.answer(true);
    }
    pair.quiesce();
    for side in &pair.sides {
        let mut ends = side.ends();
        ends.sort_unstable();
        assert_eq!(ends, [(1, "done"), (2, "done")]);
    }
    let downloads = |side: usize| &pair.sides[side].acknowledged_downloads[..];
    assert_eq!((downloads(0), downloads(1)), (&[2][..], &[1][..]));
}

#[test]
fn offers_go_out_in_the_order_of_their_numbers() {
    let mut side = Side::responder(rules(300));
    for name in ["a", "b", "c"] {
        side.enter(&format!("/send {name}"));
    }
    side.work(2);
    side.work(1);
    assert!(side.controls().is_empty());
    side.enter("/cancel 4");
    side.work(0);
    let offers: Vec<_> = side
        .controls()
        .into_iter()
        .map(|control| if let Control::Offer { transfer, .. } = control { *transfer } else { panic!("{control:?}") })
        .collect();
    assert_eq!(offers, [2, 6]);
    assert_eq!(side.ends(), [(4, "cancelled")]);
}

#[test]
fn offers_that_are_looked_at_together_are_not_promised_the_same_room() {
    let mut side = offered(accepting(AcceptRule::Always), looked_with(600, None));
    for transfer in [3, 5] {
        side.session.control(2 + u64::from(transfer == 5), Control::Offer { transfer, offer: an_offer() }).unwrap();
        side.session.listed(transfer, Vec::new());
    }
    side.session.download(3, looked_with(600, None));
    side.session.download(5, looked_with(400, None));
    side.perform();
    assert_eq!(side.ends(), [(3, "declined")]);
}

#[test]
fn a_send_that_comes_to_nothing_uses_up_no_number() {
    let mut side = Side::responder(rules(300));
    for gone in [[2, 4], [4, 2]] {
        side.enter("/send a");
        side.enter("/send b");
        for transfer in gone {
            let unsendable = UploadReport::Unsendable(CommandError::new("no-such-file", "no such file"));
            side.session.upload(transfer, unsendable);
        }
    }
    side.enter("/send c");
    assert!(side.session.uploads.keys().eq([&2]));
}

#[test]
fn what_becomes_of_an_offer_is_the_user_s_word() {
    let taken = |side: &Side| matches!(side.work[..], [Work::Prepare(1)]);
    for (answer, takes) in [("/accept", true), ("/accept 1 /tmp", true), ("/decline 1", false), ("/cancel", false)] {
        let mut side = offered(rules(300), looked());
        assert!(matches!(side.questions[..], [(_, Question::Accept { transfer: 1, .. })]));
        side.enter(answer);
        assert_eq!((taken(&side), side.questions.len()), (takes, 0), "{answer}");
    }
    // What does not fit is the user's risk.
    let mut side = offered(rules(300), looked_with(2_000, Some("/before".into())));
    assert!(
        matches!(&side.questions[..], [(_, Question::Accept { dest: Some(dest), .. })] if dest.ends_with("before"))
    );
    side.answer(true);
    assert!(taken(&side));
}

#[test]
fn several_questions_are_answered_in_any_order_and_each_once() {
    let mut side = Side::responder(rules(300));
    for transfer in [1, 3] {
        let seq = u64::from(transfer).div_ceil(2);
        side.session.control(seq, Control::Offer { transfer, offer: an_offer() }).unwrap();
        side.session.listed(transfer, Vec::new());
        side.session.download(transfer, looked());
    }
    side.perform();
    let ids: Vec<u64> = side.questions.iter().map(|(id, _)| *id).collect();
    side.enter("/accept");
    assert_eq!(side.errors(), ["no-such-transfer"]);
    side.answer(false);
    side.session.input(Input::Answer { id: ids[1], yes: true });
    side.session.input(Input::Answer { id: 77, yes: true });
    side.perform();
    assert_eq!(side.questions.len(), 1);
    assert_eq!(side.ends(), [(3, "declined")]);
    // The offerer takes the other back, and the question with it.
    let text = String::new();
    side.session.control(3, Control::Cancel { transfer: 1, reason: Reason::User, text }).unwrap();
    side.session.input(Input::Answer { id: ids[0], yes: true });
    side.perform();
    assert!(side.questions.is_empty() && side.work.is_empty());
}

#[test]
fn a_user_s_cancel_removes_what_came_and_a_broken_download_keeps_it() {
    let running = || {
        let mut side = offered(accepting(AcceptRule::Always), looked());
        side.work(0);
        side
    };
    let mut side = running();
    side.enter("/cancel 1");
    assert_eq!((&side.stopped[..], side.ends()), (&[(1, true)][..], vec![(1, "cancelled")]));
    let broken = || {
        DownloadReport::Broken(Broken {
            reason: Reason::Space,
            text: "/home/u/file: no space".into(),
            told: "file: no space".into(),
            part: Some("/home/u/.p2pchat-X".into()),
        })
    };
    let mut side = running();
    side.session.download(1, broken());
    side.perform();
    assert_eq!((&side.stopped[..], side.ends()), (&[(1, false)][..], vec![(1, "failed")]));
    assert!(matches!(side.notices.last(), Some(Notice::Failed { part: Some(part), .. }) if part.raw().ends_with("-X")));
    let Some(Control::Cancel { text, .. }) = side.controls().pop() else { panic!() };
    assert_eq!(text, "file: no space");
}

#[test]
fn files_wait_for_a_frontend_that_is_not_read() {
    let mut side = offered(accepting(AcceptRule::Always), looked());
    side.work(0);
    let mut files = 0;
    while !side.paused.1 {
        let (path, digest) = ("file".into(), [0; 32]);
        let file = Published::File { path, bytes: 0, digest, offered: None };
        side.session.download(1, DownloadReport::Published(vec![file]));
        side.perform();
        files += 1;
    }
    assert!(files <= UNSHOWN);
    side.show(UNSHOWN);
    assert_eq!(side.paused, (false, false));
}

#[test]
fn names_come_by_pages() {
    let mut bytes = Vec::new();
    for number in 0..250 {
        bytes.extend(list(&format!("{number:0200}")));
    }
    let manifest = manifest::read(&bytes).unwrap();
    let page = |from| match transfer_notices::names_page(&manifest, 1, from) {
        Info::Names { from, total, names, .. } => (from, total, names.len()),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        [page(0), page(101), page(201), page(900)],
        [(1, 250, 100), (101, 250, 100), (201, 250, 50), (250, 250, 1)]
    );
}

#[test]
fn what_is_left_out_or_failed_is_named_and_makes_the_session_incomplete() {
    let left_out = LeftOut { named: vec![("/x/fifo".into(), "a pipe".into())], more: 2 };
    let mut side = Side::responder(rules(300));
    side.enter("/send x");
    side.session.upload(2, UploadReport::Scanned { offer: an_offer(), list: manifest_of("x"), left_out });
    side.perform();
    let left: Vec<_> = side
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::LeftOut { path, count, .. } => Some((path.as_ref().map(PeerText::raw), *count)),
            _ => None,
        })
        .collect();
    assert_eq!(left, [(Some("/x/fifo"), 1), (None, 2)]);
    assert!(side.session.incomplete);
    let mut side = offered(accepting(AcceptRule::Always), looked());
    side.work(0);
    let failed = Published::Failed { offered: "a".into(), text: "too large".into() };
    side.session.download(1, DownloadReport::Published(vec![failed]));
    side.perform();
    assert!(matches!(side.notices.last(), Some(Notice::Failed { path: Some(path), .. }) if path.raw() == "a"));
    assert!(side.session.incomplete);
}

#[test]
fn states_of_transfers_are_told_as_they_are() {
    let mut side = Side::responder(rules(300));
    let states =
        |side: &Side| -> Vec<_> { side.session.transfers(|_, _| (0, 0)).iter().map(|row| row.state).collect() };
    side.enter("/send a");
    assert_eq!(states(&side), [TransferState::Preparing]);
    side.work(0);
    assert_eq!(states(&side), [TransferState::Offered]);
    side.session.control(1, Control::Accept { transfer: 2, position: 40, digest: NO_DIGEST }).unwrap();
    assert_eq!(states(&side), [TransferState::Running]);
    side.session.control(2, Control::Offer { transfer: 1, offer: an_offer() }).unwrap();
    side.session.listed(1, Vec::new());
    assert_eq!(states(&side)[1], TransferState::Arriving);
    side.session.download(1, looked());
    assert_eq!(states(&side)[1], TransferState::Asking);
}
