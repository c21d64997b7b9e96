//! Cuts what the engine sends of a container's log into lines, each with when it was written, and never holds more of one
//! than is ever shown.

use crate::inside::{Demux, Output, Piece};
use cmdr_protocol::logs::LONGEST_LINE;

/// The longest moment before a line, in bytes.
const MOMENT: usize = 40;

/// Between two lines: how many lines before it have the newest time of all that are before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    ns: u64,
    lines: u64,
}

impl Place {
    /// As the engine is asked.
    pub(super) fn seconds(self) -> String {
        format!("{}.{:09}", self.ns / 1_000_000_000, self.ns % 1_000_000_000)
    }

    /// As a reader keeps it.
    pub(super) fn cursor(self, id: &str) -> String {
        format!("{}:{}:{}", self.ns, self.lines, id.get(..12).unwrap_or(id))
    }

    /// Reads a cursor; none when it is none of this container.
    pub(super) fn parse(cursor: &str, id: &str) -> Option<Self> {
        let mut parts = cursor.splitn(3, ':');
        let (ns, lines) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let own = parts.next()?;
        (own.len() >= 12 && id.starts_with(own)).then_some(Self { ns, lines })
    }

    /// Before a line of this time: whatever was read before it, so that it is the same for all who read it.
    fn before(self, ns: Option<u64>) -> Self {
        match ns {
            Some(ns) if ns > self.ns => Self { ns, lines: 0 },
            _ => self,
        }
    }

    /// Behind a line of this time. Lines may be a little out of order: those count as the ones before them.
    fn behind(self, ns: Option<u64>) -> Self {
        match ns {
            Some(ns) if ns > self.ns => Self { ns, lines: 1 },
            Some(ns) if ns == self.ns => Self { lines: self.lines + 1, ..self },
            _ => self,
        }
    }
}

/// A line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written<'a> {
    /// What is held of it, without its end.
    pub(super) bytes: &'a [u8],
    /// How long it is.
    pub(super) whole: u64,
    pub(super) at_ms: Option<u64>,
    pub(super) stderr: bool,
    /// Where it begins and where it ends.
    pub(super) before: Place,
    pub(super) after: Place,
}

/// A line that has not ended.
#[derive(Debug, Default)]
struct Part {
    /// The moment before it, as far as it is here.
    moment: Vec<u8>,
    /// That is read.
    told: bool,
    ns: Option<u64>,
    line: Vec<u8>,
    whole: u64,
}

/// Cuts.
#[derive(Debug)]
pub(super) struct Cutter {
    /// A terminal's output is not taken apart.
    tty: bool,
    demux: Demux,
    parts: [Part; 2],
    /// Behind the last line.
    at: Place,
    /// So many of the first lines that have this time were read before.
    known: Place,
}

impl Cutter {
    /// That leaves out what stands before a place.
    pub(super) fn new(tty: bool, from: Place) -> Self {
        Self { tty, demux: Demux::default(), parts: Default::default(), at: from, known: from }
    }

    /// Behind the last line.
    pub(super) const fn place(&self) -> Place {
        self.at
    }

