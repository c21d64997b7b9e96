//! What becomes of targets because time passes: deadlines of runs, hosts that do not come back.

use super::Runs;
use super::keeper::{End, News};
use super::live::{Inner, Live};
use cmdr_link::clock;
use cmdr_protocol::HostId;
use cmdr_protocol::runs::{RunState, TargetState};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often open runs are looked at, while there is something to wait for.
const TICK: Duration = Duration::from_millis(100);
/// After the end of a run's time hosts may still tell how it ended there; then the hub ends it.
const GRACE: Duration = Duration::from_secs(5);
/// Why a host is lost to which nothing was sent.
const MAY_HAVE_DONE: &str = "the host is away, and has the schedule: it may have done it by itself, which it tells when it is back";
/// How long hosts that were never there are waited for when nothing is said.
const EXPIRES_MS: u64 = 24 * 3600 * 1000;

impl Runs {
    /// Works out when a run's times are over. The clock is asked once: setting it later moves nothing.
    pub(super) fn set_times(inner: &mut Inner) {
        let gone = clock::now_ms().saturating_sub(inner.record.from_ms);
        let left =
            |ms: u64| Instant::now().checked_add(Duration::from_millis(ms.saturating_sub(gone)));
        // What hosts did by themselves they ended in time by themselves.
        let alone = inner.record.alone && inner.record.from_ms == inner.record.created_ms;
        let deadline = inner.record.start.deadline_ms.filter(|_| !alone);
        inner.deadline = deadline.and_then(left);
        inner.expires = if inner.record.start.when_online {
            left(inner.record.start.expires_ms.unwrap_or(EXPIRES_MS))
        } else {
            None
        };
    }

    /// Whether a host that is away may do by itself what a run by the clock is for.
    pub(super) fn may_do_alone(&self, inner: &Inner, host: HostId) -> bool {
        let moment = &inner.record.moment;
        !moment.is_empty() && self.handed().has(host, moment)
    }

    pub(super) async fn ticking(self: &Arc<Self>) {
        loop {
            let open: Vec<_> = self.state().open.values().cloned().collect();
            let mut waits = false;
            for live in open {
                waits |= self.tick_run(&live).await;
            }
            if waits {
                tokio::time::sleep(TICK).await;
            } else {
                self.tick.notified().await;
            }
        }
    }

    /// Whether there is anything to wait for in a run.
    async fn tick_run(self: &Arc<Self>, live: &Arc<Live>) -> bool {
        let (ends, cancel, waits) = self.due(live);
        if cancel {
            self.cancel_out(live, "the run's time was over");
        }
        if !ends.is_empty() {
            drop(self.queue.send(News::End { live: live.clone(), ends }).await);
        }
        waits
    }

    fn due(&self, live: &Arc<Live>) -> (Vec<End>, bool, bool) {
        let now = Instant::now();
        let mut inner = live.lock();
        let (mut ends, mut cancel) = (Vec::new(), false);
        let over = inner.deadline.is_some_and(|at| at <= now);
        let first = over && inner.overdue.is_none();
        if first {
            inner.overdue = Some(now);
            cancel = true;
        }
        let overdue = inner.overdue.map(|at| at + GRACE <= now);
        let waits = inner.deadline.is_some() || inner.expires.is_some() || inner.absent > 0;
        if !(over || inner.absent > 0) {
            return (ends, cancel, waits);
        }
        let patience = Duration::from_millis(inner.record.patience_ms);
        let expired = inner.expires.is_some_and(|at| at <= now);
        let stopping = inner.record.state == RunState::Stopping;
        for index in 0..inner.seats.len() {
            let seat = &inner.seats[index];
            if seat.ending {
                continue;
            }
            // Of what hosts do by themselves that is the first attempt.
            let may_have_done =
                || seat.waits && seat.attempt == 0 && self.may_do_alone(&inner, seat.host);
            let (state, why) = match (seat.is_out(), overdue) {
                (false, Some(_)) if may_have_done() => {
                    (TargetState::Lost, MAY_HAVE_DONE.to_owned())
                }
                (false, Some(_)) => {
                    (TargetState::TimedOut, "the run's time was over before it was sent".to_owned())
                }
                (true, Some(true)) => {
                    let why = "the run's time was over, and how it ended there was not told";
                    (TargetState::TimedOut, why.to_owned())
                }
                (false, None) if seat.waits => {
                    let when_online = inner.record.start.when_online;
                    if !when_online && may_have_done() {
                        if seat.away.is_none_or(|at| at + patience > now) {
                            continue;
                        }
                        (TargetState::Lost, MAY_HAVE_DONE.to_owned())
                    } else if when_online && expired && may_have_done() {
                        (TargetState::Lost, MAY_HAVE_DONE.to_owned())
                    } else if when_online && expired {
                        let why = "it did not come within the time that it was waited for";
                        (TargetState::Unreachable, why.to_owned())
                    } else if !when_online && !self.may_come_back(seat.host) {
                        let told = self.hub().and_then(|hub| hub.fleet.link(seat.host).err());
                        // It has come this moment; its turn comes by itself.
                        let Some(e) = told else { continue };
                        (TargetState::Unreachable, e.message)
                    } else {
                        continue;
                    }
                }
                (true, None)
                    if inner.hears(seat.attempt)
                        && seat.by_itself.is_none()
                        && seat.away.is_some_and(|at| at + patience <= now) =>
                {
                    (TargetState::Lost, MAY_HAVE_DONE.to_owned())
                }
                (true, None) if seat.away.is_some_and(|at| at + patience <= now) => {
                    let what = if stopping { ", when the run was stopped" } else { "" };
                    let why = format!(
                        "its link was lost and did not come back within {} s{what}",
                        patience.as_secs()
                    );
                    (TargetState::Lost, why)
                }
                _ => continue,
            };
            let seat = &mut inner.seats[index];
            // Once is enough, but for those that the keeper finds to be sent after all.
            if !seat.marked {
                seat.taken = true;
            }
            ends.push(End { target: index as u32, attempt: seat.attempt, state, why });
        }
        (ends, cancel, waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::Origin;
    use crate::runs::handed::moment;
    use crate::runs::lab::{Lab, until, waits};
    use cmdr_protocol::runs::Start;

    #[tokio::test]
    async fn a_host_that_may_have_done_it_by_itself_is_lost_and_not_unreachable_when_the_time_is_over()
     {
        let lab = Lab::new();
        let record = Lab::schedule(clock::now_ms() - 11_000, 1);
        lab.holds(&record);
        let of_moment = || Origin {
            due_ms: record.schedule.next_ms,
            moment: moment(&record),
            ..Origin::default()
        };
        let expires = Start { expires_ms: Some(200), ..waits() };
        let ends = Start { deadline_ms: Some(200), ..waits() };
        for start in [&expires, &ends] {
            let live = lab.begin(start.clone(), of_moment()).await;
            until(&live, Inner::is_over).await;
            let inner = live.lock();
            let (state, why) = (inner.seats[0].state, &inner.seats[0].why);
            assert!(
                state == TargetState::Lost && why.contains("may have done it"),
                "{state} {why}"
            );
        }
        // One that does not have the schedule has done nothing.
        for (start, state) in [(expires, TargetState::Unreachable), (ends, TargetState::TimedOut)] {
            let live = lab.begin(start, Origin::default()).await;
            until(&live, Inner::is_over).await;
            assert_eq!(live.lock().seats[0].state, state);
        }
    }
}
