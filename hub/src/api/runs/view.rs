//! Runs and their targets, as programs see them.

use cmdr_protocol::runs::{self, Printed, Progress, RunState, TargetState};
use data_encoding::BASE64;
use serde::Serialize;
use utoipa::ToSchema;

/// How many targets stand how.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Counts {
    targets: u32,
    queued: u32,
    sent: u32,
    running: u32,
    ok: u32,
    failed: u32,
    timed_out: u32,
    cancelled: u32,
    lost: u32,
    unreachable: u32,
    refused: u32,
}

impl From<runs::Counts> for Counts {
    fn from(counts: runs::Counts) -> Self {
        Self {
            targets: counts.targets,
            queued: counts.queued,
            sent: counts.sent,
            running: counts.running,
            ok: counts.ok,
            failed: counts.failed,
            timed_out: counts.timed_out,
            cancelled: counts.cancelled,
            lost: counts.lost,
            unreachable: counts.unreachable,
            refused: counts.refused,
        }
    }
}

/// A run.
#[derive(Serialize, ToSchema)]
pub(crate) struct Run {
    /// 13 letters and digits.
    pub(in crate::api) id: String,
    /// `running`, `paused`, `stopping`; over: `done`, `halted`, `stopped`.
    #[schema(value_type = String, example = "done")]
    state: RunState,
    /// Whether it is over.
    over: bool,
    /// Why it was halted, stopped or paused.
    why: String,
    /// Who began it.
    operator: String,
    /// The order in a few words.
    what: String,
    /// The selector as it was asked for.
    hosts: String,
    note: String,
    /// The schedule that began it; empty for none.
    schedule: String,
    /// When that was due, milliseconds since 1970.
    due_ms: Option<u64>,
    /// The hub was away then: hosts did it by themselves, and told of it later.
    alone: bool,
    /// The run of which it is a step.
    parent: Option<String>,
    /// Milliseconds since 1970.
    created_ms: u64,
    /// Milliseconds since 1970; absent while it goes on.
    ended_ms: Option<u64>,
    counts: Counts,
    /// How many targets each wave has.
    waves: Vec<u32>,
    /// Which wave is under way, from 0.
    wave: u32,
    /// Bytes of output that are kept.
    output: u64,
    /// Bytes of output that were not.
    lost: u64,
}

impl From<runs::Run> for Run {
    fn from(run: runs::Run) -> Self {
        Self {
            id: run.id.map(|id| id.to_string()).unwrap_or_default(),
            state: run.state,
            over: run.state.is_over(),
            why: run.why,
            operator: run.operator,
            what: run.what,
            hosts: run.hosts,
            note: run.note,
            schedule: run.schedule,
            due_ms: run.due_ms,
            alone: run.alone,
            parent: run.parent.map(|id| id.to_string()),
            created_ms: run.created_ms,
            ended_ms: run.ended_ms,
            counts: run.counts.into(),
            waves: run.waves,
            wave: run.wave,
            output: run.output,
            lost: run.lost,
        }
    }
}

/// One host of a run.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Target {
    /// Which, from 0.
    pub(in crate::api) index: u32,
    /// The host's id.
    pub(in crate::api) host: Option<String>,
    /// The host's name when the run began.
    pub(in crate::api) name: String,
    /// `queued`, `sent`, `running`; ends: `ok`, `failed`, `timed_out`, `cancelled`, `lost`, `unreachable`,
    /// `refused`.
    #[schema(value_type = String, example = "ok")]
    pub(in crate::api) state: TargetState,
    /// The exit code; 128 and more by a signal.
    pub(in crate::api) code: Option<i32>,
    /// Why it stands so, where the state alone does not say it.
    pub(in crate::api) why: String,
    /// Its host has no link now, and is waited for.
    away: bool,
    /// How often it was tried, from 0.
    attempt: u32,
    /// Its wave, from 0.
    wave: u32,
    /// When the host had it, milliseconds since 1970.
    sent_ms: Option<u64>,
    /// When it ended, milliseconds since 1970.
    ended_ms: Option<u64>,
    /// How long it ran on the host, milliseconds.
    pub(in crate::api) took_ms: Option<u64>,
    /// Bytes of its standard output that are kept.
    stdout: u64,
    /// Bytes of its standard error that are kept.
    stderr: u64,
    /// Bytes of its output that were not kept.
    lost: u64,
}

impl From<runs::Target> for Target {
    fn from(target: runs::Target) -> Self {
        Self {
            index: target.index,
            host: target.host.map(|id| id.to_string()),
            name: target.name,
            state: target.state,
            code: target.code,
            why: target.why,
            away: target.away,
            attempt: target.attempt,
            wave: target.wave,
            sent_ms: target.sent_ms,
            ended_ms: target.ended_ms,
            took_ms: target.took_ms,
            stdout: target.stdout,
            stderr: target.stderr,
            lost: target.lost,
        }
    }
}

/// Targets that ended alike: same state, same code, same output.
#[derive(Serialize, ToSchema)]
struct Group {
    #[schema(value_type = String, example = "ok")]
    state: TargetState,
    code: Option<i32>,
    count: u32,
    /// One of them, whose output stands for all.
    example: u32,
    /// Their indices, the first of them.
    targets: Vec<u32>,
}

