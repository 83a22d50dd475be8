//! Encoding and decoding, side by side.
//!
//! [`Frame::encode`] and [`Frame::decode`] are exact inverses: decoding is total, leaves no byte unread, and whatever it
//! accepts encodes to the same bytes. Nothing here keeps state or touches a socket.

use super::error::FrameError;
use super::frame::{
    ADDRS, Addrs, ByeReason, CHUNK_DATA, CHUNK_HEADER, ChunkHeader, Control, FileStatus, Frame, Greeting, Intent,
    KIND_CHUNK, KIND_ZCHUNK, LINE_TEXT, LIST_BYTES, NAME, NO_DIGEST, Offer, POSITIONS, Position, REASON_TEXT, Reason,
    Refusal, STREAM_BYTES, TransferId, at_most,
};
use byteorder::{BigEndian, ReadBytesExt, WriteBytesExt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Gives each enum of one byte its two directions from one table, so that they cannot disagree.
macro_rules! wire_byte {
    ($type:ty, $name:literal, $($value:literal => $variant:ident),+ $(,)?) => {
        impl $type {
            fn to_wire(self) -> u8 {
                match self { $(Self::$variant => $value),+ }
            }
            fn from_wire(byte: u8) -> Result<Self, FrameError> {
                match byte { $($value => Ok(Self::$variant),)+ other => Err(FrameError::Value($name, u64::from(other))) }
            }
        }
    };
}

wire_byte!(Intent, "GREETING", 0 => New, 1 => Resume);
wire_byte!(Refusal, "REFUSAL", 1 => Busy, 2 => NoSuchSession);
wire_byte!(Reason, "DECLINE or CANCEL", 0 => Confirmed, 1 => User, 2 => Rule, 3 => TooMuch, 4 => Names, 5 => Space,
    6 => Io, 7 => Changed, 8 => Leaving);
wire_byte!(FileStatus, "FILE_END", 0 => Whole, 1 => Changed, 2 => Unreadable);
wire_byte!(ByeReason, "BYE", 0 => Quit, 1 => InputEnded, 2 => Signal, 3 => Failure);

const KIND_COMMIT: u8 = 0x01;
const KIND_NONCE: u8 = 0x02;
const KIND_REVEAL: u8 = 0x03;
const KIND_GREETING: u8 = 0x04;
const KIND_REFUSAL: u8 = 0x05;
const KIND_KEM_KEY: u8 = 0x06;
const KIND_KEM_CT: u8 = 0x07;
const KIND_PING: u8 = 0x10;
const KIND_PONG: u8 = 0x11;
const KIND_ACK: u8 = 0x12;
const KIND_CREDIT: u8 = 0x13;
const KIND_RESTART: u8 = 0x14;
const KIND_ADDRS: u8 = 0x15;
const KIND_RECEIVED: u8 = 0x16;
const KIND_LINE: u8 = 0x20;
const KIND_OFFER: u8 = 0x21;
const KIND_ACCEPT: u8 = 0x22;
const KIND_DECLINE: u8 = 0x23;
const KIND_CANCEL: u8 = 0x24;
const KIND_COMPLETE: u8 = 0x25;
const KIND_BYE: u8 = 0x26;
const KIND_FILE_END: u8 = 0x31;
const KIND_BEGIN: u8 = 0x32;

const LINE_ACTION: u8 = 1;

impl ChunkHeader {
    /// The header's bytes.
    pub fn encode(self) -> [u8; CHUNK_HEADER] {
        let mut bytes = [0; CHUNK_HEADER];
        let (kind, rest) = bytes.split_at_mut(1);
        let (transfer, position) = rest.split_at_mut(4);
        kind.copy_from_slice(&[if self.compressed { KIND_ZCHUNK } else { KIND_CHUNK }]);
        transfer.copy_from_slice(&self.transfer.to_be_bytes());
        position.copy_from_slice(&self.position.to_be_bytes());
        bytes
    }

    /// Takes a frame of kind [`KIND_CHUNK`] or [`KIND_ZCHUNK`] apart: header and data.
    ///
    /// # Errors
    /// When it is of another kind, the header is cut, or the data is empty or over [`CHUNK_DATA`].
    pub fn decode(frame: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let (name, compressed, body) = match frame.split_first() {
            Some((&KIND_CHUNK, body)) => ("CHUNK", false, body),
            Some((&KIND_ZCHUNK, body)) => ("ZCHUNK", true, body),
            Some((&kind, _)) => return Err(FrameError::UnknownKind(kind)),
            None => return Err(FrameError::Empty),
        };
        let mut body = Body::of(name, body);
        let header = Self { compressed, transfer: body.number()?, position: body.position()? };
        Ok((header, body.rest(1, CHUNK_DATA)?))
    }
}

impl Frame {
    /// Appends the frame's kind and body to `out`.
    ///
    /// Strings and data are the caller's to keep within the limits; what goes over them a peer refuses.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Commit(bytes) => put(out, KIND_COMMIT, &[bytes]),
            Self::Nonce(bytes) => put(out, KIND_NONCE, &[bytes]),
            Self::Reveal(bytes) => put(out, KIND_REVEAL, &[bytes]),
            Self::Greeting(greeting) => {
                put(out, KIND_GREETING, &[&[greeting.intent.to_wire()], &greeting.session]);
                put_u64(out, greeting.received);
                put_u32(out, greeting.features);
                put_u32(out, greeting.next_transfer);
                put_u32(out, greeting.reconnect_timeout);
                put_str8(out, &greeting.name);
            }
            Self::KemKey(key) => put(out, KIND_KEM_KEY, &[key.as_slice()]),
            Self::KemCt(ciphertext) => put(out, KIND_KEM_CT, &[ciphertext.as_slice()]),
            Self::Refusal(code) => put(out, KIND_REFUSAL, &[&[code.to_wire()]]),
            Self::Ping(token) => put(out, KIND_PING, &[&token.to_be_bytes()]),
            Self::Pong(token) => put(out, KIND_PONG, &[&token.to_be_bytes()]),
            Self::Ack(received) => put(out, KIND_ACK, &[&received.to_be_bytes()]),
            Self::Credit { limit } => put(out, KIND_CREDIT, &[&limit.to_be_bytes()]),
            Self::Restart { transfer, position, digest } => {
                put(out, KIND_RESTART, &[&transfer.to_be_bytes(), &position.to_be_bytes(), digest]);
            }
            Self::Addrs(addrs) => addrs.encode(out),
            Self::Received { transfer, position } => {
                put(out, KIND_RECEIVED, &[&transfer.to_be_bytes(), &position.to_be_bytes()]);
            }
            Self::Begin { transfer, position } => {
                put(out, KIND_BEGIN, &[&transfer.to_be_bytes(), &position.to_be_bytes()]);
            }
            Self::Control { seq, control } => control.encode(*seq, out),
            Self::Chunk { transfer, position, data } => {
                put(out, KIND_CHUNK, &[&transfer.to_be_bytes(), &position.to_be_bytes(), data]);
            }
            Self::Zchunk { transfer, position, frame } => {
                put(out, KIND_ZCHUNK, &[&transfer.to_be_bytes(), &position.to_be_bytes(), frame]);
            }
            Self::FileEnd { transfer, position, status, digest } => put(
                out,
                KIND_FILE_END,
                &[&transfer.to_be_bytes(), &position.to_be_bytes(), &[status.to_wire()], digest],
            ),
        }
    }

    /// Takes one frame apart: all of `frame`, which is the plaintext of one record.
    ///
    /// # Errors
    /// Names what the peer did wrong; see [`FrameError`].
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let (&kind, body) = frame.split_first().ok_or(FrameError::Empty)?;
        let name = kind_name(kind).ok_or(FrameError::UnknownKind(kind))?;
        let mut body = Body::of(name, body);
        let decoded = match kind {
            KIND_COMMIT => Self::Commit(body.array()?),
            KIND_NONCE => Self::Nonce(body.array()?),
            KIND_REVEAL => Self::Reveal(body.array()?),
            KIND_GREETING => Self::Greeting(Greeting {
                intent: Intent::from_wire(body.u8()?)?,
                session: body.array()?,
                received: body.u64()?,
                features: body.u32()?,
                next_transfer: body.number()?,
                reconnect_timeout: body.u32()?,
                name: body.str8(1, NAME)?,
            }),
            KIND_KEM_KEY => Self::KemKey(Box::new(body.array()?)),
            KIND_KEM_CT => Self::KemCt(Box::new(body.array()?)),
            KIND_REFUSAL => Self::Refusal(Refusal::from_wire(body.u8()?)?),
            KIND_PING => Self::Ping(body.u64()?),
            KIND_PONG => Self::Pong(body.u64()?),
            KIND_ACK => Self::Ack(body.u64()?),
            KIND_CREDIT => Self::Credit { limit: body.position()? },
            KIND_RESTART => {
                Self::Restart { transfer: body.number()?, position: body.position()?, digest: body.array()? }
            }
            KIND_ADDRS => Self::Addrs(Addrs::decode(&mut body)?),
            KIND_RECEIVED => Self::Received { transfer: body.number()?, position: body.position()? },
            KIND_BEGIN => Self::Begin { transfer: body.number()?, position: body.position()? },
            KIND_CHUNK => Self::Chunk {
                transfer: body.number()?,
                position: body.position()?,
                data: body.rest(1, CHUNK_DATA)?.to_vec(),
            },
            KIND_ZCHUNK => Self::Zchunk {
                transfer: body.number()?,
                position: body.position()?,
                frame: body.rest(1, CHUNK_DATA)?.to_vec(),
            },
            KIND_FILE_END => {
                let (transfer, position) = (body.number()?, body.position()?);
                let status = FileStatus::from_wire(body.u8()?)?;
                let digest = body.array()?;
                if status != FileStatus::Whole && digest != NO_DIGEST {
                    return Err(FrameError::Digest(name));
                }
                Self::FileEnd { transfer, position, status, digest }
            }
            _ => {
                let seq = body.u64()?;
                if seq == 0 {
                    return Err(FrameError::Value(name, 0));
                }
                Self::Control { seq, control: Control::decode(kind, &mut body)? }
            }
        };
        body.end()?;
        Ok(decoded)
    }
}

