//! What the life of alerts asks about hosts: their names, their labels, what they are reached through.

use super::host_of;
use crate::fleet::Fleet;
use cmdr_rules::HUB;
use cmdr_rules::alerts::World;
use std::collections::BTreeMap;

/// The label by which a host names the hosts that it is reached through: `parent=gw1`, or `parent=gw1+gw2` where
/// either will do.
const PARENT: &str = "parent";
/// The hub in place of a host, with which no host's name can be confused.
const HUB_NAME: &str = "(hub)";
/// Hosts in such a label.
const PARENTS: usize = 8;

/// The fleet, as alerts see it.
pub(super) struct Fleetwide<'a>(pub &'a Fleet);

impl World for Fleetwide<'_> {
    fn name(&self, host: &str) -> String {
        if host == HUB {
            return HUB_NAME.to_owned();
        }
        host_of(host).and_then(|id| self.0.name(id)).unwrap_or_else(|| host.to_owned())
    }

    fn labels(&self, host: &str) -> BTreeMap<String, String> {
        let host = host_of(host).and_then(|id| self.0.host(id));
        host.map(|host| host.labels.into_iter().collect()).unwrap_or_default()
    }

    fn parents(&self, host: &str) -> Vec<String> {
        let Some(own) = host_of(host) else { return Vec::new() };
        let labels = self.0.host(own).map(|host| host.labels).unwrap_or_default();
        let Some(names) = labels.get(PARENT) else { return Vec::new() };
        let parents = names.split('+').map(str::trim).filter_map(|name| self.0.named(name));
        let parents = parents.filter(|id| *id != own).take(PARENTS);
        parents.map(|id| id.to_string()).collect()
    }

    fn offset_s(&self, zone: &str, wall_ms: u64) -> i32 {
        offset_s(zone, wall_ms).unwrap_or_default()
    }
}

/// How many seconds a zone is ahead of UTC at a time; nothing for one that there is not.
pub(super) fn offset_s(zone: &str, wall_ms: u64) -> Option<i32> {
    if zone.is_empty() {
        return Some(0);
    }
    let zone = jiff::tz::TimeZone::get(zone).ok()?;
    let at = jiff::Timestamp::from_millisecond(i64::try_from(wall_ms).ok()?).ok()?;
    Some(zone.to_offset(at).seconds())
}
