use super::tell::Telling;
use super::*;
use crate::Config;
use cmdr_protocol::orders::{Have, Told};
use cmdr_protocol::runs::{Command, Order};

/// An agent on a folder, whose programs cannot be begun: what is tested here is what it knows.
fn agent(dir: &std::path::Path) -> Agent {
    Agent::new(Config { supervisor: "/nonexistent".into(), ..Config::new(dir.to_owned()) })
}

fn order(id: &str) -> Take {
    let command = Some(Command { argv: vec!["true".into()] });
    Take { id: id.into(), order: Order { command, ..Order::default() }, ..Take::default() }
}

fn taken(id: &str) -> journal::Taken {
    journal::Taken { take: order(id), by: "ann".into(), at_ms: 1, ..Default::default() }
}

/// All that a hub which comes now is told.
fn told(agent: &Agent, have: Vec<Have>) -> Told {
    let mut telling = Telling::new(have);
    let mut all = Told::default();
    loop {
        let told = telling.next(agent);
        if told.pieces.is_empty() && told.reports.is_empty() {
            return all;
        }
        all.pieces.extend(told.pieces);
        all.reports.extend(told.reports);
    }
}

fn states(agent: &Agent) -> Vec<(String, TargetState)> {
    let mut states: Vec<_> =
        told(agent, Vec::new()).reports.into_iter().map(|r| (r.id, r.state)).collect();
    states.sort();
    states
}

/// What the journal has when an agent is killed at any byte of it: four orders, one in each state.
#[test]
fn wherever_an_agent_is_cut_off_each_order_is_lost_or_ended_and_never_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders/journal");
    let mut sizes = Vec::new();
    {
        let agent = agent(dir.path());
        let note = |sizes: &mut Vec<u64>| sizes.push(path.metadata().unwrap().len());
        let mut ledger = agent.orders().ledger(&agent);
        for id in ["a", "b", "c", "d"] {
            ledger.take(taken(id)).unwrap();
            note(&mut sizes);
        }
        for id in ["b", "c", "d"] {
            ledger.begin(id);
            note(&mut sizes);
        }
        for id in ["c", "d"] {
            let spool = ledger.orders[id].spool.clone();
            lock(&spool).put(spool::Kind::Stdout, b"hello");
            ledger.end(id, ended(TargetState::Ok, ""));
            note(&mut sizes);
        }
        ledger.confirm("d");
        note(&mut sizes);
    }
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(whole.len() as u64, *sizes.last().unwrap());
    // Around the end of each record, and here and there in the middle of one.
    let near = |cut: usize| sizes.iter().any(|size| (*size as usize).abs_diff(cut) < 2);
    for cut in (0..=whole.len()).filter(|cut| near(*cut) || cut % 31 == 0) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("orders")).unwrap();
        std::fs::write(dir.path().join("orders/journal"), &whole[..cut]).unwrap();
        let agent = agent(dir.path());
        let done = sizes.iter().filter(|size| **size <= cut as u64).count();
        let end = |from: usize| if done >= from { TargetState::Ok } else { TargetState::Lost };
        let mut expected = Vec::new();
        for (n, id) in ["a", "b", "c", "d"].iter().enumerate() {
            let state = match n {
                _ if done < n + 1 => continue,
                2 => end(8),
                3 if done >= 10 => continue,
                3 => end(9),
                _ => TargetState::Lost,
            };
            expected.push(((*id).to_owned(), state));
        }
        assert_eq!(states(&agent), expected, "cut at byte {cut}");
        for (n, id) in ["a", "b", "c", "d"].iter().enumerate() {
            let known = agent.orders().ledger(&agent).known(id);
            assert_eq!(known.is_some(), done > n, "{id}, cut at byte {cut}");
        }
        // What was found is written down: the next agent finds the same.
        if cut % 4 > 0 {
            continue;
        }
        let next = self::agent(dir.path());
        assert_eq!(states(&next), expected, "cut at byte {cut}");
    }
}

#[tokio::test]
async fn asked_twice_with_one_name_it_answers_the_same_and_begins_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path());
    let first = accept(&agent, order("r.0.0"), String::new()).await.unwrap();
    assert_eq!((first.state, first.again), (TargetState::Sent, false));
    let mut news = agent.orders().news.subscribe();
    while !agent.orders().ledger(&agent).orders["r.0.0"].report.state.is_end() {
        news.changed().await.unwrap();
    }
    for _ in 0..2 {
        let again = accept(&agent, order("r.0.0"), String::new()).await.unwrap();
        assert!(again.again && again.state.is_end(), "{again:?}");
        assert!(!again.confirmed, "how it ended is still told: {again:?}");
    }
    agent.orders().ledger(&agent).confirm("r.0.0");
    let again = accept(&agent, order("r.0.0"), String::new()).await.unwrap();
    assert!(again.again && again.confirmed && again.state.is_end(), "{again:?}");
    assert_eq!(states(&agent), []);
    // Also for an agent that comes after this one.
    let agent = self::agent(dir.path());
    assert!(accept(&agent, order("r.0.0"), String::new()).await.unwrap().again);
}

