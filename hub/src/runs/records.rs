//! What stands in the store about runs: a head, its order and targets in pieces, and a log of changes, one
//! record for all that changed at one time. Fields are only ever added.

use super::environment;
use super::seat::Seat;
use super::steps::StepsRecord;
use crate::records::prefix;
use crate::store::{Batch, Store, StoreError};
use crate::who::Who;
use cmdr_link::codec;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::role::Role;
use cmdr_protocol::runs::{Counts, Order, Run, RunState, Schedule, Start, TargetState};
use cmdr_protocol::{HostId, KeyId, RunId};
use serde::{Deserialize, Serialize};

/// Bytes of an order in one record.
const PIECE: usize = 48 * 1024;
/// An order up to this size stands in the head.
const SMALL: usize = 16 * 1024;
/// Targets in one record.
const TARGETS: usize = 400;
/// Targets that stand in the head.
const FEW: usize = 100;
/// Bytes of a log record at most, but for its frame.
const LOG: usize = 48 * 1024;
/// Bytes of a head when its run begins: what changes of it later, its reason and its end, has room beside that.
const HEAD: usize = 56 * 1024;
/// Bytes that a range of targets, and a place of output, take at most.
const RANGE: usize = 16;
const PLACE: usize = 64;
/// Bytes of a reason in one change.
const WHY: usize = 4096;

/// For whom a run acts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Author {
    /// The operator.
    pub operator: String,
    /// When the operator was made, milliseconds since 1970: a later one of the same name is somebody else.
    pub account_ms: u64,
    /// The device's or program's key; absent for the hub itself.
    pub key: Option<KeyId>,
    /// It is a program's key: its scope bounds the run.
    pub program: bool,
    /// The device's name.
    pub device: String,
    /// The role they had.
    pub role: Role,
    /// From where.
    pub address: String,
}

impl Author {
    /// Whether that is who this is, and not only somebody of the same name.
    pub fn is(&self, who: &Who) -> bool {
        !who.operator.is_empty() && self.operator == who.operator && self.account_ms == who.since_ms
    }

    /// Whether it is this very key of a program's.
    pub fn is_key(&self, who: &Who) -> bool {
        self.program && self.key.is_some() && self.key == who.key && self.is(who)
    }

    /// As agents are told.
    pub fn caller(&self) -> Option<Caller> {
        Some(Caller {
            key: self.key?,
            name: self.device.clone(),
            operator: self.operator.clone(),
            role: self.role,
            address: self.address.clone(),
        })
    }
}

/// A run without what changes most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRecord {
    /// What was asked for; the order is elsewhere when it is large.
    pub start: Start,
    /// Records that hold the order; 0 when it stands in `start`.
    pub order_pieces: u32,
    /// The values of the order's variables are beside it, sealed; here it has their names.
    pub env: bool,
    /// Who asked.
    pub author: Author,
    /// The schedule that began it; empty for none.
    pub schedule: String,
    /// When that was due, milliseconds since 1970.
    pub due_ms: Option<u64>,
    /// What hosts call its schedule, when they know of it; empty for every other run.
    pub moment: String,
    /// It was made from what hosts did by themselves: its first attempts are heard of, and never sent.
    pub alone: bool,
    /// The run of which it is a step.
    pub parent: Option<RunId>,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// From when its times count: when it began, or was tried again. Milliseconds since 1970.
    pub from_ms: u64,
    /// The sizes of its waves.
    pub waves: Vec<u32>,
    /// A first wave of one was asked for by the guard: when that fails, the run is halted.
    pub first_of_one: bool,
    /// How many failures halt it.
    pub halt_at: Option<u32>,
    /// Bytes of output kept of each target.
    pub keep_output: u64,
    /// How long a host that is gone is waited for, in milliseconds.
    pub patience_ms: u64,
    /// How many targets there are.
    pub targets: u32,
    /// Records that hold them; 0 when they stand in `inline`.
    pub target_pieces: u32,
    /// The targets, when they are few.
    pub inline: Vec<TargetRecord>,
    /// The first so many targets may have been sent together with the head itself.
    pub sent: Vec<(u32, u32)>,
    /// How it stands.
    pub state: RunState,
    /// Why.
    pub why: String,
    /// Filled when it is over.
    pub end: Option<EndRecord>,
    /// Log records when it was over.
    pub log: u32,
}

/// The end of a run: what lists show, so that its log need not be read for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndRecord {
    /// Milliseconds since 1970.
    pub ended_ms: u64,
    /// How its targets ended.
    pub counts: Counts,
    /// Bytes of output kept.
    pub output: u64,
    /// Bytes of output that were not kept.
    pub lost: u64,
    /// The segments that hold its output, first and last.
    pub segments: Option<(u32, u32)>,
}

