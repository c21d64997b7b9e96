//! Cuts a stream of bytes into lines, and never holds more of one than is ever shown.

use cmdr_protocol::logs::LONGEST_LINE;

/// Bytes of a line that has not ended yet.
#[derive(Debug)]
pub(super) struct Splitter {
    /// The beginning of it.
    held: Vec<u8>,
    /// How long it is so far.
    len: u64,
    /// Held of one line at most.
    most: usize,
}

/// A line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    /// What is held of it, without its end.
    pub(super) bytes: &'a [u8],
    /// How long it is without its end.
    pub(super) whole: u64,
    /// Bytes that it took, with its end.
    pub(super) taken: u64,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::holding(LONGEST_LINE)
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl Splitter {
    /// That holds so much of one line.
    pub(super) const fn holding(most: usize) -> Self {
        Self { held: Vec::new(), len: 0, most }
    }

    /// Bytes of the line that has not ended.
    pub(super) const fn pending(&self) -> u64 {
        self.len
    }

    /// Takes bytes and hands each line that ends in them over.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut take: impl FnMut(Piece<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.len == 0 {
                let (taken, line) = (line.len() as u64 + 1, without_return(line));
                let held = &line[..line.len().min(self.most)];
                take(Piece { bytes: held, whole: line.len() as u64, taken });
            } else {
                self.hold(line);
                self.end(1, &mut take);
            }
        }
        self.hold(bytes);
    }

    /// Hands over the line that has not ended, when there is one.
    pub(super) fn finish(&mut self, mut take: impl FnMut(Piece<'_>)) {
        if self.len > 0 {
            self.end(0, &mut take);
        }
    }

    fn end(&mut self, newline: u64, take: &mut impl FnMut(Piece<'_>)) {
        let all = self.held.len() as u64 == self.len;
        let line = if all { without_return(&self.held) } else { &self.held };
        let cut = self.held.len() as u64 - line.len() as u64;
        take(Piece { bytes: line, whole: self.len - cut, taken: self.len + newline });
        self.clear();
    }

    pub(super) fn clear(&mut self) {
        self.held.clear();
        // A long line is rare, and its room is not kept for good.
        self.held.shrink_to(1024);
        self.len = 0;
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = self.most.saturating_sub(self.held.len());
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.len += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(chunks: &[&[u8]]) -> Vec<(Vec<u8>, u64)> {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        let mut take = |piece: Piece<'_>| lines.push((piece.bytes.to_vec(), piece.whole));
        for chunk in chunks {
            splitter.push(chunk, &mut take);
        }
        splitter.finish(&mut take);
        lines
    }

    #[test]
    fn a_huge_line_is_cut_and_counted_and_the_next_one_is_whole() {
        let block = vec![b'x'; 1 << 20];
        let mut chunks: Vec<&[u8]> = vec![&block; 40];
        chunks.push(b"\r\nnext");
        let lines = all(&chunks);
        assert_eq!(lines[0].0.len(), LONGEST_LINE);
        // What a cut line ends with is not looked at.
        assert_eq!(lines[0].1, 40 << 20 | 1);
        assert_eq!(lines[1], (b"next".to_vec(), 4));
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_the_bytes_come(
            text in prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b'\r')], 0..400),
            cuts in prop::collection::vec(0..400usize, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(all(&chunks), all(&[&text]));
        }
    }
}
