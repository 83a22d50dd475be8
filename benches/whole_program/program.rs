//! p2pchat itself: a process that is driven by its input and its events, as a script would.

use crate::bench::Way;
use crate::cost::{Cost, Meter, peak_memory};
use crate::relay::{self, Link};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(600);

/// This program.
pub(crate) const OWN: &str = env!("CARGO_BIN_EXE_p2pchat");

/// An event and when it was read.
pub(crate) type Event = (Instant, Value);

/// A running p2pchat.
pub(crate) struct Program {
    child: Child,
    input: ChildStdin,
    events: Receiver<Event>,
}

impl Program {
    /// Starts this build of it with a data directory of its own.
    pub(crate) fn start(binary: &Path, place: &Path, who: &str, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(binary)
            .args(arguments)
            .args(["--json", "--name", who])
            .env("P2PCHAT_DATA", place.join("data").join(who))
            .env_remove("P2PCHAT_CODE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start p2pchat")?;
        let input = child.stdin.take().context("no input")?;
        let output = child.stdout.take().context("no output")?;
        let (tell, events) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let at = Instant::now();
                let Ok(event) = serde_json::from_str(&line) else { continue };
                if tell.send((at, event)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, input, events })
    }

    /// A listener that takes what it is sent, and the address it is at.
    pub(crate) fn listen(binary: &Path, place: &Path, into: &Path) -> Result<(Self, String)> {
        let into = into.to_str().context("not a path of text")?;
        let arguments = ["listen", "127.0.0.1:0", "--accept", "always", "--on-clash", "overwrite", "--dir", into];
        let program = Self::start(binary, place, "receiver", &arguments)?;
        let listening = program.wait_for("listening")?;
        let addr = listening.1.pointer("/addrs/0").and_then(Value::as_str).context("no address")?;
        Ok((program, addr.to_owned()))
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        self.input.write_all(format!("{line}\n").as_bytes()).context("p2pchat takes no input any more")
    }

    /// The next event of this name; those before it are passed over, unless they tell of a failure.
    pub(crate) fn wait_for(&self, name: &str) -> Result<Event> {
        let until = Instant::now() + PATIENCE;
        loop {
            let Some(event) = self.next(until.saturating_duration_since(Instant::now()))? else {
                bail!("waited too long for {name:?}");
            };
            if event.1.get("event").and_then(Value::as_str) == Some(name) {
                return Ok(event);
            }
        }
    }

    /// The next event, if one comes in time.
    pub(crate) fn next(&self, wait: Duration) -> Result<Option<Event>> {
        match self.events.recv_timeout(wait) {
            Ok((_, event)) if matches!(name(&event), "failed" | "error" | "declined" | "lost") => {
                bail!("p2pchat says {event}")
            }
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("p2pchat ended early"),
        }
    }

    /// Waits for its end; its exit code if it had one.
    pub(crate) fn end(mut self) -> Result<Option<i32>> {
        Ok(self.child.wait()?.code())
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // After an error nobody waits for it any more; one that ended is not there to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a transfer was: what it cost from the sender's start to both ends, and the sender's `done`.
pub(crate) struct Sent {
    pub(crate) cost: Cost,
    pub(crate) done: Value,
}

impl Sent {
    /// A number in `done`.
    pub(crate) fn number(&self, member: &str) -> Result<f64> {
        self.done.get(member).and_then(Value::as_f64).with_context(|| format!("no {member}"))
    }
}

/// Sends from one to another, both of this build, directly or over a link.
pub(crate) fn send(binary: &Path, link: Option<Link>, place: &Path, path: &Path, into: &Path) -> Result<Sent> {
    let (receiver, mut addr) = Program::listen(binary, place, into)?;
    if let Some(link) = link {
        addr = relay::start(addr.parse()?, link)?.to_string();
    }
    let meter = Meter::start()?;
    let mut sender = Program::start(binary, place, "sender", &["connect", &addr])?;
    sender.say(&format!("/send {}", path.display()))?;
    let (_, done) = sender.wait_for("done")?;
    let peak = peak_memory(sender.process()).ok().zip(peak_memory(receiver.process()).ok());
    sender.say("/quit")?;
    for program in [sender, receiver] {
        let code = program.end()?;
        ensure!(code == Some(0), "p2pchat ended with {code:?}");
    }
    Ok(Sent { cost: Cost { peak, ..meter.stop()? }, done })
}

/// The name of an event.
pub(crate) fn name(event: &Value) -> &str {
    event.get("event").and_then(Value::as_str).unwrap_or_default()
}

/// A file or a folder by `/send`, through this link when there is one.
pub(crate) fn file_way(link: Option<Link>) -> Way {
    let run =
        move |from: &Path, into: &Path| Ok(send(Path::new(OWN), link, into.parent().unwrap_or(into), from, into)?.cost);
    Way { name: "p2pchat", run: Box::new(run) }
}
