//! Asks all hosts that are online the same, so many at once. It is a task like that of a feed: the app begins it
//! when who wants it is seen, and ends it together with the calls under way when that is over, or when
//! something else is wanted. The lists over the fleet and the finder use it.

use super::{Subscription, Task};
use crate::event::Event;
use crate::link::Link;
use crate::store::{FeedKey, FeedState, Store, Update};
use cmdr_protocol::HostId;
use cmdr_protocol::hosts::HostState;
use futures::StreamExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Hosts asked at once.
pub(crate) const AT_ONCE: usize = 16;
/// Nothing is asked before a text that is being typed has stood still for so long.
pub(crate) const STILL: Duration = Duration::from_millis(250);

/// What one host answered, as a change.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Update> + Send>>;
/// Asks one host.
pub(crate) type Asks = Arc<dyn Fn(Link, HostId) -> Answering + Send + Sync>;

/// Who is asked, and how.
pub(crate) struct Round {
    /// In this order.
    pub(crate) hosts: Vec<HostId>,
    /// The round begins.
    pub(crate) begun: Update,
    /// Asks one.
    pub(crate) asks: Asks,
}

/// Those that are online, in an order that stays.
pub(crate) fn online(store: &Store) -> Vec<HostId> {
    let rows = store.hosts.rows.iter();
    let mut online: Vec<HostId> = rows
        .filter(|(_, row)| row.host.state == HostState::Online)
        .map(|(host, _)| *host)
        .collect();
    online.sort_unstable();
    online
}

/// Asks them; `after` is waited first, and another `turn` ends it and begins anew.
pub(crate) fn subscription(
    key: FeedKey,
    turn: u64,
    after: Duration,
    round: impl FnOnce(&Store) -> Round + 'static,
) -> Subscription {
    let run = move |store: &Store, link: Link, events: mpsc::Sender<Event>| -> Task {
        let Round { hosts, begun, asks } = round(store);
        Box::pin(async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            let begins = Update::new(move |store| {
                store.feeds.insert(key, FeedState::Live);
                store.apply(begun);
            });
            if events.send(Event::Update(begins)).await.is_err() {
                return;
            }
            let ask = move |host| asks(link.clone(), host);
            let mut answers = futures::stream::iter(hosts).map(ask).buffer_unordered(AT_ONCE);
            while let Some(answer) = answers.next().await {
                // The app is gone when nobody takes it: then nobody needs the others.
                if events.send(Event::Update(answer)).await.is_err() {
                    return;
                }
            }
            // It goes on until that is known: one that has ended before is begun anew.
            let (done, known) = oneshot::channel();
            let over = Update::new(move |store| {
                store.feeds.insert(key, FeedState::Over);
                // Nobody waits for it when the task was ended meanwhile.
                done.send(()).ok();
            });
            if events.send(Event::Update(over)).await.is_ok() {
                drop(known.await);
            }
        })
    };
    Subscription::own(key, turn, run)
}
