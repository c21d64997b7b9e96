//! The status board: how every probe stands by what its agents say together, how long it took lately, how much of the time
//! it was up, and below all about the one under the cursor. Written as text ([`super::write`]) or by a form.

mod acts;
mod columns;
mod detail;

use super::sheet::dotted;
use super::write::Subject;
use super::{Choice, Context, Entry, Pane, Place, Subscription, sought};
use crate::action::{Action, PATIENCE};
use crate::keymap::{Binding, Command, LIST, key};
use crate::store::probes as store;
use crate::theme::Role;
use crate::widgets::{frame as boxes, table};
use cmdr_protocol::history::{Over, Query};
use cmdr_protocol::probes::{Delete, List, Row, Save, Show, State, Status, Try, Versions};
use cmdr_protocol::{Call as _, ErrorKind};
use columns::{BLOCKS, COLUMNS};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

const SPAN: Command = Command::Own(0);
const ONLY: Command = Command::Own(1);
const NEW: Command = Command::Own(2);
const FORM: Command = Command::Own(3);
const WRITE: Command = Command::Own(4);
const SWITCH: Command = Command::Own(5);
const RUN: Command = Command::Own(6);
const DELETE: Command = Command::Own(7);
const TEXT: Command = Command::Own(8);
const CHART: Command = Command::Own(9);
const VERSIONS: Command = Command::Own(10);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "probes.key.open").needs(Status::METHOD).row().hint(),
    key(&["c"], CHART, "probes.key.chart").row().hint(),
    key(&["u"], SPAN, "probes.key.span").hint(),
    key(&["f"], ONLY, "probes.key.only").hint(),
    key(&["R"], RUN, "probes.key.run").needs(Try::METHOD).row().hint(),
    key(&["a"], NEW, "probes.key.new").danger(Save::METHOD).hint(),
    key(&["e"], FORM, "probes.key.form").danger(Save::METHOD).row().hint(),
    key(&["w"], WRITE, "probes.key.write").danger(Save::METHOD).row(),
    key(&["o"], SWITCH, "probes.key.switch").danger(Save::METHOD).row(),
    key(&["x", "<delete>"], DELETE, "probes.key.delete").danger(Delete::METHOD).row(),
    key(&["t"], TEXT, "probes.key.text").needs(Show::METHOD).row(),
    key(&["i"], VERSIONS, "configs.key.versions").needs(Versions::METHOD).row(),
];

/// The spans over which parts are told: a day, a week, a month.
const SPANS: [(u64, &str); 3] = [
    (DAY_MS, "probes.span.day"),
    (7 * DAY_MS, "probes.span.week"),
    (30 * DAY_MS, "probes.span.month"),
];
const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
/// How often the list is asked for.
const LIST_MS: u64 = 5000;
/// How often times are.
const TOOK_MS: u64 = 60_000;
/// Probes whose times are asked for at once.
const AT_ONCE: usize = 60;
/// Rows that all about one takes, where there is room for it below the list.
const BELOW: u16 = 14;

/// The columns of the table.
pub fn columns() -> Vec<table::Column> {
    COLUMNS.to_vec()
}

/// The pane.
#[derive(Default)]
pub struct ProbesPane {
    table: table::State<u64>,
    span: usize,
    /// Only those that are not well.
    only: bool,
    shown: Option<(u64, u64, usize, bool)>,
    /// All about one is shown below the list.
    below: bool,
    sought: Option<u64>,
}

/// Probes that are known, for the finder.
pub fn entries(context: &Context<'_>) -> Vec<Entry> {
    let rows = context.store.probes.rows.iter();
    let mut entries: Vec<Entry> = rows
        .map(|(number, row)| Entry {
            kind: "palette.probe",
            text: row.name.clone(),
            note: context.texts.get(columns::state(row).1).to_owned(),
            choice: Choice::At(Place::Probes, *number),
        })
        .collect();
    entries.sort_by(|a, b| a.text.cmp(&b.text));
    entries
}

impl ProbesPane {
    fn order(&mut self, context: &Context<'_>) {
        let probes = &context.store.probes;
        let made_from = (self.table.version, probes.version, self.span, self.only);
        if self.shown == Some(made_from) {
            return;
        }
        self.shown = Some(made_from);
        let mut text = String::new();
        let mut kept: Vec<(&u64, &Row)> = probes
            .rows
            .iter()
            .filter(|(_, row)| !self.only || columns::rank(row) < 4)
            .filter(|(_, row)| {
                text.clear();
                columns::haystack(context, row, &mut text);
                self.table.filter.keeps(&text)
            })
            .collect();
        let (column, span) = (self.table.sort, self.span);
        let descending = COLUMNS.get(column).is_some_and(|c| c.descending) != self.table.reverse;
        kept.sort_by(|(_, a), (_, b)| {
            let order = columns::compare(column, span, a, b);
            let order = if descending { order.reverse() } else { order };
            order.then_with(|| a.name.cmp(&b.name))
        });
        let order = kept.iter().map(|(number, _)| **number).collect();
        self.table.set_order(order, |number| probes.rows.contains_key(&number));
    }

