//! Puts everything together: what starts a conversation, what ends it, and the way to an exit code.
//!
//! Invariant: whatever ends a conversation, the frontend has shown the last notice and given the terminal back before the program ends.
//!
//! 1. [`Startup`] checks the command line and the environment, and loads the own key.
//! 2. Start the signal handler and the frontend; listen, or dial on a thread.
//! 3. The event loop ([`event_loop::EventLoop`]) handles events one by one until the conversation is over.
//! 4. Close the frontend's channel, join its thread, give the exit code.

mod accept;
mod code_prompt;
mod config;
mod conversation;
mod doctor;
mod event;
mod event_loop;
mod frontend;
mod incoming;
mod listening;
mod neighbours;
mod one_shot;
mod partials;
mod peer_policy;
mod redial;
mod signals;
mod whom;

pub use doctor::doctor;
pub use one_shot::{NobodyKnown, receive, send};
pub use partials::partials;
pub use peer_policy::peers;

use crate::channel::Code;
use crate::cli::{Connect, Listen, Reachable};
use crate::error_text::io_error_text;
use crate::exit::{Exit, UsageError};
use crate::net::address::ListenAddress;
use crate::net::dial::Dialler;
use crate::net::lan::Admits;
use crate::net::listen::{self, BindError};
use crate::net::opening::DialCredentials;
use crate::net::proxy::ProxyPolicy;
use crate::notice::{Info, Notice, Posted};
use crate::session::AcceptRule;
use crate::text::SafeText;
use anyhow::anyhow;
use code_prompt::prompt_for_code;
use config::{CodeSource, Config, Startup};
use event::Event;
use event_loop::{EventLoop, Role, Setup};
use frontend::RunningFrontend;
use listening::{ListenMode, Listening, may_dial_toward};
use peer_policy::PeerPolicy;
use redial::Dialling;
use signals::PendingSignal;
use std::env;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use whom::{VARIABLE, Whom, WhomKind};

/// Events that may wait for the event loop; it never waits for those who send them.
const EVENTS: usize = 1_024;

/// `p2pchat listen`.
///
/// # Errors
/// What keeps it from listening at all; main shows it.
pub fn listen(arguments: Listen) -> anyhow::Result<Exit> {
    let Listen { addr, reachable, invite, keep, common, .. } = arguments;
    let qr = reachable.qr;
    let start = Startup::load(&common)?;
    let config = &start.config;
    let mode = match &config.code {
        CodeSource::None if invite => ListenMode::Invite { only: true, qr },
        CodeSource::None if qr || config.rules.interactive && common.meeting.peer.is_none() => {
            ListenMode::Invite { only: false, qr }
        }
        CodeSource::None => ListenMode::Open,
        _ if invite => return Err(UsageError("--invite has a secret of its own; leave the code away".into()).into()),
        _ => listen_mode(config)?,
    };
    wait_for_peer(start, &[addr], reachable, mode, keep)
}

/// `p2pchat connect`.
///
/// # Errors
/// What keeps it from dialling at all; main shows it.
pub fn connect(arguments: Connect) -> anyhow::Result<Exit> {
    let Connect { whom, wait, lan, from, common } = arguments;
    let mut start = Startup::load(&common)?;
    start.config.from = from.from;
    dial(start, whom.as_deref(), common.meeting.peer.as_deref(), wait, lan, |_, _| Ok(()))
}

/// Whether neither the command line nor the environment says whom to dial.
fn is_unsaid(whom: Option<&str>) -> bool {
    whom.is_none() && env::var_os(VARIABLE).is_none_or(|text| text.is_empty())
}

/// Dials whom the user names, or, with `lan` and no name, one of those who announce themselves on the own network; if `fits` has nothing
/// against it.
fn dial(
    mut start: Startup,
    whom: Option<&str>,
    peer: Option<&str>,
    wait: bool,
    lan: bool,
    fits: impl FnOnce(&Config, &Whom) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let config = &mut start.config;
    if !lan || peer.is_some() || !is_unsaid(whom) {
        let whom = Whom::find(whom, peer, &config.known, lan)?;
        fits(config, &whom)?;
        return dial_peer(start, whom, wait, lan);
    }
    config.lan_proxies(&[])?;
    let (whom, admits) = match neighbours::choose(config, wait)? {
        Ok(choice) => choice,
        Err(why) => {
            let policy = PeerPolicy::listening(config.peers_file.clone(), None);
            return Ok(Running::start(start, policy, Inbox::open()?)?.fail("lan", &why, Exit::Unreachable));
        }
    };
    if admits == Admits::WithCode && matches!(config.code, CodeSource::None) {
        config.code = CodeSource::Wanted;
    }
    fits(config, &whom)?;
    dial_peer(start, whom, wait, true)
}

