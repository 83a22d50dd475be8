//! An attacker that sends files, and the user who receives them. Everything that depends on how transfers go over the wire is here.

use super::files::{List, tree};
use super::peer::Watch;
use super::{Attacker, Home, Peer, is};
use p2pchat::protocol::frame::{
    CHUNK_DATA, Control, END_WEIGHT, FEATURE_ZCHUNK, FileStatus, Frame, Offer, Reason, TransferId,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

/// Paths below a user's folder, with the content of files.
pub(crate) type Files = BTreeMap<String, Option<Vec<u8>>>;

/// A transfer that was accepted, and where its next data goes.
#[derive(Clone, Copy)]
pub(crate) struct Upload {
    pub(crate) transfer: TransferId,
    pub(crate) position: u64,
}

impl Attacker {
    /// The number of the next own transfer.
    pub(crate) fn next_transfer(&mut self) -> TransferId {
        self.transfers += 2;
        self.transfers - 2
    }

    /// Offers a list and sends it.
    pub(crate) fn offer(&mut self, list: &List) -> TransferId {
        self.offer_as(list.offer(), &list.bytes)
    }

    /// Says one thing in the offer and sends another.
    pub(crate) fn offer_as(&mut self, offer: Offer, list: &[u8]) -> TransferId {
        let transfer = self.next_transfer();
        // A peer that hung up meanwhile is what the test looks for next.
        let _ = self.control(Control::Offer { transfer, offer });
        // Lists weigh nothing.
        let weight = self.weight;
        self.data(transfer, 0, list);
        self.weight = weight;
        transfer
    }

    /// Offers a list, which must be accepted, and begins to send it.
    #[track_caller]
    pub(crate) fn begin(&mut self, list: &List) -> Upload {
        let transfer = self.offer(list);
        assert_eq!(self.answer(transfer), Some(true));
        self.begin_data(transfer, list.end())
    }

    /// Sends BEGIN.
    pub(crate) fn begin_data(&mut self, transfer: TransferId, position: u64) -> Upload {
        let _ = self.send(&Frame::Begin { transfer, position });
        Upload { transfer, position }
    }

    /// Waits until the least of what weighs may be sent.
    pub(crate) fn wait_for_credit(&mut self) {
        while self.credit.saturating_sub(self.weight) < END_WEIGHT {
            assert!(self.read_to(|frame| matches!(frame, Frame::Credit { .. })).is_some(), "no credit came");
        }
    }

    /// Sends data in chunks.
    pub(crate) fn data(&mut self, transfer: TransferId, position: u64, data: &[u8]) {
        for (n, data) in data.chunks(CHUNK_DATA).enumerate() {
            let position = position + (n * CHUNK_DATA) as u64;
            let _ = self.send(&Frame::Chunk { transfer, position, data: data.to_vec() });
        }
    }

    /// Sends the next data of an accepted transfer.
    pub(crate) fn upload(&mut self, upload: &mut Upload, data: &[u8]) {
        self.data(upload.transfer, upload.position, data);
        upload.position += data.len() as u64;
    }

    /// Ends the present file with this status and digest.
    pub(crate) fn file_end(&mut self, upload: &mut Upload, status: FileStatus, digest: [u8; 32]) {
        let Upload { transfer, position, .. } = *upload;
        let _ = self.send(&Frame::FileEnd { transfer, position, status, digest });
        upload.position = position.wrapping_add(END_WEIGHT);
    }

    /// Sends a whole file as an honest sender would.
    pub(crate) fn upload_file(&mut self, upload: &mut Upload, data: &[u8]) {
        self.upload(upload, data);
        self.file_end(upload, FileStatus::Whole, *blake3::hash(data).as_bytes());
    }

    /// Cancels an own transfer, or confirms that the peer ended it.
    pub(crate) fn cancel(&mut self, transfer: TransferId, reason: Reason) {
        let _ = self.control(Control::Cancel { transfer, reason, text: String::new() });
    }

    /// Reads on to the answer to the offer: whether it was accepted. None when the peer hung up.
    pub(crate) fn answer(&mut self, transfer: TransferId) -> Option<bool> {
        loop {
            match self.read()? {
                // The peer may think for long.
                Frame::Ping(token) => drop(self.send(&Frame::Pong(token))),
                Frame::Control { control: Control::Accept { transfer: id, .. }, .. } if id == transfer => {
                    return Some(true);
                }
                Frame::Control { control: Control::Decline { transfer: id, .. }, .. } if id == transfer => {
                    return Some(false);
                }
                _ => {}
            }
        }
    }

    /// Reads on to COMPLETE: files that arrived and files that failed. None when the peer hung up.
    pub(crate) fn read_complete(&mut self) -> Option<(u32, u32)> {
        let complete = |frame: &Frame| matches!(frame, Frame::Control { control: Control::Complete { .. }, .. });
        match self.read_to(complete)? {
            Frame::Control { control: Control::Complete { files, failed, .. }, .. } => Some((files, failed)),
            _ => None,
        }
    }

    /// Whether the peer still answers.
    pub(crate) fn is_answered(&mut self) -> bool {
        const TOKEN: u64 = 4_711;
        self.send(&Frame::Ping(TOKEN)).is_ok() && self.read_to(|frame| *frame == Frame::Pong(TOKEN)).is_some()
    }
}

/// A listener that meets one attacker after the other, with a file that must stay as it is in its receiving folder and one outside.
pub(crate) struct Receiver {
    pub(crate) ana: Peer,
    met: usize,
    faults: usize,
    before: Files,
}

impl Receiver {
    /// It accepts everything.
    pub(crate) fn new() -> Self {
        Self::with(&["--accept", "always"])
    }

    pub(crate) fn with(options: &[&str]) -> Self {
        Self::forgetting(&[], options)
    }

    /// Events of these names are looked at and forgotten.
    pub(crate) fn forgetting(names: &'static [&'static str], options: &[&str]) -> Self {
        let home = Home::new();
        fs::write(home.inbox().join("mine"), "mine").unwrap();
        fs::write(home.work().join("outside"), "outside").unwrap();
        let options = [&["--keep", "--reconnect", "0"], options].concat();
        let keeps: Watch = Box::new(|event| !names.iter().any(|name| is(event, name)));
        let ana = home.json("ana", &["listen", "127.0.0.1:0"], &options, Some(keeps));
        ana.event("listening");
        let before = Self::files(&home);
        Self { ana, met: 0, faults: 0, before }
    }

    pub(crate) fn home(&self) -> &Home {
        self.ana.home()
    }

    /// All that the user has but the program's own data.
    fn files(home: &Home) -> Files {
        let all = tree(home.inbox().parent().unwrap());
        all.into_iter().filter(|(name, _)| !name.starts_with("data/")).collect()
    }

    /// What is there now counts as what was there before.
    pub(crate) fn rebase(&mut self) {
        self.before = Self::files(self.home());
    }

    /// The next attacker.
    pub(crate) fn eve(&mut self) -> Attacker {
        self.eve_with(FEATURE_ZCHUNK)
    }

    /// One with these features.
    pub(crate) fn eve_with(&mut self, features: u32) -> Attacker {
        let eve = Attacker::meet_with(self.ana.addr(), "eve", features);
        self.met += 1;
        self.ana.event_nth(self.met, "connected");
        eve
    }

    /// The attacker leaves without a goodbye, and the listener is free for the next.
    pub(crate) fn without(&self, eve: Attacker) {
        let lost = self.ana.all("lost").len();
        drop(eve);
        self.ana.event_nth(lost + 1, "lost");
    }

    /// The session is over by the peer's fault; `what` names the case.
    #[track_caller]
    pub(crate) fn ends_as_a_fault(&mut self, mut eve: Attacker, what: &str) -> Value {
        eve.read_to_end();
        self.faults += 1;
        let error = self.ana.event_nth(self.faults, "error");
        assert_eq!(error["code"], "protocol", "{what}: {error}");
        error
    }

    /// Nothing changed outside the receiving folder, nor in it but for what is named and partials.
    #[track_caller]
    pub(crate) fn has_only(&self, new: &[&str]) {
        let mut after = Self::files(self.home());
        after.retain(|name, _| !name.split('/').any(|part| part.starts_with(".p2pchat-")));
        for name in new {
            assert!(after.remove(&format!("inbox/{name}")).is_some(), "{name} is missing");
        }
        assert_eq!(after, self.before);
    }

    /// As `has_only`, but what is below `inbox/folder` is not looked at.
    #[track_caller]
    pub(crate) fn has_only_below(&self, folder: &str) {
        let mut after = Self::files(self.home());
        let below = format!("inbox/{folder}");
        after.retain(|name, _| !name.starts_with(&below) && !name.starts_with("inbox/.p2pchat-"));
        assert_eq!(after, self.before);
    }

    /// An honest peer is served, and the program ends in order.
    #[track_caller]
    pub(crate) fn serves_the_next(mut self) {
        let mut ben = Home::new().connect("ben", self.ana.addr(), &[]);
        ben.offers("honest", "honest");
        ben.event("done");
        ben.send("/quit");
        ben.ends_with(0);
        assert_eq!(fs::read(self.home().inbox().join("honest")).unwrap(), b"honest");
        self.ana.send("/quit");
        // What it took of an attacker, and did not get, is something not done whole.
        assert!([0, 6].contains(&self.ana.exit_code()));
    }
}
