//! What happens in the engine, as it tells it. A watcher who is slow loses the oldest, and is told so.

use super::word;
use crate::Agent;
use crate::engine::told;
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use cmdr_link::clock;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::CallError;
use cmdr_protocol::engine::{Event, Events};
use futures::{Stream, StreamExt as _};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Wait at most for whoever takes them slowly.
const QUEUED: usize = 1000;
/// Attributes of one that are passed on.
const ATTRIBUTES: usize = 64;

pub(super) async fn watch(
    agent: Arc<Agent>,
    _: Asked,
    call: Events,
    feeding: Feeding<Events>,
) -> Result<(), CallError> {
    let engine = agent.engine().await?;
    let now_s = clock::now_ms() / 1000;
    let since = (call.back_s > 0).then(|| now_s.saturating_sub(call.back_s).to_string());
    let filters = (!call.kinds.is_empty()).then(|| {
        HashMap::from([("type".to_owned(), call.kinds.iter().take(20).cloned().collect())])
    });
    let options = EventsOptions { since, filters, ..EventsOptions::default() };
    let told_of = engine.events(Some(options)).map(|event| {
        event.map(item).map_err(|error| told("follow the events of the Docker engine", &error))
    });
    pass_on(told_of, &feeding).await
}

/// Takes what comes and sends it, neither waiting for the other.
async fn pass_on(
    events: impl Stream<Item = Result<Event, CallError>>,
    feeding: &Feeding<Events>,
) -> Result<(), CallError> {
    tokio::pin!(events);
    let mut queue: VecDeque<Event> = VecDeque::new();
    let mut lost = 0;
    loop {
        let Some(mut first) = queue.pop_front() else {
            match events.next().await {
                Some(event) => queue.push_back(event?),
                None => {
                    return Err(CallError::failed(
                        "the Docker engine has stopped telling its events",
                    ));
                }
            }
            continue;
        };
        first.lost = std::mem::take(&mut lost);
        let sending = feeding.send(&first);
        tokio::pin!(sending);
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => break sent?,
                Some(event) = events.next() => {
                    if queue.len() == QUEUED {
                        queue.pop_front();
                        lost += 1;
                    }
                    queue.push_back(event?);
                }
            }
        }
    }
}

fn item(event: EventMessage) -> Event {
    let actor = event.actor.unwrap_or_default();
    let attributes = actor.attributes.unwrap_or_default();
    let name = attributes.get("name").map(String::as_str);
    let at_ms = event.time_nano.map(|nanos| nanos / 1_000_000).or(event.time.map(|s| s * 1000));
    Event {
        at_ms: at_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or_default(),
        kind: word(event.typ.map(|kind| kind.to_string())),
        action: word(event.action),
        id: word(actor.id),
        name: word(name),
        more: attributes
            .iter()
            .filter(|(key, _)| *key != "name")
            .take(ATTRIBUTES)
            .map(|(key, value)| (word(Some(key)), word(Some(value))))
            .collect(),
        lost: 0,
    }
}
