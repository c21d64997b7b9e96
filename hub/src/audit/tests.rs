use super::*;
use cmdr_protocol::audit::{Filter, Outcome, Value};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

struct Log {
    dir: tempfile::TempDir,
    key: SecretKey,
    audit: Option<Audit>,
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn record(n: u64) -> Record {
    Record {
        event: Event::Asked,
        operator: format!("op{}", n % 3),
        method: "exec.start".into(),
        body: Some(Value::Text("x".repeat((n % 50) as usize))),
        ..Record::default()
    }
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Self { dir, key: SecretKey::generate().unwrap(), audit: None };
        log.open();
        log
    }

    /// With so many records in small segments, closed.
    fn with(records: u64) -> Self {
        let mut log = Self::new();
        log.append(records);
        log.close();
        log
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("audit")
    }

    fn store(&self) -> Store {
        let path = self.dir.path().join("store");
        for _ in 0..100_000 {
            if let Ok(store) = Store::open(&path) {
                return store;
            }
            std::thread::yield_now();
        }
        Store::open(&path).unwrap()
    }

    fn open(&mut self) {
        let settings = Settings { segment: 4096 };
        self.audit = Some(Audit::open(&self.folder(), &self.key, self.store(), settings).unwrap());
    }

    fn opened(&mut self) -> &Self {
        self.open();
        self
    }

    /// Closes it and waits until its end stands in the store.
    fn close(&mut self) {
        self.audit = None;
        drop(self.store());
    }

    fn audit(&self) -> &Audit {
        self.audit.as_ref().unwrap()
    }

    fn append(&self, count: u64) {
        for n in 0..count {
            block_on(self.audit().append(record(n))).unwrap();
        }
    }

    fn verify(&self) -> cmdr_protocol::audit::Verified {
        verify::verify_stopped(&self.folder(), &self.key, &self.store()).unwrap()
    }

    fn all(&self) -> Vec<Record> {
        let mut tail = self.audit().follow(Some(0));
        let mut all = Vec::new();
        loop {
            let more = block_on(tail.read()).unwrap();
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }
}

#[test]
fn what_was_appended_is_proved_whole_and_reads_back_in_order() {
    let mut log = Log::with(200);
    let whole = log.verify();
    assert_eq!((whole.records, whole.last_seq, whole.broken), (200, 200, None));
    assert!(whole.segments > 3, "{}", whole.segments);
    log.open();
    log.append(5);
    let all = log.all();
    assert_eq!(all.iter().map(|r| r.seq).collect::<Vec<_>>(), (1..=205).collect::<Vec<_>>());
    assert!(all.is_sorted_by_key(|r| r.at_ms));
    assert_eq!(all[7].body, record(7).body);
    assert_eq!(block_on(log.audit().verify()).unwrap().records, 205);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&log.folder()), 0o700);
    assert_eq!(mode(&chain::path(&log.folder(), 1)), 0o600);
}

#[test]
fn pages_lead_from_the_newest_record_to_the_oldest_without_gap_or_double() {
    let log = Log::new();
    log.append(300);
    let filter = Filter { operator: "op1".into(), ..Filter::default() };
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = block_on(log.audit().page(filter.clone(), before, 7)).unwrap();
        assert_eq!(page.damage, "");
        seen.extend(page.records.iter().map(|r| r.seq));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (1..=300).rev().filter(|seq| (seq - 1) % 3 == 1).collect();
    assert_eq!(seen, expected);
}

#[test]
fn many_callers_share_a_commit_and_each_gets_a_number_of_its_own() {
    let log = Log::new();
    let numbers = block_on(async {
        let tasks: Vec<_> = (0..300)
            .map(|n| {
                let audit = log.audit().clone();
                tokio::spawn(async move { audit.append(record(n)).await.unwrap() })
            })
            .collect();
        let mut numbers = Vec::new();
        for task in tasks {
            numbers.push(task.await.unwrap());
        }
        numbers
    });
    let mut sorted = numbers;
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=300).collect::<Vec<_>>());
}

