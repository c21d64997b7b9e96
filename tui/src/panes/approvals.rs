//! Rights that were asked for: those that wait for us, ours, and past ones; with what can be done about
//! each.

mod acts;
mod columns;

use super::{Choice, Context, Entry, Pane, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::store::FeedState;
use crate::theme::Role;
use crate::widgets::{frame as boxes, table};
use cmdr_protocol::Call as _;
use cmdr_protocol::approvals::{Approval, Ask, Decide, End, State, Watch};
use columns::COLUMNS;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

const APPROVE: Command = Command::Own(0);
const DENY: Command = Command::Own(1);
const END: Command = Command::Own(2);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>"], Command::Open, "approvals.key.open").row().hint(),
    key(&["a"], APPROVE, "approvals.key.approve").danger(Decide::METHOD).row().hint(),
    key(&["x"], DENY, "approvals.key.deny").danger(Decide::METHOD).row().hint(),
    key(&["D"], END, "approvals.key.end").danger(End::METHOD).row().hint(),
    key(&["+"], Command::Ask, "key.ask").danger(Ask::METHOD).hint(),
];

/// The pane.
#[derive(Default)]
pub struct ApprovalsPane {
    table: table::State<u64>,
    shown: Option<(u64, u64)>,
}

/// The columns of the table.
pub fn columns() -> Vec<table::Column> {
    COLUMNS.to_vec()
}

impl ApprovalsPane {
    fn order(&mut self, context: &Context<'_>) {
        let approvals = &context.store.approvals;
        let made_from = (self.table.version, approvals.version);
        if self.shown == Some(made_from) {
            return;
        }
        self.shown = Some(made_from);
        let mut text = String::new();
        let mut kept: Vec<&Approval> = approvals
            .rows
            .iter()
            .filter(|approval| {
                text.clear();
                columns::haystack(context, approval, &mut text);
                self.table.filter.keeps(&text)
            })
            .collect();
        let column = self.table.sort;
        let descending = COLUMNS.get(column).is_some_and(|c| c.descending) != self.table.reverse;
        kept.sort_by(|a, b| {
            let order = columns::compare(column, a, b);
            if descending { order.reverse() } else { order }
        });
        let order = kept.iter().map(|approval| approval.id).collect();
        self.table.set_order(order, |id| approvals.get(id).is_some());
    }

    fn selected<'a>(&self, context: &Context<'a>) -> Option<&'a Approval> {
        context.store.approvals.get(self.table.selected()?)
    }

    fn decide(
        &self,
        context: &Context<'_>,
        act: impl FnOnce(&Context<'_>, &Approval) -> Action,
    ) -> Action {
        let texts = context.texts;
        match self.selected(context) {
            None => Action::None,
            Some(approval) if approval.state == State::Waiting && approval.may_decide => {
                act(context, approval)
            }
            Some(approval) => Action::Say(
                texts
                    .get(if approval.state != State::Waiting {
                        "approvals.not_waiting"
                    } else if approval.own {
                        "approvals.not_own"
                    } else {
                        "approvals.not_you"
                    })
                    .to_owned(),
            ),
        }
    }

    fn head(context: &Context<'_>) -> Line<'static> {
        let Context { store, theme, texts, .. } = *context;
        let approvals = &store.approvals;
        let mut line = Line::default();
        let mut say = |text: String, role: Role| {
            if line.width() > 0 {
                line.push_span(Span::styled(" · ", theme.style(Role::Faint)));
            }
            line.push_span(Span::styled(text, theme.style(role)));
        };
        let decide = approvals.to_decide();
        let role = if decide > 0 { Role::Warn } else { Role::Soft };
        say(texts.fill("approvals.head.decide", &[&decide.to_string()]), role);
        let own = approvals.rows.iter().filter(|a| a.own && a.state == State::Waiting).count();
        say(texts.fill("approvals.head.own", &[&own.to_string()]), Role::Soft);
        if let Some(held) = approvals.elevated(store.now_ms) {
            let left = held.until_ms.saturating_sub(store.now_ms).div_ceil(60_000);
            let verbs = held.wanted.verbs.join(" ");
            say(texts.fill("approvals.head.elevated", &[&left.to_string(), &verbs]), Role::Ok);
        }
        line
    }
}

impl Pane for ApprovalsPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn can(&self, context: &Context<'_>, command: Command) -> bool {
        let is = |wanted: fn(&Approval) -> bool| self.selected(context).is_some_and(wanted);
        match command {
            APPROVE | DENY => is(|a| a.state == State::Waiting && a.may_decide),
            END => is(|a| matches!(a.state, State::Waiting | State::Active)),
            // Each is decided by itself.
            Command::Mark => false,
            _ => true,
        }
    }

    fn feeds(&self) -> Vec<Subscription> {
        // The app follows the requests on every page.
        vec![super::hosts::feed()]
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.order(context);
        if self.table.on(command, COLUMNS) {
            return Action::None;
        }
        match command {
            Command::Open => {
                self.selected(context).map_or(Action::None, |a| acts::detail(context, a))
            }
            APPROVE => self.decide(context, acts::approve),
            DENY => self.decide(context, acts::deny),
            END => match self.selected(context) {
                Some(a) if matches!(a.state, State::Waiting | State::Active) => {
                    acts::end(context, a)
                }
                Some(_) => Action::Say(context.texts.get("approvals.over").to_owned()),
                None => Action::None,
            },
            Command::CopyValue => self
                .selected(context)
                .map_or(Action::None, |a| Action::Copy(a.wanted.verbs.join(" "))),
            Command::NextMatch | Command::PreviousMatch => {
                let text = |id, text: &mut String| {
                    if let Some(approval) = context.store.approvals.get(id) {
                        columns::haystack(context, approval, text);
                    }
                };
                let found = self.table.seek(command == Command::NextMatch, text);
                super::sought(context, found, self.table.sought())
            }
            _ => Action::Pass,
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("approvals", &self.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.order(context);
        let Context { store, theme, texts, .. } = *context;
        let head = Self::head(context);
        table::put(frame.buffer_mut(), area.x + 1, area.y, area.width - 2, &head, false);
        let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let approvals = &store.approvals;
        self.table.draw(frame, body, COLUMNS, theme, texts, |id, column, _| {
            match approvals.get(id) {
                Some(approval) => columns::cell(context, approval, column.title),
                None => table::Cell::Rest(Line::default()),
            }
        });
        if self.table.order().is_empty() {
            let line = match store.feed::<Watch>(None) {
                Some(FeedState::Failed(error)) if store.is_up() => {
                    Line::styled(crate::action::reason(error), theme.style(Role::Bad))
                }
                _ => {
                    let text = if !approvals.known {
                        "approvals.waiting"
                    } else if approvals.rows.is_empty() {
                        "approvals.none"
                    } else {
                        "table.nothing_left"
                    };
                    Line::styled(texts.get(text), theme.style(Role::Soft))
                }
            };
            super::notice(frame, body, &[line]);
        } else if !store.is_up() {
            boxes::fade(frame.buffer_mut(), body, theme);
        }
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        let rows = context.store.approvals.rows.iter();
        rows.map(|approval| Entry {
            kind: "palette.approval",
            text: format!("#{} {}", approval.id, approval.operator),
            note: approval.wanted.verbs.join(" "),
            choice: Choice::Pick(approval.id),
        })
        .collect()
    }

    fn pick(&mut self, number: u64) {
        self.table.select(number);
    }
}
