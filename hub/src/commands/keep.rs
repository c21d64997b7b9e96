//! `check`, `backup` and `restore`: what looks after a hub's data folder.

use super::{Done, ask, print, say};
use crate::backup::{self, recordings};
use crate::local::{self, Local};
use crate::{audit, data, history, recording};
use anyhow::Context as _;
use cmdr_link::Client;
use cmdr_link::files::Partial;
use cmdr_link::hubkeys::HubKeys;
use cmdr_protocol::hub::{self as hub_api, Checked};
use cmdr_protocol::human::count;
use cmdr_protocol::recordings::Verify;
use std::path::Path;

pub(super) async fn check(dir: &Path, recordings: bool) -> anyhow::Result<Done> {
    require(dir)?;
    let local = local::reach(dir, "").await?;
    let checked: Checked = match (ask(&local, &hub_api::Check {}).await, &local) {
        (Some(answer), _) => answer?,
        (None, Local::Stopped(hub, _)) => hub.check().await?,
        (None, Local::Running(_)) => anyhow::bail!("the hub did not answer"),
    };
    let mut damage = checked.damage;
    let mut read = count(checked.records as u64, "record");
    if recordings {
        let (files, wrong) = match &local {
            Local::Running(client) => prove(client).await?,
            Local::Stopped(hub, _) => hub.recorder.files(),
        };
        read.push_str(" and ");
        read.push_str(&count(files, "recording"));
        damage.extend(wrong);
    }
    for damage in &damage {
        print(&format!("{damage}\n"))?;
    }
    print(&format!("{read} read, {} damaged\n", damage.len()))?;
    if !recordings {
        say("Recordings were not read: check --recordings does.");
    }
    Ok(if damage.is_empty() { Done::Well } else { Done::Damaged })
}

/// Has the running hub read every recording: how many, and what is wrong.
async fn prove(client: &Client) -> anyhow::Result<(u64, Vec<String>)> {
    let (mut files, mut damage) = (0, Vec::new());
    let mut feed = client.feed(None, &Verify::default()).await?;
    while let Some(verified) = feed.next().await {
        let verified = verified?;
        files += 1;
        if !verified.broken.is_empty() {
            let what = format!("recording {}: {}", verified.id, verified.broken);
            damage.push(cmdr_protocol::display::clean_to_width(&what, 300));
        }
    }
    Ok((files, damage))
}

/// Looks at a folder of copies; the hub of `dir` may run meanwhile.
pub(super) fn check_copies(dir: &Path, copies: &Path) -> anyhow::Result<Done> {
    require(dir)?;
    let keys = HubKeys::load(&data::key_path(dir))?;
    let is_history = backup::history::is_copy(copies, keys.sealing());
    let looked = if is_history {
        backup::history::check(copies, keys.sealing())?
    } else {
        recordings::check(copies, keys.sealing())?
    };
    for damage in &looked.damage {
        print(&format!("{damage}\n"))?;
    }
    let read = count(looked.files, if is_history { "file" } else { "recording" });
    print(&format!("{read} read, {} damaged\n", looked.damage.len()))?;
    Ok(if looked.damage.is_empty() { Done::Well } else { Done::Damaged })
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

pub(super) async fn backup_to(
    dir: &Path,
    file: &Path,
    copies: Option<&Path>,
    figures: Option<&Path>,
) -> anyhow::Result<Done> {
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
    // After the records, so that the folder is not behind them.
    let here = recording::folder(&audit::folder(dir));
    let told = match copies {
        Some(to) => {
            let keys = HubKeys::load(&data::key_path(dir))?;
            let copied = recordings::copy(&here, to, keys.sealing())?;
            format!(
                "{} ({} bytes) copied into {}, which had {} already.",
                count(copied.files, "recording"),
                copied.bytes,
                to.display(),
                copied.kept
            )
        }
        None => match recordings::names(&here)?.len() {
            0 => String::new(),
            files => format!(
                "The files of {} are not in it: backup --recordings DIR copies those that DIR lacks.",
                count(files as u64, "recording")
            ),
        },
    };
    let of_history = copy_history(dir, figures)?;
    out.finish()?;
    for told in [told, of_history].iter().filter(|told| !told.is_empty()) {
        say(told);
    }
    say(&format!(
        "{} written. The hub's key is not in it; keep {} apart, without it no agent will trust a restored hub. Nor is the master key of the sealed secrets ({} unless [secrets] says otherwise): without it they do not open.",
        file.display(),
        data::key_path(dir).display(),
        dir.join("secrets.key").display()
    ));
    Ok(Done::Well)
}

/// Copies the history, where that is wanted; what there is to say of it.
fn copy_history(dir: &Path, to: Option<&Path>) -> anyhow::Result<String> {
    let here = history::folder(&audit::folder(dir));
    let Some(to) = to else {
        return Ok(if backup::history::is_there(&here)? {
            "The history of figures is not in it: backup --history DIR copies it.".into()
        } else {
            String::new()
        });
    };
    let keys = HubKeys::load(&data::key_path(dir))?;
    let copied = backup::history::copy(&here, to, keys.sealing())?;
    Ok(format!(
        "{} of the history ({} bytes) copied into {}, which had {} already.",
        count(copied.files, "file"),
        copied.bytes,
        to.display(),
        copied.kept
    ))
}
