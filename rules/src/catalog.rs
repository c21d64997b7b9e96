//! What rules can be about: the metrics and the states that there are. Whoever reads or compiles rules passes one
//! in; [`Catalog::standard`] is the one that agents and hubs share.

use crate::unit::{Span, Unit};
use cmdr_protocol::history::{self, names};

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

    /// What agents and the hub tell of hosts: the figures that a history is kept of, and states.
    pub fn standard() -> Self {
        let metric = |of: &names::Metric| Metric {
            name: of.name.to_owned(),
            unit: unit(of.unit),
            per: (!of.per.is_empty()).then(|| of.per.to_owned()),
            lasts: Span::seconds(of.lasts_s.into()),
        };
        let thing = |(name, per, states): &(&str, &str, &str)| Thing {
            name: (*name).to_owned(),
            per: (!per.is_empty()).then(|| (*per).to_owned()),
            states: states.split(' ').map(str::to_owned).collect(),
        };
        Self::new(names::ALL.iter().map(metric), THINGS.iter().map(thing))
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

/// A figure as the history has it, in base units.
pub fn base(metric: &names::Metric, value: f64) -> f64 {
    if metric.unit == history::Unit::Percent { value / 100.0 } else { value }
}

const fn unit(of: history::Unit) -> Unit {
    match of {
        history::Unit::Percent => Unit::SHARE,
        history::Unit::Bytes => Unit::BYTES,
        history::Unit::BytesPerSecond => Unit::BYTES.per_second(),
        history::Unit::PerSecond => Unit::COUNT.per_second(),
        history::Unit::Celsius => Unit::DEGREES,
        history::Unit::Seconds => Unit::SECONDS,
        history::Unit::Count | history::Unit::Unknown => Unit::COUNT,
    }
}

/// The thing that the hub's own parts are: rules about it are for the hub itself and for no host.
pub const HUB: &str = "hub";

const THINGS: &[(&str, &str, &str)] = &[
    ("host", "", "online offline"),
    ("docker", "", "running missing unreachable"),
    ("unit", "unit", "active inactive failed activating deactivating reloading"),
    ("container", "container", "created running paused restarting removing exited dead"),
    ("health", "container", "starting healthy unhealthy"),
    ("probe", "probe", "up down"),
    ("upstream", "upstream", "up down ejected drained"),
    (HUB, "part", "working failing full"),
];
