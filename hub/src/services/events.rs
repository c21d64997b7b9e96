//! Events of the fleet: those that are kept, then those that come.

use super::{HubService, nobody};
use crate::events::{Events, rights};
use crate::server::Hub;
use cmdr_link::clock;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::CallError;
use cmdr_protocol::events::{Event, MAX_KINDS, Watch, What};
use cmdr_protocol::selector::Selector;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Events looked at in one go.
const BATCH: usize = 500;
/// A reader hears of the hub at least so often.
const ALIVE: Duration = Duration::from_secs(15);

pub(super) fn register(service: HubService) -> HubService {
    service.feed(watch)
}

/// What of the events somebody wants.
fn wanted(watch: &Watch) -> Result<Option<Selector>, CallError> {
    if watch.kinds.len() > MAX_KINDS {
        return Err(CallError::malformed(format!("at most {MAX_KINDS} kinds of events are named")));
    }
    What::check(&watch.kinds).map_err(CallError::malformed)?;
    if watch.new && !watch.after.is_empty() {
        return Err(CallError::malformed(
            "either what comes after a cursor is wanted, or only what is new",
        ));
    }
    match watch.hosts.trim() {
        "" => Ok(None),
        hosts => Selector::parse(hosts).map(Some).map_err(|e| CallError::malformed(e.to_string())),
    }
}

async fn watch(
    hub: Arc<Hub>,
    asked: Asked,
    watch: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let selector = wanted(&watch)?;
    let events = &hub.fleet.events;
    let mut news = events.news();
    let place = events.place(&watch.after).map_err(CallError::malformed)?;
    let mut after = place.after;
    if place.missed {
        let why = if place.other { ANEW } else { TOO_LONG };
        feeding.send(&told(events, What::Missed, after, why)).await?;
    } else if watch.new {
        after = events.newest();
        feeding.send(&told(events, What::Alive, after, "")).await?;
    }
    let mut quiet = Instant::now();
    loop {
        news.mark_unchanged();
        let (batch, gone) = events.after(after, BATCH);
        if gone && let Some(first) = batch.first() {
            feeding.send(&told(events, What::Missed, first.number - 1, TOO_LONG)).await?;
        }
        let who = hub.who(&caller);
        for kept in &batch {
            after = kept.number;
            if !kept.event.what.is_one_of(&watch.kinds) {
                continue;
            }
            let Some(event) = rights::shown(&hub, &who, kept) else { continue };
            if selector.as_ref().is_none_or(|hosts| rights::is_about(&hub, &who, &event, hosts)) {
                feeding.send(&event).await?;
                quiet = Instant::now();
            }
            // Of a large run each host is decided about: others have their turn.
            tokio::task::yield_now().await;
        }
        // Also where much happens of which nothing is told: its place goes on all the same.
        if quiet.elapsed() >= ALIVE {
            feeding.send(&told(events, What::Alive, after, "")).await?;
            quiet = Instant::now();
        }
        if batch.len() == BATCH {
            continue;
        }
        if watch.once {
            return Ok(());
        }
        if let Ok(Err(_)) = tokio::time::timeout_at(quiet + ALIVE, news.changed()).await {
            return Ok(());
        }
    }
}

/// What a reader is told whose cursor is of an earlier start of the hub.
const ANEW: &str =
    "the hub was started anew since: list everything again; what is known since follows";
/// What one is told that was away for too long, or reads too slowly.
const TOO_LONG: &str =
    "more happened than is kept: list everything again; what is still known follows";

fn told(events: &Events, what: What, place: u64, message: &str) -> Event {
    let (cursor, at_ms) = (events.cursor_of(place), clock::now_ms());
    Event { cursor, at_ms, what, message: message.to_owned(), ..Event::default() }
}
