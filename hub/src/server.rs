//! Accepts links, lets peers in, serves clients, watches agents, and stops in good order.

mod answers;
mod clients;
mod retain;
mod standing;

use crate::admission::{self, Peer};
use crate::alerts::Alerts;
use crate::api::Programs;
use crate::approvals::Approvals;
use crate::audit::{self, Audit, trail};
use crate::backup::{self, Export};
use crate::blobs::{self, Blobs};
use crate::compose::Compose;
use crate::config::Config;
use crate::configs::Configs;
use crate::events::sessions;
use crate::fleet::Fleet;
use crate::forwards::Forwards;
use crate::gate::{Gate, Pass, source};
use crate::gateways::Gateways;
use crate::groups::Groups;
use crate::history::{self, History};
use crate::hubkey::{self, Keys, Pinned};
use crate::keyring::Keyring;
use crate::lockout::Lockout;
use crate::login::Login;
use crate::notifiers::{self, Notifiers};
use crate::outbox::{self, Outbox};
use crate::probes::Probes;
use crate::recording::{self, Recorder};
use crate::remote_write::{self, RemoteWrite};
use crate::rights::Rights;
use crate::runbooks::Library;
use crate::runs::{self, Runs};
use crate::store::{Batch, Store};
use crate::vault::{Vault, keepers};
use crate::who::Who;
use crate::{acts, services, watcher};
use answers::Answers;
use anyhow::Context as _;
use cmdr_link::link::{self, Incoming};
use cmdr_link::mux::{Limits, Stream};
use cmdr_link::noise::{self, Alert};
use cmdr_link::relay::Relayed;
use cmdr_link::service::Service;
use cmdr_link::{Link, clock};
use cmdr_protocol::audit::Event;
use cmdr_protocol::events::{self, What};
use cmdr_protocol::hub::Checked;
use cmdr_protocol::role::Role;
use cmdr_protocol::version::{PROTOCOL, PeerKind, Refusal, RefusalKind, Welcome};
use cmdr_protocol::{HostId, KeyId};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long a stopping hub waits for its links to end.
const DRAIN: Duration = Duration::from_secs(5);

/// How long somebody may take to log in: a person goes to a browser meanwhile.
const GUEST: Duration = Duration::from_mins(15);
/// How often the clock is looked at for the end of a login.
const LOOK: Duration = Duration::from_secs(5);
/// What answers have to leave before a link is cut. What is asked meanwhile is decided by the new rights.
const CUT: Duration = Duration::from_millis(100);
/// And the longest that answers which are not written down yet are waited for.
const CUT_AT_LAST: Duration = Duration::from_secs(2);

/// Everything that the hub's parts share.
#[derive(Debug)]
pub struct Hub {
    /// Its keys.
    pub keys: Keys,
    /// Who has pinned the key that comes.
    pub pinned: Pinned,
    /// The durable state.
    pub store: Store,
    /// What seals secrets.
    pub vault: Vault,
    /// Who did what.
    pub audit: Audit,
    /// What commands write.
    pub recorder: Arc<Recorder>,
    /// Held while it is put down what an agent did on its own.
    pub acts: tokio::sync::Mutex<()>,
    /// Contents of files on their way to hosts.
    pub blobs: Blobs,
    /// Hosts.
    pub fleet: Fleet,
    /// Operators, devices and tokens.
    pub keyring: Keyring,
    /// Roles.
    pub rights: Rights,
    /// Departments and projects.
    pub groups: Groups,
    /// Runbooks.
    pub runbooks: Library,
    /// Compose files that hosts bring up.
    pub compose: Compose,
    /// Files that hosts shall have.
    pub configs: Configs,
    /// Orders to many hosts.
    pub runs: Arc<Runs>,
    /// What hosts' figures were.
    pub history: Arc<History>,
    /// Where they are sent on.
    pub remote_write: RemoteWrite,
    /// Rules, and the alerts that came of them.
    pub alerts: Alerts,
    /// Far ends that agents look at.
    pub probes: Probes,
    /// Places that hosts lead to.
    pub forwards: Forwards,
    /// L4 load balancers on hosts.
    pub gateways: Gateways,
    /// Where alerts are told.
    pub notifiers: Notifiers,
    /// What is posted when runs are over.
    pub outbox: Outbox,
    /// Rights that were asked for.
    pub approvals: Approvals,
    /// Logins by password and directory.
    pub login: Login,
    /// Wrong tries to get in, by address.
    pub lockout: Lockout<IpAddr>,
    /// Where peers shall dial; written into tokens.
    pub address: String,
    /// Where it listens.
    pub listen: String,
    /// Counters since the start.
    pub counters: Counters,
    /// Programs that follow something over HTTP.
    pub programs: Programs,
    clients: Mutex<HashMap<u64, (KeyId, Link)>>,
    /// Calls that are being answered.
    pub(crate) answers: Arc<Answers>,
    whos: RwLock<HashMap<KeyId, (Versions, Arc<Who>)>>,
    started: Instant,
    /// What was configured.
    pub config: Config,
}

