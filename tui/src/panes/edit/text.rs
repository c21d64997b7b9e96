//! The text as it stands on the screen: numbers of lines, colours, tabs and blanks at the ends of lines shown,
//! characters of any width, the cursor where input methods need it.

use super::lexer::{Kind, colours};
use crate::panes::Context;
use crate::theme::Role;
use cmdr_protocol::edits::Problem;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui_textarea::{CursorMove, DataCursor, TextArea};
use unicode_width::UnicodeWidthChar as _;

/// Cells from one stop of a tab to the next.
const TAB: usize = 4;
/// Steps that can be taken back.
const STEPS: usize = 1000;

/// The text, and how much of it is seen.
pub(in crate::panes) struct Text {
    pub(in crate::panes) area: TextArea<'static>,
    pub(in crate::panes) kind: Kind,
    top: usize,
    left: usize,
    /// Where the text was drawn last.
    seen: Rect,
}

impl Text {
    pub(in crate::panes) fn new(text: &str, kind: Kind) -> Self {
        let mut area = TextArea::new(text.split('\n').map(str::to_owned).collect());
        area.set_max_histories(STEPS);
        area.set_hard_tab_indent(true);
        Self { area, kind, top: 0, left: 0, seen: Rect::default() }
    }

    /// All of it.
    pub(in crate::panes) fn whole(&self) -> String {
        self.area.lines().join("\n")
    }

    /// Whether nothing stands in it.
    pub(in crate::panes) fn is_empty(&self) -> bool {
        self.area.lines().iter().all(String::is_empty)
    }

    /// A move of the cursor, with Shift as a selection.
    fn step(&mut self, to: CursorMove, shift: bool) {
        match (shift, self.area.is_selecting()) {
            (true, false) => self.area.start_selection(),
            (false, true) => self.area.cancel_selection(),
            _ => {}
        }
        self.area.move_cursor(to);
    }

