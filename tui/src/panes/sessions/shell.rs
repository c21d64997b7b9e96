//! The tab of a host's sessions: their list, and the one that is shown. Keys go to that one as they are,
//! but for the prefix and what follows it. It is attached to only while it is seen.

mod begin;
mod given;

use super::columns::{HOST as COLUMNS, is_mine};
use super::far::{self, Asking, Far};
use super::line::{How, subscription};
use super::list::Sessions;
use super::opening::{self, Opening};
use super::{END, FAR, INSIDE, MOVING, NEW, NEW_AS, TAKE, WATCH, acts, copy, head, inside};
use crate::action::{Action, PATIENCE};
use crate::keymap::{Binding, Command, key};
use crate::link::is_passing;
use crate::overlays::confirm::Confirm;
use crate::panes::overview::nothing_yet;
use crate::panes::{Context, Pane, Raw, Subscription, notice};
use crate::store::audit;
use crate::store::sessions::{
    Attached, State, drop_it, hold, listed, look, resize, take_over, type_in, unsent_told,
};
use crate::theme::Role;
use crate::widgets::frame as boxes;
use crate::widgets::table::{self, Column};
use crate::widgets::terminal::{Caret, Find};
use cmdr_protocol::sessions::{End, Join, List, Mode, Open, Size, Watch};
use cmdr_protocol::{Call as _, ErrorKind, Feed as _, HostId, ssh};
use crossterm::event::MouseEvent;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::sync::Weak;
use std::time::Duration;

const DETACH: Command = Command::Own(10);
const LOOK: Command = Command::Own(11);
const NEXT: Command = Command::Own(12);
const PREVIOUS: Command = Command::Own(13);
const DRIVE: Command = Command::Own(14);
const GIVE: Command = Command::Own(15);
const END_THIS: Command = Command::Own(16);
const ZOOM: Command = Command::Own(17);
const LINKS: Command = Command::Own(18);

static LISTING: &[&[Binding]] = &[LISTED, MOVING];

const LISTED: &[Binding] = &[
    key(&["<enter>"], Command::Open, "shell.key.open").row().hint(),
    key(&["n"], NEW, "shell.key.new").needs(Open::METHOD).hint(),
    key(&["N"], NEW_AS, "shell.key.new_as").needs(Open::METHOD).hint(),
    key(&["@"], FAR, "shell.key.far").needs(ssh::Open::METHOD),
    key(&["w"], WATCH, "shell.key.watch").row().hint(),
    key(&["t"], TAKE, "shell.key.take").danger(Join::METHOD),
    key(&["x", "<delete>"], END, "shell.key.end").danger(End::METHOD).row().hint(),
];

static SHOWING: &[&[Binding]] = &[BEHIND];

/// What follows the prefix.
const BEHIND: &[Binding] = &[
    key(&["d"], DETACH, "session.key.detach").hint(),
    key(&["["], LOOK, "session.key.look").hint(),
    key(&["n"], NEXT, "session.key.next").hint(),
    key(&["p"], PREVIOUS, "session.key.previous"),
    key(&["c"], NEW, "session.key.new").needs(Open::METHOD),
    key(&["w"], DRIVE, "session.key.drive").hint(),
    key(&["g"], GIVE, "session.key.give"),
    key(&["u"], LINKS, "session.key.links"),
    key(&["z"], ZOOM, "session.key.zoom").hint(),
    key(&["x"], END_THIS, "session.key.end").danger(End::METHOD),
    key(&["Y"], Command::CopyCommand, "key.copy_command"),
];

/// Places with keys of their own beside the list.
pub const TABLES_BESIDE: [(&str, &[&[Binding]]); 2] =
    [("session", &[BEHIND]), ("session_look", copy::TABLES)];

/// The columns of the list.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// So long a bell is seen, in milliseconds.
const RINGS_MS: u64 = 4000;
/// Lines of a paste that are shown before it goes in.
const PASTED: usize = 12;

