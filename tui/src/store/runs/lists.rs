//! Runs, runbooks and schedules as rows.

use crate::store::sheets::{Record, SheetKey, Target, Value, id_of};
use crate::store::{Store, Update};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::runbooks::Runbook;
use cmdr_protocol::runs::{Run, RunState, Schedule};
use cmdr_protocol::{CallError, HostId, RunId, runbooks, runs};

/// The sheet of runs.
pub const RUNS: SheetKey = (None, "runs");
/// The sheet of runbooks.
pub const BOOKS: SheetKey = (None, "runbooks");
/// The sheet of schedules.
pub const SCHEDULES: SheetKey = (None, "schedules");

/// Runs that are known at most.
const MOST: usize = 5000;

const NOBODY: HostId = HostId([0; 16]);

/// Key of the word for how a run stands, and its colour.
pub fn state_of(run: &Run) -> (&'static str, Role) {
    match run.state {
        // All ended, and not all well.
        RunState::Done if run.counts.bad() > 0 => ("runs.state.done", Role::Warn),
        RunState::Running => ("runs.state.running", Role::Info),
        RunState::Paused => ("runs.state.paused", Role::Warn),
        RunState::Halting => ("runs.state.halting", Role::Warn),
        RunState::Stopping => ("runs.state.stopping", Role::Warn),
        RunState::Done => ("runs.state.done", Role::Ok),
        RunState::Halted => ("runs.state.halted", Role::Bad),
        RunState::Stopped => ("runs.state.stopped", Role::Bad),
        RunState::Unknown => ("runs.state.unknown", Role::Faint),
    }
}

/// The number of a run's row.
pub fn number(run: RunId) -> u64 {
    u64::from_be_bytes(run.0)
}

fn figure(n: u32, role: Role) -> Value {
    let text = format::count(n as usize);
    if n == 0 {
        return Value::Figure(0, "·".to_owned(), Role::Faint);
    }
    Value::Figure(u64::from(n), text, role)
}

/// How much later than it was due a run was told of that hosts did by themselves; empty for every other.
fn alone(run: &Run) -> String {
    let due = run.due_ms.filter(|_| run.alone);
    due.map(|due| format::length(run.created_ms.saturating_sub(due))).unwrap_or_default()
}

fn record(id: RunId, run: &Run) -> Record {
    let counts = run.counts;
    let (word, role) = state_of(run);
    let text = |text: &str, role| Value::Text(text.to_owned(), role);
    let mut more = vec![
        ("runs.col.selector", run.hosts.clone()),
        ("runs.col.id", id.to_string()),
        ("runs.why", run.why.clone()),
        ("runs.schedule", run.schedule.clone()),
        ("runs.alone", alone(run)),
    ];
    more.retain(|(_, text)| !text.is_empty());
    Record {
        id: number(id),
        host: NOBODY,
        values: vec![
            Value::Moment(run.created_ms / 1000),
            Value::Word(word, role),
            text(&run.operator, Role::Soft),
            text(&run.what, Role::Strong),
            figure(counts.targets, Role::Text),
            figure(counts.ok, Role::Ok),
            figure(counts.bad(), Role::Bad),
            figure(counts.open(), Role::Info),
            text(&run.note, Role::Soft),
        ],
        more,
        target: Target::None,
    }
}

/// Puts a run into the list, when there is one.
pub(super) fn put(store: &mut Store, run: &Run) {
    let Some(id) = run.id.filter(|_| store.sheets.contains_key(&RUNS)) else { return };
    let sheet = store.sheet_mut(RUNS);
    sheet.rows.insert(number(id), record(id, run));
    sheet.version += 1;
}

/// Runs came, or why none did. `older` ones come to those that are there.
pub fn listed(older: bool, listing: Result<runs::Listing, CallError>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        store.runs.paging = false;
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) => return store.sheet_mut(RUNS).fail(error, now_ms),
        };
        let had = store.sheet(RUNS).is_some_and(|sheet| sheet.known);
        if older || !had {
            store.runs.more = listing.more;
            store.runs.next.clone_from(&listing.next);
        }
        // A new page that does not reach back to what is known leaves a hole: begin anew.
        let oldest = listing.runs.iter().map(|run| run.created_ms).min().unwrap_or(0);
        let newest = store.runs.known.values().map(|run| run.created_ms).max().unwrap_or(0);
        if !older && listing.more && had && oldest > newest {
            store.sheet_mut(RUNS).rows.clear();
            store.runs.known.clear();
            store.runs.more = true;
            store.runs.next.clone_from(&listing.next);
        }
        if store.runs.known.len() > MOST {
            store.runs.known.clear();
            store.sheet_mut(RUNS).rows.clear();
            store.runs.more = true;
            store.runs.next.clone_from(&listing.next);
        }
        for run in listing.runs {
            let Some(id) = run.id else { continue };
            let run = super::harmless(run);
            store.sheet_mut(RUNS).rows.insert(number(id), record(id, &run));
            store.runs.known.insert(id, run);
        }
        store.sheet_mut(RUNS).came(now_ms);
    })
}

