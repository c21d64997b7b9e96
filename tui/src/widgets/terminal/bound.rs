//! Bounds to what bytes of a host can make the emulator keep: strings that never end, marks heaped on one
//! cell, links as long as a book. And movements that it gets wrong. Everything else goes to it as it is.

use super::{HISTORY, TITLE, Told};
use alacritty_terminal::Term;
use alacritty_terminal::grid::Dimensions as _;
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::vte::ansi::{
    Attr, CharsetIndex, ClearMode, CursorShape, CursorStyle, Handler, Hyperlink, KeyboardModes,
    KeyboardModesApplyBehavior, LineClearMode, Mode, ModifyOtherKeys, NamedPrivateMode,
    PrivateMode, Processor, Rgb, ScpCharPath, ScpUpdateMode, StandardCharset, TabulationClearMode,
    cursor_icon::CursorIcon,
};
use cmdr_protocol::display::is_harmful;
use unicode_width::UnicodeWidthChar as _;

/// Bytes taken in at once.
const PIECE: usize = 16 * 1024;
/// The longest string a sequence may carry: room for what a clipboard takes.
const STRING: usize = 256 * 1024;
/// Marks on one cell.
const MARKS: usize = 8;
/// The longest address of a link.
const ADDRESS: usize = 2048;
/// Bytes of links within as many lines as are kept.
const LINKS: usize = 8 << 20;
/// Cancels a sequence, and is nothing outside of one.
const CANCEL: &[u8] = b"\x18";

/// What was seen so far.
#[derive(Default)]
pub(super) struct Bound {
    /// Bytes since one that ends a string.
    run: usize,
    /// Bytes of links since the last era began, and lines.
    links: usize,
    lines: usize,
    /// The first line of the scroll region and the one behind its last; none for all.
    region: Option<(usize, usize)>,
}

impl Bound {
    /// Lets the emulator take bytes in.
    pub(super) fn advance(&mut self, parser: &mut Processor, term: &mut Term<Told>, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            let ends = |byte: &u8| matches!(byte, 0x07 | 0x18 | 0x1a | 0x1b);
            let before = piece.iter().position(ends);
            let mut rest = piece;
            if self.run + before.unwrap_or(piece.len()) > STRING {
                // Not within a character.
                let at = piece.iter().position(|byte| byte & 0xc0 != 0x80).unwrap_or(0);
                let (begun, others) = piece.split_at(at);
                parser.advance(&mut Guard { term, bound: self }, begun);
                parser.advance(&mut Guard { term, bound: self }, CANCEL);
                (rest, self.run) = (others, 0);
            }
            self.run = match piece.iter().rposition(ends) {
                Some(last) => piece.len() - last - 1,
                None => self.run + piece.len(),
            };
            parser.advance(&mut Guard { term, bound: self }, rest);
        }
    }

    /// The screen has another size: its region is all of it.
    pub(super) fn resized(&mut self) {
        self.region = None;
    }

    /// Takes in what was held back.
    pub(super) fn stop(&mut self, parser: &mut Processor, term: &mut Term<Told>) {
        parser.stop_sync(&mut Guard { term, bound: self });
    }

    fn line(&mut self) {
        self.lines += 1;
        // What was linked before has left the scrollback.
        if self.lines > 2 * HISTORY {
            (self.lines, self.links) = (0, 0);
        }
    }
}

/// Stands before the emulator.
struct Guard<'a> {
    term: &'a mut Term<Told>,
    bound: &'a mut Bound,
}

impl Guard<'_> {
    /// The first line of the scroll region and the one behind its last.
    fn region(&self) -> (usize, usize) {
        self.bound.region.unwrap_or((0, self.term.screen_lines()))
    }

    /// Where the cursor stands: line and column.
    fn at(&self) -> (usize, usize) {
        let point = self.term.grid().cursor.point;
        (usize::try_from(point.line.0).unwrap_or(0), point.column.0)
    }

    /// So many lines higher: no higher than the region's first line for who is within it or below.
    fn above(&self, lines: usize) -> usize {
        let (at, (first, _)) = (self.at().0, self.region());
        at.saturating_sub(lines).max(if at >= first { first } else { 0 })
    }

    /// So many lines lower: no lower than the region's last line for who is within it or above.
    fn below(&self, lines: usize) -> usize {
        let (at, (_, end)) = (self.at().0, self.region());
        let end = if at < end { end } else { self.term.screen_lines() };
        at.saturating_add(lines).min(end.saturating_sub(1))
    }

    /// Goes to a line of the screen. In origin mode the emulator counts from the region also where it is
    /// told how far to move, which no terminal does.
    fn go(&mut self, line: usize, column: usize) {
        let origin = self.term.mode().contains(TermMode::ORIGIN);
        let from = if origin { self.region().0 } else { 0 };
        let line = i32::try_from(line.saturating_sub(from)).unwrap_or(i32::MAX);
        Handler::goto(self.term, line, column);
    }

    /// What changes the number of columns on real terminals sets the region back here.
    fn column_mode(&mut self, mode: PrivateMode) {
        if mode == PrivateMode::Named(NamedPrivateMode::ColumnMode) {
            self.bound.region = None;
        }
    }

    /// Whether the cell that a mark would go to has enough of them.
    fn is_full(&self) -> bool {
        let grid = self.term.grid();
        let cursor = &grid.cursor;
        let row = &grid[cursor.point.line];
        let mut column = cursor.point.column;
        if !cursor.input_needs_wrap {
            column.0 = column.saturating_sub(1);
        }
        if row[column].flags.contains(Flags::WIDE_CHAR_SPACER) {
            column.0 = column.saturating_sub(1);
        }
        row[column].zerowidth().is_some_and(|marks| marks.len() >= MARKS)
    }
}

