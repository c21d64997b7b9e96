//! What the hub itself asks of each agent while its link is up: facts once, figures each second.

use crate::fleet::Fleet;
use cmdr_link::{Client, Link};
use cmdr_protocol::{CallError, HostId, facts, metrics};
use std::time::Duration;

/// After an agent's feed ended, it is asked again so much later.
const PAUSE: Duration = Duration::from_secs(5);
/// How often facts are asked for while the link lasts; they change seldom, but they do.
const FACTS_EVERY: Duration = Duration::from_mins(10);

/// Watches an agent for good; dropped when its link is down.
pub async fn watch(fleet: &Fleet, id: HostId, link: &Link) {
    let client = Client::new(link.clone());
    tokio::join!(facts(fleet, id, &client), figures(fleet, id, &client));
}

async fn facts(fleet: &Fleet, id: HostId, client: &Client) {
    loop {
        match client.call(Some(id), &facts::Get {}, Duration::from_secs(10)).await {
            Ok(facts) => {
                if let Err(e) = fleet.set_facts(id, facts).await {
                    tracing::debug!(%id, "facts were not kept: {e}");
                }
            }
            Err(e) => tracing::debug!(%id, "asking for facts: {e}"),
        }
        tokio::time::sleep(FACTS_EVERY).await;
    }
}

async fn figures(fleet: &Fleet, id: HostId, client: &Client) {
    loop {
        if let Err(e) = follow(fleet, id, client).await {
            tracing::debug!(%id, "the feed of figures ended: {e}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn follow(fleet: &Fleet, id: HostId, client: &Client) -> Result<(), CallError> {
    let mut feed = client
        .feed(
            Some(id),
            &metrics::Watch { interval_ms: 1000, history: 0, ..metrics::Watch::default() },
        )
        .await?;
    while let Some(item) = feed.next().await {
        fleet.sample(id, &item?);
    }
    Ok(())
}
