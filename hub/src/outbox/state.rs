//! What waits to be posted, what is on its way and what is over, in memory: whose turn it is, and how much of the places
//! one operator has.

use crate::records::PostRecord;
use cmdr_protocol::pushes::PostState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Posts that may wait. Beyond it no run with a callback begins, and rules are passed over. About runs of one operator it
/// is half of what others leave of it.
const MOST: usize = 10_000;
/// Callbacks of runs that had begun by then wait beyond it, up to so many in all, and so many more of one operator.
const MOST_OF_ALL: usize = 2 * MOST;
const BEYOND: usize = MOST / 4;
/// Posts of which it is still known what became of them, the newest: as many as there are runs by default.
const KNOWN: usize = 20_000;
/// Posts on their way at once, of which one operator has half of what others leave; and to one server, which is known by
/// its address: it can have any number of names.
const AT_ONCE: usize = 16;
const TO_ONE: usize = 2;

/// All of it.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Those that are to be posted.
    pub(super) waiting: HashMap<String, PostRecord>,
    /// How many of these there are of each operator.
    counts: HashMap<String, usize>,
    /// When each is tried next, by operator; those on their way are not here.
    due: BTreeMap<String, BTreeSet<(u64, String)>>,
    /// Those on their way.
    under_way: HashMap<String, Going>,
    /// Those that were taken or given up: none is posted twice.
    pub(super) over: HashMap<String, PostRecord>,
    /// The same by age.
    ages: BTreeSet<(u64, String)>,
}

/// A post on its way.
#[derive(Debug, Default)]
struct Going {
    by: String,
    /// Where it goes to, once that is known.
    to: Vec<SocketAddr>,
}

/// How many of these one may have while others have so many.
fn share(all: usize, others: usize) -> usize {
    (all.saturating_sub(others) / 2).max(1)
}

/// What an address stands for: who has one of IPv6 has all beside it.
fn server(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V6(ip) => {
            let network = Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64);
            SocketAddr::new(network.into(), address.port())
        }
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
    }
}

impl State {
    pub(super) fn insert(&mut self, key: String, post: PostRecord) {
        if post.is_waiting() {
            self.is_due(&post.by, post.next_ms, &key);
            *self.counts.entry(post.by.clone()).or_default() += 1;
            self.waiting.insert(key, post);
        } else {
            self.ages.insert((post.made_ms, key.clone()));
            self.over.insert(key, post);
        }
    }

    fn is_due(&mut self, by: &str, next_ms: u64, key: &str) {
        self.due.entry(by.to_owned()).or_default().insert((next_ms, key.to_owned()));
    }

    fn is_not_due(&mut self, by: &str, next_ms: u64, key: &str) {
        if let Some(own) = self.due.get_mut(by) {
            own.remove(&(next_ms, key.to_owned()));
            if own.is_empty() {
                self.due.remove(by);
            }
        }
    }

    /// How many wait of an operator, and of all others.
    pub(super) fn wait_of(&self, by: &str) -> (usize, usize) {
        let own = self.counts.get(by).copied().unwrap_or_default();
        (own, self.waiting.len().saturating_sub(own))
    }

    /// Whether one more of an operator may wait.
    pub(super) fn has_room(&self, by: &str, callback_of_begun: bool) -> bool {
        let (own, others) = self.wait_of(by);
        let (all, beyond) = if callback_of_begun { (MOST_OF_ALL, BEYOND) } else { (MOST, 0) };
        own + others < all && own < share(MOST, others) + beyond
    }

    pub(super) fn knows(&self, key: &str) -> bool {
        self.waiting.contains_key(key) || self.over.contains_key(key)
    }

    pub(super) fn remove(&mut self, key: &str) -> bool {
        if let Some(post) = self.waiting.remove(key) {
            self.is_not_due(&post.by, post.next_ms, key);
            if let Some(own) = self.counts.get_mut(&post.by) {
                *own -= 1;
                if *own == 0 {
                    self.counts.remove(&post.by);
                }
            }
            return true;
        }
        if let Some(post) = self.over.remove(key) {
            self.ages.remove(&(post.made_ms, key.to_owned()));
            return true;
        }
        false
    }

