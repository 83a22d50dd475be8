//! Claims about known peers, each with a data directory of its own.

use super::*;
use chrono::TimeZone;
use std::fs::{self, File};
use std::thread;
use store::NEW;

const ALICE: Key = [1; 32];
const BOB: Key = [2; 32];
const MALLORY: Key = [3; 32];
const HERE: &str = "host:5000";

fn at(minute: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 24, 13, minute, 0).unwrap()
}

fn meeting<'a>(key: &'a Key, claimed: &'a str) -> Meeting<'a> {
    Meeting { key, claimed, address: HERE, dialled: true, verified: false, now: at(0) }
}

fn peers() -> (tempfile::TempDir, Peers) {
    let dir = tempfile::tempdir().unwrap();
    let peers = Peers::open(dir.path()).unwrap();
    (dir, peers)
}

fn names(peers: &Peers) -> Vec<&str> {
    peers.iter().map(|peer| peer.name.as_str()).collect()
}

#[test]
fn a_peer_is_new_once_and_known_from_then_on() {
    let (dir, mut peers) = peers();
    let first = peers.met(&meeting(&ALICE, "alice")).unwrap();
    assert_eq!((first.label.as_str(), first.before, first.trust), ("alice", Trust::New, Trust::New));
    assert_eq!((first.first_seen, first.last_seen), (at(0), None));
    let mut peers = Peers::open(dir.path()).unwrap();
    let second = peers.met(&Meeting { now: at(5), ..meeting(&ALICE, "alice") }).unwrap();
    assert_eq!((second.before, second.trust), (Trust::Known, Trust::Known));
    assert_eq!((second.first_seen, second.last_seen), (at(0), Some(at(0))));
    let peer = peers.lookup(&ALICE).unwrap();
    assert_eq!((peer.first_seen, peer.last_seen, peer.address.as_str()), (at(0), at(5), HERE));
}

#[test]
fn a_right_code_verifies_and_nothing_takes_it_back() {
    let (_dir, mut peers) = peers();
    let first = peers.met(&Meeting { verified: true, ..meeting(&ALICE, "alice") }).unwrap();
    assert_eq!((first.before, first.trust), (Trust::New, Trust::Verified));
    let second = peers.met(&meeting(&ALICE, "alice")).unwrap();
    assert_eq!((second.before, second.trust), (Trust::Verified, Trust::Verified));
}

#[test]
fn trust_is_set_by_key_and_only_for_those_in_the_file() {
    let (dir, mut peers) = peers();
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    peers.set_trust(&ALICE, Trust::Verified).unwrap();
    assert_eq!(Peers::open(dir.path()).unwrap().lookup(&ALICE).unwrap().trust, Trust::Verified);
    assert!(matches!(peers.set_trust(&BOB, Trust::Verified), Err(PeersError::Gone)));
}

#[test]
fn a_claimed_name_that_is_taken_gets_a_number_and_a_warning() {
    let (_dir, mut peers) = peers();
    peers.met(&meeting(&ALICE, "root")).unwrap();
    let second = peers.met(&meeting(&BOB, "Root")).unwrap();
    assert_eq!((second.label.as_str(), second.namesake.as_deref()), ("Root (2)", Some("root")));
    assert!(second.warning().unwrap().as_str().contains("Root (2)"));
    assert_eq!(peers.met(&meeting(&MALLORY, "root")).unwrap().label, "root (3)");
    let again = peers.met(&meeting(&BOB, "root")).unwrap();
    assert_eq!((again.label.as_str(), again.warning()), ("Root (2)", None));
}

