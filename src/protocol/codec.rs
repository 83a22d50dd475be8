//! Encoding and decoding from one table, `frames!` below: a new frame is a row of it.
//!
//! [`Frame::encode`] and [`Frame::decode`] are exact inverses: decoding is total, leaves no byte unread, and whatever it
//! accepts encodes to the same bytes. Nothing here keeps state or touches a socket.

use super::error::FrameError;
use super::frame::{
    ADDRS, Addrs, ByeReason, CHUNK_DATA, CHUNK_HEADER, ChunkHeader, Control, FileStatus, Frame, Greeting, Intent,
    KIND_CHUNK, KIND_ZCHUNK, LINE_TEXT, LIST_BYTES, NAME, NO_DIGEST, Offer, POSITIONS, Position, REASON_TEXT, Reason,
    Refusal, STREAM_BYTES, TransferId, at_most,
};
use byteorder::{BigEndian, ReadBytesExt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Gives an enum of frames both directions: kind byte, name, and each field with the method of [`Writer`] and [`Reader`] for it.
macro_rules! frames {
    ($type:ident: $($kind:literal $name:literal $variant:ident $fields:tt)+) => {
        impl $type {
            fn name(kind: u8) -> Option<&'static str> {
                match kind { $($kind => Some($name),)+ _ => None }
            }
            /// `seq` stands between kind and fields.
            fn write(&self, seq: &[u8], out: &mut Vec<u8>) {
                match self {
                    $(frames!(@pattern $variant $fields) => {
                        out.push($kind);
                        out.extend_from_slice(seq);
                        frames!(@write Writer(out), $fields);
                    })+
                    #[allow(unreachable_patterns, reason = "a control frame in a `Frame` has its own table")]
                    _ => {}
                }
            }
            fn read(kind: u8, body: &mut Reader<'_>) -> Result<Self, FrameError> {
                Ok(match kind {
                    $($kind => frames!(@read body, $variant $fields),)+
                    other => return Err(FrameError::UnknownKind(other)),
                })
            }
        }
    };
    (@pattern $variant:ident ($field:ident: $way:ident)) => { Self::$variant($field) };
    (@pattern $variant:ident {$($field:ident: $way:ident),+}) => { Self::$variant { $($field),+ } };
    (@write $writer:expr, ($field:ident: $way:ident)) => { $writer.$way($field) };
    (@write $writer:expr, {$($field:ident: $way:ident),+}) => {{ let mut writer = $writer; $(writer.$way($field);)+ }};
    (@read $body:ident, $variant:ident ($field:ident: $way:ident)) => { Self::$variant($body.$way()?) };
    (@read $body:ident, $variant:ident {$($field:ident: $way:ident),+}) => { Self::$variant { $($field: $body.$way()?),+ } };
}

frames! { Frame:
    0x01 "COMMIT" Commit(commitment: array)
    0x02 "NONCE" Nonce(nonce: array)
    0x03 "REVEAL" Reveal(nonce: array)
    0x04 "GREETING" Greeting(greeting: greeting)
    0x05 "REFUSAL" Refusal(refusal: refusal)
    0x06 "KEM_KEY" KemKey(key: boxed)
    0x07 "KEM_CT" KemCt(ciphertext: boxed)
    0x10 "PING" Ping(token: u64)
    0x11 "PONG" Pong(token: u64)
    0x12 "ACK" Ack(received: u64)
    0x13 "CREDIT" Credit { limit: position }
    0x14 "RESTART" Restart { transfer: number, position: position, digest: array }
    0x15 "ADDRS" Addrs(addrs: addrs)
    0x16 "RECEIVED" Received { transfer: number, position: position }
    0x30 "CHUNK" Chunk { transfer: number, position: position, data: chunk }
    0x31 "FILE_END" FileEnd { transfer: number, position: position, status: file_status, digest: array }
    0x32 "BEGIN" Begin { transfer: number, position: position }
    0x33 "ZCHUNK" Zchunk { transfer: number, position: position, frame: chunk }
}

frames! { Control:
    0x20 "LINE" Line { action: flag, text: line }
    0x21 "OFFER" Offer { transfer: number, offer: offer }
    0x22 "ACCEPT" Accept { transfer: number, position: position, digest: array }
    0x23 "DECLINE" Decline { transfer: number, reason: reason_but_confirmed, text: explanation }
    0x24 "CANCEL" Cancel { transfer: number, reason: reason, text: explanation }
    0x25 "COMPLETE" Complete { transfer: number, files: u32, failed: u32 }
    0x26 "BYE" Bye { reason: bye_reason }
}

/// The same for a struct inside a frame.
macro_rules! fields {
    ($way:ident: $type:ident { $($field:ident: $inner:ident),+ $(,)? }) => {
        impl Writer<'_> {
            fn $way(&mut self, value: &$type) {
                $(self.$inner(&value.$field);)+
            }
        }
        impl Reader<'_> {
            fn $way(&mut self) -> Result<$type, FrameError> {
                Ok($type { $($field: self.$inner()?),+ })
            }
        }
    };
}

