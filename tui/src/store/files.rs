//! Folders that were looked at, and files on their way. The files pane and the list of transfers read them.

use super::{Store, Toast, Update};
use cmdr_link::transfer::Progress;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::files::{Entry, FilePath};
use std::collections::{HashMap, VecDeque};
use tokio::task::AbortHandle;

/// Folders that are remembered.
const FOLDERS: usize = 16;
/// Files opened lately that are remembered.
const RECENT: usize = 50;
/// Transfers that are over and still listed.
const OVER: usize = 50;

/// A folder as far as it is known.
#[derive(Default)]
pub struct Folder {
    /// What is in it, names as they are on the wire, other texts made harmless.
    pub entries: Vec<Entry>,
    /// There is more in it than is kept.
    pub more: bool,
    /// Why it cannot be listed, in words.
    pub error: Option<String>,
    /// It was asked for and has not come.
    pub loading: bool,
    /// It may be different by now.
    pub stale: bool,
    /// When it came.
    pub came_ms: u64,
    /// Goes up with every change.
    pub version: u64,
}

/// How a transfer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// On its way.
    Running,
    /// In its place.
    Done,
    /// Not, for this reason.
    Failed(String),
    /// But for so many of so many, which are listed.
    Partly(usize, usize),
    /// Given up by us.
    Stopped,
}

/// A part of what is on its way, such as a layer of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// What it is called, harmless to show.
    pub name: String,
    /// How it is, in the words of who does it.
    pub status: String,
    /// Bytes of it that are done.
    pub have: u64,
    /// Bytes of it; 0 when that is not known.
    pub size: u64,
    /// Nothing more happens to it.
    pub is_over: bool,
}

/// A file on its way.
pub struct Transfer {
    /// Its number.
    pub id: u64,
    /// From where to where, in words.
    pub what: String,
    /// How far it is; all its files together.
    pub progress: Progress,
    /// Of a folder: files that are over, and all of them.
    pub files: Option<(usize, usize)>,
    /// What was not carried, with why: the first of them, harmless to show.
    pub faults: Vec<String>,
    /// Of what goes in parts, each of them.
    pub parts: Vec<Part>,
    /// How it is.
    pub state: State,
    stop: Option<AbortHandle>,
}

/// What a transfer says of itself.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// How far it is.
    pub progress: Progress,
    /// Of a folder: files that are over, and all of them.
    pub files: Option<(usize, usize)>,
    /// What was not carried, with why.
    pub faults: Vec<String>,
    /// Of what goes in parts, each of them.
    pub parts: Vec<Part>,
    /// What has come is of no use when it is given up.
    pub anew: bool,
}

/// All of it.
#[derive(Default)]
pub struct Files {
    folders: HashMap<(HostId, FilePath), Folder>,
    /// The newest last.
    pub transfers: Vec<Transfer>,
    /// The number of the next transfer.
    pub next: u64,
    /// Files that were opened to be read or edited, the newest first.
    pub recent: VecDeque<(HostId, FilePath)>,
}

impl Files {
    /// What is known of a folder.
    pub fn folder(&self, host: HostId, path: &FilePath) -> Option<&Folder> {
        self.folders.get(&(host, path.clone()))
    }

    /// How many files are on their way, and how far they are together, in percent.
    pub fn running(&self) -> Option<(usize, u64)> {
        let running = self.transfers.iter().filter(|t| t.state == State::Running);
        let (count, have, size) = running.fold((0, 0u64, 0u64), |(n, have, size), t| {
            (n + 1, have + t.progress.have, size + t.progress.size.max(t.progress.have))
        });
        (count > 0).then(|| (count, (have * 100).checked_div(size).unwrap_or(0)))
    }

    fn transfer(&mut self, id: u64) -> Option<&mut Transfer> {
        self.transfers.iter_mut().find(|transfer| transfer.id == id)
    }
}

/// A folder is asked for.
pub fn asking(host: HostId, path: FilePath) -> Update {
    Update::new(move |store| {
        let folders = &mut store.files.folders;
        if !folders.contains_key(&(host, path.clone())) && folders.len() >= FOLDERS {
            let oldest = folders.iter().min_by_key(|(_, folder)| folder.came_ms);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|key| folders.remove(&key));
        }
        let folder = folders.entry((host, path)).or_default();
        (folder.loading, folder.stale) = (true, false);
    })
}

