//! Everything put together: what starts a conversation, what ends it, and the way to an exit code.
//!
//! Invariant: whatever ends a conversation, the face has shown the last notice and given the terminal back before the program ends.
//!
//! 1. Read what the command line means; load the own key; choose the face and start it.
//! 2. Listen, or dial on a thread of its own; signals and input arrive on theirs.
//! 3. The event loop ([`event_loop::EventLoop`]) takes events one by one until the conversation is over.
//! 4. Close the face's channel, join its thread, give the exit code.

mod accept;
mod code_prompt;
mod event_loop;
mod executor;
mod frontend;
mod partials;
mod peer_policy;
mod redial;
mod signals;

use crate::channel::Code;
use crate::cli::{CodeSource, Common, Connect, Listen, PartialsCommand, PeersCommand};
use crate::error_text::io_error_text;
use crate::exit::Exit;
use crate::identity::{self, Identity};
use crate::known_peers::Peers;
use crate::net::address::Address;
use crate::net::dial::{Dialler, Wake};
use crate::net::listen::{BindError, ListenCredentials, Listener};
use crate::net::opening::DialCredentials;
use crate::notice::{Input, Notice, Posted};
use crate::session::Rules;
use crate::transfer::resume::Journals;
use crate::ui::pump::Verbosity;
use crate::ui::terminal::{Terminal, wants_colour};
use crate::ui::{InputBackpressure, InputSender};
use anyhow::Context;
use code_prompt::Asked;
use event_loop::{Event, EventLoop, Role};
use frontend::{Ends, Face, FaceKind};
use peer_policy::PeerPolicy;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use thiserror::Error;

/// Happenings that may wait for the owner; it never waits for those who send them.
const EVENTS: usize = 1_024;

/// The command line asks for what cannot be: exit code 2.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Misuse(String);

/// What both roles need, made from the command line.
pub(crate) struct Setup {
    pub(crate) own_name: String,
    pub(crate) rules: Rules,
    pub(crate) dir: PathBuf,
    pub(crate) journals: Arc<Journals>,
    pub(crate) fsync: bool,
    pub(crate) peer_policy: Arc<PeerPolicy>,
    pub(crate) events_in: SyncSender<Event>,
    pub(crate) gate: Arc<InputBackpressure>,
}

/// `p2pchat listen`.
///
/// # Errors
/// What keeps it from listening at all; main shows it.
pub fn listen(arguments: Listen) -> anyhow::Result<Exit> {
    let Listen { addr, keep, common, .. } = arguments;
    let stage = Stage::set(&common)?;
    let code = match code(&common)? {
        CodeSource::None => None,
        CodeSource::Given(code) => Some(Arc::new(code)),
        CodeSource::Descriptor(number) => Some(Arc::new(code_from(number)?)),
        CodeSource::Wanted => Some(Arc::new(Code::generate().context("cannot make a code")?)),
    };
    let key_requirement = stage.peer_policy.key_requirement(None, common.peer.as_deref())?;
    let events_in = stage.events_in.clone();
    let on_event = move |event| {
        let _ = events_in.send(Event::ListenEvent(event));
    };
    let credentials = ListenCredentials {
        identity: Arc::clone(&stage.identity),
        accept_key: Arc::new(move |key: &_| key_requirement.check(key)),
        code: code.clone(),
        timeout: common.timeout(),
    };
    let listener = match Listener::start(&addr.0, credentials, on_event) {
        Ok(listener) => listener,
        Err(error) => return Ok(stage.fail("listen", &error, exit_of_bind(&error))),
    };
    let addrs = listener.addrs().to_vec();
    let hint = code.as_ref().map(|code| code.display().to_owned());
    stage.post(Notice::Listening { addrs: accept::addresses(&addrs), code: hint });
    if code.is_none() && common.peer.is_none() && common.accept.rule() == crate::session::AcceptRule::Always {
        let words = "anyone who connects first may send files here; --code or --peer keeps others out";
        stage.post(Notice::Warning(words.into()));
    }
    stage.converse(Role::Listen { listener, code, keep })
}

fn exit_of_bind(error: &BindError) -> Exit {
    match error {
        BindError::Resolve(..) | BindError::Bind { .. } => Exit::Unreachable,
        BindError::System(_) => Exit::Failure,
    }
}

/// `p2pchat connect`.
///
/// # Errors
/// What keeps it from dialling at all; main shows it.
pub fn connect(arguments: Connect) -> anyhow::Result<Exit> {
    let Connect { addr, wait, common } = arguments;
    let code = match code(&common)? {
        CodeSource::None => None,
        CodeSource::Given(code) => Some(Arc::new(code)),
        CodeSource::Descriptor(number) => Some(Arc::new(code_from(number)?)),
        CodeSource::Wanted => match code_prompt::at_the_terminal()? {
            Asked::Code(code) => Some(Arc::new(code)),
            Asked::Left(exit) => return Ok(exit),
        },
    };
    let stage = Stage::set(&common)?;
    let address: Address = addr.0;
    let key_requirement = stage.peer_policy.key_requirement(Some(&address), common.peer.as_deref())?;
    let credentials = DialCredentials {
        identity: Arc::clone(&stage.identity),
        code,
        accept_key: Arc::new(move |key: &_| key_requirement.check(key)),
    };
    let dialler = Dialler { address, timeout: common.timeout(), credentials };
    stage.converse(Role::Dial { dialler, wake: Arc::new(Wake::default()), wait })
}

