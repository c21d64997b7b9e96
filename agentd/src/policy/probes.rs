//! Where probes may go. Programs of probes are under what `[exec]` says.

use super::{Network, Policy};
use serde::Deserialize;
use std::net::IpAddr;

/// Limits of where probes go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Networks that they may go to; absent for any.
    pub networks: Option<Vec<Network>>,
    /// Networks that they may not.
    pub denied_networks: Vec<Network>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenProbes {
    networks: Option<Vec<Network>>,
    denied_networks: Vec<Network>,
}

impl From<WrittenProbes> for Probes {
    fn from(written: WrittenProbes) -> Self {
        Self { networks: written.networks, denied_networks: written.denied_networks }
    }
}

impl Policy {
    /// Whether a probe may go to this address; why not, in words.
    pub fn allows_probe(&self, address: IpAddr) -> Result<(), String> {
        let within = |list: &Vec<Network>| list.iter().any(|network| network.contains(address));
        let limits = &self.probes;
        if within(&limits.denied_networks) || !limits.networks.as_ref().is_none_or(within) {
            return Err(format!(
                "this host's policy {} lets no probe go to {address}",
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
    fn probes_go_where_the_policy_lets_them_and_its_file_is_named_where_not() {
        let text = "[probes]\nnetworks = [\"10.0.0.0/8\"]\ndenied_networks = [\"10.9.0.0/16\"]\n";
        let policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), text).unwrap();
        let allows = |address: &str| policy.allows_probe(address.parse().unwrap());
        assert!(allows("10.1.1.1").is_ok());
        assert!(allows("::ffff:10.9.1.1").is_err());
        assert!(allows("127.0.0.1").unwrap_err().contains("/etc/cmdr/agent.toml"));
        assert!(Policy::default().allows_probe("127.0.0.1".parse().unwrap()).is_ok());
    }
}
