//! Runs that were looked at: the list of them, each one that is watched with its targets, what its hosts
//! printed. Runbooks and schedules, and what is being composed.

mod draft;
mod lists;
pub mod live;
mod printed;

pub use draft::{Draft, Kind, Lack};
pub use lists::{BOOKS, RUNS, SCHEDULES, book, gone, listed, news, number, schedule, state_of};
pub use printed::Printed;

use super::seats::{Owned, Seats};
use super::{Store, Update};
use cmdr_protocol::display::clean;
use cmdr_protocol::runbooks;
use cmdr_protocol::runs::{
    Counts, Group, Planned, Progress, Run, Schedule, Shown, Start, Target, TargetState, fold,
};
use cmdr_protocol::{CallError, RunId};
use std::collections::HashMap;

/// Runs whose targets are kept; of more the one that was looked at first goes.
const WATCHED: usize = 6;
/// Hosts of a run whose output is kept.
const OUTPUTS: usize = 60;
/// Runbooks whose parameters are kept.
const KNOWN_BOOKS: usize = 200;

/// What is known of runs.
#[derive(Default)]
pub struct Runs {
    /// Those of the list, and those that were watched.
    pub known: HashMap<RunId, Run>,
    /// There are older ones than the list has.
    pub more: bool,
    /// Where these begin, as the hub has said it.
    pub next: String,
    /// A page of older ones is on its way.
    pub paging: bool,
    watched: Vec<Watched>,
    /// Those that go on, wherever one is.
    pub live: live::Live,
    /// Schedules by the number of their row.
    pub schedules: HashMap<u64, Schedule>,
    /// Runbooks with their parameters, by name.
    books: HashMap<String, Result<runbooks::Shown, CallError>>,
    /// What was being composed when a composer was left last.
    pub draft: Option<Draft>,
    /// What orders would come to, of each composer its own.
    pub plans: Seats<Plan>,
    /// Orders that are to be begun, each with the key that makes it one run however often it is asked for:
    /// until it is begun.
    pub keys: HashMap<u64, String>,
}

/// What an order would come to.
pub struct Plan {
    /// The composer's number.
    pub owner: u64,
    /// Which question this answers.
    pub asked: u64,
    /// What the hub said.
    pub answer: Result<Planned, CallError>,
    /// The order was not looked at, only which hosts there are.
    pub only_hosts: bool,
}

impl Owned for Plan {
    fn owner(&self) -> u64 {
        self.owner
    }
}

/// A run with its targets.
#[derive(Default)]
pub struct Watched {
    /// Which.
    id: Option<RunId>,
    /// What was asked for.
    pub start: Option<Start>,
    /// Why that is not known.
    pub error: Option<CallError>,
    /// By their index; names and reasons made harmless.
    targets: Vec<Target>,
    /// How the targets of each wave stand.
    pub waves: Vec<Counts>,
    cursor: String,
    outputs: HashMap<u32, Printed>,
    /// In which order outputs were looked at.
    looked: Vec<u32>,
    /// Goes up with every change of a target.
    pub version: u64,
    /// Goes up with all that came of an output.
    pub printed: u64,
}

impl Watched {
    /// The target of this index.
    pub fn target(&self, index: u32) -> Option<&Target> {
        let at = self.targets.binary_search_by_key(&index, |target| target.index).ok()?;
        self.targets.get(at)
    }

    /// All targets.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// From where its feed goes on.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// What a host printed, as far as it came.
    pub fn output(&self, target: u32) -> Option<&Printed> {
        self.outputs.get(&target)
    }

    /// Targets that stand alike.
    pub fn groups(&self) -> Vec<Group> {
        let sum = |target: &Target| !target.state.is_end();
        fold(self.targets.iter().map(|target| {
            let sum: &[u8] = if sum(target) { &[] } else { &target.sum };
            (target.index, target.state, target.code.filter(|_| target.state.is_end()), sum)
        }))
    }

    fn put(&mut self, target: Target) {
        let wave = target.wave as usize;
        // A hub that lies about waves must not fill our memory.
        if wave < 100_000 && self.waves.len() <= wave {
            self.waves.resize(wave + 1, Counts::default());
        }
        let place = match self.targets.last() {
            Some(last) if last.index < target.index => Err(self.targets.len()),
            _ => self.targets.binary_search_by_key(&target.index, |old| old.index),
        };
        match place {
            Ok(at) => {
                let old = std::mem::replace(&mut self.targets[at], target);
                let state = self.targets[at].state;
                if let Some(counts) = self.waves.get_mut(wave) {
                    counts.change(old.state, state);
                }
            }
            Err(at) => {
                if let Some(counts) = self.waves.get_mut(wave) {
                    counts.add(target.state);
                }
                self.targets.insert(at, target);
            }
        }
    }

    fn reset(&mut self) {
        self.targets.clear();
        self.waves.clear();
    }

    fn output_mut(&mut self, target: u32) -> &mut Printed {
        self.looked.retain(|index| *index != target);
        self.looked.push(target);
        if self.looked.len() > OUTPUTS {
            let gone = self.looked.remove(0);
            self.outputs.remove(&gone);
        }
        self.outputs.entry(target).or_default()
    }
}

impl Runs {
    /// A run that is watched.
    pub fn watched(&self, run: RunId) -> Option<&Watched> {
        self.watched.iter().find(|watched| watched.id == Some(run))
    }

    fn watched_mut(&mut self, run: RunId) -> &mut Watched {
        let at = self.watched.iter().position(|watched| watched.id == Some(run));
        let at = at.unwrap_or_else(|| {
            if self.watched.len() >= WATCHED {
                self.watched.remove(0);
            }
            self.watched.push(Watched { id: Some(run), ..Watched::default() });
            self.watched.len() - 1
        });
        &mut self.watched[at]
    }

