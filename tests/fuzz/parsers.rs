//! Parsers of text: what a person, a file or a router says.

use clap::Parser;
use p2pchat::channel::Code;
use p2pchat::cli::Cli;
use p2pchat::command::{self, Entry};
use p2pchat::keys::PublicKey;
use p2pchat::known_peers::KnownPeers;
use p2pchat::net::address::{Candidate, ListenAddress};
use p2pchat::net::invite::Invite;
use p2pchat::net::port_map::{
    NONCE, Url, read_announce, read_answer, read_location, read_map, read_nat_pmp_address, read_nat_pmp_map,
    read_services,
};
use p2pchat::notice::Input;
use p2pchat::protocol::frame::LINE_TEXT;
use p2pchat::text::{PeerText, SafeText};
use p2pchat::transfer::{Name, local_name};
use p2pchat::ui::line_reader::read_lines;
use p2pchat::ui::{InputBackpressure, InputSender};
use std::io::BufReader;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, PoisonError};
use unicode_width::UnicodeWidthChar;

/// A file of known peers is kept byte for byte; names in it are safe and differ; a line that is rewritten says the same.
pub(crate) fn known_peers(data: &[u8]) {
    let mut book = KnownPeers::from_bytes(data);
    let kept = data.strip_suffix(b"\n").unwrap_or(data);
    if !kept.is_empty() {
        assert_eq!(book.to_bytes().strip_suffix(b"\n"), Some(kept));
    }
    let peers: Vec<_> = book.iter().cloned().collect();
    for (place, peer) in peers.iter().enumerate() {
        assert_eq!(SafeText::clean(&peer.name).as_str(), peer.name);
        assert!(peers.iter().skip(place + 1).all(|other| other.name != peer.name && other.key != peer.key));
        assert!(book.edit(|edited| edited.key == peer.key).is_some());
    }
    let rewritten = book.to_bytes();
    let again = KnownPeers::from_bytes(&rewritten);
    assert_eq!(again.problems(), book.problems(), "{}", String::from_utf8_lossy(&rewritten));
    assert!(again.iter().eq(&peers));
}

pub(crate) fn known_peers_seeds() -> Vec<Vec<u8>> {
    let line = |name: &str, digit: &str, rest: &str| {
        format!("{name} {} known 2026-11-24T13:30:00Z 2026-11-25T00:00:00Z {rest}\n", digit.repeat(64))
    };
    let one = line("ana", "a", "host:5000 host:5000 [::1]:7");
    let two = line("\"ana \\\"b\\\" \\\\ \\u{e9}\"", "b", "\"\" # from work").replace("known", "verified");
    let bad = line("ana", "g", "x");
    let late = line("zoe", "c", "x").replace("2026-11-24T13:30:00Z", "9999-12-31T23:59:59-23:59");
    vec![
        one.clone().into_bytes(),
        two.clone().into_bytes(),
        format!("\u{feff}# mine\n\n{one}{bad}{two}{late}").into_bytes(),
    ]
}

/// Only what was typed goes out, and never a line whose first character other than blanks is one slash.
pub(crate) fn command(data: &[u8]) {
    let line = String::from_utf8_lossy(data);
    match command::parse(&line, None) {
        Ok(Entry::Say { text, action }) => {
            assert!(!text.is_empty() && text.len() <= LINE_TEXT);
            assert!(line.contains(&text));
            let begin = line.trim_start();
            assert!(action || !begin.starts_with('/') || begin.starts_with("//"));
        }
        Ok(Entry::Command(command::Command::Send(command::SendSource::Typed(args)))) => {
            for exists in [false, true] {
                let paths = args.resolve(|_| exists);
                assert!(paths.is_err() || paths.is_ok_and(|paths| !paths.is_empty()));
            }
        }
        Ok(Entry::Command(_)) => assert!(line.trim_start().starts_with('/')),
        Ok(Entry::Nothing) => assert!(line.trim().is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

pub(crate) fn command_seeds() -> Vec<Vec<u8>> {
    let lines = [
        "/send a b.txt",
        "/send \"a b\" 'c d' e\\ f ~/g",
        "/accept 2 ~/Downloads",
        "/accept #7",
        "/decline 1",
        "/cancel",
        "/transfers 3",
        "/me waves",
        "//text",
        "/halp",
        "/quit",
        "two\nlines",
    ];
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

/// Safe text holds nothing that a terminal obeys or hides, is not much longer, and is as safe as it gets.
pub(crate) fn text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let safe = SafeText::clean(&text);
    assert_safe(safe.as_str());
    assert!(safe.as_str().chars().next().is_none_or(|first| first.width() != Some(0)), "a mark without a base");
    assert_eq!(SafeText::clean(safe.as_str()), safe, "cleaning again changes nothing");
    // A tab becomes four spaces, a lone mark gets a circle to sit on, a control becomes a replacement of three bytes.
    assert!(safe.as_str().len() <= 4 * text.len());
    let lines = PeerText::new(text.as_ref()).safe_lines();
    assert!(!lines.is_empty() && lines.len() <= 1 + text.len());
    lines.iter().for_each(|line| assert_safe(line.as_str()));
    if text.contains('\n') {
        SafeText::with_hint(&text).as_str().split('\n').for_each(assert_safe);
    }
}

/// What no text that is shown may hold: said anew here, so that one list checks the other.
fn is_bad(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        )
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e00ff}' | '\u{f0000}'..)
}

pub(crate) fn assert_safe(text: &str) {
    assert!(!text.contains(is_bad), "{text:?}");
    let mut row = 0;
    for c in text.chars() {
        row = if c.width() == Some(0) { row + 1 } else { 0 };
        assert!(row <= 9, "marks climb: {text:?}");
    }
}

pub(crate) fn text_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m",
        "a\rb\u{8}c\u{2028}d\te",
        "\u{202e}abc\u{2066}\u{200b}",
        "e\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}\u{309}\u{30a}",
        "\u{1f469}\u{200d}\u{1f680} \u{2764}\u{fe0f} \u{915}\u{94d}\u{200d}\u{937}",
        "one\r\ntwo\n",
        "\u{34f}a\u{115f}b\u{ffff}c\u{e0041}d\u{f0000}e\u{10ffff}",
        "\u{645}\u{200c}\u{645}\u{1f469}\u{1f3fd}\u{200d}\u{1f680}\u{1f1e9}\u{1f1ea}1\u{fe0f}\u{20e3}\u{8fbb}\u{e0100}",
    ];
    let bad = ('\0'..'\u{e010}').chain('\u{f8f0}'..'\u{ffff}').filter(|c| is_bad(*c)).collect::<String>();
    texts.iter().chain([&&*bad]).map(|text| text.as_bytes().to_vec()).collect()
}

