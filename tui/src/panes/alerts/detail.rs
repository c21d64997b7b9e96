//! All about one alert: what it is, what happened to it, who was told, and the moment in which it fired.

use super::acts::{self, About};
use super::{notifiers, rules, silences, to_host};
use crate::action::{Action, Make, PATIENCE, reason};
use crate::event::Event;
use crate::link::Link;
use crate::overlays::pager::{Pager, Piece};
use crate::panes::hosts::quoted;
use crate::panes::{Context, recorder};
use crate::store::alerts::{self as store, began};
use crate::store::rights::Offer;
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::alerts::{Acknowledge, Alert, PutSilence, Show, Shown};
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::notifiers::{Notice, NoticeListing, Notices};
use cmdr_protocol::recorder::At;
use cmdr_protocol::{Call as _, CallError, history};
use unicode_width::UnicodeWidthStr as _;

/// Notices that are shown.
const NOTICES: usize = 20;
/// So long after it was over somebody may still be told.
const AFTER_MS: u64 = 3_600_000;

struct Told(Result<Shown, CallError>, Result<NoticeListing, CallError>);

/// Asks for it and shows it.
pub(super) fn open(id: &str) -> Action {
    let id = id.to_owned();
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let (shown, notices) = tokio::join!(
                link.call(None, Show { id }, PATIENCE),
                link.call(None, Notices::default(), PATIENCE)
            );
            Event::Done(None, Action::Make(Box::new(Told(shown, notices))))
        })
    }))
}

fn facts(context: &Context<'_>, alert: &Alert) -> Vec<Vec<Piece>> {
    let Context { texts, store, .. } = *context;
    let moment = |ms: u64| format::moment(ms / 1000, store.now_ms / 1000, store.utc_offset_s);
    let (worst, colour) = store::severity(alert.severity);
    let (word, role) = store::state(alert.state);
    let mut lines = vec![vec![
        (colour, format!("{}  ", texts.get(worst))),
        (role, format!("{}  ", texts.get(word))),
        (Role::Strong, clean(&alert.message).into_owned()),
    ]];
    let mut say = |key: &'static str, text: String| {
        if !text.is_empty() {
            let word = texts.get(key);
            let pad = " ".repeat(14usize.saturating_sub(word.width()).max(1));
            lines.push(vec![
                (Role::Soft, format!("{word}{pad}")),
                (Role::Text, clean(&text).into_owned()),
            ]);
        }
    };
    say("alerts.detail.host", alert.name.clone());
    say("alerts.detail.instance", alert.instance.clone());
    say("alerts.detail.rule", alert.rule.clone());
    let value = match (alert.value.as_str(), alert.limit.as_str()) {
        (value, "") => value.to_owned(),
        (value, limit) => texts.fill("alerts.detail.limit", &[value, limit]),
    };
    say("alerts.detail.value", value);
    if alert.unknown {
        say("alerts.detail.unknown", texts.get("alerts.detail.unknown_why").to_owned());
    }
    if began(alert) > 0 {
        let until = alert.resolved_ms.unwrap_or(store.now_ms);
        let long = format::span(until.saturating_sub(began(alert)) / 1000);
        let text = texts.fill("alerts.detail.long", &[&moment(began(alert)), &long]);
        say("alerts.detail.since", text);
    }
    if let Some(over) = alert.resolved_ms {
        say("alerts.detail.over", moment(over));
    }
    if let Some(ack) = &alert.ack {
        let text = format!("{}  {}", store::known_by(alert), moment(ack.at_ms));
        say("alerts.detail.known", text);
    }
    if let Some(silence) = alert.silence {
        say("alerts.detail.silence", format!("#{silence}"));
    }
    say("alerts.detail.down", alert.down.clone());
    let labels = alert.labels.iter().map(|(key, value)| format!("{key}={value}"));
    say("alerts.detail.labels", labels.collect::<Vec<_>>().join("  "));
    say("alerts.detail.policy", alert.policy.clone());
    lines
}

/// The notices of its policy in its time: which alerts a notice told of is not said by the hub.
fn told<'a>(alert: &Alert, from_ms: u64, notices: &'a [Notice]) -> Vec<&'a Notice> {
    let until = alert.resolved_ms.map_or(u64::MAX, |over| over.saturating_add(AFTER_MS));
    let meant = |notice: &&Notice| {
        notice.policy == alert.policy && (from_ms..=until).contains(&notice.made_ms)
    };
    notices.iter().filter(meant).take(NOTICES).collect()
}

