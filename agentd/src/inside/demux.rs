//! Takes the two outputs of a program apart that the engine sends as one stream. Holds eight bytes at most.

/// Bytes before each piece: which output, three of nothing, and how long it is.
const HEAD: usize = 8;

/// Which output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Out,
    Err,
}

/// What comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Bytes of an output.
    Bytes(Output, &'a [u8]),
    /// What the engine wrote at once ends here.
    End(Output),
}

/// Takes apart.
#[derive(Debug, Default)]
pub(crate) struct Demux {
    head: [u8; HEAD],
    /// So much of a head is here.
    got: usize,
    /// So much of the piece behind it is to come.
    left: usize,
}

impl Demux {
    /// Takes bytes and hands over what they hold.
    pub(crate) fn push<'a>(&mut self, mut bytes: &'a [u8], mut take: impl FnMut(Piece<'a>)) {
        loop {
            if self.got < HEAD {
                let (more, rest) = bytes.split_at(bytes.len().min(HEAD - self.got));
                self.head[self.got..self.got + more.len()].copy_from_slice(more);
                (self.got, bytes) = (self.got + more.len(), rest);
                if self.got < HEAD {
                    return;
                }
                let [_, _, _, _, a, b, c, d] = self.head;
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
            }
            let output = if self.head[0] == 2 { Output::Err } else { Output::Out };
            let (piece, rest) = bytes.split_at(bytes.len().min(self.left));
            (self.left, bytes) = (self.left - piece.len(), rest);
            if !piece.is_empty() {
                take(Piece::Bytes(output, piece));
            }
            if self.left > 0 {
                return;
            }
            take(Piece::End(output));
            self.got = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(pieces: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut all = Vec::new();
        for (stream, bytes) in pieces {
            all.extend([*stream, 0, 0, 0]);
            all.extend((bytes.len() as u32).to_be_bytes());
            all.extend(bytes);
        }
        all
    }

    proptest! {
        #[test]
        fn outputs_come_apart_however_the_bytes_come(
            pieces in prop::collection::vec((1..3u8, prop::collection::vec(any::<u8>(), 0..40)), 0..12),
            step in 1..50usize,
        ) {
            let (mut demux, mut got) = (Demux::default(), vec![(0, Vec::new())]);
            for bytes in framed(&pieces).chunks(step) {
                demux.push(bytes, |piece| match piece {
                    Piece::Bytes(output, bytes) => {
                        let last = got.last_mut().unwrap();
                        last.0 = if output == Output::Err { 2 } else { 1 };
                        last.1.extend_from_slice(bytes);
                    }
                    Piece::End(output) => {
                        got.last_mut().unwrap().0 = if output == Output::Err { 2 } else { 1 };
                        got.push((0, Vec::new()));
                    }
                });
            }
            got.pop();
            prop_assert_eq!(got, pieces);
        }

        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Demux::default().push(&bytes, |_| {});
        }
    }
}
