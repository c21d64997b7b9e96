//! What every table can do, whatever its rows are known by: for the app, which knows no pane's rows.

use super::{Column, Layout, State};
use crate::printed::Printed;
use crate::view::View;
use crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;
use std::hash::Hash;

/// What every table can do, whatever its rows are known by.
pub trait List {
    /// Whether the filter line is being typed in.
    fn is_editing(&self) -> bool;
    /// How the table looks, to be shown again later; without a name.
    fn view(&self, table: &str, columns: &[Column]) -> View;
    /// Looks so. What a view names was checked when it was read.
    fn set_view(&mut self, view: &View, columns: &[Column]);
    /// A key for the filter line.
    fn key(&mut self, key: &KeyEvent);
    /// Text for the filter line.
    fn paste(&mut self, text: &str);
    /// What the mouse asks for: selecting and scrolling are done here.
    fn mouse(&mut self, mouse: &MouseEvent) -> bool;
    /// Whether a click there is on a row.
    fn is_row(&self, column: u16, row: u16) -> bool;
    /// How many rows it has.
    fn rows(&self) -> usize;
    /// Lets what is drawn next be taken as text, all rows of it.
    fn print(&mut self);
    /// What was taken.
    fn printed(&mut self) -> Option<Printed>;
}

impl<K: Copy + Eq + Hash> List for State<K> {
    fn is_editing(&self) -> bool {
        self.editing.is_some()
    }

    fn view(&self, table: &str, columns: &[Column]) -> View {
        View {
            table: table.to_owned(),
            filter: self.filter.text().to_owned(),
            sort: columns.get(self.sort).map_or("", Column::name).to_owned(),
            reverse: self.reverse,
            columns: self.layout.words(columns),
            ..View::default()
        }
    }

    fn set_view(&mut self, view: &View, columns: &[Column]) {
        self.layout = Layout::read(&view.columns, columns).unwrap_or_default();
        if let Some(sort) = columns.iter().position(|c| c.name() == view.sort) {
            (self.sort, self.reverse) = (sort, view.reverse);
        }
        self.set_filter(&view.filter);
    }

    fn key(&mut self, key: &KeyEvent) {
        let Some((input, old)) = &mut self.editing else { return };
        match key.code {
            KeyCode::Enter => self.editing = None,
            KeyCode::Esc | KeyCode::Char('c') if crate::overlays::leaves(key) => {
                let old = std::mem::take(old);
                self.editing = None;
                self.set_filter(&old);
            }
            // The list can be moved in while its filter is typed.
            KeyCode::Up => self.move_by(-1),
            KeyCode::Down => self.move_by(1),
            _ => {
                if input.key(key) {
                    let text = input.text().to_owned();
                    self.set_filter(&text);
                }
            }
        }
    }

    fn paste(&mut self, text: &str) {
        if let Some((input, _)) = &mut self.editing {
            input.insert(text);
            let text = input.text().to_owned();
            self.set_filter(&text);
        }
    }

    fn mouse(&mut self, mouse: &MouseEvent) -> bool {
        let at = Position::new(mouse.column, mouse.row);
        match mouse.kind {
            MouseEventKind::ScrollDown => self.move_by(3),
            MouseEventKind::ScrollUp => self.move_by(-3),
            MouseEventKind::Down(MouseButton::Left) => {
                if self.body.contains(at) {
                    let row = self.offset + usize::from(mouse.row - self.body.y);
                    if row >= self.order.len() {
                        return false;
                    }
                    self.move_to(row);
                } else if mouse.row + 1 == self.body.y {
                    let hit = self.titles.iter().find(|(a, b, _)| (*a..*b).contains(&mouse.column));
                    let Some((_, _, column)) = hit else { return false };
                    self.sort_by(*column);
                } else {
                    return false;
                }
            }
            _ => return false,
        }
        true
    }

    fn is_row(&self, column: u16, row: u16) -> bool {
        self.body.contains(Position::new(column, row))
            && self.offset + usize::from(row - self.body.y) < self.order.len()
    }

    fn rows(&self) -> usize {
        self.order.len()
    }

    fn print(&mut self) {
        self.printing = true;
    }

    fn printed(&mut self) -> Option<Printed> {
        self.printing = false;
        self.printed.take()
    }
}
