//! The fleet: which hosts there are, how they are, and who may join. Answered by the hub.

use crate::call::{Access, Call, Feed, Nothing};
use crate::facts::Facts;
use crate::ids::HostId;
use crate::open_enum::open_enum;
use crate::pages::Paged;
use crate::version::Health;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most hosts of one page.
pub const PAGE: u32 = 1000;
/// The most targets of one page.
pub const TARGETS: u32 = 4096;

/// Labels of a host.
pub type Labels = BTreeMap<String, String>;

open_enum! {
    /// Whether a host can be asked something.
    pub enum HostState {
        /// Its link is up.
        Online = "online",
        /// It belongs to the fleet, but has no link now.
        Away = "away",
        /// Its key waits for an administrator.
        Pending = "pending",
    }
}

/// One host as the hub knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Hash of its key; absent only in messages from a much newer hub.
    pub id: Option<HostId>,
    /// Unique in the fleet.
    pub name: String,
    /// Whether it can be asked something.
    pub state: HostState,
    /// Key and value pairs for selectors.
    pub labels: Labels,
    /// Version of its agent, empty before its first link.
    pub agent: String,
    /// What it is; absent until it told.
    pub facts: Option<Facts>,
    /// Health of its link; absent while away.
    pub link: Option<Health>,
    /// Address it dials from, as seen at the hub; empty while it is away.
    pub address: String,
    /// When its link came up, milliseconds since 1970.
    pub online_since_ms: Option<u64>,
    /// When it was last heard of, milliseconds since 1970.
    pub last_seen_ms: Option<u64>,
    /// Why its last link ended; empty when there was none.
    pub last_drop: String,
    /// When it joined, milliseconds since 1970.
    pub joined_ms: u64,
}

/// Hosts that match a selector, pending ones included when asked for by `state=pending`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Empty means all.
    pub selector: String,
    /// As [`Listing::next`] of the page before; empty for the first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub after: String,
    /// How many at most; a page may have fewer and not be the last. 0 for all of them at once, which fails when they
    /// do not fit into one answer.
    pub limit: u32,
    /// Without what they are ([`Host::facts`]) and how their links are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub brief: bool,
}

impl List {
    /// All hosts of a selector, page by page ([`Paged`]).
    pub fn of(selector: impl Into<String>) -> Self {
        Self { selector: selector.into(), limit: PAGE, ..Self::default() }
    }
}

impl Call for List {
    const METHOD: &'static str = "hosts.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

impl Paged for List {
    fn following(&self, page: &Listing) -> Option<Self> {
        let after = page.next.clone();
        (after > self.after).then(|| Self { after, ..self.clone() })
    }

    fn join(all: &mut Listing, page: Listing) {
        all.hosts.extend(page.hosts);
        all.next = page.next;
    }
}

/// The answer to a [`List`], by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Hosts by name.
    pub hosts: Vec<Host>,
    /// What to give as [`List::after`] for those that follow; empty when there are none. Who is renamed between two
    /// pages may be missing, or come twice.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
}

/// The hosts a selector picks, without their details: what an order needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resolve {
    /// Empty means all.
    pub selector: String,
    /// As [`Targets::next`] of the page before; empty for the first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub after: String,
    /// As [`List::limit`].
    pub limit: u32,
}

impl Resolve {
    /// All hosts of a selector, page by page ([`Paged`]).
    pub fn of(selector: impl Into<String>) -> Self {
        Self { selector: selector.into(), limit: TARGETS, ..Self::default() }
    }
}

impl Call for Resolve {
    const METHOD: &'static str = "hosts.resolve";
    const ACCESS: Access = Access::Read;
    type Reply = Targets;
}

impl Paged for Resolve {
    fn following(&self, page: &Targets) -> Option<Self> {
        let after = page.next.clone();
        (after > self.after).then(|| Self { after, ..self.clone() })
    }

