//! The columns of the host table: what stands in them and what they are ordered by.

use crate::panes::Context;
use crate::store::hosts::Row;
use crate::theme::Role;
use crate::widgets::table::{Cell, Column, WIDEST};
use crate::widgets::{bar, format};
use cmdr_protocol::hosts::{Figures, HostState};
use ratatui::text::{Line, Span};

/// After so long without figures a row is stale.
const STALE_MS: u64 = 10_000;

/// What a column is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    State,
    Cpu,
    Memory,
    Load,
    Disk,
    Net,
    Labels,
    Agent,
    RoundTrip,
}

type Number = fn(&Row) -> Option<u64>;

impl Sort {
    /// Whether it changes with every sample.
    pub(super) fn is_live(self) -> bool {
        !matches!(self, Self::Name | Self::State | Self::Labels | Self::Agent)
    }

    /// How to get the number that is ordered by, unless it is a text.
    pub(super) fn number(self) -> Option<Number> {
        Some(match self {
            Self::Cpu => |row| Some(u64::from(row.live()?.cpu)),
            Self::Memory => {
                |row| row.live().map(|f| u64::from(format::permille(f.memory_used, f.memory_total)))
            }
            Self::Load => |row| Some(u64::from(row.live()?.load)),
            Self::Disk => |row| Some(u64::from(row.live()?.disk)),
            Self::Net => |row| row.live().map(|f| f.received.saturating_add(f.sent)),
            Self::RoundTrip => |row| row.live().and(row.round_trip()).map(u64::from),
            Self::State => |row| {
                Some(match row.host.state {
                    HostState::Pending => 0,
                    HostState::Away => 1,
                    HostState::Unknown => 2,
                    HostState::Online => 3,
                })
            },
            Self::Name | Self::Labels | Self::Agent => return None,
        })
    }

    /// The text that is ordered by.
    pub(super) fn text(self, row: &Row) -> &str {
        match self {
            Self::Labels => &row.labels,
            Self::Agent => &row.host.agent,
            _ => &row.host.name,
        }
    }
}

const fn column(title: &'static str, width: u16, rank: u8) -> Column {
    let (grows, right, descending) = (false, false, false);
    Column { title, width, rank, grows, most: WIDEST, right, descending }
}

const fn figure(title: &'static str, width: u16, rank: u8) -> Column {
    Column { right: true, descending: true, ..column(title, width, rank) }
}

const fn growing(title: &'static str, width: u16, rank: u8) -> Column {
    Column { grows: true, ..column(title, width, rank) }
}

/// From left to right.
pub(super) const COLUMNS: &[(Column, Sort)] = &[
    (growing("hosts.col.name", 12, 0), Sort::Name),
    (column("hosts.col.state", 10, 1), Sort::State),
    (figure("hosts.col.cpu", 5, 2), Sort::Cpu),
    (column("hosts.col.minute", 15, 8), Sort::Cpu),
    (Column { descending: true, ..column("hosts.col.memory", 15, 3) }, Sort::Memory),
    (figure("hosts.col.load", 6, 5), Sort::Load),
    (figure("hosts.col.disk", 5, 4), Sort::Disk),
    (Column { descending: true, ..column("hosts.col.net", 11, 6) }, Sort::Net),
    (growing("hosts.col.labels", 14, 7), Sort::Labels),
    (column("hosts.col.agent", 8, 10), Sort::Agent),
    (figure("hosts.col.rtt", 8, 9), Sort::RoundTrip),
];

/// A state's sign, word and role.
pub(in crate::panes) fn state(state: HostState) -> (&'static str, &'static str, Role) {
    match state {
        HostState::Online => ("●", "hosts.online", Role::Ok),
        HostState::Away | HostState::Unknown => ("○", "hosts.away", Role::Bad),
        HostState::Pending => ("◌", "hosts.pending", Role::Warn),
    }
}

