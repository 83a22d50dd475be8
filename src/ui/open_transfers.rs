//! The transfers that are open, which later notices name by their numbers alone, and a row with a bar for each.
//!
//! All state comes from notices.

use super::format;
use super::style::{Paint, Row, Style, cut};
use super::{Direction, Notice, Question, TransferState};
use std::collections::{BTreeMap, VecDeque};
use std::path::MAIN_SEPARATOR;
use std::time::{Duration, Instant};

/// The rate is that of the last seconds: long enough to be calm, short enough to show a stall.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// No rate is told before that much time was measured.
const MEASURED: Duration = Duration::from_millis(300);
/// Measurements kept of one transfer: four a second over the window, and one to measure from.
const SAMPLES: usize = 24;
/// Columns of a name: at least and, where there is room, at most.
const NAME: (usize, usize) = (8, 32);
/// Cells of the bar itself at least; where there is less room there is none.
const CELLS: usize = 10;

#[derive(Debug)]
pub(super) struct OpenTransfer {
    pub(super) direction: Direction,
    /// The first name at the top of its list, safe to show.
    name: String,
    /// Names beside it.
    more: u32,
    pub(super) state: TransferState,
    bytes: u64,
    /// None for a stream, which cannot go on in another run.
    pub(super) total: Option<u64>,
    files_done: u32,
    files: u32,
    is_folder: bool,
    /// The entry whose other name here was said last ([`renamed`]).
    pub(super) renamed: String,
    samples: VecDeque<(Instant, u64)>,
}

/// All open transfers.
#[derive(Debug, Default)]
pub(super) struct OpenTransfers {
    open: BTreeMap<u32, OpenTransfer>,
}

impl OpenTransfers {
    /// Updates the state from a notice.
    pub(super) fn notice(&mut self, notice: &Notice, now: Instant) {
        match notice {
            Notice::Offer { transfer, direction, name, more, files, folders, bytes, was, .. } => {
                was.map(|was| self.open.remove(&was));
                let opened = OpenTransfer {
                    direction: *direction,
                    name: name.safe().to_string(),
                    more: *more,
                    state: TransferState::Offered,
                    bytes: 0,
                    total: *bytes,
                    files_done: 0,
                    files: *files,
                    is_folder: *files != 1 || *folders > 0,
                    renamed: String::new(),
                    samples: VecDeque::new(),
                };
                self.open.insert(*transfer, opened);
            }
            Notice::Question { question: Question::Accept { transfer, .. }, .. } => {
                self.change(*transfer, |open| open.state = TransferState::Asking)
            }
            Notice::Accepted { transfer } => self.change(*transfer, |open| open.state = TransferState::Running),
            Notice::Progress { transfer, bytes, total, files } => {
                self.change(*transfer, |open| open.progress(*bytes, *total, *files, now));
            }
            Notice::File { transfer, path, offered: Some(offered), .. } => {
                let (entry, _) = renamed(offered.raw(), path.raw());
                self.change(*transfer, |open| entry.clone_into(&mut open.renamed));
            }
            Notice::Done { transfer, .. }
            | Notice::Stopped { transfer, .. }
            | Notice::Failed { transfer, path: None, .. } => drop(self.open.remove(transfer)),
            Notice::Lost { .. } | Notice::Reconnected { .. } => {
                self.open.values_mut().for_each(|open| open.samples.clear());
            }
            Notice::Bye { .. } => self.open.clear(),
            _ => {}
        }
    }

    pub(super) fn get(&self, transfer: u32) -> Option<&OpenTransfer> {
        self.open.get(&transfer)
    }

    fn change(&mut self, transfer: u32, change: impl FnOnce(&mut OpenTransfer)) {
        if let Some(open) = self.open.get_mut(&transfer) {
            change(open);
        }
    }

    /// How many run or wait, except for offers that were not answered here.
    pub(super) fn running(&self) -> usize {
        self.open.values().filter(|open| open.state != TransferState::Asking).count()
    }

    /// Whether any moves, so that the rows change with time alone.
    pub(super) fn any_runs(&self) -> bool {
        self.open.values().any(|open| open.state == TransferState::Running)
    }

