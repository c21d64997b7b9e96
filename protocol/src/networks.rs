//! Networks of a host's Docker engine, and which containers are in them.

use crate::call::{Access, Call, Feed, Nothing};
use crate::images::Inspected;
use crate::table;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The resource of a network.
pub fn resource(network: &str) -> String {
    format!("network:{network}")
}

/// The resource of a network and a container: a right has to cover each of them.
fn both(network: &str, container: &str) -> String {
    format!("{}\0container:{container}", resource(network))
}

/// All networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "networks.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By id.
    pub networks: Vec<Network>,
    /// So many more there are, and were left out.
    pub left_out: u64,
}

/// All networks, then what changes, as the engine tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {}

impl Feed for Watch {
    const METHOD: &'static str = "networks.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = table::Change<Network>;
}

/// One network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// 64 hexadecimal digits, or 25 letters and digits in a cluster.
    #[serde(rename = "i")]
    pub id: String,
    /// Its name; two may have the same.
    #[serde(rename = "n")]
    pub name: String,
    /// `bridge`, `host`, `null`, `overlay`, `macvlan`, or a plugin.
    #[serde(rename = "d")]
    pub driver: String,
    /// `local`, `swarm` or `global`.
    #[serde(rename = "s")]
    pub scope: String,
    /// Nothing leads out of it.
    #[serde(rename = "x", skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Containers that belong to no service may join it.
    #[serde(rename = "a", skip_serializing_if = "std::ops::Not::not")]
    pub attachable: bool,
    /// Addresses of the second family are given out.
    #[serde(rename = "v6", skip_serializing_if = "std::ops::Not::not")]
    pub ipv6: bool,
    /// What addresses it has.
    #[serde(rename = "p", skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<Subnet>,
    /// When it was made, as the engine writes it.
    #[serde(rename = "c", skip_serializing_if = "String::is_empty")]
    pub created: String,
    /// What was written on it.
    #[serde(rename = "l", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Names of containers that are in it, the first of them.
    #[serde(rename = "u", skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<String>,
    /// How many there are.
    #[serde(rename = "k")]
    pub users: u32,
}

impl table::Row for Network {
    type Key = String;
    fn key(&self) -> String {
        self.id.clone()
    }
    fn weight(&self) -> usize {
        let texts = [&self.id, &self.name, &self.driver, &self.scope, &self.created];
        let labels = self.labels.iter().map(|(k, v)| k.len() + v.len() + 4);
        let users = self.used_by.iter().map(|name| name.len() + 3).sum::<usize>();
        60 + users
            + texts.iter().map(|text| text.len()).sum::<usize>()
            + 80 * self.subnets.len()
            + labels.sum::<usize>()
    }
}

/// Addresses of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subnet {
    /// `10.1.0.0/16`.
    pub subnet: String,
    /// The address of the way out; empty for the first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
    /// The part that containers get addresses from; empty for all of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub range: String,
}

impl Subnet {
    /// Whether its parts fit each other; else why not.
    pub fn check(&self) -> Result<(), String> {
        let whole = Block::parse(&self.subnet).ok_or_else(|| {
            format!("'{}' is not a subnet such as 10.1.0.0/16", shown(&self.subnet))
        })?;
        if !self.gateway.is_empty() {
            let gateway: IpAddr = self
                .gateway
                .parse()
                .map_err(|_| format!("the gateway '{}' is not an address", shown(&self.gateway)))?;
            if !whole.has(gateway) {
                return Err(format!("the gateway {gateway} is not in {}", self.subnet));
            }
        }
        if !self.range.is_empty() {
            let range = Block::parse(&self.range).ok_or_else(|| {
                format!("the range '{}' is none such as 10.1.2.0/24", shown(&self.range))
            })?;
            if range.length < whole.length || !whole.has(range.address) {
                return Err(format!("the range {} is not in {}", self.range, self.subnet));
            }
        }
        Ok(())
    }
}

fn shown(text: &str) -> String {
    crate::display::clean_to_width(text, 60)
}

/// Addresses with a common beginning.
struct Block {
    address: IpAddr,
    length: u32,
}

