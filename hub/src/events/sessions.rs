//! Sessions that end when nobody watches them through here: their host is asked which there are, for as long as it has
//! any, and one that is not among them any more has ended. Whoever was there tells it first.

use super::Events;
use crate::server::Hub;
use cmdr_link::{Client, Link};
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::sessions::{List, Session, Watch};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// After the feed ended it is asked for again so much later.
const PAUSE: Duration = Duration::from_secs(5);
/// As long as that where the agent does not have it: it is older, or its policy says so.
const SELDOM: Duration = Duration::from_mins(10);
/// Who was there has so long to tell of an end.
const FIRST: Duration = Duration::from_secs(1);
/// How long a host may take to say which there are.
const PATIENCE: Duration = Duration::from_secs(10);
/// Sessions of one host that are followed.
const MOST: usize = 1024;

/// The sessions that go on, as far as is known here.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    hosts: Mutex<HashMap<HostId, OfHost>>,
}

#[derive(Debug, Default)]
struct OfHost {
    /// Whose each is.
    known: BTreeMap<String, String>,
    /// There are some now.
    begun: Arc<Notify>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<HostId, OfHost>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what is told.
    pub(super) fn heard(&self, event: &Event) {
        let (Some(host), Some(id)) = (event.host, event.about.strip_prefix("session:")) else {
            return;
        };
        let mut hosts = self.lock();
        match event.what {
            What::SessionBegun => {
                let of = hosts.entry(host).or_default();
                if of.known.len() < MOST {
                    of.known.insert(id.to_owned(), event.operator.clone());
                }
                of.begun.notify_one();
            }
            What::SessionEnded => {
                if let Some(of) = hosts.get_mut(&host) {
                    of.known.remove(id);
                }
            }
            _ => {}
        }
    }

    fn begun(&self, host: HostId) -> Arc<Notify> {
        self.lock().entry(host).or_default().begun.clone()
    }

    fn has_none(&self, host: HostId) -> bool {
        self.lock().get(&host).is_none_or(|of| of.known.is_empty())
    }

    /// Takes in which sessions a host has; those that are gone.
    fn there(&self, host: HostId, sessions: Vec<Session>) -> Vec<String> {
        let mut hosts = self.lock();
        let known = &mut hosts.entry(host).or_default().known;
        let ids: BTreeSet<_> = sessions.iter().map(|session| session.id.clone()).collect();
        let gone = known.keys().filter(|id| !ids.contains(*id)).cloned().collect();
        for session in sessions {
            if known.len() < MOST {
                known.entry(session.id).or_insert(session.operator);
            }
        }
        gone
    }

    /// Whose a session was that nobody has told the end of; once.
    fn take(&self, host: HostId, id: &str) -> Option<String> {
        self.lock().get_mut(&host)?.known.remove(id)
    }
}

/// Follows the sessions of a host for good; dropped when its link is down.
pub(crate) async fn follow(hub: &Arc<Hub>, host: HostId, link: &Link) {
    let client = Client::new(link.clone());
    loop {
        let pause = match listen(hub, host, &client).await {
            Err(e) if matches!(e.kind, ErrorKind::UnknownMethod | ErrorKind::Denied) => SELDOM,
            Ok(()) => PAUSE,
            Err(e) => {
                tracing::debug!(%host, "the feed of sessions ended: {e}");
                PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn listen(hub: &Arc<Hub>, host: HostId, client: &Client) -> Result<(), CallError> {
    let events = &hub.fleet.events;
    let begun = events.sessions.begun(host);
    // What ended while its link was down has ended; what goes on from before is known from here on.
    let here = client.call(Some(host), &List {}, PATIENCE).await?.sessions;
    end(hub, host, client, events.sessions.there(host, here)).await?;
    loop {
        while events.sessions.has_none(host) {
            begun.notified().await;
        }
        let mut feed = client.feed(Some(host), &Watch {}).await?;
        while let Some(listing) = feed.next().await {
            let gone = events.sessions.there(host, listing?.sessions);
            end(hub, host, client, gone).await?;
            if events.sessions.has_none(host) {
                break;
            }
        }
        if !events.sessions.has_none(host) {
            return Ok(());
        }
    }
}

/// Tells the ends of sessions that are gone, unless somebody else has meanwhile.
async fn end(
    hub: &Arc<Hub>,
    host: HostId,
    client: &Client,
    gone: Vec<String>,
) -> Result<(), CallError> {
    if gone.is_empty() {
        return Ok(());
    }
    tokio::time::sleep(FIRST).await;
    let here = client.call(Some(host), &List {}, PATIENCE).await?.sessions;
    let events: &Events = &hub.fleet.events;
    for id in gone.into_iter().filter(|id| here.iter().all(|session| session.id != *id)) {
        if let Some(operator) = events.sessions.take(host, &id) {
            events.tell(Event {
                what: What::SessionEnded,
                host: Some(host),
                host_name: hub.fleet.name(host).unwrap_or_default(),
                operator,
                about: format!("session:{id}"),
                message: "nobody was attached".to_owned(),
                ..Event::default()
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: What, id: &str) -> Event {
        let about = format!("session:{id}");
        Event {
            what,
            host: Some(HostId([1; 16])),
            about,
            operator: "ann".into(),
            ..Event::default()
        }
    }

    #[test]
    fn an_end_is_told_once_by_whoever_tells_it_first() {
        let (sessions, host) = (Sessions::default(), HostId([1; 16]));
        for id in ["a", "b"] {
            sessions.heard(&event(What::SessionBegun, id));
        }
        let on = |id: &str| Session { id: id.into(), operator: "bob".into(), ..Session::default() };
        // One from before this hub knew of any is known from here on.
        assert!(sessions.there(host, vec![on("a"), on("b"), on("c")]).is_empty());
        assert_eq!(sessions.there(host, vec![on("a")]), ["b", "c"]);
        sessions.heard(&event(What::SessionEnded, "b"));
        assert_eq!(sessions.take(host, "b"), None);
        assert_eq!(sessions.take(host, "c").as_deref(), Some("bob"));
        assert_eq!(sessions.take(host, "c"), None);
        assert_eq!(sessions.take(host, "a").as_deref(), Some("ann"));
        assert!(sessions.has_none(host));
    }
}
