//! Groups of upstreams and which one a connection gets. What is known of an upstream (health, counts,
//! ejection) is shared by all event loops and outlives a change of the configuration. Times are
//! milliseconds since the gateway's start.

use crate::config::{self, Balance};
use crate::seen::{Times, Told};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Weights count in these parts, so that slow start has steps below 1.
const PARTS: u64 = 64;

/// What is known of an upstream whatever the configuration says of it.
#[derive(Debug)]
pub struct State {
    pub active: AtomicUsize,
    pub total: AtomicU64,
    /// Connections that could not be made.
    pub failed: AtomicU64,
    /// Bytes towards the upstream and from it.
    pub bytes: [AtomicU64; 2],
    /// What active checks say.
    pub up: AtomicBool,
    /// Said by an operator, over what the configuration says; `u32::MAX`: nothing.
    pub weight: AtomicU32,
    pub drained: AtomicBool,
    in_a_row: AtomicU32,
    ejected_until: AtomicU64,
    /// When it last came back; 0: was never away.
    back_since: AtomicU64,
    /// How long connecting took, and until its first byte came; there from the first time on.
    times: OnceLock<Box<[Times; 2]>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            active: AtomicUsize::default(),
            total: AtomicU64::default(),
            failed: AtomicU64::default(),
            bytes: Default::default(),
            up: AtomicBool::new(true),
            weight: AtomicU32::new(u32::MAX),
            drained: AtomicBool::default(),
            in_a_row: AtomicU32::default(),
            ejected_until: AtomicU64::default(),
            back_since: AtomicU64::default(),
            times: OnceLock::new(),
        }
    }
}

impl State {
    /// What an active check has decided.
    pub fn set_up(&self, up: bool, now: u64) {
        if !self.up.swap(up, Relaxed) && up {
            self.back_since.store(now.max(1), Relaxed);
            self.in_a_row.store(0, Relaxed);
        }
    }

    /// A connection was made.
    pub fn connected(&self) {
        if self.in_a_row.load(Relaxed) != 0 {
            self.in_a_row.store(0, Relaxed);
        }
    }

    /// Connecting took so long.
    pub fn connecting_took(&self, took: Duration, now: u64) {
        self.times.get_or_init(Box::default)[0].took(took.as_micros() as u64, now);
    }

    /// It took so long until its first byte, from when it was connected.
    pub fn first_byte_took(&self, took: Duration, now: u64) {
        self.times.get_or_init(Box::default)[1].took(took.as_micros() as u64, now);
    }

    /// Both, as they were lately.
    pub fn times(&self, now: u64) -> [Option<Told>; 2] {
        self.times.get().map_or([None; 2], |times| [times[0].told(now), times[1].told(now)])
    }

    /// A connection could not be made; ejected after as many as `passive` says.
    pub fn could_not_connect(&self, passive: Option<&config::Passive>, now: u64) {
        self.failed.fetch_add(1, Relaxed);
        let in_a_row = self.in_a_row.fetch_add(1, Relaxed) + 1;
        if let Some(passive) = passive
            && in_a_row >= passive.failures
        {
            let until = now + passive.eject.as_millis() as u64;
            self.ejected_until.store(until, Relaxed);
            self.back_since.store(until.max(1), Relaxed);
            self.in_a_row.store(0, Relaxed);
        }
    }

    pub fn is_ejected(&self, now: u64) -> bool {
        self.ejected_until.load(Relaxed) > now
    }
}

/// An upstream of one configuration.
#[derive(Debug)]
pub struct Upstream {
    pub settings: config::Upstream,
    pub state: Arc<State>,
}

impl Upstream {
    pub fn weight(&self) -> u32 {
        match self.state.weight.load(Relaxed) {
            u32::MAX => self.settings.weight,
            said => said,
        }
    }

    fn usable(&self, now: u64) -> bool {
        let s = &self.state;
        s.up.load(Relaxed) && !self.settings.drain && !s.drained.load(Relaxed) && !s.is_ejected(now)
    }

    fn full(&self) -> bool {
        let most = self.settings.max_connections;
        most > 0 && self.state.active.load(Relaxed) >= most
    }

    /// Takes a place; false when the last one has gone meanwhile.
    pub fn enter(&self) -> bool {
        let most = self.settings.max_connections;
        let before = self.state.active.fetch_add(1, Relaxed);
        if most > 0 && before >= most {
            self.state.active.fetch_sub(1, Relaxed);
            return false;
        }
        true
    }

