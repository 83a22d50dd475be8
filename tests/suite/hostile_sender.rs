//! A sender that means harm: names that lead elsewhere, lists that lie, data that was never agreed on. Nothing outside the
//! receiving folder changes, nothing in it is replaced, and nothing unfinished gets a name.

use crate::support::files::{List, content, tree};
use crate::support::{Attacker, Home, Peer, text};
use p2pchat::protocol::frame::{CHUNK_DATA, Control, FileStatus, Frame, Reason};
use std::collections::BTreeMap;
use std::fs;

/// What a position gains by the end of a file.
const END: u64 = p2pchat::protocol::frame::FILE_END_WEIGHT;

/// A receiver that takes everything, and whoever sends to it.
struct Scene {
    ana: Peer,
    eve: Attacker,
    before: BTreeMap<String, Option<Vec<u8>>>,
    /// The position up to which data may go.
    limit: u64,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new();
        fs::write(home.inbox().join("mine"), "mine").unwrap();
        fs::write(home.work().join("outside"), "outside").unwrap();
        let ana = home.listen("ana", &["--accept", "always", "--reconnect", "0"]);
        let eve = Attacker::meet(ana.addr(), "eve");
        ana.event("connected");
        let before = Self::files(&ana);
        Self { ana, eve, before, limit: 0 }
    }

    /// All that the user has but the program's own data.
    fn files(ana: &Peer) -> BTreeMap<String, Option<Vec<u8>>> {
        let all = tree(ana.home().inbox().parent().unwrap());
        all.into_iter().filter(|(name, _)| !name.starts_with("data/")).collect()
    }

    /// Nothing new but partials, nothing changed.
    #[track_caller]
    fn is_untouched(&self) {
        let is_partial = |name: &str| name.starts_with("inbox/.p2pchat-");
        let after: BTreeMap<_, _> = Self::files(&self.ana).into_iter().filter(|(name, _)| !is_partial(name)).collect();
        assert_eq!(after, self.before);
    }

    /// The program ended the session, and says whose fault it is.
    #[track_caller]
    fn ends_as_a_fault(mut self) {
        self.eve.read_to_end();
        self.ana.ends_with(1);
        assert_eq!(self.ana.event("error")["code"], "protocol");
        assert!(self.ana.all("done").is_empty());
        self.is_untouched();
    }

    /// Offers one file and has it accepted; gives the position of its data.
    fn accepted(&mut self, name: &str, size: u64) -> u64 {
        let list = List::default().file(name, size);
        self.take(&list)
    }

    /// Offers a list and has it accepted, up to the first credit; gives the position of its data.
    fn take(&mut self, list: &List) -> u64 {
        self.eve.offer(1, list);
        assert_eq!(self.eve.answer(1), Some(true));
        let credit = self.eve.read_to(|frame| matches!(frame, Frame::Credit { transfer: 1, .. }));
        let Some(Frame::Credit { limit, .. }) = credit else { panic!("no credit") };
        self.limit = limit;
        list.end()
    }

    fn file_end(&mut self, position: u64, status: FileStatus, digest: [u8; 32]) {
        let _ = self.eve.send(&Frame::FileEnd { transfer: 1, position, status, digest });
    }
}

fn confirm(eve: &mut Attacker, transfer: u32) {
    let reason = Reason::Confirmed;
    eve.control(Control::Cancel { transfer, reason, text: String::new(), by_offerer: true }).unwrap();
}

