//! Recordings over real links: what is recorded and what is not, reading, searching, watching, ending.

use cmdr_hub::config::{Config, Recordings};
use cmdr_link::Client;
use cmdr_protocol::audit::{Event as Audited, Record};
use cmdr_protocol::exec::{Input, Item, Start};
use cmdr_protocol::recordings::{
    Delete, Event, EventKind, Filter, Hit, Level, List, PutRule, Read, Recording, Rule, Search,
    SetMark, State, Stop, Verify, Watch,
};
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, ErrorKind, HostId};
use harness::{World, until, until_some};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn shell(line: &str) -> Start {
    Start { argv: ["sh", "-c", line].map(str::to_owned).to_vec(), ..Start::default() }
}

async fn rule(admin: &Client, rule: Rule) {
    admin.call(None, &PutRule { rule }, PATIENCE).await.unwrap();
}

fn all() -> Rule {
    Rule { name: "all".into(), ..Rule::default() }
}

/// Runs it to its end: all items.
async fn run(client: &Client, host: HostId, start: &Start) -> Result<Vec<Item>, CallError> {
    let mut feed = client.feed(Some(host), start).await?;
    let mut items = Vec::new();
    while let Some(item) = feed.next().await {
        items.push(item?);
    }
    Ok(items)
}

/// The number under which the caller was told that it is recorded.
fn told(items: &[Item]) -> Option<u64> {
    items.iter().find_map(|item| item.notice.as_ref()?.recording)
}

async fn list(admin: &Client, filter: Filter) -> Vec<Recording> {
    let list = List { filter, ..List::default() };
    admin.call(None, &list, PATIENCE).await.unwrap().recordings
}

async fn read(admin: &Client, id: u64, from_ms: u64) -> (Vec<Event>, String) {
    let mut feed = admin.feed(None, &Read { id, from_ms }).await.unwrap();
    let (mut events, mut damage) = (Vec::new(), String::new());
    while let Some(item) = feed.next().await {
        let item = item.unwrap();
        events.extend(item.events);
        damage += &item.damage;
    }
    (events, damage)
}

fn of(kind: EventKind, events: &[Event]) -> String {
    let of_kind = events.iter().filter(|event| event.kind == kind);
    of_kind.map(|event| String::from_utf8_lossy(&event.data).into_owned()).collect()
}

/// The audit record of how this recording's command ended.
async fn answered(world: &World, id: u64) -> Record {
    until_some("the end of the command is in the audit log", async || {
        let mut tail = world.hub.audit.follow(Some(0));
        let last = world.hub.audit.point().seq;
        while tail.seq() < last {
            let records = tail.read().await.unwrap();
            let found = records.into_iter().find(|r| r.asked == Some(id));
            if found.is_some() {
                return found;
            }
        }
        None
    })
    .await
}

#[tokio::test]
async fn what_a_rule_names_is_recorded_under_the_number_of_its_audit_record_and_nothing_else() {
    let world = World::start().await;
    let (one, two) = (world.agent("web1").await, world.agent("db1").await);
    let (admin, ann) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::OPERATOR).await);
    let before = run(&ann, one.id, &shell("echo before")).await.unwrap();
    assert_eq!(told(&before), None);
    rule(&admin, Rule { hosts: "web*".into(), keep_days: 7, ..all() }).await;
    let line = "printf 'out\\377\\n'; sleep 0.1; echo err >&2; exit 3";
    let items = run(&ann, one.id, &shell(line)).await.unwrap();
    let id = told(&items).unwrap();
    assert!(items[0].notice.is_some(), "the notice comes first");
    assert_eq!(told(&run(&ann, two.id, &shell("echo elsewhere")).await.unwrap()), None);

    let recordings = list(&admin, Filter::default()).await;
    assert_eq!(recordings.len(), 1);
    let recording = &recordings[0];
    assert_eq!((recording.id, recording.state), (id, State::Whole));
    assert_eq!((recording.host_name.as_str(), recording.operator.as_str()), ("web1", "test-2"));
    assert_eq!(recording.ended, "exit 3");
    assert!(recording.command.starts_with("sh -c 'printf"), "{}", recording.command);
    assert_eq!((recording.bytes, recording.lost), (9, 0));
    assert_eq!(recording.until_ms, Some(recording.at_ms + 7 * 24 * 3600 * 1000));
    let (events, damage) = read(&admin, id, 0).await;
    assert_eq!(damage, "");
    let bytes: Vec<u8> = events
        .iter()
        .filter(|e| e.kind == EventKind::Output)
        .flat_map(|e| e.data.clone())
        .collect();
    assert_eq!(bytes, b"out\xff\nerr\n");
    assert!(of(EventKind::Mark, &events).ends_with("end: exit 3"));
    // Between the two, however long the command took to begin.
    let times: Vec<_> =
        events.iter().filter(|e| e.kind == EventKind::Output).map(|e| e.at_us / 1000).collect();
    let between = u64::midpoint(times[0], *times.last().unwrap());
    let (late, _) = read(&admin, id, between).await;
    assert_eq!(of(EventKind::Output, &late), "err\n");
    let record = answered(&world, id).await;
    assert_eq!(record.message, "recorded (all)");
    assert_eq!(record.event, Audited::Answered);
}

