//! The fleet as the hub knows it: which hosts there are, their links, their newest figures.
//!
//! Names, labels and facts are durable and change only together with the store; links and figures
//! live in memory alone. Every change gets a number, so that each watcher can be told exactly what
//! changed since it was told last.

mod entry;
#[path = "fleet/keys.rs"]
mod rotation;
mod texts;

pub use texts::check_labels;
pub(crate) use texts::short;

use crate::events::Events;
use crate::records::{HostRecord, acts_key, host_key, prefix};
use crate::store::{Batch, Store, StoreError};
use cmdr_link::{Link, clock, keys};
use cmdr_protocol::events::What;
use cmdr_protocol::facts::Facts;
use cmdr_protocol::hosts::{Figures, Host, HostState, Labels};
use cmdr_protocol::metrics::Metrics;
use cmdr_protocol::version::JOINED;
use cmdr_protocol::{CallError, ErrorKind, HostId, PublicKey, selector};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keys that may wait for approval at once; the oldest gives way.
pub const MAX_PENDING: usize = 256;
/// Seconds of processor use kept for sparklines.
pub const HISTORY: usize = 60;
/// Labels one host may have.
const MAX_LABELS: usize = 64;

/// All hosts.
#[derive(Debug)]
pub struct Fleet {
    store: Store,
    state: Mutex<State>,
    /// What happened, for those who follow it.
    pub events: Events,
    /// Held while a record is being changed: the next change begins with what this one wrote.
    saving: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    hosts: BTreeMap<HostId, Entry>,
    names: BTreeMap<String, HostId>,
    /// Hosts by the hashes of keys that are not their ids.
    keys: BTreeMap<HostId, HostId>,
    /// Counts every change.
    change: u64,
}

/// One host.
#[derive(Debug)]
pub(crate) struct Entry {
    record: HostRecord,
    link: Option<Link>,
    address: String,
    online_since_ms: Option<u64>,
    figures: Option<Figures>,
    pub(crate) history: VecDeque<u16>,
    /// The number of the last change in what [`Host`] says, and in the figures.
    pub(crate) changed: u64,
    pub(crate) sampled: u64,
}

impl Entry {
    /// By how much its clock differs, as far as its link knows.
    pub(crate) fn skew_ms(&self) -> Option<i64> {
        self.link.as_ref()?.health().skew_ms
    }

    const fn new(record: HostRecord) -> Self {
        Self {
            record,
            link: None,
            address: String::new(),
            online_since_ms: None,
            figures: None,
            history: VecDeque::new(),
            changed: 0,
            sampled: 0,
        }
    }

    const fn state(&self) -> HostState {
        match (&self.link, self.record.pending) {
            (_, true) => HostState::Pending,
            (Some(_), _) => HostState::Online,
            (None, _) => HostState::Away,
        }
    }

    /// The host as clients see it.
    pub(crate) fn host(&self, id: HostId) -> Host {
        Host {
            id: Some(id),
            name: self.record.name.clone(),
            state: self.state(),
            labels: self.record.labels.clone(),
            agent: self.record.agent.clone(),
            facts: self.record.facts.clone(),
            link: self.link.as_ref().map(Link::health),
            address: self.address.clone(),
            online_since_ms: self.online_since_ms,
            last_seen_ms: if self.link.is_some() {
                Some(clock::now_ms())
            } else {
                self.record.last_seen_ms
            },
            last_drop: self.record.last_drop.clone(),
            joined_ms: self.record.joined_ms,
        }
    }

    /// The newest figures, with the link's round trip as it is now.
    pub(crate) fn figures(&self) -> Option<Figures> {
        let rtt_us = self.link.as_ref()?.health().rtt_us.unwrap_or(0);
        self.figures.map(|f| Figures { rtt_us, ..f })
    }
}

/// How the hub stands to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Belongs to the fleet, under this name.
    Member(String),
    /// Is the key that a host of the fleet, of this name, has told of as its next one.
    Next(String),
    /// Was followed by another key.
    Replaced,
    /// Waits for an administrator.
    Pending,
    /// An administrator said no.
    Rejected,
    /// Never seen.
    Unknown,
}

