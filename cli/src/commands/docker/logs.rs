//! `docker logs`: what containers write, of one or of many, in the order of their times.

use crate::App;
use crate::args::{self, When};
use crate::commands::logs::{self, OfContainers};
use crate::exit::{Exit, Failure};
use clap::Args;
use cmdr_protocol::inside::{CONTAINER, check_container};
use std::time::Duration;

/// Show what containers have written, and follow it as it is written.
///
/// Lines of several containers, on one host or more, come in the order of their times. cmdr logs reads
/// containers too, beside files and units, with all its filters: cmdr logs 'web*:container:nginx*'.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// Stay, and show what is written.
    #[arg(short, long)]
    follow: bool,

    /// Begin with so many of the newest lines of each [default: all].
    #[arg(short = 'n', long, value_name = "N", value_parser = tail)]
    tail: Option<Tail>,

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

    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Which containers: names or ids, and names with * and ?.
    #[arg(required = true, value_name = "CONTAINER", value_parser = container)]
    containers: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Tail {
    All,
    Lines(u32),
}

fn tail(text: &str) -> Result<Tail, String> {
    if text == "all" {
        return Ok(Tail::All);
    }
    let lines = text.parse().ok().filter(|n| *n <= cmdr_protocol::logs::MAX_LAST);
    lines.map(Tail::Lines).ok_or_else(|| {
        format!("'{text}' is neither 'all' nor a number up to {}", cmdr_protocol::logs::MAX_LAST)
    })
}

fn container(text: &str) -> Result<String, String> {
    check_container(&text.replace(['*', '?'], "x")).map(|()| text.to_owned())
}

pub(super) async fn logs(app: &App, args: &LogsArgs) -> Result<Exit, Failure> {
    let of = |container: &String| format!("{}:{CONTAINER}{container}", args.selector);
    let asked = OfContainers {
        what: args.containers.iter().map(of).collect(),
        follow: args.follow,
        lines: match args.tail {
            Some(Tail::Lines(lines)) => Some(lines),
            Some(Tail::All) | None => None,
        },
        since: args.since,
        until: args.until,
        timestamps: args.timestamps,
    };
    logs::of_containers(app, asked).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_a_name_or_a_pattern_of_names() {
        assert!(container("web").is_ok() && container("web*").is_ok() && container("*").is_ok());
        assert!(container("a/b").is_err() && container("").is_err());
        assert!(matches!(tail("all"), Ok(Tail::All)) && matches!(tail("5"), Ok(Tail::Lines(5))));
        assert!(tail("-1").is_err() && tail("999999999").is_err());
    }
}
