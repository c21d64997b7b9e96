//! The containers: what runs where, as the engines tell it, what they use, and what can be done to them.

mod acts;
mod archives;
mod columns;
mod copied;
mod detail;
mod inside;
mod run;
mod update;

use super::follow::Followed;
use super::{CHAPTER, Scope, act};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::panes::hosts::quoted;
use crate::panes::sheet::{self, View};
use crate::panes::{Choice, Context, Entry, Pane, Place, Subscription, docker};
use crate::store::FeedKey;
use crate::store::containers::{self as store, runs};
use crate::store::rights::Offer;
use crate::store::sheets::{Record, Target, id_of};
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use cmdr_protocol::containers::change::{self, Commit, CopyIn, CopyOut, Export, Recreate};
use cmdr_protocol::containers::stats::Stats;
use cmdr_protocol::containers::{
    Create, Diff, Inspect, Kill, Like, Pause, Remove, Rename, Restart, Start, Stop, Top, Watch,
};
use cmdr_protocol::{Call as _, Feed as _, HostId, inside as sessions, logs};
use columns::COLUMNS;
use ratatui::Frame;
use ratatui::layout::Rect;
use std::collections::{BTreeSet, HashSet};

const START: Command = Command::Own(0);
const STOP: Command = Command::Own(1);
const FAILED: Command = Command::Own(2);
const RESTART: Command = Command::Own(3);
const PAUSE: Command = Command::Own(4);
const KILL: Command = Command::Own(5);
const REMOVE: Command = Command::Own(6);
const RENAME: Command = Command::Own(7);
const UPDATE: Command = Command::Own(8);
const TOP: Command = Command::Own(9);
const DIFF: Command = Command::Own(10);
const LOGS: Command = Command::Own(11);
const EXEC: Command = Command::Own(12);
const EXEC_AS: Command = Command::Own(13);
const ATTACH: Command = Command::Own(14);
const ONLY_RUNNING: Command = Command::Own(15);
const RUN: Command = Command::Own(16);
const LIKE: Command = Command::Own(17);
const RECREATE: Command = Command::Own(18);
const COPY_OUT: Command = Command::Own(19);
const COPY_IN: Command = Command::Own(20);
const COMMIT: Command = Command::Own(21);
const EXPORT: Command = Command::Own(22);
const COPY_LIST: Command = Command::Own(23);

static TABLES: &[&[Binding]] = &[BINDINGS, CHAPTER, LIST];

// Letters that other such programs use for something harmless do no harm here: `d` describes, `e` goes into it.
const BINDINGS: &[Binding] = &[
    key(&["<enter>", "d"], Command::Open, "containers.key.open")
        .needs(Inspect::METHOD)
        .row()
        .hint(),
    key(&["l", "m"], LOGS, "containers.key.logs").needs(logs::Follow::METHOD).row().hint(),
    key(&["e"], EXEC, "containers.key.exec").needs(sessions::Open::METHOD).row().hint(),
    key(&["s"], START, "containers.key.start").danger(Start::METHOD).row().hint(),
    key(&["x", "<delete>"], STOP, "containers.key.stop").danger(Stop::METHOD).row().hint(),
    key(&["R"], RESTART, "containers.key.restart").danger(Restart::METHOD).row().hint(),
    key(&["+"], RUN, "containers.key.run").danger(Create::METHOD).hint(),
    key(&["o"], ONLY_RUNNING, "containers.key.only_running").hint(),
    key(&["t"], TOP, "containers.key.top").needs(Top::METHOD).row(),
    key(&["w"], DIFF, "containers.key.diff").needs(Diff::METHOD).row(),
    key(&["$"], EXEC_AS, "containers.key.exec_as").needs(sessions::Open::METHOD).row(),
    key(&["a"], ATTACH, "containers.key.attach").needs(sessions::Open::METHOD).row(),
    key(&["p"], PAUSE, "containers.key.pause").danger(Pause::METHOD).row(),
    key(&["C-k"], KILL, "containers.key.kill").danger(Kill::METHOD).row(),
    key(&["D"], REMOVE, "containers.key.remove").danger(Remove::METHOD).row(),
    key(&["<f2>"], RENAME, "containers.key.rename").danger(Rename::METHOD).row(),
    key(&["u"], UPDATE, "containers.key.update").danger(change::Update::METHOD).row(),
    key(&["="], LIKE, "containers.key.like").danger(Like::METHOD).row(),
    key(&["C-e"], RECREATE, "containers.key.recreate").danger(Recreate::METHOD).row(),
    key(&["c"], COPY_OUT, "containers.key.copy_out").needs(CopyOut::METHOD).row(),
    key(&["i"], COPY_IN, "containers.key.copy_in").danger(CopyIn::METHOD).row(),
    key(&["C-s"], COMMIT, "containers.key.commit").danger(Commit::METHOD).row(),
    key(&["C-t"], EXPORT, "containers.key.export").needs(Export::METHOD).row(),
    key(&["f"], FAILED, "fleet.key.failed"),
    key(&["C-y"], COPY_LIST, "containers.key.copy_list"),
];

