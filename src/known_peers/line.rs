//! The lines of `known_peers`.
//!
//! A line is name, key, trust, first seen, last seen, last address, then `via=ADDRESS` and `invite=ID` of the last invite, `named`, and the
//! addresses dialled, separated by spaces; a field that holds a space or could be mistaken is quoted. `#` begins a comment. Invariant:
//! what was not changed is written back byte for byte, readable or not; a peer is one line whatever its name holds.

use super::{KnownPeer, KnownPeers, local_name};
use crate::keys::PublicKey;
use crate::notice::Trust;
use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use std::collections::HashSet;

/// What a new file begins with.
const HEADER: &str = "\
# peers that p2pchat met, one a line; you may edit this file
# name, key, trust (known or verified), first seen, last seen, last address, addresses dialled
";
const VIA: &str = "via=";
const INVITE: &str = "invite=";
const NAMED: &str = "named";

/// A line in memory.
#[derive(Debug)]
pub(super) enum Line {
    /// A comment, a blank line, or one that cannot be read.
    Verbatim(Vec<u8>),
    Peer {
        peer: Box<KnownPeer>,
        /// The line as it was read; none once the peer may have changed.
        unchanged: Option<Vec<u8>>,
        /// The comment at its end, with its `#`.
        comment: String,
    },
}

impl Line {
    pub(super) fn peer(&self) -> Option<&KnownPeer> {
        match self {
            Self::Peer { peer, .. } => Some(peer),
            Self::Verbatim(_) => None,
        }
    }
}

impl KnownPeers {
    #[doc(hidden)]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut peers = Self::default();
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if bytes.is_empty() {
            return peers;
        }
        // Whom the lines before hold, since the file may be long.
        let (mut keys, mut names) = (HashSet::new(), HashSet::new());
        for (index, raw) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let read = read_line(raw).and_then(|read| match &read {
                Some((peer, _)) if keys.contains(&peer.key) => Err("another line has the same key")?,
                Some((peer, _)) if !names.insert(peer.name.clone()) => Err("another line has the same name")?,
                _ => Ok(read),
            });
            let line = match read {
                Ok(Some((peer, comment))) => {
                    keys.insert(peer.key);
                    Line::Peer { peer: Box::new(peer), unchanged: Some(raw.to_vec()), comment }
                }
                Ok(None) => Line::Verbatim(raw.to_vec()),
                Err(reason) => {
                    peers.problems.push(format!("line {} of known_peers has no effect: {reason}", index + 1));
                    Line::Verbatim(raw.to_vec())
                }
            };
            peers.lines.push(line);
        }
        peers
    }

    #[doc(hidden)]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in &self.lines {
            match line {
                Line::Verbatim(raw) | Line::Peer { unchanged: Some(raw), .. } => bytes.extend_from_slice(raw),
                Line::Peer { peer, unchanged: None, comment } => {
                    bytes.extend_from_slice(peer_line(peer).as_bytes());
                    if !comment.is_empty() {
                        bytes.push(b' ');
                        bytes.extend_from_slice(comment.as_bytes());
                    }
                }
            }
            bytes.push(b'\n');
        }
        bytes
    }

    /// The first peer that is meant, to be changed.
    #[doc(hidden)]
    pub fn edit(&mut self, is_meant: impl Fn(&KnownPeer) -> bool) -> Option<&mut KnownPeer> {
        self.lines.iter_mut().find_map(|line| match line {
            Line::Peer { peer, unchanged, .. } if is_meant(peer) => {
                *unchanged = None;
                Some(&mut **peer)
            }
            _ => None,
        })
    }

    pub(super) fn add(&mut self, peer: KnownPeer) {
        if self.lines.is_empty() {
            self.lines.extend(HEADER.lines().map(|line| Line::Verbatim(line.as_bytes().to_vec())));
        }
        self.lines.push(Line::Peer { peer: Box::new(peer), unchanged: None, comment: String::new() });
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<KnownPeer> {
        let index = self.lines.iter().position(|line| matches!(line, Line::Peer { peer, .. } if peer.name == name))?;
        match self.lines.remove(index) {
            Line::Peer { peer, .. } => Some(*peer),
            Line::Verbatim(_) => None,
        }
    }
}

/// The peer of a line and the comment behind it; or why it cannot be read, the fault of who edited it. None when the line is blank or
/// only a comment.
fn read_line(raw: &[u8]) -> Result<Option<(KnownPeer, String)>, String> {
    let text = str::from_utf8(raw).map_err(|_| "it is not valid UTF-8")?;
    // Some editors put a mark before the first line.
    let (fields, comment) = fields(text.trim_start_matches('\u{feff}'))?;
    if fields.is_empty() {
        return Ok(None);
    }
    let [name, key, trust, first, last, address, dialled @ ..] = fields.as_slice() else {
        return Err(format!("it has {} fields, and needs at least 6", fields.len()));
    };
    let more = |prefix| dialled.iter().filter_map(move |field| field.strip_prefix(prefix)).map(str::to_owned);
    let is_address = |field: &&String| !field.starts_with(VIA) && !field.starts_with(INVITE) && *field != NAMED;
    let peer = KnownPeer {
        via: more(VIA).collect(),
        invite: more(INVITE).next(),
        named: dialled.iter().any(|field| field == NAMED),
        name: local_name(name),
        key: PublicKey::from_text(key).ok_or("the key is not 64 hexadecimal digits")?,
        trust: match trust.as_str() {
            "known" => Trust::Known,
            "verified" => Trust::Verified,
            _ => Err("trust is neither known nor verified")?,
        },
        first_seen: date(first)?,
        last_seen: date(last)?,
        address: address.clone(),
        dialled: dialled.iter().filter(is_address).cloned().collect(),
    };
    Ok(Some((peer, comment)))
}

