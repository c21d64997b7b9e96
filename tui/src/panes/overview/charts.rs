//! The charts of the overview.

use crate::panes::Context;
use crate::store::metrics::{Line as Of, Metrics};
use crate::theme::Role;
use crate::widgets::chart::{Chart, Series, nice_bytes, nice_top};
use crate::widgets::{format, frame as boxes, table};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// A box with a title of a name and its value now, and the time span at the right.
fn panel(
    context: &Context<'_>,
    buffer: &mut Buffer,
    area: Rect,
    name: &'static str,
    value: Vec<Span<'static>>,
    span_s: u64,
) -> Rect {
    let Context { theme, texts, glyphs, .. } = *context;
    let mut title = vec![Span::styled(format!(" {} ", texts.get(name)), theme.style(Role::Title))];
    title.extend(value);
    title.push(Span::raw(" "));
    let minutes = texts.fill("overview.minutes", &[&(span_s / 60).to_string()]);
    let note = Line::styled(format!(" {minutes} "), theme.style(Role::Soft));
    boxes::panel(buffer, area, Line::from(title), note, theme, glyphs)
}

fn share(context: &Context<'_>, permille: u32) -> Span<'static> {
    // Not bold: `Low` and `Mid` and `High` say how it is.
    Span::styled(format::percent(permille), context.theme.level(permille))
}

/// The most of some lines within the span, for the axis.
fn most(metrics: &Metrics, lines: &[Of], span_s: u64) -> f32 {
    let Some(last) = metrics.points.back() else { return 0.0 };
    let from = last.at_ms.saturating_sub(span_s * 1000);
    let points = metrics.points.iter().rev().take_while(|p| p.at_ms >= from);
    points.flat_map(|p| lines.iter().map(|l| p.get(*l))).fold(0.0, f32::max)
}

struct Axis {
    top: f32,
    labels: [String; 2],
}

fn draw(
    context: &Context<'_>,
    metrics: &Metrics,
    span_s: u64,
    buffer: &mut Buffer,
    area: Rect,
    axis: Axis,
    lines: &[(Of, Option<Role>)],
) {
    let Context { theme, texts, glyphs, .. } = *context;
    // The host's own clock: ours may differ. It stands still when no sample comes.
    let Some(now_ms) = metrics.points.back().map(|p| p.at_ms) else { return };
    let reach_ms = context.store.reach_ms();
    let from = now_ms.saturating_sub(span_s * 1000 + 5000);
    let first = metrics.points.partition_point(|p| p.at_ms < from);
    let mut points: Vec<_> = lines
        .iter()
        .map(|(line, _)| metrics.points.range(first..).map(|p| (p.at_ms, p.get(*line))))
        .collect();
    let series = points
        .iter_mut()
        .zip(lines)
        .map(|(points, (_, role))| Series { points, style: role.map(|role| theme.style(role)) });
    let now = texts.get("overview.now");
    let chart = Chart {
        now_ms,
        span_s,
        reach_ms,
        top: axis.top,
        labels: axis.labels,
        now,
        series: series.collect(),
    };
    chart.draw(buffer, area, theme, glyphs);
}

/// Splits the bottom line off for words, when there is room for both.
fn with_words(inner: Rect) -> (Rect, Option<Rect>) {
    if inner.height < 6 {
        return (inner, None);
    }
    let words = Rect { y: inner.bottom() - 1, height: 1, ..inner };
    (Rect { height: inner.height - 1, ..inner }, Some(words))
}

fn words(context: &Context<'_>, buffer: &mut Buffer, area: Rect, items: &[(&'static str, String)]) {
    let Context { theme, texts, .. } = *context;
    let width = area.width.saturating_sub(1);
    let mut line = Line::default();
    for (name, value) in items {
        let word = Span::styled(format!("{} ", texts.get(name)), theme.style(Role::Soft));
        // A pair that does not fit is left out whole: half a word tells nothing.
        if line.width() + word.width() + value.width() > usize::from(width) {
            break;
        }
        line.push_span(word);
        line.push_span(Span::styled(format!("{value}  "), theme.style(Role::Text)));
    }
    table::put(buffer, area.x + 1, area.y, width, &line, false);
}

pub(super) fn cpu(
    context: &Context<'_>,
    metrics: &Metrics,
    span_s: u64,
    buffer: &mut Buffer,
    area: Rect,
) {
    let cpu = metrics.last.cpu;
    let cores = metrics.last.cores.len();
    let mut value = vec![share(context, cpu.busy().into())];
    if cores > 0 {
        let text = format!("  {}", context.texts.fill("overview.cores", &[&cores.to_string()]));
        value.push(Span::styled(text, context.theme.style(Role::Soft)));
    }
    let inner = panel(context, buffer, area, "word.cpu", value, span_s);
    let (plot, below) = with_words(inner);
    let axis = Axis { top: 1000.0, labels: ["100%".into(), "50".into()] };
    draw(context, metrics, span_s, buffer, plot, axis, &[(Of::Cpu, None)]);
    if let Some(below) = below {
        let items = [
            ("overview.user", cpu.user),
            ("overview.system", cpu.system),
            ("overview.iowait", cpu.iowait),
            ("overview.steal", cpu.steal),
        ];
        let items = items.map(|(name, v)| (name, format!("{:>3}", format::percent(v.into()))));
        words(context, buffer, below, &items);
    }
}

