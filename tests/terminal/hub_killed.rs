//! Killing the hub in the middle of its work loses nothing that it had acknowledged, and no record of it.

use crate::load::Load;
use harness::process::HubProcess;
use std::time::Duration;

/// How often the gate kills the hub; the long form of this test sets more.
fn kills() -> u64 {
    std::env::var("CMDR_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(15)
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_when_the_hub_is_killed_and_everyone_comes_back() {
    let mut hub = HubProcess::start();
    let load = Load::on(&hub).await;
    let mut slowest = Duration::ZERO;
    for round in 0..kills() {
        // Let it work for a while that differs from round to round.
        load.goes_on_for(20 + (round * 37) % 100).await;
        hub.kill();
        let promised = load.promised();
        hub.start_again();
        let (took, stored) = load.back().await;
        slowest = slowest.max(took);
        load.assert_kept(&format!("kill {round}"), &promised, stored);
    }
    assert!(slowest < Duration::from_secs(15), "a client needed {slowest:?} to come back");
    load.assert_recorded(&hub);
    load.stop();
    assert!(hub.command(&["check"]).contains(" 0 damaged"));
}
