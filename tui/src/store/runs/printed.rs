//! What one host of a run printed: lines that may be shown, the newest of them when there are too many.

use cmdr_protocol::CallError;
use cmdr_protocol::display::{Filter, clean};
use cmdr_protocol::runs;
use std::collections::VecDeque;

/// Bytes of text that are kept.
const MOST: usize = 256 * 1024;
/// A line that is longer goes on in the next one.
const LONGEST: usize = 8 * 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// It was written to the standard error.
    pub is_error: bool,
    /// Harmless, without its end.
    pub text: String,
}

/// What was printed.
#[derive(Debug, Default)]
pub struct Printed {
    /// In which attempt.
    attempt: u32,
    lines: VecDeque<Line>,
    bytes: usize,
    /// What came behind the last line end: of each output.
    open: [String; 2],
    filters: [Filter; 2],
    /// From where to go on.
    pub cursor: String,
    /// Bytes that the hub has not kept.
    pub lost: u64,
    /// Lines that were dropped here to make room.
    pub dropped: usize,
    /// All of it came.
    pub whole: bool,
    /// It is on its way.
    pub coming: bool,
    /// Why it did not come.
    pub error: Option<CallError>,
}

impl Printed {
    /// Whether it is that of this attempt, whole.
    pub fn is_whole(&self, attempt: u32) -> bool {
        self.whole && self.attempt == attempt
    }

    pub(super) fn begin(&mut self, attempt: u32) {
        if self.attempt != attempt {
            *self = Self { attempt, cursor: std::mem::take(&mut self.cursor), ..Self::default() };
        }
        (self.coming, self.error) = (true, None);
    }

    pub(super) fn end(&mut self, end: Result<(), CallError>) {
        self.coming = false;
        match end {
            Ok(()) => {
                self.whole = true;
                for of in 0..2 {
                    let rest = self.filters[of].finish();
                    self.text(of, &rest);
                    let open = std::mem::take(&mut self.open[of]);
                    if !open.is_empty() {
                        self.line(of, &open);
                    }
                }
            }
            Err(error) => self.error = Some(error),
        }
    }

    pub(super) fn take(&mut self, piece: runs::Printed) {
        if piece.attempt < self.attempt {
            return;
        }
        if piece.attempt > self.attempt {
            let (attempt, coming) = (piece.attempt, self.coming);
            *self = Self { attempt, coming, ..Self::default() };
        }
        self.lost += piece.lost;
        for (of, bytes) in [piece.stdout, piece.stderr].into_iter().enumerate() {
            let text = self.filters[of].push(&bytes);
            self.text(of, &text);
        }
    }

    fn text(&mut self, of: usize, text: &str) {
        let mut open = std::mem::take(&mut self.open[of]);
        for c in text.chars() {
            match c {
                '\n' => {
                    self.line(of, &open);
                    open.clear();
                }
                c => open.push(c),
            }
            if open.len() >= LONGEST {
                self.line(of, &open);
                open.clear();
            }
        }
        self.open[of] = open;
    }

    fn line(&mut self, of: usize, text: &str) {
        let text = clean(&without_colours(text).replace('\t', "    ")).into_owned();
        self.bytes += text.len() + 1;
        self.lines.push_back(Line { is_error: of == 1, text });
        while self.bytes > MOST {
            let Some(gone) = self.lines.pop_front() else { break };
            self.bytes -= gone.text.len() + 1;
            self.dropped += 1;
        }
    }

    /// The lines, those that are not at their end yet last.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = Line> + '_ {
        let open = self.open.iter().enumerate().filter(|(_, text)| !text.is_empty());
        let open = open.map(|(of, text)| {
            let text = clean(&without_colours(text).replace('\t', "    ")).into_owned();
            Line { is_error: of == 1, text }
        });
        self.lines.iter().cloned().chain(open)
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len() + self.open.iter().filter(|text| !text.is_empty()).count()
    }

    /// Whether nothing was printed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last line with something in it.
    pub fn last(&self) -> Option<String> {
        self.lines().map(|line| line.text).rfind(|text| !text.trim().is_empty())
    }

    /// All of it as one text.
    pub fn whole_text(&self) -> String {
        self.lines().map(|line| line.text + "\n").collect()
    }
}

/// Colours are all that the filter lets through.
fn without_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        match after.find('m') {
            Some(end) if after[..end].bytes().all(|b| matches!(b, b'0'..=b'9' | b';' | b':')) => {
                rest = &after[end + 1..];
            }
            _ => {
                out.push_str("\u{1b}[");
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(stdout: &[u8], stderr: &[u8]) -> runs::Printed {
        let (stdout, stderr) = (stdout.to_vec(), stderr.to_vec());
        runs::Printed { stdout, stderr, ..runs::Printed::default() }
    }

    fn texts(printed: &Printed) -> Vec<String> {
        printed.lines().map(|line| line.text).collect()
    }

    #[test]
    fn both_outputs_keep_their_lines_apart_and_what_is_open_is_shown() {
        let mut printed = Printed::default();
        printed.take(piece(b"a\nb", b"bad\n"));
        printed.take(piece(b"c\n", b""));
        let lines: Vec<_> = printed.lines().map(|l| (l.is_error, l.text)).collect();
        let expected = [(false, "a"), (true, "bad"), (false, "bc")];
        assert_eq!(lines, expected.map(|(e, t)| (e, t.to_owned())));
        printed.take(piece("节".as_bytes().get(..2).expect("half"), b""));
        assert_eq!(printed.len(), 3, "half a character is held back");
    }

    #[test]
    fn what_could_steer_a_terminal_is_shown_as_text_and_colours_are_left_out() {
        let mut printed = Printed::default();
        printed.take(piece(b"\x1b[31mred\x1b[0m\x1b]0;owned\x07\x1b[2J\tx\n", b""));
        let text = texts(&printed).concat();
        assert!(text.starts_with("red") && !text.contains('\u{1b}') && !text.contains('\t'));
        assert!(text.contains("owned") && text.contains("[2J"), "{text}");
    }

    #[test]
    fn a_flood_keeps_its_end_and_says_how_much_is_gone() {
        let mut printed = Printed::default();
        for n in 0..3000 {
            printed.take(piece(format!("{n} {}\n", "x".repeat(200)).as_bytes(), b""));
        }
        assert!(printed.bytes <= MOST && printed.dropped > 0);
        assert_eq!(printed.dropped + printed.len(), 3000);
        assert!(texts(&printed).last().is_some_and(|line| line.starts_with("2999 ")));
    }

    #[test]
    fn a_further_attempt_begins_anew() {
        let mut printed = Printed::default();
        printed.take(piece(b"old\n", b""));
        printed.take(runs::Printed { attempt: 1, ..piece(b"new\n", b"") });
        printed.take(piece(b"late\n", b""));
        assert_eq!(texts(&printed), ["new"]);
    }
}
