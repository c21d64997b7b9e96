//! `docker pull`, `push`, `outdated` and `registry`.

use super::images::{image, named};
use super::told;
use crate::App;
use crate::args::{self, Yes};
use crate::commands::processes::about;
use crate::connect::{AT_ONCE, Hub, Target};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_protocol::images::{Layer, Moved, Progress, Reference, check_registry};
use cmdr_protocol::registries::{
    Catalog, Delete, DeleteTag, List, Manifest, Names, Pull, Push, Put, Registry, Tags, Update,
    Updates,
};
use cmdr_protocol::{CallError, Feed};
use futures::StreamExt as _;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Registries may be far away.
const PATIENCE: Duration = Duration::from_mins(2);

/// Bring images from their registries to hosts.
#[derive(Debug, Args)]
pub(super) struct PullArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Their names.
    #[arg(required = true, value_name = "IMAGE", value_parser = named)]
    images: Vec<String>,

    /// For another platform than the host's own, such as linux/arm64.
    #[arg(long, default_value = "", hide_default_value = true)]
    platform: String,
}

/// Bring images from a host to the registries that their names say.
#[derive(Debug, Args)]
pub(super) struct PushArgs {
    /// Which host.
    host: String,

    /// Their names.
    #[arg(required = true, value_name = "IMAGE", value_parser = named)]
    images: Vec<String>,
}

/// Show for which images of hosts their registries have something newer.
///
/// Only registries that the hub knows are asked.
#[derive(Debug, Args)]
pub(super) struct OutdatedArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Only these images.
    #[arg(value_name = "IMAGE", value_parser = image)]
    images: Vec<String>,

    /// Also images that are up to date, and those of which it is not known.
    #[arg(short, long)]
    all: bool,
}

/// Registries of images: which the hub knows, and what is in them.
#[derive(Debug, Args)]
pub(super) struct RegistryArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List the registries that the hub knows.
    Ls,
    /// Tell the hub who it is to a registry; the password is read from standard input, or asked for without being
    /// shown.
    Add(AddArgs),
    /// Let the hub forget a registry.
    Rm(RmArgs),
    /// List its repositories.
    Catalog(CatalogArgs),
    /// List the tags of a repository.
    Tags(TagsArgs),
    /// Show what an image there is made of.
    Manifest(ManifestArgs),
    /// Delete a tag with the image that it names.
    Rmtag(RmtagArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Its host, with a port or without, as names of images begin; docker.io for the usual one.
    #[arg(value_parser = registry)]
    registry: String,

    /// The name; without one the hub is nobody there.
    #[arg(short, long, default_value = "", hide_default_value = true)]
    username: String,

    /// It is asked without encryption: whoever is on the way can read the password.
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, Args)]
struct RmArgs {
    /// Which.
    #[arg(value_parser = registry)]
    registry: String,

    #[command(flatten)]
    yes: Yes,
}

#[derive(Debug, Args)]
struct CatalogArgs {
    /// Which.
    #[arg(value_parser = registry)]
    registry: String,
}

#[derive(Debug, Args)]
struct TagsArgs {
    /// REGISTRY/REPOSITORY, as names of images are written.
    #[arg(value_parser = named)]
    repository: String,
}

#[derive(Debug, Args)]
struct ManifestArgs {
    /// The name of an image.
    #[arg(value_parser = named)]
    image: String,
}

#[derive(Debug, Args)]
struct RmtagArgs {
    /// The name of an image, with its tag.
    #[arg(value_parser = named)]
    image: String,

    /// Also when other tags of the same image go with it.
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    yes: Yes,
}

fn registry(text: &str) -> Result<String, String> {
    check_registry(text).map(|()| text.to_owned())
}

/// How far it is on all hosts, as one line on a terminal; nothing anywhere else.
struct Line {
    shown: bool,
    layers: Mutex<BTreeMap<(usize, String), Layer>>,
}

impl Line {
    fn new(app: &App) -> Self {
        Self { shown: app.out.tty_err && !app.out.quiet, layers: Mutex::default() }
    }

    fn tell(&self, of: usize, layers: Vec<Layer>) {
        let mut known = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(layers.into_iter().map(|layer| ((of, layer.id.clone()), layer)));
        if self.shown {
            // Nobody can be told that standard error does not work.
            write!(std::io::stderr().lock(), "\r\x1b[K{}", line(&known)).ok();
        }
    }

    fn end(&self) {
        if self.shown {
            write!(std::io::stderr().lock(), "\r\x1b[K").ok();
        }
    }
}

