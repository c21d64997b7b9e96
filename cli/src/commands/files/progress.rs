//! How far copies are, as one line on a terminal that is rewritten; nothing anywhere else.

use crate::human;
use crate::output::Output;
use cmdr_protocol::display::clean_to_width;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the line is rewritten at most.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Now {
    /// Of each copy: bytes that are there, and that were carried.
    have: Vec<u64>,
    carried: Vec<u64>,
    total: u64,
    drawn: Option<Instant>,
    waiting: String,
}

/// The line.
#[derive(Debug)]
pub(in crate::commands) struct Bar {
    shown: bool,
    begun: Instant,
    now: Mutex<Now>,
}

impl Bar {
    /// For copies of these sizes.
    pub(in crate::commands) fn new(out: &Output, sizes: &[u64]) -> Self {
        let now = Now {
            have: vec![0; sizes.len()],
            carried: vec![0; sizes.len()],
            total: sizes.iter().sum(),
            drawn: None,
            waiting: String::new(),
        };
        Self { shown: out.tty_err && !out.quiet, begun: Instant::now(), now: Mutex::new(now) }
    }

    /// What is known of the copy of this number.
    pub(in crate::commands) fn tell(&self, at: usize, have: u64, carried: u64, waiting: &str) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        (now.have[at], now.carried[at]) = (have, carried);
        waiting.clone_into(&mut now.waiting);
        if self.shown && now.drawn.is_none_or(|drawn| drawn.elapsed() >= TICK) {
            now.drawn = Some(Instant::now());
            let line = line(&now, self.begun.elapsed());
            // Nobody can be told that standard error does not work.
            write!(std::io::stderr().lock(), "\r\x1b[K{line}").ok();
        }
    }

    /// Takes the line away again.
    pub(in crate::commands) fn end(&self) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.drawn.is_some() {
            write!(std::io::stderr().lock(), "\r\x1b[K").ok();
        }
    }
}

fn line(now: &Now, since: Duration) -> String {
    let (have, carried): (u64, u64) = (now.have.iter().sum(), now.carried.iter().sum());
    let total = now.total.max(have);
    let percent = (have * 100).checked_div(total).unwrap_or(100);
    let filled = usize::try_from(percent / 5).unwrap_or(20).min(20);
    let bar = format!("{}{}", "█".repeat(filled), "░".repeat(20 - filled));
    let mut line =
        format!("{bar} {percent:>3}%  {} of {}", human::bytes(have), human::bytes(total));
    let speed = carried as f64 / since.as_secs_f64().max(0.001);
    if !now.waiting.is_empty() {
        line.push_str("  waiting: ");
        line.push_str(&clean_to_width(&now.waiting, 60));
    } else if speed >= 1.0 {
        let left = (total - have) as f64 / speed;
        let (speed, left) = (human::bytes(speed as u64), human::span(left as u64));
        line = format!("{line}  {speed}/s  {left} left");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long_still() {
        let mut now = Now {
            have: vec![50 << 20, 0],
            carried: vec![40 << 20, 0],
            total: 100 << 20,
            drawn: None,
            waiting: String::new(),
        };
        let text = line(&now, Duration::from_secs(2));
        assert_eq!(text, "██████████░░░░░░░░░░  50%  50M of 100M  20M/s  2s left");
        now.waiting = "db1 is away\u{1b}".to_owned();
        assert!(line(&now, Duration::from_secs(2)).ends_with("waiting: db1 is away␛"));
    }
}
