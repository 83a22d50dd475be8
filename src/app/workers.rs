//! The real workers of a conversation: the threads of its uploads and downloads.

use super::conversation::Workers;
use crate::net::send_queue::SendQueue;
use crate::protocol::error::ProtocolError;
use crate::protocol::frame::TransferId;
use crate::session::Action;
use crate::transfer::Report;
use crate::transfer::download::{DownloadReport, Downloads, Settings};
use crate::transfer::flow_control::FlowControl;
use crate::transfer::upload::{UploadReport, Uploads};
use std::io;
use std::sync::Arc;

/// See the module.
pub(super) struct TransferWorkers {
    uploads: Uploads,
    downloads: Downloads,
}

impl TransferWorkers {
    /// # Errors
    /// When no thread can be made.
    pub(super) fn start(
        settings: Settings,
        flow: &Arc<FlowControl>,
        upload_report: Report<UploadReport>,
        download_report: Report<DownloadReport>,
    ) -> io::Result<Self> {
        let uploads = Uploads::start(settings.data_dir.clone(), upload_report)?;
        let downloads = Downloads::start(settings, Arc::clone(flow), download_report)?;
        Ok(Self { uploads, downloads })
    }
}

impl Workers for TransferWorkers {
    fn carry_out(&mut self, action: Action) -> Result<(), ProtocolError> {
        match action {
            Action::PauseReports(pause) => self.uploads.pause_reports(pause),
            Action::Scan(transfer, args) => self.uploads.scan(transfer, args),
            Action::BeginUpload(transfer) => self.uploads.begin(transfer),
            Action::UploadAccepted(transfer, position, digest) => {
                return self.uploads.accepted(transfer, position, digest);
            }
            Action::UploadRestart(transfer, position, digest) => {
                return self.uploads.restart(transfer, position, digest);
            }
            Action::UploadReceived(transfer, position) => return self.uploads.received(transfer, position),
            Action::UploadComplete(transfer) => return self.uploads.complete(transfer),
            Action::DropUpload(transfer) => self.uploads.cancel(transfer),
            Action::RenumberUpload { old, new } => self.uploads.renumber(old, new),
            Action::StartDownload(transfer, offer, list) => self.downloads.look(transfer, offer, list),
            Action::AcceptDownload(transfer, wanted) => self.downloads.accept(transfer, wanted),
            Action::CancelDownload { transfer, remove } => self.downloads.cancel(transfer, remove),
            Action::DownloadAcknowledged(transfer) => self.downloads.acknowledged(transfer),
            _ => {}
        }
        Ok(())
    }

    fn connected(&mut self, queue: &Arc<SendQueue>) {
        self.uploads.connected(Arc::clone(queue));
    }

    fn disconnected(&mut self) {
        self.uploads.disconnected();
    }

    fn finish(&mut self) {
        self.downloads.finish();
    }

    fn sent(&self, transfer: TransferId) -> (u64, u32) {
        self.uploads.progress(transfer)
    }
}
