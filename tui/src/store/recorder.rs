//! The flight recorders of hosts as their pages have them: for each page how far back the recorder reaches, the steps of
//! a stretch that is wider than what is seen, disk and network traffic of the same time as the hub's history has it, and
//! who was on top at one moment.

use super::seats::{Owned, Seats};
use super::sheets::{Record, SheetKey, Target, Value, id_of, of_number};
use super::{Store, Update};
use crate::theme::Role;
use cmdr_protocol::display::clean;
use cmdr_protocol::history::Answer;
use cmdr_protocol::recorder::{Group, Kind, Listing, Moment, STEPS, Step, Steps, Top};
use cmdr_protocol::{CallError, HostId};

/// All pages of recorders.
pub type Recorders = Seats<Held>;

/// The column of a row that says what it is.
pub const KIND: usize = 0;
/// Words of what a row is, in the order in which they are sorted.
pub const KINDS: [&str; 4] = [
    "recorder.kind.process",
    "recorder.kind.program",
    "recorder.kind.unit",
    "recorder.kind.container",
];

/// The sheet of who was on top, by the page's number.
pub fn sheet_of(owner: u64) -> SheetKey {
    of_number(owner, "recorder")
}

/// Steps of a stretch of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stretch {
    /// From then on.
    pub from_ms: u64,
    /// Until then.
    pub to_ms: u64,
    /// How long a step is.
    pub step_ms: u64,
    /// All of them, in order.
    pub steps: Vec<Step>,
    /// When it came.
    pub came_ms: u64,
}

/// What went over disks or the network, as the history has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Disks, else the network.
    pub disks: bool,
    /// From then on.
    pub from_ms: u64,
    /// Until then.
    pub to_ms: u64,
    /// How long a step is.
    pub step_ms: u64,
    /// In and out, bytes a second, all devices together.
    pub lines: [Vec<Option<f64>>; 2],
    /// When it came.
    pub came_ms: u64,
    /// Why there is nothing.
    pub error: Option<CallError>,
}

/// What one page has.
#[derive(Debug, Default)]
pub struct Held {
    owner: u64,
    /// A question is under way.
    pub busy: bool,
    /// How far back it reaches, and when that was told.
    pub listing: Option<(Result<Listing, CallError>, u64)>,
    /// The steps, or why there are none and since when.
    pub stretch: Option<Result<Stretch, (CallError, u64)>>,
    /// Disk and network traffic.
    pub traffic: Option<Traffic>,
    /// The moment that was asked for last; without its tables, which are in the sheet.
    pub moment: Option<Moment>,
    /// Why the last one did not come.
    pub refused: Option<CallError>,
    /// When a moment came, or was refused.
    pub came_ms: u64,
    /// Goes up with every moment, and every one that did not come.
    pub serial: u64,
    /// The recorder has nothing newer than what was asked for.
    pub at_end: bool,
}

impl Owned for Held {
    fn owner(&self) -> u64 {
        self.owner
    }
}

impl Stretch {
    /// Takes in what came of the time from one of its steps on. `false` when the two do not go together.
    fn grow(&mut self, more: &Self) -> bool {
        let since = more.from_ms.saturating_sub(self.from_ms);
        let at = (since / self.step_ms.max(1)) as usize;
        let fits = more.steps.len() < 2 || self.step_ms == more.step_ms;
        let aligned = since.is_multiple_of(self.step_ms.max(1)) && more.from_ms >= self.from_ms;
        if !fits || !aligned || at > self.steps.len() || at + more.steps.len() > 4 * STEPS as usize
        {
            return false;
        }
        self.steps.truncate(at);
        self.steps.extend_from_slice(&more.steps);
        (self.to_ms, self.came_ms) = (more.to_ms, more.came_ms);
        true
    }
}

