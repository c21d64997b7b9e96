//! The files of a host: one folder, or two beside each other; what can be done to them, and carrying them.

mod acts;
mod beside;
pub(super) mod carry;
mod columns;
pub mod finds;
mod side;
mod unpack;
mod view;

use super::{Context, Entry, Pane, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::overlays::menu::Menu;
use crate::overlays::prompt::Prompt;
use crate::overlays::transfers::Transfers;
use crate::theme::Role;
use crate::widgets::table;
use cmdr_protocol::edits::Open;
use cmdr_protocol::files::{
    Archive, Chmod, Copy, Delete, FileKind, FilePath, List, MakeFolder, Read, Rename, Unpack, Write,
};
use cmdr_protocol::{Call as _, Feed as _, HostId};
use crossterm::event::MouseEvent;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use side::Side;

/// Goes to the folder that is given.
pub(in crate::panes) const GO: Command = Command::Own(0);
const UP: Command = Command::Own(1);
const HIDDEN: Command = Command::Own(2);
const REFRESH: Command = Command::Own(3);
const NEW_FILE: Command = Command::Own(4);
const NEW_FOLDER: Command = Command::Own(5);
const RENAME: Command = Command::Own(6);
const DELETE: Command = Command::Own(7);
const CHMOD: Command = Command::Own(8);
const DOWNLOAD: Command = Command::Own(9);
const UPLOAD: Command = Command::Own(10);
const SPLIT: Command = Command::Own(11);
const OTHER: Command = Command::Own(12);
const HOST: Command = Command::Own(13);
const COPY: Command = Command::Own(14);
const MOVE: Command = Command::Own(15);
const TRANSFERS: Command = Command::Own(16);
const TYPE_PATH: Command = Command::Own(17);
/// Shows the file that is given.
const VIEW: Command = Command::Own(18);
const EDIT: Command = Command::Own(19);
const ARCHIVE: Command = Command::Own(20);
const UNPACK: Command = Command::Own(21);

/// Below this width two folders have no room beside each other.
const WIDE: u16 = 76;

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "files.key.open").needs(List::METHOD).row().hint(),
    key(&["<left>", "-"], UP, "files.key.up").hint(),
    key(&["e"], EDIT, "files.key.edit").needs(Open::METHOD).row().hint(),
    key(&["o"], TYPE_PATH, "files.key.go").needs(List::METHOD),
    key(&["i"], HIDDEN, "files.key.hidden"),
    key(&["<f5>"], REFRESH, "files.key.refresh").needs(List::METHOD),
    key(&["s"], SPLIT, "files.key.split").hint(),
    key(&["H"], HOST, "files.key.host").needs(List::METHOD),
    key(&["c"], COPY, "files.key.copy").danger(Copy::METHOD).row().hint(),
    key(&["m"], MOVE, "files.key.move").danger(Rename::METHOD),
    key(&["d"], DOWNLOAD, "files.key.download").needs(Read::METHOD).row().hint(),
    key(&["w"], OTHER, "files.key.other").hint(),
    key(&["D"], ARCHIVE, "files.key.archive").needs(Archive::METHOD),
    key(&["z"], UNPACK, "files.key.unpack").danger(Unpack::METHOD).row(),
    key(&["u"], UPLOAD, "files.key.upload").danger(Write::METHOD).hint(),
    key(&["t"], TRANSFERS, "files.key.transfers"),
    key(&["a"], NEW_FILE, "files.key.new_file").danger(Write::METHOD),
    key(&["<f7>"], NEW_FOLDER, "files.key.new_folder").danger(MakeFolder::METHOD),
    key(&["R"], RENAME, "files.key.rename").danger(Rename::METHOD),
    key(&["p"], CHMOD, "files.key.chmod").danger(Chmod::METHOD),
    key(&["x", "<delete>"], DELETE, "files.key.delete").danger(Delete::METHOD),
];

/// The columns of a folder's table.
pub fn columns() -> Vec<table::Column> {
    columns::COLUMNS.to_vec()
}

/// The pane.
pub struct Files {
    sides: [Side; 2],
    active: usize,
    split: bool,
    areas: [Rect; 2],
}

