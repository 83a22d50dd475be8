//! What is wrong on the command line or in the environment is found before the program starts anything.

use crate::support::home::run;
use crate::support::peer::Stream;
use crate::support::{Home, Pty};
use p2pchat::exit::Exit;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Runs of each mistake: an old program left the terminal in raw mode in about one of six, so forty miss it in one of a thousand.
const RUNS: usize = 10;

#[test]
fn a_usage_error_leaves_the_terminal_as_it_was() {
    let home = Home::new();
    for arguments in [
        &["listen", "127.0.0.1:0", "--code=---"][..],
        &["listen", "127.0.0.1:0", "--peer", "nobody"],
        &["connect", "127.0.0.1:1", "--peer", "nobody"],
        &["listen", "127.0.0.1:0", "--dir", "/nowhere/at/all"],
    ] {
        // A shell holds the terminal, so that its state can be looked at after the program's end.
        let command =
            format!("{} {}; echo \"ended with $?\"; read wait", env!("CARGO_BIN_EXE_p2pchat"), arguments.join(" "));
        for _ in 0..RUNS {
            let pty = Pty::run(&home, "sh", &["-c", &command]);
            pty.shows("ended with 2");
            assert!(pty.is_restored(), "{arguments:?}");
        }
    }
}

#[test]
fn the_first_line_of_the_input_may_be_the_listeners_code_and_is_not_said() {
    let mut ana = Home::new().json("ana", &["listen", "127.0.0.1:0"], &["--code-fd", "0"], None);
    ["42-otter-plum", "hello"].iter().for_each(|line| ana.send(line));
    let mut ben = Home::new().connect("ben", ana.addr(), &["--code=42-otter-plum"]);
    ben.message("hello");
    ana.close_input();
    ana.ends_with(0);
    ben.ends_with(0);
    assert_eq!(ben.texts(), ["hello"]);
}

#[test]
fn a_code_in_the_environment_that_is_none_is_a_usage_error_and_never_no_code() {
    for (code, options) in
        [(&b""[..], &[][..]), (b"---", &[]), (b"\xff4-a-b", &[]), (b"", &["--code"]), (b"\xff", &["--code"])]
    {
        for role in [["listen", "127.0.0.1:0"], ["connect", "127.0.0.1:1"]] {
            let home = Home::new();
            let mut program = home.program(&[&role[..], options].concat());
            let ran = run(program.env("P2PCHAT_CODE", OsStr::from_bytes(code)));
            assert!(ran.code == Some(2) && ran.err.contains("P2PCHAT_CODE"), "{code:?} {role:?} {ran:?}");
        }
    }
}

#[test]
fn a_variable_that_is_empty_counts_as_not_set() {
    let connect = |name: &str| {
        let home = Home::new();
        let mut program = home.program(&["connect"]);
        let ended = program.env("P2PCHAT_NAME", name).env("P2PCHAT_INVITE", "").output().unwrap();
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        String::from_utf8(ended.stderr).unwrap()
    };
    assert!(connect("").contains("whom to connect to?"), "{}", connect(""));
    assert!(connect(" ").contains("P2PCHAT_NAME: a name has at least one character"), "{}", connect(" "));
}

/// What is nearly right, with the right form in the error.
#[test]
fn a_command_line_that_is_nearly_right_is_answered_with_the_right_form() {
    let home = Home::new();
    for (line, code, hint) in [
        ("connect 127.0.0.1 5000", 2, "127.0.0.1:5000"),
        ("connect ::1 5000", 2, "[::1]:5000"),
        ("listen 127.0.0.1 5000", 2, "127.0.0.1:5000"),
        ("connect ::1:5000", 2, "[::1]:5000"),
        ("connect [fe80::1]:5000", 2, "[fe80::1%eth0]:PORT"),
        ("connect http://host:5000", 2, "HOST:PORT"),
        ("connect a:b:c", 2, "p2pchat: \"a:b:c\" is no address: write HOST:PORT or [IPV6]:PORT"),
        ("listen abc", 3, "PORT, HOST:PORT or [IPV6]:PORT"),
        ("listen --timeout abc", 2, "a number of seconds from 1 to 3600"),
        ("listen --reconnect abc", 2, "a number of seconds, or forever"),
        ("--timeout 5 listen", 2, "p2pchat listen --timeout"),
        ("-n ana listen", 2, "p2pchat listen -n"),
        ("listen --keep --once", 2, "cannot be used with"),
        ("listen --code 42-otter-plum", 2, "--code=42-otter-plum"),
        ("connect --code 42-otter-plum 127.0.0.1:1", 2, "--code=42-otter-plum"),
        ("connect 127.0.0.1:1 --code mine", 2, "--code=mine"),
        ("listen --toward 0.0.0.0:5000", 2, "0.0.0.0:5000 is not where a peer can dial from"),
        ("listen --toward 192.0.2.1:0", 2, "192.0.2.1:0 is not where a peer can dial from"),
        ("listen --toward 192.0.2.1:6000 --proxy socks5://127.0.0.1:1", 2, "--proxy none dials directly"),
        ("listen 127.0.0.1:6000 --toward 127.0.0.1:6000", 2, "127.0.0.1:6000 is this very listener"),
        ("connect 192.0.2.1 --from 6000 --proxy socks5://127.0.0.1:1", 2, "--from dials directly"),
        ("connect 192.0.2.1 --from 0", 2, "a port is a number from 1 to 65535"),
        ("connect 192.0.2.1 --from 70000", 2, "a port is a number from 1 to 65535"),
        ("doctor -1", 2, "a port is a number from 1 to 65535"),
        ("doctor 0", 2, "a port is a number from 1 to 65535"),
        ("doctor ssh", 2, "a port is a number from 1 to 65535"),
        ("connect 192.0.2.1 --timeout -1", 2, "a number of seconds from 1 to 3600"),
        ("connect 192.0.2.1 --reconnect -1", 2, "a number of seconds, or forever"),
        ("listen --code-fd x", 2, "the number of a file descriptor, as in --code-fd 3 3<FILE"),
        ("connect 5999", 2, "a port alone is no address: write HOST:5999"),
        ("connect 5999", 2, "to wait for a peer there: p2pchat listen 5999"),
        ("connect 99999", 2, "\"99999\" is no port: a number from 0 to 65535"),
        ("listen --at 5999", 2, "a port alone is no address: write HOST:5999"),
        ("listen --toward 5999", 2, "a port alone is no address: write HOST:5999"),
        ("receive --from 6000", 2, "--from is for who dials"),
        ("receive 192.0.2.1 --toward 192.0.2.2:6000", 2, "--toward are for who waits"),
        ("5000", 2, "p2pchat listen 5000"),
        ("127.0.0.1:5000", 2, "p2pchat connect 127.0.0.1:5000"),
        ("listn", 2, "'listen'"),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let mut program = home.start(line, &arguments);
        program.ends_with(code);
        assert!(program.lines(Stream::Out).is_empty());
        let said = program.lines(Stream::Err).join("\n");
        assert!(said.contains(hint), "{line}: {said}");
    }
}