#[test]
fn a_hostile_name_stays_one_line_and_one_peer() {
    let hostile =
        ["a\nmallory", "\u{1b}[2J", "# comment", "\"", "-", "a\u{202e}b", "  root  ", "", " ", "root\u{200b}", "a\\"];
    let (dir, mut peers) = peers();
    peers.met(&meeting(&ALICE, "root")).unwrap();
    for (claimed, number) in hostile.into_iter().zip(100u8..) {
        peers.met(&meeting(&[number; 32], claimed)).unwrap();
    }
    let read = Peers::open(dir.path()).unwrap();
    assert_eq!(read.problems(), []);
    assert_eq!(names(&read), names(&peers));
    assert_eq!(read.iter().count(), hostile.len() + 1);
    let name = |number| read.lookup(&[number; 32]).unwrap().name;
    assert_eq!((name(100), name(106), name(107)), ("a\u{fffd}mallory".into(), "root (2)".into(), "unnamed".into()));
    assert!(read.iter().all(|peer| SafeText::clean(&peer.name).as_str() == peer.name));
}

#[test]
fn forgetting_makes_a_peer_new_again() {
    let (_dir, mut peers) = peers();
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    assert_eq!(peers.forget("alice").unwrap().key, ALICE);
    assert_eq!(peers.met(&meeting(&ALICE, "alice")).unwrap().before, Trust::New);
    assert!(matches!(peers.forget("bob"), Err(PeersError::NoSuchPeer { .. })));
}

#[test]
fn renaming_keeps_the_key_and_no_two_names_are_alike() {
    let (_dir, mut peers) = peers();
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    peers.met(&meeting(&BOB, "bob")).unwrap();
    peers.rename("alice", "my alice").unwrap();
    assert_eq!(peers.by_name("my alice").unwrap().key, ALICE);
    peers.rename("my alice", "My Alice").unwrap();
    assert!(matches!(peers.rename("bob", "my alice"), Err(PeersError::NameTaken { .. })));
    assert!(matches!(peers.rename("carol", "dave"), Err(PeersError::NoSuchPeer { .. })));
    for bad in ["", " ", "a ", "a\nb", "\u{202e}a"] {
        assert!(matches!(peers.rename("bob", bad), Err(PeersError::BadName { .. })), "{bad:?}");
    }
    assert_eq!(peers.met(&meeting(&ALICE, "alice")).unwrap().label, "My Alice");
}

#[test]
fn a_failed_change_writes_nothing() {
    let (dir, mut peers) = peers();
    peers.forget("nobody").unwrap_err();
    assert!(!dir.path().join(FILE).exists());
}

#[test]
fn what_a_person_wrote_stays() {
    let dir = tempfile::tempdir().unwrap();
    let text = "# my peers\nnot a peer\n\n# end\n";
    fs::write(dir.path().join(FILE), text).unwrap();
    let mut peers = Peers::open(dir.path()).unwrap();
    assert_eq!(peers.problems().iter().map(|problem| problem.line).collect::<Vec<_>>(), [2]);
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    assert!(fs::read_to_string(peers.path()).unwrap().starts_with(&format!("{text}alice ")));
}

#[test]
fn a_new_file_explains_itself_and_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let mut peers = Peers::open(&dir.path().join("data/p2pchat")).unwrap();
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    let text = fs::read_to_string(peers.path()).unwrap();
    assert!(text.starts_with("# peers"), "{text}");
    assert!(text.ends_with(&format!(
        "\nalice {} known 2026-11-24T13:00:00Z 2026-11-24T13:00:00Z host:5000 host:5000\n",
        "01".repeat(32)
    )));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&peers.path()), mode(path_dir(&peers.path()))), (0o600, 0o700));
    }
}

#[cfg(unix)]
fn path_dir(path: &Path) -> &Path {
    path.parent().unwrap()
}

#[test]
fn what_a_crash_left_behind_is_no_hindrance() {
    let (dir, mut peers) = peers();
    fs::write(dir.path().join(NEW), "half a li").unwrap();
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    assert_eq!(names(&Peers::open(dir.path()).unwrap()), ["alice"]);
    assert!(!dir.path().join(NEW).exists());
}

#[test]
fn a_file_beyond_the_limit_is_refused_and_untouched() {
    let (dir, mut peers) = peers();
    File::create(dir.path().join(FILE)).unwrap().set_len(FILE_BYTES + 1).unwrap();
    assert!(matches!(Peers::open(dir.path()), Err(PeersError::TooLarge { .. })));
    assert!(matches!(peers.met(&meeting(&ALICE, "alice")), Err(PeersError::TooLarge { .. })));
    assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().len(), FILE_BYTES + 1);
}

