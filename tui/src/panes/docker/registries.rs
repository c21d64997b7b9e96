//! The registries that the hub knows, whichever hosts the page is about: their repositories, the tags of those, and what
//! an image there is made of. No password is ever shown.

mod asks;

use super::CHAPTER;
use super::inspect::{ask, laid_out, lines};
use crate::action::Action;
use crate::event::Event;
use crate::keymap::{Binding, Command, LIST, key};
use crate::link::Link;
use crate::overlays::pager::Pager;
use crate::panes::hosts::quoted;
use crate::panes::sheet::{self, View, column, rest};
use crate::panes::{Context, Pane, Subscription};
use crate::store::sheets::{Record, SheetKey, Target, Value, id_of, of_number};
use crate::store::{Update, audit};
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use cmdr_protocol::display::clean;
use cmdr_protocol::registries::{
    Catalog, Delete, DeleteTag, List, Manifest, Names, Put, Registry, Tags,
};
use cmdr_protocol::{Call, CallError, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;
use std::time::Duration;

const ADD: Command = Command::Own(0);
const REMOVE: Command = Command::Own(1);
const REFRESH: Command = Command::Own(2);
const FORCE: Command = Command::Own(3);

pub(super) static TABLES: &[&[Binding]] = &[BINDINGS, CHAPTER, LIST];
pub(super) static OF_REPOSITORIES: &[&[Binding]] = &[REPOSITORIES, CHAPTER, LIST];
pub(super) static OF_TAGS: &[&[Binding]] = &[TAGS, CHAPTER, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "registries.key.open").needs(Catalog::METHOD).row().hint(),
    key(&["+"], ADD, "registries.key.add").danger(Put::METHOD).hint(),
    key(&["x", "<delete>"], REMOVE, "registries.key.remove").danger(Delete::METHOD).row().hint(),
    key(&["R"], REFRESH, "fleet.key.refresh"),
];

const REPOSITORIES: &[Binding] = &[
    key(&["<enter>"], Command::Open, "registries.key.tags").needs(Tags::METHOD).row().hint(),
    key(&["<esc>", "<backspace>"], Command::Back, "key.back").hint(),
    key(&["R"], REFRESH, "fleet.key.refresh"),
];

const TAGS: &[Binding] = &[
    key(&["<enter>", "i"], Command::Open, "registries.key.manifest")
        .needs(Manifest::METHOD)
        .row()
        .hint(),
    key(&["x", "<delete>"], REMOVE, "registries.key.delete_tag")
        .danger(DeleteTag::METHOD)
        .row()
        .hint(),
    key(&["D"], FORCE, "registries.key.force").danger(DeleteTag::METHOD).row(),
    key(&["<esc>", "<backspace>"], Command::Back, "key.back").hint(),
    key(&["R"], REFRESH, "fleet.key.refresh"),
];

const COLUMNS: &[Column] = &[
    Column { most: 60, ..rest("registries.col.name", 20, 0) },
    Column { most: 30, ..rest("registries.col.user", 12, 1) },
    column("registries.col.how", 14, 2),
    Column { descending: true, ..column("registries.col.set", 11, 3) },
    Column { most: 30, ..rest("registries.col.by", 12, 4) },
];

const OF_NAMES: &[Column] = &[rest("registries.col.repository", 20, 0)];
const OF_TAG_NAMES: &[Column] = &[rest("registries.col.tag", 20, 0)];

/// Registries may be far away.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pages of names that are asked for.
const PAGES: usize = 20;
/// What belongs to no host.
const HUB: HostId = HostId([0; 16]);

/// The columns of the registries.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// The columns of repositories.
pub fn repository_columns() -> Vec<Column> {
    OF_NAMES.to_vec()
}

/// The columns of tags.
pub fn tag_columns() -> Vec<Column> {
    OF_TAG_NAMES.to_vec()
}

/// How deep one is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Registries,
    Repositories,
    Tags,
}

/// The chapter.
pub struct Registries {
    depth: Depth,
    views: [View; 3],
    /// Whose repositories are shown.
    registry: String,
    /// Whose tags are.
    repository: String,
}

impl Default for Registries {
    fn default() -> Self {
        let own = audit::owner();
        let views = [
            View::new((None, "registries"), COLUMNS, 0),
            View::new(of_number(own, "repositories"), OF_NAMES, 0),
            View::new(of_number(own, "tags"), OF_TAG_NAMES, 0),
        ];
        let (registry, repository) = (String::new(), String::new());
        Self { depth: Depth::Registries, views, registry, repository }
    }
}

