//! Images on their way: pulled, pushed, saved to and loaded from a file of this machine, carried from host to host. Each
//! is a transfer: it is listed, tells how far it is, can be left and found again, and given up.

use crate::action::Action;
use crate::link::{Inputs, Items, Link, cut_short, cut_short_there};
use crate::overlays::parts::Parts;
use crate::panes::Context;
use crate::panes::files::carry::{Ended, follow};
use crate::store::engines::is_over;
use crate::store::files::{Part, State, Told};
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::files::{Chunk, Sum};
use cmdr_protocol::images::{Copy, Layer, Load, Progress, Save};
use cmdr_protocol::registries::{Pull, Push};
use cmdr_protocol::{CallError, Feed, HostId};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// Bytes of one piece that is sent.
const PIECE: u64 = 256 * 1024;
/// Layers of an image that are told apart.
const LAYERS: usize = 500;
/// Names of what was loaded that are said.
const NAMES: usize = 10;

/// What is carried.
pub(super) enum Move {
    /// From its registry to a host.
    Pull(Pull),
    /// From a host to its registry.
    Push(Push),
    /// From host to host.
    Copy(Copy),
    /// Into a file of this machine, about so large.
    Save(HostId, String, PathBuf, u64),
    /// Out of a file of this machine.
    Load(HostId, PathBuf),
}

/// Begins them, and shows how far the first is. Each with what it is in words.
pub(super) fn begin(context: &Context<'_>, moves: Vec<(String, Move)>) -> Action {
    let first = context.store.files.next;
    let mut actions: Vec<_> = (first..)
        .zip(moves)
        .map(|(id, (what, order))| follow(id, what, None, move |link, tell| run(link, order, tell)))
        .collect();
    if !actions.is_empty() {
        actions.push(Action::Open(Box::new(Parts::of(first))));
    }
    Action::All(actions)
}

async fn run(link: Link, order: Move, tell: watch::Sender<Told>) -> Ended {
    tell.send_modify(|told| told.anew = true);
    let state = match order {
        Move::Pull(pull) => layers(&link, pull, &tell).await?,
        Move::Push(push) => layers(&link, push, &tell).await?,
        Move::Copy(copy) => across(&link, copy, &tell).await?,
        Move::Save(host, image, to, size) => save(&link, host, image, &to, size, &tell).await?,
        Move::Load(host, from) => return load(&link, host, &from, &tell).await,
    };
    Ok((state, Action::None))
}

/// What is known of a layer: its size is told while it is carried, and no more when it is unpacked.
fn part(before: Option<&Part>, layer: &Layer) -> Part {
    let known = before.map_or(0, |part| part.size);
    let (is_over, carries) = (
        is_over(&layer.status),
        layer.status.starts_with("Downloading") || layer.status == "Pushing",
    );
    let size = if carries { layer.total } else { known.max(layer.total) };
    let have = match () {
        () if is_over => size,
        () if layer.total > 0 => layer.current.min(layer.total),
        () => before.map_or(0, |part| part.have),
    };
    Part {
        name: clean_to_width(&layer.id, 20),
        status: clean_to_width(&layer.status, 40),
        have,
        size,
        is_over,
    }
}

async fn layers<F: Feed<Item = Progress>>(
    link: &Link,
    feed: F,
    tell: &watch::Sender<Told>,
) -> Result<State, CallError> {
    let mut items = link.feed(None, feed).await?;
    let mut order: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(item) = items.next().await {
        let item = item?;
        tell.send_modify(|told| {
            for layer in &item.layers {
                let next = order.len();
                if next >= LAYERS && !order.contains_key(&layer.id) {
                    continue;
                }
                let at = *order.entry(layer.id.clone()).or_insert(next);
                let part = part(told.parts.get(at), layer);
                match told.parts.get_mut(at) {
                    Some(known) => *known = part,
                    None => told.parts.push(part),
                }
            }
            let sum = |of: fn(&Part) -> u64| told.parts.iter().map(of).sum::<u64>();
            let (have, size) = (sum(|part| part.have), sum(|part| part.size));
            (told.progress.have, told.progress.size) = (have.min(size), size);
        });
        if item.moved.is_some() {
            return Ok(State::Done);
        }
    }
    Err(link.told(cut_short()))
}

async fn across(link: &Link, copy: Copy, tell: &watch::Sender<Told>) -> Result<State, CallError> {
    let mut items = link.feed(None, copy).await?;
    while let Some(item) = items.next().await {
        let item = item?;
        tell.send_modify(|told| {
            let progress = &mut told.progress;
            (progress.have, progress.size) = (item.carried.min(item.size), item.size);
            progress.carried = item.carried;
        });
        if item.loaded.is_some() {
            return Ok(State::Done);
        }
    }
    Err(link.told(cut_short()))
}

fn local(what: &str, path: &Path, error: &std::io::Error) -> CallError {
    CallError::failed(format!("{what} {}: {error}", clean(&path.display().to_string())))
}

/// A file that goes away again unless it becomes whole.
struct Coming {
    part: PathBuf,
    is_whole: bool,
}

