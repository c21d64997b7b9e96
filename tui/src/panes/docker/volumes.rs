//! The volumes: which there are, how much is in them, who uses them, and what can be done to them and to what is in them.

mod archive;
mod make;

use super::act::{self, Act};
use super::follow::Followed;
use super::inspect::inspect;
use super::{CHAPTER, Scope};
use crate::action::{Action, reason};
use crate::keymap::{Binding, Command, LIST, key};
use crate::overlays::transfers::Transfers;
use crate::panes::hosts::quoted;
use crate::panes::sheet::{self, View, column, figure, rest};
use crate::panes::{Context, Entry, Pane, Place, Subscription, TABS, files};
use crate::store::sheets::{Record, Target};
use crate::store::{Update, engines};
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use cmdr_protocol::files::{Archive, List as Files, Unpack};
use cmdr_protocol::volumes::{Create, Inspect, List, Remove, Watch};
use cmdr_protocol::{Call as _, Feed as _, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;
use std::time::Duration;

const INSPECT: Command = Command::Own(0);
const SIZES: Command = Command::Own(1);
const BROWSE: Command = Command::Own(2);
const BACKUP: Command = Command::Own(3);
const RESTORE: Command = Command::Own(4);
const CREATE: Command = Command::Own(5);
const REMOVE: Command = Command::Own(6);
const TRANSFERS: Command = Command::Own(7);
const FAILED: Command = Command::Own(8);
const FORCE: Command = Command::Own(9);

pub(super) static TABLES: &[&[Binding]] = &[BINDINGS, CHAPTER, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "containers.key.open").row().hint(),
    key(&["o"], BROWSE, "volumes.key.browse").needs(Files::METHOD).row().hint(),
    key(&["z"], SIZES, "volumes.key.sizes").needs(List::METHOD).hint(),
    key(&["x", "<delete>"], REMOVE, "images.key.remove").danger(Remove::METHOD).row().hint(),
    key(&["+"], CREATE, "volumes.key.create").danger(Create::METHOD).hint(),
    key(&["w"], BACKUP, "volumes.key.backup").needs(Archive::METHOD).row().hint(),
    key(&["a"], RESTORE, "volumes.key.restore").danger(Unpack::METHOD).row(),
    key(&["i"], INSPECT, "images.key.inspect").needs(Inspect::METHOD).row(),
    key(&["D"], FORCE, "volumes.key.force").danger(Remove::METHOD).row(),
    key(&["t"], TRANSFERS, "files.key.transfers"),
    key(&["f"], FAILED, "fleet.key.failed"),
];

/// The host stands first, and is left out where there is only one.
const COLUMNS: &[Column] = &[
    Column { most: 24, ..rest("fleet.col.host", 12, 0) },
    Column { most: 64, ..rest("volumes.col.name", 18, 0) },
    column("volumes.col.driver", 8, 3),
    figure("images.col.size", 8, 0),
    Column { most: 40, ..rest("images.col.used_by", 14, 1) },
    column("images.col.created", 16, 4),
    Column { most: 60, ..rest("volumes.col.place", 20, 2) },
];

/// Counting what is in volumes takes an engine its time.
const COUNTING: Duration = Duration::from_mins(2);

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// Volumes of all hosts that were looked at, for the finder.
pub fn everywhere(context: &Context<'_>) -> Vec<Entry> {
    super::found(context, "volumes", "palette.volume")
}

/// The chapter.
pub struct Volumes {
    scope: Scope,
    followed: Followed<Watch>,
    view: View,
}

