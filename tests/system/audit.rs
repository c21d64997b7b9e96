//! What leaves a trail, in which order, and what does not.

use cmdr_hub::audit::Audit;
use cmdr_hub::audit::verify::verify_stopped;
use cmdr_link::Client;
use cmdr_link::SecretKey;
use cmdr_link::frame::{FrameReader, FrameWriter, Tag};
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::audit::{
    Event, Filter, Items, List, Outcome, Page, Record, Value, Verify, Watch,
};
use cmdr_protocol::envelope::Header;
use cmdr_protocol::exec::{Exit, Item, Start};
use cmdr_protocol::methods::{METHODS, Method, Place};
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{
    Access, Call as _, CallError, Feed as _, HostId, Nothing, hosts, processes, tokens,
};
use harness::{World, until, until_some};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// All records, oldest first.
async fn all(world: &World) -> Vec<Record> {
    let (mut tail, last) = (world.hub.audit.follow(Some(0)), world.hub.audit.point().seq);
    let mut all = Vec::new();
    while tail.seq() < last {
        all.extend(tail.read().await.unwrap());
    }
    all
}

/// The records of one method, oldest first, as soon as there are so many.
async fn of(world: &World, method: &str, count: usize) -> Vec<Record> {
    until_some(&format!("{method} has {count} records"), async || {
        let mut found = all(world).await;
        found.retain(|record| record.method == method);
        (found.len() >= count).then_some(found)
    })
    .await
}

/// Sends a request by hand: any method, any body.
async fn raw(client: &Client, to: Option<HostId>, method: &cmdr_protocol::methods::Method) {
    let stream = client.link().open().unwrap();
    let header = Header {
        to,
        method: method.name.to_owned(),
        kind: method.kind,
        resource: String::new(),
        deadline_ms: None,
        trace: 0,
        caller: None,
    };
    let mut writer = FrameWriter::new(stream.clone());
    writer.queue_value(Tag::Header, &header).unwrap();
    // A request that no method takes: what matters is that it was asked and answered.
    writer.queue_value(Tag::Body, &"nonsense").unwrap();
    writer.flush().await.unwrap();
    let mut reader = FrameReader::new(stream);
    loop {
        match reader.next().await.unwrap() {
            Some(frame) if frame.tag == Tag::Body => {}
            _ => return,
        }
    }
}

#[tokio::test]
async fn every_method_that_is_not_plain_reading_is_recorded_before_and_after() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let agent = world.agent("web1").await;
    for method in METHODS {
        let to = (method.place == Place::Host).then_some(agent.id);
        raw(&client, to, method).await;
        let found = all(&world).await;
        let events: Vec<_> =
            found.iter().filter(|r| r.method == method.name).map(|r| r.event).collect();
        if method.is_recorded() && method.name != tokens::Create::METHOD {
            assert_eq!(events, [Event::Asked, Event::Answered], "{}", method.name);
            let records: Vec<_> = found.iter().filter(|r| r.method == method.name).collect();
            assert_eq!(records[1].asked, Some(records[0].seq));
            assert_eq!(records[1].host, to);
            assert_eq!(records[0].address, "127.0.0.1");
        } else if !method.is_recorded() {
            assert_eq!(events, [], "{}", method.name);
        }
    }
    assert!(!of(&world, tokens::Create::METHOD, 4).await.is_empty());
    let whole = world.hub.audit.verify().await.unwrap();
    assert_eq!(whole.broken, None);
}

#[tokio::test]
async fn an_observer_is_recorded_when_refused_for_every_method_beyond_reading() {
    let world = World::start().await;
    let client = world.client(Role::OBSERVER).await;
    let agent = world.bare_agent("web1", Service::new(())).await;
    // One's own affairs are everybody's, and some looks are recorded too.
    let beyond = |method: &&Method| {
        method.is_recorded() && !matches!(method.access, Access::Own | Access::Read)
    };
    for method in METHODS.iter().filter(beyond) {
        let to = (method.place == Place::Host).then_some(agent.id);
        raw(&client, to, method).await;
        let found = all(&world).await;
        let last = found.iter().rfind(|r| r.method == method.name).unwrap();
        assert_eq!((last.event, last.outcome), (Event::Denied, Some(Outcome::Denied)));
        assert!(last.message.contains("observer"), "{}", last.message);
    }
}

