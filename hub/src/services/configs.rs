//! Config groups: list, show, check, save, delete, and what hosts shall have by them.

use super::runbooks::may_keep_playbooks;
use super::{HubService, nobody};
use crate::configs::{Configs, expected};
use crate::runbooks::{Plan, read_config};
use crate::server::Hub;
use crate::ssh;
use crate::who::Who;
use cmdr_link::codec;
use cmdr_link::service::Asked;
use cmdr_protocol::configs::{
    Check, Checked, Delete, Expect, Expected, List, Listing, MAX_HOSTS, Save, Show, Shown, Versions,
};
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::runbooks::{Saved, VersionListing};
use cmdr_protocol::selector::Selector;
use cmdr_protocol::{Call as _, CallError, Nothing, methods};
use std::sync::Arc;

pub(super) fn register(service: HubService) -> HubService {
    service.on(list).on(show).on(check).on(save).on(versions).on(delete).on(expect)
}

/// Bytes of files in one answer, about.
const MOST: usize = 512 * 1024;

async fn list(hub: Arc<Hub>, _: Asked, _: List) -> Result<Listing, CallError> {
    Ok(Listing { configs: hub.configs.all() })
}

async fn show(hub: Arc<Hub>, _: Asked, show: Show) -> Result<Shown, CallError> {
    hub.configs.show(&hub.runbooks, &show.name, show.version)
}

async fn check(hub: Arc<Hub>, _: Asked, check: Check) -> Result<Checked, CallError> {
    Ok(Configs::check(&hub.runbooks, &check.text))
}

fn told(hub: &Hub, caller: &Caller, what: What, name: &str, message: &str) {
    let (about, operator) = (format!("config:{name}"), caller.operator.clone());
    let message = message.to_owned();
    hub.fleet.events.tell(Event { what, about, operator, message, ..Event::default() });
}

async fn save(hub: Arc<Hub>, asked: Asked, save: Save) -> Result<Saved, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    if read_config(&save.text).is_ok_and(|book| book.has_playbook()) {
        may_keep_playbooks(&hub, &caller, Save::METHOD, &save.name)?;
    }
    let saved = hub.configs.save(&hub.runbooks, &save, &caller.name).await?;
    if !saved.unchanged {
        tracing::info!(
            config = save.name,
            saved.version,
            by = caller.name,
            "a config group was saved"
        );
        told(&hub, &caller, What::ConfigSaved, &save.name, &format!("version {}", saved.version));
    }
    Ok(saved)
}

async fn versions(hub: Arc<Hub>, _: Asked, asks: Versions) -> Result<VersionListing, CallError> {
    Ok(VersionListing { versions: hub.configs.versions(&asks.name)? })
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    hub.configs.delete(&delete.name).await?;
    tracing::info!(config = delete.name, by = caller.name, "a config group was deleted");
    told(&hub, &caller, What::ConfigDeleted, &delete.name, "");
    Ok(Nothing {})
}

/// Only hosts on which the caller may ask this are in the answer.
async fn expect(hub: Arc<Hub>, asked: Asked, expect: Expect) -> Result<Expected, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let who = hub.who(&caller);
    let (plan, about) = hub.configs.plan(&hub.runbooks, &expect.name, expect.version)?;
    let text = plan.book().hosts.clone().unwrap_or_default();
    let selector = Selector::parse(&text).map_err(|e| CallError::failed(e.to_string()))?;
    let method = methods::index(Expect::METHOD)
        .ok_or_else(|| CallError::failed("config groups are not in the table of methods"))?;
    let turn = hub.configs.turn().await;
    let work = move || {
        let _turn = turn;
        let of = Group { plan, text, selector, method };
        look(&hub, &who, &of, &expect, about.version)
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| CallError::failed(format!("working out what hosts shall have: {e}")))
}

/// A group whose hosts are looked at.
struct Group {
    plan: Plan,
    /// The hosts it is for, as it says it.
    text: String,
    selector: Selector,
    method: usize,
}

/// What its hosts shall have. Templates are worked out for each, so this may take its time.
fn look(hub: &Hub, who: &Who, group: &Group, expect: &Expect, version: u64) -> Expected {
    let Group { plan, text, selector, method } = group;
    let resource = expect.resource();
    let mut expected_of = Expected { version, ..Expected::default() };
    let mut size = 0;
    let mut hosts = hub.fleet.hosts();
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    for host in hosts {
        let Some(id) = host.id else { continue };
        let asked_for = expect.hosts.is_empty() || expect.hosts.contains(&id);
        if !asked_for || !selector.matches(&host) || !ssh::means(selector, text, &host) {
            continue;
        }
        if hub.decide(who, *method, Some(&resource), Some(id)).is_err() {
            continue;
        }
        // One that does not fit any more is the first of the next answer.
        if expect.brief || expected_of.hosts.len() >= MAX_HOSTS || size >= MOST {
            expected_of.more.push(id);
            continue;
        }
        let files = expected(plan, &host);
        let bytes = codec::size(&files);
        if size > 0 && size + bytes > MOST {
            size = MOST;
            expected_of.more.push(id);
            continue;
        }
        size += bytes;
        expected_of.hosts.push(files);
    }
    expected_of
}
