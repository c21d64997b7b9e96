//! One host as the services see it: where its files are, what its owner allows, what is sampled.
//!
//! [`serve`] answers every stream of one link. The `run` command, the system tests and the fleet
//! simulator call it; many links may share one [`Agent`] and so one set of samplers.

use crate::dataplane::{self, Dataplane};
use crate::engine::{self, Engine};
use crate::policy::Policy;
use crate::sampler::Sampler;
use crate::services;
use crate::services::compose::Composing;
use crate::services::edits::Edits;
use crate::services::exec::Scripts;
use crate::services::files::Files;
use crate::services::metrics::Collected;
use crate::services::orders::Orders;
use crate::services::ports;
use crate::services::processes::Table;
use crate::services::sessions::Sessions;
use crate::services::ssh::Ssh;
use crate::watched;
use cmdr_link::SecretKey;
use cmdr_link::blobs::Blobs;
use cmdr_link::frame::FrameReader;
use cmdr_link::link::Link;
use cmdr_link::mux::Stream;
use cmdr_link::service::{self, Service};
use cmdr_protocol::envelope::Header;
use cmdr_protocol::forwards::Dial;
use cmdr_protocol::forwards::direct::Meet;
use cmdr_protocol::forwards::kept::Accept;
use cmdr_protocol::{Access, CallError, ErrorKind, Feed as _, facts, methods};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Requests answered at once over one link; more are told to try again.
pub const STREAMS: usize = 200;
/// A stream must say what it wants within so long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Where an agent looks and keeps things.
#[derive(Clone, Debug)]
pub struct Config {
    /// The kernel's process files; another folder in tests.
    pub proc_root: PathBuf,
    /// The kernel's device files; another folder in tests.
    pub sys_root: PathBuf,
    /// The host's configuration; another folder in tests.
    pub etc_root: PathBuf,
    /// What programs keep while the host runs; another folder in tests.
    pub run_root: PathBuf,
    /// What programs keep for good; another folder in tests.
    pub var_root: PathBuf,
    /// Where programs of the host are looked for; as the agent's own `PATH` says when absent, fakes in tests.
    pub program_path: Option<OsString>,
    /// The Docker engine's socket.
    pub docker_socket: PathBuf,
    /// The agent's own folder.
    pub state_dir: PathBuf,
    /// What the host's owner allows.
    pub policy: Policy,
    /// Where package managers are looked for; the usual folders when absent.
    pub package_path: Option<String>,
    /// The program that carries connections of gateways: `cmdr-gateway`.
    pub gateway: PathBuf,
    /// The program that supervises others when it is told [`crate::supervise::WORD`]: this one.
    pub supervisor: PathBuf,
}

impl Config {
    /// A real host with this state folder and no limits of its own.
    pub fn new(state_dir: PathBuf) -> Self {
        Self {
            proc_root: "/proc".into(),
            sys_root: "/sys".into(),
            etc_root: "/etc".into(),
            run_root: "/run".into(),
            var_root: "/var".into(),
            program_path: None,
            docker_socket: "/var/run/docker.sock".into(),
            state_dir,
            policy: Policy::default(),
            package_path: None,
            gateway: dataplane::program(),
            // The very file that runs, also when an upgrade has put another in its place.
            supervisor: "/proc/self/exe".into(),
        }
    }
}

/// What the handlers share. Clones are the same host.
#[derive(Clone, Debug)]
pub struct Agent {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    metrics: Sampler<Collected>,
    processes: Sampler<Table>,
    ports: Sampler<ports::Taken>,
    units: services::services::Live,
    engine: engine::Found,
    composing: Composing,
    packages: services::system::Packages,
    facts: Mutex<Option<(Instant, facts::Facts)>>,
    programs: Arc<Semaphore>,
    scripts: Scripts,
    log_readers: Arc<Semaphore>,
    sessions: Sessions,
    ssh: Ssh,
    files: Files,
    edits: Edits,
    orders: Orders,
    blobs: Blobs,
    containers: services::containers::Live,
    tables: watched::Tables,
    container_stats: services::containers::Sampled,
    recording: Arc<services::recorder::Recording>,
    probing: services::probes::Turns,
    lookout: services::alerts::Lookout,
    dataplane: Dataplane,
    gateways: services::gateways::Gateways,
    away: watch::Sender<bool>,
    tunnels: Arc<Semaphore>,
    forwards: services::forwards::Held,
    direct: services::forwards::Direct,
}

