//! The hub's audit log as far as it was looked at: two pieces of it, for the pane that shows records
//! and for the one that shows what was done, each with its own search. One feed keeps both fresh.

use super::{Store, Stored, Update};
use cmdr_protocol::audit::{Event, Filter, Items, Outcome, Page, Record, Value, Watch};
use cmdr_protocol::display::clean;
use cmdr_protocol::recordings::RECORDABLE;
use cmdr_protocol::{CallError, HostId, methods};
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

/// Records kept of one piece; beyond that the end which is further away goes.
pub const MOST: usize = 20_000;
/// Records that came before the first page did.
const EARLY: usize = 2000;
/// What was left for longer begins anew instead of catching up.
const CATCH_UP_MS: u64 = 10 * 60 * 1000;
/// Pages without a single record after which going on takes a key.
pub const BARREN: u32 = 50;
/// After an error that may pass it is tried again when so much time went by.
const AGAIN_MS: u64 = 3000;

/// Whose piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of the pane that shows the log.
    Audit,
    /// Of the pane that shows what was done.
    Records,
}

/// Both pieces.
#[derive(Default)]
pub struct Audit {
    pieces: [Log; 2],
    /// The last record that the feed brought, and when.
    followed: Option<(u64, u64)>,
    /// The last record of something that is recorded, or that changes recordings.
    touched: u64,
}

/// A piece of the log.
#[derive(Default)]
pub struct Log {
    /// What the hub was asked for.
    pub filter: Filter,
    /// Newest first, texts made harmless; those of the body are as they came.
    rows: VecDeque<Record>,
    /// For a request the record that answers it.
    answers: HashMap<u64, u64>,
    /// When hubs began, by the number of the record.
    starts: Vec<u64>,
    early: VecDeque<Record>,
    /// Where older records begin; absent when there are none.
    next: Option<u64>,
    /// False until the first page came.
    pub known: bool,
    /// A page is on its way.
    loading: bool,
    /// Why the last page did not come, whether that may pass, and when it was.
    failed: Option<(CallError, u64)>,
    /// What is wrong with the log itself.
    pub damage: String,
    /// Pages in a row that brought nothing.
    pub barren: u32,
    /// Newer records were dropped to make room for older ones.
    pub is_cut: bool,
    /// So many records came that are newer than what is kept.
    pub newer: usize,
    /// Goes up with every change.
    pub version: u64,
    /// Which pane it was searched for: one that is come back to searches again for what was its own.
    pub owner: u64,
    /// Goes up when it begins anew, so that an answer to an older question is known as one.
    pub generation: u64,
}

/// How something that was asked for stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Running,
    /// Whether it goes on cannot be told from what is here.
    Open,
    /// The hub began anew before it was answered.
    Unknown,
    /// It ended so.
    Ended(Outcome),
    /// It is no request: what the hub noted.
    Noted(Event),
}

impl Audit {
    /// A piece.
    pub fn of(&self, whose: Whose) -> &Log {
        &self.pieces[whose as usize]
    }

    /// The number of the last record that came after which recordings may be other ones.
    pub const fn touched(&self) -> u64 {
        self.touched
    }

    /// Whether a pane that opens has to begin anew to show these.
    pub fn is_old(&self, whose: Whose, filter: &Filter, now_ms: u64) -> bool {
        let log = self.of(whose);
        let left =
            self.followed.is_none_or(|(_, at_ms)| now_ms.saturating_sub(at_ms) > CATCH_UP_MS);
        log.filter != *filter || (log.known && left)
    }

    fn of_mut(&mut self, whose: Whose) -> &mut Log {
        &mut self.pieces[whose as usize]
    }

