//! Every shell example of `README.md` and of the manual page, as it stands there.
//!
//! A scenario names the examples that it runs, and types each into a terminal of its own. The two machines are network namespaces;
//! `host` is one of them, and its name is in the `/etc/hosts` that both see. `cargo run --release --` is the program that is tested.

use crate::support::net::Net;
use crate::support::{Home, Peer, Pty, quit};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;

const README: &str = include_str!("../../../README.md");
/// Lines of the README before its reference at most.
const BEFORE_REFERENCE: usize = 150;
/// For `P2PCHAT_CODE`, where the text says that it holds one.
const CODE: &str = "7 correct horse battery staple";
/// Stands for `cargo`: what the program is built by cannot be run by its own tests.
const CARGO: &str = "#!/bin/sh\n[ \"$1 $2 $3\" = 'run --release --' ] && shift 3 && exec p2pchat \"$@\"\n";

/// Examples that cannot be run here, and why.
const NOT_RUN: [(&str, &str); 2] = [
    ("cargo test", "it is what runs this"),
    ("cargo bench --bench whole_program", "minutes on a machine that must do nothing else; .ci/run builds it"),
];

type Scenario = fn(&World, &[&str]);

/// The examples of a scenario, and what happens. One that ends in `…` is the only one that begins so.
const SCENARIOS: [(&[&str], Scenario); 12] = [
    (
        &["cargo run --release -- listen 127.0.0.1:5000", "cargo run --release -- connect 127.0.0.1:5000"],
        two_on_one_machine,
    ),
    (&["p2pchat listen", "p2pchat connect"], by_invite),
    (&["p2pchat listen 5000 --code", "p2pchat connect host:5000 --code"], by_code),
    (&["p2pchat listen --lan", "p2pchat connect --lan"], on_one_network),
    (&["p2pchat send photos --lan --code", "p2pchat receive --lan --code"], a_folder_on_one_network),
    (&["p2pchat send photos/", "p2pchat receive"], a_folder),
    (&["p2pchat send photos", "p2pchat receive --dir ~/Downloads"], a_folder),
    (&["tar xf \"$(p2pchat receive …", "p2pchat send backup.tar --to host:5000"], an_archive),
    (&["p2pchat receive --listen 5000 --stdout | …", "tar c photos | p2pchat send - …"], a_folder_through_pipes),
    (&["p2pchat listen 5000 --accept always …"], what_one_peer_sends),
    (&["p2pchat listen 5000 --keep …", "p2pchat listen 5000 --accept verified --json …"], what_verified_peers_send),
    (&["tail -f app.log | …"], lines_of_a_growing_file),
];

/// Every example, with its comment.
fn examples() -> Vec<String> {
    let mut found = Vec::new();
    let mut in_shell = false;
    for line in README.lines() {
        match line {
            "```sh" => in_shell = true,
            "```" => in_shell = false,
            line if in_shell => found.push(line.to_owned()),
            _ => {}
        }
    }
    let page = Home::new().run(&["man"]).out;
    let (_, section) = page.split_once(".SH EXAMPLES\n").unwrap();
    let (section, _) = section.split_once("\n.SH ").unwrap_or((section, ""));
    for block in section.split(".RS 4\n").skip(1) {
        found.extend(block.lines().take_while(|line| *line != ".RE").map(|line| line.replace("\\-", "-")));
    }
    found.retain(|line| !line.is_empty() && !line.starts_with('#'));
    found
}

/// Whether a scenario's name for an example means this one.
fn means(name: &str, example: &str) -> bool {
    let (command, _) = example.split_once("  #").unwrap_or((example, ""));
    match name.strip_suffix('…') {
        Some(begin) => example.starts_with(begin),
        None => command.trim_end() == name,
    }
}

#[test]
fn each_example_is_run_or_said_why_not() {
    let examples = examples();
    assert!(examples.len() > 20, "{examples:#?}");
    let run = || SCENARIOS.iter().flat_map(|(lines, _)| lines.iter().copied());
    for example in &examples {
        let named = run().chain(NOT_RUN.iter().map(|(name, _)| *name)).filter(|name| means(name, example)).count();
        assert_eq!(named, 1, "no scenario runs this, or more than one: {example}");
    }
    for name in run().chain(NOT_RUN.iter().map(|(name, _)| *name)) {
        assert!(examples.iter().any(|example| means(name, example)), "no such example any more: {name}");
    }
}

#[test]
fn the_readme_comes_to_the_point() {
    let before = README.lines().position(|line| line == "# Reference").unwrap();
    assert!(before <= BEFORE_REFERENCE, "{before} lines");
    // The long tables, of commands and of options, come after everything else.
    let is_table = |heading: &str| heading.starts_with("## Command");
    let headings: Vec<&str> = README.lines().filter(|line| line.starts_with("## ")).collect();
    assert!(headings.iter().rev().take_while(|heading| is_table(heading)).count() == 2, "{headings:#?}");
    let tables = README.find("\n## Commands").unwrap();
    assert!(["\n| `/", "\n| `-"].iter().all(|row| README.find(row).is_some_and(|at| at > tables)));
}

