//! A recorded terminal that is larger than its place: which part of it is seen. It goes with the cursor
//! until it is moved by hand.

use super::PlayerPane;
use crate::action::Action;
use crate::panes::Context;
use crate::store::recordings::tape::Tape;
use crate::theme::Role;
use crate::widgets::chart::Glyphs;
use ratatui::Frame;
use ratatui::layout::Rect;

/// Columns that one key goes.
const STEP: isize = 8;

/// The part that is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// Columns and rows of the terminal.
    pub(super) size: (u16, u16),
    /// Columns and rows of its place.
    pub(super) room: (u16, u16),
    /// The row and the column at its corner.
    pub(super) corner: (u16, u16),
}

impl Part {
    /// Rows and columns that do not fit.
    pub(super) const fn over(self) -> (u16, u16) {
        (self.size.1.saturating_sub(self.room.1), self.size.0.saturating_sub(self.room.0))
    }

    pub(super) const fn is_cut(self) -> bool {
        let (rows, columns) = self.over();
        rows > 0 || columns > 0
    }

    /// Goes so many rows down and columns to the right, as far as there are any.
    fn moved(self, down: isize, right: isize) -> (u16, u16) {
        let to = |at: u16, by: isize, most: u16| {
            let to = usize::from(at).saturating_add_signed(by).min(most.into());
            u16::try_from(to).unwrap_or(most)
        };
        let (rows, columns) = self.over();
        (to(self.corner.0, down, rows), to(self.corner.1, right, columns))
    }
}

impl PlayerPane {
    /// The part that is seen, when the terminal is on show and not the lines it has written.
    pub(super) fn part(&self, tape: &Tape) -> Option<Part> {
        tape.reel().filter(|_| self.back == 0)?;
        Some(self.part)
    }

    /// Several keys may come before the next picture.
    const fn pan(&mut self, to: (u16, u16)) {
        self.part.corner = to;
        self.panned = Some(to);
    }

    /// Goes to the left or to the right.
    pub(super) fn aside(&mut self, context: &Context<'_>, steps: isize) -> Action {
        let tape = self.tape(context);
        if let Some(part) = tape.and_then(|tape| self.part(tape)).filter(|part| part.is_cut()) {
            self.pan(part.moved(0, steps * STEP));
        }
        Action::None
    }

    /// Goes so many lines up: in the terminal while there is more of it, else to what was written before.
    pub(super) fn up(&mut self, context: &Context<'_>, by: isize) -> Action {
        let tape = self.tape(context);
        if let Some(part) = tape.and_then(|tape| self.part(tape)) {
            let to = part.moved(-by, 0);
            if to != part.corner {
                self.pan(to);
                return Action::None;
            }
        }
        self.scroll(context, by)
    }

    /// Where a terminal that is smaller than its place ends is to be seen.
    pub(super) fn edges(&self, context: &Context<'_>, frame: &mut Frame<'_>, lines: Rect) {
        let faint = context.theme.style(Role::Faint);
        let ascii = context.glyphs == Glyphs::Ascii;
        let [side, corner, foot] = if ascii { ["|", "+", "-"] } else { ["│", "╯", "─"] };
        let (columns, rows) = self.part.size;
        let (right, below) = (columns < lines.width, rows < lines.height);
        let buffer = frame.buffer_mut();
        if right {
            for y in lines.top()..lines.y.saturating_add(rows).min(lines.bottom()) {
                buffer.set_string(lines.x + columns, y, side, faint);
            }
        }
        if right && below {
            buffer.set_string(lines.x + columns, lines.y + rows, corner, faint);
        }
        if below {
            let line = foot.repeat(columns.min(lines.width).into());
            buffer.set_string(lines.x, lines.y + rows, line, faint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stays_within_the_terminal() {
        let part = Part { size: (160, 45), room: (80, 20), corner: (25, 0) };
        assert_eq!(part.over(), (25, 80));
        assert_eq!(part.moved(-10, 8), (15, 8));
        assert_eq!(part.moved(-100, 100), (0, 80));
        assert_eq!(part.moved(5, -8), (25, 0));
        let whole = Part { size: (80, 20), room: (80, 20), corner: (0, 0) };
        assert!(!whole.is_cut() && part.is_cut());
        assert_eq!(whole.moved(3, 3), (0, 0));
    }
}
