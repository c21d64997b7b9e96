//! Logs of one host, or of several merged by time: what to read is picked from a table, then lines run.
//! The hosts sift them; here they are looked at, sought through, marked, copied and saved.

mod acts;
mod feed;
mod look;
mod pick;
mod screen;
mod span;

use super::{Context, Pane, Subscription};
use crate::action::{Action, PATIENCE};
use crate::keymap::{Binding, Command, LIST, key};
use crate::store::audit;
use crate::store::logs::{self, Logs, Row};
use crate::widgets::table;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::logs::{Filter, Follow, Input, Level, Sift, Sources};
use cmdr_protocol::{Call as _, Feed as _, HostId};
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use look::{Look, Stamps};
use pick::Picker;
use ratatui::Frame;
use ratatui::layout::Rect;
use span::Span;
use std::collections::HashSet;

const PAUSE: Command = Command::Own(0);
const INCLUDE: Command = Command::Own(1);
const EXCLUDE: Command = Command::Own(2);
const WORDS: Command = Command::Own(3);
const LEVEL: Command = Command::Own(4);
const CONTEXT: Command = Command::Own(5);
const STAMPS: Command = Command::Own(6);
const WRAP: Command = Command::Own(7);
const JUMP: Command = Command::Own(8);
const OLDER: Command = Command::Own(9);
const SAVE: Command = Command::Own(10);
const SOURCES: Command = Command::Own(11);
const JOINED: Command = Command::Own(12);
const UNMARK: Command = Command::Own(13);
const SPAN: Command = Command::Own(14);

static PICKING: &[&[Binding]] = &[PICK, LIST];
static RUNNING: &[&[Binding]] = &[RUN, MOVING];

/// The key tables while lines run.
pub const TABLES_BESIDE: [(&str, &[&[Binding]]); 1] = [("logs_lines", RUNNING)];

const PICK: &[Binding] = &[key(&["<enter>", "<right>"], Command::Open, "logs.key.open")
    .needs(Follow::METHOD)
    .row()
    .hint()];

const RUN: &[Binding] = &[
    key(&["<space>"], PAUSE, "logs.key.pause").hint(),
    key(&["/"], INCLUDE, "logs.key.include").hint(),
    key(&["x"], EXCLUDE, "logs.key.exclude").hint(),
    key(&["h"], WORDS, "logs.key.words").hint(),
    key(&["e"], LEVEL, "logs.key.level").hint(),
    key(&["c"], CONTEXT, "logs.key.context"),
    key(&["="], JOINED, "logs.key.joined"),
    key(&["t"], STAMPS, "logs.key.stamps"),
    key(&["w"], WRAP, "logs.key.wrap"),
    key(&["@"], JUMP, "logs.key.jump"),
    key(&["r"], SPAN, "logs.key.span"),
    key(&["o"], OLDER, "logs.key.older"),
    key(&["n"], Command::NextMatch, "logs.key.next"),
    key(&["N"], Command::PreviousMatch, "logs.key.previous"),
    key(&["m"], Command::Mark, "logs.key.mark"),
    key(&["u"], UNMARK, "logs.key.unmark"),
    key(&["y"], Command::CopyValue, "logs.key.copy"),
    key(&["S"], SAVE, "logs.key.save"),
    key(&["s"], SOURCES, "logs.key.sources").needs(Sources::METHOD).hint(),
    key(&["Y"], Command::CopyCommand, "key.copy_command"),
];

const MOVING: &[Binding] = &[
    key(&["j", "<down>"], Command::Down, "key.down"),
    key(&["k", "<up>"], Command::Up, "key.up"),
    key(&["<left>"], Command::Left, "logs.key.left"),
    key(&["l", "<right>"], Command::Right, "logs.key.right"),
    key(&["C-d"], Command::HalfDown, "key.half_down"),
    key(&["C-u"], Command::HalfUp, "key.half_up"),
    key(&["<pagedown>", "C-f"], Command::PageDown, "key.page_down"),
    key(&["<pageup>", "C-b"], Command::PageUp, "key.page_up"),
    key(&["g", "<home>"], Command::Top, "key.top"),
    key(&["G", "<end>"], Command::Bottom, "logs.key.end"),
];

