//! What the compose program writes, read: its lines, its complaints, and the YAML or JSON that it makes of a file.

use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::{CallError, ErrorKind};
use serde_json::Value;

/// The longest line that is told, in columns.
const LINE: usize = 400;
/// The longest line that is looked at, in bytes.
const BYTES: usize = 4 * 1024;
/// Remarks that are told.
const REMARKS: usize = 20;
/// Lines of a complaint that are told.
const COMPLAINT: usize = 8;

/// Cuts bytes into lines that are harmless on a screen.
#[derive(Debug, Default)]
pub(super) struct Lines {
    open: Vec<u8>,
}

impl Lines {
    /// Takes what came; nothing at the end.
    pub(super) fn take(&mut self, bytes: &[u8], into: &mut Vec<String>) {
        let over = bytes.is_empty();
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => self.close(into),
                _ if self.open.len() < BYTES => self.open.push(*byte),
                _ => {}
            }
        }
        if over {
            self.close(into);
        }
    }

    fn close(&mut self, into: &mut Vec<String>) {
        let line = std::mem::take(&mut self.open);
        let line = clean_to_width(String::from_utf8_lossy(&line).trim(), LINE);
        if !line.is_empty() {
            into.push(line);
        }
    }
}

/// Of its lines those that say what is wrong; the last ones when none does.
pub(super) fn complaint(lines: &[String]) -> String {
    let bad = |line: &&String| {
        let line = line.to_lowercase();
        ["error", "cannot", "invalid", "denied", "no such", "failed", "refused"]
            .iter()
            .any(|word| line.contains(word))
    };
    let mut said: Vec<&String> = lines.iter().filter(bad).collect();
    if said.is_empty() {
        said = lines.iter().rev().take(3).collect();
        said.reverse();
    }
    said.dedup();
    let from = said.len().saturating_sub(COMPLAINT);
    if said.is_empty() {
        return "nothing".to_owned();
    }
    said[from..].iter().map(|line| line.as_str()).collect::<Vec<_>>().join("; ")
}

/// An error of these words, with a kind that programs decide by.
pub(super) fn kind(message: String) -> CallError {
    let words = message.to_lowercase();
    let has = |any: &[&str]| any.iter().any(|word| words.contains(word));
    let kind = if has(&["already in use", "already allocated", "is already being used"]) {
        ErrorKind::Conflict
    } else if has(&["no space left on device"]) {
        ErrorKind::Busy
    } else if has(&[
        "no such image",
        "manifest unknown",
        "repository does not exist",
        "not found: manifest",
    ]) {
        ErrorKind::NotFound
    } else {
        ErrorKind::Failed
    };
    CallError::new(kind, message)
}

/// Remarks without the words of the program's own log around them, each once.
pub(super) fn remarks(lines: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in lines {
        let inner = line.split_once("msg=\"").map(|(_, rest)| rest.trim_end_matches('"'));
        let text = inner.unwrap_or(line).trim_start_matches("WARNING: ").replace("\\\"", "\"");
        if !all.contains(&text) && all.len() < REMARKS {
            all.push(text);
        }
    }
    all
}

/// Reads YAML, of which JSON is a part. Its size is bounded by who calls.
pub(super) fn yaml(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        // What a file means by tags of its own is for the compose program.
        reject_unsupported_tags: false,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_nodes: 200_000,
            max_aliases: 1000,
            max_anchors: 1000,
        },
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|e| clean_to_width(&e.to_string().replace('\n', " "), LINE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lines(text: &str) -> Vec<String> {
        let (mut lines, mut into) = (Lines::default(), Vec::new());
        for chunk in text.as_bytes().chunks(3) {
            lines.take(chunk, &mut into);
        }
        lines.take(b"", &mut into);
        into
    }

    #[test]
    fn lines_are_whole_bounded_and_harmless() {
        assert_eq!(lines("a ... \r\nb ... done\r\n\n c"), ["a ...", "b ... done", "c"]);
        let evil = lines("Container \u{1b}[2Jweb\n");
        assert!(evil.len() == 1 && !evil[0].contains('\u{1b}'), "{evil:?}");
        assert!(lines(&"x".repeat(100_000))[0].len() <= BYTES);
    }

    #[test]
    fn a_complaint_is_what_says_what_is_wrong() {
        let said =
            lines("Creating a ... \nCreating a ... error\n\nERROR: for a  Cannot create\nbye");
        assert_eq!(complaint(&said), "Creating a ... error; ERROR: for a  Cannot create");
        assert_eq!(complaint(&lines("one\ntwo")), "one; two");
        assert_eq!(complaint(&[]), "nothing");
    }

    #[test]
    fn programs_can_decide_by_the_kind() {
        let of = |text: &str| kind(text.to_owned()).kind;
        assert_eq!(
            of("Bind for 0.0.0.0:80 failed: port is already allocated"),
            ErrorKind::Conflict
        );
        assert_eq!(of("write /x: no space left on device"), ErrorKind::Busy);
        assert_eq!(of("No such image: x"), ErrorKind::NotFound);
        assert_eq!(of("odd"), ErrorKind::Failed);
    }

    #[test]
    fn remarks_are_told_once_without_the_log_around_them() {
        let said =
            ["time=\"x\" level=warning msg=\"The \\\"x\\\" variable is not set.\"".to_owned()];
        let twice = [said.clone(), said].concat();
        assert_eq!(remarks(&twice), ["The \"x\" variable is not set."]);
        assert_eq!(remarks(&["WARNING: old".to_owned()]), ["old"]);
    }

    #[test]
    fn what_either_program_writes_is_read_as_it_is_meant() {
        let old = yaml(b"services:\n  a:\n    command: ['1', \"22:22\"]\n    cpus: 0.5\n    environment: {true: 'yes'}\n    x: null\n");
        let expected = json!({"services": {"a": {
            "command": ["1", "22:22"], "cpus": 0.5, "environment": {"true": "yes"}, "x": null,
        }}});
        assert_eq!(old.unwrap(), expected);
        assert_eq!(yaml(br#"{"a": {"b": ["1"]}}"#).unwrap(), json!({"a": {"b": ["1"]}}));
        let wrong = yaml(b"a: 1\nb: \"x\n").unwrap_err();
        assert!(wrong.contains("line"), "{wrong}");
        assert!(yaml(b"a: 1\na: 2\n").is_err());
    }
}
