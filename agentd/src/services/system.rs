//! What else there is on a host: mounts, interfaces, logins, packages, scheduled jobs.
//! Each is read when it is asked for, on a thread of its own; only the list of packages is kept, for
//! as long as the host's own lists stay as they are.

mod interfaces;
mod jobs;
mod logins;
mod mounts;
mod packages;

pub use packages::Packages;

use crate::{Agent, Config};
use cmdr_link::service::{Asked, Service};
use cmdr_protocol::CallError;
use cmdr_protocol::system::{
    Found, Interface, Interfaces, Job, Jobs, Login, Logins, Mount, Mounts, PackagePage,
};
use std::sync::Arc;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(mounted).on(interfaces_of).on(logged_in).on(installed).on(scheduled)
}

/// Reads on a thread of its own: a host's files may be slow.
async fn read<T: Send + 'static>(
    agent: &Agent,
    read: impl FnOnce(&Config) -> T + Send + 'static,
) -> Result<T, CallError> {
    let config = agent.config().clone();
    let reading = tokio::task::spawn_blocking(move || read(&config));
    reading.await.map_err(|e| CallError::failed(format!("reading the host: {e}")))
}

async fn mounted(agent: Arc<Agent>, _: Asked, call: Mounts) -> Result<Found<Mount>, CallError> {
    mounts::read(agent.config(), call.all).await
}

async fn interfaces_of(
    agent: Arc<Agent>,
    _: Asked,
    _: Interfaces,
) -> Result<Found<Interface>, CallError> {
    read(&agent, interfaces::read).await
}

async fn logged_in(agent: Arc<Agent>, _: Asked, _: Logins) -> Result<Found<Login>, CallError> {
    read(&agent, logins::read).await
}

async fn installed(
    agent: Arc<Agent>,
    _: Asked,
    call: cmdr_protocol::system::Packages,
) -> Result<PackagePage, CallError> {
    agent.packages().page(agent.config(), &call).await
}

async fn scheduled(agent: Arc<Agent>, _: Asked, _: Jobs) -> Result<Found<Job>, CallError> {
    let mut found = read(&agent, jobs::cron).await?;
    jobs::timers(agent.config(), &mut found).await;
    Ok(found)
}

/// Parsers by themselves, for the fuzzer.
#[doc(hidden)]
pub mod untrusted {
    /// Reads a host's files out of these bytes.
    pub fn read(data: &[u8]) {
        super::jobs::crontab(data, Some("root"), "fuzz", &mut Vec::new());
        super::jobs::crontab(data, None, "fuzz", &mut Vec::new());
        super::logins::parse(data);
        super::packages::read_dpkg(data);
        super::packages::read_apk(data);
        super::packages::read_upgrades(data);
        crate::services::environment::untrusted(data);
        super::mounts::parse(data, true);
    }
}
