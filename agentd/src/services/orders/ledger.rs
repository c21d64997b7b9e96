//! All orders of this host that the hub has not confirmed, and the names of those it has: in memory what the journal
//! has on disk.

use super::journal::{Began, Ended, Journal, Over, Record, Taken};
use super::spool::{self, Spool, Store};
use crate::Agent;
use cmdr_link::clock;
use cmdr_protocol::orders::{MAX_OUTPUT, OUTPUT, Occurrence, Report};
use cmdr_protocol::runs::{Order, TargetState};
use cmdr_protocol::{CallError, ErrorKind};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Orders that wait for the hub at most; further ones are refused.
const MOST: usize = 10_000;
/// With more than so many, all output goes to files.
const MANY: usize = 256;
/// Names of orders that are over, and how long they are remembered.
const REMEMBERED: usize = 20_000;
const REMEMBERED_MS: u64 = 14 * 24 * 3_600_000;

/// Why an order is ended from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody wants it so, for this reason.
    Cancelled(String),
    /// Its deadline has passed.
    TimedOut,
    /// The agent stops in good order.
    AgentStops,
}

/// One order that is not confirmed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) taken: Taken,
    pub(super) report: Report,
    pub(super) spool: Arc<Mutex<Spool>>,
    pub(super) stop: watch::Sender<Option<Why>>,
    version: u64,
    /// A change is being held back for a moment, to be told with others.
    soon: bool,
    /// Output that the hub has.
    pub(super) have: u64,
}

/// What is known of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is not over for the hub.
    Here(TargetState),
    /// It is.
    Over(TargetState),
}

