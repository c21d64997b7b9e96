//! Figures as Prometheus and its likes know them: their names, base units and labels. The same for what is scraped
//! (`api/metrics.rs`) and for what is sent (`remote_write`).

use cmdr_protocol::history::{Unit, names};
use std::collections::{BTreeMap, BTreeSet};

/// A name that Prometheus takes, and by how much a value of ours is divided to be in its base unit.
pub(crate) fn named(metric: &names::Metric) -> (String, f64) {
    let (suffix, over) = match metric.unit {
        Unit::Percent => ("_ratio", 100.0),
        Unit::Bytes => ("_bytes", 1.0),
        Unit::BytesPerSecond => ("_bytes_per_second", 1.0),
        Unit::PerSecond => ("_per_second", 1.0),
        Unit::Celsius => ("_celsius", 1.0),
        Unit::Seconds => ("_seconds", 1.0),
        Unit::Count | Unit::Unknown => ("", 1.0),
    };
    (format!("cmdr_{}{suffix}", metric.name.replace('.', "_")), over)
}

/// Labels of a host as Prometheus takes them, apart from ours. Of two that become the same the first stays.
pub(crate) fn of_host(labels: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    let all = labels.iter().map(|(name, value)| (label(name), value.clone()));
    all.filter(|(name, _)| seen.insert(name.clone())).collect()
}

fn label(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
    std::iter::once("label_".to_owned()).chain(plain.map(String::from)).collect()
}

/// The labels of a figure of a host: its name, which of several, its own.
pub(crate) fn labels<'a>(
    host: &'a str,
    metric: &'static names::Metric,
    figure: &'a str,
    own: &'a [(String, String)],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let of = figure.split_once('{').map(|(_, of)| of.strip_suffix('}').unwrap_or(of));
    let which = of.filter(|_| !metric.per.is_empty()).map(|of| (metric.per, of));
    let own = own.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    std::iter::once(("host", host)).chain(which).chain(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_hosts_are_what_prometheus_takes_and_none_is_there_twice() {
        assert_eq!(label("app.kubernetes.io/name"), "label_app_kubernetes_io_name");
        let labels = BTreeMap::from([
            ("a.b".to_owned(), "1".to_owned()),
            ("a_b".to_owned(), "2".to_owned()),
        ]);
        assert_eq!(of_host(&labels), [("label_a_b".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn every_figure_has_a_name_that_prometheus_takes() {
        let mut seen = BTreeSet::new();
        for metric in names::ALL {
            let (name, _) = named(metric);
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
            assert!(seen.insert(name.clone()), "{name} twice");
        }
        assert_eq!(named(names::find("mount.used{/}").unwrap()).0, "cmdr_mount_used_bytes");
        assert_eq!(named(names::find("cpu.busy").unwrap()), ("cmdr_cpu_busy_ratio".into(), 100.0));
    }
}
