//! Edits: what waits to be confirmed on hosts that were looked at, texts that were not saved, and what came of
//! saves. The editor reads them, and the line at the top of every page.

use super::{Store, Stored, Toast, Update};
use cmdr_protocol::edits::{Armed, ArmedEnd, Ended, Pending, Problem, State};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::{CallError, HostId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Texts that were not saved and are remembered.
pub const DRAFTS: usize = 32;

/// A file of a host.
pub type Key = (HostId, FilePath);

/// A text that was not saved. Kept in a private file, so that it outlives this program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// Of which host.
    pub host: HostId,
    /// Its name when the text was written.
    pub host_name: String,
    /// Of which file.
    pub path: FilePath,
    /// What was there when it was opened; none for a new file.
    pub base: Option<String>,
    /// The text.
    pub text: String,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
}

/// What came of a save.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// It is in its place, and waits to be confirmed if it was armed.
    Saved(String, Option<Armed>),
    /// Another text is there than was seen; none when the file is gone.
    Conflict(Option<String>),
    /// It was not saved because of these.
    Invalid(Vec<Problem>),
    /// The host or the hub could not be reached.
    Away,
    /// Something else went wrong, which was said.
    Failed,
}

/// Texts that were read and that nobody has taken yet.
const READ: usize = 4;

/// A file that was read: where it is behind links, and its text; none when there is no file.
pub type Read = Result<(FilePath, Option<String>), CallError>;

/// What waits on a host, as of a moment.
#[derive(Default)]
struct Watched {
    state: State,
    came_ms: u64,
}

/// All of it.
#[derive(Default)]
pub struct Edits {
    hosts: HashMap<HostId, Watched>,
    news: HashMap<Key, (u64, Arc<News>)>,
    serial: u64,
    /// Files that were read for a page of their host, by what they were asked for, until that takes them.
    read: HashMap<Key, Read>,
    /// Texts that were not saved, newest first.
    pub drafts: Vec<Draft>,
    /// Where they are kept; none when nothing is.
    pub folder: Option<PathBuf>,
}

impl Edits {
    /// The edit of a file that waits, and what is left of its time in milliseconds.
    pub fn armed(&self, host: HostId, path: &FilePath, now_ms: u64) -> Option<(&Armed, u64)> {
        let watched = self.hosts.get(&host)?;
        let armed = watched.state.armed.iter().find(|armed| armed.path == *path)?;
        Some((armed, left(watched, armed, now_ms)))
    }

    /// All that wait, the one that ends first in front.
    pub fn waiting(&self, now_ms: u64) -> Vec<(HostId, &Armed, u64)> {
        let mut all: Vec<_> = self
            .hosts
            .iter()
            .flat_map(|(host, watched)| {
                watched.state.armed.iter().map(move |a| (*host, a, left(watched, a, now_ms)))
            })
            .collect();
        all.sort_by_key(|(_, _, left)| *left);
        all
    }

    /// The hosts on which something waits: they are watched on every page.
    pub fn hosts(&self) -> Vec<HostId> {
        let waits = |(_, watched): &(&HostId, &Watched)| !watched.state.armed.is_empty();
        self.hosts.iter().filter(waits).map(|(host, _)| *host).collect()
    }

    /// How an edit ended, if it has.
    pub fn ended(&self, host: HostId, id: &str) -> Option<&Ended> {
        self.hosts.get(&host)?.state.ended.iter().find(|ended| ended.id == id)
    }

    /// What came of the last save of a file, with a number that goes up.
    pub fn news(&self, key: &Key) -> Option<(u64, Arc<News>)> {
        self.news.get(key).cloned()
    }

    /// What came of reading a file for a page.
    pub fn read(&self, key: &Key) -> Option<&Read> {
        self.read.get(key)
    }

    /// The text of this file that was not saved.
    pub fn draft(&self, key: &Key) -> Option<&Draft> {
        self.drafts.iter().find(|draft| draft.host == key.0 && draft.path == key.1)
    }
}

