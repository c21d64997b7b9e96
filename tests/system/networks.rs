//! Networks of a real engine through the hub.

use crate::images::{agent, ask};
use cmdr_protocol::ErrorKind;
use cmdr_protocol::networks::{
    Connect, Create, Disconnect, Inspect, List, Network, Remove, Subnet, Watch,
};
use cmdr_protocol::role::Role;
use harness::engine::{Engine, IMAGE};
use harness::{World, until_some};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_network_is_made_as_it_is_described_and_containers_go_in_and_out() {
    let (engine, world) = (Engine::up(), World::start().await);
    let agent = agent(&world, "here", engine.socket()).await;
    let client = world.client(Role::OPERATOR).await;
    let name = engine.name("net");
    let subnet = Subnet {
        subnet: "198.18.77.0/24".into(),
        gateway: "198.18.77.9".into(),
        range: "198.18.77.128/25".into(),
    };
    let create = Create {
        network: name.to_string(),
        subnets: vec![subnet.clone()],
        internal: true,
        labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        ..Create::default()
    };
    let made = ask(&client, agent.id, create.clone()).await.unwrap();
    let find = async |id: &str| {
        let listing = ask(&client, agent.id, List {}).await.unwrap();
        listing.networks.into_iter().find(|network| network.id == id)
    };
    let network = find(&made.id).await.unwrap();
    assert_eq!((network.driver.as_str(), network.subnets), ("bridge", vec![subnet]));
    assert!(network.internal && network.labels["team"] == "a" && network.users == 0);
    let error = ask(&client, agent.id, create).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    let overlapping = Create {
        network: format!("{name}-again"),
        subnets: vec![Subnet { subnet: "198.18.77.0/26".into(), ..Subnet::default() }],
        ..Create::default()
    };
    let error = ask(&client, agent.id, overlapping).await.unwrap_err();
    assert!(error.message.contains("the Docker engine says"), "{error}");
    let outside = Create {
        network: format!("{name}-outside"),
        subnets: vec![Subnet {
            subnet: "198.18.78.0/24".into(),
            gateway: "10.0.0.1".into(),
            range: String::new(),
        }],
        ..Create::default()
    };
    let error = ask(&client, agent.id, outside).await.unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::Malformed, "the gateway 10.0.0.1 is not in 198.18.78.0/24",)
    );

    let second = format!("{name}-second");
    let create = Create { network: second.clone(), internal: true, ..Create::default() };
    let other = ask(&client, agent.id, create).await.unwrap();
    let container = ["create", "--name", name.as_str(), "--network", second.as_str(), IMAGE];
    engine.docker(&[&container[..], &["true"]].concat());
    let connect = Connect {
        network: made.id.clone(),
        container: name.to_string(),
        addresses: vec!["198.18.77.200".into()],
        aliases: vec!["db".into()],
    };
    ask(&client, agent.id, connect).await.unwrap();
    for id in [&made.id, &other.id] {
        let network = find(id).await.unwrap();
        assert_eq!((network.used_by, network.users), (vec![name.to_string()], 1));
    }
    let format =
        format!("{{{{(index .NetworkSettings.Networks \"{name}\").IPAMConfig.IPv4Address}}}}");
    assert_eq!(engine.docker(&["inspect", "-f", &format, name.as_str()]), "198.18.77.200");
    let disconnect = |network: &str| Disconnect {
        network: network.to_owned(),
        container: name.to_string(),
        force: false,
    };
    ask(&client, agent.id, disconnect(&made.id)).await.unwrap();
    assert_eq!(find(&made.id).await.unwrap().users, 0);

    let shown = ask(&client, agent.id, Inspect { network: name.to_string() }).await.unwrap();
    assert!(shown.json.contains("198.18.77.9"), "{shown:?}");
    let remove = |network: &str| Remove { network: network.to_owned() };
    ask(&client, agent.id, remove(name.as_str())).await.unwrap();
    assert_eq!(
        ask(&client, agent.id, remove(&made.id)).await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    let error = ask(&client, agent.id, remove("host")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    let missing = ask(&client, agent.id, disconnect("no-such-network")).await.unwrap_err();
    assert!(missing.message.contains("the Docker engine says"), "{missing}");
    let observer = world.client(Role::OBSERVER).await;
    let denied = ask(&observer, agent.id, remove(&second)).await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied);
}

#[tokio::test]
async fn networks_that_come_and_go_are_told() {
    let (engine, world) = (Engine::up(), World::start().await);
    let agent = agent(&world, "here", engine.socket()).await;
    let client = world.client(Role::OBSERVER).await;
    let name = engine.name("watched");
    let mut feed = client.feed(Some(agent.id), &Watch {}).await.unwrap();
    let mut table: BTreeMap<String, Network> = BTreeMap::new();
    feed.next().await.unwrap().unwrap().apply(&mut table);
    for (act, there) in [("create", true), ("rm", false)] {
        engine.docker(&["network", act, name.as_str()]);
        until_some(&format!("{act} is told"), async || {
            if table.values().any(|network| network.name == name.as_str()) == there {
                return Some(());
            }
            feed.next().await.unwrap().unwrap().apply(&mut table);
            None
        })
        .await;
    }
}