/// By the code that the user gave, or a new one.
fn listen_mode(config: &Config) -> anyhow::Result<ListenMode> {
    Ok(match &config.code {
        CodeSource::None => ListenMode::Open,
        CodeSource::Given(code) => ListenMode::Code(Arc::clone(code)),
        CodeSource::Wanted => ListenMode::Code(Arc::new(Code::generate()?)),
    })
}

/// Listens at the first of `choice` whose port no other program has.
fn wait_for_peer(
    start: Startup,
    choice: &[ListenAddress],
    reachable: Reachable,
    mode: ListenMode,
    keep: bool,
) -> anyhow::Result<Exit> {
    let config = &start.config;
    let policy = PeerPolicy::listening(config.peers_file.clone(), config.expected.clone());
    let takes_all_of = |open| open && config.expected.is_none() && config.rules.accept == AcceptRule::Always;
    let takes_all = takes_all_of(matches!(mode, ListenMode::Open));
    if reachable.map && takes_all_of(matches!(mode, ListenMode::Open | ListenMode::Invite { only: false, .. })) {
        let text =
            "with --map and --accept always anyone could send files here\n--invite, --code or --peer keeps others out";
        return Err(UsageError(text.into()).into());
    }
    // Who only waits dials nobody, whatever the environment says of proxies.
    let proxies = if config.pasted { config.proxies(&[])? } else { Arc::default() };
    if let Some(target) = &reachable.toward {
        may_dial_toward(target, config).map_err(|words| UsageError(format!("--toward: {words}")))?;
    }
    let running = Running::start(start, policy, Inbox::open()?)?;
    let Setup { config, peer_policy, events, .. } = &running.setup;
    let is_taken = |bound: &Result<_, BindError>| matches!(bound, Err(BindError::Bind { source, .. }) if source.kind() == ErrorKind::AddrInUse);
    let mut bound = Err(BindError::System(ErrorKind::AddrInUse.into()));
    for addr in choice {
        bound = listen::bind(addr);
        if !is_taken(&bound) {
            break;
        }
    }
    let started = bound.and_then(|sockets| {
        Listening::start(sockets, &reachable, mode, config, peer_policy, events).map_err(BindError::System)
    });
    let mut listening = match started {
        Ok(listening) => listening,
        Err(error) => return Ok(running.fail("listen", &error.to_string(), Exit::of_binding(&error))),
    };
    let notice = listening.notice();
    let unannounced = listening.announce_on_lan(false);
    if reachable.map {
        let events = events.clone();
        listening.map(move |report| drop(events.send(Event::Map(report))))?;
    } else {
        running.post(notice);
    }
    if let Some(target) = reachable.toward.clone() {
        match listening.toward(target, config) {
            Ok(notice) => running.post(notice),
            Err(words) => return Ok(running.fail("listen", &format!("--toward: {words}"), Exit::Usage)),
        }
    }
    unannounced.into_iter().for_each(|warning| running.post(warning));
    if takes_all {
        let text = "anyone who connects first may send files here; --invite, --code or --peer keeps others out";
        running.post(Notice::Warning(text.into()));
    }
    if config.pasted && !reachable.map {
        running.post(Notice::Info(Info::Text(one_shot::PASTE.into())));
    }
    if config.pasted {
        one_shot::read_invite(Arc::clone(config), proxies, events.clone())?;
    }
    if config.rules.interactive {
        let events = events.clone();
        let (bound, forwarded) = (listening.bound().to_vec(), listening.is_forwarded());
        // firewalld takes its time.
        let asks = move || drop(events.send(Event::Remarks(doctor::remarks(&bound, forwarded))));
        thread::Builder::new().name("remarks".into()).spawn(asks)?;
    }
    running.converse(Role::Listen { listening: Box::new(listening), keep })
}

