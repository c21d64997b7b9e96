//! What the hub keeps, by kind, and purging what is old of it: counted first, then done. How each kind is kept is its own
//! module's business.

use super::{HubService, busy, nobody};
use crate::records::prefix;
use crate::server::Hub;
use crate::store::{Store, StoreError};
use cmdr_link::clock;
use cmdr_link::service::Asked;
use cmdr_protocol::data::{Kept, Kind, Purge, Purged, Sized, Sizes};
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::human::{count, moment};
use cmdr_protocol::notifiers::MAX_NOTICES;
use cmdr_protocol::{CallError, display};
use std::collections::HashSet;
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.on(sizes).on(purge)
}

/// What of the store a kind is: where its records are, those of them that are counted first.
const fn stored(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Notices => &[prefix::NOTICE],
        Kind::Hosts => &[prefix::HOST],
        Kind::Operators => &[prefix::ACCOUNT, prefix::DEVICE, prefix::TOKEN],
        Kind::Approvals => &[prefix::APPROVAL],
        Kind::Runbooks => &[prefix::RUNBOOK, prefix::RUNBOOK_TEXT, prefix::RUNBOOK_SIGNATURE],
        Kind::Configs => &[prefix::CONFIG, prefix::CONFIG_TEXT],
        Kind::Compose => &[prefix::COMPOSE, prefix::COMPOSE_TEXT, prefix::COMPOSE_VARIABLES],
        Kind::Rules => &[prefix::RULE, prefix::RULE_TEXT, prefix::POLICY_TEXT],
        Kind::Notifiers => &[prefix::NOTIFIER, prefix::NOTIFIER_TEXT],
        Kind::Probes => &[prefix::PROBE, prefix::PROBE_TEXT, prefix::PROBE_PAST],
        Kind::Secrets => &[prefix::SECRET],
        Kind::History
        | Kind::Runs
        | Kind::Recordings
        | Kind::Audit
        | Kind::Alerts
        | Kind::Blobs
        | Kind::Unknown => &[],
    }
}

/// Why nothing of a kind goes by its age.
const fn fixed(kind: Kind) -> &'static str {
    match kind {
        Kind::Audit => {
            "the audit log proves what happened: it is shortened by the configuration alone ([audit] keep_days, keep_mb), and says so itself"
        }
        Kind::Notices => "the newest are kept, and those that wait until they are taken",
        Kind::Hosts => "hosts are taken out one by one: cmdr hosts rm",
        Kind::Operators => {
            "operators and devices are taken out one by one: cmdr operators, cmdr keys"
        }
        Kind::Approvals => "requests for rights end by themselves: cmdr approvals",
        Kind::Runbooks => {
            "the newest versions are kept of each; one is deleted by: cmdr runbook rm"
        }
        Kind::Configs => "the newest versions are kept of each; one is deleted by: cmdr config rm",
        Kind::Compose => {
            "the newest versions are kept of each; one is deleted by: cmdr docker compose"
        }
        Kind::Rules => "the newest versions are kept of each; one is deleted by: cmdr rules rm",
        Kind::Notifiers => {
            "the newest versions are kept of each; one is deleted by: cmdr notifiers rm"
        }
        Kind::Probes => "the newest versions are kept of each; one is deleted by: cmdr probes rm",
        Kind::Secrets => "secrets are deleted one by one: cmdr secrets rm",
        Kind::History | Kind::Runs | Kind::Recordings | Kind::Alerts | Kind::Blobs => "",
        Kind::Unknown => "this hub does not know that kind",
    }
}

/// How much of something there is, and of which time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    count: u64,
    bytes: u64,
    first_ms: u64,
    last_ms: u64,
}

impl Amount {
    fn add(&mut self, at_ms: u64, bytes: u64) {
        self.first_ms = if self.count == 0 { at_ms } else { self.first_ms.min(at_ms) };
        self.last_ms = self.last_ms.max(at_ms);
        self.count += 1;
        self.bytes += bytes;
    }

    fn of(all: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut amount = Self::default();
        for (at_ms, bytes) in all {
            amount.add(at_ms, bytes);
        }
        amount
    }
}

/// Does something that may wait for a disk.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CallError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| CallError::failed(format!("a fault of the hub: {e}")))
}

async fn sizes(hub: Arc<Hub>, _: Asked, _: Sizes) -> Result<Sized, CallError> {
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        let mut kept = Kept { kind: *kind, fixed: fixed(*kind).to_owned(), ..Kept::default() };
        bounds(&hub, &mut kept);
        match amount(&hub, *kind).await {
            Ok(amount) => {
                let Amount { count, bytes, first_ms, last_ms } = amount;
                kept = Kept { count, bytes, first_ms, last_ms, ..kept };
            }
            Err(e) => kept.trouble = display::clean_to_width(&e.message, 300),
        }
        kinds.push(kept);
    }
    let disk = rustix::fs::statvfs(hub.audit.dir());
    let (free, room) = disk.map_or((0, 0), |disk| {
        let of = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        (of(disk.f_bavail), of(disk.f_blocks))
    });
    Ok(Sized { kinds, free, room })
}

