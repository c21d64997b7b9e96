//! Probes: their texts in versions, which agents run them, what those say and what is judged of it together.
//!
//! `probes/follow.rs` hands each agent its set and hears its results; `probes/shown.rs` is what operators are told. What is
//! kept of results is the history's (`probe.time`, `probe.up`); how each stood is kept in the store (`probes/past.rs`), and
//! holds after a start until the first looks say otherwise, or too few do.

mod follow;
mod past;
mod shown;

pub(crate) use shown::lately;

use crate::records::{ProbePast, prefix};
use crate::server::Hub;
use crate::shelf::{Item, Shelf, Sort};
use crate::store::{Store, StoreError};
use cmdr_link::{clock, codec};
use cmdr_probes::text::{self, Written};
use cmdr_probes::{Quorum, Standing};
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::history::names;
use cmdr_protocol::hosts::Host;
use cmdr_protocol::probes::{
    Due, MAX_ON_AGENT, MAX_PROBES, Measured, Probe, Save, State, Terms, Told, check_name,
};
use cmdr_protocol::runbooks::{Problem, Saved, Version};
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

const SORT: Sort = Sort {
    prefix: prefix::PROBE,
    texts: prefix::PROBE_TEXT,
    signatures: None,
    sealed: None,
    what: "probe",
    verb: "probes",
};
/// How often it is looked at who runs what, and judged.
const TICK: Duration = Duration::from_secs(1);
/// Results of one host within so many ticks are one row of the history.
const ROW: u32 = 10;
/// Bytes of all that one agent is handed: they are one request.
const HANDED: usize = 512 * 1024;

/// All probes.
#[derive(Debug)]
pub struct Probes {
    shelf: Shelf,
    store: Store,
    inner: Mutex<Inner>,
    /// Another number when somebody has other probes to run.
    handed: watch::Sender<u64>,
    /// Another number with each state that changes.
    news: watch::Sender<u64>,
    began: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<String, Known>,
    /// The change of the fleet by which agents were chosen; absent to choose anew.
    chosen: Option<u64>,
    /// When it was written down last that the hub runs.
    alive_ms: u64,
    /// Figures that wait for their row of the history.
    rows: HashMap<HostId, Vec<(usize, String, f64)>>,
}

/// A probe.
#[derive(Debug)]
struct Known {
    written: Written,
    /// Absent for all hosts.
    selector: Option<Selector>,
    version: u64,
    /// Bytes of it, as an agent is handed it.
    size: usize,
    /// Why it is not run although it is on.
    problem: String,
    quorum: Quorum<HostId>,
    standing: Standing,
    /// The agents that run it.
    agents: BTreeSet<HostId>,
    /// The one of them of which alerts are told how it stands.
    speaker: Option<HostId>,
    seen: BTreeMap<HostId, Look>,
    /// How it stood.
    past: ProbePast,
    /// That was not written down yet.
    changed: bool,
    /// How it stood when the hub began, as long as too few have looked since.
    before: Option<past::Before>,
}

/// The newest look of an agent.
#[derive(Clone, Debug)]
struct Look {
    version: u64,
    at_ms: u64,
    measured: Measured,
}

const NOTHING: Standing = Standing {
    state: State::Unknown,
    since_ms: 0,
    flapping: false,
    votes: cmdr_probes::Votes { answering: 0, against: 0, warning: 0, failing: 0, needed: 0 },
};

impl Known {
    fn of(name: &str, text: &str, version: u64) -> Self {
        let (written, problem) = match text::read(text) {
            Ok(written) => (written, String::new()),
            Err(problems) => {
                let probe = Probe { name: name.to_owned(), ..Probe::default() };
                (Written { probe, off: true, ..Written::default() }, listed(&problems))
            }
        };
        let selector = match written.from.as_str() {
            "" => None,
            from => Selector::parse(from).ok(),
        };
        let (every, timeout) = (written.probe.every_ms, written.probe.timeout_ms);
        Self {
            quorum: Quorum::new(written.terms, every, timeout),
            size: codec::size(&written.probe),
            written,
            selector,
            version,
            problem,
            standing: NOTHING,
            agents: BTreeSet::new(),
            speaker: None,
            seen: BTreeMap::new(),
            past: ProbePast::default(),
            changed: false,
            before: None,
        }
    }