#[derive(Debug)]
pub(super) struct Ledger {
    journal: Journal,
    store: Store,
    boot: String,
    pub(super) orders: HashMap<String, Entry>,
    /// By the time of their last change.
    changed: BTreeMap<u64, String>,
    version: u64,
    over: HashMap<String, Over>,
    oldest: VecDeque<String>,
    /// Which order was for which moment of a schedule.
    occurrences: HashMap<Occurrence, String>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which start of the host's system this is.
fn boot(agent: &Agent) -> String {
    let path = agent.config().proc_root.join("sys/kernel/random/boot_id");
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

impl Ledger {
    /// What an agent finds when it starts: orders that it left half done are lost.
    pub(super) fn open(agent: &Agent, dir: &Path) -> Self {
        let boot = boot(agent);
        let (journal, records) = Journal::open(dir);
        let mut found: HashMap<String, (Taken, Option<Began>, Option<Ended>)> = HashMap::new();
        let mut over = Vec::new();
        let mut order = Vec::new();
        for Record { taken, began, ended, over: is_over } in records {
            if let Some(taken) = taken {
                order.push(taken.take.id.clone());
                found.insert(taken.take.id.clone(), (taken, None, None));
            }
            if let Some(began) = began
                && let Some(one) = found.get_mut(&began.id)
            {
                one.1 = Some(began);
            }
            if let Some(ended) = ended
                && let Some(one) = found.get_mut(&ended.report.id)
            {
                one.2 = Some(ended);
            }
            if let Some(is_over) = is_over {
                found.remove(&is_over.id);
                over.push(is_over);
            }
        }
        let store = Store::open(spool::folder(dir), |id| found.contains_key(id));
        let mut ledger = Self {
            journal,
            store,
            boot,
            orders: HashMap::new(),
            changed: BTreeMap::new(),
            version: 0,
            over: HashMap::new(),
            oldest: VecDeque::new(),
            occurrences: HashMap::new(),
        };
        for over in over {
            ledger.remember(over);
        }
        for id in order {
            let Some((taken, began, ended)) = found.remove(&id) else { continue };
            ledger.find(taken, began.as_ref(), ended);
        }
        if ledger.version > 0 || !ledger.over.is_empty() {
            ledger.renew();
        }
        ledger
    }

    fn find(&mut self, taken: Taken, began: Option<&Began>, ended: Option<Ended>) {
        let id = taken.take.id.clone();
        let ended = ended.unwrap_or_else(|| {
            let rebooted = taken.boot != self.boot;
            let message = match (began, rebooted) {
                (_, true) => "the host went down before this was over; what was done until then is not known",
                (Some(_), false) => "the agent was ended while this ran, and everything it had started with it; what was done until then is not known",
                (None, false) => "the agent was ended before this began; nothing of it was done",
            };
            tracing::warn!(id, "an order is lost: {message}");
            let output = self.store.found(&id);
            let total = Spool::of(&self.store, &id, output.clone(), u64::MAX).end();
            let report = Report {
                id: id.clone(),
                state: TargetState::Lost,
                began_ms: began.map(|began| began.at_ms),
                message: message.to_owned(),
                output: total,
                occurrence: taken.take.occurrence.clone(),
                ..Report::default()
            };
            Ended { report, output }
        });
        let spool = Spool::of(&self.store, &id, ended.output, ended.report.output);
        let lost = ended.report.lost.max(spool.lost());
        self.put(taken, Report { lost, ..ended.report }, spool);
    }

    fn put(&mut self, taken: Taken, report: Report, spool: Spool) {
        let id = taken.take.id.clone();
        if let Some(occurrence) = &taken.take.occurrence {
            self.occurrences.insert(occurrence.clone(), id.clone());
        }
        self.version += 1;
        self.changed.insert(self.version, id.clone());
        let entry = Entry {
            taken,
            report,
            spool: Arc::new(Mutex::new(spool)),
            stop: watch::Sender::new(None),
            version: self.version,
            soon: false,
            have: 0,
        };
        self.orders.insert(id, entry);
    }

    /// What is known of a name.
    pub(super) fn known(&self, id: &str) -> Option<Known> {
        let here = self.orders.get(id).map(|entry| Known::Here(entry.report.state));
        here.or_else(|| self.over.get(id).map(|over| Known::Over(over.state)))
    }

    /// The order that was for a moment of a schedule.
    pub(super) fn done_for(&self, occurrence: &Occurrence) -> Option<&String> {
        self.occurrences.get(occurrence)
    }

    /// Takes an order that is not known. It is the host's once the file is synced.
    pub(super) fn take(&mut self, mut taken: Taken) -> Result<Arc<File>, CallError> {
        if self.orders.len() >= MOST {
            return Err(CallError::new(
                ErrorKind::Busy,
                format!(
                    "this host keeps {MOST} orders whose results no hub has taken yet; nothing was begun"
                ),
            ));
        }
        taken.boot.clone_from(&self.boot);
        let open = self.orders.values().filter(|entry| !entry.report.state.is_end()).count();
        let file = self.journal.take(taken.clone(), open)?;
        let id = taken.take.id.clone();
        let limit = taken.take.output.unwrap_or(OUTPUT).min(MAX_OUTPUT);
        let spool = Spool::new(&self.store, &id, limit);
        let report = Report {
            id,
            state: TargetState::Sent,
            occurrence: taken.take.occurrence.clone(),
            ..Report::default()
        };
        self.put(taken, report, spool);
        Ok(file)
    }

    /// The order never was: it is not on disk.
    pub(super) fn untake(&mut self, id: &str, error: &std::io::Error) -> CallError {
        if let Some(entry) = self.orders.remove(id) {
            self.changed.remove(&entry.version);
            if let Some(occurrence) = &entry.taken.take.occurrence {
                self.occurrences.remove(occurrence);
            }
        }
        self.journal.give_up(error)
    }

    /// The file to sync for what was written until now.
    pub(super) fn handle(&self) -> Option<Arc<File>> {
        self.journal.handle()
    }

    fn note(&mut self, record: &Record) {
        if let Err(e) = self.journal.note(record) {
            // It is told to the hub all the same; an agent that starts again says that it is lost.
            tracing::error!("writing the journal of orders: {e}");
        }
    }

    /// The order may begin at any moment from now on.
    pub(super) fn begin(&mut self, id: &str) {
        let at_ms = clock::now_ms();
        self.note(&Record { began: Some(Began { id: id.to_owned(), at_ms }), ..Record::default() });
        if let Some(entry) = self.orders.get_mut(id) {
            entry.report.state = TargetState::Running;
            entry.report.began_ms = Some(at_ms);
        }
    }

    /// How an order ended; `report` has what only who ran it knows.
    pub(super) fn end(&mut self, id: &str, report: Report) {
        let many = self.orders.len() > MANY;
        let Some(entry) = self.orders.get_mut(id) else { return };
        let (output, lost, kept) = {
            let mut spool = lock(&entry.spool);
            spool.finish();
            if many {
                spool.put_aside();
            }
            (spool.total(), spool.lost(), spool.kept())
        };
        let occurrence = entry.taken.take.occurrence.clone();
        entry.report = Report { id: id.to_owned(), output, lost, occurrence, ..report };
        // What was to be done may hold secrets, and is not needed any more.
        entry.taken.take.order = Order::default();
        let ended = Ended { report: entry.report.clone(), output: kept };
        self.note(&Record { ended: Some(ended), ..Record::default() });
        self.touch(id);
        if self.journal.is_large() {
            self.renew();
        }
    }

    /// What is to be synced so that an end survives that of the host: none when it is confirmed by now.
    pub(super) fn unsynced(&self, id: &str) -> Vec<Arc<File>> {
        let Some(entry) = self.orders.get(id) else { return Vec::new() };
        lock(&entry.spool).handle().into_iter().chain(self.journal.handle()).collect()
    }

    /// Something about an order is new.
    pub(super) fn touch(&mut self, id: &str) {
        let Some(entry) = self.orders.get_mut(id) else { return };
        self.changed.remove(&entry.version);
        self.version += 1;
        (entry.version, entry.soon) = (self.version, false);
        self.changed.insert(self.version, id.to_owned());
    }

    /// Whether somebody has to touch an order soon; asked again before that, nobody has.
    pub(super) fn soon(&mut self, id: &str) -> bool {
        self.orders.get_mut(id).is_some_and(|entry| !std::mem::replace(&mut entry.soon, true))
    }

    /// Has a change told that was held back, unless it was told with another one since.
    pub(super) fn touch_late(&mut self, id: &str) {
        if self.orders.get(id).is_some_and(|entry| entry.soon) {
            self.touch(id);
        }
    }

    /// The number of the last change.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// Orders that changed after that number, the oldest change first.
    pub(super) fn changed_after(&self, seen: u64) -> impl Iterator<Item = &String> {
        self.changed.range(seen + 1..).map(|(_, id)| id)
    }

    /// The hub has the end of an order and all its output.
    pub(super) fn confirm(&mut self, id: &str) {
        if !self.orders.get(id).is_some_and(|entry| entry.report.state.is_end()) {
            return;
        }
        let Some(entry) = self.orders.remove(id) else { return };
        self.changed.remove(&entry.version);
        self.store.remove(id);
        let over = Over {
            id: id.to_owned(),
            state: entry.report.state,
            at_ms: clock::now_ms(),
            occurrence: entry.report.occurrence,
        };
        self.note(&Record { over: Some(over.clone()), ..Record::default() });
        self.remember(over);
    }

    /// An order that is not here is cancelled: if it comes, it never begins.
    pub(super) fn bar(&mut self, id: &str) {
        let over = Over {
            id: id.to_owned(),
            state: TargetState::Cancelled,
            at_ms: clock::now_ms(),
            occurrence: None,
        };
        self.note(&Record { over: Some(over.clone()), ..Record::default() });
        self.remember(over);
    }

    fn remember(&mut self, over: Over) {
        let now_ms = over.at_ms;
        if let Some(occurrence) = &over.occurrence {
            self.occurrences.insert(occurrence.clone(), over.id.clone());
        }
        self.oldest.push_back(over.id.clone());
        self.over.insert(over.id.clone(), over);
        while let Some(id) = self.oldest.front() {
            let old = self
                .over
                .get(id)
                .is_none_or(|over| now_ms.saturating_sub(over.at_ms) > REMEMBERED_MS);
            if !old && self.oldest.len() <= REMEMBERED {
                break;
            }
            let id = self.oldest.pop_front().unwrap_or_default();
            let occurrence = self.over.remove(&id).and_then(|over| over.occurrence);
            if let Some(occurrence) = occurrence {
                self.occurrences.remove(&occurrence);
            }
        }
    }

    /// Writes the journal anew with all that still counts.
    fn renew(&mut self) {
        let record = Record::default;
        let over = self.oldest.iter().filter_map(|id| self.over.get(id)).cloned();
        let over = over.map(|over| Record { over: Some(over), ..record() });
        let orders = self.changed.values().filter_map(|id| self.orders.get(id)).flat_map(|entry| {
            let taken = Record { taken: Some(entry.taken.clone()), ..record() };
            let began = entry.report.began_ms.map(|at_ms| {
                let id = entry.report.id.clone();
                Record { began: Some(Began { id, at_ms }), ..record() }
            });
            let ended = entry.report.state.is_end().then(|| {
                let ended =
                    Ended { report: entry.report.clone(), output: lock(&entry.spool).kept() };
                Record { ended: Some(ended), ..record() }
            });
            [Some(taken), began, ended].into_iter().flatten()
        });
        let all: Vec<Record> = over.chain(orders).collect();
        if let Err(e) = self.journal.renew(all.into_iter()) {
            // The old one is still right; or the new one is, and takes no order more.
            tracing::warn!("writing the journal of orders anew: {e}");
        }
    }
}
