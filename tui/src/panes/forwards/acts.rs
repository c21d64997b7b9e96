//! What can be done to a forward that is kept: all about it, stopped and resumed, led elsewhere, cut, removed, made, changed.

use crate::action::Action;
use crate::overlays::confirm::Confirm;
use crate::overlays::fill::Fill;
use crate::overlays::form::{Field, Form};
use crate::overlays::pager::Pager;
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::store::forwards as store;
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::forwards::Place;
use cmdr_protocol::forwards::kept::{
    Cut, Delete, Done, Forward, Kind, Password, Put, Resume, Row, Stop, Switch, check_name, machine,
};
use unicode_width::UnicodeWidthStr as _;

/// The command that tells of one.
pub(super) fn status_line(row: &Row) -> String {
    format!("cmdr forward status {}", quoted(&row.forward.name))
}

/// Its charts.
pub(super) fn chart(row: &Row) -> Action {
    let figures = ["accepted", "connections", "received", "sent", "errors"];
    let figure = |figure: &str| format!("forward.{figure}{{{}}}", row.forward.name);
    crate::panes::history::open_figures(figures.into_iter().map(figure).collect())
}

/// What is said once something was done: also that its host hears of it only later.
fn told(done: String, away: &str) -> impl FnOnce(Done) -> (Option<crate::store::Update>, Action) {
    let away = format!("{done}; {away}");
    move |came: Done| (Some(store::stale()), Action::Say(if came.away { away } else { done }))
}

/// All about one.
pub(super) fn open(context: &Context<'_>, row: &Row) -> Action {
    let Context { store, texts, .. } = *context;
    let forward = &row.forward;
    let (word, role, _) = store::state(row);
    let moment = |ms: u64| match ms {
        0 => "-".to_owned(),
        ms => format::moment(ms / 1000, store.now_ms / 1000, store.utc_offset_s),
    };
    let mut lines = Vec::new();
    let mut line = |key: &'static str, role: Role, text: String| {
        if text.is_empty() {
            return;
        }
        let word = texts.get(key);
        let pad = 16usize.saturating_sub(word.width()).max(1);
        lines.push(vec![(Role::Soft, format!("{word}{}", " ".repeat(pad))), (role, text)]);
    };
    line("forwards.more.state", role, texts.get(word).to_owned());
    line("forwards.more.listens", Role::Text, format!("{} {}", forward.host, forward.listen));
    line("forwards.more.kind", Role::Text, forward.kind.to_string());
    let leads = match (forward.kind.is_proxy(), forward.via.is_empty()) {
        (true, _) => texts.get("forwards.anywhere").to_owned(),
        (false, true) => forward.to.to_string(),
        (false, false) => format!("{} {}", forward.via, forward.to),
    };
    let way = match (forward.kind.is_ssh(), forward.via.is_empty()) {
        (true, _) => "forwards.about.ssh",
        (false, true) => "forwards.about.own",
        (false, false) if row.stand.as_ref().is_some_and(|stand| stand.is_direct) => {
            "forwards.about.direct"
        }
        (false, false) => "forwards.about.hub",
    };
    line("forwards.more.leads", Role::Text, leads);
    line("forwards.more.way", Role::Text, texts.get(way).to_owned());
    line("forwards.more.ssh", Role::Text, forward.ssh.clone());
    line("forwards.more.user", Role::Text, forward.user.clone());
    line("forwards.more.note", Role::Text, forward.note.clone());
    line("forwards.more.by", Role::Text, row.by.clone());
    line("forwards.more.made", Role::Text, moment(row.created_ms));
    if let Some(stand) = &row.stand {
        line("forwards.more.problem", Role::Bad, texts.reason(&stand.problem));
        let count = |n: u64| format::count(n as usize);
        line("forwards.more.open", Role::Text, count(u64::from(stand.open)));
        line("forwards.more.total", Role::Text, count(stand.total));
        if stand.direct > 0 {
            line("forwards.more.direct", Role::Text, count(stand.direct));
        }
        line("forwards.more.not_direct", Role::Text, texts.reason(&stand.not_direct));
        let failed = if stand.failed == 0 { Role::Text } else { Role::Warn };
        line("forwards.more.failed", failed, count(stand.failed));
        line("forwards.more.sent", Role::Text, format::size(stand.sent));
        line("forwards.more.received", Role::Text, format::size(stand.received));
        if !stand.last_error.is_empty() {
            let text =
                format!("{}  {}", moment(stand.last_error_ms), texts.reason(&stand.last_error));
            line("forwards.more.last_error", Role::Warn, text);
        }
    }
    let pager = Pager::new(forward.name.clone(), lines).with_wrap();
    Action::Open(Box::new(pager.copying_command(status_line(row))))
}

