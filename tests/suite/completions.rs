//! The completion scripts, in the shells that they are for.

use crate::support::home::run;
use crate::support::{Home, Pty};
use std::path::PathBuf;
use std::process::Command;

/// Names of peers are their own choice, and end up in a shell.
const NAMES: [&str; 5] = ["ana", "ana maria", "$(touch pwned)", "`touch pwned`", "ben"];

/// Somebody who knows these peers, and has the program in the folder that is given as well.
fn acquainted() -> (Home, PathBuf) {
    let home = Home::new();
    let line = |(key, name): (usize, &str)| {
        format!("\"{name}\" {key:064x} known 2026-11-24T13:30:00Z 2026-11-24T13:30:00Z host:1\n")
    };
    std::fs::create_dir_all(home.data()).unwrap();
    std::fs::write(home.data().join("known_peers"), (1..).zip(NAMES).map(line).collect::<String>()).unwrap();
    let bin = home.bin();
    (home, bin)
}

#[test]
fn bash_completes_known_peers_and_runs_nothing_of_their_names() {
    let (home, _) = acquainted();
    // As bash calls it; what it gives stands on the command line then.
    let complete = r#"
        eval "$("$0" completions bash)"
        COMP_WORDS=("$0" "$@") COMP_CWORD=$#
        _p2pchat_with_peers "$0" "${COMP_WORDS[$#]}" "${COMP_WORDS[$# - 1]}"
        for word in "${COMPREPLY[@]}"; do printf '%s\n' "$word"; eval ": $word"; done"#;
    let completed = |line: &str| {
        let mut bash = home.command("bash");
        bash.args(["-c", complete, env!("CARGO_BIN_EXE_p2pchat")]).args(line.split(' '));
        run(bash.current_dir(home.data())).out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed("peers forget an"), ["ana", r"ana\ maria"]);
    assert_eq!(completed(r"peers rename ana\"), [r"ana\ maria"]);
    assert_eq!(completed("connect --peer ").len(), NAMES.len());
    assert_eq!(completed("connect b"), ["ben"]);
    assert_eq!(completed("connect --dir b"), [""; 0]);
    assert_eq!(completed("send x --to b"), ["ben"]);
    assert_eq!(completed("send "), [""; 0]);
    assert_eq!(completed("li"), ["listen"]);
    assert!(!home.data().join("pwned").exists());
}

/// Whether a shell is there; said aloud where it is not.
fn has(shell: &str) -> bool {
    let there = Command::new(shell).arg("--version").output().is_ok_and(|ran| ran.status.success());
    if !there {
        eprintln!("SKIPPED completion in {shell}: it is not installed");
    }
    there
}

#[test]
fn zsh_completes_known_peers_and_runs_nothing_of_their_names() {
    if !has("zsh") {
        return;
    }
    let (home, bin) = acquainted();
    let setup = format!(
        "PATH={}:$PATH; autoload -U compinit; compinit -u -D; source <(p2pchat completions zsh); PS1='re''ady> '",
        bin.display()
    );
    let mut zsh = Pty::run(&home, "zsh", &["-f"]);
    zsh.keys(&format!("{setup}\r"));
    for (typed, completed) in [
        ("p2pchat peers forget ana\\ ", r"p2pchat peers forget ana\ maria"),
        ("p2pchat connect --peer be", "p2pchat connect --peer ben"),
        ("p2pchat connect \\$", r"p2pchat connect \$\(touch\ pwned\)"),
        ("p2pchat send x --to be", "p2pchat send x --to ben"),
        ("p2pchat receive \\`", r"p2pchat receive \`touch\ pwned\`"),
    ] {
        zsh.shows("ready> ");
        zsh.keys(&format!("{typed}\t"));
        zsh.shows(completed);
        // The line goes away.
        zsh.keys("\u{15}\u{c}");
        zsh.shows_no(completed);
    }
    assert!(!home.work().join("pwned").exists());
}

#[test]
fn fish_completes_known_peers_and_runs_nothing_of_their_names() {
    if !has("fish") {
        return;
    }
    let (home, bin) = acquainted();
    for (line, wanted) in [
        ("p2pchat peers forget an", &["ana", "ana maria"][..]),
        ("p2pchat connect --peer ", &NAMES),
        ("p2pchat connect b", &["ben"]),
        ("p2pchat send x --to b", &["ben"]),
    ] {
        let mut fish = home.command("fish");
        fish.args(["-N", "-c", "p2pchat completions fish | source; complete -C $argv[1]", line]);
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let said = run(fish.env("PATH", path)).out;
        let mut names: Vec<_> = said.lines().filter_map(|row| row.split('\t').next()).collect();
        let mut wanted = wanted.to_vec();
        names.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(names, wanted, "{line}");
    }
    assert!(!home.work().join("pwned").exists());
}
