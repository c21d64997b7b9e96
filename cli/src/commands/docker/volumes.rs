//! `docker volume`.

use super::told;
use crate::App;
use crate::args::{self, Yes};
use crate::commands::files::{self, place::Remote};
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::Column;
use clap::{Args, Subcommand};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::images::check_name;
use cmdr_protocol::volumes::{Create, CreateSpecial, Inspect, List, Listing, Remove, Volume};
use serde::Serialize;

/// Show volumes of one host or more, make them and take them away.
#[derive(Debug, Args)]
pub(super) struct VolumeArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List volumes.
    Ls(LsArgs),
    /// Show all that the engine says about one.
    Inspect(InspectArgs),
    /// Make one.
    Create(CreateArgs),
    /// Take volumes away with all that is in them.
    Rm(RmArgs),
    /// List files in one.
    Files(FilesArgs),
    /// Write all that is in one to standard output as one tar.zst.
    ///
    /// What is written into it meanwhile may be in it or not: stop what uses it first, where that matters.
    Backup(BackupArgs),
    /// Lay a tar from standard input out in one, which is made if it is not there.
    Restore(RestoreArgs),
}

#[derive(Debug, Args)]
struct LsArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// With how much is in each, which takes its time.
    #[arg(short, long)]
    size: bool,

    /// Only those that no container uses.
    #[arg(long)]
    unused: bool,
}

#[derive(Debug, Args)]
struct InspectArgs {
    /// Which host.
    host: String,

    /// Its name.
    #[arg(value_parser = name)]
    volume: String,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Its name.
    #[arg(value_parser = name)]
    volume: String,

    /// Written on it: KEY=VALUE.
    #[arg(short, long, value_parser = pair)]
    label: Vec<(String, String)>,

    /// Kept by this plugin; takes the right volumes.create-special.
    #[arg(short, long, default_value = "")]
    driver: String,

    /// Told to its driver: KEY=VALUE; takes the right volumes.create-special.
    #[arg(long = "opt", value_parser = pair)]
    opt: Vec<(String, String)>,
}

#[derive(Debug, Args)]
struct RmArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Their names.
    #[arg(required = true, value_name = "VOLUME", value_parser = name)]
    volumes: Vec<String>,

    /// Also when its driver is there no more.
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    yes: Yes,
}

#[derive(Debug, Args)]
struct FilesArgs {
    /// Which host.
    host: String,

    /// Its name.
    #[arg(value_parser = name)]
    volume: String,

    /// A folder in it.
    #[arg(default_value = "/", hide_default_value = true)]
    path: String,
}

#[derive(Debug, Args)]
struct BackupArgs {
    /// Which host.
    host: String,

    /// Its name.
    #[arg(value_parser = name)]
    volume: String,
}

#[derive(Debug, Args)]
struct RestoreArgs {
    /// Which host.
    host: String,

    /// Its name.
    #[arg(value_parser = name)]
    volume: String,

    /// Also when containers use it, and in the place of files that are there.
    #[arg(short, long)]
    force: bool,
}

fn name(text: &str) -> Result<String, String> {
    check_name("volume", text).map(|()| text.to_owned())
}

/// `KEY=VALUE`, as the engine takes labels and options.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        None if !text.is_empty() => Ok((text.to_owned(), String::new())),
        _ => Err(format!("'{text}' is not KEY=VALUE")),
    }
}

/// A volume as data: the field names are docker's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    host: String,
    name: String,
    driver: String,
    scope: String,
    mountpoint: String,
    created_at: String,
    labels: String,
    size: Option<u64>,
    links: u32,
    used_by: Vec<String>,
}

impl Row {
    fn new(host: &str, volume: Volume) -> Self {
        Self {
            host: host.to_owned(),
            labels: told::labels(&volume.labels),
            name: volume.name,
            driver: volume.driver,
            scope: volume.scope,
            mountpoint: volume.mountpoint,
            created_at: volume.created,
            size: volume.size,
            links: volume.users,
            used_by: volume.used_by,
        }
    }
}

fn columns(many: bool, sizes: bool) -> Vec<Column<Row>> {
    let mut columns = Vec::new();
    if many {
        columns.push(Column::text("HOST", |r: &Row| r.host.as_str().into()));
    }
    columns.push(Column::text("DRIVER", |r: &Row| r.driver.as_str().into()));
    columns.push(Column::text("VOLUME NAME", |r: &Row| r.name.as_str().into()));
    if sizes {
        columns.push(Column::figure("SIZE", |r: &Row| {
            r.size.map(|n| human::bytes(n).into()).unwrap_or_default()
        }));
    }
    columns.extend([
        Column::text("MOUNTPOINT", |r: &Row| r.mountpoint.as_str().into()).wide(),
        Column::text("LABELS", |r: &Row| r.labels.as_str().into()).wide(),
        Column::text("USED BY", |r: &Row| r.used_by.join(",").into()),
    ]);
    columns
}

