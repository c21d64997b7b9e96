//! Networks of the host's Docker engine.

use super::images::users::{Container, Users, containers};
use super::images::{KNOWN, fitting, note, one, shaped};
use crate::engine::{Engine, told};
use crate::{Agent, watched};
use bollard::models::{
    EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest,
    NetworkCreateRequest, NetworkDisconnectRequest,
};
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::images::{Inspected, check_name};
use cmdr_protocol::networks::{
    Connect, Create, Created, Disconnect, Inspect, List, Listing, Network, Remove, Subnet, Watch,
};
use cmdr_protocol::{CallError, ErrorKind, Nothing};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(list).feed(watch).on(inspect).on(create).on(remove).on(connect).on(disconnect)
}

async fn list(agent: Arc<Agent>, _: Asked, _: List) -> Result<Listing, CallError> {
    let engine = agent.engine().await?;
    let (networks, left_out) = fitting(read(&engine).await?);
    Ok(Listing { networks, left_out })
}

async fn watch(
    agent: Arc<Agent>,
    _: Asked,
    _: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let read = |engine| async move { read(&engine).await };
    let (table, kinds) = (&agent.tables().networks, &["network", "container"]);
    watched::watch(&agent, table, "watch the networks", kinds, read).send(feeding).await
}

async fn inspect(agent: Arc<Agent>, _: Asked, call: Inspect) -> Result<Inspected, CallError> {
    let name = checked("network", &call.network)?;
    let engine = agent.engine().await?;
    one(&engine, &format!("the network {name}"), &format!("/networks/{name}")).await
}

async fn create(agent: Arc<Agent>, asked: Asked, call: Create) -> Result<Created, CallError> {
    call.check().map_err(CallError::malformed)?;
    let attempted = format!("create the network {}", call.network);
    let engine = agent.engine().await?;
    // Older engines make two of one name.
    if read(&engine).await?.iter().any(|network| network.name == call.network) {
        return Err(CallError::new(
            ErrorKind::Conflict,
            format!("{attempted}: there is a network of this name already"),
        ));
    }
    let told_of = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let subnet = |subnet: &Subnet| IpamConfig {
        subnet: told_of(&subnet.subnet),
        ip_range: told_of(&subnet.range),
        gateway: told_of(&subnet.gateway),
        auxiliary_addresses: None,
    };
    let ipam = (!call.subnets.is_empty()).then(|| Ipam {
        config: Some(call.subnets.iter().map(subnet).collect()),
        ..Ipam::default()
    });
    let driver = if call.driver.is_empty() { "bridge".to_owned() } else { call.driver };
    let request = NetworkCreateRequest {
        name: call.network,
        driver: Some(driver),
        internal: Some(call.internal),
        attachable: Some(call.attachable),
        ipam,
        enable_ipv6: Some(call.ipv6),
        options: Some(call.options.into_iter().collect()),
        labels: Some(call.labels.into_iter().collect()),
        ..NetworkCreateRequest::default()
    };
    let made = engine.create_network(request).await.map_err(|e| told(&attempted, &e))?;
    note(&asked, &attempted);
    Ok(Created { id: made.id, warning: made.warning })
}

async fn remove(agent: Arc<Agent>, asked: Asked, call: Remove) -> Result<Nothing, CallError> {
    let name = checked("network", &call.network)?;
    let attempted = format!("remove the network {name}");
    let engine = agent.engine().await?;
    engine.remove_network(name).await.map_err(|e| told(&attempted, &e))?;
    note(&asked, &attempted);
    Ok(Nothing {})
}

async fn connect(agent: Arc<Agent>, asked: Asked, call: Connect) -> Result<Nothing, CallError> {
    let (network, container) = pair(&call.network, &call.container)?;
    let attempted = format!("connect {container} to the network {network}");
    let mut addresses = EndpointIpamConfig::default();
    for text in &call.addresses {
        match text.parse() {
            Ok(IpAddr::V4(_)) => addresses.ipv4_address = Some(text.clone()),
            Ok(IpAddr::V6(_)) => addresses.ipv6_address = Some(text.clone()),
            Err(_) => {
                return Err(CallError::malformed(format!("{attempted}: '{text}' is no address")));
            }
        }
    }
    let settings = EndpointSettings {
        ipam_config: (!call.addresses.is_empty()).then_some(addresses),
        aliases: (!call.aliases.is_empty()).then_some(call.aliases),
        ..EndpointSettings::default()
    };
    let request =
        NetworkConnectRequest { container: container.to_owned(), endpoint_config: Some(settings) };
    let engine = agent.engine().await?;
    engine.connect_network(network, request).await.map_err(|e| told(&attempted, &e))?;
    note(&asked, &attempted);
    Ok(Nothing {})
}

async fn disconnect(
    agent: Arc<Agent>,
    asked: Asked,
    call: Disconnect,
) -> Result<Nothing, CallError> {
    let (network, container) = pair(&call.network, &call.container)?;
    let attempted = format!("disconnect {container} from the network {network}");
    let request =
        NetworkDisconnectRequest { container: container.to_owned(), force: Some(call.force) };
    let engine = agent.engine().await?;
    engine.disconnect_network(network, request).await.map_err(|e| told(&attempted, &e))?;
    note(&asked, &attempted);
    Ok(Nothing {})
}

fn pair<'a>(network: &'a str, container: &'a str) -> Result<(&'a str, &'a str), CallError> {
    Ok((checked("network", network)?, checked("container", container)?))
}

fn checked<'a>(what: &str, name: &'a str) -> Result<&'a str, CallError> {
    check_name(what, name).map_err(CallError::malformed)?;
    Ok(name)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Described {
    id: String,
    name: String,
    driver: String,
    scope: String,
    internal: bool,
    attachable: bool,
    #[serde(rename = "EnableIPv6")]
    ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: Option<Addresses>,
    created: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Addresses {
    config: Option<Vec<Block>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Block {
    subnet: String,
    gateway: String,
    #[serde(rename = "IPRange")]
    range: String,
}

async fn read(engine: &Engine) -> Result<Vec<Network>, CallError> {
    let attempted = "list the networks";
    let found: Option<Vec<Described>> =
        shaped(attempted, engine.get_in(KNOWN, attempted, "/networks").await?)?;
    let containers = containers(engine, attempted).await?;
    let mut users = Users::of(&containers, Container::networks);
    let mut networks = Vec::new();
    for described in found.into_iter().flatten() {
        let (mut used_by, mut count) = users.take(&described.id);
        // Those that never ran know it by its name.
        let (more, others) = users.take(&described.name);
        used_by.extend(more);
        count += others;
        let blocks = described.ipam.and_then(|ipam| ipam.config).into_iter().flatten();
        let subnet = |b: Block| Subnet { subnet: b.subnet, gateway: b.gateway, range: b.range };
        networks.push(Network {
            id: described.id,
            name: described.name,
            driver: described.driver,
            scope: described.scope,
            internal: described.internal,
            attachable: described.attachable,
            ipv6: described.ipv6,
            subnets: blocks.map(subnet).collect(),
            created: described.created.unwrap_or_default(),
            labels: described.labels.unwrap_or_default(),
            used_by,
            users: count,
        });
    }
    Ok(networks)
}
