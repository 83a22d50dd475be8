//! What the command line and the environment ask for, checked as a whole before a thread starts or the terminal changes.
//!
//! Invariant: whatever can be wrong with either is found in [`Startup::load`]; only the system can fail after it.

use super::frontend::FrontendConfig;
use super::partials;
use super::peer_policy;
use super::whom::variable;
use crate::channel::Code;
use crate::cli::Common;
use crate::error_text::io_error_text;
use crate::exit::UsageError;
use crate::identity::{self, Identity};
use crate::keys::PublicKey;
use crate::known_peers::{KnownPeers, KnownPeersFile, PeersError};
use crate::net::address::Candidate;
use crate::net::proxy::ProxyPolicy;
use crate::notice::{Info, Input, Notice};
use crate::session::{AcceptRule, Rules};
use crate::transfer::download::{OnClash, Target};
use crate::transfer::staging::destinations;
use crate::ui::log::Log;
use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, ErrorKind, Read};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// The environment variable that stands for `--code=CODE`.
const CODE_VARIABLE: &str = "P2PCHAT_CODE";
/// Bytes of a descriptor's first line.
const LINE: u64 = 1_024;
/// Where processes find their own descriptors, by system.
const DESCRIPTORS: [&str; 2] = ["/dev/fd", "/proc/self/fd"];

/// How the two people meet.
#[derive(Debug)]
pub(super) enum CodeSource {
    None,
    /// `--code` alone: `listen` makes one, `connect` asks for it.
    Wanted,
    Given(Arc<Code>),
}

pub(super) struct Config {
    pub(super) own_name: String,
    pub(super) rules: Rules,
    /// Where received files go; absolute, so that it stays what it is.
    pub(super) dir: PathBuf,
    pub(super) target: Target,
    pub(super) on_clash: OnClash,
    pub(super) data_dir: PathBuf,
    pub(super) fsync: bool,
    pub(super) timeout: Duration,
    pub(super) identity: Arc<Identity>,
    pub(super) peers_file: KnownPeersFile,
    /// What it held at the start.
    pub(super) known: KnownPeers,
    /// `--peer`: its name and key.
    pub(super) expected: Option<(String, PublicKey)>,
    pub(super) code: CodeSource,
    /// `--proxy`.
    proxy: Option<String>,
    /// `--from`.
    pub(super) from: Option<NonZeroU16>,
    /// While it waits, a person may paste the peer's invite instead.
    pub(super) pasted: bool,
}

/// What is used up when the program begins.
pub(super) struct Startup {
    pub(super) config: Config,
    pub(super) frontend: FrontendConfig,
    /// What is done without being typed; few.
    pub(super) inputs: Vec<Input>,
    /// `--log`.
    pub(super) log: Option<Log>,
    /// To be shown first.
    pub(super) notices: Vec<Notice>,
}

impl Startup {
    /// Checks all of it, but for whom to dial ([`super::whom::Whom`]).
    ///
    /// # Errors
    /// [`UsageError`] when the command line or the environment is at fault; else what this machine does not give.
    pub(super) fn load(common: &Common) -> anyhow::Result<Self> {
        let (dir, dir_is_missing) = receiving_dir(common.dir.as_deref())?;
        let environment = variable(CODE_VARIABLE)?;
        let data_dir = identity::data_dir()?;
        let peers_file = KnownPeersFile::new(&data_dir);
        let known = peers_file.read()?;
        let mut notices: Vec<Notice> =
            peer_policy::problems(&peers_file, &known).into_iter().map(Notice::Warning).collect();
        let expect = |name: &String| {
            let missing = || UsageError(PeersError::no_such_peer(name).to_string());
            known.by_name(name).map(|peer| (name.clone(), peer.key)).ok_or_else(missing)
        };
        let expected = common.meeting.peer.as_ref().map(expect).transpose()?;
        let own_name = common.meeting.own_name().map_err(UsageError)?;
        let frontend = FrontendConfig::new(common, &data_dir);
        let interactive = frontend.is_interactive();
        let rules = Rules {
            accept: common.accept,
            stay: common.stay,
            interactive,
            reconnect_timeout: common.meeting.reconnect_timeout(interactive),
            home: env::home_dir(),
        };
        // Where nobody is asked, the folder that was named is meant.
        let goes_there = common.dir.is_some() && rules.accept != AcceptRule::Ask;
        let target = if goes_there { Target::Dir } else { Target::DirOrRecorded };
        // What is read from a descriptor is gone from it, so this comes after all else that the user can get wrong.
        let code = code(common, environment)?;
        let identity = Arc::new(Identity::load_or_create(&data_dir)?);
        if dir_is_missing {
            fs::create_dir(&dir).map_err(|error| no_receiving(&dir, &io_error_text(&error)))?;
            notices.push(Notice::Info(Info::Text(format!("made the folder {}", dir.display()).into())));
        }
        let log = common.log.as_deref().map(Log::open).transpose().map_err(UsageError)?;
        // A script has no use for what a person may clean up.
        if !common.meeting.json {
            notices.extend(partials::reminder(&data_dir).map(|text| Notice::Warning(text.into())));
        }
        let config = Config {
            own_name,
            rules,
            dir,
            target,
            on_clash: common.on_clash,
            data_dir,
            fsync: common.fsync,
            timeout: common.meeting.timeout(),
            identity,
            peers_file,
            known,
            expected,
            code,
            proxy: common.meeting.proxy.clone(),
            from: None,
            pasted: false,
        };
        Ok(Self { config, frontend, inputs: Vec::new(), log, notices })
    }
}

