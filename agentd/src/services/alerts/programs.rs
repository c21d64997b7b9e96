//! The program that the host's owner has told of alerts while the hub is away: what happened as one line of JSON on its
//! standard input. One after the other.

use cmdr_protocol::alerts::away::Seen;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// One that runs for longer is ended.
const PATIENCE: Duration = Duration::from_mins(1);
/// What waits for its turn, at most.
const WAITING: usize = 100;

/// The way to it; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Programs {
    /// Absent where the owner named none.
    queue: Option<mpsc::Sender<Vec<u8>>>,
}

impl Programs {
    /// For this program with its arguments; empty for none.
    pub(super) fn new(program: Vec<String>) -> Self {
        if program.is_empty() {
            return Self { queue: None };
        }
        let (queue, mut waiting) = mpsc::channel::<Vec<u8>>(WAITING);
        tokio::spawn(async move {
            while let Some(line) = waiting.recv().await {
                if let Err(e) = run(&program, &line).await {
                    tracing::error!(program = program[0], "was to be told of an alert: {e}");
                }
            }
        });
        Self { queue: Some(queue) }
    }

    /// Has it told of something.
    pub(super) fn tell(&self, seen: &Seen) {
        let Some(queue) = &self.queue else { return };
        let Ok(mut line) = serde_json::to_vec(seen) else { return };
        line.push(b'\n');
        if queue.try_send(line).is_err() {
            tracing::error!(
                rule = seen.rule,
                "the program of alerts is not told: {WAITING} wait for it already"
            );
        }
    }
}

async fn run(program: &[String], line: &[u8]) -> Result<(), String> {
    let (path, arguments) = program.split_first().ok_or("no program is named")?;
    let mut child = Command::new(PathBuf::from(path))
        .args(arguments)
        .env_clear()
        .env("PATH", crate::program::PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("it does not start: {e}"))?;
    let told = async {
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read it has its reasons.
            stdin.write_all(line).await.ok();
        }
        child.wait().await
    };
    match timeout(PATIENCE, told).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("it ended with {status}")),
        Ok(Err(e)) => Err(format!("waiting for it: {e}")),
        Err(_) => Err(format!("it took longer than {} s and was ended", PATIENCE.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn the_owners_program_gets_each_alert_as_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let (script, out) = (dir.path().join("page"), dir.path().join("out"));
        std::fs::write(&script, "#!/bin/sh\ncat >> \"$1\"\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = [&script, &out].map(|path| path.display().to_string());
        for rule in ["full", "busy"] {
            let line = serde_json::to_vec(&Seen { rule: rule.into(), ..Seen::default() }).unwrap();
            run(&program, &line).await.unwrap();
        }
        let told = std::fs::read_to_string(&out).unwrap();
        assert!(told.contains("\"rule\":\"full\"") && told.contains("\"rule\":\"busy\""), "{told}");
        let missing = run(&["/nonexistent/page".to_owned()], b"{}\n").await.unwrap_err();
        assert!(missing.contains("does not start"), "{missing}");
        let failing = run(&["/bin/false".to_owned()], b"{}\n").await.unwrap_err();
        assert!(failing.contains("ended with"), "{failing}");
    }
}