    fn take(&mut self, now_ms: u64, items: &Items) {
        let (Some(first), Some(last)) = (items.records.first(), items.records.last()) else {
            return;
        };
        let whole = self.followed.is_none_or(|(seq, _)| first.seq <= seq + 1);
        let (first, last) = (first.seq, last.seq);
        self.followed = Some((last, now_ms));
        let touches = |record: &&Record| {
            let of_recordings = record.method.starts_with("recordings.")
                && methods::find(&record.method).is_some_and(|method| method.changes);
            of_recordings || RECORDABLE.contains(&record.method.as_str())
        };
        if let Some(record) = items.records.iter().rfind(touches) {
            self.touched = record.seq;
        }
        for log in &mut self.pieces {
            // A page that was read before the feed began may end before it, too.
            let met = log.filter != Filter::default()
                || log.rows.front().is_none_or(|newest| first <= newest.seq + 1);
            if log.known && !(whole && met) && !log.is_cut {
                log.begin(log.filter.clone());
            }
            for record in &items.records {
                log.came(record);
            }
        }
    }
}

/// Asks for other records, for this pane.
pub fn search(whose: Whose, owner: u64, filter: Filter) -> Update {
    Update::new(move |store| {
        store.audit.of_mut(whose).begin(filter);
        store.audit.of_mut(whose).owner = owner;
        // The other piece is caught up with when somebody looks at it again.
        if !store.audit.pieces.iter().any(|log| log.known) {
            store.audit.followed = None;
        }
    })
}

/// What is there is what this pane wants.
pub fn claim(whose: Whose, owner: u64) -> Update {
    Update::new(move |store| store.audit.of_mut(whose).owner = owner)
}

/// A number for a pane.
pub fn owner() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A page is asked for.
pub fn asking(whose: Whose) -> Update {
    Update::new(move |store| {
        let log = store.audit.of_mut(whose);
        log.loading = true;
        log.failed = None;
    })
}

/// A page came, or did not.
pub fn paged(whose: Whose, generation: u64, page: Result<Page, CallError>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        let audit = &mut store.audit;
        audit.of_mut(whose).paged(now_ms, generation, page);
        let log = audit.of(whose);
        if let (None, true) = (audit.followed, log.filter == Filter::default()) {
            audit.followed = log.rows.front().map(|newest| (newest.seq, now_ms));
        }
    })
}

/// Looks on after many pages without a record.
pub fn search_on(whose: Whose) -> Update {
    Update::new(move |store| store.audit.of_mut(whose).barren = 0)
}

impl Log {
    /// Forgets everything and looks for these.
    fn begin(&mut self, filter: Filter) {
        let (version, generation) = (self.version + 1, self.generation + 1);
        let owner = self.owner;
        *self = Self { filter, version, owner, generation, ..Self::default() };
    }

