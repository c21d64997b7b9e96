//! A compose project whose agent is killed while it is being brought up.

use crate::compose::{file, service, will};
use cmdr_protocol::KeyId;
use cmdr_protocol::compose::{Down, Looked, Progress, Pull, Up as BringUp, UpAs, Will};
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::role::Role;
use cmdr_protocol::{CallError, Feed};
use harness::engine::{Engine, Name};
use harness::{Lone, Up, until_some};

async fn to_end<F: Feed<Item = Progress>>(up: &Up, order: F) -> Result<Looked, CallError> {
    let caller = Caller {
        key: KeyId([1; 16]),
        name: "a test".into(),
        operator: "ann".into(),
        role: Role::ADMINISTRATOR,
        address: String::new(),
    };
    let mut feed = up.client.feed_for(Some(&caller), None, &order).await?;
    while let Some(item) = feed.next().await {
        if let Some(looked) = item?.done {
            return Ok(looked);
        }
    }
    Err(CallError::lost("it ended half-way"))
}

fn bring(name: &Name) -> UpAs {
    let services: Vec<String> = (0..8).map(|n| service(&format!("s{n}"), "")).collect();
    let up =
        BringUp { project: name.to_string(), pull: Pull::Never, version: 3, ..BringUp::default() };
    UpAs { up, text: file(&services), ..UpAs::default() }
}

#[tokio::test]
async fn what_an_agent_was_killed_in_the_middle_of_is_whole_when_it_is_brought_up_again() {
    let engine = tokio::task::spawn_blocking(Engine::up).await.unwrap();
    let name = engine.name("killed");
    let mut lone = Lone::new().await;
    lone.policy = format!("[containers]\nsocket = \"{}\"\n", engine.socket().display());
    lone.start();
    let up = lone.accept().await;
    let order = bring(&name);
    let begun = tokio::spawn(async move { to_end(&up, order).await });
    let filter = format!("label=com.docker.compose.project={name}");
    until_some("the first containers are there", async || {
        (!engine.docker(&["ps", "-aq", "--filter", &filter]).is_empty()).then_some(())
    })
    .await;
    lone.kill();
    assert!(begun.await.unwrap().is_err());

    lone.start();
    let up = lone.accept().await;
    // What is left of the first time may still hold names of containers for a moment.
    let looked = until_some("it is whole", async || to_end(&up, bring(&name)).await.ok()).await;
    assert_eq!(looked.version, 3);
    assert!(looked.services.len() == 8 && will(&looked).iter().all(|(_, w)| *w == Will::Leave));
    let run = engine.docker(&["ps", "-q", "--filter", &filter]);
    assert_eq!(run.lines().count(), 8, "{run}");
    let down = Down { project: name.to_string(), timeout_s: Some(1), ..Down::default() };
    to_end(&up, down).await.unwrap();
    assert_eq!(engine.docker(&["ps", "-aq", "--filter", &filter]), "");
}
