//! The line in which a code is typed: what a key does to it, and what it looks like. No terminal here.
//!
//! A code is shown as it is typed: it is told over the phone, is worth nothing once used, and is easier to type when it is seen.

use crate::channel::{Code, CodeError};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use zeroize::Zeroizing;

/// What stands before the code.
const LABEL: &str = "code: ";
/// Bytes of a code that may be typed: room for any that a person chooses.
const LONGEST: usize = 256;
/// How a code is typed that has the form of a made one and was none.
const BY_HAND: &str = "(a code of your own: without dashes)";
/// Words that one Tab shows.
const SHOWN: usize = 8;
/// The word behind the number of a code that was made; a dash follows it, and none the next.
const LAST_PART: usize = 2;

/// The code so far, and what is said about it.
pub(super) struct Prompt {
    text: Zeroizing<String>,
    /// Rows below the code.
    hint: String,
    /// What Tab puts in its place.
    proposed: Option<String>,
}

/// What comes of a key.
#[derive(Debug)]
pub(super) enum Step {
    Show,
    Done(Code),
    Leave,
}

impl Prompt {
    pub(super) fn new() -> Self {
        let hint = "Tab completes a word".to_owned();
        // All the room at once: a string that grows leaves unwiped copies behind.
        Self { text: Zeroizing::new(String::with_capacity(LONGEST)), hint, proposed: None }
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Step {
        self.hint.clear();
        let proposed = self.proposed.take();
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if control => return Step::Leave,
            KeyCode::Char('u') if control => self.text.clear(),
            KeyCode::Char('w') if control => self.drop_part(),
            KeyCode::Char('h') if control => drop(self.text.pop()),
            KeyCode::Char('j' | 'm') if control => return self.enter(),
            KeyCode::Char(_) if control => {}
            KeyCode::Char(c) => self.add(c),
            KeyCode::Backspace => drop(self.text.pop()),
            KeyCode::Tab => match proposed {
                Some(proposed) => self.replace(&proposed),
                None => self.complete(),
            },
            KeyCode::Enter => return self.enter(),
            _ => {}
        }
        Step::Show
    }

    /// Sequences that put the line and, below it, the hint in the place of what was shown before, with the cursor behind the code.
    pub(super) fn frame(&self, columns: u16) -> Zeroizing<String> {
        // What does not fit is not drawn: a line that wraps could not be taken back.
        let columns = usize::from(columns);
        let room = columns.saturating_sub(LABEL.len() + 1);
        let from = self.text.ceil_char_boundary(self.text.len().saturating_sub(room));
        let seen = self.text.get(from..).unwrap_or_default();
        let mut hint = String::new();
        for line in self.hint.split('\n') {
            hint.push_str("\r\n");
            hint.extend(line.chars().take(columns.saturating_sub(1)));
        }
        let up = self.hint.split('\n').count();
        let column = LABEL.len() + seen.chars().count();
        Zeroizing::new(format!("\r\x1b[J{LABEL}{seen}{hint}\x1b[{up}A\r\x1b[{column}C"))
    }

    /// A code in the form of a made one that no listener can have made is not tried, since every wrong one costs the listener a
    /// try. A code that was chosen by hand and looks like that can be typed without its dashes, which do not count.
    fn enter(&mut self) -> Step {
        if let Some(corrected) = Code::corrected(&self.text) {
            self.hint = format!("no such word; Tab: {corrected}\n{BY_HAND}");
            self.proposed = Some(corrected);
            return Step::Show;
        }
        match Code::new(&self.text) {
            Ok(code) => Step::Done(code),
            Err(error) => {
                self.hint = error.to_string();
                Step::Show
            }
        }
    }

    fn replace(&mut self, text: &str) {
        self.text.clear();
        self.text.push_str(text);
    }

    fn add(&mut self, c: char) {
        // Spaces and dashes are the same to a code, and a dash is easier to see.
        let c = if c == ' ' { '-' } else { c };
        if !c.is_ascii() && c.is_alphanumeric() {
            self.hint = CodeError::NotAscii(c).to_string();
        } else if c.is_ascii_graphic() && self.text.len() < LONGEST {
            self.text.push(c);
        }
    }

    fn drop_part(&mut self) {
        let kept = self.text.trim_end_matches('-').rfind('-').map_or(0, |dash| dash + 1);
        self.text.truncate(kept);
    }

