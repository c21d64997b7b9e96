//! The callback of whoever began a run: its results, with their `id` unchanged, signed with what their key has.

use super::results::{self, Output, Results};
use super::{Fate, Letter, sign};
use crate::api::{RunView, signing};
use crate::outward::Place;
use crate::records::PostRecord;
use crate::server::Hub;
use cmdr_protocol::runs::{Callback, Target, TargetState};
use cmdr_protocol::{ErrorKind, RunId};
use serde::Serialize;

/// What came of a run on one host.
#[derive(Serialize)]
pub(super) struct OfHost {
    host: String,
    host_id: Option<String>,
    state: TargetState,
    code: Option<i32>,
    why: String,
    took_ms: Option<u64>,
    stdout: String,
    stderr: String,
    /// There was more output than this: `GET /v1/runs/RUN/output`.
    cut: bool,
}

/// What is posted.
#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    run: RunView,
    results: Vec<OfHost>,
    /// Hosts whose results are not here.
    more: u32,
}

/// What came of a run, host by host.
pub(super) fn results(of: &mut Results) -> Vec<OfHost> {
    let one = |target: &Target, output: Output| OfHost {
        host: target.name.clone(),
        host_id: target.host.map(|id| id.to_string()),
        state: target.state,
        code: target.code,
        why: target.why.clone(),
        took_ms: target.took_ms,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        cut: output.cut || target.lost > 0,
    };
    let outputs = &mut of.output;
    let each = of.targets.iter();
    each.map(|target| one(target, outputs.remove(&target.index).unwrap_or_default())).collect()
}

fn gone() -> Fate {
    Fate::Never("the run is not known any more".to_owned())
}

fn callback(hub: &Hub, post: &PostRecord) -> Result<(RunId, Callback), Fate> {
    let run = post.run.ok_or_else(gone)?;
    let record = hub.runs.ended(run).ok_or_else(gone)?;
    Ok((run, record.start.callback.clone().ok_or_else(gone)?))
}

/// Where it goes.
pub(super) fn place(hub: &Hub, post: &PostRecord) -> Result<Place, Fate> {
    let (_, callback) = callback(hub, post)?;
    // What may be posted to is configured, and may be configured otherwise.
    let outward = hub.outbox.outward().map_err(Fate::Later)?;
    outward.place(&callback.url).map_err(Fate::Later)
}

/// Reads the run: blocks.
pub(super) fn compose(hub: &Hub, post: &PostRecord, place: Place) -> Result<Letter, Fate> {
    let (run, callback) = callback(hub, post)?;
    let key = results::key(hub, run).map(|key| signing::open(hub, key));
    let key = match key {
        Some(Ok(Some(key))) => key,
        Some(Err(e)) => return Err(Fate::Later(e.to_string())),
        None | Some(Ok(None)) => {
            return Err(Fate::Never("the key with which it was begun was taken away".to_owned()));
        }
    };
    let mut read = results::read(hub, run).map_err(|e| match e.kind {
        ErrorKind::NotFound => gone(),
        _ => Fate::Later(e.message),
    })?;
    let more = read.run.counts.targets.saturating_sub(read.targets.len() as u32);
    let results = results(&mut read);
    let body = Body { id: &callback.id, run: read.run.into(), results, more };
    let body = serde_json::to_vec(&body).map_err(|e| Fate::Never(e.to_string()))?;
    Ok(Letter { place, headers: sign::headers(&key, &body), body: body.into() })
}
