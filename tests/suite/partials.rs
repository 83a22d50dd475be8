//! What unfinished downloads leave is shown, goes on, or is removed, and nothing else is.

use crate::support::files::content;
use crate::support::home::names;
use crate::support::peer::Stream;
use crate::support::{Home, Peer, Relay, meet_through};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// So much passes in a second: a file of [`SIZE`] takes longer than any test waits.
const RATE: u64 = 1 << 20;
const SIZE: usize = 64 << 20;

/// `ben`, who has this to send, and `ana`, who takes everything, over a slow line.
fn meet_slowly(make: impl FnOnce(&Home)) -> (Peer, Relay, Peer) {
    let ben = Home::new();
    make(&ben);
    meet_through(|target| Relay::slow(target, RATE), (&Home::new(), &ben), &["--accept", "always"], &[])
}

/// `ben` sends `big.bin`, and part of it is on `ana`'s disk.
fn half_way() -> (Peer, Relay, Peer) {
    // Not compressible, so that it takes its time.
    let (ana, relay, ben) = meet_slowly(|home| drop(home.file("big.bin", content("big", SIZE))));
    ben.send("/send big.bin");
    ben.wait_for(|event| event["event"] == "progress" && event["bytes"].as_u64() > Some(1 << 20));
    (ana, relay, ben)
}

/// Runs `p2pchat partials` and gives the exit code and what it prints.
fn partials(home: &Home, arguments: &[&str]) -> (i32, String) {
    let ran = home.run(&[&["partials"], arguments].concat());
    (ran.code.unwrap(), ran.out + &ran.err)
}

