//! What the hub itself asks of each agent while its link is up: facts once, figures each second, and first what the
//! history has missed of them while the link was away; how things stand, for rules; and what came of the rules that it
//! looked at itself. And it is given its gateways.

use crate::fleet::Fleet;
use crate::server::Hub;
use cmdr_link::{Client, Link, clock};
use cmdr_protocol::{CallError, ErrorKind, HostId, facts, metrics, states};
use std::time::Duration;

/// After an agent's feed ended, it is asked again so much later.
const PAUSE: Duration = Duration::from_secs(5);
/// A sample that is older than this is of the past.
const PAST_MS: u64 = 15_000;
/// How often facts are asked for while the link lasts; they change seldom, but they do.
const FACTS_EVERY: Duration = Duration::from_mins(10);
/// How often it is looked whether other rules are for a host, when no rule has changed.
const RULES_EVERY: Duration = Duration::from_mins(1);

/// Watches an agent for good; dropped when its link is down.
pub async fn watch(hub: &Hub, id: HostId, link: &Link) {
    let client = Client::new(link.clone());
    tokio::join!(
        facts(&hub.fleet, id, &client),
        figures(hub, id, link, &client),
        states(hub, id, &client),
        rules(hub, id, link, &client),
        hub.gateways.attend(hub, id, &client)
    );
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
        let ended = tokio::select! {
            ended = follow(hub, id, link, client) => ended,
            // Only now can it be known what was missed: an agent may be back before the history is open.
            () = hub.history.opened() => continue,
        };
        if let Err(e) = ended {
            tracing::debug!(%id, "the feed of figures ended: {e}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The rules that the host's agent looks at while the hub is away, whenever they are others, and what came of them.
async fn rules(hub: &Hub, id: HostId, link: &Link, client: &Client) {
    let mut changed = hub.alerts.carried();
    let mut given = None;
    loop {
        changed.mark_unchanged();
        let wanted = hub.alerts.carry(hub, id);
        if wanted.is_some() && wanted != given {
            match hub.alerts.ask(hub, id, link, client, wanted.clone().unwrap_or_default()).await {
                Ok(()) => given = wanted,
                Err(e) => {
                    tracing::debug!(%id, "its rules were not given to it: {e}");
                    // An agent from before there was this is not asked again and again.
                    let pause = if e.kind == ErrorKind::NotFound { FACTS_EVERY } else { PAUSE };
                    tokio::time::sleep(pause).await;
                    continue;
                }
            }
        }
        // Which hosts a rule is for may depend on what a host tells of itself: looked at now and then.
        drop(tokio::time::timeout(RULES_EVERY, changed.changed()).await);
    }
}

/// How things stand there, for rules.
async fn states(hub: &Hub, id: HostId, client: &Client) {
    let mut wanted = hub.alerts.units();
    loop {
        let units = wanted.borrow_and_update().clone();
        let ended = tokio::select! {
            ended = stands(hub, id, client, units) => ended.err(),
            // Rules ask for others now.
            _ = wanted.changed() => None,
        };
        if let Some(e) = ended {
            tracing::debug!(%id, "the feed of states ended: {e}");
            // An agent from before there was this is not asked again and again.
            let pause = if e.kind == ErrorKind::NotFound { FACTS_EVERY } else { PAUSE };
            tokio::time::sleep(pause).await;
        }
    }
}

async fn stands(
    hub: &Hub,
    id: HostId,
    client: &Client,
    units: Vec<String>,
) -> Result<(), CallError> {
    let mut feed = client.feed(Some(id), &states::Watch { units }).await?;
    while let Some(item) = feed.next().await {
        hub.alerts.tell_states(id, &item?);
    }
    Ok(())
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