impl Control {
    /// Kind and body in bytes, as they count against [`crate::protocol::frame::UNACKNOWLEDGED_BYTES`].
    pub fn encoded_len(&self) -> usize {
        1 + 8
            + match self {
                Self::Line { text, .. } => 1 + text.len(),
                Self::Offer { .. } => 4 + 4 + 4 + 8 + 4 + 32,
                Self::Accept { .. } => 4 + 8 + 32,
                Self::Decline { text, .. } | Self::Cancel { text, .. } => 4 + 1 + 2 + text.len(),

                Self::Complete { .. } => 4 + 4 + 4,
                Self::Bye { .. } => 1,
            }
    }

    fn encode(&self, seq: u64, out: &mut Vec<u8>) {
        let seq = seq.to_be_bytes();
        match self {
            Self::Line { action, text } => {
                let flags = if *action { LINE_ACTION } else { 0 };
                put(out, KIND_LINE, &[&seq, &[flags], text.as_bytes()]);
            }
            Self::Offer { transfer, offer } => {
                put(out, KIND_OFFER, &[&seq, &transfer.to_be_bytes()]);
                put_u32(out, offer.files);
                put_u32(out, offer.folders);
                put_u64(out, offer.bytes);
                put_u32(out, offer.list);
                out.extend_from_slice(&offer.digest);
            }
            Self::Accept { transfer, position, digest } => {
                put(out, KIND_ACCEPT, &[&seq, &transfer.to_be_bytes(), &position.to_be_bytes(), digest]);
            }
            Self::Decline { transfer, reason, text } => {
                put(out, KIND_DECLINE, &[&seq, &transfer.to_be_bytes(), &[reason.to_wire()]]);
                put_str16(out, text);
            }
            Self::Cancel { transfer, reason, text } => {
                put(out, KIND_CANCEL, &[&seq, &transfer.to_be_bytes(), &[reason.to_wire()]]);
                put_str16(out, text);
            }
            Self::Complete { transfer, files, failed } => {
                put(out, KIND_COMPLETE, &[&seq, &transfer.to_be_bytes(), &files.to_be_bytes(), &failed.to_be_bytes()])
            }
            Self::Bye { reason } => put(out, KIND_BYE, &[&seq, &[reason.to_wire()]]),
        }
    }

