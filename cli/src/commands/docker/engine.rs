//! `docker info|df|events|prune`: the engine as a whole.

use super::{Of, ask_each};
use crate::App;
use crate::args::{self, Yes};
use crate::commands::interrupted;
use crate::commands::processes::about;
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint, json_line};
use clap::Args;
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean;
use cmdr_protocol::engine::{
    About, Disk, Event, Events, Info, Kind, Leftover, Prune, Room, Unused,
};
use cmdr_protocol::human::{duration, moment};
use futures::StreamExt as _;
use futures::stream::SelectAll;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an engine may count what takes room unless `--timeout` says otherwise.
const COUNTING: Duration = Duration::from_mins(2);
/// As many as are cleared away with one question.
const AT_ONCE: usize = 200;

/// Show what the engine of each host is.
#[derive(Debug, Args)]
pub(super) struct InfoArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,
}

/// Show the room that images, containers, volumes and leftovers of building take.
#[derive(Debug, Args)]
pub(super) struct DfArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,
}

/// Show what happens in the engines as it happens, until Ctrl-C.
#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Begin so long ago, such as 10m, as far as the engine still knows.
    #[arg(long, value_name = "SPAN", value_parser = duration)]
    since: Option<Duration>,

    /// Only about these: container, image, volume, network, daemon and so on, separated by commas.
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    r#type: Vec<String>,
}

/// Clear away what nobody uses: first it is listed, then exactly that is removed.
///
/// Containers that are stopped, networks without containers, images without a name, and leftovers of building;
/// what came into use meanwhile stays.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PruneArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Only these: container, image, network, volume, cache, separated by commas; volumes only when they are
    /// named here.
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    only: Vec<Kind>,

    /// Also images that have a name, and volumes that have one.
    #[arg(short, long)]
    all: bool,

    /// Only what is older than this: 24h, 7d.
    #[arg(long, value_name = "SPAN", value_parser = duration)]
    older: Option<Duration>,

    /// Only what has this label.
    #[arg(long, value_name = "NAME[=VALUE]", default_value = "", hide_default_value = true)]
    label: String,

    /// Show what would go, and remove nothing.
    #[arg(long)]
    plan: bool,

    #[command(flatten)]
    yes: Yes,
}

const EXAMPLES: &str = "\
Examples:
  cmdr docker prune 'web*' --plan                 what would go
  cmdr docker prune web1 --only image --all       images that no container is made of
  cmdr docker prune 'env=ci' --older 7d --yes     everything unused that is older than a week";

fn kind(text: &str) -> Result<Kind, String> {
    match Kind::parse(text) {
        Kind::Unknown => {
            Err(format!("'{text}' is none of container, image, network, volume and cache"))
        }
        kind => Ok(kind),
    }
}

/// An engine as data, in the words of `docker info --format json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct InfoRow {
    name: String,
    server_version: String,
    #[serde(rename = "APIVersion")]
    api_version: String,
    operating_system: String,
    kernel_version: String,
    architecture: String,
    #[serde(rename = "NCPU")]
    ncpu: u32,
    mem_total: u64,
    docker_root_dir: String,
    driver: String,
    logging_driver: String,
    cgroup: String,
    default_runtime: String,
    containers: u32,
    containers_running: u32,
    containers_paused: u32,
    containers_stopped: u32,
    images: u32,
    swarm: String,
    warnings: Vec<String>,
}

impl From<About> for InfoRow {
    fn from(about: About) -> Self {
        Self {
            name: about.name,
            server_version: about.version,
            api_version: about.api,
            operating_system: about.system,
            kernel_version: about.kernel,
            architecture: about.architecture,
            ncpu: about.cpus,
            mem_total: about.memory,
            docker_root_dir: about.root,
            driver: about.storage,
            logging_driver: about.logging,
            cgroup: about.cgroups,
            default_runtime: about.runtime,
            containers: about.running + about.paused + about.stopped,
            containers_running: about.running,
            containers_paused: about.paused,
            containers_stopped: about.stopped,
            images: about.images,
            swarm: about.swarm,
            warnings: about.warnings,
        }
    }
}

