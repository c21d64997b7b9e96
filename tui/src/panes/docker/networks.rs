//! The networks: which there are, who is in them, and what can be done to them.

mod asks;

use super::act::{self, Act};
use super::follow::Followed;
use super::inspect::inspect;
use super::{CHAPTER, Scope};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::panes::hosts::quoted;
use crate::panes::sheet::{self, View, column, rest};
use crate::panes::{Context, Entry, Pane, Subscription};
use crate::store::sheets::{Record, Target};
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use cmdr_protocol::networks::{Connect, Create, Disconnect, Inspect, Remove, Watch};
use cmdr_protocol::{Call as _, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;

const INSPECT: Command = Command::Own(0);
const CREATE: Command = Command::Own(1);
const CONNECT: Command = Command::Own(2);
const DISCONNECT: Command = Command::Own(3);
const REMOVE: Command = Command::Own(4);
const FAILED: Command = Command::Own(5);

pub(super) static TABLES: &[&[Binding]] = &[BINDINGS, CHAPTER, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "containers.key.open").row().hint(),
    key(&["+"], CREATE, "networks.key.create").danger(Create::METHOD).hint(),
    key(&["c"], CONNECT, "networks.key.connect").danger(Connect::METHOD).row().hint(),
    key(&["o"], DISCONNECT, "networks.key.disconnect").danger(Disconnect::METHOD).row().hint(),
    key(&["x", "<delete>"], REMOVE, "images.key.remove").danger(Remove::METHOD).row().hint(),
    key(&["i"], INSPECT, "images.key.inspect").needs(Inspect::METHOD).row(),
    key(&["f"], FAILED, "fleet.key.failed"),
];

/// The host stands first, and is left out where there is only one.
const COLUMNS: &[Column] = &[
    Column { most: 24, ..rest("fleet.col.host", 12, 0) },
    Column { most: 48, ..rest("networks.col.name", 16, 0) },
    column("volumes.col.driver", 8, 1),
    Column { most: 40, ..rest("networks.col.subnets", 16, 0) },
    Column { most: 40, ..rest("networks.col.used_by", 14, 2) },
    column("networks.col.flags", 14, 3),
    column("images.col.id", 12, 4),
];

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// Networks of all hosts that were looked at, for the finder.
pub fn everywhere(context: &Context<'_>) -> Vec<Entry> {
    super::found(context, "networks", "palette.network")
}

/// The chapter.
pub struct Networks {
    scope: Scope,
    followed: Followed<Watch>,
    view: View,
}

impl Networks {
    /// Of these hosts.
    pub fn new(scope: &Scope) -> Self {
        let followed = Followed::new(scope, "networks");
        let mut view = View::new(followed.key(), COLUMNS, 1);
        view.table.left_out = scope.is_one().then_some(0);
        Self { scope: scope.clone(), followed, view }
    }

    /// The hosts of the marked rows, or all of the page where there are none.
    fn hosts(&self, context: &Context<'_>) -> Vec<HostId> {
        let mut hosts: Vec<HostId> =
            self.view.targets(context).iter().map(|row| row.host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        if hosts.is_empty() { self.scope.hosts(context) } else { hosts }
    }

    /// The `cmdr` command for what is shown.
    fn line(&self, context: &Context<'_>) -> String {
        match self.view.selected(context).and_then(target) {
            Some(target) => {
                let on = quoted(&context.store.hosts.name(target.host));
                format!("cmdr docker network inspect {on} {}", quoted(&target.name))
            }
            None => format!("cmdr docker network ls {}", self.scope.selector(context)),
        }
    }
}

/// Two networks may have one name: the engine is asked for the id.
fn target(row: &Record) -> Option<act::Target> {
    match &row.target {
        Target::Network { id, name, .. } => {
            Some(act::Target { host: row.host, id: id.clone(), name: name.clone() })
        }
        _ => None,
    }
}

impl Pane for Networks {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        self.followed.feeds()
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        self.followed.poll(context)
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.view.order(context);
        let selected = self.view.selected(context);
        match command {
            Command::Open => {
                let pager = self.view.detail(context);
                pager.map_or(Action::None, |pager| Action::Open(Box::new(pager)))
            }
            INSPECT => {
                let make = |t: &act::Target| Inspect { network: t.id.clone() };
                let target = selected.and_then(target);
                inspect(context, target.as_ref(), "cmdr docker network inspect {} {}", make)
            }
            CREATE => asks::create(context, self.hosts(context)),
            CONNECT => asks::connect(selected),
            DISCONNECT => asks::disconnect(context, selected),
            REMOVE => {
                let rows = self.view.targets(context);
                let targets: Vec<_> = rows.iter().filter_map(|row| target(row)).collect();
                let removing = Act {
                    word: "images.word.remove",
                    command: "cmdr docker network rm {} {}",
                    many: "networks.many",
                    about: Vec::new(),
                };
                let make = |t: &act::Target| Remove { network: t.id.clone() };
                act::act(context, &targets, removing, make, |_| (None, None))
            }
            FAILED => self.followed.who_failed(context),
            Command::CopyCommand => Action::Copy(self.line(context)),
            _ => self.view.on(context, command),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("networks", &self.view.table))
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
        let mut pieces = vec![(context.texts.fill("networks.many", &[&count]), Role::Strong)];
        pieces.extend(self.followed.pieces(context));
        let line = sheet::dotted(context, pieces);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        self.view.draw(context, frame, body, ["networks.none"; 2]);
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.view.entries(context, "palette.network")
    }

    fn pick(&mut self, number: u64) {
        self.view.table.select(number);
    }
}
