//! The history of the fleet's figures: takes what agents tell each second, keeps the mean of each step, and is
//! asked by `services/history.rs`. What is kept how is cmdr-history's business (decision 41).
//!
//! A history that cannot be opened or written costs the hub nothing else: it is tried again, and said.

use crate::remote_write;
use cmdr_history::{Error, Kind, Ladder, NameId, Options, Source, Store, Tier};
use cmdr_link::clock;
use cmdr_protocol::HostId;
use cmdr_protocol::history::names;
use cmdr_protocol::metrics::Metrics;
use cmdr_protocol::{CallError, ErrorKind, display};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Figures that are kept of one host at most: one that makes up names shall not fill the disk.
const SERIES: usize = 512;
/// The longest name of a device or a file system that is kept, in bytes.
const LABEL: usize = 160;
/// A host's clock that differs by less is taken as right.
pub(crate) const SKEW_MS: i64 = 5000;
/// How far back an agent is asked for what it remembers.
const BACK_MS: i64 = 3 * 24 * 60 * 60 * 1000;
/// How long a full disk counts after it was last met.
const FULL: Duration = Duration::from_mins(10);
/// How often the store's work is done.
const TICK: Duration = Duration::from_secs(1);

/// The history's part of the hub's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether a history is kept at all.
    pub keep: bool,
    /// The mean of so many seconds is one sample.
    pub step_s: NonZeroU32,
    /// The oldest is removed when all takes more than so many MiB; 0 for no limit.
    pub keep_mb: u64,
    /// How long samples are kept as they came, and how thin they are after that.
    pub ladder: Vec<Step>,
    /// Where samples are sent on, by name.
    pub remote_write: BTreeMap<String, remote_write::Settings>,
}

/// A step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// A point for each so many seconds; 0, in the first step only, for samples as they came.
    pub step_s: u64,
    /// Until they are so many days old; 0, in the last step only, for good.
    pub days: u64,
}

const STEP_S: NonZeroU32 = NonZeroU32::new(10).unwrap();
const DAY_S: u64 = 24 * 60 * 60;

impl Default for Settings {
    fn default() -> Self {
        let steps = Ladder::default();
        let steps = steps.tiers().iter().map(|tier| Step {
            step_s: tier.step.as_secs(),
            days: tier.until.map_or(0, |until| until.as_secs() / DAY_S),
        });
        Self {
            keep: true,
            step_s: STEP_S,
            keep_mb: 8192,
            ladder: steps.collect(),
            remote_write: BTreeMap::new(),
        }
    }
}

impl Settings {
    fn options(&self) -> Result<Options, Error> {
        let tiers = self.ladder.iter().map(|step| Tier {
            step: Duration::from_secs(step.step_s),
            until: (step.days > 0).then(|| Duration::from_secs(step.days.saturating_mul(DAY_S))),
        });
        let bytes_max = (self.keep_mb > 0).then(|| self.keep_mb.saturating_mul(1 << 20));
        Ok(Options { ladder: Ladder::new(tiers.collect())?, bytes_max, ..Options::default() })
    }

    /// Whether it can be meant: what is wrong, if not.
    pub fn check(&self) -> Result<(), String> {
        if self.step_s.get() > 3600 {
            return Err("[history] step_s is at most 3600".to_owned());
        }
        self.options().map(drop).map_err(|e| format!("[history] ladder: {e}"))?;
        if !self.keep && !self.remote_write.is_empty() {
            return Err("[history.remote_write] sends what is kept, and keep is false".to_owned());
        }
        let kept_h = self.ladder.first().map_or(0, |step| step.days.saturating_mul(24));
        remote_write::check(&self.remote_write, kept_h)
    }
}

/// The history.
#[derive(Debug)]
pub struct History {
    folder: PathBuf,
    settings: Settings,
    store: OnceLock<Arc<Store>>,
    /// Whether there is a store.
    opened: watch::Sender<bool>,
    hosts: Mutex<HashMap<HostId, [Gathering; 2]>>,
    /// Said once each time it changes.
    troubled: AtomicBool,
    /// When its disk was last found to be full.
    full: Mutex<Option<Instant>>,
}

