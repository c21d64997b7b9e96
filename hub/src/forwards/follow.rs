//! One host: it is given its forwards, and others when there are others; what it says of them is kept, and its connections
//! are joined.

use super::figures::{FIGURES, Seen};
use super::{Forwards, join};
use crate::server::Hub;
use cmdr_link::{Client, Link};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::forwards::kept::{Given, Hold, Kind, Stand, Told, Word};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// After a host's feed ended, it is asked again so much later.
const PAUSE: Duration = Duration::from_secs(5);
/// So often it is looked at whether operators may still have what their forwards lead to.
const LOOK: Duration = Duration::from_secs(1);
/// Connections of one host that are joined at once.
const MOST: usize = 4096;
/// Bytes kept of an error.
const TEXT: usize = 400;

impl Forwards {
    /// Follows a host for good; dropped, with all connections of its forwards, when its link is down.
    pub async fn attend(&self, hub: &Arc<Hub>, host: HostId, link: &Link) {
        let client = Client::new(link.clone());
        let mut joined = JoinSet::new();
        loop {
            match self.follow(hub, host, &client, &mut joined).await {
                Err(e) if e.kind == ErrorKind::UnknownMethod => {
                    tracing::debug!(%host, "its agent knows no forwards; it has none until it is upgraded");
                    return std::future::pending().await;
                }
                Err(e) => {
                    tracing::debug!(%host, "the feed of forwards ended: {e}");
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(()) => {}
            }
        }
    }

    /// Until the feed ends. A host that has no forwards is told so once: it may have had some when it was here last.
    async fn follow(
        &self,
        hub: &Arc<Hub>,
        host: HostId,
        client: &Client,
        joined: &mut JoinSet<()>,
    ) -> Result<(), CallError> {
        let mut handed = self.handed.subscribe();
        let mut given = self.given(hub, host);
        let (forwards, others) = by_kind(given.clone());
        let hold = Hold { forwards, others };
        // What is to be cut was, with the link.
        self.lock().cuts.remove(&host);
        let (mut items, mut words) = client.feed_for(None, Some(host), &hold).await?.split();
        if given.is_empty() {
            while items.next().await.transpose()?.is_some() {}
            while self.given(hub, host).is_empty() {
                handed.changed().await.map_err(|e| CallError::failed(e.to_string()))?;
            }
            return Ok(());
        }
        let (refuse, mut refused) = mpsc::channel(64);
        let mut look = tokio::time::interval(LOOK);
        let (mut take, mut seen) = (tokio::time::interval(FIGURES), Seen::default());
        loop {
            tokio::select! {
                item = items.next() => {
                    let Some(item) = item else {
                        return Err(CallError::lost("the agent has ended the feed"));
                    };
                    let Told { stands, knock } = item?;
                    for stand in stands {
                        self.stands(host, stand);
                    }
                    let Some(knock) = knock else { continue };
                    if joined.len() >= MOST {
                        let why = "the hub joins as many connections of this host as it may".to_owned();
                        words.send(&Word { refused: Some((knock.connection, why)), ..Word::default() }).await?;
                        continue;
                    }
                    let (hub, client, refuse) = (hub.clone(), client.clone(), refuse.clone());
                    joined.spawn(async move {
                        let number = knock.connection;
                        if let Err(e) = join::join(&hub, host, &client, knock).await {
                            refuse.send((number, e.message)).await.ok();
                        }
                    });
                }
                Some(refused) = refused.recv() => {
                    words.send(&Word { refused: Some(refused), ..Word::default() }).await?;
                }
                () = async {
                    tokio::select! {
                        changed = handed.changed() => drop(changed),
                        _ = look.tick() => {}
                    }
                } => {
                    handed.mark_unchanged();
                    let now = self.given(hub, host);
                    if now != given {
                        given.clone_from(&now);
                        let (forwards, others) = by_kind(now);
                        words.send(&Word { forwards: Some(forwards), others, ..Word::default() }).await?;
                    }
                    let cuts = self.lock().cuts.remove(&host).unwrap_or_default();
                    for cut in cuts {
                        words.send(&Word { cut, ..Word::default() }).await?;
                    }
                }
                _ = take.tick() => self.figures(hub, host, &given, &mut seen),
                Some(_) = joined.join_next(), if !joined.is_empty() => {}
            }
        }
    }

    /// Takes what a host says of one of its forwards.
    fn stands(&self, host: HostId, mut stand: Stand) {
        if self.of(host, &stand.name).is_none() {
            return;
        }
        for text in
            [&mut stand.problem, &mut stand.last_error, &mut stand.listening, &mut stand.not_direct]
        {
            *text = clean_to_width(text, TEXT);
        }
        self.lock().stands.insert(stand.name.clone(), stand);
    }
}

/// Those of kind tcp, and the others.
fn by_kind(given: Vec<Given>) -> (Vec<Given>, Vec<Given>) {
    given.into_iter().partition(|given| given.kind == Kind::Tcp)
}
