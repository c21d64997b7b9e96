//! The processes of a host: flat or as a tree, sorted, filtered, marked, signalled, reniced.

pub(super) mod acts;
mod columns;

use super::overview::{nothing_yet, stale};
use super::{Choice, Context, Entry, Pane, Place, Subscription, TABS};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::overlays::pager::Pager;
use crate::store::processes::Processes as Table;
use crate::theme::Role;
use crate::widgets::{format, frame as boxes, table};
use cmdr_protocol::processes::{Process, Renice, Signal, Watch};
use cmdr_protocol::{Call as _, HostId};
use columns::COLUMNS;
pub(crate) use columns::shown_command;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::cmp::Ordering;
use std::collections::HashMap;

const TREE: Command = Command::Own(0);
const SIGNAL: Command = Command::Own(1);
const RENICE: Command = Command::Own(2);
const COPY_LIST: Command = Command::Own(3);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "processes.key.open").row().hint(),
    key(&["t"], TREE, "processes.key.tree").hint(),
    key(&["x", "<delete>"], SIGNAL, "processes.key.signal").danger(Signal::METHOD).row().hint(),
    key(&["R"], RENICE, "processes.key.renice").danger(Renice::METHOD),
    key(&["C-y"], COPY_LIST, "processes.key.copy_list"),
];

/// The pane.
pub struct Processes {
    host: HostId,
    table: table::State<u32>,
    tree: bool,
    /// The lines before a command that show its place in the tree.
    branches: HashMap<u32, String>,
    ordered: Option<Ordered>,
}

/// The columns of the table.
pub fn columns() -> Vec<table::Column> {
    COLUMNS.to_vec()
}

/// What the order of the rows was made from, and when.
#[derive(Clone, Copy, PartialEq)]
struct Ordered {
    choices: u64,
    rows: usize,
    at_ms: u64,
}

/// Figures change each second; rows come, go and change places less often, so that one can read and
/// pick them, and a thin line is not filled with rows that merely moved.
const SETTLE_MS: u64 = 4000;

impl Processes {
    /// Of this host.
    pub fn new(host: HostId) -> Self {
        let mut table = table::State::default();
        table.sort = columns::CPU;
        Self { host, table, tree: false, branches: HashMap::new(), ordered: None }
    }

    /// Of this host, with the cursor on this process.
    pub fn at(host: HostId, pid: u32) -> Self {
        let mut pane = Self::new(host);
        pane.table.select(pid);
        pane
    }

    fn order(&mut self, context: &Context<'_>) {
        let Some(processes) = context.store.processes.get(&self.host) else { return };
        let made = Ordered {
            choices: self.table.version,
            rows: processes.rows.len(),
            at_ms: context.store.now_ms,
        };
        let settled = self.ordered.is_some_and(|last| {
            // A table that still comes in pieces is not kept waiting.
            let much_new = made.rows > last.rows + last.rows / 4 + 4;
            let age = made.at_ms.saturating_sub(last.at_ms);
            age < SETTLE_MS && last.choices == made.choices && !much_new
        });
        if settled {
            return;
        }
        self.ordered = Some(made);
        self.branches.clear();
        let compare = columns::COMPARE[self.table.sort];
        let descending = COLUMNS[self.table.sort].descending != self.table.reverse;
        let by = |a: &&Process, b: &&Process| -> Ordering {
            let order = compare(a, b);
            let order = if descending { order.reverse() } else { order };
            order.then_with(|| a.pid.cmp(&b.pid))
        };
        let order = if self.tree && !self.table.filter.is_on() {
            self.tree_order(processes, by)
        } else {
            let mut text = String::new();
            let filter = &self.table.filter;
            let mut kept: Vec<&Process> = processes
                .rows
                .values()
                .filter(|p| {
                    text.clear();
                    columns::haystack(p, &mut text);
                    filter.keeps(&text)
                })
                .collect();
            kept.sort_by(by);
            kept.iter().map(|p| p.pid).collect()
        };
        self.table.set_order(order, |pid| processes.rows.contains_key(&pid));
    }

