//! Runs that there were and those that go on; beside them the runbooks, the schedules that begin runs, and the config
//! groups ([`super::configs`]), whose pushes are runs.

mod acts;

use super::sheet::{self, View, column, figure, number, rest};
use super::{Choice, Context, Entry, Pane, Place, Subscription, configs};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::store::configs::{self as groups, CONFIGS};
use crate::store::rights::Offer;
use crate::store::runs::{self, BOOKS, RUNS, SCHEDULES};
use crate::store::sheets::{Record, SheetKey, Value};
use crate::store::{FeedKey, FeedState, Update};
use crate::theme::Role;
use crate::widgets::format;
use crate::widgets::table::{self, Column};
pub(super) use acts::{again, pause, retry, signature, stop};
use cmdr_protocol::runs::{
    Delete, DeleteSchedule, List, ListSchedules, ListWatch, Pause, PauseSchedule, Plan, Retry, Run,
    Stop,
};
use cmdr_protocol::{Call as _, HostId, RunId, configs as asks, runbooks};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use std::time::Duration;

const NEXT: Command = Command::Own(0);
const TO_RUNS: Command = Command::Own(1);
/// Shows the runbooks.
pub const TO_BOOKS: Command = Command::Own(2);
const TO_SCHEDULES: Command = Command::Own(3);
const STOP: Command = Command::Own(4);
const PAUSE: Command = Command::Own(5);
const RETRY: Command = Command::Own(6);
const OPEN_ONES: Command = Command::Own(7);
const TEXT: Command = Command::Own(8);
const DELETE: Command = Command::Own(9);
const AGAIN: Command = Command::Own(10);
const STOP_ALL: Command = Command::Own(11);
/// Shows the config groups.
pub const TO_CONFIGS: Command = Command::Own(12);
const ERASE: Command = Command::Own(13);

static OF_RUNS: &[&[Binding]] = &[RUN_KEYS, TABS, LIST];
static OF_BOOKS: &[&[Binding]] = &[BOOK_KEYS, TABS, LIST];
static OF_SCHEDULES: &[&[Binding]] = &[SCHEDULE_KEYS, TABS, LIST];
static OF_CONFIGS: &[&[Binding]] = &[configs::OF_LIST, configs::GROUP, TABS, LIST];

/// The key tables of the lists that are not the first one.
pub const TABLES_BESIDE: [(&str, &[&[Binding]]); 3] =
    [("runbooks", OF_BOOKS), ("schedules", OF_SCHEDULES), ("configs", OF_CONFIGS)];

const TABS: &[Binding] = &[
    key(&["<tab>"], NEXT, "runs.key.next").hint(),
    key(&["1"], TO_RUNS, "runs.key.runs"),
    key(&["2"], TO_BOOKS, "runs.key.books").needs(runbooks::List::METHOD),
    key(&["3"], TO_SCHEDULES, "runs.key.schedules").needs(ListSchedules::METHOD),
    key(&["4"], TO_CONFIGS, "runs.key.configs").needs(asks::List::METHOD),
];

const RUN_KEYS: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "runs.key.open").row().hint(),
    key(&["e"], AGAIN, "runs.key.again").needs(Plan::METHOD).row().hint(),
    key(&["f"], OPEN_ONES, "runs.key.open_ones").hint(),
    key(&["x", "<delete>"], STOP, "runs.key.stop").danger(Stop::METHOD).row().hint(),
    key(&["H"], STOP_ALL, "runs.key.stop_all").danger(Stop::METHOD),
    key(&["p"], PAUSE, "runs.key.pause").danger(Pause::METHOD),
    key(&["R"], RETRY, "runs.key.retry").danger(Retry::METHOD),
    key(&["D"], ERASE, "runs.key.delete").danger(Delete::METHOD),
];

const BOOK_KEYS: &[Binding] = &[
    key(&["<enter>", "e"], Command::Open, "runbooks.key.compose").needs(Plan::METHOD).row().hint(),
    key(&["t", "<right>"], TEXT, "runbooks.key.text").needs(runbooks::Show::METHOD).row().hint(),
];

const SCHEDULE_KEYS: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "schedules.key.open").row().hint(),
    key(&["p"], PAUSE, "schedules.key.pause").danger(PauseSchedule::METHOD).row().hint(),
    key(&["x", "<delete>"], DELETE, "schedules.key.delete")
        .danger(DeleteSchedule::METHOD)
        .row()
        .hint(),
];

