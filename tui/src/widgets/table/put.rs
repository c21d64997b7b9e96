//! A line into a table's cell.

use ratatui::buffer::Buffer;
use ratatui::text::Line;

/// Writes a line into `width` cells, cut with `…` when it is longer.
pub fn put(buffer: &mut Buffer, x: u16, y: u16, width: u16, line: &Line<'_>, right: bool) {
    let needs = line.width();
    let room = usize::from(width);
    let mut x = if right && needs < room { x + (room - needs) as u16 } else { x };
    let mut left = room;
    let cut = needs > room;
    if cut {
        left = left.saturating_sub(1);
    }
    for span in &line.spans {
        let style = line.style.patch(span.style);
        let before = x;
        (x, _) = buffer.set_stringn(x, y, &span.content, left, style);
        left -= usize::from(x - before).min(left);
        if left == 0 {
            if cut && room > 0 {
                buffer.set_string(x, y, "…", style);
            }
            return;
        }
    }
    // A wide character did not fit into the last cell: the cut is shown there all the same.
    if cut && room > 0 {
        buffer.set_string(x, y, "…", line.style);
    }
}
