//! What a search found inside recordings, a line each.

use super::acts;
use super::recordings::SEARCH;
use crate::action::Action;
use crate::keymap::{Binding, Command, key};
use crate::panes::Context;
use crate::store::recordings::{Found, Where};
use crate::theme::Role;
use crate::widgets::format;
use crate::widgets::table::{self, Cell, Column, WIDEST};
use cmdr_protocol::Feed as _;
use cmdr_protocol::recordings::{Hit, Read, Search};
use ratatui::text::{Line, Span};
use std::sync::Arc;

pub(super) const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "recordings.key.open_hit").needs(Read::METHOD).row().hint(),
    key(&["s"], SEARCH, "recordings.key.search").needs(Search::METHOD).hint(),
    key(&["<tab>"], super::NEXT, "records.key.next"),
    key(&["1"], super::OPERATIONS, "records.key.operations"),
    key(&["2"], super::TASKS, "records.key.tasks"),
    key(&["3"], super::RECORDINGS, "records.key.recordings"),
];

const fn column(title: &'static str, width: u16, rank: u8) -> Column {
    let (grows, right, descending) = (false, false, false);
    Column { title, width, rank, grows, most: WIDEST, right, descending }
}

const COLUMNS: &[Column] = &[
    Column { right: true, descending: true, ..column("found.col.recording", 7, 0) },
    Column { right: true, ..column("found.col.at", 8, 0) },
    Column { right: true, ..column("found.col.line", 6, 3) },
    Column { grows: true, most: 44, ..column("found.col.where", 20, 2) },
    Column { grows: true, ..column("found.col.text", 20, 0) },
];

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// The table; its rows are known by their place among the hits.
pub(super) struct Hits {
    pub(super) table: table::State<u64>,
    shown: Option<(u64, u64)>,
    /// Ends the search when it is dropped.
    _held: Arc<()>,
}

impl Hits {
    /// Searches all recordings.
    pub(super) fn new(text: &str) -> (Self, Action) {
        let (action, held) = acts::search(Where::All, text, None);
        (Self { table: table::State::default(), shown: None, _held: held }, action)
    }