#[test]
fn the_examples_run_as_they_stand() {
    let examples = examples();
    thread::scope(|scope| {
        let plays: Vec<_> = SCENARIOS
            .iter()
            .map(|(names, play)| {
                let lines: Vec<&str> = names
                    .iter()
                    .map(|name| examples.iter().find(|example| means(name, example)).expect(name).as_str())
                    .collect();
                (
                    lines.clone(),
                    scope.spawn(move || {
                        if let Some(world) = World::new() {
                            play(&world, &lines);
                        }
                    }),
                )
            })
            .collect();
        for (lines, play) in plays {
            assert!(play.join().is_ok(), "{lines:#?}");
        }
    });
}

/// Two machines, a person at each.
struct World {
    net: Net,
    host: Home,
    guest: Home,
    addr: String,
}

impl World {
    fn new() -> Option<Self> {
        let mut net = Net::new("the examples of README.md")?;
        let addr = net.neighbour("host");
        net.neighbour("guest");
        let (host, guest) = (Home::new(), Home::new());
        for home in [&host, &guest] {
            home.file("hosts", format!("127.0.0.1 localhost\n{addr} host\n"));
            let cargo = home.bin().join("cargo");
            fs::write(&cargo, CARGO).unwrap();
            fs::set_permissions(&cargo, PermissionsExt::from_mode(0o700)).unwrap();
        }
        Some(Self { net, host, guest, addr: format!("{addr}:5000") })
    }

    fn home(&self, machine: &str) -> &Home {
        if machine == "host" { &self.host } else { &self.guest }
    }

    /// Types a line into a new terminal of a machine.
    fn types(&self, machine: &str, line: &str) -> Pty {
        self.types_with(machine, "", line)
    }

    /// The same, in a shell that has this done before.
    fn types_with(&self, machine: &str, before: &str, line: &str) -> Pty {
        let home = self.home(machine);
        let (bin, work) = (home.bin(), home.work());
        // The machine's mounts are its own.
        let script = format!(
            "mount --bind hosts /etc/hosts\nexport PATH={}:$PATH HOME={} P2PCHAT_NAME={machine}\n{before}\n{line}",
            bin.display(),
            work.display()
        );
        self.net.terminal(machine, home, &["sh", "-c", &script])
    }

    /// Somebody who is no part of the example.
    fn plays(&self, machine: &str, arguments: &[&str]) -> Peer {
        self.net.start(machine, self.home(machine), arguments)
    }

    /// The two meet by a code, so that each is verified to the other.
    fn verify(&self) {
        let mut host = self.plays("host", &["listen", "5000", "--code=once", "--json"]);
        host.event("listening");
        let mut guest = self.plays("guest", &["connect", &self.addr, "--code=once", "--json"]);
        assert_eq!(guest.event("connected")["trust"], "verified");
        assert_eq!(host.event("connected")["trust"], "verified");
        quit(&mut host, &mut guest);
    }

    /// The guest, who sends a file and leaves when it has arrived.
    fn guest_sends(&self, name: &str) {
        let file = self.guest.file(name, name);
        let mut guest = self.plays("guest", &["connect", &self.addr, "--json"]);
        guest.send(&format!("/send {}", file.display()));
        guest.event("done");
        guest.send("/quit");
        guest.ends_with(0);
    }
}

fn talk(host: &mut Pty, guest: &mut Pty) {
    guest.keys("hello from the guest\r");
    host.shows("hello from the guest");
    host.keys("and from the host\r");
    guest.shows("and from the host");
    host.keys("/quit\r");
    assert_eq!(host.exit_code(), 0);
    guest.shows("Enter on an empty line leaves");
    guest.keys("\r");
    assert_eq!(guest.exit_code(), 0);
}

fn two_on_one_machine(world: &World, lines: &[&str]) {
    let mut listening = world.types("host", lines[0]);
    listening.shows(":5000");
    let mut dialling = world.types_with("host", "export P2PCHAT_DATA=$HOME/another P2PCHAT_NAME=guest", lines[1]);
    dialling.shows("] host, connected");
    talk(&mut listening, &mut dialling);
}

fn by_invite(world: &World, lines: &[&str]) {
    let mut listening = world.types("host", lines[0]);
    // What a person selects with the mouse: rows of the screen with all that stands in them.
    let invite = listening.wait(|shown| {
        let rows = shown.rows();
        let from = rows.iter().position(|row| row.contains("p2pchat:"))?;
        let to = rows.iter().position(|row| row.contains("or they type"))?;
        Some(rows.get(from..to)?.join("\r"))
    });
    let mut dialling = world.types("guest", lines[1]);
    dialling.shows("paste the invite");
    dialling.keys("12:00 ¦ waiting for your peer; send them this\r");
    dialling.shows("is no address");
    dialling.keys(&format!("{invite}\r"));
    dialling.shows("[verified] host, connected");
    listening.shows("[verified] guest, connected");
    talk(&mut listening, &mut dialling);
}

fn shown_code(terminal: &Pty) -> String {
    terminal.wait(|shown| shown.rows().iter().find_map(|row| row.split("code: ").nth(1).map(str::to_owned)))
}

