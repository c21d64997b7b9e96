//! The images: which there are, what they are made of, who uses them, whether there is something newer, and what can be
//! done to them.

pub(super) mod asks;
mod outdated;

use super::act::{self, Act};
use super::follow::Followed;
use super::inspect::inspect;
use super::{CHAPTER, Scope};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::overlays::transfers::Transfers;
use crate::panes::hosts::quoted;
use crate::panes::sheet::{self, View, column, figure, rest};
use crate::panes::{Context, Entry, Pane, Subscription};
use crate::store::images::short;
use crate::store::sheets::{Record, Target};
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use cmdr_protocol::images::{Copy, History, Inspect, Load, Remove, Save, Tag, Watch};
use cmdr_protocol::registries::{Pull, Push, Updates};
use cmdr_protocol::{Call as _, Feed as _, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;

const INSPECT: Command = Command::Own(0);
const PULL: Command = Command::Own(1);
const PUSH: Command = Command::Own(2);
const TAG: Command = Command::Own(3);
const REMOVE: Command = Command::Own(4);
const OUTDATED: Command = Command::Own(5);
const COPY: Command = Command::Own(6);
const SAVE: Command = Command::Own(7);
const LOAD: Command = Command::Own(8);
const TRANSFERS: Command = Command::Own(9);
const FAILED: Command = Command::Own(10);
const UNUSED: Command = Command::Own(11);
const FORCE: Command = Command::Own(12);

pub(super) static TABLES: &[&[Binding]] = &[BINDINGS, CHAPTER, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "images.key.history").needs(History::METHOD).row().hint(),
    key(&["p"], PULL, "images.key.pull").danger(Pull::METHOD).hint(),
    key(&["x", "<delete>"], REMOVE, "images.key.remove").danger(Remove::METHOD).row().hint(),
    key(&["i"], INSPECT, "images.key.inspect").needs(Inspect::METHOD).row(),
    key(&["o"], OUTDATED, "images.key.outdated").needs(Updates::METHOD).hint(),
    key(&["c"], COPY, "images.key.copy").danger(Copy::METHOD).row().hint(),
    key(&["+"], TAG, "images.key.tag").danger(Tag::METHOD).row(),
    key(&["u"], PUSH, "images.key.push").danger(Push::METHOD).row(),
    key(&["w"], SAVE, "images.key.save").needs(Save::METHOD).row(),
    key(&["a"], LOAD, "images.key.load").danger(Load::METHOD),
    key(&["z"], UNUSED, "images.key.unused"),
    key(&["D"], FORCE, "images.key.force").danger(Remove::METHOD).row(),
    key(&["t"], TRANSFERS, "files.key.transfers"),
    key(&["f"], FAILED, "fleet.key.failed"),
];

/// The host stands first, and is left out where there is only one.
const COLUMNS: &[Column] = &[
    Column { most: 24, ..rest("fleet.col.host", 12, 0) },
    Column { most: 64, ..rest("images.col.name", 20, 0) },
    column("images.col.id", 12, 4),
    Column { descending: true, ..column("images.col.created", 11, 3) },
    figure("images.col.size", 8, 0),
    Column { most: 40, ..rest("images.col.used_by", 14, 2) },
    column("images.col.newer", 10, 1),
];

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// Images of all hosts that were looked at, for the finder.
pub fn everywhere(context: &Context<'_>) -> Vec<Entry> {
    super::found(context, "images", "palette.image")
}

/// The chapter.
pub struct Images {
    scope: Scope,
    followed: Followed<Watch>,
    view: View,
}