/// Lines that each source begins with.
const BEGIN: u32 = 500;
/// Lines that are asked for, going back.
const BACK: u32 = 500;
/// Streams that are followed at once.
const MOST: usize = 64;
/// Lines from a moment on after which it stands still: of more the first ones would be let go.
const HELD: usize = logs::MOST_ROWS / 2;
/// Cells that a step to the side goes.
const ASIDE: usize = 16;

/// The columns of the table of sources.
pub fn columns() -> Vec<table::Column> {
    pick::COLUMNS.to_vec()
}

/// The pane.
pub struct LogsPane {
    hosts: Vec<HostId>,
    /// This pane among those that look at logs.
    owner: u64,
    /// Hosts that were asked what they have.
    asked: HashSet<HostId>,
    picker: Picker,
    /// What is followed; empty while it is picked.
    streams: Vec<(HostId, String)>,
    /// Something is picked that will be added to what is followed.
    picking: bool,
    filter: Filter,
    number: u32,
    paused: bool,
    /// The line under the cursor; none for the newest, whichever that is.
    cursor: Option<u64>,
    look: Look,
    marks: HashSet<u64>,
    /// Streams that were left out because there are too many.
    left_out: usize,
    /// From when to when lines are asked for.
    span: Span,
    /// Another number begins all feeds anew.
    turn: u64,
    /// It stood still by itself already.
    held: bool,
}

impl LogsPane {
    /// Of one host.
    pub fn new(host: HostId) -> Self {
        Self::of(vec![host])
    }

    /// Of these hosts.
    pub fn of(hosts: Vec<HostId>) -> Self {
        Self {
            hosts,
            owner: audit::owner(),
            asked: HashSet::new(),
            picker: Picker::default(),
            streams: Vec::new(),
            picking: true,
            filter: Filter::default(),
            number: 0,
            paused: false,
            cursor: None,
            look: Look::default(),
            marks: HashSet::new(),
            left_out: 0,
            span: Span::default(),
            turn: 0,
            held: false,
        }
    }

    /// Of one host, reading these sources of it.
    pub fn reading(host: HostId, sources: Vec<String>) -> Self {
        Self::reading_all(sources.into_iter().map(|source| (host, source)).collect())
    }

