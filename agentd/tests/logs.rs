//! Lines of logs of this machine, asked for over a real link: found, followed through rotation, sifted,
//! paged back, taken up again after a cut, and refused where the owner did not allow them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

#[path = "logs/journal.rs"]
mod journal;

use cmdr_protocol::logs::{
    At, Filter, Follow, GapKind, Input, Item, JournalState, LONGEST_LINE, Level, Older, Sift,
    Sources, TimeFrom,
};
use cmdr_protocol::{CallError, ErrorKind, human};
use common::{Items, World};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A folder of logs beside the agent's own, and an agent that may read it.
struct Logs {
    world: World,
    dir: tempfile::TempDir,
}

impl Logs {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut root = dir.path().canonicalize().unwrap().into_os_string();
        root.push("/");
        let world = World::with(|config, _| config.policy.logs.paths = vec![root.into()]).await;
        Self { world, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        append(&self.path(name), text.as_bytes());
    }

    fn ask(&self, name: &str) -> Follow {
        let source = format!("file:{}", self.path(name).display());
        Follow { source, last: Some(1000), follow: true, ..Follow::default() }
    }

    async fn open(&self, ask: &Follow) -> Reader {
        let items = self.world.feed(ask).await.unwrap();
        Reader { items, lines: Vec::new(), gaps: Vec::new(), seen: 0, place: None, first: None }
    }

    async fn refusal(&self, ask: &Follow) -> CallError {
        let mut items = self.world.feed(ask).await.unwrap();
        loop {
            match items.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it was not refused"),
                Err(error) => return error,
            }
        }
    }
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

/// What came so far.
struct Reader {
    items: Items<Follow>,
    lines: Vec<String>,
    gaps: Vec<GapKind>,
    seen: u64,
    place: Option<At>,
    first: Option<At>,
}

impl Reader {
    async fn item(&mut self) -> Option<Item> {
        let item = self.items.next().await.unwrap()?;
        self.gaps.extend(item.gaps.iter().map(|gap| gap.kind));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !item.older {
            self.lines.extend(item.lines.iter().map(|line| text(&line.bytes)));
            self.place = item.place.clone().or(self.place.take());
            self.seen += item.seen.unwrap_or(0);
        }
        self.first = item.first.clone().or(self.first.take());
        Some(item)
    }

    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            assert!(self.item().await.is_some(), "it ended with {:?}", self.lines);
        }
    }

    async fn until_lines(&mut self, n: usize) -> &[String] {
        self.until(|reader| reader.lines.len() >= n).await;
        &self.lines
    }

    async fn caught_up(&mut self) -> &mut Self {
        while !self.item().await.expect("it ended").caught_up {}
        self
    }

    async fn read_all(mut self) -> Vec<String> {
        while self.item().await.is_some() {}
        self.lines
    }
}

#[tokio::test]
async fn the_newest_lines_come_first_and_then_what_is_written() {
    let logs = Logs::new().await;
    logs.write("a.log", "1\n2\n3\n4\nhal");
    let mut reader = logs.open(&Follow { last: Some(2), ..logs.ask("a.log") }).await;
    assert_eq!(reader.caught_up().await.lines, ["3", "4"]);
    logs.write("a.log", "f\n5\n");
    assert_eq!(reader.until_lines(4).await, ["3", "4", "half", "5"]);
    // Not followed, also a line without an end is one.
    logs.write("a.log", "rest");
    let all = Follow { follow: false, ..logs.ask("a.log") };
    assert_eq!(logs.open(&all).await.read_all().await, ["1", "2", "3", "4", "half", "5", "rest"]);
    let none = Follow { follow: false, last: Some(0), ..logs.ask("a.log") };
    assert_eq!(logs.open(&none).await.read_all().await, ["rest"]);
}

#[tokio::test]
async fn only_what_is_wanted_crosses_the_wire() {
    let logs = Logs::new().await;
    let lines: Vec<_> = (0..100_000).map(|n| format!("line {n} of many\n")).collect();
    let lines = lines.concat();
    logs.write("a.log", &lines);
    let filter = Filter { include: vec!["line 7777[0-9] ".into()], ..Filter::default() };
    let mut reader = logs.open(&Follow { filter, last: Some(5), ..logs.ask("a.log") }).await;
    let wanted: Vec<_> = (77_775..77_780).map(|n| format!("line {n} of many")).collect();
    assert_eq!(reader.caught_up().await.lines, wanted);
    let before = reader.seen;
    logs.write("a.log", &lines);
    reader.until_lines(15).await;
    reader.until(|reader| reader.seen - before >= 100_000).await;
    assert_eq!(reader.lines.len(), 15);
}

