//! Trying a rule on what figures were: when it would have fired.

use crate::action::{Action, Make, reason};
use crate::overlays::pager::Pager;
use crate::overlays::prompt::Prompt;
use crate::panes::{Context, history};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean;
use cmdr_protocol::rules::{Fired, Tried, Try};
use std::time::Duration;

/// What stands there first.
const USUAL: &str = "7d";
const DAY_MS: u64 = 86_400_000;
/// The figures of many hosts over months are read for it.
const PATIENCE: Duration = Duration::from_mins(2);

/// Asks over which time a text with one rule is tried, and tries it.
pub(in crate::panes) fn ask(context: &Context<'_>, text: &str) -> Action {
    let texts = context.texts;
    let (now_ms, offset) = (context.store.now_ms, context.store.utc_offset_s);
    let (title, text) = (texts.get("rules.try.title").to_owned(), text.to_owned());
    let wrong = texts.clone();
    let prompt = Prompt::new(title, USUAL.to_owned(), "rules.try.hint", move |typed| {
        let (span_ms, until_ms) = history::span(typed, 7 * DAY_MS, now_ms, offset)
            .map_err(|why| wrong.get(why).to_owned())?;
        let from_ms = until_ms.unwrap_or(now_ms).saturating_sub(span_ms);
        let call =
            Try { text: text.clone(), hosts: String::new(), from_ms, to_ms: until_ms.unwrap_or(0) };
        let said = Action::Say(wrong.get("rules.try.asking").to_owned());
        let call = Action::fetch(None, call, PATIENCE, move |tried| {
            (None, Action::Make(Box::new(Came(tried, span_ms, from_ms))))
        });
        Ok(Action::All(vec![said, call]))
    });
    Action::Open(Box::new(prompt))
}

struct Came(Result<Tried, CallError>, u64, u64);

impl Make for Came {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Context { texts, store, .. } = *context;
        let Self(tried, span_ms, from_ms) = *self;
        let tried = match tried {
            Ok(tried) => tried,
            Err(error) => {
                return Action::Complain(texts.fill("rules.try.failed", &[&reason(&error)]));
            }
        };
        let moment = |ms: u64| format::moment(ms / 1000, store.now_ms / 1000, store.utc_offset_s);
        let (times, span) = (tried.times.to_string(), format::span(span_ms / 1000));
        let role = if tried.times == 0 { Role::Ok } else { Role::Warn };
        let title = texts.fill("rules.try.result", &[&times, &span]);
        let mut lines = vec![vec![(role, title.clone())]];
        let (firing, hosts) = (format::span(tried.firing_ms / 1000), tried.hosts.to_string());
        let step = format::span(tried.step_ms.div_ceil(1000));
        let text = texts.fill("rules.try.sum", &[&firing, &hosts, &step]);
        lines.push(vec![(Role::Soft, text)]);
        if tried.from_ms > from_ms.saturating_add(2 * tried.step_ms.max(60_000)) {
            let text = texts.fill("rules.try.from", &[&moment(tried.from_ms)]);
            lines.push(vec![(Role::Warn, text)]);
        }
        lines.push(Vec::new());
        lines.extend(tried.fired.iter().map(|fired: &Fired| {
            let until = fired.until_ms.map_or_else(
                || texts.get("rules.try.still").to_owned(),
                |until| format::span(until.saturating_sub(fired.from_ms) / 1000),
            );
            vec![
                (Role::Soft, format!("{:<12}", moment(fired.from_ms))),
                (Role::Text, format!("{until:>8}  ")),
                (Role::Strong, format!("{}  ", clean(&fired.name))),
                (Role::Text, clean(&fired.instance).into_owned()),
            ]
        }));
        let left = tried.times.saturating_sub(tried.fired.len() as u64);
        if left > 0 {
            lines.push(vec![(Role::Soft, texts.fill("confirm.more", &[&left.to_string()]))]);
        }
        Action::Open(Box::new(Pager::new(title, lines).with_wrap()))
    }
}
