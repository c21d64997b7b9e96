//! The engine itself. Of one host what it is, the room that everything takes, and what happens in it as it happens; of
//! several a row each. What nobody uses can be cleared away from here.

mod draw;
mod prune;

use super::follow::is_absent;
use super::{CHAPTER, Scope};
use crate::action::{Action, reason};
use crate::keymap::{Binding, Command, LIST, key};
use crate::overlays::pager::Pager;
use crate::overlays::transfers::Transfers;
use crate::panes::gather::{self, Round};
use crate::panes::hosts::quoted;
use crate::panes::sheet::{View, column, figure, rest};
use crate::panes::{Context, Pane, Subscription};
use crate::store::sheets::{SheetKey, id_of};
use crate::store::{FeedKey, Store, Update, engines};
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use cmdr_protocol::engine::{Disk, Events, Info, Prune};
use cmdr_protocol::{Call as _, Feed as _, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const PAUSE: Command = Command::Own(0);
const REFRESH: Command = Command::Own(1);
const PRUNE: Command = Command::Own(2);
const TRANSFERS: Command = Command::Own(3);
const FAILED: Command = Command::Own(4);

pub(super) static TABLES: &[&[Binding]] = &[BINDINGS, CHAPTER, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "engine.key.open").row().hint(),
    key(&["c"], PRUNE, "engine.key.prune").danger(Prune::METHOD).hint(),
    key(&["p"], PAUSE, "engine.key.pause").needs(Events::METHOD).hint(),
    key(&["R"], REFRESH, "engine.key.refresh"),
    key(&["t"], TRANSFERS, "files.key.transfers"),
    key(&["f"], FAILED, "fleet.key.failed"),
];

/// Engines of several hosts.
const ENGINES: &[Column] = &[
    Column { most: 24, ..rest("fleet.col.host", 12, 0) },
    column("engine.col.version", 10, 0),
    figure("engine.col.running", 8, 0),
    figure("engine.col.paused", 7, 3),
    figure("engine.col.stopped", 8, 1),
    figure("engine.col.images", 7, 2),
    column("engine.col.storage", 10, 4),
    Column { most: 40, ..rest("engine.col.root", 16, 5) },
];

/// What happens in one.
const EVENTS: &[Column] = &[
    Column { descending: true, ..column("engine.col.time", 8, 0) },
    column("engine.col.kind", 10, 1),
    Column { most: 40, ..rest("engine.col.action", 14, 0) },
    Column { most: 40, ..rest("engine.col.name", 16, 0) },
    rest("engine.col.more", 16, 2),
];

/// An engine may take long to count what takes room.
const COUNTING: Duration = Duration::from_mins(2);
const PATIENCE: Duration = Duration::from_secs(15);
/// So far back events are asked for at first, seconds.
const BACK_S: u64 = 900;
/// Engines are asked again after this long.
const AGAIN_MS: u64 = 30_000;

/// The columns of engines of several hosts.
pub fn columns() -> Vec<Column> {
    ENGINES.to_vec()
}

/// The columns of events.
pub fn event_columns() -> Vec<Column> {
    EVENTS.to_vec()
}

/// The chapter.
pub struct Engine {
    scope: Scope,
    /// Events of one host, or the engines of several.
    view: View,
    /// What engines are.
    engines: SheetKey,
    /// What takes room.
    disk: SheetKey,
    hosts: Vec<HostId>,
    /// The round in which engines are asked.
    turn: u64,
    paused: bool,
    /// The first row, as long as the cursor stays on it: then it goes up to what is new.
    first: Option<u64>,
}

impl Engine {
    /// Of these hosts.
    pub fn new(scope: &Scope) -> Self {
        let engines = scope.sheet("engines");
        let view = match scope {
            Scope::Host(_) => View::new(scope.sheet("engine_events"), EVENTS, 0),
            _ => View::new(engines, ENGINES, 0),
        };
        Self {
            scope: scope.clone(),
            view,
            engines,
            disk: scope.sheet("engine_disk"),
            hosts: Vec::new(),
            turn: 0,
            paused: false,
            first: None,
        }
    }

    const fn host(&self) -> Option<HostId> {
        match self.scope {
            Scope::Host(host) => Some(host),
            _ => None,
        }
    }

    fn asking(&self) -> FeedKey {
        FeedKey { host: None, method: Info::METHOD, request: id_of(&self.engines) }
    }

    fn again(&mut self, context: &Context<'_>) -> Action {
        self.turn += 1;
        self.hosts = self.scope.hosts(context);
        let feed = self.asking();
        Action::Apply(Update::new(move |store| drop(store.feeds.remove(&feed))))
    }