    /// The offers that this side's user has to answer.
    pub(super) fn asking(&self) -> Vec<u32> {
        self.open.iter().filter(|(_, open)| open.state == TransferState::Asking).map(|(&id, _)| id).collect()
    }

    /// All ids.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.open.keys().copied().collect()
    }

    /// At most `most` rows of at most `limit` columns; when there are more transfers, the last row sums the rest up.
    pub(super) fn rows(&self, style: Style, limit: usize, most: usize, now: Instant) -> Vec<Row> {
        // What has to be answered stands in the chat already; what moves comes first.
        let mut order: Vec<_> = self.open.iter().collect();
        order.sort_by_key(|(id, open)| (open.state != TransferState::Running, **id));
        let alone = if order.len() > most { most.saturating_sub(1) } else { most };
        let mut rows: Vec<Row> = order.iter().take(alone).map(|(id, open)| open.row(**id, style, limit, now)).collect();
        let rest: Vec<_> = order.iter().skip(alone).map(|(_, open)| *open).collect();
        if !rest.is_empty() && most > 0 {
            let bytes = rest.iter().map(|open| open.bytes).fold(0, u64::saturating_add);
            let total = rest.iter().map(|open| open.total.unwrap_or(open.bytes)).fold(0, u64::saturating_add);
            let more = if alone > 0 { "more transfers" } else { "transfers" };
            let percent = format::percent(bytes, total);
            let text = format!("   {} {more}  {percent}%  {}", rest.len(), part_of(bytes, total));
            rows.push(Row::of(style, limit, Paint::Dim, &text));
        }
        rows
    }
}

impl OpenTransfer {
    /// What it is called where there is room.
    pub(super) fn full_name(&self) -> String {
        format!("{}{}", self.name, and_more(self.more))
    }

    /// How much of it is there, 0 to 100; all of a stream.
    pub(super) fn percent(&self) -> u8 {
        format::percent(self.bytes, self.total.unwrap_or(self.bytes))
    }

    fn progress(&mut self, bytes: u64, total: Option<u64>, files: u32, now: Instant) {
        self.state = TransferState::Running;
        self.bytes = bytes;
        self.total = total;
        self.files_done = files;
        self.samples.push_back((now, bytes));
        self.forget_old(now);
    }

    /// Keeps one sample from before the window, to measure from.
    fn forget_old(&mut self, now: Instant) {
        let is_old = |sample: Option<&(Instant, u64)>| sample.is_some_and(|(at, _)| *at + RATE_WINDOW < now);
        while self.samples.len() > SAMPLES || is_old(self.samples.get(1)) {
            self.samples.pop_front();
        }
    }

    /// Bytes a second; None before there is anything to measure.
    fn rate(&self, now: Instant) -> Option<u64> {
        let at_window = self.samples.iter().rev().find(|(at, _)| *at + RATE_WINDOW <= now);
        let (from, span) = match (at_window, self.samples.front()) {
            (Some((_, bytes)), _) => (*bytes, RATE_WINDOW),
            (None, Some((at, bytes))) => (*bytes, now.saturating_duration_since(*at)),
            (None, None) => return None,
        };
        format::rate(self.bytes.saturating_sub(from), span).filter(|_| span >= MEASURED)
    }

    fn row(&self, id: u32, style: Style, limit: usize, now: Instant) -> Row {
        let (arrow, paint) = match self.direction {
            Direction::In => ("↓", Paint::Peer(0)),
            Direction::Out => ("↑", Paint::Own),
        };
        let mut row = Row::of(style, limit, paint, arrow);
        row.push(Paint::Plain, &format!(" {id} "));
        let room = limit.saturating_sub(row.width().most + "  ".len());
        let figures = self.figures(room.saturating_sub(NAME.0), now);
        let more = if self.more > 0 { format!(" +{}", self.more) } else { String::new() };
        let name = format!("{}{more}", self.name);
        let name = cut(&name, room.saturating_sub(figures.chars().count()).min(NAME.1));
        row.push(Paint::Bold, &name);
        row.push(Paint::Plain, "  ");
        // The bar takes what is left, so that it is as long as the terminal allows.
        let taken = row.width().most + figures.chars().count();
        row.push(Paint::Plain, &self.bar(limit.saturating_sub(taken)));
        row.push(Paint::Plain, &figures);
        row
    }

