//! What is typed, pasted and pointed at in a session: bytes for its program, or a selection of ours. And
//! what comes out of it for the clipboard.

use super::{How, PASTED, ShellPane};
use crate::action::{Action, Make};
use crate::browser;
use crate::config::Clipboard;
use crate::event::Event;
use crate::overlays::confirm::Confirm;
use crate::overlays::menu::Menu;
use crate::panes::{Context, Raw};
use crate::store::Update;
use crate::store::sessions::{Attached, State, clipboard_done, look, type_in};
use crate::widgets::terminal::{Kind, Link, Modes, Screen, keys, mouse as pointer, paste};
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::sessions::Mode;
use crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;
use std::sync::Arc;

/// Lines that a turn of the wheel goes.
const WHEEL: i32 = 3;
/// Bytes that are kept until the session is asked for.
const EARLY: usize = 256;

impl ShellPane {
    /// Whether it was asked for only to look on.
    fn only_watches(&self) -> bool {
        let how = self.at.as_ref().map(|at| &at.how);
        matches!(how, Some(How::Own(_, Mode::Watch, _) | How::Other(_, Mode::Watch)))
    }

    pub(super) fn given(&mut self, context: &Context<'_>, input: &Raw<'_>) -> Action {
        match input {
            Raw::Key(key) => {
                let Some(open) = self.open(context) else {
                    self.keep_early(&keys::encode(key, Modes::default()));
                    return Action::None;
                };
                if matches!(open.state, State::Ended(_)) {
                    let leaves = matches!(key.code, KeyCode::Esc | KeyCode::Enter);
                    let stays = || Action::Say(context.texts.get("shell.ended_keys").to_owned());
                    return if leaves { self.leave() } else { stays() };
                }
                let bytes = keys::encode(key, open.screen.modes());
                if bytes.is_empty() { Action::None } else { self.send(context, bytes) }
            }
            Raw::Paste(text) => self.pasted(context, text),
            Raw::Focus(on) => {
                let open = self.open(context).filter(|open| open.is_live());
                match open.filter(|open| open.screen.modes().contains(Modes::FOCUS_IN_OUT)) {
                    Some(open) if open.mode == Mode::Drive => {
                        let bytes = if *on { b"\x1b[I" } else { b"\x1b[O" };
                        Action::Apply(type_in(open.owner, bytes.to_vec()))
                    }
                    _ => Action::None,
                }
            }
            Raw::Mouse(mouse, double) => self.pointed(context, **mouse, *double),
        }
    }

    /// Keeps what is typed before the session is even asked for.
    fn keep_early(&mut self, bytes: &[u8]) {
        if let Some(at) = self.at.as_mut().filter(|at| at.early.len() + bytes.len() <= EARLY) {
            at.early.extend_from_slice(bytes);
        }
    }

    /// Bytes for the program, when they arrive there; else why not.
    fn send(&mut self, context: &Context<'_>, bytes: Vec<u8>) -> Action {
        let Some(open) = self.open(context) else { return Action::None };
        let texts = context.texts;
        if !open.takes_keys() {
            let Some(at) = self.at.as_mut().filter(|at| !at.away_said) else { return Action::None };
            at.away_said = true;
            return Action::Say(texts.get("shell.away").to_owned());
        }
        if open.mode != Mode::Drive || self.only_watches() {
            return Action::Say(texts.get("shell.only_watching").to_owned());
        }
        Action::Apply(type_in(open.owner, bytes))
    }

    fn pasted(&mut self, context: &Context<'_>, text: &str) -> Action {
        let Some(open) = self.open(context) else { return Action::None };
        let modes = open.screen.modes();
        let bytes = paste::encode(text, modes);
        if bytes.is_empty() {
            return Action::None;
        }
        if !paste::is_risky(text, modes) || !open.takes_keys() || open.mode != Mode::Drive {
            return self.send(context, bytes);
        }
        let lines = paste::lines(text);
        let texts = context.texts;
        let title = texts.fill("shell.paste", &[&lines.len().to_string()]);
        let mut about: Vec<String> =
            lines.iter().take(PASTED).map(|line| clean(line).into_owned()).collect();
        if lines.len() > PASTED {
            about.push(texts.fill("confirm.more", &[&(lines.len() - PASTED).to_string()]));
        }
        let act = Action::Apply(type_in(open.owner, bytes));
        Action::Open(Box::new(Confirm::one(title, act).about(about)))
    }

