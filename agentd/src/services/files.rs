//! Files of the host, for operators: looks, reads, writes, moves, takes away, packs and unpacks.
//!
//! Everything that touches the disk runs on threads of its own, so that a slow disk holds up nothing else;
//! how many do so at once is bounded. A path is walked name by name and never through a link (`walk`), the
//! host's policy and the agent's own folder are asked on the way.

mod archive;
mod change;
mod delete;
mod entry;
mod fault;
mod list;
mod partial;
pub(super) mod put;
mod read;
pub mod unpack;
mod walk;
pub(super) mod whole;
mod write;

use crate::Agent;
use crate::agent::Config;
use cmdr_link::service::{Asked, Service};
use cmdr_protocol::files::{Checksum, Entry, Real, RealPath, Stat, Sum};
use cmdr_protocol::{CallError, ErrorKind};
use entry::Names;
use partial::Partials;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use walk::Guard;

/// Feeds that read, write or list at once; more are told to try again.
const FEEDS: usize = 64;
/// Short orders at once; more wait.
const ORDERS: usize = 8;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct Files {
    feeds: Arc<Semaphore>,
    orders: Arc<Semaphore>,
    partials: Partials,
    hashes: put::Hashes,
}

impl Files {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            feeds: Arc::new(Semaphore::new(FEEDS)),
            orders: Arc::new(Semaphore::new(ORDERS)),
            partials: Partials::new(config.state_dir.join("transfers")),
            hashes: put::Hashes::default(),
        }
    }

    fn begin(&self) -> Result<OwnedSemaphorePermit, CallError> {
        self.feeds.clone().try_acquire_owned().map_err(|_| {
            let what =
                format!("this host moves {FEEDS} files already; try again when some are done");
            CallError::new(ErrorKind::Busy, what)
        })
    }
}

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service
        .feed(list::list)
        .on(stat)
        .on(real)
        .feed(read::read)
        .feed(write::write)
        .on(change::mkdir)
        .on(change::rename)
        .on(delete::delete)
        .on(change::chmod)
        .on(checksum)
        .feed(archive::archive)
        .feed(unpack::unpack)
}

/// Runs `work` on a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|e| Err(CallError::failed(format!("a fault of the agent: {e}"))))
}

/// As [`blocking`], for what is soon done; so many at once.
async fn order<T: Send + 'static>(
    agent: &Arc<Agent>,
    work: impl FnOnce(&Agent) -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    let turn = agent.files().orders.clone().acquire_owned().await;
    let agent = agent.clone();
    blocking(move || {
        let _turn = turn;
        work(&agent)
    })
    .await
}

async fn stat(agent: Arc<Agent>, _: Asked, stat: Stat) -> Result<Entry, CallError> {
    order(&agent, move |agent| {
        let place = Guard::new(agent).to_read(&stat.path)?;
        Ok(place.look()?.entry(&mut Names::new(agent)))
    })
    .await
}

async fn real(agent: Arc<Agent>, _: Asked, real: Real) -> Result<RealPath, CallError> {
    order(&agent, move |_| walk::real(&real.path, real.last).map(|path| RealPath { path })).await
}

async fn checksum(agent: Arc<Agent>, _: Asked, checksum: Checksum) -> Result<Sum, CallError> {
    order(&agent, move |agent| read::sum(agent, &checksum.path)).await
}
