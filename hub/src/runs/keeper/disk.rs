//! What was staged goes to disk with one write, is tried again for as long as the disk fails, and only then counts.

use super::ends::head_of;
use super::{Keeper, Work};
use crate::runs::records::{self, ChangeRecord, EndRecord, LogRecord};
use crate::store::{Batch, StoreError};
use cmdr_link::clock;
use cmdr_protocol::RunId;
use cmdr_protocol::runs::{RunState, Start, TargetState};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

/// While the disk cannot be written, it is tried again this often.
const RETRY: Duration = Duration::from_millis(500);

impl Keeper {
    pub(super) async fn write(&mut self, works: &mut BTreeMap<RunId, Work>) {
        let mut unwritten = {
            let segments = self.segments.lock().unwrap_or_else(PoisonError::into_inner);
            segments.is_waiting()
        };
        while unwritten {
            let segments = self.segments.clone();
            let written = tokio::task::spawn_blocking(move || {
                segments.lock().unwrap_or_else(PoisonError::into_inner).write()
            });
            match written.await {
                Ok(Ok(())) => unwritten = false,
                Ok(Err(e)) => tracing::error!("output of runs cannot be written: {e}"),
                Err(e) => tracing::error!("writing output of runs failed: {e}"),
            }
            if unwritten {
                tokio::time::sleep(RETRY).await;
            }
        }
        loop {
            let (mut batch, mut written, mut empty) = (Batch::new(), Vec::new(), true);
            for (id, work) in works.iter() {
                let inner = work.live.lock();
                let nothing = work.log == LogRecord::default();
                empty &= nothing && !work.head;
                let (next_batch, next) = records::put_log(batch, *id, inner.log, &work.log);
                batch = next_batch;
                let head = work.head.then(|| head_of(&inner, work, next));
                if let Some(head) = &head {
                    batch = records::put_head(batch, *id, head);
                }
                written.push((next, head));
            }
            if empty {
                return;
            }
            match self.runs.store.apply(batch).await {
                Ok(()) => {
                    for (work, (next, head)) in works.values_mut().zip(written) {
                        work.live.lock().log = next;
                        work.record = head;
                    }
                    return;
                }
                Err(StoreError::TooLarge(key)) if self.set_aside(works, &key) => {}
                Err(e) => {
                    tracing::error!("what happened in runs cannot be written; it waits: {e}");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Ends a run of which a record is larger than the store takes, and says so in it: nothing builds one, and all
    /// others must go on whatever happens to one.
    fn set_aside(&self, works: &mut BTreeMap<RunId, Work>, key: &str) -> bool {
        let Some(id) = works.keys().copied().find(|id| key.contains(&id.to_string())) else {
            return false;
        };
        let Some(mut work) = works.remove(&id) else { return false };
        tracing::error!("the run {id} is set aside: its record '{key}' is larger than 64 KiB");
        let now = clock::now_ms();
        let mut inner = work.live.lock();
        if work.aside {
            // Not even its end can be written. It is over until the hub begins anew.
            inner.record.end = Some(EndRecord { ended_ms: now, ..EndRecord::default() });
            drop(inner);
            self.runs.close(&work.live);
            return true;
        }
        let why = "set aside: what happened in it could not be written";
        why.clone_into(&mut inner.record.why);
        inner.record.state = RunState::Halting;
        let Start { key, order, .. } = std::mem::take(&mut inner.record.start);
        inner.record.start = Start { key, order, ..Start::default() };
        work.log = LogRecord::default();
        for (target, seat) in (0..).zip(&mut inner.seats) {
            seat.ending = true;
            if !seat.state.is_end() {
                work.log.changes.push(ChangeRecord {
                    target,
                    attempt: seat.attempt,
                    state: TargetState::Lost,
                    why: why.to_owned(),
                    ended_ms: Some(now),
                    ..ChangeRecord::default()
                });
            }
        }
        inner.ended = inner.seats.len() as u32;
        inner.touch_head();
        drop(inner);
        work.steps.clear();
        (work.aside, work.head, work.over) = (true, true, Some(now));
        works.insert(id, work);
        true
    }

    /// What is on disk counts.
    pub(super) fn apply(&self, work: Work) {
        let Work { live, log, head, over, retried, record, steps, news, aside: _ } = work;
        let over = over.is_some();
        let (mut sends, mut gone) = (Vec::new(), Vec::new());
        let moved = {
            let mut inner = live.lock();
            if let Some(record) = record {
                inner.record = record;
            }
            for piece in log.pieces {
                inner.note_piece(piece);
            }
            for (from, to) in log.sent {
                for index in from..=to {
                    let seat = &mut inner.seats[index as usize];
                    seat.taken = false;
                    if seat.ending {
                        continue;
                    }
                    inner.is_back(index as usize);
                    inner.set(index as usize, TargetState::Sent);
                    sends.push(index);
                }
            }
            for change in log.changes {
                if change.state == TargetState::Queued || change.late.is_some() {
                    inner.touch(change.target as usize);
                    continue;
                }
                let at = change.target as usize;
                inner.is_back(at);
                let seat = &mut inner.seats[at];
                seat.taken = false;
                seat.code = change.code;
                seat.why = change.why.into();
                seat.ended_ms = change.ended_ms;
                seat.took_ms = change.took_ms;
                seat.lost = change.lost;
                seat.sum = change.sum;
                gone.push((seat.host, change.target));
                inner.lost = inner.lost.saturating_add(change.lost);
                inner.set(at, change.state);
            }
            let moved = inner.advance();
            if moved || head {
                inner.touch_head();
            }
            moved
        };
        {
            let mut by_host = self.runs.by_host();
            for (host, index) in gone {
                by_host.remove(host, live.id, index);
            }
            let inner = live.lock();
            for &index in &sends {
                by_host.add(inner.seats[index as usize].host, &live, index);
            }
        }
        for what in news {
            self.runs.happened(what, &live);
        }
        if over {
            self.runs.close(&live);
        }
        live.tell();
        self.runs.tell_lists();
        for index in sends {
            self.runs.send_soon(&live, index);
        }
        for (index, pause_ms) in steps {
            self.runs.resume_after(&live, index, pause_ms);
        }
        if !over && (moved || head || retried || live.lock().record.start.parallel > 0) {
            self.runs.pump_soon(&live);
        }
        if head && !over {
            self.runs.after_head(&live);
        }
    }
}