    /// Weight in parts, less while it starts slowly.
    fn effective(&self, slow_start: u64, now: u64) -> u64 {
        let weight = u64::from(self.weight()) * PARTS;
        let back = self.state.back_since.load(Relaxed);
        if back == 0 || slow_start == 0 || now >= back + slow_start {
            return weight;
        }
        (weight * now.saturating_sub(back) / slow_start).max(u64::from(weight > 0))
    }
}

#[derive(Debug)]
pub struct Group {
    pub settings: config::Group,
    pub upstreams: Vec<Arc<Upstream>>,
    pub waiting: Arc<Waiting>,
}

/// Who waits for a place in a group, whatever the configuration says of it.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Connections, over all event loops.
    pub count: AtomicUsize,
    /// Event loops (bits) that have some of those.
    pub loops: AtomicU64,
}

impl Waiting {
    /// A place may have become free.
    pub fn wake(&self, shared: &crate::shared::Shared) {
        if self.count.load(Relaxed) > 0 {
            shared.places(self.loops.swap(0, Relaxed));
        }
    }
}

/// What an event loop keeps to itself to choose: a place in the round, and dice.
#[derive(Debug, Default)]
pub struct Chooser {
    round: Vec<i64>,
    dice: u64,
}

/// What came of choosing.
#[derive(Debug)]
pub enum Chosen {
    One(Arc<Upstream>),
    /// Those that could be used are full.
    Full,
    /// None can be used.
    None,
}

impl Chooser {
    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.dice;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    pub fn new(seed: u64) -> Self {
        Self { round: Vec::new(), dice: seed }
    }
}

impl Group {
    /// Chooses for a client; `tried` were tried for it and failed. Backups only when no other can be used.
    pub fn choose(
        &self,
        chooser: &mut Chooser,
        source: IpAddr,
        tried: &[SocketAddr],
        now: u64,
    ) -> Chosen {
        let mut full = false;
        for backup in [false, true] {
            let mut fit = |u: &Upstream| {
                let fit = u.settings.backup == backup
                    && u.usable(now)
                    && u.weight() > 0
                    && !tried.contains(&u.settings.address);
                let is_full = fit && u.full();
                full |= is_full;
                fit && !is_full
            };
            if let [one] = self.upstreams.as_slice() {
                if fit(one) {
                    return Chosen::One(one.clone());
                }
                continue;
            }
            let slow = self.settings.slow_start.as_millis() as u64;
            let weights: Vec<u64> = self
                .upstreams
                .iter()
                .map(|u| if fit(u) { u.effective(slow, now) } else { 0 })
                .collect();
            if let Some(at) = self.pick(chooser, &weights, source) {
                return Chosen::One(self.upstreams[at].clone());
            }
            if full {
                return Chosen::Full;
            }
        }
        if full { Chosen::Full } else { Chosen::None }
    }

