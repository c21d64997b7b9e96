//! The fleet as the hub tells it. The hosts pane shows it; every other pane looks names up here.

use super::settled::Settled;
use super::{RTT_NOISE_US, Store, Stored};
use crate::link::Peer;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::hosts::{Change, Figures, Host, HostState, Watch};
use std::collections::HashMap;

/// How many seconds of processor use a row remembers.
pub const REMEMBERED: usize = 60;

/// Changes that come within this time are pieces of one sample of the fleet.
const PIECES_MS: u64 = 500;

/// All hosts.
#[derive(Default)]
pub struct Hosts {
    /// Who we are, from the hub's welcome; stays when the link goes.
    pub me: Option<Peer>,
    /// By id.
    pub rows: HashMap<HostId, Row>,
    /// Goes up when rows come, go, or change in more than their figures.
    pub shape: u64,
    /// Goes up with every change.
    pub version: u64,
    /// Sums over the fleet, made anew with every change.
    pub totals: Totals,
    /// Processor use of the whole fleet, permille, one a second.
    pub cpu: Vec<u16>,
    /// How many of those there ever were.
    pub cpu_pushed: u64,
    /// When the newest one was begun: a large fleet's figures come in several pieces a second.
    cpu_at_ms: u64,
    /// What the hub remembered of the hosts at first: for each second the sum, and of how many.
    past: Vec<(u32, u32)>,
    /// When the fleet was told from the beginning.
    began_ms: u64,
    /// False until the first item came.
    pub known: bool,
}

/// One host.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// As the hub tells it, texts made harmless.
    pub host: Host,
    /// Newest figures; absent until some came.
    pub figures: Option<Figures>,
    /// When they came.
    pub figures_at_ms: u64,
    /// The round trip of its link, microseconds.
    rtt_us: Settled,
    /// Processor use, permille, oldest first, at most [`REMEMBERED`].
    pub cpu: Vec<u16>,
    /// How many samples ever came: where the newest one stands in the sparkline's grid.
    pub pushed: u64,
    /// Labels as one text.
    pub labels: String,
    /// What the filter looks through.
    pub haystack: String,
}

/// Sums over the fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub all: usize,
    pub online: usize,
    pub away: usize,
    pub pending: usize,
    /// Mean of hosts that are online, permille.
    pub cpu: Option<u16>,
    /// Used and total bytes of hosts that are online.
    pub memory: (u64, u64),
    /// The fullest file system, permille, and whose.
    pub disk: Option<(u16, HostId)>,
    /// Received and sent bytes a second.
    pub net: (u64, u64),
}

impl Row {
    /// The row of a host, its texts made harmless once and for all.
    pub fn new(mut host: Host) -> Self {
        for text in [&mut host.name, &mut host.agent, &mut host.address, &mut host.last_drop] {
            if let std::borrow::Cow::Owned(harmless) = clean(text) {
                *text = harmless;
            }
        }
        let labels: Vec<_> =
            host.labels.iter().map(|(k, v)| format!("{}={}", clean(k), clean(v))).collect();
        let labels = labels.join(" ");
        let os = host.facts.as_ref().map_or("", |f| f.os.as_str());
        let haystack =
            format!("{} {} {} {} {}", host.name, host.state, labels, clean(os), host.address);
        Self { host, labels, haystack, ..Self::default() }
    }

    /// Figures, only while the host can have any.
    pub fn live(&self) -> Option<&Figures> {
        self.figures.as_ref().filter(|_| self.host.state == HostState::Online)
    }

    /// The round trip of its link in microseconds, if the hub measured one.
    pub fn round_trip(&self) -> Option<u32> {
        self.rtt_us.get().and_then(|us| u32::try_from(us).ok())
    }

    fn push_cpu(&mut self, permille: u16) {
        push_bounded(&mut self.cpu, permille);
        self.pushed += 1;
    }
}

fn push_bounded(values: &mut Vec<u16>, value: u16) {
    if values.len() >= REMEMBERED {
        values.remove(0);
    }
    values.push(value);
}

