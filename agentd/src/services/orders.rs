//! Orders of runs: each is on disk before it is acknowledged, begins at most once, and how it ended is kept until the
//! hub has it on its own disk. No link has to be up for any of it.
//!
//! `ledger` is what is known, `journal` and `spool` are the disk, `doing` does what an order says, `tell` says it to
//! the hub, `schedules` begins orders while there is no hub.

mod doing;
mod journal;
mod ledger;
mod packages;
mod push;
mod schedules;
mod spool;
mod tell;

use crate::Agent;
use cmdr_link::clock;
use cmdr_link::service::{Asked, Service};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::orders::{
    self, Cancel, Cancelled, Gone, Kept, Report, Schedules, Take, Taken, Unkept,
};
use cmdr_protocol::runs::{Order, TargetState};
use cmdr_protocol::{CallError, ErrorKind};
use doing::Doing;
use ledger::{Known, Ledger, Why, lock};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Changes of a running order are told together with others that come within so long. Ends are told at once.
const TOGETHER: Duration = Duration::from_millis(20);
/// A program that runs longer than this is told to be running.
const SHORT: Duration = Duration::from_millis(50);
/// How an order ended is on disk so long after it, unless the hub has it by then.
const SYNC_AFTER: Duration = Duration::from_secs(1);
/// An agent that stops waits so long for what it ends.
const STOP: Duration = Duration::from_secs(4);

/// The orders of one host.
#[derive(Debug)]
pub(crate) struct Orders {
    dir: PathBuf,
    ledger: OnceLock<Mutex<Ledger>>,
    /// The number of the last change.
    news: watch::Sender<u64>,
    /// Hubs that watch, and since when there is none.
    watchers: AtomicUsize,
    alone_since: Mutex<Option<Instant>>,
    schedules: schedules::Kept,
    /// One package manager at a time.
    packages: tokio::sync::Mutex<()>,
}

impl Orders {
    pub(crate) fn new(config: &crate::Config) -> Self {
        let dir = config.state_dir.join("orders");
        Self {
            schedules: schedules::Kept::new(dir.join("schedules")),
            dir,
            ledger: OnceLock::new(),
            news: watch::Sender::new(0),
            watchers: AtomicUsize::new(0),
            alone_since: Mutex::new(Some(Instant::now())),
            packages: tokio::sync::Mutex::default(),
        }
    }

    /// What is known; read from the disk the first time somebody asks.
    fn ledger(&self, agent: &Agent) -> std::sync::MutexGuard<'_, Ledger> {
        lock(self.ledger.get_or_init(|| Mutex::new(Ledger::open(agent, &self.dir))))
    }

    fn tell(&self, version: u64) {
        self.news.send_if_modified(|news| {
            *news < version && {
                *news = version;
                true
            }
        });
    }
}

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(take).feed(tell::watch).on(cancel).on(schedules)
}

/// Takes up what an earlier agent left: orders that are lost, schedules that go on.
pub(crate) fn resume(agent: &Agent) {
    drop(agent.orders().ledger(agent));
    schedules::resume(agent);
}

/// Ends what runs because the agent stops, and waits until that is written down.
pub(crate) async fn stop(agent: &Agent) {
    let Some(ledger) = agent.orders().ledger.get() else { return };
    let open = |ledger: &Ledger| {
        ledger.orders.values().filter(|entry| !entry.report.state.is_end()).count()
    };
    let mut news = agent.orders().news.subscribe();
    for entry in lock(ledger).orders.values() {
        entry.stop.send_if_modified(|why| {
            why.is_none() && {
                *why = Some(Why::AgentStops);
                true
            }
        });
    }
    let over = async { while open(&lock(ledger)) > 0 && news.changed().await.is_ok() {} };
    if tokio::time::timeout(STOP, over).await.is_err() {
        tracing::warn!("an order does not end; the next start of the agent says that it is lost");
    }
    let file = lock(ledger).handle();
    if let Some(file) = file {
        drop(tokio::task::spawn_blocking(move || file.sync_data()).await);
    }
}

async fn take(agent: Arc<Agent>, asked: Asked, take: Take) -> Result<Taken, CallError> {
    let by = asked.caller.as_ref().map_or("", |caller| caller.operator.as_str());
    accept(&agent, take, by.to_owned()).await
}

