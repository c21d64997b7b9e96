//! The columns of the process table.

use crate::panes::Context;
use crate::store::processes::Processes;
use crate::theme::Role;
use crate::widgets::table::{Cell, Column, WIDEST};
use crate::widgets::{format, natural};
use cmdr_protocol::HostId;
use cmdr_protocol::processes::Process;
use ratatui::text::{Line, Span};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

const fn column(title: &'static str, width: u16, rank: u8) -> Column {
    let (grows, right, descending) = (false, false, false);
    Column { title, width, rank, grows, most: WIDEST, right, descending }
}

const fn figure(title: &'static str, width: u16, rank: u8) -> Column {
    Column { right: true, descending: true, ..column(title, width, rank) }
}

/// From left to right.
pub(super) const COLUMNS: &[Column] = &[
    Column { right: true, ..column("processes.col.pid", 7, 0) },
    column("processes.col.user", 10, 4),
    figure("processes.col.cpu", 6, 1),
    figure("processes.col.share", 6, 3),
    figure("processes.col.memory", 6, 2),
    figure("processes.col.read", 6, 8),
    figure("processes.col.written", 6, 7),
    figure("processes.col.threads", 5, 9),
    Column { right: true, ..column("processes.col.nice", 4, 10) },
    column("processes.col.state", 3, 5),
    Column { descending: true, ..column("processes.col.start", 11, 6) },
    Column { grows: true, ..column("processes.col.command", 28, 0) },
];

/// The column that is sorted by at first.
pub(super) const CPU: usize = 2;

type Compare = fn(&Process, &Process) -> Ordering;

/// How each column is ordered.
pub(super) const COMPARE: [Compare; 12] = [
    |a, b| a.pid.cmp(&b.pid),
    |a, b| natural::compare(&a.user, &b.user),
    // Most processes use none at all; then the large ones are what one looks for.
    |a, b| a.cpu.cmp(&b.cpu).then(a.memory.cmp(&b.memory)),
    |a, b| a.memory.cmp(&b.memory),
    |a, b| a.memory.cmp(&b.memory),
    |a, b| a.read.cmp(&b.read),
    |a, b| a.written.cmp(&b.written),
    |a, b| a.threads.cmp(&b.threads),
    |a, b| a.nice.cmp(&b.nice),
    |a, b| a.state.cmp(&b.state),
    |a, b| a.start.cmp(&b.start),
    |a, b| natural::compare(&shown_command(a), &shown_command(b)),
];

/// What `cmdr ps --sort` calls each column, where it can sort by it.
pub(super) const PS_SORT: [Option<&str>; 12] = [
    Some("pid"),
    Some("user"),
    Some("cpu"),
    Some("mem"),
    Some("mem"),
    None,
    None,
    Some("threads"),
    None,
    None,
    Some("start"),
    Some("command"),
];

/// What filters and searches look through.
pub(super) fn haystack(process: &Process, text: &mut String) {
    let Process { pid, user, name, command, .. } = process;
    // Writing to a String cannot fail.
    write!(text, "{pid} {user} {name} {command}").ok();
}

/// The command line; the name in brackets for kernel threads, as `ps` does.
pub(crate) fn shown_command(process: &Process) -> Cow<'_, str> {
    if process.command.is_empty() {
        Cow::Owned(format!("[{}]", process.name))
    } else {
        Cow::Borrowed(&process.command)
    }
}

/// Percent of one processor from permille.
pub(super) fn cpu(permille: u32) -> String {
    if permille >= 1000 {
        format!("{}", (permille + 5) / 10)
    } else {
        format!("{}.{}", permille / 10, permille % 10)
    }
}

/// What a state letter means.
pub(super) fn state_words(context: &Context<'_>, state: &str) -> String {
    let key = match state.chars().next() {
        Some('R') => "processes.state.running",
        Some('S') => "processes.state.sleeping",
        Some('D') => "processes.state.waiting",
        Some('Z') => "processes.state.zombie",
        Some('T' | 't') => "processes.state.stopped",
        Some('I') => "processes.state.idle",
        _ => return state.to_owned(),
    };
    format!("{state}  {}", context.texts.get(key))
}

/// Memory of the host, for shares of it.
pub(super) fn memory_total(context: &Context<'_>, host: HostId) -> u64 {
    let row = context.store.hosts.get(host);
    row.and_then(|row| row.figures.map(|f| f.memory_total)).unwrap_or(0)
}

