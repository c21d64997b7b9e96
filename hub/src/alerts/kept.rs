//! Alerts in the store: what one step changed goes in as one batch with the notices that it made.

use crate::notifiers::{Letter, Notifiers};
use crate::records::prefix;
use crate::store::{Batch, Store, StoreError};
use cmdr_link::clock;
use cmdr_protocol::HostId;
use cmdr_protocol::alerts::Happening;
use cmdr_rules::alerts::{Alert, Core, Group, Key, Outcome, Write};
use std::collections::BTreeMap;

const DAY_MS: u64 = 24 * 3600 * 1000;
/// Days that are looked at, at most: nothing is older.
const DAYS: u64 = 4000;
/// Records removed in one batch.
const BATCH: usize = 500;
/// Records that wait for a store that takes none, at most; alerts and groups are there once each.
const WAITING: usize = 200_000;
/// What happened that waits for the same.
const LOG: usize = 10_000;

/// What was not stored yet.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// By key of the store: the newest of each.
    writes: BTreeMap<String, Write>,
    log: Vec<Happening>,
    letters: Vec<Letter>,
    failed: bool,
    /// Tells happenings of one moment apart.
    number: u16,
}

pub(super) fn hashed(prefix: &str, key: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in key {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{prefix}{}", &hasher.finalize().to_hex()[..32])
}

fn alert_key(key: &Key) -> String {
    hashed(prefix::ALERT, &[&key.host, &key.rule, &key.instance])
}

fn group_key(key: &str) -> String {
    hashed(prefix::ALERT_GROUP, &[key])
}

fn key(write: &Write) -> String {
    match write {
        Write::Alert(alert) => alert_key(&alert.key),
        Write::NoAlert(key) => alert_key(key),
        Write::Group(group) => group_key(&group.key),
        Write::NoGroup(key) => group_key(key),
        Write::Core(_) => prefix::ALERT_CORE.to_owned(),
    }
}

impl Kept {
    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.log.is_empty() && self.letters.is_empty()
    }

    /// The batch that stores an outcome with all that was not stored before it; and the notices that are to be sent.
    pub(super) fn batch(
        &mut self,
        outcome: Outcome,
        happened: &[Happening],
        notifiers: &Notifiers,
    ) -> (Batch, Vec<Letter>) {
        for write in outcome.writes {
            if self.writes.len() < WAITING {
                self.writes.insert(key(&write), write);
            }
        }
        let room = LOG.saturating_sub(self.log.len());
        self.log.extend(happened.iter().take(room).cloned());
        // What could not be stored was sent all the same: what is over does not begin to wait again.
        self.letters.retain(|letter| notifiers.waits(letter));
        let letters = notifiers.letters(&outcome.notices);
        self.letters.extend(letters.iter().cloned());
        let mut batch = Batch::new();
        for (key, write) in &self.writes {
            batch = match write {
                Write::Alert(alert) => batch.put(key, alert),
                Write::Group(group) => batch.put(key, group),
                Write::Core(core) => batch.put(key, core),
                Write::NoAlert(_) | Write::NoGroup(_) => batch.delete(key),
            };
        }
        for happening in &self.log {
            self.number = self.number.wrapping_add(1);
            batch = batch.put(log_key(happening.at_ms, self.number), happening);
        }
        for letter in &self.letters {
            batch = batch.put(letter.key(), &letter.record);
        }
        (batch, letters)
    }

    pub(super) fn is_stored(&mut self) {
        if self.failed {
            tracing::info!("alerts are stored again");
        }
        *self = Self { number: self.number, ..Self::default() };
    }

    pub(super) fn is_not_stored(&mut self, error: &StoreError) {
        if !self.failed {
            tracing::error!(
                "alerts are not stored: {error}; they are told all the same, and after a crash of the hub perhaps again"
            );
        }
        self.failed = true;
        // They are on their way; stored once they can be, so that what became of them is known.
        self.letters.truncate(LOG);
    }
}

fn log_key(at_ms: u64, number: u16) -> String {
    format!("{}{:08}/{at_ms:015}/{number:05}", prefix::ALERT_LOG, at_ms / DAY_MS)
}