#[tokio::test]
async fn a_log_that_is_renamed_away_is_followed_without_a_line_lost_or_doubled() {
    let logs = Logs::new().await;
    logs.write("a.log", "1\n");
    let mut reader = logs.open(&logs.ask("a.log")).await;
    reader.caught_up().await;
    let mut wanted = vec!["1".to_owned()];
    for round in 0..20 {
        let mut writer = OpenOptions::new().append(true).open(logs.path("a.log")).unwrap();
        for n in 0..50 {
            writeln!(writer, "{round}-{n}").unwrap();
            wanted.push(format!("{round}-{n}"));
        }
        fs::rename(logs.path("a.log"), logs.path(&format!("a.log.{round}"))).unwrap();
        // The program has not noticed yet.
        writeln!(writer, "{round}-late").unwrap();
        wanted.push(format!("{round}-late"));
        logs.write("a.log", &format!("{round}-new\n"));
        wanted.push(format!("{round}-new"));
        reader.until_lines(wanted.len()).await;
    }
    assert_eq!(reader.lines, wanted);
    assert_eq!(reader.gaps, vec![GapKind::Rotated; 20]);
}

#[tokio::test]
async fn what_is_written_to_the_old_file_after_the_new_one_came_is_not_lost() {
    let logs = Logs::new().await;
    logs.write("a.log", "1\n");
    let mut reader = logs.open(&logs.ask("a.log")).await;
    reader.caught_up().await;
    let mut old = OpenOptions::new().append(true).open(logs.path("a.log")).unwrap();
    fs::rename(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    logs.write("a.log", "new\n");
    reader.until_lines(2).await;
    writeln!(old, "late").unwrap();
    assert_eq!(reader.until_lines(3).await, ["1", "new", "late"]);
}

#[tokio::test]
async fn a_log_that_is_emptied_in_place_goes_on_from_its_beginning() {
    let logs = Logs::new().await;
    logs.write("a.log", "1\n2\n");
    let mut reader = logs.open(&logs.ask("a.log")).await;
    reader.caught_up().await;
    let file = OpenOptions::new().write(true).open(logs.path("a.log")).unwrap();
    file.set_len(0).unwrap();
    reader.until(|reader| reader.gaps == [GapKind::Truncated]).await;
    logs.write("a.log", "3\n");
    reader.until_lines(3).await;
    // Emptied and filled further than before between two looks.
    file.set_len(0).unwrap();
    logs.write("a.log", "other 1\nother 2\nother 3\n");
    assert_eq!(reader.until_lines(6).await, ["1", "2", "3", "other 1", "other 2", "other 3"]);
}

#[tokio::test]
async fn a_log_that_is_not_there_yet_is_told_and_one_that_goes_is_awaited() {
    let logs = Logs::new().await;
    assert_eq!(logs.refusal(&logs.ask("none.log")).await.kind, ErrorKind::NotFound);
    logs.write("a.log", "1\n");
    let mut reader = logs.open(&logs.ask("a.log")).await;
    reader.caught_up().await;
    fs::remove_file(logs.path("a.log")).unwrap();
    reader.until(|reader| reader.gaps == [GapKind::Gone]).await;
    logs.write("a.log", "2\n");
    assert_eq!(reader.until_lines(2).await, ["1", "2"]);
}

fn packed(logs: &Logs) {
    let lines = |hour: u32| -> String {
        let line = |m| format!("2026-11-20T{hour:02}:{m:02}:00Z line\n");
        (0..60).map(line).collect::<Vec<_>>().concat()
    };
    fs::write(logs.path("a.log.3.gz"), gz(&lines(10))).unwrap();
    fs::write(logs.path("a.log.2.zst"), zstd::encode_all(lines(11).as_bytes(), 3).unwrap())
        .unwrap();
    logs.write("a.log.1", &lines(12));
    logs.write("a.log", &lines(13));
    for (hours, name) in [(3, "a.log.3.gz"), (2, "a.log.2.zst"), (1, "a.log.1")] {
        let at = std::time::UNIX_EPOCH + Duration::from_secs(1_795_183_320 - hours * 3600);
        File::options().append(true).open(logs.path(name)).unwrap().set_modified(at).unwrap();
    }
}

fn xz(text: &str) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(0);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(text.as_bytes()).unwrap();
    xz.finish().unwrap()
}

