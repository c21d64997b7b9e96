//! What `scripts/bench-recorder` measures: a recorder that runs for so many seconds, and what it has cost and kept.

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use cmdr_recorder::{Recorder, Roots, Settings, Titles};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "there is no other clock in this crate")]
fn now_ms() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

#[expect(clippy::disallowed_methods, reason = "this thread has nothing else to do")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or("bench FOLDER SECONDS")?);
    let seconds: u64 = args.next().ok_or("bench FOLDER SECONDS")?.parse()?;
    let roots = Roots { proc: "/proc".into(), sys: "/sys".into() };
    let interval = Duration::from_secs(1);
    let settings = Settings {
        dir,
        roots,
        interval,
        keep: 100 << 20,
        commands: true,
        titles: Titles::default(),
    };
    let begin = Instant::now();
    let recorder = Recorder::start(settings, now_ms)?;
    while begin.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_millis(200));
    }
    let state = recorder.state();
    recorder.ring().flush();
    let span = recorder.ring().span();
    println!(
        "{{\"taken\":{},\"skipped\":{},\"processes\":{},\"looked\":{},\"samples\":{},\"bytes\":{}}}",
        state.taken, state.skipped, state.processes, state.looked, span.samples, span.bytes
    );
    Ok(())
}
