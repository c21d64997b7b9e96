//! One gateway: its upstreams with what each does now, its listeners, who is banned and what has ended lately; drained,
//! weighted and switched while it runs.

use super::acts::{self, Part};
use super::below::{self, broken, put};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::panes::sheet::{View, column, dotted, figure, rest, split};
use crate::panes::write::Subject;
use crate::panes::{Context, Entry, Pane, Subscription, traffic};
use crate::store::gateways::{self as store, One, upstreams};
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use crate::widgets::{format, frame as boxes};
use cmdr_protocol::gateways::{Ban, Bans, Drain, Log, Row, Save, Show, State, Versions, Weight};
use cmdr_protocol::history::Query;
use cmdr_protocol::{Call as _, HostId};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

const DRAIN: Command = Command::Own(0);
const WEIGHT: Command = Command::Own(1);
const SWITCH: Command = Command::Own(2);
const BACK: Command = Command::Own(3);
const LISTENER: Command = Command::Own(4);
const BAN: Command = Command::Own(5);
const BANS: Command = Command::Own(6);
const LOG: Command = Command::Own(7);
const WRITE: Command = Command::Own(8);
const TEXT: Command = Command::Own(9);
const VERSIONS: Command = Command::Own(10);
const CHART: Command = Command::Own(11);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["s"], SWITCH, "gateways.key.switch").danger(Weight::METHOD).row().hint(),
    key(&["z"], BACK, "gateways.key.back").danger(Weight::METHOD).row().hint(),
    key(&["d"], DRAIN, "gateways.key.drain").danger(Drain::METHOD).row().hint(),
    key(&["e"], WEIGHT, "gateways.key.weight").danger(Weight::METHOD).row().hint(),
    key(&["p"], LISTENER, "gateways.key.listener").danger(Drain::METHOD),
    key(&["a"], BAN, "gateways.key.ban").danger(Ban::METHOD),
    key(&["u"], BANS, "gateways.key.bans").needs(Bans::METHOD),
    key(&["l"], LOG, "gateways.key.log").needs(Log::METHOD).hint(),
    key(&["c"], CHART, "gateways.key.chart").needs(Query::METHOD).hint(),
    key(&["w"], WRITE, "gateways.key.write").danger(Save::METHOD).hint(),
    key(&["t"], TEXT, "gateways.key.text").needs(Show::METHOD),
    key(&["i"], VERSIONS, "configs.key.versions").needs(Versions::METHOD),
];

const COLUMNS: &[Column] = &[
    Column { most: 20, ..rest("upstreams.col.group", 8, 1) },
    Column { most: 46, ..rest("upstreams.col.address", 21, 0) },
    column("upstreams.col.state", 9, 0),
    figure("upstreams.col.weight", 6, 2),
    figure("upstreams.col.open", 6, 1),
    figure("upstreams.col.new", 7, 2),
    figure("upstreams.col.to", 6, 4),
    figure("upstreams.col.from", 6, 4),
    figure("upstreams.col.connect", 7, 4),
    figure("upstreams.col.first_byte", 7, 3),
    figure("upstreams.col.total", 9, 5),
    figure("upstreams.col.failed", 7, 2),
    column("upstreams.col.backup", 7, 6),
];

/// Busiest clients of each listener that are shown.
const TALKERS: usize = 5;
/// Rows of the live chart.
const TRAFFIC: u16 = 9;
/// Rows below the list, where there is room.
const BELOW: u16 = 8;

/// The columns of the list.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// The pane.
pub struct GatewayPane {
    number: u64,
    rows: View,
}

impl GatewayPane {
    /// Of the gateway of this number.
    pub fn new(number: u64) -> Self {
        Self { number, rows: View::new(upstreams(number), COLUMNS, 0) }
    }

