//! Forwards that are kept: who listens, where that leads, how it stands, what goes through it; stopped, switched, cut and
//! removed here, made and changed by a form.

mod acts;

use super::sheet::{View, column, dotted, figure, missing, rest, split, wrapped};
use super::{Choice, Context, Entry, Pane, Place, Subscription, traffic};
use crate::action::{Action, PATIENCE};
use crate::keymap::{Binding, Command, LIST, key};
use crate::store::forwards::{self as store, FORWARDS};
use crate::store::traffic::Traffic;
use crate::theme::Role;
use crate::widgets::frame as boxes;
use crate::widgets::table::{self, Column};
use cmdr_protocol::Call as _;
use cmdr_protocol::forwards::kept::{Cut, Delete, List, Put, Row, Stop, Switch};
use cmdr_protocol::history::Query;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

const NEW: Command = Command::Own(0);
const CHANGE: Command = Command::Own(1);
const SWITCH: Command = Command::Own(2);
const STOP: Command = Command::Own(3);
const CUT: Command = Command::Own(4);
const DELETE: Command = Command::Own(5);
const CHART: Command = Command::Own(6);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "forwards.key.open").row().hint(),
    key(&["s"], SWITCH, "forwards.key.switch").danger(Switch::METHOD).row().hint(),
    key(&["o"], STOP, "forwards.key.stop").danger(Stop::METHOD).row().hint(),
    key(&["d"], CUT, "forwards.key.cut").danger(Cut::METHOD).row().hint(),
    key(&["a"], NEW, "forwards.key.new").danger(Put::METHOD).hint(),
    key(&["e"], CHANGE, "forwards.key.change").danger(Put::METHOD).row().hint(),
    key(&["c"], CHART, "forwards.key.chart").needs(Query::METHOD).row(),
    key(&["x", "<delete>"], DELETE, "forwards.key.delete").danger(Delete::METHOD).row(),
];

const COLUMNS: &[Column] = &[
    column("forwards.col.state", 10, 0),
    Column { most: 20, ..rest("forwards.col.name", 8, 0) },
    Column { most: 40, ..rest("forwards.col.listens", 16, 2) },
    Column { most: 40, ..rest("forwards.col.leads", 16, 1) },
    column("forwards.col.kind", 11, 8),
    figure("forwards.col.open", 5, 1),
    figure("forwards.col.to", 6, 3),
    figure("forwards.col.from", 6, 3),
    figure("forwards.col.total", 7, 6),
    figure("forwards.col.failed", 7, 4),
    figure("forwards.col.sent", 6, 7),
    figure("forwards.col.received", 6, 7),
    rest("forwards.col.why", 12, 5),
];

/// Rows of the live chart.
const TRAFFIC: u16 = 9;
/// How often the list is asked for.
const LIST_MS: u64 = 2000;

/// The columns of the list.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// The pane.
pub struct ForwardsPane {
    rows: View,
}

impl Default for ForwardsPane {
    fn default() -> Self {
        Self { rows: View::new(FORWARDS, COLUMNS, 1) }
    }
}

/// Forwards that are known, for the finder.
pub fn entries(context: &Context<'_>) -> Vec<Entry> {
    let rows = context.store.forwards.rows.iter();
    let entry = |(number, row): (&u64, &Row)| Entry {
        kind: "palette.forward",
        text: row.forward.name.clone(),
        note: format!("{} → {}", row.forward.host, row.forward.leads()),
        choice: Choice::At(Place::Forwards, *number),
    };
    let mut entries: Vec<Entry> = rows.map(entry).collect();
    entries.sort_by(|a, b| a.text.cmp(&b.text));
    entries
}