    /// The mouse, told to the program when it wants that; else it scrolls and selects.
    pub(super) fn pointed(
        &mut self,
        context: &Context<'_>,
        mouse: MouseEvent,
        double: bool,
    ) -> Action {
        let Some(at) = &mut self.at else { return Action::Pass };
        let (Some(open), Some(area)) = (at.open(context), at.area) else { return Action::Pass };
        let inside = area.contains(Position::new(mouse.column, mouse.row));
        let drags = matches!(mouse.kind, MouseEventKind::Drag(_) | MouseEventKind::Up(_));
        if !(inside || drags && at.dragged) {
            return Action::Pass;
        }
        let (modes, owner) = (open.screen.modes(), open.owner);
        let drives = open.is_live() && open.mode == Mode::Drive && !at.looking;
        if drives && !at.dragged && pointer::wanted(&mouse, modes) {
            let cell = open.screen.cell(area, mouse.column, mouse.row);
            let moved = matches!(mouse.kind, MouseEventKind::Moved | MouseEventKind::Drag(_));
            if moved && at.told == Some(cell) {
                return Action::None;
            }
            at.told = Some(cell);
            return Action::Apply(type_in(owner, pointer::encode(&mouse, cell, modes)));
        }
        match mouse.kind {
            MouseEventKind::ScrollUp | MouseEventKind::ScrollDown => {
                let up = mouse.kind == MouseEventKind::ScrollUp;
                let own = mouse.modifiers.contains(KeyModifiers::SHIFT);
                if drives && !own && modes.contains(Modes::ALT_SCREEN | Modes::ALTERNATE_SCROLL) {
                    return Action::Apply(type_in(owner, pointer::arrows(up, modes)));
                }
                let by = if up { WHEEL } else { -WHEEL };
                Action::Apply(look(owner, move |screen| screen.scroll(by)))
            }
            MouseEventKind::Down(MouseButton::Left) => {
                let place = open.screen.place(area, mouse.column, mouse.row);
                let kind = if double { Kind::Words } else { Kind::Simple };
                at.dragged = double;
                Action::Apply(look(owner, move |screen| {
                    screen.unselect();
                    screen.select_at(kind, place);
                }))
            }
            MouseEventKind::Drag(MouseButton::Left) => {
                at.dragged = true;
                // Beyond an edge there is more.
                let by = i32::from(mouse.row <= area.y && open.screen.history() > 0)
                    - i32::from(mouse.row + 1 >= area.bottom() && open.screen.back() > 0);
                let row = mouse.row.clamp(area.y, area.bottom().saturating_sub(1));
                let column = mouse.column.clamp(area.x, area.right().saturating_sub(1));
                Action::Apply(look(owner, move |screen| {
                    screen.scroll(by);
                    let place = screen.place(area, column, row);
                    screen.select_to(place);
                }))
            }
            MouseEventKind::Up(MouseButton::Left) => {
                let dragged = std::mem::take(&mut at.dragged);
                if let Some(text) = open.screen.selected().filter(|_| dragged) {
                    return Action::Copy(text);
                }
                let unselect = Action::Apply(look(owner, Screen::unselect));
                let place = open.screen.place(area, mouse.column, mouse.row);
                match open.screen.link(place).filter(|_| inside && !dragged) {
                    Some(link) => Action::All(vec![unselect, visit(context, &link)]),
                    None => unselect,
                }
            }
            _ => Action::None,
        }
    }

    /// What a session wants in the clipboard, as far as it may.
    pub(super) fn clipboard(&mut self, context: &Context<'_>, open: &Attached) -> Option<Action> {
        let text = open.clipboard.clone()?;
        let at = self.at.as_mut()?;
        let done = Action::Apply(clipboard_done(at.owner));
        let act = match context.terminal.clipboard {
            Clipboard::Never => return Some(done),
            Clipboard::Always => Action::Copy(text),
            // One question at a time; what comes meanwhile is not asked about.
            Clipboard::Ask if at.asking.strong_count() > 0 => return Some(done),
            Clipboard::Ask => {
                let asking = Arc::new(());
                at.asking = Arc::downgrade(&asking);
                let over = Update::new(move |_| drop(asking));
                let shown = text.lines().take(PASTED).map(|line| clean(line).into_owned());
                let about: Vec<String> = shown.collect();
                let act = Action::All(vec![Action::Apply(over), Action::Copy(text)]);
                let title = context.texts.get("shell.clipboard").to_owned();
                Action::Open(Box::new(Confirm::one(title, act).about(about)))
            }
        };
        Some(Action::All(vec![done, act]))
    }

    /// The links that are seen, to be opened or copied.
    pub(super) fn links(open: &Attached, context: &Context<'_>) -> Action {
        let links = open.screen.links();
        if links.is_empty() {
            return Action::Say(context.texts.get("shell.no_links").to_owned());
        }
        let items = links
            .iter()
            .map(|link| (clean_to_width(link.text.trim(), 30), clean_to_width(&link.address, 60)));
        let opens = context.opener.is_some();
        let title = context.texts.get(if opens { "shell.links_open" } else { "shell.links" });
        let commands = links.iter().map(|link| clean(&link.address).into_owned()).collect();
        let (items, title) = (items.collect(), title.to_owned());
        let visits = move |at: usize| links.get(at).cloned().map_or(Action::None, Visit::action);
        Action::Open(Box::new(Menu::new(title, items, 0, visits).copying(commands)))
    }
}

/// Opens a link after a question, or copies it where nothing can be opened.
fn visit(context: &Context<'_>, link: &Link) -> Action {
    let address = clean(&link.address).into_owned();
    let Some(opener) = context.opener.filter(|_| browser::is_web(&link.address)) else {
        return Action::Copy(address);
    };
    let (opener, wanted) = (opener.to_owned(), link.address.clone());
    let act = Action::Errand(Box::new(move |_| {
        Box::pin(async move {
            let opened = browser::open(&opener, &wanted).await;
            Event::Done(None, opened.map_or_else(Action::Complain, |()| Action::None))
        })
    }));
    let title = context.texts.get("shell.visit").to_owned();
    let command = address.clone();
    Action::Open(Box::new(Confirm::one(title, act).about(vec![address]).copying(command)))
}

/// A link that was chosen from the list.
struct Visit(Link);

impl Visit {
    fn action(link: Link) -> Action {
        Action::Make(Box::new(Self(link)))
    }
}

impl Make for Visit {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        visit(context, &self.0)
    }
}

impl Attached {
    /// Whether it has come to its end.
    pub(in crate::panes) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }
}