    /// Records, newest first.
    pub fn rows(&self) -> impl Iterator<Item = &Record> {
        self.rows.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The record of this number.
    pub fn get(&self, seq: u64) -> Option<&Record> {
        let at = self.rows.binary_search_by(|record| seq.cmp(&record.seq)).ok()?;
        self.rows.get(at)
    }

    /// The record that answers this one.
    pub fn answer(&self, asked: u64) -> Option<&Record> {
        self.answers.get(&asked).and_then(|seq| self.get(*seq))
    }

    /// The other record of a request: of one that asks its answer, of an answer what was asked.
    pub fn pair(&self, record: &Record) -> Option<&Record> {
        match record.asked {
            Some(asked) => self.get(asked),
            None => self.answer(record.seq),
        }
    }

    /// How it stands.
    pub fn standing(&self, record: &Record) -> Standing {
        if let Some(outcome) = record.outcome {
            return Standing::Ended(outcome);
        }
        if record.event != Event::Asked {
            return Standing::Noted(record.event);
        }
        if let Some(answer) = self.answer(record.seq) {
            return Standing::Ended(answer.outcome.unwrap_or(Outcome::Ok));
        }
        if self.starts.iter().any(|start| *start > record.seq) {
            return Standing::Unknown;
        }
        if self.filter == Filter::default() && !self.is_cut {
            Standing::Running
        } else {
            Standing::Open
        }
    }

    /// Why the last page did not come.
    pub fn error(&self) -> Option<&CallError> {
        self.failed.as_ref().map(|(error, _)| error)
    }

    /// Whether there are older ones that were not asked for yet.
    pub fn has_more(&self) -> bool {
        !self.known || self.next.is_some()
    }

    /// Whether a page is on its way.
    pub fn is_loading(&self) -> bool {
        self.loading
    }

    /// What to ask for next, if anything may be asked for now.
    pub fn page(&self, now_ms: u64) -> Option<(Filter, Option<u64>)> {
        if self.loading || !self.has_more() || self.barren >= BARREN {
            return None;
        }
        if let Some((error, at_ms)) = &self.failed
            && (!crate::link::is_passing(error) || now_ms.saturating_sub(*at_ms) < AGAIN_MS)
        {
            return None;
        }
        Some((self.filter.clone(), self.next))
    }

    fn paged(&mut self, now_ms: u64, generation: u64, page: Result<Page, CallError>) {
        if generation != self.generation {
            return;
        }
        self.loading = false;
        self.version += 1;
        let page = match page {
            Ok(page) => page,
            Err(error) => return self.failed = Some((error, now_ms)),
        };
        self.barren = if page.records.is_empty() { self.barren + 1 } else { 0 };
        if !page.damage.is_empty() {
            self.damage = clean(&page.damage).into_owned();
        }
        self.next = page.next;
        for record in page.records {
            let older = self.rows.back().is_none_or(|oldest| record.seq < oldest.seq);
            if older {
                let record = harmless(record);
                self.note(&record);
                self.rows.push_back(record);
            }
        }
        self.known = true;
        for record in std::mem::take(&mut self.early) {
            self.came(&record);
        }
        while self.rows.len() > MOST {
            self.is_cut = true;
            self.newer += 1;
            let gone = self.rows.pop_front();
            self.forget(gone);
        }
    }

    fn came(&mut self, record: &Record) {
        if record.event == Event::Started {
            self.starts.push(record.seq);
            self.version += 1;
        }
        if !self.filter.matches(record) {
            return;
        }
        if !self.known {
            if self.early.len() < EARLY {
                self.early.push_back(record.clone());
            }
            return;
        }
        if self.rows.front().is_some_and(|newest| record.seq <= newest.seq) {
            return;
        }
        self.version += 1;
        if self.is_cut {
            self.newer += 1;
            return;
        }
        let record = harmless(record.clone());
        self.note(&record);
        self.rows.push_front(record);
        if self.rows.len() > MOST {
            let gone = self.rows.pop_back();
            self.next = self.rows.back().map(|oldest| oldest.seq);
            self.forget(gone);
        }
    }

    fn note(&mut self, record: &Record) {
        if let Some(asked) = record.asked {
            self.answers.insert(asked, record.seq);
        }
        if record.event == Event::Started && !self.starts.contains(&record.seq) {
            self.starts.push(record.seq);
        }
    }

    fn forget(&mut self, gone: Option<Record>) {
        if let Some(asked) = gone.and_then(|record| record.asked) {
            self.answers.remove(&asked);
        }
    }
}

/// A record whose texts may be shown. Its body and its result are made harmless where they are shown.
fn harmless(mut record: Record) -> Record {
    let Record { operator, address, method, resource, host_name, message, .. } = &mut record;
    for text in [operator, address, method, resource, host_name, message] {
        if let Cow::Owned(harmless) = clean(text) {
            *text = harmless;
        }
    }
    record
}

/// A value on one line.
pub fn one_line(value: &Value) -> String {
    clean(&value.to_string()).into_owned()
}

impl Stored for Watch {
    fn apply(store: &mut Store, _host: Option<HostId>, item: Items) {
        let now_ms = store.now_ms;
        store.audit.take(now_ms, &item);
    }

