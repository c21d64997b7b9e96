//! Writes what a terminal shows as output: scrollback, screen, and every state that shows in what comes
//! after.

use super::Screen;
use super::guard::usual_tabs;
use alacritty_terminal::grid::{Cursor, Dimensions as _, Grid};
use alacritty_terminal::index::{Column, Line, Point};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{
    CharsetIndex, Color, CursorShape, KeyboardModes, NamedColor, StandardCharset,
};
use std::io::Write as _;

/// Flags of a cell that are set by attributes, and which.
const ATTRIBUTES: [(Flags, &str); 11] = [
    (Flags::BOLD, ";1"),
    (Flags::DIM, ";2"),
    (Flags::ITALIC, ";3"),
    (Flags::UNDERLINE, ";4"),
    (Flags::DOUBLE_UNDERLINE, ";4:2"),
    (Flags::UNDERCURL, ";4:3"),
    (Flags::DOTTED_UNDERLINE, ";4:4"),
    (Flags::DASHED_UNDERLINE, ";4:5"),
    (Flags::INVERSE, ";7"),
    (Flags::HIDDEN, ";8"),
    (Flags::STRIKEOUT, ";9"),
];

/// Modes that are off in a terminal that was just reset.
const OFF: [(TermMode, &str); 12] = [
    (TermMode::APP_CURSOR, "?1"),
    (TermMode::MOUSE_REPORT_CLICK, "?1000"),
    (TermMode::MOUSE_DRAG, "?1002"),
    (TermMode::MOUSE_MOTION, "?1003"),
    (TermMode::FOCUS_IN_OUT, "?1004"),
    (TermMode::UTF8_MOUSE, "?1005"),
    (TermMode::SGR_MOUSE, "?1006"),
    (TermMode::BRACKETED_PASTE, "?2004"),
    (TermMode::INSERT, "4"),
    (TermMode::LINE_FEED_NEW_LINE, "20"),
    // Sets the cursor home: last.
    (TermMode::ORIGIN, "?6"),
    (TermMode::empty(), ""),
];

/// Modes that are on in one.
const ON: [(TermMode, &str); 3] = [
    (TermMode::LINE_WRAP, "?7"),
    (TermMode::SHOW_CURSOR, "?25"),
    (TermMode::ALTERNATE_SCROLL, "?1007"),
];

pub(super) fn whole(screen: &mut Screen, lines: usize) -> Vec<u8> {
    let mut pen = Pen::new(&screen.extras.tabs);
    let mode = *screen.term.mode();
    let other = mode.contains(TermMode::ALT_SCREEN).then(|| screen.term.grid().clone());
    if other.is_some() {
        screen.term.swap_alt();
    }
    pen.tabs();
    pen.grid(screen.term.grid(), lines);
    pen.keyboard(&screen.extras.keyboard[0]);
    if let Some(other) = other {
        // Where the program will find the cursor when it leaves the other screen.
        pen.cursor(screen.term.grid(), &screen.term.grid().cursor.clone(), 0);
        screen.term.swap_alt();
        *screen.term.grid_mut() = other;
        pen.text("\x1b[?1049h");
        pen.plain();
        pen.text("\x1b[H\x1b[2J");
        pen.grid(screen.term.grid(), 0);
        pen.keyboard(&screen.extras.keyboard[1]);
    }
    pen.state(screen, mode);
    pen.out
}

/// Writes, and knows what the terminal that reads it would write with.
struct Pen {
    out: Vec<u8>,
    attributes: Cell,
    charsets: [StandardCharset; 4],
    tabs: Vec<bool>,
}

const CHARSETS: [CharsetIndex; 4] =
    [CharsetIndex::G0, CharsetIndex::G1, CharsetIndex::G2, CharsetIndex::G3];

impl Pen {
    fn new(tabs: &[bool]) -> Self {
        Self {
            tabs: tabs.to_vec(),
            out: Vec::new(),
            attributes: Cell::default(),
            charsets: [StandardCharset::Ascii; 4],
        }
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Into memory, which does not fail.
        self.out.write_fmt(text).ok();
    }

    fn char(&mut self, c: char) {
        self.text(c.encode_utf8(&mut [0; 4]));
    }

    fn plain(&mut self) {
        self.attributes = Cell::default();
        self.text("\x1b[m");
    }

    fn tabs(&mut self) {
        if self.tabs.iter().copied().eq(usual_tabs(0, self.tabs.len())) {
            return;
        }
        self.text("\x1b[3g");
        for column in (0..self.tabs.len()).filter(|column| self.tabs[*column]).collect::<Vec<_>>() {
            self.put(format_args!("\x1b[{}G\x1bH", column + 1));
        }
        self.text("\r");
    }

