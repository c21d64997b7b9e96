//! The lines on the screen: the newest at the bottom, or those around the cursor; where each is from, when,
//! how grave; above them what is going on.

use super::{LogsPane, Stamps, feed, look::Look};
use crate::panes::Context;
use crate::store::FeedState;
use crate::store::logs::{Logs, Row, short};

use crate::theme::Role;
use crate::widgets::{format, frame as boxes, table};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::logs::{GapKind, Kind, Level, parts};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use std::collections::BTreeSet;
use std::ops::Range;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Looks that tell sources apart, by turns.
const TURNS: [Role; 6] = [Role::LineA, Role::LineB, Role::Info, Role::Ok, Role::Accent, Role::Warn];
/// The widest name before a line, in cells.
const WIDEST: usize = 24;
/// Rows of the screen that one line may take.
const TALLEST: usize = 40;

/// Breaks a text into pieces of at most `width` cells; one without text is one empty row.
fn rows(text: &str, width: usize) -> Vec<Range<usize>> {
    let (mut rows, mut from, mut used) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        let cells = c.width().unwrap_or(0);
        if used + cells > width && at > from {
            rows.push(from..at);
            if rows.len() == TALLEST {
                return rows;
            }
            (from, used) = (at, 0);
        }
        used += cells;
    }
    rows.push(from..text.len());
    rows
}

/// The part of a text that is seen when so many cells are left out before it.
fn aside(text: &str, skip: usize, width: usize) -> Range<usize> {
    let (mut used, mut from, mut to) = (0, None, text.len());
    for (at, c) in text.char_indices() {
        if used >= skip {
            from.get_or_insert(at);
        }
        used += c.width().unwrap_or(0);
        if used > skip + width {
            to = at;
            break;
        }
    }
    let from = from.unwrap_or(text.len());
    from..to.max(from)
}

/// What stands before lines.
struct Heads {
    names: Vec<(String, Role)>,
    width: usize,
}

impl Heads {
    fn new(context: &Context<'_>, logs: &Logs) -> Self {
        let hosts: BTreeSet<_> = logs.streams.iter().map(|s| s.host).collect();
        let several = hosts.len() < logs.streams.len();
        let name = |(n, stream): (usize, &crate::store::logs::Stream)| {
            let host = context.store.hosts.name(stream.host);
            let text = match (hosts.len() > 1, several) {
                (true, true) => format!("{host} {}", short(&stream.source)),
                (true, false) => host,
                (false, true) => short(&stream.source).to_owned(),
                (false, false) => String::new(),
            };
            let turn = if hosts.len() > 1 {
                hosts.iter().position(|host| *host == stream.host).unwrap_or(n)
            } else {
                n
            };
            (clean_to_width(&text, WIDEST), TURNS[turn % TURNS.len()])
        };
        let names: Vec<_> = logs.streams.iter().enumerate().map(name).collect();
        let width = names.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
        Self { names, width }
    }

    fn spans(
        &self,
        context: &Context<'_>,
        look: &Look,
        logs: &Logs,
        row: &Row,
    ) -> Vec<Span<'static>> {
        let theme = context.theme;
        let mut spans = Vec::new();
        if self.width > 0
            && let Some((name, role)) = self.names.get(row.stream)
        {
            let gap = " ".repeat(self.width - name.width());
            spans.push(Span::styled(format!("{name}{gap} "), theme.style(*role)));
        }
        let journal =
            logs.streams.get(row.stream).is_some_and(|s| parts(&s.source).0 != Kind::File);
        let stamp = match look.stamps {
            Stamps::Off => None,
            Stamps::Auto => journal.then_some(false),
            Stamps::Local => Some(false),
            Stamps::Utc => Some(true),
        };
        if let Some(utc) = stamp.filter(|_| row.gap.is_none()) {
            let at_ms = row.own_ms.unwrap_or(row.at_ms);
            let text = if at_ms == 0 { " ".repeat(13) } else { stamped(context, at_ms, utc) };
            let role = if row.own_ms.is_some() { Role::Soft } else { Role::Faint };
            spans.push(Span::styled(text, theme.style(role)));
        }
        if !row.by.is_empty() {
            spans.push(Span::styled(format!("{} ", row.by), theme.style(Role::Soft)));
        }
        spans
    }
}

