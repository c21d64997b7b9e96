//! The ports of a host: what listens, what is connected, who holds it; its process is signalled or
//! gone to.

use super::overview::nothing_yet;
use super::processes::{Processes, acts};
use super::sheet::{self, View, column, figure, number, rest};
use super::{Context, Entry, Pane, Place, Subscription, TABS};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::store::Update;
use crate::store::ports::{connections, listening, notes, record};
use crate::store::sheets::{Record, Target};
use crate::theme::Role;
use crate::widgets::format;
use crate::widgets::table::{self, Column};
use cmdr_protocol::ports::{List, Watch};
use cmdr_protocol::processes::{self, Process, Signal};
use cmdr_protocol::{Call as _, Feed as _, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;
use std::time::Duration;

const CONNECTED: Command = Command::Own(0);
const SIGNAL: Command = Command::Own(1);
const PROCESS: Command = Command::Own(2);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "ports.key.open").row().hint(),
    key(&["c"], CONNECTED, "ports.key.connected").needs(List::METHOD).hint(),
    key(&["p"], PROCESS, "ports.key.process").needs(processes::Watch::METHOD).row().hint(),
    key(&["x", "<delete>"], SIGNAL, "ports.key.signal").danger(Signal::METHOD).row().hint(),
];

/// From left to right; the fleet's table has the host before them.
pub(super) const COLUMNS: &[Column] = &[
    number("ports.col.port", 6, 0),
    column("ports.col.protocol", 5, 1),
    column("ports.col.state", 11, 4),
    Column { most: 40, ..rest("ports.col.local", 18, 0) },
    Column { most: 40, ..rest("ports.col.remote", 16, 6) },
    figure("ports.col.received", 6, 7),
    figure("ports.col.sending", 6, 8),
    column("ports.col.user", 10, 5),
    number("ports.col.pid", 7, 2),
    rest("ports.col.program", 14, 0),
];

/// The column of the far side: of what listens there is none.
const REMOTE: usize = 4;
/// Connections that are shown at most.
const MOST: u32 = 3000;
/// The same over a thin line.
const MOST_THIN: u32 = 100;
/// How often connections are asked for again.
const AGAIN_MS: u64 = 5000;
const PATIENCE: Duration = Duration::from_secs(20);

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// The pane.
pub struct Ports {
    host: HostId,
    view: View,
    connected: bool,
}

impl Ports {
    /// Of this host.
    pub fn new(host: HostId) -> Self {
        let mut view = View::new(listening(host), COLUMNS, 0);
        view.table.left_out = Some(REMOTE);
        Self { host, view, connected: false }
    }

    fn list_line(&self, context: &Context<'_>) -> String {
        let host = super::hosts::quoted(&context.store.hosts.name(self.host));
        let more = if self.connected { " --connected" } else { " --unix" };
        format!("cmdr ports {host}{more}")
    }
}

/// The processes that rows name, each once.
pub(super) fn owners(rows: &[&Record]) -> Vec<(HostId, Process)> {
    let mut owners: Vec<(HostId, Process)> = Vec::new();
    for row in rows {
        let Target::Process { pid, start, name, user, command } = &row.target else { continue };
        if owners.iter().any(|(host, p)| (*host, p.pid) == (row.host, *pid)) {
            continue;
        }
        let (name, user, command) = (name.clone(), user.clone(), command.clone());
        let process =
            Process { pid: *pid, start: *start, name, user, command, ..Process::default() };
        owners.push((row.host, process));
    }
    owners
}

/// Sends a signal to the processes that rows name.
pub(super) fn signal(context: &Context<'_>, rows: &[&Record]) -> Action {
    let owners = owners(rows);
    if owners.is_empty() {
        return Action::Say(context.texts.get("ports.no_owner").to_owned());
    }
    acts::signal(context, &owners.iter().map(|(host, p)| (*host, p)).collect::<Vec<_>>())
}

