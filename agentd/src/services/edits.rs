//! Edits of text files: opened, saved, kept as versions, and undone by the agent alone when they were armed and
//! nobody confirmed them.
//!
//! One edit after the other: whoever changes a file holds the ledger, on a thread that may wait for the disk. Armed
//! ones have a task each that wakes at the end of their time; what is on disk (`intents`) makes them survive the
//! agent. `services/environment` saves through [`work`] too.

mod check;
mod intents;
mod kept;
mod save;

use crate::Agent;
use crate::agent::Config;
use crate::services::files::whole::Whole;
use cmdr_link::packed::{pack, unpack};
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::edits::{
    Armed, ArmedEnd, Came, Confirm, Ended, Kept, Listing, NOTE, OfVersion, Open, Opened, Pending,
    Restore, Revert, Save, Saving, State, Versions,
};
use cmdr_protocol::{CallError, ErrorKind};
use intents::{Intent, Intents};
pub(super) use save::{Expected, Order};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

/// Edits that wait to be confirmed at most.
const ARMED: usize = 64;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Edits {
    ledger: Arc<Mutex<Ledger>>,
    told: watch::Sender<Arc<Told>>,
}

/// What watchers are told.
#[derive(Debug, Default)]
struct Told {
    armed: Vec<(Armed, Instant)>,
    ended: Vec<Ended>,
}

/// An edit that waits to be confirmed.
#[derive(Debug)]
struct Waiting {
    intent: Intent,
    until: Instant,
    /// Why the last try to undo it did not work.
    trouble: String,
    /// A task waits for its end.
    has_task: bool,
}

/// All that there is about edits, held by whoever changes something.
#[derive(Debug)]
pub(super) struct Ledger {
    versions: kept::Versions,
    intents: Intents,
    waiting: Vec<Waiting>,
    ends: VecDeque<Ended>,
    /// What an earlier agent left has been looked at.
    is_awake: bool,
}

impl Edits {
    pub(crate) fn new(config: &Config) -> Self {
        let dir = config.state_dir.join("edits");
        let ledger = Ledger {
            versions: kept::Versions::new(dir.join("versions")),
            intents: Intents::new(dir.join("armed")),
            waiting: Vec::new(),
            ends: VecDeque::new(),
            is_awake: false,
        };
        let (told, _) = watch::channel(Arc::default());
        Self { ledger: Arc::new(Mutex::new(ledger)), told }
    }
}

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service
        .on(open)
        .on(save)
        .on(confirm)
        .on(revert)
        .feed(pending)
        .on(versions)
        .on(version)
        .on(restore)
}

/// Takes up what an earlier agent left: undoes what is overdue, goes on waiting for the rest.
pub(crate) async fn resume(agent: &Agent) {
    if let Err(e) = work(agent, |_, _| Ok(())).await {
        tracing::error!("edits of an earlier agent were not looked at: {e}");
    }
}

/// Does something with the ledger, on a thread that may wait for the disk.
pub(super) async fn work<T: Send + 'static>(
    agent: &Agent,
    work: impl FnOnce(&Agent, &mut Ledger) -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    let mut ledger = agent.edits().ledger.clone().lock_owned().await;
    let held = agent.clone();
    // Not dropped half-way when the caller goes: a thread ends what it has begun.
    let done = tokio::task::spawn_blocking(move || {
        if !ledger.is_awake {
            ledger.wake(&held);
        }
        let result = work(&held, &mut ledger);
        ledger.tell(&held);
        let untended: Vec<_> = ledger.waiting.iter_mut().filter(|one| !one.has_task).collect();
        let mut ids = Vec::new();
        for one in untended {
            one.has_task = true;
            ids.push(one.intent.id.clone());
        }
        (result, ids)
    });
    let tended = agent.clone();
    // A task of its own, for the same reason.
    let tended = tokio::spawn(async move {
        let (result, ids) = done.await.ok()?;
        for id in ids {
            tokio::spawn(tend(tended.clone(), id));
        }
        Some(result)
    });
    let fault = || CallError::failed("a fault of the agent, which its log tells");
    tended.await.ok().flatten().unwrap_or_else(|| Err(fault()))
}

/// Waits for the end of an edit's time and undoes it then.
fn tend(agent: Agent, id: String) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        loop {
            let until = {
                let ledger = agent.edits().ledger.lock().await;
                let one = ledger.waiting.iter().find(|one| one.intent.id == id);
                let Some(one) = one else { return };
                one.until
            };
            tokio::time::sleep_until(until).await;
            let due = id.clone();
            let undone = work(&agent, move |agent, ledger| {
                ledger.due(agent, &due);
                Ok(())
            });
            if let Err(e) = undone.await {
                tracing::error!("undoing an edit: {e}");
                return;
            }
        }
    })
}

impl Ledger {
    fn tell(&self, agent: &Agent) {
        let now = Instant::now();
        let mut armed: Vec<_> =
            self.waiting.iter().map(|one| (one.armed(now), one.until)).collect();
        armed.sort_by_key(|(_, until)| *until);
        let ended = self.ends.iter().cloned().collect();
        agent.edits().told.send_replace(Arc::new(Told { armed, ended }));
    }

    /// The edit of this file that waits to be confirmed.
    fn armed(&self, path: &cmdr_protocol::files::FilePath) -> Option<Armed> {
        let one = self.waiting.iter().find(|one| one.intent.path == *path)?;
        Some(one.armed(Instant::now()))
    }
}

