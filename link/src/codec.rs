//! Named MessagePack with caps.
//!
//! Structs travel as maps, so that either side may know fields the other does not. Before anything
//! is decoded into types, one pass over the bytes checks that they are exactly one value, that no
//! claimed length reaches past the end, that depth and counts stay under the caps, and that no map
//! has a key twice. After it, decoding cannot allocate much more than the frame itself is.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::marker::PhantomData;

/// The deepest nesting of arrays and maps.
pub const MAX_DEPTH: usize = 16;
/// The most elements of one array.
pub const MAX_ARRAY: usize = 16 * 1024;
/// The most entries of one map.
pub const MAX_MAP: usize = 1024;
/// The longest text.
pub const MAX_TEXT: usize = 256 * 1024;

/// Why bytes were not decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value ends before its own lengths say it does.
    #[error("truncated at byte {0}")]
    Truncated(usize),
    /// There is more than one value.
    #[error("{0} bytes after the value")]
    Trailing(usize),
    /// A cap is exceeded.
    #[error("{0}")]
    Cap(&'static str),
    /// A map has one key twice.
    #[error("a key stands twice in one map")]
    DuplicateKey,
    /// A marker that no peer of ours writes.
    #[error("marker 0x{0:02x} is not allowed")]
    Marker(u8),
    /// It is a value, but not of the expected shape.
    #[error("unexpected shape: {0}")]
    Shape(String),
}

/// Writes a value.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, rmp_serde::encode::Error> {
    rmp_serde::to_vec_named(value).map(Bytes::from)
}

/// How many bytes a value is once it is written; more than any frame when it cannot be.
pub fn size<T: Serialize + ?Sized>(value: &T) -> usize {
    let mut counted = Counted(0);
    rmp_serde::encode::write_named(&mut counted, value).map_or(usize::MAX, |()| counted.0)
}

/// Counts what is written.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a value behind what `out` holds; says what is wrong when it cannot be written.
pub(crate) fn encode_to<T: Serialize + ?Sized>(
    out: &mut BytesMut,
    value: &T,
) -> Result<(), String> {
    rmp_serde::encode::write_named(&mut out.writer(), value).map_err(|e| e.to_string())
}

/// Checks and reads a value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    decode_borrowed(bytes)
}

/// As [`decode`], into what may borrow from the bytes.
pub fn decode_borrowed<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, DecodeError> {
    check(bytes)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the checks above are why others must not call it"
    )]
    rmp_serde::from_slice(bytes).map_err(|e| {
        let mut text = e.to_string();
        text.truncate(text.floor_char_boundary(200));
        DecodeError::Shape(text)
    })
}

/// As [`decode`], into whatever `seed` makes of it: for readers that know no type.
pub fn decode_with<'de, S: serde::de::DeserializeSeed<'de>>(
    bytes: &'de [u8],
    seed: S,
) -> Result<S::Value, DecodeError> {
    check(bytes)?;
    seed.deserialize(&mut rmp_serde::Deserializer::from_read_ref(bytes))
        .map_err(|e| DecodeError::Shape(e.to_string()))
}

/// Checks that the bytes are exactly one value within the caps.
pub fn check(bytes: &[u8]) -> Result<(), DecodeError> {
    // An honest message has two bytes or more a node on average once it is large.
    let mut scan = Scan { bytes, at: 0, nodes: 4096 + bytes.len() / 2 };
    scan.value(0)?;
    match bytes.len() - scan.at {
        0 => Ok(()),
        more => Err(DecodeError::Trailing(more)),
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: usize,
}

impl Scan<'_> {
    fn value(&mut self, depth: usize) -> Result<(), DecodeError> {
        self.nodes =
            self.nodes.checked_sub(1).ok_or(DecodeError::Cap("too many values for its size"))?;
        let marker = self.take(1)?[0];
        match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Ok(()),
            0x80..=0x8f => self.map(usize::from(marker & 0x0f), depth),
            0x90..=0x9f => self.array(usize::from(marker & 0x0f), depth),
            0xa0..=0xbf => self.text(usize::from(marker & 0x1f)),
            0xc4..=0xc6 => {
                let len = self.length(1 << (marker - 0xc4))?;
                self.take(len).map(drop)
            }
            0xca | 0xce | 0xd2 => self.take(4).map(drop),
            0xcb | 0xcf | 0xd3 => self.take(8).map(drop),
            0xcc | 0xd0 => self.take(1).map(drop),
            0xcd | 0xd1 => self.take(2).map(drop),
            0xd9..=0xdb => {
                let len = self.length(1 << (marker - 0xd9))?;
                self.text(len)
            }
            0xdc | 0xdd => {
                let len = self.length(2 << (marker - 0xdc))?;
                self.array(len, depth)
            }
            0xde | 0xdf => {
                let len = self.length(2 << (marker - 0xde))?;
                self.map(len, depth)
            }
            _ => Err(DecodeError::Marker(marker)),
        }
    }

    fn take(&mut self, len: usize) -> Result<&[u8], DecodeError> {
        let end = self.at.checked_add(len).filter(|&e| e <= self.bytes.len());
        let end = end.ok_or(DecodeError::Truncated(self.at))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn length(&mut self, width: usize) -> Result<usize, DecodeError> {
        Ok(self.take(width)?.iter().fold(0, |n, &b| n << 8 | usize::from(b)))
    }

    fn text(&mut self, len: usize) -> Result<(), DecodeError> {
        if len > MAX_TEXT {
            return Err(DecodeError::Cap("a text is longer than 256 KiB"));
        }
        self.take(len).map(drop)
    }

    fn array(&mut self, len: usize, depth: usize) -> Result<(), DecodeError> {
        if len > MAX_ARRAY {
            return Err(DecodeError::Cap("an array has more than 16384 elements"));
        }
        Self::deeper(depth)?;
        for _ in 0..len {
            self.value(depth + 1)?;
        }
        Ok(())
    }

    fn map(&mut self, len: usize, depth: usize) -> Result<(), DecodeError> {
        if len > MAX_MAP {
            return Err(DecodeError::Cap("a map has more than 1024 entries"));
        }
        Self::deeper(depth)?;
        // A claimed count must not allocate: an entry has two bytes at least.
        let mut keys = Vec::with_capacity(len.min((self.bytes.len() - self.at) / 2));
        for _ in 0..len {
            let begin = self.at;
            self.value(depth + 1)?;
            keys.push((begin, self.at));
            self.value(depth + 1)?;
        }
        keys.sort_unstable_by_key(|&(begin, end)| &self.bytes[begin..end]);
        let twice =
            keys.windows(2).any(|w| self.bytes[w[0].0..w[0].1] == self.bytes[w[1].0..w[1].1]);
        if twice { Err(DecodeError::DuplicateKey) } else { Ok(()) }
    }

    fn deeper(depth: usize) -> Result<(), DecodeError> {
        if depth < MAX_DEPTH { Ok(()) } else { Err(DecodeError::Cap("nested deeper than 16")) }
    }
}

