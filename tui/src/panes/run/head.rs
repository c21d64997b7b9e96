//! What stands above the list: who ordered what, how many stand how, and a bar for each wave.

use super::{Only, RunPane, columns};
use crate::panes::Context;
use crate::panes::sheet::dotted;
use crate::store::runs::{Watched, state_of};
use crate::theme::{Role, Theme};
use crate::widgets::chart::Glyphs;
use crate::widgets::{format, frame as boxes, table};
use cmdr_protocol::runs::{Amount, Counts, Run, TargetState};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// Cells that a wave's bar and its words need beside others.
const WAVE: u16 = 38;

/// How many stand how, in the order in which that is told.
fn standings(counts: Counts) -> [(u32, TargetState); 10] {
    [
        (counts.ok, TargetState::Ok),
        (counts.failed, TargetState::Failed),
        (counts.timed_out, TargetState::TimedOut),
        (counts.lost, TargetState::Lost),
        (counts.unreachable, TargetState::Unreachable),
        (counts.refused, TargetState::Refused),
        (counts.cancelled, TargetState::Cancelled),
        (counts.running, TargetState::Running),
        (counts.sent, TargetState::Sent),
        (counts.queued, TargetState::Queued),
    ]
}

/// A bar of what stands how; what there is at all has a cell when there are enough of them.
pub(super) fn bar(
    counts: Counts,
    total: u32,
    width: usize,
    theme: &Theme,
    glyphs: Glyphs,
) -> Vec<Span<'static>> {
    let bad = counts.failed + counts.timed_out + counts.refused;
    let parts = [
        (counts.ok, Role::Ok, "#"),
        (bad, Role::Bad, "x"),
        (counts.lost + counts.unreachable, Role::Warn, "?"),
        (counts.cancelled, Role::Soft, "-"),
        (counts.running + counts.sent, Role::Info, ">"),
    ];
    let shape = glyphs == Glyphs::Ascii || theme.is_plain();
    let total = u64::from(total.max(1));
    let mut used = 0;
    let mut done = 0u64;
    let mut spans = Vec::new();
    for (n, role, sign) in parts {
        done += u64::from(n);
        let mut to = (done.min(total) * width as u64 / total) as usize;
        if n > 0 && to <= used {
            to = (used + 1).min(width);
        }
        let sign = if shape { sign } else { "■" };
        if to > used {
            spans.push(Span::styled(sign.repeat(to - used), theme.style(role)));
            used = to;
        }
    }
    let sign = if shape { "." } else { "■" };
    spans.push(Span::styled(sign.repeat(width - used), theme.style(Role::Empty)));
    spans
}

/// One wave: its name, its bar, and how many are done.
fn wave(
    context: &Context<'_>,
    name: &str,
    counts: Counts,
    total: u32,
    is_now: bool,
    width: usize,
) -> Line<'static> {
    let Context { theme, glyphs, .. } = *context;
    let ended = counts.ok + counts.bad();
    let over = ended >= total && total > 0;
    let sign = match (over, counts.bad() > 0, is_now) {
        (true, false, _) => ("✓", Role::Ok),
        (true, true, _) if counts.bad() == counts.cancelled => ("–", Role::Soft),
        (true, true, _) => ("!", Role::Warn),
        (false, _, true) => ("▶", Role::Info),
        _ => (" ", Role::Faint),
    };
    let words = format!(" {}/{} ", format::count(ended as usize), format::count(total as usize));
    let room = width.saturating_sub(name.width() + words.width() + 3).max(4);
    let role = if is_now { Role::Strong } else { Role::Soft };
    let name = if name.is_empty() { String::new() } else { format!("{name} ") };
    let mut spans = vec![Span::styled(name, theme.style(role))];
    spans.extend(bar(counts, total, room, theme, glyphs));
    spans.push(Span::styled(words, theme.style(role)));
    spans.push(Span::styled(sign.0, theme.style(sign.1)));
    Line::from(spans)
}

/// How long it has gone on, or went on.
fn elapsed(context: &Context<'_>, run: &Run) -> String {
    if let Some(ended) = run.ended_ms {
        return columns::seconds(ended.saturating_sub(run.created_ms));
    }
    let so_far = context.store.now_ms.saturating_sub(run.created_ms);
    cmdr_protocol::human::span(so_far / 1000)
}