fn is_done(layer: &Layer) -> bool {
    let done =
        ["Pull complete", "Already exists", "Pushed", "Layer already exists", "Mounted from"];
    done.iter().any(|word| layer.status.starts_with(word))
}

fn line(known: &BTreeMap<(usize, String), Layer>) -> String {
    let done = known.values().filter(|layer| is_done(layer)).count();
    let busy = known.values().filter(|layer| layer.total > 0 && !is_done(layer));
    let (current, total) =
        busy.fold((0, 0), |(c, t), layer| (c + layer.current.min(layer.total), t + layer.total));
    let mut text = format!("{done} of {} layers", known.len());
    if total > 0 {
        text = format!("{text}, {} of {}", human::bytes(current), human::bytes(total));
    }
    text
}

/// What came of a pull or push as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    host: String,
    image: String,
    digest: String,
    status: String,
}

async fn follow<F: Feed<Item = Progress>>(
    app: &App,
    hub: &Hub,
    order: &F,
    line: &Line,
    (at, name): (usize, &str),
) -> Result<Moved, CallError> {
    let mut feed = hub.client.feed(None, order).await?;
    while let Some(item) = feed.next().await {
        let item = item?;
        for layer in &item.layers {
            app.out.detail(&format!("{name}: {} {}", layer.id, layer.status));
        }
        line.tell(at, item.layers);
        if let Some(moved) = item.moved {
            return Ok(moved);
        }
    }
    Err(CallError::lost("the hub ended half-way"))
}

async fn all<F: Feed<Item = Progress>>(
    app: &App,
    hub: &Hub,
    orders: Vec<(&Target, &String, F)>,
) -> Result<Exit, Failure> {
    let line = &Line::new(app);
    let one = async |(at, (target, image, order)): (usize, (&Target, &String, F))| {
        let name = format!("{} {image}", target.name);
        let done = follow(app, hub, &order, line, (at, &name)).await;
        (target.name.clone(), image.clone(), done)
    };
    let orders = futures::stream::iter(orders.into_iter().enumerate());
    let ended: Vec<_> = orders.map(one).buffered(AT_ONCE).collect().await;
    line.end();
    let (mut rows, mut exit) = (Vec::new(), Exit::Ok);
    for (host, image, done) in ended {
        match done {
            Ok(Moved { digest, status }) => rows.push(Outcome { host, image, digest, status }),
            Err(error) => {
                let failure = Failure::from(error);
                app.out.warn(&about(&host, &failure.message));
                exit = exit.worst(failure.exit);
            }
        }
    }
    let columns = [
        Column::text("HOST", |o: &Outcome| o.host.as_str().into()),
        Column::text("IMAGE", |o: &Outcome| o.image.as_str().into()),
        Column::text("DIGEST", |o: &Outcome| o.digest.as_str().into()),
        Column::text("STATUS", |o: &Outcome| o.status.as_str().into()).wide(),
    ];
    if !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &columns, |o| format!("{}/{}", o.host, o.image))?;
    }
    Ok(exit)
}

pub(super) async fn pull(app: &App, args: &PullArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let mut orders = Vec::new();
    for target in &targets {
        for name in &args.images {
            let (image, platform) = (name.clone(), args.platform.clone());
            orders.push((target, name, Pull { host: target.id, image, platform }));
        }
    }
    all(app, &hub, orders).await
}

/// Fetches one image on these hosts. Why it does not come is said; whoever needs it finds out whether it is there.
pub(super) async fn fetch(app: &App, hub: &Hub, hosts: &[&Target], image: &str, platform: &str) {
    let line = &Line::new(app);
    let one = async |(at, host): (usize, &&Target)| {
        let (image, platform) = (image.to_owned(), platform.to_owned());
        let name = format!("{} {image}", host.name);
        let pull = Pull { host: host.id, image, platform };
        (host.name.clone(), follow(app, hub, &pull, line, (at, &name)).await)
    };
    let hosts = futures::stream::iter(hosts.iter().enumerate());
    let ended: Vec<_> = hosts.map(one).buffered(AT_ONCE).collect().await;
    line.end();
    for (host, done) in ended {
        if let Err(error) = done {
            app.out.warn(&about(&host, &Failure::from(error).message));
        }
    }
}

pub(super) async fn push(app: &App, args: &PushArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let order = |name: &String| Push { host: host.id, image: name.clone() };
    let orders = args.images.iter().map(|name| (&host, name, order(name))).collect();
    all(app, &hub, orders).await
}

