//! Who may do what: every method against every role, on the whole fleet or on one host. The cell under
//! the cursor is explained below: the reason, and the grants that have to do with it.

mod grants;

use super::{Choice, Context, Entry, Pane, Subscription};
use crate::action::{Action, PATIENCE};
use crate::keymap::{Binding, Command, key};
use crate::overlays::palette::Palette;
use crate::store::rights::{self, Offer};
use crate::theme::Role as Style;
use crate::widgets::table::{self, Cell, Column, WIDEST};
use crate::widgets::{frame as boxes, natural};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{self, Allowed, Definition, Matrix, Row, Table};
use cmdr_protocol::{Call as _, CallError, HostId, operators};
use grants::{sign, words};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

const HOST: Command = Command::Own(0);
const FLEET: Command = Command::Own(1);
const AGAIN: Command = Command::Own(2);
const MINE: Command = Command::Own(3);

static TABLES: &[&[Binding]] = &[BINDINGS, MOVES];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "rights.key.open").row().hint(),
    key(&["s"], HOST, "rights.key.host").hint(),
    key(&["f"], FLEET, "rights.key.fleet").hint(),
    key(&["m"], MINE, "rights.key.mine"),
    key(&["R"], AGAIN, "rights.key.again"),
];

/// Moving in a grid, which has no marks and is not sorted.
static MOVES: &[Binding] = &[
    key(&["j", "<down>"], Command::Down, "key.down"),
    key(&["k", "<up>"], Command::Up, "key.up"),
    key(&["<left>", "["], Command::Left, "rights.key.left"),
    key(&["<right>", "]"], Command::Right, "rights.key.right"),
    key(&["C-d"], Command::HalfDown, "key.half_down"),
    key(&["C-u"], Command::HalfUp, "key.half_up"),
    key(&["<pagedown>", "C-f"], Command::PageDown, "key.page_down"),
    key(&["<pageup>", "C-b"], Command::PageUp, "key.page_up"),
    key(&["g", "<home>"], Command::Top, "key.top"),
    key(&["G", "<end>"], Command::Bottom, "key.bottom"),
    key(&["/"], Command::Filter, "key.filter").hint(),
    key(&["n"], Command::NextMatch, "key.next_match"),
    key(&["N"], Command::PreviousMatch, "key.previous_match"),
    key(&["y"], Command::CopyValue, "rights.key.copy"),
    key(&["Y"], Command::CopyCommand, "key.copy_command"),
];

/// From here on, numbers in the palette are hosts.
const HOSTS: u64 = 1 << 32;

const COLUMNS: &[Column] =
    &[column("rights.col.verb", 24, false), column("rights.col.roles", 8, true)];

const fn column(title: &'static str, width: u16, grows: bool) -> Column {
    let (right, descending) = (false, false);
    Column { title, width, rank: 0, grows, most: WIDEST, right, descending }
}

/// The pane.
pub struct RightsPane {
    /// Of this host; of the fleet without one.
    host: Option<HostId>,
    /// Rows, as they stand in the matrix.
    table: table::State<usize>,
    /// The column under the cursor; none until one's own is known.
    role: Option<usize>,
    /// The first column shown.
    first: usize,
    /// What was asked for last, and over which link.
    asked: Option<(Option<HostId>, u64)>,
    shown: Option<(u64, u64)>,
    /// Hosts to choose from, as the palette counts them.
    hosts: Vec<HostId>,
}

impl Default for RightsPane {
    fn default() -> Self {
        Self::of(None)
    }
}

impl RightsPane {
    /// Of a host, or of the fleet.
    pub fn of(host: Option<HostId>) -> Self {
        let mut table = table::State::default();
        table.sort = usize::MAX;
        let (role, first, asked, shown) = (None, 0, None, None);
        Self { host, table, role, first, asked, shown, hosts: Vec::new() }
    }

