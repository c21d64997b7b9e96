//! Output and disks: what is too much is not kept, and that is said; a hub that cannot write loses nothing.

use super::*;
use harness::disk::Small;
use std::io::Write as _;

#[tokio::test]
async fn output_beyond_all_measure_is_bounded_and_the_loss_is_said() {
    let runs = Runs { target_output_kb: 64, run_output_mb: 1, rejoin_s: 0, ..Runs::default() };
    let world = World::start_with(Config { runs, ..Config::default() }).await;
    let _sims = sims(&world, 2).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let all: u64 = 10_000_000_000;
    let run = start(&client, &order("sim*", &["flood", &all.to_string()])).await;
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["ok", "ok"]);
    for target in &shown.targets {
        assert_eq!((target.stdout, target.lost), (64 * 1024, all - 64 * 1024));
    }
    assert_eq!(shown.run.output, 128 * 1024);
    assert_eq!(shown.run.lost, 2 * (all - 64 * 1024));
    let only = Output { run, targets: vec![1], since: String::new(), follow: false };
    let mut feed = client.feed(None, &only).await.unwrap();
    let mut bytes = 0;
    while let Some(item) = feed.next().await {
        for piece in item.unwrap().output {
            assert_eq!(piece.target, 1);
            bytes += piece.stdout.len();
        }
    }
    assert_eq!(bytes, 64 * 1024);
}

#[tokio::test]
async fn on_a_disk_that_is_nearly_full_output_is_not_kept_and_that_is_said() {
    let runs = Runs { free_mb: 1 << 40, rejoin_s: 0, ..Runs::default() };
    let world = World::start_with(Config { runs, ..Config::default() }).await;
    let _sims = sims(&world, 1).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let run = start(&client, &order("sim00", &["echo", "words"])).await;
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["ok"]);
    assert_eq!((shown.targets[0].stdout, shown.targets[0].lost, shown.run.output), (0, 6, 0));
}

#[tokio::test]
async fn a_hub_whose_disk_is_full_begins_nothing_and_goes_on_with_what_it_had_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("small");
    let _small = Small::mount(&at, 48);
    let world = World::start_at(tempfile::tempdir_in(&at).unwrap(), config(0)).await;
    let sims = sims(&world, 2).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let run = start(&client, &order("sim*", &["wait"])).await;
    let ids = [sims[0].at().await, sims[1].at().await];
    let fill = at.join("fill");
    let full = || {
        let mut file = std::fs::File::options().create(true).append(true).open(&fill).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    };
    let refused = until_some("nothing more is begun", async || {
        full();
        ask(&client, &order("sim01", &["hostname"])).await.err()
    })
    .await;
    assert!(!refused.message.is_empty(), "{refused}");
    sims[0].orders.finish(&ids[0], TargetState::Ok, 0);
    sims[1].orders.finish(&ids[1], TargetState::Failed, 4);
    std::fs::remove_file(&fill).unwrap();
    let shown = over(&client, run).await;
    assert_eq!(states(&shown), ["ok", "failed"]);
    until("all is confirmed", async || sims.iter().all(|sim| sim.orders.unconfirmed() == 0)).await;
    assert_eq!((sims[0].orders.began()[&ids[0]], sims[1].orders.began()[&ids[1]]), (1, 1));
    // And it takes what it refused.
    let run = start(&client, &order("sim01", &["hostname"])).await;
    assert_eq!(states(&over(&client, run).await), ["ok"]);
}
