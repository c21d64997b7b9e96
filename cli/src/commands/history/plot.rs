//! Lines as text: dots of braille when colours tell the lines apart or there is one, letters otherwise. Used by
//! `chart`.

use cmdr_chart::scale::range;
use cmdr_chart::{Line, shown};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::history::Unit;
use cmdr_protocol::human;
use std::fmt::Write as _;

/// What is drawn.
#[derive(Debug)]
pub(super) struct Plot<'a> {
    pub(super) lines: &'a [Line],
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    /// Cells of the whole.
    pub(super) width: usize,
    /// Cells of the drawing alone.
    pub(super) height: usize,
    pub(super) colour: bool,
}

/// Colours of lines, in turn.
const COLOURS: [&str; 6] = ["36", "33", "35", "32", "34", "31"];
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

/// A letter or a pattern of dots in a cell, and the line that it belongs to.
#[derive(Clone, Copy, Default)]
struct Spot {
    dots: u8,
    line: Option<usize>,
}

/// The bits of braille: column by column of a cell two wide and four high.
const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

impl Plot<'_> {
    /// The chart with axes and legend.
    pub(super) fn draw(&self) -> String {
        let unit = self.lines.first().map(|l| l.unit).unwrap_or_default();
        let (low, high) = range(self.lines);
        let labels = [high, f64::midpoint(low, high), low].map(|v| shown(v, unit));
        let margin = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
        let columns = self.width.saturating_sub(margin + 2).max(10);
        let cells = self.cells(columns, low, high);
        let mut out = String::new();
        for (row, cells) in cells.chunks(columns).enumerate() {
            let label = match row {
                0 => &labels[0],
                r if r == self.height / 2 => &labels[1],
                r if r + 1 == self.height => &labels[2],
                _ => "",
            };
            let gap = margin - label.chars().count();
            write!(out, "{:gap$}{label} ┤", "").ok();
            self.row(&mut out, cells);
            out.push('\n');
        }
        self.times(&mut out, margin, columns);
        self.legend(&mut out, unit);
        out
    }

    fn cells(&self, columns: usize, low: f64, high: f64) -> Vec<Spot> {
        let mut cells = vec![Spot::default(); columns * self.height];
        let (wide, tall) = (columns * 2, self.height * 4);
        for (n, line) in self.lines.iter().enumerate() {
            let steps = line.points.len().max(1);
            let mut before: Option<(usize, usize)> = None;
            for (i, value) in line.points.iter().enumerate() {
                let Some(value) = value else {
                    before = None;
                    continue;
                };
                let x = ((i * 2 + 1) * wide / (steps * 2)).min(wide - 1);
                let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
                let y = tall - 1 - (share * (tall - 1) as f64).round() as usize;
                let (x0, y0) = before.unwrap_or((x, y));
                // A line to the point before, dot by dot.
                let far = (x - x0).max(y.abs_diff(y0)).max(1);
                for d in 0..=far {
                    let at = |a: usize, b: usize| {
                        let (a, b) = (a as i64, b as i64);
                        (a + (b - a) * d as i64 / far as i64) as usize
                    };
                    let (x, y) = (at(x0, x), at(y0, y));
                    let spot = &mut cells[y / 4 * columns + x / 2];
                    spot.dots |= BITS[x % 2][y % 4];
                    spot.line = Some(n);
                }
                before = Some((x, y));
            }
        }
        cells
    }

    fn lettered(&self) -> bool {
        self.lines.len() > 1 && !self.colour
    }

    fn row(&self, out: &mut String, cells: &[Spot]) {
        let mut colour = None;
        let mut text = String::new();
        for spot in cells {
            if self.colour && spot.line.is_some() && spot.line != colour {
                colour = spot.line;
                let code = COLOURS[spot.line.unwrap_or(0) % COLOURS.len()];
                write!(text, "\x1b[{code}m").ok();
            }
            text.push(match spot.line {
                None => ' ',
                Some(n) if self.lettered() => letter(n),
                Some(_) => char::from_u32(0x2800 + u32::from(spot.dots)).unwrap_or(' '),
            });
        }
        out.push_str(text.trim_end());
        if colour.is_some() {
            out.push_str("\x1b[0m");
        }
    }

    fn times(&self, out: &mut String, margin: usize, columns: usize) {
        out.extend(std::iter::repeat_n(' ', margin + 1));
        out.push('└');
        out.extend(std::iter::repeat_n('─', columns));
        out.push('\n');
        let day = self.to_ms.saturating_sub(self.from_ms) > 36 * 3_600_000;
        let at = |ms: u64| {
            let moment = human::moment(ms);
            if day { moment[..16].replace('T', " ") } else { moment[11..19].to_owned() }
        };
        let (first, last) = (at(self.from_ms), format!("{} UTC", at(self.to_ms)));
        let gap = columns.saturating_sub(first.len() + last.len()).max(1);
        let before = margin + 2;
        writeln!(out, "{:before$}{first}{:gap$}{last}", "", "").ok();
    }

    fn legend(&self, out: &mut String, unit: Unit) {
        let labels = self.lines.iter().map(|l| clean_to_width(&l.label, 40));
        let labels: Vec<String> = labels.collect();
        let width = labels.iter().map(|l| l.chars().count()).max().unwrap_or(0);
        for (n, (line, label)) in self.lines.iter().zip(labels).enumerate() {
            let mark = match (self.lettered(), self.colour) {
                (true, _) => letter(n).to_string(),
                (_, true) => format!("\x1b[{}m━\x1b[0m", COLOURS[n % COLOURS.len()]),
                _ => "━".to_owned(),
            };
            let values: Vec<f64> = line.points.iter().flatten().copied().collect();
            let sum: f64 = values.iter().sum();
            let fold = |f: fn(f64, f64) -> f64| values.iter().copied().reduce(f).unwrap_or(0.0);
            let gap = width - label.chars().count();
            writeln!(
                out,
                "{mark} {label}{:gap$}  min {}  mean {}  max {}  last {}",
                "",
                shown(fold(f64::min), unit),
                shown(sum / values.len().max(1) as f64, unit),
                shown(fold(f64::max), unit),
                shown(values.last().copied().unwrap_or(0.0), unit),
            )
            .ok();
        }
    }
}

fn letter(n: usize) -> char {
    char::from(LETTERS[n % LETTERS.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, points: Vec<Option<f64>>) -> Line {
        Line { label: label.into(), unit: Unit::Percent, points }
    }

    fn plot(lines: &[Line]) -> String {
        let (from_ms, to_ms) = (1_700_000_000_000, 1_700_003_600_000);
        Plot { lines, from_ms, to_ms, width: 50, height: 6, colour: false }.draw()
    }

    #[test]
    fn a_line_rises_between_its_axes_and_a_gap_stays_a_gap() {
        let points = (0..40).map(|i| (!(10..20).contains(&i)).then(|| f64::from(i)));
        insta::assert_snapshot!(plot(&[line("web1", points.collect())]));
    }

    #[test]
    fn without_colours_each_of_several_lines_has_its_letter() {
        let up = (0..20).map(|i| Some(f64::from(i))).collect();
        let down = (0..20).map(|i| Some(f64::from(20 - i))).collect();
        insta::assert_snapshot!(plot(&[line("web1", up), line("db1", down)]));
    }
}
