//! Compose projects that the hub keeps, how they stand on the hosts that were looked at, and what hosts are doing with
//! them. The chapter of the Docker page shows and asks (`panes/docker/compose.rs`).

use super::sheets::{Record, SheetKey, Target, Value, id_of};
use super::{Store, Update};
use crate::theme::Role;
use cmdr_protocol::compose::kept::{Kept, Listing};
use cmdr_protocol::compose::{Looked, NOT_TOLD, NOTHING_OF, Progress};
use cmdr_protocol::display::clean;
use cmdr_protocol::{CallError, HostId};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// The name of the sheets.
pub const SHEET: &str = "projects";

/// Looks that are kept.
const LOOKS: usize = 2000;
/// Orders whose progress is kept.
const WORKS: usize = 8;
/// Lines that are kept of one host.
const LINES: usize = 200;

/// What each host said.
pub type Answers = Vec<(HostId, Result<Looked, CallError>)>;

/// How a project stands on its hosts.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// When it was asked for.
    pub asked_ms: u64,
    /// What came; none while it has not.
    pub came: Option<Result<Answers, CallError>>,
}

/// What is known of compose projects.
#[derive(Default)]
pub struct Compose {
    /// By name.
    pub kept: BTreeMap<String, Kept>,
    looks: HashMap<(SheetKey, String), Look>,
    works: VecDeque<Work>,
    next: u64,
}

/// How one host stands to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Its turn has not come.
    Waits,
    /// It is at it.
    Runs,
    /// It is done.
    Done,
    /// It could not; why.
    Failed(String),
}

/// One host of an order.
#[derive(Clone, Debug)]
pub struct OnHost {
    /// Which.
    pub host: HostId,
    /// How far it is.
    pub doing: Doing,
    /// What its compose program said, the newest last, made harmless.
    pub lines: VecDeque<String>,
}

/// An order to hosts.
#[derive(Clone, Debug)]
pub struct Work {
    /// Its number.
    pub number: u64,
    /// What it is, in words.
    pub what: String,
    /// Which project.
    pub project: String,
    /// Its hosts.
    pub hosts: Vec<OnHost>,
}

impl Work {
    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        self.hosts.iter().all(|on| matches!(on.doing, Doing::Done | Doing::Failed(_)))
    }

    /// Hosts that could not.
    pub fn failed(&self) -> usize {
        self.hosts.iter().filter(|on| matches!(on.doing, Doing::Failed(_))).count()
    }
}

impl Compose {
    /// How a project stood when it was looked at from this list.
    pub fn look(&self, key: SheetKey, name: &str) -> Option<&Look> {
        self.looks.get(&(key, name.to_owned()))
    }

    /// An order that was given.
    pub fn work(&self, number: u64) -> Option<&Work> {
        self.works.iter().find(|work| work.number == number)
    }

    /// The newest order.
    pub fn last(&self) -> Option<&Work> {
        self.works.back()
    }

    /// The number that the next order gets.
    pub fn next(&self) -> u64 {
        self.next
    }
}

/// Where a project stands, in words and in their order: what needs somebody stands first.
const STATES: [(&str, Role); 6] = [
    ("projects.state.drifted", Role::Bad),
    ("projects.state.partly", Role::Warn),
    ("projects.state.unknown", Role::Warn),
    ("projects.state.down", Role::Soft),
    ("projects.state.up", Role::Ok),
    ("projects.state.elsewhere", Role::Faint),
];
const DRIFTED: usize = 0;
const PARTLY: usize = 1;
const UNKNOWN: usize = 2;
const DOWN: usize = 3;
const UP: usize = 4;
const ELSEWHERE: usize = 5;

/// Containers that run, and all that there are or shall be.
pub fn running(looked: &Looked) -> (usize, usize) {
    let of = |service: &cmdr_protocol::compose::Service| {
        let run = service.containers.iter().filter(|member| member.state.runs()).count();
        (run, service.containers.len().max(service.wanted as usize))
    };
    looked.services.iter().map(of).fold((0, 0), |(a, b), (run, all)| (a + run, b + all))
}

fn on_host(version: u64, answer: &Result<Looked, CallError>) -> usize {
    match answer {
        Err(error) if [NOT_TOLD, NOTHING_OF].iter().any(|no| error.message.contains(no)) => DOWN,
        Err(_) => UNKNOWN,
        Ok(looked) if running(looked).0 == 0 => DOWN,
        Ok(looked) if looked.drifted() > 0 => DRIFTED,
        Ok(looked) if looked.version != 0 && looked.version != version => DRIFTED,
        Ok(_) => UP,
    }
}

