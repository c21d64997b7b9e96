//! One entry of the journal, from the JSON that its program writes.

use crate::services::logs::levels::of_priority;
use cmdr_protocol::logs::{LONGEST_LINE, Level, Line};
use serde::Deserialize;

/// The values of one field that are looked at.
const MOST_VALUES: usize = 16;

/// A field: text, bytes that are none, nothing (too long), or several of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Field {
    Text(String),
    Bytes(Vec<u8>),
    Many(Vec<Field>),
    Nothing,
}

#[derive(Debug, Deserialize)]
struct Written {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    at_us: String,
    #[serde(rename = "MESSAGE")]
    message: Option<Field>,
    #[serde(rename = "PRIORITY")]
    priority: Option<Field>,
    #[serde(rename = "_SYSTEMD_UNIT")]
    unit: Option<Field>,
    #[serde(rename = "SYSLOG_IDENTIFIER")]
    identifier: Option<Field>,
    #[serde(rename = "_COMM")]
    command: Option<Field>,
}

/// An entry.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::services::logs) struct Entry {
    pub(super) cursor: String,
    pub(super) at_ms: u64,
    pub(super) message: Vec<u8>,
    pub(super) level: Level,
    /// The unit, or the program, that wrote it.
    pub(super) by: String,
}

impl Field {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Bytes(bytes) => bytes,
            Self::Many(fields) => {
                let each = fields.into_iter().take(MOST_VALUES).map(|field| match field {
                    // One level is all there is.
                    Self::Many(_) | Self::Nothing => Vec::new(),
                    one => one.bytes(),
                });
                each.collect::<Vec<_>>().join(&b'\n')
            }
            Self::Nothing => b"(no message, or one that the journal's reader leaves out)".to_vec(),
        }
    }

    fn text(self) -> String {
        let bytes = self.bytes();
        let text = String::from_utf8_lossy(&bytes);
        text.chars().take(100).collect()
    }
}

/// Reads one; `None` when it is none.
pub(in crate::services::logs) fn entry_of(json: &[u8]) -> Option<Entry> {
    let written: Written = serde_json::from_slice(json).ok()?;
    if written.cursor.len() > 1024 {
        return None;
    }
    let us: u64 = written.at_us.parse().ok()?;
    let priority = written.priority.map(Field::text).and_then(|text| text.parse::<u8>().ok());
    let by = [written.unit, written.identifier, written.command].into_iter().flatten();
    Some(Entry {
        cursor: written.cursor,
        at_ms: us / 1000,
        message: written.message.map_or_else(Vec::new, Field::bytes),
        level: priority.filter(|p| *p < 8).map_or(Level::Unknown, of_priority),
        by: by.map(Field::text).find(|text| !text.is_empty()).unwrap_or_default(),
    })
}

/// Makes lines of messages that are several, the last one first when all goes back, and cuts those that
/// are too long.
pub(super) fn split(lines: &mut Vec<Line>, from: usize, back: bool) {
    let long = |line: &Line| line.bytes.len() > LONGEST_LINE || line.bytes.contains(&b'\n');
    if !lines[from..].iter().any(long) {
        return;
    }
    for line in lines.split_off(from) {
        let bytes = line.bytes.strip_suffix(b"\n").unwrap_or(&line.bytes);
        let start = lines.len();
        for (n, part) in bytes.split(|b| *b == b'\n').enumerate() {
            let (shown, whole) = (&part[..part.len().min(LONGEST_LINE)], part.len());
            lines.push(Line {
                bytes: shown.to_vec(),
                whole: (whole > shown.len()).then_some(whole as u64),
                apart: line.apart && n == 0,
                by: line.by.clone(),
                ..line
            });
        }
        if back {
            lines[start..].reverse();
            for (n, part) in lines[start..].iter_mut().enumerate() {
                part.apart = line.apart && n == 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries_are_read_whatever_their_fields_are() {
        let entry = entry_of(
            br#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1795183320123456","MESSAGE":"hello","PRIORITY":"3","_SYSTEMD_UNIT":"a.service","OTHER":[1,2]}"#,
        );
        let entry = entry.unwrap();
        assert_eq!((entry.at_ms, entry.level), (1_795_183_320_123, Level::Error));
        assert_eq!((entry.message.as_slice(), entry.by.as_str()), (&b"hello"[..], "a.service"));
        let message = |json: &str| {
            let json =
                format!("{{\"__CURSOR\":\"s\",\"__REALTIME_TIMESTAMP\":\"1\",\"MESSAGE\":{json}}}");
            entry_of(json.as_bytes()).map(|entry| entry.message)
        };
        assert_eq!(message("[104,255]"), Some(b"h\xff".to_vec()));
        assert_eq!(message("[\"a\",\"b\"]"), Some(b"a\nb".to_vec()));
        assert!(message("null").is_some());
        assert!(message("{}").is_none() && entry_of(b"{}").is_none());
    }

    #[test]
    fn a_message_of_several_lines_becomes_them() {
        let line = Line { bytes: b"a\nb\n".to_vec(), at_ms: Some(1), ..Line::default() };
        let mut lines = vec![line.clone(), line];
        split(&mut lines, 1, false);
        let texts: Vec<_> = lines.iter().map(|line| line.bytes.as_slice()).collect();
        assert_eq!(texts, [&b"a\nb\n"[..], b"a", b"b"]);
        assert!(lines.iter().all(|line| line.at_ms == Some(1)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_entry_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(entry_of(&bytes));
        }
    }
}