/// Takes no more connections, or takes them again.
pub(super) fn stop(context: &Context<'_>, row: &Row) -> Action {
    let texts = context.texts;
    let name = row.forward.name.clone();
    let away = texts.get("forwards.is_away");
    if row.stopped {
        let done = texts.fill("forwards.resume.done", &[&name]);
        return Action::call(name.clone(), None, Resume { name }, told(done, away));
    }
    let done = texts.fill("forwards.stop.done", &[&name]);
    let title = texts.fill("forwards.stop.title", &[&name]);
    let about = vec![texts.get("forwards.stop.about").to_owned()];
    let command = format!("cmdr forward stop {}", quoted(&name));
    let call = Action::call(name.clone(), None, Stop { name }, told(done, away));
    Action::Open(Box::new(Confirm::one(title, call).about(about).copying(command)))
}

/// Ends the connections that are there.
pub(super) fn cut(context: &Context<'_>, row: &Row) -> Action {
    let texts = context.texts;
    let name = row.forward.name.clone();
    let open = row.stand.as_ref().map_or(0, |stand| stand.open).to_string();
    let title = texts.fill("forwards.cut.title", &[&name, &open]);
    let done = texts.fill("forwards.cut.done", &[&name]);
    let command = format!("cmdr forward cut {}", quoted(&name));
    let call = Action::call(name.clone(), None, Cut { name }, move |_| {
        (Some(store::stale()), Action::Say(done))
    });
    Action::Open(Box::new(Confirm::one(title, call).copying(command)))
}

/// Takes it away for good.
pub(super) fn delete(context: &Context<'_>, row: &Row) -> Action {
    let texts = context.texts;
    let name = row.forward.name.clone();
    let title = texts.fill("forwards.delete.title", &[&name]);
    let done = texts.fill("forwards.delete.done", &[&name]);
    let about = vec![texts.get("forwards.delete.about").to_owned()];
    let command = format!("cmdr forward rm {}", quoted(&name));
    let call = Action::call(name.clone(), None, Delete { name }, move |_| {
        (Some(store::stale()), Action::Say(done))
    });
    Action::Open(Box::new(Confirm::one(title, call).about(about).copying(command)))
}

/// `PLACE`, or `HOST PLACE` through another host.
fn target(text: &str) -> Result<(String, Place), String> {
    let (via, place) = match text.trim().rsplit_once([' ', '=']) {
        Some((via, place)) => (via.trim(), place),
        None => ("", text.trim()),
    };
    Ok((via.to_owned(), Place::parse(place)?))
}

/// New connections lead elsewhere.
pub(super) fn switch(context: &Context<'_>, row: &Row) -> Action {
    let texts = context.texts;
    if row.forward.kind.is_proxy() {
        return Action::Say(texts.get("forwards.is_proxy").to_owned());
    }
    let name = row.forward.name.clone();
    let title = texts.fill("forwards.switch.title", &[&name]);
    let done = texts.get("forwards.switch.done").to_owned();
    let away = texts.get("forwards.is_away");
    let now = row.forward.to.to_string();
    let prompt = Prompt::new(title, now, "forwards.switch.hint", move |text| {
        let (via, to) = target(text)?;
        let done = done.replacen("{}", &name, 1).replacen("{}", &to.to_string(), 1);
        let switch = Switch { name: name.clone(), to, via };
        Ok(Action::call(name.clone(), None, switch, told(done, away)))
    });
    let prompt = prompt.about(texts.get("forwards.switch.about").to_owned());
    Action::Open(Box::new(prompt))
}

/// Lines of the form beside the name, in their order.
const HOST: usize = 0;
const KIND: usize = 1;
const LISTEN: usize = 2;
const TO: usize = 3;
const LOGIN: usize = 4;
const PASSWORD: usize = 5;
const NOTE: usize = 6;

fn fields(forward: &Forward) -> Vec<Field> {
    let leads = match (forward.to.is_none(), forward.via.is_empty()) {
        (true, _) => String::new(),
        (false, true) => forward.to.to_string(),
        (false, false) => format!("{} {}", forward.via, forward.to),
    };
    let login = if forward.kind.is_ssh() { &forward.ssh } else { &forward.user };
    let field = |name, hint, text: &str| Field::new(name, hint, text.to_owned());
    vec![
        field("forwards.form.host", "forwards.form.host_hint", &forward.host),
        field("forwards.form.kind", "forwards.form.kind_hint", forward.kind.as_str()),
        field("forwards.form.listen", "forwards.form.listen_hint", &forward.listen),
        field("forwards.form.to", "forwards.form.to_hint", &leads),
        field("forwards.form.login", "forwards.form.login_hint", login),
        field("forwards.form.password", "forwards.form.password_hint", "").secret(),
        field("forwards.form.note", "forwards.form.note_hint", &forward.note),
    ]
}