#[test]
fn there_is_nothing_to_show_before_anything_happened() {
    let home = Home::new();
    assert_eq!(partials(&home, &[]), (0, "no download is unfinished\n".to_owned()));
    assert_eq!(partials(&home, &["remove", "--all"]).0, 0);
    assert_eq!(partials(&home, &["remove"]).0, 2);
    assert_eq!(partials(&home, &["remove", "--all", "x"]).0, 2);
    let (code, said) = partials(&home, &["remove", "0\u{1b}[2J"]);
    assert!(code == 1 && said.contains("no unfinished download") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn a_download_is_shown_while_it_runs_and_after_and_removed_only_after() {
    let (mut ana, _relay, ben) = half_way();
    let home = ana.home().clone();
    let partial = home.received();
    assert!(partial.len() == 1 && partial[0].starts_with(".p2pchat-"), "{partial:?}");
    let row = |list: &str| list.lines().nth(1).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (_, list) = partials(&home, &["list"]);
    let running = row(&list);
    // What another program has locked is not read.
    assert_eq!(running[1..5], ["now", "?", "-", "?"], "{list}");
    let (code, said) = partials(&home, &["remove", &running[0]]);
    assert!(code == 1 && said.contains("being received right now"), "{said}");
    let (code, said) = partials(&home, &["remove", "--all"]);
    assert!(code == 0 && said.contains("stays"), "{said}");
    assert_eq!(home.received(), partial);

    ana.kill();
    drop(ben);
    let (_, list) = partials(&home, &[]);
    let left = row(&list);
    assert!(left[0] == running[0] && list.contains(" ben ") && list.contains(" big.bin "), "{list}");
    assert!(list.contains(" of 64.0 MiB "), "{list}");
    assert!(list.contains(home.inbox().to_str().unwrap()), "{list}");
    // Nothing of it is whole, so there is nothing to keep, and what came is not thrown away for that.
    let (code, said) = partials(&home, &["keep", &left[0]]);
    assert!(code == 1 && said.contains("no file of it arrived whole"), "{said}");
    assert_eq!(home.received(), partial);
    fs::write(home.inbox().join("mine"), "mine").unwrap();
    let (code, said) = partials(&home, &["remove", &left[0][..6]]);
    assert!(code == 0 && said.contains("is removed with"), "{said}");
    assert_eq!(home.received(), ["mine"]);
    assert_eq!(partials(&home, &[]).1, "no download is unfinished\n");
}

#[test]
fn who_receives_hears_where_the_part_is_when_either_side_leaves_in_the_middle() {
    for receiver_leaves in [false, true] {
        let (ana, _relay, ben) = half_way();
        let leaving = if receiver_leaves { &ana } else { &ben };
        leaving.send("/quit");
        leaving.send("/quit");
        let part = ana.event("failed")["part"].as_str().unwrap().to_owned();
        let home = ana.home();
        assert_eq!(
            Path::new(&part).canonicalize().unwrap(),
            home.inbox().canonicalize().unwrap().join(&home.received()[0])
        );
    }
}

#[test]
fn a_part_in_another_folder_is_named_and_left_when_the_command_names_a_folder_and_asks_nobody() {
    let (mut ana, _relay, ben) = half_way();
    ana.kill();
    let (home, ben_home) = (ana.home().clone(), ben.home().clone());
    drop(ben);
    let listen = ["listen", "127.0.0.1:0", "--json", "-n", "ana"];
    let left = |event: &Value| event["text"].as_str().is_some_and(|text| text.contains("inbox goes on only"));
    let elsewhere = home.work().join("elsewhere");
    let named = ["--accept", "always", "--dir", elsewhere.to_str().unwrap()];
    let ana = home.start("ana", &[&listen[..], &named].concat());
    let ben = ben_home.connect("ben", ana.addr(), &[]);
    ben.send("/send big.bin");
    ana.wait_for(|event| event["event"] == "warning" && left(event));
    ana.event("done");
    assert_eq!(fs::metadata(elsewhere.join("big.bin")).unwrap().len(), SIZE as u64);
    assert!(home.received()[0].starts_with(".p2pchat-"));
    drop((ana, ben));
    // Where no folder is named, it goes on where it began.
    let ana = home.start("ana", &[&listen[..], &["--accept", "always"]].concat());
    let ben = ben_home.connect("ben", ana.addr(), &[]);
    ben.send("/send big.bin");
    ana.event("done");
    assert_eq!(home.received(), ["big.bin"]);
}

#[test]
fn what_is_whole_of_one_can_be_kept() {
    let (mut ana, _relay, ben) = meet_slowly(|home| {
        fs::create_dir(home.work().join("folder")).unwrap();
        home.file("folder/a first", "whole");
        home.file("folder/big.bin", content("big", SIZE));
    });
    ben.send("/send folder");
    ben.event("file");
    ana.kill();
    let home = ana.home();
    let (_, list) = partials(home, &[]);
    let id = list.lines().nth(1).unwrap().split_whitespace().next().unwrap();
    let (code, said) = partials(home, &["keep", id]);
    assert!(code == 0 && said.contains("1 file"), "{said}");
    assert_eq!(fs::read(home.inbox().join("folder/a first")).unwrap(), b"whole");
    assert_eq!(home.received(), ["folder"]);
    assert_eq!(names(&home.inbox().join("folder")), ["a first"]);
}

#[test]
fn one_that_was_left_long_ago_is_mentioned_to_a_person() {
    let (mut ana, _relay, ben) = half_way();
    ana.kill();
    drop(ben);
    let home = ana.home().clone();
    let start = |options: &[&str]| home.start("ana", &[&["listen", "127.0.0.1:0"], options].concat());
    let mentions =
        |line: &str| line.contains("unfinished download is older than 30 days; to see and remove: p2pchat partials");
    let young = start(&["--plain"]);
    young.line(Stream::Err, |line| line.contains("p2pchat connect"));
    assert!(!young.lines(Stream::Err).iter().any(|line| mentions(line)));
    let long_ago = SystemTime::now() - Duration::from_secs(40 * 24 * 3_600);
    let results = home.inbox().join(&home.received()[0]).join("results");
    fs::File::options().append(true).open(results).unwrap().set_modified(long_ago).unwrap();
    start(&["--plain"]).line(Stream::Err, mentions);
    assert!(partials(&home, &[]).1.contains("40 d "));
    // For a script nothing changes.
    let script = start(&["--json"]);
    script.event("listening");
    assert_eq!(script.events().len(), 1);
}
