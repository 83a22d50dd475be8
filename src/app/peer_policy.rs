//! Who the peer is: which keys are let through, what a key is worth, what the user is told of the peer.

use super::whom::{Whom, WhomKind};
use crate::channel::{KeyCheck, SUITE};
use crate::cli::PeersCommand;
use crate::identity;
use crate::keys::{KeyRejected, PublicKey};
use crate::known_peers::{Encounter, KnownPeers, KnownPeersFile, RecordedPeer};
use crate::net::invite::Invite;
use crate::net::opening::Established;
use crate::notice::{Notice, Trust};
use crate::text::{PeerText, SafeText};
use chrono::{DateTime, Utc};
use std::net::SocketAddr;
use std::sync::Arc;

/// Which keys a handshake lets through, and what is remembered of those it did. The file is read anew at each use.
#[derive(Debug, Clone)]
pub(crate) struct PeerPolicy {
    file: KnownPeersFile,
    /// `HOST:PORT` that this side dials, as its user typed it.
    dialled: Option<String>,
    /// The invite that this side came with.
    invite: Option<Invite>,
    /// The key to demand, and whose it is.
    expected: Option<(String, PublicKey)>,
}

/// What is known of the session's peer.
#[derive(Debug, Clone)]
pub(crate) struct PeerInfo {
    pub(crate) key: PublicKey,
    pub(crate) recorded: RecordedPeer,
    claimed: String,
    addr: String,
    verification: Option<String>,
    /// It came without the invite that is out.
    uninvited: bool,
}

impl PeerPolicy {
    /// For who listens.
    pub(super) fn listening(file: KnownPeersFile, expected: Option<(String, PublicKey)>) -> Self {
        Self { file, dialled: None, invite: None, expected }
    }

    /// For who dials `whom`.
    pub(super) fn dialling(file: KnownPeersFile, whom: &Whom, expected: Option<(String, PublicKey)>) -> Self {
        let (mut dialled, mut invite, mut demanded) = (None, None, None);
        match &whom.kind {
            WhomKind::Address => dialled = Some(whom.called.clone()),
            WhomKind::Invite(used) => invite = Some(used.clone()),
            WhomKind::Peer(peer) => demanded = Some((peer.name.clone(), peer.key)),
            WhomKind::Stranger => {}
        }
        Self { file, dialled, invite, expected: expected.or(demanded) }
    }

    /// [`PeerPolicy::check`], for an opening.
    pub(super) fn key_check(&self) -> Arc<KeyCheck<'static>> {
        let policy = self.clone();
        Arc::new(move |key: &_| policy.check(key))
    }

    /// Whether a handshake with this key may go on.
    fn check(&self, key: &PublicKey) -> Result<Option<SafeText>, KeyRejected> {
        if self.invite.as_ref().is_some_and(|invite| !invite.names(key)) {
            return Err(KeyRejected(
                "SOMEBODY ELSE ANSWERS who knows the secret of the invite, with another key than the invite names\n\
                 your messages are read by others; meet over another way"
                    .into(),
            ));
        }
        match (&self.dialled, &self.expected) {
            (None, None) => Ok(None),
            (None, Some((_, expected))) => only(expected, key),
            (Some(address), expected) => {
                let known = self.file.read().map_err(|error| KeyRejected(error.to_string()))?;
                known.check_dialled(address, expected.as_ref().map(|(name, key)| (name.as_str(), key)), key)
            }
        }
    }

    /// The peer proved its key: records that, and says who it is. Waits for the file, at most for seconds.
    pub(super) fn record(
        &self,
        established: &Established,
        uninvited: bool,
        (own_name, own_key): (&str, &PublicKey),
    ) -> (PeerInfo, Vec<SafeText>) {
        let key = established.channel.peer;
        let addr = established.addr.to_string();
        let claimed = &established.greeting.name;
        let encounter = Encounter {
            key: &key,
            claimed,
            own: own_name,
            address: self.dialled.as_ref().unwrap_or(&addr),
            dialled: self.dialled.is_some(),
            invite: self.invite.as_ref(),
            verified: established.by_code(),
            now: Utc::now(),
        };
        let mut warnings: Vec<_> = established.channel.warning.iter().cloned().collect();
        let recorded = self.file.record(&encounter).or_else(|error| {
            warnings.push(SafeText::with_hint(&format!("this encounter is not remembered: {error}")));
            // What was known before still counts.
            self.file.read().map(|mut known| known.record(&encounter))
        });
        let mut recorded = recorded.unwrap_or_else(|_| KnownPeers::default().record(&encounter));
        warnings.extend(recorded.warning());
        // Two programs of one user share their key and the file: who comes second finds it recorded.
        if recorded.trust == Trust::New && key == *own_key {
            recorded.trust = Trust::Known;
        }
        let claimed = claimed.clone();
        let verification = established.channel.verification.map(|number| number.to_string());
        (PeerInfo { key, recorded, claimed, addr, verification, uninvited }, warnings)
    }
}

