//! Keys and lines: what each key does, and which lines the face does by itself.

use super::{Face, Input, Key, Now, Paint, Question, Search, TWICE, completion};
use crate::error_text::io_error_text;
use crate::protocol::frame::LINE_TEXT;
use crate::ui::terminal::kept;
use crate::ui::terminal::style::cut;
use crate::ui::words;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Candidates are shown in columns of at most this width.
const CANDIDATE: usize = 24;
/// Columns of the rows of candidates.
const CANDIDATES: usize = 76;

impl Face {
    pub(super) fn key(&mut self, key: Key, now: Now) {
        if let Some(question) = self.question.take()
            && self.answered(question, key)
        {
            return;
        }
        if key == Key::Interrupt {
            return self.interrupt(now);
        }
        self.settle_passing();
        if self.search.is_some() && self.search_key(key) {
            return;
        }
        match key {
            Key::Enter => self.enter(now),
            Key::Tab => self.complete(),
            Key::Clear => self.clear = true,
            Key::Suspend => self.suspend = true,
            Key::Search => self.search = Some(Search::from(self.editor.text())),
            Key::DeleteOrQuit if self.editor.is_empty() => self.quit("/quit"),
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

    /// Whether `key` answers the question or waves it away, and is done with that.
    fn answered(&mut self, question: Question, key: Key) -> bool {
        self.settle_passing();
        let yes = matches!(key, Key::Insert('y' | 'Y'))
            || (question == Question::Leave && key == Key::Interrupt)
            || (question == Question::Quit && key == Key::DeleteOrQuit);
        if yes {
            self.leaving = true;
            self.intake.send_now(match question {
                Question::Quit => Input::Line("/quit".into()),
                Question::Leave => Input::Interrupt,
            });
        }
        yes || matches!(key, Key::Insert('n' | 'N') | Key::Escape | Key::Enter)
    }

    pub(super) fn question_text(&self, question: Question) -> String {
        let running = self.transfers.running();
        let open = words::count(u64::try_from(running).unwrap_or(u64::MAX), "transfer");
        // Short enough for a narrow terminal, where it must still be read as a whole.
        match question {
            Question::Quit => format!("{open} open: quit when done? y/n"),
            Question::Leave => format!("{open} open: leave now? y/n"),
        }
    }

    fn interrupt(&mut self, now: Now) {
        self.search = None;
        let twice = self.interrupted.take().is_some_and(|at| now.at < at + TWICE);
        self.settle_passing();
        if !self.editor.is_empty() {
            self.editor.take();
        } else if !twice {
            self.interrupted = Some(now.at);
            self.hint("Ctrl-C again leaves, /help helps");
        } else if self.transfers.running() > 0 && !self.leaving {
            self.question = Some(Question::Leave);
        } else {
            self.leaving = true;
            self.intake.send_now(Input::Interrupt);
        }
    }

    fn quit(&mut self, line: &str) {
        if self.transfers.running() > 0 && !self.leaving {
            self.question = Some(Question::Quit);
        } else {
            self.leaving = true;
            self.intake.send_now(Input::Line(line.into()));
        }
    }

    fn enter(&mut self, now: Now) {
        let line = self.editor.text().to_owned();
        if line.trim().is_empty() {
            self.editor.take();
            return;
        }
        if line.len() > LINE_TEXT {
            return self.hint(format!("a line holds {LINE_TEXT} bytes, this has {}: /send it as a file", line.len()));
        }
        if let Some(input) = self.own_command(&line, now) {
            let Ok(input) = input else { return };
            // What ends the session or answers an offer must pass when lines cannot.
            if self.intake.is_full() && !input.starts_with('/') {
                return self.hint("the peer has to catch up first: the line stays here, try again");
            }
            self.intake.send_now(Input::Line(input));
        }
        self.editor.take();
        if let Err(error) = self.history.add(&line) {
            self.chat.say(now.wall, Paint::Alarm, &format!("cannot keep the history: {}", io_error_text(&error)));
        }
    }

    /// Does what the face does by itself: None when it is done, an error when the line has to stay, else the line for
    /// the session.
    fn own_command(&mut self, line: &str, now: Now) -> Option<Result<String, ()>> {
        let mut words = line.trim().splitn(3, ' ').map(str::trim);
        let (word, first, rest) = (words.next()?, words.next().unwrap_or(""), words.next().unwrap_or(""));
        match word {
            _ if line.trim_end().contains('\n') => return Some(Ok(line.into())),
            // For the test that a panic, too, gives the terminal back.
            #[cfg(debug_assertions)]
            "/panic!" => panic!("asked for"),
            "/clear" => self.clear = true,
            "/bell" => match first {
                "on" | "off" => self.bell = first == "on",
                _ => self.chat.say(now.wall, Paint::Alarm, "/bell on or /bell off"),
            },
            "/copy" => self.copy(first, now),
            "/save" => self.save(first, rest, now),
            "/quit" | "/exit" => self.quit(word),
            "y" | "Y" | "n" | "N" => return self.answer(line, word.eq_ignore_ascii_case("y")),
            _ => return Some(Ok(line.into())),
        }
        None
    }

    /// Turns `y` and `n` into the answer to the only open offer; without one they are chat.
    fn answer(&mut self, line: &str, yes: bool) -> Option<Result<String, ()>> {
        Some(match self.transfers.asking().as_slice() {
            [] => Ok(line.into()),
            [only] => Ok(format!("{} {only}", if yes { "/accept" } else { "/decline" })),
            several => {
                let ids: Vec<String> = several.iter().map(u32::to_string).collect();
                self.hint(format!("offers {} are open: /accept ID or /decline ID", ids.join(" and ")));
                Err(())
            }
        })
    }

    fn copy(&mut self, wanted: &str, now: Now) {
        match self.chat.kept().find(wanted) {
            Some((number, text)) => {
                self.unshown.push_str(&kept::to_clipboard(text));
                let text = format!("message {number} goes to the clipboard, if this terminal allows it");
                self.chat.say(now.wall, Paint::Dim, &text);
            }
            None => self.chat.say(now.wall, Paint::Alarm, "no such message\n/copy N, or /copy for the last"),
        }
    }

    fn save(&mut self, wanted: &str, file: &str, now: Now) {
        let found = if wanted.is_empty() { None } else { self.chat.kept().find(wanted) };
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
        self.chat.say(now.wall, paint, &text);
    }

    fn expanded(&self, file: &str) -> PathBuf {
        match (&self.home, file.strip_prefix("~/")) {
            (Some(home), Some(inside)) => home.join(inside),
            _ => file.into(),
        }
    }

    fn complete(&mut self) {
        let before = self.editor.text().get(..self.editor.cursor()).unwrap_or_default();
        let Some(completion) = completion::complete(before, &self.known()) else { return };
        let changes = before.get(completion.start..) != Some(&completion.with);
        self.editor.replace_before_cursor(completion.start, &completion.with);
        if !changes {
            self.passing = in_columns(&completion.candidates);
        }
    }

    fn walk_history(&mut self, key: Key) {
        let line = match key {
            Key::Up => self.history.older(self.editor.text()),
            _ => self.history.newer(),
        };
        if let Some(line) = line {
            let line = line.to_owned();
            self.editor.set(&line);
        }
    }

    /// Handles a key while a search goes on; false when the search ends and the key has its usual meaning.
    fn search_key(&mut self, key: Key) -> bool {
        let Some(search) = &mut self.search else { return false };
        let further = key == Key::Search;
        match key {
            Key::Insert(character) => {
                search.wanted.push(character);
                search.rewind();
            }
            Key::Backspace => {
                search.wanted.pop();
                search.rewind();
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
        match self.history.find(search, further) {
            Some(line) if !search.wanted.is_empty() => {
                let line = line.to_owned();
                self.editor.set(&line);
            }
            _ if search.wanted.is_empty() => {
                let draft = search.draft.clone();
                self.editor.set(&draft);
            }
            _ => self.hint("nothing found"),
        }
        true
    }
}

/// Writes a message to a file that does not exist yet.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        file.write_all(b"\n")?;
    }
    Ok(())
}

/// Candidates side by side, as many rows as it takes; the screen cuts them.
fn in_columns(candidates: &[String]) -> Vec<String> {
    let a_row = CANDIDATES / (CANDIDATE + 1);
    candidates
        .chunks(a_row)
        .map(|chunk| {
            let cells: Vec<String> = chunk.iter().map(|name| format!("{:CANDIDATE$}", cut(name, CANDIDATE))).collect();
            cells.join(" ").trim_end().to_owned()
        })
        .collect()
}
