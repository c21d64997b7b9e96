//! Which feeds run: those that the pane needs while it is seen, and those that every page has.

use super::App;
use crate::action::{Action, PATIENCE};
use crate::link::{LinkState, is_passing};
use crate::panes::Subscription;
use crate::store::alerts::lists;
use crate::store::rights::Offer;
use crate::store::runs::live;
use crate::store::{self, FeedKey, FeedState, Update};
use cmdr_protocol::approvals::Watch;
use cmdr_protocol::edits::Pending;
use cmdr_protocol::runs::{List, ListWatch};
use cmdr_protocol::{Call as _, Feed as _, alerts, notifiers};
use std::time::Duration;
use tokio::time::Instant;

/// How long to wait before a feed that failed is asked for again.
const RETRY: Duration = Duration::from_secs(3);
/// Feeds of which it is remembered how they ended.
const REMEMBERED: usize = 1000;
/// How often it is asked how notifiers do.
const NOTIFIERS_MS: u64 = 60_000;

impl App {
    /// The link to the hub changed.
    pub(super) fn linked(&mut self, state: LinkState) {
        match &state {
            LinkState::Up(peer) => {
                tracing::info!(name = %peer.name, role = %peer.role, "up");
                self.admitted = Some(Instant::now());
                self.retry.clear();
            }
            LinkState::Connecting { last_error: Some(error), attempt, .. } => {
                tracing::warn!(attempt, "link: {error}");
            }
            LinkState::Refused(why) => tracing::error!("refused: {why}"),
            _ => {}
        }
        let now_ms = (self.options.now_ms)();
        self.store.apply(Update::new(move |store| {
            store.now_ms = now_ms;
            if store.is_up() {
                store.up_until_ms = Some(now_ms);
            }
            if let LinkState::Up(peer) = &state {
                store.hosts.me = Some(peer.clone());
                // What failed with the old link is asked for over the new one at once.
                store.feeds.clear();
                store.rights.renew();
            }
            store.link = state;
        }));
    }

    /// Starts the feeds that the pane needs and ends the others.
    pub(super) fn follow_feeds(&mut self) {
        self.look_after();
        let mut wanted = self.pane.feeds();
        wanted.extend(self.desks.others().flat_map(|part| part.pane.feeds()));
        wanted.extend(self.overlays.iter().flat_map(|overlay| overlay.feeds()));
        wanted.extend(self.approvals());
        wanted.extend(self.runs());
        wanted.extend(self.alerts());
        // What waits to be confirmed is shown on every page.
        let waiting = self.store.edits.hosts().into_iter();
        wanted.extend(waiting.map(|host| Subscription::new(Some(host), Pending::default())));
        if self.store.feeds.len() > REMEMBERED {
            let keys: Vec<FeedKey> = wanted.iter().map(|s| s.key).collect();
            self.retry.retain(|key, _| keys.contains(key));
            let wanted = Update::new(move |store| store.feeds.retain(|key, _| keys.contains(key)));
            self.store.apply(wanted);
        }
        let keys: Vec<(FeedKey, u64)> = wanted.iter().map(|s| (s.key, s.turn)).collect();
        let up = self.store.is_up();
        self.feeds.retain(|key, (turn, task)| {
            let keep = up && keys.contains(&(*key, *turn));
            if !keep {
                task.abort();
            }
            keep && !task.is_finished()
        });
        if !up {
            return;
        }
        for subscription in wanted {
            let key = subscription.key;
            if self.feeds.contains_key(&key) {
                continue;
            }
            if self.store.feeds.get(&key) == Some(&FeedState::Over) {
                continue;
            }
            if let Some(FeedState::Failed(error)) = self.store.feeds.get(&key) {
                if !is_passing(error) {
                    continue;
                }
                let now = Instant::now();
                let again = *self.retry.entry(key).or_insert(now + RETRY);
                if again > now {
                    continue;
                }
            }
            self.retry.remove(&key);
            let begin = Update::new(move |store| {
                store.feeds.insert(key, FeedState::Opening);
            });
            self.store.apply(begin);
            let turn = subscription.turn;
            let task = subscription.start(&self.store, self.link.clone(), self.sender.clone());
            self.feeds.insert(key, (turn, tokio::spawn(task).abort_handle()));
        }
    }

    /// The feed of requests for rights, which is followed on every page.
    fn approvals(&self) -> Option<Subscription> {
        let may = self.store.offer(Watch::METHOD, false, &[]) == Offer::Yes;
        may.then(|| Subscription::new(None, Watch {}))
    }

    /// The feed of runs that begin and end, which is followed on every page.
    fn runs(&self) -> Option<Subscription> {
        let may = [ListWatch::METHOD, List::METHOD];
        let may = may.iter().all(|verb| self.store.offer(verb, false, &[]) == Offer::Yes);
        let key = FeedKey::own::<ListWatch>(None, 1);
        may.then(|| Subscription::of_pane(key, ListWatch { brief: true }, live::news))
    }

    /// The feed of alerts, which is followed on every page.
    fn alerts(&self) -> Option<Subscription> {
        let may = self.store.offer(alerts::Watch::METHOD, false, &[]) == Offer::Yes;
        let key = FeedKey::own::<alerts::Watch>(None, 1);
        let watch = alerts::Watch::default();
        may.then(|| Subscription::of_pane(key, watch, store::alerts::taking()))
    }

    /// Asks now and then how notifiers do: nobody is told of alerts by one that fails.
    pub(super) fn look_at_notifiers(&mut self) {
        let now_ms = (self.options.now_ms)();
        let asked_ms = self.store.alerts.lists.asked_ms;
        let due = now_ms.saturating_sub(asked_ms) >= self.store.interval_ms(NOTIFIERS_MS);
        let may = self.store.offer(notifiers::List::METHOD, false, &[]) == Offer::Yes;
        if due && may {
            self.store.apply(Update::new(move |store| store.alerts.lists.asked_ms = now_ms));
            let done = |listing| (Some(lists::notifiers(listing)), Action::None);
            self.perform(Action::fetch(None, notifiers::List {}, PATIENCE, done));
        }
    }

    /// Asks for the runs that go on when the hub begins to tell of them.
    pub(super) fn look_at_runs(&mut self) {
        if self.store.runs.live.is_due((self.options.now_ms)()) {
            self.store.apply(live::asking());
            let list = List { open: true, ..List::default() };
            let done = |listing| (Some(live::came(listing)), Action::None);
            self.perform(Action::fetch(None, list, PATIENCE, done));
        }
    }
}
