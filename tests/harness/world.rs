//! A hub in this process, with a data folder of its own, and peers that reach it over real links.

use crate::until_some;
use cmdr_agentd::agent::{self, Agent};
use cmdr_hub::api::Listening;
use cmdr_hub::config::Config;
use cmdr_hub::hubkey::Keys;
use cmdr_hub::server::Hub;
use cmdr_hub::store::Store;
use cmdr_hub::vault::Vault;
use cmdr_hub::vault::master::Source;
use cmdr_link::link::{DialError, Target};
use cmdr_link::mux::Limits;
use cmdr_link::service::Service;
use cmdr_link::session::Dialer;
use cmdr_link::token::JoinToken;
use cmdr_link::{Client, Link, SecretKey};
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::{Create, TokenKind};
use cmdr_protocol::version::{Join, PeerKind, Welcome};
use cmdr_protocol::{HostId, hosts};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// One hub and all that it needs.
#[derive(Debug)]
pub struct World {
    /// The hub.
    pub hub: Arc<Hub>,
    /// Where it listens.
    pub address: SocketAddr,
    dir: PathBuf,
    /// Removes the folder in the end, where it is this one's own.
    own: Option<tempfile::TempDir>,
    /// Where its HTTP interface listens, when it is configured.
    pub api: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<tokio::task::JoinHandle<()>>,
}

/// An agent that answers with a service of the test's own.
#[derive(Debug)]
pub struct BareAgent {
    /// Which host it is.
    pub id: HostId,
    /// Its link.
    pub link: Link,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for BareAgent {
    fn drop(&mut self) {
        self.serving.abort();
        self.link.close("the test is over");
    }
}

impl World {
    /// A fresh hub.
    pub async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    /// A fresh hub with this configuration.
    pub async fn start_with(config: Config) -> Self {
        Self::start_at(tempfile::tempdir().unwrap(), config).await
    }

    /// A fresh hub with everything in this folder.
    pub async fn start_at(dir: tempfile::TempDir, config: Config) -> Self {
        let path = dir.path().to_owned();
        Self::start_in((path, Some(dir)), config, "127.0.0.1:0".parse().unwrap()).await
    }

    /// A hub on what is in this folder, which stays.
    pub async fn start_on(dir: &Path, config: Config) -> Self {
        Self::start_in((dir.to_owned(), None), config, "127.0.0.1:0".parse().unwrap()).await
    }

    async fn start_in(
        (dir, own): (PathBuf, Option<tempfile::TempDir>),
        config: Config,
        listen: SocketAddr,
    ) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let path = dir.join("store");
        let store = until_some("the store can be opened", async || Store::open(&path).ok()).await;
        let (audit, at) = (cmdr_hub::audit::folder(&dir), address.to_string());
        let keys = Keys::open(&cmdr_hub::data::key_path(&dir)).unwrap();
        let source = Source::of(&config.secrets, &dir).unwrap();
        let vault = Vault::unlock(&store, &source).await.unwrap();
        let hub = Hub::new(keys, store, vault, &audit, config, at.clone(), at).unwrap();
        hub.forward_audit().unwrap();
        let (stop, stopped) = oneshot::channel();
        let programs =
            until_some("the HTTP interface can be bound", async || Listening::open(&hub).ok())
                .await;
        let api = programs.as_ref().and_then(|api| api.addresses().first().copied());
        let serving = tokio::spawn(hub.clone().serve(vec![listener], async move {
            match programs {
                Some(programs) => programs.serve(async { drop(stopped.await) }).await,
                None => drop(stopped.await),
            }
        }));
        Self { hub, address, api, dir, own, stop: Some(stop), serving: Some(serving) }
    }

    /// A folder that lives as long as the hub.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Stops the hub in good order and starts it again on the same data and address.
    pub async fn restart(self) -> Self {
        self.restart_with(Config::default()).await
    }

    /// As [`World::restart`], with another configuration.
    pub async fn restart_with(mut self, config: Config) -> Self {
        drop(self.stop.take());
        if let Some(serving) = self.serving.take() {
            serving.await.unwrap();
        }
        let address = self.address;
        let dir = (std::mem::take(&mut self.dir), self.own.take());
        let Self { hub, .. } = self;
        drop(hub);
        Self::start_in(dir, config, address).await
    }