/// Takes an order, whoever it is from. It goes on also when nobody waits for the answer any more.
async fn accept(agent: &Agent, take: Take, by: String) -> Result<Taken, CallError> {
    check(agent, &take)?;
    let known = {
        let mut ledger = agent.orders().ledger(agent);
        if let Some(taken) = known(&ledger, &take) {
            Ok((taken, ledger.handle()))
        } else {
            let at_ms = clock::now_ms();
            let taken = journal::Taken { take: take.clone(), by, at_ms, ..Default::default() };
            Err(ledger.take(taken)?)
        }
    };
    let file = match known {
        Ok((taken, file)) => {
            // It may be another stream that has taken it a moment ago, and is not done yet.
            if let Some(file) = file {
                synced(file).await.map_err(|e| CallError::failed(format!("syncing: {e}")))?;
            }
            return Ok(taken);
        }
        Err(file) => file,
    };
    let (agent, id) = (agent.clone(), take.id.clone());
    let deadline = take.deadline_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
    // Not the caller's: what is in the journal goes its way when the link is cut here.
    let taking = tokio::spawn(async move {
        if let Err(e) = synced(file).await {
            return Err(agent.orders().ledger(&agent).untake(&id, &e));
        }
        tokio::spawn(attend(agent, take, deadline));
        Ok(())
    });
    taking.await.map_err(|e| CallError::failed(format!("a fault of the agent: {e}")))??;
    Ok(Taken { state: TargetState::Sent, ..Taken::default() })
}

async fn synced(file: Arc<std::fs::File>) -> std::io::Result<()> {
    let sync = tokio::task::spawn_blocking(move || file.sync_data());
    sync.await.unwrap_or_else(|e| Err(std::io::Error::other(e)))
}

/// The answer to one that had been taken, or done, or cancelled before it came.
fn known(ledger: &Ledger, take: &Take) -> Option<Taken> {
    let answer = |known| match known {
        Known::Here(state) => Taken { state, again: true, ..Taken::default() },
        Known::Over(state) => Taken { state, again: true, confirmed: true, instead: None },
    };
    if let Some(known) = ledger.known(&take.id) {
        return Some(answer(known));
    }
    let own = ledger.done_for(take.occurrence.as_ref()?)?;
    let known = ledger.known(own)?;
    Some(Taken { instead: Some(own.clone()), ..answer(known) })
}

/// Whether an order makes sense here and the host's owner lets such be done, before anything of it is kept.
fn check(agent: &Agent, take: &Take) -> Result<(), CallError> {
    if !orders::is_id(&take.id) {
        return Err(CallError::malformed("an order is named by letters, digits, '.', '-' and '_'"));
    }
    let order = &take.order;
    order.check().map_err(CallError::malformed)?;
    let policy = agent.policy();
    if let Some(push) = &order.push {
        // Who switched a feature off meant what orders do of the same kind.
        policy.allows_method("files.write")?;
        push::check(push)?;
    }
    if order.push.as_ref().is_none_or(|push| push.then.is_some()) {
        policy.allows_method("exec.start")?;
    }
    if let Some(packages) = &order.packages {
        packages::check(packages)?;
    }
    if order.runbook.is_some() {
        return Err(CallError::malformed(
            "a runbook is not an order for a host: the hub sends its steps",
        ));
    }
    doing::check_lines(order)
}

/// Does one order, from where it is the host's to where its end is written down.
async fn attend(agent: Agent, take: Take, deadline: Option<Instant>) {
    let Take { id, order, .. } = take;
    let Some((stop, spool)) = ({
        let ledger = agent.orders().ledger(&agent);
        ledger.orders.get(&id).map(|entry| (entry.stop.subscribe(), entry.spool.clone()))
    }) else {
        return;
    };
    let begun = Instant::now();
    let mut doing = Doing::new(&agent, &id, spool, stop, deadline);
    let shown = clean_to_width(&order.told(), 120);
    tracing::info!(id, order = shown, "order taken");
    let done = doing.order(&order).await;
    let mut report = doing.report(&order, done);
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(id, state = %report.state, code = report.code, took_ms, "order ended");
    let version = {
        let mut ledger = agent.orders().ledger(&agent);
        report.began_ms = ledger
            .orders
            .get(&id)
            .and_then(|entry| entry.report.began_ms)
            .filter(|_| doing.has_begun());
        ledger.end(&id, report);
        ledger.version()
    };
    agent.orders().tell(version);
    tokio::time::sleep(SYNC_AFTER).await;
    let files = agent.orders().ledger(&agent).unsynced(&id);
    let sync =
        tokio::task::spawn_blocking(move || files.iter().try_for_each(|file| file.sync_data()));
    if let Ok(Err(e)) = sync.await {
        tracing::error!(id, "syncing how an order ended: {e}");
    }
}

