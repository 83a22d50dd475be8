//! The bytes of a list, both ways side by side.

use super::builder::{Builder, ENTER_BYTES, FILE_BYTES};
use super::{Manifest, ManifestError, Meta, Omitted, Step, Walk, narrow};
use crate::protocol::frame::Offer;
use crate::transfer::file_name::Name;
use byteorder::{BigEndian, ReadBytesExt};

const KIND_FILE: u8 = 1;
const KIND_ENTER: u8 = 2;
const KIND_LEAVE: u8 = 3;
const KIND_STREAM: u8 = 4;
const KIND_LEFT_OUT: u8 = 5;

impl Manifest {
    /// The bytes of the list, as they go over the wire.
    pub fn encode(&self) -> Vec<u8> {
        let room = self.names.len() + self.files.len() * FILE_BYTES + self.folders.len() * (ENTER_BYTES + 1);
        let mut out = Vec::with_capacity(room);
        let mut walk = Walk::default();
        while let Some(step) = walk.next(self) {
            match step {
                Step::Enter(index) => {
                    if let Some(folder) = self.folder(index) {
                        out.push(KIND_ENTER);
                        put_meta(&mut out, folder.meta);
                        put_name(&mut out, folder.name);
                    }
                }
                Step::File(index) => {
                    if let Some(file) = self.file(index).filter(|_| self.stream) {
                        out.push(KIND_STREAM);
                        out.extend(file.meta.mode.to_be_bytes());
                        put_name(&mut out, file.name);
                    } else if let Some(file) = self.file(index) {
                        out.push(KIND_FILE);
                        put_meta(&mut out, file.meta);
                        out.extend(file.size.to_be_bytes());
                        put_name(&mut out, file.name);
                    }
                }
                Step::Leave => out.push(KIND_LEAVE),
            }
        }
        for Omitted { path, count, reason } in &self.omitted {
            out.extend([KIND_LEFT_OUT, *reason]);
            out.extend(count.to_be_bytes());
            // No path is longer: it came so, or its names are at most 65.
            out.extend(u16::try_from(path.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend(path.as_bytes());
        }
        out
    }

    /// The offer that promises this list, whose encoded bytes are `encoded`.
    pub fn offer(&self, encoded: &[u8]) -> Offer {
        Offer {
            files: narrow(self.files.len()),
            folders: narrow(self.folders.len()),
            bytes: self.bytes(),
            list: narrow(encoded.len()),
            digest: *blake3::hash(encoded).as_bytes(),
        }
    }

    /// Reads and checks a whole list against its offer. Total: whatever the bytes, it is a list or an error.
    ///
    /// # Errors
    /// The first rule of PROTOCOL.md section 8 that the list breaks.
    pub fn decode(bytes: &[u8], offer: &Offer) -> Result<Self, ManifestError> {
        if narrow(bytes.len()) != offer.list || *blake3::hash(bytes).as_bytes() != offer.digest {
            return Err(ManifestError::NotAsOffered);
        }
        let list = read(bytes)?;
        let counts = [
            ("files", u64::from(narrow(list.files.len())), u64::from(offer.files)),
            ("folders", u64::from(narrow(list.folders.len())), u64::from(offer.folders)),
            ("sizes", list.bytes(), offer.bytes),
        ];
        match counts.into_iter().find(|(_, held, said)| held != said) {
            Some((what, ..)) => Err(ManifestError::Counts(what)),
            None => Ok(list),
        }
    }
}

/// Reads a list without an offer to hold it against.
#[doc(hidden)]
pub fn read(mut bytes: &[u8]) -> Result<Manifest, ManifestError> {
    let mut builder = Builder::default();
    while let Some((&kind, rest)) = bytes.split_first() {
        bytes = rest;
        match kind {
            KIND_FILE => {
                let meta = take_meta(&mut bytes)?;
                let size = bytes.read_u64::<BigEndian>().map_err(|_| CUT)?;
                builder.file(take_name(&mut bytes)?, meta, size)?;
            }
            KIND_ENTER => {
                let meta = take_meta(&mut bytes)?;
                builder.enter(take_name(&mut bytes)?, meta)?;
            }
            KIND_LEAVE => builder.leave()?,
            KIND_STREAM => {
                let mode = bytes.read_u16::<BigEndian>().map_err(|_| CUT)?;
                builder.stream(take_name(&mut bytes)?, mode)?;
            }
            KIND_LEFT_OUT => {
                let reason = bytes.read_u8().map_err(|_| CUT)?;
                let count = bytes.read_u32::<BigEndian>().map_err(|_| CUT)?;
                let len = usize::from(bytes.read_u16::<BigEndian>().map_err(|_| CUT)?);
                builder.omit(Omitted { path: take_text(&mut bytes, len)?.to_owned(), count, reason })?;
            }
            _ => return Err(ManifestError::Malformed("an entry is of unknown kind")),
        }
    }
    builder.finish()
}

const CUT: ManifestError = ManifestError::Malformed("it ends inside an entry");

fn put_meta(out: &mut Vec<u8>, meta: Meta) {
    out.extend(meta.mode.to_be_bytes());
    out.extend(meta.seconds.to_be_bytes());
    out.extend(meta.nanos.to_be_bytes());
}

fn take_meta(bytes: &mut &[u8]) -> Result<Meta, ManifestError> {
    Ok(Meta {
        mode: bytes.read_u16::<BigEndian>().map_err(|_| CUT)?,
        seconds: bytes.read_i64::<BigEndian>().map_err(|_| CUT)?,
        nanos: bytes.read_u32::<BigEndian>().map_err(|_| CUT)?,
    })
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    // A checked name has at most 255 bytes.
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend(name.as_bytes());
}

fn take_name<'a>(bytes: &mut &'a [u8]) -> Result<Name<'a>, ManifestError> {
    let len = usize::from(bytes.read_u8().map_err(|_| CUT)?);
    let text = take_text(bytes, len)?;
    Name::new(text).map_err(|fault| ManifestError::Name(text.to_owned(), fault))
}

fn take_text<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a str, ManifestError> {
    let (text, rest) = bytes.split_at_checked(len).ok_or(CUT)?;
    *bytes = rest;
    str::from_utf8(text).map_err(|_| ManifestError::Malformed("a name is not valid UTF-8"))
}
