//! Claims about what may never reach a screen, and what must.

use super::*;

fn safe(text: &str) -> String {
    SafeText::clean(text).to_string()
}

#[test]
fn plain_text_stays() {
    for text in ["", "hello, world ~", "Grüße", "日本語", "שלום", "مرحبا", "한국어", "🎉", "naïve e\u{301}", "\u{fffd}"]
    {
        assert_eq!(safe(text), text);
    }
}

#[test]
fn a_name_cannot_look_like_the_programs_own_rows() {
    let name = |text: &str| PeerText::new(text).name().to_string();
    for (given, shown) in [
        ("bob", "bob"),
        ("root (2)", "root (2)"),
        ("日本 Ünal", "日本 Ünal"),
        ("│", "?"),
        ("¦ warning", "warning"),
        ("a\u{2502}b\u{2588}c|d", "a_b_c_d"),
        ("-- bob", "bob"),
        ("* bob", "bob"),
        ("alice▸", "alice>"),
        ("❯ x", "x"),
        (" - ", "?"),
        ("", "?"),
    ] {
        assert_eq!(name(given), shown);
    }
    assert_eq!(safe("a ¦ b ▸"), "a | b >");
}

#[test]
fn escapes_and_controls_become_visible() {
    assert_eq!(safe("\u{1b}[31mred\u{7}"), "\u{fffd}[31mred\u{fffd}");
    assert_eq!(safe("a\u{9b}31mb\u{7f}\0"), "a\u{fffd}31mb\u{fffd}\u{fffd}");
    assert_eq!(safe("a\nb\rc\u{85}d\u{2028}e\u{2029}f"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f");
}

#[test]
fn nothing_reorders_a_line() {
    for c in "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".chars() {
        assert_eq!(safe(&format!("exe{c}fdp")), "exe\u{fffd}fdp", "{c:?}");
    }
}

#[test]
fn nothing_stands_unseen() {
    for c in "\u{ad}\u{34f}\u{115f}\u{1160}\u{180e}\u{200b}\u{2060}\u{3164}\u{feff}\u{ffa0}\u{e0041}\u{e007f}".chars() {
        assert_eq!(safe(&format!("a{c}b")), "a\u{fffd}b", "{c:?}");
    }
}

#[test]
fn private_and_impossible_characters_become_visible() {
    for c in "\u{e0b0}\u{fdd0}\u{fffe}\u{ffff}\u{1ffff}\u{50000}\u{f0000}\u{10ffff}".chars() {
        assert_eq!(safe(&c.to_string()), "\u{fffd}", "{c:?}");
    }
}

#[test]
fn joiners_stay_only_where_they_join() {
    let emoji =
        ["👨\u{200d}👩\u{200d}👧", "👩🏽\u{200d}🚀", "🏳\u{fe0f}\u{200d}🌈", "❤\u{fe0f}\u{200d}🔥", "🧑\u{200d}⚖\u{fe0f}"];
    let words = ["می\u{200c}خواهم", "क\u{94d}\u{200d}ष", "র\u{200d}\u{9cd}যাম", "ක\u{dca}\u{200d}ර"];
    for text in emoji.into_iter().chain(words) {
        assert_eq!(safe(text), text);
    }
    assert_eq!(safe("a\u{200d}b"), "a\u{fffd}b");
    assert_eq!(safe("ro\u{200c}ot"), "ro\u{fffd}ot");
    assert_eq!(safe("👩\u{200d}"), "👩\u{fffd}");
    assert_eq!(safe("\u{200d}👩"), "\u{fffd}👩");
    assert_eq!(safe("👩\u{200d}\u{200d}👩"), "👩\u{fffd}\u{fffd}👩");
    assert_eq!(safe("👩\u{200c}👩"), "👩\u{fffd}👩");
}

#[test]
fn variation_selectors_stay_only_after_what_they_vary() {
    for text in ["❤\u{fe0f}", "1\u{fe0f}\u{20e3}", "辻\u{e0100}"] {
        assert_eq!(safe(text), text);
    }
    assert_eq!(safe("\u{fe0f}a"), "\u{fffd}a");
    assert_eq!(safe("a \u{fe0f}b"), "a \u{fffd}b");
    assert_eq!(safe("❤\u{fe0f}\u{fe0f}\u{e0101}"), "❤\u{fe0f}\u{fffd}\u{fe00}".replace('\u{fe00}', "\u{e0101}"));
}

#[test]
fn a_mark_without_a_base_gets_one() {
    assert_eq!(safe("\u{301}a"), "\u{25cc}\u{301}a");
    assert_eq!(safe("\u{1161}\u{11a8}"), "\u{25cc}\u{1161}\u{11a8}");
}

#[test]
fn a_tower_of_marks_is_cut() {
    let marks = |count| "\u{301}".repeat(count);
    assert_eq!(safe(&format!("a{}b", marks(8))), format!("a{}b", marks(8)));
    assert_eq!(safe(&format!("a{}b", marks(9))), format!("a{}\u{fffd}b", marks(8)));
    assert_eq!(safe(&format!("a{}b", marks(30_000))), format!("a{}\u{fffd}b", marks(8)));
    assert_eq!(safe("각"), "각");
}

#[test]
fn tabs_become_spaces() {
    assert_eq!(safe("a\tb"), "a    b");
}

#[test]
fn lines_end_with_any_of_the_three_breaks() {
    let lines = |text: &str| PeerText::new(text).safe_lines().iter().map(SafeText::to_string).collect::<Vec<_>>();
    assert_eq!(lines("a\nb\r\nc\rd"), ["a", "b", "c", "d"]);
    assert_eq!(lines("a\n\nb\n"), ["a", "", "b"]);
    assert_eq!(lines(""), [""]);
    assert_eq!(lines("\n"), [""]);
    assert_eq!(lines("a\n\u{301}"), ["a", "\u{25cc}\u{301}"]);
}

#[test]
fn a_hint_keeps_its_line_and_nothing_else() {
    let text = SafeText::with_hint("no such file: a\u{1b}b\ntry\ranother");
    assert_eq!(text.as_str().split('\n').collect::<Vec<_>>(), ["no such file: a\u{fffd}b", "try\u{fffd}another"]);
}

#[test]
fn debug_of_peer_text_shows_no_text() {
    assert_eq!(format!("{:?}", PeerText::new("secret")), "PeerText(6 bytes)");
}

#[test]
fn the_longest_line_of_every_horror_is_cleaned() {
    let horrors =
        ["\u{1b}", "\u{202e}", "\u{200d}", "\u{301}", "👩\u{200d}", "\u{fe0f}", "\t", "क\u{94d}\u{200d}", "\u{1f1e9}"];
    for horror in horrors {
        let text = horror.repeat(64_000 / horror.len());
        assert!(safe(&text).len() <= 4 * 64_000, "{horror:?}");
    }
}