    /// Scrollback and screen of a grid, in a terminal whose cursor is at home on an empty screen.
    fn grid(&mut self, grid: &Grid<Cell>, lines: usize) {
        self.charsets([StandardCharset::Ascii; 4]);
        let first = Line(-(grid.history_size().min(lines) as i32));
        let last = grid.bottommost_line();
        let mut line = first;
        let mut wraps = false;
        while line <= last {
            let came = wraps;
            wraps = self.line(grid, line, line < last);
            let row = &grid[line];
            if came
                && row[Column(0)].bg != Cell::default().bg
                && used(&row[..], grid.columns()) < grid.columns()
            {
                // Going on to a new line has filled it with the colour of its first character.
                self.plain();
                self.text("\x1b[K");
            }
            line += 1_usize;
            // What goes on in the next line goes there by itself.
            if line <= last && !wraps {
                // The colour of the line's end is not that of the new line.
                if self.attributes.bg != Cell::default().bg {
                    self.plain();
                }
                self.text("\r\n");
            }
        }
        self.plain();
    }

    /// One line; whether it goes on in the next.
    fn line(&mut self, grid: &Grid<Cell>, line: Line, may_wrap: bool) -> bool {
        let row = &grid[line];
        let columns = grid.columns();
        let wraps = may_wrap
            && row[Column(columns - 1)].flags.contains(Flags::WRAPLINE)
            && used(&grid[line + 1_usize][..], columns) > 0;
        let end = if wraps { columns } else { used(&row[..], columns) };
        let mut column = 0;
        while column < end {
            let cell = &row[Column(column)];
            let wide = is_wide(&row[..], column);
            // The next character is wide and makes this gap itself, of its own colours.
            let gap = wraps
                && column == columns - 1
                && cell.flags.contains(Flags::LEADING_WIDE_CHAR_SPACER)
                && is_wide(&grid[line + 1_usize][..], 0)
                && are_alike(cell, &grid[line + 1_usize][Column(0)]);
            if !gap {
                self.cell(cell, wide || !is_half(cell));
            }
            column += if wide { 2 } else { 1 };
        }
        wraps
    }

    fn cell(&mut self, cell: &Cell, whole: bool) {
        self.attributes(cell);
        let c = if whole && cell.c != '\t' { cell.c } else { ' ' };
        self.char(c);
        for mark in cell.zerowidth().filter(|_| whole).unwrap_or_default() {
            self.char(*mark);
        }
    }

    /// Sets what the next character is written with.
    fn attributes(&mut self, to: &Cell) {
        if are_alike(&self.attributes, to) {
            return;
        }
        self.text("\x1b[0");
        for (flag, code) in ATTRIBUTES {
            if to.flags.contains(flag) {
                self.text(code);
            }
        }
        self.color(to.fg, 30, NamedColor::Foreground);
        self.color(to.bg, 40, NamedColor::Background);
        if let Some(color) = to.underline_color() {
            self.color(color, 50, NamedColor::Foreground);
        }
        self.text("m");
        self.attributes = Cell { c: ' ', extra: to.extra.clone(), ..to.clone() };
        self.attributes.flags = attributes(to);
    }

    fn color(&mut self, color: Color, base: u16, usual: NamedColor) {
        match color {
            Color::Named(name) if name == usual => {}
            Color::Named(name) => match name as u16 {
                n @ 0..8 => self.put(format_args!(";{}", base + n)),
                n @ 8..16 => self.put(format_args!(";{}", base + 60 + n - 8)),
                // Dim and bright forms of the usual ones are made from attributes.
                _ => {}
            },
            Color::Indexed(n) => self.put(format_args!(";{};5;{n}", base + 8)),
            Color::Spec(rgb) => {
                self.put(format_args!(";{};2;{};{};{}", base + 8, rgb.r, rgb.g, rgb.b));
            }
        }
    }

    fn charsets(&mut self, to: [StandardCharset; 4]) {
        for (at, sign) in [(0, '('), (1, ')'), (2, '*'), (3, '+')] {
            if self.charsets[at] != to[at] {
                let graphic = to[at] == StandardCharset::SpecialCharacterAndLineDrawing;
                self.put(format_args!("\x1b{sign}{}", if graphic { '0' } else { 'B' }));
            }
        }
        self.charsets = to;
    }

    /// Puts the cursor where it is, with what it writes with. `above` are lines that count from a region.
    fn cursor(&mut self, grid: &Grid<Cell>, cursor: &Cursor<Cell>, above: usize) {
        let Point { line, column } = cursor.point;
        let row = (line.0.max(0) as usize).saturating_sub(above) + 1;
        if cursor.input_needs_wrap {
            // Only a character written to the last column brings it about.
            let cells = &grid[Line(line.0.clamp(0, grid.bottommost_line().0))];
            let last = grid.columns() - 1;
            let wide = last > 0 && is_wide(&cells[..], last - 1);
            let at = if wide { last - 1 } else { last };
            // The stop it went back to may have been taken away since.
            let gone = (1..last).contains(&column.0) && !self.tabs[column.0];
            if gone {
                self.put(format_args!("\x1b[{row};{}H\x1bH", column.0 + 1));
            }
            self.put(format_args!("\x1b[{row};{}H", at + 1));
            self.charsets([StandardCharset::Ascii; 4]);
            let cell = &cells[Column(at)];
            self.cell(cell, wide || !is_half(cell));
            if column.0 < last {
                // From there it went back by tabs.
                let stops = self.tabs.iter().take(last).skip(column.0.max(1));
                let stops =
                    stops.filter(|stop| **stop).count() + usize::from(column.0 == 0 || gone);
                self.put(format_args!("\x1b[{stops}Z"));
            }
            if gone {
                self.text("\x1b[g");
            }
        } else {
            self.put(format_args!("\x1b[{row};{}H", column.0 + 1));
        }
        self.attributes(&cursor.template);
        self.charsets(CHARSETS.map(|index| cursor.charsets[index]));
    }

