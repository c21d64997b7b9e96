//! Networks as rows.

use super::images::{short, users};
use super::lists::{Listed, number};
use super::sheets::{Record, Target, Value};
use crate::theme::Role;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::networks::{Network, Watch};

impl Listed for Watch {
    type Row = Network;

    fn record(host: HostId, on: &str, network: &Network) -> Record {
        let subnets: Vec<_> = network.subnets.iter().map(|net| net.subnet.as_str()).collect();
        let flags = [
            (network.internal, "internal"),
            (network.attachable, "attachable"),
            (network.ipv6, "ipv6"),
        ];
        let flags = flags.into_iter().filter(|(is, _)| *is).map(|(_, word)| word);
        let flags: Vec<_> = flags.collect();
        let part = |key, text: &String| (key, text.clone());
        let mut more = vec![
            part("images.more.id", &network.id),
            part("volumes.more.scope", &network.scope),
            part("networks.more.created", &network.created),
        ];
        for net in &network.subnets {
            more.push(part("networks.more.gateway", &net.gateway));
            more.push(part("networks.more.range", &net.range));
        }
        let labels = network.labels.iter().take(100);
        more.extend(labels.map(|(key, value)| ("images.more.label", format!("{key}={value}"))));
        Record {
            id: number::<Network>(host, &network.id),
            host,
            values: vec![
                Value::text(on, Role::Accent),
                Value::text(&network.name, Role::Strong),
                Value::soft(&network.driver),
                Value::text(&subnets.join(" "), Role::Text),
                users(&network.used_by, network.users),
                Value::soft(&flags.join(" ")),
                Value::soft(short(&network.id)),
            ],
            more: more.into_iter().map(|(key, text)| (key, clean(&text).into_owned())).collect(),
            target: Target::Network {
                id: network.id.clone(),
                name: network.name.clone(),
                users: network.used_by.clone(),
            },
        }
    }
}