impl PeerInfo {
    /// The notice that a session began.
    pub(super) fn connected(&self, own: &str) -> Notice {
        Notice::Connected {
            peer: self.label(),
            fingerprint: self.key.fingerprint(),
            addr: self.addr.clone(),
            verify: self.verification.clone(),
            trust: self.recorded.trust,
            uninvited: self.uninvited,
            own: own.to_owned(),
        }
    }

    pub(super) fn label(&self) -> PeerText {
        PeerText::new(&self.recorded.label)
    }

    /// It is at another address now.
    pub(super) fn moved(&mut self, addr: SocketAddr) {
        self.addr = addr.to_string();
    }

    /// The rows of `/peer`.
    pub(super) fn describe(&self, lost: bool) -> Vec<(&'static str, SafeText)> {
        let mut rows = vec![
            ("name", SafeText::from(self.recorded.label.as_str())),
            ("calls itself", SafeText::from(self.claimed.as_str())),
            ("trust", SafeText::from(self.recorded.trust.word())),
            ("fingerprint", SafeText::from(self.key.fingerprint())),
            ("address", SafeText::from(self.addr.as_str())),
            ("encryption", SafeText::from(SUITE)),
            ("connection", SafeText::from(if lost { "lost" } else { "up" })),
        ];
        if let Some(number) = &self.verification {
            rows.push(("number", number.as_str().into()));
        }
        let date = |date: DateTime<Utc>| SafeText::from(date.format("%Y-%m-%d %H:%M UTC").to_string());
        rows.push(("first met", date(self.recorded.first_seen)));
        rows.extend(self.recorded.last_seen.map(|seen| ("last met", date(seen))));
        rows
    }
}

/// Lets one key through.
pub(super) fn only(expected: &PublicKey, key: &PublicKey) -> Result<Option<SafeText>, KeyRejected> {
    if key == expected {
        return Ok(None);
    }
    Err(KeyRejected(format!("the peer has another key than expected: {}", key.fingerprint())))
}

/// Lines of the file that cannot be read, in words.
pub(super) fn problems(file: &KnownPeersFile, known: &KnownPeers) -> Vec<SafeText> {
    let path = file.path();
    known.problems().iter().map(|problem| format!("{}: {problem}", path.display()).into()).collect()
}

/// `p2pchat peers`: what to print.
///
/// # Errors
/// When the file cannot be read or written, or the name is not in it.
pub fn peers(command: PeersCommand) -> anyhow::Result<String> {
    let file = KnownPeersFile::new(&identity::data_dir()?);
    match command {
        PeersCommand::List => {
            let known = file.read()?;
            let problems = problems(&file, &known);
            Ok(problems.iter().fold(known.list(), |table, problem| format!("{table}{problem}\n")))
        }
        PeersCommand::Forget { name } => Ok(format!("{} is forgotten\n", file.forget(&name)?.name)),
        PeersCommand::Rename { old, new } => {
            file.rename(&old, &new)?;
            Ok(format!("{old} is now {new}\n"))
        }
    }
}
