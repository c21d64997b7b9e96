//! Runs: one order to many hosts.

mod order;
pub(super) mod start;
pub(super) mod view;

pub(super) use order::content;
pub(super) use start::{Retry, StartRun, Stop};
pub(crate) use view::Run;
pub(super) use view::{Planned, RunDetail, Started};

use super::bearer::Program;
use super::body::{Json, Named, Params};
use super::hosts::within;
use super::ndjson;
use super::problem::{Problem, Problems, ProblemsOfBody, ProblemsOfOne};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use cmdr_protocol::ids::RunId;
use cmdr_protocol::runs;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use view::{Line, Target};

/// Runs on one page.
const MOST: u32 = 500;
/// The longest idempotency key.
const LONGEST_KEY: usize = 128;

/// Which runs.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those that go on.
    #[serde(default)]
    open: bool,
    /// Only this operator's.
    #[serde(default)]
    operator: String,
    /// Older runs than this moment, milliseconds since 1970.
    before_ms: Option<u64>,
    /// As `after` of the page before.
    #[serde(default)]
    after: String,
    /// How many at most.
    #[serde(default = "page")]
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: u32,
}

const fn page() -> u32 {
    50
}

/// A page of runs.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "each is a word of the interface")]
pub(super) struct Runs {
    /// Newest first.
    runs: Vec<Run>,
    /// When the last of them was made; absent on the last page.
    next: Option<u64>,
    /// What to give as `after` for the next page; absent on the last.
    after: Option<String>,
}

/// The run of an id.
pub(super) fn id(text: &str) -> Result<RunId, Problem> {
    text.parse().map_err(|_| {
        let shown = cmdr_protocol::display::clean_to_width(text, 40);
        Problem::not_found(format!("there is no run '{shown}'; GET /v1/runs lists them"))
    })
}

/// The key that makes a request count once, however often it is sent.
pub(super) fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(value) = headers.get("Idempotency-Key") else { return Ok(String::new()) };
    match value.to_str() {
        Ok(text) if (1..=LONGEST_KEY).contains(&text.len()) => Ok(text.to_owned()),
        _ => Err(Problem::malformed(format!(
            "Idempotency-Key is a text of 1 to {LONGEST_KEY} bytes, another for each run that is meant"
        ))),
    }
}

/// Lists runs.
///
/// The caller's own, and those with targets on hosts for which it may look at runs.
#[utoipa::path(
    get, path = "/v1/runs", operation_id = "listRuns", tag = "runs", params(Which),
    responses((status = 200, description = "A page of runs, newest first", body = Runs), Problems),
    security(("key" = []))
)]
pub(super) async fn list(
    program: Program,
    Params(which): Params<Which>,
) -> Result<axum::Json<Runs>, Problem> {
    let limit = within(which.limit, MOST)? as u32;
    if which.before_ms.is_some_and(|at| i64::try_from(at).is_err()) {
        return Err(Problem::malformed("before_ms is a moment in milliseconds since 1970"));
    }
    let list = runs::List {
        open: which.open,
        operator: which.operator,
        before_ms: which.before_ms,
        after: which.after,
        limit,
        ..runs::List::default()
    };
    let runs::Listing { runs, more, next: after } = program.ask(&list).await?;
    let next = runs.last().filter(|_| more).map(|run| run.created_ms);
    let after = Some(after).filter(|after| !after.is_empty());
    Ok(axum::Json(Runs { runs: runs.into_iter().map(Run::from).collect(), next, after }))
}

/// Answers with a run that was begun.
pub(super) fn begun(started: runs::Started) -> Response {
    let started = Started::from(started);
    let at = format!("/v1/runs/{}", started.run);
    (StatusCode::ACCEPTED, [(header::LOCATION, at)], axum::Json(started)).into_response()
}

