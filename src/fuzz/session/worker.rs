//! A download worker that touches no disk: it believes a digest, and checks that pieces come as it may expect them.

use crate::protocol::frame::{FileStatus, Offer, Position, TransferId};
use crate::transfer::download::DownloadReport;
use crate::transfer::flow_control::{Opening, Piece, ReceiveWindow, Seat};
use crate::transfer::manifest::Manifest;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

enum State {
    Looking,
    Asking,
    Preparing,
    Running,
    Ended,
}

pub(super) struct Worker {
    transfer: TransferId,
    bytes: Vec<u8>,
    offer: Offer,
    list: Option<Arc<Manifest>>,
    state: State,
    to_me: Sender<Piece>,
    pieces: Receiver<Piece>,
    /// The next piece stands here; also what is durable.
    position: Position,
    begun: bool,
    files: u32,
    failed: u32,
    _seat: Seat,
}

impl Worker {
    pub(super) fn new(transfer: TransferId, offer: Offer, bytes: Vec<u8>, window: &Arc<ReceiveWindow>) -> Self {
        let (to_me, pieces) = mpsc::channel();
        let seat = window.seat(transfer, offer.list);
        let (list, state) = (None, State::Looking);
        Self {
            transfer,
            bytes,
            offer,
            list,
            state,
            to_me,
            pieces,
            position: 0,
            begun: false,
            files: 0,
            failed: 0,
            _seat: seat,
        }
    }

    pub(super) fn accept(&mut self) {
        assert!(matches!(self.state, State::Asking), "a worker is told to go on when it waits for that");
        self.state = State::Preparing;
    }

    /// Does a piece of work, and says what it reports. `choice` is its luck: 0 is good.
    pub(super) fn work(&mut self, choice: u8, window: &ReceiveWindow) -> Option<DownloadReport> {
        let bad = crate::protocol::frame::Reason::Io;
        match self.state {
            State::Looking => match Manifest::decode(&self.bytes, &self.offer) {
                Err(error) => {
                    self.state = State::Ended;
                    Some(DownloadReport::Unacceptable { reason: error.reason(), text: error.to_string() })
                }
                Ok(list) => {
                    self.state = State::Asking;
                    let list = Arc::new(list);
                    self.list = Some(Arc::clone(&list));
                    Some(DownloadReport::Looked { list, clashes: 0, free: None })
                }
            },
            State::Preparing if choice == 7 => {
                self.state = State::Asking;
                Some(DownloadReport::NoSuchFolder { text: "no such folder".into() })
            }
            State::Preparing if choice == 6 => {
                self.state = State::Ended;
                Some(DownloadReport::Broken { reason: bad, text: "disk".into() })
            }
            State::Preparing => {
                let list = Arc::clone(self.list.as_ref()?);
                self.state = State::Running;
                let middle = list.file(0).map_or(0, |file| file.start + file.size / 2);
                self.position = if choice == 5 { middle } else { list.data_start() };
                let opening = Opening { list, position: self.position, pieces: self.to_me.clone() };
                Some(DownloadReport::Ready { position: self.position, digest: [0; 32], opening, resumed: 0 })
            }
            State::Running if choice == 6 => {
                self.state = State::Ended;
                Some(DownloadReport::Broken { reason: bad, text: "disk".into() })
            }
            State::Running => self.write(window),
            State::Asking | State::Ended => None,
        }
    }

    fn write(&mut self, window: &ReceiveWindow) -> Option<DownloadReport> {
        let list = Arc::clone(self.list.as_ref()?);
        while let Ok(piece) = self.pieces.try_recv() {
            match piece {
                Piece::Chunk { position, record } => {
                    let start = list.files().find(|file| file.start == position).map(|file| file.start);
                    // The offerer may begin the first file anew.
                    assert!(position == self.position || (!self.begun && start == Some(position)), "a gap");
                    let len = Position::try_from(record.chunk_data().len()).unwrap_or(Position::MAX);
                    self.position = position.saturating_add(len);
                    assert!(self.position <= list.end());
                    window.records().give_record(record);
                }
                Piece::End { status, digest: _ } => {
                    let file = list.files().find(|file| self.position >= file.start && self.position <= file.end());
                    let Some(file) = file else { panic!("an end outside of files") };
                    assert!(status != FileStatus::Whole || self.position == file.end());
                    let (whole, next) = (status == FileStatus::Whole, file.next());
                    if whole {
                        self.files += 1;
                    } else {
                        self.failed += 1;
                    }
                    self.position = next;
                }
                Piece::Order(_) => panic!("nobody gives orders here"),
            }
            self.begun = true;
        }
        window.durable(self.transfer, self.position);
        if self.position != list.end() {
            return None;
        }
        self.state = State::Ended;
        let (files, failed, bytes) = (self.files, self.failed, list.bytes());
        Some(DownloadReport::Finished { path: PathBuf::from(list.first_name()), files, failed, bytes })
    }
}