/// Where it stands over its hosts.
fn standing(version: u64, answers: &Answers) -> usize {
    let mut all: Vec<usize> = answers.iter().map(|(_, a)| on_host(version, a)).collect();
    all.sort_unstable();
    all.dedup();
    match all.as_slice() {
        [] => ELSEWHERE,
        [DRIFTED, ..] => DRIFTED,
        [one] => *one,
        _ => PARTLY,
    }
}

/// What is not as it shall be, in the words of the hosts.
fn drift(version: u64, answers: &Answers) -> String {
    let mut words = Vec::new();
    for looked in answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()) {
        if looked.version != 0 && looked.version != version {
            words.push(format!("{} ≠ {version}", looked.version));
        }
        let off = looked.services.iter().filter(|service| service.drifted());
        words.extend(off.map(|service| format!("{}: {}", service.name, service.why)));
    }
    let mut said: Vec<String> = Vec::new();
    for word in words {
        if !said.contains(&word) {
            said.push(word);
        }
        if said.len() > 8 {
            break;
        }
    }
    said.join(", ")
}

fn record(kept: &Kept, look: Option<&Look>) -> Record {
    let none = || Value::Text("-".to_owned(), Role::Faint);
    let (state, containers, off) = match look.and_then(|look| look.came.as_ref()) {
        None => (none(), none(), none()),
        Some(Err(error)) => {
            let (word, role) = STATES[UNKNOWN];
            let why = Value::text(&error.message, Role::Bad);
            (Value::Ranked(UNKNOWN as u64, word, role), none(), why)
        }
        Some(Ok(answers)) => {
            let rank = standing(kept.version, answers);
            let (word, role) = STATES[rank];
            let sums = answers.iter().filter_map(|(_, a)| a.as_ref().ok()).map(running);
            let (run, all) = sums.fold((0, 0), |(a, b), (run, all)| (a + run, b + all));
            let role_of = if run < all { Role::Warn } else { Role::Text };
            let containers = Value::Figure(run as u64, format!("{run}/{all}"), role_of);
            let off = Value::text(&drift(kept.version, answers), Role::Warn);
            (Value::Ranked(rank as u64, word, role), containers, off)
        }
    };
    Record {
        id: id_of(&kept.name),
        host: HostId([0; 16]),
        values: vec![
            Value::text(&kept.name, Role::Strong),
            Value::Figure(kept.version, kept.version.to_string(), Role::Text),
            state,
            containers,
            off,
            Value::text(&kept.hosts, Role::Text),
            Value::Moment(kept.saved_ms / 1000),
            Value::soft(&kept.saved_by),
            Value::soft(&kept.note),
        ],
        more: Vec::new(),
        target: Target::None,
    }
}

/// Projects came, or why none did.
pub fn listed(key: SheetKey, listing: Result<Listing, CallError>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) => return store.sheet_mut(key).fail(error, now_ms),
        };
        let row = |kept: &Kept| record(kept, store.compose.look(key, &kept.name));
        let rows: Vec<Record> = listing.projects.iter().map(row).collect();
        store.sheet_mut(key).set(now_ms, rows.into_iter());
        let named = listing.projects.into_iter().map(|kept| (kept.name.clone(), kept));
        store.compose.kept = named.collect();
    })
}

/// The list is asked for at once, and hosts about this project.
pub fn stale(name: &str) -> Update {
    let name = name.to_owned();
    Update::new(move |store| {
        store.compose.looks.retain(|(_, other), _| *other != name);
        for ((_, sheet), of) in &mut store.sheets {
            if *sheet == SHEET {
                (of.came_ms, of.asked_ms) = (0, 0);
            }
        }
    })
}

/// Hosts are asked about a project.
pub fn asking(key: SheetKey, name: &str) -> Update {
    let name = name.to_owned();
    Update::new(move |store| {
        let asked_ms = store.now_ms.max(1);
        let looks = &mut store.compose.looks;
        if looks.len() >= LOOKS {
            looks.clear();
        }
        looks.insert((key, name), Look { asked_ms, came: None });
    })
}

/// They answered.
pub fn came(key: SheetKey, name: String, answers: Result<Answers, CallError>) -> Update {
    Update::new(move |store| {
        let Some(look) = store.compose.looks.get_mut(&(key, name.clone())) else { return };
        look.came = Some(answers);
        let Some(kept) = store.compose.kept.get(&name) else { return };
        let row = record(kept, store.compose.look(key, &name));
        let sheet = store.sheet_mut(key);
        if sheet.known {
            sheet.rows.insert(row.id, row);
            sheet.version += 1;
        }
    })
}

