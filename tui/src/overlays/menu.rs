//! A list to choose from. Moving in it may show what the choice would look like.

use super::{Overlay, leaves, rows, step};
use crate::action::Action;
use crate::panes::Context;
use crate::theme::Role;
use crate::widgets::chart::Glyphs;
use crate::widgets::format::ending;
use crate::widgets::{frame as boxes, table};
use crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

type Make = Box<dyn Fn(usize) -> Action + Send>;

/// The list.
pub struct Menu {
    title: String,
    items: Vec<(String, String)>,
    at: usize,
    choose: Make,
    /// Done when the cursor moves to an item.
    preview: Option<Make>,
    /// Done when nothing is chosen.
    leave: Option<Box<dyn Fn() -> Action + Send>>,
    danger: bool,
    /// For each item the `cmdr` command that does the same.
    commands: Vec<String>,
    /// For each item what is said about it below the list, while the cursor is there.
    about: Vec<String>,
    area: Rect,
    offset: usize,
}

impl Menu {
    /// Items are a name and a note each.
    pub fn new(
        title: String,
        items: Vec<(String, String)>,
        at: usize,
        choose: impl Fn(usize) -> Action + Send + 'static,
    ) -> Self {
        let choose = Box::new(choose);
        let (preview, leave) = (None, None);
        let area = Rect::default();
        Self {
            title,
            items,
            at,
            choose,
            preview,
            leave,
            danger: false,
            commands: Vec::new(),
            about: Vec::new(),
            area,
            offset: 0,
        }
    }

    /// With a preview, and what takes it back.
    #[must_use]
    pub fn previewing(
        mut self,
        preview: impl Fn(usize) -> Action + Send + 'static,
        leave: impl Fn() -> Action + Send + 'static,
    ) -> Self {
        self.preview = Some(Box::new(preview));
        self.leave = Some(Box::new(leave));
        self
    }

    /// Whose choices harm.
    #[must_use]
    pub fn dangerous(mut self) -> Self {
        self.danger = true;
        self
    }

    /// With the `cmdr` command of each item, for `Y`.
    #[must_use]
    pub fn copying(mut self, commands: Vec<String>) -> Self {
        self.commands = commands;
        self
    }

    /// With a text for each item that is too long for its row: that of the chosen one stands whole below.
    #[must_use]
    pub fn telling(mut self, about: Vec<String>) -> Self {
        self.about = about;
        self
    }

    fn moved(&mut self, to: usize) -> Action {
        self.at = to.min(self.items.len().saturating_sub(1));
        self.preview.as_ref().map_or(Action::None, |preview| preview(self.at))
    }

    fn chosen(&self) -> Action {
        Action::CloseAnd(Box::new((self.choose)(self.at)))
    }
}

impl Overlay for Menu {
    fn key(&mut self, _context: &Context<'_>, key: &KeyEvent) -> Action {
        let leave = || {
            self.leave.as_ref().map_or(Action::Close, |leave| Action::CloseAnd(Box::new(leave())))
        };
        if leaves(key) {
            return leave();
        }
        if let Some(by) = step(key) {
            return self.moved(self.at.saturating_add_signed(by));
        }
        match key.code {
            KeyCode::Char('q') => leave(),
            KeyCode::Char('j') => self.moved(self.at + 1),
            KeyCode::Char('k') => self.moved(self.at.saturating_sub(1)),
            KeyCode::Char('g') | KeyCode::Home => self.moved(0),
            KeyCode::Char('G') | KeyCode::End => self.moved(usize::MAX),
            KeyCode::Char('Y') => {
                self.commands.get(self.at).map_or(Action::None, |line| Action::Copy(line.clone()))
            }
            KeyCode::Enter => self.chosen(),
            _ => Action::None,
        }
    }

    fn mouse(&mut self, _context: &Context<'_>, mouse: &MouseEvent) -> Action {
        match mouse.kind {
            MouseEventKind::ScrollDown => self.moved(self.at + 1),
            MouseEventKind::ScrollUp => self.moved(self.at.saturating_sub(1)),
            MouseEventKind::Down(MouseButton::Left)
                if self.area.contains(Position::new(mouse.column, mouse.row)) =>
            {
                let to = self.offset + usize::from(mouse.row - self.area.y);
                if to == self.at { self.chosen() } else { self.moved(to) }
            }
            _ => Action::None,
        }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { theme, glyphs, .. } = *context;
        let names = self.items.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
        let notes = self.items.iter().map(|(_, note)| note.width()).max().unwrap_or(0);
        let width = (names + notes + 8).max(self.title.width() + 6).max(28) as u16;
        let inside = usize::from(width.min(screen.width.saturating_sub(2))).saturating_sub(4);
        // The box stays as it is wherever the cursor goes.
        let told = |text: &String| if text.is_empty() { Vec::new() } else { rows(text, inside) };
        let most = self.about.iter().map(|text| told(text).len()).max().unwrap_or(0);
        let below = (most as u16).min(screen.height.saturating_sub(8) / 2);
        let below = if below > 0 { below + 1 } else { 0 };
        let height = self.items.len() as u16 + 2 + below;
        let role = if self.danger { Role::Danger } else { Role::Title };
        let title = Line::styled(format!(" {} ", self.title), theme.style(role));
        let size = (width, height);
        let buffer = frame.buffer_mut();
        let whole = boxes::popup(buffer, screen, size, title, self.danger, theme, glyphs);
        self.area = Rect { height: whole.height.saturating_sub(below), ..whole };
        if below > 0 {
            let rule = if glyphs == Glyphs::Ascii { "-" } else { "─" };
            let border = theme.style(Role::PopupBorder);
            let rule = rule.repeat(whole.width.into());
            buffer.set_string(whole.x, self.area.bottom(), rule, border);
            let text = self.about.get(self.at).map(told).unwrap_or_default();
            for (y, row) in (self.area.bottom() + 1..whole.bottom()).zip(text) {
                let line = Line::styled(row, theme.style(Role::Text));
                table::put(buffer, whole.x + 1, y, whole.width.saturating_sub(2), &line, false);
            }
        }
        let shown = usize::from(self.area.height);
        self.offset = self.offset.min(self.at).max((self.at + 1).saturating_sub(shown));
        let items = self.items.iter().enumerate().skip(self.offset);
        // The notes are seen whole: of a name that is too long the end is.
        let room = usize::from(self.area.width).saturating_sub(notes + 6).max(12);
        // What is told whole below may be cut here.
        let room = if below > 0 { names.min(usize::from(self.area.width) / 2) } else { room };
        let names = names.min(room);
        for (y, (index, (name, note))) in (self.area.top()..self.area.bottom()).zip(items) {
            let name = ending(name, names);
            let pad = " ".repeat(names.saturating_sub(name.width()) + 3);
            let line = Line::from(vec![
                Span::styled(format!(" {name}"), theme.style(Role::Strong)),
                Span::raw(pad),
                Span::styled(note.as_str(), theme.style(Role::Soft)),
            ]);
            let (x, width) = (self.area.x + 1, self.area.width.saturating_sub(2));
            table::put(buffer, x, y, width, &line, false);
            if index == self.at {
                let row = Rect { y, height: 1, ..self.area };
                buffer.set_style(row, theme.style(Role::Selected));
                buffer.set_string(self.area.x, y, "▌", theme.style(Role::Accent));
            }
        }
    }
}
