//! Which hosts a run is for, whether who asks may, and what stands between an order and a fleet.

use super::{Runs, signed};
use crate::server::Hub;
use crate::ssh;
use crate::who::Who;
use cmdr_protocol::hosts::{Host, HostState};
use cmdr_protocol::runs::{Amount, Guarded, Refused, Start, Waves};
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{CallError, ErrorKind, Feed, HostId, exec, methods};
use std::collections::HashSet;

/// Hosts of one run.
const MOST: usize = 100_000;
/// Keys that every host has, whatever its labels are.
const ALWAYS: &[&str] = &["id", "name", "state", "agent", "os", "arch", "kernel", "host"];
/// Labels named in an error.
const NAMED: usize = 12;

/// A host that a run would be for.
#[derive(Clone, Debug)]
pub(crate) struct Picked {
    pub(crate) id: HostId,
    pub(crate) name: String,
    pub(crate) state: HostState,
    pub(crate) protected: bool,
}

/// What a run would come to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) hosts: Vec<Picked>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) guard: Guarded,
    pub(crate) waves: Vec<u32>,
    /// On some hosts it is allowed only as something that is signed.
    by_signature: bool,
}

impl Runs {
    /// Works out what a run would come to. An error when it would come to nothing.
    pub(crate) fn plan(&self, hub: &Hub, who: &Who, start: &Start) -> Result<Plan, CallError> {
        let plan = self.decided(hub, who, start)?;
        if plan.by_signature {
            signed::check(hub, who, &start.order)?;
        }
        Ok(self.arranged(plan, start))
    }

    /// The same of what begins now: the texts of its runbook are put into the order as well. Whoever may run that nowhere
    /// learns nothing of it, not even whether there is such a runbook.
    pub(crate) fn plan_pinned(
        &self,
        hub: &Hub,
        who: &Who,
        start: &mut Start,
    ) -> Result<Plan, CallError> {
        let plan = self.decided(hub, who, start)?;
        if !plan.hosts.is_empty()
            && let Some(bound) = Self::pin(hub, start)?
        {
            within(hub, &plan.hosts, &bound)?;
        }
        if plan.by_signature {
            signed::check(hub, who, &start.order)?;
        }
        Ok(self.arranged(plan, start))
    }

    /// Which hosts it is for, and on which of these it is allowed.
    fn decided(&self, hub: &Hub, who: &Who, start: &Start) -> Result<Plan, CallError> {
        let mut plan = Plan::default();
        let picked = self.pick_hosts(hub, who, start)?;
        let method = methods::index(<exec::Start as Feed>::METHOD)
            .ok_or_else(|| CallError::failed("orders are not in the table of methods"))?;
        let resource = start.order.resource();
        for host in picked {
            match signed::decide(hub, who, method, &resource, host.id) {
                Ok(by) => {
                    plan.by_signature |= by.signature;
                    plan.hosts.push(host);
                }
                Err(missing) => {
                    let why = missing.told(who, exec::Start::METHOD, &resource);
                    plan.refused.push(Refused { name: host.name, why });
                }
            }
        }
        Ok(plan)
    }

    fn arranged(&self, mut plan: Plan, start: &Start) -> Plan {
        plan.guard = self.guard(&plan.hosts);
        if plan.guard.first_of_one
            && let Some(first) = plan.hosts.iter().position(|host| host.state == HostState::Online)
        {
            // The first one alone shall say something.
            let first = plan.hosts.remove(first);
            plan.hosts.insert(0, first);
        }
        plan.waves = waves(start, plan.hosts.len() as u32, plan.guard.first_of_one);
        plan
    }

    fn pick_hosts(&self, hub: &Hub, who: &Who, start: &Start) -> Result<Vec<Picked>, CallError> {
        let text = start.hosts.trim();
        if text.is_empty() {
            return Err(CallError::malformed(
                "the run says no hosts; name some, or * for all of them",
            ));
        }
        let selector = Selector::parse(text).map_err(|e| CallError::malformed(e.to_string()))?;
        let only: HashSet<HostId> = start.only.iter().copied().collect();
        // A host that is named by its id is meant.
        let picks = |id: HostId, host: &Host| {
            selector.matches(host) && (only.contains(&id) || ssh::means(&selector, text, host))
        };
        let none = || {
            CallError::not_found(format!(
                "no host matches '{}'; to see which there are: cmdr hosts",
                cmdr_protocol::display::clean_to_width(text, 80)
            ))
        };
        let mut hosts = Vec::new();
        let one = selector.as_name().and_then(|name| hub.fleet.named(name));
        if let Some(id) = one {
            let host = hub.fleet.host(id).filter(|host| picks(id, host));
            hosts.extend(host.map(|host| (id, host)));
        } else {
            let wanted: Vec<&str> = selector.keys().filter(|key| !ALWAYS.contains(key)).collect();
            let mut unknown: HashSet<&str> = wanted.iter().copied().collect();
            let mut labels = std::collections::BTreeSet::new();
            hub.fleet.each(|id, entry| {
                let host = entry.host(id);
                let tells = labels.len() < NAMED
                    || unknown.iter().any(|key| host.labels.contains_key(*key));
                // Labels of hosts that who asks does not see are none.
                if !wanted.is_empty() && tells && hub.sees_host(who, id, entry.changed, &host) {
                    unknown.retain(|key| !host.labels.contains_key(*key));
                    if labels.len() < NAMED {
                        labels.extend(host.labels.keys().cloned());
                    }
                }
                if picks(id, &host) {
                    hosts.push((id, host));
                }
            });
            if let Some(key) = wanted.iter().find(|key| unknown.contains(*key)) {
                let labels: Vec<_> = labels.into_iter().take(NAMED).collect();
                let known = if labels.is_empty() {
                    String::new()
                } else {
                    format!(", and the labels {}", labels.join(", "))
                };
                return Err(CallError::not_found(format!(
                    "no host has a label or fact '{}'; there are {}{known}",
                    cmdr_protocol::display::clean_to_width(key, 64),
                    ALWAYS.join(", ")
                )));
            }
        }
        hosts.retain(|(id, host)| {
            (only.is_empty() || only.contains(id))
                && host.state != HostState::Pending
                && hub.sees(who, *id)
        });
        if hosts.is_empty() {
            return Err(none());
        }
        if hosts.len() > MOST {
            return Err(CallError::malformed(format!(
                "the run would be for {} hosts; at most {MOST} at once",
                hosts.len()
            )));
        }
        let protected = &self.settings.protected;
        let mut picked: Vec<_> = hosts
            .into_iter()
            .map(|(id, host)| Picked {
                id,
                protected: protected.as_ref().is_some_and(|protected| protected.matches(&host)),
                state: host.state,
                name: host.name,
            })
            .collect();
        picked.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(picked)
    }

