//! Carrying out what the session wants done.

use super::event_loop::{Event, EventLoop, Role};
use crate::command::SendArgs;
use crate::error_text::io_error_text;
use crate::exit::Exit;
use crate::notice::{Direction, Info, Notice, TransferInfo, Trust};
use crate::protocol::frame::{Offer, TransferId};
use crate::session::{Action, DisconnectReason, Moved, SessionEnd, list_names};
use crate::transfer::download::{Download, Settings};
use crate::transfer::upload::{Upload, UploadReport};
use std::sync::Arc;

impl EventLoop {
    /// Carries out all actions, also those that come of carrying out.
    pub(super) fn perform(&mut self) {
        loop {
            let actions = self.session.actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act(action);
            }
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Control(seq, control) => {
                if let Some(connection) = &self.connection {
                    connection.send_queue().control(seq, control);
                }
            }
            Action::Ack(seq) => {
                if let Some(connection) = &self.connection {
                    connection.send_queue().ack(seq);
                }
            }
            Action::Notice(posted) => self.post_settling(posted),
            Action::PauseInput(shut) => self.setup.backpressure.set_shut(shut),
            Action::Scan(transfer, args) => self.scan(transfer, &args),
            Action::BeginUpload(transfer) => {
                if let (Some(upload), Some(connection)) = (self.uploads.get(&transfer), &self.connection) {
                    upload.begin(Arc::clone(connection.send_queue()));
                }
            }
            Action::UploadAccepted(transfer, position, digest) => {
                let accepted = self.uploads.get(&transfer).map(|upload| upload.accepted(position, digest));
                if let Some(Err(error)) = accepted {
                    self.lose(DisconnectReason::ProtocolError(error.into()));
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
            Action::StartDownload(transfer, offer, list) => self.start_download(transfer, offer, list),
            Action::AcceptDownload(transfer, dest, on_clash) => {
                if let Some(download) = self.downloads.get(&transfer) {
                    download.accept(dest, on_clash);
                }
            }
            Action::OpenWindow(transfer, opening) => self.window.open(transfer, opening),
            Action::StopDownload(transfer) => {
                self.window.ending(transfer);
                if let Some(download) = self.downloads.remove(&transfer) {
                    download.cancel();
                }
            }
            Action::ForgetDownload(transfer) => {
                self.window.closed(transfer);
                if let Some(download) = self.downloads.remove(&transfer) {
                    download.cancel();
                }
            }
            Action::ShowPeer => self.show_peer(),
            Action::ShowTransfers => {
                let transfers = self.transfers();
                self.post(Notice::Info(Info::Transfers(transfers)));
            }
            Action::ShowNames(id, transfer) => {
                let names = self.uploads.get(&id).and_then(Upload::list).map(|list| list_names(&list));
                self.post(Notice::Info(Info::Names { transfer, names: names.unwrap_or_default() }));
            }
            Action::MarkVerified => self.mark_verified(),
            Action::Clear => {}
            Action::Hangup => {
                if let Some(connection) = &self.connection {
                    connection.send_queue().finish();
                }
            }
            Action::Drop => self.end_link(),
            Action::Over(ending) => self.over(&ending),
        }
    }

    /// What follows a session: another one, or the end of the program.
    fn over(&mut self, ending: &SessionEnd) {
        let own_wish = self.session.is_own_wish();
        match &self.role {
            Role::Listen { .. } if self.replacing && !own_wish => {
                self.lost_lines |= self.session.undelivered() > 0;
                self.renew();
            }
            Role::Listen { listener, code, keep: true } if !own_wish => {
                listener.set_code(code.clone());
                self.renew();
                self.post(Notice::Status("waiting for the next peer".into()));
            }
            _ => {
                let exit = Exit::of_ending(ending, self.signal);
                // What an earlier session of the same talk lost is lost, however politely the last one ended.
                self.exit = Some(if exit == Exit::Polite && self.lost_lines { Exit::Lost } else { exit });
            }
        }
    }

    fn scan(&mut self, transfer: TransferId, args: &SendArgs) {
        let paths = match args.resolve(|path| path.symlink_metadata().is_ok()) {
            Ok(paths) => paths,
            Err(error) => {
                let report = UploadReport::Unsendable { code: error.code(), text: error.to_string() };
                return self.session.upload(transfer, report);
            }
        };
        let (events_in, number) = (self.setup.events_in.clone(), self.number);
        let report = Arc::new(move |transfer, report| {
            let _ = events_in.send(Event::Upload(number, transfer, report));
        });
        self.uploads.insert(transfer, Upload::start(transfer, paths, Arc::clone(&self.chunks), report));
    }

    fn start_download(&mut self, transfer: TransferId, offer: Offer, list: Vec<u8>) {
        let settings = Settings {
            dir: self.setup.dir.clone(),
            journals: Arc::clone(&self.setup.journals),
            fsync: self.setup.fsync,
            peer: self.peer.as_ref().map(|peer| peer.key.fingerprint()).unwrap_or_default(),
        };
        let (events_in, number) = (self.setup.events_in.clone(), self.number);
        let report = Arc::new(move |transfer, report| {
            let _ = events_in.send(Event::Download(number, transfer, report));
        });
        let window = Arc::clone(&self.window);
        self.downloads.insert(transfer, Download::start(transfer, offer, list, Arc::new(settings), window, report));
    }

    /// The open transfers and how far each is.
    pub(super) fn transfers(&self) -> Vec<TransferInfo> {
        self.session.transfers(|direction, transfer| {
            let (bytes, files) = match direction {
                Direction::Out => self.uploads.get(&transfer).map(Upload::progress).unwrap_or_default(),
                Direction::In => self.window.progress(transfer),
            };
            Moved { bytes, files }
        })
    }

    fn show_peer(&mut self) {
        match &self.peer {
            None => self.post(Notice::Error { code: "no-peer", text: "nobody is connected yet".into() }),
            Some(peer) => {
                let facts = peer.describe(self.session.is_lost());
                self.post(Notice::Info(Info::Peer(facts)));
            }
        }
    }

    fn mark_verified(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        match self.setup.peer_policy.verify(&peer.key) {
            Ok(()) => {
                peer.trust = Trust::Verified;
                self.session.marked(Trust::Verified);
            }
            Err(error) => self.post(Notice::Error { code: "peers-file", text: error.to_string().into() }),
        }
    }

    /// A new session has its first connection.
    pub(super) fn meet(&mut self, opened: crate::net::opening::Established) {
        let (facts, warnings) = self.setup.peer_policy.record(&opened);
        let notice = facts.connected(&self.setup.own_name);
        let with = facts.with(opened.greeting.reconnect_timeout);
        if let Err(error) = self.start_link(opened) {
            let words = format!("cannot use the connection: {}", io_error_text(&error));
            return match &self.role {
                Role::Dial { .. } => self.fail("system", &words, Exit::Failure),
                // One caller more or less does not end a listener.
                Role::Listen { listener, code, .. } => {
                    listener.set_code(code.clone());
                    self.post(Notice::Warning(words.into()));
                }
            };
        }
        self.peer = Some(facts);
        if let Some(connection) = &self.connection {
            self.window.connected(Arc::clone(connection.send_queue()));
        }
        self.session.connected(with, notice);
        self.perform();
        for warning in warnings {
            self.post(Notice::Warning(warning));
        }
    }

    /// The session has a connection again.
    pub(super) fn resume(&mut self, opened: crate::net::opening::Established) {
        let received = opened.greeting.received;
        if let Err(error) = self.start_link(opened) {
            return self.lose(DisconnectReason::Network(error));
        }
        if let Err(fault) = self.session.resumed(received) {
            return self.lose(DisconnectReason::ProtocolError(fault));
        }
        self.perform();
        if let Some(connection) = &self.connection {
            self.window.resumed(Arc::clone(connection.send_queue()));
        }
    }
}
