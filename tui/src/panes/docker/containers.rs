//! The containers: what runs where, as the engines tell it, and what can be done to them.

use super::act::{self, Act};
use super::follow::Followed;
use super::{CHAPTER, Scope};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::panes::sheet::{self, View, column, rest};
use crate::panes::{Context, Entry, Pane, Subscription};
use crate::store::sheets::{Record, Target};
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use cmdr_protocol::Call as _;
use cmdr_protocol::containers::{Start, Stop, Watch};
use ratatui::Frame;
use ratatui::layout::Rect;

const START: Command = Command::Own(0);
const STOP: Command = Command::Own(1);
const FAILED: Command = Command::Own(2);

static TABLES: &[&[Binding]] = &[BINDINGS, CHAPTER, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "containers.key.open").row().hint(),
    key(&["s"], START, "containers.key.start").danger(Start::METHOD).row().hint(),
    key(&["x"], STOP, "containers.key.stop").danger(Stop::METHOD).row().hint(),
    key(&["f"], FAILED, "fleet.key.failed"),
];

/// The host stands first, and is left out where there is only one.
const COLUMNS: &[Column] = &[
    Column { most: 24, ..rest("fleet.col.host", 12, 0) },
    Column { most: 32, ..rest("containers.col.name", 16, 0) },
    column("containers.col.state", 11, 0),
    Column { most: 40, ..rest("containers.col.image", 16, 2) },
    Column { most: 40, ..rest("containers.col.ports", 14, 3) },
    Column { most: 20, ..column("containers.col.project", 12, 4) },
];

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// The chapter.
pub struct Containers {
    followed: Followed<Watch>,
    view: View,
}

impl Containers {
    /// Of these hosts.
    pub fn new(scope: &Scope) -> Self {
        let followed = Followed::new(scope, "containers");
        let mut view = View::new(followed.key(), COLUMNS, 1);
        view.table.left_out = scope.is_one().then_some(0);
        Self { followed, view }
    }
}

fn targets(rows: &[&Record]) -> Vec<act::Target> {
    let target = |row: &&Record| match &row.target {
        Target::Container { id, name } => {
            Some(act::Target { host: row.host, id: id.clone(), name: name.clone() })
        }
        _ => None,
    };
    rows.iter().filter_map(target).collect()
}

const fn act(word: &'static str, command: &'static str) -> Act {
    Act { word, command, many: "containers.many", about: Vec::new() }
}

impl Pane for Containers {
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
        let rows = targets(&self.view.targets(context));
        match command {
            Command::Open => {
                let pager = self.view.detail(context);
                pager.map_or(Action::None, |pager| Action::Open(Box::new(pager)))
            }
            START => {
                let start = act("containers.word.start", "cmdr docker start {} {}");
                act::act(
                    context,
                    &rows,
                    start,
                    |t| Start { container: t.id.clone() },
                    |_| (None, None),
                )
            }
            STOP => {
                let stop = act("containers.word.stop", "cmdr docker stop {} {}");
                let make = |t: &act::Target| Stop { container: t.id.clone(), ..Stop::default() };
                act::act(context, &rows, stop, make, |_| (None, None))
            }
            FAILED => self.followed.who_failed(context),
            _ => self.view.on(context, command),
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
        let count = context.texts.fill("containers.many", &[&count]);
        let mut pieces = vec![(count, Role::Strong)];
        pieces.extend(self.followed.pieces(context));
        let line = sheet::dotted(context, pieces);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        self.view.draw(context, frame, body, ["containers.none"; 2]);
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.view.entries(context, "palette.container")
    }

    fn pick(&mut self, number: u64) {
        self.view.table.select(number);
    }
}