    /// A token's text.
    pub async fn token(&self, kind: TokenKind, role: Role, uses: u32) -> String {
        let create = Create { kind, role, ttl_s: 600, uses, ..Create::default() };
        cmdr_hub::services::make_token(&self.hub, &create, "a test").await.unwrap().text
    }

    /// What is needed to dial the hub as `kind`, with a token if any.
    pub fn dialer(&self, kind: PeerKind, key: SecretKey, token: Option<&str>) -> Dialer {
        let token = token.map(|text| JoinToken::parse(text).unwrap());
        Dialer {
            target: Target { address: self.address.to_string(), hub: self.hub.keys.public() },
            key,
            kind,
            name: "test".to_owned(),
            version: "test",
            capabilities: Vec::new(),
            join: token.map(|t| Join { token: Some(t.id), secret: t.secret.to_vec() }),
            limits: Limits::default(),
            patience: Duration::from_secs(1),
            from: None,
            dir: None,
        }
    }

    /// A client whose operator has this role.
    pub async fn client(&self, role: Role) -> Client {
        let token = self.token(TokenKind::Operator, role, 1).await;
        let key = SecretKey::generate().unwrap();
        self.dialer(PeerKind::Client, key, Some(&token)).connect().await.unwrap().0
    }

    /// An agent with this name that answers with `service`; waits until the hub shows it online.
    pub async fn bare_agent<T: Send + Sync + 'static>(
        &self,
        name: &str,
        service: Service<T>,
    ) -> BareAgent {
        let token = self.token(TokenKind::Host, Role::NONE, 1).await;
        let mut dialer = self.dialer(PeerKind::Agent, SecretKey::generate().unwrap(), Some(&token));
        name.clone_into(&mut dialer.name);
        self.serve_agent(&dialer, service).await.unwrap()
    }

    /// A real agent of this machine with this name.
    pub async fn agent(&self, name: &str) -> BareAgent {
        self.agent_with(name, agent::Config::new(self.path(name))).await
    }

    /// A real agent with this configuration.
    pub async fn agent_with(&self, name: &str, config: agent::Config) -> BareAgent {
        let token = self.token(TokenKind::Host, Role::NONE, 1).await;
        let mut dialer = self.dialer(PeerKind::Agent, SecretKey::generate().unwrap(), Some(&token));
        name.clone_into(&mut dialer.name);
        // As the program does.
        dialer.limits.streams += config.policy.forwards.max;
        self.agent_as(&dialer, config).await
    }

    /// Dials as an agent, and is a real one.
    pub async fn agent_as(&self, dialer: &Dialer, mut config: agent::Config) -> BareAgent {
        // This process is none of the agent's own.
        if config.supervisor == Path::new("/proc/self/exe") {
            config.supervisor = crate::process::program("cmdr-agentd");
        }
        let (link, welcome, streams) = dialer.dial().await.unwrap();
        let id = welcome.host.expect("agents are told which host they are");
        let agent = Agent::new(config);
        agent.prove(dialer.key.clone());
        let (meeting, service) = (agent.clone(), Arc::new(agent.into_service()));
        let serve = agent::serve(service, link.clone(), streams);
        let serving = tokio::spawn(async move {
            tokio::select! {
                () = serve => {}
                () = async { meeting.meet_others().await; std::future::pending().await } => {}
            }
        });
        self.until_state(id, hosts::HostState::Online).await;
        BareAgent { id, link, serving }
    }

    /// Dials as an agent and answers with `service`.
    pub async fn serve_agent<T: Send + Sync + 'static>(
        &self,
        dialer: &Dialer,
        service: Service<T>,
    ) -> Result<BareAgent, DialError> {
        let (link, welcome, mut streams): (Link, Welcome, _) = dialer.dial().await?;
        let id = welcome.host.expect("agents are told which host they are");
        let service = Arc::new(service);
        let serving = tokio::spawn(async move {
            while let Some(stream) = streams.recv().await {
                let service = service.clone();
                tokio::spawn(async move { service.serve(stream).await });
            }
        });
        let agent = BareAgent { id, link, serving };
        self.until_state(id, hosts::HostState::Online).await;
        Ok(agent)
    }

    /// Waits until the hub shows this host in this state.
    pub async fn until_state(&self, id: HostId, state: hosts::HostState) {
        let what = format!("host {id} is {state}");
        crate::until(&what, async || {
            self.hub.fleet.hosts().iter().any(|h| h.id == Some(id) && h.state == state)
        })
        .await;
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.dir
    }
}
