//! Claims about known peers, each with a data directory of its own.

use super::*;
use crate::keys::KeyRejected;
use chrono::TimeZone;
use file::{FILE, FILE_BYTES};
use std::fs::{self, File};
use std::thread;

const ALICE: PublicKey = PublicKey([1; 32]);
const BOB: PublicKey = PublicKey([2; 32]);
const MALLORY: PublicKey = PublicKey([3; 32]);
const HERE: &str = "host:5000";

fn at(minute: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 24, 13, minute, 0).unwrap()
}

fn encounter<'a>(key: &'a PublicKey, claimed: &'a str) -> Encounter<'a> {
    Encounter { key, claimed, own: "zoe", address: HERE, dialled: true, invite: None, verified: false, now: at(0) }
}

fn peers() -> (tempfile::TempDir, KnownPeersFile) {
    let dir = tempfile::tempdir().unwrap();
    let peers = KnownPeersFile::new(dir.path());
    (dir, peers)
}

fn lookup(peers: &KnownPeersFile, key: &PublicKey) -> KnownPeer {
    peers.read().unwrap().lookup(key).unwrap().clone()
}

fn check(peers: &KnownPeersFile, address: &str, key: &PublicKey) -> Result<Option<SafeText>, KeyRejected> {
    peers.read().unwrap().check_dialled(address, None, key)
}

#[test]
fn a_hostile_name_stays_one_line_and_one_peer() {
    let hostile =
        ["a\nmallory", "\u{1b}[2J", "# comment", "\"", "-", "a\u{202e}b", "  root  ", "", " ", "root\u{200b}", "a\\"];
    let (_dir, peers) = peers();
    peers.record(&encounter(&ALICE, "root")).unwrap();
    for (claimed, number) in hostile.into_iter().zip(100u8..) {
        peers.record(&encounter(&PublicKey([number; 32]), claimed)).unwrap();
    }
    let read = peers.read().unwrap();
    assert!(read.problems().is_empty());
    assert_eq!(read.iter().count(), hostile.len() + 1);
    let name = |number| read.lookup(&PublicKey([number; 32])).unwrap().name.clone();
    assert_eq!((name(100), name(106), name(107)), ("a\u{fffd}mallory".into(), "root (2)".into(), "unnamed".into()));
    assert!(read.iter().all(|peer| SafeText::clean(&peer.name).as_str() == peer.name));
}

#[test]
fn renaming_keeps_the_key_and_no_two_names_are_alike() {
    let (_dir, peers) = peers();
    peers.record(&encounter(&ALICE, "alice")).unwrap();
    peers.record(&encounter(&BOB, "bob")).unwrap();
    peers.rename("alice", "my alice").unwrap();
    assert_eq!(peers.read().unwrap().by_name("my alice").unwrap().key, ALICE);
    peers.rename("my alice", "My Alice").unwrap();
    let refused = |old: &str, new: &str| peers.rename(old, new).unwrap_err().to_string();
    assert_eq!(refused("bob", "my alice"), "another peer is known as my alice already");
    assert!(refused("carol", "dave").starts_with("no peer is known as carol\n"));
    for bad in ["", " ", "a ", "a\nb", "\u{202e}a"] {
        assert!(refused("bob", bad).contains(" cannot be the name of a peer\n"), "{bad:?}");
    }
    assert_eq!(peers.record(&encounter(&ALICE, "alice")).unwrap().label, "My Alice");
}

#[test]
fn a_failed_change_writes_nothing() {
    let (dir, peers) = peers();
    peers.forget("nobody").unwrap_err();
    assert!(!dir.path().join(FILE).exists());
}

#[test]
fn a_new_file_explains_itself() {
    let dir = tempfile::tempdir().unwrap();
    let peers = KnownPeersFile::new(&dir.path().join("data/p2pchat"));
    peers.record(&encounter(&ALICE, "alice")).unwrap();
    let text = fs::read_to_string(peers.path()).unwrap();
    assert!(text.starts_with("# peers"), "{text}");
    assert!(text.ends_with(&format!(
        "\nalice {} known 2026-11-24T13:00:00Z 2026-11-24T13:00:00Z host:5000 host:5000\n",
        "01".repeat(32)
    )));
}

#[test]
fn a_file_beyond_the_limit_is_refused_and_untouched() {
    let (dir, peers) = peers();
    File::create(dir.path().join(FILE)).unwrap().set_len(FILE_BYTES + 1).unwrap();
    let limit = format!("is larger than {FILE_BYTES} bytes");
    assert!(KnownPeersFile::new(dir.path()).read().unwrap_err().to_string().ends_with(&limit));
    assert!(peers.record(&encounter(&ALICE, "alice")).unwrap_err().to_string().ends_with(&limit));
    assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().len(), FILE_BYTES + 1);
}

