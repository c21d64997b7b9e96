//! What this host is. The hub asks after each link comes up; operators may ask at any time.

mod docker;
mod linux;

use crate::{Agent, Config, VERSION};
use cmdr_link::service::{Asked, Service};
use cmdr_protocol::CallError;
use cmdr_protocol::facts::{Disk, Facts, Get};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Facts this young are good enough; many who ask at once cost one look.
const FRESH: Duration = Duration::from_secs(5);
/// What may hang (file systems, an engine, a program) is waited for so long.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(get)
}

async fn get(agent: Arc<Agent>, _: Asked, _: Get) -> Result<Facts, CallError> {
    let mut known = agent.facts().lock().await;
    if let Some((at, facts)) = known.as_ref()
        && at.elapsed() < FRESH
    {
        return Ok(facts.clone());
    }
    let facts = collect(agent.config()).await;
    *known = Some((Instant::now(), facts.clone()));
    Ok(facts)
}

/// All facts.
pub async fn collect(config: &Config) -> Facts {
    let (disks, docker, utc_offset_s) = tokio::join!(
        disks(),
        timeout(PATIENCE, docker::version(&config.docker_socket)),
        timeout(PATIENCE, utc_offset()),
    );
    Facts {
        disks,
        docker: docker.ok().flatten(),
        utc_offset_s: utc_offset_s.ok().flatten().unwrap_or(0),
        ..basics(config)
    }
}

/// The facts that only take reading a few small files.
pub fn basics(config: &Config) -> Facts {
    let mut facts = Facts { agent: VERSION.to_owned(), ..Facts::default() };
    linux::fill(&mut facts, config);
    facts
}

/// Mounted file systems. Asked on another thread, because one whose server is away may hang.
async fn disks() -> Vec<Disk> {
    let looked = tokio::task::spawn_blocking(|| {
        let disks = sysinfo::Disks::new_with_refreshed_list().ok()?;
        let mut disks: Vec<Disk> = disks
            .iter()
            .filter(|disk| disk.total_space() > 0)
            .take(128)
            .map(|disk| Disk {
                device: disk.name().to_string_lossy().into_owned(),
                mount: disk.mount_point().to_string_lossy().into_owned(),
                kind: disk.file_system().to_string_lossy().into_owned(),
                total: disk.total_space(),
                free: disk.available_space(),
            })
            .collect();
        disks.sort_by(|a, b| a.mount.cmp(&b.mount));
        Some(disks)
    });
    if let Ok(Ok(Some(disks))) = timeout(PATIENCE, looked).await {
        return disks;
    }
    tracing::warn!("the list of file systems was not ready within {} s", PATIENCE.as_secs());
    Vec::new()
}

/// The host's time zone as `date` has it: what a zone file says today takes more than its format.
async fn utc_offset() -> Option<i32> {
    let output = tokio::process::Command::new("date")
        .arg("+%z")
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    parse_offset(&output.stdout)
}

fn parse_offset(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text.trim_ascii().split_first()? {
        (b'+', digits) => (1, digits),
        (b'-', digits) => (-1, digits),
        _ => return None,
    };
    if digits.len() != 4 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n = |i: usize| i32::from(digits[i] - b'0');
    Some(sign * ((n(0) * 10 + n(1)) * 3600 + (n(2) * 10 + n(3)) * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_zone_offset_is_read_with_its_sign() {
        assert_eq!(parse_offset(b"+0530\n"), Some(19_800));
        assert_eq!(parse_offset(b"-0330"), Some(-12_600));
        assert_eq!(parse_offset(b"CET"), None);
        assert_eq!(parse_offset(b""), None);
    }

    #[tokio::test]
    async fn this_machine_tells_what_it_is() {
        let facts = collect(&Config::new("/nonexistent".into())).await;
        assert!(!facts.hostname.is_empty() && !facts.kernel.is_empty() && !facts.arch.is_empty());
        assert!(facts.cores > 0 && facts.memory > 0 && facts.booted_at_ms > 0, "{facts:?}");
    }
}
