//! The compose projects that the hub keeps: how they stand on their hosts, what bringing one up would change, and what can
//! be done with it there and in its file. On the page of some hosts only those of them that a project is for are asked.

mod ask;
mod kept;
mod named;
mod page;
mod work;

use super::{CHAPTER, Scope};
use crate::action::{Action, PATIENCE};
use crate::keymap::{Binding, Command, LIST, key};
use crate::panes::hosts::quoted;
use crate::panes::sheet::{self, View, column, figure, number, rest};
use crate::panes::{Choice, Context, Entry, Pane, Subscription};
use crate::store::compose::{self as store, SHEET};
use crate::store::rights::Offer;
use crate::store::sheets::id_of;
use crate::theme::Role;
use crate::widgets::format;
use crate::widgets::table::{self, Column};
use cmdr_protocol::compose::kept::{Delete, Deploy, Kept, List, Save, Show, Versions};
use cmdr_protocol::compose::{Down, Look, Stop};
use cmdr_protocol::{Call as _, Feed as _, HostId, logs};
use ratatui::Frame;
use ratatui::layout::Rect;

const UP: Command = Command::Own(0);
const STOP: Command = Command::Own(1);
const DOWN: Command = Command::Own(2);
const LOGS: Command = Command::Own(3);
const TEXT: Command = Command::Own(4);
const VERSIONS: Command = Command::Own(5);
const NEW: Command = Command::Own(6);
const FILE: Command = Command::Own(7);
const DELETE: Command = Command::Own(8);
const AGAIN: Command = Command::Own(9);
const PROGRESS: Command = Command::Own(10);

/// Its key tables.
pub static TABLES: &[&[Binding]] = &[BINDINGS, CHAPTER, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>", "d"], Command::Open, "projects.key.open").needs(Look::METHOD).row().hint(),
    key(&["u"], UP, "projects.key.up").danger(Deploy::METHOD).row().hint(),
    key(&["l"], LOGS, "containers.key.logs").needs(logs::Follow::METHOD).row().hint(),
    key(&["x"], STOP, "containers.key.stop").danger(Stop::METHOD).row().hint(),
    key(&["D"], DOWN, "projects.key.down").danger(Down::METHOD).row(),
    key(&["t"], TEXT, "projects.key.text").needs(Show::METHOD).row(),
    key(&["H"], VERSIONS, "projects.key.versions").needs(Versions::METHOD).row(),
    key(&["+"], NEW, "projects.key.new").danger(Save::METHOD).hint(),
    key(&["e"], FILE, "projects.key.file").danger(Save::METHOD).row(),
    key(&["C-x"], DELETE, "projects.key.delete").danger(Delete::METHOD).row(),
    key(&["R"], AGAIN, "projects.key.again").needs(Look::METHOD).row(),
    key(&["p"], PROGRESS, "projects.key.progress"),
];

const COLUMNS: &[Column] = &[
    Column { most: 30, ..rest("projects.col.name", 12, 0) },
    number("projects.col.version", 7, 4),
    column("projects.col.state", 9, 0),
    figure("projects.col.running", 7, 1),
    Column { most: 48, ..rest("projects.col.drift", 14, 2) },
    Column { most: 30, ..rest("projects.col.hosts", 10, 3) },
    Column { descending: true, ..column("projects.col.saved", 11, 5) },
    column("projects.col.by", 12, 6),
    rest("projects.col.note", 12, 7),
];

/// The list is asked for again after this long.
const LIST_MS: u64 = 15_000;
/// An answer that was lost with its link is not waited for any longer.
const WAITED_MS: u64 = 120_000;

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// A project, and which hosts are meant.
#[derive(Clone)]
pub(super) struct Project {
    kept: Kept,
    /// Only these; all that it is for otherwise.
    within: Option<Vec<HostId>>,
}

/// The chapter.
pub struct Projects {
    scope: Scope,
    view: View,
    /// When the list was asked for.
    asked_ms: u64,
}

impl Projects {
    /// Of these hosts.
    pub fn new(scope: &Scope) -> Self {
        let view = View::new(scope.sheet(SHEET), COLUMNS, 0);
        Self { scope: scope.clone(), view, asked_ms: 0 }
    }

    fn within(&self) -> Option<Vec<HostId>> {
        match &self.scope {
            Scope::Host(host) => Some(vec![*host]),
            Scope::Hosts(hosts, _) => Some(hosts.clone()),
            Scope::Fleet => None,
        }
    }

    fn project(&self, kept: &Kept) -> Project {
        Project { kept: kept.clone(), within: self.within() }
    }

    /// The one under the cursor.
    fn selected(&self, context: &Context<'_>) -> Option<Project> {
        let id = self.view.table.selected()?;
        let kept = context.store.compose.kept.values().find(|kept| id_of(&kept.name) == id)?;
        Some(self.project(kept))
    }