/// `14:02:00.123 `, or with its date when that is another day.
fn stamped(context: &Context<'_>, ms: u64, utc: bool) -> String {
    let offset = if utc { 0 } else { context.store.utc_offset_s };
    let day = |ms: u64| (ms / 1000).cast_signed() + i64::from(offset);
    let (at, now) = (day(ms), day(context.store.now_ms));
    let of_day = at.rem_euclid(86_400);
    let clock = format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60);
    let zone = if utc { "Z" } else { "" };
    if at.div_euclid(86_400) == now.div_euclid(86_400) {
        return format!("{clock}.{:03}{zone} ", ms % 1000);
    }
    let local = ms.saturating_add_signed(i64::from(offset) * 1000);
    let date = cmdr_protocol::human::moment(local);
    format!("{} {clock}{zone} ", date.get(5..10).unwrap_or_default())
}

fn style(context: &Context<'_>, row: &Row) -> Style {
    let role = match row.level {
        _ if row.gap.is_some() => Role::Warn,
        _ if row.context => Role::Soft,
        Level::Fatal | Level::Error => Role::Bad,
        Level::Warning => Role::Warn,
        Level::Debug | Level::Trace => Role::Soft,
        _ => Role::Text,
    };
    context.theme.style(role)
}

/// What a row says.
fn text<'a>(context: &Context<'_>, row: &'a Row) -> std::borrow::Cow<'a, str> {
    if let Some(kind) = row.gap {
        let key = match kind {
            GapKind::Truncated => "logs.gap.truncated",
            GapKind::Gone => "logs.gap.gone",
            GapKind::Missed => "logs.gap.missed",
            GapKind::Unreadable => "logs.gap.unreadable",
            GapKind::NoTimes => "logs.gap.no_times",
            GapKind::Searched => "logs.gap.searched",
            _ => "logs.gap.other",
        };
        return format!("── {} {}", context.texts.get(key), row.text).into();
    }
    match row.whole {
        Some(whole) => {
            let all = context.texts.fill("logs.cut", &[&format::size(whole)]);
            format!("{} … {all}", row.text).into()
        }
        None => (&*row.text).into(),
    }
}

/// The lines of the screen for one row.
fn lines(
    context: &Context<'_>,
    heads: &Heads,
    look: &Look,
    logs: &Logs,
    row: &Row,
    width: usize,
) -> Vec<Line<'static>> {
    let theme = context.theme;
    let mut head = heads.spans(context, look, logs, row);
    let used: usize = head.iter().map(Span::width).sum();
    let room = width.saturating_sub(used).max(8);
    let text = text(context, row);
    let base = style(context, row);
    let hits = if row.gap.is_none() { look.hits(&text) } else { Vec::new() };
    let pieces = if look.wrap { rows(&text, room) } else { vec![aside(&text, look.aside, room)] };
    let mut out = Vec::new();
    if row.apart {
        out.push(Line::styled("┄┄", theme.style(Role::Faint)));
    }
    for (n, piece) in pieces.into_iter().enumerate() {
        let mut spans =
            if n == 0 { std::mem::take(&mut head) } else { vec![Span::raw(" ".repeat(used))] };
        let mut from = piece.start;
        for hit in hits.iter().filter(|hit| hit.start < piece.end && hit.end > piece.start) {
            let (start, end) = (hit.start.max(piece.start), hit.end.min(piece.end));
            spans.push(Span::styled(text[from..start].to_owned(), base));
            spans.push(Span::styled(text[start..end].to_owned(), theme.style(Role::Match)));
            from = end;
        }
        spans.push(Span::styled(text[from..piece.end].to_owned(), base));
        out.push(Line::from(spans));
    }
    out
}