/// Goes to the process that a row names.
pub(super) fn go_to_process(context: &Context<'_>, row: Option<&Record>) -> Action {
    let Some(row) = row else { return Action::None };
    let Target::Process { pid, .. } = row.target else {
        return Action::Say(context.texts.get("ports.no_owner").to_owned());
    };
    let tab = TABS.iter().position(|tab| tab.title == "processes.title").unwrap_or(0);
    Action::Enter(Place::Host(row.host, tab), Box::new(Processes::at(row.host, pid)))
}

/// Listening ports of all hosts whose ports were looked at, for the finder.
pub fn everywhere(context: &Context<'_>) -> Vec<Entry> {
    sheet::everywhere(context, &["ports", "fleet_ports"], "palette.port", "ports.title")
}

impl Pane for Ports {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        let watch = Watch { interval_ms: 2000 };
        vec![super::hosts::feed(), Subscription::new(Some(self.host), watch)]
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.view.order(context);
        match command {
            Command::Open => {
                let pager = self.view.detail(context);
                pager.map_or(Action::None, |pager| Action::Open(Box::new(pager)))
            }
            CONNECTED => {
                self.connected = !self.connected;
                let (host, on) = (self.host, self.connected);
                self.view.key = if on { connections(host) } else { listening(host) };
                self.view.table.left_out = (!on).then_some(REMOTE);
                self.view.table.unmark();
                Action::None
            }
            SIGNAL => signal(context, &self.view.targets(context)),
            PROCESS => go_to_process(context, self.view.selected(context)),
            Command::CopyCommand => Action::Copy(self.list_line(context)),
            _ => self.view.on(context, command),
        }
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        if !self.connected {
            return Action::None;
        }
        let (host, key, now_ms) = (self.host, connections(self.host), context.store.now_ms);
        let due = context.store.sheet(key).is_none_or(|sheet| {
            let again_ms = context.store.interval_ms(AGAIN_MS);
            sheet.asked_ms == 0 && now_ms.saturating_sub(sheet.came_ms) >= again_ms
        });
        if !due {
            return Action::None;
        }
        let more = context.texts.get("ports.left_out");
        let asked = Update::new(move |store| store.sheet_mut(key).asked_ms = now_ms.max(1));
        let limit = if context.store.thin { MOST_THIN } else { MOST };
        let list = List { connected: true, limit, ..List::default() };
        let fetch = Action::fetch(Some(host), list, PATIENCE, move |answer| {
            let update = Update::new(move |store| {
                let now_ms = store.now_ms;
                let sheet = store.sheet_mut(key);
                match answer {
                    Ok(listing) => {
                        sheet.notes = notes(&listing.summary);
                        sheet.total = listing.summary.hidden as usize;
                        if listing.left_out > 0 {
                            let text = more.replacen("{}", &listing.left_out.to_string(), 1);
                            sheet.notes.push((text, Role::Warn));
                        }
                        sheet.set(now_ms, listing.sockets.iter().map(|s| record(host, s)));
                    }
                    Err(error) => sheet.fail(error, now_ms),
                }
            });
            (Some(update), Action::None)
        });
        Action::All(vec![Action::Apply(asked), fetch])
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("ports", &self.view.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.view.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { store, theme, texts, .. } = *context;
        let (head, body) = sheet::split(area);
        let Some(sheet) = self.view.sheet(context).filter(|sheet| sheet.known) else {
            let lines = if self.connected {
                sheet::missing(context, self.view.sheet(context))
            } else {
                let loading = texts.get("sheet.loading");
                nothing_yet::<Watch>(context, self.host, loading, theme, store)
            };
            return super::notice(frame, area, &sheet::wrapped(lines, area.width));
        };
        let word = if self.connected { "ports.sockets" } else { "ports.listening" };
        let count = format::count(sheet.rows.len());
        let mut pieces = vec![(format!("{count} {}", texts.get(word)), Role::Strong)];
        pieces.extend(sheet.notes.iter().cloned());
        if sheet.total > 0 {
            pieces.push((texts.fill("ports.hidden", &[&sheet.total.to_string()]), Role::Warn));
        }
        let line = sheet::dotted(context, pieces);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        self.view.draw(context, frame, body, ["ports.none"; 2]);
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.view.entries(context, "palette.port")
    }

    fn pick(&mut self, number: u64) {
        self.view.table.select(number);
    }
}
