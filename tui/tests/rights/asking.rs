//! Requests for rights: asked, decided, ended, told.

use super::*;

pub(super) fn own(state: State) -> Approval {
    let wanted = Wanted { verbs: vec!["hosts.label".into()], ..Wanted::default() };
    let operator = "li@laptop".into();
    Approval { id: 15, state, operator, wanted, own: true, ..Approval::default() }
}

#[tokio::test]
async fn what_was_refused_is_asked_for_approved_and_done_again_with_one_key() {
    let mut world = as_deployer(Some(ErrorKind::OnRequest)).await;
    world.far.push::<approvals::Watch>(None, &approvals::Listing::default());
    world.press("tenv=prod<enter>").await;
    world.check_shows("Ask for rights");
    world.check_shows("it has to be asked for");
    world.check_shows("hosts.label");
    world.press("<enter>").await;
    world.check_shows("a reason is needed");
    world.calls();
    world.press("moving to prod<enter>").await;
    let calls = world.calls();
    let ask = calls.iter().find(|call| call.method == "approvals.ask").expect("asked");
    let wanted = json!({"verbs": ["hosts.label"], "hosts": "db1", "minutes": 60});
    assert_eq!(ask.body, json!({"wanted": wanted, "reason": "moving to prod"}));
    world.press(".").await;
    world.check_shows("waits for the approval of #15");
    for state in [State::Waiting, State::Active] {
        let approval = Approval { until_ms: NOW_MS + 3_600_000, ..own(state) };
        world.far.push::<approvals::Watch>(
            None,
            &approvals::Listing { approvals: vec![approval], may_ask: None },
        );
        world.idle().await;
    }
    world.check_shows("#15 is approved: . does it now");
    world.press(".").await;
    let calls = world.calls();
    assert_eq!(calls.iter().filter(|call| call.method == "hosts.label").count(), 1);
}

#[tokio::test]
async fn several_refusals_of_one_kind_are_one_request() {
    let mut world = as_deployer(Some(ErrorKind::OnRequest)).await;
    world.press("/^web[12]<enter>*tenv=prod<enter>").await;
    world.check_shows("… × 2");
    world.press("why not<enter>").await;
    let calls = world.calls();
    let asks: Vec<_> = calls.iter().filter(|call| call.method == "approvals.ask").collect();
    assert_eq!(asks.len(), 1);
    assert_eq!(asks[0].body["wanted"]["hosts"], format!("web1,id={}", id(2)));
}

pub(super) async fn at_approvals(setup: Setup) -> World {
    let mut world = World::with_log(setup, 5).await;
    let approvals = log::approvals(NOW_MS);
    world.far.push::<approvals::Watch>(None, &approvals::Listing { approvals, may_ask: None });
    world.press("P").await;
    world.calls();
    world
}

#[tokio::test]
async fn who_decides_sees_everything_first_and_then_it_is_one_key() {
    let mut world = at_approvals(Setup::default()).await;
    world.check_shows("⚑ 1");
    world.press("a").await;
    world.check_shows("3 hosts now: web1, web2, web3");
    world.check_shows("worker hangs since the 13:40 release");
    world.check_shows("process:4711");
    assert!(world.calls().iter().all(|call| call.method != "approvals.decide"));
    world.press("y").await;
    let decided = json!({"id": 14, "approve": true, "reason": ""});
    assert_eq!(world.calls()[0].body, decided);
    world.check_shows("#14 is approved");
}

#[tokio::test]
async fn a_no_needs_a_reason() {
    let mut world = at_approvals(Setup::default()).await;
    world.press("x<enter>").await;
    world.check_shows("a reason is needed");
    world.press("not now<enter>").await;
    let decided = json!({"id": 14, "approve": false, "reason": "not now"});
    assert_eq!(world.calls()[0].body, decided);
    world.press("ja").await;
    world.check_shows("it does not wait for a decision any more");
}

#[tokio::test]
async fn ones_own_elevation_is_ended_after_a_question_and_read_only_ends_nothing() {
    let mut world = at_approvals(Setup::default()).await;
    world.press("jD").await;
    world.check_shows("End #13 now?");
    world.press("y").await;
    assert_eq!((world.calls()[0].method, "approvals.end"), ("approvals.end", "approvals.end"));
    let mut world = at_approvals(Setup { read_only: true, ..Setup::default() }).await;
    world.check_shows("worker hangs");
    world.press("jD").await;
    world.check_shows("read-only: this is off");
    world.press("a").await;
    assert_eq!(world.calls(), []);
}

#[tokio::test]
async fn a_new_request_and_a_decision_about_ones_own_are_told_wherever_one_is() {
    let mut world = World::with_log(Setup::default(), 5).await;
    let tell = |world: &World, approvals: Vec<Approval>| {
        world.far.push::<approvals::Watch>(None, &approvals::Listing { approvals, may_ask: None });
    };
    tell(&world, vec![own(State::Waiting)]);
    world.idle().await;
    let other = Approval { operator: "ann\u{1b}@desk".into(), ..log::approvals(NOW_MS)[0].clone() };
    tell(&world, vec![other.clone(), own(State::Waiting)]);
    world.idle().await;
    world.check_shows("#14: ann␛@desk asks for processes.signal");
    let no = Decision { by: "bob".into(), reason: "no\u{7}".into(), ..Decision::default() };
    let denied = Approval { decisions: vec![no], ..own(State::Denied) };
    tell(&world, vec![other, denied]);
    world.idle().await;
    world.check_shows("✗ #15 was denied by bob: no␇");
}
