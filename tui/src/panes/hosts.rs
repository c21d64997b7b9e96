//! The fleet: counters and the table of hosts, with what can be done to them. The client's home.

mod acts;
mod columns;
mod order;

use super::docker;
use super::logs::LogsPane;
use super::{Choice, Context, Entry, Pane, Place, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command, EVERYWHERE, LIST, key};
use crate::store::{FeedState, alerts};
use crate::theme::Role;
use crate::widgets::table::Column;
use crate::widgets::{bar, format, frame as boxes, natural, table};
pub(super) use acts::quoted;
use cmdr_protocol::containers;
use cmdr_protocol::hosts::{Approve, Forget, HostState, Label, Reject, Rename, Watch};
use cmdr_protocol::logs::Follow;
use cmdr_protocol::runs::Plan;
use cmdr_protocol::{Call as _, ErrorKind, Feed as _, HostId, sessions};
use columns::COLUMNS;
pub(super) use columns::{state, why_away};
use order::Order;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use std::ops::Range;

const RENAME: Command = Command::Own(0);
const LABEL: Command = Command::Own(1);
const FORGET: Command = Command::Own(2);
const APPROVE: Command = Command::Own(3);
const REJECT: Command = Command::Own(4);
const PROCESSES: Command = Command::Own(5);
const LOGS: Command = Command::Own(6);
const SHELL: Command = Command::Own(7);
const DOCKER: Command = Command::Own(8);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "hosts.key.open").row().hint(),
    key(&["p"], PROCESSES, "hosts.key.processes").row().hint(),
    key(&["l"], LOGS, "hosts.key.logs").needs(Follow::METHOD).row().hint(),
    key(&["d"], DOCKER, "hosts.key.docker").needs(containers::Watch::METHOD).row().hint(),
    key(&["s"], SHELL, "hosts.key.shell").needs(sessions::Open::METHOD).row().hint(),
    key(&["e"], Command::Compose, "hosts.key.compose").needs(Plan::METHOD).row().hint(),
    key(&["t"], LABEL, "hosts.key.label").danger(Label::METHOD).row().hint(),
    key(&["R"], RENAME, "hosts.key.rename").danger(Rename::METHOD),
    key(&["a"], APPROVE, "hosts.key.approve").danger(Approve::METHOD),
    key(&["x"], REJECT, "hosts.key.reject").danger(Reject::METHOD),
    key(&["D"], FORGET, "hosts.key.forget").danger(Forget::METHOD),
];

/// The feed of the fleet. The app follows it on every page, because names and states are needed
/// everywhere.
pub fn feed() -> Subscription {
    Subscription::new(None, Watch { selector: String::new(), interval_ms: 1000 })
}

/// The pane.
pub struct HostsPane {
    table: table::State<HostId>,
    order: Order,
    /// What the shown rows were made from: the table's choices and the order.
    shown: Option<(u64, u64)>,
    /// Where the counter of alerts is seen.
    of_alerts: Option<Rect>,
}

impl Default for HostsPane {
    fn default() -> Self {
        // The fleet comes in pieces: the first host that came is not the one that was chosen.
        let mut table = table::State::default();
        table.at_top = true;
        Self { table, order: Order::default(), shown: None, of_alerts: None }
    }
}

impl HostsPane {
    /// Orders and filters the rows anew when something they depend on changed.
    fn order(&mut self, context: &Context<'_>) {
        let hosts = &context.store.hosts;
        let (column, sort) = COLUMNS[self.table.sort];
        let descending = column.descending != self.table.reverse;
        let version = self.order.renew(hosts, sort, descending);
        let made_from = Some((self.table.version, version));
        if self.shown == made_from {
            return;
        }
        self.shown = made_from;
        let filter = &self.table.filter;
        let keeps = |id: &&HostId| hosts.get(**id).is_some_and(|row| filter.keeps(&row.haystack));
        let order = self.order.rows().iter().filter(keeps).copied().collect();
        self.table.set_order(order, |id| hosts.rows.contains_key(&id));
    }

    fn open(&self, context: &Context<'_>, tab: usize) -> Action {
        let Some(id) = self.table.selected() else { return Action::None };
        match context.store.hosts.get(id).map(|row| row.host.state) {
            Some(HostState::Pending) => {
                let [approve, reject] = [APPROVE, REJECT].map(|c| context.keys.of(TABLES, c));
                Action::Say(context.texts.fill("hosts.pending_first", &[&approve, &reject]))
            }
            Some(_) => Action::Go(Place::Host(id, tab)),
            None => Action::None,
        }
    }