/// What the configuration says of how long a kind is kept.
fn bounds(hub: &Hub, kept: &mut Kept) {
    let config = &hub.config;
    match kept.kind {
        Kind::History => {
            kept.keep_bytes = config.history.keep_mb.saturating_mul(1 << 20);
            kept.keep_days = config.history.ladder.last().map_or(0, |step| step.days);
        }
        Kind::Runs => {
            kept.keep_days = config.runs.keep_days;
            kept.keep_bytes = config.runs.keep_mb.saturating_mul(1 << 20);
            kept.keep_count = config.runs.keep.get();
        }
        Kind::Recordings => kept.keep_bytes = config.recordings.keep_gb.saturating_mul(1 << 30),
        Kind::Audit => {
            kept.keep_days = config.audit.keep_days;
            kept.keep_bytes = config.audit.keep_mb.saturating_mul(1 << 20);
        }
        Kind::Alerts => kept.keep_days = config.alerts.keep_days.into(),
        Kind::Notices => kept.keep_count = MAX_NOTICES as u64,
        Kind::Blobs => {
            kept.keep_days = u64::from(config.blobs.unused_h.get()).div_ceil(24);
            kept.keep_bytes = config.blobs.keep_gb.get().saturating_mul(1 << 30);
        }
        _ => {}
    }
}

async fn amount(hub: &Arc<Hub>, kind: Kind) -> Result<Amount, CallError> {
    match kind {
        Kind::History => {
            let store = hub.history.store()?;
            let sizes = aside(move || store.sizes()).await?;
            let mut all = Amount::default();
            for part in std::iter::once(&sizes.hot).chain(&sizes.tiers) {
                all.count += part.values;
                all.bytes += part.bytes;
                if let (Some(first), Some(last)) = (part.first_ms, part.last_ms) {
                    let (first, last) = (first.unsigned_abs(), last.unsigned_abs());
                    all.first_ms = if all.first_ms == 0 { first } else { all.first_ms.min(first) };
                    all.last_ms = all.last_ms.max(last);
                }
            }
            Ok(all)
        }
        Kind::Runs => {
            let over = hub.runs.over();
            let runs = hub.runs.clone();
            let taken = aside(move || runs.output_size()).await?;
            let bytes = taken
                .map_err(|e| CallError::failed(format!("looking at the output of runs: {e}")))?;
            Ok(Amount { bytes, ..Amount::of(over.iter().map(|run| (run.ended_ms, 0))) })
        }
        Kind::Recordings => {
            let (over, running) = hub.recorder.over();
            let all = Amount::of(over.iter().map(|one| (one.ended_ms, one.bytes)));
            Ok(Amount { count: all.count + running, ..all })
        }
        Kind::Audit => {
            let extent = hub.audit.extent().await;
            let extent =
                extent.map_err(|e| CallError::failed(format!("looking at the audit log: {e}")))?;
            let last_ms = if extent.records > 0 { clock::now_ms() } else { 0 };
            let (count, bytes, first_ms) = (extent.records, extent.bytes, extent.first_ms);
            Ok(Amount { count, bytes, first_ms, last_ms })
        }
        Kind::Alerts => {
            let (store, own) = (hub.store.clone(), hub.clone());
            let (extent, moments) = aside(move || {
                let (extent, _) = own.alerts.happened_before(u64::MAX)?;
                let moments = stored_amount(&store, &[prefix::ALERT_MOMENT]);
                Ok::<_, CallError>((extent, moments.map_err(busy)?))
            })
            .await??;
            let (count, first_ms, last_ms) = (extent.count, extent.first_ms, extent.last_ms);
            Ok(Amount { count, bytes: extent.bytes + moments.bytes, first_ms, last_ms })
        }
        Kind::Blobs => {
            let files = hub.blobs.files().clone();
            let blobs = aside(move || files.list()).await?;
            Ok(Amount::of(blobs.iter().map(|blob| (blob.used_ms, blob.size))))
        }
        kind => {
            let store = hub.store.clone();
            aside(move || stored_amount(&store, stored(kind))).await?.map_err(busy)
        }
    }
}

/// The records of these prefixes; those of the first are counted, all take room.
fn stored_amount(store: &Store, prefixes: &[&str]) -> Result<Amount, StoreError> {
    let mut amount = Amount::default();
    for (at, prefix) in prefixes.iter().enumerate() {
        for (key, value) in store.scan_raw(prefix)?.into_iter().flatten() {
            amount.bytes += (key.len() + value.len()) as u64;
            amount.count += u64::from(at == 0);
        }
    }
    Ok(amount)
}