    fn keyboard(&mut self, stack: &[KeyboardModes]) {
        for mode in stack {
            self.put(format_args!("\x1b[>{}u", mode.bits()));
        }
    }

    /// All that is neither text nor keyboard.
    fn state(&mut self, screen: &Screen, mode: TermMode) {
        let (term, extras) = (&screen.term, &screen.extras);
        let grid = term.grid();
        if let Some((top, bottom)) = extras.region {
            // A region of one line alone can be had at the end of the screen, by asking for more.
            let bottom = if bottom == grid.screen_lines() { 9999 } else { bottom };
            self.put(format_args!("\x1b[{};{bottom}r", top + 1));
        }
        if grid.saved_cursor != Cursor::default() {
            self.cursor(grid, &grid.saved_cursor, 0);
            self.text("\x1b7");
        }
        for index in 0..259 {
            let Some(rgb) = term.colors()[index] else { continue };
            match index {
                0..256 => self.put(format_args!("\x1b]4;{index}")),
                _ => self.put(format_args!("\x1b]{}", index - 246)),
            }
            let rgb = [rgb.r, rgb.g, rgb.b].map(|part| format!("{part:02x}")).join("/");
            self.put(format_args!(";rgb:{rgb}\x1b\\"));
        }
        if !extras.title().is_empty() {
            let title = cmdr_protocol::display::clean(extras.title()).into_owned();
            self.put(format_args!("\x1b]2;{title}\x1b\\"));
        }
        if let Some(style) = extras.cursor {
            let shape = match style.shape {
                CursorShape::Underline => 4,
                CursorShape::Beam => 6,
                _ => 2,
            };
            self.put(format_args!("\x1b[{} q", shape - i32::from(style.blinking)));
        }
        if mode.contains(TermMode::APP_KEYPAD) {
            self.text("\x1b=");
        }
        for (flag, name) in ON {
            if !mode.contains(flag) {
                self.set(name, false);
            }
        }
        for (flag, name) in OFF {
            if !flag.is_empty() && mode.contains(flag) {
                self.set(name, true);
            }
        }
        let origin = mode.contains(TermMode::ORIGIN);
        let above = extras.region.filter(|_| origin).map_or(0, |(top, _)| top);
        // What shifts in to the right of the cursor is shown where it is: in insert mode, too.
        self.cursor(grid, &grid.cursor, above);
        if extras.charset == CharsetIndex::G1 {
            self.text("\x0e");
        }
    }

    fn set(&mut self, mode: &str, on: bool) {
        self.put(format_args!("\x1b[{mode}{}", if on { 'h' } else { 'l' }));
    }
}

/// What of a cell's flags is set by attributes.
fn attributes(cell: &Cell) -> Flags {
    cell.flags & ATTRIBUTES.iter().fold(Flags::empty(), |all, (flag, _)| all | *flag)
}

/// Whether two cells are written with the same attributes.
fn are_alike(one: &Cell, other: &Cell) -> bool {
    one.fg == other.fg
        && one.bg == other.bg
        && attributes(one) == attributes(other)
        && one.underline_color() == other.underline_color()
}

/// Whether a character stands here that takes two cells and has both.
fn is_wide(row: &[Cell], column: usize) -> bool {
    let next = row.get(column + 1);
    row[column].flags.contains(Flags::WIDE_CHAR)
        && next.is_some_and(|next| next.flags.contains(Flags::WIDE_CHAR_SPACER))
}

/// Whether a cell is what was left of a wide character.
fn is_half(cell: &Cell) -> bool {
    let halves = Flags::WIDE_CHAR | Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER;
    cell.flags.intersects(halves)
}

/// Columns up to the last that does not look like nothing.
fn used(row: &[Cell], columns: usize) -> usize {
    let empty = |cell: &Cell| {
        let flags = cell.flags.difference(Flags::WRAPLINE);
        matches!(cell.c, ' ' | '\t')
            && cell.bg == Color::Named(NamedColor::Background)
            && cell.fg == Color::Named(NamedColor::Foreground)
            && flags.is_empty()
            && cell.extra.is_none()
    };
    row.iter().take(columns).rposition(|cell| !empty(cell)).map_or(0, |at| at + 1)
}
