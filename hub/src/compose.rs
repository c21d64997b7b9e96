//! Compose projects: files that hosts bring up, kept in versions on a shelf with the hosts that they are for, and their
//! variables, which are sealed by the vault. `services/compose.rs` answers with them.

use crate::records::{SealedRecord, ShelfRecord, prefix};
use crate::server::Hub;
use crate::shelf::{Item, Shelf, Sort};
use crate::store::{Store, StoreError};
use crate::vault::keepers::{Keeper, Sealed, check_records, reseal_records};
use cmdr_protocol::CallError;
use cmdr_protocol::compose::kept::{Kept, Save, Shown};
use cmdr_protocol::compose::{MAX_TEXT, MAX_VARIABLES, check_project};
use cmdr_protocol::runbooks::{MAX_NOTE, Saved, Version};
use cmdr_protocol::selector::Selector;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Where they stand.
const SORT: Sort = Sort {
    prefix: prefix::COMPOSE,
    texts: prefix::COMPOSE_TEXT,
    signatures: None,
    sealed: Some(prefix::COMPOSE_VARIABLES),
    what: "compose project",
    verb: "docker compose",
};

/// Their variables.
pub(crate) const KEEPER: Keeper = Keeper {
    what: "variables of compose projects",
    reseal: |hub| Box::pin(reseal_records(hub, prefix::COMPOSE_VARIABLES, sealed)),
    check: |hub| check_records(hub, prefix::COMPOSE_VARIABLES, sealed),
};

fn sealed(record: &mut SealedRecord) -> Sealed<'_> {
    vec![(context(&record.name), &mut record.sealed)]
}

/// What variables are sealed for.
fn context(name: &str) -> String {
    format!("compose/{name}")
}

/// What a version is, as its text on the shelf.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Written {
    /// The hosts that it is for, as a selector.
    hosts: String,
    /// The names of its variables.
    variables: Vec<String>,
    /// The compose file.
    file: String,
}

/// One version with all that a host needs of it.
pub struct Whole {
    /// All about it.
    pub about: Version,
    /// The compose file.
    pub file: String,
    /// Its variables.
    pub variables: Zeroizing<String>,
}

/// All compose projects.
#[derive(Debug)]
pub struct Compose {
    shelf: Shelf,
    /// One is saved after the other: what is kept from the version before is still that of the newest.
    saving: tokio::sync::Mutex<()>,
}

/// The names before `=`, in order, each once.
fn names(variables: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let name = line.split_once('=').map(|(name, _)| name.trim())?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
    };
    let mut all: Vec<String> = variables.lines().filter_map(name).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn read(text: &str) -> Result<Written, CallError> {
    serde_json::from_str(text)
        .map_err(|e| CallError::failed(format!("a kept compose project cannot be read: {e}")))
}

fn check(save: &Save) -> Result<(), CallError> {
    check_project(&save.name).map_err(CallError::malformed)?;
    if save.text.trim().is_empty() {
        return Err(CallError::malformed("the compose file is empty"));
    }
    let variables = save.variables.as_deref().unwrap_or_default();
    for (text, most, what) in [
        (save.text.as_str(), MAX_TEXT, "a compose file"),
        (variables, MAX_VARIABLES, "a file of variables"),
    ] {
        if text.len() > most || text.contains('\0') {
            return Err(CallError::malformed(format!(
                "{what} is text of at most {} KiB",
                most / 1024
            )));
        }
    }
    let hosts = save.hosts.as_deref().unwrap_or_default();
    if hosts.len() > MAX_NOTE || hosts.contains(char::is_control) {
        return Err(CallError::malformed(format!(
            "the selector of a project is one line of at most {MAX_NOTE} bytes"
        )));
    }
    if !hosts.is_empty() {
        Selector::parse(hosts).map_err(|e| CallError::malformed(e.to_string()))?;
    }
    Ok(())
}

/// Its row in lists; the description of the newest version on the shelf is its selector.
fn row(record: &ShelfRecord) -> Kept {
    let newest = record.versions.last().cloned().unwrap_or_default();
    Kept {
        name: record.name.clone(),
        version: newest.version,
        hosts: record.description.clone(),
        saved_ms: newest.saved_ms,
        saved_by: newest.saved_by,
        note: newest.note,
    }
}

impl Compose {
    /// Reads what is kept.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        Ok(Self { shelf: Shelf::load(store, SORT)?, saving: tokio::sync::Mutex::default() })
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Kept> {
        self.shelf.held().values().map(row).collect()
    }