    /// Takes bytes and hands each line that ends in them over.
    pub(super) fn push(&mut self, bytes: &[u8], mut take: impl FnMut(Written<'_>)) {
        let Self { tty, demux, parts, at, known } = self;
        let [out, err] = parts;
        if *tty {
            return out.push(bytes, &mut |part| hand_over(part, false, at, known, &mut take));
        }
        demux.push(bytes, |piece| match piece {
            Piece::Bytes(Output::Out, bytes) => {
                out.push(bytes, &mut |part| hand_over(part, false, at, known, &mut take));
            }
            Piece::Bytes(Output::Err, bytes) => {
                err.push(bytes, &mut |part| hand_over(part, true, at, known, &mut take));
            }
            // What goes on with a long line has a moment of its own.
            Piece::End(Output::Out) => out.told = false,
            Piece::End(Output::Err) => err.told = false,
        });
    }

    /// Hands over what has not ended.
    pub(super) fn finish(&mut self, mut take: impl FnMut(Written<'_>)) {
        let Self { parts, at, known, .. } = self;
        for (part, stderr) in parts.iter_mut().zip([false, true]) {
            if part.whole > 0 {
                hand_over(part, stderr, at, known, &mut take);
                part.clear();
            }
        }
    }
}

fn hand_over(
    part: &Part,
    stderr: bool,
    at: &mut Place,
    known: &mut Place,
    take: &mut impl FnMut(Written<'_>),
) {
    if known.lines > 0 && part.ns.is_some_and(|ns| ns <= known.ns) {
        known.lines -= u64::from(part.ns == Some(known.ns));
        return;
    }
    let before = at.before(part.ns);
    *at = at.behind(part.ns);
    let mut bytes = part.line.as_slice();
    let mut whole = part.whole;
    if bytes.len() as u64 == whole
        && let Some(shorter) = bytes.strip_suffix(b"\r")
    {
        (bytes, whole) = (shorter, whole - 1);
    }
    let at_ms = part.ns.map(|ns| ns / 1_000_000);
    take(Written { bytes, whole, at_ms, stderr, before, after: *at });
}

impl Part {
    fn push(&mut self, mut bytes: &[u8], end: &mut impl FnMut(&Self)) {
        while !bytes.is_empty() {
            if !self.told {
                bytes = self.tell(bytes);
                continue;
            }
            let Some(at) = memchr::memchr(b'\n', bytes) else { return self.hold(bytes) };
            self.hold(&bytes[..at]);
            bytes = &bytes[at + 1..];
            end(self);
            self.clear();
        }
    }

    /// Reads the moment; what is behind it.
    fn tell<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let room = MOMENT - self.moment.len();
        let near = &bytes[..bytes.len().min(room)];
        let end = memchr::memchr2(b' ', b'\n', near);
        self.moment.extend_from_slice(&near[..end.unwrap_or(near.len())]);
        let Some(at) = end.filter(|at| near[*at] == b' ') else {
            if end.is_some() || self.moment.len() == MOMENT {
                // That is none: it is the line itself.
                self.untold();
            }
            return &bytes[end.unwrap_or(near.len())..];
        };
        if let Some(ns) = moment_ns(&self.moment) {
            // A long line is of when it began.
            if self.whole == 0 {
                self.ns = Some(ns);
            }
            self.told = true;
            self.moment.clear();
        } else {
            self.moment.push(b' ');
            self.untold();
        }
        &bytes[at + 1..]
    }

    fn untold(&mut self) {
        let held = std::mem::take(&mut self.moment);
        self.hold(&held);
        self.told = true;
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = LONGEST_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.whole += bytes.len() as u64;
    }

    fn clear(&mut self) {
        self.line.clear();
        (self.whole, self.told, self.ns) = (0, false, None);
        self.moment.clear();
    }
}

/// Nanoseconds since 1970 of `2026-11-22T13:04:05.123456789Z`.
fn moment_ns(text: &[u8]) -> Option<u64> {
    let moment: jiff::Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    u64::try_from(moment.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let mut all = vec![stream, 0, 0, 0];
        all.extend((text.len() as u32).to_be_bytes());
        all.extend(text);
        all
    }

    fn lines(cutter: &mut Cutter, bytes: &[u8], step: usize) -> Vec<(String, Option<u64>, bool)> {
        let mut all = Vec::new();
        let mut take = |w: Written<'_>| {
            all.push((String::from_utf8_lossy(w.bytes).into_owned(), w.at_ms, w.stderr));
        };
        for bytes in bytes.chunks(step) {
            cutter.push(bytes, &mut take);
        }
        cutter.finish(&mut take);
        all
    }

    const AT: &str = "2026-11-22T13:04:05.000000001Z";
    const AT_MS: Option<u64> = Some(1_795_352_645_000);

    #[test]
    fn lines_of_both_outputs_come_with_their_times_and_long_ones_whole() {
        let text = [
            frame(1, format!("{AT} one\n").as_bytes()),
            frame(2, format!("{AT} two \n").as_bytes()),
            frame(1, format!("{AT} begins ").as_bytes()),
            frame(2, format!("{AT} between\n").as_bytes()),
            frame(1, format!("{AT} and ends\r\n").as_bytes()),
            frame(1, format!("{AT} \n").as_bytes()),
        ]
        .concat();
        for step in [1, 7, 4096] {
            let mut cutter = Cutter::new(false, Place::default());
            let all = lines(&mut cutter, &text, step);
            let wanted = [
                ("one", false),
                ("two ", true),
                ("between", true),
                ("begins and ends", false),
                ("", false),
            ];
            assert_eq!(all, wanted.map(|(text, err)| (text.to_owned(), AT_MS, err)));
        }
    }

    #[test]
    fn a_place_is_gone_on_from_without_a_line_twice_or_lost() {
        let line = |ns: u64, text: &str| {
            frame(1, format!("2026-11-22T13:04:05.{ns:09}Z {text}\n").as_bytes())
        };
        let (a, b, c) = (line(1, "a"), line(1, "b"), line(1, "c"));
        let mut cutter = Cutter::new(false, Place::default());
        assert_eq!(lines(&mut cutter, &[a.clone(), b.clone()].concat(), 4096).len(), 2);
        let cursor = cutter.place().cursor(&"a".repeat(64));
        assert_eq!(Place::parse(&cursor, &"b".repeat(64)), None);
        let place = Place::parse(&cursor, &"a".repeat(64)).unwrap();
        // The engine begins with all lines of that time.
        let mut cutter = Cutter::new(false, place);
        let all = lines(&mut cutter, &[a, b, c, line(2, "d")].concat(), 4096);
        let texts: Vec<_> = all.iter().map(|(text, ..)| text.as_str()).collect();
        assert_eq!(texts, ["c", "d"]);
    }

    #[test]
    fn what_a_terminal_got_is_cut_at_its_ends_of_lines() {
        let text = format!("{AT} \x01a\r\n{AT} b\r\nno moment\n");
        let mut cutter = Cutter::new(true, Place::default());
        let texts: Vec<_> =
            lines(&mut cutter, text.as_bytes(), 5).into_iter().map(|l| l.0).collect();
        assert_eq!(texts, ["\x01a", "b", "no moment"]);
    }

    #[test]
    fn no_more_of_a_line_is_held_than_is_shown() {
        let mut cutter = Cutter::new(false, Place::default());
        let long = frame(1, format!("{AT} {}", "x".repeat(10_000)).as_bytes());
        for _ in 0..100 {
            cutter.push(&long, |_| panic!("it has not ended"));
        }
        assert_eq!(cutter.parts[0].line.len(), LONGEST_LINE);
        let mut whole = 0;
        cutter.finish(|written| whole = written.whole);
        assert_eq!(whole, 1_000_000);
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut(bytes in prop::collection::vec(any::<u8>(), 0..300), tty: bool) {
            let mut cutter = Cutter::new(tty, Place::default());
            cutter.push(&bytes, |_| {});
            cutter.finish(|_| {});
        }
    }
}
