use super::*;
use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation;

fn typed(text: &str, keys: &[Key]) -> (String, usize) {
    let mut editor = Editor::default();
    editor.paste(text);
    for &key in keys {
        editor.key(key);
    }
    (editor.text.clone(), editor.cursor)
}

#[test]
fn typing_goes_where_the_cursor_is() {
    let mut editor = Editor::default();
    editor.typed("ac");
    editor.key(Key::Left);
    editor.typed("b");
    editor.key(Key::End);
    editor.typed("d");
    assert_eq!((editor.text.as_str(), editor.cursor), ("abcd", 4));
}

#[test]
fn left_and_backspace_take_whole_clusters() {
    for cluster in ["日", "👍🏽", "👩‍👩‍👧", "e\u{301}", "🇩🇪", "❤\u{fe0f}", "한", "ก็"] {
        let text = format!("a{cluster}b");
        assert_eq!(typed(&text, &[Key::Left, Key::Left]).1, 1, "{cluster}");
        assert_eq!(typed(&text, &[Key::Left, Key::Backspace]), ("ab".into(), 1), "{cluster}");
        assert_eq!(typed(&text, &[Key::Start, Key::Right, Key::Delete]), ("ab".into(), 1), "{cluster}");
    }
}

#[test]
fn an_accent_typed_after_its_letter_joins_it() {
    let mut editor = Editor::default();
    editor.typed("e");
    editor.typed("\u{301}");
    editor.key(Key::Backspace);
    assert_eq!((editor.text.as_str(), editor.cursor), ("", 0));
}

#[test]
fn the_cursor_is_never_inside_a_cluster_that_an_insertion_made() {
    // A letter typed before an accent that stood alone.
    let mut editor = Editor::default();
    editor.paste("\u{301}");
    editor.key(Key::Start);
    editor.typed("e");
    assert_eq!((editor.text.as_str(), editor.cursor), ("e\u{301}", 3));
}

#[test]
fn words_are_crossed_and_killed() {
    let text = "one two-three  foo.bar";
    assert_eq!(typed(text, &[Key::WordLeft]).1, text.len() - 3);
    assert_eq!(typed(text, &[Key::WordLeft, Key::WordLeft, Key::WordLeft]).1, 8);
    assert_eq!(typed(text, &[Key::Start, Key::WordRight, Key::WordRight]).1, 7);
    assert_eq!(typed(text, &[Key::KillBlankWord]).0, "one two-three  ");
    assert_eq!(typed(text, &[Key::KillWordLeft]).0, "one two-three  foo.");
    assert_eq!(typed(text, &[Key::Start, Key::KillWordRight]).0, " two-three  foo.bar");
}

#[test]
fn kills_in_a_row_come_back_together() {
    let back = [Key::KillBlankWord, Key::KillBlankWord, Key::Yank, Key::Yank];
    assert_eq!(typed("a b c", &back).0, "a b cb c");
    let apart = [Key::KillBlankWord, Key::Left, Key::KillToStart, Key::End, Key::Yank];
    assert_eq!(typed("a b", &apart).0, " a");
    let both = [Key::WordLeft, Key::KillToStart, Key::KillToEnd, Key::Yank];
    assert_eq!(typed("left right", &both).0, "left right");
}

#[test]
fn killing_stays_in_its_line() {
    let up = [Key::Up, Key::End, Key::Left, Key::KillToEnd];
    assert_eq!(typed("first\nsecond", &up).0, "firs\nsecond");
    let joined = [Key::Up, Key::End, Key::KillToEnd];
    assert_eq!(typed("first\nsecond", &joined).0, "firstsecond");
    assert_eq!(typed("first\nsecond", &[Key::KillToStart]).0, "first\n");
}

#[test]
fn transposing_swaps_clusters() {
    assert_eq!(typed("ab", &[Key::Transpose]), ("ba".into(), 2));
    assert_eq!(typed("abc", &[Key::Left, Key::Transpose]), ("acb".into(), 3));
    assert_eq!(typed("a👍🏽", &[Key::Transpose]).0, "👍🏽a");
    assert_eq!(typed("a", &[Key::Transpose]).0, "a");
    assert_eq!(typed("ab", &[Key::Start, Key::Transpose]).0, "ab");
    assert_eq!(typed("ab\nc", &[Key::Start, Key::Transpose]).0, "ab\nc");
}

#[test]
fn up_and_down_keep_the_column_and_leave_at_the_edges() {
    let mut editor = Editor::default();
    editor.paste("long line\nab\nlong line");
    editor.key(Key::Left);
    assert!(editor.key(Key::Up));
    assert_eq!(editor.cursor, 12);
    assert!(editor.key(Key::Up));
    assert_eq!(editor.cursor, 8);
    assert!(!editor.key(Key::Up));
    assert!(editor.key(Key::Down));
    assert!(editor.key(Key::Down));
    assert!(!editor.key(Key::Down));
}

#[test]
fn line_ends_of_a_paste_become_newlines_and_controls_go() {
    assert_eq!(typed("a\rb\r\nc\nd\te\u{1b}[2Jf\u{7}", &[]).0, "a\nb\nc\nd\te[2Jf");
}

#[test]
fn a_paste_that_is_too_long_changes_nothing() {
    let mut editor = Editor::default();
    editor.paste("kept");
    assert!(!editor.paste(&"x".repeat(LONGEST)));
    assert_eq!(editor.text, "kept");
}

#[test]
fn typing_ends_where_the_room_does() {
    let mut editor = Editor::default();
    editor.typed(&"日".repeat(LONGEST));
    editor.key(Key::Newline);
    editor.typed("日");
    assert_eq!((editor.text.len(), editor.text.matches('日').count()), (LONGEST - 1, LONGEST / 3));
}

#[test]
fn completion_replaces_only_what_it_completes() {
    let mut editor = Editor::default();
    editor.paste("/send al rest");
    for _ in 0..5 {
        editor.key(Key::Left);
    }
    editor.replace_before_cursor(6, "album/");
    assert_eq!((editor.text.as_str(), editor.cursor), ("/send album/ rest", 12));
}

/// A key, or a character that is typed.
fn any_press() -> impl Strategy<Value = Result<Key, char>> {
    let characters = prop::sample::select(vec![
        'a', ' ', '.', '日', '👍', '🏽', '\u{200d}', '👩', '\u{301}', '🇩', '🇪', '\u{fe0f}', '한', '\t',
    ]);
    let others = prop::sample::select(vec![
        Key::Newline,
        Key::Left,
        Key::Right,
        Key::WordLeft,
        Key::WordRight,
        Key::Up,
        Key::Down,
        Key::Start,
        Key::End,
        Key::Backspace,
        Key::Delete,
        Key::KillToEnd,
        Key::KillToStart,
        Key::KillBlankWord,
        Key::KillWordLeft,
        Key::KillWordRight,
        Key::Yank,
        Key::Transpose,
    ]);
    prop_oneof![3 => characters.prop_map(Err), 2 => others.prop_map(Ok)]
}

proptest! {
    #[test]
    fn the_cursor_always_stands_between_clusters(presses in prop::collection::vec(any_press(), 0..60)) {
        let mut editor = Editor::default();
        for press in presses {
            match press {
                Ok(key) => drop(editor.key(key)),
                Err(character) => editor.typed(character.encode_utf8(&mut [0; 4])),
            }
            let on_boundary = editor.cursor == editor.text.len()
                || editor.text.grapheme_indices(true).any(|(start, _)| start == editor.cursor);
            prop_assert!(on_boundary, "{:?} at {} after {:?}", editor.text, editor.cursor, press);
        }
    }
}
