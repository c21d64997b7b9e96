//! The screen in parts, each a place with its own way back, and several such screens (desks) of which
//! one is seen. The part that has the keys lives in the app itself; the others wait here. What is not
//! seen is not followed.

pub(super) mod tree;

use super::{App, FRESH};
use crate::action::{Action, Wanted};
use crate::keymap::Command;
use crate::keymap::desk::{
    CHORD, CLOSE, CLOSE_DESK, DOWN, HIGHER, LEFT, LEVEL, LIST, LOWER, NARROWER, NEW, NEXT,
    NEXT_PART, ONLY, PREVIOUS, RENAME, RIGHT, SPLIT_BELOW, SPLIT_RIGHT, UP, WIDER, ZOOM,
};
use crate::overlays::chord::Chord;
use crate::overlays::menu::Menu;
use crate::overlays::prompt::Prompt;
use crate::panes::{Pane, Place};
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};
use std::collections::HashMap;
use tokio::time::Instant;
use tree::{MOST, Side, Tree};

/// Desks at most.
pub(super) const DESKS: usize = 9;
/// The longest name of a desk.
pub(super) const NAME: usize = 24;
/// Of a thousand, by which a border moves.
const STEP: i16 = 40;

/// A part of a screen: where it is, what shows that, and the way there.
pub(super) struct Part {
    pub(super) place: Place,
    pub(super) pane: Box<dyn Pane>,
    pub(super) history: Vec<(Place, Box<dyn Pane>)>,
    pub(super) tabs: Vec<(Place, Box<dyn Pane>)>,
}

impl Part {
    pub(super) fn new(place: Place, pane: Box<dyn Pane>) -> Self {
        Self { place, pane, history: Vec::new(), tabs: Vec::new() }
    }
}

/// A screen in parts.
pub(super) struct Desk {
    pub(super) name: String,
    pub(super) tree: Tree,
    /// The part that has the keys.
    pub(super) focus: u32,
    /// Only that one is shown.
    pub(super) zoomed: bool,
    /// All of them, but for the one that lives in the app.
    pub(super) parts: HashMap<u32, Part>,
}

impl Desk {
    pub(super) fn of_one() -> Self {
        let (tree, parts) = (Tree::Part(0), HashMap::new());
        Self { name: String::new(), tree, focus: 0, zoomed: false, parts }
    }
}

/// The desks; there is always one.
pub(super) struct Desks {
    pub(super) all: Vec<Desk>,
    pub(super) at: usize,
    /// Where the parts were drawn last.
    areas: Vec<(u32, Rect)>,
    area: Rect,
    /// The border that the mouse holds.
    held: Option<Vec<bool>>,
}

impl Default for Desks {
    fn default() -> Self {
        let (areas, area) = (Vec::new(), Rect::default());
        Self { all: vec![Desk::of_one()], at: 0, areas, area, held: None }
    }
}

impl Desks {
    pub(super) fn now(&self) -> &Desk {
        &self.all[self.at]
    }

    pub(super) fn now_mut(&mut self) -> &mut Desk {
        &mut self.all[self.at]
    }

    /// Lays out the parts that are seen; with it the borders between them.
    pub(super) fn lay(&mut self, area: Rect) -> (Vec<(u32, Rect)>, Vec<Rect>) {
        self.area = area;
        let desk = &self.all[self.at];
        let (parts, borders) = if desk.zoomed || !desk.tree.fits(area) {
            (vec![(desk.focus, area)], Vec::new())
        } else {
            desk.tree.lay(area)
        };
        self.areas.clone_from(&parts);
        (parts, borders)
    }

    /// Whether only the part with the keys was drawn, and there are others.
    pub(super) fn hides(&self) -> bool {
        !self.areas.is_empty() && self.areas.len() < self.now().tree.parts().len()
    }

    /// The part that was drawn there.
    pub(super) fn part_at(&self, at: Position) -> Option<u32> {
        self.areas.iter().find(|(_, area)| area.contains(at)).map(|(id, _)| *id)
    }

    /// Parts that are seen beside the one with the keys.
    pub(super) fn others(&self) -> impl Iterator<Item = &Part> {
        let desk = self.now();
        let seen = |id: &u32| *id != desk.focus && self.areas.iter().any(|(seen, _)| seen == id);
        desk.parts.iter().filter(move |(id, _)| seen(id)).map(|(_, part)| part)
    }