#[tokio::test]
async fn what_xz_has_packed_is_read_in_its_turn() {
    let logs = Logs::new().await;
    logs.write("a.log", "3\n4\n");
    // Two streams one after the other are one file.
    fs::write(logs.path("a.log.1.xz"), [xz("1\n"), xz("2\n")].concat()).unwrap();
    let all = Follow { follow: false, ..logs.ask("a.log") };
    assert_eq!(logs.open(&all).await.read_all().await, ["1", "2", "3", "4"]);
}

fn gz(text: &str) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap()
}

/// One file packed in each way, with these lines.
fn packed_each(logs: &Logs, text: &str) -> [&'static str; 3] {
    fs::write(logs.path("old.xz"), xz(text)).unwrap();
    fs::write(logs.path("old.gz"), gz(text)).unwrap();
    fs::write(logs.path("old.zst"), zstd::encode_all(text.as_bytes(), 3).unwrap()).unwrap();
    ["old.xz", "old.gz", "old.zst"]
}

#[tokio::test]
async fn a_packed_file_is_read_by_its_own_name() {
    let logs = Logs::new().await;
    for name in packed_each(&logs, "a\nb\nc\n") {
        let ask = Follow { last: Some(2), follow: false, ..logs.ask(name) };
        assert_eq!(logs.open(&ask).await.read_all().await, ["b", "c"], "{name}");
    }
}

#[tokio::test]
async fn a_packed_file_that_is_followed_stays_to_be_sifted_and_paged() {
    let logs = Logs::new().await;
    for name in packed_each(&logs, "a\nb\nc\nd\n") {
        let mut reader = logs.open(&Follow { last: Some(2), ..logs.ask(name) }).await;
        assert_eq!(reader.caught_up().await.lines, ["c", "d"], "{name}");
        let before = reader.first.clone().unwrap();
        let older = Some(Older { before, lines: 1 });
        reader.items.send(&Input { older, ..Input::default() }).await;
        let (mut older, mut over) = (Vec::new(), false);
        while !over {
            let item = reader.item().await.expect("it stays");
            over = item.older_end;
            older.extend(item.lines.into_iter().map(|l| String::from_utf8(l.bytes).unwrap()));
        }
        assert_eq!(older, ["b"], "{name}");
        let filter = Filter { include: vec!["[ad]".into()], ..Filter::default() };
        let sift = Some(Sift { filter, number: 1, last: Some(10) });
        reader.lines.clear();
        reader.items.send(&Input { sift, ..Input::default() }).await;
        assert_eq!(reader.until_lines(2).await, ["a", "d"], "{name}");
    }
}

#[tokio::test]
async fn a_packed_file_is_taken_up_again_where_it_was() {
    let logs = Logs::new().await;
    for name in packed_each(&logs, "a\nb\nc\n") {
        let mut reader = logs.open(&Follow { last: Some(2), ..logs.ask(name) }).await;
        let place = reader.caught_up().await.place.clone();
        assert_eq!(place.as_ref().and_then(|at| at.offset), Some(6), "{name}");
        let mut again = logs.open(&Follow { from: place.clone(), ..logs.ask(name) }).await;
        let again = again.caught_up().await;
        assert!(again.lines.is_empty() && again.gaps.is_empty(), "{name}: {:?}", again.lines);
        let middle = Some(At { offset: Some(2), ..place.unwrap() });
        let mut again = logs.open(&Follow { from: middle, ..logs.ask(name) }).await;
        assert_eq!(again.caught_up().await.lines, ["b", "c"], "{name}");
    }
}

