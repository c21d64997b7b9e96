//! What those hear who follow events: what they would find in lists, from where they were, and no word of anything
//! else.

use crate::sim::{Sim, ask, command, over, start};
use cmdr_agentd::agent;
use cmdr_link::packed::pack;
use cmdr_link::{Client, FeedStream, SecretKey};
use cmdr_protocol::edits::{Confirm, Revert, Save as SaveFile, Saving};
use cmdr_protocol::events::{Event, Watch, What};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::hosts::{Label, Labels};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Grant, Put};
use cmdr_protocol::runbooks::{Delete as DeleteBook, Save as SaveBook};
use cmdr_protocol::runs::{Delete, Pause, Resume, Retry, Start, Stop};
use cmdr_protocol::sessions::Open;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{CallError, ErrorKind, HostId, configs};
use harness::{BareAgent, World, until_some};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that is kept, as somebody may know it.
async fn kept(client: &Client) -> Vec<Event> {
    all(client, Watch::default()).await.unwrap()
}

async fn all(client: &Client, watch: Watch) -> Result<Vec<Event>, CallError> {
    let mut feed = client.feed(None, &Watch { once: true, ..watch }).await?;
    let mut events = Vec::new();
    while let Some(event) = feed.next().await {
        events.push(event?);
    }
    Ok(events)
}

async fn next(feed: &mut FeedStream<Watch>) -> Event {
    tokio::time::timeout(PATIENCE, feed.next()).await.unwrap().unwrap().unwrap()
}

fn whats(events: &[Event]) -> Vec<What> {
    events.iter().map(|event| event.what).collect()
}

/// A real agent that takes orders of every kind.
async fn agent(world: &World, name: &str) -> BareAgent {
    let mut config = agent::Config::new(world.path(name));
    config.etc_root = world.path(&format!("{name}-etc"));
    for dir in [&config.state_dir, &config.etc_root] {
        std::fs::create_dir_all(dir).unwrap();
    }
    world.agent_with(name, config).await
}

fn order(hosts: &str, argv: &[&str]) -> Start {
    Start { hosts: hosts.into(), order: command(argv), ..Start::default() }
}

async fn save(client: &Client, host: HostId, path: &Path, confirm_s: Option<u32>) -> Saving {
    std::fs::remove_file(path).ok();
    let path = FilePath::from_bytes(path.as_os_str().as_bytes()).unwrap();
    let content = pack(b"a text with hunter2 in it\n").unwrap();
    let save = SaveFile { path, content, confirm_s, ..SaveFile::default() };
    client.call(Some(host), &save, PATIENCE).await.unwrap()
}

/// A session, an edit and a run on a host; what they are about is in no event.
async fn busy(client: &Client, host: HostId, name: &str, dir: &Path) {
    let argv = ["/bin/sh", "-c", "echo hunter2; exit 3"].map(str::to_owned).to_vec();
    let mut feed = client.feed(Some(host), &Open { argv, ..Open::default() }).await.unwrap();
    while let Some(item) = feed.next().await {
        item.unwrap();
    }
    save(client, host, &dir.join(format!("{name}-file")), None).await;
    let run = start(client, &order(name, &["echo", "hunter2"])).await;
    over(client, run).await;
}

async fn watchers(world: &World, client: &Client, verbs: &[&str], hosts: &str) -> Client {
    let verbs = verbs.iter().map(|&verb| verb.to_owned()).collect();
    let grants = vec![Grant { verbs, hosts: hosts.to_owned(), ..Grant::default() }];
    let name = Role::parse(&format!("watchers-{}", hosts.len() + grants[0].verbs.len())).unwrap();
    ask(client, &Put { name, description: String::new(), grants }).await.unwrap();
    world.client(name).await
}

