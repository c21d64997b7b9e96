//! A table of any length: columns as data, a selection that sticks to the row's id, marks, ranges,
//! a filter line. Only rows on the screen are formatted. Panes give the order and the cells.

mod layout;
mod list;
mod print;
mod put;

use super::filter::Filter;
use super::input::Input;
use crate::i18n::Texts;
use crate::keymap::Command;
use crate::printed::Printed;
use crate::theme::{Role, Theme};
pub use layout::{Layout, WIDEST};
pub use list::List;
pub use put::put;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use std::collections::HashSet;
use std::hash::Hash;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Key of its title; also what the pane knows it by.
    pub title: &'static str,
    /// Cells it needs.
    pub width: u16,
    /// Whether it takes what is left over (shared with others that do).
    pub grows: bool,
    /// Beside others that grow, it grows no further than this.
    pub most: u16,
    /// Whether it stands at the right side.
    pub right: bool,
    /// Columns of a high rank go first when the screen is narrow; 0 stays.
    pub rank: u8,
    /// Whether its natural order is from high to low.
    pub descending: bool,
}

impl Column {
    /// Its name in the settings: the last word of its title's key.
    pub fn name(&self) -> &'static str {
        self.title.rsplit('.').next().unwrap_or(self.title)
    }
}

/// What stands in a cell.
pub enum Cell<'a> {
    /// A text for the cell.
    Line(Line<'a>),
    /// A text for this cell and all after it.
    Rest(Line<'a>),
}

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// The cursor stands on another match.
    Found,
    /// The row under the cursor is the only match.
    Only,
    /// No row matches.
    None,
    /// Nothing was searched for yet.
    Nothing,
}

/// What is seen and chosen in a table; belongs to the pane.
pub struct State<K> {
    order: Vec<K>,
    selected: Option<K>,
    row: usize,
    offset: usize,
    height: usize,
    /// Index of the column that is sorted by.
    pub sort: usize,
    /// Against the column's natural order.
    pub reverse: bool,
    marks: HashSet<K>,
    /// Where a range begins, and the marks before it.
    range: Option<(K, HashSet<K>)>,
    /// Which columns are shown.
    layout: Layout,
    /// A column that has nothing in it now: it is not shown, whatever was chosen.
    pub left_out: Option<usize>,
    /// Which rows stay.
    pub filter: Filter,
    /// The last filter that was on; what `n` and `N` look for when it has been taken away.
    sought: Filter,
    editing: Option<(Input, String)>,
    body: Rect,
    /// Where each visible column's title is: from, to, index.
    titles: Vec<(u16, u16, usize)>,
    /// What is drawn next is taken as text instead.
    printing: bool,
    printed: Option<Printed>,
    /// Goes up when the pane must order the rows anew.
    pub version: u64,
    /// When rows come above the cursor, it stays where it is on the screen.
    pub anchored: bool,
    /// The cursor stays on the first row until it is moved: for what comes in pieces.
    pub at_top: bool,
}

impl<K> Default for State<K> {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            selected: None,
            row: 0,
            offset: 0,
            height: 1,
            sort: 0,
            reverse: false,
            marks: HashSet::new(),
            range: None,
            layout: Layout::default(),
            left_out: None,
            filter: Filter::default(),
            sought: Filter::default(),
            editing: None,
            body: Rect::default(),
            titles: Vec::new(),
            printing: false,
            printed: None,
            version: 0,
            anchored: false,
            at_top: false,
        }
    }
}

impl<K: Copy + Eq + Hash> State<K> {
    /// Takes a new order of rows. The selection stays on its row wherever that went; when it is
    /// gone, on the row that took its place.
    pub fn set_order(&mut self, order: Vec<K>, exists: impl Fn(K) -> bool) {
        self.order = order;
        if self.at_top {
            (self.row, self.selected) = (0, None);
        }
        let still = |at: usize| self.order.get(at).copied() == self.selected;
        if self.selected.is_none() || !still(self.row) {
            let found = self.selected.and_then(|id| self.order.iter().position(|k| *k == id));
            if let Some(row) = found.filter(|_| self.anchored) {
                let by = row.cast_signed() - self.row.cast_signed();
                self.offset = self.offset.saturating_add_signed(by);
            }
            self.row = found.unwrap_or(self.row).min(self.order.len().saturating_sub(1));
        }
        self.selected = self.order.get(self.row).copied();
        self.marks.retain(|id| exists(*id));
    }