/// A question of this page is under way.
pub fn asking(owner: u64) -> Update {
    Update::new(move |store| {
        if store.recorders.get(owner).is_none() {
            store.recorders.put(Held { owner, ..Held::default() });
        }
        if let Some(held) = store.recorders.get_mut(owner) {
            held.busy = true;
        }
    })
}

fn came(owner: u64, take: impl FnOnce(&mut Held, u64) + Send + 'static) -> Update {
    Update::new(move |store: &mut Store| {
        let now_ms = store.now_ms;
        if let Some(held) = store.recorders.get_mut(owner) {
            held.busy = false;
            take(held, now_ms);
        }
    })
}

/// It was told how far back the recorder reaches.
pub fn listed(owner: u64, answer: Result<Listing, CallError>) -> Update {
    came(owner, move |held, now_ms| held.listing = Some((answer, now_ms)))
}

/// Steps came; with `grows` they are the newest of what is there already.
pub fn ranged(
    owner: u64,
    (from_ms, to_ms): (u64, u64),
    step_ms: u64,
    grows: bool,
    answer: Result<Steps, CallError>,
) -> Update {
    came(owner, move |held, came_ms| {
        let found = match answer {
            Ok(found) => found,
            // What is there stays; it is asked again when more is due.
            Err(_) if grows => {
                if let Some(Ok(old)) = &mut held.stretch {
                    old.came_ms = came_ms;
                }
                return;
            }
            Err(error) => {
                held.stretch = Some(Err((error, came_ms)));
                return;
            }
        };
        let mut steps = found.steps;
        steps.truncate(STEPS as usize);
        for step in &mut steps {
            if let std::borrow::Cow::Owned(harmless) = clean(&step.busiest) {
                step.busiest = harmless;
            }
        }
        let step_ms = if steps.len() > 1 { found.step_ms } else { step_ms };
        let new = Stretch { from_ms, to_ms, step_ms: step_ms.max(1), steps, came_ms };
        match &mut held.stretch {
            Some(Ok(old)) if grows => {
                if !old.grow(&new) {
                    // All of it is asked for anew.
                    held.stretch = None;
                }
            }
            place => *place = Some(Ok(new)),
        }
    })
}

/// Traffic came: of each line that there is the sum over its devices.
pub fn passed(
    owner: u64,
    disks: bool,
    (from_ms, to_ms): (u64, u64),
    answer: Result<Answer, CallError>,
) -> Update {
    came(owner, move |held, came_ms| {
        let mut traffic = Traffic { disks, from_ms, to_ms, came_ms, ..Traffic::default() };
        match answer {
            Err(error) => traffic.error = Some(error),
            Ok(answer) => {
                let most = cmdr_protocol::history::POINTS as usize;
                (traffic.from_ms, traffic.step_ms) = (answer.from_ms, answer.step_ms.max(1));
                for line in answer.lines {
                    // Loopback goes nowhere, and what is in a partition is in its disk.
                    if line.metric.ends_with("{lo}") {
                        continue;
                    }
                    let out = line.metric.starts_with("disk.written")
                        || line.metric.starts_with("net.sent");
                    let sum = &mut traffic.lines[usize::from(out)];
                    for (n, value) in line.points.iter().enumerate() {
                        let at = (line.first as usize).saturating_add(n).min(most);
                        if sum.len() <= at {
                            sum.resize(at + 1, None);
                        }
                        if let Some(value) = value.filter(|value| value.is_finite()) {
                            *sum[at].get_or_insert(0.0) += value;
                        }
                    }
                }
            }
        }
        held.traffic = Some(traffic);
    })
}

