use super::pieces::PIECES;
use super::*;
use crate::runs::Origin;
use crate::runs::lab::{Lab, piece, report, until};
use crate::runs::live::Inner;
use crate::runs::records::Author;
use crate::who::Who;
use cmdr_protocol::runs::{Command, Order, Retry, Start};

#[tokio::test]
async fn a_reason_of_any_length_is_cut_and_holds_up_nothing() {
    let lab = Lab::new();
    let live = lab.sent().await;
    let message = format!("e{}", "\u{301}".repeat(200_000));
    lab.ends(&live, Report { message, ..report(&live) }).await;
    let why = lab.again(live.id).lock().seats[0].why.clone();
    assert!(why.starts_with('e') && why.len() < 8 * 1024, "{}", why.len());
    // Nor one that the hub heard in an answer, or from whoever stops it.
    let (live, other) = (lab.sent().await, lab.sent().await);
    let why = "\u{301}".repeat(200_000);
    let end = End { target: 0, attempt: 0, state: TargetState::Refused, why: why.clone() };
    lab.news(News::End { live: live.clone(), ends: vec![end] }).await;
    lab.hub.runs.stop(&other, &why).await.unwrap();
    until(&live, Inner::is_over).await;
}

#[tokio::test]
async fn a_record_that_is_too_large_sets_its_run_aside_and_holds_up_no_other() {
    let lab = Lab::new();
    let (live, other) = (lab.sent().await, lab.sent().await);
    live.lock().record.start.note = "x".repeat(100_000);
    let (one, two) =
        tokio::join!(lab.hub.runs.pause(&live, "a reason"), lab.hub.runs.pause(&other, ""));
    one.unwrap();
    two.unwrap();
    until(&live, Inner::is_over).await;
    let shown = lab.again(live.id).shown();
    assert!(shown.why.contains("set aside"), "{}", shown.why);
    assert_eq!((shown.state, shown.counts.lost), (RunState::Halted, 1));
    lab.ends(&other, report(&other)).await;
    assert_eq!(lab.again(other.id).shown().counts.ok, 1);
}

#[tokio::test]
async fn a_host_that_lies_about_its_output_costs_no_more_than_its_share() {
    let lab = Lab::new();
    let live = lab.sent().await;
    let nothing = (1..5000).map(|at| piece(&live, at, b"")).collect();
    lab.tells(0, nothing, Vec::new()).await;
    for from in (0..u64::from(PIECES) * 2).step_by(5000) {
        let short = (from..from + 5000).map(|at| piece(&live, at * 2, b"x")).collect();
        lab.tells(0, short, Vec::new()).await;
    }
    let far = [u64::MAX - 9, u64::MAX - 1].map(|at| piece(&live, at, b"far away"));
    lab.tells(0, far.to_vec(), Vec::new()).await;
    lab.ends(&live, Report { lost: u64::MAX, output: u64::MAX, ..report(&live) }).await;
    for live in [&live, &lab.again(live.id)] {
        let inner = live.lock();
        assert!(inner.pieces.len() <= PIECES as usize + 1, "{}", inner.pieces.len());
        assert_eq!(inner.seats[0].stdout, u64::from(PIECES));
        assert!(inner.lost >= u64::from(PIECES) && inner.lost < u64::MAX, "{}", inner.lost);
        assert!(inner.pieces.last().unwrap().gap > 1 << 60, "what came after is one gap");
    }
}

