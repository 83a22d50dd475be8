use super::*;
use crate::channel::{HELLO, Hello, Mode};
use crate::net::opening::fixtures::{greeting, stranger};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::thread;

#[test]
fn a_hello_of_another_mode_does_not_end_a_lost_session() {
    // Anybody on the way can send one, for it is not authenticated.
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let answering = thread::spawn(move || {
        for _ in 0..2 {
            let mut stream = socket.accept().unwrap().0;
            stream.write_all(&Hello::new(Mode::Code).unwrap().encode()).unwrap();
            let _ = stream.read_exact(&mut [0; HELLO]);
        }
    });
    let dialler = Dialler {
        candidates: vec![address.into()],
        whom: address.to_string(),
        invited: false,
        timeout: Duration::from_secs(60),
        credentials: stranger(),
        proxies: Arc::default(),
        look_for: None,
        from: None,
    };
    let (until, told) = (Until::Forgotten, Vec::new());
    let request = DialRequest { greeting: greeting(Intent::Resume), until, told, at_once: true, explain: false };
    let wake = Arc::new(Wake::default());
    let (tell, told) = mpsc::channel();
    let redialling = {
        let wake = Arc::clone(&wake);
        thread::spawn(move || dialler.dial(request, &wake, &|words| tell.send(words).unwrap()))
    };
    assert_eq!(told.recv().unwrap(), format!("{address}: {STARTED_ANEW}"));
    // It dialled again after the first answer.
    answering.join().unwrap();
    wake.stop();
    assert!(matches!(redialling.join().unwrap(), Err(DialError::Stopped)));
    assert_eq!(told.iter().count(), 0, "the same words once");
}
