//! The answers to commands that ask: `/help`, `/peer`, `/transfers`.

use crate::command;
use crate::ui::format::{percent, size};
use crate::ui::{Info, TransferInfo, TransferState};

pub(super) fn text(info: &Info) -> String {
    match info {
        Info::Help => command::HELP.to_owned(),
        Info::Text(text) => text.to_string(),
        Info::Peer(pairs) => lines(pairs.iter().map(|(label, value)| format!("{label}: {value}"))),
        Info::Transfers(rows) if rows.is_empty() => "no transfers".into(),
        Info::Transfers(rows) => lines(rows.iter().map(row)),
        Info::Names { transfer, from, total, names } => {
            let last = from.saturating_add(names.len()).saturating_sub(1);
            let heading = format!("[{transfer}] names {from} to {last} of {total}");
            let rows = names.iter().map(|(path, bytes)| {
                // The size first, so that a name never begins a row.
                format!("{:>10}  {}", bytes.map(size).unwrap_or_default(), path.safe())
            });
            let next = last.saturating_add(1);
            let more = (last < *total).then(|| format!("go on with /transfers {transfer} {next}"));
            lines(std::iter::once(heading).chain(rows).chain(more))
        }
    }
}

fn row(row: &TransferInfo) -> String {
    let TransferInfo { transfer, direction, name, state, bytes, total, files_done, files } = row;
    let state = match state {
        TransferState::Preparing => "preparing".to_owned(),
        TransferState::Offered => "waits for the peer's answer".to_owned(),
        TransferState::Arriving => "its list arrives".to_owned(),
        TransferState::Asking => "waits for your answer".to_owned(),
        TransferState::Running => match total {
            Some(total) => format!("{} %, {} of {}", percent(*bytes, *total), size(*bytes), size(*total)),
            None => size(*bytes),
        },
    };
    let done = if *files > 1 { format!(", {files_done} of {files} files") } else { String::new() };
    format!("[{transfer}] {}, {state}{done}: {}", direction.word(), name.safe())
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}
