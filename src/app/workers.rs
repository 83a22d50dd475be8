//! The real workers of a conversation: the threads of its uploads and downloads.

use super::conversation::Workers;
use crate::net::buffer::{OutChunk, Pool};
use crate::net::send_queue::SendQueue;
use crate::protocol::frame::{Position, TransferId};
use crate::session::{Action, ProtocolError};
use crate::transfer::Report;
use crate::transfer::download::{Download, DownloadReport, Settings};
use crate::transfer::flow_control::ReceiveWindow as FlowControl;
use crate::transfer::manifest::Manifest;
use crate::transfer::upload::{Upload, UploadReport};
use std::collections::HashMap;
use std::sync::Arc;

/// See the module.
pub(super) struct TransferWorkers {
    settings: Arc<Settings>,
    chunks: Arc<Pool<OutChunk>>,
    flow: Arc<FlowControl>,
    upload_report: Report<UploadReport>,
    download_report: Report<DownloadReport>,
    queue: Option<Arc<SendQueue>>,
    uploads: HashMap<TransferId, Upload>,
    downloads: HashMap<TransferId, Download>,
}

impl TransferWorkers {
    pub(super) fn start(
        settings: Settings,
        chunks: Arc<Pool<OutChunk>>,
        flow: &Arc<FlowControl>,
        upload_report: Report<UploadReport>,
        download_report: Report<DownloadReport>,
    ) -> Self {
        Self {
            settings: Arc::new(settings),
            chunks,
            flow: Arc::clone(flow),
            upload_report,
            download_report,
            queue: None,
            uploads: HashMap::new(),
            downloads: HashMap::new(),
        }
    }

    fn scan(&mut self, transfer: TransferId, args: &crate::command::SendArgs) {
        match args.resolve(|path| path.symlink_metadata().is_ok()) {
            Ok(paths) => {
                let (chunks, report) = (Arc::clone(&self.chunks), Arc::clone(&self.upload_report));
                self.uploads.insert(transfer, Upload::start(transfer, paths, chunks, report));
            }
            Err(error) => {
                let report = Arc::clone(&self.upload_report);
                let unsendable = UploadReport::Unsendable { code: error.code(), text: error.to_string() };
                // Not on this thread: its queue may be full.
                std::thread::spawn(move || report(transfer, unsendable));
            }
        }
    }
}

impl Workers for TransferWorkers {
    fn carry_out(&mut self, action: Action) -> Result<(), ProtocolError> {
        match action {
            Action::Scan(transfer, args) => self.scan(transfer, &args),
            Action::BeginUpload(transfer) => {
                if let (Some(upload), Some(queue)) = (self.uploads.get(&transfer), &self.queue) {
                    upload.begin(Arc::clone(queue));
                }
            }
            Action::UploadAccepted(transfer, position, digest) => {
                if let Some(upload) = self.uploads.get(&transfer) {
                    upload.accepted(position, digest)?;
                }
            }
            Action::UploadComplete(transfer) => {
                if let Some(upload) = self.uploads.get(&transfer) {
                    upload.complete();
                }
            }
            Action::DropUpload(transfer) => {
                if let Some(upload) = self.uploads.remove(&transfer) {
                    upload.cancel();
                }
            }
            Action::StartDownload(transfer, offer, list) => {
                let (settings, flow) = (Arc::clone(&self.settings), Arc::clone(&self.flow));
                let report = Arc::clone(&self.download_report);
                self.downloads.insert(transfer, Download::start(transfer, offer, list, settings, flow, report));
            }
            Action::AcceptDownload(transfer, dest, on_clash) => {
                if let Some(download) = self.downloads.get(&transfer) {
                    download.accept(dest, on_clash);
                }
            }
            Action::StopDownload(transfer) | Action::ForgetDownload(transfer) => {
                if let Some(download) = self.downloads.remove(&transfer) {
                    download.cancel();
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn connected(&mut self, queue: &Arc<SendQueue>) {
        self.queue = Some(Arc::clone(queue));
    }

    fn disconnected(&mut self) {
        self.queue = None;
        self.uploads.values().for_each(Upload::disconnected);
    }

    fn sent(&self, transfer: TransferId) -> (u64, u32) {
        self.uploads.get(&transfer).map(Upload::progress).unwrap_or_default()
    }

    fn credit(&self, transfer: TransferId, durable: Position, limit: Position) {
        if let Some(upload) = self.uploads.get(&transfer) {
            upload.credit(durable, limit);
        }
    }

    fn restart(
        &self,
        transfer: TransferId,
        queue: &Arc<SendQueue>,
        position: Position,
        limit: Position,
    ) -> Result<(), ProtocolError> {
        if let Some(upload) = self.uploads.get(&transfer) {
            upload.restart(Arc::clone(queue), position, limit)?;
        }
        Ok(())
    }

    fn manifest(&self, transfer: TransferId) -> Option<Arc<Manifest>> {
        self.uploads.get(&transfer).and_then(Upload::list)
    }
}
