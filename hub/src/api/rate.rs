//! How many requests a second: for each key, and for each address whatever it shows.

use super::settings::Limits;
use crate::gate::source;
use cmdr_protocol::KeyId;
use governor::clock::{Clock as _, MonotonicClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Keys or addresses that are counted one by one; those beyond share one count.
const COUNTED: usize = 10_000;

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, MonotonicClock>;

/// Counts of both.
pub(super) struct Rates {
    keys: Counted<KeyId>,
    addresses: Counted<IpAddr>,
}

/// The counts of one kind.
struct Counted<K: Hash + Eq + Clone> {
    limiter: Limiter<K>,
    /// When those were thrown out that have not asked for a while.
    swept: Mutex<Instant>,
    /// Stands for all that are not counted one by one.
    crowd: K,
}

const TWICE: NonZeroU32 = NonZeroU32::new(2).unwrap();

impl Rates {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            keys: Counted::new(limits.requests_per_key, KeyId([0; 16])),
            addresses: Counted::new(limits.requests_per_address, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        }
    }

    /// Takes a request of an address; else the seconds that it has to wait.
    pub(super) fn address(&self, address: IpAddr) -> Result<(), u64> {
        self.addresses.take(source(address))
    }

    /// Takes a request with a key; else the seconds that it has to wait.
    pub(super) fn key(&self, key: KeyId) -> Result<(), u64> {
        self.keys.take(key)
    }
}

impl<K: Hash + Eq + Clone> Counted<K> {
    fn new(per_second: NonZeroU32, crowd: K) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(per_second.saturating_mul(TWICE));
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), MonotonicClock);
        Self { limiter, swept: Mutex::new(Instant::now()), crowd }
    }

    fn take(&self, who: K) -> Result<(), u64> {
        let full = self.limiter.len() >= COUNTED;
        if full {
            self.sweep();
        }
        let who = if full { self.crowd.clone() } else { who };
        self.limiter.check_key(&who).map_err(|until| {
            let wait = until.wait_time_from(MonotonicClock.now());
            wait.as_millis().div_ceil(1000).max(1) as u64
        })
    }

    /// Forgets those that have not asked for a while: they are as if they never had. Once a second at most.
    fn sweep(&self) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.elapsed() >= Duration::from_secs(1) {
            *swept = Instant::now();
            self.limiter.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_then_one_has_to_wait_and_others_have_not() {
        let limits = Limits {
            requests_per_key: NonZeroU32::new(1).unwrap(),
            requests_per_address: NonZeroU32::new(2).unwrap(),
            ..Limits::default()
        };
        let rates = Rates::new(&limits);
        let (one, other) = (KeyId([1; 16]), KeyId([2; 16]));
        assert_eq!([rates.key(one), rates.key(one), rates.key(one)], [Ok(()), Ok(()), Err(1)]);
        assert_eq!(rates.key(other), Ok(()));
        let at = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, 0, 0, 0, last]);
        let taken = (0..8).filter(|n| rates.address(at(*n)).is_ok()).count();
        assert_eq!(taken, 4, "addresses of one network count as one");
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let rates = Rates::new(&Limits::default());
        for n in 0..(COUNTED as u32 * 2) {
            rates.address(IpAddr::from(n.to_be_bytes())).ok();
        }
        assert!(rates.addresses.limiter.len() <= COUNTED + 1);
    }
}
