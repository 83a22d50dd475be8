//! The words of made codes: the EFF's long list, as one text. As the package has it, the pointers to the words and their relocations are
//! 300 KB of the program.
#![allow(clippy::indexing_slicing, reason = "the text is put together while the program is built")]

use diceware_wordlists::EFF_LONG_WORDLIST;

const LENGTH: usize = {
    let (mut length, mut place) = (0, 0);
    while place < EFF_LONG_WORDLIST.len() {
        length += EFF_LONG_WORDLIST[place].len() + 1;
        place += 1;
    }
    length
};

static TEXT: [u8; LENGTH] = {
    let mut text = [b'\n'; LENGTH];
    let (mut begin, mut place) = (0, 0);
    while place < EFF_LONG_WORDLIST.len() {
        let word = EFF_LONG_WORDLIST[place].as_bytes();
        let mut letter = 0;
        while letter < word.len() {
            text[begin + letter] = word[letter];
            letter += 1;
        }
        begin += word.len() + 1;
        place += 1;
    }
    text
};

/// All of them, in the order of their numbers.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    str::from_utf8(&TEXT).unwrap_or_default().lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_word_in_its_place() {
        assert!(words().eq(EFF_LONG_WORDLIST));
    }
}