    fn decode(kind: u8, body: &mut Body<'_>) -> Result<Self, FrameError> {
        Ok(match kind {
            KIND_LINE => {
                let action = body.flag(LINE_ACTION)?;
                Self::Line { action, text: body.utf8_rest(1, LINE_TEXT)? }
            }
            KIND_OFFER => Self::Offer {
                transfer: body.number()?,
                offer: Offer {
                    files: body.u32()?,
                    folders: body.u32()?,
                    bytes: body.sizes()?,
                    list: body.ranged_u32(1, LIST_BYTES)?,
                    digest: body.array()?,
                },
            },
            KIND_ACCEPT => Self::Accept { transfer: body.number()?, position: body.position()?, digest: body.array()? },
            KIND_DECLINE => {
                let transfer = body.number()?;
                let reason = body.u8()?;
                if reason == Reason::Confirmed.to_wire() {
                    return Err(FrameError::Value("DECLINE", u64::from(reason)));
                }
                Self::Decline { transfer, reason: Reason::from_wire(reason)?, text: body.str16(0, REASON_TEXT)? }
            }
            KIND_CANCEL => Self::Cancel {
                transfer: body.number()?,
                reason: Reason::from_wire(body.u8()?)?,
                text: body.str16(0, REASON_TEXT)?,
            },
            KIND_COMPLETE => Self::Complete { transfer: body.number()?, files: body.u32()?, failed: body.u32()? },
            KIND_BYE => Self::Bye { reason: ByeReason::from_wire(body.u8()?)? },
            other => return Err(FrameError::UnknownKind(other)),
        })
    }
}

