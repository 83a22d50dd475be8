//! The command line: arguments become valid values here, or never.
//!
//! Every option's name, default and range are here (stable: scripts rely on them). `app/config.rs` checks what they mean together.

mod hints;
mod local;

pub use hints::parse;
pub use local::{Doctor, PartialsCommand, PeersCommand};

use crate::net::address::{Candidate, ListenAddress};
use crate::protocol::frame::{NAME, RECONNECT_FOREVER};
use crate::session::AcceptRule;
use crate::transfer::Name;
use crate::transfer::download::{OnClash, Target};
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use std::env;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

const NAME_VARIABLE: &str = "P2PCHAT_NAME";
/// Seconds for connecting and the handshake, by default.
const TIMEOUT: u64 = 10;
/// The longest that may be asked for: an hour; beyond that it is a mistake.
const TIMEOUT_MOST: u64 = 3_600;
/// Seconds a lost session is kept where no person sits at a terminal.
const RECONNECT: u32 = 300;

/// Encrypted chat and files between two terminals, with nothing in between
#[derive(Debug, Parser)]
#[command(
    name = "p2pchat",
    version,
    max_term_width = 100,
    // Without the section of options, which has only two, it fits a screen.
    help_template = "{about}\n\n{usage-heading} {usage}\n\nCommands:\n{subcommands}{after-help}",
    after_help = "\
Examples (all options: p2pchat help COMMAND; the version: p2pchat --version):
  p2pchat listen            wait for a peer; prints an invite to send it
  p2pchat connect           asks for the invite or an address; /help tells more"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Wait for a peer
    Listen(Listen),
    /// Connect to a peer that listens
    Connect(Connect),
    /// Send files or folders to one peer, and leave
    Send(Send),
    /// Receive one transfer, and leave
    Receive(Receive),
    /// Look for what keeps others from reaching this machine
    Doctor(Doctor),
    /// Print the own fingerprint
    Id,
    /// List, forget or rename known peers
    Peers {
        #[command(subcommand)]
        command: Option<PeersCommand>,
    },
    /// List or remove what unfinished downloads left
    Partials {
        #[command(subcommand)]
        command: Option<PartialsCommand>,
    },
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page
    Man {
        /// Of this command, as in man listen
        command: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub struct Listen {
    /// Where to wait
    #[arg(
        value_name = "ADDR",
        default_value = "5050",
        help = "PORT, HOST:PORT or [IPV6]:PORT; port 0 takes a free one"
    )]
    pub addr: ListenAddress,
    #[command(flatten)]
    pub reachable: Reachable,
    /// Only for who has the invite that it prints
    #[arg(long, conflicts_with_all = ["code", "code_fd"])]
    pub invite: bool,
    /// Take the next peer when one leaves
    #[arg(long, conflicts_with = "once")]
    pub keep: bool,
    /// End with the first session (the default)
    #[arg(long)]
    pub once: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Connect {
    /// Whom to dial
    #[arg(
        value_name = "WHOM",
        value_hint = ValueHint::Username,
        help = "HOST:PORT, HOST or [IPV6]:PORT (port 5050 when none is given), an invite, the name of a known peer, or - to read one \
                of these from the input; none: asks for it [default: P2PCHAT_INVITE]"
    )]
    pub whom: Option<String>,
    /// Try again until the peer listens
    #[arg(long)]
    pub wait: bool,
    /// Look for the peer on the own network (multicast DNS); without WHOM, choose who of those that announce themselves
    #[arg(long)]
    pub lan: bool,
    #[command(flatten)]
    pub from: DialFrom,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Debug, Args)]
pub struct Send {
    /// Files or folders; - is standard input
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Dial instead of waiting: an invite, the name of a verified peer, or HOST:PORT with --code; - reads it from the input
    #[arg(long, value_name = "WHOM", value_hint = ValueHint::Username)]
    pub to: Option<String>,
    /// What standard input is called at the peer [default: stdin]
    #[arg(long = "as", value_name = "NAME", value_parser = offered_name)]
    pub stream_name: Option<String>,
    #[command(flatten)]
    pub from: DialFrom,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub meeting: Meeting,
}

