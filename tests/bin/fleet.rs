//! `cmdr-fleet N TOKEN`: N simulated agents in one process. Each has a key, a name, an address and a
//! link of its own and joins for real; they share one set of samplers, because they are one host.
//! Says on standard output when all are online, and after each interruption again.

use anyhow::Context as _;
use clap::Parser;
use cmdr_agentd::agent::{self, Agent, Config};
use cmdr_link::link::Target;
use cmdr_link::mux::Limits;
use cmdr_link::session::{self, Dialer, State};
use cmdr_link::token::JoinToken;
use cmdr_link::{SecretKey, clock};
use cmdr_protocol::version::{Join, PeerKind};
use harness::fleet::{self, Member};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Simulated agents over real links.
#[derive(Debug, Parser)]
struct Cli {
    /// How many
    count: usize,
    /// A token for hosts that can be used that often
    token: String,
    /// They take orders of runs and do nothing: what hubs are measured with
    #[arg(long)]
    orders: bool,
    /// Name of each, followed by its number
    #[arg(long, default_value = "sim-")]
    prefix: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    tracing_subscriber::fmt().with_env_filter("error").with_writer(std::io::stderr).init();
    let token = JoinToken::parse(&cli.token)?;
    let state = std::env::temp_dir().join(format!("cmdr-fleet-{}", std::process::id()));
    let mut config = Config::new(state);
    // The real agent's program, which lies beside this one.
    config.supervisor = std::env::current_exe()?.with_file_name("cmdr-agentd");
    let service = Arc::new(Agent::new(config).into_service());
    let online = Arc::new(watch::channel(0usize).0);
    let failures = Arc::new(AtomicUsize::new(0));
    let mut members = Vec::new();
    if cli.orders {
        let name = |number| format!("{}{number:04}", cli.prefix);
        members.extend((0..cli.count).map(|n| Member::join(&token, name(n), n, &online)));
    }
    for number in (0..cli.count).skip(if cli.orders { cli.count } else { 0 }) {
        let dialer = Dialer {
            target: Target { address: token.address.clone(), hub: token.hub },
            key: SecretKey::generate().context("making a key")?,
            kind: PeerKind::Agent,
            name: format!("{}{number:04}", cli.prefix),
            version: env!("CARGO_PKG_VERSION"),
            capabilities: Vec::new(),
            join: Some(Join { token: Some(token.id), secret: token.secret.to_vec() }),
            limits: Limits { streams: 64, window: 16 << 20 },
            patience: Duration::from_mins(1),
            from: fleet::source(&token.address, number),
            dir: None,
        };
        let (service, online, failures) = (service.clone(), online.clone(), failures.clone());
        tokio::spawn(async move {
            let (state, mut states) = watch::channel(State::Closed);
            let kept = session::keep(&dialer, &state, |link, _, streams| {
                let (service, online) = (service.clone(), online.clone());
                async move {
                    online.send_modify(|n| *n += 1);
                    agent::serve(service, link, streams).await;
                    online.send_modify(|n| *n -= 1);
                }
            });
            let failed = async {
                while states.changed().await.is_ok() {
                    if matches!(&*states.borrow(), State::Refused { .. }) {
                        failures.fetch_add(1, Ordering::Relaxed);
                    }
                }
            };
            tokio::join!(kept, failed);
        });
    }
    let mut counted = online.subscribe();
    loop {
        counted.wait_for(|n| *n == cli.count).await.context("counting")?;
        say(&format!(
            "online {} at_ms {} refused {}",
            cli.count,
            clock::now_ms(),
            failures.load(Ordering::Relaxed)
        ))?;
        counted.wait_for(|n| *n < cli.count).await.context("counting")?;
        say(&format!("interrupted at_ms {}", clock::now_ms()))?;
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("writing to standard output")
}
