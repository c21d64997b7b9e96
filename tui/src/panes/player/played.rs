//! A recorded session as a terminal shows it at a time. Forwards it goes on from where it is; backwards it
//! begins anew, which is quick enough for what is kept.

use super::pan::Part;
use crate::store::recordings::reel::{Piece, Reel};
use crate::theme::Theme;
use crate::widgets::terminal::Screen;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// The terminal.
pub(super) struct Played {
    screen: Screen,
    /// Of which bytes, and up to which piece.
    number: u64,
    at: usize,
}

impl Played {
    fn new(reel: &Reel) -> Self {
        Self { screen: Screen::new(reel.size), number: reel.number, at: reel.first() }
    }

    /// Shows it as it was at a time.
    pub(super) fn show(played: &mut Option<Self>, reel: &Reel, at_us: u64) {
        let to = reel.until(at_us);
        let goes_on = |played: &Self| {
            played.number == reel.number && played.at <= to && played.at >= reel.first()
        };
        let mut now = played.take().filter(goes_on).unwrap_or_else(|| Self::new(reel));
        for piece in reel.pieces(now.at, to) {
            match piece {
                Piece::Output(bytes) => now.screen.feed(bytes),
                Piece::Size(columns, rows) => now.screen.resize((*columns, *rows)),
            }
            // Nobody is there to be answered.
            now.screen.answers();
        }
        now.at = to;
        *played = Some(now);
    }

    /// Draws it from this row and column on, else around its cursor; what is seen of it.
    pub(super) fn draw(
        &self,
        buffer: &mut Buffer,
        area: Rect,
        theme: &Theme,
        panned: Option<(u16, u16)>,
    ) -> Part {
        let room = (area.width, area.height);
        let mut part = Part { size: self.screen.size(), room, corner: (0, 0) };
        let (rows, columns) = part.over();
        part.corner = match panned {
            Some((top, left)) => (top.min(rows), left.min(columns)),
            // A program that hides its cursor leaves it anywhere.
            None if self.screen.caret().is_none() => (0, 0),
            None => {
                let (top, left) = self.screen.corner(area);
                (top as u16, left as u16)
            }
        };
        let corner = (part.corner.0.into(), part.corner.1.into());
        self.screen.draw_from(buffer, area, theme, &[], corner);
        part
    }
}
