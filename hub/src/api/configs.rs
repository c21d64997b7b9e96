//! Config groups: which there are, how hosts stand to them, and how their files get there.

mod difference;
mod drift;

use super::bearer::Program;
use super::body::{Json, Named, Params};
use super::places::Places;
use super::problem::{Problem, Problems, ProblemsOfBody, ProblemsOfOne};
use super::runbooks::{Mistake, Saved, Which};
use super::runs::start::{Halt, Waves};
use super::runs::view::Started;
use super::runs::{begun, key};
use super::versions::{Restore, TextVersions};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use cmdr_protocol::configs::{self, Delete, Expect, List, ORDER, Save, Show, Versions};
use cmdr_protocol::runs::{Order, Runbook, Start};
use cmdr_protocol::{HostId, hosts};
use drift::DriftOfHost;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use utoipa::{IntoParams, ToSchema};

/// Comparisons under way at once, and those with one key.
const DRIFTS: usize = 4;
const WITH_ONE: usize = 2;

/// Places of comparisons: each asks many hosts, and has what they answer in memory.
pub(super) fn places() -> Places {
    Places::new(DRIFTS, WITH_ONE)
}

/// A config group.
#[derive(Serialize, ToSchema)]
pub(super) struct Config {
    name: String,
    /// What it is for, in a line.
    description: String,
    /// Its newest version, from 1.
    version: u64,
    /// How many files it has.
    files: u32,
    /// The hosts that it is for, as a selector.
    hosts: String,
    /// When it was saved, milliseconds since 1970.
    saved_ms: u64,
    saved_by: String,
}

impl From<configs::Config> for Config {
    fn from(config: configs::Config) -> Self {
        let configs::Config { name, description, version, files, hosts, saved_ms, saved_by } =
            config;
        Self { name, description, version, files, hosts, saved_ms, saved_by }
    }
}

/// All config groups.
#[derive(Serialize, ToSchema)]
pub(super) struct Configs {
    /// By name.
    configs: Vec<Config>,
}

/// A config group with its text.
#[derive(Serialize, ToSchema)]
pub(super) struct ConfigDetail {
    config: Config,
    /// What somebody wrote about this version.
    note: String,
    /// Its text, YAML.
    text: String,
    /// What is wrong with it now.
    problems: Vec<Mistake>,
}

/// Lists config groups.
#[utoipa::path(
    get, path = "/v1/configs", operation_id = "listConfigs", tag = "configs",
    responses((status = 200, description = "All of them, by name", body = Configs), Problems),
    security(("key" = []))
)]
pub(super) async fn list(program: Program) -> Result<axum::Json<Configs>, Problem> {
    let listing = program.ask(&List {}).await?;
    let configs = listing.configs.into_iter().map(Config::from).collect();
    Ok(axum::Json(Configs { configs }))
}

/// Shows a config group.
#[utoipa::path(
    get, path = "/v1/configs/{config}", operation_id = "showConfig", tag = "configs",
    params(("config" = String, Path, description = "Its name"), Which),
    responses((status = 200, description = "The group", body = ConfigDetail), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn show(
    program: Program,
    Named(name): Named<String>,
    Params(which): Params<Which>,
) -> Result<axum::Json<ConfigDetail>, Problem> {
    let shown = program.ask(&Show { name, version: which.version }).await?;
    let problems = shown.problems.into_iter().map(Mistake::from).collect();
    let (config, note, text) = (shown.config.into(), shown.note, shown.text);
    Ok(axum::Json(ConfigDetail { config, note, text, problems }))
}

/// A config group to keep.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SaveConfig {
    /// The text, YAML, with the same name in it.
    #[schema(max_length = 61440)]
    text: String,
    /// What changed, for people.
    #[serde(default)]
    note: String,
    /// The version that was looked at before: it is refused when there is another one by now.
    was: Option<u64>,
}

/// Keeps a config group as the newest version of its name.
///
/// No host is changed by that.
#[utoipa::path(
    put, path = "/v1/configs/{config}", operation_id = "saveConfig", tag = "configs",
    params(("config" = String, Path, description = "Its name")), request_body = SaveConfig,
    responses((status = 200, description = "It is kept", body = Saved), ProblemsOfBody),
    security(("key" = []))
)]
pub(super) async fn save(
    program: Program,
    Named(name): Named<String>,
    Json(save): Json<SaveConfig>,
) -> Result<axum::Json<Saved>, Problem> {
    let save = Save { name, text: save.text, note: save.note, was: save.was };
    Ok(axum::Json(program.ask(&save).await?.into()))
}

