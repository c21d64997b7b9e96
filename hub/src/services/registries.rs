//! Registries of images: who the hub is to them, what is in them, and pulls and pushes on hosts as that somebody.

use super::parts::Part;
use super::{HubService, nobody};
use crate::audit::trail;
use crate::registries::{self, Known, Web};
use crate::server::Hub;
use cmdr_link::Client;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::envelope::Kind;
use cmdr_protocol::images::{
    self, Image, Login, Progress, PullAs, PushAs, Reference, check_registry, is_digest, is_tag,
};
use cmdr_protocol::registries::{
    Catalog, Compared, Delete, DeleteTag, Described, Gone, Kept, List, Listing, MOST, Manifest,
    Names, Pull, Push, Put, Tags, Update, Updates,
};
use cmdr_protocol::{Call, CallError, ErrorKind, Feed, Nothing, methods};
use futures::StreamExt as _;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroize as _;

/// How long a short question to a host may take.
const QUESTION: Duration = Duration::from_secs(30);
/// Questions to one registry at once.
const AT_ONCE: usize = 8;
/// The longest name or password.
const LONGEST: usize = 8 * 1024;

pub(super) fn register(service: HubService) -> HubService {
    service
        .on(put)
        .on(list)
        .on(delete)
        .on(catalog)
        .on(tags)
        .on(manifest)
        .on(delete_tag)
        .feed(pull)
        .feed(push)
        .on(updates)
}

async fn put(hub: Arc<Hub>, asked: Asked, mut put: Put) -> Result<Kept, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    check_registry(&put.registry).map_err(CallError::malformed)?;
    let odd = |text: &str| text.len() > LONGEST || text.contains(char::is_control);
    if odd(&put.username) || odd(&put.password) || put.username.contains(':') {
        return Err(CallError::malformed(
            "the name has no ':', and name and password are each one line of at most 8 KiB",
        ));
    }
    if put.username.is_empty() != put.password.is_empty() {
        return Err(CallError::malformed("there is either a name with a password, or neither"));
    }
    let kept = registries::put(&hub, &put, &caller.name).await;
    put.password.zeroize();
    let replaced = kept?;
    tracing::info!(registry = put.registry, replaced, by = caller.name, "a registry was put");
    Ok(Kept { replaced })
}

async fn list(hub: Arc<Hub>, _: Asked, _: List) -> Result<Listing, CallError> {
    Ok(Listing { registries: registries::list(&hub)? })
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    check_registry(&delete.registry).map_err(CallError::malformed)?;
    if !registries::delete(&hub, &delete.registry).await? {
        return Err(unknown(&delete.registry));
    }
    tracing::info!(registry = delete.registry, by = caller.name, "a registry was forgotten");
    Ok(Nothing {})
}

fn unknown(registry: &str) -> CallError {
    CallError::not_found(format!(
        "the hub does not know the registry '{}'; an administrator adds it: cmdr docker registry add",
        cmdr_protocol::display::clean_to_width(registry, 80)
    ))
}

/// A registry that may be asked.
fn web(hub: &Hub, registry: &str) -> Result<Web, CallError> {
    check_registry(registry).map_err(CallError::malformed)?;
    registries::known(hub, registry)?.map(Web::new).ok_or_else(|| unknown(registry))
}

/// A repository as it stands in paths.
fn repository<'a>(registry: &str, name: &'a str) -> Result<&'a str, CallError> {
    let whole = format!("{registry}/{name}");
    let read = Reference::parse(&whole).map_err(CallError::malformed)?;
    let plain = read.digest.is_none() && !name.contains(':') && read.repository.ends_with(name);
    if plain { Ok(name) } else { Err(CallError::malformed(format!("'{name}' is no repository"))) }
}

/// The page of a list that begins after this name.
fn page(after: &str) -> String {
    if after.is_empty() {
        return format!("?n={MOST}");
    }
    format!("?n={MOST}&last={}", after.replace('/', "%2F"))
}

/// Names, as many as were asked for.
fn cut(mut names: Vec<String>, more: bool) -> Names {
    let more = more || names.len() > MOST as usize;
    names.truncate(MOST as usize);
    Names { names, more }
}

async fn catalog(hub: Arc<Hub>, _: Asked, call: Catalog) -> Result<Names, CallError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Page {
        repositories: Option<Vec<String>>,
    }
    let web = web(&hub, &call.registry)?;
    if !call.after.is_empty() {
        repository(&call.registry, &call.after)?;
    }
    let path = format!("_catalog{}", page(&call.after));
    let (found, more): (Page, bool) =
        web.read("list the repositories", &path, "registry:catalog:*").await?;
    Ok(cut(found.repositories.unwrap_or_default(), more))
}

