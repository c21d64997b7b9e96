//! A terminal inside the client: takes the bytes of a session, keeps its screen and scrollback, and draws
//! them as cells. What a host sends reaches the real terminal in no other way. The store feeds it, panes
//! draw it and turn keys, the mouse and pastes into the bytes that its program wants.

mod bound;
mod draw;
pub mod keys;
mod look;
pub mod mouse;
pub mod paste;

use alacritty_terminal::Term;
use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::{Dimensions, Scroll};
pub use alacritty_terminal::term::TermMode as Modes;
use alacritty_terminal::term::{Config, Osc52};
use alacritty_terminal::vte::ansi::{CursorShape, Processor, Rgb};
use bound::Bound;
use cmdr_protocol::display::clean;
pub use draw::Caret;
pub use look::{Find, Jump, Kind, Link, Place};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Lines kept above the screen.
const HISTORY: usize = 10_000;
/// Cells kept above the screen, however wide it is.
const CELLS: usize = 2_000_000;
/// Events that one piece of output may cause; more of them is a flood that nobody is answered for.
const EVENTS: usize = 256;
/// The longest title, in characters.
const TITLE: usize = 200;

/// What the emulator tells.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Event>>>);

impl Told {
    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl EventListener for Told {
    fn send_event(&self, event: Event) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() < EVENTS {
            events.push(event);
        }
    }
}

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cells {
    columns: usize,
    rows: usize,
}

impl Cells {
    /// Within what the emulator can hold.
    fn of((columns, rows): (u16, u16)) -> Self {
        Self { columns: columns.clamp(2, 1000).into(), rows: rows.clamp(1, 1000).into() }
    }

    fn config(self) -> Config {
        Config {
            scrolling_history: HISTORY.min(CELLS / self.columns),
            osc52: Osc52::OnlyCopy,
            ..Config::default()
        }
    }
}

impl Dimensions for Cells {
    fn total_lines(&self) -> usize {
        self.rows
    }
    fn screen_lines(&self) -> usize {
        self.rows
    }
    fn columns(&self) -> usize {
        self.columns
    }
}

/// A screen.
pub struct Screen {
    term: Term<Told>,
    parser: Processor,
    told: Told,
    bound: Bound,
    size: Cells,
    title: String,
    /// Letters and ground of the theme, for programs that ask.
    ground: Option<[Rgb; 2]>,
    bells: u64,
    answers: Vec<u8>,
    clipboard: Option<String>,
}

impl Screen {
    /// Empty, with so many columns and rows.
    pub fn new(size: (u16, u16)) -> Self {
        let (told, size) = (Told::default(), Cells::of(size));
        Self {
            term: Term::new(size.config(), &size, told.clone()),
            parser: Processor::new(),
            told,
            bound: Bound::default(),
            size,
            title: String::new(),
            ground: None,
            bells: 0,
            answers: Vec::new(),
            clipboard: None,
        }
    }

    /// Takes bytes of the session in.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bound.advance(&mut self.parser, &mut self.term, bytes);
        self.listen();
    }

    /// Ends an update that its program left open for too long. False when none was.
    pub fn release(&mut self) -> bool {
        let late = self.held_until().is_some_and(|until| until <= Instant::now());
        if late {
            self.bound.stop(&mut self.parser, &mut self.term);
            self.listen();
        }
        late
    }

    /// Until when what comes is kept back, because its program draws something whole.
    pub fn held_until(&self) -> Option<Instant> {
        self.parser.sync_timeout().sync_timeout()
    }

    fn listen(&mut self) {
        for event in self.told.take() {
            match event {
                Event::Title(title) => {
                    self.title = clean(&title).chars().take(TITLE).collect();
                }
                Event::ResetTitle => self.title.clear(),
                Event::Bell => self.bells += 1,
                Event::PtyWrite(text) => self.answers.extend_from_slice(text.as_bytes()),
                Event::ColorRequest(index, answer) => {
                    if let Some(colour) = draw::asked(&self.term, index, self.ground) {
                        self.answers.extend_from_slice(answer(colour).as_bytes());
                    }
                }
                Event::ClipboardStore(_, text) => self.clipboard = Some(text),
                // Reading the clipboard is never answered; sizes in pixels are not known.
                _ => {}
            }
        }
    }

    /// What the emulator answers to what the program asked, once.
    pub fn answers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answers)
    }

    /// What the program wants in the clipboard, once.
    pub fn clipboard(&mut self) -> Option<String> {
        self.clipboard.take()
    }

    /// Another size: lines are broken anew.
    pub fn resize(&mut self, size: (u16, u16)) {
        let size = Cells::of(size);
        if size == self.size {
            return;
        }
        self.bound.resized();
        if size.columns != self.size.columns {
            self.term.set_options(size.config());
        }
        self.size = size;
        self.term.resize(size);
        // It tells its title again, which is known.
        self.told.take();
    }

    /// Columns and rows.
    pub fn size(&self) -> (u16, u16) {
        (self.size.columns as u16, self.size.rows as u16)
    }

    /// Letters and ground of the theme, where it has colours of its own.
    pub fn set_ground(&mut self, ground: Option<[(u8, u8, u8); 2]>) {
        self.ground = ground.map(|pair| pair.map(|(r, g, b)| Rgb { r, g, b }));
    }

    /// As it was set.
    pub fn ground(&self) -> Option<[(u8, u8, u8); 2]> {
        self.ground.map(|pair| pair.map(|Rgb { r, g, b }| (r, g, b)))
    }

    /// What its program called it; empty for nothing. Harmless.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// How often it rang.
    pub const fn bells(&self) -> u64 {
        self.bells
    }

    /// What its program asked for: keys, the mouse, pastes.
    pub fn modes(&self) -> Modes {
        *self.term.mode()
    }

    /// How the cursor looks, when it is shown.
    pub fn caret(&self) -> Option<Caret> {
        let style = self.term.cursor_style();
        let seen = self.term.mode().intersects(Modes::SHOW_CURSOR | Modes::VI);
        let caret = match style.shape {
            CursorShape::Hidden => return None,
            CursorShape::Underline => Caret::Underline,
            CursorShape::Beam => Caret::Beam,
            CursorShape::Block | CursorShape::HollowBlock => Caret::Block,
        };
        seen.then_some(caret)
    }

    /// Lines up from the newest that are shown at the bottom.
    pub fn back(&self) -> usize {
        self.term.grid().display_offset()
    }

    /// Lines above the screen.
    pub fn history(&self) -> usize {
        self.term.history_size()
    }

    /// Shows older lines, or with a negative number newer ones.
    pub fn scroll(&mut self, by: i32) {
        self.term.scroll_display(Scroll::Delta(by));
        self.told.take();
    }

    /// Shows the newest lines, with nothing selected.
    pub fn to_bottom(&mut self) {
        self.term.selection = None;
        self.term.scroll_display(Scroll::Bottom);
        self.told.take();
    }
}

#[cfg(test)]
mod tests;
