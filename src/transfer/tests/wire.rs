//! The wire between the two workers: what the reader, the writer and the session do in the program, in a page.

use crate::net::buffer::{LENGTH, OutChunk, Pool, Record, TAG};
use crate::net::send_queue::{Bulk, SendQueue};
use crate::protocol::frame::{ChunkHeader, Frame, Offer, Position};
use crate::transfer::download::{Download, DownloadReport, OnClash, Settings};
use crate::transfer::flow_control::{Admission, Delivered, Fault, ReceiveWindow};
use crate::transfer::resume::Journals;
use crate::transfer::upload::{Upload, UploadReport};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Longer than any of these tests may take on a busy machine: only a hang reaches it.
const HANG: Duration = Duration::from_secs(60);
pub(super) const ID: u32 = 1;

/// What happens to a piece between the two.
pub(super) type Meddle = fn(usize, &mut [u8]);

#[derive(Debug)]
enum Event {
    Up(UploadReport),
    Down(DownloadReport),
    List(Vec<u8>),
    Back(Frame),
    Cut,
    Fault(Fault),
}

/// A sender's paths, a receiver's folder, and what goes wrong between them.
pub(super) struct Run {
    pub(super) paths: Vec<PathBuf>,
    pub(super) settings: Settings,
    pub(super) dest: Option<PathBuf>,
    pub(super) on_clash: OnClash,
    /// After so many pieces each, the connection breaks.
    pub(super) cuts: Vec<usize>,
    /// After so many pieces nothing more comes, and when so many bytes are durable, both programs end.
    pub(super) crash: Option<(usize, u64)>,
    /// Called between the scan and the first data.
    pub(super) between: Box<dyn FnMut()>,
    pub(super) meddle: Meddle,
}

/// All that both sides said.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) skipped: Vec<(String, String)>,
    pub(super) unsendable: Option<(&'static str, String)>,
    pub(super) sent: Vec<(PathBuf, u64)>,
    pub(super) not_sent: Vec<(PathBuf, String)>,
    pub(super) clashes: u32,
    pub(super) ready: Vec<(Position, u64)>,
    pub(super) got: Vec<(PathBuf, u64)>,
    pub(super) failed: Vec<(PathBuf, String)>,
    pub(super) warnings: Vec<String>,
    pub(super) finished: Option<(PathBuf, u32, u32, u64)>,
    pub(super) broken: Option<String>,
    pub(super) progress: (u64, u32),
    pub(super) data_start: Position,
    pub(super) restarts: usize,
}

impl Run {
    pub(super) fn new(paths: &[&Path], dir: &Path, state: &Path) -> Self {
        let journals = Journals::new(state.into());
        let settings = Settings { dir: dir.into(), journals, fsync: false, peer: "PEER".into() };
        Self {
            paths: paths.iter().map(|path| path.to_path_buf()).collect(),
            settings,
            dest: None,
            on_clash: OnClash::Rename,
            cuts: Vec::new(),
            crash: None,
            between: Box::new(|| {}),
            meddle: |_, _| {},
        }
    }

    /// Runs until the transfer is finished, broken, or everything crashes.
    pub(super) fn go(mut self) -> Outcome {
        let (events, inbox) = mpsc::channel();
        let up = events.clone();
        let upload = Upload::start(
            ID,
            std::mem::take(&mut self.paths),
            Arc::new(Pool::<OutChunk>::new(64)),
            Arc::new(move |_, report| drop(up.send(Event::Up(report)))),
        );
        let line = Line::new(
            Arc::new(ReceiveWindow::new()),
            events.clone(),
            self.crash.map(|(pieces, _)| pieces).or(self.cuts.first().copied()),
            self.meddle,
        );
        line.window.connected(Arc::clone(&line.back));
        let mut session = Session {
            run: self,
            upload,
            download: None,
            line,
            events,
            offer: None,
            outcome: Outcome::default(),
            cut: 0,
        };
        session.live(&inbox);
        session.line.end();
        session.upload.join();
        if let Some(download) = session.download {
            download.join();
        }
        session.outcome
    }
}

struct Session {
    run: Run,
    upload: Upload,
    download: Option<Download>,
    line: Line,
    events: Sender<Event>,
    offer: Option<Offer>,
    outcome: Outcome,
    cut: usize,
}

impl Session {
    fn live(&mut self, inbox: &Receiver<Event>) {
        loop {
            let event = inbox.recv_timeout(HANG).expect("nothing hangs");
            let goes_on = match event {
                Event::Up(report) => self.up(report),
                Event::Down(report) => self.down(report),
                Event::List(bytes) => self.list(bytes),
                Event::Back(frame) => self.back(&frame),
                Event::Cut if self.run.crash.is_some() => true,
                Event::Cut => self.cut(),
                Event::Fault(fault) => panic!("{fault}"),
            };
            let crashed = self.run.crash.is_some_and(|(_, durable)| self.upload.progress().0 >= durable);
            if crashed || !goes_on {
                return;
            }
        }
    }

    fn up(&mut self, report: UploadReport) -> bool {
        match report {
            UploadReport::Scanned { offer, skipped, .. } => {
                self.outcome.skipped = skipped;
                self.outcome.data_start = u64::from(offer.list);
                assert_eq!(self.line.window.offered(ID, &offer), Ok(Admission::Listing));
                self.offer = Some(offer);
                self.upload.begin(Arc::clone(&self.line.out));
            }
            UploadReport::Unsendable { code, text } => {
                self.outcome.unsendable = Some((code, text));
                return false;
            }
            UploadReport::FileSent { path, bytes, .. } => self.outcome.sent.push((path, bytes)),
            UploadReport::FileFailed { path, text } => self.outcome.not_sent.push((path, text)),
            UploadReport::Finished => return false,
        }
        true
    }

