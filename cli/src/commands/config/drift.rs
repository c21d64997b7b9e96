//! `config drift`: what hosts have beside what they shall have, asked host by host with the rights of who asks.

use crate::App;
use crate::commands::edit::shown::unified;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Format, Paint};
use clap::Args;
use cmdr_link::transfer::{beginning, gathered};
use cmdr_protocol::configs::{Expect, FileWanted, HostFiles, LARGEST, Stands, drift, is_read};
use cmdr_protocol::display::clean;
use cmdr_protocol::files::{FilePath, Stat};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use futures::StreamExt as _;
use serde::Serialize;
use similar::TextDiff;
use std::time::Duration;

/// Hosts asked at once.
const AT_ONCE: usize = 16;
/// A file is waited for so long.
const READING: Duration = Duration::from_secs(30);
/// Comparing two texts takes at most so long; what is not found by then is told as left out and put in.
const LOOKING: Duration = Duration::from_secs(2);
/// Lines of one side; more are not compared.
const LINES: usize = 20_000;

/// Compare what hosts have with what they shall have.
///
/// Ends with 1 when something differs or is missing.
#[derive(Debug, Args)]
pub(super) struct DriftArgs {
    /// Which group.
    #[arg(value_parser = super::name)]
    name: String,
    /// Only these of its hosts [default: all].
    #[arg(value_name = "HOSTS")]
    hosts: Option<String>,
    /// Compare with this version [default: the newest].
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// Show the differences.
    #[arg(long)]
    diff: bool,
    /// Show also what is equal.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    host: String,
    path: String,
    state: Stands,
    /// In words, what is otherwise.
    what: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    diff: String,
    /// What is there, and what shall be.
    #[serde(skip)]
    sides: Option<(String, String)>,
    #[serde(skip)]
    failed: Option<ErrorKind>,
}

pub(super) async fn run(app: &App, args: &DriftArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let mut wanted = match &args.hosts {
        Some(selector) => hub.resolve(selector).await?.into_iter().map(|host| host.id).collect(),
        None => Vec::new(),
    };
    let mut hosts: Vec<HostFiles> = Vec::new();
    loop {
        let (name, version) = (args.name.clone(), args.version);
        let mut expected = hub.ask(&Expect { name, version, hosts: wanted, brief: false }).await?;
        hosts.append(&mut expected.hosts);
        wanted = expected.more;
        if wanted.is_empty() {
            break;
        }
    }
    if hosts.is_empty() {
        let what = format!("no host that {} is for, and that you may look at", args.name);
        return Err(Failure::new(Exit::NoMatch, what));
    }
    let count = hosts.len();
    let rows: Vec<Vec<Row>> = futures::stream::iter(hosts)
        .map(|host| look(&hub, host, args.diff))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    let equal = rows.iter().filter(|row| row.state == Stands::Equal).count();
    let plain = matches!(app.out.format, Format::Table | Format::Wide | Format::Name);
    let shown: Vec<&Row> =
        rows.iter().filter(|row| args.all || !plain || row.state != Stands::Equal).collect();
    let columns = [
        Column::text("HOST", |r: &&Row| clean(&r.host).into_owned().into()),
        Column::text("FILE", |r| clean(&r.path).into_owned().into()),
        Column::text("STATE", |r| match r.state {
            Stands::Equal => Cell::painted("equal", Paint::Good),
            Stands::Differs => Cell::painted("differs", Paint::Bad),
            Stands::Missing => Cell::painted("missing", Paint::Bad),
            Stands::Hidden => "hidden".into(),
            Stands::Unknown => Cell::painted("unknown", Paint::Warn),
        }),
        Column::text("WHAT", |r| clean(&r.what).into_owned().into()),
    ];
    if !shown.is_empty() || !plain {
        app.out.list(&shown, &columns, |r| r.host.clone())?;
    }
    if plain {
        for row in &shown {
            if let Some((there, shall)) = &row.sides {
                let place = format!("{}:{}", row.host, row.path);
                let names = [place.as_str(), args.name.as_str()];
                app.out.data(&format!("\n{}", unified(&app.out, names, there, shall)))?;
            } else if !row.diff.is_empty() {
                app.out.data(&format!("\n{}: {}\n", clean(&row.host), row.diff))?;
            }
        }
    }
    let (hosts, files) =
        (human::count(count as u64, "host"), human::count(rows.len() as u64, "file"));
    app.out.note(&format!("{hosts}, {files}: {equal} equal"));
    let off = |row: &Row| matches!(row.state, Stands::Differs | Stands::Missing);
    let mut exit = if rows.iter().any(off) { Exit::Failed } else { Exit::Ok };
    for kind in rows.iter().filter_map(|row| row.failed) {
        exit = exit.worst(Exit::of(kind));
    }
    Ok(exit)
}