/// The session that is shown.
pub(super) struct At {
    pub(super) owner: u64,
    turn: u64,
    how: How,
    /// It is to be followed.
    wanted: bool,
    /// Where its screen was drawn last.
    pub(super) area: Option<Rect>,
    /// One looks around in it by keys.
    pub(super) looking: bool,
    pub(super) find: Option<Find>,
    /// Something was selected by the mouse.
    pub(super) dragged: bool,
    /// The cell the mouse was told on last.
    told: Option<(u16, u16)>,
    bells: u64,
    rang_ms: Option<u64>,
    /// Whether a question about the clipboard is open.
    asking: Weak<()>,
    /// The operator knows that keys went nowhere.
    away_said: bool,
    /// Typed before it was asked for.
    early: Vec<u8>,
    /// What it is was asked for.
    asked: bool,
    /// The number of the host's question that was shown last.
    question: u64,
}

impl At {
    fn new(how: How) -> Self {
        Self {
            owner: audit::owner(),
            turn: audit::owner(),
            how,
            wanted: false,
            area: None,
            looking: false,
            find: None,
            dragged: false,
            told: None,
            bells: 0,
            rang_ms: None,
            asking: Weak::new(),
            away_said: false,
            early: Vec::new(),
            asked: false,
            question: 0,
        }
    }

    fn size(&self) -> Option<Size> {
        self.area.map(|area| Size { columns: area.width.max(1), rows: area.height.max(1) })
    }

    pub(super) fn open<'a>(&self, context: &Context<'a>) -> Option<&'a Attached> {
        context.store.sessions.open(self.owner)
    }

    /// Whether it rings now.
    pub(super) fn rings(&self, now_ms: u64) -> bool {
        self.rang_ms.is_some_and(|at| now_ms.saturating_sub(at) < RINGS_MS)
    }
}

/// The pane.
pub struct ShellPane {
    host: HostId,
    list: Sessions,
    pub(super) at: Option<At>,
    zoom: bool,
}

impl ShellPane {
    /// Of this host.
    pub fn new(host: HostId) -> Self {
        Self { host, list: Sessions::new(Some(host)), at: None, zoom: false }
    }