/// How often figures come, in milliseconds.
const INTERVAL_MS: u64 = 2000;

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// Containers of all hosts where they were looked at, for the finder.
pub fn everywhere(context: &Context<'_>) -> Vec<Entry> {
    let place = |host| Place::Host(host, docker::tab());
    let sheets = context.store.sheets.iter().filter(|((_, name), _)| *name == store::SHEET);
    let mut seen = HashSet::new();
    let rows = sheets.flat_map(|(_, sheet)| sheet.rows.values());
    let rows = rows.filter(|row| seen.insert(row.id)).take(20_000);
    let entry = |row: &Record| Entry {
        kind: "palette.container",
        text: format!("{} {}", context.store.hosts.name(row.host), store::words(row)),
        note: String::new(),
        choice: Choice::At(place(row.host), row.id),
    };
    rows.map(entry).collect()
}

/// A container that is acted on, and what is known of it.
pub(super) struct One {
    pub(super) host: HostId,
    pub(super) id: String,
    /// As it came.
    pub(super) name: String,
    pub(super) runs: bool,
    pub(super) paused: bool,
}

impl One {
    fn of(row: &Record) -> Option<Self> {
        let Target::Container { id, name } = &row.target else { return None };
        let (runs, paused) = (runs(row), store::is_paused(row));
        Some(Self { host: row.host, id: id.clone(), name: name.clone(), runs, paused })
    }

    fn target(&self) -> act::Target {
        act::Target { host: self.host, id: self.id.clone(), name: self.name.clone() }
    }

    /// The end of a line of `cmdr`: host and name.
    fn words(&self, context: &Context<'_>) -> String {
        let on = context.store.hosts.name(self.host);
        format!("{} {}", quoted(&on), quoted(&self.name))
    }
}

/// The chapter.
pub struct Containers {
    scope: Scope,
    followed: Followed<Watch>,
    view: View,
    /// Hosts whose figures are followed, and how often those come.
    live: Vec<HostId>,
    interval_ms: u64,
    /// Hosts of the rows that an act would be about.
    hand: Vec<HostId>,
}

impl Containers {
    /// Of these hosts.
    pub fn new(scope: &Scope) -> Self {
        let followed = Followed::new(scope, store::SHEET);
        let mut view = View::new(followed.key(), COLUMNS, store::NAME);
        view.table.left_out = scope.is_one().then_some(store::HOST);
        let (live, hand) = (Vec::new(), Vec::new());
        Self { scope: scope.clone(), followed, view, live, interval_ms: INTERVAL_MS, hand }
    }

    /// Hosts whose figures are wanted: of the rows that are seen; of all when they decide about the order.
    fn wanted(&self, context: &Context<'_>) -> Vec<HostId> {
        let Some(sheet) = self.view.sheet(context) else { return Vec::new() };
        let all = (store::CPU..=store::BLOCK).contains(&self.view.table.sort);
        let table = &self.view.table;
        let seen = if all { table.order() } else { table.seen() };
        let rows = seen.iter().filter_map(|id| sheet.rows.get(id)).filter(|row| runs(row));
        let hosts: BTreeSet<HostId> = rows.map(|row| row.host).collect();
        let may = |host: &HostId| context.store.offer(Stats::METHOD, false, &[*host]) == Offer::Yes;
        hosts.into_iter().filter(may).collect()
    }

    /// The hosts that something new would be made on.
    fn places(&self, rows: &[One]) -> Vec<HostId> {
        if let Scope::Host(host) = self.scope {
            return vec![host];
        }
        let hosts: BTreeSet<HostId> = rows.iter().map(|one| one.host).collect();
        hosts.into_iter().collect()
    }

    fn list_line(&self, context: &Context<'_>) -> String {
        let hosts = match &self.scope {
            Scope::Host(host) => quoted(&context.store.hosts.name(*host)),
            Scope::Hosts(hosts, _) => {
                let names: Vec<_> = hosts.iter().map(|h| context.store.hosts.name(*h)).collect();
                quoted(&names.join(","))
            }
            Scope::Fleet => "'*'".to_owned(),
        };
        let all = if self.view.only.is_some() { "" } else { " -a" };
        format!("cmdr docker ps {hosts}{all}")
    }