#[tokio::test]
async fn what_is_recorded_outlives_a_restart_and_can_be_proved_and_removed() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    rule(&admin, all()).await;
    let id = told(&run(&admin, agent.id, &shell("seq 1 20000")).await.unwrap()).unwrap();
    let world = world.restart().await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let (events, damage) = read(&admin, id, 0).await;
    assert_eq!(damage, "");
    assert_eq!(of(EventKind::Output, &events).lines().count(), 20_000);
    let proof = async || {
        let mut feed = admin.feed(None, &Verify { id: Some(id) }).await.unwrap();
        feed.next().await.unwrap().unwrap()
    };
    let proved = proof().await;
    assert_eq!((proved.broken.as_str(), proved.state), ("", State::Whole));
    assert!(proved.chunks >= 1 && proved.bytes > 100_000, "{proved:?}");

    let month = std::fs::read_dir(world.path("recordings")).unwrap().next().unwrap().unwrap();
    let file = month.path().join(format!("{id}.rec"));
    let whole = std::fs::read(&file).unwrap();
    assert!(!whole.windows(5).any(|bytes| bytes == b"19999"));
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    std::fs::write(&file, changed).unwrap();
    assert!(proof().await.broken.contains("it was changed"));
    assert!(read(&admin, id, 0).await.1.contains("it was changed"));
    std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    assert!(proof().await.broken.contains("the file ends"));

    admin.call(None, &Delete { id }, PATIENCE).await.unwrap();
    assert!(!file.exists());
    assert_eq!(list(&admin, Filter::default()).await, []);
    let error = admin.call(None, &Delete { id }, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn what_must_be_recorded_and_cannot_is_refused_and_other_things_go_on_with_a_word_in_the_log()
{
    let recordings = Recordings { free_mb: 1 << 30, ..Recordings::default() };
    let world = World::start_with(Config { recordings, ..Config::default() }).await;
    let agent = world.agent("here").await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    rule(&admin, all()).await;
    let file = world.path("done");
    let touch = shell(&format!("touch {}", file.display()));
    let items = run(&admin, agent.id, &touch).await.unwrap();
    assert_eq!(told(&items), None);
    assert!(file.exists());
    let id = world.hub.audit.point().seq - 1;
    let message = answered(&world, id).await.message;
    assert!(message.starts_with("not recorded: ") && message.contains("free_mb"), "{message}");

    std::fs::remove_file(&file).unwrap();
    rule(&admin, Rule { strict: true, ..all() }).await;
    let error = run(&admin, agent.id, &touch).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy);
    assert!(error.message.contains("it was not done"), "{}", error.message);
    assert!(!file.exists());
    assert_eq!(list(&admin, Filter::default()).await, []);
}