    /// Parents before their children, siblings in the order of the table.
    fn tree_order(
        &mut self,
        processes: &Table,
        by: impl Fn(&&Process, &&Process) -> Ordering,
    ) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<&Process>> = HashMap::new();
        for process in processes.rows.values() {
            let known = process.ppid != process.pid && processes.rows.contains_key(&process.ppid);
            let parent = if known { process.ppid } else { 0 };
            children.entry(parent).or_default().push(process);
        }
        for siblings in children.values_mut() {
            siblings.sort_by(&by);
        }
        let mut order = Vec::with_capacity(processes.rows.len());
        // A stack of our own: a hostile host could nest deeper than the program's. Each process is
        // taken out of `children` once, so a circle of parents ends too.
        let push = |stack: &mut Vec<(u32, String, bool)>, of: Vec<&Process>, indent: &str| {
            let last = of.len().saturating_sub(1);
            for (n, process) in of.into_iter().enumerate().rev() {
                stack.push((process.pid, indent.to_owned(), n == last));
            }
        };
        let mut ids: Vec<(u32, String, bool)> = Vec::new();
        push(&mut ids, children.remove(&0).unwrap_or_default(), "");
        while let Some((pid, indent, last)) = ids.pop() {
            order.push(pid);
            let root = indent.is_empty();
            let own = match (root, last) {
                (true, _) => String::new(),
                (false, true) => format!("{}└─ ", &indent[1..]),
                (false, false) => format!("{}├─ ", &indent[1..]),
            };
            if let Some(below) = children.remove(&pid) {
                // Deeper than anyone reads, the lines stop growing.
                let below_indent = if root {
                    " ".to_owned()
                } else if indent.len() > 120 {
                    indent.clone()
                } else {
                    format!("{indent}{}", if last { "   " } else { "│  " })
                };
                push(&mut ids, below, &below_indent);
            }
            self.branches.insert(pid, own);
        }
        // What a circle of parents kept out of the tree is shown all the same.
        if order.len() < processes.rows.len() {
            let mut rest: Vec<u32> =
                processes.rows.keys().copied().filter(|p| !self.branches.contains_key(p)).collect();
            rest.sort_unstable();
            order.extend(rest);
        }
        order
    }

    fn selected<'a>(&self, context: &Context<'a>) -> Option<&'a Process> {
        let processes = context.store.processes.get(&self.host)?;
        processes.rows.get(&self.table.selected()?)
    }

    fn detail(&self, context: &Context<'_>) -> Action {
        let Some(process) = self.selected(context) else { return self.gone(context) };
        let Context { store, texts, .. } = *context;
        let now_s = store.now_ms / 1000;
        let started = format::moment(process.started_s, now_s, store.utc_offset_s);
        let age = format::span(now_s.saturating_sub(process.started_s));
        let rate = |n: Option<u64>| {
            n.map_or_else(|| "?".to_owned(), |n| format!("{}/s", format::bytes(n)))
        };
        let parent = store
            .processes
            .get(&self.host)
            .and_then(|table| table.rows.get(&process.ppid))
            .map_or_else(String::new, |p| format!("  {}", p.name));
        let rows = [
            ("processes.col.pid", process.pid.to_string()),
            ("processes.detail.parent", format!("{}{parent}", process.ppid)),
            ("processes.col.user", process.user.clone()),
            ("processes.detail.state", columns::state_words(context, &process.state)),
            ("processes.col.start", format!("{started}  ({age})")),
            ("processes.col.cpu", columns::cpu(process.cpu) + " %"),
            ("processes.col.memory", format::size(process.memory)),
            (
                "processes.detail.io",
                format!("r {}  w {}", rate(process.read), rate(process.written)),
            ),
            ("processes.col.threads", process.threads.to_string()),
            ("processes.col.nice", process.nice.to_string()),
        ];
        let mut lines: Vec<_> = rows
            .into_iter()
            .map(|(key, value)| {
                let word = texts.get(key);
                let pad = 12usize.saturating_sub(unicode_width::UnicodeWidthStr::width(word));
                let head = format!("{word}{}", " ".repeat(pad.max(1)));
                vec![(Role::Soft, head), (Role::Text, value)]
            })
            .collect();
        lines.push(Vec::new());
        let command = shown_command(process).into_owned();
        lines.push(vec![(Role::Strong, command.clone())]);
        let kill = acts::kill_line(context, self.host, &[process], "TERM");
        let pager = Pager::new(process.name.clone(), lines).copying(command).copying_command(kill);
        Action::Open(Box::new(pager))
    }

    /// The `cmdr` command that prints what is shown.
    fn list_line(&self, context: &Context<'_>) -> String {
        let host = super::hosts::quoted(&context.store.hosts.name(self.host));
        let mut line = format!("cmdr ps {host}");
        if self.tree {
            line.push_str(" --tree");
        } else if let Some(sort) = columns::PS_SORT[self.table.sort] {
            line.push_str(" --sort ");
            line.push_str(sort);
        }
        // `cmdr` knows no opposite of a filter.
        let filter = self.table.filter.text();
        if self.table.filter.is_on() && !filter.starts_with('!') {
            line.push_str(" --filter ");
            line.push_str(&super::hosts::quoted(filter));
        }
        line
    }

    fn act(
        &self,
        context: &Context<'_>,
        make: impl Fn(&Context<'_>, HostId, &[&Process]) -> Action,
    ) -> Action {
        let Some(table) = context.store.processes.get(&self.host) else { return Action::None };
        let targets = self.table.targets();
        let targets: Vec<&Process> = targets.iter().filter_map(|pid| table.rows.get(pid)).collect();
        if targets.is_empty() { self.gone(context) } else { make(context, self.host, &targets) }
    }

    /// Says that what was meant is not there any more, when something was.
    fn gone(&self, context: &Context<'_>) -> Action {
        let said = |pid: u32| context.texts.fill("processes.gone", &[&pid.to_string()]);
        self.table.selected().map_or(Action::None, |pid| Action::Say(said(pid)))
    }
}

