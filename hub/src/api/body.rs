//! What comes with a request: bounded, and when it makes no sense, a sentence that says where.

use super::Api;
use super::problem::Problem;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use cmdr_protocol::ErrorKind;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a JSON body.
const LARGEST: usize = 4 << 20;
/// It has to come within so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A JSON body.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Api>) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ErrorKind::Malformed,
                "the body has to be JSON: send it with 'Content-Type: application/json'",
            ));
        }
        let body = Limited::new(request.into_body(), LARGEST).collect();
        let bytes = match tokio::time::timeout(PATIENCE, body).await {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(e)) if e.downcast_ref::<LengthLimitError>().is_some() => {
                return Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    ErrorKind::Malformed,
                    format!(
                        "the body is larger than {} MiB; upload large files with: POST /v1/files",
                        LARGEST >> 20
                    ),
                ));
            }
            Ok(Err(e)) => return Err(Problem::malformed(format!("the body broke off: {e}"))),
            Err(_) => {
                return Err(Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    ErrorKind::TimedOut,
                    format!("the body did not come within {} s", PATIENCE.as_secs()),
                ));
            }
        };
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|e| Problem::malformed(format!("the body cannot be read: {e}")))
    }
}

/// What stands after the `?`.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Api>> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, api).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(e) => {
                Err(Problem::malformed(format!("the address cannot be read: {}", e.body_text())))
            }
        }
    }
}

/// What stands in the path.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Api>> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, api).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(e) => {
                Err(Problem::malformed(format!("the path cannot be read: {}", e.body_text())))
            }
        }
    }
}
