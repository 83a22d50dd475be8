//! What each key does, and the commands that the view handles itself.

use super::{HistorySearch, Input, Key, Now, SafeText, TWICE, View, completion};
use crate::command;
use crate::error_text::io_error_text;
use crate::protocol::frame::LINE_TEXT;
use crate::ui::style::{Paint, Width, cut};
use crate::ui::terminal::clipboard;
use crate::ui::{Info, Notice, format};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Candidates of a completion are shown in columns of at most this width.
const CANDIDATE: usize = 24;

impl View {
    pub(super) fn key(&mut self, key: Key, now: Now) {
        if key == Key::Interrupt {
            return self.interrupt(now);
        }
        self.clear_hints();
        if self.search_key(key) {
            return;
        }
        match key {
            Key::Enter => self.enter(now),
            Key::Tab => self.complete(),
            Key::Clear => self.chat.above.clear = true,
            Key::Search => {
                self.search = Some(HistorySearch { draft: self.editor.text().into(), ..HistorySearch::default() })
            }
            Key::DeleteOrQuit if self.editor.is_empty() => self.quit(),
            Key::Up | Key::Down => {
                if !self.editor.key(key) {
                    self.walk_history(key);
                }
            }
            key => {
                self.editor.key(key);
            }
        }
    }

    pub(super) fn typed(&mut self, text: &str) {
        self.clear_hints();
        match &mut self.search {
            Some(search) => {
                search.wanted.push_str(text);
                search.back = 0;
                self.find();
            }
            None => self.editor.typed(text),
        }
    }

    fn interrupt(&mut self, now: Now) {
        self.search = None;
        let twice = self.interrupted.take().is_some_and(|at| now.at < at + TWICE);
        self.clear_hints();
        if !self.editor.is_empty() {
            self.editor.set("");
        } else if self.parted {
            self.quit();
        } else if twice {
            self.input_sender.send_now(Input::Interrupt);
        } else {
            self.interrupted = Some(now.at);
            let open = match self.chat.messages.open.running() {
                0 => String::new(),
                open => format!(" ({} open)", format::count(open, "transfer")),
            };
            self.hint(format!("Ctrl-C again leaves{open}, /help helps"));
        }
    }

    pub(super) fn quit(&mut self) {
        self.input_sender.send_now(Input::Line("/quit".into()));
    }

    fn enter(&mut self, now: Now) {
        let line = self.editor.text().to_owned();
        if line.trim().is_empty() {
            self.editor.set("");
            if self.parted {
                self.quit();
            }
            return;
        }
        match self.input_of(&line, now) {
            Err(why) => return self.hint(why),
            Ok(input) => input.map(|input| self.input_sender.send_now(input)),
        };
        self.editor.set("");
        if let Err(error) = self.history.add(&line) {
            self.chat.say(now.wall, Paint::Alarm, &format!("cannot keep the history: {}", io_error_text(&error)));
        }
    }

    /// What a line gives to the session, if it was not done here; or why it stays in the editor.
    fn input_of(&mut self, line: &str, now: Now) -> Result<Option<Input>, String> {
        if line.len() > LINE_TEXT {
            return Err(format!("a line holds {LINE_TEXT} bytes, this has {}: /send it as a file", line.len()));
        }
        let block = line.trim_end().contains('\n');
        let word = line.split_whitespace().next().unwrap_or_default();
        let is_command = command::words().any(|command| command.eq_ignore_ascii_case(word));
        let refused = self.refused_path.take().as_deref() == Some(line.trim());
        if !block && !is_command && !refused && command::is_dropped(line.trim(), self.home.as_deref()) {
            self.editor.set(&format!("/send {}", line.trim()));
            self.refused_path = Some(line.trim().to_owned());
            return Err("send it? Enter sends it; take /send away to say it as text".into());
        }
        if !block && self.own_command(line.trim(), now) {
            return Ok(None);
        }
        let begun = self.begun.replace(self.context()).unwrap_or_default();
        let here = self.context();
        // The question on the screen is answered if it was there when the line was begun; without one the word is chat.
        if let Some(yes) = answer(line) {
            match here.question {
                Some(_) if begun.question != here.question => {
                    return Err("this question came while you typed: Enter again answers it".into());
                }
                Some(id) => {
                    self.questions.retain(|(open, _)| *open != id);
                    return Ok(Some(Input::Answer { id, yes }));
                }
                None if begun.question.is_some() => {
                    return Err("the question is gone: Enter again sends this as text".into());
                }
                None => {}
            }
        }
        let Some(peer) = &self.peer else {
            return Err("nobody is here: the line stays until somebody is".into());
        };
        if begun.peer != here.peer {
            let label = &peer.label;
            return Err(format!("{label} came while you typed: Enter again sends it to {label}"));
        }
        // What ends the session or answers an offer must pass when lines cannot.
        if self.input_sender.is_full() && !line.trim_start().starts_with('/') {
            return Err("the peer has to catch up first: the line stays here, try again".into());
        }
        Ok(Some(Input::LineTo { peer: peer.fingerprint.clone(), line: line.into() }))
    }

