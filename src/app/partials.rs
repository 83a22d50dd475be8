//! `p2pchat partials`: what unfinished downloads left, for a person to see and to throw away.

use crate::cli::PartialsCommand;
use crate::exit::Exit;
use crate::known_peers::{KnownPeers, table};
use crate::text::SafeText;
use crate::transfer::resume::stale::{self, Rest, StaleError, Unfinished};
use crate::ui::words;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What nothing came of for so long is worth a word at the start: a month, after which few remember what it was.
const OLD: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Where the journals of downloads are.
pub(super) fn dir(data: &Path) -> PathBuf {
    data.join("partials")
}

/// What to say at the start, when something old is there.
pub(super) fn reminder(dir: &Path) -> Option<String> {
    let old = stale::count_older(dir, OLD);
    let what = match old {
        0 => return None,
        1 => "1 unfinished download is".to_owned(),
        _ => format!("{old} unfinished downloads are"),
    };
    Some(format!("{what} older than {} days; to see and remove: p2pchat partials", OLD.as_secs() / (24 * 3_600)))
}

/// What to print, and whether all was done.
pub(super) fn carry_out(dir: &Path, peers: &KnownPeers, command: PartialsCommand) -> anyhow::Result<(String, Exit)> {
    let (ids, all) = match command {
        PartialsCommand::List => return Ok((listed(&stale::list(dir)?, peers), Exit::Polite)),
        PartialsCommand::Remove { all: true, .. } => {
            (stale::list(dir)?.into_iter().map(|found| found.id).collect(), true)
        }
        PartialsCommand::Remove { ids, all: false } => (ids, false),
    };
    if ids.is_empty() {
        return Ok((NOTHING.to_owned(), Exit::Polite));
    }
    let mut text = String::new();
    let mut exit = Exit::Polite;
    for id in ids {
        let line = match stale::remove(dir, &id) {
            Ok(Rest::NoFolder) => format!("{id} is removed; the folder that received it is gone"),
            Ok(Rest::Partial(bytes)) => format!("{id} is removed with {}", words::size(bytes)),
            Ok(Rest::Unknown(why)) => format!("{id} is removed, but {why}: a partial of it may still be there"),
            Ok(Rest::Nothing | Rest::Running) => format!("{id} is removed; no partial was there"),
            Err(StaleError::Running(id)) if all => format!("{id} is being received right now and stays"),
            Err(error) => {
                exit = Exit::Failure;
                error.to_string()
            }
        };
        text.push_str(SafeText::with_hint(&line).as_str());
        text.push('\n');
    }
    Ok((text, exit))
}

const NOTHING: &str = "no download is unfinished\n";

fn listed(all: &[Unfinished], peers: &KnownPeers) -> String {
    if all.is_empty() {
        return NOTHING.to_owned();
    }
    let heading = ["ID", "AGE", "FROM", "ON DISK", "WHAT", "FOLDER"].map(str::to_owned);
    let rows = all.iter().map(|found| row(found, peers));
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}

fn row(found: &Unfinished, peers: &KnownPeers) -> [String; 6] {
    let known = peers.iter().find(|peer| peer.key.fingerprint() == found.peer);
    let from = known.map_or(&found.peer, |peer| &peer.name);
    let age = words::duration(found.touched.elapsed().unwrap_or_default());
    let (age, on_disk, note) = match &found.rest {
        Rest::Running => ("now".to_owned(), "-".to_owned(), ""),
        Rest::Partial(bytes) => (age, words::size(*bytes), ""),
        Rest::Nothing => (age, "-".to_owned(), ""),
        Rest::NoFolder => (age, "-".to_owned(), " (gone)"),
        Rest::Unknown(why) => (age, why.clone(), ""),
    };
    let shown = |text: &str| if text.is_empty() { "?".to_owned() } else { SafeText::clean(text).to_string() };
    let into = format!("{}{note}", found.into.display());
    [found.id.clone(), age, shown(from), shown(&on_disk), shown(&found.first), shown(&into)]
}
