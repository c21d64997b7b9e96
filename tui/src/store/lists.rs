//! Tables that hosts tell as they change, of one host or of many in one sheet. The pages of Docker use it.

use super::Store;
use super::sheets::{Record, SheetKey, id_of};
use cmdr_protocol::table::{Change, Row};
use cmdr_protocol::{Feed, HostId};

/// A feed whose rows become rows of a sheet.
pub trait Listed: Feed<Item = Change<Self::Row>> + Default + 'static {
    /// What it tells.
    type Row: Row;
    /// That as a row; `on` is the name of its host, in the first cell of lists over several.
    fn record(host: HostId, on: &str, row: &Self::Row) -> Record;
    /// Adds what is known of it beside the list.
    fn beside(_store: &Store, _row: &mut Record) {}
}

/// The number of the row of this key.
pub fn number<R: Row>(host: HostId, key: &R::Key) -> u64 {
    // What cannot be written cannot have come either.
    id_of(&(host, serde_json::to_string(key).unwrap_or_default()))
}

/// Takes one item of a host in.
pub fn take<F: Listed>(store: &mut Store, key: SheetKey, host: HostId, item: &Change<F::Row>) {
    let (now_ms, on) = (store.now_ms, store.hosts.name(host));
    let record = |row| {
        let mut record = F::record(host, &on, row);
        F::beside(store, &mut record);
        record
    };
    let Change { reset, gone, put } = item;
    let records: Vec<Record> = put.iter().map(record).collect();
    let sheet = store.sheet_mut(key);
    if *reset {
        sheet.rows.retain(|_, row| row.host != host);
    }
    for gone in gone {
        sheet.rows.remove(&number::<F::Row>(host, gone));
    }
    sheet.rows.extend(records.into_iter().map(|record| (record.id, record)));
    sheet.answered.insert(host);
    sheet.came(now_ms);
}

/// Only these hosts are followed from now on: what others told goes.
pub fn only(store: &mut Store, key: SheetKey, hosts: &[HostId]) {
    let Some(sheet) = store.sheets.get_mut(&key) else { return };
    sheet.rows.retain(|_, row| hosts.contains(&row.host));
    sheet.answered.retain(|host| hosts.contains(host));
    sheet.version += 1;
}