/// Who was on top came; nothing for there being nothing newer.
pub fn looked(owner: u64, host: HostId, answer: Result<Option<Moment>, CallError>) -> Update {
    Update::new(move |store: &mut Store| {
        let now_ms = store.now_ms;
        let Some(held) = store.recorders.get_mut(owner) else { return };
        held.busy = false;
        held.serial += 1;
        held.came_ms = now_ms;
        (held.refused, held.at_end) = (None, false);
        match answer {
            Err(error) => held.refused = Some(error),
            Ok(None) => held.at_end = true,
            Ok(Some(mut moment)) => {
                let tops = std::mem::take(&mut moment.tops);
                let groups = std::mem::take(&mut moment.groups);
                let total = moment.memory_total;
                held.moment = Some(moment);
                let rows = tops.iter().map(|top| of_top(host, top, total));
                let rows = rows.chain(groups.iter().map(|group| of_group(host, group, total)));
                store.sheet_mut(sheet_of(owner)).set(now_ms, rows.collect::<Vec<_>>().into_iter());
            }
        }
    })
}

fn cpu(permille: u32) -> Value {
    let role = match permille {
        0 => Role::Faint,
        1..500 => Role::Text,
        500..900 => Role::Warn,
        _ => Role::Bad,
    };
    let text = if permille >= 1000 {
        format!("{}", (permille + 5) / 10)
    } else {
        format!("{}.{}", permille / 10, permille % 10)
    };
    Value::Figure(u64::from(permille), text, role)
}

fn memory(bytes: u64, total: u64) -> Value {
    let share = crate::widgets::format::permille(bytes, total);
    let role = match share {
        0 => Role::Soft,
        1..500 => Role::Text,
        _ => Role::Warn,
    };
    Value::Figure(bytes, crate::widgets::format::bytes(bytes), role)
}

/// A rate: what cannot be seen is told from what is none.
fn rate(bytes: Option<u64>) -> Value {
    match bytes {
        None => Value::Figure(0, "?".to_owned(), Role::Faint),
        Some(0) => Value::Figure(0, "-".to_owned(), Role::Faint),
        Some(n) => Value::Figure(n, crate::widgets::format::bytes(n), Role::Text),
    }
}

/// What the kernel does not tell of processes.
fn untold() -> Value {
    Value::Figure(0, String::new(), Role::Faint)
}

fn kind(rank: u8, role: Role) -> Value {
    Value::Ranked(u64::from(rank), KINDS[usize::from(rank)], role)
}

fn of_top(host: HostId, top: &Top, total: u64) -> Record {
    let command =
        if top.command.is_empty() { format!("[{}]", top.name) } else { top.command.clone() };
    let mut more = vec![("processes.detail.state", clean(&top.state).into_owned())];
    more.push(("recorder.program", clean(&top.name).into_owned()));
    Record {
        id: id_of(&(0u8, top.pid, top.start)),
        host,
        values: vec![
            kind(0, Role::Soft),
            cpu(top.cpu),
            memory(top.memory, total),
            rate(top.read),
            rate(top.written),
            untold(),
            untold(),
            Value::Figure(u64::from(top.pid), top.pid.to_string(), Role::Soft),
            Value::text(&top.user, Role::Soft),
            Value::text(&command, Role::Text),
            Value::soft(&top.place),
        ],
        more,
        target: Target::Process {
            pid: top.pid,
            start: top.start,
            name: clean(&top.name).into_owned(),
            user: clean(&top.user).into_owned(),
            command: clean(&top.command).into_owned(),
        },
    }
}

