//! The recording that is played: a piece of it as lines, each with the times at which its parts were
//! written. Bounded, whatever the recording's size: what was shown goes when more comes.

use super::reel::Reel;
use super::{Found, harmless};
use crate::store::Update;
use crate::store::seats::Owned;
use cmdr_protocol::CallError;
use cmdr_protocol::display::{Filter, clean};
use cmdr_protocol::recordings::{Event, EventKind, Events, Recording};
use std::collections::VecDeque;

/// Bytes of memory that lines may take.
const MOST: usize = 4 << 20;
/// What a line takes beside its text.
const LINE: usize = 96;
/// A longer line is shown in pieces.
const LONGEST: usize = 4096;
/// Places of tabs.
const TAB: usize = 8;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command wrote it.
    Output,
    /// It was sent to the command.
    Input,
    /// A mark.
    Mark,
    /// Bytes that were passed over.
    Skipped,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is.
    pub kind: Kind,
    /// When it began, in microseconds.
    pub at_us: u64,
    /// Its number among the lines of output, as the hub counts them when all was read from the beginning.
    pub number: u64,
    text: String,
    /// When it was so long.
    cuts: Vec<(u64, usize)>,
    /// Bytes of all lines before it.
    before: usize,
}

impl Line {
    /// What of it was there at this time.
    pub fn text(&self, at_us: u64) -> &str {
        let shown = self.cuts.partition_point(|(cut, _)| *cut <= at_us);
        let len = shown.checked_sub(1).map_or(0, |at| self.cuts[at].1);
        self.text.get(..len).unwrap_or_default()
    }

    /// What no other line here has.
    pub const fn id(&self) -> usize {
        self.before
    }

    /// When the last of it was written.
    pub fn until_us(&self) -> u64 {
        self.cuts.last().map_or(self.at_us, |(at, _)| *at)
    }

    fn size(&self) -> usize {
        self.text.len() + self.cuts.len() * 16 + LINE
    }
}

/// The recording.
#[derive(Default)]
pub struct Tape {
    /// Which pane it was opened for.
    pub owner: u64,
    /// What is known of it.
    pub recording: Option<Recording>,
    /// What was found in it.
    pub found: Found,
    /// All that follows is here.
    pub is_whole: bool,
    /// It was read from its beginning, and all of that is still here.
    pub from_start: bool,
    /// What is wrong with it.
    pub damage: String,
    /// Why it could not be read, and when that was.
    pub failed: Option<(CallError, u64)>,
    /// A piece is on its way.
    pub loading: bool,
    /// The very bytes, when a terminal was recorded.
    reel: Option<Reel>,
    lines: VecDeque<Line>,
    filter: Filter,
    /// The last line goes on.
    is_open: bool,
    number: u64,
    /// Bytes of the lines here, and of those that went.
    bytes: usize,
    gone: usize,
    /// When the last event was, and how many there were in that millisecond.
    last_us: u64,
    same_ms: usize,
}

/// A piece of a recording.
#[derive(Default)]
pub struct Piece {
    pub recording: Option<Recording>,
    pub events: Vec<Event>,
    /// Nothing follows.
    pub is_last: bool,
    pub damage: String,
}

impl Tape {
    /// Lines from the oldest one here on.
    pub fn lines(&self) -> &VecDeque<Line> {
        &self.lines
    }

    /// The very bytes, when a terminal was recorded.
    pub const fn reel(&self) -> Option<&Reel> {
        self.reel.as_ref()
    }

    /// How many lines there are at this time.
    pub fn shown(&self, at_us: u64) -> usize {
        self.lines.partition_point(|line| line.at_us <= at_us)
    }

    /// Bytes that come after this time.
    pub fn ahead(&self, at_us: u64) -> usize {
        let next = self.lines.get(self.shown(at_us));
        next.map_or(0, |line| self.gone + self.bytes - line.before)
    }

    /// Up to when it is here.
    pub const fn end_us(&self) -> u64 {
        self.last_us
    }

    /// From when on it is here.
    pub fn begin_us(&self) -> u64 {
        if self.from_start { 0 } else { self.lines.front().map_or(0, |line| line.at_us) }
    }

    /// How long it is, as far as that is known.
    pub fn total_us(&self) -> u64 {
        let told = self.recording.as_ref().map_or(0, |recording| recording.took_ms * 1000);
        told.max(self.last_us)
    }

    /// When something is written next, after this time.
    pub fn next_us(&self, at_us: u64) -> Option<u64> {
        let shown = self.shown(at_us);
        // Only the last line goes on; those before it ended where it began.
        let open = shown.checked_sub(1).and_then(|at| self.lines.get(at));
        let cut = open.and_then(|line| {
            let at = line.cuts.partition_point(|(cut, _)| *cut <= at_us);
            line.cuts.get(at).map(|(cut, _)| *cut)
        });
        cut.or_else(|| self.lines.get(shown).map(|line| line.at_us))
    }

