//! The emulator's cells as cells of the screen: colours brought down to what the terminal has, wide
//! characters whole or not at all, nothing that could steer a terminal.

use super::{Modes, Screen, Told};
use crate::terminal::encoder::{CURLY, DASHED, DOTTED, DOUBLE};
use crate::theme::{self, Depth, Role, Theme};
use alacritty_terminal::Term;
use alacritty_terminal::index::{Column, Line, Point};
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::term::color::Colors;
use alacritty_terminal::term::search::Match;
use alacritty_terminal::vte::ansi::{Color as Named, NamedColor, Rgb};
use cmdr_protocol::display::is_harmful;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How a cursor looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caret {
    /// As the terminal has it.
    #[default]
    Own,
    /// A block.
    Block,
    /// A line below.
    Underline,
    /// A line to the left.
    Beam,
}

/// The index of the colour of letters; that of the ground follows.
const LETTERS: usize = NamedColor::Foreground as usize;
const GROUND: usize = NamedColor::Background as usize;

/// The colour of this number, for a program that asks; unknown ones are not answered.
pub(super) fn asked(term: &Term<Told>, index: usize, ground: Option<[Rgb; 2]>) -> Option<Rgb> {
    if let Some(set) = (index < 269).then(|| term.colors()[index]).flatten() {
        return Some(set);
    }
    match index {
        0..=255 => {
            let (r, g, b) = theme::palette(index as u8);
            Some(Rgb { r, g, b })
        }
        LETTERS | 258 => ground.map(|[letters, _]| letters),
        GROUND => ground.map(|[_, ground]| ground),
        _ => None,
    }
}

/// The other half of a wide character, or the blank before one that went to the next line.
const SPACER: Flags = Flags::WIDE_CHAR_SPACER.union(Flags::LEADING_WIDE_CHAR_SPACER);
/// What makes a cell more than one letter in one cell.
const ODD: Flags = SPACER.union(Flags::HIDDEN).union(Flags::WIDE_CHAR);

/// Colours on their way to the screen. Neighbours look alike: the last answers are kept.
struct Brush<'a> {
    set: &'a Colors,
    depth: Depth,
    ground: Style,
    last: (Color, Color),
    /// What the last cell without extras looked like, and how that is drawn.
    worn: Option<(Named, Named, Flags, Style)>,
}

impl Brush<'_> {
    /// Gives a cell of the screen the looks of one of the emulator's.
    fn dress(&mut self, cell: &Cell, to: &mut ratatui::buffer::Cell) {
        let style = match self.worn {
            Some((fg, bg, flags, style))
                if cell.extra.is_none() && (fg, bg, flags) == (cell.fg, cell.bg, cell.flags) =>
            {
                style
            }
            _ => {
                let style = self.style(cell);
                self.worn = cell.extra.is_none().then_some((cell.fg, cell.bg, cell.flags, style));
                style
            }
        };
        to.fg = style.fg.unwrap_or_default();
        to.bg = style.bg.unwrap_or_default();
        to.underline_color = style.underline_color.unwrap_or_default();
        to.modifier = style.add_modifier;
    }

    fn reduce(&mut self, colour: Color) -> Color {
        if self.last.0 != colour {
            self.last = (colour, theme::reduce(colour, self.depth));
        }
        self.last.1
    }

    fn colour(&mut self, named: Named) -> Color {
        let index = match named {
            Named::Spec(Rgb { r, g, b }) => return self.reduce(Color::Rgb(r, g, b)),
            Named::Indexed(index) => usize::from(index),
            Named::Named(name) => match name as usize {
                // The dim ones are told apart by the cell's weight.
                dim @ 259..=266 => dim - 259,
                267 | 268 => LETTERS,
                other => other,
            },
        };
        if let Some(Rgb { r, g, b }) = self.set[index] {
            return self.reduce(Color::Rgb(r, g, b));
        }
        match index {
            0..=15 if self.depth == Depth::None => Color::Reset,
            0..=15 => Color::Indexed(index as u8),
            16..=255 if matches!(self.depth, Depth::True | Depth::Indexed) => {
                Color::Indexed(index as u8)
            }
            16..=255 => {
                let (r, g, b) = theme::palette(index as u8);
                self.reduce(Color::Rgb(r, g, b))
            }
            GROUND => self.ground.bg.unwrap_or(Color::Reset),
            _ => self.ground.fg.unwrap_or(Color::Reset),
        }
    }

    fn style(&mut self, cell: &Cell) -> Style {
        let mut style = Style::reset().fg(self.colour(cell.fg)).bg(self.colour(cell.bg));
        for (flag, modifier) in [
            (Flags::BOLD, Modifier::BOLD),
            (Flags::DIM, Modifier::DIM),
            (Flags::ITALIC, Modifier::ITALIC),
            (Flags::INVERSE, Modifier::REVERSED),
            (Flags::STRIKEOUT, Modifier::CROSSED_OUT),
            (Flags::ALL_UNDERLINES, Modifier::UNDERLINED),
        ] {
            if cell.flags.intersects(flag) {
                style = style.add_modifier(modifier);
            }
        }
        if cell.extra.is_some() {
            if cell.hyperlink().is_some() {
                style = style.add_modifier(Modifier::UNDERLINED);
            }
            // Terminals of fewer colours take these for something else.
            if let (Depth::True, Some(colour)) = (self.depth, cell.underline_color()) {
                style = style.underline_color(self.colour(colour));
            }
        }
        if self.depth == Depth::True {
            for (flag, modifier) in [
                (Flags::DOUBLE_UNDERLINE, DOUBLE),
                (Flags::UNDERCURL, CURLY),
                (Flags::DOTTED_UNDERLINE, DOTTED),
                (Flags::DASHED_UNDERLINE, DASHED),
            ] {
                if cell.flags.contains(flag) {
                    style = style.add_modifier(modifier);
                }
            }
        }
        style
    }
}

