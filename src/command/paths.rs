//! Paths as a person types them: with spaces and without quotes, or quoted, escaped, and several.
//!
//! `/send a b` may mean one file or two; so both readings are kept until [`SendArgs::resolve`] looks at what exists.

use super::{CommandError, Usage};
use data_encoding::HEXLOWER_PERMISSIVE;
use glob::{MatchOptions, Pattern};
use std::path::{Path, PathBuf};

/// What stood after `/send`, in both readings, `~` expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendArgs {
    /// All of it as one path.
    pub whole: PathBuf,
    /// Split at spaces, with quotes and backslashes: one path or more, or what is wrong.
    pub split: Result<Vec<Wanted>, CommandError>,
}

/// One path of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub path: PathBuf,
    /// The same as a pattern, when it has a `*`, `?` or `[` that is neither quoted nor escaped.
    pattern: Option<String>,
}

impl Wanted {
    /// The path when that exists, else what its pattern fits, sorted; hidden names only where the pattern says the dot.
    fn found(&self, exists: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        if exists(&self.path) {
            return vec![self.path.clone()];
        }
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        let paths = self.pattern.as_ref().and_then(|pattern| glob::glob_with(pattern, options).ok());
        paths.map(|paths| paths.filter_map(Result::ok).collect()).unwrap_or_default()
    }
}

impl SendArgs {
    /// `rest` is trimmed and not empty.
    pub(super) fn parse(rest: &str, usage: Usage, home: Option<&Path>) -> Self {
        let words =
            split(rest).and_then(|words| if words.is_empty() { Err("what is to be sent?".into()) } else { Ok(words) });
        let split = words.map(|words| words.iter().map(|word| word.wanted(home)).collect());
        Self { whole: expand(rest, home), split: split.map_err(|what| usage.bad(what)) }
    }

    /// The paths that are meant: the whole as one path when that exists, else the split ones.
    ///
    /// # Errors
    ///
    /// When one of them does not exist (the user then never sends a part of what was meant), or quotes are wrong.
    pub fn resolve(&self, exists: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, CommandError> {
        if exists(&self.whole) {
            return Ok(vec![self.whole.clone()]);
        }
        let paths = self.split.as_ref().map_err(Clone::clone)?;
        let found: Vec<_> = paths.iter().map(|wanted| wanted.found(&exists)).collect();
        let Some(missing) = found.iter().position(Vec::is_empty) else { return Ok(found.concat()) };
        // When no part exists, a single name with spaces was meant rather than several names.
        let all_missing = paths.len() > 1 && found.iter().all(Vec::is_empty);
        let path = paths.get(missing).filter(|_| !all_missing).map_or(&self.whole, |wanted| &wanted.path);
        Err(CommandError::new("no-such-file", format!("no such file or folder: {}", path.display())))
    }
}

/// Whether a line is nothing but the path of something that exists, as terminals write it for what is dropped on them: absolute, plain,
/// quoted, escaped or a URL.
pub fn is_dropped(line: &str, home: Option<&Path>) -> bool {
    let args = SendArgs::parse(line, Usage(""), home);
    let split = args.split.unwrap_or_default();
    let single = if let [only] = split.as_slice() { Some(&only.path) } else { None };
    let exists = |path: &PathBuf| path.is_absolute() && path.file_name().is_some() && path.exists();
    [Some(&args.whole), single].into_iter().flatten().any(|path| home != Some(path.as_path()) && exists(path))
}

/// One path, which need not exist: quotes and backslashes are taken off when that gives a single word.
pub(super) fn one(text: &str, home: Option<&Path>) -> PathBuf {
    let words = split(text).unwrap_or_default();
    match <[Word; 1]>::try_from(words) {
        Ok([word]) => word.path(home),
        Err(_) => expand(text, home),
    }
}

/// A word of the split reading.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// Where it begins.
    pub(crate) start: usize,
    pub(crate) text: String,
    /// The same, with all that was quoted or escaped as a pattern that fits nothing else.
    pattern: String,
    /// The first character was neither quoted nor escaped, so that `~` means the home folder.
    expands: bool,
    /// The last quote in it that opened.
    pub(crate) quote: Option<char>,
}

