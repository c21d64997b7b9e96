//! How the page of a recorder looks.

use super::{FIGURES, Figure, RecorderPane, is_kind};
use crate::panes::Context;
use crate::panes::history::{axis, column, times};
use crate::panes::sheet;
use crate::store::recorder::{Held, KINDS};
use crate::theme::Role;
use crate::widgets::chart::Glyphs;
use crate::widgets::plot::{Plot, Trace};
use crate::widgets::{format, frame as boxes, table};
use cmdr_chart::{scale, shown};
use cmdr_protocol::history::Unit;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::recorder::Moment;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// A line over time.
struct Drawn {
    from_ms: u64,
    step_ms: u64,
    points: Vec<Option<f64>>,
    /// Key of what the legend calls it.
    name: &'static str,
    role: Role,
}

impl RecorderPane {
    pub(super) fn paint(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.plot = Rect::default();
        if area.height < 4 || area.width < 24 {
            return;
        }
        let empty = Held::default();
        let held = self.held(context).unwrap_or(&empty);
        let width = area.width - 2;
        let head = self.head(context, held);
        table::put(frame.buffer_mut(), area.x + 1, area.y, width, &head, false);
        let mut body = Rect { y: area.y + 1, height: area.height - 1, ..area };
        if let Some(lines) = self.missing(context, held) {
            return crate::panes::notice(frame, body, &lines);
        }
        let troubles = self.troubles(context, held);
        for line in sheet::wrapped(troubles, area.width).iter().take(2) {
            table::put(frame.buffer_mut(), body.x + 1, body.y, width, line, false);
            body = Rect { y: body.y + 1, height: body.height - 1, ..body };
        }
        let high = (body.height * 2 / 5).clamp(5, 14).min(body.height);
        let (top, below) = (
            Rect { height: high, ..body },
            Rect { y: body.y + high, height: body.height - high, ..body },
        );
        self.chart(context, frame.buffer_mut(), top);
        self.list_of(context, frame, below);
        if self.is_stale(context) {
            boxes::fade(frame.buffer_mut(), body, context.theme);
        }
    }

    fn is_away(&self, context: &Context<'_>) -> bool {
        let row = context.store.hosts.get(self.host);
        row.is_some_and(|row| row.host.state != HostState::Online)
    }

    fn is_stale(&self, context: &Context<'_>) -> bool {
        !context.store.is_up() || self.is_away(context)
    }

