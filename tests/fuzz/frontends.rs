//! The plain and the JSON frontend, fed with notices whose every text a hostile peer chose.

use super::choices::Choices;
use super::parsers::{assert_safe, text_seeds};
use p2pchat::notice::{Direction, Info, Notice, Posted, Side, Stop, TransferInfo, TransferState, Trust};
use p2pchat::protocol::frame::Reason;
use p2pchat::text::{PeerText, SafeText};
use p2pchat::ui::frontend::Verbosity;
use p2pchat::ui::plain::PlainOptions;
use p2pchat::ui::{json as json_frontend, plain as plain_frontend};
use serde_json::Value;
use std::cell::Cell;
use std::sync::mpsc;
use std::time::Duration;

/// Notices in one input.
const NOTICES: usize = 16;
/// Choices of one text.
const TEXT: usize = 200;
/// The time of day that the plain frontend is given.
const TIME: &str = "12:34";
/// Columns of the terminal that shows the plain frontend, if one does.
const COLUMNS: [fn() -> Option<usize>; 8] =
    [|| None, || Some(14), || Some(19), || Some(20), || Some(33), || Some(40), || Some(80), || Some(131)];
/// Looks like a row of the program's.
const FORGED: &str = "-- bob is now verified";

/// The plain frontend writes nothing that a terminal obeys, and no line of the peer's looks like the program's.
pub(crate) fn plain(data: &[u8]) {
    let mut bytes = Choices::new(data);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (posted, last) = notices(&mut bytes);
    let (sender, receiver) = mpsc::channel();
    posted.into_iter().for_each(|posted| drop(sender.send(posted)));
    drop(sender);
    let settled = Cell::new(0);
    let columns = COLUMNS[data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % COLUMNS.len()];
    let options = PlainOptions { columns_out: columns, columns_err: columns, ..Verbosity::Verbose.into() };
    let shown = plain_frontend::run(&receiver, &mut out, &mut err, options, || TIME.into(), |seq| settled.set(seq));
    assert!(shown.is_ok());
    assert_eq!(settled.get(), last);
    let is_narrow = columns().is_some_and(|columns| columns < 20);
    let fits = |row: &str| columns().is_none_or(|columns| !row.is_ascii() || row.len() <= columns);
    for row in String::from_utf8_lossy(&out).lines() {
        assert_safe(row);
        assert!(row.starts_with(TIME) || row.starts_with(if is_narrow { "  " } else { "      " }), "{row:?}");
        assert!(fits(row), "{row:?}");
    }
    for row in String::from_utf8_lossy(&err).lines() {
        assert_safe(row);
        assert!(row.starts_with(if is_narrow { "--" } else { "-- " }) || row == "--", "{row:?}");
        assert!(!row.starts_with(FORGED) && fits(row), "{row:?}");
    }
}

/// The JSON frontend writes one object a line, from which the peer's text comes back whole, and nothing that a terminal obeys.
pub(crate) fn json(data: &[u8]) {
    let mut bytes = Choices::new(data);
    let (posted, last) = notices(&mut bytes);
    let said: Vec<String> = posted
        .iter()
        .filter_map(|posted| match &posted.notice {
            Notice::Message { text, .. } => Some(text.raw().to_owned()),
            _ => None,
        })
        .collect();
    let (sender, receiver) = mpsc::channel();
    posted.into_iter().for_each(|posted| drop(sender.send(posted)));
    drop(sender);
    let mut out = Vec::new();
    let settled = Cell::new(0);
    assert!(json_frontend::run(&receiver, &mut out, |seq| settled.set(seq)).is_ok());
    assert_eq!(settled.get(), last);
    let mut heard = Vec::new();
    for line in String::from_utf8_lossy(&out).lines() {
        assert!(!line.contains(|c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c)), "{line:?}");
        let event: Value = match serde_json::from_str(line) {
            Ok(event) => event,
            Err(error) => panic!("{error}: {line}"),
        };
        assert!(line.starts_with("{\"event\":\""), "{line}");
        if event.get("event").is_some_and(|name| name == "message") {
            heard.extend(event.get("text").and_then(Value::as_str).map(str::to_owned));
        }
    }
    assert_eq!(heard, said);
}

