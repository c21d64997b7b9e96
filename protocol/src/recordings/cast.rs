//! The lines of an asciicast v2 file: <https://docs.asciinema.org/manual/asciicast/v2/>. Written by the
//! hub's recorder and by `cmdr recordings export`.
//!
//! The format holds text. Bytes that are no UTF-8 are shown by U+FFFD, as every player would, and stand
//! before the event once more as they were, in an event of a kind of our own (`b`, base64) that players
//! pass over; so a recording of any bytes reads back as it was.

use super::{Event, EventKind};
use crate::sessions::Size;
use data_encoding::BASE64;

/// The kind of the event that holds the bytes of the next one.
pub const BYTES: &str = "b";

/// Writes the header line. `extra` are more fields of it, texts.
pub fn header(
    out: &mut Vec<u8>,
    at_ms: u64,
    title: &str,
    terminal: Option<Size>,
    extra: &[(&str, &str)],
) {
    // What is no terminal has no size; players need one.
    let Size { columns, rows } = terminal.unwrap_or_default();
    let head = format!(
        "{{\"version\":2,\"width\":{columns},\"height\":{rows},\"timestamp\":{},\"title\":\"",
        at_ms / 1000
    );
    out.extend_from_slice(head.as_bytes());
    escape(out, title);
    out.push(b'"');
    for (name, value) in extra {
        out.extend_from_slice(b",\"");
        escape(out, name);
        out.extend_from_slice(b"\":\"");
        escape(out, value);
        out.push(b'"');
    }
    out.extend_from_slice(b"}\n");
}

/// Writes an event: one line, or two when it holds bytes that are no text. With `bytes` the second form
/// is allowed; a plain export does without.
pub fn event(out: &mut Vec<u8>, at_us: u64, kind: EventKind, data: &[u8], bytes: bool) {
    if let Ok(text) = str::from_utf8(data) {
        line(out, at_us, kind.as_str(), text);
    } else {
        if bytes {
            line(out, at_us, BYTES, &BASE64.encode(data));
        }
        line(out, at_us, kind.as_str(), &String::from_utf8_lossy(data));
    }
}

/// As [`event`].
pub fn write(out: &mut Vec<u8>, event: &Event) {
    self::event(out, event.at_us, event.kind, &event.data, false);
}

fn line(out: &mut Vec<u8>, at_us: u64, kind: &str, text: &str) {
    out.reserve(text.len() + text.len() / 8 + 32);
    let head = format!("[{}.{:06},\"{kind}\",\"", at_us / 1_000_000, at_us % 1_000_000);
    out.extend_from_slice(head.as_bytes());
    escape(out, text);
    out.extend_from_slice(b"\"]\n");
}

/// For each byte what follows the backslash; 0 for none, `u` for `\u00XX`.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 0x20 {
        table[at] = b'u';
        at += 1;
    }
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[0x7f] = b'u';
    table
};

/// Writes a text as the inside of a JSON string.
fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut begin = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[byte as usize];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[begin..at]);
        begin = at + 1;
        out.extend_from_slice(&[b'\\', escape]);
        if escape == b'u' {
            let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
            out.extend_from_slice(&[b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    out.extend_from_slice(&bytes[begin..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(data: &[u8]) -> Vec<(f64, String, String)> {
        let mut out = Vec::new();
        event(&mut out, 1_500_000, EventKind::Output, data, true);
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn the_header_is_one_line_of_json_whatever_is_in_it() {
        let mut out = Vec::new();
        header(
            &mut out,
            1_700_000_000_123,
            "echo \"a\nb\"",
            Some(Size { columns: 132, rows: 50 }),
            &[("host", "web\u{1b}1")],
        );
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["version"], 2);
        assert_eq!((&value["width"], &value["height"]), (&132.into(), &50.into()));
        assert_eq!(value["timestamp"], 1_700_000_000);
        assert_eq!(value["title"], "echo \"a\nb\"");
        assert_eq!(value["host"], "web\u{1b}1");
    }

    #[test]
    fn what_is_no_text_stands_beside_it_byte_for_byte() {
        let lines = lines(b"a\xffb");
        assert_eq!(lines[0].1, BYTES);
        assert_eq!(BASE64.decode(lines[0].2.as_bytes()).unwrap(), b"a\xffb");
        assert_eq!(lines[1], (1.5, "o".into(), "a\u{fffd}b".into()));
    }

    proptest! {
        #[test]
        fn any_text_reads_back_from_its_line(text in any::<String>()) {
            prop_assert_eq!(lines(text.as_bytes()), vec![(1.5, "o".to_owned(), text)]);
        }
    }
}
