//! Runs: one order to many hosts, of which none is forgotten and none does it twice.
//!
//! A run and its targets are on disk before anybody hears of it, and that a target may have been sent before
//! it is. Its host has the order on its own disk before it says so, and keeps what came of it until the hub has
//! that on disk (`keeper`). After a cut or a crash of either side both say what they have, and go on
//! (`links`). What a host never hears of has not been done there; what it may have heard of is never sent
//! under another name, unless somebody asks for a retry.
//!
//! Asked by [`crate::services`]; told of links by [`crate::server`].

mod alone;
mod briefs;
mod calendar;
mod delete;
mod dispatch;
mod environment;
mod guard;
mod handed;
mod happens;
mod hearing;
mod keeper;
#[cfg(test)]
mod lab;
mod links;
mod lists;
mod live;
mod playbooks;
mod purge;
mod records;
mod retention;
mod schedules;
mod seat;
mod segments;
mod signed;
mod start;
mod steps;
mod times;
mod told;
mod views;

use briefs::Briefs;

pub use environment::EnvRecord;
pub(crate) use environment::KEEPER as ENVIRONMENT;
pub(crate) use guard::Picked;
pub use handed::HandedRecord;
pub use live::Live;
pub(crate) use live::wave_of;
pub use records::{Author, KeyRecord, LogRecord, RunRecord, ScheduleRecord, TargetRecord};
pub use start::Origin;
pub use steps::StepsRecord;
pub use views::{Sees, View};

use crate::config;
use crate::server::Hub;
use crate::store::{Store, StoreError};
use cmdr_protocol::events::What;
use cmdr_protocol::runs::RunState;
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{CallError, ErrorKind, HostId, RunId, orders};
use handed::Handed;
use hearing::Rooms;
use keeper::{HeadChange, Keeper, News};
use live::ByHost;
use playbooks::Playing;
use schedules::Schedules;
use seat::Seat;
use segments::Segments;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

/// Runs that are over and are remembered with all their targets, because somebody looked at them.
const REMEMBERED: usize = 16;
/// Ends of runs that somebody who listens may not have heard yet.
const ENDS: usize = 1024;

/// What is configured, ready for use.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    confirm_above: u32,
    protected: Option<Selector>,
    patience: Duration,
    rejoin: Duration,
    late_ms: u64,
    keep_days: u64,
    keep: usize,
    keep_bytes: u64,
    keep_output: u64,
    run_output: u64,
    free: u64,
}

impl Settings {
    fn of(config: &config::Runs) -> Self {
        let protected = config.protected.trim();
        Self {
            confirm_above: config.confirm_above,
            // What is no selector was refused with the configuration.
            protected: Selector::parse(protected).ok().filter(|_| !protected.is_empty()),
            patience: Duration::from_secs(config.patience_s),
            rejoin: Duration::from_secs(config.rejoin_s),
            late_ms: config.late_s.saturating_mul(1000),
            keep_days: config.keep_days,
            keep: usize::try_from(config.keep.get()).unwrap_or(usize::MAX),
            keep_bytes: config.keep_mb.saturating_mul(1 << 20),
            keep_output: config.target_output_kb.saturating_mul(1024).min(orders::MAX_OUTPUT),
            run_output: config.run_output_mb.saturating_mul(1 << 20),
            free: config.free_mb.saturating_mul(1 << 20),
        }
    }
}

/// All runs.
#[derive(Debug)]
pub struct Runs {
    store: Store,
    dir: PathBuf,
    settings: Settings,
    hub: OnceLock<Weak<Hub>>,
    queue: mpsc::Sender<News>,
    rooms: Rooms,
    /// Given to the keeper when the hub begins to serve.
    waiting: Mutex<Option<mpsc::Receiver<News>>>,
    state: Mutex<State>,
    by_host: Mutex<ByHost>,
    pumps: Mutex<HashSet<RunId>>,
    pump: Notify,
    tick: Notify,
    schedules: Mutex<Schedules>,
    schedule: Notify,
    /// Steps that the hub does itself.
    playing: Playing,
    handed: Mutex<Handed>,
    hand: Notify,
    ends: broadcast::Sender<RunId>,
    /// Runs that were deleted.
    gone: broadcast::Sender<RunId>,
    /// Counts changes of lists.
    lists: watch::Sender<u64>,
    began: Instant,
    /// Tells cursors of this hub's life from those of another.
    epoch: u64,
}