    fn selected<'a>(&self, context: &Context<'a>) -> Option<(u64, &'a Row)> {
        let number = self.table.selected()?;
        context.store.probes.rows.get(&number).map(|row| (number, row))
    }

    /// The next question, when one is needed and none is under way.
    fn ask(&self, context: &Context<'_>) -> Action {
        let probes = &context.store.probes;
        if probes.busy {
            return Action::None;
        }
        let now = context.store.now_ms;
        let (span_ms, _) = SPANS[self.span];
        let denied = probes.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Denied);
        let other = probes.known && probes.span_ms != span_ms && probes.error.is_none();
        let due = now.saturating_sub(probes.came_ms) >= context.store.interval_ms(LIST_MS);
        if probes.came_ms == 0 || other || (due && !denied) {
            let list = List { span_ms, blocks: BLOCKS };
            let fetch = Action::fetch(None, list, PATIENCE, move |answer| {
                (Some(store::listed(span_ms, answer)), Action::None)
            });
            return Action::All(vec![Action::Apply(store::asking()), fetch]);
        }
        if let Some((number, row)) = self.selected(context).filter(|_| self.below) {
            let stale = probes.stands.as_ref().is_none_or(|(of, _, came)| {
                *of != number || now.saturating_sub(*came) >= context.store.interval_ms(LIST_MS)
            });
            if stale {
                return acts::fetch(number, &row.name, Action::None);
            }
        }
        self.ask_times(context)
    }

    /// Asks how long those took that are seen.
    fn ask_times(&self, context: &Context<'_>) -> Action {
        let Context { store, .. } = *context;
        let now = store.now_ms;
        let due = |number: &&u64| {
            let known = store.probes.took.get(*number);
            known.is_none_or(|(_, came)| now.saturating_sub(*came) >= store.interval_ms(TOOK_MS))
        };
        let seen = self.table.seen().iter().filter(due);
        let asked: Vec<(u64, &Row)> =
            seen.filter_map(|n| Some((*n, store.probes.rows.get(n)?))).take(AT_ONCE).collect();
        if asked.is_empty()
            || store.offer(Query::METHOD, false, &[]) == crate::store::rights::Offer::No
        {
            return Action::None;
        }
        let query = Query {
            metrics: asked.iter().map(|(_, row)| format!("probe.time{{{}}}", row.name)).collect(),
            from_ms: now.saturating_sub(HOUR_MS),
            to_ms: now,
            step_ms: HOUR_MS / 30,
            over: Some(Over::Mean),
            ..Query::default()
        };
        let numbers = asked.into_iter().map(|(number, _)| number).collect();
        let fetch = Action::fetch(None, query, PATIENCE, move |answer| {
            (Some(store::timed(numbers, answer)), Action::None)
        });
        Action::All(vec![Action::Apply(store::asking()), fetch])
    }

    fn head(&self, context: &Context<'_>) -> Line<'static> {
        let Context { store, texts, .. } = *context;
        let rows = || store.probes.rows.values();
        let count = |of: fn(&Row) -> bool| rows().filter(|row| of(row)).count();
        let runs = |row: &Row| !row.off && row.problem.is_empty();
        let of = |state: State| rows().filter(|row| runs(row) && row.state == state).count();
        let told = [
            ("✗", "probes.state.down", of(State::Down), Role::Bad),
            ("!", "probes.state.broken", count(|row| !row.problem.is_empty()), Role::Bad),
            ("◐", "probes.state.degraded", of(State::Degraded), Role::Warn),
            ("?", "probes.state.unknown", of(State::Unknown), Role::Soft),
            ("●", "probes.state.up", of(State::Up), Role::Ok),
            ("◼", "probes.state.paused", count(|row| row.off), Role::Soft),
        ];
        let all = texts.fill("probes.count", &[&store.probes.rows.len().to_string()]);
        let mut parts = vec![(all, Role::Strong)];
        let told = told.into_iter().filter(|(_, _, count, _)| *count > 0);
        parts.extend(told.map(|(sign, word, count, role)| {
            (format!("{sign} {count} {}", texts.get(word)), role)
        }));
        parts.push((texts.get(SPANS[self.span].1).to_owned(), Role::Soft));
        if self.only {
            parts.push((texts.get("probes.only").to_owned(), Role::Accent));
        }
        if let Some(error) = store.probes.error.as_ref().filter(|_| store.is_up()) {
            parts.push((texts.reason(&crate::action::reason(error)), Role::Bad));
        }
        dotted(context, parts)
    }

    /// The chart of a probe: how long it took and whether it was up, of every host that asks.
    fn chart(row: &Row) -> Action {
        let figure = |name: &str| format!("{name}{{{}}}", row.name);
        let mut figures = vec![figure("probe.time"), figure("probe.up")];
        if row.certificate_ends_ms.is_some() {
            figures.push(figure("certificate.left"));
        }
        super::history::open_figures(figures)
    }

    fn act(&self, context: &Context<'_>, command: Command) -> Action {
        let Some((number, row)) = self.selected(context) else { return Action::None };
        match command {
            Command::Open => acts::open(number, &row.name),
            CHART | Command::Charts => Self::chart(row),
            FORM => acts::form(context, row),
            WRITE => acts::write(context, row),
            SWITCH => acts::switch(context, row),
            RUN => acts::run(context, row),
            DELETE => acts::delete(context, row),
            TEXT => acts::text(row),
            VERSIONS => super::write::versions(context, Subject::Probe(row.name.clone())),
            Command::CopyValue => Action::Copy(row.name.clone()),
            Command::CopyCommand => {
                Action::Copy(format!("cmdr probes status {}", super::hosts::quoted(&row.name)))
            }
            _ => Action::Pass,
        }
    }
}

