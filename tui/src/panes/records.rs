//! What was done: the changes that the audit log holds, each in a sentence, and of them the commands
//! that run or ran. From each the way leads to the order, to what came of it, to its host and to its
//! recording; and recordings have a list of their own.

pub(in crate::panes) mod acts;
pub mod found;
pub mod recordings;
mod words;

use super::audit::columns as audit_columns;
use super::audit::{Beside, detail, empty, from_here, head, page, page_of, reopen};
use super::{Choice, Context, Entry, Pane, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::overlays::search::Search;
use crate::store::audit::{self, BARREN, Log, Standing, Whose, search};
use crate::store::rights::Offer;
use crate::theme::Role;
use crate::widgets::table::{Cell, Column, WIDEST};
use crate::widgets::{format, frame as boxes, natural, table};
use cmdr_protocol::audit::{Event, Filter, Record, Value, Watch};
use cmdr_protocol::recordings as recordings_of;
use cmdr_protocol::{Call as _, Feed as _, HostId, exec, methods, runs};
use found::Hits;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use recordings::Recordings;
use std::cmp::Ordering;

const FOLLOW: Command = Command::Own(0);
const SEARCH: Command = Command::Own(1);
const NEXT: Command = Command::Own(2);
const FROM_HERE: Command = Command::Own(3);
const HOST: Command = Command::Own(4);
const OPERATIONS: Command = Command::Own(5);
const TASKS: Command = Command::Own(6);
const RECORDINGS: Command = Command::Own(7);
const PLAY: Command = Command::Own(8);
const STOP: Command = Command::Own(9);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];
static OF_RECORDINGS: &[&[Binding]] = &[recordings::BINDINGS, LIST];
static OF_FOUND: &[&[Binding]] = &[found::BINDINGS, LIST];

/// The key tables of what it shows beside what it shows first.
pub const TABLES_BESIDE: [(&str, &[&[Binding]]); 2] =
    [("recordings", &[recordings::BINDINGS, LIST]), ("found", &[found::BINDINGS, LIST])];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "records.key.open").row().hint(),
    key(&["<tab>"], NEXT, "records.key.next").hint(),
    key(&["1"], OPERATIONS, "records.key.operations"),
    key(&["2"], TASKS, "records.key.tasks"),
    key(&["3"], RECORDINGS, "records.key.recordings").needs(recordings_of::List::METHOD),
    key(&["R"], PLAY, "recordings.key.of_it").needs(recordings_of::Read::METHOD).row().hint(),
    key(&["x"], STOP, "recordings.key.stop").danger(recordings_of::Stop::METHOD),
    key(&["s"], SEARCH, "audit.key.search").hint(),
    key(&["f"], FOLLOW, "audit.key.follow"),
    key(&["o"], FROM_HERE, "audit.key.from_here").row().hint(),
    key(&["H"], HOST, "audit.key.host"),
];

const fn column(title: &'static str, width: u16, rank: u8) -> Column {
    let (grows, right, descending) = (false, false, false);
    Column { title, width, rank, grows, most: WIDEST, right, descending }
}

const COLUMNS: &[Column] = &[
    Column { descending: true, ..column("records.col.time", 11, 0) },
    column("records.col.state", 16, 0),
    Column { grows: true, ..column("records.col.done", 28, 0) },
    column("records.col.host", 12, 1),
    column("records.col.who", 14, 2),
    Column { right: true, descending: true, ..column("records.col.took", 7, 3) },
];

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Operations,
    Tasks,
    Recordings,
}

/// The pane.
pub struct RecordsPane {
    kind: Kind,
    table: table::State<u64>,
    /// This pane among those that show the log.
    owner: u64,
    filter: Filter,
    following: bool,
    seen: u64,
    shown: Option<(u64, u64, u64, Kind)>,
    recordings: Recordings,
    /// What was found inside recordings, in the place of their list.
    found: Option<Hits>,
    beside: Beside,
}

