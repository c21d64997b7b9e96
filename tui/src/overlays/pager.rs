//! Text to read: details, help, the log. Scrolls; long lines are wrapped by cells.

use super::{Overlay, leaves};
use crate::action::Action;
use crate::i18n::Texts;
use crate::panes::Context;
use crate::theme::Role;
use crate::widgets::filter::Filter;
use crate::widgets::input::Input;
use crate::widgets::{format, frame as boxes, table};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent, MouseEventKind};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Cells that a key goes aside in lines that are not wrapped.
const ASIDE: usize = 8;

/// A piece of a line: what it is for, and its text.
pub type Piece = (Role, String);

/// The text.
pub struct Pager {
    title: String,
    lines: Vec<Vec<Piece>>,
    /// First row shown.
    top: usize,
    /// Rows that could be shown last time, and how many there were.
    seen: (usize, usize),
    /// What `y` copies.
    copy: Option<String>,
    /// What `Y` copies: the `cmdr` command for what is shown.
    command: Option<String>,
    /// Keys of its own: the letter, what it does, and the action.
    keys: Vec<(char, String, Option<Action>)>,
    search: Search,
    /// May stand in two columns when it would not fit otherwise.
    in_columns: bool,
    wrapping: Wrapping,
}

/// Whether long lines are wrapped, and what is seen of them when they are not.
#[derive(Default)]
struct Wrapping {
    /// `w` turns it on and off.
    offered: bool,
    off: bool,
    /// Cells that are left out on the left.
    left: usize,
    /// The first row of each line, as of the last drawing.
    firsts: Vec<usize>,
    /// The line that is at the top after the next one.
    to: Option<usize>,
}

/// What is looked for in the text.
#[derive(Default)]
struct Search {
    /// While it is typed.
    typed: Option<Input>,
    sought: Filter,
    /// Rows that match, as of the last drawing.
    rows: Vec<usize>,
    /// The one that was gone to last.
    at: usize,
    /// Goes to the first match from the top of what is shown.
    fresh: bool,
}

impl Pager {
    /// Lines of pieces.
    pub fn new(title: String, lines: Vec<Vec<Piece>>) -> Self {
        Self {
            title,
            lines,
            top: 0,
            seen: (1, 0),
            copy: None,
            command: None,
            keys: Vec::new(),
            search: Search::default(),
            in_columns: false,
            wrapping: Wrapping::default(),
        }
    }

    /// Whose long lines need not be wrapped.
    #[must_use]
    pub fn with_wrap(mut self) -> Self {
        self.wrapping.offered = true;
        self
    }

    /// Turns wrapping on or off; the line at the top stays there.
    fn toggle_wrap(&mut self) {
        let Wrapping { off, left, firsts, to, .. } = &mut self.wrapping;
        *to = firsts.partition_point(|first| *first <= self.top).checked_sub(1);
        (*off, *left) = (!*off, 0);
    }

    /// The rows of all lines at this width.
    fn rows(&mut self, width: usize, widest: usize) -> Vec<Vec<Piece>> {
        let Self { lines, wrapping, top, .. } = self;
        let Wrapping { off, left, firsts, to, .. } = wrapping;
        firsts.clear();
        *left = (*left).min(widest.saturating_sub(width));
        let mut rows = Vec::new();
        for line in lines.iter() {
            firsts.push(rows.len());
            if *off {
                rows.push(cut(line, *left, width));
            } else {
                rows.extend(wrap(line, width));
            }
        }
        if let Some(first) = to.take().and_then(|to| firsts.get(to)) {
            *top = *first;
        }
        rows
    }

    /// With something that `y` copies.
    #[must_use]
    pub fn copying(mut self, text: String) -> Self {
        self.copy = Some(text);
        self
    }

    /// With the `cmdr` command that `Y` copies.
    #[must_use]
    pub fn copying_command(mut self, text: String) -> Self {
        self.command = Some(text);
        self
    }

    /// With a key that leaves it and does something.
    #[must_use]
    pub fn with_key(mut self, key: char, text: &str, action: Action) -> Self {
        self.keys.push((key, text.to_owned(), Some(action)));
        self
    }

    /// Of short lines: two columns beside each other when one is too long for the screen.
    #[must_use]
    pub fn in_columns(mut self) -> Self {
        self.in_columns = true;
        self
    }

    /// Beginning at the end.
    #[must_use]
    pub fn from_end(mut self) -> Self {
        self.top = usize::MAX;
        self
    }

    fn scroll(&mut self, by: isize) {
        let (room, rows) = self.seen;
        self.top = self.top.saturating_add_signed(by).min(rows.saturating_sub(room));
    }
}

