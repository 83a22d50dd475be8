//! Formats an `io::Error` for our messages, where it stands at the end of a sentence.

/// The resolver: there is no such name.
pub(crate) const NO_NAME: &str = "there is no such name";
/// The resolver: no name server answers.
pub(crate) const NO_NAME_SERVER: &str = "the name server does not answer";

/// The system's words for an error: without its number and full stop, in lower case; those of the resolver in ours.
pub(crate) fn io_error_text(error: &std::io::Error) -> String {
    without_number(&error.to_string())
}

/// Windows ends its messages with a full stop, and has none for some numbers: then the number is all there is.
fn without_number(text: &str) -> String {
    let words = text.split(" (os error").next().unwrap_or_default().trim_end();
    let words = words.strip_suffix('.').unwrap_or(words);
    // The standard library gives the resolver's codes as text alone.
    let words = match words.strip_prefix("failed to lookup address information: ") {
        Some(words) if words.contains("Temporary failure") => NO_NAME_SERVER,
        Some(words) if words.contains("not known") || words.contains("No address associated") => NO_NAME,
        Some(words) => words,
        None => words,
    };
    if words.starts_with("OS Error ") {
        return words.replacen("OS Error", "system error", 1);
    }
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::{io_error_text, without_number};
    use std::io::Error;

    #[cfg(unix)]
    #[test]
    fn a_system_error_has_no_number_and_no_capital() {
        assert_eq!(io_error_text(&Error::from_raw_os_error(libc::ECONNREFUSED)), "connection refused");
    }

    #[test]
    fn the_messages_of_windows_lose_their_full_stop() {
        assert_eq!(without_number("Access denied. (os error 5)"), "access denied");
        assert_eq!(without_number("Access denied.\r\n (os error 5)"), "access denied");
        assert_eq!(
            without_number("OS Error 10061 (FormatMessageW() returned error 317) (os error 10061)"),
            "system error 10061 (FormatMessageW() returned error 317)"
        );
    }

    #[test]
    fn what_the_resolver_says_is_said_in_our_words() {
        let resolver = |words: &str| without_number(&format!("failed to lookup address information: {words}"));
        assert_eq!(resolver("Name or service not known"), "there is no such name");
        assert_eq!(resolver("nodename nor servname provided, or not known"), "there is no such name");
        assert_eq!(resolver("No address associated with hostname"), "there is no such name");
        assert_eq!(resolver("Temporary failure in name resolution"), "the name server does not answer");
        assert_eq!(resolver("System error"), "system error");
    }

    #[test]
    fn other_words_stay_as_they_are() {
        assert_eq!(io_error_text(&Error::other("the disk is on fire")), "the disk is on fire");
        assert_eq!(io_error_text(&Error::other("")), "");
    }
}
