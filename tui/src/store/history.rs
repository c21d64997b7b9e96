//! The history of figures as chart pages have it: for each page the stretches that were fetched, wider than what is
//! seen, so that moving within them asks nothing.

use super::Store;
use super::seats::{Owned, Seats};
use crate::store::Update;
use cmdr_protocol::alerts::{Happened, Severity};
use cmdr_protocol::display::clean;
use cmdr_protocol::history::{Aggregate, Answer, Listing, Over, Unit, names};
use cmdr_protocol::{CallError, HostId};
use std::collections::BTreeMap;

/// All chart pages.
pub type Charts = Seats<Held>;

/// Figures that are offered at most.
const OFFERED: usize = 20_000;
/// Looks that are remembered.
const LOOKS: usize = 200;
/// Points of a line that live ones are added to at most; behind that all is asked for anew.
const LONGEST: usize = 20_000;

/// What a stretch was asked for with, beside its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which hosts; empty for all.
    pub selector: String,
    /// Names of figures.
    pub figures: Vec<String>,
    /// What a point says.
    pub aggregate: Aggregate,
    /// How hosts become lines.
    pub over: Over,
    /// How much time a point stands for, as it was asked for.
    pub step_ms: u64,
}

/// Which of a page's stretches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// What is looked at.
    Now,
    /// What it is compared with.
    Before,
}

/// A line as it was fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Which host; `None` for several together.
    pub host: Option<HostId>,
    /// Its name, harmless; empty for several together.
    pub name: String,
    /// The figure, harmless.
    pub figure: String,
    /// What it is counted in.
    pub unit: Unit,
    /// A value for each step of the stretch.
    pub points: Vec<Option<f64>>,
}

/// A stretch of time that was fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// For what.
    pub question: Question,
    /// From then on.
    pub from_ms: u64,
    /// Until then.
    pub to_ms: u64,
    /// How much time a point stands for.
    pub step_ms: u64,
    /// The lines, or why there are none.
    pub lines: Result<Vec<Line>, CallError>,
    /// When it came.
    pub came_ms: u64,
}

/// A figure that can be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its name, harmless.
    pub figure: String,
    /// What it is counted in.
    pub unit: Unit,
    /// How many of the hosts have it.
    pub hosts: usize,
}

/// Something to be marked on the axis of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at_ms: u64,
    /// How bad.
    pub severity: Severity,
    /// What, for people, harmless.
    pub label: String,
    /// Something ended here.
    pub over: bool,
}

/// What is marked within a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Of these hosts.
    pub selector: String,
    /// From then on.
    pub from_ms: u64,
    /// Until then.
    pub to_ms: u64,
    /// By time.
    pub marks: Vec<Mark>,
}

/// What one page has.
#[derive(Debug, Default)]
pub struct Held {
    owner: u64,
    /// A question is under way.
    pub busy: bool,
    /// What is looked at.
    pub now: Option<Stretch>,
    /// What it is compared with.
    pub before: Option<Stretch>,
    /// Alerts.
    pub marks: Option<Marks>,
    /// What can be chosen for these hosts, by name; or why it is not known.
    pub offered: Option<(String, Result<Vec<Offered>, CallError>)>,
}

impl Owned for Held {
    fn owner(&self) -> u64 {
        self.owner
    }
}

impl Held {
    /// Nothing yet.
    pub fn of(owner: u64) -> Self {
        Self { owner, ..Self::default() }
    }

    /// One of its stretches.
    pub const fn stretch(&self, slot: Slot) -> Option<&Stretch> {
        match slot {
            Slot::Now => self.now.as_ref(),
            Slot::Before => self.before.as_ref(),
        }
    }
}

impl Stretch {
    /// Whether it answers this question for all of this time.
    pub fn covers(&self, question: &Question, from_ms: u64, to_ms: u64) -> bool {
        self.question == *question && self.from_ms <= from_ms && to_ms <= self.to_ms
    }

    fn of(
        question: Question,
        (from_ms, to_ms): (u64, u64),
        answer: Result<Answer, CallError>,
        now_ms: u64,
    ) -> Self {
        match answer {
            Ok(answer) => {
                let steps = (answer.steps as usize).min(cmdr_protocol::history::POINTS as usize);
                let line = |line: cmdr_protocol::history::Line| {
                    let mut points = vec![None; (line.first as usize).min(steps)];
                    points.extend(line.points);
                    points.resize(steps, None);
                    let harmless = |text: &str| clean(text).into_owned();
                    let (name, figure) = (harmless(&line.name), harmless(&line.metric));
                    Line { host: line.host, name, figure, unit: line.unit, points }
                };
                Self {
                    question,
                    from_ms: answer.from_ms.min(from_ms),
                    to_ms,
                    step_ms: answer.step_ms.max(1),
                    lines: Ok(answer.lines.into_iter().map(line).collect()),
                    came_ms: now_ms,
                }
                .aligned(answer.from_ms)
            }
            Err(error) => {
                let step_ms = question.step_ms.max(1);
                Self { question, from_ms, to_ms, step_ms, lines: Err(error), came_ms: now_ms }
            }
        }
    }

