//! `ssh` and `ssh-hosts`: sessions on machines that have no agent, through a host that has one.
//!
//! [`answers`] says what the agent asks before a session begins; from then on it is a session like any other.

mod answers;
mod hosts;

pub(super) use hosts::HostsArgs;
pub(super) use hosts::run as hosts;

use super::shell::{self, Seat, terminal};
use crate::App;
use crate::args;
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::output::Column;
use answers::Answers;
use clap::Args;
use cmdr_link::ssh_agent::Agent;
use cmdr_link::ssh_keys::Key;
use cmdr_link::ssh_places::{self, Place};
use cmdr_protocol::ErrorKind;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::sessions::Input;
use cmdr_protocol::ssh::{self, MAX_KEYS, Open, PORT};
use serde::Serialize;
use std::path::PathBuf;

/// Open a shell on a machine that has no agent, over SSH from a host that has one.
///
/// The session belongs to the host that it goes through: cmdr sessions lists it, cmdr attach finds it again,
/// and it is recorded as others are. Keys stay here: this program, or your ssh-agent, signs. A password is
/// asked for when the machine wants one. A machine that the host has not seen before is shown with its
/// fingerprint and has to be confirmed. Without a target: where you have been.
#[derive(Debug, Args)]
#[command(override_usage = "cmdr ssh [OPTIONS] [USER@]HOST[:PORT] [-- <COMMAND>...]")]
pub struct SshArgs {
    /// Where to, as [user@]host[:port].
    #[arg(value_name = "TARGET")]
    target: Option<String>,

    /// Through which host of the fleet [default: as the last time].
    #[arg(long, value_name = "HOST")]
    via: Option<String>,

    /// A file with a private key; may be given again [default: those of the ssh-agent, and
    /// ~/.ssh/id_ed25519 and id_ecdsa].
    #[arg(short, long = "identity", value_name = "FILE")]
    identities: Vec<PathBuf>,

    /// Try no key.
    #[arg(long, conflicts_with = "identities")]
    no_key: bool,

    /// As whom [default: as the last time, else your name here].
    #[arg(short, long, value_name = "USER")]
    login: Option<String>,

    /// The port [default: 22].
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,

    /// Trust this key of the machine's without asking, and no other (SHA256:...).
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<String>,

    /// What lists show it by.
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    name: String,

    /// End it when nobody is attached and nobody has typed for so long [default: as the host says].
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    idle: Option<std::time::Duration>,

    /// Begin it, print its id, and leave it running.
    #[arg(short, long)]
    detach: bool,

    /// Let programs write to the clipboard of this terminal (OSC 52).
    #[arg(long)]
    clipboard: bool,

    /// A command for that machine's shell instead of a login shell; words are put together with blanks,
    /// as ssh does.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) async fn run(app: &App, args: SshArgs) -> Result<Exit, Failure> {
    let Some(target) = &args.target else { return places(app) };
    let (user, host, port) = ssh::target(target)
        .map_err(|why| Failure::usage(format!("'{target}' is no [user@]host[:port]: {why}")))?;
    if !args.detach {
        shell::terminal_needed("to begin a session all the same: --detach")?;
    }
    let port = port.or(args.port);
    let wanted = user.or(args.login);
    let before = ssh_places::all(&app.client_dir()).into_iter().find(|place| {
        place.host == host
            && port.is_none_or(|port| place.port == port)
            && wanted.as_ref().is_none_or(|user| place.user == *user)
            && args.via.as_ref().is_none_or(|via| place.via == *via)
    });
    let user = wanted.or_else(|| before.as_ref().map(|place| place.user.clone()));
    let user = user.or_else(|| std::env::var("USER").ok()).filter(|user| !user.is_empty());
    let user = user.ok_or_else(|| {
        Failure::usage("as whom? Nothing says your name here").hint("cmdr ssh USER@HOST")
    })?;
    let port = port.or(before.as_ref().map(|place| place.port)).unwrap_or(PORT);
    let mut keys = if args.no_key { Vec::new() } else { keys(app, &args.identities)? };
    keys.truncate(MAX_KEYS);
    let hub = Hub::connect(app).await?;
    let via = via(&hub, args.via.or(before.map(|place| place.via))).await?;
    let open = Open {
        host,
        port,
        user,
        command: args.command.join(" "),
        keys: keys.iter().map(Key::public).collect(),
        term: std::env::var("TERM").unwrap_or_default(),
        size: terminal::size(),
        name: args.name,
        idle_s: args.idle.map(|idle| idle.as_secs().max(1)),
        detached: args.detach,
    };
    let mut answers =
        Answers { app, hub: &hub, via: &via, open: &open, keys, fingerprint: args.fingerprint };
    let mut feed = hub.client.feed(Some(via.id), &open).await.map_err(refused)?;
    let mut notice = None;
    let mut first = loop {
        let item = feed.next().await.transpose().map_err(refused)?;
        let Some(mut item) = item else {
            return Err(Failure::failed("the host did not say which session it has begun"));
        };
        match item.ask.take() {
            Some(question) => {
                let answer = answers.to(question).await?;
                let input = Input { answer: Some(answer), ..Input::default() };
                // Why it is not taken is told by what comes.
                feed.send(&input).await.ok();
            }
            None if item.begun.is_some() => break item,
            // Of the hub: that this is recorded.
            None => notice = item.notice.or(notice),
        }
    };
    first.notice = first.notice.or(notice);
    remember(app, &open, &via);
    let id = first.begun.as_ref().map(|begun| begun.id.clone()).unwrap_or_default();
    if args.detach {
        while let Some(item) = feed.next().await {
            item.map_err(refused)?;
        }
        app.out.data(&format!("{id}\n"))?;
        app.out.note(&format!("it runs; attach to it with: cmdr attach {id}"));
        return Ok(Exit::Ok);
    }
    let (name, opened) = (via.name.clone(), cmdr_protocol::Feed::resource(&open));
    let seat = Seat { host: via.id, name, opened, clipboard: args.clipboard };
    shell::go_on(app, hub, seat, feed, first).await
}