/// An image and what its registry has, as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Compared {
    host: String,
    image: String,
    digest: String,
    registry_digest: String,
    update_available: bool,
    why: String,
}

pub(super) async fn outdated(app: &App, args: &OutdatedArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let patience = app.patience_or(PATIENCE);
    let (mut rows, mut exit) = (Vec::new(), Exit::Ok);
    for target in &targets {
        let call = Updates { host: target.id, images: args.images.clone() };
        match hub.client.call(None, &call, patience).await.map_err(Failure::from) {
            Ok(found) => rows.extend(
                found.images.into_iter().filter(|update| args.all || update.available).map(
                    |update: Update| Compared {
                        host: target.name.clone(),
                        image: update.image,
                        digest: update.has,
                        registry_digest: update.registry_has,
                        update_available: update.available,
                        why: update.why,
                    },
                ),
            ),
            Err(failure) => {
                app.out.warn(&about(&target.name, &failure.message));
                exit = exit.worst(failure.exit);
            }
        }
    }
    let columns = [
        Column::text("HOST", |c: &Compared| c.host.as_str().into()),
        Column::text("IMAGE", |c: &Compared| c.image.as_str().into()),
        Column::text("UPDATE", |c: &Compared| {
            if c.update_available {
                return Cell::painted("available", Paint::Warn);
            }
            let known = c.why.is_empty() && !c.digest.is_empty();
            if known {
                Cell::painted("none", Paint::Good)
            } else {
                Cell::painted("unknown", Paint::Dim)
            }
        }),
        Column::text("HAS", |c: &Compared| told::short(&c.digest).into()),
        Column::text("REGISTRY HAS", |c: &Compared| told::short(&c.registry_digest).into()),
        Column::text("WHY", |c: &Compared| c.why.as_str().into()).wide(),
    ];
    app.out.list(&rows, &columns, |c| format!("{}/{}", c.host, c.image))?;
    Ok(exit)
}

pub(super) async fn run(app: &App, args: &RegistryArgs) -> Result<Exit, Failure> {
    match &args.act {
        Act::Ls => list(app).await,
        Act::Add(args) => add(app, args).await,
        Act::Rm(args) => {
            let hub = Hub::connect(app).await?;
            let delete = Delete { registry: args.registry.clone() };
            let question = format!("The hub forgets who it is to {}.", args.registry);
            hub.confirm(app, args.yes, (&delete, None), (&question, &args.registry)).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("registry {} forgotten", args.registry));
            Ok(Exit::Ok)
        }
        Act::Catalog(args) => {
            let hub = Hub::connect(app).await?;
            let page = async |after: String| {
                let call = Catalog { registry: args.registry.clone(), after };
                hub.client.call(None, &call, app.patience_or(PATIENCE)).await
            };
            names(app, "REPOSITORY", page).await
        }
        Act::Tags(args) => {
            let hub = Hub::connect(app).await?;
            let name = read(&args.repository)?;
            let page = async |after: String| {
                let (registry, repository) = (name.registry.clone(), name.repository.clone());
                let call = Tags { registry, repository, after };
                hub.client.call(None, &call, app.patience_or(PATIENCE)).await
            };
            names(app, "TAG", page).await
        }
        Act::Manifest(args) => manifest(app, args).await,
        Act::Rmtag(args) => remove_tag(app, args).await,
    }
}

fn read(name: &str) -> Result<Reference, Failure> {
    Reference::parse(name).map_err(Failure::usage)
}

/// Pages that are asked for at most; what is behind them is said to be there.
const PAGES: usize = 100;

async fn names(
    app: &App,
    head: &'static str,
    page: impl AsyncFn(String) -> Result<Names, CallError>,
) -> Result<Exit, Failure> {
    #[derive(Serialize)]
    struct Row {
        #[serde(rename = "Name")]
        name: String,
    }
    let mut rows: Vec<Row> = Vec::new();
    for turn in 0.. {
        let after = rows.last().map(|row| row.name.clone()).unwrap_or_default();
        let found = page(after).await.map_err(Failure::from_hub)?;
        let more = found.more && !found.names.is_empty();
        rows.extend(found.names.into_iter().map(|name| Row { name }));
        if !more {
            break;
        }
        if turn >= PAGES {
            app.out.note("there are more, which are left out");
            break;
        }
    }
    let columns = [Column::text(head, |row: &Row| row.name.as_str().into())];
    app.out.list(&rows, &columns, |row| row.name.clone())?;
    Ok(Exit::Ok)
}

