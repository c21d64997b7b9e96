//! What the hub itself asks of each agent while its link is up: facts once, figures each second, and first what the
//! history has missed of them while the link was away.

use crate::fleet::Fleet;
use crate::server::Hub;
use cmdr_link::{Client, Link, clock};
use cmdr_protocol::{CallError, HostId, facts, metrics};
use std::time::Duration;

/// After an agent's feed ended, it is asked again so much later.
const PAUSE: Duration = Duration::from_secs(5);
/// A sample that is older than this is of the past.
const PAST_MS: u64 = 15_000;
/// How often facts are asked for while the link lasts; they change seldom, but they do.
const FACTS_EVERY: Duration = Duration::from_mins(10);

/// Watches an agent for good; dropped when its link is down.
pub async fn watch(hub: &Hub, id: HostId, link: &Link) {
    let client = Client::new(link.clone());
    tokio::join!(facts(&hub.fleet, id, &client), figures(hub, id, link, &client));
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

async fn figures(hub: &Hub, id: HostId, link: &Link, client: &Client) {
    loop {
        if let Err(e) = follow(hub, id, link, client).await {
            tracing::debug!(%id, "the feed of figures ended: {e}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn follow(hub: &Hub, id: HostId, link: &Link, client: &Client) -> Result<(), CallError> {
    let (history, step_ms) = hub.history.missing(id);
    let ask = metrics::Watch { interval_ms: 1000, history, step_ms };
    let mut feed = client.feed(Some(id), &ask).await?;
    while let Some(item) = feed.next().await {
        let sample = item?;
        let skew = link.health().skew_ms;
        let means = hub.history.take(id, &sample, skew);
        // What is told of the past is none of the fleet's newest figures.
        let past = clock::now_ms().saturating_add_signed(skew.unwrap_or(0)).saturating_sub(PAST_MS);
        if sample.at_ms >= past {
            hub.fleet.sample(id, &sample);
            if let Some(means) = means {
                hub.alerts.tell(id, &means);
            }
        }
    }
    Ok(())
}
