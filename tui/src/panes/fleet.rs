//! One list over all hosts: who listens, and the busiest processes. Each host that is online is asked,
//! so many at once, and again after a while; what has come is shown at once, with how many have
//! answered.

use super::ports::{COLUMNS as PORTS, go_to_process, signal};
use super::sheet::{self, View, column, figure, number, rest};
use super::{Context, Entry, Pane, Place, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::overlays::pager::Pager;
use crate::store::Update;
use crate::store::ports::record;
use crate::store::sheets::{Record, SheetKey, Target, Value, id_of};
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use cmdr_protocol::display::clean;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::processes::{Process, Signal};
use cmdr_protocol::{Call, CallError, HostId, ports, processes};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::time::Duration;

const SIGNAL: Command = Command::Own(0);
const PROCESS: Command = Command::Own(1);
const HOST: Command = Command::Own(2);
const REFRESH: Command = Command::Own(3);
const FAILED: Command = Command::Own(4);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "fleet.key.open").row().hint(),
    key(&["x", "<delete>"], SIGNAL, "fleet.key.signal").danger(Signal::METHOD).row().hint(),
    key(&["p"], PROCESS, "fleet.key.process")
        .needs(<processes::Watch as cmdr_protocol::Feed>::METHOD)
        .hint(),
    key(&["H"], HOST, "fleet.key.host").row().hint(),
    key(&["R"], REFRESH, "fleet.key.refresh"),
    key(&["f"], FAILED, "fleet.key.failed"),
];

/// Hosts asked at once.
const AT_ONCE: usize = 16;
/// All are asked again after this long.
const AGAIN_MS: u64 = 20_000;
const PATIENCE: Duration = Duration::from_secs(15);
/// Listening sockets of one host that are shown at most.
const SOCKETS: u32 = 400;
/// Processes of one host, the busiest.
const BUSIEST: u32 = 20;

const HOST_COLUMN: Column = Column { most: 24, ..rest("fleet.col.host", 12, 0) };

const OF_PORTS: &[Column] =
    &[HOST_COLUMN, PORTS[0], PORTS[1], PORTS[3], PORTS[5], PORTS[7], PORTS[8], PORTS[9]];

const OF_PROCESSES: &[Column] = &[
    HOST_COLUMN,
    number("processes.col.pid", 7, 0),
    column("processes.col.user", 10, 2),
    figure("processes.col.cpu", 6, 0),
    figure("processes.col.memory", 6, 1),
    rest("processes.col.command", 24, 0),
];

/// The columns of who listens.
pub fn ports() -> Vec<Column> {
    OF_PORTS.to_vec()
}

/// The columns of the busiest processes.
pub fn processes() -> Vec<Column> {
    OF_PROCESSES.to_vec()
}

/// The pane.
pub struct Fleet {
    view: View,
    is_ports: bool,
}

impl Fleet {
    /// Who listens.
    pub fn ports() -> Self {
        Self { view: View::new((None, "fleet_ports"), OF_PORTS, 1), is_ports: true }
    }

    /// The busiest processes.
    pub fn processes() -> Self {
        Self { view: View::new((None, "fleet_processes"), OF_PROCESSES, 3), is_ports: false }
    }

    fn ask(&self, context: &Context<'_>, host: HostId) -> Action {
        let (key, name) = (self.view.key, context.store.hosts.name(host));
        if self.is_ports {
            let list = ports::List { limit: SOCKETS, ..ports::List::default() };
            fetch(host, key, list, move |listing| {
                listing.sockets.iter().map(|socket| listens(&name, host, socket)).collect()
            })
        } else {
            let list = processes::List { busiest: BUSIEST };
            fetch(host, key, list, move |listing| {
                listing.processes.iter().map(|process| busy(&name, host, process)).collect()
            })
        }
    }

    /// All hosts are asked anew.
    fn again(&self, context: &Context<'_>) -> Action {
        let (key, now_ms) = (self.view.key, context.store.now_ms);
        Action::Apply(Update::new(move |store| {
            let sheet = store.sheet_mut(key);
            sheet.answered.clear();
            sheet.failed.clear();
            sheet.round_ms = now_ms.max(1);
        }))
    }

    /// Which hosts could not answer, and why.
    fn failed(&self, context: &Context<'_>) -> Action {
        let Some(sheet) = self.view.sheet(context) else { return Action::None };
        let mut lines: Vec<_> = sheet
            .failed
            .iter()
            .map(|(host, why)| (context.store.hosts.name(*host), why.clone()))
            .collect();
        lines.sort();
        let lines = lines
            .into_iter()
            .map(|(name, why)| vec![(Role::Strong, format!("{name}  ")), (Role::Text, why)]);
        if lines.len() == 0 {
            return Action::Say(context.texts.get("fleet.none_failed").to_owned());
        }
        let title = context.texts.get("fleet.key.failed").to_owned();
        Action::Open(Box::new(Pager::new(title, lines.collect())))
    }
}

/// Asks one host, and puts what it says among the rest.
fn fetch<C: Call>(
    host: HostId,
    key: SheetKey,
    call: C,
    rows: impl FnOnce(C::Reply) -> Vec<Record> + Send + 'static,
) -> Action {
    Action::fetch(Some(host), call, PATIENCE, move |answer: Result<C::Reply, CallError>| {
        let answer = answer.map(rows);
        let update = Update::new(move |store| {
            let now_ms = store.now_ms;
            let sheet = store.sheet_mut(key);
            match answer {
                Ok(rows) => sheet.set_host(now_ms, host, rows.into_iter()),
                Err(error) => sheet.fail_host(now_ms, host, crate::action::reason(&error)),
            }
        });
        (Some(update), Action::None)
    })
}