#[test]
fn an_error_names_the_path() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(FILE)).unwrap();
    let error = KnownPeersFile::new(dir.path()).read().unwrap_err().to_string();
    assert!(error.contains(&dir.path().join(FILE).display().to_string()), "{error}");
}

#[test]
fn a_reader_beside_a_writer_sees_whole_files() {
    let (dir, peers) = peers();
    peers.record(&encounter(&ALICE, "alice")).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            (10..60u8).for_each(|key| drop(peers.record(&encounter(&PublicKey([key; 32]), "x")).unwrap()))
        });
        loop {
            let finished = writer.is_finished();
            let read = KnownPeersFile::new(dir.path()).read().unwrap();
            assert!(read.problems().is_empty() && read.lookup(&ALICE).is_some());
            if finished {
                assert_eq!(read.iter().count(), 51);
                break;
            }
            if cfg!(windows) {
                // Wine replaces no file that is open at that moment.
                thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    });
}

#[test]
fn an_address_belongs_to_who_answered_last_and_to_who_was_verified() {
    let (_dir, peers) = peers();
    let here = |peers: &KnownPeersFile| {
        let known = peers.read().unwrap();
        known.at_address("HOST:5000").into_iter().map(|peer| peer.name.clone()).collect::<Vec<_>>()
    };
    peers.record(&encounter(&ALICE, "alice")).unwrap();
    peers.record(&encounter(&BOB, "bob")).unwrap();
    assert_eq!(here(&peers), ["bob"]);
    peers.verify(&BOB).unwrap();
    peers.record(&encounter(&ALICE, "alice")).unwrap();
    assert_eq!(here(&peers), ["alice", "bob"]);
}

#[test]
fn a_call_that_comes_in_does_not_change_who_is_expected_where() {
    let (_dir, peers) = peers();
    peers.record(&Encounter { verified: true, ..encounter(&ALICE, "alice") }).unwrap();
    let call = Encounter { dialled: false, address: "10.0.0.9:49152", ..encounter(&ALICE, "alice") };
    peers.record(&call).unwrap();
    peers.record(&Encounter { address: HERE, key: &BOB, ..call }).unwrap();
    assert_eq!(lookup(&peers, &ALICE).address, "10.0.0.9:49152");
    assert_eq!(peers.read().unwrap().at_address(HERE).len(), 1);
    assert!(check(&peers, HERE, &MALLORY).is_err());
}

#[test]
fn dialled_addresses_are_bounded_and_the_oldest_gives_way() {
    let (_dir, peers) = peers();
    for number in 0..=DIALLED {
        peers.record(&Encounter { address: &format!("host:{number}"), ..encounter(&ALICE, "alice") }).unwrap();
    }
    assert_eq!(lookup(&peers, &ALICE).dialled.len(), DIALLED);
    assert!(peers.read().unwrap().at_address("host:0").is_empty());
    assert_eq!(peers.read().unwrap().at_address("host:8").len(), 1);
}

#[test]
fn a_key_that_once_got_in_at_an_address_does_not_pass_for_the_verified_one() {
    let (_dir, peers) = peers();
    peers.record(&encounter(&MALLORY, "alice")).unwrap();
    peers.record(&encounter(&ALICE, "alice")).unwrap();
    peers.verify(&ALICE).unwrap();
    let refusal = check(&peers, HERE, &MALLORY).unwrap_err().to_string();
    assert!(refusal.contains("which you verified"), "{refusal}");
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
        assert_eq!(check::argument(name), argument);
    }
}

#[test]
fn the_list_is_a_table() {
    let (_dir, peers) = peers();
    assert_eq!(peers.read().unwrap().list(), "no peers are known yet\n");
    peers.record(&encounter(&ALICE, "alice")).unwrap();
    peers.record(&Encounter { verified: true, now: at(7), address: "[::1]:5000", ..encounter(&BOB, "日本") }).unwrap();
    let list = peers.read().unwrap().list();
    let expected = [
        "NAME   TRUST     LAST SEEN             ADDRESS     FINGERPRINT".to_owned(),
        format!("alice  known     2026-11-24 13:00 UTC  host:5000   {}", ALICE.fingerprint()),
        format!("日本   verified  2026-11-24 13:07 UTC  [::1]:5000  {}", BOB.fingerprint()),
    ];
    assert_eq!(list.lines().collect::<Vec<_>>(), expected);
}
