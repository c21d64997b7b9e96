//! Equal results once: how many hosts ended so, and how the few that did not differ from the most.

use crate::App;
use crate::commands::edit::shown::unified;
use crate::connect::Hub;
use crate::exit::Failure;
use crate::human;
use crate::output::{Format, Paint, json, json_line, yaml};
use cmdr_protocol::RunId;
use cmdr_protocol::display::{Filter, clean};
use cmdr_protocol::runs::{Group, Output, Target, fold as equal};
use serde::Serialize;
use std::fmt::Write as _;

/// Bytes of one group's output that are shown.
const MOST: usize = 256 * 1024;
/// Bytes of the output of all groups that are shown.
const MOST_OF_ALL: usize = 64 << 20;
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

/// What one target printed, both outputs in the order in which they came; and whether that was more than `most` bytes.
async fn printed(
    hub: &Hub,
    run: RunId,
    target: u32,
    most: usize,
) -> Result<(Vec<u8>, bool), Failure> {
    let output = Output { run, targets: vec![target], since: String::new(), follow: false };
    let mut feed = hub.client.feed(None, &output).await.map_err(Failure::from_hub)?;
    let mut bytes = Vec::new();
    while let Some(item) = feed.next().await {
        for piece in item.map_err(Failure::from_hub)?.output {
            bytes.extend_from_slice(&piece.stdout);
            bytes.extend_from_slice(&piece.stderr);
        }
        if bytes.len() > most {
            bytes.truncate(most);
            return Ok((bytes, true));
        }
    }
    Ok((bytes, false))
}

/// Every target in one group: the hub tells only as many groups and members as one message takes.
fn grouped(targets: &[Target]) -> Vec<(Group, Vec<String>)> {
    let standing = targets.iter().zip(0..);
    let groups = equal(standing.map(|(target, at)| (at, target.state, target.code, &*target.sum)));
    let name = |at: &u32| targets.get(*at as usize).map(|target| target.name.clone());
    let named = groups.into_iter().map(|group| {
        let names = group.targets.iter().filter_map(name).collect();
        (group, names)
    });
    named.collect()
}

/// Writes the targets of a run, those alike as one.
pub(super) async fn fold(
    app: &App,
    hub: &Hub,
    run: RunId,
    targets: &[Target],
) -> Result<(), Failure> {
    let (mut groups, mut left) = (Vec::new(), MOST_OF_ALL);
    for (group, hosts) in grouped(targets) {
        let example = targets.get(group.example as usize).map(|target| target.index);
        let (bytes, truncated) = match example {
            Some(target) if !group.sum.is_empty() => {
                printed(hub, run, target, MOST.min(left)).await?
            }
            _ => (Vec::new(), false),
        };
        left -= bytes.len();
        groups.push(Folded {
            state: group.state.as_str(),
            code: group.code,
            count: group.count,
            hosts,
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

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::runs::TargetState;

    fn target(index: u32, state: TargetState, sum: &[u8]) -> Target {
        Target { index, name: format!("h{index}"), state, sum: sum.to_vec(), ..Target::default() }
    }

    #[test]
    fn thousands_of_hosts_that_all_differ_are_all_told() {
        let each = |index: u32| target(index, TargetState::Ok, &index.to_be_bytes());
        let targets: Vec<_> = (0..3000).map(each).collect();
        let groups = grouped(&targets);
        assert_eq!(groups.len(), 3000);
        assert!(groups.iter().all(|(group, names)| *names == [format!("h{}", group.example)]));
    }

    #[test]
    fn a_group_of_thousands_names_each_of_them() {
        let targets: Vec<_> = (0..3000).map(|index| target(index, TargetState::Ok, b"x")).collect();
        let groups = grouped(&targets);
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].1.len(), 3000);
    }

    #[test]
    fn a_host_that_has_not_ended_is_told_too() {
        let targets = [target(0, TargetState::Ok, b"x"), target(1, TargetState::Running, b"")];
        let states: Vec<_> = grouped(&targets).iter().map(|(group, _)| group.state).collect();
        assert_eq!(states, [TargetState::Ok, TargetState::Running]);
    }
}
