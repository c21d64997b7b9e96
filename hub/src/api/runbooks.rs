//! Runbooks: which there are, and what they ask for.

use super::bearer::Program;
use super::body::{Json, Named, Params};
use super::problem::{Problem, Problems, ProblemsOfBody, ProblemsOfOne};
use super::versions::{Restore, TextVersions};
use axum::http::StatusCode;
use cmdr_protocol::runbooks::{self, Delete, List, Save, Show, Versions};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A runbook.
#[derive(Serialize, ToSchema)]
pub(super) struct Runbook {
    name: String,
    /// What it does, in a line.
    description: String,
    /// Its newest version, from 1; 0 for one that comes with the hub.
    version: u64,
    /// One of this name comes with the hub.
    shipped: bool,
    /// How many steps it has.
    steps: u32,
    /// When it was saved, milliseconds since 1970; 0 for one that comes with the hub.
    saved_ms: u64,
    saved_by: String,
    /// Who signed this version; null when nobody did.
    signed: Option<Signed>,
}

/// A signature under a version of a runbook.
#[derive(Serialize, ToSchema)]
pub(super) struct Signed {
    /// Who signed.
    by: String,
    /// When, milliseconds since 1970.
    at_ms: u64,
    /// The text is the one that was signed, and who signed it may do so still.
    holds: bool,
    /// Why it does not hold; empty when it does.
    why: String,
}

impl From<runbooks::Signed> for Signed {
    fn from(signed: runbooks::Signed) -> Self {
        Self { by: signed.by, at_ms: signed.at_ms, holds: signed.holds, why: signed.why }
    }
}

impl From<runbooks::Runbook> for Runbook {
    fn from(runbook: runbooks::Runbook) -> Self {
        Self {
            name: runbook.name,
            description: runbook.description,
            version: runbook.version,
            shipped: runbook.shipped,
            steps: runbook.steps,
            saved_ms: runbook.saved_ms,
            saved_by: runbook.saved_by,
            signed: runbook.signed.map(Signed::from),
        }
    }
}

/// All runbooks.
#[derive(Serialize, ToSchema)]
pub(super) struct Runbooks {
    /// By name.
    runbooks: Vec<Runbook>,
}

/// A parameter.
#[derive(Serialize, ToSchema)]
struct Param {
    name: String,
    description: String,
    /// `text`, `number`, `yes-no`, `choice`, `list` or `secret`.
    #[schema(value_type = String, example = "text")]
    kind: runbooks::ParamKind,
    /// Its limits in words; empty for none.
    limits: String,
    /// What holds when it is not given, as text; absent for one that has to be given.
    default: Option<String>,
    /// What it may be one of.
    of: Vec<String>,
}

/// A step.
#[derive(Serialize, ToSchema)]
struct Step {
    name: String,
    /// What it does, in a few words.
    what: String,
    /// When it is done; empty for always.
    when: String,
    /// How often it is tried again.
    retries: u32,
    /// Its failure does not end the runbook.
    ignore_errors: bool,
}

/// Something wrong in a runbook.
#[derive(Serialize, ToSchema)]
pub(super) struct Mistake {
    /// From 1; 0 for the text as a whole.
    line: u32,
    column: u32,
    what: String,
}

impl From<runbooks::Problem> for Mistake {
    fn from(one: runbooks::Problem) -> Self {
        Self { line: one.line, column: one.column, what: one.what }
    }
}

impl From<runbooks::Saved> for Saved {
    fn from(saved: runbooks::Saved) -> Self {
        Self { version: saved.version, unchanged: saved.unchanged }
    }
}

/// A runbook with its text.
#[derive(Serialize, ToSchema)]
pub(super) struct RunbookDetail {
    runbook: Runbook,
    /// What somebody wrote about this version.
    note: String,
    /// Its text, YAML.
    text: String,
    params: Vec<Param>,
    steps: Vec<Step>,
    /// What is wrong with it now.
    problems: Vec<Mistake>,
}

