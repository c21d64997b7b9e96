//! A live chart of bytes a second both ways, each in its own half: in the pages of gateways and forwards.

use super::Context;
use crate::store::traffic::{Moment, Traffic};
use crate::theme::Role;
use crate::widgets::chart::{Chart, Series, nice_bytes};
use crate::widgets::{format, frame as boxes, table};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Minutes from left to right.
const MINUTES: u64 = 5;

type Way = fn(&Moment) -> f32;

/// Draws a box with the traffic of `name`, of which a moment comes each `every_ms`.
pub(super) fn draw(
    context: &Context<'_>,
    buffer: &mut Buffer,
    area: Rect,
    name: &str,
    traffic: &Traffic,
    every_ms: u64,
) {
    let Context { theme, texts, glyphs, .. } = *context;
    let ways: [(Way, &str, Role); 2] =
        [(|moment| moment.to, "→", Role::LineA), (|moment| moment.from, "←", Role::LineB)];
    let last = traffic.moments.back();
    let mut title = vec![Span::styled(format!(" {name} "), theme.style(Role::Title))];
    for (way, sign, role) in ways {
        let now = last.map_or(0, |moment| way(moment) as u64);
        title.push(Span::styled(format!(" {sign}"), theme.style(role)));
        title.push(Span::styled(format!(" {:>5}/s", format::bytes(now)), theme.style(Role::Text)));
    }
    title.push(Span::raw(" "));
    let minutes = texts.fill("overview.minutes", &[&MINUTES.to_string()]);
    let note = Line::styled(format!(" {minutes} "), theme.style(Role::Soft));
    let inner = boxes::panel(buffer, area, Line::from(title), note, theme, glyphs);
    let Some(now_ms) = last.map(|moment| moment.at_ms) else {
        let line = Line::styled(texts.get("traffic.none"), theme.style(Role::Soft));
        let width = inner.width.saturating_sub(1);
        return table::put(buffer, inner.x + 1, inner.y, width, &line, false);
    };
    let upper = Rect { height: inner.height / 2, ..inner };
    let lower = Rect { y: upper.bottom(), height: inner.height - upper.height, ..inner };
    let from_ms = now_ms.saturating_sub(MINUTES * 60_000 + 5000);
    let first = traffic.moments.partition_point(|moment| moment.at_ms < from_ms);
    for ((way, _, role), area) in ways.into_iter().zip([upper, lower]) {
        let most = traffic.moments.range(first..).map(way).fold(0.0, f32::max);
        let top = nice_bytes(most, 1024.0);
        let mut points = traffic.moments.range(first..).map(|moment| (moment.at_ms, way(moment)));
        let chart = Chart {
            now_ms,
            span_s: MINUTES * 60,
            // One that is late is no gap yet.
            reach_ms: every_ms * 5 / 2,
            top,
            labels: [format::bytes(top as u64), format::bytes(top as u64 / 2)],
            now: texts.get("overview.now"),
            series: vec![Series { points: &mut points, style: Some(theme.style(role)) }],
        };
        chart.draw(buffer, area, theme, glyphs);
    }
}
