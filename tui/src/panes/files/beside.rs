//! Copies and moves what is meant to the folder beside. A move says what goes where and asks; what would
//! take the place of something is asked about in both.

use super::acts::{many, targets};
use super::carry::{self, Job};
use super::side::Side;
use crate::action::{Action, PATIENCE};
use crate::event::Event;
use crate::i18n::Texts;
use crate::link::Link;
use crate::overlays::confirm::Confirm;
use crate::panes::Context;
use crate::store::files::changed;
use crate::widgets::format;
use cmdr_link::transfer::tree::Place;
use cmdr_protocol::HostId;
use cmdr_protocol::files::{Copy, Entry, FileKind, FilePath, Rename, Stat};

/// Names that are listed before the rest is counted.
const LISTED: usize = 8;

/// One of those that go.
struct Going {
    path: FilePath,
    target: FilePath,
    kind: FileKind,
    /// `web1:/a → db1:/b`.
    what: String,
    /// What is there already.
    there: Option<Entry>,
}

/// Where they all go.
struct Way {
    from: HostId,
    to: HostId,
    /// They are taken away where they were.
    take: bool,
    /// The number of the first transfer.
    first: u64,
}

/// Copies to the folder beside; `take` moves.
pub(super) fn carry(
    context: &Context<'_>,
    side: &Side,
    other: &Side,
    split: bool,
    take: bool,
) -> Action {
    let texts = context.texts;
    if !split {
        return Action::Say(texts.get("files.copy.split").to_owned());
    }
    let (from, to) = (side.host, other.host);
    let names = (context.store.hosts.name(from), context.store.hosts.name(to));
    let targets = targets(context, side);
    let of = many(context, &targets);
    let mut going = Vec::new();
    for (path, entry) in targets {
        let Some(target) = other.inner(path.name()) else { continue };
        if from == to && path == target {
            continue;
        }
        let what = format!("{}:{path} → {}:{target}", names.0, names.1);
        going.push(Going { path, target, kind: entry.kind, what, there: None });
    }
    if going.is_empty() {
        return Action::Say(texts.get("files.copy.same").to_owned());
    }
    let way = Way { from, to, take, first: context.store.files.next };
    let (now_s, offset_s) = (context.store.now_ms / 1000, context.store.utc_offset_s);
    let (texts, folder) = (texts.clone(), format!("{}:{}", names.1, other.path));
    Action::Errand(Box::new(move |link| {
        Box::pin(async move {
            look(&link, &way, &mut going).await;
            let replaced = going.iter().filter(|going| going.there.is_some()).count();
            if !take && replaced == 0 {
                return Event::Done(None, act(&texts, &way, &going));
            }
            let mut lines = Vec::new();
            for going in going.iter().take(LISTED) {
                lines.push(going.what.clone());
                lines.extend(going.there.as_ref().map(|there| {
                    let at_s = u64::try_from(there.mtime_ns / 1_000_000_000).unwrap_or(0);
                    let moment = format::moment(at_s, now_s, offset_s);
                    match (going.kind, there.kind) {
                        (FileKind::Folder, FileKind::Folder) => texts.get("files.into").to_owned(),
                        _ => texts.fill("files.replaces", &[&format::size(there.size), &moment]),
                    }
                }));
            }
            if going.len() > LISTED {
                let more = (going.len() - LISTED).to_string();
                lines.push(texts.fill("confirm.more", &[&more]));
            }
            let title =
                texts.fill(if take { "files.move.ask" } else { "files.copy.ask" }, &[&of, &folder]);
            let act = act(&texts, &way, &going);
            let confirm = if replaced > 1 {
                Confirm::word(title, lines, replaced.to_string(), act)
            } else {
                Confirm::one(title, act).about(lines)
            };
            Event::Done(None, Action::Open(Box::new(confirm)))
        })
    }))
}

/// Looks what is there already. What cannot be looked at is left to the host, which replaces nothing unasked.
async fn look(link: &Link, way: &Way, going: &mut [Going]) {
    for going in going {
        let stat = Stat { path: going.target.clone() };
        going.there = link.call(Some(way.to), stat, PATIENCE).await.ok();
    }
}

fn act(texts: &Texts, way: &Way, going: &[Going]) -> Action {
    let Way { from, to, take, first } = *way;
    let mut id = first;
    let mut begin = |what: &str, job| {
        id += 1;
        carry::start(id - 1, what.to_owned(), job)
    };
    let acts = going.iter().map(|going| {
        let Going { path, target, kind, what, there } = going;
        let (path, target) = (path.clone(), target.clone());
        let folders = *kind == FileKind::Folder && there.is_some();
        if take && from == to && !folders {
            let call = Rename { from: path.clone(), to: target.clone(), replace: there.is_some() };
            let (here, there) = (changed(from, path.parent()), changed(to, target.parent()));
            let said = texts.fill("done.files_rename", &[&path.to_string(), &target.to_string()]);
            return Action::call(what.clone(), Some(from), call, move |_| {
                (Some(here), Action::All(vec![Action::Apply(there), Action::Say(said)]))
            });
        }
        match kind {
            FileKind::File => {
                let copy = Copy {
                    from,
                    path,
                    to,
                    target,
                    absent: there.is_none(),
                    unchanged: None,
                    preserve: true,
                    patience_s: Some(600),
                };
                begin(what, Job::Across { copy, take })
            }
            FileKind::Folder => {
                let (from, to) = (Place::There(from, path), Place::There(to, target));
                begin(what, Job::Folder { from, to, take })
            }
            _ => Action::Complain(texts.fill("files.copy.only_files", &[&path.to_string()])),
        }
    });
    Action::All(acts.collect())
}