    /// Rows in order.
    pub fn order(&self) -> &[K] {
        &self.order
    }

    /// Rows that are on the screen, as of the last drawing.
    pub fn seen(&self) -> &[K] {
        let from = self.offset.min(self.order.len());
        &self.order[from..(from + self.height).min(self.order.len())]
    }

    /// The row under the cursor.
    pub fn selected(&self) -> Option<K> {
        self.selected
    }

    /// Puts the cursor on a row.
    pub fn select(&mut self, id: K) {
        if let Some(row) = self.order.iter().position(|k| *k == id) {
            self.move_to(row);
        } else {
            self.at_top = false;
            self.selected = Some(id);
        }
    }

    /// Where the cursor stands, counted from the top, and how many rows are below it.
    pub fn place(&self) -> (usize, usize) {
        (self.row, self.order.len().saturating_sub(self.row + 1))
    }

    /// Rows that were shown last.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The line of the screen on which the cursor was drawn.
    pub fn cursor_line(&self) -> Option<u16> {
        let line = u16::try_from(self.row.checked_sub(self.offset)?).ok()?;
        (line < self.body.height && self.selected.is_some()).then(|| self.body.y + line)
    }

    /// Marked rows, in no order.
    pub fn marks(&self) -> &HashSet<K> {
        &self.marks
    }

    /// What an act is about: the marked rows in table order (those filtered away at the end), else
    /// the one under the cursor.
    pub fn targets(&self) -> Vec<K> {
        if self.marks.is_empty() {
            return self.selected.into_iter().collect();
        }
        let mut targets: Vec<K> =
            self.order.iter().copied().filter(|id| self.marks.contains(id)).collect();
        if targets.len() < self.marks.len() {
            let seen: HashSet<K> = targets.iter().copied().collect();
            targets.extend(self.marks.iter().copied().filter(|id| !seen.contains(id)));
        }
        targets
    }

    /// Takes all marks away: what they were for is done.
    pub fn unmark(&mut self) {
        self.marks.clear();
        self.range = None;
    }

    fn move_to(&mut self, row: usize) {
        self.at_top = false;
        self.row = row.min(self.order.len().saturating_sub(1));
        self.selected = self.order.get(self.row).copied();
        if let Some((from, base)) = &self.range
            && let Some(start) = self.order.iter().position(|k| k == from)
        {
            let (low, high) = (start.min(self.row), start.max(self.row));
            self.marks.clone_from(base);
            self.marks.extend(self.order.iter().skip(low).take(high + 1 - low));
        }
    }

    fn move_by(&mut self, by: isize) {
        self.move_to(self.row.saturating_add_signed(by));
    }

