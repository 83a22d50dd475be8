//! Hints for command lines that are nearly right: the form that was probably meant.

use super::Cli;
use crate::net::address::{Candidate, ListenAddress};
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Error, Parser};
use std::ffi::OsString;

/// Parses the arguments, the program's name first.
///
/// # Errors
/// What clap says, with a hint where one can be given.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let words: Vec<String> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let code = word_after_code(&words);
    match Cli::try_parse_from(arguments) {
        // It was taken for the address.
        Ok(_) if code.is_some_and(is_like_a_made_code) => Err(unexpected(code.unwrap_or_default(), &words)),
        Err(mut error) => {
            if let Some(hint) = hint(&error, &words) {
                add(&mut error, hint);
            }
            Err(error)
        }
        parsed => parsed,
    }
}

fn hint(error: &Error, words: &[String]) -> Option<String> {
    let named = |kind| if let Some(ContextValue::String(word)) = error.get(kind) { Some(word.as_str()) } else { None };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let unknown = named(ContextKind::InvalidArg)?;
            let place = words.iter().position(|word| word == unknown)?;
            if place == 1 && unknown.starts_with('-') && is_option(unknown) {
                return Some(format!("options stand behind the command: p2pchat listen {unknown} …"));
            }
            let host = words.get(place - 1).filter(|word| place > 2 && !word.starts_with('-'));
            if let (Some(host), Ok(port)) = (host, unknown.parse()) {
                let address = host.parse::<Candidate>().ok()?;
                return Some(format!("a colon stands before the port: {}", Candidate { port, ..address }));
            }
            word_after_code(words).map(code_hint)
        }
        ErrorKind::InvalidSubcommand => {
            let word = named(ContextKind::InvalidSubcommand)?;
            match word.parse() {
                Ok(ListenAddress { host: None, .. }) => Some(format!("to wait for a peer: p2pchat listen {word}")),
                Ok(_) if word.contains([':', '.']) => Some(format!("to call a peer: p2pchat connect {word}")),
                _ => None,
            }
        }
        _ => None,
    }
}

fn code_hint(code: &str) -> String {
    format!("an equals sign stands before the code: --code={code}")
}

/// The word behind a `--code` that stands alone.
fn word_after_code(words: &[String]) -> Option<&str> {
    let place = words.iter().position(|word| word == "--code")?;
    words.get(place + 1).map(String::as_str).filter(|word| !word.starts_with('-'))
}

/// `42-otter-plum`, which is no host and no port.
fn is_like_a_made_code(word: &str) -> bool {
    let mut parts = word.split('-');
    let number = parts.next().is_some_and(|number| number.parse::<u8>().is_ok());
    let alphabetic = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphabetic());
    number && parts.clone().count() >= 2 && parts.all(alphabetic)
}

/// Whether `listen` or `connect` has an option of this name.
fn is_option(word: &str) -> bool {
    let name = word.split('=').next().unwrap_or_default().trim_start_matches('-');
    let is_short = |short: char| name.len() == 1 && name.starts_with(short);
    Cli::command().get_subcommands().any(|command| {
        command
            .get_arguments()
            .any(|option| option.get_long() == Some(name) || option.get_short().is_some_and(is_short))
    })
}

fn unexpected(word: &str, words: &[String]) -> Error {
    let command =
        words.get(1).and_then(|name| Cli::command().find_subcommand(name).cloned()).unwrap_or_else(Cli::command);
    let mut error = Error::new(ErrorKind::UnknownArgument).with_cmd(&command);
    error.insert(ContextKind::InvalidArg, ContextValue::String(word.to_owned()));
    add(&mut error, code_hint(word));
    error
}

fn add(error: &mut Error, hint: String) {
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(hint)]));
}
