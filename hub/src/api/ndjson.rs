//! Feeds as lines of JSON. A line is sent when its item comes; what ends a feed before its time is told by
//! a last line with a problem in it.

use super::bearer::Program;
use super::inside::Followed;
use super::problem::Problem;
use super::programs::Presence;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use cmdr_protocol::{CallError, ErrorKind, Feed};
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The media type.
pub(super) const TYPE: &str = "application/x-ndjson";
/// Whether a feed is refused shows within so long; then the answer begins, with or without a line.
const FIRST: Duration = Duration::from_millis(500);
/// Lines that wait for a reader.
const WAITING: usize = 16;

/// How a feed ends that did not end well.
#[derive(Serialize)]
struct Last {
    problem: Problem,
}

fn line<T: Serialize>(value: &T) -> Bytes {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// Answers with the items of a feed, each as what `shape` makes of it, for at most so long.
pub(super) async fn answer<F: Feed, T: Serialize + Send>(
    program: Program,
    followed: Followed<F>,
    most: Option<Duration>,
    mut shape: impl FnMut(F::Item) -> Vec<T> + Send + 'static,
) -> Result<Response, Problem> {
    let Followed { mut feed, mut presence } = followed;
    let first = tokio::select! {
        biased;
        reason = presence.cut() => return Err(cut(reason)),
        first = timeout(FIRST, feed.next()) => first,
    };
    let first = match first {
        Ok(Some(Err(e))) => return Err(e.into()),
        Ok(Some(Ok(item))) => Some(item),
        Ok(None) => return Ok(respond(Body::empty())),
        Err(_) => None,
    };
    let (lines, written) = tokio::sync::mpsc::channel::<Bytes>(WAITING);
    tokio::spawn(async move {
        let end = most.map(|most| Instant::now() + most);
        let carry = async {
            let mut next = first.map(Ok);
            loop {
                let item = match next.take() {
                    Some(item) => item,
                    None => match feed.next().await {
                        Some(item) => item,
                        None => return Ok(()),
                    },
                };
                for value in shape(item.map_err(Problem::from)?) {
                    if lines.send(line(&value)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        };
        let ended = tokio::select! {
            ended = carry => ended,
            ended = over(&program, presence, end) => ended,
            () = lines.closed() => Ok(()),
        };
        if let Err(problem) = ended {
            // A reader that has gone does not want to know.
            drop(lines.send(line(&Last { problem })).await);
        }
    });
    let body = futures::stream::unfold(written, |mut written| async move {
        let line = written.recv().await?;
        Some((Ok::<_, Infallible>(line), written))
    });
    Ok(respond(Body::from_stream(body)))
}

fn respond(body: Body) -> Response {
    ([(header::CONTENT_TYPE, TYPE), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// Its rights have changed, or its key is no more.
fn cut(reason: String) -> Problem {
    Problem::from(CallError::new(ErrorKind::Denied, reason))
}

/// Waits for what ends a feed from this side.
async fn over(
    program: &Program,
    mut presence: Presence,
    end: Option<Instant>,
) -> Result<(), Problem> {
    let api = Arc::clone(&program.api);
    let key = program.caller.key;
    let late = async {
        match end {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    let problem = |kind, why: &str| Err(Problem::from(CallError::new(kind, why)));
    tokio::select! {
        () = late => Ok(()),
        reason = presence.cut() => Err(cut(reason)),
        () = api.hub.login_ends(key) => problem(
            ErrorKind::Denied,
            "this program's key has expired; its operator makes another: cmdr keys create",
        ),
        () = api.stops() => {
            problem(ErrorKind::Busy, "the hub is stopping; ask again, from the last cursor")
        }
    }
}
