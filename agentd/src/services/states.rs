//! How things on this host stand, for the hub's rules: units out of the ordinary, containers, the engine. Read when the
//! service manager or the engine says that something happened, and now and then.

use crate::Agent;
use crate::systemd::Manager;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::CallError;
use cmdr_protocol::containers as docker;
use cmdr_protocol::selector::glob;
use cmdr_protocol::states::{Container, MOST, States, Unit, Watch};
use futures::StreamExt as _;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Patterns of units that are listened to.
const PATTERNS: usize = 200;
/// Units are read no more often than this, and so often although nothing was said.
const PAUSE: Duration = Duration::from_secs(2);
const QUIET: Duration = Duration::from_mins(1);
/// An engine that was not there is looked for again.
const AGAIN: Duration = Duration::from_secs(30);

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.feed(follow)
}

async fn follow(
    agent: Arc<Agent>,
    _: Asked,
    watch: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let patterns = watch.units.into_iter().take(PATTERNS).collect();
    let states = watch::Sender::new(None::<States>);
    tokio::select! {
        () = stand(&agent, patterns, &states) => Ok(()),
        ended = tell(&states, &feeding) => ended,
    }
}

/// Keeps `states` as things stand, until it is dropped.
pub(super) async fn stand(
    agent: &Agent,
    patterns: Vec<String>,
    states: &watch::Sender<Option<States>>,
) {
    tokio::join!(units(agent, patterns, states), containers(agent, states));
}

/// Sends what is new, once both sides have been looked at.
async fn tell(
    states: &watch::Sender<Option<States>>,
    feeding: &Feeding<Watch>,
) -> Result<(), CallError> {
    let mut newest = states.subscribe();
    loop {
        let now = newest.borrow_and_update().clone().filter(|now| !now.docker.is_empty());
        if let Some(now) = now {
            feeding.send(&now).await?;
        }
        // Told again now and then: what counts is not known for ever.
        if let Ok(Err(_)) = timeout(QUIET, newest.changed()).await {
            return Ok(());
        }
    }
}

fn put(states: &watch::Sender<Option<States>>, change: impl FnOnce(&mut States)) {
    states.send_if_modified(|states| {
        let mut new = states.clone().unwrap_or_default();
        change(&mut new);
        let other = states.as_ref() != Some(&new);
        *states = Some(new);
        other
    });
}

async fn units(agent: &Agent, patterns: Vec<String>, states: &watch::Sender<Option<States>>) {
    loop {
        let told = follow_units(agent, &patterns, states).await;
        if let Err(e) = told {
            tracing::debug!("units are not told of: {e}");
        }
        put(states, |states| states.units = None);
        sleep(QUIET).await;
    }
}

async fn follow_units(
    agent: &Agent,
    patterns: &[String],
    states: &watch::Sender<Option<States>>,
) -> Result<(), CallError> {
    let manager = Manager::connect(agent.config()).await?;
    let mut signals = manager.signals(None).await?;
    loop {
        let listed = manager.units().await?;
        let told = listed.into_iter().filter_map(|(name, _, _, state, ..)| {
            let usual = state == "active" || state == "inactive";
            let named = patterns.iter().any(|pattern| glob(pattern, &name));
            (named || !usual).then_some(Unit { name, state })
        });
        let mut units: Vec<Unit> = told.take(MOST).collect();
        units.sort_by(|a, b| a.name.cmp(&b.name));
        put(states, |states| states.units = Some(units));
        sleep(PAUSE).await;
        // What came meanwhile is one reason to read again, whatever it was; what is not taken keeps answers from coming.
        match timeout(QUIET, signals.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(_)) => {
                while timeout(Duration::ZERO, signals.next()).await.is_ok_and(|s| s.is_some()) {}
            }
            Err(_) => {}
        }
    }
}

async fn containers(agent: &Agent, states: &watch::Sender<Option<States>>) {
    let mut counted: HashMap<String, (u64, u32)> = HashMap::new();
    loop {
        let mut watcher = super::containers::watch_all(agent);
        while let Ok(rows) = watcher.next().await {
            let containers = told(&rows, &mut counted);
            put(states, |states| {
                "running".clone_into(&mut states.docker);
                states.containers = Some(containers);
            });
        }
        let missing = !agent.config().docker_socket.exists();
        put(states, |states| {
            let word = if missing { "missing" } else { "unreachable" };
            word.clone_into(&mut states.docker);
            states.containers = None;
        });
        sleep(AGAIN).await;
    }
}

/// Containers by name; one that runs since another moment than before was started again.
fn told(rows: &[docker::Container], counted: &mut HashMap<String, (u64, u32)>) -> Vec<Container> {
    counted.retain(|id, _| rows.iter().any(|row| row.id == *id));
    let mut containers = BTreeMap::new();
    for row in rows.iter().take(MOST) {
        let (since, restarts) = counted.entry(row.id.clone()).or_insert((row.since_s, 0));
        // The engine's words for a time are rough: only what is later by more than that is another start.
        if row.state == docker::State::Running && row.since_s > *since + 1 {
            *restarts += 1;
        }
        *since = row.since_s;
        let container = Container {
            name: row.name.clone(),
            state: row.state.as_str().to_owned(),
            health: row.health.clone(),
            restarts: *restarts,
        };
        containers.insert(row.name.clone(), container);
    }
    containers.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_runs_since_another_moment_was_started_again() {
        let row = |since_s, state| docker::Container {
            id: "a".into(),
            name: "web".into(),
            since_s,
            state,
            ..docker::Container::default()
        };
        let mut counted = HashMap::new();
        let mut restarts = |since, state| told(&[row(since, state)], &mut counted)[0].restarts;
        assert_eq!(restarts(100, docker::State::Running), 0);
        assert_eq!(restarts(100, docker::State::Running), 0);
        assert_eq!(restarts(150, docker::State::Restarting), 0);
        assert_eq!(restarts(160, docker::State::Running), 1);
        assert_eq!(restarts(161, docker::State::Running), 1, "that is how rough the words are");
        assert_eq!(restarts(190, docker::State::Running), 2);
        assert!(told(&[], &mut counted).is_empty() && counted.is_empty());
    }
}
