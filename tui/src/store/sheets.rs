//! Lists that are shown as tables without a store of their own: ports, services, what else there is
//! on a host, and what was gathered from many hosts. Each feature turns what it was told into
//! [`Record`]s here; `panes/sheet.rs` shows them.

use super::Store;
use crate::theme::Role;
use crate::widgets::natural;
use cmdr_protocol::containers::Container;
use cmdr_protocol::display::clean;
use cmdr_protocol::{CallError, HostId};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Sheets that are kept; of more the one that was not renewed for longest goes.
const KEPT: usize = 16;

/// Which sheet: of a host or of the fleet, and its name.
pub type SheetKey = (Option<HostId>, &'static str);

/// The sheet of something else that has a number: it stands under an id that no host has.
pub fn of_number(number: u64, name: &'static str) -> SheetKey {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    (Some(HostId(id)), name)
}

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text of the host's, made harmless.
    Text(String, Role),
    /// A figure, as it is and as it is written.
    Figure(u64, String, Role),
    /// A moment, seconds since 1970; 0 for never.
    Moment(u64),
    /// The key of a word.
    Word(&'static str, Role),
    /// The same, with its place among the others.
    Ranked(u64, &'static str, Role),
    /// How a container stands, in the engine's words, which change as time goes on; of it only what they need.
    Status(Box<Container>),
}

impl Value {
    /// A text from a host.
    pub fn text(text: &str, role: Role) -> Self {
        Self::Text(clean(text).into_owned(), role)
    }

    /// A text of which there may be none.
    pub fn soft(text: &str) -> Self {
        Self::text(text, Role::Soft)
    }

    /// A count.
    pub fn count(n: u64) -> Self {
        Self::Figure(n, n.to_string(), if n == 0 { Role::Faint } else { Role::Text })
    }

    /// Bytes.
    pub fn bytes(n: Option<u64>) -> Self {
        match n {
            None => Self::Figure(0, "-".to_owned(), Role::Faint),
            Some(n) => Self::Figure(n, crate::widgets::format::bytes(n), Role::Text),
        }
    }

    /// The order of two of the same column.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Figure(a, ..), Self::Figure(b, ..)) | (Self::Moment(a), Self::Moment(b)) => {
                a.cmp(b)
            }
            (Self::Ranked(a, ..), Self::Ranked(b, ..)) => a.cmp(b),
            (Self::Status(a), Self::Status(b)) => a.since_s.cmp(&b.since_s),
            _ => natural::compare(self.plain(), other.plain()),
        }
    }

    /// What is searched.
    pub fn plain(&self) -> &str {
        match self {
            Self::Text(text, _) | Self::Figure(_, text, _) => text,
            Self::Moment(_) => "",
            Self::Status(container) => container.state.as_str(),
            Self::Word(word, _) | Self::Ranked(_, word, _) => {
                word.rsplit('.').next().unwrap_or(word)
            }
        }
    }
}

/// What can be done to a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Target {
    /// Nothing.
    #[default]
    None,
    /// A process, by its number and start.
    Process { pid: u32, start: u64, name: String, user: String, command: String },
    /// A unit.
    Unit { name: String, protected: String, active: String },
    /// A container, by its id.
    Container { id: String, name: String },
    /// An image, by its id.
    Image { id: String, tags: Vec<String> },
    /// A volume; `at` is the folder that it is, where it is one.
    Volume { name: String, at: Option<String>, users: Vec<String> },
    /// A network, by its id.
    Network { id: String, name: String, users: Vec<String> },
    /// A registry; whether it is asked without encryption.
    Registry { name: String, plain: bool },
    /// Something else that has a name.
    Named(String),
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What it is known by; the same as long as it is there.
    pub id: u64,
    /// Whose it is.
    pub host: HostId,
    /// Its cells.
    pub values: Vec<Value>,
    /// More to read about it: key of the word, and what.
    pub more: Vec<(&'static str, String)>,
    /// What can be done to it.
    pub target: Target,
}

impl Record {
    /// What filters and searches look through.
    pub fn haystack(&self, text: &mut String) {
        for value in &self.values {
            text.push_str(value.plain());
            text.push(' ');
        }
        for (_, more) in &self.more {
            text.push_str(more);
            text.push(' ');
        }
    }
}

