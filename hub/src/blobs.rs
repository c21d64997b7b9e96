//! Contents of files that orders put on hosts: each is sent to the hub once, and from here to every host that does
//! not have it. `services/blobs` takes them in; runs have them delivered before an order goes out.
//!
//! They are files beside the store, named by their hash, and no part of backups: who sent one has it.

use crate::config;
use crate::server::Hub;
use crate::who::Who;
use cmdr_link::blobs::{Blobs as Folder, send};
use cmdr_link::{Client, Link};
use cmdr_protocol::blobs::{Have, List, Put};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::runs::Push;
use cmdr_protocol::{Call as _, CallError, ErrorKind, HostId, methods};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// Hosts that are sent something at once.
const AT_ONCE: usize = 32;
/// Deliveries to one host at once.
const TO_ONE: usize = 2;
/// A delivery gives its place among those at once to others after so long, and goes on without: a slow host holds up
/// nobody.
const PLACE: Duration = Duration::from_mins(1);
/// A host that takes nothing for so long is given up.
const STALL: Duration = Duration::from_mins(5);
/// How long a host may look for what it has: it may have to read all of it.
const LOOK: Duration = Duration::from_mins(5);
/// What was needed within so long is kept: a delivery that broke off is tried again.
const RECENT: Duration = Duration::from_mins(10);
/// So many of these are known.
const RECENTLY: usize = 10_000;
/// Contents that one operator sends to the hub at once.
const COMING: usize = 8;

/// The contents of this hub. Clones are the same.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: Folder,
    unused: Duration,
    sending: Arc<Semaphore>,
    /// How many deliveries of each are under way.
    held: Arc<Mutex<HashMap<String, usize>>>,
    /// The places of each host to which something is sent.
    hosts: Arc<Mutex<HashMap<HostId, Arc<Semaphore>>>>,
    /// How many contents each operator sends now, and of how many bytes.
    coming: Arc<Mutex<HashMap<String, (usize, u64)>>>,
    /// Contents that were needed a moment ago: a host may ask for one again.
    recent: Arc<Mutex<HashMap<String, Instant>>>,
}

/// A content that an operator sends; counted until this is dropped.
#[derive(Debug)]
pub struct Coming {
    blobs: Blobs,
    operator: String,
    size: u64,
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut coming = lock(&self.blobs.coming);
        if let Some((count, bytes)) = coming.get_mut(&self.operator) {
            *count -= 1;
            *bytes = bytes.saturating_sub(self.size);
            if *count == 0 {
                coming.remove(&self.operator);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How it is noted that an operator has sent a content.
pub fn sender(operator: &str, since_ms: u64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&since_ms.to_be_bytes()).update(operator.as_bytes());
    hasher.finalize().to_hex()[..32].to_owned()
}

/// What a delivery came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Bytes of the content.
    pub size: u64,
    /// Bytes that had to be sent.
    pub sent: u64,
}

/// The folder beside that of the audit log.
pub fn folder(audit: &Path) -> PathBuf {
    audit.with_file_name("blobs")
}

/// A content that is not taken away while this lives.
#[derive(Debug)]
struct Hold<'a> {
    blobs: &'a Blobs,
    hash: &'a str,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut held = self.blobs.held();
        if let Some(count) = held.get_mut(self.hash) {
            *count -= 1;
            if *count == 0 {
                held.remove(self.hash);
            }
        }
    }
}

impl Blobs {
    /// In this folder.
    pub fn new(folder: PathBuf, config: &config::Blobs) -> Self {
        let most = config.keep_gb.get().saturating_mul(1 << 30);
        Self {
            folder: Folder::new(folder, most, true),
            unused: Duration::from_hours(u64::from(config.unused_h.get())),
            sending: Arc::new(Semaphore::new(AT_ONCE)),
            held: Arc::default(),
            hosts: Arc::default(),
            coming: Arc::default(),
            recent: Arc::default(),
        }
    }