    /// A runbook with its parameters.
    pub fn book(&self, name: &str) -> Option<&Result<runbooks::Shown, CallError>> {
        self.books.get(name)
    }
}

/// A run whose texts may be shown.
pub fn harmless(mut run: Run) -> Run {
    let Run { why, operator, what, hosts, note, schedule, .. } = &mut run;
    for text in [why, operator, what, hosts, note, schedule] {
        make_harmless(text);
    }
    run
}

fn make_harmless(text: &mut String) {
    if let std::borrow::Cow::Owned(harmless) = clean(text) {
        *text = harmless;
    }
}

/// A run changed.
pub fn changed(run: Run) -> Update {
    Update::new(move |store| know(store, run))
}

fn know(store: &mut Store, run: Run) {
    let Some(id) = run.id else { return };
    let run = harmless(run);
    lists::put(store, &run);
    store.runs.known.insert(id, run);
}

/// What was asked for in a run came, or did not.
pub fn shown(run: RunId, shown: Result<Shown, CallError>) -> Update {
    Update::new(move |store| match shown {
        Ok(shown) => {
            know(store, shown.run);
            let watched = store.runs.watched_mut(run);
            (watched.start, watched.error) = (Some(shown.start), None);
            watched.version += 1;
        }
        Err(error) => store.runs.watched_mut(run).error = Some(error),
    })
}

/// Something changed in a run.
pub fn progressed(store: &mut Store, run: RunId, item: Progress) {
    let watched = store.runs.watched_mut(run);
    if item.reset {
        watched.reset();
    }
    for mut target in item.targets {
        for text in [&mut target.name, &mut target.why, &mut target.step] {
            make_harmless(text);
        }
        watched.put(target);
    }
    if !item.cursor.is_empty() {
        watched.cursor = item.cursor;
    }
    watched.version += 1;
    if let Some(run) = item.run {
        know(store, run);
    }
}

/// A host of a run printed something.
pub fn printed(store: &mut Store, run: RunId, target: u32, item: Progress) {
    let watched = store.runs.watched_mut(run);
    let output = watched.output_mut(target);
    let pieces = item.output.into_iter().filter(|piece| piece.target == target);
    pieces.for_each(|piece| output.take(piece));
    if !item.cursor.is_empty() {
        output.cursor = item.cursor;
    }
    watched.printed += 1;
}

/// What a host printed is being fetched.
pub fn fetching(run: RunId, target: u32, attempt: u32) -> Update {
    Update::new(move |store| {
        let output = store.runs.watched_mut(run).output_mut(target);
        output.begin(attempt);
    })
}

/// All of what a host printed has come, or why it did not.
pub fn fetched(run: RunId, target: u32, end: Result<(), CallError>) -> Update {
    Update::new(move |store| {
        let watched = store.runs.watched_mut(run);
        watched.output_mut(target).end(end);
        watched.printed += 1;
    })
}

/// A runbook came, or did not.
pub fn book_came(name: String, shown: Result<runbooks::Shown, CallError>) -> Update {
    Update::new(move |store| {
        let books = &mut store.runs.books;
        if books.len() >= KNOWN_BOOKS {
            books.clear();
        }
        let shown = shown.map(|mut shown| {
            make_harmless(&mut shown.runbook.description);
            for param in &mut shown.params {
                for text in [&mut param.name, &mut param.description, &mut param.limits] {
                    make_harmless(text);
                }
            }
            shown
        });
        books.insert(name, shown);
    })
}

/// Whether a target is one of those that a state filter means.
pub fn is_bad(state: TargetState) -> bool {
    state.is_end() && state != TargetState::Ok
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(index: u32, wave: u32, state: TargetState) -> Target {
        Target { index, wave, state, name: format!("h{index}"), ..Target::default() }
    }

    #[test]
    fn waves_are_counted_as_targets_come_and_change_and_anew_after_a_reset() {
        let mut watched = Watched::default();
        watched.put(target(0, 0, TargetState::Queued));
        watched.put(target(2, 1, TargetState::Queued));
        watched.put(target(1, 1, TargetState::Running));
        watched.put(target(0, 0, TargetState::Ok));
        let told: Vec<_> = watched.waves.iter().map(|c| (c.targets, c.ok, c.running)).collect();
        assert_eq!(told, [(1, 1, 0), (2, 0, 1)]);
        assert_eq!(watched.target(1).map(|t| t.name.as_str()), Some("h1"));
        watched.reset();
        watched.put(target(7, 0, TargetState::Lost));
        assert_eq!((watched.waves.len(), watched.targets().len()), (1, 1));
    }

    #[test]
    fn what_goes_on_is_one_group_whatever_it_has_printed_so_far() {
        let mut watched = Watched::default();
        for index in 0..3 {
            let sum = vec![index as u8];
            watched.put(Target { sum, ..target(index, 0, TargetState::Running) });
        }
        watched.put(target(3, 0, TargetState::Ok));
        let told: Vec<_> = watched.groups().iter().map(|g| (g.state, g.count)).collect();
        assert_eq!(told, [(TargetState::Running, 3), (TargetState::Ok, 1)]);
    }

    #[test]
    fn only_so_many_runs_and_outputs_are_kept() {
        let mut store = Store::new(0, 0, false);
        for n in 0..20u8 {
            progressed(&mut store, RunId([n; 8]), Progress::default());
        }
        assert_eq!(store.runs.watched.len(), WATCHED);
        let watched = store.runs.watched_mut(RunId([19; 8]));
        for n in 0..200 {
            watched.output_mut(n);
        }
        assert_eq!((watched.outputs.len(), watched.looked.len()), (OUTPUTS, OUTPUTS));
    }
}