    /// Does what a list's own commands ask for. False when the command is not one of them.
    pub fn on(&mut self, command: Command, columns: &[Column]) -> bool {
        let page = self.height.max(1) as isize;
        match command {
            Command::Up => self.move_by(-1),
            Command::Down => self.move_by(1),
            Command::PageUp => self.move_by(-page),
            Command::PageDown => self.move_by(page),
            Command::HalfUp => self.move_by(-(page / 2).max(1)),
            Command::HalfDown => self.move_by((page / 2).max(1)),
            Command::Top => self.move_to(0),
            Command::Bottom => self.move_to(usize::MAX),
            Command::Mark => {
                if let Some(id) = self.selected {
                    if !self.marks.remove(&id) {
                        self.marks.insert(id);
                    }
                    self.range = None;
                    self.move_by(1);
                }
            }
            Command::Range => {
                self.range = match (self.range.take(), self.selected) {
                    (None, Some(id)) => Some((id, self.marks.clone())),
                    _ => None,
                };
                self.move_by(0);
            }
            Command::MarkAll => {
                self.range = None;
                if self.order.iter().all(|id| self.marks.contains(id)) {
                    self.marks.clear();
                } else {
                    self.marks.extend(self.order.iter().copied());
                }
            }
            Command::Filter => {
                let old = self.filter.text().to_owned();
                self.editing = Some((Input::new(old.clone()), old));
            }
            Command::SortNext => self.sort_beside(columns, 1),
            Command::SortPrevious => self.sort_beside(columns, -1),
            Command::SortReverse => {
                self.reverse = !self.reverse;
                self.version += 1;
            }
            Command::Back if self.range.is_some() => self.range = None,
            Command::Back if !self.marks.is_empty() => self.marks.clear(),
            Command::Back if !self.filter.text().is_empty() => self.set_filter(""),
            _ => return false,
        }
        true
    }

    /// Sorts by a column; by the same one again: the other way round.
    pub fn sort_by(&mut self, column: usize) {
        if self.sort == column {
            self.reverse = !self.reverse;
        } else {
            self.sort = column;
            self.reverse = false;
        }
        self.version += 1;
    }

    /// The columns that are shown, each with its place among all.
    fn shown(&self, columns: &[Column]) -> Vec<(usize, Column)> {
        let mut shown = self.layout.chosen(columns);
        shown.retain(|(index, _)| Some(*index) != self.left_out);
        shown
    }

    /// Sorts by the shown column beside the present one.
    fn sort_beside(&mut self, columns: &[Column], by: isize) {
        let shown = self.shown(columns);
        let at = shown.iter().position(|(index, _)| *index == self.sort).unwrap_or(0);
        let to = (at.cast_signed() + by).rem_euclid(shown.len().max(1).cast_signed());
        if let Some((index, _)) = shown.get(to.cast_unsigned()).filter(|(i, _)| *i != self.sort) {
            self.sort_by(*index);
        }
    }

    /// Filters for this.
    pub fn set_filter(&mut self, text: &str) {
        self.filter.set(text);
        if self.filter.is_on() {
            self.sought.clone_from(&self.filter);
        }
        self.version += 1;
    }

    /// Moves to the next row that matches the filter, or to the one before, past the ends too. With
    /// the filter taken away, the last one is looked for among all rows. `text` writes what a row is
    /// searched by.
    pub fn seek(&mut self, forward: bool, text: impl Fn(K, &mut String)) -> Seek {
        if !self.sought.is_on() {
            return Seek::Nothing;
        }
        let rows = self.order.len();
        let mut row = String::new();
        for by in 1..=rows {
            let to = if forward { self.row + by } else { self.row + rows - by } % rows;
            row.clear();
            text(self.order[to], &mut row);
            if self.sought.keeps(&row) {
                self.move_to(to);
                return if by == rows { Seek::Only } else { Seek::Found };
            }
        }
        Seek::None
    }

    /// What the last search was for.
    pub fn sought(&self) -> &str {
        self.sought.text()
    }

