//! Contents of files in a folder, each under its BLAKE3: how one arrives, piece by piece, and how one is sent.
//!
//! The hub keeps what clients send it, agents what the hub sends them. A part that was cut stays and is gone on with.
//! What is whole was checked; after a restart it is checked once more before it is used.
//!
//! What arrives takes room as its bytes come, in steps, and always leaves the disk some; contents that are whole give
//! way to it only when it is whole itself. Senders do not wait for one another, whatever they send.

mod receive;
mod send;

pub use send::send;

use crate::files::reason;
use cmdr_protocol::blobs::{Blob, CHUNK, Stored};
use cmdr_protocol::orders::is_blob;
use cmdr_protocol::{CallError, ErrorKind};
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// So much of the disk stays free, or a fiftieth of a smaller one.
const FREE: u64 = 256 << 20;
/// A part with which nobody has gone on for so long is taken away.
const PART: Duration = Duration::from_hours(1);
/// So many of those who sent one content are known, the last ones.
const OWNERS: usize = 100;

/// Contents in a folder. Clones are the same.
#[derive(Clone, Debug)]
pub struct Blobs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    most: u64,
    /// Whether what is acknowledged has to be on disk.
    durable: bool,
    /// Whose turn it is to go on with a part, by its name: each sender has their own, and waits for nobody else.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Held for moments, by hash: while a content is put in its place, looked at for the first time, taken away.
    moments: Mutex<HashMap<String, Arc<Mutex<()>>>>,
    /// Checked since this program began.
    checked: Mutex<HashSet<String>>,
}

fn wrong(doing: &str, e: &io::Error) -> CallError {
    let what = format!("{doing}: {}", reason(e));
    match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            CallError::failed(format!("{what}; make room there and try again"))
        }
        _ => CallError::failed(what),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|e| Err(CallError::failed(format!("a fault of this program: {e}"))))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lock of this name among others that somebody holds or waits for.
fn named<T: Default>(all: &Mutex<HashMap<String, Arc<T>>>, name: &str) -> Arc<T> {
    let mut all = lock(all);
    all.retain(|_, one| Arc::strong_count(one) > 1);
    all.entry(name.to_owned()).or_default().clone()
}

/// The name of a part.
fn part(hash: &str, by: Option<&str>) -> String {
    match by {
        Some(by) => format!("{hash}.{by}.part"),
        None => format!("{hash}.part"),
    }
}

/// Whether so much may be written to a disk of `all` bytes, of which `free` are free.
fn has_room(all: u64, free: u64, more: u64) -> bool {
    free.checked_sub(more).is_some_and(|left| left >= FREE.min(all / 50))
}

/// An error when so many bytes more would leave too little of the disk on which a file is.
pub fn leaves_room(file: &File, more: u64) -> io::Result<()> {
    let disk = rustix::fs::fstatvfs(file)?;
    let (all, free) =
        (disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize));
    if has_room(all, free, more) { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
}

/// The BLAKE3 of a file, and its length.
pub fn sum(path: &Path) -> io::Result<(String, u64)> {
    let mut hasher = blake3::Hasher::new();
    let length = hash_into(&mut File::open(path)?, &mut hasher)?;
    Ok((hex(&hasher), length))
}