/// How a history stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// None is kept.
    Off,
    /// All that came is written.
    Works,
    /// It cannot be opened or written.
    Fails,
    /// The disk is full, or was a moment ago: the oldest goes to make room.
    Full,
}

/// A part of a host's samples. They are gathered apart: what comes and goes in one sample of ten shall not break the
/// means of what is in all of them.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// What is in every sample.
    Steady,
    /// The heaviest programs and the containers.
    Usages,
}

impl Part {
    fn each(self, sample: &Metrics, take: impl FnMut(usize, &str, i64)) {
        match self {
            Self::Steady => names::steady(sample, take),
            Self::Usages => names::usages(sample, take),
        }
    }
}

/// The means of one step of a host's figures: the place of each in [`names::ALL`], which of several, its value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Means {
    /// By its names.
    pub figures: Vec<(usize, Box<str>, f64)>,
    /// What is in every sample is among them: what of it is not, is not there any more.
    pub steady: bool,
    /// Likewise the heaviest programs and the containers.
    pub usages: bool,
}

/// What a host has told of the step that goes on.
#[derive(Debug, Default)]
struct Gathering {
    step: i64,
    count: i64,
    /// The figures of a sample, in their order.
    names: Vec<Known>,
    sums: Vec<i64>,
}

#[derive(Debug)]
struct Known {
    at: usize,
    of: Box<str>,
    /// Absent when another figure has the same name already.
    id: Option<NameId>,
}

impl Known {
    fn is(&self, at: usize, of: &str) -> bool {
        self.at == at && *self.of == *of
    }
}

impl Gathering {
    /// Whether a sample has the same figures as the one before; those beyond the bound do not count.
    fn is_like(&self, sample: &Metrics, part: Part) -> bool {
        let (mut place, mut beyond) = (0, false);
        part.each(sample, |at, of, _| match self.names.get(place) {
            Some(known) if known.is(at, of) => place += 1,
            _ => beyond = true,
        });
        place == self.names.len() && place > 0 && (!beyond || place == SERIES)
    }
}

/// The folder of the history, beside that of the audit log.
pub fn folder(audit: &Path) -> PathBuf {
    audit.with_file_name("history")
}

/// A host as the store knows it. Its id outlives its name and its keys.
pub const fn source(host: HostId) -> Source {
    host.0
}

impl History {
    /// A history in this folder, which is opened by [`History::keep`].
    pub fn new(folder: PathBuf, settings: Settings) -> Self {
        Self {
            folder,
            settings,
            store: OnceLock::new(),
            opened: watch::Sender::new(false),
            hosts: Mutex::default(),
            troubled: AtomicBool::new(false),
            full: Mutex::default(),
        }
    }

    /// The store, or why there is none.
    pub fn store(&self) -> Result<Arc<Store>, CallError> {
        if !self.settings.keep {
            return Err(CallError::not_found(
                "this hub keeps no history: its configuration says so ([history] keep = false)",
            ));
        }
        self.store.get().cloned().ok_or_else(|| {
            if self.troubled.load(Ordering::Relaxed) {
                CallError::failed("the history cannot be opened now; the hub's log says why")
            } else {
                let why =
                    "the hub has just begun and still opens its history; ask again in a moment";
                CallError::new(ErrorKind::Busy, why)
            }
        })
    }

    /// Waits for a store to be there; for good where there was one already.
    pub async fn opened(&self) {
        let mut opened = self.opened.subscribe();
        if *opened.borrow_and_update() || opened.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How long a sample stands for.
    pub const fn step_ms(&self) -> i64 {
        self.settings.step_s.get() as i64 * 1000
    }

    /// Opens the store and does its work, until it is dropped; tells why it cannot be written, once each time.
    pub async fn keep(self: Arc<Self>, tell: impl Fn(String)) {
        if !self.settings.keep {
            return;
        }
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let history = self.clone();
            let done = tokio::task::spawn_blocking(move || history.work()).await;
            match done {
                Ok(None) => {}
                Ok(Some(why)) => tell(why),
                Err(e) => tracing::error!("the history's work broke: {e}"),
            }
        }
    }