#[tokio::test]
async fn who_may_see_one_host_hears_of_nothing_that_happens_on_another() {
    let world = World::start().await;
    let (web, db) = (agent(&world, "web1").await, agent(&world, "db1").await);
    let administrator = world.client(Role::ADMINISTRATOR).await;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().canonicalize().unwrap();
    let narrow = watchers(&world, &administrator, &["@read"], "web1").await;
    busy(&administrator, web.id, "web1", &dir).await;
    busy(&administrator, db.id, "db1", &dir).await;
    let both = start(&administrator, &order("web1,db1", &["echo", "hunter2"])).await;
    over(&administrator, both).await;

    // The end of the last run is told a moment after it can be seen.
    let all = until_some("all ends are told", async || {
        let all = kept(&administrator).await;
        (all.iter().filter(|e| e.what == What::RunEnded).count() == 3).then_some(all)
    })
    .await;
    for what in [What::SessionBegun, What::SessionEnded, What::EditSaved] {
        let hosts: Vec<_> = all.iter().filter(|e| e.what == what).map(|e| e.host).collect();
        assert_eq!(hosts, [Some(web.id), Some(db.id)], "{what}: {all:?}");
    }
    let sessions: Vec<_> =
        all.iter().filter(|e| e.host == Some(web.id) && e.about.starts_with("session:")).collect();
    assert_eq!(sessions[0].about, sessions[1].about, "of one session");
    assert!(sessions.iter().all(|e| !e.operator.is_empty()), "{sessions:?}");
    let ended: Vec<_> = all.iter().filter(|e| e.what == What::RunEnded).collect();
    let counts: Vec<_> =
        ended.iter().map(|e| e.counts.unwrap()).map(|c| (c.targets, c.ok)).collect();
    assert_eq!(counts, [(1, 1), (1, 1), (2, 2)]);

    let some = kept(&narrow).await;
    assert!(some.iter().all(|e| e.host.is_none_or(|host| host == web.id)), "{some:?}");
    let ended: Vec<_> = some.iter().filter(|e| e.what == What::RunEnded).collect();
    assert_eq!(ended.len(), 2, "the run on the other host alone is not there: {some:?}");
    assert_eq!(ended[1].counts.unwrap().targets, 1, "of both, the host that they may see");
    assert!(some.iter().any(|e| e.what == What::EditSaved && e.about.ends_with("web1-file")));
    for (events, words) in [(&all, &["hunter2"][..]), (&some, &["hunter2", "db1"])] {
        let text = serde_json::to_string(events).unwrap();
        assert!(words.iter().all(|word| !text.contains(word)), "{words:?}: {text}");
    }
    // Who may follow events and see a host, and nothing more about it, hears of the host alone.
    let least = watchers(&world, &administrator, &["events.watch", "hosts.list"], "web1").await;
    let heard = kept(&least).await;
    assert!(heard.iter().all(|e| e.what.as_str().starts_with("host.")), "{heard:?}");
    assert!(!heard.is_empty());
}

