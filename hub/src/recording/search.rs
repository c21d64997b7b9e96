//! Finds text inside recordings, as a reader would have seen it: without escape sequences, line by
//! line. Where 8-bit controls come in between, it is read in both ways in which terminals read
//! those. Patterns are matched in linear time, and one search looks so long and no longer.

use super::eight_bit::{EightBit, Part};
use super::tail::{Source, Step, Tail};
use anstream::adapter::StripBytes;
use cmdr_protocol::CallError;
use cmdr_protocol::recordings::{EventKind, Hit, Hits, MAX_SEARCH, Search};
use regex::{Regex, RegexBuilder};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The most lines of one search.
pub(crate) const MOST: u32 = 10_000;
/// The longest search.
const LONGEST: Duration = Duration::from_mins(1);
/// The longest line; what is longer is looked at in pieces.
const LINE: usize = 64 << 10;
/// Bytes shown of a line.
const SHOWN: usize = 400;
/// Hits sent together.
const TOGETHER: usize = 100;
/// News at least so often.
const NEWS: Duration = Duration::from_secs(1);

/// Makes a pattern ready.
pub(crate) fn pattern(search: &Search) -> Result<Regex, CallError> {
    if search.text.is_empty() || search.text.len() > MAX_SEARCH {
        return Err(CallError::malformed(format!(
            "what is searched for has 1 to {MAX_SEARCH} bytes"
        )));
    }
    let text = if search.regex { search.text.clone() } else { regex::escape(&search.text) };
    RegexBuilder::new(&text).case_insensitive(!search.case).size_limit(1 << 20).build().map_err(
        |e| CallError::malformed(format!("'{}' is no regular expression: {e}", search.text)),
    )
}

/// Looks through recordings, one after the other, and tells what it finds. Ends when nobody listens.
pub(crate) fn run(
    search: &Search,
    pattern: &Regex,
    sources: impl Iterator<Item = Result<Source, String>>,
    out: &mpsc::Sender<Hits>,
) {
    let began = Instant::now();
    let most = match search.limit {
        0 => MOST,
        limit => limit.min(MOST),
    } as usize;
    let (mut hits, mut told, mut found) = (Hits::default(), Instant::now(), 0);
    for source in sources {
        hits.searched += 1;
        let id = source.as_ref().map_or(0, |source| source.id);
        let mut finder = Finder::new(id, search, pattern);
        let read = source.and_then(|source| {
            let mut tail = Tail::from(source, 0).map_err(|e| format!("recording {id}: {e}"))?;
            loop {
                match tail.next().map_err(|e| format!("recording {id}: {e}"))? {
                    Ok(Step::Events(events, _)) => {
                        for event in events {
                            finder.take(event.kind, event.at_us / 1000, &event.data);
                        }
                    }
                    Ok(Step::Idle | Step::Over) => return Ok(()),
                    Err(flaw) => return Err(format!("recording {id}, {flaw}")),
                }
                if finder.hits.len() + found > most || began.elapsed() > LONGEST {
                    return Ok(());
                }
            }
        });
        hits.damage.extend(read.err());
        finder.finish();
        for hit in finder.hits {
            if found == most {
                break;
            }
            found += 1;
            hits.hits.push(hit);
            if hits.hits.len() >= TOGETHER && !send(&mut hits, &mut told, out) {
                return;
            }
        }
        if found == most {
            hits.unfinished = format!(
                "there are more than {most} lines; ask for more with --limit, or for fewer recordings"
            );
            break;
        }
        if began.elapsed() > LONGEST {
            hits.unfinished = format!(
                "a search ends after {} s; go on with recordings before number {id} (--until)",
                LONGEST.as_secs()
            );
            break;
        }
        if told.elapsed() > NEWS && !send(&mut hits, &mut told, out) {
            return;
        }
    }
    send(&mut hits, &mut told, out);
}