/// A host of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// Which.
    #[serde(rename = "h")]
    pub host: HostId,
    /// Its name then.
    #[serde(rename = "n", default)]
    pub name: String,
}

/// What changed in a run at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogRecord {
    /// From these targets to those, each including: they may have been sent.
    #[serde(rename = "m", skip_serializing_if = "Vec::is_empty")]
    pub sent: Vec<(u32, u32)>,
    /// Pieces of output, in the order in which they came.
    #[serde(rename = "p", skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<PieceRecord>,
    /// What came of steps, where that is too much for the change that it belongs to, which follows.
    #[serde(rename = "s", skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<(u32, StepsRecord)>,
    /// Targets that changed.
    #[serde(rename = "c", skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeRecord>,
}

/// How a target stands from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangeRecord {
    /// Which, by index.
    #[serde(rename = "i")]
    pub target: u32,
    /// In which attempt.
    #[serde(rename = "a", skip_serializing_if = "is_zero32")]
    pub attempt: u32,
    /// An end; or `queued` for one that is tried again, as attempt `attempt`.
    #[serde(rename = "s")]
    pub state: TargetState,
    /// Its exit code.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Why.
    #[serde(rename = "w", skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When the host had it, milliseconds since 1970.
    #[serde(rename = "b", skip_serializing_if = "Option::is_none")]
    pub sent_ms: Option<u64>,
    /// When it ended, milliseconds since 1970.
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// How long it ran.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Bytes of output that were not kept.
    #[serde(rename = "l", skip_serializing_if = "is_zero64")]
    pub lost: u64,
    /// Tells outputs apart.
    #[serde(rename = "h", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub sum: Vec<u8>,
    /// The host itself said so.
    #[serde(rename = "o", skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
    /// What the host told later of a target that had its end already; that stays as it is.
    #[serde(rename = "z", skip_serializing_if = "Option::is_none")]
    pub late: Option<TargetState>,
    /// What came of steps of a runbook. With `queued`: the next one comes now.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub steps: Option<Box<StepsRecord>>,
}

/// Where a piece of output is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PieceRecord {
    /// Whose, by index.
    #[serde(rename = "i")]
    pub target: u32,
    /// In which attempt.
    #[serde(rename = "a", skip_serializing_if = "is_zero32")]
    pub attempt: u32,
    /// It went to the standard error.
    #[serde(rename = "e", skip_serializing_if = "std::ops::Not::not")]
    pub stderr: bool,
    /// So many bytes before it were not kept.
    #[serde(rename = "g", skip_serializing_if = "is_zero64")]
    pub gap: u64,
    /// How long it is, as it was written there.
    #[serde(rename = "n")]
    pub len: u32,
    /// The segment that holds it.
    #[serde(rename = "s")]
    pub segment: u32,
    /// Where in the segment; `len` 0 is nowhere.
    #[serde(rename = "o")]
    pub offset: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero32(n: &u32) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero64(n: &u64) -> bool {
    *n == 0
}

/// A schedule, and for whom its runs act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleRecord {
    /// The schedule.
    pub schedule: Schedule,
    /// Who made it.
    pub author: Author,
    /// From these moments to those, each including, the hub was away; the newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<(u64, u64)>,
    /// When it was deleted or replaced, milliseconds since 1970; absent while it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_ms: Option<u64>,
}

pub(super) fn schedule_key(name: &str) -> String {
    format!("{}{name}", prefix::RUN_SCHEDULE)
}

/// That an idempotency key was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// For this run.
    pub run: RunId,
    /// Hash of what was asked for with it.
    #[serde(with = "serde_bytes")]
    pub request: Vec<u8>,
    /// When that run was deleted, milliseconds since 1970: the key stays used. Absent while there is the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_ms: Option<u64>,
}

pub(super) fn head_key(run: RunId) -> String {
    format!("{}{run}", prefix::RUN)
}

fn order_key(run: RunId, piece: u32) -> String {
    format!("{}{run}/{piece:04}", prefix::RUN_ORDER)
}

fn targets_key(run: RunId, piece: u32) -> String {
    format!("{}{run}/{piece:06}", prefix::RUN_TARGETS)
}

fn log_key(run: RunId, number: u32) -> String {
    format!("{}{run}/{number:08x}", prefix::RUN_LOG)
}