#[tokio::test]
async fn each_thing_that_happens_is_an_event_that_says_to_what() {
    let world = World::start().await;
    let sim = Sim::new(&world, "sim").await;
    let web = agent(&world, "web1").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let mut feed = client.feed(None, &Watch { new: true, ..Watch::default() }).await.unwrap();
    assert_eq!(next(&mut feed).await.what, What::Alive, "from where it goes on");

    let run = start(&client, &order("sim", &["wait"])).await;
    sim.at().await;
    ask(&client, &Pause { run }).await.unwrap();
    ask(&client, &Resume { run }).await.unwrap();
    sim.finish(cmdr_protocol::runs::TargetState::Failed, 1).await;
    over(&client, run).await;
    let retry = Retry { run, targets: Vec::new(), cancelled: false, confirm: None };
    ask(&client, &retry).await.unwrap();
    sim.at().await;
    ask(&client, &Stop { run, why: "enough".into() }).await.unwrap();
    let mut heard: Vec<Event> = Vec::new();
    let ends = |heard: &[Event]| heard.iter().filter(|e| e.what == What::RunEnded).count();
    while ends(&heard) < 2 {
        heard.push(next(&mut feed).await);
    }
    // What happened to a run that is not there any more nobody would find in a list.
    ask(&client, &Delete { run }).await.unwrap();
    heard.push(next(&mut feed).await);
    let of_run: Vec<_> = heard.iter().filter(|e| e.run == Some(run)).collect();
    let kinds: Vec<_> = of_run.iter().map(|e| e.what.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "run.begun",
            "run.paused",
            "run.resumed",
            "run.ended",
            "run.retried",
            "run.stopped",
            "run.ended",
            "run.deleted"
        ]
    );
    assert!(of_run[5].message.contains("enough"), "{of_run:?}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("file");
    let saved = save(&client, web.id, &path, Some(600)).await.armed.unwrap();
    let confirm = Confirm { path: saved.path.clone(), id: saved.id };
    client.call(Some(web.id), &confirm, PATIENCE).await.unwrap();
    let saved = save(&client, web.id, &path, Some(600)).await.armed.unwrap();
    let revert = Revert { path: saved.path, id: saved.id };
    client.call(Some(web.id), &revert, PATIENCE).await.unwrap();
    let about = format!("path:{}", path.display());
    for what in [What::EditSaved, What::EditConfirmed, What::EditSaved, What::EditReverted] {
        let event = next(&mut feed).await;
        assert_eq!(
            (event.what, event.about.as_str(), event.host),
            (what, about.as_str(), Some(web.id))
        );
    }

    let text = "name: book\nsteps:\n- name: a\n  command: [hostname]\n";
    let book = SaveBook { name: "book".into(), text: text.into(), ..SaveBook::default() };
    ask(&client, &book).await.unwrap();
    ask(&client, &book).await.unwrap();
    ask(&client, &DeleteBook { name: "book".into() }).await.unwrap();
    let text = "name: motd\nhosts: web1\nfiles:\n- to: /tmp/cmdr-motd\n  content: hello\n";
    let group =
        configs::Save { name: "motd".into(), text: text.into(), ..configs::Save::default() };
    ask(&client, &group).await.unwrap();
    ask(&client, &configs::Delete { name: "motd".into() }).await.unwrap();
    for (what, about, message) in [
        (What::RunbookSaved, "runbook:book", "version 1"),
        (What::RunbookDeleted, "runbook:book", ""),
        (What::ConfigSaved, "config:motd", "version 1"),
        (What::ConfigDeleted, "config:motd", ""),
    ] {
        let event = next(&mut feed).await;
        assert_eq!(
            (event.what, event.about.as_str(), event.message.as_str()),
            (what, about, message),
            "the same text once more is no new version"
        );
    }
}

