//! The peers that were met: `known_peers` in the data directory, a text file with a line for each.
//!
//! Invariants: every change is read, made and written under a lock, so that two processes lose nothing of each other's; the file is
//! replaced as a whole or not at all; what a person wrote into it (comments, order, a line that cannot be read) stays as it is. Names
//! in it are safe to show and differ from each other, whatever peers claim.
//!
//! [`KnownPeersFile`] reads and replaces the file, [`KnownPeers`] is what was in it. No clock here: the caller gives the time.

mod check;
mod file;
mod line;

pub use file::{KnownPeersFile, PeersError};

use crate::keys::{Pin, PublicKey};
use crate::net::address::Candidate;
use crate::net::invite::Invite;
use crate::notice::Trust;
use crate::text::SafeText;
use chrono::{DateTime, Utc};
use line::Line;
use unicode_width::UnicodeWidthStr;

/// Addresses that are remembered as dialled for one peer; the oldest is dropped.
const DIALLED: usize = 8;

/// A peer that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPeer {
    /// What it is called here; no other peer is. Safe to show.
    pub name: String,
    /// Its static key, which is what makes it this peer.
    pub key: PublicKey,
    /// `Known` or `Verified`.
    pub trust: Trust,
    pub first_seen: DateTime<Utc>,
    pub last_seen: DateTime<Utc>,
    /// Where it was met last, dialled or not.
    pub address: String,
    /// Addresses that were dialled and at which it answered, the latest first.
    pub dialled: Vec<String>,
    /// Addresses of the last invite of its. They belong to others in other networks, so only who names the peer dials them.
    pub via: Vec<String>,
    /// The last invite that led to it ([`Invite::id`]).
    pub invite: Option<String>,
    /// Its name was given by this user, not by itself.
    pub named: bool,
}

/// A handshake that succeeded.
#[derive(Debug, Clone, Copy)]
pub struct Encounter<'a> {
    pub key: &'a PublicKey,
    /// What the peer calls itself; hostile.
    pub claimed: &'a str,
    /// What this side calls itself: no new peer is called the same.
    pub own: &'a str,
    /// `HOST:PORT` as dialled, else where the call came from.
    pub address: &'a str,
    /// This side dialled, so the address says who is to be expected there.
    pub dialled: bool,
    /// The invite that led there.
    pub invite: Option<&'a Invite>,
    /// The code was right. (Without a code a peer is verified by `/verify`.)
    pub verified: bool,
    pub now: DateTime<Utc>,
}

/// What is known of the peer of an [`Encounter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedPeer {
    /// The local name, the same as in the file: safe to show.
    pub label: String,
    /// Trust from now on: `New` at a first encounter unless the code was right.
    pub trust: Trust,
    /// Now, at a first encounter.
    pub first_seen: DateTime<Utc>,
    /// When it was met last before now.
    pub last_seen: Option<DateTime<Utc>>,
    /// At a first encounter: who has the claimed name already, so that this peer has another label.
    pub namesake: Option<String>,
}

impl RecordedPeer {
    /// What to tell the user when two peers claim one name.
    pub fn warning(&self) -> Option<SafeText> {
        let namesake = self.namesake.as_ref()?;
        let label = &self.label;
        Some(SafeText::with_hint(&format!(
            "this is not the {namesake} you know: the key is another; it is shown as {label}\n\
             either two people or devices use one name, or someone wants to be taken for {namesake}"
        )))
    }
}

/// The contents of the file.
#[derive(Debug, Default)]
pub struct KnownPeers {
    lines: Vec<Line>,
    problems: Vec<String>,
}

