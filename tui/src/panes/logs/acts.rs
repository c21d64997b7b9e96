//! What is done with lines and asked for: older ones, a copy, a file, the command that shows the same.

use super::{EXCLUDE, INCLUDE, JUMP, LogsPane, SAVE, SPAN, Span, WORDS, look};
use crate::action::Action;
use crate::event::Event;
use crate::keymap::Command;
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::store::logs::{self, Logs, Row};
use cmdr_protocol::HostId;
use cmdr_protocol::human;
use cmdr_protocol::logs::{Filter, Input, Older, parts};
use std::fmt::Write as _;
use std::io::Write as _;

/// Asks for a text for a command of the pane.
pub(super) fn ask(context: &Context<'_>, command: Command, pane: &LogsPane) -> Action {
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    let (title, hint, text) = match command {
        INCLUDE => ("logs.ask.include", "logs.hint.pattern", first(&pane.filter.include)),
        EXCLUDE => ("logs.ask.exclude", "logs.hint.pattern", first(&pane.filter.exclude)),
        WORDS => ("logs.ask.words", "logs.hint.words", pane.look.words().to_owned()),
        JUMP => ("logs.ask.jump", "logs.hint.jump", String::new()),
        SPAN => ("logs.ask.span", "logs.hint.span", pane.span.text(context.store.utc_offset_s)),
        SAVE => ("logs.ask.save", "logs.hint.save", String::new()),
        _ => return Action::None,
    };
    let [wrong, no_span] = ["logs.jump.wrong", "logs.span.wrong"].map(|key| context.texts.get(key));
    let (now_ms, offset_s) = (context.store.now_ms, context.store.utc_offset_s);
    let check = move |text: &str| {
        match command {
            INCLUDE | EXCLUDE | WORDS => drop(look::pattern(text)?),
            JUMP if human::local_ms(text, now_ms, offset_s).is_none() => {
                return Err(wrong.to_owned());
            }
            SPAN if Span::read(text, now_ms, offset_s).is_none() => return Err(no_span.to_owned()),
            _ => {}
        }
        Ok(Action::Give(command, text.to_owned()))
    };
    Action::Open(Box::new(Prompt::new(context.texts.get(title).to_owned(), text, hint, check)))
}

/// Asks every host for lines before the first that it has sent.
pub(super) fn older(owner: u64, logs: &Logs, lines: u32) -> Vec<Action> {
    let mut actions = Vec::new();
    for (at, stream) in logs.streams.iter().enumerate() {
        let (Some(before), Some(way)) = (stream.first.clone(), stream.inputs.clone()) else {
            continue;
        };
        if stream.beginning || stream.looking {
            continue;
        }
        let input = Input { older: Some(Older { before, lines }), ..Input::default() };
        actions.push(Action::Apply(logs::looking(owner, at)));
        actions.push(Action::Errand(Box::new(move |_| {
            Box::pin(async move {
                // A feed that has ended is begun anew, and can be asked again.
                drop(way.send(input).await);
                Event::Done(None, Action::None)
            })
        })));
    }
    actions
}

/// A row as text: its source where there are several.
pub(super) fn plain(context: &Context<'_>, logs: &Logs, row: &Row) -> String {
    let Some(stream) = logs.streams.get(row.stream) else { return row.text.to_string() };
    let mut text = String::new();
    let one_host = logs.streams.iter().all(|other| other.host == stream.host);
    if !one_host {
        text += &context.store.hosts.name(stream.host);
        text += " ";
    }
    if logs.streams.iter().any(|other| other.source != stream.source) {
        text += logs::short(&stream.source);
        text += " ";
    }
    if !row.by.is_empty() {
        // Writing to a String cannot fail.
        write!(text, "{} {}: ", human::moment(row.own_ms.unwrap_or(row.at_ms)), row.by).ok();
    }
    text + &row.text
}

/// Writes all lines that are here to a new file.
pub(super) fn save(context: &Context<'_>, logs: &Logs, name: &str) -> Action {
    let name = name.trim().to_owned();
    if name.is_empty() {
        return Action::None;
    }
    let lines = logs.rows.iter().filter(|row| row.gap.is_none());
    let lines: Vec<String> = lines.map(|row| plain(context, logs, row)).collect();
    let saved = context.texts.fill("logs.saved", &[&lines.len().to_string(), &name]);
    Action::Errand(Box::new(move |_| {
        Box::pin(async move {
            let shown = name.clone();
            let write = move || -> std::io::Result<()> {
                // What is there already is somebody's.
                let mut file = std::fs::File::create_new(&name)?;
                file.write_all((lines.join("\n") + "\n").as_bytes())
            };
            let written = tokio::task::spawn_blocking(write).await;
            let done = match written {
                Ok(Ok(())) => Action::Say(saved),
                Ok(Err(e)) => {
                    Action::Complain(format!("{shown}: {}", cmdr_link::files::reason(&e)))
                }
                Err(e) => Action::Complain(e.to_string()),
            };
            Event::Done(None, done)
        })
    }))
}

/// The `cmdr` command that shows the same.
pub(super) fn command(
    context: &Context<'_>,
    streams: &[(HostId, String)],
    filter: &Filter,
    span: Option<&Span>,
) -> String {
    let mut line = "cmdr logs".to_owned();
    for (host, source) in streams {
        let name = context.store.hosts.name(*host);
        let what = match parts(source) {
            (cmdr_protocol::logs::Kind::File | cmdr_protocol::logs::Kind::Unit, name) => name,
            _ => source,
        };
        line += " ";
        line += &quoted(&format!("{name}:{what}"));
    }
    for (option, patterns) in [(" -i ", &filter.include), (" -x ", &filter.exclude)] {
        for pattern in patterns {
            line += option;
            line += &quoted(pattern);
        }
    }
    if let Some(level) = filter.level {
        // Writing to a String cannot fail.
        write!(line, " --level {level}").ok();
    }
    if filter.before > 0 {
        write!(line, " -C {}", filter.before).ok();
    }
    if filter.joined {
        line += " --joined";
    }
    let Some(span) = span else { return line };
    for (option, ms) in [("since", span.since_ms), ("until", span.until_ms)] {
        if let Some(ms) = ms {
            write!(line, " --{option} {}", human::moment(ms)).ok();
        }
    }
    if span.until_ms.is_none() {
        line += " -f";
    }
    line
}