impl Default for RecordsPane {
    fn default() -> Self {
        let mut table = table::State::default();
        table.anchored = true;
        let (owner, filter) = (audit::owner(), Filter::default());
        Self {
            kind: Kind::default(),
            table,
            owner,
            filter,
            following: true,
            seen: 0,
            shown: None,
            recordings: Recordings::new(),
            found: None,
            beside: Beside::default(),
        }
    }
}

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// Whether a record is of something that changes something, or was to.
fn changes(record: &Record) -> bool {
    let known = methods::find(&record.method);
    // Of what this release does not know it is better to show too much.
    let change = known.is_none_or(|method| method.changes) && !record.method.is_empty();
    let request = matches!(record.event, Event::Asked | Event::Answered | Event::Denied);
    // What was only planned was not done.
    let plan = record.body.as_ref().and_then(|body| body.get("plan"));
    let planned = matches!(plan, Some(Value::Bool(true)));
    change && !planned && (request || record.event == Event::Acted)
}

impl RecordsPane {
    fn is_kept(&self, log: &Log, record: &Record) -> bool {
        let folded = record.asked.is_some_and(|asked| log.get(asked).is_some());
        let begins = [exec::Start::METHOD, runs::Start::METHOD].contains(&record.method.as_str());
        let task = begins && record.event != Event::Denied;
        !folded
            && match self.kind {
                Kind::Operations => changes(record),
                Kind::Tasks | Kind::Recordings => task,
            }
    }

    fn order(&mut self, context: &Context<'_>) {
        let log = context.store.audit.of(Whose::Records);
        let made_from = (self.table.version, log.version, log.generation, self.kind);
        if self.shown == Some(made_from) {
            return;
        }
        if self.shown.is_some_and(|shown| shown.2 != log.generation) {
            self.following = true;
        }
        self.shown = Some(made_from);
        let mut text = String::new();
        let mut kept: Vec<&Record> = log
            .rows()
            .filter(|record| self.is_kept(log, record))
            .filter(|record| {
                if !self.table.filter.is_on() {
                    return true;
                }
                text.clear();
                Self::haystack(context, log, record, &mut text);
                self.table.filter.keeps(&text)
            })
            .collect();
        let column = self.table.sort;
        let descending = COLUMNS.get(column).is_some_and(|c| c.descending) != self.table.reverse;
        if column != 0 {
            kept.sort_by(|a, b| {
                let order = compare(context, column, log, a, b);
                if descending { order.reverse() } else { order }
            });
        } else if !descending {
            kept.reverse();
        }
        let order: Vec<u64> = kept.iter().map(|record| record.seq).collect();
        let newest = log.rows().next().map_or(0, |record| record.seq);
        self.table.set_order(order, |seq| log.get(seq).is_some());
        if self.following {
            self.seen = newest;
            if self.by_time() {
                self.table.on(Command::Top, COLUMNS);
            }
        }
    }

    fn haystack(context: &Context<'_>, log: &Log, record: &Record, text: &mut String) {
        audit_columns::haystack(context, log, record, text);
        text.push(' ');
        text.push_str(&words::told(context, log, record));
    }

    fn by_time(&self) -> bool {
        self.table.sort == 0 && !self.table.reverse
    }