/// Removes a config group with all its versions.
///
/// Hosts keep their files.
#[utoipa::path(
    delete, path = "/v1/configs/{config}", operation_id = "deleteConfig", tag = "configs",
    params(("config" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone"), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn delete(
    program: Program,
    Named(name): Named<String>,
) -> Result<StatusCode, Problem> {
    program.ask(&Delete { name }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the versions of a config group.
#[utoipa::path(
    get, path = "/v1/configs/{config}/versions", operation_id = "listConfigVersions", tag = "configs",
    params(("config" = String, Path, description = "Its name")),
    responses((status = 200, description = "Those that are kept", body = TextVersions), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn versions(
    program: Program,
    Named(name): Named<String>,
) -> Result<axum::Json<TextVersions>, Problem> {
    Ok(axum::Json(program.ask(&Versions { name }).await?.into()))
}

/// Keeps an older version of a config group as the newest one.
///
/// Hosts change when that is pushed.
#[utoipa::path(
    post, path = "/v1/configs/{config}/restore", operation_id = "restoreConfig", tag = "configs",
    params(("config" = String, Path, description = "Its name")), request_body = Restore,
    responses((status = 200, description = "It is kept", body = Saved), ProblemsOfBody),
    security(("key" = []))
)]
pub(super) async fn restore(
    program: Program,
    Named(name): Named<String>,
    Json(restore): Json<Restore>,
) -> Result<axum::Json<Saved>, Problem> {
    let show = Show { name: name.clone(), version: Some(restore.version) };
    let text = program.ask(&show).await?.text;
    let save = Save { name, text, note: restore.note(), was: restore.was };
    Ok(axum::Json(program.ask(&save).await?.into()))
}

/// What of a group is to be compared.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Looks {
    /// Only these of its hosts, as a selector.
    #[serde(default)]
    hosts: String,
    /// With this version; the newest by default.
    version: Option<u64>,
    /// Tell the differences too.
    #[serde(default)]
    diff: bool,
    /// As `next` of the page before.
    #[serde(default)]
    after: String,
}

/// How hosts stand to a config group.
#[derive(Serialize, ToSchema)]
pub(super) struct ConfigDrift {
    /// The version that was looked at.
    version: u64,
    /// By name: those on which the caller may ask this.
    hosts: Vec<DriftOfHost>,
    /// What to give as `after` for the next page; absent on the last.
    next: Option<String>,
}

/// Compares what hosts have with what they shall have by a config group.
///
/// They are asked now, with the rights of the caller to look at their files.
#[utoipa::path(
    get, path = "/v1/configs/{config}/drift", operation_id = "configDrift", tag = "configs",
    params(("config" = String, Path, description = "Its name"), Looks),
    responses((status = 200, description = "A page of hosts", body = ConfigDrift), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn drift(
    program: Program,
    Named(name): Named<String>,
    Params(looks): Params<Looks>,
) -> Result<axum::Json<ConfigDrift>, Problem> {
    let _place = program.api.drifts.take(program.caller.key).map_err(|_| {
        Problem::too_many(
            5,
            "as many comparisons are under way as may be; try again when one of them is over",
        )
    })?;
    // Whether there is such a group, and whether it may be asked about, comes before which hosts there are.
    let expect = Expect { name, version: looks.version, hosts: Vec::new(), brief: true };
    let first = program.ask(&expect).await?;
    let of: HashSet<HostId> = first.more.into_iter().collect();
    let mut all =
        program.ask_all(hosts::List { brief: true, ..hosts::List::of(looks.hosts) }).await?.hosts;
    all.retain(|host| host.name > looks.after && host.id.is_some_and(|id| of.contains(&id)));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let more = all.len() > configs::MAX_HOSTS;
    all.truncate(configs::MAX_HOSTS);
    let mut drift = ConfigDrift { version: first.version, hosts: Vec::new(), next: None };
    let ids: Vec<HostId> = all.iter().filter_map(|host| host.id).collect();
    let Some(last) = all.pop() else { return Ok(axum::Json(drift)) };
    let expected = program.ask(&Expect { hosts: ids, brief: false, ..expect }).await?;
    // Where the files are large the page is shorter.
    let cut = !expected.more.is_empty();
    let newest = expected.hosts.last().map_or(last.name.clone(), |host| host.name.clone());
    drift.next = (more || cut).then_some(if cut { newest } else { last.name });
    drift.hosts = drift::look_at(&program, expected.hosts, looks.diff).await;
    Ok(axum::Json(drift))
}

/// How a config group is pushed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PushConfig {
    /// Only these of its hosts, as a selector; all of them by default.
    hosts: Option<String>,
    /// Which version; the newest by default.
    version: Option<u32>,
    /// Hosts one group after the other; by default all at once.
    waves: Option<Waves>,
    /// How many targets are under way at once; 0 for as many as the hub sees fit.
    #[serde(default)]
    parallel: u32,
    /// When to leave off; by default never.
    halt: Option<Halt>,
    /// Milliseconds after which everything that has no end has timed out.
    deadline_ms: Option<u64>,
    /// The number of hosts; wanted above a limit and for protected hosts.
    confirm: Option<u32>,
    /// What it is for.
    #[serde(default)]
    note: String,
}

/// Puts the files of a config group on its hosts.
///
/// That is a run, guarded as any other; its plan is that of a run of the runbook `config.NAME`.
#[utoipa::path(
    post, path = "/v1/configs/{config}/push", operation_id = "pushConfig", tag = "configs", request_body = PushConfig,
    params(
        ("config" = String, Path, description = "Its name"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 128 bytes, another for each run that is meant", min_length = 1, max_length = 128)
    ),
    responses(
        (status = 202, description = "It is begun", body = Started, headers(("Location" = String, description = "Where the run is"))),
        ProblemsOfBody
    ),
    security(("key" = []))
)]
pub(super) async fn push(
    program: Program,
    Named(name): Named<String>,
    headers: HeaderMap,
    Json(push): Json<PushConfig>,
) -> Result<Response, Problem> {
    let hosts = match push.hosts {
        Some(hosts) if !hosts.trim().is_empty() => hosts,
        // The version that is pushed says which hosts are its own, and not the newest one.
        _ => {
            let show = Show { name: name.clone(), version: push.version.map(u64::from) };
            program.ask(&show).await?.config.hosts
        }
    };
    let version = push.version.unwrap_or_default();
    let runbook = Runbook { name: format!("{ORDER}{name}"), version, ..Runbook::default() };
    let start = Start {
        key: key(&headers)?,
        hosts,
        order: Order { runbook: Some(runbook), ..Order::default() },
        waves: push.waves.as_ref().map(Waves::read).transpose()?,
        parallel: push.parallel,
        halt: push.halt.as_ref().map(Halt::read).transpose()?,
        deadline_ms: push.deadline_ms,
        confirm: push.confirm,
        note: push.note,
        ..Start::default()
    };
    Ok(begun(program.ask(&start).await?))
}
