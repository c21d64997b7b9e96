//! `check`, `backup` and `restore`: what looks after a hub's data folder.

use super::{Done, ask, print, say};
use crate::data;
use crate::local::{self, Local};
use anyhow::Context as _;
use cmdr_link::files::Partial;
use cmdr_protocol::hub::{self as hub_api, Checked};
use cmdr_protocol::human::count;
use std::path::Path;

pub(super) async fn check(dir: &Path) -> anyhow::Result<Done> {
    require(dir)?;
    let local = local::reach(dir, "").await?;
    let checked: Checked = match (ask(&local, &hub_api::Check {}).await, &local) {
        (Some(answer), _) => answer?,
        (None, Local::Stopped(hub, _)) => hub.check().await?,
        (None, Local::Running(_)) => anyhow::bail!("the hub did not answer"),
    };
    for damage in &checked.damage {
        print(&format!("{damage}\n"))?;
    }
    let records = count(checked.records as u64, "record");
    print(&format!("{records} read, {} damaged\n", checked.damage.len()))?;
    Ok(if checked.damage.is_empty() { Done::Well } else { Done::Damaged })
}

/// Looking after a folder must not make one.
pub(super) fn require(dir: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        data::key_path(dir).exists(),
        "{} is no data folder of a hub: it has no hub.key",
        dir.display()
    );
    Ok(())
}

pub(super) async fn backup_to(dir: &Path, file: &Path) -> anyhow::Result<Done> {
    require(dir)?;
    anyhow::ensure!(
        !file.exists(),
        "{} exists already; a backup never overwrites one",
        file.display()
    );
    let local = local::reach(dir, "").await?;
    let mut out = Partial::create(file).with_context(|| format!("writing {}", file.display()))?;
    match &local {
        Local::Stopped(hub, _) => {
            let mut export = hub.export()?;
            while let Some(text) = export.piece()? {
                out.write(text.as_bytes())?;
            }
        }
        Local::Running(client) => {
            let mut feed = client.feed(None, &hub_api::Backup {}).await?;
            while let Some(piece) = feed.next().await {
                out.write(&piece?.data)?;
            }
        }
    }
    out.finish()?;
    say(&format!(
        "{} written. The hub's key is not in it; keep {} apart, without it no agent will trust a restored hub. Nor is the master key of the sealed secrets ({} unless [secrets] says otherwise): without it they do not open.",
        file.display(),
        data::key_path(dir).display(),
        dir.join("secrets.key").display()
    ));
    Ok(Done::Well)
}
