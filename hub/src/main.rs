//! `cmdr-hub`: starts the hub, and looks after its data folder.

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use cmdr_hub::config::Config;
use cmdr_hub::data::{self, DataDir};
use cmdr_hub::local::{self, Local};
use cmdr_hub::server::Hub;
use cmdr_hub::store::Store;
use cmdr_hub::{backup, services};
use cmdr_link::files;
use cmdr_protocol::envelope::Role;
use cmdr_protocol::hub::Checked;
use cmdr_protocol::tokens::{Create, Created, List, Listing, Revoke, TokenKind};
use cmdr_protocol::{Call, CallError, hub as hub_api};
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

/// Commander's hub: accepts links from agents and operators, authorises, relays, keeps the fleet's state.
#[derive(Debug, Parser)]
#[command(name = "cmdr-hub", version, disable_help_subcommand = true)]
struct Cli {
    /// Data folder [default: $CMDR_HOME/hub, /var/lib/cmdr-hub for root]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the hub (what it does without a command)
    Serve(Serve),
    /// Make a join token, list tokens, withdraw one
    Token(Token),
    /// Read every record and check it
    Check,
    /// Write everything durable into a file
    Backup {
        /// The file; must not exist yet
        file: PathBuf,
    },
    /// Read a backup into an empty data folder
    Restore {
        /// The backup
        file: PathBuf,
        /// The hub's key file to put in place first, when this data folder is new
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

#[derive(Clone, Debug, Default, Args)]
struct Serve {
    /// Listen here instead of on 0.0.0.0:7700; may be given several times
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Where peers shall dial, written into tokens [default: this machine's name and the port]
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Write address, key and pid into this file when the hub listens
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Do not print a token for the first administrator
    #[arg(long)]
    no_first_token: bool,
}

#[derive(Debug, Args)]
struct Token {
    #[command(subcommand)]
    verb: Option<TokenVerb>,
    #[command(flatten)]
    create: NewToken,
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// List all tokens, newest first
    List,
    /// Withdraw a token
    Revoke {
        /// Its id, from the list
        id: String,
    },
}

#[derive(Debug, Args)]
struct NewToken {
    /// For a host (the default)
    #[arg(long, conflicts_with = "operator")]
    host: bool,
    /// For an operator with this role: administrator, operator or observer
    #[arg(long, value_name = "ROLE")]
    operator: Option<String>,
    /// How long it can be used: 30m, 12h, 7d
    #[arg(long, default_value = "30m", value_parser = duration)]
    ttl: Duration,
    /// How often it can be used
    #[arg(long, default_value_t = 1)]
    uses: u32,
    /// A label for hosts that join with it; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Where peers shall dial, instead of the hub's own idea of it
    #[arg(long, value_name = "HOST:PORT", default_value = "")]
    address: String,
    /// Print the token alone
    #[arg(long, short)]
    quiet: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..split].parse().map_err(|_| "a number and a unit, such as 30m".to_owned())?;
    let unit = match &text[split..] {
        "s" => 1,
        "" | "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err("the unit is s, m, h or d".to_owned()),
    };
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(|| "too long".to_owned())
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    cmdr_link::memory::keep(1 << 20);
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("CMDR_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sled=warn")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    // One thread carries all links: a relayed byte then never waits for another processor to wake up.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.context("starting the runtime").and_then(|rt| rt.block_on(run(cli)));
    match result {
        Ok(code) => code,
        Err(e) => {
            say_error(&format!("{e:#}"));
            ExitCode::FAILURE
        }
    }
}

/// One line, whatever the causes are.
fn say_error(text: &str) {
    let line = text.replace('\n', " ");
    drop(writeln!(std::io::stderr(), "cmdr-hub: {line}"));
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("writing to standard output")
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = match &cli.config {
        Some(path) => Config::read(path)?,
        None => Config::default(),
    };
    let dir = cli.data.or_else(|| config.data.clone()).unwrap_or_else(data::default_dir);
    match cli.command {
        None => serve(&dir, config, cli.serve).await,
        Some(Command::Serve(args)) => serve(&dir, config, args).await,
        Some(Command::Token(args)) => token(&dir, &config, args).await,
        Some(Command::Check) => check(&dir).await,
        Some(Command::Backup { file }) => backup_to(&dir, &file).await,
        Some(Command::Restore { file, key }) => restore(&dir, &file, key.as_deref()).await,
    }
}

fn bind(address: &str) -> anyhow::Result<TcpListener> {
    let parsed: SocketAddr = address.parse().with_context(|| {
        format!("'{address}' is not an address to listen on; give one like 0.0.0.0:7700")
    })?;
    let bound = || {
        let socket = if parsed.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(parsed)?;
        socket.listen(4096)
    };
    bound().with_context(|| {
        format!("listening on {address} (is another hub running? choose another with --listen)")
    })
}

async fn serve(dir: &Path, config: Config, args: Serve) -> anyhow::Result<ExitCode> {
    let data = DataDir::open(dir)?;
    let key = data.key()?;
    let wanted = if args.listen.is_empty() { config.listen.clone() } else { args.listen };
    anyhow::ensure!(!wanted.is_empty(), "there is nothing to listen on; give --listen");
    let listeners = wanted.iter().map(|a| bind(a)).collect::<anyhow::Result<Vec<_>>>()?;
    let local = listeners[0].local_addr().context("asking for the address listened on")?;
    let address = args
        .address
        .or_else(|| (!config.address.is_empty()).then(|| config.address.clone()))
        .unwrap_or_else(|| advertised(local));
    let store = Store::open(&data.store())?;
    let hub = Hub::new(key, store, config, local.to_string(), address.clone())?;
    data.announce(&loopback(local).to_string())?;
    tracing::info!(version = cmdr_hub::server::VERSION, listen = %local, address, data = %dir.display(), key = %hub.key.public(), "the hub is up");
    if !args.no_first_token && !hub.keyring.has_administrator() {
        first_token(&hub, &address).await?;
    }
    if let Some(file) = &args.ready_file {
        let ready = serde_json::json!({
            "address": loopback(local).to_string(),
            "key": hub.key.public().to_string(),
            "pid": std::process::id(),
        });
        files::write_private(file, format!("{ready}\n").as_bytes())
            .with_context(|| format!("writing {}", file.display()))?;
    }
    // Without a service manager there is nobody to tell.
    drop(sd_notify::notify(&[sd_notify::NotifyState::Ready]));
    let watchdog = tokio::spawn(watchdog());
    let mut term = signal(SignalKind::terminate()).context("waiting for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for signals")?;
    let stop = async {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        drop(sd_notify::notify(&[sd_notify::NotifyState::Stopping]));
    };
    hub.serve(listeners, stop).await;
    watchdog.abort();
    Ok(ExitCode::SUCCESS)
}

async fn watchdog() {
    let Some(every) = sd_notify::watchdog_enabled() else { return };
    let mut tick = tokio::time::interval(every / 2);
    loop {
        tick.tick().await;
        drop(sd_notify::notify(&[sd_notify::NotifyState::Watchdog]));
    }
}

/// Where others can reach a hub that listens there.
fn advertised(local: SocketAddr) -> String {
    if !local.ip().is_unspecified() {
        return local.to_string();
    }
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{name}:{}", local.port())
}

/// Where programs on this machine can reach it.
fn loopback(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip() {
        ip if !ip.is_unspecified() => ip,
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, local.port())
}

async fn first_token(hub: &Hub, address: &str) -> anyhow::Result<()> {
    let create = Create {
        kind: TokenKind::Operator,
        role: Role::Administrator,
        ttl_s: 24 * 3600,
        uses: 1,
        ..Create::default()
    };
    let created = services::make_token(hub, &create, "first start").await?;
    print(&format!(
        "The hub listens; peers dial {address}\n\
         To become its administrator (once, within 24 hours), run on your machine:\n\n    \
         cmdr login {}\n\n\
         To join a server, make a token with 'cmdr-hub token' and run there: cmdr-agentd join TOKEN\n",
        created.text
    ))
}

/// Asks the running hub, or does it on the stopped one's data.
async fn ask<C: Call>(local: &Local, call: &C) -> Option<Result<C::Reply, CallError>> {
    match local {
        Local::Running(client) => Some(client.call(None, call, Duration::from_secs(10)).await),
        Local::Stopped(..) => None,
    }
}

async fn token(dir: &Path, config: &Config, args: Token) -> anyhow::Result<ExitCode> {
    let address = match (args.create.address.as_str(), config.address.as_str()) {
        ("", "") => advertised(SocketAddr::from(([0, 0, 0, 0], 7700))),
        ("", configured) => configured.to_owned(),
        (given, _) => given.to_owned(),
    };
    let local = local::reach(dir, &address).await?;
    match args.verb {
        None => {
            let create = new_token(&args.create)?;
            let created: Created = match (ask(&local, &create).await, &local) {
                (Some(answer), _) => answer?,
                (None, Local::Stopped(hub, _)) => {
                    services::make_token(hub, &create, "cmdr-hub token").await?
                }
                (None, Local::Running(_)) => anyhow::bail!("the hub did not answer"),
            };
            if args.create.quiet {
                print(&format!("{}\n", created.text))?;
            } else {
                let command =
                    if create.kind == TokenKind::Host { "cmdr-agentd join" } else { "cmdr login" };
                let minutes = args.create.ttl.as_secs().div_ceil(60);
                print(&format!("{command} {}\n", created.text))?;
                say(&format!(
                    "It can be used {} time(s), for {minutes} minutes. It is shown only now.",
                    create.uses
                ));
            }
        }
        Some(TokenVerb::List) => {
            let listing: Listing = match (ask(&local, &List {}).await, &local) {
                (Some(answer), _) => answer?,
                (None, Local::Stopped(hub, _)) => services::list_tokens(hub),
                (None, Local::Running(_)) => anyhow::bail!("the hub did not answer"),
            };
            print(&services::token_table(&listing))?;
        }
        Some(TokenVerb::Revoke { id }) => {
            let revoke = Revoke { id: id.parse()? };
            let found = match (ask(&local, &revoke).await, &local) {
                (Some(answer), _) => answer.map(|_| true)?,
                (None, Local::Stopped(hub, _)) => hub.keyring.revoke_token(revoke.id).await?,
                (None, Local::Running(_)) => anyhow::bail!("the hub did not answer"),
            };
            anyhow::ensure!(found, "there is no token {id}");
            say("withdrawn");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

fn new_token(args: &NewToken) -> anyhow::Result<Create> {
    let (kind, role) = match args.operator.as_deref() {
        None => (TokenKind::Host, Role::Unknown),
        Some(text) => match Role::parse(text) {
            Role::Unknown => {
                anyhow::bail!("'{text}' is no role; there are administrator, operator and observer")
            }
            role => (TokenKind::Operator, role),
        },
    };
    Ok(Create {
        kind,
        role,
        ttl_s: args.ttl.as_secs(),
        uses: args.uses,
        labels: args.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
        address: args.address.clone(),
    })
}

async fn check(dir: &Path) -> anyhow::Result<ExitCode> {
    require(dir)?;
    let local = local::reach(dir, "").await?;
    let checked: Checked = match (ask(&local, &hub_api::Check {}).await, &local) {
        (Some(answer), _) => answer?,
        (None, Local::Stopped(hub, _)) => backup::check(&hub.store)?,
        (None, Local::Running(_)) => anyhow::bail!("the hub did not answer"),
    };
    for damage in &checked.damage {
        print(&format!("{damage}\n"))?;
    }
    print(&format!("{} records read, {} damaged\n", checked.records, checked.damage.len()))?;
    Ok(if checked.damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looking after a folder must not make one.
fn require(dir: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        data::key_path(dir).exists(),
        "{} is no data folder of a hub: it has no hub.key",
        dir.display()
    );
    Ok(())
}

async fn backup_to(dir: &Path, file: &Path) -> anyhow::Result<ExitCode> {
    require(dir)?;
    anyhow::ensure!(
        !file.exists(),
        "{} exists already; a backup never overwrites one",
        file.display()
    );
    let local = local::reach(dir, "").await?;
    let text = match &local {
        Local::Stopped(hub, _) => backup::export(&hub.store, &hub.key)?,
        Local::Running(client) => {
            let mut feed = client.feed(None, &hub_api::Backup {}).await?;
            let mut bytes = Vec::new();
            while let Some(piece) = feed.next().await {
                bytes.extend(piece?.data);
            }
            String::from_utf8(bytes).context("the hub sent a backup that is no text")?
        }
    };
    files::write_private(file, text.as_bytes())
        .with_context(|| format!("writing {}", file.display()))?;
    say(&format!(
        "{} written. The hub's key is not in it; keep {} apart, without it no agent will trust a restored hub.",
        file.display(),
        data::key_path(dir).display()
    ));
    Ok(ExitCode::SUCCESS)
}

async fn restore(dir: &Path, file: &Path, key: Option<&Path>) -> anyhow::Result<ExitCode> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let data = DataDir::open(dir)?;
    if let Some(key) = key {
        let place = data::key_path(dir);
        anyhow::ensure!(!place.exists(), "{} is there already; leave --key out", place.display());
        cmdr_link::SecretKey::load(key)?.save(&place)?;
    }
    anyhow::ensure!(
        data::key_path(dir).exists(),
        "this data folder has no key yet; give the hub's key file with --key"
    );
    let store = Store::open(&data.store())?;
    let count = backup::restore(&store, &data.key()?, &text).await?;
    say(&format!("{count} records restored into {}", dir.display()));
    Ok(ExitCode::SUCCESS)
}