/// What stands in the form, from this line on; what it has no line for is as it was.
fn filled(
    form: &Form,
    first: usize,
    was: Forward,
    [host_wrong, listen_wrong]: &[String; 2],
) -> Result<Forward, (usize, String)> {
    let text = |at: usize| form.text(first + at).to_owned();
    let mut forward = Forward { host: text(HOST), note: text(NOTE), ..was };
    if forward.host.is_empty() {
        return Err((first + HOST, host_wrong.clone()));
    }
    let kind = text(KIND);
    let known = Kind::ALL.iter().copied().find(|known| known.as_str() == kind);
    forward.kind = known.unwrap_or(Kind::Unknown);
    if known.is_none() {
        return Err((first + KIND, forward.check().err().unwrap_or_default()));
    }
    // A port alone is one of the host itself.
    forward.listen = match text(LISTEN).parse::<u16>() {
        Ok(port) => format!("127.0.0.1:{port}"),
        Err(_) => text(LISTEN),
    };
    if forward.listen.parse::<std::net::SocketAddr>().is_err() {
        return Err((first + LISTEN, listen_wrong.clone()));
    }
    (forward.via, forward.to) = if forward.kind.is_proxy() && text(TO).is_empty() {
        (String::new(), Place::default())
    } else {
        target(&text(TO)).map_err(|why| (first + TO, why))?
    };
    if forward.via == forward.host {
        forward.via = String::new();
    }
    (forward.user, forward.ssh) = (String::new(), String::new());
    if forward.kind.is_ssh() {
        forward.ssh = text(LOGIN);
        machine(&forward.ssh).map_err(|why| (first + LOGIN, why))?;
    } else {
        forward.user = text(LOGIN);
    }
    forward.password = Password(form.whole(first + PASSWORD).to_owned());
    forward.check().map_err(|why| (first + TO, why))?;
    Ok(forward)
}

fn put(forward: Forward, done: &str, away: &'static str) -> Action {
    let name = forward.name.clone();
    let done = done.replacen("{}", &name, 1);
    Action::call(name, None, Put(forward), told(done, away))
}

/// A new one.
pub(super) fn new(context: &Context<'_>) -> Action {
    let texts = context.texts.clone();
    let empty = Forward { listen: "127.0.0.1:".to_owned(), ..Forward::default() };
    let mut all = vec![Field::new("forwards.form.name", "forwards.form.name_hint", String::new())];
    all.extend(fields(&empty));
    let form = Form::new(texts.get("forwards.form.new").to_owned(), all);
    let rows = context.store.forwards.rows.values();
    let known: Vec<String> = rows.map(|row| row.forward.name.clone()).collect();
    Action::Open(Box::new(Fill::new(form, move |form| {
        let name = form.text(0).to_owned();
        check_name(&name).map_err(|_| (0, texts.get("forwards.form.name_wrong").to_owned()))?;
        if known.contains(&name) {
            return Err((0, texts.get("forwards.form.there").to_owned()));
        }
        let wrong = ["forwards.form.host_wrong", "forwards.form.listen_wrong"]
            .map(|key| texts.get(key).to_owned());
        let forward = filled(form, 1, Forward { name, ..Forward::default() }, &wrong)?;
        Ok(put(forward, texts.get("forwards.saved"), texts.get("forwards.is_away")))
    })))
}

/// Changes one.
pub(super) fn change(context: &Context<'_>, row: &Row) -> Action {
    let texts = context.texts.clone();
    let was = row.forward.clone();
    let mut form = Form::new(texts.fill("forwards.form.change", &[&was.name]), fields(&was));
    form.about = vec![texts.get("forwards.form.goes_on").to_owned()];
    Action::Open(Box::new(Fill::new(form, move |form| {
        let wrong = ["forwards.form.host_wrong", "forwards.form.listen_wrong"]
            .map(|key| texts.get(key).to_owned());
        let forward = filled(form, 0, was.clone(), &wrong)?;
        Ok(put(forward, texts.get("forwards.saved"), texts.get("forwards.is_away")))
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_name_the_host_that_sees_it() {
        let read = |text: &str| target(text).map(|(via, to)| (via, to.to_string()));
        assert_eq!(read("10.0.0.7:80"), Ok((String::new(), "10.0.0.7:80".into())));
        assert_eq!(read("db1 5432"), Ok(("db1".into(), "127.0.0.1:5432".into())));
        assert_eq!(read("db1=[fd00::5]:80"), Ok(("db1".into(), "[fd00::5]:80".into())));
        assert!(read("db1 nowhere").is_err() && read("").is_err());
    }
}