fn peer_line(peer: &KnownPeer) -> String {
    let date = |date: &DateTime<Utc>| date.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut line = format!(
        "{} {} {} {} {} {}",
        field(&peer.name),
        peer.key.to_text(),
        peer.trust.word(),
        date(&peer.first_seen),
        date(&peer.last_seen),
        field(&peer.address)
    );
    let via = peer.via.iter().map(|address| format!("{VIA}{address}"));
    let invite = peer.invite.iter().map(|id| format!("{INVITE}{id}"));
    let named = peer.named.then(|| NAMED.to_owned());
    for more in via.chain(invite).chain(named).chain(peer.dialled.iter().cloned()) {
        line.push(' ');
        line.push_str(&field(&more));
    }
    line
}

/// The text as one field: as it is, or quoted.
fn field(text: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\\');
    if !text.is_empty() && !text.starts_with(['#', '\u{feff}']) && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' ' => quoted.push(c),
            _ if is_plain(c) => quoted.push(c),
            _ => quoted.extend(c.escape_unicode()),
        }
    }
    quoted.push('"');
    quoted
}

/// The fields of a line, and the comment at its end.
fn fields(line: &str) -> Result<(Vec<String>, String), &'static str> {
    let mut fields = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        let after = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (text, after) = unquote(quoted).ok_or("a quote is not closed or followed by more")?;
                fields.push(text);
                after
            }
            None => {
                let (text, after) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
                fields.push(text.to_owned());
                after
            }
        };
        rest = after.trim_start();
    }
    Ok((fields, rest.to_owned()))
}

/// What stands before the closing quote, and what after it; a space or the end must follow.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => break,
            '\\' => text.push(match chars.next()? {
                'u' => {
                    let (code, after) = chars.as_str().strip_prefix('{')?.split_once('}')?;
                    chars = after.chars();
                    char::from_u32(u32::from_str_radix(code, 16).ok()?)?
                }
                c => c,
            }),
            c => text.push(c),
        }
    }
    let rest = chars.as_str();
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some((text, rest))
}

fn date(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let date = DateTime::parse_from_rfc3339(text).map(|date| date.with_timezone(&Utc));
    // An offset may lead out of the years that can be written with four digits, and read again.
    date.ok().filter(|date| (0..=9_999).contains(&date.year())).ok_or("a date is not like 2026-11-24T13:30:00Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "2026-11-24T13:30:00Z";

    fn line(name: &str, key: u8) -> String {
        format!("{name} {} known {DATE} {DATE} host:5000", PublicKey([key; 32]).to_text())
    }

    fn names(peers: &KnownPeers) -> Vec<&str> {
        peers.iter().map(|peer| peer.name.as_str()).collect()
    }

    #[test]
    fn what_was_not_changed_is_written_back_byte_for_byte() {
        let mut bytes = b"\xef\xbb\xbf# mine\r\n\n  alice\t".to_vec();
        bytes.extend_from_slice(&line("", 1).into_bytes());
        bytes.extend_from_slice(b"   # from work\r\nbroken \xff line\nbob nokey\n\n# end\n");
        let peers = KnownPeers::from_bytes(&bytes);
        assert_eq!(names(&peers), ["alice"]);
        assert_eq!(peers.to_bytes(), bytes);
    }

    #[test]
    fn a_changed_line_keeps_its_place_and_comment() {
        let text = format!("# a\n{} # from work\n{}\n", line("alice", 1), line("bob", 2));
        let mut peers = KnownPeers::from_bytes(text.as_bytes());
        peers.edit(|peer| peer.name == "alice").unwrap().trust = Trust::Verified;
        let expected = text.replacen("known", "verified", 1);
        assert_eq!(String::from_utf8(peers.to_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_with_its_reason() {
        let text = [
            &line("alice", 1),
            "bob",
            &line("carol", 1),
            &line("alice", 3),
            &line("dave", 4).replace("known", "friend"),
            &line("erin", 5).replace('Z', ""),
            &line("erna", 8).replacen(DATE, "9999-12-31T23:59:59-23:59", 1),
            &line("frank", 6).replace("06", "0g"),
            "\"grace",
            "\"heidi\"x",
            &line("ivan", 7)[..100],
        ]
        .join("\n");
        let peers = KnownPeers::from_bytes(text.as_bytes());
        let date = "a date is not like 2026-11-24T13:30:00Z";
        let quote = "a quote is not closed or followed by more";
        let expected = [
            (2, "it has 1 fields, and needs at least 6"),
            (3, "another line has the same key"),
            (4, "another line has the same name"),
            (5, "trust is neither known nor verified"),
            (6, date),
            (7, date),
            (8, "the key is not 64 hexadecimal digits"),
            (9, quote),
            (10, quote),
            (11, "it has 5 fields, and needs at least 6"),
        ];
        let expected = expected.map(|(line, reason)| format!("line {line} of known_peers has no effect: {reason}"));
        assert_eq!(peers.problems(), expected);
        assert_eq!(names(&peers), ["alice"]);
        assert_eq!(peers.to_bytes(), [text.as_bytes(), b"\n"].concat());
    }

    #[test]
    fn an_empty_file_has_no_peers_and_no_problems() {
        for bytes in [&b""[..], b"\n", b"\n\n", b"# only\n"] {
            let peers = KnownPeers::from_bytes(bytes);
            assert!(peers.problems().is_empty() && names(&peers).is_empty());
        }
    }
}
