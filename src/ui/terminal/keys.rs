//! Translates key presses to actions: the Emacs set that shells have.

use crossterm::event::{Event as Reported, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::sync::mpsc::Sender;

/// What a key press asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Newline,
    Enter,
    Tab,
    Escape,
    Left,
    Right,
    WordLeft,
    WordRight,
    Up,
    Down,
    Start,
    End,
    Backspace,
    Delete,
    /// Delete, or the end of input when there is nothing to delete (Ctrl-D).
    DeleteOrQuit,
    KillToEnd,
    KillToStart,
    /// Back to the blank before (Ctrl-W).
    KillBlankWord,
    /// Back over one word (Alt-Backspace).
    KillWordLeft,
    KillWordRight,
    Yank,
    Transpose,
    Clear,
    Search,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-X: a second key follows.
    Prefix,
}

/// What the terminal reports.
#[derive(Debug)]
pub(super) enum TerminalEvent {
    Key(Key),
    /// Typed, as much as was there at once.
    Text(String),
    /// Pasted as one piece.
    Paste(String),
    /// The terminal gained or lost the focus.
    Focus(bool),
    Resized,
    /// The message is to be edited by another program, which gets the terminal. The input thread waits for the text, and for that program.
    Edit(Sender<String>),
    /// It ended: the message, or why it is as it was.
    Edited(Result<String, String>),
    /// The process goes on after a stop.
    #[cfg_attr(not(unix), expect(dead_code, reason = "only Unix stops and continues a program"))]
    Continued,
    /// No more events will come.
    Ended,
}

/// What a report of the terminal means; None when nothing is to be done.
pub(super) fn translate(reported: Reported) -> Option<TerminalEvent> {
    match reported {
        Reported::Key(key) if key.kind != KeyEventKind::Release => translate_key(key),
        Reported::Paste(text) => Some(TerminalEvent::Paste(text)),
        Reported::FocusGained => Some(TerminalEvent::Focus(true)),
        Reported::FocusLost => Some(TerminalEvent::Focus(false)),
        Reported::Resize(..) => Some(TerminalEvent::Resized),
        Reported::Key(_) | Reported::Mouse(_) => None,
    }
}

/// What a press of Enter means where pastes come as key presses: with another right behind it, it is a newline of a paste. Also gives the
/// next report that means something; the release of Enter itself, which comes with it, is none.
#[cfg(any(not(unix), test))]
pub(super) fn enter_before(next: impl FnMut() -> Option<Reported>) -> (Key, Option<Reported>) {
    let behind = std::iter::from_fn(next).find(|reported| translate(reported.clone()).is_some());
    (if matches!(behind, Some(Reported::Key(_))) { Key::Newline } else { Key::Enter }, behind)
}

fn translate_key(key: KeyEvent) -> Option<TerminalEvent> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    Some(TerminalEvent::Key(match key.code {
        // Both together is how some systems report AltGr, which writes a character.
        KeyCode::Char(character) if control == alt => return Some(TerminalEvent::Text(character.into())),
        KeyCode::Char(character) if control => with_control(character.to_ascii_lowercase())?,
        KeyCode::Char(character) => with_alt(character.to_ascii_lowercase())?,
        KeyCode::Enter if alt || control || key.modifiers.contains(KeyModifiers::SHIFT) => Key::Newline,
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab => Key::Tab,
        KeyCode::Esc => Key::Escape,
        KeyCode::Left if control || alt => Key::WordLeft,
        KeyCode::Left => Key::Left,
        KeyCode::Right if control || alt => Key::WordRight,
        KeyCode::Right => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Home => Key::Start,
        KeyCode::End => Key::End,
        KeyCode::Backspace if control || alt => Key::KillWordLeft,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete if control || alt => Key::KillWordRight,
        KeyCode::Delete => Key::Delete,
        _ => return None,
    }))
}

