//! What came of a run, as far as it goes into a message.

use crate::runs::Sees;
use crate::server::Hub;
use crate::who::Who;
use cmdr_protocol::runs::{Group, Run, Show, Target};
use cmdr_protocol::{CallError, KeyId, RunId};
use std::collections::HashMap;

/// Bytes of output of one target.
const OF_ONE: usize = 64 * 1024;
/// Bytes of output of all together.
const OF_ALL: usize = 1 << 20;

/// That a run is over.
pub(super) struct End {
    pub(super) ended_ms: u64,
    /// Whoever began it wants to be told.
    pub(super) callback: bool,
}

/// The end of a run; nothing when it goes on, or is gone.
pub(super) fn end(hub: &Hub, run: RunId) -> Option<End> {
    let record = hub.runs.ended(run)?;
    let ended_ms = record.end.as_ref()?.ended_ms;
    Some(End { ended_ms, callback: record.start.callback.is_some() })
}

/// Runs that have ended since.
pub(super) fn ended_since(hub: &Hub, since_ms: u64) -> Vec<RunId> {
    hub.runs.ended_since(since_ms)
}

/// With which key a run was begun.
pub(super) fn key(hub: &Hub, run: RunId) -> Option<KeyId> {
    hub.runs.ended(run)?.author.key
}

/// What two streams hold of what a target wrote.
#[derive(Default)]
pub(super) struct Output {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// More was written.
    pub(super) cut: bool,
}

/// A run that is over.
pub(super) struct Results {
    pub(super) run: Run,
    /// The first 500.
    pub(super) targets: Vec<Target>,
    pub(super) groups: Vec<Group>,
    /// By target.
    pub(super) output: HashMap<u32, Output>,
}

/// Reads it.
pub(super) fn read(hub: &Hub, run: RunId) -> Result<Results, CallError> {
    let who = Who::local();
    let shown = hub.runs.show(hub, &who, Show { run, from: 0 })?;
    let (live, _) = hub.runs.look(hub, &who, run, "runs.output")?;
    let mut view = hub.runs.view(live, Sees::All, "", true);
    view.targets = false;
    let attempts: HashMap<u32, u32> =
        shown.targets.iter().map(|target| (target.index, target.attempt)).collect();
    let (mut output, mut left): (HashMap<u32, Output>, usize) = (HashMap::new(), OF_ALL);
    loop {
        let items = view.items();
        if items.is_empty() {
            break;
        }
        for printed in items.into_iter().flat_map(|item| item.output) {
            // Of one that was tried again the last time counts.
            if attempts.get(&printed.target) != Some(&printed.attempt) {
                continue;
            }
            let one = output.entry(printed.target).or_default();
            one.cut |= printed.lost > 0;
            for (kept, mut more) in
                [(&mut one.stdout, printed.stdout), (&mut one.stderr, printed.stderr)]
            {
                let room = OF_ONE.saturating_sub(kept.len()).min(left);
                one.cut |= more.len() > room;
                more.truncate(room);
                left -= more.len();
                kept.append(&mut more);
            }
        }
    }
    Ok(Results { run: shown.run, targets: shown.targets, groups: shown.groups, output })
}
