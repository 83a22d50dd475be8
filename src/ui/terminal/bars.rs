//! The transfers that are open, and a row of the block for each.
//!
//! EventLoop of what the face knows of transfers: it learns all of it from notices, and asks nobody.

use super::style::{Paint, Row, Style, cut};
use crate::ui::words;
use crate::ui::{Direction, Notice};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The rate is that of the last seconds: long enough to be calm, short enough to show a stall.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// No rate is told before that much time was measured.
const MEASURED: Duration = Duration::from_millis(300);
/// Measurements kept of one transfer: four a second over the window, and one to measure from.
const SAMPLES: usize = 24;
/// Columns of a row at most: short rows stay single rows when the window becomes narrower.
const WIDEST: usize = 76;
/// Columns of a name at most and, when there is little room, at least.
const NAME: (usize, usize) = (24, 8);
/// Cells of the bar itself.
const CELLS: usize = 10;

/// Where a transfer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// This side's user has to answer.
    Asks,
    /// An answer of the peer or a rule is awaited.
    Waits,
    Runs,
}

#[derive(Debug)]
struct Transfer {
    direction: Direction,
    name: String,
    state: State,
    bytes: u64,
    total: u64,
    files_done: u32,
    files: u32,
    is_folder: bool,
    samples: VecDeque<(Instant, u64)>,
}

/// All open transfers.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    open: BTreeMap<u32, Transfer>,
}

impl Transfers {
    /// Learns from a notice; whether a row has changed.
    pub(super) fn notice(&mut self, notice: &Notice, now: Instant) -> bool {
        match notice {
            Notice::Offer { transfer, direction, name, more, files, folders, bytes, asks, .. } => {
                let mut name = super::chat::harmless(&name.safe());
                if *more > 0 {
                    name.push_str(&format!(" +{more}"));
                }
                let opened = Transfer {
                    direction: *direction,
                    name,
                    state: if *asks { State::Asks } else { State::Waits },
                    bytes: 0,
                    total: *bytes,
                    files_done: 0,
                    files: *files,
                    is_folder: *files != 1 || *folders > 0,
                    samples: VecDeque::new(),
                };
                self.open.insert(*transfer, opened);
            }
            Notice::Accepted { transfer } => match self.open.get_mut(transfer) {
                Some(open) => open.state = State::Runs,
                None => return false,
            },
            Notice::Progress { transfer, bytes, total, files } => match self.open.get_mut(transfer) {
                Some(open) => open.progress(*bytes, *total, *files, now),
                None => return false,
            },
            Notice::Done { transfer, .. }
            | Notice::Declined { transfer, .. }
            | Notice::Cancelled { transfer, .. }
            | Notice::Failed { transfer, path: None, .. } => return self.open.remove(transfer).is_some(),
            Notice::Lost { .. } | Notice::Reconnected { .. } => {
                self.open.values_mut().for_each(|open| open.samples.clear());
            }
            Notice::Bye { .. } => self.open.clear(),
            _ => return false,
        }
        true
    }

    /// How many run or wait, except for offers that were not answered here.
    pub(super) fn running(&self) -> usize {
        self.open.values().filter(|open| open.state != State::Asks).count()
    }

    /// Whether any moves, so that the rows change with time alone.
    pub(super) fn any_runs(&self) -> bool {
        self.open.values().any(|open| open.state == State::Runs)
    }

    /// The offers that this side's user has to answer.
    pub(super) fn asking(&self) -> Vec<u32> {
        self.open.iter().filter(|(_, open)| open.state == State::Asks).map(|(&id, _)| id).collect()
    }

    /// All ids.
    pub(super) fn ids(&self) -> Vec<u32> {
        self.open.keys().copied().collect()
    }

    /// A transfer's name, made safe.
    pub(super) fn name(&self, id: u32) -> Option<&str> {
        self.open.get(&id).map(|open| open.name.as_str())
    }

    /// At most `most` rows of at most `limit` columns; when there are more transfers, the last row sums the rest up.
    pub(super) fn rows(&self, style: Style, limit: usize, most: usize, now: Instant) -> Vec<Row> {
        let limit = limit.min(WIDEST);
        // What has to be answered stands in the chat already; what moves comes first.
        let mut order: Vec<_> = self.open.iter().collect();
        order.sort_by_key(|(id, open)| (open.state != State::Runs, **id));
        let alone = if order.len() > most { most.saturating_sub(1) } else { most };
        let mut rows: Vec<Row> = order.iter().take(alone).map(|(id, open)| open.row(**id, style, limit, now)).collect();
        let rest: Vec<_> = order.iter().skip(alone).map(|(_, open)| *open).collect();
        if !rest.is_empty() && most > 0 {
            let sum = |of: fn(&Transfer) -> u64| rest.iter().map(|open| of(open)).fold(0, u64::saturating_add);
            let (bytes, total) = (sum(|open| open.bytes), sum(|open| open.total));
            let mut row = Row::default();
            let more = if alone > 0 { "more transfers" } else { "transfers" };
            let percent = words::percent(bytes, total);
            let text = format!("   {} {more}  {percent}%  {}", rest.len(), part_of(bytes, total));
            row.push(style, Paint::Dim, &text, limit);
            rows.push(row);
        }
        rows
    }
}

