//! Questions: which points a few or a thousand series have over a stretch of time. Reads segments and
//! what is hot together; takes no longer than its bounds allow.

use crate::head::{Copied, Generation};
use crate::names::{Kind, Name, NameId, matches};
use crate::rows::{Points, Rows};
use crate::segment::{self, Scratch, Segment};
use crate::store::{Shared, Store};
use crate::thin::{self, Bucket};
use crate::{Error, Source};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What one point says of the samples that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// The smallest.
    Min,
    /// Their mean. Of a counter: how much it grew in a second.
    Mean,
    /// The largest.
    Max,
    /// What 95 in 100 do not exceed; no longer exact where samples have been thinned twice.
    P95,
    /// The last.
    Last,
    /// How much a counter grew.
    Sum,
    /// How much a counter grew in a second.
    Rate,
}

/// How series of several sources become lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A line each.
    Each,
    /// One line a name: the mean of the sources that have a point there.
    Mean,
    /// The smallest of them.
    Min,
    /// The largest.
    Max,
    /// All of them together.
    Sum,
}

/// A question.
#[derive(Clone, Debug)]
pub struct Query {
    /// Whose series.
    pub sources: Vec<Source>,
    /// Their names; `*` in one is anything.
    pub names: Vec<String>,
    /// From this time on, milliseconds since 1970.
    pub from_ms: i64,
    /// Until before this.
    pub to_ms: i64,
    /// A point for each so long, at multiples of it.
    pub step_ms: i64,
    /// What a point says.
    pub aggregate: Aggregate,
    /// How series become lines.
    pub over: Over,
}

/// A series, or several together.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Whose; `None` for several together.
    pub source: Option<Source>,
    /// Of which name.
    pub name: Arc<str>,
    /// When each point begins, and its value. Where there are no samples there is no point.
    pub points: Vec<(i64, f64)>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// In order of names and sources.
    pub lines: Vec<Line>,
    /// The step that it has: what was asked for, or what the oldest part is kept at.
    pub step_ms: i64,
    /// Whether percentiles are exact: no part of the time has been thinned.
    pub exact: bool,
}

/// A series of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub name: Name,
    /// Its oldest sample or point, milliseconds since 1970.
    pub first_ms: i64,
    /// Its newest.
    pub last_ms: i64,
    /// The last value and its time, if it is hot.
    pub last: Option<(i64, i64)>,
}

/// So many points in an answer at most.
pub(crate) const POINTS_MAX: u64 = 4_000_000;
/// So many samples are read for one at most, by each thread.
pub(crate) const SAMPLES_MAX: u64 = 400_000_000;

/// Growth of a counter begins at the sample before the first step, if it is not further back than this.
const REACH_MS: i64 = 300_000;

/// The oldest and newest of a series, and its last value with its time.
type Seen = (i64, i64, Option<(i64, i64)>);

/// What there is at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) segments: Vec<Arc<Segment>>,
    floors: Vec<i64>,
    frozen: Vec<Arc<Generation>>,
    pub(crate) live: HashMap<Source, Copied>,
    kinds: HashMap<NameId, Kind>,
    all_gauges: bool,
}

/// What answering one question takes along.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) samples: u64,
    scratch: Scratch,
}

/// An error with what is behind it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    said
}