/// The formatter for `tokio_serde::Framed`: named, capped MessagePack instead of its own.
pub struct Named<In, Out>(PhantomData<fn(Out) -> In>);

impl<In, Out> Default for Named<In, Out> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<In: DeserializeOwned, Out> tokio_serde::Deserializer<In> for Named<In, Out> {
    type Error = io::Error;
    fn deserialize(self: std::pin::Pin<&mut Self>, src: &bytes::BytesMut) -> io::Result<In> {
        decode(src).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
    }
}

impl<In, Out: Serialize> tokio_serde::Serializer<Out> for Named<In, Out> {
    type Error = io::Error;
    fn serialize(self: std::pin::Pin<&mut Self>, item: &Out) -> io::Result<Bytes> {
        encode(item).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::metrics::Metrics;
    use cmdr_protocol::processes::{Change, Process};
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Old {
        a: u32,
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct New {
        a: u32,
        #[serde(default)]
        b: String,
    }

    #[test]
    fn a_field_more_or_less_does_not_hurt() {
        assert_eq!(
            decode::<New>(&encode(&Old { a: 7 }).unwrap()),
            Ok(New { a: 7, b: String::new() })
        );
        assert_eq!(decode::<Old>(&encode(&New { a: 7, b: "x".into() }).unwrap()), Ok(Old { a: 7 }));
    }

    #[test]
    fn a_whole_table_of_processes_reads_back() {
        let put: Vec<_> = (0..1000)
            .map(|pid| Process {
                pid,
                name: format!("p{pid}"),
                user: "root".into(),
                ..Process::default()
            })
            .collect();
        let change = Change { reset: true, put, cpu: vec![(1, 2); 900], ..Change::default() };
        assert_eq!(decode::<Change>(&encode(&change).unwrap()), Ok(change));
    }

    #[test]
    fn each_cap_has_its_own_error() {
        let nested = [vec![0x91; 40], vec![0x00]].concat();
        assert_eq!(check(&nested), Err(DecodeError::Cap("nested deeper than 16")));
        assert_eq!(
            check(&[0xdd, 0xff, 0xff, 0xff, 0xff]),
            Err(DecodeError::Cap("an array has more than 16384 elements"))
        );
        assert_eq!(
            check(&[0xdf, 0, 1, 0, 0]),
            Err(DecodeError::Cap("a map has more than 1024 entries"))
        );
        assert_eq!(
            check(&[0xdb, 0x7f, 0, 0, 0]),
            Err(DecodeError::Cap("a text is longer than 256 KiB"))
        );
        assert_eq!(check(&[0xc6, 0x7f, 0, 0, 0, 1]), Err(DecodeError::Truncated(5)));
        assert_eq!(check(&[0x01, 0x02]), Err(DecodeError::Trailing(1)));
        assert_eq!(check(&[0x82, 0xa1, b'a', 1, 0xa1, b'a', 2]), Err(DecodeError::DuplicateKey));
        assert_eq!(check(&[0xc1]), Err(DecodeError::Marker(0xc1)));
        assert_eq!(check(&[0xc7, 1, 2, 3]), Err(DecodeError::Marker(0xc7)));
        assert_eq!(check(&[]), Err(DecodeError::Truncated(0)));
    }

    #[test]
    fn a_frame_full_of_empty_values_is_refused() {
        let mut bytes = vec![0x9f];
        for _ in 0..15 {
            bytes.extend([0xdc, 0x40, 0x00]);
            bytes.extend(std::iter::repeat_n(0x80, 0x4000));
        }
        assert_eq!(check(&bytes), Err(DecodeError::Cap("too many values for its size")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(decode::<Metrics>(&bytes));
            drop(decode::<Change>(&bytes));
        }

        #[test]
        fn a_valid_message_cut_anywhere_is_refused(cut in 0usize..60) {
            let bytes = encode(&New { a: 70_000, b: "some text that is longer than the cut".into() }).unwrap();
            if cut < bytes.len() {
                prop_assert!(decode::<New>(&bytes[..cut]).is_err());
            }
        }
    }
}
