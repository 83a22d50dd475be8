//! Whom to dial: what stands where a peer is to be named, and where that peer may be.
//!
//! `WHOM` is an invite, the name of a peer that is verified or was named by this user, or an address. A name that a peer chose for itself
//! never decides whom one talks to.

use crate::error_text::io_error_text;
use crate::exit::UsageError;
use crate::keys::{Pin, PublicKey};
use crate::known_peers::{KnownPeer, KnownPeers};
use crate::net::address::{AddressError, Candidate};
use crate::net::invite::{BAR, Invite, InviteError, LONGEST, PREFIX};
use crate::net::reach::OwnNetworks;
use crate::notice::Trust;
use std::env;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::mem;
use zeroize::Zeroizing;

/// The environment variable that stands for the argument: so an invite is not in the list of processes.
pub(super) const VARIABLE: &str = "P2PCHAT_INVITE";
/// Bytes of a line that is read: the longest invite, in the longest characters.
const LINE: u64 = 4 * 1_024;

/// What the environment says; what is no text is never taken for nothing.
pub(super) fn variable(name: &str) -> Result<Option<Zeroizing<String>>, UsageError> {
    match env::var(name) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(UsageError(format!("{name}: it is not valid UTF-8"))),
    }
}

/// The peer to dial.
#[derive(Debug, Clone)]
pub(super) struct Whom {
    /// Where it may be.
    pub(super) candidates: Vec<Candidate>,
    /// What messages call it.
    pub(super) called: String,
    /// An invite says so, good or used.
    pub(super) by_invite: bool,
    pub(super) kind: WhomKind,
}

/// What is known of the key to expect.
#[derive(Debug, Clone)]
pub(super) enum WhomKind {
    /// An address, where a known peer may have answered before.
    Address,
    /// The key that the invite names.
    Invite(Invite),
    /// The key of a known peer.
    Peer(Box<KnownPeer>),
    /// Nothing: it announces itself on the own network, where addresses have another owner every day.
    Stranger,
}

impl WhomKind {
    /// By what its announcement is recognised, when `--lan` looks for it.
    pub(super) fn pin(&self) -> Option<Pin> {
        match self {
            Self::Invite(invite) => Some(*invite.pin()),
            Self::Peer(peer) => Some(peer.key.pin()),
            Self::Address | Self::Stranger => None,
        }
    }
}

impl Whom {
    /// What `argument`, else `P2PCHAT_INVITE`, else `--peer` alone, else the person at the terminal says.
    ///
    /// # Errors
    /// When it is not said, or not so that it can be done.
    pub(super) fn find(
        argument: Option<&str>,
        peer: Option<&str>,
        known: &KnownPeers,
        lan: bool,
    ) -> Result<Self, UsageError> {
        match (argument, variable(VARIABLE)?.filter(|text| !text.is_empty()), peer) {
            (Some("-"), ..) => Self::parse(&next_line().map_err(unread)?, known, lan),
            // A shell takes the first line of a pasted invite for all of it; the others come next.
            (Some(text), ..) if is_cut(text) && io::stdin().is_terminal() => ask(known, text, lan),
            (Some(text), ..) => Self::parse(text, known, lan),
            (None, Some(text), _) => {
                Self::parse(&text, known, lan).map_err(|error| UsageError(format!("{VARIABLE}: {error}")))
            }
            // That the name is known was seen to before.
            (None, None, Some(name)) => match known.by_name(name) {
                Some(peer) => Self::peer(peer, lan),
                None => Self::parse(name, known, lan),
            },
            (None, None, None) if io::stdin().is_terminal() => ask(known, "", lan),
            (None, None, None) => Err(UsageError(
                "whom to connect to? give an address, an invite or the name of a known peer\n- reads it from the first line of the input"
                    .into(),
            )),
        }
    }

