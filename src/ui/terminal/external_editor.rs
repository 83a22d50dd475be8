//! Ctrl-X Ctrl-E: the message in the editor of the user's choice, which has the terminal meanwhile.

use crate::error_text::io_error_text;
use crate::private_file;
use data_encoding::HEXLOWER;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

pub(super) const NO_EDITOR: &str = "set VISUAL or EDITOR to the editor of your choice";

/// What `$VISUAL`, else `$EDITOR`, says.
pub(super) fn command() -> Option<String> {
    ["VISUAL", "EDITOR"].iter().filter_map(|name| std::env::var(name).ok()).find(|command| !command.trim().is_empty())
}

/// Has the editor change `text`, and waits for its end.
///
/// # Errors
/// Words for the user; the text is as it was then.
pub(super) fn edit(text: &str) -> Result<String, String> {
    let edited = edit_draft(text);
    remove_draft();
    edited
}

fn edit_draft(text: &str) -> Result<String, String> {
    let command = command().ok_or(NO_EDITOR)?;
    let failed = |error: io::Error| format!("cannot edit the message: {}", io_error_text(&error));
    let file = write_draft(text).map_err(failed)?;
    let status = process(&command, &file).status().map_err(failed)?;
    if !status.success() {
        return Err(format!("the editor failed ({status}): the message is as it was"));
    }
    let text = fs::read_to_string(&file).map_err(failed)?;
    Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// The command may have arguments, and quotes, as for other programs that use these variables.
fn process(command: &str, file: &Path) -> Command {
    let mut words = command.split_whitespace();
    let mut process = if cfg!(windows) {
        let mut process = Command::new(words.next().unwrap_or_default());
        process.args(words);
        process
    } else {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{command} \"$@\""), "sh"]);
        shell
    };
    process.arg(file);
    process
}

/// The file that an editor has: the program may end before it does.
static DRAFT: Mutex<Option<PathBuf>> = Mutex::new(None);

/// For every way out of the program.
pub(super) fn remove_draft() {
    if let Some(path) = DRAFT.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = fs::remove_file(path);
    }
}

/// Writes a private file for the editor.
fn write_draft(text: &str) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let path = std::env::temp_dir().join(format!("p2pchat-{}.txt", HEXLOWER.encode(&random)));
    let mut draft = DRAFT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut file = private_file::options().write(true).create_new(true).open(&path)?;
    *draft = Some(path.clone());
    drop(draft);
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    Ok(path)
}
