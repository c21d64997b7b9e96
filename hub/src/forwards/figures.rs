//! What forwards carry, for the history and for rules: taken from what hosts say of them anyway.

use super::Forwards;
use crate::server::Hub;
use cmdr_protocol::HostId;
use cmdr_protocol::forwards::kept::{Given, Stand};
use cmdr_protocol::history::names;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How often figures are taken.
pub(super) const FIGURES: Duration = Duration::from_secs(10);

/// What was seen of a host's forwards last.
#[derive(Default)]
pub(super) struct Seen {
    stands: BTreeMap<String, Stand>,
    at: Option<Instant>,
}

impl Forwards {
    /// Takes the figures of all forwards of a host.
    pub(super) fn figures(&self, hub: &Hub, host: HostId, given: &[Given], seen: &mut Seen) {
        let stands: BTreeMap<String, Stand> = {
            let inner = self.lock();
            let stand = |given: &Given| inner.stands.get(&given.name).cloned();
            given.iter().filter_map(stand).map(|stand| (stand.name.clone(), stand)).collect()
        };
        let seconds = seen.at.replace(Instant::now()).map(|then| then.elapsed().as_secs_f64());
        let row = rates(&seen.stands, &stands, seconds);
        seen.stands = stands;
        if !row.is_empty() {
            hub.history.tell(host, &row);
        }
        for (at, of, value) in &row {
            if let Some(metric) = names::ALL.get(*at) {
                hub.alerts.tell_one(host, metric.name, of, *value);
            }
        }
    }
}

/// Figures as the history has them: which, of which forward, how much.
fn rates(
    before: &BTreeMap<String, Stand>,
    now: &BTreeMap<String, Stand>,
    seconds: Option<f64>,
) -> Vec<(usize, String, f64)> {
    let mut row = Vec::new();
    let mut push = |figure: &str, of: &str, value: f64| {
        let at = names::ALL.iter().position(|metric| metric.name == figure);
        row.extend(at.map(|at| (at, of.to_owned(), value)));
    };
    for (name, stand) in now {
        push("forward.connections", name, f64::from(stand.open));
        let (Some(was), Some(seconds)) = (before.get(name), seconds.filter(|s| *s > 0.5)) else {
            continue;
        };
        // Who counts may have begun anew.
        let per_second = |now: u64, was: u64| now.saturating_sub(was) as f64 / seconds;
        push("forward.accepted", name, per_second(stand.total, was.total));
        push("forward.errors", name, per_second(stand.failed, was.failed));
        push("forward.received", name, per_second(stand.sent, was.sent));
        push("forward.sent", name, per_second(stand.received, was.received));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_what_has_come_since_and_never_less_than_nothing() {
        let stand = |total, sent| Stand { open: 2, total, sent, ..Stand::default() };
        let all = |stand: Stand| BTreeMap::from([("db".to_owned(), stand)]);
        let value = |row: &[(usize, String, f64)], name: &str| {
            row.iter().find(|(at, of, _)| names::ALL[*at].name == name && of == "db").map(|r| r.2)
        };
        let first = rates(&BTreeMap::new(), &all(stand(5, 100)), None);
        assert_eq!((value(&first, "forward.connections"), first.len()), (Some(2.0), 1));
        let row = rates(&all(stand(5, 100)), &all(stand(25, 1100)), Some(10.0));
        assert_eq!(value(&row, "forward.accepted"), Some(2.0));
        assert_eq!(value(&row, "forward.received"), Some(100.0));
        assert_eq!(value(&row, "forward.sent"), Some(0.0));
        let anew = rates(&all(stand(5, 100)), &all(stand(1, 10)), Some(10.0));
        assert_eq!(value(&anew, "forward.accepted"), Some(0.0));
    }
}
