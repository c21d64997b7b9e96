//! What has come of files that are not whole yet: beside their target, under the name of the transfer, so that
//! a transfer that was cut goes on where it was. A note of each is in the agent's folder: so they are found again
//! after a restart, and taken away when nobody comes back for them.

use super::walk::{Guard, Place};
use crate::policy::Want;
use cmdr_link::files::{private_dir, write_private};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fs::{AtFlags, unlinkat};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedMutexGuard};

/// So long a part waits for the rest.
const AGE: Duration = Duration::from_hours(24);
/// Parts at most; the oldest goes first.
const MOST: usize = 64;

/// Bytes as hexadecimal text.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The name of a transfer: 32 hexadecimal digits, and so the name of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Transfer(String);

impl Transfer {
    pub(super) fn parse(text: &str) -> Result<Self, CallError> {
        let fits = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !fits {
            return Err(CallError::malformed("a transfer is named by 32 hexadecimal digits"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name of its part, beside the target.
    pub(super) fn file_name(&self) -> String {
        format!(".cmdr-{}.part", self.0)
    }
}

#[derive(Debug)]
struct Running {
    turn: Arc<tokio::sync::Mutex<()>>,
    give_way: Arc<Notify>,
}

/// All transfers of this agent.
#[derive(Debug)]
pub(super) struct Partials {
    notes: PathBuf,
    running: Mutex<HashMap<Transfer, Running>>,
}

/// The only one who writes this transfer, until somebody comes back for it over another link.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) transfer: Transfer,
    /// Told when another one wants to go on with it.
    pub(super) give_way: Arc<Notify>,
    _held: OwnedMutexGuard<()>,
}

impl Partials {
    pub(super) fn new(notes: PathBuf) -> Self {
        Self { notes, running: Mutex::default() }
    }

    /// Takes a transfer over from whoever has it: their link may be dead without anybody knowing yet.
    pub(super) async fn take(&self, transfer: Transfer) -> Result<Turn, CallError> {
        let (turn, give_way) = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.retain(|_, one| Arc::strong_count(&one.turn) > 1);
            let one = running
                .entry(transfer.clone())
                .or_insert_with(|| Running { turn: Arc::default(), give_way: Arc::default() });
            (one.turn.clone(), one.give_way.clone())
        };
        let busy = || CallError::new(ErrorKind::Busy, "another one writes this very transfer");
        let taken = tokio::time::timeout(Duration::from_secs(10), async {
            let mut look = tokio::time::interval(Duration::from_millis(50));
            loop {
                give_way.notify_waiters();
                if let Ok(turn) = turn.clone().try_lock_owned() {
                    return turn;
                }
                look.tick().await;
            }
        });
        let turn = taken.await.map_err(|_| busy())?;
        Ok(Turn { transfer, give_way, _held: turn })
    }

    /// Notes a part before it is made, and takes away those that nobody came back for.
    pub(super) fn note(
        &self,
        guard: &Guard,
        transfer: &Transfer,
        place: &Place,
    ) -> Result<(), CallError> {
        let wrong = |e: std::io::Error| {
            CallError::failed(format!("noting a transfer in {}: {e}", self.notes.display()))
        };
        private_dir(&self.notes).map_err(wrong)?;
        self.sweep(guard, transfer);
        let folder = place.path.parent();
        write_private(&self.notes.join(&transfer.0), folder.as_str().as_bytes()).map_err(wrong)
    }

    /// Whether a part of this transfer was begun for this folder.
    pub(super) fn is_noted(&self, transfer: &Transfer, place: &Place) -> bool {
        let noted = std::fs::read(self.notes.join(&transfer.0));
        noted.is_ok_and(|folder| folder == place.path.parent().as_str().as_bytes())
    }

    /// Forgets a part that is in its place, or gone.
    pub(super) fn forget(&self, transfer: &Transfer) {
        // What is not there any more is forgotten with the next sweep.
        drop(std::fs::remove_file(self.notes.join(&transfer.0)));
    }

    fn sweep(&self, guard: &Guard, but: &Transfer) {
        let now = Duration::from_millis(cmdr_link::clock::now_ms());
        let busy: Vec<Transfer> = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.keys().cloned().collect()
        };
        let mut notes: Vec<(Duration, Transfer)> = list(&self.notes)
            .into_iter()
            .filter(|(_, transfer)| transfer != but && !busy.contains(transfer))
            .collect();
        notes.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
        let over = notes.len().saturating_sub(MOST - 1);
        for (n, (begun, transfer)) in notes.iter().rev().enumerate() {
            if n < over || now.saturating_sub(*begun) > AGE {
                self.take_away(guard, transfer);
            }
        }
    }

    fn take_away(&self, guard: &Guard, transfer: &Transfer) {
        let folder = std::fs::read_to_string(self.notes.join(&transfer.0)).unwrap_or_default();
        if let Ok(folder) = FilePath::parse(&folder)
            && let Ok(dir) = guard.folder(Want::Write, &folder)
        {
            // It may be gone, or on a disk that is not there now.
            unlinkat(&dir, transfer.file_name(), AtFlags::empty()).ok();
            tracing::info!(folder = %folder, "took away a part of a file that nobody came back for");
        }
        self.forget(transfer);
    }
}

/// The transfers that are noted, with when.
fn list(notes: &Path) -> Vec<(Duration, Transfer)> {
    let entries = std::fs::read_dir(notes).into_iter().flatten().map_while(Result::ok);
    let noted = entries.filter_map(|entry| {
        let transfer = Transfer::parse(entry.file_name().to_str()?).ok()?;
        let changed = entry.metadata().and_then(|meta| meta.modified()).ok()?;
        Some((changed.duration_since(std::time::UNIX_EPOCH).ok()?, transfer))
    });
    noted.take(100_000).collect()
}
