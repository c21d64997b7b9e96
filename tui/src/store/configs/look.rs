//! A look at the hosts of a group: what each of them shall have comes from the hub in pages, and host after host
//! is compared with it. What was found is in two sheets: each file of each host, and the files with how many
//! hosts have them how.

use super::{files_of, hosts_of};
use crate::store::sheets::{Record, Target, Value, id_of};
use crate::store::{Store, Update};
use crate::theme::Role;
use cmdr_protocol::configs::{Expected, FileWanted, HostFiles, Stands};
use cmdr_protocol::display::clean;
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::collections::{HashMap, HashSet, VecDeque};

/// Groups whose looks are kept; of more the oldest goes.
const LOOKS: usize = 6;
/// Files of hosts that one look is about at most.
const MOST: usize = 100_000;

/// How a file on a host stands: what the protocol says, or that it was not looked at yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    Differs,
    Missing,
    Unknown,
    Hidden,
    #[default]
    Waiting,
    Equal,
}

/// All of them with the key of their word and their colour, what is worst first.
pub const STANDS: [(Standing, &str, Role); 6] = [
    (Standing::Differs, "configs.state.differs", Role::Bad),
    (Standing::Missing, "configs.state.missing", Role::Bad),
    (Standing::Unknown, "configs.state.unknown", Role::Warn),
    (Standing::Hidden, "configs.state.hidden", Role::Soft),
    (Standing::Waiting, "configs.state.waiting", Role::Faint),
    (Standing::Equal, "configs.state.equal", Role::Ok),
];

/// How many stand how, in the order of [`STANDS`].
pub type Sum = [u32; STANDS.len()];

impl Standing {
    /// Its place in [`STANDS`].
    pub const fn rank(self) -> usize {
        self as usize
    }
}

impl From<Stands> for Standing {
    fn from(stands: Stands) -> Self {
        match stands {
            Stands::Equal => Self::Equal,
            Stands::Differs => Self::Differs,
            Stands::Missing => Self::Missing,
            Stands::Hidden => Self::Hidden,
            Stands::Unknown => Self::Unknown,
        }
    }
}

/// A word for how something stands.
fn of_standing(standing: Standing) -> Value {
    let (_, word, role) = STANDS[standing.rank()];
    Value::Ranked(standing.rank() as u64, word, role)
}

/// A file of a host.
#[derive(Clone, Debug)]
pub struct Row {
    /// The host.
    pub host: HostId,
    /// Its name, as the hub tells it.
    pub name: String,
    /// Where the file is.
    pub path: String,
    /// How it stands.
    pub standing: Standing,
}

/// A file of the group on all its hosts.
#[derive(Clone, Debug, Default)]
struct File {
    sum: Sum,
    mode: Option<u32>,
    owner: String,
}

/// What was found, and what is still to be asked.
#[derive(Default)]
pub struct Look {
    /// Which look it is: answers to an earlier one are nothing to it.
    pub round: u64,
    /// The version that hosts are compared with; 0 while that is not known.
    pub version: u64,
    /// When the last answer came.
    pub came_ms: u64,
    /// The hub was asked for more hosts then; 0 when it is not being asked.
    pub asked_ms: u64,
    /// Why the hub could not tell.
    pub error: Option<CallError>,
    /// Hosts whose files the hub has not told yet.
    pub more: Vec<HostId>,
    /// Hosts that are to be asked.
    pub queue: VecDeque<HostFiles>,
    /// Hosts that are being asked.
    pub waiting: HashSet<HostId>,
    /// Hosts that were told so far.
    pub hosts: usize,
    /// Somebody said that all are to be asked, however many.
    pub all: bool,
    /// Hosts that were left out because there would be too much to look at.
    pub left_out: usize,
    /// How many files of hosts stand how.
    pub sum: Sum,
    rows: HashMap<u64, Row>,
    files: HashMap<String, File>,
}

impl Look {
    /// The hub has said what hosts shall have.
    pub fn is_known(&self) -> bool {
        self.version > 0
    }

    /// Whether there is something that was not asked yet.
    pub fn goes_on(&self) -> bool {
        self.version == 0 || !self.more.is_empty() || self.left_to_ask() > 0
    }

    /// Hosts that have not answered, of those that the hub has told.
    pub fn left_to_ask(&self) -> usize {
        self.queue.len() + self.waiting.len()
    }

