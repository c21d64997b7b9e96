//! What we may do where, so that nothing else is offered; and what each role allows, for the pane that
//! shows it. Forgotten when the link is renewed or rights may have changed.

use super::{Store, Update};
use cmdr_link::packed;
use cmdr_protocol::approvals::{Approval, Ask, End};
use cmdr_protocol::display::clean;
use cmdr_protocol::operators::Operator;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Allowed, Definition, Table};
use cmdr_protocol::{Call as _, CallError, HostId};
use std::collections::{HashMap, HashSet};

/// Hosts that answers are kept for.
const HOSTS: usize = 2000;
/// Bytes of a table of rights at most.
const PACKED: usize = 1 << 20;
/// Answers older than this are asked for again: roles can be changed behind our back.
const STALE_MS: u64 = 60_000;

/// Whether something is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It may be done.
    Yes,
    /// It may be done once it was asked for.
    Ask,
    /// It may not be done.
    No,
}

/// What is known of rights.
#[derive(Default)]
pub struct Rights {
    /// For each host the methods that we may use there, and when that was told; without methods when
    /// the hub left the host out.
    mine: HashMap<HostId, (Option<HashSet<String>>, u64)>,
    /// The hub cannot tell.
    untold: bool,
    /// It is being asked.
    asking: bool,
    /// Methods that take asking for first.
    pub on_request: Option<HashSet<String>>,
    /// A matrix was asked for, to know that.
    pub asked_matrix: bool,
    /// The last matrix that the pane asked for, and of what.
    pub matrix: Option<(Option<HostId>, Result<Table, CallError>)>,
    /// All roles.
    pub roles: Option<Result<Vec<Definition>, CallError>>,
    /// All operators, when we may see them.
    pub operators: Option<Result<Vec<Operator>, CallError>>,
    /// Goes up when all of it has to be asked for anew.
    pub renewals: u64,
    /// Goes up with every change.
    pub version: u64,
}

impl Rights {
    /// Everything is asked for anew when it is needed. What was told stays until then.
    pub fn forget(&mut self) {
        for (_, at_ms) in self.mine.values_mut() {
            *at_ms = 0;
        }
        self.asked_matrix = false;
    }

    /// With a new link, another hub may be there.
    pub fn renew(&mut self) {
        let (version, renewals) = (self.version + 1, self.renewals + 1);
        *self = Self { renewals, version, ..Self::default() };
    }

    /// Of these hosts, those to ask about.
    pub fn unknown(&self, hosts: &[HostId], now_ms: u64) -> Vec<HostId> {
        let fresh = |id: &HostId| {
            self.mine.get(id).is_some_and(|(_, at_ms)| now_ms.saturating_sub(*at_ms) < STALE_MS)
        };
        if self.untold || self.asking {
            return Vec::new();
        }
        hosts.iter().copied().filter(|id| !fresh(id)).collect()
    }

    /// Whether this may be used on a host; `None` while it is not known.
    fn on(&self, host: HostId, verb: &str) -> Option<bool> {
        self.mine.get(&host)?.0.as_ref().map(|verbs| verbs.contains(verb))
    }
}

impl Store {
    /// Whether there is nothing on request to ask for, or no request that we could end.
    pub fn has_nothing_to(&self, verb: &str) -> bool {
        match verb {
            Ask::METHOD => self.approvals.may_ask.as_ref().is_some_and(Vec::is_empty),
            End::METHOD => {
                let ours = |a: &Approval| a.own || self.role() == Role::ADMINISTRATOR;
                self.approvals.known && !self.approvals.rows.iter().any(|a| ours(a) && a.is_open())
            }
            _ => false,
        }
    }

