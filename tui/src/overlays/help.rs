//! Help, made from the key tables of the place where it is asked for.

use super::pager::{Pager, Piece};
use crate::keymap::{Binding, EVERYWHERE, LIST, PAGE};
use crate::panes::Context;
use crate::theme::Role;
use unicode_width::UnicodeWidthStr as _;

/// What every key does here, as far as it is offered to this operator.
pub fn help(context: &Context<'_>, tables: &[&[Binding]]) -> Pager {
    let texts = context.texts;
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    let head = |n: usize, table: &[Binding]| {
        if std::ptr::eq(table, LIST) {
            "help.list"
        } else if std::ptr::eq(table, PAGE) {
            "help.page"
        } else if n == 0 {
            "help.here"
        } else {
            "help.everywhere"
        }
    };
    let tables = tables.iter().enumerate().map(|(n, table)| (head(n, table), *table));
    for (head, table) in tables.chain([("help.everywhere", EVERYWHERE)]) {
        let offered = table.iter().filter(|b| context.store.allows(b.access, b.danger));
        let offered: Vec<_> = offered.collect();
        if offered.is_empty() {
            continue;
        }
        if !lines.is_empty() {
            lines.push(Vec::new());
        }
        lines.push(vec![(Role::Accent, texts.get(head).to_owned())]);
        for binding in offered {
            let keys = binding.shown();
            let pad = " ".repeat(16usize.saturating_sub(keys.width()).max(1));
            let mut line = vec![
                (Role::Key, format!("  {keys}{pad}")),
                (Role::Text, texts.get(binding.text).to_owned()),
            ];
            if binding.danger {
                line.push((Role::Warn, format!("  {}", texts.get("help.asks"))));
            }
            lines.push(line);
        }
    }
    if context.store.read_only {
        lines.push(Vec::new());
        lines.push(vec![(Role::Warn, texts.get("help.read_only").to_owned())]);
    }
    Pager::new(texts.get("help.title").to_owned(), lines)
}