/// What a [`Who`] was made of: how often that had changed by then.
type Versions = [u64; 4];

/// Callers whose rights are remembered.
const WHOS: usize = 10_000;

/// What happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Streams relayed.
    pub relayed: AtomicU64,
    /// Bytes relayed, both ways.
    pub relayed_bytes: AtomicU64,
    /// Links refused.
    pub refused: AtomicU64,
    links: AtomicU64,
}

impl Counters {
    /// A stream was relayed.
    pub fn carried(&self, relayed: Relayed) {
        self.relayed.fetch_add(1, Ordering::Relaxed);
        self.relayed_bytes.fetch_add(relayed.forth + relayed.back, Ordering::Relaxed);
    }
}

impl Hub {
    /// A hub over an open store; its audit log is in the folder `audit`.
    pub fn new(
        keys: impl Into<Keys>,
        store: Store,
        vault: Vault,
        audit: &Path,
        config: Config,
        listen: String,
        address: String,
    ) -> anyhow::Result<Arc<Self>> {
        let keys = keys.into();
        let pinned = Pinned::load(store.clone()).context("reading who knows the hub's next key")?;
        let fleet = Fleet::load(store.clone()).context("reading the hosts")?;
        let keyring = Keyring::load(store.clone()).context("reading operators and tokens")?;
        let rights = Rights::load(store.clone()).context("reading the roles")?;
        let groups = Groups::load(store.clone()).context("reading the groups")?;
        let runbooks = Library::load(store.clone()).context("reading the runbooks")?;
        let compose = Compose::load(store.clone()).context("reading the compose projects")?;
        let configs = Configs::load(store.clone()).context("reading the config groups")?;
        let approvals = Approvals::load(store.clone()).context("reading requests for rights")?;
        let runs = Runs::load(store.clone(), runs::folder(audit), &config.runs)
            .context("reading the runs")?;
        let outbox = Outbox::load(store.clone(), &config.api.callbacks)
            .context("reading what is to be posted")?;
        let recordings = (recording::folder(audit), config.recordings.clone());
        let recorder = Recorder::open(store.clone(), vault.clone(), recordings.0, recordings.1)
            .context("reading the list of recordings")?;
        let history = Arc::new(History::new(history::folder(audit), config.history.clone()));
        let cursors = remote_write::folder(audit);
        let remote_write = RemoteWrite::new(&cursors, &config.history.remote_write);
        let alerts = Alerts::load(store.clone(), &config.alerts).context("reading the alerts")?;
        let probes = Probes::load(store.clone()).context("reading the probes")?;
        let forwards = Forwards::load(store.clone()).context("reading the forwards")?;
        let gateways = Gateways::load(store.clone()).context("reading the gateways")?;
        let notifiers = Notifiers::load(store.clone(), &config.alerts, &config.api.callbacks)
            .context("reading what is to be told of alerts")?;
        let blobs = Blobs::new(blobs::folder(audit), &config.blobs);
        let audit =
            Audit::open(audit, keys.now().sealing(), store.clone(), audit::Settings::default())
                .with_context(|| format!("opening the audit log in {}", audit.display()))?;
        Ok(Arc::new(Self {
            keys,
            pinned,
            store,
            vault,
            audit,
            recorder: Arc::new(recorder),
            acts: tokio::sync::Mutex::default(),
            blobs,
            fleet,
            keyring,
            rights,
            groups,
            runbooks,
            compose,
            configs,
            runs,
            history,
            remote_write,
            alerts,
            notifiers,
            probes,
            forwards,
            gateways,
            outbox,
            approvals,
            login: Login::new(&config.login),
            lockout: Lockout::new(config.login.wrong),
            address,
            listen,
            counters: Counters::default(),
            programs: Programs::default(),
            clients: Mutex::default(),
            answers: Arc::default(),
            whos: RwLock::default(),
            started: Instant::now(),
            config,
        }))
    }

