//! Questions in the middle of an edit: one letter and Enter.

use crate::exit::{Exit, Failure};
use cmdr_protocol::display::clean;
use std::io::{self, Write as _};
use std::time::Duration;
use tokio::time::Instant;

fn say(text: &str) {
    // Nobody can be told that standard error does not work.
    let mut err = io::stderr().lock();
    err.write_all(text.as_bytes()).and_then(|()| err.flush()).ok();
}

fn cancelled() -> Failure {
    Failure::new(Exit::Cancelled, "nothing was saved")
}

/// Asks until the answer begins with one of `letters`; the first of them is meant by Enter alone.
pub(super) async fn ask(question: &str, letters: &str) -> Result<char, Failure> {
    loop {
        say(&format!("{} ", clean(question)));
        let line = tokio::select! {
            line = line() => line?,
            _ = tokio::signal::ctrl_c() => {
                say("\n");
                return Err(cancelled());
            }
        };
        let first = line.trim().chars().next().map(|c| c.to_ascii_lowercase());
        match first {
            None => return letters.chars().next().ok_or_else(cancelled),
            Some(letter) if letters.contains(letter) => return Ok(letter),
            Some(_) => {}
        }
    }
}

async fn line() -> Result<String, Failure> {
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|n| (n > 0).then_some(line))
    });
    let line = reading.await.map_err(|e| Failure::new(Exit::Fault, e.to_string()))??;
    line.ok_or_else(cancelled)
}

/// Asks whether an edit stays, while the time runs out. None when it has.
pub(super) async fn keep(until: Instant) -> Result<Option<bool>, Failure> {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut answer = std::pin::pin!(line());
    loop {
        tokio::select! {
            biased;
            line = &mut answer => {
                let yes = line.is_ok_and(|line| line.trim().to_ascii_lowercase().starts_with('y'));
                return Ok(Some(yes));
            }
            _ = tokio::signal::ctrl_c() => {
                say("\n");
                return Ok(Some(false));
            }
            _ = second.tick() => {
                let left = until.saturating_duration_since(Instant::now()).as_secs_f32().ceil();
                if left <= 0.0 {
                    say("\n");
                    return Ok(None);
                }
                say(&format!("\rkeep? [y/N] {left} s \u{1b}[K"));
            }
        }
    }
}
