//! `--lan` without a peer: who announces itself on the own network, and which of them is dialled.
//!
//! A person at a terminal chooses. A script gets the only one there is, or an error.

use super::config::Config;
use super::whom::{Whom, WhomKind, next_line};
use crate::error_text::io_error_text;
use crate::exit::UsageError;
use crate::known_peers::{KnownPeer, KnownPeers, table};
use crate::net::lan::{self, Admits, BROWSE_TIME, Browser, LanError, Neighbour};
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Instant;

/// Looks around, and says whom to dial and whether that takes a code. With `wait` until somebody is there.
///
/// Else why there is nobody to dial: the network is at fault, or nobody is there.
///
/// # Errors
/// When the user's choice is none.
pub(super) fn choose(config: &Config, wait: bool) -> Result<Result<(Whom, Admits), String>, UsageError> {
    let person = io::stdin().is_terminal();
    if person {
        let _ = writeln!(io::stderr(), "looking around on this network");
    }
    let found = loop {
        match look(&config.known) {
            Ok(found) if !found.is_empty() => break found,
            Ok(_) if wait => {}
            Ok(_) => return Ok(Err(lan::explain(None, None))),
            Err(error) => return Ok(Err(lan::explain(None, Some(&error)))),
        }
    };
    let neighbour = if person { ask(&found, &config.known)? } else { only(&found, &config.known)? };
    let invited = UsageError("only who has its invite is let in there\nconnect INVITE --lan finds it".into());
    let admits = neighbour.admits;
    if admits == Admits::Invited { Err(invited) } else { Ok(Ok((whom(neighbour, &config.known), admits))) }
}

/// Who is there; known peers first.
fn look(known: &KnownPeers) -> Result<Vec<Neighbour>, LanError> {
    let mut browser = Browser::start(known.iter().map(|peer| peer.key.pin()).collect())?;
    let mut found = browser.neighbours(Instant::now() + BROWSE_TIME).to_vec();
    found.retain(|neighbour| neighbour.admits != Admits::Returning);
    found.sort_by_key(|neighbour| (neighbour.pin.is_none(), neighbour.addrs.first().copied()));
    Ok(found)
}

fn whom(neighbour: &Neighbour, known: &KnownPeers) -> Whom {
    let candidates = neighbour.candidates();
    let (called, kind) = match peer(neighbour, known) {
        Some(peer) => (peer.name.clone(), WhomKind::Peer(Box::new(peer.clone()))),
        None => (candidates.first().map(ToString::to_string).unwrap_or_default(), WhomKind::Stranger),
    };
    Whom { candidates, called, by_invite: false, kind }
}

/// The one that a script can have meant.
fn only<'f>(found: &'f [Neighbour], known: &KnownPeers) -> Result<&'f Neighbour, UsageError> {
    let several = || {
        let rows = rows(found, known);
        UsageError(format!("several announce themselves on this network; --peer NAME says which one\n{rows}"))
    };
    let mut open = found.iter().filter(|neighbour| neighbour.admits != Admits::Invited);
    match (open.next(), open.next(), found) {
        (Some(only), None, _) | (None, _, [only]) => Ok(only),
        _ => Err(several()),
    }
}

/// Has the person at the terminal choose.
fn ask<'f>(found: &'f [Neighbour], known: &KnownPeers) -> Result<&'f Neighbour, UsageError> {
    let failed = |error: io::Error| UsageError(format!("cannot ask which one: {}", io_error_text(&error)));
    let mut err = io::stderr();
    writeln!(err, "on this network:\n{}which one?", rows(found, known)).map_err(failed)?;
    loop {
        let line = next_line().map_err(failed)?;
        let said = line.trim();
        let by_number = said.parse().ok().and_then(|number: usize| found.get(number.checked_sub(1)?));
        let named = |neighbour: &&Neighbour| peer(neighbour, known).is_some_and(|peer| peer.name == said);
        match by_number.or_else(|| found.iter().find(named)) {
            Some(neighbour) => return Ok(neighbour),
            None if line.is_empty() => return Err(UsageError("nobody was chosen".into())),
            None => writeln!(err, "a number from 1 to {}", found.len()).map_err(failed)?,
        }
    }
}

/// Who it seems to be. The key that it has to show when it is dialled is that peer's.
fn peer<'k>(neighbour: &Neighbour, known: &'k KnownPeers) -> Option<&'k KnownPeer> {
    known.by_pin(neighbour.pin.as_ref()?)
}

/// A row for each, numbered from 1: who, trust, where, and what it asks for.
fn rows(found: &[Neighbour], known: &KnownPeers) -> String {
    let row = |(number, neighbour): (usize, &Neighbour)| {
        let (name, trust) = peer(neighbour, known).map_or(("somebody", "new"), |peer| (&peer.name, peer.trust.word()));
        let addr = neighbour.addrs.first().map(SocketAddr::to_string).unwrap_or_default();
        let asks = match neighbour.admits {
            Admits::Anybody | Admits::Returning => "",
            Admits::WithCode => "asks for a code",
            Admits::Invited => "by invite only",
        };
        [format!("{number:3}"), name.to_owned(), trust.to_owned(), addr, asks.to_owned()]
    };
    table(&(1..).zip(found).map(row).collect::<Vec<_>>())
}