    /// One with its file.
    pub fn show(&self, name: &str, version: Option<u64>) -> Result<Shown, CallError> {
        let (about, text) = self.shelf.text(name, version)?;
        let Written { hosts, variables, file } = read(&text)?;
        let Version { version, saved_ms, saved_by, note, .. } = about;
        let project = Kept { name: name.to_owned(), version, hosts, saved_ms, saved_by, note };
        Ok(Shown { project, text: file, variables })
    }

    /// The versions of one, newest first.
    pub fn versions(&self, name: &str) -> Result<Vec<Version>, CallError> {
        let record = self.shelf.get(name).ok_or_else(|| self.shelf.missing(name))?;
        Ok(record.versions.into_iter().rev().collect())
    }

    /// A version with its variables.
    pub fn whole(&self, hub: &Hub, name: &str, version: Option<u64>) -> Result<Whole, CallError> {
        let (about, text) = self.shelf.text(name, version)?;
        let mut variables = Zeroizing::new(String::new());
        if let Some(record) = self.shelf.sealed(name, about.version)? {
            let opened = hub.vault.open(&context(name), &record.sealed)?;
            let text = std::str::from_utf8(&opened);
            variables.push_str(text.map_err(|e| CallError::failed(e.to_string()))?);
        }
        Ok(Whole { about, file: read(&text)?.file, variables })
    }

    /// Keeps a file as the newest version; what is not said is as in the one before.
    pub async fn save(&self, hub: &Hub, save: &Save, by: &str) -> Result<Saved, CallError> {
        check(save)?;
        let _one = self.saving.lock().await;
        let name = save.name.as_str();
        let before = match self.shelf.get(name) {
            Some(_) => Some((self.whole(hub, name, None)?, self.show(name, None)?.project.hosts)),
            None => None,
        };
        let (had, hosts) = before
            .as_ref()
            .map_or(("", ""), |(whole, hosts)| (whole.variables.as_str(), hosts.as_str()));
        let variables = save.variables.as_deref().unwrap_or(had);
        let hosts = save.hosts.as_deref().unwrap_or(hosts);
        self.put(hub, save, (variables, hosts), variables != had, by).await
    }

    /// Keeps an older version once more, as the newest.
    pub async fn restore(
        &self,
        hub: &Hub,
        name: &str,
        version: u64,
        by: &str,
    ) -> Result<Saved, CallError> {
        let _one = self.saving.lock().await;
        let old = self.whole(hub, name, Some(version))?;
        let now = self.whole(hub, name, None)?;
        let hosts = self.show(name, Some(version))?.project.hosts;
        let note = format!("version {version} again");
        let save = Save { name: name.to_owned(), text: old.file, note, ..Save::default() };
        let anew = *old.variables != *now.variables;
        self.put(hub, &save, (&old.variables, &hosts), anew, by).await
    }

    async fn put(
        &self,
        hub: &Hub,
        save: &Save,
        (variables, hosts): (&str, &str),
        anew: bool,
        by: &str,
    ) -> Result<Saved, CallError> {
        let _sealing = hub.vault.sealing().await;
        let name = save.name.as_str();
        let record = if variables.is_empty() {
            None
        } else {
            let sealed = hub.vault.seal(&context(name), variables.as_bytes())?;
            Some(SealedRecord { name: name.to_owned(), sealed })
        };
        let written = Written {
            hosts: hosts.to_owned(),
            variables: names(variables),
            file: save.text.clone(),
        };
        let text = serde_json::to_string(&written).map_err(|e| CallError::failed(e.to_string()))?;
        let item = Item {
            name,
            text: &text,
            note: &save.note,
            description: hosts,
            parts: 0,
            was: save.was,
            sealed: record.as_ref(),
            anew,
        };
        self.shelf.save(&item, by).await
    }

    /// Removes one with all its versions.
    pub async fn delete(&self, name: &str) -> Result<(), CallError> {
        if self.shelf.delete(name).await? { Ok(()) } else { Err(self.shelf.missing(name)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_known_by_their_names_alone() {
        assert_eq!(names("B=1\nexport A=x=y\n# C=1\nodd\n B=2\n"), ["A", "B"]);
    }

    #[test]
    fn what_cannot_be_a_project_is_refused_with_words() {
        let good = Save { name: "web".into(), text: "services: {}".into(), ..Save::default() };
        assert_eq!(check(&good), Ok(()));
        for bad in [
            Save { name: "Web".into(), ..good.clone() },
            Save { text: " \n".into(), ..good.clone() },
            Save { text: "x".repeat(MAX_TEXT + 1), ..good.clone() },
            Save { variables: Some("A=\0".into()), ..good.clone() },
            Save { hosts: Some("a,,b".into()), ..good.clone() },
            Save { hosts: Some("x".repeat(MAX_NOTE + 1)), ..good },
        ] {
            assert!(check(&bad).is_err());
        }
    }
}
