//! What rules can be about: the metrics and the states that there are. Whoever reads or compiles rules passes one
//! in; [`Catalog::standard`] is the one that agents and hubs share.

use crate::unit::{Span, Unit};

/// A number that hosts tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Such as `cpu.busy`: lower case, digits, `_`, words joined by dots.
    pub name: String,
    /// What it is measured in.
    pub unit: Unit,
    /// What a host has several of, such as `mount`; nothing where there is one a host.
    pub per: Option<String>,
    /// How long a value is good for; after that it is not known any more.
    pub lasts: Span,
}

/// Something that is in one of several states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    /// Such as `unit`; `host` is the host itself.
    pub name: String,
    /// What a host has several of, each with a state, such as `unit`; nothing where there is one a host.
    pub per: Option<String>,
    /// The words for its states.
    pub states: Vec<String>,
}

/// All that expressions can name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    pub(crate) metrics: Vec<Metric>,
    pub(crate) things: Vec<Thing>,
}

impl Catalog {
    /// Of these. A name that comes twice counts once, as it stood first.
    pub fn new(
        metrics: impl IntoIterator<Item = Metric>,
        things: impl IntoIterator<Item = Thing>,
    ) -> Self {
        let mut made = Self::default();
        for metric in metrics {
            if made.metric(&metric.name).is_none() {
                made.metrics.push(metric);
            }
        }
        for thing in things {
            if made.thing(&thing.name).is_none() {
                made.things.push(thing);
            }
        }
        made
    }

    /// What agents and the hub tell of hosts.
    pub fn standard() -> Self {
        let metric = |(name, unit, per): &(&str, Unit, &str)| Metric {
            name: (*name).to_owned(),
            unit: *unit,
            per: (!per.is_empty()).then(|| (*per).to_owned()),
            lasts: RARE.iter().find(|(of, _)| of == name).map_or(LASTS, |(_, lasts)| *lasts),
        };
        let thing = |(name, per, states): &(&str, &str, &str)| Thing {
            name: (*name).to_owned(),
            per: (!per.is_empty()).then(|| (*per).to_owned()),
            states: states.split(' ').map(str::to_owned).collect(),
        };
        Self::new(METRICS.iter().map(metric), THINGS.iter().map(thing))
    }

    /// The metrics, in the order of their numbers.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The things with states, in the order of their numbers.
    pub fn things(&self) -> &[Thing] {
        &self.things
    }

    pub(crate) fn metric(&self, name: &str) -> Option<(usize, &Metric)> {
        self.metrics.iter().enumerate().find(|(_, m)| m.name == name)
    }

    pub(crate) fn thing(&self, name: &str) -> Option<(usize, &Thing)> {
        self.things.iter().enumerate().find(|(_, t)| t.name == name)
    }
}

/// `memory.used` and `swap.used` are bytes that programs hold; `mount.used` what ordinary users cannot have any more.
const METRICS: &[(&str, Unit, &str)] = &[
    ("cpu.busy", Unit::SHARE, ""),
    ("cpu.user", Unit::SHARE, ""),
    ("cpu.system", Unit::SHARE, ""),
    ("cpu.iowait", Unit::SHARE, ""),
    ("cpu.steal", Unit::SHARE, ""),
    ("cpu.cores", Unit::COUNT, ""),
    ("load.1", Unit::COUNT, ""),
    ("load.5", Unit::COUNT, ""),
    ("load.15", Unit::COUNT, ""),
    ("memory.used", Unit::BYTES, ""),
    ("memory.available", Unit::BYTES, ""),
    ("memory.size", Unit::BYTES, ""),
    ("swap.used", Unit::BYTES, ""),
    ("swap.size", Unit::BYTES, ""),
    ("pressure.cpu", Unit::SHARE, ""),
    ("pressure.memory", Unit::SHARE, ""),
    ("pressure.io", Unit::SHARE, ""),
    ("sockets", Unit::COUNT, ""),
    ("processes", Unit::COUNT, ""),
    ("processes.running", Unit::COUNT, ""),
    ("uptime", Unit::SECONDS, ""),
    ("clock.skew", Unit::SECONDS, ""),
    ("link.rtt", Unit::SECONDS, ""),
    ("mount.used", Unit::BYTES, "mount"),
    ("mount.free", Unit::BYTES, "mount"),
    ("mount.size", Unit::BYTES, "mount"),
    ("disk.read", Unit::BYTES.per_second(), "disk"),
    ("disk.written", Unit::BYTES.per_second(), "disk"),
    ("disk.busy", Unit::SHARE, "disk"),
    ("net.received", Unit::BYTES.per_second(), "interface"),
    ("net.sent", Unit::BYTES.per_second(), "interface"),
    ("net.errors", Unit::COUNT.per_second(), "interface"),
    ("temperature", Unit::DEGREES, "sensor"),
    ("container.cpu", Unit::COUNT, "container"),
    ("container.memory", Unit::BYTES, "container"),
    ("container.restarts", Unit::COUNT, "container"),
    ("unit.memory", Unit::BYTES, "unit"),
    ("unit.restarts", Unit::COUNT, "unit"),
    ("certificate.left", Unit::SECONDS, "certificate"),
    ("probe.time", Unit::SECONDS, "probe"),
    ("probe.up", Unit::SHARE, "probe"),
];

const THINGS: &[(&str, &str, &str)] = &[
    ("host", "", "online offline"),
    ("docker", "", "running missing unreachable"),
    ("unit", "unit", "active inactive failed activating deactivating reloading"),
    ("container", "container", "created running paused restarting removing exited dead"),
    ("health", "container", "starting healthy unhealthy"),
    ("probe", "probe", "up down"),
];

/// Figures come every few seconds, at the slowest each minute.
const LASTS: Span = Span::seconds(150);
/// What is looked at less often.
const RARE: &[(&str, Span)] = &[
    ("clock.skew", Span::minutes(10)),
    ("certificate.left", Span::minutes(26 * 60)),
    ("probe.time", Span::minutes(15)),
    ("probe.up", Span::minutes(15)),
];
