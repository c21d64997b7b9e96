//! What the engine lists, as rows.

use bollard::models::{ContainerSummary, ContainerSummaryNetworkSettings};
use cmdr_protocol::containers::{Container, Port, State, status};
use std::collections::BTreeMap;

/// Labels of one container that are told, in bytes.
const LABELS: usize = 8 * 1024;
/// The longest command line.
const COMMAND: usize = 1024;
/// The most ports, networks and mounts.
const MANY: usize = 200;

/// Seconds since 1970.
pub(super) fn now_s() -> u64 {
    cmdr_link::clock::now_ms() / 1000
}

/// A container's row; `now_s` is when it was listed.
pub(super) fn row(summary: ContainerSummary, now_s: u64) -> Container {
    let words = summary.status.unwrap_or_default();
    let read = status::read(&words);
    let state = summary.state.map(|state| State::parse(state.as_ref())).unwrap_or_default();
    let (networks, addresses) = networks(summary.network_settings);
    let mut names = summary.names.unwrap_or_default();
    // Behind other names of it are those by which another container is linked to it.
    names.sort_by_key(|name| name.matches('/').count());
    let name = names.first().map_or("", |name| name.trim_start_matches('/')).to_owned();
    let mounts = summary.mounts.unwrap_or_default().into_iter().take(MANY).filter_map(|mount| {
        let name = mount.name.filter(|name| !name.is_empty());
        name.or(mount.source).filter(|text| !text.is_empty())
    });
    let health = match summary.health.and_then(|health| health.status) {
        Some(health) if read.health.is_empty() && state.runs() => match health.to_string() {
            none if none == "none" => String::new(),
            health => health,
        },
        _ => read.health,
    };
    Container {
        id: summary.id.unwrap_or_default(),
        name,
        image: summary.image.unwrap_or_default(),
        image_id: summary.image_id.unwrap_or_default(),
        command: cut(summary.command.unwrap_or_default(), COMMAND),
        created_s: summary.created.and_then(|s| u64::try_from(s).ok()).unwrap_or_default(),
        state,
        status: words,
        since_s: read.ago_s.map_or(0, |ago| now_s.saturating_sub(ago)),
        exit_code: read.exit_code.filter(|_| matches!(state, State::Exited | State::Restarting)),
        health,
        ports: ports(summary.ports.unwrap_or_default()),
        networks,
        addresses,
        mounts: mounts.collect(),
        labels: labels(summary.labels.unwrap_or_default()),
        size: summary.size_rw.and_then(|size| u64::try_from(size).ok()),
    }
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
    }
    text
}