    fn row<'a>(&self, context: &Context<'a>) -> Option<&'a Row> {
        context.store.gateways.rows.get(&self.number)
    }

    fn one<'a>(&self, context: &Context<'a>) -> Option<&'a One> {
        context.store.gateways.one(self.number)
    }

    /// The upstream under the cursor.
    fn part<'a>(&self, context: &Context<'a>) -> Option<Part<'a>> {
        let (row, id) = (self.row(context)?, self.rows.table.selected()?);
        let figures = self.one(context)?.figures.as_ref().ok()?;
        let host = row.host?;
        figures.groups.iter().find_map(|group| {
            let is = |address: &str| store::upstream(&group.name, address) == id;
            let upstream = group.upstreams.iter().find(|upstream| is(&upstream.address))?;
            Some(Part { row, host, group, upstream })
        })
    }

    fn head(&self, context: &Context<'_>, row: &Row) -> Line<'static> {
        let texts = context.texts;
        let (word, role, _) = store::state(row.state);
        let mut parts = vec![
            (row.name.clone(), Role::Strong),
            (texts.get(word).to_owned(), role),
            (row.host_name.clone(), Role::Text),
        ];
        let version = row.version.to_string();
        parts.push((texts.fill("configs.version", &[&version]), Role::Soft));
        if let Some(Ok(figures)) = self.one(context).map(|one| &one.figures) {
            let open: u64 = figures.listeners.iter().map(|listener| listener.active).sum();
            parts.push((texts.fill("gateways.open", &[&open.to_string()]), Role::Text));
            if figures.version != row.version && row.state != State::Off {
                let version = figures.version.to_string();
                parts.push((texts.fill("gateways.goes_by", &[&version]), Role::Warn));
            }
            let pid = figures.pid.to_string();
            parts.push((texts.fill("gateways.process", &[&pid]), Role::Faint));
        }
        if !row.description.is_empty() {
            parts.push((row.description.clone(), Role::Soft));
        }
        dotted(context, parts)
    }

    /// Listeners and bans; what has ended lately.
    fn below(
        &self,
        context: &Context<'_>,
        frame: &mut Frame<'_>,
        area: Rect,
        row: &Row,
        one: &One,
    ) {
        let Context { theme, texts, glyphs, .. } = *context;
        let Ok(figures) = &one.figures else { return };
        let [left, right] =
            area.layout(&Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]));
        let (left, right) = if area.width < 110 { (area, None) } else { (left, Some(right)) };
        let panel = |frame: &mut Frame<'_>, area: Rect, key: &'static str| {
            let title = Line::styled(format!(" {} ", texts.get(key)), theme.style(Role::Title));
            let inner =
                boxes::panel(frame.buffer_mut(), area, title, Line::default(), theme, glyphs);
            Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
        };
        let mut lines = Vec::new();
        if !row.why.is_empty() {
            let (_, role, _) = store::state(row.state);
            lines.extend(broken(context, role, &row.why, left.width.saturating_sub(4)));
        }
        lines.extend(below::listeners(context, one, figures));
        for group in figures.groups.iter().filter(|group| group.waiting > 0) {
            let waiting = texts.fill("gateways.waiting", &[&group.waiting.to_string()]);
            lines.push(vec![(Role::Warn, format!("{}: {waiting}", group.name))]);
        }
        if let Some(Part { upstream, .. }) = self.part(context) {
            lines.extend(below::times(context, upstream));
        }
        if !one.bans.is_empty() {
            let bans = one.bans.iter().take(3).map(|(_, address, _)| address.as_str());
            let shown = bans.collect::<Vec<_>>().join(", ");
            let count = format::count(one.bans.len());
            lines.push(vec![
                (Role::Warn, texts.fill("gateways.bans.count", &[&count])),
                (Role::Soft, format!("  {shown}")),
            ]);
        }
        let mut busiest = figures.listeners.iter().filter(|l| !l.talkers.is_empty()).peekable();
        if busiest.peek().is_some() {
            lines.push(vec![(Role::Header, texts.get("gateways.busiest").to_owned())]);
        }
        for listener in busiest {
            for talker in listener.talkers.iter().take(TALKERS) {
                lines.push(below::talker(context, listener, talker));
            }
        }
        let ended = || match &one.ended {
            None => vec![vec![(Role::Soft, texts.get("sheet.loading").to_owned())]],
            Some(Err(error)) => {
                broken(context, Role::Bad, &crate::action::reason(error), area.width / 2)
            }
            Some(Ok(all)) if all.is_empty() => {
                vec![vec![(Role::Soft, texts.get("gateways.log.none").to_owned())]]
            }
            Some(Ok(all)) => all.iter().take(100).map(|of| acts::ended(of, false)).collect(),
        };
        let inner = panel(frame, left, "gateways.listeners");
        if right.is_none() {
            lines.push(Vec::new());
            lines.extend(ended());
        }
        put(context, frame, inner, &lines);
        if let Some(mut right) = right {
            if right.height >= TRAFFIC + 6 {
                let above = Rect { height: TRAFFIC, ..right };
                right = Rect { y: above.bottom(), height: right.height - TRAFFIC, ..right };
                let (name, every) =
                    (texts.get("traffic.title"), context.store.interval_ms(acts::STATUS_MS));
                traffic::draw(context, frame.buffer_mut(), above, name, &one.traffic, every);
            }
            let inner = panel(frame, right, "gateways.log");
            put(context, frame, inner, &ended());
        }
    }

    fn act(&self, context: &Context<'_>, command: Command) -> Action {
        let Some(row) = self.row(context) else { return Action::None };
        let running: Option<(HostId, &One)> = row.host.zip(self.one(context));
        match command {
            WRITE => return acts::write(context, row),
            TEXT => return acts::text(row),
            CHART | Command::Charts => return acts::chart(row),
            VERSIONS => {
                return crate::panes::write::versions(context, Subject::Gateway(row.name.clone()));
            }
            Command::CopyCommand => return Action::Copy(acts::status_line(row)),
            _ => {}
        }
        let Some((host, one)) = running else {
            return Action::Say(context.texts.get("gateways.not_running").to_owned());
        };
        match command {
            LISTENER => return acts::listeners(context, row, host, one),
            BAN => return acts::ban(context, row, host, one),
            BANS => return acts::bans(context, row, host, one),
            LOG => return acts::log(context, row, one),
            _ => {}
        }
        let Some(part) = self.part(context) else { return Action::None };
        match command {
            DRAIN => acts::drain(context, &part),
            WEIGHT => acts::weight(context, &part),
            SWITCH => acts::switch(context, &part),
            BACK => acts::back(context, &part),
            _ => Action::None,
        }
    }
}

