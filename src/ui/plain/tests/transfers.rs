//! Claims about what the plain frontend says of a transfer.

use super::*;

#[test]
fn an_offer_says_what_comes_and_how_to_answer() {
    let question = Question::Accept { transfer: 3, name: peer("report.pdf"), more: 0, dest: None, again: false };
    let text = said([connected(Trust::Verified, None), offer(Direction::In), Notice::Question { id: 1, question }]);
    assert!(
        text.ends_with(
            "\n-- [3] bob offers 3 files in 1 folder, 10.0 MiB: report.pdf and 2 more\n\
             --   2 names exist already\n\
             -- /accept 3, /accept 3 FOLDER or /decline 3; names: /transfers 3\n"
        ),
        "{text}"
    );
    let outgoing = said([offer(Direction::Out)]);
    assert_eq!(outgoing, "-- [3] offered to the peer: 3 files in 1 folder, 10.0 MiB: report.pdf and 2 more\n");
}

#[test]
fn an_offer_larger_than_what_is_free_says_so() {
    let mut notice = offer(Direction::In);
    if let Notice::Offer { free, .. } = &mut notice {
        *free = Some(1 << 20);
    }
    assert!(said([notice]).contains("--   only 1.0 MiB free here, 2 names exist already\n"));
}

#[test]
fn progress_is_told_in_steps_of_ten_percent() {
    let steps = [0, 50, 99, 100, 149, 199, 320, 329, 1_000];
    let text = said(std::iter::once(offer(Direction::Out)).chain(steps.map(progress)));
    let (_, text) = text.split_once('\n').unwrap();
    assert_eq!(text, "-- [3] 10 %, 100 B of 1000 B\n-- [3] 32 %, 320 B of 1000 B\n");
}

