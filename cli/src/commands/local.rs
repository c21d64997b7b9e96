//! `up` and `down`: a hub and an agent of one's own under this home.
//!
//! [`process`] starts programs and ends exactly those, [`setup`] joins client and agent to the hub.
//! What lies in the home: `hub/` and `agent/` (state of the two), `client/` (our key), `logs/`, `run/`
//! (pid files while they run), `local.json` (the port, so that it stays the same).

mod process;
mod setup;

use crate::App;
use crate::args::Yes;
use crate::exit::{Exit, Failure};
use clap::Args;
use cmdr_link::files;
use cmdr_link::hubkeys::HubKeys;
use cmdr_link::keys::KeyError;
use cmdr_link::pins::Pins;
use process::{Daemon, Running};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Bring up a private hub and this machine's agent, and log in.
///
/// Safe to repeat: what runs already is left alone, what is missing is started. Without --detach it
/// stays until Ctrl-C and takes both down again.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Leave them running in the background.
    #[arg(long)]
    detach: bool,

    /// Port of the hub on 127.0.0.1 [default: a free one, the same each time].
    #[arg(long, value_name = "N")]
    port: Option<u16>,

    /// Log in anew, as an administrator, when the hub does not know this home's login any more.
    #[command(flatten)]
    yes: Yes,
}

/// Take down what up has brought up; keys and state stay.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// Delete the state as well: keys, records, logs.
    #[arg(long)]
    purge: bool,

    #[command(flatten)]
    yes: Yes,
}

/// A program gets so long to end by itself.
const END_WAIT: Duration = Duration::from_secs(10);
/// Another `up` or `down` of this home is waited for so long.
const LOCK_WAIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// Where things are in a home.
#[derive(Clone, Debug)]
struct Places {
    home: PathBuf,
}

impl Places {
    fn hub(&self) -> PathBuf {
        self.home.join("hub")
    }
    fn agent(&self) -> PathBuf {
        self.home.join("agent")
    }
    fn client(&self) -> PathBuf {
        self.home.join("client")
    }
    /// Whether the client's context is of the hub that lives here, or of none.
    fn client_is_ours(&self) -> bool {
        let Ok(pins) = Pins::load(&self.client()) else { return true };
        self.hub_keys().is_ok_and(|hub| hub.answering().any(|key| pins.accepts(&key.public())))
    }
    fn hub_keys(&self) -> Result<HubKeys, KeyError> {
        HubKeys::load(&self.hub().join("hub.key"))
    }
    fn logs(&self) -> PathBuf {
        self.home.join("logs")
    }
    fn run(&self) -> PathBuf {
        self.home.join("run")
    }
    fn ready(&self) -> PathBuf {
        self.run().join("hub.json")
    }
    fn settings(&self) -> PathBuf {
        self.home.join("local.json")
    }

    fn hub_daemon(&self) -> Daemon {
        self.daemon("hub", "cmdr-hub")
    }
    fn agent_daemon(&self) -> Daemon {
        self.daemon("agent", "cmdr-agentd")
    }
    fn daemon(&self, what: &'static str, program: &'static str) -> Daemon {
        Daemon {
            program,
            pid_file: self.run().join(format!("{what}.pid")),
            log: self.logs().join(format!("{what}.log")),
        }
    }
}

/// What the hub writes when it listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Ready {
    address: String,
    key: cmdr_protocol::PublicKey,
    pid: u32,
    /// The key before, while the hub still answers for it.
    #[serde(skip)]
    previous: Option<cmdr_protocol::PublicKey>,
}

impl Ready {
    /// The keys that the hub proves.
    fn keys(&self) -> impl Iterator<Item = &cmdr_protocol::PublicKey> {
        std::iter::once(&self.key).chain(&self.previous)
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Settings {
    #[serde(default)]
    port: u16,
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    let content = files::read_private(path, 64 * 1024).ok()?;
    serde_json::from_slice(&content).ok()
}

fn context(what: &str, path: &Path) -> impl Fn(io::Error) -> Failure {
    let what = format!("{what} {}", path.display());
    move |e| {
        let text = format!("{what}: {}", files::reason(&e));
        match e.kind() {
            // `--home /dev/null`: the command line is wrong, not the machine.
            io::ErrorKind::NotADirectory => {
                Failure::usage(text).hint("choose another home with --home DIR or CMDR_HOME")
            }
            _ => Failure::failed(text),
        }
    }
}

/// Only one `up` or `down` of a home at a time.
async fn lock(places: &Places) -> Result<File, Failure> {
    let dir = places.run();
    files::private_dir(&dir).map_err(context("making", &dir))?;
    let path = dir.join("lock");
    let file = File::create(&path).map_err(context("opening", &path))?;
    let end = Instant::now() + LOCK_WAIT;
    loop {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < end => {
                tokio::time::sleep(LOOK).await;
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Failure::failed("another cmdr up or down of this home is at work"));
            }
            Err(e) => return Err(context("locking", &path)(e.into())),
        }
    }
}