    /// The counters, as many groups of them as fit.
    ///
    /// And where in the line the one of alerts is.
    fn counters(context: &Context<'_>, width: u16) -> (Line<'static>, Option<Range<u16>>) {
        let Context { store, theme, texts, glyphs, .. } = *context;
        let totals = &store.hosts.totals;
        let dim = theme.style(Role::Soft);
        let strong = theme.style(Role::Strong);
        let one = totals.all == 1;
        let hosts = texts.get(if one { "hosts.host" } else { "hosts.hosts" });
        let mut states = vec![
            Span::styled(format::count(totals.all), strong),
            Span::styled(format!(" {hosts}"), dim),
        ];
        for (count, sign, word, role) in [
            (totals.online, "●", "hosts.online", Role::Ok),
            (totals.away, "○", "hosts.away", Role::Bad),
            (totals.pending, "◌", "hosts.pending", Role::Warn),
        ] {
            let style = if count == 0 { dim } else { theme.style(role) };
            let text = format!("  {sign} {} {}", format::count(count), texts.get(word));
            states.push(Span::styled(text, style));
        }
        let mut groups = vec![states];
        let word = |key| Span::styled(format!("{} ", texts.get(key)), dim);
        if let Some((permille, whose)) = totals.disk {
            let permille = u32::from(permille);
            groups.push(vec![
                word("hosts.fullest"),
                Span::styled(format::percent(permille), theme.level(permille)),
                Span::styled(format!(" {}", store.hosts.name(whose)), dim),
            ]);
        }
        if let Some(cpu) = totals.cpu {
            let slots = bar::slots(&store.hosts.cpu, store.hosts.cpu_pushed);
            let spark = bar::spark(&slots, 15, glyphs);
            groups.insert(
                1,
                vec![
                    word("word.cpu"),
                    Span::styled(format!("{:>4}", format::percent(cpu.into())), strong),
                    Span::styled(format!(" {spark}"), theme.style(Role::Accent)),
                ],
            );
            let (used, total) = totals.memory;
            let share = format::permille(used, total);
            groups.insert(
                2,
                vec![
                    word("word.memory"),
                    Span::styled(format!("{:>4}", format::percent(share)), strong),
                    Span::styled(format!(" {}/{}", format::bytes(used), format::size(total)), dim),
                ],
            );
            let (received, sent) = totals.net;
            let text = format!("↓ {:>5} ↑ {:>5}", format::rate(received), format::rate(sent));
            groups.push(vec![Span::styled(text, dim)]);
        }
        let waiting = store.alerts.waiting;
        if waiting.all > 0 {
            let text = texts.fill("alerts.badge", &[&format::count(waiting.all)]);
            let (_, role) = alerts::severity(waiting.worst);
            let sign = alerts::sign(waiting.worst);
            let mut group = vec![Span::styled(format!("{sign} {text}"), theme.style(role))];
            if waiting.critical > 0 {
                let text = texts.fill("hosts.alerts_critical", &[&waiting.critical.to_string()]);
                group.push(Span::styled(format!(" {text}"), dim));
            }
            // What waits for somebody is told before any figure.
            groups.insert(1, group);
        }
        let (mut line, mut of_alerts) = (Line::default(), None);
        for (at, group) in groups.into_iter().enumerate() {
            let needs: usize = group.iter().map(Span::width).sum();
            if line.width() > 0 {
                if line.width() + needs + 4 > usize::from(width) {
                    break;
                }
                line.push_span(Span::styled("  ┃ ", theme.style(Role::Border)));
            }
            let begin = line.width() as u16;
            line.extend(group);
            if at == 1 && waiting.all > 0 {
                of_alerts = Some(begin..line.width() as u16);
            }
        }
        (line, of_alerts)
    }
}