impl Pager {
    /// Goes to the next row that matches, or to the one before, past the ends too.
    fn seek(&mut self, forward: bool) {
        let Search { rows, at, .. } = &mut self.search;
        let next = if forward {
            rows.iter().find(|row| **row > *at).or(rows.first())
        } else {
            rows.iter().rev().find(|row| **row < *at).or(rows.last())
        };
        if let Some(row) = next {
            *at = *row;
            self.show_match();
        }
    }

    fn show_match(&mut self) {
        let (room, row) = (self.seen.0, self.search.at);
        if row < self.top || row >= self.top + room {
            self.top = row.saturating_sub(room / 3);
        }
    }

    /// A key while what is looked for is typed.
    fn typing(&mut self, key: &KeyEvent) {
        let Some(input) = &mut self.search.typed else { return };
        if leaves(key) {
            self.search = Search::default();
        } else if key.code == KeyCode::Enter {
            self.search.typed = None;
        } else if input.key(key) {
            self.search.sought.set(input.text());
            self.search.fresh = true;
        }
    }

    /// Finds the rows that match, before they are drawn.
    fn find(&mut self, rows: &[Vec<Piece>]) {
        if !self.search.sought.is_on() {
            return;
        }
        let text = |row: &[Piece]| row.iter().map(|(_, text)| text.as_str()).collect::<String>();
        let keeps = |row: &[Piece]| self.search.sought.keeps(&text(row));
        let found = rows.iter().enumerate().filter(|(_, row)| keeps(row));
        self.search.rows = found.map(|(at, _)| at).collect();
        if std::mem::take(&mut self.search.fresh) {
            let from = self.search.rows.iter().find(|row| **row >= self.top);
            if let Some(row) = from.or(self.search.rows.first()) {
                self.search.at = *row;
                self.show_match();
            }
        }
    }

    /// What can be pressed: first what this text is shown for, then what every text has.
    fn hints<'a>(&'a self, texts: &'a Texts) -> Vec<(String, &'a str, bool)> {
        let own = self.keys.iter().map(|(key, text, _)| (key.to_string(), text.as_str(), true));
        let mut hints: Vec<_> = own.collect();
        let mut common = |key: &str, text| hints.push((key.to_owned(), texts.get(text), false));
        common("/", "pager.search");
        if self.wrapping.offered {
            common("w", if self.wrapping.off { "pager.wrap" } else { "pager.no_wrap" });
        }
        if self.copy.is_some() {
            common("y", "pager.copy");
        }
        if self.command.is_some() {
            common("Y", "pager.copy_command");
        }
        hints
    }

    fn hint_width(&self, texts: &Texts) -> usize {
        self.hints(texts).iter().map(|(key, text, _)| key.width() + text.width() + 3).sum()
    }

    /// The line about the search, in the lower border.
    fn below(&self, context: &Context<'_>, frame: &mut Frame<'_>, inner: Rect) {
        let Context { theme, texts, .. } = *context;
        let (x, y) = (inner.x + 1, inner.bottom());
        let room = inner.width.saturating_sub(10);
        let found = |sought: &Filter| match sought.error() {
            Some(error) => (error.to_owned(), Role::Bad),
            None if !sought.is_on() => (String::new(), Role::Soft),
            None => {
                let count = format::count(self.search.rows.len());
                (texts.fill("pager.found", &[&count]), Role::Soft)
            }
        };
        let (found, role) = found(&self.search.sought);
        let found = Span::styled(format!("  {found} "), theme.style(role));
        let line = if let Some(input) = &self.search.typed {
            let (text, caret) = input.view(usize::from(room / 2));
            frame.set_cursor_position((x + 2 + caret, y));
            let input = Span::styled(text, theme.style(Role::Input));
            Line::from(vec![Span::styled(" /", theme.style(Role::Key)), input, found])
        } else if self.search.sought.is_on() {
            let sought = format!(" /{}", self.search.sought.text());
            Line::from(vec![Span::styled(sought, theme.style(Role::Match)), found])
        } else {
            let mut line = Line::raw(" ");
            for (key, text, own) in self.hints(texts) {
                let role = if own { [Role::Key, Role::Text] } else { [Role::Faint; 2] };
                line.push_span(Span::styled(key, theme.style(role[0])));
                line.push_span(Span::styled(format!(" {text}"), theme.style(role[1])));
                line.push_span(Span::raw("  "));
            }
            // One blank before the border goes on.
            line.spans.pop();
            line.push_span(Span::raw(" "));
            line
        };
        table::put(frame.buffer_mut(), x, y, room, &line, false);
    }
}

fn ends_blank(rows: &[Vec<Piece>]) -> bool {
    rows.last().and_then(|row| row.last()).is_some_and(|(_, text)| text.ends_with(' '))
}

