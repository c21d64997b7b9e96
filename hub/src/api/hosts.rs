//! Hosts: which there are, how they are, who waits to join.

use super::bearer::Program;
use super::body::{Json, Named, Params};
use super::problem::{Problem, Problems, ProblemsOfBody, ProblemsOfOne};
use axum::http::StatusCode;
use cmdr_protocol::hosts::{self, HostState, Labels};
use cmdr_protocol::{HostId, facts, selector};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// Whether a host can be asked something.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Its link is up.
    Online,
    /// It belongs to the fleet, but has no link now.
    Away,
    /// Its key waits for an administrator.
    Pending,
}

/// A host.
#[derive(Serialize, ToSchema)]
pub(super) struct Host {
    /// The hash of its key: 26 letters and digits.
    id: String,
    /// Unique in the fleet.
    #[schema(example = "web1")]
    name: String,
    state: State,
    labels: BTreeMap<String, String>,
    /// The version of its agent; empty before its first link.
    agent: String,
    /// The address that it dials from; empty while it is away.
    address: String,
    /// When its link came up, milliseconds since 1970.
    online_since_ms: Option<u64>,
    /// When it was last heard of, milliseconds since 1970.
    last_seen_ms: Option<u64>,
    /// Why its last link ended; empty when there was none.
    last_drop: String,
    /// When it joined, milliseconds since 1970.
    joined_ms: u64,
    /// What it is; absent until it told.
    facts: Option<Facts>,
}

/// What a host is.
#[derive(Serialize, ToSchema)]
struct Facts {
    /// The host's own name for itself.
    hostname: String,
    /// Its addresses other than loopback.
    addresses: Vec<String>,
    /// The ID of os-release.
    #[schema(example = "debian")]
    os: String,
    os_version: String,
    kernel: String,
    #[schema(example = "x86_64")]
    arch: String,
    virtualization: String,
    /// Logical processors.
    cores: u32,
    /// The model of the processor.
    cpu: String,
    /// Bytes of memory.
    memory: u64,
    /// Bytes of swap.
    swap: u64,
    /// The version of its Docker engine, when there is one.
    docker: Option<String>,
    /// When it started, milliseconds since 1970.
    booted_at_ms: u64,
}

impl From<facts::Facts> for Facts {
    fn from(facts: facts::Facts) -> Self {
        Self {
            hostname: facts.hostname,
            addresses: facts.addresses,
            os: facts.os,
            os_version: facts.os_version,
            kernel: facts.kernel,
            arch: facts.arch,
            virtualization: facts.virtualization,
            cores: facts.cores,
            cpu: facts.cpu,
            memory: facts.memory,
            swap: facts.swap,
            docker: facts.docker,
            booted_at_ms: facts.booted_at_ms,
        }
    }
}

impl From<hosts::Host> for Host {
    fn from(host: hosts::Host) -> Self {
        Self {
            id: host.id.map(|id| id.to_string()).unwrap_or_default(),
            name: host.name,
            state: match host.state {
                HostState::Online => State::Online,
                HostState::Away | HostState::Unknown => State::Away,
                HostState::Pending => State::Pending,
            },
            labels: host.labels,
            agent: host.agent,
            address: host.address,
            online_since_ms: host.online_since_ms,
            last_seen_ms: host.last_seen_ms,
            last_drop: host.last_drop,
            joined_ms: host.joined_ms,
            facts: host.facts.map(Facts::from),
        }
    }
}

/// Which hosts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Picks hosts: `web*`, `role=web,env!=prod`, `state=online`. All by default, those that wait left out.
    #[serde(default)]
    selector: String,
    /// The name of the last host of the page before.
    #[serde(default)]
    after: String,
    /// How many at most; a page may have fewer and not be the last.
    #[serde(default = "page")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

const fn page() -> u32 {
    100
}

/// How many things a page has, as the request wants it.
pub(super) fn within(limit: u32, most: u32) -> Result<usize, Problem> {
    if (1..=most).contains(&limit) {
        return Ok(limit as usize);
    }
    Err(Problem::malformed(format!("limit is a number from 1 to {most}")))
}

/// A page of hosts.
#[derive(Serialize, ToSchema)]
pub(super) struct Hosts {
    /// By name.
    hosts: Vec<Host>,
    /// What to give as `after` for the next page; absent on the last.
    next: Option<String>,
}

/// Lists hosts.
///
/// Those that the key may not see are left out.
#[utoipa::path(
    get, path = "/v1/hosts", operation_id = "listHosts", tag = "hosts", params(Which),
    responses((status = 200, description = "A page of hosts, by name", body = Hosts), Problems),
    security(("key" = []))
)]
pub(super) async fn list(
    program: Program,
    Params(which): Params<Which>,
) -> Result<axum::Json<Hosts>, Problem> {
    let limit = within(which.limit, hosts::PAGE)? as u32;
    let (selector, after) = (which.selector, which.after);
    let list = hosts::List { selector, after, limit, brief: false };
    let hosts::Listing { hosts, next } = program.ask(&list).await?;
    let next = Some(next).filter(|next| !next.is_empty());
    Ok(axum::Json(Hosts { hosts: hosts.into_iter().map(Host::from).collect(), next }))
}