const RUN_COLUMNS: &[Column] = &[
    Column { descending: true, ..column("runs.col.begun", 11, 1) },
    column("runs.col.state", 10, 0),
    column("runs.col.operator", 12, 5),
    rest("runs.col.order", 18, 0),
    figure("runs.col.hosts", 6, 3),
    figure("runs.col.ok", 6, 2),
    figure("runs.col.bad", 6, 0),
    figure("runs.col.left", 6, 4),
    Column { most: 40, ..rest("runs.col.note", 10, 6) },
];

const BOOK_COLUMNS: &[Column] = &[
    Column { most: 36, ..rest("runbooks.col.name", 18, 0) },
    number("runbooks.col.version", 8, 1),
    figure("runbooks.col.steps", 6, 3),
    Column { descending: true, ..column("runbooks.col.saved", 11, 4) },
    column("runbooks.col.by", 12, 5),
    rest("runbooks.col.description", 20, 0),
    column("runbooks.col.signed", 10, 2),
];

const SCHEDULE_COLUMNS: &[Column] = &[
    Column { most: 30, ..rest("schedules.col.name", 14, 0) },
    column("runs.col.state", 8, 0),
    Column { most: 34, ..rest("schedules.col.when", 12, 0) },
    column("schedules.col.next", 11, 2),
    rest("runs.col.order", 16, 1),
    Column { most: 30, ..rest("runs.col.selector", 10, 4) },
    column("runs.col.operator", 12, 5),
];

/// The columns of the runs.
pub fn columns() -> Vec<Column> {
    RUN_COLUMNS.to_vec()
}

/// The columns of the runbooks.
pub fn book_columns() -> Vec<Column> {
    BOOK_COLUMNS.to_vec()
}

/// The columns of the schedules.
pub fn schedule_columns() -> Vec<Column> {
    SCHEDULE_COLUMNS.to_vec()
}

/// Runs that are asked for anew.
const FRESH: usize = 30;
/// Runs in a page of older ones.
const PAGE: u32 = 200;
/// How often they are asked for: while some go on, and otherwise.
const PACE_MS: [u64; 2] = [2000, 5000];
/// How often groups are, which people change by hand.
const CONFIGS_MS: u64 = 15_000;
const PATIENCE: Duration = Duration::from_secs(15);
/// Rows below the cursor with which older ones are asked for.
const AHEAD: usize = 10;

/// Which list is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Runs,
    Books,
    Schedules,
    Configs,
}

/// What each list is called in the line above it, where its rows are, and what one must be allowed to see it.
const KINDS: [(Kind, &str, SheetKey, &str); 4] = [
    (Kind::Runs, "runs.tab.runs", RUNS, List::METHOD),
    (Kind::Books, "runs.tab.books", BOOKS, runbooks::List::METHOD),
    (Kind::Schedules, "runs.tab.schedules", SCHEDULES, ListSchedules::METHOD),
    (Kind::Configs, "runs.tab.configs", CONFIGS, asks::List::METHOD),
];

/// The pane.
pub struct RunsPane {
    kind: Kind,
    views: [View; 4],
    /// The row to go to as soon as it is there.
    sought: Option<u64>,
}

impl Default for RunsPane {
    fn default() -> Self {
        let views = [
            View::new(RUNS, RUN_COLUMNS, 0),
            View::new(BOOKS, BOOK_COLUMNS, 0),
            View::new(SCHEDULES, SCHEDULE_COLUMNS, 0),
            configs::view(),
        ];
        Self { kind: Kind::Runs, views, sought: None }
    }
}

/// The feed of what changes in the lists.
fn news_key() -> FeedKey {
    FeedKey::own::<ListWatch>(None, 0)
}

fn goes_on(row: &Record) -> bool {
    matches!(row.values.get(7), Some(Value::Figure(left, ..)) if *left > 0)
}

/// Runs that are known, for the finder.
pub fn entries(context: &Context<'_>) -> Vec<Entry> {
    let known = context.store.runs.known.iter();
    let mut runs: Vec<(&RunId, &Run)> = known.collect();
    runs.sort_by(|a, b| b.1.created_ms.cmp(&a.1.created_ms).then(a.0.cmp(b.0)));
    let entry = |(id, run): (&RunId, &Run)| Entry {
        kind: "palette.run",
        text: format!("{} {}", run.what, run.hosts),
        note: format!("{} {}", run.operator, id),
        choice: Choice::Go(Place::Run(*id)),
    };
    runs.into_iter().map(entry).collect()
}

