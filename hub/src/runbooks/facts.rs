//! What conditions and templates can know of a host.

use super::text::harmless;
use cmdr_protocol::hosts::Host;
use serde_json::{Value, json};

/// Systems whose packages go by the same names, and what manages these.
const FAMILIES: &[(&str, &str, &[&str])] = &[
    (
        "debian",
        "apt",
        &["debian", "ubuntu", "raspbian", "linuxmint", "kali", "pop", "devuan", "deepin", "uos"],
    ),
    (
        "redhat",
        "dnf",
        &[
            "fedora",
            "rhel",
            "centos",
            "rocky",
            "almalinux",
            "ol",
            "amzn",
            "openeuler",
            "anolis",
            "opencloudos",
            "kylin",
        ],
    ),
    ("suse", "zypper", &["suse", "sles", "opensuse", "opensuse-leap", "opensuse-tumbleweed"]),
    ("alpine", "apk", &["alpine"]),
    ("arch", "pacman", &["arch", "archarm", "manjaro", "endeavouros"]),
];

/// `fact`, `host` and `label`.
pub(super) fn of(host: &Host) -> [(String, Value); 3] {
    let facts = host.facts.clone().unwrap_or_default();
    let family = FAMILIES.iter().find(|(_, _, all)| all.contains(&facts.os.as_str()));
    let (family, manager) = family.map_or(("", ""), |(family, manager, _)| (*family, *manager));
    let addresses: Vec<_> = facts.addresses.iter().map(|address| harmless(address)).collect();
    let fact = json!({
        "addresses": addresses,
        "arch": harmless(&facts.arch),
        "cores": facts.cores,
        "cpu": harmless(&facts.cpu),
        "docker": harmless(facts.docker.as_deref().unwrap_or_default()),
        "family": family,
        "hostname": harmless(&facts.hostname),
        "kernel": harmless(&facts.kernel),
        "machine_id": harmless(&facts.machine_id),
        "manager": manager,
        "memory": facts.memory,
        "os": harmless(&facts.os),
        "os_type": harmless(&facts.os_type),
        "os_version": harmless(&facts.os_version),
        "swap": facts.swap,
        "virtualization": harmless(&facts.virtualization),
    });
    let this = json!({
        "address": harmless(&host.address),
        "id": host.id.map(|id| id.to_string()).unwrap_or_default(),
        "name": host.name,
    });
    [("fact".to_owned(), fact), ("host".to_owned(), this), ("label".to_owned(), json!(host.labels))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runbooks::template::FACTS;
    use cmdr_protocol::facts::Facts;

    #[test]
    fn the_facts_are_those_that_are_known_by_name_and_hold_no_control_characters() {
        let facts = Facts { os: "ubuntu".into(), hostname: "a\nb".into(), ..Facts::default() };
        let host = Host { name: "web1".into(), facts: Some(facts), ..Host::default() };
        let [(_, fact), (_, this), _] = of(&host);
        let names: Vec<_> = fact.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, FACTS);
        assert_eq!(
            (fact["family"].as_str(), fact["manager"].as_str()),
            (Some("debian"), Some("apt"))
        );
        assert_eq!((fact["hostname"].as_str(), this["name"].as_str()), (Some("a b"), Some("web1")));
    }
}