    /// The bar and a blank, of so many columns; nothing when there is no end to measure by, or no room.
    fn bar(&self, columns: usize) -> String {
        let cells = columns.saturating_sub("[] ".len());
        match self.total {
            Some(total) if cells >= CELLS && self.state == TransferState::Running => {
                let filled = usize::from(format::percent(self.bytes, total)) * cells / 100;
                format!("[{}{}] ", "#".repeat(filled), "-".repeat(cells - filled))
            }
            _ => String::new(),
        }
    }

    /// The numbers, the more important ones first when `room` is small.
    fn figures(&self, room: usize, now: Instant) -> String {
        let size = self.total.map_or_else(|| "stream".to_owned(), format::size);
        match self.state {
            TransferState::Asking => return format!("{size} offered"),
            TransferState::Running => {}
            _ => return format!("{size} waiting"),
        }
        let rate = self.rate(now);
        // Each with its rank of importance, in the order in which they stand.
        let mut parts = Vec::new();
        match self.total {
            Some(total) => {
                parts.push((0, format!("{:>3}%", format::percent(self.bytes, total))));
                parts.push((3, part_of(self.bytes, total)));
            }
            None => parts.push((0, format::size(self.bytes))),
        }
        match rate {
            Some(0) => parts.push((1, "stalled".into())),
            Some(rate) => parts.push((1, format!("{}/s", format::size(rate)))),
            None => {}
        }
        let left = self.total.map(|total| total.saturating_sub(self.bytes));
        let time = rate.zip(left).and_then(|(rate, left)| left.checked_div(rate));
        parts.extend(time.map(|time| (2, format!("{} left", clock(time)))));
        if self.is_folder {
            parts.push((4, format!("{}/{} files", self.files_done, self.files)));
        }
        let length = |parts: &[(i32, String)]| parts.iter().map(|(_, part)| part.chars().count() + 1).sum::<usize>();
        while parts.len() > 1 && length(&parts) > room + 1 {
            let worst = parts.iter().map(|(rank, _)| *rank).max();
            parts.retain(|(rank, _)| Some(*rank) != worst);
        }
        let texts: Vec<String> = parts.into_iter().map(|(_, part)| part).collect();
        texts.join(" ")
    }
}

/// The innermost entry on the way to a file whose name here is another: as it was offered, and its local path.
pub(super) fn renamed<'a>(offered: &'a str, path: &'a str) -> (&'a str, &'a str) {
    let (mut offered, mut path) = (offered, path);
    let split = |path: &'a str| path.rsplit_once(['/', MAIN_SEPARATOR]);
    while let (Some((folder, name)), Some((dest, local))) = (offered.rsplit_once('/'), split(path))
        && name == local
    {
        (offered, path) = (folder, dest);
    }
    (offered, path)
}

pub(super) fn and_more(more: u32) -> String {
    if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// `3.0 of 10.0 MiB`; the unit twice only where the two differ.
fn part_of(bytes: u64, total: u64) -> String {
    let (part, whole) = (format::size(bytes), format::size(total));
    match (part.split_once(' '), whole.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} of {whole}"),
        _ => format!("{part} of {whole}"),
    }
}