    /// Begins to send the audit log where the configuration says.
    pub fn forward_audit(&self) -> anyhow::Result<()> {
        audit::forward::start(&self.audit, &self.config.audit)
    }

    /// Whether the content of a file is needed for something that is under way.
    pub fn needs_blob(&self, hash: &str) -> bool {
        self.blobs.is_held(hash) || self.runs.needs_blob(hash)
    }

    /// Begins a backup of everything durable.
    pub fn export(&self) -> anyhow::Result<Export> {
        Export::begin(&self.store, self.keys.now().sealing(), self.audit.dir(), || {
            self.audit.point()
        })
    }

    /// Reads everything durable and checks it, the audit log included.
    pub async fn check(&self) -> anyhow::Result<Checked> {
        let mut checked = backup::check(&self.store)?;
        let log = self.audit.verify().await.context("reading the audit log")?;
        checked.records += log.records;
        checked.damage.extend(keepers::check(self));
        checked.damage.extend(self.runbooks.forged());
        let hub = self.runs.clone();
        let output = tokio::task::spawn_blocking(move || hub.check()).await;
        checked.damage.extend(output.context("reading the output of runs")?);
        let health = self.history.store().map(|store| store.health()).unwrap_or_default();
        if health.damaged > 0 {
            checked.damage.push(format!(
                "{} of the history of figures are not what was written, and are left out",
                cmdr_protocol::human::count(health.damaged, "place")
            ));
        }
        checked.damage.extend(log.broken.is_some().then(|| log.told()));
        Ok(checked)
    }

