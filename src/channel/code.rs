//! The code that two people share: made, typed, and turned into a SPAKE2 password (PROTOCOL.md section 2).

mod word_list;

use data_encoding::BASE32_NOPAD;
use std::fmt;
use thiserror::Error;
use word_list::words;
use zeroize::Zeroizing;

/// Numbers in front of a made code: 0 to 99.
const NUMBERS: u64 = 100;
/// Words to choose from.
const WORDS: u64 = 7_776;
/// Characters of a typed word that are compared with the list, whose longest has 9.
const LONGEST_TYPED: usize = 16;
/// Different codes that [`Code::generate`] makes: over 2^32.
const CODES: u64 = NUMBERS * WORDS * WORDS;

/// A shared secret that is short enough to be said aloud; wiped when dropped, and never shown by `Debug`.
#[derive(Clone)]
pub struct Code {
    shown: Zeroizing<String>,
    secret: Zeroizing<String>,
    guessable: bool,
}

/// Why a text is no code; the command is at fault, or this machine.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum CodeError {
    /// Nothing that counts is in it.
    #[error("a code needs at least one letter or digit")]
    Empty,
    /// A letter or digit outside ASCII, which the protocol would leave out: the code would be weaker than it looks.
    #[error("a code may have only the letters a to z and digits, not \"{0}\"")]
    NotAscii(char),
    /// The system gives no randomness.
    #[error("this system gives no randomness for a code: {0}")]
    Randomness(getrandom::Error),
}

impl Code {
    /// A code chosen by a person. Case, spaces and punctuation do not count.
    ///
    /// # Errors
    /// When it has no letter or digit, or one outside ASCII.
    pub fn new(text: &str) -> Result<Self, CodeError> {
        if let Some(foreign) = text.chars().find(|c| !c.is_ascii() && c.is_alphanumeric()) {
            return Err(CodeError::NotAscii(foreign));
        }
        // Room for all of it at once: a string that grows leaves unwiped copies behind.
        let mut secret = Zeroizing::new(String::with_capacity(text.len()));
        secret.extend(text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()));
        if secret.is_empty() {
            return Err(CodeError::Empty);
        }
        Ok(Self { shown: Zeroizing::new(text.trim().to_owned()), secret, guessable: true })
    }

    /// A code of random bytes, at least 8.
    pub fn from_secret(bytes: &[u8]) -> Self {
        let mut secret = Zeroizing::new(BASE32_NOPAD.encode(bytes));
        secret.make_ascii_lowercase();
        Self { shown: secret.clone(), secret, guessable: false }
    }

    /// Whether it may have less than 64 bits, so that the number of tries has to be limited (PROTOCOL.md section 3).
    pub fn is_guessable(&self) -> bool {
        self.guessable
    }

    /// A new code like `42-otter-plaza`: one of 6,046,617,600, drawn evenly. (The EFF's list has `yo-yo` beside `yoyo`, which
    /// are the same when spoken: of all the words, that one is twice as likely.)
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate() -> Result<Self, CodeError> {
        // Numbers above the last multiple would make the low codes likelier.
        const FAIR: u64 = u64::MAX - u64::MAX % CODES;
        loop {
            let drawn = getrandom::u64().map_err(CodeError::Randomness)?;
            if drawn < FAIR {
                return Self::numbered(drawn % CODES);
            }
        }
    }

    /// The words that a made code may have and that begin with `prefix` (in lower case), without dashes, which do not count;
    /// sorted.
    pub fn words(prefix: &str) -> Vec<String> {
        let plain = words().map(|word| word.replace('-', ""));
        let mut words: Vec<String> = plain.filter(|word| word.starts_with(prefix)).collect();
        words.sort();
        words.dedup();
        words
    }

    /// For a text in the form of a made code (`NUMBER-WORD-WORD`) with words that are not on the list: the same with the nearest ones.
    pub fn corrected(text: &str) -> Option<String> {
        let typed = Zeroizing::new(text.to_ascii_lowercase());
        let parts: Vec<&str> =
            typed.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
        let [number, first, second] = parts.as_slice() else { return None };
        if !number.parse::<u64>().is_ok_and(|number| number < NUMBERS) {
            return None;
        }
        let corrected = format!("{number}-{}-{}", nearest(first), nearest(second));
        (corrected != parts.join("-")).then_some(corrected)
    }

    /// The form to tell the peer: as it was typed, or with dashes when it was made.
    pub fn display(&self) -> &str {
        &self.shown
    }

    /// What counts of it: ASCII lower-case letters and digits.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    fn numbered(index: u64) -> Result<Self, CodeError> {
        let word = |index: u64| {
            let place = usize::try_from(index % WORDS).unwrap_or_default();
            words().nth(place).unwrap_or_default()
        };
        let text = format!("{}-{}-{}", index / WORDS / WORDS, word(index / WORDS), word(index));
        Self::new(&Zeroizing::new(text))
    }
}

