//! `p2pchat send` and `p2pchat receive`: one transfer by a session that nobody types into.
//!
//! The session, its rules and the frontends are those of a chat. What differs: the input is made here, an offer is taken without a
//! question, and nobody is let in or dialled whose key no code proves and this user has not verified.

use super::config::{CodeSource, Config, Startup};
use super::event::Event;
use super::listening::ListenMode;
use super::whom::{Whom, WhomKind, pasted_invite};
use super::{dial, dialler, is_unsaid, listen_mode, wait_for_peer};
use crate::cli::{Common, DialFrom, Meeting, Receive, Send, Waiting};
use crate::command::{SendSource, StreamReader};
use crate::error_text::io_error_text;
use crate::exit::{Exit, UsageError};
use crate::net::address::{DEFAULT_PORT, ListenAddress};
use crate::net::proxy::ProxyPolicy;
use crate::notice::{Input, Trust};
use crate::session::AcceptRule;
use crate::transfer::download::{OnClash, Target};
use crate::ui::frontend::Purpose;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use thiserror::Error;

/// A one-shot was asked to talk to somebody of whom nothing is known but an address, or a name that was never verified: exit code 4.
#[derive(Debug, Error)]
#[error("{0} is nobody that you verified\nuse an invite, --code on both sides, or meet once in a chat and /verify")]
pub struct NobodyKnown(String);

/// `p2pchat send`.
///
/// # Errors
/// What keeps it from beginning; main shows it.
pub fn send(arguments: Send) -> anyhow::Result<Exit> {
    let Send { paths, to, stream_name, from, waiting, meeting } = arguments;
    let source = source(paths, stream_name)?;
    let is_stream = matches!(source, SendSource::Stream { .. });
    let mut start = startup(meeting, None, false, Purpose::Send)?;
    start.config.pasted &= !is_stream;
    start.config.rules.accept = AcceptRule::Never;
    start.inputs = vec![Input::Send(source), Input::Ended];
    wait_or_dial(start, to.as_deref(), from, waiting, false)
}

/// `p2pchat receive`.
///
/// # Errors
/// What keeps it from beginning; main shows it.
pub fn receive(arguments: Receive) -> anyhow::Result<Exit> {
    let target = arguments.target();
    if target == Target::Output && io::stdout().is_terminal() {
        let text = "--stdout is for a pipe or a file: what the peer sends could do anything to a terminal";
        return Err(UsageError(text.into()).into());
    }
    let Receive { whom, dir, fsync, from, waiting, meeting, .. } = arguments;
    let purpose = if target == Target::Output { Purpose::Pipe } else { Purpose::Receive };
    let mut start = startup(meeting, dir, fsync, purpose)?;
    start.config.rules.accept = AcceptRule::One;
    start.config.target = target;
    // Who sends with --lan announces itself, so who receives looks around, unless it is to listen.
    let looks = waiting.reachable.lan && waiting.listen.is_none();
    wait_or_dial(start, whom.as_deref(), from, waiting, looks)
}

/// Said while a person at a terminal waits.
pub(super) const PASTE: &str = "or paste here the invite that you were sent, then Enter";

/// Reads the terminal, on a thread that lives as long as the program, for the invite of a peer that waits as well.
pub(super) fn read_invite(config: Arc<Config>, proxies: Arc<ProxyPolicy>, events: SyncSender<Event>) -> io::Result<()> {
    let read = move || {
        let Some(invite) = pasted_invite() else { return };
        let whom = Whom::invite(invite, &config.peers_file.read().unwrap_or_default());
        let code = if let WhomKind::Invite(invite) = &whom.kind { Some(Arc::new(invite.code())) } else { None };
        let _ = events.send(Event::Dial(Box::new(dialler(&config, proxies, whom, code, false))));
    };
    thread::Builder::new().name("invite".into()).spawn(read).map(drop)
}