    /// The mouse at a border: takes hold of it, moves it, lets it go. False when it is about no border.
    pub(super) fn pull(&mut self, mouse: MouseEvent) -> bool {
        let to = Position::new(mouse.column, mouse.row);
        let area = self.area;
        match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => {
                // With one part on the screen there is none to be seen.
                let seen = self.areas.len() > 1;
                self.held = seen.then(|| self.now().tree.border_at(area, to)).flatten();
                // A title gives its part the keys as well.
                self.held.is_some() && self.part_at(to).is_none()
            }
            MouseEventKind::Drag(MouseButton::Left) => {
                let Some(held) = self.held.clone() else { return false };
                self.now_mut().tree.drag(&held, area, to);
                true
            }
            MouseEventKind::Up(MouseButton::Left) => {
                let Some(held) = self.held.take() else { return false };
                // Not every terminal tells of what lies between.
                self.now_mut().tree.drag(&held, area, to);
                true
            }
            _ => false,
        }
    }

    fn others_ids(&self) -> Vec<u32> {
        let focus = self.now().focus;
        self.areas.iter().map(|(id, _)| *id).filter(|id| *id != focus).collect()
    }
}

impl App {
    /// Puts another part in the place of the one that has the keys.
    fn exchange(&mut self, part: Part) -> Part {
        Part {
            place: std::mem::replace(&mut self.place, part.place),
            pane: std::mem::replace(&mut self.pane, part.pane),
            history: std::mem::replace(&mut self.history, part.history),
            tabs: std::mem::replace(&mut self.tabs, part.tabs),
        }
    }

    /// Gives the keys to a part of this desk.
    pub(super) fn focus(&mut self, id: u32) {
        let desk = self.desks.now_mut();
        let Some(part) = desk.parts.remove(&id) else { return };
        let before = std::mem::replace(&mut desk.focus, id);
        let left = self.exchange(part);
        self.desks.now_mut().parts.insert(before, left);
    }

    /// Does something with each part that is seen and has not the keys, as if it had them.
    pub(super) fn with_others(&mut self, mut what: impl FnMut(&mut Self)) {
        let focus = self.desks.now().focus;
        for id in self.desks.others_ids() {
            self.focus(id);
            what(self);
        }
        self.focus(focus);
    }

    /// Shows another desk.
    fn turn_to(&mut self, at: usize) {
        if at == self.desks.at || at >= self.desks.all.len() {
            return;
        }
        let desk = &mut self.desks.all[at];
        let Some(part) = desk.parts.remove(&desk.focus) else { return };
        let left = self.exchange(part);
        let desk = self.desks.now_mut();
        desk.parts.insert(desk.focus, left);
        self.desks.at = at;
        self.seen_anew();
    }

    fn seen_anew(&mut self) {
        self.desks.areas.clear();
        let area = self.desks.area;
        self.desks.lay(area);
        self.fresh_until = Instant::now() + FRESH;
    }

    /// Asks which of the keys behind the one that was pressed.
    pub(super) fn chord() -> Action {
        Action::Open(Box::new(Chord::new("desk.title", CHORD)))
    }

    /// Does a command of [`CHORD`].
    pub(super) fn on_desk(&mut self, command: Command) -> Action {
        let area = self.desks.area;
        let desk = self.desks.now_mut();
        let focus = desk.focus;
        match command {
            SPLIT_RIGHT | SPLIT_BELOW => return self.split(command == SPLIT_RIGHT),
            LEFT | DOWN | UP | RIGHT => {
                let side = match command {
                    LEFT => Side::Left,
                    DOWN => Side::Below,
                    UP => Side::Above,
                    _ => Side::Right,
                };
                if let Some(to) = desk.tree.beside(focus, side, area) {
                    self.focus(to);
                }
            }
            NEXT_PART => {
                let parts = desk.tree.parts();
                let at = parts.iter().position(|id| *id == focus).unwrap_or(0);
                self.focus(parts[(at + 1) % parts.len()]);
            }
            CLOSE => {
                let Some(to) = desk.tree.close(focus) else {
                    return if self.desks.all.len() > 1 {
                        self.close_desk()
                    } else {
                        self.say_text("desk.last")
                    };
                };
                desk.zoomed = false;
                self.focus(to);
                self.desks.now_mut().parts.remove(&focus);
            }
            ONLY => {
                desk.tree = Tree::Part(focus);
                desk.parts.clear();
                desk.zoomed = false;
            }
            ZOOM => {
                desk.zoomed = !desk.zoomed && desk.tree.parts().len() > 1;
            }
            WIDER | NARROWER => {
                desk.tree.resize(focus, true, if command == WIDER { STEP } else { -STEP });
            }
            HIGHER | LOWER => {
                desk.tree.resize(focus, false, if command == HIGHER { STEP } else { -STEP });
            }
            LEVEL => desk.tree.level(),
            NEW => return self.new_desk(),
            NEXT => self.turn_to((self.desks.at + 1) % self.desks.all.len()),
            PREVIOUS => {
                let count = self.desks.all.len();
                self.turn_to((self.desks.at + count - 1) % count);
            }
            LIST => return self.list_desks(),
            RENAME => return self.ask_name(),
            CLOSE_DESK => return self.close_desk(),
            _ => return Action::Pass,
        }
        self.seen_anew();
        Action::None
    }

