//! From when to when lines are asked for: all that are written by and by, a span that somebody named, or from a
//! moment on that somebody went to.

use super::{HELD, LogsPane};
use crate::action::Action;
use crate::panes::Context;
use cmdr_protocol::human;

/// A span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// From then on; without it the newest lines.
    pub(super) since_ms: Option<u64>,
    /// Up to then; without it all that is written.
    pub(super) until_ms: Option<u64>,
    /// It was asked for by going to a moment: what stands before it is wanted too.
    gone_to: bool,
    /// The moment that the cursor is to stand at.
    pub(super) landing_ms: Option<u64>,
}

impl Span {
    /// Reads what was typed; nothing is no span. `None` when it makes no sense.
    pub(super) fn read(text: &str, now_ms: u64, utc_offset_s: i32) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self::default());
        }
        let (since_ms, until_ms) = human::between(text, now_ms, utc_offset_s)?;
        Some(Self { since_ms, until_ms, ..Self::default() })
    }

    /// From this moment on, the cursor there.
    pub(super) fn landing(ms: u64) -> Self {
        Self { since_ms: Some(ms), until_ms: None, gone_to: true, landing_ms: Some(ms) }
    }

    /// Whether there is one.
    pub(super) fn is_on(&self) -> bool {
        self.since_ms.is_some() || self.until_ms.is_some()
    }

    /// Whether somebody has said where it begins.
    pub(super) fn is_asked(&self) -> bool {
        self.since_ms.is_some() && !self.gone_to
    }

    /// As one would type it.
    pub(super) fn text(&self, utc_offset_s: i32) -> String {
        if !self.is_on() {
            return String::new();
        }
        let clock = |ms: Option<u64>| {
            ms.map_or_else(String::new, |ms| {
                let local = ms.saturating_add_signed(i64::from(utc_offset_s) * 1000);
                human::moment(local).trim_end_matches('Z').replace('T', " ")
            })
        };
        format!("{}..{}", clock(self.since_ms), clock(self.until_ms))
    }
}

impl LogsPane {
    /// Asks for lines of this span of time, all anew.
    pub(super) fn ask_span(&mut self, span: Span) -> Action {
        self.span = span;
        self.turn += 1;
        (self.paused, self.held, self.cursor) = (false, false, None);
        self.marks.clear();
        self.open()
    }

    /// Goes to the moment that was asked for as long as lines come, and stands still before the first ones
    /// had to be let go.
    pub(super) fn land(&mut self, context: &Context<'_>) -> Action {
        let Some(logs) = self.logs(context) else { return Action::None };
        if let Some(ms) = self.span.landing_ms.filter(|_| !logs.rows.is_empty()) {
            self.go_to(logs, logs.rows.partition_point(|row| row.at_ms < ms));
        }
        if self.span.since_ms.is_none() || self.held || self.paused || logs.rows.len() < HELD {
            return Action::None;
        }
        self.held = true;
        self.pause(context)
    }

    pub(super) fn jump(&mut self, context: &Context<'_>, text: &str) -> Action {
        let Some(logs) = self.logs(context) else { return Action::None };
        let store = context.store;
        let Some(ms) = human::local_ms(text, store.now_ms, store.utc_offset_s) else {
            return Action::Say(context.texts.get("logs.jump.wrong").to_owned());
        };
        let to = logs.rows.partition_point(|row| row.at_ms < ms);
        let more = logs.streams.iter().any(|stream| !stream.beginning);
        if to == 0 && more && self.span.since_ms.is_none_or(|since_ms| ms < since_ms) {
            // What is not here is asked for by its time.
            return self.ask_span(Span::landing(ms));
        }
        self.go_to(logs, to);
        Action::None
    }

    /// Lines of another span of time.
    pub(super) fn spanned(&mut self, context: &Context<'_>, text: &str) -> Action {
        let store = context.store;
        match Span::read(text, store.now_ms, store.utc_offset_s) {
            Some(span) => self.ask_span(span),
            None => Action::Say(context.texts.get("logs.span.wrong").to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20 14:02:00 UTC.
    const NOW: u64 = 1_795_183_320_000;

    #[test]
    fn what_is_written_of_a_span_reads_back_by_the_same_clock() {
        for text in ["-1h", "10:30", "2026-11-20 08:00..09:00", "..09:00", ""] {
            for offset_s in [0, 8 * 3600, -5 * 3600] {
                let span = Span::read(text, NOW, offset_s).expect("a span");
                assert_eq!(Span::read(&span.text(offset_s), NOW, offset_s), Some(span), "{text}");
            }
        }
        assert_eq!(Span::read("soon", NOW, 0), None);
    }
}
