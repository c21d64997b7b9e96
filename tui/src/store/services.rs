//! Units as rows.

use super::sheets::{Record, SheetKey, Target, Value, id_of};
use super::{Store, Stored};
use crate::theme::Role;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::services::{Unit, Watch};
use cmdr_protocol::table::Change;

/// The sheet of a host's units.
pub fn units(host: HostId) -> SheetKey {
    (Some(host), "services")
}

/// A unit as a row.
pub fn record(host: HostId, unit: &Unit) -> Record {
    let state = match unit.active.as_str() {
        "active" => Role::Ok,
        "failed" => Role::Bad,
        "activating" | "deactivating" | "reloading" => Role::Warn,
        _ => Role::Soft,
    };
    let enabled = match unit.enabled.as_str() {
        "enabled" => Role::Text,
        "masked" => Role::Warn,
        _ => Role::Soft,
    };
    let name = if unit.active == "failed" { Role::Bad } else { Role::Strong };
    Record {
        id: id_of(&(host, &unit.name)),
        host,
        values: vec![
            Value::text(&unit.name, name),
            Value::text(&unit.active, state),
            Value::text(&unit.sub, state),
            Value::text(&unit.enabled, enabled),
            match unit.pid {
                0 => Value::Figure(0, String::new(), Role::Faint),
                pid => Value::Figure(u64::from(pid), pid.to_string(), Role::Soft),
            },
            Value::bytes(unit.memory),
            Value::Moment(unit.since_s),
            Value::soft(&unit.description),
        ],
        more: vec![
            ("services.detail.load", clean(&unit.load).into_owned()),
            ("services.detail.protected", clean(&unit.protected).into_owned()),
        ],
        target: Target::Unit {
            name: unit.name.clone(),
            protected: clean(&unit.protected).into_owned(),
            active: unit.active.clone(),
        },
    }
}

/// Takes one unit in as it is now.
pub fn put(store: &mut Store, host: HostId, unit: &Unit) {
    if unit.name.is_empty() {
        return;
    }
    let sheet = store.sheet_mut(units(host));
    let record = record(host, unit);
    sheet.rows.insert(record.id, record);
    sheet.version += 1;
}

impl Stored for Watch {
    fn apply(store: &mut Store, host: Option<HostId>, item: Change<Unit>) {
        let Some(host) = host else { return };
        let now_ms = store.now_ms;
        let sheet = store.sheet_mut(units(host));
        if item.reset {
            sheet.rows.clear();
        }
        for name in &item.gone {
            sheet.rows.remove(&id_of(&(host, name)));
        }
        for unit in &item.put {
            let record = record(host, unit);
            sheet.rows.insert(record.id, record);
        }
        sheet.came(now_ms);
    }
}