    fn pick(&self, chooser: &mut Chooser, weights: &[u64], source: IpAddr) -> Option<usize> {
        let total: u64 = weights.iter().sum();
        if total == 0 {
            return None;
        }
        let able = || weights.iter().enumerate().filter(|(_, w)| **w > 0);
        let load = |at: usize| {
            let active = self.upstreams[at].state.active.load(Relaxed) as f64;
            (active + 1.0) / weights[at] as f64
        };
        match self.settings.balance {
            Balance::RoundRobin => {
                // The smooth round: whoever is furthest behind its share is next.
                chooser.round.resize(weights.len(), 0);
                for (at, weight) in able() {
                    chooser.round[at] = chooser.round[at].saturating_add(*weight as i64);
                }
                let (at, _) = able().max_by_key(|(at, _)| (chooser.round[*at], usize::MAX - at))?;
                chooser.round[at] = chooser.round[at].saturating_sub(total as i64);
                Some(at)
            }
            Balance::LeastConnections => {
                let start = chooser.roll() as usize % weights.len();
                let turned =
                    able().map(|(at, _)| (at, (at + weights.len() - start) % weights.len()));
                turned
                    .min_by(|a, b| load(a.0).total_cmp(&load(b.0)).then(a.1.cmp(&b.1)))
                    .map(|(at, _)| at)
            }
            Balance::RandomTwo => {
                let mut one = || {
                    let mut left = chooser.roll() % total;
                    able().find_map(|(at, w)| {
                        let here = left < *w;
                        left = left.saturating_sub(*w);
                        here.then_some(at)
                    })
                };
                let (a, b) = (one()?, one()?);
                // The weight has had its say in the throw; what decides between the two is how busy they are.
                Some(if load(b) < load(a) { b } else { a })
            }
            Balance::SourceHash => {
                // Highest random weight: when one goes, only its own clients move.
                let score = |at: usize, weight: u64| {
                    let mut hasher = DefaultHasher::new();
                    (source.to_canonical(), self.upstreams[at].settings.address).hash(&mut hasher);
                    let unit = (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64;
                    weight as f64 / -unit.max(1e-300).ln()
                };
                able()
                    .max_by(|a, b| score(a.0, *a.1).total_cmp(&score(b.0, *b.1)))
                    .map(|(at, _)| at)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(text: &str) -> Group {
        let settings: config::Group = toml::from_str(&format!("name = \"g\"\n{text}")).unwrap();
        let make = |s: &config::Upstream| {
            Arc::new(Upstream { settings: s.clone(), state: Arc::default() })
        };
        let upstreams = settings.upstreams.iter().map(make).collect();
        Group { settings, upstreams, waiting: Arc::default() }
    }

    fn three(balance: &str) -> Group {
        group(&format!(
            "balance = \"{balance}\"\nupstream = [{{ address = \"1.1.1.1:1\", weight = 1 }}, {{ address = \"1.1.1.1:2\", weight = 2 }}, {{ address = \"1.1.1.1:3\", weight = 5 }}]"
        ))
    }

    fn shares(group: &Group, count: u32) -> [u32; 3] {
        let (mut got, mut chooser) = ([0; 3], Chooser::new(1));
        for n in 0..count {
            let Chosen::One(u) = group.choose(&mut chooser, IpAddr::V4(n.into()), &[], 0) else {
                panic!()
            };
            assert!(u.enter());
            got[usize::from(u.settings.address.port()) - 1] += 1;
        }
        got
    }

    #[test]
    fn weights_are_kept() {
        assert_eq!(shares(&three("round-robin"), 80), [10, 20, 50]);
        assert_eq!(shares(&three("least-connections"), 80), [10, 20, 50]);
        for balance in ["random-two", "source-hash"] {
            let [a, b, c] = shares(&three(balance), 8000);
            assert!(
                (800..1300).contains(&a) && (1700..2300).contains(&b) && c > 4500,
                "{balance} {a} {b} {c}"
            );
        }
    }

    #[test]
    fn only_the_clients_of_one_that_goes_move() {
        let g = three("source-hash");
        let mut chooser = Chooser::new(1);
        let mut all = || {
            (0..500u32)
                .map(|n| match g.choose(&mut chooser, IpAddr::V4(n.into()), &[], 0) {
                    Chosen::One(u) => u.settings.address.port(),
                    other => panic!("{other:?}"),
                })
                .collect::<Vec<_>>()
        };
        let before = all();
        g.upstreams[1].state.set_up(false, 0);
        for (was, is) in before.into_iter().zip(all()) {
            assert!(was == is || was == 2);
        }
    }

    #[test]
    fn backups_serve_when_no_other_can_and_full_ones_make_clients_wait() {
        let g = group(
            "upstream = [{ address = \"1.1.1.1:1\", max_connections = 1 }, { address = \"1.1.1.1:2\", backup = true }]",
        );
        let mut chooser = Chooser::default();
        let ip = IpAddr::V4(1.into());
        let mut port = |tried: &[SocketAddr]| match g.choose(&mut chooser, ip, tried, 0) {
            Chosen::One(u) => u.settings.address.port(),
            Chosen::Full => 0,
            Chosen::None => 9,
        };
        assert_eq!(port(&[]), 1);
        assert_eq!(port(&["1.1.1.1:1".parse().unwrap()]), 2);
        assert!(g.upstreams[0].enter());
        assert!(!g.upstreams[0].enter());
        assert_eq!(port(&[]), 0);
        g.upstreams[0].state.set_up(false, 0);
        assert_eq!(port(&[]), 2);
        g.upstreams[1].state.drained.store(true, Relaxed);
        assert_eq!(port(&[]), 9);
    }

    #[test]
    fn an_upstream_that_fails_is_ejected_and_comes_back_slowly() {
        let g = group(
            "slow_start = \"10s\"\npassive = { failures = 2, eject = \"5s\" }\nupstream = [{ address = \"1.1.1.1:1\" }, { address = \"1.1.1.1:2\" }]",
        );
        let state = &g.upstreams[0].state;
        state.could_not_connect(g.settings.passive.as_ref(), 1000);
        assert!(!state.is_ejected(1000));
        state.could_not_connect(g.settings.passive.as_ref(), 1000);
        assert!(state.is_ejected(5999) && !state.is_ejected(6000));
        assert_eq!(g.upstreams[0].effective(10_000, 6000), 1);
        assert_eq!(g.upstreams[0].effective(10_000, 11_000), PARTS / 2);
        assert_eq!(g.upstreams[0].effective(10_000, 16_000), PARTS);
    }
}