    /// For how long what was known when the hub began may hold, milliseconds: until each agent could have said what it
    /// thinks, after all the looks that it takes to say so.
    fn lasts_ms(&self) -> u64 {
        let probe = &self.written.probe;
        let looks = u64::from(self.written.terms.retries).saturating_add(3);
        probe.every_ms.saturating_mul(looks).saturating_add(probe.timeout_ms)
    }

    fn runs(&self) -> bool {
        !self.written.off && self.problem.is_empty()
    }

    fn is_for(&self, host: &Host) -> bool {
        self.selector.as_ref().is_none_or(|selector| selector.matches(host))
    }
}

/// All that is wrong with a text, a line each.
fn listed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Where an agent stands among those that could run a probe: another order for each probe, and always the same one.
fn rank(name: &str, host: HostId) -> [u8; 32] {
    *blake3::Hasher::new().update(name.as_bytes()).update(&host.0).finalize().as_bytes()
}

/// Who runs each probe: of the hosts that are here and that it is for, as many as it says.
fn choose(known: &BTreeMap<String, Known>, hosts: &[(HostId, Host)]) -> Vec<BTreeSet<HostId>> {
    let mut has: HashMap<HostId, (usize, usize)> = HashMap::new();
    let mut chosen = Vec::with_capacity(known.len());
    for (name, probe) in known {
        let mut may: Vec<HostId> = Vec::new();
        if probe.runs() {
            let free = |id: &HostId| {
                let (count, bytes) = has.get(id).copied().unwrap_or_default();
                count < MAX_ON_AGENT && bytes.saturating_add(probe.size) <= HANDED
            };
            let fit = hosts.iter().filter(|(id, host)| free(id) && probe.is_for(host));
            may = fit.map(|(id, _)| *id).collect();
            may.sort_by_cached_key(|id| rank(name, *id));
            may.truncate(probe.written.agents as usize);
        }
        for id in &may {
            let (count, bytes) = has.entry(*id).or_default();
            *count += 1;
            *bytes = bytes.saturating_add(probe.size);
        }
        chosen.push(may.into_iter().collect());
    }
    chosen
}

impl Probes {
    /// Reads what is kept; one that cannot be read any more is there and says why.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let shelf = Shelf::load(store.clone(), SORT)?;
        let names: Vec<String> = shelf.held().keys().cloned().collect();
        let mut inner = Inner::default();
        for name in names {
            let mut known = match shelf.text(&name, None) {
                Ok((about, text)) => Known::of(&name, &text, about.version),
                Err(e) => Known { problem: e.message, ..Known::of(&name, "", 0) },
            };
            if !known.problem.is_empty() {
                tracing::error!(probe = name, "the probe is not run: {}", known.problem);
            }
            let (past, before) = past::read(&store, &name, clock::now_ms())?;
            known.resume(past, before);
            inner.known.insert(name, known);
        }
        let (handed, news) = (watch::Sender::new(0), watch::Sender::new(0));
        let (inner, began) = (Mutex::new(inner), Instant::now());
        Ok(Self { shelf, store, inner, handed, news, began })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A clock that does not go back.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Says each time that a probe stands otherwise.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// How each probe stands now, by name: what rules over `state(probe)` go by.
    pub fn states(&self) -> Vec<(String, State)> {
        self.lock().known.iter().map(|(name, k)| (name.clone(), k.standing.state)).collect()
    }