impl Hosts {
    /// The row of a host.
    pub fn get(&self, id: HostId) -> Option<&Row> {
        self.rows.get(&id)
    }

    /// The name of a host, or its id when it has none we know.
    pub fn name(&self, id: HostId) -> String {
        self.get(id).map_or_else(|| id.to_string(), |row| row.host.name.clone())
    }

    fn change(&mut self, now_ms: u64, change: Change) {
        if change.reset {
            self.rows.clear();
            self.past.clear();
            self.began_ms = now_ms;
            self.shape += 1;
        }
        self.known = true;
        for id in change.gone {
            self.rows.remove(&id);
            self.shape += 1;
        }
        for host in change.put {
            let Some(id) = host.id else { continue };
            let mut row = Row::new(host);
            if let Some(old) = self.rows.remove(&id) {
                row.figures = old.figures;
                row.figures_at_ms = old.figures_at_ms;
                row.rtt_us = old.rtt_us;
                row.cpu = old.cpu;
                row.pushed = old.pushed;
            }
            self.rows.insert(id, row);
            self.shape += 1;
        }
        // A large fleet is told in several pieces.
        let first = now_ms.saturating_sub(self.began_ms) < 4 * PIECES_MS;
        for history in change.history {
            if let Some(row) = self.rows.get_mut(&history.id) {
                let skip = history.cpu.len().saturating_sub(REMEMBERED);
                row.cpu = history.cpu[skip..].to_vec();
                row.pushed = row.cpu.len() as u64;
                if first {
                    self.remember(&history.cpu);
                }
            }
        }
        if first && !self.past.is_empty() {
            let means = self.past.iter().map(|(sum, count)| sum.checked_div(*count));
            self.cpu = means.flatten().map(|mean| mean as u16).collect();
            (self.cpu_pushed, self.cpu_at_ms) = (self.cpu.len() as u64, 0);
        }
        let some = !change.figures.is_empty();
        for figures in change.figures {
            if let Some(row) = self.rows.get_mut(&figures.id) {
                let rtt_us = Some(u64::from(figures.rtt_us)).filter(|us| *us > 0);
                row.rtt_us.take(now_ms, rtt_us, RTT_NOISE_US);
                row.figures = Some(figures);
                row.figures_at_ms = now_ms;
                row.push_cpu(figures.cpu);
            }
        }
        self.version += 1;
        self.totals = self.sum();
        if let (true, Some(cpu)) = (some, self.totals.cpu) {
            match self.cpu.last_mut() {
                Some(newest) if now_ms.saturating_sub(self.cpu_at_ms) < PIECES_MS => *newest = cpu,
                _ => {
                    push_bounded(&mut self.cpu, cpu);
                    self.cpu_pushed += 1;
                    self.cpu_at_ms = now_ms;
                }
            }
        }
    }

    /// Adds what the hub remembers of a host to what the fleet's processor use was.
    fn remember(&mut self, cpu: &[u16]) {
        self.past.resize(REMEMBERED, (0, 0));
        for (sum, cpu) in self.past.iter_mut().rev().zip(cpu.iter().rev()) {
            *sum = (sum.0 + u32::from(*cpu), sum.1 + 1);
        }
    }

    fn sum(&self) -> Totals {
        let mut totals = Totals { all: self.rows.len(), ..Totals::default() };
        let (mut cpu, mut counted) = (0u64, 0u64);
        for (id, row) in &self.rows {
            match row.host.state {
                HostState::Online => totals.online += 1,
                HostState::Pending => totals.pending += 1,
                HostState::Away | HostState::Unknown => totals.away += 1,
            }
            let Some(figures) = row.live() else { continue };
            cpu += u64::from(figures.cpu);
            counted += 1;
            totals.memory.0 += figures.memory_used;
            totals.memory.1 += figures.memory_total;
            totals.net.0 += figures.received;
            totals.net.1 += figures.sent;
            if totals.disk.is_none_or(|(most, whose)| (figures.disk, whose) > (most, *id)) {
                totals.disk = Some((figures.disk, *id));
            }
        }
        totals.cpu = (cpu.checked_div(counted)).map(|mean| mean as u16);
        totals
    }
}

