//! The forwards that this host keeps: it listens for them, with the hub or without, and counts what comes of them. The hub gives
//! the whole set; what is not in it is over. The set is on disk, so that it is there again before the hub is.
//!
//! What another host connects is carried here (`way`); what this host connects for itself by its data plane (`plane`).

use super::plane::{self, Plane};
use super::{over_ssh, way};
use crate::Agent;
use cmdr_link::service::{Asked, Feeding};
use cmdr_link::{clock, files, tunnel};
use cmdr_protocol::CallError;
use cmdr_protocol::forwards::kept::{Accept, Given, Hold, Knock, MAX_ON_HOST, Stand, Told, Word};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{interval, sleep, timeout};

/// A port that is taken is tried again so often.
const AGAIN: Duration = Duration::from_secs(2);
/// After a fault the socket is asked again so much later.
const FAULT: Duration = Duration::from_millis(100);
/// A connection waits so long for a hub that is away, and then for the far end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is told how forwards stand, when they stand otherwise.
const TELLING: Duration = Duration::from_secs(1);
/// Connections that wait to be told to the hub.
const KNOCKS: usize = 256;
/// The largest file of forwards.
const LARGEST: u64 = 1 << 20;

/// What is counted of a forward, and what ends its connections.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) given: Mutex<Given>,
    open: AtomicU32,
    total: AtomicU64,
    direct: AtomicU64,
    failed: AtomicU64,
    pub(super) carried: tunnel::Counted,
    said: Mutex<Said>,
    cut: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Said {
    listening: String,
    problem: String,
    last_error: String,
    last_error_ms: u64,
    is_direct: bool,
    not_direct: String,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counts {
    fn new(given: Given) -> Self {
        Self {
            given: Mutex::new(given),
            open: AtomicU32::new(0),
            total: AtomicU64::new(0),
            direct: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            carried: tunnel::Counted::default(),
            said: Mutex::default(),
            cut: watch::Sender::new(0),
        }
    }

    /// A connection that came to nothing, or broke.
    pub(super) fn failed(&self, why: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut said = lock(&self.said);
        why.clone_into(&mut said.last_error);
        said.last_error_ms = clock::now_ms();
    }

    /// A connection went to the other host directly, or by the hub and why.
    pub(super) fn went(&self, directly: Result<(), String>) {
        let mut said = lock(&self.said);
        said.is_direct = directly.is_ok();
        self.direct.fetch_add(u64::from(said.is_direct), Ordering::Relaxed);
        said.not_direct = directly.err().unwrap_or_default();
    }

    pub(super) fn listens(&self, listening: String, problem: String) {
        let mut said = lock(&self.said);
        (said.listening, said.problem) = (listening, problem);
    }

    fn stand(&self) -> Stand {
        let (given, said) = (lock(&self.given), lock(&self.said));
        let (sent, received) = self.carried.get();
        Stand {
            name: given.name.clone(),
            revision: given.revision,
            listening: said.listening.clone(),
            problem: said.problem.clone(),
            open: self.open.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            sent,
            received,
            last_error: said.last_error.clone(),
            last_error_ms: said.last_error_ms,
            direct: self.direct.load(Ordering::Relaxed),
            is_direct: said.is_direct,
            not_direct: said.not_direct.clone(),
        }
    }

    /// Comes when connections that are there now are to end.
    pub(super) async fn is_cut(&self) {
        let mut cut = self.cut.subscribe();
        cut.mark_unchanged();
        if cut.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A connection, from when it is accepted to its end.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) tcp: TcpStream,
    pub(super) seat: Seat,
}

/// Counts a connection while it is there.
#[derive(Debug)]
pub(super) struct Seat(pub(super) Arc<Counts>);

impl Seat {
    /// Counts a connection that has come; none when as many are there as may be.
    pub(super) fn take(counts: &Arc<Counts>, most: usize) -> Option<Self> {
        counts.total.fetch_add(1, Ordering::Relaxed);
        counts.open.fetch_add(1, Ordering::Relaxed);
        let seat = Self(counts.clone());
        if counts.open.load(Ordering::Relaxed) as usize > most {
            counts.failed("as many connections are open as may be (max under [forwards])");
            return None;
        }
        Some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Running {
    counts: Arc<Counts>,
    /// Listens, unless it is stopped.
    listener: Option<AbortHandle>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    running: BTreeMap<String, Running>,
    waiting: HashMap<u64, Guest>,
    next: u64,
}

/// A forward as it is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    given: Given,
    /// What was found for its names last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    found: Vec<SocketAddr>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Held {
    file: PathBuf,
    plane: Plane,
    inner: Mutex<Inner>,
    /// Takes what is to be told to the hub, while it is there.
    hub: watch::Sender<Option<mpsc::Sender<Knock>>>,
    writing: tokio::sync::Mutex<()>,
}

impl Held {
    /// None yet, with their file in this folder.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            file: dir.join("forwards.json"),
            plane: Plane::default(),
            inner: Mutex::default(),
            hub: watch::Sender::new(None),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Those that the data plane carries.
    pub(super) const fn plane(&self) -> &Plane {
        &self.plane
    }

    /// Whether another host connects for one of this name.
    pub(super) fn relays(&self, name: &str) -> bool {
        lock(&self.inner).running.contains_key(name)
    }

    /// Takes a whole set: what is in it begins or goes on, what is not is over.
    fn take(&self, agent: &Agent, mut all: Vec<Kept>) {
        all.truncate(MAX_ON_HOST);
        let (own, set): (Vec<Kept>, Vec<Kept>) =
            all.into_iter().partition(|kept| plane::is_own(&kept.given));
        let set: Vec<Given> = set.into_iter().map(|kept| kept.given).collect();
        let mut inner = lock(&self.inner);
        let gone: Vec<String> = inner
            .running
            .keys()
            .filter(|name| !set.iter().any(|given| given.name == **name))
            .cloned()
            .collect();
        for name in gone {
            if let Some(running) = inner.running.remove(&name) {
                // One that this host connects for now goes on with what it had.
                if own.iter().any(|kept| kept.given.name == name) {
                    continue;
                }
                tracing::info!(forward = name, "the forward is over");
                running.counts.cut.send_modify(|cut| *cut += 1);
                inner.waiting.retain(|_, guest| !Arc::ptr_eq(&guest.seat.0, &running.counts));
            }
        }
        for given in set {
            let name = given.name.clone();
            let before = inner.running.remove(&name);
            let mut running = before.unwrap_or_else(|| Running {
                counts: Arc::new(Counts::new(Given { listen: String::new(), ..given.clone() })),
                listener: None,
            });
            let was = std::mem::replace(&mut *lock(&running.counts.given), given.clone());
            let quiet = given.stopped || !given.refused.is_empty();
            if quiet || is_another(&was, &given) {
                if let Some(listener) = running.listener.take() {
                    listener.abort();
                }
                running.counts.listens(String::new(), given.refused.clone());
            }
            if !given.refused.is_empty() {
                running.counts.cut.send_modify(|cut| *cut += 1);
            }
            if !quiet && running.listener.is_none() {
                let (agent, counts) = (agent.clone(), running.counts.clone());
                let task = tokio::spawn(async move {
                    if given.kind.is_ssh() {
                        over_ssh::keep(&agent, counts, given).await;
                    } else {
                        listen(&agent, counts, given.listen).await;
                    }
                });
                running.listener = Some(task.abort_handle());
            }
            inner.running.insert(name, running);
        }
        drop(inner);
        self.plane.take(own.into_iter().map(|kept| (kept.given, kept.found)).collect());
    }

    /// All that it has.
    fn set(&self) -> Vec<Kept> {
        let inner = lock(&self.inner);
        let relayed = inner.running.values().map(|running| lock(&running.counts.given).clone());
        let relayed = relayed.map(|given| Kept { given, found: Vec::new() });
        let own = self.plane.set().into_iter().map(|(given, found)| Kept { given, found });
        relayed.chain(own).collect()
    }

    /// Takes a whole set, and writes it down when it is another one.
    async fn put(&self, agent: &Agent, set: Vec<Given>) {
        let before = self.set();
        self.take(agent, set.into_iter().map(|given| Kept { given, found: Vec::new() }).collect());
        if !self.plane.is_empty() {
            self.plane.begin(agent);
        }
        if self.set() != before {
            self.write().await;
        }
    }

    /// Writes the set down.
    pub(super) async fn write(&self) {
        let _one = self.writing.lock().await;
        let set = self.set();
        let file = self.file.clone();
        let written = tokio::task::spawn_blocking(move || {
            if let Some(dir) = file.parent() {
                files::private_dir(dir)?;
            }
            files::write_private(&file, &serde_json::to_vec(&set)?)
        });
        if let Ok(Err(e)) = written.await {
            tracing::error!(
                "forwards are not kept: {}: {e}; after a restart of this agent they wait for the hub",
                self.file.display()
            );
        }
    }

    fn stands(&self) -> Vec<Stand> {
        let mut stands = self.plane.stands();
        let inner = lock(&self.inner);
        stands.extend(inner.running.values().map(|running| running.counts.stand()));
        stands
    }

    fn refuse(&self, connection: u64, why: &str) {
        if let Some(guest) = lock(&self.inner).waiting.remove(&connection) {
            guest.seat.0.failed(why);
        }
    }

    fn cut(&self, name: &str) {
        self.plane.cut(name);
        let mut inner = lock(&self.inner);
        let Some(counts) = inner.running.get(name).map(|running| running.counts.clone()) else {
            return;
        };
        counts.cut.send_modify(|cut| *cut += 1);
        inner.waiting.retain(|_, guest| !Arc::ptr_eq(&guest.seat.0, &counts));
    }

    /// Has the hub find the far end of a connection; it waits meanwhile.
    async fn knock(&self, guest: Guest, direct: bool) {
        let counts = guest.seat.0.clone();
        let forward = lock(&counts.given).name.clone();
        let connection = {
            let mut inner = lock(&self.inner);
            inner.next += 1;
            let connection = inner.next;
            inner.waiting.insert(connection, guest);
            connection
        };
        let mut hub = self.hub.subscribe();
        let told = async {
            loop {
                let there = hub.wait_for(|hub| hub.as_ref().is_some_and(|hub| !hub.is_closed()));
                let Some(there) = there.await.ok().and_then(|hub| hub.clone()) else { return };
                let knock = Knock { forward: forward.clone(), connection, direct };
                if there.send(knock).await.is_ok() {
                    return;
                }
            }
        };
        if timeout(PATIENCE, told).await.is_err() {
            return self.refuse(connection, "the hub is away, which this forward goes through");
        }
        sleep(PATIENCE).await;
        self.refuse(connection, "the hub did not find the far end in time");
    }
}

/// Goes on with what was kept: in the data plane before that begins.
pub(crate) async fn resume(agent: &Agent) {
    let held = agent.forwards();
    let kept = match files::read_private(&held.file, LARGEST) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return,
        Err(e) => Err(e),
    };
    match kept {
        Ok(set) => {
            held.take(agent, set);
            if !held.plane.is_empty() {
                plane::settle(agent).await;
                held.plane.begin(agent);
            }
        }
        Err(e) => tracing::error!(
            "forwards of before are not known any more: {}: {e}; the hub gives them again",
            held.file.display()
        ),
    }
}

/// Whether what listens has to be begun anew.
fn is_another(was: &Given, now: &Given) -> bool {
    let but = |given: &Given| Given {
        revision: 0,
        stopped: false,
        refused: String::new(),
        ..given.clone()
    };
    was.listen != now.listen || was.kind != now.kind || (now.kind.is_ssh() && but(was) != but(now))
}

/// Listens for a forward, for as long as it is to.
async fn listen(agent: &Agent, counts: Arc<Counts>, at: String) {
    loop {
        let bound = async {
            let at: SocketAddr = at.parse().map_err(|_| "this is no address to listen at")?;
            agent.policy().allows_forward_at(at).map_err(|e| e.message)?;
            TcpListener::bind(at).await.map_err(|e| format!("cannot listen at {at}: {e}"))
        };
        match bound.await {
            Ok(listener) => {
                counts.listens(at.clone(), String::new());
                accept_all(agent, &counts, &listener).await;
            }
            Err(why) => counts.listens(String::new(), why),
        }
        sleep(AGAIN).await;
    }
}

async fn accept_all(agent: &Agent, counts: &Arc<Counts>, listener: &TcpListener) {
    loop {
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(e) => {
                // Out of files, most likely: wait for some to be given back.
                counts.failed(&format!("accepting a connection: {e}"));
                sleep(FAULT).await;
                continue;
            }
        };
        tunnel::prepare(&tcp);
        let Some(seat) = Seat::take(counts, agent.policy().forwards.max) else { continue };
        let guest = Guest { tcp, seat };
        let agent = agent.clone();
        tokio::spawn(async move {
            // Whether the owner lets this host dial others.
            let direct = !agent.policy().forwards.direct_to.is_empty();
            agent.forwards().knock(guest, direct).await;
        });
    }
}