/// An order was given to these hosts.
pub fn began(what: String, project: String, hosts: Vec<HostId>) -> Update {
    Update::new(move |store| {
        let compose = &mut store.compose;
        if compose.works.len() >= WORKS {
            compose.works.pop_front();
        }
        let on = |host| OnHost { host, doing: Doing::Waits, lines: VecDeque::new() };
        let hosts = hosts.into_iter().map(on).collect();
        compose.works.push_back(Work { number: compose.next, what, project, hosts });
        compose.next += 1;
    })
}

fn on(store: &mut Store, number: u64, host: HostId) -> Option<&mut OnHost> {
    store.hurried = true;
    let work = store.compose.works.iter_mut().find(|work| work.number == number)?;
    work.hosts.iter_mut().find(|on| on.host == host)
}

/// A host told how far it is with an order.
pub fn told(number: u64, host: HostId, progress: Progress) -> Update {
    Update::new(move |store| {
        let Some(on) = on(store, number, host) else { return };
        on.doing = if progress.done.is_some() { Doing::Done } else { Doing::Runs };
        on.lines.extend(progress.lines.iter().map(|line| clean(line).into_owned()));
        let over = on.lines.len().saturating_sub(LINES);
        on.lines.drain(..over);
        if progress.done.is_some() {
            again(store, number);
        }
    })
}

/// A host could not.
pub fn failed(number: u64, host: HostId, why: String) -> Update {
    Update::new(move |store| {
        if let Some(on) = on(store, number, host) {
            on.doing = Doing::Failed(why);
        }
        again(store, number);
    })
}

/// What was known of the project of an order that is over is of before.
fn again(store: &mut Store, number: u64) {
    let Some(work) = store.compose.work(number).filter(|work| work.is_over()) else { return };
    let project = work.project.clone();
    store.compose.looks.retain(|(_, name), _| *name != project);
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::ErrorKind;
    use cmdr_protocol::compose::{Member, Service, Will};
    use cmdr_protocol::containers::State;

    fn looked(version: u64, will: Will, state: State) -> Looked {
        let member = Member { state, exit_code: Some(1), ..Member::default() };
        let service =
            Service { name: "a".into(), will, containers: vec![member], ..Service::default() };
        Looked { version, services: vec![service], ..Looked::default() }
    }

    #[test]
    fn a_project_stands_as_its_hosts_do_and_what_drifted_on_one_has_drifted() {
        let host = |n| HostId([n; 16]);
        let up = || (host(1), Ok(looked(3, Will::Leave, State::Running)));
        let down = || (host(2), Ok(looked(3, Will::Start, State::Exited)));
        let gone = || (host(3), Err(CallError::new(ErrorKind::Unreachable, "away")));
        let off = || (host(4), Ok(looked(3, Will::Recreate, State::Running)));
        let old = || (host(5), Ok(looked(2, Will::Leave, State::Running)));
        let never = || (host(6), Err(CallError::not_found(format!("{NOT_TOLD} shop is"))));
        let nothing = || (host(9), Err(CallError::not_found(format!("{NOTHING_OF} shop"))));
        let bare = || (host(7), Err(CallError::not_found("this host has no Docker engine")));
        let ended = || (host(8), Ok(looked(3, Will::Leave, State::Exited)));
        assert_eq!(standing(3, &vec![up(), up()]), UP);
        assert_eq!(standing(3, &vec![down(), never()]), DOWN);
        assert_eq!(standing(3, &vec![ended(), ended()]), DOWN);
        assert_eq!(standing(3, &vec![nothing()]), DOWN);
        assert_eq!(standing(3, &vec![bare()]), UNKNOWN);
        assert_eq!(standing(3, &vec![up(), down()]), PARTLY);
        assert_eq!(standing(3, &vec![up(), gone()]), PARTLY);
        assert_eq!(standing(3, &vec![gone()]), UNKNOWN);
        assert_eq!(standing(3, &vec![up(), down(), off()]), DRIFTED);
        assert_eq!(standing(3, &vec![old()]), DRIFTED);
        assert_eq!(standing(3, &Vec::new()), ELSEWHERE);
    }

    #[test]
    fn lines_of_hosts_are_harmless_and_only_the_newest_are_kept() {
        let mut store = Store::new(0, 0, false);
        let host = HostId([1; 16]);
        store.apply(began("up".into(), "shop".into(), vec![host]));
        let lines = (0..500).map(|n| format!("{n}\u{1b}[2J")).collect();
        store.apply(told(0, host, Progress { lines, done: None }));
        let work = store.compose.work(0).expect("an order");
        assert_eq!((work.hosts[0].lines.len(), work.is_over()), (LINES, false));
        assert_eq!(work.hosts[0].lines.back().map(String::as_str), Some("499␛[2J"));
        store.apply(failed(0, host, "no".into()));
        let work = store.compose.work(0).expect("an order");
        assert_eq!((work.is_over(), work.failed()), (true, 1));
    }
}