impl Word {
    fn path(&self, home: Option<&Path>) -> PathBuf {
        if self.expands { expand(&self.text, home) } else { PathBuf::from(&self.text) }
    }

    fn wanted(&self, home: Option<&Path>) -> Wanted {
        let home_pattern = home.and_then(Path::to_str).map(Pattern::escape);
        let pattern = match home_pattern.as_ref().filter(|_| self.expands) {
            Some(home) => expand(&self.pattern, Some(Path::new(home))).to_str().map(str::to_owned),
            None => Some(self.pattern.clone()),
        };
        let is_pattern = self.pattern != Pattern::escape(&self.text);
        Wanted { path: self.path(home), pattern: pattern.filter(|_| is_pattern) }
    }

    fn push(&mut self, c: char, literal: bool) {
        self.text.push(c);
        if literal {
            self.pattern.push_str(&Pattern::escape(c.encode_utf8(&mut [0; 4])));
        } else {
            self.pattern.push(c);
        }
    }
}

/// The path of a `file:` URL of this machine.
fn url_path(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("file://")?;
    let rest = rest.strip_prefix("localhost").unwrap_or(rest);
    let mut bytes = Vec::new();
    let mut left = rest.as_bytes();
    while let [first, after @ ..] = left {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let coded = digits.and_then(|digits| HEXLOWER_PERMISSIVE.decode(digits).ok());
        left = if coded.is_some() { after.get(2..).unwrap_or_default() } else { after };
        bytes.extend(coded.unwrap_or_else(|| vec![*first]));
    }
    // A drive stands after the slash.
    let path = String::from_utf8(bytes).ok()?;
    Some(PathBuf::from(if cfg!(windows) { path.trim_start_matches('/') } else { &path }))
}

/// `~` and `~/x`, and `file:` URLs; `~user` is taken as it stands.
pub(crate) fn expand(text: &str, home: Option<&Path>) -> PathBuf {
    if let Some(path) = url_path(text) {
        return path;
    }
    let Some((rest, home)) = text.strip_prefix('~').zip(home) else { return PathBuf::from(text) };
    match rest.strip_prefix(std::path::is_separator) {
        Some(below) => home.join(below.trim_start_matches(std::path::is_separator)),
        None if rest.is_empty() => home.to_path_buf(),
        None => PathBuf::from(text),
    }
}

/// Whether a backslash takes the meaning of the next character; on Windows it separates folders.
const ESCAPES: bool = cfg!(not(windows));

fn split(text: &str) -> Result<Vec<Word>, String> {
    let (mut words, last, open) = scan(text);
    match open {
        Some('\\') => return Err("nothing follows the backslash at the end".into()),
        Some(open) => return Err(format!("the quote {open} is not closed")),
        None => words.extend(last),
    }
    // A pair of quotes with nothing between names nothing.
    words.retain(|word| !word.text.is_empty());
    Ok(words)
}

/// The last word of a text that is being typed: an empty one behind a blank.
pub(crate) fn last_word(text: &str) -> Word {
    let (_, last, _) = scan(text);
    last.unwrap_or_else(|| Word { start: text.len(), ..Word::default() })
}