fn listens(name: &str, host: HostId, socket: &ports::Socket) -> Record {
    let mut record = record(host, socket);
    let mut values = vec![Value::text(name, Role::Accent)];
    for (at, value) in std::mem::take(&mut record.values).into_iter().enumerate() {
        if [0, 1, 3, 5, 7, 8, 9].contains(&at) {
            values.push(value);
        }
    }
    Record { values, ..record }
}

fn busy(name: &str, host: HostId, process: &Process) -> Record {
    let [short, user, command] =
        [&process.name, &process.user, &process.command].map(|text| clean(text).into_owned());
    let shown = if command.is_empty() { format!("[{short}]") } else { command.clone() };
    let role = match process.cpu {
        0 => Role::Faint,
        1..800 => Role::Text,
        _ => Role::Warn,
    };
    let cpu = format!("{}.{}", process.cpu / 10, process.cpu % 10);
    Record {
        id: id_of(&(host, process.pid, process.start)),
        host,
        values: vec![
            Value::text(name, Role::Accent),
            Value::Figure(u64::from(process.pid), process.pid.to_string(), Role::Soft),
            Value::Text(user.clone(), Role::Text),
            Value::Figure(u64::from(process.cpu), cpu, role),
            Value::bytes(Some(process.memory)),
            Value::Text(shown, Role::Strong),
        ],
        more: Vec::new(),
        target: Target::Process {
            pid: process.pid,
            start: process.start,
            name: short,
            user,
            command,
        },
    }
}

impl Pane for Fleet {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![super::hosts::feed()]
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.view.order(context);
        match command {
            Command::Open => {
                let pager = self.view.detail(context);
                pager.map_or(Action::None, |pager| Action::Open(Box::new(pager)))
            }
            SIGNAL => signal(context, &self.view.targets(context)),
            PROCESS => go_to_process(context, self.view.selected(context)),
            HOST => match self.view.selected(context) {
                Some(row) => Action::Go(Place::Host(row.host, 0)),
                None => Action::None,
            },
            REFRESH => self.again(context),
            FAILED => self.failed(context),
            Command::CopyCommand => {
                let line = if self.is_ports { "cmdr ports '*'" } else { "cmdr ps '*' --limit 20" };
                Action::Copy(line.to_owned())
            }
            _ => self.view.on(context, command),
        }
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let (hosts, now_ms) = (&context.store.hosts, context.store.now_ms);
        let key = self.view.key;
        let Some(sheet) = self.view.sheet(context).filter(|sheet| sheet.round_ms > 0) else {
            return if hosts.known { self.again(context) } else { Action::None };
        };
        let free = AT_ONCE.saturating_sub(sheet.waiting.len());
        if free == 0 {
            return Action::None;
        }
        if sheet.answered.len() + sheet.failed.len() >= hosts.totals.online {
            let over = sheet.waiting.is_empty() && now_ms - sheet.round_ms >= AGAIN_MS;
            return if over { self.again(context) } else { Action::None };
        }
        let next: Vec<HostId> = hosts
            .rows
            .iter()
            .filter(|(id, row)| {
                row.host.state == HostState::Online
                    && !sheet.answered.contains(id)
                    && !sheet.failed.contains_key(id)
                    && !sheet.waiting.contains(id)
            })
            .map(|(id, _)| *id)
            .take(free)
            .collect();
        if next.is_empty() {
            // A host that has gone since keeps the count short; the next round sets it right.
            let over = sheet.waiting.is_empty() && now_ms - sheet.round_ms >= AGAIN_MS;
            return if over { self.again(context) } else { Action::None };
        }
        let asked = next.clone();
        let mut actions = vec![Action::Apply(Update::new(move |store| {
            store.sheet_mut(key).waiting.extend(asked);
        }))];
        actions.extend(next.into_iter().map(|host| self.ask(context, host)));
        Action::All(actions)
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some((self.view.key.1, &self.view.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.view.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { store, theme, texts, .. } = *context;
        let (head, body) = sheet::split(area);
        let Some(sheet) = self.view.sheet(context).filter(|sheet| sheet.known) else {
            let lines = if store.is_up() && store.hosts.known && store.hosts.totals.online == 0 {
                vec![Line::styled(texts.get("fleet.no_hosts"), theme.style(Role::Soft))]
            } else {
                sheet::missing(context, None)
            };
            return super::notice(frame, area, &lines);
        };
        let (answered, failed) = (sheet.answered.len(), sheet.failed.len());
        let of = store.hosts.totals.online.max(answered + failed);
        let told = texts.fill("fleet.answered", &[&answered.to_string(), &of.to_string()]);
        let role = if answered < of { Role::Warn } else { Role::Ok };
        let mut pieces = vec![(sheet.rows.len().to_string(), Role::Strong), (told, role)];
        if failed > 0 {
            let text = texts.fill("fleet.failed", &[&failed.to_string()]);
            pieces.push((text, Role::Bad));
        }
        let line = sheet::dotted(context, pieces);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        self.view.draw(context, frame, body, ["fleet.none"; 2]);
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.view.entries(context, if self.is_ports { "palette.port" } else { "palette.process" })
    }

    fn pick(&mut self, number: u64) {
        self.view.table.select(number);
    }
}
