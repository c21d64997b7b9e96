//! What can be done to files. What is deleted is listed first; what would be overwritten is not.

use super::carry::{self, Job};
use super::side::Side;
use super::view;
use crate::action::{Action, PATIENCE, reason};
use crate::event::Event;
use crate::overlays::confirm::Confirm;
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::store::files::changed;
use crate::widgets::format;
use cmdr_link::transfer;
use cmdr_link::transfer::tree::Place;
use cmdr_protocol::files::{
    Chmod, Delete, Deleted, Entry, FileKind, FilePath, MakeFolder, Real, Rename, Stat, Write, shown,
};
use cmdr_protocol::{CallError, HostId};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A folder may take so long to be looked through.
const LONG: Duration = Duration::from_mins(5);

/// Opens what a link leads to: goes there, or shows it.
pub(super) fn open_link(host: HostId, path: FilePath) -> Action {
    Action::Errand(Box::new(move |link| {
        Box::pin(async move {
            let found = async {
                let real = Real { path: path.clone(), last: true };
                let to = link.call(Some(host), real, PATIENCE).await?.path;
                let entry = link.call(Some(host), Stat { path: to.clone() }, PATIENCE).await?;
                Ok::<_, CallError>((to, entry.kind))
            };
            let action = match found.await {
                Ok((to, FileKind::Folder)) => Action::Give(super::GO, to.as_str().to_owned()),
                Ok((to, _)) => Action::Give(super::VIEW, to.as_str().to_owned()),
                Err(e) => Action::Complain(format!("{path}: {}", reason(&e))),
            };
            Event::Done(None, action)
        })
    }))
}

/// Shows a file.
pub(super) fn show(context: &Context<'_>, side: &Side, path: FilePath) -> Action {
    view::open(context, side.host, path)
}

/// The paths that an act is about, with what they are.
pub(super) fn targets(context: &Context<'_>, side: &Side) -> Vec<(FilePath, Entry)> {
    let entries = side.targets(context).into_iter();
    entries.filter_map(|entry| Some((side.inner(&entry.name)?, entry.clone()))).collect()
}

fn name_of(path: &FilePath) -> OsString {
    OsString::from_vec(cmdr_protocol::files::unescape(path.name()).unwrap_or_default())
}

pub(super) fn many(context: &Context<'_>, targets: &[(FilePath, Entry)]) -> String {
    match targets {
        [(path, _)] => shown(path.name()),
        many => context.texts.fill("files.many", &[&many.len().to_string()]),
    }
}

pub(super) fn new_folder(context: &Context<'_>, side: &Side) -> Action {
    let (host, folder) = (side.host, side.path.clone());
    let title = context.texts.get("files.new_folder.title").to_owned();
    let what = context.texts.get("files.key.new_folder");
    Action::Open(Box::new(Prompt::new(title, String::new(), "files.name_hint", move |text| {
        let path = Side::typed(&folder, text)?;
        let make = MakeFolder { path: path.clone(), parents: false, mode: None };
        let news = changed(host, path.parent());
        Ok(Action::call(format!("{what} {path}"), Some(host), make, |_| (Some(news), Action::None)))
    })))
}

pub(super) fn new_file(context: &Context<'_>, side: &Side) -> Action {
    let (host, folder) = (side.host, side.path.clone());
    let title = context.texts.get("files.new_file.title").to_owned();
    Action::Open(Box::new(Prompt::new(title, String::new(), "files.name_hint", move |text| {
        let path = Side::typed(&folder, text)?;
        Ok(Action::Errand(Box::new(move |link| {
            Box::pin(async move {
                let write = Write { path: path.clone(), absent: true, ..Write::default() };
                let made = match link.client() {
                    Ok(client) => transfer::put(&client, host, write, Vec::new()).await,
                    Err(e) => Err(e),
                };
                match made {
                    Ok(_) => Event::Done(Some(changed(host, path.parent())), Action::None),
                    Err(e) => {
                        Event::Done(None, Action::Complain(format!("{path}: {}", reason(&e))))
                    }
                }
            })
        })))
    })))
}

