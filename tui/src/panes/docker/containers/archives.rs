//! Files out of containers and into them, as they are ([`copied`]) or as archives (tar) of this machine, and images of what
//! they have become. What takes long is listed among the transfers, tells how far it is and can be given up.

use super::acts::LONG;
use super::{One, copied};
use crate::action::Action;
use crate::link::Link;
use crate::overlays::fill::Fill;
use crate::overlays::form::{Field, Form};
use crate::panes::Context;
use crate::panes::docker::fill::yes;
use crate::panes::files::carry;
use crate::store::files::{State, Told};
use cmdr_link::laid::{Place, Source};
use cmdr_link::transfer::Progress;
use cmdr_protocol::containers::change::{Commit, CopyIn, CopyOut, Export};
use cmdr_protocol::containers::short;
use cmdr_protocol::display::clean;
use cmdr_protocol::files::Chunk;
use cmdr_protocol::{CallError, Feed, HostId};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, watch};

/// Pieces that wait to be written, or to be sent.
pub(super) const WAITING: usize = 4;

fn local(text: &str) -> PathBuf {
    match text.strip_prefix("~/") {
        Some(rest) => std::env::home_dir().unwrap_or_default().join(rest),
        None => PathBuf::from(text),
    }
}

fn shown(path: &Path) -> String {
    clean(&path.display().to_string()).into_owned()
}

/// A file of this machine, in the folder where one is, with this name; without one the folder, with a slash at its end.
fn here(name: &str) -> String {
    let folder = std::env::current_dir().unwrap_or_default();
    shown(&folder.join(name))
}

/// What can be wrong with the place of an archive: none is said, it is no file in a folder, there is one.
struct Complaints {
    none: &'static str,
    no_place: &'static str,
    exists: &'static str,
}

impl Complaints {
    fn of(context: &Context<'_>) -> Self {
        let texts = context.texts;
        Self {
            none: texts.get("containers.no_file"),
            no_place: texts.get("containers.bad_file"),
            exists: texts.get("containers.file_exists"),
        }
    }

    /// Where an archive shall go; else why not there.
    fn target(&self, text: &str) -> Result<PathBuf, String> {
        let to = local(text);
        if text.is_empty() || to.file_name().is_none() {
            return Err(self.none.to_owned());
        }
        let holds = |parent: &Path| parent.as_os_str().is_empty() || parent.is_dir();
        if to.is_dir() || !to.parent().is_some_and(holds) {
            return Err(self.no_place.to_owned());
        }
        if to.exists() { Err(self.exists.to_owned()) } else { Ok(to) }
    }
}

/// What an archive of a container is called unless one says something else.
fn archive_of(name: &str) -> String {
    here(&format!("{}.tar", name.replace('/', "_")))
}

/// A file or folder in it, as it is or as an archive here.
pub(super) fn copy_out(context: &Context<'_>, one: &One) -> Action {
    let texts = context.texts;
    let name = clean(&one.name).into_owned();
    let title = texts.fill("containers.copy_out.title", &[&name]);
    let fields = vec![
        Field::new("containers.field.inside", "containers.copy_out.inside_hint", "/".to_owned()),
        Field::new("containers.field.file", "containers.copy_out.file_hint", here("")),
        Field::new("containers.field.tar", "containers.copy_out.tar_hint", String::new()),
    ];
    let (host, id) = (one.host, one.id.clone());
    let (on, number) = (context.store.hosts.name(host), context.store.files.next);
    let (wrong, absolute) = (Complaints::of(context), texts.get("containers.absolute"));
    Action::Open(Box::new(Fill::new(Form::new(title, fields), move |form| {
        let path = form.text(0).to_owned();
        if !path.starts_with('/') {
            return Err((0, absolute.to_owned()));
        }
        let is_archive = yes(form, 2)?;
        let to = local(form.text(1));
        let place = if is_archive {
            wrong.target(form.text(1)).map(|_| None)
        } else {
            Place::find(&to, &path).map(Some).map_err(|why| why.message)
        };
        let place = place.map_err(|why| (1, clean(&why).into_owned()))?;
        let what = format!("{on}:{name}:{} → {}", clean(&path), shown(&to));
        let feed = CopyOut { container: id.clone(), path };
        Ok(carry::follow(number, what, None, move |link, tell| async move {
            match place {
                Some(place) => copied::out(link, host, feed, place, tell).await,
                None => fetch(link, host, feed, to, tell).await,
            }
        }))
    })))
}

/// All its files, as an archive here.
pub(super) fn export(context: &Context<'_>, one: &One) -> Action {
    let texts = context.texts;
    let name = clean(&one.name).into_owned();
    let title = texts.fill("containers.export.title", &[&name]);
    let file = archive_of(&name);
    let fields = vec![Field::new("containers.field.file", "containers.export.file_hint", file)];
    let (host, id) = (one.host, one.id.clone());
    let (on, number) = (context.store.hosts.name(host), context.store.files.next);
    let wrong = Complaints::of(context);
    Action::Open(Box::new(Fill::new(Form::new(title, fields), move |form| {
        let to = wrong.target(form.text(0)).map_err(|why| (0, why))?;
        let what = format!("{on}:{name} → {}", shown(&to));
        let feed = Export { container: id.clone() };
        Ok(carry::follow(number, what, None, move |link, tell| fetch(link, host, feed, to, tell)))
    })))
}

