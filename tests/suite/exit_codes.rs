//! How a conversation ends: politely, by a signal, by a loss, or before it began; with the words and the exit code of each.

#[cfg(unix)]
use crate::support::home::{Ran, run};
use crate::support::peer::Stream;
use crate::support::{Home, meet, nobody, text};
use std::net::TcpListener;
use std::path::{MAIN_SEPARATOR_STR, Path};

#[test]
fn quit_on_either_side_ends_both_politely() {
    for (quits, listener_quits) in [("/quit", false), ("/exit", true)] {
        let (ana, ben) = meet(&[], &[]);
        let (mut here, mut there) = if listener_quits { (ana, ben) } else { (ben, ana) };
        here.send("last words");
        here.send(quits);
        here.ends_with(0);
        there.ends_with(0);
        assert_eq!(there.texts(), ["last words"]);
        assert_eq!([&here.event("bye")["from"], &there.event("bye")["from"]], ["self", "peer"]);
    }
}

#[test]
fn the_end_of_the_input_is_a_goodbye_after_the_last_line() {
    let (mut ana, mut ben) = meet(&[], &[]);
    for n in 0..500 {
        ben.send(&format!("line {n}"));
    }
    ben.close_input();
    ben.ends_with(0);
    ana.ends_with(0);
    assert_eq!(ana.texts().len(), 500);
    assert_eq!(ben.all("delivered").len(), 500);
    assert!(text(&ana.event("bye"), "reason").contains("input"), "{}", ana.event("bye"));
}

#[test]
fn stay_outlasts_the_input_until_the_peer_leaves() {
    let (mut ana, mut ben) = meet(&[], &["--stay"]);
    ben.send("only this");
    ben.close_input();
    ana.message("only this");
    for n in 0..3 {
        ana.send(&format!("still there? {n}"));
    }
    ben.message("still there? 2");
    ana.send("/quit");
    ana.ends_with(0);
    ben.ends_with(0);
    assert_eq!(ben.event("bye")["from"], "peer");
}

#[test]
fn quit_before_anybody_came_ends_at_once() {
    let mut ana = Home::new().listen("ana", &[]);
    ana.send("/quit");
    ana.ends_with(0);
}

#[cfg(unix)]
mod signals {
    use super::*;
    use nix::sys::signal::Signal;
    use std::process::Stdio;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_signal_says_goodbye_first() {
        for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
            let (mut ana, mut ben) = meet(&[], &[]);
            ben.signal(signal);
            ben.ends_with(code);
            ana.ends_with(0);
            assert!(text(&ana.event("bye"), "reason").contains("interrupted"), "{}", ana.event("bye"));
        }
    }

    #[test]
    fn a_signal_ends_a_listener_that_nobody_called() {
        for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
            let mut ana = Home::new().listen("ana", &[]);
            ana.signal(signal);
            ana.ends_with(code);
        }
    }

    #[test]
    fn a_signal_ends_a_dialler_that_waits_for_its_peer() {
        let (_taken, closed) = nobody();
        let mut ben = Home::new().start("ben", &["connect", &closed.to_string(), "--wait", "-v"]);
        ben.line(Stream::Err, |line| line.contains("connecting"));
        ben.signal(Signal::SIGTERM);
        ben.ends_with(143);
    }

    #[test]
    fn lines_that_a_stopped_peer_never_took_are_counted() {
        let (mut ana, mut ben) = meet(&["--reconnect", "0"], &[]);
        ana.send("taken");
        ana.event("delivered");
        ben.signal(Signal::SIGSTOP);
        for n in 0..3 {
            ana.send(&format!("not taken {n}"));
            ana.event_nth(n + 2, "sent");
        }
        ben.kill();
        ana.ends_with(5);
        assert_eq!(ana.all("delivered").len(), 1);
        let undelivered = ana.event("undelivered");
        assert_eq!((&undelivered["lines"], &undelivered["ids"]), (&3.into(), &serde_json::json!(["s2", "s3", "s4"])));
    }

    /// `| head -1`: who reads the output has seen enough.
    #[test]
    fn an_output_that_is_closed_early_ends_both_politely() {
        for option in ["--json", "--plain"] {
            let mut ana = Home::new().listen("ana", &[]);
            let home = Home::new();
            let addr = ana.addr().to_string();
            let mut ben =
                home.program(&["connect", &addr, "-n", "ben", option]).stdout(Stdio::piped()).spawn().unwrap();
            let out = ben.stdout.take().unwrap();
            ana.event("connected");
            ana.send("one");
            ana.event("delivered");
            drop(out);
            // A program that another test starts has a copy of the pipe until its exec, so that a line may still get through.
            while ana.is_running() && ana.all("delivered").len() < 1_000 {
                ana.send("more");
                thread::sleep(Duration::from_millis(10));
            }
            // A line that the closed output never took was not delivered.
            assert!([0, 6].contains(&ana.exit_code()));
            assert_eq!(ben.wait().unwrap().code(), Some(0), "{option}");
            assert_eq!(ana.event("bye")["from"], "peer");
        }
    }
}