async fn tags(hub: Arc<Hub>, _: Asked, call: Tags) -> Result<Names, CallError> {
    let web = web(&hub, &call.registry)?;
    let repository = repository(&call.registry, &call.repository)?;
    if !call.after.is_empty() && !is_tag(&call.after) {
        return Err(CallError::malformed("what a list of tags begins after is a tag"));
    }
    tags_of(&web, repository, &call.after).await
}

async fn tags_of(web: &Web, repository: &str, after: &str) -> Result<Names, CallError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Page {
        tags: Option<Vec<String>>,
    }
    let attempted = format!("list the tags of {repository}");
    let path = format!("{repository}/tags/list{}", page(after));
    let scope = format!("repository:{repository}:pull");
    let (found, more): (Page, bool) = web.read(&attempted, &path, &scope).await?;
    Ok(cut(found.tags.unwrap_or_default(), more))
}

async fn manifest(hub: Arc<Hub>, _: Asked, call: Manifest) -> Result<Described, CallError> {
    let web = web(&hub, &call.registry)?;
    let repository = repository(&call.registry, &call.repository)?;
    if !is_tag(&call.reference) && !is_digest(&call.reference) {
        return Err(CallError::malformed("a manifest is named by a tag or a digest"));
    }
    let attempted = format!("read the manifest of {repository}:{}", call.reference);
    let path = format!("{repository}/manifests/{}", call.reference);
    let scope = format!("repository:{repository}:pull");
    let found = web.ask(&attempted, "GET", &path, &scope).await?;
    let json = String::from_utf8(found.body)
        .ok()
        .filter(|json| json.len() <= 700 * 1024)
        .ok_or_else(|| CallError::failed(format!("{attempted}: it is too large, or no text")))?;
    Ok(Described { digest: found.digest, media_type: found.media_type, json })
}

async fn delete_tag(hub: Arc<Hub>, asked: Asked, call: DeleteTag) -> Result<Gone, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let web = web(&hub, &call.registry)?;
    let repository = repository(&call.registry, &call.repository)?;
    if !is_tag(&call.tag) {
        return Err(CallError::malformed("a tag has letters, digits, '_', '.' and '-'"));
    }
    let attempted = format!("delete {repository}:{}", call.tag);
    let digest = web.digest(repository, &call.tag).await?;
    let all = tags_of(&web, repository, "").await?;
    if all.more && !call.force {
        return Err(CallError::new(
            ErrorKind::Conflict,
            format!(
                "{attempted}: {repository} has more than {MOST} tags, and others may be of the same image"
            ),
        ));
    }
    let same = async |tag: String| {
        // One that is gone meanwhile, or is none, is not of this image.
        let fits = is_tag(&tag) && web.digest(repository, &tag).await.is_ok_and(|d| d == digest);
        fits.then_some(tag)
    };
    let found: Vec<Option<String>> =
        futures::stream::iter(all.names).map(same).buffered(AT_ONCE).collect().await;
    let tags: Vec<String> = found.into_iter().flatten().collect();
    let others: Vec<&str> =
        tags.iter().map(String::as_str).filter(|tag| *tag != call.tag).take(20).collect();
    if !others.is_empty() && !call.force {
        return Err(CallError::new(
            ErrorKind::Conflict,
            format!(
                "{attempted}: the same image has other tags, which would go with it: {}",
                others.join(", ")
            ),
        ));
    }
    let path = format!("{repository}/manifests/{digest}");
    let scope = format!("repository:{repository}:pull,delete");
    web.ask(&attempted, "DELETE", &path, &scope).await?;
    tracing::info!(registry = call.registry, digest, by = caller.name, "{attempted}");
    Ok(Gone { digest, tags })
}

impl Part<'_> {
    /// Who the hub is to the registry of an image, if the caller may be that, too.
    async fn login(&self, method: &str, image: &Reference) -> Result<Login, CallError> {
        let known = registries::known(self.hub, &image.registry)?;
        let Some(known) = known.filter(|known| !known.record.username.is_empty()) else {
            return Ok(Login::default());
        };
        let resource = cmdr_protocol::registries::resource(&image.registry);
        let who = self.hub.who(self.caller);
        let index = methods::index(method).ok_or_else(nobody)?;
        if let Err(missing) = self.hub.decide(&who, index, Some(&resource), Some(self.host)) {
            let why = missing.told(&who, method, &resource);
            let error =
                CallError::denied(format!("{method} is not allowed for {}: {why}", who.operator));
            let header = self.header(method, Kind::Feed, resource);
            trail::denied(self.hub, self.caller, &header, &error).await;
            return Err(error);
        }
        Ok(Known::login(&known))
    }

    /// Has it done, and tells how far it is.
    async fn carry<F, T>(&self, order: &F, feeding: &Feeding<T>) -> Result<(), CallError>
    where
        F: Feed<Item = Progress>,
        T: Feed<Item = Progress>,
    {
        let client = Client::new(self.hub.fleet.link(self.host)?);
        let mut feed = client.feed_for(Some(self.caller), Some(self.host), order).await?;
        while let Some(item) = feed.next().await {
            let item = item?;
            feeding.send(&item).await?;
            if item.moved.is_some() {
                return Ok(());
            }
        }
        Err(CallError::lost("the host ended half-way, and did not say why"))
    }
}

