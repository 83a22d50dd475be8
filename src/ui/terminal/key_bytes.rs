//! From the bytes of a terminal on Unix to key presses.
//!
//! Beside keys, a terminal sends what some program asked it for: strings (OSC, DCS, SOS, PM, APC) and reports (CSI). Invariant: nothing of
//! such an answer becomes a key, and a byte that is no UTF-8 takes no good one along.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

/// The end of a bracketed paste.
const PASTE_END: &[u8] = b"\x1b[201~";
/// Bytes of a paste that are kept: more than the editor takes, which refuses it then.
const PASTE: usize = 1 << 20;
/// Bytes of parameters; no key has more.
const PARAMETERS: usize = 64;
const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// In a character of several bytes.
    Character,
    Escape,
    /// After `ESC [`.
    Csi,
    /// After `ESC O`.
    Ss3,
    /// In a string that a terminal sends, until BEL or `ESC \`.
    String,
    StringEscape,
    Paste,
}

/// Takes byte after byte.
#[derive(Debug, Default)]
pub(super) struct KeyParser {
    state: State,
    taken: Vec<u8>,
    alt: bool,
}

impl KeyParser {
    /// Whether what has begun is taken for something else, unless it goes on soon ([`KeyParser::pause`]).
    pub(super) fn is_ambiguous(&self) -> bool {
        match self.state {
            State::Ground | State::Paste | State::StringEscape => false,
            State::String => self.taken.is_empty(),
            State::Csi => matches!(self.taken.as_slice(), b"" | b"["),
            State::Character | State::Escape | State::Ss3 => true,
        }
    }

    /// Nothing came for a while: what had begun was a key by itself (Escape, or one with Alt that means nothing).
    pub(super) fn pause(&mut self) -> Option<Event> {
        let escape = self.state == State::Escape;
        self.reset();
        escape.then(|| key(KeyCode::Esc, KeyModifiers::NONE))
    }

