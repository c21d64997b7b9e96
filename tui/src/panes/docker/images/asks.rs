//! What is asked before something is done with images, and the steps that one was made by.

use super::one;
use crate::action::{Action, PATIENCE};
use crate::overlays::confirm::Confirm;
use crate::overlays::menu::Menu;
use crate::overlays::pager::{Pager, Piece};
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::panes::docker::inspect::ask;
use crate::panes::docker::moves::{Move, begin};
use crate::panes::gather::online;
use crate::panes::hosts::quoted;
use crate::store::sheets::{Record, Target, Value};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::images::{Copy, History, Reference, Tag};
use cmdr_protocol::registries::{Pull, Push};
use std::path::{Path, PathBuf};

/// Steps of an image that are shown.
const STEPS: usize = 2000;
/// Images that are carried with one order.
const CARRIED: usize = 50;

/// Everything begins once it is known how many transfers there are by then.
struct Begin(Vec<(String, Move)>);

impl crate::action::Make for Begin {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        begin(context, self.0)
    }
}

fn begins(moves: Vec<(String, Move)>) -> Action {
    Action::Make(Box::new(Begin(moves)))
}

/// The steps that an image was made by, newest first, with what is known of it above them.
pub(super) fn history(context: &Context<'_>, row: Option<&Record>) -> Action {
    let (Some(target), Some(row)) = (one(row), row) else { return Action::None };
    let texts = context.texts;
    let on = quoted(&context.store.hosts.name(target.host));
    let command = format!("cmdr docker history {on} {}", quoted(&target.name));
    let title = clean(&target.name).into_owned();
    let word = |key| (Role::Soft, format!("{}  ", texts.get(key)));
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    if let Target::Image { tags, .. } = &row.target {
        lines.extend(tags.iter().map(|tag| vec![(Role::Strong, clean(tag).into_owned())]));
    }
    lines.extend(row.more.iter().map(|(key, text)| vec![word(key), (Role::Text, text.clone())]));
    if let Some(Value::Text(users, role)) = row.values.get(5) {
        lines.push(vec![word("images.col.used_by"), (*role, users.clone())]);
    }
    lines.push(Vec::new());
    let now_s = context.store.now_ms / 1000;
    let history = History { image: target.id };
    ask(Some(target.host), title.clone(), history, PATIENCE, move |told| {
        for step in told.steps.iter().take(STEPS) {
            let made_s = u64::try_from(step.created_s).unwrap_or(0);
            let age = match made_s {
                0 => String::new(),
                made_s => format::age(now_s.saturating_sub(made_s)),
            };
            let size = if step.size == 0 { "-".to_owned() } else { format::size(step.size) };
            let role = if step.size == 0 { Role::Faint } else { Role::Strong };
            let by = clean(&step.by).into_owned();
            let mut line =
                vec![(role, format!("{size:>9}  ")), (Role::Soft, format!("{age:>5}  "))];
            line.push((Role::Text, by));
            lines.push(line);
        }
        let pager = Pager::new(title, lines).with_wrap().copying_command(command);
        Action::Open(Box::new(pager))
    })
}

/// Asks for a name and brings the image to these hosts.
pub(super) fn pull(context: &Context<'_>, hosts: &[HostId], name: Option<String>) -> Action {
    if hosts.is_empty() {
        return Action::None;
    }
    let hosts: Vec<_> = hosts.iter().map(|host| (*host, context.store.hosts.name(*host))).collect();
    let names: Vec<_> = hosts.iter().map(|(_, name)| name.as_str()).collect();
    let on = cmdr_protocol::display::clean_to_width(&names.join(", "), 40);
    let title = context.texts.fill("images.pull.title", &[&on]);
    let what = context.texts.get("images.pull.what");
    let name = name.filter(|name| Reference::parse(name).is_ok()).unwrap_or_default();
    let prompt = Prompt::new(title, name, "images.pull.hint", move |text| {
        let mut words = text.split_whitespace();
        let image = words.next().unwrap_or_default().to_owned();
        let platform = words.next().unwrap_or_default().to_owned();
        Reference::parse(&image)?;
        let pull = |(host, on): &(HostId, String)| {
            let (image, platform) = (image.clone(), platform.clone());
            let what = what.replacen("{}", &clean(&image), 1).replacen("{}", &clean(on), 1);
            (what, Move::Pull(Pull { host: *host, image, platform }))
        };
        Ok(begins(hosts.iter().map(pull).collect()))
    });
    Action::Open(Box::new(prompt))
}

