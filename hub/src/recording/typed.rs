//! Looks for dangerous commands in what is typed into a session. A guess: lines as they would be if keys
//! did nothing but write, erase and end them. What is typed is forgotten with its line.

use super::danger::Danger;
use cmdr_protocol::recordings::Mark;
use std::sync::Arc;

/// The longest line that is looked at, in bytes.
const LINE: usize = 4096;

/// The line that is being typed.
#[derive(Debug)]
pub(super) struct Typed {
    danger: Arc<Danger>,
    line: Vec<u8>,
    /// In the sequence that a key such as an arrow sends.
    escape: Escape,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    Sequence,
}

impl Typed {
    pub(super) fn new(danger: Arc<Danger>) -> Self {
        Self { danger, line: Vec::new(), escape: Escape::None }
    }

    /// What strikes in the lines that end with these keys.
    pub(super) fn push(&mut self, keys: &[u8], at_ms: u64) -> Vec<Mark> {
        let mut marks = Vec::new();
        for &key in keys {
            self.escape = match (&self.escape, key) {
                (Escape::Begun, b'[' | b'O') | (Escape::Sequence, 0x20..=0x3f) => Escape::Sequence,
                (Escape::None, 0x1b) => Escape::Begun,
                (Escape::None, _) => {
                    marks.extend(self.key(key, at_ms));
                    Escape::None
                }
                _ => Escape::None,
            };
        }
        marks
    }

    fn key(&mut self, key: u8, at_ms: u64) -> Vec<Mark> {
        match key {
            b'\r' | b'\n' => {
                let line = std::mem::take(&mut self.line);
                return self.danger.marks(&String::from_utf8_lossy(&line), at_ms);
            }
            // Ctrl-C and Ctrl-U begin anew.
            0x03 | 0x15 => self.line.clear(),
            0x08 | 0x7f => drop(self.line.pop()),
            0x20.. if self.line.len() < LINE => self.line.push(key),
            _ => {}
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::recordings::Level;
    use proptest::prelude::*;

    fn typed() -> Typed {
        Typed::new(Arc::new(Danger::new(&[]).unwrap()))
    }

    #[test]
    fn a_dangerous_line_strikes_when_it_is_sent_and_not_before() {
        let mut typed = typed();
        assert!(typed.push(b"rm -rx\x7ff\x1b[D\x1b[C /", 1).is_empty());
        let marks = typed.push(b"\r", 7);
        assert_eq!((marks[0].level, marks[0].at_ms), (Level::Danger, 7));
        assert!(typed.push(b"rm -rf /\x03ls\rrm -rf /\x15echo\r", 8).is_empty());
    }

    proptest! {
        #[test]
        fn any_keys_do_no_harm(keys in any::<Vec<u8>>()) {
            typed().push(&keys, 0);
        }
    }
}