fn named(name: &str, role: Role) -> Record {
    Record {
        id: id_of(&name),
        host: HUB,
        values: vec![Value::text(name, role)],
        more: Vec::new(),
        target: Target::Named(name.to_owned()),
    }
}

fn record(registry: &Registry) -> Record {
    let how = if registry.plain {
        Value::Word("registries.plain", Role::Warn)
    } else {
        Value::Word("registries.encrypted", Role::Ok)
    };
    Record {
        id: id_of(&registry.registry),
        host: HUB,
        values: vec![
            Value::text(&registry.registry, Role::Strong),
            Value::text(&registry.username, Role::Text),
            how,
            Value::Moment(registry.set_ms / 1000),
            Value::soft(&registry.set_by),
        ],
        more: Vec::new(),
        target: Target::Registry { name: registry.registry.clone(), plain: registry.plain },
    }
}

/// What came, or why nothing did, goes into the store.
fn took(key: SheetKey, answer: Result<(Vec<Record>, bool), CallError>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        let sheet = store.sheet_mut(key);
        match answer {
            Ok((rows, more)) => {
                sheet.set(now_ms, rows.into_iter());
                sheet.total = sheet.rows.len() + usize::from(more);
            }
            Err(error) => sheet.fail(error, now_ms),
        }
    })
}

/// Asks for all pages of names.
fn names<C: Call<Reply = Names>>(
    key: SheetKey,
    make: impl Fn(String) -> C + Send + 'static,
) -> Action {
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let (mut all, mut more, mut after) = (Vec::new(), true, String::new());
            for _ in 0..PAGES {
                let page = match link.call(None, make(after), PATIENCE).await {
                    Ok(page) => page,
                    Err(error) => {
                        return Event::Done(Some(took(key, Err(error))), Action::None);
                    }
                };
                after = page.names.last().cloned().unwrap_or_default();
                more = page.more && !page.names.is_empty();
                all.extend(page.names.iter().map(|name| named(name, Role::Strong)));
                if !more {
                    break;
                }
            }
            Event::Done(Some(took(key, Ok((all, more)))), Action::None)
        })
    }))
}

impl Registries {
    const fn at(&self) -> usize {
        match self.depth {
            Depth::Registries => 0,
            Depth::Repositories => 1,
            Depth::Tags => 2,
        }
    }

    fn view(&self) -> &View {
        &self.views[self.at()]
    }

    fn view_mut(&mut self) -> &mut View {
        let at = self.at();
        &mut self.views[at]
    }

    /// Asks for what is shown.
    fn ask(&self) -> Action {
        let key = self.view().key;
        let asks = Update::new(move |store| {
            let now_ms = store.now_ms.max(1);
            let sheet = store.sheet_mut(key);
            (sheet.asked_ms, sheet.came_ms) = (now_ms, now_ms);
        });
        Action::All(vec![Action::Apply(asks), self.fetch(key)])
    }

    fn fetch(&self, key: SheetKey) -> Action {
        let (registry, repository) = (self.registry.clone(), self.repository.clone());
        match self.depth {
            Depth::Registries => Action::fetch(None, List {}, PATIENCE, move |answer| {
                let rows = answer.map(|told| told.registries.iter().map(record).collect());
                (Some(took(key, rows.map(|rows| (rows, false)))), Action::None)
            }),
            Depth::Repositories => {
                names(key, move |after| Catalog { registry: registry.clone(), after })
            }
            Depth::Tags => names(key, move |after| Tags {
                registry: registry.clone(),
                repository: repository.clone(),
                after,
            }),
        }
    }

    /// Goes to what is below the row under the cursor; what was shown of another is not shown.
    fn deeper(&mut self, context: &Context<'_>) -> Action {
        match self.view().selected(context).map(|row| &row.target) {
            Some(Target::Registry { name, .. }) => {
                self.registry.clone_from(name);
                self.depth = Depth::Repositories;
            }
            Some(Target::Named(name)) if self.depth == Depth::Repositories => {
                self.repository.clone_from(name);
                self.depth = Depth::Tags;
            }
            Some(Target::Named(tag)) => return self.manifest(tag),
            _ => return Action::None,
        }
        let view = self.view_mut();
        let (key, columns) = (view.key, view.columns);
        *view = View::new(key, columns, 0);
        Action::Apply(Update::new(move |store| drop(store.sheets.remove(&key))))
    }

    /// The name of an image that a tag stands for.
    fn image(&self, tag: &str) -> String {
        format!("{}/{}:{tag}", self.registry, self.repository)
    }

