//! The wire's units as a stranger between two peers can see them: a hello, then pieces that begin with their length.

/// Bytes of a hello, and where its mode stands.
const HELLO: usize = 28;
const MODE: usize = 8;
/// Bytes of a length.
const LENGTH: usize = 2;

/// One direction's stream, cut into its units (PROTOCOL.md sections 1 to 4).
#[derive(Default)]
pub(super) struct Units {
    buffer: Vec<u8>,
    /// Units given out.
    count: usize,
    /// The first unit that is a record, once the hello tells.
    first_record: usize,
}

/// A whole unit; `record` is the number of the record from 0, none for hello and handshake.
pub(super) struct Unit {
    pub(super) bytes: Vec<u8>,
    pub(super) record: Option<usize>,
}

impl Units {
    /// `handshake`: messages of this direction after its hello, in open mode; a code adds one.
    pub(super) fn push(&mut self, bytes: &[u8], handshake: usize) -> Vec<Unit> {
        self.buffer.extend_from_slice(bytes);
        let mut units = Vec::new();
        while let Some(length) = self.length().filter(|length| self.buffer.len() >= *length) {
            let bytes: Vec<u8> = self.buffer.drain(..length).collect();
            if self.count == 0 {
                self.first_record = 1 + handshake + usize::from(bytes[MODE]);
            }
            let record = self.count.checked_sub(self.first_record).filter(|_| self.count > 0);
            self.count += 1;
            units.push(Unit { bytes, record });
        }
        units
    }

    /// What is there of a unit that is not whole.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    fn length(&self) -> Option<usize> {
        if self.count == 0 {
            return Some(HELLO);
        }
        let length = self.buffer.first_chunk::<LENGTH>()?;
        Some(LENGTH + usize::from(u16::from_be_bytes(*length)))
    }
}