#[test]
fn an_error_names_the_path() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(FILE)).unwrap();
    let error = Peers::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains(&dir.path().join(FILE).display().to_string()), "{error}");
}

/// Handles of their own, as two processes have: the lock is what keeps them apart, not this program's memory.
#[test]
fn writers_at_once_lose_nothing_of_each_other() {
    const WRITERS: u8 = 8;
    const EACH: u8 = 10;
    let (dir, mut peers) = peers();
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mut peers = Peers::open(dir.path()).unwrap();
            scope.spawn(move || {
                for number in 0..EACH {
                    let key = [10 + writer * EACH + number; 32];
                    peers.met(&meeting(&key, &format!("peer {writer}"))).unwrap();
                    peers.set_trust(&ALICE, Trust::Verified).unwrap();
                }
            });
        }
    });
    let peers = Peers::open(dir.path()).unwrap();
    assert_eq!(peers.problems(), []);
    assert_eq!(peers.iter().count(), 1 + usize::from(WRITERS) * usize::from(EACH));
    assert_eq!(peers.lookup(&ALICE).unwrap().trust, Trust::Verified);
    assert!(peers.by_name("peer 7 (10)").is_some());
}

#[test]
fn a_reader_beside_a_writer_sees_whole_files() {
    let (dir, mut peers) = peers();
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    thread::scope(|scope| {
        let writer =
            scope.spawn(move || (10..60u8).for_each(|key| drop(peers.met(&meeting(&[key; 32], "x")).unwrap())));
        loop {
            let finished = writer.is_finished();
            let read = Peers::open(dir.path()).unwrap();
            assert!(read.problems().is_empty() && read.lookup(&ALICE).is_some());
            if finished {
                assert_eq!(read.iter().count(), 51);
                break;
            }
        }
    });
}

#[test]
fn an_address_belongs_to_who_answered_last_and_to_who_was_verified() {
    let (_dir, mut peers) = peers();
    let here = |peers: &Peers| peers.at_address("HOST:5000").into_iter().map(|peer| peer.name).collect::<Vec<_>>();
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    peers.met(&meeting(&BOB, "bob")).unwrap();
    assert_eq!(here(&peers), ["bob"]);
    peers.set_trust(&BOB, Trust::Verified).unwrap();
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    assert_eq!(here(&peers), ["alice", "bob"]);
}

#[test]
fn a_call_that_comes_in_does_not_change_who_is_expected_where() {
    let (_dir, mut peers) = peers();
    peers.met(&Meeting { verified: true, ..meeting(&ALICE, "alice") }).unwrap();
    let call = Meeting { dialled: false, address: "10.0.0.9:49152", ..meeting(&ALICE, "alice") };
    peers.met(&call).unwrap();
    peers.met(&Meeting { address: HERE, key: &BOB, ..call }).unwrap();
    assert_eq!(peers.lookup(&ALICE).unwrap().address, "10.0.0.9:49152");
    assert_eq!(peers.at_address(HERE).len(), 1);
    assert!(peers.check_dialled(HERE, None, &MALLORY).is_err());
}

#[test]
fn dialled_addresses_are_bounded_and_the_oldest_gives_way() {
    let (_dir, mut peers) = peers();
    for number in 0..=DIALLED {
        peers.met(&Meeting { address: &format!("host:{number}"), ..meeting(&ALICE, "alice") }).unwrap();
    }
    assert_eq!(peers.lookup(&ALICE).unwrap().dialled.len(), DIALLED);
    assert!(peers.at_address("host:0").is_empty());
    assert_eq!(peers.at_address("host:8").len(), 1);
}