    fn list(&mut self, bytes: Vec<u8>) -> bool {
        let down = self.events.clone();
        self.download = Some(Download::start(
            ID,
            self.offer.clone().unwrap(),
            bytes,
            Arc::new(self.run.settings.clone()),
            Arc::clone(&self.line.window),
            Arc::new(move |_, report| drop(down.send(Event::Down(report)))),
        ));
        true
    }

    fn down(&mut self, report: DownloadReport) -> bool {
        match report {
            DownloadReport::Looked { clashes, .. } => {
                self.outcome.clashes = clashes;
                (self.run.between)();
                self.download.as_ref().unwrap().accept(self.run.dest.clone(), self.run.on_clash);
            }
            DownloadReport::Unacceptable { text, .. }
            | DownloadReport::NoSuchFolder { text }
            | DownloadReport::Broken { text, .. } => {
                self.outcome.broken = Some(text);
                return false;
            }
            DownloadReport::Ready { position, digest, opening, resumed } => {
                self.outcome.ready.push((position, resumed));
                self.upload.accepted(position, digest).unwrap();
                self.line.window.open(ID, opening);
            }
            DownloadReport::File { path, bytes, .. } => self.outcome.got.push((path, bytes)),
            DownloadReport::FileFailed { path, text } => self.outcome.failed.push((path, text)),
            DownloadReport::Warning { text } => self.outcome.warnings.push(text),
            DownloadReport::Finished { path, files, failed, bytes } => {
                self.outcome.finished = Some((path, files, failed, bytes));
                self.line.window.closed(ID);
                self.upload.complete();
                self.outcome.progress = self.upload.progress();
            }
        }
        true
    }

    fn back(&mut self, frame: &Frame) -> bool {
        match *frame {
            Frame::Credit { durable, limit, .. } => self.upload.credit(durable, limit),
            Frame::Restart { position, limit, .. } => {
                self.outcome.restarts += 1;
                self.upload.restart(Arc::clone(&self.line.out), position, limit).unwrap();
            }
            _ => panic!("{frame:?}"),
        }
        true
    }

    /// The connection broke: all that was on its way is lost.
    fn cut(&mut self) -> bool {
        self.line.end();
        self.upload.disconnected();
        self.line.window.disconnected();
        self.cut += 1;
        let window = Arc::clone(&self.line.window);
        self.line = Line::new(window, self.events.clone(), self.run.cuts.get(self.cut).copied(), self.run.meddle);
        self.line.window.resumed(Arc::clone(&self.line.back));
        true
    }
}

/// One connection: bulk one way, credit the other.
struct Line {
    window: Arc<ReceiveWindow>,
    out: Arc<SendQueue>,
    back: Arc<SendQueue>,
    pumps: Vec<JoinHandle<()>>,
}

impl Line {
    fn new(window: Arc<ReceiveWindow>, events: Sender<Event>, cut: Option<usize>, meddle: Meddle) -> Self {
        let (out, back) = (Arc::new(SendQueue::new()), Arc::new(SendQueue::new()));
        let credits = {
            let (back, events) = (Arc::clone(&back), events.clone());
            thread::spawn(move || {
                while let Some(batch) = back.take(1) {
                    batch.frames.into_iter().for_each(|frame| drop(events.send(Event::Back(frame))));
                }
            })
        };
        let data = {
            let (out, window) = (Arc::clone(&out), Arc::clone(&window));
            thread::spawn(move || {
                let mut count = 0;
                while let Some(batch) = out.take(8) {
                    for piece in batch.bulk {
                        if cut == Some(count) {
                            out.close();
                            drop(events.send(Event::Cut));
                            return;
                        }
                        count += 1;
                        match deliver(&window, piece, |bytes| meddle(count, bytes)) {
                            Ok(Delivered::Taken) => {}
                            Ok(Delivered::ListComplete(_, bytes)) => drop(events.send(Event::List(bytes))),
                            Err(fault) => drop(events.send(Event::Fault(fault))),
                        }
                    }
                }
            })
        };
        Self { window, out, back, pumps: vec![credits, data] }
    }

    fn end(&mut self) {
        self.out.close();
        self.back.close();
        self.pumps.drain(..).for_each(|pump| pump.join().unwrap());
    }
}

/// What the reader does with a piece, as if it had come over the wire.
pub(super) fn deliver(window: &ReceiveWindow, piece: Bulk, meddle: impl FnOnce(&mut [u8])) -> Result<Delivered, Fault> {
    match piece {
        Bulk::Chunk(mut chunk) => {
            let record = chunk.record_mut();
            let frame = &record[LENGTH..record.len() - TAG];
            let mut record = window.records().take(frame.len() + TAG);
            record.bytes_mut()[..frame.len()].copy_from_slice(frame);
            let (header, _) = ChunkHeader::decode(frame).unwrap();
            meddle(record.bytes_mut());
            window.deliver_chunk(header, record)
        }
        Bulk::FileEnd { transfer, position, status, digest } => {
            window.deliver_end(transfer, position, status, digest).map(|()| Delivered::Taken)
        }
    }
}

/// A chunk's record, opened.
pub(in crate::transfer) fn record(transfer: u32, position: Position, data: &[u8]) -> (ChunkHeader, Record) {
    let header = ChunkHeader { transfer, position };
    let frame = [&header.encode()[..], data].concat();
    let mut record = Record::with_len(frame.len() + TAG);
    record.bytes_mut()[..frame.len()].copy_from_slice(&frame);
    (header, record)
}
