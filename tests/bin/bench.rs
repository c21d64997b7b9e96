//! `cmdr-bench`: the ends that measurements need, over the same crates the programs use. Run by the
//! scripts `scripts/bench-*`, which measure a peer beside it.

mod shell;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use cmdr_hub::audit::{Audit, Settings};
use cmdr_hub::store::Store;
use cmdr_link::link::Target;
use cmdr_link::mux::Limits;
use cmdr_link::noise::{self, Suite};
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_link::session::Dialer;
use cmdr_link::token::JoinToken;
use cmdr_link::{Client, SecretKey};
use cmdr_protocol::audit::{Record, Value};
use cmdr_protocol::hosts::Resolve;
use cmdr_protocol::ping::{Echo, Sound};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Definition, Grant};
use cmdr_protocol::version::{Join, PeerKind};
use cmdr_protocol::{CallError, HostId, exec};
use futures::{StreamExt as _, TryStreamExt as _};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Joins as a host that swallows bulk and echoes; says 'ready'
    Sink {
        /// A token for a host
        token: String,
    },
    /// Sends so many MB through the hub to a sink; prints seconds
    Bulk {
        /// A token for an operator
        token: String,
        /// The sink's name
        host: String,
        /// Megabytes
        megabytes: u64,
    },
    /// Sends a keystroke-sized message to the sink and back, one after the other; prints microseconds
    Echo {
        /// A token for an operator
        token: String,
        /// The host's name
        host: String,
        /// How often
        count: usize,
    },
    /// Runs `true` on a host again and again over one link; prints microseconds
    Exec {
        /// A token for an operator
        token: String,
        /// The host's name
        host: String,
        /// How often
        count: usize,
    },
    /// Begins so many runs on a host, so many at once, each on disk when it is answered; prints how many a second
    Runs {
        /// A token for an operator
        token: String,
        /// The host's name
        host: String,
        /// How many
        count: usize,
        /// How many at once
        #[arg(default_value_t = 64)]
        at_once: usize,
    },
    /// Presses keys that a session's terminal echoes, one after the other; prints microseconds
    ShellKeys {
        /// A token for an operator
        token: String,
        /// The host's name
        host: String,
        /// How often
        count: usize,
    },
    /// Opens sessions and waits for the first byte of each; prints microseconds
    ShellFirst {
        /// A token for an operator
        token: String,
        /// The host's name
        host: String,
        /// How often
        count: usize,
        /// Each over a link of its own
        #[arg(long)]
        fresh: bool,
    },
    /// Has so many MB of text printed in a session and takes them in; prints seconds
    ShellBulk {
        /// A token for an operator
        token: String,
        /// The host's name
        host: String,
        /// Megabytes
        megabytes: u64,
    },
    /// Decides whether a request is allowed, by a role of so many grants, about one of so many hosts
    /// after the other; prints nanoseconds a decision: of the first look at each host, then of later ones
    Decisions {
        /// Grants of the role
        grants: usize,
        /// Hosts
        hosts: usize,
    },
    /// Appends records to an audit log of its own, from so many callers at once; prints microseconds
    Audit {
        /// A folder that does not exist yet
        dir: std::path::PathBuf,
        /// How many at once
        callers: usize,
        /// How many each
        count: usize,
    },
    /// Answers handshakes, first from memory, then over TCP from another thread; prints how many a second
    /// of the answering side's own processor time, one line each
    Handshakes {
        /// How many
        count: usize,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    cmdr_link::memory::keep(1 << 20);
    match Cli::parse().command {
        Command::Sink { token } => sink(&token).await,
        Command::Bulk { token, host, megabytes } => bulk(&token, &host, megabytes).await,
        Command::Echo { token, host, count } => echo(&token, &host, count).await,
        Command::Exec { token, host, count } => run(&token, &host, count).await,
        Command::Runs { token, host, count, at_once } => runs(&token, &host, count, at_once).await,
        Command::ShellKeys { token, host, count } => shell::keys(&token, &host, count).await,
        Command::ShellFirst { token, host, count, fresh } => {
            shell::first(&token, &host, count, fresh).await
        }
        Command::ShellBulk { token, host, megabytes } => {
            shell::bulk(&token, &host, megabytes).await
        }
        Command::Decisions { grants, hosts } => decisions(grants, hosts).await,
        Command::Audit { dir, callers, count } => audit(&dir, callers, count).await,
        Command::Handshakes { count } => handshakes(count).await,
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("writing to standard output")
}

fn dialer(token: &str, kind: PeerKind, name: &str) -> anyhow::Result<Dialer> {
    let token = JoinToken::parse(token)?;
    Ok(Dialer {
        target: Target { address: token.address.clone(), hub: token.hub },
        key: SecretKey::generate()?,
        kind,
        name: name.to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        capabilities: Vec::new(),
        join: Some(Join { token: Some(token.id), secret: token.secret.to_vec() }),
        limits: Limits::default(),
        patience: Duration::from_secs(1),
        from: None,
        dir: None,
    })
}

async fn client(token: &str, host: &str) -> anyhow::Result<(Client, HostId)> {
    let (client, _) = dialer(token, PeerKind::Client, "bench")?.connect().await?;
    let targets = client.call(None, &Resolve::of(host), Duration::from_secs(10)).await?.targets;
    let (id, _, _) = targets.first().with_context(|| format!("there is no host {host}"))?;
    let id = *id;
    Ok((client, id))
}

async fn swallow(
    _: Arc<()>,
    _: Asked,
    _: exec::Start,
    mut feeding: Feeding<exec::Start>,
) -> Result<(), CallError> {
    let mut bytes = 0;
    loop {
        let input = feeding.input().await?;
        bytes += input.data.len() as u64;
        if input.eof {
            let exit = exec::Exit { took_ms: bytes, ..exec::Exit::default() };
            return feeding.send(&exec::Item { exit: Some(exit), ..exec::Item::default() }).await;
        }
    }
}

async fn back(_: Arc<()>, _: Asked, _: Echo, mut feeding: Feeding<Echo>) -> Result<(), CallError> {
    loop {
        let sound = feeding.input().await?;
        feeding.send(&sound).await?;
    }
}

async fn sink(token: &str) -> anyhow::Result<()> {
    let (_link, _, mut streams) = dialer(token, PeerKind::Agent, "sink")?.dial().await?;
    let service = Arc::new(Service::new(()).feed(swallow).feed(back));
    say("ready")?;
    while let Some(stream) = streams.recv().await {
        let service = service.clone();
        tokio::spawn(async move { service.serve(stream).await });
    }
    Ok(())
}

async fn bulk(token: &str, host: &str, megabytes: u64) -> anyhow::Result<()> {
    let (client, id) = client(token, host).await?;
    let start = exec::Start { argv: vec!["sink".to_owned()], ..exec::Start::default() };
    let mut feed = client.feed(Some(id), &start).await?;
    let input = exec::Input { data: vec![0x5a; 32_000], ..exec::Input::default() };
    let count = megabytes * 1_000_000 / 32_000;
    let begin = Instant::now();
    for _ in 0..count {
        feed.send(&input).await?;
    }
    feed.send(&exec::Input { eof: true, ..exec::Input::default() }).await?;
    let last = feed.next().await.context("the sink hung up")??;
    let took = begin.elapsed();
    let got = last.exit.map_or(0, |exit| exit.took_ms);
    anyhow::ensure!(got == count * 32_000, "{got} bytes arrived of {}", count * 32_000);
    say(&format!("{:.4}", took.as_secs_f64()))
}

async fn echo(token: &str, host: &str, count: usize) -> anyhow::Result<()> {
    let (client, id) = client(token, host).await?;
    let mut feed = client.feed(Some(id), &Echo {}).await?;
    let sound = Sound { data: vec![b'x'] };
    for number in 0..count + 50 {
        let begin = Instant::now();
        feed.send(&sound).await?;
        feed.next().await.context("the host hung up")??;
        if number >= 50 {
            say(&begin.elapsed().as_micros().to_string())?;
        }
    }
    Ok(())
}

async fn runs(token: &str, host: &str, count: usize, at_once: usize) -> anyhow::Result<()> {
    let (client, _) = client(token, host).await?;
    let command = cmdr_protocol::runs::Command { argv: vec!["true".to_owned()] };
    let begin = Instant::now();
    let calls = (0..count).map(|number| {
        let start = cmdr_protocol::runs::Start {
            key: format!("bench {number}"),
            hosts: host.to_owned(),
            order: cmdr_protocol::runs::Order {
                command: Some(command.clone()),
                ..Default::default()
            },
            ..Default::default()
        };
        let client = client.clone();
        async move { client.call(None, &start, Duration::from_secs(30)).await.map(drop) }
    });
    futures::stream::iter(calls).buffer_unordered(at_once).try_collect::<()>().await?;
    say(&format!("{:.1}", count as f64 / begin.elapsed().as_secs_f64()))
}

async fn run(token: &str, host: &str, count: usize) -> anyhow::Result<()> {
    let (client, id) = client(token, host).await?;
    let start = exec::Start { argv: vec!["true".to_owned()], ..exec::Start::default() };
    for _ in 0..count {
        let begin = Instant::now();
        let mut feed = client.feed(Some(id), &start).await?;
        let mut exit = None;
        while let Some(item) = feed.next().await {
            exit = item?.exit.or(exit);
        }
        anyhow::ensure!(exit.is_some_and(|e| e.code == 0), "true failed: {exit:?}");
        say(&begin.elapsed().as_micros().to_string())?;
    }
    Ok(())
}

async fn audit(dir: &std::path::Path, callers: usize, count: usize) -> anyhow::Result<()> {
    let store = Store::open(&dir.join("store"))?;
    let audit =
        Audit::open(&dir.join("audit"), &SecretKey::generate()?, store, Settings::default())?;
    let argv = Value::List(vec![Value::Text("systemctl restart nginx".to_owned())]);
    let record = Record {
        operator: "ann@desk".to_owned(),
        address: "192.0.2.7".to_owned(),
        method: "exec.start".to_owned(),
        resource: "command:systemctl".to_owned(),
        host_name: "web1".to_owned(),
        body: Some(Value::Map(vec![("argv".to_owned(), argv)])),
        ..Record::default()
    };
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (audit, record) = (audit.clone(), record.clone());
            tokio::spawn(async move {
                let mut took = Vec::with_capacity(count);
                for _ in 0..count {
                    let begin = Instant::now();
                    audit.open_request(record.clone()).await?;
                    took.push(begin.elapsed().as_micros());
                }
                anyhow::Ok(took)
            })
        })
        .collect();
    for task in tasks {
        for micros in task.await?? {
            say(&micros.to_string())?;
        }
    }
    Ok(())
}