fn dial_peer(start: Startup, whom: Whom, wait: bool, lan: bool) -> anyhow::Result<Exit> {
    let config = &start.config;
    let proxies = if lan { config.lan_proxies(&whom.candidates)? } else { config.proxies(&whom.candidates)? };
    if config.from.is_some()
        && whom.candidates.iter().any(|candidate| !matches!(proxies.proxy_for(candidate), Ok(None)))
    {
        let words = "--from dials directly, and a proxy is to be dialled through here\n--proxy none leaves it out";
        return Err(UsageError(words.into()).into());
    }
    let inbox = Inbox::open()?;
    let code = match (&config.code, &whom.kind) {
        (CodeSource::None, WhomKind::Invite(invite)) => Some(Arc::new(invite.code())),
        (CodeSource::None, _) => None,
        (_, WhomKind::Invite(_)) => {
            return Err(UsageError("an invite has a secret of its own; leave the code away".into()).into());
        }
        (CodeSource::Given(code), _) => Some(Arc::clone(code)),
        (CodeSource::Wanted, _) => match prompt_for_code(&inbox.pending_signal) {
            Ok(Ok(code)) => Some(Arc::new(code)),
            Ok(Err(exit)) => return Ok(exit),
            Err(error) => {
                let hint = "give it in P2PCHAT_CODE or by --code-fd where there is no terminal to ask on";
                return Err(anyhow!("cannot ask for the code: {}\n{hint}", io_error_text(&error)));
            }
        },
    };
    let (dialler, policy) = dialler(config, proxies, whom, code, lan);
    Running::start(start, policy, inbox)?.converse(Role::Dial(Dialling::new(dialler, wait, lan)))
}

/// Dials `whom`, and lets through whom the policy does; with `lan` it looks around on the own network as well.
fn dialler(
    config: &Config,
    proxies: Arc<ProxyPolicy>,
    whom: Whom,
    code: Option<Arc<Code>>,
    lan: bool,
) -> (Dialler, PeerPolicy) {
    let policy = PeerPolicy::dialling(config.peers_file.clone(), &whom, config.expected.clone());
    let expected = config.expected.as_ref().map(|(_, key)| key.pin());
    let look_for = expected.or(whom.kind.pin()).filter(|_| lan);
    let credentials = DialCredentials { identity: Arc::clone(&config.identity), code, accept_key: policy.key_check() };
    let (timeout, from) = (config.timeout, config.from);
    let Whom { candidates, called, by_invite, .. } = whom;
    let dialler =
        Dialler { candidates, whom: called, invited: by_invite, timeout, credentials, proxies, look_for, from };
    (dialler, policy)
}

/// What the event loop will hear. From here on a signal is an event, or asked for where there is no event loop yet.
struct Inbox {
    sender: SyncSender<Event>,
    events: Receiver<Event>,
    pending_signal: PendingSignal,
}

impl Inbox {
    fn open() -> anyhow::Result<Self> {
        let (sender, events) = mpsc::sync_channel(EVENTS);
        let pending_signal = signals::watch(sender.clone()).map_err(cannot_start)?;
        Ok(Self { sender, events, pending_signal })
    }
}

fn cannot_start(error: io::Error) -> anyhow::Error {
    anyhow!("cannot start: {}", io_error_text(&error))
}

/// The frontend and the signal handler run; no peer yet. (Fields are dropped in this order: the output ends with the sender of
/// notices, which is in the setup.)
struct Running {
    setup: Setup,
    events: Receiver<Event>,
    frontend: RunningFrontend,
}

impl Running {
    fn start(start: Startup, peer_policy: PeerPolicy, inbox: Inbox) -> anyhow::Result<Self> {
        let Startup { config, frontend, inputs, log, notices: first } = start;
        let Inbox { sender, events, pending_signal } = inbox;
        let (frontend, notices) = RunningFrontend::start(frontend, log, sender.clone()).map_err(cannot_start)?;
        let setup = Setup {
            config: Arc::new(config),
            peer_policy,
            events: sender,
            notices,
            backpressure: Arc::clone(&frontend.backpressure),
            pending_signal,
        };
        for input in inputs {
            setup.events.send(Event::Input(input))?;
        }
        let running = Self { setup, events, frontend };
        first.into_iter().for_each(|notice| running.post(notice));
        Ok(running)
    }

    fn post(&self, notice: Notice) {
        let _ = self.setup.notices.send(Posted { notice, peer: None, display_seq: None });
    }

    /// Says what went wrong on the frontend, and ends.
    fn fail(self, code: &'static str, text: &str, exit: Exit) -> Exit {
        self.post(Notice::Error { code, text: SafeText::with_hint(text) });
        drop(self.setup);
        self.frontend.finish(false);
        exit
    }

    fn converse(self, role: Role) -> anyhow::Result<Exit> {
        let Self { setup, events, frontend } = self;
        let ended = EventLoop::new(setup, role, events).run();
        let logged = frontend.finish(matches!(ended, Ok(Exit::Interrupt | Exit::Terminate | Exit::Hangup)));
        ended.map(|exit| if logged { exit } else { exit.or_incomplete() }).map_err(anyhow::Error::msg)
    }
}
