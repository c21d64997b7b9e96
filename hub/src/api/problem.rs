//! What a program is told when something does not work: problem details (RFC 9457), with a sentence that
//! says what to do.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cmdr_protocol::{CallError, ErrorKind};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, ResponseBuilder, Type,
};
use utoipa::{IntoResponses, ToSchema};

/// The media type.
pub(super) const JSON: &str = "application/problem+json";

/// Why a request did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `about:blank`: the status says which kind it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind_uri: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was attempted, what went wrong and what to do next.
    detail: String,
    /// The class of the error, for programs: `denied`, `not-found`, `busy` and so on.
    kind: &'static str,
    /// Seconds after which to try again; also the header Retry-After.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind_uri: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            kind: kind.as_str(),
            retry_after_s: None,
        }
    }

    /// The request makes no sense.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorKind::Malformed, detail)
    }

    /// There is no such thing.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, detail)
    }

    /// It is more than is taken.
    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::Malformed, detail)
    }

    /// No key was shown, or one that is not known.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorKind::Denied, detail)
    }

    /// Too much at once; after so many seconds there may be room.
    pub(super) fn too_many(seconds: u64, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorKind::Busy, detail).after(seconds)
    }

    pub(super) fn after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let status = match error.kind {
            ErrorKind::Malformed => StatusCode::BAD_REQUEST,
            ErrorKind::Denied
            | ErrorKind::OnRequest
            | ErrorKind::NeedsCode
            | ErrorKind::NeedsPassword => StatusCode::FORBIDDEN,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Conflict | ErrorKind::Elsewhere => StatusCode::CONFLICT,
            ErrorKind::Unreachable | ErrorKind::Cancelled | ErrorKind::Busy => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::UnknownMethod | ErrorKind::Lost | ErrorKind::Failed | ErrorKind::Unknown => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        let problem = Self::new(status, error.kind, error.message);
        if status == StatusCode::SERVICE_UNAVAILABLE { problem.after(1) } else { problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry = self.retry_after_s;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        if let Some(seconds) = retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let how = HeaderValue::from_static("Bearer realm=\"cmdr\"");
            headers.insert(header::WWW_AUTHENTICATE, how);
        }
        response
    }
}

fn described(
    statuses: &[(StatusCode, &str)],
) -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
    let seconds = || {
        HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::Integer).build()))
            .description(Some("Seconds after which to try again"))
            .build()
    };
    let response = |(status, what): &(StatusCode, &str)| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let mut response = ResponseBuilder::new().description(*what).content(JSON, content);
        if matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response = response.header("Retry-After", seconds());
        }
        (status.as_str().to_owned(), RefOr::T(response.build()))
    };
    statuses.iter().map(response).collect()
}

const ALWAYS: [(StatusCode, &str); 4] = [
    (StatusCode::TOO_MANY_REQUESTS, "Too many requests with this key or from this address"),
    (StatusCode::INTERNAL_SERVER_ERROR, "A fault of the hub's"),
    (StatusCode::SERVICE_UNAVAILABLE, "The hub is busy, stops, or cannot write"),
    (StatusCode::GATEWAY_TIMEOUT, "It took too long"),
];

/// What any request without a key may be answered.
pub(super) struct Open;

impl IntoResponses for Open {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        described(&ALWAYS)
    }
}

/// What any request with a key may be answered.
pub(super) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let mut all = described(&ALWAYS);
        all.extend(described(&[
            (StatusCode::BAD_REQUEST, "The request makes no sense; the detail says where"),
            (StatusCode::UNAUTHORIZED, "No key, or one that does not work"),
            (StatusCode::FORBIDDEN, "The key may not do this"),
        ]));
        all
    }
}

/// As [`Problems`], about one thing.
pub(super) struct ProblemsOfOne;

impl IntoResponses for ProblemsOfOne {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let mut all = Problems::responses();
        all.extend(described(&[
            (StatusCode::NOT_FOUND, "There is no such thing"),
            (StatusCode::CONFLICT, "It is not as the request believes"),
        ]));
        all
    }
}

/// As [`ProblemsOfOne`], with a body.
pub(super) struct ProblemsOfBody;

impl IntoResponses for ProblemsOfBody {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let mut all = ProblemsOfOne::responses();
        all.extend(described(&[
            (StatusCode::REQUEST_TIMEOUT, "The body did not come in time"),
            (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is of another type"),
        ]));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_a_status_and_what_may_pass_says_when_to_try_again() {
        for kind in ErrorKind::ALL {
            let problem = Problem::from(CallError::new(*kind, "what to do"));
            assert!((400..600).contains(&problem.status), "{kind}");
            assert_eq!(problem.kind, kind.as_str());
        }
        let response = Problem::from(CallError::new(ErrorKind::Busy, "later")).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], JSON);
        let response = Problem::unauthorized("who are you?").into_response();
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
    }
}
