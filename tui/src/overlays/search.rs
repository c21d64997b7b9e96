//! Searches the audit log on the hub: what its filter can ask for, one line each.

use super::Overlay;
use super::form::{Ended, Field, Form};
use crate::action::Action;
use crate::panes::Context;
use crate::store::audit::{Whose, search};
use cmdr_protocol::audit::{Event, Filter, Outcome};
use cmdr_protocol::display::clean;
use cmdr_protocol::human;
use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;

/// The form.
pub struct Search {
    form: Form,
    whose: Whose,
    /// The pane it is for.
    owner: u64,
}

/// The lines, in this order: the words that the title of a pane calls them by.
pub const NAMES: [&str; 8] = [
    "search.operator",
    "search.method",
    "search.host",
    "search.outcome",
    "search.since",
    "search.until",
    "search.text",
    "search.event",
];
const HINTS: [&str; 8] = [
    "search.operator_hint",
    "search.method_hint",
    "search.host_hint",
    "search.outcome_hint",
    "search.since_hint",
    "search.since_hint",
    "search.text_hint",
    "search.event_hint",
];

/// What stands in the lines for a filter; times are those of the operator's clock.
pub fn lines(filter: &Filter, utc_offset_s: i32) -> [String; 8] {
    let time = |ms: Option<u64>| {
        ms.map_or_else(String::new, |ms| {
            let local = ms.saturating_add_signed(i64::from(utc_offset_s) * 1000);
            human::moment(local).trim_end_matches('Z').replace('T', " ")
        })
    };
    [
        filter.operator.clone(),
        filter.method.clone(),
        filter.host.clone(),
        filter.outcome.clone(),
        time(filter.from_ms),
        time(filter.until_ms),
        filter.text.clone(),
        filter.event.clone(),
    ]
}

/// Reads a moment: how long ago it was (`90s`, `2h`, `7d`), a time of today, a date with or without one.
fn moment(text: &str, now_ms: u64, utc_offset_s: i32) -> Option<u64> {
    let offset_ms = i64::from(utc_offset_s) * 1000;
    if let Some(ms) = human::moment_ms(text) {
        let utc = text.ends_with('Z');
        return if utc { Some(ms) } else { ms.checked_add_signed(-offset_ms) };
    }
    if let Some((hour, minute)) = text.split_once(':') {
        let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
        let local = now_ms.checked_add_signed(offset_ms)?;
        let midnight = local / 86_400_000 * 86_400_000;
        let at = midnight + (hour * 60 + minute) * 60_000;
        return (hour < 24 && minute < 60).then(|| at.checked_add_signed(-offset_ms)).flatten();
    }
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return None,
    };
    let ago = number.parse::<u64>().ok()?.checked_mul(unit * 1000)?;
    Some(now_ms.saturating_sub(ago))
}

impl Search {
    /// With the lines of what is searched for now.
    pub fn new(context: &Context<'_>, whose: Whose) -> Self {
        let owner = context.store.audit.of(whose).owner;
        let filter = &context.store.audit.of(whose).filter;
        let texts = lines(filter, context.store.utc_offset_s);
        let fields = NAMES.into_iter().zip(HINTS).zip(texts);
        let fields = fields.map(|((name, hint), text)| Field::new(name, hint, text)).collect();
        Self { form: Form::new(context.texts.get("search.title").to_owned(), fields), whose, owner }
    }

    fn filter(&self, context: &Context<'_>) -> Result<Filter, (usize, String)> {
        let (store, texts) = (context.store, context.texts);
        let time = |at: usize| match self.form.text(at) {
            "" => Ok(None),
            text => match moment(text, store.now_ms, store.utc_offset_s) {
                Some(ms) => Ok(Some(ms)),
                None => Err((at, texts.fill("search.bad_time", &[&clean(text)]))),
            },
        };
        let word = |at: usize, known: &[&str]| match self.form.text(at) {
            text if text.is_empty() || known.contains(&text) => Ok(text.to_owned()),
            text => {
                let near = cmdr_link::settings::nearest(text, known.iter().copied());
                Err((at, texts.fill("search.bad_word", &[&clean(text), &near, &known.join(" ")])))
            }
        };
        let outcomes: Vec<_> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
        let events: Vec<_> = Event::ALL.iter().map(|event| event.as_str()).collect();
        let text = |at: usize| self.form.text(at).to_owned();
        Ok(Filter {
            operator: text(0),
            method: text(1),
            host: text(2),
            outcome: word(3, &outcomes)?,
            from_ms: time(4)?,
            until_ms: time(5)?,
            text: text(6),
            event: word(7, &events)?,
        })
    }
}

impl Overlay for Search {
    fn key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        match self.form.key(key) {
            Ended::No => Action::None,
            Ended::Left => Action::Close,
            Ended::Sent => match self.filter(context) {
                Ok(filter) => Action::CloseAnd(Box::new(Action::Apply(search(
                    self.whose, self.owner, filter,
                )))),
                Err((at, error)) => {
                    self.form.complain(at, error);
                    Action::None
                }
            },
        }
    }

    fn paste(&mut self, text: &str) {
        self.form.paste(text);
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        self.form.draw(context, frame, screen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spans_times_of_today_and_dates_of_ones_own_clock() {
        // 2026-11-20 14:02:00 UTC.
        let now = 1_795_183_320_000;
        let east = 8 * 3600;
        let cases = [
            ("2h", Some(now - 7_200_000)),
            ("90s", Some(now - 90_000)),
            ("1w", Some(now - 604_800_000)),
            ("21:02", Some(now - 3_600_000)),
            ("2026-11-20 22:02", Some(now)),
            ("2026-11-20T14:02:00Z", Some(now)),
            ("25:00", None),
            ("soon", None),
            ("h", None),
            ("节", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(moment(text, now, east), wanted, "{text}");
        }
        let filter = Filter { from_ms: Some(now), ..Filter::default() };
        let written = &lines(&filter, east)[4];
        assert_eq!(moment(written, now, east), Some(now), "{written}");
    }
}
