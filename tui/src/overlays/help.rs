//! Help, made from the key tables of the place where it is asked for.

use super::pager::{Pager, Piece};
use crate::keymap::{Binding, Command, EVERYWHERE, label};
use crate::panes::Context;
use crate::store::rights::Offer;
use crate::theme::Role;
use crate::view::View;
use unicode_width::UnicodeWidthStr as _;

/// The sign of what has to be asked for first.
pub const ASK: &str = "⚐";

/// What every key does here, as far as it is offered to this operator. Where one writes, characters are no keys.
pub fn help(
    context: &Context<'_>,
    tables: &[&[Binding]],
    views: &[&View],
    prefix: Option<&str>,
    writing: bool,
    offer: impl Fn(&Binding) -> Offer,
) -> Pager {
    let texts = context.texts;
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    let (mut asks, mut requests) = (false, false);
    if let Some(prefix) = prefix {
        lines.push(vec![(Role::Warn, texts.fill("help.prefix", &[prefix]))]);
    }
    // Told apart by what they hold: a static's address is not one and the same everywhere.
    let head = |n: usize, table: &[Binding]| {
        let has = |command| table.iter().any(|binding| binding.command == command);
        if n > 0 && has(Command::Down) {
            "help.list"
        } else if has(Command::Tabs) {
            "help.page"
        } else if n == 0 {
            "help.here"
        } else {
            "help.everywhere"
        }
    };
    let tables = tables.iter().enumerate().map(|(n, table)| (head(n, table), *table));
    for (head, table) in tables.chain([("help.everywhere", EVERYWHERE)]) {
        let keys = |binding: &Binding| {
            let keys = context.keys;
            if writing { keys.shown_beside_text(binding) } else { keys.shown(binding) }
        };
        let meant = |b: &&Binding| offer(b) != Offer::No && !keys(b).is_empty();
        let offered: Vec<_> = table.iter().filter(meant).collect();
        if offered.is_empty() {
            continue;
        }
        if !lines.is_empty() {
            lines.push(Vec::new());
        }
        lines.push(vec![(Role::Accent, texts.get(head).to_owned())]);
        for binding in offered {
            let keys = keys(binding);
            let pad = " ".repeat(16usize.saturating_sub(keys.width()).max(1));
            let role = if binding.danger { Role::Danger } else { Role::Key };
            let mut line = vec![
                (role, format!("  {keys}{pad}")),
                (Role::Text, texts.get(binding.text).to_owned()),
            ];
            if binding.danger {
                line.push((Role::Warn, " !".to_owned()));
                asks = true;
            }
            if offer(binding) == Offer::Ask {
                line.push((Role::Warn, format!(" {ASK}")));
                requests = true;
            }
            lines.push(line);
        }
    }
    let keyed = views.iter().filter_map(|view| view.key.as_ref().map(|key| (label(key), *view)));
    let keyed: Vec<_> = keyed.collect();
    if !keyed.is_empty() {
        lines.push(Vec::new());
        lines.push(vec![(Role::Accent, texts.get("views.title").to_owned())]);
    }
    for (keys, view) in keyed {
        let pad = " ".repeat(16usize.saturating_sub(keys.width()).max(1));
        let name = cmdr_protocol::display::clean(&view.name).into_owned();
        lines.push(vec![(Role::Key, format!("  {keys}{pad}")), (Role::Text, name)]);
    }
    if asks {
        lines.push(Vec::new());
        lines.push(vec![(Role::Warn, format!("! {}", texts.get("help.asks")))]);
    }
    if requests {
        lines.push(Vec::new());
        lines.push(vec![(Role::Warn, format!("{ASK} {}", texts.get("help.requests")))]);
    }
    if context.store.read_only {
        lines.push(Vec::new());
        lines.push(vec![(Role::Warn, texts.get("help.read_only").to_owned())]);
    }
    Pager::new(texts.get("help.title").to_owned(), lines).in_columns()
}
