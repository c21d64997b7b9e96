//! The list of recordings: what was recorded, how long it is, and what struck in it.

use super::acts;
use crate::action::{Action, PATIENCE};
use crate::keymap::{Binding, Command, key};
use crate::panes::audit::columns as audit_columns;
use crate::panes::{Choice, Context, Entry, Place};
use crate::store::recordings::{Listed, asking, forget, paged};
use crate::theme::Role;
use crate::widgets::table::{self, Cell, Column, WIDEST};
use crate::widgets::{format, natural};
use cmdr_protocol::recordings::{
    Level, List, PAGE, Read, Recording, Search, SetMark, State, Stop, Watch,
};
use cmdr_protocol::{Call as _, Feed as _};
use ratatui::text::{Line, Span};
use std::cmp::Ordering;

pub(super) const SEARCH: Command = Command::Own(20);
pub(super) const WATCH: Command = Command::Own(21);
pub(super) const STOP: Command = Command::Own(22);
pub(super) const MARK: Command = Command::Own(23);
const RENEW: Command = Command::Own(24);

pub(super) const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "recordings.key.play").needs(Read::METHOD).row().hint(),
    key(&["<tab>"], super::NEXT, "records.key.next").hint(),
    key(&["1"], super::OPERATIONS, "records.key.operations"),
    key(&["2"], super::TASKS, "records.key.tasks"),
    key(&["3"], super::RECORDINGS, "records.key.recordings").needs(List::METHOD),
    key(&["s"], SEARCH, "recordings.key.search").needs(Search::METHOD).hint(),
    key(&["w"], WATCH, "recordings.key.watch").needs(Watch::METHOD).row().hint(),
    key(&["x"], STOP, "recordings.key.stop").danger(Stop::METHOD),
    key(&["m"], MARK, "recordings.key.mark").danger(SetMark::METHOD).row().hint(),
    key(&["u"], RENEW, "recordings.key.renew"),
    key(&["H"], super::HOST, "audit.key.host"),
];

const fn column(title: &'static str, width: u16, rank: u8) -> Column {
    let (grows, right, descending) = (false, false, false);
    Column { title, width, rank, grows, most: WIDEST, right, descending }
}

const COLUMNS: &[Column] = &[
    Column { descending: true, ..column("recordings.col.time", 11, 0) },
    column("recordings.col.who", 13, 4),
    column("recordings.col.host", 12, 2),
    Column { grows: true, ..column("recordings.col.command", 20, 0) },
    Column { right: true, descending: true, ..column("recordings.col.length", 7, 5) },
    Column { right: true, descending: true, ..column("recordings.col.size", 6, 6) },
    column("recordings.col.state", 10, 3),
    Column { descending: true, ..column("recordings.col.mark", 10, 1) },
];

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// The sign of a level, the key of its word, and what colour it has.
pub(in crate::panes) const fn level(level: Level) -> (&'static str, &'static str, Role) {
    match level {
        Level::Danger => ("✗", "recordings.level.danger", Role::Bad),
        Level::Warning => ("▲", "recordings.level.warning", Role::Warn),
        Level::Notice => ("•", "recordings.level.notice", Role::Info),
        Level::None | Level::Unknown => ("", "recordings.level.none", Role::Soft),
    }
}

/// The sign of a state, the key of its word, and what colour it has.
pub(in crate::panes) const fn state(state: State) -> (&'static str, &'static str, Role) {
    match state {
        State::Running => ("▶", "recordings.state.running", Role::Info),
        State::Whole => ("✓", "recordings.state.whole", Role::Ok),
        State::Cut => ("!", "recordings.state.cut", Role::Warn),
        State::Gaps => ("!", "recordings.state.gaps", Role::Warn),
        State::Missing => ("✗", "recordings.state.missing", Role::Bad),
        State::Unknown => ("?", "recordings.state.unknown", Role::Warn),
    }
}

/// The mark: sign and word; of one made by hand with what was said.
fn marked(context: &Context<'_>, recording: &Recording) -> (String, Role) {
    let (sign, word, role) = level(recording.level);
    let hand = recording.remark.as_ref();
    let text = match (recording.level, hand) {
        (Level::None | Level::Unknown, None) => return (String::new(), role),
        (Level::None | Level::Unknown, Some(_)) => {
            format!("✓ {}", context.texts.get("recordings.level.none"))
        }
        _ => format!("{sign} {}", context.texts.get(word)),
    };
    let sign = if hand.is_some() { "✎" } else { "" };
    (format!("{text}{sign}"), role)
}

