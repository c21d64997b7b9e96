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
use std::collections::{HashMap, HashSet};
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

/// Targets asked for at once, and bytes that they may come to: each question costs the hub a look at the whole run.
const AT_ONCE: usize = 1000;
const BYTES_AT_ONCE: usize = 8 << 20;

/// What targets printed, both outputs in the order in which they came.
#[derive(Debug, Default)]
struct Printed {
    bytes: HashMap<u32, Vec<u8>>,
    /// Of these there was more than is shown.
    truncated: HashSet<u32>,
}

impl Printed {
    /// Asks for the output of these targets, each with how much it is.
    async fn ask(hub: &Hub, run: RunId, targets: &[(u32, u64)]) -> Result<Self, Failure> {
        let (mut printed, mut left) = (Self::default(), MOST_OF_ALL);
        for part in parts(targets) {
            if left == 0 {
                printed.truncated.extend(part);
                continue;
            }
            let output = Output { run, targets: part, since: String::new(), follow: false };
            let mut feed = hub.client.feed(None, &output).await.map_err(Failure::from_hub)?;
            while let Some(item) = feed.next().await {
                for piece in item.map_err(Failure::from_hub)?.output {
                    for bytes in [&piece.stdout, &piece.stderr] {
                        printed.add(piece.target, bytes, &mut left);
                    }
                }
            }
        }
        Ok(printed)
    }

    fn add(&mut self, target: u32, bytes: &[u8], left: &mut usize) {
        let old = self.bytes.entry(target).or_default();
        let fits = bytes.len().min(MOST - old.len().min(MOST)).min(*left);
        old.extend_from_slice(&bytes[..fits]);
        *left -= fits;
        if fits < bytes.len() {
            self.truncated.insert(target);
        }
    }
}

/// Targets by so many as are asked for at once.
fn parts(targets: &[(u32, u64)]) -> Vec<Vec<u32>> {
    let (mut parts, mut size) = (Vec::new(), 0);
    for (target, bytes) in targets {
        let bytes = usize::try_from(*bytes).unwrap_or(MOST).min(MOST);
        match parts.last_mut() {
            Some(part) if Vec::len(part) < AT_ONCE && size + bytes <= BYTES_AT_ONCE => {
                part.push(*target);
                size += bytes;
            }
            _ => {
                parts.push(vec![*target]);
                size = bytes;
            }
        }
    }
    parts
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
    let grouped = grouped(targets);
    let example = |group: &Group| targets.get(group.example as usize);
    let said = grouped.iter().filter(|(group, _)| !group.sum.is_empty());
    let said: Vec<_> = said
        .filter_map(|(group, _)| example(group))
        .map(|target| (target.index, target.stdout.saturating_add(target.stderr)))
        .collect();
    let mut printed = Printed::ask(hub, run, &said).await?;
    let mut groups = Vec::new();
    for (group, hosts) in grouped {
        let index = example(&group).map(|target| target.index);
        let bytes = index.and_then(|index| printed.bytes.remove(&index)).unwrap_or_default();
        groups.push(Folded {
            state: group.state.as_str(),
            code: group.code,
            count: group.count,
            hosts,
            output: String::from_utf8_lossy(&bytes).into_owned(),
            truncated: index.is_some_and(|index| printed.truncated.contains(&index)),
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
    fn many_targets_are_few_questions_and_large_ones_are_asked_for_by_few() {
        let small: Vec<_> = (0..2500).map(|target| (target, 10)).collect();
        assert_eq!(parts(&small).iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 500]);
        let large: Vec<_> = (0..40).map(|target| (target, u64::MAX)).collect();
        assert_eq!(parts(&large).iter().map(Vec::len).collect::<Vec<_>>(), [32, 8]);
        assert!(parts(&[]).is_empty());
    }

    #[test]
    fn what_is_too_long_is_cut_and_that_is_said() {
        let (mut printed, mut left) = (Printed::default(), MOST + 10);
        printed.add(1, &vec![b'x'; MOST], &mut left);
        printed.add(1, b"y", &mut left);
        printed.add(2, &[b'z'; 20], &mut left);
        printed.add(3, b"", &mut left);
        assert_eq!((printed.bytes[&1].len(), printed.bytes[&2].len(), left), (MOST, 10, 0));
        assert!(printed.truncated.contains(&1) && printed.truncated.contains(&2));
        assert!(!printed.truncated.contains(&3));
    }

    #[test]
    fn a_host_that_has_not_ended_is_told_too() {
        let targets = [target(0, TargetState::Ok, b"x"), target(1, TargetState::Running, b"")];
        let states: Vec<_> = grouped(&targets).iter().map(|(group, _)| group.state).collect();
        assert_eq!(states, [TargetState::Ok, TargetState::Running]);
    }
}
