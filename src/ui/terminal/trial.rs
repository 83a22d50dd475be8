//! By hand: `cargo test --lib terminal::trial -- --ignored --nocapture` in a real terminal.

use super::*;
use crate::ui::{Direction, Gate, Input, Notice, PeerText, Trust};
use std::sync::mpsc::channel;

#[test]
#[ignore = "needs a terminal and a person"]
fn trial() {
    let (post, notices) = channel::<Posted>();
    let (give, taken) = channel::<Input>();
    let say = move |notice| post.send(Posted { notice, settles: None }).is_ok();
    let intake = Intake::new(Arc::new(Gate::default()), move |input| give.send(input).is_ok());
    let talk = thread::spawn(move || {
        say(Notice::Listening { addrs: vec!["127.0.0.1:5050".into()], code: None });
        say(Notice::Connected {
            peer: PeerText::new("bob"),
            fingerprint: "ABCD-EFGH".into(),
            addr: "127.0.0.1:1".into(),
            verify: Some("12345 67890".into()),
            trust: Trust::New,
            own: "alice".into(),
        });
        let (mut id, mut flood, mut gap, mut bytes, mut bars) = (0_u64, 0_u64, 50, 0_u64, false);
        loop {
            match taken.recv_timeout(Duration::from_millis(if flood > 0 { gap } else { 100 })) {
                Ok(Input::Line(line)) => {
                    let mut words = line.split(' ');
                    match words.next() {
                        Some("/quit") => break,
                        Some("/help") => {
                            say(Notice::Info(crate::ui::Info::Help));
                        }
                        Some("/flood") => {
                            flood = words.next().and_then(|n| n.parse().ok()).unwrap_or(10);
                            gap = words.next().and_then(|n| n.parse().ok()).unwrap_or(50);
                        }
                        Some("/bars") => {
                            bars = true;
                            for transfer in 1..=2 {
                                say(Notice::Offer {
                                    transfer,
                                    direction: if transfer == 1 { Direction::In } else { Direction::Out },
                                    name: PeerText::new(format!("file{transfer}.tar")),
                                    more: 0,
                                    files: 1,
                                    folders: 0,
                                    bytes: 1 << 33,
                                    clashes: None,
                                    free: None,
                                    asks: false,
                                });
                            }
                        }
                        Some("/endbars") => {
                            bars = false;
                            for transfer in 1..=2 {
                                say(Notice::Cancelled { transfer, reason: "".into(), by_peer: false });
                            }
                        }
                        Some("/panic") => {
                            std::panic::set_hook(Box::new(|info| {
                                restore();
                                eprintln!("panicked: {info}");
                            }));
                            panic!("asked for");
                        }
                        _ => {
                            say(Notice::Sent { id, text: line, action: false });
                        }
                    }
                }
                Ok(_) => break,
                Err(_) if flood > 0 => {
                    id += 1;
                    flood -= 1;
                    let filling = "lorem ipsum ".repeat(usize::try_from(id % 9).unwrap());
                    let text = format!("<m{id}> {filling}</m{id}>");
                    say(Notice::Message { id, from: PeerText::new("bob"), text: PeerText::new(text), action: false });
                }
                Err(_) => {}
            }
            if bars {
                bytes += 1 << 22;
                for transfer in 1..=2 {
                    say(Notice::Progress { transfer, bytes, total: 1 << 33, files: 0 });
                }
            }
        }
    });
    let face = Terminal { colour: true, ..Terminal::default() };
    face.run(notices, intake, |_| ()).unwrap();
    let _ = talk.join();
    println!("ended");
}