pub(super) async fn up(app: &App, args: &UpArgs) -> Result<Exit, Failure> {
    let home = std::path::absolute(&app.home).map_err(context("finding", &app.home))?;
    let places = Places { home };
    let before = (places.hub_daemon().running(), places.agent_daemon().running());
    let (ready, hub, agent) = tokio::select! {
        begun = begin(app, &places, args) => begun?,
        () = super::interrupted() => {
            if before.0.is_none() && before.1.is_none() {
                let _locked = lock(&places).await?;
                stop(&places).await?;
            }
            return Ok(Exit::Cancelled);
        }
    };

    let started = !(before.0.is_some() && before.1.is_some());
    let words = if started { "is up" } else { "runs already" };
    app.out.note(&format!(
        "a hub at {} with this machine's agent {words}; home {}",
        ready.address,
        places.home.display()
    ));
    let home = if cmdr_link::files::home() == places.home {
        String::new()
    } else {
        format!(" --home {}", places.home.display())
    };
    app.out.note(&format!(
        "look at it: cmdr{home} hosts; run something: cmdr{home} exec '*' -- uname -a"
    ));
    app.out.note(&format!("logs: {}", places.logs().display()));
    if !app.out.format.is_table() {
        let value = serde_json::json!({
            "address": ready.address, "key": ready.key, "home": places.home.to_string_lossy(),
            "hub_pid": hub.pid(), "agent_pid": agent.pid(), "started": started,
        });
        app.out.one(&value, &[], &ready.address)?;
    }
    if args.detach {
        app.out.note(&format!("take it down: cmdr{home} down"));
        return Ok(Exit::Ok);
    }
    app.out.note("Ctrl-C takes both down again");
    stay(app, &places, &hub, &agent).await
}

/// Starts and joins what is missing.
async fn begin(
    app: &App,
    places: &Places,
    args: &UpArgs,
) -> Result<(Ready, Running, Running), Failure> {
    let _locked = lock(places).await?;
    let (mut ready, hub) = start_hub(app, places, args.port).await?;
    // It may have another key than the one that it wrote down when it started.
    if let Ok(keys) = places.hub_keys() {
        ready.key = keys.current.public();
        ready.previous = keys.previous.map(|key| key.public());
    }
    setup::client(app, places, &ready, args.yes).await?;
    let joined = setup::agent(app, places, &ready).await?;
    let agent = start_agent(places, joined).await?;
    setup::wait_online(app, places, &agent).await?;
    Ok((ready, hub, agent))
}

/// Waits for Ctrl-C, or for one of the two to end.
async fn stay(app: &App, places: &Places, hub: &Running, agent: &Running) -> Result<Exit, Failure> {
    let ended = tokio::select! {
        () = super::interrupted() => None,
        () = hub.ended() => Some(places.hub_daemon()),
        () = agent.ended() => Some(places.agent_daemon()),
    };
    // `down` from elsewhere ends both, and cleans up itself.
    let _locked = lock(places).await?;
    let asked = !places.hub_daemon().pid_file.exists() && !places.agent_daemon().pid_file.exists();
    stop(places).await?;
    match ended {
        Some(daemon) if !asked => {
            Err(Failure::failed(format!("{} has ended: {}", daemon.program, daemon.last_words())))
        }
        _ => {
            app.out.note("both are down");
            Ok(Exit::Ok)
        }
    }
}