/// The store's key of an idempotency key, which may be any text. Schedules, and each program, have their own.
pub(super) fn once_key(author: &Author, schedule: &str, key: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    let program = author.key.filter(|_| author.program && schedule.is_empty());
    let program = program.map(|key| key.to_string()).unwrap_or_default();
    for part in [&author.operator, schedule, &program] {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part.as_bytes());
    }
    hasher.update(key.as_bytes());
    format!("{}{}", prefix::RUN_KEY, &hasher.finalize().to_hex()[..32])
}

/// Adds a new run to a batch.
pub(super) fn put_new(
    batch: Batch,
    id: RunId,
    record: &mut RunRecord,
    seats: &[Seat],
) -> Result<Batch, StoreError> {
    let order = codec::encode(&record.start.order)
        .map_err(|e| StoreError::Unwritable(format!("writing the order: {e}")))?;
    let mut batch = batch.if_absent(head_key(id));
    let mut head = record.clone();
    if order.len() > SMALL {
        head.start.order = Order::default();
        for (number, piece) in order.chunks(PIECE).enumerate() {
            head.order_pieces = number as u32 + 1;
            batch = batch.put(order_key(id, number as u32), &serde_bytes::ByteBuf::from(piece));
        }
    }
    let target = |seat: &Seat| TargetRecord { host: seat.host, name: seat.name.to_string() };
    if seats.len() <= FEW {
        head.inline = seats.iter().map(target).collect();
    } else {
        for (number, piece) in seats.chunks(TARGETS).enumerate() {
            head.target_pieces = number as u32 + 1;
            let piece: Vec<_> = piece.iter().map(target).collect();
            batch = batch.put(targets_key(id, number as u32), &piece);
        }
    }
    batch = batch.put(head_key(id), &head);
    (record.order_pieces, record.target_pieces) = (head.order_pieces, head.target_pieces);
    record.inline = head.inline;
    Ok(batch)
}

/// Adds a head that has changed to a batch.
pub(super) fn put_head(batch: Batch, id: RunId, record: &RunRecord) -> Batch {
    if record.order_pieces == 0 {
        return batch.put(head_key(id), record);
    }
    let start = Start { order: Order::default(), ..record.start.clone() };
    batch.put(head_key(id), &RunRecord { start, ..record.clone() })
}

/// Whether a head is small enough to be written anew whenever it changes; why not, for people.
pub(super) fn check_head(record: &RunRecord) -> Result<(), String> {
    let mut record = record.clone();
    if record.order_pieces > 0 {
        record.start.order = Order::default();
    }
    let size = encoded(&record);
    if size <= HEAD {
        return Ok(());
    }
    Err(format!(
        "what was asked for takes {size} bytes beside its order, and at most {HEAD} can be kept: pick hosts by \
         labels instead of by their names, and make fewer waves"
    ))
}

/// Bytes of a value in the store, without what the store adds.
fn encoded<T: Serialize>(value: &T) -> usize {
    codec::encode(value).map_or(usize::MAX, |bytes| bytes.len())
}

/// Log records as they are filled: none becomes larger than the store takes.
struct Pages {
    batch: Batch,
    run: RunId,
    number: u32,
    page: LogRecord,
    size: usize,
}

impl Pages {
    /// Makes room for so many bytes.
    fn room(&mut self, size: usize) -> &mut LogRecord {
        if self.size > 0 && self.size + size > LOG {
            self.turn();
        }
        self.size += size;
        &mut self.page
    }

    fn turn(&mut self) {
        let page = std::mem::take(&mut self.page);
        self.batch = std::mem::take(&mut self.batch).put(log_key(self.run, self.number), &page);
        (self.number, self.size) = (self.number + 1, 0);
    }

    fn change(&mut self, change: &ChangeRecord) {
        let mut change = change.clone();
        if change.why.len() > WHY {
            change.why = cmdr_protocol::display::clean_to_width(&change.why, WHY / 8);
        }
        let mut size = encoded(&change);
        if size > LOG
            && let Some(mut steps) = change.steps.take()
        {
            // The results one after the other, and where the target is now with the change itself.
            for done in std::mem::take(&mut steps.done) {
                let one = StepsRecord { done: vec![done], ..(*steps).clone() };
                self.room(encoded(&one) + RANGE).steps.push((change.target, one));
                steps.from += 1;
            }
            change.steps = Some(steps);
            size = encoded(&change);
        }
        self.room(size).changes.push(change);
    }
}

/// Adds what changed to a batch, in as many records as it takes; the number of the next one.
pub(super) fn put_log(batch: Batch, run: RunId, number: u32, log: &LogRecord) -> (Batch, u32) {
    let mut pages = Pages { batch, run, number, page: LogRecord::default(), size: 0 };
    for sent in &log.sent {
        pages.room(RANGE).sent.push(*sent);
    }
    for piece in &log.pieces {
        pages.room(PLACE).pieces.push(*piece);
    }
    for change in &log.changes {
        pages.change(change);
    }
    if pages.size > 0 {
        pages.turn();
    }
    (pages.batch, pages.number)
}

