//! Decides which lines are wanted, and sends context and continuation lines along with them.

use super::levels::level_of;
use super::times::Times;
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::logs::{Filter, Level, Line, MAX_CONTEXT, MAX_PATTERN, MAX_PATTERNS, TimeFrom};
use regex::bytes::{RegexSet, RegexSetBuilder};
use std::collections::VecDeque;

/// What the patterns of one kind may need, made ready.
const PATTERN_MEMORY: usize = 1 << 20;
/// Lines that stick to one before them.
const MOST_JOINED: usize = 500;
/// Bytes of lines that are held for a decision, or as context.
const HELD: usize = 256 << 10;
/// A line so much later than the end of what is asked for shows that the end is reached.
const SLACK_MS: u64 = 5000;

/// A line on its way in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) whole: u64,
    /// When and how grave, where somebody else than the line tells.
    pub(super) told: Option<(u64, Level)>,
    pub(super) by: &'a str,
    /// It was written to the standard error.
    pub(super) stderr: bool,
}

impl<'a> From<super::lines::Piece<'a>> for Raw<'a> {
    fn from(piece: super::lines::Piece<'a>) -> Self {
        Self { bytes: piece.bytes, whole: piece.whole, told: None, by: "", stderr: false }
    }
}

/// A filter, checked and made ready.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    include: Option<RegexSet>,
    exclude: Option<RegexSet>,
    level: Option<Level>,
    before: usize,
    after: usize,
    joined: bool,
}

impl Wanted {
    pub(super) fn new(filter: &Filter) -> Result<Self, CallError> {
        Ok(Self {
            include: set("include", &filter.include)?,
            exclude: set("exclude", &filter.exclude)?,
            level: filter.level.filter(|level| *level != Level::Unknown),
            before: filter.before.min(MAX_CONTEXT) as usize,
            after: filter.after.min(MAX_CONTEXT) as usize,
            joined: filter.joined,
        })
    }

    /// The same for lines that come the newest first.
    pub(super) fn reversed(self) -> Self {
        Self { before: self.after, after: self.before, joined: false, ..self }
    }

    /// Whether it lets every line through.
    pub(super) const fn is_open(&self) -> bool {
        self.include.is_none() && self.exclude.is_none() && self.level.is_none()
    }

    fn by_words(&self, line: &[u8]) -> bool {
        self.include.as_ref().is_none_or(|set| set.is_match(line))
            && !self.exclude.as_ref().is_some_and(|set| set.is_match(line))
    }
}

fn set(what: &str, patterns: &[String]) -> Result<Option<RegexSet>, CallError> {
    if patterns.is_empty() {
        return Ok(None);
    }
    if patterns.len() > MAX_PATTERNS || patterns.iter().any(|p| p.len() > MAX_PATTERN) {
        return Err(CallError::malformed(format!(
            "{what}: at most {MAX_PATTERNS} patterns of at most {MAX_PATTERN} bytes are allowed"
        )));
    }
    let built = RegexSetBuilder::new(patterns)
        .size_limit(PATTERN_MEMORY)
        .dfa_size_limit(PATTERN_MEMORY)
        .unicode(true)
        .build();
    built.map(Some).map_err(|e| {
        let why = e.to_string();
        let why = why.lines().last().unwrap_or("it is no regular expression").to_owned();
        CallError::malformed(format!(
            "{what}: '{}' cannot be used: {}",
            clean_to_width(&patterns.join("', '"), 80),
            clean_to_width(why.trim_start_matches("error: "), 200)
        ))
    })
}

/// Sifts the lines of one source.
#[derive(Debug)]
pub(super) struct Sieve {
    wanted: Wanted,
    times: Times,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
    /// The time of the line before, for lines without one.
    last_ms: Option<u64>,
    /// Lines that are read as they are written are of now, when they do not say of when.
    live: bool,
    now_ms: u64,
    /// Lines that belong together and are not decided about yet.
    record: Vec<Line>,
    record_bytes: usize,
    /// Lines that may become context.
    before: VecDeque<Line>,
    before_bytes: usize,
    after_left: usize,
    /// Something was left out since the last line that was let through.
    left_out: bool,
    /// So many that are wanted are not let through at first.
    skip: usize,
    seen: u64,
    over: bool,
}

impl Sieve {
    pub(super) fn new(
        wanted: Wanted,
        times: Times,
        since: Option<u64>,
        until: Option<u64>,
    ) -> Self {
        Self {
            wanted,
            times,
            since_ms: since,
            until_ms: until,
            last_ms: None,
            live: false,
            now_ms: 0,
            record: Vec::new(),
            record_bytes: 0,
            before: VecDeque::new(),
            before_bytes: 0,
            after_left: 0,
            left_out: false,
            skip: 0,
            seen: 0,
            over: false,
        }
    }

    /// As this one, at the beginning.
    pub(super) fn fresh(&self) -> Self {
        Self::new(self.wanted.clone(), self.times.clone(), self.since_ms, self.until_ms)
    }

    /// Lets the first so many that are wanted go by.
    pub(super) fn skip(&mut self, skip: usize) {
        self.skip = skip;
    }

