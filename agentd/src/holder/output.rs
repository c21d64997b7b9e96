//! The newest output of a session, for clients to take each at its own pace.

use cmdr_protocol::sessions::Size;
use std::collections::VecDeque;

/// Bytes kept. More than may be under way to who drives, with what a terminal holds when it ends.
pub(super) const KEPT: usize = 512 * 1024;
/// Sizes remembered; of more in so little output the oldest do not matter.
const SIZES: usize = 64;

/// Output by its place: bytes since the beginning.
#[derive(Debug)]
pub(super) struct Output {
    bytes: VecDeque<u8>,
    end: u64,
    /// From which place on the terminal had which size; never empty.
    sizes: VecDeque<(u64, Size)>,
}

impl Output {
    pub(super) fn new(size: Size) -> Self {
        Self { bytes: VecDeque::new(), end: 0, sizes: VecDeque::from([(0, size)]) }
    }

    /// The place of what comes next.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// The place of the oldest byte that is here.
    pub(super) fn begin(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
        let excess = (self.bytes.len() + bytes.len()).saturating_sub(KEPT);
        self.bytes.drain(..excess);
        self.bytes.extend(bytes);
        let begin = self.begin();
        while self.sizes.get(1).is_some_and(|(from, _)| *from <= begin) {
            self.sizes.pop_front();
        }
    }

    /// Nobody takes it.
    pub(super) fn forget(&mut self) {
        self.bytes = VecDeque::new();
        let newest = self.sizes.pop_back();
        self.sizes.clear();
        self.sizes.extend(newest);
    }

    pub(super) fn resized(&mut self, size: Size) {
        if self.sizes.back().is_some_and(|(from, _)| *from == self.end) {
            self.sizes.pop_back();
        }
        if self.sizes.len() == SIZES {
            self.sizes.pop_front();
        }
        self.sizes.push_back((self.end, size));
    }

    /// What follows this place, at most so many bytes, and the size that the terminal had for all of them.
    pub(super) fn piece(&self, from: u64, most: usize) -> (Vec<u8>, Size) {
        let newer = self.sizes.iter().find(|(begin, _)| *begin > from);
        let until = newer.map_or(self.end, |(begin, _)| *begin);
        let before = self.sizes.iter().rev().find(|(begin, _)| *begin <= from);
        let size = before.or(self.sizes.front()).map_or_else(Size::default, |(_, size)| *size);
        let skipped = from.saturating_sub(self.begin()) as usize;
        let len = (until.saturating_sub(from) as usize).min(most);
        let len = len.min(self.bytes.len().saturating_sub(skipped));
        let mut piece = Vec::with_capacity(len);
        let (front, back) = self.bytes.as_slices();
        if skipped < front.len() {
            piece.extend_from_slice(&front[skipped..front.len().min(skipped + len)]);
        }
        let rest = len - piece.len();
        let at = (skipped + piece.len()).saturating_sub(front.len());
        piece.extend_from_slice(&back[at..at + rest]);
        (piece, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(columns: u16) -> Size {
        Size { columns, rows: 5 }
    }

    #[test]
    fn a_piece_has_one_size() {
        let mut output = Output::new(size(80));
        output.push(b"wide");
        output.resized(size(50));
        output.resized(size(40));
        output.push(b"narrow");
        assert_eq!(output.piece(0, 100), (b"wide".to_vec(), size(80)));
        assert_eq!(output.piece(2, 1), (b"d".to_vec(), size(80)));
        assert_eq!(output.piece(4, 100), (b"narrow".to_vec(), size(40)));
        assert_eq!(output.piece(10, 100), (Vec::new(), size(40)));
    }

    proptest! {
        #[test]
        fn what_is_kept_is_the_newest_whatever_comes(
            pieces in proptest::collection::vec(0usize..300_000, 1..8), at in 0usize..600_000,
        ) {
            let (mut output, mut all) = (Output::new(size(80)), Vec::new());
            for (n, len) in pieces.iter().enumerate() {
                let piece: Vec<u8> = (0..*len).map(|i| (i / 7 + n) as u8).collect();
                output.push(&piece);
                all.extend(piece);
            }
            prop_assert_eq!(output.end(), all.len() as u64);
            prop_assert!(all.len() as u64 - output.begin() <= KEPT as u64);
            let from = (output.begin() + at as u64).min(output.end());
            let (piece, _) = output.piece(from, 10_000);
            let rest = &all[from as usize..];
            prop_assert_eq!(&piece[..], &rest[..rest.len().min(10_000)]);
        }
    }
}