impl Files {
    /// Of this host.
    pub fn new(host: HostId) -> Self {
        let side = || Side::new(host, FilePath::root());
        Self { sides: [side(), side()], active: 0, split: false, areas: [Rect::default(); 2] }
    }

    fn side(&mut self) -> &mut Side {
        &mut self.sides[self.active]
    }

    fn other(&self) -> &Side {
        &self.sides[1 - self.active]
    }

    fn open(&mut self, context: &Context<'_>) -> Action {
        let side = &mut self.sides[self.active];
        let Some(entry) = side.selected(context) else { return Action::None };
        let Some(path) = side.inner(&entry.name) else { return Action::None };
        match entry.kind {
            FileKind::Folder => {
                side.go(path, None);
                Action::None
            }
            FileKind::File => view::open(context, side.host, path),
            FileKind::Link => acts::open_link(side.host, path),
            kind => {
                let word = kind.as_str().replace('-', " ");
                Action::Say(context.texts.fill("files.no_file", &[&path.to_string(), &word]))
            }
        }
    }

    fn hosts(context: &Context<'_>) -> Action {
        let mut hosts: Vec<(String, String, HostId)> = context
            .store
            .hosts
            .rows
            .values()
            .filter_map(|row| {
                let (_, word, _) = super::hosts::state(row.host.state);
                Some((row.host.name.clone(), context.texts.get(word).to_owned(), row.host.id?))
            })
            .collect();
        hosts.sort();
        let items = hosts.iter().map(|(name, state, _)| (name.clone(), state.clone())).collect();
        let ids: Vec<HostId> = hosts.into_iter().map(|(.., id)| id).collect();
        let title = context.texts.get("files.host_title").to_owned();
        Action::Open(Box::new(Menu::new(title, items, 0, move |at| match ids.get(at) {
            Some(id) => Action::Give(HOST, id.to_string()),
            None => Action::None,
        })))
    }
}

impl Pane for Files {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn can(&self, _context: &Context<'_>, command: Command) -> bool {
        command != OTHER || self.split
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![super::hosts::feed()]
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let mut actions = Vec::new();
        let seen = if self.split { 0..2 } else { self.active..self.active + 1 };
        for (n, side) in self.sides[seen].iter().enumerate() {
            // Both may show the same folder, which is asked for once.
            let twin = n == 1 && self.sides[0].host == side.host && self.sides[0].path == side.path;
            let action = side.poll(context);
            if !twin && !matches!(action, Action::None) {
                actions.push(action);
            }
        }
        if actions.is_empty() { Action::None } else { Action::All(actions) }
    }

