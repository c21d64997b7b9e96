//! Schedules: runs that begin by the clock.

use super::bearer::Program;
use super::body::{Json, Named};
use super::problem::{Problem, Problems, ProblemsOfBody, ProblemsOfOne};
use super::runs::StartRun;
use axum::http::StatusCode;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::runs::{self, DeleteSchedule, ListSchedules, PauseSchedule, PutSchedule};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// When a schedule begins runs: either each so often, or as a crontab says.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct When {
    /// Each so many milliseconds, counted from when the schedule was put.
    #[schema(minimum = 10_000)]
    every_ms: Option<u64>,
    /// Minute, hour, day of the month, month, day of the week.
    #[schema(example = "30 3 * * MON-FRI")]
    cron: Option<String>,
    /// The time zone that `cron` is read in; UTC by default.
    #[schema(example = "Europe/Berlin")]
    zone: Option<String>,
}

impl From<runs::When> for When {
    fn from(when: runs::When) -> Self {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        Self { every_ms: when.every_ms, cron: some(when.cron), zone: some(when.zone) }
    }
}

impl From<When> for runs::When {
    fn from(when: When) -> Self {
        let (cron, zone) = (when.cron.unwrap_or_default(), when.zone.unwrap_or_default());
        Self { every_ms: when.every_ms, cron, zone }
    }
}

/// A schedule.
#[derive(Serialize, ToSchema)]
pub(super) struct Schedule {
    name: String,
    when: When,
    /// What it begins. Values of variables are not told.
    run: StartRun,
    /// It begins nothing until it is resumed.
    paused: bool,
    /// Who put it, and as whom its runs are begun.
    operator: String,
    /// When it was put, milliseconds since 1970.
    made_ms: u64,
    /// When it begins a run next, milliseconds since 1970; absent while paused.
    next_ms: Option<u64>,
    /// The run that it began last.
    last: Option<String>,
    /// Why it could not begin one when it should have; empty for none.
    trouble: String,
    /// Why hosts do not do it by themselves while the hub is away; empty when they do.
    hub_only: String,
    /// So many hosts have it, or may have it, for when the hub is away.
    at_hosts: u32,
    /// It was deleted or replaced; those of its hosts that are away may still do it until they are back.
    gone: bool,
}

impl From<runs::Schedule> for Schedule {
    fn from(schedule: runs::Schedule) -> Self {
        Self {
            name: schedule.name,
            when: schedule.when.into(),
            run: schedule.start.into(),
            paused: schedule.paused,
            operator: schedule.operator,
            made_ms: schedule.made_ms,
            next_ms: schedule.next_ms,
            last: schedule.last.map(|run| run.to_string()),
            trouble: schedule.trouble,
            hub_only: schedule.hub_only,
            at_hosts: schedule.at_hosts,
            gone: schedule.gone,
        }
    }
}

/// Schedules.
#[derive(Serialize, ToSchema)]
pub(super) struct Schedules {
    /// By name.
    schedules: Vec<Schedule>,
}

/// Lists schedules.
///
/// Those that were put with this key.
#[utoipa::path(
    get, path = "/v1/schedules", operation_id = "listSchedules", tag = "schedules",
    responses((status = 200, description = "All of them, by name", body = Schedules), Problems),
    security(("key" = []))
)]
pub(super) async fn list(program: Program) -> Result<axum::Json<Schedules>, Problem> {
    let listing = program.ask(&ListSchedules {}).await?;
    let schedules = listing.schedules.into_iter().map(Schedule::from).collect();
    Ok(axum::Json(Schedules { schedules }))
}

fn none(name: &str) -> Problem {
    let shown = clean_to_width(name, 80);
    Problem::not_found(format!("there is no schedule '{shown}'; GET /v1/schedules lists them"))
}

/// Shows a schedule.
#[utoipa::path(
    get, path = "/v1/schedules/{schedule}", operation_id = "showSchedule", tag = "schedules",
    params(("schedule" = String, Path, description = "Its name")),
    responses((status = 200, description = "The schedule", body = Schedule), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn show(
    program: Program,
    Named(name): Named<String>,
) -> Result<axum::Json<Schedule>, Problem> {
    let all = program.ask(&ListSchedules {}).await?.schedules;
    let found = all.into_iter().find(|one| one.name == name && !one.gone);
    Ok(axum::Json(found.ok_or_else(|| none(&name))?.into()))
}

/// A schedule to keep.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SaveSchedule {
    when: When,
    /// What it begins, as for POST /v1/runs. Hosts are picked anew each time; of a runbook the newest text is taken
    /// each time, unless a version is given.
    run: StartRun,
    /// Begin nothing until it is resumed.
    #[serde(default)]
    paused: bool,
}

/// Keeps a schedule, in the place of the one that had its name.
///
/// What it would come to now has to be allowed, and confirmed where a run would have to be.
#[utoipa::path(
    put, path = "/v1/schedules/{schedule}", operation_id = "putSchedule", tag = "schedules",
    params(("schedule" = String, Path, description = "Its name")), request_body = SaveSchedule,
    responses((status = 200, description = "It is kept", body = Schedule), ProblemsOfBody),
    security(("key" = []))
)]
pub(super) async fn put(
    program: Program,
    Named(name): Named<String>,
    Json(put): Json<SaveSchedule>,
) -> Result<axum::Json<Schedule>, Problem> {
    let start = put.run.into_start(String::new())?;
    let (when, paused) = (put.when.into(), put.paused);
    let schedule = runs::Schedule { name, when, start, paused, ..runs::Schedule::default() };
    Ok(axum::Json(program.ask(&PutSchedule { schedule }).await?.into()))
}

/// Takes a schedule away.
///
/// Runs that it has begun go on.
#[utoipa::path(
    delete, path = "/v1/schedules/{schedule}", operation_id = "deleteSchedule", tag = "schedules",
    params(("schedule" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone"), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn delete(
    program: Program,
    Named(name): Named<String>,
) -> Result<StatusCode, Problem> {
    let gone = program.ask(&DeleteSchedule { name: name.clone() }).await?;
    if gone.already { Err(none(&name)) } else { Ok(StatusCode::NO_CONTENT) }
}

/// Lets a schedule begin nothing until it is resumed.
#[utoipa::path(
    post, path = "/v1/schedules/{schedule}/pause", operation_id = "pauseSchedule", tag = "schedules",
    params(("schedule" = String, Path, description = "Its name")),
    responses((status = 200, description = "The schedule as it is now", body = Schedule), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn pause(
    program: Program,
    Named(name): Named<String>,
) -> Result<axum::Json<Schedule>, Problem> {
    Ok(axum::Json(program.ask(&PauseSchedule { name, paused: true }).await?.into()))
}

/// Lets a schedule that was paused begin runs again.
#[utoipa::path(
    post, path = "/v1/schedules/{schedule}/resume", operation_id = "resumeSchedule", tag = "schedules",
    params(("schedule" = String, Path, description = "Its name")),
    responses((status = 200, description = "The schedule as it is now", body = Schedule), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn resume(
    program: Program,
    Named(name): Named<String>,
) -> Result<axum::Json<Schedule>, Problem> {
    Ok(axum::Json(program.ask(&PauseSchedule { name, paused: false }).await?.into()))
}
