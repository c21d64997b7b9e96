//! What the emulator need not see of a flood: lines of plain text that others will have pushed out of the
//! scrollback before anybody looks. The emulator takes some 30 MB a second, a terminal writes three times that.

/// How much of the output may be passed over.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Skip {
    /// Bytes that need not be shown.
    pub(super) len: usize,
    /// The sequences within them that set how letters look: what follows is written in the last ones' manner.
    pub(super) pens: Vec<u8>,
}

/// The longest such sequence that is understood.
const PEN: usize = 64;

/// Looks for plain lines at the beginning of `bytes`, where no sequence may be under way. What is passed over ends
/// where a line begins and has so many ends of lines behind it, with nothing but plain text between them: a
/// terminal that scrolls as a whole shows the same afterwards, when `lines` is its scrollback and two screens.
pub(super) fn over(bytes: &[u8], lines: usize) -> Option<Skip> {
    let plain = plain(bytes);
    let mut ends = memchr::memrchr_iter(b'\n', &bytes[..plain]);
    ends.nth(lines.checked_sub(1)?)?;
    // A line that begins at the left edge, with something that stands for itself.
    let begins = |end: usize| {
        end > 0 && bytes[end - 1] == b'\r' && bytes.get(end + 1).is_some_and(u8::is_ascii_graphic)
    };
    let len = ends.find(|end| begins(*end))? + 1;
    let mut pens = Vec::new();
    for at in memchr::memchr_iter(0x1b, &bytes[..len]) {
        pens.extend_from_slice(&bytes[at..at + pen(&bytes[at..])?]);
    }
    Some(Skip { len, pens })
}

/// Bytes of plain text and of what sets its looks at the beginning.
fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'\n' | b'\r' | b'\t' | 0x07 | 0x20..=0x7e | 0x80..=0xc1 | 0xc3.. => 1,
            // Controls of one character.
            0xc2 if bytes.get(at + 1).is_some_and(|next| *next >= 0xa0) => 2,
            0x1b => match pen(&bytes[at..]) {
                Some(len) => len,
                None => break,
            },
            _ => break,
        };
    }
    at
}

/// The length of a sequence that sets how letters look, if there is a whole one at the beginning.
fn pen(bytes: &[u8]) -> Option<usize> {
    let values = bytes.strip_prefix(b"\x1b[")?;
    let values = &values[..values.len().min(PEN)];
    let len = values.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':'))?;
    (values[len] == b'm').then_some(len + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_leave_are_passed_over_but_for_their_colours() {
        let text = b"one\r\n\x1b[31mtwo\r\nthree\r\nfour\r\nfive\r\n";
        let skip = over(text, 2).unwrap();
        let passed = b"one\r\n\x1b[31mtwo\r\nthree\r\n".len();
        assert_eq!(skip, Skip { len: passed, pens: b"\x1b[31m".to_vec() });
        assert_eq!(over(text, 9), None);
    }

    #[test]
    fn nothing_is_passed_over_beyond_what_moves_the_cursor() {
        for bad in [
            "\x1b[2J",
            "\x1b[?1049h",
            "\x1b]0;title\x07",
            "\x0e",
            "\u{85}",
            "\x1b[>4;1m",
            "\x1b[31",
        ] {
            let text = format!("one\r\ntwo\r\n{bad}three\r\nfour\r\n");
            assert_eq!(over(text.as_bytes(), 3), None, "{bad:?}");
        }
    }

    #[test]
    fn a_line_that_does_not_begin_at_the_edge_is_no_place_to_go_on() {
        assert_eq!(over(b"a\nb\nc\nd\ne\n", 1), None);
    }
}