#[test]
fn another_key_at_a_verified_address_is_refused() {
    let (_dir, mut peers) = peers();
    peers.met(&Meeting { verified: true, now: at(30), ..meeting(&ALICE, "alice") }).unwrap();
    assert_eq!(peers.check_dialled(HERE, None, &ALICE), Ok(KeyVerdict { warning: None }));
    let refusal = peers.check_dialled(HERE, None, &MALLORY).unwrap_err().to_string();
    for part in ["2026-11-24T13:30:00Z", "new key or device", "sits between", "p2pchat peers forget alice"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    peers.met(&Meeting { address: "elsewhere:1", verified: true, ..meeting(&BOB, "bob") }).unwrap();
    let refusal = peers.check_dialled(HERE, None, &BOB).unwrap_err().to_string();
    assert!(refusal.contains("it is the key of bob"), "{refusal}");
    assert!(peers.check_dialled("host:5001", None, &MALLORY).is_ok());
    peers.forget("alice").unwrap();
    assert_eq!(peers.check_dialled(HERE, None, &MALLORY), Ok(KeyVerdict { warning: None }));
}

#[test]
fn a_key_that_once_got_in_at_an_address_does_not_pass_for_the_verified_one() {
    let (_dir, mut peers) = peers();
    peers.met(&meeting(&MALLORY, "alice")).unwrap();
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    peers.set_trust(&ALICE, Trust::Verified).unwrap();
    assert!(matches!(peers.check_dialled(HERE, None, &MALLORY), Err(Refusal::OtherKey { .. })));
}

#[test]
fn another_key_where_one_was_only_known_is_a_loud_warning() {
    let (_dir, mut peers) = peers();
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    assert_eq!(peers.check_dialled(HERE, None, &ALICE), Ok(KeyVerdict { warning: None }));
    let judgement = peers.check_dialled(HERE, None, &MALLORY).unwrap();
    let warning = judgement.warning.unwrap();
    assert!(warning.as_str().contains("ANOTHER KEY") && warning.lines().count() == 3, "{warning}");
}

#[test]
fn a_demanded_peer_is_the_only_one_that_will_do() {
    let (_dir, mut peers) = peers();
    peers.met(&Meeting { verified: true, ..meeting(&ALICE, "alice") }).unwrap();
    peers.met(&Meeting { address: "b:1", ..meeting(&BOB, "bob") }).unwrap();
    let check = |address: &str, name: &str, key: &Key| peers.check_dialled(address, Some(name), key);
    assert_eq!(check("b:1", "bob", &BOB), Ok(KeyVerdict { warning: None }));
    assert_eq!(check(HERE, "bob", &BOB), Ok(KeyVerdict { warning: None }));
    assert!(matches!(check("b:1", "bob", &MALLORY), Err(Refusal::NotExpected { answered: None, .. })));
    assert!(
        matches!(check(HERE, "bob", &ALICE), Err(Refusal::NotExpected { answered: Some(name), .. }) if name == "alice")
    );
    assert!(matches!(check("b:1", "carol", &BOB), Err(Refusal::UnknownName { .. })));
}

#[test]
fn a_name_to_copy_into_a_shell_is_one_word_and_no_option() {
    let cases = [
        ("alice", "alice"),
        ("root (2)", "'root (2)'"),
        ("x;rm -rf ~", "'x;rm -rf ~'"),
        ("it's", r"'it'\''s'"),
        ("-rf", "-- -rf"),
        ("-a b", "-- '-a b'"),
        ("$(id)", "'$(id)'"),
    ];
    for (name, argument) in cases {
        assert_eq!(verdict::argument(name), argument);
    }
}

#[test]
fn the_list_is_a_table() {
    let (_dir, mut peers) = peers();
    assert_eq!(peers.list(|_| String::new()), "no peers are known yet\n");
    peers.met(&meeting(&ALICE, "alice")).unwrap();
    peers.met(&Meeting { verified: true, now: at(7), address: "[::1]:5000", ..meeting(&BOB, "日本") }).unwrap();
    let list = peers.list(|key| format!("F{}", key[0]));
    let expected = [
        "NAME   TRUST     LAST SEEN             ADDRESS     FINGERPRINT",
        "alice  known     2026-11-24 13:00 UTC  host:5000   F1",
        "日本   verified  2026-11-24 13:07 UTC  [::1]:5000  F2",
    ];
    assert_eq!(list.lines().collect::<Vec<_>>(), expected);
}
