//! What is told of a session in a table.

use crate::panes::Context;
use crate::panes::audit::columns::time;
use crate::store::Store;
use crate::theme::Role;
use crate::widgets::format;
use crate::widgets::natural;
use crate::widgets::table::{Cell, Column, WIDEST};
use cmdr_protocol::HostId;
use cmdr_protocol::sessions::{Mode, Session};
use ratatui::text::Line;
use std::cmp::Ordering;

const fn column(title: &'static str, width: u16, rank: u8) -> Column {
    let (grows, right, descending) = (false, false, false);
    Column { title, width, rank, grows, most: WIDEST, right, descending }
}

const ID: Column = column("sessions.col.id", 10, 0);
const NAME: Column = column("sessions.col.name", 14, 3);
const USER: Column = column("sessions.col.user", 10, 2);
const WHAT: Column = Column { grows: true, ..column("sessions.col.what", 20, 0) };
const STARTED: Column = column("sessions.col.started", 11, 5);
const IDLE: Column = Column { right: true, ..column("sessions.col.idle", 5, 4) };
const CLIENTS: Column = column("sessions.col.clients", 14, 1);
const WHOSE: Column = column("sessions.col.whose", 14, 0);

/// Of one host, from left to right.
pub(super) const HOST: &[Column] = &[ID, NAME, USER, WHAT, STARTED, IDLE, CLIENTS, WHOSE];
/// Of all of them.
pub(super) const FLEET: &[Column] =
    &[column("sessions.col.host", 14, 0), ID, NAME, USER, WHAT, STARTED, IDLE, CLIENTS, WHOSE];

/// What runs: the title its program gave itself, else the command.
pub(crate) fn what(session: &Session) -> String {
    let command = session.command.join(" ");
    match (session.title.is_empty(), command.is_empty()) {
        (true, _) => command,
        _ if !session.ssh.is_empty() => format!("ssh {}: {}", session.ssh, session.title),
        (false, true) => session.title.clone(),
        (false, false) => {
            let program = session.command.first().map_or("", String::as_str);
            let program = program.rsplit('/').next().unwrap_or(program);
            format!("{program}: {}", session.title)
        }
    }
}

/// Whether it is our own.
pub(super) fn is_mine(store: &Store, operator: &str) -> bool {
    let Some(me) = &store.hosts.me else { return false };
    let name = |text: &str| text.split('@').next().unwrap_or(text).to_owned();
    me.name == operator || name(&me.name) == name(operator)
}

/// What a filter looks through.
pub(super) fn haystack(store: &Store, host: HostId, session: &Session) -> String {
    let Session { id, name, operator, user, .. } = session;
    format!("{} {id} {name} {operator} {user} {}", store.hosts.name(host), what(session))
}

type Row<'a> = (HostId, &'a Session);

/// The order of two sessions by a column; the oldest first where they are alike.
pub(super) fn compare(store: &Store, title: &str, a: Row<'_>, b: Row<'_>) -> Ordering {
    let order = match title {
        "sessions.col.host" => natural::compare(&store.hosts.name(a.0), &store.hosts.name(b.0)),
        "sessions.col.id" => a.1.id.cmp(&b.1.id),
        "sessions.col.name" => natural::compare(&a.1.name, &b.1.name),
        "sessions.col.user" => a.1.user.cmp(&b.1.user),
        "sessions.col.what" => what(a.1).cmp(&what(b.1)),
        "sessions.col.idle" => b.1.active_ms.cmp(&a.1.active_ms),
        "sessions.col.clients" => a.1.clients.len().cmp(&b.1.clients.len()),
        "sessions.col.whose" => a.1.operator.cmp(&b.1.operator),
        _ => Ordering::Equal,
    };
    order.then_with(|| a.1.started_ms.cmp(&b.1.started_ms)).then_with(|| a.1.id.cmp(&b.1.id))
}

/// A cell.
pub(super) fn cell(context: &Context<'_>, (host, session): Row<'_>, title: &str) -> Cell<'static> {
    let Context { store, theme, texts, .. } = *context;
    let (text, role) = match title {
        "sessions.col.host" => (store.hosts.name(host), Role::Strong),
        "sessions.col.id" => (session.id.clone(), Role::Strong),
        "sessions.col.name" => (session.name.clone(), Role::Text),
        "sessions.col.user" => {
            let risky = session.user == "root";
            (session.user.clone(), if risky { Role::Warn } else { Role::Text })
        }
        "sessions.col.what" => (what(session), Role::Text),
        "sessions.col.started" => (time(context, session.started_ms), Role::Soft),
        "sessions.col.idle" => {
            let idle = store.now_ms.saturating_sub(session.active_ms) / 1000;
            (format::age(idle), Role::Soft)
        }
        "sessions.col.clients" => {
            let watching = session.clients.iter().filter(|one| one.mode != Mode::Drive).count();
            let driven = session.clients.iter().any(|one| one.mode == Mode::Drive);
            match (driven, watching) {
                (false, 0) => (texts.get("sessions.nobody").to_owned(), Role::Faint),
                (true, 0) => (texts.get("sessions.driven").to_owned(), Role::Ok),
                (_, n) => (texts.fill("sessions.watch", &[&n.to_string()]), Role::Info),
            }
        }
        _ if is_mine(store, &session.operator) => {
            (texts.get("sessions.mine").to_owned(), Role::Accent)
        }
        _ => (session.operator.clone(), Role::Text),
    };
    Cell::Line(Line::styled(text, theme.style(role)))
}