async fn start_hub(
    app: &App,
    places: &Places,
    port: Option<u16>,
) -> Result<(Ready, Running), Failure> {
    let daemon = places.hub_daemon();
    let known: Option<Ready> = read_json(&places.ready());
    // A hub whose pid file was lost is taken over by what it wrote itself.
    let running = daemon.running().or_else(|| {
        let known = known.as_ref()?;
        daemon.adopt(known.pid, &places.hub())
    });
    if let Some(running) = running {
        if let Some(ready) = known.filter(|ready| ready.pid == running.pid()) {
            if let Some(port) = port.filter(|p| !ready.address.ends_with(&format!(":{p}"))) {
                return Err(Failure::usage(format!(
                    "it runs at {}, not on port {port}",
                    ready.address
                ))
                .hint("take it down first: cmdr down"));
            }
            return Ok((ready, running));
        }
        // It runs but never said that it listens: it hangs, or was cut off while it started.
        running.end(END_WAIT).await?;
    }
    for dir in [places.hub(), places.logs()] {
        files::private_dir(&dir).map_err(context("making", &dir))?;
    }
    let ready_file = places.ready();
    remove(&ready_file)?;
    let settings: Settings = read_json(&places.settings()).unwrap_or_default();
    let port = match port.unwrap_or(settings.port) {
        0 => cmdr_link::port::choose(),
        port => port,
    };
    let listen = format!("127.0.0.1:{port}");
    app.out.detail(&format!("starting the hub on {listen}"));
    let arguments = [
        "serve".as_ref(),
        "--data".as_ref(),
        places.hub().as_os_str(),
        "--listen".as_ref(),
        listen.as_ref(),
        "--ready-file".as_ref(),
        ready_file.as_os_str(),
        // Ours is made when it is needed; one in the log would be for whoever reads it.
        "--no-first-token".as_ref(),
    ]
    .map(std::ffi::OsStr::to_owned);
    let mut started = daemon.start(&arguments)?;
    let end = Instant::now() + Duration::from_secs(20);
    let ready: Ready = loop {
        if let Some(ready) = read_json(&ready_file) {
            break ready;
        }
        if started.has_ended() {
            remove(&daemon.pid_file)?;
            let failure =
                Failure::failed(format!("the hub did not start: {}", daemon.last_words()));
            return Err(if port == 0 {
                failure
            } else {
                failure.hint("if the port is taken, choose another: cmdr up --port N")
            });
        }
        if Instant::now() > end {
            started.running.end(END_WAIT).await?;
            remove(&daemon.pid_file)?;
            return Err(Failure::failed("the hub did not begin to listen within 20 s")
                .hint(format!("its log: {}", daemon.log.display())));
        }
        tokio::time::sleep(LOOK).await;
    };
    let chosen = ready.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    if let Some(port) = chosen.filter(|port| *port != settings.port) {
        let path = places.settings();
        let text = crate::output::json(&Settings { port })? + "\n";
        files::write_private(&path, text.as_bytes()).map_err(context("writing", &path))?;
    }
    Ok((ready, started.running))
}

/// `joined`: it has a new hub or address, which one that runs does not know yet.
async fn start_agent(places: &Places, joined: bool) -> Result<Running, Failure> {
    let daemon = places.agent_daemon();
    if let Some(running) = daemon.running() {
        if !joined {
            return Ok(running);
        }
        running.end(END_WAIT).await?;
    }
    let arguments = ["run".as_ref(), "--state".as_ref(), places.agent().as_os_str()]
        .map(std::ffi::OsStr::to_owned);
    Ok(daemon.start(&arguments)?.running)
}

fn remove(path: &Path) -> Result<bool, Failure> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(context("removing", path)(e)),
    }
}

/// Ends the agent, then the hub, and removes their pid files. Says whether anything ran.
async fn stop(places: &Places) -> Result<bool, Failure> {
    let mut any = false;
    let known: Option<Ready> = read_json(&places.ready());
    let orphan = known.and_then(|ready| places.hub_daemon().adopt(ready.pid, &places.hub()));
    let daemons = [places.agent_daemon(), places.hub_daemon()];
    for (daemon, orphan) in daemons.into_iter().zip([None, orphan]) {
        if let Some(running) = daemon.running().or(orphan) {
            any = true;
            running.end(END_WAIT).await?;
        }
        remove(&daemon.pid_file)?;
    }
    remove(&places.ready())?;
    Ok(any)
}

pub(super) async fn down(app: &App, args: &DownArgs) -> Result<Exit, Failure> {
    let home = std::path::absolute(&app.home).map_err(context("finding", &app.home))?;
    let places = Places { home };
    if args.purge {
        let question = format!(
            "Delete keys, records and logs in {}? It cannot be undone.",
            places.home.display()
        );
        app.out.confirm(args.yes.yes, &question, "delete").await?;
    }
    if !places.home.exists() {
        app.out.note("nothing runs here");
        return Ok(Exit::Ok);
    }
    let locked = lock(&places).await?;
    let any = stop(&places).await?;
    app.out.note(if any { "both are down" } else { "nothing runs here" });
    if args.purge {
        // Only what is ours: a home may hold other things, a context of another hub among them.
        let mut ours = vec![places.agent(), places.logs(), places.run()];
        if places.client_is_ours() {
            ours.push(places.client());
        } else {
            app.out.note("the context of another hub stays; cmdr logout removes it");
        }
        // The hub goes last: its key tells whose the context is, should this be cut short.
        ours.push(places.hub());
        for dir in ours {
            match std::fs::remove_dir_all(&dir) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(context("deleting", &dir)(e));
                }
                _ => {}
            }
        }
        remove(&places.settings())?;
        // Stays when there is something else in it.
        std::fs::remove_dir(&places.home).ok();
        app.out.note("its state is deleted");
    } else {
        remove(&places.run().join("lock"))?;
        // As above.
        std::fs::remove_dir(places.run()).ok();
    }
    drop(locked);
    Ok(Exit::Ok)
}
