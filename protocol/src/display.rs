//! Makes text from hosts harmless to show.
//!
//! Names, process titles, log lines and command output come from machines that may be hostile.
//! Everything of theirs that reaches a terminal passes through [`clean`] (one line of text) or
//! [`Filter`] (a stream whose colours may stay).

use std::borrow::Cow;
use std::fmt::Write as _;

/// True for characters that may steer a terminal or mislead the eye: C0 and C1 controls, DEL,
/// bidirectional overrides, zero-width and other invisible characters.
pub const fn is_harmful(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}'
        | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text with every harmful character made visible: `␛` for ESC, `‹202e›` for the others.
/// Borrowed and unchanged when there is nothing to do.
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        push_clean(&mut out, c);
    }
    Cow::Owned(out)
}

fn push_clean(out: &mut String, c: char) {
    match c {
        '\u{0}'..='\u{1f}' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
        '\u{7f}' => out.push('\u{2421}'),
        c if is_harmful(c) => {
            // Writing to a string cannot fail.
            write!(out, "‹{:x}›", c as u32).ok();
        }
        c => out.push(c),
    }
}

/// Bytes of one cell, on average: room for combining marks, and not for any number of them.
const CELL: usize = 8;

/// As [`clean`], cut to `width` terminal cells with `…` in the last one when something was cut. It has at most
/// 8 bytes a cell: characters without width are not free.
pub fn clean_to_width(text: &str, width: usize) -> String {
    use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
    let text = clean(text);
    let most = width.saturating_mul(CELL);
    if text.len() <= most && text.width() <= width {
        return text.into_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > width || out.len() + c.len_utf8() + '…'.len_utf8() > most {
            break;
        }
        used += w;
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// Streams bytes to a terminal: line feeds, tabs and colours (SGR) pass, everything else that could
/// steer it is shown as text. Keeps state across chunks, so a sequence cut in two is still caught.
#[derive(Debug, Default)]
pub struct Filter {
    state: State,
    /// An escape sequence or a UTF-8 character begun but not ended. At most [`Filter::LONGEST`] bytes.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    Csi,
    /// Inside a UTF-8 character; so many bytes are still to come.
    Utf8(u8),
}

impl Filter {
    /// An SGR sequence longer than this is not one.
    const LONGEST: usize = 64;

    /// A filter at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// What may be written to the terminal for this chunk. A sequence that the chunk leaves open is
    /// held back until its end or [`Filter::finish`].
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut out = String::with_capacity(bytes.len() + 8);
        for &byte in bytes {
            self.byte(byte, &mut out);
        }
        out
    }

    /// What was held back, made visible, and colours reset if any were let through.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        self.give_up(&mut out);
        out
    }

    fn byte(&mut self, byte: u8, out: &mut String) {
        match self.state {
            State::Text => self.text(byte, out),
            State::Escape if byte == b'[' => {
                self.held.push(byte);
                self.state = State::Csi;
            }
            State::Csi
                if matches!(byte, b'0'..=b'9' | b';' | b':') && self.held.len() < Self::LONGEST =>
            {
                self.held.push(byte);
            }
            State::Csi if byte == b'm' => {
                self.held.push(byte);
                out.push_str(&String::from_utf8_lossy(&self.held));
                self.held.clear();
                self.state = State::Text;
            }
            State::Utf8(left) if byte & 0xc0 == 0x80 => {
                self.held.push(byte);
                if left > 1 {
                    self.state = State::Utf8(left - 1);
                } else {
                    self.give_up(out);
                }
            }
            State::Escape | State::Csi | State::Utf8(_) => {
                self.give_up(out);
                self.text(byte, out);
            }
        }
    }

    fn text(&mut self, byte: u8, out: &mut String) {
        let begin = |this: &mut Self, state| {
            this.held.push(byte);
            this.state = state;
        };
        match byte {
            0x1b => begin(self, State::Escape),
            b'\n' | b'\t' => out.push(byte as char),
            // A carriage return is how progress bars rewrite their line; shown as text it would
            // only be noise, passed on it would let output overwrite what stands before it.
            b'\r' => {}
            0x00..=0x7f => push_clean(out, byte as char),
            0xc2..=0xdf => begin(self, State::Utf8(1)),
            0xe0..=0xef => begin(self, State::Utf8(2)),
            0xf0..=0xf4 => begin(self, State::Utf8(3)),
            _ => out.push('\u{fffd}'),
        }
    }

    /// What is held is no sequence we let through (or a whole character): show it as text.
    fn give_up(&mut self, out: &mut String) {
        for c in String::from_utf8_lossy(&self.held).chars() {
            push_clean(out, c);
        }
        self.held.clear();
        self.state = State::Text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_in_names_become_visible() {
        assert_eq!(clean("web\u{1b}]52;c;aGk=\u{7}1"), "web␛]52;c;aGk=␇1");
        assert_eq!(clean("a\u{202e}b\u{9b}c"), "a‹202e›b‹9b›c");
    }

    #[test]
    fn harmless_text_is_not_copied() {
        assert!(matches!(clean("节点-1 café"), Cow::Borrowed(_)));
    }

    #[test]
    fn text_is_cut_by_cells_not_characters() {
        assert_eq!(clean_to_width("节点节点", 5), "节点…");
        assert_eq!(clean_to_width("abc", 3), "abc");
        assert_eq!(clean_to_width("abcd", 3), "ab…");
        assert_eq!(clean_to_width("abcd", 0), "");
    }

    #[test]
    fn characters_without_width_are_not_free() {
        let marks = format!("a{}", "\u{301}".repeat(100_000));
        for width in [1, 4, 400] {
            let cut = clean_to_width(&marks, width);
            assert!(cut.len() <= 8 * width && cut.ends_with('…'), "{width}: {}", cut.len());
        }
        assert_eq!(clean_to_width("e\u{301}te\u{301}", 3), "e\u{301}te\u{301}");
        assert_eq!(clean_to_width("\u{301}", 0), "");
    }

    #[test]
    fn colours_pass_and_everything_else_is_shown() {
        let mut filter = Filter::new();
        assert_eq!(filter.push(b"\x1b[1;31mred\x1b[0m\n"), "\x1b[1;31mred\x1b[0m\n");
        assert_eq!(filter.push(b"\x1b[2J\x1b]0;title\x07"), "␛[2J␛]0;title␇");
    }

    #[test]
    fn a_sequence_cut_in_two_is_still_caught() {
        let mut filter = Filter::new();
        assert_eq!(filter.push(b"a\x1b"), "a");
        assert_eq!(filter.push(b"[3"), "");
        assert_eq!(filter.push(b"1mb"), "\x1b[31mb");
        assert_eq!(filter.push(b"\x1b["), "");
        assert_eq!(filter.finish(), "␛[");
    }

    #[test]
    fn characters_cut_in_two_are_put_together() {
        let mut filter = Filter::new();
        let text = "节点".as_bytes();
        let joined = filter.push(&text[..2]) + &filter.push(&text[2..]);
        assert_eq!(joined, "节点");
    }

    #[test]
    fn c1_controls_written_as_utf8_are_shown() {
        assert_eq!(Filter::new().push("\u{9b}31m".as_bytes()), "‹9b›31m");
        assert_eq!(Filter::new().push("\u{9d}0;t\u{9c}".as_bytes()), "‹9d›0;t‹9c›");
        let mut cut = Filter::new();
        assert_eq!(cut.push(b"\xc2") + &cut.push(b"\x9b2J"), "‹9b›2J");
    }

    #[test]
    fn c1_controls_written_as_bare_bytes_are_shown() {
        for byte in 0x80..=0x9f {
            let shown = Filter::new().push(&[b'a', byte, b'[', b'm', b'b']);
            assert_eq!(shown, "a\u{fffd}[mb", "{byte:x}");
            let shown = Filter::new().push(&[0x1b, byte, b'b']);
            assert_eq!(shown, "␛\u{fffd}b", "{byte:x}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_colours_and_line_ends_reaches_the_terminal(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6)
        ) {
            let mut filter = Filter::new();
            let mut out = String::new();
            for chunk in &chunks {
                out.push_str(&filter.push(chunk));
            }
            out.push_str(&filter.finish());
            let mut rest = out.as_str();
            while let Some(at) = rest.find(is_harmful) {
                rest = &rest[at..];
                if let Some(after) = rest.strip_prefix(['\n', '\t']) {
                    rest = after;
                    continue;
                }
                let sgr = rest.strip_prefix("\u{1b}[").and_then(|r| {
                    let end = r.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
                    r[end..].strip_prefix('m')
                });
                prop_assert!(sgr.is_some(), "{rest:?}");
                rest = sgr.unwrap_or("");
            }
        }

        #[test]
        fn cleaned_text_has_no_harmful_character(text in any::<String>()) {
            prop_assert!(!clean(&text).chars().any(is_harmful));
        }
    }
}
