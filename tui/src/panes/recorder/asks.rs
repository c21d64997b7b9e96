//! What the page of a recorder asks of its host: one question at a time. The moment under the cursor comes first, then
//! how far back the recorder reaches, then steps for more time than is seen.

use super::{Figure, Goal, RecorderPane};
use crate::action::Action;
use crate::event::Event;
use crate::link::Link;
use crate::panes::Context;
use crate::store::recorder::{self as store, Held};
use crate::store::rights::Offer;
use cmdr_protocol::history::{Over, Query};
use cmdr_protocol::recorder::{At, List, Moment, Range, STEPS};
use cmdr_protocol::{Call as _, CallError, ErrorKind, HostId};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
/// How often the newest moment is asked for while it is the one that is looked at.
const LIVE_MS: u64 = 2000;
/// How often the newest steps are asked for at most.
const DUE_MS: u64 = 10_000;
/// After how long something that failed is asked for again.
const AGAIN_MS: u64 = 15_000;
/// How often it is asked how far back it reaches.
const LISTED_MS: u64 = 30_000;
/// Steps within what is seen, at most.
const SEEN: u64 = 400;

impl RecorderPane {
    /// The next question, when one is needed and none is under way.
    pub(super) fn next_question(&mut self, context: &Context<'_>) -> Action {
        let empty = Held::default();
        let held = self.held(context).unwrap_or(&empty);
        if held.busy {
            return Action::None;
        }
        let store = context.store;
        let now = store.now_ms;
        if let Some(goal) = self.goal.take() {
            self.under = Some(goal);
            return self.look(context, goal);
        }
        let age = now.saturating_sub(held.came_ms);
        let due = match (&held.refused, self.cursor_ms) {
            (Some(error), _) => error.kind != ErrorKind::Denied && age >= AGAIN_MS,
            (None, None) => held.serial == 0 || age >= store.interval_ms(LIVE_MS),
            (None, Some(_)) => held.serial == 0,
        };
        if due {
            let goal = self.cursor_ms.map_or(Goal::At(0), Goal::At);
            return self.look(context, goal);
        }
        let listed = match &held.listing {
            None => true,
            Some((Err(_), came)) => now.saturating_sub(*came) >= AGAIN_MS,
            Some((Ok(_), came)) => now.saturating_sub(*came) >= store.interval_ms(LISTED_MS),
        };
        let may = |method| store.offer(method, false, &[self.host]) != Offer::No;
        if listed && may(List::METHOD) {
            let owner = self.owner;
            let fetch = Action::fetch(Some(self.host), List {}, PATIENCE, move |answer| {
                (Some(store::listed(owner, answer)), Action::None)
            });
            return Action::All(vec![Action::Apply(store::asking(owner)), fetch]);
        }
        let steps = if may(Range::METHOD) { self.ask_steps(context, held) } else { Action::None };
        match steps {
            Action::None if may(Query::METHOD) => self.ask_traffic(context, held),
            action => action,
        }
    }

    fn look(&self, context: &Context<'_>, goal: Goal) -> Action {
        let (owner, host, interval) = (self.owner, self.host, self.interval_ms(context));
        let ask = Action::Errand(Box::new(move |link| {
            Box::pin(async move {
                let found = sample(&link, host, goal, interval).await;
                Event::Done(Some(store::looked(owner, host, found)), Action::None)
            })
        }));
        Action::All(vec![Action::Apply(store::asking(owner)), ask])
    }

    /// How long a step is: of a short time each sample, of a long one what is drawn by dots.
    fn step_ms(&self, context: &Context<'_>) -> u64 {
        let dots = (self.cells * 2).clamp(50, SEEN);
        (self.window.span_ms / dots).max(self.interval_ms(context)).max(1)
    }