    fn head(&self, context: &Context<'_>, held: &Held) -> Line<'static> {
        let Context { store, texts, .. } = *context;
        let mut parts = vec![(store.hosts.name(self.host), Role::Strong)];
        let at = self.cursor_ms.or_else(|| held.moment.as_ref().map(|moment| moment.at_ms));
        if let Some(at) = at.filter(|at| *at > 0) {
            let now_s = store.now_ms / 1000;
            let moment = format::moment(at / 1000, now_s, store.utc_offset_s);
            let clock = store.clock(at, true);
            let text = match moment.rsplit_once(' ') {
                Some((day, _)) => format!("{day} {clock}"),
                None if moment.contains('-') => format!("{moment} {clock}"),
                None => clock,
            };
            let sign = if context.glyphs == Glyphs::Ascii { "|" } else { "┃" };
            parts.push((format!("{sign} {text}"), Role::Accent));
            if self.cursor_ms.is_none() {
                parts.push((texts.get("history.live").to_owned(), Role::Ok));
            } else {
                let ago = store.now_ms.saturating_sub(at) / 1000;
                parts.push((texts.fill("recorder.ago", &[&format::age(ago)]), Role::Soft));
            }
        }
        if self.goal.or(self.under).is_some() && self.held(context).is_some_and(|h| h.busy) {
            parts.push(("…".to_owned(), Role::Warn));
        }
        if let Some(moment) = &held.moment {
            parts.extend(of_moment(context, moment));
        }
        sheet::dotted(context, parts)
    }

    /// What is not as it should be, a line each.
    fn troubles(&self, context: &Context<'_>, held: &Held) -> Vec<Line<'static>> {
        let Context { store, theme, texts, .. } = *context;
        let mut said: Vec<(String, Role)> = Vec::new();
        if self.is_away(context) {
            said.push((texts.get("recorder.away").to_owned(), Role::Warn));
        }
        if let (Some(error), true) = (&held.refused, store.is_up()) {
            said.push((texts.reason(&crate::action::reason(error)), Role::Bad));
        }
        if let Some((Ok(listing), _)) = &held.listing {
            if listing.full {
                said.push((texts.get("recorder.full").to_owned(), Role::Bad));
            }
            if listing.lost > 0 {
                said.push((texts.fill("recorder.lost", &[&listing.lost.to_string()]), Role::Warn));
            }
            if listing.damaged > 0 {
                let count = listing.damaged.to_string();
                said.push((texts.fill("recorder.damaged", &[&count]), Role::Warn));
            }
            // A clock that was set back: what is newest lies in the future.
            if listing.to_ms > store.now_ms.saturating_add(60_000) {
                said.push((texts.get("recorder.ahead").to_owned(), Role::Warn));
            }
        }
        said.into_iter().map(|(text, role)| Line::styled(text, theme.style(role))).collect()
    }

    /// Why there is nothing at all to see, and what to do.
    fn missing(&self, context: &Context<'_>, held: &Held) -> Option<Vec<Line<'static>>> {
        let Context { store, theme, texts, .. } = *context;
        if held.moment.is_some() || self.stretch(context).is_some_and(|s| !s.steps.is_empty()) {
            return None;
        }
        let soft = |key| Line::styled(texts.get(key), theme.style(Role::Soft));
        if !store.is_up() {
            return Some(vec![soft("overview.no_hub")]);
        }
        if store.hosts.known && store.hosts.get(self.host).is_none() {
            return Some(vec![Line::styled(texts.get("overview.gone"), theme.style(Role::Bad))]);
        }
        let failed = held.refused.as_ref();
        let failed = failed.or_else(|| held.listing.as_ref()?.0.as_ref().err());
        match failed {
            Some(error) => {
                let why = texts.reason(&crate::action::reason(error));
                let next = if self.is_away(context) { "recorder.away" } else { "recorder.off" };
                Some(vec![Line::styled(why, theme.style(Role::Bad)), soft(next)])
            }
            None => Some(vec![soft("recorder.asking")]),
        }
    }

    fn lines(&self, context: &Context<'_>) -> Vec<Drawn> {
        match self.figure() {
            Figure::Cpu | Figure::Memory => {
                let Some(stretch) = self.stretch(context) else { return Vec::new() };
                let (from_ms, step_ms) = (stretch.from_ms, stretch.step_ms);
                let line = |name, role, value: fn(&cmdr_protocol::recorder::Step) -> f64| Drawn {
                    from_ms,
                    step_ms,
                    points: {
                        let point = |step: &cmdr_protocol::recorder::Step| {
                            (step.samples > 0).then(|| value(step))
                        };
                        stretch.steps.iter().map(point).collect()
                    },
                    name,
                    role,
                };
                if self.figure() == Figure::Memory {
                    let value = |step: &cmdr_protocol::recorder::Step| step.memory as f64;
                    return vec![line("recorder.used", Role::LineB, value)];
                }
                vec![
                    line("recorder.peak", Role::Faint, |step| f64::from(step.peak_cpu) / 10.0),
                    line("recorder.mean", Role::LineA, |step| f64::from(step.cpu) / 10.0),
                ]
            }
            Figure::Disks | Figure::Network => {
                let disks = self.figure() == Figure::Disks;
                let held = self.held(context).and_then(|held| held.traffic.as_ref());
                let Some(traffic) = held.filter(|traffic| traffic.disks == disks) else {
                    return Vec::new();
                };
                let names = if disks {
                    ["recorder.read", "recorder.written"]
                } else {
                    ["recorder.received", "recorder.sent"]
                };
                let line = |n: usize, role| Drawn {
                    from_ms: traffic.from_ms,
                    step_ms: traffic.step_ms,
                    points: traffic.lines[n].clone(),
                    name: names[n],
                    role,
                };
                vec![line(0, Role::LineA), line(1, Role::LineB)]
            }
        }
    }

    fn chart(&mut self, context: &Context<'_>, buffer: &mut Buffer, area: Rect) {
        let Context { store, theme, texts, glyphs, .. } = *context;
        let (from, to) = self.window.bounds(store.now_ms, self.cells);
        let mut title = Line::from(" ");
        for (n, (_, name, _)) in FIGURES.iter().enumerate() {
            let here = n == self.figure;
            // Where there is no colour the one that is shown is told apart all the same.
            let text = match (here, theme.is_plain()) {
                (true, true) => format!("[{}] ", texts.get(name)),
                _ => format!("{} ", texts.get(name)),
            };
            let role = if here { Role::Title } else { Role::Faint };
            title.push_span(Span::styled(text, theme.style(role)));
        }
        let now_s = store.now_ms / 1000;
        let moment = |ms: u64| format::moment(ms / 1000, now_s, store.utc_offset_s);
        let room = usize::from(area.width).saturating_sub(title.width() + 6);
        let span = cmdr_protocol::human::span(self.window.span_ms / 1000);
        let note = if self.window.follows() {
            format!(" {span} ")
        } else {
            format!(" {span} · {} – {} ", moment(from), moment(to))
        };
        let note = if note.chars().count() > room { format!(" {span} ") } else { note };
        let note = Line::styled(note, theme.style(Role::Soft));
        let inner = boxes::panel(buffer, area, title, note, theme, glyphs);
        let lines = self.lines(context);
        let unit = match self.figure() {
            Figure::Cpu => Unit::Percent,
            Figure::Memory => Unit::Bytes,
            Figure::Disks | Figure::Network => Unit::BytesPerSecond,
        };
        let seen = |line: &Drawn| {
            let place = |ms: u64| (ms.saturating_sub(line.from_ms) / line.step_ms.max(1)) as usize;
            let points = line.points.iter().take(place(to) + 1).skip(place(from));
            points.flatten().copied().filter(|v| v.is_finite()).collect::<Vec<f64>>()
        };
        let values: Vec<f64> = lines.iter().flat_map(seen).collect();
        if inner.height < 3 || inner.width < 16 {
            return;
        }
        if values.is_empty() {
            let line = Line::styled(self.nothing(context), theme.style(Role::Soft));
            let y = inner.y + inner.height / 2;
            table::put(buffer, inner.x + 1, y, inner.width - 2, &line, false);
            self.plot = inner;
            return;
        }
        let (low, high) = match self.figure() {
            // Processors are read against all there is.
            Figure::Cpu => (0.0, 100.0),
            Figure::Memory => {
                let total = self.held(context).and_then(|held| held.moment.as_ref());
                let total = total.map_or(0, |moment| moment.memory_total) as f64;
                (0.0, total.max(scale::range_of(values.into_iter()).1))
            }
            Figure::Disks | Figure::Network => {
                let (_, high) = scale::range_of(values.into_iter());
                scale::round(0.0, high, unit)
            }
        };
        let labels = [high, f64::midpoint(low, high), low].map(|v| shown(v, unit));
        let gutter = labels.iter().map(String::len).max().unwrap_or(0).max(6) as u16;
        if inner.width < gutter + 8 {
            return;
        }
        let legend = u16::from(inner.height >= 5);
        let plot = Rect {
            x: inner.x + gutter + 1,
            width: inner.width - gutter - 1,
            height: inner.height - 1 - legend,
            ..inner
        };
        self.cells = u64::from(plot.width);
        self.plot = plot;
        axis(context, buffer, plot, gutter, &labels);
        times(context, buffer, plot, (from, to));
        let lettered = theme.is_plain() && lines.len() > 1;
        let traces = lines.iter().enumerate().map(|(n, line)| Trace {
            from_ms: line.from_ms.cast_signed(),
            step_ms: line.step_ms,
            points: &line.points,
            style: theme.style(line.role),
            letter: lettered.then_some(if n == 0 { 'a' } else { 'b' }),
        });
        Plot { from_ms: from, to_ms: to, low, high, traces: traces.collect() }
            .draw(buffer, plot, glyphs);
        if let Some(at) = self.cursor_ms.filter(|at| (from..to).contains(at)) {
            let x = plot.x + column(at, (from, to), plot.width);
            let sign = if glyphs == Glyphs::Ascii { "|" } else { "│" };
            for y in plot.top()..plot.bottom() {
                buffer.set_string(x, y, sign, theme.style(Role::Accent));
            }
        }
        if legend > 0 {
            let line = self.legend(context, &lines, unit, lettered);
            let y = plot.bottom() + 1;
            table::put(buffer, inner.x + 1, y, inner.width - 2, &line, false);
        }
    }

    /// Why a chart is empty.
    fn nothing(&self, context: &Context<'_>) -> String {
        let texts = context.texts;
        let Some(held) = self.held(context) else {
            return texts.get("recorder.asking").to_owned();
        };
        let failed = match (self.figure(), &held.stretch, &held.traffic) {
            (Figure::Disks | Figure::Network, _, Some(traffic)) => traffic.error.as_ref(),
            (Figure::Cpu | Figure::Memory, Some(Err((error, _))), _) => Some(error),
            _ => None,
        };
        match failed {
            Some(error) => texts.reason(&crate::action::reason(error)),
            None if held.busy => texts.get("recorder.asking").to_owned(),
            None => texts.get("recorder.nothing_then").to_owned(),
        }
    }

    /// The lines with their values at the cursor, or the last ones.
    fn legend(
        &self,
        context: &Context<'_>,
        lines: &[Drawn],
        unit: Unit,
        lettered: bool,
    ) -> Line<'static> {
        let Context { theme, texts, store, glyphs, .. } = *context;
        let mut legend = Line::default();
        let at = self.cursor_ms.unwrap_or(store.now_ms);
        for (n, line) in lines.iter().enumerate() {
            let place = (at.saturating_sub(line.from_ms) / line.step_ms.max(1)) as usize;
            let value = match self.cursor_ms {
                Some(_) => line.points.get(place).copied().flatten(),
                None => line.points.iter().rev().find_map(|value| *value),
            };
            let sign = match (lettered, glyphs) {
                (true, _) => ["a", "b"][n.min(1)],
                (false, Glyphs::Ascii) => "*",
                (false, _) => "━",
            };
            let value = value.map_or_else(|| "–".to_owned(), |value| shown(value, unit));
            legend.push_span(Span::styled(format!("{sign} "), theme.style(line.role)));
            let name = format!("{} ", texts.get(line.name));
            legend.push_span(Span::styled(name, theme.style(Role::Soft)));
            legend.push_span(Span::styled(format!("{value}  "), theme.style(Role::Text)));
        }
        if self.figure() == Figure::Cpu
            && let Some(stretch) = self.stretch(context)
        {
            let place = (at.saturating_sub(stretch.from_ms) / stretch.step_ms.max(1)) as usize;
            let step = match self.cursor_ms {
                Some(_) => stretch.steps.get(place),
                None => stretch.steps.iter().rev().find(|step| step.samples > 0),
            };
            if let Some(step) = step.filter(|step| !step.busiest.is_empty()) {
                let text = texts.fill("recorder.busiest", &[&step.busiest]);
                legend.push_span(Span::styled(text, theme.style(Role::Soft)));
            }
        }
        legend
    }

    fn list_of(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        if area.height == 0 {
            return;
        }
        self.rows.order(context);
        let Some(list) = self.rows.sheet(context) else { return };
        let mut titles = vec![("recorder.kind.all", self.kinds.is_none(), list.rows.len())];
        for (n, name) in KINDS.iter().enumerate() {
            let count = list.rows.values().filter(|row| is_kind(row, n as u8)).count();
            titles.push((*name, self.kinds == Some(n), count));
        }
        let Context { theme, texts, .. } = *context;
        let mut line = Line::default();
        for (name, here, count) in titles {
            let role = if here { Role::TabActive } else { Role::Tab };
            let text = format!(" {} {count} ", texts.get(name));
            line.push_span(Span::styled(text, theme.style(role)));
        }
        table::put(frame.buffer_mut(), area.x, area.y, area.width, &line, false);
        let below = Rect { y: area.y + 1, height: area.height - 1, ..area };
        self.rows.draw(context, frame, below, ["recorder.nobody", "recorder.none_such"]);
    }
}

/// What is true of all of the host at a moment.
fn of_moment(context: &Context<'_>, moment: &Moment) -> Vec<(String, Role)> {
    let texts = context.texts;
    let share = format::percent(moment.cpu);
    let busy = if moment.cpu >= 900 { Role::Bad } else { Role::Text };
    let values = [share.as_str(), &moment.cores.to_string()];
    let mut parts = vec![(texts.fill("recorder.cpu_of", &values), busy)];
    let used = format::bytes(moment.memory_used);
    let total = format::bytes(moment.memory_total);
    parts.push((texts.fill("recorder.memory_of", &[&used, &total]), Role::Text));
    let count = moment.processes.to_string();
    parts.push((texts.fill("recorder.processes", &[&count]), Role::Soft));
    if moment.unseen >= 100 {
        let unseen = format::percent(moment.unseen);
        parts.push((texts.fill("recorder.unseen", &[&unseen]), Role::Warn));
    }
    parts
}
