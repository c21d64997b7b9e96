//! The OpenAPI document: made from the handlers, so that it cannot say anything else than they do.

use super::problem::{Open, Problem};
use super::routes;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use std::sync::OnceLock;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

/// Where it is.
pub(super) const PATH: &str = "/v1/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Commander",
        version = "1.0.0",
        description = "What the hub does for other programs. Every request is decided and recorded as one of the operator whose key is shown.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/")),
    components(schemas(Problem)),
    tags(
        (name = "hub", description = "The hub itself"),
        (name = "hosts", description = "The fleet"),
        (name = "runs", description = "One order to many hosts"),
        (name = "schedules", description = "Runs that begin by the clock"),
        (name = "runbooks", description = "Ordered steps with parameters, kept in versions"),
        (name = "configs", description = "Files that some hosts shall have, kept in versions"),
        (name = "files", description = "Contents of files that the hub keeps for hosts"),
        (name = "events", description = "What happens in the fleet"),
        (name = "metrics", description = "Figures of the hub and of the fleet, now and as they were"),
    )
)]
struct Head;

/// What stands above all paths.
pub(super) fn head() -> utoipa::openapi::OpenApi {
    let mut head = Head::openapi();
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A program's key: cmdr keys create NAME --verb VERB --http"))
        .build();
    head.components.get_or_insert_default().add_security_scheme("key", SecurityScheme::Http(key));
    head
}

/// The document as text.
pub fn text() -> String {
    let (_, document) = routes().split_for_parts();
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// This document.
#[utoipa::path(
    get, path = "/v1/openapi.json", operation_id = "openapi", tag = "hub",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = serde_json::Value), Open),
    security(())
)]
pub(super) async fn openapi() -> Response {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    let text = TEXT.get_or_init(|| text().into()).clone();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
