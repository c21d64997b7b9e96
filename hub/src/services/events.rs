//! Events of the fleet: those that are kept, then those that come.

use super::{HubService, nobody};
use crate::events::Events;
use crate::server::Hub;
use crate::who::Who;
use cmdr_link::clock;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::CallError;
use cmdr_protocol::events::{Event, Watch, What};
use std::sync::Arc;
use std::time::Duration;

/// Events looked at in one go.
const BATCH: usize = 500;
/// A reader hears of the hub at least so often.
const ALIVE: Duration = Duration::from_secs(15);

pub(super) fn register(service: HubService) -> HubService {
    service.feed(watch)
}

/// Whether somebody may know of it. A host that is gone has no labels to go by.
fn shown(hub: &Hub, who: &Who, event: &Event) -> bool {
    event.host.is_none_or(|host| hub.sees(who, host))
}

async fn watch(
    hub: Arc<Hub>,
    asked: Asked,
    watch: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let events = &hub.fleet.events;
    let mut news = events.news();
    let place = events.place(&watch.after).map_err(CallError::malformed)?;
    let mut after = place.after;
    if place.missed {
        feeding.send(&told(events, What::Missed, after)).await?;
    }
    loop {
        news.mark_unchanged();
        let (batch, gone) = events.after(after, BATCH);
        if gone && let Some(first) = batch.first() {
            feeding.send(&told(events, What::Missed, Events::number(first) - 1)).await?;
        }
        let who = hub.who(&caller);
        for event in &batch {
            after = Events::number(event);
            if shown(&hub, &who, event) {
                feeding.send(event).await?;
            }
        }
        if batch.len() == BATCH {
            continue;
        }
        if watch.once {
            return Ok(());
        }
        match tokio::time::timeout(ALIVE, news.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ok(()),
            Err(_) => feeding.send(&told(events, What::Alive, after)).await?,
        }
    }
}

fn told(events: &Events, what: What, place: u64) -> Event {
    Event { cursor: events.cursor_of(place), at_ms: clock::now_ms(), what, ..Event::default() }
}
