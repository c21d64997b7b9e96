//! Acts on exactly one unit. Those that begin a job wait for its end; when it went wrong, the last
//! lines of the unit come with the answer.

use super::rows::one;
use crate::Config;
use crate::systemd::{Manager, job_removed};
use crate::text::lossy;
use cmdr_protocol::services::Done;
use cmdr_protocol::{CallError, ErrorKind};
use futures::StreamExt as _;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;
use zbus::OwnedObjectPath;

/// A job that takes longer is left to itself, and said to be.
const PATIENCE: Duration = Duration::from_secs(110);
/// A program that cannot be begun is noticed only after its job is done.
const SETTLE: Duration = Duration::from_millis(300);
/// The last lines of a unit.
const LINES: usize = 15;
const LINE: usize = 500;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Restart,
    Reload,
    Enable,
    Disable,
    Mask,
    Unmask,
    ResetFailed,
}

/// Changes of files: kind, where, and what it leads to.
type Changes = Vec<(String, String, String)>;

pub(super) async fn act(config: &Config, unit: &str, verb: Verb) -> Result<Done, CallError> {
    let manager = Manager::connect(config).await?;
    // What is not there is told before anything is done.
    if !matches!(verb, Verb::Mask | Verb::Unmask) {
        one(config, &manager, unit).await?;
    }
    let mut done = Done { result: "done".into(), ..Done::default() };
    match verb {
        Verb::Start => done.result = job(&manager, "StartUnit", unit).await?,
        Verb::Stop => done.result = job(&manager, "StopUnit", unit).await?,
        Verb::Restart => done.result = job(&manager, "RestartUnit", unit).await?,
        Verb::Reload => done.result = job(&manager, "ReloadUnit", unit).await?,
        Verb::ResetFailed => manager.call::<_, ()>("ResetFailedUnit", &(unit,)).await?,
        Verb::Enable => {
            let (installs, changes): (bool, Changes) =
                manager.call("EnableUnitFiles", &([unit].as_slice(), false, false)).await?;
            if !installs && changes.is_empty() {
                return Err(CallError::failed(format!(
                    "{unit} does not say with what it would begin: other units start it when they \
                     need it"
                )));
            }
            done.already = changes.is_empty();
        }
        Verb::Disable => {
            let changes: Changes =
                manager.call("DisableUnitFiles", &([unit].as_slice(), false)).await?;
            done.already = changes.is_empty();
        }
        Verb::Mask => {
            let changes: Changes =
                manager.call("MaskUnitFiles", &([unit].as_slice(), false, false)).await?;
            done.already = changes.is_empty();
        }
        Verb::Unmask => {
            let changes: Changes =
                manager.call("UnmaskUnitFiles", &([unit].as_slice(), false)).await?;
            done.already = changes.is_empty();
        }
    }
    if matches!(verb, Verb::Enable | Verb::Disable | Verb::Mask | Verb::Unmask) {
        manager.call::<_, ()>("Reload", &()).await?;
    }
    if matches!(verb, Verb::Start | Verb::Restart) && done.is_ok() {
        tokio::time::sleep(SETTLE).await;
    }
    // A unit that was masked or stopped may have nothing left to tell.
    if let Ok((now, _)) = one(config, &manager, unit).await {
        done.unit = now;
    }
    let begins = matches!(verb, Verb::Start | Verb::Restart | Verb::Reload);
    let again = done.unit.active == "activating" && done.unit.sub.starts_with("auto-restart");
    if begins && done.is_ok() && (done.unit.active == "failed" || again) {
        done.result = "failed".into();
    }
    if !done.is_ok() {
        done.lines = last_lines(unit).await;
    }
    Ok(done)
}

/// Begins a job and waits for its end.
async fn job(manager: &Manager, method: &str, unit: &str) -> Result<String, CallError> {
    // Listens before it asks: a job may be over before the answer is read.
    let mut removed = manager.signals(Some("JobRemoved")).await?;
    let job: OwnedObjectPath = manager.call(method, &(unit, "replace")).await?;
    let over = async {
        while let Some(message) = removed.next().await {
            let Ok(message) = message else { continue };
            if let Some((path, result)) = job_removed(&message)
                && path == job.as_str()
            {
                return Some(result);
            }
        }
        None
    };
    match timeout(PATIENCE, over).await {
        Ok(Some(result)) => Ok(result),
        Ok(None) => Err(CallError::lost(format!(
            "the service manager left while it was at {unit}; look at what became of it"
        ))),
        Err(_) => Err(CallError::new(
            ErrorKind::TimedOut,
            format!("{unit} is not done after {} s; it goes on", PATIENCE.as_secs()),
        )),
    }
}

/// The last lines that a unit wrote, as far as this host keeps them.
async fn last_lines(unit: &str) -> Vec<String> {
    let child = Command::new("journalctl")
        .arg(format!("--unit={unit}"))
        .arg(format!("--lines={LINES}"))
        .args(["--no-pager", "--quiet", "--output=short"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(mut child) = child else { return Vec::new() };
    let Some(out) = child.stdout.take() else { return Vec::new() };
    let mut bytes = Vec::new();
    let mut out = out.take(256 * 1024);
    // Lines that come late are not worth the wait.
    match timeout(Duration::from_secs(5), out.read_to_end(&mut bytes)).await {
        Ok(Ok(_)) => tail(&bytes),
        _ => Vec::new(),
    }
}

fn tail(bytes: &[u8]) -> Vec<String> {
    let text = lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    lines[from..].iter().map(|line| line[..line.floor_char_boundary(LINE)].to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_told_and_long_ones_are_cut() {
        let text = (0..40).map(|n| format!("{n} {}\n", "é".repeat(400))).collect::<String>();
        let lines = tail(text.as_bytes());
        assert_eq!(lines.len(), LINES);
        assert!(lines[0].starts_with("25 ") && lines.iter().all(|line| line.len() <= LINE));
        assert!(tail(b"").is_empty());
    }
}