    /// Reading these sources, each of its host.
    pub fn reading_all(sources: Vec<(HostId, String)>) -> Self {
        let mut hosts: Vec<HostId> = sources.iter().map(|(host, _)| *host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let mut pane = Self::of(hosts);
        pane.choose(sources);
        pane
    }

    fn logs<'a>(&self, context: &Context<'a>) -> Option<&'a Logs> {
        context.store.logs.get(self.owner)
    }

    fn follow(&self) -> Follow {
        let Span { since_ms, until_ms, .. } = self.span;
        // From a moment on the first ones are wanted, not the newest.
        let last = since_ms.is_none().then_some(BEGIN);
        let (filter, follow) = (self.filter.clone(), until_ms.is_none());
        Follow { filter, since_ms, until_ms, last, follow, ..Follow::default() }
    }

    /// Begins with what is chosen.
    fn begin(&mut self, chosen: Vec<(HostId, String)>) -> Action {
        if chosen.is_empty() {
            return Action::None;
        }
        self.choose(chosen);
        self.open()
    }

    fn choose(&mut self, chosen: Vec<(HostId, String)>) {
        let mut streams: Vec<(HostId, String)> = Vec::new();
        self.left_out = 0;
        for one in chosen {
            let of_host = streams.iter().filter(|(host, _)| *host == one.0).count();
            if streams.len() < MOST && of_host < feed::MOST {
                streams.push(one);
            } else {
                self.left_out += 1;
            }
        }
        self.streams = streams;
        self.picking = false;
        self.paused = false;
        self.cursor = None;
        self.marks.clear();
    }

    /// Takes its place in the store, and has all that it follows asked for from the beginning.
    fn open(&self) -> Action {
        let anew = Action::Apply(feed::anew(self.owner, &self.streams));
        Action::All(vec![Action::Apply(logs::open(self.owner, self.streams.clone())), anew])
    }

    /// Says the same to all hosts.
    fn say_all(&self, context: &Context<'_>, input: &Input) -> Action {
        let Some(logs) = self.logs(context) else { return Action::None };
        let ways: Vec<_> = logs.streams.iter().filter_map(|stream| stream.inputs.clone()).collect();
        let input = input.clone();
        Action::Errand(Box::new(move |_| {
            Box::pin(async move {
                for way in ways {
                    // A feed that has ended begins with all that is wanted then.
                    drop(way.send(input.clone()).await);
                }
                crate::event::Event::Done(None, Action::None)
            })
        }))
    }

    /// Has the hosts sift anew.
    fn sift(&mut self, context: &Context<'_>) -> Action {
        if self.span.is_on() {
            return self.ask_span(self.span);
        }
        self.number += 1;
        self.cursor = None;
        let (filter, number) = (self.filter.clone(), self.number);
        let sift = Some(Sift { filter, number, last: Some(BEGIN) });
        // Whoever asks for other lines wants to see them.
        self.paused = false;
        let say = self.say_all(context, &Input { sift, pause: Some(false), ..Input::default() });
        let anew = Action::Apply(feed::anew(self.owner, &self.streams));
        Action::All(vec![Action::Apply(logs::sifting(self.owner, number)), anew, say])
    }

    fn pause(&mut self, context: &Context<'_>) -> Action {
        self.paused = !self.paused;
        if !self.paused {
            self.cursor = None;
        }
        self.say_all(context, &Input { pause: Some(self.paused), ..Input::default() })
    }

    /// The row under the cursor, by its place.
    fn at(&self, logs: &Logs) -> Option<usize> {
        let last = logs.rows.len().checked_sub(1)?;
        Some(self.cursor.and_then(|id| logs.position(id)).unwrap_or(last))
    }

    fn go_to(&mut self, logs: &Logs, to: usize) {
        let last = logs.rows.len().saturating_sub(1);
        self.cursor = logs.rows.get(to.min(last)).map(|row| row.id);
    }

    fn step(&mut self, context: &Context<'_>, by: isize) -> Action {
        let Some(logs) = self.logs(context) else { return Action::None };
        let Some(at) = self.at(logs) else { return Action::None };
        let to = at.saturating_add_signed(by);
        if by > 0 && to >= logs.rows.len() {
            if !self.paused {
                self.cursor = None;
            }
            return Action::None;
        }
        self.go_to(logs, to);
        if at == 0 && by < 0 { self.older(context, false) } else { Action::None }
    }

    /// Asks the hosts for what stands before what is shown.
    fn older(&mut self, context: &Context<'_>, told: bool) -> Action {
        let Some(logs) = self.logs(context) else { return Action::None };
        if self.span.is_asked() {
            let text = context.texts.get("logs.span.begins");
            return if told { Action::Say(text.to_owned()) } else { Action::None };
        }
        if self.cursor.is_none() {
            // It stays where it is while lines come above it.
            self.go_to(logs, 0);
        }
        let actions = acts::older(self.owner, logs, BACK);
        if actions.is_empty() && told {
            return Action::Say(context.texts.get("logs.no_older").to_owned());
        }
        Action::All(actions)
    }

    fn seek(&mut self, context: &Context<'_>, forward: bool) -> Action {
        let Some(logs) = self.logs(context) else { return Action::None };
        let Some(at) = self.at(logs) else { return Action::None };
        let wanted = |row: &Row| self.look.is_hit(row);
        let found = if forward {
            (at + 1..logs.rows.len()).find(|n| wanted(&logs.rows[*n]))
        } else {
            (0..at).rev().find(|n| wanted(&logs.rows[*n]))
        };
        match found {
            Some(found) => {
                self.go_to(logs, found);
                Action::None
            }
            None => Action::Say(context.texts.get("logs.no_match").to_owned()),
        }
    }

    fn mark(&mut self, context: &Context<'_>) -> Action {
        let Some(logs) = self.logs(context) else { return Action::None };
        let Some(at) = self.at(logs) else { return Action::None };
        let id = logs.rows[at].id;
        if !self.marks.remove(&id) {
            self.marks.insert(id);
        }
        self.go_to(logs, at);
        self.step(context, 1)
    }

    /// The marked lines, else the one under the cursor.
    fn targets<'a>(&self, logs: &'a Logs) -> Vec<&'a Row> {
        let marked: Vec<_> = logs.rows.iter().filter(|row| self.marks.contains(&row.id)).collect();
        if !marked.is_empty() {
            return marked;
        }
        self.at(logs).and_then(|at| logs.rows.get(at)).into_iter().collect()
    }

    fn picked(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.picker.order(self.logs(context));
        if self.picker.table.on(command, pick::COLUMNS) {
            return Action::None;
        }
        match command {
            Command::Open => {
                let chosen = self.picker.chosen();
                self.begin(chosen)
            }
            Command::Back if !self.streams.is_empty() => {
                self.picking = false;
                Action::None
            }
            Command::CopyValue => self
                .picker
                .under_cursor()
                .map_or(Action::None, |source| Action::Copy(logs_name(source).to_owned())),
            Command::CopyCommand => {
                let chosen = self.picker.chosen();
                if chosen.is_empty() {
                    return Action::None;
                }
                Action::Copy(acts::command(context, &chosen, &self.filter, None))
            }
            Command::NextMatch | Command::PreviousMatch => {
                let mut texts: Vec<String> = Vec::new();
                for n in 0..self.picker.len() {
                    let mut text = String::new();
                    self.picker.haystack(n as u32, &mut text);
                    texts.push(text);
                }
                let text = |n: u32, text: &mut String| {
                    text.push_str(texts.get(n as usize).map_or("", String::as_str));
                };
                let found = self.picker.table.seek(command == Command::NextMatch, text);
                super::sought(context, found, self.picker.table.sought())
            }
            _ => Action::Pass,
        }
    }
}

