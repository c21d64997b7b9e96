//! Texts with names and versions: what runbooks, config groups and compose projects are kept as.
//!
//! All about a text but the text itself is held in memory, and changed only together with the store. Each version's
//! text is a record of its own.

use crate::records::{SealedRecord, ShelfRecord};
use crate::store::{Batch, Store, StoreError};
use cmdr_link::clock;
use cmdr_protocol::runbooks::{MAX_NOTE, MAX_RUNBOOKS, MAX_VERSIONS, Saved, Signature, Version};
use cmdr_protocol::{CallError, ErrorKind};
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// What stands on a shelf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sort {
    /// Begins the keys of records.
    pub prefix: &'static str,
    /// Begins the keys of texts.
    pub texts: &'static str,
    /// Begins the keys of signatures under texts, where there are any.
    pub signatures: Option<&'static str>,
    /// Begins the keys of what is kept sealed beside texts, where there is such.
    pub sealed: Option<&'static str>,
    /// One of them, for people.
    pub what: &'static str,
    /// The verb that is about them.
    pub verb: &'static str,
}

/// Texts of one sort.
#[derive(Debug)]
pub(crate) struct Shelf {
    sort: Sort,
    store: Store,
    held: RwLock<BTreeMap<String, ShelfRecord>>,
    /// One change after the other.
    changing: tokio::sync::Mutex<()>,
}

/// A text that is to be saved; it makes sense, and is called so.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    pub name: &'a str,
    pub text: &'a str,
    pub note: &'a str,
    /// In a line.
    pub description: &'a str,
    /// Steps or files.
    pub parts: u32,
    /// The version that was looked at before.
    pub was: Option<u64>,
    /// What is kept sealed beside it.
    pub sealed: Option<&'a SealedRecord>,
    /// It is another version although the text is the same: what is beside it is not.
    pub anew: bool,
}

fn busy(error: impl std::fmt::Display) -> CallError {
    CallError::new(ErrorKind::Busy, error.to_string())
}

/// The first line, as far as lists show it.
pub(crate) fn shortened(description: &str) -> String {
    let line = description.trim().lines().next().unwrap_or_default();
    line[..line.floor_char_boundary(MAX_NOTE)].to_owned()
}

impl Shelf {
    /// Reads what is kept; a damaged one is logged and left out.
    pub(crate) fn load(store: Store, sort: Sort) -> Result<Self, StoreError> {
        let mut held = BTreeMap::new();
        for record in store.scan::<ShelfRecord>(sort.prefix)? {
            match record {
                Ok((_, record)) => drop(held.insert(record.name.clone(), record)),
                Err(e) => tracing::error!("a {} is left out: {e}", sort.what),
            }
        }
        Ok(Self { sort, store, held: RwLock::new(held), changing: tokio::sync::Mutex::default() })
    }

    /// All of them, by name.
    pub(crate) fn held(&self) -> RwLockReadGuard<'_, BTreeMap<String, ShelfRecord>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of them.
    pub(crate) fn get(&self, name: &str) -> Option<ShelfRecord> {
        self.held().get(name).cloned()
    }

