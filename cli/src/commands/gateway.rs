//! `gateway`: L4 load balancers on hosts.

mod apply;
mod peers;
mod shown;

use crate::App;
use crate::args::Yes;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::output::Format;
use clap::{Args, Subcommand};
use cmdr_protocol::display::clean;
use cmdr_protocol::gateways::{
    Ban, Bans, Delete, Drain, List, Log, Row, Save, Show, Status, Versions, Weight,
};
use cmdr_protocol::{CallError, HostId};
use peers::Peer;
use std::path::PathBuf;

const FILE: &str = "\
A file with a gateway is like this; several stand in one file, divided by lines with three dashes.

  name: web
  host: lb1                       # the host that listens
  listeners:
  - { name: http, address: '0.0.0.0:80', group: web, policy: edge }
  groups:
  - name: web
    balance: least-connections    # round-robin, random-two, source-hash
    check: { kind: http, path: /health }
    upstreams:
    - { address: '10.0.0.1:8080', weight: 3 }
    - { address: '10.0.0.2:8080' }
    - { address: '10.0.0.9:8080', backup: true }
  policies:
  - { name: edge, deny: [10.66.0.0/16], connections_per_second: 50 }

All keys are those of docs/gateway.md.";

/// Gateways: load balancers on hosts for TCP and UDP, changed while they run.
#[derive(Debug, Args)]
#[command(after_long_help = FILE)]
pub struct GatewayArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List gateways and how they stand.
    #[command(alias = "list")]
    Ls,
    /// Say how a gateway does: its listeners, and each upstream with its connections.
    Status {
        /// Which.
        name: String,
    },
    /// Print a gateway's text, as 'gateway apply' reads it.
    Show {
        /// Which.
        name: String,
        /// Which version [default: the newest].
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
    /// Say what 'gateway apply' would change, and what the hosts say to it. Nothing is kept.
    Plan {
        /// Files; - reads standard input.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Save the gateways of files and have their hosts go by them. Connections go on.
    Apply {
        /// Files; - reads standard input.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// What changed.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// List the versions of a gateway.
    Versions {
        /// Which.
        name: String,
    },
    /// Save an older version again, as the newest.
    Restore {
        /// Which.
        name: String,
        /// Which version.
        version: u64,
    },
    /// Remove a gateway with all its versions. Connections that are open end by themselves.
    #[command(alias = "delete")]
    Rm {
        /// Which.
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Let an upstream, or a listener, take no new connections.
    Drain {
        #[command(flatten)]
        part: Part,
        /// End the upstream's connections that are left after so many seconds.
        #[arg(long, value_name = "SECONDS")]
        after: Option<u64>,
    },
    /// Let it take connections again.
    Undrain {
        #[command(flatten)]
        part: Part,
    },
    /// Give an upstream another weight than the text has, until that is taken back.
    Weight {
        /// Which gateway.
        name: String,
        /// Its group.
        group: String,
        /// The upstream's address.
        upstream: String,
        /// The weight; 0 for no new connections [default: what the text says].
        weight: Option<u32>,
    },
    /// Send all new connections of a group to one upstream at once.
    Switch {
        /// Which gateway.
        name: String,
        /// Its group.
        group: String,
        /// The upstream's address; 'back' for the weights of the text.
        to: String,
    },
    /// Ban an address by a policy.
    Ban {
        /// Which gateway.
        name: String,
        /// Its policy.
        policy: String,
        /// The address.
        address: String,
        /// For how many seconds; 0 lifts the ban.
        #[arg(long = "for", value_name = "SECONDS", default_value_t = 600)]
        seconds: u64,
    },
    /// List the addresses that are banned.
    Bans {
        /// Which gateway.
        name: String,
    },
    /// List the newest connections that have ended, and why.
    Log {
        /// Which gateway.
        name: String,
    },
    /// Print a gateway as the configuration of another program.
    Config {
        /// Which.
        name: String,
        /// Which program.
        #[arg(long = "for", value_enum)]
        peer: Peer,
    },
}

#[derive(Debug, Args)]
struct Part {
    /// Which gateway.
    name: String,
    /// The upstream's group, or a listener.
    of: String,
    /// The upstream's address; left out for a listener.
    upstream: Option<String>,
}

impl Part {
    fn drain(&self, off: bool, seconds: Option<u64>) -> Drain {
        let drain = Drain { name: self.name.clone(), off, seconds, ..Drain::default() };
        match &self.upstream {
            None => Drain { listener: Some(self.of.clone()), ..drain },
            Some(upstream) => Drain { group: self.of.clone(), upstream: upstream.clone(), ..drain },
        }
    }
}

pub(super) async fn run(app: &App, args: &GatewayArgs) -> Result<Exit, Failure> {
    match args.verb.as_ref().unwrap_or(&Verb::Ls) {
        Verb::Ls => {
            let rows = Hub::connect(app).await?.ask(&List {}).await?.gateways;
            shown::list(app, &rows)?;
        }
        Verb::Status { name } => {
            let (hub, host, row) = on_host(app, name).await?;
            let figures = hub.ask_host(host, &Status { name: name.clone() }).await?;
            shown::status(app, &row, &figures)?;
        }
        Verb::Show { name, version } => {
            let show = Show { name: name.clone(), version: *version };
            let shown = Hub::connect(app).await?.ask(&show).await?;
            if matches!(app.out.format, Format::Table | Format::Wide | Format::Name) {
                app.out.data(&shown.text)?;
            } else {
                app.out.one(&shown, &[], name)?;
            }
            for problem in &shown.problems {
                app.out.warn(&clean(&problem.to_string()));
            }
        }
        Verb::Plan { files } => return apply::plan(app, files).await,
        Verb::Apply { files, note } => return apply::apply(app, files, note).await,
        Verb::Versions { name } => {
            let asked = Versions { name: name.clone() };
            super::runbook::versions(app, &Hub::connect(app).await?.ask(&asked).await?.versions)?;
        }
        Verb::Restore { name, version } => {
            let hub = Hub::connect(app).await?;
            let show = Show { name: name.clone(), version: Some(*version) };
            let (text, note) = (hub.ask(&show).await?.text, format!("version {version} again"));
            let saved = hub.ask(&Save { name: name.clone(), text, note, was: None }).await?;
            app.out.note(&format!("{name} is saved as version {}", saved.version));
            return apply::settled(app, &hub, std::slice::from_ref(name)).await;
        }
        Verb::Rm { name, yes } => {
            let hub = Hub::connect(app).await?;
            let delete = Delete { name: name.clone() };
            let question = format!("The gateway {name} is removed with all its versions.");
            hub.confirm(app, *yes, (&delete, None), (&question, name)).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("the gateway {name} is removed"));
        }
        Verb::Config { name, peer } => {
            let show = Show { name: name.clone(), version: None };
            let text = Hub::connect(app).await?.ask(&show).await?.text;
            app.out.data(&peers::written(*peer, name, &text).map_err(Failure::usage)?)?;
        }
        verb => return live(app, verb).await,
    }
    Ok(Exit::Ok)
}

/// What is asked of a gateway's host.
async fn live(app: &App, verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Drain { part, after } => {
            let (hub, host, _) = on_host(app, &part.name).await?;
            hub.ask_host(host, &part.drain(false, *after)).await?;
            app.out.note(&format!("{} takes no new connections", part_shown(part)));
        }
        Verb::Undrain { part } => {
            let (hub, host, _) = on_host(app, &part.name).await?;
            hub.ask_host(host, &part.drain(true, None)).await?;
            app.out.note(&format!("{} takes connections again", part_shown(part)));
        }
        Verb::Weight { name, group, upstream, weight } => {
            let (hub, host, _) = on_host(app, name).await?;
            let weights = vec![(upstream.clone(), *weight)];
            let (name, group) = (name.clone(), group.clone());
            hub.ask_host(host, &Weight { name, group, weights }).await?;
            let weight = weight.map_or_else(|| "what its text says".to_owned(), |w| w.to_string());
            app.out.note(&format!("the weight of {} is {weight}", clean(upstream)));
        }
        Verb::Switch { name, group, to } => return switch(app, name, group, to).await,
        Verb::Ban { name, policy, address, seconds } => {
            let (hub, host, _) = on_host(app, name).await?;
            let (policy, address) = (policy.clone(), address.clone());
            let shown = clean(&address).into_owned();
            hub.ask_host(host, &Ban { name: name.clone(), policy, address, seconds: *seconds })
                .await?;
            let said = if *seconds == 0 { "is banned no more" } else { "is banned" };
            app.out.note(&format!("{shown} {said}"));
        }
        Verb::Bans { name } => {
            let (hub, host, _) = on_host(app, name).await?;
            shown::bans(app, &hub.ask_host(host, &Bans { name: name.clone() }).await?.bans)?;
        }
        Verb::Log { name } => {
            let (hub, host, _) = on_host(app, name).await?;
            shown::log(app, &hub.ask_host(host, &Log { name: name.clone() }).await?.ended)?;
        }
        _ => {}
    }
    Ok(Exit::Ok)
}

fn part_shown(part: &Part) -> String {
    clean(part.upstream.as_ref().unwrap_or(&part.of)).into_owned()
}

/// The host that a gateway is on, as far as one may know of it.
async fn on_host(app: &App, name: &str) -> Result<(Hub, HostId, Row), Failure> {
    let hub = Hub::connect(app).await?;
    let rows = hub.ask(&List {}).await?.gateways;
    let row = rows.into_iter().find(|row| row.name == name).ok_or_else(|| {
        let name = cmdr_protocol::display::clean_to_width(name, 60);
        CallError::not_found(format!(
            "there is no gateway '{name}' that you may see; cmdr gateway ls lists them"
        ))
    })?;
    let host = row.host.ok_or_else(|| {
        CallError::not_found(format!("the host of the gateway {name} has left the fleet"))
    })?;
    Ok((hub, host, row))
}

/// All new connections of a group to one upstream: the others get a weight of nothing.
async fn switch(app: &App, name: &str, group: &str, to: &str) -> Result<Exit, Failure> {
    let (hub, host, _) = on_host(app, name).await?;
    let figures = hub.ask_host(host, &Status { name: name.to_owned() }).await?;
    let known = figures.groups.iter().find(|known| known.name == group).ok_or_else(|| {
        CallError::not_found(format!("the gateway {name} has no group '{}'", clean(group)))
    })?;
    let back = to == "back";
    if !back && !known.upstreams.iter().any(|upstream| upstream.address == to) {
        let all: Vec<&str> = known.upstreams.iter().map(|u| u.address.as_str()).collect();
        return Err(Failure::from(CallError::not_found(format!(
            "the group {group} has no upstream {}; it has {}",
            clean(to),
            clean(&all.join(", "))
        ))));
    }
    let weight = |address: &str| match address {
        _ if back => None,
        address if address == to => Some(1),
        _ => Some(0),
    };
    let weights = known.upstreams.iter().map(|u| (u.address.clone(), weight(&u.address)));
    let weights = weights.collect();
    let asked = Weight { name: name.to_owned(), group: group.to_owned(), weights };
    hub.ask_host(host, &asked).await?;
    app.out.note(&if back {
        format!("new connections of {group} go by the weights of its text")
    } else {
        format!("new connections of {group} go to {}", clean(to))
    });
    Ok(Exit::Ok)
}