pub(super) async fn info(app: &App, args: &InfoArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let asked = ask_each(app, &hub, &args.selector, &Info {}, app.patience()).await?;
    let mut rows = Vec::new();
    for (target, about) in asked.replies {
        rows.push(Of { host: target.name, row: InfoRow::from(about) });
    }
    let columns = [
        Column::text("HOST", |r: &Of<InfoRow>| r.host.as_str().into()),
        Column::text("ENGINE", |r: &Of<InfoRow>| r.row.server_version.as_str().into()),
        Column::text("API", |r: &Of<InfoRow>| r.row.api_version.as_str().into()).wide(),
        Column::figure("RUNNING", |r: &Of<InfoRow>| r.row.containers_running.to_string().into()),
        Column::figure("PAUSED", |r: &Of<InfoRow>| r.row.containers_paused.to_string().into()),
        Column::figure("STOPPED", |r: &Of<InfoRow>| r.row.containers_stopped.to_string().into()),
        Column::figure("IMAGES", |r: &Of<InfoRow>| r.row.images.to_string().into()),
        Column::text("STORAGE", |r: &Of<InfoRow>| r.row.driver.as_str().into()),
        Column::text("LOGS", |r: &Of<InfoRow>| r.row.logging_driver.as_str().into()).wide(),
        Column::text("CGROUPS", |r: &Of<InfoRow>| r.row.cgroup.as_str().into()).wide(),
        Column::text("SWARM", |r: &Of<InfoRow>| r.row.swarm.as_str().into()).wide(),
        Column::text("ROOT", |r: &Of<InfoRow>| r.row.docker_root_dir.as_str().into()),
    ];
    show(app, asked.exit, &rows, &columns)?;
    if app.out.format.is_table() {
        for row in &rows {
            for warning in &row.row.warnings {
                app.out.note(&about(&row.host, warning));
            }
        }
    }
    Ok(asked.exit)
}

fn show<T: Serialize>(
    app: &App,
    exit: Exit,
    rows: &[Of<T>],
    columns: &[Column<Of<T>>],
) -> Result<(), Failure> {
    if exit == Exit::Ok || !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(rows, columns, |row| row.host.clone())?;
    }
    Ok(())
}

/// A kind of things as data, in the words of `docker system df --format json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DfRow {
    r#type: &'static str,
    total_count: String,
    active: String,
    size: String,
    reclaimable: String,
    size_bytes: u64,
    reclaimable_bytes: u64,
}

impl From<Room> for DfRow {
    fn from(room: Room) -> Self {
        let share = (room.reclaimable * 100).checked_div(room.size).unwrap_or_default();
        Self {
            r#type: match room.kind {
                Kind::Image => "Images",
                Kind::Container => "Containers",
                Kind::Volume => "Local Volumes",
                Kind::Cache => "Build Cache",
                Kind::Network => "Networks",
                Kind::Unknown => "Others",
            },
            total_count: room.total.to_string(),
            active: room.active.to_string(),
            size: human::bytes(room.size),
            reclaimable: format!("{} ({share}%)", human::bytes(room.reclaimable)),
            size_bytes: room.size,
            reclaimable_bytes: room.reclaimable,
        }
    }
}

pub(super) async fn df(app: &App, args: &DfArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let patience = app.patience_or(COUNTING);
    let asked = ask_each(app, &hub, &args.selector, &Disk {}, patience).await?;
    let rows: Vec<Of<DfRow>> = asked
        .replies
        .into_iter()
        .flat_map(|(target, usage)| {
            let of = move |room| Of { host: target.name.clone(), row: DfRow::from(room) };
            usage.kinds.into_iter().map(of)
        })
        .collect();
    let mut columns = Vec::new();
    if asked.asked > 1 {
        columns.push(Column::text("HOST", |r: &Of<DfRow>| r.host.as_str().into()));
    }
    columns.extend([
        Column::text("TYPE", |r: &Of<DfRow>| r.row.r#type.into()),
        Column::figure("TOTAL", |r: &Of<DfRow>| r.row.total_count.as_str().into()),
        Column::figure("ACTIVE", |r: &Of<DfRow>| r.row.active.as_str().into()),
        Column::figure("SIZE", |r: &Of<DfRow>| r.row.size.as_str().into()),
        Column::figure("RECLAIMABLE", |r: &Of<DfRow>| r.row.reclaimable.as_str().into()),
    ]);
    show(app, asked.exit, &rows, &columns)?;
    Ok(asked.exit)
}

/// An event as data, in the shape of `docker events --format json`.
#[derive(Debug, Serialize)]
struct EventRow<'a> {
    #[serde(rename = "Host")]
    host: &'a str,
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(rename = "Action")]
    action: &'a str,
    #[serde(rename = "Actor")]
    actor: Actor<'a>,
    time: u64,
    #[serde(rename = "timeNano")]
    time_nano: u64,
}

