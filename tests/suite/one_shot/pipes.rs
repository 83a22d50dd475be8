//! `send -` and `receive --stdout`: what passes through pipes.

use super::*;
use crate::support::Attacker;
use crate::support::attacker::identity;
use crate::support::files::List;
use crate::support::peer::memory;
use p2pchat::protocol::frame::{FileStatus, Frame, Intent};
use std::time::Duration;

/// Writes `sent` into `send -`, and gives what `receive` puts into its standard output, with the exit codes and the memory of both.
fn pipe(sent: Vec<u8>) -> (Vec<u8>, [i32; 2], [u64; 2]) {
    let (ana, ben) = (Home::new(), Home::new());
    let receiver = ben.program(&[&["receive", "--stdout", CODE][..], &HERE].concat()).spawn();
    let mut receiver = receiver.unwrap();
    let mut said = receiver.stderr.take().unwrap();
    let addr = first_address(&mut said);
    let mut sender = ana.program(&["send", "-", "--as", "all.tar", "--to", &addr, CODE]);
    let mut sender = sender.stderr(Stdio::null()).spawn().unwrap();
    let mut input = sender.stdin.take().unwrap();
    let writer = thread::spawn(move || input.write_all(&sent).is_ok());
    let mut got = Vec::new();
    let mut out = receiver.stdout.take().unwrap();
    let mut peaks = [0; 2];
    let mut buffer = vec![0; 1 << 20];
    while let Ok(read @ 1..) = out.read(&mut buffer) {
        got.extend_from_slice(&buffer[..read]);
        peaks = [&sender, &receiver].map(|child| memory(child.id(), "VmHWM:").unwrap_or_default());
    }
    drop(said);
    let codes = [sender.wait(), receiver.wait()].map(|ended| ended.unwrap().code().unwrap());
    assert!(writer.join().unwrap());
    (got, codes, peaks)
}

/// The first address in what a waiting side says; the rest is read on and thrown away.
fn first_address(said: &mut impl Read) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while said.read(&mut byte).unwrap() == 1 {
        text.push(byte[0]);
        let so_far = String::from_utf8_lossy(&text);
        if let Some((_, after)) = so_far.split_once("listening at ")
            && let Some((addr, _)) = after.split_once(';')
        {
            return addr.to_owned();
        }
    }
    panic!("{}", String::from_utf8_lossy(&text));
}

#[test]
fn a_stream_passes_through_both_pipes_in_constant_memory() {
    let sent = content("stream", (160 << 20) + 12_345);
    let digest = blake3::hash(&sent);
    let (got, codes, peaks) = pipe(sent);
    assert_eq!(codes, [0, 0]);
    assert_eq!(blake3::hash(&got), digest);
    assert!(peaks.iter().all(|peak| *peak < 100 << 10), "{peaks:?} KiB");
    assert_eq!(pipe(Vec::new()).1, [0, 0]);
}

#[test]
fn a_reader_that_has_enough_ends_both_and_the_sender_hears_why() {
    let (ana, ben) = (Home::new(), Home::new());
    let mut sender = waits(&ana, &["send", "-", CODE]);
    let line = b"a line of a long story\n".repeat(1_000);
    sender.pour(std::iter::repeat_with(move || line.clone()));
    let mut receiver =
        ben.start_by("ben", "\"$@\" | head -n 1", &["receive", &sender.addr().to_string(), "--stdout", CODE]);
    receiver.ends_with(0);
    assert_eq!(receiver.lines(Stream::Out), ["a line of a long story"]);
    receiver.line(Stream::Err, |line| line.contains("standard output was closed"));
    sender.ends_with(6);
    assert_eq!(text(&sender.event("cancelled"), "reason"), "the receiver's standard output was closed");
}

#[test]
fn what_came_of_a_stream_that_broke_off_is_named_and_kept_on_demand() {
    keep_a_stream(false);
}

#[test]
fn a_stream_is_kept_also_after_a_run_that_was_killed_in_the_middle_of_that() {
    keep_a_stream(true);
}

