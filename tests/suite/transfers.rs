//! Files and folders on their way: whole, identical, asked for, under names that nobody had; and chat beside them.

use crate::support::files::{content, tree};
use crate::support::peer::Stream;
use crate::support::{Home, Peer, Relay, is, meet, meet_through, text};
use std::fs;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// Over a line of so many bytes a second; `ana` takes everything.
fn meet_slowly(rate: u64) -> (Peer, Relay, Peer) {
    let slow = |target| Relay::slow(target, rate);
    meet_through(slow, (&Home::new(), &Home::new()), &["--accept", "always"], &[])
}

/// `ben` sends `ana` a file that he has just made, and both see the end of it.
fn send(ana: &Peer, ben: &Peer, name: &str, data: &[u8]) {
    ben.offers(name, data);
    ben.event("done");
    ana.event("done");
}

#[test]
fn the_main_job_of_a_script_word_for_word() {
    let (server, client) = (Home::new(), Home::new());
    let lock = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    client.file("Cargo.lock", &lock);
    let inbox = server.inbox();
    let options = ["--accept", "always", "--stay", "--dir", inbox.to_str().unwrap()];
    let mut ana = server.start("ana", &[&["listen", "127.0.0.1:0", "-n", "ana"][..], &options].concat());
    ana.close_input();
    let hint = ana.line(Stream::Err, |line| line.contains("p2pchat connect "));
    let addr = hint.split(' ').next_back().unwrap();
    let mut ben = client.start("ben", &["connect", addr, "-n", "ben"]);
    ben.pour(std::iter::once(b"hello\n/send Cargo.lock\n/quit\n".to_vec()));
    ben.close_input();
    ben.ends_with(0);
    ana.ends_with(0);
    assert!(ana.lines(Stream::Out)[0].ends_with(" ben: hello"));
    assert_eq!(tree(&inbox), [("Cargo.lock".to_owned(), Some(lock))].into());
}

#[test]
fn the_events_of_a_transfer_tell_its_whole_course() {
    let (ana, ben) = meet(&["--accept", "always"], &[]);
    let data = content("events", 3 * MIB + 17);
    send(&ana, &ben, "data.bin", &data);
    let digest = blake3::hash(&data).to_hex().to_string();
    for (peer, direction) in [(&ana, "in"), (&ben, "out")] {
        let offer = peer.event("offer");
        assert_eq!([&offer["direction"], &offer["name"]], [direction, "data.bin"]);
        assert_eq!([&offer["files"], &offer["bytes"]], [1, data.len()]);
        let transfer = &offer["transfer"];
        assert_eq!(&peer.event("accepted")["transfer"], transfer);
        let (file, done) = (peer.event("file"), peer.event("done"));
        assert_eq!([&file["transfer"], &done["transfer"]], [transfer, transfer]);
        assert_eq!(file["blake3"], digest);
        assert_eq!([&file["bytes"], &done["bytes"], &done["files"]], [data.len(), data.len(), 1]);
    }
    let path = text(&ana.event("file"), "path").to_owned();
    assert_eq!(fs::read(path).unwrap(), data);
    assert_eq!(ana.home().received(), ["data.bin"]);
}

