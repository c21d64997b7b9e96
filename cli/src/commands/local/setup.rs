//! Joins our client and this machine's agent to the local hub, each once, with single-use tokens that
//! pass through no file and no command line.

use super::process::{Running, find};
use super::{Places, Ready};
use crate::App;
use crate::args::Yes;
use crate::commands::login;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::fleet::Watching;
use cmdr_link::SecretKey;
use cmdr_link::context::{self, Context, ContextError, key_file};
use cmdr_link::pins::Pins;
use cmdr_link::token::JoinToken;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A new agent comes online, with figures, within so long.
const ONLINE_WAIT: Duration = Duration::from_secs(15);
/// Helpers answer within so long.
const HELPER_WAIT: Duration = Duration::from_secs(20);

/// Runs a helper to its end and gives its output.
async fn helper(
    program: &str,
    arguments: &[&std::ffi::OsStr],
    input: Option<&str>,
) -> Result<String, Failure> {
    let mut child = Command::new(find(program)?)
        .args(arguments)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| Failure::new(Exit::Fault, format!("starting {program}: {e}")))?;
    let work = async {
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            // A helper that does not read it says why itself.
            stdin.write_all(input.as_bytes()).await.ok();
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(HELPER_WAIT, work).await {
        Ok(output) => output?,
        Err(_) => return Err(Failure::failed(format!("{program} did not end within 20 s"))),
    };
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let last = words.trim().lines().last().unwrap_or("it did not say why").to_owned();
        return Err(Failure::failed(format!("{program}: {last}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A token of the local hub, good for one use within minutes.
async fn token(places: &Places, ready: &Ready, whom: &[&str]) -> Result<JoinToken, Failure> {
    let data = places.hub();
    let mut arguments: Vec<&std::ffi::OsStr> =
        vec!["token".as_ref(), "--data".as_ref(), data.as_os_str()];
    arguments.extend(whom.iter().map(std::ffi::OsStr::new));
    let rest = ["--address", &ready.address, "--ttl", "10m", "--uses", "1", "-q"];
    arguments.extend(rest.map(std::ffi::OsStr::new));
    let text = helper("cmdr-hub", &arguments, None).await?;
    JoinToken::parse(&text)
        .map_err(|e| Failure::new(Exit::Fault, format!("the token that cmdr-hub made: {e}")))
}

/// What a folder is joined to.
enum Joined {
    Here,
    /// To this hub, at another address.
    Moved,
    Nowhere,
    Elsewhere(String),
}

fn joined(dir: &Path, ready: &Ready) -> Result<Joined, Failure> {
    Ok(match Pins::load(dir) {
        Ok(known) if !ready.keys().any(|key| known.accepts(key)) => {
            Joined::Elsewhere(known.address)
        }
        Ok(known) if known.address != ready.address => Joined::Moved,
        Ok(_) => Joined::Here,
        Err(ContextError::None(_)) => Joined::Nowhere,
        Err(e) => return Err(e.into()),
    })
}

/// Logs our client in, unless it is.
pub(super) async fn client(
    app: &App,
    places: &Places,
    ready: &Ready,
    yes: Yes,
) -> Result<(), Failure> {
    let dir = places.client();
    match joined(&dir, ready)? {
        Joined::Elsewhere(address) => {
            return Err(Failure::usage(format!(
                "this home is logged in to another hub, {address}"
            ))
            .hint("use another folder: cmdr --home DIR up; or leave that hub: cmdr logout"));
        }
        Joined::Moved => {
            Context::save_target(&dir, &ready.address, &ready.key)?;
        }
        Joined::Here => {}
        Joined::Nowhere => {
            let token = token(places, ready, &["--operator", "administrator"]).await?;
            return log_in(app, &dir, &token).await;
        }
    }
    let here = App { home: places.home.clone(), ..app.clone() };
    match Hub::connect(&here).await {
        Ok(_) => Ok(()),
        // The hub does not know the key any more: its state was restored, or somebody took our rights
        // away on purpose. Whoever has the hub's folder can have them back, but not unawares.
        Err(failure) if failure.exit == Exit::Denied => {
            let question = format!(
                "The hub of this home does not let this home in: {}. Log in anew as an administrator?",
                failure.message
            );
            app.out.confirm(yes.yes, &question, "yes").await?;
            let token = token(places, ready, &["--operator", "administrator"]).await?;
            log_in(app, &dir, &token).await
        }
        Err(failure) => Err(failure),
    }
}

async fn log_in(app: &App, dir: &Path, token: &JoinToken) -> Result<(), Failure> {
    let joining = login::Joining {
        token,
        name: login::own_name(),
        replace: false,
        seal: None,
        patience: app.patience(),
    };
    let (welcome, _) = login::join(dir, &joining).await?;
    app.out.note(&format!("this home is logged in as {} ({})", welcome.name, welcome.role));
    Ok(())
}

/// Joins the agent, unless it is. Says whether something changed for it.
pub(super) async fn agent(app: &App, places: &Places, ready: &Ready) -> Result<bool, Failure> {
    let dir = places.agent();
    match joined(&dir, ready)? {
        Joined::Here if is_known(app, places).await? => return Ok(false),
        Joined::Elsewhere(address) => {
            return Err(Failure::failed(format!(
                "the agent in {} belongs to another hub, {address}",
                dir.display()
            )));
        }
        Joined::Moved if is_known(app, places).await? => {
            Context::save_target(&dir, &ready.address, &ready.key)?;
            return Ok(true);
        }
        _ => {}
    }
    let token = token(places, ready, &["--host"]).await?;
    // One that runs holds the folder.
    if let Some(running) = places.agent_daemon().running() {
        running.end(super::END_WAIT).await?;
    }
    let arguments: [&std::ffi::OsStr; 4] =
        ["join".as_ref(), "--state".as_ref(), dir.as_os_str(), "-".as_ref()];
    helper("cmdr-agentd", &arguments, Some(&token.to_text())).await?;
    Ok(true)
}

/// Whether the hub still has the agent's key; it may have been forgotten.
async fn is_known(app: &App, places: &Places) -> Result<bool, Failure> {
    let key = SecretKey::load(&key_file(&places.agent())).map_err(ContextError::from)?;
    let here = App { home: places.home.clone(), ..app.clone() };
    let hub = Hub::connect(&here).await?;
    let selector = format!("id={}", context::host_id(&places.agent(), &key));
    let reply = hub.ask(&cmdr_protocol::hosts::Resolve::of(selector)).await?;
    Ok(!reply.targets.is_empty())
}

/// Waits until this machine shows in the fleet with real figures.
pub(super) async fn wait_online(
    app: &App,
    places: &Places,
    agent: &Running,
) -> Result<(), Failure> {
    let key = SecretKey::load(&key_file(&places.agent())).map_err(ContextError::from)?;
    let id = context::host_id(&places.agent(), &key);
    let here = App { home: places.home.clone(), ..app.clone() };
    let hub = Hub::connect(&here).await?;
    let quarter = Duration::from_millis(250);
    let mut watching = Watching::start(&hub, &format!("id={id}"), quarter).await?;
    let online = async {
        while !watching.fleet.has_figures(&id) {
            watching.next().await?;
        }
        Ok(())
    };
    let log = places.agent_daemon();
    let hint = format!("its log: {}", log.log.display());
    tokio::select! {
        result = tokio::time::timeout(ONLINE_WAIT, online) => match result {
            Ok(result) => result,
            Err(_) => Err(Failure::failed("the agent did not come online within 15 s").hint(hint)),
        },
        () = agent.ended() => Err(Failure::failed(format!(
            "the agent has ended: {}", log.last_words()
        )).hint(hint)),
    }
}