#[tokio::test]
async fn an_order_that_is_cancelled_before_it_comes_never_begins() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Arc::new(agent(dir.path()));
    let asked = Asked { caller: None, trace: 0 };
    let ids = vec!["r.1.0".to_owned()];
    let never = Gone { id: "r.1.0".into(), state: TargetState::Cancelled };
    // Whoever asks hears that nothing will be told of it, also when it asks again.
    for _ in 0..2 {
        let cancel_it = Cancel { ids: ids.clone(), why: String::new() };
        let answer = cancel(agent.clone(), asked.clone(), cancel_it).await.unwrap();
        assert_eq!(answer.gone, std::slice::from_ref(&never));
    }
    for agent in [&*agent, &self::agent(dir.path())] {
        let taken = accept(agent, order("r.1.0"), String::new()).await.unwrap();
        assert_eq!((taken.state, taken.again), (TargetState::Cancelled, true));
        assert_eq!(states(agent), []);
    }
}

#[tokio::test]
async fn who_cancels_what_was_confirmed_hears_how_it_ended_and_of_what_is_here_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let agent = Arc::new(agent(dir.path()));
    {
        let mut ledger = agent.orders().ledger(&agent);
        for id in ["here", "over"] {
            ledger.take(taken(id)).unwrap();
            ledger.end(id, ended(TargetState::Failed, ""));
        }
        ledger.confirm("over");
    }
    let asked = Asked { caller: None, trace: 0 };
    let ids = vec!["here".to_owned(), "over".to_owned()];
    let answer = cancel(agent, asked, Cancel { ids, why: String::new() }).await.unwrap();
    assert_eq!(answer.gone, [Gone { id: "over".into(), state: TargetState::Failed }]);
}

#[tokio::test]
async fn a_moment_that_the_agent_did_by_itself_is_not_done_again_for_the_hub() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path());
    let occurrence = Some(orders::Occurrence { schedule: "nightly".into(), due_ms: 5 });
    let own = Take { occurrence: occurrence.clone(), ..order("own.nightly.5") };
    accept(&agent, own, String::new()).await.unwrap();
    for agent in [&agent, &self::agent(dir.path())] {
        let take = Take { occurrence: occurrence.clone(), ..order("r.2.0") };
        let taken = accept(agent, take, String::new()).await.unwrap();
        assert_eq!(taken.instead.as_deref(), Some("own.nightly.5"));
    }
    let other = Some(orders::Occurrence { schedule: "nightly".into(), due_ms: 6 });
    let take = Take { occurrence: other, ..order("r.3.0") };
    assert_eq!(accept(&agent, take, String::new()).await.unwrap().instead, None);
}

#[test]
fn a_hub_that_has_a_part_of_the_output_is_told_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let agent = agent(dir.path());
    {
        let mut ledger = agent.orders().ledger(&agent);
        ledger.take(taken("a")).unwrap();
        ledger.begin("a");
        let spool = ledger.orders["a"].spool.clone();
        for n in 0..50_000 {
            lock(&spool).put(spool::Kind::Stdout, format!("{n:09}\n").as_bytes());
        }
        ledger.end("a", ended(TargetState::Ok, ""));
    }
    let all = told(&agent, Vec::new());
    let bytes: Vec<u8> = all.pieces.iter().flat_map(|piece| piece.data.clone()).collect();
    assert_eq!((bytes.len(), all.reports[0].output, all.reports[0].lost), (500_000, 500_000, 0));
    let rest = told(&agent, vec![Have { id: "a".into(), bytes: 499_995 }]);
    assert_eq!((rest.pieces[0].at, &rest.pieces[0].data[..]), (499_995, &b"9999\n"[..]));
    agent.orders().ledger(&agent).confirm("a");
    assert_eq!(std::fs::read_dir(dir.path().join("orders/output")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_makes_no_sense_or_is_switched_off_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = std::path::Path::new("agent.toml");
    let policy = crate::policy::Policy::parse(path, "[services]\nexec = false\n").unwrap();
    let config = Config { policy, ..Config::new(dir.path().to_owned()) };
    let agent = Agent::new(config);
    let refused = accept(&agent, order("a"), String::new()).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
    let none = Take { id: "a".into(), ..Take::default() };
    let bad_name = Take { id: "../a".into(), ..order("a") };
    for take in [none, bad_name] {
        let refused = accept(&agent, take, String::new()).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Malformed);
    }
    assert!(!dir.path().join("orders").exists());
}
