//! A chart over time: axes with units, filled from zero, gaps left as gaps.
//!
//! Each column stands for a fixed slice of absolute time, so the picture moves by whole cells and
//! only when a slice is over; between two moves nothing but the last column changes. That keeps a
//! live chart cheap on a thin line.

use crate::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr as _;

/// What charts and bars are drawn with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// Eight dots a cell.
    #[default]
    Braille,
    /// Eighths of blocks.
    Block,
    /// Plain characters.
    Ascii,
}

impl Glyphs {
    /// `braille`, `block` or `ascii`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "braille" => Some(Self::Braille),
            "block" => Some(Self::Block),
            "ascii" => Some(Self::Ascii),
            _ => None,
        }
    }
}

/// One line of a chart.
pub struct Series<'a> {
    /// Time in milliseconds and value, by time.
    pub points: &'a mut dyn Iterator<Item = (u64, f32)>,
    /// How it is drawn: graded by height, or in one style.
    pub style: Option<Style>,
}

/// A chart.
pub struct Chart<'a> {
    /// The time at the right edge, milliseconds.
    pub now_ms: u64,
    /// Seconds from left to right.
    pub span_s: u64,
    /// How long a sample holds when no other comes, milliseconds: behind that is a gap.
    pub reach_ms: u64,
    /// The value at the top.
    pub top: f32,
    /// What stands at the top and the middle of the value axis.
    pub labels: [String; 2],
    /// What stands at the right end of the time axis.
    pub now: &'a str,
    /// Drawn over each other, first at the bottom.
    pub series: Vec<Series<'a>>,
}

impl Chart<'_> {
    /// Draws into the area: values at the left, times below when there is room.
    pub fn draw(self, buffer: &mut Buffer, area: Rect, theme: &Theme, glyphs: Glyphs) {
        let gutter = self.labels.iter().map(String::len).max().unwrap_or(0).max(5) as u16;
        if area.width < gutter + 4 || area.height < 2 {
            return;
        }
        let times = u16::from(area.height >= 4);
        let plot = Rect {
            x: area.x + gutter + 1,
            y: area.y,
            width: area.width - gutter - 1,
            height: area.height - times,
        };
        self.axes(buffer, area, plot, theme, glyphs);
        // One slice per dot column, two per cell; the window ends on a whole cell so that it moves
        // by whole cells.
        let per_cell = if glyphs == Glyphs::Braille { 2 } else { 1 };
        let columns = usize::from(plot.width) * per_cell;
        let slice = (self.span_s * 1000 / columns as u64).max(1);
        let cell = slice * per_cell as u64;
        let end = (self.now_ms / cell + 1) * cell;
        let begin = end.saturating_sub(slice * columns as u64);
        for series in self.series {
            let mut values: Vec<Option<f32>> = vec![None; columns];
            // A sample speaks for the time until the next one, but not across a gap.
            let reach = ((self.reach_ms / slice) as usize).max(1);
            let mut before: Option<usize> = None;
            for (at_ms, value) in series.points {
                if at_ms < begin || at_ms >= end {
                    continue;
                }
                let at = ((at_ms - begin) / slice) as usize;
                let Some(slot) = values.get_mut(at) else { continue };
                // Of several in one slice the highest counts: peaks must not vanish by zooming out.
                *slot = Some(slot.map_or(value, |old| old.max(value)));
                let held = before.and_then(|b| values[b]);
                if let Some(b) = before.filter(|b| at > *b && at - b <= reach) {
                    values[b + 1..at].fill(held);
                }
                before = Some(at);
            }
            columns_out(buffer, plot, &values, self.top, series.style, theme, glyphs);
        }
    }

    fn axes(&self, buffer: &mut Buffer, area: Rect, plot: Rect, theme: &Theme, glyphs: Glyphs) {
        let grid = theme.style(Role::Grid);
        let gutter = usize::from(plot.x - area.x - 1);
        let (edge, corner, line, mark) = match glyphs {
            Glyphs::Ascii => ("|", "+", "-", "+"),
            Glyphs::Braille | Glyphs::Block => ("│", "└", "─", "┴"),
        };
        for y in plot.top()..plot.bottom() {
            buffer.set_string(plot.x - 1, y, edge, theme.style(Role::Border));
        }
        buffer.set_string(area.x, plot.y, format!("{:>gutter$}", self.labels[0]), grid);
        if plot.height >= 5 {
            let middle = plot.y + plot.height / 2;
            buffer.set_string(area.x, middle, format!("{:>gutter$}", self.labels[1]), grid);
        }
        buffer.set_string(area.x, plot.bottom() - 1, format!("{:>gutter$}", "0"), grid);
        if plot.bottom() == area.bottom() {
            return;
        }
        let y = plot.bottom();
        let border = theme.style(Role::Border);
        buffer.set_string(plot.x - 1, y, corner, border);
        buffer.set_string(plot.x, y, line.repeat(usize::from(plot.width)), border);
        // Ages from the right: they stay where they are while time goes on.
        let round = if self.span_s > 60 { 60 } else { 15 };
        let parts = [6, 5, 4, 3, 2]
            .into_iter()
            .find(|n| plot.width / n >= 12 && self.span_s.is_multiple_of(u64::from(*n) * round))
            .unwrap_or(1);
        for part in 0..parts {
            let x = plot.x + plot.width * part / parts;
            let age = self.span_s * u64::from(parts - part) / u64::from(parts);
            let text = format!("-{}", age_text(age));
            buffer.set_string(x, y, mark, border);
            buffer.set_string(x + 1, y, text, grid);
        }
        let width = self.now.width() as u16;
        if plot.width > width + 8 {
            buffer.set_string(plot.right() - width, y, self.now, grid);
        }
    }
}

