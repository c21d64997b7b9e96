//! Network interfaces: state and counters out of `/sys/class/net`, addresses as the system tells them.

use crate::Config;
use crate::text::{number, small};
use cmdr_protocol::system::{Found, Interface};
use std::collections::BTreeMap;
use std::path::Path;

/// The most interfaces that are told of: a host of many containers has a pair for each.
const MOST: usize = 1000;

pub(super) fn read(config: &Config) -> Found<Interface> {
    let folder = config.sys_root.join("class/net");
    let mut found = Found::default();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) => {
            found.notes.push(format!("{} cannot be read: {e}", folder.display()));
            return found;
        }
    };
    let mut addresses = addresses();
    for entry in entries.flatten() {
        // Beside interfaces there are switches of modules.
        if !entry.path().join("ifindex").exists() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut interface = one(&entry.path());
        interface.addresses = addresses.remove(&name).unwrap_or_default();
        interface.name = name;
        found.rows.push(interface);
    }
    found.rows.sort_by(|a, b| a.name.cmp(&b.name));
    if found.rows.len() > MOST {
        found.notes.push(format!("{} more interfaces are not shown", found.rows.len() - MOST));
        found.rows.truncate(MOST);
    }
    found
}

fn one(folder: &Path) -> Interface {
    let text = |name: &str| small(&folder.join(name));
    let figure = |name: &str| number(text(name).as_bytes()).unwrap_or(0);
    let counter = |name: &str| figure(&format!("statistics/{name}"));
    let state = match text("operstate").as_str() {
        // Interfaces without a cable do not tell; what carries packets is up.
        "unknown" if figure("carrier") == 1 => "up".to_owned(),
        state => state.to_owned(),
    };
    Interface {
        name: String::new(),
        state,
        addresses: Vec::new(),
        mac: text("address"),
        mtu: figure("mtu"),
        // Of one that is down the kernel says -1.
        speed: number(text("speed").as_bytes()).filter(|n| *n > 0 && *n < u64::from(u32::MAX)),
        received: counter("rx_bytes"),
        sent: counter("tx_bytes"),
        errors: counter("rx_errors").saturating_add(counter("tx_errors")),
        drops: counter("rx_dropped").saturating_add(counter("tx_dropped")),
    }
}

fn addresses() -> BTreeMap<String, Vec<String>> {
    let Ok(networks) = sysinfo::Networks::new_with_refreshed_list() else {
        return BTreeMap::new();
    };
    networks
        .iter()
        .map(|(name, data)| {
            let mut all: Vec<String> = data
                .ip_networks()
                .iter()
                .map(|network| format!("{}/{}", network.addr, network.prefix))
                .collect();
            all.sort();
            (name.to_string_lossy().into_owned(), all)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_told_with_its_counters_and_what_it_does_not_tell_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("class/net/eth9");
        std::fs::create_dir_all(folder.join("statistics")).unwrap();
        std::fs::write(dir.path().join("class/net/bonding_masters"), "").unwrap();
        for (name, text) in [
            ("ifindex", "2"),
            ("operstate", "unknown"),
            ("carrier", "1"),
            ("speed", "-1"),
            ("mtu", "1500"),
            ("address", "02:00:00:00:00:01"),
            ("statistics/rx_bytes", "77"),
            ("statistics/tx_errors", "3"),
            ("statistics/rx_dropped", "garbage"),
        ] {
            std::fs::write(folder.join(name), format!("{text}\n")).unwrap();
        }
        let mut config = Config::new("/nonexistent".into());
        config.sys_root = dir.path().into();
        let found = read(&config);
        let [one] = &found.rows[..] else { panic!("{found:?}") };
        assert_eq!((one.name.as_str(), one.state.as_str(), one.speed), ("eth9", "up", None));
        assert_eq!((one.mtu, one.received, one.errors, one.drops), (1500, 77, 3, 0));
    }

    #[test]
    fn this_machine_has_its_loopback() {
        let found = read(&Config::new("/nonexistent".into()));
        let lo = found.rows.iter().find(|one| one.name == "lo").unwrap();
        assert!(lo.addresses.contains(&"127.0.0.1/8".to_owned()), "{lo:?}");
    }
}
