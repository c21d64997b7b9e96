//! An order that is being written: hosts at the left as the hub picks them, the order at the right, below it
//! how it is to go. Nothing that was typed is lost by an error or by leaving.

mod acts;
mod draw;
mod fields;

use super::edit::{Kind as Colours, Text};
use super::{Context, Entry, Pane, Subscription};
use crate::action::{Action, PATIENCE};
use crate::keymap::{Binding, Command, key};
use crate::overlays::menu::Menu;
use crate::store::Update;
use crate::store::runs::{self as store, BOOKS, Draft, Kind, Lack, Plan as Answer};
use crate::store::sheets::{Value, id_of};
use crate::widgets::input::Input;
pub use acts::open;
pub(in crate::panes) use acts::plan_to_begin;
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::hosts::Resolve;
use cmdr_protocol::runbooks::{self, Param};
use cmdr_protocol::runs::{MAX_LINE, Plan, Planned, PlannedHost, Start};
use cmdr_protocol::{Call as _, HostId};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use fields::{Field, Sort};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const START: Command = Command::Own(0);
const PLAN: Command = Command::Own(1);
const KIND: Command = Command::Own(2);
const NEXT: Command = Command::Own(3);
const PREVIOUS: Command = Command::Own(4);
const BOOK: Command = Command::Own(5);
const CLEAR: Command = Command::Own(6);
const UNDO: Command = Command::Own(7);

static TABLES: &[&[Binding]] = &[BINDINGS];

const BINDINGS: &[Binding] = &[
    key(&["C-s", "<f2>"], START, "compose.key.start").danger(Start::METHOD).hint(),
    key(&["<f5>"], PLAN, "compose.key.plan").needs(Plan::METHOD).hint(),
    key(&["<tab>"], NEXT, "compose.key.next").hint(),
    key(&["<backtab>"], PREVIOUS, "compose.key.previous"),
    key(&["C-t"], KIND, "compose.key.kind").hint(),
    key(&["C-o"], BOOK, "compose.key.book").needs(runbooks::List::METHOD).hint(),
    key(&["C-y"], UNDO, "compose.key.undo"),
    key(&["C-x"], CLEAR, "compose.key.clear"),
];

/// So long nothing is typed before the hub is asked.
const PAUSE_MS: u64 = 300;
/// An answer is waited for so long.
const WAITED_MS: u64 = 15_000;
/// The longest script, as the hub takes it.
const LONGEST: usize = cmdr_protocol::exec::MAX_SCRIPT;

/// The pane.
pub struct ComposePane {
    draft: Draft,
    owner: u64,
    /// The place that is typed in.
    at: String,
    input: Input,
    text: Text,
    /// The draft as it was handed to the store.
    kept: Option<Draft>,
    /// When something was typed that the hub was not asked about yet.
    typed_ms: u64,
    /// What the hub is asked now, and since when.
    asking: Option<(u64, u64)>,
    /// What it was asked last.
    asked: u64,
    lack: Option<Lack>,
    /// The transfer of the file that is pushed.
    sending: Option<u64>,
    /// Runbooks that were asked for.
    books: HashSet<String>,
    /// Where each place was drawn.
    areas: Vec<(Rect, String)>,
    /// Hosts that are scrolled away.
    top: usize,
    hosts_area: Rect,
}

impl Default for ComposePane {
    fn default() -> Self {
        Self::with(Draft::default())
    }
}

impl ComposePane {
    fn with(draft: Draft) -> Self {
        static NEXT_OWNER: AtomicU64 = AtomicU64::new(1);
        let text = Text::new(draft.text(), Colours::Plain);
        let mut pane = Self {
            draft,
            owner: NEXT_OWNER.fetch_add(1, Ordering::Relaxed),
            at: String::new(),
            input: Input::default(),
            text,
            kept: None,
            typed_ms: 0,
            asking: None,
            asked: 0,
            lack: None,
            sending: None,
            books: HashSet::new(),
            areas: Vec::new(),
            top: 0,
            hosts_area: Rect::default(),
        };
        let first = if pane.draft.hosts.is_empty() { fields::HOSTS } else { pane.first_of_order() };
        pane.go(first);
        pane
    }

    /// With this order in it.
    pub fn of(draft: Draft) -> Self {
        Self::with(draft)
    }

