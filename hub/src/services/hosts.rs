//! The fleet: lists, the live table, and who belongs to it.

use super::pages::{BYTES, Page};
use super::{HubService, nobody};
use crate::server::Hub;
use crate::ssh;
use crate::who::Who;
use cmdr_link::codec;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::hosts::{
    Approve, Change, Forget, History, Host, HostState, Label, Labels, List, Listing, PAGE, Reject,
    Rename, Resolve, TARGETS, Targets, Watch,
};
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{CallError, ErrorKind, HostId, Nothing};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// What the figures of a host, its history and its id are written with, at most.
const FIGURES: usize = 128;
const HISTORY: usize = 256;
const GONE: usize = 64;

type Shared = Arc<Hub>;

pub(super) fn register(service: HubService) -> HubService {
    service.on(list).on(resolve).feed(watch).on(rename).on(label).on(forget).on(approve).on(reject)
}

fn parse(text: &str) -> Result<Selector, CallError> {
    Selector::parse(text).map_err(|e| CallError::malformed(e.to_string()))
}

fn busy(error: impl std::fmt::Display) -> CallError {
    CallError::new(ErrorKind::Busy, error.to_string())
}

/// Who looks; what they may not see is left out.
fn viewer(hub: &Hub, asked: &Asked) -> Result<Arc<Who>, CallError> {
    asked.caller.as_ref().map(|caller| hub.who(caller)).ok_or_else(nobody)
}

async fn list(hub: Shared, asked: Asked, list: List) -> Result<Listing, CallError> {
    let (selector, who) = (parse(&list.selector)?, viewer(&hub, &asked)?);
    let mut page = Page::new(list.limit, PAGE);
    hub.fleet.by_name(&list.after, |id, entry| {
        let mut host = entry.host(id);
        if !(selector.matches(&host) && hub.sees_host(&who, id, entry.changed, &host)) {
            return ControlFlow::Continue(());
        }
        if list.brief {
            (host.facts, host.link) = (None, None);
        }
        page.take(host)
    });
    let (hosts, more) = page.done()?;
    let next = hosts.last().filter(|_| more).map(|host: &Host| host.name.clone());
    Ok(Listing { hosts, next: next.unwrap_or_default() })
}

async fn resolve(hub: Shared, asked: Asked, resolve: Resolve) -> Result<Targets, CallError> {
    let (selector, who) = (parse(&resolve.selector)?, viewer(&hub, &asked)?);
    let mut page = Page::new(resolve.limit, TARGETS);
    hub.fleet.by_name(&resolve.after, |id, entry| {
        let host = entry.host(id);
        let picked = selector.matches(&host)
            && ssh::means(&selector, &resolve.selector, &host)
            && hub.sees_host(&who, id, entry.changed, &host);
        if picked { page.take((id, host.name, host.state)) } else { ControlFlow::Continue(()) }
    });
    let (targets, more) = page.done()?;
    let next = targets.last().filter(|_| more).map(|(_, name, _)| String::clone(name));
    Ok(Targets { targets, next: next.unwrap_or_default() })
}

async fn rename(hub: Shared, _: Asked, rename: Rename) -> Result<Nothing, CallError> {
    hub.fleet.rename(rename.host, &rename.name).await.map(|()| Nothing {})
}

async fn label(hub: Shared, _: Asked, label: Label) -> Result<Labels, CallError> {
    hub.fleet.label(label.host, &label.set, &label.remove).await
}

async fn forget(hub: Shared, asked: Asked, forget: Forget) -> Result<Nothing, CallError> {
    if !hub.fleet.forget(forget.host).await.map_err(busy)? {
        return Err(CallError::not_found(format!(
            "there is no host {} in this fleet",
            forget.host
        )));
    }
    tracing::info!(host = %forget.host, by = asked.caller.map(|c| c.name), "a host was forgotten");
    Ok(Nothing {})
}

async fn approve(hub: Shared, asked: Asked, approve: Approve) -> Result<Nothing, CallError> {
    hub.fleet.approve(approve.host, &approve.labels).await?;
    tracing::info!(host = %approve.host, by = asked.caller.map(|c| c.name), "a host was approved");
    Ok(Nothing {})
}