    /// Completes the part that is being typed as far as it can be only one, else shows what it could be.
    fn complete(&mut self) {
        let start = self.text.rfind('-').map_or(0, |dash| dash + 1);
        let part = self.text.matches('-').count();
        let typed = Zeroizing::new(self.text.get(start..).unwrap_or_default().to_ascii_lowercase());
        if part == 0 {
            if !typed.is_empty() && typed.bytes().all(|byte| byte.is_ascii_digit()) {
                self.text.push('-');
            }
            return;
        }
        let words = Code::words(&typed);
        let Some(first) = words.first() else {
            self.hint = "no word begins like this; a code chosen by hand is typed in full".to_owned();
            return;
        };
        let common = words.iter().fold(first.len(), |common, word| {
            let same = first.bytes().zip(word.bytes()).take_while(|(left, right)| left == right).count();
            common.min(same)
        });
        let longer = first.get(..common).filter(|_| start + common < LONGEST).unwrap_or(&typed);
        let grew = longer.len() > typed.len();
        self.text.truncate(start);
        self.text.push_str(longer);
        match words.as_slice() {
            [_] if part < LAST_PART => self.text.push('-'),
            [_] => {}
            _ if grew || typed.is_empty() => self.hint = format!("{} words begin like this", words.len()),
            several => self.hint = shown(several),
        }
    }
}

/// The first few words, and how many more there are.
fn shown(words: &[String]) -> String {
    let first: Vec<&str> = words.iter().take(SHOWN).map(String::as_str).collect();
    let more = words.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", first.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands there after these keys: `\t` and `\u{8}` are Tab and Backspace.
    fn typed(keys: &str) -> Prompt {
        let mut prompt = Prompt::new();
        for c in keys.chars() {
            let code = match c {
                '\t' => KeyCode::Tab,
                '\u{8}' => KeyCode::Backspace,
                c => KeyCode::Char(c),
            };
            prompt.key(KeyEvent::new(code, KeyModifiers::NONE));
        }
        prompt
    }

    fn key(prompt: &mut Prompt, code: KeyCode, modifiers: KeyModifiers) -> Step {
        prompt.key(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn a_word_with_a_dash_is_completed_without_it_and_means_the_same() {
        assert_eq!(*typed("1-tshi\tyoy\t").text, "1-tshirt-yoyo");
    }

    #[test]
    fn what_no_word_begins_with_stays_as_it_was_typed() {
        assert_eq!(*typed("my-own-xqz\t").text, "my-own-xqz");
        assert_eq!(*typed("\t").text, "");
        assert_eq!(*typed("otter\t").text, "otter");
    }

    #[test]
    fn spaces_are_dashes_and_mistakes_can_be_taken_back() {
        assert_eq!(*typed("4 ottex\u{8}r").text, "4-otter");
        let mut prompt = typed("4-otter-plum");
        key(&mut prompt, KeyCode::Char('w'), KeyModifiers::CONTROL);
        assert_eq!(*prompt.text, "4-otter-");
        key(&mut prompt, KeyCode::Char('w'), KeyModifiers::CONTROL);
        assert_eq!(*prompt.text, "4-");
    }

    #[test]
    fn a_code_of_nothing_is_not_taken() {
        let mut prompt = typed("--");
        assert!(matches!(key(&mut prompt, KeyCode::Enter, KeyModifiers::NONE), Step::Show));
        assert!(prompt.hint.contains("letter or digit"), "{}", prompt.hint);
    }

    #[test]
    fn a_letter_that_would_not_count_is_named_and_not_taken() {
        let prompt = typed("1-o\u{fc}\u{1b}");
        assert_eq!(*prompt.text, "1-o");
        assert!(typed("1-o\u{fc}").hint.contains('\u{fc}'));
    }

    #[test]
    fn control_c_and_control_d_leave() {
        for c in ['c', 'd'] {
            assert!(matches!(key(&mut typed("4"), KeyCode::Char(c), KeyModifiers::CONTROL), Step::Leave));
        }
    }

    #[test]
    fn a_frame_fits_its_columns_with_the_cursor_behind_the_code() {
        let mut terminal = vt100::Parser::new(4, 24, 0);
        let mut prompt = typed("42-otter-plum");
        terminal.process(prompt.frame(24).as_bytes());
        assert_eq!(terminal.screen().contents(), "code: 42-otter-plum");
        assert_eq!(terminal.screen().cursor_position(), (0, 19));
        for _ in 0..40 {
            prompt.key(KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE));
        }
        prompt.hint = format!("{}\nz", "y".repeat(80));
        terminal.process(prompt.frame(24).as_bytes());
        assert_eq!(terminal.screen().contents(), format!("code: {}\n{}\nz", "x".repeat(17), "y".repeat(23)));
        assert_eq!(terminal.screen().cursor_position(), (0, 23));
    }
}
