//! What agents look at themselves while the hub is away: they are given the rules of their host, and tell what came of
//! them once the hub is back. That is kept with what the hub saw itself, once, and people hear of what still holds as of
//! anything else.

use super::{Alerts, kept, tell};
use crate::history::SKEW_MS;
use crate::server::Hub;
use crate::store::Batch;
use cmdr_link::{Client, Link, clock};
use cmdr_protocol::alerts::away::{Carry, Hold, MAX_SEEN, Seen};
use cmdr_protocol::alerts::{Happening, State};
use cmdr_protocol::{CallError, HostId, display};
use cmdr_rules::alerts::{Key, Outcome};
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(10);
/// Answers that are taken of one agent in a row: what it keeps is bounded, and so is one that makes it up.
const ANSWERS: usize = 50;
/// What is kept of what one agent saw, of a day: one that makes things up shall not fill the store.
const A_DAY: u32 = 2000;
/// What an agent saw longer ago than this is as of then.
const LONG_MS: u64 = 30 * DAY_MS;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Bytes of a text that an agent tells.
const TEXT: usize = 1000;
/// What holds at one host, at most.
const HOLDS: usize = 1000;

impl Alerts {
    /// Changes when the rules of agents may be others.
    pub fn carried(&self) -> watch::Receiver<u64> {
        self.carried.subscribe()
    }

    /// What a host's agent is to look at; nothing when the host is not in the fleet.
    pub fn carry(&self, hub: &Hub, id: HostId) -> Option<Carry> {
        let host = hub.fleet.host(id)?;
        let rules = self.lock().book.carried(&host);
        let labels = host.labels.into_iter().collect();
        Some(Carry { rules, name: host.name, labels, heard: 0 })
    }

    /// Gives an agent its rules and keeps what it has seen.
    pub async fn ask(
        &self,
        hub: &Hub,
        id: HostId,
        link: &Link,
        client: &Client,
        mut carry: Carry,
    ) -> Result<(), CallError> {
        for _ in 0..ANSWERS {
            let carried = client.call(Some(id), &carry, PATIENCE).await?;
            for problem in &carried.problems {
                let problem = display::clean_to_width(problem, 200);
                tracing::warn!(host = carry.name, "its agent cannot look at a rule: {problem}");
            }
            if carried.lost > 0 {
                let lost = carried.lost;
                tracing::warn!(
                    host = carry.name,
                    lost,
                    "more alerts were seen there than it keeps"
                );
            }
            // What is measured differs a little each time, and a thing that is told twice shall have one time: only a
            // clock that is wrong is put right.
            let skew = link.health().skew_ms.filter(|skew| skew.abs() >= SKEW_MS).unwrap_or(0);
            let mut seen = carried.seen;
            seen.truncate(MAX_SEEN);
            let last = seen.last().map(|seen| seen.number);
            self.keep_seen(hub, id, &carry.name, seen, skew).await?;
            let Some(last) = last else {
                self.vouch(hub, id, carried.holds).await;
                return Ok(());
            };
            // Asked once more, so that the agent forgets what is kept here.
            carry.heard = last;
        }
        Ok(())
    }

    /// Keeps what an agent saw, each once, and tells those who follow events.
    async fn keep_seen(
        &self,
        hub: &Hub,
        id: HostId,
        name: &str,
        seen: Vec<Seen>,
        skew_ms: i64,
    ) -> Result<(), CallError> {
        let failed = |e: crate::store::StoreError| CallError::failed(e.to_string());
        let mut batch = Batch::new();
        let mut news = Vec::new();
        let now = clock::now_ms();
        for seen in seen {
            let at_ms = seen.at_ms.saturating_add_signed(-skew_ms);
            let at_ms = at_ms.clamp(now.saturating_sub(LONG_MS), now);
            let at = kept::seen_key(&id, seen.number, at_ms);
            let happening = self.seen(id, name, &seen, at_ms);
            // A clock that was put right since it was told first makes it another; that is no harm.
            if self.store.get::<Happening>(&at).map_err(failed)?.is_none() && self.has_room(id, now)
            {
                batch = batch.put(at, &happening);
                news.push(happening);
            }
        }
        if news.is_empty() {
            return Ok(());
        }
        self.store.apply(batch).await.map_err(failed)?;
        for happening in &news {
            tell(hub, happening);
        }
        self.news.send_modify(|news| *news += 1);
        Ok(())
    }

    /// Whether more is kept of what this agent says that it saw.
    fn has_room(&self, id: HostId, now_ms: u64) -> bool {
        let day = now_ms / DAY_MS;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, (of, _)| *of == day);
        let (_, count) = seen.entry(id).or_insert((day, 0));
        *count += 1;
        if *count == A_DAY + 1 {
            tracing::warn!(%id, "its agent says that it saw more than {A_DAY} alerts today; the rest is left out");
        }
        *count <= A_DAY
    }

    fn seen(&self, id: HostId, name: &str, seen: &Seen, at_ms: u64) -> Happening {
        let text = |text: &str| {
            let end = text.floor_char_boundary(TEXT);
            display::clean(&text[..end]).into_owned()
        };
        let (rule, instance) = (text(&seen.rule), text(&seen.instance));
        let key = Key { host: id.to_string(), rule, instance };
        let state = match seen.state {
            State::Resolved | State::Flapping => seen.state,
            _ => State::Firing,
        };
        // Of an alert that the hub knows of it is a part of the story.
        let known = self.lock().machine.alert(&key).map(|alert| alert.id.clone());
        let short: String = key.host.chars().take(8).collect();
        let own = || format!("{short}-{}", text(&seen.alert));
        Happening {
            at_ms,
            id: known.filter(|id| !id.is_empty()).unwrap_or_else(own),
            host: Some(id),
            name: name.to_owned(),
            severity: seen.severity,
            state,
            message: text(&seen.message),
            why: "the host's agent saw it while the hub was away".to_owned(),
            rule: key.rule,
            instance: key.instance,
        }
    }

    /// What has held for a while at a host counts as that, though the hub has not seen it.
    async fn vouch(&self, hub: &Hub, id: HostId, holds: Vec<Hold>) {
        if holds.is_empty() {
            return;
        }
        let done = self
            .act(hub, |inner, now, world| {
                let mut all = Outcome::default();
                for hold in holds.into_iter().take(HOLDS) {
                    let host = id.to_string();
                    let key = Key { host, rule: hold.rule, instance: hold.instance };
                    // Only of what the hub's own rules say at all.
                    if !inner.book.has(&key.rule) {
                        continue;
                    }
                    inner.engine.follow(&key.rule, &key.host, &key.instance);
                    let outcome = inner.machine.vouch(&key, hold.for_ms, now, world);
                    all.writes.extend(outcome.writes);
                    all.notices.extend(outcome.notices);
                    all.happened.extend(outcome.happened);
                }
                Ok(((), all))
            })
            .await;
        if let Err(e) = done {
            tracing::warn!("what holds at a host was not taken: {e}");
        }
    }
}
