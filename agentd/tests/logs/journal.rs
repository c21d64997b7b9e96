//! Logs of a journal, read by the real journalctl.

use super::*;

/// A journal made of entries, by the program that takes them from other hosts.
fn journal(dir: &Path, entries: &[(u64, &str, &str, u8)]) {
    let mut export = Vec::new();
    for (n, (at_ms, unit, message, priority)) in entries.iter().enumerate() {
        write!(
            export,
            "__CURSOR=s=1;i={n}\n__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={}\n\
             _TRANSPORT=stdout\n_SYSTEMD_UNIT={unit}\nPRIORITY={priority}\nMESSAGE\n",
            at_ms * 1000,
            1_000_000 + n,
            "1".repeat(32),
        )
        .unwrap();
        export.extend((message.len() as u64).to_le_bytes());
        export.extend(message.as_bytes());
        export.extend(b"\n\n");
    }
    let mut child = std::process::Command::new("/lib/systemd/systemd-journal-remote")
        .arg(format!("--output={}", dir.join("test.journal").display()))
        .arg("-")
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("systemd-journal-remote; scripts/install-tools installs it");
    child.stdin.take().unwrap().write_all(&export).unwrap();
    assert!(child.wait().unwrap().success());
}

const T0: u64 = 1_795_183_320_000;

async fn with_journal(units: Option<Vec<String>>) -> Logs {
    let dir = tempfile::tempdir().unwrap();
    let entries = [
        (T0, "a.service", "a starts", 6),
        (T0 + 1000, "b.service", "b fails\n  at line 2", 3),
        (T0 + 2000, "a.service", "a \u{1b}[31mred", 6),
        (T0 + 3000, "b.service", "b again", 4),
        (T0 + 4000, "a.service", "a ends", 6),
    ];
    journal(dir.path(), &entries);
    let path = dir.path().to_owned();
    let world = World::with(|config, _| {
        config.policy.logs.journal = Some(path);
        config.policy.logs.units = units;
    })
    .await;
    Logs { world, dir }
}

#[tokio::test]
async fn a_journal_is_read_by_unit_by_time_and_back_from_its_end() {
    let logs = with_journal(None).await;
    let listing =
        logs.world.client.call(None, &Sources::default(), Duration::from_secs(10)).await.unwrap();
    assert_eq!(listing.journal, JournalState::Here);
    assert_eq!(listing.main, "journal:all");
    let units: Vec<_> = listing.sources.iter().filter(|s| s.source.starts_with("unit:")).collect();
    assert_eq!(units.len(), 2);
    let ask = |source: &str| Follow {
        source: source.into(),
        last: Some(1000),
        follow: false,
        ..Follow::default()
    };
    let lines = logs.open(&ask("unit:a.service")).await.read_all().await;
    assert_eq!(lines, ["a starts", "a \u{1b}[31mred", "a ends"]);
    let lines = logs.open(&ask("journal:all")).await.read_all().await;
    assert_eq!(
        lines,
        ["a starts", "b fails", "  at line 2", "a \u{1b}[31mred", "b again", "a ends"]
    );
    let since = Follow { since_ms: Some(T0 + 2500), last: None, ..ask("journal:all") };
    assert_eq!(logs.open(&since).await.read_all().await, ["b again", "a ends"]);
    let newest = Follow { last: Some(1), ..ask("journal:all") };
    assert_eq!(logs.open(&newest).await.read_all().await, ["a ends"]);
    let grave = Filter { level: Some(Level::Warning), ..Filter::default() };
    let lines = logs.open(&Follow { filter: grave, ..ask("journal:all") }).await.read_all().await;
    assert_eq!(lines, ["b fails", "  at line 2", "b again"]);
    let around = Filter { include: vec!["red".into()], before: 1, after: 1, ..Filter::default() };
    let lines = logs.open(&Follow { filter: around, ..ask("journal:all") }).await.read_all().await;
    assert_eq!(lines, ["b fails", "  at line 2", "a \u{1b}[31mred", "b again"]);
}

#[tokio::test]
async fn a_journal_is_followed_taken_up_again_and_paged_back() {
    let logs = with_journal(None).await;
    let ask = Follow {
        source: "unit:b.service".into(),
        last: Some(1),
        follow: true,
        ..Follow::default()
    };
    let mut reader = logs.open(&ask).await;
    assert_eq!(reader.caught_up().await.lines, ["b again"]);
    let before = reader.first.clone().unwrap();
    reader
        .items
        .send(&Input { older: Some(Older { before, lines: 10 }), ..Input::default() })
        .await;
    let mut older = Vec::new();
    loop {
        let item = reader.item().await.unwrap();
        older.extend(item.lines.iter().map(|l| String::from_utf8(l.bytes.clone()).unwrap()));
        if item.older_end {
            assert!(item.beginning);
            break;
        }
    }
    assert_eq!(older, ["b fails", "  at line 2"]);
    let place = reader.place.clone();
    assert!(place.as_ref().is_some_and(|at| !at.cursor.is_empty()));
    drop(reader);
    journal(&logs.dir.path().join("."), &[(T0 + 4500, "c.service", "c", 6)]);
    let mut reader = logs.open(&Follow { from: place, ..ask.clone() }).await;
    assert_eq!(reader.caught_up().await.lines, Vec::<String>::new());
    let first = Follow { from: Some(At::default()), last: Some(10), follow: false, ..ask };
    assert_eq!(logs.open(&first).await.read_all().await, ["b fails", "  at line 2", "b again"]);
}

#[tokio::test]
async fn units_that_the_owner_does_not_allow_are_neither_read_nor_listed() {
    let logs = with_journal(Some(vec!["a.*".into()])).await;
    for source in ["unit:b.service", "journal:all", "journal:kernel"] {
        let ask = Follow { source: source.into(), last: Some(1), ..Follow::default() };
        assert_eq!(logs.refusal(&ask).await.kind, ErrorKind::Denied, "{source}");
    }
    for source in ["unit:*", "unit:a", "unit:a.service -x", "unit:[ab].service"] {
        let ask = Follow { source: source.into(), last: Some(1), ..Follow::default() };
        assert_eq!(logs.refusal(&ask).await.kind, ErrorKind::Malformed, "{source}");
    }
    let listing =
        logs.world.client.call(None, &Sources::default(), Duration::from_secs(10)).await.unwrap();
    let units: Vec<_> = listing
        .sources
        .iter()
        .map(|s| s.source.as_str())
        .filter(|s| !s.starts_with("file"))
        .collect();
    assert_eq!(units, ["unit:a.service"]);
}
