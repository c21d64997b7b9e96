//! Rules over the fleet and the alerts that come of them. What rules mean and how alerts live is cmdr-rules' business
//! (decision 43); here they are fed with what hosts tell, stepped, and kept: what one step changes and the notices
//! that it makes are stored together, so that a crash neither forgets one nor makes it twice (decision 47).
//!
//! Fed by [`crate::watcher`], asked by `services/alerts.rs` and `services/rules.rs`.

mod asked;
mod away;
mod kept;
mod moment;
mod parts;
mod policies;
mod rulebook;
mod shown;
mod trial;
mod world;

pub(crate) use asked::Deed;
pub(crate) use moment::{Moment, shown as moment};
pub(crate) use policies::check as check_policies;
pub(crate) use rulebook::checked;
pub(crate) use trial::Trial;

use crate::fleet::Fleet;
use crate::history::Means;
use crate::records::prefix;
use crate::server::Hub;
use crate::shelf::{Shelf, Sort};
use crate::store::{Store, StoreError};
use cmdr_link::clock;
use cmdr_protocol::HostId;
use cmdr_protocol::alerts::{self, Alert, Happening};
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::states::States;
use cmdr_rules::alerts::{Key, Machine, Now, Outcome, Write};
use cmdr_rules::told::{self, Figures, Teller, Told};
use cmdr_rules::{Catalog, Engine, Host};
use kept::Kept;
use rulebook::Rulebook;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use world::Fleetwide;

/// How often all rules are looked at.
const CYCLE: Duration = Duration::from_secs(5);
/// How often it is asked anew which hosts a rule is for, when no host has changed: selectors may ask what hosts told
/// of themselves.
const HOSTS: Duration = Duration::from_mins(1);
/// Alerts that were over and whose ids are still told to those who watch.
const GONE: usize = 4096;

/// Where rules stand.
const RULES: Sort = Sort {
    prefix: prefix::RULE,
    texts: prefix::RULE_TEXT,
    signatures: None,
    sealed: None,
    what: "rule",
    verb: "rules",
};
/// Where policies stand: one text, called [`POLICIES`].
const POLICY_SORT: Sort = Sort {
    prefix: prefix::POLICY,
    texts: prefix::POLICY_TEXT,
    signatures: None,
    sealed: None,
    what: "text of policies",
    verb: "alerts policies",
};
const POLICIES: &str = "policies";

/// The part of the hub's configuration that is about alerts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How long it is kept what happened to alerts.
    pub keep_days: u32,
    /// Programs of the hub's machine that notifiers may run, by their full paths. They run as the hub does.
    pub programs: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { keep_days: 400, programs: Vec::new() }
    }
}

impl Settings {
    /// Whether it can be meant: what is wrong, if not.
    pub fn check(&self) -> Result<(), String> {
        match self.programs.iter().find(|program| !program.starts_with('/')) {
            Some(program) => Err(format!("[alerts] programs: '{program}' is no full path")),
            None => Ok(()),
        }
    }
}

/// All rules and alerts.
#[derive(Debug)]
pub struct Alerts {
    store: Store,
    settings: Settings,
    catalog: Catalog,
    rules: Shelf,
    policies: Shelf,
    inner: Mutex<Inner>,
    moments: moment::Moments,
    /// Held from a step until what it gave is stored: one after the other.
    kept: tokio::sync::Mutex<Kept>,
    /// Rules have changed, or something else that cannot wait for the next cycle.
    wake: Notify,
    /// Counts what changed in alerts, for those who watch.
    news: watch::Sender<u64>,
    /// Units whose states rules ask for.
    units: watch::Sender<Vec<String>>,
    /// Changes when rules do, for those who tell agents of them.
    carried: watch::Sender<u64>,
    /// For each host the day and how much of what its agent saw was kept.
    seen: Mutex<HashMap<HostId, (u64, u32)>>,
}