    fn selected<'a>(&self, context: &Context<'a>) -> Option<(&'a Log, &'a Record)> {
        let log = context.store.audit.of(Whose::Records);
        Some((log, log.get(self.table.selected()?)?))
    }

    fn turn(&mut self, kind: Kind) -> Action {
        self.kind = kind;
        self.shown = None;
        Action::None
    }

    fn detail(&self, context: &Context<'_>) -> Action {
        let Some((log, record)) = self.selected(context) else { return Action::None };
        let mut pager = detail::pager(context, log, record);
        if let Some(host) = page_of(context, record) {
            pager = pager.with_key('H', context.texts.get("audit.key.host"), host);
        }
        if let Some(play) = super::audit::recording_of(context, record) {
            pager = pager.with_key('R', context.texts.get("recordings.key.of_it"), play);
        }
        let from_here = from_here(context, log, record);
        pager = pager.with_key('o', context.texts.get("audit.key.from_here"), from_here);
        Action::Open(Box::new(pager))
    }

    fn moved(&mut self, context: &Context<'_>, command: Command) -> Action {
        let log = context.store.audit.of(Whose::Records);
        if command == Command::Top && self.by_time() {
            if log.is_cut {
                return Action::Apply(search(Whose::Records, self.owner, log.filter.clone()));
            }
            self.following = true;
            self.shown = None;
        } else if self.table.place().0 > 0 {
            self.following = false;
        }
        if log.barren >= BARREN && matches!(command, Command::Bottom | Command::PageDown) {
            return Action::Apply(audit::search_on(Whose::Records));
        }
        Action::None
    }

    /// Goes to the recording of what is under the cursor, or does something else with it.
    fn with_task(&self, context: &Context<'_>, then: fn(&Context<'_>, u64) -> Action) -> Action {
        let Some((_, record)) = self.selected(context) else { return Action::None };
        if !recordings_of::RECORDABLE.contains(&record.method.as_str()) {
            return Action::Say(context.texts.get("recordings.none_of_it").to_owned());
        }
        then(context, record.asked.unwrap_or(record.seq))
    }

    fn stop(&self, context: &Context<'_>) -> Action {
        let Some((log, record)) = self.selected(context) else { return Action::None };
        if !matches!(log.standing(record), Standing::Running | Standing::Open) {
            return Action::Say(context.texts.get("recordings.not_running").to_owned());
        }
        self.with_task(context, acts::stop_found)
    }

    /// Does a command where recordings are shown; `Pass` when it is one of all kinds.
    fn on_recordings(&mut self, context: &Context<'_>, command: Command) -> Action {
        let action = match &mut self.found {
            Some(found) => found.on(context, command),
            None => self.recordings.on(context, command),
        };
        match (action, command) {
            (Action::Pass, Command::Back) if self.found.is_some() => {
                self.found = None;
                Action::None
            }
            (Action::Pass, NEXT | OPERATIONS) => self.turn(Kind::Operations),
            (Action::Pass, TASKS) => self.turn(Kind::Tasks),
            (Action::Pass, RECORDINGS) => {
                self.found = None;
                Action::None
            }
            (action, _) => action,
        }
    }

    fn draw_recordings(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { store, theme, texts, .. } = *context;
        let log = store.audit.of(Whose::Records);
        let mut line = self.tabs(context, log);
        let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let empty = if let Some(hits) = &mut self.found {
            hits.order(context);
            let found = &store.recordings.found;
            line.extend(Hits::head(context, found));
            hits.table.draw(frame, body, &found::columns(), theme, texts, |at, column, _| {
                Hits::cell(context, at, column.title)
            });
            hits.table.order().is_empty().then(|| Hits::empty(context, found))
        } else {
            let recordings = &mut self.recordings;
            recordings.order(context);
            line.extend(recordings.head(context));
            let list = &store.recordings.list;
            let columns = recordings::columns();
            recordings.table.draw(frame, body, &columns, theme, texts, |id, column, _| {
                Recordings::cell(context, list, id, column.title)
            });
            recordings.table.order().is_empty().then(|| Recordings::empty(context))
        };
        table::put(frame.buffer_mut(), area.x + 1, area.y, area.width - 2, &line, false);
        if let Some(line) = empty {
            super::notice(frame, body, &[line]);
        } else if !store.is_up() {
            boxes::fade(frame.buffer_mut(), body, theme);
        }
    }

    /// Which kind is shown, and how many of it there are.
    fn tabs(&self, context: &Context<'_>, log: &Log) -> Line<'static> {
        let Context { theme, texts, .. } = *context;
        let mut line = Line::default();
        let kinds = [
            (Kind::Operations, "records.operations"),
            (Kind::Tasks, "records.tasks"),
            (Kind::Recordings, "records.recordings"),
        ];
        let count = if may_list(context) { 3 } else { 2 };
        for (n, (kind, name)) in kinds.into_iter().take(count).enumerate() {
            let role = if kind == self.kind { Role::TabActive } else { Role::Tab };
            let text = format!(" {} {} ", n + 1, texts.get(name));
            line.push_span(Span::styled(text, theme.style(role)));
            line.push_span(Span::raw(" "));
        }
        let running = log.rows().filter(|record| {
            record.method == exec::Start::METHOD && log.standing(record) == Standing::Running
        });
        let running = running.count();
        if running > 0 && self.kind != Kind::Recordings {
            let text = texts.fill("records.running", &[&running.to_string()]);
            line.push_span(Span::styled(format!(" ▶ {text} "), theme.style(Role::Info)));
        }
        line.push_span(Span::raw(" "));
        line
    }

    fn cell(
        &self,
        context: &Context<'_>,
        log: &Log,
        record: &Record,
        title: &str,
    ) -> Cell<'static> {
        let Context { theme, .. } = *context;
        let (text, soft) = (theme.style(Role::Text), theme.style(Role::Soft));
        Cell::Line(match title {
            "records.col.time" => Line::styled(audit_columns::time(context, record.at_ms), soft),
            "records.col.state" => audit_columns::state_line(context, log, record),
            "records.col.done" => {
                let line = match (self.kind, &record.body) {
                    // That a run was begun says nothing of how it went.
                    (Kind::Tasks, Some(body)) if record.method == exec::Start::METHOD => {
                        let line = words::command(body);
                        cmdr_protocol::display::clean(&line).into_owned()
                    }
                    _ => words::told(context, log, record),
                };
                let mut spans = vec![Span::styled(line, theme.style(Role::Strong))];
                let answer = log.answer(record.seq).map_or("", |answer| answer.message.as_str());
                let said = if record.message.is_empty() { answer } else { &record.message };
                if !said.is_empty() {
                    spans.push(Span::styled(format!("  {}", context.texts.reason(said)), soft));
                }
                Line::from(spans)
            }
            "records.col.host" => {
                let name = || Line::styled(audit_columns::host_name(context, record), text);
                words::picked(record).map_or_else(name, |hosts| Line::styled(hosts, soft))
            }
            "records.col.who" if record.event == Event::Acted => {
                Line::styled(context.texts.get("audit.event.acted").to_owned(), soft)
            }
            "records.col.who" => Line::styled(record.operator.clone(), text),
            _ => {
                let took = audit_columns::took_ms(log, record);
                Line::styled(took.map_or_else(String::new, audit_columns::took), soft)
            }
        })
    }
}