    /// When something was written last, up to this time.
    pub fn last_us(&self, at_us: u64) -> u64 {
        let Some(line) = self.shown(at_us).checked_sub(1).and_then(|at| self.lines.get(at)) else {
            return 0;
        };
        let at = line.cuts.partition_point(|(cut, _)| *cut <= at_us);
        at.checked_sub(1).map_or(line.at_us, |at| line.cuts[at].0)
    }

    /// From which millisecond to read on, and how many events of it are here already.
    pub const fn rest(&self) -> (u64, usize) {
        (self.last_us / 1000, self.same_ms)
    }

    fn take(&mut self, event: &Event) {
        let at_us = event.at_us.max(self.last_us);
        self.same_ms = if at_us / 1000 == self.last_us / 1000 { self.same_ms + 1 } else { 1 };
        self.last_us = at_us;
        if let Some(reel) = &mut self.reel {
            reel.take(at_us, event);
        }
        match event.kind {
            EventKind::Output => {
                let text = self.filter.push(&event.data);
                self.write(at_us, &text);
            }
            EventKind::Input | EventKind::Mark => {
                let text = String::from_utf8_lossy(&event.data);
                let kind = if event.kind == EventKind::Mark { Kind::Mark } else { Kind::Input };
                let text = clean(text.trim_end_matches(['\n', '\r']));
                self.whole_line(kind, at_us, &text);
            }
            EventKind::Resize | EventKind::Unknown => {}
        }
        self.trim();
    }

    /// Appends output: harmless but for colours, which are left out.
    fn write(&mut self, at_us: u64, text: &str) {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\u{1b}' => drop(chars.by_ref().find(|c| *c == 'm')),
                '\n' => {
                    if !self.is_open {
                        self.begin(Kind::Output, at_us);
                    }
                    self.cut(at_us);
                    self.is_open = false;
                    self.number += 1;
                }
                c => {
                    let long = self.lines.back().is_some_and(|line| line.text.len() >= LONGEST);
                    if !self.is_open || long {
                        self.cut(at_us);
                        self.begin(Kind::Output, at_us);
                    }
                    if let Some(line) = self.lines.back_mut() {
                        let before = line.text.len();
                        if c == '\t' {
                            let to = TAB - line.text.chars().count() % TAB;
                            line.text.extend(std::iter::repeat_n(' ', to));
                        } else {
                            line.text.push(c);
                        }
                        self.bytes += line.text.len() - before;
                    }
                }
            }
        }
        self.cut(at_us);
    }

    fn begin(&mut self, kind: Kind, at_us: u64) {
        let before = self.gone + self.bytes;
        let (text, cuts, number) = (String::new(), Vec::new(), self.number + 1);
        self.lines.push_back(Line { kind, at_us, number, text, cuts, before });
        self.bytes += LINE;
        self.is_open = true;
    }

    /// What stands in the last line stands there from now on.
    fn cut(&mut self, at_us: u64) {
        let Some(line) = self.lines.back_mut().filter(|_| self.is_open) else { return };
        let len = line.text.len();
        match line.cuts.last_mut() {
            Some((at, old)) if *at == at_us => *old = len,
            Some((_, old)) if *old == len => {}
            _ => {
                line.cuts.push((at_us, len));
                self.bytes += 16;
            }
        }
    }

    fn whole_line(&mut self, kind: Kind, at_us: u64, text: &str) {
        self.begin(kind, at_us);
        if let Some(line) = self.lines.back_mut() {
            let end = text.floor_char_boundary(LONGEST.min(text.len()));
            line.text.push_str(&text[..end]);
            self.bytes += end;
        }
        self.cut(at_us);
        self.is_open = false;
    }

    fn trim(&mut self) {
        while self.bytes > MOST && self.lines.len() > 1 {
            let Some(line) = self.lines.pop_front() else { return };
            self.bytes -= line.size().min(self.bytes);
            self.gone += line.size();
            self.from_start = false;
        }
    }

    fn told(&mut self, recording: Option<Recording>) {
        if let Some(recording) = recording {
            if self.reel.is_none() && self.lines.is_empty() {
                self.reel = Reel::of(&recording);
            }
            self.recording = Some(harmless(recording));
        }
    }

    fn ended(&mut self) {
        self.is_whole = true;
        let held = self.filter.finish();
        if !held.is_empty() {
            self.write(self.last_us, &held);
        }
    }
}

/// Begins anew for a pane: from this time on.
pub fn open(owner: u64, from_ms: u64) -> Update {
    Update::new(move |store| {
        // Another place of the same recording: what is known of it stays.
        let old = store.recordings.tapes.take(owner).unwrap_or_default();
        let (recording, found) = (old.recording, old.found);
        let reel = recording.as_ref().and_then(Reel::of);
        store.recordings.tapes.put(Tape {
            reel,
            owner,
            recording,
            found,
            from_start: from_ms == 0,
            last_us: from_ms * 1000,
            ..Tape::default()
        });
    })
}

/// A piece is asked for.
pub fn asking(owner: u64) -> Update {
    change(owner, |tape| (tape.loading, tape.failed) = (true, None))
}

