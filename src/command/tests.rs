//! Claims about what a typed line means.

use super::*;

fn command(line: &str) -> Command {
    match parse(line, None) {
        Ok(Entry::Command(command)) => command,
        other => panic!("{line:?}: {other:?}"),
    }
}

fn said(line: &str) -> (String, bool) {
    match parse(line, None) {
        Ok(Entry::Say { text, action }) => (text, action),
        other => panic!("{line:?}: {other:?}"),
    }
}

fn code(line: &str) -> &'static str {
    parse(line, None).unwrap_err().code
}

#[test]
fn a_line_goes_out_as_it_is() {
    for line in ["hello", "a /quit", "a\n/quit", "\u{1b}[31m\0", "  indented  "] {
        assert_eq!(said(line), (line.to_owned(), false));
    }
}

#[test]
fn a_blank_line_is_nothing() {
    for line in ["", " ", "\t", "\n \n"] {
        assert_eq!(parse(line, None), Ok(Entry::Nothing), "{line:?}");
    }
}

#[test]
fn two_slashes_send_one() {
    assert_eq!(said("//quit"), ("/quit".to_owned(), false));
    assert_eq!(said("///"), ("//".to_owned(), false));
    assert_eq!(said("//etc/hosts:\n/etc/passwd"), ("/etc/hosts:\n/etc/passwd".to_owned(), false));
}

#[test]
fn every_command_is_known() {
    assert_eq!(command("/help"), Command::Help);
    assert_eq!(command("/quit"), Command::Quit);
    assert_eq!(command("/exit"), Command::Quit);
    assert_eq!(command("/EXIT "), Command::Quit);
    assert_eq!(command("/verify"), Command::Verify);
    assert_eq!(command("/peer"), Command::Peer);
    assert_eq!(command("/clear\n"), Command::Clear);
    assert_eq!(command("/stay"), Command::Stay);
    assert_eq!(command("/again"), Command::Again);
    assert_eq!(command("/redial host:5000"), Command::Redial("host:5000".into()));
    assert_eq!(command("/transfers"), Command::Transfers { transfer: None, from: 1 });
    assert_eq!(command("/transfers 7"), Command::Transfers { transfer: Some(7), from: 1 });
    assert_eq!(command("/transfers #7 101"), Command::Transfers { transfer: Some(7), from: 101 });
    assert_eq!(command("/decline"), Command::Decline { transfer: None });
    assert_eq!(command("/decline #3"), Command::Decline { transfer: Some(3) });
    assert_eq!(command("/cancel 4294967295"), Command::Cancel { transfer: Some(u32::MAX) });
    assert!(matches!(command("/send a b"), Command::Send(SendSource::Typed(args)) if args.whole == Path::new("a b")));
    assert_eq!(said("/me waves "), ("waves".to_owned(), true));
}

#[test]
fn blanks_before_a_command_change_nothing() {
    for line in [" /quit", "\t/quit", "\u{3000}/quit ", "\n/quit"] {
        assert_eq!(command(line), Command::Quit, "{line:?}");
    }
    assert_eq!(code("  /qiut"), "unknown-command");
    assert_eq!(code("  /a\nb"), "command-in-block");
    assert_eq!(said("  //x"), ("/x".to_owned(), false));
}

#[test]
fn accept_takes_a_number_a_destination_or_both() {
    let accept = |line: &str| match command(line) {
        Command::Accept { transfer, dest } => (transfer, dest.map(|path| path.display().to_string())),
        other => panic!("{other:?}"),
    };
    assert_eq!(accept("/accept"), (None, None));
    assert_eq!(accept("/accept 2"), (Some(2), None));
    assert_eq!(accept("/accept 2  my files"), (Some(2), Some("my files".to_owned())));
    assert_eq!(accept("/accept my files"), (None, Some("my files".to_owned())));
    assert_eq!(accept("/accept ./2"), (None, Some("./2".to_owned())));
    assert_eq!(accept("/accept '2'"), (None, Some("2".to_owned())));
}

#[test]
fn wrong_arguments_are_errors() {
    for line in [
        "/send",
        "/send  ",
        "/me",
        "/quit now",
        "/decline x",
        "/cancel 4294967296",
        "/cancel 1 2",
        "/transfers -1",
        "/cancel +1",
        "/accept 99999999999",
    ] {
        assert_eq!(code(line), "bad-argument", "{line}");
    }
}

#[test]
fn an_unknown_command_never_goes_out() {
    for line in ["/", "/ ", "/ quit", "/qiut", "/etc/passwd", "/sendfile x", "/\u{1b}[31m", "/quit\u{200b}"] {
        assert_eq!(code(line), "unknown-command", "{line:?}");
    }
}

#[test]
fn a_block_that_begins_with_a_slash_is_neither_sent_nor_run() {
    for block in ["/quit\nbye", "/etc/hosts\n/etc/passwd", "/me a\nb", "/quit\r/quit"] {
        assert_eq!(code(block), "command-in-block", "{block:?}");
    }
}

#[test]
fn a_slip_is_recognised() {
    let hint = |word: &str| parse(word, None).unwrap_err().to_string().lines().nth(1).unwrap().to_owned();
    for (slip, meant) in [
        ("/sned x", "/send"),
        ("/qiut", "/quit"),
        ("/tranfers", "/transfers"),
        ("/acc", "/accept"),
        ("/cancle", "/cancel"),
    ] {
        assert!(hint(slip).contains(&format!("did you mean {meant}")), "{slip}: {}", hint(slip));
    }
    for other in ["/", "/xyzzy", "/etc/passwd", "/no", "/rm"] {
        assert!(!hint(other).contains("did you mean"), "{other}: {}", hint(other));
    }
    assert!(!hint(&format!("/{}", "q".repeat(60_000))).contains("did you mean"));
}

#[test]
fn a_line_at_the_limit_goes_and_one_above_does_not() {
    let text = "x".repeat(LINE_TEXT);
    assert_eq!(said(&text).0.len(), LINE_TEXT);
    assert_eq!(said(&format!("//{}", &text[1..])).0.len(), LINE_TEXT);
    assert_eq!(said(&format!("/me {text}")).0.len(), LINE_TEXT);
    for line in [format!("{text}x"), format!("//{text}"), format!("/me {text}x"), format!("/send {text}")] {
        assert_eq!(code(&line), "line-too-long");
    }
    let error = parse(&format!("{text}x"), None).unwrap_err().to_string();
    assert!(error.contains("64001") && error.contains("64000"), "{error}");
}

#[test]
fn the_help_fits_a_small_screen_and_names_every_command() {
    assert!(HELP.lines().count() <= 22);
    assert!(HELP.lines().all(|line| line.chars().count() <= 79), "{HELP}");
    for word in words() {
        assert!(HELP.contains(word), "{word}");
    }
}

#[test]
fn error_texts_follow_the_house() {
    for line in ["/x", "/send", "/quit x", "/a\nb", &"x".repeat(LINE_TEXT + 1)] {
        let text = parse(line, None).unwrap_err().to_string();
        assert!(text.lines().count() == 2 && text.lines().all(|line| !line.ends_with('.')), "{text}");
    }
}
