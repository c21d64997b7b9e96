//! A host gets a new key: it stays who it is, the old key is refused, and whoever ends at any step, the
//! host comes back.

use cmdr_agentd::agent::{self, Agent};
use cmdr_agentd::dialer::Keyed;
use cmdr_agentd::join;
use cmdr_link::link::DialError;
use cmdr_link::session::{self, State};
use cmdr_link::token::JoinToken;
use cmdr_link::{Client, Link, SecretKey, context};
use cmdr_protocol::exec::Start;
use cmdr_protocol::hostkeys::{Next, Rotate};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::{PeerKind, RefusalKind};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use harness::{World, until};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(15);

/// An agent that dials for good, as the program does; ends as if killed when dropped.
pub(crate) struct Host {
    pub(crate) dir: PathBuf,
    pub(crate) id: HostId,
    running: JoinHandle<()>,
    link: Current,
}

/// The link that is up.
type Current = Arc<Mutex<Option<Link>>>;

impl Host {
    pub(crate) async fn join(world: &World, name: &str) -> Self {
        let token = world.token(TokenKind::Host, Role::NONE, 1).await;
        Self::join_with(world, name, &token).await
    }

    pub(crate) async fn join_with(world: &World, name: &str, token: &str) -> Self {
        let dir = world.path(name);
        cmdr_link::files::private_dir(&dir).unwrap();
        let ask = join::Ask::Token(JoinToken::parse(token).unwrap());
        let joined = join::join(&dir, name.to_owned(), ask).await.unwrap();
        let join::Joined::Welcome { id, .. } = joined else { panic!("{joined}") };
        // Joining is a link of its own: until the hub has seen its end, the host is online by that one.
        world.until_state(id, HostState::Away).await;
        let link = Current::default();
        Self { running: Self::run(&dir, &link), dir, id, link }
    }

    fn run(dir: &Path, current: &Current) -> JoinHandle<()> {
        let current = current.clone();
        let kept = context::Context::load(dir).unwrap();
        let mut config = agent::Config::new(dir.to_owned());
        config.supervisor = harness::process::program("cmdr-agentd");
        let service = Arc::new(Agent::service(config));
        let mut dialer = join::dialer(kept.target, kept.key, "web1".to_owned(), None);
        dialer.patience = Duration::from_millis(100);
        let dialer = Keyed::new(dialer, dir.to_owned());
        tokio::spawn(async move {
            let first = State::Connecting { attempt: 0, last_error: None, retry_at: None };
            let (state, _seen) = watch::channel(first);
            let up = |link: Link, _, streams| {
                *current.lock().unwrap() = Some(link.clone());
                agent::serve(service.clone(), link, streams)
            };
            session::keep(&dialer, &state, up).await;
        })
    }

    pub(crate) async fn killed(&self) {
        self.running.abort();
        until("it is gone", async || self.running.is_finished()).await;
        // The end of a process takes its sockets with it; that of a task does not.
        if let Some(link) = self.link.lock().unwrap().take() {
            link.close("killed");
        }
    }

    pub(crate) fn start(&mut self) {
        self.running = Self::run(&self.dir, &self.link);
    }

    /// Starts again on what is on disk, and is the same host.
    pub(crate) async fn comes_back(&mut self, world: &World) {
        self.killed().await;
        world.until_state(self.id, HostState::Away).await;
        self.start();
        world.until_state(self.id, HostState::Online).await;
        assert_eq!(world.hub.fleet.hosts().len(), 1);
        assert_eq!(context::host_id(&self.dir, &self.key()), self.id);
    }

    fn key(&self) -> SecretKey {
        SecretKey::load(&context::key_file(&self.dir)).unwrap()
    }

