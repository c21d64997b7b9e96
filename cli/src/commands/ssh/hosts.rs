//! `ssh-hosts`: which machines the hosts of the fleet know by their keys.

use crate::App;
use crate::args::{self, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::Column;
use clap::{Args, Subcommand};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::ssh::{self, Forget, Known, List, PORT};
use serde::Serialize;

/// List the machines that hosts know by their SSH keys, and have them forgotten.
///
/// Each agent keeps its own: what was confirmed with cmdr ssh, and what its owner wrote into ssh_known_hosts in
/// the agent's folder.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HostsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List what is known.
    #[command(alias = "list")]
    Ls(ListArgs),
    /// Forget the keys of a machine, so that the next session asks anew.
    Forget {
        /// Which, as host[:port].
        machine: String,
        /// At which host of the fleet.
        #[arg(long, value_name = "HOST")]
        via: String,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// By which hosts [default: all].
    #[arg(value_parser = args::selector, default_value = "", hide_default_value = true)]
    selector: String,
}

/// A key as data: the field names are a promise.
#[derive(Debug, Serialize)]
struct Row {
    via: String,
    host: String,
    port: u16,
    algorithm: String,
    fingerprint: String,
    by: String,
    at: Option<String>,
}

impl Row {
    fn new(via: &str, known: Known) -> Self {
        Self {
            via: via.to_owned(),
            host: known.host,
            port: known.port,
            algorithm: known.algorithm,
            fingerprint: known.fingerprint,
            by: known.by,
            at: (known.at_ms > 0).then(|| human::moment(known.at_ms)),
        }
    }
}

fn columns() -> [Column<Row>; 6] {
    [
        Column::text("VIA", |r: &Row| r.via.as_str().into()),
        Column::text("MACHINE", |r| ssh::place(&r.host, r.port).into()),
        Column::text("KIND", |r| r.algorithm.as_str().into()),
        Column::text("FINGERPRINT", |r| r.fingerprint.as_str().into()),
        Column::text("BY", |r| r.by.as_str().into()),
        Column::text("SINCE", |r| r.at.as_deref().unwrap_or_default().into()),
    ]
}

pub(in crate::commands) async fn run(app: &App, args: &HostsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match &args.verb {
        None => list(app, &hub, &args.list).await,
        Some(Verb::Ls(args)) => list(app, &hub, args).await,
        Some(Verb::Forget { machine, via, yes }) => forget(app, &hub, machine, via, *yes).await,
    }
}

async fn list(app: &App, hub: &Hub, args: &ListArgs) -> Result<Exit, Failure> {
    let mut targets = if args.selector.is_empty() {
        hub.everywhere().await?
    } else {
        hub.resolve(&args.selector).await?
    };
    targets.retain(|target| target.state == HostState::Online);
    let (mut rows, mut whole) = (Vec::new(), true);
    for target in &targets {
        match hub.ask_host(target.id, &List {}).await {
            Ok(listing) => {
                rows.extend(listing.known.into_iter().map(|known| Row::new(&target.name, known)));
            }
            Err(e) => {
                whole = false;
                app.out.warn(&format!("{}: {}", target.name, e.message));
            }
        }
    }
    app.out.list(&rows, &columns(), |row| ssh::place(&row.host, row.port))?;
    Ok(if whole { Exit::Ok } else { Exit::Unreachable })
}

async fn forget(app: &App, hub: &Hub, machine: &str, via: &str, yes: Yes) -> Result<Exit, Failure> {
    let (_, host, port) = ssh::target(machine)
        .map_err(|why| Failure::usage(format!("'{machine}' is no host[:port]: {why}")))?;
    let port = port.unwrap_or(PORT);
    let target = hub.one_host(via).await?;
    let place = ssh::place(&host, port);
    let question = format!("Have {} forget the key of {place}, and ask for it anew?", target.name);
    app.out.confirm(yes.yes, &question, "yes").await?;
    let changed = hub.ask_host(target.id, &Forget { host, port }).await?;
    match changed.keys {
        0 => Err(Failure::new(Exit::NoMatch, format!("{} knows no {place}", target.name))),
        keys => {
            app.out.note(&format!("{} has forgotten {keys} key(s) of {place}", target.name));
            Ok(Exit::Ok)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_a_known_machine_has_its_promised_fields() {
        let known = Known {
            host: "db7".into(),
            port: 22,
            algorithm: "ssh-ed25519".into(),
            fingerprint: "SHA256:x".into(),
            by: "ann".into(),
            at_ms: 1000,
        };
        let value = serde_json::to_value(Row::new("web1", known)).unwrap();
        let expected = serde_json::json!({
            "via": "web1", "host": "db7", "port": 22, "algorithm": "ssh-ed25519",
            "fingerprint": "SHA256:x", "by": "ann", "at": "1970-01-01T00:00:01Z",
        });
        assert_eq!(value, expected);
    }
}