    /// Counts a content that an operator begins to send: one sends only a few at once, and more than one only while
    /// all of them take no more than half of the room.
    pub fn coming(&self, operator: &str, size: u64) -> Result<Coming, CallError> {
        let mut coming = lock(&self.coming);
        let (count, bytes) = coming.get(operator).copied().unwrap_or_default();
        let all = bytes.saturating_add(size);
        if count >= COMING || count > 0 && all > self.folder.most() / 2 {
            return Err(CallError::new(
                ErrorKind::Busy,
                format!(
                    "{operator} sends {count} contents of {} MiB already; try again when they are here",
                    bytes >> 20
                ),
            ));
        }
        coming.insert(operator.to_owned(), (count + 1, all));
        Ok(Coming { blobs: self.clone(), operator: operator.to_owned(), size })
    }

    /// The places of a host.
    fn places(&self, host: HostId) -> Arc<Semaphore> {
        let mut hosts = lock(&self.hosts);
        // Those of which nobody has or wants one.
        hosts.retain(|_, places| Arc::strong_count(places) > 1);
        hosts.entry(host).or_insert_with(|| Arc::new(Semaphore::new(TO_ONE))).clone()
    }

    /// The files themselves.
    pub const fn files(&self) -> &Folder {
        &self.folder
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        lock(&self.held)
    }

    /// Whether a delivery needs it right now, or did a moment ago.
    pub fn is_held(&self, hash: &str) -> bool {
        self.held().contains_key(hash)
            || lock(&self.recent).get(hash).is_some_and(|at| at.elapsed() < RECENT)
    }

    /// Keeps a content that is at hand, for a host to which it is sent now.
    pub async fn keep(&self, content: Vec<u8>) -> Result<String, CallError> {
        let hash = blake3::hash(&content).to_hex().to_string();
        // Before it is there: it may be taken away as soon as it is.
        self.is_used(&hash);
        self.folder.keep(content).await
    }

    fn is_used(&self, hash: &str) {
        let mut recent = lock(&self.recent);
        if recent.len() >= RECENTLY {
            recent.retain(|_, at| at.elapsed() < RECENT);
        }
        if recent.len() < RECENTLY {
            recent.insert(hash.to_owned(), Instant::now());
        }
    }

    /// Refuses somebody who wants a content put on hosts of which they know no more than its hash: they have not sent
    /// it, and may not list what others have.
    pub async fn may_use(&self, hub: &Hub, who: &Who, hash: &str) -> Result<(), CallError> {
        let lists = methods::index(List::METHOD)
            .is_some_and(|index| hub.decide(who, index, Some(""), None).is_ok());
        if lists {
            return Ok(());
        }
        let (files, name) = (self.folder.clone(), hash.to_owned());
        let sender = sender(&who.operator, who.since_ms);
        let sent = tokio::task::spawn_blocking(move || files.was_sent_by(&name, &sender)).await;
        if sent.map_err(|e| CallError::failed(format!("a fault of the hub: {e}")))? {
            return Ok(());
        }
        Err(CallError::denied(
            "the content of the file was not sent to the hub by you, or is not there any more: send it first (cmdr push does), and begin the run then",
        ))
    }

    fn hold<'a>(&'a self, hash: &'a str) -> Hold<'a> {
        *self.held().entry(hash.to_owned()).or_default() += 1;
        Hold { blobs: self, hash }
    }

    /// Takes away what nobody has used for its time; `needed` says what runs wait for.
    pub async fn retain(&self, needed: impl Fn(&str) -> bool + Send + 'static) {
        let blobs = self.clone();
        let sweep = move || {
            blobs.folder.sweep(blobs.unused, 0, |hash| blobs.is_held(hash) || needed(hash));
        };
        if let Err(e) = tokio::task::spawn_blocking(sweep).await {
            tracing::error!("removing unused contents of files: {e}");
        }
    }

    /// The file of a content and its size; an error that says what to do when it is not here.
    pub async fn open(&self, hash: &str) -> Result<(File, u64), CallError> {
        let (blobs, name) = (self.clone(), hash.to_owned());
        let opening = tokio::task::spawn_blocking(move || {
            let file = File::open(blobs.folder.whole(&name)?).ok()?;
            let size = file.metadata().ok()?.len();
            Some((file, size))
        });
        let opened =
            opening.await.map_err(|e| CallError::failed(format!("a fault of the hub: {e}")))?;
        opened.ok_or_else(|| {
            CallError::new(
                ErrorKind::Conflict,
                "the hub does not have the content of the file (any more): send it again, and begin a new run",
            )
        })
    }