/// Sends what was found and goes on counting; false when nobody listens.
fn send(hits: &mut Hits, told: &mut Instant, out: &mpsc::Sender<Hits>) -> bool {
    *told = Instant::now();
    let searched = hits.searched;
    let sent = out.blocking_send(std::mem::take(hits)).is_ok();
    hits.searched = searched;
    sent
}

/// Finds lines in one recording.
struct Finder<'a> {
    id: u64,
    pattern: &'a Regex,
    output: Text,
    input: Option<Text>,
    hits: Vec<Hit>,
}

/// A text as it grows.
struct Text {
    eight_bit: EightBit,
    /// As a terminal that obeys 8-bit controls shows it.
    obeyed: Reading,
    /// As one that does not, from the first such control on.
    ignored: Option<Reading>,
    at_ms: u64,
    input: bool,
}

impl Text {
    fn new(input: bool) -> Self {
        let obeyed = Reading { strip: StripBytes::new(), line: Vec::new(), number: 1 };
        Self { eight_bit: EightBit::default(), obeyed, ignored: None, at_ms: 0, input }
    }

    /// Goes on with bytes, and tells each line that has ended: its number and text, and whether
    /// 8-bit controls were obeyed in it.
    fn push(&mut self, data: &[u8], mut each: impl FnMut(u64, &[u8], bool)) {
        let Self { eight_bit, obeyed, ignored, .. } = self;
        eight_bit.push(data, |part| {
            let (seven_bit, bytes);
            let plain = match part {
                Part::Plain(plain) => {
                    bytes = plain;
                    plain
                }
                Part::Control(byte) => {
                    ignored.get_or_insert_with(|| obeyed.clone());
                    seven_bit = [0x1b, byte - 0x40];
                    bytes = &seven_bit;
                    &[]
                }
            };
            obeyed.push(bytes, |number, line| each(number, line, true));
            if let Some(ignored) = ignored {
                ignored.push(plain, |number, line| each(number, line, false));
            }
        });
    }

    /// The lines that have not ended.
    fn rest(&mut self, mut each: impl FnMut(u64, &[u8], bool)) {
        each(self.obeyed.number, &self.obeyed.line, true);
        if let Some(ignored) = &self.ignored {
            each(ignored.number, &ignored.line, false);
        }
    }
}

/// Lines without their escape sequences.
#[derive(Clone)]
struct Reading {
    strip: StripBytes,
    line: Vec<u8>,
    number: u64,
}

impl Reading {
    fn push(&mut self, bytes: &[u8], mut each: impl FnMut(u64, &[u8])) {
        let Self { strip, line, number } = self;
        for piece in strip.strip_next(bytes) {
            for part in piece.split_inclusive(|b| matches!(b, b'\n' | b'\r')) {
                line.extend_from_slice(part);
                let ended = part.last().is_some_and(|b| matches!(b, b'\n' | b'\r'));
                if ended || line.len() > LINE {
                    each(*number, line);
                    *number += u64::from(part.last() == Some(&b'\n'));
                    line.clear();
                }
            }
        }
    }
}

impl<'a> Finder<'a> {
    fn new(id: u64, search: &Search, pattern: &'a Regex) -> Self {
        let input = search.input.then(|| Text::new(true));
        Self { id, pattern, output: Text::new(false), input, hits: Vec::new() }
    }

    fn take(&mut self, kind: EventKind, at_ms: u64, data: &[u8]) {
        let (id, pattern) = (self.id, self.pattern);
        let text = match kind {
            EventKind::Output => &mut self.output,
            EventKind::Input => match &mut self.input {
                Some(text) => text,
                None => return,
            },
            _ => return,
        };
        text.at_ms = at_ms;
        let (input, hits) = (text.input, &mut self.hits);
        text.push(data, |number, line, obeyed| {
            add(hits, look(pattern, line, id, at_ms, number, input), obeyed);
        });
    }

