//! What is done before data comes: a look at the list and the disk, and opening the staging folder. On threads of their own.

use super::writer::Writer;
use super::{AcceptedOffer, Broken, DownloadReport, Looked, OnClash, Settings, Target};
use crate::protocol::frame::{Offer, Reason};
use crate::transfer::manifest::Manifest;
use crate::transfer::staging::{self, Problem, Staging, destinations, local_name, offer_file, staging_name};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Checks a list, and looks where it could go. `promised`: bytes that accepted transfers still need.
pub(super) fn look(settings: &Settings, offer: &Offer, list: &[u8], promised: u64) -> Result<Looked, DownloadReport> {
    let manifest = Manifest::decode(list, offer)
        .map_err(|error| DownloadReport::Unacceptable { reason: error.reason(), text: error.to_string() })?;
    if settings.target == Target::Output && (manifest.file_count(), manifest.folder_count()) != (1, 0) {
        let text = "only one file or stream can go to standard output".to_owned();
        return Err(DownloadReport::Unacceptable { reason: Reason::Rule, text });
    }
    let name = staging_name(&settings.own_private, settings.peer, &offer.digest);
    let no_part = manifest.is_stream() || settings.target == Target::Output;
    let dests = std::iter::once(settings.dir.clone()).chain(destinations::all(&settings.data_dir));
    let parts = dests.filter(|_| !no_part).filter_map(|dest| Some((staging::look(&dest, &name, &manifest)?, dest)));
    let is_usable = |dest: &Path| settings.target == Target::DirOrRecorded || dest == settings.dir;
    let (usable, others): (Vec<_>, Vec<_>) = parts.partition(|(_, dest)| is_usable(dest));
    let (position, recorded_dest) = usable.into_iter().next().unzip();
    let dest = recorded_dest.as_ref().unwrap_or(&settings.dir);
    let free = staging::space(dest).filter(|_| settings.target != Target::Output);
    let free = free.map(|(free, _)| free.saturating_sub(promised));
    let here = position.map_or(0, |position| manifest.progress(position).0);
    let needed = if no_part { 0 } else { manifest.bytes().saturating_sub(here) };
    let clashes = taken(dest, &manifest).filter(|taken| *taken && settings.target != Target::Output).count();
    let clashes = u32::try_from(clashes).unwrap_or(u32::MAX);
    let elsewhere = others.into_iter().next().map(|(_, dest)| dest).filter(|_| recorded_dest.is_none());
    Ok(Looked { manifest: Arc::new(manifest), clashes, free, needed, recorded_dest, elsewhere })
}

/// For each name at the top of a list, whether it exists already.
fn taken(dest: &Path, manifest: &Manifest) -> impl Iterator<Item = bool> {
    manifest.tops().map(|name| dest.join(local_name(name, true)).symlink_metadata().is_ok())
}

/// Opens the staging folder, and hashes the part that is there.
pub(super) fn open(
    settings: &Settings,
    accepted: &AcceptedOffer,
    cancelled: &AtomicBool,
) -> Result<Writer, DownloadReport> {
    let dest = accepted.dest.as_ref().unwrap_or(&settings.dir);
    let full = destinations::full_path(dest).map_err(Problem::at(dest));
    let dest = full.map_err(|problem| DownloadReport::NoSuchFolder { text: problem.to_string() })?;
    if !dest.is_dir() {
        return Err(DownloadReport::NoSuchFolder { text: format!("{}: not a folder", dest.display()) });
    }
    let manifest = &accepted.manifest;
    let name = staging_name(&settings.own_private, settings.peer, &accepted.digest);
    let begins = staging::look(&dest, &name, manifest).is_none();
    if settings.on_clash == OnClash::Refuse && begins && taken(&dest, manifest).all(|taken| taken) {
        let name = manifest.first_name();
        let text = format!("{}: exists already", dest.join(local_name(name, true)).display());
        let told = format!("{name}: exists already");
        return Err(DownloadReport::Broken(Broken::new(Reason::Rule, text, told)));
    }
    let broken = |problem: &Problem| {
        let text = format!("cannot begin the download: {problem}");
        DownloadReport::Broken(Broken::new(problem.reason(), text, problem.class().to_owned()))
    };
    // What cannot be recorded is found again all the same, when it is offered again into the same folder.
    let _ = destinations::record(&settings.data_dir, &dest);
    let offer = offer_file(settings.peer, &settings.peer_name, manifest);
    let staging = Staging::open(&dest, &name, &offer, Arc::clone(manifest), settings.fsync);
    let staging = staging.map_err(|problem| broken(&problem))?;
    let part = staging.take_part(cancelled).map_err(Problem::at(staging.path())).map_err(|problem| broken(&problem))?;
    Ok(Writer::new(staging, part))
}
