//! Pieces of files on their way: frames whose bytes nobody copies between the disk and the seal. On the wire they
//! are the same as any [`Chunk`]. Made by `agentd/src/services/files/read.rs`, read by `write.rs` beside it.

use crate::codec::{self, DecodeError};
use crate::frame::Tag;
use bytes::Bytes;
use cmdr_protocol::files::{Chunk, Sum};
use serde::Deserialize;

/// Bytes before the data of a piece: the frame's length and tag, a map of two, where it begins, its length.
pub const HEAD: usize = 24;

/// What was said of a file, its bytes still those of the frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where the bytes begin.
    pub at: u64,
    /// The bytes.
    pub data: Bytes,
    /// That this is all.
    pub sum: Option<Sum>,
}

/// A [`Chunk`] whose bytes are somebody else's.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Borrowed<'a> {
    #[serde(rename = "a")]
    at: u64,
    #[serde(rename = "d", borrow, with = "serde_bytes")]
    data: &'a [u8],
    #[serde(rename = "s")]
    sum: Option<Sum>,
}

impl Piece {
    /// Reads the payload of a frame.
    pub fn read(payload: &Bytes) -> Result<Self, DecodeError> {
        let Borrowed { at, data, sum } = codec::decode_borrowed(payload)?;
        Ok(Self { at, data: payload.slice_ref(data), sum })
    }
}

impl From<Chunk> for Piece {
    fn from(Chunk { at, data, sum, .. }: Chunk) -> Self {
        Self { at, data: data.into(), sum }
    }
}

/// What goes before so many bytes of a file, which stand at `at` there, to make a frame of them.
pub fn head(at: u64, len: u32) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&((HEAD - 4) as u32).saturating_add(len).to_be_bytes());
    head[4] = Tag::Body as u8;
    // MessagePack: a map of two, "a" and 64 bits, "d" and bytes with a length of 32 bits.
    head[5..9].copy_from_slice(&[0x82, 0xa1, b'a', 0xcf]);
    head[9..17].copy_from_slice(&at.to_be_bytes());
    head[17..20].copy_from_slice(&[0xa1, b'd', 0xc6]);
    head[20..].copy_from_slice(&len.to_be_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameReader;
    use futures::executor::block_on;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_piece_is_a_chunk_to_whoever_does_not_know_it(
            at: u64, data in proptest::collection::vec(any::<u8>(), 1..2000)
        ) {
            let framed = [&head(at, data.len() as u32)[..], &data].concat();
            let mut reader = FrameReader::new(&framed[..]);
            let frame = block_on(reader.next()).unwrap().unwrap();
            prop_assert_eq!(frame.tag, Tag::Body);
            let chunk: Chunk = codec::decode(&frame.payload).unwrap();
            prop_assert_eq!(&chunk, &Chunk { at, data, ..Chunk::default() });
            let piece = Piece::read(&codec::encode(&chunk).unwrap()).unwrap();
            prop_assert_eq!(&piece, &Piece::read(&frame.payload).unwrap());
            prop_assert_eq!(piece, Piece::from(chunk));
        }

        #[test]
        fn any_bytes_are_a_piece_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (bytes, chunk) = (Bytes::from(bytes.clone()), codec::decode::<Chunk>(&bytes));
            if let (Ok(piece), Ok(chunk)) = (Piece::read(&bytes), chunk) {
                prop_assert_eq!(piece, Piece::from(chunk));
            }
        }
    }

    #[test]
    fn the_end_of_a_file_has_a_sum_and_no_bytes() {
        let sum = Some(Sum { size: 9, ..Sum::default() });
        let end = codec::encode(&Chunk { at: 9, sum: sum.clone(), ..Chunk::default() }).unwrap();
        assert_eq!(Piece::read(&end), Ok(Piece { at: 9, data: Bytes::new(), sum }));
    }
}
