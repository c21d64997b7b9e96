//! One list over all hosts: who listens, and the busiest processes. Each host that is online is asked,
//! so many at once, and again after a while; what has come is shown at once, with how many have
//! answered. What is filtered for is looked for by the hosts, so that an idle process is found too.

use super::gather::{self, Round};
use super::ports::{COLUMNS as PORTS, go_to_process, signal};
use super::sheet::{self, View, column, figure, number, rest};
use super::{Context, Entry, Pane, Place, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::link::Link;
use crate::overlays::pager::Pager;
use crate::store::ports::record;
use crate::store::sheets::{Record, Sheet, Target, Value, id_of};
use crate::store::{FeedKey, FeedState, Store, Update, audit};
use crate::theme::Role;
use crate::widgets::filter::Filter;
use crate::widgets::table::{self, Column};
use cmdr_protocol::display::clean;
use cmdr_protocol::processes::{Process, Signal};
use cmdr_protocol::sift::Sift;
use cmdr_protocol::{Call as _, CallError, HostId, ports, processes};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::collections::HashMap;
use std::sync::Arc;
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

/// All are asked again after this long.
const AGAIN_MS: u64 = 20_000;
/// All are asked again after this long when hosts have come.
const NEW_MS: u64 = 2000;
const PATIENCE: Duration = Duration::from_secs(15);
/// Listening sockets of one host that are shown at most.
const SOCKETS: u32 = 400;
/// Processes of one host, the busiest.
const BUSIEST: u32 = 20;
/// Processes of one host that fit what is filtered for.
const FOUND: u32 = 200;

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
    /// The round in which hosts are asked; another one ends it.
    turn: u64,
    /// What they are asked for.
    asked: Sift,
    /// How long to wait before that.
    after: Duration,
}

impl Fleet {
    /// Who listens.
    pub fn ports() -> Self {
        Self::new("fleet_ports", OF_PORTS, 1, true)
    }

    /// The busiest processes.
    pub fn processes() -> Self {
        Self::new("fleet_processes", OF_PROCESSES, 3, false)
    }

    /// Each has a list of its own, because each asks for what it is filtered for.
    fn new(name: &'static str, columns: &'static [Column], sort: usize, is_ports: bool) -> Self {
        let mut own = [0; 16];
        own[8..].copy_from_slice(&audit::owner().to_be_bytes());
        let view = View::new((Some(HostId(own)), name), columns, sort);
        Self { view, is_ports, turn: 0, asked: Sift::default(), after: Duration::ZERO }
    }

    fn feed(&self) -> FeedKey {
        let method = if self.is_ports { ports::List::METHOD } else { processes::List::METHOD };
        FeedKey { host: None, method, request: id_of(&self.view.key) }
    }

    /// All hosts are asked anew, for what is filtered for now.
    fn again(&mut self, after: Duration) -> Action {
        self.turn += 1;
        (self.asked, self.after) = (self.view.table.filter.sift(""), after);
        let feed = self.feed();
        Action::Apply(Update::new(move |store| drop(store.feeds.remove(&feed))))
    }