fields! { greeting: Greeting {
    intent: intent, session: array, received: u64, features: u32, next_transfer: number, reconnect_timeout: u32, name: name,
} }
fields! { offer: Offer { files: u32, folders: u32, bytes: sizes, list: list_bytes, digest: array } }

/// The same for an enum of one byte.
macro_rules! bytes {
    ($way:ident: $type:ident { $($value:literal => $variant:ident),+ }) => {
        impl Writer<'_> {
            fn $way(&mut self, value: &$type) {
                self.0.push(match value { $($type::$variant => $value),+ });
            }
        }
        impl Reader<'_> {
            fn $way(&mut self) -> Result<$type, FrameError> {
                match self.u8()? { $($value => Ok($type::$variant),)+ other => self.value(other) }
            }
        }
    };
}

bytes! { intent: Intent { 0 => New, 1 => Resume } }
bytes! { refusal: Refusal { 1 => Busy, 2 => NoSuchSession } }
bytes! { reason: Reason {
    0 => Confirmed, 1 => User, 2 => Rule, 3 => TooMuch, 4 => Names, 5 => Space, 6 => Io, 7 => Changed, 8 => Leaving
} }
bytes! { file_status: FileStatus { 0 => Whole, 1 => Changed, 2 => Unreadable } }
bytes! { bye_reason: ByeReason { 0 => Quit, 1 => InputEnded, 2 => Signal, 3 => Failure } }

impl Frame {
    /// Appends the frame's kind and body to `out`.
    ///
    /// Strings and data are the caller's to keep within the limits; what goes over them a peer refuses.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Control { seq, control } => control.write(&seq.to_be_bytes(), out),
            frame => frame.write(&[], out),
        }
    }

    /// Takes one frame apart: all of `frame`, which is the plaintext of one record.
    ///
    /// # Errors
    /// Names what the peer did wrong; see [`FrameError`].
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        let (&kind, left) = frame.split_first().ok_or(FrameError::Empty)?;
        let frame = if let Some(name) = Control::name(kind) {
            let mut body = Reader { name, left };
            let seq = body.sequence()?;
            let control = Control::read(kind, &mut body)?;
            body.end(Self::Control { seq, control })?
        } else {
            let mut body = Reader { name: Self::name(kind).ok_or(FrameError::UnknownKind(kind))?, left };
            let frame = Self::read(kind, &mut body)?;
            body.end(frame)?
        };
        match frame {
            Self::FileEnd { status: FileStatus::Changed | FileStatus::Unreadable, digest, .. }
                if digest != NO_DIGEST =>
            {
                Err(FrameError::Digest("FILE_END"))
            }
            frame => Ok(frame),
        }
    }
}

impl Control {
    /// Kind and body in bytes, as they count against [`crate::protocol::frame::UNACKNOWLEDGED_BYTES`].
    pub fn encoded_len(&self) -> usize {
        let mut out = Vec::new();
        self.write(&[0; 8], &mut out);
        out.len()
    }
}

impl ChunkHeader {
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
        let (name, compressed, left) = match frame.split_first() {
            Some((&KIND_CHUNK, body)) => ("CHUNK", false, body),
            Some((&KIND_ZCHUNK, body)) => ("ZCHUNK", true, body),
            Some((&kind, _)) => return Err(FrameError::UnknownKind(kind)),
            None => return Err(FrameError::Empty),
        };
        let mut body = Reader { name, left };
        let header = Self { compressed, transfer: body.number()?, position: body.position()? };
        Ok((header, body.rest(1, CHUNK_DATA)?))
    }
}

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn u32(&mut self, value: &u32) {
        self.0.extend(value.to_be_bytes());
    }

    fn u64(&mut self, value: &u64) {
        self.0.extend(value.to_be_bytes());
    }

    fn number(&mut self, transfer: &TransferId) {
        self.u32(transfer);
    }

    fn position(&mut self, position: &Position) {
        self.u64(position);
    }

    fn list_bytes(&mut self, bytes: &u32) {
        self.u32(bytes);
    }

    fn sizes(&mut self, bytes: &u64) {
        self.u64(bytes);
    }

    fn array(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn boxed<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.array(bytes);
    }

    fn chunk(&mut self, data: &[u8]) {
        self.array(data);
    }

    fn flag(&mut self, set: &bool) {
        self.0.push(u8::from(*set));
    }

    fn line(&mut self, text: &str) {
        self.array(text.as_bytes());
    }

    fn name(&mut self, name: &str) {
        let name = at_most(name, usize::from(u8::MAX));
        self.0.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        self.line(name);
    }

    fn explanation(&mut self, text: &str) {
        let text = at_most(text, REASON_TEXT);
        self.0.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.line(text);
    }

    fn reason_but_confirmed(&mut self, reason: &Reason) {
        self.reason(reason);
    }

    fn addrs(&mut self, Addrs { port, list }: &Addrs) {
        let list = list.get(..ADDRS).unwrap_or(list);
        self.array(&port.to_be_bytes());
        self.0.extend(u8::try_from(list.len()));
        for addr in list {
            let own_port = addr.port().to_be_bytes();
            let own_port = if addr.port() == *port { &[][..] } else { &own_port };
            match addr.ip() {
                IpAddr::V4(ip) => self.addr(&ip.octets(), own_port),
                IpAddr::V6(ip) => self.addr(&ip.octets(), own_port),
            }
        }
    }

    fn addr(&mut self, ip: &[u8], port: &[u8]) {
        self.0.extend(u8::try_from(ip.len() + port.len()));
        self.array(ip);
        self.array(port);
    }
}