    /// Draws header, rows and, when there is something to say, the line below them.
    pub fn draw<'a>(
        &mut self,
        frame: &mut Frame<'_>,
        area: Rect,
        columns: &[Column],
        theme: &Theme,
        texts: &Texts,
        cell: impl Fn(K, &Column, u16) -> Cell<'a>,
    ) {
        if self.printing {
            self.printed = Some(self.written(columns, texts, cell));
            return;
        }
        let below = self.editing.is_some() || self.filter.is_on() || !self.marks.is_empty();
        let below = u16::from(below);
        if area.height < 2 + below || area.width < 8 {
            return;
        }
        let body = Rect { y: area.y + 1, height: area.height - 1 - below, ..area };
        self.body = body;
        self.height = usize::from(body.height);
        // Keep the cursor on the screen, and no empty rows below the last one.
        self.offset = self.offset.min(self.row).max((self.row + 1).saturating_sub(self.height));
        self.offset = self.offset.min(self.order.len().saturating_sub(self.height));
        let places = layout::places(&self.shown(columns), area.width.saturating_sub(1));
        let buffer = frame.buffer_mut();
        self.header(buffer, area, columns, &places, theme, texts);
        for (line, id) in self.order.iter().skip(self.offset).take(self.height).enumerate() {
            let y = body.y + line as u16;
            let current = Some(*id) == self.selected;
            let marked = self.marks.contains(id);
            if marked {
                buffer.set_string(body.x + 1, y, "✓", theme.style(Role::Marked));
            }
            for &(index, x, width) in &places {
                match cell(*id, &columns[index], width) {
                    Cell::Line(line) => {
                        put(buffer, body.x + x, y, width, &line, columns[index].right);
                    }
                    Cell::Rest(line) => {
                        let width = body.width.saturating_sub(x);
                        put(buffer, body.x + x, y, width, &line, false);
                        break;
                    }
                }
            }
            if current {
                buffer.set_style(Rect { y, height: 1, ..body }, theme.style(Role::Selected));
                buffer.set_string(body.x, y, "▌", theme.style(Role::Accent));
            }
        }
        if below == 1 {
            self.below(frame, Rect { y: area.bottom() - 1, height: 1, ..area }, theme, texts);
        }
    }

    fn header(
        &mut self,
        buffer: &mut Buffer,
        area: Rect,
        columns: &[Column],
        places: &[(usize, u16, u16)],
        theme: &Theme,
        texts: &Texts,
    ) {
        self.titles.clear();
        for &(index, x, width) in places {
            let column = &columns[index];
            let title = texts.get(column.title);
            let (text, role) = if index == self.sort {
                let down = column.descending != self.reverse;
                let sign = if down { "▼" } else { "▲" };
                let text =
                    if title.is_empty() { sign.to_owned() } else { format!("{title}{sign}") };
                (text, Role::HeaderSorted)
            } else {
                (title.to_owned(), Role::Header)
            };
            let line = Line::styled(text, theme.style(role));
            put(buffer, area.x + x, area.y, width, &line, column.right);
            self.titles.push((area.x + x, area.x + x + width + 1, index));
        }
    }

    fn below(&self, frame: &mut Frame<'_>, area: Rect, theme: &Theme, texts: &Texts) {
        let mut parts: Vec<(String, Style)> = Vec::new();
        if !self.marks.is_empty() {
            let marked = super::format::count(self.marks.len());
            parts.push((texts.fill("table.marked", &[&marked]), theme.style(Role::Marked)));
            parts.push(("   ".into(), Style::new()));
        }
        let mut caret = None;
        if let Some((input, _)) = &self.editing {
            let (text, at) = input.view(usize::from(area.width / 2));
            parts.push(("/".into(), theme.style(Role::Key)));
            caret = Some((parts.len(), at));
            parts.push((text, theme.style(Role::Input)));
        } else if self.filter.is_on() {
            parts.push((format!("/{}", self.filter.text()), theme.style(Role::Match)));
        }
        if let Some(error) = self.filter.error() {
            parts.push((format!("  {error}"), theme.style(Role::Bad)));
        } else if self.editing.is_some() || self.filter.is_on() {
            let shown = super::format::count(self.order.len());
            let text = texts.fill("table.shown", &[&shown]);
            parts.push((format!("  {text}"), theme.style(Role::Soft)));
        }
        let mut x = area.x + 1;
        for (index, (text, style)) in parts.iter().enumerate() {
            if let Some((_, at)) = caret.filter(|(part, _)| *part == index) {
                frame.set_cursor_position((x + at, area.y));
            }
            let left = usize::from(area.right().saturating_sub(x));
            (x, _) = frame.buffer_mut().set_stringn(x, area.y, text, left, *style);
        }
    }
}

#[cfg(test)]
mod tests;
