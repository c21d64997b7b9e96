//! Images as archives, and from one engine to another without what is there: two real engines.

use crate::images::{agent, ask, build};
use cmdr_link::Client;
use cmdr_protocol::files::{Chunk, Sum};
use cmdr_protocol::images::{Copy, Copying, Inspect, Load, Loaded, Save};
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, ErrorKind, HostId};
use harness::World;
use harness::engine::{Engine, IMAGE};

async fn saved(client: &Client, host: HostId, images: &[&str]) -> Result<Vec<u8>, CallError> {
    let images = images.iter().map(|&image| image.to_owned()).collect();
    let mut feed = client.feed(Some(host), &Save { images, without: Vec::new() }).await?;
    let mut all = Vec::new();
    while let Some(item) = feed.next().await {
        let chunk = item?;
        assert_eq!(chunk.at, all.len() as u64);
        all.extend_from_slice(&chunk.data);
        if let Some(sum) = chunk.sum {
            assert_eq!(sum.size, all.len() as u64);
            return Ok(all);
        }
    }
    panic!("it ended half-way");
}

async fn loaded(client: &Client, host: HostId, archive: &[u8]) -> Result<Loaded, CallError> {
    let (mut items, mut inputs) = client.feed(Some(host), &Load {}).await?.split();
    let archive = archive.to_owned();
    let sending = tokio::spawn(async move {
        let mut at = 0;
        for data in archive.chunks(300_000) {
            let chunk = Chunk { at, data: data.to_owned(), ..Chunk::default() };
            if inputs.send(&chunk).await.is_err() {
                return inputs;
            }
            at += data.len() as u64;
        }
        let sum = Some(Sum { size: at, ..Sum::default() });
        inputs.send(&Chunk { at, sum, ..Chunk::default() }).await.ok();
        inputs
    });
    while let Some(item) = items.next().await {
        if let Some(loaded) = item?.loaded {
            drop(sending.await);
            return Ok(loaded);
        }
    }
    panic!("it ended half-way");
}

async fn copied(client: &Client, order: &Copy) -> Result<Copying, CallError> {
    let mut feed = client.feed(None, order).await?;
    while let Some(item) = feed.next().await {
        let item = item?;
        if item.loaded.is_some() {
            return Ok(item);
        }
    }
    panic!("it ended half-way");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_saved_loads_again_and_what_is_no_archive_does_not() {
    let (engine, world) = (Engine::up(), World::start().await);
    let agent = agent(&world, "here", engine.socket()).await;
    let client = world.client(Role::OPERATOR).await;
    let name = engine.name("saved");
    let (one, two) = (format!("{name}:1"), format!("{name}:2"));
    build(&engine, &world, &one, &["one"]);
    build(&engine, &world, &two, &["two"]);
    let id = |image: &str| engine.docker(&["image", "inspect", "-f", "{{.Id}}", image]);
    let ids = (id(&one), id(&two));
    let archive = saved(&client, agent.id, &[&one, &two]).await.unwrap();
    engine.docker(&["rmi", &one, &two]);
    let mut images = loaded(&client, agent.id, &archive).await.unwrap().images;
    images.sort();
    assert_eq!(images, [one.clone(), two.clone()]);
    assert_eq!((id(&one), id(&two)), ids);

    let error = loaded(&client, agent.id, &vec![7; 1_000_000]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed, "{error}");
    let error = loaded(&client, agent.id, &archive[..archive.len() / 2]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed, "{error}");
    let error = saved(&client, agent.id, &[&one, "no-such-image"]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    let error = saved(&client, agent.id, &["../x"]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed, "{error}");
    let observer = world.client(Role::OBSERVER).await;
    let denied = saved(&observer, agent.id, &[IMAGE]).await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_goes_to_another_engine_and_the_next_one_without_the_layers_that_are_there() {
    let (engine, world) = (Engine::up(), World::start().await);
    let second = Engine::another(&world.path("second"));
    let from = agent(&world, "from", engine.socket()).await;
    let to = agent(&world, "to", second.socket()).await;
    let client = world.client(Role::OPERATOR).await;
    let name = engine.name("carried");
    let (one, two) = (format!("{name}:1"), format!("{name}:2"));
    build(&engine, &world, &one, &["one"]);
    build(&engine, &world, &two, &["one", "two", "two"]);
    let copy = |image: &str| Copy { from: from.id, to: to.id, image: image.to_owned() };

    let first = copied(&client, &copy(&one)).await.unwrap();
    assert_eq!((first.layers, first.there), (2, 0), "{first:?}");
    assert!(first.carried > first.size, "{first:?}");
    assert_eq!(first.loaded.unwrap().images, std::slice::from_ref(&one));
    let next = copied(&client, &copy(&two)).await.unwrap();
    assert_eq!((next.layers, next.there), (4, 2), "{next:?}");
    assert!(next.carried < next.size / 4, "{next:?}");
    let id =
        |engine: &Engine, image: &str| engine.docker(&["image", "inspect", "-f", "{{.Id}}", image]);
    for image in [&one, &two] {
        assert_eq!(id(&engine, image), id(&second, image));
    }
    // Whole on the other side: what is there can be saved again.
    let archive = saved(&client, to.id, &[&two]).await.unwrap();
    assert!(archive.len() as u64 > next.size, "{}", archive.len());
    let again = copied(&client, &copy(&two)).await.unwrap();
    assert_eq!((again.layers, again.there), (4, 4), "{again:?}");

    let error = copied(&client, &copy("no-such-image")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    let same = Copy { from: from.id, to: from.id, image: one.clone() };
    assert_eq!(copied(&client, &same).await.unwrap_err().kind, ErrorKind::Malformed);
    let observer = world.client(Role::OBSERVER).await;
    assert_eq!(copied(&observer, &copy(&one)).await.unwrap_err().kind, ErrorKind::Denied);
    ask(&client, to.id, Inspect { image: two }).await.unwrap();
}