impl Volumes {
    /// Of these hosts.
    pub fn new(scope: &Scope) -> Self {
        let followed = Followed::new(scope, "volumes");
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

    /// Asks how much is in the volumes of these hosts.
    fn sizes(context: &Context<'_>, hosts: &[HostId]) -> Action {
        let asking = Action::Say(context.texts.get("volumes.counting").to_owned());
        let ask = |host: &HostId| {
            let (host, on) = (*host, context.store.hosts.name(*host));
            let list = List { sizes: true };
            Action::fetch(Some(host), list, COUNTING, move |answer| match answer {
                Ok(told) => {
                    let sizes = told.volumes.into_iter();
                    let sizes = sizes.filter_map(|volume| Some((volume.name, volume.size?)));
                    let sizes: Vec<_> = sizes.collect();
                    let update = Update::new(move |store| engines::measured(store, host, sizes));
                    (Some(update), Action::None)
                }
                Err(error) => (None, Action::Complain(format!("{on}: {}", reason(&error)))),
            })
        };
        Action::All([asking].into_iter().chain(hosts.iter().map(ask)).collect())
    }

    /// The `cmdr` command for what is shown.
    fn line(&self, context: &Context<'_>) -> String {
        match one(self.view.selected(context)) {
            Some(target) => {
                let on = quoted(&context.store.hosts.name(target.host));
                format!("cmdr docker volume inspect {on} {}", quoted(&target.name))
            }
            None => format!("cmdr docker volume ls {}", self.scope.selector(context)),
        }
    }
}

fn target(row: &Record) -> Option<act::Target> {
    match &row.target {
        Target::Volume { name, .. } => {
            Some(act::Target { host: row.host, id: name.clone(), name: name.clone() })
        }
        _ => None,
    }
}

fn one(row: Option<&Record>) -> Option<act::Target> {
    row.and_then(target)
}

/// The folder that a volume is.
fn folder(row: Option<&Record>) -> Option<(HostId, String)> {
    let row = row?;
    match &row.target {
        Target::Volume { at, .. } => Some((row.host, at.clone()?)),
        _ => None,
    }
}

/// What is said of a volume that is none.
fn no_folder(context: &Context<'_>, row: Option<&Record>) -> Action {
    let Some(target) = one(row) else { return Action::None };
    let name = cmdr_protocol::display::clean(&target.name);
    Action::Complain(context.texts.fill("volumes.no_folder", &[&name]))
}

/// Shows the folder that a volume is.
fn browse(context: &Context<'_>, row: Option<&Record>) -> Action {
    let Some((host, at)) = folder(row) else { return no_folder(context, row) };
    let tab = TABS.iter().position(|tab| tab.title == "files.title").unwrap_or(0);
    let go = Action::Go(Place::Host(host, tab));
    Action::All(vec![go, Action::Give(files::GO, at)])
}

impl Pane for Volumes {
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
        let rows = self.view.targets(context);
        let selected = self.view.selected(context);
        let targets: Vec<_> = rows.iter().filter_map(|row| target(row)).collect();
        let remove = |command, force| {
            let about = vec![context.texts.get("volumes.remove_about").to_owned()];
            let (word, many) = ("images.word.remove", "volumes.many");
            let make = move |t: &act::Target| Remove { volume: t.id.clone(), force };
            act::act(context, &targets, Act { word, command, many, about }, make, |_| (None, None))
        };
        match command {
            Command::Open => {
                let pager = self.view.detail(context);
                pager.map_or(Action::None, |pager| Action::Open(Box::new(pager)))
            }
            INSPECT => {
                let make = |t: &act::Target| Inspect { volume: t.id.clone() };
                let target = one(selected);
                inspect(context, target.as_ref(), "cmdr docker volume inspect {} {}", make)
            }
            SIZES => Self::sizes(context, &self.scope.hosts(context)),
            BROWSE => browse(context, selected),
            BACKUP => archive::backup(context, selected),
            RESTORE => archive::restore(context, selected),
            CREATE => make::ask(context, self.hosts(context)),
            REMOVE => remove("cmdr docker volume rm {} {}", false),
            FORCE => remove("cmdr docker volume rm -f {} {}", true),
            TRANSFERS => Action::Open(Box::new(Transfers::default())),
            FAILED => self.followed.who_failed(context),
            Command::CopyCommand => Action::Copy(self.line(context)),
            _ => self.view.on(context, command),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("volumes", &self.view.table))
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
        let mut pieces = vec![(context.texts.fill("volumes.many", &[&count]), Role::Strong)];
        pieces.extend(self.followed.pieces(context));
        let line = sheet::dotted(context, pieces);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        self.view.draw(context, frame, body, ["volumes.none"; 2]);
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.view.entries(context, "palette.volume")
    }

    fn pick(&mut self, number: u64) {
        self.view.table.select(number);
    }
}
