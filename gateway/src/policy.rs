//! Who may connect, how often and how much: lists of networks, and per address the rate of new
//! connections and bytes, connections at once, bans. Shared by all event loops; what is known of
//! addresses outlives a change of the configuration. Times are milliseconds since the gateway's start.

pub mod networks;
pub mod targets;

use crate::config::{self, Verdict};
use networks::Networks;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;
/// Addresses that are remembered at once, in each shard.
const MOST: usize = 8192;
/// Refusals are counted for so long.
const MINUTE: u64 = 60_000;

/// What a policy says of a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Denied,
    Banned,
    Rate,
    Concurrent,
    /// More addresses than can be remembered are busy.
    Full,
}

impl Refused {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Denied => "the address is on no list that allows it",
            Self::Banned => "the address is banned",
            Self::Rate => "too many new connections from the address",
            Self::Concurrent => "too many connections at once from the address",
            Self::Full => "too many addresses at once",
        }
    }
}

/// A policy as it holds: its settings, and what all policies of that name know of addresses.
#[derive(Debug)]
pub struct Policy {
    pub settings: config::Policy,
    pub networks: Networks,
    pub known: Arc<Known>,
}

/// What is known of one address.
#[derive(Debug, Default)]
struct Entry {
    /// Thousandths of connections that may come, negative never.
    connections: u64,
    /// Bytes that may pass; below zero they have to wait.
    bytes: i64,
    /// When those two were last filled up.
    filled: u64,
    bytes_filled: u64,
    open: u32,
    refusals: u32,
    refusals_since: u64,
    banned_until: u64,
}

/// Addresses and what is known of them, bounded.
#[derive(Debug)]
pub struct Known {
    shards: [Mutex<HashMap<IpAddr, Entry>>; SHARDS],
}

impl Default for Known {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

/// IPv6 is counted by /64, which is what one customer has.
fn counted(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) >> 64 << 64).into(),
        four @ IpAddr::V4(_) => four,
    }
}