/// A run with its targets.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct RunDetail {
    run: Run,
    /// By index.
    targets: Vec<Target>,
    /// What to give as `from` for the next page of targets; absent on the last.
    next: Option<u32>,
    /// Equal ends in one, on the first page.
    groups: Vec<Group>,
}

impl From<runs::Shown> for RunDetail {
    fn from(shown: runs::Shown) -> Self {
        let group = |group: runs::Group| Group {
            state: group.state,
            code: group.code,
            count: group.count,
            example: group.example,
            targets: group.targets,
        };
        Self {
            run: shown.run.into(),
            targets: shown.targets.into_iter().map(Target::from).collect(),
            next: shown.next,
            groups: shown.groups.into_iter().map(group).collect(),
        }
    }
}

/// A run that was begun.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Started {
    /// Its id.
    pub(in crate::api) run: String,
    /// How many targets were begun.
    targets: u32,
    /// It had been begun before, with the same Idempotency-Key.
    already: bool,
}

impl From<runs::Started> for Started {
    fn from(started: runs::Started) -> Self {
        let run = started.run.map(|id| id.to_string()).unwrap_or_default();
        Self { run, targets: started.targets, already: started.already }
    }
}

/// One host of a plan.
#[derive(Serialize, ToSchema)]
struct PlannedHost {
    host: Option<String>,
    name: String,
    #[schema(value_type = String, example = "online")]
    state: cmdr_protocol::hosts::HostState,
    /// Its wave, from 0.
    wave: u32,
    /// It is protected.
    protected: bool,
}

/// A host on which the caller may not.
#[derive(Serialize, ToSchema)]
struct Refused {
    name: String,
    why: String,
}

/// What a run would come to.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Planned {
    /// How many hosts.
    count: u32,
    /// How many of them are online now.
    online: u32,
    /// Their number has to be given as `confirm`.
    confirm: bool,
    /// Why.
    why: String,
    /// How many of them are protected.
    protected: u32,
    /// How many hosts each wave would have.
    waves: Vec<u32>,
    /// The first 500 hosts, in their order.
    hosts: Vec<PlannedHost>,
    /// Hosts on which the caller may not; while there are any, the run is refused.
    refused: Vec<Refused>,
}

impl From<runs::Planned> for Planned {
    fn from(planned: runs::Planned) -> Self {
        let host = |host: runs::PlannedHost| PlannedHost {
            host: host.host.map(|id| id.to_string()),
            name: host.name,
            state: host.state,
            wave: host.wave,
            protected: host.protected,
        };
        let refused = |one: runs::Refused| Refused { name: one.name, why: one.why };
        Self {
            count: planned.count,
            online: planned.online,
            confirm: planned.guard.confirm,
            why: planned.guard.why,
            protected: planned.guard.protected,
            waves: planned.waves,
            hosts: planned.hosts.into_iter().map(host).collect(),
            refused: planned.refused.into_iter().map(refused).collect(),
        }
    }
}

/// A piece of output.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::api) struct Line {
    /// What to give as `after` to go on from here; absent where there is more of the same moment.
    cursor: Option<String>,
    /// Whose, by index.
    target: u32,
    /// In which attempt, from 0.
    attempt: u32,
    /// `stdout` or `stderr`; absent when the line only says what was lost.
    stream: Option<&'static str>,
    /// What was written, when it is text.
    text: Option<String>,
    /// What was written, when it is no text, in Base64.
    base64: Option<String>,
    /// So many bytes that were written here were not kept.
    lost: u64,
}

/// The pieces of output in one item. Only the last one has the cursor: it stands for all of them.
pub(super) fn lines(item: Progress) -> Vec<Line> {
    let mut lines = Vec::new();
    for Printed { target, attempt, stdout, stderr, lost } in item.output {
        let before = lines.len();
        for (stream, bytes) in [("stdout", stdout), ("stderr", stderr)] {
            if bytes.is_empty() {
                continue;
            }
            let (text, base64) = match String::from_utf8(bytes) {
                Ok(text) => (Some(text), None),
                Err(e) => (None, Some(BASE64.encode(e.as_bytes()))),
            };
            let stream = Some(stream);
            lines.push(Line { target, attempt, stream, text, base64, ..Line::default() });
        }
        if lines.len() == before {
            lines.push(Line { target, attempt, ..Line::default() });
        }
        if let Some(last) = lines.last_mut() {
            last.lost = lost;
        }
    }
    if let Some(last) = lines.last_mut() {
        last.cursor = Some(item.cursor);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_text_where_it_can_be_and_only_the_last_piece_of_a_moment_has_its_cursor() {
        let printed = |stdout: &[u8], stderr: &[u8], lost| Printed {
            target: 3,
            attempt: 1,
            stdout: stdout.to_vec(),
            stderr: stderr.to_vec(),
            lost,
        };
        let output =
            vec![printed(b"one", b"", 0), printed(b"two", b"\xff", 7), printed(b"", b"", 9)];
        let item = Progress { cursor: "c".into(), output, ..Progress::default() };
        let lines = lines(item);
        let told: Vec<_> = lines
            .iter()
            .map(|l| (l.stream, l.text.as_deref(), l.base64.as_deref(), l.lost, l.cursor.is_some()))
            .collect();
        assert_eq!(
            told,
            [
                (Some("stdout"), Some("one"), None, 0, false),
                (Some("stdout"), Some("two"), None, 0, false),
                (Some("stderr"), None, Some("/w=="), 7, false),
                (None, None, None, 9, true),
            ]
        );
    }
}