#[test]
fn the_attacker_can_send_a_file_when_it_behaves() {
    let mut scene = Scene::new();
    let data = content("honest", CHUNK_DATA + 10);
    let start = scene.accepted("honest", data.len() as u64);
    scene.eve.data(1, start, &data);
    scene.file_end(start + data.len() as u64, FileStatus::Whole, *blake3::hash(&data).as_bytes());
    scene.ana.event("done");
    assert_eq!(fs::read(scene.ana.home().inbox().join("honest")).unwrap(), data);
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let long = "x".repeat(255);
    let names = [
        "",
        ".",
        "..",
        "/",
        "/etc/p2pchat-evil",
        "../outside",
        "../../evil",
        "a/b",
        "a\\b",
        "..\\evil",
        "C:\\evil",
        "nul\0byte",
        "line\nbreak",
        "\r",
        "\u{1b}[2J",
        "\u{7f}",
        "\u{9b}2J",
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        "gpj.\u{202e}exe",
        "\u{200e}",
        "zero\u{200b}width",
        "\u{feff}",
        "dot.",
        "space ",
        "...",
        "CON",
        "nul",
        "NUL.txt",
        "com1",
        "LPT9.log",
        "aux.",
    ];
    let mut scene = Scene::new();
    let shapes: [fn(&str) -> List; 4] = [
        |name| List::default().file(name, 1),
        |name| List::default().enter(name).leave(),
        |name| List::default().enter(name).file("inner", 1).leave(),
        |name| List::default().enter("outer").file(name, 1).leave(),
    ];
    let mut transfer = 0;
    for name in names {
        for shape in shapes {
            transfer += 1;
            scene.eve.offer(transfer, &shape(name));
            assert_eq!(scene.eve.answer(transfer), Some(false), "{name:?}");
            confirm(&mut scene.eve, transfer);
        }
    }
    assert!(scene.eve.is_answered());
    scene.is_untouched();
    assert!(scene.ana.all("accepted").is_empty());
    transfer += 1;
    scene.eve.offer(transfer, &List::default().file(&long, 0));
    assert_eq!(scene.eve.answer(transfer), Some(true), "255 bytes are allowed");
}

#[test]
fn two_of_one_name_are_refused() {
    let mut scene = Scene::new();
    let twice = [
        List::default().file("a", 1).file("a", 1),
        List::default().enter("a").leave().file("a", 1),
        List::default().enter("f").enter("a").leave().enter("a").leave().leave(),
    ];
    for (list, transfer) in twice.into_iter().zip(1..) {
        scene.eve.offer(transfer, &list);
        assert_eq!(scene.eve.answer(transfer), Some(false));
    }
    scene.is_untouched();
}

#[test]
fn lists_that_are_none_are_refused() {
    let good = || List::default().file("good", 1);
    let deep = |depth| (0..depth).fold(List::default(), |list, n| list.enter(&format!("d{n}")));
    let closed = |depth| (0..depth).fold(deep(depth), |list, _| list.leave());
    let lists = [
        ("an unknown entry", good().raw(&[9])),
        ("an entry that is cut", good().raw(&[1, 0, 0])),
        ("a folder that is not closed", good().enter("open")),
        ("a folder that was not open", good().leave()),
        ("only an end", List::default().leave()),
        ("a mode beyond 0o777", List::default().file_with(0o4755, 0, "suid", 1)),
        ("a second of two thousand million nanoseconds", List::default().file_with(0o644, 2_000_000_000, "late", 1)),
        ("65 folders in one another", closed(65)),
        ("sizes beyond all positions", List::default().file("huge", u64::MAX)),
        ("sizes whose sum is beyond them", List::default().file("h1", 1 << 62).file("h2", 1 << 62)),
        ("a name that is not UTF-8", good().raw(&[2, 1, 0xed, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xff, 0xfe, 3])),
        ("zeros", List::default().raw(&[0; 100])),
    ];
    for (what, list) in lists {
        let mut scene = Scene::new();
        scene.eve.offer(1, &list);
        assert_ne!(scene.eve.answer(1), Some(true), "{what}");
        scene.is_untouched();
        assert!(scene.ana.all("accepted").is_empty(), "{what}");
    }
}