/// Begins a run.
///
/// When this is answered the run is on the hub's disk. With the header Idempotency-Key a request that is sent
/// again begins nothing twice: the same run is answered.
#[utoipa::path(
    post, path = "/v1/runs", operation_id = "startRun", tag = "runs", request_body = StartRun,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 128 bytes, another for each run that is meant", min_length = 1, max_length = 128)),
    responses(
        (status = 202, description = "It is begun", body = Started, headers(("Location" = String, description = "Where the run is"))),
        ProblemsOfBody
    ),
    security(("key" = []))
)]
pub(super) async fn start(
    program: Program,
    headers: HeaderMap,
    Json(start): Json<StartRun>,
) -> Result<Response, Problem> {
    let start = start.into_start(key(&headers)?)?;
    Ok(begun(program.ask(&start).await?))
}

/// Says what a run would come to.
///
/// Nothing is begun: which hosts, in which waves, whether their number has to be given, and where the caller
/// may not.
#[utoipa::path(
    post, path = "/v1/runs/plan", operation_id = "planRun", tag = "runs", request_body = StartRun,
    responses((status = 200, description = "What it would come to", body = Planned), ProblemsOfBody),
    security(("key" = []))
)]
pub(super) async fn plan(
    program: Program,
    Json(start): Json<StartRun>,
) -> Result<axum::Json<Planned>, Problem> {
    let start = start.into_start(String::new())?;
    let planned = program.ask(&runs::Plan { start, from: 0 }).await?;
    Ok(axum::Json(planned.into()))
}

/// From which target on.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// As `next` of the page before.
    #[serde(default)]
    from: u32,
}

/// Shows a run and its targets.
#[utoipa::path(
    get, path = "/v1/runs/{run}", operation_id = "showRun", tag = "runs",
    params(("run" = String, Path, description = "The run's id"), Page),
    responses((status = 200, description = "The run", body = RunDetail), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn show(
    program: Program,
    Named(run): Named<String>,
    Params(page): Params<Page>,
) -> Result<axum::Json<RunDetail>, Problem> {
    let shown = program.ask(&runs::Show { run: id(&run)?, from: page.from }).await?;
    Ok(axum::Json(shown.into()))
}

/// Deletes a run that is over, with all that was kept of it.
///
/// Its idempotency key stays used. One that goes on has to be stopped first; one whose callback waits to be taken
/// stays until then.
#[utoipa::path(
    delete, path = "/v1/runs/{run}", operation_id = "deleteRun", tag = "runs",
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 204, description = "It is gone"), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn delete(
    program: Program,
    Named(run): Named<String>,
) -> Result<StatusCode, Problem> {
    program.ask(&runs::Delete { run: id(&run)? }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How to follow a run.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Follow {
    /// The last cursor that was read; empty for everything.
    #[serde(default)]
    after: String,
    /// Seconds to wait for more; the answer ends before when the run is over.
    #[serde(default = "minute")]
    #[param(minimum = 1, maximum = 86400, default = 60)]
    follow_s: u32,
}

const fn minute() -> u32 {
    60
}

/// What changed in a run. One object a line; what is absent has not changed.
#[derive(Serialize, ToSchema)]
pub(super) struct Change {
    /// What to give as `after` to go on from here.
    cursor: String,
    /// Forget what was told of targets before.
    reset: bool,
    /// Targets that changed.
    targets: Vec<Target>,
    /// The run, when something about it changed.
    run: Option<Run>,
    /// The run is over, and everything was told.
    over: bool,
}

/// Follows a run until it is over.
///
/// One change a line. What ends the answer before its time is told in a last line, an object with the field
/// `problem`.
#[utoipa::path(
    get, path = "/v1/runs/{run}/events", operation_id = "followRun", tag = "runs",
    params(("run" = String, Path, description = "The run's id"), Follow),
    responses(
        (status = 200, description = "Changes, one a line", body = Change, content_type = "application/x-ndjson"),
        ProblemsOfOne
    ),
    security(("key" = []))
)]
pub(super) async fn follow(
    program: Program,
    Named(run): Named<String>,
    Params(follow): Params<Follow>,
) -> Result<Response, Problem> {
    if !(1..=86_400).contains(&follow.follow_s) {
        return Err(Problem::malformed("follow_s is a number from 1 to 86400"));
    }
    let most = Duration::from_secs(follow.follow_s.into());
    let watch = runs::Watch { run: id(&run)?, since: follow.after, output: false, stay: false };
    let feed = program.feed(&watch).await?;
    ndjson::answer(program, feed, Some(most), |item: runs::Progress| {
        vec![Change {
            cursor: item.cursor,
            reset: item.reset,
            targets: item.targets.into_iter().map(Target::from).collect(),
            run: item.run.map(Run::from),
            over: item.over,
        }]
    })
    .await
}