#[test]
fn files_of_every_awkward_size_arrive_whole() {
    let (ana, ben) = meet(&["--accept", "always"], &[]);
    let chunk = p2pchat::protocol::frame::CHUNK_DATA;
    let sizes = [0, 1, 1_023, 1_024, chunk - 1, chunk, chunk + 1, 3 * chunk, MIB];
    for size in sizes {
        let name = format!("{size}.bin");
        ben.offers(&name, content(&name, size));
    }
    // Of zeros but for a byte, which take no room.
    let mut sparse = vec![0; 12 * chunk + 10];
    sparse[3 * chunk] = 1;
    ben.offers("sparse", sparse);
    ana.event_nth(sizes.len() + 1, "done");
    ben.event_nth(sizes.len() + 1, "done");
    assert_eq!(tree(&ana.home().inbox()), tree(&ben.home().work()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let sparse = fs::metadata(ana.home().inbox().join("sparse")).unwrap();
        assert!(sparse.blocks() * 512 < sparse.len() / 2, "{} blocks", sparse.blocks());
    }
}

mod consent {
    use super::*;

    #[test]
    fn an_offer_waits_until_it_is_accepted_into_whichever_folder() {
        let (ana, ben) = meet(&[], &[]);
        let other = ana.home().work().join("other folder");
        fs::create_dir(&other).unwrap();
        ben.offers("report.pdf", "the report");
        let offer = ana.event("offer");
        assert_eq!([&offer["name"], &offer["bytes"]], [&serde_json::json!("report.pdf"), &serde_json::json!(10)]);
        for side in [&ana, &ben] {
            side.send(&format!("/transfers {}", offer["transfer"]));
            assert!(side.event("info").to_string().contains("report.pdf"), "{}", side.event("info"));
        }
        ana.send(&format!("/accept {} {}/none", offer["transfer"], other.display()));
        assert_eq!(ana.event("error")["code"], "no-such-folder");
        assert!(tree(&other).is_empty());
        ana.send(&format!("/accept {} {}", offer["transfer"], other.display()));
        ana.event("done");
        ben.event("done");
        assert_eq!(tree(&other).into_keys().collect::<Vec<_>>(), ["report.pdf"]);
        assert_eq!(ana.home().received(), [""; 0]);
    }

    /// The offer is turned down: `ben` hears of it and leaves with 6; nothing is there.
    fn is_declined(mut ana: Peer, mut ben: Peer, answer: Option<&str>) {
        ben.offers("unwanted", content("unwanted", MIB));
        if let Some(answer) = answer {
            ana.event("offer");
            ana.send(answer);
        }
        ana.event("declined");
        let declined = ben.event("declined");
        let reason = answer.map_or("files are not taken here: --accept never", |_| "by the user");
        assert_eq!(text(&declined, "reason"), reason);
        ben.send("/quit");
        ben.ends_with(6);
        ana.ends_with(0);
        assert_eq!(ana.home().received(), [""; 0]);
        assert!(ben.all("accepted").is_empty() && ben.all("done").is_empty());
    }

    #[test]
    fn a_declined_offer_leaves_nothing_and_is_6_for_who_asked() {
        let (ana, ben) = meet(&[], &[]);
        is_declined(ana, ben, Some("/decline"));
        let (ana, ben) = meet(&["--accept", "never"], &[]);
        is_declined(ana, ben, None);
    }

    #[test]
    fn an_offer_that_waits_is_declined_when_the_input_ends() {
        let (mut ana, mut ben) = meet(&["--stay"], &[]);
        ben.offers("unwanted", "");
        ana.event("offer");
        ana.close_input();
        ben.event("declined");
        ben.send("/quit");
        ben.ends_with(6);
        ana.ends_with(0);
    }

    #[test]
    fn either_side_can_cancel() {
        for by_sender in [true, false] {
            let (mut ana, _relay, mut ben) = meet_slowly(2 * MIB as u64);
            ben.offers("big", content("big", 16 * MIB));
            ana.event("progress");
            if by_sender { &ben } else { &ana }.send("/cancel");
            ana.event("cancelled");
            ben.event("cancelled");
            ben.send("alive");
            ana.message("alive");
            ben.send("/quit");
            ben.ends_with(6);
            ana.ends_with(6);
            assert!(!ana.home().received().contains(&"big".to_owned()));
        }
    }
}

mod names {
    use super::*;

    #[test]
    fn a_name_that_exists_gets_a_number_or_what_the_option_says() {
        for (options, exit, left) in [
            (&[][..], 0, &[("report.tar (1).gz", "his"), ("report.tar (2).gz", "his"), ("report.tar.gz", "mine")][..]),
            (&["--on-clash", "overwrite"], 0, &[("report.tar.gz", "his")]),
            // The file was accepted here and is not there.
            (&["--on-clash", "refuse"], 6, &[("report.tar.gz", "mine")]),
        ] {
            let (mut ana, mut ben) = meet(&[&["--accept", "always"], options].concat(), &[]);
            fs::write(ana.home().inbox().join("report.tar.gz"), "mine").unwrap();
            let over = |event: &serde_json::Value| is(event, "done") || is(event, "failed") || is(event, "declined");
            for number in 1..=2 {
                ben.offers("report.tar.gz", "his");
                for peer in [&ana, &ben] {
                    peer.wait_for_nth(number, over);
                }
            }
            assert_eq!(ana.event("offer")["clashes"], 1);
            ben.send("/quit");
            ben.ends_with(exit);
            ana.ends_with(exit);
            let left = left.iter().map(|(name, data)| ((*name).to_owned(), Some(data.as_bytes().to_vec())));
            assert_eq!(tree(&ana.home().inbox()), left.collect(), "{options:?}");
        }
    }

    #[test]
    fn spaces_and_letters_of_every_script_are_kept() {
        let (ana, ben) = meet(&["--accept", "always"], &[]);
        for (n, name) in
            ["my holiday photo.jpg", "отчёт 日本.txt", if cfg!(windows) { "quote's" } else { "quote's \"name\"" }]
                .iter()
                .enumerate()
        {
            ben.offers(name, name);
            ana.event_nth(n + 1, "done");
        }
        assert_eq!(tree(&ana.home().inbox()), tree(&ben.home().work()));
    }
}

#[cfg(unix)]
#[test]
fn modes_and_times_are_kept_and_what_is_no_file_or_folder_is_left_out() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (mut ana, mut ben) = meet(&["--accept", "always"], &[]);
    let folder = ben.home().work().join("folder");
    fs::create_dir(&folder).unwrap();
    let script = folder.join("run.sh");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o4755)).unwrap();
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&script).unwrap().set_modified(long_ago).unwrap();
    symlink("/etc/hostname", folder.join("link")).unwrap();
    nix::unistd::mkfifo(&folder.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    ben.send("/send folder");
    for peer in [&ana, &ben] {
        for (number, (name, reason)) in
            (1..).zip([("link", "a symbolic link"), ("pipe", "a pipe"), ("socket", "a socket")])
        {
            let left_out = peer.event_nth(number, "left-out");
            assert!(text(&left_out, "path").ends_with(&format!("folder/{name}")), "{left_out}");
            assert_eq!(text(&left_out, "reason"), reason);
        }
        assert_eq!(peer.event("done")["files"], 1);
    }
    let found = fs::metadata(ana.home().inbox().join("folder/run.sh")).unwrap();
    assert_eq!(found.permissions().mode() & 0o7777, 0o755);
    assert_eq!(found.modified().unwrap(), long_ago);
    assert_eq!(tree(&ana.home().inbox()).len(), 2);
    // Only who asked for it did not get what was asked for.
    ben.send("/quit");
    ben.ends_with(6);
    ana.ends_with(0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_says_it_is_empty_and_is_not_fails_aloud() {
    let (ana, ben) = meet(&["--accept", "always"], &[]);
    ben.send("/send /proc/version");
    for peer in [&ana, &ben] {
        let of_file = peer.wait_for(|event| is(event, "failed") && event.get("path").is_some());
        assert!(text(&of_file, "path").ends_with("version"), "{of_file}");
        peer.wait_for(|event| text(event, "reason").contains("no file of it arrived"));
        assert!(peer.all("done").is_empty());
    }
    assert!(!ana.home().received().contains(&"version".to_owned()));
}

#[test]
fn the_program_s_own_data_is_never_sent() {
    let (mut ana, mut ben) = meet(&["--accept", "always"], &[]);
    let data = ben.home().data();
    for (nth, path) in (1..).zip([data.clone(), data.join("identity")]) {
        ben.send(&format!("/send {}", path.display()));
        assert!(text(&ben.event_nth(nth, "error"), "text").contains("own data, which is never sent"));
    }
    let above = data.parent().unwrap();
    ben.send(&format!("/send {}", above.display()));
    let left_out = ben.event("left-out");
    assert_eq!(text(&left_out, "path"), data.to_str().unwrap());
    assert!(text(&left_out, "reason").contains("own data"), "{left_out}");
    ana.event("done");
    // What was refused took no number.
    assert_eq!(ana.event("offer")["transfer"], 1);
    assert!(ana.all("left-out").is_empty());
    let arrived = tree(&ana.home().inbox());
    assert!(!arrived.keys().any(|path| path.ends_with("identity")), "{:?}", arrived.keys());
    ben.send("/quit");
    ben.ends_with(6);
    ana.ends_with(0);
}

#[test]
fn large_files_cross_while_lines_go_both_ways() {
    const LINES: usize = 2_000;
    let (ana, ben) = meet(&["--accept", "always"], &["--accept", "always"]);
    let large = |name: &str| content(name, 48 * MIB);
    ana.home().file("ana", large("ana"));
    ben.home().file("ben", large("ben"));
    ana.send("/send ana");
    ben.send("/send ben");
    for peer in [&ana, &ben] {
        peer.pour((0..LINES).map(|n| format!("{n}\n").into_bytes()));
    }
    let expected: Vec<_> = (0..LINES).map(|n| n.to_string()).collect();
    for (peer, theirs) in [(&ana, "ben"), (&ben, "ana")] {
        peer.event_nth(2, "done");
        peer.event_nth(LINES, "message");
        assert_eq!(peer.texts(), expected);
        assert!(fs::read(peer.home().inbox().join(theirs)).unwrap() == large(theirs), "it differs");
    }
}

#[test]
fn many_transfers_at_once_in_both_directions_all_arrive() {
    const EACH: usize = 20;
    let (ana, ben) = meet(&["--accept", "always"], &["--accept", "always"]);
    for n in 0..EACH {
        for (peer, name) in [(&ana, format!("a{n}")), (&ben, format!("b{n}"))] {
            peer.offers(&name, content(&name, n * 100_003));
        }
    }
    for (peer, other) in [(&ana, &ben), (&ben, &ana)] {
        peer.event_nth(2 * EACH, "done");
        other.event_nth(2 * EACH, "done");
        assert_eq!(tree(&peer.home().inbox()), tree(&other.home().work()));
    }
}

/// 10 Mbit/s, in bytes a second.
const SLOW: u64 = 1_250_000;

#[test]
fn a_line_does_not_wait_for_a_file_that_fills_a_slow_line() {
    /// Generous: what a person hardly notices is measured by the benchmark.
    const BOUND: Duration = Duration::from_secs(if cfg!(windows) { 10 } else { 2 });
    let (ana, _relay, ben) = meet_slowly(SLOW);
    ben.offers("large", content("large", 16 * MIB));
    // The line is full by now.
    ana.event_nth(3, "progress");
    let mut slowest = Duration::ZERO;
    for n in 0..10 {
        for (from, to) in [(&ben, &ana), (&ana, &ben)] {
            let line = format!("line {n}");
            let begun = Instant::now();
            from.send(&line);
            to.message(&line);
            slowest = slowest.max(begun.elapsed());
        }
    }
    assert!(ana.all("done").is_empty(), "the file was there before the lines: nothing is shown");
    assert!(slowest < BOUND, "{slowest:?}");
    eprintln!("the slowest line took {slowest:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_the_file() {
    const SIZE: u64 = 256 << 20;
    const BOUND_KIB: u64 = 64 << 10;
    let (ana, ben) = meet(&["--accept", "always"], &[]);
    // Sparse here, so that the test writes it once only.
    fs::File::create(ben.home().work().join("huge")).unwrap().set_len(SIZE).unwrap();
    ben.send("/send huge");
    ben.event("done");
    ana.event("done");
    assert_eq!(fs::metadata(ana.home().inbox().join("huge")).unwrap().len(), SIZE);
    for peer in [&ana, &ben] {
        assert!(peer.peak_memory() < BOUND_KIB, "{} KiB at the peak", peer.peak_memory());
    }
}
