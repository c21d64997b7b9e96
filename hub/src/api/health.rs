//! Whether the hub works, for whoever asks; and what it is, for those who have a key.

use super::Shared;
use super::bearer::Program;
use super::problem::{Open, Problem, Problems};
use axum::Json;
use axum::extract::State;
use cmdr_protocol::hub::Info;
use serde::Serialize;
use utoipa::ToSchema;

/// Whether the hub works.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Status {
    /// It does.
    Ok,
    /// Its disk is full or broken: it answers, and begins nothing.
    ReadOnly,
}

/// How the hub is.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    status: Status,
}

/// Whether the hub works. Needs no key.
#[utoipa::path(
    get, path = "/v1/health", operation_id = "health", tag = "hub",
    responses((status = 200, description = "It answers", body = Health), Open),
    security(())
)]
pub(super) async fn health(State(api): Shared) -> Json<Health> {
    let status = if api.hub.store.is_writable() { Status::Ok } else { Status::ReadOnly };
    Json(Health { status })
}

/// What the hub is.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "as it is called in the answer")]
pub(super) struct Version {
    /// The program's version.
    version: String,
    /// The version of this interface.
    #[schema(example = "v1")]
    api: &'static str,
    /// Seconds since the hub started.
    uptime_s: u64,
    /// Hosts that are online.
    hosts_online: u32,
}

/// What the hub is.
#[utoipa::path(
    get, path = "/v1/version", operation_id = "version", tag = "hub",
    responses((status = 200, description = "The version", body = Version), Problems),
    security(("key" = []))
)]
pub(super) async fn version(program: Program) -> Result<Json<Version>, Problem> {
    let info = program.ask(&Info {}).await?;
    Ok(Json(Version {
        version: info.version,
        api: "v1",
        uptime_s: info.uptime_s,
        hosts_online: info.agents,
    }))
}
