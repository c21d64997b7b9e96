//! The gateway's process: started in a group of its own and left alone when the agent ends.

use super::Wrong;
use super::control::{Control, There};
use cmdr_link::files;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::Instant;

/// It answers within so long, or it is given up.
const UP: Duration = Duration::from_secs(15);
/// How often it is asked whether it is up.
const ASK: Duration = Duration::from_millis(20);
/// Its log begins anew at a start when it is longer than this.
const LOG: u64 = 1 << 20;

/// Starts it by this configuration; `over` when another one is there whose sockets it takes.
pub(super) async fn start(
    program: &Path,
    dir: &Path,
    text: &str,
    control: &Control,
    over: bool,
) -> Result<(), Wrong> {
    let failed = |what: &str, e: io::Error| vec![format!("{what}: {e}")];
    files::private_dir(dir).map_err(|e| failed(&format!("making {}", dir.display()), e))?;
    let wanted = dir.join("wanted.toml");
    files::write_private(&wanted, text.as_bytes())
        .map_err(|e| failed(&format!("writing {}", wanted.display()), e))?;
    let log_path = dir.join("log");
    let log = log_file(&log_path).map_err(|e| failed("opening the gateway's log", e))?;
    let was = log.metadata().map_or(0, |about| about.len());
    let mut command = Command::new(program);
    command.arg("run").arg(&wanted).arg("--control").arg(control.path());
    command.arg("--state").arg(dir.join("state"));
    if over {
        command.arg("--take-over");
    }
    // A Ctrl-C for the agent is none for what carries connections.
    command.process_group(0).current_dir("/").env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut child = command.spawn().map_err(|e| {
        vec![format!("starting {}: {e}; it belongs beside cmdr-agentd", program.display())]
    })?;
    let begun = Instant::now();
    let own = child.id();
    loop {
        if let Ok(Some(_)) = child.try_wait() {
            return Err(said(&log_path, was));
        }
        if let There::Process { pid, .. } = control.there().await
            && own == Some(pid)
        {
            break;
        }
        if begun.elapsed() > UP {
            child.start_kill().ok();
            return Err(vec!["the gateway's program does not come up".to_owned()]);
        }
        tokio::time::sleep(ASK).await;
    }
    // Reaped when it ends, if this agent is still there then.
    tokio::spawn(async move { child.wait().await });
    Ok(())
}

fn log_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).append(true).mode(0o600);
    let file = options.open(path)?;
    if file.metadata()?.len() > LOG {
        file.set_len(0)?;
    }
    Ok(file)
}

/// What a program that ended at once wrote.
fn said(log: &Path, from: u64) -> Wrong {
    let bytes = std::fs::read(log).unwrap_or_default();
    let new = bytes.get(usize::try_from(from).unwrap_or(usize::MAX)..).unwrap_or(&bytes);
    let text = String::from_utf8_lossy(new);
    let clean = |line: &str| {
        let line = line.trim().trim_start_matches("cmdr-gateway: ");
        cmdr_protocol::display::clean_to_width(line, 300)
    };
    let lines: Wrong = text
        .lines()
        .map(clean)
        .filter(|line| !line.is_empty() && !line.starts_with("the configuration does not go"))
        .collect();
    if lines.is_empty() { vec!["the gateway's program ended at once".to_owned()] } else { lines }
}

/// Whether a process runs another file than lies at `program` now; false where that cannot be known.
pub(super) fn is_other(pid: u32, program: &Path) -> bool {
    let place = |about: Metadata| (about.dev(), about.ino());
    let runs = std::fs::metadata(format!("/proc/{pid}/exe")).map(place);
    let lies = std::fs::metadata(program).map(place);
    matches!((runs, lies), (Ok(runs), Ok(lies)) if runs != lies)
}
