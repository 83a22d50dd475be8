//! The other ways: a bare TCP stream, and the programs that people use for this.

use crate::bench::Way;
use crate::cost::{Cost, Meter};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes moved at a time by [`tcp`].
const BLOCK: usize = 256 * 1024;
/// Copies into memory that does not begin at such a multiple can be much slower.
const ALIGNED: usize = 64;
/// A program that was just started listens within this time.
const SOON: Duration = Duration::from_secs(10);

/// What the machine can do at best with reads and writes alone: no encryption, no digest, one thread an end.
pub(crate) fn tcp() -> Way {
    Way {
        name: "plain TCP copy",
        run: Box::new(|from, into| {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let addr = listener.local_addr()?;
            let meter = Meter::start()?;
            let mut source = File::open(from)?;
            let mut target = File::create(into.join("received"))?;
            let sender = thread::spawn(move || {
                let mut stream = TcpStream::connect(addr)?;
                copy(&mut source, &mut stream)?;
                anyhow::Ok(stream.shutdown(Shutdown::Write)?)
            });
            copy(&mut listener.accept()?.0, &mut target)?;
            sender.join().map_err(|_| anyhow!("the sending thread panicked"))??;
            meter.stop()
        }),
    }
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> Result<()> {
    let mut buffer = vec![0; BLOCK + ALIGNED];
    let begin = buffer.as_ptr().align_offset(ALIGNED).min(ALIGNED);
    let block = buffer.get_mut(begin..begin + BLOCK).context("a block")?;
    loop {
        let count = from.read(block)?;
        match block.get(..count) {
            Some([]) | None => return Ok(()),
            Some(data) => to.write_all(data)?,
        }
    }
}

/// `nc` from file to file.
pub(crate) fn nc_file() -> Option<Way> {
    let nc = Nc::find()?;
    let run = move |from: &Path, into: &Path| {
        let send = format!("{} < {}", nc.dial, quoted(from));
        pair(&format!("{} > {}", nc.listen, quoted(&into.join("received"))), &send)
    };
    Some(Way { name: "nc", run: Box::new(run) })
}

/// `tar | nc` to `nc | tar`.
pub(crate) fn tar_nc() -> Option<Way> {
    let nc = Nc::find().filter(|_| installed("tar"))?;
    let run = move |from: &Path, into: &Path| {
        let (place, name) = (from.parent().context("no folder")?, from.file_name().context("no name")?);
        let pack = format!("tar -C {} -cf - {}", quoted(place), quoted(Path::new(name)));
        let send = format!("{pack} | {}", nc.dial);
        pair(&format!("{} | tar -C {} -xf -", nc.listen, quoted(into)), &send)
    };
    Some(Way { name: "tar | nc | tar", run: Box::new(run) })
}

/// The two forms of the installed `nc`, with `$PORT` for the port.
struct Nc {
    listen: &'static str,
    dial: &'static str,
}

impl Nc {
    /// Every `nc` has other options to make it end with its input.
    fn find() -> Option<Self> {
        let help = Command::new("nc").arg("-h").output().ok()?;
        let help = String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).into_owned();
        if help.contains("OpenBSD") {
            Some(Self { listen: "nc -l 127.0.0.1 $PORT </dev/null", dial: "nc -N 127.0.0.1 $PORT" })
        } else if help.contains("-q secs") {
            Some(Self { listen: "nc -l -s 127.0.0.1 -p $PORT </dev/null", dial: "nc -q 0 127.0.0.1 $PORT" })
        } else {
            None
        }
    }
}

/// `rsync` to a daemon of its own: its network protocol without `ssh`.
pub(crate) fn rsync() -> Option<Way> {
    installed("rsync").then(|| Way { name: "rsync (CPU: sender)", run: Box::new(run_rsync) })
}

fn run_rsync(from: &Path, into: &Path) -> Result<Cost> {
    let port = free_port()?;
    let config = into.with_extension("rsyncd.conf");
    let user = nix::unistd::getuid();
    let text = format!(
        "use chroot = no\nuid = {user}\n[into]\npath = {}\nread only = no\n{}",
        into.display(),
        if user.is_root() { "gid = 0\n" } else { "" }
    );
    fs::write(&config, text)?;
    let mut daemon = Command::new("rsync")
        .args(["--daemon", "--no-detach", "--address=127.0.0.1", &format!("--port={port}")])
        .arg(format!("--config={}", config.display()))
        .stdin(Stdio::null())
        .spawn()?;
    let until = Instant::now() + SOON;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(Instant::now() < until, "the rsync daemon does not listen");
        thread::sleep(Duration::from_millis(5));
    }
    let meter = Meter::start()?;
    let status = Command::new("rsync").arg("-a").arg(from).arg(format!("rsync://127.0.0.1:{port}/into/")).status()?;
    let wall = meter.elapsed();
    // The daemon's part for this transfer is nobody's child any more: its CPU time is missing.
    daemon.kill()?;
    daemon.wait()?;
    ensure!(status.success(), "rsync: {status}");
    Ok(Cost { wall, ..meter.stop()? })
}

/// `scp`, where this machine lets its own user in without a question.
pub(crate) fn scp() -> Option<Way> {
    let quiet = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=3"];
    let lets_in = Command::new("ssh").args(quiet).args(["localhost", "true"]).output().ok()?.status.success();
    let run = move |from: &Path, into: &Path| {
        let meter = Meter::start()?;
        let target = format!("localhost:{}", into.display());
        let status = Command::new("scp").args(["-q", "-r"]).args(quiet).arg(from).arg(target).status()?;
        ensure!(status.success(), "scp: {status}");
        // The server's part is nobody's child here: its CPU time is missing.
        meter.stop()
    };
    lets_in.then(|| Way { name: "scp (CPU: sender)", run: Box::new(run) })
}

/// Runs a listening and a sending shell command with `$PORT` set; the sending one again until the other listens.
fn pair(listen: &str, send: &str) -> Result<Cost> {
    let port = free_port()?.to_string();
    let shell = |line: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("PORT", &port).stdin(Stdio::null());
        command
    };
    let mut listener = shell(listen).spawn()?;
    let until = Instant::now() + SOON;
    loop {
        let meter = Meter::start()?;
        let sent = shell(send).stderr(Stdio::null()).status()?;
        if sent.success() {
            let received = listener.wait()?;
            ensure!(received.success(), "{listen}: {received}");
            return meter.stop();
        }
        if Instant::now() > until {
            listener.kill()?;
            listener.wait()?;
            bail!("{send}: {sent}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// A port that nobody has just now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
