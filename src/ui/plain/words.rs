//! What the plain face says about everything but chat: a notice becomes no line, one line, or one and hints below it.

use crate::command;
use crate::ui::pump::Verbosity;
use crate::ui::words::{count, duration, percent, rate, seconds, size, to_dial};
use crate::ui::{Direction, Info, Notice, PeerText, SafeText, TransferInfo, Trust};
use std::collections::BTreeMap;

/// Progress is told each time it passes a multiple of this, in percent.
const STEP: u8 = 10;

/// Chooses the words, and remembers what is needed for them.
pub(super) struct Speech {
    verbosity: Verbosity,
    /// Open transfers; the session bounds their number.
    transfers: BTreeMap<u32, Transfer>,
}

struct Transfer {
    direction: Direction,
    /// The last multiple of [`STEP`] that was told.
    step: u8,
}

impl Speech {
    pub(super) fn new(verbosity: Verbosity) -> Self {
        Self { verbosity, transfers: BTreeMap::new() }
    }

    /// The lines to show, of safe text and without marks.
    pub(super) fn lines(&mut self, notice: &Notice) -> Vec<String> {
        let least = self.least(notice);
        let lines = self.words(notice);
        if self.verbosity < least { Vec::new() } else { lines }
    }

    /// The lowest verbosity at which the notice is shown.
    fn least(&self, notice: &Notice) -> Verbosity {
        match notice {
            Notice::Status(_) | Notice::File { .. } => Verbosity::Verbose,
            Notice::Listening { .. }
            | Notice::Connected { .. }
            | Notice::Offer { asks: true, .. }
            | Notice::Failed { .. }
            | Notice::Info(_)
            | Notice::Warning(_)
            | Notice::Error { .. } => Verbosity::Quiet,
            Notice::Declined { by_peer, .. } | Notice::Cancelled { by_peer, .. } if *by_peer => Verbosity::Quiet,
            _ => Verbosity::Normal,
        }
    }

    fn words(&mut self, notice: &Notice) -> Vec<String> {
        match notice {
            Notice::Message { .. } | Notice::Sent { .. } | Notice::Delivered { .. } => Vec::new(),
            Notice::Status(text) => vec![clean(text)],
            Notice::Listening { addrs, code } => listening(addrs, code.as_deref()),
            Notice::Connected { peer, fingerprint, addr, verify, trust, own } => {
                self.connected(peer, fingerprint, addr, verify.as_deref(), *trust, own)
            }
            Notice::Offer { transfer, direction, .. } => {
                self.transfers.insert(*transfer, Transfer { direction: *direction, step: 0 });
                offer(notice)
            }
            Notice::Accepted { transfer } => vec![format!("[{transfer}] accepted")],
            Notice::Declined { transfer, reason, by_peer } => self.ended(*transfer, "declined", reason, *by_peer),
            Notice::Cancelled { transfer, reason, by_peer } => self.ended(*transfer, "cancelled", reason, *by_peer),
            Notice::Progress { transfer, bytes, total, .. } => self.progress(*transfer, *bytes, *total),
            Notice::File { transfer, path, bytes, blake3 } => {
                vec![format!("[{transfer}] {}, {}", path.safe(), size(*bytes)), format!("blake3 {}", clean(blake3))]
            }
            Notice::Done { transfer, path, files, bytes, seconds } => {
                self.done(*transfer, path, *files, *bytes, *seconds)
            }
            Notice::Failed { transfer, path: Some(path), reason } => {
                headed(&format!("[{transfer}] failed: {}: ", path.safe()), reason)
            }
            Notice::Failed { transfer, path: None, reason } => {
                self.transfers.remove(transfer);
                headed(&format!("[{transfer}] failed: "), reason)
            }
            Notice::Trust { peer, trust } => vec![format!("{} is now {}", peer.safe(), trust.word())],
            Notice::Info(info) => self::info(info),
            Notice::Lost { reason, waiting } => {
                let mut lines = headed("connection lost: ", reason);
                match waiting {
                    0 => {}
                    1 => lines.push("1 line or transfer waits for its return".to_owned()),
                    _ => lines.push(format!("{waiting} lines and transfers wait for its return")),
                }
                lines
            }
            Notice::Reconnected { .. } => vec!["connected again".to_owned()],
            Notice::Warning(text) => headed("warning: ", text),
            Notice::Error { text, .. } => headed("error: ", text),
            Notice::Bye { from_peer: true, reason } => headed_some("your peer left", reason),
            Notice::Bye { from_peer: false, reason } => headed_some("goodbye", reason),
        }
    }

    fn connected(
        &self,
        peer: &PeerText,
        fingerprint: &str,
        addr: &str,
        verify: Option<&str>,
        trust: Trust,
        own: &str,
    ) -> Vec<String> {
        let trust_words = match trust {
            Trust::New => "new: never met before",
            Trust::Known => "known, not verified",
            Trust::Verified => "verified",
        };
        let mut lines = vec![format!("connected to {} at {} ({trust_words})", peer.safe(), clean(addr))];
        if self.verbosity > Verbosity::Quiet {
            lines.push(format!("fingerprint {fingerprint}, your own name here is {}", clean(own)));
        }
        match verify {
            Some(verify) if trust != Trust::Verified => {
                lines.push(format!("verification number {verify}"));
                lines.push("compare it over another way, such as a call; when it is the same: /verify".to_owned());
            }
            Some(verify) if self.verbosity == Verbosity::Verbose => lines.push(format!("verification number {verify}")),
            _ => {}
        }
        lines
    }

