//! All that is in a volume as one archive of this machine, and back: owners are kept both ways.

use super::{folder, no_folder};
use crate::action::Action;
use crate::link::{Inputs, Items, Link, cut_short_there};
use crate::overlays::confirm::Confirm;
use crate::overlays::form::{Field, Form};
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::panes::docker::fill::{Fill, yes};
use crate::panes::docker::images::asks::{file_name, here, local, shown};
use crate::panes::files::carry::{Ended, Job, follow, start};
use crate::panes::hosts::quoted;
use crate::store::files::{State, Told};
use crate::store::sheets::{Record, Target};
use cmdr_protocol::display::clean;
use cmdr_protocol::files::{Counted, FilePath, Packed, Unpack};
use cmdr_protocol::{CallError, HostId};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// Bytes of one piece that is sent.
const PIECE: u64 = 256 * 1024;

const FILE: usize = 0;
const REPLACE: usize = 1;

fn name(row: Option<&Record>) -> String {
    match row.map(|row| &row.target) {
        Some(Target::Volume { name, .. }) => name.clone(),
        _ => String::new(),
    }
}

/// Asks into which file of this machine, and writes all that is in the volume there.
pub(super) fn backup(context: &Context<'_>, row: Option<&Record>) -> Action {
    let Some((host, at)) = folder(row) else { return no_folder(context, row) };
    let from = match FilePath::from_bytes(at.as_bytes()) {
        Ok(from) => from,
        Err(e) => return Action::Complain(e.to_string()),
    };
    let (texts, on, name) = (context.texts.clone(), context.store.hosts.name(host), name(row));
    let id = context.store.files.next;
    let title = texts.fill("volumes.backup.title", &[&clean(&name), &on]);
    let file = here(&format!("{}-{}.tar.zst", file_name(&on), file_name(&name)));
    let prompt = Prompt::new(title, file, "volumes.backup.hint", move |text| {
        let to = local(text);
        if to.symlink_metadata().is_ok() {
            return Err(texts.get("images.save.there").to_owned());
        }
        if !to.parent().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir()) {
            return Err(texts.get("files.download.bad").to_owned());
        }
        let what = format!("{on}:{} → {}", clean(&name), shown(&to));
        Ok(start(id, what, Job::Archive { host, from: from.clone(), to }))
    });
    Action::Open(Box::new(prompt))
}

/// Asks which file of this machine, then whether, and lays it out in the volume.
pub(super) fn restore(context: &Context<'_>, row: Option<&Record>) -> Action {
    let Some((host, at)) = folder(row) else { return no_folder(context, row) };
    let to = match FilePath::from_bytes(at.as_bytes()) {
        Ok(to) => to,
        Err(e) => return Action::Complain(e.to_string()),
    };
    let users = match row.map(|row| &row.target) {
        Some(Target::Volume { users, .. }) => users.join(", "),
        _ => String::new(),
    };
    let (texts, on, name) = (context.texts.clone(), context.store.hosts.name(host), name(row));
    let fields = vec![
        Field::new("volumes.restore.file", "volumes.restore.file_hint", here("")),
        Field::new("volumes.restore.replace", "volumes.restore.replace_hint", String::new()),
    ];
    let title = texts.fill("volumes.restore.title", &[&clean(&name), &on]);
    let id = context.store.files.next;
    let mut form = Form::new(title, fields);
    let used = (!users.is_empty()).then(|| texts.fill("volumes.used", &[&clean(&users)]));
    form.about.extend(used.clone());
    Fill::open(form, move |_, form| {
        let from = local(form.text(FILE));
        if !from.is_file() {
            return Err((FILE, texts.get("images.load.bad").to_owned()));
        }
        let replace = yes(form, REPLACE)?;
        let what = format!("{} → {on}:{}", shown(&from), clean(&name));
        let force = if replace || used.is_some() { " --force" } else { "" };
        let [host_word, volume, file] =
            [&on, &name, &from.display().to_string()].map(|text| quoted(text));
        let command = format!("cmdr docker volume restore {host_word} {volume}{force} < {file}");
        let about = if replace { "volumes.restore.over" } else { "volumes.restore.beside" };
        let about = used.iter().cloned().chain([texts.get(about).to_owned()]).collect();
        let title = texts.fill("volumes.restore.ask", &[&shown(&from), &clean(&name), &on]);
        let order = Order { host, from, to: to.clone(), replace };
        let changes = Some((host, to.clone()));
        let empty = texts.get("files.unpack.empty");
        let begin = follow(id, what, changes, move |link, tell| lay_out(link, order, empty, tell));
        let confirm = Confirm::one(title, begin).about(about).copying(command);
        Ok(Action::Open(Box::new(confirm)))
    })
}

/// What is laid out where.
struct Order {
    host: HostId,
    from: PathBuf,
    to: FilePath,
    replace: bool,
}

async fn lay_out(
    link: Link,
    order: Order,
    empty: &'static str,
    tell: watch::Sender<Told>,
) -> Ended {
    let Order { host, from, to, replace } = order;
    let file = File::open(&from).map_err(|e| unread(&from, &e))?;
    let size = file.metadata().map_err(|e| unread(&from, &e))?.len();
    tell.send_modify(|told| (told.anew, told.progress.size) = (true, size));
    let unpack = Unpack { path: to, replace, owners: true, ..Unpack::default() };
    let (items, inputs) = link.both(Some(host), unpack).await?;
    let mut sending = std::pin::pin!(send(file, &from, inputs));
    let mut taking = std::pin::pin!(taken(&link, items, size, &tell));
    let counted = tokio::select! {
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
    let [entries, skipped] =
        [counted.entries, counted.skipped].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let all = entries.saturating_add(skipped);
    if all == 0 {
        return Ok((State::Failed(empty.to_owned()), Action::None));
    }
    tell.send_modify(|told| {
        told.files = Some((entries, all));
        told.faults = counted.words.iter().map(|word| clean(word).into_owned()).collect();
    });
    let state = if skipped == 0 { State::Done } else { State::Partly(skipped, all) };
    Ok((state, Action::None))
}

fn unread(path: &Path, error: &std::io::Error) -> CallError {
    CallError::failed(format!("reading {}: {error}", shown(path)))
}

async fn taken(
    link: &Link,
    mut items: Items<Unpack>,
    size: u64,
    tell: &watch::Sender<Told>,
) -> Result<Counted, CallError> {
    let mut done = None;
    while let Some(item) = items.next().await {
        let item = item?;
        tell.send_modify(|told| {
            (told.progress.have, told.progress.carried) = (item.taken.min(size), item.taken);
        });
        done = item.done.or(done);
    }
    done.ok_or_else(|| link.told(cut_short_there()))
}

/// Sends a file piece by piece, and that this is all.
async fn send(
    mut file: File,
    from: &Path,
    mut inputs: Inputs<Unpack>,
) -> Result<Inputs<Unpack>, CallError> {
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::new();
            (&mut file).take(PIECE).read_to_end(&mut piece).map(|_| (file, piece))
        });
        let read = read.await.map_err(|e| CallError::failed(e.to_string()))?;
        let (back, data) = read.map_err(|e| unread(from, &e))?;
        file = back;
        let packed = data.is_empty().then(Counted::default);
        let is_over = packed.is_some();
        inputs.send(&Packed { data, packed }).await?;
        if is_over {
            return Ok(inputs);
        }
    }
}
