//! What figures mean and are counted in, as the list of them says it beside each.

use crate::panes::Context;
use crate::store::history::Offered;
use cmdr_protocol::history::Unit;

/// Keys of what each figure means, by its name.
const MEANINGS: &[&str] = &[
    "figure.cpu.busy",
    "figure.cpu.user",
    "figure.cpu.system",
    "figure.cpu.iowait",
    "figure.cpu.steal",
    "figure.cpu.core.max",
    "figure.cpu.cores",
    "figure.load.1",
    "figure.load.5",
    "figure.load.15",
    "figure.memory.total",
    "figure.memory.used",
    "figure.memory.available",
    "figure.memory.share",
    "figure.memory.cached",
    "figure.swap.total",
    "figure.swap.used",
    "figure.disk.read",
    "figure.disk.written",
    "figure.disk.busy",
    "figure.mount.total",
    "figure.mount.used",
    "figure.mount.free",
    "figure.mount.share",
    "figure.net.received",
    "figure.net.sent",
    "figure.net.errors",
    "figure.sockets",
    "figure.processes",
    "figure.processes.running",
    "figure.temperature",
    "figure.pressure.cpu",
    "figure.pressure.memory",
    "figure.pressure.io",
    "figure.uptime",
    "figure.clock.skew",
    "figure.link.rtt",
    "figure.probe.time",
    "figure.probe.up",
    "figure.certificate.left",
    "figure.gateway.connections",
    "figure.gateway.accepted",
    "figure.gateway.errors",
    "figure.gateway.received",
    "figure.gateway.sent",
    "figure.upstream.connections",
    "figure.upstream.up",
    "figure.upstream.connect",
    "figure.upstream.first_byte",
    "figure.forward.connections",
    "figure.forward.accepted",
    "figure.forward.errors",
    "figure.forward.received",
    "figure.forward.sent",
    "figure.group.cpu",
    "figure.group.memory",
    "figure.container.cpu",
    "figure.container.memory",
    "figure.unit.memory",
    "figure.container.restarts",
    "figure.unit.restarts",
];

/// The key of what a figure means; nothing for one that this release does not know.
fn meaning(figure: &str) -> Option<&'static str> {
    let base = figure.split_once('{').map_or(figure, |(base, _)| base);
    MEANINGS.iter().copied().find(|key| key.strip_prefix("figure.") == Some(base))
}

const fn unit(unit: Unit) -> Option<&'static str> {
    Some(match unit {
        Unit::Percent => "unit.percent",
        Unit::Bytes => "unit.bytes",
        Unit::BytesPerSecond => "unit.bytespersecond",
        Unit::Count => "unit.count",
        Unit::PerSecond => "unit.persecond",
        Unit::Celsius => "unit.celsius",
        Unit::Seconds => "unit.seconds",
        Unit::Unknown => return None,
    })
}

/// What is said beside a figure: what it means, what it is counted in, how many hosts have it.
pub(super) fn note(context: &Context<'_>, offered: &Offered) -> String {
    let texts = context.texts;
    let hosts = texts.fill("history.of_hosts", &[&offered.hosts.to_string()]);
    let known = [meaning(&offered.figure), unit(offered.unit)].into_iter().flatten();
    let parts: Vec<&str> = known.map(|key| texts.get(key)).chain([hosts.as_str()]).collect();
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::history::names;

    #[test]
    fn every_figure_that_is_kept_has_a_meaning() {
        for metric in names::ALL {
            assert!(meaning(metric.name).is_some(), "{}", metric.name);
            assert!(unit(metric.unit).is_some(), "{}", metric.name);
        }
        assert_eq!(meaning("mount.used{/var}"), meaning("mount.used"));
        assert_eq!(meaning("moon"), None);
    }
}