async fn purge(hub: Arc<Hub>, asked: Asked, purge: Purge) -> Result<Purged, CallError> {
    let why = fixed(purge.kind);
    if !why.is_empty() {
        return Err(CallError::malformed(format!("{} cannot be purged: {why}", purge.kind)));
    }
    if purge.before_ms == 0 {
        return Err(CallError::malformed(
            "say what is old: everything from before a time is purged, and none was given",
        ));
    }
    let before = purge.before_ms.min(clock::now_ms());
    let (amount, staying) = match purge.kind {
        Kind::History => history(&hub, before, purge.apply).await?,
        Kind::Runs => runs(&hub, before, purge.apply).await?,
        Kind::Recordings => recordings(&hub, before, purge.apply).await?,
        Kind::Alerts => alerts(&hub, before, purge.apply).await?,
        Kind::Blobs => blobs(&hub, before, purge.apply).await?,
        kind => return Err(CallError::malformed(format!("{kind} cannot be purged"))),
    };
    if purge.apply {
        let caller = asked.caller.ok_or_else(nobody)?;
        let (kind, by) = (purge.kind.as_str(), caller.name);
        tracing::info!(kind, by, count = amount.count, bytes = amount.bytes, "old data was purged");
        hub.fleet.events.tell(Event {
            what: What::DataPurged,
            about: format!("data:{kind}"),
            operator: caller.operator,
            message: format!("{} from before {}", count(amount.count, "thing"), moment(before)),
            ..Event::default()
        });
    }
    let Amount { count, bytes, first_ms, last_ms } = amount;
    Ok(Purged { count, bytes, first_ms, last_ms, staying, applied: purge.apply })
}

async fn history(hub: &Hub, before: u64, apply: bool) -> Result<(Amount, u64), CallError> {
    let before_ms = i64::try_from(before).unwrap_or(i64::MAX);
    let gone = cmdr_history::Purge { before_ms: Some(before_ms), ..cmdr_history::Purge::default() };
    let (purged, first) = super::history::purged(hub, gone, apply).await?;
    let first_ms = first.filter(|first| *first < before).unwrap_or_default();
    let last_ms = if purged.values > 0 { before.saturating_sub(1) } else { 0 };
    Ok((Amount { count: purged.values, bytes: purged.bytes, first_ms, last_ms }, 0))
}

async fn runs(hub: &Hub, before: u64, apply: bool) -> Result<(Amount, u64), CallError> {
    let mut old = hub.runs.over();
    old.retain(|run| run.ended_ms < before);
    old.sort_by_key(|run| run.ended_ms);
    let all = old.len();
    if apply {
        let ids: Vec<_> = old.iter().map(|run| run.id).collect();
        let gone: HashSet<_> = hub.runs.purge(hub, &ids).await?.into_iter().collect();
        old.retain(|run| gone.contains(&run.id));
    }
    let staying = (all - old.len()) as u64;
    Ok((Amount::of(old.iter().map(|run| (run.ended_ms, run.output))), staying))
}

async fn recordings(hub: &Hub, before: u64, apply: bool) -> Result<(Amount, u64), CallError> {
    let (mut old, _) = hub.recorder.over();
    old.retain(|one| one.ended_ms < before);
    if !apply {
        return Ok((Amount::of(old.iter().map(|one| (one.ended_ms, one.bytes))), 0));
    }
    let (mut amount, mut staying) = (Amount::default(), 0);
    for one in old {
        match hub.recorder.delete(one.id).await {
            Ok(()) => amount.add(one.ended_ms, one.bytes),
            Err(e) if e.kind == cmdr_protocol::ErrorKind::Busy => return Err(e),
            Err(_) => staying += 1,
        }
    }
    Ok((amount, staying))
}

async fn alerts(hub: &Arc<Hub>, before: u64, apply: bool) -> Result<(Amount, u64), CallError> {
    let own = hub.clone();
    let (found, keys) = aside(move || own.alerts.happened_before(before)).await??;
    if apply {
        hub.alerts.forget(keys).await?;
    }
    let (count, bytes, first_ms, last_ms) =
        (found.count, found.bytes, found.first_ms, found.last_ms);
    Ok((Amount { count, bytes, first_ms, last_ms }, 0))
}

async fn blobs(hub: &Arc<Hub>, before: u64, apply: bool) -> Result<(Amount, u64), CallError> {
    let hub = hub.clone();
    aside(move || {
        let files = hub.blobs.files();
        let (mut amount, mut staying) = (Amount::default(), 0);
        for blob in files.list().into_iter().filter(|blob| blob.used_ms < before) {
            if hub.needs_blob(&blob.hash) || apply && !files.remove(&blob.hash) {
                staying += 1;
            } else {
                amount.add(blob.used_ms, blob.size);
            }
        }
        (amount, staying)
    })
    .await
}
