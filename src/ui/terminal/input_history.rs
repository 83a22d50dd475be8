//! Lines sent before, for Up, Down and Ctrl-R; on disk only when a file is given.
//!
//! Invariant: going through the history and back never loses the draft, the line that was being typed.

use crate::private_file;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Lines that are kept.
const LINES: usize = 1000;
/// Bytes of a history file that are read; the file is rewritten shorter long before it gets there.
const FILE_BYTES: u64 = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct InputHistory {
    /// Oldest first.
    lines: VecDeque<String>,
    /// How far back from the newest the walk is; 0 is the draft.
    back: usize,
    draft: String,
    file: Option<PathBuf>,
}

/// A search backwards for a piece of text.
#[derive(Debug, Default)]
pub(super) struct HistorySearch {
    pub(super) wanted: String,
    /// The line that matches, counted from the newest; 0 before there is one, and after `wanted` has changed.
    pub(super) back: usize,
    /// The line before the search began.
    pub(super) draft: String,
}

impl InputHistory {
    /// With the lines of a file, which is made (0600) when it is missing.
    ///
    /// # Errors
    /// When the file cannot be made, read or written.
    pub(super) fn open(file: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        open(file)?.take(FILE_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut history = Self { file: Some(file.into()), ..Self::default() };
        let mut read = 0;
        for line in text.lines().filter(|line| !line.is_empty()) {
            history.keep(&unescaped(line));
            read += 1;
        }
        if read > 2 * LINES {
            history.shorten(file)?;
        }
        Ok(history)
    }

    /// Adds a line that was sent.
    ///
    /// # Errors
    /// When it cannot be written to the file; it is kept in memory all the same.
    pub(super) fn add(&mut self, line: &str) -> io::Result<()> {
        self.back = 0;
        self.draft.clear();
        if self.lines.back().is_some_and(|last| last == line) {
            return Ok(());
        }
        self.keep(line);
        match &self.file {
            Some(file) => open(file)?.write_all(format!("{}\n", escaped(line)).as_bytes()),
            None => Ok(()),
        }
    }

    /// One line back from `current`; None when there is none older.
    pub(super) fn older(&mut self, current: &str) -> Option<&str> {
        if self.back == 0 {
            current.clone_into(&mut self.draft);
        }
        if self.back >= self.lines.len() {
            return None;
        }
        self.back += 1;
        self.at(self.back)
    }

    /// One line on, in the end the draft; None when already there.
    pub(super) fn newer(&mut self) -> Option<&str> {
        self.back = self.back.checked_sub(1)?;
        if self.back == 0 { Some(&self.draft) } else { self.at(self.back) }
    }

    /// The next line back that holds what `search` wants.
    pub(super) fn find(&self, search: &mut HistorySearch) -> Option<&str> {
        let mut older = search.back + 1..=self.lines.len();
        search.back = older.find(|&back| self.at(back).is_some_and(|line| line.contains(&search.wanted)))?;
        self.at(search.back)
    }

    fn at(&self, back: usize) -> Option<&str> {
        self.lines.get(self.lines.len().checked_sub(back)?).map(String::as_str)
    }

    fn keep(&mut self, line: &str) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.into());
    }

    /// Writes the kept lines alone.
    fn shorten(&self, file: &Path) -> io::Result<()> {
        let lines: String = self.lines.iter().map(|line| format!("{}\n", escaped(line))).collect();
        private_file::replace(file, lines.as_bytes())
    }
}

fn open(file: &Path) -> io::Result<File> {
    private_file::append(file, private_file::options().read(true))
}

/// A message on one line of the file.
fn escaped(line: &str) -> String {
    line.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescaped(line: &str) -> String {
    // Nobody types NUL.
    line.replace("\\\\", "\0").replace("\\n", "\n").replace('\0', "\\")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn with(lines: &[&str]) -> InputHistory {
        let mut history = InputHistory::default();
        for line in lines {
            history.add(line).unwrap();
        }
        history
    }

    #[test]
    fn going_back_and_on_again_keeps_the_draft() {
        let mut history = with(&["one", "two"]);
        assert_eq!(history.older("half typ"), Some("two"));
        assert_eq!(history.older("two"), Some("one"));
        assert_eq!(history.older("one"), None);
        assert_eq!(history.newer(), Some("two"));
        assert_eq!(history.newer(), Some("half typ"));
        assert_eq!(history.newer(), None);
    }

    #[test]
    fn the_same_line_twice_is_kept_once_and_old_ones_go() {
        let mut history = with(&["same", "same"]);
        assert_eq!(history.lines.len(), 1);
        for number in 0..2 * LINES {
            history.add(&number.to_string()).unwrap();
        }
        assert_eq!(history.lines.len(), LINES);
    }

    #[test]
    fn a_search_goes_further_back_each_time() {
        let history = with(&["/send a", "hello", "/send b", "world"]);
        let mut search = HistorySearch { wanted: "send".into(), ..HistorySearch::default() };
        assert_eq!(history.find(&mut search), Some("/send b"));
        assert_eq!(history.find(&mut search), Some("/send a"));
        assert_eq!(history.find(&mut search), None);
        search.wanted = "wor".into();
        search.back = 0;
        assert_eq!(history.find(&mut search), Some("world"));
    }

    #[test]
    fn the_file_keeps_messages_of_many_lines_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history");
        fs::write(&file, "older\n").unwrap();
        let mut history = InputHistory::open(&file).unwrap();
        history.add("two\nlines \\n and a backslash").unwrap();
        let mut again = InputHistory::open(&file).unwrap();
        assert_eq!(again.older(""), Some("two\nlines \\n and a backslash"));
        assert_eq!(again.older(""), Some("older"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_long_file_is_rewritten_shorter() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history");
        let long: String = (0..3 * LINES).map(|number| format!("{number}\n")).collect();
        fs::write(&file, long).unwrap();
        InputHistory::open(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), LINES);
    }
}