/// The host of an id or a name, as far as the program may see it.
pub(super) async fn find(program: &Program, text: &str) -> Result<hosts::Host, Problem> {
    let shown = cmdr_protocol::display::clean_to_width(text, 80);
    let none =
        || Problem::not_found(format!("there is no host '{shown}'; GET /v1/hosts lists them"));
    // A name that could be read as more than a name is nobody's. As a selector a name is read as an id too.
    if selector::check_name(text).is_err() {
        return Err(none());
    }
    let id = text.parse::<HostId>().ok();
    let written = id.map_or_else(|| text.to_owned(), |id| id.to_string());
    let either = |and: &str| format!("{text}{and}|{written}{and}");
    for selector in [either(""), either(",state=pending")] {
        let found = program.ask(&hosts::List::of(selector)).await?.hosts.into_iter();
        let mut fits = found.filter(|host| host.name == text || (id.is_some() && host.id == id));
        if let Some(host) = fits.next() {
            return Ok(host);
        }
    }
    Err(none())
}

fn id_of(host: &hosts::Host) -> Result<HostId, Problem> {
    host.id.ok_or_else(|| Problem::not_found("the host has no id"))
}

/// Shows a host.
#[utoipa::path(
    get, path = "/v1/hosts/{host}", operation_id = "showHost", tag = "hosts",
    params(("host" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The host", body = Host), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn show(
    program: Program,
    Named(host): Named<String>,
) -> Result<axum::Json<Host>, Problem> {
    find(&program, &host).await.map(Host::from).map(axum::Json)
}

/// What to change about a host.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// Another name.
    name: Option<String>,
    /// Labels to set; those with null are removed.
    #[serde(default)]
    labels: BTreeMap<String, Option<String>>,
}

/// Changes the name or labels of a host.
#[utoipa::path(
    patch, path = "/v1/hosts/{host}", operation_id = "changeHost", tag = "hosts",
    params(("host" = String, Path, description = "Id or name")), request_body = Change,
    responses((status = 200, description = "The host as it is now", body = Host), ProblemsOfBody),
    security(("key" = []))
)]
pub(super) async fn change(
    program: Program,
    Named(host): Named<String>,
    Json(change): Json<Change>,
) -> Result<axum::Json<Host>, Problem> {
    let host = id_of(&find(&program, &host).await?)?;
    if !change.labels.is_empty() {
        let (mut set, mut remove) = (Labels::new(), Vec::new());
        for (key, value) in change.labels {
            match value {
                Some(value) => drop(set.insert(key, value)),
                None => remove.push(key),
            }
        }
        program.ask(&hosts::Label { host, set, remove }).await?;
    }
    if let Some(name) = change.name {
        program.ask(&hosts::Rename { host, name }).await?;
    }
    find(&program, &host.to_string()).await.map(Host::from).map(axum::Json)
}

/// Removes a host from the fleet.
#[utoipa::path(
    delete, path = "/v1/hosts/{host}", operation_id = "forgetHost", tag = "hosts",
    params(("host" = String, Path, description = "Id or name")),
    responses((status = 204, description = "It is removed"), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn forget(
    program: Program,
    Named(host): Named<String>,
) -> Result<StatusCode, Problem> {
    let host = id_of(&find(&program, &host).await?)?;
    program.ask(&hosts::Forget { host }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How to take in a host.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Approve {
    /// Labels to begin with.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// Takes in a host whose key waits.
#[utoipa::path(
    post, path = "/v1/hosts/{host}/approve", operation_id = "approveHost", tag = "hosts",
    params(("host" = String, Path, description = "Id or name")), request_body = Approve,
    responses((status = 204, description = "It belongs to the fleet"), ProblemsOfBody),
    security(("key" = []))
)]
pub(super) async fn approve(
    program: Program,
    Named(host): Named<String>,
    Json(approve): Json<Approve>,
) -> Result<StatusCode, Problem> {
    let host = id_of(&find(&program, &host).await?)?;
    program.ask(&hosts::Approve { host, labels: approve.labels }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says no to a key that waits.
#[utoipa::path(
    post, path = "/v1/hosts/{host}/reject", operation_id = "rejectHost", tag = "hosts",
    params(("host" = String, Path, description = "Id or name")),
    responses((status = 204, description = "It is refused from now on"), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn reject(
    program: Program,
    Named(host): Named<String>,
) -> Result<StatusCode, Problem> {
    let host = id_of(&find(&program, &host).await?)?;
    program.ask(&hosts::Reject { host }).await?;
    Ok(StatusCode::NO_CONTENT)
}