    /// Whether a verb is offered on these hosts (none: for what is not about any).
    pub fn offer(&self, verb: &str, danger: bool, hosts: &[HostId]) -> Offer {
        if danger && self.read_only {
            return Offer::No;
        }
        if verb.is_empty() {
            return Offer::Yes;
        }
        if self.has_nothing_to(verb) {
            return Offer::No;
        }
        let used = self.hosts.me.as_ref().is_some_and(|me| me.verbs.iter().any(|v| v == verb));
        let here = |host: &HostId| self.rights.on(*host, verb).unwrap_or(used);
        let about_hosts = cmdr_protocol::methods::find(verb)
            .is_some_and(|m| m.about == cmdr_protocol::methods::About::Host);
        let may = if about_hosts && !hosts.is_empty() { hosts.iter().all(here) } else { used };
        let asks = self.rights.on_request.as_ref().is_some_and(|verbs| verbs.contains(verb));
        if !may {
            Offer::No
        } else if asks && !self.approvals.covers(verb, self.now_ms) {
            Offer::Ask
        } else {
            Offer::Yes
        }
    }
}

/// All is asked for again.
pub fn again() -> Update {
    Update::new(|store| store.rights.renew())
}

/// What we may do on some hosts is asked for.
pub fn asking() -> Update {
    Update::new(|store| store.rights.asking = true)
}

/// What we may do on some hosts was told, or not.
pub fn mine(asked: Vec<HostId>, told: Result<Vec<(HostId, Vec<String>)>, CallError>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        let rights = &mut store.rights;
        rights.version += 1;
        rights.asking = false;
        match told {
            Ok(told) => {
                if rights.mine.len() + asked.len() > HOSTS {
                    rights.mine.clear();
                }
                let mut told: HashMap<HostId, Vec<String>> = told.into_iter().collect();
                for host in asked {
                    let verbs = told.remove(&host).map(|verbs| verbs.into_iter().collect());
                    rights.mine.insert(host, (verbs, now_ms));
                }
            }
            Err(error) if !crate::link::is_passing(&error) => rights.untold = true,
            Err(_) => {}
        }
    })
}

/// The matrix of the fleet was asked for, to know what takes asking for.
pub fn asked_matrix() -> Update {
    Update::new(|store| store.rights.asked_matrix = true)
}

/// The matrix of the fleet came: which methods our role has on request.
pub fn on_request(table: Result<Table, CallError>) -> Update {
    Update::new(move |store| {
        let role = store.role();
        let table = match table.and_then(whole) {
            Ok(table) => table,
            Err(error) => {
                store.rights.asked_matrix = !crate::link::is_passing(&error);
                return;
            }
        };
        let Some(at) = table.roles.iter().position(|one| *one == role) else { return };
        let asks = |cells: &[cmdr_protocol::roles::Cell]| {
            cells.get(at).is_some_and(|cell| cell.allowed == Allowed::OnRequest)
        };
        let rows = table.rows.into_iter().filter(|row| asks(&row.cells));
        store.rights.on_request = Some(rows.map(|row| row.verb).collect());
        store.rights.version += 1;
    })
}

/// A table as it was before the hub packed it.
fn whole(table: Table) -> Result<Table, CallError> {
    if table.packed.is_empty() { Ok(table) } else { packed::unpack_value(&table.packed, PACKED) }
}

/// The matrix that the pane asked for came, or not.
pub fn matrix(host: Option<HostId>, table: Result<Table, CallError>) -> Update {
    Update::new(move |store| {
        let table = table.and_then(whole).map(|mut table| {
            for row in &mut table.rows {
                row.verb = clean(&row.verb).into_owned();
                row.class = clean(&row.class).into_owned();
                for cell in &mut row.cells {
                    cell.reason = clean(&cell.reason).into_owned();
                }
            }
            table
        });
        store.rights.matrix = Some((host, table));
        store.rights.version += 1;
    })
}

/// The roles came, or not.
pub fn roles(roles: Result<Vec<Definition>, CallError>) -> Update {
    Update::new(move |store| {
        store.rights.roles = Some(roles);
        store.rights.version += 1;
    })
}

