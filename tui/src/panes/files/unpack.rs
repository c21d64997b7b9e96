//! Lays an archive of a host out in a folder of the same host, which reads it where it is. It is asked about with what
//! goes where; what is there already stays as it is, and is listed as left out.

use super::carry::{Ended, follow};
use super::side::Side;
use crate::action::{Action, PATIENCE, reason};
use crate::event::Event;
use crate::link::{Link, cut_short_there};
use crate::overlays::confirm::Confirm;
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::panes::hosts::quoted;
use crate::store::files::{State, Told};
use crate::widgets::format;
use cmdr_protocol::display::clean;
use cmdr_protocol::files::{
    Counted, Entry, FileKind, FilePath, MakeFolder, Packed, Real, Stat, Unpack, shown,
};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use tokio::sync::watch;

/// How archives end that a host can read.
const ENDINGS: &[&str] = &[".tar.zst", ".tar.gz", ".tar.xz", ".tzst", ".tgz", ".txz", ".tar"];

/// The name of an archive without what makes it one.
fn stem(name: &str) -> Option<&str> {
    let ends = |ending: &&&str| {
        let at = name.len().checked_sub(ending.len());
        at.and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(ending))
    };
    let ending = ENDINGS.iter().find(ends)?;
    Some(&name[..name.len() - ending.len()]).filter(|stem| !stem.is_empty())
}

/// What is laid out where.
#[derive(Clone)]
struct Order {
    host: HostId,
    from: FilePath,
    /// It is a link to the archive.
    is_link: bool,
    /// What is said when nothing is in it.
    empty: &'static str,
    size: u64,
    to: FilePath,
    /// The folder is not there yet.
    make: bool,
}

/// Asks into which folder: the one beside, or a new one of the archive's name.
pub(super) fn ask(context: &Context<'_>, side: &Side, beside: Option<&Side>) -> Action {
    let texts = context.texts.clone();
    let Some(entry) = side.selected(context) else { return Action::None };
    let is_file = matches!(entry.kind, FileKind::File | FileKind::Link);
    let stem = stem(&entry.name).filter(|_| is_file);
    let (Some(stem), Some(from)) = (stem, side.inner(&entry.name)) else {
        return Action::Say(texts.fill("files.unpack.none", &[&shown(&entry.name)]));
    };
    let beside = beside.filter(|other| other.host == side.host).map(|other| other.path.clone());
    let Some(to) = beside.or_else(|| side.inner(stem)) else { return Action::None };
    let is_link = entry.kind == FileKind::Link;
    let empty = texts.get("files.unpack.empty");
    let size = entry.size;
    let order = Order { host: side.host, from, is_link, empty, size, to, make: false };
    let name = context.store.hosts.name(side.host);
    let (folder, id) = (side.path.clone(), context.store.files.next);
    let title = texts.fill("files.unpack.title", &[&format!("{name}:{}", order.from)]);
    let text = Side::text(&order.to);
    Action::Open(Box::new(Prompt::new(title, text, "files.unpack.hint", move |text| {
        let order = Order { to: Side::typed(&folder, text)?, ..order.clone() };
        let (texts, name) = (texts.clone(), name.clone());
        Ok(Action::Errand(Box::new(move |link| {
            Box::pin(async move {
                let order = match place(&link, order.clone()).await {
                    Ok(Ok(order)) => order,
                    Ok(Err(no_folder)) => {
                        let said = texts.fill("files.unpack.no_folder", &[&no_folder.to_string()]);
                        return Event::Done(None, Action::Complain(said));
                    }
                    Err(e) => {
                        let said = format!("{}: {}", order.to, reason(&e));
                        return Event::Done(None, Action::Complain(said));
                    }
                };
                let (from, to) = (format!("{name}:{}", order.from), format!("{name}:{}", order.to));
                let about = if order.make { "files.unpack.makes" } else { "files.unpack.there" };
                let lines = vec![
                    format!("{from}  {}", format::size(order.size)),
                    format!("→ {to}"),
                    texts.get(about).to_owned(),
                ];
                let [folder, archive] = [&to, &order.from.to_string()].map(|text| quoted(text));
                let command = if order.make {
                    format!("cmdr mkdir -p {folder}; cmdr unpack {folder} --from {archive}")
                } else {
                    format!("cmdr unpack {folder} --from {archive}")
                };
                let title = texts.fill("files.unpack.ask", &[&shown(order.from.name())]);
                let confirm = Confirm::one(title, begin(id, format!("{from} → {to}"), order));
                let confirm = confirm.about(lines);
                Event::Done(None, Action::Open(Box::new(confirm.copying(command))))
            })
        })))
    })))
}

/// Where it goes, behind links too; the path alone when something is there that is no folder.
async fn place(link: &Link, mut order: Order) -> Result<Result<Order, FilePath>, CallError> {
    let host = Some(order.host);
    if order.is_link {
        let real = Real { path: order.from.clone(), last: true };
        order.from = link.call(host, real, PATIENCE).await?.path;
        order.size = link.call(host, Stat { path: order.from.clone() }, PATIENCE).await?.size;
    }
    let real = Real { path: order.to.clone(), last: true };
    let to = match link.call(host, real, PATIENCE).await {
        Ok(real) => real.path,
        Err(e) if e.kind == ErrorKind::NotFound => {
            return Ok(Ok(Order { make: true, ..order }));
        }
        Err(e) => return Err(e),
    };
    let there: Entry = link.call(host, Stat { path: to.clone() }, PATIENCE).await?;
    Ok(match there.kind {
        FileKind::Folder => Ok(Order { to, ..order }),
        _ => Err(to),
    })
}

fn begin(id: u64, what: String, order: Order) -> Action {
    let changes = if order.make { order.to.parent() } else { order.to.clone() };
    let changes = Some((order.host, changes));
    follow(id, what, changes, move |link, tell| lay_out(link, order, tell))
}

async fn lay_out(link: Link, order: Order, tell: watch::Sender<Told>) -> Ended {
    let Order { host, from, empty, size, to, make, .. } = order;
    tell.send_modify(|told| told.progress.size = size);
    if make {
        let folder = MakeFolder { path: to.clone(), parents: true, mode: None };
        link.call(Some(host), folder, PATIENCE).await?;
    }
    let unpack = Unpack { path: to, from: Some(from), ..Unpack::default() };
    let (mut items, mut inputs) = link.both(Some(host), unpack).await?;
    // An agent that does not know of archives that lie there waits for one: it gets an empty one.
    let end = Packed { packed: Some(Counted::default()), ..Packed::default() };
    // A host that takes it no more says why.
    inputs.send(&end).await.ok();
    let mut done = None;
    while let Some(item) = items.next().await {
        let item = item?;
        tell.send_modify(|told| {
            let progress = &mut told.progress;
            (progress.have, progress.carried) = (item.taken.min(size), item.taken);
        });
        done = item.done.or(done);
    }
    let counted = done.ok_or_else(|| link.told(cut_short_there()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_told_by_its_name() {
        for (name, wanted) in [
            ("shop.tar.gz", Some("shop")),
            ("shop-1.2.TGZ", Some("shop-1.2")),
            ("节点.tar", Some("节点")),
            ("a.tar.zst", Some("a")),
            (".tar", None),
            ("tar", None),
            ("shop.zip", None),
            ("点tar", None),
        ] {
            assert_eq!(stem(name), wanted, "{name}");
        }
    }
}