    /// A file of a host by the number of its row.
    pub fn row(&self, id: u64) -> Option<&Row> {
        self.rows.get(&id)
    }

    fn changed(&mut self, id: u64, standing: Standing) -> Option<String> {
        let row = self.rows.get_mut(&id)?;
        let old = std::mem::replace(&mut row.standing, standing);
        let sums = [Some(&mut self.sum), self.files.get_mut(&row.path).map(|file| &mut file.sum)];
        for sum in sums.into_iter().flatten() {
            sum[old.rank()] = sum[old.rank()].saturating_sub(1);
            sum[standing.rank()] += 1;
        }
        Some(row.path.clone())
    }
}

fn host_record(row: &Row, file: &FileWanted, what: Value) -> Record {
    let mut more = vec![
        ("configs.col.mode", file.mode.map(|mode| format!("{mode:04o}")).unwrap_or_default()),
        ("configs.col.owner", clean(&file.owner).into_owned()),
    ];
    more.retain(|(_, text)| !text.is_empty());
    Record {
        id: id_of(&(row.host, &row.path)),
        host: row.host,
        values: vec![
            of_standing(row.standing),
            Value::text(&row.name, Role::Accent),
            Value::text(&row.path, Role::Strong),
            what,
        ],
        more,
        target: Target::None,
    }
}

fn file_record(path: &str, file: &File) -> Record {
    let figure = |standing: Standing| {
        let n = file.sum[standing.rank()];
        match n {
            0 => Value::Figure(0, "·".to_owned(), Role::Faint),
            n => Value::Figure(u64::from(n), n.to_string(), STANDS[standing.rank()].2),
        }
    };
    let worst = STANDS.iter().find(|(standing, ..)| file.sum[standing.rank()] > 0);
    let mode = file.mode.map(|mode| format!("{mode:04o}")).unwrap_or_default();
    Record {
        id: id_of(&path),
        host: HostId([0; 16]),
        values: vec![
            of_standing(worst.map_or(Standing::Waiting, |(standing, ..)| *standing)),
            Value::text(path, Role::Strong),
            Value::soft(&mode),
            Value::soft(&file.owner),
            figure(Standing::Equal),
            figure(Standing::Differs),
            figure(Standing::Missing),
            figure(Standing::Hidden),
            figure(Standing::Unknown),
        ],
        more: Vec::new(),
        target: Target::None,
    }
}

/// Begins a look; what was found before stays until the hub answers. `all` hosts, however many there are.
pub fn began(number: u64, all: bool) -> Update {
    Update::new(move |store| {
        let looks = &mut store.configs.looks;
        if looks.len() >= LOOKS && !looks.contains_key(&number) {
            let oldest = looks.iter().min_by_key(|(_, look)| look.came_ms).map(|(n, _)| *n);
            if let Some(oldest) = oldest {
                looks.remove(&oldest);
                store.sheets.remove(&files_of(oldest));
                store.sheets.remove(&hosts_of(oldest));
            }
        }
        let look = store.configs.looks.entry(number).or_default();
        let round = look.round + 1;
        let came_ms = look.came_ms;
        // The rows stay to be seen; what is in them belongs to the look before.
        *look = Look { round, came_ms, all, ..Look::default() };
    })
}

/// All hosts are to be asked, not only those that the hub told first.
pub fn whole(number: u64) -> Update {
    Update::new(move |store| {
        if let Some(look) = store.configs.looks.get_mut(&number) {
            look.all = true;
        }
    })
}

/// The hub is being asked what more hosts shall have.
pub fn asking(number: u64) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        if let Some(look) = store.configs.looks.get_mut(&number) {
            look.asked_ms = now_ms.max(1);
        }
    })
}