    /// What is complete with this byte.
    pub(super) fn byte(&mut self, byte: u8) -> Option<Event> {
        match (self.state, byte) {
            (State::Ground, _) => self.ground(byte),
            (State::Character, _) => {
                self.taken.push(byte);
                self.character(byte)
            }
            (State::Escape, b'[') => self.enter(State::Csi),
            (State::Escape, b'O') => self.enter(State::Ss3),
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => self.enter(State::String),
            (State::Escape, ESCAPE) => Some(key(KeyCode::Esc, KeyModifiers::NONE)),
            (State::Escape, _) => {
                self.reset();
                self.alt = true;
                self.ground(byte)
            }
            (State::Csi | State::Ss3, ESCAPE) => self.enter(State::Escape),
            // The Linux console sends `ESC [ [` and a letter for function keys.
            (State::Csi, b' '..=b'?' | b'[') if self.taken.len() < PARAMETERS => {
                self.taken.push(byte);
                None
            }
            (State::Csi, b'~') if self.taken == b"200" => self.enter(State::Paste),
            (State::Csi, _) => {
                let event = sequence(byte, &self.taken);
                self.reset();
                event
            }
            (State::Ss3, _) => {
                self.reset();
                if byte == b'M' { Some(key(KeyCode::Enter, KeyModifiers::NONE)) } else { sequence(byte, b"") }
            }
            (State::String, ESCAPE) => {
                self.state = State::StringEscape;
                None
            }
            (State::String, b' '..) => {
                self.taken = vec![byte];
                None
            }
            // Other controls do not stand in a string, so that Enter or Ctrl-C ends one that was none.
            (State::String, BELL) | (State::StringEscape, b'\\') => self.enter(State::Ground),
            (State::String, _) => {
                self.reset();
                self.ground(byte)
            }
            (State::StringEscape, _) => {
                self.enter(State::Escape);
                self.byte(byte)
            }
            (State::Paste, _) => self.paste(byte),
        }
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn enter(&mut self, state: State) -> Option<Event> {
        *self = Self { state, ..Self::default() };
        None
    }

    fn ground(&mut self, byte: u8) -> Option<Event> {
        let alt = if self.alt { KeyModifiers::ALT } else { KeyModifiers::NONE };
        match byte {
            ESCAPE => return self.enter(State::Escape),
            0x80.. => {
                self.state = State::Character;
                self.taken = vec![byte];
                return self.character(byte);
            }
            _ => self.reset(),
        }
        match byte {
            b'\r' => Some(key(KeyCode::Enter, alt)),
            b'\t' => Some(key(KeyCode::Tab, alt)),
            0x7f => Some(key(KeyCode::Backspace, alt)),
            1..=26 => Some(key(KeyCode::Char(char::from(byte + b'a' - 1)), alt | KeyModifiers::CONTROL)),
            b' '..=b'~' => Some(key(KeyCode::Char(char::from(byte)), alt)),
            _ => None,
        }
    }

    /// Sees whether the bytes are a character; `last` is the last of them.
    fn character(&mut self, last: u8) -> Option<Event> {
        let alt = if self.alt { KeyModifiers::ALT } else { KeyModifiers::NONE };
        match str::from_utf8(&self.taken) {
            Ok(text) => {
                let character = text.chars().next();
                self.reset();
                character.map(|character| key(KeyCode::Char(character), alt))
            }
            Err(error) if error.error_len().is_none() => None,
            Err(_) => {
                let begins_anew = self.taken.len() > 1;
                self.reset();
                if begins_anew { self.ground(last) } else { None }
            }
        }
    }

    fn paste(&mut self, byte: u8) -> Option<Event> {
        self.taken.push(byte);
        if let Some(pasted) = self.taken.strip_suffix(PASTE_END) {
            let text = String::from_utf8_lossy(pasted).into_owned();
            self.reset();
            return Some(Event::Paste(text));
        }
        if self.taken.len() > PASTE {
            self.taken.drain(..PASTE / 2);
        }
        None
    }
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Event {
    Event::Key(KeyEvent::new(code, modifiers))
}

/// A control sequence; none for the many that are no key.
fn sequence(last: u8, parameters: &[u8]) -> Option<Event> {
    let text = str::from_utf8(parameters).ok()?;
    let mut numbers = text.split(';').map(|number| number.parse::<u32>());
    let (first, second, third) = (numbers.next(), numbers.next(), numbers.next());
    if !text.is_empty() && !matches!(first, Some(Ok(_))) {
        return None;
    }
    let first = first.and_then(Result::ok);
    let bits = second.and_then(Result::ok).unwrap_or(1).saturating_sub(1);
    let mut modifiers = KeyModifiers::NONE;
    for (bit, modifier) in [(1, KeyModifiers::SHIFT), (2, KeyModifiers::ALT), (4, KeyModifiers::CONTROL)] {
        if bits & bit != 0 {
            modifiers |= modifier;
        }
    }
    let code = match (last, first) {
        (b'A', _) => KeyCode::Up,
        (b'B', _) => KeyCode::Down,
        (b'C', _) => KeyCode::Right,
        (b'D', _) => KeyCode::Left,
        (b'H', _) | (b'~', Some(1 | 7)) => KeyCode::Home,
        (b'F', _) | (b'~', Some(4 | 8)) => KeyCode::End,
        (b'~', Some(3)) => KeyCode::Delete,
        (b'I', None) => return Some(Event::FocusGained),
        (b'O', None) => return Some(Event::FocusLost),
        // Keys that are written as a character and modifiers, where the user has set the terminal so.
        (b'u', Some(code)) => character_key(code)?,
        (b'~', Some(27)) => character_key(third?.ok()?)?,
        _ => return None,
    };
    Some(key(code, modifiers))
}

fn character_key(code: u32) -> Option<KeyCode> {
    Some(match code {
        9 => KeyCode::Tab,
        13 => KeyCode::Enter,
        27 => KeyCode::Esc,
        8 | 127 => KeyCode::Backspace,
        code => KeyCode::Char(char::from_u32(code).filter(|character| !character.is_control())?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Characters, named keys and pastes in a row; a pause at the end.
    fn keys(bytes: &[u8]) -> String {
        let mut parser = KeyParser::default();
        let mut events: Vec<Event> = bytes.iter().filter_map(|byte| parser.byte(*byte)).collect();
        if parser.is_ambiguous() {
            events.extend(parser.pause());
        }
        let name = |event| match event {
            Event::Key(KeyEvent { code: KeyCode::Char(c), modifiers: KeyModifiers::NONE, .. }) => c.to_string(),
            Event::Key(KeyEvent { code, modifiers, .. }) => format!("<{modifiers:?} {code:?}>"),
            Event::Paste(text) => format!("<paste {text:?}>"),
            other => format!("<{other:?}>"),
        };
        events.into_iter().map(name).collect()
    }

    #[test]
    fn keys_come_through_and_answers_and_bad_bytes_do_not() {
        let none = KeyModifiers::NONE;
        let named = |modifiers: KeyModifiers, code: KeyCode| format!("<{modifiers:?} {code:?}>");
        for (bytes, expected) in [
            (&b"a\xe9bcd"[..], "abcd".to_owned()),
            (b"a\xe2\x82b\xffc\x80d", "abcd".into()),
            ("é日👍".as_bytes(), "é日👍".into()),
            (b"a\x1b]11;rgb:0000/0000/0000\x1b\\b\x1b]10;x\x07c", "abc".into()),
            (b"a\x1bP1+r544e=787465726d\x1b\\b\x1b_G;OK\x1b\\c", "abc".into()),
            (b"a\x1b[?62;22cb\x1b[5;10Rc\x1b[?1u\x1b[>0;276;0cd", "abcd".into()),
            (b"\x1b]stuck\ra", format!("{}a", named(none, KeyCode::Enter))),
            (b"\x1b[A\x1bOB", named(none, KeyCode::Up) + &named(none, KeyCode::Down)),
            (b"\x1b[1;5C\x1b[3~", named(KeyModifiers::CONTROL, KeyCode::Right) + &named(none, KeyCode::Delete)),
            (b"\x1bb\x1b\r", named(KeyModifiers::ALT, KeyCode::Char('b')) + &named(KeyModifiers::ALT, KeyCode::Enter)),
            (b"\x1b[13;2u", named(KeyModifiers::SHIFT, KeyCode::Enter)),
            (b"\x01\x7f", named(KeyModifiers::CONTROL, KeyCode::Char('a')) + &named(none, KeyCode::Backspace)),
            (b"\x1b", named(none, KeyCode::Esc)),
            (b"\x1b[[Aa", "a".into()),
            (b"\x1b[200~x\x1b[Ay\r\n\x1b]z\x1b[201~q", r#"<paste "x\u{1b}[Ay\r\n\u{1b}]z">q"#.into()),
            (b"\x1b[I\x1b[O", "<FocusGained><FocusLost>".into()),
        ] {
            assert_eq!(keys(bytes), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn typing_goes_on_after_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assume!(!bytes.windows(6).any(|six| six == b"\x1b[200~"));
            let mut parser = KeyParser::default();
            bytes.iter().for_each(|byte| drop(parser.byte(*byte)));
            // Enter ends whatever had begun, but a report that is not complete.
            let typed: Vec<Event> = b"\r\rx".iter().filter_map(|byte| parser.byte(*byte)).collect();
            prop_assert_eq!(typed.last(), Some(&key(KeyCode::Char('x'), KeyModifiers::NONE)));
        }
    }
}
