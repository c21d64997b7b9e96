//! Containers whose place another one is about to take: put down before the old one is touched, so that an agent that
//! ended in the middle brings it to an end when it starts again. `recreate` writes, [`resume`] is called by `run`.

use super::recreate::{put_back, settled};
use crate::Agent;
use crate::engine::Engine;
use bollard::query_parameters::RemoveContainerOptions;
use cmdr_link::files::write_private;
use cmdr_protocol::CallError;
use cmdr_protocol::containers::{is_name, short};
use cmdr_protocol::display::clean;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// An engine that starts together with the agent may take so long until it answers.
const PATIENCE: Duration = Duration::from_mins(10);
/// Between two questions whether it does.
const AGAIN: Duration = Duration::from_secs(2);
/// What an entry takes at most, bytes.
const LONGEST: u64 = 4096;

/// The old container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Halfway {
    /// Its whole id.
    pub(super) id: String,
    /// The name that it had, which is the new one's now.
    pub(super) name: String,
    /// It ran.
    pub(super) ran: bool,
}

fn folder(agent: &Agent) -> PathBuf {
    agent.config().state_dir.join("recreate")
}

fn file(agent: &Agent, halfway: &Halfway) -> PathBuf {
    folder(agent).join(format!("{}.json", short(&halfway.id)))
}

/// Puts it down, on the disk before this returns.
pub(super) fn note(agent: &Agent, halfway: &Halfway) -> Result<(), CallError> {
    let text = serde_json::to_vec(halfway).map_err(|e| CallError::failed(e.to_string()))?;
    let written = std::fs::create_dir_all(folder(agent))
        .and_then(|()| write_private(&file(agent, halfway), &text));
    written.map_err(|error| {
        CallError::failed(format!(
            "put down what is to be replaced, below {}: {error}; nothing was changed",
            folder(agent).display()
        ))
    })
}

/// It has come to an end.
pub(super) fn forget(agent: &Agent, halfway: &Halfway) {
    // One that stays is looked at again at the next start, and found to be over.
    if let Err(error) = std::fs::remove_file(file(agent, halfway)) {
        tracing::warn!(container = halfway.name, %error, "recreate: the note of it stays");
    }
}

/// What an agent before this one left in the middle.
fn left(agent: &Agent) -> Vec<Halfway> {
    let entries = std::fs::read_dir(folder(agent)).into_iter().flatten().flatten();
    let read = |path: PathBuf| {
        let size = std::fs::metadata(&path).ok()?.len();
        let text = (size <= LONGEST).then(|| std::fs::read(&path).ok()).flatten();
        let read = text.and_then(|text| serde_json::from_slice::<Halfway>(&text).ok());
        if read.is_none() {
            tracing::warn!(path = %path.display(), "recreate: a note that cannot be read");
        }
        read.filter(|one| is_name(&one.id) && is_name(&one.name))
    };
    entries.filter_map(|entry| read(entry.path())).collect()
}

/// Brings to an end what was left in the middle, as soon as the engine answers.
pub(crate) fn resume(agent: &Agent) {
    let left = left(agent);
    if left.is_empty() {
        return;
    }
    let agent = agent.clone();
    tokio::spawn(async move {
        let began = Instant::now();
        let engine = loop {
            match agent.engine().await {
                Ok(engine) => break engine,
                Err(error) if began.elapsed() > PATIENCE => {
                    tracing::warn!(%error, "recreate: what was left in the middle stays so");
                    return;
                }
                Err(_) => sleep(AGAIN).await,
            }
        };
        for halfway in left {
            let outcome = finish(&engine, &halfway).await;
            forget(&agent, &halfway);
            let container = clean(&halfway.name);
            tracing::info!(%container, outcome, "recreate: an agent before this one had not ended it");
        }
    });
}

/// The new one stays if it has begun, or need not; otherwise the old one comes back.
async fn finish(engine: &Engine, old: &Halfway) -> &'static str {
    let force = || Some(RemoveContainerOptions { v: false, force: true, link: false });
    let Ok(_) = engine.inspect_container(&old.id, None).await else {
        return "the new one stands in its place";
    };
    let new = engine.inspect_container(&old.name, None).await.ok();
    let new = new.and_then(|new| new.id).filter(|id| *id != old.id);
    if let Some(new) = &new {
        let begun = settled(engine, new, "look at the new container").await.is_ok();
        if begun || !old.ran {
            return match engine.remove_container(&old.id, force()).await {
                Ok(()) => "the new one stays, the old one is gone",
                Err(_) => "the new one stays, the old one could not be removed",
            };
        }
        if engine.remove_container(new, force()).await.is_err() {
            return "the new one did not begin and could not be removed";
        }
    }
    match put_back(engine, old).await {
        (_, true) => "the old one is back in its place",
        (_, false) => "the old one is back in its place, but does not start",
    }
}