impl Waiting {
    fn armed(&self, now: Instant) -> Armed {
        let Intent { id, path, by, note, at_ms, confirm_s, before, .. } = self.intent.clone();
        let left = self.until.saturating_duration_since(now);
        Armed {
            id,
            path,
            by,
            note,
            at_ms,
            confirm_s: confirm_s.unwrap_or(0),
            left_ms: left.as_millis() as u64,
            before,
            trouble: self.trouble.clone(),
        }
    }
}

/// Who asks, for those who look at the versions.
pub(super) fn caller(asked: &Asked) -> String {
    asked.caller.as_ref().map(|caller| clean_to_width(&caller.name, 64)).unwrap_or_default()
}

/// A note, checked.
pub(super) fn note(text: String) -> Result<String, CallError> {
    if text.len() > NOTE {
        return Err(CallError::malformed(format!("a note has at most {NOTE} bytes")));
    }
    Ok(text)
}

async fn open(agent: Arc<Agent>, _: Asked, open: Open) -> Result<Opened, CallError> {
    work(&agent, move |agent, ledger| {
        let present = Whole::to_read(agent, &open.path)?.read()?;
        let (file, text) = match present {
            Some(present) => (Some(present.entry), present.text),
            None => (None, Vec::new()),
        };
        Ok(Opened { file, content: pack(&text)?, armed: ledger.armed(&open.path) })
    })
    .await
}

async fn save(agent: Arc<Agent>, asked: Asked, save: Save) -> Result<Saving, CallError> {
    let by = caller(&asked);
    let order = Order {
        text: unpack(&save.content)?,
        path: save.path,
        expect: Expected::Only(save.expect),
        mode: save.mode,
        owned: None,
        confirm_s: save.confirm_s,
        note: note(save.note)?,
        by,
        came: Came::Saved,
        is_checked: true,
        force: save.force,
    };
    work(&agent, move |agent, ledger| ledger.save(agent, &order)).await
}

async fn restore(agent: Arc<Agent>, asked: Asked, restore: Restore) -> Result<Saving, CallError> {
    let by = caller(&asked);
    let note = note(restore.note.clone())?;
    work(&agent, move |agent, ledger| {
        let (version, text) = ledger.versions.get(&restore.path, restore.number)?;
        let of = format!("version {}", version.number);
        let order = Order {
            text,
            path: restore.path,
            expect: restore.expect.map_or(Expected::Any, |hash| Expected::Only(Some(hash))),
            mode: None,
            owned: Some(kept::owned_of(&version)),
            confirm_s: restore.confirm_s,
            note: if note.is_empty() { of } else { format!("{of}: {note}") },
            by,
            came: Came::Restored,
            is_checked: false,
            force: true,
        };
        ledger.save(agent, &order)
    })
    .await
}

async fn confirm(agent: Arc<Agent>, asked: Asked, confirm: Confirm) -> Result<Ended, CallError> {
    let who = caller(&asked);
    work(&agent, move |_, ledger| {
        ledger.waits(&confirm.path, &confirm.id)?;
        ledger.confirm(&confirm.id, who)
    })
    .await
}

async fn revert(agent: Arc<Agent>, asked: Asked, revert: Revert) -> Result<Ended, CallError> {
    let who = caller(&asked);
    work(&agent, move |agent, ledger| {
        ledger.waits(&revert.path, &revert.id)?;
        ledger.undo(agent, &revert.id, ArmedEnd::Reverted, who)
    })
    .await
}

async fn versions(agent: Arc<Agent>, _: Asked, of: Versions) -> Result<Listing, CallError> {
    work(&agent, move |agent, ledger| {
        // What may not be looked at has no versions to be looked at either.
        Whole::to_read(agent, &of.path)?;
        Ok(Listing { versions: ledger.versions.list(&of.path)? })
    })
    .await
}

async fn version(agent: Arc<Agent>, _: Asked, of: OfVersion) -> Result<Kept, CallError> {
    work(&agent, move |agent, ledger| {
        Whole::to_read(agent, &of.path)?;
        let (version, text) = ledger.versions.get(&of.path, of.number)?;
        Ok(Kept { version, content: pack(&text)? })
    })
    .await
}

async fn pending(
    agent: Arc<Agent>,
    _: Asked,
    pending: Pending,
    feeding: Feeding<Pending>,
) -> Result<(), CallError> {
    resume(&agent).await;
    let mut told = agent.edits().told.subscribe();
    loop {
        let state = {
            let now = Instant::now();
            let told = told.borrow_and_update().clone();
            let of = |path: &_| pending.path.as_ref().is_none_or(|wanted| wanted == path);
            let armed = told.armed.iter().filter(|(armed, _)| of(&armed.path));
            let left = |(armed, until): &(Armed, Instant)| Armed {
                left_ms: until.saturating_duration_since(now).as_millis() as u64,
                ..armed.clone()
            };
            State {
                armed: armed.map(left).collect(),
                ended: told.ended.iter().filter(|ended| of(&ended.path)).cloned().collect(),
            }
        };
        feeding.send(&state).await?;
        if told.changed().await.is_err() {
            return Err(CallError::new(ErrorKind::Cancelled, "the agent ends"));
        }
    }
}