    /// Over these hosts, with the order that was written last.
    pub fn over(context: &Context<'_>, hosts: &[HostId]) -> Self {
        let mut draft = context.store.runs.draft.clone().unwrap_or_default();
        if !hosts.is_empty() {
            (draft.hosts, draft.only) = acts::selector(context, hosts);
        }
        Self::with(draft)
    }

    /// Where one begins to write the order.
    fn first_of_order(&self) -> &'static str {
        match self.draft.kind {
            Kind::Book => "book",
            Kind::Packages => "names",
            Kind::Push => "file",
            _ => fields::TEXT,
        }
    }

    fn go(&mut self, at: impl Into<String>) {
        self.at = at.into();
        let text =
            if self.at == fields::HOSTS { &self.draft.hosts } else { self.draft.get(&self.at) };
        self.input = Input::new(text);
    }

    fn step(&mut self, context: &Context<'_>, by: isize) {
        let fields = self.fields(context);
        let now = fields.iter().position(|field| field.name == self.at).unwrap_or(0);
        let to = (now.cast_signed() + by).rem_euclid(fields.len().max(1).cast_signed());
        if let Some(field) = fields.get(to.cast_unsigned()) {
            self.go(field.name.clone());
        }
    }

    /// The parameters of the runbook that is chosen, when they are known.
    fn params<'a>(&self, context: &Context<'a>) -> Option<&'a [Param]> {
        let book = context.store.runs.book(self.draft.get("book").trim())?;
        book.as_ref().ok().map(|shown| shown.params.as_slice())
    }

    fn start(&self, context: &Context<'_>) -> Result<Start, Lack> {
        self.draft.start(self.params(context), super::sessions::words)
    }

    fn typed(&mut self, context: &Context<'_>) -> Action {
        self.lack = None;
        self.typed_ms = context.store.now_ms.max(1);
        Action::None
    }

    fn set_kind(&mut self, context: &Context<'_>, kind: Kind) -> Action {
        self.draft.set_text(self.text.whole());
        self.draft.kind = kind;
        self.text = Text::new(self.draft.text(), Colours::Plain);
        if self.at != fields::KIND && self.at != fields::HOSTS {
            self.go(self.first_of_order());
        }
        self.typed(context)
    }

    fn kind_beside(&mut self, context: &Context<'_>, by: isize) -> Action {
        let at = Kind::ALL.iter().position(|kind| *kind == self.draft.kind).unwrap_or(0);
        let to = (at.cast_signed() + by).rem_euclid(Kind::ALL.len().cast_signed());
        self.set_kind(context, Kind::ALL[to.cast_unsigned()])
    }

    /// The text as it stands becomes part of the draft: before anything is done with that, too.
    fn take_text(&mut self) {
        if self.draft.kind.is_text() && self.draft.text() != self.text.whole() {
            self.draft.set_text(self.text.whole());
        }
    }

    /// What was typed at the present place becomes part of the draft.
    fn take_input(&mut self, context: &Context<'_>) -> Action {
        let text = self.input.text().to_owned();
        if self.at == fields::HOSTS {
            // Whoever writes a selector means all that it picks.
            self.draft.only.clear();
            self.draft.hosts = text;
        } else {
            self.draft.set(&self.at.clone(), text);
        }
        self.typed(context)
    }

    fn set(&mut self, context: &Context<'_>, text: &str) -> Action {
        self.draft.set(&self.at.clone(), text.to_owned());
        self.input = Input::new(text);
        self.typed(context)
    }

    /// What the hub says to what is asked now.
    fn answer<'a>(&self, context: &Context<'a>) -> Option<&'a Answer> {
        context.store.runs.plans.get(self.owner)
    }

    /// What is asked of the hub: the order with its hosts, or only the hosts while there is no order yet.
    fn question(&self, context: &Context<'_>) -> Option<(u64, Result<Start, String>)> {
        if self.draft.hosts.trim().is_empty() {
            return None;
        }
        let question = match self.start(context) {
            Ok(start) => Ok(start),
            Err(_) => Err(self.draft.hosts.trim().to_owned()),
        };
        let written = match &question {
            Ok(start) => serde_json::to_string(start).unwrap_or_default(),
            Err(hosts) => format!("{hosts}\0"),
        };
        Some((id_of(&written), question))
    }

    /// Asks what it would come to, when something was typed and a pause was made.
    fn ask(&mut self, context: &Context<'_>) -> Action {
        let now_ms = context.store.now_ms;
        if let Some((asked, at_ms)) = self.asking {
            let came = self.answer(context).is_some_and(|answer| answer.asked == asked);
            if !came && now_ms.saturating_sub(at_ms) < WAITED_MS {
                return Action::None;
            }
            self.asking = None;
        }
        if now_ms.saturating_sub(self.typed_ms) < PAUSE_MS {
            return Action::None;
        }
        let Some((asked, question)) = self.question(context) else { return Action::None };
        let failed = self.answer(context).is_some_and(|answer| {
            let error = answer.answer.as_ref().err();
            answer.asked == asked && error.is_some_and(crate::link::is_passing)
        });
        let rested = now_ms.saturating_sub(self.typed_ms) >= WAITED_MS;
        if self.asked == asked && !(failed && rested) {
            return Action::None;
        }
        self.typed_ms = self.typed_ms.max(if failed { now_ms } else { 0 });
        (self.asked, self.asking) = (asked, Some((asked, now_ms)));
        self.top = 0;
        let owner = self.owner;
        let put = move |answer, only_hosts| {
            Update::new(move |store: &mut crate::store::Store| {
                store.runs.plans.put(Answer { owner, asked, answer, only_hosts });
            })
        };
        match question {
            Ok(start) => Action::fetch(None, Plan { start, from: 0 }, PATIENCE, move |answer| {
                (Some(put(answer, false)), Action::None)
            }),
            Err(selector) => {
                let only = self.draft.only.clone();
                Action::fetch_all(None, Resolve::of(selector), PATIENCE, move |answer| {
                    let answer = answer.map(|targets| {
                        let targets = targets.targets.into_iter();
                        let targets = targets.filter(|t| only.is_empty() || only.contains(&t.0));
                        picked(targets)
                    });
                    (Some(put(answer, true)), Action::None)
                })
            }
        }
    }

    /// Asks for the runbooks, and for the parameters of the one that is chosen.
    fn ask_books(&mut self, context: &Context<'_>) -> Action {
        if self.draft.kind != Kind::Book {
            return Action::None;
        }
        let sheet = context.store.sheet(BOOKS);
        if sheet.is_none_or(|sheet| !sheet.known) {
            if self.books.insert(String::new()) {
                return Action::fetch(None, runbooks::List {}, PATIENCE, |listing| {
                    (Some(store::book(listing)), Action::None)
                });
            }
            return Action::None;
        }
        let name = self.draft.get("book").trim().to_owned();
        let is_one = sheet.is_some_and(|sheet| sheet.rows.contains_key(&id_of(&name)));
        if !is_one || !self.books.insert(name.clone()) {
            return Action::None;
        }
        let show = runbooks::Show { name: name.clone(), version: None };
        Action::fetch(None, show, PATIENCE, move |shown| {
            (Some(store::book_came(name, shown)), Action::None)
        })
    }

    /// All runbooks, to choose one from.
    fn choose_book(&mut self, context: &Context<'_>) -> Action {
        let kind = self.set_kind(context, Kind::Book);
        let Some(sheet) = context.store.sheet(BOOKS).filter(|sheet| sheet.known) else {
            return Action::All(vec![kind, self.ask_books(context)]);
        };
        let cell = |row: &crate::store::sheets::Record, at: usize| {
            row.values.get(at).map_or("", Value::plain).to_owned()
        };
        let mut books: Vec<(String, String)> =
            sheet.rows.values().map(|row| (cell(row, 0), cell(row, 5))).collect();
        books.sort();
        if books.is_empty() {
            return Action::Say(context.texts.get("runbooks.none").to_owned());
        }
        let now = self.draft.get("book");
        let at = books.iter().position(|(name, _)| name == now).unwrap_or(0);
        let names: Vec<String> = books.iter().map(|(name, _)| name.clone()).collect();
        let about = books.iter().map(|(_, what)| clean(what).into_owned()).collect();
        let short = |(name, what): (String, String)| (name, clean_to_width(&what, 60));
        let items = books.into_iter().map(short).collect();
        let title = context.texts.get("compose.book.title").to_owned();
        let menu = Menu::new(title, items, at, move |at| {
            names.get(at).map_or(Action::None, |name| Action::Give(BOOK, name.clone()))
        });
        Action::Open(Box::new(menu.telling(about)))
    }

    fn complain(&mut self, lack: Lack) -> Action {
        let at =
            if lack.at.is_empty() { self.first_of_order().to_owned() } else { lack.at.clone() };
        self.go(at);
        self.lack = Some(lack);
        Action::None
    }

    /// A key at a place that holds a line.
    fn line_key(&mut self, context: &Context<'_>, key: &KeyEvent, sort: &Sort) -> Action {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (key.code, sort) {
            (KeyCode::Up, _) => self.step(context, -1),
            (KeyCode::Enter, Sort::Book) => return self.choose_book(context),
            (
                KeyCode::Char(' ') | KeyCode::Enter | KeyCode::Left | KeyCode::Right,
                Sort::Switch,
            ) => {
                let on = self.draft.is_on(&self.at);
                return self.set(context, if on { "no" } else { "yes" });
            }
            (KeyCode::Char(' ') | KeyCode::Right, Sort::Choice(of)) if !control => {
                return self.choose(context, of, 1);
            }
            (KeyCode::Left, Sort::Choice(of)) => return self.choose(context, of, -1),
            (KeyCode::Char(' ') | KeyCode::Right, Sort::Kind) if !control => {
                return self.kind_beside(context, 1);
            }
            (KeyCode::Left, Sort::Kind) => return self.kind_beside(context, -1),
            (KeyCode::Enter | KeyCode::Down, _) => self.step(context, 1),
            (KeyCode::Char(_), Sort::Switch | Sort::Choice(_) | Sort::Kind) if !control => {}
            (KeyCode::Backspace | KeyCode::Delete, Sort::Switch | Sort::Choice(_)) => {
                return self.set(context, "");
            }
            (KeyCode::Backspace, Sort::Kind) => {}
            (KeyCode::Esc, _) => return Action::Pass,
            _ => {
                if key.modifiers.contains(KeyModifiers::ALT) || !self.input.key(key) {
                    return Action::Pass;
                }
                return self.take_input(context);
            }
        }
        Action::None
    }

    fn choose(&mut self, context: &Context<'_>, of: &[String], by: isize) -> Action {
        let now = self.draft.get(&self.at);
        let at = of.iter().position(|one| one == now);
        let to = match at {
            Some(at) => (at.cast_signed() + by).rem_euclid(of.len().max(1).cast_signed()),
            None if by < 0 => of.len().cast_signed() - 1,
            // Nothing chosen is the first, as it is shown.
            None => isize::from(of.len() > 1),
        };
        match of.get(to.cast_unsigned()).cloned() {
            Some(word) => self.set(context, &word),
            None => Action::None,
        }
    }

    fn field(&self, context: &Context<'_>) -> Option<Field> {
        self.fields(context).into_iter().find(|field| field.name == self.at)
    }
}