    /// Takes a key: whether the text is another one then; `None` when it means nothing to a text.
    pub(in crate::panes) fn key(&mut self, key: &KeyEvent) -> Option<bool> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let shift = key.modifiers.contains(KeyModifiers::SHIFT);
        if key.modifiers.contains(KeyModifiers::ALT) {
            return None;
        }
        let page = self.height().saturating_sub(1).max(1);
        let step = match (key.code, control) {
            (KeyCode::Left, false) => CursorMove::Back,
            (KeyCode::Right, false) => CursorMove::Forward,
            (KeyCode::Up, false) => CursorMove::Up,
            (KeyCode::Down, false) => CursorMove::Down,
            (KeyCode::Home, false) => CursorMove::Head,
            (KeyCode::End, false) => CursorMove::End,
            (KeyCode::Left, true) => CursorMove::WordBack,
            (KeyCode::Right, true) => CursorMove::WordForward,
            (KeyCode::Home, true) => CursorMove::Top,
            (KeyCode::End, true) => CursorMove::Bottom,
            (KeyCode::PageUp | KeyCode::PageDown, _) => {
                let to =
                    if key.code == KeyCode::PageUp { CursorMove::Up } else { CursorMove::Down };
                for _ in 0..page {
                    self.step(to, shift);
                }
                return Some(false);
            }
            (KeyCode::Char(c), false) => {
                self.area.insert_char(c);
                return Some(true);
            }
            (KeyCode::Enter, _) => {
                let DataCursor(row, column) = self.area.cursor();
                let line = &self.area.lines()[row];
                // As far in as the line before.
                let indent: String =
                    line.chars().take(column).take_while(|c| matches!(c, ' ' | '\t')).collect();
                self.area.insert_newline();
                self.area.insert_str(indent);
                return Some(true);
            }
            (KeyCode::Backspace, _) => {
                if control {
                    self.area.delete_word()
                } else {
                    self.area.delete_char()
                };
                return Some(true);
            }
            (KeyCode::Delete, _) => {
                self.area.delete_next_char();
                return Some(true);
            }
            (KeyCode::Tab, _) => {
                self.area.insert_tab();
                return Some(true);
            }
            _ => return None,
        };
        self.step(step, shift);
        Some(false)
    }

    /// Another text, as a step that can be taken back.
    pub(in crate::panes) fn replace(&mut self, text: &str) {
        let DataCursor(row, column) = self.area.cursor();
        let kept = self.area.yank_text();
        self.area.select_all();
        self.area.cut();
        // It takes one carriage return away from the end of each line.
        let mut kept_ends = text.replace("\r\n", "\r\r\n");
        if text.ends_with('\r') {
            kept_ends.push('\r');
        }
        self.area.insert_str(kept_ends);
        self.area.set_yank_text(kept);
        self.go(row, column);
    }

    /// Puts the cursor there, or where the text ends before.
    pub(in crate::panes) fn go(&mut self, row: usize, column: usize) {
        let row = row.min(self.area.lines().len().saturating_sub(1));
        let near = u16::try_from(row).unwrap_or(u16::MAX);
        self.area.move_cursor(CursorMove::Jump(near, 0));
        for _ in usize::from(near)..row {
            self.area.move_cursor(CursorMove::Down);
        }
        let column = column.min(self.area.lines()[row].chars().count());
        for _ in 0..column {
            self.area.move_cursor(CursorMove::Forward);
        }
    }

    /// How many lines are seen at once.
    pub(in crate::panes) fn height(&self) -> usize {
        usize::from(self.seen.height).max(1)
    }

    /// The line and character at a place of the screen.
    pub(in crate::panes) fn at(&self, column: u16, row: u16) -> Option<(usize, usize)> {
        if !self.seen.contains(Position::new(column, row)) {
            return None;
        }
        let line = (self.top + usize::from(row - self.seen.y)).min(self.area.lines().len() - 1);
        let wanted = self.left + usize::from(column - self.seen.x);
        let mut cell = 0;
        for (n, c) in self.area.lines()[line].chars().enumerate() {
            cell += width(c, cell);
            if cell > wanted {
                return Some((line, n));
            }
        }
        Some((line, usize::MAX))
    }

    pub(in crate::panes) fn scroll(&mut self, by: isize) {
        let DataCursor(row, column) = self.area.cursor();
        self.go(row.saturating_add_signed(by), column);
    }

    pub(in crate::panes) fn draw(
        &mut self,
        context: &Context<'_>,
        frame: &mut Frame<'_>,
        area: Rect,
        problems: &[Problem],
        has_focus: bool,
    ) {
        let theme = context.theme;
        let lines = self.area.lines();
        let digits = lines.len().to_string().len().max(3);
        let gutter = digits as u16 + 2;
        let body = Rect { x: area.x + gutter, width: area.width.saturating_sub(gutter), ..area };
        self.seen = body;
        let DataCursor(row, column) = self.area.cursor();
        let rows = usize::from(body.height).max(1);
        self.top = self.top.min(row).max((row + 1).saturating_sub(rows));
        let cells: usize = cells_before(&lines[row], column);
        let room = usize::from(body.width).max(2);
        self.left = self.left.min(cells).max((cells + 2).saturating_sub(room));
        let selected = self.area.selection_range();
        for (n, y) in (self.top..lines.len()).zip(body.y..body.bottom()) {
            let problem = problems.iter().find(|p| p.line as usize == n + 1);
            let role = match problem {
                Some(problem) if problem.warning => Role::Warn,
                Some(_) => Role::Bad,
                None if n == row => Role::Text,
                None => Role::Faint,
            };
            let number = format!("{:>digits$} ", n + 1);
            frame.buffer_mut().set_string(area.x, y, number, theme.style(role));
            let of_line = |(from, to): ((usize, usize), (usize, usize))| {
                let begin = if from.0 < n { 0 } else { from.1 };
                let end = if to.0 > n { usize::MAX } else { to.1 };
                (from.0 <= n && n <= to.0).then_some(begin..end)
            };
            let marked = selected.and_then(of_line);
            self.line(context, frame, Rect { y, height: 1, ..body }, &lines[n], marked.as_ref());
        }
        if has_focus {
            let x = body.x + u16::try_from(cells - self.left).unwrap_or(0);
            let y = body.y + u16::try_from(row - self.top).unwrap_or(0);
            if body.contains(Position::new(x, y)) {
                frame.set_cursor_position(Position::new(x, y));
            }
        }
    }

    fn line(
        &self,
        context: &Context<'_>,
        frame: &mut Frame<'_>,
        area: Rect,
        line: &str,
        marked: Option<&std::ops::Range<usize>>,
    ) {
        let theme = context.theme;
        let pieces = colours(self.kind, line);
        let end = line.trim_end_matches([' ', '\t', '\r']).len();
        let sought = self.area.search_pattern().map(|pattern| {
            let bounded = &line[..line.floor_char_boundary(4000)];
            pattern.find_iter(bounded).map(|found| found.range()).collect::<Vec<_>>()
        });
        let mut pieces = pieces.iter().peekable();
        let buffer = frame.buffer_mut();
        let mut cell = 0;
        for (n, (at, c)) in line.char_indices().enumerate() {
            let wide = width(c, cell);
            let (from, to) = (cell, cell + wide);
            cell = to;
            if from >= self.left + usize::from(area.width) {
                // More of it is to the right.
                let x = area.right() - 1;
                buffer.set_string(x, area.y, "›", theme.style(Role::Faint));
                break;
            }
            while pieces.peek().is_some_and(|(range, _)| range.end <= at) {
                pieces.next();
            }
            if from < self.left {
                continue;
            }
            let mut style = match pieces.peek() {
                Some((range, role)) if range.contains(&at) => theme.style(*role),
                _ => theme.style(Role::Text),
            };
            let text = match c {
                '\t' => format!("→{}", " ".repeat(wide.saturating_sub(1))),
                '\r' => "␍".to_owned(),
                ' ' if at >= end => "·".to_owned(),
                c => cmdr_protocol::display::clean(c.encode_utf8(&mut [0; 4])).into_owned(),
            };
            if matches!(c, '\t' | '\r') || at >= end {
                style = theme.style(if at >= end { Role::Warn } else { Role::Faint });
            }
            if sought.iter().flatten().any(|range| range.contains(&at)) {
                style = style.patch(theme.style(Role::Match));
            }
            if marked.is_some_and(|marked| marked.contains(&n)) {
                style = style.patch(theme.style(Role::Selected));
            }
            put(buffer, area, from - self.left, &text, wide, style);
        }
    }
}