/// What is known now.
#[derive(Debug)]
struct Inner {
    engine: Engine,
    machine: Machine,
    book: Rulebook,
    teller: Teller,
    hosts: HashMap<HostId, Known>,
    /// Parts of the hub that rules were told of.
    parts: BTreeSet<String>,
    /// The fleet's change that the rules' hosts were worked out by, and when.
    of_change: Option<(u64, Instant)>,
    /// The id of each alert with its last change, and the ids of those that have gone with the change in which they went.
    changed: BTreeMap<Key, (String, u64)>,
    gone: VecDeque<(u64, String)>,
    change: u64,
    /// Up to which change ids that have gone are not known any more.
    forgotten: u64,
}

/// A host.
#[derive(Debug)]
struct Known {
    host: Host,
    online: bool,
    told: Told,
}

impl Inner {
    fn known(&mut self, id: HostId, now: u64) -> &mut Known {
        let engine = &mut self.engine;
        self.hosts.entry(id).or_insert_with(|| Known {
            host: engine.host(&id.to_string(), now),
            online: false,
            told: Told::default(),
        })
    }

    /// Does something with what is known of a host.
    fn with(&mut self, id: HostId, now: u64, act: impl FnOnce(&mut Engine, &Teller, &mut Known)) {
        self.known(id, now);
        if let Some(known) = self.hosts.get_mut(&id) {
            act(&mut self.engine, &self.teller, known);
        }
    }
}

/// The id of a host, from the engine's name of it.
fn host_of(name: &str) -> Option<HostId> {
    name.parse().ok()
}

