//! Lines over time: from point to point with dots, a gap where nothing was measured. Where a line is drawn over
//! another both are seen, in the colour of the later one.

use super::chart::Glyphs;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// One line.
pub struct Trace<'a> {
    /// When its first step begins, by the time of the plot, milliseconds; below zero for one that was shifted here.
    pub from_ms: i64,
    /// How long a step is.
    pub step_ms: u64,
    /// A value for each step.
    pub points: &'a [Option<f64>],
    /// How it is drawn.
    pub style: Style,
    /// Drawn with this instead of dots, where colours do not tell lines apart.
    pub letter: Option<char>,
}

/// Some lines.
pub struct Plot<'a> {
    /// The time at the left edge, milliseconds.
    pub from_ms: u64,
    /// The time at the right edge.
    pub to_ms: u64,
    /// The value at the bottom.
    pub low: f64,
    /// The value at the top.
    pub high: f64,
    /// Drawn over each other, first at the bottom.
    pub traces: Vec<Trace<'a>>,
}

/// The bits of braille: column by column of a cell two wide and four high.
const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

impl Plot<'_> {
    /// Draws into the area, which is the plot alone.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect, glyphs: Glyphs) {
        if area.is_empty() || self.to_ms <= self.from_ms {
            return;
        }
        let (wide, tall) = match glyphs {
            Glyphs::Braille => (2, 4),
            Glyphs::Block => (1, 2),
            Glyphs::Ascii => (1, 1),
        };
        let columns = usize::from(area.width);
        let mut dots = vec![0u8; columns * usize::from(area.height)];
        for trace in &self.traces {
            let size = (columns * wide, usize::from(area.height) * tall);
            self.trace(trace, size, &mut |x, y| {
                let (cx, cy) = (x / wide, y / tall);
                let bit = match glyphs {
                    Glyphs::Braille => BITS[x % 2][y % 4],
                    Glyphs::Block | Glyphs::Ascii => 1 << (y % tall),
                };
                let Some(dots) = dots.get_mut(cy * columns + cx) else { return };
                *dots |= bit;
                let symbol = match (trace.letter, glyphs) {
                    (Some(letter), _) => letter,
                    (None, Glyphs::Braille) => {
                        char::from_u32(0x2800 + u32::from(*dots)).unwrap_or(' ')
                    }
                    (None, Glyphs::Block) => [' ', '▀', '▄', '█'][usize::from(*dots & 3)],
                    (None, Glyphs::Ascii) => '*',
                };
                if let Some(cell) = buffer.cell_mut((area.x + cx as u16, area.y + cy as u16)) {
                    cell.set_char(symbol).set_style(trace.style);
                }
            });
        }
    }

    fn trace(
        &self,
        trace: &Trace<'_>,
        (wide, tall): (usize, usize),
        dot: &mut dyn FnMut(usize, usize),
    ) {
        let span = (self.to_ms - self.from_ms) as f64;
        let height = (self.high - self.low).max(f64::MIN_POSITIVE);
        let mut before: Option<(i64, i64)> = None;
        for (i, value) in trace.points.iter().enumerate() {
            let Some(value) = value.filter(|value| value.is_finite()) else {
                before = None;
                continue;
            };
            // A point stands in the middle of its step.
            let at = trace.from_ms as f64 + (i as f64 + 0.5) * trace.step_ms as f64;
            let x = ((at - self.from_ms as f64) / span * wide as f64).floor() as i64;
            let share = ((value - self.low) / height).clamp(0.0, 1.0);
            let y = ((1.0 - share) * (tall - 1) as f64).round() as i64;
            let (x0, y0) = before.replace((x, y)).unwrap_or((x, y));
            if x < 0 || x0 >= wide as i64 {
                continue;
            }
            // A line to the point before, dot by dot, as far as it is within.
            let far = (x - x0).abs().max((y - y0).abs()).max(1);
            let first = if x0 < 0 && x > x0 { -x0 * far / (x - x0) } else { 0 };
            for d in first..=far {
                let (x, y) = (x0 + (x - x0) * d / far, y0 + (y - y0) * d / far);
                if x >= wide as i64 {
                    break;
                }
                if x >= 0 && y >= 0 {
                    dot(x as usize, y as usize);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(points: &[Option<f64>], glyphs: Glyphs, from_ms: i64) -> Vec<String> {
        let area = Rect::new(0, 0, 10, 2);
        let mut buffer = Buffer::empty(area);
        let trace = Trace { from_ms, step_ms: 10, points, style: Style::new(), letter: None };
        let plot = Plot { from_ms: 0, to_ms: 100, low: 0.0, high: 1.0, traces: vec![trace] };
        plot.draw(&mut buffer, area, glyphs);
        let rows = buffer.content.chunks(10);
        rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect()).collect()
    }

    #[test]
    fn a_gap_stays_a_gap_and_a_lone_point_is_seen() {
        let mut points = vec![Some(0.0); 10];
        (3..6).for_each(|i| points[i] = None);
        points[4] = Some(1.0);
        assert_eq!(draw(&points, Glyphs::Ascii, 0), ["    *     ", "***   ****"]);
    }

    #[test]
    fn what_lies_outside_is_not_drawn_and_lines_reach_the_edges() {
        let points = vec![Some(1.0); 30];
        assert_eq!(draw(&points, Glyphs::Block, -100), ["▀▀▀▀▀▀▀▀▀▀", "          "]);
        assert_eq!(draw(&points[..2], Glyphs::Ascii, 500), ["          ", "          "]);
        let odd = [Some(f64::NAN), Some(f64::INFINITY), Some(1e300), Some(-1e300)];
        assert_eq!(draw(&odd, Glyphs::Ascii, 0), ["  *       ", "   *      "]);
    }
}
