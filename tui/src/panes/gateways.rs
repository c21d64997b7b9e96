//! Gateways of the fleet: how each stands, what goes through it, and below all about the one under the cursor. Written as
//! text ([`super::write`]); [`one`] is the page of one, where traffic is switched.

mod acts;
mod below;
pub mod one;

use super::sheet::{View, column, dotted, figure, missing, number, rest, split, wrapped};
use super::write::Subject;
use super::{Choice, Context, Entry, Pane, Place, Subscription};
use crate::action::{Action, PATIENCE};
use crate::keymap::{Binding, Command, LIST, key};
use crate::store::gateways::{self as store, GATEWAYS};
use crate::store::rights::Offer;
use crate::theme::Role;
use crate::widgets::frame as boxes;
use crate::widgets::table::{self, Column};
use cmdr_protocol::Call as _;
use cmdr_protocol::gateways::{Delete, List, Row, Save, Show, State, Versions};
use cmdr_protocol::history::Query;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

const NEW: Command = Command::Own(0);
const WRITE: Command = Command::Own(1);
const SWITCH: Command = Command::Own(2);
const DELETE: Command = Command::Own(3);
const TEXT: Command = Command::Own(4);
const VERSIONS: Command = Command::Own(5);
const CHART: Command = Command::Own(6);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "gateways.key.open").row().hint(),
    key(&["a"], NEW, "gateways.key.new").danger(Save::METHOD).hint(),
    key(&["w"], WRITE, "gateways.key.write").danger(Save::METHOD).row().hint(),
    key(&["o"], SWITCH, "gateways.key.off").danger(Save::METHOD).row(),
    key(&["x", "<delete>"], DELETE, "gateways.key.delete").danger(Delete::METHOD).row(),
    key(&["c"], CHART, "gateways.key.chart").needs(Query::METHOD).row().hint(),
    key(&["t"], TEXT, "gateways.key.text").needs(Show::METHOD).row(),
    key(&["i"], VERSIONS, "configs.key.versions").needs(Versions::METHOD).row(),
];

const COLUMNS: &[Column] = &[
    column("gateways.col.state", 9, 0),
    Column { most: 24, ..rest("gateways.col.name", 10, 0) },
    Column { most: 20, ..rest("gateways.col.host", 8, 2) },
    Column { most: 40, ..rest("gateways.col.listens", 14, 3) },
    figure("gateways.col.upstreams", 9, 5),
    figure("gateways.col.open", 6, 1),
    figure("gateways.col.new", 6, 1),
    figure("gateways.col.in", 6, 4),
    figure("gateways.col.out", 6, 4),
    figure("gateways.col.errors", 6, 2),
    number("gateways.col.version", 7, 7),
    rest("gateways.col.why", 12, 6),
];

/// How often the list is asked for.
const LIST_MS: u64 = 5000;
/// How often the history is.
const LATELY_MS: u64 = 10_000;
/// What the history keeps is looked for so far back: a step of it and more.
const BACK_MS: u64 = 60_000;
/// Rows that all about one takes, where there is room for it below the list.
const BELOW: u16 = 12;

/// The columns of the list.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// The pane.
pub struct GatewaysPane {
    rows: View,
    /// All about one is shown below the list.
    below: bool,
    sought: Option<u64>,
}

impl Default for GatewaysPane {
    fn default() -> Self {
        Self { rows: View::new(GATEWAYS, COLUMNS, 0), below: false, sought: None }
    }
}

/// Gateways that are known, for the finder.
pub fn entries(context: &Context<'_>) -> Vec<Entry> {
    let rows = context.store.gateways.rows.iter();
    let entry = |(number, row): (&u64, &Row)| Entry {
        kind: "palette.gateway",
        text: row.name.clone(),
        note: format!("{} {}", context.texts.get(store::state(row.state).0), row.host_name),
        choice: Choice::Go(Place::Gateway(*number)),
    };
    let mut entries: Vec<Entry> = rows.map(entry).collect();
    entries.sort_by(|a, b| a.text.cmp(&b.text));
    entries
}

/// The list, when it is due.
fn ask_list(context: &Context<'_>) -> Option<Action> {
    let now = context.store.now_ms;
    let often = context.store.interval_ms(LIST_MS);
    let waits = context.store.sheet(GATEWAYS).is_some_and(|sheet| {
        let asked = sheet.asked_ms > 0 && now.saturating_sub(sheet.asked_ms) < 30_000;
        asked || (sheet.came_ms > 0 && now.saturating_sub(sheet.came_ms) < often)
    });
    if waits {
        return None;
    }
    let fetch = Action::fetch(None, List {}, PATIENCE, |answer| {
        (Some(store::listed(answer)), Action::None)
    });
    Some(Action::All(vec![Action::Apply(store::asking()), fetch]))
}