fn haystack(context: &Context<'_>, recording: &Recording, text: &mut String) {
    let r = recording;
    let (mark, _) = marked(context, r);
    let id = r.id.to_string();
    let words = [
        &r.operator,
        &r.host_name,
        &r.command,
        &r.ended,
        &id,
        &mark,
        &context.texts.get(state(r.state).1).to_owned(),
    ];
    for word in words.into_iter().chain(r.marks.iter().map(|mark| &mark.what)) {
        text.push_str(word);
        text.push(' ');
    }
    if let Some(remark) = &r.remark {
        text.extend([remark.text.as_str(), " ", remark.by.as_str()]);
    }
}

fn compare(column: usize, a: &Recording, b: &Recording) -> Ordering {
    match column {
        1 => natural::compare(&a.operator, &b.operator),
        2 => natural::compare(&a.host_name, &b.host_name),
        3 => natural::compare(&a.command, &b.command),
        4 => a.took_ms.cmp(&b.took_ms),
        5 => a.bytes.cmp(&b.bytes),
        6 => a.state.as_str().cmp(b.state.as_str()),
        7 => a.level.cmp(&b.level),
        _ => a.id.cmp(&b.id),
    }
}

/// The table.
#[derive(Default)]
pub(super) struct Recordings {
    pub(super) table: table::State<u64>,
    shown: Option<(u64, u64)>,
}

impl Recordings {
    pub(super) fn new() -> Self {
        let mut this = Self::default();
        this.table.anchored = true;
        this
    }

    pub(super) fn order(&mut self, context: &Context<'_>) {
        let list = &context.store.recordings.list;
        let made_from = (self.table.version, list.version);
        if self.shown == Some(made_from) {
            return;
        }
        self.shown = Some(made_from);
        let mut text = String::new();
        let keeps = |row: &&Recording| {
            text.clear();
            haystack(context, row, &mut text);
            self.table.filter.keeps(&text)
        };
        let mut kept: Vec<&Recording> = if self.table.filter.is_on() {
            list.rows().iter().filter(keeps).collect()
        } else {
            list.rows().iter().collect()
        };
        let column = self.table.sort;
        let descending = COLUMNS.get(column).is_some_and(|c| c.descending) != self.table.reverse;
        kept.sort_by(|a, b| {
            let order = compare(column, a, b);
            if descending { order.reverse() } else { order }
        });
        let top = self.table.place().0 == 0;
        let order = kept.iter().map(|row| row.id).collect();
        self.table.set_order(order, |id| list.get(id).is_some());
        // Whoever stands at the newest sees what comes.
        if top && column == 0 {
            self.table.on(Command::Top, COLUMNS);
        }
    }

    /// Asks for what is missing.
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Action {
        self.order(context);
        let store = context.store;
        let more = self.table.place().1 < self.table.height() + 10;
        let touched = store.audit.touched();
        let Some(before) = store.recordings.list.wanted(store.now_ms, touched, more) else {
            return Action::None;
        };
        let list = List { before, limit: PAGE, ..List::default() };
        let fetch = Action::fetch(None, list, PATIENCE, move |page| {
            (Some(paged(before, page)), Action::None)
        });
        Action::All(vec![Action::Apply(asking(before, touched)), fetch])
    }

