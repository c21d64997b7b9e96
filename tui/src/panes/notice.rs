//! Says in the middle of a pane why there is nothing else to see, and what to do next. Panes and overlays use it.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// Lines in the middle of an area, for when there is nothing else to show. Those that are too long are
/// broken: what to do next stands at their end.
pub fn notice(frame: &mut Frame<'_>, area: Rect, lines: &[Line<'_>]) {
    let room = usize::from(area.width.saturating_sub(2));
    let lines: Vec<Line<'_>> = lines
        .iter()
        .flat_map(|line| {
            if line.width() <= room {
                return vec![line.clone()];
            }
            let style = line.spans.first().map_or(line.style, |span| line.style.patch(span.style));
            let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
            let rows = crate::overlays::rows(&text, room.saturating_sub(2));
            rows.into_iter().map(|row| Line::styled(row, style)).collect()
        })
        .collect();
    let top = area.y + area.height.saturating_sub(lines.len() as u16) / 2;
    for (y, line) in (top..area.bottom()).zip(&lines) {
        let width = (line.width() as u16).min(area.width);
        let x = area.x + (area.width - width) / 2;
        crate::widgets::table::put(frame.buffer_mut(), x, y, width, line, false);
    }
}