    fn finish(&mut self) {
        let (id, pattern, hits) = (self.id, self.pattern, &mut self.hits);
        for text in std::iter::once(&mut self.output).chain(&mut self.input) {
            let (at_ms, input) = (text.at_ms, text.input);
            text.rest(|number, line, obeyed| {
                add(hits, look(pattern, line, id, at_ms, number, input), obeyed);
            });
        }
    }
}

/// Numbers of the lines in which an `e` is, for the fuzzers.
pub fn found(pieces: &[&[u8]]) -> Vec<u64> {
    let search = Search { text: "e".to_owned(), ..Search::default() };
    let Ok(pattern) = pattern(&search) else { return Vec::new() };
    let mut finder = Finder::new(1, &search, &pattern);
    for piece in pieces {
        finder.take(EventKind::Output, 0, piece);
    }
    finder.finish();
    let mut found: Vec<_> = finder.hits.into_iter().map(|hit| hit.line).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Adds a hit; one of the second reading unless the first has found the line.
fn add(hits: &mut Vec<Hit>, hit: Option<Hit>, obeyed: bool) {
    let Some(hit) = hit else { return };
    let same = |other: &Hit| other.input == hit.input && other.line == hit.line;
    if obeyed || !hits.iter().rev().take(TOGETHER).any(same) {
        hits.push(hit);
    }
}

fn look(
    pattern: &Regex,
    line: &[u8],
    id: u64,
    at_ms: u64,
    number: u64,
    input: bool,
) -> Option<Hit> {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches(['\n', '\r']);
    let found = pattern.find(line)?;
    // The found part stays in sight, some of what stands before it too.
    let begin = line.floor_char_boundary(found.start().saturating_sub(SHOWN / 4));
    let begin = if line.len() <= SHOWN { 0 } else { begin };
    let end = line.floor_char_boundary((begin + SHOWN).min(line.len()));
    let mut text = line[begin..end].to_owned();
    if begin > 0 {
        text.insert(0, '…');
    }
    if end < line.len() {
        text.push('…');
    }
    Some(Hit { id, at_ms, line: number, text, input })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(search: &Search, pieces: &[&str]) -> Vec<(u64, u64, String)> {
        let pattern = pattern(search).unwrap();
        let mut finder = Finder::new(1, search, &pattern);
        for (n, piece) in pieces.iter().enumerate() {
            finder.take(EventKind::Output, n as u64, piece.as_bytes());
        }
        finder.finish();
        finder.hits.into_iter().map(|hit| (hit.line, hit.at_ms, hit.text)).collect()
    }

    fn text(text: &str) -> Search {
        Search { text: text.into(), ..Search::default() }
    }

    #[test]
    fn a_word_is_found_across_colours_and_pieces() {
        let pieces = ["one\nser\u{1b}[3", "1mv", "er\u{1b}[0m is up\r\nlast SERVER"];
        let expected = vec![(2, 2, "server is up".to_owned()), (3, 2, "last SERVER".to_owned())];
        assert_eq!(hits(&text("server"), &pieces), expected);
        let case = Search { case: true, ..text("server") };
        assert_eq!(hits(&case, &pieces).len(), 1);
        let regex = Search { regex: true, ..text("^l.*r$") };
        assert_eq!(hits(&regex, &pieces).len(), 1);
        assert!(hits(&text("[31m"), &pieces).is_empty());
        assert!(hits(&text("s.rver"), &pieces).is_empty());
    }

    #[test]
    fn text_is_found_whatever_escape_sequences_stand_within_it() {
        for within in [
            "\u{1b}[31mer\u{1b}[0mror",
            "er\u{1b}[38;2;1;2;3mror",
            "er\u{1b}]0;title\u{7}ror",
            "er\u{1b}]8;;http://x\u{1b}\\ror",
            "er\u{1b}(Bror",
            "er\u{1b}[Kror",
            "er\u{1b}Pq#0\u{1b}\\ror",
            "er\u{1b}=ror",
            "er\u{f}ror",
            "e\u{7}r\u{0}ror",
        ] {
            assert_eq!(hits(&text("error"), &[within]).len(), 1, "{within:?}");
            // However it came in pieces.
            for at in (1..within.len()).filter(|at| within.is_char_boundary(*at)) {
                let pieces = [&within[..at], &within[at..]];
                assert_eq!(hits(&text("error"), &pieces).len(), 1, "{pieces:?}");
            }
        }
    }

    fn found(text: &Search, bytes: &[u8]) -> Vec<(u64, String)> {
        let pattern = pattern(text).unwrap();
        let mut finder = Finder::new(1, text, &pattern);
        for byte in bytes {
            finder.take(EventKind::Output, 0, &[*byte]);
        }
        finder.finish();
        let mut whole = Finder::new(1, text, &pattern);
        whole.take(EventKind::Output, 0, bytes);
        whole.finish();
        assert_eq!(finder.hits, whole.hits, "{bytes:?}");
        whole.hits.into_iter().map(|hit| (hit.line, hit.text)).collect()
    }

    #[test]
    fn eight_bit_controls_hide_no_text() {
        for (control, name) in [("\u{9b}", "utf-8"), ("\u{fffd}", "raw")] {
            // The raw form is a byte that is no UTF-8.
            let bytes = |text: &str| -> Vec<u8> {
                let text = text.replace("CSI", control).into_bytes();
                if name == "utf-8" { text } else { raw(&text) }
            };
            for within in [
                "one\nerCSI31mrCSI0mor\nthree",
                "one\nerCSIKror\nthree",
                "one\nCSI1;31merrorCSIm\nthree",
                "one\nCSIerror\nthree",
            ] {
                let found = found(&text("error"), &bytes(within));
                let lines: Vec<u64> = found.iter().map(|hit| hit.0).collect();
                assert_eq!(lines, [2], "{name} {within:?}: {found:?}");
            }
        }
        // Strings that never end, a title, other controls of eight bits.
        for within in
            ["\u{9d}0;\nerror\n", "\u{90}q\nerror", "\u{9e}\nerror\n\u{9c}", "a\u{85}\ne\u{84}rror"]
        {
            assert_eq!(found(&text("error"), within.as_bytes())[0].0, 2, "{within:?}");
        }
        let title = found(&text("error"), "\u{9d}0;title\u{9c}\ner\u{9d}2;x\u{7}ror".as_bytes());
        assert_eq!(title, [(2, "error".to_owned())]);
        // Letters whose bytes look like such controls are letters.
        assert_eq!(found(&text("Ûber 世"), "Ûber 世界\n".as_bytes()).len(), 1);
        assert!(found(&text("nothing"), "\u{9b}31mred\u{9b}0m".as_bytes()).is_empty());
    }

    /// U+FFFD as the byte 0x9b.
    fn raw(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.windows(3).position(|w| w == "\u{fffd}".as_bytes()) {
            out.extend_from_slice(&rest[..at]);
            out.push(0x9b);
            rest = &rest[at + 3..];
        }
        out.extend_from_slice(rest);
        out
    }

    #[test]
    fn a_long_line_is_cut_around_what_was_found() {
        let line = format!("{}needle{}", "a".repeat(5000), "b".repeat(5000));
        let found = &hits(&text("needle"), &[&line])[0].2;
        assert!(found.len() < 500 && found.contains("aneedleb"), "{found}");
    }

    #[test]
    fn a_pattern_that_is_none_is_refused() {
        let wrong = Search { regex: true, ..text("(") };
        assert!(pattern(&wrong).unwrap_err().message.contains("no regular expression"));
        assert!(pattern(&text("")).is_err());
        let huge = Search { regex: true, ..text(r"(\w{1000}){1000}") };
        assert!(pattern(&huge).is_err());
    }
}