fn put(
    buffer: &mut ratatui::buffer::Buffer,
    area: Rect,
    cell: usize,
    text: &str,
    wide: usize,
    style: Style,
) {
    let Ok(cell) = u16::try_from(cell) else { return };
    if wide == 0 || usize::from(cell) + wide > usize::from(area.width) {
        return;
    }
    buffer.set_stringn(area.x + cell, area.y, text, wide, style);
}

/// How many cells a character takes that begins at this one.
fn width(c: char, cell: usize) -> usize {
    match c {
        '\t' => TAB - cell % TAB,
        c if c.is_control() || cmdr_protocol::display::is_harmful(c) => 1,
        c => c.width().unwrap_or(0),
    }
}

fn cells_before(line: &str, column: usize) -> usize {
    line.chars().take(column).fold(0, |cell, c| cell + width(c, cell))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_as_it_was_with_or_without_a_last_line_end() {
        for text in ["", "a", "a\n", "a\n\n", "\ta \r\n节点\n"] {
            assert_eq!(Text::new(text, Kind::Plain).whole(), text);
        }
        let mut text = Text::new("a\nb\n", Kind::Plain);
        text.replace("c\n");
        assert_eq!(text.whole(), "c\n");
        text.area.undo();
        text.area.undo();
        assert_eq!(text.whole(), "a\nb\n");
    }

    #[test]
    fn a_text_that_takes_the_place_of_another_keeps_its_line_ends() {
        for new in ["a\r\nb\n\r\nc\r", "\r", "\r\n", "a\r\r\n", "a\rb\n", ""] {
            let mut text = Text::new("old\r\n", Kind::Plain);
            text.replace(new);
            assert_eq!(text.whole(), new, "{new:?}");
        }
    }

    #[test]
    fn tabs_and_wide_characters_take_their_cells() {
        assert_eq!(cells_before("\ta", 2), 5);
        assert_eq!(cells_before("ab\tc", 3), 4);
        assert_eq!(cells_before("节点x", 2), 4);
    }
}