/// Takes the hub's word on forwards for as long as the link lasts, and tells how they stand. A host that has none is done at
/// once.
pub(super) async fn hold(
    agent: Arc<Agent>,
    _: Asked,
    hold: Hold,
    mut feeding: Feeding<Hold>,
) -> Result<(), CallError> {
    let held = agent.forwards();
    let sender = feeding.sender();
    let all = [hold.forwards, hold.others].concat();
    let none = all.is_empty();
    held.put(&agent, all).await;
    if none {
        return Ok(());
    }
    let (give, mut knocks) = mpsc::channel(KNOCKS);
    held.hub.send_replace(Some(give));
    // Neither way waits for the other: both ends could wait for good.
    tokio::select! {
        ended = hear(&agent, &mut feeding) => ended,
        ended = tell(held, &sender, &mut knocks) => ended,
    }
}

/// Does what the hub says.
async fn hear(agent: &Agent, feeding: &mut Feeding<Hold>) -> Result<(), CallError> {
    let held = agent.forwards();
    loop {
        let Word { forwards, others, refused, cut } = feeding.input().await?;
        if let Some(set) = forwards {
            held.put(agent, [set, others].concat()).await;
        }
        if let Some((connection, why)) = refused {
            held.refuse(connection, &why);
        }
        if !cut.is_empty() {
            held.cut(&cut);
        }
    }
}