    fn join(all: &mut Targets, page: Targets) {
        all.targets.extend(page.targets);
        all.next = page.next;
    }
}

/// The answer to a [`Resolve`], by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Targets {
    /// Id, name and state of each.
    pub targets: Vec<(HostId, String, HostState)>,
    /// What to give as [`Resolve::after`] for those that follow; empty when there are none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
}

/// The fleet, then what changes in it, at most once each `interval_ms`. Every watcher gets
/// differences to what it was sent last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Empty means all, pending ones included.
    pub selector: String,
    /// Milliseconds between items, 250 to 60000; others are brought into that range.
    pub interval_ms: u64,
}

impl Feed for Watch {
    const METHOD: &'static str = "hosts.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = Change;
}

/// What changed in the fleet since this watcher's last item. Apply in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// Forget everything first (always so in the first item).
    pub reset: bool,
    /// These do not belong to the fleet any more, or match no more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<HostId>,
    /// These are new or changed in something other than their figures. A change of `link` or
    /// `last_seen_ms` alone does not count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub put: Vec<Host>,
    /// Newest figures of hosts that sent some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Figures>,
    /// Processor use of the last minute, oldest first, in the first item and for new hosts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// More of the same telling follows at once: a large fleet comes in several items.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// The few figures of a host that a fleet table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Whose.
    #[serde(rename = "i")]
    pub id: HostId,
    /// Busy permille of all processors together.
    #[serde(rename = "c", default)]
    pub cpu: u16,
    /// Memory in use, bytes.
    #[serde(rename = "m", default)]
    pub memory_used: u64,
    /// Memory in all, bytes.
    #[serde(rename = "t", default)]
    pub memory_total: u64,
    /// One-minute load in hundredths.
    #[serde(rename = "l", default)]
    pub load: u32,
    /// Fullest file system, permille.
    #[serde(rename = "d", default)]
    pub disk: u16,
    /// Bytes received a second, all interfaces.
    #[serde(rename = "r", default)]
    pub received: u64,
    /// Bytes sent a second, all interfaces.
    #[serde(rename = "s", default)]
    pub sent: u64,
    /// Round trip of the link in microseconds; 0 when not measured yet.
    #[serde(rename = "q", default)]
    pub rtt_us: u32,
}

/// Processor use of one host over the last samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Whose.
    pub id: HostId,
    /// Busy permille, oldest first, one a second.
    #[serde(default)]
    pub cpu: Vec<u16>,
}

/// Gives a host another name, unique in the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    /// Which.
    pub host: HostId,
    /// Letters, digits, `.`, `-`, `_`, at most 253 bytes; not an operator of the selector grammar.
    pub name: String,
}

impl Call for Rename {
    const METHOD: &'static str = "hosts.rename";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("host:{}", self.host)
    }
}

/// Sets and removes labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Which.
    pub host: HostId,
    /// To set.
    #[serde(default)]
    pub set: Labels,
    /// To remove.
    #[serde(default)]
    pub remove: Vec<String>,
}

impl Call for Label {
    const METHOD: &'static str = "hosts.label";
    const ACCESS: Access = Access::Admin;
    type Reply = Labels;
    fn resource(&self) -> String {
        format!("host:{}", self.host)
    }
}

/// Removes a host from the fleet; its key is unknown from then on and its link is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {
    /// Which.
    pub host: HostId,
}

impl Call for Forget {
    const METHOD: &'static str = "hosts.forget";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("host:{}", self.host)
    }
}

/// Takes in a host whose key waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approve {
    /// Which.
    pub host: HostId,
    /// Labels to begin with.
    #[serde(default)]
    pub labels: Labels,
}

impl Call for Approve {
    const METHOD: &'static str = "hosts.approve";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("host:{}", self.host)
    }
}

/// Says no to a key that waits; it is refused from then on, until it is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Which.
    pub host: HostId,
}

impl Call for Reject {
    const METHOD: &'static str = "hosts.reject";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("host:{}", self.host)
    }
}
