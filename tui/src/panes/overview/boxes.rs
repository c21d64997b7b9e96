//! The boxes of the overview: cores, disks, interfaces, system.

use crate::panes::Context;
use crate::store::metrics::Metrics;
use crate::theme::Role;
use crate::widgets::{bar, format, frame, table};
use cmdr_protocol::metrics::Metrics as Sample;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// How high the boxes want to be, in one row of boxes this wide.
pub(super) fn rows_wanted(sample: &Sample, width: u16) -> u16 {
    let per_row = (width.saturating_sub(2) / CORE).max(1);
    let cores = (sample.cores.len() as u16).div_ceil(per_row);
    let disks = (sample.mounts.len() + sample.disks.len()) as u16;
    let system = 6 + sample.temperatures.len().min(4) as u16;
    cores.max(disks).max(sample.networks.len() as u16 + 2).max(system) + 2
}

pub(super) fn draw(
    context: &Context<'_>,
    metrics: &Metrics,
    buffer: &mut Buffer,
    area: Rect,
    wide: bool,
) {
    let sample = &metrics.last;
    let areas: [Rect; 4] = if wide {
        area.layout(&Layout::horizontal([Constraint::Fill(1); 4]))
    } else {
        let halves = Layout::horizontal([Constraint::Fill(1); 2]);
        let [top, bottom] = area.layout(&Layout::vertical([Constraint::Fill(1); 2]));
        let [a, b] = top.layout(&halves);
        let [c, d] = bottom.layout(&halves);
        [a, b, c, d]
    };
    cores(context, sample, buffer, areas[0]);
    disks(context, sample, buffer, areas[1]);
    networks(context, sample, buffer, areas[2]);
    system(context, sample, buffer, areas[3]);
}

fn panel(
    context: &Context<'_>,
    buffer: &mut Buffer,
    area: Rect,
    name: &'static str,
    note: String,
) -> Rect {
    let Context { theme, texts, glyphs, .. } = *context;
    let title = Line::styled(format!(" {} ", texts.get(name)), theme.style(Role::Title));
    let note = if note.is_empty() { note } else { format!(" {note} ") };
    let note = Line::styled(note, theme.style(Role::Soft));
    let inner = frame::panel(buffer, area, title, note, theme, glyphs);
    Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
}

/// Lines from the top of an area; when not all fit, the last one counts the rest.
fn lines(context: &Context<'_>, buffer: &mut Buffer, area: Rect, lines: Vec<Line<'_>>) {
    let room = usize::from(area.height);
    let total = lines.len();
    for (n, line) in lines.into_iter().take(room).enumerate() {
        let y = area.y + n as u16;
        if n + 1 == room && total > room {
            let text = context.texts.fill("overview.more", &[&(total - n).to_string()]);
            let line = Line::styled(text, context.theme.style(Role::Faint));
            table::put(buffer, area.x, y, area.width, &line, false);
        } else {
            table::put(buffer, area.x, y, area.width, &line, false);
        }
    }
}

/// Cells of one core: number, bar, share.
const CORE: u16 = 18;

fn cores(context: &Context<'_>, sample: &Sample, buffer: &mut Buffer, area: Rect) {
    let Context { theme, glyphs, .. } = *context;
    let busy = sample.cores.iter().filter(|c| **c >= 900).count();
    let note = if busy > 0 {
        context.texts.fill("overview.cores_full", &[&busy.to_string()])
    } else {
        String::new()
    };
    let inner = panel(context, buffer, area, "overview.cores_title", note);
    if inner.height == 0 {
        return;
    }
    let count = sample.cores.len();
    // Two columns beside each other as long as each has room for a bar, more when there are many.
    let fit = usize::from((inner.width + 2) / CORE).max(1);
    let needed = count.div_ceil(usize::from(inner.height)).max(1);
    let dense = needed > fit;
    let columns =
        if dense { usize::from((inner.width + 1) / 9).max(1) } else { needed.max(fit.min(2)) };
    let columns = columns.min(count.max(1));
    let width = (usize::from(inner.width) + 2) / columns - 2;
    let rows = count.div_ceil(columns);
    let mut out = Vec::new();
    for row in 0..rows {
        let mut spans = Vec::new();
        // Down first, then right, as one reads a list.
        for core in (row..count).step_by(rows.max(1)) {
            let permille = u32::from(sample.cores[core]);
            let number = if dense { format!("{core:>2} ") } else { format!("{core:>3} ") };
            spans.push(Span::styled(number, theme.style(Role::Soft)));
            if !dense && width > 12 {
                spans.extend(bar::bar(permille, width.saturating_sub(9), theme, glyphs));
            }
            let cells = if dense { 4 } else { 5 };
            spans.push(Span::styled(
                format!("{:>cells$}", format::percent(permille)),
                theme.level(permille),
            ));
            spans.push(Span::raw("  "));
        }
        spans.pop();
        out.push(Line::from(spans));
    }
    lines(context, buffer, inner, out);
}