fn with_control(character: char) -> Option<Key> {
    Some(match character {
        'a' => Key::Start,
        'b' => Key::Left,
        'c' => Key::Interrupt,
        'd' => Key::DeleteOrQuit,
        'e' => Key::End,
        'f' => Key::Right,
        'g' => Key::Escape,
        'h' => Key::Backspace,
        'i' => Key::Tab,
        'j' => Key::Newline,
        'k' => Key::KillToEnd,
        'l' => Key::Clear,
        'm' => Key::Enter,
        'n' => Key::Down,
        'p' => Key::Up,
        'r' => Key::Search,
        't' => Key::Transpose,
        'u' => Key::KillToStart,
        'w' => Key::KillBlankWord,
        'x' => Key::Prefix,
        'y' => Key::Yank,
        'z' => Key::Suspend,
        _ => return None,
    })
}

fn with_alt(character: char) -> Option<Key> {
    Some(match character {
        'b' => Key::WordLeft,
        'd' => Key::KillWordRight,
        'f' => Key::WordRight,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
        match translate(Reported::Key(KeyEvent::new(code, modifiers))) {
            Some(TerminalEvent::Key(key)) => Some(key),
            _ => None,
        }
    }

    #[test]
    fn the_emacs_keys_mean_what_fingers_expect() {
        let control = KeyModifiers::CONTROL;
        for (character, key) in [
            ('a', Key::Start),
            ('e', Key::End),
            ('k', Key::KillToEnd),
            ('u', Key::KillToStart),
            ('w', Key::KillBlankWord),
            ('y', Key::Yank),
            ('t', Key::Transpose),
            ('j', Key::Newline),
            ('r', Key::Search),
            ('z', Key::Suspend),
        ] {
            assert_eq!(press(KeyCode::Char(character), control), Some(key));
        }
        assert_eq!(press(KeyCode::Enter, KeyModifiers::ALT), Some(Key::Newline));
        assert_eq!(press(KeyCode::Left, KeyModifiers::ALT), Some(Key::WordLeft));
        assert_eq!(press(KeyCode::Right, control), Some(Key::WordRight));
        assert_eq!(press(KeyCode::Char('b'), KeyModifiers::ALT), Some(Key::WordLeft));
    }

    #[test]
    fn altgr_writes_and_a_release_does_nothing() {
        let both = KeyModifiers::CONTROL | KeyModifiers::ALT;
        let typed = translate(Reported::Key(KeyEvent::new(KeyCode::Char('@'), both)));
        assert!(matches!(typed, Some(TerminalEvent::Text(text)) if text == "@"));
        let release = KeyEvent::new_with_kind(KeyCode::Enter, KeyModifiers::NONE, KeyEventKind::Release);
        assert!(translate(Reported::Key(release)).is_none());
    }

    #[test]
    fn enter_is_a_newline_only_right_before_another_key() {
        let key = |code, kind| Reported::Key(KeyEvent::new_with_kind(code, KeyModifiers::NONE, kind));
        let released = key(KeyCode::Enter, KeyEventKind::Release);
        let pressed = key(KeyCode::Char('b'), KeyEventKind::Press);
        let resized = Reported::Resize(80, 24);
        for (reported, means) in [
            (vec![], (Key::Enter, None)),
            (vec![released.clone()], (Key::Enter, None)),
            (vec![released.clone(), pressed.clone()], (Key::Newline, Some(pressed.clone()))),
            (vec![pressed.clone(), released.clone()], (Key::Newline, Some(pressed))),
            (vec![released, resized.clone()], (Key::Enter, Some(resized))),
        ] {
            let mut reported = reported.into_iter();
            assert_eq!(enter_before(|| reported.next()), means);
        }
    }

    #[test]
    fn keys_without_a_meaning_write_nothing() {
        assert_eq!(press(KeyCode::Char('q'), KeyModifiers::CONTROL), None);
        assert_eq!(press(KeyCode::Char('x'), KeyModifiers::ALT), None);
        assert_eq!(press(KeyCode::F(5), KeyModifiers::NONE), None);
    }
}