fn source(paths: Vec<PathBuf>, stream_name: Option<String>) -> Result<SendSource, UsageError> {
    let streams = paths.iter().filter(|path| *path == Path::new("-")).count();
    match (streams, stream_name) {
        (0, None) => {}
        (0, Some(_)) => return Err(UsageError("--as is for standard input: send - --as NAME".into())),
        (1, name) if paths.len() == 1 => {
            let name = name.unwrap_or_else(|| "stdin".into());
            return Ok(SendSource::Stream { name, reader: StreamReader::new(io::stdin()) });
        }
        _ => return Err(UsageError("- is sent alone\na file of that name is ./-".into())),
    }
    for path in &paths {
        path.symlink_metadata()
            .map_err(|error| UsageError(format!("cannot send {}: {}", path.display(), io_error_text(&error))))?;
    }
    Ok(SendSource::Paths(paths))
}

fn startup(meeting: Meeting, dir: Option<PathBuf>, fsync: bool, purpose: Purpose) -> anyhow::Result<Startup> {
    let common = Common {
        meeting,
        dir,
        accept: AcceptRule::Never,
        on_clash: OnClash::Rename,
        plain: true,
        no_color: true,
        stay: false,
        fsync,
        log: None,
        history: false,
    };
    let mut start = Startup::load(&common)?;
    let config = &mut start.config;
    // Who watches the bar can end it; a script gets its answer some day.
    config.rules.reconnect_timeout = common.meeting.reconnect_timeout(io::stderr().is_terminal());
    let by_invite = matches!(config.code, CodeSource::None) && config.expected.is_none();
    config.pasted = by_invite && !common.meeting.json && io::stdin().is_terminal();
    start.frontend = start.frontend.one_shot(purpose);
    Ok(start)
}

/// `looks`: without `whom` it looks around on the own network instead of waiting.
fn wait_or_dial(
    mut start: Startup,
    whom: Option<&str>,
    from: DialFrom,
    waiting: Waiting,
    looks: bool,
) -> anyhow::Result<Exit> {
    start.config.from = from.from;
    let config = &start.config;
    if looks || !is_unsaid(whom) {
        if waiting.listen.is_some() || waiting.reachable.is_for_who_waits() {
            let words = "--listen, --at, --map, --qr and --toward are for who waits, not for who dials";
            return Err(UsageError(words.into()).into());
        }
        let peer = config.expected.as_ref().map(|(name, _)| name.clone()).filter(|_| looks);
        return dial(start, whom, peer.as_deref(), false, waiting.reachable.lan, is_trusted);
    }
    if config.from.is_some() {
        return Err(UsageError("--from is for who dials, not for who waits; that takes --toward".into()).into());
    }
    let mode = match (&config.code, &config.expected) {
        (CodeSource::None, None) => ListenMode::Invite { only: true, qr: waiting.reachable.qr },
        (CodeSource::None, Some((name, key))) => match config.known.lookup(key) {
            Some(peer) if peer.trust == Trust::Verified => ListenMode::Open,
            _ => return Err(NobodyKnown(name.clone()).into()),
        },
        _ => listen_mode(config)?,
    };
    let everywhere = |port| ListenAddress { host: None, port };
    let choice = waiting.listen.map_or_else(|| vec![everywhere(DEFAULT_PORT), everywhere(0)], |addr| vec![addr]);
    wait_for_peer(start, &choice, waiting.reachable, mode, false)
}

/// A code, or a verified key: nobody else is talked to.
fn is_trusted(config: &Config, whom: &Whom) -> anyhow::Result<()> {
    if matches!(config.code, CodeSource::None) && !is_verified(config, whom) {
        return Err(NobodyKnown(whom.called.clone()).into());
    }
    Ok(())
}

/// Whether the key that answers there will be one that this user verified; others are refused then.
fn is_verified(config: &Config, whom: &Whom) -> bool {
    let expected = config.expected.as_ref().and_then(|(_, key)| config.known.lookup(key));
    match (&whom.kind, expected) {
        (WhomKind::Invite(_), _) => true,
        (_, Some(peer)) => peer.trust == Trust::Verified,
        (WhomKind::Peer(peer), None) => peer.trust == Trust::Verified,
        (WhomKind::Stranger, None) => false,
        (WhomKind::Address, None) => {
            config.known.at_address(&whom.called).iter().any(|peer| peer.trust == Trust::Verified)
        }
    }
}