#[derive(Debug, Args)]
pub struct Receive {
    /// Dial instead of waiting: an invite, the name of a verified peer, or HOST:PORT with --code; - reads it from the input
    #[arg(value_name = "WHOM", value_hint = ValueHint::Username)]
    pub whom: Option<String>,
    /// Where it goes; made when only its last folder is missing [default: the current folder]
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Write it to standard output: one file, or what `send -` reads
    #[arg(long, conflicts_with = "json")]
    pub stdout: bool,
    #[command(flatten)]
    pub from: DialFrom,
    /// Wait for the disk itself before a file counts as received
    #[arg(long)]
    pub fsync: bool,
    #[command(flatten)]
    pub waiting: Waiting,
    #[command(flatten)]
    pub meeting: Meeting,
}

/// For a one-shot that waits.
#[derive(Debug, Args)]
pub struct Waiting {
    /// Where to wait [default: port 5050, or a free one]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<ListenAddress>,
    #[command(flatten)]
    pub reachable: Reachable,
}

/// How a dialler meets a peer behind a firewall.
#[derive(Debug, Args)]
pub struct DialFrom {
    /// Dial from this port, again and again, for a peer behind a firewall that listens with --toward THIS_MACHINE:PORT
    #[arg(long, value_name = "PORT", conflicts_with = "lan", value_parser = port, allow_negative_numbers = true)]
    pub from: Option<NonZeroU16>,
}

/// How callers find the way to who waits.
#[derive(Debug, Args)]
pub struct Reachable {
    /// An address that only you know to lead here, such as a forwarded port; may be given several times
    #[arg(long, value_name = "HOST:PORT")]
    pub at: Vec<Candidate>,
    /// Ask the router to let callers in, by PCP, NAT-PMP or UPnP, while this side listens
    #[arg(long)]
    pub map: bool,
    /// Dial there as well, from the port listened on, until the peer is here: both are behind firewalls, and it dials --from that port
    #[arg(long, value_name = "ADDR:PORT")]
    pub toward: Option<Candidate>,
    /// Show the invite as a QR code as well
    #[arg(long, conflicts_with_all = ["code", "code_fd"])]
    pub qr: bool,
    /// Be found, or find the peer, on the own network, without a name on it (multicast DNS)
    #[arg(long)]
    pub lan: bool,
}

impl Reachable {
    /// Whether anything is asked for that only who waits can do.
    pub fn is_for_who_waits(&self) -> bool {
        !self.at.is_empty() || self.map || self.toward.is_some() || self.qr
    }
}

impl Receive {
    /// Where what is received goes.
    pub fn target(&self) -> Target {
        if self.stdout { Target::Output } else { Target::Dir }
    }
}

/// What all sessions share.
#[derive(Debug, Args)]
pub struct Meeting {
    /// What to call yourself [default: P2PCHAT_NAME, else the login name]
    #[arg(short, long, value_name = "NAME", value_parser = own_name)]
    pub name: Option<String>,
    /// Meet by a code: who waits makes one, who dials is asked for it; or P2PCHAT_CODE, or --code=CODE
    #[arg(long, value_name = "CODE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub code: Option<String>,
    /// Meet by the code in the first line of this file descriptor (Unix), as in --code-fd 3 3<FILE
    #[arg(long, value_name = "N", conflicts_with = "code", value_parser = descriptor, allow_negative_numbers = true)]
    pub code_fd: Option<u32>,
    /// Demand the key of this known peer
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Username)]
    pub peer: Option<String>,
    /// Dial through this proxy: socks5://, socks5h:// or http://HOST:PORT, or none [default: P2PCHAT_PROXY, else ALL_PROXY]
    #[arg(long, value_name = "URL")]
    pub proxy: Option<String>,
    /// One JSON object a line on standard output
    #[arg(long)]
    pub json: bool,
    /// How long to wait for a lost connection: SECONDS or forever; 0 is not at all [default: forever in a terminal, else 300]
    #[arg(long, value_name = "SECONDS", value_parser = reconnect_timeout, allow_negative_numbers = true)]
    pub reconnect: Option<u32>,
    /// For connecting and the handshake together
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT, value_parser = timeout, allow_negative_numbers = true)]
    pub timeout: u64,
    /// Say more
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say less
    #[arg(short, long, action = ArgAction::Count)]
    pub quiet: u8,
}

