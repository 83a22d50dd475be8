//! Whether the key that answered is the one to expect.
//!
//! Invariant: a key other than the one the user verified, or demanded by `--peer`, is never talked to; who merely answered
//! once is no promise, so another key there is a loud warning. Every text names an innocent and a hostile cause.

use super::{Key, Peer, Peers};
use crate::keys::KeyVerdict;
use crate::notice::Trust;
use crate::text::SafeText;
use chrono::{DateTime, SecondsFormat, Utc};
use thiserror::Error;

/// The key must not be talked to. Who is at fault cannot be told from here: the peer, the network, or who sits in it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// `--peer` names nobody; the command's fault.
    #[error("no peer is known as {}\nthose that are: p2pchat peers list", SafeText::clean(name))]
    UnknownName {
        /// The name that was given.
        name: String,
    },
    /// `--peer`, and another key.
    #[error(
        "{address} is not {name}: the key is another{}\n\
         either {name} has a new key or device, or someone else uses this address, or pretends to be {name}\n\
         ask {name} over another way; when the key did change: p2pchat peers forget {}",
        whose(answered),
        argument(name)
    )]
    NotExpected {
        /// Where.
        address: String,
        /// Who was expected.
        name: String,
        /// Whose key it is, if that is known.
        answered: Option<String>,
    },
    /// A verified peer's address, and another key.
    #[error(
        "{address} answers with another key than that of {name}, which you verified (last seen {}){}\n\
         either {name} has a new key or device, or the address has a new owner, or someone sits between you and {name}\n\
         ask {name} over another way; when the key did change: p2pchat peers forget {}",
        day(last_seen),
        whose(answered),
        argument(name)
    )]
    OtherKey {
        /// Where.
        address: String,
        /// Who was expected.
        name: String,
        /// When the old key was last seen.
        last_seen: DateTime<Utc>,
        /// Whose key it is, if that is known.
        answered: Option<String>,
    },
}

pub(super) fn dialled(peers: &Peers, address: &str, expected: Option<&str>, key: &Key) -> Result<KeyVerdict, Refusal> {
    let address_text = SafeText::clean(address).to_string();
    let peer = peers.lookup(key);
    if let Some(name) = expected {
        let expected = peers.by_name(name).ok_or_else(|| Refusal::UnknownName { name: name.to_owned() })?;
        if expected.key != *key {
            let answered = peer.map(|peer| peer.name);
            return Err(Refusal::NotExpected { address: address_text, name: expected.name, answered });
        }
        // The user said whom to expect here, which outweighs who was here before.
        return Ok(KeyVerdict { warning: None });
    }
    let here = peers.at_address(address);
    let is_verified = |peer: &&Peer| peer.trust == Trust::Verified;
    let mut verified = here.iter().filter(is_verified);
    if let Some(first) = verified.next() {
        if first.key == *key || verified.any(|other| other.key == *key) {
            return Ok(KeyVerdict { warning: None });
        }
        let Peer { name, last_seen, .. } = first.clone();
        return Err(Refusal::OtherKey { address: address_text, name, last_seen, answered: peer.map(|peer| peer.name) });
    }
    let other = here.first().filter(|_| here.iter().all(|peer| peer.key != *key));
    Ok(KeyVerdict { warning: other.map(|other| changed(&address_text, other, peer.as_ref())) })
}

fn changed(address: &str, before: &Peer, now: Option<&Peer>) -> SafeText {
    let name = &before.name;
    let whose = whose(&now.map(|peer| peer.name.clone()));
    SafeText::with_hint(&format!(
        "{address} ANSWERS WITH ANOTHER KEY than that of {name} (last seen {}){whose}\n\
         either {name} has a new key or device, or the address has a new owner, or someone sits between you and {name}\n\
         you never verified {name}, so nobody can tell: compare the verification number before you trust this",
        day(&before.last_seen)
    ))
}

fn whose(answered: &Option<String>) -> String {
    answered.as_ref().map(|name| format!("; it is the key of {name}")).unwrap_or_default()
}

fn day(date: &DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A name as an argument to copy into a shell. The peer chose it, so it must stay one word there and no option.
pub(super) fn argument(name: &str) -> String {
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let dashes = if name.starts_with('-') { "-- " } else { "" };
    if is_plain { format!("{dashes}{name}") } else { format!("{dashes}'{}'", name.replace('\'', r"'\''")) }
}