    /// The next post of whoever has a place on the way, and when its time comes.
    pub(super) fn next(&self) -> Option<&(u64, String)> {
        if self.under_way.len() >= AT_ONCE {
            return None;
        }
        let has_place = |by: &str| {
            let own = self.under_way.values().filter(|going| going.by == by).count();
            own < share(AT_ONCE, self.under_way.len() - own)
        };
        let some = self.due.iter().filter(|(by, _)| has_place(by));
        some.filter_map(|(_, own)| own.first()).min()
    }

    /// The next post whose time has come goes on its way.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<(String, PostRecord)> {
        let (next_ms, key) = self.next().filter(|(next_ms, _)| *next_ms <= now_ms)?.clone();
        let post = self.waiting.get(&key)?.clone();
        self.is_not_due(&post.by, next_ms, &key);
        let going = Going { by: post.by.clone(), ..Going::default() };
        self.under_way.insert(key.clone(), going);
        Some((key, post))
    }

    /// Takes a place among those on their way to these addresses.
    pub(super) fn may_go(&mut self, key: &str, to: &[SocketAddr]) -> bool {
        let to: Vec<_> = to.iter().map(|address| server(*address)).collect();
        let full = |one: &SocketAddr| {
            self.under_way.values().filter(|going| going.to.contains(one)).count() >= TO_ONE
        };
        if to.iter().any(full) {
            return false;
        }
        if let Some(going) = self.under_way.get_mut(key) {
            going.to = to;
        }
        true
    }

    /// One that went nowhere waits on.
    pub(super) fn put_back(&mut self, key: &str, next_ms: u64) {
        self.under_way.remove(key);
        let Some(post) = self.waiting.get_mut(key) else { return };
        post.next_ms = next_ms;
        let by = post.by.clone();
        self.is_due(&by, next_ms, key);
    }

    /// One was tried. A rule that was deleted meanwhile took its posts along.
    pub(super) fn tried(&mut self, key: &str, post: PostRecord) {
        self.under_way.remove(key);
        if self.remove(key) {
            self.insert(key.to_owned(), post);
        }
    }

    /// The oldest of those that are over: how many too many are known.
    pub(super) fn too_many(&self) -> Vec<String> {
        let many = self.over.len().saturating_sub(KNOWN);
        self.ages.iter().take(many).map(|(_, key)| key.clone()).collect()
    }

    /// Those that were over before.
    pub(super) fn before(&self, time_ms: u64) -> Vec<String> {
        let old = self.ages.iter().take_while(|(made_ms, _)| *made_ms < time_ms);
        old.map(|(_, key)| key.clone()).collect()
    }
}