    /// Since when it runs.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Serves until `stop` completes, then tells every peer and waits for them to go.
    pub async fn serve(
        self: Arc<Self>,
        listeners: Vec<TcpListener>,
        stop: impl Future<Output = ()>,
    ) {
        if let Err(e) = self.keyring.settle().await {
            tracing::error!("writing the operators of devices from before there were any: {e}");
        }
        let what = format!("cmdr-hub {VERSION}, listening on {}", self.listen);
        let before = self.audit.point();
        self.audit.mark(Event::Started, what).await;
        tokio::spawn(self.audit.clone().tell_unanswered(before));
        for forged in self.runbooks.forged() {
            tracing::error!("{forged}");
        }
        match self.recorder.recover().await {
            0 => {}
            recordings => {
                tracing::warn!(recordings, "recordings were cut by a crash; they are closed");
            }
        }
        let running = {
            let hub = self.clone();
            tokio::spawn(async move { hub.runs.serve(&hub).await })
        };
        let posting = tokio::spawn(outbox::serve(self.clone()));
        let alerting = {
            let hub = self.clone();
            tokio::spawn(async move { hub.alerts.serve(&hub).await })
        };
        let telling = tokio::spawn(notifiers::serve(self.clone()));
        let probing = {
            let hub = self.clone();
            tokio::spawn(async move { hub.probes.serve(&hub).await })
        };
        let service = Arc::new(services::all(self.clone()));
        let gate = Gate::new(self.config.bounds());
        let accepting: Vec<_> = listeners
            .into_iter()
            .map(|listener| {
                tokio::spawn(self.clone().accept(listener, gate.clone(), service.clone()))
            })
            .collect();
        let store = self.store.clone();
        let mending = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_secs(2));
            loop {
                tick.tick().await;
                // A write, even of nothing, makes a store without space try whether there is some again.
                if !store.is_writable() {
                    drop(store.apply(Batch::new()).await);
                }
            }
        });
        let keeping = {
            let hub = self.clone();
            tokio::spawn(self.history.clone().keep(move |message| {
                let what = What::HistoryFailed;
                hub.fleet.events.tell(events::Event { what, message, ..events::Event::default() });
            }))
        };
        self.remote_write.start(&self);
        let retaining = tokio::spawn(self.clone().retain());
        stop.await;
        retaining.abort();
        for task in &accepting {
            task.abort();
        }
        mending.abort();
        let links: Vec<_> = self
            .fleet
            .links()
            .into_iter()
            .chain(self.clients().into_iter().map(|(_, link)| link))
            .collect();
        for link in &links {
            link.close("the hub is stopping");
        }
        let ended = async {
            for link in &links {
                link.down().await;
            }
        };
        drop(tokio::time::timeout(DRAIN, ended).await);
        running.abort();
        posting.abort();
        alerting.abort();
        telling.abort();
        probing.abort();
        let hub = self.clone();
        self.remote_write.stop();
        keeping.abort();
        let closed = tokio::task::spawn_blocking(move || {
            hub.history.close();
            hub.recorder.close();
        });
        drop(tokio::time::timeout(DRAIN, closed).await);
        drop(tokio::time::timeout(DRAIN, self.audit.mark(Event::Stopped, String::new())).await);
        // The ends of links are still being written down; an empty batch comes after all of them.
        drop(tokio::time::timeout(DRAIN, self.store.apply(Batch::new())).await);
    }

    async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        gate: Gate,
        service: Arc<Service<Self>>,
    ) {
        loop {
            gate.ready().await;
            let (mut tcp, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(e) => {
                    // Out of files, most likely: wait for some to be given back.
                    tracing::warn!("accepting a connection: {e}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(pass) = gate.enter(address.ip()) else {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                // Never waits: if the few bytes do not fit into the socket, they are not needed.
                drop(
                    tokio::time::timeout(Duration::ZERO, noise::alert(&mut tcp, Alert::Busy)).await,
                );
                continue;
            };
            tokio::spawn(self.clone().greet(tcp, address, pass, service.clone()));
        }
    }

    async fn greet(
        self: Arc<Self>,
        tcp: TcpStream,
        address: SocketAddr,
        pass: Pass,
        service: Arc<Service<Self>>,
    ) {
        let ours: Vec<_> = self.keys.now().answering().cloned().collect();
        let limits = Limits { streams: self.config.limits.streams_per_client, window: 64 << 20 };
        let greeted = tokio::select! {
            greeted = link::accept_as(tcp, &ours, limits) => greeted,
            () = pass.evicted() => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%address, "a slow handshake gave way to others");
                return;
            }
        };
        let incoming = match greeted {
            Ok(incoming) => incoming,
            Err(e) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%address, "no link: {e}");
                return;
            }
        };
        let decided = if let Some(refusal) = self.barred(&incoming, address.ip()) {
            Err(refusal)
        } else {
            let (hello, from) = (&incoming.hello, address.ip().to_string());
            let decided = admission::decide(&self, incoming.peer, hello, &from).await;
            self.remember_try(&incoming, address.ip(), &decided);
            decided
        };
        drop(pass);
        match decided {
            Ok(Peer::Host { id, name }) => self.host(incoming, id, name, address).await,
            Ok(Peer::Operator(caller)) => self.client(incoming, caller, address, &service).await,
            Ok(Peer::Guest(caller)) => self.guest(incoming, caller, address, &service).await,
            Err(refusal) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                let name = cmdr_protocol::display::clean_to_width(&incoming.hello.name, 64);
                tracing::warn!(%address, name, kind = %refusal.kind, "refused a peer: {}", refusal.message);
                trail::refused(
                    &self,
                    &incoming.peer,
                    &incoming.hello,
                    &address.ip().to_string(),
                    &refusal,
                );
                incoming.refuse(refusal).await;
            }
        }
    }

    /// Why nobody is heard who comes from there now. Whoever can read the hub's key always is: else
    /// nobody could mend a list that leaves everybody out.
    fn barred(&self, incoming: &Incoming, address: IpAddr) -> Option<Refusal> {
        let refuse = |message| Some(Refusal { kind: RefusalKind::Locked, message });
        if incoming.peer == self.keys.public() {
            return None;
        }
        let allow = &self.config.login.allow;
        let client = incoming.hello.kind == PeerKind::Client;
        if client && !allow.is_empty() && !allow.iter().any(|network| network.contains(address)) {
            return refuse(format!(
                "operators may not come from {address}; the hub's configuration ([login] allow) lists from where"
            ));
        }
        if !offers_token(incoming) {
            return None;
        }
        let wait = self.lockout.waits(&source(address))?;
        refuse(format!(
            "too many wrong tokens came from {address}; it may try again in {wait} s, or an administrator lets it: cmdr operators unlock {address}"
        ))
    }

    /// Counts a wrong token, and forgets the wrong ones before a right one.
    fn remember_try(&self, incoming: &Incoming, address: IpAddr, decided: &Result<Peer, Refusal>) {
        if !offers_token(incoming) {
            return;
        }
        match decided {
            Ok(_) => self.lockout.right(&source(address)),
            Err(refusal) if refusal.kind == RefusalKind::BadToken => {
                if let Some(wait) = self.lockout.wrong(&source(address)) {
                    tracing::warn!(%address, wait_s = wait, "locked out after too many wrong tokens");
                }
            }
            Err(_) => {}
        }
    }

    fn welcome(&self, incoming: &Incoming) -> Welcome {
        Welcome {
            protocol: PROTOCOL,
            version: VERSION.to_owned(),
            capabilities: Vec::new(),
            name: String::new(),
            host: None,
            key: None,
            role: Role::NONE,
            verbs: Vec::new(),
            expires_ms: None,
            renew_ms: None,
            at_ms: clock::now_ms(),
            next_hub_key: self.keys.next_for(&incoming.proved),
        }
    }

    async fn host(
        self: Arc<Self>,
        incoming: Incoming,
        id: HostId,
        name: String,
        address: SocketAddr,
    ) {
        let version = incoming.hello.version.clone();
        let welcome = Welcome { name: name.clone(), host: Some(id), ..self.welcome(&incoming) };
        let proved = incoming.proved;
        let Ok((link, streams)) = incoming.welcome(welcome).await else { return };
        if let Some(old) = self.fleet.link_up(id, &link, &address.ip().to_string(), &version) {
            if old.ended().is_none() {
                tracing::warn!(host = name, %address, "a second link with this host's key replaces the first; if this repeats, its key was copied to another machine");
            }
            old.close("replaced by a new link of the same key");
        }
        tracing::info!(host = name, %address, "online");
        tokio::spawn(hubkey::attend(self.clone(), id.to_string(), false, proved, link.clone()));
        let reason = tokio::select! {
            reason = link.down() => reason,
            () = refuse_streams(streams) => link.down().await,
            () = watcher::watch(&self, id, &link) => link.down().await,
            () = acts::follow(&self, id, &link) => link.down().await,
            () = sessions::follow(&self, id, &link) => link.down().await,
            () = self.runs.attend(id, &link) => link.down().await,
            () = self.probes.attend(&self, id, &link) => link.down().await,
            () = self.forwards.attend(&self, id, &link) => link.down().await,
        };
        self.history.ended(id);
        tracing::info!(host = name, reason, "away");
        self.fleet.link_down(id, &link, &reason).await;
        if self.fleet.link(id).is_err() {
            self.runs.link_down(id);
        }
    }
}

fn offers_token(incoming: &Incoming) -> bool {
    incoming.hello.join.as_ref().is_some_and(|join| join.token.is_some())
}

/// Agents are asked and never ask: what they open is reset.
async fn refuse_streams(mut streams: mpsc::Receiver<Stream>) {
    while let Some(stream) = streams.recv().await {
        drop(stream);
    }
}
