//! The parts of the screen on the screen, and under the mouse.

use super::App;
use crate::action::{Action, Wanted};
use crate::panes::{Context, Place};
use crate::theme::Role;
use crate::widgets::chart::Glyphs;
use crate::widgets::table;
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use std::time::Duration;

impl App {
    /// Draws all parts that are seen; the one with the keys last, so that the caret is its.
    pub(super) fn draw_parts(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let (mut parts, borders) = self.desks.lay(area);
        // What lies on top has the keys, and the caret.
        let bare = self.overlays.is_empty();
        if parts.len() == 1 || self.pane.fills() {
            let context = Context { focused: bare, ..self.face.context(&self.store) };
            return self.pane.draw(&context, frame, area);
        }
        let line = self.face.theme.style(Role::Border);
        let ascii = self.face.glyphs == Glyphs::Ascii;
        for border in borders {
            for y in border.top()..border.bottom() {
                let sign = if ascii { "|" } else { "│" };
                frame.buffer_mut().set_string(border.x, y, sign, line);
            }
        }
        let focus = self.desks.now().focus;
        parts.sort_by_key(|(id, _)| *id == focus);
        for (id, area) in parts {
            let focused = id == focus;
            let place = match self.desks.now().parts.get(&id) {
                Some(part) => part.place,
                None => self.place,
            };
            self.part_title(frame, Rect { height: 1, ..area }, place, focused);
            let inner = Rect { y: area.y + 1, height: area.height - 1, ..area };
            let context = Context { focused: focused && bare, ..self.face.context(&self.store) };
            if focused {
                self.pane.draw(&context, frame, inner);
            } else if let Some(part) = self.desks.now_mut().parts.get_mut(&id) {
                part.pane.draw(&context, frame, inner);
            }
        }
    }

    fn part_title(&self, frame: &mut Frame<'_>, area: Rect, place: Place, focused: bool) {
        let theme = &self.face.theme;
        let rule = if self.face.glyphs == Glyphs::Ascii { "-" } else { "─" };
        let buffer = frame.buffer_mut();
        let rule = rule.repeat(usize::from(area.width));
        let role = if focused { Role::Accent } else { Role::Border };
        buffer.set_string(area.x, area.y, rule, theme.style(role));
        let room = usize::from(area.width.saturating_sub(6));
        let name = cmdr_protocol::display::clean_to_width(&self.place_name(place), room);
        let role = if focused { Role::Title } else { Role::Soft };
        let sign = if focused { "▌" } else { " " };
        let title = Line::from(vec![
            Span::styled(sign, theme.style(Role::Accent)),
            Span::styled(format!("{name} "), theme.style(role)),
        ]);
        table::put(buffer, area.x + 1, area.y, area.width.saturating_sub(1), &title, false);
    }

    /// Which desk this is among the others, for the right end of the key line.
    pub(super) fn desks_line(&self, width: u16) -> Line<'static> {
        let theme = &self.face.theme;
        let mut line = Line::default();
        let desk = self.desks.now();
        let count = desk.tree.parts().len();
        if desk.zoomed || self.desks.hides() {
            // What is hidden is told of, by whatever it is hidden.
            let why = if desk.zoomed { "desk.zoomed" } else { "desk.hidden" };
            let text = format!(" {} 1/{count} ", self.face.texts.get(why));
            line.push_span(Span::styled(text, theme.style(Role::Warn)));
        }
        if self.desks.all.len() > 1 {
            let all = self.desks.all.len();
            // Where there is little room the present one has to do.
            let shown = if width < 110 { self.desks.at..self.desks.at + 1 } else { 0..all };
            for at in shown {
                let name = cmdr_protocol::display::clean_to_width(&self.desk_name(at), 16);
                let now = at == self.desks.at;
                let role = if now { Role::TabActive } else { Role::Tab };
                line.push_span(Span::styled(format!(" {} {name} ", at + 1), theme.style(role)));
            }
        }
        line
    }

    /// The mouse, in the part that it is over. A click gives that part the keys.
    pub(super) fn mouse_in_part(&mut self, mouse: MouseEvent, double: bool) -> Action {
        let over = self.desks.part_at(Position::new(mouse.column, mouse.row));
        let before = self.desks.now().focus;
        if let Some(id) = over.filter(|id| *id != before) {
            self.focus(id);
        }
        let pressed = mouse.kind == MouseEventKind::Down(MouseButton::Left);
        let at = Position::new(mouse.column, mouse.row);
        if let Some(place) = self.pane.leads(at).filter(|_| pressed) {
            return Action::Go(place);
        }
        let action = self.pane.mouse(&self.face.context(&self.store), &mouse, double);
        if !matches!(mouse.kind, MouseEventKind::Down(_)) {
            self.focus(before);
        }
        action
    }

    /// When some part looks different although nothing happened.
    pub(super) fn wakes(&self) -> Option<Duration> {
        let context = self.context();
        let others = self.desks.others().filter_map(|part| part.pane.wakes(&context));
        others.chain(self.pane.wakes(&context)).min()
    }

    /// Does what the app's own overlays want.
    pub(super) fn want(&mut self, wanted: Wanted) {
        match wanted {
            Wanted::Desk(at) => self.show_desk(at),
            Wanted::NameDesk(name) => self.name_desk(&name),
            Wanted::Print(form, path) => {
                let action = self.print_as(form, path, false);
                self.perform(action);
            }
            Wanted::PrintOver(form, path) => {
                let action = self.print_as(form, Some(path), true);
                self.perform(action);
            }
            Wanted::Found(name) => self.found(name),
        }
    }
}
