//! What the data plane counts of forwards: it outlives the agent, and its counters begin anew when it does.

use super::meant;
use crate::Agent;
use cmdr_protocol::display::clean_to_width;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A listener as the data plane tells of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Listener {
    pub(super) name: String,
    #[serde(deserialize_with = "or_nothing")]
    pub(super) address: String,
    transport: String,
    pub(super) active: u32,
    accepted: u64,
    failed: u64,
    dropped: u64,
    bytes_in: u64,
    bytes_out: u64,
}

fn or_nothing<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

fn all<T: DeserializeOwned>(answer: &Value, list: &str) -> Vec<T> {
    let all = answer.get(list).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|one| T::deserialize(one).ok()).collect()
}

/// The listeners of forwards, and those that listen no more and have connections still.
pub(super) async fn ask(agent: &Agent) -> Result<(Vec<Listener>, Vec<Listener>), String> {
    let answer = agent.dataplane().ask(&json!({"request": "status"})).await;
    let answer = answer.map_err(|wrong| wrong.join("; "))?;
    let own = |list: &str| -> Vec<Listener> {
        let mut own: Vec<Listener> = all(&answer, list);
        own.retain(|one| meant::short(&one.name).is_some());
        own
    };
    Ok((own("listeners"), own("left")))
}

/// Why the last connection of each forward failed, as far as that is remembered.
pub(super) async fn errors(agent: &Agent) -> BTreeMap<String, String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Ended {
        listener: String,
        reason: String,
    }
    // How connections end of which nobody has to be told.
    const USUAL: [&str; 4] =
        ["done", "idle for too long", "the listener's connections were cut", "the gateway stops"];
    let Ok(answer) = agent.dataplane().ask(&json!({"request": "log"})).await else {
        return BTreeMap::new();
    };
    let ended: Vec<Ended> = all(&answer, "log");
    let bad = ended.into_iter().filter(|one| !USUAL.contains(&one.reason.as_str()));
    // The newest is the last.
    let named = bad.filter_map(|one| {
        let name = meant::short(&one.listener)?.to_owned();
        Some((name, clean_to_width(&one.reason, 200)))
    });
    named.collect()
}

/// Connections, failed ones, bytes from those who connect and to them; over all data planes that there were.
#[derive(Debug, Default)]
pub(super) struct Tally {
    base: [u64; 4],
    /// What each listener told last.
    last: BTreeMap<(String, String), [u64; 4]>,
}

impl Tally {
    pub(super) fn count(&mut self, now: &[&Listener]) {
        let mut seen = BTreeMap::new();
        for one in now {
            let key = (one.transport.clone(), one.address.clone());
            let told = [one.accepted, one.failed + one.dropped, one.bytes_in, one.bytes_out];
            let before = self.last.remove(&key).unwrap_or_default();
            // Another one of this name that began at nothing.
            if told.iter().zip(before).any(|(told, before)| *told < before) {
                add(&mut self.base, before);
            }
            seen.insert(key, told);
        }
        for (_, told) in std::mem::replace(&mut self.last, seen) {
            add(&mut self.base, told);
        }
    }

    pub(super) fn all(&self) -> [u64; 4] {
        self.last.values().fold(self.base, |mut sum, told| {
            add(&mut sum, *told);
            sum
        })
    }
}

fn add(sum: &mut [u64; 4], more: [u64; 4]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum = sum.saturating_add(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_goes_on_when_whoever_counts_begins_anew() {
        let told = |accepted, address: &str| Listener {
            accepted,
            bytes_in: accepted * 10,
            address: address.to_owned(),
            ..Listener::default()
        };
        let mut tally = Tally::default();
        tally.count(&[&told(5, "a")]);
        tally.count(&[&told(7, "a")]);
        assert_eq!(tally.all(), [7, 0, 70, 0]);
        tally.count(&[&told(2, "a")]);
        assert_eq!(tally.all(), [9, 0, 90, 0], "another data plane");
        tally.count(&[&told(1, "b"), &told(2, "a")]);
        tally.count(&[&told(3, "b")]);
        assert_eq!(tally.all(), [12, 0, 120, 0], "it listens elsewhere");
        tally.count(&[]);
        assert_eq!(tally.all(), [12, 0, 120, 0]);
    }
}
