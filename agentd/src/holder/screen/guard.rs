//! What stands between the parser and the emulator: bounds where the emulator has none, and a record of
//! the state that it does not show.

use super::Answers;
use alacritty_terminal::Term;
use alacritty_terminal::event::{Event, EventListener as _};
use alacritty_terminal::grid::Dimensions as _;
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::vte::ansi::{
    Attr, CharsetIndex, ClearMode, CursorShape, CursorStyle, Handler, KeyboardModes,
    KeyboardModesApplyBehavior, LineClearMode, Mode, NamedPrivateMode, PrivateMode, Rgb,
    StandardCharset, TabulationClearMode,
};
use unicode_width::UnicodeWidthChar as _;

/// The longest text of an operating system command; a longer one is left out.
const STRING: usize = 16 * 1024;
/// The longest title, in bytes.
const TITLE: usize = 1024;
/// Marks over one character.
const MARKS: usize = 8;
/// Titles and keyboard modes that a program may lay aside.
const STACK: usize = 16;

/// Where in the output operating system commands begin and end: the parser would keep their texts
/// whatever their length.
#[derive(Debug, Default)]
pub(super) struct Strings {
    state: State,
    len: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    Command,
    /// In one that is too long: its rest is left out.
    TooLong,
}

impl Strings {
    /// Whether nothing is under way.
    pub(super) fn is_ground(&self) -> bool {
        self.state == State::Ground
    }

    /// Hands on all but the texts that are too long.
    pub(super) fn pass(&mut self, bytes: &[u8], mut to: impl FnMut(&[u8])) {
        let (mut begin, mut at) = (0, 0);
        while at < bytes.len() {
            let byte = bytes[at];
            let ends = matches!(byte, 0x07 | 0x18 | 0x1a);
            match self.state {
                State::Ground => {
                    let Some(next) = bytes[at..].iter().position(|b| *b == 0x1b) else { break };
                    at += next;
                    self.state = State::Escape;
                }
                State::Escape => {
                    self.len = 0;
                    self.state = match byte {
                        b']' => State::Command,
                        0x1b => State::Escape,
                        _ => State::Ground,
                    };
                }
                State::Command if ends => self.state = State::Ground,
                State::Command if byte == 0x1b => self.state = State::Escape,
                State::Command => {
                    self.len += 1;
                    if self.len > STRING {
                        to(&bytes[begin..at]);
                        // The parser forgets what it has of it.
                        to(&[0x18]);
                        begin = at + 1;
                        self.state = State::TooLong;
                    }
                }
                State::TooLong if byte == 0x1b => (begin, self.state) = (at, State::Escape),
                State::TooLong => {
                    begin = at + 1;
                    if ends {
                        self.state = State::Ground;
                    }
                }
            }
            at += 1;
        }
        if begin < bytes.len() {
            to(&bytes[begin..]);
        }
    }
}

/// State that the emulator has and does not show.
#[derive(Debug)]
pub(super) struct Extras {
    title: Option<String>,
    titles: Vec<Option<String>>,
    pub(super) tabs: Vec<bool>,
    /// The first line of the scroll region and the one behind its last; none for all.
    pub(super) region: Option<(usize, usize)>,
    pub(super) charset: CharsetIndex,
    /// The keyboard modes of the main screen and of the other, the newest last.
    pub(super) keyboard: [Vec<KeyboardModes>; 2],
    pub(super) cursor: Option<CursorStyle>,
    /// Characters that were written: the parser is outside of every sequence behind one.
    pub(super) written: u64,
}

impl Extras {
    pub(super) fn new(columns: usize) -> Self {
        Self {
            title: None,
            titles: Vec::new(),
            tabs: usual_tabs(0, columns).collect(),
            region: None,
            charset: CharsetIndex::default(),
            keyboard: [Vec::new(), Vec::new()],
            cursor: None,
            written: 0,
        }
    }

    pub(super) fn title(&self) -> &str {
        self.title.as_deref().unwrap_or("")
    }

    /// As the emulator does it.
    pub(super) fn resized(&mut self, columns: usize) {
        let had = self.tabs.len();
        self.tabs.truncate(columns);
        self.tabs.extend(usual_tabs(had, columns));
        self.region = None;
    }
}

pub(super) fn usual_tabs(from: usize, to: usize) -> impl Iterator<Item = bool> {
    (from..to).map(|column| column % 8 == 0)
}

/// The emulator, guarded.
pub(super) struct Guard<'a> {
    pub(super) term: &'a mut Term<Answers>,
    pub(super) extras: &'a mut Extras,
    pub(super) answers: &'a Answers,
}

impl Guard<'_> {
    fn keyboard(&mut self) -> &mut Vec<KeyboardModes> {
        let other = self.term.mode().contains(TermMode::ALT_SCREEN);
        &mut self.extras.keyboard[usize::from(other)]
    }

    /// The first line of the scroll region and the one behind its last.
    fn region(&self) -> (usize, usize) {
        self.extras.region.unwrap_or((0, self.term.screen_lines()))
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

    /// Whether the character that the next mark would be put over bears as many as it may.
    fn marked_enough(&self) -> bool {
        let grid = self.term.grid();
        let cursor = &grid.cursor;
        let mut point = cursor.point;
        if !cursor.input_needs_wrap {
            point.column.0 = point.column.saturating_sub(1);
        }
        if grid[point].flags.contains(Flags::WIDE_CHAR_SPACER) {
            point.column.0 = point.column.saturating_sub(1);
        }
        grid[point].zerowidth().is_some_and(|marks| marks.len() >= MARKS)
    }
}

