//! What comes with a request: bounded, and when it makes no sense, a sentence that says where.

use super::Api;
use super::listener::Connection;
use super::problem::Problem;
use super::room::{Full, Share};
use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use cmdr_protocol::{CallError, ErrorKind};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of a JSON body: what is asked for has to fit into one message.
const USUAL: usize = 1 << 20;
/// Bytes of one with a file in it, which goes elsewhere.
pub(super) const WITH_FILE: usize = 4 << 20;
/// It has to come within so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of what is refused so many bytes are read on, for so long.
const PASSED: usize = 16 << 20;
const PASSING: Duration = Duration::from_secs(5);

/// A JSON body of so many bytes at most.
pub(super) struct Json<T, const MOST: usize = USUAL>(pub(super) T);

impl<T: DeserializeOwned, const MOST: usize> FromRequest<Arc<Api>> for Json<T, MOST> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ErrorKind::Malformed,
                "the body has to be JSON: send it with 'Content-Type: application/json'",
            ));
        }
        let key = request.extensions().get::<Connection>().and_then(Connection::key);
        let key = key.ok_or_else(|| {
            Problem::from(CallError::failed("a body is read before its key is known"))
        })?;
        let mut body = request.into_body();
        let taken = timeout(PATIENCE, collect(&mut body, MOST, api.bodies.enter(key))).await;
        let taken = taken.map_err(|_| {
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                ErrorKind::TimedOut,
                format!("the body did not come within {} s", PATIENCE.as_secs()),
            )
        })?;
        if taken.is_err() {
            // One that takes longer is cut off.
            timeout(PASSING, pass_over(&mut body)).await.ok();
        }
        let (bytes, _share) = taken?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|e| Problem::malformed(format!("the body cannot be read: {e}")))
    }
}

/// Takes a body in, as far as there is room for it among those of others.
async fn collect(
    body: &mut Body,
    most: usize,
    mut share: Share,
) -> Result<(Vec<u8>, Share), Problem> {
    let too_large = || {
        Problem::too_large(format!(
            "the body is larger than {} MiB; upload large files with: POST /v1/files",
            most >> 20
        ))
    };
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Problem::malformed(format!("the body broke off: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(too_large());
        }
        share.grow(data.len()).map_err(|full| {
            let what = match full {
                Full::All => "as many bytes of requests are on their way as may be",
                Full::Key => "as many bytes of requests with this key are on their way as may be",
            };
            Problem::from(CallError::new(ErrorKind::Busy, format!("{what}; try again in a moment")))
        })?;
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, share))
}

/// Reads on and keeps nothing: who still sends would get a connection that breaks off in place of the answer.
async fn pass_over(body: &mut Body) {
    let mut left = PASSED;
    while let Some(Ok(frame)) = body.frame().await {
        let size = frame.data_ref().map_or(0, bytes::Bytes::len);
        match left.checked_sub(size) {
            Some(rest) => left = rest,
            None => return,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::room::Room;
    use axum::response::IntoResponse as _;
    use cmdr_protocol::KeyId;

    async fn status(mut body: Body, most: usize, room: &Room) -> StatusCode {
        match collect(&mut body, most, room.enter(KeyId([1; 16]))).await {
            Ok(_) => StatusCode::OK,
            Err(problem) => problem.into_response().status(),
        }
    }

    /// A body that does not say how long it is.
    fn unsaid(pieces: usize, size: usize) -> Body {
        let piece = move |_| Ok::<_, std::convert::Infallible>(vec![b'x'; size]);
        Body::from_stream(futures::stream::iter((0..pieces).map(piece)))
    }

    #[tokio::test]
    async fn a_body_is_taken_in_up_to_its_bound_whether_it_says_its_length_or_not() {
        let room = Room::new(1 << 30, 1 << 30);
        assert_eq!(status(Body::from(vec![0; 100]), 100, &room).await, StatusCode::OK);
        let large = StatusCode::PAYLOAD_TOO_LARGE;
        assert_eq!(status(Body::from(vec![0; 101]), 100, &room).await, large);
        assert_eq!(status(unsaid(10, 10), 100, &room).await, StatusCode::OK);
        assert_eq!(status(unsaid(11, 10), 100, &room).await, large);
    }

    #[tokio::test]
    async fn bodies_of_all_together_have_a_bound_and_give_their_room_back() {
        let room = Room::new(150, 100);
        let other = room.enter(KeyId([2; 16]));
        let held = collect(&mut unsaid(9, 10), 100, other).await.ok().unwrap();
        let busy = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(status(unsaid(7, 10), 100, &room).await, busy);
        assert_eq!(status(unsaid(6, 10), 100, &room).await, StatusCode::OK);
        drop(held);
        assert_eq!(status(unsaid(10, 10), 100, &room).await, StatusCode::OK);
        assert_eq!(status(unsaid(11, 10), 200, &room).await, busy, "one key has its share");
        assert!(room.is_empty());
    }
}
