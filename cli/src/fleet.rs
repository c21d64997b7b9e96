//! The fleet as `hosts.watch` tells it: hosts and their newest figures. Used by `hosts` and `top`.

use crate::connect::Hub;
use crate::exit::Failure;
use crate::human;
use crate::output::Format;
use cmdr_link::{FeedStream, clock};
use cmdr_protocol::HostId;
use cmdr_protocol::facts::Facts;
use cmdr_protocol::hosts::{Change, Figures, Host, HostState, Labels, Watch};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Hosts and figures, kept up to date by [`Fleet::apply`].
#[derive(Debug, Default)]
pub struct Fleet {
    hosts: BTreeMap<HostId, Host>,
    figures: BTreeMap<HostId, Figures>,
}

impl Fleet {
    /// Takes in a change and names the hosts it is about.
    pub fn apply(&mut self, change: Change) -> BTreeSet<HostId> {
        let mut touched = BTreeSet::new();
        if change.reset {
            self.hosts.clear();
            self.figures.clear();
        }
        for id in change.gone {
            self.hosts.remove(&id);
            self.figures.remove(&id);
        }
        for host in change.put {
            let Some(id) = host.id else { continue };
            if host.state != HostState::Online {
                // Figures of a host that is away would look live.
                self.figures.remove(&id);
            }
            self.hosts.insert(id, host);
            touched.insert(id);
        }
        for figures in change.figures {
            if self.hosts.contains_key(&figures.id) {
                self.figures.insert(figures.id, figures);
                touched.insert(figures.id);
            }
        }
        touched
    }

    /// Whether every host that is online has figures.
    pub fn is_complete(&self) -> bool {
        self.hosts
            .iter()
            .all(|(id, host)| host.state != HostState::Online || self.figures.contains_key(id))
    }

    /// Whether this host is online with figures.
    pub fn has_figures(&self, id: &HostId) -> bool {
        self.figures.contains_key(id)
    }

    /// The row of one host.
    pub fn row(&self, id: &HostId, now_ms: u64) -> Option<Row> {
        self.hosts.get(id).map(|host| Row::new(host, self.figures.get(id), now_ms))
    }

    /// All rows by name, those that wait for approval last.
    pub fn rows(&self, now_ms: u64) -> Vec<Row> {
        let mut rows: Vec<_> = self.hosts.keys().filter_map(|id| self.row(id, now_ms)).collect();
        rows.sort_by(|a, b| {
            (a.state == HostState::Pending, &a.name).cmp(&(b.state == HostState::Pending, &b.name))
        });
        rows
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}

/// A running `hosts.watch` and what it told so far.
#[derive(Debug)]
pub struct Watching {
    /// What is known.
    pub fleet: Fleet,
    feed: FeedStream<Watch>,
}

impl Watching {
    /// Begins to watch and waits until all of the fleet is told.
    pub async fn start(hub: &Hub, selector: &str, interval: Duration) -> Result<Self, Failure> {
        let watch = Watch {
            selector: selector.to_owned(),
            interval_ms: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
        };
        let feed = hub.client.feed(None, &watch).await.map_err(Failure::from_hub)?;
        let mut watching = Self { fleet: Fleet::default(), feed };
        loop {
            let piece = tokio::time::timeout(hub.patience(), watching.piece()).await;
            let (_, more) = piece.map_err(|_| {
                let what =
                    format!("the hub did not answer within {} s", hub.patience().as_secs_f32());
                Failure::new(crate::exit::Exit::NoHub, what)
            })??;
            if !more {
                return Ok(watching);
            }
        }
    }

    /// Waits for the next piece of a change; names the hosts it is about, and says whether more of it follows.
    async fn piece(&mut self) -> Result<(BTreeSet<HostId>, bool), Failure> {
        match self.feed.next().await {
            Some(Ok(change)) => {
                let more = change.more;
                Ok((self.fleet.apply(change), more))
            }
            Some(Err(e)) => Err(Failure::from_hub(e)),
            None => Err(Failure::new(crate::exit::Exit::NoHub, "the hub ended the watch")),
        }
    }

    /// Waits for the next change and names the hosts it is about.
    pub async fn next(&mut self) -> Result<BTreeSet<HostId>, Failure> {
        let mut all = BTreeSet::new();
        loop {
            let (mut touched, more) = self.piece().await?;
            all.append(&mut touched);
            if !more {
                return Ok(all);
            }
        }
    }

    /// Waits for the next change and gives what to show after it: the rows it is about where each line
    /// stands for itself, else all.
    pub async fn next_rows(&mut self, format: Format) -> Result<Vec<Row>, Failure> {
        let changed = self.next().await?;
        let now = clock::now_ms();
        Ok(match format {
            Format::Ndjson => changed.iter().filter_map(|id| self.fleet.row(id, now)).collect(),
            _ => self.fleet.rows(now),
        })
    }

