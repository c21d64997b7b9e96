//! Boxes: rounded borders with a title at the left and a note at the right.

use super::chart::Glyphs;
use crate::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Clear, Widget as _};

/// Draws a box and returns its inside.
pub fn panel(
    buffer: &mut Buffer,
    area: Rect,
    title: Line<'_>,
    note: Line<'_>,
    theme: &Theme,
    glyphs: Glyphs,
) -> Rect {
    boxed(buffer, area, title, note, theme.style(Role::Border), glyphs)
}

/// The same around what is typed in.
pub fn panel_here(
    buffer: &mut Buffer,
    area: Rect,
    title: Line<'_>,
    note: Line<'_>,
    theme: &Theme,
    glyphs: Glyphs,
) -> Rect {
    boxed(buffer, area, title, note, theme.style(Role::Accent), glyphs)
}

fn boxed(
    buffer: &mut Buffer,
    area: Rect,
    title: Line<'_>,
    note: Line<'_>,
    border: Style,
    glyphs: Glyphs,
) -> Rect {
    let mut block = Block::bordered().border_style(border);
    block = match glyphs {
        Glyphs::Ascii => block.border_set(ASCII),
        Glyphs::Braille | Glyphs::Block => block.border_type(BorderType::Rounded),
    };
    if title.width() > 0 {
        block = block.title_top(title);
    }
    if note.width() > 0 {
        block = block.title_top(note.right_aligned());
    }
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}

const ASCII: ratatui::symbols::border::Set<'static> = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// A box in the middle of the screen on top of what is there, at most this large.
pub fn popup(
    buffer: &mut Buffer,
    screen: Rect,
    (width, height): (u16, u16),
    title: Line<'_>,
    danger: bool,
    theme: &Theme,
    glyphs: Glyphs,
) -> Rect {
    let width = width.min(screen.width.saturating_sub(2));
    let height = height.min(screen.height.saturating_sub(2));
    let area = Rect {
        x: screen.x + (screen.width - width) / 2,
        y: screen.y + (screen.height - height) / 3,
        width,
        height,
    };
    // A wide character cut by the edge would draw over the border: clear the cell left of it.
    for y in area.top()..area.bottom() {
        if let Some(cell) = area.x.checked_sub(1).and_then(|x| buffer.cell_mut((x, y)))
            && unicode_width::UnicodeWidthStr::width(cell.symbol()) > 1
        {
            cell.set_symbol(" ");
        }
        // And of one cut by the right edge the other half is left, which has no looks of its own.
        let last = buffer.cell((area.right().saturating_sub(1), y));
        let cut = last.filter(|c| unicode_width::UnicodeWidthStr::width(c.symbol()) > 1);
        if let Some(style) = cut.map(ratatui::buffer::Cell::style)
            && let Some(cell) = buffer.cell_mut((area.right(), y))
        {
            cell.set_symbol(" ").set_style(style);
        }
    }
    Clear.render(area, buffer);
    buffer.set_style(area, theme.style(Role::Popup));
    let border = theme.style(if danger { Role::Danger } else { Role::PopupBorder });
    let room = usize::from(width.saturating_sub(3));
    let title = if title.width() > room {
        let style = title.spans.first().map_or(title.style, |span| title.style.patch(span.style));
        let text: String = title.spans.iter().map(|span| span.content.as_ref()).collect();
        Line::styled(cmdr_protocol::display::clean_to_width(&text, room), style)
    } else {
        title
    };
    boxed(buffer, area, title, Line::default(), border, glyphs)
}

/// Takes the colours out of what is not of now. What is empty stays so, else a bar would look full.
pub fn fade(buffer: &mut Buffer, area: Rect, theme: &Theme) {
    let (stale, empty) = (theme.style(Role::Stale), theme.style(Role::Empty));
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            if let Some(cell) = buffer.cell_mut((x, y)).filter(|cell| Some(cell.fg) != empty.fg) {
                cell.set_style(stale);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::Depth;
    use ratatui::style::{Color, Style};

    #[test]
    fn a_faded_bar_still_tells_how_full_it_is() {
        let theme = Theme::load("dark", Depth::True).expect("theme");
        let screen = Rect::new(0, 0, 10, 1);
        let mut buffer = Buffer::empty(screen);
        let bar = crate::widgets::bar::bar(300, 10, &theme, Glyphs::Braille);
        buffer.set_line(0, 0, &Line::from(bar.to_vec()), 10);
        fade(&mut buffer, screen, &theme);
        let full = buffer.content.iter().filter(|cell| cell.fg == buffer[(0, 0)].fg).count();
        assert_eq!(full, 3);
    }

    #[test]
    fn a_wide_character_cut_by_a_box_leaves_blanks_of_the_same_ground() {
        let theme = Theme::load("dark", Depth::True).expect("theme");
        let screen = Rect::new(0, 0, 12, 5);
        let mut buffer = Buffer::empty(screen);
        let ground = Style::new().bg(Color::Indexed(7));
        // The box covers the cells 4 to 7: of the second and the fourth character one half each.
        for y in 0..5 {
            buffer.set_string(1, y, "节点节点节", ground);
        }
        popup(&mut buffer, screen, (4, 3), Line::default(), false, &theme, Glyphs::Braille);
        for x in [3, 8] {
            let cell = &buffer[(x, 1)];
            assert_eq!((cell.symbol(), cell.bg), (" ", Color::Indexed(7)), "cell {x}");
        }
    }
}