/// A file or folder from here, or what is in an archive, into a folder in it.
pub(super) fn copy_in(context: &Context<'_>, one: &One) -> Action {
    let texts = context.texts;
    let name = clean(&one.name).into_owned();
    let title = texts.fill("containers.copy_in.title", &[&name]);
    let fields = vec![
        Field::new("containers.field.file", "containers.copy_in.file_hint", here("")),
        Field::new("containers.field.inside", "containers.copy_in.inside_hint", "/".to_owned()),
        Field::new("containers.field.tar", "containers.copy_in.tar_hint", String::new()),
    ];
    let (host, id) = (one.host, one.id.clone());
    let (on, number) = (context.store.hosts.name(host), context.store.files.next);
    let (absolute, no_file) =
        (texts.get("containers.absolute"), texts.get("containers.no_archive"));
    let not_copied = texts.get("containers.copy_in.passed_over");
    Action::Open(Box::new(Fill::new(Form::new(title, fields), move |form| {
        let (from, is_archive) = (local(form.text(0)), yes(form, 2)?);
        if is_archive && !from.is_file() {
            return Err((0, no_file.to_owned()));
        }
        let found = (!is_archive).then(|| Source::find(&from)).transpose();
        let found = found.map_err(|why| (0, clean(&why.message).into_owned()))?;
        let path = form.text(1).to_owned();
        if !path.starts_with('/') {
            return Err((1, absolute.to_owned()));
        }
        let what = format!("{} → {on}:{name}:{}", shown(&from), clean(&path));
        let feed = CopyIn { container: id.clone(), path };
        Ok(carry::follow(number, what, None, move |link, tell| async move {
            match found {
                Some(source) => copied::into(link, host, feed, source, not_copied, tell).await,
                None => archive(link, host, feed, from, tell).await,
            }
        }))
    })))
}

/// An image of what it has become.
pub(super) fn commit(context: &Context<'_>, one: &One) -> Action {
    let texts = context.texts;
    let name = clean(&one.name).into_owned();
    let title = texts.fill("containers.commit.title", &[&name]);
    let fields = vec![
        Field::new("containers.field.image", "containers.commit.image_hint", String::new()),
        Field::new("containers.field.message", "containers.commit.message_hint", String::new()),
        Field::new("containers.field.author", "containers.commit.author_hint", String::new()),
    ];
    let (host, id) = (one.host, one.id.clone());
    let what = texts.fill("containers.commit.what", &[&name]);
    let done = texts.get("containers.commit.done");
    Action::Open(Box::new(Fill::new(Form::new(title, fields), move |form| {
        let [image, message, author] = [0, 1, 2].map(|at| form.text(at).to_owned());
        let commit = Commit { container: id.clone(), image, author, message, running: false };
        Ok(Action::call_within(what.clone(), Some(host), commit, LONG, move |made| {
            let id = clean(short(&made.id)).into_owned();
            (None, Action::Say(done.replacen("{}", &id, 1)))
        }))
    })))
}

fn failed(path: &Path, error: &std::io::Error) -> CallError {
    CallError::failed(format!("{}: {error}", path.display()))
}

pub(super) fn bytes(tell: &watch::Sender<Told>, have: u64, size: u64) {
    let progress = Progress { size: size.max(have), have, carried: have, ..Progress::default() };
    tell.send_modify(|told| told.progress = progress);
}

/// A file that is not whole yet: it goes away with this unless it was put in its place.
struct Part {
    path: PathBuf,
    whole: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.whole {
            // Nothing can be done about one that does not go.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

/// Writes an archive as it comes. What is not whole is not left in a file.
async fn fetch<F: Feed<Item = Chunk>>(
    link: Link,
    host: HostId,
    feed: F,
    to: PathBuf,
    tell: watch::Sender<Told>,
) -> carry::Ended {
    let mut items = link.feed(Some(host), feed).await?;
    let mut name: OsString = to.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let path = to.with_file_name(name);
    let (pieces, mut read) = mpsc::channel::<Vec<u8>>(WAITING);
    let writing = path.clone();
    let write = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::create_new(&writing)?;
        let part = Part { path: writing, whole: false };
        while let Some(piece) = read.blocking_recv() {
            file.write_all(&piece)?;
        }
        file.sync_all()?;
        Ok::<Part, std::io::Error>(part)
    });
    let (mut have, mut whole) = (0, None);
    while let Some(item) = items.next().await {
        let Chunk { data, sum, .. } = item?;
        have += data.len() as u64;
        bytes(&tell, have, 0);
        whole = sum.map(|sum| sum.size).or(whole);
        // A file that cannot be written says why at its end.
        if !data.is_empty() && pieces.send(data).await.is_err() {
            break;
        }
    }
    drop(pieces);
    let written = write.await.map_err(|e| CallError::failed(e.to_string()))?;
    let mut part = written.map_err(|e| failed(&path, &e))?;
    if whole != Some(have) {
        return Err(crate::link::cut_short());
    }
    // What came to be there meanwhile is not overwritten.
    if to.exists() {
        return Err(failed(&to, &std::io::ErrorKind::AlreadyExists.into()));
    }
    std::fs::rename(&part.path, &to).map_err(|e| failed(&to, &e))?;
    part.whole = true;
    Ok((State::Done, Action::None))
}

/// Sends an archive that is a file here.
async fn archive(
    link: Link,
    host: HostId,
    feed: CopyIn,
    from: PathBuf,
    tell: watch::Sender<Told>,
) -> carry::Ended {
    let file = std::fs::File::open(&from).map_err(|e| failed(&from, &e))?;
    let size = file.metadata().map_or(0, |file| file.len());
    copied::send(&link, host, feed, file, size, &tell).await?;
    Ok((State::Done, Action::None))
}