    fn resumed(&self, store: &Store, _host: Option<HostId>) -> Self {
        Self { after: store.audit.followed.map(|(seq, _)| seq), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64, event: Event) -> Record {
        Record { seq, event, method: "exec.start".into(), ..Record::default() }
    }

    fn answer(seq: u64, asked: u64) -> Record {
        let (asked, outcome) = (Some(asked), Some(Outcome::Ok));
        Record { asked, outcome, ..record(seq, Event::Answered) }
    }

    fn page(records: Vec<Record>, next: Option<u64>) -> Page {
        Page { records, next, ..Page::default() }
    }

    fn seqs(log: &Log) -> Vec<u64> {
        log.rows().map(|record| record.seq).collect()
    }

    fn items(records: Vec<Record>) -> Items {
        Items { records, missed: 0 }
    }

    #[test]
    fn what_came_before_the_first_page_is_not_lost_and_stands_there_once() {
        let mut log = Log::default();
        log.came(&record(5, Event::Asked));
        log.came(&record(6, Event::Asked));
        log.paged(0, 0, Ok(page(vec![record(5, Event::Asked), record(4, Event::Asked)], None)));
        assert_eq!(seqs(&log), [6, 5, 4]);
        assert!(!log.has_more());
    }

    #[test]
    fn a_request_runs_until_it_is_answered_or_the_hub_begins_anew() {
        let mut log = Log::default();
        log.paged(
            0,
            0,
            Ok(page(vec![answer(3, 1), record(2, Event::Asked), record(1, Event::Asked)], None)),
        );
        let standing = |log: &Log, seq| log.standing(log.get(seq).expect("there"));
        assert_eq!(standing(&log, 1), Standing::Ended(Outcome::Ok));
        assert_eq!(standing(&log, 2), Standing::Running);
        log.came(&record(4, Event::Started));
        assert_eq!(standing(&log, 2), Standing::Unknown);
        assert_eq!(log.pair(log.get(1).expect("there")).map(|r| r.seq), Some(3));
    }

    #[test]
    fn memory_is_bounded_and_the_end_that_is_further_away_goes() {
        let mut log = Log::default();
        log.paged(0, 0, Ok(page(vec![record(2, Event::Asked), record(1, Event::Asked)], None)));
        for seq in 3..=MOST as u64 + 2 {
            log.came(&record(seq, Event::Asked));
        }
        assert_eq!((log.len(), log.page(0)), (MOST, Some((Filter::default(), Some(3)))));
        log.paged(0, 0, Ok(page(vec![record(2, Event::Asked), record(1, Event::Asked)], None)));
        assert_eq!((log.len(), log.is_cut, log.newer), (MOST, true, 2));
        log.came(&record(MOST as u64 + 3, Event::Asked));
        assert_eq!((log.len(), log.newer), (MOST, 3), "what is new is counted");
    }

    #[test]
    fn a_feed_with_a_hole_makes_what_is_known_begin_anew() {
        let mut audit = Audit::default();
        audit.of_mut(Whose::Audit).paged(0, 0, Ok(page(vec![record(1, Event::Asked)], None)));
        audit.take(0, &items(vec![record(2, Event::Asked)]));
        assert_eq!(seqs(audit.of(Whose::Audit)), [2, 1]);
        audit.take(0, &items(vec![record(9, Event::Asked)]));
        assert!(!audit.of(Whose::Audit).known);
    }

    #[test]
    fn only_records_that_were_searched_for_come() {
        let mut log = Log::default();
        log.begin(Filter { operator: "ann".into(), ..Filter::default() });
        log.paged(0, 1, Ok(page(Vec::new(), None)));
        log.came(&record(1, Event::Asked));
        log.came(&Record { operator: "ann".into(), ..record(2, Event::Asked) });
        assert_eq!(seqs(&log), [2]);
        log.paged(0, 0, Ok(page(vec![record(1, Event::Asked)], None)));
        assert_eq!(seqs(&log), [2], "an answer to an older question");
    }
}
