//! Equal results once: how many hosts ended so, and how the few that did not differ from the most.

use crate::App;
use crate::commands::edit::shown::unified;
use crate::connect::Hub;
use crate::exit::Failure;
use crate::human;
use crate::output::{Format, Paint, json, json_line, yaml};
use cmdr_protocol::RunId;
use cmdr_protocol::display::{Filter, clean};
use cmdr_protocol::runs::{Output, Shown};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write as _;

/// Bytes of one group's output that are shown.
const MOST: usize = 256 * 1024;
/// Names written out beside a group.
const NAMES: usize = 12;

/// A group, for programs.
#[derive(Debug, Serialize)]
struct Folded {
    state: &'static str,
    code: Option<i32>,
    count: u32,
    hosts: Vec<String>,
    output: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// What one target printed, both outputs in the order in which they came.
async fn printed(hub: &Hub, run: RunId, target: u32) -> Result<(Vec<u8>, bool), Failure> {
    let output = Output { run, targets: vec![target], since: String::new(), follow: false };
    let mut feed = hub.client.feed(None, &output).await.map_err(Failure::from_hub)?;
    let mut bytes = Vec::new();
    while let Some(item) = feed.next().await {
        for piece in item.map_err(Failure::from_hub)?.output {
            bytes.extend_from_slice(&piece.stdout);
            bytes.extend_from_slice(&piece.stderr);
        }
        if bytes.len() > MOST {
            bytes.truncate(MOST);
            return Ok((bytes, true));
        }
    }
    Ok((bytes, false))
}

/// Writes the groups of a run that is over.
pub(super) async fn fold(app: &App, hub: &Hub, run: RunId, shown: &Shown) -> Result<(), Failure> {
    let names: HashMap<u32, &str> =
        shown.targets.iter().map(|target| (target.index, target.name.as_str())).collect();
    let mut groups = Vec::new();
    for group in &shown.groups {
        let (bytes, truncated) = if group.sum.is_empty() {
            (Vec::new(), false)
        } else {
            printed(hub, run, group.example).await?
        };
        let hosts = group.targets.iter().filter_map(|index| names.get(index));
        groups.push(Folded {
            state: group.state.as_str(),
            code: group.code,
            count: group.count,
            hosts: hosts.map(|name| (*name).to_owned()).collect(),
            output: String::from_utf8_lossy(&bytes).into_owned(),
            truncated,
        });
    }
    match app.out.format {
        Format::Json => return app.out.data(&(json(&groups)? + "\n")),
        Format::Yaml => return app.out.data(&yaml(&groups)?),
        Format::Ndjson => {
            for group in &groups {
                app.out.data(&json_line(group)?)?;
            }
            return Ok(());
        }
        _ => {}
    }
    let mut text = String::new();
    for (at, group) in groups.iter().enumerate() {
        let head = head(group);
        let paint = if group.state == "ok" { Paint::Good } else { Paint::Bad };
        // Writing to a String cannot fail.
        writeln!(text, "{}", paint.on(&head, app.out.colour_out)).ok();
        let first = &groups[0];
        let diff = if at > 0 && !first.output.is_empty() && !group.output.is_empty() {
            let ours = format!("{} hosts", first.count);
            let theirs = group.hosts.first().map_or("others", String::as_str);
            unified(&app.out, [&ours, theirs], &first.output, &group.output)
        } else {
            String::new()
        };
        if !diff.is_empty() && diff.len() < group.output.len().max(400) {
            text.push_str(&diff);
        } else if app.out.tty_out {
            let mut filter = Filter::new();
            text.push_str(&filter.push(group.output.as_bytes()));
            text.push_str(&filter.finish());
        } else {
            text.push_str(&group.output);
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if group.truncated {
            writeln!(text, "… the rest is not shown: cmdr run output {run}").ok();
        }
    }
    app.out.data(&text)
}

fn head(group: &Folded) -> String {
    let names: Vec<_> = group.hosts.iter().take(NAMES).map(|name| clean(name)).collect();
    let more = group.count as usize - names.len().min(group.count as usize);
    let more = if more > 0 { format!(" … {more} more") } else { String::new() };
    let code = match group.code {
        Some(code) if code != 0 => format!(" (exit {code})"),
        _ => String::new(),
    };
    let hosts = human::count(u64::from(group.count), "host");
    format!("== {hosts} {}{code}: {}{more}", group.state, names.join(" "))
}