    pub(super) fn selected<'a>(&self, context: &Context<'a>) -> Option<&'a Recording> {
        context.store.recordings.list.get(self.table.selected()?)
    }

    /// Does a command of its table.
    pub(super) fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.order(context);
        if self.table.on(command, COLUMNS) {
            return Action::None;
        }
        if matches!(command, Command::NextMatch | Command::PreviousMatch) {
            let text = |id, text: &mut String| {
                if let Some(row) = context.store.recordings.list.get(id) {
                    haystack(context, row, text);
                }
            };
            let found = self.table.seek(command == Command::NextMatch, text);
            return crate::panes::sought(context, found, self.table.sought());
        }
        match command {
            SEARCH => return acts::ask_search(context, SEARCH),
            RENEW => return Action::Apply(forget()),
            _ => {}
        }
        let Some(row) = self.selected(context) else { return Action::Pass };
        match command {
            Command::Open => acts::open(row.id),
            WATCH => acts::watch(context, row),
            STOP => acts::stop(context, row),
            MARK => acts::mark(context, row),
            super::HOST => match row.host.filter(|id| context.store.hosts.get(*id).is_some()) {
                Some(host) => Action::Go(Place::Host(host, 0)),
                None => Action::Say(context.texts.get("audit.no_host").to_owned()),
            },
            Command::CopyValue => Action::Copy(row.command.clone()),
            Command::CopyCommand => Action::Copy(format!("cmdr replay {}", row.id)),
            _ => Action::Pass,
        }
    }

    /// How many there are, and what they take.
    pub(super) fn head(&self, context: &Context<'_>) -> Line<'static> {
        let Context { store, theme, texts, .. } = *context;
        let list = &store.recordings.list;
        let soft = theme.style(Role::Soft);
        let count = format::count(self.table.order().len());
        let mut line = Line::styled(count, theme.style(Role::Strong));
        let mut say =
            |text: String, style| line.push_span(Span::styled(format!(" · {text}"), style));
        if let Some(error) = list.error() {
            let text = format!("✗ {}", crate::action::reason(error));
            say(text, theme.style(Role::Bad));
        } else if list.known {
            let (used, most) = list.room;
            let [used, most] = [used, most].map(format::size);
            say(texts.fill("recordings.room", &[&used, &most]), soft);
        }
        line
    }

    pub(super) fn cell(
        context: &Context<'_>,
        list: &Listed,
        id: u64,
        title: &str,
    ) -> Cell<'static> {
        let Context { store, theme, texts, .. } = *context;
        let Some(row) = list.get(id) else { return Cell::Rest(Line::default()) };
        let (text, soft) = (theme.style(Role::Text), theme.style(Role::Soft));
        Cell::Line(match title {
            "recordings.col.time" => {
                let at = format::moment(row.at_ms / 1000, store.now_ms / 1000, store.utc_offset_s);
                Line::styled(if at.len() == 5 { store.clock(row.at_ms, true) } else { at }, soft)
            }
            "recordings.col.who" => Line::styled(row.operator.clone(), text),
            "recordings.col.host" => Line::styled(row.host_name.clone(), text),
            "recordings.col.command" => {
                let mut spans = vec![Span::styled(row.command.clone(), theme.style(Role::Strong))];
                if !row.ended.is_empty() && row.ended != "exit 0" {
                    let how = audit_columns::ended(context.texts, &row.ended);
                    spans.push(Span::styled(format!("  {how}"), soft));
                }
                Line::from(spans)
            }
            "recordings.col.length" => Line::styled(format::length(row.took_ms), text),
            "recordings.col.size" => Line::styled(format::bytes(row.bytes), soft),
            "recordings.col.state" => {
                let (sign, word, role) = state(row.state);
                Line::styled(format!("{sign} {}", texts.get(word)), theme.style(role))
            }
            _ => {
                let (text, role) = marked(context, row);
                Line::styled(text, theme.style(role))
            }
        })
    }

    /// What stands where rows would be, when there are none.
    pub(super) fn empty(context: &Context<'_>) -> Line<'static> {
        let Context { store, theme, texts, .. } = *context;
        let list = &store.recordings.list;
        if let Some(error) = list.error() {
            return Line::styled(crate::action::reason(error), theme.style(Role::Bad));
        }
        let text = if !list.known {
            texts.get("audit.waiting")
        } else if list.rows().is_empty() {
            texts.get("recordings.nothing")
        } else {
            texts.get("table.nothing_left")
        };
        Line::styled(text, theme.style(Role::Soft))
    }

    pub(super) fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        let list = &context.store.recordings.list;
        let rows = self.table.order().iter().take(500).filter_map(|id| list.get(*id));
        rows.map(|row| Entry {
            kind: "palette.recording",
            text: format!("{} {} {}", row.command, row.operator, row.host_name),
            note: format!("#{}", row.id),
            choice: Choice::Pick(row.id),
        })
        .collect()
    }
}
