//! Finds text inside recordings, as a reader would have seen it: without escape sequences, line by
//! line. Patterns are matched in linear time, and one search looks so long and no longer.

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
    strip: StripBytes,
    line: Vec<u8>,
    number: u64,
    at_ms: u64,
    input: bool,
}

impl Text {
    fn new(input: bool) -> Self {
        Self { strip: StripBytes::new(), line: Vec::new(), number: 1, at_ms: 0, input }
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
        let Text { strip, line, number, input, .. } = text;
        for piece in strip.strip_next(data) {
            for part in piece.split_inclusive(|b| matches!(b, b'\n' | b'\r')) {
                line.extend_from_slice(part);
                let ended = part.last().is_some_and(|b| matches!(b, b'\n' | b'\r'));
                if ended || line.len() > LINE {
                    self.hits.extend(look(pattern, line, id, at_ms, *number, *input));
                    *number += u64::from(part.last() == Some(&b'\n'));
                    line.clear();
                }
            }
        }
    }

    fn finish(&mut self) {
        for text in std::iter::once(&mut self.output).chain(&mut self.input) {
            let hit = look(self.pattern, &text.line, self.id, text.at_ms, text.number, text.input);
            self.hits.extend(hit);
            text.line.clear();
        }
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
