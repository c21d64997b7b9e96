//! Finds the 8-bit forms of escape sequences (C1: CSI is one byte or character, not `ESC [`) among text,
//! written as UTF-8 or as bare bytes. Used by the search, which reads text with and without them.

/// Of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// No such control is in it.
    Plain(&'a [u8]),
    /// One, 0x80 to 0x9f.
    Control(u8),
}

/// Takes text in pieces; a character may be cut by them.
#[derive(Clone, Debug, Default)]
pub(super) struct EightBit {
    /// So many bytes of a character are still to come.
    left: u8,
    /// The byte that begins U+0080 to U+00BF was the last.
    held: bool,
}

/// Begins U+0080 to U+00BF.
const LATIN: u8 = 0xc2;

impl EightBit {
    /// Tells the parts in their order.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Part<'_>)) {
        if bytes.is_ascii() && self.left == 0 {
            return each(Part::Plain(bytes));
        }
        let mut from = 0;
        let plain = |from: usize, to: usize, each: &mut dyn FnMut(Part<'_>)| {
            if from < to {
                each(Part::Plain(&bytes[from..to]));
            }
        };
        for (at, &byte) in bytes.iter().enumerate() {
            let held = std::mem::take(&mut self.held);
            let goes_on = self.left > 0 && (0x80..=0xbf).contains(&byte);
            let control = (0x80..=0x9f).contains(&byte) && (held || !goes_on);
            if control {
                // What was held is part of it, and was not told.
                plain(from, at, &mut each);
                each(Part::Control(byte));
                (from, self.left) = (at + 1, 0);
                continue;
            }
            if held {
                plain(from, at, &mut each);
                each(Part::Plain(&[LATIN]));
                from = at;
            }
            self.left = match byte {
                _ if goes_on => self.left - 1,
                0xc2..=0xdf => 1,
                0xe0..=0xef => 2,
                0xf0..=0xf4 => 3,
                _ => 0,
            };
            if byte == LATIN && !goes_on {
                plain(from, at, &mut each);
                (from, self.held) = (at + 1, true);
            }
        }
        plain(from, bytes.len(), &mut each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text without them, and them.
    fn split(pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let (mut all, mut plain, mut controls) = (EightBit::default(), Vec::new(), Vec::new());
        for piece in pieces {
            all.push(piece, |part| match part {
                Part::Plain(bytes) => plain.extend_from_slice(bytes),
                Part::Control(byte) => controls.push(byte),
            });
        }
        (plain, controls)
    }

    #[test]
    fn both_forms_are_found_and_characters_stay() {
        let (plain, controls) = split(&["a\u{9b}b\u{a0}é世😀\u{85}".as_bytes(), b"\x9b\xff\x80z"]);
        assert_eq!(controls, [0x9b, 0x85, 0x9b, 0x80]);
        assert_eq!(plain, ["ab\u{a0}é世😀".as_bytes(), b"\xffz"].concat());
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_parts_are_the_same(bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>()) {
            // What is held at the end is no control.
            let bytes = [&bytes[..], b"."].concat();
            let at = at.index(bytes.len());
            prop_assert_eq!(split(&[&bytes[..at], &bytes[at..]]), split(&[&bytes]));
        }

        #[test]
        fn text_without_them_stays_as_it_is(text in any::<String>()) {
            let text: String = text.chars().filter(|c| !('\u{80}'..='\u{9f}').contains(c)).collect();
            let whole = format!("{text}.");
            prop_assert_eq!(split(&[whole.as_bytes()]), (whole.clone().into_bytes(), vec![]));
        }
    }
}