    /// What an image there is made of.
    fn manifest(&self, tag: &str) -> Action {
        let image = self.image(tag);
        let command = format!("cmdr docker registry manifest {}", quoted(&image));
        let title = clean(&image).into_owned();
        let manifest = Manifest {
            registry: self.registry.clone(),
            repository: self.repository.clone(),
            reference: tag.to_owned(),
        };
        ask(None, title.clone(), manifest, PATIENCE, move |told| {
            let text = laid_out(&told.json);
            let kind = [&told.digest, &told.media_type].map(|text| clean(text).into_owned());
            let mut shown = kind.map(|text| vec![(Role::Strong, text)]).to_vec();
            shown.push(Vec::new());
            shown.extend(lines(&text));
            let pager = Pager::new(title, shown).with_wrap();
            Action::Open(Box::new(pager.copying(text).copying_command(command)))
        })
    }

    /// What is above the row: where one is.
    fn path(&self, context: &Context<'_>) -> Vec<(String, Role)> {
        let Some(sheet) = self.view().sheet(context) else { return Vec::new() };
        let count = crate::widgets::format::count(sheet.rows.len());
        let key = ["registries.many", "registries.repositories", "registries.tags"][self.at()];
        let mut pieces = Vec::new();
        match self.depth {
            Depth::Registries => {}
            Depth::Repositories => pieces.push((clean(&self.registry).into_owned(), Role::Accent)),
            Depth::Tags => {
                let name = format!("{}/{}", self.registry, self.repository);
                pieces.push((clean(&name).into_owned(), Role::Accent));
            }
        }
        pieces.push((context.texts.fill(key, &[&count]), Role::Strong));
        if sheet.total > sheet.rows.len() {
            pieces.push((context.texts.get("registries.more").to_owned(), Role::Warn));
        }
        pieces
    }

    /// The `cmdr` command for what is shown.
    fn line(&self) -> String {
        match self.depth {
            Depth::Registries => "cmdr docker registry ls".to_owned(),
            Depth::Repositories => {
                format!("cmdr docker registry catalog {}", quoted(&self.registry))
            }
            Depth::Tags => {
                let name = format!("{}/{}", self.registry, self.repository);
                format!("cmdr docker registry tags {}", quoted(&name))
            }
        }
    }

    /// Takes what is under the cursor away.
    fn remove(&self, context: &Context<'_>, force: bool) -> Action {
        match self.view().selected(context).map(|row| &row.target) {
            Some(Target::Registry { name, .. }) => asks::forget(context, name, self.view().key),
            Some(Target::Named(tag)) if self.depth == Depth::Tags => {
                let gone = DeleteTag {
                    registry: self.registry.clone(),
                    repository: self.repository.clone(),
                    tag: tag.clone(),
                    force,
                };
                asks::delete(context, gone, &self.image(tag), self.view().key)
            }
            _ => Action::None,
        }
    }
}

impl Pane for Registries {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        match self.depth {
            Depth::Registries => TABLES,
            Depth::Repositories => OF_REPOSITORIES,
            Depth::Tags => OF_TAGS,
        }
    }

    fn feeds(&self) -> Vec<Subscription> {
        Vec::new()
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        // What was never asked for, and what was changed here.
        let sheet = self.view().sheet(context);
        let wanted = sheet.is_none_or(|sheet| sheet.came_ms == 0);
        if context.store.is_up() && wanted { self.ask() } else { Action::None }
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.view_mut().order(context);
        match command {
            Command::Open => self.deeper(context),
            Command::Back if self.depth != Depth::Registries => {
                if !matches!(self.view_mut().on(context, command), Action::Pass) {
                    return Action::None;
                }
                self.depth = match self.depth {
                    Depth::Tags => Depth::Repositories,
                    _ => Depth::Registries,
                };
                Action::None
            }
            ADD => asks::add(context, self.view().key),
            REMOVE => self.remove(context, false),
            FORCE => self.remove(context, true),
            REFRESH => self.ask(),
            Command::CopyCommand => Action::Copy(self.line()),
            _ => self.view_mut().on(context, command),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some((self.view().key.1, &self.view().table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.view_mut().table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let (head, body) = sheet::split(area);
        let known = self.view().sheet(context).filter(|sheet| sheet.known && sheet.error.is_none());
        if known.is_none() {
            let lines = sheet::missing(context, self.view().sheet(context));
            return crate::panes::notice(frame, area, &sheet::wrapped(lines, area.width));
        }
        let line = sheet::dotted(context, self.path(context));
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        let none = ["registries.none", "registries.no_repositories", "registries.no_tags"];
        let none = none[self.at()];
        self.view_mut().draw(context, frame, body, [none; 2]);
    }

    fn pick(&mut self, number: u64) {
        self.view_mut().table.select(number);
    }
}