impl Store {
    /// What segments have, without what is hot.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.shared())
    }

    /// Answers a question.
    pub fn query(&self, query: &Query) -> Result<Answer, Error> {
        if query.step_ms < 1 || query.to_ms <= query.from_ms {
            return Err(Error::Invalid("the time asked for ends before it begins".into()));
        }
        let mut names: Vec<(NameId, Name)> = Vec::new();
        let snapshot = {
            let shared = self.shared();
            for asked in &query.names {
                if asked.contains('*') {
                    let meant = shared.names.iter().filter(|(_, n)| matches(asked, &n.text));
                    names.extend(meant.map(|(id, n)| (id, n.clone())));
                } else if let Some(id) = shared.names.find(asked) {
                    names.extend(shared.names.get(id).map(|n| (id, n.clone())));
                }
            }
            names.sort_by(|a, b| a.1.text.cmp(&b.1.text));
            names.dedup_by_key(|(id, _)| *id);
            let wanted: Vec<NameId> = names.iter().map(|(id, _)| *id).collect();
            let mut live = HashMap::new();
            for source in &query.sources {
                let head = shared.live.head(source).filter(|h| h.rows > 0);
                let from = query.from_ms.saturating_sub(query.step_ms.max(REACH_MS));
                if let Some(head) = head.filter(|h| h.last_ms >= from) {
                    live.insert(*source, head.copied(Some(&wanted)));
                }
            }
            Snapshot {
                segments: shared.segments.clone(),
                floors: shared.floors.clone(),
                frozen: shared.frozen.clone(),
                live,
                all_gauges: names.iter().all(|(_, n)| n.kind == Kind::Gauge),
                kinds: names.iter().map(|(id, n)| (*id, n.kind)).collect(),
            }
        };
        let counters = matches!(query.aggregate, Aggregate::Sum | Aggregate::Rate);
        for (_, name) in &names {
            let of_both = matches!(query.aggregate, Aggregate::Last | Aggregate::Mean);
            if !of_both && (name.kind == Kind::Counter) != counters {
                return Err(Error::Invalid(match name.kind {
                    Kind::Counter => {
                        format!("{} is a counter: ask for its rate, sum or last", name.text)
                    }
                    Kind::Gauge => {
                        format!(
                            "{} is no counter: it has a min, mean, max, p95 and last",
                            name.text
                        )
                    }
                }));
            }
        }
        let tier = snapshot.coarsest(query.from_ms, query.to_ms);
        let kept = self.options.ladder.step_ms(tier);
        let step = match query.step_ms {
            step if kept <= step => step,
            _ => kept,
        };
        let from = query.from_ms.div_euclid(step) * step;
        let buckets = ((query.to_ms - from) as u64).div_ceil(step as u64);
        if buckets > POINTS_MAX {
            return Err(Error::TooMuch { what: format!("{buckets} steps"), most: POINTS_MAX });
        }
        let asked = Asked { query, from, step, names: &names };
        let lines = match query.over {
            Over::Each => snapshot.each(&asked)?,
            _ => snapshot.together(&asked, buckets as usize)?,
        };
        Ok(Answer { lines, step_ms: step, exact: tier == 0 })
    }

    /// The series of a source, by name.
    pub fn list(&self, source: &Source) -> Vec<Listed> {
        let mut found: BTreeMap<NameId, Seen> = BTreeMap::new();
        let mut note = |name, first: i64, last: i64, value: Option<(i64, i64)>| {
            let known = found.entry(name).or_insert((first, last, None));
            (known.0, known.1) = (known.0.min(first), known.1.max(last));
            known.2 = value.into_iter().chain(known.2).max();
        };
        let segments = {
            let shared = self.shared();
            for generation in shared.generations() {
                let Some(head) = generation.head(source).filter(|h| h.rows > 0) else { continue };
                for name in head.names() {
                    let value = head.last(name).map(|v| (head.newest_row_ms(), v));
                    note(name, head.first_ms, head.last_ms, value);
                }
            }
            shared.segments.clone()
        };
        for segment in &segments {
            for entry in segment.of(source) {
                let Some(directory) = segment.directory(entry, None) else { continue };
                for listed in directory.series {
                    note(listed.name, entry.first_ms, entry.last_ms, None);
                }
            }
        }
        let shared = self.shared();
        let named = found.into_iter().filter_map(|(id, (first_ms, last_ms, last))| {
            Some(Listed { name: shared.names.get(id)?.clone(), first_ms, last_ms, last })
        });
        let mut list: Vec<Listed> = named.collect();
        list.sort_by(|a, b| a.name.text.cmp(&b.name.text));
        list
    }

    /// When the newest sample of a source was taken, milliseconds since 1970.
    pub fn newest(&self, source: &Source) -> Option<i64> {
        let shared = self.shared();
        let heads = shared.generations().filter_map(|g| g.head(source)).filter(|h| h.rows > 0);
        let kept = shared.segments.iter().flat_map(|s| s.of(source)).map(|e| e.last_ms);
        heads.map(|h| h.last_ms).chain(kept).max()
    }

    /// All sources that have anything.
    pub fn sources(&self) -> Vec<Source> {
        let shared = self.shared();
        let mut all: HashSet<Source> = HashSet::new();
        for generation in shared.generations() {
            all.extend(generation.heads.iter().filter(|(_, h)| h.rows > 0).map(|(s, _)| *s));
        }
        all.extend(shared.segments.iter().flat_map(|s| &s.entries).map(|e| e.source));
        let mut all: Vec<Source> = all.into_iter().collect();
        all.sort_unstable();
        all
    }
}

