//! `cmdr-hub restore`: everything is checked before anything is written, and a failure leaves the
//! place as it was found.

use super::{Done, say};
use crate::backup::{self, recordings};
use crate::config::Config;
use crate::data::{self, DataDir};
use crate::records::recording_id;
use crate::vault::{Vault, master::Source};
use crate::{audit, history, recording, store::Store};
use anyhow::{Context as _, ensure};
use cmdr_link::hubkeys::HubKeys;
use cmdr_protocol::human::count;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What to restore from.
#[derive(Clone, Copy, Debug)]
pub(super) struct From<'a> {
    /// The backup.
    pub(super) file: &'a Path,
    /// The hub's key file.
    pub(super) key: Option<&'a Path>,
    /// The folder of recordings.
    pub(super) recordings: Option<&'a Path>,
    /// The folder of the history.
    pub(super) history: Option<&'a Path>,
}

pub(super) async fn run(dir: &Path, config: &Config, from: From<'_>) -> anyhow::Result<Done> {
    let From { file, key, recordings: copies, history: figures } = from;
    let source =
        Source::of(&config.secrets, dir).map_err(|e| super::Misconfigured(e.to_string()))?;
    std::fs::File::open(file).with_context(|| format!("reading {}", file.display()))?;
    let place = data::key_path(dir);
    ensure!(
        key.is_none() || !place.exists(),
        "{} is there already; leave --key out",
        place.display()
    );
    ensure!(
        key.is_some() || place.exists(),
        "{} has no key yet; give the hub's key file with --key",
        dir.display()
    );
    let keys = HubKeys::load(key.unwrap_or(&place))?;
    let records = backup::read(keys.sealing(), file)?;
    let recorded: BTreeSet<u64> = records.iter().filter_map(|(key, _)| recording_id(key)).collect();
    drop(records);
    let here = recording::folder(&audit::folder(dir));
    ensure!(
        recordings::names(&here).with_context(|| format!("reading {}", here.display()))?.is_empty(),
        "there are recordings already; restore into a fresh data folder"
    );
    let ready = match copies {
        Some(copies) => Some((copies, recordings::ready(copies, keys.sealing(), &recorded)?)),
        None => None,
    };
    let old = history::folder(&audit::folder(dir));
    ensure!(
        figures.is_none()
            || !backup::history::is_there(&old)
                .with_context(|| format!("reading {}", old.display()))?,
        "there is a history already; restore into a fresh data folder, or without --history"
    );
    let figures = match figures {
        Some(figures) => Some((figures, backup::history::ready(figures, keys.sealing())?)),
        None => None,
    };

    let mut undo = Undo::default();
    undo.folders(dir);
    undo.files.push(dir.join("lock"));
    undo.files.extend(key.is_some().then(|| place.clone()));
    undo.inner = vec![dir.join("store"), audit::folder(dir), here.clone(), old.clone()];
    undo.inner.retain(|folder| !folder.exists());
    undo.files.retain(|file| !file.exists());
    let data = DataDir::open(dir)?;
    let store = Store::open(&data.store())?;
    // Looks whether the store is empty before it writes.
    let records = backup::restore(&store, &audit::folder(dir), keys.sealing(), file).await?;
    if let Some((copies, ready)) = &ready {
        recordings::restore(copies, &here, ready)?;
    }
    if let Some((figures, ready)) = &figures {
        backup::history::restore(figures, &old, ready)?;
    }
    // Last: a folder with a key is one that a hub starts in.
    if key.is_some() {
        keys.save(&place)?;
    }
    undo.done();
    // Told and not refused: the rest is of use without it, and the key may be brought later.
    if let Err(e) = Vault::fits(&store, &source).await {
        say(&format!("The hub will not start yet: {e}"));
    }
    let without = match &ready {
        Some((_, ready)) => ready.missing.len(),
        None => recorded.len(),
    };
    if without > 0 {
        say(&format!(
            "{} of {} restored without the file: the list has them, and nothing can be played. {}",
            without,
            count(recorded.len() as u64, "recording"),
            if copies.is_some() {
                "The folder did not have them."
            } else {
                "--recordings DIR brings files back that backup --recordings has copied."
            }
        ));
    }
    say(&format!("{} restored into {}", count(records as u64, "record"), dir.display()));
    Ok(Done::Well)
}

/// What was not there before; it goes again unless all went well.
#[derive(Debug, Default)]
struct Undo {
    files: Vec<PathBuf>,
    /// Of the data folder: the store, the audit log.
    inner: Vec<PathBuf>,
    /// Innermost first.
    folders: Vec<PathBuf>,
}

impl Undo {
    fn folders(&mut self, dir: &Path) {
        let missing = dir.ancestors().take_while(|d| !d.as_os_str().is_empty() && !d.exists());
        self.folders = missing.map(Path::to_owned).collect();
    }

    fn done(mut self) {
        self.files.clear();
        self.inner.clear();
        self.folders.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        // What was never made needs no removing; a folder that somebody else uses meanwhile stays.
        for file in &self.files {
            std::fs::remove_file(file).ok();
        }
        for folder in &self.inner {
            std::fs::remove_dir_all(folder).ok();
        }
        for folder in &self.folders {
            std::fs::remove_dir(folder).ok();
        }
    }
}