impl Transfer {
    fn progress(&mut self, bytes: u64, total: u64, files: u32, now: Instant) {
        self.state = State::Runs;
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
        if span < MEASURED {
            return None;
        }
        let moved = u128::from(self.bytes.saturating_sub(from));
        u64::try_from(moved * 1000 / span.as_millis().max(1)).ok()
    }

    fn row(&self, id: u32, style: Style, limit: usize, now: Instant) -> Row {
        let (arrow, paint) = match self.direction {
            Direction::In => ("↓", Paint::Peer(0)),
            Direction::Out => ("↑", Paint::Own),
        };
        let figures = self.figures(limit.saturating_sub(NAME.1 + 6), now);
        let taken = figures.chars().count() + 6;
        let name = cut(&self.name, limit.saturating_sub(taken).min(NAME.0));
        let mut row = Row::default();
        row.push(style, paint, arrow, limit);
        row.push(style, Paint::Plain, &format!(" {id} "), limit);
        row.push(style, Paint::Bold, &name, limit);
        row.push(style, Paint::Plain, "  ", limit);
        row.push(style, Paint::Plain, &figures, limit);
        row
    }

    /// The numbers, the more important ones first when `room` is small.
    fn figures(&self, room: usize, now: Instant) -> String {
        let percent = words::percent(self.bytes, self.total);
        match self.state {
            State::Asks => return format!("{} y or n?", words::size(self.total)),
            State::Waits => return format!("{} waiting for an answer", words::size(self.total)),
            State::Runs => {}
        }
        let rate = self.rate(now);
        let left = self.total.saturating_sub(self.bytes);
        let eta = rate.and_then(|rate| left.checked_div(rate)).map(clock);
        let filled = usize::from(percent) * CELLS / 100;
        // Each with its rank of importance, in the order in which they stand.
        let mut parts = vec![
            (5, format!("[{}{}]", "#".repeat(filled), "-".repeat(CELLS - filled))),
            (0, format!("{percent:>3}%")),
            (3, part_of(self.bytes, self.total)),
        ];
        match rate {
            Some(0) => parts.push((1, "stalled".into())),
            Some(rate) => parts.push((1, format!("{}/s", words::size(rate)))),
            None => {}
        }
        parts.extend(eta.map(|eta| (2, eta)));
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

/// `3.0 of 10.0 MiB`; the unit twice only where the two differ.
fn part_of(bytes: u64, total: u64) -> String {
    let (part, whole) = (words::size(bytes), words::size(total));
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

    fn offer(transfer: u32, direction: Direction, name: &str, files: u32, bytes: u64, asks: bool) -> Notice {
        Notice::Offer {
            transfer,
            direction,
            name: PeerText::new(name),
            more: 0,
            files,
            folders: 0,
            bytes,
            clashes: None,
            free: None,
            asks,
        }
    }

    fn moving(at: Instant) -> Transfers {
        let mut transfers = Transfers::default();
        transfers.notice(&offer(3, Direction::In, "photos", 240, 10 << 20, false), at);
        for second in 0..4 {
            let notice = Notice::Progress { transfer: 3, bytes: second << 20, total: 10 << 20, files: 12 };
            transfers.notice(&notice, at + Duration::from_secs(second));
        }
        transfers
    }

    fn texts(transfers: &Transfers, limit: usize, most: usize, now: Instant) -> Vec<String> {
        transfers.rows(PLAIN, limit, most, now).iter().map(|row| row.text().into()).collect()
    }

    #[test]
    fn a_bar_shows_direction_name_and_numbers() {
        let start = Instant::now();
        let rows = texts(&moving(start), 79, 4, start + Duration::from_secs(3));
        assert_eq!(rows, ["↓ 3 photos  [###-------]  30% 3.0 of 10.0 MiB 1.0 MiB/s 0:07 12/240 files"]);
    }

    #[test]
    fn a_narrow_bar_drops_what_matters_least() {
        let start = Instant::now();
        let now = start + Duration::from_secs(3);
        let transfers = moving(start);
        assert_eq!(texts(&transfers, 39, 4, now), ["↓ 3 photos   30% 1.0 MiB/s 0:07"]);
        for limit in 1..90 {
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
        let mut transfers = Transfers::default();
        for id in 1..=5 {
            transfers.notice(&offer(id, Direction::Out, "x", 1, 100, false), now);
            transfers.notice(&Notice::Progress { transfer: id, bytes: 50, total: 100, files: 0 }, now);
        }
        let rows = texts(&transfers, 79, 2, now);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1], "   4 more transfers  50%  200 of 400 B");
    }

    #[test]
    fn ends_of_all_kinds_remove_the_bar_but_a_single_failed_file_does_not() {
        let now = Instant::now();
        let mut transfers = moving(now);
        let failed =
            |path: Option<&str>| Notice::Failed { transfer: 3, path: path.map(PeerText::new), reason: "gone".into() };
        transfers.notice(&failed(Some("a.jpg")), now);
        assert_eq!(transfers.running(), 1);
        transfers.notice(&failed(None), now);
        assert_eq!(transfers.running(), 0);
    }

    #[test]
    fn only_what_asks_here_is_to_be_answered() {
        let now = Instant::now();
        let mut transfers = Transfers::default();
        transfers.notice(&offer(1, Direction::In, "a", 1, 1, true), now);
        transfers.notice(&offer(2, Direction::Out, "b", 1, 1, false), now);
        assert_eq!(transfers.asking(), [1]);
        assert_eq!(transfers.running(), 1);
    }
}
