//! Keys and the mouse on their way to the layers, and the commands that work everywhere.

use super::App;
use super::screen::Wish;
use crate::action::Action;
use crate::finds::{self, FINDS};
use crate::i18n::{Lang, Texts};
use crate::keymap::{Binding, Command, EVERYWHERE, PAGE, desk};
use crate::overlays::finder::Finder;
use crate::overlays::pager::Pager;
use crate::overlays::palette::Palette;
use crate::overlays::{help, themes};
use crate::panes::{
    Choice, Entry, Place, TABS, compose, edit, history, hosts, recorder, runs, sessions,
};
use crate::store::rights::Offer;
use crate::theme::Role;
use cmdr_protocol::files::FilePath;
use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Position;
use std::time::Duration;
use tokio::time::Instant;

/// Two clicks on a cell within this time are a double click.
const DOUBLE: Duration = Duration::from_millis(400);

/// The last click, for telling double ones.
#[derive(Default)]
pub(super) struct Clicks {
    last: Option<(Instant, u16, u16)>,
}

impl Clicks {
    fn is_double(&mut self, mouse: MouseEvent) -> bool {
        if mouse.kind != MouseEventKind::Down(MouseButton::Left) {
            return false;
        }
        let now = Instant::now();
        let double = self.last.take().is_some_and(|(at, column, row)| {
            (column, row) == (mouse.column, mouse.row) && now - at < DOUBLE
        });
        if !double {
            self.last = Some((now, mouse.column, mouse.row));
        }
        double
    }
}

impl App {
    pub(super) fn key(&mut self, key: &KeyEvent) -> Action {
        if key.kind == KeyEventKind::Release {
            return Action::None;
        }
        self.prefixed = false;
        // A note was read when the next key comes.
        self.note = None;
        self.hints.card = false;
        let context = self.face.context(&self.store);
        if let Some(overlay) = self.overlays.last_mut() {
            return overlay.key(&context, key);
        }
        if self.pane.is_typing()
            && let Some(list) = self.pane.list_mut()
        {
            list.key(key);
            return Action::None;
        }
        if self.pane.is_writing() && self.face.keys.find(self.pane.bindings(), key).is_none() {
            match self.pane.write(&context, key) {
                Action::Pass => {}
                action => return action,
            }
        }
        self.commanded(key)
    }

    /// A key that is no text.
    pub(super) fn commanded(&mut self, key: &KeyEvent) -> Action {
        if let (Place::Host(host, now), KeyCode::Char(digit @ '1'..='9'), false) =
            (self.place, key.code, key.modifiers.contains(KeyModifiers::ALT))
        {
            let tab = digit as usize - '1' as usize;
            let switch = tab < TABS.len() && tab != now;
            return if switch { Action::Go(Place::Host(host, tab)) } else { Action::None };
        }
        let mut tables = self.pane.bindings().to_vec();
        if matches!(self.place, Place::Host(..)) {
            tables.push(PAGE);
        }
        tables.push(EVERYWHERE);
        let Some(binding) = self.face.keys.find(&tables, key) else {
            return self.recalled(key).unwrap_or_default();
        };
        if let Some(why) = self.refusal(&binding) {
            return Action::Say(why);
        }
        self.command(binding.command)
    }

    pub(super) fn mouse(&mut self, mouse: MouseEvent) -> Action {
        let double = self.clicks.is_double(mouse);
        if self.overlays.is_empty() && !self.pane.fills() && self.desks.pull(mouse) {
            self.soil(super::Dirty::Quick);
            return Action::None;
        }
        if let Some(action) = self.raw_mouse(mouse, double) {
            return action;
        }
        if matches!(mouse.kind, MouseEventKind::Moved | MouseEventKind::Up(_)) {
            return Action::None;
        }
        self.soil(super::Dirty::Quick);
        let context = self.face.context(&self.store);
        if let Some(overlay) = self.overlays.last_mut() {
            return overlay.mouse(&context, &mouse);
        }
        if mouse.kind == MouseEventKind::Down(MouseButton::Left)
            && let Some(place) = self.spots.at(Position::new(mouse.column, mouse.row))
        {
            return if self.place == place {
                Action::None
            } else if place == Place::Hosts {
                Action::Back
            } else {
                Action::Go(place)
            };
        }
        self.mouse_in_part(mouse, double)
    }