fn ports(listed: Vec<bollard::models::PortSummary>) -> Vec<Port> {
    let port = |port: bollard::models::PortSummary| Port {
        private: port.private_port,
        protocol: port.typ.map_or_else(|| "tcp".to_owned(), |kind| kind.to_string()),
        address: port.ip.unwrap_or_default(),
        public: port.public_port.unwrap_or_default(),
    };
    let mut ports: Vec<_> = listed.into_iter().map(port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports.truncate(MANY);
    ports
}

fn networks(settings: Option<ContainerSummaryNetworkSettings>) -> (Vec<String>, Vec<String>) {
    let networks = settings.and_then(|settings| settings.networks).unwrap_or_default();
    let mut networks: Vec<(String, String)> = networks
        .into_iter()
        .take(MANY)
        .map(|(name, of)| {
            let address = of.ip_address.filter(|address| !address.is_empty());
            (name, address.or(of.global_ipv6_address).unwrap_or_default())
        })
        .collect();
    networks.sort_unstable();
    networks.into_iter().unzip()
}

/// Those that fit, the small ones and those of compose first.
fn labels(all: std::collections::HashMap<String, String>) -> BTreeMap<String, String> {
    let mut all: Vec<_> = all.into_iter().collect();
    all.sort_by_cached_key(|(name, value)| {
        (!name.starts_with("com.docker.compose."), name.len() + value.len(), name.clone())
    });
    let mut room = LABELS;
    let fits = |(name, value): &(String, String)| {
        let size = name.len() + value.len();
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    };
    all.into_iter().take_while(fits).collect()
}

/// Rows as they become; the engine's words, in which time goes on, are left out of them.
#[derive(Default)]
pub(super) struct Table {
    rows: BTreeMap<String, Container>,
}

impl Table {
    /// These are all there are.
    pub(super) fn replace(&mut self, listed: Vec<ContainerSummary>, now_s: u64) {
        let before = std::mem::take(&mut self.rows);
        for summary in listed {
            self.put(&before, row(summary, now_s), now_s);
        }
    }

    /// Of these ids, those are still there.
    pub(super) fn update<'a>(
        &mut self,
        ids: impl Iterator<Item = &'a String>,
        listed: Vec<ContainerSummary>,
        now_s: u64,
    ) {
        let gone = ids.filter_map(|id| self.rows.remove_entry(id)).collect();
        for summary in listed {
            self.put(&gone, row(summary, now_s), now_s);
        }
    }

    fn put(&mut self, before: &BTreeMap<String, Container>, mut row: Container, now_s: u64) {
        let grain = status::read(&row.status).grain_s;
        // Its words are rounded: as long as they fit what is known, that is the better figure.
        if let Some(known) = before.get(&row.id).filter(|known| known.state == row.state)
            && known.since_s.abs_diff(row.since_s) <= grain
            && known.since_s <= now_s
        {
            row.since_s = known.since_s;
        }
        row.status.clear();
        self.rows.insert(row.id.clone(), row);
    }

    /// All of them, by id.
    pub(super) fn rows(&self) -> Vec<Container> {
        self.rows.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(id: &str, state: &str, status: &str) -> ContainerSummary {
        let json = serde_json::json!({
            "Id": id, "Names": ["/other/alias", "/web"], "State": state, "Status": status,
            "Command": "x".repeat(5000), "Created": 100,
            "Ports": [{"PrivatePort": 80, "PublicPort": 8080, "IP": "0.0.0.0", "Type": "tcp"},
                      {"PrivatePort": 80, "PublicPort": 8080, "IP": "0.0.0.0", "Type": "tcp"}],
            "Labels": {"com.docker.compose.project": "shop", "big": "x".repeat(20_000)},
            "Mounts": [{"Type": "volume", "Name": "data", "Source": "/var/lib/x"}, {"Source": "/srv"}],
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_row_has_what_the_engine_says_as_far_as_it_fits() {
        let row = row(summary("a", "running", "Up 3 minutes (healthy)"), 1000);
        assert_eq!((row.name.as_str(), row.state, row.since_s), ("web", State::Running, 820));
        assert_eq!(
            (row.health.as_str(), row.ports.len(), row.command.len()),
            ("healthy", 1, COMMAND)
        );
        assert_eq!(row.labels.keys().collect::<Vec<_>>(), ["com.docker.compose.project"]);
        assert_eq!(
            (row.project(), row.mounts.as_slice()),
            ("shop", &["data".into(), "/srv".into()][..])
        );
        let nothing = super::row(ContainerSummary::default(), 0);
        assert_eq!(nothing, Container::default());
    }

    #[test]
    fn time_that_goes_on_is_no_change_and_a_new_beginning_is() {
        let mut table = Table::default();
        table.replace(vec![summary("a", "running", "Up 10 seconds")], 1000);
        let first = table.rows();
        assert_eq!((first[0].since_s, first[0].status.as_str()), (990, ""));
        table.replace(vec![summary("a", "running", "Up About a minute")], 1065);
        assert_eq!(table.rows(), first);
        table.update(
            [&"a".to_owned()].into_iter(),
            vec![summary("a", "running", "Up 1 second")],
            1070,
        );
        assert_eq!(table.rows()[0].since_s, 1069);
        table.update([&"a".to_owned()].into_iter(), Vec::new(), 1071);
        assert!(table.rows().is_empty());
    }
}
