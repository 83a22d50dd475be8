//! The listener from the seats of callers, honest and not, over real sockets.

use super::*;
use socket2::{Domain, Socket, Type};
use std::io::Read;
use std::sync::mpsc::{self, Receiver};

/// For what must happen at last, on a machine that may be busy.
const PATIENT: Duration = Duration::from_secs(60);
const ATTACKER: [u8; 4] = [127, 0, 0, 1];
/// Linux has all of 127.0.0.0/8 on its loopback.
#[cfg(target_os = "linux")]
const HONEST: [u8; 4] = [127, 0, 0, 2];

fn listener() -> (Listener, SocketAddr, Receiver<ListenEvent>) {
    let (tell, told) = mpsc::channel();
    let (sockets, identity) = (bind(&"127.0.0.1:0".parse().unwrap()).unwrap(), Identity::generate().unwrap());
    let (accept_key, modes) = (|_: &_| Ok(None), AcceptedModes { code: None, open: true });
    let tell = move |event| drop(tell.send(event));
    let listener = Listener::start(sockets, Arc::new(identity), Arc::new(accept_key), modes, PATIENT, tell).unwrap();
    let addr = listener.addrs()[0];
    (listener, addr, told)
}

fn call_from(ip: [u8; 4], addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect(&addr.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENT)).unwrap();
    stream
}

/// A caller that says a good hello, has been answered with one, and then says nothing.
fn good_hello(addr: SocketAddr) -> TcpStream {
    let mut stream = call_from(ATTACKER, addr);
    stream.write_all(&Hello::new(Mode::Open).unwrap().encode()).unwrap();
    stream.read_exact(&mut [0; crate::channel::HELLO]).unwrap();
    stream
}

fn is_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let open = stream.peek(&mut [0; 1]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    open
}

fn next(told: &Receiver<ListenEvent>) -> ListenEvent {
    told.recv_timeout(PATIENT).unwrap()
}

/// A whole honest opening on a connected socket; the event loop is played by `told`.
#[cfg(target_os = "linux")]
fn greet(stream: TcpStream, addr: SocketAddr) {
    use crate::net::opening::fixtures::{greeting, stranger};
    use crate::net::opening::initiate;
    use crate::protocol::frame::{Greeting, Intent};

    let greeting = Greeting { name: "honest".into(), ..greeting(Intent::New) };
    let answered = initiate(stream, addr, Instant::now() + PATIENT, &stranger(), greeting);
    // Nobody answers the greeting here; the listener's part ends with having read it.
    assert!(matches!(answered, Err(ConnectError::NoGreeting(_))), "{answered:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_flood_of_good_hellos_from_one_address_keeps_nobody_at_another_out() {
    use std::thread::scope;

    /// Attackers that come while one flight of the honest caller's is on its way: over 100 a second at a round trip of 100 ms.
    const WAVE: usize = 2 * callers::CALLERS;
    let (listener, addr, told) = listener();
    // The honest caller's line: each flight of it lets a wave of attackers go first.
    let relay = TcpListener::bind("127.0.0.1:0").unwrap();
    let relayed = relay.local_addr().unwrap();
    scope(|scope| {
        let line = scope.spawn(move || {
            let (mut near, _) = relay.accept().unwrap();
            let mut far = call_from(HONEST, addr);
            let mut held = Vec::new();
            let mut back = (far.try_clone().unwrap(), near.try_clone().unwrap());
            let back = thread::spawn(move || {
                let _ = io::copy(&mut back.0, &mut back.1);
                back.1.shutdown(Shutdown::Both)
            });
            let mut flight = [0; 4_096];
            let mut flights = 0;
            while let Ok(length @ 1..) = near.read(&mut flight) {
                held.splice(.., (0..WAVE).map(|_| good_hello(addr)));
                flights += 1;
                far.write_all(&flight[..length]).unwrap();
            }
            let _ = far.shutdown(Shutdown::Both);
            let _ = back.join();
            flights
        });
        let honest = scope.spawn(move || greet(TcpStream::connect(relayed).unwrap(), relayed));
        let mut evicted = 0;
        loop {
            match next(&told) {
                ListenEvent::PeerGreeted(established) => {
                    assert_eq!(established.addr.ip(), IpAddr::from(HONEST));
                    assert_eq!(established.greeting.name, "honest");
                    break;
                }
                ListenEvent::Rejected(from, error) => {
                    assert_eq!(from.ip(), IpAddr::from(ATTACKER), "{error}");
                    evicted += usize::from(matches!(error, ConnectError::Evicted));
                }
                other => panic!("{other:?}"),
            }
        }
        honest.join().unwrap();
        assert!(line.join().unwrap() >= 3, "hello, message 1, message 3 and the greeting");
        assert!(evicted > 0);
    });
    listener.close();
}

#[test]
fn one_caller_too_many_evicts_the_oldest_and_nobody_else() {
    let (listener, addr, told) = listener();
    let mut held: Vec<_> = (0..callers::CALLERS).map(|_| good_hello(addr)).collect();
    assert!(held.iter().all(is_open));
    held.push(good_hello(addr));
    assert!(is_ended(&mut held[0]));
    assert!(matches!(next(&told), ListenEvent::Rejected(_, ConnectError::Evicted)));
    assert!(held[1..].iter().all(is_open));
    listener.close();
}

#[test]
fn closing_ends_openings_under_way_and_waits_for_none() {
    let (listener, addr, told) = listener();
    let mut held: Vec<_> = (0..5).map(|_| good_hello(addr)).collect();
    // Their deadline is a minute away.
    listener.close();
    assert!(held.iter_mut().all(is_ended));
    assert!(told.recv_timeout(PATIENT).is_err(), "all threads ended, and nothing is told after close");
    assert!(TcpStream::connect(addr).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused));
}

#[cfg(target_os = "linux")]
#[test]
fn a_listener_whose_socket_is_dead_says_so_and_ends() {
    let (listener, _, told) = listener();
    socket2::SockRef::from(&*listener.sockets[0].upgrade().unwrap()).shutdown(Shutdown::Both).unwrap();
    assert!(matches!(next(&told), ListenEvent::Failed { ended: true, .. }));
    drop(listener);
    assert!(told.recv_timeout(PATIENT).is_err());
}

#[test]
fn a_blocking_accept_is_ended_by_a_connection_to_itself_as_well() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let accepting = thread::spawn(move || socket.accept().map(|(stream, _)| stream));
    connect_to_self(addr);
    assert!(accepting.join().unwrap().is_ok());
}

#[cfg(unix)]
#[test]
fn somebody_else_who_answers_where_the_peer_should_dial_from_is_named_once() {
    let (mut listener, _, told) = listener();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.toward(other.local_addr().unwrap().into()).unwrap();
    listener.want_callers(true);
    for _ in 0..3 {
        let (mut stream, _) = other.accept().unwrap();
        stream.write_all(b"SSH-2.0-x\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    listener.close();
    let said: Vec<_> = told.iter().collect();
    assert!(
        matches!(&said[..], [ListenEvent::Missed(words)] if words.contains("answered and was turned away")),
        "{said:?}"
    );
}
