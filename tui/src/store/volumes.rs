//! Volumes as rows.

use super::Store;
use super::engines::Engines;
use super::images::users;
use super::lists::{Listed, number};
use super::sheets::{Record, Target, Value};
use crate::theme::Role;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::volumes::{Volume, Watch};

/// Where it stands in a row how much is in it.
const SIZE: usize = 3;

impl Listed for Watch {
    type Row = Volume;

    fn record(host: HostId, on: &str, volume: &Volume) -> Record {
        let labels = volume.labels.iter().take(100);
        let labels = labels.map(|(key, value)| ("images.more.label", format!("{key}={value}")));
        let options = volume.options.iter().take(100);
        let options = options.map(|(key, value)| ("volumes.more.option", format!("{key}={value}")));
        let scope = ("volumes.more.scope", volume.scope.clone());
        let more = [scope].into_iter().chain(options).chain(labels);
        // What another program keeps, or is mounted only while it is used, is no folder that one could look into.
        let is_folder = volume.driver == "local" && volume.options.is_empty();
        let at = is_folder.then(|| volume.mountpoint.clone()).filter(|at| !at.is_empty());
        Record {
            id: number::<Volume>(host, &volume.name),
            host,
            values: vec![
                Value::text(on, Role::Accent),
                Value::text(&volume.name, Role::Strong),
                Value::soft(&volume.driver),
                Value::bytes(volume.size),
                users(&volume.used_by, volume.users),
                Value::soft(volume.created.get(..16).unwrap_or(&volume.created)),
                Value::soft(&volume.mountpoint),
            ],
            more: more.map(|(key, text)| (key, clean(&text).into_owned())).collect(),
            target: Target::Volume { name: volume.name.clone(), at, users: volume.used_by.clone() },
        }
    }

    fn beside(store: &Store, row: &mut Record) {
        size(&store.engines, row);
    }
}

/// Shows how much is in it, when that was asked for.
pub fn size(engines: &Engines, row: &mut Record) {
    let Target::Volume { name, .. } = &row.target else { return };
    let size = engines.size(row.host, name);
    if let (Some(size), Some(value)) = (size, row.values.get_mut(SIZE)) {
        *value = Value::bytes(Some(size));
    }
}
