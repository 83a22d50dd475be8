//! Tab: commands, transfer ids, the peer's name, and paths.
//!
//! Completion goes as far as all candidates agree; when that is nowhere, they are shown below the input.

use crate::command;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use unicode_segmentation::UnicodeSegmentation;

/// Entries of one folder that are looked at, so that a huge one does not hold up the keys.
const ENTRIES: usize = 20_000;
/// The commands of this frontend alone.
const OWN: [&str; 3] = ["/bell", "/copy", "/save"];

/// How a blank is written in a word without quotes.
const ESCAPE: char = '\\';

/// What may be completed besides commands and paths.
#[derive(Debug, Default)]
pub(super) struct CompletionContext {
    /// Offers to answer.
    pub(super) offers: Vec<u32>,
    /// All transfers.
    pub(super) transfers: Vec<u32>,
    /// The peer's label.
    pub(super) peer: Option<String>,
    /// The home folder.
    pub(super) home: Option<PathBuf>,
}

/// What Tab does.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Completion {
    /// The byte from which on the text before the cursor is replaced.
    pub(super) start: usize,
    pub(super) with: String,
    /// More than one: to be shown.
    pub(super) candidates: Vec<String>,
}

/// Completes `text`, which stands before the cursor; None when there is nothing that fits.
pub(super) fn complete(text: &str, known: &CompletionContext) -> Option<Completion> {
    let words = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>();
    let command = text.trim_start_matches(' ');
    let blanks = text.len() - command.len();
    if !command.starts_with('/') || command.starts_with("//") || text.contains('\n') {
        let typed = text.rsplit(char::is_whitespace).next().filter(|typed| !typed.is_empty())?;
        return pick(text, text.len() - typed.len(), known.peer.as_slice(), "");
    }
    let Some((name, arguments)) = command.split_once(' ') else {
        let mut names: Vec<String> = command::words().chain(OWN).map(String::from).collect();
        names.sort();
        return pick(text, blanks, &names, " ");
    };
    let first = text.len() - arguments.len();
    match (name.to_lowercase().as_str(), arguments.split_once(' ')) {
        ("/send", _) => paths(text, first, known),
        ("/accept" | "/save", Some((_, path))) => paths(text, text.len() - path.len(), known),
        ("/accept" | "/decline", None) => pick(text, first, &words(&known.offers), ""),
        ("/cancel" | "/transfers", None) => pick(text, first, &words(&known.transfers), ""),
        ("/bell", None) => pick(text, first, &["off".into(), "on".into()], ""),
        _ => None,
    }
}

/// Completes the word from `start` on by those `words` that begin with it.
fn pick(text: &str, start: usize, words: &[String], after: &str) -> Option<Completion> {
    let typed = text.get(start..).unwrap_or_default();
    let fits: Vec<&String> = words.iter().filter(|word| word.starts_with(typed)).collect();
    match fits.as_slice() {
        [] => None,
        [word] => Some(Completion { start, with: format!("{word}{after}"), candidates: Vec::new() }),
        _ => {
            let candidates: Vec<String> = fits.into_iter().cloned().collect();
            Some(Completion { start, with: common(&candidates), candidates })
        }
    }
}

/// Completes a path: the whole rest of the line as one, as `/send` takes it first, else its last word.
fn paths(text: &str, start: usize, known: &CompletionContext) -> Option<Completion> {
    let rest = text.get(start..).unwrap_or_default();
    let word = command::last_word(rest);
    if !rest.starts_with(['"', '\'']) && (word.start == 0 || !entries(rest, known).is_empty()) {
        let escape = rest.contains(ESCAPE);
        return path(start, if escape && word.start == 0 { &word.text } else { rest }, escape.then_some(ESCAPE), known);
    }
    path(start + word.start, &word.text, word.quote.or(Some(ESCAPE)), known)
}

/// Completes `typed`, writing it with quotes of one kind or with backslashes (None: as it is, since the whole rest of the line is the path).
fn path(start: usize, typed: &str, quote: Option<char>, known: &CompletionContext) -> Option<Completion> {
    let names = entries(typed, known);
    let folder = typed.rfind(is_separator).map_or("", |at| typed.get(..=at).unwrap_or_default());
    let longest = common(&names);
    // Inside quotes `~` is a plain character, so the folder that it stood for has to be named.
    let named = match (quote, folder.strip_prefix('~'), known.home.as_ref().and_then(|home| home.to_str())) {
        (Some('\'' | '"'), Some(inside), Some(home)) if inside.starts_with(is_separator) => {
            format!("{home}{inside}")
        }
        _ => folder.into(),
    };
    let whole = format!("{named}{longest}");
    let is_whole = names.len() == 1 && !longest.ends_with(MAIN_SEPARATOR);
    let with = match quote {
        None => whole,
        Some(ESCAPE) => escaped(&whole),
        Some('\'') if !whole.contains('\'') => format!("'{whole}{}", if is_whole { "'" } else { "" }),
        Some(_) => {
            // On Windows a backslash separates folders, and no name has a quote.
            let inner = if cfg!(windows) { whole } else { whole.replace('\\', "\\\\").replace('"', "\\\"") };
            format!("\"{inner}{}", if is_whole { "\"" } else { "" })
        }
    };
    match names.len() {
        0 => None,
        1 => Some(Completion { start, with, candidates: Vec::new() }),
        _ => Some(Completion { start, with, candidates: names }),
    }
}

/// The names in the folder of `typed` that begin with its last part; folders end in a separator.
fn entries(typed: &str, known: &CompletionContext) -> Vec<String> {
    if typed == "~" {
        return vec![format!("~{MAIN_SEPARATOR}")];
    }
    // With its separator, for `C:` is another folder than `C:\`.
    let (folder, prefix) = typed.split_at(typed.rfind(is_separator).map_or(0, |at| at + 1));
    let folder = if folder.is_empty() { "." } else { folder };
    let folder = command::expand(folder, known.home.as_deref());
    let Ok(listing) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut names: Vec<String> = listing
        .take(ENTRIES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix) && (prefix.starts_with('.') || !name.starts_with('.')))
        .filter(|name| !name.chars().any(char::is_control))
        .collect();
    names.sort();
    if let [only] = names.as_mut_slice() {
        mark_folder(only, &folder);
    } else {
        names.iter_mut().for_each(|name| mark_folder(name, &folder));
    }
    names
}

fn mark_folder(name: &mut String, folder: &Path) {
    if folder.join(&*name).is_dir() {
        name.push(MAIN_SEPARATOR);
    }
}

fn is_separator(character: char) -> bool {
    std::path::is_separator(character)
}

fn escaped(path: &str) -> String {
    let mut out = String::new();
    for character in path.chars() {
        if cfg!(not(windows)) && matches!(character, ' ' | '\\' | '\'' | '"') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// What all `words` begin with, in whole clusters.
fn common(words: &[String]) -> String {
    let Some((first, rest)) = words.split_first() else { return String::new() };
    let same = |word: &String| first.graphemes(true).zip(word.graphemes(true)).take_while(|(a, b)| a == b).count();
    let clusters = rest.iter().map(same).min().unwrap_or(usize::MAX);
    first.graphemes(true).take(clusters).collect()
}

#[cfg(test)]
mod tests;
