//! `cmdr-hub serve`: runs the hub.

use super::{Done, Misconfigured, print};
use crate::api::Listening;
use crate::audit;
use crate::config::Config;
use crate::data::DataDir;
use crate::server::{self, Hub};
use crate::services;
use crate::ssh;
use crate::store::Store;
use crate::vault::master::Source;
use crate::vault::{Vault, environment};
use anyhow::Context as _;
use clap::Args;
use cmdr_link::files;
use cmdr_protocol::address;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::{Create, TokenKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(super) struct Serve {
    /// Listen here instead of on 0.0.0.0:7700; may be given several times
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// Where peers shall dial, written into tokens [default: this machine's name and the port]
    #[arg(long, value_name = "HOST:PORT", value_parser = address::parse)]
    address: Option<String>,
    /// Write address, key and pid into this file when the hub listens
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Do not print a token for the first administrator
    #[arg(long)]
    no_first_token: bool,
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

pub(super) async fn serve(dir: &Path, config: Config, args: Serve) -> anyhow::Result<Done> {
    if !config.secrets.key_env.is_empty() {
        environment::hide(&config.secrets.key_env)
            .context("starting anew without the master key in the environment")?;
    }
    let data = DataDir::open(dir)?;
    let keys = data.keys()?;
    let wanted = if args.listen.is_empty() { config.listen.clone() } else { args.listen };
    anyhow::ensure!(!wanted.is_empty(), "there is nothing to listen on; give --listen");
    let listeners = wanted.iter().map(|a| bind(a)).collect::<anyhow::Result<Vec<_>>>()?;
    let local = listeners[0].local_addr().context("asking for the address listened on")?;
    let address = args
        .address
        .or_else(|| (!config.address.is_empty()).then(|| config.address.clone()))
        .unwrap_or_else(|| advertised(local));
    let store = Store::open(&data.store())?;
    let audit = audit::folder(data.path());
    let source =
        Source::of(&config.secrets, data.path()).map_err(|e| Misconfigured(e.to_string()))?;
    let vault = Vault::unlock(&store, &source).await?;
    let hub = Hub::new(keys, store, vault, &audit, config, local.to_string(), address.clone())?;
    hub.config.login.check().map_err(Misconfigured)?;
    hub.config.history.check().map_err(Misconfigured)?;
    hub.remote_write.ready().map_err(Misconfigured)?;
    hub.config.alerts.check().map_err(Misconfigured)?;
    for role in hub.config.login.mapped().filter(|role| !hub.rights.exists(*role)) {
        tracing::warn!(
            %role,
            "groups of the directory are mapped to a role that does not exist: their people cannot log in; make it with: cmdr roles"
        );
    }
    hub.forward_audit().map_err(|e| Misconfigured(format!("{e:#}")))?;
    let api = Listening::open(&hub).map_err(|e| Misconfigured(format!("{e:#}")))?;
    let api_at: Vec<_> = api.iter().flat_map(Listening::addresses).collect();
    for address in &api_at {
        tracing::info!(listen = %address, "the HTTP interface is up");
    }
    data.announce(&loopback(local).to_string())?;
    tracing::info!(version = server::VERSION, listen = %local, address, data = %dir.display(), key = %hub.keys.public(), "the hub is up");
    if !args.no_first_token && !hub.keyring.has_administrator() {
        first_token(&hub, &address).await?;
    }
    if let Some(file) = &args.ready_file {
        let ready = serde_json::json!({
            "address": loopback(local).to_string(),
            "key": hub.keys.public().to_string(),
            "pid": std::process::id(),
            "api": api_at,
        });
        files::write_private(file, format!("{ready}\n").as_bytes())
            .with_context(|| format!("writing {}", file.display()))?;
    }
    // Without a service manager there is nobody to tell.
    drop(sd_notify::notify(&[sd_notify::NotifyState::Ready]));
    let watchdog = tokio::spawn(watchdog());
    let mut term = signal(SignalKind::terminate()).context("waiting for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for signals")?;
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let programs = tokio::spawn(async move {
        if let Some(api) = api {
            api.serve(async { drop(stopped.await) }).await;
        }
    });
    let stop = async {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        drop(sd_notify::notify(&[sd_notify::NotifyState::Stopping]));
        // Requests that came over HTTP end while everything that they need is still there.
        drop(stopping);
        if let Err(e) = programs.await {
            tracing::error!("the HTTP interface broke: {e}");
        }
    };
    let at = loopback(local).to_string();
    tokio::select! {
        () = hub.clone().serve(listeners, stop) => {}
        () = async {
            ssh::keep(&hub, &hub.config, data.path(), &at).await;
            std::future::pending::<()>().await;
        } => {}
    }
    watchdog.abort();
    Ok(Done::Well)
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
pub(super) fn advertised(local: SocketAddr) -> String {
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
        role: Role::ADMINISTRATOR,
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
    ))?;
    Ok(())
}