fn disks(context: &Context<'_>, sample: &Sample, buffer: &mut Buffer, area: Rect) {
    let Context { theme, glyphs, .. } = *context;
    let inner = panel(context, buffer, area, "overview.disks", String::new());
    let width = usize::from(inner.width);
    let longest = sample.mounts.iter().map(|m| m.mount.width()).max().unwrap_or(0);
    let name = longest.clamp(4, (width / 3).max(4));
    let soft = theme.style(Role::Soft);
    let mut out = Vec::new();
    for mount in &sample.mounts {
        let used = mount.total.saturating_sub(mount.free);
        let permille = format::permille(used, mount.total);
        let sizes = format!(" {}/{}", format::bytes(used), format::bytes(mount.total));
        let left = width.saturating_sub(name + 6);
        let (bar_width, sizes) =
            if left >= 20 { (left - 12, sizes) } else { (left, String::new()) };
        let mut spans = vec![Span::styled(fixed(&mount.mount, name), theme.style(Role::Text))];
        spans.push(Span::raw(" "));
        spans.extend(bar::bar(permille, bar_width, theme, glyphs));
        let share = format!("{:>5}", format::percent(permille));
        spans.push(Span::styled(share, theme.level(permille)));
        spans.push(Span::styled(sizes, soft));
        out.push(Line::from(spans));
    }
    for disk in &sample.disks {
        let text = format!(
            " r {:>5} w {:>5} {:>4}",
            format::rate(disk.read),
            format::rate(disk.written),
            format::percent(disk.busy.into())
        );
        out.push(Line::from(vec![
            Span::styled(fixed(&disk.name, name), soft),
            Span::styled(text, soft),
        ]));
    }
    lines(context, buffer, inner, out);
}

fn networks(context: &Context<'_>, sample: &Sample, buffer: &mut Buffer, area: Rect) {
    let Context { theme, texts, .. } = *context;
    let note = texts.fill("overview.sockets", &[&format::count(sample.sockets as usize)]);
    let inner = panel(context, buffer, area, "overview.interfaces", note);
    let longest = sample.networks.iter().map(|n| n.name.width()).max().unwrap_or(0);
    let name = longest.clamp(4, (usize::from(inner.width) / 3).max(4));
    let mut out = Vec::new();
    for network in &sample.networks {
        let mut spans = vec![
            Span::styled(fixed(&network.name, name), theme.style(Role::Text)),
            Span::styled(" ↓", theme.style(Role::LineA)),
            Span::raw(format!("{:>6}", format::rate(network.received))),
            Span::styled("  ↑", theme.style(Role::LineB)),
            Span::raw(format!("{:>6}", format::rate(network.sent))),
        ];
        if network.errors > 0 {
            let text = texts.fill("overview.errors", &[&network.errors.to_string()]);
            spans.push(Span::styled(format!("  {text}"), theme.style(Role::Bad)));
        }
        out.push(Line::from(spans).style(theme.style(Role::Soft)));
    }
    lines(context, buffer, inner, out);
}

fn system(context: &Context<'_>, sample: &Sample, buffer: &mut Buffer, area: Rect) {
    let Context { theme, texts, .. } = *context;
    let inner = panel(context, buffer, area, "overview.system_title", String::new());
    let soft = theme.style(Role::Soft);
    let text = theme.style(Role::Text);
    let words = ["overview.load", "overview.processes", "overview.pressure"];
    let widest = words.map(|key| texts.get(key).width()).into_iter().max().unwrap_or(0);
    let wide = |key: &'static str| {
        let word = texts.get(key);
        format!("{word}{}", " ".repeat((widest + 2).saturating_sub(word.width()).max(1)))
    };
    let pair = |key: &'static str, value: String| {
        Line::from(vec![Span::styled(wide(key), soft), Span::styled(value, text)])
    };
    let load = sample.load.map(format::hundredths).join("  ");
    let [all, running] = sample.processes;
    let mut out = vec![
        pair("overview.load", load),
        pair(
            "overview.processes",
            texts.fill("overview.running", &[&all.to_string(), &running.to_string()]),
        ),
    ];
    if let Some(pressure) = sample.pressure {
        let line = |tenths: bool| {
            let mut spans = vec![Span::styled(wide("overview.pressure"), soft)];
            for (key, value) in [
                ("word.cpu", pressure.cpu),
                ("overview.mem", pressure.memory),
                ("overview.io", pressure.io),
            ] {
                if spans.len() > 1 {
                    spans.push(Span::raw(" "));
                }
                spans.push(Span::styled(format!("{} ", texts.get(key)), soft));
                let style =
                    if value < 1000 { text } else { theme.level(u32::from(value) / 10 + 600) };
                let tenth = if tenths { format!(".{}", value / 10 % 10) } else { String::new() };
                spans.push(Span::styled(format!("{}{tenth}%", value / 100), style));
            }
            Line::from(spans)
        };
        // Where there is no room for tenths, all three are worth more than those.
        let whole = line(true);
        let fits = whole.width() <= usize::from(inner.width);
        out.push(if fits { whole } else { line(false) });
    }
    for sensor in &sample.temperatures {
        let degrees = sensor.tenths / 10;
        let style = theme.level((degrees.max(0) * 10) as u32);
        out.push(Line::from(vec![
            Span::styled(fixed(&sensor.name, 20), soft),
            Span::styled(format!(" {degrees} °C"), style),
        ]));
    }
    lines(context, buffer, inner, out);
}

/// A text in exactly so many cells.
fn fixed(text: &str, width: usize) -> String {
    let cut = cmdr_protocol::display::clean_to_width(text, width);
    let pad = width.saturating_sub(cut.width());
    cut + &" ".repeat(pad)
}