#[test]
fn offers_that_lie_about_their_list_are_refused() {
    let list = List::default().enter("folder").file("file", 5).leave();
    let honest = list.offer();
    let lies = [
        p2pchat::protocol::frame::Offer { files: 2, ..honest.clone() },
        p2pchat::protocol::frame::Offer { folders: 0, ..honest.clone() },
        p2pchat::protocol::frame::Offer { bytes: 4, ..honest.clone() },
        p2pchat::protocol::frame::Offer { digest: [1; 32], ..honest.clone() },
        p2pchat::protocol::frame::Offer { list: honest.list - 1, ..honest.clone() },
    ];
    for offer in lies {
        let mut scene = Scene::new();
        scene.eve.offer_as(1, offer.clone(), &list.bytes);
        assert_ne!(scene.eve.answer(1), Some(true), "{offer:?}");
        scene.is_untouched();
    }
}

#[test]
fn a_list_of_eight_megabytes_is_the_most() {
    let mut scene = Scene::new();
    let offer = p2pchat::protocol::frame::Offer { list: (8 << 20) + 1, ..List::default().file("x", 1).offer() };
    scene.eve.control(Control::Offer { transfer: 1, offer }).unwrap();
    scene.ends_as_a_fault();
}

#[test]
fn offers_in_great_number_are_bounded() {
    let mut scene = Scene::new();
    // Their lists never come, so none of them can be taken; the first over the limit may be declined, but not for ever.
    for transfer in 1..=2_000 {
        let offer = List::default().file("x", 1).offer();
        let _ = scene.eve.control(Control::Offer { transfer, offer });
    }
    scene.ends_as_a_fault();
}

#[test]
fn transfers_are_numbered_upwards() {
    let mut scene = Scene::new();
    scene.eve.offer(2, &List::default().file("x", 1));
    assert!(scene.eve.answer(2).is_some());
    let offer = List::default().file("y", 1).offer();
    scene.eve.control(Control::Offer { transfer: 1, offer }).unwrap();
    scene.ends_as_a_fault();
}

#[test]
fn existing_files_are_never_replaced() {
    let mut scene = Scene::new();
    let start = scene.accepted("mine", 6);
    scene.eve.data(1, start, b"theirs");
    scene.file_end(start + 6, FileStatus::Whole, *blake3::hash(b"theirs").as_bytes());
    scene.ana.event("done");
    scene.before.insert("inbox/mine (1)".to_owned(), Some(b"theirs".to_vec()));
    scene.is_untouched();
}

#[test]
fn a_name_like_a_partial_lands_under_another() {
    let mut scene = Scene::new();
    let start = scene.accepted(".p2pchat-0123456789abcdef", 1);
    scene.eve.data(1, start, b"x");
    scene.file_end(start + 1, FileStatus::Whole, *blake3::hash(b"x").as_bytes());
    scene.ana.event("done");
    let landed = scene.ana.home().received();
    assert!(landed.iter().all(|name| !name.starts_with(".p2pchat-")), "{landed:?}");
}

#[cfg(unix)]
#[test]
fn links_in_the_folder_are_not_followed() {
    use std::os::unix::fs::symlink;
    let mut scene = Scene::new();
    let (inbox, work) = (scene.ana.home().inbox(), scene.ana.home().work());
    symlink(&work, inbox.join("folder")).unwrap();
    symlink(work.join("made"), inbox.join("dangling")).unwrap();
    symlink(work.join("outside"), inbox.join("link")).unwrap();
    scene.before = Scene::files(&scene.ana);
    let list = List::default().file("dangling", 1).file("link", 1).enter("folder").file("outside", 1).leave();
    scene.take(&list);
    let digest = *blake3::hash(b"x").as_bytes();
    for start in [0, 1 + END, 2 * (1 + END)].map(|offset| list.end() + offset) {
        scene.eve.data(1, start, b"x");
        scene.file_end(start + 1, FileStatus::Whole, digest);
    }
    scene.ana.wait_for(|event| event["event"] == "done" || event["event"] == "failed");
    let after = Scene::files(&scene.ana);
    for (name, data) in &scene.before {
        assert_eq!(after.get(name), Some(data), "{name}");
    }
    assert!(
        after
            .keys()
            .filter(|name| name.starts_with("work/"))
            .eq(scene.before.keys().filter(|name| name.starts_with("work/")))
    );
}