#[derive(Debug, Default)]
struct State {
    /// Those that go on.
    open: HashMap<RunId, Arc<Live>>,
    /// Every run that is over, as lists show it.
    over: HashMap<RunId, Arc<RunRecord>>,
    /// Some of these with their targets, oldest look first.
    looked: Vec<Arc<Live>>,
    /// All of these that somebody holds.
    held: HashMap<RunId, Weak<Live>>,
    /// What lists show of some of these to whoever may not see all of it.
    briefs: Briefs,
    /// Hosts whose link ended a moment ago.
    dropped: HashMap<HostId, Instant>,
}

impl State {
    /// A run that is in memory.
    fn here(&mut self, id: RunId) -> Option<Arc<Live>> {
        if let Some(live) = self.open.get(&id) {
            return Some(live.clone());
        }
        let live = self.held.get(&id)?.upgrade()?;
        self.remember(&live);
        Some(live)
    }

    /// Keeps a run that is over in memory until enough others were looked at.
    fn remember(&mut self, live: &Arc<Live>) {
        self.looked.retain(|one| one.id != live.id);
        if self.looked.len() >= REMEMBERED {
            self.looked.remove(0);
        }
        self.looked.push(live.clone());
        self.held.retain(|_, held| held.strong_count() > 0);
        self.held.insert(live.id, Arc::downgrade(live));
    }
}

/// The folder of the output of runs, beside that of the audit log.
pub fn folder(audit: &Path) -> PathBuf {
    audit.parent().unwrap_or(audit).join("runs")
}

