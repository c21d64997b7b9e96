//! Puts the host's name before each line of its output, so that lines of many hosts can be mixed.
//! Bytes of the lines stay as they are, unless a terminal shows them. One for each stream of a host.

use cmdr_protocol::display::Filter;

/// A line longer than this is cut; what goes on has another mark before it.
const LONGEST: usize = 16 * 1024;

/// Cuts a stream into whole lines and marks them.
#[derive(Debug)]
pub(super) struct Lines {
    first: String,
    more: String,
    held: Vec<u8>,
    /// The line that comes next goes on with one that was cut.
    cut: bool,
    for_terminal: bool,
}

impl Lines {
    /// Lines of the host that `mark` names (`web1`), for a terminal or for a file.
    pub(super) fn new(mark: &str, for_terminal: bool) -> Self {
        Self {
            first: format!("{mark} | "),
            more: format!("{mark} + "),
            held: Vec::new(),
            cut: false,
            for_terminal,
        }
    }

    /// The whole lines there are now.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.hold(&bytes[..end], &mut out);
            self.write(&mut out, false);
            bytes = &bytes[end + 1..];
        }
        self.hold(bytes, &mut out);
        out
    }

    /// The last line, when it had no end.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.held.is_empty() {
            self.write(&mut out, false);
        }
        out
    }

    fn hold(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while self.held.len() + bytes.len() > LONGEST {
            let mut at = LONGEST - self.held.len();
            // Not in the middle of a character, if it is one.
            let inside = |at: usize| bytes.get(at).is_some_and(|b| b & 0xc0 == 0x80);
            for _ in 0..3 {
                if at > 0 && inside(at) {
                    at -= 1;
                }
            }
            self.held.extend_from_slice(&bytes[..at]);
            bytes = &bytes[at..];
            self.write(out, true);
        }
        self.held.extend_from_slice(bytes);
    }

    fn write(&mut self, out: &mut Vec<u8>, cut: bool) {
        let mark = if self.cut { &self.more } else { &self.first };
        out.extend_from_slice(mark.as_bytes());
        if self.for_terminal {
            let mut filter = Filter::new();
            let text = filter.push(&self.held) + &filter.finish();
            out.extend_from_slice(text.as_bytes());
            if text.contains('\u{1b}') {
                // The colour of one host's line must not run into the next host's.
                out.extend_from_slice(b"\x1b[0m");
            }
        } else {
            out.extend_from_slice(&self.held);
        }
        out.push(b'\n');
        self.held.clear();
        self.cut = cut;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(lines: &mut Lines, chunks: &[&[u8]]) -> Vec<u8> {
        let mut out: Vec<u8> = chunks.iter().flat_map(|chunk| lines.push(chunk)).collect();
        out.extend(lines.finish());
        out
    }

    /// What the host wrote, from what we wrote; a last line end that we added stays.
    fn undo(written: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut lines: Vec<_> = written.split(|b| *b == b'\n').collect();
        assert_eq!(lines.pop(), Some(&b""[..]), "every line has an end");
        for (i, line) in lines.iter().enumerate() {
            let cut = line.starts_with(b"web1 + ");
            assert!(cut || line.starts_with(b"web1 | "), "{line:?}");
            if i > 0 && !cut {
                out.push(b'\n');
            }
            out.extend_from_slice(&line[7..]);
        }
        if !lines.is_empty() {
            out.push(b'\n');
        }
        out
    }

    #[test]
    fn each_whole_line_gets_the_name_and_a_part_waits_for_its_end() {
        let mut lines = Lines::new("web1", false);
        assert_eq!(lines.push(b"one\ntw"), b"web1 | one\n");
        assert_eq!(lines.push(b"o\n\n"), b"web1 | two\nweb1 | \n");
        assert_eq!(lines.push(b"rest"), b"");
        assert_eq!(lines.finish(), b"web1 | rest\n");
        assert_eq!(lines.finish(), b"");
    }

    #[test]
    fn a_line_without_end_is_cut_between_characters_and_marked() {
        let mut lines = Lines::new("web1", false);
        let text = "节".repeat(LONGEST);
        let out = String::from_utf8(all(&mut lines, &[text.as_bytes(), b"\nnext\n"])).unwrap();
        let marks: Vec<_> = out.lines().map(|l| &l[..7]).collect();
        assert_eq!(marks, ["web1 | ", "web1 + ", "web1 + ", "web1 + ", "web1 | "]);
        assert!(out.lines().all(|l| l.len() <= LONGEST + 7));
    }

    #[test]
    fn on_a_terminal_only_colours_pass_and_end_with_the_line() {
        let mut lines = Lines::new("web1", true);
        let out = lines.push(b"\x1b[31mred\n\x1b]0;owned\x07\n");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "web1 | \x1b[31mred\x1b[0m\nweb1 | ␛]0;owned␇\n"
        );
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_however_it_is_cut(
            chunks in prop::collection::vec(prop::collection::vec(
                prop_oneof![4 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(0x1b)], 0..200), 0..8),
            long in 0..3usize,
        ) {
            let mut chunks = chunks;
            if long > 0 {
                chunks.push(vec![0xbf; long * LONGEST + 5]);
            }
            let mut expected: Vec<u8> = chunks.concat();
            if !expected.is_empty() && !expected.ends_with(b"\n") {
                expected.push(b'\n');
            }
            let parts: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let out = all(&mut Lines::new("web1", false), &parts);
            prop_assert_eq!(undo(&out), expected);
        }
    }
}