    fn round(&self) -> impl FnOnce(&Store) -> Round + 'static + use<> {
        let (key, turn, hosts) = (self.engines, self.turn, self.hosts.clone());
        move |store| {
            let names: HashMap<HostId, String> =
                hosts.iter().map(|host| (*host, store.hosts.name(*host))).collect();
            let all = hosts.clone();
            let begun = Update::new(move |store| {
                let now_ms = store.now_ms;
                store.sheet_mut(key).begin_round(now_ms, turn, &all);
            });
            let asks: gather::Asks = Arc::new(move |link, host| {
                let name = names.get(&host).cloned().unwrap_or_default();
                Box::pin(async move {
                    let answer = link.call(Some(host), Info {}, PATIENCE).await;
                    Update::new(move |store| {
                        let now_ms = store.now_ms;
                        let sheet = store.sheet_mut(key);
                        match answer {
                            Ok(about) => {
                                let row = engines::record(host, &name, &about);
                                sheet.set_host(now_ms, turn, host, (vec![row], 0));
                            }
                            // Nothing is wrong with a host that has none.
                            Err(error) if is_absent(&error) => {
                                sheet.set_host(now_ms, turn, host, (Vec::new(), 0));
                            }
                            Err(error) => sheet.fail_host(now_ms, turn, host, reason(&error)),
                        }
                    })
                })
            });
            Round { hosts, begun, asks }
        }
    }

    /// Asks for the room that everything takes.
    fn count(&self, host: HostId) -> Action {
        let key = self.disk;
        let begins = Update::new(move |store| {
            let now_ms = store.now_ms;
            store.sheet_mut(key).asked_ms = now_ms;
        });
        let fetch = Action::fetch(Some(host), Disk {}, COUNTING, move |answer| {
            let update = Update::new(move |store| {
                let now_ms = store.now_ms;
                let sheet = store.sheet_mut(key);
                match answer {
                    Ok(usage) => {
                        let rows = usage.kinds.iter().take(20);
                        sheet.set(now_ms, rows.map(|room| engines::room(host, room)));
                    }
                    Err(error) => sheet.fail(error, now_ms),
                }
            });
            (Some(update), Action::None)
        });
        Action::All(vec![Action::Apply(begins), fetch])
    }

    /// Which hosts could not answer, and why.
    fn failed(&self, context: &Context<'_>) -> Action {
        let failed = context.store.sheet(self.engines).map(|sheet| &sheet.failed);
        let failed = failed.into_iter().flatten();
        let mut lines: Vec<_> =
            failed.map(|(host, why)| (context.store.hosts.name(*host), why.clone())).collect();
        lines.sort();
        if lines.is_empty() {
            return Action::Say(context.texts.get("fleet.none_failed").to_owned());
        }
        let line = |(name, why)| vec![(Role::Strong, format!("{name}  ")), (Role::Text, why)];
        let title = context.texts.get("fleet.key.failed").to_owned();
        Action::Open(Box::new(Pager::new(title, lines.into_iter().map(line).collect())))
    }

    /// The hosts that an act is about: the marked ones, or the one.
    fn chosen(&self, context: &Context<'_>) -> Vec<HostId> {
        match self.host() {
            Some(host) => vec![host],
            None => self.view.targets(context).iter().map(|row| row.host).collect(),
        }
    }

    /// The `cmdr` command for what is shown.
    fn line(&self, context: &Context<'_>) -> String {
        match self.host() {
            Some(host) => {
                format!("cmdr docker events {}", quoted(&context.store.hosts.name(host)))
            }
            None => format!("cmdr docker info {}", self.scope.selector(context)),
        }
    }
}

impl Pane for Engine {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn can(&self, context: &Context<'_>, command: Command) -> bool {
        match command {
            PAUSE => self.host().is_some(),
            FAILED => self.host().is_none(),
            PRUNE => !self.chosen(context).is_empty(),
            _ => true,
        }
    }

    fn feeds(&self) -> Vec<Subscription> {
        let mut feeds = Vec::new();
        if self.turn > 0 {
            let round = self.round();
            feeds.push(gather::subscription(self.asking(), self.turn, Duration::ZERO, round));
        }
        if let (Some(host), false) = (self.host(), self.paused) {
            let key = self.view.key;
            let feed = FeedKey::own::<Events>(Some(host), id_of(&key));
            let begin = move |store: &Store| {
                let newest_s = engines::newest_ms(store, key).map(|at_ms| at_ms / 1000);
                let since_s = newest_s.map(|at_s| (store.now_ms / 1000).saturating_sub(at_s) + 2);
                let back_s = since_s.map_or(BACK_S, |since_s| since_s.min(24 * 3600));
                Events { back_s, kinds: Vec::new() }
            };
            let apply = move |store: &mut Store, event: cmdr_protocol::engine::Event| {
                engines::happened(store, key, host, &event);
            };
            feeds.push(Subscription::resuming(feed, begin, apply));
        }
        feeds
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        if !context.store.is_up() || !context.store.hosts.known {
            return Action::None;
        }
        if let (Some(host), None) = (self.host(), context.store.sheet(self.disk)) {
            return self.count(host);
        }
        let sheet = context.store.sheet(self.engines);
        let waited = sheet.is_some_and(|sheet| {
            sheet.round == self.turn
                && sheet.is_round_over()
                && context.store.now_ms.saturating_sub(sheet.round_ms) >= AGAIN_MS
        });
        if self.turn == 0 || waited { self.again(context) } else { Action::None }
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.view.order(context);
        match command {
            Command::Open => {
                let pager = self.view.detail(context);
                pager.map_or(Action::None, |pager| Action::Open(Box::new(pager)))
            }
            PAUSE if self.host().is_some() => {
                self.paused = !self.paused;
                Action::None
            }
            REFRESH => {
                let again = self.again(context);
                let count = self.host().map(|host| self.count(host));
                Action::All([again].into_iter().chain(count).collect())
            }
            PRUNE => prune::ask(context, self.chosen(context)),
            TRANSFERS => Action::Open(Box::new(Transfers::default())),
            FAILED => self.failed(context),
            Command::CopyCommand => Action::Copy(self.line(context)),
            _ => self.view.on(context, command),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some((self.view.key.1, &self.view.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.view.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        match self.host() {
            Some(host) => self.draw_one(context, frame, area, host),
            None => self.draw_many(context, frame, area),
        }
    }

    fn at_hand(&self) -> Vec<HostId> {
        self.hosts.clone()
    }

    fn pick(&mut self, number: u64) {
        self.view.table.select(number);
    }
}
