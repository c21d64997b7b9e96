//! Agents that take orders and run nothing: what they would do is said by the order itself. They keep what an
//! agent keeps on its disk, count how often each order was begun, and can be cut, healed and killed.

use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::blobs::{Have, Put, Stored};
use cmdr_protocol::orders::{
    Cancel, Cancelled, Confirm, Gone, Piece, Report, Take, Taken, Told, Watch,
};
use cmdr_protocol::runs::{Order, TargetState};
use cmdr_protocol::{CallError, ErrorKind};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Reports in one item.
const CHUNK: usize = 200;

/// How many orders agents do at the same time.
#[derive(Debug, Default)]
pub struct AtOnce {
    now: AtomicU32,
    most: AtomicU32,
}

impl AtOnce {
    fn begin(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn end(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }

    /// The most there ever were.
    pub fn most(&self) -> u32 {
        self.most.load(Ordering::SeqCst)
    }
}

/// One agent's orders. Clones share them, as links of one host do.
#[derive(Clone, Debug)]
pub struct Orders {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    state: Mutex<State>,
    change: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    orders: BTreeMap<String, Kept>,
    /// How often each order was begun, for good.
    began: BTreeMap<String, u32>,
    /// Variables of the newest order.
    env: BTreeMap<String, String>,
    /// How each ended whose end was confirmed; `cancelled` for those that must never begin.
    over: BTreeMap<String, TargetState>,
    /// Contents of files that are on their way.
    delivering: u32,
    /// Counts those that end by themselves, while it does them.
    at_once: Option<Arc<AtOnce>>,
    /// Takes what comes, and its answers are lost.
    mute: bool,
    /// Refuses what comes, in these words.
    refuses: Option<CallError>,
}

/// An order that is not confirmed.
#[derive(Clone, Debug, Default)]
struct Kept {
    report: Report,
    output: Vec<u8>,
    /// Bytes the hub has.
    have: usize,
    /// Bytes that were not kept.
    change: u64,
}

impl Orders {
    /// An agent of this name without orders.
    pub fn new(name: &str) -> Self {
        let inner =
            Inner { name: name.to_owned(), state: Mutex::default(), change: watch::Sender::new(0) };
        Self { inner: Arc::new(inner) }
    }