impl Pane for ProbesPane {
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
        if let Some(sought) = self.sought.filter(|n| context.store.probes.rows.contains_key(n)) {
            self.sought = None;
            self.order(context);
            self.table.select(sought);
        }
        if context.store.is_up() { self.ask(context) } else { Action::None }
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.order(context);
        match command {
            SPAN => {
                self.span = (self.span + 1) % SPANS.len();
                return Action::None;
            }
            ONLY => {
                self.only = !self.only;
                return Action::None;
            }
            NEW => return acts::new(context),
            Command::Back if self.only => {
                self.only = false;
                return Action::None;
            }
            _ if self.table.on(command, COLUMNS) => return Action::None,
            Command::NextMatch | Command::PreviousMatch => {
                let text = |number, text: &mut String| {
                    if let Some(row) = context.store.probes.rows.get(&number) {
                        columns::haystack(context, row, text);
                    }
                };
                let found = self.table.seek(command == Command::NextMatch, text);
                return sought(context, found, self.table.sought());
            }
            _ => {}
        }
        match command {
            // Without a probe under the cursor these are what they are everywhere.
            Command::Charts if self.selected(context).is_none() => Action::Pass,
            _ => self.act(context, command),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("probes", &self.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.order(context);
        let Context { store, theme, texts, .. } = *context;
        let width = area.width.saturating_sub(2);
        let head = self.head(context);
        table::put(frame.buffer_mut(), area.x + 1, area.y, width, &head, false);
        let mut body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let probes = &store.probes;
        if probes.rows.is_empty() {
            let soft = |key| Line::styled(texts.get(key), theme.style(Role::Soft));
            let lines = match &probes.error {
                Some(error) if store.is_up() => {
                    let why = texts.reason(&crate::action::reason(error));
                    vec![Line::styled(why, theme.style(Role::Bad))]
                }
                _ if !store.is_up() => vec![soft("overview.no_hub")],
                _ if !probes.known => vec![soft("sheet.loading")],
                _ => vec![soft("probes.none"), soft("probes.none_next")],
            };
            self.below = false;
            return super::notice(frame, body, &lines);
        }
        self.below = body.height >= BELOW + 10;
        if self.below {
            // What the list does not need goes to what is below it.
            let rows = (self.table.order().len() as u16).saturating_add(2);
            let below = BELOW.max(body.height.saturating_sub(rows)).min(body.height / 2);
            let lower = Rect { y: body.bottom() - below, height: below, ..body };
            body.height -= below;
            if let Some((number, row)) = self.selected(context) {
                detail::draw(context, frame, lower, number, row);
            }
        }
        let span = self.span;
        self.table.draw(frame, body, COLUMNS, theme, texts, |number, column, width| {
            match probes.rows.get(&number) {
                Some(row) => columns::cell(context, number, row, span, column.title, width),
                None => table::Cell::Rest(Line::default()),
            }
        });
        if self.table.order().is_empty() {
            let key = if self.only && !self.table.filter.is_on() {
                "probes.all_well"
            } else {
                "table.nothing_left"
            };
            super::notice(frame, body, &[Line::styled(texts.get(key), theme.style(Role::Soft))]);
        }
        if !store.is_up() {
            boxes::fade(frame.buffer_mut(), area, theme);
        }
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        entries(context)
    }

    fn pick(&mut self, number: u64) {
        self.sought = Some(number);
        self.table.select(number);
    }

    fn keepsake(&self) -> Option<String> {
        (self.span > 0).then(|| self.span.to_string())
    }

    fn recall(&mut self, keepsake: &str) {
        if let Some(span) = keepsake.parse().ok().filter(|span| *span < SPANS.len()) {
            self.span = span;
        }
    }
}
