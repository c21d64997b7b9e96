//! How columns of whole numbers become bytes: variable-length integers for what is hot, pco for
//! what is kept. Called by `head` and `log` (varints) and by `block` (columns).

use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec};

/// A column that cannot be read: its bytes are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// What every pco file begins with: the version of its format. It is the same for all that this
/// version of the library writes, so it stands here in place of before each of a million columns.
const PCO_VERSION: [u8; 2] = [4, 1];

const CONSTANT: u8 = 0;
const DELTAS: u8 = 1;
const PCO: u8 = 2;
const EVEN: u8 = 3;
/// Below this, what pco says about itself is larger than what it saves.
const FEW: usize = 24;

pub(crate) fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

pub(crate) fn unzigzag(v: u64) -> i64 {
    ((v >> 1) as i64) ^ -((v & 1) as i64)
}

/// Appends `v`, seven bits a byte, lowest first.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut v: u64) {
    while v > 127 {
        out.push(v as u8 | 128);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Appends the difference of `v` to `before`; `take_after` undoes it, whatever the two are.
#[inline]
pub(crate) fn put_after(out: &mut Vec<u8>, before: i64, v: i64) {
    put(out, zigzag(v.wrapping_sub(before)));
}

/// Takes a number off the front of `bytes`.
#[inline]
pub(crate) fn take(bytes: &mut &[u8]) -> Result<u64, Broken> {
    let mut v = 0u64;
    let mut shift = 0;
    for (i, b) in bytes.iter().enumerate() {
        v |= u64::from(b & 127) << shift;
        if b & 128 == 0 {
            *bytes = &bytes[i + 1..];
            return Ok(v);
        }
        shift += 7;
        if shift > 63 {
            break;
        }
    }
    Err(Broken)
}

#[inline]
pub(crate) fn take_after(bytes: &mut &[u8], before: i64) -> Result<i64, Broken> {
    Ok(before.wrapping_add(unzigzag(take(bytes)?)))
}

/// Takes a number that counts or places something, and must be below `limit`.
pub(crate) fn take_below(bytes: &mut &[u8], limit: usize) -> Result<usize, Broken> {
    match usize::try_from(take(bytes)?) {
        Ok(n) if n < limit => Ok(n),
        _ => Err(Broken),
    }
}

pub(crate) fn take_bytes<'a>(bytes: &mut &'a [u8], n: usize) -> Result<&'a [u8], Broken> {
    let (taken, rest) = bytes.split_at_checked(n).ok_or(Broken)?;
    *bytes = rest;
    Ok(taken)
}

/// Appends a column of at least one value.
pub(crate) fn compress(out: &mut Vec<u8>, values: &[i64]) {
    let first = values.first().copied().unwrap_or_default();
    if values.iter().all(|v| *v == first) {
        out.push(CONSTANT);
        put(out, zigzag(first));
        return;
    }
    // Times of a host that keeps step, and counters of what comes evenly.
    let stride = values[1].wrapping_sub(first);
    if values.windows(2).all(|w| w[1].wrapping_sub(w[0]) == stride) {
        out.push(EVEN);
        put(out, zigzag(first));
        put(out, zigzag(stride));
        return;
    }
    let begin = out.len();
    if values.len() >= FEW && compress_pco(out, values).is_ok() {
        return;
    }
    out.truncate(begin);
    out.push(DELTAS);
    let mut before = 0;
    for v in values {
        put_after(out, before, *v);
        before = *v;
    }
}

fn compress_pco(out: &mut Vec<u8>, values: &[i64]) -> pco::errors::PcoResult<()> {
    // Figures move little from one sample to the next. Trying every other way first takes four times
    // as long and saves nothing that could be measured; the mode is looked for, because sizes come
    // in pages.
    let config = ChunkConfig::default()
        .with_compression_level(4)
        .with_delta_spec(DeltaSpec::TryConsecutive(1));
    let mut chunk = FileCompressor::default().chunk_compressor(values, &config)?;
    out.push(PCO);
    chunk.write_meta(&mut *out)?;
    chunk.write_page(0, &mut *out)?;
    Ok(())
}

/// Reads a column of `n` values that `compress` wrote; `bytes` is exactly its bytes.
pub(crate) fn decompress(bytes: &[u8], n: usize, into: &mut Vec<i64>) -> Result<(), Broken> {
    let (kind, mut rest) = bytes.split_first().ok_or(Broken)?;
    match *kind {
        CONSTANT => {
            let v = unzigzag(take(&mut rest)?);
            into.extend(std::iter::repeat_n(v, n));
        }
        DELTAS => {
            let mut before = 0;
            for _ in 0..n {
                before = take_after(&mut rest, before)?;
                into.push(before);
            }
        }
        EVEN => {
            let first = unzigzag(take(&mut rest)?);
            let stride = unzigzag(take(&mut rest)?);
            into.extend((0..n as i64).map(|i| first.wrapping_add(stride.wrapping_mul(i))));
        }
        PCO => {
            let from = into.len();
            into.resize(from + n, 0);
            let (file, _) = FileDecompressor::new(&PCO_VERSION[..]).map_err(|_| Broken)?;
            let (mut chunk, rest) = file.chunk_decompressor::<i64, _>(rest).map_err(|_| Broken)?;
            let mut page = chunk.page_decompressor(rest, n).map_err(|_| Broken)?;
            let done = page.read(&mut into[from..]).map_err(|_| Broken)?;
            if done.n_processed != n {
                return Err(Broken);
            }
        }
        _ => return Err(Broken),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_library_still_writes_the_version_that_is_read() {
        let mut header = Vec::new();
        FileCompressor::default().write_header(&mut header).unwrap();
        assert_eq!(header, PCO_VERSION);
    }

    fn columns() -> impl Strategy<Value = Vec<i64>> {
        prop_oneof![
            prop::collection::vec(any::<i64>(), 1..200),
            prop::collection::vec(0i64..1000, 1..600),
            (any::<i64>(), 1usize..900).prop_map(|(v, n)| vec![v; n]),
            (any::<i64>(), any::<i64>(), 1i64..900).prop_map(|(first, stride, n)| {
                (0..n).map(|i| first.wrapping_add(stride.wrapping_mul(i))).collect()
            }),
            prop::collection::vec(0i64..100_000, 1..400).prop_map(|steps| {
                steps
                    .iter()
                    .scan(0, |sum, step| {
                        *sum += step;
                        Some(*sum)
                    })
                    .collect()
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_column_comes_back_as_it_was(values in columns()) {
            let mut bytes = Vec::new();
            compress(&mut bytes, &values);
            let mut back = Vec::new();
            prop_assert_eq!(decompress(&bytes, values.len(), &mut back), Ok(()));
            prop_assert_eq!(back, values);
        }

        #[test]
        fn bytes_of_anything_are_an_answer_and_not_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300), n in 1usize..500,
        ) {
            let mut back = Vec::new();
            if decompress(&bytes, n, &mut back).is_ok() {
                prop_assert_eq!(back.len(), n);
            }
        }
    }
}
