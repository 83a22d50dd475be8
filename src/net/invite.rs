//! The invite: one text that says where a listener is, which key it has, and a secret that lets its holder in once.
//!
//! Text form: `p2pchat:` and base32 (RFC 4648, lower case, no padding) of the bytes below. Only `a-z2-7:` occur, so no shell,
//! messenger or markup changes it.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | 0x10: version 1 in the high half, flags 0 |
//! | 16 | pin: the first 16 bytes of the listener's fingerprint (PROTOCOL.md section 10) |
//! | 10 | secret, random |
//! | 2 | u16 port, for all candidates without their own |
//! | … | candidates: a length byte 4, 6, 16 or 18, then an address and, with 6 or 18, a u16 port; or 0x40, u8 length, name, u16 port |
//! | 3 | check: `derive_key("p2pchat/1 2026 invite check", all before)[0..3]` |
//!
//! The secret is used as the code of a code mode opening (PROTOCOL.md section 2); the dialler demands a key with this pin. Who reads an
//! invite can take its place once, but cannot stand between the two: that takes the key as well.

use super::address::Candidate;
use crate::channel::Code;
use crate::keys::{Pin, PublicKey, base32};
use data_encoding::BASE32_NOPAD;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;
use zeroize::Zeroizing;

/// How the text begins; case does not count.
pub const PREFIX: &str = "p2pchat:";
/// The longest text that is read, in characters without white space. Eight candidates, one a long name, stay below it.
pub const LONGEST: usize = 1_024;
/// Candidates of one invite: what a QR code on 24 rows holds.
const CANDIDATES: usize = 8;
/// Bytes of the secret: 80 bits cannot be guessed over the network, so such a code needs no limit of tries.
const SECRET: usize = 10;
/// Bytes of the check: a damaged invite passes once in 16 million.
const CHECK: usize = 3;
const VERSION: u8 = 0x10;
const NAME: u8 = 0x40;
/// Stands before the lines of this program, and so in an invite that was copied from several of them.
pub(crate) const BAR: char = '¦';
const CHECK_CONTEXT: &str = "p2pchat/1 2026 invite check";
const ID_CONTEXT: &str = "p2pchat/1 2026 invite id";

/// See the module. `Debug` shows nothing of the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    pin: Pin,
    secret: Zeroizing<[u8; SECRET]>,
    /// For candidates without their own; the port that the listener is bound to.
    port: u16,
    candidates: Vec<Candidate>,
}

/// Why a text is no invite. The fault lies with the text, or with how it was copied.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum InviteError {
    #[error("this is no invite: it does not begin with {PREFIX}")]
    NoPrefix,
    #[error(
        "the invite is damaged: it has {0} characters\ncopy all of it, from {PREFIX} to its end; it may stand on several lines"
    )]
    Damaged(usize),
    #[error("the invite is of a newer p2pchat\nget the newer program, or ask for an address")]
    Newer,
    #[error("the invite names no address\nask for a fresh one")]
    NoCandidate,
}

impl Invite {
    /// An invite to the listener with this key.
    pub fn new(key: &PublicKey, port: u16, candidates: Vec<Candidate>) -> Result<Self, getrandom::Error> {
        let mut secret = Zeroizing::new([0; SECRET]);
        getrandom::fill(&mut *secret)?;
        let mut invite = Self { pin: key.pin(), secret, port, candidates: Vec::new() };
        invite.set_candidates(candidates);
        Ok(invite)
    }

    /// The same invite with other addresses.
    pub fn set_candidates(&mut self, candidates: Vec<Candidate>) {
        self.candidates = candidates;
        self.candidates.truncate(CANDIDATES);
        // Only long names come to so much.
        while self.text().len() > LONGEST {
            self.candidates.pop();
        }
    }