/// Of one image the name that is meant: asked for where there are several. One without a name is not carried.
fn which(
    context: &Context<'_>,
    row: Option<&Record>,
    then: impl Fn(&str) -> Action + Send + 'static,
) -> Action {
    let Some(Target::Image { tags, .. }) = row.map(|row| &row.target) else { return Action::None };
    match &**tags {
        [] => Action::Complain(context.texts.get("images.no_name").to_owned()),
        [name] => then(name),
        names => {
            let items = names.iter().map(|name| (clean(name).into_owned(), String::new()));
            let title = context.texts.get("images.which").to_owned();
            let (items, names) = (items.collect(), names.to_vec());
            let chosen =
                move |at: usize| names.get(at).map_or(Action::None, |name: &String| then(name));
            Action::Open(Box::new(Menu::new(title, items, 0, chosen)))
        }
    }
}

/// Asks, and brings an image to its registry.
pub(super) fn push(context: &Context<'_>, row: Option<&Record>) -> Action {
    let Some(host) = row.map(|row| row.host) else { return Action::None };
    let (texts, on) = (context.texts.clone(), context.store.hosts.name(host));
    which(context, row, move |name| {
        let image = name.to_owned();
        let registry = Reference::parse(name).map(|name| name.registry).unwrap_or_default();
        let of = clean(name);
        let title = texts.fill("images.push.ask", &[&of, &on, &clean(&registry)]);
        let what = texts.fill("images.push.what", &[&of, &on]);
        let moves = vec![(what, Move::Push(Push { host, image }))];
        let command = format!("cmdr docker push {} {}", quoted(&on), quoted(name));
        Action::Open(Box::new(Confirm::one(title, begins(moves)).copying(command)))
    })
}

/// Asks for one more name.
pub(super) fn tag(context: &Context<'_>, row: Option<&Record>) -> Action {
    let Some(target) = one(row) else { return Action::None };
    let texts = context.texts;
    let name = clean(&target.name).into_owned();
    let title = texts.fill("images.tag.title", &[&name]);
    let (host, image) = (target.host, target.id);
    let (word, done) = (texts.get("images.word.tag"), texts.get("docker.done"));
    let prompt = Prompt::new(title, target.name, "images.tag.hint", move |text| {
        let name = text.trim().to_owned();
        Reference::parse(&name)?;
        let what = format!("{word} {}", clean(&name));
        let told = done.replacen("{}", &what, 1);
        let tag = Tag { image: image.clone(), name };
        Ok(Action::call(what, Some(host), tag, move |_| (None, Action::Say(told))))
    });
    Action::Open(Box::new(prompt))
}

