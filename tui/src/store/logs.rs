//! Lines of logs that are looked at: several sources of one or many hosts in one order, bounded in number
//! and in bytes. Each pane that is seen has its own; what comes for one that has gone is left out.

use super::seats::Owned;
use super::{Store, Update};
use cmdr_protocol::display::{Filter, clean_to_width, is_harmful};
use cmdr_protocol::logs::{
    At, Follow, Gap, GapKind, Input, Item, Level, Line, Listing, Source, parts,
};
use cmdr_protocol::{CallError, HostId};
use std::collections::{HashMap, VecDeque};
use tokio::sync::mpsc;

/// Lines that are kept.
pub const MOST_ROWS: usize = 100_000;
/// Bytes of them.
const MOST_BYTES: usize = 64 << 20;
/// The widest word for who wrote a line, in cells.
const WIDEST_BY: usize = 24;

/// A line, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Among all rows of this pane.
    pub id: u64,
    /// Which stream it is of.
    pub stream: usize,
    /// By which it has its place: its own time, or that of a line before that is later.
    pub at_ms: u64,
    /// Its own time, when it has one.
    pub own_ms: Option<u64>,
    pub level: Level,
    /// Its text, harmless; for a gap what is known about it.
    pub text: Box<str>,
    /// How long it is in truth, when it is cut.
    pub whole: Option<u64>,
    /// It stands beside one that was wanted.
    pub context: bool,
    /// Lines before it are left out.
    pub apart: bool,
    /// Who wrote it.
    pub by: Box<str>,
    /// It is no line: something happened.
    pub gap: Option<GapKind>,
}

impl Row {
    fn weight(&self) -> usize {
        self.text.len() + self.by.len() + size_of::<Self>()
    }
}

/// One source of one host.
#[derive(Debug)]
pub struct Stream {
    pub host: HostId,
    pub source: String,
    /// Behind which to go on.
    pub from: Option<At>,
    /// Before which older lines are.
    pub first: Option<At>,
    /// There are no older ones.
    pub beginning: bool,
    /// Older ones are being looked for.
    pub looking: bool,
    pub caught_up: bool,
    /// The way to the host.
    pub inputs: Option<mpsc::Sender<Input>>,
    /// Lines that the host has looked at.
    pub seen: u64,
    /// Lines that came.
    pub came: u64,
    /// Came behind `from`.
    ahead: usize,
    /// Comes again after a cut.
    again: usize,
    newest_ms: u64,
    oldest_ms: Option<u64>,
    older: Vec<Row>,
    /// The filter that its lines are sifted by, and the one that they shall be.
    number: u32,
    wanted: u32,
}

/// What a host said it has.
pub type Listed = Result<Listing, CallError>;

/// Everything about one pane's logs.
#[derive(Default)]
pub struct Logs {
    /// The pane that it is of.
    pub owner: u64,
    pub listed: HashMap<HostId, Listed>,
    pub streams: Vec<Stream>,
    pub rows: VecDeque<Row>,
    /// Rows that had to go.
    pub dropped: u64,
    /// Goes up with every change of the rows.
    pub version: u64,
    bytes: usize,
    next: u64,
    /// Lines that came in each of the last seconds.
    rate: VecDeque<(u64, u64)>,
}

/// The text of a line for a terminal: without colours, and with nothing else that could harm.
pub fn harmless(bytes: &[u8]) -> String {
    let mut filter = Filter::new();
    let coloured = filter.push(bytes) + &filter.finish();
    let mut out = String::with_capacity(coloured.len());
    let mut rest = coloured.as_str();
    while let Some(at) = rest.find(is_harmful) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(sgr) = rest.strip_prefix("\u{1b}[") {
            // Only whole colours have come through.
            rest = sgr.split_once('m').map_or("", |(_, rest)| rest);
        } else {
            let mut chars = rest.chars();
            if chars.next() == Some('\t') {
                out.push_str("    ");
            }
            rest = chars.as_str();
        }
    }
    out.push_str(rest);
    out
}

impl Stream {
    /// Nothing came yet.
    pub fn new(host: HostId, source: String) -> Self {
        Self {
            host,
            source,
            from: None,
            first: None,
            beginning: false,
            looking: false,
            caught_up: false,
            inputs: None,
            seen: 0,
            came: 0,
            ahead: 0,
            again: 0,
            newest_ms: 0,
            oldest_ms: None,
            older: Vec::new(),
            number: 0,
            wanted: 0,
        }
    }

    /// From where to begin again, after a cut or a look elsewhere.
    pub fn resume(&self) -> Option<At> {
        // By another filter all begins anew.
        self.from.clone().filter(|_| self.number == self.wanted)
    }