/// `ben` leaves in the middle of a stream, and hears where what came of it is.
fn break_off(ana: &Home, ben: &Home) -> Peer {
    let sender = waits(ana, &["send", "-", "--as", "story", CODE]);
    let line = b"a line of a long story\n".repeat(1_000);
    sender.pour(std::iter::repeat_with(move || line.clone()));
    let addr = sender.addr().to_string();
    let mut receiver = ben.start("ben", &["receive", &addr, "--dir", &inbox(ben), CODE]);
    sender.wait_for(|event| event["event"] == "progress" && event["bytes"].as_u64() > Some(1 << 20));
    receiver.signal(Signal::SIGINT);
    receiver.exit_code();
    receiver
}

#[test]
fn a_stream_that_breaks_off_again_leaves_what_came_the_first_time() {
    let (ana, ben) = (Home::new(), Home::new());
    break_off(&ana, &ben);
    let first = ben.received();
    break_off(&ana, &ben);
    let both = ben.received();
    assert!(both.len() == 2 && both.contains(&first[0]), "{both:?}");
}

/// `by_killed_run`: one moved what came, and wrote no line for it.
fn keep_a_stream(by_killed_run: bool) {
    let (ana, ben) = (Home::new(), Home::new());
    let receiver = break_off(&ana, &ben);
    let part = ben.received().remove(0);
    receiver.line(Stream::Err, |line| line.contains(&format!("what came of it is in {}/{part}", inbox(&ben))));
    let list = ben.run(&["partials"]).out;
    assert!(list.contains(" MiB  ") && list.contains(" story ") && !list.contains(" of "), "{list}");
    let id = list.lines().nth(1).unwrap().split(' ').next().unwrap();
    if by_killed_run {
        let part = ben.inbox().join(part);
        fs::rename(part.join("0.part"), part.join("tree/story")).unwrap();
    }
    let kept = ben.run(&["partials", "keep", id]);
    assert!(kept.code == Some(0) && kept.out.contains("1 file with"), "{}{}", kept.out, kept.err);
    assert_eq!(ben.received(), ["story"]);
    let age = fs::metadata(ben.inbox().join("story")).unwrap().modified().unwrap().elapsed().unwrap();
    assert!(age < Duration::from_secs(3_600), "a stream has no time but that of its arrival: {age:?}");
    let story = fs::read_to_string(ben.inbox().join("story")).unwrap();
    assert!(story.len() > 1 << 20 && story.starts_with("a line of a long story\na line"));
}

#[test]
fn standard_output_takes_one_file_and_no_more() {
    let (ana, ben) = (Home::new(), Home::new());
    ana.file("a", "alone");
    ana.file("b", "more");
    let mut sender = waits(&ana, &["send", "a", CODE]);
    let mut receiver = ben.start("ben", &["receive", &sender.addr().to_string(), "--stdout", CODE]);
    receiver.ends_with(0);
    sender.ends_with(0);
    assert_eq!(receiver.lines(Stream::Out), ["alone"]);
    let mut sender = waits(&ana, &["send", "a", "b", CODE]);
    let mut receiver = ben.start("ben", &["receive", &sender.addr().to_string(), "--stdout", CODE]);
    receiver.ends_with(6);
    sender.ends_with(6);
    for said in [text(&sender.event("declined"), "reason"), &receiver.lines(Stream::Err).join("\n")] {
        assert!(said.contains("only one file or stream can go to standard output"), "{said}");
    }
}

#[test]
fn what_went_to_standard_output_with_a_wrong_digest_is_6_and_said() {
    let mut receiver = Home::new().start("ben", &[&["receive", "--stdout", CODE][..], &HERE].concat());
    let said = receiver.line(Stream::Err, |line| line.contains("listening at "));
    let addr = first_address(&mut said.as_bytes()).parse().unwrap();
    let mut eve = Attacker::dial(addr, &identity(), CODE.strip_prefix("--code=")).unwrap();
    assert!(matches!(eve.greet(Intent::New, [7; 16], "eve"), Some(Frame::Greeting(_))));
    let mut upload = eve.begin(&List::default().file("a", 4));
    eve.upload(&mut upload, b"data");
    eve.file_end(&mut upload, FileStatus::Whole, [9; 32]);
    assert_eq!(eve.read_complete(), Some((0, 1)));
    eve.leave();
    receiver.ends_with(6);
    receiver.line(Stream::Err, |line| line.contains("what arrived differs"));
}