    fn at_hand(&self) -> Vec<HostId> {
        vec![self.sides[self.active].host]
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.side().order(context);
        if self.side().table.on(command, columns::COLUMNS) {
            return Action::None;
        }
        let active = self.active;
        match command {
            Command::Open => self.open(context),
            UP => {
                let side = self.side();
                if side.path.is_root() {
                    return Action::None;
                }
                let (parent, name) = (side.path.parent(), side.path.name().to_owned());
                side.go(parent, Some(&name));
                Action::None
            }
            HIDDEN => {
                self.side().hidden ^= true;
                Action::None
            }
            EDIT => {
                let side = &self.sides[active];
                let name = side.selected(context).map(|entry| entry.name.clone());
                let path = name.and_then(|name| side.inner(&name));
                path.map_or(Action::None, |path| super::edit::open(context, side.host, path))
            }
            REFRESH => {
                let changed =
                    |side: &Side| crate::store::files::changed(side.host, side.path.clone());
                Action::All(self.sides.iter().map(|side| Action::Apply(changed(side))).collect())
            }
            SPLIT => {
                self.split ^= true;
                if self.split && self.sides[1 - active].folder(context).is_none() {
                    let (host, path) = (self.sides[active].host, self.sides[active].path.clone());
                    self.sides[1 - active] = Side::new(host, path);
                }
                Action::None
            }
            // Who has two folders beside each other expects it of Tab; pages have their digits.
            Command::TabNext if !self.split => Action::Pass,
            OTHER | Command::TabNext => {
                self.split = true;
                self.active = 1 - active;
                Action::None
            }
            HOST => Self::hosts(context),
            TYPE_PATH => {
                let (path, text) = (self.side().path.clone(), Side::text(&self.side().path));
                let title = context.texts.get("files.go_title").to_owned();
                Action::Open(Box::new(Prompt::new(title, text, "files.go_hint", move |text| {
                    let path = Side::typed(&path, text)?;
                    Ok(Action::Give(GO, path.as_str().to_owned()))
                })))
            }
            COPY => beside::carry(context, &self.sides[active], self.other(), self.split, false),
            MOVE => beside::carry(context, &self.sides[active], self.other(), self.split, true),
            DOWNLOAD => acts::download(context, &self.sides[active]),
            ARCHIVE => acts::archive(context, &self.sides[active]),
            UNPACK => {
                let beside = self.split.then(|| self.other());
                unpack::ask(context, &self.sides[active], beside)
            }
            UPLOAD => acts::upload(context, &self.sides[active]),
            NEW_FILE => acts::new_file(context, &self.sides[active]),
            NEW_FOLDER => acts::new_folder(context, &self.sides[active]),
            RENAME => acts::rename(context, &self.sides[active]),
            DELETE => acts::delete(context, &self.sides[active]),
            CHMOD => acts::chmod(context, &self.sides[active]),
            TRANSFERS => Action::Open(Box::new(Transfers::default())),
            Command::CopyValue => {
                let side = &self.sides[active];
                let name = side.selected(context).map(|entry| entry.name.clone());
                let path =
                    name.and_then(|name| side.inner(&name)).unwrap_or_else(|| side.path.clone());
                Action::Copy(path.to_string())
            }
            Command::CopyCommand => {
                let side = &self.sides[active];
                let what = format!("{}:{}", context.store.hosts.name(side.host), side.path);
                Action::Copy(format!("cmdr ls -l {}", super::hosts::quoted(&what)))
            }
            Command::NextMatch | Command::PreviousMatch => {
                let found = self.side().seek(context, command == Command::NextMatch);
                super::sought(context, found, self.sides[active].table.sought())
            }
            _ => Action::Pass,
        }
    }

    fn take(&mut self, context: &Context<'_>, command: Command, text: &str) -> Action {
        match command {
            Command::Open => {
                if let Ok(path) = FilePath::parse(text) {
                    self.side().go(path.parent(), Some(path.name()));
                }
            }
            GO => {
                if let Ok(path) = FilePath::parse(text) {
                    self.side().go(path, None);
                }
            }
            VIEW => {
                if let Ok(path) = FilePath::parse(text) {
                    return acts::show(context, &self.sides[self.active], path);
                }
            }
            HOST => {
                if let Ok(host) = text.parse() {
                    *self.side() = Side::new(host, FilePath::root());
                }
            }
            _ => {}
        }
        Action::None
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        finds::at_hand(context, &self.sides[self.active])
    }

    fn folder(&self) -> Option<(HostId, FilePath)> {
        let side = &self.sides[self.active];
        Some((side.host, side.path.clone()))
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("files", &self.sides[self.active].table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.sides[self.active].table)
    }

    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent, double: bool) -> Action {
        let at = Position::new(mouse.column, mouse.row);
        if let Some(side) = self.areas.iter().position(|area| area.contains(at)) {
            self.active = side;
        }
        let table = &mut self.sides[self.active].table;
        if !table::List::mouse(table, mouse) {
            return Action::Pass;
        }
        let opens = double && table::List::is_row(table, mouse.column, mouse.row);
        if opens { self.on(context, Command::Open) } else { Action::None }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.areas = [Rect::default(); 2];
        if !self.split || area.width < WIDE {
            let many = self.split || self.sides[self.active].host != self.sides[0].host;
            self.areas[self.active] = area;
            return self.sides[self.active].draw(context, frame, area, true, many);
        }
        let half = (area.width - 1) / 2;
        let left = Rect { width: half, ..area };
        let right = Rect { x: area.x + half + 1, width: area.width - half - 1, ..area };
        for y in area.y..area.bottom() {
            let style = context.theme.style(Role::Border);
            frame.buffer_mut().set_string(area.x + half, y, "│", style);
        }
        for (n, area) in [left, right].into_iter().enumerate() {
            self.areas[n] = area;
            self.sides[n].draw(context, frame, area, n == self.active, true);
        }
    }
}
