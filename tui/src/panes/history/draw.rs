//! How a chart page looks.

use super::{HistoryPane, Seen};
use crate::panes::Context;
use crate::store::history::{Held, Line as Of, Mark, Stretch};
use crate::theme::Role;
use crate::widgets::chart::Glyphs;
use crate::widgets::plot::{Plot, Trace};
use crate::widgets::{format, frame as boxes, table};
use cmdr_chart::{scale, shown};
use cmdr_protocol::alerts::Severity;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::history::{Aggregate, Over, Unit};
use cmdr_protocol::human;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// So many lines are told apart in one chart.
const ROLES: [Role; 8] = [
    Role::LineA,
    Role::LineB,
    Role::Ok,
    Role::Warn,
    Role::Bad,
    Role::Info,
    Role::Label,
    Role::Strong,
];
/// Rows that a chart needs to be read.
const LEAST: u16 = 8;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Whether a name is one that a pattern means; `*` is anything.
fn means(pattern: &str, name: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(before) else { return false };
    let starts = name.char_indices().map(|(at, _)| at).chain([name.len()]);
    starts.into_iter().any(|at| means(rest, &name[at..]))
}

impl HistoryPane {
    /// Whether a line belongs to this chart.
    pub(super) fn is_in(&self, line: &Of, chart: usize) -> bool {
        self.figures.get(chart).is_some_and(|figure| means(figure, &line.figure))
    }

    /// What the legend calls a line.
    pub(super) fn called(context: &Context<'_>, line: &Of, over: Over) -> String {
        let who = match (line.host, over) {
            (Some(_), _) => line.name.clone(),
            (None, Over::Min) => context.texts.get("history.over.min").to_owned(),
            (None, Over::Max) => context.texts.get("history.over.max").to_owned(),
            (None, Over::Sum) => context.texts.get("history.over.sum").to_owned(),
            (None, _) => context.texts.get("history.over.mean").to_owned(),
        };
        match line.figure.split_once('{') {
            Some((_, of)) => format!("{who} {}", of.trim_end_matches('}')),
            None => who,
        }
    }

    /// The value at the cursor, or the last one that is seen.
    pub(super) fn value(
        stretch: &Stretch,
        line: &Of,
        cursor_ms: Option<u64>,
        from: u64,
        to: u64,
    ) -> Option<f64> {
        let step = stretch.step_ms.max(1);
        let place = |ms: u64| (ms.saturating_sub(stretch.from_ms) / step) as usize;
        match cursor_ms {
            Some(at) if at >= stretch.from_ms => *line.points.get(place(at))?,
            Some(_) => None,
            None => {
                let seen = line.points.iter().take(place(to) + 1).skip(place(from));
                seen.rev().find_map(|value| *value)
            }
        }
    }

    pub(super) fn paint(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.seen.clear();
        if area.height < 4 || area.width < 24 {
            return;
        }
        let empty = Held::default();
        let held = context.store.charts.get(self.owner).unwrap_or(&empty);
        let head = self.head(context, held);
        let buffer = frame.buffer_mut();
        table::put(buffer, area.x + 1, area.y, area.width - 2, &head, false);
        let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
        if let Some(lines) = Self::missing(context, held) {
            return crate::panes::notice(frame, body, &lines);
        }
        let most = usize::from(body.height / LEAST).max(1);
        let count = self.figures.len().min(most);
        let first = (self.focus + 1).saturating_sub(count);
        for n in 0..count {
            let (n16, count16) = (n as u16, count as u16);
            let top = body.y + body.height * n16 / count16;
            let bottom = body.y + body.height * (n16 + 1) / count16;
            let area = Rect { y: top, height: bottom - top, ..body };
            self.chart(context, held, frame.buffer_mut(), area, first + n);
        }
        if !context.store.is_up() {
            boxes::fade(frame.buffer_mut(), body, context.theme);
        }
    }

