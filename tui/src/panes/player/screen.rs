//! The lines of a recording on the screen: broken by cells, the newest at the bottom, what was sought
//! for marked.

use crate::panes::Context;
use crate::store::recordings::tape::{Kind, Line as Written, Tape};
use crate::theme::Role;
use crate::widgets::{format, table};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use regex::Regex;
use std::ops::Range;
use unicode_width::UnicodeWidthChar as _;

/// Breaks a text into pieces of at most `width` cells; one without text is one empty row.
pub(super) fn rows(text: &str, width: usize) -> Vec<Range<usize>> {
    let (mut rows, mut from, mut used) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        let cells = c.width().unwrap_or(0);
        if used + cells > width && at > from {
            rows.push(from..at);
            (from, used) = (at, 0);
        }
        used += cells;
    }
    rows.push(from..text.len());
    rows
}

/// What a line says: its words, and their looks.
pub(super) fn told(context: &Context<'_>, line: &Written, at_us: u64) -> (String, Role) {
    let text = line.text(at_us);
    match line.kind {
        Kind::Output => (text.to_owned(), Role::Text),
        Kind::Input => (format!("{} {text}", context.texts.get("player.input")), Role::LineB),
        Kind::Mark => {
            let when = format::length(line.at_us / 1000);
            (format!("◆ {when} {text}"), Role::Warn)
        }
        Kind::Skipped => {
            let bytes = format::size(text.parse().unwrap_or_default());
            (context.texts.fill("player.skipped", &[&bytes]), Role::Soft)
        }
    }
}

/// How the lines are looked at.
pub(super) struct Look<'a> {
    pub(super) at_us: u64,
    /// The line at the bottom, counted from the oldest one here.
    pub(super) bottom: usize,
    /// What is sought for.
    pub(super) sought: Option<&'a Regex>,
    /// The line that was gone to.
    pub(super) found: Option<usize>,
}

/// Draws the lines that end at the bottom one; how many rows stayed free above them.
pub(super) fn draw(
    context: &Context<'_>,
    frame: &mut Frame<'_>,
    area: Rect,
    tape: &Tape,
    look: &Look<'_>,
) -> u16 {
    let theme = context.theme;
    let width = usize::from(area.width.saturating_sub(2)).max(1);
    let mut shown: Vec<(usize, Line<'static>)> = Vec::new();
    let height = usize::from(area.height);
    let mut at = look.bottom;
    while shown.len() < height {
        let Some(line) = at.checked_sub(1).and_then(|n| tape.lines().get(n)) else { break };
        at -= 1;
        let (text, role) = told(context, line, look.at_us);
        let hits: Vec<Range<usize>> = match look.sought {
            Some(sought) if line.kind != Kind::Mark => sought
                .find_iter(&text)
                .map(|hit| hit.range())
                .filter(|hit| !hit.is_empty())
                .collect(),
            _ => Vec::new(),
        };
        for row in rows(&text, width).into_iter().rev() {
            let mut spans = Vec::new();
            let mut from = row.start;
            for hit in hits.iter().filter(|hit| hit.start < row.end && hit.end > row.start) {
                let (start, end) = (hit.start.max(row.start), hit.end.min(row.end));
                spans.push(Span::styled(text[from..start].to_owned(), theme.style(role)));
                spans.push(Span::styled(text[start..end].to_owned(), theme.style(Role::Match)));
                from = end;
            }
            spans.push(Span::styled(text[from..row.end].to_owned(), theme.style(role)));
            shown.push((at, Line::from(spans)));
        }
    }
    shown.truncate(height);
    let free = (height - shown.len()) as u16;
    // Lines begin at the top, as in a terminal, until they fill it.
    for (y, (at, line)) in (area.top()..area.bottom()).zip(shown.iter().rev()) {
        if look.found == Some(*at) {
            frame.buffer_mut().set_string(area.x, y, "▌", theme.style(Role::Accent));
        }
        table::put(frame.buffer_mut(), area.x + 1, y, area.width.saturating_sub(2), line, false);
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_by_cells() {
        let text = "节点ab";
        let rows: Vec<&str> = rows(text, 3).into_iter().map(|row| &text[row]).collect();
        assert_eq!(rows, ["节", "点a", "b"]);
        assert_eq!(super::rows("", 3).len(), 1);
        assert_eq!(super::rows("节", 1).len(), 1);
    }
}
