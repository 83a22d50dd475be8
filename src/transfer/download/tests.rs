//! Real files, flow control and send queue; the peer's frames are played by the test.

#![allow(clippy::as_conversions, reason = "sizes in these tests are small")]

use super::*;
use crate::channel::TAG;
use crate::net::buffer::Record;
use crate::net::send_queue::SendQueue;
use crate::protocol::frame::{CHUNK_DATA, ChunkHeader, FileStatus, Frame};
use crate::transfer::Name;
use crate::transfer::manifest::{Builder, Meta};
use std::fs;
use std::path::Path;
use std::sync::mpsc::Receiver;

const META: Meta = Meta { mode: 0o644, seconds: 1_000_000_000, nanos: 0 };

struct Fixture {
    temp: tempfile::TempDir,
    manifest: Arc<Manifest>,
    contents: Vec<Vec<u8>>,
    flow: Arc<FlowControl>,
    queue: Arc<SendQueue>,
    downloads: Downloads,
    reports: Receiver<(TransferId, DownloadReport)>,
}

fn files(contents: &[&[u8]]) -> Manifest {
    let mut builder = Builder::default();
    builder.enter(Name::new("t").unwrap(), Meta { mode: 0o755, ..META }).unwrap();
    for (index, content) in contents.iter().enumerate() {
        builder.file(Name::new(&format!("f{index}")).unwrap(), META, content.len() as u64).unwrap();
    }
    builder.leave().unwrap();
    builder.finish().unwrap()
}

impl Fixture {
    fn new(contents: &[&[u8]]) -> Self {
        Self::of(tempfile::tempdir().unwrap(), files(contents), contents)
    }

    fn of(temp: tempfile::TempDir, manifest: Manifest, contents: &[&[u8]]) -> Self {
        fs::create_dir_all(temp.path().join("dest")).unwrap();
        fs::create_dir_all(temp.path().join("data")).unwrap();
        let settings = Settings {
            dir: temp.path().join("dest"),
            target: Target::DirOrRecorded,
            data_dir: temp.path().join("data"),
            fsync: false,
            own_private: Zeroizing::new([3; 32]),
            peer: PublicKey([7; 32]),
            peer_name: "alice".into(),
        };
        let flow = Arc::new(FlowControl::unpaced());
        let queue = Arc::new(SendQueue::new());
        flow.connected(Arc::clone(&queue));
        let (tell, reports) = mpsc::channel();
        let report: Report<DownloadReport> = Arc::new(move |id, report| drop(tell.send((id, report))));
        let downloads = Downloads::start(settings, Arc::clone(&flow), report).unwrap();
        let contents = contents.iter().map(|content| content.to_vec()).collect();
        Self { temp, manifest: Arc::new(manifest), contents, flow, queue, downloads, reports }
    }

    /// Another run of the program, over the same folders.
    fn restarted(self) -> Self {
        let contents: Vec<&[u8]> = self.contents.iter().map(Vec::as_slice).collect();
        let (temp, manifest) = (self.temp, (*self.manifest).clone());
        drop(self.downloads);
        Self::of(temp, manifest, &contents)
    }

    fn report(&self) -> DownloadReport {
        self.reports
            .iter()
            .map(|(_, report)| report)
            .find(|report| !matches!(report, DownloadReport::Published { .. }))
            .unwrap()
    }

    fn offer(&self, transfer: TransferId) -> DownloadReport {
        let list = self.manifest.encode();
        let offer = self.manifest.offer(&list);
        self.flow.offered(transfer, &offer).unwrap();
        let list = self.chunk(transfer, 0, &list).unwrap();
        self.downloads.begin(transfer, offer, list);
        self.report()
    }

    /// Up to BEGIN; gives where the data begins.
    fn accept(&self, transfer: TransferId) -> (Position, Digest) {
        self.downloads.accept(transfer, None, OnClash::Rename);
        let DownloadReport::Ready { position, digest, opening, .. } = self.report() else { panic!() };
        self.flow.open(transfer, opening);
        (position, digest)
    }