/// Something in the lists has changed, as the hub tells it.
pub fn news(store: &mut Store, item: runs::ListNews) {
    let asks = [(RUNS, item.begins), (SCHEDULES, item.begins || item.schedules)];
    for (key, _) in asks.into_iter().filter(|(_, ask)| *ask) {
        let sheet = store.sheet_mut(key);
        (sheet.came_ms, sheet.asked_ms) = (0, 0);
    }
    if !store.sheet(RUNS).is_some_and(|sheet| sheet.known) {
        return;
    }
    for run in item.runs {
        super::know(store, run);
    }
    for run in item.gone {
        forget(store, run);
    }
}

/// A run was deleted.
pub fn gone(run: RunId) -> Update {
    Update::new(move |store| forget(store, run))
}

fn forget(store: &mut Store, run: RunId) {
    store.runs.known.remove(&run);
    if store.sheets.contains_key(&RUNS) {
        let sheet = store.sheet_mut(RUNS);
        sheet.rows.remove(&number(run));
        sheet.version += 1;
    }
}

fn book_record(book: &Runbook) -> Record {
    let signed = match &book.signed {
        None => Value::soft(""),
        Some(signed) if signed.holds => Value::text(&signed.by, Role::Text),
        Some(_) => Value::Word("runbooks.broken", Role::Bad),
    };
    let version = match (book.version, book.shipped) {
        (0, _) => Value::Word("runbooks.shipped", Role::Soft),
        (n, true) => Value::Figure(n, format!("{n}*"), Role::Accent),
        (n, false) => Value::Figure(n, n.to_string(), Role::Text),
    };
    Record {
        id: id_of(&book.name),
        host: NOBODY,
        values: vec![
            Value::text(&book.name, Role::Strong),
            version,
            Value::count(u64::from(book.steps)),
            Value::Moment(book.saved_ms / 1000),
            Value::soft(&book.saved_by),
            Value::soft(&book.description),
            signed,
        ],
        more: Vec::new(),
        target: Target::None,
    }
}

/// Runbooks came, or why none did.
pub fn book(listing: Result<runbooks::Listing, CallError>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        let sheet = store.sheet_mut(BOOKS);
        match listing {
            Ok(listing) => sheet.set(now_ms, listing.runbooks.iter().map(book_record)),
            Err(error) => sheet.fail(error, now_ms),
        }
    })
}

/// When a schedule begins runs, in words.
fn when(schedule: &Schedule) -> String {
    match schedule.when.every_ms {
        Some(ms) => format::span(ms / 1000),
        None => format!("{} {}", schedule.when.cron, schedule.when.zone).trim_end().to_owned(),
    }
}

/// One that was deleted, and that hosts may still have, is beside another of its name.
fn row_of(schedule: &Schedule) -> u64 {
    let made = if schedule.gone { schedule.made_ms.to_string() } else { String::new() };
    id_of(&format!("{}{made}", schedule.name))
}

fn schedule_record(schedule: &Schedule) -> Record {
    let (word, role) = if schedule.gone {
        ("schedules.state.gone", Role::Warn)
    } else if schedule.paused {
        ("runs.state.paused", Role::Warn)
    } else if schedule.trouble.is_empty() {
        ("schedules.state.on", Role::Ok)
    } else {
        ("schedules.state.trouble", Role::Bad)
    };
    let mut more = vec![
        ("schedules.trouble", cmdr_protocol::display::clean(&schedule.trouble).into_owned()),
        ("schedules.last", schedule.last.map(|run| run.to_string()).unwrap_or_default()),
    ];
    if schedule.at_hosts > 0 {
        more.push(("schedules.hosts", format::count(schedule.at_hosts as usize)));
    }
    more.push(("schedules.hub_only", schedule.hub_only.clone()));
    more.retain(|(_, text)| !text.is_empty());
    Record {
        id: row_of(schedule),
        host: NOBODY,
        values: vec![
            Value::text(&schedule.name, Role::Strong),
            Value::Word(word, role),
            Value::text(&when(schedule), Role::Text),
            Value::Moment(schedule.next_ms.unwrap_or(0) / 1000),
            Value::text(&schedule.start.order.told(), Role::Text),
            Value::soft(&schedule.start.hosts),
            Value::soft(&schedule.operator),
        ],
        more,
        target: Target::None,
    }
}

/// Schedules came, or why none did.
pub fn schedule(listing: Result<runs::ScheduleListing, CallError>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        match listing {
            Ok(listing) => {
                let rows: Vec<Record> = listing.schedules.iter().map(schedule_record).collect();
                store.sheet_mut(SCHEDULES).set(now_ms, rows.into_iter());
                let keyed = listing.schedules.into_iter().filter(|s| !s.gone);
                let keyed = keyed.map(|s| (row_of(&s), s));
                store.runs.schedules = keyed.collect();
            }
            Err(error) => store.sheet_mut(SCHEDULES).fail(error, now_ms),
        }
    })
}