    /// Waits until every host that is online has figures, but not longer than this.
    pub async fn settle(&mut self, at_most: Duration) -> Result<(), Failure> {
        let end = Instant::now() + at_most;
        while !self.fleet.is_complete() {
            match timeout_at(end, self.next()).await {
                Ok(changed) => drop(changed?),
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// One host as data: the field names are a promise.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Hash of its key.
    pub id: String,
    /// Unique in the fleet.
    pub name: String,
    /// `online`, `away` or `pending`.
    pub state: HostState,
    /// For selectors.
    pub labels: Labels,
    /// Version of its agent.
    pub agent: String,
    /// Where it dials from.
    pub address: String,
    /// When its link came up.
    pub online_since: Option<String>,
    /// When it was last heard of.
    pub last_seen: Option<String>,
    /// Why its last link ended.
    pub last_drop: String,
    /// When it joined.
    pub joined: Option<String>,
    /// Round trip between hub and host.
    pub rtt_ms: Option<f64>,
    /// Its clock minus the hub's.
    pub skew_ms: Option<i64>,
    /// Newest figures; absent while it is not online.
    pub figures: Option<Shown>,
    /// What it is.
    pub facts: Option<Facts>,
    /// How long ago it was last heard of, for tables.
    #[serde(skip)]
    pub seen: String,
}

/// Figures as data.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Busy percent of all processors together.
    pub cpu_percent: f64,
    /// Bytes.
    pub memory_used: u64,
    /// Bytes.
    pub memory_total: u64,
    /// One-minute load.
    pub load1: f64,
    /// Fullest file system.
    pub disk_percent: f64,
    /// Bytes received a second.
    pub rx_bps: u64,
    /// Bytes sent a second.
    pub tx_bps: u64,
}

impl Row {
    fn new(host: &Host, figures: Option<&Figures>, now_ms: u64) -> Self {
        let from_link = host.link.as_ref().and_then(|link| link.rtt_us);
        let rtt_us = figures.map(|f| f.rtt_us).filter(|us| *us > 0).or(from_link);
        let seen = match host.state {
            HostState::Online => "now".to_owned(),
            _ => human::ago(host.last_seen_ms, now_ms),
        };
        Self {
            id: host.id.map(|id| id.to_string()).unwrap_or_default(),
            name: host.name.clone(),
            state: host.state,
            labels: host.labels.clone(),
            agent: host.agent.clone(),
            address: host.address.clone(),
            online_since: host.online_since_ms.map(human::moment),
            last_seen: host.last_seen_ms.map(human::moment),
            last_drop: host.last_drop.clone(),
            joined: Some(host.joined_ms).filter(|ms| *ms > 0).map(human::moment),
            rtt_ms: rtt_us.map(|us| f64::from(us) / 1000.0),
            skew_ms: host.link.as_ref().and_then(|link| link.skew_ms),
            figures: figures.map(|f| Shown {
                cpu_percent: f64::from(f.cpu) / 10.0,
                memory_used: f.memory_used,
                memory_total: f.memory_total,
                load1: f64::from(f.load) / 100.0,
                disk_percent: f64::from(f.disk) / 10.0,
                rx_bps: f.received,
                tx_bps: f.sent,
            }),
            facts: host.facts.clone(),
            seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(byte: u8, name: &str, state: HostState) -> Host {
        Host { id: Some(HostId([byte; 16])), name: name.into(), state, ..Host::default() }
    }

    fn figures(byte: u8) -> Figures {
        Figures {
            id: HostId([byte; 16]),
            cpu: 125,
            memory_used: 10,
            memory_total: 20,
            load: 150,
            disk: 500,
            received: 1,
            sent: 2,
            rtt_us: 1500,
        }
    }

    #[test]
    fn figures_of_a_host_that_went_away_are_dropped() {
        let mut fleet = Fleet::default();
        let put = vec![host(1, "b", HostState::Online), host(2, "a", HostState::Pending)];
        fleet.apply(Change { reset: true, put, figures: vec![figures(1)], ..Change::default() });
        assert!(fleet.is_complete());
        let names: Vec<_> = fleet.rows(0).into_iter().map(|r| r.name).collect();
        assert_eq!(names, ["b", "a"], "those that wait come last");
        let put = vec![host(1, "b", HostState::Away)];
        fleet.apply(Change { put, ..Change::default() });
        assert!(fleet.rows(0)[0].figures.is_none());
    }

    #[test]
    fn the_json_of_a_host_has_its_promised_fields() {
        let mut fleet = Fleet::default();
        let mut one = host(1, "web1", HostState::Online);
        one.labels.insert("role".into(), "web".into());
        one.last_seen_ms = Some(1000);
        fleet.apply(Change {
            reset: true,
            put: vec![one],
            figures: vec![figures(1)],
            ..Change::default()
        });
        let value = serde_json::to_value(&fleet.rows(0)[0]).unwrap();
        let expected = serde_json::json!({
            "id": HostId([1; 16]).to_string(), "name": "web1", "state": "online",
            "labels": {"role": "web"}, "agent": "", "address": "", "online_since": null,
            "last_seen": "1970-01-01T00:00:01Z", "last_drop": "", "joined": null,
            "rtt_ms": 1.5, "skew_ms": null, "facts": null,
            "figures": {"cpu_percent": 12.5, "memory_used": 10, "memory_total": 20, "load1": 1.5,
                "disk_percent": 50.0, "rx_bps": 1, "tx_bps": 2},
        });
        assert_eq!(value, expected);
    }
}