async fn reject(hub: Shared, asked: Asked, reject: Reject) -> Result<Nothing, CallError> {
    hub.fleet.reject(reject.host).await?;
    tracing::info!(host = %reject.host, by = asked.caller.map(|c| c.name), "a host was rejected");
    Ok(Nothing {})
}

/// Sends the fleet, then what changes in it. Nothing is sent while nothing changes.
async fn watch(
    hub: Shared,
    asked: Asked,
    watch: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let mut view = View {
        who: viewer(&hub, &asked)?,
        selector: parse(&watch.selector)?,
        all: watch.selector.trim().is_empty(),
        sent: HashMap::new(),
        change: 0,
    };
    let mut tick =
        tokio::time::interval(Duration::from_millis(watch.interval_ms.clamp(250, 60_000)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        tick.tick().await;
        let changes = view.changes(&hub, first);
        for change in &changes {
            feeding.send(change).await?;
        }
        first = false;
    }
}

/// What one watcher was sent last.
struct View {
    who: Arc<Who>,
    selector: Selector,
    /// No selector: everything, hosts that wait included.
    all: bool,
    /// For each host it knows, the numbers of the changes it was sent.
    sent: HashMap<HostId, (u64, u64)>,
    change: u64,
}

impl View {
    fn changes(&mut self, hub: &Hub, first: bool) -> Vec<Change> {
        let newest = hub.fleet.change();
        if !first && newest == self.change {
            return Vec::new();
        }
        self.change = newest;
        let mut out = Outbox::new(first);
        let here = hub.fleet.ids();
        let left: Vec<_> = self.sent.keys().filter(|id| !here.contains(id)).copied().collect();
        for id in left {
            self.sent.remove(&id);
            out.room(GONE).gone.push(id);
        }
        hub.fleet.each(|id, entry| {
            let known = self.sent.get(&id).copied();
            let fresh = known.is_none_or(|(changed, _)| changed != entry.changed);
            if fresh {
                let host: Host = entry.host(id);
                let picked =
                    self.selector.matches(&host) || self.all && host.state == HostState::Pending;
                if !(picked && hub.sees_host(&self.who, id, entry.changed, &host)) {
                    if self.sent.remove(&id).is_some() {
                        out.room(GONE).gone.push(id);
                    }
                    return;
                }
                out.room(codec::size(&host)).put.push(host);
                if known.is_none() && !entry.history.is_empty() {
                    let cpu = entry.history.iter().copied().collect();
                    out.room(HISTORY).history.push(History { id, cpu });
                }
            }
            if known.is_none_or(|(_, sampled)| sampled != entry.sampled)
                && let Some(figures) = entry.figures()
            {
                out.room(FIGURES).figures.push(figures);
            }
            self.sent.insert(id, (entry.changed, entry.sampled));
        });
        out.done(first)
    }
}

/// Changes, cut so that none is too large for a frame. What is said of a host after it was put stands in the same
/// change or in a later one, so that each can be applied when it comes.
struct Outbox {
    changes: Vec<Change>,
    /// Bytes of the newest one.
    size: usize,
}

impl Outbox {
    fn new(reset: bool) -> Self {
        Self { changes: vec![Change { reset, ..Change::default() }], size: 0 }
    }

    /// The change that has room for so many bytes more.
    fn room(&mut self, size: usize) -> &mut Change {
        self.size += size;
        if self.size > BYTES && self.size > size || self.changes.is_empty() {
            self.changes.push(Change::default());
            self.size = size;
        }
        let at = self.changes.len() - 1;
        &mut self.changes[at]
    }

    /// What is worth sending; the first time even nothing is.
    fn done(mut self, first: bool) -> Vec<Change> {
        if !first {
            self.changes.retain(|c| *c != Change::default());
        }
        if let Some((_, before)) = self.changes.split_last_mut() {
            for change in before {
                change.more = true;
            }
        }
        self.changes
    }
}

#[cfg(test)]
#[path = "hosts_tests.rs"]
mod tests;