    /// Has a file on a host before the order that puts it in its place: only what is missing there is sent.
    pub async fn deliver(
        &self,
        link: &Link,
        host: HostId,
        push: &Push,
    ) -> Result<Delivered, CallError> {
        let _hold = self.hold(&push.file);
        self.is_used(&push.file);
        let (file, size) = self.open(&push.file).await?;
        let client = Client::new(link.clone());
        let path = FilePath::parse(&push.path).ok();
        let have = Have { hash: push.file.clone(), size, path };
        if client.call(Some(host), &have, LOOK).await?.whole {
            return Ok(Delivered { size, sent: 0 });
        }
        // Semaphores that are never closed.
        let places = self.places(host);
        let _place = places.acquire().await;
        let turn = self.sending.acquire().await;
        let put = Put { hash: push.file.clone(), size };
        let moved = Notify::new();
        let tell = |_| moved.notify_one();
        let sending = send(&client, Some(host), &put, (file, size), &tell);
        let sent = attended(sending, turn, &moved).await?;
        Ok(Delivered { size, sent })
    }
}

/// Waits for a delivery: it keeps its turn for a while, and goes on while something moves.
async fn attended<T>(
    sending: impl Future<Output = Result<T, CallError>>,
    turn: impl Sized,
    moved: &Notify,
) -> Result<T, CallError> {
    let mut sending = std::pin::pin!(sending);
    let (mut turn, until) = (Some(turn), Instant::now() + PLACE);
    let mut stalls = Instant::now() + STALL;
    loop {
        tokio::select! {
            done = &mut sending => return done,
            () = moved.notified() => stalls = Instant::now() + STALL,
            () = tokio::time::sleep_until(until), if turn.is_some() => drop(turn.take()),
            () = tokio::time::sleep_until(stalls) => {
                return Err(CallError::new(
                    ErrorKind::TimedOut,
                    format!("the host took nothing of a content for {} s", STALL.as_secs()),
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    fn blobs() -> (tempfile::TempDir, Blobs) {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::new(dir.path().join("blobs"), &config::Blobs::default());
        (dir, blobs)
    }

    #[test]
    fn an_operator_sends_a_few_contents_at_once_and_others_go_on() {
        let (_dir, blobs) = blobs();
        let most = blobs.folder.most();
        let some: Vec<_> = (0..COMING).map(|_| blobs.coming("ann", 1).unwrap()).collect();
        assert_eq!(blobs.coming("ann", 1).unwrap_err().kind, ErrorKind::Busy);
        assert!(blobs.coming("bob", most).is_ok(), "one alone may be as large as it likes");
        drop(some);
        let _large = blobs.coming("ann", most / 2).unwrap();
        assert_eq!(blobs.coming("ann", 1).unwrap_err().kind, ErrorKind::Busy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_takes_nothing_gives_up_its_place_and_then_its_content() {
        let places = Semaphore::new(1);
        let moved = Notify::new();
        let (turn, began) = (places.acquire().await.unwrap(), Instant::now());
        let never = pending::<Result<(), CallError>>();
        let mut attending = std::pin::pin!(attended(never, turn, &moved));
        tokio::select! {
            _ = &mut attending => panic!("it ended before others got its place"),
            _ = places.acquire() => {}
        }
        assert_eq!(began.elapsed().as_secs(), PLACE.as_secs());
        assert_eq!(attending.await.unwrap_err().kind, ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), STALL.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn the_content_of_a_step_stays_for_its_tries() {
        let (_dir, blobs) = blobs();
        let hash = blobs.keep(b"listen 80;".to_vec()).await.unwrap();
        assert!(blobs.is_held(&hash));
        tokio::time::advance(RECENT).await;
        assert!(!blobs.is_held(&hash));
    }

    #[tokio::test]
    async fn one_host_has_a_few_places_and_those_of_others_are_their_own() {
        let (_dir, blobs) = blobs();
        let (one, other) = (HostId([1; 16]), HostId([2; 16]));
        let places = blobs.places(one);
        let _taken = places.try_acquire_many(TO_ONE as u32).unwrap();
        assert!(blobs.places(one).try_acquire().is_err());
        assert!(blobs.places(other).try_acquire().is_ok());
    }
}