/// The hub has said what some hosts shall have, or not.
pub fn expected(number: u64, round: u64, answer: Result<Expected, CallError>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        let Some(look) = store.configs.looks.get_mut(&number).filter(|l| l.round == round) else {
            return;
        };
        (look.asked_ms, look.came_ms, look.error) = (0, now_ms, None);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                look.error = Some(error);
                return;
            }
        };
        let first = look.version == 0;
        look.version = answer.version.max(1);
        look.more = answer.more;
        let mut records = Vec::new();
        for host in answer.hosts {
            let Some(id) = host.host else { continue };
            look.hosts += 1;
            for file in &host.files {
                let path = file.path.clone();
                let row =
                    Row { host: id, name: host.name.clone(), path, standing: Standing::Waiting };
                let (mut row, mut what) = (row, Value::soft(""));
                if !file.problem.is_empty() {
                    (row.standing, what) = (Standing::Unknown, Value::soft(&file.problem));
                }
                let entry = look.files.entry(row.path.clone()).or_default();
                entry.sum[row.standing.rank()] += 1;
                (entry.mode, entry.owner) = (file.mode, file.owner.clone());
                look.sum[row.standing.rank()] += 1;
                records.push(host_record(&row, file, what));
                look.rows.insert(id_of(&(row.host, &row.path)), row);
            }
            look.queue.push_back(host);
        }
        if look.rows.len() > MOST {
            look.left_out += std::mem::take(&mut look.more).len();
        }
        let files: Vec<Record> =
            look.files.iter().map(|(path, file)| file_record(path, file)).collect();
        store.sheet_mut(files_of(number)).set(now_ms, files.into_iter());
        let sheet = store.sheet_mut(hosts_of(number));
        if first {
            sheet.rows.clear();
        }
        sheet.rows.extend(records.into_iter().map(|record| (record.id, record)));
        sheet.came(now_ms);
        store.retell(number);
    })
}

/// So many hosts are asked now.
pub fn asked(number: u64, round: u64, count: usize) -> Update {
    Update::new(move |store| {
        let Some(look) = store.configs.looks.get_mut(&number).filter(|l| l.round == round) else {
            return;
        };
        for _ in 0..count {
            let Some(host) = look.queue.pop_front() else { break };
            look.waiting.extend(host.host);
        }
    })
}

/// What was found on a host: of each of its files how it stands and what is otherwise, in words.
pub fn looked(
    number: u64,
    round: u64,
    host: HostFiles,
    found: Vec<Result<(Stands, String), CallError>>,
) -> Update {
    Update::new(move |store| {
        let (now_ms, is_up) = (store.now_ms, store.is_up());
        let Some(look) = store.configs.looks.get_mut(&number).filter(|l| l.round == round) else {
            return;
        };
        let Some(id) = host.host else { return };
        look.waiting.remove(&id);
        look.came_ms = now_ms;
        let cut = |e: &CallError| matches!(e.kind, ErrorKind::Lost | ErrorKind::Unreachable);
        // It was our own link that broke: the host is asked again when that is back.
        if !is_up && found.iter().any(|f| f.as_ref().is_err_and(cut)) {
            look.queue.push_front(host);
            return;
        }
        let mut paths = HashSet::new();
        let mut cells = Vec::new();
        let wanted = host.files.iter().filter(|file| file.problem.is_empty());
        for (file, found) in wanted.zip(found) {
            let row = id_of(&(id, &file.path));
            let (standing, what) = match found {
                Ok((stands, what)) => (Standing::from(stands), what),
                Err(error) => (Standing::Unknown, crate::action::reason(&error)),
            };
            paths.extend(look.changed(row, standing));
            cells.push((row, of_standing(standing), Value::soft(&what)));
        }
        put(store, number, cells, &paths);
    })
}

/// These hosts are not asked, because that may not be done.
pub fn without(number: u64, round: u64) -> Update {
    Update::new(move |store| {
        let Some(look) = store.configs.looks.get_mut(&number).filter(|l| l.round == round) else {
            return;
        };
        let (mut cells, mut paths) = (Vec::new(), HashSet::new());
        for host in std::mem::take(&mut look.queue) {
            let Some(id) = host.host else { continue };
            for file in host.files.iter().filter(|file| file.problem.is_empty()) {
                let row = id_of(&(id, &file.path));
                paths.extend(look.changed(row, Standing::Unknown));
                let why = Value::Word("configs.no_right", Role::Soft);
                cells.push((row, of_standing(Standing::Unknown), why));
            }
        }
        put(store, number, cells, &paths);
    })
}