    fn parse(text: &str, known: &KnownPeers, lan: bool) -> Result<Self, UsageError> {
        let text = text.trim();
        match Invite::parse(text) {
            Ok(invite) => return Ok(Self::invite(invite, known)),
            Err(InviteError::NoPrefix) => {}
            Err(error) => return Err(UsageError(error.to_string())),
        }
        let named = known.by_name(text).filter(|peer| peer.trust == Trust::Verified || peer.named);
        let candidate: Candidate = match (text.parse(), named) {
            (Err(AddressError::PortAlone(_) | AddressError::Port(_)), Some(peer)) => return Self::peer(peer, lan),
            (parsed, _) => parsed.map_err(|error| unfit(text, &error))?,
        };
        if candidate.host == text
            && let Some(peer) = named
        {
            if candidate.resolve().is_ok() {
                let words = format!(
                    "{text} is a known peer, and a host\n--peer {text} alone means the peer, {candidate} the host"
                );
                return Err(UsageError(words));
            }
            return Self::peer(peer, lan);
        }
        Ok(Self {
            called: candidate.to_string(),
            candidates: vec![candidate],
            by_invite: false,
            kind: WhomKind::Address,
        })
    }

    pub(super) fn invite(invite: Invite, known: &KnownPeers) -> Self {
        let candidates = invite.candidates().to_vec();
        // An invite is good once. Who used it before returns by the key that it led to.
        let used = known.iter().find(|peer| peer.invite.as_deref() == Some(&*invite.id()) && invite.names(&peer.key));
        let (called, kind) = match used {
            Some(peer) => (peer.name.clone(), WhomKind::Peer(Box::new(peer.clone()))),
            None => ("your peer".into(), WhomKind::Invite(invite)),
        };
        Self { candidates, called, by_invite: true, kind }
    }

    /// Where the peer with this key is now, by an address or an invite of it: `/redial`.
    ///
    /// # Errors
    /// When it is not said, or not so that it can be done.
    pub(super) fn moved(place: &str, key: &PublicKey) -> Result<Self, UsageError> {
        match Invite::parse(place) {
            Ok(invite) if !invite.names(key) => Err(UsageError("the invite is of somebody else than your peer".into())),
            Err(InviteError::NoPrefix) => Self::parse(place, &KnownPeers::default(), false),
            Ok(invite) => Ok(Self::invite(invite, &KnownPeers::default())),
            Err(error) => Err(UsageError(error.to_string())),
        }
    }

    /// With `lan` it may be found.
    fn peer(peer: &KnownPeer, lan: bool) -> Result<Self, UsageError> {
        let candidates: Vec<Candidate> =
            peer.dialled.iter().chain(&peer.via).filter_map(|at| at.parse().ok()).collect();
        let called = peer.name.clone();
        if candidates.is_empty() && !lan {
            let words = format!(
                "it is not known where {called} is: this side never dialled it\n\
                 connect ADDRESS --peer NAME dials it there, --lan looks for it on this network"
            );
            return Err(UsageError(words));
        }
        Ok(Self { candidates, called, by_invite: false, kind: WhomKind::Peer(Box::new(peer.clone())) })
    }
}

fn unfit(text: &str, error: &AddressError) -> UsageError {
    UsageError(match error {
        AddressError::NoInterface(_) => format!("{text:?}: {error}\nthis machine has {}", OwnNetworks::now().names()),
        AddressError::PortAlone(port) => format!("{error}\nto wait for a peer there: p2pchat listen {port}"),
        // It has the text in it.
        AddressError::Malformed(_) => error.to_string(),
        _ => format!("{text:?}: {error}"),
    })
}

fn unread(error: io::Error) -> UsageError {
    UsageError(format!("cannot read whom to connect to: {}", io_error_text(&error)))
}

/// A line of standard input, empty at its end; what follows stays in the same buffer, where the frontend reads on.
pub(super) fn next_line() -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::with_capacity(LONGEST));
    io::stdin().lock().take(LINE).read_line(&mut line)?;
    Ok(line)
}

/// Whether a text begins as an invite does, and does not end so.
fn is_cut(text: &str) -> bool {
    matches!(Invite::parse(text), Err(InviteError::Damaged(_)))
}

/// What a person pastes or types, gathered from its lines. An invite may come in several, behind a command and the marks of the chat
/// screen; it ends where its check is right, or with an empty line.
#[derive(Default)]
struct Pasted(Zeroizing<String>);