fn amount(amount: Amount) -> String {
    match (amount.count, amount.percent) {
        (_, Some(percent)) => format!("{percent} %"),
        (Some(count), None) => count.to_string(),
        (None, None) => String::new(),
    }
}

/// Who began it and when, until when it may go on.
fn times(context: &Context<'_>, run: &Run, watched: &Watched, short: bool) -> Line<'static> {
    let Context { store, texts, .. } = *context;
    let at = |ms: u64| format::moment(ms / 1000, store.now_ms / 1000, store.utc_offset_s);
    let mut pieces = vec![(run.operator.clone(), Role::Soft)];
    if !short {
        pieces.push((at(run.created_ms), Role::Soft));
    }
    let role = if run.state.is_over() { Role::Soft } else { Role::Info };
    pieces.push((elapsed(context, run), role));
    let deadline = watched.start.as_ref().and_then(|start| start.deadline_ms);
    if let Some(deadline) = deadline.filter(|_| !run.state.is_over()) {
        let until = at(run.created_ms.saturating_add(deadline));
        pieces.push((texts.fill("run.until", &[&until]), Role::Warn));
    }
    dotted(context, pieces)
}

fn counters(context: &Context<'_>, run: &Run) -> Line<'static> {
    let Context { theme, texts, .. } = *context;
    let mut line = Line::default();
    let all = columns::hosts(texts, run.counts.targets);
    line.push_span(Span::styled(all, theme.style(Role::Strong)));
    for (n, state) in standings(run.counts).into_iter().filter(|(n, _)| *n > 0) {
        let (sign, word, role) = columns::state(state);
        line.push_span(Span::styled("  ┃ ", theme.style(Role::Border)));
        let count = format::count(n as usize);
        let text = format!("{sign} {} {count}", texts.get(word));
        line.push_span(Span::styled(text, theme.style(role)));
    }
    line
}

/// Why it stands so, or when it would leave off; the hosts it was meant for and what it is for.
fn about(context: &Context<'_>, run: &Run, watched: &Watched) -> Line<'static> {
    let texts = context.texts;
    let mut pieces = Vec::new();
    if !run.why.is_empty() {
        pieces.push((texts.reason(&run.why), Role::Warn));
    }
    if let Some(halt) = watched.start.as_ref().and_then(|start| start.halt)
        && !run.state.is_over()
    {
        let counts = run.counts;
        let failed = counts.bad() - counts.cancelled.min(counts.bad());
        let text = texts.fill("run.halt", &[&amount(halt.failures), &failed.to_string()]);
        pieces.push((text, Role::Soft));
    }
    let mut on = texts.fill("run.on", &[&run.hosts]);
    let only = watched.start.as_ref().map_or(0, |start| start.only.len());
    if only > 0 {
        // The hosts that were marked, which is less than what the selector means.
        on = format!("{on} ({})", texts.fill("compose.only", &[&format::count(only)]));
    }
    pieces.push((on, Role::Soft));
    if !run.note.is_empty() {
        pieces.push((format!("“{}”", run.note), Role::Text));
    }
    if run.lost > 0 {
        let lost = format::size(run.lost);
        pieces.push((texts.fill("run.lost_bytes", &[&lost]), Role::Warn));
    }
    dotted(context, pieces)
}

/// The bars that fit: all waves, or those around the one that is under way.
fn waves(
    context: &Context<'_>,
    run: &Run,
    watched: &Watched,
    width: u16,
    most: u16,
) -> Vec<Line<'static>> {
    let none = Counts::default();
    let counts_of = |at: usize| watched.waves.get(at).copied().unwrap_or(none);
    if run.waves.len() < 2 {
        let counts = run.counts;
        return vec![wave(context, "", counts, counts.targets, true, usize::from(width))];
    }
    let across = usize::from((width / WAVE).clamp(1, 4)).min(run.waves.len());
    let cell = usize::from(width) / across;
    let cells = across * usize::from(most.max(1));
    let now = run.wave as usize;
    let all = run.waves.len();
    let first = if all <= cells { 0 } else { now.saturating_sub(1).min(all - cells) };
    let digits = all.to_string().len();
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (n, at) in (first..all.min(first + cells)).enumerate() {
        let number = format!("{:>digits$}", at + 1);
        let of = if all > cells && n == 0 { format!("{number}/{all}") } else { number };
        let name = context.texts.fill("run.wave", &[&of]);
        let is_now = at == now && !run.state.is_over();
        let line =
            wave(context, &name, counts_of(at), run.waves[at], is_now, cell.saturating_sub(2));
        if n % across == 0 {
            lines.push(line);
        } else if let Some(last) = lines.last_mut() {
            let pad = (n % across * cell).saturating_sub(last.width());
            last.push_span(Span::raw(" ".repeat(pad)));
            last.extend(line);
        }
    }
    lines
}

/// Draws it; how many rows it took.
pub(super) fn draw(
    context: &Context<'_>,
    run: &Run,
    watched: &Watched,
    frame: &mut Frame<'_>,
    area: Rect,
) -> u16 {
    let Context { theme, texts, glyphs, .. } = *context;
    let (word, role) = state_of(run);
    let boxed = area.height >= 20;
    let inside = area.width.saturating_sub(if boxed { 4 } else { 2 });
    let most = (area.height / 6).clamp(1, 5);
    let mut lines = vec![counters(context, run)];
    lines.extend(waves(context, run, watched, inside, most));
    if boxed || !run.why.is_empty() {
        lines.push(about(context, run, watched));
    }
    let sign = if run.state.is_over() { "■" } else { "●" };
    let mut title = Line::default();
    title.push_span(Span::styled(format!("{sign} {}  ", texts.get(word)), theme.style(role)));
    let times = times(context, run, watched, area.width < 80);
    let room = usize::from(area.width).saturating_sub(title.width() + times.width() + 9);
    let what = cmdr_protocol::display::clean_to_width(&run.what, room.max(8));
    title.push_span(Span::styled(what, theme.style(Role::Title)));
    let rows = lines.len() as u16;
    let buffer = frame.buffer_mut();
    if boxed {
        let strip = Rect { height: rows + 2, ..area };
        let pad = |mut line: Line<'static>| {
            line.spans.insert(0, Span::raw(" "));
            line.push_span(Span::raw(" "));
            line
        };
        let inner = boxes::panel(buffer, strip, pad(title), pad(times), theme, glyphs);
        for (y, line) in (inner.y..inner.bottom()).zip(&lines) {
            table::put(buffer, inner.x + 1, y, inner.width.saturating_sub(2), line, false);
        }
        return rows + 2;
    }
    let width = area.width.saturating_sub(2);
    table::put(buffer, area.x + 1, area.y, width, &title, false);
    table::put(buffer, area.x + 1, area.y, width, &times, true);
    for (y, line) in (area.y + 1..area.bottom()).zip(&lines) {
        table::put(buffer, area.x + 1, y, width, line, false);
    }
    rows + 1
}

impl RunPane {
    /// Which list it is, and which of its rows.
    pub(super) fn list_head(&self, context: &Context<'_>) -> Line<'static> {
        let Context { theme, texts, .. } = *context;
        let mut line = Line::default();
        for (by_host, word) in [(false, "run.tab.groups"), (true, "run.tab.hosts")] {
            let count = if by_host {
                self.watched(context).map_or(0, |watched| watched.targets().len())
            } else {
                self.folded.len()
            };
            let role = if by_host == self.by_host { Role::TabActive } else { Role::Tab };
            let text = format!(" {} {} ", texts.get(word), format::count(count));
            line.push_span(Span::styled(text, theme.style(role)));
        }
        if self.by_host {
            let only = match self.only {
                Only::All => None,
                Only::Bad => Some("run.only.bad"),
                Only::Open => Some("run.only.open"),
                Only::Ok => Some("run.only.ok"),
                Only::Group(_) => Some("run.only.group"),
            };
            if let Some(only) = only {
                let count = format::count(self.hosts.order().len());
                let text = format!("  {} {count}", texts.get(only));
                line.push_span(Span::styled(text, theme.style(Role::Accent)));
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theme::Depth;

    #[test]
    fn one_failure_among_thousands_is_seen_in_the_bar() {
        let theme = Theme::load("dark", Depth::True).expect("theme");
        let counts = Counts { targets: 5000, ok: 4000, failed: 1, running: 3, ..Counts::default() };
        let text = |width| {
            let spans = bar(counts, 5000, width, &theme, Glyphs::Ascii);
            spans.iter().map(|span| span.content.as_ref()).collect::<String>()
        };
        assert_eq!(text(20), "################x>..");
        assert_eq!(text(2), "#x");
        let none = bar(Counts::default(), 0, 4, &theme, Glyphs::Ascii);
        assert_eq!(none.iter().map(|s| s.content.as_ref()).collect::<String>(), "....");
    }
}
