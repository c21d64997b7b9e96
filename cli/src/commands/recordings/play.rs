//! Shows what a recording holds: at once, with its pauses, or as it comes. On a terminal colours pass
//! and everything else that could steer it is shown as text, as `exec` does; into a pipe or file bytes
//! pass as they are.

use super::{One, is_output, span};
use crate::App;
use crate::args;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use clap::Args;
use cmdr_link::FeedStream;
use cmdr_protocol::Feed;
use cmdr_protocol::display::{self, clean};
use cmdr_protocol::recordings::{EventKind, Events, Read, Watch};
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct PlayArgs {
    #[command(flatten)]
    one: One,

    /// So many times as fast.
    #[arg(long, default_value_t = 1.0, value_name = "N", value_parser = speed)]
    speed: f64,

    /// No pause longer than this.
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    idle_limit: Option<Duration>,

    /// Begin so far in.
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    from: Option<Duration>,
}

pub(in crate::commands) fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|n: &f64| (0.01..=1000.0).contains(n));
    speed.ok_or_else(|| format!("'{text}' is no number from 0.01 to 1000"))
}

/// Shows pieces of output.
struct Shower {
    app: App,
    filter: Option<display::Filter>,
}

impl Shower {
    fn new(app: &App) -> Self {
        Self { app: app.clone(), filter: app.out.tty_out.then(display::Filter::new) }
    }

    fn show(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match &mut self.filter {
            Some(filter) => self.app.out.data(&filter.push(bytes)),
            None => self.app.out.bytes(bytes),
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        match &mut self.filter {
            Some(filter) => self.app.out.data(&filter.finish()),
            None => Ok(()),
        }
    }
}

pub(super) async fn cat(app: &App, hub: &Hub, id: u64) -> Result<Exit, Failure> {
    let feed = hub.client.feed(None, &Read { id, from_ms: 0 }).await.map_err(Failure::from_hub)?;
    follow(app, feed, |_| Duration::ZERO).await
}

pub(super) async fn play(app: &App, hub: &Hub, args: &PlayArgs) -> Result<Exit, Failure> {
    let from = args.from.unwrap_or_default();
    let from_ms = u64::try_from(from.as_millis()).unwrap_or(u64::MAX);
    let read = Read { id: args.one.id, from_ms };
    let feed = hub.client.feed(None, &read).await.map_err(Failure::from_hub)?;
    let mut last = from_ms.saturating_mul(1000);
    let (speed, limit) = (args.speed, args.idle_limit);
    follow(app, feed, move |at_us| {
        let pause = pause(at_us.saturating_sub(last), speed, limit);
        last = at_us;
        pause
    })
    .await
}

/// How long to wait for what came so long after what was before it.
fn pause(us: u64, speed: f64, limit: Option<Duration>) -> Duration {
    let pause = Duration::from_micros(us).div_f64(speed);
    limit.map_or(pause, |limit| pause.min(limit))
}

pub(super) async fn watch(app: &App, hub: &Hub, id: u64, from_now: bool) -> Result<Exit, Failure> {
    let watch = Watch { id, from_start: !from_now };
    let feed = hub.client.feed(None, &watch).await.map_err(Failure::from_hub)?;
    follow(app, feed, |_| Duration::ZERO).await
}

/// Shows what a feed brings until it ends; `pause` says how long to wait before something of this time.
async fn follow<F: Feed<Item = Events>>(
    app: &App,
    mut feed: FeedStream<F>,
    mut pause: impl FnMut(u64) -> Duration,
) -> Result<Exit, Failure> {
    let mut shower = Shower::new(app);
    let mut exit = Exit::Ok;
    while let Some(item) = feed.next().await {
        let item = item.map_err(Failure::from_hub)?;
        if let Some(recording) = &item.recording {
            app.out.detail(&format!(
                "{} on {}: {}",
                recording.operator, recording.host_name, recording.command
            ));
        }
        if item.skipped > 0 {
            app.out.warn(&format!(
                "{} bytes of the recording were passed over to keep up",
                item.skipped
            ));
        }
        for event in &item.events {
            let wait = pause(event.at_us);
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            if is_output(event.kind) {
                shower.show(&event.data)?;
            } else if event.kind == EventKind::Mark {
                let told = String::from_utf8_lossy(&event.data);
                app.out.detail(&format!("[{}] {}", span(event.at_us / 1000), clean(&told)));
            }
        }
        if !item.damage.is_empty() {
            app.out.warn(&format!("the recording does not go on: {}", item.damage));
            exit = Exit::Failed;
        }
    }
    shower.finish()?;
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_as_long_as_they_were_unless_that_is_too_long() {
        assert_eq!(pause(2_000_000, 1.0, None), Duration::from_secs(2));
        assert_eq!(pause(2_000_000, 4.0, None), Duration::from_millis(500));
        let limit = Some(Duration::from_millis(300));
        assert_eq!(pause(2_000_000, 4.0, limit), Duration::from_millis(300));
        assert!(speed("0").is_err() && speed("fast").is_err() && speed("1e9").is_err());
    }

    #[test]
    fn what_a_host_wrote_cannot_steer_the_terminal_it_is_played_on() {
        let mut filter = display::Filter::new();
        let shown = filter.push(b"\x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m\n");
        assert_eq!(shown, "␛]0;title␇␛[2J\x1b[31mred\x1b[0m\n");
    }
}
