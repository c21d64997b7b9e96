//! A hub that is killed while runs are deleted: each is there as a whole afterwards, or not at all.

use cmdr_link::token::JoinToken;
use cmdr_protocol::runs::{Command, Delete, List, Order, Show, Start};
use cmdr_protocol::{ErrorKind, RunId};
use harness::administrator::Administrator;
use harness::fleet::Member;
use harness::process::HubProcess;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_mins(2);

fn once(n: usize) -> Start {
    let argv = vec!["hostname".to_owned()];
    Start {
        key: format!("run {n}"),
        hosts: "*".to_owned(),
        order: Order { command: Some(Command { argv }), ..Order::default() },
        ..Start::default()
    }
}

#[tokio::test]
async fn a_hub_that_is_killed_while_it_deletes_runs_has_deleted_each_wholly_or_not() {
    let mut hub = HubProcess::start();
    let token = JoinToken::parse(&hub.token(None, 2)).unwrap();
    let online = Arc::new(watch::channel(0usize).0);
    let _members: Vec<_> = (0..2)
        .map(|number| Member::join(&token, format!("sim-{number}"), number, &online))
        .collect();
    let mut counted = online.subscribe();
    tokio::time::timeout(LIMIT, counted.wait_for(|n| *n == 2)).await.unwrap().unwrap();
    let admin = Administrator::of(&hub).await;
    let mut runs: Vec<RunId> = Vec::new();
    for n in 0..8 {
        runs.push(admin.ask(&once(n)).await.unwrap().run.unwrap());
    }
    let whole = async |run: RunId| {
        let shown = admin.ask(&Show { run, from: 0 }).await.ok()?;
        assert_eq!(shown.targets.len(), 2, "{shown:?}");
        Some(shown.run)
    };
    for &run in &runs {
        let begin = Instant::now();
        while whole(run).await.unwrap().ended_ms.is_none() {
            assert!(begin.elapsed() < LIMIT, "the run is not over");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for (n, &run) in runs.iter().enumerate() {
        if n % 2 == 0 {
            admin.ask(&Delete { run }).await.unwrap();
        } else {
            // In the middle of it, sooner or later.
            let asking = admin.clone();
            let deleting =
                tokio::spawn(async move { asking.0.call(None, Delete { run }, PATIENCE).await });
            tokio::time::sleep(Duration::from_millis(n as u64)).await;
            hub.kill();
            deleting.abort();
            hub.start_again();
            continue;
        }
        hub.kill();
        hub.start_again();
    }
    let listed = admin.ask(&List::default()).await.unwrap().runs;
    for (n, &run) in runs.iter().enumerate() {
        let there = whole(run).await.is_some();
        assert!(n % 2 == 1 || !there, "run {n}: what was acknowledged is gone");
        assert_eq!(listed.iter().any(|one| one.id == Some(run)), there, "run {n}");
        match admin.ask(&once(n)).await {
            Ok(again) => assert!(there && again.already && again.run == Some(run), "run {n}"),
            Err(e) => assert_eq!((there, e.kind), (false, ErrorKind::Conflict), "run {n}"),
        }
    }
    assert!(hub.command(&["check"]).contains(" 0 damaged"));
}