    /// What the guard asks for.
    pub(super) fn guard(&self, hosts: &[Picked]) -> Guarded {
        let count = hosts.len();
        let protected = hosts.iter().filter(|host| host.protected).count();
        let above = self.settings.confirm_above;
        let many = count > above as usize;
        // One host, protected or not, was named by hand.
        let guarded = protected > 0 && count > 1;
        let why = if guarded {
            format!("{protected} of the {count} hosts are protected")
        } else if many {
            format!("it is for {count} hosts, which is more than {above}")
        } else {
            String::new()
        };
        Guarded {
            confirm: many || guarded,
            why,
            protected: protected as u32,
            first_of_one: guarded,
        }
    }

    /// Refuses a run whose count was not typed where it has to be, or typed wrong.
    pub(super) fn check_confirmed(
        guard: &Guarded,
        count: u32,
        typed: Option<u32>,
    ) -> Result<(), CallError> {
        match typed {
            Some(typed) if typed != count => Err(CallError::new(
                ErrorKind::Conflict,
                format!("it would be for {count} hosts, not for {typed}; look at the plan again"),
            )),
            None if guard.confirm => Err(CallError::new(
                ErrorKind::Conflict,
                format!(
                    "{}: confirm by giving the number of hosts (cmdr: --confirm {count})",
                    guard.why
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Whether all hosts of a run are among those that a config group is for.
fn within(hub: &Hub, hosts: &[Picked], bound: &str) -> Result<(), CallError> {
    let bound_to = Selector::parse(bound).map_err(|e| CallError::malformed(e.to_string()))?;
    for picked in hosts {
        if hub.fleet.host(picked.id).is_some_and(|host| !bound_to.matches(&host)) {
            return Err(CallError::malformed(format!(
                "nothing was begun: {} is none of the hosts that the config group is for ({bound})",
                picked.name
            )));
        }
    }
    Ok(())
}

/// The sizes of the waves of a run on so many hosts.
pub(super) fn waves(start: &Start, all: u32, first_of_one: bool) -> Vec<u32> {
    let asked = start.waves.unwrap_or_default();
    let Waves { first, then } = asked;
    let later = then.of(all).unwrap_or(all).max(1);
    let mut size = first.of(all).unwrap_or(later).max(1);
    if first_of_one {
        size = 1;
    }
    let (mut waves, mut left) = (Vec::new(), all);
    while left > 0 {
        let take = size.min(left);
        waves.push(take);
        left -= take;
        size = later;
    }
    waves
}

/// So many failures halt a run; absent for never.
pub(super) fn halt_at(start: &Start, all: u32) -> Option<u32> {
    let failures: Amount = start.halt?.failures;
    failures.of(all).map(|count| count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_cover_every_host_once() {
        let start = |first: &str, then: &str| {
            let amount = |text: &str| match text {
                "" => Amount::default(),
                text => Amount::parse(text).unwrap(),
            };
            let waves = Waves { first: amount(first), then: amount(then) };
            Start { waves: Some(waves), ..Start::default() }
        };
        assert_eq!(waves(&Start::default(), 7, false), [7]);
        assert_eq!(waves(&start("1", ""), 7, false), [1, 6]);
        assert_eq!(waves(&start("1", "25%"), 8, false), [1, 2, 2, 2, 1]);
        assert_eq!(waves(&start("", "3"), 7, false), [3, 3, 1]);
        assert_eq!(waves(&start("50%", ""), 7, true), [1, 6]);
        assert_eq!(waves(&start("0", "0"), 2, false), [1, 1]);
        assert_eq!(waves(&start("9", "9"), 2, false), [2]);
    }
}