#[test]
fn a_wrong_digest_publishes_nothing() {
    let mut scene = Scene::new();
    let start = scene.accepted("data", 4);
    scene.eve.data(1, start, b"data");
    scene.file_end(start + 4, FileStatus::Whole, [9; 32]);
    scene.ana.event("failed");
    assert!(scene.eve.is_answered());
    scene.is_untouched();
}

#[test]
fn a_file_that_its_sender_gave_up_publishes_nothing() {
    for status in [FileStatus::Changed, FileStatus::Unreadable] {
        let mut scene = Scene::new();
        let start = scene.accepted("data", 400_000);
        scene.eve.data(1, start, &content("half", 2 * CHUNK_DATA));
        scene.file_end(start + 2 * CHUNK_DATA as u64, status, [0; 32]);
        scene.ana.event("failed");
        assert!(scene.eve.is_answered());
        scene.is_untouched();
    }
}

#[test]
fn a_sender_that_vanishes_half_way_publishes_nothing() {
    let mut scene = Scene::new();
    let start = scene.accepted("data", 400_000);
    scene.eve.data(1, start, &content("half", 2 * CHUNK_DATA));
    drop(scene.eve.stream.shutdown(std::net::Shutdown::Both));
    scene.ana.ends_with(5);
    scene.is_untouched();
}

mod data_that_was_not_agreed_on {
    use super::*;

    #[test]
    fn for_no_transfer() {
        let mut scene = Scene::new();
        scene.eve.data(7, 0, b"x");
        scene.ends_as_a_fault();
    }

    #[test]
    fn beyond_its_list() {
        let home = Home::new();
        let ana = home.listen("ana", &["--reconnect", "0"]);
        let mut eve = Attacker::meet(ana.addr(), "eve");
        let list = List::default().file("asked", 10);
        eve.offer(1, &list);
        ana.event("offer");
        eve.data(1, list.end(), b"0123456789");
        let before = Scene::files(&ana);
        Scene { ana, eve, before, limit: 0 }.ends_as_a_fault();
    }

    #[test]
    fn that_leaves_a_gap() {
        let mut scene = Scene::new();
        let start = scene.accepted("data", 400_000);
        scene.eve.data(1, start + CHUNK_DATA as u64, &content("x", CHUNK_DATA));
        scene.ends_as_a_fault();
    }

    #[test]
    fn that_comes_twice() {
        let mut scene = Scene::new();
        let start = scene.accepted("data", 400_000);
        scene.eve.data(1, start, &content("x", CHUNK_DATA));
        scene.eve.data(1, start, &content("x", CHUNK_DATA));
        scene.ends_as_a_fault();
    }

    #[test]
    fn that_goes_back_into_the_list() {
        let mut scene = Scene::new();
        scene.accepted("data", 400_000);
        scene.eve.data(1, 0, b"x");
        scene.ends_as_a_fault();
    }

    #[test]
    fn that_is_cut_small() {
        let mut scene = Scene::new();
        let start = scene.accepted("data", 400_000);
        scene.eve.data(1, start, b"a small piece in the middle");
        scene.ends_as_a_fault();
    }

    #[test]
    fn that_crosses_the_end_of_its_file() {
        let mut scene = Scene::new();
        let start = scene.accepted("data", 10);
        scene.eve.data(1, start, b"0123456789a");
        scene.ends_as_a_fault();
    }

    #[test]
    fn beyond_the_end_of_everything() {
        let mut scene = Scene::new();
        let start = scene.accepted("data", 1);
        scene.eve.data(1, start, b"x");
        scene.eve.data(1, start + 1 + END, b"x");
        scene.ends_as_a_fault();
    }

    #[test]
    fn an_end_in_the_middle() {
        let mut scene = Scene::new();
        let start = scene.accepted("data", 400_000);
        scene.file_end(start, FileStatus::Whole, [0; 32]);
        scene.ends_as_a_fault();
    }