    /// Keeps a text as the newest version. It is run so from then on.
    pub async fn save(&self, save: &Save, by: &str) -> Result<Saved, CallError> {
        let Save { name, text, note, was } = save;
        check_name(name).map_err(CallError::malformed)?;
        let written = text::read(text).map_err(|p| CallError::malformed(listed(&p)))?;
        if written.probe.name != *name {
            return Err(CallError::malformed(format!(
                "the text says 'name: {}', and it was to be saved as '{name}'",
                written.probe.name
            )));
        }
        if self.shelf.get(name).is_none() && self.shelf.held().len() >= MAX_PROBES {
            return Err(CallError::new(
                ErrorKind::Busy,
                format!("there are {MAX_PROBES} probes already; delete some first"),
            ));
        }
        let description = written.description.as_str();
        let item =
            Item { name, text, note, description, parts: 1, was: *was, sealed: None, anew: false };
        let saved = self.shelf.save(&item, by).await?;
        if saved.unchanged {
            return Ok(saved);
        }
        let fresh = Known::of(name, text, saved.version);
        let mut inner = self.lock();
        if let Some(known) = inner.known.get_mut(name).filter(|known| alike(known, &fresh)) {
            // Only who asks or how it is judged is another: what they have said stays true.
            let (terms, every): (Terms, _) = (fresh.written.terms, fresh.written.probe.every_ms);
            known.quorum.change(terms, every, fresh.written.probe.timeout_ms);
            known.seen.values_mut().for_each(|look| look.version = saved.version);
            known.problem.clone_from(&fresh.problem);
            (known.written, known.selector) = (fresh.written, fresh.selector);
            (known.version, known.size) = (saved.version, fresh.size);
        } else {
            let old = inner.known.insert(name.clone(), fresh);
            if let (Some(old), Some(new)) = (old, inner.known.get_mut(name)) {
                // Whoever is chosen no more is let go like any other.
                (new.agents, new.speaker) = (old.agents, old.speaker);
                new.past = old.past;
            }
        }
        inner.chosen = None;
        Ok(saved)
    }

    /// Removes one with all its versions.
    pub async fn delete(&self, hub: &Hub, name: &str) -> Result<(), CallError> {
        if !self.shelf.delete(name).await? {
            return Err(self.shelf.missing(name));
        }
        if let Err(e) = past::forget(&self.store, name).await {
            tracing::error!(probe = name, "how it stood could not be removed: {e}");
        }
        let gone = self.lock().known.remove(name);
        self.lock().chosen = None;
        for host in gone.map(|known| known.agents).unwrap_or_default() {
            hub.alerts.tell_gone(host, "probe", name);
            hub.alerts.tell_gone(host, "certificate", name);
        }
        self.handed.send_modify(|number| *number += 1);
        Ok(())
    }

    /// The versions of one, newest first.
    pub fn versions(&self, name: &str) -> Result<Vec<Version>, CallError> {
        let record = self.shelf.get(name).ok_or_else(|| self.shelf.missing(name))?;
        Ok(record.versions.into_iter().rev().collect())
    }

    /// Chooses agents and judges, until it is dropped.
    pub async fn serve(&self, hub: &Arc<Hub>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ticks: u32 = 0;
        loop {
            tick.tick().await;
            self.assign(hub);
            self.judge(hub);
            self.write_down(clock::now_ms()).await;
            ticks = ticks.wrapping_add(1);
            if ticks.is_multiple_of(ROW) {
                self.put_rows(hub);
            }
        }
    }

    /// Chooses anew who runs what, when the fleet or a probe is another than before.
    fn assign(&self, hub: &Hub) {
        let change = hub.fleet.change();
        if self.lock().chosen == Some(change) {
            return;
        }
        let hosts = hub.fleet.hosts().into_iter();
        let hosts: Vec<(HostId, Host)> = hosts
            .filter_map(|host| Some((host.id.filter(|id| hub.fleet.link(*id).is_ok())?, host)))
            .collect();
        let mut gone = Vec::new();
        {
            let mut inner = self.lock();
            inner.chosen = Some(change);
            let chosen = choose(&inner.known, &hosts);
            let mut other = false;
            for ((name, known), agents) in inner.known.iter_mut().zip(chosen) {
                other |= known.agents != agents;
                let left = known.agents.difference(&agents);
                gone.extend(left.map(|id| (*id, name.clone())));
                known.quorum.only(|id| agents.contains(id));
                known.seen.retain(|id, _| agents.contains(id));
                known.agents = agents;
            }
            // A version that is another is handed too; whoever has the same as before goes on.
            self.handed.send_modify(|number| *number += 1);
            if other {
                tracing::debug!("other agents run probes");
            }
        }
        for (id, name) in gone {
            hub.alerts.tell_gone(id, "probe", &name);
            hub.alerts.tell_gone(id, "certificate", &name);
        }
    }

