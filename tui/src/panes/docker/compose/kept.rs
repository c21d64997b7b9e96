//! What the hub keeps of a project: its file to read, its versions beside the newest one, a file of this machine as its
//! next version, and deleting it.

use super::named::named;
use crate::action::{Action, Make, PATIENCE};
use crate::event::Event;
use crate::link::Link;
use crate::overlays::confirm::Confirm;
use crate::overlays::fill::Fill;
use crate::overlays::form::{Field, Form};
use crate::overlays::menu::Menu;
use crate::overlays::pager::{Pager, Piece};
use crate::panes::Context;
use crate::panes::edit::difference;
use crate::panes::hosts::quoted;
use crate::store::compose as store;
use crate::store::rights::Offer;
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::compose::kept::{Delete, Kept, Restore, Save, Show, Shown, Versions};
use cmdr_protocol::compose::{MAX_TEXT, MAX_VARIABLES, check_project};
use cmdr_protocol::display::clean;
use cmdr_protocol::runbooks::Version;
use cmdr_protocol::{Call as _, CallError};
use std::io::Read as _;
use std::path::PathBuf;

/// A file that is to be read.
struct Text(Shown);

/// Shows its file.
pub(super) fn text(name: &str) -> Action {
    let show = Show { name: name.to_owned(), version: None };
    Action::fetch(None, show, PATIENCE, |shown| {
        let action = match shown {
            Ok(shown) => Action::Make(Box::new(Text(shown))),
            Err(error) => Action::Complain(crate::action::reason(&error)),
        };
        (None, action)
    })
}

impl Make for Text {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Shown { project, text, variables } = self.0;
        let version = project.version;
        let title =
            texts.fill("projects.version_of", &[&clean(&project.name), &version.to_string()]);
        let mut lines: Vec<Vec<Piece>> = Vec::new();
        if !variables.is_empty() {
            let names = clean(&variables.join(" ")).into_owned();
            lines.push(vec![(Role::Soft, texts.fill("projects.variables", &[&names]))]);
            lines.push(Vec::new());
        }
        lines.extend(text.lines().map(|line| {
            let line = clean(&line.replace('\t', "    ")).into_owned();
            let role = if line.trim_start().starts_with('#') { Role::Soft } else { Role::Text };
            vec![(role, line)]
        }));
        let name = quoted(&project.name);
        let command = format!("cmdr docker compose show {name} --version {version}");
        let pager = Pager::new(title, lines).with_wrap().copying(text).copying_command(command);
        Action::Open(Box::new(pager))
    }
}

/// Lists the versions.
pub(super) fn versions(context: &Context<'_>, name: &str) -> Action {
    let (texts, name) = (context.texts, name.to_owned());
    let title = texts.fill("configs.versions.title", &[&clean(&name)]);
    let (now_s, offset) = (context.store.now_ms / 1000, context.store.utc_offset_s);
    let call = Versions { name: name.clone() };
    Action::call(title.clone(), None, call, move |listing| {
        let item = |version: &Version| {
            let when = format::moment(version.saved_ms / 1000, now_s, offset);
            let (by, note) = (clean(&version.saved_by), clean(&version.note));
            (format!("{:>3}  {when}", version.version), format!("{by}  {note}"))
        };
        let items = listing.versions.iter().map(item).collect();
        let numbers: Vec<u64> = listing.versions.iter().map(|v| v.version).collect();
        let newest = numbers.first().copied().unwrap_or(0);
        let menu = Menu::new(title, items, 0, move |at| {
            compare(&name, numbers.get(at).copied().unwrap_or(newest), newest)
        });
        (None, Action::Open(Box::new(menu)))
    })
}

/// A version beside the newest one.
struct Both {
    old: Shown,
    newest: Shown,
}

fn compare(name: &str, version: u64, newest: u64) -> Action {
    let name = name.to_owned();
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let action = match both(&link, &name, version, newest).await {
                Ok(both) => Action::Make(Box::new(both)),
                Err(error) => Action::Complain(crate::action::reason(&error)),
            };
            Event::Done(None, action)
        })
    }))
}

async fn both(link: &Link, name: &str, version: u64, newest: u64) -> Result<Both, CallError> {
    let show = |version| Show { name: name.to_owned(), version: Some(version) };
    let old = link.call(None, show(version), PATIENCE).await?;
    let newest = link.call(None, show(newest), PATIENCE).await?;
    Ok(Both { old, newest })
}

impl Make for Both {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Self { old, newest } = *self;
        let (name, version) = (old.project.name.clone(), old.project.version);
        if version == newest.project.version {
            return Box::new(Text(newest)).make(context);
        }
        let title = texts.fill("projects.version_of", &[&clean(&name), &version.to_string()]);
        let mut lines = Vec::new();
        if !old.project.note.is_empty() {
            lines.push(vec![(Role::Text, clean(&old.project.note).into_owned())]);
        }
        let numbers = [newest.project.version.to_string(), version.to_string()];
        let hint = texts.fill("configs.versions.hint", &[&numbers[0], &numbers[1]]);
        lines.extend([vec![(Role::Soft, hint)], Vec::new()]);
        let difference = difference(&newest.text, &old.text);
        if difference.is_empty() {
            lines.push(vec![(Role::Soft, texts.get("configs.versions.same").to_owned())]);
        }
        lines.extend(difference);
        let command = format!("cmdr docker compose show {} --version {version}", quoted(&name));
        let mut pager =
            Pager::new(title, lines).with_wrap().copying(old.text.clone()).copying_command(command);
        if context.store.offer(Restore::METHOD, true, &[]) != Offer::No {
            let again = restore(context, &name, version);
            pager = pager.with_key('r', texts.get("configs.versions.restore"), again);
        }
        let text = Action::Make(Box::new(Text(old)));
        Action::Open(Box::new(pager.with_key('t', texts.get("projects.key.text"), text)))
    }
}