/// What `listen` and `connect` share.
#[derive(Debug, Args)]
pub struct Common {
    #[command(flatten)]
    pub meeting: Meeting,
    /// Where received files go; made when only its last folder is missing [default: the current folder]
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Which offered files to take: ask, always, verified (only from verified peers) or never
    #[arg(long, value_enum, default_value_t = AcceptRule::Ask, value_name = "WHICH", hide_possible_values = true)]
    pub accept: AcceptRule,
    /// When a received name exists: rename (`name (1)`), overwrite or refuse
    #[arg(long, value_enum, default_value_t = OnClash::Rename, value_name = "HOW", hide_possible_values = true)]
    pub on_clash: OnClash,
    /// Plain lines, no cursor motion, also in a terminal
    #[arg(long, conflicts_with = "json")]
    pub plain: bool,
    /// No colours
    #[arg(long)]
    pub no_color: bool,
    /// Remain when the input ends, until the peer leaves
    #[arg(long)]
    pub stay: bool,
    /// Wait for the disk itself before a file counts as received
    #[arg(long)]
    pub fsync: bool,
    /// Append what both say, and how transfers end, to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub log: Option<PathBuf>,
    /// Keep the typed lines of all sessions in the data directory
    #[arg(long)]
    pub history: bool,
}

impl Meeting {
    /// For connecting and the handshake.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// Seconds to keep a lost session; [`RECONNECT_FOREVER`] for ever.
    pub fn reconnect_timeout(&self, interactive: bool) -> u32 {
        self.reconnect.unwrap_or(if interactive { RECONNECT_FOREVER } else { RECONNECT })
    }

    /// The name to use: option, environment or login name.
    ///
    /// # Errors
    /// When the variable is set and cannot be a name.
    pub fn own_name(&self) -> Result<String, String> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        if let Some(name) = env::var_os(NAME_VARIABLE).filter(|name| !name.is_empty()) {
            let name = name.to_str().ok_or_else(|| "it is not valid UTF-8".to_owned()).and_then(own_name);
            return name.map_err(|error| format!("{NAME_VARIABLE}: {error}"));
        }
        let login = whoami::username().ok().and_then(|name| own_name(&name).ok());
        Ok(login.unwrap_or_else(|| "anonymous".into()))
    }
}

fn own_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    match name.len() {
        0 => Err("a name has at least one character".into()),
        bytes if bytes > NAME => Err(format!("a name has at most {NAME} bytes, this has {bytes}")),
        _ if name.chars().any(char::is_control) => Err("a name has no control characters".into()),
        _ => Ok(name.into()),
    }
}

/// What a stream is called at the peer: a name as the wire has it.
fn offered_name(text: &str) -> Result<String, String> {
    Name::new(text).map(|name| name.as_str().to_owned()).map_err(str::to_owned)
}

fn port(text: &str) -> Result<NonZeroU16, String> {
    text.parse().map_err(|_| "a port is a number from 1 to 65535".into())
}

fn descriptor(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "the number of a file descriptor, as in --code-fd 3 3<FILE".into())
}

fn timeout(text: &str) -> Result<u64, String> {
    let seconds = u64::from_str(text).ok().filter(|seconds| (1..=TIMEOUT_MOST).contains(seconds));
    seconds.ok_or_else(|| format!("a number of seconds from 1 to {TIMEOUT_MOST}"))
}

fn reconnect_timeout(text: &str) -> Result<u32, String> {
    if text == "forever" {
        return Ok(RECONNECT_FOREVER);
    }
    let seconds = u32::from_str(text).map_err(|_| "a number of seconds, or forever".to_owned())?;
    Ok(seconds.min(RECONNECT_FOREVER - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn meeting(arguments: &[&str]) -> Meeting {
        let all = ["p2pchat", "connect", "host"].iter().chain(arguments);
        match Cli::try_parse_from(all).unwrap().command {
            Command::Connect(connect) => connect.common.meeting,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_a_screen() {
        let mut command = Cli::command();
        let help = command.render_help().to_string();
        assert!(help.lines().count() <= 24, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }

    #[test]
    fn the_reconnect_timeout_is_seconds_or_forever() {
        assert_eq!(meeting(&["--reconnect", "forever"]).reconnect_timeout(false), RECONNECT_FOREVER);
        assert_eq!(meeting(&["--reconnect", "0"]).reconnect_timeout(true), 0);
        assert_eq!(meeting(&[]).reconnect_timeout(true), RECONNECT_FOREVER);
        assert_eq!(meeting(&[]).reconnect_timeout(false), RECONNECT);
        assert!(Cli::try_parse_from(["p2pchat", "connect", "host", "--reconnect", "-1"]).is_err());
    }

    #[test]
    fn a_name_is_short_and_printable() {
        for bad in ["", "  ", "a\u{1b}[2J", &"x".repeat(NAME + 1)] {
            assert!(own_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(own_name(" Ana María "), Ok("Ana María".into()));
    }
}