/// The word of the list that takes the fewest slips to get from, as [`Code::words`] gives it.
fn nearest(typed: &str) -> String {
    // Longer words are no slips; this also bounds the work.
    let typed = typed.get(..typed.len().min(LONGEST_TYPED)).unwrap_or(typed);
    Code::words("").into_iter().min_by_key(|word| strsim::damerau_levenshtein(word, typed)).unwrap_or_default()
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_code_that_would_lose_letters_is_refused() {
        assert_eq!(Code::new("пароль1").unwrap_err(), CodeError::NotAscii('п'));
        assert_eq!(Code::new("1-süß").unwrap_err(), CodeError::NotAscii('ü'));
        assert_eq!(Code::new("٣-a").unwrap_err(), CodeError::NotAscii('٣'));
    }

    #[test]
    fn a_word_that_is_not_on_the_list_becomes_the_nearest_one() {
        for (typed, corrected) in [
            ("42-ottter-plaza", Some("42-otter-plaza")),
            ("42 Otter PLAZZA", Some("42-otter-plaza")),
            ("7-ottre-tshrit", Some("7-otter-tshirt")),
            ("42-otter-plaza", None),
            ("1-tshirt-yoyo", None),
            // Not the form of a made code.
            ("420-ottter-plaza", None),
            ("ottter-plaza", None),
            ("my own long code", None),
        ] {
            assert_eq!(Code::corrected(typed).as_deref(), corrected, "{typed}");
        }
    }

    #[test]
    fn the_word_list_has_as_many_words_as_the_numbers_assume() {
        assert_eq!(u64::try_from(words().count()), Ok(WORDS));
        let counted: HashSet<String> = words().map(|word| Code::new(word).unwrap().secret().to_owned()).collect();
        // All but yo-yo, which is yoyo.
        assert_eq!(counted.len(), words().count() - 1);
    }

    #[test]
    fn the_numbers_of_codes_reach_from_the_first_words_to_the_last() {
        assert_eq!(Code::numbered(0).unwrap().display(), "0-abacus-abacus");
        assert_eq!(Code::numbered(CODES - 1).unwrap().display(), "99-zoom-zoom");
        assert_eq!(Code::numbered(WORDS * WORDS + WORDS).unwrap().display(), "1-abdomen-abacus");
        const { assert!(CODES > 1 << 32) };
    }

    #[test]
    fn made_codes_differ_and_can_be_typed_back() {
        let (first, second) = (Code::generate().unwrap(), Code::generate().unwrap());
        assert_ne!(first.display(), second.display());
        assert_eq!(Code::new(first.display()).unwrap().secret(), first.secret());
        let number: u8 = first.display().split('-').next().unwrap().parse().unwrap();
        assert!(number < 100);
    }

    #[test]
    fn debug_shows_nothing_of_a_code() {
        assert_eq!(format!("{:?}", Code::new("otter").unwrap()), "Code(..)");
    }
}
