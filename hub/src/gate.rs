//! Bounds the handshakes that are on their way: how many from one address, how many in all, how fast.
//!
//! An address that exceeds its share is turned away before any cryptography. When all places are
//! taken, accepting waits until one is free; whoever holds one for more than a second without being
//! done may be the reason, so the oldest of those gives way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// After so long a handshake may lose its place to another.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many handshakes may be on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From one address (one /64 for IPv6).
    pub per_address: usize,
    /// In all.
    pub total: usize,
}

/// The gate. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Gate {
    bounds: Bounds,
    state: Arc<Mutex<State>>,
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// Places taken, oldest first by number.
    places: std::collections::BTreeMap<u64, Place>,
    by_source: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Place {
    since: Instant,
    evict: Arc<Notify>,
}

/// A place at the gate, given back when dropped.
#[derive(Debug)]
pub struct Pass {
    gate: Gate,
    number: u64,
    source: IpAddr,
    evicted: Arc<Notify>,
}

impl Pass {
    /// As [`Pass::evicted`], without holding the place.
    pub fn eviction(&self) -> impl Future<Output = ()> + Send + use<> {
        let evicted = self.evicted.clone();
        async move { evicted.notified().await }
    }

    /// Waits until this handshake has to give way.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.places.remove(&self.number);
        if let Some(count) = state.by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                state.by_source.remove(&self.source);
            }
        }
        self.gate.freed.notify_one();
    }
}

/// Addresses that count as one.
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Gate {
    /// A gate with these bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Arc::default(), freed: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is a place for one more.
    pub async fn ready(&self) {
        loop {
            let wait = {
                let state = self.lock();
                if state.places.len() < self.bounds.total {
                    return;
                }
                let oldest = state.places.values().next();
                oldest.map_or(PATIENCE, |place| {
                    let left = PATIENCE.saturating_sub(place.since.elapsed());
                    if left.is_zero() {
                        place.evict.notify_one();
                    }
                    left.max(Duration::from_millis(10))
                })
            };
            drop(tokio::time::timeout(wait, self.freed.notified()).await);
        }
    }

    /// A place for this address; `None` when it has its share already, or when there is none.
    pub fn enter_if_free(&self, address: IpAddr) -> Option<Pass> {
        let full = self.lock().places.len() >= self.bounds.total;
        if full { None } else { self.enter(address) }
    }

    /// A place for this address; `None` when it has its share already.
    pub fn enter(&self, address: IpAddr) -> Option<Pass> {
        let source = source(address);
        let mut state = self.lock();
        let count = state.by_source.entry(source).or_default();
        if *count >= self.bounds.per_address {
            return None;
        }
        *count += 1;
        let number = state.next;
        state.next += 1;
        let evicted = Arc::new(Notify::new());
        state.places.insert(number, Place { since: Instant::now(), evict: evicted.clone() });
        Some(Pass { gate: self.clone(), number, source, evicted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { per_address: 2, total: 3 };

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn an_address_gets_its_share_and_no_more() {
        let gate = Gate::new(BOUNDS);
        let held = [gate.enter(ip(1)), gate.enter(ip(1))];
        assert!(held.iter().all(Option::is_some));
        assert!(gate.enter(ip(1)).is_none());
        assert!(gate.enter(ip(2)).is_some());
        drop(held);
        assert!(gate.enter(ip(1)).is_some());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let gate = Gate::new(BOUNDS);
        let at = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, 0, 0, 0, last]);
        let _held = [gate.enter(at(1)), gate.enter(at(2))];
        assert!(gate.enter(at(3)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_gate_waits_and_then_the_oldest_gives_way() {
        let gate = Gate::new(BOUNDS);
        let oldest = gate.enter(ip(1)).unwrap();
        let _others = [gate.enter(ip(2)), gate.enter(ip(3))];
        let begin = Instant::now();
        tokio::select! {
            () = oldest.evicted() => assert_eq!(begin.elapsed(), PATIENCE),
            () = gate.ready() => panic!("there was no place"),
        }
        drop(oldest);
        gate.ready().await;
    }
}
