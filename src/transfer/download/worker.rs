//! The one thread that writes what all transfers receive.
//!
//! 1. Orders come before pieces: a cancelled transfer's data is dropped, not written.
//! 2. Pieces are taken in batches. What came compressed is opened, into records of the same pool; what does not open ends the session,
//!    and nothing is written any more. Pieces of one transfer that follow each other go to its writer in one go.
//! 3. After each batch its weight is released, and the flow control hears how far each transfer is.

use super::open;
use super::output::Output;
use super::writer::Writer;
use super::{AcceptedOffer, Broken, DownloadReport, Settings, Target};
use crate::channel::TAG;
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::{CHUNK_HEADER, TransferId};
use crate::transfer::compression::Decompressor;
use crate::transfer::flow_control::{FlowControl, Piece, RouteStart};
use crate::transfer::staging::{Published, Staging, Totals};
use crate::transfer::{REPORTED, Report};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::thread::{self, JoinHandle};

/// What the worker is told.
pub(super) enum Order {
    Accept { transfer: TransferId, accepted: AcceptedOffer },
    Opened { transfer: TransferId, opened: Result<Box<Writer>, DownloadReport> },
    Cancel { transfer: TransferId, remove: bool },
    Acknowledged(TransferId),
    Stop,
}

enum Slot {
    Preparing {
        cancelled: Arc<AtomicBool>,
        /// When it was cancelled: what came goes, too.
        remove: bool,
    },
    Running(Box<Writer>),
    Output(Box<Output>),
    /// Published; the peer does not know yet.
    Published(Box<Staging>),
}

pub(super) struct Worker {
    settings: Arc<Settings>,
    flow: Arc<FlowControl>,
    report: Report<DownloadReport>,
    /// For the helpers.
    orders: Sender<Order>,
    incoming: Receiver<Order>,
    slots: BTreeMap<TransferId, Slot>,
    /// Threads that remove folders.
    removing: Vec<JoinHandle<()>>,
    /// There once a compressed chunk came.
    decompressor: Option<Decompressor>,
    faulted: bool,
}

impl Worker {
    pub(super) fn new(
        settings: Arc<Settings>,
        flow: Arc<FlowControl>,
        report: Report<DownloadReport>,
        orders: Sender<Order>,
        incoming: Receiver<Order>,
    ) -> Self {
        let (slots, removing) = (BTreeMap::new(), Vec::new());
        Self { settings, flow, report, orders, incoming, slots, removing, decompressor: None, faulted: false }
    }