fn put(store: &mut Store, number: u64, cells: Vec<(u64, Value, Value)>, paths: &HashSet<String>) {
    let now_ms = store.now_ms;
    let sheet = store.sheet_mut(hosts_of(number));
    for (row, stands, what) in cells {
        if let Some(record) = sheet.rows.get_mut(&row) {
            record.values[0] = stands;
            record.values[3] = what;
        }
    }
    sheet.came(now_ms);
    let Some(look) = store.configs.looks.get(&number) else { return };
    let records: Vec<Record> =
        paths.iter().filter_map(|path| Some(file_record(path, look.files.get(path)?))).collect();
    let sheet = store.sheet_mut(files_of(number));
    sheet.rows.extend(records.into_iter().map(|record| (record.id, record)));
    sheet.came(now_ms);
    store.retell(number);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u8, paths: &[&str]) -> HostFiles {
        let file = |path: &&str| FileWanted { path: (*path).into(), ..FileWanted::default() };
        HostFiles {
            host: Some(HostId([n; 16])),
            name: format!("web{n}"),
            files: paths.iter().map(file).collect(),
        }
    }

    fn begun(hosts: Vec<HostFiles>, more: Vec<HostId>) -> Store {
        let mut store = Store::new(1000, 0, false);
        store.apply(began(7, false));
        store.apply(expected(7, 1, Ok(Expected { version: 3, hosts, more })));
        store
    }

    #[test]
    fn files_are_counted_by_host_and_as_a_whole_as_answers_come() {
        let hosts = vec![host(1, &["/a", "/b"]), host(2, &["/a"])];
        let mut store = begun(hosts.clone(), Vec::new());
        assert_eq!(store.configs.look(7).unwrap().sum[Standing::Waiting.rank()], 3);
        store.apply(asked(7, 1, 1));
        let found = vec![
            Ok((Stands::Differs, "content".to_owned())),
            Err(CallError::denied("not yours \u{1b}[2J")),
        ];
        store.apply(looked(7, 1, hosts[0].clone(), found));
        let look = store.configs.look(7).unwrap();
        assert_eq!(look.sum, [1, 0, 1, 0, 1, 0]);
        assert_eq!(look.left_to_ask(), 1);
        let a = &store.sheet(files_of(7)).unwrap().rows[&id_of(&"/a")];
        assert_eq!(a.values[5].plain(), "1");
        let b = &store.sheet(hosts_of(7)).unwrap().rows[&id_of(&(HostId([1; 16]), "/b"))];
        assert_eq!((b.values[0].plain(), b.values[3].plain()), ("unknown", "not yours ␛[2J"));
    }

    #[test]
    fn what_an_earlier_look_found_is_nothing_to_the_next_and_is_seen_until_that_has_answers() {
        let hosts = vec![host(1, &["/a"])];
        let mut store = begun(hosts.clone(), Vec::new());
        store.apply(began(7, true));
        assert_eq!(store.sheet(hosts_of(7)).unwrap().rows.len(), 1, "still to be seen");
        store.apply(looked(7, 1, hosts[0].clone(), vec![Ok((Stands::Equal, String::new()))]));
        assert_eq!(store.configs.look(7).unwrap().sum, Sum::default());
        let hosts = vec![host(2, &["/c"])];
        store.apply(expected(7, 2, Ok(Expected { version: 4, hosts, more: Vec::new() })));
        let rows = &store.sheet(hosts_of(7)).unwrap().rows;
        assert_eq!(rows.values().map(|row| row.values[1].plain()).collect::<Vec<_>>(), ["web2"]);
    }

    #[test]
    fn a_host_that_our_own_broken_link_kept_from_us_is_asked_again() {
        let hosts = vec![host(1, &["/a"])];
        let mut store = begun(hosts.clone(), Vec::new());
        store.apply(asked(7, 1, 1));
        store.apply(looked(7, 1, hosts[0].clone(), vec![Err(CallError::lost("cut"))]));
        let look = store.configs.look(7).unwrap();
        assert_eq!((look.queue.len(), look.waiting.len()), (1, 0));
        assert_eq!(look.sum[Standing::Waiting.rank()], 1);
    }

    #[test]
    fn only_so_many_looks_are_kept() {
        let mut store = Store::new(0, 0, false);
        for n in 0..40 {
            store.apply(began(n, false));
            store.now_ms += 1000;
            store.apply(expected(n, 1, Ok(Expected { version: 1, ..Expected::default() })));
        }
        assert_eq!(store.configs.looks.len(), LOOKS);
        assert!(store.configs.look(39).is_some() && store.configs.look(0).is_none());
    }
}