async fn list(app: &App) -> Result<Exit, Failure> {
    #[derive(Serialize)]
    struct Row {
        registry: String,
        username: String,
        plain: bool,
        put: String,
        put_by: String,
    }
    let listing = Hub::connect(app).await?.ask(&List {}).await?;
    let row = |registry: Registry| Row {
        registry: registry.registry,
        username: registry.username,
        plain: registry.plain,
        put: human::moment(registry.set_ms),
        put_by: registry.set_by,
    };
    let rows: Vec<_> = listing.registries.into_iter().map(row).collect();
    let columns = [
        Column::text("REGISTRY", |row: &Row| row.registry.as_str().into()),
        Column::text("USERNAME", |row: &Row| told::or_none(&row.username)),
        Column::text("ENCRYPTED", |row: &Row| {
            if row.plain { Cell::painted("no", Paint::Warn) } else { "yes".into() }
        }),
        Column::text("PUT", |row: &Row| row.put.as_str().into()).wide(),
        Column::text("BY", |row: &Row| row.put_by.as_str().into()),
    ];
    app.out.list(&rows, &columns, |row| row.registry.clone())?;
    Ok(Exit::Ok)
}

async fn add(app: &App, args: &AddArgs) -> Result<Exit, Failure> {
    let password = if args.username.is_empty() {
        String::new()
    } else {
        let question = format!("Password of {} at {}", args.username, args.registry);
        crate::secret::ask(&question).await?.as_str().to_owned()
    };
    let put = Put {
        registry: args.registry.clone(),
        username: args.username.clone(),
        password,
        plain: args.plain,
    };
    let kept = Hub::connect(app).await?.ask(&put).await?;
    let word = if kept.replaced { "replaced" } else { "kept" };
    app.out.note(&format!("registry {} {word}", args.registry));
    Ok(Exit::Ok)
}

async fn manifest(app: &App, args: &ManifestArgs) -> Result<Exit, Failure> {
    let name = read(&args.image)?;
    let hub = Hub::connect(app).await?;
    let reference = name.digest.clone().or_else(|| name.tag.clone()).unwrap_or_default();
    let call = Manifest { registry: name.registry, repository: name.repository, reference };
    let found = hub.client.call(None, &call, app.patience_or(PATIENCE)).await;
    let found = found.map_err(Failure::from_hub)?;
    app.out.detail(&format!("{} {}", found.digest, found.media_type));
    let value: serde_json::Value = serde_json::from_str(&found.json)
        .map_err(|e| Failure::failed(format!("{}: {e}", args.image)))?;
    if !app.out.format.is_table() {
        app.out.one(&value, &[("json", found.json.clone())], &found.digest)?;
        return Ok(Exit::Ok);
    }
    let text = crate::output::json(&value)?;
    let lines = text.lines().map(|line| cmdr_protocol::display::clean(line).into_owned() + "\n");
    app.out.data(&lines.collect::<String>())?;
    Ok(Exit::Ok)
}

async fn remove_tag(app: &App, args: &RmtagArgs) -> Result<Exit, Failure> {
    let name = read(&args.image)?;
    let Some(tag) = name.tag.clone().filter(|_| name.digest.is_none()) else {
        return Err(Failure::usage("a tag is deleted by its name: REGISTRY/REPOSITORY:TAG"));
    };
    let hub = Hub::connect(app).await?;
    let (registry, repository) = (name.registry.clone(), name.repository.clone());
    let call = DeleteTag { registry, repository, tag: tag.clone(), force: args.force };
    let question =
        format!("{name} is deleted from {} with the image that it names.", name.registry);
    hub.confirm(app, args.yes, (&call, None), (&question, &tag)).await?;
    let gone = hub.client.call(None, &call, app.patience_or(PATIENCE)).await;
    let gone = gone.map_err(Failure::from_hub)?;
    app.out.note(&format!("{} is gone, with the tags {}", gone.digest, gone.tags.join(", ")));
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_layers_that_are_there_and_bytes_of_those_under_way() {
        let layer = |id: &str, status: &str, current, total| {
            let layer = Layer { id: id.into(), status: status.into(), current, total };
            ((0, id.to_owned()), layer)
        };
        let known = BTreeMap::from([
            layer("a", "Already exists", 0, 0),
            layer("b", "Downloading", 512, 1024),
            layer("c", "Waiting", 0, 0),
        ]);
        assert_eq!(line(&known), "1 of 3 layers, 512 of 1.0K");
    }
}