/// Tells the hub who has connected, and how forwards stand.
async fn tell(
    held: &Held,
    sender: &Feeding<Hold>,
    knocks: &mut mpsc::Receiver<Knock>,
) -> Result<(), CallError> {
    let mut tick = interval(TELLING);
    let mut told: Vec<Stand> = Vec::new();
    loop {
        tokio::select! {
            Some(knock) = knocks.recv() => {
                sender.send(&Told { knock: Some(knock), ..Told::default() }).await?;
            }
            _ = tick.tick() => {
                let now = held.stands();
                let stands: Vec<_> = now.iter().filter(|s| !told.contains(s)).cloned().collect();
                if !stands.is_empty() {
                    sender.send(&Told { stands, ..Told::default() }).await?;
                }
                told = now;
            }
        }
    }
}

/// Carries a connection that has waited for its far end.
pub(super) async fn accept(
    agent: Arc<Agent>,
    _: Asked,
    accept: Accept,
    feeding: Feeding<Accept>,
) -> Result<(), CallError> {
    let guest = lock(&agent.forwards().inner).waiting.remove(&accept.connection);
    let guest = guest.ok_or_else(|| CallError::not_found("nobody waits here any more"))?;
    way::lead(&agent, guest, &accept, feeding).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::policy::Policy;
    use tokio::io::AsyncReadExt as _;

    fn agent(dir: &Path, policy: &str) -> Agent {
        let mut config = Config::new(dir.to_owned());
        config.policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), policy).unwrap();
        Agent::new(config)
    }

    #[tokio::test]
    async fn a_file_of_forwards_that_is_damaged_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        files::write_private(&dir.path().join("forwards.json"), b"[{\"name\":").unwrap();
        let agent = agent(dir.path(), "");
        resume(&agent).await;
        assert_eq!(agent.forwards().stands(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_needs_the_hub_waits_for_it_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let agent = agent(dir.path(), "");
        let counts = Arc::new(Counts::new(Given { name: "x".into(), ..Given::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut here = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        counts.open.fetch_add(1, Ordering::Relaxed);
        agent.forwards().knock(Guest { tcp, seat: Seat(counts.clone()) }, false).await;
        assert!(counts.stand().last_error.contains("the hub is away"));
        assert_eq!(counts.stand().open, 0);
        assert!(matches!(here.read(&mut [0]).await, Ok(0) | Err(_)));
    }
}