    /// Commands that the pane passed on.
    pub(super) fn own(&mut self, command: Command) -> Action {
        match command {
            Command::Back => Action::Back,
            Command::Quit => Action::Quit,
            Command::Help => {
                let mut tables = self.pane.bindings().to_vec();
                if matches!(self.place, Place::Host(..)) {
                    tables.push(PAGE);
                }
                let offer = |binding: &Binding| self.offer(binding);
                let prefix = self.is_raw().then(|| self.prefix());
                let views = self.views();
                let (context, writing) = (self.context(), self.pane.is_writing());
                let help = help::help(&context, &tables, &views, prefix.as_deref(), writing, offer);
                Action::Open(Box::new(help))
            }
            Command::Desks => Self::chord(),
            Command::Desk(_) => self.on_desk(command),
            Command::Print => self.print(),
            Command::Meter => self.toggle_meter(),
            Command::Find => self.find(),
            Command::Palette => Action::Open(Box::new(Palette::new(self.entries()))),
            Command::Themes => Action::Open(Box::new(themes::choice(&self.context()))),
            Command::Columns => self.choose_columns(),
            Command::Views => self.choose_view(),
            Command::Audit => Action::Go(Place::Audit),
            Command::Records => Action::Go(Place::Records),
            Command::Approvals => Action::Go(Place::Approvals),
            Command::FleetPorts => Action::Go(Place::FleetPorts),
            Command::FleetProcesses => Action::Go(Place::FleetProcesses),
            Command::Docker => Action::Go(Place::Docker(0)),
            Command::Charts => {
                let hosts = match self.place {
                    Place::Host(host, _) => vec![host],
                    // The list of hosts has one under its cursor; what is marked there is meant.
                    _ => self.pane.at_hand(),
                };
                history::open(&self.context(), hosts)
            }
            Command::Data => Action::Go(Place::Data),
            Command::Probes => Action::Go(Place::Probes),
            Command::Gateways => Action::Go(Place::Gateways),
            Command::Forwards => Action::Go(Place::Forwards),
            Command::Recorder => {
                let hosts = match self.place {
                    Place::Host(host, _) => vec![host],
                    _ => self.pane.at_hand(),
                };
                recorder::open_one(&self.context(), &hosts, None)
            }
            Command::Sessions => Action::Go(Place::Sessions),
            Command::Runs => Action::Go(Place::Runs),
            Command::Runbooks => {
                let give = Action::Give(runs::TO_BOOKS, String::new());
                Action::All(vec![Action::Go(Place::Runs), give])
            }
            Command::Configs => {
                let give = Action::Give(runs::TO_CONFIGS, String::new());
                Action::All(vec![Action::Go(Place::Runs), give])
            }
            Command::Alerts => Action::Go(Place::Alerts),
            Command::Compose => {
                let hosts = match self.place {
                    Place::Host(host, _) => vec![host],
                    _ => self.pane.at_hand(),
                };
                compose::open(&self.context(), &hosts)
            }
            Command::Rights => self.rights(),
            Command::Ask => self.ask(),
            Command::Again => self.again(),
            Command::Edits => edit::waiting(&self.context()),
            Command::Log => self.log(),
            Command::Mouse => {
                self.mouse = !self.mouse;
                self.wishes.push(Wish::Mouse(self.mouse));
                let text = if self.mouse { "note.mouse_on" } else { "note.mouse_off" };
                let key = self.face.keys.of(&[EVERYWHERE], Command::Mouse);
                Action::Say(self.face.texts.fill(text, &[&key]))
            }
            Command::Redraw => {
                self.wishes.push(Wish::Redraw);
                Action::None
            }
            Command::Suspend => {
                self.wishes.push(Wish::Suspend);
                Action::None
            }
            Command::TabNext | Command::TabPrevious => {
                let Place::Host(host, tab) = self.place else { return Action::None };
                let by = if command == Command::TabNext { 1 } else { TABS.len() - 1 };
                Action::Go(Place::Host(host, (tab + by) % TABS.len()))
            }
            _ => Action::None,
        }
    }