pub(super) fn rename(context: &Context<'_>, side: &Side) -> Action {
    let Some(entry) = side.selected(context) else { return Action::None };
    let Some(from) = side.inner(&entry.name) else { return Action::None };
    let (host, folder) = (side.host, side.path.clone());
    let title = context.texts.fill("files.rename.title", &[&shown(&entry.name)]);
    let what = context.texts.get("files.key.rename");
    let name = Side::text(&from).rsplit('/').next().unwrap_or_default().to_owned();
    Action::Open(Box::new(Prompt::new(title, name, "files.name_hint", move |text| {
        let to = Side::typed(&folder, text)?;
        let call = Rename { from: from.clone(), to: to.clone(), replace: false };
        let (here, there) = (changed(host, from.parent()), changed(host, to.parent()));
        Ok(Action::call(format!("{what} {from}"), Some(host), call, move |_| {
            (Some(here), Action::Apply(there))
        }))
    })))
}

pub(super) fn chmod(context: &Context<'_>, side: &Side) -> Action {
    let targets = targets(context, side);
    let Some((_, first)) = targets.first() else { return Action::None };
    let host = side.host;
    let title = context.texts.fill(
        "files.chmod.title",
        &[&many(context, &targets), &first.letters(), &first.user, &first.group],
    );
    let (bad, what) = (context.texts.get("files.chmod.bad"), context.texts.get("files.key.chmod"));
    let text = format!("{:o}", first.mode);
    Action::Open(Box::new(Prompt::new(title, text, "files.chmod.hint", move |text| {
        let mut words = text.split_whitespace();
        let mode = match words.next() {
            None | Some("-") => None,
            Some(mode) => {
                let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777);
                Some(mode.ok_or_else(|| bad.to_owned())?)
            }
        };
        let (user, group) =
            match words.next().map(|owner| owner.split_once(':').unwrap_or((owner, ""))) {
                None => (None, None),
                Some((user, group)) => (Some(user), Some(group)),
            };
        let some = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let calls = targets.iter().map(|(path, _)| {
            let call = Chmod {
                path: path.clone(),
                mode,
                user: some(user),
                group: some(group),
                mtime_ns: None,
            };
            let news = changed(host, path.parent());
            Action::call(format!("{what} {path}"), Some(host), call, |_| (Some(news), Action::None))
        });
        Ok(Action::All(calls.collect()))
    })))
}

/// Asks the host what would go, shows that, and deletes.
pub(super) fn delete(context: &Context<'_>, side: &Side) -> Action {
    let targets = targets(context, side);
    if targets.is_empty() {
        return Action::None;
    }
    let host = side.host;
    let texts = context.texts.clone();
    let of = many(context, &targets);
    let on = context.store.hosts.name(host);
    let paths: Vec<(FilePath, bool)> =
        targets.into_iter().map(|(path, e)| (path, e.kind == FileKind::Folder)).collect();
    let command = {
        let mut line = format!("cmdr rm{}", if paths.iter().any(|p| p.1) { " -r" } else { "" });
        for (path, _) in &paths {
            line.push(' ');
            line.push_str(&quoted(&format!("{on}:{path}")));
        }
        line
    };
    Action::Errand(Box::new(move |link| {
        Box::pin(async move {
            let (mut all, mut lines, mut acts) = (Deleted::default(), Vec::new(), Vec::new());
            for (path, recursive) in paths {
                let call = Delete { path: path.clone(), recursive, ..Delete::default() };
                let plan = Delete { plan: true, ..call.clone() };
                let plan = match link.call(Some(host), plan, LONG).await {
                    Ok(plan) => plan,
                    Err(e) => {
                        return Event::Done(
                            None,
                            Action::Complain(format!("{path}: {}", reason(&e))),
                        );
                    }
                };
                all.files += plan.files;
                all.folders += plan.folders;
                all.bytes += plan.bytes;
                lines.push(path.to_string());
                let inner = plan.first.iter().map(|name| format!("{path}/{}", shown(name)));
                lines.extend(inner);
                let what = format!("{} {path}", texts.get("files.key.delete"));
                let news = changed(host, path.parent());
                acts.push(Action::call(what, Some(host), call, |_| (Some(news), Action::None)));
            }
            let count = all.files + all.folders;
            let title = texts.fill(
                "files.delete.ask",
                &[
                    &of,
                    &on,
                    &all.files.to_string(),
                    &all.folders.to_string(),
                    &format::size(all.bytes),
                ],
            );
            let act = Action::All(acts);
            let confirm = if count <= 1 {
                Confirm::one(title, act).about(lines)
            } else {
                Confirm::many(title, lines, act)
                    .counting(usize::try_from(count).unwrap_or(usize::MAX))
            };
            Event::Done(None, Action::Open(Box::new(confirm.copying(command))))
        })
    }))
}

