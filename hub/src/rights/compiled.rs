//! A role made ready for decisions: which grants cover which method is worked out once, which grants
//! cover which host once a change of that host. A decision then looks at bits and allocates nothing.

use super::hours::Window;
use cmdr_protocol::HostId;
use cmdr_protocol::call::Access;
use cmdr_protocol::hosts::Host;
use cmdr_protocol::methods::{About, METHODS};
use cmdr_protocol::roles::{Grant, MAX_GRANTS, MAX_PATTERN, MAX_PATTERNS};
use cmdr_protocol::selector::{Selector, glob};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Hosts remembered; beyond it, all are forgotten and worked out anew.
const REMEMBERED: usize = 100_000;

/// Why something is not allowed, from the least to the nearest miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// There is no such role any more.
    Role,
    /// No grant has the verb.
    Verb,
    /// None that has it is for this host, or for all of them where that is needed.
    Host,
    /// None that is for this host is for the resource.
    Resource,
    /// All that would do hold at other hours.
    Hours,
}

/// A host to decide about.
pub struct Asked<'a> {
    /// Which.
    pub id: HostId,
    /// The number of its last change.
    pub changed: u64,
    /// What it is; asked for only when that is not known yet.
    pub host: &'a dyn Fn() -> Option<Host>,
}

type Bits = Box<[u64]>;

#[derive(Debug)]
struct Checked {
    selector: Selector,
    /// For every host, and for what is about the whole fleet.
    everywhere: bool,
    resources: Vec<String>,
    window: Option<Window>,
}

#[derive(Debug)]
pub(super) struct Compiled {
    grants: Vec<Checked>,
    /// For each method, the grants that have it.
    by_method: Vec<Bits>,
    by_host: Mutex<HashMap<HostId, (u64, Bits)>>,
}

fn covers(pattern: &str, name: &str, access: Access) -> bool {
    match pattern {
        "@read" => access == Access::Read,
        "@act" => access == Access::Act,
        "@admin" => access == Access::Admin,
        pattern => glob(pattern, name),
    }
}

fn bits(grants: usize, holds: impl Fn(usize) -> bool) -> Bits {
    let mut bits = vec![0; grants.div_ceil(64)].into_boxed_slice();
    for at in (0..grants).filter(|&at| holds(at)) {
        bits[at / 64] |= 1 << (at % 64);
    }
    bits
}

impl Compiled {
    /// Checks grants; the error names the one that is wrong, counted from 1.
    pub(super) fn new(grants: &[Grant]) -> Result<Self, String> {
        if grants.len() > MAX_GRANTS {
            return Err(format!("a role has at most {MAX_GRANTS} grants, not {}", grants.len()));
        }
        let mut checked = Vec::with_capacity(grants.len());
        for (n, grant) in grants.iter().enumerate() {
            checked.push(check(grant).map_err(|what| format!("grant {}: {what}", n + 1))?);
        }
        let by_method = METHODS
            .iter()
            .map(|m| {
                let has = |at: usize| grants[at].verbs.iter().any(|v| covers(v, m.name, m.access));
                bits(grants.len(), has)
            })
            .collect();
        Ok(Self { grants: checked, by_method, by_host: Mutex::default() })
    }

    /// Whether any grant has the method at all.
    pub(super) fn has(&self, method: usize) -> bool {
        self.by_method.get(method).is_some_and(|bits| bits.iter().any(|&word| word != 0))
    }

