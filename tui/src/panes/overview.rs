//! One host at a glance: charts over time, and how full and how busy its parts are now.
//!
//! ```text
//! facts: system, kernel, uptime, agent, round trip, clock skew
//! ╭ CPU ─────────────╮╭ Memory ──────────╮
//! ╭ Network ─────────╮╭ Disk traffic ────╮    when the screen is high enough
//! ╭ Cores ╮╭ Disks ╮╭ Interfaces ╮╭ System ╮  one row when wide, else two by two
//! ```

mod boxes;
mod charts;

use super::{Context, Pane, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command, key};
use crate::panes::hosts::{state, why_away};
use crate::store::{FeedState, Store};
use crate::theme::Role;
use crate::widgets::{format, frame as faded, table};
use cmdr_protocol::display::clean;
use cmdr_protocol::history::Query;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::metrics::Watch;
use cmdr_protocol::{Call as _, HostId};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

const LONGER: Command = Command::Own(0);
const SHORTER: Command = Command::Own(1);

const BINDINGS: &[Binding] = &[
    key(&["+", "="], LONGER, "overview.key.longer").hint(),
    key(&["-"], SHORTER, "overview.key.shorter").hint(),
    key(&["<enter>"], Command::Open, "overview.key.charts").needs(Query::METHOD).hint(),
    key(&["y"], Command::CopyValue, "overview.key.copy"),
    key(&["Y"], Command::CopyCommand, "key.copy_command"),
];

/// Time spans in seconds.
const SPANS: [u64; 4] = [60, 300, 900, 3600];
/// Figures older than this are shown as stale.
const STALE_MS: u64 = 10_000;

/// The pane.
pub struct Overview {
    host: HostId,
    span: usize,
}

impl Overview {
    /// Of this host.
    pub fn new(host: HostId) -> Self {
        Self { host, span: 1 }
    }

    fn facts(&self, context: &Context<'_>) -> Line<'static> {
        let Context { store, theme, texts, .. } = *context;
        let dim = theme.style(Role::Soft);
        let Some(row) = store.hosts.get(self.host) else {
            return Line::styled(texts.get("overview.gone"), theme.style(Role::Bad));
        };
        let (sign, word, role) = state(row.host.state);
        let mut parts = vec![Span::styled(
            format!("{sign} {}", texts.get(word)),
            theme.style(if store.is_up() { role } else { Role::Stale }),
        )];
        let mut say = |text: String| {
            if !text.is_empty() {
                parts.push(Span::styled(" · ", theme.style(Role::Faint)));
                parts.push(Span::styled(text, dim));
            }
        };
        if let Some(facts) = &row.host.facts {
            say(clean(&facts.os_version).into_owned());
            say(clean(&facts.kernel).into_owned());
            say(clean(&facts.arch).into_owned());
        }
        let figures = store.metrics.get(&self.host);
        if let Some(uptime) = figures.map(|m| m.last.uptime_s).filter(|s| *s > 0) {
            // Minutes, not seconds: a line that changes each second is paid for on a thin link.
            let uptime = format::span(uptime.max(60));
            say(texts.fill("overview.up", &[&uptime]));
        }
        if !row.host.agent.is_empty() {
            say(texts.fill("overview.agent", &[&row.host.agent]));
        }
        if let Some(rtt) = row.live().and_then(|_| row.round_trip()) {
            say(texts.fill("overview.rtt", &[&format::round_trip(rtt)]));
        }
        if let Some(skew) = row.host.link.as_ref().and_then(|link| link.skew_ms) {
            say(texts.fill("overview.skew", &[&format!("{skew:+} ms")]));
        }
        if !row.labels.is_empty() {
            parts.push(Span::styled(" · ", theme.style(Role::Faint)));
            parts.push(Span::styled(row.labels.clone(), theme.style(Role::Label)));
        }
        Line::from(parts)
    }

    /// Why there is nothing to draw, when there is nothing.
    fn missing(&self, context: &Context<'_>) -> Option<Vec<Line<'static>>> {
        let Context { store, theme, texts, .. } = *context;
        if store.metrics.contains_key(&self.host) {
            return None;
        }
        Some(nothing_yet::<Watch>(context, self.host, texts.get("overview.loading"), theme, store))
    }
}

/// Lines that say why a host's feed brought nothing yet.
pub(super) fn nothing_yet<F: cmdr_protocol::Feed>(
    context: &Context<'_>,
    host: HostId,
    loading: &'static str,
    theme: &crate::theme::Theme,
    store: &Store,
) -> Vec<Line<'static>> {
    if store.hosts.known && store.hosts.get(host).is_none() {
        let gone = context.texts.get("overview.gone");
        return vec![Line::styled(gone, theme.style(Role::Bad))];
    }
    let away = store.hosts.get(host).filter(|row| row.host.state == HostState::Away);
    if let Some(row) = away {
        let (sign, word, role) = state(row.host.state);
        let head = format!("{sign} {}", context.texts.get(word));
        return vec![
            Line::styled(head, theme.style(role)),
            Line::styled(why_away(context, row), theme.style(Role::Soft)),
        ];
    }
    match store.feed::<F>(Some(host)) {
        Some(FeedState::Failed(error)) if store.is_up() => {
            vec![Line::styled(crate::action::reason(error), theme.style(Role::Bad))]
        }
        _ if !store.is_up() => {
            vec![Line::styled(context.texts.get("overview.no_hub"), theme.style(Role::Soft))]
        }
        _ => vec![Line::styled(loading, theme.style(Role::Soft))],
    }
}

impl Pane for Overview {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        &[BINDINGS]
    }

