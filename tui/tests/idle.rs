//! What is sent to the terminal while nothing happens: not a byte.

use crate::support::{NOW_MS, Setup, World, figures, host, id, log, pass, some_hosts};
use cmdr_protocol::approvals;
use cmdr_protocol::hosts::{self, Figures, HostState};
use cmdr_protocol::version::Health;
use cmdr_tui::event::Event;
use cmdr_tui::terminal::encoder::Encoder;
use ratatui::Terminal;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A world whose app also draws through the real encoder.
struct Line {
    world: World,
    terminal: Terminal<Encoder<Sink>>,
    sink: Sink,
}

impl Line {
    fn new(world: World) -> Self {
        let sink = Sink::default();
        let encoder = Encoder::new(sink.clone()).sized(|| Ok((120, 40)));
        let terminal = Terminal::new(encoder).expect("terminal");
        Self { world, terminal, sink }
    }

    /// A second goes by; what it sent to the terminal.
    async fn second(&mut self) -> String {
        pass(1);
        let Self { world, terminal, sink } = self;
        let run = world.app.run_until_idle(terminal, &mut world.control, [Event::Tick]);
        run.await.expect("runs");
        let bytes = std::mem::take(&mut *sink.0.lock().expect("lock"));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What a link that carries nothing but heartbeats says of itself.
fn health(second: u32) -> Health {
    let beats = u64::from(second / 5);
    let rtt_us = Some(12_300 + second * 7919 % 2900);
    Health {
        rtt_us,
        received: 90_000 + beats * 140,
        sent: 20_000 + beats * 120,
        ..Health::default()
    }
}

#[tokio::test]
async fn a_link_that_carries_only_heartbeats_draws_nothing() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts().into_iter().filter(|h| h.state != HostState::Online).collect()).await;
    let mut line = Line::new(world);
    line.world.far.set_health(health(0));
    // The first minutes: the screen itself, the ages of what just happened, the clock going out.
    for second in 0..340 {
        line.world.far.set_health(health(second));
        line.second().await;
    }
    for second in 340..440 {
        line.world.far.set_health(health(second));
        assert_eq!(line.second().await, "", "in second {second}");
    }
}

#[tokio::test]
async fn a_log_and_requests_to_which_nothing_happens_draw_nothing() {
    for keys in ["A", "O", "I", "P"] {
        let mut world = World::with_log(Setup::default(), 40).await;
        let mut approvals = log::approvals(NOW_MS);
        approvals.retain(|approval| !approval.own);
        world.far.push::<approvals::Watch>(None, &approvals::Listing { approvals, may_ask: None });
        world.press(keys).await;
        let mut line = Line::new(world);
        // The screen itself, and the clock going out.
        for _ in 0..70 {
            line.second().await;
        }
        for second in 70..120 {
            assert_eq!(line.second().await, "", "{keys} in second {second}");
        }
    }
}

#[tokio::test]
async fn figures_that_come_again_with_another_round_trip_draw_nothing() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(vec![host(1, "web1", HostState::Online)]).await;
    let mut line = Line::new(world);
    let push = |line: &Line, second: u32| {
        let rtt_us = 9000 + second * 7919 % 1900;
        let figures = vec![Figures { rtt_us, cpu: 300, ..figures(id(1), 1) }];
        line.world.far.push::<hosts::Watch>(None, &hosts::Change { figures, ..Default::default() });
    };
    // Until the minute of processor use is the same everywhere.
    for second in 0..66 {
        push(&line, second);
        line.second().await;
    }
    for second in 66..110 {
        push(&line, second);
        assert_eq!(line.second().await, "", "in second {second}");
    }
}

#[tokio::test]
async fn a_round_trip_that_really_changed_is_shown() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.later(1).await;
    world.check_shows("12 ms");
    world.far.set_health(Health { rtt_us: Some(80_000), ..Health::default() });
    world.later(1).await;
    world.check_shows("80 ms");
}

#[tokio::test]
async fn the_clock_goes_out_when_nothing_happens_and_comes_back_with_a_key() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(Vec::new()).await;
    world.check_shows("14:02");
    world.later(61).await;
    world.check_hides("14:0");
    world.press("j").await;
    world.check_shows("14:03");
}