/// Which output.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// Only of this target, by its index.
    target: Option<u32>,
    /// The last cursor that was read; empty for everything.
    #[serde(default)]
    after: String,
    /// Seconds to wait for more while the run goes on; 0 ends the answer when all that there is was told.
    #[serde(default)]
    #[param(minimum = 0, maximum = 86400, default = 0)]
    follow_s: u32,
}

/// Reads the output of a run.
///
/// One piece a line, in the order in which it came.
#[utoipa::path(
    get, path = "/v1/runs/{run}/output", operation_id = "readOutput", tag = "runs",
    params(("run" = String, Path, description = "The run's id"), Whose),
    responses(
        (status = 200, description = "Pieces of output, one a line", body = Line, content_type = "application/x-ndjson"),
        ProblemsOfOne
    ),
    security(("key" = []))
)]
pub(super) async fn output(
    program: Program,
    Named(run): Named<String>,
    Params(whose): Params<Whose>,
) -> Result<Response, Problem> {
    let most = super::events::within_a_day(whose.follow_s)?;
    let output = runs::Output {
        run: id(&run)?,
        targets: whose.target.into_iter().collect(),
        since: whose.after,
        follow: most.is_some(),
    };
    let feed = program.feed(&output).await?;
    ndjson::answer(program, feed, most, view::lines).await
}

/// Stops a run everywhere at once.
#[utoipa::path(
    post, path = "/v1/runs/{run}/stop", operation_id = "stopRun", tag = "runs", request_body = Stop,
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, description = "The run as it is now", body = Run), ProblemsOfBody),
    security(("key" = []))
)]
pub(super) async fn stop(
    program: Program,
    Named(run): Named<String>,
    Json(stop): Json<Stop>,
) -> Result<axum::Json<Run>, Problem> {
    let run = program.ask(&runs::Stop { run: id(&run)?, why: stop.why }).await?;
    Ok(axum::Json(run.into()))
}

/// Sends nothing more until the run is resumed.
#[utoipa::path(
    post, path = "/v1/runs/{run}/pause", operation_id = "pauseRun", tag = "runs",
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, description = "The run as it is now", body = Run), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn pause(
    program: Program,
    Named(run): Named<String>,
) -> Result<axum::Json<Run>, Problem> {
    Ok(axum::Json(program.ask(&runs::Pause { run: id(&run)? }).await?.into()))
}

/// Goes on with a run that was paused.
#[utoipa::path(
    post, path = "/v1/runs/{run}/resume", operation_id = "resumeRun", tag = "runs",
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, description = "The run as it is now", body = Run), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn resume(
    program: Program,
    Named(run): Named<String>,
) -> Result<axum::Json<Run>, Problem> {
    Ok(axum::Json(program.ask(&runs::Resume { run: id(&run)? }).await?.into()))
}

/// Tries again where a run failed, was lost, or could not be reached.
#[utoipa::path(
    post, path = "/v1/runs/{run}/retry", operation_id = "retryRun", tag = "runs", request_body = Retry,
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 202, description = "It goes on", body = Started), ProblemsOfBody),
    security(("key" = []))
)]
pub(super) async fn retry(
    program: Program,
    Named(run): Named<String>,
    Json(retry): Json<Retry>,
) -> Result<Response, Problem> {
    let retry = runs::Retry {
        run: id(&run)?,
        targets: retry.targets,
        cancelled: retry.cancelled,
        confirm: retry.confirm,
    };
    Ok(begun(program.ask(&retry).await?))
}
