//! The hello: what both sides say in clear before anything else (PROTOCOL.md section 1).
//!
//! A [`Hello`] that was decoded has passed every check, so the rest of the channel relies on it.

use thiserror::Error;

/// Bytes of a hello.
pub const HELLO: usize = 28;

const MAGIC: &[u8; 7] = b"P2PCHAT";
const VERSION: u8 = 1;
/// Flags and reserved bytes, all zero in this version.
const UNUSED: [u8; 3] = [0; 3];
const NONCE: usize = 16;

/// Whether the two sides share a code. Each side's user chooses; it is never negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No code; people compare a number.
    Open,
    /// A code, which proves both sides to each other.
    Code,
}

/// What one side says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    mode: Mode,
    nonce: [u8; NONCE],
}

/// Why a connection ends before the handshake; the peer is at fault, or the command of one of the two.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum HelloError {
    /// The peer is something else.
    #[error("the other side is no p2pchat\ncheck the address and the port")]
    NotP2pchat,
    /// The peer speaks another version, whose number this is; the own number when it uses what this version lacks.
    #[error(
        "the peer speaks another version of the protocol (it says {0}, this is {VERSION})\nboth sides need the same version of p2pchat"
    )]
    Version(u8),
    /// The peer uses a code, this side does not.
    #[error("the peer uses a code\nask for it, and give it with --code")]
    TheyUseACode,
    /// This side uses a code, the peer does not.
    #[error("the peer uses no code\nboth sides need --code, or neither")]
    WeUseACode,
    /// The peer is this very side.
    #[error("connected to itself\ngive the address of the peer, not the own one")]
    Itself,
}

impl Hello {
    /// A hello with a fresh nonce.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(mode: Mode) -> Result<Self, getrandom::Error> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)?;
        Ok(Self { mode, nonce })
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn encode(&self) -> [u8; HELLO] {
        let mut bytes = [0; HELLO];
        let mode: u8 = match self.mode {
            Mode::Open => 0,
            Mode::Code => 1,
        };
        let named = [VERSION, mode];
        let fields = MAGIC.iter().chain(&named).chain(&UNUSED).chain(&self.nonce);
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = *field;
        }
        bytes
    }

    /// Whether these first bytes can be those of a hello: a browser or a scanner shows itself by them, and need not be waited for.
    pub fn may_begin_with(bytes: &[u8]) -> bool {
        bytes.iter().zip(MAGIC).all(|(byte, magic)| byte == magic)
    }

    /// The mode in the bytes of a hello, which are not checked.
    pub fn announces(bytes: &[u8; HELLO]) -> Option<Mode> {
        match bytes.get(MAGIC.len() + 1) {
            Some(0) => Some(Mode::Open),
            Some(1) => Some(Mode::Code),
            _ => None,
        }
    }

    /// Checks the hello that came in against the own one, in the order of PROTOCOL.md section 1.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn decode(bytes: &[u8; HELLO], own: &Self) -> Result<Self, HelloError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(HelloError::NotP2pchat)?;
        let &[version, mode, flags, reserved0, reserved1, ref nonce @ ..] = rest else {
            return Err(HelloError::NotP2pchat);
        };
        let mode = match (version, mode) {
            (VERSION, 0) => Mode::Open,
            (VERSION, 1) => Mode::Code,
            _ => return Err(HelloError::Version(version)),
        };
        if [flags, reserved0, reserved1] != UNUSED {
            return Err(HelloError::Version(version));
        }
        match (own.mode, mode) {
            (Mode::Open, Mode::Code) => return Err(HelloError::TheyUseACode),
            (Mode::Code, Mode::Open) => return Err(HelloError::WeUseACode),
            _ => {}
        }
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| HelloError::NotP2pchat)?;
        if nonce == own.nonce {
            return Err(HelloError::Itself);
        }
        Ok(Self { mode, nonce })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hellos_never_share_a_nonce() {
        assert_ne!(Hello::new(Mode::Open).unwrap(), Hello::new(Mode::Open).unwrap());
    }
}