pub(crate) struct Asked<'a> {
    pub(crate) query: &'a Query,
    pub(crate) from: i64,
    pub(crate) step: i64,
    pub(crate) names: &'a [(NameId, Name)],
}

impl Snapshot {
    /// What segments have, and what is frozen.
    pub(crate) fn of(shared: &Shared) -> Self {
        Self {
            segments: shared.segments.clone(),
            floors: shared.floors.clone(),
            frozen: shared.frozen.clone(),
            live: HashMap::new(),
            all_gauges: shared.names.iter().all(|(_, n)| n.kind == Kind::Gauge),
            kinds: shared.names.iter().map(|(id, n)| (id, n.kind)).collect(),
        }
    }

    pub(crate) fn kind(&self, name: NameId) -> Kind {
        self.kinds.get(&name).copied().unwrap_or_default()
    }

    /// The stretch of time that a tier answers for.
    fn span(&self, tier: usize) -> (i64, i64) {
        (self.floors.get(tier + 1).copied().unwrap_or(i64::MIN), self.floors[tier])
    }

    /// The coarsest tier that has anything of this time.
    fn coarsest(&self, from: i64, to: i64) -> usize {
        let tiers = self.segments.iter().filter(|s| {
            let span = self.span(s.tier);
            s.from.max(span.0) < to && s.to.min(span.1) > from
        });
        tiers.map(|s| s.tier).max().unwrap_or(0)
    }

    /// What each series of a source has in one tier, in order, nothing twice.
    pub(crate) fn tier_points(
        &self,
        source: &Source,
        tier: usize,
        from: i64,
        to: i64,
    ) -> Vec<(NameId, Points)> {
        self.gather(source, tier, from, to, None, u8::MAX, &mut Reading::default())
    }

    #[expect(clippy::too_many_arguments, reason = "one place, called by two")]
    fn gather(
        &self,
        source: &Source,
        tier: usize,
        from: i64,
        to: i64,
        wanted: Option<&[NameId]>,
        needs: u8,
        reading: &mut Reading,
    ) -> Vec<(NameId, Points)> {
        let span = self.span(tier);
        let (from, to) = (from.max(span.0), to.min(span.1));
        let mut found: Vec<(NameId, Points)> = Vec::new();
        if from >= to {
            return found;
        }
        let mut places: HashMap<NameId, usize> = HashMap::new();
        let mut take = |mut rows: Rows| {
            for series in std::mem::take(&mut rows.series) {
                let name = series.name;
                let mut points = rows.points(series);
                reading.samples += points.times.len() as u64;
                // One series is what most questions are about; many are found by their numbers.
                let place = match found.first() {
                    Some((first, _)) if *first == name => Some(0),
                    _ => places.get(&name).copied(),
                };
                if let Some(at) = place {
                    found[at].1.append(&mut points);
                } else {
                    places.insert(name, found.len());
                    found.push((name, points));
                }
            }
        };
        // Segments are in the order in which they were written, and what is hot came after them.
        for segment in self.segments.iter().filter(|s| s.tier == tier) {
            if segment.from >= to || segment.to <= from {
                continue;
            }
            for entry in segment.of(source) {
                if entry.first_ms >= to || entry.last_ms < from {
                    continue;
                }
                let needed = |name| match self.kind(name) {
                    _ if tier == 0 => 1,
                    Kind::Gauge => needs,
                    Kind::Counter => u8::MAX,
                };
                if let Some(rows) = segment.read(entry, wanted, needed, &mut reading.scratch) {
                    take(rows);
                }
            }
        }
        if tier == 0 {
            for head in self.frozen.iter().filter_map(|f| f.head(source)) {
                if head.rows > 0 && head.first_ms < to && head.last_ms >= from {
                    take(head.rows(wanted));
                }
            }
            if let Some(hot) = self.live.get(source) {
                take(hot.rows());
            }
        }
        for (_, points) in &mut found {
            points.sort();
            points.clip(from, to);
        }
        found.retain(|(_, points)| !points.times.is_empty());
        found
    }