/// The words with a blank behind them; the one at the end, if there is one; and the quote that is open there, or a backslash that
/// nothing follows.
fn scan(text: &str) -> (Vec<Word>, Option<Word>, Option<char>) {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut open: Option<char> = None;
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        if open.is_none() && c.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let expands = open.is_none() && !matches!(c, '\'' | '"') && !(ESCAPES && c == '\\');
        let word = word.get_or_insert_with(|| Word { start, expands, ..Word::default() });
        match (c, open) {
            (_, Some(quote)) if c == quote => open = None,
            ('\'' | '"', None) => (open, word.quote) = (Some(c), Some(c)),
            ('\\', None) if ESCAPES => match chars.next() {
                Some((_, c)) => word.push(c, true),
                None => open = Some(c),
            },
            // Between double quotes a backslash is one, unless it escapes what would end or escape.
            ('\\', Some('"')) if ESCAPES => {
                word.push(chars.next_if(|(_, c)| matches!(c, '"' | '\\')).map_or(c, |(_, c)| c), true);
            }
            _ => word.push(c, open.is_some()),
        }
    }
    (words, word, open)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<String> {
        split(text).unwrap().into_iter().map(|word| word.text).collect()
    }

    fn args(rest: &str) -> SendArgs {
        SendArgs::parse(rest, Usage("usage"), None)
    }

    #[test]
    fn both_quotes_hold_spaces() {
        assert_eq!(words(r#"a "b c" 'd e' f"g h"i"#), ["a", "b c", "d e", "fg hi"]);
        assert_eq!(words(r#""it's" 'say "hi"'"#), ["it's", r#"say "hi""#]);
    }

    #[cfg(not(windows))]
    #[test]
    fn a_backslash_takes_the_meaning_of_the_next_character() {
        assert_eq!(words(r#"a\ b \"c\' "d\"e\\f\g" 'h\i'"#), ["a b", "\"c'", "d\"e\\f\\g", "h\\i"]);
        assert!(split("a\\").unwrap_err().contains("backslash"));
    }

    #[test]
    fn an_open_quote_is_an_error_only_for_the_split_reading() {
        let args = args("it's here");
        assert!(args.split.as_ref().unwrap_err().to_string().contains("the quote ' is not closed"));
        assert_eq!(args.resolve(|path| path == Path::new("it's here")).unwrap(), [PathBuf::from("it's here")]);
        assert_eq!(args.resolve(|_| false).unwrap_err().code, "bad-argument");
    }

    #[test]
    fn quotes_with_nothing_between_name_nothing_to_send() {
        assert_eq!(args(r#""" ''"#).resolve(|_| false).unwrap_err().code, "bad-argument");
    }

    #[test]
    fn one_path_with_spaces_goes_first() {
        assert_eq!(args("a b").resolve(|_| true).unwrap(), [PathBuf::from("a b")]);
        let apart = args("a b").resolve(|path| path != Path::new("a b")).unwrap();
        assert_eq!(apart, [PathBuf::from("a"), PathBuf::from("b")]);
    }

    #[test]
    fn a_missing_path_is_named_as_it_was_meant() {
        let missing = |rest: &str, there: &[&str]| {
            let error = args(rest).resolve(|path| there.iter().any(|name| path == Path::new(name))).unwrap_err();
            error.to_string().strip_prefix("no such file or folder: ").unwrap().to_owned()
        };
        assert_eq!(missing("my report.pdf", &[]), "my report.pdf");
        assert_eq!(missing("'my report.pdf'", &[]), "my report.pdf");
        assert_eq!(missing("a b c", &["a", "c"]), "b");
    }

    #[test]
    fn only_an_unquoted_tilde_is_the_home_folder() {
        let home = Some(Path::new("/home/u"));
        let paths = |text: &str| split(text).unwrap().iter().map(|word| word.path(home)).collect::<Vec<_>>();
        assert_eq!(
            paths(r#"~ ~/x ~user/x a~ "~/x" ~/"a b""#),
            ["/home/u", "/home/u/x", "~user/x", "a~", "~/x", "/home/u/a b"].map(PathBuf::from)
        );
        assert_eq!(expand("~/a b", home), PathBuf::from("/home/u/a b"));
        assert_eq!(expand("~//etc", home), PathBuf::from("/home/u/etc"));
        assert_eq!(expand("~/x", None), PathBuf::from("~/x"));
    }

    #[test]
    fn a_destination_needs_no_quotes() {
        assert_eq!(one("my files", None), PathBuf::from("my files"));
        assert_eq!(one("'my files'", None), PathBuf::from("my files"));
        assert_eq!(one("it's mine", None), PathBuf::from("it's mine"));
    }

    proptest! {
        #[test]
        fn splitting_never_fails_without_quotes_and_backslashes(text in "[^'\"\\\\]{0,60}") {
            let expected: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            prop_assert_eq!(words(&text), expected);
        }

        #[test]
        fn what_is_quoted_comes_back(names in prop::collection::vec("[^']{1,12}", 1..5)) {
            let line: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
            prop_assert_eq!(words(&line.join(" ")), names);
        }
    }
}