/// Asks to which host, then whether, and carries images there.
pub(super) fn copy(context: &Context<'_>, rows: &[&Record], without: &[HostId]) -> Action {
    let Some(from) = rows.first().map(|row| row.host) else { return Action::None };
    let name = |row: &&Record| match &row.target {
        Target::Image { tags, .. } if row.host == from => tags.first().cloned(),
        _ => None,
    };
    let images: Vec<String> = rows.iter().filter_map(name).take(CARRIED).collect();
    if images.is_empty() {
        return Action::Complain(context.texts.get("images.no_name").to_owned());
    }
    let texts = context.texts.clone();
    let on = context.store.hosts.name(from);
    let hosts =
        online(context.store).into_iter().filter(|host| *host != from && !without.contains(host));
    let mut hosts: Vec<_> = hosts.map(|host| (context.store.hosts.name(host), host)).collect();
    hosts.sort();
    if hosts.is_empty() {
        return Action::Complain(texts.get("images.copy.nowhere").to_owned());
    }
    let of = match &*images {
        [one] => clean(one).into_owned(),
        many => texts.fill("images.many", &[&many.len().to_string()]),
    };
    let title = texts.fill("images.copy.title", &[&of]);
    let items = hosts.iter().map(|(name, _)| (clean(name).into_owned(), String::new())).collect();
    let menu = Menu::new(title, items, 0, move |at| {
        let Some((name, to)) = hosts.get(at) else { return Action::None };
        let title = texts.fill("images.copy.ask", &[&of, &on, name]);
        let order = |image: &String| {
            let what = texts.fill("images.copy.what", &[&clean(image), &on, name]);
            (what, Move::Copy(Copy { from, to: *to, image: image.clone() }))
        };
        let command = |image: &String| {
            let [from, to, image] = [&on, name, image].map(|text| quoted(text));
            format!("cmdr docker image cp {from} {to} {image}")
        };
        let command: Vec<_> = images.iter().map(command).collect();
        let begin = begins(images.iter().map(order).collect());
        let about = vec![texts.get("images.copy.about").to_owned()];
        let confirm = Confirm::one(title, begin).about(about).copying(command.join("; "));
        Action::Open(Box::new(confirm))
    });
    Action::Open(Box::new(menu))
}

/// A path as it is typed.
pub(in crate::panes::docker) fn local(text: &str) -> PathBuf {
    match text.trim().strip_prefix("~/") {
        Some(rest) => std::env::home_dir().unwrap_or_default().join(rest),
        None => PathBuf::from(text.trim()),
    }
}

/// A file of this name in the folder that the client runs in.
pub(in crate::panes::docker) fn here(name: &str) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    here.join(name).display().to_string()
}

/// A name of something as one of a file.
pub(in crate::panes::docker) fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.chars().take(100).map(plain).collect();
    name.trim_start_matches('.').to_owned()
}

pub(in crate::panes::docker) fn shown(path: &Path) -> String {
    clean(&path.display().to_string()).into_owned()
}

/// Asks into which file of this machine, and writes the image there.
pub(super) fn save(context: &Context<'_>, row: Option<&Record>) -> Action {
    let (Some(target), Some(row)) = (one(row), row) else { return Action::None };
    let texts = context.texts.clone();
    let size = match row.values.get(4) {
        Some(Value::Figure(size, ..)) => *size,
        _ => 0,
    };
    let title = texts.fill("images.save.title", &[&clean(&target.name)]);
    let file = here(&format!("{}.tar", file_name(&target.name)));
    let prompt = Prompt::new(title, file, "images.save.hint", move |text| {
        let to = local(text);
        if to.symlink_metadata().is_ok() {
            return Err(texts.get("images.save.there").to_owned());
        }
        if !to.parent().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir()) {
            return Err(texts.get("files.download.bad").to_owned());
        }
        let what = format!("{} → {}", clean(&target.name), shown(&to));
        Ok(begins(vec![(what, Move::Save(target.host, target.id.clone(), to, size))]))
    });
    Action::Open(Box::new(prompt))
}

/// Asks which file of this machine, and loads the images of it.
pub(super) fn load(context: &Context<'_>, hosts: &[HostId]) -> Action {
    let [host] = *hosts else {
        return Action::Complain(context.texts.get("images.load.one").to_owned());
    };
    let texts = context.texts.clone();
    let on = context.store.hosts.name(host);
    let title = texts.fill("images.load.title", &[&on]);
    let prompt = Prompt::new(title, here(""), "images.load.hint", move |text| {
        let from = local(text);
        if !from.is_file() {
            return Err(texts.get("images.load.bad").to_owned());
        }
        let what = format!("{} → {on}", shown(&from));
        Ok(begins(vec![(what, Move::Load(host, from))]))
    });
    Action::Open(Box::new(prompt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_an_image_makes_a_name_of_a_file_that_leads_nowhere_else() {
        assert_eq!(file_name("localhost:5000/web:1"), "localhost_5000_web_1");
        assert_eq!(file_name("../../etc/passwd"), "_.._etc_passwd");
    }
}
