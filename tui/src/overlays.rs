//! What lies on top of a pane: the stack's member type and its kinds. The top one sees keys first.

pub mod ask;
mod chooser;
pub mod chord;
pub mod columns;
pub mod confirm;
pub mod fill;
pub mod finder;
pub mod form;
pub mod help;
pub mod menu;
pub mod pager;
pub mod palette;
pub mod parts;
pub mod prompt;
pub mod search;
pub mod themes;
pub mod transfers;
pub mod views;

use crate::action::{Action, Refused};
use crate::panes::{Context, Subscription};
use crate::theme::Role;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseEvent};
use ratatui::Frame;
use ratatui::layout::Rect;

pub(crate) use pager::wrap;

/// A text as rows of so many cells.
pub(crate) fn rows(text: &str, width: usize) -> Vec<String> {
    let rows = wrap(&[(Role::Text, text.to_owned())], width.max(8));
    let row = |(n, row): (usize, Vec<pager::Piece>)| {
        let mut row: String = row.into_iter().map(|(_, text)| text).collect();
        // The blank at which a text was broken begins no row.
        if n > 0 && row.starts_with(' ') {
            row.remove(0);
        }
        row
    };
    rows.into_iter().enumerate().map(row).collect()
}

/// An overlay.
pub trait Overlay: Send {
    /// Its type, for whoever asks what is on the screen.
    fn kind(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
    /// A key. Overlays use all keys up.
    fn key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action;
    /// Pasted text.
    fn paste(&mut self, _text: &str) {}
    /// The mouse.
    fn mouse(&mut self, _context: &Context<'_>, _mouse: &MouseEvent) -> Action {
        Action::None
    }
    /// Takes something more that was refused, when it is asking for the like.
    fn refused(&mut self, refused: Box<Refused>) -> Option<Box<Refused>> {
        Some(refused)
    }
    /// What it needs while it is open: asked after everything that happens while the link is up.
    fn feeds(&self) -> Vec<Subscription> {
        Vec::new()
    }
    /// Draws over the whole screen.
    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect);
}

/// Whether a key means up or down in a list that is also typed in: arrows, Ctrl-N/P, Ctrl-J/K.
pub(crate) fn step(key: &KeyEvent) -> Option<isize> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Up => Some(-1),
        KeyCode::Down => Some(1),
        KeyCode::PageUp => Some(-10),
        KeyCode::PageDown => Some(10),
        KeyCode::Char('p' | 'k') if control => Some(-1),
        KeyCode::Char('n' | 'j') if control => Some(1),
        _ => None,
    }
}

/// Whether a key leaves any overlay.
pub(crate) fn leaves(key: &KeyEvent) -> bool {
    key.code == KeyCode::Esc
        || (key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL))
}