    fn feeds(&self) -> Vec<Subscription> {
        let watch = Watch { interval_ms: 1000, history: 900, ..Watch::default() };
        vec![super::hosts::feed(), Subscription::new(Some(self.host), watch)]
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        match command {
            LONGER => self.span = (self.span + 1).min(SPANS.len() - 1),
            SHORTER => self.span = self.span.saturating_sub(1),
            Command::Open => return super::history::open(context, vec![self.host]),
            Command::CopyValue => return Action::Copy(context.store.hosts.name(self.host)),
            Command::CopyCommand => {
                let name = context.store.hosts.name(self.host);
                return Action::Copy(format!("cmdr top {}", super::hosts::quoted(&name)));
            }
            _ => return Action::Pass,
        }
        Action::None
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let facts = self.facts(context);
        let width = area.width.saturating_sub(2);
        table::put(frame.buffer_mut(), area.x + 1, area.y, width, &facts, false);
        let area = Rect { y: area.y + 1, height: area.height - 1, ..area };
        if let Some(lines) = self.missing(context) {
            super::notice(frame, area, &lines);
            return;
        }
        let Some(metrics) = context.store.metrics.get(&self.host) else { return };
        let wide = area.width >= 140;
        let below = if wide { boxes::rows_wanted(&metrics.last, area.width / 4) } else { 12 };
        let (first, second) = match area.height {
            0..22 => ((area.height * 2 / 5).clamp(5, 9), 0),
            22..30 => ((area.height - 12).min(12), 0),
            _ => {
                // What the boxes do not need goes to the charts.
                let charts = area.height - below.clamp(8, area.height / 2);
                let first = charts.div_ceil(2);
                (first.min(18), (charts - first).min(16))
            }
        };
        let heights = [Constraint::Length(first), Constraint::Length(second), Constraint::Fill(1)];
        let [top, middle, bottom] = area.layout(&Layout::vertical(heights));
        let span_s = SPANS[self.span];
        let buffer = frame.buffer_mut();
        let halves = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]);
        let [left, right] = top.layout(&halves);
        charts::cpu(context, metrics, span_s, buffer, left);
        charts::memory(context, metrics, span_s, buffer, right);
        if second > 0 {
            let [left, right] = middle.layout(&halves);
            charts::network(context, metrics, span_s, buffer, left);
            charts::disk(context, metrics, span_s, buffer, right);
        }
        boxes::draw(context, metrics, buffer, bottom, wide);
        let age = context.store.now_ms.saturating_sub(metrics.came_ms);
        if !context.store.is_up() || age > STALE_MS {
            // Old figures must not pass for the present.
            faded::fade(buffer, area, context.theme);
            stale(context, buffer, Rect { y: area.y - 1, height: 1, ..area }, age);
        }
    }
}

/// Says at the right end of a line how old the figures are.
pub(super) fn stale(context: &Context<'_>, buffer: &mut Buffer, area: Rect, age_ms: u64) {
    let text = context.texts.fill("overview.stale", &[&format::age(age_ms / 1000)]);
    let line = Line::styled(format!(" {text} "), context.theme.style(Role::Banner));
    let width = (line.width() as u16).min(area.width);
    table::put(buffer, area.right() - width, area.y, width, &line, false);
}