pub(super) async fn run(app: &App, args: &VolumeArgs) -> Result<Exit, Failure> {
    match &args.act {
        Act::Ls(args) => list(app, args).await,
        Act::Inspect(args) => {
            let call = Inspect { volume: args.volume.clone() };
            told::inspect(app, &args.host, &args.volume, &call).await
        }
        Act::Create(args) => create(app, args).await,
        Act::Rm(args) => remove(app, args).await,
        Act::Files(args) => {
            let at = lies(app, &args.host, &args.volume, &args.path).await?;
            files::ls(app, &files::LsArgs::of(at)).await
        }
        Act::Backup(args) => {
            let at = lies(app, &args.host, &args.volume, "/").await?;
            files::archive(app, &files::ArchiveArgs::of(at)).await
        }
        Act::Restore(args) => restore(app, args).await,
    }
}

/// Where a volume lies on its host, or why nowhere.
fn place(host: &Target, volume: &Volume, path: &str) -> Result<Remote, Failure> {
    let name = &volume.name;
    if volume.driver != "local" || volume.mountpoint.is_empty() {
        let what =
            format!("{name} on {} is kept by {}: it is no folder there", host.name, volume.driver);
        return Err(Failure::failed(what));
    }
    if !volume.options.is_empty() {
        // Its folder is empty as long as no container has it mounted.
        let what = format!("{name} on {} is mounted from elsewhere when it is used", host.name);
        return Err(Failure::failed(what));
    }
    let path = format!("{}/{}", volume.mountpoint, path.trim_matches('/'));
    let path = FilePath::from_bytes(path.trim_end_matches('/').as_bytes())
        .map_err(|e| Failure::usage(e.to_string()))?;
    Ok(Remote { host: host.id.to_string(), path, folder: true })
}

async fn found(hub: &Hub, host: &Target, name: &str) -> Result<Option<Volume>, Failure> {
    let listing = hub.ask_host(host.id, &List::default()).await?;
    Ok(listing.volumes.into_iter().find(|volume| volume.name == name))
}

async fn lies(app: &App, host: &str, name: &str, path: &str) -> Result<Remote, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(host).await?;
    match found(&hub, &host, name).await? {
        Some(volume) => place(&host, &volume, path),
        None => Err(Failure::failed(format!("there is no volume {name} on {}", host.name))),
    }
}

async fn restore(app: &App, args: &RestoreArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let volume = match found(&hub, &host, &args.volume).await? {
        Some(volume) if volume.users > 0 && !args.force => {
            let what = format!(
                "{} on {} is used by {}",
                args.volume,
                host.name,
                volume.used_by.join(", ")
            );
            return Err(Failure::failed(what).hint("stop them first; if it is meant, add --force"));
        }
        Some(volume) => volume,
        None => {
            let create = Create { volume: args.volume.clone(), ..Create::default() };
            hub.ask_host(host.id, &create).await?
        }
    };
    files::unpack(app, &files::UnpackArgs::of(place(&host, &volume, "/")?, args.force)).await
}

async fn list(app: &App, args: &LsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let columns = columns(targets.len() > 1, args.size);
    let rows = |host: &str, listing: Listing| {
        told::left_out(app, host, listing.left_out, "volumes");
        for warning in &listing.warnings {
            app.out.warn(&format!("{host}: {warning}"));
        }
        let volumes = listing.volumes.into_iter().filter(|v| !args.unused || v.users == 0);
        volumes.map(|volume| Row::new(host, volume)).collect()
    };
    let call = List { sizes: args.size };
    told::list(app, &hub, &targets, &call, rows, (&columns, |row| row.name.clone())).await
}

async fn create(app: &App, args: &CreateArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let (volume, labels) = (args.volume.clone(), args.label.iter().cloned().collect());
    let name = volume.clone();
    if args.opt.is_empty() && matches!(args.driver.as_str(), "" | "local") {
        let acts = [(name, Create { volume, labels })];
        return told::act(app, &hub, &targets, &acts, |made| made.mountpoint).await;
    }
    let (driver, options) = (args.driver.clone(), args.opt.iter().cloned().collect());
    let acts = [(name, CreateSpecial { volume, labels, driver, options })];
    told::act(app, &hub, &targets, &acts, |made| made.mountpoint).await
}

async fn remove(app: &App, args: &RmArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let what = format!("remove {} with all that is in it", args.volumes.join(", "));
    told::confirm(app, args.yes, &targets, &what).await?;
    let call = |name: &String| Remove { volume: name.clone(), force: args.force };
    let acts: Vec<_> = args.volumes.iter().map(|name| (name.clone(), call(name))).collect();
    told::act(app, &hub, &targets, &acts, |_| "removed".to_owned()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::HostId;
    use cmdr_protocol::hosts::HostState;

    #[test]
    fn a_path_in_a_volume_does_not_lead_out_of_it() {
        let host = Target { id: HostId([1; 16]), name: "h".into(), state: HostState::Online };
        let volume = Volume {
            driver: "local".into(),
            mountpoint: "/var/lib/docker/volumes/a/_data".into(),
            ..Volume::default()
        };
        let at = |path: &str| place(&host, &volume, path).map(|at| at.path.as_str().to_owned());
        assert_eq!(at("/").unwrap(), volume.mountpoint);
        assert_eq!(at("/x/y/").unwrap(), format!("{}/x/y", volume.mountpoint));
        assert!(at("../../b").is_err());
        let plugin = Volume { driver: "nfs".into(), ..volume };
        assert!(place(&host, &plugin, "/").is_err());
    }
}