/// Passes calls on as they are.
macro_rules! pass {
    ($($name:ident($($arg:ident: $kind:ty),*);)*) => {
        $(fn $name(&mut self, $($arg: $kind),*) {
            self.term.$name($($arg),*);
        })*
    };
}

impl Handler for Guard<'_> {
    pass! {
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
        linefeed();
        newline();
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
        reverse_index();
        terminal_attribute(attribute: Attr);
        set_mode(mode: Mode);
        unset_mode(mode: Mode);
        report_mode(mode: Mode);
        report_private_mode(mode: PrivateMode);
        set_keypad_application_mode();
        unset_keypad_application_mode();
        configure_charset(index: CharsetIndex, charset: StandardCharset);
        set_color(index: usize, color: Rgb);
        reset_color(index: usize);
        decaln();
        text_area_size_chars();
    }

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

    fn input(&mut self, c: char) {
        self.extras.written += 1;
        if c.is_ascii() || c.width() != Some(0) || !self.marked_enough() {
            self.term.input(c);
        }
    }

    fn set_title(&mut self, title: Option<String>) {
        self.extras.title = title.map(|mut title| {
            title.truncate(title.floor_char_boundary(TITLE));
            title
        });
    }

    fn push_title(&mut self) {
        let stack = &mut self.extras.titles;
        if stack.len() == STACK {
            stack.remove(0);
        }
        stack.push(self.extras.title.clone());
    }

    fn pop_title(&mut self) {
        if let Some(title) = self.extras.titles.pop() {
            self.extras.title = title;
        }
    }

    fn set_horizontal_tabstop(&mut self) {
        let column = self.term.grid().cursor.point.column.0;
        if let Some(tab) = self.extras.tabs.get_mut(column) {
            *tab = true;
        }
        self.term.set_horizontal_tabstop();
    }

    fn clear_tabs(&mut self, mode: TabulationClearMode) {
        match mode {
            TabulationClearMode::All => self.extras.tabs.fill(false),
            TabulationClearMode::Current => {
                let column = self.term.grid().cursor.point.column.0;
                if let Some(tab) = self.extras.tabs.get_mut(column) {
                    *tab = false;
                }
            }
        }
        self.term.clear_tabs(mode);
    }

    fn set_scrolling_region(&mut self, top: usize, bottom: Option<usize>) {
        let lines = self.term.screen_lines();
        let end = bottom.unwrap_or(lines);
        if top == 0 || top >= end {
            return;
        }
        let region = ((top - 1).min(lines), end.min(lines));
        // One that lies below the screen would leave the emulator without any line to scroll.
        if region.0 >= region.1 {
            return;
        }
        self.extras.region = (region != (0, lines)).then_some(region);
        self.term.set_scrolling_region(top, bottom);
    }

    fn set_active_charset(&mut self, index: CharsetIndex) {
        self.extras.charset = index;
        self.term.set_active_charset(index);
    }

    fn set_private_mode(&mut self, mode: PrivateMode) {
        self.column_mode(mode);
        self.term.set_private_mode(mode);
    }

    fn unset_private_mode(&mut self, mode: PrivateMode) {
        self.column_mode(mode);
        self.term.unset_private_mode(mode);
    }

    fn set_cursor_style(&mut self, style: Option<CursorStyle>) {
        self.extras.cursor = style;
    }

    fn set_cursor_shape(&mut self, shape: CursorShape) {
        self.extras.cursor.get_or_insert_default().shape = shape;
    }

    fn reset_state(&mut self) {
        let columns = self.term.columns();
        *self.extras = Extras { written: self.extras.written, ..Extras::new(columns) };
        self.term.reset_state();
    }

    fn report_keyboard_mode(&mut self) {
        let mode = self.keyboard().last().map_or(0, KeyboardModes::bits);
        self.answers.send_event(Event::PtyWrite(format!("\x1b[?{mode}u")));
    }

    fn push_keyboard_mode(&mut self, mode: KeyboardModes) {
        let stack = self.keyboard();
        if stack.len() == STACK {
            stack.remove(0);
        }
        stack.push(mode);
    }

    fn pop_keyboard_modes(&mut self, count: u16) {
        let stack = self.keyboard();
        stack.truncate(stack.len().saturating_sub(usize::from(count)));
    }

    fn set_keyboard_mode(&mut self, mode: KeyboardModes, how: KeyboardModesApplyBehavior) {
        let stack = self.keyboard();
        if stack.is_empty() {
            stack.push(KeyboardModes::NO_MODE);
        }
        if let Some(now) = stack.last_mut() {
            *now = match how {
                KeyboardModesApplyBehavior::Replace => mode,
                KeyboardModesApplyBehavior::Union => now.union(mode),
                KeyboardModesApplyBehavior::Difference => now.difference(mode),
            };
        }
    }
}

impl Guard<'_> {
    /// What changes the number of columns on real terminals sets the region back here.
    fn column_mode(&mut self, mode: PrivateMode) {
        if mode == PrivateMode::Named(NamedPrivateMode::ColumnMode) {
            self.extras.region = None;
        }
    }
}