fn logs_name(source: &str) -> &str {
    cmdr_protocol::logs::parts(source).1
}

fn is_online(context: &Context<'_>, host: HostId) -> bool {
    let row = context.store.hosts.get(host);
    row.is_some_and(|row| row.host.state == HostState::Online)
}

impl Pane for LogsPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        if self.picking { PICKING } else { RUNNING }
    }

    fn feeds(&self) -> Vec<Subscription> {
        let mut feeds = vec![super::hosts::feed()];
        for (at, (host, _)) in self.streams.iter().enumerate() {
            if let Some(key) = feed::key(self.owner, &self.streams, at) {
                let key = (key, self.turn);
                feeds.push(feed::subscription(self.owner, at, key, *host, self.follow()));
            }
        }
        feeds
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        if self.logs(context).is_none() {
            self.asked.clear();
            return self.open();
        }
        if !self.picking {
            return self.land(context);
        }
        let asked = &mut self.asked;
        let new: Vec<HostId> = self
            .hosts
            .iter()
            .copied()
            .filter(|h| is_online(context, *h) && asked.insert(*h))
            .collect();
        let owner = self.owner;
        let ask = |host| {
            Action::fetch(Some(host), Sources::default(), PATIENCE, move |listing| {
                (Some(logs::listed(owner, host, listing)), Action::None)
            })
        };
        if new.is_empty() { Action::None } else { Action::All(new.into_iter().map(ask).collect()) }
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        if self.picking {
            return self.picked(context, command);
        }
        self.span.landing_ms = None;
        let page = isize::try_from(self.look.height()).unwrap_or(1).max(2);
        match command {
            PAUSE => self.pause(context),
            INCLUDE | EXCLUDE | WORDS | JUMP | SAVE | SPAN => acts::ask(context, command, self),
            LEVEL => {
                self.filter.level = match self.filter.level {
                    None => Some(Level::Warning),
                    Some(Level::Warning) => Some(Level::Error),
                    Some(Level::Error) => Some(Level::Info),
                    _ => None,
                };
                self.sift(context)
            }
            CONTEXT => {
                let lines = match self.filter.before {
                    0 => 3,
                    3 => 10,
                    _ => 0,
                };
                (self.filter.before, self.filter.after) = (lines, lines);
                self.sift(context)
            }
            JOINED => {
                self.filter.joined = !self.filter.joined;
                self.sift(context)
            }
            STAMPS => {
                self.look.stamps = self.look.stamps.next();
                Action::None
            }
            WRAP => {
                self.look.wrap = !self.look.wrap;
                self.look.aside = 0;
                Action::None
            }
            OLDER => self.older(context, true),
            SOURCES => {
                self.picking = true;
                self.asked.clear();
                Action::None
            }
            UNMARK => {
                self.marks.clear();
                Action::None
            }
            Command::Mark => self.mark(context),
            Command::Up => self.step(context, -1),
            Command::Down => self.step(context, 1),
            Command::HalfUp => self.step(context, -page / 2),
            Command::HalfDown => self.step(context, page / 2),
            Command::PageUp => self.step(context, -page),
            Command::PageDown => self.step(context, page),
            Command::Top => {
                let Some(logs) = self.logs(context) else { return Action::None };
                let there = self.at(logs) == Some(0);
                self.go_to(logs, 0);
                if there { self.older(context, true) } else { Action::None }
            }
            Command::Bottom => {
                self.cursor = None;
                Action::None
            }
            Command::Left => {
                self.look.aside = self.look.aside.saturating_sub(ASIDE);
                Action::None
            }
            Command::Right => {
                self.look.wrap = false;
                self.look.aside = (self.look.aside + ASIDE).min(16 << 10);
                Action::None
            }
            Command::NextMatch | Command::PreviousMatch => {
                self.seek(context, command == Command::NextMatch)
            }
            Command::CopyValue => {
                let Some(logs) = self.logs(context) else { return Action::None };
                let rows = self.targets(logs);
                let lines: Vec<_> =
                    rows.iter().map(|row| acts::plain(context, logs, row)).collect();
                Action::Copy(lines.join("\n"))
            }
            Command::CopyCommand => {
                Action::Copy(acts::command(context, &self.streams, &self.filter, Some(&self.span)))
            }
            _ => Action::Pass,
        }
    }

    fn take(&mut self, context: &Context<'_>, command: Command, text: &str) -> Action {
        let patterns = |text: &str| match text {
            "" => Vec::new(),
            text => vec![text.to_owned()],
        };
        match command {
            INCLUDE => {
                self.filter.include = patterns(text);
                self.look.sought(text);
                self.sift(context)
            }
            EXCLUDE => {
                self.filter.exclude = patterns(text);
                self.sift(context)
            }
            WORDS => {
                self.look.set_words(text);
                Action::None
            }
            JUMP => self.jump(context, text),
            SPAN => self.spanned(context, text),
            SAVE => self.logs(context).map_or(Action::None, |logs| acts::save(context, logs, text)),
            _ => Action::None,
        }
    }

    fn at_hand(&self) -> Vec<HostId> {
        self.hosts.clone()
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        self.picking.then_some(("logs", &self.picker.table as &dyn table::List))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        if self.picking { Some(&mut self.picker.table) } else { None }
    }

    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent, double: bool) -> Action {
        if self.picking {
            let list = &mut self.picker.table as &mut dyn table::List;
            if !list.mouse(mouse) {
                return Action::Pass;
            }
            let opens = double && list.is_row(mouse.column, mouse.row);
            return if opens { self.on(context, Command::Open) } else { Action::None };
        }
        self.span.landing_ms = None;
        match mouse.kind {
            MouseEventKind::ScrollUp => self.step(context, -3),
            MouseEventKind::ScrollDown => self.step(context, 3),
            MouseEventKind::Down(MouseButton::Left) => {
                if let Some(id) = self.look.row_at(mouse.row) {
                    self.cursor = Some(id);
                }
                Action::None
            }
            _ => Action::Pass,
        }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        if self.picking {
            return self.draw_picker(context, frame, area);
        }
        screen::draw(context, frame, area, self);
    }
}