#[tokio::test]
async fn none_of_a_packed_files_lines_come_when_none_are_wanted() {
    let logs = Logs::new().await;
    for name in packed_each(&logs, "a\nb\n") {
        let ask = Follow { last: Some(0), follow: false, ..logs.ask(name) };
        assert!(logs.open(&ask).await.read_all().await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_unpacked_says_why_and_is_not_offered() {
    let logs = Logs::new().await;
    fs::write(logs.path("a.log.bz2"), "BZh9").unwrap();
    fs::write(logs.path("broken.xz"), "\u{fd}7zXZ no").unwrap();
    // As `xz -9` writes it: the header of the block asks for 64 MiB.
    let mut large = xz("1\n");
    let header = 12..12 + (usize::from(large[12]) + 1) * 4 - 4;
    assert_eq!(large[14], 0x21, "the filter is LZMA2");
    large[16] = 28;
    let mut sum = flate2::Crc::new();
    sum.update(&large[header.clone()]);
    large[header.end..header.end + 4].copy_from_slice(&sum.sum().to_le_bytes());
    fs::write(logs.path("large.xz"), large).unwrap();
    let call = Sources::default();
    let listing = logs.world.client.call(None, &call, Duration::from_secs(10)).await.unwrap();
    assert!(listing.sources.iter().all(|s| !s.source.contains(".bz2")), "{listing:?}");
    let refused = logs.refusal(&Follow { follow: false, ..logs.ask("a.log.bz2") }).await;
    assert!(refused.message.contains("packed"), "{}", refused.message);
    assert!(refused.message.contains("cmdr cp"), "{}", refused.message);
    for (name, why) in [("broken.xz", "broken.xz"), ("large.xz", "memory")] {
        let mut reader = logs.open(&Follow { follow: false, ..logs.ask(name) }).await;
        let mut gaps = Vec::new();
        while let Some(item) = reader.item().await {
            gaps.extend(item.gaps.into_iter().map(|gap| gap.what));
        }
        assert!(reader.lines.is_empty() && gaps.concat().contains(why), "{name}: {gaps:?}");
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as requests have it")]
fn moment(text: &str) -> Option<u64> {
    Some(human::moment_ms(text).unwrap())
}

#[tokio::test]
async fn a_moment_is_found_in_rotated_and_packed_files() {
    let logs = Logs::new().await;
    packed(&logs);
    let ask = |since: &str, until: &str| Follow {
        since_ms: moment(since),
        until_ms: moment(until),
        last: None,
        follow: false,
        ..logs.ask("a.log")
    };
    let lines =
        logs.open(&ask("2026-11-20T10:58:00Z", "2026-11-20T13:01:00Z")).await.read_all().await;
    assert_eq!(lines.len(), 2 + 60 + 60 + 2);
    assert_eq!(lines[0], "2026-11-20T10:58:00Z line");
    assert_eq!(lines.last().unwrap(), "2026-11-20T13:01:00Z line");
    let lines =
        logs.open(&ask("2026-11-20T13:30:00Z", "2026-11-20T23:00:00Z")).await.read_all().await;
    assert_eq!(lines.len(), 30);
    let newest = Follow { last: Some(2), ..ask("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z") };
    let lines = logs.open(&newest).await.read_all().await;
    assert_eq!(lines, ["2026-11-20T10:59:00Z line", "2026-11-20T11:00:00Z line"]);
}

#[tokio::test]
async fn a_moment_is_found_in_a_large_file_without_reading_all_of_it() {
    let logs = Logs::new().await;
    let line = |n: u64| format!("{} something happened here\n", human::moment(n * 1000));
    let text: String = (0..200_000).map(|n| line(1_795_000_000 + n)).collect();
    logs.write("a.log", &text);
    let since_ms = Some((1_795_000_000 + 199_990) * 1000);
    let ask = Follow { since_ms, last: None, follow: false, ..logs.ask("a.log") };
    let mut reader = logs.open(&ask).await;
    while reader.item().await.is_some() {}
    assert_eq!(reader.lines.len(), 10);
    assert!(reader.seen < 10_000, "{} lines were looked at", reader.seen);
}

#[tokio::test]
async fn one_pages_back_to_the_beginning_through_all_files() {
    let logs = Logs::new().await;
    packed(&logs);
    let mut reader = logs.open(&Follow { last: Some(10), ..logs.ask("a.log") }).await;
    reader.caught_up().await;
    let mut all: Vec<String> = reader.lines.clone();
    for round in 0.. {
        assert!(round < 20, "it never came to the beginning");
        let before = reader.first.clone().unwrap();
        let older = Some(Older { before, lines: 37 });
        reader.items.send(&Input { older, ..Input::default() }).await;
        let (mut page, mut beginning) = (Vec::new(), false);
        loop {
            let item = reader.item().await.unwrap();
            if !item.older {
                continue;
            }
            page.extend(item.lines.iter().map(|l| String::from_utf8(l.bytes.clone()).unwrap()));
            beginning |= item.beginning;
            if item.older_end {
                break;
            }
        }
        all.splice(0..0, page);
        if beginning {
            break;
        }
    }
    let wanted: Vec<String> = (10..14)
        .flat_map(|h| (0..60).map(move |m| format!("2026-11-20T{h:02}:{m:02}:00Z line")))
        .collect();
    assert_eq!(all, wanted);
}

#[tokio::test]
async fn after_a_cut_it_goes_on_where_it_was_also_when_the_log_was_rotated() {
    let logs = Logs::new().await;
    logs.write("a.log", "1\n2\n");
    let mut reader = logs.open(&logs.ask("a.log")).await;
    reader.caught_up().await;
    let place = reader.place.clone();
    drop(reader);
    logs.write("a.log", "3\n");
    fs::rename(logs.path("a.log"), logs.path("a.log.1")).unwrap();
    logs.write("a.log", "4\n");
    let mut reader = logs.open(&Follow { from: place.clone(), ..logs.ask("a.log") }).await;
    assert_eq!(reader.caught_up().await.lines, ["3", "4"]);
    let place = reader.place.clone();
    drop(reader);
    // Another file of the same length in the same place is another one.
    let file = OpenOptions::new().write(true).open(logs.path("a.log")).unwrap();
    file.set_len(0).unwrap();
    logs.write("a.log", "x\ny\n");
    let mut reader = logs.open(&Follow { from: place, ..logs.ask("a.log") }).await;
    reader.caught_up().await;
    assert_eq!(
        (reader.lines.as_slice(), reader.gaps),
        (&["x".to_owned(), "y".to_owned()][..], vec![GapKind::Truncated])
    );
    let gone = Some(At { file: Some(1), offset: Some(2), ..At::default() });
    let mut reader = logs.open(&Follow { from: gone, ..logs.ask("a.log") }).await;
    assert_eq!(reader.caught_up().await.gaps, [GapKind::Missed]);
}

#[tokio::test]
async fn the_filter_changes_while_lines_come_and_begins_anew_when_asked() {
    let logs = Logs::new().await;
    logs.write("a.log", "a1\nb1\n");
    let with = |word: &str| Filter { include: vec![word.into()], ..Filter::default() };
    let mut reader = logs.open(&Follow { filter: with("a"), ..logs.ask("a.log") }).await;
    assert_eq!(reader.caught_up().await.lines, ["a1"]);
    let sift = |number, last| Some(Sift { filter: with("b"), number, last });
    reader.items.send(&Input { sift: sift(7, None), ..Input::default() }).await;
    while reader.item().await.unwrap().sifted != Some(7) {}
    logs.write("a.log", "a2\nb2\n");
    assert_eq!(reader.until_lines(2).await, ["a1", "b2"]);
    reader.lines.clear();
    reader.items.send(&Input { sift: sift(8, Some(100)), ..Input::default() }).await;
    while reader.item().await.unwrap().sifted != Some(8) {}
    assert_eq!(reader.until_lines(2).await, ["b1", "b2"]);
    // A pattern that is none ends it with the reason.
    let bad = Sift { filter: with("("), number: 9, last: None };
    reader.items.send(&Input { sift: Some(bad), ..Input::default() }).await;
    let error = loop {
        if let Err(error) = reader.items.next().await {
            break error;
        }
    };
    assert_eq!(error.kind, ErrorKind::Malformed, "{error}");
}

#[tokio::test]
async fn a_reader_that_pauses_gets_nothing_until_it_goes_on() {
    let logs = Logs::new().await;
    logs.write("a.log", "1\n");
    let mut reader = logs.open(&logs.ask("a.log")).await;
    reader.caught_up().await;
    let pause = |pause| Input { pause: Some(pause), ..Input::default() };
    reader.items.send(&pause(true)).await;
    // An answer to something else shows that the pause has come.
    let before = reader.first.clone().unwrap();
    reader.items.send(&Input { older: Some(Older { before, lines: 1 }), ..Input::default() }).await;
    while !reader.item().await.unwrap().older_end {}
    logs.write("a.log", "2\n");
    let quiet = tokio::time::timeout(Duration::from_millis(300), reader.items.reader.next()).await;
    assert!(quiet.is_err(), "something came");
    reader.items.send(&pause(false)).await;
    assert_eq!(reader.until_lines(2).await, ["1", "2"]);
}

#[tokio::test]
async fn bytes_of_any_kind_and_lines_of_any_length_are_carried() {
    let logs = Logs::new().await;
    let mut huge = vec![b'x'; 40 << 20];
    huge.extend(b"\n\x1b]0;owned\x07\xff\xfe\r\nERROR end\n");
    append(&logs.path("a.log"), &huge);
    let mut items = logs.world.feed(&logs.ask("a.log")).await.unwrap();
    let mut lines = Vec::new();
    while lines.len() < 3 {
        lines.extend(items.next().await.unwrap().unwrap().lines);
    }
    assert_eq!((lines[0].bytes.len(), lines[0].whole), (LONGEST_LINE, Some(40 << 20)));
    assert_eq!(lines[1].bytes, b"\x1b]0;owned\x07\xff\xfe");
    assert_eq!((lines[2].level, lines[2].time_from), (Level::Error, TimeFrom::Line));
    logs.write("a.log", "now\n");
    let line = items.next().await.unwrap().unwrap().lines.remove(0);
    assert!(line.at_ms.is_some() && line.time_from == TimeFrom::Arrival);
}

#[tokio::test]
async fn nothing_but_plain_files_that_the_owner_allows_is_opened() {
    let logs = Logs::new().await;
    let secret = logs.world.state.path().join("key");
    fs::write(&secret, "secret\n").unwrap();
    std::os::unix::fs::symlink(&secret, logs.path("link.log")).unwrap();
    std::os::unix::fs::symlink("/etc", logs.path("folder")).unwrap();
    logs.write("real.log", "1\n");
    std::os::unix::fs::symlink(logs.path("real.log"), logs.path("inner.log")).unwrap();
    let fifo = logs.path("fifo.log");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    for name in ["link.log", "folder/hostname", "inner.log", "fifo.log"] {
        let refusal = logs.refusal(&logs.ask(name)).await;
        assert_eq!(refusal.kind, ErrorKind::Denied, "{name}: {refusal}");
        assert!(!refusal.message.contains("state"), "{refusal}");
    }
    // Where a link leads is told when that may be read.
    assert!(logs.refusal(&logs.ask("inner.log")).await.message.contains("real.log"));
    for source in ["file:/etc/shadow", "file:/proc/self/environ", "file:/dev/zero"] {
        let ask = Follow { source: source.into(), ..Follow::default() };
        assert_eq!(logs.refusal(&ask).await.kind, ErrorKind::Denied, "{source}");
    }
    let wandering = format!("file:{}/../x", logs.dir.path().display());
    let ask = Follow { source: wandering, ..Follow::default() };
    assert_eq!(logs.refusal(&ask).await.kind, ErrorKind::Malformed);
    for source in ["container:web", "journal:x y"] {
        let ask = Follow { source: source.into(), ..Follow::default() };
        assert_eq!(logs.refusal(&ask).await.kind, ErrorKind::NotFound, "{source}");
    }
}

#[tokio::test]
async fn the_agents_own_folder_is_never_read() {
    let world = World::with(|config, _| config.policy.logs.paths = vec!["/".into()]).await;
    let own = world.state.path().canonicalize().unwrap().join("x.log");
    fs::write(&own, "1\n").unwrap();
    let ask = Follow { source: format!("file:{}", own.display()), ..Follow::default() };
    let mut items = world.feed(&ask).await.unwrap();
    let refusal = items.next().await.unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::Denied);
    assert!(refusal.message.contains("the agent itself"), "{refusal}");
}

#[tokio::test]
async fn files_are_listed_with_what_was_rotated_away_from_them() {
    let logs = Logs::new().await;
    packed(&logs);
    fs::create_dir(logs.path("sub")).unwrap();
    logs.write("sub/b.log", "1\n");
    logs.write("wtmp", "x");
    std::os::unix::fs::symlink("/etc/hostname", logs.path("c.log")).unwrap();
    let list = async |paths: &[String]| {
        let call = Sources { paths: paths.to_vec() };
        logs.world.client.call(None, &call, Duration::from_secs(10)).await.unwrap()
    };
    let listing = list(&[]).await;
    let names: Vec<_> = listing
        .sources
        .iter()
        .filter(|s| s.source.starts_with("file:"))
        .map(|s| (s.source.rsplit('/').next().unwrap(), s.rotated))
        .collect();
    assert_eq!(names, [("a.log", 3), ("b.log", 0)]);
    let pattern = format!("{}/*/*.log", logs.path("").display().to_string().trim_end_matches('/'));
    let listing = list(&[pattern]).await;
    assert_eq!(listing.sources.len(), 1);
}