    fn log(&self) -> Action {
        let lines = self.options.journal.lines();
        let lines = if lines.is_empty() {
            vec![vec![(Role::Soft, self.face.texts.get("log.empty").to_owned())]]
        } else {
            lines.into_iter().map(|line| vec![(Role::Text, line)]).collect()
        };
        let title = self.face.texts.get("log.title").to_owned();
        Action::Open(Box::new(Pager::new(title, lines).from_end()))
    }

    /// Everything that offers itself, wherever it is.
    pub(super) fn find(&self) -> Action {
        let context = self.context();
        let mut entries = self.commands();
        entries.extend((0..self.desks.all.len()).filter(|at| *at != self.desks.at).map(|at| {
            Entry {
                kind: "palette.desk",
                text: self.desk_name(at),
                note: (at + 1).to_string(),
                choice: Choice::Desk(at),
            }
        }));
        let own = self.pane.entries(&context).into_iter();
        entries.extend(own.filter(|entry| !finds::EVERYWHERE.contains(&entry.kind)));
        entries.extend(FINDS.iter().flat_map(|finds| finds(&context)));
        let finder = Finder::new(entries, &self.memory.found, self.sender.clone());
        let below = self.pane.folder().or(match self.place {
            Place::Host(host, _) => Some((host, FilePath::root())),
            _ => None,
        });
        Action::Open(Box::new(finder.searching(below)))
    }

    /// Everything the palette can find from here.
    fn entries(&self) -> Vec<Entry> {
        let context = self.context();
        let mut entries = self.commands();
        entries.extend(hosts::entries(&context));
        entries.extend(sessions::entries(&context));
        entries.extend(self.pane.entries(&context));
        entries
    }

    /// Tabs, commands and views of the place at hand.
    fn commands(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        // Letters find what is named in Chinese, too: whoever types them need not change the input method.
        let english = (self.face.texts.lang != Lang::En).then(|| Texts::new(Lang::En));
        let named = |note: String, key: &'static str| match &english {
            Some(english) => format!("{note}  {}", english.get(key)),
            None => note,
        };
        if let Place::Host(host, _) = self.place {
            entries.extend(TABS.iter().enumerate().map(|(n, tab)| Entry {
                kind: "palette.page",
                text: self.face.texts.get(tab.title).to_owned(),
                note: named((n + 1).to_string(), tab.title),
                choice: Choice::Go(Place::Host(host, n)),
            }));
        }
        let moving = |c: Command| {
            matches!(
                c,
                Command::Up
                    | Command::Down
                    | Command::PageUp
                    | Command::PageDown
                    | Command::HalfUp
                    | Command::HalfDown
                    | Command::Palette
                    | Command::Find
            )
        };
        let tables = self.pane.bindings().iter().chain([&EVERYWHERE, &desk::CHORD]);
        for binding in tables.flat_map(|table| table.iter()) {
            let offer = self.offer(binding);
            if moving(binding.command) || offer == Offer::No {
                continue;
            }
            let mut keys = self.face.keys.shown(binding);
            if matches!(binding.command, Command::Desk(_)) {
                let first = self.face.keys.of(&[EVERYWHERE], Command::Desks);
                keys = format!("{first} {keys}");
            }
            let keys = if offer == Offer::Ask { format!("{} {keys}", help::ASK) } else { keys };
            entries.push(Entry {
                kind: "palette.command",
                text: self.face.texts.get(binding.text).to_owned(),
                note: named(keys, binding.text),
                choice: Choice::Command(binding.command),
            });
        }
        entries.extend(self.view_entries());
        entries
    }
}