/// Has a change of a running order told, together with what else comes within so long.
fn soon(agent: &Agent, id: &str, after: Duration) {
    if !agent.orders().ledger(agent).soon(id) {
        return;
    }
    let (agent, id) = (agent.clone(), id.to_owned());
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        let version = {
            let mut ledger = agent.orders().ledger(&agent);
            ledger.touch_late(&id);
            ledger.version()
        };
        agent.orders().tell(version);
    });
}

async fn cancel(agent: Arc<Agent>, asked: Asked, cancel: Cancel) -> Result<Cancelled, CallError> {
    if let Some(bad) = cancel.ids.iter().find(|id| !orders::is_id(id)) {
        let shown = clean_to_width(bad, 80);
        return Err(CallError::malformed(format!("'{shown}' names no order")));
    }
    let by = asked.caller.as_ref().map_or("", |caller| caller.operator.as_str());
    tracing::info!(
        by,
        orders = cancel.ids.len(),
        why = clean_to_width(&cancel.why, 120),
        "orders cancelled"
    );
    let (file, gone) = {
        let mut ledger = agent.orders().ledger(&agent);
        let (mut barred, mut gone) = (false, Vec::new());
        for id in &cancel.ids {
            if let Some(entry) = ledger.orders.get(id) {
                let why = Why::Cancelled(cancel.why.clone());
                entry.stop.send_if_modified(|now| {
                    now.is_none() && {
                        *now = Some(why);
                        true
                    }
                });
                continue;
            }
            let state = if let Some(Known::Over(state)) = ledger.known(id) {
                state
            } else {
                ledger.bar(id);
                barred = true;
                TargetState::Cancelled
            };
            gone.push(Gone { id: id.clone(), state });
        }
        (ledger.handle().filter(|_| barred), gone)
    };
    if let Some(file) = file {
        synced(file).await.map_err(|e| {
            CallError::new(
                ErrorKind::Failed,
                format!("writing down that orders are cancelled: {e}"),
            )
        })?;
    }
    Ok(Cancelled { gone })
}

async fn schedules(agent: Arc<Agent>, _: Asked, all: Schedules) -> Result<Kept, CallError> {
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    for schedule in all.schedules {
        let sample = Take { id: "x".into(), order: schedule.order.clone(), ..Take::default() };
        match check(&agent, &sample) {
            Ok(()) => kept.push(schedule),
            Err(e) => refused.push(Unkept { id: schedule.id, why: e.message }),
        }
    }
    // What is refused now was perhaps allowed before: the others take the place of all there were.
    schedules::replace(&agent, Schedules { schedules: kept }).await?;
    Ok(Kept { refused })
}

/// A hub that watches; there is one less when it is dropped.
struct Watcher(Agent);

impl Watcher {
    fn new(agent: &Agent) -> Self {
        agent.orders().watchers.fetch_add(1, Ordering::Relaxed);
        *lock(&agent.orders().alone_since) = None;
        Self(agent.clone())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.0.orders().watchers.fetch_sub(1, Ordering::Relaxed) == 1 {
            *lock(&self.0.orders().alone_since) = Some(Instant::now());
        }
    }
}

/// A report of how something ended.
fn ended(state: TargetState, message: impl Into<String>) -> Report {
    Report { state, message: message.into(), ..Report::default() }
}

/// The same order as what one program of the `exec` feature is asked with.
fn program(order: &Order, argv: Vec<String>) -> cmdr_protocol::exec::Start {
    cmdr_protocol::exec::Start {
        argv,
        script: None,
        stdin: false,
        env: order.env.clone(),
        user: order.user.clone(),
        cwd: order.cwd.clone(),
        timeout_ms: order.timeout_ms,
    }
}

#[cfg(test)]
mod tests;
