//! What the hub keeps, by kind: the page of data sizes reads it.

use super::sheets::{Record, SheetKey, Target, Value, id_of};
use super::{Store, Update};
use crate::theme::Role;
use cmdr_protocol::data::{Kept, Kind, Sized};
use cmdr_protocol::display::clean;
use cmdr_protocol::{CallError, HostId};

/// The sheet of kinds.
pub const DATA: SheetKey = (None, "data");

/// Kinds with the keys of their names.
pub const KINDS: &[(Kind, &str)] = &[
    (Kind::History, "data.kind.history"),
    (Kind::Runs, "data.kind.runs"),
    (Kind::Recordings, "data.kind.recordings"),
    (Kind::Audit, "data.kind.audit"),
    (Kind::Alerts, "data.kind.alerts"),
    (Kind::Notices, "data.kind.notices"),
    (Kind::Blobs, "data.kind.blobs"),
    (Kind::Hosts, "data.kind.hosts"),
    (Kind::Operators, "data.kind.operators"),
    (Kind::Approvals, "data.kind.approvals"),
    (Kind::Runbooks, "data.kind.runbooks"),
    (Kind::Configs, "data.kind.configs"),
    (Kind::Compose, "data.kind.compose"),
    (Kind::Rules, "data.kind.rules"),
    (Kind::Notifiers, "data.kind.notifiers"),
    (Kind::Probes, "data.kind.probes"),
    (Kind::Secrets, "data.kind.secrets"),
];

/// The number of a kind's row.
pub fn number(kind: Kind) -> u64 {
    id_of(&("data", kind.as_str()))
}

/// What the configuration says is kept, in figures that need no words.
fn bound(kept: &Kept) -> String {
    let mut parts = Vec::new();
    if kept.keep_days > 0 {
        parts.push(format!("≤{}d", kept.keep_days));
    }
    if kept.keep_bytes > 0 {
        parts.push(format!("≤{}", crate::widgets::format::bytes(kept.keep_bytes)));
    }
    if kept.keep_count > 0 {
        parts.push(format!("≤{}", kept.keep_count));
    }
    parts.join(" ")
}

fn record(kept: &Kept) -> Record {
    let key = KINDS.iter().find(|(kind, _)| *kind == kept.kind);
    let key = key.map_or("data.kind.unknown", |(_, key)| *key);
    let mut more = Vec::new();
    if !kept.fixed.is_empty() {
        more.push(("data.fixed", clean(&kept.fixed).into_owned()));
    }
    let state = if kept.trouble.is_empty() {
        Value::soft(&kept.fixed)
    } else {
        Value::text(&kept.trouble, Role::Bad)
    };
    Record {
        id: number(kept.kind),
        host: HostId([0; 16]),
        values: vec![
            Value::Word(key, Role::Strong),
            Value::count(kept.count),
            Value::bytes(Some(kept.bytes)),
            Value::Moment(kept.first_ms / 1000),
            Value::Moment(kept.last_ms / 1000),
            Value::soft(&bound(kept)),
            state,
        ],
        more,
        target: Target::Named(kept.kind.as_str().to_owned()),
    }
}

/// It is asked how much is kept.
pub fn asking() -> Update {
    Update::new(|store| {
        let now_ms = store.now_ms;
        store.sheet_mut(DATA).asked_ms = now_ms.max(1);
    })
}

/// How much is kept came.
pub fn sized(answer: Result<Sized, CallError>) -> Update {
    Update::new(move |store: &mut Store| {
        let now_ms = store.now_ms;
        let sheet = store.sheet_mut(DATA);
        match answer {
            Err(error) => sheet.fail(error, now_ms),
            Ok(sized) => {
                let all: u64 =
                    sized.kinds.iter().map(|kept| kept.bytes).fold(0, u64::saturating_add);
                sheet.set(now_ms, sized.kinds.iter().map(record));
                let size = crate::widgets::format::size;
                sheet.notes = vec![(size(all), Role::Strong)];
                if sized.room > 0 {
                    let scarce = sized.free < sized.room / 10;
                    let role = if scarce { Role::Bad } else { Role::Soft };
                    sheet.notes.push((size(sized.free), role));
                    sheet.notes.push((size(sized.room), Role::Soft));
                }
            }
        }
    })
}