/// What is seen of a line when so many cells are left out on its left.
fn cut(line: &[Piece], left: usize, width: usize) -> Vec<Piece> {
    let (mut at, mut row) = (0, Vec::new());
    for (role, text) in line {
        let mut piece = String::new();
        for c in text.chars() {
            let from = at;
            at += c.width().unwrap_or(0);
            if from >= left && at <= left + width {
                piece.push(c);
            } else if from < left && at > left {
                // Half of a wide character.
                piece.push(' ');
            }
        }
        row.push((*role, piece));
        if at >= left + width {
            break;
        }
    }
    row
}

/// Breaks a line into rows of at most `width` cells, at blanks where there are some.
pub(crate) fn wrap(line: &[Piece], width: usize) -> Vec<Vec<Piece>> {
    let mut rows = vec![Vec::new()];
    let mut used = 0;
    for (role, text) in line {
        let mut piece = String::new();
        for (at, c) in text.char_indices() {
            // A word that would be cut goes to the next row, when there is a blank before it.
            let blank = piece.ends_with(' ') || (piece.is_empty() && used > 0 && ends_blank(&rows));
            if blank && c != ' ' {
                let word = text[at..].split(' ').next().unwrap_or_default().width();
                if used + word > width && word <= width * 2 / 3 {
                    if let Some(row) = rows.last_mut() {
                        row.push((*role, std::mem::take(&mut piece)));
                    }
                    rows.push(Vec::new());
                    used = 0;
                }
            }
            let w = c.width().unwrap_or(0);
            if used + w > width && used > 0 {
                if let Some(row) = rows.last_mut() {
                    row.push((*role, std::mem::take(&mut piece)));
                }
                rows.push(Vec::new());
                used = 0;
            }
            piece.push(c);
            used += w;
        }
        if let Some(row) = rows.last_mut() {
            row.push((*role, piece));
        }
    }
    rows
}

impl Overlay for Pager {
    fn key(&mut self, _context: &Context<'_>, key: &KeyEvent) -> Action {
        if self.search.typed.is_some() {
            self.typing(key);
            return Action::None;
        }
        if leaves(key) {
            return Action::Close;
        }
        if let KeyCode::Char(typed) = key.code
            && let Some((_, _, action)) = self.keys.iter_mut().find(|(key, ..)| *key == typed)
        {
            return Action::CloseAnd(Box::new(action.take().unwrap_or_default()));
        }
        let page = self.seen.0 as isize;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('q' | '?') | KeyCode::Enter => return Action::Close,
            KeyCode::Char('y') => {
                if let Some(text) = self.copy.clone() {
                    return Action::Copy(text);
                }
            }
            KeyCode::Char('Y') => {
                if let Some(text) = self.command.clone() {
                    return Action::Copy(text);
                }
            }
            KeyCode::Char('/') => {
                let text = self.search.sought.text().to_owned();
                self.search.typed = Some(Input::new(text));
            }
            KeyCode::Char('n') if !control => self.seek(true),
            KeyCode::Char('N') => self.seek(false),
            KeyCode::Char('d') if control => self.scroll(page / 2),
            KeyCode::Char('u') if control => self.scroll(-page / 2),
            KeyCode::Char('j') | KeyCode::Down => self.scroll(1),
            KeyCode::Char('k') | KeyCode::Up => self.scroll(-1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.scroll(page),
            KeyCode::PageUp => self.scroll(-page),
            KeyCode::Char('w') if self.wrapping.offered => self.toggle_wrap(),
            KeyCode::Char('h') | KeyCode::Left if self.wrapping.off => {
                self.wrapping.left = self.wrapping.left.saturating_sub(ASIDE);
            }
            KeyCode::Char('l') | KeyCode::Right if self.wrapping.off => {
                self.wrapping.left += ASIDE;
            }
            KeyCode::Char('g') | KeyCode::Home => self.top = 0,
            KeyCode::Char('G') | KeyCode::End => self.scroll(isize::MAX),
            _ => {}
        }
        Action::None
    }

    fn paste(&mut self, text: &str) {
        if let Some(input) = &mut self.search.typed {
            input.insert(text);
            self.search.sought.set(input.text());
            self.search.fresh = true;
        }
    }