#[tokio::test]
async fn a_recording_that_reaches_its_limit_says_so_and_what_is_strict_ends_with_it() {
    let recordings =
        Recordings { largest_mb: std::num::NonZero::new(1).unwrap(), ..Recordings::default() };
    let world = World::start_with(Config { recordings, ..Config::default() }).await;
    let agent = world.agent("here").await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    rule(&admin, all()).await;
    let flood = shell("head -c 3000000 /dev/zero | tr '\\0' x");
    let items = run(&admin, agent.id, &flood).await.unwrap();
    let got: usize = items.iter().map(|item| item.stdout.len()).sum();
    assert_eq!(got, 3_000_000, "the command itself loses nothing");
    let recording = &list(&admin, Filter::default()).await[0];
    assert_eq!(recording.state, State::Gaps);
    assert!(recording.bytes <= 1 << 20 && recording.bytes > 1 << 19, "{}", recording.bytes);
    assert!(recording.lost >= 1_900_000, "{}", recording.lost);
    let marks = of(EventKind::Mark, &read(&admin, recording.id, 0).await.0);
    assert!(marks.contains("it has reached its limit"), "{marks}");

    rule(&admin, Rule { strict: true, ..all() }).await;
    let endless = shell("while :; do head -c 100000 /dev/zero; done");
    let error = run(&admin, agent.id, &endless).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy);
    assert!(error.message.contains("it must be recorded"), "{}", error.message);
}

#[tokio::test]
async fn text_is_found_inside_recordings_whatever_colours_stand_in_it() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    rule(&admin, all()).await;
    let line = "echo one; sleep 0.1; printf 'the \\033[31mne\\033[0medle\\n'; echo three";
    let first = told(&run(&admin, agent.id, &shell(line)).await.unwrap()).unwrap();
    let second = told(&run(&admin, agent.id, &shell("echo nothing")).await.unwrap()).unwrap();
    let search = async |search: &Search| {
        let mut feed = admin.feed(None, search).await.unwrap();
        let (mut hits, mut searched): (Vec<Hit>, u64) = (Vec::new(), 0);
        while let Some(item) = feed.next().await {
            let item = item.unwrap();
            assert_eq!(item.damage, Vec::<String>::new());
            hits.extend(item.hits);
            searched = item.searched;
        }
        (hits, searched)
    };
    let (hits, searched) = search(&Search { text: "needle".into(), ..Search::default() }).await;
    assert_eq!((hits.len(), searched), (1, 2));
    assert_eq!((hits[0].id, hits[0].line, hits[0].text.as_str()), (first, 2, "the needle"));
    assert!(hits[0].at_ms >= 90, "{}", hits[0].at_ms);
    let regex = Search { text: "^(one|nothing)$".into(), regex: true, ..Search::default() };
    let ids: Vec<_> = search(&regex).await.0.iter().map(|hit| hit.id).collect();
    assert_eq!(ids, [second, first]);
    let here = Search { id: Some(first), ..regex };
    assert_eq!(
        search(&here).await,
        (vec![Hit { text: "one".into(), ..search(&here).await.0[0].clone() }], 1)
    );
    let wrong = Search { text: "(".into(), regex: true, ..Search::default() };
    let error = admin.feed(None, &wrong).await.unwrap().next().await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed);
}

#[tokio::test]
async fn dangerous_commands_are_marked_and_a_reader_has_the_last_word() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    rule(&admin, all()).await;
    let start = shell("true || rm -rf / --no-preserve-root || sudo id");
    let id = told(&run(&admin, agent.id, &start).await.unwrap()).unwrap();
    run(&admin, agent.id, &shell("uptime")).await.unwrap();
    let marked = Filter { level: Level::Warning, ..Filter::default() };
    let found = list(&admin, marked.clone()).await;
    assert_eq!((found.len(), found[0].id, found[0].level), (1, id, Level::Danger));
    let what: Vec<_> = found[0].marks.iter().map(|mark| mark.what.as_str()).collect();
    assert_eq!(what[0], "deletes everything");
    assert!(what.contains(&"becomes somebody else"));
    let events = read(&admin, id, 0).await.0;
    assert!(of(EventKind::Mark, &events).starts_with("danger: deletes everything"));
    let harmless = SetMark { id, level: Level::None, remark: "it never ran".into() };
    admin.call(None, &harmless, PATIENCE).await.unwrap();
    assert_eq!(list(&admin, marked.clone()).await, []);
    let remark = list(&admin, Filter::default()).await[1].remark.clone().unwrap();
    assert_eq!((remark.text.as_str(), remark.by.as_str()), ("it never ran", "test"));
    let clear = SetMark { id, level: Level::Unknown, remark: String::new() };
    admin.call(None, &clear, PATIENCE).await.unwrap();
    assert_eq!(list(&admin, marked).await.len(), 1);
}

