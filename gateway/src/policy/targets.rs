//! Where clients of forward front ends may go: networks, each with the ports that are meant. Built by `plan`, asked by the
//! event loops for each connection.

use super::networks::{Network, Networks};
use crate::config::Verdict;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Networks by the first and last port that they are for.
#[derive(Debug, Default)]
pub struct Targets(Vec<(u16, u16, Networks)>);

/// A network, and its ports: `10.0.0.0/8`, `10.0.0.0/8:80`, `[fd00::/8]:8000-8999`.
fn one(text: &str) -> Result<(Network, (u16, u16)), String> {
    let all = (0, u16::MAX);
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (network, ports) = match bare {
        Some((network, ports)) => {
            (network, ports.strip_prefix(':').or(ports.is_empty().then_some("*")))
        }
        None if text.matches(':').count() == 1 => {
            let (network, ports) = text.split_once(':').unwrap_or((text, "*"));
            (network, Some(ports))
        }
        None => (text, Some("*")),
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let ports = ports.and_then(|ports| match ports.split_once('-') {
        _ if ports == "*" => Some(all),
        Some((first, last)) => Some((number(first)?, number(last)?)),
        None => number(ports).map(|port| (port, port)),
    });
    match ports {
        Some((first, last)) if first <= last => Ok((network.parse()?, (first, last))),
        _ => Err(format!("\"{text}\" has no ports such as 10.0.0.0/8:80 or [fd00::/8]:8000-8999")),
    }
}

impl Targets {
    /// Reads a list; what is none is said.
    pub fn read(list: &[String], say: &mut dyn FnMut(String)) -> Self {
        let mut by_ports: BTreeMap<(u16, u16), Vec<(Network, Verdict)>> = BTreeMap::new();
        for text in list {
            match one(text) {
                Ok((network, ports)) => {
                    by_ports.entry(ports).or_default().push((network, Verdict::Allow));
                }
                Err(why) => say(why),
            }
        }
        let all =
            by_ports.into_iter().map(|((first, last), all)| (first, last, Networks::new(all)));
        Self(all.collect())
    }

    /// Whether a client may go there.
    pub fn allow(&self, at: SocketAddr) -> bool {
        let ip = at.ip().to_canonical();
        self.0.iter().any(|(first, last, networks)| {
            (*first..=*last).contains(&at.port()) && networks.verdict(ip) == Some(Verdict::Allow)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_network_with_all_its_ports_or_with_some() {
        let list =
            ["10.0.0.0/8:80", "10.1.0.0/16", "[fd00::/8]:8000-8999", "fe00::/16", "192.0.2.7:1-9"];
        let targets = Targets::read(&list.map(str::to_owned), &mut |why| panic!("{why}"));
        let allow = |at: &str| targets.allow(at.parse().unwrap());
        for fine in [
            "10.9.9.9:80",
            "10.1.0.1:22",
            "[fd00::1]:8500",
            "[fe00::1]:1",
            "192.0.2.7:9",
            "[::ffff:10.0.0.1]:80",
        ] {
            assert!(allow(fine), "{fine}");
        }
        for not in ["10.9.9.9:81", "11.0.0.1:80", "[fd00::1]:9000", "192.0.2.7:10", "192.0.2.8:1"] {
            assert!(!allow(not), "{not}");
        }
        for bad in [
            "10.0.0.0/8:0",
            "10.0.0.0/8:9-8",
            "10.0.0.0/8:x",
            "[fd00::/8]80",
            "10.0.0.0/8:",
            "ten:80",
        ] {
            let mut said = Vec::new();
            Targets::read(&[bad.to_owned()], &mut |why| said.push(why));
            assert_eq!(said.len(), 1, "{bad}");
        }
    }
}