    /// The value of a counter before a time, as a tier has it.
    pub(crate) fn last_before(
        &self,
        source: &Source,
        name: NameId,
        tier: usize,
        before: i64,
    ) -> Option<i64> {
        let segments = self.segments.iter().filter(|s| s.tier == tier && s.to <= before);
        let segment = segments.max_by_key(|s| s.to)?;
        let entry = segment.of(source).last()?;
        let rows =
            segment.read(entry, Some(&[name]), |_| 1 << thin::COUNTED, &mut Scratch::default())?;
        segment::points(rows)?.columns.get(thin::COUNTED)?.last().copied()
    }

    /// All series of a source that are asked for, over all tiers, in steps.
    pub(crate) fn steps(
        &self,
        asked: &Asked<'_>,
        source: &Source,
        reading: &mut Reading,
        mut each: impl FnMut(usize, i64, Bucket),
    ) {
        let wanted: Vec<NameId> = asked.names.iter().map(|(id, _)| *id).collect();
        let needs = needs(asked.query.aggregate);
        let to = asked.query.to_ms;
        // Growth begins at the sample before the first.
        let reach = if self.all_gauges { 0 } else { asked.step.max(REACH_MS) };
        let from = asked.from.saturating_sub(reach);
        let mut parts: Vec<(usize, Vec<(NameId, Points)>)> = Vec::new();
        for tier in (0..self.floors.len()).rev() {
            let found = self.gather(source, tier, from, to, Some(&wanted), needs, reading);
            if !found.is_empty() {
                parts.push((tier, found));
            }
        }
        let ranked = asked.query.aggregate == Aggregate::P95;
        for (line, (id, name)) in asked.names.iter().enumerate() {
            let mut all: Option<(bool, Points)> = None;
            let single = parts.len() == 1;
            for (tier, found) in &mut parts {
                let Some(at) = found.iter().position(|(n, _)| n == id) else { continue };
                let mut points = found.swap_remove(at).1;
                let raw = *tier == 0;
                if single {
                    all = Some((raw, points));
                    continue;
                }
                let before = all.as_ref().and_then(|(_, p)| p.columns.get(thin::COUNTED)?.last());
                if raw {
                    points = thin::widen(points, name.kind, before.copied());
                } else {
                    // Columns that were not read have the length of those that were.
                    for column in points.columns.iter_mut().filter(|c| c.is_empty()) {
                        column.resize(points.times.len(), 0);
                    }
                }
                match &mut all {
                    Some((_, first)) => first.append(&mut points),
                    None => all = Some((false, points)),
                }
            }
            if let Some((raw, points)) = all {
                thin::buckets(&points, raw, name.kind, asked.step, None, ranked, |start, b| {
                    if start >= asked.from && start < to {
                        each(line, start, b);
                    }
                });
            }
        }
    }
}

pub(crate) fn within(points: u64, read: u64) -> Result<(), Error> {
    for (n, most, what) in [(points, POINTS_MAX, "points"), (read, SAMPLES_MAX, "samples")] {
        if n > most {
            return Err(Error::TooMuch { what: format!("the number of {what}, {n},"), most });
        }
    }
    Ok(())
}

/// The columns of a thinned gauge that a question needs.
fn needs(aggregate: Aggregate) -> u8 {
    match aggregate {
        Aggregate::Min => 1 << thin::MIN,
        Aggregate::Mean => 1 << thin::COUNT | 1 << thin::SUM,
        Aggregate::Max => 1 << thin::MAX,
        Aggregate::P95 => 1 << thin::COUNT | 1 << thin::P95,
        Aggregate::Last => 1 << thin::LAST,
        Aggregate::Sum | Aggregate::Rate => u8::MAX,
    }
}

impl Asked<'_> {
    pub(crate) fn value(&self, line: usize, b: Bucket) -> f64 {
        let name = &self.names[line].1;
        let counter = name.kind == Kind::Counter;
        let v = match self.query.aggregate {
            Aggregate::Min => b.min as f64,
            Aggregate::Max => b.max as f64,
            Aggregate::P95 => b.p95 as f64,
            Aggregate::Last => b.last as f64,
            Aggregate::Mean if !counter => b.sum as f64 / b.count as f64,
            Aggregate::Sum => b.grown as f64,
            Aggregate::Mean | Aggregate::Rate => b.grown as f64 * 1000.0 / self.step as f64,
        };
        v / f64::from(name.scale)
    }
}