async fn handshakes(count: usize) -> anyhow::Result<()> {
    let key = SecretKey::generate()?;
    let public = key.public();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let dialing = move || {
        std::thread::spawn(move || -> anyhow::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let ours = SecretKey::generate()?;
                for _ in 0..count {
                    let tcp = TcpStream::connect(address).await?;
                    noise::initiate(tcp, &ours, &public, Suite::best()).await?;
                }
                Ok(())
            })
        })
    };
    let used = || {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
    };
    let mut firsts = Vec::with_capacity(count);
    let dialer = SecretKey::generate()?;
    for _ in 0..count {
        let (near, mut far) = tokio::io::duplex(512);
        let mut first = [0; 104];
        tokio::select! {
            _ = noise::initiate(near, &dialer, &public, Suite::best()) => anyhow::bail!("it did not wait for an answer"),
            read = far.read_exact(&mut first) => read.context("the first message")?,
        };
        firsts.push(first);
    }
    let begin = used();
    for first in &firsts {
        noise::respond(tokio::io::join(&first[..], tokio::io::sink()), &key).await?;
    }
    say(&format!("{:.0}", count as f64 / (used() - begin)))?;
    let dialing = dialing();
    let begin = used();
    for _ in 0..count {
        let (tcp, _) = listener.accept().await?;
        noise::respond(tcp, &key).await?;
    }
    let took = used() - begin;
    dialing.join().map_err(|_| anyhow::anyhow!("the dialing thread failed"))??;
    say(&format!("{:.0}", count as f64 / took))
}

