//! `cmdr-gateway`: runs a gateway, checks a configuration, or says something to one that runs.

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use cmdr_gateway::control::{self, Ending};
use cmdr_gateway::gateway::{Gateway, kept};
use cmdr_gateway::plan::{self, Plan};
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Commander's gateway: forwards and balances TCP and UDP.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run it, by a file or by what was kept the last time.
    Run {
        /// The configuration; without it the one that --state keeps, or that of the gateway that is taken over.
        config: Option<PathBuf>,
        /// The control socket's path.
        #[arg(long)]
        control: Option<PathBuf>,
        /// A folder that keeps the last configuration.
        #[arg(long)]
        state: Option<PathBuf>,
        /// Take the listening sockets of the gateway at the control socket, which then ends.
        #[arg(long, requires = "control")]
        take_over: bool,
        /// How long connections may take when it is stopped or taken over, in seconds.
        #[arg(long, default_value_t = 3600)]
        drain: u64,
    },
    /// Say what is wrong with a configuration.
    Check { config: PathBuf },
    /// Send a request to a gateway, as JSON, and print the answer.
    Ask { control: PathBuf, request: String },
}

fn main() -> std::process::ExitCode {
    let result = match Args::parse().verb {
        Verb::Run { config, control, state, take_over, drain } => {
            run(config.as_deref(), control.as_deref(), state, take_over, drain)
        }
        Verb::Check { config } => check(&config),
        Verb::Ask { control, request } => ask(&control, &request),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            cmdr_gateway::say(format_args!("{e:#}"));
            std::process::ExitCode::FAILURE
        }
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn check(path: &Path) -> Result<()> {
    if let Err(wrong) = plan::read(&read(path)?, &Plan::default()) {
        bail!("{}:\n  {}", path.display(), wrong.join("\n  "));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer is what was asked for")]
fn ask(path: &Path, request: &str) -> Result<()> {
    let stream = std::os::unix::net::UnixStream::connect(path);
    let mut stream = stream
        .with_context(|| format!("asking the gateway at {}: is it running?", path.display()))?;
    let request: serde_json::Value =
        serde_json::from_str(request).context("reading the request as JSON")?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut answer = String::new();
    std::io::BufReader::new(stream).read_line(&mut answer)?;
    println!("{}", answer.trim_end());
    if answer.is_empty() || answer.starts_with("{\"error\"") {
        bail!("the gateway has refused");
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn run(
    config: Option<&Path>,
    control: Option<&Path>,
    state: Option<PathBuf>,
    take_over: bool,
    drain: u64,
) -> Result<()> {
    if let Some(state) = &state {
        std::fs::create_dir_all(state).with_context(|| format!("making {}", state.display()))?;
    }
    let inheritance = match (control, take_over) {
        (Some(path), true) => Some(control::take_over(path).await?),
        _ => None,
    };
    let text = match (&config, &state, &inheritance) {
        (Some(path), ..) => read(path)?,
        (None, _, Some(inheritance)) => inheritance.config.clone(),
        (None, Some(state), None) => {
            read(&kept(state)).context("no configuration was named, and none is kept")?
        }
        (None, None, None) => {
            bail!("name a configuration, or a folder that keeps one with --state")
        }
    };
    let sockets = inheritance.as_ref().map(|i| i.sockets.clone()).unwrap_or_default();
    let mut gateway = Gateway::new(plan::workers(&text), state, sockets)?;
    if let Err(wrong) = gateway.apply(&text).await {
        gateway.stop();
        bail!("the configuration does not go:\n  {}", wrong.join("\n  "));
    }
    for (policy, address, milliseconds) in inheritance.iter().flat_map(|i| &i.bans) {
        if let Some(policy) = gateway.plan.policies.iter().find(|p| p.settings.name == *policy) {
            policy.known.ban(*address, gateway.shared.now(), *milliseconds);
        }
    }
    if let Some(inheritance) = &inheritance {
        inheritance.repeat(&mut gateway).await;
    }
    let listener = control.map(control::listen).transpose()?;
    if let Some(inheritance) = inheritance {
        inheritance.serving().await?;
    }
    for l in &gateway.plan.listeners {
        let bound =
            gateway.bound(l).map_or_else(|| l.settings.address.to_string(), |a| a.to_string());
        cmdr_gateway::say(format_args!("listener {} listens on {bound}", l.settings.name));
    }
    let shared = gateway.shared.clone();
    let gateway = Arc::new(tokio::sync::Mutex::new(gateway));
    let ending = Arc::new(Ending::default());
    ending.seconds.store(drain, Relaxed);
    let serving =
        listener.map(|l| tokio::spawn(control::serve(l, gateway.clone(), ending.clone())));
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    tokio::select! {
        () = ending.wanted.notified() => {}
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    if !ending.handed.load(Relaxed) {
        gateway.lock().await.quiet(true).await?;
    }
    let deadline = tokio::time::Instant::now()
        + Duration::from_secs(ending.seconds.load(Relaxed).min(31_536_000));
    while shared.open.load(Relaxed) > 0 && tokio::time::Instant::now() < deadline {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
            // A second signal says that it is enough.
            _ = term.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    if let Some(serving) = serving {
        serving.abort();
    }
    let left = shared.open.load(Relaxed);
    if left > 0 {
        cmdr_gateway::say(format_args!("ending {left} connections that are left"));
    }
    gateway.lock().await.everyone(|| cmdr_gateway::shared::Mail::Stop);
    Ok(())
}
