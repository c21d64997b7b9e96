//! What the hub keeps: pictures, and that nothing is purged before it was shown what goes.

use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, some_hosts};
use cmdr_protocol::CallError;
use cmdr_protocol::data::{Kept, Kind, Purge, Purged, Sized};
use cmdr_tui::link::fake::Asked;
use serde_json::Value;

const DAY: u64 = 86_400_000;

fn far(asked: &Asked) -> Result<Value, CallError> {
    let json = |value: serde_json::Result<Value>| Ok(value.expect("JSON"));
    match asked.method {
        "data.sizes" => {
            let kept = |kind, count, bytes| Kept {
                kind,
                count,
                bytes,
                first_ms: NOW_MS - 400 * DAY,
                last_ms: NOW_MS - DAY,
                keep_days: 90,
                ..Kept::default()
            };
            let fixed = "it is evidence\u{1b}[2J".to_owned();
            let kinds = vec![
                kept(Kind::History, 9_000_000, 3 << 30),
                kept(Kind::Runs, 812, 120 << 20),
                Kept { fixed, keep_days: 0, ..kept(Kind::Audit, 70_000, 40 << 20) },
                Kept { trouble: "the disk says no".into(), ..kept(Kind::Recordings, 0, 0) },
            ];
            json(serde_json::to_value(Sized { kinds, free: 9 << 30, room: 100 << 30 }))
        }
        "data.purge" => {
            let purge: Purge = serde_json::from_value(asked.body.clone()).expect("a purge");
            json(serde_json::to_value(Purged {
                count: 7,
                bytes: 1 << 20,
                first_ms: NOW_MS - 400 * DAY,
                last_ms: purge.before_ms,
                staying: 2,
                applied: purge.apply,
            }))
        }
        _ => Ok(Value::Object(serde_json::Map::new())),
    }
}

async fn at_data(setup: Setup) -> World {
    let mut world = World::new(setup).await;
    world.far.answer(far);
    world.fleet(some_hosts()).await;
    world.press("Q").await;
    world
}

#[tokio::test]
async fn what_is_kept_in_every_state() {
    for setup in each() {
        let mut world = at_data(setup).await;
        snap!("data", world);
        world.press("jp").await;
        snap!("data_older", world);
        world.press("<enter>").await;
        snap!("data_purge", world);
        world.press("<esc>").await;
        world.lose().await;
        snap!("data_hub_lost", world);
    }
}

#[tokio::test]
async fn nothing_is_purged_before_it_was_counted_and_agreed_to() {
    let mut world = at_data(Setup::default()).await;
    world.press("jp").await;
    world.press("C-usoon<enter>").await;
    world.check_shows("Write 90d");
    world.press("C-u30d<enter>").await;
    world.check_shows("7 would go");
    world.check_shows("2 more are as old and stay");
    let purges = |world: &World| {
        let calls = world.calls().into_iter().filter(|asked| asked.method == "data.purge");
        let read = |asked: Asked| serde_json::from_value::<Purge>(asked.body).expect("a purge");
        calls.map(read).collect::<Vec<_>>()
    };
    let asked = purges(&world);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!((asked[0].kind, asked[0].apply), (Kind::Runs, false));
    assert_eq!(asked[0].before_ms, NOW_MS - 30 * DAY);
    world.press("y").await;
    let asked = purges(&world);
    assert!(asked.len() == 1 && asked[0].apply, "{asked:?}");
    world.check_shows("7 are gone");
}

#[tokio::test]
async fn what_may_not_be_purged_says_why() {
    let mut world = at_data(Setup { size: (160, 45), ..Setup::default() }).await;
    world.press("jjp").await;
    world.check_shows("it is evidence␛[2J");
    assert!(!world.calls().iter().any(|asked| asked.method == "data.purge"));
}