#[tokio::test]
async fn only_some_kinds_and_only_of_some_hosts_are_told_to_who_wants_no_others() {
    let world = World::start().await;
    let _sims = [Sim::new(&world, "web1").await, Sim::new(&world, "db1").await];
    let client = world.client(Role::ADMINISTRATOR).await;
    let run = start(&client, &order("web1", &["true"])).await;
    over(&client, run).await;
    let of = |kinds: &[&str], hosts: &str| Watch {
        kinds: kinds.iter().map(ToString::to_string).collect(),
        hosts: hosts.to_owned(),
        ..Watch::default()
    };
    let runs = until_some("its end is told", async || {
        let runs = all(&client, of(&["run"], "")).await.unwrap();
        (runs.len() > 1).then_some(runs)
    })
    .await;
    assert_eq!(whats(&runs), [What::RunBegun, What::RunEnded]);
    assert_eq!(whats(&all(&client, of(&["run.ended"], "web*")).await.unwrap()), [What::RunEnded]);
    assert!(all(&client, of(&["run"], "db1")).await.unwrap().is_empty());
    let db = all(&client, of(&[], "db1")).await.unwrap();
    assert_eq!(whats(&db), [What::HostJoined, What::HostOnline]);
    for wrong in
        [of(&["rum"], ""), of(&[], "a,,b"), Watch { after: "x".into(), ..Watch::default() }]
    {
        assert_eq!(all(&client, wrong).await.unwrap_err().kind, ErrorKind::Malformed);
    }
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_after_a_cut_and_is_told_when_the_hub_was_started_anew() {
    let world = World::start().await;
    let sim = Sim::new(&world, "sim").await;
    let token = world.token(TokenKind::Operator, Role::ADMINISTRATOR, 1).await;
    let mut dialer = world.dialer(PeerKind::Client, SecretKey::generate().unwrap(), Some(&token));
    let client = dialer.connect().await.unwrap().0;
    dialer.join = None;
    let label = async |client: &Client, tier: &str| {
        let set = Labels::from([("tier".to_owned(), tier.to_owned())]);
        ask(client, &Label { host: sim.id, set, remove: Vec::new() }).await.unwrap();
    };
    let mut feed = client.feed(None, &Watch { new: true, ..Watch::default() }).await.unwrap();
    let begin = next(&mut feed).await;
    label(&client, "a").await;
    let seen = next(&mut feed).await;
    assert_eq!((begin.what, seen.what), (What::Alive, What::HostChanged));
    drop((feed, client));
    // What happens while nobody listens is told then, and once.
    let client = dialer.connect().await.unwrap().0;
    label(&client, "b").await;
    let mut after = Watch { after: seen.cursor.clone(), ..Watch::default() };
    let events = all(&client, after.clone()).await.unwrap();
    assert_eq!(whats(&events), [What::HostChanged]);
    assert_ne!(events[0].cursor, seen.cursor);
    drop(client);
    let world = world.restart().await;
    let client = until_some("it is let in again", async || dialer.connect().await.ok()).await.0;
    label(&client, "c").await;
    let events = all(&client, after.clone()).await.unwrap();
    assert_eq!(whats(&events[..2]), [What::Missed, What::HostChanged], "{events:?}");
    assert!(events[0].message.contains("started anew"), "{events:?}");
    after.after.clone_from(&events[0].cursor);
    let events = all(&client, after).await.unwrap();
    assert_eq!(events[0].what, What::HostChanged, "its cursor is one to go on from");
    drop(world);
}

#[tokio::test]
async fn a_reader_that_is_too_slow_or_was_away_too_long_is_told_that_it_has_missed_something() {
    let world = World::start().await;
    let sim = Sim::new(&world, "sim").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let flood = |count: usize| {
        for _ in 0..count {
            world.hub.fleet.events.put(What::HostChanged, sim.id, "sim", "again");
        }
    };
    let mut feed = client.feed(None, &Watch::default()).await.unwrap();
    let first = next(&mut feed).await;
    flood(60_000);
    let mut told = 0;
    let missed = loop {
        let event = next(&mut feed).await;
        if event.what == What::Missed {
            break event;
        }
        told += 1;
    };
    assert!(told < 60_000, "no more waits for a reader than is kept");
    assert!(missed.message.contains("list everything again"), "{missed:?}");
    assert_ne!(next(&mut feed).await.what, What::Missed, "and then it goes on");
    let away = all(&client, Watch { after: first.cursor, ..Watch::default() }).await.unwrap();
    assert_eq!(away[0].what, What::Missed);
    assert_eq!(away.len(), 10_001, "what is known still follows");
}

#[tokio::test]
async fn a_session_that_ends_when_nobody_is_attached_is_told_once_with_whose_it_was() {
    let world = World::start().await;
    let host = agent(&world, "web1").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    assert!(std::process::Command::new("mkfifo").arg(&go).status().unwrap().success());
    let argv = vec!["/bin/cat".to_owned(), go.to_string_lossy().into_owned()];
    let open = Open { argv, detached: true, ..Open::default() };
    let mut feed = client.feed(Some(host.id), &open).await.unwrap();
    while let Some(item) = feed.next().await {
        item.unwrap();
    }
    let of = async |what: What| {
        let all = kept(&client).await;
        all.into_iter().filter(|event| event.what == what).collect::<Vec<_>>()
    };
    let begun = of(What::SessionBegun).await.remove(0);
    assert!(of(What::SessionEnded).await.is_empty());
    // Its program reads to the end of what nobody writes.
    drop(std::fs::File::options().write(true).open(&go).unwrap());
    let ended = until_some("its end is told", async || of(What::SessionEnded).await.pop()).await;
    assert_eq!((&ended.about, &ended.operator), (&begun.about, &begun.operator));
    assert_eq!((ended.host, ended.host_name.as_str()), (Some(host.id), "web1"));
    assert_eq!(of(What::SessionEnded).await.len(), 1);
}
