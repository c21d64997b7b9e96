//! Where sessions over SSH may go.

use super::Policy;
use cmdr_protocol::CallError;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use std::net::{IpAddr, SocketAddr};

/// Limits of where sessions over SSH go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssh {
    /// Networks that they may go to; absent for any.
    pub networks: Option<Vec<Network>>,
    /// Networks that they may not.
    pub denied_networks: Vec<Network>,
}

/// `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub(super) address: IpAddr,
    pub(super) bits: u8,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenSsh {
    networks: Option<Vec<Network>>,
    denied_networks: Vec<Network>,
}

impl From<WrittenSsh> for Ssh {
    fn from(written: WrittenSsh) -> Self {
        Self { networks: written.networks, denied_networks: written.denied_networks }
    }
}

impl Network {
    /// Reads one; none when the text is no network.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().ok()?.to_canonical();
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self { address, bits })
    }

    /// Whether all of another one is in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        // An IPv4 address in the clothes of IPv6 is one all the same.
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differ = ours.to_bits() ^ theirs.to_bits();
                differ.checked_shr(32 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differ = ours.to_bits() ^ theirs.to_bits();
                differ.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::invalid_value(Unexpected::Str(&text), &"a network such as 10.0.0.0/8")
        })
    }
}

impl Ssh {
    fn allows(&self, address: IpAddr) -> bool {
        let within = |list: &Vec<Network>| list.iter().any(|network| network.contains(address));
        !within(&self.denied_networks) && self.networks.as_ref().is_none_or(within)
    }
}

impl Policy {
    /// Those of the addresses of a machine that sessions may go to; an error when there is none.
    pub fn allows_ssh(
        &self,
        host: &str,
        mut addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, CallError> {
        let first = addresses.first().map(|address| address.ip().to_string()).unwrap_or_default();
        addresses.retain(|address| self.ssh.allows(address.ip()));
        if addresses.is_empty() {
            return Err(CallError::denied(format!(
                "this host's policy {} lets no session over SSH go to {} ({first})",
                self.place(),
                cmdr_protocol::display::clean_to_width(host, 64),
            )));
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        let has = |network: &str, address: &str| {
            Network::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(has("10.0.0.0/8", "10.255.1.2") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("0.0.0.0/0", "8.8.8.8") && !has("0.0.0.0/0", "::1") && has("::/0", "::1"));
        assert!(has("192.168.1.7", "192.168.1.7") && !has("192.168.1.7", "192.168.1.6"));
        assert!(has("10.0.0.0/8", "::ffff:10.1.1.1"), "an address of the one kind as the other");
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "x", "::/129", "10.0.0.0/"] {
            assert!(Network::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_policy_leaves_the_addresses_that_it_lets_through_and_names_its_file_when_none_is_left() {
        let text = "[ssh]\nnetworks = [\"10.0.0.0/8\"]\ndenied_networks = [\"10.9.0.0/16\"]\n";
        let policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), text).unwrap();
        let at = |text: &str| format!("{text}:22").parse::<SocketAddr>().unwrap();
        let some = vec![at("8.8.8.8"), at("10.1.1.1"), at("10.9.1.1")];
        assert_eq!(policy.allows_ssh("db7", some).unwrap(), [at("10.1.1.1")]);
        let none = policy.allows_ssh("db7", vec![at("127.0.0.1")]).unwrap_err();
        assert!(none.message.contains("/etc/cmdr/agent.toml"), "{none}");
        let wrong = Policy::parse(Path::new("p"), "[ssh]\nnetworks = [\"ten\"]\n").unwrap_err();
        assert_eq!(wrong.to_string(), "p:2: here should be a network such as 10.0.0.0/8");
    }
}
