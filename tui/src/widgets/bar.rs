//! Bars and sparklines of a single row.

use super::chart::Glyphs;
use crate::theme::{Role, Theme};
use ratatui::text::Span;

/// A bar that is `permille` full, `width` cells wide: full cells, then empty ones.
pub fn bar(permille: u32, width: usize, theme: &Theme, glyphs: Glyphs) -> [Span<'static>; 2] {
    let full = (permille.min(1000) as usize * width + 500) / 1000;
    let (on, off) = match glyphs {
        Glyphs::Ascii => ("#", "."),
        _ if theme.flattens() => ("■", "·"),
        Glyphs::Braille | Glyphs::Block => ("■", "■"),
    };
    [
        Span::styled(on.repeat(full), theme.level(permille)),
        Span::styled(off.repeat(width - full), theme.style(Role::Empty)),
    ]
}

/// No value in this place of a sparkline.
pub const NOTHING: u16 = u16::MAX;

/// The last minute of values, one a second, as places of two seconds each, two to a cell. `pushed`
/// is how many there ever were: the grid stands still against it, so that a sparkline moves by
/// whole cells only each fourth second and otherwise changes in its last cell alone.
pub fn slots(values: &[u16], pushed: u64) -> Vec<u16> {
    let Some(newest) = pushed.checked_sub(1) else { return Vec::new() };
    let first = (newest / 4 * 2).cast_signed() - 28;
    let mut slots = vec![NOTHING; 30];
    for (back, value) in values.iter().rev().enumerate() {
        let Some(at) = newest.checked_sub(back as u64) else { break };
        let slot = usize::try_from((at / 2).cast_signed() - first).ok();
        let Some(slot) = slot.and_then(|n| slots.get_mut(n)) else { break };
        *slot = if *slot == NOTHING { *value } else { (*slot).max(*value) };
    }
    slots
}

/// Values of 0 to 1000 as one row of bars, newest at the right end; the higher of two in a cell.
/// The highest bar leaves a gap, so that rows below each other stay apart.
pub fn spark(values: &[u16], width: usize, glyphs: Glyphs) -> String {
    const BLOCKS: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];
    const ASCII: [char; 7] = ['_', '.', '-', '~', '=', '*', '#'];
    let skip = values.len().saturating_sub(width * 2) / 2 * 2;
    let values = &values[skip..];
    let cells = values.len().div_ceil(2);
    let mut out = " ".repeat(width.saturating_sub(cells));
    let signs = if glyphs == Glyphs::Ascii { ASCII } else { BLOCKS };
    for pair in values.chunks(2) {
        let most = pair.iter().filter(|v| **v != NOTHING).max();
        out.push(most.map_or(' ', |v| signs[usize::from((*v).min(1000)) * signs.len() / 1001]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_told_by_its_shape_where_colours_are_lost() {
        use crate::theme::Depth;
        let told = |name| {
            let theme = Theme::load(name, Depth::True).expect("theme");
            bar(300, 10, &theme, Glyphs::Block).map(|span| span.content.into_owned()).concat()
        };
        assert_eq!(told("sixteen"), "■■■·······");
        assert_eq!(told("mono"), "■■■·······");
        assert_eq!(told("dark"), "■■■■■■■■■■");
    }

    #[test]
    fn a_sparkline_ends_at_the_right_with_the_newest() {
        assert_eq!(spark(&[0, 0, 500, 1000], 4, Glyphs::Block), "  ▁▇");
        assert_eq!(spark(&[NOTHING, NOTHING, 0, NOTHING], 2, Glyphs::Braille), " ▁");
        assert_eq!(spark(&[], 3, Glyphs::Ascii), "   ");
    }

    #[test]
    fn a_sparkline_moves_only_each_fourth_second() {
        let values: Vec<u16> = (0..60).map(|n| n * 16).collect();
        let cells = |pushed: u64| {
            spark(&slots(&values[..pushed.min(60) as usize], pushed), 15, Glyphs::Block)
        };
        // Samples 57 to 60 fall into one cell; the 61st begins the next.
        assert_eq!(cells(57).chars().count(), 15);
        assert_eq!(cells(58)[..42], cells(60)[..42]);
        assert_ne!(slots(&values, 60), slots(&values, 61));
    }
}
