//! Names as they stand on disk: those of files and folders, and those of partials.

use crate::transfer::PARTIAL_PREFIX;
use std::borrow::Cow;

/// Bytes in the name of a partial: no two ever meet, and nobody guesses one.
const PARTIAL_BYTES: usize = 8;

/// Random bytes of a download, from which the names of its partials come.
pub(in crate::transfer) type Seed = [u8; 16];

/// The name under which a name of the peer's lands.
pub(super) fn landed(name: &str) -> Cow<'_, str> {
    let reserved =
        name.get(..PARTIAL_PREFIX.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(PARTIAL_PREFIX));
    if reserved { Cow::Owned(format!("_{name}")) } else { Cow::Borrowed(name) }
}

/// `report.pdf` with 1 is `report (1).pdf`; folders keep their dots. Never over 255 bytes when the name is not.
pub(super) fn numbered(name: &str, number: u32, folder: bool) -> String {
    const NAME_BYTES: usize = 255;
    const EXTENSION_BYTES: usize = 32;
    if number == 0 {
        return name.to_owned();
    }
    let dot = name.rfind('.').filter(|dot| !folder && *dot > 0 && name.len() - dot <= EXTENSION_BYTES);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let suffix = format!(" ({number}){extension}");
    let stem = stem.get(..stem.floor_char_boundary(NAME_BYTES.saturating_sub(suffix.len()))).unwrap_or_default();
    format!("{stem}{suffix}")
}

/// The name of the partial of file number `index` in the list.
pub(in crate::transfer) fn partial_name(seed: &Seed, index: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(seed).update(&index.to_le_bytes());
    let name = hasher.finalize().to_hex();
    format!("{PARTIAL_PREFIX}{}", name.get(..2 * PARTIAL_BYTES).unwrap_or_default())
}

/// Whether `name` is one that [`partial_name`] makes.
pub(in crate::transfer) fn is_partial_name(name: &str) -> bool {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    name.strip_prefix(PARTIAL_PREFIX)
        .is_some_and(|random| random.len() == 2 * PARTIAL_BYTES && random.bytes().all(is_hex))
}
