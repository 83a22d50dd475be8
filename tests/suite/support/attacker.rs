//! Whoever speaks the protocol without being this program: it has the channel and the frames, and obeys no session.

use p2pchat::channel::{Channel, Code, HELLO, Hello, Mode, Opener, Role, Terms, establish, write_frame};
use p2pchat::identity::Identity;
use p2pchat::protocol::frame::{
    ByeReason, Control, END_WEIGHT, FEATURE_ZCHUNK, Frame, Greeting, Intent, RECONNECT_FOREVER, Refusal,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use tempfile::TempDir;

/// A connection of its own, after the handshake.
pub(crate) struct Attacker {
    pub(crate) stream: TcpStream,
    pub(crate) channel: Channel,
    seq: u64,
    initiator: bool,
    pub(crate) features: u32,
    /// What a greeting says of the peer's frames that came.
    pub(crate) received: u64,
    /// The number of the next own transfer.
    pub(super) transfers: u32,
    /// The peer's latest CREDIT, and the weight that was sent.
    pub(super) credit: u64,
    pub(super) weight: u64,
}

fn words(error: impl ToString) -> String {
    error.to_string()
}

/// A key of its own.
pub(crate) fn identity() -> Identity {
    Identity::load_or_create(TempDir::new().unwrap().path()).unwrap()
}

/// A good hello.
pub(crate) fn hello(mode: Mode) -> [u8; HELLO] {
    Hello::new(mode).unwrap().encode()
}

impl Attacker {
    /// Dials and shakes hands with `key`; with a code in code mode.
    pub(crate) fn dial(addr: SocketAddr, key: &Identity, code: Option<&str>) -> Result<Self, String> {
        Self::shake(TcpStream::connect(addr).map_err(words)?, Role::Initiator, key, code)
    }

    /// The same on a connected stream, in either role.
    pub(crate) fn shake(mut stream: TcpStream, role: Role, key: &Identity, code: Option<&str>) -> Result<Self, String> {
        stream.set_read_timeout(Some(super::DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let code = code.map(|code| Code::new(code).unwrap());
        let own = Hello::new(if code.is_some() { Mode::Code } else { Mode::Open }).unwrap();
        stream.write_all(&own.encode()).map_err(words)?;
        let mut bytes = [0; HELLO];
        stream.read_exact(&mut bytes).map_err(words)?;
        let theirs = Hello::decode(&bytes, &own).map_err(words)?;
        let terms =
            Terms { role, code: code.as_ref(), identity: key, accept_key: &|_| Ok(None), reserve_try: &|| true };
        let channel = establish(&mut stream, &own, &theirs, &terms).map_err(words)?;
        let initiator = matches!(role, Role::Initiator);
        let transfers = if initiator { 1 } else { 2 };
        let features = FEATURE_ZCHUNK;
        Ok(Self { stream, channel, seq: 0, initiator, features, received: 0, transfers, credit: 0, weight: 0 })
    }

    /// Takes the next who dials, and gives what it greets with.
    pub(crate) fn accept(socket: &TcpListener, key: &Identity) -> (Self, Greeting) {
        let mut attacker = Self::shake(socket.accept().unwrap().0, Role::Responder, key, None).unwrap();
        let Some(Frame::Greeting(greeting)) = attacker.read() else { panic!("no greeting") };
        (attacker, greeting)
    }

    /// Dials as a stranger and begins a session.
    pub(crate) fn meet(addr: SocketAddr, name: &str) -> Self {
        Self::meet_with(addr, name, FEATURE_ZCHUNK)
    }

    /// The same with these features.
    pub(crate) fn meet_with(addr: SocketAddr, name: &str, features: u32) -> Self {
        let mut attacker = Self::dial(addr, &identity(), None).unwrap();
        attacker.features = features;
        let answer = attacker.greet(Intent::New, [7; 16], name);
        assert!(matches!(answer, Some(Frame::Greeting(_))), "{answer:?}");
        attacker
    }

    /// Sends a greeting, and gives the answer.
    pub(crate) fn greet(&mut self, intent: Intent, session: [u8; 16], name: &str) -> Option<Frame> {
        let Frame::Greeting(greeting) = greeting(intent, session, name) else { unreachable!() };
        let Self { features, received, .. } = *self;
        self.send(&Frame::Greeting(Greeting { features, received, ..greeting })).unwrap();
        let answer = self.read();
        if let Some(Frame::Greeting(theirs)) = &answer {
            // The initiator's numbers are odd.
            let least = theirs.next_transfer.max(1);
            self.transfers = least + u32::from((least % 2 == 1) != self.initiator);
        }
        answer
    }

    /// Sends a frame, whatever it is.
    pub(crate) fn send(&mut self, frame: &Frame) -> Result<(), String> {
        self.weight += match frame {
            Frame::Begin { .. } | Frame::FileEnd { .. } => END_WEIGHT,
            Frame::Chunk { data, .. } => data.len() as u64,
            Frame::Zchunk { frame, .. } => (frame.len() as u64).max(END_WEIGHT),
            _ => 0,
        };
        write_frame(&mut self.stream, &mut self.channel.sealer, frame).map_err(words)
    }

    /// Sends a control frame with the next number.
    pub(crate) fn control(&mut self, control: Control) -> Result<(), String> {
        self.seq += 1;
        let seq = self.seq;
        self.send(&Frame::Control { seq, control })
    }

    /// Seals bytes that are no frame.
    pub(crate) fn send_bytes(&mut self, frame: &[u8]) {
        let mut record = [&[0; 2], frame, &[0; 16]].concat();
        self.channel.sealer.seal(&mut record).unwrap();
        let _ = self.stream.write_all(&record);
    }

    /// The next frame; none when the peer hung up.
    pub(crate) fn read(&mut self) -> Option<Frame> {
        let frame = read_any(&mut self.stream, &mut self.channel.opener)?;
        if let Frame::Credit { limit } = frame {
            self.credit = limit;
        }
        Some(frame)
    }

    /// Reads on to a frame that fits; none when the peer hung up before.
    pub(crate) fn read_to(&mut self, fits: impl Fn(&Frame) -> bool) -> Option<Frame> {
        loop {
            let frame = self.read()?;
            if fits(&frame) {
                return Some(frame);
            }
        }
    }

    /// Reads on until all that was sent is acknowledged, and acknowledges what came meanwhile; false when the peer hangs up before.
    pub(crate) fn is_acknowledged(&mut self) -> bool {
        let mut came = None;
        loop {
            match self.read() {
                None => return false,
                Some(Frame::Ack(seq)) if seq == self.seq => break,
                Some(Frame::Control { seq, .. }) => came = Some(seq),
                Some(_) => {}
            }
        }
        came.is_none_or(|seq| self.send(&Frame::Ack(seq)).is_ok())
    }

    /// Says goodbye, and goes when the peer has said it too.
    pub(crate) fn leave(mut self) {
        self.control(Control::Bye { reason: ByeReason::Quit }).unwrap();
        let bye = |frame: &Frame| matches!(frame, Frame::Control { control: Control::Bye { .. }, .. });
        let Some(Frame::Control { seq, .. }) = self.read_to(bye) else { panic!("no goodbye came") };
        self.send(&Frame::Ack(seq)).unwrap();
        self.read_to_end();
    }

    /// Reads until the peer hangs up.
    pub(crate) fn read_to_end(&mut self) {
        while self.read().is_some() {}
    }
}

/// The next frame of a program, whichever it is; none at the end of the stream.
pub(crate) fn read_any(stream: &mut TcpStream, opener: &mut Opener) -> Option<Frame> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut body = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut body).ok()?;
    opener.open(&mut body).expect("the program seals well");
    Some(Frame::decode(&body[..body.len() - 16]).expect("the program sends good frames"))
}

/// A greeting that waits for a lost connection for ever.
pub(crate) fn greeting(intent: Intent, session: [u8; 16], name: &str) -> Frame {
    Frame::Greeting(Greeting {
        intent,
        session,
        received: 0,
        features: FEATURE_ZCHUNK,
        next_transfer: 1,
        reconnect_timeout: RECONNECT_FOREVER,
        name: name.into(),
    })
}

/// Whether a greeting was turned down for this.
pub(crate) fn is_refusal(frame: Option<&Frame>, with: Refusal) -> bool {
    matches!(frame, Some(Frame::Refusal(refusal)) if *refusal == with)
}
