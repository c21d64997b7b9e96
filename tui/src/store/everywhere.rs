//! What hosts have told the finder: processes, ports, units and sessions that fit what is typed. Only ever added
//! to while one finder is open, so that it takes what is new and nothing else.

use super::{Store, Update};
use cmdr_protocol::HostId;
use std::collections::{HashMap, HashSet};

/// Finds that are kept.
const MOST: usize = 100_000;

/// What it is known by on its host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// The number of a row.
    Row(u64),
    /// A session's name.
    Session(String),
}

/// One that was told; its texts are harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Key of the word for its kind.
    pub kind: &'static str,
    pub host: HostId,
    pub what: What,
    /// What is searched and shown, and what stands beside it.
    pub text: String,
    pub note: String,
}

/// What one host told.
#[derive(Debug, Default)]
pub struct Told {
    pub found: Vec<Found>,
    /// It has no more that fits.
    pub whole: bool,
    /// It told its sessions too.
    pub sessions: bool,
    /// It could not tell anything.
    pub failed: bool,
}

/// What is known.
#[derive(Default)]
pub struct Everywhere {
    /// The finder that it is for.
    pub owner: u64,
    /// Which of its questions is asked, and how many hosts.
    turn: u64,
    pub of: usize,
    /// Those that have answered, and of them those that have more.
    pub answered: HashSet<HostId>,
    pub more: HashSet<HostId>,
    pub failed: HashSet<HostId>,
    /// In the order in which it came.
    pub found: Vec<Found>,
    known: HashSet<(&'static str, HostId, What)>,
    /// The words for which a host has told everything.
    whole: HashMap<HostId, Vec<String>>,
    sessions: HashSet<HostId>,
}

/// Whether all that fits some words fits others, too: each of those is the beginning of one of them.
fn within(words: &[String], others: &[String]) -> bool {
    others.iter().all(|other| words.iter().any(|word| word.starts_with(other.as_str())))
}

impl Everywhere {
    /// Whether a host has told everything that fits these words.
    pub fn has_told(&self, owner: u64, host: HostId, words: &[String]) -> bool {
        let of = |known: &Vec<String>| within(words, known);
        self.owner == owner && self.whole.get(&host).is_some_and(of)
    }

    /// Whether a host has told its sessions.
    pub fn has_told_sessions(&self, owner: u64, host: HostId) -> bool {
        self.owner == owner && self.sessions.contains(&host)
    }
}

/// A finder asks: these hosts need not be asked any more, out of so many.
pub fn begun(owner: u64, turn: u64, of: usize, told: Vec<HostId>) -> Update {
    Update::new(move |store: &mut Store| {
        let known = &mut store.everywhere;
        if known.owner != owner {
            *known = Everywhere { owner, ..Everywhere::default() };
        }
        (known.turn, known.of) = (turn, of);
        known.answered = told.into_iter().collect();
        known.more.clear();
        known.failed.clear();
    })
}

/// A host has answered a finder's question.
pub fn told(owner: u64, turn: u64, host: HostId, words: Vec<String>, told: Told) -> Update {
    Update::new(move |store: &mut Store| {
        let known = &mut store.everywhere;
        if known.owner != owner || known.turn != turn {
            return;
        }
        if told.failed {
            known.failed.insert(host);
            return;
        }
        known.answered.insert(host);
        let mut left_out = false;
        for found in told.found {
            if known.found.len() >= MOST {
                left_out = true;
                break;
            }
            if known.known.insert((found.kind, found.host, found.what.clone())) {
                known.found.push(found);
            }
        }
        if told.sessions {
            known.sessions.insert(host);
        }
        if told.whole && !left_out {
            known.whole.insert(host, words);
        } else {
            known.more.insert(host);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostId = HostId([1; 16]);

    fn one(n: u64) -> Told {
        let found = Found {
            kind: "palette.process",
            host: HOST,
            what: What::Row(n),
            text: n.to_string(),
            note: String::new(),
        };
        Told { found: vec![found], whole: true, ..Told::default() }
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn who_has_told_everything_is_not_asked_for_a_part_of_it_again() {
        let mut store = Store::new(0, 0, false);
        store.apply(begun(7, 1, 3, Vec::new()));
        store.apply(told(7, 1, HOST, words("ngi"), one(5)));
        let knows = |store: &Store, text: &str| store.everywhere.has_told(7, HOST, &words(text));
        assert!(knows(&store, "nginx") && knows(&store, "worker nginx"));
        assert!(!knows(&store, "ng") && !knows(&store, "inx"));
        assert!(!store.everywhere.has_told(8, HOST, &words("nginx")));
    }

    #[test]
    fn what_was_told_is_added_once_and_late_answers_are_passed_over() {
        let mut store = Store::new(0, 0, false);
        store.apply(begun(7, 1, 3, Vec::new()));
        store.apply(told(7, 1, HOST, words("ngi"), one(5)));
        store.apply(begun(7, 2, 3, Vec::new()));
        store.apply(told(7, 1, HOST, words("ngi"), one(6)));
        store.apply(told(7, 2, HOST, words("ng"), one(5)));
        assert_eq!((store.everywhere.found.len(), store.everywhere.answered.len()), (1, 1));
        store.apply(begun(8, 1, 3, Vec::new()));
        assert!(store.everywhere.found.is_empty());
    }
}