    fn row(&mut self, stream: usize, line: &Line) -> Row {
        let own = line.at_ms;
        self.newest_ms = own.unwrap_or(self.newest_ms).max(self.newest_ms);
        self.oldest_ms.get_or_insert(self.newest_ms);
        Row {
            id: 0,
            stream,
            at_ms: self.newest_ms,
            own_ms: own,
            level: line.level,
            text: harmless(&line.bytes).into(),
            whole: line.whole,
            context: line.context,
            apart: line.apart,
            by: clean_to_width(line.by.trim_end_matches(".service"), WIDEST_BY).into(),
            gap: None,
        }
    }

    fn gap(&self, stream: usize, gap: &Gap) -> Row {
        Row {
            id: 0,
            stream,
            at_ms: self.newest_ms,
            own_ms: None,
            level: Level::Unknown,
            text: clean_to_width(&gap.what, 300).into(),
            whole: None,
            context: false,
            apart: false,
            by: "".into(),
            gap: Some(gap.kind),
        }
    }
}

impl Owned for Logs {
    fn owner(&self) -> u64 {
        self.owner
    }
}

impl Logs {
    /// Takes an item of a stream in.
    fn take(&mut self, stream: usize, mut item: Item, now_ms: u64) {
        let Some(of) = self.streams.get_mut(stream) else { return };
        if let Some(number) = item.sifted {
            of.number = number;
            (of.ahead, of.again, of.first) = (0, 0, None);
            (of.newest_ms, of.oldest_ms, of.beginning) = (0, None, false);
            self.forget(stream);
        }
        let Some(of) = self.streams.get_mut(stream) else { return };
        of.seen += item.seen.unwrap_or(0);
        of.caught_up |= item.caught_up;
        if item.older {
            return self.take_older(stream, item);
        }
        let known = of.again.min(item.lines.len());
        item.lines.drain(..known);
        of.again -= known;
        if let Some(place) = item.place.take() {
            of.from = Some(place);
            (of.ahead, of.again) = (0, 0);
        } else {
            of.ahead += item.lines.len();
        }
        if let Some(first) = item.first.take() {
            of.first.get_or_insert(first);
        }
        of.came += item.lines.len() as u64;
        let count = item.lines.len() as u64;
        let told = |gap: &&Gap| gap.kind != GapKind::Rotated;
        let mut rows: Vec<Row> =
            item.gaps.iter().filter(told).map(|gap| of.gap(stream, gap)).collect();
        rows.extend(item.lines.iter().map(|line| of.row(stream, line)));
        self.count(count, now_ms);
        self.put(rows);
    }

    /// Older lines are put together until the last one came, and then in their place.
    fn take_older(&mut self, stream: usize, item: Item) {
        let Some(of) = self.streams.get_mut(stream) else { return };
        if let Some(first) = item.first {
            of.first = Some(first);
        }
        let newest = std::mem::replace(&mut of.newest_ms, 0);
        let oldest = of.oldest_ms.take();
        let rows: Vec<Row> = item.lines.iter().map(|line| of.row(stream, line)).collect();
        (of.newest_ms, of.oldest_ms) = (newest, oldest);
        of.came += rows.len() as u64;
        of.older.extend(rows);
        if item.older_end {
            let mut rows = std::mem::take(&mut of.older);
            let (mut last, most) = (0, of.oldest_ms.unwrap_or(newest));
            for row in &mut rows {
                last = row.at_ms.max(last).min(most);
                row.at_ms = last;
            }
            of.oldest_ms = rows.first().map(|row| row.at_ms).or(of.oldest_ms);
            (of.looking, of.beginning) = (false, item.beginning);
            self.put(rows);
        }
    }

    /// Puts rows that are in order among the others.
    fn put(&mut self, mut rows: Vec<Row>) {
        let Some(earliest) = rows.iter().map(|row| row.at_ms).min() else { return };
        for row in &mut rows {
            row.id = self.next;
            self.next += 1;
            self.bytes += row.weight();
        }
        let from = self.rows.partition_point(|row| row.at_ms <= earliest);
        let later = self.rows.split_off(from);
        let mut later = later.into_iter().peekable();
        for row in rows {
            while let Some(before) = later.next_if(|before| before.at_ms <= row.at_ms) {
                self.rows.push_back(before);
            }
            self.rows.push_back(row);
        }
        self.rows.extend(later);
        while self.rows.len() > MOST_ROWS || self.bytes > MOST_BYTES {
            let Some(gone) = self.rows.pop_front() else { break };
            self.bytes -= gone.weight();
            self.dropped += 1;
            if let Some(of) = self.streams.get_mut(gone.stream) {
                // What is gone here is not paged back to.
                of.beginning = true;
            }
        }
        self.version += 1;
    }