impl ForwardsPane {
    fn selected<'a>(&self, context: &Context<'a>) -> Option<&'a Row> {
        context.store.forwards.rows.get(&self.rows.table.selected()?)
    }

    /// A live chart of the one under the cursor.
    fn traffic(&self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let none = Traffic::default();
        let number = self.rows.table.selected();
        let name = self.selected(context).map_or("", |row| row.forward.name.as_str());
        let all = &context.store.forwards.traffic;
        let of = number.and_then(|number| all.get(&number)).unwrap_or(&none);
        let every = context.store.interval_ms(LIST_MS);
        traffic::draw(context, frame.buffer_mut(), area, name, of, every);
    }

    fn head(context: &Context<'_>) -> Line<'static> {
        let Context { store, texts, .. } = *context;
        let rows = &store.forwards.rows;
        let count = rows.len().to_string();
        let mut parts = vec![(texts.fill("forwards.count", &[&count]), Role::Strong)];
        let mut states: Vec<_> = rows.values().map(store::state).collect();
        states.sort_by_key(|(.., place)| *place);
        let mut at = 0;
        while let Some((word, role, place)) = states.get(at).copied() {
            let same = states[at..].iter().take_while(|(.., other)| *other == place).count();
            parts.push((format!("{same} {}", texts.get(word)), role));
            at += same;
        }
        let open: u64 =
            rows.values().filter_map(|r| r.stand.as_ref()).map(|s| u64::from(s.open)).sum();
        if open > 0 {
            parts.push((texts.fill("gateways.open", &[&open.to_string()]), Role::Text));
        }
        let sheet = store.sheet(FORWARDS);
        if let Some(error) = sheet.and_then(|s| s.error.as_ref()).filter(|_| store.is_up()) {
            parts.push((texts.reason(&crate::action::reason(error)), Role::Bad));
        }
        dotted(context, parts)
    }
}

impl Pane for ForwardsPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn can(&self, _context: &Context<'_>, command: Command) -> bool {
        // Each is acted on by itself.
        command != Command::Mark
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![super::hosts::feed()]
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let now = context.store.now_ms;
        let often = context.store.interval_ms(LIST_MS);
        let waits = self.rows.sheet(context).is_some_and(|sheet| {
            let asked = sheet.asked_ms > 0 && now.saturating_sub(sheet.asked_ms) < 30_000;
            // What failed is not asked for as often.
            let often = if sheet.error.is_some() { often * 5 } else { often };
            asked || (sheet.came_ms > 0 && now.saturating_sub(sheet.came_ms) < often)
        });
        if waits || !context.store.is_up() {
            return Action::None;
        }
        let fetch = Action::fetch(None, List {}, PATIENCE, |answer| {
            (Some(store::listed(answer)), Action::None)
        });
        Action::All(vec![Action::Apply(store::asking()), fetch])
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.rows.order(context);
        if command == NEW {
            return acts::new(context);
        }
        let Some(row) = self.selected(context) else { return self.rows.on(context, command) };
        match command {
            Command::Open => acts::open(context, row),
            CHANGE => acts::change(context, row),
            SWITCH => acts::switch(context, row),
            STOP => acts::stop(context, row),
            CUT => acts::cut(context, row),
            DELETE => acts::delete(context, row),
            CHART | Command::Charts => acts::chart(row),
            Command::CopyValue => Action::Copy(row.forward.name.clone()),
            Command::CopyCommand => Action::Copy(acts::status_line(row)),
            _ => self.rows.on(context, command),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("forwards", &self.rows.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.rows.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Some(sheet) = self.rows.sheet(context).filter(|sheet| sheet.known) else {
            let lines = wrapped(missing(context, self.rows.sheet(context)), area.width);
            return super::notice(frame, area, &lines);
        };
        let (head, mut body) = split(area);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &Self::head(context), false);
        if sheet.rows.is_empty() {
            let Context { theme, texts, .. } = *context;
            let soft = |key| Line::styled(texts.get(key), theme.style(Role::Soft));
            let lines = vec![soft("forwards.none"), soft("forwards.none_next")];
            return super::notice(frame, body, &wrapped(lines, area.width));
        }
        let rows = u16::try_from(sheet.rows.len()).unwrap_or(u16::MAX);
        if body.height >= 3 * TRAFFIC || body.height >= rows.saturating_add(TRAFFIC + 1) {
            let lower = Rect { y: body.bottom() - TRAFFIC, height: TRAFFIC, ..body };
            body.height -= TRAFFIC;
            self.traffic(context, frame, lower);
        }
        self.rows.draw(context, frame, body, ["forwards.none", "table.nothing_left"]);
        if !context.store.is_up() {
            boxes::fade(frame.buffer_mut(), area, context.theme);
        }
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        entries(context)
    }

    fn pick(&mut self, number: u64) {
        self.rows.table.select(number);
    }
}
