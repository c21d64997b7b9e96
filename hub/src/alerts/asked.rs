//! What is asked of alerts and done to them; `services/alerts.rs` has decided who may.

use super::{Alerts, kept, shown};
use crate::server::Hub;
use crate::store::StoreError;
use cmdr_protocol::alerts::{Alert, Happening, PutSilence, Silence};
use cmdr_protocol::{CallError, ErrorKind};
use cmdr_rules::alerts::{Key, Matcher, State};
use std::collections::HashMap;
use tokio::sync::watch;

/// What somebody does to an alert.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Says that they know, in these words.
    Acknowledge(String),
    /// Takes that back.
    Unacknowledge,
    /// Ends it, for this reason.
    Dismiss(String),
}

impl Alerts {
    /// What changes with every change of an alert.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Alerts that changed after a change (all of them, without one), by what is asked of them, with those that have gone and the newest change.
    /// Nothing where more has gone than is still known.
    pub(crate) fn since(
        &self,
        change: Option<u64>,
        mut wanted: impl FnMut(&Alert) -> bool,
    ) -> Option<(Vec<Alert>, Vec<String>, u64)> {
        let inner = self.lock();
        if change.is_some_and(|change| change < inner.forgotten) {
            return None;
        }
        let is_newer = |at: u64| change.is_some_and(|change| at > change);
        let told = |key: &Key| {
            change.is_none() || inner.changed.get(key).is_some_and(|(_, at)| is_newer(*at))
        };
        let alerts = inner.machine.alerts().filter(|alert| told(&alert.key)).map(shown::alert);
        let alerts = alerts.filter(|alert| wanted(alert)).collect();
        let gone = inner.gone.iter().filter(|(at, _)| is_newer(*at));
        let gone = gone.map(|(_, id)| id.clone()).collect();
        Some((alerts, gone, inner.change))
    }

    /// All alerts that somebody wants.
    pub(crate) fn all(&self, mut wanted: impl FnMut(&Alert) -> bool) -> Vec<Alert> {
        let inner = self.lock();
        inner.machine.alerts().map(shown::alert).filter(|alert| wanted(alert)).collect()
    }

    /// The key of an alert by its id.
    fn key(&self, id: &str) -> Option<Key> {
        self.lock().machine.alerts().find(|alert| alert.id == id).map(|alert| alert.key.clone())
    }

    /// What happened to alerts in a time, oldest first.
    pub(crate) fn happened(
        &self,
        from_ms: u64,
        to_ms: u64,
        look: &mut dyn FnMut(Happening),
    ) -> Result<(), CallError> {
        kept::happened(&self.store, from_ms, to_ms, look)
            .map_err(|e| CallError::failed(format!("reading what happened to alerts: {e}")))
    }

    /// How much of what happened is from before a time, and where that stands. Blocks.
    pub(crate) fn happened_before(
        &self,
        before_ms: u64,
    ) -> Result<(kept::Extent, Vec<String>), CallError> {
        kept::before(&self.store, before_ms)
            .map_err(|e| CallError::failed(format!("reading what happened to alerts: {e}")))
    }

    /// Forgets what stands there.
    pub(crate) async fn forget(&self, keys: Vec<String>) -> Result<(), CallError> {
        let busy = |e: StoreError| CallError::new(ErrorKind::Busy, e.to_string());
        kept::remove(&self.store, keys).await.map_err(busy)
    }

    /// Does to an alert what somebody wants.
    pub(crate) async fn answer(
        &self,
        hub: &Hub,
        id: &str,
        who: &str,
        deed: &Deed,
    ) -> Result<(), String> {
        let key = self.key(id).ok_or_else(|| "there is no such alert any more".to_owned())?;
        self.act(hub, |inner, now, world| {
            let machine = &mut inner.machine;
            let outcome = match deed {
                Deed::Acknowledge(why) => machine.acknowledge(&key, who, why, now, world)?,
                Deed::Unacknowledge => machine.unacknowledge(&key, who, now, world)?,
                Deed::Dismiss(why) => {
                    let outcome = machine.dismiss(&key, who, why, now, world)?;
                    inner.engine.follow(&key.rule, &key.host, &key.instance);
                    outcome
                }
            };
            Ok(((), outcome))
        })
        .await
    }

    /// Keeps alerts quiet.
    pub(crate) async fn silence(
        &self,
        hub: &Hub,
        put: &PutSilence,
        who: &str,
    ) -> Result<Silence, String> {
        let matcher = Matcher::parse(&put.matcher)?;
        let id = self
            .act(hub, |inner, now, world| {
                inner.machine.silence(matcher, put.for_ms, who, &put.why, now, world)
            })
            .await?;
        let silences = self.silences();
        silences.into_iter().find(|s| s.id == id).ok_or_else(|| "it has ended already".to_owned())
    }

    /// Ends a silence.
    pub(crate) async fn unsilence(&self, hub: &Hub, id: u64) -> Result<(), String> {
        self.act(hub, |inner, now, world| {
            inner.machine.unsilence(id, now, world).map(|outcome| ((), outcome))
        })
        .await
    }

    /// The silences, those that end first at first.
    pub(crate) fn silences(&self) -> Vec<Silence> {
        let inner = self.lock();
        let quiet = |id: u64| {
            inner
                .machine
                .alerts()
                .filter(|a| a.state() == State::Silenced && a.silenced == Some(id))
                .count()
        };
        let mut silences: Vec<_> = inner
            .machine
            .silences()
            .map(|silence| shown::silence(silence, quiet(silence.id)))
            .collect();
        silences.sort_by_key(|silence| silence.until_ms);
        silences
    }

    /// How many of a rule's alerts fire, and how many are pending.
    pub(super) fn counts(&self) -> HashMap<String, (u32, u32)> {
        let inner = self.lock();
        let mut counts: HashMap<String, (u32, u32)> = HashMap::new();
        for alert in inner.machine.alerts() {
            let count = counts.entry(alert.key.rule.clone()).or_default();
            match alert.state() {
                State::Pending => count.1 += 1,
                State::Resolved => {}
                _ => count.0 += 1,
            }
        }
        counts
    }
}
