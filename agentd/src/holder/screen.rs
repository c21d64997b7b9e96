//! What a session's terminal shows: an emulator that keeps up with the output, so that whoever attaches
//! is sent the screen as it is. Its memory is bounded whatever is printed.
//!
//! `guard` stands between the parser and the emulator, `redraw` writes the state as output again, `skip` finds
//! what of a flood nobody will ever see.

mod guard;
mod redraw;
mod skip;

use alacritty_terminal::Term;
use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::term::{Config, TermMode};
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
/// Output that may wait to be looked at: enough lines of a usual length to know that others have left.
const WAITING: usize = 1 << 20;
/// Bytes within which a character is expected, when it is asked whether a sequence is under way.
const PROOF: usize = 64;
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
    /// What was not looked at yet.
    waiting: Vec<u8>,
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
            waiting: Vec::new(),
        }
    }

    /// Takes in what the terminal is sent, to be looked at by [`Screen::catch_up`] or when it is too much.
    pub(super) fn later(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() > WAITING {
            self.pass_over();
            if self.waiting.len() > WAITING / 2 {
                self.catch_up();
            }
        }
    }

    /// Looks at all that was taken in.
    pub(super) fn catch_up(&mut self) {
        self.pass_over();
        let waiting = std::mem::take(&mut self.waiting);
        self.feed(&waiting);
    }

    /// Forgets what need not be looked at.
    fn pass_over(&mut self) {
        let rows = Room(self.size).screen_lines();
        let lines = config(self.size).scrolling_history + 2 * rows;
        // Shorter lines than these are not many.
        if self.waiting.len() < 16 * lines {
            return;
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        let seen = self.prove(&waiting);
        let plain =
            !self.term.mode().contains(TermMode::ALT_SCREEN) && self.extras.region.is_none();
        let skip =
            seen.filter(|_| plain).and_then(|at| Some((at, skip::over(&waiting[at..], lines)?)));
        if let Some((at, skip)) = skip {
            self.feed(&skip.pens);
            self.feed(b"\r");
            waiting.drain(..at + skip.len);
        } else {
            waiting.drain(..seen.unwrap_or(PROOF));
        }
        self.waiting = waiting;
    }

    /// Looks at some bytes, until one of them shows that no sequence is under way; how many they were.
    fn prove(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate().take(PROOF) {
            let written = self.extras.written;
            self.feed(&[*byte]);
            if self.extras.written > written && self.strings.is_ground() {
                return Some(at + 1);
            }
        }
        None
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
            let waiting = std::mem::take(&mut self.waiting);
            *self = Self { waiting, ..Self::new(self.size) };
        }
    }

    pub(super) fn resize(&mut self, size: Size) {
        self.catch_up();
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

    /// What its program has set as the window's title, as far as it was looked at.
    pub(super) fn title(&self) -> &str {
        self.extras.title()
    }

    /// What a terminal answers to what it was asked since the last time, as far as it was looked at.
    pub(super) fn answers(&self) -> Vec<u8> {
        std::mem::take(&mut *self.answers.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes that make a terminal of the same size, just reset, show the same; with at most so many
    /// lines of scrollback.
    pub(super) fn redraw(&mut self, lines: usize) -> Vec<u8> {
        self.catch_up();
        let drawn = catch_unwind(AssertUnwindSafe(|| redraw::whole(self, lines)));
        drawn.unwrap_or_else(|_| {
            *self = Self::new(self.size);
            Vec::new()
        })
    }
}

#[cfg(test)]
mod tests;