impl From<runbooks::Shown> for RunbookDetail {
    fn from(shown: runbooks::Shown) -> Self {
        let param = |param: runbooks::Param| Param {
            name: param.name,
            description: param.description,
            kind: param.kind,
            limits: param.limits,
            default: param.default,
            of: param.of,
        };
        let step = |step: runbooks::Step| Step {
            name: step.name,
            what: step.what,
            when: step.when,
            retries: step.retries,
            ignore_errors: step.ignore_errors,
        };
        Self {
            runbook: shown.runbook.into(),
            note: shown.note,
            text: shown.text,
            params: shown.params.into_iter().map(param).collect(),
            steps: shown.steps.into_iter().map(step).collect(),
            problems: shown.problems.into_iter().map(Mistake::from).collect(),
        }
    }
}

/// Lists runbooks.
#[utoipa::path(
    get, path = "/v1/runbooks", operation_id = "listRunbooks", tag = "runbooks",
    responses((status = 200, description = "All of them, by name", body = Runbooks), Problems),
    security(("key" = []))
)]
pub(super) async fn list(program: Program) -> Result<axum::Json<Runbooks>, Problem> {
    let listing = program.ask(&List {}).await?;
    let runbooks = listing.runbooks.into_iter().map(Runbook::from).collect();
    Ok(axum::Json(Runbooks { runbooks }))
}

/// Which version.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The newest by default; 0 for the one that comes with the hub.
    pub(super) version: Option<u64>,
}

/// Shows a runbook.
#[utoipa::path(
    get, path = "/v1/runbooks/{runbook}", operation_id = "showRunbook", tag = "runbooks",
    params(("runbook" = String, Path, description = "Its name"), Which),
    responses((status = 200, description = "The runbook", body = RunbookDetail), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn show(
    program: Program,
    Named(name): Named<String>,
    Params(which): Params<Which>,
) -> Result<axum::Json<RunbookDetail>, Problem> {
    let shown = program.ask(&Show { name, version: which.version }).await?;
    Ok(axum::Json(shown.into()))
}

/// A runbook to keep.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SaveRunbook {
    /// The text, YAML, with the same name in it.
    #[schema(max_length = 61440)]
    text: String,
    /// What changed, for people.
    #[serde(default)]
    note: String,
    /// The version that was looked at before: it is refused when there is another one by now.
    was: Option<u64>,
}

/// A version that was kept.
#[derive(Serialize, ToSchema)]
pub(super) struct Saved {
    version: u64,
    /// The newest version had this text already.
    unchanged: bool,
}

/// Keeps a runbook as the newest version of its name.
#[utoipa::path(
    put, path = "/v1/runbooks/{runbook}", operation_id = "saveRunbook", tag = "runbooks",
    params(("runbook" = String, Path, description = "Its name")), request_body = SaveRunbook,
    responses((status = 200, description = "It is kept", body = Saved), ProblemsOfBody),
    security(("key" = []))
)]
pub(super) async fn save(
    program: Program,
    Named(name): Named<String>,
    Json(save): Json<SaveRunbook>,
) -> Result<axum::Json<Saved>, Problem> {
    let save = Save { name, text: save.text, note: save.note, was: save.was };
    Ok(axum::Json(program.ask(&save).await?.into()))
}

/// Lists the versions of a runbook.
#[utoipa::path(
    get, path = "/v1/runbooks/{runbook}/versions", operation_id = "listRunbookVersions", tag = "runbooks",
    params(("runbook" = String, Path, description = "Its name")),
    responses((status = 200, description = "Those that are kept", body = TextVersions), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn versions(
    program: Program,
    Named(name): Named<String>,
) -> Result<axum::Json<TextVersions>, Problem> {
    Ok(axum::Json(program.ask(&Versions { name }).await?.into()))
}

/// Keeps an older version of a runbook as the newest one.
///
/// Version 0 is the one that comes with the hub.
#[utoipa::path(
    post, path = "/v1/runbooks/{runbook}/restore", operation_id = "restoreRunbook", tag = "runbooks",
    params(("runbook" = String, Path, description = "Its name")), request_body = Restore,
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

/// Removes a runbook with all its versions.
#[utoipa::path(
    delete, path = "/v1/runbooks/{runbook}", operation_id = "deleteRunbook", tag = "runbooks",
    params(("runbook" = String, Path, description = "Its name")),
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