    fn open<'a>(&self, context: &Context<'a>) -> Option<&'a Attached> {
        self.at.as_ref()?.open(context)
    }

    fn is_looking(&self) -> bool {
        self.at.as_ref().is_some_and(|at| at.looking)
    }

    /// Begins or ends looking around.
    pub(super) fn look(&mut self, on: bool) -> Action {
        let Some(at) = &mut self.at else { return Action::None };
        (at.looking, at.find) = (on, None);
        Action::Apply(look(at.owner, move |screen| screen.look(on)))
    }

    fn begin(&mut self, how: How) -> Action {
        let old = self.leave();
        self.at = Some(At::new(how));
        old
    }

    /// Shows the list; the session goes on.
    fn leave(&mut self) -> Action {
        self.zoom &= self.at.is_some();
        let old = self.at.take();
        old.map_or(Action::None, |at| Action::Apply(drop_it(at.owner)))
    }

    /// Attaches to a session: to drive when it is ours and may be driven.
    fn attach(&mut self, context: &Context<'_>, id: &str, wanted: Option<Mode>) -> Action {
        let known = context.store.sessions.list(self.host);
        let known = known.and_then(|list| list.sessions.iter().find(|one| one.id == id));
        let mine = known.is_none_or(|one| is_mine(context.store, &one.operator));
        if context.store.read_only && wanted == Some(Mode::Drive) {
            return Action::Say(context.texts.get("note.read_only").to_owned());
        }
        let usual = if mine && !context.store.read_only { Mode::Drive } else { Mode::Watch };
        let mode = wanted.unwrap_or(usual);
        let id = id.to_owned();
        let opened = known.map(|one| one.opened.clone()).unwrap_or_default();
        self.begin(if mine { How::Own(id, mode, opened) } else { How::Other(id, mode) })
    }

    fn take_over(&mut self, context: &Context<'_>, id: &str) -> Action {
        let who = self.driver_of(context, id);
        let title = context.texts.fill("shell.take_ask", &[id]);
        let act = Action::Give(TAKE, id.to_owned());
        let about = who.map(|who| context.texts.fill("shell.take_about", &[&who]));
        Action::Open(Box::new(Confirm::one(title, act).about(about.into_iter().collect())))
    }

    fn driver_of(&self, context: &Context<'_>, id: &str) -> Option<String> {
        let list = context.store.sessions.list(self.host)?;
        let session = list.sessions.iter().find(|one| one.id == id)?;
        let driver = session.clients.iter().find(|client| client.mode == Mode::Drive);
        Some(driver.map_or_else(|| session.operator.clone(), |client| client.operator.clone()))
    }

    /// Drives from now on, or only watches.
    fn switch(&mut self, context: &Context<'_>) -> Action {
        let Some(open) = self.open(context) else { return Action::None };
        if context.store.read_only {
            return Action::Say(context.texts.get("note.read_only").to_owned());
        }
        let id = open.id.clone();
        match self.at.as_ref().map(|at| &at.how) {
            Some(How::Own(_, Mode::Watch, opened)) if open.mode == Mode::Watch => {
                let opened = opened.clone();
                self.again(How::Own(id, Mode::Drive, opened))
            }
            Some(How::Other(_, Mode::Watch)) => self.take_over(context, &id),
            Some(_) if open.mode == Mode::Drive => {
                self.again(match self.at.as_ref().map(|at| &at.how) {
                    Some(How::Own(_, _, opened)) => How::Own(id, Mode::Watch, opened.clone()),
                    _ => How::Other(id, Mode::Watch),
                })
            }
            Some(_) => Action::Apply(take_over(open.owner)),
            None => Action::None,
        }
    }

    /// Attaches anew, in another way.
    fn again(&mut self, how: How) -> Action {
        if let Some(at) = &mut self.at {
            (at.how, at.turn) = (how, audit::owner());
        }
        Action::None
    }

    fn on_list(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.list.order(context);
        if self.list.table.on(command, COLUMNS) {
            return Action::None;
        }
        let selected = self.list.selected(context).map(|(_, session)| session.id.clone());
        match (command, selected) {
            (Command::Open, Some(id)) => self.attach(context, &id, None),
            (Command::Open, None) => {
                let key = context.keys.of(LISTING, NEW);
                Action::Say(context.texts.fill("shell.none_yet", &[&key]))
            }
            (WATCH, Some(id)) => self.attach(context, &id, Some(Mode::Watch)),
            (TAKE, Some(id)) => self.take_over(context, &id),
            (NEW, _) => self.start(context, Open::default()),
            (NEW_AS, _) => Action::Open(Box::new(Opening::new(context, &Open::default(), None))),
            (FAR, _) => far::ask(context, self.host),
            (END, _) => acts::end(context, &self.list.targets(context)),
            (Command::CopyValue, _) => self.list.copy_id(context),
            (Command::CopyCommand, _) => self.list.copy_command(context),
            _ => Action::Pass,
        }
    }

    fn on_session(&mut self, context: &Context<'_>, command: Command) -> Action {
        let Some(open) = self.open(context) else {
            return match command {
                DETACH | Command::Back => self.leave(),
                _ => Action::Pass,
            };
        };
        match command {
            DETACH | Command::Back => self.leave(),
            LOOK => self.look(true),
            NEXT | PREVIOUS => {
                self.list.order(context);
                let id = self.list.beside(context, &open.id, command == NEXT);
                let none = || Action::Say(context.texts.get("shell.no_other").to_owned());
                id.map_or_else(none, |id| self.attach(context, &id, None))
            }
            NEW => self.start(context, Open::default()),
            DRIVE => self.switch(context),
            GIVE => acts::hand_over(context, open),
            END_THIS => acts::end_open(context, open),
            LINKS => Self::links(open, context),
            ZOOM => {
                self.zoom = !self.zoom;
                Action::None
            }
            Command::CopyCommand => Action::Copy(format!("cmdr attach {}", open.id)),
            _ => Action::Pass,
        }
    }

    /// What its answer asks for: another size, the clipboard, the end of a broken update.
    fn tend(&mut self, context: &Context<'_>, open: &Attached) -> Action {
        let Some(at) = &mut self.at else { return Action::None };
        let mut actions = Vec::new();
        if let Some(size) = at.size().filter(|size| *size != open.sent()) {
            actions.push(Action::Apply(resize(at.owner, size)));
        }
        if open.screen.ground() != context.theme.ground() {
            let ground = context.theme.ground();
            actions.push(Action::Apply(look(at.owner, move |screen| screen.set_ground(ground))));
        }
        if open.screen.held_until().is_some_and(|until| until <= std::time::Instant::now()) {
            actions.push(Action::Apply(look(at.owner, |screen| {
                screen.release();
            })));
        }
        if open.unsent {
            actions.push(Action::Apply(unsent_told(at.owner)));
            actions.push(Action::Complain(context.texts.get("shell.unsent").to_owned()));
        }
        if open.is_live() {
            at.away_said = false;
            let list = context.store.sessions.list(self.host);
            let known = list.is_some_and(|list| list.sessions.iter().any(|one| one.id == open.id));
            // Whose and what it is stands in the list, which is not followed meanwhile.
            if !known && !std::mem::replace(&mut at.asked, true) {
                let host = self.host;
                actions.push(Action::fetch(Some(host), List {}, PATIENCE, move |listing| {
                    (listing.ok().map(|listing| listed(host, listing)), Action::None)
                }));
            }
        }
        actions.extend(self.clipboard(context, open));
        if actions.is_empty() { Action::None } else { Action::All(actions) }
    }
}