impl Stored for Watch {
    fn apply(store: &mut Store, _host: Option<HostId>, item: Change) {
        let now_ms = store.now_ms;
        store.hosts.change(now_ms, item);
    }

    fn resumed(&self, store: &Store, _host: Option<HostId>) -> Self {
        Self { interval_ms: store.interval_ms(self.interval_ms), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::hosts::History;

    fn host(n: u8, name: &str, state: HostState) -> Host {
        Host { id: Some(HostId([n; 16])), name: name.into(), state, ..Host::default() }
    }

    fn figures(n: u8, cpu: u16) -> Figures {
        Figures {
            id: HostId([n; 16]),
            cpu,
            memory_used: 1,
            memory_total: 2,
            load: 0,
            disk: 10 * u16::from(n),
            received: 0,
            sent: 0,
            rtt_us: 0,
        }
    }

    #[test]
    fn names_from_hosts_are_made_harmless_on_arrival() {
        let mut hosts = Hosts::default();
        let put = vec![host(1, "web\u{1b}[2J1", HostState::Online)];
        hosts.change(0, Change { reset: true, put, ..Change::default() });
        assert_eq!(hosts.name(HostId([1; 16])), "web␛[2J1");
    }

    #[test]
    fn totals_count_only_hosts_that_are_online() {
        let mut hosts = Hosts::default();
        let put = vec![host(1, "a", HostState::Online), host(2, "b", HostState::Away)];
        let figures = vec![figures(1, 200), figures(2, 900)];
        hosts.change(5, Change { reset: true, put, figures, ..Change::default() });
        let expected = Totals {
            all: 2,
            online: 1,
            away: 1,
            cpu: Some(200),
            memory: (1, 2),
            disk: Some((10, HostId([1; 16]))),
            ..Totals::default()
        };
        assert_eq!(hosts.totals, expected);
    }

    #[test]
    fn the_fleets_past_is_the_mean_of_what_is_known_of_its_hosts() {
        let mut hosts = Hosts::default();
        let put = vec![host(1, "a", HostState::Online), host(2, "b", HostState::Online)];
        let history = |n, cpu: &[u16]| History { id: HostId([n; 16]), cpu: cpu.to_vec() };
        let history = vec![history(1, &[100, 200, 300]), history(2, &[400, 500])];
        hosts.change(0, Change { reset: true, put, history, ..Change::default() });
        assert_eq!((hosts.cpu.as_slice(), hosts.cpu_pushed), ([100, 300, 400].as_slice(), 3));
    }

    #[test]
    fn pieces_of_one_second_are_one_sample_of_the_fleet() {
        let mut hosts = Hosts::default();
        let put = vec![host(1, "a", HostState::Online), host(2, "b", HostState::Online)];
        hosts.change(0, Change { reset: true, put, ..Change::default() });
        for (at_ms, n, cpu) in [(1000, 1, 100), (1004, 2, 300), (2000, 1, 500), (2009, 2, 500)] {
            hosts.change(at_ms, Change { figures: vec![figures(n, cpu)], ..Change::default() });
        }
        assert_eq!((hosts.cpu.as_slice(), hosts.cpu_pushed), ([200, 500].as_slice(), 2));
    }

    #[test]
    fn a_changed_host_keeps_its_figures_and_history() {
        let mut hosts = Hosts::default();
        let put = vec![host(1, "a", HostState::Online)];
        hosts.change(
            5,
            Change { reset: true, put, figures: vec![figures(1, 1)], ..Change::default() },
        );
        let put = vec![host(1, "b", HostState::Online)];
        hosts.change(6, Change { put, ..Change::default() });
        let row = hosts.get(HostId([1; 16])).expect("there");
        assert_eq!((row.host.name.as_str(), row.cpu.as_slice()), ("b", [1].as_slice()));
    }
}