impl Drop for Coming {
    fn drop(&mut self) {
        if !self.is_whole {
            // What cannot be removed is named so that nobody takes it for an archive.
            std::fs::remove_file(&self.part).ok();
        }
    }
}

async fn save(
    link: &Link,
    host: HostId,
    image: String,
    to: &Path,
    size: u64,
    tell: &watch::Sender<Told>,
) -> Result<State, CallError> {
    if to.symlink_metadata().is_ok() {
        return Err(local("writing", to, &std::io::ErrorKind::AlreadyExists.into()));
    }
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let mut coming = Coming { part: to.with_file_name(name), is_whole: false };
    let mut items =
        link.feed(Some(host), Save { images: vec![image], without: Vec::new() }).await?;
    let mut file = File::create_new(&coming.part).map_err(|e| local("writing", to, &e))?;
    let mut have = 0;
    while let Some(item) = items.next().await {
        let Chunk { data, sum, .. } = item?;
        have += data.len() as u64;
        file = blocking("writing", to, move || file.write_all(&data).map(|()| file)).await?;
        let whole = if sum.is_some() { have } else { size.max(have) };
        tell.send_modify(|told| {
            (told.progress.have, told.progress.size) = (have, whole);
            told.progress.carried = have;
        });
        let Some(sum) = sum else { continue };
        if sum.size != have {
            return Err(link.told(cut_short_there()));
        }
        let (part, place) = (coming.part.clone(), to.to_owned());
        blocking("writing", to, move || {
            file.sync_all()?;
            // What came there meanwhile stays.
            std::fs::hard_link(&part, &place)?;
            std::fs::remove_file(&part)
        })
        .await?;
        coming.is_whole = true;
        return Ok(State::Done);
    }
    Err(link.told(cut_short_there()))
}

async fn blocking<T: Send + 'static>(
    what: &str,
    path: &Path,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, CallError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|e| CallError::failed(e.to_string()))?;
    done.map_err(|e| local(what, path, &e))
}

async fn load(link: &Link, host: HostId, from: &Path, tell: &watch::Sender<Told>) -> Ended {
    let file = File::open(from).map_err(|e| local("reading", from, &e))?;
    let size = file.metadata().map_err(|e| local("reading", from, &e))?.len();
    tell.send_modify(|told| told.progress.size = size);
    let (items, inputs) = link.both(Some(host), Load {}).await?;
    let mut sending = std::pin::pin!(send(file, from, inputs));
    let mut taking = std::pin::pin!(loaded(link, items, size, tell));
    let names = tokio::select! {
        biased;
        // A host that takes no more says why.
        taken = &mut taking => taken?,
        sent = &mut sending => match sent {
            // What cannot be read here is said at once.
            Err(error) if error.message.starts_with("reading") => return Err(error),
            // It is cancelled when what is sent to it goes: so that stays until it has answered.
            _kept => taking.await?,
        },
    };
    let names: Vec<_> = names.iter().take(NAMES).map(|name| clean(name).into_owned()).collect();
    Ok((State::Done, Action::Say(names.join(", "))))
}

async fn loaded(
    link: &Link,
    mut items: Items<Load>,
    size: u64,
    tell: &watch::Sender<Told>,
) -> Result<Vec<String>, CallError> {
    while let Some(item) = items.next().await {
        let item = item?;
        tell.send_modify(|told| {
            (told.progress.have, told.progress.carried) = (item.taken.min(size), item.taken);
        });
        if let Some(loaded) = item.loaded {
            return Ok(loaded.images);
        }
    }
    Err(link.told(cut_short_there()))
}

/// Sends a file piece by piece, and that this is all.
async fn send(
    mut file: File,
    from: &Path,
    mut inputs: Inputs<Load>,
) -> Result<Inputs<Load>, CallError> {
    let mut at = 0;
    loop {
        let (back, data) = blocking("reading", from, move || {
            let mut piece = Vec::new();
            (&mut file).take(PIECE).read_to_end(&mut piece)?;
            Ok((file, piece))
        })
        .await?;
        file = back;
        let length = data.len() as u64;
        let sum = data.is_empty().then(|| Sum { size: at, ..Sum::default() });
        let is_over = sum.is_some();
        inputs.send(&Chunk { at, data, sum, ..Chunk::default() }).await?;
        if is_over {
            return Ok(inputs);
        }
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(status: &str, current: u64, total: u64) -> Layer {
        Layer { id: "a1b2".into(), status: status.into(), current, total }
    }

    #[test]
    fn a_layer_keeps_its_size_when_the_engine_no_longer_tells_it() {
        let mut known: Option<Part> = None;
        let mut far = Vec::new();
        for told in [
            layer("Pulling fs layer", 0, 0),
            layer("Downloading", 40, 100),
            layer("Download complete", 0, 0),
            layer("Extracting", 50, 100),
            layer("Pull complete", 0, 0),
        ] {
            let now = part(known.as_ref(), &told);
            far.push((now.have, now.size, now.is_over));
            known = Some(now);
        }
        let wanted =
            [(0, 0, false), (40, 100, false), (40, 100, false), (50, 100, false), (100, 100, true)];
        assert_eq!(far, wanted);
    }
}