    /// The number of the first grant that allows it, or the nearest miss.
    pub(super) fn decide(
        &self,
        method: usize,
        about: About,
        resource: &str,
        host: Option<&Asked<'_>>,
        now_ms: u64,
    ) -> Result<usize, Missing> {
        let Some(of_method) = self.by_method.get(method) else { return Err(Missing::Verb) };
        match (about, host) {
            (About::Host, Some(asked)) => {
                let mut by_host = self.by_host.lock().unwrap_or_else(PoisonError::into_inner);
                if by_host.get(&asked.id).is_none_or(|(changed, _)| *changed != asked.changed) {
                    let known = (asked.host)();
                    let known = known.as_ref();
                    let matches = |at: usize| {
                        let grant: &Checked = &self.grants[at];
                        grant.everywhere || known.is_some_and(|host| grant.selector.matches(host))
                    };
                    if by_host.len() >= REMEMBERED {
                        by_host.clear();
                    }
                    by_host.insert(asked.id, (asked.changed, bits(self.grants.len(), matches)));
                }
                let of_host = by_host.get(&asked.id).map_or(&[][..], |(_, bits)| bits);
                self.first(
                    of_method,
                    |word| of_host.get(word).copied().unwrap_or(0),
                    resource,
                    now_ms,
                )
            }
            (About::Host | About::Fleet, _) => {
                self.first_of(of_method, |grant| grant.everywhere, resource, now_ms)
            }
            (About::Visible | About::Nothing, _) => {
                self.first(of_method, |_| u64::MAX, resource, now_ms)
            }
        }
    }

    fn first_of(
        &self,
        of_method: &Bits,
        holds: impl Fn(&Checked) -> bool,
        resource: &str,
        now_ms: u64,
    ) -> Result<usize, Missing> {
        let word = |at: usize| {
            let grants = self.grants.iter().skip(at * 64).take(64);
            grants.enumerate().fold(0, |bits, (n, grant)| bits | u64::from(holds(grant)) << n)
        };
        self.first(of_method, word, resource, now_ms)
    }

    fn first(
        &self,
        of_method: &Bits,
        hosts: impl Fn(usize) -> u64,
        resource: &str,
        now_ms: u64,
    ) -> Result<usize, Missing> {
        let mut nearest = Missing::Verb;
        for (at, &of_method) in of_method.iter().enumerate() {
            if of_method == 0 {
                continue;
            }
            nearest = nearest.max(Missing::Host);
            let mut left = of_method & hosts(at);
            while left != 0 {
                let grant = at * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                let Checked { resources, window, .. } = &self.grants[grant];
                if !resources.is_empty() && !resources.iter().any(|r| glob(r, resource)) {
                    nearest = nearest.max(Missing::Resource);
                } else if window.is_some_and(|window| !window.holds(now_ms)) {
                    nearest = Missing::Hours;
                } else {
                    return Ok(grant);
                }
            }
        }
        Err(nearest)
    }
}

fn check(grant: &Grant) -> Result<Checked, String> {
    let shown = |text: &str| cmdr_protocol::display::clean_to_width(text, 60);
    if grant.verbs.is_empty() {
        return Err("it has no verbs; '*' is all of them".to_owned());
    }
    for list in [&grant.verbs, &grant.resources] {
        if list.len() > MAX_PATTERNS {
            return Err(format!("it lists {}; at most {MAX_PATTERNS} are allowed", list.len()));
        }
        if let Some(long) = list.iter().find(|p| p.is_empty() || p.len() > MAX_PATTERN) {
            return Err(format!("'{}' is empty or longer than {MAX_PATTERN} bytes", shown(long)));
        }
    }
    // A verb that nothing answers to is a slip of the pen, and would be missed later.
    if let Some(verb) =
        grant.verbs.iter().find(|v| !METHODS.iter().any(|m| covers(v, m.name, m.access)))
    {
        return Err(format!("no method is called '{}'; cmdr roles verbs lists them", shown(verb)));
    }
    let selector = Selector::parse(&grant.hosts).map_err(|e| e.to_string())?;
    Ok(Checked {
        everywhere: matches!(grant.hosts.trim(), "" | "*"),
        selector,
        resources: grant.resources.clone(),
        window: grant.hours.as_ref().map(Window::parse).transpose()?,
    })
}

#[cfg(test)]
mod tests;
