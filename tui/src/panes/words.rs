//! Places in words, for what is kept between starts.

use super::{Place, TABS};
use cmdr_protocol::HostId;

/// Places without anything more to say about them.
const PLAIN: &[(&str, Place)] = &[
    ("hosts", Place::Hosts),
    ("audit", Place::Audit),
    ("records", Place::Records),
    ("rights", Place::Rights),
    ("approvals", Place::Approvals),
    ("alerts", Place::Alerts),
    ("sessions", Place::Sessions),
    ("runs", Place::Runs),
    ("fleet_ports", Place::FleetPorts),
    ("fleet_processes", Place::FleetProcesses),
    ("docker", Place::Docker(0)),
    ("charts", Place::Charts),
    ("probes", Place::Probes),
    ("data", Place::Data),
    ("gateways", Place::Gateways),
    ("forwards", Place::Forwards),
];

impl Place {
    /// Its name; a tab goes by its own, because their numbers change. `None` where there is no coming
    /// back.
    pub fn word(self) -> Option<String> {
        match self {
            Self::Host(host, tab) => {
                let title = TABS.get(tab).map_or("", |tab| tab.title);
                Some(format!("host {host} {}", title.split('.').next().unwrap_or_default()))
            }
            Self::Recorder(host) => Some(format!("recorder {host}")),
            Self::Recording(id) => Some(format!("recording {id}")),
            Self::Run(id) => Some(format!("run {id}")),
            Self::Config(number) => Some(format!("config {number}")),
            Self::Gateway(number) => Some(format!("gateway {number}")),
            place => {
                let plain = PLAIN.iter().find(|(_, plain)| *plain == place);
                plain.map(|(name, _)| (*name).to_owned())
            }
        }
    }

    /// The place of this name.
    pub fn of_word(word: &str) -> Option<Self> {
        let mut words = word.split(' ');
        let place = match (words.next()?, words.next(), words.next()) {
            ("host", Some(host), Some(tab)) => {
                let host: HostId = host.parse().ok()?;
                let named = |title: &str| title.split('.').next() == Some(tab);
                let tab = TABS.iter().position(|tab| named(tab.title)).unwrap_or(0);
                Self::Host(host, tab)
            }
            ("recorder", Some(host), None) => Self::Recorder(host.parse().ok()?),
            ("recording", Some(id), None) => Self::Recording(id.parse().ok()?),
            ("run", Some(id), None) => Self::Run(id.parse().ok()?),
            ("config", Some(number), None) => Self::Config(number.parse().ok()?),
            ("gateway", Some(number), None) => Self::Gateway(number.parse().ok()?),
            (name, None, None) => PLAIN.iter().find(|(plain, _)| *plain == name)?.1,
            _ => return None,
        };
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again_by_its_word() {
        let host = HostId([7; 16]);
        let last = TABS.len() - 1;
        let run = Place::Run(cmdr_protocol::RunId([7; 8]));
        let mut places =
            vec![Place::Host(host, 0), Place::Host(host, last), Place::Recording(9), run];
        places.push(Place::Config(u64::MAX));
        places.push(Place::Recorder(host));
        places.extend(PLAIN.iter().map(|(_, place)| *place));
        for place in places {
            assert_eq!(place.word().as_deref().and_then(Place::of_word), Some(place), "{place:?}");
        }
    }

    #[test]
    fn words_that_name_nothing_are_no_place() {
        for word in ["", "moon", "host", "host x overview", "recording -1", "hosts 1", "host a b c"]
        {
            assert_eq!(Place::of_word(word), None, "{word}");
        }
    }
}