/// What stands in a cell: never anything that steers, and exactly as wide as the emulator thinks.
fn symbol(cell: &Cell, text: &mut String) {
    text.clear();
    let c = if cell.flags.contains(Flags::HIDDEN) || is_harmful(cell.c) { ' ' } else { cell.c };
    text.push(c);
    let marks = cell.zerowidth().unwrap_or_default();
    if !marks.is_empty() && c != ' ' {
        text.extend(marks.iter().filter(|mark| !is_harmful(**mark)));
        // Some pairs are drawn as one wider character: then the marks go.
        if text.width() != c.width().unwrap_or(1) {
            text.truncate(c.len_utf8());
        }
    }
}

impl Screen {
    /// Draws what is to be seen; gives where the cursor stands, when it is there and shown. Of a screen
    /// that is larger than its place the part around the cursor is seen.
    pub fn draw(
        &self,
        buffer: &mut Buffer,
        area: Rect,
        theme: &Theme,
        found: &[Match],
    ) -> Option<Position> {
        self.draw_from(buffer, area, theme, found, self.corner(area))
    }

    /// The same from this row and column on.
    pub fn draw_from(
        &self,
        buffer: &mut Buffer,
        area: Rect,
        theme: &Theme,
        found: &[Match],
        (top, left): (usize, usize),
    ) -> Option<Position> {
        let ground = theme.style(Role::Ground);
        let content = self.term.renderable_content();
        let back = content.display_offset as i32;
        let columns = self.size.columns.saturating_sub(left).min(area.width.into());
        let rows = self.size.rows.saturating_sub(top).min(area.height.into());
        let beside = Rect {
            x: area.x + columns as u16,
            width: area.width - columns as u16,
            height: rows as u16,
            ..area
        };
        let below = Rect { y: area.y + rows as u16, height: area.height - rows as u16, ..area };
        for place in [beside, below].into_iter().flat_map(Rect::positions) {
            buffer[place].reset();
            buffer[place].set_style(ground);
        }
        let (set, depth, last) = (content.colors, theme.depth(), (Color::Reset, Color::Reset));
        let mut brush = Brush { set, depth, ground, last, worn: None };
        let (selected, hit) = (theme.style(Role::Selected), theme.style(Role::Match));
        let mut text = String::new();
        for row in if columns > 0 { 0..rows } else { 0..0 } {
            // Whether the cell before is the first half of a character.
            let mut half = false;
            let line = Line((row + top) as i32 - back);
            let cells = &self.term.grid()[line][Column(left)..Column(left + columns)];
            let start = buffer.index_of(area.x, area.y + row as u16);
            let places = &mut buffer.content[start..start + columns];
            for (column, (cell, to)) in cells.iter().zip(places).enumerate() {
                brush.dress(cell, to);
                let wide = cell.flags.contains(Flags::WIDE_CHAR);
                if std::mem::take(&mut half) {
                    // Not a blank: one that takes its place is then told from it, and drawn.
                    to.set_symbol("");
                } else if cell.extra.is_none()
                    && !cell.flags.intersects(ODD)
                    && (' '..='~').contains(&cell.c)
                {
                    // Most cells are blanks, on blanks.
                    if cell.c != ' ' || to.symbol() != " " {
                        to.set_char(cell.c);
                    }
                } else if cell.flags.intersects(SPACER) || (wide && column + 1 == columns) {
                    // A half at an edge is a blank of the same ground.
                    to.set_symbol(" ");
                } else {
                    symbol(cell, &mut text);
                    // A lone first half, whose other half was written over.
                    let broken = text.width() > 1
                        && !cells
                            .get(column + 1)
                            .is_some_and(|next| next.flags.contains(Flags::WIDE_CHAR_SPACER));
                    to.set_symbol(if broken { " " } else { &text });
                    half = !broken && text.width() > 1;
                }
                if found.is_empty() && content.selection.is_none() {
                    continue;
                }
                let at = Point::new(line, Column(column + left));
                if found.iter().any(|one| one.contains(&at)) {
                    to.set_style(hit);
                }
                if content.selection.is_some_and(|range| range.contains(at)) {
                    to.set_style(selected);
                }
            }
        }
        self.caret()?;
        let point = content.cursor.point;
        let row = usize::try_from(point.line.0 + back).ok()?.checked_sub(top)?;
        let column = point.column.0.checked_sub(left)?;
        (row < rows && column < columns)
            .then(|| Position::new(area.x + column as u16, area.y + row as u16))
    }

    /// The row and the column that are drawn first.
    pub fn corner(&self, area: Rect) -> (usize, usize) {
        let point = if self.term.mode().contains(Modes::VI) {
            self.term.vi_mode_cursor.point
        } else {
            self.term.grid().cursor.point
        };
        let row = usize::try_from(point.line.0 + self.back() as i32).unwrap_or(0);
        let over = |place: usize, room: u16| (place + 1).saturating_sub(room.max(1).into());
        let most = |size: usize, room: u16| size.saturating_sub(room.into());
        let top = over(row, area.height).min(most(self.size.rows, area.height));
        let left = over(point.column.0, area.width).min(most(self.size.columns, area.width));
        (top, left)
    }
}