fn age_text(seconds: u64) -> String {
    if seconds.is_multiple_of(60) {
        format!("{}m", seconds / 60)
    } else {
        super::format::span(seconds)
    }
}

fn columns_out(
    buffer: &mut Buffer,
    plot: Rect,
    values: &[Option<f32>],
    top: f32,
    style: Option<Style>,
    theme: &Theme,
    glyphs: Glyphs,
) {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 5] = [' ', '.', ':', '|', '#'];
    const LEFT: [u32; 5] = [0, 0x40, 0x44, 0x46, 0x47];
    const RIGHT: [u32; 5] = [0, 0x80, 0xa0, 0xb0, 0xb8];
    let (per_cell, steps) = match glyphs {
        Glyphs::Braille => (2, 4),
        Glyphs::Block => (1, 8),
        Glyphs::Ascii => (1, 4),
    };
    let height = usize::from(plot.height) * steps;
    // A value that is there always shows at least one dot: nothing there is a gap.
    let level = |value: Option<f32>| {
        value.map_or(0, |v| ((v / top * height as f32).round() as usize).clamp(1, height))
    };
    for (x, cell) in values.chunks(per_cell).enumerate() {
        let levels = [level(cell[0]), level(cell.get(1).copied().flatten())];
        for row in 0..usize::from(plot.height) {
            let part = |level: usize| level.saturating_sub(row * steps).min(steps);
            let symbol = match glyphs {
                Glyphs::Braille => match LEFT[part(levels[0])] | RIGHT[part(levels[1])] {
                    0 => continue,
                    dots => char::from_u32(0x2800 + dots).unwrap_or(' '),
                },
                Glyphs::Block => BLOCKS[part(levels[0])],
                Glyphs::Ascii => ASCII[part(levels[0])],
            };
            if symbol == ' ' {
                continue;
            }
            let y = plot.bottom() - 1 - row as u16;
            let at = (plot.x + x as u16, y);
            let style = style.unwrap_or_else(|| {
                let share = (row as f32 + 0.5) / f32::from(plot.height);
                Style::new().fg(theme.grade(share))
            });
            if let Some(cell) = buffer.cell_mut(at) {
                cell.set_char(symbol).set_style(style);
            }
        }
    }
}

/// A round value at or above `most` for the top of an axis of sizes: 1, 2 or 5 times a power of
/// ten, at least `least`.
pub fn nice_top(most: f32, least: f32) -> f32 {
    let most = most.max(least);
    let power = 10f32.powf(most.log10().floor());
    [1.0, 2.0, 5.0, 10.0].iter().map(|n| n * power).find(|top| *top >= most).unwrap_or(most)
}

/// As [`nice_top`] for bytes: 1, 2, 4 … times a power of 1024.
pub fn nice_bytes(most: f32, least: f32) -> f32 {
    let mut top = least;
    while top < most {
        top *= 2.0;
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::Depth;

    fn draw(points: &[(u64, f32)], now_ms: u64, glyphs: Glyphs) -> Vec<String> {
        let theme = Theme::load("dark", Depth::True).expect("theme");
        let area = Rect::new(0, 0, 34, 6);
        let mut buffer = Buffer::empty(area);
        let mut points = points.iter().copied();
        let chart = Chart {
            now_ms,
            span_s: 60,
            reach_ms: 3000,
            top: 100.0,
            labels: ["100".into(), "50".into()],
            now: "now",
            series: vec![Series { points: &mut points, style: None }],
        };
        chart.draw(&mut buffer, area, &theme, glyphs);
        buffer
            .content
            .chunks(34)
            .map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect())
            .collect()
    }

    #[test]
    fn a_gap_in_the_samples_is_a_gap_in_the_picture() {
        let points: Vec<_> =
            (0..60).filter(|s| !(20..40).contains(s)).map(|s| (s * 1000, 100.0)).collect();
        let rows = draw(&points, 59_000, Glyphs::Block);
        assert!(rows[0].contains("█         █"), "{rows:#?}");
    }

    #[test]
    fn between_two_moves_only_the_last_columns_change() {
        let points: Vec<_> = (0..61).map(|s| (s * 1000, (s % 7) as f32 * 14.0)).collect();
        let (one, two) = (
            draw(&points[..60], 58_000, Glyphs::Braille),
            draw(&points[..60], 59_000, Glyphs::Braille),
        );
        let changed = one
            .iter()
            .zip(&two)
            .map(|(a, b)| a.chars().zip(b.chars()).filter(|(x, y)| x != y).count());
        assert!(changed.sum::<usize>() <= 8, "{one:#?}\n{two:#?}");
    }

    #[test]
    fn axis_tops_are_round() {
        let tops = [0.3, 1.2, 37.0, 600.0].map(|v| nice_top(v, 1.0) as u32);
        assert_eq!(tops, [1, 2, 50, 1000]);
        assert!((nice_bytes(3000.0, 1024.0) - 4096.0).abs() < f32::EPSILON);
    }
}