    /// What it answers.
    pub fn service(&self) -> Service<Self> {
        Service::new(self.clone()).on(take).feed(follow).on(cancel).on(has).feed(receives)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often each order was begun.
    pub fn began(&self) -> BTreeMap<String, u32> {
        self.lock().began.clone()
    }

    /// Contents of files that are on their way to it now.
    pub fn delivering(&self) -> u32 {
        self.lock().delivering
    }

    /// From now on what it does is counted together with what others do.
    pub fn count(&self, at_once: &Arc<AtOnce>) {
        self.lock().at_once = Some(at_once.clone());
    }

    /// A variable of the newest order.
    pub fn env(&self, name: &str) -> Option<String> {
        self.lock().env.get(name).cloned()
    }

    /// Orders whose end the hub has not confirmed.
    pub fn unconfirmed(&self) -> usize {
        self.lock().orders.len()
    }

    /// From now on it refuses what is sent.
    pub fn refuse(&self, error: CallError) {
        self.lock().refuses = Some(error);
    }

    /// From now on it takes what is sent, and its answers are lost.
    pub fn mute(&self) {
        self.lock().mute = true;
    }

    /// As if the hub had confirmed all that it has here, and had been restored from a backup since.
    pub fn forget(&self) {
        let mut state = self.lock();
        let orders = std::mem::take(&mut state.orders);
        state.over.extend(orders.into_iter().map(|(id, kept)| (id, kept.report.state)));
    }

    /// Ends an order that waits to be ended.
    pub fn finish(&self, id: &str, state: TargetState, code: i32) {
        self.change(id, |kept| {
            kept.report.state = state;
            kept.report.code = Some(code);
        });
    }

    /// The ids of orders that it is at.
    pub fn running(&self) -> Vec<String> {
        let state = self.lock();
        let running = |(_, kept): &(&String, &Kept)| kept.report.state == TargetState::Running;
        state.orders.iter().filter(running).map(|(id, _)| id.clone()).collect()
    }

    /// As if its process had been killed and had begun anew: what it was at is lost.
    pub fn restart(&self) {
        let running = self.running();
        for id in running {
            self.change(&id, |kept| {
                kept.report.state = TargetState::Lost;
                kept.report.message = "the agent was killed in the middle of it".into();
            });
        }
    }

    fn change(&self, id: &str, what: impl FnOnce(&mut Kept)) {
        let mut state = self.lock();
        let number = self.next();
        if let Some(kept) = state.orders.get_mut(id)
            && !kept.report.state.is_end()
        {
            what(kept);
            kept.report.output = kept.output.len() as u64;
            kept.change = number;
        }
    }

    /// The number of one more change. Asked with the state locked.
    fn next(&self) -> u64 {
        self.inner.change.send_modify(|number| *number += 1);
        *self.inner.change.borrow()
    }

    fn begin(&self, id: String, order: &Order, most: u64) {
        let line = order.line.as_ref().map(|line| line.text.split_whitespace());
        let words = line.map(|words| words.map(str::to_owned).collect());
        let argv = order.command.as_ref().map(|command| command.argv.clone());
        let argv: Vec<String> = argv.or(words).unwrap_or_default();
        let orders = self.clone();
        tokio::spawn(async move { orders.act(&id, &argv, most).await });
    }

    /// Does what the order says: `hostname`, `echo TEXT`, `fail CODE`, `sleep MS`, `nap MS`, `flood BYTES`, `wait` until
    /// the test ends it.
    async fn act(&self, id: &str, argv: &[String], most: u64) {
        *self.lock().began.entry(id.to_owned()).or_default() += 1;
        self.change(id, |kept| kept.report.state = TargetState::Running);
        let at_once =
            self.lock().at_once.clone().filter(|_| argv.first().is_some_and(|a| a != "wait"));
        if let Some(at_once) = &at_once {
            at_once.begin();
        }
        let word = |at: usize| argv.get(at).map_or("", String::as_str);
        let number = || word(1).parse::<u64>().unwrap_or(0);
        let (mut output, mut code, mut lost) = (Vec::new(), 0, 0);
        match word(0) {
            "hostname" => output = format!("{}\n", self.inner.name).into_bytes(),
            "echo" => output = format!("{}\n", argv[1..].join(" ")).into_bytes(),
            "fail" => code = number() as i32,
            "sleep" => tokio::time::sleep(Duration::from_millis(number())).await,
            // As long as its name says, up to so many milliseconds.
            "nap" => {
                let hash = blake3::hash(self.inner.name.as_bytes());
                let share = u64::from(hash.as_bytes()[0]);
                tokio::time::sleep(Duration::from_millis(number() * share / 256)).await;
            }
            "wait" => return,
            "flood" => {
                let keep = number().min(most);
                output = vec![b'x'; keep as usize];
                lost = number() - keep;
            }
            _ => {}
        }
        if let Some(at_once) = &at_once {
            at_once.end();
        }
        self.change(id, |kept| {
            kept.output = output;
            kept.report.state = if code == 0 { TargetState::Ok } else { TargetState::Failed };
            kept.report.code = Some(code);
            kept.report.took_ms = Some(1);
            kept.report.lost = lost;
        });
    }

    /// What changed after a number.
    fn told(&self, after: u64, sent: &mut BTreeMap<String, usize>) -> (Vec<Told>, u64) {
        let state = self.lock();
        let newest = *self.inner.change.borrow();
        let mut items = vec![Told::default()];
        for (id, kept) in state.orders.iter().filter(|(_, kept)| kept.change > after) {
            let from = sent.get(id).copied().unwrap_or(kept.have).min(kept.output.len());
            let mut at = from;
            for data in kept.output[from..].chunks(cmdr_protocol::orders::PIECE) {
                let piece =
                    Piece { id: id.clone(), at: at as u64, data: data.to_vec(), stderr: false };
                at += data.len();
                items.push(Told { pieces: vec![piece], ..Told::default() });
            }
            sent.insert(id.clone(), kept.output.len());
            if items.last().is_none_or(|last| last.reports.len() >= CHUNK) {
                items.push(Told::default());
            }
            if let Some(last) = items.last_mut() {
                last.reports.push(kept.report.clone());
            }
        }
        items.retain(|item| *item != Told::default());
        (items, newest)
    }
}

async fn take(orders: Arc<Orders>, _: Asked, take: Take) -> Result<Taken, CallError> {
    let mut state = orders.lock();
    if let Some(kept) = state.orders.get(&take.id) {
        let taken = Taken { state: kept.report.state, again: true, ..Taken::default() };
        return if state.mute { Err(lost()) } else { Ok(taken) };
    }
    if let Some(over) = state.over.get(&take.id) {
        return Ok(Taken { state: *over, again: true, confirmed: true, instead: None });
    }
    if let Some(error) = &state.refuses {
        return Err(error.clone());
    }
    let report = Report { id: take.id.clone(), state: TargetState::Sent, ..Report::default() };
    let change = orders.next();
    state.env.clone_from(&take.order.env);
    state.orders.insert(take.id.clone(), Kept { report, change, ..Kept::default() });
    let mute = state.mute;
    drop(state);
    orders.begin(take.id, &take.order, take.output.unwrap_or(1 << 20));
    if mute { Err(lost()) } else { Ok(Taken { state: TargetState::Sent, ..Taken::default() }) }
}

fn lost() -> CallError {
    CallError::new(ErrorKind::Lost, "the answer was lost on the way")
}

async fn cancel(orders: Arc<Orders>, _: Asked, cancel: Cancel) -> Result<Cancelled, CallError> {
    let mut gone = Vec::new();
    for id in cancel.ids {
        {
            let mut state = orders.lock();
            if !state.orders.contains_key(&id) {
                let over = *state.over.entry(id.clone()).or_insert(TargetState::Cancelled);
                gone.push(Gone { id, state: over });
                continue;
            }
        }
        orders.change(&id, |kept| {
            kept.report.state = TargetState::Cancelled;
            kept.report.message.clone_from(&cancel.why);
        });
    }
    Ok(Cancelled { gone })
}

async fn follow(
    orders: Arc<Orders>,
    _: Asked,
    watch: Watch,
    mut feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let mut changes = orders.inner.change.subscribe();
    let mut sent: BTreeMap<String, usize> =
        watch.have.iter().map(|have| (have.id.clone(), have.bytes as usize)).collect();
    let sender = feeding.sender();
    let telling = async {
        let (mut after, mut first) = (0, true);
        // Whatever was kept is told, however old it is.
        loop {
            changes.borrow_and_update();
            let (mut items, newest) = orders.told(after, &mut sent);
            after = newest;
            if first {
                items.push(Told { all: true, ..Told::default() });
                first = false;
            }
            for item in &items {
                sender.send(item).await?;
            }
            if changes.changed().await.is_err() {
                return Ok::<(), CallError>(());
            }
        }
    };
    let hearing = async {
        loop {
            let confirm: Confirm = feeding.input().await?;
            let mut state = orders.lock();
            for have in confirm.have {
                if let Some(kept) = state.orders.get_mut(&have.id) {
                    kept.have = kept.have.max(have.bytes as usize);
                }
            }
            for id in confirm.over {
                if let Some(kept) = state.orders.remove(&id) {
                    state.over.insert(id, kept.report.state);
                }
            }
        }
    };
    tokio::select! {
        ended = telling => ended,
        ended = hearing => ended,
    }
}

/// It has no content of any file.
async fn has(_: Arc<Orders>, _: Asked, _: Have) -> Result<Stored, CallError> {
    Ok(Stored::default())
}

/// Takes a content as a disk that stands still does: all that comes, and never to an end.
async fn receives(
    orders: Arc<Orders>,
    _: Asked,
    _: Put,
    mut feeding: Feeding<Put>,
) -> Result<(), CallError> {
    feeding.send(&Stored::default()).await?;
    orders.lock().delivering += 1;
    // Also when this is dropped because whoever sent it does not want it any more.
    let _coming = Coming(orders);
    loop {
        feeding.input().await?;
    }
}

/// A content that is on its way until this is dropped.
struct Coming(Arc<Orders>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.lock().delivering -= 1;
    }
}