fn hash_into(file: &mut File, hasher: &mut blake3::Hasher) -> io::Result<u64> {
    let (mut buffer, mut length) = (vec![0; CHUNK], 0);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(length),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                length += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn hex(hasher: &blake3::Hasher) -> String {
    data_encoding::HEXLOWER.encode(hasher.finalize().as_bytes())
}

impl Blobs {
    /// In this folder, of `most` bytes together. Where it is `durable`, what is acknowledged is on disk.
    pub fn new(dir: PathBuf, most: u64, durable: bool) -> Self {
        let (turns, moments) = (Mutex::default(), Mutex::default());
        let checked = Mutex::default();
        Self { shared: Arc::new(Shared { dir, most, durable, turns, moments, checked }) }
    }

    /// Bytes that all may have together.
    pub fn most(&self) -> u64 {
        self.shared.most
    }

    fn path(&self, hash: &str) -> PathBuf {
        self.shared.dir.join(hash)
    }

    /// What has come of a content. Each sender has a part of their own: whoever knows no more than the hash goes on
    /// with nobody's, and learns from none what there is.
    fn part(&self, hash: &str, by: Option<&str>) -> PathBuf {
        self.shared.dir.join(part(hash, by))
    }

    /// Who has shown to have a content, a line each.
    fn owners(&self, hash: &str) -> PathBuf {
        self.shared.dir.join(format!("{hash}.by"))
    }

    /// Whether somebody has sent a content. Blocks.
    pub fn was_sent_by(&self, hash: &str, who: &str) -> bool {
        let owners = Some(self.owners(hash)).filter(|_| is_blob(hash));
        let read = owners.and_then(|path| std::fs::read_to_string(path).ok());
        read.is_some_and(|owners| owners.lines().any(|line| line == who))
    }

    /// Notes that somebody has sent a content; `who` is one line. In the content's moment. Blocks.
    fn sent_by(&self, hash: &str, who: &str) -> Result<(), CallError> {
        let writing = |e: io::Error| wrong("noting who sent a content", &e);
        if !is_blob(hash) || self.was_sent_by(hash, who) {
            return Ok(());
        }
        let path = self.owners(hash);
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let owners: Vec<_> = before.lines().rev().take(OWNERS - 1).collect();
        let lines: Vec<_> =
            owners.iter().rev().chain([&who]).map(|one| format!("{one}\n")).collect();
        let all = lines.concat();
        let new = self.shared.dir.join(format!("{hash}.by.new"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new).map_err(writing)?;
        file.write_all(all.as_bytes()).map_err(writing)?;
        std::fs::rename(new, path).map_err(writing)
    }

    /// The file of a content that is here as a whole. Blocks: it may have to be read.
    pub fn whole(&self, hash: &str) -> Option<PathBuf> {
        let path = Some(self.path(hash)).filter(|path| is_blob(hash) && path.is_file())?;
        if !self.is_checked(hash) {
            let moment = self.moment(hash);
            let _moment = lock(&moment);
            // Whoever had the moment before may have looked, or put it there anew.
            if !self.is_checked(hash) {
                if sum(&path).ok()?.0 != hash {
                    let path = path.display();
                    tracing::error!("{path} is not what its name says, and is taken away");
                    std::fs::remove_file(self.path(hash)).ok();
                    return None;
                }
                self.check(hash);
            }
        }
        // Used now: what nobody uses is taken away.
        if let Ok(file) = File::open(&path) {
            let now = Duration::from_millis(crate::clock::now_ms());
            file.set_modified(SystemTime::UNIX_EPOCH + now).ok();
        }
        Some(path)
    }

    fn is_checked(&self, hash: &str) -> bool {
        lock(&self.shared.checked).contains(hash)
    }

    fn check(&self, hash: &str) {
        let mut checked = lock(&self.shared.checked);
        if checked.len() > 4096 {
            checked.clear();
        }
        checked.insert(hash.to_owned());
    }

    /// How much of a content is here. Blocks.
    pub fn have(&self, hash: &str) -> Stored {
        if let Some(meta) = self.whole(hash).and_then(|path| path.metadata().ok()) {
            return Stored { have: meta.len(), whole: true };
        }
        let have = self.part(hash, None).metadata().map_or(0, |meta| meta.len());
        Stored { have, whole: false }
    }

    /// All of them, those used last first. Blocks.
    pub fn list(&self) -> Vec<Blob> {
        self.found().into_iter().map(|(blob, _)| blob).collect()
    }

    /// The same, each with its file.
    fn found(&self) -> Vec<(Blob, PathBuf)> {
        let entries =
            std::fs::read_dir(&self.shared.dir).into_iter().flatten().map_while(Result::ok);
        let mut found: Vec<(Blob, PathBuf)> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let part = name.strip_suffix(".part");
                let hash = part.map_or(&*name, |part| part.split('.').next().unwrap_or(part));
                let meta = entry.metadata().ok().filter(|_| is_blob(hash))?;
                let whole = hash.len() == name.len();
                // Of a part, what is set aside for it counts too.
                let taken = if whole { 0 } else { meta.blocks().saturating_mul(512) };
                let used = meta.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
                let blob = Blob {
                    hash: hash.to_owned(),
                    size: meta.len().max(taken),
                    used_ms: u64::try_from(used.as_millis()).unwrap_or(u64::MAX),
                    whole,
                };
                Some((blob, entry.path()))
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| b.used_ms.cmp(&a.used_ms).then_with(|| a.hash.cmp(&b.hash)));
        found
    }

    /// Takes a content away; false when there was none. Who reads it goes on to its end. Blocks.
    pub fn remove(&self, hash: &str) -> bool {
        if !is_blob(hash) {
            return false;
        }
        let parts = self.found().into_iter().filter(|(blob, _)| blob.hash == hash && !blob.whole);
        let mut files: Vec<_> = parts.map(|(_, path)| path).collect();
        files.push(self.path(hash));
        let moment = self.moment(hash);
        let _moment = lock(&moment);
        let gone = files.into_iter().filter(|path| std::fs::remove_file(path).is_ok()).count();
        std::fs::remove_file(self.owners(hash)).ok();
        lock(&self.shared.checked).remove(hash);
        gone > 0
    }

    /// Takes away what nobody has used for so long, parts much sooner, and the oldest of the whole ones until there
    /// is room for one of `room` bytes. What is `held` stays. Blocks.
    pub fn sweep(&self, unused: Duration, room: u64, held: impl Fn(&str) -> bool) {
        let now_ms = crate::clock::now_ms();
        let all = self.found();
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (unused_ms, part_ms) = (millis(unused), millis(unused.min(PART)));
        let whole = all.iter().filter(|(blob, _)| blob.whole);
        let mut used: u64 = whole.map(|(blob, _)| blob.size).sum();
        for (blob, path) in all.iter().rev() {
            let limit = if blob.whole { unused_ms } else { part_ms };
            let old = now_ms.saturating_sub(blob.used_ms) > limit;
            let full = blob.whole && used.saturating_add(room) > self.shared.most;
            if !(old || full) || held(&blob.hash) {
                continue;
            }
            if blob.whole && !self.is_coming(&blob.hash) {
                self.remove(&blob.hash);
                used = used.saturating_sub(blob.size);
            } else if !blob.whole && !self.goes_on(path) {
                std::fs::remove_file(path).ok();
            }
        }
    }

    /// Makes room for a part of `size` bytes among the others: the oldest with which nobody goes on now give way.
    fn part_room(&self, own: &Path, size: u64) -> Result<(), CallError> {
        let mut parts = self.found();
        parts.retain(|(blob, path)| !blob.whole && path != own);
        let mut used: u64 = parts.iter().map(|(blob, _)| blob.size).sum();
        for (part, path) in parts.iter().rev() {
            if used.saturating_add(size) <= self.shared.most {
                break;
            }
            if !self.goes_on(path) {
                std::fs::remove_file(path).ok();
                used = used.saturating_sub(part.size);
            }
        }
        if used.saturating_add(size) > self.shared.most {
            return Err(CallError::new(
                ErrorKind::Busy,
                format!(
                    "contents of {} MiB are on their way already, and all may have {} MiB; try again later",
                    used >> 20,
                    self.shared.most >> 20
                ),
            ));
        }
        Ok(())
    }

    /// Whether a content may come at all: what is held by runs stays, and has its place in the whole.
    fn may_come(&self, size: u64, held: impl Fn(&str) -> bool) -> Result<(), CallError> {
        let all = self.list();
        let held = all.iter().filter(|blob| blob.whole && held(&blob.hash));
        let held: u64 = held.map(|blob| blob.size).sum();
        if held.saturating_add(size) > self.shared.most {
            return Err(CallError::new(
                ErrorKind::Busy,
                format!(
                    "it has {} MiB; of the {} MiB that all contents may have, {} are in use",
                    size >> 20,
                    self.shared.most >> 20,
                    held >> 20
                ),
            ));
        }
        Ok(())
    }

    /// Where there is too much, whoever has sent more than half of what there may be loses their own oldest first.
    fn share(&self, sender: &str, held: impl Fn(&str) -> bool) {
        let mut all = self.list();
        all.retain(|blob| blob.whole);
        let mut used: u64 = all.iter().map(|blob| blob.size).sum();
        if used <= self.shared.most {
            return;
        }
        all.retain(|blob| self.was_sent_by(&blob.hash, sender));
        let mut own: u64 = all.iter().map(|blob| blob.size).sum();
        for blob in all.iter().rev() {
            if used <= self.shared.most || own <= self.shared.most / 2 {
                break;
            }
            if !held(&blob.hash) && !self.is_coming(&blob.hash) {
                self.remove(&blob.hash);
                (used, own) = (used.saturating_sub(blob.size), own.saturating_sub(blob.size));
            }
        }
    }

    /// Whether somebody goes on with a part.
    fn goes_on(&self, part: &Path) -> bool {
        let turns = lock(&self.shared.turns);
        let turn = part.file_name().and_then(|name| turns.get(name.to_str()?));
        turn.is_some_and(|turn| Arc::strong_count(turn) > 1)
    }

    /// Whether anybody sends a content.
    fn is_coming(&self, hash: &str) -> bool {
        let turns = lock(&self.shared.turns);
        turns.iter().any(|(part, turn)| part.starts_with(hash) && Arc::strong_count(turn) > 1)
    }

    fn turn(&self, hash: &str, by: Option<&str>) -> Arc<tokio::sync::Mutex<()>> {
        named(&self.shared.turns, &part(hash, by))
    }

    fn moment(&self, hash: &str) -> Arc<Mutex<()>> {
        named(&self.shared.moments, hash)
    }
}

fn joined<T>(ended: Result<Result<T, CallError>, tokio::task::JoinError>) -> Result<T, CallError> {
    ended.unwrap_or_else(|e| Err(CallError::failed(format!("a fault of this program: {e}"))))
}

#[cfg(test)]
mod tests {
    use super::receive::{ALL, Arriving, LEAST, STALL, patience};
    use super::*;

    fn blobs(most: u64) -> (tempfile::TempDir, Blobs) {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path().join("blobs"), most, true);
        (dir, blobs)
    }

    fn name_of(content: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(blake3::hash(content).as_bytes())
    }

    fn put(blobs: &Blobs, content: &[u8]) -> String {
        let hash = name_of(content);
        let arriving = Arriving::open(blobs, &hash, content.len() as u64, None).unwrap();
        arriving.write(content).unwrap().finish(None).unwrap();
        hash
    }

    #[test]
    fn a_content_is_there_when_it_is_whole_and_goes_on_from_a_part() {
        let (_dir, blobs) = blobs(1 << 20);
        let hash = name_of(b"one two");
        let arriving = Arriving::open(&blobs, &hash, 7, None).unwrap();
        drop(arriving.write(b"one").unwrap());
        assert_eq!(blobs.have(&hash), Stored { have: 3, whole: false });
        let arriving = Arriving::open(&blobs, &hash, 7, None).unwrap();
        assert_eq!(arriving.have, 3);
        arriving.write(b" two").unwrap().finish(None).unwrap();
        assert_eq!(blobs.have(&hash), Stored { have: 7, whole: true });
        assert!(blobs.remove(&hash) && !blobs.remove(&hash));
        assert_eq!(blobs.have(&hash), Stored::default());
    }

    #[test]
    fn what_one_has_begun_to_send_nobody_else_goes_on_with() {
        let (_dir, blobs) = blobs(1 << 20);
        let hash = name_of(b"one two");
        let begin = |by| blobs.begin(&hash, 7, true, Some(by), |_| false).unwrap().unwrap();
        drop(begin("ann").write(b"one").unwrap());
        let other = begin("bob");
        assert_eq!(other.have, 0, "who knows the hash alone has sent nothing of it");
        drop(other);
        let own = begin("ann");
        assert_eq!(own.have, 3);
        blobs.end(own.write(b" two").unwrap(), Some("ann"), |_| false).unwrap();
        assert!(blobs.was_sent_by(&hash, "ann") && !blobs.was_sent_by(&hash, "bob"));
        assert!(blobs.remove(&hash));
        assert!(blobs.list().is_empty(), "parts of others go too");
    }

    #[tokio::test]
    async fn who_sends_slowly_holds_up_nobody_else_who_has_the_same() {
        let (_dir, blobs) = blobs(1 << 20);
        let hash = name_of(b"content");
        let slow = blobs.turn(&hash, Some("eve"));
        let _slow = slow.lock().await;
        let begin = |by| blobs.begin(&hash, 7, true, Some(by), |_| false).unwrap().unwrap();
        let eves = begin("eve").write(b"con").unwrap();
        let keeping = blobs.keep(b"content".to_vec());
        tokio::time::timeout(Duration::from_secs(20), keeping).await.unwrap().unwrap();
        let bobs = blobs.turn(&hash, Some("bob"));
        let _turn = bobs.try_lock().unwrap();
        blobs.end(begin("bob").write(b"content").unwrap(), Some("bob"), |_| false).unwrap();
        assert!(blobs.was_sent_by(&hash, "bob") && !blobs.was_sent_by(&hash, "eve"));
        // What comes stays while it comes, as do the parts with which others go on.
        assert!(blobs.is_coming(&hash) && blobs.goes_on(&eves.path));
        blobs.sweep(Duration::ZERO, 1 << 30, |_| false);
        assert!(blobs.have(&hash).whole);
        blobs.end(eves.write(b"tent").unwrap(), Some("eve"), |_| false).unwrap();
        assert!(blobs.was_sent_by(&hash, "bob") && blobs.was_sent_by(&hash, "eve"));
    }

    #[test]
    fn who_sends_a_byte_now_and_then_is_not_waited_for_for_ever() {
        assert_eq!(patience(Duration::ZERO, 0), STALL);
        assert_eq!(patience(ALL.saturating_sub(STALL), 30), STALL);
        assert_eq!(patience(ALL.saturating_sub(STALL / 2), 30), STALL / 2);
        assert_eq!(patience(ALL, 30), Duration::ZERO);
        // Who sends a lot has as long as that takes on a slow line.
        assert_eq!(patience(ALL + ALL, (ALL.as_secs() + 600) * LEAST), STALL);
    }

    #[test]
    fn another_content_than_the_named_one_is_refused_and_leaves_nothing() {
        let (_dir, blobs) = blobs(1 << 20);
        let hash = name_of(b"right");
        let arriving = Arriving::open(&blobs, &hash, 5, None).unwrap();
        let refused = arriving.write(b"wrong").unwrap().finish(None).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Conflict);
        assert!(blobs.list().is_empty());
    }

    #[test]
    fn a_content_that_was_damaged_on_disk_is_not_used() {
        let (dir, blobs) = blobs(1 << 20);
        let hash = put(&blobs, b"content");
        std::fs::write(blobs.whole(&hash).unwrap(), b"c0ntent").unwrap();
        let again = Blobs::new(dir.path().join("blobs"), 1 << 20, true);
        assert_eq!(again.whole(&hash), None);
        assert!(again.list().is_empty());
    }

    #[test]
    fn the_oldest_make_room_and_what_is_held_stays() {
        let (_dir, blobs) = blobs(100);
        let hashes: Vec<_> = (0..4u8).map(|n| put(&blobs, &[n; 30])).collect();
        for (n, hash) in hashes.iter().enumerate() {
            let file = File::open(blobs.path(hash)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1000 + n as u64))
                .unwrap();
        }
        blobs.sweep(Duration::MAX, 30, |hash| hash == hashes[0]);
        let left: Vec<_> = blobs.list().into_iter().map(|blob| blob.hash).collect();
        assert_eq!(left, [hashes[3].clone(), hashes[0].clone()]);
        blobs.sweep(Duration::from_mins(1), 0, |_| false);
        assert!(blobs.list().is_empty());
    }

    #[test]
    fn an_upload_of_which_nothing_comes_takes_no_room_and_nothing_away() {
        let (_dir, blobs) = blobs(1 << 20);
        let there = put(&blobs, &vec![1; 900 << 10]);
        let coming = vec![2; 1 << 20];
        let hash = name_of(&coming);
        let arriving =
            blobs.begin(&hash, coming.len() as u64, false, None, |_| false).unwrap().unwrap();
        let of = |whole: bool| -> Vec<u64> {
            blobs.list().into_iter().filter(|b| b.whole == whole).map(|b| b.size).collect()
        };
        assert_eq!((of(true), of(false)), (vec![900 << 10], vec![0]));
        // The old one gives way when the new one is whole, and not before.
        let arriving = arriving.write(&coming[..coming.len() - 1]).unwrap();
        assert!(blobs.have(&there).whole);
        let arriving = arriving.write(&coming[coming.len() - 1..]).unwrap();
        blobs.end(arriving, None, |_| false).unwrap();
        assert!(!blobs.have(&there).whole && blobs.have(&hash).whole);
    }

    #[test]
    fn what_runs_hold_is_room_that_nobody_else_gets() {
        let (_dir, blobs) = blobs(1 << 20);
        put(&blobs, &vec![1; 900 << 10]);
        let refused = blobs.begin(&name_of(b"x"), 200 << 10, false, None, |_| true).err().unwrap();
        assert_eq!(refused.kind, ErrorKind::Busy);
    }

    #[test]
    fn parts_have_their_bound_together_and_are_gone_soon() {
        let (_dir, blobs) = blobs(1 << 20);
        let content = |n: u8| vec![n; 700 << 10];
        let (one, other) = (name_of(&content(1)), name_of(&content(2)));
        let arrives =
            |hash: &str| blobs.begin(hash, 700 << 10, false, None, |_| false).unwrap().unwrap();
        let turn = blobs.turn(&one, None);
        let first = arrives(&one).write(&content(1)[..600 << 10]).unwrap();
        // What is on its way counts with what is set aside for it.
        let refused = arrives(&other).write(&content(2)[..600 << 10]).err().unwrap();
        assert_eq!(refused.kind, ErrorKind::Busy);
        drop((first, turn));
        // Now nobody goes on with it: it gives way.
        drop(arrives(&other).write(&content(2)[..600 << 10]).unwrap());
        let left = || blobs.list().into_iter().map(|blob| blob.hash).collect::<Vec<_>>();
        assert_eq!(left(), std::slice::from_ref(&other));
        let file = File::open(blobs.part(&other, None)).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(crate::clock::now_ms());
        file.set_modified(now - 2 * PART).unwrap();
        blobs.sweep(Duration::from_hours(24), 0, |_| false);
        assert_eq!(left(), Vec::<String>::new());
    }

    #[test]
    fn who_has_not_sent_a_content_sends_it_again_and_it_stays_meanwhile() {
        let (_dir, blobs) = blobs(1 << 20);
        let hash = put(&blobs, b"content");
        blobs.sent_by(&hash, "ann").unwrap();
        assert!(blobs.was_sent_by(&hash, "ann") && !blobs.was_sent_by(&hash, "bob"));
        assert!(blobs.begin(&hash, 7, false, None, |_| false).unwrap().is_none());
        let arriving = blobs.begin(&hash, 7, true, None, |_| false).unwrap().unwrap();
        assert_eq!((arriving.have, blobs.have(&hash).whole), (0, true));
        // Of one that was given up, only the part goes.
        drop(arriving.write(b"con").unwrap());
        let file = File::open(blobs.part(&hash, None)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        blobs.sweep(Duration::from_hours(24), 0, |_| false);
        assert!(!blobs.part(&hash, None).exists() && blobs.have(&hash).whole);
        let arriving = blobs.begin(&hash, 7, true, None, |_| false).unwrap().unwrap();
        // Bytes that are others make nobody its sender.
        let wrong = arriving.write(b"c0ntent").unwrap();
        assert!(blobs.end(wrong, Some("bob"), |_| false).is_err());
        assert!(blobs.have(&hash).whole && !blobs.was_sent_by(&hash, "bob"));
        let arriving = blobs.begin(&hash, 7, true, None, |_| false).unwrap().unwrap();
        blobs.end(arriving.write(b"content").unwrap(), Some("bob"), |_| false).unwrap();
        assert!(blobs.was_sent_by(&hash, "ann") && blobs.was_sent_by(&hash, "bob"));
        for n in 0..OWNERS {
            blobs.sent_by(&hash, &format!("{n}")).unwrap();
        }
        assert!(!blobs.was_sent_by(&hash, "bob") && blobs.was_sent_by(&hash, "0"));
        assert!(blobs.remove(&hash) && !blobs.was_sent_by(&hash, "0"));
    }

    #[test]
    fn who_fills_more_than_half_displaces_their_own_first() {
        let (_dir, blobs) = blobs(100);
        let set = |hash: &str, second: u64| {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            File::open(blobs.path(hash)).unwrap().set_modified(at).unwrap();
        };
        let sends = |n: u8, sender: &str, second: u64| {
            let (content, hash) = ([n; 30], name_of(&[n; 30]));
            let arriving = blobs.begin(&hash, 30, true, None, |_| false).unwrap().unwrap();
            blobs.end(arriving.write(&content).unwrap(), Some(sender), |_| false).unwrap();
            set(&hash, second);
            hash
        };
        let anns = sends(1, "ann", 1000);
        let bobs = [2, 3, 4, 5].map(|n| sends(n, "bob", 1000 + u64::from(n)));
        let there: Vec<_> =
            [&anns].into_iter().chain(&bobs).map(|h| blobs.path(h).exists()).collect();
        assert_eq!(there, [true, false, false, true, true]);
    }

    #[test]
    fn a_disk_is_never_filled() {
        const GIB: u64 = 1 << 30;
        assert!(has_room(100 * GIB, 2 * GIB, GIB));
        assert!(!has_room(100 * GIB, GIB, GIB - FREE + 1));
        assert!(has_room(GIB, GIB / 20, GIB / 40), "a small one keeps less");
        assert!(!has_room(GIB, GIB / 20, GIB));
    }
}
