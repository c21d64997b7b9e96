//! What a chart page asks of the hub: one question at a time, for more time than is seen, and again only when what
//! is seen lies beyond that or new points are due.

use super::HistoryPane;
use crate::action::Action;
use crate::panes::Context;
use crate::store::history::{self, Held, Slot, Stretch};
use cmdr_protocol::alerts::History;
use cmdr_protocol::history::{List, Query};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
/// How often the newest points are asked for at most.
const DUE_MS: u64 = 10_000;
/// After how long something that failed is asked for again.
const AGAIN_MS: u64 = 15_000;
/// How often alerts are looked for while the right edge is now.
const MARKS_MS: u64 = 60_000;

/// What is to be asked of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Nothing,
    /// All of it.
    Whole,
    /// What came since, from there on.
    Since(u64),
}

impl HistoryPane {
    /// The next question, when one is needed and none is under way.
    pub(super) fn next_question(&self, context: &Context<'_>) -> Action {
        let store = context.store;
        let held = store.charts.get(self.owner);
        if held.is_some_and(|held| held.busy) {
            return Action::None;
        }
        let empty = Held::default();
        let held = held.unwrap_or(&empty);
        let (from, to) = self.bounds(context);
        let mut slots = vec![(Slot::Now, 0)];
        if self.shift_ms() > 0 {
            slots.push((Slot::Before, self.shift_ms()));
        }
        for (slot, shift) in slots {
            let times = (from.saturating_sub(shift), to.saturating_sub(shift).min(store.now_ms));
            let wanted = self.wanted(context, held.stretch(slot), times);
            if wanted != Wanted::Nothing {
                return self.ask(context, slot, wanted, times);
            }
        }
        self.ask_marks(context, held, (from, to.min(store.now_ms)))
    }

    fn wanted(
        &self,
        context: &Context<'_>,
        stretch: Option<&Stretch>,
        (from, to): (u64, u64),
    ) -> Wanted {
        let store = context.store;
        let Some(stretch) = stretch.filter(|s| s.question == self.question(context)) else {
            return Wanted::Whole;
        };
        let age = store.now_ms.saturating_sub(stretch.came_ms);
        if stretch.lines.is_err() {
            return if age >= AGAIN_MS { Wanted::Whole } else { Wanted::Nothing };
        }
        if stretch.covers(&stretch.question, from, to) {
            return Wanted::Nothing;
        }
        let due = store.interval_ms(stretch.step_ms.max(DUE_MS));
        let is_new = to.saturating_sub(stretch.to_ms) <= due;
        if stretch.from_ms > from || stretch.to_ms < from {
            Wanted::Whole
        } else if is_new && age < due {
            Wanted::Nothing
        } else {
            // The last steps were not over when they came.
            let steps = stretch.to_ms.saturating_sub(stretch.from_ms) / stretch.step_ms;
            Wanted::Since(stretch.from_ms + steps.saturating_sub(2) * stretch.step_ms)
        }
    }

    fn ask(
        &self,
        context: &Context<'_>,
        slot: Slot,
        wanted: Wanted,
        (from, to): (u64, u64),
    ) -> Action {
        let question = self.question(context);
        let span = self.window.span_ms;
        let step = question.step_ms.max(1);
        let to = to.saturating_add(span).min(context.store.now_ms).max(1);
        let (from, grows) = match wanted {
            Wanted::Since(from) => (from, true),
            Wanted::Whole | Wanted::Nothing => (from.saturating_sub(span) / step * step, false),
        };
        let query = Query {
            selector: question.selector.clone(),
            metrics: question.figures.clone(),
            from_ms: from.min(to - 1),
            to_ms: to,
            step_ms: step,
            aggregate: Some(question.aggregate),
            over: Some(question.over),
        };
        let owner = self.owner;
        let fetch = Action::fetch(None, query, PATIENCE, move |answer| {
            let update = history::fetched(owner, slot, question, (from, to), grows, answer);
            (Some(update), Action::None)
        });
        Action::All(vec![Action::Apply(history::asking(owner)), fetch])
    }

    fn ask_marks(&self, context: &Context<'_>, held: &Held, (from, to): (u64, u64)) -> Action {
        let fits = held.marks.as_ref().is_some_and(|marks| {
            let late = to.saturating_sub(marks.to_ms);
            let again = context.store.interval_ms(MARKS_MS);
            marks.selector == self.selector && marks.from_ms <= from && late < again
        });
        if fits {
            return Action::None;
        }
        let span = self.window.span_ms;
        let (from, selector, owner) =
            (from.saturating_sub(span), self.selector.clone(), self.owner);
        let to = to.saturating_add(span).min(context.store.now_ms);
        let call = History {
            hosts: selector.clone(),
            rule: String::new(),
            from_ms: from,
            to_ms: to,
            marks: true,
        };
        let fetch = Action::fetch(None, call, PATIENCE, move |answer| {
            (Some(history::marked(owner, selector, (from, to), answer)), Action::None)
        });
        Action::All(vec![Action::Apply(history::asking(owner)), fetch])
    }

    /// Asks which figures there are, then does this.
    pub(super) fn ask_offers(&self, then: Action) -> Action {
        let (owner, selector) = (self.owner, self.selector.clone());
        let list = List { selector: selector.clone(), after: String::new() };
        let fetch = Action::fetch_all(None, list, PATIENCE, move |answer| {
            (Some(history::offered(owner, selector, answer)), then)
        });
        Action::All(vec![Action::Apply(history::asking(owner)), fetch])
    }
}