/// Keeps an older version as the newest, after a question.
fn restore(context: &Context<'_>, name: &str, version: u64) -> Action {
    let texts = context.texts;
    let shown = clean(name).into_owned();
    let number = version.to_string();
    let what = texts.fill("configs.versions.what", &[&number, &shown]);
    let title = texts.fill("configs.versions.ask", &[&number, &shown]);
    let done = texts.get("projects.saved");
    let named = name.to_owned();
    let call = Action::call(what, None, Restore { name: named.clone(), version }, move |saved| {
        let said = done.replacen("{}", &shown, 1).replacen("{}", &saved.version.to_string(), 1);
        (Some(store::stale(&named)), Action::Say(said))
    });
    let lines = vec![texts.get("projects.no_host_changed").to_owned()];
    let command = format!("cmdr docker compose rollback {} {version}", quoted(name));
    Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
}

fn local(text: &str) -> PathBuf {
    match text.strip_prefix("~/") {
        Some(rest) => std::env::home_dir().unwrap_or_default().join(rest),
        None => PathBuf::from(text),
    }
}

/// A text file of this machine of at most so many bytes; else why not.
fn read(path: &str, most: usize, no_file: &str, too_long: &str) -> Result<String, String> {
    let path = local(path);
    if !path.is_file() {
        return Err(no_file.to_owned());
    }
    let mut text = String::new();
    let opened = std::fs::File::open(&path);
    opened
        .and_then(|file| file.take(most as u64 + 1).read_to_string(&mut text))
        .map_err(|e| clean(&format!("{}: {e}", path.display())).into_owned())?;
    if text.len() > most {
        return Err(too_long.replacen("{}", &(most / 1024).to_string(), 1));
    }
    Ok(text)
}

/// A file of this machine as the next version, or as a new project.
pub(super) fn put(context: &Context<'_>, kept: Option<&Kept>) -> Action {
    let texts = context.texts;
    let was = kept.map(|kept| kept.version);
    let name = kept.map_or_else(String::new, |kept| kept.name.clone());
    let hosts = kept.map_or_else(String::new, |kept| kept.hosts.clone());
    let title = match kept {
        Some(kept) => texts.fill("projects.put.title", &[&clean(&kept.name)]),
        None => texts.get("projects.put.new").to_owned(),
    };
    let folder = std::env::current_dir().unwrap_or_default();
    let file = clean(&folder.join("compose.yaml").display().to_string()).into_owned();
    let mut fields = vec![
        Field::new("projects.field.file", "projects.put.file_hint", file),
        Field::new("projects.field.env", "projects.put.env_hint", String::new()),
        Field::new("projects.field.hosts", "projects.put.hosts_hint", clean(&hosts).into_owned()),
        Field::new("projects.field.note", "projects.put.note_hint", String::new()),
    ];
    if kept.is_none() {
        fields.push(Field::new("projects.field.name", "projects.put.name_hint", String::new()));
    }
    let mut form = Form::new(title, fields);
    form.about = vec![texts.get("projects.no_host_changed").to_owned()];
    let is_new = kept.is_none();
    let (no_file, too_long) = (texts.get("projects.no_file"), texts.get("projects.too_long"));
    let (bad_name, done) = (texts.get("projects.bad_name"), texts.get("projects.saved"));
    let what = texts.get("projects.word.put");
    Action::Open(Box::new(Fill::new(form, move |form| {
        let text = read(form.text(0), MAX_TEXT, no_file, too_long).map_err(|why| (0, why))?;
        let name = match is_new.then(|| form.text(4)) {
            None => name.clone(),
            Some("") => named(&local(form.text(0)), &text),
            Some(said) => said.to_owned(),
        };
        check_project(&name).map_err(|_| (if is_new { 4 } else { 0 }, bad_name.to_owned()))?;
        let variables = match form.text(1) {
            "" => None,
            path => Some(read(path, MAX_VARIABLES, no_file, too_long).map_err(|why| (1, why))?),
        };
        let save = Save {
            name: name.clone(),
            text,
            variables,
            hosts: Some(form.text(2).to_owned()),
            note: form.text(3).to_owned(),
            // A new one is refused when there is one of that name.
            was: Some(was.unwrap_or(0)),
        };
        Ok(Action::call(format!("{what} {name}"), None, save, move |saved| {
            let said = done.replacen("{}", &name, 1).replacen("{}", &saved.version.to_string(), 1);
            (Some(store::stale(&name)), Action::Say(said))
        }))
    })))
}

/// Deletes it from the hub, when its name is typed.
pub(super) fn delete(context: &Context<'_>, name: &str) -> Action {
    let texts = context.texts;
    let shown = clean(name).into_owned();
    let what = texts.fill("projects.delete.what", &[&shown]);
    let title = texts.fill("projects.delete.title", &[&shown]);
    let done = texts.fill("docker.done", &[&what]);
    let named = name.to_owned();
    let call = Action::call(what, None, Delete { name: named.clone() }, move |_| {
        (Some(store::stale(&named)), Action::Say(done))
    });
    let lines = vec![texts.get("projects.delete.about").to_owned()];
    let command = format!("cmdr docker compose rm {}", quoted(name));
    Action::Open(Box::new(Confirm::word(title, lines, shown, call).copying(command)))
}
