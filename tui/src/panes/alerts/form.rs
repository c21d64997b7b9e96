//! The usual fields of a rule as lines to fill in, above its text: what is filled in goes into the text where it stands,
//! and all else there stays, comments too.

use crate::action::Action;
use crate::keymap::Command;
use crate::overlays::fill::Fill;
use crate::overlays::form::{Field, Form};
use crate::panes::Context;
use cmdr_protocol::display::clean;
use serde_json::Value;
use std::collections::BTreeMap;

/// Gives the editor the text with what was filled in. No key has it.
pub(in crate::panes) const FILLED: Command = Command::Own(20);

/// Key of the rule, name of the line and what is said about it.
const FIELDS: [(&str, &str, &str); 9] = [
    ("when", "rules.field.when", "rules.hint.when"),
    ("clear", "rules.field.clear", "rules.hint.clear"),
    ("for", "rules.field.for", "rules.hint.for"),
    ("clear_for", "rules.field.clear_for", "rules.hint.clear_for"),
    ("severity", "rules.field.severity", "rules.hint.severity"),
    ("hosts", "rules.field.hosts", "rules.hint.hosts"),
    ("message", "rules.field.message", "rules.hint.message"),
    ("labels", "rules.field.labels", "rules.hint.labels"),
    ("description", "rules.field.description", "rules.hint.description"),
];
const SEVERITY: usize = 4;
const LABELS: usize = 7;

/// What stands in the lines.
type Filled = [String; FIELDS.len()];

/// Opens the form with what the text says.
pub(in crate::panes) fn open(context: &Context<'_>, text: &str) -> Action {
    let texts = context.texts;
    let Some(filled) = read(text) else {
        return Action::Complain(texts.get("rules.form.unread").to_owned());
    };
    let fields = FIELDS
        .iter()
        .zip(filled)
        .map(|((_, name, hint), text)| Field::new(name, hint, clean(&text).into_owned()));
    let form = Form::new(texts.get("rules.form.title").to_owned(), fields.collect());
    let (text, unwritten) = (text.to_owned(), texts.get("rules.form.unwritten"));
    let (wrong, label) = (texts.get("rules.form.severity"), texts.get("rules.form.label"));
    Action::Open(Box::new(Fill::new(form, move |form| {
        let filled: Filled = std::array::from_fn(|at| form.text(at).to_owned());
        if filled[0].is_empty() {
            return Err((0, unwritten.to_owned()));
        }
        if !["", "info", "warning", "critical"].contains(&filled[SEVERITY].as_str()) {
            return Err((SEVERITY, wrong.to_owned()));
        }
        if labels(&filled[LABELS]).is_none() {
            return Err((LABELS, label.to_owned()));
        }
        match written(&text, &filled) {
            Some(text) => Ok(Action::Give(FILLED, text)),
            None => Err((0, unwritten.to_owned())),
        }
    })))
}

/// The one rule of a text.
fn rule(text: &str) -> Option<serde_json::Map<String, Value>> {
    let value: Value = serde_saphyr::from_str(text).ok()?;
    match value.get("rules")?.as_array()?.as_slice() {
        [Value::Object(rule)] => Some(rule.clone()),
        _ => None,
    }
}

fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(map)) => {
            let pair = |(key, value): (&String, &Value)| format!("{key}={}", plain(Some(value)));
            map.iter().map(pair).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

fn read(text: &str) -> Option<Filled> {
    let rule = rule(text)?;
    Some(std::array::from_fn(|at| plain(rule.get(FIELDS[at].0))))
}

/// `KEY=VALUE` pairs with commas between.
fn labels(text: &str) -> Option<BTreeMap<String, String>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = key.trim();
            (!key.is_empty()).then(|| (key.to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// A text as YAML has it, in one line.
fn scalar(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_alphabetic() || c == '(');
    let odd = |c: char| c.is_control() || "'\"\\".contains(c);
    let means = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let fits = begins
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && !text.contains(odd)
        && !means.contains(&text.to_lowercase().as_str());
    if fits {
        text.to_owned()
    } else if text.contains(|c: char| c.is_control()) {
        // JSON's way of writing a text is YAML's, too.
        Value::from(text).to_string()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn shown(at: usize, text: &str) -> String {
    if at != LABELS {
        return scalar(text);
    }
    let pairs = labels(text).unwrap_or_default();
    let pair = |(key, value): (&String, &String)| {
        let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
        format!("{}: {}", quote(key), quote(value))
    };
    format!("{{ {} }}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
}

/// The text with what was filled in; `None` where it is written in a way that this cannot change.
fn written(text: &str, filled: &Filled) -> Option<String> {
    let before = read(text)?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    // Where the keys of the rule begin.
    let first = lines.iter().position(|line| line.trim_start().starts_with("- "))?;
    let dash = lines[first].find("- ")?;
    let indent = dash + lines[first][dash..].chars().skip(1).take_while(|c| *c == ' ').count() + 1;
    let depth = |line: &str| line.len() - line.trim_start().len();
    for (at, (key, ..)) in FIELDS.iter().enumerate() {
        let same = match at {
            LABELS => labels(&filled[at]) == labels(&before[at]),
            _ => filled[at] == clean(&before[at]),
        };
        if same {
            continue;
        }
        let is_key = |n: usize, line: &str| {
            let begins = if n == first { line.get(indent..) } else { Some(line.trim_start()) };
            let level = n == first || depth(line) == indent;
            level && begins.is_some_and(|rest| rest.split(':').next() == Some(key))
        };
        let place = (first..lines.len()).find(|n| is_key(*n, &lines[*n]));
        let new = (!filled[at].is_empty()).then(|| format!("{key}: {}", shown(at, &filled[at])));
        match (place, new) {
            (None, None) => {}
            (Some(n), new) => {
                let more = |line: &String| !line.trim().is_empty() && depth(line) > indent;
                let end = (n + 1..lines.len()).find(|n| !more(&lines[*n])).unwrap_or(lines.len());
                match (new, n == first) {
                    (Some(new), _) => {
                        let head = lines[n].get(..indent)?.to_owned();
                        lines.splice(n..end, [head + &new]);
                    }
                    (None, false) => drop(lines.drain(n..end)),
                    // The sign of the list stands in this line.
                    (None, true) => return None,
                }
            }
            (None, Some(new)) => {
                let blank = |line: &&String| line.trim().is_empty();
                let end = lines.len() - lines.iter().rev().take_while(blank).count();
                lines.insert(end, " ".repeat(indent) + &new);
            }
        }
    }
    let mut out = lines.join("\n");
    out.push('\n');
    let after = read(&out)?;
    let told = |at: usize| match at {
        LABELS => labels(&after[at]) == labels(&filled[at]),
        _ => clean(&after[at]) == filled[at],
    };
    (0..FIELDS.len()).all(told).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# ours\nrules:\n  - name: hot\n    # watch out\n    when: cpu.busy > 90%\n    message: >-\n      {host} is\n      hot\n    severity: warning\n    down: true\n";

    #[test]
    fn what_is_filled_in_goes_where_it_stood_and_all_else_stays() {
        let mut filled = read(TEXT).expect("a rule");
        assert_eq!((filled[0].as_str(), filled[6].as_str()), ("cpu.busy > 90%", "{host} is hot"));
        assert_eq!(written(TEXT, &filled).as_deref(), Some(TEXT));
        filled[0] = "cpu.busy > 95%".into();
        filled[4].clear();
        filled[5] = "env=prod, !web1".into();
        filled[6] = "{host}: it's # hot".into();
        filled[7] = "team=ops, a=b c".into();
        let text = written(TEXT, &filled).expect("a text");
        assert_eq!(
            text,
            "# ours\nrules:\n  - name: hot\n    # watch out\n    when: cpu.busy > 95%\n    message: '{host}: it''s # hot'\n    down: true\n    hosts: env=prod, !web1\n    labels: { 'a': 'b c', 'team': 'ops' }\n"
        );
        assert_eq!(read(&text).map(|all| all[7].clone()).as_deref(), Some("a=b c, team=ops"));
    }

    #[test]
    fn a_text_that_the_form_could_not_change_is_left_alone() {
        for text in [
            "rules: [",
            "rules: []",
            "rules:\n- name: a\n  when: x > 1\n- name: b\n  when: y > 1\n",
            "policies: []",
            "",
        ] {
            assert!(read(text).is_none(), "{text}");
        }
        let flow = "rules: [ { name: a, when: sockets > 1 } ]";
        let mut filled = read(flow).expect("a rule");
        filled[0] = "sockets > 2".into();
        assert_eq!(written(flow, &filled), None);
    }
}