/// The line above the table.
pub(super) fn summary(
    context: &Context<'_>,
    host: HostId,
    processes: &Processes,
    tree: bool,
) -> Line<'static> {
    let Context { store, theme, texts, .. } = *context;
    let (soft, strong) = (theme.style(Role::Soft), theme.style(Role::Strong));
    let running = processes.rows.values().filter(|p| p.state == "R").count();
    let mut spans = vec![
        Span::styled(format::count(processes.rows.len()), strong),
        Span::styled(format!(" {}", texts.get("processes.processes")), soft),
        Span::styled(format!(" · {running} {}", texts.get("processes.running")), soft),
    ];
    let zombies = processes.rows.values().filter(|p| p.state == "Z").count();
    if zombies > 0 {
        let text = format!(" · {zombies} {}", texts.get("processes.state.zombie"));
        spans.push(Span::styled(text, theme.style(Role::Warn)));
    }
    if let Some(figures) = store.hosts.get(host).and_then(|row| row.live()) {
        let share = format::permille(figures.memory_used, figures.memory_total);
        for (key, permille) in [("word.cpu", u32::from(figures.cpu)), ("word.memory", share)] {
            spans.push(Span::styled(format!(" · {} ", texts.get(key)), soft));
            spans.push(Span::styled(format::percent(permille), theme.level(permille)));
        }
        let load =
            format!(" · {} {}", texts.get("overview.load"), format::hundredths(figures.load));
        spans.push(Span::styled(load, soft));
    }
    if tree {
        // In front: on a narrow screen the end is cut.
        let text = format!("{} · ", texts.get("processes.tree"));
        spans.insert(0, Span::styled(text, theme.style(Role::Accent)));
    }
    Line::from(spans)
}

/// What stands in a cell.
pub(super) fn cell<'a>(
    context: &Context<'a>,
    process: &'a Process,
    title: &'static str,
    _width: u16,
    memory_total: u64,
    branch: &str,
) -> Cell<'a> {
    let Context { store, theme, .. } = *context;
    let (text, soft) = (theme.style(Role::Text), theme.style(Role::Soft));
    let faint = theme.style(Role::Faint);
    let rate = |n: Option<u64>| match n {
        None => Line::styled("?", faint),
        Some(0) => Line::styled("-", faint),
        Some(n) => Line::styled(format::bytes(n), text),
    };
    Cell::Line(match title {
        "processes.col.pid" => Line::styled(process.pid.to_string(), soft),
        "processes.col.user" => {
            Line::styled(process.user.as_str(), if process.user == "root" { soft } else { text })
        }
        "processes.col.cpu" => {
            let style = match process.cpu {
                0 => faint,
                1..500 => text,
                busy => theme.level(busy.min(1000)),
            };
            Line::styled(cpu(process.cpu), style)
        }
        "processes.col.share" => {
            let permille = format::permille(process.memory, memory_total);
            let style = if permille == 0 { faint } else { text };
            Line::styled(format!("{}.{}", permille / 10, permille % 10), style)
        }
        "processes.col.memory" => {
            let style = if process.memory == 0 { faint } else { text };
            Line::styled(format::bytes(process.memory), style)
        }
        "processes.col.read" => rate(process.read),
        "processes.col.written" => rate(process.written),
        "processes.col.threads" => Line::styled(process.threads.to_string(), soft),
        "processes.col.nice" => {
            Line::styled(process.nice.to_string(), if process.nice == 0 { faint } else { text })
        }
        "processes.col.state" => {
            let role = match process.state.as_str() {
                "R" => Role::Ok,
                "D" | "T" | "t" => Role::Warn,
                "Z" => Role::Bad,
                _ => Role::Faint,
            };
            Line::styled(process.state.as_str(), theme.style(role))
        }
        "processes.col.start" => {
            let now_s = store.now_ms / 1000;
            Line::styled(format::moment(process.started_s, now_s, store.utc_offset_s), soft)
        }
        _ => {
            // The program stands out from its path and its arguments.
            let command = shown_command(process);
            let mut spans = vec![Span::styled(branch.to_owned(), faint)];
            if process.command.is_empty() {
                spans.push(Span::styled(command.into_owned(), faint));
            } else {
                let end = process.command.find([' ', ':']).unwrap_or(process.command.len());
                let (program, rest) = process.command.split_at(end);
                let name = program.rfind('/').map_or(0, |at| at + 1);
                spans.push(Span::styled(&program[..name], soft));
                spans.push(Span::styled(&program[name..], theme.style(Role::Strong)));
                spans.push(Span::styled(rest, soft));
            }
            Line::from(spans)
        }
    })
}
