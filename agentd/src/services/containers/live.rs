//! Containers as they change, read once for all who watch ([`crate::live`]): all of them at first, then those that the
//! engine's events name. Nothing is asked while nothing happens.

use super::rows::{Table, now_s};
use crate::Agent;
use crate::engine::{Engine, told};
use crate::live::{Teller, Watcher};
use bollard::errors::Error;
use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use cmdr_protocol::CallError;
use cmdr_protocol::containers::Container;
use futures::{Stream, StreamExt as _};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// What happens together is read together.
const TOGETHER: Duration = Duration::from_millis(50);
/// The engine tells of some things before its own list has them: what an event named is read once more.
const SETTLED: Duration = Duration::from_secs(1);
/// When more than so many are named at once, all are read.
const FEW: usize = 30;

/// The containers of this host, while somebody watches.
pub type Live = crate::live::Live<Vec<Container>>;

/// Watches them, by id.
pub(in crate::services) fn watch(agent: &Agent) -> Watcher<Vec<Container>> {
    let following = agent.clone();
    agent.containers().watch(|teller| async move {
        let error = match following.engine().await {
            Ok(engine) => follow(&engine, &teller).await,
            Err(error) => error,
        };
        (teller, error)
    })
}

/// Ids that are to be read, and when.
#[derive(Default)]
struct Due {
    ids: BTreeSet<String>,
    at: Option<Instant>,
}

impl Due {
    fn add(&mut self, id: String, after: Duration) {
        self.ids.insert(id);
        self.at.get_or_insert_with(|| Instant::now() + after);
    }

    fn take(&mut self) -> BTreeSet<String> {
        self.at = None;
        std::mem::take(&mut self.ids)
    }

    async fn wait(&self) {
        match self.at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

async fn follow(engine: &Engine, teller: &Teller<Vec<Container>>) -> CallError {
    // Events are kept by the engine for a while: none is missed between this moment and the first list.
    let mut events = std::pin::pin!(events(engine, now_s().saturating_sub(1)));
    let mut table = Table::default();
    let attempted = "list the containers";
    match list(engine, None).await {
        Ok(all) => table.replace(all, now_s()),
        Err(error) => return told(attempted, &error),
    }
    teller.tell(table.rows());
    let (mut soon, mut settled) = (Due::default(), Due::default());
    loop {
        let ids = tokio::select! {
            event = events.next() => {
                match event {
                    Some(Ok(event)) => {
                        if let Some(id) = named(event) {
                            soon.add(id.clone(), TOGETHER);
                            settled.add(id, SETTLED);
                        }
                    }
                    // An event of a kind that is not known is none of a container.
                    Some(Err(Error::JsonDataError { .. } | Error::JsonSerdeError { .. })) => {}
                    Some(Err(error)) => return told("watch the Docker engine", &error),
                    None => return CallError::failed("the Docker engine has ended what was watched"),
                }
                continue;
            }
            () = soon.wait() => soon.take(),
            () = settled.wait() => settled.take(),
        };
        let few = (ids.len() <= FEW).then_some(&ids);
        match (list(engine, few).await, few) {
            (Ok(listed), Some(ids)) => table.update(ids.iter(), listed, now_s()),
            (Ok(listed), None) => table.replace(listed, now_s()),
            (Err(error), _) => return told(attempted, &error),
        }
        teller.tell(table.rows());
    }
}

/// What happens from this second on to containers, and to networks that they are in.
fn events(engine: &Engine, since_s: u64) -> impl Stream<Item = Result<EventMessage, Error>> {
    let kinds = vec!["container".to_owned(), "network".to_owned()];
    engine.events(Some(EventsOptions {
        since: Some(since_s.to_string()),
        until: None,
        filters: Some(HashMap::from([("type".to_owned(), kinds)])),
    }))
}

async fn list(
    engine: &Engine,
    ids: Option<&BTreeSet<String>>,
) -> Result<Vec<bollard::models::ContainerSummary>, Error> {
    let filters = ids.map(|ids| HashMap::from([("id".to_owned(), ids.iter().cloned().collect())]));
    let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
    engine.list_containers(Some(options)).await
}

/// The container that an event may have changed.
fn named(event: EventMessage) -> Option<String> {
    let actor = event.actor?;
    let id = match event.typ? {
        EventMessageTypeEnum::CONTAINER => {
            let action = event.action.unwrap_or_default();
            let action = action.split(':').next().unwrap_or_default();
            // What goes on inside, such as each run of a health check, changes nothing in its row.
            let inside = action.starts_with("exec_")
                || matches!(
                    action,
                    "top"
                        | "resize"
                        | "attach"
                        | "detach"
                        | "copy"
                        | "export"
                        | "archive-path"
                        | "extract-to-dir"
                        | "commit"
                );
            if inside {
                return None;
            }
            actor.id?
        }
        EventMessageTypeEnum::NETWORK => actor.attributes?.remove("container")?,
        _ => return None,
    };
    (id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(kind: &str, action: &str) -> Option<String> {
        let id = "a".repeat(64);
        let json = json!({"Type": kind, "Action": action,
            "Actor": {"ID": if kind == "network" { "n" } else { &id }, "Attributes": {"container": id}}});
        named(serde_json::from_value(json).unwrap())
    }

    #[test]
    fn only_what_may_change_a_row_is_looked_at() {
        for (kind, action) in [
            ("container", "start"),
            ("container", "health_status: healthy"),
            ("network", "connect"),
        ] {
            assert_eq!(event(kind, action).map(|id| id.len()), Some(64), "{kind} {action}");
        }
        for (kind, action) in
            [("container", "exec_start: sh -c x"), ("container", "top"), ("image", "pull")]
        {
            assert_eq!(event(kind, action), None, "{kind} {action}");
        }
    }
}
