//! A test that is the hub itself: an agent, as a process or in this one, dials it, and it says what a hub would.

use crate::process::{Running, program};
use cmdr_agentd::agent::{self, Agent, Config};
use cmdr_link::link::{self, Target};
use cmdr_link::mux::{Limits, Stream};
use cmdr_link::session::Dialer;
use cmdr_link::{Client, Link, SecretKey, clock, context, keys};
use cmdr_protocol::HostId;
use cmdr_protocol::role::Role;
use cmdr_protocol::version::{PROTOCOL, PeerKind, Welcome};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// One agent and the place where it dials.
#[derive(Debug)]
pub struct Lone {
    /// Which host it is.
    pub id: HostId,
    /// A folder for the test.
    pub dir: PathBuf,
    /// The agent's own folder.
    pub state: PathBuf,
    listener: TcpListener,
    hub: SecretKey,
    agent: SecretKey,
    /// The text of its policy file, for the next start.
    pub policy: String,
    running: Option<Running>,
    _folder: tempfile::TempDir,
}

/// The link that the agent has dialed.
#[derive(Debug)]
pub struct Up {
    /// Asks the agent.
    pub client: Client,
    /// To be cut.
    pub link: Link,
    _streams: mpsc::Receiver<Stream>,
}

impl Lone {
    /// Nobody dials yet.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().canonicalize().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (hub, agent) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let (id, state) = (keys::host_id(&agent.public()), dir.join("agent"));
        Self {
            id,
            dir,
            state,
            listener,
            hub,
            agent,
            policy: String::new(),
            running: None,
            _folder: folder,
        }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// Starts a real agent as a process.
    pub fn start(&mut self) {
        if !self.state.join("hub.toml").exists() {
            cmdr_link::files::private_dir(&self.state).unwrap();
            self.agent.save(&context::key_file(&self.state)).unwrap();
            context::Context::save_target(&self.state, &self.address(), &self.hub.public())
                .unwrap();
        }
        let mut command = std::process::Command::new(program("cmdr-agentd"));
        let policy = self.dir.join("policy.toml");
        cmdr_link::files::write_private(&policy, self.policy.as_bytes()).unwrap();
        command.args(["run", "--state"]).arg(&self.state).arg("--policy").arg(policy);
        self.running = Some(Running::start(&mut command, &self.state.with_extension("log")));
    }

    /// Ends the agent as a power cut would.
    pub fn kill(&mut self) {
        self.running.take().unwrap().kill();
    }

    /// Asks the agent to end.
    pub fn terminate(&self) {
        self.running.as_ref().unwrap().terminate();
    }

    /// Whether the agent's process is there.
    pub fn is_running(&mut self) -> bool {
        self.running.as_mut().is_some_and(|running| running.ended().is_none())
    }

    /// Takes the agent's next link.
    pub async fn accept(&self) -> Up {
        let taken = async {
            loop {
                let (tcp, _) = self.listener.accept().await.unwrap();
                let Ok(incoming) = link::accept(tcp, &self.hub, Limits::default()).await else {
                    continue;
                };
                let welcome = Welcome {
                    protocol: PROTOCOL,
                    version: "test".to_owned(),
                    capabilities: Vec::new(),
                    name: "lone".to_owned(),
                    host: Some(self.id),
                    key: None,
                    role: Role::NONE,
                    verbs: Vec::new(),
                    expires_ms: None,
                    renew_ms: None,
                    at_ms: clock::now_ms(),
                    next_hub_key: None,
                };
                if let Ok((link, streams)) = incoming.welcome(welcome).await {
                    let client = Client::new(link.clone());
                    return Up { client, link, _streams: streams };
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), taken).await.expect("the agent dials")
    }

    /// An agent in this process, and its link.
    pub async fn serve(&self, config: Config) -> (Agent, Up) {
        let supervisor = program("cmdr-agentd");
        let agent = Agent::new(Config { supervisor, ..config });
        let up = self.link(&agent).await;
        (agent, up)
    }

    /// One more link of an agent in this process.
    pub async fn link(&self, agent: &Agent) -> Up {
        let dialer = Dialer {
            target: Target { address: self.address(), hub: self.hub.public() },
            key: self.agent.clone(),
            kind: PeerKind::Agent,
            name: "lone".to_owned(),
            version: "test",
            capabilities: Vec::new(),
            join: None,
            limits: Limits::default(),
            patience: Duration::from_secs(1),
            from: None,
            dir: None,
        };
        let (dialed, up) = tokio::join!(dialer.dial(), self.accept());
        let (link, _, streams) = dialed.unwrap();
        let service = Arc::new(agent.clone().into_service());
        tokio::spawn(agent::serve(service, link, streams));
        up
    }
}