    /// Reads an invite. White space and case do not count, nor what this program puts before wrapped lines.
    pub fn parse(text: &str) -> Result<Self, InviteError> {
        let mut compact = Zeroizing::new(String::with_capacity(text.len().min(LONGEST)));
        let mut characters = 0;
        for character in text.chars().filter(|&character| !character.is_whitespace() && character != BAR) {
            characters += 1;
            if characters <= LONGEST {
                compact.push(character.to_ascii_lowercase());
            }
        }
        let digits = compact.strip_prefix(PREFIX).ok_or(InviteError::NoPrefix)?;
        let damaged = InviteError::Damaged(characters);
        if characters > LONGEST {
            return Err(damaged);
        }
        let upper = Zeroizing::new(digits.to_ascii_uppercase());
        let bytes = Zeroizing::new(BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| damaged.clone())?);
        let (body, check) = bytes.split_at_checked(bytes.len().saturating_sub(CHECK)).ok_or_else(|| damaged.clone())?;
        if check_of(body) != check {
            return Err(damaged);
        }
        Self::decode(body).unwrap_or(Err(damaged))
    }

    /// `None`: the bytes end too early.
    fn decode(body: &[u8]) -> Option<Result<Self, InviteError>> {
        let mut rest = body;
        if take(&mut rest)? != [VERSION] {
            return Some(Err(InviteError::Newer));
        }
        let (pin, secret) = (take(&mut rest)?, Zeroizing::new(take(&mut rest)?));
        let port = u16::from_be_bytes(take(&mut rest)?);
        let mut candidates = Vec::new();
        while !rest.is_empty() {
            match candidate(&mut rest, port)? {
                Ok(found) => candidates.extend(found),
                Err(newer) => return Some(Err(newer)),
            }
        }
        candidates.truncate(CANDIDATES);
        Some(if candidates.is_empty() {
            Err(InviteError::NoCandidate)
        } else {
            Ok(Self { pin, secret, port, candidates })
        })
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(vec![VERSION]);
        bytes.extend_from_slice(&self.pin);
        bytes.extend_from_slice(&*self.secret);
        bytes.extend_from_slice(&self.port.to_be_bytes());
        for Candidate { host, port } in &self.candidates {
            let own_port = if *port == self.port { &[][..] } else { &port.to_be_bytes()[..] };
            match host.parse() {
                Ok(IpAddr::V4(ip)) => push_ip(&mut bytes, &ip.octets(), own_port),
                Ok(IpAddr::V6(ip)) => push_ip(&mut bytes, &ip.octets(), own_port),
                Err(_) => {
                    // A name of the system or of the command line is never this long; one that is cannot be looked up.
                    let Ok(length) = u8::try_from(host.len()) else { continue };
                    bytes.extend_from_slice(&[NAME, length]);
                    bytes.extend_from_slice(host.as_bytes());
                    bytes.extend_from_slice(&port.to_be_bytes());
                }
            }
        }
        let check = check_of(&bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    /// The text to send to the peer. It is a secret.
    pub fn text(&self) -> Zeroizing<String> {
        let mut digits = BASE32_NOPAD.encode(&self.encode());
        digits.make_ascii_lowercase();
        let digits = Zeroizing::new(digits);
        Zeroizing::new(format!("{PREFIX}{}", digits.as_str()))
    }

    /// The code that both sides use in the opening.
    pub fn code(&self) -> Code {
        Code::from_secret(&*self.secret)
    }

    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// Whether a listener with this key made the invite.
    pub fn names(&self, key: &PublicKey) -> bool {
        key.pin() == self.pin
    }

    /// What the dialler remembers a used invite by; it does not tell the secret.
    pub fn id(&self) -> String {
        let [a, b, c, d, e, ..] = blake3::derive_key(ID_CONTEXT, &*self.secret);
        base32(&[a, b, c, d, e]).to_ascii_lowercase()
    }

    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invite").field("candidates", &self.candidates).finish_non_exhaustive()
    }
}

fn check_of(body: &[u8]) -> [u8; CHECK] {
    let [a, b, c, ..] = blake3::derive_key(CHECK_CONTEXT, body);
    [a, b, c]
}

fn push_ip(bytes: &mut Vec<u8>, ip: &[u8], port: &[u8]) {
    bytes.extend(u8::try_from(ip.len() + port.len()));
    bytes.extend_from_slice(ip);
    bytes.extend_from_slice(port);
}

/// The next candidate, if it is of a kind that is known: a later version may add others below 0x40. `None`: the bytes end inside it.
fn candidate(rest: &mut &[u8], port: u16) -> Option<Result<Option<Candidate>, InviteError>> {
    let ip4 = |ip: [u8; 4]| Ipv4Addr::from(ip).to_string();
    let ip6 = |ip: [u8; 16]| Ipv6Addr::from(ip).to_string();
    let [kind] = take(rest)?;
    let (host, port) = match kind {
        4 => (ip4(take(rest)?), port),
        6 => (ip4(take(rest)?), u16::from_be_bytes(take(rest)?)),
        16 => (ip6(take(rest)?), port),
        18 => (ip6(take(rest)?), u16::from_be_bytes(take(rest)?)),
        NAME => name(rest)?,
        length @ 0..NAME => return rest.split_off(..usize::from(length)).map(|_| Ok(None)),
        _ => return Some(Err(InviteError::Newer)),
    };
    Some(Ok(Some(Candidate { host, port })))
}

fn name(rest: &mut &[u8]) -> Option<(String, u16)> {
    let [length] = take(rest)?;
    let name = str::from_utf8(rest.split_off(..usize::from(length))?).ok()?;
    let port = u16::from_be_bytes(take(rest)?);
    Some((name.to_owned(), port))
}

