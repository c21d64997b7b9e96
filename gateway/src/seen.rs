//! What was seen lately: how long upstreams took, and which clients are busiest. All of it bounded. Each is kept in two
//! windows of a minute, so that what is told is about the last one to two minutes. Event loops write, `control` reads.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Milliseconds of a window.
const WINDOW: u64 = 60_000;
/// Parts of a window of times: four for each doubling, up to 33 s.
const PARTS: usize = 100;
/// Clients that a window of talkers holds.
const CLIENTS: usize = 64;
/// Those that are told of.
pub const TOLD: usize = 10;

/// The number of the window that a moment is in; 0 is none.
const fn window(now: u64) -> u64 {
    now / WINDOW + 1
}

/// Where a time in microseconds is counted.
fn part(us: u64) -> usize {
    if us < 4 {
        return us as usize;
    }
    let doubling = us.ilog2() as usize;
    let quarter = (us >> (doubling - 2) & 3) as usize;
    ((doubling - 1) * 4 + quarter).min(PARTS - 1)
}

/// The middle of such a part, in microseconds.
fn middle(part: usize) -> u64 {
    if part < 4 {
        return part as u64;
    }
    let (doubling, quarter) = (part / 4 + 1, (part % 4) as u64);
    let step = 1u64 << (doubling - 2);
    (4 + quarter) * step + step / 2
}

/// Times of an upstream.
#[derive(Debug, Default)]
pub struct Times {
    windows: [Counts; 2],
}

#[derive(Debug)]
struct Counts {
    number: AtomicU64,
    parts: [AtomicU32; PARTS],
}

impl Default for Counts {
    fn default() -> Self {
        Self { number: AtomicU64::default(), parts: std::array::from_fn(|_| AtomicU32::default()) }
    }
}

/// What the times of an upstream were, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Told {
    pub count: u64,
    pub p50_us: u64,
    pub p99_us: u64,
}

impl Times {
    /// Counts one, at a moment in milliseconds since the gateway's start.
    pub fn took(&self, us: u64, now: u64) {
        let number = window(now);
        let counts = &self.windows[(number % 2) as usize];
        if counts.number.swap(number, Relaxed) != number {
            counts.parts.iter().for_each(|part| part.store(0, Relaxed));
        }
        counts.parts[part(us)].fetch_add(1, Relaxed);
    }

    /// What they were lately; nothing where there were none.
    pub fn told(&self, now: u64) -> Option<Told> {
        let number = window(now);
        let mut parts = [0u64; PARTS];
        for counts in &self.windows {
            let of = counts.number.load(Relaxed);
            if of == number || of + 1 == number {
                for (sum, part) in parts.iter_mut().zip(&counts.parts) {
                    *sum += u64::from(part.load(Relaxed));
                }
            }
        }
        let count: u64 = parts.iter().sum();
        let at = |permille: u64| {
            let (wanted, mut sum) = ((count * permille).div_ceil(1000), 0);
            let place = parts.iter().position(|part| {
                sum += part;
                sum >= wanted
            });
            middle(place.unwrap_or(PARTS - 1))
        };
        (count > 0).then(|| Told { count, p50_us: at(500), p99_us: at(990) })
    }
}

/// A client, and how much is sure at least: what it counted, less `extra`.
#[derive(Debug, Clone, Copy)]
struct Client {
    address: IpAddr,
    count: u64,
    extra: u64,
}

/// The clients with the most of something. Where there is no room for another one it takes the place of the least: whoever
/// has more than a share of all is never missed, and none is told with less than it had.
#[derive(Debug, Default)]
struct Most(Vec<Client>);

impl Most {
    fn add(&mut self, address: IpAddr, more: u64) {
        if let Some(client) = self.0.iter_mut().find(|client| client.address == address) {
            client.count += more;
            return;
        }
        if self.0.len() < CLIENTS {
            return self.0.push(Client { address, count: more, extra: 0 });
        }
        if let Some(least) = self.0.iter_mut().min_by_key(|client| client.count) {
            *least = Client { address, count: least.count + more, extra: least.count };
        }
    }
}

#[derive(Debug, Default)]
struct Talk {
    number: u64,
    connections: Most,
    bytes: Most,
}

/// The busiest clients of a listener.
#[derive(Debug, Default)]
pub struct Talkers(Mutex<[Talk; 2]>);

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Talker {
    pub address: IpAddr,
    /// New ones, refused ones as well.
    pub connections: u64,
    /// Both ways.
    pub bytes: u64,
}