async fn look(hub: &Hub, host: HostFiles, diff: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for file in &host.files {
        let mut row = Row {
            host: host.name.clone(),
            path: file.path.clone(),
            state: Stands::Unknown,
            what: file.problem.clone(),
            diff: String::new(),
            sides: None,
            failed: None,
        };
        if file.problem.is_empty() {
            match host.host {
                Some(id) => {
                    if let Err(e) = compare(hub, id, file, diff, &mut row).await {
                        (row.what, row.failed) = (e.message, Some(e.kind));
                    }
                }
                None => "the host has no id".clone_into(&mut row.what),
            }
        }
        rows.push(row);
    }
    rows
}

async fn compare(
    hub: &Hub,
    host: HostId,
    file: &FileWanted,
    diff: bool,
    row: &mut Row,
) -> Result<(), CallError> {
    let path = FilePath::parse(&file.path).map_err(|e| CallError::malformed(e.to_string()))?;
    let patience = hub.patience();
    let stat = match hub.client.call(Some(host), &Stat { path: path.clone() }, patience).await {
        Ok(stat) => stat,
        Err(e) if e.kind == ErrorKind::NotFound => {
            row.state = Stands::Missing;
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    let there = if is_read(file, &stat, diff) {
        let fetched = tokio::time::timeout(READING.max(patience), fetch(hub, host, path)).await;
        let late =
            |_| CallError::new(ErrorKind::TimedOut, "the host did not send the file in time");
        Some(fetched.map_err(late)??)
    } else {
        None
    };
    let found = drift(file, &stat, there.as_deref());
    (row.state, row.what) = (found.state, found.what.join(", "));
    if let (true, Stands::Differs, Some(there), Some(shall)) =
        (diff, found.state, &there, &file.content)
        && there != shall
    {
        (row.diff, row.sides) = difference(there, shall);
    }
    Ok(())
}

async fn fetch(hub: &Hub, host: HostId, path: FilePath) -> Result<Vec<u8>, CallError> {
    gathered(hub.client.feed(Some(host), &beginning(path, LARGEST)).await?, LARGEST).await
}

/// From what is there to what shall be.
fn difference(there: &[u8], shall: &[u8]) -> (String, Option<(String, String)>) {
    let (Ok(there), Ok(shall)) = (std::str::from_utf8(there), std::str::from_utf8(shall)) else {
        return ("it is binary".to_owned(), None);
    };
    if [there, shall].iter().any(|text| text.lines().nth(LINES).is_some()) {
        return (format!("it has too many lines to be compared: more than {LINES}"), None);
    }
    let diff = TextDiff::configure().timeout(LOOKING).diff_lines(there, shall);
    let text =
        diff.unified_diff().context_radius(3).header("on the host", "in the group").to_string();
    (text, Some((there.to_owned(), shall.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_leads_from_what_is_there_to_what_shall_be() {
        let (said, sides) = difference(b"a\nb\n", b"a\nc\n");
        assert!(said.contains("-b\n+c\n") && sides.is_some(), "{said}");
        assert_eq!(difference(b"\xff", b"a").0, "it is binary");
        let many = "\n".repeat(LINES + 1);
        assert!(difference(many.as_bytes(), b"a").0.contains("too many lines"));
    }
}