async fn decisions(grants: usize, hosts: usize) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let store = cmdr_hub::store::Store::open(dir.path())?;
    let config = cmdr_hub::config::Config::default();
    let hub = cmdr_hub::server::Hub::new(
        SecretKey::generate()?,
        store,
        cmdr_hub::vault::Vault::locked(),
        &dir.path().join("audit"),
        config,
        String::new(),
        String::new(),
    )?;
    let mut ids = Vec::with_capacity(hosts);
    for n in 0..hosts as u64 {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        let key = cmdr_protocol::PublicKey(key);
        let labels = [("shard".to_owned(), (n % 100).to_string())].into();
        hub.fleet.admit(hub.fleet.propose(key, &format!("host-{n}"), labels, false));
        ids.push(cmdr_link::keys::host_id(&key));
    }
    // The grant that holds is the last but one for its host; most others do not apply to it.
    let grant = |n: usize| Grant {
        verbs: vec!["exec.start".to_owned()],
        resources: vec![format!("command:/opt/tool-{}", n / 100)],
        hosts: format!("shard={}", n % 100),
        ..Grant::default()
    };
    let role = Role::parse("bench")?;
    let grants: Vec<_> = (0..grants).map(grant).collect();
    let last = grants.len().saturating_sub(1) / 100;
    hub.rights.put(Definition { name: role, grants, ..Definition::default() }).await?;
    let who = cmdr_hub::who::Who::of(role);
    let method = cmdr_protocol::methods::index("exec.start").context("there is no exec.start")?;
    let resource = format!("command:/opt/tool-{last}");
    for round in 0..4 {
        let begin = Instant::now();
        let mut allowed = 0;
        for id in &ids {
            allowed += usize::from(hub.decide(&who, method, Some(&resource), Some(*id)).is_ok());
        }
        let each = begin.elapsed().as_nanos() / ids.len() as u128;
        anyhow::ensure!(allowed == ids.len(), "{allowed} of {} were allowed", ids.len());
        if round == 0 || round == 3 {
            say(&each.to_string())?;
        }
    }
    Ok(())
}