/// Seconds as a clock: `0:07`, `12:30`, `3:00:00`.
fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 99 {
        ">99 h".into()
    } else if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::PeerText;

    const PLAIN: Style = Style { colour: false };

    fn offer(transfer: u32, direction: Direction, name: &str, files: u32, bytes: u64) -> Notice {
        Notice::Offer {
            transfer,
            direction,
            name: PeerText::new(name),
            more: 0,
            files,
            folders: 0,
            bytes: Some(bytes),
            clashes: None,
            free: None,
            was: None,
        }
    }

    fn moving(at: Instant) -> OpenTransfers {
        let mut transfers = OpenTransfers::default();
        transfers.notice(&offer(3, Direction::In, "photos", 240, 10 << 20), at);
        for second in 0..4 {
            let notice = Notice::Progress { transfer: 3, bytes: second << 20, total: Some(10 << 20), files: 12 };
            transfers.notice(&notice, at + Duration::from_secs(second));
        }
        transfers
    }

    fn texts(transfers: &OpenTransfers, limit: usize, most: usize, now: Instant) -> Vec<String> {
        transfers.rows(PLAIN, limit, most, now).iter().map(|row| row.text().into()).collect()
    }

    #[test]
    fn a_bar_shows_direction_name_and_numbers() {
        let start = Instant::now();
        let rows = texts(&moving(start), 79, 4, start + Duration::from_secs(3));
        assert_eq!(rows, ["↓ 3 photos  [###--------]  30% 3.0 of 10.0 MiB 1.0 MiB/s 0:07 left 12/240 files"]);
    }

    #[test]
    fn a_narrow_bar_drops_what_matters_least() {
        let start = Instant::now();
        let now = start + Duration::from_secs(3);
        let transfers = moving(start);
        assert_eq!(texts(&transfers, 39, 4, now), ["↓ 3 photos   30% 1.0 MiB/s 0:07 left"]);
        let figures = "30% 3.0 of 10.0 MiB 1.0 MiB/s 0:07 left 12/240 files";
        let wide =
            |cells: [usize; 2]| format!("↓ 3 photos  [{}{}]  {figures}", "#".repeat(cells[0]), "-".repeat(cells[1]));
        assert_eq!(texts(&transfers, 77, 4, now), [format!("↓ 3 photos   {figures}")]);
        assert_eq!(texts(&transfers, 78, 4, now), [wide([3, 7])]);
        assert_eq!(texts(&transfers, 199, 4, now), [wide([39, 92])]);
        for limit in 1..130 {
            let rows = transfers.rows(PLAIN, limit, 4, now);
            assert!(rows.iter().all(|row| row.width().most <= limit), "{limit}");
        }
    }

    #[test]
    fn a_transfer_that_stands_still_is_said_to_be_stalled() {
        let start = Instant::now();
        let rows = texts(&moving(start), 79, 4, start + Duration::from_secs(60));
        assert!(rows[0].contains("stalled"), "{rows:?}");
    }

    #[test]
    fn more_transfers_than_rows_are_summed_up() {
        let now = Instant::now();
        let mut transfers = OpenTransfers::default();
        for id in 1..=5 {
            transfers.notice(&offer(id, Direction::Out, "x", 1, 100), now);
            transfers.notice(&Notice::Progress { transfer: id, bytes: 50, total: Some(100), files: 0 }, now);
        }
        let rows = texts(&transfers, 79, 2, now);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1], "   4 more transfers  50%  200 of 400 B");
    }

    #[test]
    fn ends_of_all_kinds_remove_the_bar_but_a_single_failed_file_does_not() {
        let now = Instant::now();
        let mut transfers = moving(now);
        let failed = |path: Option<&str>| Notice::Failed {
            transfer: 3,
            path: path.map(PeerText::new),
            reason: "gone".into(),
            part: None,
            cut: false,
        };
        transfers.notice(&failed(Some("a.jpg")), now);
        assert_eq!(transfers.running(), 1);
        transfers.notice(&failed(None), now);
        assert_eq!(transfers.running(), 0);
    }

    #[test]
    fn only_what_asks_here_is_to_be_answered() {
        let now = Instant::now();
        let mut transfers = OpenTransfers::default();
        transfers.notice(&offer(1, Direction::In, "a", 1, 1), now);
        let question = Question::Accept { transfer: 1, name: PeerText::new("a"), more: 0, dest: None, again: false };
        transfers.notice(&Notice::Question { id: 1, question }, now);
        transfers.notice(&offer(2, Direction::Out, "b", 1, 1), now);
        assert_eq!(transfers.asking(), [1]);
        assert_eq!(transfers.running(), 1);
    }
}
