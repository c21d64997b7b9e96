//! The feed of a session that is shown: begun when the pane is seen, ended when it is not, begun anew by
//! itself after the link was away.

use crate::event::Event;
use crate::link::Link;
use crate::panes::{Subscription, Task};
use crate::store::sessions::{WAITING, item, joined, opening, over};
use crate::store::{FeedKey, FeedState, Update};
use cmdr_protocol::sessions::{Attach, Input, Item, Join, Mode, Open, Size};
use cmdr_protocol::{CallError, Feed, HostId};
use tokio::sync::mpsc;

/// How one comes to a session.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum How {
    /// It is made.
    New(Open),
    /// It is one's own; with what it was opened as.
    Own(String, Mode, String),
    /// It is somebody else's.
    Other(String, Mode),
}

/// The feed, for a pane of this number; another `turn` begins it anew.
pub(super) fn subscription(
    host: HostId,
    owner: u64,
    turn: u64,
    how: How,
    size: Size,
) -> Subscription {
    let key = FeedKey::own::<Attach>(Some(host), owner);
    Subscription::own(key, turn, move |_, link, events| -> Task {
        let at = At { key, host, owner, size, events };
        match how {
            How::New(open) => Box::pin(at.follow(link, Open { size, ..open })),
            How::Own(id, mode, opened) => {
                Box::pin(at.follow(link, Attach { id, mode, size, opened }))
            }
            How::Other(id, mode) => Box::pin(at.follow(link, Join { id, mode, size })),
        }
    })
}

struct At {
    key: FeedKey,
    host: HostId,
    owner: u64,
    size: Size,
    events: mpsc::Sender<Event>,
}

impl At {
    async fn tell(&self, update: Update) -> bool {
        self.events.send(Event::Update(update)).await.is_ok()
    }

    async fn follow<F: Feed<Input = Input, Item = Item>>(self, link: Link, feed: F) {
        self.tell(opening(self.owner)).await;
        let end = self.run(link, feed).await;
        let (key, owner) = (self.key, self.owner);
        let failed = end.clone().unwrap_or_else(|| CallError::lost(""));
        self.tell(Update::new(move |store| {
            store.feeds.insert(key, FeedState::Failed(failed));
        }))
        .await;
        // The app is gone when nobody takes it: then nobody needs it.
        self.tell(over(owner, end)).await;
    }

    /// Until it ends: properly, or with an error.
    async fn run<F: Feed<Input = Input, Item = Item>>(
        &self,
        link: Link,
        feed: F,
    ) -> Option<CallError> {
        let (mut items, mut inputs) = match link.both(Some(self.host), feed).await {
            Ok(both) => both.split(),
            Err(error) => return Some(error),
        };
        let (line, mut typed) = mpsc::channel(WAITING);
        self.tell(joined(self.owner, self.size, line)).await;
        let key = self.key;
        let read = async {
            loop {
                match items.next().await {
                    Some(Ok(item)) => {
                        let owner = self.owner;
                        let live = Update::new(move |store| {
                            store.feeds.insert(key, FeedState::Live);
                            store.apply(self::item(owner, item));
                        });
                        if !self.tell(live).await {
                            return None;
                        }
                    }
                    Some(Err(error)) => return Some(error),
                    None => return None,
                }
            }
        };
        let write = async {
            while let Some(input) = typed.recv().await {
                if inputs.send(&input).await.is_err() {
                    break;
                }
            }
            // Why it broke is told by what is read.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            end = read => end,
            () = write => None,
        }
    }
}
