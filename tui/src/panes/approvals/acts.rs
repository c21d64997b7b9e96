//! What can be done about a request for rights: approve, deny, end. Before anybody decides they see who
//! asks for what exactly, on which hosts by name, for how long and why.

use super::columns;
use crate::action::{Action, PATIENCE};
use crate::overlays::confirm::Confirm;
use crate::overlays::pager::{Pager, Piece};
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::theme::Role;
use cmdr_protocol::approvals::{Approval, Decide, End, MAX_REASON, State};
use cmdr_protocol::display::clean;
use cmdr_protocol::hosts::Resolve;
use unicode_width::UnicodeWidthStr as _;

/// Hosts that are named before the rest is counted.
const NAMED: usize = 40;

/// What is asked for, a field a line.
fn told(context: &Context<'_>, approval: &Approval) -> Vec<(&'static str, String)> {
    let texts = context.texts;
    let wanted = &approval.wanted;
    let resources = if wanted.resources.is_empty() {
        texts.get("approvals.all_resources").to_owned()
    } else {
        wanted.resources.join("  ")
    };
    let who = format!("{} ({})", approval.operator, approval.role);
    let minutes = texts.fill("approvals.minutes_long", &[&wanted.minutes.to_string()]);
    vec![
        ("approvals.col.who", who),
        ("approvals.col.what", wanted.verbs.join("  ")),
        ("approvals.col.on", resources),
        ("approvals.col.where", columns::hosts(context, approval)),
        ("approvals.col.for", minutes),
        ("approvals.col.why", approval.reason.clone()),
    ]
}

/// As lines for a question, the names of hosts after the selector.
fn lines(context: &Context<'_>, approval: &Approval) -> Vec<String> {
    let texts = context.texts;
    let pad = |word: &str| " ".repeat(12usize.saturating_sub(word.width()).max(1));
    let told = told(context, approval).into_iter();
    told.map(|(key, value)| {
        let word = texts.get(key);
        format!("{word}{}{value}", pad(word))
    })
    .collect()
}

/// Finds out which hosts a request is about, then goes on with their names in words.
fn resolved(
    context: &Context<'_>,
    approval: &Approval,
    go_on: impl FnOnce(String) -> Action + Send + 'static,
) -> Action {
    let texts = context.texts;
    let (one, many) = (texts.get("approvals.host"), texts.get("approvals.hosts"));
    let (none, more) = (texts.get("approvals.no_hosts"), texts.get("confirm.more"));
    let unresolved = texts.get("approvals.unresolved");
    let resolve = Resolve::of(approval.wanted.hosts.clone());
    Action::fetch_all(None, resolve, PATIENCE, move |targets| {
        let words = match targets {
            Err(error) => unresolved.replacen("{}", &crate::action::reason(&error), 1),
            Ok(targets) if targets.targets.is_empty() => none.to_owned(),
            Ok(targets) => {
                let count = targets.targets.len();
                let names = targets.targets.iter().take(NAMED);
                let names: Vec<_> = names.map(|(_, name, _)| clean(name)).collect();
                let text = if count == 1 { one } else { many };
                let mut words = text.replacen("{}", &count.to_string(), 1) + &names.join(", ");
                if count > NAMED {
                    words.push(' ');
                    words.push_str(&more.replacen("{}", &(count - NAMED).to_string(), 1));
                }
                words
            }
        };
        (None, go_on(words))
    })
}

pub(super) fn approve(context: &Context<'_>, approval: &Approval) -> Action {
    let texts = context.texts;
    let id = approval.id;
    let number = id.to_string();
    let title = texts.fill("approvals.approve.ask", &[&number, &approval.operator]);
    let what = texts.fill("approvals.approve.what", &[&number]);
    let done = texts.fill("approvals.approve.done", &[&number]);
    let mut about = lines(context, approval);
    let call = Decide { id, approve: true, reason: String::new() };
    resolved(context, approval, move |hosts| {
        // Long lists of names are read line by line.
        let at = about.len().min(4);
        for (n, row) in fold(&hosts, 66).into_iter().enumerate() {
            about.insert(at + n, format!("{}{row}", " ".repeat(12)));
        }
        let act = Action::call(what, None, call, |_| (None, Action::Say(done)));
        Action::Open(Box::new(Confirm::one(title, act).about(about)))
    })
}