/// Runbooks that are known, for the finder: each is composed with.
pub fn book_entries(context: &Context<'_>) -> Vec<Entry> {
    if context.store.offer(Plan::METHOD, false, &[]) == Offer::No {
        return Vec::new();
    }
    let Some(sheet) = context.store.sheet(BOOKS) else { return Vec::new() };
    let cell = |row: &Record, at: usize| row.values.get(at).map_or("", Value::plain).to_owned();
    let entry = |row: &Record| Entry {
        kind: "palette.runbook",
        text: cell(row, 0),
        note: cell(row, 5),
        choice: Choice::Open(Place::Compose, cell(row, 0)),
    };
    let mut entries: Vec<Entry> = sheet.rows.values().map(entry).collect();
    entries.sort_by(|a, b| a.text.cmp(&b.text));
    entries
}

impl RunsPane {
    fn view(&self) -> &View {
        &self.views[self.kind as usize]
    }

    fn view_mut(&mut self) -> &mut View {
        &mut self.views[self.kind as usize]
    }

    fn run<'a>(&self, context: &Context<'a>) -> Option<&'a Run> {
        let id = RunId(self.view().selected(context)?.id.to_be_bytes());
        context.store.runs.known.get(&id)
    }

    /// The name of the group of a row, as the hub tells it.
    fn group(context: &Context<'_>, row: &Record) -> Option<String> {
        context.store.configs.known.get(&row.id).map(|config| config.name.clone())
    }

    fn chosen_group(&self, context: &Context<'_>) -> Option<String> {
        Self::group(context, self.view().selected(context)?)
    }

    fn may(context: &Context<'_>, verb: &str) -> bool {
        context.store.offer(verb, false, &[]) != Offer::No
    }

    fn to(&mut self, context: &Context<'_>, kind: Kind) {
        let may = KINDS.iter().any(|(of, _, _, verb)| *of == kind && Self::may(context, verb));
        if may {
            self.kind = kind;
        }
    }

    /// Asks for what is shown, now and then.
    fn ask(&self, context: &Context<'_>) -> Action {
        let store = context.store;
        let key = KINDS[self.kind as usize].2;
        let sheet = store.sheet(key);
        let open = sheet.is_some_and(|sheet| sheet.rows.values().any(goes_on));
        let pace = match self.kind {
            Kind::Configs => CONFIGS_MS,
            kind => PACE_MS[usize::from(!(open && kind == Kind::Runs))],
        };
        let (came, asked) = sheet.map_or((0, 0), |sheet| (sheet.came_ms, sheet.asked_ms));
        // A hub that tells what changes is asked once, and again when that did not go well.
        let told = matches!(self.kind, Kind::Runs | Kind::Schedules)
            && matches!(store.feeds.get(&news_key()), Some(FeedState::Live))
            && sheet.is_none_or(|sheet| sheet.error.is_none());
        let due = if told {
            came == 0
        } else {
            store.now_ms.saturating_sub(came) >= store.interval_ms(pace)
        };
        // An answer that was lost with its link is not waited for any longer.
        let waits = asked > 0 && store.now_ms.saturating_sub(asked) < 20_000;
        let passing = sheet.and_then(|s| s.error.as_ref()).is_none_or(crate::link::is_passing);
        if !due || waits || !passing {
            return Action::None;
        }
        let now_ms = store.now_ms;
        let asking = Action::Apply(Update::new(move |store| {
            store.sheet_mut(key).asked_ms = now_ms;
        }));
        let fetch = match self.kind {
            Kind::Runs => {
                // As far back as one goes on.
                let oldest = store.runs.known.values().filter(|run| !run.state.is_over());
                let oldest = oldest.map(|run| run.created_ms).min().unwrap_or(u64::MAX);
                let newer = store.runs.known.values().filter(|run| run.created_ms >= oldest);
                let first = if sheet.is_some_and(|sheet| sheet.known) { FRESH } else { 100 };
                let limit = newer.count().clamp(first, 500) as u32;
                Action::fetch(None, List { limit, ..List::default() }, PATIENCE, |listing| {
                    (Some(runs::listed(false, listing)), Action::None)
                })
            }
            Kind::Books => Action::fetch(None, runbooks::List {}, PATIENCE, |l| {
                (Some(runs::book(l)), Action::None)
            }),
            Kind::Schedules => Action::fetch(None, ListSchedules {}, PATIENCE, |listing| {
                (Some(runs::schedule(listing)), Action::None)
            }),
            Kind::Configs => Action::fetch(None, asks::List {}, PATIENCE, |listing| {
                (Some(groups::listed(listing)), Action::None)
            }),
        };
        Action::All(vec![asking, fetch])
    }

    /// Asks for older runs when the cursor comes near the end.
    fn page(&self, context: &Context<'_>) -> Action {
        let runs = &context.store.runs;
        let near = self.view().table.place().1 < AHEAD;
        if self.kind != Kind::Runs || !runs.more || runs.paging || !near {
            return Action::None;
        }
        // A hub that does not say where a page ends goes by time.
        let oldest = || runs.known.values().map(|run| run.created_ms).min();
        let before_ms = if runs.next.is_empty() { oldest() } else { None };
        let list = List { before_ms, after: runs.next.clone(), limit: PAGE, ..List::default() };
        let asking = Action::Apply(Update::new(|store| store.runs.paging = true));
        let fetch = Action::fetch(None, list, PATIENCE, |listing| {
            (Some(runs::listed(true, listing)), Action::None)
        });
        Action::All(vec![asking, fetch])
    }

    fn tabs(&self, context: &Context<'_>) -> Line<'static> {
        let Context { theme, texts, store, .. } = *context;
        let mut line = Line::default();
        let shown = KINDS.iter().filter(|(.., verb)| Self::may(context, verb));
        for (n, (kind, word, key, _)) in shown.enumerate() {
            let role = if *kind == self.kind { Role::TabActive } else { Role::Tab };
            let count = store.sheet(*key).filter(|sheet| sheet.known);
            let count = count.map(|sheet| format!(" {}", format::count(sheet.rows.len())));
            let text = format!(" {} {}{} ", n + 1, texts.get(word), count.unwrap_or_default());
            line.push_span(Span::styled(text, theme.style(role)));
        }
        line.push_span(Span::raw("  "));
        line
    }

    fn head(&self, context: &Context<'_>) -> Line<'static> {
        let mut line = self.tabs(context);
        let Context { texts, .. } = *context;
        let sheet = self.view().sheet(context);
        let mut pieces = Vec::new();
        if self.kind == Kind::Runs {
            let open = sheet.map_or(0, |sheet| sheet.rows.values().filter(|r| goes_on(r)).count());
            if open > 0 {
                let text = texts.fill("runs.head.open", &[&format::count(open)]);
                pieces.push((format!("● {text}"), Role::Info));
            }
            if self.view().only.is_some() {
                pieces.push((texts.get("runs.only_open").to_owned(), Role::Accent));
            }
            if context.store.runs.more {
                pieces.push((texts.get("runs.older").to_owned(), Role::Faint));
            }
        }
        if let Some(error) = sheet.filter(|s| s.known).and_then(|s| s.error.as_ref()) {
            pieces.push((format!("✗ {}", crate::action::reason(error)), Role::Bad));
        }
        line.extend(sheet::dotted(context, pieces));
        line
    }

    fn open(&mut self, context: &Context<'_>) -> Action {
        let Some(row) = self.view().selected(context) else { return Action::None };
        match self.kind {
            Kind::Runs => Action::Go(Place::Run(RunId(row.id.to_be_bytes()))),
            Kind::Books => {
                let name = row.values.first().map_or("", Value::plain).to_owned();
                Choice::Open(Place::Compose, name).action()
            }
            Kind::Schedules => {
                let schedule = context.store.runs.schedules.get(&row.id);
                match schedule.and_then(|schedule| schedule.last) {
                    Some(run) => Action::Go(Place::Run(run)),
                    None => Action::Say(context.texts.get("schedules.never").to_owned()),
                }
            }
            Kind::Configs => {
                Self::group(context, row).map_or(Action::None, |name| configs::acts::open(&name))
            }
        }
    }
}

impl Pane for RunsPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        match self.kind {
            Kind::Runs => OF_RUNS,
            Kind::Books => OF_BOOKS,
            Kind::Schedules => OF_SCHEDULES,
            Kind::Configs => OF_CONFIGS,
        }
    }

    fn can(&self, context: &Context<'_>, command: Command) -> bool {
        !configs::acts::is_one(command) || self.chosen_group(context).is_some()
    }

    fn feeds(&self) -> Vec<Subscription> {
        let news = Subscription::of_pane(news_key(), ListWatch::default(), runs::news);
        vec![super::hosts::feed(), news]
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        if !context.store.is_up() {
            return Action::None;
        }
        if let Some(sought) = self.sought
            && self.view().sheet(context).is_some_and(|sheet| sheet.rows.contains_key(&sought))
        {
            self.sought = None;
            self.view_mut().order(context);
            self.view_mut().table.select(sought);
        }
        match self.ask(context) {
            Action::None => self.page(context),
            action => action,
        }
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.view_mut().order(context);
        match command {
            Command::Open => self.open(context),
            NEXT => {
                let at = self.kind as usize;
                let mut later = (1..=KINDS.len()).map(|by| KINDS[(at + by) % KINDS.len()]);
                if let Some((kind, ..)) = later.find(|k| Self::may(context, k.3)) {
                    self.kind = kind;
                }
                Action::None
            }
            TO_RUNS => {
                self.to(context, Kind::Runs);
                Action::None
            }
            TO_BOOKS => {
                self.to(context, Kind::Books);
                Action::None
            }
            TO_SCHEDULES => {
                self.to(context, Kind::Schedules);
                Action::None
            }
            TO_CONFIGS => {
                self.to(context, Kind::Configs);
                Action::None
            }
            configs::NEW => configs::acts::new(context),
            configs::DELETE => match self.chosen_group(context) {
                Some(name) => configs::acts::delete(context, &name),
                None => Action::None,
            },
            _ if configs::acts::is_one(command) => match self.chosen_group(context) {
                Some(name) => configs::acts::on(context, command, &name, &[]),
                None => Action::None,
            },
            OPEN_ONES => {
                let view = self.view_mut();
                view.only = if view.only.is_none() { Some(goes_on) } else { None };
                Action::None
            }
            AGAIN => self.run(context).map_or(Action::None, |run| again(context, run)),
            STOP => self.run(context).map_or(Action::None, |run| stop(context, run)),
            STOP_ALL => acts::stop_all(),
            RETRY => self.run(context).map_or(Action::None, |run| retry(context, run, &[])),
            ERASE => self.run(context).map_or(Action::None, |run| acts::delete_run(context, run)),
            PAUSE if self.kind == Kind::Runs => {
                self.run(context).map_or(Action::None, |run| pause(context, run))
            }
            PAUSE => self
                .view()
                .selected(context)
                .map_or(Action::None, |row| acts::pause_schedule(context, row.id)),
            DELETE => self
                .view()
                .selected(context)
                .map_or(Action::None, |row| acts::delete_schedule(context, row.id)),
            TEXT => self.view().selected(context).map_or(Action::None, |row| {
                acts::book_text(row.values.first().map_or("", Value::plain))
            }),
            Command::CopyCommand => match self.view().selected(context) {
                Some(row) => Action::Copy(match self.kind {
                    Kind::Runs => format!("cmdr run show {}", RunId(row.id.to_be_bytes())),
                    Kind::Books => {
                        let name = row.values.first().map_or("", Value::plain);
                        format!("cmdr runbook show {}", super::hosts::quoted(name))
                    }
                    Kind::Schedules => "cmdr run schedule ls".to_owned(),
                    Kind::Configs => {
                        let name = row.values.first().map_or("", Value::plain);
                        format!("cmdr config show {}", super::hosts::quoted(name))
                    }
                }),
                None => Action::None,
            },
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
        let line = self.head(context);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        let sheet = self.view().sheet(context);
        if sheet.is_none_or(|sheet| !sheet.known) {
            let lines = sheet::missing(context, sheet);
            return super::notice(frame, body, &sheet::wrapped(lines, area.width));
        }
        let none = match self.kind {
            Kind::Runs => ["runs.none", "runs.none_open"],
            Kind::Books => ["runbooks.none"; 2],
            Kind::Schedules => ["schedules.none"; 2],
            Kind::Configs => ["configs.none"; 2],
        };
        self.view_mut().draw(context, frame, body, none);
    }

    fn at_hand(&self) -> Vec<HostId> {
        Vec::new()
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        match self.kind {
            Kind::Runs | Kind::Schedules => entries(context),
            Kind::Books => book_entries(context),
            Kind::Configs => configs::entries(context),
        }
    }

    fn pick(&mut self, number: u64) {
        self.sought = Some(number);
        self.view_mut().table.select(number);
    }

    fn take(&mut self, context: &Context<'_>, command: Command, _text: &str) -> Action {
        match command {
            TO_BOOKS => self.to(context, Kind::Books),
            TO_CONFIGS => self.to(context, Kind::Configs),
            _ => {}
        }
        Action::None
    }

    fn keepsake(&self) -> Option<String> {
        (self.kind != Kind::Runs).then(|| KINDS[self.kind as usize].2.1.to_owned())
    }

    fn recall(&mut self, keepsake: &str) {
        if let Some((kind, ..)) = KINDS.iter().find(|(_, _, key, _)| key.1 == keepsake) {
            self.kind = *kind;
        }
    }
}
