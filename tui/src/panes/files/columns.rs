//! The columns of a folder.

use crate::panes::Context;
use crate::theme::Role;
use crate::widgets::table::{Cell, Column, WIDEST};
use crate::widgets::{format, natural};
use cmdr_protocol::files::{Entry, FileKind, shown};
use ratatui::text::{Line, Span};
use std::cmp::Ordering;

const fn column(title: &'static str, width: u16, rank: u8) -> Column {
    let (grows, right, descending) = (false, false, false);
    Column { title, width, rank, grows, most: WIDEST, right, descending }
}

/// From left to right.
pub(super) const COLUMNS: &[Column] = &[
    Column { grows: true, ..column("files.col.name", 20, 0) },
    Column { right: true, descending: true, ..column("files.col.size", 6, 1) },
    column("files.col.mode", 10, 3),
    column("files.col.owner", 15, 4),
    Column { descending: true, ..column("files.col.modified", 11, 2) },
];

type Compare = fn(&Entry, &Entry) -> Ordering;

/// How each column is ordered.
pub(super) const COMPARE: [Compare; 5] = [
    |a, b| natural::compare(&a.name, &b.name),
    |a, b| a.size.cmp(&b.size),
    |a, b| a.mode.cmp(&b.mode),
    |a, b| natural::compare(&a.user, &b.user),
    |a, b| a.mtime_ns.cmp(&b.mtime_ns),
];

/// What stands in a cell.
pub(super) fn cell(context: &Context<'_>, entry: &Entry, column: &str) -> Cell<'static> {
    let theme = context.theme;
    let line = match column {
        "files.col.size" => match entry.kind {
            FileKind::File => Line::styled(format::bytes(entry.size), theme.style(Role::Text)),
            _ => Line::styled("-", theme.style(Role::Faint)),
        },
        "files.col.mode" => Line::styled(entry.letters(), theme.style(Role::Soft)),
        "files.col.owner" => {
            Line::styled(format!("{}:{}", entry.user, entry.group), theme.style(Role::Soft))
        }
        "files.col.modified" => {
            let at_s = u64::try_from(entry.mtime_ns / 1_000_000_000).unwrap_or(0);
            let (now_s, offset_s) = (context.store.now_ms / 1000, context.store.utc_offset_s);
            Line::styled(format::moment(at_s, now_s, offset_s), theme.style(Role::Soft))
        }
        _ => name(context, entry),
    };
    Cell::Line(line)
}

fn name(context: &Context<'_>, entry: &Entry) -> Line<'static> {
    let style = |role| context.theme.style(role);
    let text = shown(&entry.name);
    match entry.kind {
        FileKind::Folder => Line::from(vec![
            Span::styled(text, style(Role::Accent)),
            Span::styled("/", style(Role::Soft)),
        ]),
        FileKind::Link => Line::from(vec![
            Span::styled(text, style(Role::Info)),
            Span::styled(format!(" → {}", shown(&entry.target)), style(Role::Faint)),
        ]),
        FileKind::File if entry.mode & 0o111 > 0 => Line::styled(text, style(Role::Ok)),
        FileKind::File => Line::styled(text, style(Role::Text)),
        _ => Line::styled(text, style(Role::Warn)),
    }
}
