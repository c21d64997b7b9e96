//! What gateways may do on this host.

use super::{Network, Policy};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

/// Limits of gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateways {
    /// Ports that they may listen on, as ranges; absent for any.
    pub ports: Option<Vec<(u16, u16)>>,
    /// Networks of addresses that they may listen on; absent for any.
    pub listen: Option<Vec<Network>>,
    /// Networks that upstreams may be in; absent for any.
    pub networks: Option<Vec<Network>>,
    /// Networks that they may not.
    pub denied_networks: Vec<Network>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenGateways {
    ports: Option<Vec<Ports>>,
    listen: Option<Vec<Network>>,
    networks: Option<Vec<Network>>,
    denied_networks: Vec<Network>,
}

/// A port, or `8000-8999`.
#[derive(Deserialize)]
#[serde(try_from = "Written")]
struct Ports(u16, u16);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    One(u16),
    Range(String),
}

impl TryFrom<Written> for Ports {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let range = match &written {
            Written::One(port) => Some((*port, *port)),
            Written::Range(text) => text
                .split_once('-')
                .and_then(|(from, to)| Some((from.trim().parse().ok()?, to.trim().parse().ok()?))),
        };
        match range {
            Some((from, to)) if from <= to => Ok(Self(from, to)),
            _ => Err("ports are numbers and ranges such as \"8000-8999\"".to_owned()),
        }
    }
}

impl From<WrittenGateways> for Gateways {
    fn from(written: WrittenGateways) -> Self {
        let ports = written.ports.map(|all| all.into_iter().map(|Ports(a, b)| (a, b)).collect());
        let WrittenGateways { listen, networks, denied_networks, .. } = written;
        Self { ports, listen, networks, denied_networks }
    }
}

impl Policy {
    /// Whether a gateway may listen there; why not, in words.
    pub fn allows_listening(&self, address: SocketAddr) -> Result<(), String> {
        let port = address.port();
        let within = |(from, to): &(u16, u16)| (*from..=*to).contains(&port);
        if !self.gateways.ports.as_ref().is_none_or(|ports| ports.iter().any(within)) {
            return Err(format!(
                "this host's policy {} lets no gateway listen on port {port}",
                self.place()
            ));
        }
        let ip = address.ip();
        let holds = |listen: &Vec<Network>| listen.iter().any(|network| network.contains(ip));
        if !self.gateways.listen.as_ref().is_none_or(holds) {
            return Err(format!(
                "this host's policy {} lets no gateway listen on {ip}",
                self.place()
            ));
        }
        Ok(())
    }

    /// Whether a gateway may lead to this address; why not, in words.
    pub fn allows_upstream(&self, address: IpAddr) -> Result<(), String> {
        let within = |list: &Vec<Network>| list.iter().any(|network| network.contains(address));
        let limits = &self.gateways;
        if within(&limits.denied_networks) || !limits.networks.as_ref().is_none_or(within) {
            return Err(format!(
                "this host's policy {} lets no gateway lead to {address}",
                self.place()
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn gateways_listen_and_lead_where_the_policy_lets_them() {
        let text = "[gateways]\nports = [80, \"8000-8999\"]\nlisten = [\"10.0.0.0/8\", \"::/0\"]\nnetworks = [\"10.0.0.0/8\"]\ndenied_networks = [\"10.9.0.0/16\"]\n";
        let policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), text).unwrap();
        let listens = |address: &str| policy.allows_listening(address.parse().unwrap());
        assert!(listens("10.0.0.1:80").is_ok() && listens("[::]:8000").is_ok());
        assert!(listens("0.0.0.0:80").unwrap_err().contains("listen on 0.0.0.0"));
        assert!(listens("10.0.0.1:9000").unwrap_err().contains("/etc/cmdr/agent.toml"));
        let leads = |address: &str| policy.allows_upstream(address.parse().unwrap());
        assert!(leads("10.1.1.1").is_ok());
        assert!(leads("::ffff:10.9.1.1").is_err() && leads("127.0.0.1").is_err());
        assert!(Policy::default().allows_listening("0.0.0.0:1".parse().unwrap()).is_ok());
        let wrong = "[gateways]\nports = [\"9-8\"]\n";
        assert!(Policy::parse(Path::new("x"), wrong).is_err());
    }
}
