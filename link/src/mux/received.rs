//! Bytes of a stream that nobody has read yet. What it holds in memory stays close to what the
//! stream's window allows, however small the pieces in which the peer sends.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// A piece smaller than this is copied to the others like it.
const SMALL: usize = 1024;

/// A queue of pieces.
#[derive(Debug, Default)]
pub(super) struct Received {
    pieces: VecDeque<Bytes>,
    /// Small pieces that came last, joined.
    tail: BytesMut,
}

impl Received {
    /// Takes a piece cut from a message of `message` bytes. One that would hold much more memory
    /// than it has bytes is copied out.
    pub(super) fn push(&mut self, piece: Bytes, message: usize) {
        if piece.len() < SMALL {
            self.tail.extend_from_slice(&piece);
            return;
        }
        if !self.tail.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.tail).freeze());
        }
        let piece = if piece.len() < message / 2 { Bytes::copy_from_slice(&piece) } else { piece };
        self.pieces.push_back(piece);
    }

    /// The next piece, of at most so many bytes; `None` when there is none.
    pub(super) fn take(&mut self, most: usize) -> Option<Bytes> {
        let Some(first) = self.pieces.front_mut() else {
            return (!self.tail.is_empty()).then(|| {
                if self.tail.len() > most {
                    Bytes::copy_from_slice(&self.tail.split_to(most))
                } else {
                    std::mem::take(&mut self.tail).freeze()
                }
            });
        };
        if first.len() > most {
            return Some(first.split_to(most));
        }
        self.pieces.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_piece_of_a_large_message_does_not_keep_the_message() {
        let message = Bytes::from(vec![7; 48 * 1024]);
        let mut received = Received::default();
        received.push(message.slice(..2000), message.len());
        assert!(message.is_unique());
    }

    #[test]
    fn bytes_sent_one_by_one_are_held_as_one_piece() {
        let mut received = Received::default();
        for byte in 0..200 {
            received.push(Bytes::copy_from_slice(&[byte]), 13);
        }
        assert_eq!(received.take(usize::MAX).map(|piece| piece.len()), Some(200));
        assert_eq!(received.take(1), None);
    }

    proptest! {
        #[test]
        fn bytes_come_out_in_their_order(
            sizes in proptest::collection::vec(0usize..3000, 0..20), most in 1usize..4000
        ) {
            let (mut received, mut expected) = (Received::default(), Vec::new());
            for (n, size) in sizes.into_iter().enumerate() {
                let piece = vec![n as u8; size];
                expected.extend_from_slice(&piece);
                received.push(piece.into(), size * 3);
            }
            let mut got = Vec::new();
            while let Some(piece) = received.take(most) {
                prop_assert!(!piece.is_empty() && piece.len() <= most);
                got.extend_from_slice(&piece);
            }
            prop_assert_eq!(got, expected);
        }
    }
}