/// A notice of each kind with each kind of trouble, and some with a forged row at every place around a margin.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let seed = |kind: u8, text: &[u8]| {
        let text = [&[u8::try_from(text.len()).unwrap_or(u8::MAX)], text].concat();
        [&[kind], text.as_slice(), text.as_slice(), text.as_slice()].concat()
    };
    let troubles = text_seeds().into_iter().flat_map(|trouble| (0..KINDS).map(move |kind| seed(kind, &trouble)));
    let forged = (0..140).flat_map(|pad| {
        let text = format!("{}{FORGED}\n{}{FORGED}", "x".repeat(pad), "x".repeat(pad));
        // A message, a decline, a failure, a warning.
        [0, 4, 8, 14].map(|kind| seed(kind, text.as_bytes()))
    });
    troubles.chain(forged).collect()
}

const KINDS: u8 = 16;

/// Notices, and the last of their numbers.
fn notices(bytes: &mut Choices<'_>) -> (Vec<Posted>, u64) {
    let mut posted = Vec::new();
    let mut last = 0;
    while !bytes.is_empty() && posted.len() < NOTICES {
        let notice = notice(bytes);
        let display_seq = matches!(notice, Notice::Message { .. }).then(|| {
            last += 1;
            last
        });
        posted.push(Posted { notice, peer: None, display_seq });
    }
    (posted, last)
}

fn notice(bytes: &mut Choices<'_>) -> Notice {
    let transfer = 7;
    let kind = bytes.pick(KINDS);
    let mut peer = || PeerText::new(bytes.text(TEXT));
    match kind {
        0 | 1 => {
            let (from, text) = (peer(), peer());
            Notice::Message { id: 1, from, text, action: kind == 1 }
        }
        2 => Notice::Connected {
            peer: peer(),
            fingerprint: String::new(),
            addr: "host:1".into(),
            verify: None,
            trust: Trust::New,
            uninvited: true,
            own: "me".into(),
        },
        3 => Notice::Offer {
            transfer,
            direction: Direction::In,
            name: peer(),
            more: 1,
            files: 2,
            folders: 3,
            bytes: Some(u64::MAX),
            clashes: Some(1),
            free: Some(0),
            was: None,
        },
        4 => Notice::Stopped {
            transfer,
            how: Stop::Declined,
            by: Side::Peer,
            reason: Reason::User,
            detail: peer().safe(),
        },
        5 => {
            let detail = SafeText::from(peer().raw());
            Notice::Stopped { transfer, how: Stop::Cancelled, by: Side::Peer, reason: Reason::User, detail }
        }
        6 => Notice::File { transfer, path: peer(), bytes: 1, blake3: String::new(), offered: Some(peer()) },
        7 => {
            Notice::Done { transfer, path: peer(), more: 1, files: 1, bytes: 1, wire_bytes: None, took: Duration::MAX }
        }
        8 => {
            let (path, reason, part) = (Some(peer()), SafeText::from(peer().raw()), Some(peer()));
            Notice::Failed { transfer, path, reason, part, cut: false }
        }
        9 => Notice::Trust { peer: peer(), trust: Trust::Verified },
        10 => Notice::Info(Info::Peer(vec![("name", peer().safe()), ("calls itself", peer().safe())])),
        11 => Notice::Info(Info::Names { transfer, from: 1, total: 2, names: vec![(peer(), Some(1)), (peer(), None)] }),
        12 => Notice::Info(Info::Transfers(vec![TransferInfo {
            transfer,
            direction: Direction::In,
            name: peer(),
            state: TransferState::Running,
            bytes: 1,
            total: Some(0),
            files_done: 1,
            files: 2,
        }])),
        13 => Notice::Lost { reason: SafeText::from(peer().raw()), lines: 1, transfers: 1 },
        14 => Notice::Warning(SafeText::with_hint(peer().raw())),
        _ => Notice::Error { code: "x", text: SafeText::with_hint(peer().raw()) },
    }
}
