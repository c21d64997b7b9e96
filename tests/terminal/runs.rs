//! A run over a thousand agents while everything goes wrong around it.

use cmdr_link::token::JoinToken;
use cmdr_protocol::RunId;
use cmdr_protocol::runs::{Command, Order, Run, Show, Start, TargetState};
use harness::administrator::Administrator;
use harness::fleet::Member;
use harness::process::HubProcess;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const AGENTS: usize = 1000;
const NEVER: usize = 10;
/// Far more than it takes.
const LIMIT: Duration = Duration::from_mins(5);

async fn until_run(
    admin: &Administrator,
    run: RunId,
    what: &str,
    holds: impl Fn(&Run) -> bool,
) -> Run {
    let begin = Instant::now();
    loop {
        let shown = admin.ask(&Show { run, from: u32::MAX }).await.unwrap().run;
        if holds(&shown) {
            return shown;
        }
        assert!(begin.elapsed() < LIMIT, "waited in vain until {what}: {shown:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_run_over_a_thousand_agents_outlives_a_hub_that_is_killed_links_that_are_cut_and_agents_that_stay_away()
 {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("hub.toml");
    std::fs::write(
        &config,
        "[limits]\nhandshakes = 2000\n\n[runs]\nconfirm_above = 100000\npatience_s = 12\nrejoin_s = 60\n",
    )
    .unwrap();
    let mut hub = HubProcess::unstarted(dir);
    hub.options = vec!["--config".to_owned(), config.to_str().unwrap().to_owned()];
    hub.start_again();
    let token = JoinToken::parse(&hub.token(None, AGENTS as u32)).unwrap();
    let online = Arc::new(watch::channel(0usize).0);
    let mut members: Vec<_> = (0..AGENTS)
        .map(|number| Member::join(&token, format!("sim-{number:04}"), number, &online))
        .collect();
    let mut counted = online.subscribe();
    tokio::time::timeout(LIMIT, counted.wait_for(|n| *n == AGENTS)).await.unwrap().unwrap();

    let admin = Administrator::of(&hub).await;
    let argv = vec!["nap".to_owned(), "3000".to_owned()];
    let start = Start {
        key: "the hard one".to_owned(),
        hosts: "sim-*".to_owned(),
        order: Order { command: Some(Command { argv }), ..Order::default() },
        parallel: 150,
        ..Start::default()
    };
    let run = admin.ask(&start).await.unwrap().run.unwrap();

    // Some of those that are at it never come back.
    let mut gone = Vec::new();
    until_run(&admin, run, "it is under way", |run| run.counts.running >= 50).await;
    for (number, member) in members.iter_mut().enumerate() {
        if gone.len() < NEVER && !member.orders.running().is_empty() {
            member.vanish();
            gone.push(number);
        }
    }
    assert_eq!(gone.len(), NEVER);
    for (kill, ended) in [(0, 100), (1, 350), (2, 600)] {
        until_run(&admin, run, "some have ended", |run| {
            run.ended_ms.is_none() && run.counts.ok >= ended
        })
        .await;
        // A fifth of the links, a third of them before each crash.
        let fifth = members.iter().enumerate().filter(|(n, _)| n % 5 == 2 && !gone.contains(n));
        for (_, member) in fifth.filter(|(n, _)| n / 5 % 3 == kill) {
            member.cut();
        }
        hub.kill();
        hub.start_again();
    }
    let over = until_run(&admin, run, "it is over", |run| run.ended_ms.is_some()).await;

    let mut targets = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let shown = admin.ask(&Show { run, from: at }).await.unwrap();
        targets.extend(shown.targets);
        from = shown.next;
    }
    assert_eq!(targets.len(), AGENTS);
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, target) in targets.iter().enumerate() {
        *states.entry(target.state.as_str()).or_default() += 1;
        let expected = if gone.contains(&number) { TargetState::Lost } else { TargetState::Ok };
        assert_eq!(target.state, expected, "{target:?}");
        let began: Vec<_> = members[number].orders.began().into_iter().collect();
        assert_eq!(began, [(format!("{run}.{number}.0"), 1)], "{target:?}");
    }
    assert_eq!(states, [("lost", NEVER), ("ok", AGENTS - NEVER)].into());
    assert_eq!((over.counts.ok, over.counts.lost), ((AGENTS - NEVER) as u32, NEVER as u32));
    // The same request once more is the same run.
    let again = admin.ask(&start).await.unwrap();
    assert_eq!((again.run, again.already), (Some(run), true));
    admin.0.close();
}