impl Agent {
    /// An agent of this host. Nothing is sampled or opened before somebody asks.
    pub fn new(config: Config) -> Self {
        let recording = Arc::new(services::recorder::Recording::default());
        let metrics = services::metrics::sampler(&config, &recording);
        let processes = services::processes::sampler(&config);
        let ports = services::ports::sampler(&config);
        let programs = Arc::new(Semaphore::new(config.policy.exec.max_concurrent));
        let scripts = Scripts::new(config.state_dir.join("scripts"));
        let sessions = Sessions::new(&config);
        let ssh = Ssh::new(&config.state_dir);
        let tunnels = Arc::new(Semaphore::new(config.policy.forwards.max));
        let facts = Mutex::new(None);
        let forwards = services::forwards::Held::new(&config.state_dir);
        let files = Files::new(&config);
        let edits = Edits::new(&config);
        let orders = Orders::new(&config);
        let blobs = Blobs::new(config.state_dir.join("blobs"), services::blobs::MOST, false);
        let log_readers = services::logs::readers();
        let units = services::services::Live::default();
        let engine = engine::Found::default();
        let composing = Composing::new(&config.state_dir);
        let packages = services::system::Packages::default();
        let lookout = services::alerts::Lookout::new(&config.state_dir);
        let dir = config.state_dir.join("dataplane");
        let dataplane = Dataplane::new(dir, config.gateway.clone());
        let gateways = services::gateways::Gateways::new(&config.state_dir);
        let shared = Shared {
            config,
            metrics,
            processes,
            ports,
            units,
            engine,
            composing,
            packages,
            facts,
            programs,
            scripts,
            log_readers,
            sessions,
            ssh,
            files,
            edits,
            orders,
            blobs,
            containers: services::containers::Live::default(),
            tables: watched::Tables::default(),
            container_stats: services::containers::Sampled::default(),
            recording,
            probing: services::probes::Turns::default(),
            lookout,
            dataplane,
            gateways,
            away: watch::Sender::new(false),
            tunnels,
            forwards,
            direct: services::forwards::Direct::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A new agent with all its methods.
    pub fn service(config: Config) -> Service<Self> {
        Self::new(config).into_service()
    }

    /// All methods over this agent.
    pub fn into_service(self) -> Service<Self> {
        services::all(Service::new(self))
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }
    pub(crate) fn policy(&self) -> &Policy {
        &self.shared.config.policy
    }
    /// The containers of this host, while somebody watches.
    pub fn containers(&self) -> &services::containers::Live {
        &self.shared.containers
    }
    /// What they use, while somebody watches.
    pub fn container_stats(&self) -> &services::containers::Sampled {
        &self.shared.container_stats
    }
    /// The flight recorder, when it was begun.
    pub(crate) fn recording(&self) -> &services::recorder::Recording {
        &self.shared.recording
    }
    /// The rules that it looks at itself.
    pub(crate) fn dataplane(&self) -> &Dataplane {
        &self.shared.dataplane
    }

    pub(crate) fn gateways(&self) -> &services::gateways::Gateways {
        &self.shared.gateways
    }

    pub(crate) fn lookout(&self) -> &services::alerts::Lookout {
        &self.shared.lookout
    }
    /// Whether there is no link to the hub, as `run` says.
    pub(crate) fn away(&self) -> watch::Receiver<bool> {
        self.shared.away.subscribe()
    }
    /// Says whether there is no link to the hub.
    pub(crate) fn set_away(&self, away: bool) {
        self.shared.away.send_if_modified(|was| std::mem::replace(was, away) != away);
    }
    /// The forwards that it keeps.
    pub(crate) fn forwards(&self) -> &services::forwards::Held {
        &self.shared.forwards
    }
    /// The other hosts that it meets without the hub.
    pub(crate) fn direct(&self) -> &services::forwards::Direct {
        &self.shared.direct
    }
    /// Takes the key by which the hub knows this host, with which it meets other hosts.
    pub fn prove(&self, key: SecretKey) {
        self.shared.direct.prove(key);
    }
    /// Listens for other hosts, for good, where the owner says so.
    pub async fn meet_others(&self) {
        services::forwards::listen(self.clone()).await;
    }
    /// Places for connections that are carried.
    pub(crate) fn tunnels(&self) -> &Arc<Semaphore> {
        &self.shared.tunnels
    }
    pub(crate) fn probing(&self) -> &services::probes::Turns {
        &self.shared.probing
    }
    /// The sampler of live figures.
    pub fn metrics(&self) -> &Sampler<Collected> {
        &self.shared.metrics
    }
    /// The sampler of the process table.
    pub fn processes(&self) -> &Sampler<Table> {
        &self.shared.processes
    }
    /// The sampler of listening sockets.
    pub fn ports(&self) -> &Sampler<ports::Taken> {
        &self.shared.ports
    }
    /// What else the Docker engine has, while somebody watches.
    pub(crate) fn tables(&self) -> &watched::Tables {
        &self.shared.tables
    }

    /// The units of this host, while somebody watches.
    pub fn units(&self) -> &services::services::Live {
        &self.shared.units
    }
    /// The host's Docker engine, or why it cannot be asked.
    pub(crate) async fn engine(&self) -> Result<Engine, CallError> {
        self.shared.engine.engine(&self.shared.config).await
    }
    pub(crate) fn composing(&self) -> &Composing {
        &self.shared.composing
    }
    pub(crate) fn packages(&self) -> &services::system::Packages {
        &self.shared.packages
    }
    pub(crate) fn facts(&self) -> &Mutex<Option<(Instant, facts::Facts)>> {
        &self.shared.facts
    }
    pub(crate) fn programs(&self) -> &Arc<Semaphore> {
        &self.shared.programs
    }
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.shared.sessions
    }
    pub(crate) fn ssh(&self) -> &Ssh {
        &self.shared.ssh
    }
    pub(crate) fn files(&self) -> &Files {
        &self.shared.files
    }
    pub(crate) fn edits(&self) -> &Edits {
        &self.shared.edits
    }
    pub(crate) fn orders(&self) -> &Orders {
        &self.shared.orders
    }
    pub(crate) fn blobs(&self) -> &Blobs {
        &self.shared.blobs
    }
    pub(crate) fn scripts(&self) -> &Scripts {
        &self.shared.scripts
    }
    pub(crate) fn log_readers(&self) -> &Arc<Semaphore> {
        &self.shared.log_readers
    }
}

/// Answers every stream of a link until the link is over. Dropping this drops every handler, and
/// with them the programs they run.
pub async fn serve(service: Arc<Service<Agent>>, link: Link, mut streams: mpsc::Receiver<Stream>) {
    let free = Arc::new(Semaphore::new(STREAMS));
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            stream = streams.recv() => {
                let Some(stream) = stream else { break };
                let (service, free) = (service.clone(), free.clone());
                answering.spawn(async move { answer(&service, stream, free).await });
            }
            Some(done) = answering.join_next() => {
                if let Err(e) = done && e.is_panic() {
                    tracing::error!("a fault in a handler: {e}");
                }
            }
            _ = link.down() => break,
        }
    }
    answering.shutdown().await;
}