    fn head(&self, context: &Context<'_>, held: &Held) -> Line<'static> {
        let Context { store, theme, texts, .. } = *context;
        let (from, to) = self.bounds(context);
        let soft = theme.style(Role::Soft);
        let who = match (self.hosts.as_slice(), self.selector.as_str()) {
            ([], "") => texts.get("history.all").to_owned(),
            ([one], _) => store.hosts.name(*one),
            ([], text) => clean_to_width(text, 30),
            (many, _) => texts.fill("hosts.many", &[&many.len().to_string()]),
        };
        let over = match self.over(context) {
            Over::Mean => Some("history.over.mean"),
            Over::Min => Some("history.over.min"),
            Over::Max => Some("history.over.max"),
            Over::Sum => Some("history.over.sum"),
            _ => None,
        };
        let aggregate = match self.aggregate {
            Aggregate::Min => "history.agg.min",
            Aggregate::Max => "history.agg.max",
            Aggregate::P95 => "history.agg.p95",
            _ => "history.agg.mean",
        };
        let step = held.now.as_ref().map_or(0, |stretch| stretch.step_ms);
        let now_s = store.now_ms / 1000;
        let moment = |ms: u64| format::moment(ms / 1000, now_s, store.utc_offset_s);
        let mut parts =
            vec![(who, Role::Strong), (human::span(self.window.span_ms / 1000), Role::Text)];
        if self.window.follows() {
            parts.push((texts.get("history.live").to_owned(), Role::Ok));
        } else {
            parts.push((format!("{} – {}", moment(from), moment(to)), Role::Text));
        }
        if held.busy && held.now.is_none() {
            parts.push((texts.get("history.asking").to_owned(), Role::Warn));
        }
        if let Some(at) = self.cursor_ms {
            let day = if to.saturating_sub(from) > DAY_MS { moment(at) } else { String::new() };
            let clock = store.clock(at, step < 60_000 && day.is_empty());
            let text = if day.is_empty() { clock } else { day };
            parts.push((format!("┃ {text}"), Role::Accent));
        }
        if let Some(over) = over {
            parts.push((texts.get(over).to_owned(), Role::Text));
        }
        let step = human::span(step / 1000);
        parts.push((texts.fill(aggregate, &[&step]), Role::Soft));
        match self.shift_ms() {
            0 => {}
            DAY_MS => parts.push((texts.get("history.day_before").to_owned(), Role::Info)),
            _ => parts.push((texts.get("history.week_before").to_owned(), Role::Info)),
        }
        if let Some(mark) = self.marked(held, from, to) {
            parts.push((format!("▲ {}", clean_to_width(&mark.label, 60)), role(mark.severity)));
        }
        let mut line = Line::default();
        for (n, (text, role)) in parts.into_iter().enumerate() {
            if n > 0 {
                line.push_span(Span::styled(" · ", soft));
            }
            line.push_span(Span::styled(text, theme.style(role)));
        }
        line
    }

    /// The alert at the cursor.
    fn marked<'a>(&self, held: &'a Held, from: u64, to: u64) -> Option<&'a Mark> {
        let near = (to - from) / self.cells.max(1);
        let at = self.cursor_ms?;
        let marks = held.marks.as_ref()?.marks.iter();
        let close = marks.filter(|mark| mark.at_ms.abs_diff(at) <= near);
        close.min_by_key(|mark| (mark.over, mark.at_ms.abs_diff(at)))
    }

    /// Why there is nothing to draw, when there is nothing at all.
    fn missing(context: &Context<'_>, held: &Held) -> Option<Vec<Line<'static>>> {
        let Context { store, theme, texts, .. } = *context;
        let soft = |text: &str| Line::styled(text.to_owned(), theme.style(Role::Soft));
        let Some(stretch) = &held.now else {
            let key = if store.is_up() { "history.asking" } else { "overview.no_hub" };
            return Some(vec![soft(texts.get(key))]);
        };
        match &stretch.lines {
            Err(error) => {
                let why = texts.reason(&crate::action::reason(error));
                let next = soft(texts.get("history.failed"));
                Some(vec![Line::styled(why, theme.style(Role::Bad)), next])
            }
            Ok(_) => None,
        }
    }

    fn chart(
        &mut self,
        context: &Context<'_>,
        held: &Held,
        buffer: &mut Buffer,
        area: Rect,
        chart: usize,
    ) {
        let Context { theme, texts, glyphs, store, .. } = *context;
        let (from, to) = self.bounds(context);
        let figure = self.figures.get(chart).cloned().unwrap_or_default();
        let here = chart == self.focus && self.figures.len() > 1;
        let name = clean_to_width(&figure, usize::from(area.width.saturating_sub(8)));
        let title = Line::styled(format!(" {name} "), theme.style(Role::Title));
        let note = if here {
            let text = format!(" {}/{} ", chart + 1, self.figures.len());
            Line::styled(text, theme.style(Role::Soft))
        } else {
            Line::default()
        };
        let panel = if here { boxes::panel_here } else { boxes::panel };
        let inner = panel(buffer, area, title, note, theme, glyphs);
        let Some((stretch, Ok(all))) = held.now.as_ref().map(|s| (s, &s.lines)) else { return };
        let lines: Vec<&Of> = all.iter().filter(|line| self.is_in(line, chart)).collect();
        let seen = |line: &&&Of| Self::value(stretch, line, None, from, to).is_some();
        if inner.height < 3 || lines.iter().filter(seen).count() == 0 {
            let key = if held.busy { "history.asking" } else { "history.none" };
            let text = texts.fill(key, &[&name]);
            let text = clean_to_width(&text, usize::from(inner.width.saturating_sub(2)));
            let line = Line::styled(text, theme.style(Role::Soft));
            let y = inner.y + inner.height / 2;
            table::put(buffer, inner.x + 1, y, inner.width.saturating_sub(2), &line, false);
            self.seen.push(Seen { chart, plot: inner, whole: area });
            return;
        }
        let drawn = &lines[..lines.len().min(ROLES.len())];
        let left = lines.len() - drawn.len();
        let before = self.before(held, chart, drawn);
        let unit = drawn[0].unit;
        let (low, high) = self.ends(held, drawn, &before, unit, (from, to));
        let labels = [high, f64::midpoint(low, high), low].map(|v| shown(v, unit));
        let gutter = labels.iter().map(|l| l.width()).max().unwrap_or(0).max(6) as u16;
        if inner.width < gutter + 8 {
            return;
        }
        let below = if inner.height >= 14 { 2 } else { 1 };
        let plot = Rect {
            x: inner.x + gutter + 1,
            width: inner.width - gutter - 1,
            height: inner.height - 1 - below,
            ..inner
        };
        self.cells = u64::from(plot.width);
        self.seen.push(Seen { chart, plot, whole: area });
        axis(context, buffer, plot, gutter, &labels);
        times(context, buffer, plot, (from, to));
        self.cursor(context, buffer, plot, (from, to));
        let lettered = theme.is_plain() && drawn.len() > 1;
        let faint = theme.style(Role::Faint);
        let shift = self.shift_ms().cast_signed();
        let mut traces: Vec<Trace<'_>> = Vec::new();
        if let Some(old) = &held.before {
            traces.extend(before.iter().map(|line| Trace {
                from_ms: old.from_ms.cast_signed() + shift,
                step_ms: old.step_ms,
                points: &line.points,
                style: faint,
                letter: lettered.then_some('.'),
            }));
        }
        traces.extend(drawn.iter().enumerate().map(|(n, line)| Trace {
            from_ms: stretch.from_ms.cast_signed(),
            step_ms: stretch.step_ms,
            points: &line.points,
            style: theme.style(ROLES[n]),
            letter: lettered.then(|| letter(n)),
        }));
        Plot { from_ms: from, to_ms: to, low, high, traces }.draw(buffer, plot, glyphs);
        let marks = held.marks.as_ref().map_or(&[][..], |marks| &marks.marks);
        put_marks(context, buffer, plot, (from, to), marks);
        let legend = Rect { y: plot.bottom() + 1, height: below, ..inner };
        let mut items: Vec<Vec<Span<'static>>> = Vec::new();
        for (n, line) in drawn.iter().enumerate() {
            let sign = if lettered { letter(n) } else { mark_of(glyphs) };
            let value = Self::value(stretch, line, self.cursor_ms, from, to);
            let label = Self::called(context, line, stretch.question.over);
            let mut item = vec![
                Span::styled(format!("{sign} "), theme.style(ROLES[n])),
                Span::styled(format!("{} ", clean_to_width(&label, 28)), theme.style(Role::Soft)),
                Span::styled(
                    value.map_or_else(|| "–".to_owned(), |value| shown(value, unit)),
                    theme.style(Role::Text),
                ),
            ];
            let old = held.before.as_ref().zip(before.iter().find(|old| old.host == line.host));
            if let Some((old_stretch, old)) = old.filter(|_| self.shift_ms() > 0) {
                let past = |ms: u64| ms.saturating_sub(self.shift_ms());
                let at = self.cursor_ms.unwrap_or(store.now_ms.min(to.saturating_sub(1)));
                let at = Some(past(at));
                if let Some(value) = Self::value(old_stretch, old, at, past(from), past(to)) {
                    item.push(Span::styled(format!(" ({})", shown(value, unit)), faint));
                }
            }
            items.push(item);
        }
        put_legend(context, buffer, legend, items, left);
    }

    /// What the lines of a chart are compared with.
    fn before<'a>(&self, held: &'a Held, chart: usize, drawn: &[&Of]) -> Vec<&'a Of> {
        let old = held.before.as_ref().filter(|_| self.shift_ms() > 0);
        let Some(Ok(lines)) = old.map(|stretch| &stretch.lines) else { return Vec::new() };
        let known = |old: &&Of| drawn.iter().any(|line| line.host == old.host);
        lines.iter().filter(|line| self.is_in(line, chart)).filter(known).collect()
    }

    /// The ends of the axis of values, by what is seen.
    fn ends(
        &self,
        held: &Held,
        drawn: &[&Of],
        before: &[&Of],
        unit: Unit,
        (from, to): (u64, u64),
    ) -> (f64, f64) {
        let shift = self.shift_ms();
        let seen = [(&held.now, drawn, 0), (&held.before, before, shift)];
        let values = seen.into_iter().flat_map(|(stretch, lines, shift)| {
            let (begins, step) = stretch.as_ref().map_or((0, 1), |s| (s.from_ms, s.step_ms.max(1)));
            let place = |ms: u64| (ms.saturating_sub(shift).saturating_sub(begins) / step) as usize;
            let (first, end) = (place(from), place(to) + 1);
            let points = lines.iter().map(move |line| line.points.iter().take(end).skip(first));
            points.flatten().flatten().copied()
        });
        let (low, high) = scale::range_of(values.filter(|v| v.is_finite()));
        scale::round(low, high, unit)
    }

    fn cursor(
        &self,
        context: &Context<'_>,
        buffer: &mut Buffer,
        plot: Rect,
        (from, to): (u64, u64),
    ) {
        let Some(at) = self.cursor_ms.filter(|at| (from..to).contains(at)) else { return };
        let x = plot.x + column(at, (from, to), plot.width);
        let line = if context.glyphs == Glyphs::Ascii { "|" } else { "│" };
        for y in plot.top()..plot.bottom() {
            buffer.set_string(x, y, line, context.theme.style(Role::Accent));
        }
    }
}