    /// Asks for the list, then hosts about one project after the other.
    fn ask(&mut self, context: &Context<'_>) -> Action {
        let (known, key) = (context.store, self.view.key);
        let since = |at_ms: u64| known.now_ms.saturating_sub(at_ms);
        let sheet = self.view.sheet(context);
        let old = sheet.is_none_or(|sheet| sheet.came_ms == 0 || since(sheet.came_ms) >= LIST_MS);
        let stale = sheet.is_some_and(|sheet| sheet.known && sheet.came_ms == 0);
        if old && (stale || self.asked_ms == 0 || since(self.asked_ms) >= LIST_MS) {
            self.asked_ms = known.now_ms.max(1);
            return Action::fetch(None, List {}, PATIENCE, move |listing| {
                (Some(store::listed(key, listing)), Action::None)
            });
        }
        if !sheet.is_some_and(|sheet| sheet.known)
            || known.offer(Look::METHOD, false, &[]) == Offer::No
        {
            return Action::None;
        }
        let names = || known.compose.kept.values();
        let waits = |kept: &Kept| match known.compose.look(key, &kept.name) {
            Some(look) => look.came.is_none() && since(look.asked_ms) < WAITED_MS,
            None => false,
        };
        if names().any(waits) {
            return Action::None;
        }
        let next = names().find(|kept| {
            known.compose.look(key, &kept.name).is_none_or(|look| look.came.is_none())
        });
        match next {
            Some(kept) => ask::look(key, self.project(kept)),
            None => Action::None,
        }
    }

    fn act(context: &Context<'_>, command: Command, project: &Project) -> Action {
        let name = &project.kept.name;
        match command {
            Command::Open => page::open(context, project),
            UP => page::plan(context, project),
            STOP => work::stop(project),
            DOWN => work::down(context, project),
            LOGS => ask::logs(project),
            TEXT => kept::text(name),
            VERSIONS => kept::versions(context, name),
            FILE => kept::put(context, Some(&project.kept)),
            DELETE => kept::delete(context, name),
            AGAIN => Action::Apply(store::stale(name)),
            Command::CopyCommand => {
                Action::Copy(format!("cmdr docker compose ps {}", quoted(name)))
            }
            _ => Action::Pass,
        }
    }
}

impl Pane for Projects {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn can(&self, context: &Context<'_>, command: Command) -> bool {
        command != PROGRESS || context.store.compose.last().is_some()
    }

    fn feeds(&self) -> Vec<Subscription> {
        Vec::new()
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        if context.store.is_up() { self.ask(context) } else { Action::None }
    }

    fn at_hand(&self) -> Vec<HostId> {
        self.within().unwrap_or_default()
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.view.order(context);
        match command {
            NEW => return kept::put(context, None),
            PROGRESS => {
                let last = context.store.compose.last();
                return last.map_or(Action::None, |last| work::show(last.number));
            }
            _ => {}
        }
        let done = self.selected(context).map(|project| Self::act(context, command, &project));
        match done {
            None | Some(Action::Pass) => self.view.on(context, command),
            Some(action) => action,
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("projects", &self.view.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.view.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Some(sheet) = self.view.sheet(context).filter(|sheet| sheet.known) else {
            let lines = sheet::missing(context, self.view.sheet(context));
            return crate::panes::notice(frame, area, &sheet::wrapped(lines, area.width));
        };
        let (head, body) = sheet::split(area);
        let texts = context.texts;
        let count = format::count(sheet.rows.len());
        let mut pieces = vec![(texts.fill("projects.many", &[&count]), Role::Strong)];
        let compose = &context.store.compose;
        let asked =
            |name: &String| compose.look(self.view.key, name).is_some_and(|l| l.came.is_none());
        if let Some(name) = compose.kept.keys().find(|name| asked(name)) {
            let name = cmdr_protocol::display::clean(name);
            pieces.push((texts.fill("projects.looking", &[&name]), Role::Info));
        }
        if let Some(last) = compose.last().filter(|last| !last.is_over()) {
            pieces.push((last.what.clone(), Role::Accent));
        }
        let line = sheet::dotted(context, pieces);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        self.view.draw(context, frame, body, ["projects.none", "projects.none"]);
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        let name = |kept: &Kept| cmdr_protocol::display::clean(&kept.name).into_owned();
        let kept = context.store.compose.kept.values();
        let entry = |kept: &Kept| Entry {
            kind: "palette.project",
            text: name(kept),
            note: String::new(),
            choice: Choice::Pick(id_of(&kept.name)),
        };
        kept.map(entry).collect()
    }

    fn pick(&mut self, number: u64) {
        self.view.table.select(number);
    }
}