    /// The matrix, when it is the one that was asked for.
    fn matrix<'a>(&self, context: &Context<'a>) -> Option<&'a Result<Table, CallError>> {
        let (host, table) = context.store.rights.matrix.as_ref()?;
        (*host == self.host).then_some(table)
    }

    fn whole<'a>(&self, context: &Context<'a>) -> Option<&'a Table> {
        self.matrix(context)?.as_ref().ok()
    }

    fn order(&mut self, context: &Context<'_>) {
        let made_from = (self.table.version, context.store.rights.version);
        if self.shown == Some(made_from) {
            return;
        }
        let Some(matrix) = self.whole(context) else { return };
        self.shown = Some(made_from);
        let keeps = |row: &Row| {
            let words = row.cells.iter().map(|cell| context.texts.get(sign(cell.allowed).1));
            let words: Vec<_> = words.collect();
            self.table.filter.keeps(&format!("{} {} {}", row.verb, row.class, words.join(" ")))
        };
        let rows = matrix.rows.iter().enumerate().filter(|(_, row)| keeps(row));
        let order = rows.map(|(at, _)| at).collect();
        self.table.set_order(order, |at| at < matrix.rows.len());
        let own = matrix.roles.iter().position(|role| *role == context.store.role());
        let last = matrix.roles.len().saturating_sub(1);
        self.role = Some(self.role.or(own).unwrap_or(0).min(last));
    }

    fn column(&self) -> usize {
        self.role.unwrap_or(0)
    }

    fn step(&mut self, context: &Context<'_>, by: isize) -> Action {
        let last = self.whole(context).map_or(0, |matrix| matrix.roles.len().saturating_sub(1));
        self.role = Some(self.column().saturating_add_signed(by).min(last));
        Action::None
    }

    fn go(&mut self, host: Option<HostId>) -> Action {
        self.host = host;
        self.shown = None;
        Action::None
    }

    fn definition<'a>(context: &Context<'a>, role: Role) -> Option<&'a Definition> {
        let roles = context.store.rights.roles.as_ref()?.as_ref().ok()?;
        roles.iter().find(|definition| definition.name == role)
    }

    fn cell<'a>(&self, context: &Context<'a>) -> Option<(&'a Row, Role, &'a roles::Cell)> {
        let matrix = self.whole(context)?;
        let row = matrix.rows.get(self.table.selected()?)?;
        let role = *matrix.roles.get(self.column())?;
        Some((row, role, row.cells.get(self.column())?))
    }

    fn choose_host(&mut self, context: &Context<'_>) -> Action {
        let rows = &context.store.hosts.rows;
        let mut hosts: Vec<_> =
            rows.iter().filter(|(_, row)| row.host.state != HostState::Pending).collect();
        hosts.sort_by(|a, b| natural::compare(&a.1.host.name, &b.1.host.name));
        let entries = hosts.iter().enumerate().map(|(at, (_, row))| Entry {
            kind: "palette.host",
            text: row.host.name.clone(),
            note: row.labels.clone(),
            choice: Choice::Pick(HOSTS + at as u64),
        });
        let palette = Palette::new(entries.collect());
        self.hosts = hosts.into_iter().map(|(id, _)| *id).collect();
        Action::Open(Box::new(palette))
    }

    /// Where the columns stand: index, left edge from the beginning of the first, width.
    fn places(&mut self, matrix: &Table, width: u16) -> Vec<(usize, u16, u16)> {
        let widest = matrix.roles.iter().map(|role| role.as_str().width()).max().unwrap_or(4);
        let count = matrix.roles.len().max(1) as u16;
        let one = (width / count).saturating_sub(1).clamp(7, widest.max(7) as u16 + 2);
        let fit = usize::from((width / (one + 1)).max(1));
        self.first = self.first.min(self.column()).max((self.column() + 1).saturating_sub(fit));
        let shown = (self.first..matrix.roles.len()).take(fit);
        shown.enumerate().map(|(n, at)| (at, n as u16 * (one + 1), one)).collect()
    }

    /// The line above the grid.
    /// What one looks at and what the signs mean; how much there is, where there is room for it.
    fn head(&self, context: &Context<'_>, matrix: Option<&Table>, room: u16) -> Line<'static> {
        let Context { store, theme, texts, .. } = *context;
        let of = self.host.map_or_else(
            || texts.get("rights.fleet").to_owned(),
            |host| texts.fill("rights.host", &[&store.hosts.name(host)]),
        );
        let mut spans = vec![Span::styled(of, theme.style(Style::Strong))];
        if let Some(matrix) = matrix {
            let [verbs, roles] = [matrix.rows.len(), matrix.roles.len()].map(|n| n.to_string());
            let text = texts.fill("rights.counts", &[&verbs, &roles]);
            spans.push(Span::styled(format!(" · {text}"), theme.style(Style::Soft)));
        }
        spans.push(Span::raw("   "));
        for allowed in [Allowed::Yes, Allowed::Some, Allowed::OnRequest, Allowed::No] {
            let (sign, word, style) = sign(allowed);
            spans.push(Span::styled(format!("{sign} "), theme.style(style)));
            let word = format!("{}  ", texts.get(word));
            spans.push(Span::styled(word, theme.style(Style::Soft)));
        }
        let whole: usize = spans.iter().map(Span::width).sum();
        if matrix.is_some() && whole > usize::from(room) + 2 {
            spans.remove(1);
        }
        Line::from(spans)
    }

    /// Why the cell under the cursor says what it says.
    fn explain(&self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { theme, texts, glyphs, .. } = *context;
        let Some((row, role, cell)) = self.cell(context) else { return };
        let (sign, word, style) = sign(cell.allowed);
        let title = Line::from(vec![
            Span::styled(format!(" {role} "), theme.style(Style::Title)),
            Span::styled(format!("{} ", row.verb), theme.style(Style::Strong)),
            Span::styled(format!("{sign} {} ", texts.get(word)), theme.style(style)),
        ]);
        let buffer = frame.buffer_mut();
        let inner = boxes::panel(buffer, area, title, Line::default(), theme, glyphs);
        let mut lines = vec![vec![(Style::Text, grants::why(context, cell))]];
        let definition = Self::definition(context, role);
        for n in &cell.grants {
            let grant = (*n as usize).checked_sub(1);
            let grant = grant.and_then(|at| definition.and_then(|role| role.grants.get(at)));
            if let Some(grant) = grant {
                let number = texts.fill("rights.grant", &[&n.to_string()]);
                let text = words(context, grant);
                lines.push(vec![(Style::Soft, format!("{number}  ")), (Style::Soft, text)]);
            }
        }
        let width = inner.width.saturating_sub(2);
        let mut rows =
            lines.iter().flat_map(|line| crate::overlays::wrap(line, usize::from(width)));
        for y in inner.top()..inner.bottom() {
            let Some(mut row) = rows.next() else { break };
            let taken: usize = row.iter().map(|(_, text)| text.width()).sum();
            if y + 1 == inner.bottom()
                && let Some((_, text)) = row.last_mut().filter(|_| rows.next().is_some())
            {
                let room = usize::from(width).saturating_sub(taken - text.width());
                let cut = format!("{} …", text.trim_end_matches([' ', '·']));
                *text = clean_to_width(&cut, room);
            }
            let spans = row.iter().map(|(style, text)| Span::styled(text, theme.style(*style)));
            table::put(frame.buffer_mut(), inner.x + 1, y, width, &spans.collect(), false);
        }
    }
}

