//! `docker network`.

use super::told;
use super::volumes::pair;
use crate::App;
use crate::args::{self, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::output::Column;
use clap::{Args, Subcommand};
use cmdr_protocol::images::check_name;
use cmdr_protocol::networks::{
    Connect, Create, Created, Disconnect, Inspect, List, Listing, Network, Remove, Subnet,
};
use serde::Serialize;

/// Show networks of one host or more, make them, take them away, put containers in and out.
#[derive(Debug, Args)]
pub(super) struct NetworkArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List networks.
    Ls(LsArgs),
    /// Show all that the engine says about one.
    Inspect(InspectArgs),
    /// Make one.
    Create(CreateArgs),
    /// Take networks away that nobody is in.
    Rm(RmArgs),
    /// Put a container into a network.
    Connect(ConnectArgs),
    /// Take a container out of a network.
    Disconnect(DisconnectArgs),
}

#[derive(Debug, Args)]
struct LsArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,
}

#[derive(Debug, Args)]
struct InspectArgs {
    /// Which host.
    host: String,

    /// Its name or id.
    #[arg(value_parser = name)]
    network: String,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Its name.
    #[arg(value_parser = name)]
    network: String,

    /// What makes it: bridge, macvlan, overlay, or a plugin [default: bridge].
    #[arg(short, long, default_value = "", hide_default_value = true)]
    driver: String,

    /// Its addresses, such as 10.1.0.0/16; may be given again.
    #[arg(long)]
    subnet: Vec<String>,

    /// The way out of the subnet at the same place.
    #[arg(long)]
    gateway: Vec<String>,

    /// The part of the subnet at the same place that containers get addresses from.
    #[arg(long)]
    ip_range: Vec<String>,

    /// Nothing leads out of it.
    #[arg(long)]
    internal: bool,

    /// Containers that belong to no service may join it.
    #[arg(long)]
    attachable: bool,

    /// Give out addresses of the second family.
    #[arg(long)]
    ipv6: bool,

    /// Written on it: KEY=VALUE.
    #[arg(short, long, value_parser = pair)]
    label: Vec<(String, String)>,

    /// Told to its driver: KEY=VALUE.
    #[arg(long = "opt", value_parser = pair)]
    opt: Vec<(String, String)>,
}

#[derive(Debug, Args)]
struct RmArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Names or ids.
    #[arg(required = true, value_name = "NETWORK", value_parser = name)]
    networks: Vec<String>,

    #[command(flatten)]
    yes: Yes,
}

#[derive(Debug, Args)]
struct ConnectArgs {
    /// Which host.
    host: String,

    /// Name or id of the network.
    #[arg(value_parser = name)]
    network: String,

    /// Name or id of the container.
    container: String,

    /// Its address there, of either family.
    #[arg(long)]
    ip: Vec<std::net::IpAddr>,

    /// Another name that it is found by there.
    #[arg(long)]
    alias: Vec<String>,
}

#[derive(Debug, Args)]
struct DisconnectArgs {
    /// Which host.
    host: String,

    /// Name or id of the network.
    #[arg(value_parser = name)]
    network: String,

    /// Name or id of the container.
    container: String,

    /// Also when the container does not answer.
    #[arg(short, long)]
    force: bool,
}

fn name(text: &str) -> Result<String, String> {
    check_name("network", text).map(|()| text.to_owned())
}

/// A network as data: the field names are docker's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    host: String,
    #[serde(rename = "ID")]
    id: String,
    name: String,
    driver: String,
    scope: String,
    internal: bool,
    #[serde(rename = "IPv6")]
    ipv6: bool,
    created_at: String,
    labels: String,
    subnets: Vec<Subnet>,
    containers: u32,
    used_by: Vec<String>,
}

impl Row {
    fn new(host: &str, network: Network) -> Self {
        Self {
            host: host.to_owned(),
            labels: told::labels(&network.labels),
            id: network.id,
            name: network.name,
            driver: network.driver,
            scope: network.scope,
            internal: network.internal,
            ipv6: network.ipv6,
            created_at: network.created,
            subnets: network.subnets,
            containers: network.users,
            used_by: network.used_by,
        }
    }
}

