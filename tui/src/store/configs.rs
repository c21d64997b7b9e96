//! Config groups that were looked at: the list of them, each with its text, and how the files of their hosts
//! stand to what the hub keeps.

mod look;

pub use look::{
    Look, Row, STANDS, Standing, Sum, asked, asking, began, expected, looked, whole, without,
};

use super::sheets::{Record, SheetKey, Target, Value, id_of, of_number};
use super::{Store, Update};
use crate::theme::Role;
use cmdr_protocol::configs::{Config, Listing, Shown};
use cmdr_protocol::{CallError, HostId};
use std::collections::HashMap;

/// The sheet of groups.
pub const CONFIGS: SheetKey = (None, "configs");

/// Groups whose texts are kept.
const TEXTS: usize = 50;

/// The number of a group's row, and of its pages.
pub fn number(name: &str) -> u64 {
    id_of(&name)
}

/// The sheet of a group's files.
pub fn files_of(number: u64) -> SheetKey {
    of_number(number, "config_files")
}

/// The sheet of a group's files on each host.
pub fn hosts_of(number: u64) -> SheetKey {
    of_number(number, "config_hosts")
}

/// What is known of config groups.
#[derive(Default)]
pub struct Configs {
    /// Those of the list, by number.
    pub known: HashMap<u64, Config>,
    /// Those that were opened, with their texts.
    shown: HashMap<u64, Result<Shown, CallError>>,
    /// How hosts stood when they were looked at last.
    looks: HashMap<u64, Look>,
}

impl Configs {
    /// A group with its text.
    pub fn shown(&self, number: u64) -> Option<&Result<Shown, CallError>> {
        self.shown.get(&number)
    }

    /// How its hosts stood when they were looked at.
    pub fn look(&self, number: u64) -> Option<&Look> {
        self.looks.get(&number)
    }

    /// What is known of one, from its page or from the list.
    pub fn get(&self, number: u64) -> Option<&Config> {
        let shown = self.shown.get(&number).and_then(|shown| shown.as_ref().ok());
        shown.map(|shown| &shown.config).or_else(|| self.known.get(&number))
    }
}

/// What the list says about how the hosts of a group stand.
fn drift(look: Option<&Look>) -> Value {
    let Some(sum) = look.filter(|look| look.is_known()).map(|look| look.sum) else {
        return Value::Figure(0, "-".to_owned(), Role::Faint);
    };
    let of = |standing: Standing| u64::from(sum[standing.rank()]);
    let (differs, missing) = (of(Standing::Differs), of(Standing::Missing));
    let unknown = of(Standing::Unknown) + of(Standing::Waiting);
    let told = [("≠", differs), ("✗", missing), ("?", unknown), ("◌", of(Standing::Hidden))];
    let words: Vec<String> =
        told.iter().filter(|(_, n)| *n > 0).map(|(sign, n)| format!("{sign} {n}")).collect();
    let role = match (differs + missing, unknown) {
        (0, 0) => Role::Ok,
        (0, _) => Role::Warn,
        _ => Role::Bad,
    };
    let text = if words.is_empty() { "✓".to_owned() } else { words.join(" ") };
    Value::Figure(((differs + missing) << 20) | unknown, text, role)
}

fn record(config: &Config, look: Option<&Look>) -> Record {
    Record {
        id: number(&config.name),
        host: HostId([0; 16]),
        values: vec![
            Value::text(&config.name, Role::Strong),
            Value::Figure(config.version, config.version.to_string(), Role::Text),
            Value::count(u64::from(config.files)),
            drift(look),
            Value::text(&config.hosts, Role::Text),
            Value::Moment(config.saved_ms / 1000),
            Value::soft(&config.saved_by),
            Value::soft(&config.description),
        ],
        more: Vec::new(),
        target: Target::None,
    }
}

/// Groups came, or why none did.
pub fn listed(listing: Result<Listing, CallError>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) => return store.sheet_mut(CONFIGS).fail(error, now_ms),
        };
        let looks = &store.configs.looks;
        let row = |config: &Config| record(config, looks.get(&number(&config.name)));
        let rows: Vec<Record> = listing.configs.iter().map(row).collect();
        store.sheet_mut(CONFIGS).set(now_ms, rows.into_iter());
        let keyed = listing.configs.into_iter().map(|config| (number(&config.name), config));
        store.configs.known = keyed.collect();
    })
}

/// The list is asked for at once.
pub fn stale() -> Update {
    Update::new(|store| {
        let sheet = store.sheet_mut(CONFIGS);
        (sheet.came_ms, sheet.asked_ms) = (0, 0);
    })
}

/// A group came with its text, or did not.
pub fn came(number: u64, shown: Result<Shown, CallError>) -> Update {
    Update::new(move |store| {
        let texts = &mut store.configs.shown;
        if texts.len() >= TEXTS && !texts.contains_key(&number) {
            texts.clear();
        }
        texts.insert(number, shown);
    })
}

/// What is known of a group is no more.
pub fn forget(number: u64) -> Update {
    Update::new(move |store| {
        let configs = &mut store.configs;
        configs.known.remove(&number);
        configs.shown.remove(&number);
        configs.looks.remove(&number);
        let sheet = store.sheet_mut(CONFIGS);
        sheet.rows.remove(&number);
        (sheet.came_ms, sheet.asked_ms) = (0, 0);
        sheet.version += 1;
    })
}

impl Store {
    /// The row of a group in the list is written anew.
    fn retell(&mut self, number: u64) {
        let look = self.configs.looks.get(&number);
        let Some(config) = self.configs.known.get(&number) else { return };
        let row = record(config, look);
        let sheet = self.sheet_mut(CONFIGS);
        sheet.rows.insert(number, row);
        sheet.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> Config {
        Config { name: name.into(), version: 3, files: 2, ..Config::default() }
    }

    #[test]
    fn a_group_is_a_row_and_gone_when_it_is_forgotten() {
        let mut store = Store::new(0, 0, false);
        let configs = vec![config("web"), config("db\u{1b}[2J")];
        store.apply(listed(Ok(Listing { configs })));
        let sheet = store.sheet(CONFIGS).expect("a list");
        assert_eq!(sheet.rows.len(), 2);
        let row = &sheet.rows[&number("db\u{1b}[2J")];
        assert_eq!(row.values[0].plain(), "db␛[2J");
        assert_eq!(row.values[3].plain(), "-", "nobody has looked at its hosts");
        store.apply(forget(number("web")));
        assert_eq!(store.sheet(CONFIGS).expect("a list").rows.len(), 1);
        assert!(store.configs.get(number("web")).is_none());
    }
}