async fn exec_ends_with_three(
    audit: Arc<Audit>,
    _: Asked,
    _: Start,
    feeding: Feeding<Start>,
) -> Result<(), CallError> {
    // That it was asked is on disk when the host hears of it.
    let so_far = audit.follow(Some(0)).read().await.unwrap();
    let mine: Vec<_> =
        so_far.iter().filter(|r| r.method == Start::METHOD).map(|r| r.event).collect();
    assert_eq!(mine, [Event::Asked]);
    feeding.send(&Item { stdout: vec![b'x'; 10_000], ..Item::default() }).await?;
    let exit = Exit { code: 3, outcome: cmdr_protocol::exec::Outcome::Exited, took_ms: 1 };
    feeding.send(&Item { exit: Some(exit), ..Item::default() }).await
}

#[tokio::test]
async fn a_command_is_recorded_with_its_words_its_exit_code_and_without_its_secrets() {
    let world = World::start().await;
    let client = world.client(Role::OPERATOR).await;
    let service = Service::new(world.hub.audit.clone()).feed(exec_ends_with_three);
    let agent = world.bare_agent("web1", service).await;
    let start = Start {
        argv: vec!["deploy".into()],
        env: [("TOKEN".to_owned(), "hunter2".to_owned())].into(),
        ..Start::default()
    };
    let mut feed = client.feed(Some(agent.id), &start).await.unwrap();
    let mut bytes = 0;
    while let Some(item) = feed.next().await {
        bytes += item.unwrap().stdout.len();
    }
    assert_eq!(bytes, 10_000);
    // The end has come, so the outcome is on disk: nothing is waited for here.
    let found: Vec<_> =
        all(&world).await.into_iter().filter(|r| r.method == Start::METHOD).collect();
    assert_eq!(found.len(), 2);
    let (asked, answered) = (&found[0], &found[1]);
    assert_eq!((asked.host_name.as_str(), asked.resource.as_str()), ("web1", "env+command:deploy"));
    let body = asked.body.as_ref().unwrap();
    assert_eq!(body.get("argv"), Some(&Value::List(vec![Value::Text("deploy".into())])));
    assert_eq!(body.get("env").unwrap().get("TOKEN"), Some(&Value::Text("‹secret›".into())));
    assert_eq!(answered.exit().as_deref(), Some("exit 3"));
    assert_eq!(answered.outcome, Some(Outcome::Failed));
    for file in std::fs::read_dir(world.hub.audit.dir()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|w| w == b"hunter2"));
    }
}

async fn waits(_: Arc<()>, _: Asked, _: Start, _: Feeding<Start>) -> Result<(), CallError> {
    std::future::pending().await
}

#[tokio::test]
async fn a_request_that_is_given_up_and_one_whose_host_is_lost_are_told_apart() {
    let world = World::start().await;
    let client = world.client(Role::OPERATOR).await;
    let agent = world.bare_agent("web1", Service::new(()).feed(waits)).await;
    let start = Start { argv: vec!["sleep".into()], ..Start::default() };
    let feed = client.feed(Some(agent.id), &start).await.unwrap();
    of(&world, Start::METHOD, 1).await;
    drop(feed);
    let found = of(&world, Start::METHOD, 2).await;
    assert_eq!((found[1].event, found[1].outcome), (Event::Answered, Some(Outcome::Cancelled)));
    let mut feed = client.feed(Some(agent.id), &start).await.unwrap();
    of(&world, Start::METHOD, 3).await;
    agent.link.close("power cut");
    let error = feed.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind, cmdr_protocol::ErrorKind::Lost);
    let found = of(&world, Start::METHOD, 4).await;
    assert_eq!((found[3].event, found[3].outcome), (Event::Answered, Some(Outcome::Lost)));
}

async fn signal(_: Arc<()>, _: Asked, _: processes::Signal) -> Result<Nothing, CallError> {
    Err(CallError::denied("the host's policy says no"))
}

#[tokio::test]
async fn the_error_of_a_host_reaches_the_caller_and_the_log() {
    let world = World::start().await;
    let client = world.client(Role::OPERATOR).await;
    let agent = world.bare_agent("web1", Service::new(()).on(signal)).await;
    let call = processes::Signal { pid: 7, start: 1, signal: 15 };
    let error = client.call(Some(agent.id), &call, PATIENCE).await.unwrap_err();
    assert_eq!(error, CallError::denied("the host's policy says no"));
    let found = of(&world, processes::Signal::METHOD, 2).await;
    assert_eq!(found[1].outcome, Some(Outcome::Denied));
    assert_eq!(found[1].message, "the host's policy says no");
    assert_eq!(found[0].resource, "process:7");
    let gone = client.call(Some(HostId([9; 16])), &call, PATIENCE).await.unwrap_err();
    assert_eq!(gone.kind, cmdr_protocol::ErrorKind::NotFound);
    let found = of(&world, processes::Signal::METHOD, 4).await;
    assert_eq!(found[3].outcome, Some(Outcome::NotFound));
}