/// Breaks a list at its blanks into rows of so many cells, at most four.
fn fold(text: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in text.split(' ') {
        let full = rows.last().is_some_and(|row| row.width() + word.width() + 1 > width);
        if full && rows.len() == 4 {
            if let Some(row) = rows.last_mut() {
                row.push_str(" …");
            }
            break;
        }
        if full {
            rows.push(String::new());
        }
        if let Some(row) = rows.last_mut() {
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(word);
        }
    }
    rows
}

pub(super) fn deny(context: &Context<'_>, approval: &Approval) -> Action {
    let texts = context.texts;
    let id = approval.id;
    let number = id.to_string();
    let title = texts.fill("approvals.deny.ask", &[&number, &approval.operator]);
    let what = texts.fill("approvals.deny.what", &[&number]);
    let done = texts.fill("approvals.deny.done", &[&number]);
    let needed = texts.get("approvals.deny.needed");
    Action::Open(Box::new(Prompt::new(title, String::new(), "approvals.deny.hint", move |text| {
        let reason = text.trim().to_owned();
        if reason.is_empty() || reason.len() > MAX_REASON {
            return Err(needed.to_owned());
        }
        let (done, call) = (done.clone(), Decide { id, approve: false, reason });
        Ok(Action::call(what.clone(), None, call, |_| (None, Action::Say(done))))
    })))
}

pub(super) fn end(context: &Context<'_>, approval: &Approval) -> Action {
    let texts = context.texts;
    let number = approval.id.to_string();
    let title = texts.fill("approvals.end.ask", &[&number]);
    let what = texts.fill("approvals.end.what", &[&number]);
    let done = texts.fill("approvals.end.done", &[&number]);
    let call = End { id: approval.id };
    let act = Action::call(what, None, call, |_| (None, Action::Say(done)));
    Action::Open(Box::new(Confirm::one(title, act).about(lines(context, approval))))
}

/// All about a request, with the names of the hosts.
pub(super) fn detail(context: &Context<'_>, approval: &Approval) -> Action {
    let texts = context.texts;
    let title = texts.fill("approvals.detail.title", &[&approval.id.to_string()]);
    let field = |key: &'static str, value: String, role: Role| -> Vec<Piece> {
        let word = texts.get(key);
        let pad = " ".repeat(14usize.saturating_sub(word.width()).max(1));
        vec![(Role::Soft, format!("{word}{pad}")), (role, value)]
    };
    let (sign, word, role) = columns::state(approval, context.store.now_ms);
    let state = format!("{sign} {}", texts.get(word));
    let mut before = vec![field("approvals.col.state", state, role)];
    for (key, value) in told(context, approval) {
        before.push(field(key, value, Role::Text));
    }
    let [asked, until] =
        [approval.asked_ms, approval.until_ms].map(|at_ms| columns::time(context, at_ms));
    let mut after = vec![
        field("approvals.detail.asked", asked, Role::Text),
        field("approvals.detail.until", until, Role::Text),
        field("approvals.detail.needs", columns::votes(approval), Role::Text),
    ];
    for decision in &approval.decisions {
        let (sign, role) = if decision.approve { ("✓", Role::Ok) } else { ("✗", Role::Bad) };
        let when = columns::time(context, decision.at_ms);
        after.push(vec![
            (role, format!("{sign} {}", decision.by)),
            (Role::Soft, format!("  {when}  ")),
            (Role::Text, decision.reason.clone()),
        ]);
    }
    let head = texts.get("approvals.detail.hosts");
    let waits = approval.state == State::Waiting && approval.may_decide;
    let keys = [("approvals.key.approve", 'a'), ("approvals.key.deny", 'x')];
    let [yes, no] = keys.map(|(key, sign)| (sign, texts.get(key)));
    let decide = waits.then(|| [(yes, approve(context, approval)), (no, deny(context, approval))]);
    resolved(context, approval, move |hosts| {
        let mut lines = before;
        let pad = " ".repeat(14usize.saturating_sub(head.width()).max(1));
        lines.push(vec![(Role::Soft, format!("{head}{pad}")), (Role::Strong, hosts)]);
        lines.push(Vec::new());
        lines.extend(after);
        let mut pager = Pager::new(title, lines);
        for ((sign, word), act) in decide.into_iter().flatten() {
            pager = pager.with_key(sign, word, act);
        }
        Action::Open(Box::new(pager))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_folded_at_its_blanks_and_ends_after_four_rows() {
        assert_eq!(fold("web1, web2, web3", 12), ["web1, web2,", "web3"]);
        let many = vec!["web1,"; 100].join(" ");
        let rows = fold(&many, 12);
        assert_eq!(rows.len(), 4);
        assert!(rows[3].ends_with('…'));
    }
}