    /// Who is asked, and how.
    fn round(&self) -> impl FnOnce(&Store) -> Round + 'static + use<> {
        let (key, turn, is_ports) = (self.view.key, self.turn, self.is_ports);
        let filter = self.view.table.filter.clone();
        move |store| {
            let hosts = gather::online(store);
            let names: HashMap<HostId, String> =
                hosts.iter().map(|host| (*host, store.hosts.name(*host))).collect();
            let all = hosts.clone();
            let begun = Update::new(move |store| {
                let now_ms = store.now_ms;
                store.sheet_mut(key).begin_round(now_ms, turn, &all);
            });
            let asks: gather::Asks = Arc::new(move |link, host| {
                let name = names.get(&host).cloned().unwrap_or_default();
                let filter = filter.clone();
                Box::pin(async move {
                    let answer = if is_ports {
                        listening(&link, host, &name, &filter).await
                    } else {
                        running(&link, host, &name, &filter).await
                    };
                    Update::new(move |store| {
                        let now_ms = store.now_ms;
                        let sheet = store.sheet_mut(key);
                        match answer {
                            Ok(told) => sheet.set_host(now_ms, turn, host, told),
                            Err(error) => {
                                sheet.fail_host(now_ms, turn, host, crate::action::reason(&error));
                            }
                        }
                    })
                })
            });
            Round { hosts, begun, asks }
        }
    }

    /// Whether hosts may have more of what is filtered for now than they have told.
    fn wants_more(&self, sheet: Option<&Sheet>) -> bool {
        if self.view.table.filter.sift("") == self.asked {
            return false;
        }
        let told = |sheet: &Sheet| {
            sheet.round == self.turn && sheet.is_round_over() && sheet.left_out.is_empty()
        };
        // Whoever has told everything has nothing more by another filter. Of processes they never do.
        !(self.is_ports && self.asked.is_empty() && sheet.is_some_and(told))
    }

    /// What is said about what is not here, and how it is found.
    fn more(&self, context: &Context<'_>, sheet: &Sheet) -> Option<(String, Role)> {
        let texts = context.texts;
        let key = context.keys.of(TABLES, Command::Filter);
        if !self.is_ports && self.asked.is_empty() {
            let text = texts.fill("fleet.busiest", &[&BUSIEST.to_string(), &key]);
            return Some((text, Role::Soft));
        }
        let (more, on) = (sheet.left_out.values().sum::<u64>(), sheet.left_out.len());
        let count = crate::widgets::format::count(usize::try_from(more).unwrap_or(usize::MAX));
        (on > 0)
            .then(|| (texts.fill("fleet.left_out", &[&count, &on.to_string(), &key]), Role::Warn))
    }

    /// The `cmdr` command that prints what is shown.
    fn list_line(&self) -> String {
        if self.is_ports {
            return "cmdr ports '*'".to_owned();
        }
        let filter = &self.view.table.filter;
        // `cmdr` knows no opposite of a filter.
        if filter.is_on() && filter.sift("").not.is_empty() {
            return format!("cmdr ps '*' --filter {}", super::hosts::quoted(filter.text()));
        }
        "cmdr ps '*' --limit 20".to_owned()
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

/// Rows of one host, and how many more it has.
type Told = Result<(Vec<Record>, u64), CallError>;

/// Who listens on a host.
async fn listening(link: &Link, host: HostId, name: &str, filter: &Filter) -> Told {
    let sift = filter.sift(name);
    let all = ports::List { limit: SOCKETS, ..ports::List::default() };
    let list = ports::List { sift: sift.clone(), ..all.clone() };
    let mut told = link.call(Some(host), list, PATIENCE).await?;
    if !sift.is_empty() && !told.sifted {
        // An agent that cannot look for it tells all, and it is looked for here.
        told = link.call(Some(host), ports::List { limit: 0, ..all }, PATIENCE).await?;
    }
    let rows = told.sockets.iter().map(|socket| listens(name, host, socket));
    Ok((kept(rows, filter), told.left_out))
}

/// The busiest processes of a host, or those that are looked for.
async fn running(link: &Link, host: HostId, name: &str, filter: &Filter) -> Told {
    let sift = filter.sift(name);
    let busiest = if sift.is_empty() { BUSIEST } else { FOUND };
    let list = processes::List { busiest, sift: sift.clone() };
    let mut told = link.call(Some(host), list, PATIENCE).await?;
    if !sift.is_empty() && !told.sifted {
        told = link.call(Some(host), processes::List::default(), PATIENCE).await?;
    }
    let rows = told.processes.iter().map(|process| busy(name, host, process));
    Ok((kept(rows, filter), told.left_out))
}

fn kept(rows: impl Iterator<Item = Record>, filter: &Filter) -> Vec<Record> {
    let mut text = String::new();
    rows.filter(|row| {
        text.clear();
        row.haystack(&mut text);
        filter.keeps(&text)
    })
    .collect()
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
        let mut feeds = vec![super::hosts::feed()];
        if self.turn > 0 {
            feeds.push(gather::subscription(self.feed(), self.turn, self.after, self.round()));
        }
        feeds
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
            REFRESH => self.again(Duration::ZERO),
            FAILED => self.failed(context),
            Command::CopyCommand => Action::Copy(self.list_line()),
            _ => self.view.on(context, command),
        }
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        if !context.store.hosts.known {
            return Action::None;
        }
        let sheet = self.view.sheet(context);
        if self.turn == 0 {
            return self.again(Duration::ZERO);
        }
        if self.wants_more(sheet) {
            return self.again(gather::STILL);
        }
        let now_ms = context.store.now_ms;
        let over = sheet.is_none_or(|sheet| {
            // Hosts that have come since are not kept waiting.
            let new = context.store.hosts.totals.online > sheet.of;
            let wait_ms = if new { NEW_MS } else { AGAIN_MS };
            let waited = now_ms.saturating_sub(sheet.round_ms) >= wait_ms;
            sheet.round == self.turn && sheet.is_round_over() && waited
        });
        let known =
            sheet.is_some() || context.store.feeds.get(&self.feed()) == Some(&FeedState::Over);
        if over && known { self.again(Duration::ZERO) } else { Action::None }
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
        let of = sheet.of;
        let told = texts.fill("fleet.answered", &[&answered.to_string(), &of.to_string()]);
        let role = if answered < of { Role::Warn } else { Role::Ok };
        let word = texts.get(if self.is_ports { "ports.listening" } else { "processes.processes" });
        let count = crate::widgets::format::count(sheet.rows.len());
        let mut pieces = vec![(format!("{count} {word}"), Role::Strong), (told, role)];
        if failed > 0 {
            let text = texts.fill("fleet.failed", &[&failed.to_string()]);
            pieces.push((text, Role::Bad));
        }
        pieces.extend(self.more(context, sheet));
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