impl Images {
    /// Of these hosts.
    pub fn new(scope: &Scope) -> Self {
        let followed = Followed::new(scope, "images");
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

    fn draw_head(&self, context: &Context<'_>, frame: &mut Frame<'_>, head: Rect) {
        let Some(sheet) = self.view.sheet(context) else { return };
        let count = crate::widgets::format::count(sheet.rows.len());
        let mut pieces = vec![(context.texts.fill("images.many", &[&count]), Role::Strong)];
        if self.view.only.is_some() {
            pieces.push((context.texts.get("images.only_unused").to_owned(), Role::Accent));
        }
        pieces.extend(self.followed.pieces(context));
        let line = sheet::dotted(context, pieces);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
    }

    /// The `cmdr` command for what is shown.
    fn line(&self, context: &Context<'_>) -> String {
        let row = self.view.selected(context);
        match row.and_then(|row| first(row).map(|name| (row, name))) {
            Some((row, name)) => {
                let on = quoted(&context.store.hosts.name(row.host));
                format!("cmdr docker history {on} {}", quoted(&name))
            }
            None => format!("cmdr docker images {}", self.scope.selector(context)),
        }
    }
}

/// The name that an image is asked for by: its first, or its id.
fn first(row: &Record) -> Option<String> {
    match &row.target {
        Target::Image { id, tags } => Some(tags.first().unwrap_or(id).clone()),
        _ => None,
    }
}

/// The image under the cursor.
fn one(row: Option<&Record>) -> Option<act::Target> {
    let row = row?;
    let name = first(row)?;
    Some(act::Target { host: row.host, id: name.clone(), name })
}

/// Each name of each image, because names are what is removed; of one without a name its id.
fn names(rows: &[&Record]) -> Vec<act::Target> {
    let names = |row: &&Record| {
        let host = row.host;
        let target = move |id: &String, name: &str| act::Target {
            host,
            id: id.clone(),
            name: name.to_owned(),
        };
        match &row.target {
            Target::Image { id, tags } if tags.is_empty() => vec![target(id, short(id))],
            Target::Image { tags, .. } => tags.iter().map(|tag| target(tag, tag)).collect(),
            _ => Vec::new(),
        }
    };
    rows.iter().flat_map(names).collect()
}

/// Images as they are, by their ids.
fn ids(rows: &[&Record]) -> Vec<act::Target> {
    let target = |row: &&Record| match &row.target {
        Target::Image { id, tags } => Some(act::Target {
            host: row.host,
            id: id.clone(),
            name: tags.first().map_or_else(|| short(id), String::as_str).to_owned(),
        }),
        _ => None,
    };
    rows.iter().filter_map(target).collect()
}

/// Whether no container was made from it.
fn is_unused(row: &Record) -> bool {
    row.values.get(5).is_some_and(|value| value.plain() == "-")
}

impl Pane for Images {
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
        let removing = |command| Act {
            word: "images.word.remove",
            command,
            many: "images.names",
            about: Vec::new(),
        };
        match command {
            Command::Open => asks::history(context, selected),
            INSPECT => {
                let make = |t: &act::Target| Inspect { image: t.id.clone() };
                let target = one(selected);
                inspect(context, target.as_ref(), "cmdr docker image inspect {} {}", make)
            }
            PULL => asks::pull(context, &self.hosts(context), selected.and_then(first)),
            PUSH => asks::push(context, selected),
            TAG => asks::tag(context, selected),
            REMOVE => {
                let make = |t: &act::Target| Remove { image: t.id.clone(), ..Remove::default() };
                let removing = removing("cmdr docker rmi {} {}");
                act::act(context, &names(&rows), removing, make, |_| (None, None))
            }
            FORCE => {
                let make = |t: &act::Target| Remove {
                    image: t.id.clone(),
                    force: true,
                    ..Remove::default()
                };
                let about = vec![context.texts.get("images.force_about").to_owned()];
                let removing =
                    Act { about, many: "images.many", ..removing("cmdr docker rmi -f {} {}") };
                act::act(context, &ids(&rows), removing, make, |_| (None, None))
            }
            OUTDATED => outdated::ask(context, self.hosts(context)),
            COPY => asks::copy(context, &rows, &self.followed.without(context)),
            SAVE => asks::save(context, selected),
            LOAD => asks::load(context, &self.hosts(context)),
            TRANSFERS => Action::Open(Box::new(Transfers::default())),
            FAILED => self.followed.who_failed(context),
            UNUSED => {
                self.view.only = match self.view.only {
                    None => Some(is_unused),
                    Some(_) => None,
                };
                Action::None
            }
            Command::CopyCommand => Action::Copy(self.line(context)),
            _ => self.view.on(context, command),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("images", &self.view.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.view.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        if !self.followed.nothing_yet(context, frame, area) {
            return;
        }
        let (head, body) = sheet::split(area);
        self.draw_head(context, frame, head);
        self.view.draw(context, frame, body, ["images.none", "images.none_unused"]);
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.view.entries(context, "palette.image")
    }

    fn pick(&mut self, number: u64) {
        self.view.table.select(number);
    }
}