/// Where something stands that an agent saw: the same thing told twice stands once.
pub(super) fn seen_key(host: &HostId, number: u64, at_ms: u64) -> String {
    let host = host.to_string();
    let short = host.get(..8).unwrap_or(&host);
    format!("{}{:08}/{at_ms:015}/{short}-{number:08}", prefix::ALERT_LOG, at_ms / DAY_MS)
}

/// All that is kept of alerts; what is damaged is logged and left out.
pub(super) fn read(store: &Store) -> Result<Vec<Write>, StoreError> {
    let mut writes = Vec::new();
    for record in store.scan::<Alert>(prefix::ALERT)? {
        match record {
            Ok((_, alert)) => writes.push(Write::Alert(Box::new(alert))),
            Err(e) => tracing::error!("an alert is left out: {e}"),
        }
    }
    for record in store.scan::<Group>(prefix::ALERT_GROUP)? {
        match record {
            Ok((_, group)) => writes.push(Write::Group(group)),
            Err(e) => tracing::error!("a group of alerts is left out: {e}"),
        }
    }
    match store.get::<Core>(prefix::ALERT_CORE) {
        Ok(core) => writes.extend(core.map(Write::Core)),
        Err(e) => tracing::error!("silences and the numbers of alerts are lost: {e}"),
    }
    Ok(writes)
}

fn day_prefix(day: u64) -> String {
    format!("{}{day:08}/", prefix::ALERT_LOG)
}

/// What happened in a time, oldest first. What is damaged is left out, which the check of the store tells.
pub(super) fn happened(
    store: &Store,
    from_ms: u64,
    to_ms: u64,
    look: &mut dyn FnMut(Happening),
) -> Result<(), StoreError> {
    // Nothing is kept of a time to come, but of a clock that was put back.
    let last = to_ms.min(clock::now_ms() + DAY_MS) / DAY_MS;
    let first = (from_ms / DAY_MS).max(last.saturating_sub(DAYS));
    for day in first..=last {
        for (_, happening) in store.scan::<Happening>(&day_prefix(day))?.into_iter().flatten() {
            if (from_ms..to_ms).contains(&happening.at_ms) {
                look(happening);
            }
        }
    }
    Ok(())
}

/// What happened to alerts, as what takes room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    pub(crate) first_ms: u64,
    pub(crate) last_ms: u64,
}

/// When what a key of the log is of happened.
fn happened_ms(key: &str) -> Option<u64> {
    key.strip_prefix(prefix::ALERT_LOG)?.split('/').nth(1)?.parse().ok()
}

/// How much of the log is from before a time, and the keys of that. One that cannot be read has a time nevertheless.
pub(super) fn before(store: &Store, before_ms: u64) -> Result<(Extent, Vec<String>), StoreError> {
    let (mut found, mut keys) = (Extent::default(), Vec::new());
    for record in store.scan_raw(prefix::ALERT_LOG)? {
        let Ok((key, value)) = record else { continue };
        let Some(at_ms) = happened_ms(&key).filter(|at_ms| *at_ms < before_ms) else { continue };
        if found.count == 0 {
            found.first_ms = at_ms;
        }
        found.count += 1;
        found.bytes += (key.len() + value.len()) as u64;
        found.last_ms = found.last_ms.max(at_ms);
        keys.push(key);
    }
    Ok((found, keys))
}

/// Removes these.
pub(super) async fn remove(store: &Store, keys: Vec<String>) -> Result<(), StoreError> {
    for some in keys.chunks(BATCH) {
        store.apply(some.iter().fold(Batch::new(), Batch::delete)).await?;
    }
    Ok(())
}

/// Forgets what happened longer ago than so many days.
pub(super) async fn tidy(store: &Store, keep_days: u32) {
    let before = (clock::now_ms() / DAY_MS).saturating_sub(u64::from(keep_days));
    let done = async {
        for day in before.saturating_sub(DAYS)..before {
            let old = store.scan::<Happening>(&day_prefix(day))?;
            let keys: Vec<String> = old.into_iter().flatten().map(|(key, _)| key).collect();
            for some in keys.chunks(BATCH) {
                store.apply(some.iter().fold(Batch::new(), Batch::delete)).await?;
            }
        }
        Ok::<_, StoreError>(())
    };
    if let Err(e) = done.await {
        tracing::warn!("old alerts are not removed: {e}");
    }
}