macro_rules! pass {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {
        $(fn $name(&mut self $(, $arg: $type)*) {
            Handler::$name(&mut *self.term $(, $arg)*);
        })*
    };
}

impl Handler for Guard<'_> {
    fn goto_col(&mut self, column: usize) {
        self.go(self.at().0, column);
    }

    fn move_up(&mut self, lines: usize) {
        self.go(self.above(lines), self.at().1);
    }

    fn move_down(&mut self, lines: usize) {
        self.go(self.below(lines), self.at().1);
    }

    fn move_up_and_cr(&mut self, lines: usize) {
        self.go(self.above(lines), 0);
    }

    fn move_down_and_cr(&mut self, lines: usize) {
        self.go(self.below(lines), 0);
    }

    fn set_scrolling_region(&mut self, top: usize, bottom: Option<usize>) {
        let lines = self.term.screen_lines();
        let end = bottom.unwrap_or(lines);
        let region = (top.saturating_sub(1).min(lines), end.min(lines));
        // One that lies below the screen would leave the emulator without any line to scroll.
        if top > 0 && top < end && region.0 < region.1 {
            self.bound.region = Some(region);
            Handler::set_scrolling_region(self.term, top, bottom);
        }
    }

    fn set_private_mode(&mut self, mode: PrivateMode) {
        self.column_mode(mode);
        Handler::set_private_mode(self.term, mode);
    }

    fn unset_private_mode(&mut self, mode: PrivateMode) {
        self.column_mode(mode);
        Handler::unset_private_mode(self.term, mode);
    }

    fn reset_state(&mut self) {
        self.bound.region = None;
        Handler::reset_state(self.term);
    }

    fn input(&mut self, c: char) {
        if c >= '\u{300}' && c.width() == Some(0) && (is_harmful(c) || self.is_full()) {
            return;
        }
        Handler::input(self.term, c);
    }

    fn linefeed(&mut self) {
        self.bound.line();
        Handler::linefeed(self.term);
    }

    fn newline(&mut self) {
        self.bound.line();
        Handler::newline(self.term);
    }

    fn set_title(&mut self, title: Option<String>) {
        let title = title.map(|title| title.chars().take(TITLE).collect());
        Handler::set_title(self.term, title);
    }

    fn set_hyperlink(&mut self, link: Option<Hyperlink>) {
        let size = |link: &Hyperlink| link.uri.len() + link.id.as_ref().map_or(0, String::len);
        let link = link.filter(|link| {
            let size = size(link);
            let fits = size <= ADDRESS && self.bound.links + size <= LINKS;
            self.bound.links += if fits { size + 64 } else { 0 };
            fits
        });
        Handler::set_hyperlink(self.term, link);
    }

    // What stands in the operator's clipboard is nothing for a host.
    fn clipboard_load(&mut self, _: u8, _: &str) {}

    pass! {
        set_cursor_style(style: Option<CursorStyle>);
        set_cursor_shape(shape: CursorShape);
        goto(line: i32, column: usize);
        goto_line(line: i32);
        insert_blank(count: usize);
        identify_terminal(intermediate: Option<char>);
        device_status(what: usize);
        move_forward(count: usize);
        move_backward(count: usize);
        put_tab(count: u16);
        backspace();
        carriage_return();
        bell();
        substitute();
        set_horizontal_tabstop();
        scroll_up(count: usize);
        scroll_down(count: usize);
        insert_blank_lines(count: usize);
        delete_lines(count: usize);
        erase_chars(count: usize);
        delete_chars(count: usize);
        move_backward_tabs(count: u16);
        move_forward_tabs(count: u16);
        save_cursor_position();
        restore_cursor_position();
        clear_line(mode: LineClearMode);
        clear_screen(mode: ClearMode);
        clear_tabs(mode: TabulationClearMode);
        set_tabs(interval: u16);
        reverse_index();
        terminal_attribute(attribute: Attr);
        set_mode(mode: Mode);
        unset_mode(mode: Mode);
        report_mode(mode: Mode);
        report_private_mode(mode: PrivateMode);
        set_keypad_application_mode();
        unset_keypad_application_mode();
        set_active_charset(index: CharsetIndex);
        configure_charset(index: CharsetIndex, charset: StandardCharset);
        set_color(index: usize, colour: Rgb);
        dynamic_color_sequence(prefix: String, index: usize, terminator: &str);
        reset_color(index: usize);
        clipboard_store(clipboard: u8, text: &[u8]);
        decaln();
        push_title();
        pop_title();
        text_area_size_pixels();
        text_area_size_chars();
        set_mouse_cursor_icon(icon: CursorIcon);
        report_keyboard_mode();
        push_keyboard_mode(mode: KeyboardModes);
        pop_keyboard_modes(count: u16);
        set_keyboard_mode(mode: KeyboardModes, how: KeyboardModesApplyBehavior);
        set_modify_other_keys(mode: ModifyOtherKeys);
        report_modify_other_keys();
        set_scp(path: ScpCharPath, update: ScpUpdateMode);
    }
}
