//! How many hosts each operator has used a limited grant on lately. Kept in memory: a hub that starts
//! anew counts anew.

use super::By;
use cmdr_protocol::HostId;
use cmdr_protocol::roles::Limit;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Operators and grants remembered; beyond it, those whose time is over are forgotten.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Usage(Mutex<HashMap<(String, By), Used>>);

#[derive(Debug, Default)]
struct Used {
    /// When each host was last used, milliseconds since 1970.
    hosts: HashMap<HostId, u64>,
    /// When the newest of them stops to count.
    until_ms: u64,
}

impl Usage {
    /// Counts a host. False when there are as many others already as the limit has.
    pub(super) fn take(
        &self,
        operator: &str,
        by: By,
        limit: Limit,
        host: HostId,
        now_ms: u64,
    ) -> bool {
        let window_ms = u64::from(limit.minutes) * 60_000;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.retain(|_, used| used.until_ms > now_ms);
        }
        let used = all.entry((operator.to_owned(), by)).or_default();
        // A clock that was put back must not make old uses count for longer than the window.
        used.hosts.retain(|_, at| now_ms.saturating_sub(*at) < window_ms && *at <= now_ms);
        if !used.hosts.contains_key(&host) && used.hosts.len() >= limit.hosts as usize {
            return false;
        }
        used.hosts.insert(host, now_ms);
        used.until_ms = now_ms.saturating_add(window_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::role::Role;

    #[test]
    fn a_limit_counts_different_hosts_within_its_time_and_for_each_operator() {
        let (usage, limit) = (Usage::default(), Limit { hosts: 2, minutes: 10 });
        let by = By::Role(Role::OPERATOR, 0);
        let take = |who: &str, host: u8, minute: u64| {
            usage.take(who, by, limit, HostId([host; 16]), minute * 60_000)
        };
        assert!(take("ann", 1, 100) && take("ann", 1, 101) && take("ann", 2, 102));
        assert!(!take("ann", 3, 102), "a third host");
        assert!(
            take("ann", 1, 103) && take("bob", 3, 103),
            "one that counts already, somebody else"
        );
        assert!(take("ann", 3, 112), "the second one counts no longer");
        assert!(!take("ann", 4, 112));
        assert!(take("ann", 4, 50), "a clock that was put back locks nobody out");
    }
}
