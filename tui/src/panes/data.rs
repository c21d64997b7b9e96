//! What the hub keeps: each kind with how many, how much on disk, how far back, and how long it is kept; and removing what
//! is old of one kind, after a look at what exactly that is.

use super::sheet::{View, column, dotted, figure, missing, rest, split, wrapped};
use super::{Context, Entry, Pane, Subscription};
use crate::action::{Action, Make};
use crate::keymap::{Binding, Command, LIST, key};
use crate::overlays::confirm::Confirm;
use crate::overlays::prompt::Prompt;
use crate::store::data::{self as store, DATA, KINDS};
use crate::store::sheets::Target;
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use crate::widgets::{format, frame as boxes};
use cmdr_protocol::Call as _;
use cmdr_protocol::data::{Kind, Purge, Purged, Sizes};
use cmdr_protocol::human;
use ratatui::Frame;
use ratatui::layout::Rect;
use std::time::Duration;

const PURGE: Command = Command::Own(0);
const AGAIN: Command = Command::Own(1);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "data.key.open").row().hint(),
    key(&["p"], PURGE, "data.key.purge").danger(Purge::METHOD).row().hint(),
    key(&["R"], AGAIN, "data.key.again").needs(Sizes::METHOD).hint(),
];

const COLUMNS: &[Column] = &[
    Column { most: 26, ..rest("data.col.kind", 16, 0) },
    figure("data.col.count", 10, 2),
    figure("data.col.bytes", 8, 0),
    Column { descending: true, ..column("data.col.first", 11, 1) },
    Column { descending: true, ..column("data.col.last", 11, 4) },
    column("data.col.keep", 16, 3),
    rest("data.col.note", 12, 5),
];

/// Purging reads a great deal.
const SLOW: Duration = Duration::from_mins(2);
/// How old an answer may get.
const AGAIN_MS: u64 = 60_000;

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// The pane.
pub struct DataPane {
    rows: View,
}

impl Default for DataPane {
    fn default() -> Self {
        Self { rows: View::new(DATA, COLUMNS, 2) }
    }
}

fn fetch() -> Action {
    let fetch =
        Action::fetch(None, Sizes {}, SLOW, |answer| (Some(store::sized(answer)), Action::None));
    Action::All(vec![Action::Apply(store::asking()), fetch])
}

/// What would be removed came: it is shown, and asked whether it shall be.
struct Counted(Purge, Purged);

impl Make for Counted {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Self(purge, purged) = *self;
        let name = name(context, purge.kind);
        if purged.count == 0 {
            return Action::Say(texts.fill("data.nothing", &[name]));
        }
        let moment = |ms: u64| {
            format::moment(ms / 1000, context.store.now_ms / 1000, context.store.utc_offset_s)
        };
        let (count, size) = (purged.count.to_string(), format::size(purged.bytes));
        let mut lines = vec![texts.fill("data.would_go", &[&count, &size])];
        if purged.first_ms > 0 {
            let values = [moment(purged.first_ms), moment(purged.last_ms)];
            lines.push(texts.fill("data.from_to", &[&values[0], &values[1]]));
        }
        if purged.staying > 0 {
            lines.push(texts.fill("data.staying", &[&purged.staying.to_string()]));
        }
        let said = texts.get("data.purged");
        let what = texts.fill("data.purge.what", &[name]);
        let apply = Purge { apply: true, ..purge };
        let call = Action::call_within(what, None, apply, SLOW, move |gone| {
            let said = said.replacen("{}", &gone.count.to_string(), 1);
            let said = said.replacen("{}", &format::size(gone.bytes), 1);
            (None, Action::All(vec![fetch(), Action::Say(said)]))
        });
        let title = texts.fill("data.purge.title", &[name, &moment(purge.before_ms)]);
        let kind = purge.kind.as_str();
        let command = format!("cmdr data purge {kind} --before {}", human::moment(purge.before_ms));
        Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
    }
}

fn name(context: &Context<'_>, kind: Kind) -> &'static str {
    let key = KINDS.iter().find(|(known, _)| *known == kind);
    context.texts.get(key.map_or("data.kind.unknown", |(_, key)| *key))
}

impl DataPane {
    fn kind(&self, context: &Context<'_>) -> Option<Kind> {
        match &self.rows.selected(context)?.target {
            Target::Named(word) => Some(Kind::parse(word)),
            _ => None,
        }
    }

    /// Asks how old what goes is to be, then what that would be.
    fn purge(&self, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Some(row) = self.rows.selected(context) else { return Action::None };
        if let Some((_, why)) = row.more.iter().find(|(key, _)| *key == "data.fixed") {
            return Action::Say(texts.reason(why));
        }
        let Some(kind) = self.kind(context) else { return Action::None };
        let title = texts.fill("data.purge.older", &[name(context, kind)]);
        let (now_ms, offset_s) = (context.store.now_ms, context.store.utc_offset_s);
        let wrong = texts.get("data.purge.wrong");
        let what = texts.fill("data.purge.what", &[name(context, kind)]);
        let prompt = Prompt::new(title, "90d".to_owned(), "data.purge.hint", move |text| {
            let before_ms = human::local_ms(text, now_ms, offset_s)
                .filter(|before| (1..=now_ms).contains(before))
                .ok_or_else(|| wrong.to_owned())?;
            let purge = Purge { kind, before_ms, apply: false };
            Ok(Action::call_within(what.clone(), None, purge, SLOW, move |purged| {
                (None, Action::Make(Box::new(Counted(purge, purged))))
            }))
        });
        Action::Open(Box::new(prompt))
    }
}

impl Pane for DataPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn can(&self, _context: &Context<'_>, command: Command) -> bool {
        // Each kind is purged by itself.
        command != Command::Mark
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![super::hosts::feed()]
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let now = context.store.now_ms;
        let sheet = self.rows.sheet(context);
        let waits = sheet.is_some_and(|sheet| {
            let asked = sheet.asked_ms > 0 && now.saturating_sub(sheet.asked_ms) < 150_000;
            asked || (sheet.came_ms > 0 && now.saturating_sub(sheet.came_ms) < AGAIN_MS)
        });
        if waits || !context.store.is_up() { Action::None } else { fetch() }
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.rows.order(context);
        match command {
            Command::Open => {
                let pager = self.rows.detail(context);
                pager.map_or(Action::None, |pager| Action::Open(Box::new(pager.with_wrap())))
            }
            PURGE => self.purge(context),
            AGAIN => fetch(),
            Command::CopyCommand => Action::Copy("cmdr data".to_owned()),
            _ => self.rows.on(context, command),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("data", &self.rows.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.rows.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Some(sheet) = self.rows.sheet(context).filter(|sheet| sheet.known) else {
            let lines = wrapped(missing(context, self.rows.sheet(context)), area.width);
            return super::notice(frame, area, &lines);
        };
        let (head, body) = split(area);
        let texts = context.texts;
        let mut parts = Vec::new();
        for ((text, role), key) in sheet.notes.iter().zip(["data.all", "data.free", "data.room"]) {
            parts.push((texts.fill(key, &[text]), *role));
        }
        if let Some(error) = &sheet.error {
            parts.push((texts.reason(&crate::action::reason(error)), Role::Bad));
        }
        let line = dotted(context, parts);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        self.rows.draw(context, frame, body, ["sheet.loading", "table.nothing_left"]);
        if !context.store.is_up() {
            boxes::fade(frame.buffer_mut(), area, context.theme);
        }
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.rows.entries(context, "palette.row")
    }

    fn pick(&mut self, number: u64) {
        self.rows.table.select(number);
    }
}