fn change(owner: u64, change: impl FnOnce(&mut Tape) + Send + 'static) -> Update {
    Update::new(move |store| {
        if let Some(tape) = store.recordings.tapes.get_mut(owner) {
            change(tape);
        }
    })
}

/// More may have come to its end.
pub fn look_again(owner: u64) -> Update {
    change(owner, |tape| tape.is_whole = false)
}

/// A piece came that was asked for from this place on, or did not.
pub fn read(owner: u64, from: (u64, usize), piece: Result<Piece, CallError>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        let Some(tape) = store.recordings.tapes.get_mut(owner) else { return };
        // It was sought elsewhere meanwhile.
        if tape.rest() != from {
            return;
        }
        tape.loading = false;
        match piece {
            Ok(piece) => {
                tape.told(piece.recording);
                for event in &piece.events {
                    tape.take(event);
                }
                tape.damage = clean(&piece.damage).into_owned();
                if piece.is_last {
                    tape.ended();
                }
            }
            Err(error) => tape.failed = Some((error, now_ms)),
        }
    })
}

impl Owned for Tape {
    fn owner(&self) -> u64 {
        self.owner
    }
}

impl Tape {
    /// Takes what came of watching it while it is made.
    pub fn watched(&mut self, item: Events) {
        let tape = self;
        // The first item of a watch that was begun anew: what it sends may be here already.
        if item.recording.is_some() && !tape.lines.is_empty() {
            let (owner, found) = (tape.owner, std::mem::take(&mut tape.found));
            let from_start = tape.from_start;
            *tape = Tape { owner, found, from_start, ..Tape::default() };
        }
        tape.told(item.recording);
        if item.skipped > 0 {
            tape.from_start = false;
            let at_us = item.events.first().map_or(tape.last_us, |event| event.at_us);
            let at_us = at_us.max(tape.last_us);
            tape.whole_line(Kind::Skipped, at_us, &item.skipped.to_string());
        }
        for event in &item.events {
            tape.take(event);
        }
        tape.damage = clean(&item.damage).into_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_us: u64, data: &[u8]) -> Event {
        Event { at_us, kind: EventKind::Output, data: data.to_vec() }
    }

    fn tape(events: &[(u64, &[u8])]) -> Tape {
        let mut tape = Tape { from_start: true, ..Tape::default() };
        for (at_us, data) in events {
            tape.take(&event(*at_us, data));
        }
        tape
    }

    fn texts(tape: &Tape, at_us: u64) -> Vec<&str> {
        tape.lines().iter().take(tape.shown(at_us)).map(|line| line.text(at_us)).collect()
    }

    #[test]
    fn a_line_grows_as_it_was_written() {
        let tape = tape(&[(0, b"a"), (5, b"b"), (9, b"c\nd")]);
        assert_eq!(texts(&tape, 0), ["a"]);
        assert_eq!(texts(&tape, 7), ["ab"]);
        assert_eq!(texts(&tape, 9), ["abc", "d"]);
        assert_eq!([tape.next_us(0), tape.next_us(5), tape.next_us(9)], [Some(5), Some(9), None]);
        assert_eq!([tape.last_us(4), tape.last_us(8)], [0, 5]);
        assert_eq!(tape.lines()[1].number, 2);
    }

    #[test]
    fn nothing_that_could_steer_a_terminal_is_left_and_colours_are_gone() {
        let tape = tape(&[(0, b"\x1b[31mred\x1b[0m \x1b]0;t"), (1, b"\x07\x1b[2J\tx\r\n")]);
        assert_eq!(texts(&tape, 1), ["red ␛]0;t␇␛[2J  x"]);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_lines_go() {
        let mut tape = Tape { from_start: true, ..Tape::default() };
        let data = vec![b'x'; 100_000];
        for n in 0..200 {
            tape.take(&event(n, &data));
            tape.take(&event(n, b"\n"));
        }
        let held: usize = tape.lines().iter().map(Line::size).sum();
        assert!(held <= MOST + LONGEST + LINE && tape.bytes == held, "{held} {}", tape.bytes);
        assert!(!tape.from_start && tape.begin_us() > 0);
        assert_eq!(tape.ahead(u64::MAX), 0);
        assert!(tape.ahead(198) > 100_000 && tape.ahead(198) < 120_000);
    }

    #[test]
    fn events_of_one_millisecond_are_counted_for_reading_on() {
        let tape = tape(&[(1000, b"a"), (2100, b"b"), (2900, b"c")]);
        assert_eq!(tape.rest(), (2, 2));
    }

    #[test]
    fn a_mark_stands_in_a_line_of_its_own_and_does_not_count() {
        let mut tape = tape(&[(0, b"one\ntw")]);
        tape.take(&Event { at_us: 1, kind: EventKind::Mark, data: b"cut \x1b[2J".to_vec() });
        tape.take(&event(2, b"o\nthree"));
        assert_eq!(texts(&tape, 2), ["one", "tw", "cut ␛[2J", "o", "three"]);
        let numbers: Vec<u64> = tape.lines().iter().map(|line| line.number).collect();
        assert_eq!(numbers, [1, 2, 2, 2, 3]);
    }
}