#[test]
fn half_a_record_at_the_end_is_cut_off_and_the_log_says_so() {
    let mut log = Log::with(10);
    // A crash between the write and the acknowledgement: a next record that came only in part.
    let last = chain::path(&log.folder(), *chain::segments(&log.folder()).unwrap().last().unwrap());
    let mut bytes = fs::read(&last).unwrap();
    bytes.extend([0, 0, 0, 90, 1, 2, 3]);
    fs::write(&last, bytes).unwrap();
    let torn = log.verify();
    assert_eq!((torn.torn, torn.broken), (7, None));
    log.open();
    log.append(1);
    let all = log.all();
    assert_eq!(all.len(), 12);
    assert_eq!(
        (all[10].event, all[10].message.as_str()),
        (Event::Cut, "cut 7 bytes after a crash")
    );
    log.close();
    assert_eq!(log.verify().broken, None);
}

/// Writes a record of this kind.
fn write(log: &Log, event: Event, asked: Option<u64>) -> u64 {
    block_on(log.audit().append(Record { event, asked, ..record(1) })).unwrap()
}

/// The hub starts, as far as the log is concerned; where the log ended before.
fn start(log: &Log) -> Point {
    let end = log.audit().point();
    block_on(log.audit().mark(Event::Started, String::new()));
    end
}

/// The requests that are said to be lost.
fn lost(log: &Log) -> Vec<u64> {
    let lost = log.all().into_iter().filter(|r| r.outcome == Some(Outcome::Lost));
    lost.filter_map(|r| r.asked).collect()
}

#[test]
fn what_a_crash_has_left_without_an_end_gets_one_once() {
    let mut log = Log::new();
    start(&log);
    log.append(40);
    let done = write(&log, Event::Asked, None);
    let cut = write(&log, Event::Asked, None);
    write(&log, Event::Answered, Some(done));
    for asked in 2..done {
        write(&log, Event::Answered, Some(asked));
    }
    log.close();
    for _ in 0..2 {
        log.open();
        let end = start(&log);
        block_on(log.audit().clone().tell_unanswered(end));
        log.close();
    }
    log.open();
    let lost: Vec<_> = log.all().into_iter().filter(|r| r.outcome == Some(Outcome::Lost)).collect();
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!((lost[0].asked, lost[0].event), (Some(cut), Event::Answered));
    assert_eq!((lost[0].operator.as_str(), lost[0].body.as_ref()), ("op1", None));
    assert_eq!(block_on(log.audit().verify()).unwrap().broken, None);
}

#[test]
fn a_hub_killed_before_it_has_told_of_all_is_followed_by_one_that_does() {
    let mut log = Log::new();
    let end = start(&log);
    block_on(log.audit().clone().tell_unanswered(end));
    let open: Vec<u64> = (0..30).map(|_| write(&log, Event::Asked, None)).collect();
    log.close();
    // Killed as soon as it had said that it starts.
    log.open();
    start(&log);
    let second = write(&log, Event::Asked, None);
    log.close();
    assert_eq!(lost(log.opened()), Vec::<u64>::new());
    // Killed when it had told of some.
    let end = start(&log);
    block_on(async {
        let seen = log.audit().shared.point.subscribe();
        let begun = seen.borrow().seq;
        let telling = tokio::spawn(log.audit().clone().tell_unanswered(end));
        while seen.borrow().seq < begun + 3 {
            tokio::task::yield_now().await;
        }
        telling.abort();
        drop(telling.await);
    });
    log.close();
    let some = lost(log.opened()).len();
    assert!((3..=30).contains(&some), "{some}");
    // Stopped in good order, but before it had told of any.
    start(&log);
    block_on(log.audit().mark(Event::Stopped, String::new()));
    log.close();
    log.open();
    let end = start(&log);
    block_on(log.audit().clone().tell_unanswered(end));
    log.close();
    let expected: Vec<u64> = open.into_iter().chain([second]).collect();
    assert_eq!(lost(log.opened()), expected);
    assert_eq!(block_on(log.audit().verify()).unwrap().broken, None);
}

#[test]
fn after_an_end_in_good_order_nothing_is_looked_for() {
    let mut log = Log::new();
    let end = start(&log);
    block_on(log.audit().clone().tell_unanswered(end));
    log.append(3);
    block_on(log.audit().mark(Event::Stopped, String::new()));
    log.close();
    log.open();
    let end = log.audit().point();
    block_on(log.audit().clone().tell_unanswered(end));
    assert_eq!(log.all().len(), 5);
}

#[test]
fn a_log_whose_hub_kept_nothing_of_it_is_looked_through_whole() {
    let mut log = Log::new();
    let earlier = write(&log, Event::Asked, None);
    start(&log);
    let later = write(&log, Event::Asked, None);
    log.close();
    // As after a restore: what the store has about the log is not in a backup.
    fs::remove_dir_all(log.dir.path().join("store")).unwrap();
    log.open();
    let end = start(&log);
    block_on(log.audit().clone().tell_unanswered(end));
    assert_eq!(lost(&log), [earlier, later]);
}