/// Hosts that a selector picks, as a plan without an order.
fn picked(
    targets: impl Iterator<Item = (HostId, String, cmdr_protocol::hosts::HostState)>,
) -> Planned {
    let mut planned = Planned::default();
    for (id, name, state) in targets {
        planned.count += 1;
        planned.online += u32::from(state == cmdr_protocol::hosts::HostState::Online);
        if planned.hosts.len() < cmdr_protocol::runs::CHUNK {
            planned.hosts.push(PlannedHost {
                host: Some(id),
                name,
                state,
                ..PlannedHost::default()
            });
        }
    }
    planned
}

impl Pane for ComposePane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![super::hosts::feed()]
    }

    fn is_writing(&self) -> bool {
        true
    }

    fn wakes(&self, context: &Context<'_>) -> Option<Duration> {
        let waits = self.asking.is_none()
            && context.store.is_up()
            && context.store.now_ms.saturating_sub(self.typed_ms) < PAUSE_MS;
        waits.then(|| Duration::from_millis(PAUSE_MS + 20))
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let mut actions = Vec::new();
        self.take_text();
        if self.kept.as_ref() != Some(&self.draft) {
            self.kept = Some(self.draft.clone());
            let draft = self.draft.clone();
            actions.push(Action::Apply(Update::new(move |store| store.runs.draft = Some(draft))));
        }
        if context.store.is_up() {
            actions.push(self.ask_books(context));
            actions.push(self.ask(context));
        }
        actions.retain(|action| !matches!(action, Action::None));
        if actions.is_empty() { Action::None } else { Action::All(actions) }
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.take_text();
        match command {
            NEXT => {
                self.step(context, 1);
                Action::None
            }
            PREVIOUS => {
                self.step(context, -1);
                Action::None
            }
            KIND => self.kind_beside(context, 1),
            BOOK => self.choose_book(context),
            UNDO => {
                if self.at == fields::TEXT {
                    self.text.area.undo();
                    return self.typed(context);
                }
                Action::None
            }
            CLEAR => {
                self.draft.empty();
                self.text = Text::new("", Colours::Plain);
                self.go(self.first_of_order());
                self.typed(context)
            }
            PLAN => match self.start(context) {
                Ok(start) => acts::plan(start),
                Err(lack) => self.complain(lack),
            },
            START => match self.start(context) {
                Ok(start) => match self.draft.to_send().map(ToOwned::to_owned) {
                    Some(file) => self.send(context, start, &file),
                    None => acts::start(context, start),
                },
                Err(lack) => self.complain(lack),
            },
            // The same place: what is here stays.
            Command::Compose => Action::None,
            _ => Action::Pass,
        }
    }

    fn write(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        if self.at == fields::TEXT {
            return match self.text.key(key) {
                Some(true) => self.typed(context),
                Some(false) => Action::None,
                None => Action::Pass,
            };
        }
        if let Some(field) = self.field(context) {
            return self.line_key(context, key, &field.sort);
        }
        self.go(self.first_of_order());
        Action::None
    }

    fn paste(&mut self, context: &Context<'_>, text: &str) -> Action {
        if self.at == fields::TEXT {
            let most = if self.draft.kind == Kind::Script { LONGEST } else { MAX_LINE };
            if self.text.whole().len() + text.len() > most || text.contains('\0') {
                return Action::Complain(context.texts.get("edit.too_large").to_owned());
            }
            self.text.area.insert_str(text.replace("\r\n", "\n").replace('\r', "\n"));
            return self.typed(context);
        }
        match self.field(context).map(|field| field.sort) {
            Some(Sort::Line | Sort::Book) => {
                self.input.insert(text);
                self.take_input(context)
            }
            _ => Action::None,
        }
    }

    fn take(&mut self, context: &Context<'_>, command: Command, text: &str) -> Action {
        match command {
            // A runbook to begin with, from wherever it was found.
            BOOK | Command::Open => {
                // Made without knowing what was written last.
                if let (None, Some(draft)) = (&self.kept, &context.store.runs.draft)
                    && self.draft == Draft::default()
                {
                    *self = Self::with(draft.clone());
                }
                let kind = self.set_kind(context, Kind::Book);
                self.draft.set("book", text.to_owned());
                let empty = self.draft.hosts.is_empty();
                self.go(if empty { fields::HOSTS } else { "book" });
                kind
            }
            _ => Action::None,
        }
    }

    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent, _double: bool) -> Action {
        let at = Position::new(mouse.column, mouse.row);
        let over_hosts = self.hosts_area.contains(at);
        match mouse.kind {
            MouseEventKind::ScrollDown if over_hosts => self.top = self.top.saturating_add(3),
            MouseEventKind::ScrollUp if over_hosts => self.top = self.top.saturating_sub(3),
            MouseEventKind::ScrollDown => self.text.scroll(3),
            MouseEventKind::ScrollUp => self.text.scroll(-3),
            MouseEventKind::Down(MouseButton::Left) => {
                let hit = self.areas.iter().find(|(area, _)| area.contains(at));
                let Some(name) = hit.map(|(_, name)| name.clone()) else { return Action::None };
                if let Some(kind) = name.strip_prefix("kind ") {
                    let kind = Kind::ALL.into_iter().find(|one| one.name() == kind);
                    return kind.map_or(Action::None, |kind| self.set_kind(context, kind));
                }
                self.go(name);
                if self.at == fields::TEXT
                    && let Some((row, column)) = self.text.at(mouse.column, mouse.row)
                {
                    self.text.area.cancel_selection();
                    self.text.go(row, column);
                }
                let is_switch = |field: Field| matches!(field.sort, Sort::Switch);
                if self.field(context).is_some_and(is_switch) {
                    let on = self.draft.is_on(&self.at);
                    return self.set(context, if on { "no" } else { "yes" });
                }
            }
            _ => return Action::Pass,
        }
        Action::None
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.paint(context, frame, area);
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        super::runs::book_entries(context)
    }
}
