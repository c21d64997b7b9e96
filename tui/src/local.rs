//! `--local`: has `cmdr up --detach` bring up a private hub and this machine's agent.

use anyhow::{Context as _, bail};
use cmdr_protocol::display::clean;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The `cmdr` beside this program, so that both are of one release; else the one in the path.
fn sibling() -> PathBuf {
    std::env::current_exe()
        .ok()
        .map(|own| own.with_file_name("cmdr"))
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from("cmdr"))
}

/// Runs it to its end. What it printed is told only when it fails.
pub fn bring_up() -> anyhow::Result<()> {
    let program = sibling();
    let output = Command::new(&program)
        .args(["up", "--detach"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {} up --detach", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    let said: Vec<_> = said.lines().map(clean).collect();
    bail!("{} up --detach failed ({})\n{}", program.display(), output.status, said.join("\n"))
}