impl Fleet {
    /// Reads all hosts from the store; a damaged record is logged and left out.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let mut state = State::default();
        for record in store.scan::<HostRecord>(prefix::HOST)? {
            match record {
                Ok((_, mut record)) => {
                    // What an older hub kept had other bounds.
                    if let Some(facts) = &mut record.facts {
                        facts.bound();
                    }
                    let id = rotation::id_of(&record);
                    state.names.insert(record.name.clone(), id);
                    state.learn(id, &record);
                    state.hosts.insert(id, Entry::new(record));
                }
                Err(e) => tracing::error!("left out: {e}"),
            }
        }
        Ok(Self {
            store,
            state: Mutex::new(state),
            events: Events::default(),
            saving: tokio::sync::Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the hub stands to this key.
    pub fn standing(&self, key: &PublicKey) -> Standing {
        let state = self.lock();
        match state.hosts.get(&state.holder(key)) {
            Some(e) if e.record.rejected => Standing::Rejected,
            Some(e) if e.record.pending => Standing::Pending,
            Some(e) if e.record.key == *key => Standing::Member(e.record.name.clone()),
            Some(e) if e.record.next == Some(*key) => Standing::Next(e.record.name.clone()),
            Some(_) => Standing::Replaced,
            None => Standing::Unknown,
        }
    }

    /// A record for a new host, under a name that is free and is held for it from now on.
    pub fn propose(
        &self,
        key: PublicKey,
        wanted: &str,
        labels: Labels,
        pending: bool,
    ) -> HostRecord {
        let id = keys::host_id(&key);
        let mut state = self.lock();
        let fallback = format!("host-{}", &id.to_string()[..6]);
        let base = if selector::check_name(wanted).is_ok() { wanted } else { &fallback };
        let free = |name: &String| state.names.get(name).is_none_or(|holder| *holder == id);
        let name = std::iter::once(base.to_owned())
            .chain((2..100).map(|n| format!("{base}-{n}")))
            .chain(std::iter::once(format!("{base}-{id}")))
            .find(free)
            .unwrap_or_else(|| id.to_string());
        state.names.insert(name.clone(), id);
        HostRecord {
            key,
            next: None,
            id: None,
            name,
            labels,
            joined_ms: clock::now_ms(),
            last_seen_ms: None,
            last_drop: String::new(),
            agent: String::new(),
            facts: None,
            pending,
            rejected: false,
        }
    }

    /// Lets go of a name held by [`Fleet::propose`] for a host that was not taken in.
    pub fn withdraw(&self, record: &HostRecord) {
        let mut state = self.lock();
        let id = keys::host_id(&record.key);
        if !state.hosts.contains_key(&id) && state.names.get(&record.name) == Some(&id) {
            state.names.remove(&record.name);
        }
    }

    /// Takes in a host whose record is on disk.
    pub fn admit(&self, record: HostRecord) {
        let id = keys::host_id(&record.key);
        let mut state = self.lock();
        state.change += 1;
        let change = state.change;
        let what = if record.pending { What::HostWaits } else { What::HostJoined };
        self.events.put(what, id, &record.name, "");
        let mut entry = Entry::new(record);
        entry.changed = change;
        if let Some(old) = state.hosts.insert(id, entry) {
            let new = state.hosts.get(&id).map(|e| e.record.name.clone());
            if new.as_ref() != Some(&old.record.name) {
                state.names.remove(&old.record.name);
            }
        }
    }

    /// Puts a key on the list of those that wait.
    pub async fn enlist(
        &self,
        key: PublicKey,
        name: &str,
        agent: &str,
        address: &str,
    ) -> Result<(), StoreError> {
        let oldest = {
            let state = self.lock();
            let waiting = || state.hosts.iter().filter(|(_, e)| e.record.pending);
            (waiting().count() >= MAX_PENDING)
                .then(|| waiting().min_by_key(|(_, e)| e.record.joined_ms).map(|(id, _)| *id))
                .flatten()
        };
        if let Some(id) = oldest {
            self.forget(id).await?;
        }
        let mut record = self.propose(key, name, Labels::new(), true);
        short(agent).clone_into(&mut record.agent);
        let id = keys::host_id(&key);
        if let Err(e) = self.store.apply(Batch::new().put(host_key(id), &record)).await {
            self.withdraw(&record);
            return Err(e);
        }
        self.admit(record);
        self.note(id, |entry| address.clone_into(&mut entry.address));
        Ok(())
    }

    /// The host's link is up; returns the one it replaces.
    pub fn link_up(&self, id: HostId, link: &Link, address: &str, agent: &str) -> Option<Link> {
        let mut old = None;
        self.note(id, |entry| {
            old = entry.link.replace(link.clone());
            address.clone_into(&mut entry.address);
            short(agent).clone_into(&mut entry.record.agent);
            entry.online_since_ms = Some(clock::now_ms());
            if old.is_none() {
                self.events.put(What::HostOnline, id, &entry.record.name, "");
            }
        });
        old
    }

    /// A link of the host's is down. Nothing happens when another has replaced it already.
    pub async fn link_down(&self, id: HostId, link: &Link, reason: &str) {
        let mut ended = false;
        self.note(id, |entry| {
            if entry.link.as_ref().is_some_and(|l| l.same(link)) {
                entry.link = None;
                // Another machine may have it by now.
                entry.address.clear();
                entry.online_since_ms = None;
                entry.figures = None;
                entry.history.clear();
                entry.record.last_seen_ms = Some(clock::now_ms());
                if reason != JOINED {
                    reason.clone_into(&mut entry.record.last_drop);
                }
                self.events.put(What::HostAway, id, &entry.record.name, reason);
                ended = true;
            }
        });
        if ended {
            // Worth keeping, but not worth failing for: it is told anew at the next drop.
            if let Err(e) = self.save(id, |_| {}).await {
                tracing::debug!("the end of a link was not kept: {e}");
            }
        }
    }

    /// The host told what it is.
    pub async fn set_facts(&self, id: HostId, mut facts: Facts) -> Result<(), StoreError> {
        facts.bound();
        let same = |old: &Facts| Facts { idle_s: facts.idle_s, ..old.clone() } == facts;
        let known =
            self.lock().hosts.get(&id).is_some_and(|e| e.record.facts.as_ref().is_some_and(same));
        if known {
            return Ok(());
        }
        self.save(id, |record| record.facts = Some(facts.clone())).await
    }

    /// The host's newest sample.
    pub fn sample(&self, id: HostId, metrics: &Metrics) {
        let mut state = self.lock();
        state.change += 1;
        let change = state.change;
        let Some(entry) = state.hosts.get_mut(&id) else { return };
        let (received, sent) = metrics.networks.iter().fold((0u64, 0u64), |(r, s), n| {
            (r.saturating_add(n.received), s.saturating_add(n.sent))
        });
        let fullness = |m: &cmdr_protocol::metrics::Mount| {
            let used = u128::from(m.total.saturating_sub(m.free)) * 1000;
            used.checked_div(u128::from(m.total)).unwrap_or(0) as u16
        };
        entry.figures = Some(Figures {
            id,
            cpu: metrics.cpu.busy().min(1000),
            memory_used: metrics.memory.used(),
            memory_total: metrics.memory.total,
            load: metrics.load[0],
            disk: metrics.mounts.iter().map(fullness).max().unwrap_or(0),
            received,
            sent,
            rtt_us: 0,
        });
        if entry.history.len() >= HISTORY {
            entry.history.pop_front();
        }
        entry.history.push_back(metrics.cpu.busy().min(1000));
        entry.sampled = change;
    }

    fn note(&self, id: HostId, what: impl FnOnce(&mut Entry)) {
        let mut state = self.lock();
        state.change += 1;
        let change = state.change;
        if let Some(entry) = state.hosts.get_mut(&id) {
            what(entry);
            entry.changed = change;
        }
    }

    /// Changes a host's record, on disk first.
    async fn save(&self, id: HostId, what: impl Fn(&mut HostRecord)) -> Result<(), StoreError> {
        let _saving = self.saving.lock().await;
        let Some(mut record) = self.lock().hosts.get(&id).map(|e| e.record.clone()) else {
            return Ok(());
        };
        what(&mut record);
        self.store.apply(Batch::new().put(host_key(id), &record)).await?;
        self.note(id, |entry| what(&mut entry.record));
        Ok(())
    }

    /// The link to a host, or why there is none.
    pub fn link(&self, id: HostId) -> Result<Link, CallError> {
        let state = self.lock();
        let entry = state.hosts.get(&id).filter(|e| !e.record.pending);
        let entry = entry
            .ok_or_else(|| CallError::not_found(format!("there is no host {id} in this fleet")))?;
        entry.link.clone().ok_or_else(|| {
            let name = &entry.record.name;
            if entry.record.facts.is_none() && entry.record.last_drop.is_empty() {
                let what = format!(
                    "{name} is away: it has joined, but its agent has not run yet; start it there: \
                     cmdr-agentd run"
                );
                return CallError::new(ErrorKind::Unreachable, what);
            }
            let since =
                entry.record.last_seen_ms.map(|ms| clock::now_ms().saturating_sub(ms) / 1000);
            let since =
                since.map_or_else(|| "never seen".to_owned(), |s| format!("last seen {s} s ago"));
            let why = match entry.record.last_drop.as_str() {
                "" => String::new(),
                reason => format!(", {reason}"),
            };
            CallError::new(ErrorKind::Unreachable, format!("{name} is away: {since}{why}"))
        })
    }

    /// The name of a host.
    pub fn name(&self, id: HostId) -> Option<String> {
        self.lock().hosts.get(&id).map(|entry| entry.record.name.clone())
    }

    /// The host of this name, or with this id as text.
    pub(crate) fn named(&self, name: &str) -> Option<HostId> {
        let state = self.lock();
        let id = state.names.get(name).copied().or_else(|| name.parse().ok())?;
        state.hosts.contains_key(&id).then_some(id)
    }

    /// Looks at every host, by id.
    pub(crate) fn each(&self, mut look: impl FnMut(HostId, &Entry)) {
        for (id, entry) in &self.lock().hosts {
            if !entry.record.rejected {
                look(*id, entry);
            }
        }
    }

    /// The number of a host's last change, if there is such a host.
    pub(crate) fn changed(&self, id: HostId) -> Option<u64> {
        self.lock().hosts.get(&id).map(|entry| entry.changed)
    }

    /// One host.
    pub(crate) fn host(&self, id: HostId) -> Option<Host> {
        self.lock().hosts.get(&id).map(|entry| entry.host(id))
    }

    /// The number of the newest change.
    pub(crate) fn change(&self) -> u64 {
        self.lock().change
    }

    /// Looks at hosts by name, those behind a name, as long as `look` wants more.
    pub(crate) fn by_name(
        &self,
        after: &str,
        mut look: impl FnMut(HostId, &Entry) -> ControlFlow<()>,
    ) {
        let state = self.lock();
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        for (name, id) in state.names.range::<str, _>(behind) {
            // Names are also held for hosts that are not here yet, and for renamings under way.
            let named = |entry: &&Entry| entry.record.name == *name && !entry.record.rejected;
            if let Some(entry) = state.hosts.get(id).filter(named)
                && look(*id, entry).is_break()
            {
                return;
            }
        }
    }

    /// Every host, by name.
    pub fn hosts(&self) -> Vec<Host> {
        let mut hosts = Vec::new();
        self.each(|id, entry| hosts.push(entry.host(id)));
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        hosts
    }

    fn known(&self, id: HostId) -> Result<HostRecord, CallError> {
        let record = self.lock().hosts.get(&id).map(|e| e.record.clone());
        record.ok_or_else(|| CallError::not_found(format!("there is no host {id} in this fleet")))
    }

    /// Gives a host another name.
    pub async fn rename(&self, id: HostId, name: &str) -> Result<(), CallError> {
        selector::check_name(name).map_err(CallError::malformed)?;
        let old = self.known(id)?.name;
        if old == name {
            return Ok(());
        }
        {
            let mut state = self.lock();
            if state.names.contains_key(name) {
                return Err(CallError::new(
                    ErrorKind::Conflict,
                    format!("another host is named '{name}'"),
                ));
            }
            state.names.insert(name.to_owned(), id);
        }
        let saved = self.save(id, |record| name.clone_into(&mut record.name)).await;
        if saved.is_ok() {
            self.events.put(What::HostChanged, id, name, &format!("it was named {old}"));
        }
        self.lock().names.remove(if saved.is_ok() { old.as_str() } else { name });
        saved.map_err(busy)
    }

    /// Sets and removes labels.
    pub async fn label(
        &self,
        id: HostId,
        set: &Labels,
        remove: &[String],
    ) -> Result<Labels, CallError> {
        check_labels(set)?;
        let mut labels = self.known(id)?.labels;
        labels.retain(|key, _| !remove.contains(key));
        labels.extend(set.clone());
        if labels.len() > MAX_LABELS {
            return Err(CallError::malformed(format!("a host has at most {MAX_LABELS} labels")));
        }
        self.save(id, |record| record.labels = labels.clone()).await.map_err(busy)?;
        let name = self.name(id).unwrap_or_default();
        self.events.put(What::HostChanged, id, &name, "it has other labels");
        Ok(labels)
    }

    /// Takes in a host that waits.
    pub async fn approve(&self, id: HostId, labels: &Labels) -> Result<(), CallError> {
        check_labels(labels)?;
        let record = self.known(id)?;
        if !record.pending {
            return Err(CallError::new(
                ErrorKind::Conflict,
                format!("{} does not wait for approval", record.name),
            ));
        }
        self.save(id, |record| {
            record.pending = false;
            record.rejected = false;
            record.labels.extend(labels.clone());
            record.joined_ms = clock::now_ms();
        })
        .await
        .map_err(busy)?;
        self.events.put(What::HostJoined, id, &record.name, "");
        Ok(())
    }

    /// Says no to a key that waits.
    pub async fn reject(&self, id: HostId) -> Result<(), CallError> {
        let record = self.known(id)?;
        if !record.pending {
            return Err(CallError::new(
                ErrorKind::Conflict,
                format!(
                    "{} does not wait for approval; to remove it: cmdr hosts forget {0}",
                    record.name
                ),
            ));
        }
        self.save(id, |record| record.rejected = true).await.map_err(busy)?;
        self.events.put(What::HostGone, id, &record.name, "its key was rejected");
        Ok(())
    }

    /// Removes a host and cuts its link. True when there was one.
    pub async fn forget(&self, id: HostId) -> Result<bool, StoreError> {
        let Some(name) = self.lock().hosts.get(&id).map(|e| e.record.name.clone()) else {
            return Ok(false);
        };
        self.store.apply(Batch::new().delete(host_key(id)).delete(acts_key(id))).await?;
        let mut state = self.lock();
        state.change += 1;
        state.names.remove(&name);
        state.unlearn(id);
        self.events.put(What::HostGone, id, &name, "it was removed from the fleet");
        if let Some(link) = state.hosts.remove(&id).and_then(|e| e.link) {
            link.close("this host was removed from the fleet");
        }
        Ok(true)
    }

    /// Every link there is.
    pub fn links(&self) -> Vec<Link> {
        self.lock().hosts.values().filter_map(|e| e.link.clone()).collect()
    }

    /// The ids of all hosts, for finding out which have gone.
    pub(crate) fn ids(&self) -> HashSet<HostId> {
        self.lock().hosts.keys().copied().collect()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
fn busy(error: StoreError) -> CallError {
    CallError::new(ErrorKind::Busy, error.to_string())
}