    fn run(&self, transfer: TransferId) -> Position {
        assert!(matches!(self.offer(transfer), DownloadReport::Looked { .. }));
        let (position, _) = self.accept(transfer);
        self.flow.begin(transfer, position).unwrap();
        position
    }

    fn chunk(&self, transfer: TransferId, position: Position, data: &[u8]) -> Option<Vec<u8>> {
        let header = ChunkHeader { compressed: false, transfer, position };
        let frame = [&header.encode()[..], data].concat();
        let mut record = Record::with_len(frame.len() + TAG);
        record.bytes_mut()[..frame.len()].copy_from_slice(&frame);
        self.flow.chunk(header, record).unwrap()
    }

    /// Sends all from a position on, to the end of the file before `end`.
    fn send(&self, transfer: TransferId, from: Position, end: usize) {
        for (file, content) in self.manifest.files().zip(&self.contents).take(end) {
            if file.next() <= from {
                continue;
            }
            let mut at = from.max(file.start);
            while at < file.end() {
                let data = &content[usize::try_from(at - file.start).unwrap()..];
                let data = &data[..data.len().min(CHUNK_DATA)];
                self.chunk(transfer, at, data);
                at += data.len() as u64;
            }
            let digest = *blake3::hash(content).as_bytes();
            self.flow.file_end(transfer, at, FileStatus::Whole, digest).unwrap();
        }
    }

    /// What is reported until the end.
    fn finish(&self) -> (Vec<DownloadReport>, DownloadReport) {
        let mut before = Vec::new();
        loop {
            match self.report() {
                end @ (DownloadReport::Finished { .. } | DownloadReport::Broken { .. }) => return (before, end),
                report => before.push(report),
            }
        }
    }

    fn dest(&self) -> PathBuf {
        self.temp.path().join("dest")
    }

    fn is_whole(&self) {
        for (index, content) in self.contents.iter().enumerate() {
            assert!(fs::read(self.dest().join(format!("t/f{index}"))).unwrap() == *content, "{index}");
        }
    }

    /// The staging folder, by its name in DEST.
    fn staged(&self) -> Vec<PathBuf> {
        let hidden = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with(".p2pchat-");
        let entries = fs::read_dir(self.dest()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| hidden(path)).collect()
    }

    /// Waits for a thread that removes.
    fn until_unstaged(&self) {
        while !self.staged().is_empty() {
            thread::yield_now();
        }
    }

