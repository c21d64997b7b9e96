//! Variable-length numbers and short texts as bytes: what `sample` and `block` are made of. Reading trusts nothing.

/// Bytes that are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// Appends `v`, seven bits a byte, lowest first.
pub(crate) fn put(out: &mut Vec<u8>, mut v: u64) {
    while v > 127 {
        out.push(v as u8 | 128);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Appends the length of a text and the text.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Takes a number off the front.
pub(crate) fn take(bytes: &mut &[u8]) -> Result<u64, Broken> {
    let mut v = 0u64;
    for (i, b) in bytes.iter().enumerate().take(10) {
        v |= u64::from(b & 127) << (7 * i).min(63);
        if b & 128 == 0 {
            *bytes = &bytes[i + 1..];
            return Ok(v);
        }
    }
    Err(Broken)
}

/// Takes a number of at most 32 bits.
pub(crate) fn take_u32(bytes: &mut &[u8]) -> Result<u32, Broken> {
    u32::try_from(take(bytes)?).map_err(|_| Broken)
}

/// Takes a number that counts something of which there are at most `most`.
pub(crate) fn take_count(bytes: &mut &[u8], most: usize) -> Result<usize, Broken> {
    usize::try_from(take(bytes)?).ok().filter(|n| *n <= most).ok_or(Broken)
}

/// Takes a text of at most `most` bytes.
pub(crate) fn take_text(bytes: &mut &[u8], most: usize) -> Result<String, Broken> {
    let length = take_count(bytes, most)?;
    let (text, rest) = bytes.split_at_checked(length).ok_or(Broken)?;
    *bytes = rest;
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| Broken)
}