#[test]
fn a_missing_end_is_no_crash_and_stays_visible_after_the_hub_went_on() {
    let mut log = Log::with(10);
    let number = *chain::segments(&log.folder()).unwrap().last().unwrap();
    let path = chain::path(&log.folder(), number);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    let broken = log.verify().broken.unwrap();
    assert_eq!((broken.segment, broken.seq), (number, 10), "{broken}");
    log.open();
    log.append(2);
    log.close();
    let broken = log.verify().broken.unwrap();
    assert!(broken.seq == 10, "{broken}");
    log.open();
    let page = block_on(log.audit().page(Filter::default(), None, 3)).unwrap();
    assert_eq!(page.records[2].event, Event::Damaged);
    assert!(page.records[2].message.contains("record 9 instead of 10"), "{:?}", page.records[2]);
}

#[test]
fn without_the_hubs_key_nobody_can_chain_anew() {
    let log = Log::with(10);
    let forged = Log::with(10);
    fs::remove_dir_all(log.folder()).unwrap();
    fs::rename(forged.folder(), log.folder()).unwrap();
    assert!(log.verify().broken.unwrap().what.contains("hash does not match"));
}

#[test]
fn names_with_line_ends_and_control_characters_are_data() {
    let mut log = Log::new();
    let name = "ann\n{\"seq\":99}\u{1b}[2J\u{0}";
    let odd = Record { operator: name.into(), resource: name.into(), ..record(0) };
    block_on(log.audit().append(odd)).unwrap();
    assert_eq!(log.all()[0].operator, name);
    log.close();
    assert_eq!(log.verify().records, 1);
}

#[test]
fn what_retention_removes_is_vouched_for_and_what_others_remove_is_not() {
    let mut log = Log::new();
    log.append(200);
    let keep = retention::Keep { days: 0, bytes: 10_000 };
    let removed = block_on(log.audit().retain(keep)).unwrap();
    assert!(removed >= 3, "{removed}");
    assert_eq!(block_on(log.audit().retain(keep)).unwrap(), 0);
    log.append(100);
    let again = block_on(log.audit().retain(keep)).unwrap();
    assert!(again > 0);
    let all = log.all();
    assert!(all.is_sorted_by_key(|r| r.seq) && all[0].seq > 100);
    let checkpoint = all.iter().rfind(|r| r.event == Event::Checkpoint).unwrap();
    let vouched = checkpoint.removed.as_ref().unwrap();
    assert_eq!((vouched.seq + 1, vouched.segment), (all[0].seq, removed + again));
    log.close();
    let whole = log.verify();
    assert_eq!((whole.broken, whole.first_seq, whole.last_seq), (None, all[0].seq, 302));
    // One more goes, and nobody vouches for it.
    let first = chain::segments(&log.folder()).unwrap()[0];
    fs::remove_file(chain::path(&log.folder(), first)).unwrap();
    let broken = log.verify().broken.unwrap();
    assert!(broken.what.contains("no checkpoint vouches"), "{broken}");
}

#[test]
fn a_follower_that_was_too_slow_for_retention_is_told_what_it_missed() {
    let log = Log::new();
    log.append(100);
    let mut tail = log.audit().follow(Some(0));
    block_on(log.audit().retain(retention::Keep { days: 0, bytes: 6000 })).unwrap();
    let records = block_on(tail.read()).unwrap();
    assert!(records[0].seq > 1);
    assert_eq!(tail.take_missed(), records[0].seq - 1);
}

