//! The peers that were met: `known_peers` in the data directory, a text file with a line for each.
//!
//! EventLoop of that file. Invariants: every change is read, made and written under a lock, so that two processes lose nothing
//! of each other's; the file is replaced as a whole or not at all; what a person wrote into it (comments, order, a line that
//! cannot be read) stays as it is. Names in it are safe to show and differ from each other, whatever peers claim.
//!
//! No clock here: the caller says when it is.

pub(crate) mod file;
mod store;
mod verdict;

pub use file::{LineError, Problem};
pub use verdict::Refusal;

use crate::error_text::io_error_text;
use crate::keys::KeyVerdict;
use crate::notice::Trust;
use crate::text::SafeText;
use chrono::{DateTime, Utc};
use file::Book;
use std::io;
use std::path::{Path, PathBuf};
use store::{FILE, FILE_BYTES};
use thiserror::Error;
use unicode_width::UnicodeWidthStr;

/// Addresses that are remembered as dialled for one peer; the oldest gives way.
const DIALLED: usize = 8;

/// A static public key.
pub type Key = [u8; 32];

/// A peer that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// What it is called here; no other peer is. Safe to show.
    pub name: String,
    /// Its static key, which is what makes it this peer.
    pub key: Key,
    /// `Known` or `Verified`.
    pub trust: Trust,
    /// When it was met first.
    pub first_seen: DateTime<Utc>,
    /// When it was met last.
    pub last_seen: DateTime<Utc>,
    /// Where it was met last, dialled or not.
    pub address: String,
    /// Addresses that were dialled and at which it answered, the latest first.
    pub dialled: Vec<String>,
}

/// A handshake that went well.
#[derive(Debug, Clone, Copy)]
pub struct Meeting<'a> {
    /// The peer's key.
    pub key: &'a Key,
    /// What it calls itself; hostile.
    pub claimed: &'a str,
    /// `HOST:PORT` as dialled, else where the call came from.
    pub address: &'a str,
    /// This side dialled, so the address says who is to be expected there.
    pub dialled: bool,
    /// The code was right. (Without a code a peer is verified by `/verify`.)
    pub verified: bool,
    /// Now.
    pub now: DateTime<Utc>,
}

/// What was known of the peer before a meeting, and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// The local name, the same as in the file: safe to show.
    pub label: String,
    /// Trust before this meeting; a right code does not count yet.
    pub before: Trust,
    /// Trust from now on: `New` at a first meeting unless the code was right.
    pub trust: Trust,
    /// When it was met first; now, at a first meeting.
    pub first_seen: DateTime<Utc>,
    /// When it was met last before now.
    pub last_seen: Option<DateTime<Utc>>,
    /// At a first meeting: who has the claimed name already, so that this peer has another label.
    pub namesake: Option<String>,
}

impl Met {
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

/// Why the peers file could not be used.
#[derive(Debug, Error)]
pub enum PeersError {
    /// The file system's fault, or of who set its permissions.
    #[error("could not {action} {}: {}", path.display(), io_error_text(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing this program wrote.
    #[error("{} is larger than {FILE_BYTES} bytes", path.display())]
    TooLarge {
        /// The peers file.
        path: PathBuf,
    },
    /// The command names a peer that is not in the file.
    #[error("no peer is known as {}\nthose that are: p2pchat peers list", SafeText::clean(name))]
    NoSuchPeer {
        /// The name that was given.
        name: String,
    },
    /// The session's peer is no longer in the file.
    #[error("this peer is not in the file of known peers any more\nit was taken out while you were connected")]
    Gone,
    /// The command wants a name that another peer has.
    #[error("another peer is known as {name} already")]
    NameTaken {
        /// That name.
        name: String,
    },
    /// The command wants a name that cannot be one.
    #[error(
        "{} cannot be the name of a peer\na name has no control characters and no spaces at its ends",
        SafeText::clean(name)
    )]
    BadName {
        /// The name that was given.
        name: String,
    },
}

/// The file as it was when it was last read, and the way to change it.
#[derive(Debug)]
pub struct Peers {
    dir: PathBuf,
    book: Book,
}

impl Peers {
    /// Reads the file in `data_dir`. Neither has to exist.
    ///
    /// # Errors
    ///
    /// When the file exists and cannot be read. A line that cannot is no error: see [`Peers::problems`].
    pub fn open(data_dir: &Path) -> Result<Self, PeersError> {
        let book = store::read(&data_dir.join(FILE))?;
        Ok(Self { dir: data_dir.to_path_buf(), book })
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// Lines that cannot be read. They are kept, and have no effect.
    pub fn problems(&self) -> &[Problem] {
        self.book.problems()
    }

    /// All peers, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.book.peers()
    }

    /// The peer with this key.
    pub fn lookup(&self, key: &Key) -> Option<Peer> {
        self.iter().find(|peer| peer.key == *key).cloned()
    }

    /// The peer with this local name.
    pub fn by_name(&self, name: &str) -> Option<Peer> {
        self.iter().find(|peer| peer.name == name).cloned()
    }

    /// Who answered at this address when it was dialled: the last that did, and verified peers that did before.
    pub fn at_address(&self, address: &str) -> Vec<Peer> {
        self.iter().filter(|peer| peer.answers_at(address)).cloned().collect()
    }

    /// Whether the key that answered at a dialled address may be talked to. To be asked before
    /// [`Peers::met`], and before anything is sent. `expected` is the name given by `--peer`.
    ///
    /// # Errors
    ///
    /// The refusal, to be shown as it is (exit code 4).
    pub fn check_dialled(&self, address: &str, expected: Option<&str>, key: &Key) -> Result<KeyVerdict, Refusal> {
        verdict::dialled(self, address, expected, key)
    }