    fn say_text(&self, key: &'static str) -> Action {
        Action::Say(self.face.texts.get(key).to_owned())
    }

    fn split(&mut self, across: bool) -> Action {
        let area = self.desks.area;
        let desk = self.desks.now_mut();
        let parts = desk.tree.parts();
        if parts.len() >= MOST {
            let most = MOST.to_string();
            return Action::Say(self.face.texts.fill("desk.most", &[&most]));
        }
        let new = parts.iter().max().map_or(0, |id| id + 1);
        let mut tree = desk.tree.clone();
        tree.split(desk.focus, across, new);
        if !tree.fits(area) {
            return self.say_text("desk.too_small");
        }
        desk.tree = tree;
        desk.zoomed = false;
        let part = Part::new(self.place, self.kept.pane(self.place));
        desk.parts.insert(new, part);
        self.focus(new);
        self.seen_anew();
        Action::None
    }

    fn new_desk(&mut self) -> Action {
        if self.desks.all.len() >= DESKS {
            let most = DESKS.to_string();
            return Action::Say(self.face.texts.fill("desk.most_desks", &[&most]));
        }
        let mut desk = Desk::of_one();
        desk.parts.insert(0, Part::new(Place::Hosts, self.kept.pane(Place::Hosts)));
        let at = self.desks.at + 1;
        self.desks.all.insert(at, desk);
        self.turn_to(at);
        Action::None
    }

    fn close_desk(&mut self) -> Action {
        if self.desks.all.len() == 1 {
            return self.say_text("desk.last");
        }
        let gone = self.desks.at;
        self.turn_to(if gone == 0 { 1 } else { gone - 1 });
        self.desks.all.remove(gone);
        if self.desks.at > gone {
            self.desks.at -= 1;
        }
        Action::None
    }

    /// What a desk is called: its name, or where it is.
    pub(super) fn desk_name(&self, at: usize) -> String {
        let desk = &self.desks.all[at];
        if !desk.name.is_empty() {
            return desk.name.clone();
        }
        let place = if at == self.desks.at {
            Some(self.place)
        } else {
            desk.parts.get(&desk.focus).map(|part| part.place)
        };
        place.map_or_else(String::new, |place| self.place_name(place))
    }

    /// A place in words.
    pub(super) fn place_name(&self, place: Place) -> String {
        match place {
            Place::Host(host, tab) => {
                let tab =
                    crate::panes::TABS.get(tab).map_or("", |tab| self.face.texts.get(tab.title));
                format!("{} ▸ {tab}", self.store.hosts.name(host))
            }
            place => self.face.texts.get(place.title()).to_owned(),
        }
    }

    fn list_desks(&self) -> Action {
        let items = (0..self.desks.all.len()).map(|at| {
            let parts = self.desks.all[at].tree.parts().len().to_string();
            let name = format!("{}  {}", at + 1, self.desk_name(at));
            (name, self.face.texts.fill("desk.parts", &[&parts]))
        });
        let title = self.face.texts.get("desk.title").to_owned();
        Action::Open(Box::new(Menu::new(title, items.collect(), self.desks.at, |at| {
            Action::Want(Wanted::Desk(at))
        })))
    }

    /// Shows the desk of this number.
    pub(super) fn show_desk(&mut self, at: usize) {
        self.turn_to(at);
    }

    fn ask_name(&self) -> Action {
        let title = self.face.texts.get("desk.key.rename").to_owned();
        let now = self.desks.now().name.clone();
        Action::Open(Box::new(Prompt::new(title, now, "desk.name_hint", |name| {
            Ok(Action::Want(Wanted::NameDesk(name.to_owned())))
        })))
    }

    /// Calls the present desk so.
    pub(super) fn name_desk(&mut self, name: &str) {
        self.desks.now_mut().name = cmdr_protocol::display::clean_to_width(name.trim(), NAME);
    }
}