/// The next `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, others) = rest.split_first_chunk::<N>()?;
    *rest = others;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VECTOR: &str =
        "p2pchat:cadqobyha4dqobyha4dqobyha4dqscijbeeqscijbeerhcaeycuacbiqeaaq3oaaaaaaaaaaaaaaaaaaaudmwadra6qcqm6ere";

    fn vector() -> Invite {
        let candidates = [("192.168.1.5", 5000), ("2001:db8::5", 5000), ("203.0.113.7", 41000)];
        let candidates = candidates.map(|(ip, port)| Candidate { host: ip.into(), port });
        Invite { pin: [7; 16], secret: Zeroizing::new([9; 10]), port: 5000, candidates: candidates.to_vec() }
    }

    fn invite(candidates: &[&str]) -> Invite {
        Invite { candidates: candidates.iter().map(|text| text.parse().unwrap()).collect(), ..vector() }
    }

    #[test]
    fn the_vector_is_written_and_read() {
        assert_eq!(*vector().text(), VECTOR);
        assert_eq!(Invite::parse(VECTOR), Ok(vector()));
        let lengths: Vec<_> = [&["192.0.2.1:5000"][..], &["192.0.2.1:5000", "[2001:db8::1]:5000"]]
            .iter()
            .map(|candidates| invite(candidates).text().len())
            .collect();
        assert_eq!(lengths, [68, 95]);
    }

    #[test]
    fn an_invite_survives_wrapping_and_case_and_nothing_else() {
        let wrapped = format!("  {}\r\n   {}\n      ¦ {} \n", &VECTOR[..30], &VECTOR[30..60], &VECTOR[60..]);
        assert_eq!(Invite::parse(&wrapped), Ok(vector()));
        assert_eq!(Invite::parse(&VECTOR.to_uppercase()), Ok(vector()));
        for place in 0..VECTOR.len() {
            let mut changed = VECTOR.to_owned();
            let other = if VECTOR[place..].starts_with('a') { "b" } else { "a" };
            changed.replace_range(place..=place, other);
            assert!(Invite::parse(&changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        for length in 0..VECTOR.len() {
            let expected = if length < PREFIX.len() { InviteError::NoPrefix } else { InviteError::Damaged(length) };
            assert_eq!(Invite::parse(&VECTOR[..length]), Err(expected));
        }
        assert_eq!(Invite::parse(&format!("{VECTOR}a")), Err(InviteError::Damaged(VECTOR.len() + 1)));
        assert_eq!(Invite::parse(&format!("{PREFIX}{}", "a".repeat(2_000))), Err(InviteError::Damaged(2_008)));
    }

    fn text_of(body: &[u8]) -> String {
        let bytes = [body, &check_of(body)].concat();
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes))
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over_or_named() {
        let full = vector().encode();
        let body = &full[..full.len() - CHECK];
        let read = |more: &[u8]| Invite::parse(&text_of(&[body, more].concat()));
        assert_eq!(read(&[3, 1, 2, 3]), Ok(vector()));
        assert!(matches!(read(&[3, 1, 2]), Err(InviteError::Damaged(_))));
        assert_eq!(read(&[0x41]), Err(InviteError::Newer));
        assert_eq!(Invite::parse(&text_of(&[0x20; 40])), Err(InviteError::Newer));
        assert_eq!(Invite::parse(&text_of(&body[..29])), Err(InviteError::NoCandidate));
    }

    #[test]
    fn a_name_is_kept_with_its_port() {
        let onion = "a2345672345672345672345672345672345672345672345672345672.onion:5000";
        let invite = invite(&[onion, "example.org:7"]);
        assert_eq!(Invite::parse(&invite.text()).unwrap(), invite);
        assert_eq!(invite.candidates()[0].to_string(), onion);
    }

    #[test]
    fn only_the_key_of_the_pin_is_named_and_debug_shows_no_secret() {
        let key = PublicKey([3; 32]);
        let invite = Invite::new(&key, 5000, vec!["192.0.2.1:5000".parse().unwrap(); 20]).unwrap();
        assert!(invite.names(&key));
        assert!(!invite.names(&PublicKey([4; 32])));
        assert_eq!(invite.candidates().len(), CANDIDATES);
        let text = invite.text();
        assert_eq!(Invite::parse(&text).unwrap().code().display(), invite.code().display());
        assert!(!format!("{invite:?}").contains(&invite.code().display().to_lowercase()));
    }

    proptest! {
        #[test]
        fn what_is_read_of_any_body_is_written_the_same(body in prop::collection::vec(any::<u8>(), 0..80)) {
            let body = [&[VERSION][..], &body].concat();
            if let Ok(invite) = Invite::parse(&text_of(&body)) {
                prop_assert_eq!(Invite::parse(&invite.text()), Ok(invite));
            }
        }
    }
}
