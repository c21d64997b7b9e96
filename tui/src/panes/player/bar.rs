//! How far one is: a bar with the marks on it.

use crate::panes::Context;
use crate::panes::records::recordings::level;
use crate::theme::Role;
use crate::widgets::chart::Glyphs;
use crate::widgets::format;
use cmdr_protocol::recordings::{Level, Mark};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// The bar, with where one is and how long it is, in so many cells.
pub(super) fn bar(
    context: &Context<'_>,
    (at_us, total_us): (u64, u64),
    marks: &[Mark],
    width: usize,
) -> Line<'static> {
    let Context { theme, glyphs, .. } = *context;
    let total_text = format::length(total_us / 1000);
    // To the second: a finer place would be drawn for nothing.
    let at_text = format::length(at_us / 1_000_000 * 1000);
    let at_text = at_text.strip_suffix(".0").unwrap_or(&at_text).to_owned();
    let pad = total_text.width().saturating_sub(at_text.width());
    let room = width.saturating_sub(total_text.width() * 2 + 3).max(4);
    let cell = |us: u64| {
        let at = u128::from(us) * room as u128 / u128::from(total_us.max(1));
        usize::try_from(at).unwrap_or(room).min(room)
    };
    let ascii = glyphs == Glyphs::Ascii;
    let (on, off) = if ascii { ("=", "-") } else { ("━", "─") };
    let full = cell(at_us);
    let mut cells: Vec<(&str, Role)> =
        (0..room).map(|n| if n < full { (on, Role::Accent) } else { (off, Role::Grid) }).collect();
    for mark in marks.iter().rev() {
        let at = cell(mark.at_ms * 1000).min(room - 1);
        let (sign, _, role) = level(mark.level);
        let plain = match mark.level {
            Level::Danger => "!",
            Level::Warning => "^",
            _ => ".",
        };
        let sign = if sign.is_empty() { "◆" } else { sign };
        cells[at] = (if ascii { plain } else { sign }, role);
    }
    let text = theme.style(Role::Text);
    let mut spans = vec![Span::styled(format!("{}{at_text} ", " ".repeat(pad)), text)];
    for run in cells.chunk_by(|a, b| a.1 == b.1) {
        let cells: String = run.iter().map(|(sign, _)| *sign).collect();
        spans.push(Span::styled(cells, theme.style(run[0].1)));
    }
    spans.push(Span::styled(format!(" {total_text}"), theme.style(Role::Soft)));
    Line::from(spans)
}