    pub(crate) fn missing(&self, name: &str) -> CallError {
        let name = cmdr_protocol::display::clean_to_width(name, 80);
        let Sort { what, verb, .. } = self.sort;
        CallError::not_found(format!("there is no {what} '{name}'; cmdr {verb} ls lists them"))
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.sort.prefix)
    }

    fn text_key(&self, name: &str, version: u64) -> String {
        format!("{}{name}/{version:010}", self.sort.texts)
    }

    fn signature_key(&self, name: &str, version: u64) -> Option<String> {
        self.sort.signatures.map(|prefix| format!("{prefix}{name}/{version:010}"))
    }

    fn sealed_key(&self, name: &str, version: u64) -> Option<String> {
        self.sort.sealed.map(|prefix| format!("{prefix}{name}/{version:010}"))
    }

    /// What is kept sealed beside a version.
    pub(crate) fn sealed(
        &self,
        name: &str,
        version: u64,
    ) -> Result<Option<SealedRecord>, CallError> {
        match self.sealed_key(name, version) {
            Some(key) => self.store.get(&key).map_err(busy),
            None => Ok(None),
        }
    }

    /// Removes the text of a version, and what stands under it.
    fn forget(&self, batch: Batch, name: &str, version: u64) -> Batch {
        let batch = batch.delete(self.text_key(name, version));
        let batch = match self.sealed_key(name, version) {
            Some(key) => batch.delete(key),
            None => batch,
        };
        match self.signature_key(name, version) {
            Some(key) => batch.delete(key),
            None => batch,
        }
    }

    /// The signatures that are kept, with name and version; a damaged one is logged and left out.
    pub(crate) fn signatures(&self) -> Result<Vec<(String, u64, Signature)>, StoreError> {
        let Some(prefix) = self.sort.signatures else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for record in self.store.scan::<Signature>(prefix)? {
            match record {
                Ok((key, signature)) => {
                    let whose = key[prefix.len()..].rsplit_once('/');
                    let whose = whose.and_then(|(name, n)| Some((name, n.parse().ok()?)));
                    if let Some((name, version)) = whose {
                        all.push((name.to_owned(), version, signature));
                    } else {
                        tracing::error!("left out: a signature with the key {key}");
                    }
                }
                Err(e) => tracing::error!("a signature is left out: {e}"),
            }
        }
        Ok(all)
    }

    /// Keeps a signature under a version, while there is that.
    pub(crate) async fn sign(&self, name: &str, signature: &Signature) -> Result<(), CallError> {
        let _one = self.changing.lock().await;
        let version = signature.version;
        let there = self.get(name).is_some_and(|record| {
            let mut versions = record.versions.iter();
            versions.any(|about| about.version == version && about.hash == signature.hash)
        });
        match self.signature_key(name, version).filter(|_| there) {
            Some(key) => self.store.apply(Batch::new().put(key, signature)).await.map_err(busy),
            None => Err(self.missing(name)),
        }
    }

    /// The text of a version; of the newest when none is named.
    pub(crate) fn text(
        &self,
        name: &str,
        version: Option<u64>,
    ) -> Result<(Version, String), CallError> {
        let record = self.get(name).ok_or_else(|| self.missing(name))?;
        let about = match version {
            None => record.versions.last(),
            Some(version) => record.versions.iter().find(|about| about.version == version),
        };
        let verb = self.sort.verb;
        let about = about.cloned().ok_or_else(|| {
            let version = version.unwrap_or_default();
            CallError::not_found(format!(
                "'{name}' has no version {version}; cmdr {verb} versions {name} lists them"
            ))
        })?;
        let version = about.version;
        match self.store.get::<String>(&self.text_key(name, version)).map_err(busy)? {
            Some(text) => Ok((about, text)),
            None => {
                Err(CallError::failed(format!("the text of version {version} of '{name}' is lost")))
            }
        }
    }

    /// Keeps a text as the newest version.
    pub(crate) async fn save(&self, item: &Item<'_>, by: &str) -> Result<Saved, CallError> {
        let &Item { name, text, note, .. } = item;
        if note.len() > MAX_NOTE {
            return Err(CallError::malformed(format!("a note has at most {MAX_NOTE} bytes")));
        }
        let _one = self.changing.lock().await;
        let known = self.get(name);
        let is_new = known.is_none();
        let mut record = known.unwrap_or_default();
        let newest = record.versions.last().map_or(0, |version| version.version);
        if item.was.is_some_and(|was| was != newest) {
            return Err(CallError::new(
                ErrorKind::Conflict,
                format!(
                    "somebody has saved version {newest} of '{name}' meanwhile; look at it first"
                ),
            ));
        }
        let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
        if !item.anew && record.versions.last().is_some_and(|version| version.hash == hash) {
            return Ok(Saved { version: newest, unchanged: true });
        }
        if is_new && self.held().len() >= MAX_RUNBOOKS {
            let what = self.sort.what;
            return Err(busy(format!(
                "there are {MAX_RUNBOOKS} {what}s already; delete some first"
            )));
        }
        let version = newest + 1;
        name.clone_into(&mut record.name);
        record.description = shortened(item.description);
        record.parts = item.parts;
        record.versions.push(Version {
            version,
            saved_ms: clock::now_ms(),
            saved_by: by.to_owned(),
            note: note.to_owned(),
            size: text.len() as u64,
            hash,
            signed: None,
        });
        let mut batch = Batch::new().put(self.text_key(name, version), &text);
        if let (Some(sealed), Some(key)) = (item.sealed, self.sealed_key(name, version)) {
            batch = batch.put(key, sealed);
        }
        while record.versions.len() > MAX_VERSIONS {
            let old = record.versions.remove(0);
            batch = self.forget(batch, name, old.version);
        }
        self.store.apply(batch.put(self.key(name), &record)).await.map_err(busy)?;
        self.held.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), record);
        Ok(Saved { version, unchanged: false })
    }

    /// Removes one with all its versions; false when there is none.
    pub(crate) async fn delete(&self, name: &str) -> Result<bool, CallError> {
        let _one = self.changing.lock().await;
        let Some(record) = self.get(name) else { return Ok(false) };
        let gone = |batch: Batch, version: &Version| self.forget(batch, name, version.version);
        let batch = record.versions.iter().fold(Batch::new().delete(self.key(name)), gone);
        self.store.apply(batch).await.map_err(busy)?;
        self.held.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::prefix;

    #[tokio::test]
    async fn only_so_many_versions_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let shelf = Shelf::load(store.clone(), crate::runbooks::SORT).unwrap();
        for n in 0..MAX_VERSIONS + 5 {
            let text = format!("text {n}");
            let item = Item {
                name: "x",
                text: &text,
                note: "",
                description: "",
                parts: 1,
                was: None,
                sealed: None,
                anew: false,
            };
            shelf.save(&item, "ann").await.unwrap();
        }
        let versions = shelf.get("x").unwrap().versions;
        assert_eq!((versions.len(), versions[0].version), (MAX_VERSIONS, 6));
        assert!(shelf.text("x", Some(1)).is_err());
        assert_eq!(shelf.text("x", Some(6)).unwrap().1, "text 5");
        assert_eq!(store.scan_raw(prefix::RUNBOOK_TEXT).unwrap().len(), MAX_VERSIONS);
    }

    #[tokio::test]
    async fn what_is_kept_sealed_beside_a_version_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let sort = Sort { sealed: Some(prefix::COMPOSE_VARIABLES), ..crate::runbooks::SORT };
        let shelf = Shelf::load(store.clone(), sort).unwrap();
        let sealed = SealedRecord { name: "x".into(), sealed: vec![1] };
        let item = Item {
            name: "x",
            text: "the same",
            note: "",
            description: "",
            parts: 1,
            was: None,
            sealed: Some(&sealed),
            anew: true,
        };
        for version in 1..=MAX_VERSIONS as u64 + 2 {
            assert_eq!(shelf.save(&item, "ann").await.unwrap().version, version);
        }
        assert_eq!(shelf.sealed("x", 2).unwrap(), None);
        assert_eq!(shelf.sealed("x", 3).unwrap(), Some(sealed.clone()));
        assert_eq!(store.scan_raw(prefix::COMPOSE_VARIABLES).unwrap().len(), MAX_VERSIONS);
        assert!(shelf.save(&Item { anew: false, ..item }, "ann").await.unwrap().unchanged);
        assert!(shelf.delete("x").await.unwrap());
        assert!(store.scan_raw(prefix::COMPOSE_VARIABLES).unwrap().is_empty());
    }
}