    fn frames(&self, is_last: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut frames = Vec::new();
        while !frames.iter().any(&is_last) {
            frames.extend(self.queue.take(1).unwrap().frames);
        }
        frames
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&len.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn files_of_all_sizes_arrive_and_the_folder_goes_with_the_acknowledgement() {
    let large = noise(40 * CHUNK_DATA + 1);
    let mut sparse = vec![0; 9 * CHUNK_DATA + 10];
    sparse[3 * CHUNK_DATA] = 1;
    let fixture = Fixture::new(&[b"", b"small", &large, &noise(CHUNK_DATA), &sparse, &vec![0; 3 * CHUNK_DATA]]);
    let begin = fixture.run(1);
    fixture.send(1, begin, 6);
    let (files, end) = fixture.finish();
    assert_eq!(files.len(), 6);
    let DownloadReport::Finished { path, files: 6, failed: 0, .. } = end else { panic!("{end:?}") };
    assert_eq!(path, fixture.dest().join("t"));
    fixture.is_whole();
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let holes = fs::metadata(fixture.dest().join("t/f5")).unwrap();
        assert!(holes.blocks() * 512 < holes.len() / 2, "{} blocks", holes.blocks());
    }
    assert_eq!(fixture.staged().len(), 1);
    fixture.downloads.acknowledged(1);
    fixture.until_unstaged();
}

#[test]
fn a_restart_goes_on_inside_a_file_and_begins_anew_where_the_bytes_differ() {
    for same in [true, false] {
        let fixture = Fixture::new(&[b"first", &noise(5 * CHUNK_DATA + 7)]);
        let begin = fixture.run(1);
        fixture.send(1, begin, 1);
        let file = fixture.manifest.file(1).unwrap().start;
        fixture.chunk(1, file, &fixture.contents[1][..CHUNK_DATA]);
        fixture.chunk(1, file + CHUNK_DATA as u64, &fixture.contents[1][CHUNK_DATA..2 * CHUNK_DATA]);
        // Nothing is lost that came before the order.
        while fixture.flow.progress(1).0 < 5 + 2 * CHUNK_DATA as u64 {
            thread::yield_now();
        }
        let fixture = fixture.restarted();
        let DownloadReport::Looked { needed, recorded_dest, .. } = fixture.offer(3) else { panic!() };
        assert_eq!((needed, recorded_dest), (3 * CHUNK_DATA as u64 + 7, Some(fixture.dest())));
        let (position, digest) = fixture.accept(3);
        assert_eq!(position, file + 2 * CHUNK_DATA as u64);
        assert_eq!(digest, *blake3::hash(&fixture.contents[1][..2 * CHUNK_DATA]).as_bytes());
        let begin = if same { position } else { file };
        fixture.flow.begin(3, begin).unwrap();
        fixture.send(3, begin, 2);
        let (files, end) = fixture.finish();
        assert!(matches!(end, DownloadReport::Finished { files: 2, failed: 0, .. }), "{end:?}");
        assert_eq!(files.len(), 2);
        fixture.is_whole();
    }
}

#[test]
fn the_same_offer_before_the_acknowledgement_is_answered_and_not_received_twice() {
    let fixture = Fixture::new(&[b"one", b"two"]);
    let begin = fixture.run(1);
    fixture.send(1, begin, 2);
    fixture.finish();
    let fixture = fixture.restarted();
    let DownloadReport::Looked { needed: 0, .. } = fixture.offer(1) else { panic!() };
    assert_eq!(fixture.accept(1), (fixture.manifest.end(), [0; 32]));
    let (again, end) = fixture.finish();
    assert!(again.is_empty() && matches!(end, DownloadReport::Finished { files: 2, .. }), "{again:?} {end:?}");
    fixture.downloads.acknowledged(1);
    fixture.until_unstaged();
    assert_eq!(fs::read_dir(fixture.dest()).unwrap().count(), 1);
}

#[test]
fn a_lost_connection_goes_on_where_everything_that_came_was_written() {
    let mut fixture = Fixture::new(&[&noise(4 * CHUNK_DATA)]);
    let begin = fixture.run(2);
    fixture.chunk(2, begin, &fixture.contents[0][..CHUNK_DATA]);
    fixture.flow.disconnected();
    fixture.queue = Arc::new(SendQueue::new());
    fixture.flow.resumed(Arc::clone(&fixture.queue));
    let frames = fixture.frames(|frame| matches!(frame, Frame::Credit { .. }));
    let position = begin + CHUNK_DATA as u64;
    let digest = *blake3::hash(&fixture.contents[0][..CHUNK_DATA]).as_bytes();
    assert_eq!(frames[0], Frame::Restart { transfer: 2, position, digest });
    fixture.flow.begin(2, position).unwrap();
    fixture.send(2, position, 1);
    assert!(matches!(fixture.finish().1, DownloadReport::Finished { files: 1, .. }));
    fixture.is_whole();
}

#[test]
fn a_file_that_is_not_what_was_sent_fails_alone() {
    let fixture = Fixture::new(&[b"one", &noise(20 * CHUNK_DATA), b"three", b"four"]);
    let begin = fixture.run(1);
    let at = |index: usize| fixture.manifest.file(index).unwrap();
    fixture.chunk(1, begin, b"one");
    fixture.flow.file_end(1, at(0).end(), FileStatus::Whole, [9; 32]).unwrap();
    fixture.chunk(1, at(1).start, &fixture.contents[1][..CHUNK_DATA]);
    fixture.flow.file_end(1, at(1).start + CHUNK_DATA as u64, FileStatus::Changed, [0; 32]).unwrap();
    fixture.flow.file_end(1, at(2).start, FileStatus::Unreadable, [0; 32]).unwrap();
    fixture.send(1, at(3).start, 4);
    let (reports, end) = fixture.finish();
    let failed: Vec<_> = reports
        .iter()
        .filter_map(|report| match report {
            DownloadReport::FileFailed { offered, text, .. } => Some((offered.as_str(), text.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(
        failed,
        [
            ("t/f0", "what arrived differs from what was sent"),
            ("t/f1", "it changed while the peer read it"),
            ("t/f2", "the peer could not read it"),
        ]
    );
    assert!(matches!(end, DownloadReport::Finished { files: 1, failed: 3, bytes: 4, .. }), "{end:?}");
    assert_eq!(fs::read_dir(fixture.dest().join("t")).unwrap().count(), 1);
}

#[test]
fn a_cancel_of_this_user_removes_what_came_and_another_one_keeps_it() {
    for remove in [true, false] {
        let fixture = Fixture::new(&[b"one", b"two"]);
        let begin = fixture.run(1);
        fixture.send(1, begin, 1);
        while fixture.flow.progress(1).1 < 1 {
            thread::yield_now();
        }
        fixture.flow.ending(1);
        fixture.downloads.cancel(1, remove);
        if remove {
            fixture.until_unstaged();
        }
        // The second download knows what the first one left.
        let DownloadReport::Looked { needed, .. } = fixture.offer(3) else { panic!() };
        assert_eq!(needed, if remove { 6 } else { 3 });
        assert!(!fixture.dest().join("t").exists());
    }
}

#[test]
fn a_stream_ends_where_its_end_stands() {
    let mut builder = Builder::default();
    builder.stream(Name::new("out.log").unwrap(), 0o600).unwrap();
    let fixture = Fixture::of(tempfile::tempdir().unwrap(), builder.finish().unwrap(), &[]);
    let begin = fixture.run(1);
    let data = noise(3 * CHUNK_DATA + 9);
    for (index, chunk) in data.chunks(CHUNK_DATA).enumerate() {
        fixture.chunk(1, begin + (index * CHUNK_DATA) as u64, chunk);
    }
    let digest = *blake3::hash(&data).as_bytes();
    fixture.flow.file_end(1, begin + data.len() as u64, FileStatus::Whole, digest).unwrap();
    let (_, end) = fixture.finish();
    let DownloadReport::Finished { path, files: 1, bytes, .. } = end else { panic!("{end:?}") };
    assert_eq!((bytes, fs::read(path).unwrap() == data), (data.len() as u64, true));
}

#[test]
fn a_folder_that_is_not_there_lets_another_be_named() {
    let fixture = Fixture::new(&[b"one"]);
    fixture.offer(1);
    fixture.downloads.accept(1, Some(fixture.dest().join("nowhere")), OnClash::Rename);
    let DownloadReport::NoSuchFolder { text } = fixture.report() else { panic!() };
    assert!(text.contains("nowhere: "), "{text}");
    let (begin, _) = fixture.accept(1);
    fixture.flow.begin(1, begin).unwrap();
    fixture.send(1, begin, 1);
    assert!(matches!(fixture.finish().1, DownloadReport::Finished { files: 1, .. }));
}

#[test]
fn a_list_that_is_not_what_was_offered_is_declined() {
    let fixture = Fixture::new(&[b"one"]);
    let list = fixture.manifest.encode();
    let offer = Offer { files: 2, ..fixture.manifest.offer(&list) };
    fixture.downloads.begin(1, offer, list);
    let report = fixture.report();
    assert!(matches!(report, DownloadReport::Unacceptable { reason: Reason::Names, .. }), "{report:?}");
}