impl Make for Told {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Context { texts, store, .. } = *context;
        let Self(shown, notices) = *self;
        let shown = match shown {
            Ok(shown) => shown,
            Err(error) => return Action::Complain(reason(&error)),
        };
        let alert = &shown.alert;
        let head = |key| vec![(Role::Title, texts.get(key).to_owned())];
        let mut lines = facts(context, alert);
        lines.push(Vec::new());
        lines.push(head("alerts.detail.happened"));
        for happening in &shown.happened {
            let (word, role) = store::state(happening.state);
            let now_s = store.now_ms / 1000;
            let when = format::moment(happening.at_ms / 1000, now_s, store.utc_offset_s);
            lines.push(vec![
                (Role::Soft, format!("{when}  ")),
                (role, format!("{}  ", texts.get(word))),
                (Role::Text, clean(&happening.why).into_owned()),
            ]);
        }
        lines.push(Vec::new());
        lines.push(head("alerts.detail.told"));
        let first = shown.happened.first().map_or(began(alert), |first| first.at_ms);
        match &notices {
            Err(error) => lines.push(vec![(Role::Soft, reason(error))]),
            Ok(listing) => {
                let told = told(alert, first, &listing.notices);
                if told.is_empty() {
                    let text = texts.get("alerts.detail.nobody").to_owned();
                    lines.push(vec![(Role::Soft, text)]);
                }
                lines.extend(told.into_iter().flat_map(|n| notifiers::notice(context, n)));
            }
        }
        lines.push(Vec::new());
        lines.push(head("alerts.detail.moment"));
        if shown.moment.is_empty() {
            let text = texts.get("alerts.detail.no_moment").to_owned();
            lines.push(vec![(Role::Soft, text)]);
        }
        lines.extend(
            shown
                .moment
                .lines()
                .map(|line| vec![(Role::Text, clean(&line.replace('\t', "    ")).into_owned())]),
        );
        let title = clean_to_width(&format!("{}  {}", alert.name, alert.rule), 60);
        let id = quoted(&alert.id);
        let mut pager = Pager::new(title, lines)
            .with_wrap()
            .copying(alert.message.clone())
            .copying_command(format!("cmdr alerts show {id}"));
        let may = |verb, changes| store.offer(verb, changes, &[]) != Offer::No;
        let open = store.alerts.get(store::number(&alert.id));
        if let Some(alert) = open {
            if may(Acknowledge::METHOD, true) {
                let ask = acts::ask(context, &[alert], false);
                pager = pager.with_key('a', texts.get("alerts.key.ack"), ask);
            }
            if may(PutSilence::METHOD, true) {
                let text = texts.get("alerts.key.silence");
                pager = pager.with_key('s', text, silences::of(context, &[alert]));
            }
        }
        if may(history::Query::METHOD, false) {
            let chart = acts::chart(context, About::of(alert));
            pager = pager.with_key('c', texts.get("alerts.key.chart"), chart);
        }
        if let Some(host) = alert.host.filter(|_| may(At::METHOD, false)) {
            let then = recorder::open(context, host, Some(began(alert)));
            pager = pager.with_key('r', texts.get("alerts.key.recorder"), then);
        }
        pager = pager.with_key('o', texts.get("alerts.key.host"), to_host(context, alert.host));
        pager = pager.with_key('e', texts.get("alerts.key.rule"), rules::open(&alert.rule));
        Action::Open(Box::new(pager))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_of_its_policy_in_its_time_are_shown() {
        let alert =
            Alert { policy: "urgent".into(), resolved_ms: Some(10_000_000), ..Alert::default() };
        let notice =
            |policy: &str, made_ms| Notice { policy: policy.into(), made_ms, ..Notice::default() };
        let notices = [
            notice("urgent", 14_000_000),
            notice("urgent", 10_000_500),
            notice("others", 9_000_000),
            notice("urgent", 8_000_000),
            notice("urgent", 7_999_999),
        ];
        let times: Vec<u64> = told(&alert, 8_000_000, &notices).iter().map(|n| n.made_ms).collect();
        assert_eq!(times, [10_000_500, 8_000_000]);
    }
}
