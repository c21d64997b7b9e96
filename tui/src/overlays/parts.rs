//! One transfer that goes in parts, such as an image in layers: each with how far it is. It goes on when this is closed,
//! and is found again among the transfers.

use super::transfers::state;
use super::{Overlay, leaves, step};
use crate::action::Action;
use crate::panes::Context;
use crate::store::files::{self, Part, State};
use crate::theme::Role;
use crate::widgets::{format, frame as boxes, table};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// How wide the box is, where there is room.
const WIDTH: u16 = 100;
/// Cells of a bar at most.
const BAR: u16 = 30;

/// The parts of a transfer.
pub struct Parts {
    id: u64,
    top: usize,
}

impl Parts {
    /// Of the transfer with this number.
    pub const fn of(id: u64) -> Self {
        Self { id, top: 0 }
    }
}

impl Overlay for Parts {
    fn key(&mut self, _context: &Context<'_>, key: &KeyEvent) -> Action {
        if leaves(key) || matches!(key.code, KeyCode::Char('q') | KeyCode::Enter) {
            return Action::Close;
        }
        let by = match key.code {
            KeyCode::Char('j') => Some(1),
            KeyCode::Char('k') => Some(-1),
            _ => step(key),
        };
        if let Some(by) = by {
            self.top = self.top.saturating_add_signed(by);
        } else if key.code == KeyCode::Char('x') {
            return Action::Apply(files::stop(self.id));
        }
        Action::None
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { store, theme, texts, glyphs, .. } = *context;
        let transfer = store.files.transfers.iter().find(|transfer| transfer.id == self.id);
        let title = transfer.map_or("", |transfer| transfer.what.as_str());
        let width = WIDTH.min(screen.width.saturating_sub(2));
        let room = usize::from(width.saturating_sub(6));
        let title = format!(" {} ", format::ending(title, room));
        let parts = transfer.map_or(&[][..], |transfer| &transfer.parts);
        // Why it failed may take a sentence or two: it stands whole.
        let why = match transfer.map(|transfer| &transfer.state) {
            Some(State::Failed(why)) => super::rows(why, room),
            _ => Vec::new(),
        };
        let head = why.len().max(1) as u16;
        let hint = super::rows(texts.get("parts.hint"), room);
        let below = hint.len() as u16;
        let height = (parts.len().clamp(1, 40) as u16) + head + below + 4;
        let title = Line::styled(title, theme.style(Role::Title));
        let size = (width, height);
        let inner = boxes::popup(frame.buffer_mut(), screen, size, title, false, theme, glyphs);
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        let buffer = frame.buffer_mut();
        if why.is_empty() {
            let line = transfer.map_or_else(Line::default, |transfer| state(context, transfer));
            table::put(buffer, x, inner.y, width, &line, false);
        }
        for (y, row) in (inner.y..inner.bottom()).zip(&why) {
            let line = Line::styled(row.as_str(), theme.style(Role::Bad));
            table::put(buffer, x, y, width, &line, false);
        }
        let from = inner.y + head + 1;
        let to = inner.bottom().saturating_sub(below + 1);
        let rows = usize::from(to.saturating_sub(from)).max(1);
        self.top = self.top.min(parts.len().saturating_sub(rows));
        let begins = transfer
            .is_none_or(|transfer| transfer.state == State::Running && transfer.progress.size == 0);
        if parts.is_empty() && begins {
            let line = Line::styled(texts.get("parts.none"), theme.style(Role::Soft));
            table::put(buffer, x, from, width, &line, false);
        }
        let names = parts.iter().map(|part| part.name.width()).max().unwrap_or(0).min(20);
        for (y, part) in (from..to).zip(parts.iter().skip(self.top)) {
            table::put(buffer, x, y, width, &row(context, part, names, width), false);
        }
        for (y, row) in (inner.bottom().saturating_sub(below)..).zip(&hint) {
            let line = Line::styled(row.as_str(), theme.style(Role::Soft));
            table::put(buffer, x, y, width, &line, false);
        }
    }
}

/// One part: its name, its bar, what is done to it, and how much of it is done.
fn row(context: &Context<'_>, part: &Part, names: usize, width: u16) -> Line<'static> {
    let theme = context.theme;
    let name = format::ending(&part.name, names);
    let pad = " ".repeat(names.saturating_sub(name.width()) + 2);
    let bar = usize::from(BAR.min(width / 4));
    let filled = match (part.is_over, part.size) {
        (true, _) => bar,
        (false, 0) => 0,
        (false, size) => {
            let share = part.have.min(size).saturating_mul(bar as u64) / size;
            usize::try_from(share).unwrap_or(bar).min(bar)
        }
    };
    let role = if part.is_over { Role::Ok } else { Role::Accent };
    let mut spans = vec![
        Span::styled(format!("{name}{pad}"), theme.style(Role::Strong)),
        Span::styled("█".repeat(filled), theme.style(role)),
        Span::styled("░".repeat(bar - filled), theme.style(Role::Faint)),
        Span::styled(format!("  {}", part.status), theme.style(Role::Text)),
    ];
    if part.size > 0 && !part.is_over {
        let far = format!("  {} / {}", format::size(part.have), format::size(part.size));
        spans.push(Span::styled(far, theme.style(Role::Soft)));
    }
    Line::from(spans)
}