    fn mouse(&mut self, _context: &Context<'_>, mouse: &MouseEvent) -> Action {
        match mouse.kind {
            MouseEventKind::ScrollDown => self.scroll(3),
            MouseEventKind::ScrollUp => self.scroll(-3),
            _ => {}
        }
        Action::None
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { theme, texts, glyphs, .. } = *context;
        let widest = self.lines.iter().map(|line| line.iter().map(|(_, t)| t.width()).sum());
        let widest: usize = widest.max().unwrap_or(0);
        let most = usize::from(screen.width.saturating_sub(8)).clamp(20, 110);
        // The hint in the border needs its room too.
        let least = (self.hint_width(texts) + 10).max(self.title.width() + 4).max(40);
        let width = widest.max(least).min(most);
        let mut rows = self.rows(width, widest);
        let title = Line::styled(format!(" {} ", self.title), theme.style(Role::Title));
        let highest = screen.height.saturating_sub(2);
        let long = rows.len() > usize::from(highest.saturating_sub(2));
        let beside = self.in_columns && long && width * 2 + 8 <= usize::from(screen.width);
        let columns = if beside { 2 } else { 1 };
        if beside {
            keep_heads(&mut rows, usize::from(highest.saturating_sub(2)));
        }
        let height = (rows.len().div_ceil(columns) as u16 + 2).min(highest);
        let size = ((width + 3) as u16 * columns as u16 + 1, height);
        let inner = boxes::popup(frame.buffer_mut(), screen, size, title, false, theme, glyphs);
        let high = usize::from(inner.height).max(1);
        self.seen = (high * columns, rows.len());
        self.find(&rows);
        self.scroll(0);
        let (left, shown) = (inner.x, rows.iter().enumerate().skip(self.top));
        let last = inner.width.saturating_sub(2);
        for (n, (at, row)) in shown.take(high * columns).enumerate() {
            let (column, y) = ((n / high) as u16, inner.y + (n % high) as u16);
            let x = left + 1 + column * (width + 3) as u16;
            let width = if beside { width as u16 } else { last };
            let spans =
                row.iter().map(|(role, text)| Span::styled(text.as_str(), theme.style(*role)));
            let buffer = frame.buffer_mut();
            table::put(buffer, x, y, width, &spans.collect(), false);
            if self.search.sought.is_on() && self.search.rows.binary_search(&at).is_ok() {
                buffer.set_style(Rect { x, y, width, height: 1 }, theme.style(Role::Match));
                let sign = if at == self.search.at { "▌" } else { " " };
                buffer.set_string(x - 1, y, sign, theme.style(Role::Accent));
            }
        }
        self.below(context, frame, inner);
        let buffer = frame.buffer_mut();
        let (room, total) = self.seen;
        if total > room {
            // How far one is, in the border.
            let text = format!(" {}% ", (self.top + room).min(total) * 100 / total);
            let x = inner.right().saturating_sub(text.len() as u16);
            buffer.set_string(x, inner.bottom(), text, theme.style(Role::Soft));
        }
    }
}

/// Where all rows fit into two columns: a heading that would end the first one begins the second instead.
fn keep_heads(rows: &mut Vec<Vec<Piece>>, highest: usize) {
    for _ in 0..2 {
        let high = rows.len().div_ceil(2);
        let is_head = high > 1 && rows[high - 2].is_empty() && !rows[high - 1].is_empty();
        if is_head && high < highest {
            rows.insert(high - 1, Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_wrapped_by_cells() {
        let line = vec![(Role::Text, "节点".to_owned()), (Role::Soft, "abc".to_owned())];
        let rows = wrap(&line, 5);
        let text: Vec<String> =
            rows.iter().map(|row| row.iter().map(|(_, t)| t.as_str()).collect()).collect();
        assert_eq!(text, ["节点a", "bc"]);
    }

    #[test]
    fn a_heading_does_not_stand_at_the_end_of_the_first_column() {
        let row = |text: &str| match text {
            "" => Vec::new(),
            text => vec![(Role::Text, text.to_owned())],
        };
        for texts in
            [["a", "b", "", "head", "c", "d", "e"].as_slice(), &["a", "", "head", "b", "c", "d"]]
        {
            let mut rows: Vec<_> = texts.iter().map(|text| row(text)).collect();
            keep_heads(&mut rows, 10);
            let first = rows.len().div_ceil(2);
            assert_eq!(rows[first], row("head"), "{rows:?}");
        }
        let mut rows = vec![row("a"), row("b"), row("c")];
        keep_heads(&mut rows, 10);
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn a_line_that_is_not_wrapped_is_seen_in_part_and_wide_characters_stay_whole() {
        let line = vec![(Role::Faint, "1 ".to_owned()), (Role::Text, "节点abc".to_owned())];
        let text = |left| cut(&line, left, 5).into_iter().map(|(_, t)| t).collect::<String>();
        assert_eq!([text(0), text(2), text(3), text(6)], ["1 节", "节点a", " 点ab", "abc"]);
    }

    #[test]
    fn words_are_kept_whole_where_they_can_be() {
        let line = vec![(Role::Soft, "on  ".to_owned()), (Role::Text, "web1 and db2".to_owned())];
        let rows = wrap(&line, 9);
        let text: Vec<String> =
            rows.iter().map(|row| row.iter().map(|(_, t)| t.as_str()).collect()).collect();
        assert_eq!(text, ["on  web1 ", "and db2"]);
    }
}