/// `p2pchat id`.
///
/// # Errors
/// When there is no key and none can be made.
pub fn fingerprint() -> anyhow::Result<String> {
    Ok(Identity::load_or_create(&identity::data_dir()?)?.public().fingerprint())
}

/// `p2pchat peers`: what to print.
///
/// # Errors
/// When the file cannot be read or written, or the name is not in it.
pub fn peers(command: PeersCommand) -> anyhow::Result<String> {
    peer_policy::peers(Peers::open(&identity::data_dir()?)?, command)
}

/// `p2pchat partials`: what to print, and whether all was done.
///
/// # Errors
/// When they cannot be read, or what is to be removed is not there.
pub fn partials(command: PartialsCommand) -> anyhow::Result<(String, Exit)> {
    let data = identity::data_dir()?;
    let peers = Peers::open(&data)?;
    partials::carry_out(&partials::dir(&data), &peers, command)
}

fn code(common: &Common) -> anyhow::Result<CodeSource> {
    common.code().map_err(|text| Misuse(text).into())
}

fn code_from(descriptor: u32) -> Result<Code, Misuse> {
    code_prompt::from_descriptor(descriptor).map_err(|error| Misuse(error.to_string()))
}

/// What stands before a role is played: key, face, channels.
struct Stage {
    setup_parts: SetupParts,
    identity: Arc<Identity>,
    peer_policy: Arc<PeerPolicy>,
    events_in: SyncSender<Event>,
    events: mpsc::Receiver<Event>,
    notices: mpsc::Sender<Posted>,
    face: Face,
    gate: Arc<InputBackpressure>,
}

struct SetupParts {
    own_name: String,
    rules: Rules,
    dir: PathBuf,
    journals: Arc<Journals>,
    fsync: bool,
}

impl Stage {
    fn set(common: &Common) -> anyhow::Result<Self> {
        let dir = receiving_dir(&common.dir)?;
        let data = identity::data_dir()?;
        let identity = Arc::new(Identity::load_or_create(&data)?);
        let peer_policy = Arc::new(PeerPolicy::new(Peers::open(&data)?));
        let kind = FaceKind::choose(common, std::io::stdin().is_terminal(), std::io::stdout().is_terminal());
        let own_name = common.own_name();
        let interactive = kind == FaceKind::Terminal;
        let rules = Rules {
            accept: common.accept.rule(),
            on_clash: common.on_clash.rule(),
            stay: common.stay,
            interactive,
            reconnect_timeout: common.reconnect_timeout(interactive),
        };
        let (events_in, events) = mpsc::sync_channel(EVENTS);
        let (notices, for_face) = mpsc::channel();
        let gate = Arc::new(InputBackpressure::default());
        signals::watch(events_in.clone())?;
        let intake = {
            let events_in = events_in.clone();
            InputSender::new(Arc::clone(&gate), move |input: Input| events_in.send(Event::Input(input)).is_ok())
        };
        let verbosity = frontend::verbosity(common);
        let terminal = Terminal {
            own: own_name.clone(),
            history: common.history.then(|| data.join("history")),
            colour: wants_colour(common.no_color),
            verbose: verbosity == Verbosity::Verbose,
        };
        let ends = Ends { notices: for_face, intake, events_in: events_in.clone() };
        let face = Face::start(kind, terminal, verbosity, ends)?;
        let parts =
            SetupParts { own_name, rules, dir, journals: Journals::new(partials::dir(&data)), fsync: common.fsync };
        for problem in peer_policy.problems() {
            let _ = notices.send(Posted { notice: Notice::Warning(problem), settles: None });
        }
        // A script has no use for what a person may clean up.
        if kind != FaceKind::Json
            && let Some(words) = partials::reminder(&partials::dir(&data))
        {
            let _ = notices.send(Posted { notice: Notice::Warning(words.into()), settles: None });
        }
        Ok(Self { setup_parts: parts, identity, peer_policy, events_in, events, notices, face, gate })
    }

    fn post(&self, notice: Notice) {
        let _ = self.notices.send(Posted { notice, settles: None });
    }

    /// Nothing came of it: says so on the face and ends.
    fn fail(self, code: &'static str, error: &dyn std::error::Error, exit: Exit) -> Exit {
        self.post(Notice::Error { code, text: crate::ui::SafeText::with_hint(&error.to_string()) });
        drop(self.notices);
        self.face.join(false);
        exit
    }

    fn converse(self, role: Role) -> anyhow::Result<Exit> {
        let Self { setup_parts, peer_policy, events_in, events, notices, face, gate, .. } = self;
        let SetupParts { own_name, rules, dir, journals, fsync } = setup_parts;
        let setup = Setup { own_name, rules, dir, journals, fsync, peer_policy, events_in, gate };
        let ended = EventLoop::new(setup, role, events, notices).run();
        let signal = matches!(ended, Ok(Exit::Interrupt | Exit::Terminate | Exit::Hangup));
        face.join(signal);
        ended.map_err(anyhow::Error::msg)
    }
}

/// The folder that received files go to, absolute, so that it stays what it is.
fn receiving_dir(dir: &Path) -> anyhow::Result<PathBuf> {
    let absolute = dir.canonicalize().map_err(|error| {
        Misuse(format!(
            "cannot receive into {}: {}\n--dir names an existing folder",
            dir.display(),
            io_error_text(&error)
        ))
    })?;
    if !absolute.is_dir() {
        return Err(Misuse(format!("cannot receive into {}: it is no folder", dir.display())).into());
    }
    Ok(absolute)
}
