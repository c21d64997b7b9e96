//! Schedules of this host: kept on disk as the hub last told them, and done by the agent while no hub watches it.
//!
//! While one does, a moment that is due is the hub's. Who was first is decided by the occurrence: an order for a moment
//! that was done already is answered with the one that did it.

use super::accept;
use super::ledger::lock;
use crate::Agent;
use cmdr_link::files::{private_dir, read_private, write_private};
use cmdr_link::{clock, codec};
use cmdr_protocol::CallError;
use cmdr_protocol::orders::{
    MAX_SCHEDULES, MAX_TIMES, Occurrence, Schedule, Schedules, Take, is_id,
};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// So long the hub has to be away before the agent does what is due.
const GRACE: Duration = Duration::from_secs(5);
/// A moment is let go after so long: the hub was there, or the host was not.
const LATE_MS: u64 = 90_000;
/// The shortest time between two moments.
const SHORTEST_MS: u64 = 1000;
/// How often is looked while something is due.
const LOOK: Duration = Duration::from_secs(1);
/// How often the wall clock is looked at, which people may set.
const CLOCK: Duration = Duration::from_secs(30);
/// The largest file of schedules.
const LARGEST: u64 = 8 << 20;

/// What is kept.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    all: Mutex<Vec<Schedule>>,
    changed: Notify,
    running: AtomicBool,
}

impl Kept {
    pub(super) fn new(path: PathBuf) -> Self {
        let (all, changed) = (Mutex::default(), Notify::new());
        Self { path, all, changed, running: AtomicBool::new(false) }
    }
}

/// Reads what was kept, and goes on with it.
pub(super) fn resume(agent: &Agent) {
    let kept = &agent.orders().schedules;
    match read_private(&kept.path, LARGEST) {
        Ok(bytes) => match codec::decode::<Schedules>(&bytes) {
            Ok(read) => {
                *lock(&kept.all) = read.schedules;
                run(agent);
            }
            Err(e) => {
                tracing::error!("the schedules in {} cannot be read: {e}", kept.path.display());
            }
        },
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => tracing::error!("reading {}: {e}", kept.path.display()),
    }
}

