//! A recorded terminal that is larger than the screen.

use super::*;

#[tokio::test]
async fn of_a_terminal_larger_than_its_place_a_part_is_shown_that_can_be_moved() {
    let mut recordings = known();
    for recording in &mut recordings {
        recording.method = "sessions.open".into();
        recording.terminal = Some(cmdr_protocol::sessions::Size { columns: 160, rows: 45 });
        recording.took_ms = 9000;
        recording.marks.clear();
    }
    // A letter at each corner; the cursor ends below at the left.
    let corners = "\u{1b}[1;1HA\u{1b}[1;160HB\u{1b}[45;160HC\u{1b}[45;1HD";
    let data = corners.as_bytes().to_vec();
    let events = vec![Event { at_us: 1_000_000, kind: EventKind::Output, data }];
    let setup = Setup { size: (80, 24), ..Setup::default() };
    let mut world = Box::pin(with(setup, recordings, events)).await;
    world.press("O3j<enter>G").await;
    world.check_shows("160x45 recorded, shown in part");
    let lines = |world: &World| {
        let screen = world.screen();
        let rows = screen.lines().skip(2).take(20);
        let lines: Vec<String> = rows.map(|row| row.trim_matches('"').to_owned()).collect();
        lines
    };
    let first = |world: &World, letter: char| lines(world).iter().any(|l| l.starts_with(letter));
    let last = |world: &World, letter: char| lines(world).iter().any(|l| l.ends_with(letter));
    assert!(first(&world, 'D') && !first(&world, 'A'), "it goes with the cursor");
    world.press(">>>>>>>>>>>>>>>>").await;
    assert!(last(&world, 'C') && !first(&world, 'D'), "{}", world.screen());
    world.check_shows("c with the cursor");
    world.press("<pageup><pageup>").await;
    assert!(last(&world, 'B') && !last(&world, 'C'), "{}", world.screen());
    world.press("<<<<<<<<<<<<<<<<").await;
    assert!(first(&world, 'A'), "{}", world.screen());
    world.press("c").await;
    assert!(first(&world, 'D'), "{}", world.screen());
}
