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
    Cut, Delete, Done, Forward, Put, Resume, Row, Stop, Switch, check_name,
};
use unicode_width::UnicodeWidthStr as _;

/// The command that tells of one.
pub(super) fn status_line(row: &Row) -> String {
    format!("cmdr forward status {}", quoted(&row.forward.name))
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
    let (leads, way) = if forward.via.is_empty() {
        (forward.leads(), "forwards.about.own")
    } else {
        (format!("{} {}", forward.via, forward.to), "forwards.about.hub")
    };
    line("forwards.more.leads", Role::Text, leads);
    line("forwards.more.way", Role::Text, texts.get(way).to_owned());
    line("forwards.more.note", Role::Text, forward.note.clone());
    line("forwards.more.by", Role::Text, row.by.clone());
    line("forwards.more.made", Role::Text, moment(row.created_ms));
    if let Some(stand) = &row.stand {
        line("forwards.more.problem", Role::Bad, texts.reason(&stand.problem));
        let count = |n: u64| format::count(n as usize);
        line("forwards.more.open", Role::Text, count(u64::from(stand.open)));
        line("forwards.more.total", Role::Text, count(stand.total));
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

fn fields(forward: &Forward) -> Vec<Field> {
    let leads = match (forward.to == Place::default(), forward.via.is_empty()) {
        (true, _) => String::new(),
        (false, true) => forward.to.to_string(),
        (false, false) => format!("{} {}", forward.via, forward.to),
    };
    vec![
        Field::new("forwards.form.host", "forwards.form.host_hint", forward.host.clone()),
        Field::new("forwards.form.listen", "forwards.form.listen_hint", forward.listen.clone()),
        Field::new("forwards.form.to", "forwards.form.to_hint", leads),
        Field::new("forwards.form.note", "forwards.form.note_hint", forward.note.clone()),
    ]
}

/// What stands in the form, from this line on.
fn filled(
    form: &Form,
    first: usize,
    before: Forward,
    [host_wrong, listen_wrong]: &[String; 2],
) -> Result<Forward, (usize, String)> {
    let [host, listen, to, note] = [0, 1, 2, 3].map(|at| form.text(first + at).to_owned());
    if host.is_empty() {
        return Err((first, host_wrong.clone()));
    }
    // A port alone is one of the host itself.
    let listen = match listen.parse::<u16>() {
        Ok(port) => format!("127.0.0.1:{port}"),
        Err(_) => listen,
    };
    if listen.parse::<std::net::SocketAddr>().is_err() {
        return Err((first + 1, listen_wrong.clone()));
    }
    let (via, to) = if before.kind.is_proxy() && to.is_empty() {
        (String::new(), Place::default())
    } else {
        target(&to).map_err(|why| (first + 2, why))?
    };
    let via = if via == host { String::new() } else { via };
    // What has no field here stays as it is.
    let forward = Forward { host, listen, via, to, note, ..before };
    forward.check().map_err(|why| (first + 2, why))?;
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
    let before = row.forward.clone();
    let title = texts.fill("forwards.form.change", &[&before.name]);
    let mut form = Form::new(title, fields(&before));
    form.about = vec![texts.get("forwards.form.goes_on").to_owned()];
    Action::Open(Box::new(Fill::new(form, move |form| {
        let wrong = ["forwards.form.host_wrong", "forwards.form.listen_wrong"]
            .map(|key| texts.get(key).to_owned());
        let forward = filled(form, 0, before.clone(), &wrong)?;
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