impl Talkers {
    fn add(&self, source: SocketAddr, now: u64, connections: u64, bytes: u64) {
        let number = window(now);
        let mut talks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let talk = &mut talks[(number % 2) as usize];
        if talk.number != number {
            (talk.number, talk.connections.0, talk.bytes.0) = (number, Vec::new(), Vec::new());
        }
        let address = source.ip().to_canonical();
        if connections > 0 {
            talk.connections.add(address, connections);
        }
        if bytes > 0 {
            talk.bytes.add(address, bytes);
        }
    }

    /// A client has come.
    pub fn came(&self, source: SocketAddr, now: u64) {
        self.add(source, now, 1, 0);
    }

    /// So many bytes were moved for a client.
    pub fn moved(&self, source: SocketAddr, now: u64, bytes: u64) {
        self.add(source, now, 0, bytes);
    }

    /// The busiest, those with the most bytes first; and of how many seconds that is.
    pub fn told(&self, now: u64) -> (Vec<Talker>, u64) {
        let number = window(now);
        let talks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |talk: &&Talk| talk.number == number || talk.number + 1 == number;
        let mut all: Vec<Talker> = Vec::new();
        let mut sum = |client: &Client, connections: bool| {
            let at = all.iter().position(|talker| talker.address == client.address);
            let at = at.unwrap_or_else(|| {
                all.push(Talker { address: client.address, connections: 0, bytes: 0 });
                all.len() - 1
            });
            let sure = client.count - client.extra;
            if connections {
                all[at].connections += sure;
            } else {
                all[at].bytes += sure;
            }
        };
        for talk in talks.iter().filter(recent) {
            talk.connections.0.iter().for_each(|client| sum(client, true));
            talk.bytes.0.iter().for_each(|client| sum(client, false));
        }
        // The first by bytes, and the first by connections.
        let mut told: Vec<Talker> = Vec::new();
        for by in [|t: &Talker| t.bytes, |t: &Talker| t.connections] {
            all.sort_by_key(|talker| std::cmp::Reverse((by(talker), talker.address)));
            let first = all.iter().take(TOLD / 2).filter(|talker| by(talker) > 0);
            told.extend(first);
        }
        told.sort_by_key(|t| std::cmp::Reverse((t.bytes, t.connections, t.address)));
        told.dedup_by_key(|talker| talker.address);
        let before = if number > 1 { WINDOW } else { 0 };
        (told, (now % WINDOW + before) / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(n: u32) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(n.into()), 5)
    }

    #[test]
    fn a_time_is_told_within_an_eighth_and_old_ones_are_forgotten() {
        for us in [0, 1, 3, 4, 7, 100, 1023, 1024, 54_321, 9_999_999] {
            let told = middle(part(us));
            assert!(told.abs_diff(us) * 8 <= us.max(8), "{us} {told}");
        }
        assert_eq!(part(u64::MAX), PARTS - 1);
        let times = Times::default();
        assert_eq!(times.told(0), None);
        for n in 1..=100 {
            times.took(n * 1000, 59_000);
        }
        let told = times.told(61_000).unwrap();
        assert_eq!(told.count, 100);
        assert!((44_000..56_000).contains(&told.p50_us), "{told:?}");
        assert!((87_000..112_000).contains(&told.p99_us), "{told:?}");
        assert_eq!(times.told(180_000), None);
        times.took(5, 120_000);
        assert_eq!(times.told(121_000).map(|told| told.count), Some(1));
    }

    #[test]
    fn who_has_much_is_never_missed_however_many_others_there_are() {
        let talkers = Talkers::default();
        for n in 0..100_000u32 {
            talkers.came(from(1000 + n), 1);
            talkers.moved(from(1000 + n), 1, 10);
            if n % 20 == 0 {
                talkers.came(from(1), 1);
            }
            if n % 10 == 0 {
                talkers.moved(from(2), 1, 500);
            }
        }
        let (told, seconds) = talkers.told(30_000);
        assert_eq!(seconds, 30);
        assert!(told.len() <= TOLD);
        assert_eq!(told[0].address, from(2).ip());
        assert!(told[0].bytes <= 5_000_000 && told[0].bytes > 4_500_000, "{told:?}");
        let most = told.iter().max_by_key(|talker| talker.connections).unwrap();
        assert_eq!(most.address, from(1).ip());
        assert_eq!(talkers.told(240_000), (Vec::new(), 60));
    }
}
