//! What the system says went wrong, as the end of a sentence of ours.

/// The system's words for an error: without its number, in lower case.
pub(crate) fn io_error_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::io_error_text;
    use std::io::Error;

    #[cfg(unix)]
    #[test]
    fn a_system_error_has_no_number_and_no_capital() {
        assert_eq!(io_error_text(&Error::from_raw_os_error(libc::ECONNREFUSED)), "connection refused");
    }

    #[test]
    fn other_words_stay_as_they_are() {
        assert_eq!(io_error_text(&Error::other("the disk is on fire")), "the disk is on fire");
        assert_eq!(io_error_text(&Error::other("")), "");
    }
}