pub(in crate::panes) fn column(at: u64, (from, to): (u64, u64), width: u16) -> u16 {
    let share = at.saturating_sub(from) as f64 / (to - from).max(1) as f64;
    ((share * f64::from(width)) as u16).min(width.saturating_sub(1))
}

const fn role(severity: Severity) -> Role {
    match severity {
        Severity::Critical => Role::Bad,
        Severity::Warning => Role::Warn,
        _ => Role::Info,
    }
}

fn letter(n: usize) -> char {
    char::from(b"abcdefghijklmnopqrstuvwxyz"[n % 26])
}

const fn mark_of(glyphs: Glyphs) -> char {
    match glyphs {
        Glyphs::Ascii => '*',
        Glyphs::Braille | Glyphs::Block => '━',
    }
}

/// The axis of values.
pub(in crate::panes) fn axis(
    context: &Context<'_>,
    buffer: &mut Buffer,
    plot: Rect,
    gutter: u16,
    labels: &[String; 3],
) {
    let (grid, border) = (context.theme.style(Role::Grid), context.theme.style(Role::Border));
    let edge = if context.glyphs == Glyphs::Ascii { "|" } else { "│" };
    for y in plot.top()..plot.bottom() {
        buffer.set_string(plot.x - 1, y, edge, border);
    }
    let mut label = |y: u16, text: &str| {
        let x = plot.x - 1 - (text.width() as u16).min(gutter);
        buffer.set_string(x, y, text, grid);
    };
    label(plot.y, &labels[0]);
    if plot.height >= 5 {
        label(plot.y + plot.height / 2, &labels[1]);
    }
    if plot.height >= 2 {
        label(plot.bottom() - 1, &labels[2]);
    }
}