/// Draws all of it.
pub(super) fn draw(context: &Context<'_>, frame: &mut Frame<'_>, area: Rect, pane: &mut LogsPane) {
    let crate::panes::Context { store, theme, texts, .. } = *context;
    let width = area.width.saturating_sub(2);
    let Some(logs) = pane.logs(context) else { return };
    let mut heads = vec![state(context, pane, logs), filters(context, pane, logs)];
    if let Some(wrong) = troubles(context, pane) {
        // What went wrong has a line of its own where it does not fit behind the figures.
        if heads[0].width() + 2 + wrong.width() <= usize::from(width) {
            heads[0].push_span(Span::raw("  "));
            heads[0].extend(wrong);
        } else if !logs.rows.is_empty() {
            heads.push(wrong);
        }
    }
    for (y, head) in (area.top()..area.bottom()).zip(&heads) {
        table::put(frame.buffer_mut(), area.x + 1, y, width, head, false);
    }
    let top = heads.len() as u16;
    let body = Rect { y: area.y + top, height: area.height.saturating_sub(top), ..area };
    pane.look.lines = body.height;
    pane.look.shown.clear();
    if logs.rows.is_empty() {
        let ready = logs.streams.iter().all(|s| s.caught_up);
        let key = match () {
            () if is_over(context, pane) => "logs.none_at_all",
            () if ready => "logs.no_lines",
            () => "logs.waiting",
        };
        let mut notice = vec![Line::styled(texts.get(key), theme.style(Role::Soft))];
        for at in 0..pane.streams.len().min(5) {
            if let Some(why) = trouble(context, pane, at) {
                let name = store.hosts.name(pane.streams[at].0);
                let line = format!("{name} {}: {why}", short(&pane.streams[at].1));
                notice.push(Line::styled(line, theme.style(Role::Bad)));
            }
        }
        crate::panes::notice(frame, body, &notice);
        return;
    }
    let heads = Heads::new(context, logs);
    let height = usize::from(body.height);
    let last = logs.rows.len() - 1;
    let cursor = pane.at(logs).unwrap_or(last);
    let make =
        |n: usize| lines(context, &heads, &pane.look, logs, &logs.rows[n], usize::from(width));
    // Where the screen stood stays, as long as the cursor is on it.
    let mut bottom = match pane.cursor {
        None => last,
        Some(_) => pane.look.bottom.and_then(|id| logs.position(id)).unwrap_or(last).max(cursor),
    };
    let mut shown: Vec<(usize, Vec<Line<'static>>)> = Vec::new();
    let mut used = 0;
    let mut at = bottom + 1;
    while used < height && at > 0 {
        at -= 1;
        let lines = make(at);
        used += lines.len();
        shown.push((at, lines));
    }
    if cursor < at {
        // It has gone above: it stands at the top now.
        (shown, used, at) = (Vec::new(), 0, cursor);
        while used < height && at <= last {
            let lines = make(at);
            used += lines.len();
            shown.push((at, lines));
            bottom = at;
            at += 1;
        }
        shown.reverse();
    }
    let bottom_id = logs.rows[bottom].id;
    let over = used.saturating_sub(height);
    shown.reverse();
    let from_top = cursor == shown.first().map_or(usize::MAX, |(n, _)| *n) && pane.cursor.is_some();
    let skip = if from_top { 0 } else { over };
    let all = shown.into_iter().flat_map(|(n, lines)| {
        lines.into_iter().enumerate().map(move |(part, line)| (n, part, line))
    });
    let mut places = Vec::new();
    for (y, (n, part, line)) in (body.top()..body.bottom()).zip(all.skip(skip)) {
        let row = &logs.rows[n];
        let buffer = frame.buffer_mut();
        table::put(buffer, body.x + 1, y, width, &line, false);
        if part == 0 || places.is_empty() {
            places.push((y, row.id));
        }
        let place = Rect { y, height: 1, ..body };
        if pane.marks.contains(&row.id) {
            buffer.set_string(body.x, y, "✓", theme.style(Role::Marked));
        }
        if pane.cursor.is_some() && n == cursor {
            buffer.set_style(place, theme.style(Role::Selected));
            buffer.set_string(body.x, y, "▌", theme.style(Role::Accent));
        }
    }
    pane.look.shown = places;
    pane.look.bottom = Some(bottom_id);
    if !store.is_up() {
        boxes::fade(frame.buffer_mut(), body, theme);
    }
}

/// Whether it runs, how quickly, and how much is here.
fn state(context: &Context<'_>, pane: &LogsPane, logs: &Logs) -> Line<'static> {
    let crate::panes::Context { store, theme, texts, .. } = *context;
    let soft = theme.style(Role::Soft);
    let (sign, word, role) = match () {
        () if pane.paused => ("‖", "logs.state.paused", Role::Warn),
        () if pane.cursor.is_some() => ("◆", "logs.state.reading", Role::Info),
        () if is_over(context, pane) => ("■", "logs.state.over", Role::Soft),
        () => ("▶", "logs.state.following", Role::Ok),
    };
    let mut spans = vec![Span::styled(format!("{sign} {}", texts.get(word)), theme.style(role))];
    let mut push = |text: String, style: Style| {
        spans.push(Span::styled("  ", soft));
        spans.push(Span::styled(text, style));
    };
    let count = |n: u64| format::count(usize::try_from(n).unwrap_or(usize::MAX));
    push(texts.fill("logs.count", &[&count(logs.rows.len() as u64)]), theme.style(Role::Strong));
    push(texts.fill("logs.rate", &[&count(logs.rate(store.now_ms))]), soft);
    if logs.hidden() > 0 {
        push(texts.fill("logs.hidden", &[&count(logs.hidden())]), soft);
    }
    if logs.dropped > 0 {
        push(texts.fill("logs.dropped", &[&count(logs.dropped)]), theme.style(Role::Warn));
    }
    if let Some(at) = pane.cursor.and_then(|id| logs.position(id)) {
        let below = logs.rows.len() - 1 - at;
        if below > 0 {
            push(texts.fill("logs.below", &[&count(below as u64)]), theme.style(Role::Info));
        }
    }
    if logs.streams.iter().any(|stream| stream.looking) {
        push(texts.get("logs.looking").to_owned(), theme.style(Role::Info));
    }
    if pane.left_out > 0 {
        push(texts.fill("logs.left_out", &[&pane.left_out.to_string()]), theme.style(Role::Warn));
    }
    Line::from(spans)
}

/// How many of those that are read failed, and why the first did.
fn troubles(context: &Context<'_>, pane: &LogsPane) -> Option<Line<'static>> {
    let mut troubles = (0..pane.streams.len()).filter_map(|at| trouble(context, pane, at));
    let first = troubles.next()?;
    let of = [(troubles.count() + 1).to_string(), pane.streams.len().to_string()];
    let text = context.texts.fill("logs.failed", &[&of[0], &of[1], &first]);
    Some(Line::from(Span::styled(text, context.theme.style(Role::Bad))))
}

/// What is read, and what of it is wanted.
fn filters(context: &Context<'_>, pane: &LogsPane, logs: &Logs) -> Line<'static> {
    let crate::panes::Context { theme, texts, .. } = *context;
    let soft = theme.style(Role::Soft);
    let sources: BTreeSet<&str> = logs.streams.iter().map(|s| parts(&s.source).1).collect();
    let mut names: Vec<&str> = sources.iter().copied().take(3).collect();
    if sources.len() > 3 {
        names.push("…");
    }
    let mut spans = vec![Span::styled(clean_to_width(&names.join(" "), 60), soft)];
    let mut push = |key: &'static str, value: &str, role| {
        let text = format!("  {} {}", texts.get(key), clean_to_width(value, 42));
        spans.push(Span::styled(text.trim_end().to_owned(), theme.style(role)));
    };
    for pattern in &pane.filter.include {
        push("logs.is.include", pattern, Role::Accent);
    }
    for pattern in &pane.filter.exclude {
        push("logs.is.exclude", pattern, Role::Accent);
    }
    if let Some(level) = pane.filter.level {
        push("logs.is.level", level.as_str(), Role::Accent);
    }
    if pane.span.is_on() {
        push("logs.is.span", &pane.span.text(context.store.utc_offset_s), Role::Accent);
    }
    if pane.filter.before > 0 {
        push("logs.is.context", &pane.filter.before.to_string(), Role::Accent);
    }
    if pane.filter.joined {
        push("logs.is.joined", "", Role::Accent);
    }
    if !pane.look.words().is_empty() {
        push("logs.is.words", pane.look.words(), Role::Match);
    }
    if !pane.marks.is_empty() {
        push("logs.is.marked", &pane.marks.len().to_string(), Role::Marked);
    }
    if pane.look.stamps != Stamps::Auto {
        push("logs.is.stamps", texts.get(pane.look.stamps.text()), Role::Soft);
    }
    Line::from(spans)
}

fn how<'a>(context: &Context<'a>, pane: &LogsPane, at: usize) -> Option<&'a FeedState> {
    context.store.feeds.get(&feed::key(pane.owner, &pane.streams, at)?)
}

/// Whether nothing more comes from any of them.
fn is_over(context: &Context<'_>, pane: &LogsPane) -> bool {
    (0..pane.streams.len()).all(|at| how(context, pane, at) == Some(&FeedState::Over))
}

/// Whether a stream's host or feed is in trouble, in words.
fn trouble(context: &Context<'_>, pane: &LogsPane, at: usize) -> Option<String> {
    match how(context, pane, at) {
        Some(FeedState::Failed(error)) => Some(crate::action::reason(error)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_and_moved_aside_by_cells() {
        let text = "节点abc";
        let broken: Vec<&str> = rows(text, 3).into_iter().map(|row| &text[row]).collect();
        assert_eq!(broken, ["节", "点a", "bc"]);
        assert_eq!(&text[aside(text, 2, 3)], "点a");
        assert_eq!(&text[aside(text, 100, 3)], "");
        assert_eq!(rows(&"x".repeat(10_000), 10).len(), TALLEST);
    }
}
