//! What can be done to sessions: end them, hand them over. What harms asks first.

use super::columns::{is_mine, what};
use crate::action::Action;
use crate::overlays::confirm::Confirm;
use crate::overlays::menu::Menu;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::store::sessions::{Attached, give};
use cmdr_protocol::HostId;
use cmdr_protocol::sessions::{End, EndAny, Mode, Session};

fn end_one(context: &Context<'_>, host: HostId, id: &str, mine: bool) -> Action {
    let texts = context.texts;
    let what = texts.fill("sessions.end.what", &[id]);
    let done = texts.fill("sessions.end.done", &[id]);
    let id = id.to_owned();
    if mine {
        Action::call(what, Some(host), End { id }, |_| (None, Action::Say(done)))
    } else {
        Action::call(what, Some(host), EndAny { id }, |_| (None, Action::Say(done)))
    }
}

/// Ends sessions, when that is agreed to.
pub(super) fn end(context: &Context<'_>, targets: &[(HostId, &Session)]) -> Action {
    let texts = context.texts;
    let name = |(host, session): &(HostId, &Session)| {
        let host = context.store.hosts.name(*host);
        format!("{} {host} {} {}", session.id, session.operator, what(session))
    };
    let acts = targets.iter().map(|(host, session)| {
        end_one(context, *host, &session.id, is_mine(context.store, &session.operator))
    });
    match targets {
        [] => Action::None,
        [one] => {
            let title = texts.fill("sessions.end.ask", &[&one.1.id]);
            let about = vec![name(one), texts.get("sessions.end.about").to_owned()];
            let command = format!("cmdr sessions end {}", quoted(&one.1.id));
            let act = Action::All(acts.collect());
            Action::Open(Box::new(Confirm::one(title, act).about(about).copying(command)))
        }
        many => {
            let title = texts.fill("sessions.end.ask_many", &[&many.len().to_string()]);
            let names = many.iter().map(name).collect();
            Action::Open(Box::new(Confirm::many(title, names, Action::All(acts.collect()))))
        }
    }
}

/// Ends the one that is open.
pub(super) fn end_open(context: &Context<'_>, open: &Attached) -> Action {
    let known = context.store.sessions.list(open.host);
    let known = known.and_then(|list| list.sessions.iter().find(|one| one.id == open.id));
    let unknown = Session {
        id: open.id.clone(),
        operator: context.store.hosts.me.as_ref().map_or_else(String::new, |me| me.name.clone()),
        title: open.screen.title().to_owned(),
        ..Session::default()
    };
    end(context, &[(open.host, known.unwrap_or(&unknown))])
}

/// Asks whom to let drive.
pub(super) fn hand_over(context: &Context<'_>, open: &Attached) -> Action {
    let texts = context.texts;
    let others: Vec<(u32, String, Mode)> = open
        .clients
        .iter()
        .filter(|client| client.id != open.client)
        .map(|client| (client.id, client.operator.clone(), client.mode))
        .collect();
    if open.mode != Mode::Drive {
        return Action::Say(texts.get("shell.only_driver").to_owned());
    }
    if others.is_empty() {
        return Action::Say(texts.get("shell.alone").to_owned());
    }
    let items = others.iter().map(|(id, who, _)| (who.clone(), format!("#{id}"))).collect();
    let (owner, title) = (open.owner, texts.get("shell.give").to_owned());
    Action::Open(Box::new(Menu::new(title, items, 0, move |at| {
        others.get(at).map_or(Action::None, |(id, ..)| Action::Apply(give(owner, *id)))
    })))
}