fn busy() -> CallError {
    CallError::new(
        ErrorKind::Busy,
        format!("this host answers {STREAMS} requests already; try again when some have ended"),
    )
}

async fn answer(service: &Service<Agent>, stream: Stream, free: Arc<Semaphore>) {
    let mut reader = FrameReader::new(stream.clone());
    let header = match timeout(REQUEST_TIMEOUT, service::read_header(&mut reader)).await {
        Ok(Ok(header)) => header,
        Ok(Err(e)) => {
            return service::refuse(&stream, &CallError::malformed(e.to_string())).await;
        }
        Err(_) => return tracing::debug!("a stream without a request for 10 s"),
    };
    let agent = service.context();
    let admitted = allowed(agent.policy(), &header).and_then(|()| {
        // Connections that are carried are many and last: they have places of their own, so that others find some. Before the
        // header was read nobody has a place: hundreds that come at once are not yet told apart. The link bounds those.
        if ![Dial::METHOD, Meet::METHOD, Accept::METHOD].contains(&header.method.as_str()) {
            return free.try_acquire_owned().map_err(|_| busy());
        }
        agent.tunnels().clone().try_acquire_owned().map_err(|_| {
            let most = agent.policy().forwards.max;
            let message = format!(
                "this host carries {most} connections of forwards already, as many as it may (max under [forwards])"
            );
            CallError::new(ErrorKind::Busy, message)
        })
    });
    match admitted {
        Ok(_permit) => service.answer(&header, reader, stream).await,
        Err(refusal) => {
            let method = cmdr_protocol::display::clean_to_width(&header.method, 80);
            tracing::warn!(method, trace = header.trace, "refused: {refusal}");
            service::refuse(&stream, &refusal).await;
        }
    }
}

/// What holds for every method, before its body is even read: the owner's word, and that whatever
/// changes the host has somebody who asked for it.
fn allowed(policy: &Policy, header: &Header) -> Result<(), CallError> {
    if let Some(method) = methods::find_inner(&header.method) {
        // Of the hub itself: for whom it asks, it has decided.
        return policy.allows_method(method.name);
    }
    // A method that nobody knows is answered by the service, which says so.
    let Some(method) = methods::find(&header.method) else { return Ok(()) };
    policy.allows_method(method.name)?;
    if method.access != Access::Read && header.caller.is_none() {
        return Err(CallError::denied(format!(
            "{} changes the host and is done only for a known operator; the hub named none",
            method.name
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::envelope::Kind;

    fn header(method: &str) -> Header {
        Header {
            to: None,
            method: method.into(),
            kind: Kind::Call,
            resource: String::new(),
            deadline_ms: None,
            trace: 1,
            caller: None,
        }
    }

    #[test]
    fn what_changes_the_host_needs_a_caller_and_what_looks_does_not() {
        let policy = Policy::default();
        for method in ["exec.start", "processes.signal", "processes.renice"] {
            assert_eq!(allowed(&policy, &header(method)).unwrap_err().kind, ErrorKind::Denied);
        }
        for method in ["ping.ping", "facts.get", "metrics.watch", "no.such"] {
            assert!(allowed(&policy, &header(method)).is_ok());
        }
    }

    #[test]
    fn every_method_of_a_host_has_a_handler() {
        let service = Agent::service(Config::new("/nonexistent".into()));
        let mut offered: Vec<_> = service.methods().collect();
        let mut wanted: Vec<_> = methods::METHODS
            .iter()
            .filter(|m| m.place != methods::Place::Hub)
            .chain(methods::INNER)
            .map(|m| m.name)
            .collect();
        offered.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(offered, wanted);
    }
}