/// Whether recordings are offered.
fn may_list(context: &Context<'_>) -> bool {
    context.store.offer(recordings_of::List::METHOD, false, &[]) != Offer::No
}

fn compare(context: &Context<'_>, column: usize, log: &Log, a: &Record, b: &Record) -> Ordering {
    let state = |record| context.texts.get(audit_columns::state(log.standing(record)).1);
    match column {
        1 => state(a).cmp(state(b)),
        2 => words::told(context, log, a).cmp(&words::told(context, log, b)),
        3 => natural::compare(&a.host_name, &b.host_name),
        4 => natural::compare(&a.operator, &b.operator),
        5 => audit_columns::took_ms(log, a).cmp(&audit_columns::took_ms(log, b)),
        _ => a.seq.cmp(&b.seq),
    }
}

impl Pane for RecordsPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        match (self.kind, &self.found) {
            (Kind::Recordings, Some(_)) => OF_FOUND,
            (Kind::Recordings, None) => OF_RECORDINGS,
            _ => TABLES,
        }
    }

    fn can(&self, context: &Context<'_>, command: Command) -> bool {
        match (self.kind, &self.found, command) {
            (Kind::Recordings, None, recordings::WATCH) => self
                .recordings
                .selected(context)
                .is_some_and(|row| row.state == recordings_of::State::Running),
            (.., Command::Mark) => false,
            _ => true,
        }
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![super::hosts::feed(), Subscription::new(None, Watch::default())]
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let store = context.store;
        if store.audit.of(Whose::Records).owner == self.owner {
            self.beside.had();
        } else if !self.beside.lost(store.now_ms) {
            return reopen(context, Whose::Records, self.owner, &self.filter);
        }
        self.filter.clone_from(&store.audit.of(Whose::Records).filter);
        if self.kind == Kind::Recordings {
            return self.recordings.poll(context);
        }
        self.order(context);
        page(context, Whose::Records, self.table.place().1, self.table.height())
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        if self.kind == Kind::Recordings {
            return self.on_recordings(context, command);
        }
        self.order(context);
        let log = context.store.audit.of(Whose::Records);
        if self.table.on(command, COLUMNS) {
            return self.moved(context, command);
        }
        match command {
            Command::Open => self.detail(context),
            NEXT => self.turn(match self.kind {
                Kind::Operations => Kind::Tasks,
                Kind::Tasks if may_list(context) => Kind::Recordings,
                Kind::Tasks | Kind::Recordings => Kind::Operations,
            }),
            RECORDINGS => self.turn(Kind::Recordings),
            PLAY => self.with_task(context, acts::play),
            STOP => self.stop(context),
            OPERATIONS => self.turn(Kind::Operations),
            TASKS => self.turn(Kind::Tasks),
            FOLLOW => {
                self.following = !self.following;
                self.shown = None;
                Action::None
            }
            SEARCH => Action::Open(Box::new(Search::new(context, Whose::Records))),
            HOST => self
                .selected(context)
                .and_then(|(_, record)| page_of(context, record))
                .unwrap_or_else(|| Action::Say(context.texts.get("audit.no_host").to_owned())),
            FROM_HERE => self
                .selected(context)
                .map_or(Action::None, |(log, record)| from_here(context, log, record)),
            Command::Back if log.filter != Filter::default() => {
                Action::Apply(search(Whose::Records, self.owner, Filter::default()))
            }
            Command::CopyValue => self.selected(context).map_or(Action::None, |(log, record)| {
                Action::Copy(words::told(context, log, record))
            }),
            Command::CopyCommand => self
                .selected(context)
                .map_or(Action::None, |(_, record)| Action::Copy(detail::command(record))),
            Command::NextMatch | Command::PreviousMatch => {
                let mut texts = std::collections::HashMap::new();
                for seq in self.table.order() {
                    if let Some(record) = log.get(*seq) {
                        let mut text = String::new();
                        Self::haystack(context, log, record, &mut text);
                        texts.insert(*seq, text);
                    }
                }
                let text = |seq, text: &mut String| {
                    text.push_str(texts.get(&seq).map_or("", String::as_str));
                };
                let found = self.table.seek(command == Command::NextMatch, text);
                self.following = false;
                super::sought(context, found, self.table.sought())
            }
            _ => Action::Pass,
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(match (self.kind, &self.found) {
            (Kind::Recordings, Some(found)) => ("found", &found.table),
            (Kind::Recordings, None) => ("recordings", &self.recordings.table),
            _ => ("records", &self.table),
        })
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(match (self.kind, &mut self.found) {
            (Kind::Recordings, Some(found)) => &mut found.table,
            (Kind::Recordings, None) => &mut self.recordings.table,
            _ => &mut self.table,
        })
    }

    fn take(&mut self, _context: &Context<'_>, _command: Command, text: &str) -> Action {
        let (found, search) = Hits::new(text);
        self.found = Some(found);
        search
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        if self.kind == Kind::Recordings {
            return self.draw_recordings(context, frame, area);
        }
        self.order(context);
        if self.by_time() && self.table.place().0 > 0 {
            self.following = false;
        }
        let Context { store, theme, texts, .. } = *context;
        let log = store.audit.of(Whose::Records);
        let mut line = self.tabs(context, log);
        let follow = (!self.following)
            .then(|| self.table.order().iter().filter(|seq| **seq > self.seen).count());
        let count = format::count(self.table.order().len());
        line.extend(head(context, log, count, follow));
        table::put(frame.buffer_mut(), area.x + 1, area.y, area.width - 2, &line, false);
        let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let order = std::mem::take(&mut self.table);
        let mut drawn = order;
        drawn.draw(frame, body, COLUMNS, theme, texts, |seq, column, _| match log.get(seq) {
            Some(record) => self.cell(context, log, record, column.title),
            None => Cell::Rest(Line::default()),
        });
        self.table = drawn;
        if self.table.order().is_empty() {
            let unfiltered = log.known && !self.table.filter.is_on() && !log.is_loading();
            let line = if unfiltered && log.error().is_none() {
                let key = match self.kind {
                    Kind::Operations => "records.none",
                    Kind::Tasks | Kind::Recordings => "records.no_tasks",
                };
                Line::styled(texts.get(key), theme.style(Role::Soft))
            } else {
                empty(context, log)
            };
            super::notice(frame, body, &[line]);
        } else if !store.is_up() {
            boxes::fade(frame.buffer_mut(), body, theme);
        }
    }

    fn at_hand(&self) -> Vec<HostId> {
        Vec::new()
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        if self.kind == Kind::Recordings {
            return self.recordings.entries(context);
        }
        let log = context.store.audit.of(Whose::Records);
        let rows = self.table.order().iter().take(500).filter_map(|seq| log.get(*seq));
        rows.map(|record| Entry {
            kind: "palette.record",
            text: format!("{} {}", words::told(context, log, record), record.operator),
            note: audit_columns::time(context, record.at_ms),
            choice: Choice::Pick(record.seq),
        })
        .collect()
    }

    fn pick(&mut self, number: u64) {
        if self.kind == Kind::Recordings {
            self.found = None;
            return self.recordings.table.select(number);
        }
        self.following = false;
        self.table.select(number);
    }
}