/// Puts all of them in the place of those there were, on disk when this returns.
pub(super) async fn replace(agent: &Agent, all: Schedules) -> Result<(), CallError> {
    if all.schedules.len() > MAX_SCHEDULES {
        return Err(CallError::malformed(format!(
            "a host keeps at most {MAX_SCHEDULES} schedules"
        )));
    }
    for schedule in &all.schedules {
        let fits = is_id(&schedule.id)
            && schedule.id.len() <= 80
            && schedule.times.len() <= MAX_TIMES
            && schedule.times.is_sorted()
            && schedule.every_ms.is_none_or(|every| every >= SHORTEST_MS);
        if !fits {
            return Err(CallError::malformed(
                "a schedule has no proper name, or moments that are none",
            ));
        }
    }
    let bytes = codec::encode(&all).map_err(|e| CallError::failed(e.to_string()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(CallError::malformed(format!(
            "the schedules of a host have at most {} MiB",
            LARGEST >> 20
        )));
    }
    let path = agent.orders().schedules.path.clone();
    let writing = tokio::task::spawn_blocking(move || {
        path.parent().map_or(Ok(()), private_dir).and_then(|()| write_private(&path, &bytes))
    });
    let wrong = |what: String| CallError::failed(format!("keeping the schedules: {what}"));
    writing
        .await
        .map_err(|e| wrong(e.to_string()))?
        .map_err(|e| wrong(cmdr_link::files::reason(&e)))?;
    *lock(&agent.orders().schedules.all) = all.schedules;
    agent.orders().schedules.changed.notify_one();
    run(agent);
    Ok(())
}

/// The moments of a schedule after `from` and up to `to`: the last of them, as more than one were missed at once only
/// by a host that slept.
fn due(schedule: &Schedule, from: u64, to: u64) -> Option<u64> {
    let to = to.min(schedule.until_ms.unwrap_or(u64::MAX));
    let listed = schedule.times.iter().rev().find(|at| (from + 1..=to).contains(*at)).copied();
    let counted = schedule.every_ms.and_then(|every| {
        let since = to.checked_sub(schedule.from_ms)?;
        let last = schedule.from_ms + since - since % every;
        (last > from && last > schedule.from_ms).then_some(last)
    });
    listed.max(counted)
}

/// The first moment of a schedule after `from`.
fn next(schedule: &Schedule, from: u64) -> Option<u64> {
    let listed = schedule.times.iter().find(|at| **at > from).copied();
    let counted = schedule.every_ms.map(|every| {
        let since = from.saturating_sub(schedule.from_ms);
        schedule.from_ms + (since / every + 1) * every
    });
    let first = match (listed, counted) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    first.filter(|at| schedule.until_ms.is_none_or(|until| *at <= until))
}

/// Begins to look at the clock, unless somebody does so.
fn run(agent: &Agent) {
    let kept = &agent.orders().schedules;
    if lock(&kept.all).is_empty() || kept.running.swap(true, Ordering::Relaxed) {
        return;
    }
    let agent = agent.clone();
    tokio::spawn(async move {
        let mut waiting: Vec<(Schedule, u64)> = Vec::new();
        // What became due while the agent was being started is not lost by that.
        let mut seen = clock::now_ms().saturating_sub(LATE_MS);
        loop {
            let now = clock::now_ms();
            let all = lock(&agent.orders().schedules.all).clone();
            for schedule in &all {
                // Set back, the clock shows no moment twice; set forward, only what is due about now counts.
                let from = seen.max(now.saturating_sub(LATE_MS));
                if let Some(at) = due(schedule, from, now) {
                    waiting.push((schedule.clone(), at));
                }
            }
            seen = seen.max(now);
            if seen > now + LATE_MS {
                seen = now;
            }
            waiting.retain(|(schedule, at)| {
                now.saturating_sub(*at) <= LATE_MS && all.iter().any(|one| one.id == schedule.id)
            });
            decide(&agent, &mut waiting).await;
            let upcoming = all.iter().filter_map(|schedule| next(schedule, now)).min();
            let sleep = match upcoming {
                _ if !waiting.is_empty() => LOOK,
                Some(at) => Duration::from_millis(at.saturating_sub(now) + 1).min(CLOCK),
                None => CLOCK,
            };
            tokio::select! {
                () = tokio::time::sleep(sleep) => {}
                () = agent.orders().schedules.changed.notified() => {}
            }
        }
    });
}

/// Does what is due and the hub cannot do.
async fn decide(agent: &Agent, waiting: &mut Vec<(Schedule, u64)>) {
    waiting.retain(|(schedule, at)| {
        let occurrence = Occurrence { schedule: schedule.id.clone(), due_ms: *at };
        agent.orders().ledger(agent).done_for(&occurrence).is_none()
    });
    let alone = *lock(&agent.orders().alone_since);
    if alone.is_none_or(|since| since.elapsed() < GRACE) {
        return;
    }
    for (schedule, due_ms) in std::mem::take(waiting) {
        let Schedule { id, order, output, deadline_ms, by, .. } = schedule;
        let own = format!("own.{id}.{due_ms}");
        tracing::info!(id = own, "no hub is there: the agent begins what is due");
        let occurrence = Some(Occurrence { schedule: id, due_ms });
        let take = Take { id: own.clone(), order, output, deadline_ms, occurrence };
        if let Err(e) = accept(agent, take, by).await {
            tracing::error!(id = own, "what is due is not done: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_moment_is_due_once_and_only_the_last_one_of_several() {
        let listed = Schedule { times: vec![10, 20, 30], ..Schedule::default() };
        assert_eq!(
            (due(&listed, 0, 9), due(&listed, 0, 10), due(&listed, 10, 10)),
            (None, Some(10), None)
        );
        assert_eq!(
            (due(&listed, 0, 100), next(&listed, 10), next(&listed, 30)),
            (Some(30), Some(20), None)
        );
        let counted = Schedule { every_ms: Some(10), from_ms: 5, ..Schedule::default() };
        assert_eq!(
            (due(&counted, 0, 5), due(&counted, 5, 14), due(&counted, 5, 15)),
            (None, None, Some(15))
        );
        assert_eq!((due(&counted, 15, 24), due(&counted, 15, 47)), (None, Some(45)));
        assert_eq!((next(&counted, 0), next(&counted, 15)), (Some(15), Some(25)));
        let ends = Schedule { until_ms: Some(20), ..counted };
        assert_eq!((next(&ends, 5), next(&ends, 15), due(&ends, 15, 47)), (Some(15), None, None));
        assert_eq!(due(&ends, 5, 47), Some(15), "what was due before is still done");
    }

    proptest! {
        #[test]
        fn what_comes_next_is_what_is_due_then(every in 1u64..1000, from_ms in 0u64..1000, now in 0u64..5000) {
            let schedule = Schedule { every_ms: Some(every), from_ms, ..Schedule::default() };
            let at = next(&schedule, now).unwrap();
            prop_assert!(at > now.max(from_ms));
            prop_assert_eq!(due(&schedule, now.max(from_ms), at), Some(at));
            prop_assert_eq!(due(&schedule, at, at + every - 1), None);
        }
    }
}