impl Pasted {
    /// Takes a line; gives all of what ended with it, if anything did.
    fn push(&mut self, line: &str) -> Option<Zeroizing<String>> {
        let folded = Zeroizing::new(line.to_ascii_lowercase());
        let line = match folded.find(PREFIX) {
            Some(start) => {
                // What was begun before is given up.
                self.0.clear();
                line.get(start..).unwrap_or(line)
            }
            None if self.0.is_empty() => without_command(line),
            None => line,
        };
        self.0.push_str(line);
        let may_go_on = is_cut(&self.0) && !line.trim().is_empty() && self.0.len() <= LONGEST * 2;
        if self.0.trim().is_empty() {
            self.0.clear();
        }
        (!may_go_on && !self.0.is_empty()).then(|| mem::take(&mut self.0))
    }
}

/// A row of the chat screen that shows what to type, without its bar and its command; the invite may be on the next one.
fn without_command(line: &str) -> &str {
    let said = line.trim_start_matches(|c: char| c.is_whitespace() || c == BAR);
    let commands = ["p2pchat connect", "p2pchat receive", "p2pchat send"];
    commands.iter().find_map(|command| said.strip_prefix(command)).unwrap_or(line)
}

/// Asks the person at the terminal, who began with `begun`.
fn ask(known: &KnownPeers, begun: &str, lan: bool) -> Result<Whom, UsageError> {
    let mut err = io::stderr();
    let words = if begun.is_empty() { "paste the invite or type an address" } else { "paste the rest of the invite" };
    writeln!(err, "{words}, then Enter:").map_err(unread)?;
    let mut pasted = Pasted::default();
    pasted.push(begun);
    loop {
        let line = next_line().map_err(unread)?;
        let ended = line.is_empty();
        match pasted.push(&line).map(|text| Whom::parse(&text, known, lan)) {
            Some(Ok(whom)) => return Ok(whom),
            Some(Err(error)) if ended => return Err(error),
            Some(Err(error)) => writeln!(err, "{error}").map_err(unread)?,
            None if ended => return Whom::parse("", known, lan),
            None => {}
        }
    }
}

/// Reads standard input until it holds an invite; none when it ends before. For a person at a terminal, who is told what is wrong.
pub(super) fn pasted_invite() -> Option<Invite> {
    let mut pasted = Pasted::default();
    loop {
        let line = next_line().ok()?;
        match pasted.push(&line).map(|text| Invite::parse(&text)) {
            Some(Ok(invite)) => return Some(invite),
            Some(Err(error)) => drop(writeln!(io::stderr(), "{error}")),
            None => {}
        }
        if line.is_empty() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_gathered_until_an_invite_is_whole_and_the_rest_is_taken_as_it_is() {
        let invite = "p2pchat:cadqobyha4dqobyha4dqobyha4dqscijbeeqscijbeerhcaeycuacbiqeaaq3oaaaaaaaaaaaaaaaaaaaudmwadra6qcqm6ere";
        let (head, tail) = invite.split_at(40);
        let (row, upper) = (format!("      ¦   {tail}\n"), head.to_uppercase());
        for (lines, whole) in [
            (&["host:5000\n"][..], "host:5000\n"),
            (&["", "\n", invite], invite),
            (&["      ¦ p2pchat connect\n", &format!("      ¦   {head}\n"), &row], invite),
            (&[&format!("15:21 $ p2pchat receive {upper}\r\n"), tail], invite),
            // Begun anew; given up.
            (&[head, head, tail], invite),
            (&[head, "\n"], head),
        ] {
            let mut pasted = Pasted::default();
            let (last, before) = lines.split_last().unwrap();
            assert!(before.iter().all(|line| pasted.push(line).is_none()), "{lines:?}");
            let text = pasted.push(last).unwrap();
            assert_eq!(Invite::parse(&text), Invite::parse(whole), "{lines:?}");
            assert!(Invite::parse(whole).is_ok() || text.trim() == whole.trim());
        }
    }
}
