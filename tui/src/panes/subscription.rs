//! Feeds that panes want while they are seen: what brings their items to the store. The app starts and ends them.

use crate::event::Event;
use crate::link::Link;
use crate::store::{FeedKey, FeedState, Store, Stored, Update};
use cmdr_protocol::{CallError, Feed, HostId};
use std::future::Future;
use std::pin::Pin;
use tokio::sync::mpsc;

pub(super) type Run = Box<dyn FnOnce(&Store, Link, mpsc::Sender<Event>) -> Task>;
/// What follows a feed.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A feed that is wanted.
pub struct Subscription {
    /// Which.
    pub key: FeedKey,
    /// Another number ends the one that runs and begins anew.
    pub turn: u64,
    pub(super) run: Run,
}

impl Subscription {
    /// A feed whose items go into the store.
    pub fn new<F: Stored>(host: Option<HostId>, feed: F) -> Self {
        let key = FeedKey::of(host, &feed);
        let run = move |store: &Store, link: Link, events: mpsc::Sender<Event>| -> Task {
            let feed = feed.resumed(store, host);
            let apply = move |store: &mut Store, item| F::apply(store, host, item);
            Box::pin(follow(link, key, feed, events, apply))
        };
        Self { key, turn: 0, run: Box::new(run) }
    }

    /// A feed of one pane, whose items are its own.
    pub fn of_pane<F: Feed + 'static>(
        key: FeedKey,
        feed: F,
        apply: impl Fn(&mut Store, F::Item) + Clone + Send + 'static,
    ) -> Self {
        let run = move |_: &Store, link: Link, events: mpsc::Sender<Event>| -> Task {
            Box::pin(follow(link, key, feed, events, apply))
        };
        Self { key, turn: 0, run: Box::new(run) }
    }

    /// The same, going on from where the store has it.
    pub fn resuming<F: Feed + 'static>(
        key: FeedKey,
        feed: impl FnOnce(&Store) -> F + 'static,
        apply: impl Fn(&mut Store, F::Item) + Clone + Send + 'static,
    ) -> Self {
        let run = move |store: &Store, link: Link, events: mpsc::Sender<Event>| -> Task {
            Box::pin(follow(link, key, feed(store), events, apply))
        };
        Self { key, turn: 0, run: Box::new(run) }
    }

    /// A feed with a task of its own, which says itself how it is.
    pub fn own(
        key: FeedKey,
        turn: u64,
        run: impl FnOnce(&Store, Link, mpsc::Sender<Event>) -> Task + 'static,
    ) -> Self {
        Self { key, turn, run: Box::new(run) }
    }

    /// The task that follows it to its end.
    pub fn start(self, store: &Store, link: Link, events: mpsc::Sender<Event>) -> Task {
        (self.run)(store, link, events)
    }
}

/// Brings items to the store until the feed ends. When the queue is full the feed waits, and the
/// far end drops to its newest state.
async fn follow<F: Feed>(
    link: Link,
    key: FeedKey,
    feed: F,
    events: mpsc::Sender<Event>,
    apply: impl Fn(&mut Store, F::Item) + Clone + Send + 'static,
) {
    let end = match link.feed(key.host, feed).await {
        Err(error) => error,
        Ok(mut items) => loop {
            match items.next().await {
                Some(Ok(item)) => {
                    let apply = apply.clone();
                    let update = Update::new(move |store| {
                        store.feeds.insert(key, FeedState::Live);
                        apply(store, item);
                    });
                    if events.send(Event::Update(update)).await.is_err() {
                        return;
                    }
                }
                Some(Err(error)) => break error,
                None => break CallError::lost("the feed ended"),
            }
        },
    };
    let update = Update::new(move |store| {
        store.feeds.insert(key, FeedState::Failed(end));
    });
    // The app is gone when nobody takes it: then nobody needs it.
    drop(events.send(Event::Update(update)).await);
}