impl Pane for ShellPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        match &self.at {
            None => LISTING,
            Some(at) if at.looking => copy::TABLES,
            Some(_) => SHOWING,
        }
    }

    fn feeds(&self) -> Vec<Subscription> {
        let mut feeds = vec![crate::panes::hosts::feed()];
        match &self.at {
            // The list stands still while a session is shown: it would cost the line for nothing.
            None => feeds.push(Subscription::new(Some(self.host), Watch {})),
            Some(at) => {
                if let Some(size) = at.size().filter(|_| at.wanted) {
                    let how = at.how.clone();
                    feeds.push(subscription(self.host, at.owner, at.turn, how, size));
                }
            }
        }
        feeds
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let host = self.host;
        let Some(at) = &mut self.at else { return Action::None };
        // How large it is to be is known when it has been drawn.
        let Some(size) = at.size() else { return Action::None };
        let Some(open) = at.open(context) else {
            at.wanted = true;
            let early = type_in(at.owner, std::mem::take(&mut at.early));
            let held = hold(at.owner, host, size);
            return Action::All(vec![Action::Apply(held), Action::Apply(early)]);
        };
        let begun = match &at.how {
            How::New(asked) => Some(asked.resource()),
            How::Inside(asked) => Some(asked.resource()),
            How::Far(far) => Some(far.open.resource()),
            _ => None,
        };
        if let Some(opened) = begun.filter(|_| !open.id.is_empty()) {
            // From now on it is found again.
            at.how = How::Own(open.id.clone(), Mode::Drive, opened);
        }
        let gone = match &open.state {
            State::Opening | State::Live => None,
            State::Ended(_) => {
                at.wanted = false;
                return self.tend(context, open);
            }
            State::Cut(error) => {
                let lasts = !is_passing(error) || error.kind == ErrorKind::NotFound;
                let begins = matches!(at.how, How::New(_) | How::Inside(_) | How::Far(_));
                (lasts || begins).then(|| error.clone())
            }
        };
        if let Some(error) = gone {
            return self.failed(context, &error);
        }
        at.wanted = true;
        if let Some(question) = open.ask.as_ref().filter(|_| at.question != open.asked) {
            at.question = open.asked;
            return far::question(context, at.owner, host, question);
        }
        self.tend(context, open)
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        if self.at.is_none() {
            self.on_list(context, command)
        } else if self.is_looking() {
            self.on_look(context, command)
        } else {
            self.on_session(context, command)
        }
    }

    fn take(&mut self, context: &Context<'_>, command: Command, text: &str) -> Action {
        match command {
            NEW_AS => Action::Open(Box::new(Opening::new(context, &Open::default(), None))),
            NEW if text.is_empty() => self.start(context, Open::default()),
            NEW => opening::read(text).map_or(Action::None, |open| self.start(context, open)),
            INSIDE => {
                let asked = inside::read(text);
                asked.map_or(Action::None, |open| self.start_inside(context, open))
            }
            FAR if text.is_empty() => far::ask(context, self.host),
            FAR => match far::read(text) {
                Some(far) => self.start_far(context, far),
                None => Action::Open(Box::new(Asking::new(context, &Far::default(), None))),
            },
            Command::Open => self.attach(context, text, None),
            WATCH => self.attach(context, text, Some(Mode::Watch)),
            TAKE => self.attach(context, text, Some(Mode::Drive)),
            Command::Filter => self.seek(context, text),
            _ => Action::None,
        }
    }

    fn is_raw(&self, _context: &Context<'_>) -> bool {
        self.at.is_some() && !self.is_looking()
    }

    fn raw(&mut self, context: &Context<'_>, input: &Raw<'_>) -> Action {
        self.given(context, input)
    }

    fn fills(&self) -> bool {
        self.zoom && self.at.is_some()
    }

    fn caret(&self, context: &Context<'_>) -> Caret {
        let open = self.open(context);
        open.and_then(|open| open.screen.caret()).unwrap_or_default()
    }

    fn wakes(&self, context: &Context<'_>) -> Option<Duration> {
        let at = self.at.as_ref()?;
        let open = at.open(context)?;
        if let Some(until) = open.screen.held_until() {
            return Some(until.saturating_duration_since(std::time::Instant::now()));
        }
        let now_ms = context.store.now_ms;
        let rang_ms = at.rang_ms.filter(|_| at.rings(now_ms))?;
        Some(Duration::from_millis((rang_ms + RINGS_MS).saturating_sub(now_ms)))
    }

    fn at_hand(&self) -> Vec<HostId> {
        vec![self.host]
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        self.at.is_none().then_some(("shell", &self.list.table as &dyn table::List))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        self.at.is_none().then_some(&mut self.list.table as &mut dyn table::List)
    }

    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent, double: bool) -> Action {
        if self.at.is_some() {
            return self.pointed(context, *mouse, double);
        }
        if !table::List::mouse(&mut self.list.table, mouse) {
            return Action::Pass;
        }
        let opens = double && table::List::is_row(&self.list.table, mouse.column, mouse.row);
        if opens { self.on(context, Command::Open) } else { Action::None }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { store, theme, texts, .. } = *context;
        let zoom = self.fills();
        let Some(at) = &mut self.at else {
            self.list.draw(context, frame, area);
            if self.list.table.order().is_empty() {
                let lines = if store.sessions.list(self.host).is_none() {
                    let loading = texts.get("sessions.loading");
                    nothing_yet::<Watch>(context, self.host, loading, theme, store)
                } else if self.list.table.filter.is_on() {
                    let text = texts.get("table.nothing_left");
                    vec![Line::styled(text, theme.style(Role::Soft))]
                } else {
                    let key = context.keys.of(LISTING, NEW);
                    let text = texts.fill("shell.none_yet", &[&key]);
                    vec![Line::styled(text, theme.style(Role::Soft))]
                };
                notice(frame, area, &lines);
            }
            return;
        };
        let open = at.open(context);
        // Who is looked at is told so, whatever else is hidden.
        let seen = open.is_some_and(head::must_be_seen);
        let below = if zoom && !seen {
            area
        } else {
            let line = Rect { height: 1, ..area };
            head::draw(context, frame, line, at, open);
            Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
        };
        at.area = Some(below);
        let Some(open) = open else { return };
        if open.screen.bells() != at.bells {
            at.bells = open.screen.bells();
            at.rang_ms = Some(store.now_ms);
        }
        let found = at.find.as_mut().map(|find| find.seen(&open.screen)).unwrap_or_default();
        let cursor = open.screen.draw(frame.buffer_mut(), below, theme, &found);
        match &open.state {
            State::Live if open.is_live() => {
                if let Some(cursor) = cursor.filter(|_| context.focused) {
                    frame.set_cursor_position(cursor);
                }
            }
            State::Ended(_) => {}
            State::Live | State::Opening | State::Cut(_) => {
                boxes::fade(frame.buffer_mut(), below, theme);
            }
        }
    }
}
