//! Reads the lines of asciicast that the recorder has written back into events.

use cmdr_protocol::recordings::cast::BYTES;
use cmdr_protocol::recordings::{Event, EventKind};
use data_encoding::BASE64;
use std::borrow::Cow;

/// Reads events out of pieces, each of whole lines. What is no event is passed over.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The bytes of the next event, where its text is not all of them.
    bytes: Option<Vec<u8>>,
}

impl Lines {
    /// Gives every event of a piece to `take` until that says enough.
    pub(super) fn read(&mut self, piece: &[u8], mut take: impl FnMut(Event) -> bool) -> bool {
        piece.split(|b| *b == b'\n').filter_map(|line| self.line(line)).all(&mut take)
    }

    fn line(&mut self, line: &[u8]) -> Option<Event> {
        #[derive(serde::Deserialize)]
        struct Line<'a>(f64, #[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>);
        if !line.starts_with(b"[") {
            return None;
        }
        let Line(at, kind, text) = serde_json::from_slice(line).ok()?;
        if kind == BYTES {
            self.bytes = BASE64.decode(text.as_bytes()).ok();
            return None;
        }
        let data = self.bytes.take().unwrap_or_else(|| text.into_owned().into_bytes());
        let at_us = (at * 1e6).round() as u64;
        Some(Event { at_us, kind: EventKind::parse(&kind), data })
    }
}

/// Holds back the beginning of a character whose rest has not come yet.
#[derive(Debug, Default)]
pub(super) struct Characters {
    held: Vec<u8>,
}

impl Characters {
    /// What is whole of the bytes so far.
    pub(super) fn push<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut bytes = if self.held.is_empty() {
            Cow::Borrowed(bytes)
        } else {
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(bytes);
            Cow::Owned(joined)
        };
        let whole = bytes.len() - open_end(&bytes);
        if whole < bytes.len() {
            self.held = bytes[whole..].to_vec();
            match &mut bytes {
                Cow::Borrowed(all) => *all = &all[..whole],
                Cow::Owned(all) => all.truncate(whole),
            }
        }
        bytes
    }

    /// What was held back for good.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

/// How many bytes at the end begin a character without ending it.
fn open_end(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let wanted = match bytes[bytes.len() - back] {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 0,
        };
        return if wanted > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::recordings::cast;
    use proptest::prelude::*;

    #[test]
    fn a_character_cut_in_two_is_one_event_of_text() {
        let mut characters = Characters::default();
        let text = "容器é".as_bytes();
        let pieces: Vec<_> = text.chunks(2).map(|p| characters.push(p).into_owned()).collect();
        assert!(pieces.iter().all(|p| str::from_utf8(p).is_ok()), "{pieces:?}");
        assert_eq!(pieces.concat(), text);
        assert_eq!(characters.push(b"\xe5"), b"".as_slice());
        assert_eq!(characters.finish(), b"\xe5");
    }

    proptest! {
        #[test]
        fn any_bytes_are_recorded_and_read_back(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..8)
        ) {
            let (mut out, mut characters) = (Vec::new(), Characters::default());
            cast::header(&mut out, 0, "a command", None, &[]);
            for (n, piece) in pieces.iter().enumerate() {
                let whole = characters.push(piece);
                cast::event(&mut out, n as u64 * 333_333, EventKind::Output, &whole, true);
            }
            cast::event(&mut out, 9_999_999, EventKind::Output, &characters.finish(), true);
            prop_assert!(str::from_utf8(&out).is_ok());
            let mut read = Vec::new();
            Lines::default().read(&out, |event| { read.push(event); true });
            let bytes: Vec<u8> = read.iter().flat_map(|e| e.data.clone()).collect();
            prop_assert_eq!(bytes, pieces.concat());
            prop_assert!(read.iter().enumerate().take(pieces.len()).all(|(n, e)| e.at_us == n as u64 * 333_333));
        }

        #[test]
        fn any_text_is_read_without_harm(text in any::<Vec<u8>>()) {
            Lines::default().read(&text, |_| true);
        }
    }
}
