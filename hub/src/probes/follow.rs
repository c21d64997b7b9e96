//! One agent: it is handed its set of probes, and handed another when there is one; its results are taken.

use super::Probes;
use crate::server::Hub;
use cmdr_link::{Client, Link};
use cmdr_protocol::probes::{Due, Watch};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::time::Duration;

/// After an agent's feed ended, it is asked again so much later.
const PAUSE: Duration = Duration::from_secs(5);

/// The same to be run: whether a first look is wanted at once does not matter.
fn same(a: &[Due], b: &[Due]) -> bool {
    let bare = |due: &Due| (due.version, due.probe.name.clone());
    a.len() == b.len() && a.iter().map(bare).eq(b.iter().map(bare))
}

impl Probes {
    /// Follows an agent for good; dropped when its link is down.
    pub async fn attend(&self, hub: &Hub, host: HostId, link: &Link) {
        let client = Client::new(link.clone());
        loop {
            match self.follow(hub, host, &client).await {
                Ok(()) => {}
                Err(e) if e.kind == ErrorKind::UnknownMethod => {
                    tracing::info!(%host, "its agent knows no probes; it runs none until it is upgraded");
                    return std::future::pending().await;
                }
                Err(e) => {
                    tracing::debug!(%host, "the feed of probes ended: {e}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Until the set is another one, or the feed ends.
    async fn follow(&self, hub: &Hub, host: HostId, client: &Client) -> Result<(), CallError> {
        let mut handed = self.handed.subscribe();
        let probes = self.due(host);
        let another = async |handed: &mut tokio::sync::watch::Receiver<u64>| {
            while handed.changed().await.is_ok() {
                if !same(&self.due(host), &probes) {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        if probes.is_empty() {
            another(&mut handed).await;
            return Ok(());
        }
        let mut feed = client.feed(Some(host), &Watch { probes: probes.clone() }).await?;
        let mut other = std::pin::pin!(another(&mut handed));
        loop {
            tokio::select! {
                () = &mut other => return Ok(()),
                item = feed.next() => match item {
                    Some(told) => self.take(hub, host, told?),
                    None => return Err(CallError::lost("the agent has ended the feed")),
                },
            }
        }
    }
}
