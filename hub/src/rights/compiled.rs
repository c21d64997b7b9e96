//! A role made ready for decisions: which grants cover which method is worked out once, which grants
//! cover which host once a change of that host. A decision then looks at bits and allocates nothing.

use super::hours::Window;
use cmdr_protocol::HostId;
use cmdr_protocol::approvals::MAX_MINUTES;
use cmdr_protocol::call::Access;
use cmdr_protocol::hosts::Host;
use cmdr_protocol::methods::{About, METHODS, Method};
use cmdr_protocol::roles::{Grant, Limit, MAX_GRANTS, MAX_PATTERN, MAX_PATTERNS, OnRequest};
use cmdr_protocol::selector::{Selector, glob};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Hosts remembered; beyond it, all are forgotten and worked out anew.
const REMEMBERED: usize = 100_000;
/// Before the resource of a runbook whose signature holds.
pub(crate) const SIGNED: &str = "signed-";
/// People whom one request can take.
const MAX_APPROVALS: u32 = 5;

/// Why something is not allowed, from the least to the nearest miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// The caller acts for no operator, or not any more.
    Operator,
    /// The login has no second factor, and this hub wants one.
    Factor,
    /// It is for people.
    Program,
    /// The program's key is for other things.
    Scope,
    /// The role administrator alone may.
    Administrator,
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
    /// One would do that has to be asked for first.
    Request,
}

/// What is looked for among the grants.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// On what; absent for anything at all.
    pub resource: Option<&'a str>,
    /// When, milliseconds since 1970.
    pub now_ms: u64,
    /// Whether grants count that have to be asked for first.
    pub requested: bool,
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
    limit: Option<Limit>,
    on_request: Option<OnRequest>,
}

impl Checked {
    /// Whether it is for this resource; none is anything at all.
    fn fits(&self, resource: Option<&str>) -> bool {
        let covers = |r: &String, part: &str| {
            // Who may run a runbook may run it when it is signed, too.
            let any = part.strip_prefix(SIGNED).filter(|any| any.starts_with("runbook:"));
            glob(r, part) || any.is_some_and(|any| glob(r, any))
        };
        // What names several places has to be covered in each.
        let fits = |resource: &str| {
            resource
                .split('\0')
                .all(|part| !wanders(part) && self.resources.iter().any(|r| covers(r, part)))
        };
        self.resources.is_empty() || resource.is_none_or(fits)
    }
}

#[derive(Debug)]
pub struct Compiled {
    grants: Vec<Checked>,
    /// For each method, the grants that have it.
    by_method: Vec<Bits>,
    /// The grants that have anything that is done on a host.
    on_hosts: Bits,
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
    pub fn new(grants: &[Grant]) -> Result<Self, String> {
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
        let on_hosts = bits(grants.len(), |at| {
            let mut on_hosts = METHODS.iter().filter(|m| m.is_on_hosts());
            on_hosts.any(|m| grants[at].verbs.iter().any(|v| covers(v, m.name, m.access)))
        });
        Ok(Self { grants: checked, by_method, on_hosts, by_host: Mutex::default() })
    }

    /// Whether any grant has the method at all, or implies it.
    pub fn has(&self, method: usize) -> bool {
        let any = |bits: &Bits| bits.iter().any(|&word| word != 0);
        self.by_method.get(method).is_some_and(any)
            || METHODS.get(method).is_some_and(Method::shows_hosts) && any(&self.on_hosts)
    }

    /// How often the grant of this number may be used.
    pub fn limit(&self, grant: usize) -> Option<Limit> {
        self.grants.get(grant)?.limit
    }

    /// What it takes to ask for a method here, of each grant that has it on request.
    pub fn on_request(
        &self,
        method: usize,
        about: About,
        host: Option<&Asked<'_>>,
        resource: Option<&str>,
    ) -> Vec<OnRequest> {
        let grants = self.about(method, about, host).into_iter().map(|at| &self.grants[at]);
        grants.filter(|grant| grant.fits(resource)).filter_map(|grant| grant.on_request).collect()
    }

    /// Whether any grant is for this host at all.
    pub fn touches(&self, asked: &Asked<'_>) -> bool {
        self.of_host(asked, |bits| bits.iter().any(|&word| word != 0))
    }

    /// The grants that have the method and are for this place, by number.
    pub fn about(&self, method: usize, about: About, host: Option<&Asked<'_>>) -> Vec<usize> {
        let Some(of_method) = self.by_method.get(method) else { return Vec::new() };
        let has =
            |bits: &[u64], at: usize| bits.get(at / 64).is_some_and(|w| w >> (at % 64) & 1 == 1);
        let here = |at: usize| match (about, host) {
            (About::Host, Some(asked)) => self.of_host(asked, |bits| has(bits, at)),
            (About::Fleet, _) => self.grants[at].everywhere,
            _ => true,
        };
        (0..self.grants.len()).filter(|&at| has(of_method, at) && here(at)).collect()
    }