    /// Does what the view does by itself; false when the line is not of that kind.
    fn own_command(&mut self, line: &str, now: Now) -> bool {
        let (word, arguments) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (first, rest) = arguments.trim().split_once(char::is_whitespace).unwrap_or((arguments.trim(), ""));
        let word = word.to_lowercase();
        match word.as_str() {
            // For the test that a panic, too, gives the terminal back.
            #[cfg(debug_assertions)]
            "/panic!" => panic!("asked for"),
            "/clear" => self.chat.above.clear = true,
            "/bell" => {
                match first {
                    "on" | "off" => self.bell = first == "on",
                    "" => {}
                    _ => self.chat.say(now.wall, Paint::Alarm, "/bell on or /bell off"),
                }
                let state = if self.bell { "the bell is on" } else { "the bell is off" };
                self.chat.say(now.wall, Paint::Dim, state);
            }
            "/copy" => self.copy(first, now),
            "/save" => self.save(first, rest.trim_start(), now),
            "/help" => self.chat.notice(&Notice::Info(Info::Help), now),
            "/quit" | "/exit" => self.quit(),
            "/again" | "/stay" => drop(self.input_sender.send_now(Input::Line(word))),
            "/toward" => drop(self.input_sender.send_now(Input::Line(line.into()))),
            _ => return false,
        }
        true
    }

    fn copy(&mut self, wanted: &str, now: Now) {
        match self.chat.history.find(wanted) {
            Some((number, text)) => {
                self.chat.above.unseen.push_str(&clipboard::to_clipboard(text));
                let text = format!("message {number} goes to the clipboard, if this terminal allows it");
                self.chat.say(now.wall, Paint::Dim, &text);
            }
            None => self.chat.say(now.wall, Paint::Alarm, "no such message\n/copy N, or /copy for the last"),
        }
    }

    fn save(&mut self, wanted: &str, file: &str, now: Now) {
        let found = if wanted.is_empty() { None } else { self.chat.history.find(wanted) };
        let (paint, text) = match found {
            None => (Paint::Alarm, "no such message\n/save N FILE".to_owned()),
            Some(_) if file.is_empty() => (Paint::Alarm, "which file?\n/save N FILE".to_owned()),
            Some((number, text)) => {
                let path = self.expanded(file);
                match write_new(&path, text) {
                    Ok(()) => (Paint::Dim, format!("message {number} saved as {}", path.display())),
                    Err(error) => (Paint::Alarm, format!("cannot save {}: {}", path.display(), io_error_text(&error))),
                }
            }
        };
        self.chat.say(now.wall, paint, SafeText::with_hint(&text).as_str());
    }

    fn expanded(&self, file: &str) -> PathBuf {
        match (&self.home, file.strip_prefix("~/")) {
            (Some(home), Some(inside)) => home.join(inside),
            _ => file.into(),
        }
    }

    fn complete(&mut self) {
        let before = self.editor.text().get(..self.editor.cursor()).unwrap_or_default();
        let Some(completion) = completion::complete(before, &self.completion_context()) else { return };
        let changes = before.get(completion.start..) != Some(&completion.with);
        self.editor.replace_before_cursor(completion.start, &completion.with);
        if !changes {
            self.hints = in_columns(&completion.candidates, self.chat.columns.saturating_sub(1));
        }
    }

    fn walk_history(&mut self, key: Key) {
        let line = match key {
            Key::Up => self.history.older(self.editor.text()),
            _ => self.history.newer(),
        };
        if let Some(line) = line {
            self.editor.set(line);
        }
    }

    /// Handles a key while a search goes on; false when the search ends and the key has its usual meaning.
    fn search_key(&mut self, key: Key) -> bool {
        let Some(search) = &mut self.search else { return false };
        match key {
            Key::Backspace => {
                search.wanted.pop();
                search.back = 0;
            }
            Key::Search => {}
            Key::Escape => {
                self.search = None;
                return true;
            }
            _ => {
                self.search = None;
                return false;
            }
        }
        self.find();
        true
    }

    /// Shows the next line back that holds what is searched for.
    fn find(&mut self) {
        let Some(search) = &mut self.search else { return };
        match self.history.find(search) {
            _ if search.wanted.is_empty() => self.editor.set(&search.draft),
            Some(line) => self.editor.set(line),
            None => self.hint("nothing found"),
        }
    }
}

/// Writes a message to a file that does not exist yet.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    File::create_new(path)?.write_all(format!("{text}{end}").as_bytes())
}

/// `y`, `yes`, `n` and `no`.
fn answer(line: &str) -> Option<bool> {
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" => Some(true),
        "n" | "no" => Some(false),
        _ => None,
    }
}

/// Candidates side by side; when they take more rows than are shown, the last one says so.
fn in_columns(candidates: &[String], limit: usize) -> Vec<String> {
    let widest = candidates.iter().map(|name| Width::of(name).most).max().unwrap_or(0).min(CANDIDATE);
    let a_row = (limit / (widest + 2)).max(1);
    let fit = a_row * super::rows::HINT_ROWS;
    let (shown, hidden) =
        if candidates.len() > fit { (fit - a_row, candidates.len() - (fit - a_row)) } else { (fit, 0) };
    let mut rows: Vec<String> = candidates
        .chunks(a_row)
        .take(shown.div_ceil(a_row))
        .map(|chunk| {
            let cells: Vec<String> = chunk
                .iter()
                .map(|name| {
                    let cell = cut(name, CANDIDATE);
                    cell.to_string() + &" ".repeat((widest + 2).saturating_sub(Width::of(&cell).most))
                })
                .collect();
            cells.concat().trim_end().to_owned()
        })
        .collect();
    if hidden > 0 {
        rows.push(format!("and {hidden} more: type on"));
    }
    rows
}