#[derive(Debug, Serialize)]
struct Actor<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    #[serde(rename = "Attributes")]
    attributes: BTreeMap<&'a str, &'a str>,
}

impl<'a> EventRow<'a> {
    fn new(host: &'a str, event: &'a Event) -> Self {
        let mut attributes: BTreeMap<_, _> =
            event.more.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        if !event.name.is_empty() {
            attributes.insert("name", &event.name);
        }
        Self {
            host,
            kind: &event.kind,
            action: &event.action,
            actor: Actor { id: &event.id, attributes },
            time: event.at_ms / 1000,
            time_nano: event.at_ms * 1_000_000,
        }
    }
}

/// What people read of one.
fn line(host: Option<&str>, event: &Event) -> String {
    let short = event.id.strip_prefix("sha256:").unwrap_or(&event.id);
    let short = if short.len() == 64 { &short[..12] } else { short };
    let name = if event.name.is_empty() { short } else { event.name.as_str() };
    let mut text = moment(event.at_ms);
    for word in host.into_iter().chain([event.kind.as_str(), event.action.as_str(), name]) {
        text.push(' ');
        text.push_str(&clean(word));
    }
    for key in ["image", "exitCode", "container", "driver"] {
        if let Some(value) = event.more.get(key) {
            text.extend([" ", key, "=", &clean(value)]);
        }
    }
    text + "\n"
}

pub(super) async fn events(app: &App, args: &EventsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let call = Events {
        back_s: args.since.map_or(0, |since| since.as_secs()),
        kinds: args.r#type.clone(),
    };
    let mut feeds = SelectAll::new();
    let mut exit = Exit::Ok;
    for target in &targets {
        match hub.client.feed(Some(target.id), &call).await {
            Ok(feed) => feeds.push(
                futures::stream::unfold(Some(feed), move |feed| async move {
                    let mut feed = feed?;
                    let item = feed.next().await?;
                    let feed = item.is_ok().then_some(feed);
                    Some(((target, item), feed))
                })
                .boxed(),
            ),
            Err(error) => exit = exit.worst(gone(app, target, error)),
        }
    }
    let told = async {
        while let Some((target, event)) = feeds.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    exit = exit.worst(gone(app, target, error));
                    continue;
                }
            };
            if event.lost > 0 {
                app.out.note(&about(&target.name, &format!("{} events were left out", event.lost)));
            }
            if app.out.format.is_table() {
                let host = (targets.len() > 1).then_some(target.name.as_str());
                app.out.data(&line(host, &event))?;
            } else {
                app.out.data(&json_line(&EventRow::new(&target.name, &event))?)?;
            }
        }
        Ok(exit)
    };
    tokio::select! {
        biased;
        () = interrupted() => Ok(Exit::Ok),
        told = told => told,
    }
}

fn gone(app: &App, target: &Target, error: CallError) -> Exit {
    let failure = Failure::from(error);
    app.out.warn(&about(&target.name, &failure.message));
    failure.exit
}

/// Something that is not used, or what became of it, as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PruneRow {
    kind: Kind,
    #[serde(rename = "ID")]
    id: String,
    name: String,
    size: u64,
    created_at: Option<String>,
    removed: bool,
    error: Option<String>,
}

impl PruneRow {
    fn new(thing: &Leftover) -> Self {
        Self {
            kind: thing.kind,
            id: thing.id.clone(),
            name: thing.name.clone(),
            size: thing.size,
            created_at: (thing.created_s > 0).then(|| moment(thing.created_s * 1000)),
            removed: false,
            error: None,
        }
    }