#[tokio::test]
async fn logins_joins_tokens_and_strangers_leave_their_records() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let _agent = world.bare_agent("web1", Service::new(())).await;
    let login = of(&world, "login", 2).await;
    assert_eq!((login[0].event, login[1].event), (Event::Asked, Event::Answered));
    assert!(login[1].message.contains("administrator"), "{}", login[1].message);
    assert!(login[0].resource.starts_with("token:"));
    let join = of(&world, "join", 2).await;
    assert_eq!((join[1].host_name.as_str(), join[1].outcome), ("web1", Some(Outcome::Ok)));
    // A used token, and a key without any.
    let token = world.token(TokenKind::Operator, Role::OBSERVER, 1).await;
    for token in [Some(token.as_str()), Some(token.as_str()), None, None] {
        let key = SecretKey::generate().unwrap();
        world.dialer(PeerKind::Client, key, token).connect().await.ok();
    }
    let refused = until_some("refusals are recorded", async || {
        let mut found = all(&world).await;
        found.retain(|record| record.event == Event::Refused);
        (found.len() == 3).then_some(found)
    })
    .await;
    assert!(refused[0].message.contains("used up"), "{}", refused[0].message);
    assert!(refused[1].message.contains("does not know"), "{}", refused[1].message);
    drop(client);
}

#[tokio::test]
async fn of_a_token_used_a_hundred_times_at_once_every_refusal_is_recorded() {
    let world = World::start().await;
    let token = world.token(TokenKind::Operator, Role::OBSERVER, 1).await;
    let tries: Vec<_> = (0..100)
        .map(|_| world.dialer(PeerKind::Client, SecretKey::generate().unwrap(), Some(&token)))
        .map(|dialer| {
            tokio::spawn(async move {
                loop {
                    match dialer.connect().await {
                        Ok(_) => return true,
                        Err(e) if e.is_busy() => tokio::task::yield_now().await,
                        Err(_) => return false,
                    }
                }
            })
        })
        .collect();
    let mut taken = 0;
    for each in tries {
        taken += usize::from(each.await.unwrap());
    }
    assert_eq!(taken, 1);
    until("99 refusals are recorded", async || {
        all(&world).await.iter().filter(|r| r.event == Event::Refused).count() == 99
    })
    .await;
}

#[tokio::test]
async fn administrators_list_follow_and_prove_the_log_and_others_do_not() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let agent = world.bare_agent("web1", Service::new(())).await;
    let filter = Filter { method: "hosts.*".into(), ..Filter::default() };
    let watch = Watch { filter: filter.clone(), ..Watch::default() };
    let mut feed = client.feed(None, &watch).await.unwrap();
    of(&world, Watch::METHOD, 1).await;
    for name in ["a1", "a2"] {
        let rename = hosts::Rename { host: agent.id, name: name.into() };
        client.call(None, &rename, PATIENCE).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let Items { records, missed } = feed.next().await.unwrap().unwrap();
        assert_eq!(missed, 0);
        seen.extend(records);
    }
    assert!(seen.is_sorted_by_key(|record| record.seq));
    let page: Page =
        client.call(None, &List { filter, limit: 3, before: None }, PATIENCE).await.unwrap();
    assert_eq!(page.records, seen.iter().rev().take(3).cloned().collect::<Vec<_>>());
    let body = page.records[1].body.as_ref().unwrap();
    assert_eq!(body.get("host"), Some(&Value::Text(agent.id.to_string())));
    let verified = client.call(None, &Verify {}, PATIENCE).await.unwrap();
    assert_eq!(verified.broken, None);
    // What was asked so far, the question itself included.
    assert!(verified.records >= 12, "{verified:?}");
    let observer = world.client(Role::OPERATOR).await;
    let denied = observer.call(None, &Verify {}, PATIENCE).await.unwrap_err();
    assert_eq!(denied.kind, cmdr_protocol::ErrorKind::Denied);
}

#[tokio::test]
async fn a_stopped_hub_has_said_so_and_its_log_is_whole_and_goes_on_after_the_start() {
    let world = World::start().await;
    drop(world.client(Role::ADMINISTRATOR).await);
    let before = all(&world).await.len();
    let world = world.restart().await;
    until("it has started again", async || all(&world).await.len() > before + 1).await;
    let found = all(&world).await;
    let events: Vec<_> = found.iter().map(|record| record.event).collect();
    assert_eq!(events[before - 1..].iter().filter(|e| **e == Event::Stopped).count(), 1);
    assert_eq!(events.last(), Some(&Event::Started));
    let verified =
        verify_stopped(world.hub.audit.dir(), world.hub.keys.now().sealing(), &world.hub.store);
    assert_eq!(verified.unwrap().broken, None);
}