#[test]
fn a_damaged_segment_is_evidence_and_is_not_removed() {
    let log = Log::new();
    log.append(100);
    let path = chain::path(&log.folder(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[300] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = block_on(log.audit().retain(retention::Keep { days: 0, bytes: 100 })).unwrap_err();
    assert!(error.to_string().contains("segment 1 is not removed"), "{error}");
    assert!(path.exists());
}

/// What somebody might do to the files.
#[derive(Clone, Debug)]
enum Tampering {
    Edit { file: usize, at: usize, bit: u8 },
    Truncate { file: usize, keep: usize },
    RemoveRecord { file: usize, record: usize },
    SwapRecords { file: usize, record: usize },
    DoubleRecord { file: usize, record: usize },
    RemoveFile { file: usize },
    SwapFiles { a: usize, b: usize },
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let n = || any::<usize>();
    prop_oneof![
        4 => (n(), n(), 0u8..8).prop_map(|(file, at, bit)| Tampering::Edit { file, at, bit }),
        2 => (n(), n()).prop_map(|(file, keep)| Tampering::Truncate { file, keep }),
        1 => (n(), n()).prop_map(|(file, record)| Tampering::RemoveRecord { file, record }),
        1 => (n(), n()).prop_map(|(file, record)| Tampering::SwapRecords { file, record }),
        1 => (n(), n()).prop_map(|(file, record)| Tampering::DoubleRecord { file, record }),
        1 => n().prop_map(|file| Tampering::RemoveFile { file }),
        1 => (n(), n()).prop_map(|(a, b)| Tampering::SwapFiles { a, b }),
    ]
}

/// A segment taken apart: its head and its records as bytes.
fn parts(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (head, mut rest) = bytes.split_at(chain::HEAD);
    let mut parts = vec![head.to_vec()];
    while let Some(len) = rest.first_chunk::<4>() {
        let (record, more) = rest.split_at(4 + u32::from_be_bytes(*len) as usize + 32);
        parts.push(record.to_vec());
        rest = more;
    }
    parts
}

/// Does it; the segment where it shows at the latest, or `None` when it changes nothing.
fn tamper(folder: &Path, how: &Tampering) -> Option<u64> {
    let numbers = chain::segments(folder).unwrap();
    let pick = |n: usize| numbers[n % numbers.len()];
    let read = |number| fs::read(chain::path(folder, number)).unwrap();
    let write = |number, bytes: &[u8]| fs::write(chain::path(folder, number), bytes).unwrap();
    match *how {
        Tampering::Edit { file, at, bit } => {
            let number = pick(file);
            let mut bytes = read(number);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            write(number, &bytes);
            Some(number)
        }
        Tampering::Truncate { file, keep } => {
            let number = pick(file);
            let bytes = read(number);
            write(number, &bytes[..keep % bytes.len()]);
            Some(number + 1)
        }
        Tampering::RemoveRecord { file, record }
        | Tampering::SwapRecords { file, record }
        | Tampering::DoubleRecord { file, record } => {
            let number = pick(file);
            let mut parts = parts(&read(number));
            let at = 1 + record % (parts.len() - 1);
            match how {
                Tampering::RemoveRecord { .. } => drop(parts.remove(at)),
                Tampering::DoubleRecord { .. } => parts.insert(at, parts[at].clone()),
                _ if at + 1 < parts.len() => parts.swap(at, at + 1),
                _ => return None,
            }
            write(number, &parts.concat());
            Some(number + 1)
        }
        Tampering::RemoveFile { file } => {
            fs::remove_file(chain::path(folder, pick(file))).unwrap();
            Some(pick(file) + 1)
        }
        Tampering::SwapFiles { a, b } => {
            let (a, b) = (pick(a), pick(b));
            if a == b {
                return None;
            }
            let (first, second) = (read(a), read(b));
            write(a, &second);
            write(b, &first);
            Some(a.min(b))
        }
    }
}

#[test]
fn a_thousand_random_tamperings_are_all_found_and_their_place_named() {
    let log = Log::with(100);
    let (folder, key) = (log.folder(), ChainKey::new(&log.key));
    let store = log.store();
    let files: Vec<_> = chain::segments(&folder)
        .unwrap()
        .into_iter()
        .map(|n| (chain::path(&folder, n), fs::read(chain::path(&folder, n)).unwrap()))
        .collect();
    assert!(files.len() >= 3 && head(&store, &key).is_some_and(|head| head.seq == 100));
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut found = 0;
    while found < 1000 {
        let how = tampering().new_tree(&mut runner).unwrap().current();
        if let Some(place) = tamper(&folder, &how) {
            let verified = verify::verify_stopped(&folder, &log.key, &store).unwrap();
            let broken = verified.broken.unwrap_or_else(|| panic!("{how:?} was not found"));
            assert!(broken.segment <= place, "{how:?} is at {place}, but was found as {broken}");
            assert!(!broken.what.is_empty());
            found += 1;
        }
        for (path, bytes) in &files {
            fs::write(path, bytes).unwrap();
        }
    }
    assert_eq!(verify::verify_stopped(&folder, &log.key, &store).unwrap().broken, None);
}
