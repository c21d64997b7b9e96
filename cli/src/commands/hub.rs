//! `hub`: what the hub is and how it is, its backup and its check.

mod rotate;

use crate::App;
use crate::connect::Hub;
use crate::exit::{Exit, Failure, unwritten};
use crate::human;
use clap::{Args, Subcommand};
use cmdr_link::files::Partial;
use cmdr_protocol::hub::{Backup, Check, Info};
use std::path::{Path, PathBuf};

/// Show the hub, back it up, check it.
#[derive(Debug, Args)]
pub struct HubArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what the hub is and how it is.
    Info,
    /// Write a copy of everything durable to a file that only you can read. The files of recordings are not in it:
    /// cmdr-hub backup --recordings copies them, on the hub's machine.
    Backup {
        /// The file; one that is there is replaced when the copy is whole.
        file: PathBuf,
    },
    /// Have the hub read and check every record.
    Check,
    /// Give the hub itself another key, step by step, while everybody stays joined.
    RotateKey(rotate::RotateArgs),
    /// Print the hub's card: with it, people log in who have a password. No secret is in it.
    Card,
}

pub(super) async fn run(app: &App, args: &HubArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match args.verb.as_ref().unwrap_or(&Verb::Info) {
        Verb::Info => info(app, &hub).await,
        Verb::Backup { file } => {
            let bytes = backup(&hub, file).await?;
            app.out.note(&format!("{}: {bytes} bytes", file.display()));
            Ok(Exit::Ok)
        }
        Verb::Check => check(app, &hub).await,
        Verb::RotateKey(args) => rotate::run(app, &hub, args).await,
        Verb::Card => {
            let target = app.target()?;
            app.out.data(&format!("{}\n", cmdr_link::card::write_card(&target)))?;
            app.out.note("to be used with: cmdr login CARD --user NAME");
            Ok(Exit::Ok)
        }
    }
}

async fn info(app: &App, hub: &Hub) -> Result<Exit, Failure> {
    let info = hub.ask(&Info {}).await?;
    let fields = [
        ("VERSION", info.version.clone()),
        ("UP", human::span(info.uptime_s)),
        ("LISTEN", info.listen.clone()),
        ("AGENTS", info.agents.to_string()),
        ("CLIENTS", info.clients.to_string()),
        (
            "RELAYED",
            format!(
                "{}, {}",
                human::count(info.relayed, "stream"),
                human::bytes(info.relayed_bytes)
            ),
        ),
        ("REFUSED", info.refused.to_string()),
        ("WRITABLE", if info.writable { "yes".into() } else { "no: the disk is full".into() }),
    ];
    app.out.one(&info, &fields, &info.listen)?;
    Ok(Exit::Ok)
}

async fn check(app: &App, hub: &Hub) -> Result<Exit, Failure> {
    let checked = hub.ask(&Check {}).await?;
    let mut fields = vec![("RECORDS", checked.records.to_string())];
    fields.extend(checked.damage.iter().map(|what| ("DAMAGE", what.clone())));
    app.out.one(&checked, &fields, &checked.records.to_string())?;
    Ok(if checked.damage.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// Streams the copy into a file beside `file` and puts it in place when it is whole and on disk.
async fn backup(hub: &Hub, file: &Path) -> Result<u64, Failure> {
    let wrong = |e| unwritten(file, &e);
    let mut out = Partial::create(file).map_err(wrong)?;
    let mut feed = hub.client.feed(None, &Backup {}).await.map_err(Failure::from_hub)?;
    while let Some(piece) = feed.next().await {
        out.write(&piece.map_err(Failure::from_hub)?.data).map_err(wrong)?;
    }
    out.finish().map_err(wrong)
}
