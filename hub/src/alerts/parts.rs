//! How the hub's own parts stand, as rules see them: what keeps its history, its records and its audit log, who it
//! sends figures and notices to. Looked at with each cycle, so that what is wrong with the hub is an alert like others.

use crate::history::Standing;
use crate::server::Hub;
use cmdr_rules::told::{self, instance};
use cmdr_rules::{Engine, HUB};
use std::collections::BTreeSet;

/// What one of several of the thing is called.
const PART: &str = "part";

/// A part and the word for how it stands.
pub(super) type Part = (String, &'static str);

const fn word(works: bool) -> &'static str {
    if works { "working" } else { "failing" }
}

/// All parts as they stand now.
pub(super) fn all(hub: &Hub) -> Vec<Part> {
    let mut parts = vec![
        ("store".to_owned(), word(hub.store.is_writable())),
        ("audit".to_owned(), word(hub.audit.is_writable())),
    ];
    let history = match hub.history.standing() {
        Standing::Off => None,
        Standing::Works => Some("working"),
        Standing::Fails => Some("failing"),
        Standing::Full => Some("full"),
    };
    parts.extend(history.map(|word| ("history".to_owned(), word)));
    let targets = hub.remote_write.told().into_iter();
    parts.extend(
        targets.map(|told| (format!("remote-write/{}", told.name), word(told.failing_ms == 0))),
    );
    let notifiers = hub.notifiers.standing().into_iter();
    parts.extend(notifiers.map(|(name, works)| (format!("notifier/{name}"), word(works))));
    parts
}

/// Tells the engine of them; what is not among them any more has gone.
pub(super) fn tell(engine: &mut Engine, told: &mut BTreeSet<String>, parts: &[Part], now: u64) {
    let hub = engine.host(HUB, now);
    let there: BTreeSet<String> = parts.iter().map(|(name, _)| instance(name)).collect();
    for gone in told.difference(&there) {
        engine.remove_instance(hub, PART, gone);
    }
    for (name, word) in parts {
        told::state(engine, hub, (HUB, name), word, now);
    }
    *told = there;
}