impl Addrs {
    fn encode(&self, out: &mut Vec<u8>) {
        let list = self.list.get(..ADDRS).unwrap_or(&self.list);
        put(out, KIND_ADDRS, &[&self.port.to_be_bytes()]);
        out.extend(u8::try_from(list.len()));
        for addr in list {
            let own_port = addr.port().to_be_bytes();
            let own_port = if addr.port() == self.port { &[][..] } else { &own_port };
            match addr.ip() {
                IpAddr::V4(ip) => put_addr(out, &ip.octets(), own_port),
                IpAddr::V6(ip) => put_addr(out, &ip.octets(), own_port),
            }
        }
    }

    fn decode(body: &mut Body<'_>) -> Result<Self, FrameError> {
        let (port, count) = (body.u16()?, body.u8()?);
        if usize::from(count) > ADDRS {
            return Err(FrameError::Value(body.name, u64::from(count)));
        }
        let list = (0..count).map(|_| body.addr(port)).collect::<Result<_, _>>()?;
        Ok(Self { port, list })
    }
}

fn kind_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        KIND_COMMIT => "COMMIT",
        KIND_NONCE => "NONCE",
        KIND_REVEAL => "REVEAL",
        KIND_GREETING => "GREETING",
        KIND_REFUSAL => "REFUSAL",
        KIND_KEM_KEY => "KEM_KEY",
        KIND_KEM_CT => "KEM_CT",
        KIND_PING => "PING",
        KIND_PONG => "PONG",
        KIND_ACK => "ACK",
        KIND_CREDIT => "CREDIT",
        KIND_RESTART => "RESTART",
        KIND_ADDRS => "ADDRS",
        KIND_RECEIVED => "RECEIVED",
        KIND_LINE => "LINE",
        KIND_OFFER => "OFFER",
        KIND_ACCEPT => "ACCEPT",
        KIND_DECLINE => "DECLINE",
        KIND_CANCEL => "CANCEL",
        KIND_COMPLETE => "COMPLETE",
        KIND_BYE => "BYE",
        KIND_CHUNK => "CHUNK",
        KIND_FILE_END => "FILE_END",
        KIND_BEGIN => "BEGIN",
        KIND_ZCHUNK => "ZCHUNK",
        _ => return None,
    })
}

fn put(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    out.push(kind);
    for part in parts {
        out.extend_from_slice(part);
    }
}

// Writing to a `Vec` cannot fail, so the results of byteorder's writers carry nothing.
fn put_u32(out: &mut Vec<u8>, value: u32) {
    let _ = out.write_u32::<BigEndian>(value);
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    let _ = out.write_u64::<BigEndian>(value);
}

