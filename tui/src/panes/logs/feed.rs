//! The feed of one source: its items go into the store one at a time, so that a host is read no faster
//! than its lines are taken in, and what the pane wants to say goes the other way.

use crate::event::Event;
use crate::link::Link;
use crate::panes::{Subscription, Task};
use crate::store::logs::{self, Stream};
use crate::store::{FeedKey, FeedState, Store, Update};
use cmdr_protocol::logs::Follow;
use cmdr_protocol::{CallError, HostId};
use tokio::sync::{mpsc, oneshot};

/// Sources of one host that are followed at once.
pub(super) const MOST: usize = 16;
/// Streams of one pane whose feeds can be told apart.
const STREAMS: u64 = 1 << 8;

/// The key of a stream's feed: which of which pane's it is.
pub(super) fn key(owner: u64, streams: &[(HostId, String)], at: usize) -> Option<FeedKey> {
    let host = streams.get(at)?.0;
    Some(FeedKey::own::<Follow>(Some(host), owner * STREAMS + at as u64))
}

/// The feed of a stream; another `turn` ends it and begins anew.
pub(super) fn subscription(
    owner: u64,
    at: usize,
    (key, turn): (FeedKey, u64),
    host: HostId,
    follow: Follow,
) -> Subscription {
    let run = move |store: &Store, link: Link, events: mpsc::Sender<Event>| -> Task {
        let known = store.logs.get(owner).and_then(|logs| logs.streams.get(at));
        let asked = known.map(|stream: &Stream| logs::asking(stream, follow.clone()));
        Box::pin(async move {
            let Some(asked) = asked else { return };
            let end = match run(owner, at, key, host, asked, &link, &events).await {
                Ok(()) => FeedState::Over,
                Err(error) => FeedState::Failed(error),
            };
            let update = Update::new(move |store| {
                store.feeds.insert(key, end);
                store.apply(logs::ended(owner, at));
            });
            // The app is gone when nobody takes it: then nobody needs it.
            drop(events.send(Event::Update(update)).await);
        })
    };
    Subscription::own(key, turn, run)
}

/// Asks for those that have come to their end once more: by another filter there may be more.
pub(super) fn anew(owner: u64, streams: &[(HostId, String)]) -> Update {
    let keys: Vec<FeedKey> = (0..streams.len()).filter_map(|at| key(owner, streams, at)).collect();
    Update::new(move |store| {
        store.feeds.retain(|key, state| *state != FeedState::Over || !keys.contains(key));
    })
}

/// Until the host says that nothing more comes.
async fn run(
    owner: u64,
    at: usize,
    key: FeedKey,
    host: HostId,
    asked: Follow,
    link: &Link,
    events: &mpsc::Sender<Event>,
) -> Result<(), CallError> {
    let gone = || CallError::lost("");
    let (mut items, mut far) = link.both(Some(host), asked).await?;
    let (inputs, mut said) = mpsc::channel(8);
    if events.send(Event::Update(logs::begun(owner, at, inputs))).await.is_err() {
        return Err(gone());
    }
    loop {
        let item = tokio::select! {
            item = items.next() => item,
            Some(input) = said.recv() => {
                far.send(&input).await?;
                continue;
            }
        };
        match item {
            Some(Ok(item)) => {
                let (done, taken) = oneshot::channel();
                let came = logs::came(owner, at, item);
                let update = Update::new(move |store| {
                    store.feeds.insert(key, FeedState::Live);
                    store.apply(came);
                    // Nobody waits for it when the feed was ended meanwhile.
                    done.send(()).ok();
                });
                if events.send(Event::Update(update)).await.is_err() || taken.await.is_err() {
                    return Err(gone());
                }
            }
            Some(Err(error)) => return Err(error),
            None => return Ok(()),
        }
    }
}