    /// Opens the store, or does what is due in it: what was taken before is on disk then. [`History::keep`] does so
    /// each second. Why it begins to fail, when it does.
    pub fn work(&self) -> Option<String> {
        let done = match self.store.get() {
            Some(store) => store.tick(now()),
            None => self.open(),
        };
        self.say(done)
    }

    fn open(&self) -> Result<(), Error> {
        let store = Store::open(&self.folder, self.settings.options()?)?;
        let health = store.health();
        if health.damaged > 0 {
            tracing::error!(
                places = health.damaged,
                "parts of the history on disk are not what was written; they are left out"
            );
        }
        drop(self.store.set(Arc::new(store)));
        self.opened.send_replace(true);
        Ok(())
    }

    /// How it stands. What a full disk had to give up goes on counting for a while: the next file may take a while to be
    /// missed.
    pub fn standing(&self) -> Standing {
        if !self.settings.keep {
            return Standing::Off;
        }
        let full = *self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if full.is_some_and(|at| at.elapsed() < FULL) {
            return Standing::Full;
        }
        if self.troubled.load(Ordering::Relaxed) { Standing::Fails } else { Standing::Works }
    }

    /// Says when it begins to fail and when it is over; why, when it begins.
    fn say(&self, done: Result<(), Error>) -> Option<String> {
        if done.as_ref().is_err_and(Error::is_no_room) {
            *self.full.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        let failed = done.is_err();
        if self.troubled.swap(failed, Ordering::Relaxed) == failed {
            return None;
        }
        let Err(e) = done else {
            tracing::info!("the history is written again");
            return None;
        };
        let why = std::error::Error::source(&e).map(|s| format!(": {s}")).unwrap_or_default();
        tracing::error!("the history is not written: {e}{why}");
        let room = if e.is_no_room() { "; the oldest of it goes to make room" } else { "" };
        Some(format!("{e}{why}{room}"))
    }

    /// Puts what has come on disk, at the end.
    pub fn close(&self) {
        let hosts: Vec<HostId> = self.lock().keys().copied().collect();
        for host in hosts {
            self.ended(host);
        }
        if let Some(store) = self.store.get() {
            drop(self.say(store.finish(now())));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<HostId, [Gathering; 2]>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many samples, how far apart, an agent is asked for before what is new: what is missing of it.
    pub fn missing(&self, host: HostId) -> (u32, u64) {
        let Some(store) = self.store.get() else { return (0, 0) };
        let away = store.newest(&source(host)).map_or(BACK_MS, |newest| now() - newest);
        let count = away.clamp(0, BACK_MS) / self.step_ms() + 2;
        (count as u32, self.step_ms() as u64)
    }

    /// Takes a sample of a host whose clock differs so much, as far as is known. What the step before was, when this one
    /// begins another.
    pub fn take(&self, host: HostId, sample: &Metrics, skew_ms: Option<i64>) -> Option<Means> {
        let store = self.store.get().map(Arc::as_ref);
        let skew = skew_ms.filter(|skew| skew.abs() >= SKEW_MS).unwrap_or(0);
        let at = i64::try_from(sample.at_ms).unwrap_or(i64::MAX).saturating_sub(skew);
        let step = at.div_euclid(self.step_ms());
        let mut hosts = self.lock();
        let [steady, usages] = hosts.entry(host).or_default();
        let done = self.gather(store, host, steady, (sample, step), Part::Steady);
        let mut done = done.map(|means| Means { steady: true, ..means });
        if !sample.groups.is_empty() || !sample.containers.is_empty() {
            let more = self.gather(store, host, usages, (sample, step), Part::Usages);
            if let Some(more) = more {
                let done = done.get_or_insert_default();
                done.figures.extend(more.figures);
                done.usages = true;
            }
        }
        done
    }

    fn gather(
        &self,
        store: Option<&Store>,
        host: HostId,
        gathering: &mut Gathering,
        (sample, step): (&Metrics, i64),
        part: Part,
    ) -> Option<Means> {
        let mut done = None;
        if gathering.step != step {
            done = self.put(store, host, gathering);
            gathering.step = step;
        }
        if !gathering.is_like(sample, part) {
            // Something came or went: what was gathered until now is complete.
            done = self.put(store, host, gathering).or(done);
            gathering.names.clear();
            part.each(sample, |at, of, _| {
                if gathering.names.len() < SERIES {
                    let id = store.and_then(|store| name(store, at, of));
                    let id = id.filter(|id| gathering.names.iter().all(|k| k.id != Some(*id)));
                    gathering.names.push(Known { at, of: of.into(), id });
                }
            });
            gathering.sums = vec![0; gathering.names.len()];
        }
        let mut place = 0;
        part.each(sample, |at, of, value| {
            if gathering.names.get(place).is_some_and(|known| known.is(at, of)) {
                gathering.sums[place] = gathering.sums[place].saturating_add(value);
                place += 1;
            }
        });
        gathering.count += 1;
        done
    }

    /// Takes figures that the hub itself knows of a host now: their places in [`names::ALL`], which of several, values.
    pub fn tell(&self, host: HostId, figures: &[(usize, String, f64)]) {
        let Some(store) = self.store.get() else { return };
        let known = figures.iter().take(SERIES).filter_map(|(at, of, value)| {
            let scale = f64::from(names::ALL.get(*at)?.scale);
            Some((name(store, *at, of)?, (value * scale).round() as i64))
        });
        // A cut name may be that of another one.
        let known: std::collections::BTreeMap<NameId, i64> = known.collect();
        let (ids, values): (Vec<NameId>, Vec<i64>) = known.into_iter().unzip();
        let now = now();
        let at = now.div_euclid(self.step_ms()) * self.step_ms();
        if let Err(e) = store.append(&source(host), at, &ids, &values, now) {
            tracing::debug!(%host, "figures were not kept: {e}");
        }
    }

    /// A host's link has ended: what it told of the last step is kept.
    pub fn ended(&self, host: HostId) {
        let gathered = self.lock().remove(&host).into_iter().flatten();
        for mut gathering in gathered {
            self.put(self.store.get().map(Arc::as_ref), host, &mut gathering);
        }
    }

    /// Ends a step: keeps it, where there is a store, and says what it was.
    fn put(&self, store: Option<&Store>, host: HostId, gathering: &mut Gathering) -> Option<Means> {
        let (count, half) = (gathering.count, gathering.count / 2);
        if count == 0 {
            return None;
        }
        if let Some(store) = store {
            let figures = gathering.names.iter().zip(&gathering.sums);
            let (ids, means): (Vec<NameId>, Vec<i64>) = figures
                .filter_map(|(known, sum)| {
                    Some((known.id?, sum.saturating_add(half).div_euclid(count)))
                })
                .unzip();
            let at = gathering.step * self.step_ms();
            if let Err(e) = store.append(&source(host), at, &ids, &means, now()) {
                // A full disk is said by the store's own work.
                tracing::debug!(%host, "a sample was not kept: {e}");
            }
        }
        let figures = gathering.names.iter().zip(&gathering.sums).filter_map(|(known, sum)| {
            let scale = f64::from(names::ALL.get(known.at)?.scale);
            Some((known.at, known.of.clone(), *sum as f64 / count as f64 / scale))
        });
        let means = Means { figures: figures.collect(), ..Means::default() };
        gathering.count = 0;
        gathering.sums.fill(0);
        Some(means)
    }
}

fn name(store: &Store, at: usize, of: &str) -> Option<NameId> {
    let metric = names::ALL.get(at)?;
    if of.is_empty() {
        return store.name(metric.name, Kind::Gauge, metric.scale);
    }
    let mut end = of.len().min(LABEL);
    while !of.is_char_boundary(end) {
        end -= 1;
    }
    let of = display::clean(&of[..end]);
    store.name(&format!("{}{{{of}}}", metric.name), Kind::Gauge, metric.scale)
}

/// The hub's time of day.
fn now() -> i64 {
    clock::now_ms().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_being_opened_until_it_could_not_be() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("history");
        std::fs::write(&folder, "this is no folder").unwrap();
        let history = History::new(folder.clone(), Settings::default());
        assert_eq!(history.store().unwrap_err().kind, ErrorKind::Busy);
        assert!(history.work().is_some());
        assert_eq!(history.store().unwrap_err().kind, ErrorKind::Failed);
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(history.work(), None);
        assert!(history.store().is_ok());
    }
}