    /// Looks at the grants that are for a host, worked out anew when it has changed.
    fn of_host<T>(&self, asked: &Asked<'_>, look: impl FnOnce(&[u64]) -> T) -> T {
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
        look(by_host.get(&asked.id).map_or(&[][..], |(_, bits)| bits))
    }

    /// The number of the first grant that allows it, one without a limit before all that have one; or
    /// the nearest miss.
    pub fn decide(
        &self,
        method: usize,
        about: About,
        host: Option<&Asked<'_>>,
        wish: &Wish<'_>,
    ) -> Result<usize, Missing> {
        let Some(of_method) = self.by_method.get(method) else { return Err(Missing::Verb) };
        match (about, host) {
            (About::Host, Some(asked)) => self.of_host(asked, |of_host| {
                self.first(of_method, |word| of_host.get(word).copied().unwrap_or(0), wish)
            }),
            (About::Host | About::Fleet, _) => {
                let word = |at: usize| {
                    let grants = self.grants.iter().skip(at * 64).take(64);
                    let add = |bits, (n, grant): (usize, &Checked)| {
                        bits | u64::from(grant.everywhere) << n
                    };
                    grants.enumerate().fold(0, add)
                };
                self.first(of_method, word, wish)
            }
            (About::Visible | About::Nothing | About::Parts, _) => {
                self.first(of_method, |_| u64::MAX, wish)
            }
        }
    }

    /// Whether any of it holds only at some hours.
    pub fn has_windows(&self) -> bool {
        self.grants.iter().any(|grant| grant.window.is_some())
    }

    /// Of what only shows which hosts there are: the first grant of anything on this host, or on any
    /// where none is named. It need not name the method, nor what it is used on, nor be asked for first.
    pub fn implied(
        &self,
        method: usize,
        host: Option<&Asked<'_>>,
        wish: &Wish<'_>,
    ) -> Option<usize> {
        if !METHODS.get(method).is_some_and(Method::shows_hosts) {
            return None;
        }
        let look = |of_host: Option<&[u64]>| {
            let has = |bits: &[u64], at: usize| {
                bits.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
            };
            (0..self.grants.len()).find(|&at| {
                has(&self.on_hosts, at)
                    && of_host.is_none_or(|bits| has(bits, at))
                    && self.grants[at].window.is_none_or(|window| window.holds(wish.now_ms))
            })
        };
        match host {
            Some(asked) => self.of_host(asked, |bits| look(Some(bits))),
            None => look(None),
        }
    }

    fn first(
        &self,
        of_method: &Bits,
        hosts: impl Fn(usize) -> u64,
        wish: &Wish<'_>,
    ) -> Result<usize, Missing> {
        let (mut nearest, mut limited) = (Missing::Verb, None);
        for (at, &of_method) in of_method.iter().enumerate() {
            if of_method == 0 {
                continue;
            }
            nearest = nearest.max(Missing::Host);
            let mut left = of_method & hosts(at);
            while left != 0 {
                let grant = at * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                let Checked { window, limit, on_request, .. } = &self.grants[grant];
                if !self.grants[grant].fits(wish.resource) {
                    nearest = nearest.max(Missing::Resource);
                } else if window.is_some_and(|window| !window.holds(wish.now_ms)) {
                    nearest = nearest.max(Missing::Hours);
                } else if on_request.is_some() && !wish.requested {
                    nearest = nearest.max(Missing::Request);
                } else if limit.is_some() {
                    limited.get_or_insert(grant);
                } else {
                    return Ok(grant);
                }
            }
        }
        limited.ok_or(nearest)
    }
}

/// Whether a path in a resource leads elsewhere than its letters say: no pattern covers such a one.
fn wanders(resource: &str) -> bool {
    let path = resource.split_once(':').map_or(resource, |(_, path)| path);
    path.contains('/') && path.split('/').any(|part| matches!(part, "." | ".."))
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
    if let Some(Limit { hosts, minutes }) = grant.limit
        && (hosts == 0 || hosts as usize > REMEMBERED || !(1..=MAX_MINUTES).contains(&minutes))
    {
        return Err(format!(
            "a limit is at least 1 host and at most {REMEMBERED}, within 1 to {MAX_MINUTES} minutes"
        ));
    }
    if let Some(OnRequest { approvals, longest_minutes }) = grant.on_request
        && (approvals > MAX_APPROVALS || !(1..=MAX_MINUTES).contains(&longest_minutes))
    {
        return Err(format!(
            "on request, at most {MAX_APPROVALS} people approve, and for 1 to {MAX_MINUTES} minutes"
        ));
    }
    Ok(Checked {
        limit: grant.limit,
        on_request: grant.on_request,
        everywhere: matches!(grant.hosts.trim(), "" | "*"),
        selector,
        resources: grant.resources.clone(),
        window: grant.hours.as_ref().map(Window::parse).transpose()?,
    })
}

#[cfg(test)]
mod tests;