    /// Lines whose first point stands for the time from here on.
    fn aligned(mut self, begins_ms: u64) -> Self {
        let before = (begins_ms.saturating_sub(self.from_ms)).div_ceil(self.step_ms) as usize;
        self.from_ms = begins_ms.saturating_sub(before as u64 * self.step_ms);
        if let Ok(lines) = &mut self.lines {
            for line in lines {
                line.points.splice(0..0, std::iter::repeat_n(None, before));
            }
        }
        self
    }

    /// Takes in what came of the time from some steps before its end. `false` when the two do not go together.
    fn grow(&mut self, more: &Self) -> bool {
        let (Ok(lines), Ok(added)) = (&mut self.lines, &more.lines) else { return false };
        let fits = self.step_ms == more.step_ms
            && more.from_ms >= self.from_ms
            && (more.from_ms - self.from_ms).is_multiple_of(self.step_ms);
        let at = ((more.from_ms.saturating_sub(self.from_ms)) / self.step_ms) as usize;
        let width = added.iter().map(|line| line.points.len()).max().unwrap_or(0);
        if !fits || at + width > LONGEST {
            return false;
        }
        for new in added {
            let same = |line: &&mut Line| (line.host, &line.figure) == (new.host, &new.figure);
            if let Some(line) = lines.iter_mut().find(same) {
                line.points.resize(at, None);
                line.points.extend(&new.points);
                continue;
            }
            let mut points = vec![None; at];
            points.extend(&new.points);
            lines.push(Line { points, ..new.clone() });
        }
        let end = at + width;
        for line in lines.iter_mut() {
            line.points.resize(end.max(line.points.len()), None);
        }
        (self.to_ms, self.came_ms) = (more.to_ms, more.came_ms);
        true
    }
}

/// What was looked at last of these hosts: its figures, and over how much time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Names of figures.
    pub figures: Vec<String>,
    /// How long.
    pub span_ms: u64,
}

/// This was looked at of the hosts that a selector picks.
pub fn seen(selector: String, look: Look) -> Update {
    Update::new(move |store| {
        if store.chart_looks.len() >= LOOKS && !store.chart_looks.contains_key(&selector) {
            store.chart_looks.clear();
        }
        store.chart_looks.insert(selector, look);
    })
}

/// A question of this page is under way.
pub fn asking(owner: u64) -> Update {
    Update::new(move |store| {
        if store.charts.get(owner).is_none() {
            store.charts.put(Held::of(owner));
        }
        if let Some(held) = store.charts.get_mut(owner) {
            held.busy = true;
        }
    })
}

fn came(owner: u64, take: impl FnOnce(&mut Held, u64) + Send + 'static) -> Update {
    Update::new(move |store: &mut Store| {
        let now_ms = store.now_ms;
        if let Some(held) = store.charts.get_mut(owner) {
            held.busy = false;
            take(held, now_ms);
        }
    })
}

/// A stretch came; with `grows` it is the newest of what is there already.
pub fn fetched(
    owner: u64,
    slot: Slot,
    question: Question,
    times: (u64, u64),
    grows: bool,
    answer: Result<Answer, CallError>,
) -> Update {
    came(owner, move |held, now_ms| {
        let new = Stretch::of(question, times, answer, now_ms);
        let place = match slot {
            Slot::Now => &mut held.now,
            Slot::Before => &mut held.before,
        };
        if !grows {
            *place = Some(new);
        } else if new.lines.is_ok()
            && !place.as_mut().is_some_and(|old| old.question == new.question && old.grow(&new))
        {
            // All of it is asked for anew.
            *place = None;
        } else if let (Err(_), Some(old)) = (&new.lines, place) {
            // What is there stays; the next attempt comes when the next points are due.
            old.came_ms = now_ms;
        }
    })
}

/// What can be chosen for these hosts came.
pub fn offered(owner: u64, selector: String, answer: Result<Listing, CallError>) -> Update {
    came(owner, move |held, _| {
        let offered = answer.map(|listing| {
            let mut all: BTreeMap<String, (Unit, usize)> = BTreeMap::new();
            for listed in listing.hosts.iter().flat_map(|host| &host.metrics) {
                if all.len() >= OFFERED && !all.contains_key(&listed.metric) {
                    continue;
                }
                all.entry(listed.metric.clone()).or_insert((listed.unit, 0)).1 += 1;
            }
            // One figure at once of all that a host has several of.
            let mut wild: BTreeMap<String, (Unit, usize, usize)> = BTreeMap::new();
            for (name, (unit, hosts)) in &all {
                if let Some((base, _)) = name.split_once('{') {
                    let one = wild.entry(format!("{base}{{*}}")).or_insert((*unit, 0, 0));
                    (one.1, one.2) = (one.1.max(*hosts), one.2 + 1);
                }
            }
            let wild = wild.into_iter().filter(|(_, (_, _, several))| *several > 1);
            let each = all.into_iter().map(|(name, (unit, hosts))| (name, unit, hosts));
            let mut offered: Vec<Offered> = each
                .chain(wild.map(|(name, (unit, hosts, _))| (name, unit, hosts)))
                .map(|(figure, unit, hosts)| Offered {
                    figure: clean(&figure).into_owned(),
                    unit: names::find(&figure).map_or(unit, |known| known.unit),
                    hosts,
                })
                .collect();
            offered.sort_by(|a, b| a.figure.cmp(&b.figure));
            offered
        });
        held.offered = Some((selector, offered));
    })
}