fn remember(app: &App, open: &Open, via: &Target) {
    let place = Place {
        user: open.user.clone(),
        host: open.host.clone(),
        port: open.port(),
        via: via.name.clone(),
    };
    if let Err(e) = ssh_places::remember(&app.client_dir(), &place) {
        app.out.warn(&format!("remembering {}: {e}", place.target()));
    }
}

/// The host that it goes through: the only one of the fleet, if none is named.
async fn via(hub: &Hub, named: Option<String>) -> Result<Target, Failure> {
    let target = match named {
        Some(named) => hub.one_host(&named).await?,
        None => {
            let mut all = hub.resolve("*").await?;
            all.retain(|target| target.state == HostState::Online);
            if all.len() != 1 {
                return Err(Failure::usage("through which host of the fleet?")
                    .hint("cmdr ssh --via HOST USER@MACHINE; the next time it is known"));
            }
            all.remove(0)
        }
    };
    if target.state != HostState::Online {
        return Err(Failure::new(
            Exit::Unreachable,
            format!("{} has no link to the hub now", target.name),
        ));
    }
    Ok(target)
}

/// The keys that can sign: those that are named, else those that are there.
fn keys(app: &App, files: &[PathBuf]) -> Result<Vec<Key>, Failure> {
    if !files.is_empty() {
        let load = |path: &PathBuf| Key::load(path).map_err(|e| Failure::usage(e.to_string()));
        return files.iter().map(load).collect();
    }
    let mut keys = Vec::new();
    if let Ok(agent) = Agent::of_environment() {
        match Key::held(&agent) {
            Ok(held) => keys.extend(held),
            Err(e) => app.out.warn(&e.to_string()),
        }
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    for key in home.iter().flat_map(|home| Key::usual(home)) {
        if keys.iter().all(|held: &Key| held.public() != key.public()) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Why it did not begin. The codes are those of `ssh` where it has one: what is not reached is 4 here.
fn refused(error: cmdr_protocol::CallError) -> Failure {
    let exit = match error.kind {
        ErrorKind::Conflict | ErrorKind::Failed => Some(Exit::Remote(255)),
        _ => None,
    };
    let failure = Failure::from(error);
    Failure { exit: exit.unwrap_or(failure.exit), ..failure }
}

/// A machine as data: the field names are a promise.
#[derive(Debug, Serialize)]
struct Row {
    target: String,
    user: String,
    host: String,
    port: u16,
    via: String,
}

fn places(app: &App) -> Result<Exit, Failure> {
    let row = |place: Place| Row {
        target: place.target(),
        user: place.user,
        host: place.host,
        port: place.port,
        via: place.via,
    };
    let rows: Vec<_> = ssh_places::all(&app.client_dir()).into_iter().map(row).collect();
    let columns = [
        Column::text("TARGET", |r: &Row| r.target.as_str().into()),
        Column::text("VIA", |r| r.via.as_str().into()),
    ];
    app.out.list(&rows, &columns, |row| row.target.clone())?;
    Ok(Exit::Ok)
}
