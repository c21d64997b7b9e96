//! Whether a gateway is one that the owner of this host allows, and one that only carries: no files are read for it and
//! nobody chooses where it leads but its text.

use crate::policy::Policy;
use cmdr_gateway::config::{Config, Mode};

/// What of a gateway is not allowed here, a line each.
pub(super) fn wrong(policy: &Policy, config: &Config) -> Vec<String> {
    let mut wrong = Vec::new();
    for listener in &config.listeners {
        if !matches!(listener.mode, Mode::Forward | Mode::Sni) {
            wrong.push(format!(
                "listener \"{}\": where clients say where to, it is a forward and no gateway",
                listener.name
            ));
        }
        wrong.extend(policy.allows_listening(listener.address).err());
    }
    for upstream in config.groups.iter().flat_map(|group| &group.upstreams) {
        wrong.extend(policy.allows_upstream(upstream.address.ip()).err());
    }
    for known in &config.policies {
        if known.allow_file.is_some() || known.deny_file.is_some() {
            wrong.push(format!(
                "policy \"{}\": files of the host are not read; write the networks into the text",
                known.name
            ));
        }
    }
    wrong.dedup();
    wrong
}
