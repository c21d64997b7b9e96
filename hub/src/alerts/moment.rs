//! The moment in which an alert fired: what ran on its host, by the host's flight recorder, and what its log said. Asked
//! of the host when it fires, kept beside the alert, shown to those who may ask the host for the same.

use super::kept::hashed;
use crate::records::prefix;
use crate::server::Hub;
use crate::store::{Batch, Store, StoreError};
use cmdr_link::{Client, clock};
use cmdr_protocol::alerts::{Alert, Happening, State};
use cmdr_protocol::logs::{Filter, Follow, Level, Sources};
use cmdr_protocol::{Call as _, CallError, Feed as _, HostId, display, methods, recorder};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Hosts that are asked at once; others that fire meanwhile wait, up to so many.
const AT_ONCE: usize = 8;
const WAITING: usize = 200;
/// A host that is in trouble may take its time.
const PATIENCE: Duration = Duration::from_secs(20);
/// Processes and lines that are kept.
const TOPS: usize = 10;
const LINES: usize = 30;
/// Bytes of a line, and how long before it fired the log is read.
const LINE: usize = 400;
const BEFORE_MS: u64 = 120_000;
/// Moments of one hub; the oldest go.
const KEPT: usize = 5000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Moment {
    /// When it was looked.
    pub at_ms: u64,
    /// Who was on top.
    pub tops: String,
    /// Which log was read, and what it said.
    pub source: String,
    pub log: String,
}

/// Who asks.
#[derive(Debug)]
pub(super) struct Moments {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }
}

fn key(alert: &str) -> String {
    hashed(prefix::ALERT_MOMENT, &[alert])
}

impl Moments {
    /// Asks the hosts of alerts that fire now.
    pub(super) fn look(&self, hub: &Hub, happened: &[Happening]) {
        for happening in happened.iter().filter(|h| h.state == State::Firing) {
            let Some(host) = happening.host else { continue };
            let Ok(link) = hub.fleet.link(host) else { continue };
            // In a storm of alerts the first ones tell what it is about.
            let Ok(place) = self.waiting.clone().try_acquire_owned() else { return };
            let (turns, store) = (self.turns.clone(), hub.store.clone());
            let (alert, fired_ms) = (happening.id.clone(), happening.at_ms);
            tokio::spawn(async move {
                let _place = place;
                let Ok(_turn) = turns.acquire().await else { return };
                let client = Client::new(link);
                let moment = asked(&client, host, fired_ms).await;
                if moment.tops.is_empty() && moment.log.is_empty() {
                    return;
                }
                if let Err(e) = store.apply(Batch::new().put(key(&alert), &moment)).await {
                    tracing::debug!("what ran when an alert fired is not kept: {e}");
                }
            });
        }
    }
}

async fn asked(client: &Client, host: HostId, fired_ms: u64) -> Moment {
    let tops = async {
        let at = client.call(Some(host), &recorder::At::default(), PATIENCE).await;
        at.map(|moment| tops(&moment)).unwrap_or_default()
    };
    let log = async { tokio::time::timeout(PATIENCE, log(client, host, fired_ms)).await };
    let (tops, log) = tokio::join!(tops, log);
    let (source, log) = log.ok().flatten().unwrap_or_default();
    Moment { at_ms: clock::now_ms(), tops, source, log }
}

fn tops(moment: &recorder::Moment) -> String {
    let mut text = String::new();
    for top in moment.tops.iter().take(TOPS) {
        let what = if top.command.is_empty() { &top.name } else { &top.command };
        let what = &what[..what.floor_char_boundary(LINE)];
        // Writing to a text does not fail.
        writeln!(
            text,
            "{:>6}.{}%  {:>6} MiB  {:>8}  {}  {}",
            top.cpu / 10,
            top.cpu % 10,
            top.memory >> 20,
            top.pid,
            display::clean(&top.user),
            display::clean(what)
        )
        .ok();
    }
    text
}

/// The last lines of the host's main log that are warnings or worse.
async fn log(client: &Client, host: HostId, fired_ms: u64) -> Option<(String, String)> {
    let sources = client.call(Some(host), &Sources::default(), PATIENCE).await.ok()?;
    let source = sources.main;
    let ask = Follow {
        source: source.clone(),
        filter: Filter { level: Some(Level::Warning), ..Filter::default() },
        since_ms: Some(fired_ms.saturating_sub(BEFORE_MS)),
        last: Some(u32::try_from(LINES).unwrap_or(u32::MAX)),
        ..Follow::default()
    };
    let mut feed = client.feed(Some(host), &ask).await.ok()?;
    let mut text = String::new();
    let mut lines = 0;
    while let Some(Ok(item)) = feed.next().await {
        for line in item.lines {
            if lines < LINES {
                let bytes = &line.bytes[..line.bytes.len().min(LINE)];
                text.push_str(&display::clean(&String::from_utf8_lossy(bytes)));
                text.push('\n');
                lines += 1;
            }
        }
        if item.caught_up || lines >= LINES {
            break;
        }
    }
    Some((source, text))
}

/// What ran when an alert fired, as far as somebody may ask its host for it.
pub(crate) fn shown(
    hub: &Hub,
    alert: &Alert,
    may: impl Fn(usize, &str) -> bool,
) -> Result<String, CallError> {
    let moment = hub
        .store
        .get::<Moment>(&key(&alert.id))
        .map_err(|e| CallError::failed(format!("reading what ran when the alert fired: {e}")))?;
    let Some(moment) = moment else { return Ok(String::new()) };
    let allowed = |method: &str, resource: &str| {
        methods::index(method).is_some_and(|method| may(method, resource))
    };
    let mut text = String::new();
    let at = recorder::At::default();
    if !moment.tops.is_empty() && allowed(recorder::At::METHOD, &at.resource()) {
        text.push_str(&moment.tops);
    }
    let follow = Follow { source: moment.source, ..Follow::default() };
    if !moment.log.is_empty() && allowed(Follow::METHOD, &follow.resource()) {
        let gap = if text.is_empty() { "" } else { "\n" };
        write!(text, "{gap}{}:\n{}", display::clean(&follow.source), moment.log).ok();
    }
    Ok(text)
}

/// Keeps the newest.
pub(super) async fn tidy(store: &Store) -> Result<(), StoreError> {
    let all = store.scan::<Moment>(prefix::ALERT_MOMENT)?;
    let mut ages: Vec<(u64, String)> =
        all.into_iter().flatten().map(|(key, moment)| (moment.at_ms, key)).collect();
    if ages.len() <= KEPT {
        return Ok(());
    }
    ages.sort();
    let over = ages.len() - KEPT;
    for some in ages[..over].chunks(200) {
        store.apply(some.iter().fold(Batch::new(), |b, (_, key)| b.delete(key))).await?;
    }
    Ok(())
}
