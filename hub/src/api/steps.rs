//! The steps of a runbook on one host of a run.

use super::bearer::Program;
use super::body::Named;
use super::problem::{Problem, ProblemsOfOne};
use super::runs::id;
use cmdr_protocol::runbooks::{StepResult, StepState, Steps};
use serde::Serialize;
use utoipa::ToSchema;

/// What came of a step on one host.
#[derive(Serialize, ToSchema)]
struct StepOfTarget {
    /// Its name in the runbook.
    name: String,
    /// How it stands, as `cmdr runbook steps` says it.
    #[schema(value_type = String, example = "ok")]
    state: StepState,
    /// The exit code; absent when there was no program to have one.
    code: Option<i32>,
    /// It changed something, as far as that is known.
    changed: bool,
    /// Why it failed or was skipped.
    why: String,
    /// The end of what it wrote. From the host: not to be trusted.
    output: String,
    /// How often it was tried.
    tries: u32,
    /// How long it ran the last time, in milliseconds.
    took_ms: u64,
}

impl From<StepResult> for StepOfTarget {
    fn from(step: StepResult) -> Self {
        Self {
            name: step.name,
            state: step.state,
            code: step.code,
            changed: step.changed,
            why: step.why,
            output: step.output,
            tries: step.tries,
            took_ms: step.took_ms,
        }
    }
}

/// The steps of one target.
#[derive(Serialize, ToSchema)]
pub(super) struct StepsOfTarget {
    /// In order; those that have not begun too.
    steps: Vec<StepOfTarget>,
}

/// Lists the steps of a runbook on one host of a run, and what came of each.
#[utoipa::path(
    get, path = "/v1/runs/{run}/targets/{target}/steps", operation_id = "listSteps", tag = "runs",
    params(
        ("run" = String, Path, description = "The run's id"),
        ("target" = u32, Path, description = "The target's index")
    ),
    responses((status = 200, description = "Its steps", body = StepsOfTarget), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn list(
    program: Program,
    Named((run, target)): Named<(String, u32)>,
) -> Result<axum::Json<StepsOfTarget>, Problem> {
    let listing = program.ask(&Steps { run: id(&run)?, target }).await?;
    let steps = listing.steps.into_iter().map(StepOfTarget::from).collect();
    Ok(axum::Json(StepsOfTarget { steps }))
}
