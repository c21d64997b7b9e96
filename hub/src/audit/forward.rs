//! Sends the log on to where the hub's own machine cannot change it: syslog, a webhook. Started by the
//! hub when it serves.
//!
//! Each sink has a thread of its own that reads the log's files from where it stopped, so the hub never
//! waits for one. How far it has come is kept beside the log and moves only when the sink has taken what
//! it was sent; what was on its way in a crash is sent twice, and its number says so.

pub mod syslog;
pub mod webhook;

use super::Audit;
use super::read::Tail;
use crate::config;
use anyhow::Context as _;
use cmdr_link::backoff::Backoff;
use cmdr_link::files;
use cmdr_protocol::audit::Record;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pauses between tries grow to this.
const LONGEST: Duration = Duration::from_mins(1);
/// A pause is given up so soon after the log was closed.
const LOOK: Duration = Duration::from_millis(500);

/// The sinks there may be.
const SINKS: [&str; 2] = ["syslog", "webhook"];

/// Whether a sink is called so.
pub fn is_sink(name: &str) -> bool {
    SINKS.contains(&name)
}

fn cursor(dir: &Path, sink: &str) -> PathBuf {
    dir.join(format!("{sink}.cursor"))
}

/// How far a sink has come, if there was one of this name.
fn reached(dir: &Path, sink: &str) -> anyhow::Result<Option<u64>> {
    let cursor = cursor(dir, sink);
    match files::read_private(&cursor, 64) {
        Ok(text) => std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .map(Some)
            .with_context(|| {
                format!("{} holds no number; remove it to send all that is kept", cursor.display())
            }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("reading {}", cursor.display())),
    }
}

/// How far each sink has come that the log in this folder was ever sent to.
pub fn cursors(dir: &Path) -> anyhow::Result<Vec<(String, u64)>> {
    let mut all = Vec::new();
    for sink in SINKS {
        all.extend(reached(dir, sink)?.map(|seq| (sink.to_owned(), seq)));
    }
    Ok(all)
}

/// Keeps how far a sink has come.
pub fn keep(dir: &Path, sink: &str, seq: u64) -> std::io::Result<()> {
    files::write_private(&cursor(dir, sink), seq.to_string().as_bytes())
}

/// Takes records, all of them or an error. May block: it has its own thread.
pub(crate) trait Sink: Send {
    fn send(&mut self, records: &[Record]) -> Result<(), String>;
}

/// Starts what the configuration names. What is wrong with it is said before the hub serves.
pub fn start(audit: &Audit, config: &config::Audit) -> anyhow::Result<()> {
    if let Some(to) = &config.syslog {
        spawn(audit, "syslog", Box::new(syslog::Syslog::new(to.to.clone())))?;
    }
    if let Some(to) = &config.webhook {
        spawn(audit, "webhook", Box::new(webhook::Webhook::new(to)?))?;
    }
    Ok(())
}

fn spawn(audit: &Audit, name: &'static str, sink: Box<dyn Sink>) -> anyhow::Result<()> {
    // A new sink gets all that is kept.
    let after = reached(audit.dir(), name)?.unwrap_or(0);
    let forwarder =
        Forwarder { name, dir: audit.dir().to_owned(), tail: audit.follow(Some(after)), sink };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .context("starting the runtime of a sink")?;
    std::thread::Builder::new()
        .name(format!("audit-{name}"))
        .spawn(move || runtime.block_on(forwarder.run()))
        .context("starting the thread of a sink")?;
    Ok(())
}

struct Forwarder {
    name: &'static str,
    dir: PathBuf,
    tail: Tail,
    sink: Box<dyn Sink>,
}

impl Forwarder {
    async fn run(mut self) {
        let mut backoff = Backoff::new(LONGEST);
        while self.tail.wait().await {
            let records = match self.tail.read().await {
                Ok(records) => records,
                Err(e) => {
                    tracing::error!(sink = self.name, "the audit log cannot be read on: {e}");
                    if !self.pause(backoff.next_wait()).await {
                        return;
                    }
                    continue;
                }
            };
            let missed = self.tail.take_missed();
            if missed > 0 {
                tracing::error!(
                    sink = self.name,
                    missed,
                    "audit records were removed by retention before they could be sent"
                );
            }
            let mut failed = false;
            while let Err(why) = self.sink.send(&records) {
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!(sink = self.name, "the audit log waits to be sent: {why}");
                }
                if !self.pause(backoff.next_wait()).await {
                    return;
                }
            }
            if failed {
                tracing::info!(sink = self.name, "the audit log is sent again");
            }
            backoff = Backoff::new(LONGEST);
            if let Err(e) = keep(&self.dir, self.name, self.tail.seq()) {
                // They will be sent again after a restart.
                let cursor = cursor(&self.dir, self.name);
                tracing::warn!(sink = self.name, "writing {}: {e}", cursor.display());
            }
        }
    }

    /// Waits; false when the log is closed.
    async fn pause(&self, mut left: Duration) -> bool {
        while !left.is_zero() {
            if self.tail.is_closed() {
                return false;
            }
            let step = left.min(LOOK);
            tokio::time::sleep(step).await;
            left -= step;
        }
        true
    }
}

/// A record as one line of JSON, without the line's end. Line ends in names are escaped in it.
pub(crate) fn line(record: &Record) -> Result<String, String> {
    serde_json::to_string(record).map_err(|e| e.to_string())
}