/// The axis of time, by the clock of this place.
pub(in crate::panes) fn times(
    context: &Context<'_>,
    buffer: &mut Buffer,
    plot: Rect,
    (from, to): (u64, u64),
) {
    let Context { store, theme, glyphs, .. } = *context;
    let (grid, border) = (theme.style(Role::Grid), theme.style(Role::Border));
    let (corner, line, tick) =
        if glyphs == Glyphs::Ascii { ("+", "-", "+") } else { ("└", "─", "┴") };
    let y = plot.bottom();
    buffer.set_string(plot.x - 1, y, corner, border);
    buffer.set_string(plot.x, y, line.repeat(usize::from(plot.width)), border);
    let distance = scale::distance(to - from, u64::from(plot.width / 12));
    for at in scale::times(from, to, distance, store.utc_offset_s) {
        let x = column(at, (from, to), plot.width);
        let local = at.saturating_add_signed(i64::from(store.utc_offset_s) * 1000);
        let text = if local.is_multiple_of(DAY_MS) {
            human::moment(local).get(5..10).unwrap_or_default().to_owned()
        } else {
            store.clock(at, distance < 60_000)
        };
        buffer.set_string(plot.x + x, y, tick, border);
        if x + 1 + text.width() as u16 <= plot.width {
            buffer.set_string(plot.x + x + 1, y, text, grid);
        }
    }
}