/// A name that is accepted is one component, and so is the local name that a disk gets for it, without control characters.
pub(crate) fn file_name(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(name) = Name::new(&text) else { return };
    assert_eq!(name.as_str(), text);
    assert!(!text.contains(['/', '\0']));
    for top in [true, false] {
        let local = local_name(name.as_str(), top);
        let mut parts = Path::new(&*local).components();
        assert!(matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)), "{local:?}");
        assert!(!local.contains('/') && !local.chars().any(char::is_control), "{local:?}");
        assert!(!cfg!(windows) || !local.contains('\\') && !local.ends_with(['.', ' ']), "{local:?}");
    }
}

pub(crate) fn file_name_seeds() -> Vec<Vec<u8>> {
    ["report (1).pdf", "..", "con.txt", "a\u{200d}b", "COM1", "x/y", ".p2pchat-1"].map(|name| name.into()).to_vec()
}

/// An invite that is accepted is written in a form that means the same.
pub(crate) fn invite(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(invite) = Invite::parse(&text) {
        assert_eq!(Invite::parse(&invite.text()), Ok(invite));
    }
}

pub(crate) fn invite_seeds() -> Vec<Vec<u8>> {
    let candidates = ["192.0.2.1:5000", "[2001:db8::1]:41000", "peer.example:5050"].map(|text| text.parse().unwrap());
    (0..candidates.len())
        .map(|count| {
            Invite::new(&PublicKey([7; 32]), 5000, candidates[..=count].to_vec()).unwrap().text().as_bytes().to_vec()
        })
        .collect()
}

/// Of a router's answer what does not fit the request is nothing, and what it describes lies at its own address.
pub(crate) fn router(data: &[u8]) {
    if let Some(Ok(_)) = read_map(data, &[7; NONCE], 5000) {
        assert!(data.len() >= 60 && data[24..36] == [7; NONCE] && data[40..42] == 5000_u16.to_be_bytes());
    }
    if let Some(Ok(_)) = read_nat_pmp_map(data, 5000) {
        assert_eq!(data[8..10], 5000_u16.to_be_bytes());
    }
    let _ = (read_announce(data), read_nat_pmp_address(data));
    let from = "192.168.1.1:1900".parse().unwrap();
    let is_there = |url: &Url| {
        assert_eq!(url.server.ip().to_string(), "192.168.1.1");
        assert!(url.server.port() != 0 && url.path.starts_with('/'));
        assert!(!url.path.contains(|c: char| c.is_whitespace() || c.is_control()), "{:?}", url.path);
    };
    let location = read_location(data, from);
    location.iter().for_each(is_there);
    for ended in [false, true] {
        let Some((_, body)) = read_answer(data, ended) else { continue };
        // Each byte that is no UTF-8 becomes three.
        assert!(body.len() <= 3 * data.len());
        let at = Url::absolute("http://192.168.1.1:5000/a/b.xml", from).unwrap();
        let services = read_services(&body, &at);
        assert!(services.len() <= 4);
        services.iter().for_each(|(_, control)| is_there(control));
    }
}

