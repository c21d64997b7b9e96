//! A real agent as a process: killed at any moment, stopped, started on another boot, left alone with its schedules.

use super::*;
use std::time::Instant;

/// What appended a line to a file, at most once each.
fn lines(lone: &Lone, id: &str) -> usize {
    std::fs::read_to_string(lone.dir.join(id)).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn an_agent_that_is_killed_at_any_moment_runs_nothing_twice_and_tells_how_each_order_ended() {
    let mut lone = Lone::new().await;
    lone.start();
    let mut up = lone.accept().await;
    let (mut lost, mut well, mut unknown) = (0, 0, 0);
    for round in 0..14_u64 {
        let id = format!("r.{round}.0");
        let mark = lone.dir.join(&id);
        let order = line(&format!("echo ran >> {}; sleep 0.05; echo done", mark.display()));
        let take = take(&id, order);
        // From before it is on disk to after it is over.
        let pause = Duration::from_millis(round * 11 % 140);
        let asked = {
            let asking = ask(&up, &lone, &take);
            let mut asking = std::pin::pin!(asking);
            let killed = Instant::now() + pause;
            let first = tokio::time::timeout_at(killed.into(), &mut asking).await.ok();
            tokio::time::sleep_until(killed.into()).await;
            lone.kill();
            match first {
                Some(answer) => Some(answer),
                None => tokio::time::timeout(Duration::from_secs(5), asking).await.ok(),
            }
        };
        let acknowledged = matches!(asked, Some(Ok(_)));
        lone.start();
        up = lone.accept().await;
        let mut watching = Watching::new(&up, &lone, Vec::new()).await;
        watching.until_all().await;
        let told = watching.reports.get(&id).cloned();
        assert!(told.is_some() || !acknowledged, "{id} was acknowledged and is not known");
        let ran = lines(&lone, &id);
        match told {
            None => {
                assert_eq!(ran, 0, "{id} ran and is not known");
                unknown += 1;
            }
            Some(report) => match report.state {
                TargetState::Lost => {
                    assert!(report.began_ms.is_some() || ran == 0, "{report:?}");
                    lost += 1;
                }
                TargetState::Ok => well += 1,
                _ => panic!("{report:?}"),
            },
        }
        // A hub that did not get the answer asks again: what is known is not begun once more.
        let again = ask(&up, &lone, &take).await.unwrap();
        let expected = if again.again { ran } else { 1 };
        watching.end(&id).await;
        assert_eq!(lines(&lone, &id), expected, "{id}");
        watching.confirm(&up, &lone, &[&id]).await;
    }
    println!("{well} ended well, {lost} were lost, {unknown} never came");
    assert!(lost > 0, "no kill was in the middle of an order");
}

#[tokio::test]
async fn an_agent_that_is_stopped_says_what_it_ended_and_a_killed_one_leaves_nothing_running() {
    let mut lone = Lone::new().await;
    lone.start();
    let up = lone.accept().await;
    let pid = lone.dir.join("pid");
    let order = line(&format!("echo $$ > {}; echo said; sleep 1000", pid.display()));
    ask(&up, &lone, &take("r.0.0", order)).await.unwrap();
    let mut watching = Watching::new(&up, &lone, Vec::new()).await;
    while watching.text("r.0.0") != "said\n" {
        watching.next().await.unwrap();
    }
    lone.terminate();
    let report = watching.end("r.0.0").await;
    assert_eq!(report.state, TargetState::Lost);
    assert!(report.message.contains("stopped while it ran"), "{}", report.message);
    harness::until("the agent has ended", async || !lone.is_running()).await;
    let stat = format!("/proc/{}/stat", std::fs::read_to_string(&pid).unwrap().trim());
    harness::until("the program is gone", async || {
        std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z"))
    })
    .await;
    lone.start();
    let up = lone.accept().await;
    let mut watching = Watching::new(&up, &lone, Vec::new()).await;
    watching.until_all().await;
    assert_eq!((&watching.reports["r.0.0"], watching.text("r.0.0").as_str()), (&report, "said\n"));
}

#[tokio::test]
async fn a_host_that_went_down_in_the_middle_is_told_apart_from_an_agent_that_did() {
    let lone = Lone::new().await;
    let boot = lone.dir.join("proc/sys/kernel/random");
    std::fs::create_dir_all(&boot).unwrap();
    std::fs::write(boot.join("boot_id"), "first\n").unwrap();
    let config = || Config { proc_root: lone.dir.join("proc"), ..Config::new(lone.state.clone()) };
    let (_agent, up) = lone.serve(config()).await;
    let order = line("echo going down; sleep 1000");
    ask(&up, &lone, &take("r.0.0", order)).await.unwrap();
    let mut watching = Watching::new(&up, &lone, Vec::new()).await;
    while watching.text("r.0.0").is_empty() {
        watching.next().await.unwrap();
    }
    up.link.close("down");
    for (boot_id, words) in [("first\n", "agent was ended"), ("second\n", "host went down")] {
        let copy = lone.dir.join(boot_id.trim());
        std::fs::create_dir_all(copy.join("orders")).unwrap();
        std::fs::copy(lone.state.join("orders/journal"), copy.join("orders/journal")).unwrap();
        std::fs::write(boot.join("boot_id"), boot_id).unwrap();
        let (_agent, up) = lone.serve(Config { state_dir: copy, ..config() }).await;
        let mut watching = Watching::new(&up, &lone, Vec::new()).await;
        watching.until_all().await;
        let report = &watching.reports["r.0.0"];
        assert_eq!(report.state, TargetState::Lost);
        assert!(report.message.contains(words), "{}", report.message);
    }
}

#[tokio::test]
async fn while_no_hub_is_there_the_agent_does_what_is_due_and_tells_it_once() {
    let mut lone = Lone::new().await;
    lone.start();
    let up = lone.accept().await;
    let ran = lone.dir.join("ran");
    let order = line(&format!("echo ran >> {}; echo by myself", ran.display()));
    let now = cmdr_link::clock::now_ms();
    let (due, later) = (now + 1500, now + 3_600_000);
    let schedule = Schedule {
        id: "nightly".into(),
        order: order.clone(),
        times: vec![due, later],
        by: "ann".into(),
        ..Schedule::default()
    };
    let schedules = Schedules { schedules: vec![schedule] };
    up.client.call(Some(lone.id), &schedules, PATIENCE).await.unwrap();
    // They are on disk: another agent goes on with them, and without a hub.
    lone.kill();
    drop(up);
    lone.start();
    harness::until("it is done", async || ran.exists()).await;
    let up = lone.accept().await;
    let mut watching = Watching::new(&up, &lone, Vec::new()).await;
    let own = format!("own.nightly.{due}");
    let report = watching.end(&own).await;
    let occurrence = Occurrence { schedule: "nightly".into(), due_ms: due };
    assert_eq!((report.state, report.occurrence), (TargetState::Ok, Some(occurrence.clone())));
    assert_eq!(watching.text(&own), "by myself\n");
    watching.confirm(&up, &lone, &[&own]).await;
    // The hub would have had it done for the same moment.
    let late = Take { occurrence: Some(occurrence), ..take("r.0.0", order) };
    let taken = ask(&up, &lone, &late).await.unwrap();
    assert_eq!((taken.state, taken.instead), (TargetState::Ok, Some(own)));
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "ran\n");
}