impl Pane for HostsPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![feed()]
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.order(context);
        if self.table.on(command, &columns()) {
            return Action::None;
        }
        let selected = self.table.selected().and_then(|id| context.store.hosts.get(id));
        match command {
            Command::Open => self.open(context, 0),
            PROCESSES => self.open(context, 1),
            SHELL => match self.open(context, super::SHELL) {
                go @ Action::Go(_) => {
                    let give = Action::Give(super::sessions::NEW, String::new());
                    Action::All(vec![go, give])
                }
                said => said,
            },
            Command::CopyValue => {
                selected.map_or(Action::None, |row| Action::Copy(row.host.name.clone()))
            }
            Command::CopyCommand => selected.map_or(Action::None, |row| {
                Action::Copy(format!("cmdr hosts show {}", acts::quoted(&row.host.name)))
            }),
            Command::NextMatch | Command::PreviousMatch => {
                let text = |id, text: &mut String| {
                    if let Some(row) = context.store.hosts.get(id) {
                        text.push_str(&row.haystack);
                    }
                };
                let found = self.table.seek(command == Command::NextMatch, text);
                super::sought(context, found, self.table.sought())
            }
            Command::Own(_) => {
                let targets = self.table.targets();
                match command {
                    RENAME => acts::rename(context, self.table.selected()),
                    LABEL => acts::label(context, &targets),
                    FORGET => acts::forget(context, &targets),
                    APPROVE => acts::approve(context, &targets),
                    REJECT => acts::reject(context, &targets),
                    DOCKER => docker::open(targets),
                    LOGS if targets.is_empty() => Action::None,
                    LOGS => Action::Enter(Place::Logs, Box::new(LogsPane::of(targets))),
                    _ => Action::Pass,
                }
            }
            _ => Action::Pass,
        }
    }

    fn leads(&self, at: Position) -> Option<Place> {
        self.of_alerts.filter(|area| area.contains(at)).map(|_| Place::Alerts)
    }

    fn at_hand(&self) -> Vec<HostId> {
        self.table.targets()
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("hosts", &self.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.order(context);
        let Context { store, theme, texts, glyphs, .. } = *context;
        let (counters, of_alerts) = Self::counters(context, area.width.saturating_sub(4));
        let mut place = Rect { x: area.x + 1, height: 1, ..area };
        let below = if area.height >= 18 {
            let strip = Rect { height: 3, ..area };
            let buffer = frame.buffer_mut();
            let inner =
                boxes::panel(buffer, strip, Line::default(), Line::default(), theme, glyphs);
            let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
            table::put(buffer, x, inner.y, width, &counters, false);
            (place.x, place.y) = (x, inner.y);
            Rect { y: area.y + 3, height: area.height - 3, ..area }
        } else {
            table::put(frame.buffer_mut(), area.x + 1, area.y, area.width - 2, &counters, false);
            Rect { y: area.y + 1, height: area.height - 1, ..area }
        };
        self.of_alerts =
            of_alerts.map(|of| Rect { x: place.x + of.start, width: of.end - of.start, ..place });
        if !store.is_up() {
            // Who is online is not known any more.
            let told = Rect { height: below.y - area.y, ..area };
            boxes::fade(frame.buffer_mut(), told, theme);
        }
        let mut columns = columns();
        // Names get the room they need; what is left over is for labels.
        columns[0].most = self.order.longest_name();
        self.table.draw(frame, below, &columns, theme, texts, |id, column, width| {
            match store.hosts.get(id) {
                Some(row) => columns::cell(context, row, column.title, width),
                None => table::Cell::Rest(Line::default()),
            }
        });
        if self.table.order().is_empty() {
            let denied = match store.feed::<Watch>(None) {
                Some(FeedState::Failed(error)) => error.kind == ErrorKind::Denied,
                _ => false,
            };
            let text = if denied && store.is_up() {
                let key = context.keys.of(&[EVERYWHERE], Command::Rights);
                texts.fill("hosts.no_rights", &[&key])
            } else if !store.hosts.known {
                texts.get("hosts.loading").to_owned()
            } else if store.hosts.rows.is_empty() {
                texts.get("hosts.none").to_owned()
            } else {
                texts.get("table.nothing_left").to_owned()
            };
            super::notice(frame, below, &[Line::styled(text, theme.style(Role::Soft))]);
        }
    }
}

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.iter().map(|(column, _)| *column).collect()
}

/// Every host, for the palette.
pub fn entries(context: &Context<'_>) -> Vec<Entry> {
    let hosts = context.store.hosts.rows.iter();
    let mut entries: Vec<Entry> = hosts
        .filter(|(_, row)| row.host.state != HostState::Pending)
        .map(|(id, row)| Entry {
            kind: "palette.host",
            text: row.host.name.clone(),
            note: row.labels.clone(),
            choice: Choice::Go(Place::Host(*id, 0)),
        })
        .collect();
    entries.sort_by(|a, b| natural::compare(&a.text, &b.text));
    entries
}
