//! The text of a gateway: its name and host, and a configuration in the words of `cmdr-gateway`.

use cmdr_gateway::config::{Config, Group, Listener, Mode, Policy};
use cmdr_gateway::plan;
use cmdr_protocol::gateways::check_name;
use cmdr_protocol::runbooks::Problem;
use serde::Deserialize;

/// The longest name of a listener, a group or a policy: a gateway's stands before it.
const NAME: usize = 31;

/// A gateway as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) name: String,
    /// Its host's name or id.
    pub(super) host: String,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) off: bool,
    listeners: Vec<Listener>,
    #[serde(default)]
    groups: Vec<Group>,
    #[serde(default)]
    policies: Vec<Policy>,
}

impl Written {
    fn config(&self) -> Config {
        Config {
            listeners: self.listeners.clone(),
            groups: self.groups.clone(),
            policies: self.policies.clone(),
            ..Config::default()
        }
    }

    /// The configuration as JSON.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(&self.config()).unwrap_or_default()
    }

    /// Where it listens.
    pub(super) fn places(&self) -> Vec<String> {
        let place = |l: &Listener| {
            let transport = serde_json::to_value(l.transport).unwrap_or_default();
            format!("{} {}", transport.as_str().unwrap_or_default(), l.address)
        };
        self.listeners.iter().map(place).collect()
    }

    /// Upstreams in all groups.
    pub(super) fn upstreams(&self) -> u32 {
        let all: usize = self.groups.iter().map(|group| group.upstreams.len()).sum();
        u32::try_from(all).unwrap_or(u32::MAX)
    }

    /// What cannot be meant, though it can be read.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        wrong.extend(check_name(&self.name).err());
        if self.listeners.is_empty() {
            wrong.push("listeners: a gateway has at least one".to_owned());
        }
        let names = self.listeners.iter().map(|l| &l.name);
        let names = names.chain(self.groups.iter().map(|g| &g.name));
        for name in names.chain(self.policies.iter().map(|p| &p.name)) {
            if name.len() > NAME || name.contains('/') {
                let name = cmdr_protocol::display::clean_to_width(name, 40);
                wrong.push(format!("'{name}': a name has at most {NAME} letters, and no '/'"));
            }
        }
        for listener in &self.listeners {
            if !matches!(listener.mode, Mode::Forward | Mode::Sni) || !listener.users.is_empty() {
                wrong.push(format!(
                    "listener '{}': where clients say where to, it is a forward: cmdr forward",
                    listener.name
                ));
            }
            if listener.address.port() == 0 {
                wrong.push(format!("listener '{}': say which port", listener.name));
            }
        }
        for policy in &self.policies {
            if policy.allow_file.is_some() || policy.deny_file.is_some() {
                wrong.push(format!(
                    "policy '{}': files of the host are not read; write the networks here",
                    policy.name
                ));
            }
        }
        if wrong.is_empty() {
            wrong = plan::wrong(self.config());
        }
        wrong
    }
}

/// Reads a text, or says all that is wrong with it.
pub(super) fn read(text: &str) -> Result<Written, Vec<Problem>> {
    let written: Written = cmdr_rules::text::document(text).map_err(|problems| {
        let told =
            |p: cmdr_rules::Problem| Problem { line: p.line, column: p.column, what: p.what };
        problems.into_iter().map(told).collect::<Vec<_>>()
    })?;
    let wrong = written.wrong();
    if wrong.is_empty() {
        return Ok(written);
    }
    Err(wrong.into_iter().map(|what| Problem { what, ..Problem::default() }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
name: web
host: lb1
listeners:
- name: http
  address: 0.0.0.0:80
  group: web
  policy: edge
groups:
- name: web
  balance: least-connections
  check: { kind: http, path: /health, interval: 1s }
  upstreams:
  - { address: '10.0.0.1:8080', weight: 3 }
  - { address: '10.0.0.2:8080' }
policies:
- name: edge
  deny: [10.66.0.0/16]
";

    #[test]
    fn a_text_is_read_and_given_in_the_words_of_the_gateway() {
        let written = read(TEXT).unwrap();
        assert_eq!((written.places(), written.upstreams()), (vec!["tcp 0.0.0.0:80".into()], 2));
        let back: Config = serde_json::from_str(&written.json()).unwrap();
        assert_eq!(back, written.config());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place_or_its_name() {
        let first = |text: &str| read(text).unwrap_err().remove(0);
        let unknown = first(&TEXT.replace("balance:", "balanced:"));
        assert_eq!((unknown.line, unknown.column), (10, 3));
        for (from, to, said) in [
            ("group: web\n", "group: other\n", "other"),
            ("name: web\nhost", "name: WEB\nhost", "small letters"),
            ("address: 0.0.0.0:80", "address: 0.0.0.0:0", "say which port"),
            ("  policy: edge", "  mode: socks5", "cmdr forward"),
            ("  deny: [10.66.0.0/16]", "  deny_file: /etc/shadow", "not read"),
            ("deny: [10.66.0.0/16]", "deny: [10.66.0.0/99]", "10.66.0.0/99"),
            ("listeners:\n- name: http", "listeners:\n- name: a/b", "no '/'"),
        ] {
            let text = TEXT.replacen(from, to, 1);
            assert_ne!(text, TEXT);
            let problem = first(&text).to_string();
            assert!(problem.contains(said), "{to}: {problem}");
        }
    }
}
