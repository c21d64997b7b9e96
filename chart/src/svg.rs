//! Lines as a picture, for a report or a page.

use crate::scale::range;
use crate::{Line, shown};
use cmdr_protocol::display::clean;
use std::fmt::Write as _;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 80.0;
const TOP: f64 = 40.0;
const COLOURS: [&str; 8] =
    ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf"];

/// A text that is nothing but text.
fn escaped(text: &str) -> String {
    clean(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The picture of some lines over a stretch of time; `when` writes a moment, milliseconds since 1970.
pub fn draw(
    title: &str,
    lines: &[Line],
    from_ms: u64,
    to_ms: u64,
    when: impl Fn(u64) -> String,
) -> String {
    let unit = lines.first().map(|l| l.unit).unwrap_or_default();
    let (low, high) = range(lines);
    let below = TOP + HEIGHT + 40.0;
    let all = below + 18.0 * lines.len() as f64 + 10.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {all}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>\n",
        WIDTH + LEFT + 20.0,
        escaped(title)
    );
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        let y = TOP + HEIGHT * (1.0 - share);
        writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT + WIDTH,
            LEFT - 6.0,
            y + 4.0,
            escaped(&shown(low + (high - low) * share, unit))
        )
        .ok();
        let at = from_ms + (to_ms.saturating_sub(from_ms) as f64 * share) as u64;
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            LEFT + WIDTH * share,
            TOP + HEIGHT + 18.0,
            escaped(&when(at))
        )
        .ok();
    }
    for (n, line) in lines.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        let steps = line.points.len().max(1) as f64;
        let (mut path, mut open) = (String::new(), false);
        for (i, value) in line.points.iter().enumerate() {
            let Some(value) = value else {
                open = false;
                continue;
            };
            let x = LEFT + WIDTH * (i as f64 + 0.5) / steps;
            let y = TOP + HEIGHT * (1.0 - (value - low) / (high - low));
            write!(path, "{}{x:.1} {y:.1}", if open { 'L' } else { 'M' }).ok();
            // A point between two gaps is a dot.
            if !open {
                write!(path, "h0.1").ok();
            }
            open = true;
        }
        let y = below + 18.0 * n as f64;
        writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-linecap=\"round\"/>\
             <rect x=\"{LEFT}\" y=\"{:.1}\" width=\"14\" height=\"4\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
            y - 6.0,
            LEFT + 20.0,
            escaped(&line.label)
        )
        .ok();
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::history::Unit;

    #[test]
    fn names_of_hosts_are_text_in_the_picture_and_gaps_break_the_line() {
        let points = vec![Some(1.0), None, Some(2.0), Some(3.0)];
        let line = Line { label: "<b>&\u{1b}".into(), unit: Unit::Count, points };
        let text = draw("load.1", &[line], 0, 40_000, |at| at.to_string());
        assert!(text.contains("&lt;b&gt;&amp;") && !text.contains("<b>"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
        let path = text.split("<path d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
    }
}