pub(super) fn memory(
    context: &Context<'_>,
    metrics: &Metrics,
    span_s: u64,
    buffer: &mut Buffer,
    area: Rect,
) {
    let memory = metrics.last.memory;
    let used = memory.used();
    let soft = context.theme.style(Role::Soft);
    let mut value = vec![share(context, format::permille(used, memory.total))];
    if area.width >= 40 {
        let text = format!("  {}/{}", format::bytes(used), format::size(memory.total));
        value.push(Span::styled(text, soft));
    }
    if memory.swap_total > 0 && area.width >= 60 {
        let text = format!(
            "  {} {}/{}",
            context.texts.get("overview.swap"),
            format::bytes(memory.swap_used),
            format::bytes(memory.swap_total)
        );
        value.push(Span::styled(text, soft));
    }
    let inner = panel(context, buffer, area, "word.memory", value, span_s);
    let (plot, below) = with_words(inner);
    let top = memory.total.max(1);
    let axis = Axis { top: top as f32, labels: [format::bytes(top), format::bytes(top / 2)] };
    draw(context, metrics, span_s, buffer, plot, axis, &[(Of::Memory, None)]);
    if let Some(below) = below {
        let items = [
            ("overview.used", used),
            ("overview.cached", memory.cached + memory.buffers),
            ("overview.free", memory.free),
        ];
        words(context, buffer, below, &items.map(|(name, n)| (name, format::bytes(n))));
    }
}

fn two_rates(
    context: &Context<'_>,
    metrics: &Metrics,
    span_s: u64,
    buffer: &mut Buffer,
    area: Rect,
    name: &'static str,
    lines: [(Of, &'static str); 2],
) {
    let theme = context.theme;
    let last = |line| metrics.points.back().map_or(0, |p| p.get(line) as u64);
    let roles = [Role::LineA, Role::LineB];
    let mut value = Vec::new();
    for ((line, sign), role) in lines.iter().zip(roles) {
        value.push(Span::styled(format!(" {sign}"), theme.style(role)));
        let text = format!(" {:>5}/s", format::bytes(last(*line)));
        value.push(Span::styled(text, theme.style(Role::Text)));
    }
    let inner = panel(context, buffer, area, name, value, span_s);
    let [a, b] = lines.map(|(line, _)| line);
    // Each has its own half: drawn over each other the smaller one would vanish.
    let upper = Rect { height: inner.height / 2, ..inner };
    let lower = Rect { y: upper.bottom(), height: inner.height - upper.height, ..inner };
    for (line, role, area) in [(a, Role::LineA, upper), (b, Role::LineB, lower)] {
        let top = nice_bytes(most(metrics, &[line], span_s), 1024.0);
        let labels = [format::bytes(top as u64), format::bytes(top as u64 / 2)];
        let axis = Axis { top, labels };
        draw(context, metrics, span_s, buffer, area, axis, &[(line, Some(role))]);
    }
}

pub(super) fn network(
    context: &Context<'_>,
    metrics: &Metrics,
    span_s: u64,
    buffer: &mut Buffer,
    area: Rect,
) {
    let lines = [(Of::Received, "↓"), (Of::Sent, "↑")];
    two_rates(context, metrics, span_s, buffer, area, "overview.network", lines);
}

pub(super) fn disk(
    context: &Context<'_>,
    metrics: &Metrics,
    span_s: u64,
    buffer: &mut Buffer,
    area: Rect,
) {
    // Disk traffic beside load: both tell whether the host keeps up.
    if area.width < 100 {
        let lines = [(Of::Read, "r"), (Of::Written, "w")];
        two_rates(context, metrics, span_s, buffer, area, "overview.disk_io", lines);
        return;
    }
    let left = Rect { width: area.width / 2, ..area };
    let right = Rect { x: left.right(), width: area.width - left.width, ..area };
    let lines = [(Of::Read, "r"), (Of::Written, "w")];
    two_rates(context, metrics, span_s, buffer, left, "overview.disk_io", lines);
    let load = metrics.last.load;
    let text = load.map(format::hundredths).join("  ");
    let value = vec![Span::styled(text, context.theme.style(Role::Text))];
    let inner = panel(context, buffer, right, "overview.load", value, span_s);
    let top = nice_top(most(metrics, &[Of::Load], span_s), 100.0);
    let labels = [format::hundredths(top as u32), format::hundredths(top as u32 / 2)];
    let axis = Axis { top, labels };
    draw(context, metrics, span_s, buffer, inner, axis, &[(Of::Load, Some(Role::Info))]);
}