    /// What an agent is to run.
    fn due(&self, host: HostId) -> Vec<Due> {
        let inner = self.lock();
        let own = inner.known.values().filter(|known| known.agents.contains(&host));
        let due = own.map(|known| Due {
            version: known.version,
            soon: known.seen.get(&host).is_none_or(|look| look.version != known.version),
            probe: known.written.probe.clone(),
        });
        due.collect()
    }

    /// Takes an agent's result. One of a version that is not run any more is let go.
    fn take(&self, hub: &Hub, host: HostId, told: Told) {
        let now = self.now_ms();
        let Told { name, version, measured } = told;
        let mut figures = Vec::new();
        {
            let mut inner = self.lock();
            let Some(known) = inner.known.get_mut(&name) else { return };
            if known.version != version || !known.agents.contains(&host) {
                return;
            }
            let measured = shown::bounded(measured);
            known.quorum.told(host, measured.verdict, now);
            if let Some(up) = measured.verdict.up() {
                figures.push(("probe.up", if up { 100.0 } else { 0.0 }));
                if up {
                    figures.push(("probe.time", measured.took_us as f64 / 1e6));
                }
            }
            let wall = clock::now_ms();
            if let Some(certificate) = &measured.certificate {
                let left = certificate.ends_ms as f64 - wall as f64;
                figures.push(("certificate.left", (left / 1000.0).max(0.0)));
            }
            known.seen.insert(host, Look { version, at_ms: wall, measured });
            let row = inner.rows.entry(host).or_default();
            for (figure, value) in &figures {
                let Some(at) = names::ALL.iter().position(|m| m.name == *figure) else { continue };
                // Of two within one row the newer one counts.
                row.retain(|(known, of, _)| *known != at || *of != name);
                row.push((at, name.clone(), *value));
            }
        }
        for (figure, value) in figures {
            hub.alerts.tell_one(host, figure, &name, value);
        }
    }

    fn put_rows(&self, hub: &Hub) {
        let rows = std::mem::take(&mut self.lock().rows);
        for (host, row) in rows {
            hub.history.tell(host, &row);
        }
    }

    /// Judges all; what stands otherwise than before is told.
    fn judge(&self, hub: &Hub) {
        let now = self.now_ms();
        let mut told = Vec::new();
        let mut states = Vec::new();
        {
            let mut inner = self.lock();
            for (name, known) in &mut inner.known {
                let before = known.standing.state;
                let (mut standing, _) = known.quorum.judge(now);
                if let Some(old) = &known.before {
                    if old.holds(&standing) && known.runs() && now < known.lasts_ms() {
                        standing.state = old.state;
                    } else {
                        known.before = None;
                    }
                }
                let changed = standing.state != before;
                standing.since_ms = if changed { clock::now_ms() } else { known.standing.since_ms };
                known.standing = standing;
                if known.before.is_none() {
                    let why = shown::why(known);
                    known.changed |= known.past.note(clock::now_ms(), standing.state, &why);
                    if changed {
                        told.push((name.clone(), before, standing.state, why));
                    }
                }
                let speaker = known.speaker.filter(|id| known.agents.contains(id));
                let speaker = speaker.or_else(|| known.agents.first().copied());
                let word = match standing.state {
                    State::Down => Some("down"),
                    State::Up | State::Degraded => Some("up"),
                    State::Unknown => None,
                };
                known.speaker = speaker;
                states.extend(speaker.zip(word).map(|(id, word)| (id, name.clone(), word)));
            }
        }
        for (id, name, word) in states {
            hub.alerts.tell_state(id, "probe", &name, word);
        }
        for (name, before, state, why) in told {
            self.news.send_modify(|number| *number += 1);
            let what = match (before, state) {
                (_, State::Down) => What::ProbeDown,
                (State::Down, State::Up | State::Degraded) => What::ProbeUp,
                _ => continue,
            };
            tracing::info!(probe = name, %state, "{why}");
            let about = format!("probe:{name}");
            hub.fleet.events.tell(Event { what, about, message: why, ..Event::default() });
        }
    }
}

/// Whether both ask the same, so that what was seen by the one is true of the other.
fn alike(known: &Known, fresh: &Known) -> bool {
    known.problem.is_empty()
        && fresh.problem.is_empty()
        && known.written.probe == fresh.written.probe
}

#[cfg(test)]
mod tests;