    fn ended(&mut self, transfer: u32, how: &str, reason: &SafeText, by_peer: bool) -> Vec<String> {
        self.transfers.remove(&transfer);
        let who = if by_peer { " by your peer" } else { "" };
        headed_some(&format!("[{transfer}] {how}{who}"), reason)
    }

    fn progress(&mut self, transfer: u32, bytes: u64, total: u64) -> Vec<String> {
        let percent = percent(bytes, total);
        let step = percent / STEP * STEP;
        let Some(state) = self.transfers.get_mut(&transfer) else { return Vec::new() };
        // A transfer that begins anew falls back without a word; its end is told as done.
        let passed = step > state.step && percent < 100;
        state.step = step;
        if passed { vec![format!("[{transfer}] {percent} %, {} of {}", size(bytes), size(total))] } else { Vec::new() }
    }

    fn done(&mut self, transfer: u32, path: &PeerText, files: u32, bytes: u64, took: f64) -> Vec<String> {
        let how = match self.transfers.remove(&transfer).map(|transfer| transfer.direction) {
            Some(Direction::In) => "received",
            Some(Direction::Out) => "sent",
            None => "done",
        };
        let time = seconds(took);
        let rate = rate(bytes, time).map(|rate| format!(", {rate}")).unwrap_or_default();
        let what = format!("{}, {} in {}{rate}", count(files, "file"), size(bytes), duration(time));
        vec![format!("[{transfer}] {how} {what}: {}", path.safe())]
    }
}

/// A line to copy for each address; how the code gets to the peer is for its user to say.
fn listening(addrs: &[String], code: Option<&str>) -> Vec<String> {
    let bound = addrs.first().map(|addr| clean(addr)).unwrap_or_default();
    let mut lines = vec![format!("listening at {bound}; your peer connects with")];
    lines.extend(to_dial(addrs, code.is_some()));
    if let Some(code) = code {
        lines.push(format!("and this code: {}", clean(code)));
    }
    lines
}

fn offer(notice: &Notice) -> Vec<String> {
    let Notice::Offer { transfer, direction, name, more, files, folders, bytes, clashes, free, asks } = notice else {
        return Vec::new();
    };
    let who = match direction {
        Direction::In => "your peer offers",
        Direction::Out => "offered to your peer:",
    };
    let folders = if *folders > 0 { format!(", {}", count(*folders, "folder")) } else { String::new() };
    // The peer's name for it stands last, so that nothing it holds can be read as the program's words.
    let what = format!("{}{folders}, {}: {}", count(*files, "file"), size(*bytes), name.safe());
    let mut lines = vec![format!("[{transfer}] {who} {what}")];
    if *more > 0 {
        lines.push(format!("and {} beside it", count(*more, "name")));
    }
    if let Some(free) = free {
        let enough = if free < bytes { "only " } else { "" };
        lines.push(format!("{enough}{} free", size(*free)));
    }
    match clashes {
        Some(1) => lines.push("1 name exists already".to_owned()),
        Some(clashes) if *clashes > 0 => lines.push(format!("{clashes} names exist already")),
        _ => {}
    }
    if *asks {
        lines.push(format!(
            "/accept {transfer}, /accept {transfer} FOLDER or /decline {transfer}; names: /transfers {transfer}"
        ));
    }
    lines
}

fn info(info: &Info) -> Vec<String> {
    match info {
        Info::Help => command::HELP.lines().map(str::to_owned).collect(),
        Info::Text(text) => text.lines().map(str::to_owned).collect(),
        Info::Peer(pairs) => pairs.iter().map(|(label, value)| format!("{label}: {value}")).collect(),
        Info::Transfers(rows) if rows.is_empty() => vec!["nothing is on its way".to_owned()],
        Info::Transfers(rows) => rows.iter().map(row).collect(),
        Info::Names { transfer, names } => {
            let heading = format!("[{transfer}] {}", count(u64::try_from(names.len()).unwrap_or(u64::MAX), "name"));
            let names = names.iter().map(|(path, bytes)| match bytes {
                Some(bytes) => format!("{:>10}  {}", size(*bytes), path.safe()),
                None => format!("{:>10}  {}", "", path.safe()),
            });
            std::iter::once(heading).chain(names).collect()
        }
    }
}

fn row(row: &TransferInfo) -> String {
    let TransferInfo { transfer, direction, name, state, bytes, total, files_done, files } = row;
    let way = match direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    let percent = percent(*bytes, *total);
    let sizes = format!("{} of {}", size(*bytes), size(*total));
    format!(
        "[{transfer}] {way}, {state}, {percent} %, {sizes}, {files_done} of {}: {}",
        count(*files, "file"),
        name.safe()
    )
}

/// The lines of `text`, the first after `head`.
fn headed(head: &str, text: &SafeText) -> Vec<String> {
    let heads = std::iter::once(head).chain(std::iter::repeat(""));
    heads.zip(text.lines()).map(|(head, line)| format!("{head}{line}")).collect()
}

/// `head` alone when there is no text.
fn headed_some(head: &str, text: &SafeText) -> Vec<String> {
    if text.as_str().is_empty() { vec![head.to_owned()] } else { headed(&format!("{head}: "), text) }
}

fn clean(text: &str) -> String {
    SafeText::clean(text).to_string()
}
