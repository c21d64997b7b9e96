//! How gateways do, and what is said to them while they run. What the data plane tells of all parts is told of one
//! gateway, by its own names.

use super::part;
use crate::Agent;
use cmdr_link::service::{Asked, Service};
use cmdr_protocol::display::clean;
use cmdr_protocol::gateways::{
    Ban, Banned, Bans, Drain, Ended, Figures, GroupFigures, ListenerFigures, Log, Logged, Status,
    Weight,
};
use cmdr_protocol::{CallError, Nothing};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    let service = service.on(status).on(log).on(bans);
    service.on(drain).on(weight).on(ban)
}

async fn ask(agent: &Agent, request: &Value) -> Result<Value, CallError> {
    let answer = agent.dataplane().ask(request).await;
    answer.map_err(|wrong| CallError::failed(clean(&wrong.join("; ")).into_owned()))
}

/// That a gateway is one of this host.
async fn known(agent: &Agent, name: &str) -> Result<u64, CallError> {
    match agent.gateways().version(name).await {
        0 => Err(CallError::not_found(format!(
            "this host runs no gateway '{}'; cmdr gateway ls says how it stands",
            cmdr_protocol::display::clean_to_width(name, 60)
        ))),
        version => Ok(version),
    }
}

/// What of a list has names that begin with the gateway's, without that.
fn own<T: DeserializeOwned>(answer: &Value, list: &str, of: &str, name: &str) -> Vec<T> {
    let begins = format!("{name}/");
    let all = answer.get(list).and_then(Value::as_array).into_iter().flatten();
    let own = all.filter_map(|one| {
        let short = one.get(of)?.as_str()?.strip_prefix(&begins)?.to_owned();
        let mut one = one.clone();
        *one.get_mut(of)? = short.into();
        serde_json::from_value(without_nulls(one)).ok()
    });
    own.collect()
}

/// What is not there is left out, so that it is as if nothing was said.
fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(map) = &mut value {
        map.retain(|_, value| !value.is_null());
    }
    value
}

async fn status(agent: Arc<Agent>, _: Asked, asked: Status) -> Result<Figures, CallError> {
    let version = known(&agent, &asked.name).await?;
    let answer = ask(&agent, &json!({"request": "status"})).await?;
    let number = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or_default();
    let listeners: Vec<ListenerFigures> = own(&answer, "listeners", "name", &asked.name);
    let groups: Vec<GroupFigures> = own(&answer, "groups", "name", &asked.name);
    let pid = u32::try_from(number("pid")).unwrap_or_default();
    Ok(Figures { at_ms: number("milliseconds"), pid, version, listeners, groups })
}

async fn log(agent: Arc<Agent>, _: Asked, asked: Log) -> Result<Logged, CallError> {
    known(&agent, &asked.name).await?;
    let answer = ask(&agent, &json!({"request": "log"})).await?;
    let ended: Vec<Ended> = own(&answer, "log", "listener", &asked.name);
    Ok(Logged { ended })
}

async fn bans(agent: Arc<Agent>, _: Asked, asked: Bans) -> Result<Banned, CallError> {
    #[derive(serde::Deserialize)]
    struct Told {
        policy: String,
        address: String,
        milliseconds: u64,
    }
    known(&agent, &asked.name).await?;
    let answer = ask(&agent, &json!({"request": "bans"})).await?;
    let told: Vec<Told> = own(&answer, "bans", "policy", &asked.name);
    let bans = told.into_iter().map(|ban| (ban.policy, ban.address, ban.milliseconds));
    Ok(Banned { bans: bans.collect() })
}

async fn drain(agent: Arc<Agent>, asked: Asked, drain: Drain) -> Result<Nothing, CallError> {
    known(&agent, &drain.name).await?;
    let full = |name: &str| format!("{}/{name}", drain.name);
    let request = match &drain.listener {
        Some(listener) => {
            json!({"request": "drain", "listener": full(listener), "off": drain.off})
        }
        None => json!({
            "request": "drain", "group": full(&drain.group), "upstream": drain.upstream,
            "seconds": drain.seconds, "off": drain.off,
        }),
    };
    said(&agent, &asked, &drain.name, &request).await
}

async fn weight(agent: Arc<Agent>, asked: Asked, weight: Weight) -> Result<Nothing, CallError> {
    known(&agent, &weight.name).await?;
    let group = format!("{}/{}", weight.name, weight.group);
    // Growing ones first: between two of them no group is left without any.
    let mut weights = weight.weights;
    weights.sort_by_key(|(_, weight)| std::cmp::Reverse(weight.unwrap_or(u32::MAX)));
    for (upstream, weight_) in weights {
        let request = json!({
            "request": "weight", "group": group, "upstream": upstream, "weight": weight_,
        });
        said(&agent, &asked, &weight.name, &request).await?;
    }
    Ok(Nothing {})
}

async fn ban(agent: Arc<Agent>, asked: Asked, ban: Ban) -> Result<Nothing, CallError> {
    known(&agent, &ban.name).await?;
    let request = json!({
        "request": "ban", "policy": format!("{}/{}", ban.name, ban.policy),
        "address": ban.address, "seconds": ban.seconds,
    });
    said(&agent, &asked, &ban.name, &request).await
}

async fn said(
    agent: &Agent,
    asked: &Asked,
    name: &str,
    request: &Value,
) -> Result<Nothing, CallError> {
    ask(agent, request).await?;
    let by = asked.caller.as_ref().map(|caller| clean(&caller.name).into_owned());
    tracing::info!(part = part(name), by, "{request}");
    Ok(Nothing {})
}
