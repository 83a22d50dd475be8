//! Text for the clipboard of the terminal (OSC 52).

use data_encoding::BASE64;

/// The sequence by which a terminal puts `text` on the clipboard (OSC 52).
pub(super) fn to_clipboard(text: &str) -> String {
    // A clipboard ends up in shells: what is no text stays out of it.
    let plain: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    format!("\x1b]52;c;{}\x07", BASE64.encode(plain.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clipboard_gets_text_alone() {
        assert_eq!(to_clipboard("a\u{1b}\u{7}\nb"), to_clipboard("a\nb"));
    }
}