/// What is to be marked came.
pub fn marked(
    owner: u64,
    selector: String,
    (from_ms, to_ms): (u64, u64),
    answer: Result<Happened, CallError>,
) -> Update {
    came(owner, move |held, _| {
        // Without the right to see alerts, or with a hub that has none, there is nothing to mark.
        let happened = answer.map(|answer| answer.happened).unwrap_or_default();
        let mark = |one: cmdr_protocol::alerts::Happening| {
            let what = if one.message.is_empty() { &one.rule } else { &one.message };
            Mark {
                at_ms: one.at_ms,
                severity: one.severity,
                label: format!("{}: {}", clean(&one.name), clean(what)),
                over: !one.state.is_firing(),
            }
        };
        let mut marks: Vec<Mark> = happened.into_iter().map(mark).collect();
        marks.sort_by_key(|mark| mark.at_ms);
        held.marks = Some(Marks { selector, from_ms, to_ms, marks });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            selector: String::new(),
            figures: vec!["cpu.busy".into()],
            aggregate: Aggregate::Mean,
            over: Over::Each,
            step_ms: 10,
        }
    }

    fn answer(from_ms: u64, first: u32, points: &[f64]) -> Answer {
        let line = cmdr_protocol::history::Line {
            host: Some(HostId([1; 16])),
            name: "web1\u{1b}[2J".into(),
            metric: "cpu.busy".into(),
            first,
            points: points.iter().copied().map(Some).collect(),
            ..Default::default()
        };
        let steps = first + points.len() as u32;
        Answer { from_ms, step_ms: 10, steps, lines: vec![line], ..Answer::default() }
    }

    fn points(stretch: &Stretch) -> Vec<Option<f64>> {
        stretch.lines.as_ref().expect("lines")[0].points.clone()
    }

    #[test]
    fn the_newest_points_are_put_over_those_that_were_not_whole_yet() {
        let mut all = Stretch::of(question(), (100, 130), Ok(answer(100, 1, &[1.0, 2.0])), 0);
        let more = Stretch::of(question(), (120, 150), Ok(answer(120, 0, &[3.0, 4.0, 5.0])), 0);
        assert!(all.grow(&more));
        assert_eq!(points(&all), [None, Some(1.0), Some(3.0), Some(4.0), Some(5.0)]);
        assert_eq!(all.to_ms, 150);
        assert!(!all.lines.as_ref().expect("lines")[0].name.contains('\u{1b}'));
    }

    #[test]
    fn points_of_another_step_do_not_go_together_with_those_that_are_there() {
        let mut all = Stretch::of(question(), (100, 130), Ok(answer(100, 0, &[1.0])), 0);
        let coarse = Answer { step_ms: 60, ..answer(120, 0, &[3.0]) };
        assert!(!all.grow(&Stretch::of(question(), (120, 150), Ok(coarse), 0)));
        let aside = answer(115, 0, &[3.0]);
        assert!(!all.grow(&Stretch::of(question(), (115, 150), Ok(aside), 0)));
        assert_eq!(points(&all), [Some(1.0)]);
    }

    #[test]
    fn figures_that_a_host_has_several_of_are_offered_together_too() {
        let listed = |name: &str| cmdr_protocol::history::Listed {
            metric: name.into(),
            ..Default::default()
        };
        let host = cmdr_protocol::history::OfHost {
            metrics: vec![listed("net.sent{a}"), listed("net.sent{b}"), listed("load.1")],
            ..Default::default()
        };
        let mut store = Store::new(0, 0, false);
        store.apply(asking(7));
        let listing = Listing { hosts: vec![host], next: String::new() };
        store.apply(offered(7, String::new(), Ok(listing)));
        let held = store.charts.get(7).expect("held");
        let (_, offered) = held.offered.as_ref().expect("offered");
        let names: Vec<_> =
            offered.as_ref().expect("known").iter().map(|o| o.figure.as_str()).collect();
        assert_eq!(names, ["load.1", "net.sent{*}", "net.sent{a}", "net.sent{b}"]);
        assert!(!held.busy);
    }
}