#[test]
fn on_a_terminal_progress_is_one_row_that_goes_before_anything_else_is_written() {
    let options = PlainOptions { columns_err: || Some(60), ..Verbosity::Normal.into() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let done = Notice::Done {
        transfer: 3,
        path: peer("report.pdf"),
        more: 0,
        files: 1,
        bytes: 1_000,
        wire_bytes: None,
        took: Duration::from_secs(1),
    };
    let notices = [offer(Direction::Out), progress(100), progress(500)];
    run(&posted(notices), &mut out, &mut err, options, time, |_| {}).unwrap();
    let live = String::from_utf8(err.clone()).unwrap();
    assert!(live.ends_with("50% 500 of 1000 B 0/3 files"), "{live:?}");
    err.clear();
    run(&posted([offer(Direction::Out), progress(500), done]), &mut out, &mut err, options, time, |_| {}).unwrap();
    let mut terminal = vt100::Parser::new(10, 60, 0);
    terminal.process(String::from_utf8(err).unwrap().replace('\n', "\r\n").as_bytes());
    let shown = terminal.screen().contents();
    assert_eq!(shown.matches("report.pdf").count(), 2, "{shown}");
    assert!(shown.trim_end().ends_with("-- [3] sent 1 file, 1000 B in 1.0 s, 1000 B/s: report.pdf"), "{shown}");
}

#[test]
fn the_live_row_stands_below_what_goes_to_standard_output() {
    let columns = || Some(60);
    for (purpose, notice, line) in [
        (Purpose::Chat, message("hi"), "13:30 bob: hi"),
        (Purpose::Receive, Notice::Published(peer("in/report.pdf")), "in/report.pdf"),
    ] {
        let options = PlainOptions { purpose, columns_out: columns, columns_err: columns, ..Verbosity::Normal.into() };
        let both = Both::default();
        let notices = posted([offer(Direction::Out), progress(500), notice]);
        run(&notices, both.clone(), both.clone(), options, time, |_| {}).unwrap();
        let mut terminal = vt100::Parser::new(10, 60, 0);
        terminal.process(String::from_utf8(both.0.take()).unwrap().replace('\n', "\r\n").as_bytes());
        let shown = terminal.screen().contents();
        let rows: Vec<_> = shown.trim_end().lines().map(str::trim_end).collect();
        let [.., said, live] = rows.as_slice() else { panic!("{shown}") };
        assert!(*said == line && live.contains("50%"), "{shown}");
    }
}

#[test]
fn the_end_of_a_transfer_is_told_by_its_direction() {
    let done = || Notice::Done {
        transfer: 3,
        path: peer("in/report.pdf"),
        more: 2,
        files: 3,
        bytes: 3 << 20,
        wire_bytes: Some(1 << 20),
        took: Duration::from_secs(2),
    };
    let received = said([offer(Direction::In), done()]);
    let end = "3 files, 3.0 MiB in 2.0 s, 1.5 MiB/s, 1.0 MiB on the wire: in/report.pdf and 2 more\n";
    assert!(received.ends_with(&format!("-- [3] received {end}")), "{received}");
    let sent = said([offer(Direction::Out), done()]);
    assert!(sent.ends_with(&format!("-- [3] sent {end}")), "{sent}");
    let declined = |by, detail: &str| {
        let text = said([
            offer(Direction::Out),
            Notice::Stopped { transfer: 3, how: Stop::Declined, by, reason: Reason::Rule, detail: detail.into() },
        ]);
        text.lines().last().unwrap().to_owned()
    };
    assert_eq!(declined(Side::Peer, "no space"), "-- [3] the peer declined report.pdf and 2 more: no space");
    assert!(declined(Side::Own, "").ends_with("declined report.pdf and 2 more: --accept does not take it"));
    let cancelled =
        Notice::Stopped { transfer: 3, how: Stop::Cancelled, by: Side::Own, reason: Reason::User, detail: "".into() };
    assert_eq!(said([cancelled]), "-- [3] you cancelled\n");
    let failed = |path: Option<&str>, part: Option<&str>| Notice::Failed {
        transfer: 3,
        path: path.map(peer),
        reason: "r".into(),
        part: part.map(peer),
        cut: false,
    };
    assert_eq!(said([failed(None, None)]), "-- [3] failed: r\n");
    assert_eq!(said([failed(Some("a"), None)]), "-- [3] failed: a: r\n");
    assert_eq!(
        said([failed(None, Some("in/.p2pchat-x"))]),
        "-- [3] failed: r\n--   when the same is sent again it goes on with the part in in/.p2pchat-x\n"
    );
    let cut = |direction, part: Option<&str>| {
        let part = part.map(peer);
        let failed = Notice::Failed { transfer: 3, path: None, reason: "ben left".into(), part, cut: true };
        let text = said([offer(direction), Notice::Accepted { transfer: 3 }, failed]);
        text.lines().last().unwrap().to_owned()
    };
    let kept = "--   when the same is sent again it goes on with the part in in/.p2pchat-x";
    assert_eq!(cut(Direction::In, Some("in/.p2pchat-x")), kept);
    let kept = "--   what arrived is kept there: when you send the same again, it goes on where it stopped";
    assert_eq!(cut(Direction::Out, None), kept);
    let left_out =
        |path: Option<&str>| Notice::LeftOut { transfer: 3, path: path.map(peer), count: 7, reason: "".into() };
    assert_eq!(said([left_out(Some("a")), left_out(None)]), "-- [3] not sent: a\n-- [3] not sent: 7 names more\n");
    let file = |offered: Option<&str>| Notice::File {
        transfer: 3,
        path: peer("in/a_b"),
        bytes: 1,
        blake3: String::new(),
        offered: offered.map(peer),
    };
    assert_eq!(said([file(None), file(Some("a:b"))]), "-- [3] a:b, received as in/a_b\n");
}

#[test]
fn another_name_of_a_folder_is_told_once() {
    let file = |offered: &str, path: &str| Notice::File {
        transfer: 3,
        path: peer(path),
        bytes: 1,
        blake3: String::new(),
        offered: Some(peer(offered)),
    };
    let files = [
        file("photos/a", "in/photos (1)/a"),
        file("photos/b/c", "in/photos (1)/b/c"),
        file("photos/b/d:e", "in/photos (1)/b/d_e"),
        file("photos/f", "in/photos (1)/f"),
    ];
    let text = said([offer(Direction::In)].into_iter().chain(files));
    let told: Vec<_> = text.lines().filter(|line| line.contains("received as")).collect();
    assert_eq!(
        told,
        [
            "-- [3] photos, received as in/photos (1)",
            "-- [3] photos/b/d:e, received as in/photos (1)/b/d_e",
            "-- [3] photos, received as in/photos (1)",
        ]
    );
}