    #[test]
    fn an_end_that_comes_twice() {
        let mut scene = Scene::new();
        let list = List::default().file("data", 0).file("more", 10);
        scene.take(&list);
        for _ in 0..2 {
            scene.file_end(list.end(), FileStatus::Unreadable, [0; 32]);
        }
        scene.ends_as_a_fault();
    }

    #[test]
    fn beyond_its_credit() {
        let mut scene = Scene::new();
        let start = scene.accepted("huge", 1 << 40);
        assert!(scene.limit - start <= 64 << 20, "a window of {} bytes", scene.limit - start);
        // What reaches the disk moves the window, but never by so much at once.
        let position = start + (1_u64 << 30).next_multiple_of(CHUNK_DATA as u64);
        let _ = scene.eve.send(&Frame::Chunk { transfer: 1, position, data: content("flood", CHUNK_DATA) });
        scene.ends_as_a_fault();
    }
}

#[test]
fn data_after_the_receivers_cancel_is_dropped() {
    let mut scene = Scene::new();
    let start = scene.accepted("data", 400_000);
    scene.eve.data(1, start, &content("x", CHUNK_DATA));
    scene.ana.send("/cancel");
    scene.ana.event("cancelled");
    let cancelled = |frame: &Frame| matches!(frame, Frame::Control { control: Control::Cancel { .. }, .. });
    assert!(scene.eve.read_to(cancelled).is_some());
    scene.eve.data(1, start + CHUNK_DATA as u64, &content("x", CHUNK_DATA));
    assert!(scene.eve.is_answered(), "what was on its way is no fault");
    confirm(&mut scene.eve, 1);
    assert!(scene.eve.is_acknowledged());
    // Control overtakes bulk, so even now some may come; it finds nothing.
    scene.eve.data(1, start + 2 * CHUNK_DATA as u64, &content("x", CHUNK_DATA));
    assert!(scene.eve.is_answered());
    scene.is_untouched();
}

#[test]
fn words_of_the_sender_cannot_imitate_the_program() {
    let mut ana = Home::new().start("ana", &["listen", "127.0.0.1:0", "--accept", "always"]);
    let hint = ana.line(crate::support::peer::Stream::Err, |line| line.contains("p2pchat connect "));
    let addr = hint.split(' ').next_back().unwrap().parse().unwrap();
    let mut eve = Attacker::meet(addr, "eve\u{1b}[31m\n-- verified");
    let text = "\u{1b}]0;title\u{7}\n-- connected to ana (verified)".to_owned();
    eve.offer(1, &List::default().file("data", 400_000));
    assert_eq!(eve.answer(1), Some(true));
    eve.control(Control::Cancel { transfer: 1, reason: Reason::User, text, by_offerer: true }).unwrap();
    eve.control(Control::Bye { reason: p2pchat::protocol::frame::ByeReason::Quit }).unwrap();
    eve.read_to(|frame| matches!(frame, Frame::Control { control: Control::Bye { .. }, .. }));
    eve.send(&Frame::Ack(u64::MAX)).unwrap_or_default();
    drop(eve);
    ana.exit_code();
    let said = ana.lines(crate::support::peer::Stream::Err);
    assert!(said.iter().flat_map(|line| line.chars()).all(|c| !c.is_control()), "{said:?}");
    assert!(
        !said.iter().any(|line| line.starts_with("-- connected to ana") || line.starts_with("-- verified")),
        "{said:?}"
    );
}

#[test]
fn hostile_names_are_json_and_nothing_else() {
    let mut scene = Scene::new();
    scene.eve.offer(1, &List::default().file("\u{1b}[2Jevil\n{\"event\":\"forged\"}", 1));
    assert_eq!(scene.eve.answer(1), Some(false));
    let declined = scene.ana.event("declined");
    assert!(!text(&declined, "reason").contains('\u{1b}'));
    assert!(scene.ana.all("forged").is_empty());
}