impl Pane for RightsPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![super::hosts::feed()]
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let store = context.store;
        let wanted = (self.host, store.rights.renewals);
        if self.asked == Some(wanted) {
            return Action::None;
        }
        self.asked = Some(wanted);
        let host = self.host;
        let mut calls =
            vec![Action::fetch(None, Matrix { host, packed: true }, PATIENCE, move |table| {
                (Some(rights::matrix(host, table)), Action::None)
            })];
        if store.rights.roles.is_none() {
            calls.push(Action::fetch(None, roles::List {}, PATIENCE, |listing| {
                (Some(rights::roles(listing.map(|listing| listing.roles))), Action::None)
            }));
        }
        let may = store.offer(operators::List::METHOD, false, &[]) == Offer::Yes;
        if may && store.rights.operators.is_none() {
            calls.push(Action::fetch_all(None, operators::List::all(), PATIENCE, |listing| {
                (Some(rights::operators(listing.map(|listing| listing.operators))), Action::None)
            }));
        }
        Action::All(calls)
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.order(context);
        match command {
            Command::Left => return self.step(context, -1),
            Command::Right => return self.step(context, 1),
            Command::Mark | Command::MarkAll | Command::Range => return Action::None,
            Command::SortNext | Command::SortPrevious | Command::SortReverse => {
                return Action::None;
            }
            _ => {}
        }
        if self.table.on(command, COLUMNS) {
            return Action::None;
        }
        match command {
            Command::Open => {
                let Some((_, role, _)) = self.cell(context) else { return Action::None };
                let definition = Self::definition(context, role);
                Action::Open(Box::new(grants::pager(context, role, definition)))
            }
            HOST => self.choose_host(context),
            FLEET => self.go(None),
            AGAIN => {
                self.asked = None;
                Action::Apply(rights::again())
            }
            MINE => {
                self.role = None;
                self.shown = None;
                Action::None
            }
            Command::CopyValue => {
                let Some((row, role, cell)) = self.cell(context) else { return Action::None };
                let word = context.texts.get(sign(cell.allowed).1);
                Action::Copy(format!("{role} {} {word}: {}", row.verb, cell.reason))
            }
            Command::CopyCommand => {
                let Some((row, role, _)) = self.cell(context) else { return Action::None };
                let host = self.host.map_or_else(String::new, |host| {
                    format!(" {}", super::hosts::quoted(&context.store.hosts.name(host)))
                });
                Action::Copy(format!("cmdr can-i {}{host} --as {role}", row.verb))
            }
            Command::NextMatch | Command::PreviousMatch => {
                let Some(matrix) = self.whole(context) else { return Action::None };
                let text = |at: usize, text: &mut String| {
                    if let Some(row) = matrix.rows.get(at) {
                        text.push_str(&row.verb);
                    }
                };
                let found = self.table.seek(command == Command::NextMatch, text);
                super::sought(context, found, self.table.sought())
            }
            _ => Action::Pass,
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("rights", &self.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.order(context);
        let Context { store, theme, texts, .. } = *context;
        let head = self.head(context, self.whole(context), area.width - 2);
        table::put(frame.buffer_mut(), area.x + 1, area.y, area.width - 2, &head, false);
        let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let matrix = match self.matrix(context) {
            Some(Ok(matrix)) => matrix,
            other => {
                let line = match other {
                    Some(Err(error)) => {
                        Line::styled(crate::action::reason(error), theme.style(Style::Bad))
                    }
                    _ if !store.is_up() => {
                        Line::styled(texts.get("overview.no_hub"), theme.style(Style::Soft))
                    }
                    _ => Line::styled(texts.get("rights.waiting"), theme.style(Style::Soft)),
                };
                super::notice(frame, body, &[line]);
                return;
            }
        };
        let below = if body.height >= 24 { 7 } else { 5 };
        let grid = Rect { height: body.height - below, ..body };
        // What the table leaves to the cells: its margin, the first column and a blank.
        let left = 2 + COLUMNS[0].width + 1;
        let places = self.places(matrix, grid.width.saturating_sub(left + 1));
        let own = matrix.roles.iter().position(|role| *role == store.role());
        let now = self.column();
        let mut before: Option<&str> = None;
        let mut begins = vec![false; matrix.rows.len()];
        for at in self.table.order() {
            let feature = matrix.rows[*at].verb.split('.').next();
            begins[*at] = feature != before;
            before = feature;
        }
        self.table.draw(frame, grid, COLUMNS, theme, texts, |at, column, _| {
            let Some(row) = matrix.rows.get(at) else { return Cell::Rest(Line::default()) };
            if column.title == "rights.col.verb" {
                let (feature, verb) = row.verb.split_once('.').unwrap_or(("", &row.verb));
                let style = if begins[at] { Style::Accent } else { Style::Faint };
                return Cell::Line(Line::from(vec![
                    Span::styled(feature, theme.style(style)),
                    Span::styled(".", theme.style(Style::Faint)),
                    Span::styled(verb, theme.style(Style::Strong)),
                ]));
            }
            let mut spans = Vec::new();
            for &(at, _, width) in &places {
                let allowed = row.cells.get(at).map_or(Allowed::Unknown, |cell| cell.allowed);
                let (sign, word, style) = sign(allowed);
                let text = format!("{sign} {}", texts.get(word));
                let text = clean_to_width(&text, usize::from(width));
                let pad = " ".repeat((usize::from(width) + 1).saturating_sub(text.width()));
                spans.push(Span::styled(text, theme.style(style)));
                spans.push(Span::raw(pad));
            }
            Cell::Line(Line::from(spans))
        });
        let x = grid.x + left;
        // The column's own title goes: of a wide one halves without a ground would be left.
        let blank = " ".repeat(usize::from(grid.right().saturating_sub(x)));
        frame.buffer_mut().set_string(x, grid.y, blank, theme.style(Style::Ground));
        for &(at, from, width) in &places {
            let name = matrix.roles[at].to_string();
            let (text, style) = if own == Some(at) {
                (format!("◆{name}"), Style::HeaderSorted)
            } else {
                (name, Style::Header)
            };
            let text = clean_to_width(&text, usize::from(width));
            let line = Line::styled(text, theme.style(style));
            table::put(frame.buffer_mut(), x + from, grid.y, width, &line, false);
            if let Some(y) = self.table.cursor_line().filter(|_| at == now) {
                let cell = Rect { x: x + from, y, width, height: 1 };
                frame.buffer_mut().set_style(cell, theme.style(Style::TabActive));
            }
        }
        let explained = Rect { y: grid.bottom(), height: below, ..body };
        self.explain(context, frame, explained);
        if self.table.order().is_empty() {
            let text = texts.get("table.nothing_left");
            super::notice(frame, grid, &[Line::styled(text, theme.style(Style::Soft))]);
        }
        if !store.is_up() {
            boxes::fade(frame.buffer_mut(), body, theme);
        }
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        let Some(matrix) = self.whole(context) else { return Vec::new() };
        let rows = matrix.rows.iter().enumerate();
        rows.map(|(at, row)| Entry {
            kind: "palette.verb",
            text: row.verb.clone(),
            note: row.class.clone(),
            choice: Choice::Pick(at as u64),
        })
        .collect()
    }

    fn pick(&mut self, number: u64) {
        match number.checked_sub(HOSTS) {
            Some(at) => {
                if let Some(host) = usize::try_from(at).ok().and_then(|at| self.hosts.get(at)) {
                    self.host = Some(*host);
                    self.shown = None;
                }
            }
            None => {
                if let Ok(row) = usize::try_from(number) {
                    self.table.select(row);
                }
            }
        }
    }
}