#[tokio::test]
async fn a_run_that_is_over_is_in_memory_once_whoever_looks_at_the_same_time() {
    let lab = Lab::new();
    let live = lab.sent().await;
    lab.ends(&live, report(&live)).await;
    let run = live.id;
    drop(live);
    for _ in 0..20 {
        // As when sixteen others were looked at since.
        lab.hub.runs.state().looked.clear();
        let found: Vec<Arc<Live>> = std::thread::scope(|scope| {
            let find = || lab.hub.runs.find(run).unwrap().unwrap();
            let all: Vec<_> = (0..8).map(|_| scope.spawn(find)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(found.iter().all(|one| Arc::ptr_eq(one, &found[0])));
        // Also when it is out of that list, and somebody still has it.
        lab.hub.runs.state().looked.clear();
        assert!(Arc::ptr_eq(&lab.hub.runs.find(run).unwrap().unwrap(), &found[0]));
    }
}

#[tokio::test]
async fn of_two_retries_at_once_one_is_done_and_on_disk() {
    let lab = Lab::new();
    let live = lab.sent().await;
    lab.ends(&live, Report { state: TargetState::Failed, code: Some(1), ..report(&live) }).await;
    let retry = Retry { run: live.id, targets: vec![0, 0], cancelled: false, confirm: None };
    lab.hub.runs.state().looked.clear();
    let again = lab.hub.runs.find(live.id).unwrap().unwrap();
    let who = Who::local();
    let (one, two) = tokio::join!(
        lab.hub.runs.retry(&lab.hub, &who, &live, &retry),
        lab.hub.runs.retry(&lab.hub, &who, &again, &retry),
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    lab.mark(&live).await;
    assert_eq!(lab.again(live.id).lock().seats[0].attempt, 1);
    lab.ends(&live, report(&live)).await;
    let over = lab.again(live.id);
    let attempt = over.lock().seats[0].attempt;
    assert_eq!((attempt, over.shown().counts.ok), (1, 1));
}

#[tokio::test]
async fn a_run_that_is_not_kept_any_more_is_not_tried_again() {
    let lab = Lab::new();
    let live = lab.sent().await;
    lab.ends(&live, Report { state: TargetState::Failed, ..report(&live) }).await;
    // As when it was beyond its time this moment.
    lab.hub.runs.state().over.remove(&live.id);
    let retry = Retry { run: live.id, targets: Vec::new(), cancelled: false, confirm: None };
    let refused = lab.hub.runs.retry(&lab.hub, &Who::local(), &live, &retry).await.unwrap_err();
    assert!(refused.message.contains("not kept any more"), "{refused}");
    assert!(lab.hub.runs.open(live.id).is_none());
}

#[tokio::test]
async fn a_run_that_is_over_is_read_back_for_none_but_its_own_hosts() {
    let lab = Lab::new();
    let live = lab.sent().await;
    lab.ends(&live, report(&live)).await;
    let (run, told) = (live.id, report(&live));
    drop(live);
    lab.hub.runs.state().looked.clear();
    let other = lab.sent().await;
    lab.tells(1, Vec::new(), vec![told.clone()]).await;
    lab.ends(&other, report(&other)).await;
    assert!(lab.hub.runs.state().looked.iter().all(|one| one.id != run));
    lab.tells(0, Vec::new(), vec![told]).await;
    let third = lab.sent().await;
    lab.ends(&third, report(&third)).await;
    assert!(lab.hub.runs.state().looked.iter().any(|one| one.id == run));
}

#[tokio::test]
async fn a_head_that_could_not_be_kept_is_refused_before_anything_begins() {
    let lab = Lab::new();
    let command = Some(Command { argv: vec!["true".into()] });
    let order = Order { command, ..Order::default() };
    let plain = Start { hosts: "web*".into(), order, when_online: true, ..Start::default() };
    let long = Start { hosts: format!("web*{}", " ".repeat(60_000)), ..plain.clone() };
    let many = Start { only: vec![lab.hosts[0]; 20_000], ..plain.clone() };
    let (author, who) = (Author::default, Who::local());
    for start in [long, many] {
        let begun = lab.hub.runs.start(&lab.hub, &who, author(), start, Origin::default()).await;
        let refused = begun.unwrap_err();
        assert!(refused.message.contains("by labels"), "{refused}");
    }
    let some = Start { only: vec![lab.hosts[0]; 3000], ..plain };
    let begun = lab.hub.runs.start(&lab.hub, &who, author(), some, Origin::default()).await;
    let run = begun.unwrap().run.unwrap();
    let live = lab.hub.runs.find(run).unwrap().unwrap();
    lab.mark(&live).await;
    lab.ends(&live, report(&live)).await;
}
