//! Searching within a recording: the hub finds, and one goes from hit to hit.

use super::{PlayerPane, screen};
use crate::action::Action;
use crate::panes::Context;
use crate::panes::records::acts;
use crate::store::recordings::Where;
use crate::store::recordings::tape::{Line as Written, Tape};
use cmdr_protocol::recordings::Hit;
use regex::Regex;
use std::sync::Arc;

/// What is sought for within.
pub(super) struct Sought {
    pub(super) regex: Regex,
    /// The hit that was gone to.
    pub(super) at: Option<usize>,
    /// Goes to the first hit as soon as it is here.
    pub(super) fresh: bool,
    /// The hit to put on the screen as soon as its line is here, and how many of the same moment are
    /// before it.
    pub(super) pending: Option<(Hit, usize)>,
    /// The line it is in, by what stands before it.
    pub(super) line: Option<usize>,
    /// Ends the search when it is dropped.
    pub(super) held: Option<Arc<()>>,
}

impl Sought {
    pub(super) const fn of(regex: Regex) -> Self {
        Self { regex, at: None, fresh: false, pending: None, line: None, held: None }
    }
}

impl PlayerPane {
    pub(super) fn search(&mut self, context: &Context<'_>, text: &str) -> Action {
        let Ok(regex) = acts::pattern(text) else { return Action::None };
        let (action, held) = acts::search(Where::Tape(self.owner), text, Some(self.id));
        self.clock.playing = false;
        if self.live
            && let Some(tape) = self.tape(context)
        {
            self.leave_live(tape);
        }
        self.sought = Some(Sought { fresh: true, held: Some(held), ..Sought::of(regex) });
        action
    }

    /// Goes to the hit after or before the one that was gone to, past the ends too.
    pub(super) fn next(&mut self, context: &Context<'_>, forward: bool) -> Action {
        let Some(tape) = self.tape(context) else { return Action::None };
        let hits = &tape.found.hits;
        let Some(sought) = &mut self.sought else {
            return Action::Say(context.texts.get("table.no_search").to_owned());
        };
        if sought.held.is_none() {
            // What led here was sought for in all recordings: now in this one.
            let text = context.store.recordings.found.text.clone();
            return self.search(context, &text);
        }
        let at_ms = self.clock.at_us / 1000;
        let next = match (sought.at, forward) {
            (Some(at), true) => Some(at + 1),
            (Some(at), false) => at.checked_sub(1),
            (None, true) => hits.iter().position(|hit| hit.at_ms >= at_ms),
            (None, false) => hits.iter().rposition(|hit| hit.at_ms < at_ms),
        };
        let over = if forward { Some(0) } else { hits.len().checked_sub(1) };
        let Some(to) = next.filter(|to| *to < hits.len()).or(over) else { return Action::None };
        let Some(hit) = hits.get(to) else {
            let text = context.texts.fill("player.not_found", &[&tape.found.text]);
            return Action::Say(text);
        };
        sought.at = Some(to);
        let before = hits[..to].iter().rev();
        let earlier = before.take_while(|other| other.at_ms == hit.at_ms).count();
        sought.pending = Some((hit.clone(), earlier));
        let to_us = hit.at_ms * 1000 + 999;
        self.clock.playing = false;
        let action = self.seek(context, to_us);
        // The end may be told to the millisecond.
        self.clock.at_us = to_us;
        action
    }

    /// Puts the line of the hit on the screen when it is here.
    pub(super) fn show_hit(&mut self, tape: &Tape) {
        let Some(sought) = &mut self.sought else { return };
        if !tape.is_whole && tape.end_us() <= self.clock.at_us {
            return;
        }
        let Some((hit, earlier)) = sought.pending.take() else { return };
        let shown = tape.shown(self.clock.at_us);
        let lines = || tape.lines().iter().take(shown).enumerate();
        let matches = |line: &Written| sought.regex.is_match(line.text(self.clock.at_us));
        let found = if tape.from_start && !hit.input {
            let mut same = lines().skip_while(|(_, line)| line.number < hit.line).peekable();
            let first = same.peek().map(|(n, _)| *n);
            let mut same = same.take_while(|(_, line)| line.number == hit.line);
            same.find(|(_, line)| matches(line)).map(|(n, _)| n).or(first)
        } else {
            // Lines of the same moment are told apart by their order.
            let of_then = lines().filter(|(_, line)| line.until_us() / 1000 >= hit.at_ms);
            of_then.filter(|(_, line)| matches(line)).nth(earlier).map(|(n, _)| n)
        };
        let Some(found) = found else { return };
        sought.line = tape.lines().get(found).map(Written::id);
        // It stands in the middle, or lower when little follows.
        let (width, height) = (usize::from(self.seen.0), usize::from(self.seen.1));
        let mut used = 0;
        let below = lines().skip(found).take_while(|(_, line)| {
            used += screen::rows(line.text(self.clock.at_us), width).len();
            used <= height / 2
        });
        self.back = shown.saturating_sub(found + below.count().max(1));
    }
}