/// What stands in a cell.
pub(super) fn cell<'a>(
    context: &Context<'a>,
    row: &'a Row,
    title: &'static str,
    width: u16,
) -> Cell<'a> {
    let Context { store, theme, texts, .. } = *context;
    let age = store.now_ms.saturating_sub(row.figures_at_ms);
    let stale = !store.is_up() || (row.live().is_some() && age > STALE_MS);
    match title {
        "hosts.col.name" => {
            let role = if stale { Role::Stale } else { Role::Strong };
            Cell::Line(Line::styled(row.host.name.as_str(), theme.style(role)))
        }
        "hosts.col.state" => {
            let (sign, word, role) = state(row.host.state);
            if stale && row.host.state == HostState::Online {
                let text = match row.live() {
                    Some(_) => texts.fill("hosts.age", &[&format::age(age / 1000)]),
                    None => texts.get(word).to_owned(),
                };
                return Cell::Line(Line::styled(
                    format!("{sign} {text}"),
                    theme.style(Role::Stale),
                ));
            }
            let role = if stale { Role::Stale } else { role };
            Cell::Line(Line::styled(format!("{sign} {}", texts.get(word)), theme.style(role)))
        }
        _ => match (row.host.state, row.live()) {
            (HostState::Online, Some(figures)) => {
                let mut line = figure_cell(context, row, figures, title, width);
                if stale {
                    let (style, empty) = (theme.style(Role::Stale), theme.style(Role::Empty));
                    // What is empty of a bar stays so: else it would look full.
                    let faded = |span: Span<'a>| {
                        let style = if span.style == empty { empty } else { style };
                        Span::styled(span.content, style)
                    };
                    line = line.spans.into_iter().map(faded).collect();
                }
                Cell::Line(line)
            }
            (HostState::Online, None) => match title {
                "hosts.col.labels" | "hosts.col.agent" => {
                    Cell::Line(figure_cell(context, row, &NO_FIGURES, title, width))
                }
                "hosts.col.cpu" => Cell::Line(Line::styled("…", theme.style(Role::Faint))),
                _ => Cell::Line(Line::default()),
            },
            (HostState::Pending, _) => {
                let text = texts.fill("hosts.waits", &[&row.host.address]);
                Cell::Rest(Line::styled(text, theme.style(Role::Warn)))
            }
            _ => Cell::Rest(Line::styled(why_away(context, row), theme.style(Role::Soft))),
        },
    }
}

const NO_FIGURES: Figures = Figures {
    id: cmdr_protocol::HostId([0; 16]),
    cpu: 0,
    memory_used: 0,
    memory_total: 0,
    load: 0,
    disk: 0,
    received: 0,
    sent: 0,
    rtt_us: 0,
};

/// When an absent host was last heard of and why its link ended.
pub(in crate::panes) fn why_away(context: &Context<'_>, row: &Row) -> String {
    let Context { store, texts, .. } = *context;
    let mut text = match row.host.last_seen_ms {
        None => texts.get("hosts.never_seen").to_owned(),
        Some(at) => {
            let (at_s, now_s) = (at / 1000, store.now_ms / 1000);
            let moment = format::moment(at_s, now_s, store.utc_offset_s);
            texts.fill("hosts.last_seen", &[&moment, &format::age(now_s.saturating_sub(at_s))])
        }
    };
    if !row.host.last_drop.is_empty() {
        text.push_str(" · ");
        text.push_str(&texts.reason(&row.host.last_drop));
    }
    text
}

fn figure_cell<'a>(
    context: &Context<'a>,
    row: &'a Row,
    figures: &Figures,
    title: &'static str,
    width: u16,
) -> Line<'a> {
    let Context { theme, glyphs, .. } = *context;
    let text = theme.style(Role::Text);
    let soft = theme.style(Role::Soft);
    match title {
        "hosts.col.cpu" => {
            let permille = u32::from(figures.cpu);
            Line::styled(format::percent(permille), theme.level(permille))
        }
        "hosts.col.minute" => {
            let slots = bar::slots(&row.cpu, row.pushed);
            Line::styled(bar::spark(&slots, usize::from(width), glyphs), theme.style(Role::Accent))
        }
        "hosts.col.memory" => {
            let permille = format::permille(figures.memory_used, figures.memory_total);
            let [on, off] = bar::bar(permille, usize::from(width).saturating_sub(5), theme, glyphs);
            let share = Span::styled(format!(" {:>4}", format::percent(permille)), text);
            Line::from(vec![on, off, share])
        }
        "hosts.col.load" => Line::styled(format::hundredths(figures.load), text),
        "hosts.col.disk" => {
            let permille = u32::from(figures.disk);
            let style = if permille < 700 { text } else { theme.level(permille) };
            Line::styled(format::percent(permille), style)
        }
        "hosts.col.net" => Line::styled(
            format!("{:>5}/{}", format::rate(figures.received), format::rate(figures.sent)),
            soft,
        ),
        "hosts.col.labels" => Line::styled(row.labels.as_str(), theme.style(Role::Label)),
        "hosts.col.agent" => Line::styled(row.host.agent.as_str(), soft),
        _ => row.round_trip().map_or_else(
            || Line::styled("-", soft),
            |us| Line::styled(format::round_trip(us), soft),
        ),
    }
}
