//! All about one probe: what each agent says, how much of the time it was up, what happened to it.

use super::columns::{BLOCKS, bar, certificate, share, state, time, told};
use crate::overlays::pager::Pager;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::panes::sheet::dotted;
use crate::store::probes as store;
use crate::theme::Role;
use crate::widgets::{format, frame as boxes, table};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::probes::{Row, Seen, Stands, Verdict};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

type Piece = (Role, String);

fn verdict(seen: &Seen) -> (&'static str, &'static str, Role) {
    match seen.measured.verdict {
        _ if !seen.online => ("○", "probes.agent.away", Role::Soft),
        _ if seen.at_ms == 0 => ("…", "probes.agent.waiting", Role::Soft),
        Verdict::Up => ("●", "probes.state.up", Role::Ok),
        Verdict::Warning => ("◐", "probes.agent.warning", Role::Warn),
        Verdict::Down => ("✗", "probes.state.down", Role::Bad),
        Verdict::Unknown => ("?", "probes.state.unknown", Role::Soft),
    }
}

/// What an agent says, in a line.
fn of_agent(context: &Context<'_>, seen: &Seen, name: usize) -> Vec<Piece> {
    let Context { store, texts, .. } = *context;
    let (sign, word, role) = verdict(seen);
    let named = clean_to_width(&seen.name, name);
    let pad = name.saturating_sub(unicode_width::UnicodeWidthStr::width(named.as_str()));
    let mut line = vec![
        (role, format!("{sign} ")),
        (Role::Strong, format!("{named}{}  ", " ".repeat(pad))),
        (role, texts.get(word).to_owned()),
    ];
    if seen.at_ms > 0 {
        let up = seen.measured.verdict.up() == Some(true);
        if up {
            line.push((Role::Text, format!("  {}", time(seen.measured.took_us))));
        }
        let ago = store.now_ms.saturating_sub(seen.at_ms) / 1000;
        line.push((Role::Faint, format!("  {}", texts.fill("recorder.ago", &[&format::age(ago)]))));
        if seen.failures > 0 {
            let count = seen.failures.to_string();
            line.push((Role::Warn, format!("  {}", texts.fill("probes.failures", &[&count]))));
        }
        if !seen.measured.why.is_empty() {
            let role = if up { Role::Soft } else { Role::Text };
            line.push((role, format!("  {}", texts.reason(&seen.measured.why))));
        }
    }
    line
}

/// The parts of an agent's time, for the whole page.
fn phases(context: &Context<'_>, seen: &Seen) -> Option<Vec<Piece>> {
    let phases = seen.measured.phases;
    let told = [
        ("probes.phase.lookup", phases.lookup_us),
        ("probes.phase.connect", phases.connect_us),
        ("probes.phase.tls", phases.tls_us),
        ("probes.phase.first", phases.first_us),
        ("probes.phase.rest", phases.rest_us),
    ];
    let told = told
        .into_iter()
        .filter_map(|(key, us)| us.map(|us| format!("{} {}", context.texts.get(key), time(us))));
    let mut told: Vec<String> = told.collect();
    if !seen.measured.address.is_empty() {
        told.insert(0, seen.measured.address.clone());
    }
    (!told.is_empty()).then(|| vec![(Role::Soft, format!("    {}", told.join("  ")))])
}

fn happened(context: &Context<'_>, stands: &Stands) -> Vec<Vec<Piece>> {
    let Context { store, texts, .. } = *context;
    let now_s = store.now_ms / 1000;
    let line = |one: &cmdr_protocol::probes::Happening| {
        let (sign, word, role) = told(one.state);
        let at = format::moment(one.at_ms / 1000, now_s, store.utc_offset_s);
        vec![
            (Role::Soft, format!("{at:<12} ")),
            (role, format!("{sign} {}", texts.get(word))),
            (Role::Soft, format!("  {}", texts.reason(&one.why))),
        ]
    };
    stands.happened.iter().map(line).collect()
}

fn uptimes(context: &Context<'_>, row: &Row) -> Vec<(String, Role)> {
    let texts = context.texts;
    let spans = ["probes.day", "probes.week", "probes.month"];
    let told = spans.iter().zip(row.uptime).map(|(key, tenths)| {
        let share = tenths.map_or_else(|| "–".to_owned(), share);
        (format!("{} {share}", texts.get(key)), Role::Text)
    });
    told.collect()
}

fn put(context: &Context<'_>, frame: &mut Frame<'_>, area: Rect, lines: &[Vec<Piece>]) {
    for (y, line) in (area.top()..area.bottom()).zip(lines) {
        let spans =
            line.iter().map(|(role, text)| Span::styled(text.clone(), context.theme.style(*role)));
        let line = Line::from(spans.collect::<Vec<_>>());
        table::put(frame.buffer_mut(), area.x, y, area.width, &line, false);
    }
}