/// The heads of all runs.
pub(super) fn heads(store: &Store) -> Result<Vec<(RunId, RunRecord)>, StoreError> {
    let mut heads = Vec::new();
    for record in store.scan::<RunRecord>(prefix::RUN)? {
        match record {
            Ok((key, record)) => match key[prefix::RUN.len()..].parse() {
                Ok(id) => heads.push((id, record)),
                Err(e) => tracing::error!("left out: {key}: {e}"),
            },
            Err(e) => tracing::error!("left out: {e}"),
        }
    }
    Ok(heads)
}

/// The head of one run.
pub(super) fn head(store: &Store, id: RunId) -> Result<Option<RunRecord>, StoreError> {
    store.get(&head_key(id))
}

/// Puts an order that is in pieces back into its head.
pub(super) fn fill_order(
    store: &Store,
    id: RunId,
    record: &mut RunRecord,
) -> Result<(), StoreError> {
    if record.order_pieces == 0 {
        return Ok(());
    }
    let damaged = |what: String| StoreError::Damaged { key: order_key(id, 0), what };
    let mut bytes = Vec::new();
    for number in 0..record.order_pieces {
        let piece = store.get::<serde_bytes::ByteBuf>(&order_key(id, number))?;
        bytes.extend_from_slice(&piece.ok_or_else(|| damaged("a piece is missing".to_owned()))?);
    }
    record.start.order = codec::decode(&bytes).map_err(|e| damaged(e.to_string()))?;
    Ok(())
}

/// The targets of a run.
pub(super) fn targets(
    store: &Store,
    id: RunId,
    record: &RunRecord,
) -> Result<Vec<TargetRecord>, StoreError> {
    let mut targets = record.inline.clone();
    for number in 0..record.target_pieces {
        let key = targets_key(id, number);
        let piece = store.get::<Vec<TargetRecord>>(&key)?;
        targets.extend(
            piece.ok_or_else(|| StoreError::Damaged { key, what: "it is missing".to_owned() })?,
        );
    }
    Ok(targets)
}

/// The host of one target, read without the rest of its run.
pub(super) fn host_of(store: &Store, id: RunId, index: u32) -> Result<Option<HostId>, StoreError> {
    let Some(record) = head(store, id)? else { return Ok(None) };
    let index = index as usize;
    if record.target_pieces == 0 {
        return Ok(record.inline.get(index).map(|target| target.host));
    }
    let key = targets_key(id, u32::try_from(index / TARGETS).unwrap_or(u32::MAX));
    let piece = store.get::<Vec<TargetRecord>>(&key)?.unwrap_or_default();
    Ok(piece.get(index % TARGETS).map(|target| target.host))
}

/// The log of a run, oldest first, with the number of the record that comes next.
pub(super) fn log(store: &Store, id: RunId) -> Result<(Vec<LogRecord>, u32), StoreError> {
    let (mut log, mut next) = (Vec::new(), 0);
    for record in store.scan::<LogRecord>(&format!("{}{id}/", prefix::RUN_LOG))? {
        let (key, record) = record?;
        let number = key.rsplit('/').next().and_then(|n| u32::from_str_radix(n, 16).ok());
        next = number.map_or(next, |number| number + 1);
        log.push(record);
    }
    Ok((log, next))
}

/// Adds the removal of everything about a run to a batch, but of its idempotency key.
pub(super) fn delete(mut batch: Batch, id: RunId, record: &RunRecord, log: u32) -> Batch {
    for number in 0..record.order_pieces {
        batch = batch.delete(order_key(id, number));
    }
    for number in 0..record.target_pieces {
        batch = batch.delete(targets_key(id, number));
    }
    for number in 0..log {
        batch = batch.delete(log_key(id, number));
    }
    if record.env {
        batch = batch.delete(environment::key(&environment::of_run(id)));
    }
    batch.delete(head_key(id))
}

impl RunRecord {
    /// As clients see it.
    pub(super) fn shown(&self, id: RunId) -> Run {
        let end = self.end.clone().unwrap_or_default();
        Run {
            id: Some(id),
            state: self.state,
            why: self.why.clone(),
            operator: self.author.operator.clone(),
            what: self.start.order.told(),
            hosts: self.start.hosts.clone(),
            note: self.start.note.clone(),
            schedule: self.schedule.clone(),
            due_ms: self.due_ms,
            alone: self.alone,
            parent: self.parent,
            created_ms: self.created_ms,
            ended_ms: self.end.as_ref().map(|end| end.ended_ms),
            counts: end.counts,
            waves: self.waves.clone(),
            wave: 0,
            output: end.output,
            lost: end.lost,
        }
    }
}

