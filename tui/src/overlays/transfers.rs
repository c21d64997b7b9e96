//! Files and folders on their way, each with how far it is; one can be given up, and what was left out listed.

use super::pager::Pager;
use super::parts::Parts;
use super::{Overlay, leaves, step};
use crate::action::Action;
use crate::panes::Context;
use crate::store::files::{self, State, Transfer};
use crate::theme::Role;
use crate::widgets::{format, frame as boxes, table};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Cells of a bar.
const BAR: u64 = 16;
/// How wide the box is, where there is room.
const WIDTH: u16 = 100;

/// The list, the newest first.
#[derive(Default)]
pub struct Transfers {
    at: usize,
}

impl Overlay for Transfers {
    fn key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        let transfers = &context.store.files.transfers;
        if leaves(key) || key.code == KeyCode::Char('q') {
            return Action::Close;
        }
        let by = match key.code {
            KeyCode::Char('j') => Some(1),
            KeyCode::Char('k') => Some(-1),
            _ => step(key),
        };
        if let Some(by) = by {
            self.at = self.at.saturating_add_signed(by).min(transfers.len().saturating_sub(1));
        } else if key.code == KeyCode::Char('x')
            && let Some(transfer) = transfers.iter().rev().nth(self.at)
        {
            return Action::Apply(files::stop(transfer.id));
        } else if key.code == KeyCode::Enter
            && let Some(transfer) = transfers.iter().rev().nth(self.at)
            && !transfer.parts.is_empty()
        {
            return Action::Open(Box::new(Parts::of(transfer.id)));
        } else if key.code == KeyCode::Enter
            && let Some(transfer) = transfers.iter().rev().nth(self.at)
            && !transfer.faults.is_empty()
        {
            let lines = transfer.faults.iter().map(|fault| vec![(Role::Text, fault.clone())]);
            let pager = Pager::new(transfer.what.clone(), lines.collect());
            return Action::Open(Box::new(pager.copying(transfer.faults.join("\n"))));
        }
        Action::None
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { store, theme, texts, glyphs, .. } = *context;
        let transfers = &store.files.transfers;
        let title = Line::styled(
            format!(" {} ", texts.get("files.transfers.title")),
            theme.style(Role::Title),
        );
        let room = usize::from(screen.width.saturating_sub(2).min(WIDTH).saturating_sub(4));
        let hint = super::rows(texts.get("files.transfers.hint"), room);
        let below = hint.len() as u16;
        let height = (transfers.len() as u16).saturating_mul(2).clamp(1, 40) + 2 + below;
        let inner = boxes::popup(
            frame.buffer_mut(),
            screen,
            (WIDTH, height + 1),
            title,
            false,
            theme,
            glyphs,
        );
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        let buffer = frame.buffer_mut();
        if transfers.is_empty() {
            let text = Line::styled(texts.get("files.transfers.none"), theme.style(Role::Soft));
            table::put(buffer, x, inner.y, width, &text, false);
        }
        self.at = self.at.min(transfers.len().saturating_sub(1));
        let room = usize::from(inner.height.saturating_sub(1 + below) / 2).max(1);
        let first = self.at.saturating_sub(room - 1);
        let mut y = inner.y;
        for (n, transfer) in transfers.iter().rev().enumerate().skip(first).take(room) {
            let role = if n == self.at { Role::Strong } else { Role::Text };
            let sign = if n == self.at { "▸ " } else { "  " };
            let head = Line::styled(format!("{sign}{}", transfer.what), theme.style(role));
            table::put(buffer, x, y, width, &head, false);
            let mut line = state(context, transfer);
            line.spans.extend(counts(context, transfer));
            table::put(buffer, x, y + 1, width, &line, false);
            y += 2;
        }
        for (y, row) in (inner.bottom().saturating_sub(below)..).zip(&hint) {
            let line = Line::styled(row.as_str(), theme.style(Role::Soft));
            table::put(buffer, x, y, width, &line, false);
        }
    }
}

/// How many files of a folder are over, and how many were left out.
fn counts(context: &Context<'_>, transfer: &Transfer) -> Vec<Span<'static>> {
    let Context { theme, texts, .. } = *context;
    let mut spans = Vec::new();
    if let Some((over, all)) = transfer.files {
        let text = texts.fill("files.transfer.files", &[&over.to_string(), &all.to_string()]);
        spans.push(Span::styled(format!("  {text}"), theme.style(Role::Soft)));
    }
    if !transfer.faults.is_empty() {
        let count = transfer.faults.len().to_string();
        let text = texts.fill("files.transfer.faults", &[&count]);
        spans.push(Span::styled(format!("  {text}"), theme.style(Role::Warn)));
    }
    spans
}

/// How far one is, or how it ended.
pub(crate) fn state(context: &Context<'_>, transfer: &Transfer) -> Line<'static> {
    let Context { theme, texts, .. } = *context;
    let p = &transfer.progress;
    let style = |role| theme.style(role);
    match &transfer.state {
        State::Running => {
            let percent = (p.have * 100).checked_div(p.size).unwrap_or(0).min(100);
            let filled = (percent * BAR / 100) as usize;
            let mut spans = vec![
                Span::styled(format!("    {}", "█".repeat(filled)), style(Role::Accent)),
                Span::styled("░".repeat(BAR as usize - filled), style(Role::Faint)),
                Span::styled(
                    format!(
                        " {percent:>3}%  {} / {}  ",
                        format::size(p.have),
                        format::size(p.size)
                    ),
                    style(Role::Soft),
                ),
            ];
            if !p.waiting.is_empty() {
                let why = cmdr_protocol::display::clean(&p.waiting).into_owned();
                spans.push(Span::styled(
                    texts.fill("files.transfer.waiting", &[&why]),
                    style(Role::Warn),
                ));
            }
            Line::from(spans)
        }
        State::Done => Line::styled(format!("    ✓ {}", format::size(p.size)), style(Role::Ok)),
        State::Partly(..) => {
            Line::styled(format!("    ✗ {}", format::size(p.size)), style(Role::Warn))
        }
        State::Failed(why) => Line::styled(format!("    ✗ {why}"), style(Role::Bad)),
        State::Stopped => Line::styled(
            format!("    ◼ {}", texts.get("files.transfers.stopped")),
            style(Role::Warn),
        ),
    }
}