impl Block {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let length: u32 = length.parse().ok()?;
        (length <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, length })
    }

    fn has(&self, other: IpAddr) -> bool {
        let left = |whole: u128, bits: u32| {
            let away = bits - self.length;
            if away >= 128 { 0 } else { whole >> away }
        };
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                left(u128::from(a.to_bits()), 32) == left(u128::from(b.to_bits()), 32)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => left(a.to_bits(), 128) == left(b.to_bits(), 128),
            _ => false,
        }
    }
}

/// All that the engine says about a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inspect {
    /// Which: a name or an id.
    pub network: String,
}

impl Call for Inspect {
    const METHOD: &'static str = "networks.inspect";
    const ACCESS: Access = Access::Read;
    type Reply = Inspected;
    fn resource(&self) -> String {
        resource(&self.network)
    }
}

/// Makes a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Create {
    /// Its name. One that is there already is a conflict.
    pub network: String,
    /// `bridge` when it is empty.
    pub driver: String,
    /// What addresses it has; chosen by the engine when there are none.
    pub subnets: Vec<Subnet>,
    /// Nothing leads out of it.
    pub internal: bool,
    /// As [`Network::attachable`].
    pub attachable: bool,
    /// As [`Network::ipv6`].
    pub ipv6: bool,
    /// Written on it.
    pub labels: BTreeMap<String, String>,
    /// What its driver is told.
    pub options: BTreeMap<String, String>,
}

impl Create {
    /// Whether it can be asked for; else why not.
    pub fn check(&self) -> Result<(), String> {
        crate::images::check_name("network", &self.network)?;
        self.subnets.iter().try_for_each(Subnet::check)
    }
}

impl Call for Create {
    const METHOD: &'static str = "networks.create";
    const ACCESS: Access = Access::Act;
    type Reply = Created;
    fn resource(&self) -> String {
        resource(&self.network)
    }
}

/// The answer to a [`Create`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Created {
    /// Its id.
    pub id: String,
    /// What the engine has to say; empty for nothing.
    pub warning: String,
}

/// Takes a network away that nobody is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remove {
    /// Which: a name or an id.
    pub network: String,
}

impl Call for Remove {
    const METHOD: &'static str = "networks.remove";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        resource(&self.network)
    }
}

/// Puts a container into a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connect {
    /// Which: a name or an id.
    pub network: String,
    /// A name or an id.
    pub container: String,
    /// Its addresses there; given by the engine when there are none.
    pub addresses: Vec<String>,
    /// Other names that it is found by there.
    pub aliases: Vec<String>,
}

impl Call for Connect {
    const METHOD: &'static str = "networks.connect";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        both(&self.network, &self.container)
    }
}

/// Takes a container out of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disconnect {
    /// Which: a name or an id.
    pub network: String,
    /// A name or an id.
    pub container: String,
    /// Also when the container does not answer.
    pub force: bool,
}

impl Call for Disconnect {
    const METHOD: &'static str = "networks.disconnect";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        both(&self.network, &self.container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(subnet: &str, gateway: &str, range: &str) -> Result<(), String> {
        let subnet = Subnet {
            subnet: subnet.to_owned(),
            gateway: gateway.to_owned(),
            range: range.to_owned(),
        };
        subnet.check()
    }

    #[test]
    fn a_subnet_has_its_gateway_and_its_range_within_itself() {
        assert!(subnet("10.1.0.0/16", "10.1.0.1", "10.1.2.0/24").is_ok());
        assert!(subnet("fd00::/64", "fd00::1", "").is_ok());
        assert!(subnet("0.0.0.0/0", "9.9.9.9", "").is_ok());
        let outside = subnet("10.1.0.0/16", "10.2.0.1", "").unwrap_err();
        assert_eq!(outside, "the gateway 10.2.0.1 is not in 10.1.0.0/16");
        for (whole, gateway, range) in [
            ("10.1.0.0", "", ""),
            ("10.1.0.0/33", "", ""),
            ("x/16", "", ""),
            ("10.1.0.0/16", "fd00::1", ""),
            ("10.1.0.0/16", "", "10.0.0.0/8"),
            ("10.1.0.0/16", "", "10.9.0.0/24"),
        ] {
            assert!(subnet(whole, gateway, range).is_err(), "{whole} {gateway} {range}");
        }
    }

    #[test]
    fn connecting_takes_a_right_on_the_network_and_on_the_container() {
        let connect = Connect { network: "a".into(), container: "b".into(), ..Connect::default() };
        assert_eq!(connect.resource(), "network:a\0container:b");
    }
}
