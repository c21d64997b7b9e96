//! A made-up hub's recordings, for tests and the demo.

use cmdr_protocol::CallError;
use cmdr_protocol::audit::{Event as Noted, Record};
use cmdr_protocol::recordings::{
    Event, EventKind, Events, Hit, Hits, Level, List, Mark, Page, Read, Recording, Remark, Search,
    State,
};
use cmdr_tui::link::fake::Asked;
use serde_json::Value as Json;

/// What a host wrote to take the terminal over.
pub(crate) const EVIL: &[u8] = b"\x1b[31mred\x1b[0m \x1b]0;owned\x07\x1b[2J\xe2\x80\xaetxt\xff\r\n";

fn output(at_ms: u64, data: &[u8]) -> Event {
    Event { at_us: at_ms * 1000, kind: EventKind::Output, data: data.to_vec() }
}

/// A minute of a deployment: steps that take a while, a long pause, something dangerous.
pub(crate) fn events() -> Vec<Event> {
    let mut events = vec![output(200, "部署开始 on 3 hosts\n".as_bytes())];
    for n in 0..20 {
        let at_ms = 1000 + n * 500;
        events.push(output(at_ms, format!("step {n}: copying\tfile-{n}.tar").as_bytes()));
        events.push(output(at_ms + 250, b" ... done\n"));
    }
    events.push(output(11_500, EVIL));
    events.push(output(32_000, b"rm -rf /srv/old\n"));
    let mark = b"deletes a whole folder".to_vec();
    events.push(Event { at_us: 32_000_100, kind: EventKind::Mark, data: mark });
    for n in 0..30 {
        events.push(output(33_000 + n * 400, format!("removed /srv/old/{n}\n").as_bytes()));
    }
    events.push(output(60_000, b"error: disk is full\n"));
    events
}

/// A recording for every command of this log but each fifth.
pub(crate) fn recordings(records: &[Record]) -> Vec<Recording> {
    let asked = |record: &&Record| record.event == Noted::Asked && record.method == "exec.start";
    let commands = [
        "./deploy.sh --all --to prod",
        "apt-get upgrade -y",
        "sh -c 'printf \u{1b}]0;owned\u{7}'",
        "/usr/local/bin/rotate 日志 归档",
    ];
    let made = records.iter().filter(asked).enumerate().filter(|(n, _)| n % 5 != 4);
    made.map(|(n, record)| {
        let runs = n == 0;
        let mark = |at_ms, level, what: &str| Mark { at_ms, level, what: what.into() };
        let marks = match n % 4 {
            0 => vec![
                mark(32_000, Level::Danger, "deletes a whole folder"),
                mark(5_000, Level::Notice, "copies as root"),
            ],
            1 => vec![mark(9_000, Level::Warning, "writes to /etc")],
            _ => Vec::new(),
        };
        let remark = Remark {
            level: Level::None,
            text: "looked at it".into(),
            by: "ann@desk".into(),
            at_ms: record.at_ms,
        };
        let mut recording = Recording {
            id: record.seq,
            state: match n {
                0 => State::Running,
                3 => State::Gaps,
                6 => State::Cut,
                _ => State::Whole,
            },
            at_ms: record.at_ms,
            took_ms: 61_000,
            operator: record.operator.clone(),
            host: record.host,
            host_name: record.host_name.clone(),
            method: record.method.clone(),
            command: commands[n % 4].into(),
            ended: if runs { "" } else { "exit 0" }.into(),
            bytes: 1900 + n as u64 * 700_000,
            level: marks.first().map_or(Level::None, |mark| mark.level),
            marks,
            watchers: if runs { vec!["li@laptop".into()] } else { Vec::new() },
            ..Recording::default()
        };
        if n == 2 {
            recording.set_remark(Some(remark));
        }
        recording
    })
    .collect()
}

/// What this hub answers to calls.
pub(crate) fn answer(recordings: &[Recording], asked: &Asked) -> Option<Result<Json, CallError>> {
    (asked.method == "recordings.list").then(|| {
        let list: List = serde_json::from_value(asked.body.clone()).unwrap_or_default();
        let before = list.before.unwrap_or(u64::MAX);
        let mut found = recordings.iter().filter(|recording| recording.id < before);
        let page: Vec<Recording> = found.by_ref().take(list.limit as usize).cloned().collect();
        let next = found.next().and(page.last()).map(|last| last.id);
        let page = Page { recordings: page, next, used: 40 << 20, limit: 2 << 30 };
        Ok(serde_json::to_value(page).unwrap_or_default())
    })
}

/// What it answers to feeds that come to an end; each item holds so many events.
pub(crate) fn feeds(
    recordings: &[Recording],
    events: &[Event],
    together: usize,
    asked: &Asked,
) -> Option<Vec<Json>> {
    let json = |item: &Events| serde_json::to_value(item).unwrap_or_default();
    match asked.method {
        "recordings.read" => {
            let read: Read = serde_json::from_value(asked.body.clone()).unwrap_or_default();
            let recording = recordings.iter().find(|recording| recording.id == read.id).cloned();
            let mut items = vec![json(&Events { recording, ..Events::default() })];
            let later = events.iter().filter(|event| event.at_us >= read.from_ms * 1000);
            let later: Vec<Event> = later.cloned().collect();
            items.extend(
                later
                    .chunks(together)
                    .map(|events| json(&Events { events: events.to_vec(), ..Events::default() })),
            );
            Some(items)
        }
        "recordings.search" => {
            let search: Search = serde_json::from_value(asked.body.clone()).unwrap_or_default();
            let mut hits = Hits { searched: recordings.len() as u64, ..Hits::default() };
            let wanted = |id: u64| search.id.is_none_or(|only| only == id);
            for recording in recordings.iter().filter(|recording| wanted(recording.id)).take(3) {
                let mut line = 1;
                for event in events.iter().filter(|event| event.kind == EventKind::Output) {
                    let text = String::from_utf8_lossy(&event.data).into_owned();
                    if text.to_lowercase().contains(&search.text.to_lowercase()) {
                        let (id, at_ms) = (recording.id, event.at_us / 1000);
                        let text = text.trim_end().to_owned();
                        hits.hits.push(Hit { id, at_ms, line, text, input: false });
                    }
                    line += event.data.split(|byte| *byte == b'\n').count() as u64 - 1;
                }
            }
            Some(vec![serde_json::to_value(hits).unwrap_or_default()])
        }
        _ => None,
    }
}
