//! `docker compose logs`: what the containers of a project write, through the logs of containers.

use super::OnArgs;
use super::look::sorted;
use crate::App;
use crate::args::{self, When};
use crate::commands::logs::{self, OfContainers};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use clap::Args;
use cmdr_protocol::containers::List;
use cmdr_protocol::inside::CONTAINER;
use std::collections::BTreeMap;
use std::time::Duration;

/// Show what the containers of a project have written, and follow it as it is written.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    #[command(flatten)]
    on: OnArgs,

    /// Only these services; may be given again.
    #[arg(long)]
    service: Vec<String>,

    /// Stay, and show what is written.
    #[arg(short, long)]
    follow: bool,

    /// Begin with so many of the newest lines of each [default: all].
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<u32>,

    /// From this moment on: 2h, 7d, 2026-11-20T19:30:00Z.
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    since: Option<When>,

    /// Up to this moment.
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    until: Option<When>,

    /// Show when each line was written.
    #[arg(short = 't', long)]
    timestamps: bool,

    // The short name that all verbs have is another thing's here.
    /// Give up each question after this long [default: 10s].
    #[arg(id = "timeout", long = "timeout", value_name = "DURATION", value_parser = args::duration)]
    _timeout: Option<Duration>,
}

pub(super) async fn logs(app: &App, args: &LogsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = args.on.targets(&hub).await?;
    let label = format!("com.docker.compose.project={}", args.on.name);
    let filters = BTreeMap::from([("label".to_owned(), vec![label])]);
    let list = List { all: true, filters, ..List::default() };
    let (good, exit) = sorted(app, hub.ask_hosts(&targets, &list).await);
    let mut what = Vec::new();
    for (host, listing) in good {
        for container in listing.containers {
            let service = container.service().to_owned();
            if args.service.is_empty() || args.service.contains(&service) {
                what.push(format!("{host}:{CONTAINER}{}", container.name));
            }
        }
    }
    if what.is_empty() && exit != Exit::Ok {
        return Ok(exit);
    }
    if what.is_empty() {
        let none = format!("no container of the project {} is there", args.on.name);
        return Err(Failure::new(Exit::NoMatch, none));
    }
    let asked = OfContainers {
        what,
        follow: args.follow,
        lines: args.tail,
        since: args.since,
        until: args.until,
        timestamps: args.timestamps,
    };
    Ok(exit.worst(logs::of_containers(app, asked).await?))
}