#[tokio::test]
async fn a_running_command_is_watched_and_ended_and_its_operator_is_told_both() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let (admin, ann) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::OPERATOR).await);
    rule(&admin, Rule { input: true, ..all() }).await;
    let start = Start { argv: vec!["cat".into()], stdin: true, ..Start::default() };
    let (mut items, mut inputs) = ann.feed(Some(agent.id), &start).await.unwrap().split();
    let id = items.next().await.unwrap().unwrap().notice.unwrap().recording.unwrap();
    let say = |text: &str| Input { data: text.as_bytes().to_vec(), ..Input::default() };
    inputs.send(&say("early\n")).await.unwrap();
    until("the first line is recorded", async || {
        list(&admin, Filter::default()).await[0].size > 16
            && of(EventKind::Output, &read(&admin, id, 0).await.0).contains("early")
    })
    .await;

    let mut watching = admin.feed(None, &Watch { id, from_start: true }).await.unwrap();
    let first = watching.next().await.unwrap().unwrap();
    assert_eq!(first.recording.unwrap().watchers, ["test"]);
    let mut seen = Vec::new();
    while !of(EventKind::Output, &seen).contains("early") {
        seen.extend(watching.next().await.unwrap().unwrap().events);
    }
    let next_notice = async |items: &mut cmdr_link::client::Items<Start>| loop {
        let item = items.next().await.unwrap().unwrap();
        if let Some(notice) = item.notice {
            return notice.watchers.unwrap();
        }
    };
    assert_eq!(next_notice(&mut items).await, ["test"]);
    inputs.send(&say("late\n")).await.unwrap();
    while !of(EventKind::Output, &seen).contains("late") {
        seen.extend(watching.next().await.unwrap().unwrap().events);
    }
    assert_eq!(of(EventKind::Output, &seen), "early\nlate\n");
    assert_eq!(of(EventKind::Input, &seen), "early\nlate\n");

    let stop = Stop { id, reason: "enough".into() };
    admin.call(None, &stop, PATIENCE).await.unwrap();
    let error = loop {
        match items.next().await.unwrap() {
            Ok(_) => {}
            Err(e) => break e,
        }
    };
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::Cancelled, "test ended it: enough")
    );
    while let Some(item) = watching.next().await {
        seen.extend(item.unwrap().events);
    }
    assert!(of(EventKind::Mark, &seen).contains("test ended it: enough"));
    let record = answered(&world, id).await;
    assert_eq!(record.message, "test ended it: enough; recorded (all)");
    let error = admin.call(None, &stop, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert_eq!(list(&admin, Filter::default()).await[0].watchers, Vec::<String>::new());
}

#[tokio::test]
async fn whoever_may_not_read_recordings_sees_nothing_of_them_and_input_is_not_recorded_unasked() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let (admin, ann) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::OPERATOR).await);
    rule(&admin, all()).await;
    let start = Start { argv: vec!["wc".into(), "-c".into()], stdin: true, ..Start::default() };
    let (mut items, mut inputs) = ann.feed(Some(agent.id), &start).await.unwrap().split();
    inputs.send(&Input { data: b"password\n".to_vec(), eof: true, signal: None }).await.unwrap();
    let id = items.next().await.unwrap().unwrap().notice.unwrap().recording.unwrap();
    while items.next().await.is_some() {}
    let (events, _) = read(&admin, id, 0).await;
    assert_eq!(of(EventKind::Input, &events), "");
    assert_eq!(of(EventKind::Output, &events).trim(), "9");
    let denied = |error: CallError| assert_eq!(error.kind, ErrorKind::Denied);
    denied(ann.call(None, &List::default(), PATIENCE).await.unwrap_err());
    denied(ann.call(None, &Stop { id, ..Stop::default() }, PATIENCE).await.unwrap_err());
    denied(ann.call(None, &Delete { id }, PATIENCE).await.unwrap_err());
    denied(ann.call(None, &PutRule::default(), PATIENCE).await.unwrap_err());
    let mut feed = ann.feed(None, &Read { id, from_ms: 0 }).await.unwrap();
    denied(feed.next().await.unwrap().unwrap_err());
    let mut feed = ann.feed(None, &Watch { id, from_start: true }).await.unwrap();
    denied(feed.next().await.unwrap().unwrap_err());
    let search = Search { text: "9".into(), ..Search::default() };
    let mut feed = ann.feed(None, &search).await.unwrap();
    denied(feed.next().await.unwrap().unwrap_err());
}
