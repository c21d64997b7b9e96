//! What was asked for beside the lists of Docker: how much is in volumes, and for which names of images registries have
//! something newer. Rows of those lists show it. Also what engines say of themselves, and what happens in them. The
//! chapters of the Docker page read and change it.

use super::Store;
use super::sheets::{Record, SheetKey, Target, Value, id_of};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::engine::{About, Event, Kind, Room};
use cmdr_protocol::registries;
use std::collections::HashMap;

/// Answers that are kept of each kind; when there are more all begin anew.
const MOST: usize = 20_000;
/// Events of a host that are kept, the newest.
pub const EVENTS: usize = 2000;

/// What registries say about a name of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newer {
    /// They have another.
    Yes,
    /// They have the same.
    No,
    /// Nobody knows, for this reason.
    Unknown(String),
}

/// All of it.
#[derive(Default)]
pub struct Engines {
    newer: HashMap<(HostId, String), Newer>,
    sizes: HashMap<(HostId, String), u64>,
}

impl Engines {
    /// What registries say about a name of a host's image.
    pub fn newer(&self, host: HostId, name: &str) -> Option<&Newer> {
        self.newer.get(&(host, name.to_owned()))
    }

    /// Bytes in a volume of a host, as of when it was asked.
    pub fn size(&self, host: HostId, volume: &str) -> Option<u64> {
        self.sizes.get(&(host, volume.to_owned())).copied()
    }
}

/// Takes in what registries said about the images of a host.
pub fn compared(store: &mut Store, host: HostId, images: Vec<registries::Update>) {
    let newer = &mut store.engines.newer;
    if newer.len() + images.len() > MOST {
        newer.clear();
    }
    for update in images.into_iter().take(MOST) {
        let found = match () {
            () if update.available => Newer::Yes,
            () if update.why.is_empty() => Newer::No,
            () => Newer::Unknown(update.why),
        };
        newer.insert((host, update.image), found);
    }
    renew(store, host, "images", super::images::newer);
}

/// Takes in how much is in the volumes of a host.
pub fn measured(store: &mut Store, host: HostId, volumes: Vec<(String, u64)>) {
    let sizes = &mut store.engines.sizes;
    if sizes.len() + volumes.len() > MOST {
        sizes.clear();
    }
    sizes.extend(volumes.into_iter().take(MOST).map(|(name, size)| ((host, name), size)));
    renew(store, host, "volumes", super::volumes::size);
}

/// Rows of a host show what came.
fn renew(store: &mut Store, host: HostId, list: &str, show: fn(&Engines, &mut Record)) {
    let Store { engines, sheets, .. } = store;
    for (_, sheet) in sheets.iter_mut().filter(|((_, name), _)| *name == list) {
        sheet.rows.values_mut().filter(|row| row.host == host).for_each(|row| show(engines, row));
        sheet.version += 1;
    }
}

/// Whether a layer needs nothing more, in the engine's words.
pub fn is_over(status: &str) -> bool {
    let words = ["Pull complete", "Already exists", "Pushed", "Layer already exists", "Mounted"];
    words.iter().any(|word| status.starts_with(word))
}

/// The key of the word for a kind of things.
pub const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Image => "engine.kind.image",
        Kind::Container => "engine.kind.container",
        Kind::Volume => "engine.kind.volume",
        Kind::Network => "engine.kind.network",
        Kind::Cache => "engine.kind.cache",
        Kind::Unknown => "engine.kind.other",
    }
}

/// An engine as a row.
pub fn record(host: HostId, on: &str, about: &About) -> Record {
    let count = |n: u32| Value::count(u64::from(n));
    let api = format!("API {}", about.api);
    let cpus = format!("{} CPU · {}", about.cpus, format::bytes(about.memory));
    let facts = [
        ("engine.fact.api", &api),
        ("engine.fact.system", &about.system),
        ("engine.fact.kernel", &about.kernel),
        ("engine.fact.architecture", &about.architecture),
        ("engine.fact.machine", &cpus),
        ("engine.fact.logging", &about.logging),
        ("engine.fact.cgroups", &about.cgroups),
        ("engine.fact.runtime", &about.runtime),
        ("engine.fact.swarm", &about.swarm),
    ];
    let facts = facts.into_iter().filter(|(_, text)| !text.is_empty());
    let mut more: Vec<_> = facts.map(|(key, text)| (key, clean(text).into_owned())).collect();
    let warnings = about.warnings.iter().take(20);
    more.extend(warnings.map(|text| ("engine.fact.warning", clean(text).into_owned())));
    Record {
        id: id_of(&(host, "engine")),
        host,
        values: vec![
            Value::text(on, Role::Accent),
            Value::text(&about.version, Role::Strong),
            count(about.running),
            count(about.paused),
            count(about.stopped),
            count(about.images),
            Value::soft(&about.storage),
            Value::soft(&about.root),
        ],
        more,
        target: Target::None,
    }
}

