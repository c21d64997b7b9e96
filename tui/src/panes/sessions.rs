//! The sessions of the fleet: one table over the hosts that are online. What a session shows is a tab of
//! its host's page (`shell`); both have their rows and columns from here.

mod acts;
pub mod columns;
mod copy;
mod far;
mod head;
pub(in crate::panes) mod inside;
mod line;
mod list;
mod opening;
pub mod shell;

pub use far::remembers;
pub(in crate::panes) use opening::words;

use super::{Choice, Context, Entry, Pane, Place, SHELL, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command, key};
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::sessions::{End, Join, Open, Watch};
use cmdr_protocol::{Call as _, Feed as _, HostId, ssh};
use list::Sessions;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

/// Hosts whose sessions are followed at once.
const HOSTS: usize = 200;

/// Begins a new session.
pub const NEW: Command = Command::Own(0);
const NEW_AS: Command = Command::Own(1);
const WATCH: Command = Command::Own(2);
const TAKE: Command = Command::Own(3);
const END: Command = Command::Own(4);
/// Begins a session over SSH.
const FAR: Command = Command::Own(5);
/// Begins a session in a container.
const INSIDE: Command = Command::Own(6);

static TABLES: &[&[Binding]] = &[BINDINGS, MOVING];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "sessions.key.open").row().hint(),
    key(&["n"], NEW, "sessions.key.new").needs(Open::METHOD).row().hint(),
    key(&["N"], NEW_AS, "sessions.key.new_as").needs(Open::METHOD).row().hint(),
    key(&["@"], FAR, "sessions.key.far").needs(ssh::Open::METHOD),
    key(&["w"], WATCH, "sessions.key.watch").row().hint(),
    key(&["t"], TAKE, "sessions.key.take").danger(Join::METHOD),
    key(&["x", "<delete>"], END, "sessions.key.end").danger(End::METHOD).row().hint(),
];

/// As in every list, but that `n` begins something new.
const MOVING: &[Binding] = &[
    key(&["j", "<down>"], Command::Down, "key.down"),
    key(&["k", "<up>"], Command::Up, "key.up"),
    key(&["C-d"], Command::HalfDown, "key.half_down"),
    key(&["C-u"], Command::HalfUp, "key.half_up"),
    key(&["<pagedown>", "C-f"], Command::PageDown, "key.page_down"),
    key(&["<pageup>", "C-b"], Command::PageUp, "key.page_up"),
    key(&["g", "<home>"], Command::Top, "key.top"),
    key(&["G", "<end>"], Command::Bottom, "key.bottom"),
    key(&["<space>"], Command::Mark, "key.mark"),
    key(&["*"], Command::MarkAll, "key.mark_all"),
    key(&["/"], Command::Filter, "key.filter").hint(),
    key(&[">"], Command::SortNext, "key.sort_next"),
    key(&["<"], Command::SortPrevious, "key.sort_previous"),
    key(&["r"], Command::SortReverse, "key.sort_reverse"),
    key(&["C"], Command::Columns, "key.columns"),
    key(&["V"], Command::Views, "key.views"),
    key(&["y"], Command::CopyValue, "key.copy_value"),
    key(&["Y"], Command::CopyCommand, "key.copy_command"),
];

/// The columns of the fleet's table.
pub fn columns() -> Vec<Column> {
    columns::FLEET.to_vec()
}

/// Every session that is known, for the palette.
pub fn entries(context: &Context<'_>) -> Vec<Entry> {
    let hosts = &context.store.hosts;
    let mut entries: Vec<Entry> = context
        .store
        .sessions
        .all()
        .map(|(host, session)| Entry {
            kind: "palette.session",
            text: format!("{} {}", hosts.name(host), columns::what(session)),
            note: format!("{} {}", session.id, session.name),
            choice: Choice::Open(Place::Host(host, SHELL), session.id.clone()),
        })
        .collect();
    entries.sort_by(|a, b| a.text.cmp(&b.text).then_with(|| a.note.cmp(&b.note)));
    entries
}

/// The pane of the fleet's sessions.
pub struct SessionsPane {
    list: Sessions,
    /// Hosts that are followed.
    hosts: Vec<HostId>,
    /// Online hosts that are not.
    others: usize,
}

impl Default for SessionsPane {
    fn default() -> Self {
        Self { list: Sessions::new(None), hosts: Vec::new(), others: 0 }
    }
}

impl Pane for SessionsPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        let watch = |host: &HostId| Subscription::new(Some(*host), Watch {});
        std::iter::once(super::hosts::feed()).chain(self.hosts.iter().map(watch)).collect()
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let rows = context.store.hosts.rows.iter();
        let online = rows.filter(|(_, row)| row.host.state == HostState::Online);
        self.hosts = online.map(|(id, _)| *id).collect();
        self.hosts.sort_unstable();
        self.others = self.hosts.len().saturating_sub(HOSTS);
        self.hosts.truncate(HOSTS);
        Action::None
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.list.order(context);
        if self.list.table.on(command, columns::FLEET) {
            return Action::None;
        }
        match command {
            Command::Open | WATCH | TAKE | NEW | NEW_AS | FAR => {
                let Some((host, session)) = self.list.selected(context) else {
                    return Action::Say(context.texts.get("sessions.new_where").to_owned());
                };
                let id = if matches!(command, NEW | NEW_AS | FAR) { "" } else { &session.id };
                let give = Action::Give(command, id.to_owned());
                Action::All(vec![Action::Go(Place::Host(host, SHELL)), give])
            }
            END => acts::end(context, &self.list.targets(context)),
            Command::CopyValue => self.list.copy_id(context),
            Command::CopyCommand => self.list.copy_command(context),
            _ => Action::Pass,
        }
    }

    fn at_hand(&self) -> Vec<HostId> {
        self.list.hosts_at_hand()
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("sessions", &self.list.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.list.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { theme, texts, .. } = *context;
        self.list.draw(context, frame, area);
        if self.list.table.order().is_empty() {
            let waits = self.hosts.iter().any(|host| context.store.sessions.list(*host).is_none());
            let text = if self.list.table.filter.is_on() {
                "table.nothing_left"
            } else if waits {
                "sessions.loading"
            } else {
                "sessions.none_anywhere"
            };
            let line = Line::styled(texts.get(text), theme.style(Role::Soft));
            super::notice(frame, area, &[line]);
        }
        if self.others > 0 {
            let text = texts.fill("sessions.others", &[&self.others.to_string()]);
            let y = area.bottom() - 1;
            let line = Line::styled(text, theme.style(Role::Warn));
            table::put(frame.buffer_mut(), area.x + 1, y, area.width - 2, &line, false);
        }
    }
}