    fn next(&self) -> PathBuf {
        context::next_key_file(&self.dir)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn rotate(client: &Client, host: HostId) -> Result<cmdr_protocol::PublicKey, CallError> {
    client.call(None, &Rotate { host }, PATIENCE).await.map(|rotated| rotated.key)
}

#[tokio::test]
async fn a_host_with_a_new_key_is_the_same_host_and_its_old_key_is_refused() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let mut host = Host::join(&world, "web1").await;
    world.until_state(host.id, HostState::Online).await;
    let mut old = vec![host.key()];
    for _ in 0..3 {
        let new = rotate(&client, host.id).await.unwrap();
        assert_eq!((host.key().public(), host.next().exists()), (new, false));
        assert_eq!(world.hub.fleet.key(host.id), Some(new));
        for key in &old {
            match world.dialer(PeerKind::Agent, key.clone(), None).dial().await {
                Err(DialError::Refused { refusal, .. }) => {
                    assert_eq!(refusal.kind, RefusalKind::UnknownKey);
                }
                other => panic!("the old key was not refused: {:?}", other.map(|_| "let in")),
            }
        }
        old.push(host.key());
    }
    let records = world.hub.audit.follow(Some(0)).read().await.unwrap();
    let taken: Vec<_> = records.iter().filter(|r| r.method == "hostkeys.taken").collect();
    assert_eq!(taken.len(), 3);
    assert!(
        taken[2].host == Some(host.id)
            && taken[2].message.contains(&host.key().public().to_string())
    );
    // Nor does a token make another host of the first key: the id is taken.
    let token = world.token(TokenKind::Host, Role::NONE, 1).await;
    let again = world.dialer(PeerKind::Agent, old[0].clone(), Some(&token)).dial().await;
    assert!(matches!(again, Err(DialError::Refused { .. })));
    host.comes_back(&world).await;
    assert_eq!(world.hub.fleet.hosts()[0].name, "web1");
    let operator = world.client(Role::OPERATOR).await;
    assert_eq!(rotate(&operator, host.id).await.unwrap_err().kind, ErrorKind::Denied);
}

#[tokio::test]
async fn whoever_runs_a_command_there_meanwhile_is_told_that_it_is_lost() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let host = Host::join(&world, "web1").await;
    world.until_state(host.id, HostState::Online).await;
    let argv = ["sh", "-c", "echo begun; sleep 600"].map(str::to_owned).to_vec();
    let mut feed = client.feed(Some(host.id), &Start { argv, ..Start::default() }).await.unwrap();
    while feed.next().await.unwrap().unwrap().stdout != b"begun\n" {}
    rotate(&client, host.id).await.unwrap();
    let ended = loop {
        match feed.next().await {
            Some(Ok(_)) => {}
            Some(Err(e)) => break e,
            None => panic!("the command did not end by itself"),
        }
    };
    assert_eq!(ended.kind, ErrorKind::Lost);
    assert!(ended.message.contains("the link to the host broke"), "{ended}");
}

#[tokio::test]
async fn an_agent_that_ends_at_any_step_comes_back_as_the_same_host() {
    let mut world = World::start().await;
    let mut host = Host::join(&world, "web1").await;
    world.until_state(host.id, HostState::Online).await;
    for (step, hub_too) in [(0, false), (1, false), (1, true), (2, false), (2, true), (0, true)] {
        let before = host.key().public();
        host.killed().await;
        // The agent has made its next key and is gone;
        let next = SecretKey::load_or_create(&host.next()).unwrap().public();
        if step >= 1 {
            // after the hub has kept it;
            world.hub.fleet.expect_key(host.id, next).await.unwrap();
        }
        if step >= 2 {
            // after the hub has seen it proved, but before the agent was told.
            world.hub.fleet.take_key(host.id, next).await.unwrap();
        }
        if hub_too {
            world = world.restart().await;
        }
        host.comes_back(&world).await;
        let expected = if step == 0 { before } else { next };
        // The hub sees it online a moment before it has put its key in place.
        let kept = format!("the right key is in place after step {step}");
        until(&kept, async || host.key().public() == expected && !host.next().exists()).await;
        let client = world.client(Role::ADMINISTRATOR).await;
        rotate(&client, host.id).await.unwrap();
    }
}

#[tokio::test]
async fn an_agent_asked_by_somebody_else_keeps_the_key_that_the_hub_knows() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let mut host = Host::join(&world, "web1").await;
    world.until_state(host.id, HostState::Online).await;
    let before = host.key().public();
    let told = client.call(Some(host.id), &Next {}, PATIENCE).await.unwrap();
    assert_ne!(told.key, before);
    host.comes_back(&world).await;
    assert_eq!(host.key().public(), before);
    until("the unknown key is thrown away", async || !host.next().exists()).await;
}
