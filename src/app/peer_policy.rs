//! Who the peer is: what its key is worth, what it is called, what the user is told of it.

use crate::cli::PeersCommand;
use crate::keys::{KeyRejected, KeyVerdict, PublicKey};
use crate::known_peers::{Meeting, Peers, PeersError, Refusal};
use crate::net::address::Address;
use crate::net::opening::Established;
use crate::notice::{Notice, Trust};
use crate::session::PeerContext;
use crate::text::{PeerText, SafeText};
use chrono::{DateTime, Utc};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The known peers, shared by the owner and the handshakes.
#[derive(Debug)]
pub(crate) struct PeerPolicy {
    peers: Mutex<Peers>,
}

/// Which keys a handshake lets through.
#[derive(Debug, Clone)]
pub(super) struct KeyRequirement {
    peer_policy: Arc<PeerPolicy>,
    address: Option<String>,
    expected: Option<(String, [u8; 32])>,
}

/// What is known of the session's peer.
#[derive(Debug, Clone)]
pub(crate) struct PeerInfo {
    pub(crate) key: PublicKey,
    pub(crate) trust: Trust,
    label: String,
    claimed: String,
    addr: String,
    verification: Option<String>,
    first_seen: Option<DateTime<Utc>>,
    last_seen: Option<DateTime<Utc>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PeerPolicy {
    pub(super) fn new(peers: Peers) -> Self {
        Self { peers: Mutex::new(peers) }
    }

    /// What the command line demands: `--peer`, and who is known at the dialled address.
    ///
    /// # Errors
    /// When `--peer` names nobody that is known.
    pub(super) fn key_requirement(
        self: &Arc<Self>,
        dialled: Option<&Address>,
        expected: Option<&str>,
    ) -> Result<KeyRequirement, Refusal> {
        let expected = match expected {
            None => None,
            Some(name) => {
                let unknown = || Refusal::UnknownName { name: name.to_owned() };
                Some((name.to_owned(), lock(&self.peers).by_name(name).ok_or_else(unknown)?.key))
            }
        };
        Ok(KeyRequirement { peer_policy: Arc::clone(self), address: dialled.map(Address::to_string), expected })
    }

    /// Lines of the file that cannot be read, in words.
    pub(super) fn problems(&self) -> Vec<SafeText> {
        let peers = lock(&self.peers);
        let path = peers.path();
        peers.problems().iter().map(|problem| format!("{}: {problem}", path.display()).into()).collect()
    }

    /// The peer proved its key: writes the meeting down.
    pub(super) fn meet(&self, opened: &Established, dialled: Option<&str>) -> (PeerInfo, Vec<SafeText>) {
        let key = opened.channel.peer;
        let addr = opened.addr.to_string();
        let claimed = &opened.greeting.name;
        let meeting = Meeting {
            key: &key.0,
            claimed,
            address: dialled.unwrap_or(&addr),
            dialled: dialled.is_some(),
            verified: opened.by_code,
            now: Utc::now(),
        };
        let mut warnings: Vec<_> = opened.channel.verdict.warning.iter().cloned().collect();
        let mut facts = PeerInfo {
            key,
            trust: if opened.by_code { Trust::Verified } else { Trust::New },
            label: SafeText::clean(claimed).to_string(),
            claimed: claimed.clone(),
            addr: addr.clone(),
            verification: opened.channel.verification.map(|number| number.to_string()),
            first_seen: None,
            last_seen: None,
        };
        match lock(&self.peers).met(&meeting) {
            Ok(met) => {
                warnings.extend(met.warning());
                facts.trust = met.trust;
                facts.first_seen = Some(met.first_seen);
                facts.last_seen = met.last_seen;
                facts.label = met.label;
            }
            Err(error) => warnings.push(format!("the peer is not remembered: {error}").into()),
        }
        (facts, warnings)
    }

    /// The user compared the numbers with this peer.
    pub(super) fn verify(&self, facts: &PeerInfo) -> Result<(), PeersError> {
        lock(&self.peers).set_trust(&facts.key.0, Trust::Verified)
    }
}

impl KeyRequirement {
    /// Whether a handshake with this key may go on.
    ///
    /// # Errors
    /// Why not, for the user.
    pub(super) fn check(&self, key: &PublicKey) -> Result<KeyVerdict, KeyRejected> {
        match (&self.address, &self.expected) {
            (None, None) => Ok(KeyVerdict::default()),
            (None, Some((_, expected))) => only(&PublicKey(*expected), key),
            (Some(address), expected) => {
                let expected = expected.as_ref().map(|(name, _)| name.as_str());
                let checked = lock(&self.peer_policy.peers).check_dialled(address, expected, &key.0);
                checked.map_err(|refusal| KeyRejected(refusal.to_string()))
            }
        }
    }
}

impl PeerInfo {
    /// The notice that a session began.
    pub(super) fn connected(&self, own: &str) -> Notice {
        Notice::Connected {
            peer: PeerText::new(&self.label),
            fingerprint: self.key.fingerprint(),
            addr: self.addr.clone(),
            verify: self.verification.clone(),
            trust: self.trust,
            own: own.to_owned(),
        }
    }

    /// What the session needs to know.
    pub(super) fn with(&self, reconnect_timeout: u32) -> PeerContext {
        PeerContext { label: PeerText::new(&self.label), trust: self.trust, reconnect_timeout }
    }

    /// The rows of `/peer`.
    pub(super) fn describe(&self, lost: bool) -> Vec<(&'static str, SafeText)> {
        let mut rows = vec![
            ("name", SafeText::from(self.label.as_str())),
            ("calls itself", SafeText::from(self.claimed.as_str())),
            ("trust", SafeText::from(self.trust.word())),
            ("fingerprint", SafeText::from(self.key.fingerprint())),
            ("address", SafeText::from(self.addr.as_str())),
            ("connection", SafeText::from(if lost { "lost" } else { "up" })),
        ];
        if let Some(number) = &self.verification {
            rows.push(("number", number.as_str().into()));
        }
        let date = |date: DateTime<Utc>| SafeText::from(date.format("%Y-%m-%d %H:%M UTC").to_string());
        rows.extend(self.first_seen.map(|seen| ("first met", date(seen))));
        rows.extend(self.last_seen.map(|seen| ("last met", date(seen))));
        rows
    }
}

/// Lets one key through.
pub(super) fn only(expected: &PublicKey, key: &PublicKey) -> Result<KeyVerdict, KeyRejected> {
    if key == expected {
        return Ok(KeyVerdict::default());
    }
    Err(KeyRejected(format!("the peer has another key than expected: {}", key.fingerprint())))
}

/// `p2pchat peers`: what to print.
pub(super) fn peers(mut peers: Peers, command: PeersCommand) -> anyhow::Result<String> {
    match command {
        PeersCommand::List => {
            let mut table = peers.list(|key| PublicKey(*key).fingerprint());
            for problem in peers.problems() {
                table.push_str(&format!("{}: {problem}\n", peers.path().display()));
            }
            Ok(table)
        }
        PeersCommand::Forget { name } => {
            let peer = peers.forget(&name)?;
            Ok(format!("{} is forgotten\n", peer.name))
        }
        PeersCommand::Rename { old, new } => {
            peers.rename(&old, &new)?;
            Ok(format!("{old} is now {new}\n"))
        }
    }
}
