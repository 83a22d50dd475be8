//! What a user has: a data directory with the own key, and a folder that files arrive in.

use super::files::settled;
use super::peer::{Peer, Watch};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::{env, fs};
use tempfile::TempDir;

/// Outlives the program, so that it can be started again with the same key.
#[derive(Clone)]
pub(crate) struct Home {
    dir: Arc<TempDir>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self { dir: Arc::new(TempDir::new().unwrap()) };
        fs::create_dir(home.inbox()).unwrap();
        fs::create_dir(home.work()).unwrap();
        home
    }

    /// `P2PCHAT_DATA`; made by the program.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// `--dir`.
    pub(crate) fn inbox(&self) -> PathBuf {
        self.dir.path().join("inbox")
    }

    /// The working directory.
    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// A folder for `PATH` that has the program under its name.
    #[cfg(unix)]
    pub(crate) fn bin(&self) -> PathBuf {
        let bin = self.dir.path().join("bin");
        if fs::create_dir(&bin).is_ok() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_p2pchat"), bin.join("p2pchat")).unwrap();
        }
        bin
    }

    /// A file to send: made, and its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Names in the receiving folder, sorted, hidden ones too.
    pub(crate) fn received(&self) -> Vec<String> {
        settled(&self.inbox());
        names(&self.inbox())
    }

    /// Any command, not started: own directories, none of the caller's settings.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("P2PCHAT_")) {
            command.env_remove(name);
        }
        command.env("P2PCHAT_DATA", self.data()).current_dir(self.work());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The program, not started.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_p2pchat"));
        command.args(arguments);
        command
    }

    /// Runs a command of the program that ends by itself.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.program(arguments))
    }

    /// Starts any command of the program.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Peer {
        Peer::start(name, self, self.program(arguments), None)
    }

    /// The same, with these variables of the environment.
    pub(crate) fn start_in(&self, name: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Peer {
        let mut program = self.program(arguments);
        program.envs(environment.iter().copied());
        Peer::start(name, self, program, None)
    }

    /// The program started by a line of shell that ends in `"$@"`, with limits say.
    pub(crate) fn start_by(&self, name: &str, shell: &str, arguments: &[&str]) -> Peer {
        let mut command = self.command("sh");
        command.args(["-c", shell, "sh", env!("CARGO_BIN_EXE_p2pchat")]).args(arguments);
        Peer::start(name, self, command, None)
    }

    /// `listen` with `--json` on a free port of 127.0.0.1; it listens by the time this returns.
    pub(crate) fn listen(&self, name: &str, options: &[&str]) -> Peer {
        self.listen_at("127.0.0.1:0", name, options)
    }

    /// The same at an address of the test's choice.
    pub(crate) fn listen_at(&self, addr: &str, name: &str, options: &[&str]) -> Peer {
        let peer = self.json(name, &["listen", addr], options, None);
        peer.event("listening");
        peer
    }

    /// `connect` with `--json`.
    pub(crate) fn connect(&self, name: &str, addr: SocketAddr, options: &[&str]) -> Peer {
        self.json(name, &["connect", &addr.to_string()], options, None)
    }

    /// Either, with `watch` looking at each event first; what it does not keep is forgotten.
    pub(crate) fn json(&self, name: &str, role: &[&str], options: &[&str], watch: Option<Watch>) -> Peer {
        let inbox = self.inbox();
        let common = ["--json", "-n", name, "--dir", inbox.to_str().unwrap()];
        Peer::start(name, self, self.program(&[role, &common, options].concat()), watch)
    }
}

/// A command that has ended: its exit code, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let [out, err] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    Ran { code: status.code(), out, err }
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}