/// The end of a transfer that the receiver took, by the sender; the receiver has no input.
#[test]
fn a_file_that_was_taken_and_did_not_arrive_is_6() {
    for how in ["cancels", "leaves", "vanishes", "loses the file"] {
        let mut ana = Home::new().listen("ana", &["--accept", "always", "--stay", "--reconnect", "1"]);
        ana.close_input();
        let mut ben = Home::new().connect("ben", ana.addr(), &[]);
        let tree = ben.home().work().join("tree");
        std::fs::create_dir(&tree).unwrap();
        // So large that it cannot be on its way whole, and takes no place on the disk.
        let big = std::fs::File::create(tree.join("big")).unwrap();
        big.set_len(8 << 30).unwrap();
        ben.send(&format!("/send {}", tree.display()));
        ana.event("progress");
        match how {
            "cancels" => {
                ben.send("/cancel");
                ben.event("cancelled");
                ben.send("/quit");
            }
            "leaves" => {
                ben.send("/quit");
                ben.send("/quit");
            }
            "vanishes" => ben.kill(),
            _ => {
                big.set_len(1).unwrap();
                ben.send("/quit");
            }
        }
        ana.ends_with(if how == "vanishes" { 5 } else { 6 });
        if how != "vanishes" {
            ben.ends_with(6);
        }
    }
}

#[test]
fn what_went_wrong_with_an_earlier_peer_is_the_exit_code_of_a_listener_that_goes_on() {
    let (mut ana, mut ben) = meet(&["--keep", "--accept", "always", "--reconnect", "0"], &[]);
    let big = ben.home().work().join("big");
    std::fs::File::create(&big).unwrap().set_len(8 << 30).unwrap();
    ben.send(&format!("/send {}", big.display()));
    ana.event("progress");
    ben.kill();
    ana.event("failed");
    let _cleo = Home::new().connect("cleo", ana.addr(), &[]);
    ana.event_nth(2, "connected");
    ana.send("/quit");
    ana.ends_with(6);
}

/// The shorter timeout of the two counts.
#[test]
fn a_peer_that_vanishes_is_a_loss_and_never_a_goodbye() {
    for (here, there) in [("0", "forever"), ("forever", "0"), ("1", "forever")] {
        let (mut ana, mut ben) = meet(&["--reconnect", here], &["--reconnect", there]);
        ana.send("hello");
        ana.event("delivered");
        ben.kill();
        ana.ends_with(5);
        ana.event("lost");
        assert_eq!(ana.all("error").iter().any(|error| error["code"] == "not-regained"), here == "1");
        assert!(ana.all("bye").is_empty(), "{here} {there}");
    }
}

/// What a script's input asks for and is not done is 6, whatever else it did.
#[test]
fn an_input_that_was_not_done_whole_is_6() {
    let inputs: [(&[u8], &str); 6] = [
        (b"a\xffb\n", "not-utf8"),
        (b"/sned x\n", "unknown-command"),
        (b"/accept\n", "no-such-transfer"),
        (b"/cancel 7\n", "no-such-transfer"),
        (b"/send no-such-file\n", "no-such-file"),
        (b"/quit now\n", "bad-argument"),
    ];
    for (input, code) in inputs {
        // Before a peer is there, and with one.
        for waits in [true, false] {
            let mut ben = Home::new().listen("ben", &[]);
            let connect = || Home::new().connect("ana", ben.addr(), &["--stay"]);
            let early = (!waits).then(connect);
            if early.is_some() {
                ben.event("connected");
            }
            ben.pour([input.to_vec(), b"done\n".to_vec()].into_iter());
            let mut ana = early.unwrap_or_else(connect);
            ana.message("done");
            ben.close_input();
            ben.ends_with(6);
            ana.ends_with(0);
            assert_eq!(ben.event("error")["code"], code);
            assert!(ana.texts() == ["done"] && ana.all("offer").is_empty(), "{code}");
        }
    }
}