impl Known {
    fn shard(&self, ip: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, Entry>> {
        let fold =
            |octets: &[u8]| octets.iter().fold(7u32, |n, b| n.wrapping_mul(31) ^ u32::from(*b));
        let at = match ip {
            IpAddr::V4(ip) => fold(&ip.octets()),
            IpAddr::V6(ip) => fold(&ip.octets()),
        };
        self.shards[(at ^ at >> 16) as usize % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Bans that have not run out: address and milliseconds left.
    pub fn bans(&self, now: u64) -> Vec<(IpAddr, u64)> {
        let all = self.shards.iter().flat_map(|shard| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let banned = shard.iter().filter(|(_, e)| e.banned_until > now);
            banned.map(|(ip, e)| (*ip, e.banned_until - now)).collect::<Vec<_>>()
        });
        all.collect()
    }

    /// Bans an address, or lifts its ban with 0 milliseconds. False when there is no room.
    pub fn ban(&self, ip: IpAddr, now: u64, milliseconds: u64) -> bool {
        let ip = counted(ip);
        let mut shard = self.shard(ip);
        if !shard.contains_key(&ip) && !room(&mut shard, now) {
            return false;
        }
        let entry = shard.entry(ip).or_default();
        entry.banned_until = if milliseconds == 0 { 0 } else { now + milliseconds };
        entry.refusals = 0;
        true
    }
}

/// Makes room for one more; false when everyone that is known is connected or banned.
fn room(shard: &mut HashMap<IpAddr, Entry>, now: u64) -> bool {
    if shard.len() >= MOST {
        shard.retain(|_, e| e.open > 0 || e.banned_until > now || e.filled + MINUTE > now);
    }
    if shard.len() >= MOST {
        // Full of those that came within the minute: the quiet ones of them go.
        shard.retain(|_, e| e.open > 0 || e.banned_until > now);
    }
    shard.len() < MOST
}

impl Policy {
    /// Whether anything has to be remembered of addresses.
    pub fn counts(&self) -> bool {
        let s = &self.settings;
        s.connections_per_second > 0 || s.bytes_per_second > 0 || s.concurrent > 0
    }

    /// Judges a new connection and counts it; what is let in has to be told to [`Policy::left`].
    pub fn enter(&self, ip: IpAddr, now: u64) -> Result<(), Refused> {
        let ip = ip.to_canonical();
        if self.networks.verdict(ip).unwrap_or(self.settings.default) == Verdict::Deny {
            return Err(Refused::Denied);
        }
        let ip = counted(ip);
        let mut shard = self.known.shard(ip);
        if !shard.contains_key(&ip) {
            if !self.counts() {
                return Ok(());
            }
            if !room(&mut shard, now) {
                return Err(Refused::Full);
            }
        }
        let s = &self.settings;
        let burst = 1000 * u64::from(if s.burst > 0 { s.burst } else { s.connections_per_second });
        let fresh = || Entry {
            connections: burst,
            bytes: i64::try_from(s.bytes_per_second).unwrap_or(i64::MAX),
            filled: now,
            bytes_filled: now,
            ..Entry::default()
        };
        let entry = shard.entry(ip).or_insert_with(fresh);
        if entry.banned_until > now {
            return Err(Refused::Banned);
        }
        let gained = (now - entry.filled.min(now)).saturating_mul(s.connections_per_second.into());
        entry.connections = entry.connections.saturating_add(gained).min(burst);
        entry.filled = now;
        let refused = if s.connections_per_second > 0 && entry.connections < 1000 {
            Refused::Rate
        } else if s.concurrent > 0 && entry.open >= s.concurrent {
            Refused::Concurrent
        } else {
            entry.connections = entry.connections.saturating_sub(1000);
            entry.open += 1;
            return Ok(());
        };
        if entry.refusals_since + MINUTE < now {
            (entry.refusals, entry.refusals_since) = (0, now);
        }
        entry.refusals += 1;
        if s.ban_after > 0 && entry.refusals >= s.ban_after {
            entry.banned_until = now + s.ban_for.as_millis() as u64;
            entry.refusals = 0;
        }
        Err(refused)
    }

    /// A connection that was let in has ended.
    pub fn left(&self, ip: IpAddr) {
        let ip = counted(ip);
        if let Some(entry) = self.known.shard(ip).get_mut(&ip) {
            entry.open = entry.open.saturating_sub(1);
        }
    }

    /// Counts bytes that passed; milliseconds that the connection has to wait when those were too many.
    pub fn spent(&self, ip: IpAddr, now: u64, bytes: u64) -> u64 {
        let rate = self.settings.bytes_per_second;
        if rate == 0 {
            return 0;
        }
        let ip = counted(ip);
        let mut shard = self.known.shard(ip);
        let Some(entry) = shard.get_mut(&ip) else { return 0 };
        let most = i64::try_from(rate).unwrap_or(i64::MAX);
        let elapsed = now - entry.bytes_filled.min(now);
        let gained = i64::try_from(elapsed.saturating_mul(rate) / 1000).unwrap_or(i64::MAX);
        if gained > 0 {
            entry.bytes = entry.bytes.saturating_add(gained).min(most);
            entry.bytes_filled = now;
        }
        entry.bytes = entry.bytes.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        if entry.bytes >= 0 {
            0
        } else {
            entry.bytes.unsigned_abs().saturating_mul(1000) / rate + 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        let settings: config::Policy = toml::from_str(&format!("name = \"p\"\n{text}")).unwrap();
        let parse =
            |list: &[String], v| list.iter().map(|n| (n.parse().unwrap(), v)).collect::<Vec<_>>();
        let mut all = parse(&settings.allow, Verdict::Allow);
        all.extend(parse(&settings.deny, Verdict::Deny));
        Policy { networks: Networks::new(all), settings, known: Arc::default() }
    }

    #[test]
    fn lists_decide_before_anything_is_counted() {
        let p = policy("default = \"deny\"\nallow = [\"10.0.0.0/8\"]\ndeny = [\"10.1.0.0/16\"]");
        assert_eq!(p.enter("10.2.0.1".parse().unwrap(), 0), Ok(()));
        assert_eq!(p.enter("::ffff:10.2.0.1".parse().unwrap(), 0), Ok(()));
        assert_eq!(p.enter("10.1.0.1".parse().unwrap(), 0), Err(Refused::Denied));
        assert_eq!(p.enter("11.0.0.1".parse().unwrap(), 0), Err(Refused::Denied));
    }

    #[test]
    fn rates_refill_and_abuse_is_banned_until_the_ban_runs_out() {
        let p = policy("connections_per_second = 2\nban_after = 3\nban_for = \"5s\"");
        let ip = "192.0.2.1".parse().unwrap();
        assert_eq!(
            [p.enter(ip, 0), p.enter(ip, 0), p.enter(ip, 0)],
            [Ok(()), Ok(()), Err(Refused::Rate)]
        );
        assert_eq!(p.enter(ip, 500), Ok(()));
        assert_eq!([p.enter(ip, 500), p.enter(ip, 500)], [Err(Refused::Rate); 2]);
        assert_eq!(p.enter(ip, 2000), Err(Refused::Banned));
        assert_eq!(p.known.bans(2000), [(ip, 3500)]);
        assert_eq!(p.enter(ip, 5500), Ok(()));
        assert!(p.known.ban(ip, 6000, 1000));
        assert_eq!(p.enter(ip, 6500), Err(Refused::Banned));
        assert!(p.known.ban(ip, 6500, 0));
        assert_eq!(p.enter(ip, 6500), Ok(()));
    }

    #[test]
    fn neighbours_in_one_customers_network_count_as_one() {
        let p = policy("concurrent = 1");
        let ip: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(p.enter(ip, 0), Ok(()));
        assert_eq!(p.enter("2001:db8::2".parse().unwrap(), 0), Err(Refused::Concurrent));
        p.left(ip);
        assert_eq!(p.enter("2001:db8::2".parse().unwrap(), 0), Ok(()));
    }

    #[test]
    fn bytes_beyond_the_rate_wait() {
        let p = policy("bytes_per_second = 1000");
        let ip = "192.0.2.1".parse().unwrap();
        assert_eq!(p.enter(ip, 0), Ok(()));
        assert_eq!(p.spent(ip, 0, 1000), 0);
        assert_eq!(p.spent(ip, 0, 500), 501);
        assert_eq!(p.spent(ip, 501, 0), 0);
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_room() {
        let p = policy("connections_per_second = 1");
        for n in 0..300_000u32 {
            let ip = IpAddr::V4(n.into());
            assert_eq!(p.enter(ip, u64::from(n)), Ok(()));
            p.left(ip);
        }
        let held: usize = p.known.shards.iter().map(|s| s.lock().unwrap().len()).sum();
        assert!(held <= SHARDS * MOST);
    }
}
