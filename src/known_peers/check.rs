//! Whether the key that answered at a dialled address is the one to expect.
//!
//! Invariant: a key other than the one the user verified, or demanded by `--peer`, is never talked to; a peer that merely answered
//! once is no promise, so another key there is a loud warning. Every text names an innocent and a hostile cause.

use super::{KnownPeer, KnownPeers};
use crate::keys::{KeyRejected, PublicKey};
use crate::notice::Trust;
use crate::text::SafeText;
use chrono::{DateTime, SecondsFormat, Utc};

impl KnownPeers {
    /// Whether the key that answered at a dialled address may be talked to. To be asked before the encounter is recorded, and before
    /// anything is sent. `expected` is the peer demanded by `--peer`: its name and key.
    ///
    /// # Errors
    /// The refusal, to be shown as it is (exit code 4). Who is at fault cannot be told from here: the peer, the network, or who sits
    /// in it.
    pub fn check_dialled(
        &self,
        address: &str,
        expected: Option<(&str, &PublicKey)>,
        key: &PublicKey,
    ) -> Result<Option<SafeText>, KeyRejected> {
        let address_text = SafeText::clean(address).to_string();
        let answered = self.lookup(key);
        if let Some((name, expected)) = expected {
            if expected != key {
                return Err(not_expected(&address_text, name, answered));
            }
            // The user said whom to expect here, which outweighs who was here before.
            return Ok(None);
        }
        let here = self.at_address(address);
        let mut verified = here.iter().filter(|peer| peer.trust == Trust::Verified);
        if let Some(first) = verified.next() {
            if first.key == *key || verified.any(|other| other.key == *key) {
                return Ok(None);
            }
            return Err(other_key(&address_text, first, answered));
        }
        let other = here.first().filter(|_| here.iter().all(|peer| peer.key != *key));
        Ok(other.map(|other| changed_key(&address_text, other, answered)))
    }
}

fn not_expected(address: &str, name: &str, answered: Option<&KnownPeer>) -> KeyRejected {
    KeyRejected(format!(
        "{address} is not {name}: the key is another{}\n\
         either {name} has a new key or device, or someone else uses this address, or pretends to be {name}\n\
         ask {name} over another way; when the key did change: p2pchat peers forget {}",
        whose(answered),
        argument(name)
    ))
}

fn other_key(address: &str, verified: &KnownPeer, answered: Option<&KnownPeer>) -> KeyRejected {
    let name = &verified.name;
    KeyRejected(format!(
        "{address} answers with another key than that of {name}, which you verified (last seen {}){}\n\
         either {name} has a new key or device, or the address has a new owner, or someone sits between you and {name}\n\
         ask {name} over another way; when the key did change: p2pchat peers forget {}",
        time(&verified.last_seen),
        whose(answered),
        argument(name)
    ))
}

fn changed_key(address: &str, before: &KnownPeer, answered: Option<&KnownPeer>) -> SafeText {
    let name = &before.name;
    SafeText::with_hint(&format!(
        "{address} ANSWERS WITH ANOTHER KEY than that of {name} (last seen {}){}\n\
         either {name} has a new key or device, or the address has a new owner, or someone sits between you and {name}\n\
         you never verified {name}, so nobody can tell: compare the verification number before you trust this",
        time(&before.last_seen),
        whose(answered)
    ))
}

fn whose(answered: Option<&KnownPeer>) -> String {
    answered.map(|peer| format!("; it is the key of {}", peer.name)).unwrap_or_default()
}

fn time(date: &DateTime<Utc>) -> String {
    date.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A name as an argument to copy into a shell. The peer chose it, so it must stay one word there and no option.
pub(super) fn argument(name: &str) -> String {
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let dashes = if name.starts_with('-') { "-- " } else { "" };
    if is_plain { format!("{dashes}{name}") } else { format!("{dashes}'{}'", name.replace('\'', r"'\''")) }
}