impl KnownPeers {
    /// Which lines cannot be read, and why. They are kept, and have no effect.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// All peers, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &KnownPeer> {
        self.lines.iter().filter_map(Line::peer)
    }

    pub fn lookup(&self, key: &PublicKey) -> Option<&KnownPeer> {
        self.iter().find(|peer| peer.key == *key)
    }

    /// The peer whose key has this pin.
    pub fn by_pin(&self, pin: &Pin) -> Option<&KnownPeer> {
        self.iter().find(|peer| peer.key.pin() == *pin)
    }

    /// The peer with this local name.
    pub fn by_name(&self, name: &str) -> Option<&KnownPeer> {
        self.iter().find(|peer| peer.name == name)
    }

    /// Who answered at this address when it was dialled: the last that did, and verified peers that did before.
    pub(crate) fn at_address(&self, address: &str) -> Vec<&KnownPeer> {
        self.iter().filter(|peer| peer.answers_at(address)).collect()
    }

    /// Records an encounter. A new peer gets a name that no other has.
    pub(crate) fn record(&mut self, encounter: &Encounter) -> RecordedPeer {
        let Encounter { key, address, dialled, verified, now, .. } = *encounter;
        let address = SafeText::clean(address).to_string();
        if dialled {
            // The address answers with this key now. What was verified stays remembered: that is a promise to the user.
            let moved =
                |peer: &KnownPeer| peer.key != *key && peer.trust != Trust::Verified && peer.answers_at(&address);
            while let Some(peer) = self.edit(moved) {
                peer.dialled.retain(|dialled| !same_address(dialled, &address));
            }
        }
        let recorded = match self.lookup(key) {
            Some(peer) => RecordedPeer {
                label: peer.name.clone(),
                trust: if verified { Trust::Verified } else { peer.trust },
                first_seen: peer.first_seen,
                last_seen: Some(peer.last_seen),
                namesake: None,
            },
            None => self.record_new(encounter),
        };
        if let Some(peer) = self.edit(|peer| peer.key == *key) {
            peer.last_seen = now;
            if verified {
                peer.trust = Trust::Verified;
            }
            if dialled {
                peer.dialled.retain(|dialled| !same_address(dialled, &address));
                peer.dialled.insert(0, address.clone());
                peer.dialled.truncate(DIALLED);
            }
            if let Some(invite) = encounter.invite {
                peer.via = invite.candidates().iter().map(Candidate::to_string).collect();
                peer.invite = Some(invite.id());
            }
            peer.address = address;
        }
        recorded
    }

    fn record_new(&mut self, encounter: &Encounter) -> RecordedPeer {
        let name = local_name(encounter.claimed);
        let namesake = self.iter().find(|peer| same_name(&peer.name, &name)).map(|peer| peer.name.clone());
        let label = self.free_name(name, encounter.own);
        self.add(KnownPeer {
            name: label.clone(),
            key: *encounter.key,
            trust: Trust::Known,
            first_seen: encounter.now,
            last_seen: encounter.now,
            address: String::new(),
            dialled: Vec::new(),
            via: Vec::new(),
            invite: None,
            named: false,
        });
        let trust = if encounter.verified { Trust::Verified } else { Trust::New };
        RecordedPeer { label, trust, first_seen: encounter.now, last_seen: None, namesake }
    }

    fn free_name(&self, name: String, own: &str) -> String {
        let is_free = |name: &String| !same_name(name, own) && !self.iter().any(|peer| same_name(&peer.name, name));
        if is_free(&name) {
            return name;
        }
        let mut numbered = (2u64..).map(|number| format!("{name} ({number})"));
        numbered.find(is_free).unwrap_or(name)
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<(), PeersError> {
        let missing = || PeersError::no_such_peer(old);
        let key = self.by_name(old).ok_or_else(missing)?.key;
        if self.iter().any(|peer| peer.key != key && same_name(&peer.name, new)) {
            return Err(PeersError(format!("another peer is known as {new} already")));
        }
        let peer = self.edit(|peer| peer.key == key).ok_or_else(missing)?;
        peer.name = new.to_owned();
        peer.named = true;
        Ok(())
    }

    /// The table of `p2pchat peers list`, with a line end after each row. Safe to show.
    pub fn list(&self) -> String {
        if self.iter().next().is_none() {
            return "no peers are known yet\n".to_owned();
        }
        let heading = ["NAME", "TRUST", "LAST SEEN", "ADDRESS", "FINGERPRINT"].map(str::to_owned);
        let rows = self.iter().map(|peer| {
            let seen = peer.last_seen.format("%Y-%m-%d %H:%M UTC").to_string();
            [peer.name.clone(), peer.trust.word().to_owned(), seen, peer.address.clone(), peer.key.fingerprint()]
        });
        table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
    }
}

impl KnownPeer {
    fn answers_at(&self, address: &str) -> bool {
        self.dialled.iter().any(|dialled| same_address(dialled, address))
    }
}

/// What a peer may be called here: safe to show, to type and to compare by eye.
fn local_name(claimed: &str) -> String {
    let words: Vec<String> = SafeText::clean(claimed).as_str().split_whitespace().map(str::to_owned).collect();
    let name = SafeText::clean(&words.join(" ")).to_string();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

/// Names that differ only in case are too alike to tell people apart.
fn same_name(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}

fn same_address(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}

/// Rows of cells under each other, with a line end after each row. The cells must be safe to show.
pub(crate) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell}{}", " ".repeat(width - cell.width()))).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