    fn ask_steps(&self, context: &Context<'_>, held: &Held) -> Action {
        let store = context.store;
        let step = self.step_ms(context);
        let (from, to) = self.window.bounds(store.now_ms, self.cells);
        let to = to.min(store.now_ms);
        let since = match &held.stretch {
            Some(Err((error, came))) => {
                let again = store.now_ms.saturating_sub(*came) >= AGAIN_MS;
                if error.kind == ErrorKind::Denied || !again {
                    return Action::None;
                }
                None
            }
            Some(Ok(old)) if old.step_ms == step && old.from_ms <= from && from <= old.to_ms => {
                let late = to.saturating_sub(old.to_ms);
                let due = store.interval_ms(step.max(DUE_MS));
                let rested = store.now_ms.saturating_sub(old.came_ms) >= due;
                if late == 0 || (late <= due && !rested) {
                    return Action::None;
                }
                // The last steps were not over when they came.
                let steps = old.to_ms.saturating_sub(old.from_ms) / step;
                Some(old.from_ms + steps.saturating_sub(2) * step)
            }
            _ => None,
        };
        let margin = self.window.span_ms;
        let from = since.unwrap_or_else(|| from.saturating_sub(margin) / step * step).max(1);
        let until = to.saturating_add(if self.window.follows() { 0 } else { margin });
        let until = until.min(store.now_ms).max(from + step);
        // Whole steps, so that the next ones go on where these end.
        let steps = until.saturating_sub(from).div_ceil(step).clamp(1, u64::from(STEPS));
        let times = (from, from + steps * step);
        let range = Range { from_ms: from, to_ms: times.1, steps: steps as u32 };
        let (owner, grows) = (self.owner, since.is_some());
        let fetch = Action::fetch(Some(self.host), range, PATIENCE, move |answer| {
            let times = (times.0, times.1.min(until));
            (Some(store::ranged(owner, times, step, grows, answer)), Action::None)
        });
        Action::All(vec![Action::Apply(store::asking(owner)), fetch])
    }

    fn ask_traffic(&self, context: &Context<'_>, held: &Held) -> Action {
        let disks = match self.figure() {
            Figure::Disks => true,
            Figure::Network => false,
            Figure::Cpu | Figure::Memory => return Action::None,
        };
        let store = context.store;
        let (from, to) = self.window.bounds(store.now_ms, self.cells);
        let to = to.min(store.now_ms);
        let step = self.step_ms(context);
        let fits = held.traffic.as_ref().is_some_and(|old| {
            let age = store.now_ms.saturating_sub(old.came_ms);
            let again = if old.error.is_some() { AGAIN_MS } else { step.max(DUE_MS) };
            let late = to.saturating_sub(old.to_ms);
            let covers = old.error.is_some() || (old.from_ms <= from && late <= again);
            old.disks == disks && (covers || age < 1000) && (late == 0 || age < again)
        });
        if fits {
            return Action::None;
        }
        let metrics: &[&str] = if disks {
            &["disk.read{*}", "disk.written{*}"]
        } else {
            &["net.received{*}", "net.sent{*}"]
        };
        let margin = self.window.span_ms;
        let times =
            (from.saturating_sub(margin), to.saturating_add(margin).min(store.now_ms).max(1));
        let query = Query {
            selector: format!("id={}", self.host),
            metrics: metrics.iter().map(|metric| (*metric).to_owned()).collect(),
            from_ms: times.0,
            to_ms: times.1,
            step_ms: step,
            aggregate: None,
            over: Some(Over::Each),
        };
        let owner = self.owner;
        let fetch = Action::fetch(None, query, PATIENCE, move |answer| {
            (Some(store::passed(owner, disks, times, answer)), Action::None)
        });
        Action::All(vec![Action::Apply(store::asking(owner)), fetch])
    }
}

/// The sample that is wanted; nothing where there is none behind a time.
async fn sample(
    link: &Link,
    host: HostId,
    goal: Goal,
    interval: u64,
) -> Result<Option<Moment>, CallError> {
    let at = async |at_ms: u64| link.call(Some(host), At { at_ms }, PATIENCE).await.map(Some);
    let after = match goal {
        Goal::At(at_ms) => return at(at_ms).await,
        Goal::After(after) => after,
        Goal::First => 0,
    };
    // Close by first, then in all there is; of a step with several samples the first is looked for within it.
    let (mut from, mut to) = (after.saturating_add(1), 0);
    if after > 0 {
        to = from.saturating_add(interval.saturating_mul(60));
    }
    for _ in 0..8 {
        let from_ms = if after == 0 && from == 1 { 0 } else { from };
        let range = Range { from_ms, to_ms: to, steps: 60 };
        let found = link.call(Some(host), range, PATIENCE).await?;
        let first = found.steps.iter().enumerate().find(|(_, step)| step.samples > 0);
        match first {
            None if to == 0 => return Ok(None),
            None => to = 0,
            Some((_, step)) if step.samples == 1 || found.step_ms <= 1 => {
                return at(step.peak_ms).await;
            }
            Some((n, step)) => {
                let begins = found.from_ms.saturating_add(found.step_ms.saturating_mul(n as u64));
                if begins <= from && found.step_ms <= 2 {
                    return at(step.peak_ms).await;
                }
                (from, to) = (begins.max(from), begins.saturating_add(found.step_ms));
            }
        }
    }
    at(to).await
}