/// The processes of all hosts that were looked at, for the finder.
pub fn everywhere(context: &Context<'_>) -> Vec<Entry> {
    let tab = TABS.iter().position(|tab| tab.title == "processes.title").unwrap_or(0);
    let tables = context.store.processes.iter();
    let entries = tables.flat_map(|(host, table)| {
        let name = context.store.hosts.name(*host);
        table.rows.values().map(move |p| Entry {
            kind: "palette.process",
            text: format!("{} {} {}", name, p.pid, shown_command(p)),
            note: p.user.clone(),
            choice: Choice::At(Place::Host(*host, tab), p.pid.into()),
        })
    });
    entries.collect()
}

impl Pane for Processes {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        let watch = Watch { interval_ms: 1000 };
        vec![super::hosts::feed(), Subscription::new(Some(self.host), watch)]
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.order(context);
        if self.table.on(command, COLUMNS) {
            return Action::None;
        }
        match command {
            Command::Open => self.detail(context),
            TREE => {
                self.tree = !self.tree;
                self.table.version += 1;
                Action::None
            }
            SIGNAL => self.act(context, |context, host, processes| {
                let processes: Vec<_> = processes.iter().map(|p| (host, *p)).collect();
                acts::signal(context, &processes)
            }),
            RENICE => self.act(context, acts::renice),
            Command::CopyValue => self
                .selected(context)
                .map_or(Action::None, |p| Action::Copy(shown_command(p).into_owned())),
            Command::CopyCommand => self.act(context, |context, host, processes| {
                Action::Copy(acts::kill_line(context, host, processes, "TERM"))
            }),
            COPY_LIST => Action::Copy(self.list_line(context)),
            Command::NextMatch | Command::PreviousMatch => {
                let Some(table) = context.store.processes.get(&self.host) else {
                    return Action::None;
                };
                let text = |pid, text: &mut String| {
                    if let Some(process) = table.rows.get(&pid) {
                        columns::haystack(process, text);
                    }
                };
                let found = self.table.seek(command == Command::NextMatch, text);
                super::sought(context, found, self.table.sought())
            }
            _ => Action::Pass,
        }
    }

    fn keepsake(&self) -> Option<String> {
        self.tree.then(|| "tree".to_owned())
    }

    fn recall(&mut self, keepsake: &str) {
        self.tree = keepsake == "tree";
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("processes", &self.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.order(context);
        let Context { store, theme, texts, .. } = *context;
        let Some(processes) = store.processes.get(&self.host) else {
            let loading = texts.get("processes.loading");
            let lines = nothing_yet::<Watch>(context, self.host, loading, theme, store);
            super::notice(frame, area, &lines);
            return;
        };
        let (head, body) = (
            Rect { height: 1, ..area },
            Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area },
        );
        let line = columns::summary(context, self.host, processes, self.tree);
        table::put(frame.buffer_mut(), head.x + 1, head.y, head.width - 2, &line, false);
        let total = columns::memory_total(context, self.host);
        let branches = &self.branches;
        let ended = texts.get("processes.ended");
        self.table.draw(frame, body, COLUMNS, theme, texts, |pid, column, width| {
            let Some(process) = processes.rows.get(&pid) else {
                // Its row goes with the next order.
                let text = format!("{pid:>7} {ended}");
                return table::Cell::Rest(Line::styled(text, theme.style(Role::Faint)));
            };
            let branch = branches.get(&pid).map_or("", String::as_str);
            columns::cell(context, process, column.title, width, total, branch)
        });
        if self.table.order().is_empty() {
            let text = texts.get("table.nothing_left");
            super::notice(frame, body, &[Line::styled(text, theme.style(Role::Soft))]);
        }
        let age = store.now_ms.saturating_sub(processes.came_ms);
        if !store.is_up() || age > 10_000 {
            let buffer = frame.buffer_mut();
            boxes::fade(buffer, body, theme);
            stale(context, buffer, head, age);
        }
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        let Some(table) = context.store.processes.get(&self.host) else { return Vec::new() };
        let processes = self.table.order().iter().filter_map(|pid| table.rows.get(pid));
        processes
            .map(|p| Entry {
                kind: "palette.process",
                text: format!("{} {}", p.pid, shown_command(p)),
                note: p.user.clone(),
                choice: Choice::Pick(p.pid.into()),
            })
            .collect()
    }

    fn pick(&mut self, number: u64) {
        if let Ok(pid) = u32::try_from(number) {
            self.table.select(pid);
        }
    }
}