/// The room of one kind of things as a row.
pub fn room(host: HostId, room: &Room) -> Record {
    Record {
        id: id_of(&(host, room.kind.as_str())),
        host,
        values: vec![
            Value::Word(kind(room.kind), Role::Strong),
            Value::count(u64::from(room.total)),
            Value::count(u64::from(room.active)),
            Value::bytes(Some(room.size)),
            Value::bytes(Some(room.reclaimable)),
        ],
        more: Vec::new(),
        target: Target::None,
    }
}

/// Takes in something that happened. What was told before is told once.
pub fn happened(store: &mut Store, key: SheetKey, host: HostId, event: &Event) {
    let (now_ms, time) = (store.now_ms, store.clock(event.at_ms, true));
    let sheet = store.sheet_mut(key);
    if event.lost > 0 {
        *sheet.left_out.entry(host).or_default() += event.lost;
    }
    let short = event.id.strip_prefix("sha256:").unwrap_or(&event.id);
    let short = short.get(..12).filter(|_| short.len() == 64).unwrap_or(short);
    let name = if event.name.is_empty() { short } else { event.name.as_str() };
    let said = ["image", "exitCode", "container", "driver"].into_iter();
    let said = said.filter_map(|key| event.more.get(key).map(|value| format!("{key}={value}")));
    let said: Vec<String> = said.collect();
    let more = event.more.iter().take(100);
    let more = more.map(|(key, value)| ("engine.event.more", format!("{key}={value}")));
    let more = more.chain([("engine.event.id", event.id.clone())]);
    let role = match event.action.split([':', ' ']).next().unwrap_or_default() {
        "die" | "oom" | "kill" => Role::Bad,
        "destroy" | "delete" | "stop" | "untag" => Role::Warn,
        "start" | "create" | "pull" | "mount" | "connect" => Role::Ok,
        _ if event.action.ends_with("unhealthy") => Role::Bad,
        _ => Role::Text,
    };
    let record = Record {
        id: id_of(&(host, event.at_ms, &event.kind, &event.action, &event.id)),
        host,
        values: vec![
            Value::Figure(event.at_ms, time, Role::Soft),
            Value::text(&event.kind, Role::Soft),
            Value::text(&event.action, role),
            Value::text(name, Role::Strong),
            Value::soft(&said.join(" ")),
        ],
        more: more.map(|(key, text)| (key, clean(&text).into_owned())).collect(),
        target: Target::None,
    };
    sheet.rows.insert(record.id, record);
    if sheet.rows.len() > EVENTS + EVENTS / 8 {
        let mut times: Vec<u64> = sheet.rows.values().map(at_ms).collect();
        times.sort_unstable();
        let from = times[times.len() - EVENTS];
        sheet.rows.retain(|_, row| at_ms(row) >= from);
    }
    sheet.answered.insert(host);
    sheet.came(now_ms);
}

/// When something happened.
fn at_ms(row: &Record) -> u64 {
    match row.values.first() {
        Some(Value::Figure(at_ms, ..)) => *at_ms,
        _ => 0,
    }
}

/// When the newest of what is known happened, milliseconds since 1970.
pub fn newest_ms(store: &Store, key: SheetKey) -> Option<u64> {
    store.sheet(key)?.rows.values().map(at_ms).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SheetKey = (Some(HostId([1; 16])), "engine_events");

    fn event(at_ms: u64, action: &str) -> Event {
        Event { at_ms, kind: "container".into(), action: action.into(), ..Event::default() }
    }

    #[test]
    fn what_is_told_again_after_a_pause_stands_there_once() {
        let mut store = Store::new(0, 0, false);
        for action in ["start", "die", "start", "die"] {
            happened(&mut store, KEY, HostId([1; 16]), &event(7, action));
        }
        assert_eq!(store.sheet(KEY).map(|sheet| sheet.rows.len()), Some(2));
        assert_eq!(newest_ms(&store, KEY), Some(7));
    }

    #[test]
    fn only_the_newest_events_are_kept() {
        let mut store = Store::new(0, 0, false);
        for n in 0..3 * EVENTS as u64 {
            happened(&mut store, KEY, HostId([1; 16]), &event(n, "start"));
        }
        let sheet = store.sheet(KEY).expect("events");
        assert!(sheet.rows.len() <= EVENTS + EVENTS / 8, "{}", sheet.rows.len());
        let newest = 3 * EVENTS as u64 - 1;
        assert!(sheet.rows.values().any(|row| at_ms(row) == newest));
        assert!(sheet.rows.values().all(|row| at_ms(row) > newest / 2));
    }
}