impl PostRecord {
    fn is_waiting(&self) -> bool {
        self.state == PostState::Waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(state: PostState, made_ms: u64) -> PostRecord {
        PostRecord { state, made_ms, next_ms: made_ms, ..PostRecord::default() }
    }

    #[test]
    fn posts_go_by_their_time_and_what_was_taken_waits_no_more() {
        let mut state = State::default();
        for (key, at) in [("b", 20), ("a", 10), ("c", 30)] {
            state.insert(key.into(), post(PostState::Waiting, at));
        }
        assert_eq!(state.take_due(5), None);
        let (key, mut first) = state.take_due(25).unwrap();
        assert_eq!(key, "a");
        assert_eq!(state.take_due(25).unwrap().0, "b");
        assert_eq!(state.take_due(25), None);
        state.put_back("b", 40);
        assert_eq!(state.next(), Some(&(30, "c".to_owned())));
        first.state = PostState::Taken;
        state.tried("a", first);
        assert_eq!((state.waiting.len(), state.over.len()), (2, 1));
        assert!(state.knows("a") && state.under_way.is_empty());
        // One whose rule was deleted meanwhile does not come back.
        let (key, last) = state.take_due(30).unwrap();
        assert!(state.remove(&key));
        state.tried(&key, last);
        assert!(!state.knows(&key));
    }

    #[test]
    fn of_what_was_posted_the_newest_are_known_and_none_of_it_counts_as_waiting() {
        let mut state = State::default();
        for n in 0..KNOWN as u64 + 2 {
            state.insert(format!("{n}"), post(PostState::Taken, n));
        }
        assert_eq!((state.waiting.len(), state.take_due(u64::MAX)), (0, None));
        assert_eq!(state.too_many(), ["0", "1"]);
        assert_eq!(state.before(3), ["0", "1", "2"]);
    }

    fn post_of(by: &str, made_ms: u64) -> PostRecord {
        PostRecord { by: by.to_owned(), ..post(PostState::Waiting, made_ms) }
    }

    #[test]
    fn only_so_many_are_on_their_way_and_nobody_has_all_places() {
        let mut state = State::default();
        for n in 0..100 {
            state.insert(format!("eve {n}"), post_of("eve", 1));
        }
        assert_eq!(std::iter::from_fn(|| state.take_due(9)).count(), AT_ONCE / 2);
        assert_eq!(state.next(), None, "what finds no place is not waited for");
        state.insert("ann".into(), post_of("ann", 9));
        assert_eq!(state.take_due(9).unwrap().0, "ann");
        for n in 0..AT_ONCE {
            state.insert(format!("{n}"), post_of(&format!("{n}"), 9));
        }
        assert_eq!(std::iter::from_fn(|| state.take_due(9)).count(), AT_ONCE / 2 - 1);
        assert_eq!((state.under_way.len(), state.next()), (AT_ONCE, None));
        let eve = state.under_way.keys().find(|key| key.starts_with("eve")).unwrap().clone();
        state.tried(&eve, PostRecord { state: PostState::Taken, ..post_of("eve", 1) });
        assert_ne!(state.take_due(9).unwrap().1.by, "eve");
        assert_eq!(state.wait_of("eve"), (99, AT_ONCE + 1));
    }

    #[test]
    fn one_operator_leaves_room_for_what_others_wait_for() {
        let mut state = State::default();
        let mut fill = |by: &str, begun: bool| {
            let mut count = 0;
            while state.has_room(by, begun) {
                state.insert(format!("{by} {begun} {count}"), post_of(by, 1));
                count += 1;
            }
            count
        };
        assert_eq!((fill("eve", false), fill("eve", true)), (MOST / 2, BEYOND));
        assert_eq!(fill("ann", false), MOST / 8);
        assert_eq!(fill("eve", true), 0);
        assert!(fill("bob", false) > 100 && fill("ann", true) > 1000);
    }

    #[test]
    fn a_server_is_known_by_its_address_whatever_its_names_are() {
        let mut state = State::default();
        for key in ["a", "b", "c", "d", "e"] {
            state.insert(key.into(), post_of("eve", 1));
            state.take_due(1).unwrap();
        }
        let at = |address: &str| vec![address.parse::<SocketAddr>().unwrap()];
        assert!(state.may_go("a", &at("192.0.2.1:443")));
        assert!(state.may_go("b", &at("[::ffff:192.0.2.1]:443")));
        assert!(!state.may_go("c", &[at("192.0.2.7:443"), at("192.0.2.1:443")].concat()));
        assert!(state.may_go("c", &at("192.0.2.7:443")));
        assert!(state.may_go("d", &at("[2001:db8::1]:443")));
        assert!(state.may_go("e", &at("[2001:db8::ffff:2]:443")));
        state.put_back("a", 5);
        state.take_due(5).unwrap();
        assert!(!state.may_go("a", &at("[2001:db8::3]:443")));
        assert!(state.may_go("a", &at("192.0.2.1:443")));
    }
}