/// What is left of a body while it is taken apart; knows the frame's name for its errors.
struct Reader<'a> {
    name: &'static str,
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value<T>(&self, wrong: impl Into<u64>) -> Result<T, FrameError> {
        Err(FrameError::Value(self.name, wrong.into()))
    }

    fn u8(&mut self) -> Result<u8, FrameError> {
        self.left.read_u8().map_err(|_| FrameError::Short(self.name))
    }

    fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, FrameError> {
        self.left.read_u32::<BigEndian>().map_err(|_| FrameError::Short(self.name))
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        self.left.read_u64::<BigEndian>().map_err(|_| FrameError::Short(self.name))
    }

    fn sequence(&mut self) -> Result<u64, FrameError> {
        match self.u64()? {
            0 => self.value(0_u8),
            seq => Ok(seq),
        }
    }

    /// A transfer's number: 1 and up.
    fn number(&mut self) -> Result<TransferId, FrameError> {
        match self.u32()? {
            0 => self.value(0_u8),
            transfer => Ok(transfer),
        }
    }

    fn position(&mut self) -> Result<Position, FrameError> {
        let value = self.u64()?;
        if value < POSITIONS { Ok(value) } else { self.value(value) }
    }

    fn list_bytes(&mut self) -> Result<u32, FrameError> {
        let value = self.u32()?;
        if (1..=LIST_BYTES).contains(&value) { Ok(value) } else { self.value(value) }
    }

    fn sizes(&mut self) -> Result<u64, FrameError> {
        let value = self.u64()?;
        if value < POSITIONS || value == STREAM_BYTES { Ok(value) } else { self.value(value) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (head, rest) = self.left.split_first_chunk::<N>().ok_or(FrameError::Short(self.name))?;
        self.left = rest;
        Ok(*head)
    }

    fn boxed<const N: usize>(&mut self) -> Result<Box<[u8; N]>, FrameError> {
        self.array().map(Box::new)
    }

    fn flag(&mut self) -> Result<bool, FrameError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => self.value(other),
        }
    }

    fn reason_but_confirmed(&mut self) -> Result<Reason, FrameError> {
        match self.reason()? {
            Reason::Confirmed => self.value(0_u8),
            reason => Ok(reason),
        }
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

    fn chunk(&mut self) -> Result<Vec<u8>, FrameError> {
        self.rest(1, CHUNK_DATA).map(<[u8]>::to_vec)
    }

    fn utf8(&self, bytes: &[u8]) -> Result<String, FrameError> {
        String::from_utf8(bytes.to_vec()).map_err(|_| FrameError::NotUtf8(self.name))
    }

    fn line(&mut self) -> Result<String, FrameError> {
        let bytes = self.rest(1, LINE_TEXT)?;
        self.utf8(bytes)
    }

    fn name(&mut self) -> Result<String, FrameError> {
        let len = usize::from(self.u8()?);
        let bytes = self.bytes(len, 1, NAME)?;
        self.utf8(bytes)
    }

    fn explanation(&mut self) -> Result<String, FrameError> {
        let len = usize::from(self.u16()?);
        let bytes = self.bytes(len, 0, REASON_TEXT)?;
        self.utf8(bytes)
    }

    fn addrs(&mut self) -> Result<Addrs, FrameError> {
        let (port, count) = (self.u16()?, self.u8()?);
        if usize::from(count) > ADDRS {
            return self.value(count);
        }
        let list = (0..count).map(|_| self.addr(port)).collect::<Result<_, _>>()?;
        Ok(Addrs { port, list })
    }

    fn addr(&mut self, port: u16) -> Result<SocketAddr, FrameError> {
        let length = self.u8()?;
        let ip = match length {
            4 | 6 => Ipv4Addr::from(self.array()?).into(),
            16 | 18 => Ipv6Addr::from(self.array::<16>()?).into(),
            other => return self.value(other),
        };
        match if matches!(length, 6 | 18) { Some(self.u16()?) } else { None } {
            Some(own) if own == port => self.value(own),
            own => Ok(SocketAddr::new(ip, own.unwrap_or(port))),
        }
    }

    /// Nothing may be left.
    fn end(&self, frame: Frame) -> Result<Frame, FrameError> {
        if self.left.is_empty() { Ok(frame) } else { Err(FrameError::Trailing(self.name)) }
    }
}