/// A folder came, or why it did not.
pub fn listed(host: HostId, path: FilePath, came: Result<(Vec<Entry>, bool), String>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        let folder = store.files.folders.entry((host, path)).or_default();
        folder.loading = false;
        folder.came_ms = now_ms;
        folder.version += 1;
        match came {
            Ok((mut entries, more)) => {
                for entry in &mut entries {
                    for text in [&mut entry.user, &mut entry.group] {
                        if let std::borrow::Cow::Owned(harmless) = clean(text) {
                            *text = harmless;
                        }
                    }
                }
                (folder.entries, folder.more, folder.error) = (entries, more, None);
            }
            Err(error) => folder.error = Some(error),
        }
    })
}

/// A file was opened.
pub fn opened(host: HostId, path: FilePath) -> Update {
    Update::new(move |store| {
        let recent = &mut store.files.recent;
        recent.retain(|known| *known != (host, path.clone()));
        recent.push_front((host, path));
        recent.truncate(RECENT);
    })
}

/// Something in a folder was changed.
pub fn changed(host: HostId, path: FilePath) -> Update {
    Update::new(move |store| mark_stale(store, host, &path))
}

fn mark_stale(store: &mut Store, host: HostId, path: &FilePath) {
    if let Some(folder) = store.files.folders.get_mut(&(host, path.clone())) {
        folder.stale = true;
    }
}

/// A transfer begins.
pub fn begin(id: u64, what: String) -> Update {
    Update::new(move |store| {
        let files = &mut store.files;
        files.next = files.next.max(id + 1);
        let over = |t: &Transfer| t.state != State::Running;
        while files.transfers.iter().filter(|t| over(t)).count() > OVER {
            let Some(oldest) = files.transfers.iter().position(over) else { break };
            files.transfers.remove(oldest);
        }
        let (progress, state) = (Progress::default(), State::Running);
        let (files_of, faults) = (None, Vec::new());
        files.transfers.push(Transfer {
            id,
            what,
            progress,
            files: files_of,
            faults,
            parts: Vec::new(),
            state,
            stop: None,
        });
    })
}

/// A transfer can be given up by this.
pub fn begun(id: u64, stop: AbortHandle) -> Update {
    Update::new(move |store| {
        if let Some(transfer) = store.files.transfer(id) {
            transfer.stop = Some(stop);
        }
    })
}

/// A transfer is so far.
pub fn told(id: u64, told: Told) -> Update {
    Update::new(move |store| {
        if let Some(transfer) = store.files.transfer(id) {
            (transfer.progress, transfer.files) = (told.progress, told.files);
            (transfer.faults, transfer.parts) = (told.faults, told.parts);
        }
    })
}

/// A transfer is over. `folder` is what it has changed, `last` what it said at last.
pub fn ended(id: u64, state: State, folder: Option<(HostId, FilePath)>, last: Told) -> Update {
    Update::new(move |store| {
        if let Some((host, path)) = folder {
            mark_stale(store, host, &path);
        }
        let Some(transfer) = store.files.transfer(id) else { return };
        transfer.stop = None;
        (transfer.progress, transfer.files) = (last.progress, last.files);
        (transfer.faults, transfer.parts) = (last.faults, last.parts);
        if state == State::Done {
            transfer.progress.have = transfer.progress.size;
        }
        let what = transfer.what.clone();
        let anew = last.anew;
        let (text, values, bad) = match &state {
            State::Done => ("files.transfer.done", vec![what], false),
            State::Partly(missing, all) => {
                ("files.transfer.partly", vec![missing.to_string(), all.to_string(), what], true)
            }
            State::Failed(why) => ("files.transfer.failed", vec![why.clone(), what], true),
            State::Stopped if anew => ("files.transfer.given_up", vec![what], false),
            State::Stopped | State::Running => ("files.transfer.stopped", vec![what], false),
        };
        transfer.state = state;
        store.toasts.push_back(Toast { text, values, bad });
    })
}

/// Gives a transfer up. What has come of it stays, and is gone on with when it is begun again.
pub fn stop(id: u64) -> Update {
    Update::new(move |store| {
        if let Some(stop) = store.files.transfer(id).and_then(|transfer| transfer.stop.take()) {
            stop.abort();
        }
    })
}