async fn pull(
    hub: Arc<Hub>,
    asked: Asked,
    call: Pull,
    feeding: Feeding<Pull>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let image = Reference::parse(&call.image).map_err(CallError::malformed)?;
    let part = Part { hub: &hub, caller: &caller, trace: asked.trace, host: call.host };
    let pull = images::Pull { image: call.image, platform: call.platform };
    let recorded = part.begin(&pull).await?;
    let done = async {
        let login = part.login(Pull::METHOD, &image).await?;
        part.carry(&PullAs { pull, login }, &feeding).await
    };
    let done = done.await;
    recorded.end(done.clone()).await.and(done)
}

async fn push(
    hub: Arc<Hub>,
    asked: Asked,
    call: Push,
    feeding: Feeding<Push>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let image = Reference::parse(&call.image).map_err(CallError::malformed)?;
    let part = Part { hub: &hub, caller: &caller, trace: asked.trace, host: call.host };
    let push = images::Push { image: call.image };
    let recorded = part.begin(&push).await?;
    let done = async {
        let login = part.login(Push::METHOD, &image).await?;
        part.carry(&PushAs { push, login }, &feeding).await
    };
    let done = done.await;
    recorded.end(done.clone()).await.and(done)
}

async fn updates(hub: Arc<Hub>, asked: Asked, call: Updates) -> Result<Compared, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let part = Part { hub: &hub, caller: &caller, trace: asked.trace, host: call.host };
    let list = images::List::default();
    part.allowed(&part.header(images::List::METHOD, Kind::Call, list.resource())).await?;
    let client = Client::new(hub.fleet.link(call.host)?);
    let listing = client.call_for(&caller, Some(call.host), &list, QUESTION).await?;
    let wanted: BTreeSet<String> = call
        .images
        .iter()
        .map(|name| Reference::parse(name).map(|read| read.to_string()))
        .collect::<Result<_, _>>()
        .map_err(CallError::malformed)?;
    let mut there: BTreeMap<String, (Reference, Vec<String>)> = BTreeMap::new();
    for image in &listing.images {
        for tag in &image.tags {
            let Ok(read) = Reference::parse(tag) else { continue };
            let name = read.to_string();
            if wanted.is_empty() || wanted.contains(&name) {
                let has = digests_in(image, &read);
                there.insert(name, (read, has));
            }
        }
    }
    let missing = wanted.iter().filter(|name| !there.contains_key(*name)).map(|name| Update {
        image: name.clone(),
        why: "the host has no image of this name".to_owned(),
        ..Update::default()
    });
    let missing: Vec<_> = missing.collect();
    // Each registry is looked up once.
    let mut webs: BTreeMap<String, Option<Web>> = BTreeMap::new();
    for (read, _) in there.values() {
        if !webs.contains_key(&read.registry) {
            let known = registries::known(&hub, &read.registry)?;
            webs.insert(read.registry.clone(), known.map(Web::new));
        }
    }
    let one = async |(name, (read, has)): (String, (Reference, Vec<String>))| {
        let web = webs.get(&read.registry).cloned().flatten();
        compare(web.as_ref(), name, &read, has).await
    };
    let mut images: Vec<Update> =
        futures::stream::iter(there).map(one).buffered(AT_ONCE).collect().await;
    images.extend(missing);
    Ok(Compared { images })
}

/// The digests by which an image was in the registry of this name.
fn digests_in(image: &Image, name: &Reference) -> Vec<String> {
    let of = image.digests.iter().filter_map(|digest| Reference::parse(digest).ok());
    let same = of.filter(|of| of.registry == name.registry && of.repository == name.repository);
    same.filter_map(|of| of.digest).collect()
}

async fn compare(web: Option<&Web>, image: String, read: &Reference, has: Vec<String>) -> Update {
    let first = has.first().cloned().unwrap_or_default();
    let mut update = Update { image, has: first, ..Update::default() };
    let Some(web) = web else {
        update.why = unknown(&read.registry).message;
        return update;
    };
    match web.digest(&read.repository, read.tag.as_deref().unwrap_or("latest")).await {
        Ok(digest) => {
            if has.contains(&digest) {
                update.has.clone_from(&digest);
            }
            update.available = !update.has.is_empty() && update.has != digest;
            update.registry_has = digest;
        }
        Err(e) => update.why = e.message,
    }
    update
}