    /// Forgets the rows of a stream.
    fn forget(&mut self, stream: usize) {
        self.rows.retain(|row| row.stream != stream);
        self.bytes = self.rows.iter().map(Row::weight).sum();
        self.version += 1;
    }

    fn count(&mut self, lines: u64, now_ms: u64) {
        let second = now_ms / 1000;
        match self.rate.back_mut() {
            Some((at, count)) if *at == second => *count += lines,
            _ => self.rate.push_back((second, lines)),
        }
        while self.rate.len() > 10 {
            self.rate.pop_front();
        }
    }

    /// Lines that came in the last full second.
    pub fn rate(&self, now_ms: u64) -> u64 {
        let last = (now_ms / 1000).saturating_sub(1);
        self.rate.iter().find(|(at, _)| *at == last).map_or(0, |(_, count)| *count)
    }

    /// Where the row of this number stands.
    pub fn position(&self, id: u64) -> Option<usize> {
        // The newest are looked for most.
        self.rows.iter().rposition(|row| row.id == id)
    }

    /// Lines that were looked at and are not shown.
    pub fn hidden(&self) -> u64 {
        self.streams.iter().map(|s| s.seen.saturating_sub(s.came)).sum()
    }

    /// What there is on any of the hosts, with the hosts that have it.
    pub fn sources(&self) -> Vec<(Source, Vec<HostId>)> {
        let mut all: HashMap<&str, (Source, Vec<HostId>)> = HashMap::new();
        for (host, listing) in &self.listed {
            for source in listing.iter().flat_map(|listing| &listing.sources) {
                let entry = all.entry(&source.source);
                let (known, hosts) = entry.or_insert_with(|| (source.clone(), Vec::new()));
                hosts.push(*host);
                if hosts.len() > 1 {
                    known.bytes = Some(known.bytes.unwrap_or(0) + source.bytes.unwrap_or(0))
                        .filter(|bytes| *bytes > 0);
                    known.changed_ms = known.changed_ms.max(source.changed_ms);
                    known.rotated = known.rotated.max(source.rotated);
                }
            }
        }
        let mut all: Vec<_> = all.into_values().collect();
        for (_, hosts) in &mut all {
            hosts.sort_unstable();
        }
        all.sort_by(|a, b| (a.0.kind, &a.0.source).cmp(&(b.0.kind, &b.0.source)));
        all
    }
}

/// Belongs to this pane from now on, with these sources to follow.
pub fn open(owner: u64, streams: Vec<(HostId, String)>) -> Update {
    Update::new(move |store| {
        let listed = store.logs.take(owner).map(|kept| kept.listed).unwrap_or_default();
        let streams = streams.into_iter();
        let streams = streams.map(|(host, source)| Stream::new(host, source));
        store.logs.put(Logs { owner, listed, streams: streams.collect(), ..Logs::default() });
    })
}

fn of(owner: u64, change: impl FnOnce(&mut Logs, u64) + Send + 'static) -> Update {
    Update::new(move |store: &mut Store| {
        if let Some(logs) = store.logs.get_mut(owner) {
            change(logs, store.now_ms);
        }
    })
}

/// What a host has.
pub fn listed(owner: u64, host: HostId, listing: Listed) -> Update {
    of(owner, move |logs, _| drop(logs.listed.insert(host, listing)))
}

/// The way to a host is there; what came before it and has no place comes again.
pub fn begun(owner: u64, stream: usize, inputs: mpsc::Sender<Input>) -> Update {
    of(owner, move |logs, _| {
        let anew = logs.streams.get(stream).is_some_and(|of| of.number != of.wanted);
        if anew {
            logs.forget(stream);
        }
        if let Some(of) = logs.streams.get_mut(stream) {
            if anew {
                (of.number, of.from, of.first) = (of.wanted, None, None);
                (of.newest_ms, of.oldest_ms, of.beginning) = (0, None, false);
            }
            of.again = if of.from.is_some() { of.ahead } else { 0 };
            of.inputs = Some(inputs);
            of.looking = false;
            of.older.clear();
        }
    })
}

/// There is no way to the host any more: it is not asked for older lines over that.
pub fn ended(owner: u64, stream: usize) -> Update {
    of(owner, move |logs, _| {
        if let Some(of) = logs.streams.get_mut(stream) {
            (of.inputs, of.looking) = (None, false);
        }
    })
}

/// An item came.
pub fn came(owner: u64, stream: usize, item: Item) -> Update {
    of(owner, move |logs, now_ms| logs.take(stream, item, now_ms))
}