/// The files of the output of runs, each with its number.
pub fn output(audit: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    match segments::numbers(&folder(audit)) {
        Ok(numbers) => Ok(numbers
            .into_iter()
            .map(|number| (u64::from(number), output_path(audit, number.into())))
            .collect()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

/// The file of output of this number.
pub fn output_path(audit: &Path, number: u64) -> PathBuf {
    segments::path(&folder(audit), u32::try_from(number).unwrap_or(u32::MAX))
}

/// The name that a host knows a target's attempt by.
fn order_id(run: RunId, target: u32, attempt: u32) -> String {
    format!("{run}.{target}.{attempt}")
}

fn parse_id(id: &str) -> Option<(RunId, u32, u32)> {
    let mut parts = id.split('.');
    let run = parts.next()?.parse().ok()?;
    let target = parts.next()?.parse().ok()?;
    let attempt = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((run, target, attempt))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
fn busy(error: StoreError) -> CallError {
    CallError::new(ErrorKind::Busy, error.to_string())
}

impl Runs {
    /// Reads what there is; those that go on do so when the hub serves.
    pub fn load(
        store: Store,
        dir: PathBuf,
        config: &config::Runs,
    ) -> Result<Arc<Self>, StoreError> {
        let settings = Settings::of(config);
        let mut state = State::default();
        let mut by_host = ByHost::default();
        for (id, record) in records::heads(&store)? {
            if record.end.is_some() {
                state.over.insert(id, Arc::new(records::slim(&record)));
                continue;
            }
            match restore(&store, id, record) {
                Ok(live) => {
                    let inner = live.lock();
                    for (index, seat) in inner.seats.iter().enumerate() {
                        if seat.is_out() {
                            by_host.add(seat.host, &live, index as u32);
                        }
                    }
                    drop(inner);
                    state.open.insert(id, live);
                }
                Err(e) => tracing::error!("the run {id} is left out: {e}"),
            }
        }
        let (queue, waiting) = mpsc::channel(keeper::QUEUE);
        Ok(Arc::new(Self {
            dir,
            settings,
            hub: OnceLock::new(),
            queue,
            rooms: Rooms::default(),
            waiting: Mutex::new(Some(waiting)),
            state: Mutex::new(state),
            by_host: Mutex::new(by_host),
            pumps: Mutex::default(),
            pump: Notify::new(),
            tick: Notify::new(),
            schedules: Mutex::new(schedules::load(&store)?),
            schedule: Notify::new(),
            playing: Playing::default(),
            handed: Mutex::new(handed::load(&store)?),
            hand: Notify::new(),
            ends: broadcast::channel(ENDS).0,
            gone: broadcast::channel(ENDS).0,
            lists: watch::Sender::new(0),
            began: Instant::now(),
            epoch: cmdr_link::clock::now_ms(),
            store,
        }))
    }

    /// Goes on with what goes on, until it is dropped.
    pub async fn serve(self: &Arc<Self>, hub: &Arc<Hub>) {
        // A hub serves once.
        drop(self.hub.set(Arc::downgrade(hub)));
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(queue) = waiting else { return };
        let segments = loop {
            match Segments::open(&self.dir) {
                Ok(segments) => break segments,
                Err(e) => tracing::error!("the folder of the output of runs: {e}"),
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        };
        self.clear_playbooks().await;
        let open: Vec<_> = self.state().open.values().cloned().collect();
        for live in open {
            self.take_up(&live);
        }
        let keeper = Keeper::new(self.clone(), segments);
        tokio::join!(
            keeper.run(queue),
            self.pumping(),
            self.ticking(),
            self.scheduling(),
            self.handing()
        );
    }

    /// Goes on with a run from before the hub began.
    fn take_up(&self, live: &Arc<Live>) {
        let mut inner = live.lock();
        Self::set_times(&mut inner);
        for index in 0..inner.seats.len() {
            let seat = &inner.seats[index];
            // One that has told all it had by now is there: whoever takes it up waits for this lock, or is done.
            if seat.is_out() && !self.handed().listening.contains(&seat.host) {
                inner.is_away(index);
            }
        }
        drop(inner);
        self.pump_soon(live);
        self.tick.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_host(&self) -> MutexGuard<'_, ByHost> {
        self.by_host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn schedules(&self) -> MutexGuard<'_, Schedules> {
        self.schedules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hub(&self) -> Option<Arc<Hub>> {
        self.hub.get()?.upgrade()
    }

    /// A run that goes on.
    fn open(&self, id: RunId) -> Option<Arc<Live>> {
        self.state().open.get(&id).cloned()
    }

    /// A run with its targets, whether it goes on or is over. There are never two of one in memory.
    pub fn find(&self, id: RunId) -> Result<Option<Arc<Live>>, StoreError> {
        loop {
            let over = {
                let mut state = self.state();
                if let Some(live) = state.here(id) {
                    return Ok(Some(live));
                }
                let Some(over) = state.over.get(&id) else { return Ok(None) };
                over.clone()
            };
            let Some(record) = records::head(&self.store, id)? else { return Ok(None) };
            let live = restore(&self.store, id, record)?;
            let mut state = self.state();
            // Somebody else may have been quicker, and it may have gone on and ended again meanwhile.
            if let Some(live) = state.here(id) {
                return Ok(Some(live));
            }
            if state.over.get(&id).is_some_and(|now| Arc::ptr_eq(now, &over)) {
                state.remember(&live);
                return Ok(Some(live));
            }
        }
    }

    /// Whether a run that goes on, a step of one, or a schedule needs the content of a file.
    pub fn needs_blob(&self, hash: &str) -> bool {
        if self.schedules_need(hash) {
            return true;
        }
        let open: Vec<_> = self.state().open.values().cloned().collect();
        open.iter().any(|live| {
            let inner = live.lock();
            inner.record.start.order.push.as_ref().is_some_and(|push| push.file == hash)
        })
    }

    /// Hears of the ends of runs, in the order in which they come. Whoever was not listening finds the rest in
    /// the list.
    pub fn ends(&self) -> broadcast::Receiver<RunId> {
        self.ends.subscribe()
    }

    /// A run is over, on disk.
    fn close(&self, live: &Arc<Live>) {
        let slim = records::slim(&live.lock().record);
        {
            let mut state = self.state();
            state.open.remove(&live.id);
            state.over.insert(live.id, Arc::new(slim));
            state.remember(live);
        }
        self.happened(What::RunEnded, live);
        // Nobody may be listening.
        drop(self.ends.send(live.id));
    }

    /// Puts a run that is over among those that go on, for a retry; not one that is not kept any more. The keeper's
    /// alone to ask, who knows that it is over.
    fn reopen(&self, live: &Arc<Live>) -> bool {
        let mut state = self.state();
        if state.over.remove(&live.id).is_none() {
            return false;
        }
        state.looked.retain(|one| one.id != live.id);
        state.briefs.remove(live.id);
        state.open.insert(live.id, live.clone());
        true
    }

    /// Has the keeper change a run as such; done when it is on disk.
    async fn change(&self, live: &Arc<Live>, change: HeadChange) -> Result<(), CallError> {
        let (done, result) = oneshot::channel();
        let stopping = || CallError::new(ErrorKind::Busy, "the hub is stopping");
        let news = News::Head { live: live.clone(), change, done };
        self.queue.send(news).await.map_err(|_| stopping())?;
        result.await.map_err(|_| stopping())?.map_err(|what| {
            CallError::new(ErrorKind::Conflict, format!("{what} (run {})", live.id))
        })
    }

    /// Stops a run everywhere.
    pub async fn stop(&self, live: &Arc<Live>, why: &str) -> Result<(), CallError> {
        self.change(live, HeadChange::Stop(why.to_owned())).await
    }

    /// Sends nothing more of a run for now.
    pub async fn pause(&self, live: &Arc<Live>, why: &str) -> Result<(), CallError> {
        self.change(live, HeadChange::Pause(why.to_owned())).await
    }

    /// Goes on with a run that was paused.
    pub async fn resume(&self, live: &Arc<Live>) -> Result<(), CallError> {
        self.change(live, HeadChange::Resume).await
    }

    /// What follows when a run as such has changed, on disk.
    fn after_head(self: &Arc<Self>, live: &Arc<Live>) {
        let state = live.lock().record.state;
        match state {
            RunState::Stopping => self.cancel_out(live, "the run was stopped"),
            RunState::Running => self.pump_soon(live),
            _ => {}
        }
        self.tick.notify_one();
    }
}

/// A run as it is on disk.
fn restore(store: &Store, id: RunId, mut record: RunRecord) -> Result<Arc<Live>, StoreError> {
    records::fill_order(store, id, &mut record)?;
    let targets = records::targets(store, id, &record)?;
    let seats = targets.iter().enumerate().map(|(index, target)| {
        let wave = live::wave_of(&record.waves, index as u32);
        Seat::new(target.host, &target.name, wave)
    });
    let seats = seats.collect();
    let (log, next) = records::log(store, id)?;
    let live = Live::new(id, record, seats, &log, next);
    for seat in &mut live.lock().seats {
        seat.asked = seat.marked;
    }
    Ok(Arc::new(live))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::Lab;

    #[tokio::test]
    async fn a_host_that_was_quicker_than_the_hub_is_not_away() {
        let lab = Lab::new();
        let live = lab.sent().await;
        let again = lab.again(live.id);
        lab.hub.runs.listens(lab.hosts[0]);
        lab.hub.runs.take_up(&again);
        assert!(again.lock().seats[0].away.is_none());
        // And one that was not is.
        lab.hub.runs.handed().forget_link(lab.hosts[0]);
        lab.hub.runs.take_up(&again);
        assert!(again.lock().seats[0].away.is_some());
    }
}
