//! What the finder finds of files: those of the folder at hand, those opened lately, and names below a folder of a host,
//! which are looked for only when that is asked for.

use super::Side;
use crate::action::Action;
use crate::event::Event;
use crate::link::Link;
use crate::overlays::menu::Menu;
use crate::panes::{Choice, Context, Entry, Place, TABS};
use cmdr_protocol::files::{FileKind, FilePath, List, shown};
use cmdr_protocol::{CallError, HostId};
use futures::StreamExt as _;
use std::collections::VecDeque;
use std::time::Duration;

/// Names of the folder at hand that are offered.
const OFFERED: usize = 20_000;
/// A search ends when it has looked into so many folders, at so many names, found so many, or taken so long.
const FOLDERS: usize = 1000;
const NAMES: usize = 100_000;
const FOUND: usize = 200;
const LONGEST: Duration = Duration::from_secs(15);
/// Folders that are asked for at once.
const AT_ONCE: usize = 8;

fn entry(context: &Context<'_>, host: HostId, path: &FilePath, note: String) -> Entry {
    let text = format!("{}:{path}", context.store.hosts.name(host));
    Entry { kind: "palette.file", text, note, choice: choice(host, path) }
}

/// Goes to the folder of a file, the cursor on it.
fn choice(host: HostId, path: &FilePath) -> Choice {
    let tab = TABS.iter().position(|tab| tab.title == "files.title").unwrap_or(0);
    Choice::Open(Place::Host(host, tab), path.as_str().to_owned())
}

/// What is in the folder at hand.
pub(super) fn at_hand(context: &Context<'_>, side: &Side) -> Vec<Entry> {
    let Some(folder) = side.folder(context) else { return Vec::new() };
    let paths = folder.entries.iter().take(OFFERED).filter_map(|e| side.inner(&e.name));
    paths.map(|path| entry(context, side.host, &path, String::new())).collect()
}

/// Files that were opened lately.
pub fn recent(context: &Context<'_>) -> Vec<Entry> {
    let note = context.texts.get("finder.recent");
    let recent = context.store.files.recent.iter();
    recent.map(|(host, path)| entry(context, *host, path, note.to_owned())).collect()
}

/// Looks for names below a folder and lists them.
pub fn search(context: &Context<'_>, host: HostId, folder: FilePath, text: String) -> Action {
    let texts = context.texts.clone();
    let on = context.store.hosts.name(host);
    let begun = context.texts.fill("finder.searching", &[&text, &format!("{on}:{folder}")]);
    let errand = Action::Errand(Box::new(move |link| {
        Box::pin(async move {
            let (found, whole) = walk(&link, host, folder, &text.to_lowercase()).await;
            if found.is_empty() {
                let key = if whole { "finder.none_below" } else { "finder.none_so_far" };
                return Event::Done(None, Action::Say(texts.fill(key, &[&text])));
            }
            let note = if whole { "finder.found" } else { "finder.found_first" };
            let title = texts.fill(note, &[&text, &found.len().to_string()]);
            let kind = |kind: FileKind| match kind {
                FileKind::Folder => "/".to_owned(),
                _ => String::new(),
            };
            let items = found.iter().map(|(path, k)| (path.to_string(), kind(*k))).collect();
            let menu = Menu::new(title, items, 0, move |at| match found.get(at) {
                Some((path, _)) => choice(host, path).action(),
                None => Action::None,
            });
            Event::Done(None, Action::Open(Box::new(menu)))
        })
    }));
    Action::All(vec![Action::Say(begun), errand])
}

/// Those that fit, and whether everything was looked at. What may not be looked at is passed by.
async fn walk(
    link: &Link,
    host: HostId,
    folder: FilePath,
    text: &str,
) -> (Vec<(FilePath, FileKind)>, bool) {
    // Below these the kernel tells of itself, without an end.
    let apart = ["/proc", "/sys", "/dev"];
    let until = tokio::time::Instant::now() + LONGEST;
    let (mut open, mut found) = (VecDeque::from([folder]), Vec::new());
    let (mut folders, mut names) = (0, 0);
    while !open.is_empty() {
        let some: Vec<FilePath> = open.drain(..open.len().min(AT_ONCE)).collect();
        folders += some.len();
        let asked = some.into_iter().map(|path| async move {
            let entries = list(link, host, path.clone()).await.unwrap_or_default();
            (path, entries)
        });
        let all = futures::stream::iter(asked).buffered(AT_ONCE).collect::<Vec<_>>();
        let Ok(all) = tokio::time::timeout_at(until, all).await else { return (found, false) };
        for (path, entries) in all {
            names += entries.len();
            for (name, kind) in entries {
                let Ok(inner) = path.join(&name) else { continue };
                if shown(&name).to_lowercase().contains(text) {
                    found.push((inner.clone(), kind));
                }
                if kind == FileKind::Folder && !apart.contains(&inner.as_str()) {
                    open.push_back(inner);
                }
            }
        }
        if folders >= FOLDERS || names >= NAMES || found.len() >= FOUND {
            let whole = open.is_empty() && found.len() <= FOUND;
            found.truncate(FOUND);
            return (found, whole);
        }
    }
    (found, true)
}

async fn list(
    link: &Link,
    host: HostId,
    path: FilePath,
) -> Result<Vec<(String, FileKind)>, CallError> {
    let mut items = link.feed(Some(host), List { path }).await?;
    let mut entries = Vec::new();
    while let Some(page) = items.next().await {
        entries.extend(page?.entries.into_iter().map(|e| (e.name, e.kind)));
        if entries.len() > NAMES {
            break;
        }
    }
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}