/// The number of a row with this key.
pub fn id_of(key: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// A list.
#[derive(Debug, Default)]
pub struct Sheet {
    /// By number.
    pub rows: HashMap<u64, Record>,
    /// When something came last.
    pub came_ms: u64,
    /// When it was asked for last, while the answer has not come; 0 otherwise.
    pub asked_ms: u64,
    /// Something came.
    pub known: bool,
    /// Goes up with every change.
    pub version: u64,
    /// What is said above it: figures, what is missing.
    pub notes: Vec<(String, Role)>,
    /// Why nothing came.
    pub error: Option<CallError>,
    /// Rows that there are in all, when they come in pages.
    pub total: usize,
    /// Of a list over many hosts: in which round they are asked, since when, how many, which have
    /// answered, which could not and why, and how many rows hosts left out.
    pub round: u64,
    pub round_ms: u64,
    pub of: usize,
    pub answered: HashSet<HostId>,
    pub failed: HashMap<HostId, String>,
    pub left_out: HashMap<HostId, u64>,
}

impl Sheet {
    /// Something came.
    pub fn came(&mut self, now_ms: u64) {
        (self.came_ms, self.asked_ms, self.known, self.error) = (now_ms, 0, true, None);
        self.version += 1;
    }

    /// These are all the rows there are.
    pub fn set(&mut self, now_ms: u64, rows: impl Iterator<Item = Record>) {
        self.rows = rows.map(|row| (row.id, row)).collect();
        self.came(now_ms);
    }

    /// So many hosts are asked from now on. Their rows stay until they answer.
    pub fn begin_round(&mut self, now_ms: u64, round: u64, hosts: &[HostId]) {
        (self.round, self.round_ms, self.of) = (round, now_ms.max(1), hosts.len());
        self.came_ms = now_ms;
        self.answered.clear();
        self.failed.clear();
        self.left_out.clear();
        // Whoever is not asked any more has gone.
        let asked: HashSet<&HostId> = hosts.iter().collect();
        self.rows.retain(|_, row| asked.contains(&row.host));
        self.version += 1;
    }

    /// Whether all hosts of the round have said something.
    pub fn is_round_over(&self) -> bool {
        self.answered.len() + self.failed.len() >= self.of
    }

    /// These are the rows of this host; it left out so many. What comes of an earlier round is not wanted.
    pub fn set_host(
        &mut self,
        now_ms: u64,
        round: u64,
        host: HostId,
        (rows, left_out): (Vec<Record>, u64),
    ) {
        if self.round != round {
            return;
        }
        self.rows.retain(|_, row| row.host != host);
        self.rows.extend(rows.into_iter().map(|row| (row.id, row)));
        self.answered.insert(host);
        if left_out > 0 {
            self.left_out.insert(host, left_out);
        }
        self.came(now_ms);
    }

    /// This host could not tell, for this reason.
    pub fn fail_host(&mut self, now_ms: u64, round: u64, host: HostId, why: String) {
        if self.round != round {
            return;
        }
        self.rows.retain(|_, row| row.host != host);
        self.failed.insert(host, why);
        self.came(now_ms);
    }

    /// Nothing came, for this reason.
    pub fn fail(&mut self, error: CallError, now_ms: u64) {
        (self.asked_ms, self.came_ms, self.error) = (0, now_ms, Some(error));
        self.version += 1;
    }
}

impl Store {
    /// A list, if something is known of it.
    pub fn sheet(&self, key: SheetKey) -> Option<&Sheet> {
        self.sheets.get(&key)
    }

    /// A list, to be changed.
    pub fn sheet_mut(&mut self, key: SheetKey) -> &mut Sheet {
        if !self.sheets.contains_key(&key) && self.sheets.len() >= KEPT {
            let oldest = self.sheets.iter().min_by_key(|(_, sheet)| sheet.came_ms);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.sheets.remove(&oldest);
            }
        }
        self.sheets.entry(key).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_ordered_as_figures_and_names_as_people_do() {
        let figure = |n| Value::Figure(n, n.to_string(), Role::Text);
        assert_eq!(figure(9).compare(&figure(10)), Ordering::Less);
        let name = |text: &str| Value::text(text, Role::Text);
        assert_eq!(name("web9").compare(&name("web10")), Ordering::Less);
    }

    #[test]
    fn what_a_host_says_in_an_earlier_round_is_not_wanted_in_a_later_one() {
        let host = |n: u8| HostId([n; 16]);
        let row = |n: u8, id| Record {
            id,
            host: host(n),
            values: Vec::new(),
            more: Vec::new(),
            target: Target::None,
        };
        let mut sheet = Sheet::default();
        sheet.begin_round(5, 1, &[host(1), host(2)]);
        sheet.set_host(6, 1, host(1), (vec![row(1, 10)], 3));
        sheet.begin_round(7, 2, &[host(1), host(2)]);
        assert!(sheet.rows.contains_key(&10) && sheet.answered.is_empty());
        sheet.set_host(8, 1, host(2), (vec![row(2, 20)], 0));
        sheet.fail_host(8, 1, host(1), "late".into());
        assert!(
            !sheet.rows.contains_key(&20) && sheet.failed.is_empty() && sheet.left_out.is_empty()
        );
        sheet.set_host(9, 2, host(1), (vec![row(1, 11)], 0));
        assert!(!sheet.is_round_over() && sheet.rows.keys().eq([&11]));
        // Host 1 has gone.
        sheet.begin_round(10, 3, &[host(2)]);
        assert!(sheet.rows.is_empty() && sheet.of == 1);
    }

    #[test]
    fn only_so_many_lists_are_kept_and_the_oldest_goes() {
        let mut store = Store::new(0, 0, false);
        for n in 0..40u8 {
            store.sheet_mut((Some(HostId([n; 16])), "ports")).came(u64::from(n));
        }
        assert_eq!(store.sheets.len(), KEPT);
        assert!(store.sheet((Some(HostId([39; 16])), "ports")).is_some());
        assert!(store.sheet((Some(HostId([0; 16])), "ports")).is_none());
    }
}
