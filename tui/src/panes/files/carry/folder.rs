//! Folders on their way: all their files as one transfer, whose faults are kept to be listed.

use crate::action::reason;
use crate::store::files::{State, Told};
use cmdr_link::transfer::tree::{self, How, Left, Place};
use cmdr_link::transfer::{self, Progress, Way};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::{CallError, HostId};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Faults that are kept of one transfer.
const FAULTS: usize = 500;

fn fault(what: &Place, error: &CallError) -> String {
    format!("{what}: {}", reason(error))
}

fn put(told: &mut Told, fault: String) {
    if told.faults.len() < FAULTS {
        told.faults.push(fault);
    }
}

/// Of each file: bytes that are there, and that were carried.
#[derive(Default)]
struct Sums {
    each: Vec<(u64, u64)>,
    have: u64,
    carried: u64,
}

/// A folder from here to there. What is there already is left out; what fails is told, and the rest goes on.
pub(super) async fn carry(
    way: &Way,
    from: &Place,
    to: &Place,
    take: bool,
    tell: &Arc<watch::Sender<Told>>,
) -> Result<State, CallError> {
    let how = How { preserve: true, absent: true, skip_same: true };
    let plan = tree::plan(way, from, to, how).await?;
    let size: u64 = plan.items.iter().map(|item| item.size).sum();
    let (same, count) = (plan.same, plan.items.len() + plan.same.0 as usize);
    tell.send_modify(|told| {
        told.progress = Progress { size: size + same.1, have: same.1, ..Progress::default() };
        told.files = Some((same.0 as usize, count));
        for Left { what, error } in &plan.left {
            put(told, fault(what, error));
        }
    });
    let sums = Mutex::new(Sums { each: vec![(0, 0); plan.items.len()], ..Sums::default() });
    let teller = tell.clone();
    let hear = move |at: usize, p: &Progress| {
        let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
        let (have, carried) = std::mem::replace(&mut sums.each[at], (p.have, p.carried));
        sums.have = sums.have + p.have - have;
        sums.carried = sums.carried + p.carried - carried;
        let (have, carried) = (same.1 + sums.have, sums.carried);
        teller.send_modify(|told| {
            let progress = &mut told.progress;
            (progress.have, progress.carried) = (have, carried);
            progress.size = progress.size.max(have);
            progress.waiting.clone_from(&p.waiting);
        });
    };
    let mut failed = HashSet::new();
    let done = |at: usize, ended: Result<tree::Carried, CallError>| {
        tell.send_modify(|told| {
            told.files = told.files.map(|(over, all)| (over + 1, all));
            match ended {
                Ok(carried) => {
                    for lost in carried.lost {
                        put(told, format!("{}: {lost} ✗", plan.items[at].to));
                    }
                }
                Err(error) => {
                    failed.insert(at);
                    put(told, fault(&plan.items[at].from, &error));
                }
            }
        });
    };
    tree::carry_all(way, &plan.items, true, Arc::new(hear), done).await;
    let mut missing = plan.left.len() + failed.len();
    if take {
        // What is not there yet stays where it is, and the folders that it is in.
        let left = tree::take_away(way, &plan, &failed).await;
        missing += left.len();
        tell.send_modify(|told| {
            for Left { what, error } in &left {
                put(told, fault(what, error));
            }
        });
    }
    let all = count + plan.left.len();
    Ok(if missing == 0 { State::Done } else { State::Partly(missing, all) })
}

/// A folder as one `tar.zst`.
pub(super) async fn archive(
    way: &Way,
    host: HostId,
    path: FilePath,
    to: PathBuf,
    tell: &Arc<watch::Sender<Told>>,
) -> Result<State, CallError> {
    let packed = transfer::archive(way, host, path, &to).await?;
    tell.send_modify(|told| {
        let entries = usize::try_from(packed.entries).unwrap_or(usize::MAX);
        told.files = Some((entries, entries));
        for word in packed.words {
            put(told, word);
        }
    });
    Ok(State::Done)
}