impl Alerts {
    /// Reads rules, policies and alerts. What is damaged is logged and left out.
    pub fn load(store: Store, settings: &Settings) -> Result<Self, StoreError> {
        let catalog = Catalog::standard();
        let rules = Shelf::load(store.clone(), RULES)?;
        let policies = Shelf::load(store.clone(), POLICY_SORT)?;
        let book = Rulebook::read(&rules, &catalog);
        let told = policies::read(&policies);
        let writes = kept::read(&store)?;
        let machine = Machine::resume("a", book.rules(), told, writes);
        let engine = Engine::new(catalog.clone());
        let teller = Teller::new(&engine);
        let units = watch::Sender::new(book.picked("unit", &catalog));
        let inner = Inner {
            engine,
            machine,
            book,
            teller,
            hosts: HashMap::new(),
            parts: BTreeSet::new(),
            of_change: None,
            changed: BTreeMap::new(),
            gone: VecDeque::new(),
            change: 0,
            forgotten: 0,
        };
        Ok(Self {
            store,
            settings: settings.clone(),
            catalog,
            rules,
            policies,
            inner: Mutex::new(inner),
            moments: moment::Moments::default(),
            kept: tokio::sync::Mutex::default(),
            wake: Notify::new(),
            news: watch::Sender::new(0),
            units,
            carried: watch::Sender::new(0),
            seen: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the clocks show.
    fn now() -> Now {
        Now { wall_ms: clock::now_ms(), mono_ms: clock::mono_ms() }
    }

    /// Takes what a host told over one step of the history.
    pub fn tell(&self, id: HostId, means: &Means) {
        let now = Self::now().mono_ms;
        let (figures, steady, usages) = (means.figures.as_slice(), means.steady, means.usages);
        self.lock().with(id, now, |engine, teller, known| {
            let of = Figures { figures, steady, usages };
            teller.figures(engine, known.host, &mut known.told, of, now);
        });
    }

    /// Takes how things stand on a host.
    pub fn tell_states(&self, id: HostId, states: &States) {
        let now = Self::now().mono_ms;
        self.lock().with(id, now, |engine, teller, known| {
            teller.states(engine, known.host, &mut known.told, states, now);
        });
    }

    /// Takes one figure that the hub itself knows of a host, as the history's table has it.
    pub fn tell_one(&self, id: HostId, name: &str, of: &str, value: f64) {
        let now = Self::now().mono_ms;
        self.lock().with(id, now, |engine, teller, known| {
            teller.figure(engine, known.host, (name, of), value, now);
        });
    }

    /// Takes the state of something on a host, such as `probe`, `shop`, `down`.
    pub fn tell_state(&self, id: HostId, thing: &str, of: &str, state: &str) {
        let now = Self::now().mono_ms;
        self.lock().with(id, now, |engine, _, known| {
            told::state(engine, known.host, (thing, of), state, now);
        });
    }

    /// The units, as names and patterns, whose states rules ask for.
    pub fn units(&self) -> watch::Receiver<Vec<String>> {
        self.units.subscribe()
    }

    /// Something that a host had several of has gone.
    pub fn tell_gone(&self, id: HostId, per: &str, of: &str) {
        let now = Self::now().mono_ms;
        let mut inner = self.lock();
        let host = inner.known(id, now).host;
        inner.engine.remove_instance(host, per, &told::instance(of));
    }

    /// Does something with the alerts and stores what comes of it.
    async fn act<T>(
        &self,
        hub: &Hub,
        act: impl FnOnce(&mut Inner, Now, &Fleetwide<'_>) -> Result<(T, Outcome), String>,
    ) -> Result<T, String> {
        let mut kept = self.kept.lock().await;
        let (done, outcome, alerts) = {
            let mut inner = self.lock();
            let (done, outcome) = act(&mut inner, Self::now(), &Fleetwide(&hub.fleet))?;
            let alerts = inner.note(&outcome);
            (done, outcome, alerts)
        };
        self.commit(hub, &mut kept, outcome, &alerts).await;
        Ok(done)
    }

    async fn commit(&self, hub: &Hub, kept: &mut Kept, outcome: Outcome, alerts: &[Alert]) {
        let none = outcome.writes.is_empty() && outcome.notices.is_empty();
        if none && outcome.happened.is_empty() && kept.is_empty() {
            return;
        }
        let happened = shown::happenings(&outcome.happened, alerts, &hub.fleet);
        for happening in &happened {
            tell(hub, happening);
            tracing::info!(
                rule = happening.rule,
                host = happening.name,
                instance = happening.instance,
                state = %happening.state,
                why = happening.why,
                "an alert changed"
            );
        }
        let (batch, letters) = kept.batch(outcome, &happened, &hub.notifiers);
        match self.store.apply(batch).await {
            Ok(()) => kept.is_stored(),
            Err(e) => kept.is_not_stored(&e),
        }
        // Also when the store is full: people hear of it all the same.
        hub.notifiers.post(letters);
        self.news.send_modify(|news| *news += 1);
        self.moments.look(hub, &happened);
    }

    /// Looks at all rules now and then, until it is dropped.
    pub async fn serve(&self, hub: &Arc<Hub>) {
        if let Err(e) = self.seed().await {
            tracing::error!("the rules that come with the product were not kept: {e}");
        }
        // Whether or not there is anything new: the engine hears of rules, hosts and alerts that it has to follow.
        if let Err(e) = self.changed(hub).await {
            tracing::error!("the rules do not count yet: {}", e.message);
        }
        let mut tick = tokio::time::interval(CYCLE);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tidied = None::<Instant>;
        loop {
            let due = self.lock().machine.due_in().map(Duration::from_millis);
            tokio::select! {
                _ = tick.tick() => {}
                () = self.wake.notified() => {}
                () = wait(due) => {}
            }
            self.cycle(hub).await;
            if tidied.is_none_or(|at| at.elapsed() > Duration::from_hours(1)) {
                kept::tidy(&self.store, self.settings.keep_days).await;
                if let Err(e) = moment::tidy(&self.store).await {
                    tracing::warn!("what ran when old alerts fired is not removed: {e}");
                }
                tidied = Some(Instant::now());
            }
        }
    }

    /// Looks at all rules, once; [`Alerts::serve`] does so again and again.
    pub async fn cycle(&self, hub: &Arc<Hub>) {
        let mut kept = self.kept.lock().await;
        let this = hub.clone();
        let looked = tokio::task::spawn_blocking(move || this.alerts.look(&this)).await;
        match looked {
            Ok((outcome, alerts)) => self.commit(hub, &mut kept, outcome, &alerts).await,
            Err(e) => tracing::error!("looking at the rules broke: {e}"),
        }
    }

    fn look(&self, hub: &Hub) -> (Outcome, Vec<Alert>) {
        let parts = parts::all(hub);
        let fleet = &hub.fleet;
        let mut guard = self.lock();
        let inner = &mut *guard;
        let now = Self::now();
        inner.look_at_hosts(fleet, now.mono_ms);
        parts::tell(&mut inner.engine, &mut inner.parts, &parts, now.mono_ms);
        let changes = inner.engine.cycle(now.mono_ms);
        let outcome = inner.machine.step(&changes, now, &Fleetwide(fleet));
        let alerts = inner.note(&outcome);
        (outcome, alerts)
    }
}

impl Inner {
    /// Who is there and who is online; which hosts each rule is for.
    fn look_at_hosts(&mut self, fleet: &Fleet, now: u64) {
        let change = fleet.change();
        let mut there = HashMap::new();
        fleet.each(|id, entry| {
            if !entry.is_pending() {
                there.insert(id, (entry.is_online(), entry.skew_ms(), entry.rtt_us()));
            }
        });
        let left: Vec<_> =
            self.hosts.keys().filter(|id| !there.contains_key(id)).copied().collect();
        for id in left {
            self.engine.remove_host(&id.to_string());
            self.hosts.remove(&id);
        }
        let (host_state, skew, rtt) = (
            self.engine.thing("host"),
            self.engine.metric("clock.skew"),
            self.engine.metric("link.rtt"),
        );
        for (id, (online, skew_ms, rtt_us)) in there {
            let known = self.known(id, now);
            let (host, was) = (known.host, known.online);
            known.online = online;
            if let Some(cell) = host_state {
                let word = if online { "online" } else { "offline" };
                self.engine.tell_state(host, cell, "", word, now);
            }
            if was && !online {
                self.engine.silent(host);
                if let Some(known) = self.hosts.get_mut(&id) {
                    known.told.forget();
                }
            }
            if let (Some(cell), Some(ms)) = (skew, skew_ms) {
                self.engine.tell(host, cell, "", ms as f64 / 1000.0, now);
            }
            if let (Some(cell), Some(us)) = (rtt, rtt_us) {
                self.engine.tell(host, cell, "", f64::from(us) / 1_000_000.0, now);
            }
        }
        let stale = self.of_change.is_none_or(|(of, at)| of != change || at.elapsed() > HOSTS);
        if stale {
            self.of_change = Some((change, Instant::now()));
            let hosts = fleet.hosts();
            let known: HashMap<HostId, Host> =
                self.hosts.iter().map(|(id, known)| (*id, known.host)).collect();
            self.book.put(&mut self.engine, &hosts, &known, now);
        }
    }

    /// Has the engine tell of every alert that there is.
    fn follow_all(&mut self) {
        let keys: Vec<Key> = self.machine.alerts().map(|alert| alert.key.clone()).collect();
        for key in keys {
            self.engine.follow(&key.rule, &key.host, &key.instance);
        }
    }

    /// Counts what an outcome changed; the alerts as they are shown.
    fn note(&mut self, outcome: &Outcome) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for write in &outcome.writes {
            let (key, id) = match write {
                Write::Alert(alert) => {
                    alerts.push(shown::alert(alert));
                    (&alert.key, Some(&alert.id))
                }
                Write::NoAlert(key) => (key, None),
                Write::Group(_) | Write::NoGroup(_) | Write::Core(_) => continue,
            };
            self.change += 1;
            let was = match id {
                Some(id) => self.changed.insert(key.clone(), (id.clone(), self.change)),
                None => self.changed.remove(key),
            };
            if let Some((was, _)) = was.filter(|(was, _)| Some(was) != id) {
                self.gone.push_back((self.change, was));
            }
        }
        while self.gone.len() > GONE {
            if let Some((change, _)) = self.gone.pop_front() {
                self.forgotten = change;
            }
        }
        alerts
    }
}

/// What programs that follow events hear of it.
fn tell(hub: &Hub, of: &Happening) {
    let what = match of.state {
        alerts::State::Firing => What::AlertFired,
        alerts::State::Acknowledged => What::AlertAcknowledged,
        alerts::State::Resolved => What::AlertResolved,
        _ => return,
    };
    hub.fleet.events.tell(Event {
        what,
        host: of.host,
        host_name: of.name.clone(),
        about: format!("alert:{}", of.id),
        message: of.message.clone(),
        ..Event::default()
    });
}

async fn wait(due: Option<Duration>) {
    match due {
        Some(due) => tokio::time::sleep(due).await,
        None => std::future::pending().await,
    }
}
