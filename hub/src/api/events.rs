//! Events of the fleet as lines of JSON.

use super::bearer::Program;
use super::body::Params;
use super::ndjson;
use super::problem::{Problem, Problems};
use super::runs::view::Counts;
use axum::response::Response;
use cmdr_protocol::events::{self, Watch, What};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// What to follow.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The cursor of the last event that was read; empty for all that are kept.
    #[serde(default)]
    after: String,
    /// Seconds to wait for more events when all that are kept were told; 0 ends the answer then.
    #[serde(default)]
    #[param(minimum = 0, maximum = 86400, default = 0)]
    follow_s: u32,
    /// Only these, separated by commas: `run.ended`, or what names begin with (`run`).
    #[serde(default)]
    #[param(example = "run,host.away")]
    kind: String,
    /// Only those of hosts that match this selector, and of runs with a target on one.
    #[serde(default)]
    hosts: String,
    /// Only what happens from now on: the first line is `alive` with the cursor of this moment. Not with `after`.
    #[serde(default)]
    new: bool,
}

/// How long a feed may be followed, as the request wants it: absent for not at all.
pub(super) fn within_a_day(seconds: u32) -> Result<Option<Duration>, Problem> {
    match seconds {
        0 => Ok(None),
        1..=86_400 => Ok(Some(Duration::from_secs(seconds.into()))),
        _ => Err(Problem::malformed("follow_s is a number from 0 to 86400")),
    }
}

/// One event.
#[derive(Serialize, ToSchema)]
pub(super) struct Event {
    /// What to give as `after` to go on from here.
    cursor: String,
    /// When, milliseconds since 1970.
    at_ms: u64,
    /// `host.online`, `host.away`, `host.joined`, `host.waits`, `host.changed`, `host.gone`; `run.begun`,
    /// `run.paused`, `run.resumed`, `run.stopped`, `run.halted`, `run.retried`, `run.ended`, `run.deleted`;
    /// `session.begun`, `session.ended`; `edit.saved`, `edit.confirmed`, `edit.reverted`; `runbook.saved`,
    /// `runbook.deleted`; `config.saved`, `config.deleted`; `approval.asked`, `approval.answered`,
    /// `approval.ended`; `alert.fired`, `alert.acknowledged`, `alert.resolved`; `rule.saved`, `rule.deleted`,
    /// `policies.saved`; `notifier.saved`, `notifier.deleted`, `notifier.failed`; `target.failed`, `target.takes`, `data.purged`,
    /// `history.failed`; `missed` when events before this place are not known any more: list everything anew;
    /// `alive` when nothing happened for a while.
    #[schema(value_type = String, example = "host.online")]
    what: What,
    /// To which host, by id.
    host: Option<String>,
    /// The host's name then.
    host_name: Option<String>,
    /// Who did it; for a run: who began it.
    operator: Option<String>,
    /// To which run.
    run: Option<String>,
    /// How the targets of a run that has ended stand: of those on hosts that the caller may know of.
    counts: Option<Counts>,
    /// To what else: `session:ID`, `path:PATH`, `runbook:NAME`, `config:NAME`, `approval:ID`.
    about: Option<String>,
    /// More about it.
    message: String,
}

impl From<events::Event> for Event {
    fn from(event: events::Event) -> Self {
        Self {
            cursor: event.cursor,
            at_ms: event.at_ms,
            what: event.what,
            host_name: event.host.map(|_| event.host_name),
            host: event.host.map(|id| id.to_string()),
            operator: Some(event.operator).filter(|operator| !operator.is_empty()),
            run: event.run.map(|id| id.to_string()),
            counts: event.counts.map(Counts::from),
            about: Some(event.about).filter(|about| !about.is_empty()),
            message: event.message,
        }
    }
}

/// Follows what happens in the fleet.
///
/// One event a line, oldest first: of what the caller would find in lists. What ends the answer before its time is told in a last line, an object
/// with the field `problem`.
#[utoipa::path(
    get, path = "/v1/events", operation_id = "followEvents", tag = "events", params(Wanted),
    responses(
        (status = 200, description = "Events, one a line", body = Event, content_type = "application/x-ndjson"),
        Problems
    ),
    security(("key" = []))
)]
pub(super) async fn follow(
    program: Program,
    Params(follow): Params<Wanted>,
) -> Result<Response, Problem> {
    let most = within_a_day(follow.follow_s)?;
    let kinds = follow.kind.split(',').map(|kind| kind.trim().to_owned());
    let watch = Watch {
        after: follow.after,
        once: most.is_none(),
        new: follow.new,
        kinds: if follow.kind.is_empty() { Vec::new() } else { kinds.collect() },
        hosts: follow.hosts,
    };
    let feed = program.feed(&watch).await?;
    ndjson::answer(program, feed, most, |event| vec![Event::from(event)]).await
}
