//! What the system says went wrong, as the end of a sentence of ours.

/// The system's words for an error: without its number, in lower case.
pub(crate) fn why(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::why;
    use std::io::Error;

    #[cfg(unix)]
    #[test]
    fn a_system_error_has_no_number_and_no_capital() {
        assert_eq!(why(&Error::from_raw_os_error(libc::ECONNREFUSED)), "connection refused");
    }

    #[test]
    fn other_words_stay_as_they_are() {
        assert_eq!(why(&Error::other("the disk is on fire")), "the disk is on fire");
        assert_eq!(why(&Error::other("")), "");
    }
}
