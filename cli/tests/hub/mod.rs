//! A hub in the test's own process: the real link and the real service table, a small canned fleet,
//! and "commands" that do what their name says.

use cmdr_link::context::{Context, key_file};
use cmdr_link::link;
use cmdr_link::mux::Limits;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_link::{Link, SecretKey};
use cmdr_protocol::exec::{Exit, Input, Item, Outcome, Start};
use cmdr_protocol::hosts::{Change, Figures, Host, HostState, Resolve, Targets, Watch};
use cmdr_protocol::role::Role;
use cmdr_protocol::runs::{Plan, Planned, PlannedHost};
use cmdr_protocol::selector::Selector;
use cmdr_protocol::version::{PROTOCOL, Welcome};
use cmdr_protocol::{CallError, ErrorKind, HostId, PublicKey};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// What the handlers share.
#[derive(Default)]
struct Fleet {
    links: Mutex<Vec<Link>>,
    started: AtomicUsize,
    running: AtomicUsize,
}

/// What every stream's handler gets.
struct Shared(Arc<Fleet>);

/// A hub that ends with the test.
pub(crate) struct FakeHub {
    home: tempfile::TempDir,
    address: SocketAddr,
    fleet: Arc<Fleet>,
    stop: Mutex<Option<tokio::sync::oneshot::Sender<()>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn hosts() -> Vec<Host> {
    let host = |byte, name: &str, state, role: &str| Host {
        id: Some(HostId([byte; 16])),
        name: name.into(),
        state,
        labels: [("role".to_owned(), role.to_owned())].into(),
        last_drop: "\u{1b}]0;owned\u{7}".into(),
        agent: "0.1.0\u{1b}]0;owned\u{7}".into(),
        ..Host::default()
    };
    vec![
        host(9, "away1", HostState::Away, "db"),
        host(1, "web1", HostState::Online, "web"),
        host(2, "web2", HostState::Online, "web"),
    ]
}

fn picked(selector: &str) -> Result<Vec<Host>, CallError> {
    let selector = Selector::parse(selector).map_err(|e| CallError::malformed(e.to_string()))?;
    Ok(hosts().into_iter().filter(|host| selector.matches(host)).collect())
}

async fn resolve(_: Arc<Shared>, _: Asked, call: Resolve) -> Result<Targets, CallError> {
    let one = |host: Host| host.id.map(|id| (id, host.name, host.state));
    Ok(Targets {
        targets: picked(&call.selector)?.into_iter().filter_map(one).collect(),
        ..Targets::default()
    })
}

async fn plan(_: Arc<Shared>, _: Asked, call: Plan) -> Result<Planned, CallError> {
    let one = |host: Host| PlannedHost {
        host: host.id,
        name: host.name,
        state: host.state,
        ..PlannedHost::default()
    };
    let hosts: Vec<_> = picked(&call.start.hosts)?.into_iter().map(one).collect();
    let online = hosts.iter().filter(|host| host.state == HostState::Online).count();
    Ok(Planned { count: hosts.len() as u32, online: online as u32, hosts, ..Planned::default() })
}

async fn watch(
    _: Arc<Shared>,
    _: Asked,
    call: Watch,
    feed: Feeding<Watch>,
) -> Result<(), CallError> {
    let put = picked(&call.selector)?;
    let figures = put
        .iter()
        .filter(|host| host.state == HostState::Online)
        .filter_map(|host| host.id)
        .map(|id| Figures {
            id,
            cpu: 125,
            memory_used: 1,
            memory_total: 2,
            load: 3,
            disk: 4,
            received: 5,
            sent: 6,
            rtt_us: 7,
        })
        .collect();
    feed.send(&Change { reset: true, put, figures, ..Change::default() }).await?;
    std::future::pending().await
}

/// Counts a command for as long as it runs.
struct Running(Arc<Fleet>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn exec(
    shared: Arc<Shared>,
    _: Asked,
    start: Start,
    mut feed: Feeding<Start>,
) -> Result<(), CallError> {
    let fleet = &shared.0;
    fleet.started.fetch_add(1, Ordering::SeqCst);
    fleet.running.fetch_add(1, Ordering::SeqCst);
    let _running = Running(Arc::clone(fleet));
    let word = |at: usize| start.argv.get(at).map(String::as_str).unwrap_or_default();
    let number = word(1).parse().unwrap_or_default();
    let end =
        |outcome, code| Item { exit: Some(Exit { outcome, code, took_ms: 1 }), ..Item::default() };
    let out = |bytes: &[u8]| Item { stdout: bytes.to_vec(), ..Item::default() };
    match word(0) {
        "forbidden" => {
            return Err(CallError::denied("the policy of this host forbids it"));
        }
        "unfit" => return Err(CallError::failed("unfit: cannot be executed")),
        "missing" => return Err(CallError::not_found("there is no program 'missing'")),
        _ => feed.send(&Item { pid: Some(42), ..Item::default() }).await?,
    }
    match word(0) {
        "exit" => {
            feed.send(&out(b"out\n")).await?;
            feed.send(&Item { stderr: b"err\n".to_vec(), ..Item::default() }).await?;
            feed.send(&end(Outcome::Exited, number)).await
        }
        "signal" => feed.send(&end(Outcome::Signalled, number)).await,
        "overrun" if start.timeout_ms == Some(5000) => feed.send(&end(Outcome::TimedOut, 9)).await,
        "cut" => {
            feed.send(&out(b"out\n")).await?;
            for link in fleet.links.lock().unwrap().iter() {
                link.close("the machine lost its power");
            }
            std::future::pending().await
        }
        "cat" if start.stdin => loop {
            let Input { data, eof, .. } = feed.input().await?;
            feed.send(&out(&data)).await?;
            if eof {
                return feed.send(&end(Outcome::Exited, 0)).await;
            }
        },
        "flood" => loop {
            feed.send(&out(&[b'y'; 16 * 1024])).await?;
        },
        "wait" => {
            feed.send(&out(b"waiting\n")).await?;
            std::future::pending().await
        }
        _ => Err(CallError::new(ErrorKind::Failed, "no such play")),
    }
}

impl FakeHub {
    pub(crate) fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let client = home.path().join("client");
        cmdr_link::files::private_dir(&client).unwrap();
        let key = SecretKey::generate().unwrap();
        SecretKey::load_or_create(&key_file(&client)).unwrap();
        let fleet = Arc::new(Fleet::default());
        let (tell, told) = mpsc::sync_channel(1);
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let (hub_key, shared) = (key.clone(), fleet.clone());
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    tokio::select! {
                        accepted = listener.accept() => {
                            let (tcp, _) = accepted.unwrap();
                            tokio::spawn(serve(tcp, hub_key.clone(), shared.clone()));
                        }
                        _ = &mut stopped => return,
                    }
                }
            });
        });
        let address: SocketAddr = told.recv().unwrap();
        Context::save_target(&client, &address.to_string(), &key.public()).unwrap();
        let (stop, thread) = (Mutex::new(Some(stop)), Mutex::new(Some(thread)));
        Self { home, address, fleet, stop, thread }
    }

    /// The program, with this hub's home.
    pub(crate) fn cmdr(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cmdr"));
        command
            .args(arguments)
            .env("CMDR_HOME", self.home.path())
            .env_remove("CLICOLOR_FORCE")
            .env_remove("NO_COLOR");
        command
    }

    /// The folder that is `CMDR_HOME`.
    pub(crate) fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// Commands that were ever started.
    pub(crate) fn started(&self) -> usize {
        self.fleet.started.load(Ordering::SeqCst)
    }

    /// Waits until every command has heard that it shall end.
    pub(crate) fn wait_for_no_commands(&self) {
        let begun = Instant::now();
        while self.fleet.running.load(Ordering::SeqCst) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(10), "a command still runs");
            std::thread::yield_now();
        }
    }

    pub(crate) fn pin_another_key(&self) {
        let client = self.home.path().join("client");
        Context::save_target(&client, &self.address.to_string(), &PublicKey([9; 32])).unwrap();
    }

    pub(crate) fn stop(&self) {
        drop(self.stop.lock().unwrap().take());
        if let Some(thread) = self.thread.lock().unwrap().take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn serve(tcp: tokio::net::TcpStream, key: SecretKey, fleet: Arc<Fleet>) {
    let Ok(incoming) = link::accept(tcp, &key, Limits::default()).await else { return };
    let welcome = Welcome {
        protocol: PROTOCOL,
        version: "0.1.0".into(),
        capabilities: Vec::new(),
        name: "ann@desk".into(),
        host: None,
        key: None,
        role: Role::ADMINISTRATOR,
        expires_ms: None,
        renew_ms: None,
        verbs: Vec::new(),
        at_ms: 0,
        next_hub_key: None,
    };
    let Ok((link, mut streams)) = incoming.welcome(welcome).await else { return };
    fleet.links.lock().unwrap().push(link);
    let service = Service::new(Shared(fleet)).on(resolve).on(plan).feed(watch).feed(exec);
    let service = Arc::new(service);
    while let Some(stream) = streams.recv().await {
        let service = service.clone();
        tokio::spawn(async move { service.serve(stream).await });
    }
}