    pub(super) fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            self.flow.take(&mut batch);
            while let Ok(order) = self.incoming.try_recv() {
                if matches!(order, Order::Stop) {
                    return self.stop();
                }
                self.order(order);
            }
            self.write(&mut batch);
        }
    }

    fn stop(self) {
        for slot in self.slots.into_values() {
            match slot {
                Slot::Running(writer) => drop(writer.leave()),
                Slot::Preparing { cancelled, .. } => cancelled.store(true, Ordering::Release),
                _ => {}
            }
        }
        for thread in self.removing {
            // A panic was shown by the panic hook.
            let _ = thread.join();
        }
    }

    fn report(&self, transfer: TransferId, report: DownloadReport) {
        (self.report)(transfer, report);
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Accept { transfer, accepted } => self.accept(transfer, accepted),
            Order::Opened { transfer, opened } => self.opened(transfer, opened),
            Order::Cancel { transfer, remove } => self.cancel(transfer, remove),
            Order::Acknowledged(transfer) => {
                if let Some(Slot::Published(staging)) = self.slots.remove(&transfer) {
                    self.remove(transfer, *staging);
                }
            }
            Order::Stop => {}
        }
    }

    fn accept(&mut self, transfer: TransferId, accepted: AcceptedOffer) {
        if self.settings.target == Target::Output {
            let output = Output::new(Arc::clone(&accepted.manifest));
            let (position, digest) = output.stands_at();
            let start = RouteStart { manifest: accepted.manifest, position };
            self.report(transfer, DownloadReport::Ready { digest, start, part: None });
            self.slots.insert(transfer, Slot::Output(Box::new(output)));
            return;
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        self.slots.insert(transfer, Slot::Preparing { cancelled: Arc::clone(&cancelled), remove: false });
        let (settings, orders, flow) = (Arc::clone(&self.settings), self.orders.clone(), Arc::clone(&self.flow));
        let preparing = thread::Builder::new().name("download open".into()).spawn(move || {
            let opened = open::open(&settings, &accepted, &cancelled).map(Box::new);
            let _ = orders.send(Order::Opened { transfer, opened });
            flow.kick();
        });
        if let Err(error) = preparing {
            self.broken(transfer, Broken::no_thread(&error));
        }
    }

    fn opened(&mut self, transfer: TransferId, opened: Result<Box<Writer>, DownloadReport>) {
        let Some(Slot::Preparing { cancelled, remove }) = self.slots.remove(&transfer) else { return };
        let cancelled = cancelled.load(Ordering::Acquire);
        match opened {
            Err(report) if !cancelled => self.report(transfer, report),
            Err(_) => {}
            Ok(writer) if remove => self.remove(transfer, writer.into_staging()),
            Ok(writer) if cancelled => drop(writer.leave()),
            Ok(writer) => {
                let manifest = Arc::clone(&writer.staging().manifest);
                let part = Some(writer.staging().path());
                let (position, digest) = writer.stands_at();
                let start = RouteStart { manifest, position };
                self.report(transfer, DownloadReport::Ready { digest, start, part });
                self.slots.insert(transfer, Slot::Running(writer));
                self.publish_if_received(transfer);
            }
        }
    }

    fn cancel(&mut self, transfer: TransferId, removing: bool) {
        match self.slots.remove(&transfer) {
            Some(Slot::Preparing { cancelled, .. }) => {
                cancelled.store(true, Ordering::Release);
                self.slots.insert(transfer, Slot::Preparing { cancelled, remove: removing });
            }
            Some(Slot::Running(writer)) if removing => self.remove(transfer, writer.into_staging()),
            Some(Slot::Running(writer)) => drop(writer.leave()),
            // What is published stays known, for the peer may offer the same again.
            Some(Slot::Output(_) | Slot::Published(_)) | None => {}
        }
    }

    /// On a thread of its own, for a large folder takes long to remove.
    fn remove(&mut self, transfer: TransferId, staging: Staging) {
        let report = Arc::clone(&self.report);
        let remove = move || {
            if let Err(problem) = staging.remove() {
                let text = format!("cannot remove what came of transfer {transfer}: {problem}");
                report(transfer, DownloadReport::Warning { text });
            }
        };
        self.removing.retain(|thread| !thread.is_finished());
        // Without a thread it stays, and `p2pchat partials` shows it.
        self.removing.extend(thread::Builder::new().name("download remove".into()).spawn(remove));
    }

    /// Opens what is compressed in a batch.
    fn open_chunks(&mut self, batch: &mut [Piece]) -> Result<(), (TransferId, ProtocolError)> {
        for piece in batch {
            let Piece::Chunk { transfer, record, content: Some(len) } = piece else { continue };
            let mut opened = self.flow.records().take(CHUNK_HEADER + *len + TAG);
            let room = opened.bytes_mut().get_mut(CHUNK_HEADER..CHUNK_HEADER + *len).unwrap_or_default();
            let done = self.decompressor.get_or_insert_default().open(record.chunk_data(), room);
            done.map_err(|wrong| (*transfer, ProtocolError::Compressed(*transfer, wrong)))?;
            let record = std::mem::replace(record, opened);
            self.flow.records().give_record(record);
        }
        Ok(())
    }

    fn write(&mut self, batch: &mut Vec<Piece>) {
        let weight = batch.iter().map(Piece::weight).sum();
        if !self.faulted
            && let Err((transfer, fault)) = self.open_chunks(batch)
        {
            self.faulted = true;
            self.report(transfer, DownloadReport::Fault(fault));
        }
        if self.faulted {
            return batch.clear();
        }
        let mut reached = Vec::new();
        for run in batch.chunk_by(|a, b| transfer_of(a).is_some() && transfer_of(a) == transfer_of(b)) {
            match run {
                [Piece::Resumed(connection)] => {
                    // What was reached before belongs to the old connection.
                    let stands = self.slots.iter().filter_map(|(transfer, slot)| {
                        let (position, digest) = match slot {
                            Slot::Running(writer) => writer.stands_at(),
                            Slot::Output(output) => output.stands_at(),
                            _ => return None,
                        };
                        Some((*transfer, position, digest))
                    });
                    let stands: Vec<_> = stands.collect();
                    self.flow.restarted(*connection, &stands);
                    reached.clear();
                }
                pieces => {
                    let Some(transfer) = pieces.first().and_then(transfer_of) else { continue };
                    let report = &self.report;
                    let mut failed = |failed| report(transfer, DownloadReport::Published(vec![failed]));
                    let (written, position) = match self.slots.get_mut(&transfer) {
                        Some(Slot::Running(writer)) => (writer.write(pieces, &mut failed), writer.position()),
                        Some(Slot::Output(output)) => (output.write(pieces), output.position()),
                        _ => continue,
                    };
                    reached.push((transfer, position));
                    match written {
                        Ok(()) => self.publish_if_received(transfer),
                        Err(broken) => self.broken(transfer, broken),
                    }
                }
            }
        }
        self.flow.written(weight, &reached);
        for piece in batch.drain(..) {
            if let Piece::Chunk { record, .. } = piece {
                self.flow.records().give_record(record);
            }
        }
    }

    fn broken(&mut self, transfer: TransferId, mut broken: Broken) {
        // The folder is let go before anybody is told, for the same may be offered again at once.
        if let Some(Slot::Running(writer)) = self.slots.remove(&transfer) {
            broken.part = writer.leave();
        }
        self.report(transfer, DownloadReport::Broken(broken));
    }

    /// Publishes a transfer that is there as a whole.
    fn publish_if_received(&mut self, transfer: TransferId) {
        if let Some(Slot::Output(output)) = self.slots.get_mut(&transfer)
            && let Some((file, totals)) = output.outcome.take()
        {
            self.slots.remove(&transfer);
            self.report(transfer, DownloadReport::Published(vec![file]));
            return self.finished(transfer, totals);
        }
        let Some(Slot::Running(writer)) = self.slots.get(&transfer) else { return };
        if !writer.staging().is_received() {
            return;
        }
        let Some(Slot::Running(writer)) = self.slots.remove(&transfer) else { return };
        let mut staging = writer.into_staging();
        // A run that did all of this has reported the files.
        let silent = staging.is_done();
        let (report, mut unreported) = (&self.report, Vec::new());
        let totals = staging.publish(self.settings.on_clash, &mut |published| {
            if !silent || matches!(published, Published::Top(_)) {
                unreported.push(published);
            }
            if unreported.len() == REPORTED {
                report(transfer, DownloadReport::Published(std::mem::take(&mut unreported)));
            }
        });
        report(transfer, DownloadReport::Published(unreported));
        match totals {
            Ok(totals) => {
                self.finished(transfer, totals);
                self.slots.insert(transfer, Slot::Published(Box::new(staging)));
            }
            Err(problem) => {
                let part = staging.leave();
                let (reason, told) = (problem.reason(), problem.class().to_owned());
                self.report(transfer, DownloadReport::Broken(Broken { reason, text: problem.to_string(), told, part }));
            }
        }
    }

    fn finished(&self, transfer: TransferId, totals: Totals) {
        let wire_bytes = self.flow.wire_bytes(transfer);
        self.report(transfer, DownloadReport::Finished { totals, wire_bytes });
    }
}

fn transfer_of(piece: &Piece) -> Option<TransferId> {
    match piece {
        Piece::Begin { transfer, .. } | Piece::Chunk { transfer, .. } | Piece::End { transfer, .. } => Some(*transfer),
        Piece::Resumed(_) => None,
    }
}