    /// So many of them are left.
    pub(super) const fn to_skip(&self) -> usize {
        self.skip
    }

    /// Another filter from here on.
    pub(super) fn change(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.before.clear();
        self.before_bytes = 0;
        (self.after_left, self.left_out) = (0, false);
    }

    /// What is asked for by time is over: from here on all is shown that is written.
    pub(super) fn set_live(&mut self, now_ms: u64) {
        self.live = true;
        self.set_now(now_ms);
    }

    pub(super) fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.times.set_now(now_ms);
    }

    /// Lines looked at since the last time.
    pub(super) fn take_seen(&mut self) -> u64 {
        std::mem::take(&mut self.seen)
    }

    /// Nothing that comes is wanted any more.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    pub(super) const fn since_ms(&self) -> Option<u64> {
        self.since_ms
    }

    pub(super) fn times(&mut self) -> &mut Times {
        &mut self.times
    }

    pub(super) fn take(&mut self, raw: Raw<'_>, out: &mut Vec<Line>) {
        self.seen += 1;
        if self.over {
            return;
        }
        let timed = self.since_ms.is_some() || self.until_ms.is_some();
        let plain = !self.wanted.joined && self.wanted.before == 0 && self.after_left == 0;
        if plain && !timed && !self.wanted.by_words(raw.bytes) {
            self.left_out = true;
            return;
        }
        let own = match raw.told {
            Some((ms, _)) => Some((ms, TimeFrom::Journal)),
            None => self.times.of(raw.bytes).map(|ms| (ms, TimeFrom::Line)),
        };
        let at = match own {
            Some((ms, from)) => {
                self.last_ms = Some(ms);
                Some((ms, from))
            }
            None if self.live => Some((self.now_ms, TimeFrom::Arrival)),
            None => None,
        };
        if timed && !self.is_in_time(at.map(|(ms, _)| ms).or(self.last_ms)) {
            return;
        }
        let level = match raw.told {
            Some((_, level)) => level,
            None => level_of(raw.bytes),
        };
        let line = Line {
            at_ms: at.map(|(ms, _)| ms),
            time_from: at.map_or(TimeFrom::Line, |(_, from)| from),
            bytes: raw.bytes.to_vec(),
            whole: (raw.whole > raw.bytes.len() as u64).then_some(raw.whole),
            level,
            context: false,
            apart: false,
            by: raw.by.to_owned(),
            stderr: raw.stderr,
        };
        let joins = self.wanted.joined
            && matches!(line.bytes.first(), Some(b' ' | b'\t'))
            && !self.record.is_empty()
            && self.record.len() < MOST_JOINED
            && self.record_bytes < HELD;
        if !joins {
            self.settle(out);
        }
        self.record_bytes += line.bytes.len();
        self.record.push(line);
        if !self.wanted.joined {
            self.settle(out);
        }
    }

    fn is_in_time(&mut self, at_ms: Option<u64>) -> bool {
        // What no time is known of may be wanted.
        let Some(at_ms) = at_ms else { return true };
        if self.since_ms.is_some_and(|since| at_ms < since) {
            return false;
        }
        let Some(until) = self.until_ms else { return true };
        self.over |= at_ms > until.saturating_add(SLACK_MS);
        at_ms <= until
    }

    /// Decides about the lines that are held: nothing that belongs to them will come.
    pub(super) fn settle(&mut self, out: &mut Vec<Line>) {
        if self.record.is_empty() {
            return;
        }
        let mut record = std::mem::take(&mut self.record);
        self.record_bytes = 0;
        let grave = self.wanted.level.is_none_or(|least| {
            let level = record.iter().map(|line| line.level).min();
            level.is_some_and(|level| level <= least && level != Level::Unknown)
        });
        let Wanted { include, exclude, .. } = &self.wanted;
        let any = |set: &RegexSet| record.iter().any(|line| set.is_match(&line.bytes));
        let hit = grave && include.as_ref().is_none_or(any) && !exclude.as_ref().is_some_and(any);
        if hit && self.skip > 0 {
            self.skip -= 1;
        } else if hit {
            let context = self.before.drain(..).map(|line| Line { context: true, ..line });
            let from = out.len();
            out.extend(context);
            self.before_bytes = 0;
            out.append(&mut record);
            self.after_left = self.wanted.after;
            if let Some(first) = out.get_mut(from) {
                first.apart = self.left_out && self.has_context();
            }
            self.left_out = false;
        } else if self.after_left > 0 {
            for line in record {
                if self.after_left > 0 {
                    self.after_left -= 1;
                    out.push(Line { context: true, ..line });
                } else {
                    self.remember(line);
                }
            }
        } else {
            for line in record {
                self.remember(line);
            }
        }
    }

    fn has_context(&self) -> bool {
        self.wanted.before > 0 || self.wanted.after > 0
    }

    fn remember(&mut self, line: Line) {
        self.before_bytes += line.bytes.len();
        self.before.push_back(line);
        while self.before.len() > self.wanted.before || self.before_bytes > HELD {
            match self.before.pop_front() {
                Some(gone) => {
                    self.before_bytes -= gone.bytes.len();
                    self.left_out = true;
                }
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_link::zone::Zone;

    fn sieve(filter: &Filter) -> Sieve {
        let wanted = Wanted::new(filter).unwrap();
        Sieve::new(wanted, Times::new(Zone::utc(), 1_795_183_320_000), None, None)
    }

    fn raw(bytes: &[u8]) -> Raw<'_> {
        Raw { bytes, whole: bytes.len() as u64, told: None, by: "", stderr: false }
    }

    fn sift(filter: &Filter, lines: &[&str]) -> Vec<String> {
        let (mut sieve, mut out) = (sieve(filter), Vec::new());
        for line in lines {
            sieve.take(raw(line.as_bytes()), &mut out);
        }
        sieve.settle(&mut out);
        let shown = |line: Line| {
            let mark = if line.context { "-" } else { "" };
            let apart = if line.apart { "--" } else { "" };
            format!("{apart}{mark}{}", String::from_utf8(line.bytes).unwrap())
        };
        out.into_iter().map(shown).collect()
    }

    fn words(include: &[&str], exclude: &[&str]) -> Filter {
        let owned = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect();
        Filter { include: owned(include), exclude: owned(exclude), ..Filter::default() }
    }

    #[test]
    fn one_of_the_included_and_none_of_the_excluded_patterns_match() {
        let filter = words(&["a", "b"], &["x"]);
        assert_eq!(sift(&filter, &["a", "ax", "c", "b"]), ["a", "b"]);
        assert_eq!(sift(&words(&[], &["x"]), &["a", "ax"]), ["a"]);
    }

    #[test]
    fn context_stands_beside_what_is_wanted_and_gaps_are_marked() {
        let filter = Filter { before: 1, after: 1, ..words(&["hit"], &[]) };
        let lines = ["1", "2", "hit", "4", "5", "6", "hit", "8"];
        assert_eq!(sift(&filter, &lines), ["---2", "hit", "-4", "---6", "hit", "-8"]);
        // Nothing is shown twice where hits are near.
        assert_eq!(sift(&filter, &["1", "hit", "3", "hit"]), ["-1", "hit", "-3", "hit"]);
    }

    #[test]
    fn lines_that_begin_with_a_blank_go_with_the_one_before() {
        let filter = Filter { joined: true, ..words(&["Caused"], &[]) };
        let lines = ["ok", "boom", "  at x", "  Caused by y", "ok"];
        assert_eq!(sift(&filter, &lines), ["boom", "  at x", "  Caused by y"]);
        let filter = Filter { joined: true, ..words(&["boom"], &["y$"]) };
        assert_eq!(sift(&filter, &lines), Vec::<String>::new());
    }

    #[test]
    fn lines_less_grave_or_of_no_known_level_are_left_out() {
        let filter = Filter { level: Some(Level::Warning), ..Filter::default() };
        assert_eq!(sift(&filter, &["INFO a", "WARN b", "ERROR c", "d"]), ["WARN b", "ERROR c"]);
    }

    #[test]
    fn only_lines_of_the_time_pass_and_those_without_one_go_with_the_line_before() {
        let wanted = Wanted::new(&Filter::default()).unwrap();
        let times = Times::new(Zone::utc(), 1_795_183_320_000);
        let at = |text| cmdr_protocol::human::moment_ms(text);
        let (since, until) = (at("2026-11-20T10:00:00Z"), at("2026-11-20T11:00:00Z"));
        let mut sieve = Sieve::new(wanted, times, since, until);
        let mut out = Vec::new();
        for line in [
            "2026-11-20T09:59:59Z a",
            " of a",
            "2026-11-20T10:00:00Z b",
            " of b",
            "2026-11-20T11:00:01Z c",
            "2026-11-20T12:00:00Z d",
            "2026-11-20T10:30:00Z too late",
        ] {
            sieve.take(raw(line.as_bytes()), &mut out);
        }
        let lines: Vec<_> =
            out.iter().map(|l| String::from_utf8_lossy(&l.bytes).into_owned()).collect();
        assert_eq!(lines, ["2026-11-20T10:00:00Z b", " of b"]);
        assert!(sieve.is_over());
    }

    #[test]
    fn patterns_that_cannot_be_used_are_refused_with_the_reason() {
        let refused = |patterns: &[&str]| Wanted::new(&words(patterns, &[])).unwrap_err().message;
        assert!(refused(&["a("]).contains("unclosed group"), "{}", refused(&["a("]));
        assert!(refused(&["(a{1000}){1000}"]).contains("cannot be used"));
        assert!(refused(&[&"a".repeat(2000)]).contains("at most"));
    }

    #[test]
    fn context_never_holds_more_than_its_bytes() {
        let filter = Filter { before: 100, ..words(&["never"], &[]) };
        let (mut sieve, mut out) = (sieve(&filter), Vec::new());
        let line = vec![b'x'; 16 * 1024];
        for _ in 0..1000 {
            sieve.take(raw(&line), &mut out);
        }
        assert!(sieve.before_bytes <= HELD && out.is_empty());
    }
}