/// Marks on the axis of time: what fired, and in another form what ended.
fn put_marks(
    context: &Context<'_>,
    buffer: &mut Buffer,
    plot: Rect,
    (from, to): (u64, u64),
    marks: &[Mark],
) {
    let (fired, over) = if context.glyphs == Glyphs::Ascii { ("^", "o") } else { ("▲", "△") };
    for mark in marks.iter().filter(|mark| (from..to).contains(&mark.at_ms)) {
        let x = plot.x + column(mark.at_ms, (from, to), plot.width);
        let (sign, role) = if mark.over { (over, Role::Ok) } else { (fired, role(mark.severity)) };
        buffer.set_string(x, plot.bottom(), sign, context.theme.style(role));
    }
}

/// The names of lines with their values, as many as there is room for, and how many more there are.
fn put_legend(
    context: &Context<'_>,
    buffer: &mut Buffer,
    area: Rect,
    items: Vec<Vec<Span<'static>>>,
    left: usize,
) {
    let soft = context.theme.style(Role::Soft);
    let room = usize::from(area.width.saturating_sub(2));
    let more = |n: usize| Span::styled(context.texts.fill("history.more", &[&n.to_string()]), soft);
    let mut rows = vec![Line::default()];
    let count = items.len();
    for (n, item) in items.into_iter().enumerate() {
        let needs: usize = item.iter().map(Span::width).sum();
        let rest = count - n - 1 + left;
        let kept = if rest > 0 { more(rest).width() + 1 } else { 0 };
        let last = rows.len() >= usize::from(area.height);
        let line = rows.last().map_or(0, Line::width);
        if line > 0 && line + needs + if last { kept } else { 0 } > room {
            if last {
                if let Some(line) = rows.last_mut() {
                    line.push_span(more(count - n + left));
                }
                break;
            }
            rows.push(Line::default());
        }
        let Some(line) = rows.last_mut() else { break };
        line.extend(item);
        line.push_span(Span::raw("  "));
        if n + 1 == count && left > 0 {
            line.push_span(more(left));
        }
    }
    for (y, line) in (area.top()..area.bottom()).zip(&rows) {
        table::put(buffer, area.x + 1, y, area.width.saturating_sub(2), line, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_in_a_figure_is_anything() {
        assert!(means("net.sent{*}", "net.sent{eth0}"));
        assert!(means("*", "") && means("a*c", "abbc") && means("界*", "界面"));
        assert!(!means("net.sent{*}", "net.received{eth0}") && !means("load.1", "load.15"));
    }
}