    /// Writes a meeting down, and says who it was. A new peer gets a name that no other has.
    ///
    /// # Errors
    ///
    /// When the file cannot be changed.
    pub fn met(&mut self, meeting: &Meeting) -> Result<Met, PeersError> {
        self.change(|book| Ok(record(book, meeting)))
    }

    /// Marks a peer; `New` counts as `Known`, since it was met.
    ///
    /// # Errors
    ///
    /// [`PeersError::Gone`] when it is not in the file, or when the file cannot be changed.
    pub fn set_trust(&mut self, key: &Key, trust: Trust) -> Result<(), PeersError> {
        self.change(|book| {
            let peer = book.edit(|peer| peer.key == *key).ok_or(PeersError::Gone)?;
            peer.trust = if trust == Trust::Verified { Trust::Verified } else { Trust::Known };
            Ok(())
        })
    }

    /// Takes a peer out of the file; at the next meeting it is new.
    ///
    /// # Errors
    ///
    /// [`PeersError::NoSuchPeer`], or when the file cannot be changed.
    pub fn forget(&mut self, name: &str) -> Result<Peer, PeersError> {
        self.change(|book| book.remove(name).ok_or_else(|| PeersError::NoSuchPeer { name: name.to_owned() }))
    }

    /// Gives a peer another local name.
    ///
    /// # Errors
    ///
    /// [`PeersError::NoSuchPeer`], [`PeersError::NameTaken`], [`PeersError::BadName`], or when the file cannot be changed.
    pub fn rename(&mut self, old: &str, new: &str) -> Result<(), PeersError> {
        if local_name(new) != new {
            return Err(PeersError::BadName { name: new.to_owned() });
        }
        self.change(|book| {
            let missing = || PeersError::NoSuchPeer { name: old.to_owned() };
            let key = book.peers().find(|peer| peer.name == old).ok_or_else(missing)?.key;
            if book.peers().any(|peer| peer.key != key && same_name(&peer.name, new)) {
                return Err(PeersError::NameTaken { name: new.to_owned() });
            }
            book.edit(|peer| peer.key == key).ok_or_else(missing)?.name = new.to_owned();
            Ok(())
        })
    }

    /// The table of `p2pchat peers list`, with a line end after each row. Safe to show.
    pub fn list(&self, fingerprint: impl Fn(&Key) -> String) -> String {
        if self.iter().next().is_none() {
            return "no peers are known yet\n".to_owned();
        }
        let heading = ["NAME", "TRUST", "LAST SEEN", "ADDRESS", "FINGERPRINT"].map(str::to_owned);
        let rows = self.iter().map(|peer| {
            let seen = peer.last_seen.format("%Y-%m-%d %H:%M UTC").to_string();
            [peer.name.clone(), peer.trust.word().to_owned(), seen, peer.address.clone(), fingerprint(&peer.key)]
        });
        table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
    }

    /// Reads, changes and writes under the lock. Nothing is written when `change` fails.
    fn change<T>(&mut self, change: impl FnOnce(&mut Book) -> Result<T, PeersError>) -> Result<T, PeersError> {
        // Held to the end of this function.
        let _lock = store::lock(&self.dir)?;
        let mut book = store::read(&self.path())?;
        let result = change(&mut book)?;
        store::replace(&self.dir, &book.to_bytes())?;
        self.book = book;
        Ok(result)
    }
}

fn record(book: &mut Book, meeting: &Meeting) -> Met {
    let Meeting { key, address, dialled, verified, now, .. } = *meeting;
    let address = SafeText::clean(address).to_string();
    if dialled {
        // The address answers with this key now. What was verified stays remembered: that is a promise to the user.
        let moved = |peer: &Peer| peer.key != *key && peer.trust != Trust::Verified && peer.answers_at(&address);
        while let Some(peer) = book.edit(moved) {
            peer.dialled.retain(|dialled| !same_address(dialled, &address));
        }
    }
    let before = book.peers().find(|peer| peer.key == *key).cloned();
    let met = match before {
        Some(peer) => Met {
            label: peer.name,
            before: peer.trust,
            trust: if verified { Trust::Verified } else { peer.trust },
            first_seen: peer.first_seen,
            last_seen: Some(peer.last_seen),
            namesake: None,
        },
        None => first_meeting(book, meeting),
    };
    if let Some(peer) = book.edit(|peer| peer.key == *key) {
        peer.last_seen = now;
        if verified {
            peer.trust = Trust::Verified;
        }
        if dialled {
            peer.dialled.retain(|dialled| !same_address(dialled, &address));
            peer.dialled.insert(0, address.clone());
            peer.dialled.truncate(DIALLED);
        }
        peer.address = address;
    }
    met
}

fn first_meeting(book: &mut Book, meeting: &Meeting) -> Met {
    let name = local_name(meeting.claimed);
    let namesake = book.peers().find(|peer| same_name(&peer.name, &name)).map(|peer| peer.name.clone());
    let label = free_name(book, name);
    book.add(Peer {
        name: label.clone(),
        key: *meeting.key,
        trust: Trust::Known,
        first_seen: meeting.now,
        last_seen: meeting.now,
        address: String::new(),
        dialled: Vec::new(),
    });
    let trust = if meeting.verified { Trust::Verified } else { Trust::New };
    Met { label, before: Trust::New, trust, first_seen: meeting.now, last_seen: None, namesake }
}

impl Peer {
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

fn free_name(book: &Book, name: String) -> String {
    let is_free = |name: &String| !book.peers().any(|peer| same_name(&peer.name, name));
    if is_free(&name) {
        return name;
    }
    let mut numbered = (2u64..).map(|number| format!("{name} ({number})"));
    numbered.find(is_free).unwrap_or(name)
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
