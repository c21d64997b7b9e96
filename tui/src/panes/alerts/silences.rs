//! Silences: which alerts are kept quiet for how long and why.

use crate::action::Action;
use crate::overlays::confirm::Confirm;
use crate::overlays::fill::Fill;
use crate::overlays::form::{Field, Form};
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::store::alerts::lists::{SILENCES, stale};
use crate::widgets::format;
use cmdr_protocol::alerts::{Alert, EndSilence, PutSilence, Silence};
use cmdr_protocol::display::clean;
use cmdr_protocol::human;

/// What stands there first for how long.
const USUAL: &str = "2h";
/// The longest one.
const LONGEST_MS: u64 = 366 * 86_400_000;

/// A value of a matcher: what it could not hold is any character there.
fn value(text: &str) -> String {
    let fits = |c: char| if c == ',' || c.is_control() { '?' } else { c };
    text.trim().chars().map(fits).collect()
}

/// The matcher that these alerts have in common: all that is the same of them.
fn matcher(alerts: &[&Alert]) -> String {
    let common = |name: &str, of: fn(&Alert) -> &str| {
        let first = of(alerts.first()?);
        let same = !first.is_empty() && alerts.iter().all(|alert| of(alert) == first);
        same.then(|| format!("{name}={}", value(first)))
    };
    let terms = [
        common("host", |alert| &alert.name),
        common("rule", |alert| &alert.rule),
        common("instance", |alert| &alert.instance),
    ];
    terms.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Asks what to keep quiet, beginning with what these alerts have in common.
pub(super) fn of(context: &Context<'_>, alerts: &[&Alert]) -> Action {
    new(context, matcher(alerts))
}

/// Asks what to keep quiet.
pub(super) fn new(context: &Context<'_>, which: String) -> Action {
    let texts = context.texts;
    let at = usize::from(!which.is_empty());
    let fields = vec![
        Field::new("silences.field.which", "silences.hint.which", which),
        Field::new("silences.field.for", "silences.hint.for", USUAL.to_owned()),
        Field::new("silences.field.why", "silences.hint.why", String::new()),
    ];
    let form = Form::new(texts.get("silences.form").to_owned(), fields).at(at);
    let (empty, wrong) = (texts.get("silences.empty"), texts.get("silences.wrong_span"));
    let (what, done) = (texts.get("silences.what").to_owned(), texts.get("silences.done"));
    let fill = Fill::new(form, move |form| {
        let matcher = form.text(0).to_owned();
        if matcher.is_empty() {
            return Err((0, empty.to_owned()));
        }
        if let Some(term) = matcher.split(',').map(str::trim).find(|t| !t.contains('=')) {
            return Err((0, format!("{}? host=web1, rule=disk-*", clean(term))));
        }
        let span =
            human::duration(form.text(1)).ok().and_then(|d| u64::try_from(d.as_millis()).ok());
        let span = span.filter(|span| (1000..=LONGEST_MS).contains(span));
        let Some(for_ms) = span else { return Err((1, wrong.to_owned())) };
        let put = PutSilence { matcher, for_ms, why: form.text(2).to_owned() };
        Ok(Action::call(what.clone(), None, put, move |silence: Silence| {
            let quiet = silence.quiet.to_string();
            let id = silence.id.to_string();
            let said = done.replacen("{}", &id, 1).replacen("{}", &quiet, 1);
            (Some(stale(SILENCES)), Action::Say(said))
        }))
    });
    Action::Open(Box::new(fill))
}

/// Ends a silence, after a question.
pub(super) fn end(context: &Context<'_>, silence: &Silence) -> Action {
    let texts = context.texts;
    let id = silence.id.to_string();
    let done = texts.fill("silences.end.done", &[&id]);
    let what = texts.fill("silences.end.what", &[&id]);
    let call = Action::call(what, None, EndSilence { id: silence.id }, move |_| {
        (Some(stale(SILENCES)), Action::Say(done))
    });
    let left = silence.until_ms.saturating_sub(context.store.now_ms) / 1000;
    let lines = vec![
        clean(&silence.matcher).into_owned(),
        texts.fill("silences.end.about", &[&format::age(left), &silence.quiet.to_string()]),
    ];
    let id = quoted(&id);
    let command = format!("cmdr alerts unsilence {id}");
    let title = texts.fill("silences.end.title", &[&id]);
    Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_begins_with_what_alerts_have_in_common() {
        let alert = |name: &str, rule: &str, instance: &str| Alert {
            name: name.into(),
            rule: rule.into(),
            instance: instance.into(),
            ..Alert::default()
        };
        let (a, b) = (alert("web1", "disk", "/a,b"), alert("web2", "disk", ""));
        assert_eq!(matcher(&[&a]), "host=web1, rule=disk, instance=/a?b");
        assert_eq!(matcher(&[&a, &b]), "rule=disk");
        let c = alert("db1", "cpu", "");
        assert_eq!(matcher(&[&a, &c]), "");
    }
}