/// The hosts are to sift by the filter of this number.
pub fn sifting(owner: u64, number: u32) -> Update {
    of(owner, move |logs, _| logs.streams.iter_mut().for_each(|of| of.wanted = number))
}

/// Older lines were asked for.
pub fn looking(owner: u64, stream: usize) -> Update {
    of(owner, move |logs, _| {
        if let Some(of) = logs.streams.get_mut(stream) {
            of.looking = true;
        }
    })
}

/// What is asked of a host for a stream, going on where it was.
pub fn asking(stream: &Stream, follow: Follow) -> Follow {
    Follow { source: stream.source.clone(), from: stream.resume(), ..follow }
}

/// The name of a source in few cells: a file's, or a unit's.
pub fn short(source: &str) -> &str {
    let (_, name) = parts(source);
    name.rsplit('/').next().unwrap_or(name).trim_end_matches(".service")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(streams: usize) -> Logs {
        let streams =
            (0..streams).map(|_| Stream::new(HostId([1; 16]), "file:/a".into())).collect();
        Logs { streams, ..Logs::default() }
    }

    fn item(times: &[u64]) -> Item {
        let line = |at: &u64| Line {
            at_ms: Some(*at).filter(|at| *at > 0),
            bytes: at.to_string().into_bytes(),
            ..Line::default()
        };
        Item { lines: times.iter().map(line).collect(), ..Item::default() }
    }

    fn texts(logs: &Logs) -> Vec<&str> {
        logs.rows.iter().map(|row| &*row.text).collect()
    }

    #[test]
    fn lines_of_several_sources_stand_in_the_order_of_their_times() {
        let mut logs = logs(2);
        logs.take(0, item(&[10, 30, 0, 50]), 0);
        logs.take(1, item(&[20, 40]), 0);
        assert_eq!(texts(&logs), ["10", "20", "30", "0", "40", "50"]);
        // Later than its time says: lines of one source keep their order.
        logs.take(1, item(&[35, 60]), 0);
        assert_eq!(texts(&logs), ["10", "20", "30", "0", "40", "35", "50", "60"]);
    }

    #[test]
    fn older_lines_stand_before_the_others_of_their_source() {
        let mut logs = logs(2);
        logs.take(0, item(&[30, 40]), 0);
        logs.take(1, item(&[15, 35]), 0);
        logs.take(0, Item { older: true, ..item(&[10]) }, 0);
        assert_eq!(logs.rows.len(), 4);
        let end = Item { older: true, older_end: true, beginning: true, ..item(&[20]) };
        logs.take(0, end, 0);
        assert_eq!(texts(&logs), ["10", "15", "20", "30", "35", "40"]);
        assert!(logs.streams[0].beginning);
    }

    #[test]
    fn no_more_lines_are_kept_than_there_is_room_for() {
        let mut logs = logs(1);
        let times: Vec<u64> = (1..=1000).collect();
        for _ in 0..110 {
            logs.take(0, item(&times), 0);
        }
        assert_eq!((logs.rows.len(), logs.dropped), (MOST_ROWS, 10_000));
        let long = Item {
            lines: vec![Line { bytes: vec![b'x'; 16 << 10], ..Line::default() }; 1000],
            ..Item::default()
        };
        for _ in 0..10 {
            logs.take(0, long.clone(), 0);
        }
        assert!(logs.bytes <= MOST_BYTES);
        assert_eq!(logs.bytes, logs.rows.iter().map(Row::weight).sum::<usize>());
    }

    #[test]
    fn another_filter_begins_anew_and_a_cut_doubles_nothing() {
        let mut logs = logs(1);
        let place = |offset| Some(At { offset: Some(offset), ..At::default() });
        logs.take(0, Item { place: place(1), ..item(&[1]) }, 0);
        logs.take(0, item(&[2, 3]), 0);
        logs.streams[0].again = logs.streams[0].ahead;
        logs.take(0, Item { place: place(4), ..item(&[2, 3, 4]) }, 0);
        assert_eq!(texts(&logs), ["1", "2", "3", "4"]);
        logs.take(0, Item { sifted: Some(7), ..item(&[3]) }, 0);
        assert_eq!(texts(&logs), ["3"]);
        assert_eq!(logs.rows[0].at_ms, 3, "it has the time of a line that is gone");
    }

    #[test]
    fn texts_are_harmless_and_without_colours() {
        assert_eq!(harmless(b"\x1b[31mred\x1b[0m\tx\x1b]0;t\x07\xff"), "red    x␛]0;t␇\u{fffd}");
        assert_eq!(harmless("er\u{9b}31mror".as_bytes()), "er‹9b›31mror");
        assert_eq!(harmless(b"er\x9b31mror"), "er\u{fffd}31mror");
    }
}