impl Pane for GatewayPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn can(&self, _context: &Context<'_>, command: Command) -> bool {
        // Each is acted on by itself.
        command != Command::Mark
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![crate::panes::hosts::feed()]
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        if !context.store.is_up() {
            return Action::None;
        }
        let row = self.row(context);
        super::ask_list(context)
            .or_else(|| row.and_then(|row| acts::ask(context, self.number, row)))
            .or_else(|| row.and_then(|row| acts::ask_happened(context, self.number, row)))
            .unwrap_or_default()
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.rows.order(context);
        match command {
            DRAIN
            | WEIGHT
            | SWITCH
            | BACK
            | LISTENER
            | BAN
            | BANS
            | LOG
            | WRITE
            | TEXT
            | VERSIONS
            | CHART
            | Command::Charts
            | Command::CopyCommand => self.act(context, command),
            _ => self.rows.on(context, command),
        }
    }

    fn at_hand(&self) -> Vec<HostId> {
        Vec::new()
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("upstreams", &self.rows.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.rows.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { store, theme, texts, .. } = *context;
        let Some(row) = self.row(context) else {
            let known = store.sheet(store::GATEWAYS).is_some_and(|sheet| sheet.known);
            let key = match known {
                _ if !store.is_up() => "overview.no_hub",
                true => "gateways.gone",
                false => "sheet.loading",
            };
            let line = Line::styled(texts.get(key), theme.style(Role::Soft));
            return crate::panes::notice(frame, area, &[line]);
        };
        let (head, mut body) = split(area);
        let line = self.head(context, row);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        let one = self.one(context);
        let why = match one.map(|one| &one.figures) {
            _ if row.state == State::Off => Some(texts.get("gateways.is_off").to_owned()),
            _ if row.host.is_none() => Some(texts.reason(&row.why)),
            Some(Err(error)) => Some(texts.reason(&crate::action::reason(error))),
            None => Some(texts.get("sheet.loading").to_owned()),
            Some(Ok(_)) => None,
        };
        let Some(one) = one.filter(|_| why.is_none()) else {
            let mut lines = Vec::new();
            for text in [why.unwrap_or_default(), row.why.clone()] {
                if !text.is_empty() && !lines.contains(&text) {
                    lines.push(text);
                }
            }
            let lines: Vec<Line<'_>> =
                lines.into_iter().map(|text| Line::styled(text, theme.style(Role::Soft))).collect();
            let lines = crate::panes::sheet::wrapped(lines, area.width);
            return crate::panes::notice(frame, body, &lines);
        };
        if body.height >= BELOW + 6 {
            let rows = self.rows.sheet(context).map_or(0, |sheet| sheet.rows.len() as u16);
            let height = BELOW.max(body.height.saturating_sub(rows + 2)).min(body.height / 2);
            let lower = Rect { y: body.bottom() - height, height, ..body };
            body.height -= height;
            self.below(context, frame, lower, row, one);
        }
        self.rows.draw(context, frame, body, ["gateways.no_upstreams", "table.nothing_left"]);
        if !store.is_up() {
            boxes::fade(frame.buffer_mut(), area, theme);
        }
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.rows.entries(context, "palette.row")
    }

    fn pick(&mut self, number: u64) {
        self.rows.table.select(number);
    }
}
