//! Compose projects: list, show, save, restore, delete; and what hosts would do with them, and do.

use super::parts::Part;
use super::{HubService, nobody};
use crate::compose::Whole;
use crate::registries;
use crate::server::Hub;
use cmdr_link::Client;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::compose::kept::{
    Delete, Deploy, List, Listing, Plan, Restore, Save, Show, Shown, Versions,
};
use cmdr_protocol::compose::{Check, Look, Looked, Progress, Up, UpAs, UpPrivileged};
use cmdr_protocol::envelope::Kind;
use cmdr_protocol::images::{Login, Reference};
use cmdr_protocol::registries::Pull;
use cmdr_protocol::runbooks::{Saved, VersionListing};
use cmdr_protocol::{Call as _, CallError, Feed as _, Nothing, methods};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroize as _;

/// How long a host's compose program may look at a file.
const QUESTION: Duration = Duration::from_mins(2);

pub(super) fn register(service: HubService) -> HubService {
    service.on(list).on(show).on(save).on(restore).on(versions).on(delete).on(plan).feed(deploy)
}

async fn list(hub: Arc<Hub>, _: Asked, _: List) -> Result<Listing, CallError> {
    Ok(Listing { projects: hub.compose.all() })
}

async fn show(hub: Arc<Hub>, _: Asked, show: Show) -> Result<Shown, CallError> {
    hub.compose.show(&show.name, show.version)
}

async fn save(hub: Arc<Hub>, asked: Asked, mut save: Save) -> Result<Saved, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let saved = hub.compose.save(&hub, &save, &caller.name).await;
    save.variables.zeroize();
    let saved = saved?;
    let (project, version) = (&save.name, saved.version);
    tracing::info!(project, version, by = caller.name, "a compose project was saved");
    Ok(saved)
}

async fn restore(hub: Arc<Hub>, asked: Asked, call: Restore) -> Result<Saved, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let saved = hub.compose.restore(&hub, &call.name, call.version, &caller.name).await?;
    let (project, version) = (&call.name, saved.version);
    tracing::info!(project, version, by = caller.name, "a compose project was restored");
    Ok(saved)
}

async fn versions(hub: Arc<Hub>, _: Asked, asks: Versions) -> Result<VersionListing, CallError> {
    Ok(VersionListing { versions: hub.compose.versions(&asks.name)? })
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    hub.compose.delete(&delete.name).await?;
    tracing::info!(project = delete.name, by = caller.name, "a compose project was deleted");
    Ok(Nothing {})
}

async fn plan(hub: Arc<Hub>, asked: Asked, plan: Plan) -> Result<Looked, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let part = Part { hub: &hub, caller: &caller, trace: asked.trace, host: plan.host };
    let whole = hub.compose.whole(&hub, &plan.name, plan.version)?;
    part.planned(&plan.name, &whole).await
}

impl Part<'_> {
    /// What a host would do with a project, if the caller may look at it there.
    async fn planned(&self, project: &str, whole: &Whole) -> Result<Looked, CallError> {
        let look = Look { project: project.to_owned() };
        self.allowed(&self.header(Look::METHOD, Kind::Call, look.resource())).await?;
        let client = Client::new(self.hub.fleet.link(self.host)?);
        let mut check = Check {
            project: look.project,
            text: whole.file.clone(),
            variables: whole.variables.as_str().to_owned(),
        };
        let looked = client.call_for(self.caller, Some(self.host), &check, QUESTION).await;
        check.variables.zeroize();
        looked
    }

    /// Who the hub is to the registries of these images, as far as the caller may be that; beside it at which
    /// ones they may not.
    fn logins_for(&self, looked: &Looked) -> Result<(Vec<Login>, Vec<String>), CallError> {
        let (mut logins, mut denied) = (Vec::new(), Vec::new());
        let images = looked.services.iter().filter_map(|s| Reference::parse(&s.image).ok());
        let registries: BTreeSet<String> = images.map(|image| image.registry).collect();
        for registry in registries {
            let known = registries::known(self.hub, &registry)?;
            let Some(known) = known.filter(|known| !known.record.username.is_empty()) else {
                continue;
            };
            let resource = cmdr_protocol::registries::resource(&registry);
            let who = self.hub.who(self.caller);
            let index = methods::index(Pull::METHOD).ok_or_else(nobody)?;
            if self.hub.decide(&who, index, Some(&resource), Some(self.host)).is_ok() {
                logins.push(known.login());
            } else {
                denied.push(registry);
            }
        }
        Ok((logins, denied))
    }
}

async fn deploy(
    hub: Arc<Hub>,
    asked: Asked,
    call: Deploy,
    feeding: Feeding<Deploy>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let part = Part { hub: &hub, caller: &caller, trace: asked.trace, host: call.host };
    let Deploy { name, version, pull, recreate, keep_orphans, .. } = call;
    let whole = hub.compose.whole(&hub, &name, version)?;
    let version = whole.about.version;
    let up = Up { project: name, pull, recreate, keep_orphans, version };
    let looked = part.planned(&up.project, &whole).await?;
    let recorded = if looked.powers.is_empty() {
        part.begin(&up).await?
    } else {
        part.begin(&UpPrivileged { up: up.clone(), powers: looked.powers.clone() }).await?
    };
    let done = async {
        let (logins, denied) = part.logins_for(&looked)?;
        if !denied.is_empty() {
            let why = format!(
                "images of {} are brought as nobody: {} is not allowed for you there",
                denied.join(", "),
                Pull::METHOD
            );
            feeding.send(&Progress { lines: vec![why], done: None }).await?;
        }
        let order = UpAs {
            up,
            powers: looked.powers,
            text: whole.file.clone(),
            variables: whole.variables.as_str().to_owned(),
            logins,
        };
        let client = Client::new(hub.fleet.link(call.host)?);
        let mut feed = client.feed_for(Some(&caller), Some(call.host), &order).await?;
        while let Some(item) = feed.next().await {
            let item = item?;
            let last = item.done.is_some();
            feeding.send(&item).await?;
            if last {
                return Ok(());
            }
        }
        Err(CallError::lost(
            "the host ended half-way, and did not say why; cmdr docker compose ps shows what there is",
        ))
    };
    let done = done.await;
    recorded.end(done.clone()).await.and(done)
}