    /// What a command does that is about one row or those that are marked.
    fn act(&self, context: &Context<'_>, command: Command, rows: &[One]) -> Action {
        let one = rows.first();
        let alone = |act: fn(&Context<'_>, &One) -> Action| match rows {
            [] => Action::None,
            [one] => act(context, one),
            _ => Action::Say(context.texts.get("containers.only_one").to_owned()),
        };
        match command {
            START => acts::start(context, rows),
            STOP => acts::stop(context, rows),
            RESTART => acts::restart(context, rows),
            PAUSE => acts::pause(context, rows),
            KILL => acts::kill(context, rows),
            REMOVE => acts::remove(context, rows),
            RENAME => alone(acts::rename),
            UPDATE => update::ask(context, rows),
            TOP => alone(detail::top),
            DIFF => alone(detail::diff),
            LOGS => inside::logs(rows),
            EXEC => alone(inside::exec),
            EXEC_AS => alone(inside::exec_as),
            ATTACH => alone(inside::attach),
            LIKE => alone(run::like),
            RECREATE => alone(run::recreate),
            COPY_OUT => alone(archives::copy_out),
            COPY_IN => alone(archives::copy_in),
            COMMIT => alone(archives::commit),
            EXPORT => alone(archives::export),
            RUN => run::run(context, self.places(rows)),
            Command::CopyCommand => one.map_or(Action::None, |one| {
                Action::Copy(format!("cmdr docker inspect {}", one.words(context)))
            }),
            _ => Action::Pass,
        }
    }
}

impl Pane for Containers {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        let mut feeds = self.followed.feeds();
        let request = id_of(&self.followed.key());
        let interval_ms = self.interval_ms;
        feeds.extend(self.live.iter().copied().map(|host| {
            let key = FeedKey::own::<Stats>(Some(host), request);
            let apply = move |store: &mut crate::store::Store, item| store::used(store, host, item);
            let feed = Subscription::of_pane(key, Stats { interval_ms }, apply);
            Subscription { turn: interval_ms, ..feed }
        }));
        feeds
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let followed = self.followed.poll(context);
        let rows = self.view.targets(context);
        self.hand = self.places(&rows.into_iter().filter_map(One::of).collect::<Vec<_>>());
        self.interval_ms = context.store.interval_ms(INTERVAL_MS);
        self.live = self.wanted(context);
        followed
    }

    fn at_hand(&self) -> Vec<HostId> {
        self.hand.clone()
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.view.order(context);
        match command {
            Command::Open => {
                let one = self.view.selected(context).and_then(One::of);
                one.map_or(Action::None, |one| detail::show(context, &one))
            }
            ONLY_RUNNING => {
                self.view.only = match self.view.only {
                    None => Some(runs),
                    Some(_) => None,
                };
                Action::None
            }
            FAILED => self.followed.who_failed(context),
            COPY_LIST => Action::Copy(self.list_line(context)),
            _ => {
                let rows = self.view.targets(context).into_iter();
                let rows: Vec<One> = rows.filter_map(One::of).collect();
                match self.act(context, command, &rows) {
                    Action::Pass => self.view.on(context, command),
                    action => action,
                }
            }
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("containers", &self.view.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.view.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        if !self.followed.nothing_yet(context, frame, area) {
            return;
        }
        let Some(sheet) = self.view.sheet(context) else { return };
        let (head, body) = sheet::split(area);
        let count = crate::widgets::format::count(sheet.rows.len());
        let running = sheet.rows.values().filter(|row| runs(row)).count();
        let texts = context.texts;
        let mut pieces = vec![
            (texts.fill("containers.many", &[&count]), Role::Strong),
            (texts.fill("containers.running", &[&running.to_string()]), Role::Ok),
        ];
        pieces.extend(self.followed.pieces(context));
        if self.view.only.is_some() {
            pieces.push((texts.get("containers.only_running").to_owned(), Role::Accent));
        }
        let line = sheet::dotted(context, pieces);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        self.view.draw(context, frame, body, ["containers.none", "containers.none_running"]);
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        let Some(sheet) = self.view.sheet(context) else { return Vec::new() };
        let rows = self.view.table.order().iter().filter_map(|id| sheet.rows.get(id));
        let entry = |row: &Record| Entry {
            kind: "palette.container",
            text: store::words(row),
            note: context.store.hosts.name(row.host),
            choice: Choice::Pick(row.id),
        };
        rows.take(20_000).map(entry).collect()
    }

    fn pick(&mut self, number: u64) {
        self.view.table.select(number);
    }
}