fn columns(many: bool) -> Vec<Column<Row>> {
    let mut columns = Vec::new();
    if many {
        columns.push(Column::text("HOST", |r: &Row| r.host.as_str().into()));
    }
    columns.extend([
        Column::text("NETWORK ID", |r: &Row| told::short(&r.id).into()),
        Column::text("NAME", |r: &Row| r.name.as_str().into()),
        Column::text("DRIVER", |r: &Row| r.driver.as_str().into()),
        Column::text("SCOPE", |r: &Row| r.scope.as_str().into()),
        Column::text("SUBNETS", |r: &Row| {
            r.subnets.iter().map(|s| s.subnet.as_str()).collect::<Vec<_>>().join(",").into()
        }),
        Column::text("INTERNAL", |r: &Row| if r.internal { "yes" } else { "" }.into()).wide(),
        Column::text("LABELS", |r: &Row| r.labels.as_str().into()).wide(),
        Column::text("USED BY", |r: &Row| r.used_by.join(",").into()),
    ]);
    columns
}

pub(super) async fn run(app: &App, args: &NetworkArgs) -> Result<Exit, Failure> {
    match &args.act {
        Act::Ls(args) => list(app, args).await,
        Act::Inspect(args) => {
            let call = Inspect { network: args.network.clone() };
            told::inspect(app, &args.host, &args.network, &call).await
        }
        Act::Create(args) => create(app, args).await,
        Act::Rm(args) => remove(app, args).await,
        Act::Connect(args) => connect(app, args).await,
        Act::Disconnect(args) => disconnect(app, args).await,
    }
}

async fn list(app: &App, args: &LsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let columns = columns(targets.len() > 1);
    let rows = |host: &str, listing: Listing| {
        told::left_out(app, host, listing.left_out, "networks");
        let mut rows: Vec<_> =
            listing.networks.into_iter().map(|network| Row::new(host, network)).collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    };
    told::list(app, &hub, &targets, &List {}, rows, (&columns, |row| row.name.clone())).await
}

/// What was written one after the other belongs together.
fn subnets(args: &CreateArgs) -> Result<Vec<Subnet>, Failure> {
    if args.gateway.len() > args.subnet.len() || args.ip_range.len() > args.subnet.len() {
        return Err(Failure::usage(
            "a gateway or a range belongs to a subnet: --subnet is missing",
        ));
    }
    let at = |list: &[String], index| list.get(index).cloned().unwrap_or_default();
    let one = |(index, subnet): (usize, &String)| Subnet {
        subnet: subnet.clone(),
        gateway: at(&args.gateway, index),
        range: at(&args.ip_range, index),
    };
    Ok(args.subnet.iter().enumerate().map(one).collect())
}

async fn create(app: &App, args: &CreateArgs) -> Result<Exit, Failure> {
    let call = Create {
        network: args.network.clone(),
        driver: args.driver.clone(),
        subnets: subnets(args)?,
        internal: args.internal,
        attachable: args.attachable,
        ipv6: args.ipv6,
        labels: args.label.iter().cloned().collect(),
        options: args.opt.iter().cloned().collect(),
    };
    call.check().map_err(Failure::usage)?;
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let told = |made: Created| {
        if !made.warning.is_empty() {
            app.out.warn(&made.warning);
        }
        made.id
    };
    told::act(app, &hub, &targets, &[(args.network.clone(), call)], told).await
}

async fn remove(app: &App, args: &RmArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let what = format!("remove the network {}", args.networks.join(", "));
    told::confirm(app, args.yes, &targets, &what).await?;
    let call = |name: &String| Remove { network: name.clone() };
    let acts: Vec<_> = args.networks.iter().map(|name| (name.clone(), call(name))).collect();
    told::act(app, &hub, &targets, &acts, |_| "removed".to_owned()).await
}

async fn connect(app: &App, args: &ConnectArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let call = Connect {
        network: args.network.clone(),
        container: args.container.clone(),
        addresses: args.ip.iter().map(ToString::to_string).collect(),
        aliases: args.alias.clone(),
    };
    let acts = [(args.container.clone(), call)];
    told::act(app, &hub, &[host], &acts, |_| "connected".to_owned()).await
}

async fn disconnect(app: &App, args: &DisconnectArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let (network, container) = (args.network.clone(), args.container.clone());
    let acts = [(container.clone(), Disconnect { network, container, force: args.force })];
    told::act(app, &hub, &[host], &acts, |_| "disconnected".to_owned()).await
}