/// The operators came, or not.
pub fn operators(operators: Result<Vec<Operator>, CallError>) -> Update {
    Update::new(move |store| {
        store.rights.operators = Some(operators);
        store.rights.version += 1;
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Peer;
    use cmdr_protocol::approvals::{Listing, State, Wanted, Watch};

    const SIGNAL: &str = "processes.signal";
    const HOST: [HostId; 2] = [HostId([1; 16]), HostId([2; 16])];

    fn store() -> Store {
        let mut store = Store::new(1000, 0, false);
        let verbs = vec![SIGNAL.to_owned(), "tokens.create".to_owned()];
        store.hosts.me = Some(Peer { verbs, ..Peer::default() });
        store
    }

    fn told(store: &mut Store, host: HostId, verbs: &[&str]) {
        let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        store.apply(mine(vec![host], Ok(vec![(host, verbs)])));
    }

    #[test]
    fn what_is_not_known_of_a_host_is_what_we_may_use_at_all() {
        let store = store();
        assert_eq!(store.offer(SIGNAL, true, &HOST), Offer::Yes);
        assert_eq!(store.offer("processes.renice", true, &HOST), Offer::No);
        assert_eq!(store.offer("", false, &HOST), Offer::Yes);
    }

    #[test]
    fn what_was_told_of_a_host_decides_and_all_of_them_must_allow_it() {
        let mut store = store();
        told(&mut store, HOST[0], &[SIGNAL]);
        told(&mut store, HOST[1], &[]);
        assert_eq!(store.offer(SIGNAL, true, &HOST[..1]), Offer::Yes);
        assert_eq!(store.offer(SIGNAL, true, &HOST), Offer::No);
        assert_eq!(store.offer("tokens.create", true, &HOST[1..]), Offer::Yes, "not about hosts");
        store.read_only = true;
        assert_eq!(store.offer(SIGNAL, true, &HOST[..1]), Offer::No);
    }

    #[test]
    fn what_takes_asking_for_is_free_while_a_request_holds() {
        let mut store = store();
        store.rights.on_request = Some([SIGNAL.to_owned()].into());
        assert_eq!(store.offer(SIGNAL, true, &HOST), Offer::Ask);
        let wanted = Wanted { verbs: vec![SIGNAL.into()], ..Wanted::default() };
        let (state, until_ms) = (State::Active, 5000);
        let held = Approval { own: true, state, wanted, until_ms, ..Approval::default() };
        <Watch as super::super::Stored>::apply(
            &mut store,
            None,
            Listing { approvals: vec![held], may_ask: None },
        );
        assert_eq!(store.offer(SIGNAL, true, &HOST), Offer::Yes);
    }

    #[test]
    fn who_has_nothing_on_request_and_no_open_request_is_offered_neither_to_ask_nor_to_end() {
        let mut store = store();
        let verbs = vec![Ask::METHOD.to_owned(), End::METHOD.to_owned()];
        store.hosts.me = Some(Peer { verbs, role: Role::OPERATOR, ..Peer::default() });
        let offers = |store: &Store| [Ask::METHOD, End::METHOD].map(|v| store.offer(v, true, &[]));
        let list = |store: &mut Store, approvals, may_ask| {
            <Watch as super::super::Stored>::apply(store, None, Listing { approvals, may_ask });
        };
        let one = |state, own| Approval { own, state, until_ms: 5000, ..Approval::default() };
        list(&mut store, vec![one(State::Active, true)], Some(vec![SIGNAL.to_owned()]));
        assert_eq!(offers(&store), [Offer::Yes, Offer::Yes]);
        list(&mut store, vec![one(State::Ended, true), one(State::Active, false)], Some(vec![]));
        assert_eq!(offers(&store), [Offer::No, Offer::No]);
        list(&mut store, vec![one(State::Active, true)], None);
        assert_eq!(offers(&store), [Offer::Yes, Offer::Yes], "a hub that does not say");
    }

    #[test]
    fn a_hub_that_cannot_tell_is_asked_once() {
        let mut store = store();
        assert_eq!(store.rights.unknown(&HOST, 1000), HOST);
        let error = CallError::new(cmdr_protocol::ErrorKind::UnknownMethod, "no such method");
        store.apply(mine(HOST.to_vec(), Err(error)));
        assert_eq!(store.rights.unknown(&HOST, 1000), []);
    }
}
