//! One record whole: who, from where, what exactly, and what came of it. What was asked and how it was
//! answered stand together.

use super::columns;
use crate::overlays::pager::{Pager, Piece};
use crate::panes::Context;
use crate::store::audit::Log;
use crate::theme::Role;
use cmdr_protocol::audit::{Record, Value};
use cmdr_protocol::display::clean;
use cmdr_protocol::human;
use unicode_width::UnicodeWidthStr as _;

/// What the hub puts where a secret was.
const STRUCK: &str = "‹secret›";
/// Lines of one body at most; the hub keeps 4 KiB of it.
const LINES: usize = 2000;

/// The record and, when it is there, the one that belongs to it.
pub(in crate::panes) fn pager(context: &Context<'_>, log: &Log, record: &Record) -> Pager {
    let texts = context.texts;
    let pair = log.pair(record);
    let (asked, answer) = match record.asked {
        Some(_) => (pair.unwrap_or(record), Some(record)),
        None => (record, pair),
    };
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    let mut say = |key: &'static str, value: String, role: Role| {
        if !value.is_empty() {
            let word = texts.get(key);
            let pad = " ".repeat(12usize.saturating_sub(word.width()).max(1));
            lines.push(vec![(Role::Soft, format!("{word}{pad}")), (role, value)]);
        }
    };
    let key = asked.key.map_or_else(String::new, |key| key.to_string());
    say("audit.col.verb", columns::verb(asked).to_owned(), Role::Strong);
    say("audit.detail.number", number(asked, answer), Role::Text);
    say("audit.col.time", human::moment(asked.at_ms), Role::Text);
    say("audit.col.who", asked.operator.clone(), Role::Text);
    say("audit.detail.key", key, Role::Text);
    say("audit.detail.from", asked.address.clone(), Role::Text);
    say("audit.col.host", columns::host_name(context, asked), Role::Text);
    say(
        "audit.detail.host_id",
        asked.host.map_or_else(String::new, |id| id.to_string()),
        Role::Soft,
    );
    say("audit.col.resource", asked.resource.clone(), Role::Text);
    let (_, _, role) = columns::state(log.standing(asked));
    let state = columns::state_line(context, log, asked).to_string();
    say("audit.col.state", state, role);
    let took = columns::took_ms(log, asked).map_or_else(String::new, columns::took);
    say("audit.col.took", took, Role::Text);
    let messages = [asked.message.as_str(), answer.map_or("", |answer| answer.message.as_str())];
    let same = messages[0] == messages[1];
    for message in messages.iter().take(if same { 1 } else { 2 }) {
        say("audit.detail.message", context.texts.reason(message), Role::Strong);
    }
    if let Some(removed) = &asked.removed {
        let [first, last] = [removed.first_ms, removed.last_ms].map(human::moment);
        let count = removed.records.to_string();
        say(
            "audit.detail.removed",
            texts.fill("audit.detail.removed_text", &[&count, &first, &last]),
            Role::Text,
        );
    }
    let result = answer.and_then(|answer| answer.result.as_ref()).or(asked.result.as_ref());
    for (head, value) in
        [("audit.detail.body", &asked.body), ("audit.detail.result", &result.cloned())]
    {
        if let Some(value) = value {
            lines.push(Vec::new());
            lines.push(vec![(Role::Accent, texts.get(head).to_owned())]);
            pretty(value, 1, &mut lines, texts.get("audit.detail.struck"));
        }
    }
    let text = |line: &Vec<Piece>| line.iter().map(|(_, text)| text.as_str()).collect::<String>();
    let whole = lines.iter().map(text).collect::<Vec<_>>().join("\n");
    let command = command(asked);
    Pager::new(texts.fill("audit.detail.title", &[&asked.seq.to_string()]), lines)
        .copying(whole)
        .copying_command(command)
}

fn number(asked: &Record, answer: Option<&Record>) -> String {
    match answer {
        Some(answer) if answer.seq != asked.seq => format!("{} → {}", asked.seq, answer.seq),
        _ => asked.seq.to_string(),
    }
}

/// The `cmdr` command that finds it again.
pub(in crate::panes) fn command(record: &Record) -> String {
    let mut line = "cmdr audit".to_owned();
    let mut add = |flag: &str, value: &str| {
        if !value.is_empty() {
            let value = crate::panes::hosts::quoted(value);
            line.extend([" --", flag, " ", &value]);
        }
    };
    add("operator", &record.operator);
    add("method", &record.method);
    add("host", &record.host_name);
    add("since", &human::moment(record.at_ms));
    line
}

/// A value, a field a line. Everything in it is made harmless.
fn pretty(value: &Value, depth: usize, lines: &mut Vec<Vec<Piece>>, struck: &str) {
    let indent = "  ".repeat(depth);
    let simple = |value: &Value| -> Piece {
        match value {
            Value::Text(text) if text == STRUCK => (Role::Warn, struck.to_owned()),
            Value::Text(text) => (Role::Text, clean(text).into_owned()),
            Value::List(list) if list.is_empty() => (Role::Faint, "[]".to_owned()),
            Value::Map(map) if map.is_empty() => (Role::Faint, "{}".to_owned()),
            other => (Role::Info, other.to_string()),
        }
    };
    let nested = |value: &Value| match value {
        Value::List(list) => !list.is_empty(),
        Value::Map(map) => !map.is_empty(),
        _ => false,
    };
    let entries: Vec<(String, &Value)> = match value {
        Value::Map(fields) => {
            fields.iter().map(|(name, value)| (format!("{}:", clean(name)), value)).collect()
        }
        Value::List(values) => values.iter().map(|value| ("-".to_owned(), value)).collect(),
        other => {
            lines.push(vec![(Role::Soft, indent), simple(other)]);
            return;
        }
    };
    for (name, value) in entries {
        if lines.len() >= LINES {
            return;
        }
        let head = (Role::Soft, format!("{indent}{name} "));
        if nested(value) {
            lines.push(vec![head]);
            pretty(value, depth + 1, lines, struck);
        } else if let Value::Text(text) = value
            && text.contains('\n')
        {
            // A script: line by line, as it was written.
            lines.push(vec![head]);
            for line in text.lines().take(LINES) {
                let line = clean(line).into_owned();
                lines.push(vec![(Role::Faint, format!("{indent}  │ ")), (Role::Text, line)]);
            }
        } else {
            lines.push(vec![head, simple(value)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        pretty(value, 0, &mut lines, "struck out");
        lines.iter().map(|line| line.iter().map(|(_, text)| text.as_str()).collect()).collect()
    }

    #[test]
    fn a_body_is_a_field_a_line_with_secrets_struck_out_and_nothing_harmful() {
        let texts = |words: &[&str]| words.iter().map(|w| Value::Text((*w).into())).collect();
        let value = Value::Map(vec![
            ("argv".into(), Value::List(texts(&["echo", "\u{1b}[2J"]))),
            ("env".into(), Value::Map(vec![("KEY".into(), Value::Text(STRUCK.into()))])),
            ("script".into(), Value::Text("a\nb\u{7}".into())),
            ("stdin".into(), Value::Bool(false)),
        ]);
        let wanted = [
            "argv: ",
            "  - echo",
            "  - ␛[2J",
            "env: ",
            "  KEY: struck out",
            "script: ",
            "  │ a",
            "  │ b␇",
            "stdin: false",
        ];
        assert_eq!(text(&value), wanted);
    }
}