fn by_code(world: &World, lines: &[&str]) {
    let mut listening = world.types("host", lines[0]);
    let code = shown_code(&listening);
    let mut dialling = world.types("guest", lines[1]);
    dialling.shows("code:");
    dialling.keys(&format!("{code}\r"));
    dialling.shows("[verified] host, connected");
    listening.shows("[verified] guest, connected");
    talk(&mut listening, &mut dialling);
}

fn on_one_network(world: &World, lines: &[&str]) {
    let mut listening = world.types("host", lines[0]);
    listening.shows("your peer finds you on this network with");
    let mut dialling = world.types("guest", lines[1]);
    dialling.shows("which one?");
    dialling.keys("1\r");
    dialling.shows("] host, connected");
    talk(&mut listening, &mut dialling);
}

fn a_folder_on_one_network(world: &World, lines: &[&str]) {
    photos(&world.host);
    let mut sending = world.types("host", lines[0]);
    let code = shown_code(&sending);
    sending.shows("your peer finds you on this network with");
    let mut receiving = world.types("guest", lines[1]);
    receiving.shows("which one?");
    receiving.keys("1\r");
    receiving.shows("code:");
    receiving.keys(&format!("{code}\r"));
    assert_eq!((receiving.exit_code(), sending.exit_code()), (0, 0));
    assert_eq!(fs::read(world.guest.work().join("photos/b.jpg")).unwrap(), b"bb");
}

fn photos(home: &Home) {
    fs::create_dir(home.work().join("photos")).unwrap();
    home.file("photos/a.jpg", "a");
    home.file("photos/b.jpg", "bb");
}

fn a_folder(world: &World, lines: &[&str]) {
    photos(&world.host);
    let mut sending = world.types("host", lines[0]);
    let invite = sending.invite();
    let mut receiving = world.types("guest", lines[1]);
    receiving.shows("paste here the invite");
    receiving.keys(&format!("{invite}\r"));
    assert_eq!((receiving.exit_code(), sending.exit_code()), (0, 0));
    let at = world.guest.work().join(if lines[1].contains("--dir") { "Downloads" } else { "" });
    assert_eq!(fs::read(at.join("photos/b.jpg")).unwrap(), b"bb");
}

fn an_archive(world: &World, lines: &[&str]) {
    let code = format!("export P2PCHAT_CODE='{CODE}'");
    let mut receiving = world.types_with("host", &code, lines[0]);
    receiving.shows("listening at");
    photos(&world.guest);
    let mut sending = world.types_with("guest", &format!("tar cf backup.tar photos\n{code}"), lines[1]);
    assert_eq!((sending.exit_code(), receiving.exit_code()), (0, 0));
    assert_eq!(fs::read(world.host.work().join("photos/b.jpg")).unwrap(), b"bb");
}

fn a_folder_through_pipes(world: &World, lines: &[&str]) {
    let code = format!("export P2PCHAT_CODE='{CODE}'");
    let mut receiving = world.types_with("host", &code, lines[0]);
    receiving.shows("listening at");
    photos(&world.guest);
    let mut sending = world.types_with("guest", &code, lines[1]);
    assert_eq!((sending.exit_code(), receiving.exit_code()), (0, 0));
    assert_eq!(fs::read(world.host.work().join("photos/b.jpg")).unwrap(), b"bb");
}

fn what_one_peer_sends(world: &World, lines: &[&str]) {
    let mut listening = world.types("host", lines[0]);
    listening.shows("listening at");
    world.guest_sends("a file");
    assert_eq!(listening.exit_code(), 0);
    assert_eq!(fs::read(world.host.work().join("a file")).unwrap(), b"a file");
}

fn what_verified_peers_send(world: &World, lines: &[&str]) {
    world.verify();
    let mut keeping = world.types("host", lines[0]);
    keeping.shows("listening at");
    for name in ["one", "two"] {
        world.guest_sends(name);
        assert_eq!(fs::read(world.host.work().join("inbox").join(name)).unwrap(), name.as_bytes());
    }
    keeping.keys("\u{3}");
    keeping.exit_code();
    let mut telling = world.types("host", lines[1]);
    // Nothing is shown before; the guest dials until somebody listens.
    let file = world.guest.file("three", "three");
    let mut guest = world.plays("guest", &["connect", &world.addr, "--wait", "--json"]);
    guest.send(&format!("/send {}", file.display()));
    guest.event("done");
    telling.shows("/three");
    guest.send("/quit");
    guest.ends_with(0);
    assert_eq!(telling.exit_code(), 0);
}

fn lines_of_a_growing_file(world: &World, lines: &[&str]) {
    let mut host = world.plays("host", &["listen", "5000", "--json"]);
    host.event("listening");
    let log = world.guest.file("app.log", "one\n");
    let mut pipeline = world.types("guest", lines[0]);
    host.message("one");
    let mut log = fs::OpenOptions::new().append(true).open(log).unwrap();
    std::io::Write::write_all(&mut log, b"/two\n").unwrap();
    host.message("/two");
    pipeline.keys("\u{3}");
    pipeline.exit_code();
    host.event("bye");
    host.exit_code();
}