fn left(watched: &Watched, armed: &Armed, now_ms: u64) -> u64 {
    armed.left_ms.saturating_sub(now_ms.saturating_sub(watched.came_ms))
}

/// Something came of a save.
pub fn came(key: Key, news: News) -> Update {
    Update::new(move |store| {
        store.edits.serial += 1;
        let now_ms = store.now_ms;
        if let News::Saved(_, Some(armed)) = &news {
            // Shown at once, also before the host says it of its own accord.
            let watched = store.edits.hosts.entry(key.0).or_default();
            watched.came_ms = now_ms;
            watched.state.armed.retain(|other| other.id != armed.id);
            watched.state.armed.push(armed.clone());
        }
        let serial = store.edits.serial;
        store.edits.news.insert(key, (serial, Arc::new(news)));
    })
}

/// A file was read for a page; with none it has taken it.
pub fn read(key: Key, read: Option<Read>) -> Update {
    Update::new(move |store| {
        let all = &mut store.edits.read;
        all.remove(&key);
        if let Some(read) = read {
            // Pages that are not seen any more take nothing.
            if all.len() >= READ {
                all.clear();
            }
            all.insert(key, read);
        }
    })
}

/// A text is kept as a draft, or no longer.
pub fn drafted(key: Key, draft: Option<Draft>) -> Update {
    Update::new(move |store| {
        let drafts = &mut store.edits.drafts;
        drafts.retain(|other| (other.host, &other.path) != (key.0, &key.1));
        drafts.splice(0..0, draft);
        drafts.truncate(DRAFTS);
    })
}

impl Stored for Pending {
    fn apply(store: &mut Store, host: Option<HostId>, item: State) {
        let Some(host) = host else { return };
        let name = store.hosts.name(host);
        let now_ms = store.now_ms;
        let watched = store.edits.hosts.entry(host).or_default();
        for armed in &watched.state.armed {
            let Some(ended) = item.ended.iter().find(|ended| ended.id == armed.id) else {
                continue;
            };
            let (text, bad) = match ended.how {
                ArmedEnd::Confirmed => ("edit.ended.confirmed", false),
                ArmedEnd::Reverted => ("edit.ended.reverted", false),
                ArmedEnd::Undone => ("edit.ended.undone", true),
                ArmedEnd::Changed => ("edit.ended.changed", true),
                ArmedEnd::Failed | ArmedEnd::Never | ArmedEnd::Unknown => {
                    ("edit.ended.failed", true)
                }
            };
            let values = vec![format!("{name}:{}", ended.path)];
            store.toasts.push_back(Toast { text, values, bad });
        }
        *watched = Watched { state: item, came_ms: now_ms };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_runs_out_and_its_end_is_told_once() {
        let mut store = Store::new(1000, 0, false);
        let host = HostId([1; 16]);
        let path = FilePath::parse("/etc/hosts").unwrap();
        let armed =
            Armed { id: "a".into(), path: path.clone(), left_ms: 30_000, ..Armed::default() };
        store.apply(came((host, path.clone()), News::Saved(String::new(), Some(armed.clone()))));
        assert_eq!(store.edits.armed(host, &path, 11_000).unwrap().1, 20_000);
        assert_eq!(store.edits.armed(host, &path, 99_000).unwrap().1, 0);
        assert_eq!(store.edits.hosts(), [host]);
        let ended = Ended { id: "a".into(), path, how: ArmedEnd::Undone, ..Ended::default() };
        for _ in 0..2 {
            let state = State { armed: Vec::new(), ended: vec![ended.clone()] };
            Pending::apply(&mut store, Some(host), state);
        }
        assert_eq!(store.toasts.len(), 1);
        assert_eq!(store.toasts[0].text, "edit.ended.undone");
        assert!(store.edits.waiting(0).is_empty() && store.edits.hosts().is_empty());
    }
}