fn manual(home: &Home, path: &[&str]) -> String {
    let ran = home.run(&[&["man"], path].concat());
    assert_eq!(ran.code, Some(0), "{path:?}: {ran:?}");
    ran.out
}

#[test]
fn each_manual_page_that_a_manual_page_names_exists() {
    let home = Home::new();
    for (parent, least) in [(&[][..], 10), (&["peers"], 3), (&["partials"], 3)] {
        let prefix = [&["p2pchat"], parent, &[""]].concat().join("\\-");
        let page = manual(&home, parent);
        let named: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(&prefix)?.strip_suffix("(1)")).collect();
        assert!(named.len() >= least, "{named:?}");
        for name in named {
            let page = manual(&home, &[parent, &[name]].concat());
            let title = [&["p2pchat"], parent, &[name]].concat().join("-");
            assert!(page.contains(&format!(".TH {title} 1")), "{page}");
        }
    }
    assert_eq!(home.run(&["man", "nothing"]).code, Some(2));
}

#[test]
fn the_manual_has_its_sections_and_examples_on_lines_of_their_own() {
    let page = manual(&Home::new(), &[]);
    for section in [
        "COMMANDS",
        "\"OPTIONS OF LISTEN\"",
        "\"OPTIONS OF CONNECT\"",
        "KEYS",
        "\"BOTH BEHIND FIREWALLS\"",
        "\"EXIT STATUS\"",
        "ENVIRONMENT",
        "FILES",
        "EXAMPLES",
    ] {
        assert!(page.contains(&format!("\n.SH {section}\n")), "{section}: {page}");
    }
    assert!(page.contains(r"on\-clash"), "{page}");
    // Between .nf and .fi lines are not joined.
    for line in ["  /verify               mark", "p2pchat listen\n", "p2pchat send photos\n"] {
        let before = &page[..page.find(&format!("\n{line}")).expect(line)];
        assert!(before.rfind("\n.nf") > before.rfind("\n.fi"), "{line}");
    }
}

/// The numbers are in `exit.rs`; what they mean is said in two places.
#[test]
fn the_manual_and_the_readme_tell_every_exit_code() {
    let codes = [
        Exit::Polite,
        Exit::Failure,
        Exit::Usage,
        Exit::Unreachable,
        Exit::Refused,
        Exit::Lost,
        Exit::Incomplete,
        Exit::Hangup,
        Exit::Interrupt,
        Exit::Terminate,
    ]
    .map(Exit::number);
    let numbers = |text: &str| text.split(", ").map(|number| number.parse().ok()).collect::<Option<Vec<u8>>>();
    let page = manual(&Home::new(), &[]);
    let (_, section) = page.split_once(".SH \"EXIT STATUS\"\n").unwrap();
    let (section, _) = section.split_once("\n.SH ").unwrap();
    let told: Vec<u8> = section.split(".TP\n").filter_map(|entry| numbers(entry.lines().next()?)).flatten().collect();
    assert_eq!(told, codes);
    let (_, table) = include_str!("../../README.md").split_once("### Exit codes\n").unwrap();
    let told: Vec<u8> =
        table.lines().filter_map(|row| numbers(row.strip_prefix("| ")?.split(" | ").next()?)).flatten().collect();
    assert_eq!(told, codes);
}
