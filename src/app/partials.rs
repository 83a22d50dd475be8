//! `p2pchat partials`: what unfinished downloads left, for a person to see, to keep and to throw away.

use crate::cli::PartialsCommand;
use crate::exit::Exit;
use crate::identity;
use crate::known_peers::{KnownPeers, KnownPeersFile, table};
use crate::text::SafeText;
use crate::transfer::staging::partials::{self, Partial, PartialsError, Progress};
use crate::ui::format;
use std::path::Path;
use std::time::Duration;

/// What nothing came of for so long is worth a word at the start: a month, after which few remember what it was.
const OLD: Duration = Duration::from_secs(30 * 24 * 3_600);
const NOTHING: &str = "no download is unfinished\n";

/// What to say at the start, when something old is there.
pub(super) fn reminder(data_dir: &Path) -> Option<String> {
    let old = partials::count_older(data_dir, OLD);
    let what = match old {
        0 => return None,
        1 => "1 unfinished download is".to_owned(),
        _ => format!("{old} unfinished downloads are"),
    };
    Some(format!("{what} older than {} days; to see and remove: p2pchat partials", OLD.as_secs() / (24 * 3_600)))
}

/// `p2pchat partials`: what to print, and whether all was done.
///
/// # Errors
/// When there is no data directory, or the known peers cannot be read.
pub fn partials(command: PartialsCommand) -> anyhow::Result<(String, Exit)> {
    let data_dir = &identity::data_dir()?;
    let peers = KnownPeersFile::new(data_dir).read()?;
    let (ids, keep, all) = match command {
        PartialsCommand::List => return Ok((list(&partials::list(data_dir), &peers), Exit::Polite)),
        PartialsCommand::Remove { all: true, .. } => {
            (partials::list(data_dir).into_iter().map(|partial| partial.id).collect(), false, true)
        }
        PartialsCommand::Remove { ids, all: false } => (ids, false, false),
        PartialsCommand::Keep { ids } => (ids, true, false),
    };
    if ids.is_empty() {
        return Ok((NOTHING.to_owned(), Exit::Polite));
    }
    let mut text = String::new();
    let mut exit = Exit::Polite;
    for id in ids {
        let done = if keep { publish(data_dir, &id) } else { remove(data_dir, &id) };
        let line = match done {
            Ok(line) => line,
            Err(PartialsError::Running(id)) if all => format!("{id} is being received right now and stays"),
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

fn remove(data_dir: &Path, id: &str) -> Result<String, PartialsError> {
    let partial = partials::remove(data_dir, id)?;
    Ok(match partial.progress {
        Progress::Unfinished { bytes, .. } => format!("{} is removed with {}", partial.id, format::size(bytes)),
        _ => format!("{} is removed", partial.id),
    })
}

fn publish(data_dir: &Path, id: &str) -> Result<String, PartialsError> {
    let totals = partials::keep(data_dir, id)?;
    Ok(format!("{id}: {} with {} kept", format::count(totals.files, "file"), format::size(totals.bytes)))
}

fn list(all: &[Partial], peers: &KnownPeers) -> String {
    if all.is_empty() {
        return NOTHING.to_owned();
    }
    let heading = ["ID", "AGE", "FROM", "ON DISK", "WHAT", "FOLDER"].map(str::to_owned);
    let rows = all.iter().map(|partial| row(partial, peers));
    table(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}

fn row(partial: &Partial, peers: &KnownPeers) -> [String; 6] {
    let known = partial.peer.as_ref().and_then(|key| peers.lookup(key));
    let from = known.map_or(&partial.peer_name, |peer| &peer.name);
    let age = format::duration(partial.touched.elapsed().unwrap_or_default());
    let (age, on_disk) = match partial.progress {
        Progress::Running => ("now".to_owned(), "-".to_owned()),
        Progress::Unfinished { bytes, of } => {
            let of = of.map(|of| format!(" of {}", format::size(of))).unwrap_or_default();
            (age, format!("{}{of}", format::size(bytes)))
        }
        Progress::Received => (age, "all".to_owned()),
        Progress::Unknown => (age, "?".to_owned()),
    };
    let shown = |text: &str| if text.is_empty() { "?".to_owned() } else { SafeText::clean(text).to_string() };
    let folder = partial.dest.display().to_string();
    [partial.id.clone(), age, shown(from), on_disk, shown(&partial.first), shown(&folder)]
}