    fn shown(&self) -> &str {
        let short = self.id.strip_prefix("sha256:").unwrap_or(&self.id);
        if !self.name.is_empty() {
            return &self.name;
        }
        short.get(..12).unwrap_or(short)
    }
}

pub(super) async fn prune(app: &App, args: &PruneArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let call = Unused {
        kinds: args.only.clone(),
        all: args.all,
        older_s: args.older.map_or(0, |older| older.as_secs()),
        label: args.label.clone(),
    };
    let patience = app.patience_or(COUNTING);
    let asked = ask_each(app, &hub, &args.selector, &call, patience).await?;
    let (mut exit, mut rows) = (asked.exit, Vec::new());
    for (target, found) in &asked.replies {
        if found.left_out > 0 {
            let text = format!("{} more are left out; prune again for them", found.left_out);
            app.out.note(&about(&target.name, &text));
        }
        let of = |thing| Of { host: target.name.clone(), row: PruneRow::new(thing) };
        rows.extend(found.things.iter().map(of));
    }
    if args.plan || rows.is_empty() {
        show(app, exit, &rows, &leftovers(asked.asked > 1, false))?;
        return Ok(exit);
    }
    let size: u64 = rows.iter().map(|row| row.row.size).sum();
    if !args.yes.yes && app.out.format.is_table() {
        show(app, exit, &rows, &leftovers(asked.asked > 1, false))?;
    }
    let hosts = asked.replies.iter().filter(|(_, found)| !found.things.is_empty()).count();
    let many = rows.len();
    let question = format!("remove these {many} on {hosts} host(s), about {}?", human::bytes(size));
    app.out.confirm(args.yes.yes, &question, &many.to_string()).await?;
    let mut at = 0;
    for (target, found) in &asked.replies {
        for things in found.things.chunks(AT_ONCE) {
            let rows = &mut rows[at..at + things.len()];
            at += things.len();
            if let Err(error) = clear(&hub, target, things, rows).await {
                exit = exit.worst(gone(app, target, error));
                break;
            }
        }
    }
    if rows.iter().any(|row| row.row.error.is_some()) {
        exit = exit.worst(Exit::Failed);
    }
    show(app, exit, &rows, &leftovers(asked.asked > 1, true))?;
    let freed: u64 = rows.iter().filter(|row| row.row.removed).map(|row| row.row.size).sum();
    app.out.note(&format!("about {} came free", human::bytes(freed)));
    Ok(exit)
}

/// Removes some things of one host, and writes down what became of each.
async fn clear(
    hub: &Hub,
    target: &Target,
    things: &[Leftover],
    rows: &mut [Of<PruneRow>],
) -> Result<(), CallError> {
    let mut feed = hub.client.feed(Some(target.id), &Prune { things: things.to_vec() }).await?;
    while let Some(pruned) = feed.next().await {
        let pruned = pruned?;
        let row = rows.iter_mut().find(|of| of.row.kind == pruned.kind && of.row.id == pruned.id);
        if let Some(of) = row {
            of.row.removed = pruned.error.is_empty();
            of.row.error = (!pruned.error.is_empty()).then_some(pruned.error);
        }
    }
    Ok(())
}

fn leftovers(many: bool, done: bool) -> Vec<Column<Of<PruneRow>>> {
    let mut columns = Vec::new();
    if many {
        columns.push(Column::text("HOST", |r: &Of<PruneRow>| r.host.as_str().into()));
    }
    columns.extend([
        Column::text("KIND", |r: &Of<PruneRow>| r.row.kind.as_str().into()),
        Column::text("NAME", |r: &Of<PruneRow>| r.row.shown().into()),
        Column::text("ID", |r: &Of<PruneRow>| r.row.id.as_str().into()).wide(),
        Column::figure("SIZE", |r: &Of<PruneRow>| human::bytes(r.row.size).into()),
        Column::text("CREATED", |r: &Of<PruneRow>| {
            r.row.created_at.as_deref().unwrap_or_default().into()
        }),
    ]);
    if done {
        columns.push(Column::text("RESULT", |r: &Of<PruneRow>| match &r.row.error {
            Some(error) => Cell::painted(error.as_str(), Paint::Bad),
            None if r.row.removed => Cell::painted("removed", Paint::Good),
            None => Cell::painted("not tried", Paint::Warn),
        }));
    }
    columns
}