/// What the history says of them lately, when it is due.
fn ask_lately(context: &Context<'_>) -> Option<Action> {
    let gateways = &context.store.gateways;
    let (now, often) = (context.store.now_ms, context.store.interval_ms(LATELY_MS));
    let fresh = gateways.lately_ms > 0 && now.saturating_sub(gateways.lately_ms) < often;
    let may = context.store.offer(Query::METHOD, false, &[]) != Offer::No;
    if fresh || gateways.busy || gateways.rows.is_empty() || !may {
        return None;
    }
    let query = Query {
        metrics: ["connections", "accepted", "errors", "received", "sent"]
            .map(|figure| format!("gateway.{figure}{{*}}"))
            .to_vec(),
        from_ms: now.saturating_sub(BACK_MS),
        step_ms: 10_000,
        ..Query::default()
    };
    let fetch = Action::fetch(None, query, PATIENCE, |answer| {
        (Some(store::measured(answer)), Action::None)
    });
    Some(Action::All(vec![Action::Apply(store::busy()), fetch]))
}

impl GatewaysPane {
    fn selected<'a>(&self, context: &Context<'a>) -> Option<(u64, &'a Row)> {
        let number = self.rows.table.selected()?;
        context.store.gateways.rows.get(&number).map(|row| (number, row))
    }

    fn head(context: &Context<'_>) -> Line<'static> {
        let Context { store, texts, .. } = *context;
        let rows = &store.gateways.rows;
        let mut parts =
            vec![(texts.fill("gateways.count", &[&rows.len().to_string()]), Role::Strong)];
        for of in [State::Broken, State::Refused, State::Waits, State::Running, State::Off] {
            let count = rows.values().filter(|row| row.state == of).count();
            if count > 0 {
                let (word, role, _) = store::state(of);
                parts.push((format!("{count} {}", texts.get(word)), role));
            }
        }
        let sheet = store.sheet(GATEWAYS);
        if let Some(error) = sheet.and_then(|s| s.error.as_ref()).filter(|_| store.is_up()) {
            parts.push((texts.reason(&crate::action::reason(error)), Role::Bad));
        }
        dotted(context, parts)
    }

    fn act(&self, context: &Context<'_>, command: Command) -> Action {
        let Some((number, row)) = self.selected(context) else { return Action::None };
        match command {
            Command::Open => {
                Action::Enter(Place::Gateway(number), Box::new(one::GatewayPane::new(number)))
            }
            WRITE => acts::write(context, row),
            SWITCH => acts::off(context, row),
            DELETE => acts::delete(context, row),
            CHART => acts::chart(row),
            TEXT => acts::text(row),
            VERSIONS => super::write::versions(context, Subject::Gateway(row.name.clone())),
            Command::CopyValue => Action::Copy(row.name.clone()),
            Command::CopyCommand => Action::Copy(acts::status_line(row)),
            _ => Action::Pass,
        }
    }
}

impl Pane for GatewaysPane {
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
        let sought = self.sought.filter(|n| context.store.gateways.rows.contains_key(n));
        if let Some(sought) = sought {
            self.sought = None;
            self.rows.order(context);
            self.rows.table.select(sought);
        }
        if !context.store.is_up() {
            return Action::None;
        }
        let one = self.selected(context).filter(|_| self.below);
        ask_list(context)
            .or_else(|| one.and_then(|(number, row)| acts::ask(context, number, row)))
            .or_else(|| ask_lately(context))
            .unwrap_or_default()
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.rows.order(context);
        match command {
            NEW => acts::new(context),
            Command::Open
            | WRITE
            | SWITCH
            | DELETE
            | CHART
            | TEXT
            | VERSIONS
            | Command::CopyValue
            | Command::CopyCommand => self.act(context, command),
            Command::Charts if self.selected(context).is_some() => self.act(context, CHART),
            _ => self.rows.on(context, command),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("gateways", &self.rows.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.rows.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.below = false;
        let Some(sheet) = self.rows.sheet(context).filter(|sheet| sheet.known) else {
            let lines = wrapped(missing(context, self.rows.sheet(context)), area.width);
            return super::notice(frame, area, &lines);
        };
        let (head, mut body) = split(area);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &Self::head(context), false);
        if sheet.rows.is_empty() {
            let Context { theme, texts, .. } = *context;
            let soft = |key| Line::styled(texts.get(key), theme.style(Role::Soft));
            let lines = [soft("gateways.none"), soft("gateways.none_next")];
            return super::notice(frame, body, &lines);
        }
        self.below = body.height >= BELOW + 8;
        if self.below {
            // What the list does not need goes to what is below it.
            let rows = (sheet.rows.len() as u16).saturating_add(2);
            let below = BELOW.max(body.height.saturating_sub(rows)).min(body.height / 2);
            let lower = Rect { y: body.bottom() - below, height: below, ..body };
            body.height -= below;
            if let Some((number, row)) = self.selected(context) {
                below::draw(context, frame, lower, number, row);
            }
        }
        self.rows.draw(context, frame, body, ["gateways.none", "table.nothing_left"]);
        if !context.store.is_up() {
            boxes::fade(frame.buffer_mut(), area, context.theme);
        }
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        entries(context)
    }

    fn pick(&mut self, number: u64) {
        self.sought = Some(number);
        self.rows.table.select(number);
    }
}