pub(crate) fn router_seeds() -> Vec<Vec<u8>> {
    let map =
        [&[2, 0x81, 0, 0, 0, 0, 14, 16][..], &[0; 16], &[7; NONCE], &[6, 0, 0, 0, 0x13, 0x88, 0xa0, 0x28], &[1; 16]];
    let service = "<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
        <controlURL>/control</controlURL></service>";
    let description =
        format!("<URLBase>http://192.168.1.1:80/x/</URLBase>{service}{}", service.replace("/control", "c"));
    let head = "HTTP/1.1 200 OK\r\n";
    let search = format!("{head}ST: urn:x:InternetGatewayDevice:1\r\nLOCATION: http://192.168.1.1:5000/d.xml\r\n\r\n");
    let (length, half) = (description.len(), description.len() / 2);
    let (one, two) = description.split_at(half);
    vec![
        map.concat(),
        vec![2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 7],
        vec![0, 130, 0, 0, 0, 0, 0, 1, 0x13, 0x88, 0xa0, 0x28, 0, 0, 14, 16],
        search.into_bytes(),
        format!("{head}Content-Length: {length}\r\n\r\n{description}").into_bytes(),
        format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        )
        .into_bytes(),
    ]
}

/// An address that is accepted is shown in a form that means the same.
pub(crate) fn address(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(address) = text.parse::<Candidate>() {
        let shown = address.to_string();
        // Hosts that no resolver takes may hold anything; what can be dialled comes back.
        if !text.contains(['[', ']', '%']) {
            assert_eq!(shown.parse(), Ok(address), "{shown:?}");
        }
    }
    if let Ok(address) = text.parse::<ListenAddress>() {
        let _ = address.to_string();
    }
}

pub(crate) fn address_seeds() -> Vec<Vec<u8>> {
    ["5000", "host:5000", "[::1]:7", "[fe80::1%eth0]:5000", "::1", ":5000", "*:0"].map(|text| text.into()).to_vec()
}

/// Lines of the input go as they are or are named; nothing is lost between them, however the bytes come.
pub(crate) fn lines(data: &[u8]) {
    let (bite, data) = data.split_first().map_or((1, data), |(bite, rest)| (usize::from(*bite) + 1, rest));
    let taken = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&taken);
    let intake = InputSender::new(Arc::new(InputBackpressure::default()), move |input| {
        sink.lock().unwrap_or_else(PoisonError::into_inner).push(input);
        true
    });
    read_lines(BufReader::with_capacity(bite, data), &intake);
    let taken = std::mem::take(&mut *taken.lock().unwrap_or_else(PoisonError::into_inner));
    let (named, taken): (Vec<_>, Vec<_>) = taken.into_iter().partition(|input| matches!(input, Input::Rejected { .. }));
    assert!(named.iter().all(|input| matches!(input, Input::Rejected { code: "not-utf8", .. })));
    let whole = data.strip_suffix(b"\n").unwrap_or(data);
    let (mut expected, mut bad) = (Vec::new(), 0);
    for line in whole.split(|byte| *byte == b'\n').filter(|_| !data.is_empty()) {
        match std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) {
            Ok(line) => expected.push(Input::Line(line.to_owned())),
            Err(_) => bad += 1,
        }
    }
    expected.push(Input::Ended);
    assert_eq!(taken, expected);
    assert_eq!(named.len(), bad);
}

pub(crate) fn lines_seeds() -> Vec<Vec<u8>> {
    [&b"\x05a\r\n\nb\xff\nlast"[..], b"\x00one\ntwo\n", b"\xff\r\r\n"].map(<[u8]>::to_vec).to_vec()
}

/// A code that is accepted has something to guess, and means the same when it is typed back.
pub(crate) fn code(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(code) = Code::new(&text) {
        assert!(text.contains(code.display()));
        assert!(Code::new(code.display()).is_ok());
        assert!(text.chars().any(|c| c.is_ascii_alphanumeric()));
        assert!(!text.chars().any(|c| !c.is_ascii() && c.is_alphanumeric()));
    }
}

pub(crate) fn code_seeds() -> Vec<Vec<u8>> {
    ["42-otter-plum", " 7 Yo-Yo ZOOM\n", "\u{43f}1", "--"].map(|text| text.into()).to_vec()
}

/// A command line is understood or refused; the words of it are separated by NUL here.
pub(crate) fn arguments(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words = std::iter::once("p2pchat").chain(text.split('\0').take(24));
    match Cli::try_parse_from(words) {
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

pub(crate) fn arguments_seeds() -> Vec<Vec<u8>> {
    let lines = [
        "listen 5000 --keep --code --accept verified --on-clash refuse -vv",
        "connect [::1]:7 --code=1-a-b --peer ana --json --no-color --stay --reconnect forever --timeout 3600",
        "connect host -n ana -d . --plain --fsync --history -q --wait --reconnect 5",
        "peers rename a b",
        "completions bash",
    ];
    lines.iter().map(|line| line.replace(' ', "\0").into_bytes()).collect()
}