/// What is left in memory of a run that is over: what lists show.
pub(super) fn slim(record: &RunRecord) -> RunRecord {
    let start =
        Start { only: Vec::new(), order: brief(&record.start.order), ..record.start.clone() };
    let (inline, sent) = (Vec::new(), Vec::new());
    RunRecord { start, inline, sent, ..record.clone() }
}

/// What is left of its order.
fn brief(order: &Order) -> Order {
    use cmdr_protocol::runs::{Line, Script};
    let mut brief = order.clone();
    brief.env.clear();
    if let Some(runbook) = &mut brief.runbook {
        runbook.texts.clear();
        runbook.signatures.clear();
    }
    if let Some(script) = &mut brief.script {
        *script =
            Script { name: script.name.clone(), args: script.args.clone(), ..Script::default() };
    }
    if let Some(line) = &mut brief.line {
        *line = Line { text: line.text.chars().take(200).collect() };
    }
    brief
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbooks::Done;

    async fn log_of(log: &LogRecord) -> Vec<LogRecord> {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let run = RunId([1; 8]);
        let (batch, next) = put_log(Batch::new(), run, 0, log);
        store.apply(batch).await.unwrap();
        let (records, following) = super::log(&store, run).unwrap();
        assert_eq!((records.len() as u32, next), (next, following));
        records
    }

    #[tokio::test]
    async fn whatever_happened_at_one_time_fits_into_records() {
        let change = |target| ChangeRecord {
            target,
            state: TargetState::Failed,
            why: "e\u{301}".repeat(40_000),
            sum: vec![255; 16],
            ..ChangeRecord::default()
        };
        let piece = PieceRecord {
            target: u32::MAX,
            attempt: u32::MAX,
            stderr: true,
            gap: u64::MAX,
            len: u32::MAX,
            segment: u32::MAX,
            offset: u32::MAX,
        };
        let log = LogRecord {
            sent: (0..20_000).map(|at| (u32::MAX - at, u32::MAX)).collect(),
            pieces: vec![piece; 20_000],
            changes: (0..100).map(change).collect(),
            ..LogRecord::default()
        };
        let records = log_of(&log).await;
        let all = |one: fn(&LogRecord) -> usize| records.iter().map(one).sum::<usize>();
        assert_eq!(all(|record| record.sent.len()), 20_000);
        assert_eq!(all(|record| record.pieces.len()), 20_000);
        assert_eq!(all(|record| record.changes.len()), 100);
    }

    #[tokio::test]
    async fn results_of_many_steps_come_before_the_change_that_they_belong_to() {
        let done = |at: usize| Done {
            output: format!("{at} {}", "\u{fffd}".repeat(4096)),
            ..Done::default()
        };
        let steps =
            StepsRecord { at: 20, done: (0..20).map(done).collect(), ..StepsRecord::default() };
        let whole = steps.clone();
        let change = ChangeRecord {
            state: TargetState::Ok,
            steps: Some(Box::new(steps)),
            ..ChangeRecord::default()
        };
        let log = LogRecord { changes: vec![change], ..LogRecord::default() };
        let records = log_of(&log).await;
        assert!(records.len() > 1);
        let mut stand = super::super::steps::Stand::default();
        for record in &records {
            for (_, steps) in &record.steps {
                stand.replay(steps);
            }
            for change in &record.changes {
                stand.replay(change.steps.as_ref().unwrap());
            }
        }
        assert_eq!(stand.all(), whole.done);
        assert!(records.last().unwrap().changes[0].state == TargetState::Ok);
    }

    #[test]
    fn schedules_and_programs_have_idempotency_keys_of_their_own() {
        let person =
            Author { operator: "ann".into(), key: Some(KeyId([1; 16])), ..Author::default() };
        let device = Author { key: Some(KeyId([2; 16])), ..person.clone() };
        let program = Author { program: true, ..person.clone() };
        let other = Author { program: true, ..device.clone() };
        let key = |author: &Author, schedule: &str| once_key(author, schedule, "k");
        assert_eq!(key(&person, ""), key(&device, ""), "one operator, whatever device");
        let all = [key(&person, ""), key(&program, ""), key(&other, ""), key(&person, "s")];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(
            key(&program, "s"),
            key(&person, "s"),
            "what begins by the clock is the schedule's"
        );
    }
}