fn local(text: &str) -> PathBuf {
    match text.strip_prefix("~/") {
        Some(rest) => std::env::home_dir().unwrap_or_default().join(rest),
        None => PathBuf::from(text),
    }
}

pub(super) fn download(context: &Context<'_>, side: &Side) -> Action {
    let targets = targets(context, side);
    if targets.is_empty() {
        return Action::None;
    }
    let host = side.host;
    let name = context.store.hosts.name(host);
    let first = context.store.files.next;
    let title = context.texts.fill("files.download.title", &[&many(context, &targets)]);
    let (bad, only) =
        (context.texts.get("files.download.bad"), context.texts.get("files.copy.only_files"));
    let here = std::env::current_dir().unwrap_or_default().display().to_string();
    Action::Open(Box::new(Prompt::new(title, here, "files.download.hint", move |text| {
        let folder = local(text.trim());
        if !folder.is_dir() {
            return Err(bad.to_owned());
        }
        let jobs = targets.iter().enumerate().map(|(n, (path, entry))| {
            let to = folder.join(name_of(path));
            let what = format!("{name}:{path} → {}", shown_local(&to));
            let job = match entry.kind {
                FileKind::File => Job::Down { host, from: path.clone(), to, replace: false },
                FileKind::Folder => {
                    let (from, to) = (Place::There(host, path.clone()), Place::Here(to));
                    Job::Folder { from, to, take: false }
                }
                _ => return Action::Complain(only.replacen("{}", &path.to_string(), 1)),
            };
            carry::start(first + n as u64, what, job)
        });
        Ok(Action::All(jobs.collect()))
    })))
}

/// A folder as one file of this machine.
pub(super) fn archive(context: &Context<'_>, side: &Side) -> Action {
    let folder = side.selected(context).filter(|entry| entry.kind == FileKind::Folder);
    let path = folder.and_then(|entry| side.inner(&entry.name));
    let path = path.unwrap_or_else(|| side.path.clone());
    let host = side.host;
    let name = context.store.hosts.name(host);
    let id = context.store.files.next;
    let title = context.texts.fill("files.archive.title", &[&format!("{name}:{path}")]);
    let bad = context.texts.get("files.download.bad");
    let mut file = if path.is_root() { OsString::from(&name) } else { name_of(&path) };
    file.push(".tar.zst");
    let here = std::env::current_dir().unwrap_or_default().display().to_string();
    Action::Open(Box::new(Prompt::new(title, here, "files.download.hint", move |text| {
        let folder = local(text.trim());
        if !folder.is_dir() {
            return Err(bad.to_owned());
        }
        let to = folder.join(&file);
        let what = format!("{name}:{path} → {}", shown_local(&to));
        Ok(carry::start(id, what, Job::Archive { host, from: path.clone(), to }))
    })))
}

fn shown_local(path: &Path) -> String {
    cmdr_protocol::display::clean(&path.display().to_string()).into_owned()
}

pub(super) fn upload(context: &Context<'_>, side: &Side) -> Action {
    let (host, folder) = (side.host, side.path.clone());
    let name = context.store.hosts.name(host);
    let id = context.store.files.next;
    let title = context.texts.fill("files.upload.title", &[&format!("{name}:{folder}")]);
    let bad = context.texts.get("files.upload.bad");
    let here = std::env::current_dir().unwrap_or_default().display().to_string() + "/";
    Action::Open(Box::new(Prompt::new(title, here, "files.upload.hint", move |text| {
        let from = local(text.trim());
        let name_here = from
            .file_name()
            .filter(|_| from.is_file() || from.is_dir())
            .ok_or_else(|| bad.to_owned())?;
        let text = cmdr_protocol::files::escape(name_here.as_encoded_bytes());
        let to = folder.join(&text).map_err(|e| e.to_string())?;
        let what = format!("{} → {name}:{to}", shown_local(&from));
        let job = if from.is_dir() {
            let (from, to) = (Place::Here(from.clone()), Place::There(host, to));
            Job::Folder { from, to, take: false }
        } else {
            Job::Up { from: from.clone(), host, to, replace: false }
        };
        Ok(carry::start(id, what, job))
    })))
}
