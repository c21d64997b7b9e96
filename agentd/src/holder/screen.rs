//! What a session's terminal shows: an emulator that keeps up with the output, so that whoever attaches
//! is sent the screen as it is. Its memory is bounded whatever is printed.
//!
//! `guard` stands between the parser and the emulator, `redraw` writes the state as output again.

mod guard;
mod redraw;

use alacritty_terminal::Term;
use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::term::Config;
use alacritty_terminal::vte::ansi::{Processor, Timeout};
use cmdr_protocol::sessions::Size;
use guard::{Extras, Guard, Strings};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Lines of scrollback.
pub(super) const LINES: usize = 2000;
/// Cells of scrollback, so that a wide terminal keeps fewer lines.
const CELLS: usize = 500_000;
/// The longest answer to the terminal's questions that waits to be taken.
const ANSWERS: usize = 4096;

/// The emulator's size. It cannot do with a single column.
#[derive(Clone, Copy, Debug)]
struct Room(Size);

impl Dimensions for Room {
    fn total_lines(&self) -> usize {
        self.screen_lines()
    }
    fn screen_lines(&self) -> usize {
        usize::from(self.0.rows.max(1))
    }
    fn columns(&self) -> usize {
        usize::from(self.0.columns.max(2))
    }
}

/// Output that is to be shown at once is shown at once here too: what is half drawn when somebody
/// attaches is completed by what comes.
#[derive(Debug, Default)]
struct Never;

impl Timeout for Never {
    fn set_timeout(&mut self, _: Duration) {}
    fn clear_timeout(&mut self) {}
    fn pending_timeout(&self) -> bool {
        false
    }
}

/// What the emulator would answer to the program.
#[derive(Clone, Debug, Default)]
struct Answers(Arc<Mutex<Vec<u8>>>);

impl EventListener for Answers {
    fn send_event(&self, event: Event) {
        if let Event::PtyWrite(text) = event {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() + text.len() <= ANSWERS {
                waiting.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// A terminal without a window.
pub(super) struct Screen {
    term: Term<Answers>,
    parser: Processor<Never>,
    strings: Strings,
    extras: Extras,
    answers: Answers,
    size: Size,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("size", &self.size).finish_non_exhaustive()
    }
}

fn config(size: Size) -> Config {
    let lines = CELLS / Room(size).columns();
    Config { scrolling_history: LINES.min(lines), ..Config::default() }
}

impl Screen {
    pub(super) fn new(size: Size) -> Self {
        let answers = Answers::default();
        Self {
            term: Term::new(config(size), &Room(size), answers.clone()),
            parser: Processor::new(),
            strings: Strings::default(),
            extras: Extras::new(Room(size).columns()),
            answers,
            size,
        }
    }

    /// Takes in what the terminal is sent.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let Self { term, parser, strings, extras, answers, .. } = self;
        let fed = catch_unwind(AssertUnwindSafe(|| {
            let mut guard = Guard { term, extras, answers };
            strings.pass(bytes, |piece| parser.advance(&mut guard, piece));
        }));
        if fed.is_err() {
            // A fault of the emulator's costs the picture, not the session.
            *self = Self::new(self.size);
        }
    }

    pub(super) fn resize(&mut self, size: Size) {
        self.size = size;
        let resized = catch_unwind(AssertUnwindSafe(|| {
            self.term.resize(Room(size));
            self.term.set_options(config(size));
            self.extras.resized(Room(size).columns());
        }));
        if resized.is_err() {
            *self = Self::new(size);
        }
    }

    /// What its program has set as the window's title.
    pub(super) fn title(&self) -> &str {
        self.extras.title()
    }

    /// What a terminal answers to what it was asked since the last time.
    pub(super) fn answers(&self) -> Vec<u8> {
        std::mem::take(&mut *self.answers.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes that make a terminal of the same size, just reset, show the same; with at most so many
    /// lines of scrollback.
    pub(super) fn redraw(&mut self, lines: usize) -> Vec<u8> {
        let drawn = catch_unwind(AssertUnwindSafe(|| redraw::whole(self, lines)));
        drawn.unwrap_or_else(|_| {
            *self = Self::new(self.size);
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests;
