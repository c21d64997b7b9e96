//! The host's Docker engine over its socket. `services/engine`, `containers`, `images`, `volumes`,
//! `networks` and their kin ask it here and nowhere else; nothing is run as a program, no port is opened.

mod plain;
mod told;

pub(crate) use told::told;

use crate::Config;
use bollard::{API_DEFAULT_VERSION, Docker};
use cmdr_protocol::CallError;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// One question takes no longer. What streams has no limit but its own.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// An engine that was replaced meanwhile may speak another version: it is asked again so often.
const AGREED: Duration = Duration::from_mins(1);

/// An engine that answers, and the version that both sides speak. The library's own questions go out without it,
/// because it joins absolute paths: an engine answers them in its newest one.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    docker: Docker,
    socket: PathBuf,
}

impl Engine {
    /// Asks whether an engine is there, and which version it speaks.
    pub(crate) async fn connect(config: &Config) -> Result<Self, CallError> {
        let socket = config.docker_socket.clone();
        let path = socket.to_string_lossy();
        let attempted = "reach the Docker engine";
        let docker = Docker::connect_with_unix(&path, PATIENCE.as_secs(), API_DEFAULT_VERSION)
            .map_err(|error| told(attempted, &error))?;
        // The body of an answer has no limit of its own there.
        let agreed = tokio::time::timeout(PATIENCE, docker.negotiate_version()).await;
        let docker = agreed.map_err(|_| told::silent(attempted))?;
        let docker = docker.map_err(|error| told(attempted, &error))?;
        Ok(Self { docker, socket })
    }

    /// The version of its interface that is spoken, as in paths: `1.41`.
    pub(crate) fn version(&self) -> String {
        let version = self.docker.client_version();
        format!("{}.{}", version.major_version, version.minor_version)
    }

    /// What it answers to a plain question in this version of its interface, or in an older one where it
    /// speaks no newer: for answers whose shape has changed. `path` begins after the version.
    pub(crate) async fn get_in(
        &self,
        newest: &str,
        attempted: &str,
        path: &str,
    ) -> Result<serde_json::Value, CallError> {
        let spoken = self.version();
        let number = |version: &str| -> Option<(u32, u32)> {
            let (major, minor) = version.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        };
        let version = if number(&spoken) > number(newest) { newest } else { spoken.as_str() };
        plain::get(&self.socket, attempted, &format!("/v{version}{path}")).await
    }
}

impl Deref for Engine {
    type Target = Docker;

    fn deref(&self) -> &Docker {
        &self.docker
    }
}

/// The engine as it was last found, so that not every question begins with another.
#[derive(Debug, Default)]
pub(crate) struct Found {
    last: Mutex<Option<(Instant, Engine)>>,
}

impl Found {
    /// The engine; looked for anew when that is some time ago.
    pub(crate) async fn engine(&self, config: &Config) -> Result<Engine, CallError> {
        let mut last = self.last.lock().await;
        if let Some((at, engine)) = last.as_ref()
            && at.elapsed() < AGREED
            && engine.socket.exists()
        {
            return Ok(engine.clone());
        }
        *last = None;
        let engine = Engine::connect(config).await?;
        *last = Some((Instant::now(), engine.clone()));
        Ok(engine)
    }
}