/// Below the list.
pub(super) fn draw(
    context: &Context<'_>,
    frame: &mut Frame<'_>,
    area: Rect,
    number: u64,
    row: &Row,
) {
    let Context { theme, texts, glyphs, .. } = *context;
    let (sign, word, role) = state(row);
    let name = clean_to_width(&row.name, usize::from(area.width / 2));
    let title = Line::from(vec![
        Span::styled(format!(" {name} "), theme.style(Role::Title)),
        Span::styled(format!("{sign} {} ", texts.get(word)), theme.style(role)),
    ]);
    let buffer = frame.buffer_mut();
    let inner = boxes::panel(buffer, area, title, Line::default(), theme, glyphs);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let why = if row.problem.is_empty() { &row.why } else { &row.problem };
    let mut lines = vec![vec![(Role::Text, texts.reason(&why.replace('\n', "  ")))]];
    if !row.description.is_empty() {
        lines.push(vec![(Role::Soft, row.description.clone())]);
    }
    put(context, frame, inner, &lines);
    let mut y = inner.y + lines.len() as u16;
    if y < inner.bottom() {
        let mut parts = uptimes(context, row);
        if let Some((left, role)) = certificate(context, row) {
            parts.push((texts.fill("probes.certificate_left", &[&left]), role));
        }
        let mut line = dotted(context, parts);
        line.push_span(Span::raw("  "));
        line.extend(bar(context, &row.blocks, BLOCKS as usize));
        table::put(frame.buffer_mut(), inner.x, y, inner.width, &line, false);
        y += 2;
    }
    let rest = Rect { y, height: inner.bottom().saturating_sub(y), ..inner };
    let (agents, happenings) = match context.store.probes.stands(number) {
        None => (vec![vec![(Role::Soft, texts.get("sheet.loading").to_owned())]], Vec::new()),
        Some(Err(error)) => {
            let why = texts.reason(&crate::action::reason(error));
            (vec![vec![(Role::Bad, why)]], Vec::new())
        }
        Some(Ok(stands)) => {
            let agents = stands.agents.iter().map(|seen| of_agent(context, seen, 16));
            let mut agents: Vec<_> = agents.collect();
            if agents.is_empty() {
                agents.push(vec![(Role::Soft, texts.get("probes.no_agents").to_owned())]);
            }
            (agents, happened(context, stands))
        }
    };
    let halves =
        Layout::horizontal([Constraint::Fill(3), Constraint::Length(2), Constraint::Fill(2)]);
    if inner.width >= 110 {
        let [left, _, right] = rest.layout(&halves);
        put(context, frame, left, &agents);
        put(context, frame, right, &happenings);
    } else {
        put(context, frame, rest, &agents);
    }
}

/// The whole page.
pub(super) fn pager(context: &Context<'_>, stands: &Stands) -> Pager {
    let Context { store, texts, .. } = *context;
    let row = &stands.probe;
    let (sign, word, role) = state(row);
    let since = match row.since_ms {
        0 => String::new(),
        since => format::moment(since / 1000, store.now_ms / 1000, store.utc_offset_s),
    };
    let mut lines = vec![
        vec![
            (role, format!("{sign} {}", texts.get(word))),
            (Role::Soft, format!("  {since}  ")),
            (Role::Text, texts.reason(&row.why)),
        ],
        vec![
            (Role::Soft, format!("{} ", row.kind)),
            (Role::Text, row.target.clone()),
            (Role::Soft, format!("  {}", row.description)),
        ],
    ];
    if !row.problem.is_empty() {
        lines.push(vec![(Role::Bad, row.problem.replace('\n', "  "))]);
    }
    let heading = |key| vec![(Role::Header, texts.get(key).to_owned())];
    lines.extend([Vec::new(), heading("probes.uptime")]);
    let told = uptimes(context, row).into_iter().map(|(text, role)| (role, format!("{text}   ")));
    lines.push(told.collect());
    lines.extend([Vec::new(), heading("probes.agents")]);
    if stands.agents.is_empty() {
        lines.push(vec![(Role::Soft, texts.get("probes.no_agents").to_owned())]);
    }
    for seen in &stands.agents {
        lines.push(of_agent(context, seen, 24));
        lines.extend(phases(context, seen));
        if let Some(certificate) = &seen.measured.certificate {
            let text = format!("    {}  ← {}", certificate.subject, certificate.issuer);
            lines.push(vec![(Role::Soft, text)]);
            for problem in &certificate.problems {
                lines.push(vec![(Role::Bad, format!("    {problem}"))]);
            }
        }
    }
    lines.extend([Vec::new(), heading("probes.happened")]);
    let happenings = happened(context, stands);
    if happenings.is_empty() {
        lines.push(vec![(Role::Soft, texts.get("probes.nothing_happened").to_owned())]);
    }
    lines.extend(happenings);
    let command = format!("cmdr probes status {}", quoted(&row.name));
    Pager::new(row.name.clone(), lines).with_wrap().copying_command(command)
}

/// What one look has seen, of every host that took it.
pub(super) fn tried(context: &Context<'_>, name: &str, agents: &[Seen]) -> Pager {
    let mut lines = Vec::new();
    for seen in agents {
        lines.push(of_agent(context, seen, 24));
        lines.extend(phases(context, seen));
    }
    let title = context.texts.fill("probes.tried", &[name]);
    let command = format!("cmdr probes try {}", quoted(name));
    Pager::new(title, lines).with_wrap().copying_command(command)
}

/// What is known of one, if it is.
pub(super) fn known<'a>(context: &Context<'a>, number: u64) -> Option<&'a Stands> {
    let probes: &'a store::Probes = &context.store.probes;
    probes.stands(number)?.as_ref().ok()
}
