//! `cmdr-hub audit`: proves and exports the log of a data folder, whether its hub runs or not.

use super::{Done, print, say};
use crate::audit;
use crate::data::{self, DataDir, InUse};
use crate::local;
use crate::store::Store;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use cmdr_link::hubkeys::HubKeys;
use cmdr_protocol::audit::{Verified, Verify, Watch};
use cmdr_protocol::human::count;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cmdr-hub audit verify
  cmdr-hub --data /srv/copy audit export audit.jsonl")]
pub(super) struct Audit {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Walk the whole log and prove it: 0 when it is whole, 1 with the first broken record
    Verify,
    /// Write all records into a new file, one JSON object a line, oldest first
    Export {
        /// The file; must not exist yet
        file: PathBuf,
    },
}

/// A verification may read gigabytes.
const PATIENCE: Duration = Duration::from_mins(10);

pub(super) async fn run(dir: &Path, args: Audit) -> anyhow::Result<Done> {
    super::keep::require(dir)?;
    match args.verb {
        Verb::Verify => verify(dir).await,
        Verb::Export { file } => export(dir, &file).await,
    }
}

async fn verify(dir: &Path) -> anyhow::Result<Done> {
    let verified: Verified = match DataDir::open(dir) {
        // Not opened for writing: what is there is judged as it is.
        Ok(data) => {
            let keys = HubKeys::load(&data::key_path(dir))?;
            let store = Store::open(&data.store())?;
            audit::verify::verify_stopped(&audit::folder(dir), keys.sealing(), &store)
                .context("reading the audit log")?
        }
        Err(e) if e.is::<InUse>() => {
            local::connect(dir).await?.call(None, &Verify {}, PATIENCE).await?
        }
        Err(e) => return Err(e),
    };
    print(&format!("{}\n", verified.told()))?;
    if verified.torn > 0 {
        say(&format!(
            "{} of an unfinished record are behind it, as a crash leaves them; the next start cuts them off",
            count(verified.torn, "byte")
        ));
    }
    Ok(if verified.broken.is_none() { Done::Well } else { Done::Damaged })
}

async fn export(dir: &Path, path: &Path) -> anyhow::Result<Done> {
    let writing = || format!("writing {}", path.display());
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path).with_context(writing)?;
    let mut out = std::io::BufWriter::new(file);
    let mut records = 0;
    let mut write = |batch: Vec<cmdr_protocol::audit::Record>| -> anyhow::Result<()> {
        for record in batch {
            serde_json::to_writer(&mut out, &record).with_context(writing)?;
            out.write_all(b"\n").with_context(writing)?;
            records += 1;
        }
        Ok(())
    };
    match local::reach(dir, "").await? {
        local::Local::Stopped(hub, _) => {
            let (mut tail, last) = (hub.audit.follow(Some(0)), hub.audit.point().seq);
            while tail.seq() < last {
                write(tail.read().await.context("reading the audit log")?)?;
            }
        }
        local::Local::Running(client) => {
            let watch = Watch { after: Some(0), once: true, ..Watch::default() };
            let mut feed = client.feed(None, &watch).await?;
            while let Some(items) = feed.next().await {
                write(items?.records)?;
            }
        }
    }
    out.into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .and_then(|f| f.sync_all())
        .with_context(writing)?;
    say(&format!("{}: {}", path.display(), count(records, "record")));
    Ok(Done::Well)
}
