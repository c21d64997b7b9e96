//! Requests that no honest client writes: the header claims to be somebody else, or to be about something else than
//! the body.

use cmdr_link::codec;
use cmdr_link::frame::{FrameReader, FrameWriter, Tag};
use cmdr_link::{Link, SecretKey};
use cmdr_protocol::envelope::{Caller, Header, Kind};
use cmdr_protocol::operators::{Me, WhoAmI};
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::{List, TokenKind};
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{Call, CallError, ErrorKind, Feed as _, HostId, KeyId, exec, hosts};
use harness::World;

async fn linked(world: &World, role: Role) -> (Link, KeyId) {
    let token = world.token(TokenKind::Operator, role, 1).await;
    let key = SecretKey::generate().unwrap();
    let dialer = world.dialer(PeerKind::Client, key, Some(&token));
    let (link, welcome, _) = dialer.dial().await.unwrap();
    (link, welcome.key.unwrap())
}

/// Sends a header and a body as they are; what comes back first.
async fn send<T: serde::Serialize>(
    link: &Link,
    header: &Header,
    body: &T,
) -> Result<bytes::Bytes, CallError> {
    let stream = link.open().unwrap();
    let mut writer = FrameWriter::new(stream.clone());
    writer.queue_value(Tag::Header, header).unwrap();
    writer.queue_value(Tag::Body, body).unwrap();
    writer.flush().await.unwrap();
    let frame = FrameReader::new(stream).next().await.unwrap().unwrap();
    match frame.tag {
        Tag::Error => Err(codec::decode(&frame.payload).unwrap()),
        _ => Ok(frame.payload),
    }
}

fn header(method: &str, kind: Kind, to: Option<HostId>, caller: Option<Caller>) -> Header {
    let (resource, deadline_ms) = (String::new(), Some(10_000));
    Header { to, method: method.to_owned(), kind, resource, deadline_ms, trace: 0, caller }
}

#[tokio::test]
async fn who_asks_is_whose_link_it_is_whatever_the_header_says() {
    let world = World::start().await;
    let (_boss, boss_key) = linked(&world, Role::ADMINISTRATOR).await;
    let (link, key) = linked(&world, Role::OBSERVER).await;
    let devices = world.hub.keyring.devices();
    let of = |key: KeyId| devices.iter().find(|(one, _)| *one == key).unwrap().1.clone();
    let boss = of(boss_key);
    let forged = Caller {
        key: boss_key,
        name: boss.name.clone(),
        operator: boss.operator.clone(),
        role: Role::ADMINISTRATOR,
        address: "10.0.0.1".to_owned(),
    };
    // A look, an act, a feed, and one for a host: none of them gains anything.
    let whoami = header(WhoAmI::METHOD, Kind::Call, None, Some(forged.clone()));
    let me = send(&link, &whoami, &WhoAmI {}).await.unwrap();
    let me: Me = codec::decode(&me).unwrap();
    assert_eq!((me.name, me.role), (of(key).operator, Role::OBSERVER));
    let tokens = header(List::METHOD, Kind::Call, None, Some(forged.clone()));
    assert_eq!(send(&link, &tokens, &List::default()).await.unwrap_err().kind, ErrorKind::Denied);
    let host = world.agent("web1").await;
    let start = exec::Start { argv: vec!["true".to_owned()], ..exec::Start::default() };
    let run = Header {
        resource: start.resource(),
        ..header(exec::Start::METHOD, Kind::Feed, Some(host.id), Some(forged.clone()))
    };
    assert_eq!(send(&link, &run, &start).await.unwrap_err().kind, ErrorKind::Denied);
    let forget = header(hosts::Forget::METHOD, Kind::Call, None, Some(forged));
    let call = hosts::Forget { host: host.id };
    assert_eq!(send(&link, &forget, &call).await.unwrap_err().kind, ErrorKind::Denied);
    // And the log names who it was.
    let records = world.hub.audit.follow(Some(0)).read().await.unwrap();
    let denied: Vec<_> = records.iter().filter(|r| r.method == exec::Start::METHOD).collect();
    assert_eq!((denied.len(), denied[0].key), (1, Some(key)));
}

#[tokio::test]
async fn a_header_that_is_about_something_else_than_its_body_is_refused_by_the_host() {
    let world = World::start().await;
    let host = world.agent("web1").await;
    let (link, _) = linked(&world, Role::OPERATOR).await;
    let ran = world.path("ran");
    let argv = vec!["touch".to_owned(), ran.to_string_lossy().into_owned()];
    let start = exec::Start { argv, ..exec::Start::default() };
    for resource in ["command:true", "", "command:touch2", "script:touch"] {
        let run = Header {
            resource: resource.to_owned(),
            ..header(exec::Start::METHOD, Kind::Feed, Some(host.id), None)
        };
        let error = send(&link, &run, &start).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Denied | ErrorKind::Malformed), "{error}");
    }
    assert!(!ran.exists());
}
