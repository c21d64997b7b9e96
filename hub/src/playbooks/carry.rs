//! Carries what a playbook wants done to its host, and what comes of it back: one program for each connection, asked
//! of the agent like any other, for whoever began the run.

use super::frames;
use crate::server::Hub;
use cmdr_link::{Client, Link};
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::exec::{self, Exit, Input, Item, Outcome};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use serde::Deserialize;
use serde_json::json;
use std::io;
use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

/// How long it is waited before a link is looked for again.
const AGAIN: Duration = Duration::from_millis(250);

/// What a program may write: to its playbook's memory, and into a file that is fetched, which can be no longer there.
const MEMORY: u64 = 64 << 20;
const FILE: u64 = super::cage::FILE;

/// Whether the step still goes on and whoever began it still may.
pub(crate) type May = Box<dyn Fn(&Hub) -> Result<(), String> + Send + Sync>;

/// The way to one host, for as long as one step goes on.
pub(crate) struct Carrier {
    pub(crate) hub: Weak<Hub>,
    pub(crate) host: HostId,
    /// For whom.
    pub(crate) caller: Option<Caller>,
    /// Asked before each program.
    pub(crate) may: May,
    /// How long a link that is down is waited for before a program is begun.
    pub(crate) patience: Duration,
    /// The link broke under a program: nobody knows what that has done.
    pub(crate) cut: AtomicBool,
    /// Programs that were begun.
    pub(crate) programs: AtomicU64,
}

/// What a connection asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    argv: Vec<String>,
    #[serde(default)]
    user: Option<String>,
    /// What it writes to its standard output goes to a file.
    #[serde(default)]
    file: bool,
}

/// How much of a program's output there was.
struct Written {
    file: bool,
    stdout: u64,
    stderr: u64,
}

impl Written {
    /// An error when it is too much with this.
    fn add(&mut self, item: &Item) -> Result<(), Failed> {
        self.stdout += item.stdout.len() as u64;
        self.stderr += item.stderr.len() as u64;
        let (held, most) = if self.file {
            (self.stdout.max(self.stderr.saturating_mul(FILE / MEMORY)), FILE)
        } else {
            (self.stdout + self.stderr, MEMORY)
        };
        if held <= most {
            return Ok(());
        }
        Err(Failed::plain(format!(
            "the program was ended: it wrote more than {} MiB, which is more than a playbook takes; write to a file on the host instead",
            most >> 20
        )))
    }
}

/// Why a program was not run, or how it ended is not known.
struct Failed {
    why: String,
    /// It is the link, not the program.
    lost: bool,
}

impl Failed {
    const fn plain(why: String) -> Self {
        Self { why, lost: false }
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        let lost = is_cut(error.kind);
        Self { why: error.message, lost }
    }
}

const fn is_cut(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Lost | ErrorKind::Unreachable)
}

impl Carrier {
    /// Serves one connection to its end.
    pub(super) async fn serve(&self, stream: UnixStream) {
        let (mut reader, mut writer) = stream.into_split();
        let run = match frames::read(&mut reader).await {
            Ok(Some((frames::RUN, text))) => serde_json::from_slice::<Run>(&text),
            // It was given up before anything was asked.
            _ => return,
        };
        let carried = match run {
            Ok(run) => self.carry(run, reader, &mut writer).await,
            Err(e) => Err(Failed::plain(format!("the request is not understood: {e}"))),
        };
        let (kind, text) = match carried {
            Ok(Some(exit)) => (frames::EXIT, json!({ "code": code(exit) })),
            // Whoever asked has gone.
            Ok(None) => return,
            Err(Failed { why, lost }) => (frames::FAILED, json!({ "why": why, "lost": lost })),
        };
        // The other side may have ended meanwhile; then nobody needs it.
        frames::write(&mut writer, kind, text.to_string().as_bytes()).await.ok();
    }

    /// Runs one program; nothing when whoever asked for it has gone.
    async fn carry(
        &self,
        run: Run,
        mut reader: OwnedReadHalf,
        writer: &mut OwnedWriteHalf,
    ) -> Result<Option<Exit>, Failed> {
        let mut written = Written { file: run.file, stdout: 0, stderr: 0 };
        let start =
            exec::Start { argv: run.argv, user: run.user, stdin: true, ..exec::Start::default() };
        let link = self.link().await?;
        self.programs.fetch_add(1, Ordering::Relaxed);
        let client = Client::new(link);
        let feed = client.feed_for(self.caller.as_ref(), Some(self.host), &start).await;
        let (mut items, mut inputs) = feed.map_err(|e| self.noted(e))?.split();
        let sending = async {
            loop {
                let input = match frames::read(&mut reader).await {
                    Ok(Some((frames::INPUT, data))) => Input { data, ..Input::default() },
                    Ok(Some((frames::INPUT_ENDS, _))) => Input { eof: true, ..Input::default() },
                    _ => return,
                };
                if inputs.send(&input).await.is_err() {
                    // It has ended, or its link has: the items tell.
                    return std::future::pending().await;
                }
            }
        };
        let receiving = async {
            while let Some(item) = items.next().await {
                let item = item.map_err(|e| self.noted(e))?;
                written.add(&item)?;
                if tell(writer, &item).await.is_err() {
                    return Ok(None);
                }
                if let Some(exit) = item.exit {
                    return Ok(Some(exit));
                }
            }
            Err(self.noted(CallError::lost("the host did not tell how it ended")))
        };
        tokio::select! {
            biased;
            ended = receiving => ended,
            () = sending => Ok(None),
        }
    }

    /// The host's link, which may be on its way back.
    async fn link(&self) -> Result<Link, Failed> {
        let until = Instant::now() + self.patience;
        loop {
            let hub = self.hub.upgrade();
            let hub = hub.ok_or_else(|| Failed::plain("the hub is stopping".to_owned()))?;
            (self.may)(&hub).map_err(Failed::plain)?;
            match hub.fleet.link(self.host) {
                Ok(link) => return Ok(link),
                Err(e) if e.kind == ErrorKind::Unreachable && Instant::now() < until => {}
                // A task is several programs: it may be half done.
                Err(e) => return Err(self.noted(e)),
            }
            drop(hub);
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn noted(&self, error: CallError) -> Failed {
        if is_cut(error.kind) {
            self.cut.store(true, Ordering::Relaxed);
        }
        error.into()
    }
}

async fn tell(writer: &mut OwnedWriteHalf, item: &Item) -> io::Result<()> {
    if !item.stdout.is_empty() {
        frames::write(writer, frames::STDOUT, &item.stdout).await?;
    }
    if !item.stderr.is_empty() {
        frames::write(writer, frames::STDERR, &item.stderr).await?;
    }
    Ok(())
}

/// As shells have it.
const fn code(exit: Exit) -> i32 {
    match exit.outcome {
        Outcome::Exited => exit.code,
        _ => 128_i32.saturating_add(exit.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_writes_so_much_to_memory_and_more_to_a_file() {
        let written = |file, stdout: u64, stderr: u64| {
            let mut written = Written { file, stdout: stdout - 1, stderr };
            written.add(&Item { stdout: vec![0], ..Item::default() })
        };
        assert!(written(false, MEMORY - 1, 1).is_ok());
        let why = written(false, MEMORY, 1).unwrap_err().why;
        assert!(why.contains("more than 64 MiB"), "{why}");
        assert!(written(true, FILE, MEMORY).is_ok());
        assert!(written(true, FILE + 1, 0).is_err() && written(true, 1, MEMORY + 1).is_err());
    }
}