    fn get<'a>(context: &Context<'a>, at: u64) -> Option<&'a Hit> {
        context.store.recordings.found.hits.get(usize::try_from(at).ok()?)
    }

    fn haystack(context: &Context<'_>, hit: &Hit, text: &mut String) {
        text.extend([&hit.text, " ", &Self::place(context, hit)]);
    }

    /// Whose and where, as far as the recording is in the list.
    fn place(context: &Context<'_>, hit: &Hit) -> String {
        let recording = context.store.recordings.list.get(hit.id);
        recording.map_or_else(String::new, |r| format!("{} {}", r.host_name, r.command))
    }

    pub(super) fn order(&mut self, context: &Context<'_>) {
        let found = &context.store.recordings.found;
        let made_from = (self.table.version, found.version);
        if self.shown == Some(made_from) {
            return;
        }
        self.shown = Some(made_from);
        let mut text = String::new();
        let mut kept: Vec<(u64, &Hit)> = (0..).zip(&found.hits).collect();
        if self.table.filter.is_on() {
            kept.retain(|(_, hit)| {
                text.clear();
                Self::haystack(context, hit, &mut text);
                self.table.filter.keeps(&text)
            });
        }
        let reverse = self.table.reverse;
        // As they came: the newest recordings first, each from its beginning.
        kept.sort_by(|(_, a), (_, b)| {
            let order = match self.table.sort {
                1 => a.at_ms.cmp(&b.at_ms),
                2 => a.line.cmp(&b.line),
                3 => Self::place(context, a).cmp(&Self::place(context, b)),
                4 => a.text.cmp(&b.text),
                _ => b.id.cmp(&a.id),
            };
            if reverse { order.reverse() } else { order }
        });
        let order = kept.iter().map(|(at, _)| *at).collect();
        self.table.set_order(order, |at| at < found.hits.len() as u64);
    }

    pub(super) fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.order(context);
        if self.table.on(command, COLUMNS) {
            return Action::None;
        }
        let hit = self.table.selected().and_then(|at| Self::get(context, at));
        match (command, hit) {
            (SEARCH, _) => acts::ask_search(context, SEARCH),
            (Command::Open, Some(hit)) => {
                let found = &context.store.recordings.found;
                let of_then = found.hits.iter().filter(|h| (h.id, h.at_ms) == (hit.id, hit.at_ms));
                let earlier = of_then.take_while(|other| other.line < hit.line).count();
                acts::open_at(hit, &found.text, earlier)
            }
            (Command::CopyValue, Some(hit)) => Action::Copy(hit.text.clone()),
            (Command::CopyCommand, _) => {
                let text = &context.store.recordings.found.text;
                let (flag, text) =
                    text.strip_prefix('~').map_or(("", text.as_str()), |t| ("-E ", t));
                let flag =
                    if text.starts_with('-') { format!("{flag}-- ") } else { flag.to_owned() };
                let text = crate::panes::hosts::quoted(text);
                Action::Copy(format!("cmdr recordings search {flag}{text}"))
            }
            (Command::NextMatch | Command::PreviousMatch, _) => {
                let text = |at, text: &mut String| {
                    if let Some(hit) = Self::get(context, at) {
                        Self::haystack(context, hit, text);
                    }
                };
                let found = self.table.seek(command == Command::NextMatch, text);
                crate::panes::sought(context, found, self.table.sought())
            }
            _ => Action::Pass,
        }
    }

    /// What was searched for, and how far it got.
    pub(super) fn head(context: &Context<'_>, found: &Found) -> Line<'static> {
        let Context { theme, texts, .. } = *context;
        let [hits, searched] = [found.hits.len(), found.searched as usize].map(format::count);
        let text = cmdr_protocol::display::clean(&found.text).into_owned();
        let mut line = Line::styled(format!("/{text}"), theme.style(Role::Match));
        let told = texts.fill("found.count", &[&hits, &searched]);
        line.push_span(Span::styled(format!(" · {told}"), theme.style(Role::Soft)));
        if found.running {
            let text = format!(" · {}", texts.get("found.running"));
            line.push_span(Span::styled(text, theme.style(Role::Info)));
        }
        if !found.trouble.is_empty() {
            let text = format!(" · ! {}", found.trouble);
            line.push_span(Span::styled(text, theme.style(Role::Warn)));
        }
        line
    }

    pub(super) fn cell(context: &Context<'_>, at: u64, title: &str) -> Cell<'static> {
        let Context { theme, texts, .. } = *context;
        let Some(hit) = Self::get(context, at) else { return Cell::Rest(Line::default()) };
        let (text, soft) = (theme.style(Role::Text), theme.style(Role::Soft));
        Cell::Line(match title {
            "found.col.recording" => Line::styled(format!("#{}", hit.id), soft),
            "found.col.at" => Line::styled(format::length(hit.at_ms), text),
            "found.col.line" => Line::styled(hit.line.to_string(), soft),
            "found.col.where" => Line::styled(Self::place(context, hit), text),
            _ => {
                let mut line = Line::default();
                if hit.input {
                    let input = format!("{} ", texts.get("player.input"));
                    line.push_span(Span::styled(input, theme.style(Role::LineB)));
                }
                line.push_span(Span::styled(hit.text.clone(), theme.style(Role::Strong)));
                line
            }
        })
    }

    /// What stands where rows would be, when there are none.
    pub(super) fn empty(context: &Context<'_>, found: &Found) -> Line<'static> {
        let text = if found.running {
            "found.running"
        } else if found.hits.is_empty() {
            "found.none"
        } else {
            "table.nothing_left"
        };
        Line::styled(context.texts.get(text), context.theme.style(Role::Soft))
    }
}