impl Config {
    /// Which of `candidates` are dialled through which proxy, by the option and the environment.
    pub(super) fn proxies(&self, candidates: &[Candidate]) -> Result<Arc<ProxyPolicy>, UsageError> {
        // What is no UTF-8 is no URL either, and never taken for unset.
        let variable = |name: &str| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let proxies = ProxyPolicy::from_settings(self.proxy.as_deref(), variable).map_err(UsageError)?;
        proxies.check(candidates).map_err(UsageError)?;
        Ok(Arc::new(proxies))
    }

    /// For `--lan`, which goes past any proxy.
    pub(super) fn lan_proxies(&self, candidates: &[Candidate]) -> Result<Arc<ProxyPolicy>, UsageError> {
        let proxies = self.proxies(candidates)?;
        if proxies.proxy().is_some() {
            let text = "--lan looks around on the own network, past the proxy\n--proxy none connects without it";
            return Err(UsageError(text.into()));
        }
        Ok(proxies)
    }
}

/// The folder that received files go to, absolute, and whether it has to be made.
fn receiving_dir(named: Option<&Path>) -> Result<(PathBuf, bool), UsageError> {
    let dir = named.unwrap_or(Path::new("."));
    let failed = |error: io::Error| no_receiving(dir, &io_error_text(&error));
    let (absolute, missing) = match (destinations::full_path(dir), dir.parent(), dir.file_name()) {
        (Err(error), Some(parent), Some(name)) if error.kind() == ErrorKind::NotFound && !dir.is_symlink() => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            (destinations::full_path(parent).map_err(failed)?.join(name), true)
        }
        (found, ..) => (found.map_err(failed)?, false),
    };
    if !missing && !absolute.is_dir() {
        return Err(no_receiving(dir, "it is no folder"));
    }
    // Who only wants to talk may do so in any folder.
    #[cfg(unix)]
    if named.is_some() && !missing {
        use rustix::fs::{Access, access};
        access(&absolute, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| failed(error.into()))?;
    }
    Ok((absolute, missing))
}

fn no_receiving(dir: &Path, why: &str) -> UsageError {
    UsageError(format!(
        "cannot receive into {}: {why}\n--dir names a folder that files may be put into; only its last part is made",
        dir.display()
    ))
}

/// What `--code`, `--code-fd` and the environment say together.
fn code(common: &Common, environment: Option<Zeroizing<String>>) -> Result<CodeSource, UsageError> {
    let given = |code: Code| CodeSource::Given(Arc::new(code));
    if let Some(number) = common.meeting.code_fd {
        return code_from_descriptor(number).map(given);
    }
    match (common.meeting.code.as_deref(), environment) {
        (Some(text), _) if !text.is_empty() => {
            Code::new(text).map(given).map_err(|error| UsageError(format!("--code: {error}")))
        }
        (_, Some(text)) => Code::new(&text).map(given).map_err(|error| UsageError(format!("{CODE_VARIABLE}: {error}"))),
        (Some(_), None) => Ok(CodeSource::Wanted),
        (None, None) => Ok(CodeSource::None),
    }
}

/// The code in the first line of a file descriptor.
fn code_from_descriptor(number: u32) -> Result<Code, UsageError> {
    if !cfg!(unix) {
        return Err(UsageError(format!("--code-fd works on Unix alone\ngive the code in {CODE_VARIABLE}")));
    }
    let unreadable = |error: io::Error| {
        let why = io_error_text(&error);
        let hint = "--code-fd N reads what N<FILE or N<<<CODE gives";
        UsageError(format!("cannot read a code from file descriptor {number}: {why}\n{hint}"))
    };
    // All the room at once: a buffer that grows leaves unwiped copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(usize::try_from(LINE).unwrap_or_default()));
    let read = match number {
        // What follows the line is chat, and waits in this very buffer.
        0 => io::stdin().lock().take(LINE).read_until(b'\n', &mut line).map(drop),
        _ => open(number).and_then(|file| first_line(file, &mut line)),
    };
    read.map_err(unreadable)?;
    let text = str::from_utf8(&line).map_err(|error| unreadable(io::Error::new(ErrorKind::InvalidData, error)))?;
    Code::new(text).map_err(|error| UsageError(format!("file descriptor {number}: {error}")))
}

fn open(number: u32) -> io::Result<File> {
    let folder = DESCRIPTORS.iter().map(Path::new).find(|folder| folder.exists()).unwrap_or(Path::new("/dev/fd"));
    File::open(folder.join(number.to_string()))
}

/// Byte by byte, since what follows belongs to others.
#[allow(clippy::unbuffered_bytes, reason = "a buffer would take what follows")]
fn first_line(file: File, line: &mut Vec<u8>) -> io::Result<()> {
    for byte in file.take(LINE).bytes() {
        match byte? {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    Ok(())
}