fn of_group(host: HostId, group: &Group, total: u64) -> Record {
    let (rank, role) = match group.kind {
        Kind::Container => (3, Role::Accent),
        Kind::Unit => (2, Role::Info),
        _ => (1, Role::Label),
    };
    let told = |n: Option<u64>| if n.is_some() { rate(n) } else { untold() };
    let more = if group.id.is_empty() {
        Vec::new()
    } else {
        vec![("recorder.id", clean(&group.id).into_owned())]
    };
    Record {
        id: id_of(&(rank, &group.name, &group.id)),
        host,
        values: vec![
            kind(rank, role),
            cpu(group.cpu),
            memory(group.memory, total),
            rate(group.read),
            rate(group.written),
            told(group.received),
            told(group.sent),
            Value::Figure(u64::from(group.count), format!("×{}", group.count), Role::Soft),
            Value::soft(""),
            Value::text(&group.name, Role::Strong),
            Value::soft(""),
        ],
        more,
        target: Target::Named(clean(&group.name).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: u64 = 7;

    fn store() -> Store {
        let mut store = Store::new(1000, 0, false);
        store.apply(asking(OWNER));
        store
    }

    fn steps(from_ms: u64, cpu: &[u32]) -> Steps {
        let step = |cpu: &u32| Step { samples: 1, cpu: *cpu, ..Step::default() };
        Steps { from_ms, step_ms: 10, steps: cpu.iter().map(step).collect() }
    }

    #[test]
    fn the_newest_steps_are_put_over_those_that_were_not_whole_yet() {
        let mut store = store();
        store.apply(ranged(OWNER, (100, 130), 10, false, Ok(steps(100, &[1, 2, 3]))));
        store.apply(ranged(OWNER, (120, 150), 10, true, Ok(steps(120, &[9, 8, 7]))));
        let held = store.recorders.get(OWNER).expect("held");
        let Some(Ok(stretch)) = &held.stretch else { panic!("no stretch") };
        let cpu: Vec<u32> = stretch.steps.iter().map(|step| step.cpu).collect();
        assert_eq!((cpu, stretch.to_ms), (vec![1, 2, 9, 8, 7], 150));
        // Of another length they are not mixed: all of it is asked for anew.
        let coarse = Steps { step_ms: 60, ..steps(140, &[1, 1]) };
        store.apply(ranged(OWNER, (140, 260), 60, true, Ok(coarse)));
        assert!(store.recorders.get(OWNER).expect("held").stretch.is_none());
    }

    #[test]
    fn names_of_a_hostile_host_are_harmless_in_every_cell() {
        let mut store = store();
        let evil = "a\u{1b}[2J\u{9b}".to_owned();
        let top = Top { command: evil.clone(), user: evil.clone(), ..Top::default() };
        let group =
            Group { name: evil.clone(), id: evil, kind: Kind::Container, ..Group::default() };
        let moment = Moment { tops: vec![top], groups: vec![group], ..Moment::default() };
        store.apply(looked(OWNER, HostId([1; 16]), Ok(Some(moment))));
        let sheet = store.sheet(sheet_of(OWNER)).expect("a sheet");
        assert_eq!(sheet.rows.len(), 2);
        for row in sheet.rows.values() {
            let mut text = String::new();
            row.haystack(&mut text);
            assert!(!text.contains('\u{1b}') && !text.contains('\u{9b}'), "{text:?}");
        }
    }

    #[test]
    fn traffic_is_the_sum_of_all_devices_without_loopback_and_gaps_stay() {
        let mut store = store();
        let line = |metric: &str, first, points: &[Option<f64>]| cmdr_protocol::history::Line {
            metric: metric.into(),
            first,
            points: points.to_vec(),
            ..Default::default()
        };
        let answer = Answer {
            from_ms: 100,
            step_ms: 10,
            steps: 3,
            lines: vec![
                line("net.received{eth0}", 0, &[Some(1.0), None, Some(3.0)]),
                line("net.received{eth1}", 2, &[Some(4.0)]),
                line("net.received{lo}", 0, &[Some(99.0), Some(99.0)]),
                line("net.sent{eth0}", 0, &[Some(5.0)]),
            ],
            ..Answer::default()
        };
        store.apply(passed(OWNER, false, (100, 130), Ok(answer)));
        let held = store.recorders.get(OWNER).expect("held");
        let traffic = held.traffic.as_ref().expect("traffic");
        assert_eq!(traffic.lines[0], [Some(1.0), None, Some(7.0)]);
        assert_eq!(traffic.lines[1], [Some(5.0)]);
    }
}
