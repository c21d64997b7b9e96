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
    /// The operator who began it.
    pub(super) by: String,
    /// Whoever began it wants to be told.
    pub(super) callback: bool,
}

/// The end of a run; nothing when it goes on, or is gone.
pub(super) fn end(hub: &Hub, run: RunId) -> Option<End> {
    let record = hub.runs.ended(run)?;
    let ended_ms = record.end.as_ref()?.ended_ms;
    let by = record.author.operator.clone();
    Some(End { ended_ms, by, callback: record.start.callback.is_some() })
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

impl Output {
    /// Takes what there is room for; false when there was more.
    fn take(&mut self, stdout: Vec<u8>, stderr: Vec<u8>, left: &mut usize) -> bool {
        let mut all = true;
        for (kept, mut more) in [(&mut self.stdout, stdout), (&mut self.stderr, stderr)] {
            let room = OF_ONE.saturating_sub(kept.len()).min(*left);
            all &= more.len() <= room;
            more.truncate(room);
            *left -= more.len();
            kept.append(&mut more);
        }
        self.cut |= !all;
        all
    }
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

/// Reads it, and of its output no more than goes into a message and one piece of each target: blocks.
pub(super) fn read(hub: &Hub, run: RunId) -> Result<Results, CallError> {
    let who = Who::local();
    let shown = hub.runs.show(hub, &who, Show { run, from: 0 })?;
    let (live, _) = hub.runs.look(hub, &who, run, "runs.output")?;
    let mut view = hub.runs.view(live, Sees::All, "", true);
    view.targets = false;
    // Of one that was tried again the last time counts.
    view.want = Some(shown.targets.iter().map(|target| (target.index, target.attempt)).collect());
    let (mut output, mut left): (HashMap<u32, Output>, usize) = (HashMap::new(), OF_ALL);
    loop {
        let items = view.items();
        if items.is_empty() {
            break;
        }
        for printed in items.into_iter().flat_map(|item| item.output) {
            let one = output.entry(printed.target).or_default();
            one.cut |= printed.lost > 0;
            if !one.take(printed.stdout, printed.stderr, &mut left)
                && let Some(want) = &mut view.want
            {
                want.remove(&printed.target);
            }
        }
    }
    Ok(Results { run: shown.run, targets: shown.targets, groups: shown.groups, output })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_taken_up_to_its_bounds_and_then_no_more_is_wanted() {
        let (mut one, mut left) = (Output::default(), OF_ALL);
        assert!(one.take(vec![1; OF_ONE], Vec::new(), &mut left));
        assert!(one.take(Vec::new(), vec![2; OF_ONE], &mut left) && !one.cut);
        assert!(!one.take(vec![1], Vec::new(), &mut left) && one.cut);
        assert_eq!((one.stdout.len(), one.stderr.len()), (OF_ONE, OF_ONE));
        assert_eq!(left, OF_ALL - 2 * OF_ONE);
        let (mut other, mut left) = (Output::default(), 3);
        assert!(!other.take(vec![1; 4], Vec::new(), &mut left) && other.cut);
        assert_eq!((other.stdout.len(), left), (3, 0));
    }
}