fn put_str8(out: &mut Vec<u8>, text: &str) {
    let text = at_most(text, usize::from(u8::MAX));
    let _ = out.write_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn put_str16(out: &mut Vec<u8>, text: &str) {
    let text = at_most(text, REASON_TEXT);
    let _ = out.write_u16::<BigEndian>(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn put_addr(out: &mut Vec<u8>, ip: &[u8], port: &[u8]) {
    out.extend(u8::try_from(ip.len() + port.len()));
    out.extend_from_slice(ip);
    out.extend_from_slice(port);
}

/// What is left of a body while it is taken apart; knows the frame's name for its errors.
struct Body<'a> {
    name: &'static str,
    left: &'a [u8],
}

impl<'a> Body<'a> {
    fn of(name: &'static str, left: &'a [u8]) -> Self {
        Self { name, left }
    }

    fn short<T>(&self, read: std::io::Result<T>) -> Result<T, FrameError> {
        read.map_err(|_| FrameError::Short(self.name))
    }

    fn u8(&mut self) -> Result<u8, FrameError> {
        let read = self.left.read_u8();
        self.short(read)
    }

    fn u16(&mut self) -> Result<u16, FrameError> {
        let read = self.left.read_u16::<BigEndian>();
        self.short(read)
    }

    fn u32(&mut self) -> Result<u32, FrameError> {
        let read = self.left.read_u32::<BigEndian>();
        self.short(read)
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        let read = self.left.read_u64::<BigEndian>();
        self.short(read)
    }

    fn flag(&mut self, bit: u8) -> Result<bool, FrameError> {
        match self.u8()? {
            0 => Ok(false),
            set if set == bit => Ok(true),
            other => Err(FrameError::Value(self.name, u64::from(other))),
        }
    }

    fn ranged_u32(&mut self, low: u32, high: u32) -> Result<u32, FrameError> {
        let value = self.u32()?;
        if (low..=high).contains(&value) { Ok(value) } else { Err(FrameError::Value(self.name, u64::from(value))) }
    }

    /// A transfer's number: 1 and up.
    fn number(&mut self) -> Result<TransferId, FrameError> {
        self.ranged_u32(1, u32::MAX)
    }

    fn position(&mut self) -> Result<Position, FrameError> {
        let value = self.u64()?;
        if value < POSITIONS { Ok(value) } else { Err(FrameError::Value(self.name, value)) }
    }

    /// An entry of ADDRS.
    fn addr(&mut self, port: u16) -> Result<SocketAddr, FrameError> {
        let length = self.u8()?;
        let ip = match length {
            4 | 6 => Ipv4Addr::from(self.array()?).into(),
            16 | 18 => Ipv6Addr::from(self.array::<16>()?).into(),
            other => return Err(FrameError::Value(self.name, u64::from(other))),
        };
        let own_port = if matches!(length, 6 | 18) { Some(self.u16()?) } else { None };
        match own_port {
            Some(own) if own == port => Err(FrameError::Value(self.name, u64::from(own))),
            own => Ok(SocketAddr::new(ip, own.unwrap_or(port))),
        }
    }

    fn sizes(&mut self) -> Result<u64, FrameError> {
        let value = self.u64()?;
        if value < POSITIONS || value == STREAM_BYTES { Ok(value) } else { Err(FrameError::Value(self.name, value)) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (head, rest) = self.left.split_first_chunk::<N>().ok_or(FrameError::Short(self.name))?;
        self.left = rest;
        Ok(*head)
    }

    fn bytes(&mut self, len: usize, low: usize, high: usize) -> Result<&'a [u8], FrameError> {
        if len < low || len > high {
            return Err(FrameError::Length(self.name, len, low, high));
        }
        let (head, rest) = self.left.split_at_checked(len).ok_or(FrameError::Short(self.name))?;
        self.left = rest;
        Ok(head)
    }

    fn rest(&mut self, low: usize, high: usize) -> Result<&'a [u8], FrameError> {
        self.bytes(self.left.len(), low, high)
    }

    fn utf8(&self, bytes: &[u8]) -> Result<String, FrameError> {
        String::from_utf8(bytes.to_vec()).map_err(|_| FrameError::NotUtf8(self.name))
    }

    fn utf8_rest(&mut self, low: usize, high: usize) -> Result<String, FrameError> {
        let bytes = self.rest(low, high)?;
        self.utf8(bytes)
    }

    fn str8(&mut self, low: usize, high: usize) -> Result<String, FrameError> {
        let len = usize::from(self.u8()?);
        let bytes = self.bytes(len, low, high)?;
        self.utf8(bytes)
    }

    fn str16(&mut self, low: usize, high: usize) -> Result<String, FrameError> {
        let len = usize::from(self.u16()?);
        let bytes = self.bytes(len, low, high)?;
        self.utf8(bytes)
    }

    fn end(&self) -> Result<(), FrameError> {
        if self.left.is_empty() { Ok(()) } else { Err(FrameError::Trailing(self.name)) }
    }
}