#[test]
fn a_wrong_command_line_is_2() {
    let home = Home::new();
    let wrong: [&[&str]; 13] = [
        &[],
        &["nonsense"],
        &["connect"],
        &["connect", "host:99999"],
        &["connect", "host:http"],
        &["listen", "[::1"],
        &["listen", "--accept", "sometimes"],
        &["listen", "--timeout", "0"],
        &["listen", "--reconnect", "-1"],
        &["listen", "-n", ""],
        &["listen", "--json", "--plain"],
        &["listen", "--code=---"],
        &["connect", "127.0.0.1:1", "--peer", "nobody"],
    ];
    for arguments in wrong {
        let mut program = home.start(&arguments.join(" "), arguments);
        program.ends_with(2);
        assert!(program.lines(Stream::Out).is_empty());
        assert!(!program.lines(Stream::Err).is_empty());
    }
}

#[test]
fn a_receiving_folder_is_made_in_one_that_exists_and_else_is_2_at_once() {
    let home = Home::new();
    home.file("a-file", "");
    for dir in ["no/such/folder", "a-file", "a-file/x"] {
        let dir = &dir.replace('/', MAIN_SEPARATOR_STR);
        let mut ana = home.start("ana", &["listen", "127.0.0.1:0", "--dir", dir]);
        ana.ends_with(2);
        assert!(ana.lines(Stream::Err)[0].contains(dir), "{:?}", ana.lines(Stream::Err));
    }
    let mut ana = home.start("ana", &["listen", "127.0.0.1:0", "--dir", "new", "--accept", "always", "--stay"]);
    ana.line(Stream::Err, |line| line.contains("made the folder") && Path::new(line).ends_with("work/new"));
    let hint = ana.line(Stream::Err, |line| line.contains("p2pchat connect "));
    let mut ben = Home::new().json("ben", &["connect", hint.split(' ').next_back().unwrap()], &[], None);
    ben.offers("x", "x");
    ben.event("done");
    ben.send("/quit");
    ben.ends_with(0);
    ana.ends_with(0);
    assert!(home.work().join("new/x").exists());
}

/// Whatever of it cannot be used is said once, with its cause and the way out.
#[cfg(unix)]
#[test]
fn a_data_directory_that_cannot_be_used_is_1_and_named_once() {
    let home = Home::new();
    for data in ["/proc/nope", "/dev/null/x"] {
        for arguments in [&["id"][..], &["listen", "127.0.0.1:0"], &["connect", "127.0.0.1:1"]] {
            let Ran { code, err: said, .. } = run(home.program(arguments).env("P2PCHAT_DATA", data));
            assert_eq!(code, Some(1));
            let lines: Vec<_> = said.lines().collect();
            assert_eq!(lines.len(), 2, "{said}");
            assert!(lines[0].contains(data) && !said.contains("os error"), "{said}");
            assert!(lines[1].contains("P2PCHAT_DATA"), "{said}");
        }
    }
}

#[test]
fn help_and_version_are_0_on_standard_output() {
    let home = Home::new();
    for arguments in
        [&["--help"][..], &["listen", "--help"], &["--version"], &["id"], &["man"], &["completions", "bash"]]
    {
        let mut program = home.start(&arguments.join(" "), arguments);
        program.ends_with(0);
        assert!(!program.lines(Stream::Out).is_empty());
        assert!(program.lines(Stream::Err).is_empty());
    }
}

#[test]
fn an_address_that_is_taken_is_3() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let mut ana = Home::new().json("ana", &["listen", &addr], &[], None);
    ana.ends_with(3);
    let error = ana.event("error");
    let mut lines = text(&error, "text").lines();
    assert!(lines.next().unwrap().contains(&addr), "{error}");
    assert!(lines.next().unwrap().contains("another port"), "{error}");
}

#[test]
fn a_name_without_an_address_is_3() {
    // The host part is longer than a name may be, so no resolver asks the network for it.
    let host = format!("{}.invalid:5000", "x".repeat(64));
    let mut ben = Home::new().json("ben", &["connect", &host], &[], None);
    ben.ends_with(3);
    assert!(text(&ben.event("error"), "text").starts_with("cannot find"), "{}", ben.event("error"));
}

#[test]
fn wait_dials_until_the_peer_listens() {
    let (_taken, addr) = nobody();
    let addr = addr.to_string();
    let mut ben = Home::new().start("ben", &["connect", &addr, "--wait", "-v"]);
    ben.line(Stream::Err, |line| line.contains("connecting"));
    ben.send("at last");
    let mut ana = Home::new().json("ana", &["listen", &addr], &[], None);
    ana.message("at last");
    ben.send("/quit");
    ben.ends_with(0);
    ana.ends_with(0);
}
